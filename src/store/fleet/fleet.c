#include "store/fleet/fleet.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/thread.h"
#include "store/db/store_metrics.h"
#include "store/fleet/fleet_inner.h"

/* A fence: this many bits of it are the number, the others the database's timeline. */
#define FENCE_NUMBER_BITS 40
/* Expired processes that one renewal looks after. */
#define EXPIRED_MAX 64

struct fleet {
    pthread_mutex_t
        lease_lock; /* held while shards are leased, and while `held` is compared with the rows */
    pthread_mutex_t lock; /* guards the members below; taken after lease_lock */
    int64_t process;      /* 0: it did not join */
    int64_t epoch;        /* of the database, at the last renewal */
    uint64_t until_ns;    /* the lease is trusted until then */
    bool doubt;           /* the rows may say more than `held` */
    struct fleet_held *held;
    size_t count;
};

static void *fleet_new(void)
{
    struct fleet *f = mem_alloc(sizeof *f);

    lock_init(&f->lease_lock);
    lock_init(&f->lock);
    return f;
}

static void fleet_free(void *memory)
{
    struct fleet *f = memory;

    lock_destroy(&f->lease_lock);
    lock_destroy(&f->lock);
    mem_free(f->held);
    mem_free(f);
}

static struct fleet *fleet_of(struct store *s)
{
    return store_memory(s, STORE_FLEET, fleet_new, fleet_free);
}

static uint64_t now_ns(const struct store *s)
{
    return s->clock->boot_ns(s->clock);
}

int64_t fleet_process(struct store *s)
{
    struct fleet *f = fleet_of(s);

    lock(&f->lock);
    int64_t process = f->process;
    unlock(&f->lock);
    return process;
}

bool fleet_holds(struct store *s)
{
    struct fleet *f = fleet_of(s);

    lock(&f->lock);
    bool holds = f->process == 0 || now_ns(s) < f->until_ns;
    unlock(&f->lock);
    return holds;
}

/* Asked then, the lease is sure to last until this. */
static uint64_t trusted_until(uint64_t asked_ns)
{
    static_assert(FLEET_LEASE_MS >= 2 * FLEET_MARGIN_MS + FLEET_RENEW_MS,
                  "a renewal may fail once");
    return asked_ns + (FLEET_LEASE_MS - FLEET_MARGIN_MS) * NS_PER_MS;
}

/* ---- What leases need (fleet_inner.h) ---- */

int64_t fleet_fence_next(struct db *d, int64_t fence)
{
    int64_t first = db_epoch(d) << FENCE_NUMBER_BITS;

    return (fence < first ? first : fence) + 1;
}

int fleet_lock_in(struct db *d, int64_t process, struct error *e)
{
    struct stmt *q = db_stmt(d, "SELECT 1 FROM process WHERE id = ? FOR KEY SHARE");

    db_bind(q, "i", process);
    int rc = db_step(q, "cannot read the process", e);
    if (rc == 0)
        return error_set(e, ERROR_ABORTED, "this process has lost its lease");
    return rc < 0 ? -1 : 0;
}

int fleet_lease_begin(struct store *s, int64_t *process, struct error *e)
{
    struct fleet *f = fleet_of(s);

    lock(&f->lease_lock);
    *process = fleet_process(s);
    if (*process && fleet_holds(s))
        return 0;
    unlock(&f->lease_lock);
    return error_set(e, ERROR_ABORTED,
                     *process ? "the lease of this process may be over"
                              : "this process has not joined the fleet");
}

void fleet_lease_end(struct store *s, bool known)
{
    struct fleet *f = fleet_of(s);

    lock(&f->lock);
    f->doubt = f->doubt || !known;
    unlock(&f->lock);
    unlock(&f->lease_lock);
}

void fleet_hold(struct store *s, struct fleet_held h)
{
    struct fleet *f = fleet_of(s);

    lock(&f->lock);
    f->held = mem_list_grow(f->held, f->count, sizeof *f->held);
    f->held[f->count++] = h;
    unlock(&f->lock);
}

static bool is_same(const struct fleet_held *a, const struct fleet_held *b)
{
    return a->job == b->job && a->number == b->number && a->fence == b->fence;
}

void fleet_drop(struct store *s, struct fleet_held h, bool doubt)
{
    struct fleet *f = fleet_of(s);

    lock(&f->lock);
    f->doubt = f->doubt || doubt;
    for (size_t i = 0; i < f->count; i++) {
        if (!is_same(&f->held[i], &h))
            continue;
        f->held[i] = f->held[--f->count];
        break;
    }
    unlock(&f->lock);
}

