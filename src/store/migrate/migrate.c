#include "store/migrate/migrate.h"

#include <assert.h>
#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/random.h"
#include "base/sys.h"
#include "store/jobs/jobs_inner.h"
#include "store/migrate/migrate_inner.h"

#define MARK_BITS 62

/* Counters of the target with the folder's mark: the migration has begun, or has ended. */
#define BEGUN STORE_MIGRATION
#define ENDED "migrated"

void migrate_step(struct migration *g, const char *fmt, ...)
{
    char text[ERROR_MSG_BYTES];
    va_list args;

    va_start(args, fmt);
    int n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    str_settle(text, n, sizeof text);
    if (g->report->on_step)
        g->report->on_step(g->report->arg, text);
}

static int counter_read(struct db *d, const char *name, int64_t *out, struct error *e)
{
    struct stmt *q = db_stmt(d, "SELECT value FROM counter WHERE name = ?");

    db_bind(q, "s", name);
    int rc = db_step(q, "cannot read a counter", e);
    *out = rc == 1 ? db_int(q, 0) : 0;
    db_reset(q);
    return rc < 0 ? -1 : 0;
}

static int counter_write(struct db *d, const char *name, int64_t value, struct error *e)
{
    struct stmt *q = db_stmt(d, "INSERT INTO counter (name, value) VALUES (?1, ?2)"
                                " ON CONFLICT (name) DO UPDATE SET value = ?2");

    db_bind(q, "si", name, value);
    return db_run(q, "cannot write a counter", e) < 0 ? -1 : 0;
}

/* ---- The folder ---- */

/* The folder's mark is made once, so that the target of an earlier call is known again. */
static int mark_in(struct migration *g, struct db *d, struct error *e)
{
    uint64_t random;

    if (counter_read(d, BEGUN, &g->mark, e) < 0)
        return -1;
    if (g->mark)
        return 0;
    if (random_bytes(&random, sizeof random, e) < 0)
        return -1;
    g->mark = (int64_t)(random >> (64 - MARK_BITS)) | 1;
    return counter_write(d, BEGUN, g->mark, e);
}

static int check_jobs(struct migration *g, struct error *e)
{
    struct db *d = store_read(g->from, e);

    if (!d)
        return -1;
    struct stmt *q = db_stmt(d, "SELECT id FROM job WHERE state = " SQL_CANCELLING
                                " OR wish = " SQL_ASKED_REMOVE " ORDER BY id LIMIT 1");
    int rc = db_step(q, "cannot read jobs", e);
    if (rc == 1)
        rc =
            error_set(e, ERROR_FAILED_PRECONDITION,
                      "job %lld is being cancelled: start `tranche serve` on the folder once more, "
                      "and stop it when that job has ended",
                      (long long)db_int(q, 0));
    store_read_done(g->from, d);
    return rc;
}

static int begin_folder(struct migration *g, struct error *e)
{
    if (job_recover(g->from, e) < 0 || check_jobs(g, e) < 0)
        return -1;
    struct db *d = store_write(g->from, e);
    return d ? store_commit(g->from, d, mark_in(g, d, e), e) : -1;
}

static uint64_t count_entries(const struct store *s, const char *name, const char *ending)
{
    char path[PATH_BYTES];
    struct dirent *entry;
    uint64_t count = 0;

    store_path(s, path, "%s", name);
    DIR *dir = opendir(path);
    if (!dir)
        return 0;
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): no other thread has this stream */
    while ((entry = readdir(dir)) != NULL)
        count += entry->d_name[0] != '.' && str_ends(str_of(entry->d_name), str_of(ending));
    (void)closedir(dir);
    return count;
}

/* ---- The target ---- */

