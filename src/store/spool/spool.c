#include "store/spool/spool.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/mem.h"
#include "base/sys.h"
#include "store/spool/spool_inner.h"

/* A checkpoint writes what the log holds back into the file: rare enough not to stall commits often,
 * small enough to bound the log (pages of 8 KiB: 32 MiB). */
#define SETUP                                                                                      \
    "PRAGMA page_size = 8192; PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL;"         \
    "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 4096;"                                 \
    "PRAGMA journal_size_limit = 67108864; PRAGMA cache_size = -16384; PRAGMA temp_store = "       \
    "MEMORY;"

/* books has one row: the sums over all rows, changed in the transaction that adds them. The big
 * columns stand last, so that a scan of the others does not read their overflow pages. */
#define SCHEMA                                                                                     \
    "BEGIN IMMEDIATE;"                                                                             \
    "CREATE TABLE row (idx INTEGER PRIMARY KEY, outcome INTEGER NOT NULL, code INTEGER NOT NULL,"  \
    " duplicate INTEGER NOT NULL, processed_us INTEGER NOT NULL, prompt_tokens INTEGER NOT NULL,"  \
    " cached_tokens INTEGER NOT NULL, candidate_tokens INTEGER NOT NULL,"                          \
    " thought_tokens INTEGER NOT NULL, cost_nano INTEGER NOT NULL,"                                \
    " cost_online_nano INTEGER NOT NULL, digest BLOB, status BLOB, response BLOB) STRICT;"         \
    "CREATE INDEX row_digest ON row (digest) WHERE digest IS NOT NULL;"                            \
    "CREATE INDEX row_failed ON row (code, idx) WHERE outcome = 2;"                                \
    "CREATE TABLE books (id INTEGER PRIMARY KEY CHECK (id = 1), succeeded INTEGER NOT NULL,"       \
    " failed INTEGER NOT NULL, not_run INTEGER NOT NULL, duplicates INTEGER NOT NULL,"             \
    " prompt_tokens INTEGER NOT NULL, cached_tokens INTEGER NOT NULL,"                             \
    " candidate_tokens INTEGER NOT NULL, thought_tokens INTEGER NOT NULL,"                         \
    " duplicate_tokens INTEGER NOT NULL, cost_nano INTEGER NOT NULL,"                              \
    " cost_online_nano INTEGER NOT NULL) STRICT;"                                                  \
    "INSERT INTO books VALUES (1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);"                               \
    "CREATE TABLE fact (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;"        \
    "PRAGMA user_version = 1;"                                                                     \
    "COMMIT;"

static_assert(SPOOL_VERSION == 1, "SCHEMA sets user_version");
static_assert(OUTCOME_FAILED == 2, "row_failed and the statements name it by number");

/* The columns of books after id, in their order. */
static const size_t book_offset[] = {
    offsetof(struct counters, succeeded),        offsetof(struct counters, failed),
    offsetof(struct counters, not_run),          offsetof(struct counters, duplicates),
    offsetof(struct counters, prompt_tokens),    offsetof(struct counters, cached_tokens),
    offsetof(struct counters, candidate_tokens), offsetof(struct counters, thought_tokens),
    offsetof(struct counters, duplicate_tokens), offsetof(struct counters, cost_nano),
    offsetof(struct counters, cost_online_nano),
};
#define BOOKS (ARRAY_LEN(book_offset))

static const char *const statement_sql[SPOOL_STATEMENT_COUNT] = {
#define X(name, sql) sql,
    SPOOL_STATEMENTS(X)
#undef X
};

static int lock_take(struct spool *s, const char *dir, struct error *e);
static int database_open(struct spool *s, const char *dir, struct error *e);
static int group_begin(struct spool *s, struct error *e);
static void group_undo(struct spool *s);
static int row_bind(sqlite3_stmt *st, const struct spool_row *row);
static void books_add(struct counters *counters, const struct spool_row *row);
static int books_write(struct spool *s, struct error *e);
static int books_read(struct spool *s, struct error *e);

