/* run.h -- one candidate of a task on its way: its tokens, sampler, grammar and text.
 *
 * Why: the batcher decides what is computed when; a run knows what its next token is and when it is
 * at its end, and keeps that knowledge when the batcher takes its sequence away for a while.
 *
 * Shape:   tokens are the prompt and what was generated; the first `computed` are in the cache. The
 *          logits of the last one choose the next.
 * Threads: one owner, the batcher.
 */
#ifndef TRANCHE_PREDICT_LOCAL_RUN_H
#define TRANCHE_PREDICT_LOCAL_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "predict/local/tokens.h"
#include "predict/local/batcher.h"
#include "predict/local/sampler.h"

struct run {
    struct task *task;
    uint32_t candidate;
    struct tokens tokens;
    uint32_t computed;
    uint32_t sequence; /* while it computes */
    uint64_t order;    /* of arrival: the youngest has the highest */
    bool begun;        /* it has had a sequence */
    uint32_t passed;   /* how often another, longer one was preferred */
    struct sampler sampler;
    struct grammar *grammar; /* NULL: any text */
    struct answer_text text;
};

/* A row of logits; summary is NULL where the runtime makes none. */
struct sampled_row {
    const float *logits;
    const struct logits_summary *summary;
};

/* Where a run samples: the runtime and a row of scratch memory, of one batcher. */
struct sampling_place {
    struct runtime *runtime;
    uint32_t vocab, context_max;
    float *scratch;        /* vocab of them */
    struct scored *likely; /* vocab of them */
    struct buf piece;
};

struct run *run_new(struct task *t, uint32_t candidate);
void run_free(struct run *r, struct runtime *runtime); /* accepts NULL */
/* Makes the grammar, once. */
int run_begin(struct run *r, struct runtime *runtime, struct error *e) FALLIBLE;
/* Takes the logits of the last token: true when the answer is at its end and in the task. */
bool run_advance(struct run *r, struct sampling_place *at, const struct sampled_row *row);
/* Ends the answer with what there is. */
void run_finish(struct run *r, enum finish_reason why);

uint32_t run_left(const struct run *r);  /* tokens to compute before the next can be chosen */
bool run_answering(const struct run *r); /* only the last generated token is to be computed */

#endif
