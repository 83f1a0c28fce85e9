#include "store/db/db_inner.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sys.h"
#include "store/db/vfs.h"

/* For another process's transaction: `tranche keys` beside a server, and the other way round. */
#define BUSY_TIMEOUT_MS 10000
#define LOG_BYTES_KEPT (64 * 1024 * 1024)
#define PATH_BYTES_MAX 16384

struct sqlite {
    struct db head;
    sqlite3 *raw;
    struct db_settings settings;
};

static const struct db_ops sqlite_ops;

static struct sqlite *sqlite_of(struct db *d)
{
    return (struct sqlite *)(void *)d;
}

/* ---- Errors ---- */

/* errno says why a call of the file system failed; SQLite keeps it when it can. */
static int error_of_io(struct sqlite *d, const char *doing, struct error *e)
{
    errno = sqlite3_system_errno(d->raw);
    if (errno)
        return error_errno(e, "%s", doing);
    return error_set(e, ERROR_INTERNAL, "%s: %s", doing, sqlite3_errmsg(d->raw));
}

static int error_of_lock(struct sqlite *d, const char *doing, struct error *e)
{
    if (d->settings.access == DB_SHARED || d->settings.access == DB_READ_ONLY)
        return error_set(e, ERROR_UNAVAILABLE, "%s: another process keeps the database locked",
                         doing);
    return error_set(e, ERROR_FAILED_PRECONDITION, "%s: another process has it open", doing);
}

static int sqlite_error(struct sqlite *d, int result, const char *doing, struct error *e)
{
    const char *advice = d->settings.when_damaged;

    switch (result & 0xFF) {
    case SQLITE_FULL:
        return error_set(e, ERROR_RESOURCE_EXHAUSTED, "%s: no space left on the disk", doing);
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
        return error_of_io(d, doing, e);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return error_set(e, ERROR_DATA_LOSS, "%s: the file is damaged%s%s", doing,
                         advice ? "; " : "", advice ? advice : "");
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return error_of_lock(d, doing, e);
    case SQLITE_READONLY:
    case SQLITE_PERM:
        return error_set(e, ERROR_PERMISSION_DENIED, "%s: no permission", doing);
    case SQLITE_CONSTRAINT:
        if (result == SQLITE_CONSTRAINT_UNIQUE || result == SQLITE_CONSTRAINT_PRIMARYKEY)
            return error_set(e, ERROR_ALREADY_EXISTS, "%s: it exists already", doing);
        return error_set(e, ERROR_INTERNAL, "%s: %s", doing, sqlite3_errmsg(d->raw));
    default:
        return error_set(e, ERROR_INTERNAL, "%s: %s", doing, sqlite3_errmsg(d->raw));
    }
}

/* ---- Connections ---- */

/* SQLite would make the file readable by others. */
static int file_make(const char *path, struct error *e)
{
    /* Never when it is there: closing any descriptor of a file drops all of the process's locks on
     * it, SQLite's too (fcntl(2)), and another process would take the database for unused. */
    if (access(path, F_OK) == 0)
        return 0;
    int fd = sys_open(path, O_RDWR | O_CREAT, e);

    if (fd < 0)
        return -1;
    (void)close(fd);
    return 0;
}

/* page_size and encoding hold for a file that is made now, the others for the connection. */
static int setup(struct sqlite *d)
{
    const struct db_settings *s = &d->settings;
    bool scratch = s->access == DB_SCRATCH;
    char sql[512];

    if (s->access == DB_FOREIGN || s->access == DB_FINISHED)
        return SQLITE_OK;
    int n = snprintf(
        sql, sizeof sql,
        "%sPRAGMA encoding = 'UTF-8'; PRAGMA page_size = %u; PRAGMA journal_mode = %s;"
        "PRAGMA synchronous = %s; PRAGMA journal_size_limit = %d; PRAGMA foreign_keys = ON;"
        "PRAGMA wal_autocheckpoint = %u; PRAGMA cache_size = -%u; PRAGMA temp_store = MEMORY;"
        "PRAGMA trusted_schema = OFF;%s",
        scratch || s->access == DB_EXCLUSIVE ? "PRAGMA locking_mode = EXCLUSIVE;" : "",
        s->page_bytes, scratch ? "MEMORY" : "WAL", scratch ? "OFF" : "FULL", LOG_BYTES_KEPT,
        s->log_pages, s->cache_kib, s->access == DB_READ_ONLY ? "PRAGMA query_only = ON;" : "");
    assert(n > 0 && (size_t)n < sizeof sql);
    return sqlite3_exec(d->raw, sql, NULL, NULL, NULL);
}

