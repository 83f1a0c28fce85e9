/* kernel_avx512_body.h -- lanes of sixteen floats, and the features that their kinds need.
 *
 * Threads: none; pure functions.
 */
#ifndef TRANCHE_KERNEL_KERNEL_AVX512_BODY_H
#define TRANCHE_KERNEL_KERNEL_AVX512_BODY_H

#include <immintrin.h>

#define LANES 16
#include "kernel/kinds.h"
#include "kernel/lanes.h"

LANES_INLINE lanes lanes_madd(lanes a, lanes b, lanes c)
{
    return _mm512_fmadd_ps(a, b, c);
}

LANES_INLINE lanes lanes_max(lanes a, lanes b)
{
    return _mm512_max_ps(a, b);
}

LANES_INLINE float lanes_sum(lanes v)
{
    return _mm512_reduce_add_ps(v);
}

LANES_INLINE float lanes_most(lanes v)
{
    return _mm512_reduce_max_ps(v);
}

#include "kernel/body.h"

/* The features that all these kinds need. */
static bool has_avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
}

#endif
