/* AVX-512 with VNNI and with bfloat16 at twice the speed of floats: products in int8, attention in
 * bfloat16 over a cache that is nothing else. Queries and weights are rounded to it too; sums are
 * floats. A register holds sixteen positions, or dimensions, of a pair; six rows by four of them are 24
 * sums of the 32 registers.
 *
 * Source: AMD64 Architecture Programmer's Manual, volume 4, VDPBF16PS.
 */
#if defined(__x86_64__)
#include "kernel/kernel_avx512_bf16.h"
#include "kernel/kernel_avx512_int8.h"

#define ROWS 6

/* Intel's multiply bfloat16 in registers at half the speed of floats. */
static bool bf16_runs_here(void)
{
    return has_vnni() && __builtin_cpu_supports("avx512bf16") && __builtin_cpu_is("amd");
}

/* The second factor of a product: tiles of pairs by four registers of sixteen numbers. */
struct matrix {
    const uint16_t *tile;
    size_t across,
        along; /* halves from a tile to the one beside it, and to that of the next pairs */
    uint32_t pairs;
    const uint16_t *next; /* fetched meanwhile, as much as this factor has; or NULL */
};

/* The first factor, rows of pairs, and the sums, 64 of each row. */
struct rows {
    const uint32_t *pair;
    size_t stride;
    float *out;
    size_t out_stride;
};

/* A pair's numbers, into the second cache: a page is long gone from it when it is needed again. */
LANES_INLINE void fetch(const uint16_t *from)
{
    for (size_t w = 0; w < WIDE; w++)
        _mm_prefetch((const char *)(from + w * PAIR_HALVES), _MM_HINT_T1);
}

/* m rows; each adds pair after pair to what it has, or to nothing. */
LANES_INLINE void multiply(const int m, const bool adds, const struct matrix *b,
                           const struct rows *r)
{
    __m512 sum[ROWS][WIDE];

    for (int i = 0; i < m; i++)
        for (size_t w = 0; w < WIDE; w++)
            sum[i][w] = adds ? _mm512_loadu_ps(r->out + (size_t)i * r->out_stride + w * LANES)
                             : _mm512_setzero_ps();
    for (uint32_t k = 0; k < b->pairs; k++) {
        const uint16_t *at = b->tile + k / PAIRS * b->along + k % PAIRS * PAIR_HALVES;
        __m512bh v[WIDE];
        for (size_t w = 0; w < WIDE; w++)
            v[w] = (__m512bh)_mm512_load_si512(at + w * b->across);
        if (b->next)
            fetch(b->next + WIDE * PAIR_HALVES * k);
        for (int i = 0; i < m; i++) {
            __m512bh pair = (__m512bh)_mm512_set1_epi32((int)r->pair[(size_t)i * r->stride + k]);
            for (size_t w = 0; w < WIDE; w++)
                sum[i][w] = _mm512_dpbf16_ps(sum[i][w], pair, v[w]);
        }
    }
    for (int i = 0; i < m; i++)
        for (size_t w = 0; w < WIDE; w++)
            _mm512_storeu_ps(r->out + (size_t)i * r->out_stride + w * LANES, sum[i][w]);
}

LANES_INLINE void skip(struct rows *r, uint32_t rows)
{
    r->pair += rows * r->stride;
    r->out += rows * r->out_stride;
}

LANES_INLINE void multiply_all(const bool adds, struct matrix b, uint32_t count, struct rows r)
{
    for (; count >= ROWS; count -= ROWS, skip(&r, ROWS), b.next = NULL)
        multiply(ROWS, adds, &b, &r);
    for (; count >= ROWS / 2; count -= ROWS / 2, skip(&r, ROWS / 2), b.next = NULL)
        multiply(ROWS / 2, adds, &b, &r);
    for (; count; count--, skip(&r, 1), b.next = NULL)
        multiply(1, adds, &b, &r);
}

static void bf16_store_query(const float *x, uint32_t dim, float *query)
{
    for (uint32_t d = 0; d < dim; d += STEP)
        _mm512_storeu_si512(query + d / KERNEL_PAIR,
                            to_bf16(_mm512_loadu_ps(x + d), _mm512_loadu_ps(x + d + LANES)));
}

static const uint32_t *pairs_at(const float *x)
{
    return (const uint32_t *)(const void *)x;
}

static void bf16_attend(const struct kernel_attention *a, const uint16_t *keys,
                        const uint16_t *values)
{
    const struct matrix key = { keys, TILE_HALVES, WIDE * TILE_HALVES, a->dim / KERNEL_PAIR,
                                a->next_keys };
    uint32_t seen = 0;

    multiply_all(false, key, a->count,
                 (struct rows){ pairs_at(a->query), a->dim, a->scores, KERNEL_PAGE });
    for (uint32_t i = 0; i < a->count; i++) {
        bf16_soften(a, i);
        seen = a->to[i] > seen ? a->to[i] : seen;
    }
    for (uint32_t d = 0; d < a->dim; d += KERNEL_CHUNK) {
        const size_t across = KERNEL_PAGE / STEP * TILE_HALVES;
        const uint16_t *next = a->next_values ? a->next_values + d / LANES * across : NULL;
        const struct matrix value = { values + d / LANES * across, across, TILE_HALVES,
                                      (seen + 1) / KERNEL_PAIR, next };
        multiply_all(true, value, a->count,
                     (struct rows){ pairs_at(a->scores), KERNEL_PAGE, a->out + d, a->dim });
    }
}

const struct kernel_ops kernel_avx512bf16_ops = {
    .name = "avx512-bf16",
    .runs_here = bf16_runs_here,
    INT8_OPS,
    BODY_OPS,
    BF16_STORE_OPS,
    .store_query = bf16_store_query,
    .attend = bf16_attend,
};
#endif
