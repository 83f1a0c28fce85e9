/* pace_limit.h -- how many requests a server works at best at once, found by measuring.
 *
 * Why: too few leave an inference server idle, too many only wait in its queue, time out, or are
 * refused; and how many are right differs by server and hour, so nobody should have to say it.
 *
 * Shape:   time is cut into epochs of at least LIMIT_EPOCH_MIN answers to requests that were sent
 *          since the limit was last moved. At an epoch's end the throughput is known by Little's law,
 *          in flight / latency (in work, so that long answers count as such), and compared with the
 *          best one known:
 *            slow start  doubles while each doubling gains LIMIT_GAIN of what it added,
 *            then        a quarter more is tried; a gain is kept and more tried, no gain, seen twice,
 *                        goes back and waits for twice as many epochs,
 *            now and then less is tried, kept when it does the same work, and even less tried;
 *            refusals    (429, 503, time-outs, lost connections) over LIMIT_REFUSED of an epoch cut it to LIMIT_CUT;
 *                        when LIMIT_CUTS in a row refuse no less, they don't come from load: the limit
 *                        is as before, and so many of them are ignored.
 *          What is not used (fewer requests than the limit) is never raised.
 * Units:   requests; work in any unit that is the same for all; nanoseconds.
 * Threads: none; guarded by its owner.
 * Source:  J. Little, "A proof of the queuing formula L = lambda W", 1961; D. Chiu, R. Jain, on
 *          additive increase and multiplicative decrease, 1989; docs/guides/rate-limits.md draws it.
 */
#ifndef TRANCHE_PREDICT_UPSTREAM_PACE_LIMIT_H
#define TRANCHE_PREDICT_UPSTREAM_PACE_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

#define LIMIT_START 16
#define LIMIT_EPOCH_MIN 32
#define LIMIT_GAIN 0.3
#define LIMIT_KEEP 0.97 /* of the throughput must be left when less is tried */
#define LIMIT_REFUSED 0.1
#define LIMIT_CUT 0.7
#define LIMIT_CUTS 8
#define LIMIT_CUT_HELPS 0.7 /* of the first refusals: fewer, and cutting helps */
#define LIMIT_HOLD_MIN 4
#define LIMIT_HOLD_MAX 64

enum limit_move { LIMIT_DOUBLES, LIMIT_HOLDS, LIMIT_TRIES_MORE, LIMIT_TRIES_LESS };
struct limit {
    double now, max;
    enum limit_move move;
    double best, best_rate; /* the limit that is known to be good, and its throughput; 0: unknown */
    uint32_t hold, hold_for;    /* epochs left; of this waiting */
    bool less_next;             /* the next trial is of less */
    bool doubted;               /* no gain was seen once: chance, or connections that were made */
    uint32_t cuts;              /* in a row, */
    double cut_from, cut_share; /* the limit before the first, and what was refused then */
    double deaf;                /* refusals up to this share mean nothing */
    /* The epoch: */
    uint64_t since_ns; /* what was sent before is not counted */
    uint32_t done, refused;
    double in_flight_sum, latency_sum, work_sum; /* of done */
};
struct limit_sample {
    uint64_t sent_ns, latency_ns;
    double in_flight; /* on average while it was, itself included */
    double work;      /* 0: unknown */
    bool refused;     /* overloaded rather than answered */
};
/* fixed: 0, or the limit for ever. */
void limit_init(struct limit *l, uint32_t fixed, uint32_t max);
uint32_t limit_now(const struct limit *l);
void limit_add(struct limit *l, const struct limit_sample *s, uint64_t now_ns);

#endif
