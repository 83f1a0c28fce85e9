/* predictor.h -- a predictor answers requests: the embedded engine, upstream servers, or a fake.
 *
 * Why: the engine keeps a window of requests open and takes answers as they come, and must not know
 * who computes them. A session implements this interface; tests/conform/predict runs against every kind.
 *
 * Shape:   open (predictor_open) -> submit ... wait ... submit ... wait -> close.
 *          Answers come in any order; each submitted request gives exactly one.
 * Errors:  a request's failure is an answer with a code; -1 from submit means "full" (only
 *          RESOURCE_EXHAUSTED) or a broken session, -1 from wait means a broken session.
 * Threads: one thread owns a session and makes all calls, but accepts and count_tokens, which any
 *          number of threads may call at once. Kinds may have threads of their own.
 * Owns:    a submitted request is borrowed until its answer is taken; an answer belongs to the taker,
 *          who calls answer_release.
 */
#ifndef TRANCHE_PREDICT_PREDICTOR_H
#define TRANCHE_PREDICT_PREDICTOR_H

#include <stdint.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "format/request/request.h"
#include "format/usage.h"
#include "predict/model.h"

struct answer {
    void *tag;               /* as given to submit */
    struct error error;      /* code OK: the answer is in response */
    uint32_t retry_after_ms; /* with a retryable error: the pause that was asked for; 0: none */
    bool final;              /* with a retryable error: another attempt cannot help any more */
    bool own_failure;        /* with an error: most other requests are answered lately */
    bool hopeless; /* with an error: key or model are refused, and nothing was answered before */
    /* With a retryable error: an answer came without the form that was asked for; usage is what the
     * upstream bills for it. */
    bool rejected;
    /* Every candidate ended by itself and, as far as this predictor follows or checks the form that was
     * asked for, has it. */
    bool complete;
    struct buf response; /* GenerateContentResponse as JSON; owned */
    struct usage usage;
    uint32_t forced_tokens;    /* of usage's candidate_tokens: the form left no other */
    const struct price *price; /* of the upstream that answered; NULL: the model's. The session's */
};
void answer_release(struct answer *a);

#define PREDICTOR_NOTE_BYTES 192

/* Counters of a session so far, for progress and summaries; any counter may stay 0. */
struct predictor_stats {
    uint64_t prompt_tokens;   /* of started requests, reused ones included */
    uint64_t reused_tokens;   /* of prompt_tokens: taken from another request's cache */
    uint64_t computed_tokens; /* rows that went through the model */
    uint64_t generated_tokens;
    uint64_t forced_tokens; /* of generated_tokens: a schema left no other */
    uint32_t sequences;     /* computing now */
    uint32_t sequences_max;
    uint64_t memory_bytes;           /* model and cache */
    uint64_t crashes, restarts;      /* of the model's process */
    char note[PREDICTOR_NOTE_BYTES]; /* what holds requests up, for the display; "": nothing */
};

struct predictor;
struct predictor_ops {
    const char *name;
    /* Can this model answer the request at all (media, tools, schema)? False with the violation, its
     * path relative to the request. Called at validation. NULL: it answers everything. */
    bool (*accepts)(struct predictor *p, const struct request *r, struct violation *why);
    /* Starts r. RESOURCE_EXHAUSTED when the session is full. Never blocks. */
    int (*submit)(struct predictor *p, const struct request *r, void *tag,
                  struct error *e) FALLIBLE;
    /* Takes one answer: 1 and *out, or 0 after timeout_ms, or -1 when the session is broken. */
    int (*wait)(struct predictor *p, uint32_t timeout_ms, struct answer *out,
                struct error *e) FALLIBLE;
    /* Starts no more requests: those that have not begun are answered CANCELLED at once, the others go
     * on. */
    void (*drain)(struct predictor *p);
    /* Prompt tokens of r by the model's own tokenizer and template. NULL: estimate from bytes. */
    int (*count_tokens)(struct predictor *p, const struct request *r, uint32_t *tokens,
                        struct error *e) FALLIBLE;
    /* The requests that are submitted from now on are for the session's model with these adapters, up
     * to the next call; NULL: for the model as it was opened. files is read in submit. NULL: the
     * session has no adapters but its model's. */
    void (*adapt)(struct predictor *p, const struct adapter_list *files);
    void (*stats)(struct predictor *p, struct predictor_stats *out);
    /* The caller does not want this request's answer any more: the embedded engine ends it at the next token and
     * it is answered CANCELLED, unless its answer is there already. Never blocks. NULL: the request is computed to its end. */
    void (*cancel)(struct predictor *p, void *tag);
    void (*close)(struct predictor *p); /* cancels what is open, frees p */
};
struct predictor {
    const struct predictor_ops *ops;
    uint32_t window;   /* requests that may be open at once: submit refuses more */
    uint32_t attempts; /* to make for a request that fails; 0: the usual number */
    char version[128]; /* the model that answers: goes into modelVersion */
};

struct upstream_servers;
struct touch_page;

/* Opens a session on a model: one function for each kind. */
struct predictor_env {
    struct clock *clock;
    uint64_t seed;         /* of response ids and of sampling without a seed */
    const char *state_dir; /* where measurements of this machine are kept; NULL: nowhere */
    struct upstream_servers *servers; /* of all sessions; NULL: an upstream session has its own */
    bool has_files;                   /* requests will have a file_source */
    struct touch_page *touch;         /* of a session in a process of its own; NULL: nobody asks */
    int weights_fd; /* memory for packed weights that outlives this process; 0: none */
};
typedef struct predictor *(*predictor_open_fn)(const struct model *m,
                                               const struct predictor_env *env, struct error *e);
struct predictor *predictor_fake_open(const struct model *m, const struct predictor_env *env,
                                      struct error *e);
struct predictor *predictor_upstream_open(const struct model *m, const struct predictor_env *env,
                                          struct error *e);
struct predictor *predictor_local_open(const struct model *m, const struct predictor_env *env,
                                       struct error *e);

#endif
