#include "store/connections.h"

#include <assert.h>
#include <pthread.h>

#include "base/clock.h"
#include "base/thread.h"

/* Those that wait for use; more are closed when they come back. */
#define IDLE_MAX 16
/* Most that two clocks drift apart in a second. */
#define DRIFT_US_PER_S 200

/* Database's time less ours (CLOCK_BOOTTIME): somewhere from least to most when it was read. */
struct offset {
    bool known;
    int64_t least_us, most_us;
    uint64_t read_ns;
};

struct connections {
    const char *place;
    bool remote;
    uint32_t most;

    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t given;
    struct db *idle[IDLE_MAX];
    uint32_t idle_count, open; /* open: with those in use */
    uint64_t failed_ns;        /* 0: the last attempt to connect worked */
    struct error failure;
    struct offset offset;
};

struct connections *connections_new(const char *place, uint32_t most)
{
    struct connections *c = mem_alloc(sizeof *c);

    assert(most > 0);
    c->place = place;
    c->remote = db_is_url(place);
    c->most = c->remote ? most : UINT32_MAX;
    lock_init(&c->lock);
    cond_init(&c->given);
    return c;
}

void connections_free(struct connections *c)
{
    if (!c)
        return;
    for (uint32_t i = 0; i < c->idle_count; i++)
        db_close(c->idle[i]);
    lock_destroy(&c->lock);
    cond_destroy(&c->given);
    mem_free(c);
}

static uint64_t mono_ns(void)
{
    return clock_system()->mono_ns(clock_system());
}

static struct db *make(struct connections *c, struct error *e)
{
    const struct db_settings settings = {
        .access = DB_READ_ONLY,
        .page_bytes = 4096,
        .cache_kib = 8192,
        .log_pages = 1000,
    };
    struct db *d = db_open(c->place, &settings, e);

    if (d)
        connection_read_clock(c, d);
    lock(&c->lock);
    c->failed_ns = d || !c->remote ? 0 : mono_ns();
    if (!d) {
        c->failure = *e;
        c->open--;
        cond_signal(&c->given);
    }
    unlock(&c->lock);
    return d;
}

/* One that is idle, or the right to make one (*out NULL); -1 when there is neither in time. */
static int wait_for_one(struct connections *c, struct db **out, struct error *e)
{
    uint64_t deadline_ns = deadline_in_ms(CONNECTION_WAIT_MS);
    bool in_time = true;
    int rc = 0;

    lock(&c->lock);
    while (c->idle_count == 0 && c->open >= c->most && in_time)
        in_time = cond_wait_until(&c->given, &c->lock, deadline_ns);
    *out = c->idle_count > 0 ? c->idle[--c->idle_count] : NULL;
    if (!*out && c->open >= c->most) {
        rc = error_set(e, ERROR_UNAVAILABLE, "all %u connections to the database are in use",
                       c->most);
    } else if (!*out && c->failed_ns &&
               mono_ns() - c->failed_ns < CONNECTION_PAUSE_MS * NS_PER_MS) {
        *e = c->failure;
        rc = -1;
    } else if (!*out) {
        c->open++;
    }
    unlock(&c->lock);
    return rc;
}

struct db *connection_take(struct connections *c, struct error *e)
{
    struct db *d;

    if (c->remote)
        assert_may_wait("a call of the database");
    if (wait_for_one(c, &d, e) < 0)
        return NULL;
    return d ? d : make(c, e);
}

void connection_give(struct connections *c, struct db *d)
{
    db_reset_all(d); /* an unfinished one would hold back SQLite's checkpoint */
    lock(&c->lock);
    bool keep = c->idle_count < IDLE_MAX && !db_is_lost(d);
    if (keep)
        c->idle[c->idle_count++] = d;
    else
        c->open--;
    cond_signal(&c->given);
    unlock(&c->lock);
    if (!keep)
        db_close(d);
}

/* ---- Time ---- */

/* The offset as of now: its interval widens as the clocks drift. */
static struct offset widened(const struct offset *o, uint64_t now_ns)
{
    int64_t drift_us = (int64_t)((now_ns - o->read_ns) / NS_PER_S + 1) * DRIFT_US_PER_S;

    return (struct offset){ o->known, o->least_us - drift_us, o->most_us + drift_us, now_ns };
}

void connection_read_clock(struct connections *c, const struct db *d)
{
    struct db_clock read;

    if (!db_clock(d, &read))
        return;
    struct offset seen = { true, read.wall_us - (int64_t)(read.answered_ns / 1000),
                           read.wall_us - (int64_t)(read.asked_ns / 1000), read.answered_ns };
    lock(&c->lock);
    if (c->offset.known && read.answered_ns >= c->offset.read_ns) {
        struct offset o = widened(&c->offset, read.answered_ns);
        /* Without a common part one of the clocks was set: the old readings are worth nothing. */
        if (o.least_us <= seen.most_us && seen.least_us <= o.most_us) {
            seen.least_us = o.least_us > seen.least_us ? o.least_us : seen.least_us;
            seen.most_us = o.most_us < seen.most_us ? o.most_us : seen.most_us;
        }
    }
    assert(seen.least_us <= seen.most_us);
    if (!c->offset.known || read.answered_ns >= c->offset.read_ns)
        c->offset = seen;
    unlock(&c->lock);
}

bool connections_now(struct connections *c, int64_t *out)
{
    lock(&c->lock);
    struct offset o = c->offset;
    unlock(&c->lock);
    if (o.known)
        *out = (int64_t)(clock_system()->boot_ns(clock_system()) / 1000) + o.least_us +
               (o.most_us - o.least_us) / 2;
    return o.known;
}