static int check_empty(struct db *d, struct error *e)
{
    static const struct {
        const char *sql, *what;
    } looks[] = {
        { "SELECT 1 FROM process LIMIT 1", "servers run on it, or ran a moment ago" },
        { "SELECT 1 FROM job LIMIT 1", "it has jobs" },
        { "SELECT 1 FROM bucket LIMIT 1", "it has buckets" },
        { "SELECT 1 FROM file LIMIT 1", "it has files" },
        { "SELECT 1 FROM key LIMIT 1", "it has keys" },
        { "SELECT 1 FROM secret LIMIT 1", "it has been in use" },
        { "SELECT 1 FROM upload LIMIT 1", "it has uploads" },
        { "SELECT 1 FROM webhook LIMIT 1", "it has webhooks" },
        { "SELECT 1 FROM tuned_model LIMIT 1", "it has tuned models" },
        { "SELECT 1 FROM counter LIMIT 1", "it has been in use" },
    };

    for (size_t i = 0; i < ARRAY_LEN(looks); i++) {
        struct stmt *q = db_stmt(d, looks[i].sql);
        int rc = db_step(q, "cannot read the database", e);
        db_reset(q);
        if (rc < 0)
            return -1;
        if (rc == 1)
            return error_set(e, ERROR_FAILED_PRECONDITION, "the database is not empty: %s",
                             looks[i].what);
    }
    return 0;
}

/* Numbers of blobs that are made there are behind those of the folder. */
static int begin_target_in(struct migration *g, struct db *d, int64_t blobs, struct error *e)
{
    int64_t begun = 0, ended = 0;

    if (counter_read(d, BEGUN, &begun, e) < 0 || counter_read(d, ENDED, &ended, e) < 0)
        return -1;
    g->report->done_before = begun == 0 && ended == g->mark;
    g->report->resumed = begun == g->mark;
    if (g->report->done_before || g->report->resumed)
        return 0;
    if (begun)
        return error_set(e, ERROR_FAILED_PRECONDITION,
                         "the migration of another folder into the database has not ended");
    if (check_empty(d, e) < 0 || counter_write(d, BEGUN, g->mark, e) < 0)
        return -1;
    return counter_write(d, "blob", blobs, e);
}

static int begin_target(struct migration *g, struct error *e)
{
    struct db *d = store_read(g->from, e);
    int64_t blobs = 0;
    int rc = d ? counter_read(d, "blob", &blobs, e) : -1;

    if (d)
        store_read_done(g->from, d);
    d = rc == 0 ? store_write(g->to, e) : NULL;
    rc = d ? store_commit(g->to, d, begin_target_in(g, d, blobs, e), e) : -1;
    return rc < 0 ? -1 : store_claim_bucket(g->to, e);
}

/* ---- Rows ---- */

/* The larger of both, so that no number comes twice. */
static int move_counters(struct migration *g, struct db *from, struct db *to, struct error *e)
{
    struct stmt *q = db_stmt(from, "SELECT name, value FROM counter");
    int rc;

    while ((rc = db_step(q, "cannot read counters", e)) == 1) {
        struct str name = db_text(q, 0, &g->arena);
        int64_t there = 0, value = db_int(q, 1);
        if (str_eq_c(name, BEGUN))
            continue;
        if (counter_read(to, name.p, &there, e) < 0 ||
            (value > there && counter_write(to, name.p, value, e) < 0))
            return -1;
    }
    return rc;
}

static int write_files(struct migration *g, struct db *d, struct error *e)
{
    for (uint32_t i = 0; i < g->file_count; i++) {
        const struct moved_file *f = &g->file[i];
        struct stmt *q = db_stmt(d, "INSERT INTO job_file (job, name, blob, bytes)"
                                    " VALUES (?, ?, ?, ?)");
        db_bind(q, "isii", f->job, f->name, f->blob.id, (int64_t)f->blob.bytes);
        if (db_run(q, "cannot write the files of jobs", e) < 0)
            return -1;
    }
    for (uint32_t i = 0; i < g->upload_count; i++) {
        const struct moved_upload *u = &g->upload[i];
        struct stmt *q =
            db_stmt(d, "INSERT INTO upload_part (upload, begin_at, part, bytes, crc32c)"
                       " VALUES (?, 0, ?, ?, ?)");
        db_bind(q, "tiii", u->id, u->part.id, (int64_t)u->part.bytes, (int64_t)u->part.crc32c);
        if (db_run(q, "cannot write the parts of uploads", e) < 0)
            return -1;
    }
    return 0;
}

