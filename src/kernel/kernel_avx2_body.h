/* kernel_avx2_body.h -- what AVX2 with and without VNNI have in common: all but the product.
 *
 * Threads: none; pure functions.
 */
#define QUADS (KERNEL_GROUP / KERNEL_QUAD)
#define PARTS 2 /* registers of outputs that a product takes together */
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

/* Beyond what a half can hold is cut to it: an infinity would poison whatever it is multiplied with. */
LANES_INLINE void lanes_to_halves(uint16_t *p, lanes v)
{
    const __m256 most = _mm256_set1_ps(65504.0f);
    __m256 cut = _mm256_max_ps(_mm256_min_ps(v, most), -most);

    _mm_storeu_si128((__m128i_u *)(void *)p, _mm256_cvtps_ph(cut, _MM_FROUND_TO_NEAREST_INT));
}

#include "kernel/lanes_fold.h"

#include "kernel/body_attend.h"

/* What both need; clang's list of features lacks F16C. */
static bool has_avx2(void)
{
    unsigned int a = 0, b = 0, c = 0, d = 0;

    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}
