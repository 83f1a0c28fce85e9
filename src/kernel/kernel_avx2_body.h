/* kernel_avx2_body.h -- the common part of AVX2 with and without VNNI: all but the product of a quad,
 * add_quads, and the beginning of a sum, begin_sum. Sixteen registers hold three rows by two
 * registers of eight outputs: six sums in int32 and six in float.
 *
 * Threads: none; pure functions.
 */
#define QUADS (KERNEL_GROUP / KERNEL_QUAD)
#define PARTS 2 /* registers taken together */
#define ROWS_TOGETHER 3
#define TILE_QUAD_BYTES ((size_t)KERNEL_TILE * KERNEL_QUAD)
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

/* A number that a half cannot hold is cut to the largest: an infinity would poison every product. */
LANES_INLINE void lanes_to_halves(uint16_t *p, lanes v)
{
    const __m256 most = _mm256_set1_ps(65504.0f);
    __m256 cut = _mm256_max_ps(_mm256_min_ps(v, most), -most);

    _mm_storeu_si128((__m128i_u *)(void *)p, _mm256_cvtps_ph(cut, _MM_FROUND_TO_NEAREST_INT));
}

#include "kernel/body_attend.h"

/* The features that both kinds need; clang's list of features lacks F16C. */
static bool has_avx2(void)
{
    unsigned int a = 0, b = 0, c = 0, d = 0;

    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}

/* PARTS registers of a tile's outputs, and ROWS_TOGETHER rows at most from row `at` of a block. */
struct piece {
    const uint8_t *quant;
    const float *scale;
    const struct kernel_rows_int8 *x;
    uint32_t at;
};

LANES_INLINE void add_group(const int m, const struct piece *of, __m256 f[][PARTS])
{
    __m256i c[ROWS_TOGETHER][PARTS];

    for (int i = 0; i < m; i++)
        for (size_t p = 0; p < PARTS; p++)
            c[i][p] = begin_sum(of->x->offset[of->at + (uint32_t)i]);
    for (size_t q = 0; q < QUADS; q++) {
        const uint8_t *w = of->quant + q * TILE_QUAD_BYTES;
        for (int i = 0; i < m; i++) {
            int32_t four;
            memcpy(&four, of->x->quant[of->at + (uint32_t)i] + q * KERNEL_QUAD, sizeof four);
            __m256i a = _mm256_set1_epi32(four);
            for (size_t p = 0; p < PARTS; p++)
                c[i][p] =
                    add_quads(c[i][p], _mm256_load_si256((const __m256i *)(const void *)w + p), a);
        }
    }
    for (size_t p = 0; p < PARTS; p++) {
        __m256 d = _mm256_load_ps(of->scale + p * LANES);
        for (int i = 0; i < m; i++) {
            __m256 both = _mm256_mul_ps(d, _mm256_set1_ps(of->x->scale[of->at + (uint32_t)i]));
            f[i][p] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(c[i][p]), both, f[i][p]);
        }
    }
}

LANES_INLINE void multiply_piece(const int m, struct piece of, uint32_t groups,
                                 struct kernel_outputs out)
{
    __m256 f[ROWS_TOGETHER][PARTS];

    for (int i = 0; i < m; i++)
        for (size_t p = 0; p < PARTS; p++)
            f[i][p] = _mm256_setzero_ps();
    for (uint32_t g = 0; g < groups; g++) {
        add_group(m, &of, f);
        of.quant += (size_t)KERNEL_TILE * KERNEL_GROUP;
        of.scale += KERNEL_TILE;
        of.x++;
    }
    for (int i = 0; i < m; i++)
        for (size_t p = 0; p < PARTS; p++) {
            float *to = out.at + (size_t)i * out.stride + p * LANES;
            lanes_store(to, out.adds ? lanes_load(to) + (lanes)f[i][p] : (lanes)f[i][p]);
        }
}

static void avx2_product(const struct kernel_weights *w, uint32_t tile, const struct kernel_rows *x,
                         uint32_t first, uint32_t count, struct kernel_outputs out)
{
    const uint32_t groups = w->columns / KERNEL_GROUP;
    const uint8_t *quant = w->packed + (size_t)tile * groups * KERNEL_TILE * KERNEL_GROUP;
    const float *scale = w->scale + (size_t)tile * groups * KERNEL_TILE;

    while (count) {
        uint32_t m = count >= ROWS_TOGETHER ? ROWS_TOGETHER : 1;
        for (uint32_t skip = 0; skip < KERNEL_TILE; skip += PARTS * LANES) {
            const struct piece of = { quant + (size_t)skip * KERNEL_QUAD, scale + skip,
                                      int8_at(x, first, 0), first % KERNEL_SIX };
            const struct kernel_outputs to = { out.at + skip, out.stride, out.adds };
            if (m == ROWS_TOGETHER)
                multiply_piece(ROWS_TOGETHER, of, groups, to);
            else
                multiply_piece(1, of, groups, to);
        }
        first += m;
        count -= m;
        out.at += m * out.stride;
    }
}
