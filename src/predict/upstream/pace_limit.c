#include "predict/upstream/pace_limit.h"

#include <assert.h>
#include <math.h>

/* Share added to a limit that is held: hides the round trip between two requests. */
#define HEADROOM (1.0 / 16)
/* An epoch with fewer requests in flight than this share of the limit did not use the limit. */
#define USED 0.8
#define LESS 0.9
#define MORE 0.25 /* large enough that its gain stands out from chance */
#define GROWN 1.2 /* a limit that grew by less in an epoch is not judged by it */
#define CHANCE 3  /* standard deviations that chance may add to a share of refusals */
#define CUT_MOST 0.5
#define NS 1e9

static void epoch_begin(struct limit *l, uint64_t now_ns)
{
    l->since_ns = now_ns;
    l->done = 0;
    l->refused = 0;
    l->in_flight_sum = 0;
    l->latency_sum = 0;
    l->lost_sum = 0;
    l->work_sum = 0;
    l->before = l->from;
    l->from = l->now;
}

void limit_init(struct limit *l, uint32_t fixed, uint32_t max)
{
    *l = (struct limit){ .max = fixed ? fixed : max, .move = LIMIT_DOUBLES };
    l->now = fixed ? fixed : LIMIT_START;
    l->now = l->now < l->max ? l->now : l->max;
    l->from = l->before = l->now;
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

/* Work per second: in flight / latency requests per second, times the mean work of one. The requests in
 * flight that will be refused, a part of them as their time is of all requests' time, do none. */
static double epoch_rate(const struct limit *l)
{
    double latency = l->latency_sum / l->done, all = l->latency_sum + l->lost_sum;

    return l->in_flight_sum / l->done / (latency > 1e-9 ? latency : 1e-9) * l->work_sum / l->done *
           (all > 0 ? l->latency_sum / all : 1);
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
    if (l->move != LIMIT_DOUBLES) /* which grows by itself: see limit_add */
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
    double at = l->move == LIMIT_DOUBLES ? l->in_flight_sum / l->done : l->now;
    double wanted = l->best_rate * (1 + LIMIT_GAIN * (at / l->best - 1));

    if (l->move == LIMIT_DOUBLES && l->best_rate > 0 && at < GROWN * l->best && l->now < l->max)
        return;
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
    l->best = at;
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

/* The largest share of refusals that may have given this one by chance: Wilson's bound, which holds for few
 * refusals too. No refusal at all is none that is tolerated. */
static double tolerated(const struct limit *l, double share)
{
    double n = l->done + l->refused, z2 = CHANCE * CHANCE;
    double spread = CHANCE * sqrt(share * (1 - share) / n + z2 / (4 * n * n));

    return share > 0 ? (share + z2 / (2 * n) + spread) / (1 + z2 / n) : 0;
}

/* Is the limit so low that refusals by load would be gone, had they come from load? A server that refuses
 * a share of what it gets has room for the rest. */
static bool cut_enough(const struct limit *l)
{
    return l->now <= 1 || l->now <= LIMIT_CUT_ENOUGH * (1 - l->cut_share) * l->cut_from;
}

static void cut(struct limit *l, double share)
{
    l->best_rate = 0;
    if (l->cuts == 0) {
        l->cut_from = l->now;
        l->cut_share = share;
    }
    if (l->cuts++ && cut_enough(l) && share > LIMIT_CUT_HELPS * l->cut_share) {
        l->deaf = tolerated(l, share);
        l->cuts = 0;
        move_to(l, l->cut_from, LIMIT_DOUBLES);
    } else {
        hold(l, l->now * fmax(1 - share, CUT_MOST), LIMIT_HOLD_MIN);
    }
}

static void epoch_end(struct limit *l, uint64_t now_ns)
{
    double share = (double)l->refused / (l->done + l->refused);
    bool first = l->move == LIMIT_DOUBLES && l->best_rate <= 0 && l->cuts == 0;

    /* A part of the requests fails already at the smallest limit: that part is not of load. Growing
     * goes on, and is judged by what is answered. */
    if (first && share <= LIMIT_FIRST_REFUSED)
        l->deaf = fmax(l->deaf, tolerated(l, share));
    bool refused = share > LIMIT_REFUSED && share > l->deaf;
    l->cuts = refused ? l->cuts : 0;
    if (refused) {
        cut(l, share);
    } else if (l->done == 0) {
        l->best_rate = 0;
    } else if (l->in_flight_sum >= USED * l->from * l->done) {
        judge(l);
    }
    epoch_begin(l, now_ns);
}

/* A limit that doubles grows by one with each answer, from the first on, as long as it is used: the limit
 * that held when the request was sent. */
static void grow(struct limit *l, const struct limit_sample *s)
{
    double from = s->sent_ns < l->since_ns && l->before < l->from ? l->before : l->from;

    if (l->move == LIMIT_DOUBLES && !l->doubted && !s->refused && s->in_flight >= USED * from)
        l->now = fmin(l->now + 1, l->max);
}

static void refusal_counts(struct limit *l, const struct limit_refusal *r)
{
    if (r->sent_ns < l->since_ns)
        return;
    l->refused++;
    l->lost_sum += (double)r->latency_ns / NS;
}

static void refusal_waits(struct limit *l, const struct limit_refusal *r)
{
    assert(l->waiting_count < LIMIT_WAITING_MAX);
    l->waiting[(l->first + l->waiting_count++) % LIMIT_WAITING_MAX] = *r;
}

/* Those that an answer has caught up with, and those that are too many to wait. */
static void waiting_count(struct limit *l)
{
    double most = fmin(fmax(l->from, LIMIT_EPOCH_MIN), LIMIT_WAITING_MAX - 1);

    while (l->waiting_count) {
        const struct limit_refusal *r = &l->waiting[l->first];
        if (r->sent_ns > l->answered_ns && l->waiting_count <= most)
            return;
        refusal_counts(l, r);
        l->first = (l->first + 1) % LIMIT_WAITING_MAX;
        l->waiting_count--;
    }
}

static void answer_counts(struct limit *l, const struct limit_sample *s)
{
    l->answered_ns = s->sent_ns > l->answered_ns ? s->sent_ns : l->answered_ns;
    if (s->sent_ns < l->since_ns)
        return;
    l->done++;
    l->in_flight_sum += s->in_flight;
    l->latency_sum += (double)s->latency_ns / NS;
    l->work_sum += s->work > 0 ? s->work : 1;
}

void limit_add(struct limit *l, const struct limit_sample *s, uint64_t now_ns)
{
    const struct limit_refusal refusal = { s->sent_ns, s->latency_ns };

    if (is_fixed(l))
        return;
    grow(l, s);
    if (!s->refused)
        answer_counts(l, s);
    else if (s->sent_ns <= l->answered_ns)
        refusal_counts(l, &refusal);
    else
        refusal_waits(l, &refusal);
    waiting_count(l);
    uint32_t wanted = l->from > LIMIT_EPOCH_MIN ? (uint32_t)l->from : LIMIT_EPOCH_MIN;
    if (l->done + l->refused >= wanted)
        epoch_end(l, now_ns);
}
