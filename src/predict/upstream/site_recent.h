/* site_recent.h -- what a server did in the last half minute: a ring of seconds.
 *
 * Units:   monotonic nanoseconds; requests and tokens a second; seconds of latency.
 * Threads: none; guarded by its owner.
 */
#ifndef TRANCHE_PREDICT_UPSTREAM_SITE_RECENT_H
#define TRANCHE_PREDICT_UPSTREAM_SITE_RECENT_H

#include <stdint.h>

#define RECENT_SECONDS 32

struct site_recent {
    struct {
        uint64_t second; /* of the monotonic clock, and one: 0 is none */
        uint64_t answers, tokens, latency_ns;
    } slot[RECENT_SECONDS];
    uint64_t first_ns; /* of all; 0: nothing yet */
};
void site_recent_add(struct site_recent *r, uint64_t now_ns, uint64_t latency_ns, uint64_t tokens);
/* Over the seconds since the first, at most RECENT_SECONDS. */
void site_recent_read(const struct site_recent *r, uint64_t now_ns, double *requests_per_s,
                      double *tokens_per_s, double *latency_s);

#endif
