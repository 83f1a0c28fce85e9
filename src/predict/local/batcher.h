/* batcher.h -- continuous batching: many answers at once through one runtime.
 *
 * Why: a forward pass over many rows costs little more than over one, what requests share at their
 * beginning need be computed once, and no sequence should idle while requests wait.
 *
 * Data:    task -> run (one for each candidate) -> waiting -> a sequence of the cache -> rows of a
 *          forward -> sampled tokens -> text -> task done.
 * Prefix:  a run starts from the longest computed beginning of its prompt, shared in the cache. It
 *          waits while another run is computing a beginning that would save it DEFER_TOKENS_MIN.
 *          A finished prompt's beginning stays in the cache while waiting prompts share it or others
 *          have, the least recently used going first when room is needed.
 * Room:    sequences start optimistically; when the cache is full the youngest goes back to the
 *          queue with what it has generated, and goes on later.
 * Errors:  a task's failure is in the task. -1 from step: the runtime is broken; every open task was
 *          failed with the same error and can be taken.
 * Threads: one owner, the runtime's.
 */
#ifndef TRANCHE_PREDICT_LOCAL_BATCHER_H
#define TRANCHE_PREDICT_LOCAL_BATCHER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"
#include "format/request/request.h"
#include "format/response.h"
#include "predict/local/plan.h"
#include "predict/local/runtime.h"
#include "predict/local/sampler.h"

/* One answer of a task. */
struct generated {
    struct buf text; /* valid UTF-8 */
    enum finish_reason finish;
    uint32_t token_count; /* without the token that ends a turn */
    double logprob_sum;   /* of the chosen tokens, natural logarithm */
    /* With task.logprobs: token_count of chosen, token_count rows of top_count; texts in task.arena. */
    struct token_logprob *chosen, *top;
    uint32_t logprob_cap;
};

/* A request as the batcher sees it. The maker fills the first part and owns the task again when
 * batcher_done gives it back. */
struct task {
    void *tag;
    struct tokens prompt; /* owned */
    uint32_t tokens_max;  /* at least 1: generated at most, for each candidate */
    uint32_t candidate_count;
    struct sampling sampling; /* candidate i has seed + i */
    struct str grammar;       /* GBNF; empty: any text. Borrowed */
    const struct str *stop;   /* stop_count of them; borrowed */
    uint32_t stop_count;
    bool logprobs;      /* keep the logarithms of each token's probability, */
    uint32_t top_count; /* and this many likeliest tokens beside it */

    struct error error; /* OK: the candidates are answers */
    struct generated candidate[REQUEST_CANDIDATES_MAX];
    uint32_t cached_tokens; /* of the prompt: taken from another request's cache */
    struct arena arena;
    uint32_t open; /* candidates not finished; the batcher's */
    bool begun;    /* a candidate has had a sequence; the batcher's */
    struct task *next;
};
struct task *task_new(void);
void task_free(struct task *t); /* accepts NULL */

struct batcher_stats {
    uint64_t prompt_tokens, reused_tokens, computed_tokens, generated_tokens;
    uint64_t forwards, preempted;
    uint32_t active;   /* sequences computing */
    uint32_t retained; /* sequences that only keep a prefix */
};

struct batcher;
struct batcher *batcher_new(struct runtime *r, const struct batcher_plan *plan);
void batcher_free(struct batcher *b); /* open tasks are freed with it; accepts NULL */
void batcher_add(struct batcher *b, struct task *t); /* takes t */
/* One round: admits, computes, samples. */
int batcher_step(struct batcher *b, struct error *e) FALLIBLE;
/* A finished task, which is the caller's then, or NULL. */
struct task *batcher_done(struct batcher *b);
/* Fails every task that has not begun. */
void batcher_drop_waiting(struct batcher *b, const struct error *why);
uint32_t batcher_open(const struct batcher *b); /* tasks not finished */
void batcher_stats(const struct batcher *b, struct batcher_stats *out);

#endif
