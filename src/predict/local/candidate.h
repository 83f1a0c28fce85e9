/* candidate.h -- a request while it is answered (a task), and each of its candidates on its way.
 *
 * Why: the batcher decides what is computed when; a candidate knows what its next token is and when it
 *      is at its end, and keeps that knowledge when the batcher takes its sequence away for a while.
 *
 * Shape:   tokens are the prompt and what was generated; the first `computed` are in the cache. The
 *          logits of the last one choose the next.
 * Threads: one owner at a time: the session, then the batcher until the task is done, then the session.
 */
#ifndef TRANCHE_PREDICT_LOCAL_CANDIDATE_H
#define TRANCHE_PREDICT_LOCAL_CANDIDATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"
#include "format/request/request.h"
#include "format/response.h"
#include "predict/local/follower.h"
#include "predict/local/runtime.h"
#include "predict/local/sampler.h"

/* ---- Tasks ---- */

/* One answer of a task. */
struct generated {
    struct buf text;    /* valid UTF-8 */
    struct buf thought; /* the same, before the text */
    enum finish_reason finish;
    uint32_t token_count;   /* of the text, without the token that ends a turn */
    uint32_t thought_count; /* of the thought, with what ends it */
    uint32_t forced_count;  /* of them: those that the constraint left no choice about */
    double logprob_sum;     /* of the chosen tokens, natural logarithm */
    /* With task.logprobs: [token_count], and top_counts[i] likeliest of each token, one after the
     * other; their texts are in task.arena. A forced token is certain: its logarithm is 0. */
    struct token_logprob *chosen, *top;
    uint32_t *top_counts; /* [token_count] */
    uint32_t top_total;
};

/* Ways in which forced tokens join an answer. They are the same tokens at once and apart. */
enum forcing {
    FORCED_AT_ONCE,
    FORCED_APART, /* one a forward: for tests and bench/structured */
    FORCED_CHOSEN, /* not at all, the model chooses them among the allowed ones: for bench/structured */
};

struct adapter_slot;
struct media_entry;
/* Rows of media in a prompt. */
struct task_media {
    uint32_t at;    /* the row of the prompt at which they begin */
    uint32_t place; /* their first position for RoPE */
    const struct media_chunk *chunk;
};

/* A request as the batcher sees it. The maker fills the first part and owns the task again when
 * batcher_done gives it back. */
struct task {
    void *tag;
    const struct request *request; /* the session's; borrowed */
    struct tokens prompt;          /* owned; a row of media is the id of its chunk */
    struct task_media *media;      /* [media_count], in order; owned. The chunks are the maker's */
    uint32_t media_count;
    struct media_entry **entry; /* [entry_count]: what the chunks belong to; the list is owned */
    uint32_t entry_count;
    uint32_t image_tokens, video_tokens, audio_tokens; /* of the prompt */
    uint32_t tokens_max; /* at least 1: generated at most, for each candidate */
    uint32_t candidate_count;
    uint32_t adapter;              /* as runtime_row has it */
    struct adapter_slot *slot;     /* the session's: of the adapter; or NULL */
    struct sampling sampling;      /* candidate i has seed + i */
    struct constraint *constraint; /* owned, a reference; NULL: any text */
    enum call_format
        awaited;          /* not AUTO: the constraint begins with this format's marker of a call */
    bool thinks;          /* an answer begins within a thought */
    bool may_think;       /* it may begin one by itself */
    uint32_t thought_max; /* tokens of a thought */
    enum forcing forcing;
    const struct str *stop; /* stop_count of them; borrowed */
    uint32_t stop_count;
    bool logprobs;      /* keep the logarithms of each token's probability, */
    uint32_t top_count; /* and this many likeliest tokens beside it */

