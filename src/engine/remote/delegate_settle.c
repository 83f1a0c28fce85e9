/* delegate_settle.c -- between the steps of a delegated job: commits, progress, waits and retries. */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include "engine/remote/delegate_inner.h"

#define PROGRESS_EVERY_MS 100
#define SLEEP_STEP_MS 100
#define NOTE_BYTES 2048

/* Only committed rows count (I2). */
void delegate_take_counters(struct delegation *d)
{
    spool_counters(d->job->spool, &d->progress.counters);
    assert(counters_balanced(&d->progress.counters)); /* I6 */
}

int delegate_stopped(const struct delegation *d, struct error *e)
{
    return delegate_is_stopped(d) ? error_set(e, ERROR_CANCELLED, "interrupted") : 0;
}

/* Lines that the batch service has and that have no row yet. */
void delegate_count_in_flight(struct delegation *d)
{
    uint64_t open = 0, pending = counters_pending(&d->progress.counters);

    for (uint32_t i = 0; i < d->part_count; i++)
        open += d->part[i].phase == PART_CREATED ? d->part[i].rows : 0;
    if (open > pending)
        open = pending;
    d->progress.in_flight = open > UINT32_MAX ? UINT32_MAX : (uint32_t)open;
}

static void show_progress(struct delegation *d, uint64_t now)
{
    delegate_count_in_flight(d);
    d->progress.elapsed_ns = now - d->began_ns;
    d->progress_due_ns = now + PROGRESS_EVERY_MS * NS_PER_MS;
    if (d->job->on_progress)
        d->job->on_progress(d->job->arg, &d->progress);
}

int delegate_settle(struct delegation *d, bool now, struct error *e)
{
    uint64_t time = delegate_now_ns(d);

    if (now || d->behind || ledger_due(&d->ledger, time)) {
        if (ledger_commit(&d->ledger, e) < 0)
            return -1;
        delegate_take_counters(d);
        int more = render_advance(d->job->render, d->job->spool, e);
        if (more < 0)
            return -1;
        d->behind = more;
    }
    if (now || time >= d->progress_due_ns)
        show_progress(d, time);
    return 0;
}

int delegate_wait(struct delegation *d, uint64_t ms, struct error *e)
{
    struct clock *clock = d->job->clock;
    uint64_t end = delegate_now_ns(d) + ms * NS_PER_MS;

    for (uint64_t now = delegate_now_ns(d); now < end; now = delegate_now_ns(d)) {
        uint64_t step = SLEEP_STEP_MS * NS_PER_MS;
        if (delegate_stopped(d, e) < 0)
            return -1;
        clock->sleep_ns(clock, end - now < step ? end - now : step);
        if (delegate_settle(d, false, e) < 0)
            return -1;
    }
    return delegate_stopped(d, e);
}

/* Waits as after a line's failure, but until patience_ms have passed and not by a count: a remote
 * job runs for hours, and an hour's outage must not cost more than this run. */
bool delegate_again(struct delegation *d, struct trial *t, const struct error *why, struct error *e)
{
    static const struct retry_rules rules = { .attempts_max = UINT32_MAX,
                                              .base_ms = RETRY_BASE_MS,
                                              .cap_ms = RETRY_CAP_MS };
    uint64_t now = delegate_now_ns(d);
    uint32_t patience = d->job->patience_ms ? d->job->patience_ms : DELEGATE_PATIENCE_MS;
    uint32_t ms;

    if (delegate_stopped(d, e) < 0)
        return false;
    if (t->failures++ == 0)
        t->since_ns = now;
    const struct retry_failure failure = { .attempt = t->failures,
                                           .code = why->code,
                                           .retry_after_ms = d->job->remote->retry_after_ms };
    if (now - t->since_ns >= patience * NS_PER_MS || (d->cancelling && now >= d->deadline_ns) ||
        !retry_next(&rules, &failure, &d->seed, &ms)) {
        *e = *why;
        return false;
    }
    d->progress.retries++;
    return delegate_wait(d, ms, e) == 0;
}

void delegate_note(const struct delegation *d, const char *fmt, ...)
{
    char text[NOTE_BYTES];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (d->job->on_note)
        d->job->on_note(d->job->arg, text);
}
