/* pace_pause.h -- when a server as a whole is left alone, and not only the request that it refused.
 *
 * Why: a refusal is the request's own until the evidence says otherwise. One 429 in thirty must not
 * stop the other twenty-nine, and a server that refuses everybody must not be asked by everybody.
 *
 * Shape:   time is cut into round trips: one ends when a request ends that was sent after it began. The
 *          server is paused, for as long as a refusal asks, while PAUSE_SHARE of the ends of the last
 *          round trips were refusals (at least two round trips and PAUSE_ENDS_MIN ends), or at
 *          once when the refusal says that the account is limited.
 *          Retries count only once refusals of first attempts have dominated: at the end of a job all
 *          requests are retries, and the server may be well.
 * Units:   monotonic nanoseconds.
 * Threads: none; guarded by its owner.
 */
#ifndef TRANCHE_PREDICT_UPSTREAM_PACE_PAUSE_H
#define TRANCHE_PREDICT_UPSTREAM_PACE_PAUSE_H

#include <stdbool.h>
#include <stdint.h>

#define PAUSE_ENDS_MIN 32
#define PAUSE_SHARE 0.8
#define PAUSE_MAX_MS 300000 /* a longer one is cut */

struct pause {
    uint64_t until_ns;
    uint64_t round_ns; /* when the present round trip began */
    bool limited;      /* refusals have dominated; until they are less than half */
    uint32_t rounds;   /* round trips that are over, up to 2 */
    struct pause_round {
        uint32_t ends, refusals;
    } now, before; /* of the present round trip; of those before it that are still remembered */
};
struct pause_end {
    bool retried; /* the request had failed before */
    uint64_t sent_ns, now_ns;
    bool refused;            /* by overload: 429, 503 */
    bool account;            /* the refusal says that the account is limited */
    uint32_t retry_after_ms; /* that the refusal asks for; 0: none */
};
void pause_end(struct pause *p, const struct pause_end *end);

#endif
