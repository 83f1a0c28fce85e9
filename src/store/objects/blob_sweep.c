/* blob_sweep.c -- the removal of blobs that no row names: of what was given up, and of what never was named.
 *
 * Rule:    a blob that is old and in no row is given up first (blob_gone), and its bytes go after that: a
 *          transaction at the same time either named it before, or cannot name it (objects_inner.h).
 * Shared:  of all processes one does the sweep of an hour, the first that comes. The bucket's list of keys is long,
 *          so the sweeps of a day share it.
 *          A row of blob_gone stays for a day after its bytes are gone, because nobody looks in the bucket when a
 *          blob is named: whoever names one has begun less than a day before.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "store/bucket/bucket.h"
#include "store/db/store_metrics.h"
#include "store/objects/objects_inner.h"

#define FOLDERS 256
/* Rows of one transaction of the sweep: it must not hold others up. */
#define SWEEP_BATCH 256
#define SWEEPS_A_DAY 24
#define US_PER_HOUR ((int64_t)3600 * 1000000)
/* Segments that one transaction deletes. */
#define SEGMENTS_BATCH 1000

/* Old ones that no row names, of one folder. */
struct sweep {
    struct store *s;
    int64_t id[SWEEP_BATCH];
    uint32_t count;
    int64_t before_us;
};

/* Looks at each blob again in the transaction that gives it up, because a row may name it by now. */
static int give_up(struct sweep *w, struct error *e)
{
    if (w->count == 0)
        return 0;
    struct db *d = store_write(w->s, e);
    int rc = 0;

    if (!d)
        return -1;
    for (uint32_t i = 0; i < w->count && rc == 0; i++)
        rc = blob_drop_in(d, w->id[i], NULL, e);
    w->count = 0;
    return store_commit(w->s, d, rc, e);
}

static bool is_old(int dir, const char *name, int64_t before_us)
{
    struct stat st;

    return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
           (int64_t)st.st_mtime * 1000000 < before_us;
}

static int sweep_file(struct sweep *w, struct db *d, int dir, const char *name, struct error *e)
{
    char *end = NULL;
    long long id = strtoll(name, &end, 10);

    if (id <= 0 || *end != '\0' || !is_old(dir, name, w->before_us))
        return 0;
    int used = blob_is_used(d, id, e);
    if (used == 0 && w->count < SWEEP_BATCH)
        w->id[w->count++] = id;
    return used < 0 ? -1 : 0;
}

/* A folder's unknown files beyond one batch are the next sweep's. */
static int sweep_folder(struct sweep *w, unsigned folder, struct error *e)
{
    char path[PATH_BYTES];
    struct dirent *entry;
    int rc = 0;

    store_path(w->s, path, "blobs/%02x", folder);
    DIR *dir = opendir(path);
    if (!dir)
        return errno == ENOENT ? 0 : error_errno(e, "cannot read %s", path);
    struct db *d = store_read(w->s, e);
    if (!d)
        rc = -1;
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): no other thread has this stream */
    while (rc == 0 && (entry = readdir(dir)) != NULL)
        rc = sweep_file(w, d, dirfd(dir), entry->d_name, e);
    if (d)
        store_read_done(w->s, d);
    (void)closedir(dir);
    return rc < 0 ? -1 : give_up(w, e);
}

/* Those that may go now. One statement sees both tables at one instant: what was gone before a hold
 * began is in no backup. */
static int gone_some(struct store *s, int64_t *id, uint32_t *count, struct error *e)
{
    struct db *d = store_read(s, e);
    int rc;

    *count = 0;
    if (!d)
        return -1;
    struct stmt *q =
        db_stmt(d, "SELECT id FROM blob_gone WHERE removed_us = 0"
                   " AND NOT EXISTS (SELECT 1 FROM blob_hold WHERE until_us > ?1) LIMIT ?2");
    db_bind(q, "ii", clock_system()->wall_us(clock_system()), (int64_t)SWEEP_BATCH);
    while ((rc = db_step(q, "cannot read blobs", e)) == 1)
        id[(*count)++] = db_int(q, 0);
    store_read_done(s, d);
    return rc;
}

