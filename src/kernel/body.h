/* body.h -- what every kind of CPU computes in the same way, over lanes.h. Each kernel_*.c includes it
 * once, after its own lanes_madd, lanes_max, lanes_sum, lanes_most, lanes_halves, lanes_to_halves and
 * BODY_ROWS: how many rows of four accumulators the registers hold.
 *
 * Threads: none; pure functions.
 */
#include <math.h>

#include "kernel/kernel.h"
#include "kernel/lanes.h"

#define WIDE (KERNEL_CHUNK / LANES) /* registers for a chunk or a page's scores */
_Static_assert(KERNEL_PAGE == KERNEL_CHUNK, "scores and chunks are as wide");

/* exp(x) for x <= 0, within 3e-7 of the true value: 2^n of the whole part of x / ln 2, and a
 * polynomial for 2^f, f in [-0.5, 0.5] (Taylor's to the sixth order). */
LANES_INLINE lanes body_exp(lanes x)
{
    const lanes least = lanes_spread(-87.0f);       /* exp of less is no normal float */
    const lanes to_int = lanes_spread(12582912.0f); /* 1.5 * 2^23: adding it rounds */
    lanes t = lanes_max(x, least) * 1.44269504f;
    lanes rounded = t + to_int;
    lanes y = (t - (rounded - to_int)) * 0.693147181f;
    lanes p = lanes_spread(1.0f / 720.0f);

    p = lanes_madd(p, y, lanes_spread(1.0f / 120.0f));
    p = lanes_madd(p, y, lanes_spread(1.0f / 24.0f));
    p = lanes_madd(p, y, lanes_spread(1.0f / 6.0f));
    p = lanes_madd(p, y, lanes_spread(0.5f));
    p = lanes_madd(p, y, lanes_spread(1.0f));
    p = lanes_madd(p, y, lanes_spread(1.0f));
    /* The whole part stands in the low bits of `rounded`; it is added to the exponent of p. */
    lanes_int whole = (lanes_int)rounded - (lanes_int)to_int;
    return (lanes)((lanes_int)p + whole * (1 << 23));
}

/* ---- Norms and gates ---- */

static void body_norm(const float *x, const float *weight, uint32_t count, float epsilon,
                      float *out)
{
    lanes sum = lanes_spread(0.0f);

    for (uint32_t i = 0; i < count; i += LANES) {
        lanes v = lanes_load(x + i);
        sum = lanes_madd(v, v, sum);
    }
    float scale = 1.0f / sqrtf(lanes_sum(sum) / (float)count + epsilon);
    for (uint32_t i = 0; i < count; i += LANES)
        lanes_store(out + i, lanes_load(x + i) * scale * lanes_load(weight + i));
}

/* x / (1 + exp(-x)), by exp(-|x|), which cannot overflow. */
LANES_INLINE lanes body_silu(lanes x)
{
    const lanes one = lanes_spread(1.0f);
    lanes e = body_exp(-lanes_max(x, -x));

    return x * lanes_choose(x >= 0.0f, one, e) / (one + e);
}

/* x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))), which is x / (1 + exp(-2 ...)). */
LANES_INLINE lanes body_gelu(lanes x)
{
    const lanes one = lanes_spread(1.0f);
    lanes t = x * 1.59576912f * lanes_madd(x * x, lanes_spread(0.044715f), one);
    lanes e = body_exp(-lanes_max(t, -t));

    return x * lanes_choose(t >= 0.0f, one, e) / (one + e);
}

static void body_gate(enum kernel_gate kind, float *gate, const float *up, uint32_t count)
{
    if (kind == KERNEL_SILU)
        for (uint32_t i = 0; i < count; i += LANES)
            lanes_store(gate + i, body_silu(lanes_load(gate + i)) * lanes_load(up + i));
    else
        for (uint32_t i = 0; i < count; i += LANES)
            lanes_store(gate + i, body_gelu(lanes_load(gate + i)) * lanes_load(up + i));
}

static void body_add(float *x, const float *y, uint32_t count)
{
    for (uint32_t i = 0; i < count; i += LANES)
        lanes_store(x + i, lanes_load(x + i) + lanes_load(y + i));
}

