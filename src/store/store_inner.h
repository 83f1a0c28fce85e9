/* store_inner.h -- what the files of the store share: connections, transactions, statements.
 *
 * Why: one connection writes under one lock, readers take connections of their own from a pool; each
 * file of the store writes its own SQL and nothing else of SQLite's ceremony. Nothing outside
 * src/store includes this.
 *
 * Use:     struct db *d = store_read(s, e); ... store_read_done(s, d);
 *          struct db *d = store_write(s, e); ... rc = store_commit(s, d, rc, e);
 *          store_commit commits when rc is 0 and rolls back otherwise; -1 in both cases of failure.
 *          Durable when it has returned 0. Waits for the lock are short: no call that can block is
 *          made inside a transaction. A reader has no transaction: each statement sees what was
 *          committed when it took its first step, and must not be left half-way while others run.
 * Threads: all; a struct db has one owner between its two calls.
 */
#ifndef TRANCHE_STORE_STORE_INNER_H
#define TRANCHE_STORE_STORE_INNER_H

#include <pthread.h>
#include <sqlite3.h>
#include <stdbool.h>

#include "store/jobs/jobs.h"
#include "store/objects/objects.h"
#include "store/store.h"

struct db;    /* a connection and its prepared statements */
struct blobs; /* blob_inner.h */

struct store {
    char *dir;
    struct clock *clock;
    int lock; /* descriptor of DIR/lock; -1: without it */

    pthread_mutex_t write_lock; /* guards writer */
    struct db *writer;

    pthread_mutex_t read_lock; /* guards the readers that nobody uses */
    struct db *idle;
    uint32_t idle_count;

    struct blobs *blobs;

    pthread_mutex_t changed_lock; /* guards which function it is, not its calls */
    void (*changed)(void *arg, int64_t job);
    void *changed_arg;
};

struct db *store_read(struct store *s, struct error *e);
void store_read_done(struct store *s, struct db *d);
struct db *store_write(struct store *s, struct error *e);
int store_commit(struct store *s, struct db *d, int rc, struct error *e) FALLIBLE;

/* A new connection, and its end. The database of a store is opened by store_open. */
struct db *db_open(const char *path, struct error *e);
void db_close(struct db *d); /* accepts NULL */
/* For what has no statement: the backup's copy. */
sqlite3 *db_handle(struct db *d);
/* SQL text of one or more statements without results. */
int db_exec(struct db *d, const char *sql, const char *doing, struct error *e) FALLIBLE;

/* The statement of this SQL, reset, nothing bound. sql is a constant: it is cached by its address. It
 * dies when it does not compile: a programmer's error. Where the disk failed it is NULL, which
 * db_bind accepts and db_step reports, so that callers need not look. */
sqlite3_stmt *db_stmt(struct db *d, const char *sql);
/* Binds from a format, one letter a parameter: i int64_t (nothing narrower: cast), n int (an enum,
 * a bool), d double, s const char * (NULL: null), t struct str (text), b struct str (blob), z nothing
 * (null). Texts are borrowed until the statement has run. */
void db_bind(sqlite3_stmt *q, const char *format, ...);
/* The same from parameter `first` on; db_bind begins at 1. */
void db_bind_from(sqlite3_stmt *q, int first, const char *format, ...);
/* 1: a row; 0: done; -1: failed, as an error about `doing` ("cannot read the job"). A text or number
 * that must be unique and is not: ALREADY_EXISTS. */
int db_step(struct db *d, sqlite3_stmt *q, const char *doing, struct error *e) FALLIBLE;
/* Runs one that gives no rows; the number of changed rows, or -1. */
int db_run(struct db *d, sqlite3_stmt *q, const char *doing, struct error *e) FALLIBLE;
/* Columns, copied into the arena; a null is empty or 0. */
struct str db_text(sqlite3_stmt *q, int column, struct arena *a);
int64_t db_int(sqlite3_stmt *q, int column);
double db_double(sqlite3_stmt *q, int column);
void db_text_to(sqlite3_stmt *q, int column, char *out, size_t bytes); /* cut to bytes - 1 */

/* count letters of alphabet, each as likely as another and not to be guessed, and a NUL. */
int store_random_text(char *out, size_t count, const char *alphabet, struct error *e) FALLIBLE;
#define ALPHABET_36 "0123456789abcdefghijklmnopqrstuvwxyz"
#define ALPHABET_62 ALPHABET_36 "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

/* Inside a transaction of the caller: an object or a file as part of a job's end. */
int object_put_in(struct store *s, struct db *d, const struct object_new *in,
                  struct error *e) FALLIBLE;
int file_put_in(struct store *s, struct db *d, const struct file_new *in, struct error *e) FALLIBLE;

/* store_path: "DIR/" and the formatted rest, in a buffer of PATH_BYTES. */
#define PATH_BYTES 4096
void store_path(const struct store *s, char out[PATH_BYTES], const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