static bool is_held(struct fleet *f, const struct fleet_held *h)
{
    bool found = false;

    lock(&f->lock);
    for (size_t i = 0; i < f->count && !found; i++)
        found = is_same(&f->held[i], h);
    unlock(&f->lock);
    return found;
}

/* ---- Freeing ---- */

/* Shards of one job that a process holds; number -1: all. */
struct freed_shards {
    int64_t process, job, number;
};

/* Whoever changes a shard holds its job's row, so the sums are those of the rows that change. */
static int job_free(struct db *d, const struct freed_shards *what, int64_t sums[3], struct error *e)
{
    struct stmt *q = db_stmt(d, "UPDATE job SET shards_leased = shards_leased - ?,"
                                " reserved_nano = reserved_nano - ?,"
                                " reserved_tokens = reserved_tokens - ? WHERE id = ?");

    db_bind(q, "iiii", sums[0], sums[1], sums[2], what->job);
    if (db_run(q, "cannot free the shards of a job", e) < 0)
        return -1;
    q = db_stmt(d, "UPDATE shard SET process = 0, reserved_nano = 0, reserved_tokens = 0"
                   " WHERE job = ?1 AND process = ?2 AND process != 0"
                   " AND (?3 < 0 OR number = ?3)");
    db_bind(q, "iii", what->job, what->process, what->number);
    int rc = db_run(q, "cannot free the shards of a job", e);
    assert(rc < 0 || rc == (int)sums[0]);
    return rc < 0 ? -1 : 0;
}

/* Frees them, with what is reserved for them. */
static int free_in(struct db *d, const struct freed_shards *what, struct error *e)
{
    struct stmt *q = db_stmt(d, "SELECT 1 FROM job WHERE id = ? FOR UPDATE");
    int64_t sums[3];

    db_bind(q, "i", what->job);
    int rc = db_step(q, "cannot read the job", e);
    if (rc <= 0)
        return rc; /* its shards went with it */
    q = db_stmt(d, "SELECT count(*), CAST(coalesce(sum(reserved_nano), 0) AS BIGINT),"
                   " CAST(coalesce(sum(reserved_tokens), 0) AS BIGINT) FROM shard"
                   " WHERE job = ?1 AND process = ?2 AND process != 0"
                   " AND (?3 < 0 OR number = ?3)");
    db_bind(q, "iii", what->job, what->process, what->number);
    if (db_step(q, "cannot read the shards of a job", e) < 0)
        return -1;
    for (int i = 0; i < 3; i++)
        sums[i] = db_int(q, i);
    return sums[0] ? job_free(d, what, sums, e) : 0;
}

/* The jobs of a process's shards, in the order of locks. */
static int jobs_of(struct db *d, int64_t process, struct arena *a, int64_t **job, uint32_t *count,
                   struct error *e)
{
    struct stmt *q = db_stmt(d, "SELECT DISTINCT job FROM shard WHERE process = ? AND process != 0"
                                " ORDER BY job");
    int rc;

    db_bind(q, "i", process);
    while ((rc = db_step(q, "cannot read the shards of a process", e)) == 1) {
        *job = arena_list_grow(a, *job, *count, sizeof **job);
        (*job)[(*count)++] = db_int(q, 0);
    }
    return rc;
}

static int held_count(struct db *d, int64_t process, uint64_t *out, struct error *e)
{
    struct stmt *q = db_stmt(d, "SELECT count(*) FROM shard WHERE process = ? AND process != 0");

    db_bind(q, "i", process);
    int rc = db_step(q, "cannot read the shards of a process", e);
    *out = rc == 1 ? (uint64_t)db_int(q, 0) : 0;
    return rc < 0 ? -1 : 0;
}

/* Its row is locked, so no lease of its is under way and none begins any more. */
static int remove_in(struct db *d, int64_t process, struct error *e)
{
    struct arena a = { 0 };
    int64_t *job = NULL;
    uint32_t count = 0;
    int rc = jobs_of(d, process, &a, &job, &count, e);

    for (uint32_t i = 0; i < count && rc == 0; i++)
        rc = free_in(d, &(struct freed_shards){ process, job[i], -1 }, e);
    arena_release(&a);
    if (rc < 0)
        return -1;
    struct stmt *q = db_stmt(d, "DELETE FROM duty WHERE process = ?");
    db_bind(q, "i", process);
    if (db_run(q, "cannot end the duties of a process", e) < 0)
        return -1;
    q = db_stmt(d, "DELETE FROM process WHERE id = ?");
    db_bind(q, "i", process);
    return db_run(q, "cannot remove a process", e) < 0 ? -1 : 0;
}

