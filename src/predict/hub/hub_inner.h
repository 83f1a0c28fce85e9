/* hub_inner.h -- what the files of the hub share: the session's thread (hub.c), shares (hub_share.c)
 * and online calls (hub_call.c).
 *
 * Shape:   a request is an item. It waits in the fair queue; when its turn comes the hub holds it until
 *          the session takes it, and it counts as in flight from then on; its answer goes to its share's
 *          ready list or to its call.
 * Threads: `lock` guards everything that is not marked otherwise; the hub's thread uses the session
 *          without it. Nothing outside this folder and its tests includes this.
 */
#ifndef TRANCHE_PREDICT_HUB_HUB_INNER_H
#define TRANCHE_PREDICT_HUB_HUB_INNER_H

#include <assert.h>
#include <pthread.h>

#include "predict/hub/hub.h"
#include "predict/hub/hub_queue.h"
#include "predict/fake/script_steps.h"

/* Requests and answers of one round: the lock is taken a few times for all of them. */
#define HUB_BURST 256
/* The session's wait: while it could take more requests, and while it is full. */
#define HUB_WAIT_ROOM_MS 2
#define HUB_WAIT_FULL_MS 50
/* A session that computes nothing for this time, while a share waits to be closed, is broken. */
#define HUB_STILL_MS 10000
#define HUB_STATS_EVERY_MS 100
/* An idle hub looks at the clock this often while a script delays a call. */
#define HUB_DELAYED_LOOK_MS 10
/* Tokens that the fair choice expects of an answer when the request does not say. */
#define HUB_OUTPUT_TOKENS 256
#define HUB_TEXT_BYTES_TOKEN 4 /* estimated bytes of a request for each of its tokens */

enum item_state {
    ITEM_IDLE,    /* of its owner: free, about to be submitted, or delayed by a script */
    ITEM_WAITING, /* in the fair queue */
    ITEM_HELD,    /* chosen; the session had no room yet */
    ITEM_SENT,    /* with the session, which reads its request */
    ITEM_DONE     /* it has its answer, or nobody wants one */
};
struct hub_item {
    struct fair_item fair; /* first, so that a pointer to it is one to this */
    struct hub_item *next; /* in its share's free or ready list, the held, or a round's answers */
    const struct request *request;
    void *tag;           /* of a share's request */
    struct share *share; /* NULL: an online call's */
    struct call *call;   /* NULL: a share's */
    struct answer answer;
    enum item_state state; /* HELD and SENT are the hub's thread's, else as the list it is in */
};
static inline void item_move(struct hub_item *i, enum item_state from, enum item_state to)
{
    assert(i->state == from);
    i->state = to;
}
struct hub_list {
    struct hub_item *first, *last;
};

struct share {
    struct predictor base;    /* first, so that a pointer to it is one to this */
    struct predictor_ops ops; /* without count_tokens where the session has none */
    struct hub *hub;
    struct adapter_list *adapters; /* of its requests; NULL: none; constant */
    /* Only its owner uses what follows: */
    struct hub_item *item;  /* base.window of them */
    uint32_t used;          /* of item, from the first */
    struct hub_item *free;  /* of the used */
    struct hub_item *taken; /* answers that left ready */
    uint32_t open;          /* submitted and not taken */
    bool draining;
    struct predictor_stats stats;
    /* The hub's lock guards what follows: */
    struct fair_source source;
    struct hub_list ready;
    uint32_t in_flight;
    bool closing, broken;
    bool cancelled;   /* the session was asked to cancel its requests */
    struct error why; /* when broken */
    pthread_cond_t wake;
    struct share *next; /* of the hub's */
};

/* A call that only counts tokens is in no queue: the counter takes it. */
enum count_state { COUNT_NONE, COUNT_WAITS, COUNT_RUNS, COUNT_DONE };

