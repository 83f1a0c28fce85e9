#include "predict/upstream/pace_pause.h"

#include <assert.h>

#include "base/clock.h"

/* A round trip of few requests is joined to those before it, the older of which count less and less:
 * together they must be enough to judge by. */
static void round_over(struct pause *p, uint64_t now_ns)
{
    if (p->now.ends >= PAUSE_ENDS_MIN)
        p->before = (struct pause_round){ 0 };
    p->before.ends += p->now.ends;
    p->before.refusals += p->now.refusals;
    if (p->now.ends < PAUSE_ENDS_MIN && p->before.ends > 2 * PAUSE_ENDS_MIN) {
        p->before.ends /= 2;
        p->before.refusals /= 2;
    }
    if (2 * p->now.refusals < p->now.ends)
        p->limited = false;
    p->now = (struct pause_round){ 0 };
    p->round_ns = now_ns;
    p->rounds = p->rounds < 2 ? p->rounds + 1 : 2;
}

static bool refusals_dominate(const struct pause *p)
{
    uint32_t ends = p->now.ends + p->before.ends, refusals = p->now.refusals + p->before.refusals;

    assert(refusals <= ends);
    return p->rounds == 2 && ends >= PAUSE_ENDS_MIN && refusals >= PAUSE_SHARE * ends;
}

void pause_end(struct pause *p, const struct pause_end *end)
{
    uint32_t ms = end->retry_after_ms < PAUSE_MAX_MS ? end->retry_after_ms : PAUSE_MAX_MS;
    uint64_t until = end->now_ns + ms * NS_PER_MS;

    if (!end->retried || p->limited) {
        p->now.ends++;
        p->now.refusals += end->refused;
        if (end->sent_ns >= p->round_ns)
            round_over(p, end->now_ns);
        p->limited = p->limited || refusals_dominate(p);
    }
    bool all = refusals_dominate(p) && (!end->retried || p->limited);
    if (end->refused && ms && until > p->until_ns && (end->account || all))
        p->until_ns = until;
}
