/* kernel_avx512_bf16.h -- bfloat16 for the kinds that multiply it: conversions, the cache in tiles of
 * sixteen pairs, of dimensions or of positions, by sixteen numbers, and the weights of attention.
 *
 * Threads: none; pure functions. Two members may store neighbouring positions of a page at once.
 */
#ifndef TRANCHE_KERNEL_KERNEL_AVX512_BF16_H
#define TRANCHE_KERNEL_KERNEL_AVX512_BF16_H

#include "kernel/kernel_avx512_body.h"

#define PAIRS ((size_t)16)         /* of a tile */
#define STEP (PAIRS * KERNEL_PAIR) /* columns, dimensions or positions of a tile */
#define TILE_BYTES 64              /* of each pair */
#define PAIR_HALVES (TILE_BYTES / sizeof(uint16_t))
#define TILE_HALVES (PAIRS * PAIR_HALVES)
_Static_assert(KERNEL_PAGE == 4 * LANES && KERNEL_CHUNK == 4 * LANES, "four tiles of sums");

/* 32 floats as bfloat16. */
LANES_INLINE __m512i to_bf16(__m512 low, __m512 high)
{
    return (__m512i)_mm512_cvtne2ps_pbh(high, low);
}

/* Sixteen floats that stay finite as bfloat16: an infinity would poison whatever it is multiplied with,
 * also by zero. A NaN becomes the largest. */
LANES_INLINE __m512 cut_finite(const float *x)
{
    const __m512 most = _mm512_set1_ps(0x1.fep127f);

    return _mm512_max_ps(_mm512_min_ps(_mm512_loadu_ps(x), most), -most);
}

/* Keys: step of dimensions, sixteen positions; in such a tile pair of dimensions, position. */
static void bf16_store_key(const float *x, uint32_t dim, uint32_t position, uint16_t *keys)
{
    uint32_t pair[PAIRS];

    keys += position / LANES * TILE_HALVES + (size_t)(position % LANES) * KERNEL_PAIR;
    for (uint32_t d = 0; d < dim; d += STEP, keys += KERNEL_PAGE / LANES * TILE_HALVES) {
        __m512i both = to_bf16(cut_finite(x + d), cut_finite(x + d + LANES));
        _mm512_storeu_si512(pair, both);
        for (size_t i = 0; i < PAIRS; i++)
            memcpy(keys + i * PAIR_HALVES, &pair[i], sizeof pair[i]);
    }
}

/* Values: sixteen dimensions, step of positions; in such a tile pair of positions, dimension. Only this
 * position's halves are written: a neighbour's may be written at the same time. */
static void bf16_store_value(const float *x, uint32_t dim, uint32_t position, uint16_t *values)
{
    const __mmask32 mine = position % KERNEL_PAIR ? 0xaaaaaaaa : 0x55555555;
    const size_t step = KERNEL_PAGE / STEP * TILE_HALVES;

    values += position / STEP * TILE_HALVES + position % STEP / KERNEL_PAIR * PAIR_HALVES;
    for (uint32_t d = 0; d < dim; d += LANES, values += step) {
        __m512i half = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(cut_finite(x + d)));
        _mm512_mask_storeu_epi16(values, mine, _mm512_or_si512(half, _mm512_slli_epi32(half, 16)));
    }
}

/* A row's weights, as bfloat16 where its scores were. */
static void bf16_soften(const struct kernel_attention *a, uint32_t row)
{
    float *weight = a->scores + (size_t)row * KERNEL_PAGE;

    body_soften(a, row);
    for (uint32_t k = 0; k < KERNEL_PAGE; k += STEP)
        _mm512_storeu_si512(weight + k / 2, to_bf16(_mm512_loadu_ps(weight + k),
                                                    _mm512_loadu_ps(weight + k + LANES)));
}

/* For a kind's table. */
#define BF16_STORE_OPS                                                                             \
    .cache = KERNEL_CACHE_BF16, .store_key = bf16_store_key, .store_value = bf16_store_value

#endif
