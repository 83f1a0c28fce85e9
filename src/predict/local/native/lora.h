/* lora.h -- LoRA adapters over a decoder: a change of low rank of its matrices, read from GGUF files.
 *
 * Why: tuned models differ from their base in some thousandths of its weights. With the change kept by
 *      itself, rows of many tuned models go through the base together (forward.h), and only the change
 *      is computed for each adapter by itself.
 *
 * Shape:   a matrix W [outputs][columns] becomes W + B * A, with A [rank][columns] and B [outputs][rank]
 *          times the scale. Ranks are padded to whole groups. Several files over one model are one
 *          change, whose rank is the sum.
 * Covers:  the attention's and the gated unit's matrices and the output matrix; not the embedding.
 * Errors:  UNIMPLEMENTED for a change that it does not cover, or that does not fit the decoder;
 *          FAILED_PRECONDITION for a file that is damaged or no adapter.
 * Threads: an opened one is read only. The table may be used from any thread.
 * Source:  Hu et al., arXiv:2106.09685; llama.cpp, src/llama-adapter.cpp.
 */
#ifndef TRANCHE_PREDICT_LOCAL_NATIVE_LORA_H
#define TRANCHE_PREDICT_LOCAL_NATIVE_LORA_H

#include "predict/local/native/decoder.h"
#include "predict/local/runtime.h"

#define LORA_RANK_MAX 512 /* of one matrix, all files together */
#define LORA_RANK_GROUPS (LORA_RANK_MAX / KERNEL_GROUP)
#define LORA_TOGETHER 3 /* parts that read the same rows: queries, keys and values */

enum lora_part {
    LORA_QUERY,
    LORA_KEY,
    LORA_VALUE,
    LORA_ATTENTION_OUT,
    LORA_GATE,
    LORA_UP,
    LORA_DOWN,
    LORA_PARTS
};

struct low_rank {
    struct kernel_weights a; /* [rank][columns]; packed is NULL: the matrix stays as it is */
    struct kernel_weights b; /* [outputs][rank] */
};

struct lora {
    struct low_rank *part; /* [layers][LORA_PARTS], and one more: the output matrix */
    uint32_t parts;
    uint64_t bytes;
};

struct lora *lora_open(const struct decoder *d, enum kernel_format format,
                       const struct adapter_list *files, struct error *e);

/* The output matrix is part LORA_QUERY of layer `layers`. */
static inline const struct low_rank *lora_part(const struct lora *l, uint32_t layer, uint32_t part)
{
    return &l->part[layer * LORA_PARTS + part];
}

/* The adapters of a runtime, by the number that rows have. */
struct lora_table;
struct lora_table *lora_table_new(void);
void lora_table_free(struct lora_table *t); /* and all in it; accepts NULL */
/* Takes l. RESOURCE_EXHAUSTED when RUNTIME_ADAPTERS_MAX are there. */
int lora_table_put(struct lora_table *t, uint32_t id, struct lora *l, struct error *e) FALLIBLE;
void lora_table_drop(struct lora_table *t, uint32_t id); /* no forward uses it any more */
const struct lora *lora_table_find(struct lora_table *t, uint32_t id);

#endif