/* 1 when it was there, and its lease had ended by then (INT64_MAX: in any case), and nobody else is removing it. */
static int remove_process(struct store *s, int64_t process, int64_t by_us, struct error *e)
{
    struct db *d = store_write_rows(s, e);

    if (!d)
        return -1;
    struct stmt *q = db_stmt(d, "SELECT 1 FROM process WHERE id = ? AND until_us < ?"
                                " FOR UPDATE SKIP LOCKED");
    db_bind(q, "ii", process, by_us);
    uint64_t held = 0;
    int found = db_step(q, "cannot read the process", e);
    int rc = found == 1 ? held_count(d, process, &held, e) : found;
    if (rc == 0 && found == 1)
        rc = remove_in(d, process, e);
    if (store_commit(s, d, rc, e) < 0)
        return -1;
    if (by_us != INT64_MAX)
        store_count(STORE_SHARDS_LOST, held);
    return found;
}

static int expired(struct store *s, int64_t now_us, int64_t id[EXPIRED_MAX], uint32_t *count,
                   struct error *e)
{
    struct db *d = store_read(s, e);
    int rc;

    *count = 0;
    if (!d)
        return -1;
    struct stmt *q = db_stmt(d, "SELECT id FROM process WHERE until_us < ? ORDER BY id LIMIT ?");
    db_bind(q, "ii", now_us, (int64_t)EXPIRED_MAX);
    while ((rc = db_step(q, "cannot read the processes", e)) == 1)
        id[(*count)++] = db_int(q, 0);
    store_read_done(s, d);
    return rc;
}

static int remove_expired(struct store *s, uint32_t *freed, struct error *e)
{
    int64_t id[EXPIRED_MAX], now_us = store_lease_now(s);
    uint32_t count;
    int rc = expired(s, now_us, id, &count, e);

    for (uint32_t i = 0; i < count && rc >= 0; i++) {
        rc = remove_process(s, id[i], now_us, e);
        *freed += rc == 1;
        if (rc == 1)
            log_warn("process %lld of the fleet has ended: what it held is free", (long long)id[i]);
    }
    store_count(STORE_PROCESSES_EXPIRED, *freed);
    return rc < 0 ? -1 : 0;
}

/* ---- What this process holds without knowing ---- */

static int rows_held(struct store *s, int64_t process, struct arena *a, struct fleet_held **out,
                     uint32_t *count, struct error *e)
{
    struct db *d = store_read(s, e);
    int rc;

    if (!d)
        return -1;
    struct stmt *q = db_stmt(d, "SELECT job, number, fence FROM shard WHERE process = ?"
                                " AND process != 0 ORDER BY job, number");
    db_bind(q, "i", process);
    while ((rc = db_step(q, "cannot read the shards of this process", e)) == 1) {
        *out = arena_list_grow(a, *out, *count, sizeof **out);
        (*out)[(*count)++] = (struct fleet_held){ .job = db_int(q, 0),
                                                  .number = db_int(q, 1),
                                                  .fence = db_int(q, 2) };
    }
    store_read_done(s, d);
    return rc;
}

static int give_back(struct store *s, int64_t process, const struct fleet_held *h, struct error *e)
{
    struct db *d = store_write_rows(s, e);

    if (!d)
        return -1;
    int rc = free_in(d, &(struct freed_shards){ process, h->job, h->number }, e);
    return store_commit(s, d, rc, e);
}

/* No lease is under way: a shard of ours that is not in `held` is nobody's work. */
static int give_back_unknown(struct store *s, struct fleet *f, int64_t process, struct error *e)
{
    struct arena a = { 0 };
    struct fleet_held *row = NULL;
    uint32_t count = 0;

    int rc = rows_held(s, process, &a, &row, &count, e);
    for (uint32_t i = 0; i < count && rc == 0; i++)
        if (!is_held(f, &row[i]))
            rc = give_back(s, process, &row[i], e);
    arena_release(&a);
    return rc;
}