struct spool *spool_open(const char *dir, struct error *e)
{
    struct spool *s = mem_alloc(sizeof *s);

    s->lock = -1;
    if (lock_take(s, dir, e) < 0 || database_open(s, dir, e) < 0 || books_read(s, e) < 0) {
        spool_close(s);
        return NULL;
    }
    return s;
}

void spool_close(struct spool *s)
{
    if (!s)
        return;
    group_undo(s);
    for (int i = 0; i < SPOOL_STATEMENT_COUNT; i++)
        (void)sqlite3_finalize(s->stmt[i]);
    (void)sqlite3_close(s->db);
    if (s->lock >= 0)
        (void)close(s->lock);
    mem_free(s->path);
    mem_free(s);
}

int spool_put(struct spool *s, const struct spool_row *row, struct error *e)
{
    assert(row->outcome != OUTCOME_PENDING);
    assert(row->digest.len == 0 || row->digest.len == SPOOL_DIGEST_BYTES);

    if (fault_hit("spool.put")) {
        (void)error_errno(e, "cannot write %s", s->path);
        goto fail;
    }
    if (!s->group && group_begin(s, e) < 0)
        goto fail;
    sqlite3_stmt *st = spool_stmt(s, SPOOL_PUT);
    int rc = row_bind(st, row);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(st);
    if (rc != SQLITE_DONE) {
        (void)spool_error(s, rc, "cannot write", e);
        goto fail;
    }
    books_add(&s->opened, row);
    return 0;
fail:
    group_undo(s);
    return -1;
}

int spool_commit(struct spool *s, struct error *e)
{
    if (!s->group)
        return 0;
    if (fault_hit("spool.commit")) {
        (void)error_errno(e, "cannot write %s", s->path);
        goto fail;
    }
    if (books_write(s, e) < 0)
        goto fail;
    int rc = sqlite3_step(spool_stmt(s, SPOOL_COMMIT));
    if (rc != SQLITE_DONE) {
        (void)spool_error(s, rc, "cannot write", e);
        goto fail;
    }
    s->group = false;
    s->counters = s->opened;
    return 0;
fail:
    group_undo(s);
    return -1;
}

int spool_counters(struct spool *s, struct counters *out, struct error *e)
{
    uint64_t total = out->total;

    (void)e;
    *out = s->counters;
    out->total = total;
    return 0;
}

void spool_counters_open(const struct spool *s, struct counters *out)
{
    uint64_t total = out->total;

    *out = s->opened;
    out->total = total;
}

sqlite3_stmt *spool_stmt(struct spool *s, enum spool_statement which)
{
    for (int i = 0; i < SPOOL_STATEMENT_COUNT; i++) {
        if (sqlite3_stmt_busy(s->stmt[i]))
            (void)sqlite3_reset(s->stmt[i]);
    }
    (void)sqlite3_reset(s->stmt[which]);
    return s->stmt[which];
}

/* What a failed call of the file system means is in errno, which SQLite keeps when it can. */
static int error_of_io(struct spool *s, const char *doing, struct error *e)
{
    errno = sqlite3_system_errno(s->db);
    if (errno)
        return error_errno(e, "%s %s", doing, s->path);
    return error_set(e, ERROR_INTERNAL, "%s %s: %s", doing, s->path, sqlite3_errmsg(s->db));
}

int spool_error(struct spool *s, int result, const char *doing, struct error *e)
{
    switch (result & 0xFF) {
    case SQLITE_FULL:
        return error_set(e, ERROR_RESOURCE_EXHAUSTED, "%s %s: no space left on the disk", doing,
                         s->path);
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
        return error_of_io(s, doing, e);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return error_set(e, ERROR_DATA_LOSS,
                         "%s %s: the file is damaged; --fresh begins the run anew", doing, s->path);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return error_set(e, ERROR_FAILED_PRECONDITION, "%s %s: another process has it open", doing,
                         s->path);
    case SQLITE_READONLY:
    case SQLITE_PERM:
        return error_set(e, ERROR_PERMISSION_DENIED, "%s %s: no permission", doing, s->path);
    default:
        return error_set(e, ERROR_INTERNAL, "%s %s: %s", doing, s->path, sqlite3_errmsg(s->db));
    }
}

