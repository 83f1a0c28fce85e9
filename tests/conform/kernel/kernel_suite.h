/* kernel_suite.h -- the kinds of kernel that run on this machine, and numbers by chance for them.
 *
 * Why: forward.c knows struct kernel_ops only; what it relies on is tested once, in test_product_conform
 *      and test_attention_conform, for every kind that this CPU can run.
 *
 * Threads: one. Include after cmocka.h.
 */
#ifndef TRANCHE_TESTS_KERNEL_SUITE_H
#define TRANCHE_TESTS_KERNEL_SUITE_H

#include <string.h>

#include "base/mem.h"
#include "kernel/kernel.h"

/* Uniform in [-1, 1); the same numbers in every run. */
static inline float chance(uint64_t *state)
{
    *state = *state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (float)(int32_t)(*state >> 32) * 0x1p-31f;
}

static inline float *chance_floats(size_t count, float size, uint64_t seed)
{
    float *x = mem_aligned((count + 16) * sizeof *x, KERNEL_ALIGN);

    for (size_t i = 0; i < count; i++)
        x[i] = chance(&seed) * size;
    return x;
}

/* The nearest bfloat16, as a float. */
static inline float rounded_to_bf16(float x)
{
    uint32_t bits;

    memcpy(&bits, &x, sizeof bits);
    bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000u;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Calls the test for every kind that runs here. */
static inline void for_each_kind(void (*test)(const struct kernel_ops *k))
{
    const struct kernel_ops *k;
    struct kernel_before before;

    for (uint32_t i = 0; (k = kernel_at(i)); i++) {
        if (!k->runs_here())
            continue;
        kernel_enter(k, &before);
        test(k);
        kernel_leave(k, &before);
    }
}

#endif
