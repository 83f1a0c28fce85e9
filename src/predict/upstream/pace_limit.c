#include "predict/upstream/pace_limit.h"

#include <assert.h>
#include <math.h>

/* Share added to a limit that is held: hides the round trip between two requests. */
#define HEADROOM (1.0 / 16)
/* An epoch with fewer requests in flight than this share of the limit did not use the limit. */
#define USED 0.8
#define LESS 0.9
#define MORE 0.25 /* large enough that its gain stands out from chance */
#define DEAF 1.3  /* margin: chance makes some epochs worse than others */
#define NS 1e9

static void epoch_begin(struct limit *l, uint64_t now_ns)
{
    l->since_ns = now_ns;
    l->done = 0;
    l->refused = 0;
    l->in_flight_sum = 0;
    l->latency_sum = 0;
    l->work_sum = 0;
}

void limit_init(struct limit *l, uint32_t fixed, uint32_t max)
{
    *l = (struct limit){ .max = fixed ? fixed : max, .move = LIMIT_DOUBLES };
    l->now = fixed ? fixed : LIMIT_START;
    l->now = l->now < l->max ? l->now : l->max;
    if (fixed)
        l->move = LIMIT_HOLDS, l->hold = UINT32_MAX;
}

static bool is_fixed(const struct limit *l)
{
    return l->hold == UINT32_MAX;
}

uint32_t limit_now(const struct limit *l)
{
    double n = l->move == LIMIT_HOLDS && !is_fixed(l) ? l->now * (1 + HEADROOM) + 1 : l->now;

    n = n < l->max ? n : l->max;
    return n < 1 ? 1 : (uint32_t)n;
}

/* Work per second: in flight / latency requests per second, times the mean work of one. */
static double epoch_rate(const struct limit *l)
{
    double latency = l->latency_sum / l->done;

    return l->in_flight_sum / l->done / (latency > 1e-9 ? latency : 1e-9) * l->work_sum / l->done;
}

static void move_to(struct limit *l, double now, enum limit_move move)
{
    assert(l->max >= 1);
    l->now = now < 1 ? 1 : now > l->max ? l->max : now;
    l->move = move;
}

static void hold(struct limit *l, double at, uint32_t epochs)
{
    l->hold_for = epochs < LIMIT_HOLD_MAX ? epochs : LIMIT_HOLD_MAX;
    l->hold = l->hold_for;
    move_to(l, at, LIMIT_HOLDS);
}

static void try_more(struct limit *l)
{
    if (l->now >= l->max) {
        hold(l, l->max, LIMIT_HOLD_MAX);
        return;
    }
    if (l->move == LIMIT_DOUBLES)
        move_to(l, 2 * l->now, LIMIT_DOUBLES);
    else
        move_to(l, l->now + fmax(1, MORE * l->now), LIMIT_TRIES_MORE);
}

/* A good limit is known: after a while more is tried, and the next time less. */
static void held(struct limit *l, double rate)
{
    l->best = l->now;
    l->best_rate = l->best_rate > 0 ? (l->best_rate + rate) / 2 : rate;
    if (l->hold > 1) {
        l->hold--;
        return;
    }
    l->less_next = !l->less_next;
    if (l->less_next || l->now < 2)
        try_more(l);
    else
        move_to(l, l->now * LESS, LIMIT_TRIES_LESS);
}

static void tried_more(struct limit *l, double rate)
{
    double wanted = l->best_rate * (1 + LIMIT_GAIN * (l->now / l->best - 1));

    bool gained = l->best_rate <= 0 || rate >= wanted;
    if (!gained && !l->doubted) {
        l->doubted = true;
        return;
    }
    l->doubted = false;
    if (!gained) {
        hold(l, l->best, l->hold_for ? 2 * l->hold_for : LIMIT_HOLD_MIN);
        return;
    }
    l->best = l->now;
    l->best_rate = rate;
    l->hold_for = 0;
    try_more(l);
}

static void tried_less(struct limit *l, double rate)
{
    if (rate < l->best_rate * LIMIT_KEEP) {
        hold(l, l->best, l->hold_for ? 2 * l->hold_for : LIMIT_HOLD_MIN);
        return;
    }
    l->best_rate = rate;
    l->best = l->now;
    l->hold_for = 0;
    if (l->now < 2)
        hold(l, l->now, LIMIT_HOLD_MIN);
    else
        move_to(l, l->now * LESS, LIMIT_TRIES_LESS);
}

static void judge(struct limit *l)
{
    double rate = epoch_rate(l);

    switch (l->move) {
    case LIMIT_DOUBLES:
    case LIMIT_TRIES_MORE:
        tried_more(l, rate);
        break;
    case LIMIT_HOLDS:
        held(l, rate);
        break;
    case LIMIT_TRIES_LESS:
        tried_less(l, rate);
        break;
    }
}

/* Refusals that stay the same at a twentieth of the load do not come from the load. */
static void cut(struct limit *l, double share)
{
    l->best_rate = 0;
    if (l->cuts == 0) {
        l->cut_from = l->now;
        l->cut_share = share;
    }
    if (l->cuts++ < LIMIT_CUTS) {
        hold(l, l->now * LIMIT_CUT, LIMIT_HOLD_MIN);
        return;
    }
    if (share > LIMIT_CUT_HELPS * l->cut_share) {
        l->deaf = DEAF * share;
        move_to(l, l->cut_from, LIMIT_DOUBLES);
    }
    l->cuts = 0;
}

static void epoch_end(struct limit *l, uint64_t now_ns)
{
    double share = (double)l->refused / (l->done + l->refused);
    bool refused = share > LIMIT_REFUSED && share > l->deaf;

    l->cuts = refused ? l->cuts : 0;
    if (refused) {
        cut(l, share);
    } else if (l->done == 0) {
        l->best_rate = 0;
    } else if (l->in_flight_sum >= USED * l->now * l->done) {
        judge(l);
    }
    epoch_begin(l, now_ns);
}

void limit_add(struct limit *l, const struct limit_sample *s, uint64_t now_ns)
{
    if (is_fixed(l) || s->sent_ns < l->since_ns)
        return;
    if (s->refused) {
        l->refused++;
    } else {
        l->done++;
        l->in_flight_sum += s->in_flight;
        l->latency_sum += (double)s->latency_ns / NS;
        l->work_sum += s->work > 0 ? s->work : 1;
    }
    uint32_t wanted = l->now > LIMIT_EPOCH_MIN ? (uint32_t)l->now : LIMIT_EPOCH_MIN;
    if (l->done + l->refused >= wanted)
        epoch_end(l, now_ns);
}
