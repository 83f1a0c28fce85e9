/* batcher.h -- continuous batching: many answers at once through one runtime.
 *
 * Why: a forward over many rows costs little more than one over one row; a beginning that requests
 *      have in common need be computed only once; no sequence should idle while requests wait.
 *
 * Data:    task -> candidates -> waiting -> a sequence of the cache -> rows of a forward -> sampled
 *          tokens -> text -> task done.
 * Prefix:  a candidate reuses the longest computed beginning of its prompt. It waits while another one
 *          computes a beginning that would save it PREFIX_TOKENS_MIN tokens. A finished prompt's
 *          beginning stays in the cache while waiting prompts have it too or others have reused it;
 *          the least recently used goes first when room is needed.
 * Room:    sequences start optimistically. When the cache is full, the youngest candidate goes back to
 *          the queue with the tokens it has generated, and goes on later.
 * Fair:    a round spends BATCHER_FOLLOW_NS on constraints, and one choice more at most. The logits whose
 *          choices come later are held, and no row of such a candidate is computed until then: a schema that is
 *          slow to follow slows down its own answers. Which tokens are chosen does not depend on it.
 * Cancel:  the candidates of a cancelled task, and of one that has failed, end at the next step.
 * Errors:  a task's failure is in the task. -1 from step: the runtime is broken; every open task has
 *          failed with the same error and can be taken.
 * Threads: one owner, the runtime's.
 */
#ifndef TRANCHE_PREDICT_LOCAL_BATCHER_H
#define TRANCHE_PREDICT_LOCAL_BATCHER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "predict/local/candidate.h"
#include "predict/local/plan.h"
#include "predict/local/runtime.h"

#define BATCHER_FOLLOW_NS (15 * NS_PER_MS)

struct batcher_stats {
    uint64_t prompt_tokens, reused_tokens, computed_tokens, generated_tokens;
    uint64_t forced_tokens; /* of the generated ones */
    uint64_t preempted;     /* candidates that had to give their cells up */
    uint64_t held;          /* choices that were put off to a later round */
    uint32_t active;        /* sequences computing */
    struct constraint_cost constraints;
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