static int settle_doubt(struct store *s, struct fleet *f, int64_t process, struct error *e)
{
    lock(&f->lease_lock);
    lock(&f->lock);
    bool doubt = f->doubt;
    f->doubt = false;
    unlock(&f->lock);
    int rc = doubt ? give_back_unknown(s, f, process, e) : 0;
    lock(&f->lock);
    f->doubt = f->doubt || rc < 0;
    unlock(&f->lock);
    unlock(&f->lease_lock);
    return rc;
}

/* ---- Its own row ---- */

static int join_in(struct store *s, struct db *d, const char *name, int64_t *id, struct error *e)
{
    int64_t now_us = store_lease_now(s);

    if (store_number(d, "process", fleet_fence_next(d, 0), 1, id, e) < 0)
        return -1;
    struct stmt *q = db_stmt(d, "INSERT INTO process (id, name, version, join_us, until_us)"
                                " VALUES (?, ?, ?, ?, ?)");
    db_bind(q, "issii", *id, name, TRANCHE_VERSION, now_us,
            now_us + (int64_t)FLEET_LEASE_MS * 1000);
    return db_run(q, "cannot join the fleet", e) < 0 ? -1 : 0;
}

/* Forgets what an earlier number held. */
static void joined(struct fleet *f, int64_t process, int64_t epoch, uint64_t until_ns)
{
    lock(&f->lease_lock);
    lock(&f->lock);
    store_count(STORE_SHARDS_LOST, f->count);
    f->process = process;
    f->epoch = epoch;
    f->until_ns = until_ns;
    f->count = 0;
    f->doubt = false;
    unlock(&f->lock);
    unlock(&f->lease_lock);
}

int fleet_join(struct store *s, const char *name, struct error *e)
{
    uint64_t asked_ns = now_ns(s);
    int64_t process = 0;
    struct db *d = store_write_rows(s, e);

    if (!d)
        return -1;
    int64_t epoch = db_epoch(d);
    if (store_commit(s, d, join_in(s, d, name, &process, e), e) < 0)
        return -1;
    joined(fleet_of(s), process, epoch, trusted_until(asked_ns));
    return 0;
}

/* 1, or 0 when the row is gone. */
static int extend(struct store *s, int64_t process, int64_t *epoch, struct error *e)
{
    struct db *d = store_write_rows(s, e);

    if (!d)
        return -1;
    *epoch = db_epoch(d);
    struct stmt *q = db_stmt(d, "UPDATE process SET until_us = ? WHERE id = ?");
    db_bind(q, "ii", store_lease_now(s) + (int64_t)FLEET_LEASE_MS * 1000, process);
    int changed = db_run(q, "cannot renew the lease of this process", e);
    return store_commit(s, d, changed < 0 ? -1 : 0, e) < 0 ? -1 : changed;
}

/* Another timeline of the database may have lost what this process wrote last: what it holds is looked at again. */
static void extended(struct fleet *f, int64_t epoch, uint64_t until_ns)
{
    lock(&f->lock);
    f->doubt = f->doubt || f->epoch != epoch;
    f->epoch = epoch;
    f->until_ns = until_ns;
    unlock(&f->lock);
}

static int lost(struct fleet *f, struct error *e)
{
    lock(&f->lock);
    f->until_ns = 0;
    unlock(&f->lock);
    store_count(STORE_LEASES_LOST, 1);
    return error_set(e, ERROR_ABORTED, "this process has lost its lease");
}

int fleet_renew(struct store *s, uint32_t *freed, struct error *e)
{
    struct fleet *f = fleet_of(s);
    int64_t process = fleet_process(s), epoch;
    uint64_t asked_ns = now_ns(s);

    *freed = 0;
    if (process == 0)
        return 0;
    int rc = extend(s, process, &epoch, e);
    if (rc <= 0)
        return rc < 0 ? -1 : lost(f, e);
    extended(f, epoch, trusted_until(asked_ns));
    if (settle_doubt(s, f, process, e) < 0)
        return -1;
    return remove_expired(s, freed, e);
}

void fleet_leave(struct store *s)
{
    int64_t process = fleet_process(s);
    struct error e = { 0 };

    if (process == 0)
        return;
    if (remove_process(s, process, INT64_MAX, &e) < 0)
        log_warn("cannot leave the fleet, its lease ends by itself: %s", e.msg);
    joined(fleet_of(s), 0, 0, 0);
}
