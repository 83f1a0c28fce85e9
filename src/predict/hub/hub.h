/* hub.h -- one model's session, shared by jobs and online calls.
 *
 * Why: a model is loaded once, and its capacity belongs to all. Each job's pipeline has a predictor of
 * its own (a share); the hub decides whose request goes next.
 *
 * Shape:   pipelines -> shares' queues -> [fair choice] -> the session -> answers -> shares.
 *          Choice: online calls first, but no more than half of the window while batch requests wait;
 *          then the project that has used the least capacity for its weight (hub_queue.h, over the
 *          requests' estimated tokens: an idle project gains no credit); within a project the highest
 *          priority, then the oldest job. Online and batch take turns in a window of one.
 * Adapters: tuned models of one base share its hub; each share and call says which adapters it is for.
 * Errors:  a broken session breaks all its shares (their wait returns -1, online calls are answered
 *          UNAVAILABLE); the next hub_join or hub_ask opens a new one.
 * Closing: a share's close returns when the session reads none of its requests any more: waiting
 *          requests are dropped, sent ones are cancelled, awaited and their answers thrown away. A session
 *          that cannot cancel is closed at once when there is no other share or call, because nobody
 *          wants what it computes; the next hub_join loads it again. A session that computes nothing for HUB_STILL_MS
 *          (hub_inner.h) while a close waits is broken.
 * Threads: a thread of the hub owns the session, loads it too, and makes all callbacks, under no lock.
 *          Another one counts tokens, so that a long text delays neither callers nor the session.
 *          A share has one owner, as every predictor; the rest is callable from any thread but that.
 * Source:  P. Goyal et al., "Start-time fair queueing", SIGCOMM 1996.
 */
#ifndef TRANCHE_PREDICT_HUB_HUB_H
#define TRANCHE_PREDICT_HUB_HUB_H

#include "predict/predictor.h"

struct hub;
/* The model is loaded at the first hub_join or hub_ask, not here. m must outlive the hub. */
struct hub *hub_new(const struct model *m, const struct predictor_env *env, predictor_open_fn open);
/* No share may be open. Open calls are answered UNAVAILABLE. Accepts NULL. */
void hub_free(struct hub *h);

struct hub_share {
    const char *project;                 /* copied */
    double weight;                       /* of the project; > 0, 1 is usual */
    int64_t priority;                    /* higher goes first within the project */
    uint64_t age;                        /* lower is older */
    uint32_t window;                     /* requests open at once; 0: the session's */
    const struct adapter_list *adapters; /* over the hub's model; copied; NULL: none */
};
struct predictor *hub_join(struct hub *h, const struct hub_share *who, struct error *e);

/* The maxima of open online calls, of all and of one project; a further one is refused with
 * RESOURCE_EXHAUSTED. */
#define HUB_CALLS_MAX 4096
#define HUB_CALLS_PROJECT_MAX 1024

/* An online call. hub_ask never blocks; the call waits while the model is loaded. done is called once
 * and owns the answer; released is called once after done, when the request is no longer read. Neither
 * is called when hub_ask fails. */
struct hub_call {
    const struct request *request;
    const char *project; /* copied */
    double weight;
    const struct adapter_list *adapters; /* over the hub's model; copied; NULL: none */
    uint32_t deadline_ms; /* then DEADLINE_EXCEEDED, or when the model is loaded; 0: none */
    bool counts;       /* count the request's tokens (usage.prompt_tokens of the answer), no more */
    const void *owner; /* for hub_drop; or NULL */
    bool scripted;     /* its label, or script, says what happens (script.h) */
    const char *script; /* of a request without the label; copied, may be NULL */
    void (*done)(void *arg, struct answer *a);
    void (*released)(void *arg); /* may be NULL */
    void *arg;
};
int hub_ask(struct hub *h, const struct hub_call *ask, struct error *e) FALLIBLE;

/* Nobody waits for the answer of this owner's call any more: it is answered CANCELLED soon, and not sent
 * to the session, or cancelled there. Never blocks; a call that has ended, or none, is fine. */
void hub_drop(struct hub *h, const void *owner);

/* No share and no call is open. */
bool hub_idle(struct hub *h);

struct hub_stats {
    struct predictor_stats session;
    uint64_t submitted, answered, failed; /* requests, by the session */
    uint32_t in_flight, waiting, shares;
    bool loaded;
};
void hub_stats(struct hub *h, struct hub_stats *out);

#endif
