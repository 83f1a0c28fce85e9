/* pace_limit.h -- the limit of requests in flight at which a server does most, found by measuring.
 *
 * Why: too few leave an inference server idle, too many only wait in its queue, time out, or are
 * refused. The right number differs by server and hour, so nobody should have to set it.
 *
 * Shape:   time is cut into epochs of at least LIMIT_EPOCH_MIN answers to requests that were sent since
 *          the limit last moved. At the end of an epoch Little's law gives the throughput, in flight /
 *          latency (in work, so that long answers count as such), which is compared with the best known:
 *            slow start  adds one with each answer while that gains LIMIT_GAIN of what it added,
 *            then        tries a quarter more; a gain is kept and more tried; no gain, seen twice, goes
 *                        back and waits for twice as many epochs,
 *            sometimes   tries less, keeps it when the throughput stays, and tries even less;
 *            refusals    (429, 503, time-outs, lost connections) over LIMIT_REFUSED of an epoch cut the
 *                        limit by their share, to half at most. When cuts to well below what the server
 *                        did answer do not reduce them, they do not come from load: the limit returns
 *                        to its value before the cuts, and that share of refusals is ignored from
 *                        then on; so is the share of the first epoch, up to LIMIT_FIRST_REFUSED.
 *          A limit that is not used (fewer requests than it) is never raised.
 *          A refusal often comes at once, the answers to its neighbours a round trip later. So that
 *          an epoch has both in their true proportion, a refusal counts when an answer comes to a
 *          request that was sent as late, or when more refusals wait for that than the limit has slots.
 * Units:   requests; work in any unit that is the same for all; nanoseconds.
 * Threads: none; guarded by its owner.
 * Source:  J. Little, "A proof of the queuing formula L = lambda W", 1961; D. Chiu, R. Jain, on
 *          additive increase and multiplicative decrease, 1989; E. Wilson, "Probable inference, the law of
 *          succession, and statistical inference", 1927; docs/guides/rate-limits.md draws it.
 */
#ifndef TRANCHE_PREDICT_UPSTREAM_PACE_LIMIT_H
#define TRANCHE_PREDICT_UPSTREAM_PACE_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

#define LIMIT_START 32
#define LIMIT_EPOCH_MIN 32
#define LIMIT_GAIN 0.3
#define LIMIT_KEEP 0.97 /* share of the throughput that a smaller limit must keep */
#define LIMIT_REFUSED 0.1
#define LIMIT_FIRST_REFUSED 0.5
#define LIMIT_CUT_ENOUGH 0.75
#define LIMIT_CUT_HELPS 0.7 /* share of the first refusals below which cutting has helped */
#define LIMIT_HOLD_MIN 4
#define LIMIT_HOLD_MAX 64

#define LIMIT_WAITING_MAX 1024

enum limit_move { LIMIT_DOUBLES, LIMIT_HOLDS, LIMIT_TRIES_MORE, LIMIT_TRIES_LESS };
struct limit {
    double now, max;
    enum limit_move move;
    double best, best_rate;  /* the best limit known, and its throughput; 0: unknown */
    uint32_t hold, hold_for; /* epochs of this wait: left, in all */
    bool less_next;          /* the next trial is of a smaller limit */
    bool doubted;            /* no gain, once: it may be chance, or the cost of new connections */
    uint32_t cuts;           /* in a row, */
    double cut_from, cut_share; /* limit and share of refusals before the first cut */
    double deaf;                /* refusals up to this share are ignored */
    /* The epoch: */
    double from;       /* the limit when it began */
    double before;     /* and when the one before it began */
    uint64_t since_ns; /* requests that were sent earlier do not count */
    uint32_t done, refused;
    double in_flight_sum, latency_sum, work_sum; /* of done */
    double lost_sum;                             /* latency of refused */
    /* Refusals that do not count yet: a ring, the oldest at `first`. */
    struct limit_refusal {
        uint64_t sent_ns, latency_ns;
    } waiting[LIMIT_WAITING_MAX];
    uint32_t first, waiting_count;
    uint64_t answered_ns; /* when the newest answered request was sent */
};
struct limit_sample {
    uint64_t sent_ns, latency_ns;
    double in_flight; /* mean while the request was, itself included */
    double work;      /* 0: unknown */
    bool refused;     /* by overload, instead of an answer */
};
/* fixed: a limit that never moves, or 0. */
void limit_init(struct limit *l, uint32_t fixed, uint32_t max);
uint32_t limit_now(const struct limit *l);
void limit_add(struct limit *l, const struct limit_sample *s, uint64_t now_ns);

#endif
