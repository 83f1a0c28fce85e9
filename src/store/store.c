#include "store/store.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/thread.h"
#include "base/sys.h"
#include "store/objects/blob_inner.h"
#include "store/db/migration.h"
#include "store/store_inner.h"

/* Room for the longest path below the folder. */
#define DIR_BYTES_MAX (PATH_BYTES - 512)

static int lock_take(struct store *s, struct error *e);
static int database_open(struct store *s, struct error *e);
static int version_read(struct store *s, int *out, struct error *e);
static int version_check(struct store *s, bool exclusive, struct error *e);

struct store *store_open(const char *dir, bool exclusive, struct clock *clock, struct error *e)
{
    if (strlen(dir) > DIR_BYTES_MAX) {
        (void)error_set(e, ERROR_INVALID_ARGUMENT, "the state folder's path is too long");
        return NULL;
    }
    struct store *s = mem_alloc(sizeof *s);
    s->dir = mem_strdup(dir);
    s->clock = clock;
    s->lock = -1;
    lock_init(&s->write_lock);
    lock_init(&s->read_lock);
    lock_init(&s->changed_lock);
    s->blobs = blobs_new();
    if (sys_mkdirs(dir, e) < 0 || (exclusive && lock_take(s, e) < 0) || database_open(s, e) < 0 ||
        version_check(s, exclusive, e) < 0 || (exclusive && blobs_open(s, e) < 0)) {
        store_close(s);
        return NULL;
    }
    return s;
}

void store_close(struct store *s)
{
    if (!s)
        return;
    while (s->idle) {
        struct error ignored = { 0 };
        struct db *d = store_read(s, &ignored);
        db_close(d);
    }
    db_close(s->writer);
    blobs_free(s->blobs);
    if (s->lock >= 0)
        (void)close(s->lock);
    lock_destroy(&s->write_lock);
    lock_destroy(&s->read_lock);
    lock_destroy(&s->changed_lock);
    mem_free(s->dir);
    mem_free(s);
}

const char *store_dir(const struct store *s)
{
    return s->dir;
}

struct clock *store_clock(const struct store *s)
{
    return s->clock;
}

void store_path(const struct store *s, char out[PATH_BYTES], const char *fmt, ...)
{
    size_t len = strlen(s->dir);
    va_list args;

    memcpy(out, s->dir, len);
    out[len++] = '/';
    va_start(args, fmt);
    int n = vsnprintf(out + len, PATH_BYTES - len, fmt, args);
    va_end(args);
    assert(n >= 0 && (size_t)n < PATH_BYTES - len);
}

static int lock_take(struct store *s, struct error *e)
{
    char path[PATH_BYTES];

    store_path(s, path, "lock");
    s->lock = sys_open_locked(path, e);
    if (s->lock < 0 && e->code == ERROR_ABORTED)
        return error_set(e, ERROR_FAILED_PRECONDITION, "another server runs on the state folder %s",
                         s->dir);
    return s->lock < 0 ? -1 : 0;
}

static int database_open(struct store *s, struct error *e)
{
    char path[PATH_BYTES];

    store_path(s, path, "state.db");
    s->writer = db_open(path, e);
    if (!s->writer)
        return error_wrap(e, "%s", s->dir);
    return sys_sync_folder(path, e);
}

static int version_read(struct store *s, int *out, struct error *e)
{
    sqlite3_stmt *q = db_stmt(s->writer, "PRAGMA user_version");
    int rc = db_step(s->writer, q, "cannot read the database's version", e);

    if (rc < 0)
        return -1;
    *out = (int)db_int(q, 0);
    (void)sqlite3_reset(q);
    return 0;
}

/* The next change, unless another process has just made it. */
static int migrate_one(struct store *s, struct db *d, const struct migration *m, int number,
                       struct error *e)
{
    char sql[64];
    int version = 0;

    if (version_read(s, &version, e) < 0)
        return -1;
    if (version >= number)
        return 0;
    if (db_exec(d, m->sql, m->name, e) < 0)
        return -1;
    (void)snprintf(sql, sizeof sql, "PRAGMA user_version = %d", number);
    return db_exec(d, sql, m->name, e);
}

static int migrate(struct store *s, int version, struct error *e)
{
    for (int i = version; i < migration_count; i++) {
        struct db *d = store_write(s, e);
        if (!d)
            return -1;
        if (store_commit(s, d, migrate_one(s, d, &migrations[i], i + 1, e), e) < 0)
            return error_wrap(e, "%s: cannot bring the database to version %d", s->dir, i + 1);
    }
    return 0;
}

/* The lock keeps a command of a newer version from changing the tables under a running server. */
static int migrate_beside(struct store *s, int version, struct error *e)
{
    if (lock_take(s, e) < 0)
        return error_wrap(e, "the database must be brought to a newer version first");
    int rc = migrate(s, version, e);
    (void)close(s->lock);
    s->lock = -1;
    return rc;
}

static int version_check(struct store *s, bool exclusive, struct error *e)
{
    int version = 0;

    if (version_read(s, &version, e) < 0)
        return -1;
    if (version > migration_count)
        return error_set(e, ERROR_FAILED_PRECONDITION,
                         "%s is of version %d, this program knows version %d: use the program that "
                         "wrote it, or a newer one",
                         s->dir, version, migration_count);
    if (version == migration_count)
        return 0;
    return exclusive ? migrate(s, version, e) : migrate_beside(s, version, e);
}
