/* store_inner.h -- the opened folder as the rooms of the store see it: connections, transactions, paths.
 *
 * Why: one thread writes at a time, readers take connections of their own from a pool; each room writes
 * its own statements and none of the ceremony. Nothing outside src/store includes this.
 *
 * Use:     struct db *d = store_read(s, e); ... store_read_done(s, d);
 *          struct db *d = store_write(s, e); ... rc = store_commit(s, d, rc, e);
 *          store_commit commits when rc is 0 and rolls back otherwise; -1 in both cases of failure. UNAVAILABLE:
 *          it may have been committed, when PostgreSQL's answer was lost; the words say so.
 *          Durable when it has returned 0. Waits for the lock are short: no call that can block is
 *          made inside a transaction. A reader has no transaction: each statement sees what was
 *          committed when it took its first step, and must not be left half-way while others run.
 * Threads: all; a struct db has one owner between its two calls.
 */
#ifndef TRANCHE_STORE_STORE_INNER_H
#define TRANCHE_STORE_STORE_INNER_H

#include <pthread.h>
#include <stdbool.h>

#include "store/connections.h"
#include "store/db/db.h"
#include "store/store.h"

struct shared_bucket;
/* Rooms that keep something in memory. */
enum store_room { STORE_OBJECTS, STORE_FLEET, STORE_ROOM_COUNT };

struct store {
    char *dir;
    struct shared_bucket *bucket; /* keeps the blobs of a shared store; NULL: DIR/blobs does */
    uint64_t cache_bytes;         /* for copies of them; 0: STORE_CACHE_BYTES */
    struct clock *clock;
    int lock; /* descriptor of DIR/lock; -1: without it */

    char *database;                  /* path or URL */
    struct connections *connections; /* to read; with PostgreSQL also to write */
    struct db *writer;               /* SQLite's one connection to write; NULL: PostgreSQL */

    /* One thread of the process at a time has the right to write of the whole store: the others wait here, and
     * not each with a connection. */
    pthread_mutex_t write_lock; /* guards turn */
    pthread_cond_t turn_ended;
    struct turn {
        bool taken;
        struct db *db;
    } turn;

    pthread_mutex_t memory_lock; /* guards which memory it is, not its contents */
    struct {
        void *memory; /* store_memory() */
        void (*release)(void *memory);
    } room[STORE_ROOM_COUNT];

    pthread_mutex_t changed_lock; /* guards which function it is, not its calls */
    void (*changed)(void *arg, int64_t job);
    void *changed_arg;
};

struct db *store_read(struct store *s, struct error *e);
void store_read_done(struct store *s, struct db *d);
struct db *store_write(struct store *s, struct error *e);
/* The same without the right to write of the whole store, for transactions that lock their rows themselves (SELECT ... FOR
 * UPDATE), in this order: process, job, shard. They run beside one another and never beside one of store_write. With SQLite it
 * is store_write. */
struct db *store_write_rows(struct store *s, struct error *e);
int store_commit(struct store *s, struct db *d, int rc, struct error *e) FALLIBLE;
/* A connection of the caller's own to a database with the tables of a store, for db_close. */
struct db *store_connect(const char *path, struct error *e);

/* The row of `counter` that a database has while a migration into it has not ended. */
#define STORE_MIGRATION "migration"
/* Two databases in one bucket would overwrite each other's blobs: FAILED_PRECONDITION when it is another one's. */
int store_claim_bucket(struct store *s, struct error *e) FALLIBLE;
/* A number that was never given before under this name: max(least, last + step). In a transaction. */
int store_number(struct db *d, const char *name, int64_t least, int64_t step, int64_t *out,
                 struct error *e) FALLIBLE;

/* The one thing that a room keeps in memory for this store: make is called at the first use, release when the
 * store is closed. */
void *store_memory(struct store *s, enum store_room room, void *(*make)(void),
                   void (*release)(void *memory));

/* Wall time in microseconds: that of the database's clock with PostgreSQL and the system's clock. */
int64_t store_now(const struct store *s);
/* The same for leases: a test that moves the clock ends none. */
int64_t store_lease_now(const struct store *s);

/* store_path: "DIR/" and the formatted rest, in a buffer of PATH_BYTES. */
#define PATH_BYTES 4096
void store_path(const struct store *s, char out[PATH_BYTES], const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
