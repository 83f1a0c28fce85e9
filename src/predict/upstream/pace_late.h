/* pace_late.h -- requests that take far longer than most: others may be sent in their place.
 *
 * Why: a request that hangs keeps a slot until its time-out. When a tenth of the requests hang, all slots of a
 * small limit are soon theirs, and a server that would answer everything else at once is asked nothing.
 *
 * Shape:   a request is late when it is open for LATE_TIMES the median time to an answer, and LATE_MIN_MS
 *          at least. Nothing is late before the first answer. Late requests do not count against the limit,
 *          but for those over LATE_MORE times the limit: a server that freezes altogether, so that all its
 *          requests are late, is asked so much more and no further.
 *          The median follows each answer by a sixteenth, up or down.
 * Units:   monotonic nanoseconds.
 * Threads: none; guarded by its owner, who keeps each mark at its place from late_sent to late_ended.
 */
#ifndef TRANCHE_PREDICT_UPSTREAM_PACE_LATE_H
#define TRANCHE_PREDICT_UPSTREAM_PACE_LATE_H

#include <stdbool.h>
#include <stdint.h>

#define LATE_TIMES 16
#define LATE_MIN_MS 250
#define LATE_MORE 3

/* A request that is open. */
struct late_mark {
    struct late_mark *older, *newer;
    uint64_t sent_ns;
    bool late;
};
struct late {
    struct late_mark *newest;
    struct late_mark *first; /* the oldest that is not late yet */
    uint32_t count;          /* late ones */
    double median_ns;        /* 0: no answer came */
};
void late_sent(struct late *l, struct late_mark *m, uint64_t now_ns);
void late_ended(struct late *l, struct late_mark *m, bool answered, uint64_t now_ns);
/* The late requests that do not count against this limit; *next_ns is lowered to when one more is late. */
uint32_t late_excused(struct late *l, uint32_t limit, uint64_t now_ns, uint64_t *next_ns);

#endif