    atomic_bool
        cancelled;      /* nobody wants the answer: any thread may set it until the task is done */
    struct error error; /* OK: the candidates are answers */
    struct generated candidate[REQUEST_CANDIDATES_MAX];
    uint32_t cached_tokens; /* reused tokens of the prompt */
    struct arena arena;
    uint32_t open; /* candidates not finished; the batcher's */
    bool begun;    /* a candidate has had a sequence; the batcher's */
    struct task *next;
};
struct task *task_new(void);
void task_free(struct task *t); /* accepts NULL */
/* The first media that do not end before this row of the prompt; NULL: none. */
const struct task_media *task_media_from(const struct task *t, uint32_t row);
/* The number that RoPE turns a row by, less the row's number in the sequence. */
int32_t task_shift(const struct task *t, uint32_t row);

/* ---- Candidates ---- */

/* A candidate's place in its answer. MAYBE: what there is may become the tag that begins a thought. FREE: any text,
 * and a marker of a call begins the constraint. TEXT: the rest of the answer, by the constraint if there is one. */
enum phase { PHASE_NEW, PHASE_MAYBE, PHASE_THOUGHT, PHASE_FREE, PHASE_TEXT };

/* One candidate of a task while it is generated. */
struct candidate_run {
    struct task *task;
    uint32_t candidate;
    struct tokens tokens;
    uint32_t computed; /* of tokens: at most all of them */
    uint32_t sequence; /* while it computes */
    uint64_t order;    /* of arrival: the youngest has the highest */
    bool begun;        /* it has had a sequence */
    uint32_t passed;   /* how often another, longer one was preferred */
    struct sampler sampler;
    enum phase phase;
    struct follower *follower; /* NULL: any text */
    int32_t *forced;           /* with FORCED_APART: the tokens that come next, [forced_count] */
    uint32_t forced_count, forced_at;
    float *held;                   /* [vocab]: logits whose choice was put off; NULL: none */
    struct logits_summary summary; /* of held, where the runtime makes one */
    bool has_summary;
    uint64_t held_since;                     /* the least has waited longest */
    uint32_t counted_tokens, counted_forced; /* in the batcher's counters */
    struct answer_text text;
};

/* A row of logits. */
struct sampled_row {
    const float *logits;                  /* [vocab] */
    const struct logits_summary *summary; /* NULL where the runtime makes none */
};

/* Time that constraints took of the engine's thread. */
struct constraint_cost {
    uint64_t masks, mask_ns; /* computed for choices, and waiting for them */
    uint64_t follow_ns;      /* beginning, checking, taking tokens, and finding the forced ones */
};

/* The runtime and the scratch memory of one batcher's sampling. */
struct sampling_scratch {
    struct runtime *runtime;
    struct runtime_info info;
    uint32_t vocab, context_max;
    float *logits; /* [vocab]: with penalties, without what the constraint refuses */
    struct buf piece;
    struct constraint_cost cost;
};

struct candidate_run *candidate_new(struct task *t, uint32_t candidate);
void candidate_free(struct candidate_run *r); /* accepts NULL */
/* Once, before its first forward: begins to follow the constraint, and appends what it forces at the
 * beginning. True when that is the whole answer already, or has failed. */
bool candidate_begin(struct candidate_run *r, struct sampling_scratch *s);
/* Takes the logits of the last token, and appends what the constraint forces behind it: true when the
 * answer is at its end and in the task, or has failed. */
bool candidate_advance(struct candidate_run *r, struct sampling_scratch *s,
                       const struct sampled_row *row);
/* Puts the choice from these logits off to candidate_resume. */
void candidate_hold(struct candidate_run *r, uint32_t vocab, const struct sampled_row *row);
/* candidate_advance with the logits that are held. */
bool candidate_resume(struct candidate_run *r, struct sampling_scratch *s);
/* Forgets them: they will be computed again. */
void candidate_unhold(struct candidate_run *r);
/* Ends the answer with what there is. */
void candidate_finish(struct candidate_run *r, enum finish_reason why);

/* Tokens to compute before the next can be chosen. */
uint32_t candidate_left(const struct candidate_run *r);
/* True when its next choice needs the tokens that its constraint allows, and not one check only. */
bool candidate_needs_mask(const struct candidate_run *r);
/* True when only the last generated token is to be computed. */
bool candidate_answering(const struct candidate_run *r);

#endif