/* The path as a URI by which SQLite takes the file as it is. */
static void finished_uri(const char *path, struct buf *out)
{
    buf_add_c(out, "file:");
    for (const char *c = path; *c; c++)
        if (strchr("%?#", *c))
            buf_addf(out, "%%%02X", (unsigned)*c);
        else
            buf_add_char(out, *c);
    buf_add_c(out, "?immutable=1");
}

static int open_raw(struct sqlite *d, const char *path, int flags)
{
    struct buf uri = BUF_INIT(PATH_BYTES_MAX);

    if (d->settings.access != DB_FINISHED)
        return sqlite3_open_v2(path, &d->raw, flags, db_vfs());
    finished_uri(path, &uri);
    int rc = buf_ok(&uri) ? sqlite3_open_v2(uri.p, &d->raw, flags | SQLITE_OPEN_URI, db_vfs())
                          : SQLITE_CANTOPEN;
    buf_release(&uri);
    return rc;
}

static void sqlite_close(struct db *d)
{
    (void)sqlite3_close(sqlite_of(d)->raw);
    mem_free(d);
}

struct db *db_open_sqlite(const char *path, const struct db_settings *settings, struct error *e)
{
    bool exclusive = settings->access == DB_EXCLUSIVE;
    bool foreign = settings->access == DB_FOREIGN || settings->access == DB_FINISHED;
    int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    char doing[ERROR_MSG_BYTES];

    if (foreign && access(path, R_OK) < 0) {
        (void)error_errno(e, "cannot read %s", path);
        return NULL;
    }
    if (!foreign && file_make(path, e) < 0)
        return NULL;
    struct sqlite *d = mem_alloc(sizeof *d);
    d->head.ops = &sqlite_ops;
    d->settings = *settings;
    flags |= foreign ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
    int rc = open_raw(d, path, flags);
    if (rc == SQLITE_OK && !foreign && !exclusive)
        rc = sqlite3_busy_timeout(d->raw, BUSY_TIMEOUT_MS);
    if (rc == SQLITE_OK)
        rc = setup(d);
    if (rc == SQLITE_OK)
        return &d->head;
    (void)snprintf(doing, sizeof doing, "cannot open %s", path);
    (void)sqlite_error(d, rc, doing, e);
    db_close(&d->head);
    return NULL;
}

static int sqlite_copy(struct db *from, struct db *to, struct error *e)
{
    sqlite3 *target = sqlite_of(to)->raw;
    sqlite3_backup *pages = sqlite3_backup_init(target, "main", sqlite_of(from)->raw, "main");

    if (pages) {
        (void)sqlite3_backup_step(pages, -1); /* all pages in one step: they are of one instant */
        if (sqlite3_backup_finish(pages) == SQLITE_OK)
            return 0;
    }
    return sqlite_error(sqlite_of(to), sqlite3_extended_errcode(target), "cannot copy the database",
                        e);
}

static int sqlite_settle(struct db *d, const char *doing, struct error *e)
{
    sqlite3 *raw = sqlite_of(d)->raw;
    int left = 0, moved = 0;

    int rc = sqlite3_wal_checkpoint_v2(raw, NULL, SQLITE_CHECKPOINT_TRUNCATE, &left, &moved);
    return rc == SQLITE_OK ? 0 : sqlite_error(sqlite_of(d), rc, doing, e);
}

/* ---- Statements ---- */

/* SQLite has no locks of rows and needs none: a transaction that writes has the whole database. */
static char *without_row_locks(const char *sql)
{
    static const char *const words[] = { " FOR UPDATE SKIP LOCKED", " FOR UPDATE",
                                         " FOR KEY SHARE" };
    char *text = mem_strdup(sql);

    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        for (char *at = strstr(text, words[i]); at; at = strstr(at, words[i]))
            memset(at, ' ', strlen(words[i]));
    return text;
}

/* SQLITE_ERROR is the text's fault; all else is the disk's, or a damaged table. */
static void sqlite_prepare(struct stmt *q)
{
    sqlite3 *db = sqlite_of(q->db)->raw;
    char *sql = without_row_locks(q->sql);
    sqlite3_stmt *raw = NULL;

    q->failed = sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, &raw, NULL);
    mem_free(sql);
    if (q->failed == SQLITE_ERROR) {
        log_error("%s: %s", sqlite3_errmsg(db), q->sql);
        abort();
    }
    q->raw = raw;
    q->parameters = sqlite3_bind_parameter_count(raw);
}

static void sqlite_finalize(struct stmt *q)
{
    (void)sqlite3_finalize(q->raw);
}

/* A bind fails for want of memory, a value over SQLite's limit of 1 GB, or a wrong number: callers
 * bound their sizes, so all are a programmer's errors. */
