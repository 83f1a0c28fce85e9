#include "engine/lines/retry.h"

#include "base/random.h"

uint64_t retry_budget(const struct retry_rules *r, uint64_t lines)
{
    return RETRY_FREE + (uint64_t)((double)lines * r->ratio);
}

/* min(cap, base * 2^(attempt - 1)): the first wait is within the base. */
static uint64_t backoff_ms(const struct retry_rules *r, uint32_t attempt)
{
    uint64_t ms = r->base_ms;

    for (uint32_t i = 1; i < attempt && ms < r->cap_ms; i++)
        ms *= 2;
    return ms < r->cap_ms ? ms : r->cap_ms;
}

bool retry_next(const struct retry_rules *r, uint32_t attempt, enum error_code code,
                uint32_t retry_after_ms, uint64_t *seed, uint32_t *wait_ms)
{
    if (!error_retryable(code) || attempt >= r->attempts_max)
        return false;

    uint64_t range = backoff_ms(r, attempt);
    uint32_t wait = range ? (uint32_t)(1 + random_next(seed) % range) : 0;
    uint32_t asked = retry_after_ms < RETRY_AFTER_MAX_MS ? retry_after_ms : RETRY_AFTER_MAX_MS;
    *wait_ms = wait > asked ? wait : asked;
    return true;
}
