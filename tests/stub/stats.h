/* stats.h -- what the stub saw, for the test or bench that started it.
 *
 * Units:   times in monotonic nanoseconds. Work is measured from the first request to the end of
 *          the last, so that what happens before and after does not count as idle.
 * Threads: none.
 */
#ifndef TRANCHE_STUB_STATS_H
#define TRANCHE_STUB_STATS_H

#include <stdint.h>

#include "base/str.h"
#include "fault.h"

struct stats {
    uint64_t connections, connections_max; /* opened so far; open at once */
    uint64_t requests;                     /* for an answer, whatever became of them */
    uint64_t answered;                     /* well */
    uint64_t limited, refused, denied;     /* by --rpm, by a full queue, for want of the key */
    uint64_t abandoned;                    /* the client went before its answer */
    uint64_t fault[FAULT_COUNT];
    uint64_t attempts_max; /* of one body */
    uint64_t window_max;   /* requests accepted in one window of --rpm */
    uint64_t busy_max, queue_max;
    uint64_t prefix_hits, cached_tokens;
    uint64_t bytes_in, bytes_out;
    /* Time: since the first request. */
    uint64_t first_ns, changed_ns; /* when the first came; when `busy` changed last */
    uint64_t busy;                 /* at work now */
    double busy_ns, empty_ns;      /* busy integrated over time; time with nothing at work */
};

void stats_busy(struct stats *s, uint64_t busy, uint64_t now_ns); /* so many at work from now on */
/* As JSON; the share of slots that were idle when there are slots, else of the time. */
void stats_write(const struct stats *s, uint64_t slots, uint64_t bodies, struct buf *out);

#endif
