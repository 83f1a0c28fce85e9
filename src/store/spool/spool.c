#include "store/spool/spool.h"

#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/mem.h"
#include "base/sys.h"
#include "store/db/db.h"
#include "store/spool/origins.h"

/* Shared, so that spool_peek can read beside the writer; the lock file keeps other writers out.
 * A checkpoint writes the log back into the file: rare enough not to stall commits often, small enough to
 * bound the log (32 MiB). */
static const struct db_settings settings = {
    .access = DB_SHARED,
    .page_bytes = 8192,
    .cache_kib = 16384,
    .log_pages = 4096,
    .when_damaged = "--fresh begins the run anew",
};

static const struct db_settings scratch_settings = {
    .access = DB_SCRATCH,
    .page_bytes = 8192,
    .cache_kib = 4096,
    .log_pages = 4096,
    .when_damaged = "its lines are answered anew",
};

/* The row's columns in the order of row_read. Files of older versions have not the last of them. */
#define ROW_COLUMNS_WITH(last)                                                                     \
    "idx, outcome, code, duplicate, processed_us, prompt_tokens, cached_tokens, "                  \
    "candidate_tokens, thought_tokens, cost_nano, cost_online_nano, digest, status, "              \
    "response, " last
#define ROW_COLUMNS ROW_COLUMNS_WITH("shape, origin, origin_idx")
#define TAKEN 1 /* origin_idx of a row without an origin */
#define SUCCEEDED "1"
#define FAILED "2"
static_assert(OUTCOME_SUCCEEDED == 1 && OUTCOME_FAILED == 2, "statements name outcomes by number");

/* X(column and member) of the one row of sums. */
#define COUNTERS(X)                                                                                \
    X(succeeded)                                                                                   \
    X(failed)                                                                                      \
    X(not_run)                                                                                     \
    X(duplicates)                                                                                  \
    X(reused)                                                                                      \
    X(reused_tokens)                                                                               \
    X(prompt_tokens)                                                                               \
    X(cached_tokens)                                                                               \
    X(candidate_tokens)                                                                            \
    X(thought_tokens)                                                                              \
    X(duplicate_tokens)                                                                            \
    X(structured)                                                                                  \
    X(complete)                                                                                    \
    X(forced_tokens)                                                                               \
    X(rejected)                                                                                    \
    X(rejected_tokens)                                                                             \
    X(rejected_cost_nano)                                                                          \
    X(cost_nano)                                                                                   \
    X(cost_online_nano)

static const size_t counter_offset[] = {
#define X(name) offsetof(struct counters, name),
    COUNTERS(X)
#undef X
};

struct spool {
    struct db *db;
    char *path;                       /* of the database */
    char *cannot_read, *cannot_write; /* how an error about the database begins */
    int lock;                   /* descriptor of the lock file; closing it gives the lock back */
    struct origins *origins;    /* the finished runs whose answers rows name */
    bool group;                 /* a transaction is open */
    struct counters counters;   /* of the committed rows */
    struct counters with_group; /* of the open group's rows too */
};

static char *text(const char *a, const char *b)
{
    size_t bytes = strlen(a) + strlen(b) + 1;
    char *out = mem_alloc(bytes);

    (void)snprintf(out, bytes, "%s%s", a, b);
    return out;
}

/* ---- The lock ---- */

/* The number that the holder of the lock wrote into the file; 0 when there is none. */
static long lock_holder(const char *path)
{
    struct buf got = BUF_INIT(24);
    struct error ignored = { 0 };
    long pid = 0;

    if (sys_read_file(path, got.max, &got, &ignored) == 0 && got.len)
        pid = strtol(got.p, NULL, 10);
    buf_release(&got);
    return pid;
}

/* The kernel drops the lock when the process dies, so a stale one cannot be. */
static int lock_hold(struct spool *s, const char *path, struct error *e)
{
    char pid[24];

    s->lock = sys_open_locked(path, e);
    if (s->lock < 0 && e->code == ERROR_ABORTED)
        return error_set(e, ERROR_FAILED_PRECONDITION,
                         "process %ld runs this job already; wait for it or stop it first",
                         lock_holder(path));
    if (s->lock < 0)
        return -1;
    int n = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
    if (ftruncate(s->lock, 0) < 0)
        return error_errno(e, "cannot write %s", path);
    return sys_write_all(s->lock, pid, (size_t)n, path, e);
}