struct call {
    struct hub_item item;
    struct hub_call ask;
    struct fair_source *source; /* while it waits; NULL: delayed, or with the session */
    uint64_t deadline_ns;       /* UINT64_MAX: none */
    bool delayed;               /* a script delays it until due_ns, and then act follows */
    uint64_t due_ns;
    struct script_act act;
    enum count_state counting;
    char *project;
    struct adapter_list *adapters; /* NULL: none */
    bool dropped;                  /* nobody waits for its answer */
    bool expired; /* its deadline passed or it was dropped: done was called with late */
    bool ended;   /* it is in no list of the hub any more */
    struct error late;
    struct call *next, **at; /* of the hub's */
    struct call *round;      /* of a round's callbacks */
};
/* The calls whose done and released a round calls after it has given up the lock. */
struct callbacks {
    struct call *late, *ended;
};

struct hub {
    const struct model *model;
    struct predictor_env env;
    predictor_open_fn open;
    uint32_t still_ms;
    /* Guards everything in the hub that is not marked otherwise, and so in shares, calls and items. */
    pthread_mutex_t lock;
    pthread_cond_t work;    /* for the hub's thread, when sleeping */
    pthread_cond_t changed; /* session, open_failures or pins; for the counter: a call, stopping */
    pthread_t thread, counter;
    bool started, counter_started, stopping, sleeping;
    bool wanted;               /* a share or a call waits for a session */
    struct predictor *session; /* NULL: none, or it is being closed */
    uint32_t pins;             /* calls of other threads into the session */
    uint64_t open_failures;
    struct error open_error;
    struct fair_queue queue;
    struct share *share;
    uint32_t share_count, closing_count;
    struct call *call;
    uint32_t call_count, delayed_count;
    uint32_t counted_count; /* counting calls that are done */
    char *counted_project;  /* whose call the counter took last; or NULL */
    bool dropped;           /* a call was: to be looked at before anything is sent */
    struct script_memory scripts;
    uint64_t deadline_ns; /* the earliest of the calls' */
    uint32_t in_flight, online_in_flight;
    bool online_last; /* the class that went last, for a window of one */
    uint64_t submitted, answered, failed;
    struct predictor_stats stats; /* as of stats_ns */
    uint64_t stats_ns;
    /* Only the hub's thread uses what follows: */
    struct hub_list held;   /* in flight, but the session was full */
    uint64_t still_ns;      /* since then nothing was computed */
    uint64_t still_tokens;  /* computed by then */
    uint64_t still_answers; /* answered by then */
};

void hub_list_add(struct hub_list *l, struct hub_item *i);

/* Under the lock: */
int hub_start(struct hub *h,
              struct error *e) FALLIBLE; /* the thread is there, a session asked for */
int hub_need_session(struct hub *h, struct error *e) FALLIBLE; /* waits until it is open */
void hub_wake(struct hub *h);                                  /* the hub has something to do */
void hub_put(struct hub *h, struct fair_source *s, struct hub_item *i);

/* The session for a call of another thread, which hub_unpin follows; NULL: there is none. */
struct predictor *hub_pin(struct hub *h, const struct share *s);
void hub_unpin(struct hub *h);
/* By the session, or estimated when it does not count. */
int hub_count(struct predictor *p, const struct request *r, uint32_t *tokens,
              struct error *e) FALLIBLE;

/* hub_share.c, under the lock. */
void share_deliver(struct share *s, struct hub_item *i);    /* takes its answer */
void share_break(struct share *s, const struct error *why); /* nothing is sent for it */
void share_forget(struct share *s);                         /* the session is closed */
void share_cancel(struct share *s); /* asks the session to cancel a closing share's requests */

/* hub_call.c, under the lock but for callbacks_run. */
void call_deliver(struct hub *h, struct call *c, struct callbacks *t);
/* Ends the calls that are late, dropped, delayed until now by a script, or counted. */
void calls_look(struct hub *h, struct callbacks *t);
/* Every call ends with why; calls that are with a session end only once it is closed. */
void calls_fail(struct hub *h, const struct error *why, struct callbacks *t);
void callbacks_run(struct callbacks *t);

#endif
