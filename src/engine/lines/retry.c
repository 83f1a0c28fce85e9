#include "engine/lines/retry.h"

#include "base/random.h"

uint64_t retry_budget(const struct retry_rules *r, uint64_t lines)
{
    return RETRY_FREE + (uint64_t)((double)lines * r->ratio);
}

/* min(cap, base * 2^(attempt - 1)): the first wait is within the base. */
static uint64_t backoff_ms(const struct retry_rules *r, const struct retry_failure *f)
{
    uint64_t ms = r->base_ms;
    bool early = f->own && f->attempt + RETRY_LATE < r->attempts_max;

    for (uint32_t i = 1; i < f->attempt && ms < r->cap_ms && !early; i++)
        ms *= 2;
    return ms < r->cap_ms ? ms : r->cap_ms;
}

bool retry_next(const struct retry_rules *r, const struct retry_failure *f, uint64_t *seed,
                uint32_t *wait_ms)
{
    if (!error_retryable(f->code) || f->attempt >= r->attempts_max)
        return false;

    uint64_t range = backoff_ms(r, f), asked = f->retry_after_ms;
    uint64_t wait = range ? 1 + random_next(seed) % range : 0;
    asked = asked < RETRY_AFTER_MAX_MS ? asked : RETRY_AFTER_MAX_MS;
    *wait_ms = (uint32_t)(wait > asked ? wait : asked);
    return true;
}
