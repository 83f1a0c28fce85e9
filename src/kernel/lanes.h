/* lanes.h -- as many floats as a register holds, as GCC and Clang write them for any machine.
 *
 * Why: a function that is not worth an instruction set of its own is written once, in body.h, over this
 *      type. A kind defines LANES, 4, 8 or 16, before it includes this, and then the functions for which
 *      C has no operator: lanes_madd, lanes_max, lanes_halves, lanes_to_halves; with 16 lanes, which
 *      have instructions for them, also lanes_sum and lanes_most.
 *
 * Order:   lanes_sum and lanes_most fold the upper half upon the lower one until one is left.
 * Threads: none; pure functions.
 */
#ifndef TRANCHE_KERNEL_LANES_H
#define TRANCHE_KERNEL_LANES_H

#include <stdint.h>
#include <string.h>

#ifndef LANES
#error "a kind defines LANES"
#endif
typedef float lanes __attribute__((vector_size(LANES * sizeof(float))));
typedef int32_t lanes_int __attribute__((vector_size(LANES * sizeof(int32_t))));

#define LANES_INLINE static inline __attribute__((always_inline))

LANES_INLINE lanes lanes_load(const float *p)
{
    lanes v;

    memcpy(&v, p, sizeof v);
    return v;
}

LANES_INLINE void lanes_store(float *p, lanes v)
{
    memcpy(p, &v, sizeof v);
}

LANES_INLINE lanes lanes_spread(float x)
{
    return x - (lanes){ 0 };
}

/* a where mask is all ones, b where it is zero. */
LANES_INLINE lanes lanes_choose(lanes_int mask, lanes a, lanes b)
{
    return (lanes)((mask & (lanes_int)a) | (~mask & (lanes_int)b));
}

#if LANES < 16
LANES_INLINE float lanes_sum(lanes v)
{
    for (int half = LANES / 2; half; half /= 2)
        for (int i = 0; i < half; i++)
            v[i] += v[i + half];
    return v[0];
}

LANES_INLINE float lanes_most(lanes v)
{
    for (int half = LANES / 2; half; half /= 2)
        for (int i = 0; i < half; i++)
            v[i] = v[i] > v[i + half] ? v[i] : v[i + half];
    return v[0];
}
#endif

#endif
