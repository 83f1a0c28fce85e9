/* db.h -- the one SQL layer: connections, statements, transactions, versions of the tables.
 *
 * Why: everything durable goes through SQL, and the database behind it is to be replaceable. This room
 * alone knows SQLite and PostgreSQL: their calls, settings, result codes and words of SQL. Statements of
 * other rooms are standard SQL that both take; tests/unit/store/db/test_sql.c reads them all and refuses
 * words of SQLite. FOR UPDATE, FOR UPDATE SKIP LOCKED and FOR KEY SHARE lock the rows that a SELECT reads;
 * SQLite, which locks the whole database for a transaction that writes, leaves them out.
 *
 * Use:     struct stmt *q = db_stmt(d, "SELECT bytes FROM file WHERE id = ?");
 *          db_bind(q, "t", id);
 *          int rc = db_step(q, "cannot read a file", e);     1: db_int(q, 0)
 * Errors:  `doing` begins the message. RESOURCE_EXHAUSTED: the disk is full. DATA_LOSS: the file is
 *          damaged. ALREADY_EXISTS: a value that must be unique is not. UNAVAILABLE: another process
 *          kept the database locked for too long, or the connection to PostgreSQL is lost, or PostgreSQL gave the
 *          transaction up. FAILED_PRECONDITION: another process has an exclusive file open. Else as errno
 *          says, or INTERNAL. Text that does not compile is a programmer's error and dies.
 *          An error ends a transaction of PostgreSQL: nothing but a rollback may follow.
 * Threads: a connection and its statements have one owner at a time.
 * Source:  https://www.sqlite.org/c3ref/intro.html, https://www.postgresql.org/docs/current/libpq.html
 */
#ifndef TRANCHE_STORE_DB_DB_H
#define TRANCHE_STORE_DB_DB_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"

struct db;   /* a connection and its cache of statements */
struct stmt; /* a statement of a connection; its row is what the last db_step found */

/* ---- Connections ---- */

enum db_access {
    DB_SHARED, /* other connections and processes use the file too; waits for their transactions */
    DB_READ_ONLY, /* as DB_SHARED, and refuses to write */
    DB_EXCLUSIVE, /* the file's only connection: cheaper locks, and others are refused */
    DB_FOREIGN,   /* another process's exclusive file after its end: read, never changed */
    DB_FINISHED,  /* a file without a log that nobody changes any more: read without locks */
    DB_SCRATCH, /* as DB_EXCLUSIVE, without a log and without syncs: nothing in it must survive a crash. Between two
                   * transactions the file alone is the database */
};
struct db_settings {
    enum db_access access;
    uint32_t page_bytes;      /* of a file that is made now; bigger pages hold bigger rows */
    uint32_t cache_kib;       /* memory for pages */
    uint32_t log_pages;       /* length of the log at which it is written back into the file */
    const char *when_damaged; /* put behind the error of a damaged file; NULL: nothing */
};
/* place: the path of a SQLite file, which is made, readable by its owner only, when it is absent; or the URL of a
 * PostgreSQL database, which the settings say nothing of. */
struct db *db_open(const char *place, const struct db_settings *settings, struct error *e);
bool db_is_url(const char *place);
/* The URL without its password, and without what its parameters say: for messages. */
void db_url_shown(const char *url, struct buf *out);
bool db_url_has_password(const char *url);
/* PostgreSQL's clock, as it was read when the connection and its last transaction began. False: SQLite has none. */
struct db_clock {
    int64_t wall_us;
    uint64_t asked_ns, answered_ns; /* boot_ns of the system's clock (base/clock.h) */
};
bool db_clock(const struct db *d, struct db_clock *out);
/* PostgreSQL's timeline: it grows whenever a standby takes over, which may know less than the server before it had done. 0: SQLite,
 * which has none. */
int64_t db_epoch(const struct db *d);
/* Is the connection gone? Then each call fails with UNAVAILABLE, and only db_close is left. */
bool db_is_lost(const struct db *d);
void db_close(struct db *d); /* rolls back; accepts NULL */
/* Copies all of a SQLite database into another, as of one instant; writers go on meanwhile. */
int db_copy(struct db *from, struct db *to, struct error *e) FALLIBLE;

