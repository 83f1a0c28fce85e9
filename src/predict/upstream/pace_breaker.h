/* pace_breaker.h -- a circuit breaker: a server that only fails is left alone, then probed.
 *
 * Why: thousands of requests that time out one after the other cost an hour and the server its
 * recovery; one probe at a time finds out as well.
 *
 * Shape:   closed --BREAKER_FAILURES in a row--> open, for BREAKER_MS -> half-open: one probe;
 *          its success closes, its failure opens again: for twice as long, up to BREAKER_CAP_MS, when
 *          the server was not even reached; for the same time when it was, as the fault may be the
 *          requests' that are left.
 *          What was sent before it opened changes nothing when it fails, and closes it when it
 *          succeeds. Nor does a failure count that was sent before the newest request that was
 *          answered: slow failures end late, after all that went well.
 * Units:   monotonic nanoseconds.
 * Threads: none; guarded by its owner.
 * Source:  M. Nygard, "Release It!", 2007.
 */
#ifndef TRANCHE_PREDICT_UPSTREAM_PACE_BREAKER_H
#define TRANCHE_PREDICT_UPSTREAM_PACE_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

#define BREAKER_FAILURES 20
#define BREAKER_MS 500
#define BREAKER_CAP_MS 30000

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF_OPEN };
struct breaker {
    enum breaker_state state;
    uint32_t failures;    /* in a row */
    uint64_t answered_ns; /* when the newest that was answered was sent */
    uint32_t wait_ms;     /* of this opening */
    uint64_t until_ns;    /* while open */
    uint64_t failing_ns;  /* since when nothing succeeded; 0: the last one did */
};
/* May a request be sent now? False with *ready_ns when it may be (UINT64_MAX: when the probe ends). */
bool breaker_ready(const struct breaker *b, uint64_t now_ns, uint64_t *ready_ns);
/* One is sent: true when it is the probe. */
bool breaker_sent(struct breaker *b);
void breaker_success(struct breaker *b, uint64_t sent_ns);
struct breaker_failure {
    uint64_t sent_ns, now_ns;
    bool probe;
    bool reached; /* the server answered, though not well */
};
void breaker_failure(struct breaker *b, const struct breaker_failure *f);
/* The probe ended without telling anything (it was cancelled): the next one probes. */
void breaker_void(struct breaker *b, bool probe);

#endif
