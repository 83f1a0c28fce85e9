#include "predict/upstream/pace_breaker.h"

#include <assert.h>

#include "base/clock.h"

bool breaker_ready(const struct breaker *b, uint64_t now_ns, uint64_t *ready_ns)
{
    if (b->state == BREAKER_CLOSED || (b->state == BREAKER_OPEN && now_ns >= b->until_ns))
        return true;
    *ready_ns = b->state == BREAKER_OPEN ? b->until_ns : UINT64_MAX;
    return false;
}

bool breaker_sent(struct breaker *b)
{
    if (b->state != BREAKER_OPEN)
        return false;
    b->state = BREAKER_HALF_OPEN;
    return true;
}

void breaker_success(struct breaker *b, uint64_t sent_ns, uint64_t now_ns)
{
    uint64_t newest = sent_ns > b->answered_ns ? sent_ns : b->answered_ns;

    *b = (struct breaker){
        .state = BREAKER_CLOSED,
        .answered_ns = newest,
        .success_ns = now_ns,
        .took_ns = now_ns > sent_ns ? now_ns - sent_ns : 0,
    };
}

static void breaker_open(struct breaker *b, const struct breaker_failure *f)
{
    uint32_t longer = f->reached ? BREAKER_MS : 2 * b->wait_ms;

    b->wait_ms = b->wait_ms ? longer : BREAKER_MS;
    b->wait_ms = b->wait_ms < BREAKER_CAP_MS ? b->wait_ms : BREAKER_CAP_MS;
    b->until_ns = f->now_ns + b->wait_ms * NS_PER_MS;
    b->state = BREAKER_OPEN;
    assert(b->wait_ms >= BREAKER_MS && b->wait_ms <= BREAKER_CAP_MS && b->failures);
}

/* Answers may still be on their way that were asked for before the failures. */
static bool is_slow(const struct breaker *b, const struct breaker_failure *f)
{
    uint64_t most = BREAKER_SLOW_MS * NS_PER_MS, wait = 2 * b->took_ns;

    return f->reached && f->now_ns - b->success_ns < (wait < most ? wait : most);
}

void breaker_failure(struct breaker *b, const struct breaker_failure *f)
{
    uint64_t took = f->now_ns - f->sent_ns, grace = BREAKER_RETRY_MS * NS_PER_MS;

    grace = grace > 2 * took ? grace : 2 * took;
    bool own = f->retried && b->success_ns && f->sent_ns < b->success_ns + grace;

    if (!f->probe && (f->sent_ns < b->answered_ns || own))
        return;
    b->failures++;
    b->failing_ns = b->failing_ns ? b->failing_ns : f->now_ns;
    if (f->probe ||
        (b->state == BREAKER_CLOSED && b->failures >= BREAKER_FAILURES && !is_slow(b, f)))
        breaker_open(b, f);
}

void breaker_void(struct breaker *b, bool probe)
{
    if (probe && b->state == BREAKER_HALF_OPEN)
        b->state = BREAKER_OPEN; /* its time is over, so the next request is the probe */
}
