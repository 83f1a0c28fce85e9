#include "store/db/db.h"

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

/* Distinct statements of one connection: a power of two, never more than half full. */
#define STATEMENTS_MAX 512
/* For another process's transaction: `tranche keys` beside a server, and the other way round. */
#define BUSY_TIMEOUT_MS 10000
#define LOG_BYTES_KEPT (64 * 1024 * 1024)
#define PATH_BYTES_MAX 16384

struct stmt {
    const char *sql; /* NULL: a free place of the cache */
    sqlite3_stmt *raw;
    struct db *db;
    int failed;            /* the result of a prepare that gave no statement */
    int parameters, bound; /* how many the text has, and how many have a value since db_stmt */
};

struct db {
    sqlite3 *raw;
    struct db_settings settings;
    struct stmt cache[STATEMENTS_MAX]; /* by the address of the text, open addressing */
    struct stmt *used[STATEMENTS_MAX / 2];
    uint32_t count; /* of used */
};

/* ---- Errors ---- */

/* errno says why a call of the file system failed; SQLite keeps it when it can. */
static int error_of_io(struct db *d, const char *doing, struct error *e)
{
    errno = sqlite3_system_errno(d->raw);
    if (errno)
        return error_errno(e, "%s", doing);
    return error_set(e, ERROR_INTERNAL, "%s: %s", doing, sqlite3_errmsg(d->raw));
}

static int error_of_lock(struct db *d, const char *doing, struct error *e)
{
    if (d->settings.access == DB_SHARED || d->settings.access == DB_READ_ONLY)
        return error_set(e, ERROR_UNAVAILABLE, "%s: another process keeps the database locked",
                         doing);
    return error_set(e, ERROR_FAILED_PRECONDITION, "%s: another process has it open", doing);
}

static int db_error(struct db *d, int result, const char *doing, struct error *e)
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
static int setup(struct db *d)
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

static int open_raw(struct db *d, const char *path, int flags)
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

struct db *db_open(const char *path, const struct db_settings *settings, struct error *e)
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
    struct db *d = mem_alloc(sizeof *d);
    d->settings = *settings;
    flags |= foreign ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
    int rc = open_raw(d, path, flags);
    if (rc == SQLITE_OK && !foreign && !exclusive)
        rc = sqlite3_busy_timeout(d->raw, BUSY_TIMEOUT_MS);
    if (rc == SQLITE_OK)
        rc = setup(d);
    if (rc == SQLITE_OK)
        return d;
    (void)snprintf(doing, sizeof doing, "cannot open %s", path);
    (void)db_error(d, rc, doing, e);
    db_close(d);
    return NULL;
}

void db_close(struct db *d)
{
    if (!d)
        return;
    db_rollback(d);
    for (uint32_t i = 0; i < d->count; i++)
        (void)sqlite3_finalize(d->used[i]->raw);
    (void)sqlite3_close(d->raw);
    mem_free(d);
}

int db_copy(struct db *from, struct db *to, struct error *e)
{
    sqlite3_backup *pages = sqlite3_backup_init(to->raw, "main", from->raw, "main");

    if (pages) {
        (void)sqlite3_backup_step(pages, -1); /* all pages in one step: they are of one instant */
        if (sqlite3_backup_finish(pages) == SQLITE_OK)
            return 0;
    }
    return db_error(to, sqlite3_extended_errcode(to->raw), "cannot copy the database", e);
}

int db_settle(struct db *d, const char *doing, struct error *e)
{
    int left = 0, moved = 0;

    db_reset_all(d);
    int rc = sqlite3_wal_checkpoint_v2(d->raw, NULL, SQLITE_CHECKPOINT_TRUNCATE, &left, &moved);
    return rc == SQLITE_OK ? 0 : db_error(d, rc, doing, e);
}

/* ---- Statements ---- */

/* SQLite has no locks of rows and needs none: a transaction that writes has the whole database. */
static char *without_row_locks(const char *sql)
{
    static const char *const words[] = { " FOR UPDATE SKIP LOCKED", " FOR UPDATE" };
    char *text = mem_strdup(sql);

    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        for (char *at = strstr(text, words[i]); at; at = strstr(at, words[i]))
            memset(at, ' ', strlen(words[i]));
    return text;
}

