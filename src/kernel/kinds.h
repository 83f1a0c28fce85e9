/* kinds.h -- the tables of each kind of CPU, for kernel.c. Another kind is another file and a line in
 * its list.
 *
 * Threads: constants.
 */
#ifndef TRANCHE_KERNEL_KINDS_H
#define TRANCHE_KERNEL_KINDS_H

#include "kernel/kernel.h"

static inline struct kernel_rows_int8 *int8_at(const struct kernel_rows *x, uint32_t row,
                                               uint32_t group)
{
    return (struct kernel_rows_int8 *)(void *)kernel_rows_at(x, row, group);
}

extern const struct kernel_ops kernel_amx_ops;        /* AMX with bfloat16 */
extern const struct kernel_ops kernel_avx512bf16_ops; /* AVX-512 with VNNI and fast bfloat16 */
extern const struct kernel_ops kernel_avx512_ops;     /* AVX-512 with VNNI */
extern const struct kernel_ops kernel_avxvnni_ops;    /* AVX2 with VNNI */
extern const struct kernel_ops kernel_avx2_ops;       /* AVX2 with FMA and F16C */
extern const struct kernel_ops kernel_plain_ops;      /* C */

#endif
