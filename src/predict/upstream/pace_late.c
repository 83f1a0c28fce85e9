#include "predict/upstream/pace_late.h"

#include <assert.h>

#include "base/clock.h"

#define STEP (1.0 + 1.0 / 16)

void late_sent(struct late *l, struct late_mark *m, uint64_t now_ns)
{
    *m = (struct late_mark){ .older = l->newest, .sent_ns = now_ns };
    if (m->older)
        m->older->newer = m;
    l->newest = m;
    l->first = l->first ? l->first : m;
}

static void median_follow(struct late *l, double took_ns)
{
    if (l->median_ns <= 0)
        l->median_ns = took_ns;
    else
        l->median_ns = took_ns > l->median_ns ? l->median_ns * STEP : l->median_ns / STEP;
}

void late_ended(struct late *l, struct late_mark *m, bool answered, uint64_t now_ns)
{
    if (answered && now_ns > m->sent_ns)
        median_follow(l, (double)(now_ns - m->sent_ns));
    if (l->newest == m)
        l->newest = m->older;
    if (l->first == m)
        l->first = m->newer;
    if (m->older)
        m->older->newer = m->newer;
    if (m->newer)
        m->newer->older = m->older;
    assert(l->count >= m->late);
    l->count -= m->late;
}

uint32_t late_excused(struct late *l, uint32_t limit, uint64_t now_ns, uint64_t *next_ns)
{
    uint64_t after = (uint64_t)(LATE_TIMES * l->median_ns), most = LATE_MORE * (uint64_t)limit;

    after = after > LATE_MIN_MS * NS_PER_MS ? after : LATE_MIN_MS * NS_PER_MS;
    for (; l->median_ns > 0 && l->first && l->first->sent_ns + after <= now_ns;
         l->first = l->first->newer) {
        l->first->late = true;
        l->count++;
    }
    if (l->count >= most)
        return (uint32_t)most;
    if (l->median_ns > 0 && l->first && l->first->sent_ns + after < *next_ns)
        *next_ns = l->first->sent_ns + after;
    return l->count;
}