/* SQLITE_ERROR is the text's fault; all else is the disk's, or a damaged table. */
static void prepare(struct stmt *q)
{
    char *sql = without_row_locks(q->sql);

    q->failed = sqlite3_prepare_v3(q->db->raw, sql, -1, SQLITE_PREPARE_PERSISTENT, &q->raw, NULL);
    mem_free(sql);
    if (q->failed == SQLITE_ERROR) {
        log_error("%s: %s", sqlite3_errmsg(q->db->raw), q->sql);
        abort();
    }
    q->parameters = sqlite3_bind_parameter_count(q->raw);
}

struct stmt *db_stmt(struct db *d, const char *sql)
{
    size_t at = ((uintptr_t)sql * UINT64_C(0x9E3779B97F4A7C15)) >> 32;
    struct stmt *q = &d->cache[at % STATEMENTS_MAX];

    while (q->sql && q->sql != sql)
        q = &d->cache[++at % STATEMENTS_MAX];
    if (!q->sql) {
        assert(d->count < ARRAY_LEN(d->used));
        d->used[d->count++] = q;
        *q = (struct stmt){ .sql = sql, .db = d };
    }
    if (!q->raw) {
        prepare(q);
        return q;
    }
    (void)sqlite3_reset(q->raw);
    q->bound = 0;
    return q;
}

static int bind_str(sqlite3_stmt *raw, int at, struct str v, bool text)
{
    const char *p = v.p ? v.p : "";

    if (text)
        return sqlite3_bind_text64(raw, at, p, v.len, SQLITE_STATIC, SQLITE_UTF8);
    return sqlite3_bind_blob64(raw, at, p, v.len, SQLITE_STATIC);
}

static int bind_one(sqlite3_stmt *raw, int at, char letter, va_list *args)
{
    struct str v;

    switch (letter) {
    /* NOLINTNEXTLINE(bugprone-branch-clone): the branches differ in the type they take */
    case 'i':
        return sqlite3_bind_int64(raw, at, va_arg(*args, int64_t));
    case 'n':
        return sqlite3_bind_int64(raw, at, va_arg(*args, int));
    case 'd':
        return sqlite3_bind_double(raw, at, va_arg(*args, double));
    case 's':
        return sqlite3_bind_text(raw, at, va_arg(*args, const char *), -1, SQLITE_STATIC);
    case 't':
        return bind_str(raw, at, va_arg(*args, struct str), true);
    case 'b':
        return bind_str(raw, at, va_arg(*args, struct str), false);
    case 'B':
        v = va_arg(*args, struct str);
        return v.len ? bind_str(raw, at, v, false) : sqlite3_bind_null(raw, at);
    default:
        return SQLITE_MISUSE;
    }
}

/* A bind fails for want of memory, a value over SQLite's limit of 1 GB, or a wrong number: callers
 * bound their sizes, so all are a programmer's errors. */
static void bind_all(struct stmt *q, int first, const char *format, va_list *args)
{
    for (int i = 0; q->raw && format[i]; i++) {
        int rc = bind_one(q->raw, first + i, format[i], args);
        assert(rc == SQLITE_OK);
        q->bound++;
    }
}

void db_bind(struct stmt *q, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    bind_all(q, 1, format, &args);
    va_end(args);
}

void db_bind_from(struct stmt *q, int first, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    bind_all(q, first, format, &args);
    va_end(args);
}

int db_step(struct stmt *q, const char *doing, struct error *e)
{
    assert(!q->raw || q->bound == q->parameters);
    int rc = q->raw ? sqlite3_step(q->raw) : q->failed;

    if (rc == SQLITE_ROW)
        return 1;
    if (rc != SQLITE_DONE)
        (void)db_error(q->db, rc, doing, e);
    db_reset(q);
    return rc == SQLITE_DONE ? 0 : -1;
}

int db_run(struct stmt *q, const char *doing, struct error *e)
{
    int rc = db_step(q, doing, e);

    assert(rc != 1);
    return rc < 0 ? -1 : sqlite3_changes(q->db->raw);
}

