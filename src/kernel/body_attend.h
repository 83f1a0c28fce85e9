/* body_attend.h -- the cache in half precision and attention in floats, over lanes.h and body.h. A
 * kernel_*.c includes it once, after its own lanes_halves, lanes_to_halves and BODY_ROWS: how many rows
 * of four accumulators the registers hold.
 *
 * Threads: none; pure functions.
 */
#include "kernel/body.h"
#include "kernel/kernel.h"

/* ---- The cache ---- */

static void body_store_query(const float *x, uint32_t dim, float *query)
{
    memcpy(query, x, dim * sizeof *query);
}

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

/* The second factor of a product: [count][KERNEL_CHUNK], as floats or as halves. */
struct body_matrix {
    const float *wide;
    const uint16_t *half;
    uint32_t count;
};

/* The first factor, rows of body_matrix.count numbers, and the sums, rows of KERNEL_CHUNK. */
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

/* Converts halves to floats once when there are many rows, and in registers when there are few. */
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

/* For a kind's table. */
#define BODY_ATTEND_OPS                                                                            \
    .cache = KERNEL_CACHE_HALF, .store_query = body_store_query, .store_key = body_store_key,      \
    .store_value = body_store_value, .attend = body_attend