/* Writes SQLite's log back, so that the file alone is the database, also while others read it. UNAVAILABLE when
 * a reader stays in its way. No transaction may be open. */
int db_settle(struct db *d, const char *doing, struct error *e) FALLIBLE;

/* The rows of all tables of a SQLite database go into the same tables of another database, which are empty, in the
 * transaction that is open there. Numbers that a table gives by itself go on behind the last one that it gave. */
struct db_move {
    const char *const *except; /* tables that stay behind, until NULL */
    struct arena *texts;       /* of the statements: must outlive both connections */
    uint64_t tables, rows;     /* that were copied */
};
int db_move(struct db *from, struct db *to, struct db_move *m, struct error *e) FALLIBLE;

/* ---- Transactions: durable when db_commit has returned 0 ---- */

/* DB_WRITE_ROWS goes on beside others of its kind and locks the rows that it reads to change (FOR UPDATE); DB_WRITE_ALL
 * is alone, so that what it has read stays true. With SQLite both are alone. */
enum db_right { DB_WRITE_ALL, DB_WRITE_ROWS };
/* Takes the right to write at once, so that a transaction never fails half-way for want of it. Begin and
 * end reset every statement of the connection, which ends their rows. */
int db_begin(struct db *d, enum db_right right, const char *doing, struct error *e) FALLIBLE;
int db_commit(struct db *d, const char *doing, struct error *e) FALLIBLE; /* a failure rolls back */
void db_rollback(struct db *d); /* nothing when no transaction is open */

/* ---- Statements ---- */

/* The statement of this SQL, reset; each parameter must be bound anew before the first step. sql is a
 * constant: the cache goes by its address. A statement that the disk failed to prepare is reported by db_step. */
struct stmt *db_stmt(struct db *d, const char *sql);
/* Binds from a format, one letter a parameter: i int64_t (nothing narrower: cast), n int (an enum,
 * a bool), d double, s const char * (NULL: null), t struct str (text), b struct str (bytes), B the
 * same, null when empty. Bytes and texts are borrowed until the statement has run. */
void db_bind(struct stmt *q, const char *format, ...);
/* The same from parameter `first` on; db_bind begins at 1. */
void db_bind_from(struct stmt *q, int first, const char *format, ...);
/* 1: a row; 0: done; -1: failed. */
int db_step(struct stmt *q, const char *doing, struct error *e) FALLIBLE;
/* Runs a statement that gives no rows; the number of changed rows, or -1. */
int db_run(struct stmt *q, const char *doing, struct error *e) FALLIBLE;
/* Ends the statement's row before its end, so that nothing waits for its reader. */
void db_reset(struct stmt *q);
void db_reset_all(struct db *d);

/* Columns of the row; a null is empty or 0. */
int64_t db_int(struct stmt *q, int column);
double db_double(struct stmt *q, int column);
struct str db_bytes(struct stmt *q, int column);                 /* until the next step or reset */
struct str db_text(struct stmt *q, int column, struct arena *a); /* a copy in the arena */
void db_text_to(struct stmt *q, int column, char *out, size_t bytes); /* cut to bytes - 1 */

/* SQL of one or more statements without results, not cached. */
int db_exec(struct db *d, const char *sql, const char *doing, struct error *e) FALLIBLE;

/* ---- Versions ---- */

/* The numbered changes that make the tables. Each is a file db/migrations/KIND/NNNN_name.sql, which
 * cmake/migrations.cmake embeds; a released one is never edited. The database remembers how many it had.
 * They are written for SQLite; db_postgres.c translates them. */
struct db_schema {
    const char *const *change;
    int version; /* how many changes there are */
};
extern const struct db_schema db_schema_store, db_schema_spool;

int db_version(struct db *d, int *out, struct error *e) FALLIBLE;
/* The oldest version of a program that may work with these tables. A change whose first line is "-- breaking"
 * raises it to its number; all others must leave what older programs read and write as it is, so that programs of
 * two versions work side by side on PostgreSQL. With SQLite it is the version. */
int db_compatible(struct db *d, int *out, struct error *e) FALLIBLE;
/* Makes the changes that the database lacks, all in one transaction with their number: a crash leaves the
 * old version or the new one, and of two processes one makes them. */
int db_migrate(struct db *d, const struct db_schema *schema, struct error *e) FALLIBLE;

#endif
