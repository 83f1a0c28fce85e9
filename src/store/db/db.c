#include "store/store_inner.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/thread.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/sys.h"
#include "store/spool/spool_inner.h"

/* Distinct statements of one connection: a power of two, never more than half full. */
#define STATEMENTS_MAX 512
/* Readers that wait for use; more are closed when they come back. */
#define READERS_IDLE_MAX 16
/* For another process' transaction: `tranche keys` beside a server, and the other way round. */
#define BUSY_TIMEOUT_MS 10000

/* page_size and encoding hold for a file that is made now, the others for the connection. */
#define SETUP                                                                                      \
    "PRAGMA encoding = 'UTF-8'; PRAGMA page_size = 4096; PRAGMA journal_mode = WAL;"               \
    "PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 67108864; PRAGMA foreign_keys = ON;"   \
    "PRAGMA cache_size = -8192; PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF;"

struct cached {
    const char *sql; /* NULL: free */
    sqlite3_stmt *q;
};

struct db {
    sqlite3 *handle;
    struct db *next; /* in the list of idle readers */
    int failed;      /* result of the last prepare that gave no statement */
    uint32_t count;
    struct cached cache[STATEMENTS_MAX]; /* by the address of the text, open addressing */
};

static int db_error(struct db *d, int result, const char *doing, struct error *e);
static void statements_reset(struct db *d);

/* The file is made here, not by SQLite, because it is for its owner's eyes only. */
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

struct db *db_open(const char *path, struct error *e)
{
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;

    if (file_make(path, e) < 0)
        return NULL;
    struct db *d = mem_alloc(sizeof *d);
    int rc = sqlite3_open_v2(path, &d->handle, flags, spool_vfs());
    if (rc == SQLITE_OK)
        rc = sqlite3_busy_timeout(d->handle, BUSY_TIMEOUT_MS);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(d->handle, SETUP, NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        return d;
    (void)db_error(d, rc, "cannot open the database", e);
    db_close(d);
    return NULL;
}

void db_close(struct db *d)
{
    if (!d)
        return;
    for (size_t i = 0; i < STATEMENTS_MAX; i++)
        (void)sqlite3_finalize(d->cache[i].q);
    (void)sqlite3_close(d->handle);
    mem_free(d);
}

sqlite3 *db_handle(struct db *d)
{
    return d->handle;
}

int db_exec(struct db *d, const char *sql, const char *doing, struct error *e)
{
    int rc = sqlite3_exec(d->handle, sql, NULL, NULL, NULL);

    return rc == SQLITE_OK ? 0 : db_error(d, rc, doing, e);
}

struct db *store_read(struct store *s, struct error *e)
{
    char path[PATH_BYTES];

    lock(&s->read_lock);
    struct db *d = s->idle;
    if (d) {
        s->idle = d->next;
        s->idle_count--;
    }
    unlock(&s->read_lock);
    if (d)
        return d;
    store_path(s, path, "state.db");
    d = db_open(path, e);
    if (d && db_exec(d, "PRAGMA query_only = ON", "cannot open the database", e) < 0) {
        db_close(d);
        return NULL;
    }
    return d;
}

void store_read_done(struct store *s, struct db *d)
{
    statements_reset(d); /* an unfinished one would hold back the log's checkpoint */
    lock(&s->read_lock);
    bool keep = s->idle_count < READERS_IDLE_MAX;
    if (keep) {
        d->next = s->idle;
        s->idle = d;
        s->idle_count++;
    }
    unlock(&s->read_lock);
    if (!keep)
        db_close(d);
}

struct db *store_write(struct store *s, struct error *e)
{
    lock(&s->write_lock);
    if (db_run(s->writer, db_stmt(s->writer, "BEGIN IMMEDIATE"), "cannot begin to write", e) >= 0)
        return s->writer;
    unlock(&s->write_lock);
    return NULL;
}

/* SQLite may have rolled back by itself, so only its own word counts. */
static void roll_back(struct db *d)
{
    statements_reset(d);
    if (!sqlite3_get_autocommit(d->handle))
        (void)sqlite3_exec(d->handle, "ROLLBACK", NULL, NULL, NULL);
}

int store_commit(struct store *s, struct db *d, int rc, struct error *e)
{
    assert(d == s->writer && rc <= 0);
    statements_reset(d);
    if (rc == 0)
        rc = db_run(d, db_stmt(d, "COMMIT"), "cannot write", e) < 0 ? -1 : 0;
    if (rc < 0)
        roll_back(d);
    unlock(&s->write_lock);
    return rc < 0 ? -1 : 0;
}

static struct cached *cached_find(struct db *d, const char *sql)
{
    size_t at = ((uintptr_t)sql * UINT64_C(0x9E3779B97F4A7C15)) >> 32;

