/* AVX-512 with VNNI: products in int8, attention in floats over a cache in half precision. */
#if defined(__x86_64__)
#include "kernel/kernel_avx512_int8.h"

#define BODY_ROWS 6

LANES_INLINE lanes lanes_halves(const uint16_t *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i_u *)(const void *)p));
}

/* A number that a half cannot hold is cut to the largest: an infinity would poison every product. */
LANES_INLINE void lanes_to_halves(uint16_t *p, lanes v)
{
    const __m512 most = _mm512_set1_ps(65504.0f);
    __m512 cut = _mm512_max_ps(_mm512_min_ps(v, most), -most);

    _mm256_storeu_si256((__m256i_u *)(void *)p, _mm512_cvtps_ph(cut, _MM_FROUND_TO_NEAREST_INT));
}

#include "kernel/body_attend.h"

const struct kernel_ops kernel_avx512_ops = {
    .name = "avx512-vnni",
    .runs_here = has_vnni,
    INT8_OPS,
    BODY_OPS,
    BODY_ATTEND_OPS,
};
#endif
