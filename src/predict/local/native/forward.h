/* forward.h -- computes a decoder over a batch of rows: the arithmetic of runtime_native.
 *
 * Why: a batch knows all its rows, so everything but attention is a product of many rows with the
 *      weights, and attention goes page by page over the positions that neighbouring rows both see.
 *
 * Shape:   a row is a token at a position of a sequence. Pointers have their shapes beside them:
 *          [rows][width] is rows of `width` numbers, one behind the other.
 * Adapters: rows of several adapters go through a forward together.
 * Promise: the logits of a row depend on its sequence alone, bit by bit: not on the other rows, their
 *          order, the number of threads or where the batch was cut.
 * Memory:  all of it is made when it is opened.
 * Threads: the owner's, and the team's while forward_compute runs.
 */
#ifndef TRANCHE_PREDICT_LOCAL_NATIVE_FORWARD_H
#define TRANCHE_PREDICT_LOCAL_NATIVE_FORWARD_H

#include <stdint.h>

#include "kernel/kernel.h"
#include "predict/local/native/decoder.h"
#include "predict/local/native/lora.h"
#include "predict/local/native/page_cache.h"
#include "predict/local/native/team.h"
#include "predict/local/runtime.h"

struct forward_setup {
    const struct decoder *decoder;
    const struct kernel_ops *kernel;
    struct page_cache *cache;
    struct team *team;
    uint32_t rows_max;
    uint32_t logits_max;         /* rows of a batch that may want logits */
    struct lora_table *adapters; /* that rows name */
};

struct forward;
struct forward *forward_new(const struct forward_setup *setup);
void forward_free(struct forward *f); /* accepts NULL */
uint64_t forward_bytes(const struct forward *f);
/* row: [count]. The rows have room in the cache; their tokens are in the vocabulary, their adapters in
 * the table. */
void forward_compute(struct forward *f, const struct runtime_row *row, uint32_t count);
const float *forward_logits(const struct forward *f, uint32_t row); /* [vocab] */
struct logits_summary forward_summary(const struct forward *f, uint32_t row);

#endif
