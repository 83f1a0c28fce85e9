#include "kernel/kernel.h"

#include "base/mem.h"
#include "kernel/kinds.h"

static const struct kernel_ops *const kinds[] = {
#if defined(__x86_64__)
    &kernel_amx_ops,     &kernel_avx512bf16_ops, &kernel_avx512_ops,
    &kernel_avxvnni_ops, &kernel_avx2_ops,
#endif
    &kernel_plain_ops,
};
#define KIND_COUNT ((uint32_t)(ARRAY_LEN(kinds)))

const struct kernel_ops *kernel_at(uint32_t i)
{
    return i < KIND_COUNT ? kinds[i] : NULL;
}

const struct kernel_ops *kernel_best(bool small)
{
    uint32_t i = 0;

    while ((small && kinds[i]->layout.format != KERNEL_INT8) || !kinds[i]->runs_here())
        i++; /* the last is small and runs everywhere */
    return kinds[i];
}