    for (;; at++) {
        struct cached *c = &d->cache[at % STATEMENTS_MAX];
        if (c->sql == sql || !c->sql)
            return c;
    }
}

/* SQLITE_ERROR is the text's fault; all else is the disk's, or that of who changed the tables. */
static sqlite3_stmt *prepare(struct db *d, const char *sql)
{
    sqlite3_stmt *q = NULL;
    int rc = sqlite3_prepare_v3(d->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &q, NULL);

    if (rc == SQLITE_ERROR) {
        log_error("%s: %s", sqlite3_errmsg(d->handle), sql);
        abort();
    }
    d->failed = rc;
    return q;
}

sqlite3_stmt *db_stmt(struct db *d, const char *sql)
{
    struct cached *c = cached_find(d, sql);

    if (!c->sql) {
        sqlite3_stmt *q = prepare(d, sql);
        if (!q)
            return NULL;
        assert(d->count < STATEMENTS_MAX / 2);
        d->count++;
        *c = (struct cached){ sql, q };
    }
    (void)sqlite3_reset(c->q);
    (void)sqlite3_clear_bindings(c->q);
    return c->q;
}

static int bind_str(sqlite3_stmt *q, int at, struct str v, bool text)
{
    const char *p = v.p ? v.p : "";

    if (text)
        return sqlite3_bind_text64(q, at, p, v.len, SQLITE_STATIC, SQLITE_UTF8);
    return sqlite3_bind_blob64(q, at, p, v.len, SQLITE_STATIC);
}

static int bind_one(sqlite3_stmt *q, int at, char letter, va_list *args)
{
    switch (letter) {
    /* NOLINTNEXTLINE(bugprone-branch-clone): the branches differ in the type they take */
    case 'i':
        return sqlite3_bind_int64(q, at, va_arg(*args, int64_t));
    case 'n':
        return sqlite3_bind_int64(q, at, va_arg(*args, int));
    case 'd':
        return sqlite3_bind_double(q, at, va_arg(*args, double));
    case 's':
        return sqlite3_bind_text(q, at, va_arg(*args, const char *), -1, SQLITE_STATIC);
    case 't':
        return bind_str(q, at, va_arg(*args, struct str), true);
    case 'b':
        return bind_str(q, at, va_arg(*args, struct str), false);
    case 'z':
        return sqlite3_bind_null(q, at);
    default:
        return SQLITE_MISUSE;
    }
}

/* A bind fails for want of memory, a value over SQLite's limit of 1 GB, or a wrong number: callers
 * bound their sizes, so all are a programmer's errors. */
static void bind_all(sqlite3_stmt *q, int first, const char *format, va_list *args)
{
    for (int i = 0; q && format[i]; i++) {
        int rc = bind_one(q, first + i, format[i], args);
        assert(rc == SQLITE_OK);
    }
}

void db_bind(sqlite3_stmt *q, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    bind_all(q, 1, format, &args);
    va_end(args);
}

void db_bind_from(sqlite3_stmt *q, int first, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    bind_all(q, first, format, &args);
    va_end(args);
}

int db_step(struct db *d, sqlite3_stmt *q, const char *doing, struct error *e)
{
    if (!q)
        return db_error(d, d->failed, doing, e);
    int rc = sqlite3_step(q);
    if (rc == SQLITE_ROW)
        return 1;
    if (rc != SQLITE_DONE)
        (void)db_error(d, rc, doing, e);
    (void)sqlite3_reset(q);
    return rc == SQLITE_DONE ? 0 : -1;
}

int db_run(struct db *d, sqlite3_stmt *q, const char *doing, struct error *e)
{
    int rc = db_step(d, q, doing, e);

    assert(rc != 1);
    return rc < 0 ? -1 : sqlite3_changes(d->handle);
}

struct str db_text(sqlite3_stmt *q, int column, struct arena *a)
{
    const void *p = sqlite3_column_blob(q, column);
    size_t len = (size_t)sqlite3_column_bytes(q, column);

    return len ? (struct str){ arena_copy(a, p, len), len } : (struct str){ 0 };
}

int64_t db_int(sqlite3_stmt *q, int column)
{
    return sqlite3_column_int64(q, column);
}

double db_double(sqlite3_stmt *q, int column)
{
    return sqlite3_column_double(q, column);
}

void db_text_to(sqlite3_stmt *q, int column, char *out, size_t bytes)
{
    const void *p = sqlite3_column_blob(q, column);
    size_t len = (size_t)sqlite3_column_bytes(q, column);

    if (len > bytes - 1)
        len = bytes - 1;
    if (len)
        memcpy(out, p, len);
    out[len] = '\0';
}

static void statements_reset(struct db *d)
{
    for (size_t i = 0; i < STATEMENTS_MAX; i++) {
        if (d->cache[i].q && sqlite3_stmt_busy(d->cache[i].q))
            (void)sqlite3_reset(d->cache[i].q);
    }
}

/* What a failed call of the file system means is in errno, which SQLite keeps when it can. */
static int error_of_io(struct db *d, const char *doing, struct error *e)
{
    errno = sqlite3_system_errno(d->handle);
    if (errno)
        return error_errno(e, "%s", doing);
    return error_set(e, ERROR_INTERNAL, "%s: %s", doing, sqlite3_errmsg(d->handle));
}

static int db_error(struct db *d, int result, const char *doing, struct error *e)
{
    switch (result & 0xFF) {
    case SQLITE_FULL:
        return error_set(e, ERROR_RESOURCE_EXHAUSTED, "%s: no space left on the disk", doing);
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
        return error_of_io(d, doing, e);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return error_set(e, ERROR_DATA_LOSS, "%s: the database is damaged", doing);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return error_set(e, ERROR_UNAVAILABLE, "%s: another process keeps the database locked",
                         doing);
    case SQLITE_READONLY:
    case SQLITE_PERM:
        return error_set(e, ERROR_PERMISSION_DENIED, "%s: no permission", doing);
    case SQLITE_CONSTRAINT:
        if (result == SQLITE_CONSTRAINT_UNIQUE || result == SQLITE_CONSTRAINT_PRIMARYKEY)
            return error_set(e, ERROR_ALREADY_EXISTS, "%s: it exists already", doing);
        return error_set(e, ERROR_INTERNAL, "%s: %s", doing, sqlite3_errmsg(d->handle));
    default:
        return error_set(e, ERROR_INTERNAL, "%s: %s", doing, sqlite3_errmsg(d->handle));
    }
}