/* Their bytes are gone. */
static int gone_forget(struct store *s, const int64_t *id, uint32_t count, struct error *e)
{
    int64_t now = clock_system()->wall_us(clock_system());
    struct db *d = store_write(s, e);
    struct stmt *q;
    int rc = 0;

    if (!d)
        return -1;
    for (uint32_t i = 0; i < count && rc >= 0; i++) {
        q = db_stmt(d, "UPDATE blob_gone SET removed_us = ? WHERE id = ?");
        db_bind(q, "ii", now, id[i]);
        rc = db_run(q, "cannot forget a blob", e);
    }
    if (rc >= 0) {
        q = db_stmt(d, "DELETE FROM blob_gone WHERE removed_us > 0 AND removed_us <= ?");
        db_bind(q, "i", store_is_shared(s) ? now - SWEEPS_A_DAY * US_PER_HOUR : now);
        rc = db_run(q, "cannot forget a blob", e);
    }
    return store_commit(s, d, rc < 0 ? -1 : 0, e);
}

/* ---- A shared store ---- */

/* 1: the sweep of this hour is this process's. */
static int hour_take(struct store *s, int64_t hour, struct error *e)
{
    struct db *d = store_write(s, e);

    if (!d)
        return -1;
    struct stmt *q = db_stmt(d, "INSERT INTO counter (name, value) VALUES ('blob_sweep', ?)"
                                " ON CONFLICT (name) DO UPDATE SET value = excluded.value"
                                " WHERE counter.value < excluded.value");
    db_bind(q, "i", hour);
    int taken = db_run(q, "cannot begin the sweep of blobs", e);
    return store_commit(s, d, taken < 0 ? -1 : 0, e) < 0 ? -1 : taken;
}

static int look(struct sweep *w, int64_t id, struct error *e)
{
    struct db *d = store_read(w->s, e);

    if (!d)
        return -1;
    int used = blob_is_used(d, id, e);
    store_read_done(w->s, d);
    if (used == 0)
        w->id[w->count++] = id;
    if (used < 0)
        return -1;
    return w->count == SWEEP_BATCH ? give_up(w, e) : 0;
}

static int sweep_key(void *arg, const struct bucket_entry *entry, struct error *e)
{
    struct sweep *w = arg;
    char key[BLOB_KEY_BYTES];
    uint64_t id = 0;

    if (entry->modified_us >= w->before_us ||
        !str_number_in(str_after_last(entry->key, '/'), 1, INT64_MAX, &id))
        return 0;
    blob_key((int64_t)id, key);
    return str_eq_c(entry->key, key) ? look(w, (int64_t)id, e) : 0;
}

static int sweep_keys(struct sweep *w, unsigned folder, struct error *e)
{
    char under[BLOB_KEY_BYTES];
    struct shared_bucket *b = w->s->bucket;
    uint64_t began = store_call_begin();

    (void)snprintf(under, sizeof under, BLOB_KEYS "%02x/", folder);
    int rc = b->ops->list(b, under, sweep_key, w, e);
    store_call_end(STORE_BUCKET, "list", began, rc < 0 ? e : NULL);
    return rc < 0 ? -1 : give_up(w, e);
}

/* The next ones behind *last; fewer than SWEEP_BATCH: there are no more. */
static int composed_some(struct sweep *w, int64_t *last, int64_t *id, uint32_t *count,
                         struct error *e)
{
    struct db *d = store_read(w->s, e);
    int rc;

    *count = 0;
    if (!d)
        return -1;
    struct stmt *q = db_stmt(d, "SELECT blob FROM composed WHERE blob > ? AND create_us < ?"
                                " ORDER BY blob LIMIT ?");
    db_bind(q, "iii", *last, w->before_us, (int64_t)SWEEP_BATCH);
    while ((rc = db_step(q, "cannot read blobs", e)) == 1)
        *last = id[(*count)++] = db_int(q, 0);
    store_read_done(w->s, d);
    return rc;
}