static void body_rotate(float *x, const float *turn, uint32_t dim, float scale)
{
    const uint32_t half = dim / 2;

    for (uint32_t i = 0; i < half; i += LANES) {
        lanes a = lanes_load(x + i) * scale, b = lanes_load(x + i + half) * scale;
        lanes cosine = lanes_load(turn + i), sine = lanes_load(turn + i + half);
        lanes_store(x + i, a * cosine - b * sine);
        lanes_store(x + i + half, a * sine + b * cosine);
    }
}

/* ---- The cache ---- */

static void body_store_key(const float *x, uint32_t dim, uint32_t position, uint16_t *keys)
{
    uint16_t half[LANES];

    for (uint32_t d = 0; d < dim; d += LANES) {
        lanes_to_halves(half, lanes_load(x + d));
        for (uint32_t i = 0; i < LANES; i++)
            keys[(size_t)(d + i) * KERNEL_PAGE + position] = half[i];
    }
}

static void body_store_value(const float *x, uint32_t dim, uint32_t position, uint16_t *values)
{
    for (uint32_t d = 0; d < dim; d++) {
        uint16_t *to = values + (size_t)(d / KERNEL_CHUNK) * KERNEL_CHUNK * KERNEL_PAGE;
        if (d % LANES == 0)
            lanes_to_halves(to + (size_t)position * KERNEL_CHUNK + d % KERNEL_CHUNK,
                            lanes_load(x + d));
    }
}

/* ---- Attention ---- */

/* What rows are multiplied with: `count` rows of KERNEL_CHUNK, as floats or as halves. */
struct body_matrix {
    const float *wide;
    const uint16_t *half;
    uint32_t count;
};

/* Rows that are multiplied, of body_matrix.count numbers each, and where KERNEL_CHUNK results of each
 * are added. */
struct body_rows {
    const float *in;
    size_t in_stride;
    float *out;
    size_t out_stride;
};

/* m rows; the sums of each go in order of count. */
LANES_INLINE void body_block(const int m, const bool half, const struct body_matrix *b,
                             const struct body_rows *r)
{
    lanes sum[BODY_ROWS][WIDE];

    for (int i = 0; i < m; i++)
        for (size_t w = 0; w < WIDE; w++)
            sum[i][w] = lanes_load(r->out + (size_t)i * r->out_stride + w * LANES);
    for (uint32_t k = 0; k < b->count; k++) {
        lanes v[WIDE];
        for (size_t w = 0; w < WIDE; w++)
            v[w] = half ? lanes_halves(b->half + (size_t)k * KERNEL_CHUNK + w * LANES)
                        : lanes_load(b->wide + (size_t)k * KERNEL_CHUNK + w * LANES);
        for (int i = 0; i < m; i++) {
            lanes factor = lanes_spread(r->in[(size_t)i * r->in_stride + k]);
            for (size_t w = 0; w < WIDE; w++)
                sum[i][w] = lanes_madd(factor, v[w], sum[i][w]);
        }
    }
    for (int i = 0; i < m; i++)
        for (size_t w = 0; w < WIDE; w++)
            lanes_store(r->out + (size_t)i * r->out_stride + w * LANES, sum[i][w]);
}

LANES_INLINE void body_skip(struct body_rows *r, uint32_t rows)
{
    r->in += rows * r->in_stride;
    r->out += rows * r->out_stride;
}

/* Any number of rows, BODY_ROWS at a time. */
LANES_INLINE void body_blocks(const bool half, const struct body_matrix *b, uint32_t count,
                              struct body_rows r)
{
    for (; count >= BODY_ROWS; count -= BODY_ROWS, body_skip(&r, BODY_ROWS))
        body_block(BODY_ROWS, half, b, &r);
#if BODY_ROWS > 3
    for (; count >= 3; count -= 3, body_skip(&r, 3))
        body_block(3, half, b, &r);
#endif
    for (; count; count--, body_skip(&r, 1))
        body_block(1, half, b, &r);
}

/* Many rows share the work of turning halves into floats. */
static void body_multiply(const struct kernel_attention *at, const uint16_t *half, uint32_t count,
                          const struct body_rows *r)
{
    const struct body_matrix b = { at->scratch, half, count };

    if (at->count <= BODY_ROWS) {
        body_blocks(true, &b, at->count, *r);
        return;
    }
    for (uint32_t i = 0; i < count * KERNEL_CHUNK; i += LANES)
        lanes_store(at->scratch + i, lanes_halves(half + i));
    body_blocks(false, &b, at->count, *r);
}

