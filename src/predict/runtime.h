/* runtime.h -- a language model that computes packed batches: what the batcher knows of it.
 *
 * Why: the batcher (continuous batching, prefixes, sampling, stopping) is ours and stays; the library
 * that multiplies matrices can change. runtime_llama is libllama; a native one can follow.
 *
 * Shape:   a batch is `count` rows (sequence, position, token), rows of one sequence in order of
 *          position, positions without holes after what the cache holds. A row that wants logits
 *          gives `vocab` floats.
 * Cache:   cells hold one (position, token) for one or more sequences. copy shares the cells of
 *          [0, len) with another sequence, which must be empty; cells are freed when no sequence
 *          holds them.
 * Errors:  RESOURCE_EXHAUSTED from forward: no room in the cache, nothing was changed. INTERNAL: the
 *          runtime is broken and only close may follow.
 * Threads: one thread owns a runtime, the batcher's. tokenize, piece and template are also safe from
 *          other threads, as they only read.
 */
#ifndef TRANCHE_PREDICT_RUNTIME_H
#define TRANCHE_PREDICT_RUNTIME_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/str.h"
#include "predict/model.h"

struct runtime_info {
    uint32_t vocab;        /* tokens in the vocabulary */
    uint32_t context_max;  /* tokens that the model was trained for */
    uint32_t cells;        /* of the cache */
    uint32_t sequences;    /* ids are 0 .. sequences - 1 */
    uint32_t rows_max;     /* of one forward */
    uint64_t memory_bytes; /* weights and cache */
    char name[96];         /* of the model, from its file: "smollm2-135m-instruct-q8_0" */
};

struct runtime_row {
    int32_t token;
    uint32_t sequence, position;
    bool logits; /* wanted for this row */
};

struct chat_message {
    struct str role; /* "system", "user", "assistant" */
    struct str text;
};

struct grammar; /* a constraint on the text, one for each candidate */

struct runtime_wish {
    uint32_t cells, sequences, rows_max, threads;
};

struct runtime;
struct runtime_ops {
    const char *name;
    void (*info)(struct runtime *r, struct runtime_info *out);
    /* Text to tokens; *count says how many there are even if only cap were written. Special tokens
     * in the text are parsed only when special. */
    int (*tokenize)(struct runtime *r, struct str text, bool special, int32_t *out, uint32_t cap,
                    uint32_t *count, struct error *e) FALLIBLE;
    /* The bytes of a token (part of a character perhaps); special ones give none. */
    void (*piece)(struct runtime *r, int32_t token, struct buf *out);
    bool (*is_end)(struct runtime *r, int32_t token); /* ends a turn */
    /* The prompt of a conversation by the model's own template, ready for the model's answer. */
    int (*prompt)(struct runtime *r, const struct chat_message *m, uint32_t count, struct buf *out,
                  struct error *e) FALLIBLE;
    /* Computes the batch; logits of the wanting rows can be read until the next forward. */
    int (*forward)(struct runtime *r, const struct runtime_row *row, uint32_t count,
                   struct error *e) FALLIBLE;
    const float *(*logits)(struct runtime *r, uint32_t row); /* row index in the last batch */
    void (*copy)(struct runtime *r, uint32_t from, uint32_t to, uint32_t len);
    void (*trim)(struct runtime *r, uint32_t sequence, uint32_t len); /* drops positions >= len */

    /* A grammar from JSON Schema text. INVALID_ARGUMENT when the schema cannot be a grammar. */
    struct grammar *(*grammar_new)(struct runtime *r, struct str json_schema, struct error *e);
    bool (*grammar_allows)(struct grammar *g, int32_t token);
    /* Sets the logits of tokens that may not come next to -INFINITY. */
    void (*grammar_mask)(struct grammar *g, float *logits, uint32_t vocab);
    void (*grammar_accept)(struct grammar *g, int32_t token);
    void (*grammar_free)(struct grammar *g);

    void (*close)(struct runtime *r);
};
struct runtime {
    const struct runtime_ops *ops;
};

struct runtime *runtime_llama_open(const struct model *m, const struct runtime_wish *wish,
                                   struct error *e);

#endif
