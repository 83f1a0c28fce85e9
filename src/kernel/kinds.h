/* kinds.h -- the tables of each kind of CPU, for kernel.c. Another kind is another file and a line in
 * its list.
 *
 * Threads: constants.
 */
#ifndef TRANCHE_KERNEL_KINDS_H
#define TRANCHE_KERNEL_KINDS_H

#include "kernel/kernel.h"

extern const struct kernel_ops kernel_avx512_ops;  /* AVX-512 with VNNI */
extern const struct kernel_ops kernel_avxvnni_ops; /* AVX2 with VNNI */
extern const struct kernel_ops kernel_avx2_ops;    /* AVX2 with FMA and F16C */
extern const struct kernel_ops kernel_plain_ops;   /* C */

#endif