/* The scores of a row, less what it may not see. */
LANES_INLINE void body_mask(float *scores, uint32_t from, uint32_t to)
{
    for (uint32_t i = 0; i < from; i++)
        scores[i] = -INFINITY;
    for (uint32_t i = to; i < KERNEL_PAGE; i++)
        scores[i] = -INFINITY;
}

/* Turns a row's scores into weights relative to the largest score so far, and what was summed before
 * into the same measure. What is masked weighs nothing, exactly. */
static void body_soften(const struct kernel_attention *a, uint32_t row)
{
    float *scores = a->scores + (size_t)row * KERNEL_PAGE, *out = a->out + (size_t)row * a->dim;
    lanes s[WIDE], most = lanes_spread(a->max[row]), sum = lanes_spread(0.0f);

    if (a->from[row] > 0 || a->to[row] < KERNEL_PAGE)
        body_mask(scores, a->from[row], a->to[row]);
    for (size_t w = 0; w < WIDE; w++) {
        s[w] = lanes_load(scores + w * LANES);
        most = lanes_max(most, s[w]);
    }
    float max = lanes_most(most);
    for (size_t w = 0; w < WIDE; w++) {
        lanes weight = body_exp(s[w] - max);
        weight = lanes_choose(s[w] > -INFINITY, weight, lanes_spread(0.0f));
        lanes_store(scores + w * LANES, weight);
        sum += weight;
    }
    if (max > a->max[row]) {
        lanes shrink = body_exp(lanes_spread(a->max[row] - max));
        for (uint32_t d = 0; d < a->dim; d += LANES)
            lanes_store(out + d, lanes_load(out + d) * shrink);
        a->sum[row] *= shrink[0];
        a->max[row] = max;
    }
    a->sum[row] += lanes_sum(sum);
}

static void body_attend(const struct kernel_attention *a, const uint16_t *keys,
                        const uint16_t *values)
{
    const size_t chunk = (size_t)KERNEL_CHUNK * KERNEL_PAGE;
    uint32_t seen = 0;

    memset(a->scores, 0, (size_t)a->count * KERNEL_PAGE * sizeof *a->scores);
    for (uint32_t d = 0; d < a->dim; d += KERNEL_CHUNK) {
        const struct body_rows r = { a->query + d, a->dim, a->scores, KERNEL_PAGE };
        body_multiply(a, keys + d / KERNEL_CHUNK * chunk, KERNEL_CHUNK, &r);
    }
    for (uint32_t i = 0; i < a->count; i++) {
        body_soften(a, i);
        seen = a->to[i] > seen ? a->to[i] : seen;
    }
    for (uint32_t d = 0; d < a->dim; d += KERNEL_CHUNK) {
        const struct body_rows r = { a->scores, KERNEL_PAGE, a->out + d, a->dim };
        body_multiply(a, values + d / KERNEL_CHUNK * chunk, seen, &r);
    }
}

/* ---- Logits ---- */

/* Terms summed in single precision before they go into a double. */
#define BODY_SUM_TERMS 1024

static float body_largest(const float *x, uint32_t count)
{
    lanes best = lanes_spread(-INFINITY);
    uint32_t i = 0;

    for (; i + LANES <= count; i += LANES) {
        lanes v = lanes_load(x + i);
        best = lanes_choose(v > best, v, best); /* a NaN loses */
    }
    float most = lanes_most(best);
    for (; i < count; i++)
        most = x[i] > most ? x[i] : most;
    return most;
}

static float body_exp_sum(const float *x, uint32_t count, float most)
{
    lanes sum = lanes_spread(0.0f);
    uint32_t i = 0;

    for (; i + LANES <= count; i += LANES)
        sum += body_exp(lanes_load(x + i) - most);
    float all = lanes_sum(sum);
    for (; i < count; i++)
        all += expf(x[i] - most);
    return all;
}

static void body_sum_up(const float *logits, uint32_t count, uint32_t *largest, float *log_sum)
{
    float most = body_largest(logits, count);
    double sum = 0.0;

    *largest = 0;
    *log_sum = most;
    if (!isfinite(most))
        return;
    while (!(logits[*largest] >= most))
        ++*largest;
    for (uint32_t i = 0; i < count; i += BODY_SUM_TERMS)
        sum += (double)body_exp_sum(logits + i,
                                    count - i < BODY_SUM_TERMS ? count - i : BODY_SUM_TERMS, most);
    *log_sum = most + (float)log(sum);
}
