/* server.h -- an upstream server in use: its pace, its health, its counters.
 *
 * Why: limits and health belong to the server and not to a job or model: every session that uses a
 * server goes through the same struct, and what one session learns holds for all.
 *
 * Shape:   upstream_server_join -> server_ask (may one request go now?) -> server_sent -> the HTTP exchange ->
 *          server_ended -> server_leave. Each session that uses the server is a member. When the server
 *          is full its slots are shared: a member that has its share waits while another member wants
 *          a slot and has less than its share.
 *          The same settings give the same server. A server lives as long as its list, or as a session
 *          that uses it when the configuration has it no more (upstream_servers_keep).
 * Errors:  only those of a credential's file.
 * Threads: all calls from any thread; each server has a lock.
 */
#ifndef TRANCHE_PREDICT_UPSTREAM_SERVER_H
#define TRANCHE_PREDICT_UPSTREAM_SERVER_H

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "net/client/http_multi.h"
#include "predict/model.h"
#include "predict/upstream/pace_breaker.h"
#include "predict/upstream/pace_late.h"
#include "predict/upstream/pace_quota.h"
#include "predict/upstream/pace_share.h"

/* The servers of one process. */
struct upstream_servers;
struct upstream_servers *upstream_servers_new(struct clock *clock);
void upstream_servers_free(struct upstream_servers *all); /* no session is open; accepts NULL */

struct upstream_server;
/* The configuration has these servers from now on. One that it has not goes when no session uses it. */
void upstream_servers_keep(struct upstream_servers *all, const struct upstream *u, uint32_t count);
/* The server of these settings, which are copied. NULL with *e: its credential is unusable. */
struct upstream_server *upstream_server_of(struct upstream_servers *all, const struct upstream *u,
                                           struct error *e);
/* From now on other processes use the servers too: one with a configured limit sends only under a part of it. wanted is
 * called when a request waits for a part: any thread, under no lock. Before the first session. */
void upstream_servers_share(struct upstream_servers *all, void (*wanted)(void *arg), void *arg);
/* The needs of each server with limits, in the order of the names, each name once: servers of one name share a part. */
struct server_need {
    const char *name;
    struct share_need need;
};
void upstream_servers_needs(struct upstream_servers *all, struct arena *a, struct server_need **out,
                            uint32_t *count);
/* The servers of this name have this part until then, on the monotonic clock. */
void upstream_servers_allow(struct upstream_servers *all, const char *name,
                            const double part[SHARE_KINDS], uint64_t until_ns);

const struct http_host *server_http(const struct upstream_server *s);
struct credential *server_credential(const struct upstream_server *s); /* NULL: none is needed */

/* A session that sends requests. The session owns the memory, the server the contents. */
struct server_member {
    uint32_t in_flight;
    uint64_t wanted_ns; /* when it last asked for a slot; 0: never */
    struct server_member *next;
};
/* upstream_server_of for a session, which is a member of the server until server_leave. */
struct upstream_server *upstream_server_join(struct upstream_servers *all, const struct upstream *u,
                                             struct server_member *m, struct error *e);
void server_leave(struct upstream_server *s, struct server_member *m); /* m has nothing in flight */

enum server_go {
    SERVER_GO,
    SERVER_FULL, /* all slots are taken, or the member has its share of them */
    SERVER_PACED, /* until ready_ns: a limit a minute, a pause that the server asked for, or no part of a limit */
    SERVER_BROKEN,  /* the breaker is open; at ready_ns the next probe goes */
    SERVER_GIVEN_UP /* as broken, for patience_ms; for 30 s when it has never answered */
};
/* May a request of this many bytes be sent now? m NULL: a question that claims no slot. */
enum server_go server_ask(struct upstream_server *s, struct server_member *m, size_t bytes,
                          uint64_t *ready_ns);
/* Slots: requests that may be in flight at once, those in flight included. */
uint32_t server_room(struct upstream_server *s);

enum { QUOTA_REQUESTS, QUOTA_TOKENS, QUOTA_COUNT };
/* One exchange, from server_sent to server_ended. The caller keeps it, at one place. */
struct server_exchange {
    struct server_member *member;
    struct late_mark mark;
    uint64_t sent_ns;
    size_t bytes;
    double tokens;             /* the estimate that the token limit was charged with */
    double taken[QUOTA_COUNT]; /* of each quota, when it was sent */
    double load_ns;            /* the server's load_ns when it was sent: see server.c */
    bool probe;
    bool retried; /* set by the caller: its request has failed before */
};
enum exchange_end {
    EXCHANGE_ANSWERED,
    EXCHANGE_REFUSED,   /* the request is wrong: the server is well */
    EXCHANGE_OVERLOAD,  /* 429, 503, time-outs */
    EXCHANGE_FAILED,    /* no connection, a malformed answer, 5xx */
    EXCHANGE_CANCELLED, /* by us */
    EXCHANGE_END_COUNT
};
struct exchange_result {
    enum exchange_end end;
    uint32_t prompt_tokens, output_tokens, cached_tokens; /* of an answer */
    uint32_t retry_after_ms;                              /* that the server asked for; 0: none */
    bool account_limited; /* an overload says that the account's limit is used up */
    struct quota_report quota[QUOTA_COUNT];
    bool reached;            /* the head of an answer came */
    const struct error *why; /* NULL: it was answered */
};
void server_sent(struct upstream_server *s, struct server_member *m, size_t bytes,
                 struct server_exchange *x);
void server_ended(struct upstream_server *s, struct server_exchange *x,
                  const struct exchange_result *r);

const char *exchange_end_name(enum exchange_end end); /* "answered" */
struct server_stats {
    const struct upstream *upstream; /* the server's; of upstream_servers_at: a copy */
    enum breaker_state breaker;
    bool given_up;
    uint32_t in_flight, limit;
    uint64_t ends[EXCHANGE_END_COUNT], sent;
    uint64_t prompt_tokens, output_tokens, cached_tokens;
    double requests_per_s, tokens_per_s; /* over the last half minute */
    double latency_s;                    /* mean over the same time; 0: no answer */
    bool lapsed;                         /* its part of the limits has ended, or is not there yet */
    bool shared;                         /* other processes use it too, and it has limits */
    double part[SHARE_KINDS];            /* with shared: of each limit, now */
    uint32_t paused_ms;                  /* what is left of a pause that the server asked for */
    char last_error[ERROR_MSG_BYTES];    /* "" when there was none */
    int64_t last_error_us;
};
void server_stats(struct upstream_server *s, struct server_stats *out);
const char *
server_health(const struct server_stats *st); /* "healthy", "paused", "open", "given up" */
/* The i-th server in the order of first use, its settings copied into the arena, as it may end meanwhile;
 * false after the last. */
bool upstream_servers_at(struct upstream_servers *all, uint32_t i, struct arena *a,
                         struct server_stats *out);
/* Sets the gauges of each server for /metrics. */
void upstream_servers_measure(struct upstream_servers *all);

#endif