static void sqlite_bind(struct stmt *q, int at, struct db_value v)
{
    int rc = SQLITE_MISUSE;

    switch (v.kind) {
    case DB_INT:
        rc = sqlite3_bind_int64(q->raw, at, v.i);
        break;
    case DB_DOUBLE:
        rc = sqlite3_bind_double(q->raw, at, v.d);
        break;
    case DB_TEXT:
        rc = sqlite3_bind_text64(q->raw, at, v.s.p, v.s.len, SQLITE_STATIC, SQLITE_UTF8);
        break;
    case DB_BYTES:
        rc = sqlite3_bind_blob64(q->raw, at, v.s.p, v.s.len, SQLITE_STATIC);
        break;
    }
    assert(rc == SQLITE_OK);
}

static int sqlite_step(struct stmt *q, const char *doing, struct error *e)
{
    int rc = q->raw ? sqlite3_step(q->raw) : q->failed;

    if (rc == SQLITE_ROW)
        return 1;
    if (rc != SQLITE_DONE)
        (void)sqlite_error(sqlite_of(q->db), rc, doing, e);
    (void)sqlite3_reset(q->raw);
    return rc == SQLITE_DONE ? 0 : -1;
}

static int sqlite_changes(struct stmt *q)
{
    return sqlite3_changes(sqlite_of(q->db)->raw);
}

static void sqlite_reset(struct stmt *q)
{
    if (sqlite3_stmt_busy(q->raw))
        (void)sqlite3_reset(q->raw); /* its result is that of the step before */
}

static int64_t sqlite_column_int(struct stmt *q, int column)
{
    return sqlite3_column_int64(q->raw, column);
}

static double sqlite_column_double(struct stmt *q, int column)
{
    return sqlite3_column_double(q->raw, column);
}

static struct str sqlite_column_bytes(struct stmt *q, int column)
{
    const void *p = sqlite3_column_blob(q->raw, column);

    return (struct str){ p, (size_t)sqlite3_column_bytes(q->raw, column) };
}

static int sqlite_exec(struct db *d, const char *sql, const char *doing, struct error *e)
{
    int rc = sqlite3_exec(sqlite_of(d)->raw, sql, NULL, NULL, NULL);

    return rc == SQLITE_OK ? 0 : sqlite_error(sqlite_of(d), rc, doing, e);
}

/* ---- Transactions and versions ---- */

/* The right to write is one, whatever is asked for. */
static int sqlite_begin(struct db *d, enum db_right right, const char *doing, struct error *e)
{
    (void)right;
    return db_run(db_stmt(d, "BEGIN IMMEDIATE"), doing, e) < 0 ? -1 : 0;
}

static int sqlite_commit(struct db *d, const char *doing, struct error *e)
{
    return db_run(db_stmt(d, "COMMIT"), doing, e) < 0 ? -1 : 0;
}

/* SQLite may have rolled back by itself: it knows. */
static void sqlite_rollback(struct db *d)
{
    sqlite3 *raw = sqlite_of(d)->raw;

    if (raw && !sqlite3_get_autocommit(raw))
        (void)sqlite3_exec(raw, "ROLLBACK", NULL, NULL, NULL);
}

static int sqlite_version(struct db *d, int *version, int *compatible, struct error *e)
{
    struct stmt *q = db_stmt(d, "PRAGMA user_version");

    if (db_step(q, "cannot read the database's version", e) < 0)
        return -1;
    *version = *compatible = (int)db_int(q, 0);
    db_reset(q);
    return 0;
}

/* A file has one program at a time: the version alone refuses an older one. */
static int sqlite_version_set(struct db *d, int version, int compatible, const char *doing,
                              struct error *e)
{
    char set[64];

    (void)compatible;
    (void)snprintf(set, sizeof set, "PRAGMA user_version = %d", version);
    return sqlite_exec(d, set, doing, e);
}

static const struct db_ops sqlite_ops = {
    .close = sqlite_close,
    .prepare = sqlite_prepare,
    .finalize = sqlite_finalize,
    .bind = sqlite_bind,
    .step = sqlite_step,
    .changes = sqlite_changes,
    .reset = sqlite_reset,
    .column_int = sqlite_column_int,
    .column_double = sqlite_column_double,
    .column_bytes = sqlite_column_bytes,
    .exec = sqlite_exec,
    .begin = sqlite_begin,
    .commit = sqlite_commit,
    .rollback = sqlite_rollback,
    .copy = sqlite_copy,
    .settle = sqlite_settle,
    .version = sqlite_version,
    .version_set = sqlite_version_set,
    .change = sqlite_exec,
};