static int lock_take(struct spool *s, const char *dir, struct error *e)
{
    char *path = text(dir, "/lock");
    int rc = lock_hold(s, path, e);

    mem_free(path);
    return rc;
}

/* ---- Counters ---- */

/* A duplicate's tokens were computed for another line: they are what it saved, not what it used. */
static void counters_add(struct counters *c, const struct spool_row *row)
{
    const struct usage *u = &row->usage;

    c->succeeded += row->outcome == OUTCOME_SUCCEEDED;
    c->failed += row->outcome == OUTCOME_FAILED;
    c->not_run += row->outcome == OUTCOME_NOT_RUN;
    c->cost_nano += row->cost_nano;
    c->cost_online_nano += row->cost_online_nano;
    c->structured += row->shape != SHAPE_FREE;
    c->complete += row->shape == SHAPE_COMPLETE;
    if (row->origin) {
        c->reused++;
        c->reused_tokens += row->reused_tokens;
        return;
    }
    if (row->duplicate) {
        c->duplicates++;
        c->duplicate_tokens += (uint64_t)u->prompt_tokens + u->candidate_tokens + u->thought_tokens;
        return;
    }
    c->prompt_tokens += u->prompt_tokens;
    c->cached_tokens += u->cached_tokens;
    c->candidate_tokens += u->candidate_tokens;
    c->thought_tokens += u->thought_tokens;
    c->forced_tokens += row->forced_tokens;
}

static int counters_write(struct spool *s, struct error *e)
{
#define X(name) #name " = ?, "
    struct stmt *q = db_stmt(s->db, "UPDATE books SET " COUNTERS(X) "id = 1");
#undef X

    for (size_t i = 0; i < ARRAY_LEN(counter_offset); i++) {
        int64_t v;
        memcpy(&v, (const char *)&s->with_group + counter_offset[i], sizeof v);
        db_bind_from(q, (int)i + 1, "i", v);
    }
    return db_run(q, s->cannot_write, e) < 0 ? -1 : 0;
}

static int counters_read(struct spool *s, struct error *e)
{
#define X(name) #name ", "
    struct stmt *q = db_stmt(s->db, "SELECT " COUNTERS(X) "id FROM books");
#undef X
    int rc = db_step(q, s->cannot_read, e);

    if (rc == 0)
        return error_set(e, ERROR_DATA_LOSS, "%s: the file is damaged; %s", s->cannot_read,
                         settings.when_damaged);
    for (size_t i = 0; i < ARRAY_LEN(counter_offset) && rc == 1; i++) {
        int64_t v = db_int(q, (int)i);
        memcpy((char *)&s->counters + counter_offset[i], &v, sizeof v);
    }
    s->with_group = s->counters;
    db_reset(q);
    return rc < 0 ? -1 : 0;
}

void spool_counters(const struct spool *s, struct counters *out)
{
    uint64_t total = out->total;

    *out = s->counters;
    out->total = total;
}

void spool_counters_open(const struct spool *s, struct counters *out)
{
    uint64_t total = out->total;

    *out = s->with_group;
    out->total = total;
}

/* ---- Open and close ---- */

static int database_open(struct spool *s, const char *dir, const struct db_settings *how,
                         struct error *e)
{
    int version = 0;

    s->path = text(dir, "/spool.db");
    s->cannot_read = text("cannot read ", s->path);
    s->cannot_write = text("cannot write ", s->path);
    s->db = db_open(s->path, how, e);
    if (!s->db || db_version(s->db, &version, e) < 0)
        return -1;
    if (version > db_schema_spool.version)
        return error_set(e, ERROR_FAILED_PRECONDITION,
                         "%s is of version %d, this program writes version %d: finish the run with "
                         "the program that began it, or remove the file to start again",
                         s->path, version, db_schema_spool.version);
    if (db_migrate(s->db, &db_schema_spool, e) < 0)
        return error_wrap(e, "%s", s->path);
    return how->access == DB_SCRATCH ? 0 : sys_sync_folder(s->path, e);
}

static void group_undo(struct spool *s)
{
    if (s->db)
        db_rollback(s->db);
    if (s->origins)
        origins_ended(s->origins, false);
    s->group = false;
    s->with_group = s->counters;
}

