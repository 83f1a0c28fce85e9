/* site.h -- a server that is in use: its pace, its health, its figures.
 *
 * Why: limits and health belong to the server and not to a job or model: whatever asks it goes
 * through one site, and what one learns all know.
 *
 * Shape:   site_join -> site_ask (may one go now?) -> site_sent -> the exchange -> site_ended ->
 *          site_leave. Who asks is a member; when the site is full its places are shared: one that has
 *          more than its part waits while another wants what it has less.
 *          A site lives as long as the sites it is of; the same description gives the same site.
 * Errors:  of a credential's file; a description is otherwise always good.
 * Threads: all calls from any thread; a lock of the site guards what moves.
 */
#ifndef TRANCHE_PREDICT_UPSTREAM_SITE_H
#define TRANCHE_PREDICT_UPSTREAM_SITE_H

#include "base/clock.h"
#include "base/error.h"
#include "net/client/http_multi.h"
#include "predict/upstream/pace_breaker.h"
#include "predict/upstream.h"

struct upstream_sites;
struct upstream_sites *upstream_sites_new(struct clock *clock);
void upstream_sites_free(struct upstream_sites *all); /* nothing uses them; accepts NULL */

struct upstream_site;
/* u must outlive the sites. */
struct upstream_site *upstream_site_of(struct upstream_sites *all, const struct upstream *u,
                                       struct error *e);
const struct upstream *site_upstream(const struct upstream_site *s);
const struct http_site *site_http(const struct upstream_site *s);
struct credential *site_credential(const struct upstream_site *s); /* NULL: none is needed */

/* One that sends requests: a session's place. Owned by it; what is in it is the site's. */
struct site_member {
    uint32_t in_flight;
    uint64_t wanted_ns; /* it asked last; 0: it has not */
    struct site_member *next;
};
void site_join(struct upstream_site *s, struct site_member *m);
void site_leave(struct upstream_site *s, struct site_member *m); /* nothing of it is open */

enum site_go {
    SITE_GO,
    SITE_FULL,    /* as many as it does well are open */
    SITE_PACED,   /* at ready_ns: a limit a minute, or its own wish */
    SITE_BROKEN,  /* at ready_ns it is probed again */
    SITE_GIVEN_UP /* broken for longer than its patience; at ready_ns it is probed again */
};
/* May a request of so many bytes be sent now? m NULL: who only wants to know. */
enum site_go site_ask(struct upstream_site *s, struct site_member *m, size_t bytes,
                      uint64_t *ready_ns);
/* Requests that it takes now, open ones included. */
uint32_t site_room(struct upstream_site *s);

/* One exchange, from site_sent to site_ended; the caller keeps it. */
struct site_exchange {
    struct site_member *member;
    uint64_t sent_ns;
    size_t bytes;
    double tokens;  /* that were reckoned with */
    double load_ns; /* of the site until then: see upstream_site.c */
    bool probe;
};
enum site_end {
    SITE_ANSWERED,
    SITE_REFUSED,   /* the request is at fault: the server is well */
    SITE_OVERLOAD,  /* 429, 503, time-outs: it has too much */
    SITE_FAILED,    /* no connection, nonsense, 5xx */
    SITE_CANCELLED, /* by us */
    SITE_END_COUNT
};
struct site_result {
    enum site_end end;
    uint32_t prompt_tokens, output_tokens, cached_tokens; /* of an answer */
    uint32_t retry_after_ms;                              /* its wish; 0: none */
    bool reached;                                         /* it answered something */
    const struct error *why;                              /* of what is no answer */
};
void site_sent(struct upstream_site *s, struct site_member *m, size_t bytes,
               struct site_exchange *x);
void site_ended(struct upstream_site *s, const struct site_exchange *x,
                const struct site_result *r);

const char *site_end_name(enum site_end end); /* "answered" */
struct site_stats {
    const struct upstream *upstream;
    enum breaker_state breaker;
    bool given_up;
    uint32_t in_flight, limit;
    uint64_t ends[SITE_END_COUNT], sent;
    uint64_t prompt_tokens, output_tokens, cached_tokens;
    double requests_per_s, tokens_per_s; /* of the last half minute */
    double latency_s;                    /* mean of the same time; 0: no answer */
    uint32_t paused_ms;                  /* it wished to be left alone for so long yet */
    char last_error[ERROR_MSG_BYTES];    /* "" when there was none */
    int64_t last_error_us;
};
void site_stats(struct upstream_site *s, struct site_stats *out);
const char *site_health(const struct site_stats *st); /* "healthy", "paused", "open", "given up" */
/* All that were used so far, in the order of their first use; false after the last. */
bool upstream_sites_at(struct upstream_sites *all, uint32_t i, struct site_stats *out);
/* The same as /metrics has them: sets the gauges of each. */
void upstream_sites_measure(struct upstream_sites *all);

#endif
