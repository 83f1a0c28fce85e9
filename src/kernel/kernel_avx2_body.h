/* kernel_avx2_body.h -- what AVX2 with and without VNNI have in common: all but the product of a quad,
 * add_quads, and what the sums begin with, begin_sum. Sixteen registers hold three rows by two
 * registers of eight outputs: six sums in int32 and six in float.
 *
 * Threads: none; pure functions.
 */
#define QUADS (KERNEL_GROUP / KERNEL_QUAD)
#define PARTS 2 /* registers taken together */
#define ROWS_TOGETHER 3
#define BODY_ROWS 1

LANES_INLINE lanes lanes_madd(lanes a, lanes b, lanes c)
{
    return _mm256_fmadd_ps(a, b, c);
}

LANES_INLINE lanes lanes_max(lanes a, lanes b)
{
    return _mm256_max_ps(a, b);
}

LANES_INLINE lanes lanes_halves(const uint16_t *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i_u *)(const void *)p));
}

/* Beyond what a half can hold is cut to it: an infinity would poison whatever it is multiplied with. */
LANES_INLINE void lanes_to_halves(uint16_t *p, lanes v)
{
    const __m256 most = _mm256_set1_ps(65504.0f);
    __m256 cut = _mm256_max_ps(_mm256_min_ps(v, most), -most);

    _mm_storeu_si128((__m128i_u *)(void *)p, _mm256_cvtps_ph(cut, _MM_FROUND_TO_NEAREST_INT));
}

#include "kernel/lanes_fold.h"

#include "kernel/body.h"

/* One group of ROWS_TOGETHER rows at most, from row `at` of the block, and PARTS registers. */
LANES_INLINE void add_group(const int m, const uint8_t *quant, const float *scale,
                            const struct kernel_rows_group *x, uint32_t at, __m256 f[][PARTS])
{
    __m256i c[ROWS_TOGETHER][PARTS];

    for (int i = 0; i < m; i++)
        for (int p = 0; p < PARTS; p++)
            c[i][p] = begin_sum(x->offset[at + (uint32_t)i]);
    for (int q = 0; q < QUADS; q++) {
        const uint8_t *w = quant + q * KERNEL_TILE * KERNEL_QUAD;
        for (int i = 0; i < m; i++) {
            int32_t four;
            memcpy(&four, x->quant[at + (uint32_t)i] + q * KERNEL_QUAD, sizeof four);
            __m256i a = _mm256_set1_epi32(four);
            for (int p = 0; p < PARTS; p++)
                c[i][p] =
                    add_quads(c[i][p], _mm256_load_si256((const __m256i *)(const void *)w + p), a);
        }
    }
    for (int p = 0; p < PARTS; p++) {
        __m256 d = _mm256_load_ps(scale + p * LANES);
        for (int i = 0; i < m; i++) {
            __m256 both = _mm256_mul_ps(d, _mm256_set1_ps(x->scale[at + (uint32_t)i]));
            f[i][p] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(c[i][p]), both, f[i][p]);
        }
    }
}

/* PARTS * LANES outputs, from output `skip` of the tile. */
LANES_INLINE void multiply_part(const int m, const struct kernel_weights *w, size_t first_group,
                                uint32_t skip, const struct kernel_rows_group *x, uint32_t at,
                                float *out, size_t stride)
{
    const uint8_t *quant = w->quant + first_group * KERNEL_TILE * KERNEL_GROUP + skip * KERNEL_QUAD;
    const float *scale = w->scale + first_group * KERNEL_TILE + skip;
    __m256 f[ROWS_TOGETHER][PARTS];

    for (int i = 0; i < m; i++)
        for (int p = 0; p < PARTS; p++)
            f[i][p] = _mm256_setzero_ps();
    for (uint32_t g = 0; g < w->columns / KERNEL_GROUP; g++) {
        add_group(m, quant, scale, x++, at, f);
        quant += KERNEL_TILE * KERNEL_GROUP;
        scale += KERNEL_TILE;
    }
    for (int i = 0; i < m; i++)
        for (int p = 0; p < PARTS; p++)
            _mm256_storeu_ps(out + (size_t)i * stride + skip + (size_t)p * LANES, f[i][p]);
}

static void avx2_product(const struct kernel_weights *w, uint32_t tile, const struct kernel_rows *x,
                         uint32_t first, uint32_t count, float *out, size_t stride)
{
    const size_t group = (size_t)tile * (w->columns / KERNEL_GROUP);

    while (count) {
        const struct kernel_rows_group *rows = kernel_rows_at(x, first);
        uint32_t at = first % KERNEL_BLOCK, m = count >= ROWS_TOGETHER ? ROWS_TOGETHER : 1;
        for (uint32_t skip = 0; skip < KERNEL_TILE; skip += PARTS * LANES) {
            if (m == ROWS_TOGETHER)
                multiply_part(ROWS_TOGETHER, w, group, skip, rows, at, out, stride);
            else
                multiply_part(1, w, group, skip, rows, at, out, stride);
        }
        first += m;
        count -= m;
        out += m * stride;
    }
}