static struct spool *open_in(const char *dir, const struct db_settings *how, struct error *e)
{
    struct spool *s = mem_alloc(sizeof *s);

    s->lock = -1;
    if (lock_take(s, dir, e) < 0 || database_open(s, dir, how, e) < 0 || counters_read(s, e) < 0 ||
        !(s->origins = origins_open(s->db, dir, e))) {
        spool_close(s);
        return NULL;
    }
    return s;
}

struct spool *spool_open(const char *dir, struct error *e)
{
    return open_in(dir, &settings, e);
}

struct spool *spool_open_scratch(const char *dir, const char **path, struct error *e)
{
    struct spool *s = open_in(dir, &scratch_settings, e);

    *path = s ? s->path : NULL;
    return s;
}

static int same_version(struct spool *s, struct error *e)
{
    int version = 0;

    if (db_version(s->db, &version, e) < 0)
        return -1;
    if (version == db_schema_spool.version)
        return 0;
    return error_set(e, ERROR_FAILED_PRECONDITION,
                     "%s is of version %d, this program reads version %d", s->path, version,
                     db_schema_spool.version);
}

struct spool *spool_peek(const char *dir, struct error *e)
{
    static const struct db_settings reader = {
        .access = DB_READ_ONLY,
        .page_bytes = 8192,
        .cache_kib = 1024,
        .log_pages = 4096,
        .when_damaged = "--fresh begins the run anew",
    };
    struct spool *s = mem_alloc(sizeof *s);

    s->lock = -1;
    s->path = text(dir, "/spool.db");
    s->cannot_read = text("cannot read ", s->path);
    s->cannot_write = text("cannot write ", s->path);
    if (access(s->path, R_OK) < 0)
        (void)error_errno(e, "cannot read %s", s->path);
    else
        s->db = db_open(s->path, &reader, e);
    if (s->db && same_version(s, e) == 0 && counters_read(s, e) == 0 &&
        (s->origins = origins_open(s->db, dir, e)))
        return s;
    spool_close(s);
    return NULL;
}

void spool_close(struct spool *s)
{
    if (!s)
        return;
    origins_close(s->origins);
    db_close(s->db);
    if (s->lock >= 0)
        (void)close(s->lock);
    mem_free(s->path);
    mem_free(s->cannot_read);
    mem_free(s->cannot_write);
    mem_free(s);
}

/* A log that is left would be part of the file. */
int spool_seal(struct spool *s, const char **path, struct error *e)
{
    char *log = text(s->path, "-wal");
    struct stat st;

    assert(!s->group && s->db);
    /* Before it is closed: an open reader would keep the log. */
    int rc = db_settle(s->db, s->cannot_write, e);
    origins_close(s->origins);
    s->origins = NULL;
    db_close(s->db);
    s->db = NULL;
    if (rc == 0 && stat(log, &st) == 0 && st.st_size > 0)
        rc = error_set(e, ERROR_INTERNAL, "%s is left", log);
    mem_free(log);
    *path = s->path;
    return rc;
}

/* ---- Writing ---- */

static int group_begin(struct spool *s, struct error *e)
{
    if (db_begin(s->db, DB_WRITE_ALL, s->cannot_write, e) < 0)
        return -1;
    s->group = true;
    s->with_group = s->counters;
    return 0;
}

int spool_origin(struct spool *s, const char *path, uint32_t *id, struct error *e)
{
    if (!s->group && group_begin(s, e) < 0)
        return -1;
    return origins_add(s->origins, path, id, e);
}

