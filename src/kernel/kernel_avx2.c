/* AVX2 with FMA and F16C. Its one instruction for int8 wants an unsigned factor and saturates, so the
 * rows' signs go over to the weights: |a| * sign(w, a), of which two always fit an int16. */
#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>

#define LANES 8
#include "kernel/kinds.h"
#include "kernel/lanes.h"
#include "kernel/quantise_plain.h"

LANES_INLINE __m256i begin_sum(int32_t offset)
{
    (void)offset; /* the bias is taken out of the weights instead */
    return _mm256_setzero_si256();
}

LANES_INLINE __m256i add_quads(__m256i sum, __m256i w, __m256i a)
{
    __m256i value = _mm256_xor_si256(w, _mm256_set1_epi8((char)KERNEL_BIAS));
    __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(a), _mm256_sign_epi8(value, a));

    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

#include "kernel/kernel_avx2_body.h"

const struct kernel_ops kernel_avx2_ops = {
    .name = "avx2",
    .layout = { KERNEL_INT8, KERNEL_SIX },
    .runs_here = has_avx2,
    .quantise = quantise_plain,
    .product = avx2_product,
    BODY_OPS,
    BODY_ATTEND_OPS,
};
#endif
