/* retry.h -- whether and when a failed request is tried again.
 *
 * Why: a batch service retries by itself, so that a transient failure never becomes a failed line, and
 * with jitter, so that many failures do not come back as one wave.
 *
 * Shape:   exponential backoff with full jitter: uniform in 1 .. min(cap, base * 2^(n-1)) ms
 *          after the n-th failure, at least the pause that the server asked for (Retry-After).
 *          A failure that is the request's own waits within the base, until RETRY_LATE attempts are
 *          left: growing waits protect a server that suffers, and one that answers the others does not.
 *          At the end of a job, the unluckiest line of thousands would wait alone.
 * Threads: none; the state is the caller's. Chance comes from the seed that is passed in.
 * Source:  Marc Brooker, "Exponential Backoff And Jitter" (AWS, 2015).
 */
#ifndef TRANCHE_ENGINE_LINES_RETRY_H
#define TRANCHE_ENGINE_LINES_RETRY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define RETRY_ATTEMPTS_MAX 5 /* the first one included */
#define RETRY_BASE_MS 250
#define RETRY_CAP_MS 30000
#define RETRY_AFTER_MAX_MS 300000 /* a longer pause is cut */
#define RETRY_RATIO_MAX 1e6
#define RETRY_FREE 100 /* retries of a job beside those of its ratio, for small jobs */
#define RETRY_LATE                                                                                 \
    3 /* last waits of a line, which grow in any case: a part of a server may be down */

struct retry_rules {
    uint32_t attempts_max; /* 0: as many as the predictor says */
    uint32_t base_ms, cap_ms;
    double ratio; /* retries of a job for each of its lines */
};
/* The maximum number of retries of a job with this number of lines. */
uint64_t retry_budget(const struct retry_rules *r, uint64_t lines);
struct retry_failure {
    uint32_t attempt; /* from 1 */
    enum error_code code;
    uint32_t retry_after_ms; /* the pause that the server asked for; 0: none */
    bool own;                /* most other requests are answered */
};
/* True and how long to wait, or false: give up. */
bool retry_next(const struct retry_rules *r, const struct retry_failure *f, uint64_t *seed,
                uint32_t *wait_ms);

#endif
