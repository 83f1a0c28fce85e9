/* body.h -- the functions that every kind of CPU computes in the same way, over lanes.h. Each kernel_*.c includes it
 * once, after its own lanes_madd, lanes_max, lanes_sum and lanes_most.
 *
 * Threads: none; pure functions.
 */
#ifndef TRANCHE_KERNEL_BODY_H
#define TRANCHE_KERNEL_BODY_H

#include <math.h>

#include "kernel/kernel.h"
#include "kernel/lanes.h"

#define WIDE (KERNEL_CHUNK / LANES) /* registers for a chunk or a page's scores */
_Static_assert(KERNEL_PAGE == KERNEL_CHUNK, "scores and chunks are as wide");

/* exp(x) for x <= 0, within 3e-7 of the true value: 2^n of the whole part of x / ln 2, and a
 * polynomial for 2^f, f in [-0.5, 0.5] (Taylor's to the sixth order). */
LANES_INLINE lanes body_exp(lanes x)
{
    const lanes least = lanes_spread(-87.0f);       /* exp of less is not a normal float */
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

static void body_layer_norm(float *x, const float *update, const struct kernel_layer_norm *n,
                            uint32_t count)
{
    lanes sum = lanes_spread(0.0f), squares = lanes_spread(0.0f);

    for (uint32_t i = 0; i < count; i += LANES) {
        lanes v = lanes_load(x + i) + lanes_load(update + i) + lanes_load(n->added + i);
        lanes_store(x + i, v);
        sum += v;
    }
    float mean = lanes_sum(sum) / (float)count;
    for (uint32_t i = 0; i < count; i += LANES) {
        lanes v = lanes_load(x + i) - mean;
        squares = lanes_madd(v, v, squares);
    }
    float scale = 1.0f / sqrtf(lanes_sum(squares) / (float)count + n->epsilon);
    for (uint32_t i = 0; i < count; i += LANES)
        lanes_store(x + i, lanes_madd((lanes_load(x + i) - mean) * scale, lanes_load(n->weight + i),
                                      lanes_load(n->bias + i)));
}

/* The normal distribution's integral beyond |x|, times two, is a polynomial in 1 / (1 + p |x|) by exp(-x^2 / 2),
 * within 1.5e-7: Abramowitz and Stegun, 7.1.26. */
LANES_INLINE lanes body_gelu_exact(lanes x)
{
    const lanes one = lanes_spread(1.0f);
    lanes z = lanes_max(x, -x) * 0.707106781f;
    lanes t = one / lanes_madd(z, lanes_spread(0.3275911f), one);
    lanes p = lanes_spread(1.061405429f);

    p = lanes_madd(p, t, lanes_spread(-1.453152027f));
    p = lanes_madd(p, t, lanes_spread(1.421413741f));
    p = lanes_madd(p, t, lanes_spread(-0.284496736f));
    p = lanes_madd(p, t, lanes_spread(0.254829592f));
    lanes beyond = p * t * body_exp(-z * z) * 0.5f;
    return x * lanes_choose(x >= 0.0f, one - beyond, beyond);
}

static void body_gelu_rows(float *x, const float *bias, uint32_t count)
{
    for (uint32_t i = 0; i < count; i += LANES)
        lanes_store(x + i, body_gelu_exact(lanes_load(x + i) + lanes_load(bias + i)));
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

static void body_rope(float *x, const float *rope, uint32_t dim, float scale)
{
    const uint32_t half = dim / 2;

    for (uint32_t i = 0; i < half; i += LANES) {
        lanes a = lanes_load(x + i) * scale, b = lanes_load(x + i + half) * scale;
        lanes cosine = lanes_load(rope + i), sine = lanes_load(rope + i + half);
        lanes_store(x + i, a * cosine - b * sine);
        lanes_store(x + i + half, a * sine + b * cosine);
    }
}

/* ---- Scores of attention ---- */

/* The scores of a register of a page, or -INFINITY where the row may not look. */
LANES_INLINE lanes body_seen(const float *scores, size_t w, int32_t from, int32_t to)
{
    lanes_int at;

    for (int i = 0; i < LANES; i++)
        at[i] = (int32_t)(w * LANES) + i;
    return lanes_choose((at >= from) & (at < to), lanes_load(scores + w * LANES),
                        lanes_spread(-INFINITY));
}

/* Rescales what a row has summed before to a larger score. */
LANES_INLINE void body_shrink(const struct kernel_attention *a, uint32_t row, float max)
{
    float *out = a->out + (size_t)row * a->dim;
    lanes shrink = body_exp(lanes_spread(a->max[row] - max));

    for (uint32_t d = 0; d < a->dim; d += LANES)
        lanes_store(out + d, lanes_load(out + d) * shrink);
    a->sum[row] *= shrink[0];
    a->max[row] = max;
}

/* Makes of a row's scores weights relative to the largest score so far. The weight of a position that
 * the row does not see is exactly 0. */
LANES_INLINE void body_weigh(const struct kernel_attention *a, uint32_t row, const bool whole)
{
    float *scores = a->scores + (size_t)row * KERNEL_PAGE;
    lanes s[WIDE], most = lanes_spread(a->max[row]), sum = lanes_spread(0.0f);

    for (size_t w = 0; w < WIDE; w++) {
        s[w] =
            whole ? lanes_load(scores + w * LANES) : body_seen(scores, w, a->from[row], a->to[row]);
        most = lanes_max(most, s[w]);
    }
    float max = lanes_most(most);
    for (size_t w = 0; w < WIDE; w++) {
        lanes weight = body_exp(s[w] - max);
        if (!whole)
            weight = lanes_choose(s[w] > -INFINITY, weight, lanes_spread(0.0f));
        lanes_store(scores + w * LANES, weight);
        sum += weight;
    }
    if (max > a->max[row])
        body_shrink(a, row, max);
    a->sum[row] += lanes_sum(sum);
}

static void body_soften(const struct kernel_attention *a, uint32_t row)
{
    if (a->from[row] == 0 && a->to[row] == KERNEL_PAGE)
        body_weigh(a, row, true);
    else
        body_weigh(a, row, false);
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

/* For a kind's table. */
#define BODY_OPS                                                                                   \
    .norm = body_norm, .layer_norm = body_layer_norm, .gelu = body_gelu_rows, .gate = body_gate,   \
    .add = body_add, .rope = body_rope, .sum_up = body_sum_up

#endif
