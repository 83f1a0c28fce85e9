/* pace_breaker.h -- a circuit breaker: no requests to a server that only fails, but for probes.
 *
 * Why: thousands of requests that time out one after the other cost an hour and keep the server from
 * recovering; one probe at a time finds out as much.
 *
 * Shape:   closed --BREAKER_FAILURES in a row--> open for BREAKER_MS -> half-open: one probe.
 *          The probe's success closes the breaker. Its failure opens it again: for twice as long, up to
 *          BREAKER_CAP_MS, when the server was not even reached; for BREAKER_MS when it was, because the
 *          remaining requests may be what fails.
 *          A request that was sent before the breaker opened closes it by success and changes nothing
 *          by failure. A failure does not count when a request that was sent later has been answered:
 *          slow failures end late.
 *          Errors of a server that was reached do not open it within twice the time that the last answer
 *          took (BREAKER_SLOW_MS at most): a server that refuses some requests at once and answers the
 *          others after two seconds gives many refusals in a row.
 *          A retry that fails does not count when it was sent within BREAKER_RETRY_MS of a success (or
 *          twice its own time, of one that times out): the lines at the end
 *          of a job are those that failed before, and the server may be well.
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
#define BREAKER_RETRY_MS 3000
#define BREAKER_SLOW_MS 5000

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF_OPEN };
struct breaker {
    enum breaker_state state;
    uint32_t failures;    /* in a row */
    uint64_t answered_ns; /* when the newest answered request was sent */
    uint64_t success_ns;  /* the last success */
    uint64_t took_ns;     /* and how long it took */
    uint32_t wait_ms;     /* of this opening */
    uint64_t until_ns;    /* while open */
    uint64_t failing_ns;  /* the first failure since the last success; 0: none */
};
/* May a request be sent now? If not, *ready_ns is when (UINT64_MAX: when the probe ends). */
bool breaker_ready(const struct breaker *b, uint64_t now_ns, uint64_t *ready_ns);
/* A request is sent. True: it is the probe. */
bool breaker_sent(struct breaker *b);
void breaker_success(struct breaker *b, uint64_t sent_ns, uint64_t now_ns);
struct breaker_failure {
    uint64_t sent_ns, now_ns;
    bool probe;
    bool reached; /* the server answered, with an error */
    bool retried; /* the request had failed before */
};
void breaker_failure(struct breaker *b, const struct breaker_failure *f);
/* A request ended without a result (it was cancelled): if it was the probe, the next one probes. */
void breaker_void(struct breaker *b, bool probe);

#endif