static int row_insert(struct spool *s, const struct spool_row *row, struct error *e)
{
    struct stmt *q = db_stmt(s->db, "INSERT INTO row (" ROW_COLUMNS
                                    ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    const struct usage *u = &row->usage;

    db_bind(q, "innniiiiiiiBBBnii", (int64_t)row->index, (int)row->outcome, (int)row->code,
            (int)row->duplicate, row->processed_us, (int64_t)u->prompt_tokens,
            (int64_t)u->cached_tokens, (int64_t)u->candidate_tokens, (int64_t)u->thought_tokens,
            (int64_t)row->cost_nano, (int64_t)row->cost_online_nano, row->digest, row->status,
            row->response, (int)row->shape, (int64_t)row->origin,
            row->taken ? TAKEN : (int64_t)row->origin_index);
    return db_run(q, s->cannot_write, e) < 0 ? -1 : 0;
}

static int put_in(struct spool *s, const struct spool_row *row, struct error *e)
{
    if (fault_hit("spool.put"))
        return error_errno(e, "%s", s->cannot_write);
    if (!s->group && group_begin(s, e) < 0)
        return -1;
    return row_insert(s, row, e);
}

int spool_put(struct spool *s, const struct spool_row *row, struct error *e)
{
    assert(row->outcome != OUTCOME_PENDING);
    assert(row->digest.len == 0 || row->digest.len == SPOOL_DIGEST_BYTES);
    assert(row->shape == SHAPE_FREE || row->outcome == OUTCOME_SUCCEEDED);
    assert(!row->taken || (!row->origin && row->outcome == OUTCOME_SUCCEEDED));
    assert(!row->origin || (row->outcome == OUTCOME_SUCCEEDED && row->response.len == 0));

    if (put_in(s, row, e) < 0) {
        group_undo(s);
        return -1;
    }
    counters_add(&s->with_group, row);
    return 0;
}

int spool_reject(struct spool *s, const struct usage *u, uint64_t cost_nano, struct error *e)
{
    if (!s->group && group_begin(s, e) < 0)
        return -1;
    s->with_group.rejected++;
    s->with_group.rejected_tokens +=
        (uint64_t)u->prompt_tokens + u->candidate_tokens + u->thought_tokens;
    s->with_group.rejected_cost_nano += cost_nano;
    return 0;
}

static int commit_in(struct spool *s, struct error *e)
{
    if (fault_hit("spool.commit"))
        return error_errno(e, "%s", s->cannot_write);
    if (counters_write(s, e) < 0)
        return -1;
    return db_commit(s->db, s->cannot_write, e);
}

int spool_commit(struct spool *s, struct error *e)
{
    if (!s->group)
        return 0;
    if (commit_in(s, e) < 0) {
        group_undo(s);
        return -1;
    }
    origins_ended(s->origins, true);
    s->group = false;
    s->counters = s->with_group;
    return 0;
}

/* ---- Reading ---- */

static void row_read(struct stmt *q, struct spool_row *row)
{
    row->index = (uint64_t)db_int(q, 0);
    row->outcome = (enum outcome)db_int(q, 1);
    row->code = (enum error_code)db_int(q, 2);
    row->duplicate = db_int(q, 3) != 0;
    row->processed_us = db_int(q, 4);
    row->usage.prompt_tokens = (uint32_t)db_int(q, 5);
    row->usage.cached_tokens = (uint32_t)db_int(q, 6);
    row->usage.candidate_tokens = (uint32_t)db_int(q, 7);
    row->usage.thought_tokens = (uint32_t)db_int(q, 8);
    row->cost_nano = (uint64_t)db_int(q, 9);
    row->cost_online_nano = (uint64_t)db_int(q, 10);
    row->digest = db_bytes(q, 11);
    row->status = db_bytes(q, 12);
    row->response = db_bytes(q, 13);
    row->shape = (enum answer_shape)db_int(q, 14);
    row->origin = (uint32_t)db_int(q, 15);
    row->origin_index = (uint64_t)db_int(q, 16);
    row->taken = row->origin == 0 && row->origin_index == TAKEN;
}

int spool_look_begin(struct spool *s, struct error *e)
{
    assert(!s->group);
    return db_exec(s->db, "BEGIN", s->cannot_read, e);
}

void spool_look_end(struct spool *s)
{
    db_rollback(s->db); /* nothing was written */
}

int spool_get(struct spool *s, uint64_t index, struct spool_row *row, struct error *e)
{
    struct stmt *q = db_stmt(s->db, "SELECT " ROW_COLUMNS " FROM row WHERE idx = ?");

    db_bind(q, "i", (int64_t)index);
    int rc = db_step(q, s->cannot_read, e);
    if (rc != 1)
        return rc;
    row_read(q, row);
    if (row->origin && origins_get(s->origins, row->origin, row->origin_index, &row->response,
                                   &row->answered_us, e) < 0)
        return -1;
    return 1;
}

int spool_find(struct spool *s, struct str digest, struct spool_row *row, struct error *e)
{
    struct stmt *q = db_stmt(s->db, "SELECT " ROW_COLUMNS " FROM row WHERE digest = ? LIMIT 1");

    assert(digest.len == SPOOL_DIGEST_BYTES);
    db_bind(q, "b", digest);
    int rc = db_step(q, s->cannot_read, e);
    if (rc == 1)
        row_read(q, row);
    return rc;
}

int spool_done(struct spool *s, uint64_t first, uint32_t count, bool *done, struct error *e)
{
    struct stmt *q = db_stmt(s->db, "SELECT idx FROM row WHERE idx >= ? AND idx < ?");
    int rc;

    memset(done, 0, count * sizeof *done);
    db_bind(q, "ii", (int64_t)first, (int64_t)(first + count));
    while ((rc = db_step(q, s->cannot_read, e)) == 1)
        done[(uint64_t)db_int(q, 0) - first] = true;
    return rc;
}

int spool_failures(struct spool *s, struct spool_failures *out, uint32_t cap, uint32_t *count,
                   struct error *e)
{
    struct stmt *q = db_stmt(s->db, "SELECT code, count(*) FROM row WHERE outcome = " FAILED
                                    " GROUP BY code ORDER BY 2 DESC, 1 LIMIT ?");
    uint32_t n = 0;
    int rc = 0;

    db_bind(q, "i", (int64_t)cap);
    while (n < cap && (rc = db_step(q, s->cannot_read, e)) == 1) {
        out[n++] = (struct spool_failures){
            .code = (enum error_code)db_int(q, 0),
            .count = (uint64_t)db_int(q, 1),
        };
    }
    db_reset(q);
    *count = n;
    return rc < 0 ? -1 : 0;
}

int spool_each_failed(struct spool *s,
                      int (*fn)(void *arg, const struct spool_row *row, struct error *e), void *arg,
                      struct error *e)
{
    struct stmt *q = db_stmt(s->db, "SELECT " ROW_COLUMNS " FROM row WHERE outcome = " FAILED
                                    " ORDER BY code, idx");
    struct spool_row row = { 0 };
    int rc;

    while ((rc = db_step(q, s->cannot_read, e)) == 1) {
        row_read(q, &row);
        if (fn(arg, &row, e) < 0) {
            rc = -1;
            break;
        }
    }
    db_reset(q);
    return rc;
}

/* ---- Facts ---- */

static int fact_put(struct spool *s, const char *name, struct str value, struct error *e)
{
    struct stmt *q = db_stmt(s->db, "INSERT INTO fact (name, value) VALUES (?, ?)"
                                    " ON CONFLICT (name) DO UPDATE SET value = excluded.value");

    db_bind(q, "sb", name, value);
    return db_run(q, s->cannot_write, e) < 0 ? -1 : 0;
}

int spool_fact_set(struct spool *s, const char *name, struct str value, struct error *e)
{
    assert(!s->group); /* it would not be durable at once */
    if (db_begin(s->db, DB_WRITE_ALL, s->cannot_write, e) < 0)
        return -1;
    if (fact_put(s, name, value, e) == 0)
        return db_commit(s->db, s->cannot_write, e);
    db_rollback(s->db);
    return -1;
}

int spool_fact_get(struct spool *s, const char *name, struct buf *value, struct error *e)
{
    struct stmt *q = db_stmt(s->db, "SELECT value FROM fact WHERE name = ?");

    db_bind(q, "s", name);
    int rc = db_step(q, s->cannot_read, e);
    if (rc == 1) {
        buf_add_str(value, db_bytes(q, 0));
        db_reset(q);
    }
    return rc;
}

/* ---- Answers of another run: how a retry of the failures begins ---- */

/* Another run's spool that is only read. */
struct other {
    struct db *db;
    struct origins *origins; /* NULL: of a version that has none */
    const char *cannot_read;
};

/* The digest stays, so that an identical line of the new run finds its answer here. */
static int copy_row(struct spool *to, struct other *from, struct stmt *answers, uint64_t *copied,
                    struct error *e)
{
    struct spool_row row = { 0 };
    bool done;

    row_read(answers, &row);
    if (spool_done(to, row.index, 1, &done, e) < 0)
        return -1;
    if (done)
        return 0;
    if (row.origin && origins_get(from->origins, row.origin, row.origin_index, &row.response,
                                  &row.processed_us, e) < 0)
        return -1;
    row.origin = 0;
    row.origin_index = 0;
    row.duplicate = true;
    row.cost_nano = 0;
    if (spool_put(to, &row, e) < 0)
        return -1;
    (*copied)++;
    return 0;
}

/* The answers of a spool of any version that this program reads; NULL when it does not. */
static struct stmt *answers_of(struct db *from, int version)
{
#define ANSWERS(last)                                                                              \
    "SELECT " ROW_COLUMNS_WITH(last) " FROM row WHERE outcome = " SUCCEEDED " ORDER BY idx"
    switch (version) {
    case 1:
        return db_stmt(from, ANSWERS("0, 0, 0"));
    case 2:
        return db_stmt(from, ANSWERS("shape, 0, 0"));
    case 3:
        return db_stmt(from, ANSWERS("shape, origin, origin_idx"));
    default:
        return NULL;
    }
#undef ANSWERS
}

static int copy_all(struct spool *to, struct other *from, const char *dir, uint64_t *copied,
                    struct error *e)
{
    uint32_t seen = 0;
    int rc, version = 0;

    if (db_version(from->db, &version, e) < 0)
        return -1;
    struct stmt *answers = answers_of(from->db, version);
    if (!answers)
        return error_set(e, ERROR_FAILED_PRECONDITION,
                         "%s: it is of version %d, this program reads version %d",
                         from->cannot_read, version, db_schema_spool.version);
    if (version >= 3 && !(from->origins = origins_open(from->db, dir, e)))
        return -1;
    while ((rc = db_step(answers, from->cannot_read, e)) == 1) {
        if (copy_row(to, from, answers, copied, e) < 0)
            return -1;
        if (++seen % SPOOL_COPY_GROUP == 0 && spool_commit(to, e) < 0)
            return -1;
    }
    return rc < 0 ? -1 : spool_commit(to, e);
}

int spool_copy_answers(struct spool *to, const char *from_dir, uint64_t *copied, struct error *e)
{
    static const struct db_settings foreign = {
        .access = DB_FOREIGN,
        .when_damaged = "--fresh begins the run anew",
    };
    char *path = text(from_dir, "/spool.db"), *cannot_read = text("cannot read ", path);
    struct spool writer = { .lock = -1 };
    struct other from = { .cannot_read = cannot_read };

    assert(!to->group);
    *copied = 0;
    /* Its lock is held meanwhile, so that nobody writes it. */
    if (lock_take(&writer, from_dir, e) == 0)
        from.db = db_open(path, &foreign, e);
    int rc = from.db ? copy_all(to, &from, from_dir, copied, e) : -1;
    origins_close(from.origins);
    db_close(from.db);
    if (writer.lock >= 0)
        (void)close(writer.lock);
    mem_free(cannot_read);
    mem_free(path);
    return rc;
}

/* ---- A part of a run, which another process goes on with ---- */

int spool_slice(struct spool *to, struct spool *from, uint64_t first, uint64_t lines,
                struct error *e)
{
    for (uint64_t i = 0; i < lines; i++) {
        struct spool_row row = { 0 };
        int rc = spool_get(from, first + i, &row, e);
        if (rc < 0)
            return -1;
        row.index = i;
        row.duplicate = row.duplicate || row.origin != 0;
        row.origin = 0;
        row.origin_index = 0;
        if (rc == 1 && spool_put(to, &row, e) < 0)
            return -1;
        if (i % SPOOL_COPY_GROUP == SPOOL_COPY_GROUP - 1 && spool_commit(to, e) < 0)
            return -1;
    }
    return spool_commit(to, e);
}

int spool_carry(struct spool *to, const struct counters *c, const struct counters *less,
                struct error *e)
{
    if (!to->group && group_begin(to, e) < 0)
        return -1;
    to->with_group.rejected += c->rejected - less->rejected;
    to->with_group.rejected_tokens += c->rejected_tokens - less->rejected_tokens;
    to->with_group.rejected_cost_nano += c->rejected_cost_nano - less->rejected_cost_nano;
    to->with_group.forced_tokens += c->forced_tokens - less->forced_tokens;
    return spool_commit(to, e);
}
