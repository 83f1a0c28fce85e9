#include "predict/upstream/pace_share.h"

#include <assert.h>
#include <math.h>

#include "base/clock.h"

#define MORE 1.25 /* need, by what was used: room to grow into, without being held back first */
#define MINUTE_S 60.0
#define LOOK_NS NS_PER_S /* a shorter time says little */

bool share_limits(const struct share *s)
{
    return s->limit[SHARE_REQUESTS] > 0 || s->limit[SHARE_TOKENS] > 0 || s->limit[SHARE_SLOTS] > 0;
}

bool share_valid(const struct share *s, uint64_t boot_ns)
{
    return boot_ns < s->until_ns;
}

void share_asked(struct share *s, uint64_t now_ns)
{
    s->asked = true;
    s->asked_ns = now_ns;
}

void share_held(struct share *s, enum share_kind kind)
{
    s->held[kind] = true;
}

void share_sent(struct share *s, double tokens)
{
    s->sent[SHARE_REQUESTS] += 1;
    s->sent[SHARE_TOKENS] += tokens;
}

/* A minute's worth of what was sent since the last look. */
static double rate(const struct share *s, enum share_kind kind, uint64_t now_ns)
{
    double seconds = (double)(now_ns - s->looked_ns) / (double)NS_PER_S;

    return seconds > 0 ? fmax(0, s->sent[kind]) / seconds * MINUTE_S : 0;
}

/* The requests since the last look say what is needed until the next one. */
static void look(struct share *s, const struct share_use *use)
{
    const double unit[SHARE_KINDS] = { 1, use->tokens, 1 };

    for (int k = 0; k < SHARE_KINDS; k++) {
        double used = k == SHARE_SLOTS ? use->in_flight : rate(s, (enum share_kind)k, use->now_ns);
        s->need[k] = s->held[k] ? INFINITY : used * MORE + unit[k];
        s->sent[k] = 0;
        s->held[k] = false;
    }
    s->looked_ns = use->now_ns;
}

void share_need(struct share *s, const struct share_use *use, struct share_need *out)
{
    bool asked = s->asked && use->now_ns - s->asked_ns < SHARE_IDLE_MS * NS_PER_MS;

    if (use->now_ns - s->looked_ns >= LOOK_NS)
        look(s, use);
    *out =
        (struct share_need){ .unit = { 1, use->tokens, 1 }, .wants = asked || use->in_flight > 0 };
    for (int k = 0; k < SHARE_KINDS; k++) {
        out->limit[k] = s->limit[k];
        out->holds[k] = use->valid ? s->part[k] : 0;
        /* Nobody knows what the first requests will need. */
        out->need[k] = s->held[k] || !use->valid ? INFINITY : s->need[k];
    }
    out->holds[SHARE_SLOTS] = fmax(out->holds[SHARE_SLOTS], use->in_flight);
}

void share_set(struct share *s, const double part[SHARE_KINDS], uint64_t until_ns)
{
    assert(until_ns >= s->until_ns || until_ns == 0);
    for (int k = 0; k < SHARE_KINDS; k++)
        s->part[k] = part[k];
    s->until_ns = until_ns;
}
