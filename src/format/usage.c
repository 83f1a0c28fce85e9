#include "format/usage.h"

uint64_t counters_done(const struct counters *c)
{
    return c->succeeded + c->failed + c->not_run;
}

uint64_t counters_pending(const struct counters *c)
{
    uint64_t done = counters_done(c);

    return c->total > done ? c->total - done : 0;
}

/* Each count is compared with what the others leave, so that no sum can wrap around. */
bool counters_balanced(const struct counters *c)
{
    if (c->succeeded > c->total || c->failed > c->total - c->succeeded)
        return false;
    return c->not_run <= c->total - c->succeeded - c->failed && c->duplicates <= c->succeeded &&
           c->reused <= c->succeeded - c->duplicates && c->structured <= c->succeeded &&
           c->complete <= c->structured;
}
