#include "timers.h"

#include <assert.h>
#include <stddef.h>

#include "base/mem.h"

#define TIMERS_FIRST 64

void timers_release(struct timers *t)
{
    mem_free(t->heap);
    *t = (struct timers){ 0 };
}

static void put(struct timers *t, uint32_t at, struct timer *timer)
{
    t->heap[at] = timer;
    timer->place = at + 1;
}

static void rise(struct timers *t, uint32_t at, struct timer *timer)
{
    for (; at > 0 && timer->when_ns < t->heap[(at - 1) / 2]->when_ns; at = (at - 1) / 2)
        put(t, at, t->heap[(at - 1) / 2]);
    put(t, at, timer);
}

static void sink(struct timers *t, uint32_t at, struct timer *timer)
{
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= t->count)
            break;
        if (child + 1 < t->count && t->heap[child + 1]->when_ns < t->heap[child]->when_ns)
            child++;
        if (timer->when_ns <= t->heap[child]->when_ns)
            break;
        put(t, at, t->heap[child]);
        at = child;
    }
    put(t, at, timer);
}

void timers_set(struct timers *t, struct timer *timer, uint64_t when_ns)
{
    assert(timer->place == 0);
    if (t->count == t->cap) {
        t->cap = t->cap ? t->cap * 2 : TIMERS_FIRST;
        t->heap = mem_grow(t->heap, t->cap * sizeof(struct timer *));
    }
    timer->when_ns = when_ns;
    rise(t, t->count++, timer);
}

void timers_clear(struct timers *t, struct timer *timer)
{
    if (timer->place == 0)
        return;
    uint32_t at = timer->place - 1;
    struct timer *last = t->heap[--t->count];
    timer->place = 0;
    if (last == timer)
        return;
    if (last->when_ns < timer->when_ns)
        rise(t, at, last);
    else
        sink(t, at, last);
}

struct timer *timers_due(struct timers *t, uint64_t now_ns)
{
    if (t->count == 0 || t->heap[0]->when_ns > now_ns)
        return NULL;
    struct timer *first = t->heap[0];
    timers_clear(t, first);
    return first;
}

bool timers_next(const struct timers *t, uint64_t *when_ns)
{
    if (t->count == 0)
        return false;
    *when_ns = t->heap[0]->when_ns;
    return true;
}
