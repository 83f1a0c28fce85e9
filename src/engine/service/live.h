/* live.h -- how fast a running job is, and when it will be done.
 *
 * Shape:   one sample a second of the lines done, the last LIVE_SAMPLES of them: the rate is that of
 *          the whole window, the band comes from how much the seconds differ.
 * Band:    rate +- 1.645 standard errors (doubled: neighbouring seconds are alike), at least 10 %: if the
 *          job goes on as in the last minute, nine times in ten it ends within it.
 * Units:   lines, seconds; monotonic nanoseconds.
 * Threads: none; guarded by its owner.
 */
#ifndef TRANCHE_ENGINE_SERVICE_LIVE_H
#define TRANCHE_ENGINE_SERVICE_LIVE_H

#include "engine/lines/pipeline.h"
#include "format/job/job.h"

#define LIVE_SAMPLES 64

struct live {
    struct progress progress; /* the newest */
    uint64_t at_ns[LIVE_SAMPLES], done[LIVE_SAMPLES];
    uint64_t prompt[LIVE_SAMPLES], generated[LIVE_SAMPLES]; /* tokens */
    uint32_t count; /* taken so far; the newest is at (count - 1) % LIVE_SAMPLES */
    bool begun;
};
void live_add(struct live *l, const struct progress *p, uint64_t now_ns);

#endif