#define ZERO(column, kind, member) #column " = 0, "
/* An open job is checked again: that cuts it into shards, and finds what it has of answers. One that was paused is
 * paused after that. */
static int reopen_jobs(struct db *d, struct error *e)
{
    struct stmt *q =
        db_stmt(d, "UPDATE job SET " JOB_COUNTERS(
                       ZERO) "reuse = 0,"
                             " wish = CASE state WHEN " SQL_PAUSED " THEN " SQL_ASKED_PAUSE
                             " ELSE wish END, state = " SQL_PENDING ", fence = fence + 1"
                             " WHERE state IN (" SQL_QUEUED ", " SQL_PAUSED ")");

    return db_run(q, "cannot write jobs", e) < 0 ? -1 : 0;
}

static int move_rows_in(struct migration *g, struct db *from, struct db *to, struct error *e)
{
    /* Blobs that are gone were not sent; a backup holds none. */
    static const char *const except[] = { "counter", "blob_gone", "blob_hold",
                                          "process", "duty",      NULL };
    struct db_move move = { .except = except, .texts = &g->arena };
    int64_t begun = 0;

    if (counter_read(to, BEGUN, &begun, e) < 0)
        return -1;
    if (begun != g->mark)
        return error_set(e, ERROR_ABORTED, "another process changed the database meanwhile");
    if (db_move(from, to, &move, e) < 0 || move_counters(g, from, to, e) < 0 ||
        write_files(g, to, e) < 0 || reopen_jobs(to, e) < 0)
        return -1;
    struct stmt *q = db_stmt(to, "DELETE FROM counter WHERE name = ?");
    db_bind(q, "s", BEGUN);
    if (db_run(q, "cannot write a counter", e) < 0 || counter_write(to, ENDED, g->mark, e) < 0)
        return -1;
    g->report->tables = move.tables;
    g->report->rows = move.rows;
    return 0;
}

/* from: a connection of its own, because texts of statements end with this call. */
static int move_rows(struct migration *g, struct error *e)
{
    char path[PATH_BYTES];

    store_path(g->from, path, "state.db");
    struct db *from = store_connect(path, e);
    struct db *to = from ? store_write(g->to, e) : NULL;
    int rc = to ? store_commit(g->to, to, move_rows_in(g, from, to, e), e) : -1;

    db_close(from);
    return rc;
}

/* ---- In its order ---- */

static int move_all(struct migration *g, struct error *e)
{
    if (begin_target(g, e) < 0)
        return -1;
    if (g->report->done_before)
        return 0;
    if (g->report->resumed)
        migrate_step(g, "going on with an earlier call");
    if (migrate_blobs(g, e) < 0)
        return -1;
    migrate_step(g, "unfinished uploads and answers of jobs");
    if (migrate_uploads(g, e) < 0 || migrate_jobs(g, e) < 0)
        return -1;
    migrate_step(g, "rows of the database");
    return move_rows(g, e);
}

int store_migrate(struct store *from, struct store_migration *m, struct error *e)
{
    struct migration g = { .from = from, .report = m };
    char dir[PATH_BYTES];
    struct error ignored;

    assert(!store_is_shared(from));
    m->table_files = count_entries(from, "tables", ".duckdb");
    m->kept_files = count_entries(from, "kept", "");
    m->model_files = count_entries(from, "models", "");
    store_path(from, dir, "migrate");
    const struct store_place place = {
        .dir = dir, .database = m->database, .bucket = m->bucket, .migrates = true
    };
    int rc = begin_folder(&g, e);
    if (rc == 0)
        g.to = store_open_at(&place, true, store_clock(from), e);
    rc = g.to ? move_all(&g, e) : -1;
    store_close(g.to);
    arena_release(&g.arena);
    if (rc == 0 && sys_remove_all(dir, &ignored) < 0)
        migrate_step(&g, "the folder %s is not removed: %s", dir, ignored.msg);
    return rc;
}