/* The number that the holder of the lock wrote into the file; 0 when there is none. */
static long lock_holder(const char *path)
{
    struct buf text = BUF_INIT(24);
    struct error ignored = { 0 };
    long pid = 0;

    if (sys_read_file(path, text.max, &text, &ignored) == 0 && text.len)
        pid = strtol(text.p, NULL, 10);
    buf_release(&text);
    return pid;
}

/* The kernel drops the lock when the process dies, so a stale one cannot be. */
static int lock_hold(struct spool *s, const char *path, struct error *e)
{
    char text[24];

    s->lock = sys_open_locked(path, e);
    if (s->lock < 0 && e->code == ERROR_ABORTED)
        return error_set(e, ERROR_FAILED_PRECONDITION,
                         "process %ld runs this job already; wait for it or stop it first",
                         lock_holder(path));
    if (s->lock < 0)
        return -1;
    int n = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(s->lock, 0) < 0)
        return error_errno(e, "cannot write %s", path);
    return sys_write_all(s->lock, text, (size_t)n, path, e);
}

static char *path_in(const char *dir, const char *name)
{
    size_t bytes = strlen(dir) + strlen(name) + 2;
    char *path = mem_alloc(bytes);

    (void)snprintf(path, bytes, "%s/%s", dir, name);
    return path;
}

static int lock_take(struct spool *s, const char *dir, struct error *e)
{
    char *path = path_in(dir, "lock");
    int rc = lock_hold(s, path, e);

    mem_free(path);
    return rc;
}

static int exec(struct spool *s, const char *sql, struct error *e)
{
    int rc = sqlite3_exec(s->db, sql, NULL, NULL, NULL);

    return rc == SQLITE_OK ? 0 : spool_error(s, rc, "cannot open", e);
}

static int schema_check(struct spool *s, struct error *e)
{
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(s->db, "PRAGMA user_version", -1, &st, NULL);

    if (rc == SQLITE_OK)
        rc = sqlite3_step(st);
    int version = rc == SQLITE_ROW ? sqlite3_column_int(st, 0) : -1;
    (void)sqlite3_finalize(st);
    if (rc != SQLITE_ROW)
        return spool_error(s, rc, "cannot open", e);
    if (version == 0)
        return exec(s, SCHEMA, e);
    if (version != SPOOL_VERSION)
        return error_set(e, ERROR_FAILED_PRECONDITION,
                         "%s is of version %d, this program writes version %d: finish the run with "
                         "the program that began it, or remove the file to start again",
                         s->path, version, SPOOL_VERSION);
    return 0;
}

static int statements_prepare(struct spool *s, struct error *e)
{
    for (int i = 0; i < SPOOL_STATEMENT_COUNT; i++) {
        int rc = sqlite3_prepare_v3(s->db, statement_sql[i], -1, SQLITE_PREPARE_PERSISTENT,
                                    &s->stmt[i], NULL);
        if (rc != SQLITE_OK)
            return spool_error(s, rc, "cannot open", e);
    }
    return 0;
}

/* The file is made here, not by SQLite, because answers are for its owner's eyes only. */
static int database_open(struct spool *s, const char *dir, struct error *e)
{
    s->path = path_in(dir, "spool.db");
    int fd = sys_open(s->path, O_RDWR | O_CREAT, e);
    if (fd < 0)
        return -1;
    (void)close(fd);

    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    int rc = sqlite3_open_v2(s->path, &s->db, flags, spool_vfs());
    if (rc != SQLITE_OK)
        return spool_error(s, rc, "cannot open", e);
    if (exec(s, SETUP, e) < 0 || schema_check(s, e) < 0 || statements_prepare(s, e) < 0)
        return -1;
    return sys_sync_folder(s->path, e);
}

static int group_begin(struct spool *s, struct error *e)
{
    int rc = sqlite3_step(spool_stmt(s, SPOOL_BEGIN));

    if (rc != SQLITE_DONE)
        return spool_error(s, rc, "cannot write", e);
    s->group = true;
    s->opened = s->counters;
    return 0;
}

