/* server_inner.h -- an upstream server as the files of its room see it. Nothing but server*.c includes this.
 *
 * Shape:   server_list.c has the servers of a process, and their members; server.c decides whether a request may go and
 *          takes what became of it; server_share.c has this process's part of limits that others use too; server_report.c
 *          says how a server is.
 */
#ifndef TRANCHE_PREDICT_UPSTREAM_SERVER_INNER_H
#define TRANCHE_PREDICT_UPSTREAM_SERVER_INNER_H

#include <pthread.h>

#include "predict/upstream/pace_bucket.h"
#include "predict/upstream/pace_limit.h"
#include "predict/upstream/pace_pause.h"
#include "predict/upstream/server.h"

#define RECENT_SECONDS 32

/* Answers of the last half minute: a ring of seconds. */
struct recent {
    struct {
        uint64_t second; /* of the monotonic clock, plus 1; 0: unused */
        uint64_t answers, tokens, latency_ns;
    } slot[RECENT_SECONDS];
    uint64_t first_ns; /* the first answer ever; 0: none yet */
};

struct upstream_server {
    struct upstream_servers *all;
    struct arena arena; /* of the settings: those of the configuration may go earlier */
    const struct upstream *upstream;
    struct clock *clock;
    struct http_host http;
    const char **header; /* of all requests, until NULL */
    struct credential *credential;
    struct upstream_server *next; /* in the list; guarded by the list's lock, as is the next one */
    bool listed;                  /* the configuration has it (upstream_servers_keep) */

    pthread_mutex_t lock; /* guards everything below, and the contents of all members */
    struct breaker breaker;
    struct limit limit;
    struct late late;
    struct bucket requests, tokens;  /* a minute */
    struct quota quota[QUOTA_COUNT]; /* as the server reports it */
    struct pause pause;
    struct share share; /* with all->wanted */
    bool reached;       /* the head of a reply came, once */
    struct server_member *member;
    uint32_t in_flight; /* the sum of the members' */
    double load_ns;     /* in flight and not late, summed over the time until load_at_ns */
    uint64_t load_at_ns;
    double bytes_per_token, output_tokens;
    struct recent recent;
    struct server_stats stats;
};

struct upstream_servers {
    struct clock *clock;
    pthread_mutex_t lock; /* guards the list; comes before a server's */
    struct upstream_server *first;
    bool keeps; /* upstream_servers_keep was called: others go with their last session */
    void (*wanted)(
        void
            *arg); /* set once, before the first session; NULL: no other process uses the servers */
    void *wanted_arg;
};

static inline uint64_t server_now_ns(const struct upstream_server *s)
{
    return s->clock->mono_ns(s->clock);
}

/* ---- Under the server's lock ---- */

bool server_given_up(const struct upstream_server *s, uint64_t now);
void server_recent_add(struct recent *r, uint64_t now_ns, uint64_t latency_ns, uint64_t tokens);
/* Is it used by other processes too, and is there a limit to share with them? */
bool server_is_shared(const struct upstream_server *s);
/* Without a part of the shared limits nothing goes. */
bool server_has_lapsed(const struct upstream_server *s);
/* The most slots that this process may use. */
uint32_t server_slots_max(const struct upstream_server *s);
/* The limit of requests in flight, found by measuring or set, and no more than this process may use. */
uint32_t server_limit_of(const struct upstream_server *s);
/* Requests in flight that the configuration allows; 0: the number is measured, by each process for itself. */
double server_slots_configured(const struct upstream *u);

#endif
