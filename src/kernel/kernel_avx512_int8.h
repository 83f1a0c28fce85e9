/* kernel_avx512_int8.h -- rows and products in int8 by AVX-512 with VNNI, for the kinds that have it: two
 * registers of sixteen outputs by six rows, which are 24 accumulators of the 32 registers (12 of int32,
 * 12 of float); per quad of columns two loads of weights and six of rows for twelve instructions of
 * sixteen times four products.
 *
 * Threads: none; pure functions.
 */
#ifndef TRANCHE_KERNEL_KERNEL_AVX512_INT8_H
#define TRANCHE_KERNEL_KERNEL_AVX512_INT8_H

#include "kernel/kernel_avx512_body.h"

#define QUADS (KERNEL_GROUP / KERNEL_QUAD)
#define PARTS (KERNEL_TILE / LANES)
#define TILE_QUAD_BYTES ((size_t)KERNEL_TILE * KERNEL_QUAD)

static bool has_vnni(void)
{
    return has_avx512() && __builtin_cpu_supports("avx512vnni");
}

/* The sum of 32 of int8, by multiplying them with ones. */
LANES_INLINE int32_t sum_of_group(__m256i quant)
{
    __m256i by_quad = _mm256_dpbusd_epi32(_mm256_setzero_si256(), _mm256_set1_epi8(1), quant);
    __m128i four =
        _mm_add_epi32(_mm256_castsi256_si128(by_quad), _mm256_extracti128_si256(by_quad, 1));
    __m128i two = _mm_add_epi32(four, _mm_unpackhi_epi64(four, four));

    return _mm_cvtsi128_si32(two) + _mm_extract_epi32(two, 1);
}

static void avx512_quantise(const float *x, float factor, uint32_t groups,
                            const struct kernel_place *to)
{
    struct kernel_rows_int8 *group = int8_at(to->rows, to->row, to->first);
    const uint32_t at = to->row % KERNEL_SIX;

    for (uint32_t g = 0; g < groups; g++, group++, x += KERNEL_GROUP) {
        __m512 low = _mm512_loadu_ps(x), high = _mm512_loadu_ps(x + LANES);
        float most = _mm512_reduce_max_ps(_mm512_max_ps(_mm512_abs_ps(low), _mm512_abs_ps(high)));
        __m512 inverse = _mm512_set1_ps(most > 0.0f ? 127.0f / most : 0.0f);
        __m128i a = _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(low * inverse));
        __m128i b = _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(high * inverse));
        __m256i quant = _mm256_inserti128_si256(_mm256_castsi128_si256(a), b, 1);
        memcpy(group->quant[at], &quant, sizeof quant);
        group->scale[at] = most / 127.0f * factor;
        group->offset[at] = -KERNEL_BIAS * sum_of_group(quant);
    }
}

/* One group of m rows: sums in int32, then scaled onto the floats. */
LANES_INLINE void add_group(const int m, const uint8_t *quant, const float *scale,
                            const struct kernel_rows_int8 *x, __m512 f[][PARTS])
{
    __m512i c[KERNEL_SIX][PARTS];

    for (int i = 0; i < m; i++)
        for (size_t p = 0; p < PARTS; p++)
            c[i][p] = _mm512_set1_epi32(x->offset[i]);
#pragma GCC unroll 8
    for (size_t q = 0; q < QUADS; q++) {
        const uint8_t *w = quant + q * TILE_QUAD_BYTES;
        __m512i low = _mm512_load_si512(w), high = _mm512_load_si512(w + KERNEL_ALIGN);
        for (int i = 0; i < m; i++) {
            int32_t four;
            memcpy(&four, x->quant[i] + q * KERNEL_QUAD, sizeof four);
            __m512i a = _mm512_set1_epi32(four);
            c[i][0] = _mm512_dpbusd_epi32(c[i][0], low, a);
            c[i][1] = _mm512_dpbusd_epi32(c[i][1], high, a);
        }
    }
    for (size_t p = 0; p < PARTS; p++) {
        __m512 d = _mm512_load_ps(scale + p * LANES);
        for (int i = 0; i < m; i++)
            f[i][p] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(c[i][p]),
                                      _mm512_mul_ps(d, _mm512_set1_ps(x->scale[i])), f[i][p]);
    }
}

LANES_INLINE void multiply_block(const int m, const struct kernel_weights *w, uint32_t tile,
                                 const struct kernel_rows_int8 *x, struct kernel_outputs out)
{
    const uint32_t groups = w->columns / KERNEL_GROUP;
    const uint8_t *quant = w->packed + (size_t)tile * groups * KERNEL_TILE * KERNEL_GROUP;
    const float *scale = w->scale + (size_t)tile * groups * KERNEL_TILE;
    __m512 f[KERNEL_SIX][PARTS];

    for (int i = 0; i < m; i++)
        for (size_t p = 0; p < PARTS; p++)
            f[i][p] = _mm512_setzero_ps();
    for (uint32_t g = 0; g < groups; g++) {
        add_group(m, quant, scale, x++, f);
        quant += (size_t)KERNEL_TILE * KERNEL_GROUP;
        scale += KERNEL_TILE;
    }
    for (int i = 0; i < m; i++)
        for (size_t p = 0; p < PARTS; p++) {
            float *to = out.at + (size_t)i * out.stride + p * LANES;
            lanes_store(to, out.adds ? lanes_load(to) + (lanes)f[i][p] : (lanes)f[i][p]);
        }
}

/* The last rows, fewer than a block. */
static void multiply_rest(uint32_t count, const struct kernel_weights *w, uint32_t tile,
                          const struct kernel_rows_int8 *x, struct kernel_outputs out)
{
    switch (count) {
    case 5:
        multiply_block(5, w, tile, x, out);
        break;
    case 4:
        multiply_block(4, w, tile, x, out);
        break;
    case 3:
        multiply_block(3, w, tile, x, out);
        break;
    case 2:
        multiply_block(2, w, tile, x, out);
        break;
    default:
        multiply_block(1, w, tile, x, out);
        break;
    }
}

static void avx512_product(const struct kernel_weights *w, uint32_t tile,
                           const struct kernel_rows *x, uint32_t first, uint32_t count,
                           struct kernel_outputs out)
{
    for (; count >= KERNEL_SIX; count -= KERNEL_SIX, first += KERNEL_SIX) {
        multiply_block(KERNEL_SIX, w, tile, int8_at(x, first, 0), out);
        out.at += KERNEL_SIX * out.stride;
    }
    if (count)
        multiply_rest(count, w, tile, int8_at(x, first, 0), out);
}

/* For a kind's table. */
#define INT8_OPS                                                                                   \
    .layout = { KERNEL_INT8, KERNEL_SIX }, .quantise = avx512_quantise, .product = avx512_product

#endif
