/* timers.h -- what must happen later: a binary heap, the earliest at its top.
 *
 * Why: each connection waits for at most one thing (its answer, its next byte), thousands at once.
 *
 * Units:   monotonic nanoseconds.
 * Threads: none; a heap and its timers belong to one loop.
 */
#ifndef TRANCHE_STUB_TIMERS_H
#define TRANCHE_STUB_TIMERS_H

#include <stdbool.h>
#include <stdint.h>

struct timer {
    uint64_t when_ns;
    uint32_t place; /* in the heap, from 1; 0: not set */
    void *owner;
};
struct timers {
    struct timer **heap;
    uint32_t count, cap;
};

void timers_release(struct timers *t);
/* Sets a timer that is not set. It must not move until it fired or was cleared. */
void timers_set(struct timers *t, struct timer *timer, uint64_t when_ns);
void timers_clear(struct timers *t, struct timer *timer); /* one that is not set is left alone */
/* The earliest one that is due, which is then not set any more; or NULL. */
struct timer *timers_due(struct timers *t, uint64_t now_ns);
bool timers_next(const struct timers *t, uint64_t *when_ns); /* false: none is set */

#endif
