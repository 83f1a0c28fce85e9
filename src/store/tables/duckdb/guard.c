#include "store/tables/duckdb/guard.h"

#include <assert.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/thread.h"

#define TICK_MS 20 /* how late a statement may be stopped */

/* The file and its log: a transaction writes to either. */
static uint64_t file_bytes(const char *path)
{
    struct arena a = { 0 };
    struct stat file, log;
    uint64_t bytes = stat(path, &file) == 0 ? (uint64_t)file.st_size : 0;

    bytes += stat(arena_textf(&a, "%s.wal", path), &log) == 0 ? (uint64_t)log.st_size : 0;
    arena_release(&a);
    return bytes;
}

static uint64_t now_ns(void)
{
    struct clock *c = clock_system();

    return c->mono_ns(c);
}

/* An interrupt between two statements is lost, so it is repeated until the guard ends. */
static void look_at(struct guard *g)
{
    if (g->reason == GUARD_NONE && g->deadline_ns && now_ns() > g->deadline_ns)
        g->reason = GUARD_TIME;
    if (g->reason == GUARD_NONE && g->bytes_max &&
        file_bytes(g->path) > g->bytes_begun + g->bytes_max)
        g->reason = GUARD_BYTES;
    if (g->reason != GUARD_NONE)
        g->connection->duckdb->interrupt(g->connection->handle);
}

static void *watch_run(void *arg)
{
    struct watch *w = arg;

    lock(&w->lock);
    while (!w->closed) {
        if (!w->running) {
            cond_wait(&w->changed, &w->lock);
            continue;
        }
        for (struct guard *g = w->running; g; g = g->next)
            look_at(g);
        (void)cond_wait_until(&w->changed, &w->lock, deadline_in_ms(TICK_MS));
    }
    unlock(&w->lock);
    return NULL;
}

void watch_init(struct watch *w)
{
    *w = (struct watch){ .running = NULL };
    lock_init(&w->lock);
    cond_init(&w->changed);
}

void watch_release(struct watch *w)
{
    lock(&w->lock);
    assert(!w->running);
    w->closed = true;
    cond_signal(&w->changed);
    unlock(&w->lock);
    if (w->started)
        thread_join(w->thread);
    cond_destroy(&w->changed);
    lock_destroy(&w->lock);
}

/* Called under the cancel's lock. */
static void cancel_wake(void *arg)
{
    struct guard *g = arg;

    lock(&g->watch->lock);
    g->reason = GUARD_CANCEL;
    g->connection->duckdb->interrupt(g->connection->handle);
    unlock(&g->watch->lock);
}

static int start(struct watch *w, struct error *e)
{
    if (w->started)
        return 0;
    if (pthread_create(&w->thread, NULL, watch_run, w))
        return error_set(e, ERROR_RESOURCE_EXHAUSTED, "No thread can be started to watch queries.");
    w->started = true;
    return 0;
}

int guard_begin(struct watch *w, struct guard *g, struct tables_cancel *cancel, struct error *e)
{
    g->watch = w;
    g->reason = GUARD_NONE;
    g->deadline_ns = g->timeout_ms ? now_ns() + (uint64_t)g->timeout_ms * NS_PER_MS : 0;
    g->bytes_begun = g->bytes_max ? file_bytes(g->path) : 0;
    lock(&w->lock);
    int rc = start(w, e);
    if (rc == 0) {
        g->next = w->running;
        w->running = g;
        cond_signal(&w->changed);
    }
    unlock(&w->lock);
    if (rc < 0 || tables_cancel_set(cancel, cancel_wake, g))
        return rc;
    lock(&w->lock);
    g->reason = GUARD_CANCEL;
    unlock(&w->lock);
    return guard_end(w, g, NULL, -1, e);
}

static int reason_error(enum guard_reason reason, const struct guard *g, struct error *e)
{
    if (reason == GUARD_TIME)
        return error_set(e, ERROR_DEADLINE_EXCEEDED,
                         "Query exceeded its time limit of %lld ms (table-query-timeout)",
                         (long long)g->timeout_ms);
    if (reason == GUARD_BYTES)
        return error_set(e, ERROR_RESOURCE_EXHAUSTED,
                         "Response too large to return: the result is over %llu bytes "
                         "(table-result-bytes)",
                         (unsigned long long)g->bytes_max);
    return error_set(e, ERROR_CANCELLED,
                     "Job execution was cancelled: User requested cancellation");
}

int guard_check(struct guard *g, struct error *e)
{
    lock(&g->watch->lock);
    enum guard_reason reason = g->reason;
    unlock(&g->watch->lock);
    return reason == GUARD_NONE ? 0 : reason_error(reason, g, e);
}

int guard_end(struct watch *w, struct guard *g, struct tables_cancel *cancel, int rc,
              struct error *e)
{
    (void)tables_cancel_set(cancel, NULL, NULL);
    lock(&w->lock);
    for (struct guard **at = &w->running; *at; at = &(*at)->next)
        if (*at == g) {
            *at = g->next;
            break;
        }
    enum guard_reason reason = g->reason;
    unlock(&w->lock);
    return rc < 0 && reason != GUARD_NONE ? reason_error(reason, g, e) : rc;
}