/* SQLite may have rolled back by itself, so only its own word counts. */
static void group_undo(struct spool *s)
{
    if (s->db && s->stmt[SPOOL_BEGIN])
        (void)spool_stmt(s, SPOOL_BEGIN);
    if (s->db && !sqlite3_get_autocommit(s->db))
        (void)sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    s->group = false;
    s->opened = s->counters;
}

static int bind_bytes(sqlite3_stmt *st, int at, struct str bytes)
{
    if (bytes.len == 0)
        return sqlite3_bind_null(st, at);
    return sqlite3_bind_blob64(st, at, bytes.p, bytes.len, SQLITE_STATIC);
}

static int row_bind(sqlite3_stmt *st, const struct spool_row *row)
{
    const int64_t number[] = {
        (int64_t)row->index,
        row->outcome,
        row->code,
        row->duplicate,
        row->processed_us,
        row->usage.prompt_tokens,
        row->usage.cached_tokens,
        row->usage.candidate_tokens,
        row->usage.thought_tokens,
        (int64_t)row->cost_nano,
        (int64_t)row->cost_online_nano,
    };
    const struct str bytes[] = { row->digest, row->status, row->response };
    int at = 1;

    for (size_t i = 0; i < ARRAY_LEN(number); i++) {
        int rc = sqlite3_bind_int64(st, at++, number[i]);
        if (rc != SQLITE_OK)
            return rc;
    }
    for (size_t i = 0; i < ARRAY_LEN(bytes); i++) {
        int rc = bind_bytes(st, at++, bytes[i]);
        if (rc != SQLITE_OK)
            return rc;
    }
    return SQLITE_OK;
}

/* A duplicate's tokens were computed for another line: they are what it saved, not what it used. */
static void books_add(struct counters *counters, const struct spool_row *row)
{
    const struct usage *u = &row->usage;

    counters->succeeded += row->outcome == OUTCOME_SUCCEEDED;
    counters->failed += row->outcome == OUTCOME_FAILED;
    counters->not_run += row->outcome == OUTCOME_NOT_RUN;
    counters->cost_nano += row->cost_nano;
    counters->cost_online_nano += row->cost_online_nano;
    if (row->duplicate) {
        counters->duplicates++;
        counters->duplicate_tokens +=
            (uint64_t)u->prompt_tokens + u->candidate_tokens + u->thought_tokens;
        return;
    }
    counters->prompt_tokens += u->prompt_tokens;
    counters->cached_tokens += u->cached_tokens;
    counters->candidate_tokens += u->candidate_tokens;
    counters->thought_tokens += u->thought_tokens;
}

static int books_write(struct spool *s, struct error *e)
{
    sqlite3_stmt *st = spool_stmt(s, SPOOL_BOOKS);
    int rc = SQLITE_OK;

    for (size_t i = 0; i < BOOKS && rc == SQLITE_OK; i++) {
        uint64_t v;
        memcpy(&v, (const char *)&s->opened + book_offset[i], sizeof v);
        rc = sqlite3_bind_int64(st, (int)i + 1, (int64_t)v);
    }
    if (rc == SQLITE_OK)
        rc = sqlite3_step(st);
    return rc == SQLITE_DONE ? 0 : spool_error(s, rc, "cannot write", e);
}

static int books_read(struct spool *s, struct error *e)
{
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(s->db, "SELECT * FROM books", -1, &st, NULL);

    if (rc == SQLITE_OK)
        rc = sqlite3_step(st);
    for (size_t i = 0; i < BOOKS && rc == SQLITE_ROW; i++) {
        uint64_t v = (uint64_t)sqlite3_column_int64(st, (int)i + 1);
        memcpy((char *)&s->counters + book_offset[i], &v, sizeof v);
    }
    s->opened = s->counters;
    (void)sqlite3_finalize(st);
    return rc == SQLITE_ROW ? 0 : spool_error(s, rc, "cannot read", e);
}
