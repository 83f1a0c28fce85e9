/* model_check.h -- what a GGUF file is, without loading it: a model or an adapter, and what computes it.
 *
 * Why: a file from anywhere should be judged before a job waits for it: is it whole, is it covered by the
 *      native runtime, does it fit into memory, how fast will it be about.
 *
 * Errors:  NOT_FOUND and the like of reading; FAILED_PRECONDITION for a file that is not GGUF, is cut
 *          short, or claims what it cannot have.
 * Threads: any.
 * Source:  ggml/docs/gguf.md of llama.cpp.
 */
#ifndef TRANCHE_PREDICT_MODEL_CHECK_H
#define TRANCHE_PREDICT_MODEL_CHECK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define MODEL_FACT_BYTES 128

struct model_facts {
    bool adapter;
    char architecture[MODEL_FACT_BYTES], name[MODEL_FACT_BYTES];
    char licence[MODEL_FACT_BYTES]; /* as the file says; empty: it does not */
    uint64_t bytes, parameters, tensors;
    char format[MODEL_FACT_BYTES]; /* of most weights: "q8_0" */
    /* A model's: */
    uint32_t layers, context;
    bool has_template;
    bool native; /* false: libllama computes it, and this is why */
    char why[MODEL_FACT_BYTES * 2];
    uint64_t memory_bytes;      /* of weights, as they will be kept, about */
    uint64_t cache_token_bytes; /* of keys and values of a token */
    /* An adapter's: */
    uint32_t rank; /* the largest */
    float alpha;
};
int model_check(const char *path, struct model_facts *out, struct error *e) FALLIBLE;
/* Products of this machine, in operations a second, by a measurement of a fifth of a second: a prompt's
 * token takes two for each parameter, and a half is lost to the rest of a forward. */
double model_check_speed(bool native_large);

#endif
