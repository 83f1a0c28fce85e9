/* AVX2 with the VNNI instructions of its own (AVX-VNNI: CPUs without AVX-512). */
#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>

#define LANES 8
#include "kernel/kinds.h"
#include "kernel/lanes.h"
#include "kernel/quantise_plain.h"

LANES_INLINE __m256i begin_sum(int32_t offset)
{
    return _mm256_set1_epi32(offset);
}

LANES_INLINE __m256i add_quads(__m256i sum, __m256i w, __m256i a)
{
    return _mm256_dpbusd_avx_epi32(sum, w, a);
}

#include "kernel/kernel_avx2_body.h"

/* The compiler's list of features lacks this one. */
static bool avxvnni_runs_here(void)
{
    const unsigned int avxvnni = 1u << 4; /* leaf 7, subleaf 1, EAX */
    unsigned int a = 0, b = 0, c = 0, d = 0;

    return has_avx2() && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & avxvnni);
}

const struct kernel_ops kernel_avxvnni_ops = {
    .name = "avx-vnni",
    .layout = { KERNEL_INT8, KERNEL_SIX },
    .runs_here = avxvnni_runs_here,
    .quantise = quantise_plain,
    .product = avx2_product,
    BODY_OPS,
    BODY_ATTEND_OPS,
};
#endif
