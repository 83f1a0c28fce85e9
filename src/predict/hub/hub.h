/* hub.h -- one model's session, shared by jobs and online calls.
 *
 * Why: a model is loaded once and its capacity belongs to all. Each job's pipeline sees a predictor of
 * its own (a share) and needs no change; the hub decides whose request goes next.
 *
 * Shape:   pipelines -> shares' queues -> [fair choice] -> the session -> answers -> shares.
 *          Choice: online calls first, though never more than half of the window while batch waits;
 *          then the project with the least used capacity for its weight (start-time fair queueing
 *          over the requests' estimated tokens: an idle project gains no credit); of a project the
 *          highest priority, then the oldest job.
 *          Of a window of one, online and batch take turns.
 * Errors:  a broken session breaks all its shares (their wait returns -1, online calls are answered
 *          UNAVAILABLE); the next hub_join or hub_ask opens a new one.
 * Closing: a share's close returns when the session reads none of its requests: what waits is dropped,
 *          what was sent is awaited and thrown away. When no other share or call is there, the session
 *          is closed at once, as all it computes is for nobody; the next hub_join loads it again. A
 *          session that computes nothing for HUB_STILL_MS (hub_inner.h) while a close waits is broken.
 * Threads: a thread of the hub owns the session, loads it too, and makes all callbacks, under no lock.
 *          A share has one owner, as every predictor; the rest is callable from any thread but that.
 * Source:  P. Goyal et al., "Start-time fair queueing", SIGCOMM 1996.
 */
#ifndef TRANCHE_PREDICT_HUB_HUB_H
#define TRANCHE_PREDICT_HUB_HUB_H

#include "predict/predictor.h"

struct hub;
/* The model is loaded at the first hub_join or hub_ask, not here. m must outlive the hub. */
struct hub *hub_new(const struct model *m, const struct predictor_env *env, predictor_open_fn open);
/* No share is open. Calls that are open are answered UNAVAILABLE. Accepts NULL. */
void hub_free(struct hub *h);

struct hub_share {
    const char *project; /* copied */
    double weight;       /* of the project; > 0, 1 is usual */
    int64_t priority;    /* higher goes first within the project */
    uint64_t age;        /* lower is older */
    uint32_t window;     /* requests open at once; 0: the session's */
};
struct predictor *hub_join(struct hub *h, const struct hub_share *who, struct error *e);

/* Online calls that may be open: more are refused with RESOURCE_EXHAUSTED. */
#define HUB_CALLS_MAX 4096

/* An online call, which never blocks: it waits while the model is loaded. done is called once and owns
 * the answer; released is called once after it, when the request is no longer read. Neither is called
 * when hub_ask fails. */
struct hub_call {
    const struct request *request;
    const char *project; /* copied */
    double weight;
    uint32_t deadline_ms; /* DEADLINE_EXCEEDED after this, or once a model is loaded; 0: none */
    bool scripted;        /* its label, or script, says what is to happen (script.h) */
    const char *script;   /* of a request without the label; copied, may be NULL */
    void (*done)(void *arg, struct answer *a);
    void (*released)(void *arg); /* may be NULL */
    void *arg;
};
int hub_ask(struct hub *h, const struct hub_call *ask, struct error *e) FALLIBLE;

/* As predictor_ops says; opens the session when there is none. */
int hub_count_tokens(struct hub *h, const struct request *r, uint32_t *tokens,
                     struct error *e) FALLIBLE;

struct hub_stats {
    struct predictor_stats session;
    uint64_t submitted, answered, failed; /* requests, by the session */
    uint32_t in_flight, waiting, shares;
    bool loaded;
};
void hub_stats(struct hub *h, struct hub_stats *out);

#endif
