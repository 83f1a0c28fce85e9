/* blob_rows.c -- which blobs the database knows: keeping, dropping, and the sweep of what none knows. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/objects/objects_inner.h"

#define FOLDERS 256
/* Rows of one transaction of the sweep: it must not hold others up. */
#define SWEEP_BATCH 256

/* Everything that may name a blob. */
#define BLOB_USED                                                                                  \
    "SELECT 1 WHERE EXISTS (SELECT 1 FROM object WHERE blob = ?1)"                                 \
    " OR EXISTS (SELECT 1 FROM file WHERE blob = ?1 AND blob != 0)"                                \
    " OR EXISTS (SELECT 1 FROM job_input WHERE blob = ?1)"                                         \
    " OR EXISTS (SELECT 1 FROM job WHERE result = ?1 AND result != 0)"                             \
    " OR EXISTS (SELECT 1 FROM segment WHERE part = ?1)"                                           \
    " OR EXISTS (SELECT 1 FROM upload_part WHERE part = ?1)"

/* Old files of one folder that no row names. */
struct sweep {
    struct store *s;
    int64_t id[SWEEP_BATCH];
    uint32_t count;
    int64_t before_us;
};

int blob_keep_in(struct store *s, struct db *d, int64_t id, struct error *e)
{
    char path[PATH_BYTES];
    struct stat st;
    struct stmt *q = db_stmt(d, "SELECT 1 FROM blob_gone WHERE id = ?");

    db_bind(q, "i", id);
    int gone = db_step(q, "cannot read blobs", e);
    if (gone < 0)
        return -1;
    blob_file(s, path, id);
    if (gone == 1 || stat(path, &st) < 0)
        return error_set(e, ERROR_UNAVAILABLE, "its data was deleted meanwhile; try again");
    return 0;
}

/* 1, 0 or -1. */
static int is_used(struct db *d, int64_t id, struct error *e)
{
    struct stmt *q = db_stmt(d, BLOB_USED);

    db_bind(q, "i", id);
    return db_step(q, "cannot read blobs", e);
}

int blob_drop_in(struct db *d, int64_t id, int64_t *file, struct error *e)
{
    if (file)
        *file = 0;
    if (id == 0)
        return 0;
    int used = is_used(d, id, e);
    if (used != 0)
        return used < 0 ? -1 : 0;
    struct stmt *q = db_stmt(d, "INSERT INTO blob_gone (id) VALUES (?)"
                                " ON CONFLICT (id) DO NOTHING");
    db_bind(q, "i", id);
    if (db_run(q, "cannot delete a blob", e) < 0)
        return -1;
    if (!file)
        return 0;
    q = db_stmt(d, "SELECT 1 FROM blob_hold WHERE until_us > ?");
    db_bind(q, "i", clock_system()->wall_us(clock_system()));
    int held = db_step(q, "cannot read blobs", e);
    if (held == 0)
        *file = id;
    return held < 0 ? -1 : 0;
}

void blob_columns(struct stmt *q, int first, struct blob *out)
{
    struct str md5 = db_bytes(q, first + 3), sha256 = db_bytes(q, first + 4);

    *out = (struct blob){
        .id = db_int(q, first),
        .bytes = (uint64_t)db_int(q, first + 1),
        .crc32c = (uint32_t)db_int(q, first + 2),
        .has_md5 = md5.len == sizeof out->md5,
        .has_sha256 = sha256.len == sizeof out->sha256,
    };
    if (out->has_md5)
        memcpy(out->md5, md5.p, md5.len);
    if (out->has_sha256)
        memcpy(out->sha256, sha256.p, sha256.len);
}

struct str blob_md5(const struct blob *b)
{
    return (struct str){ (const char *)b->md5, b->has_md5 ? sizeof b->md5 : 0 };
}

struct str blob_sha256(const struct blob *b)
{
    return (struct str){ (const char *)b->sha256, b->has_sha256 ? sizeof b->sha256 : 0 };
}

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
    int used = is_used(d, id, e);
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
    struct stmt *q = db_stmt(d, "SELECT id FROM blob_gone WHERE NOT EXISTS"
                                " (SELECT 1 FROM blob_hold WHERE until_us > ?1) LIMIT ?2");
    db_bind(q, "ii", clock_system()->wall_us(clock_system()), (int64_t)SWEEP_BATCH);
    while ((rc = db_step(q, "cannot read blobs", e)) == 1)
        id[(*count)++] = db_int(q, 0);
    store_read_done(s, d);
    return rc;
}

static int gone_forget(struct store *s, const int64_t *id, uint32_t count, struct error *e)
{
    struct db *d = store_write(s, e);
    int rc = 0;

    if (!d)
        return -1;
    for (uint32_t i = 0; i < count && rc >= 0; i++) {
        struct stmt *q = db_stmt(d, "DELETE FROM blob_gone WHERE id = ?");
        db_bind(q, "i", id[i]);
        rc = db_run(q, "cannot forget a blob", e);
    }
    return store_commit(s, d, rc < 0 ? -1 : 0, e);
}

static int sweep_gone(struct store *s, uint64_t *removed, struct error *e)
{
    int64_t id[SWEEP_BATCH];
    uint32_t count = 0;

    do {
        if (gone_some(s, id, &count, e) < 0)
            return -1;
        for (uint32_t i = 0; i < count; i++)
            *removed += blob_unlink(s, id[i]);
        if (count > 0 && gone_forget(s, id, count, e) < 0)
            return -1;
    } while (count == SWEEP_BATCH);
    return 0;
}

/* Judges a file's age by its mtime, not by our clock: a moved test clock must not delete a file that is
 * about to be referenced. */
int blob_sweep(struct store *s, uint64_t *removed, struct error *e)
{
    struct sweep *w = mem_alloc(sizeof *w);
    int rc = 0;

    w->s = s;
    w->before_us = clock_system()->wall_us(clock_system()) - (int64_t)BLOB_GRACE_S * 1000000;
    *removed = 0;
    for (unsigned i = 0; i < FOLDERS && rc == 0; i++)
        rc = sweep_folder(w, i, e);
    mem_free(w);
    if (rc < 0 || sweep_gone(s, removed, e) < 0)
        return -1;
    return uploads_sweep(s, removed, e);
}