void db_reset(struct stmt *q)
{
    (void)sqlite3_reset(q->raw); /* its result is that of the step before */
}

void db_reset_all(struct db *d)
{
    for (uint32_t i = 0; i < d->count; i++) {
        if (sqlite3_stmt_busy(d->used[i]->raw))
            db_reset(d->used[i]);
    }
}

int64_t db_int(struct stmt *q, int column)
{
    return sqlite3_column_int64(q->raw, column);
}

double db_double(struct stmt *q, int column)
{
    return sqlite3_column_double(q->raw, column);
}

struct str db_bytes(struct stmt *q, int column)
{
    const void *p = sqlite3_column_blob(q->raw, column);

    return (struct str){ p, (size_t)sqlite3_column_bytes(q->raw, column) };
}

struct str db_text(struct stmt *q, int column, struct arena *a)
{
    struct str text = db_bytes(q, column);

    return text.len ? (struct str){ arena_copy(a, text.p, text.len), text.len } : (struct str){ 0 };
}

void db_text_to(struct stmt *q, int column, char *out, size_t bytes)
{
    struct str text = str_sub(db_bytes(q, column), 0, bytes - 1);

    if (text.len)
        memcpy(out, text.p, text.len);
    out[text.len] = '\0';
}

int db_exec(struct db *d, const char *sql, const char *doing, struct error *e)
{
    int rc = sqlite3_exec(d->raw, sql, NULL, NULL, NULL);

    return rc == SQLITE_OK ? 0 : db_error(d, rc, doing, e);
}

int db_last_number(struct db *d, const char *table, int64_t *out, struct error *e)
{
    struct stmt *q = db_stmt(d, "SELECT seq FROM sqlite_sequence WHERE name = ?");

    db_bind(q, "s", table);
    int rc = db_step(q, "cannot read the last number", e);
    *out = rc == 1 ? db_int(q, 0) : 0;
    return rc < 0 ? -1 : 0;
}

/* ---- Transactions ---- */

int db_begin(struct db *d, const char *doing, struct error *e)
{
    db_reset_all(d);
    return db_run(db_stmt(d, "BEGIN IMMEDIATE"), doing, e) < 0 ? -1 : 0;
}

int db_commit(struct db *d, const char *doing, struct error *e)
{
    db_reset_all(d);
    if (db_run(db_stmt(d, "COMMIT"), doing, e) >= 0)
        return 0;
    db_rollback(d);
    return -1;
}

/* SQLite may have rolled back by itself: it knows. */
void db_rollback(struct db *d)
{
    db_reset_all(d);
    if (d->raw && !sqlite3_get_autocommit(d->raw))
        (void)sqlite3_exec(d->raw, "ROLLBACK", NULL, NULL, NULL);
}

/* ---- Versions ---- */

int db_version(struct db *d, int *out, struct error *e)
{
    struct stmt *q = db_stmt(d, "PRAGMA user_version");

    if (db_step(q, "cannot read the database's version", e) < 0)
        return -1;
    *out = (int)db_int(q, 0);
    db_reset(q);
    return 0;
}

/* The changes from the version that the database has now, within a transaction: another process may have
 * made some since. */
static int changes_in(struct db *d, const struct db_schema *schema, const char *doing,
                      struct error *e)
{
    char set[64];
    int version = 0;

    if (db_version(d, &version, e) < 0)
        return -1;
    for (int i = version; i < schema->version; i++)
        if (db_exec(d, schema->change[i], doing, e) < 0)
            return -1;
    (void)snprintf(set, sizeof set, "PRAGMA user_version = %d", schema->version);
    return version >= schema->version ? 0 : db_exec(d, set, doing, e);
}

int db_migrate(struct db *d, const struct db_schema *schema, struct error *e)
{
    char doing[64];
    int version = 0;

    if (db_version(d, &version, e) < 0)
        return -1;
    if (version >= schema->version)
        return 0;
    (void)snprintf(doing, sizeof doing, "cannot bring the database to version %d", schema->version);
    if (db_begin(d, doing, e) < 0)
        return -1;
    if (changes_in(d, schema, doing, e) == 0)
        return db_commit(d, doing, e);
    db_rollback(d);
    return -1;
}