/* The bucket's list does not have them. */
static int sweep_composed(struct sweep *w, struct error *e)
{
    int64_t id[SWEEP_BATCH], last = 0;
    uint32_t count = 0;

    do {
        if (composed_some(w, &last, id, &count, e) < 0)
            return -1;
        for (uint32_t i = 0; i < count; i++) {
            if (look(w, id[i], e) < 0)
                return -1;
        }
    } while (count == SWEEP_BATCH);
    return give_up(w, e);
}

/* Its parts are in no row then, and a later sweep of the bucket finds them. */
static int decompose_some(struct store *s, int64_t id, int *deleted, struct error *e)
{
    struct db *d = store_write(s, e);

    if (!d)
        return -1;
    struct stmt *q = db_stmt(d, "DELETE FROM segment WHERE blob = ?1 AND begin_at IN"
                                " (SELECT begin_at FROM segment WHERE blob = ?1"
                                " ORDER BY begin_at LIMIT ?2)");
    db_bind(q, "ii", id, (int64_t)SEGMENTS_BATCH);
    *deleted = db_run(q, "cannot remove a composed blob", e);
    if (*deleted >= 0 && *deleted < SEGMENTS_BATCH) {
        q = db_stmt(d, "DELETE FROM composed WHERE blob = ?");
        db_bind(q, "i", id);
        if (db_run(q, "cannot remove a composed blob", e) < 0)
            *deleted = -1;
    }
    return store_commit(s, d, *deleted < 0 ? -1 : 0, e);
}

static int remove_bytes(struct store *s, int64_t id, struct error *e)
{
    char key[BLOB_KEY_BYTES];
    int deleted;

    do {
        if (decompose_some(s, id, &deleted, e) < 0)
            return -1;
    } while (deleted == SEGMENTS_BATCH);
    uint64_t began = store_call_begin();
    blob_key(id, key);
    int rc = s->bucket->ops->remove(s->bucket, key, e);
    store_call_end(STORE_BUCKET, "remove", began, rc < 0 ? e : NULL);
    return rc;
}

/* A blob whose bytes cannot be removed now stays for the next sweep. */
static int sweep_gone(struct store *s, uint64_t *removed, struct error *e)
{
    int64_t id[SWEEP_BATCH];
    uint32_t count = 0;

    do {
        if (gone_some(s, id, &count, e) < 0)
            return -1;
        for (uint32_t i = 0; i < count; i++) {
            if (store_is_shared(s) && remove_bytes(s, id[i], e) < 0)
                return -1;
            *removed += store_is_shared(s) || blob_unlink(s, id[i]);
        }
        if (gone_forget(s, id, count, e) < 0)
            return -1;
    } while (count == SWEEP_BATCH);
    return 0;
}

/* The names of this hour's keys, and what is made of others. */
static int sweep_shared(struct sweep *w, uint64_t *removed, struct error *e)
{
    int64_t hour = store_now(w->s) / US_PER_HOUR;
    int rc = hour_take(w->s, hour, e);

    if (rc <= 0)
        return rc;
    rc = sweep_composed(w, e);
    for (unsigned i = (unsigned)(hour % SWEEPS_A_DAY); i < FOLDERS && rc == 0; i += SWEEPS_A_DAY)
        rc = sweep_keys(w, i, e);
    return rc < 0 ? -1 : sweep_gone(w->s, removed, e);
}

static int sweep_files(struct sweep *w, uint64_t *removed, struct error *e)
{
    int rc = 0;

    for (unsigned i = 0; i < FOLDERS && rc == 0; i++)
        rc = sweep_folder(w, i, e);
    return rc < 0 ? -1 : sweep_gone(w->s, removed, e);
}

/* Judges a file's age by its mtime, not by our clock: a moved test clock must not delete a file that is
 * about to be referenced. */
int blob_sweep(struct store *s, uint64_t *removed, struct error *e)
{
    struct sweep *w = mem_alloc(sizeof *w);

    w->s = s;
    w->before_us = clock_system()->wall_us(clock_system()) - (int64_t)BLOB_GRACE_S * 1000000;
    *removed = 0;
    int rc = store_is_shared(s) ? sweep_shared(w, removed, e) : sweep_files(w, removed, e);
    mem_free(w);
    return rc < 0 ? -1 : uploads_sweep(s, removed, e);
}
