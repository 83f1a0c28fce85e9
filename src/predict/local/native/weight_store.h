/* weight_store.h -- packed weights in memory that outlives the process which packed them.
 *
 * Why: packing takes most of the time in which a model is opened. A process that dies on a request is started
 * again; the next one maps the weights that the first one packed.
 *
 * Shape:   the parent holds a memfd and gives it to each process. The first takes pieces, fills them and calls
 *          weight_store_finish; the parent seals the memfd against writing then. The next finds it full and takes
 *          the same pieces in the same order.
 * Checks:  it is used only by those that open the same file, of the same size and time, in the same format.
 * Errors:  none is fatal: without a store the weights are packed in the process's own memory.
 * Threads: one, while a model is opened; then the pieces are only read.
 * Source:  memfd_create(2), fcntl(2): F_ADD_SEALS; madvise(2): MADV_COLLAPSE.
 */
#ifndef TRANCHE_PREDICT_LOCAL_NATIVE_WEIGHT_STORE_H
#define TRANCHE_PREDICT_LOCAL_NATIVE_WEIGHT_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernel/kernel.h"

struct weight_store;
/* model_fd: the model's file. bytes: at least what all pieces take. NULL: it cannot be used. */
struct weight_store *weight_store_open(int fd, int model_fd, enum kernel_format format,
                                       uint64_t bytes);
void weight_store_close(struct weight_store *s);         /* accepts NULL */
bool weight_store_is_full(const struct weight_store *s); /* false for NULL */
/* The next piece: zeros, or what was packed there; on a boundary of KERNEL_ALIGN. NULL: no room. */
void *weight_store_take(struct weight_store *s, uint64_t bytes);
/* All pieces are filled: nothing writes into them any more. False: the store cannot be used again. */
bool weight_store_finish(struct weight_store *s);
/* The parent's: seals what a process has finished; nothing happens to a store that is not. */
void weight_store_seal(int fd);

#endif
