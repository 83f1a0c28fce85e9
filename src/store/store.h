/* store.h -- the service's state folder: one database, and the bytes of objects as files.
 *
 * Why: everything that must survive a crash is in one place with one way to commit, so that a job's
 * end, its output object and the event that reports it become true together (I1, I3, I4).
 *
 * Shape:   DIR/state.db (the numbered files in store/db/migrations/store/ make its tables), DIR/blobs/ab/ID (immutable files, blob.h), DIR/uploads/ID
 *          (unfinished ones), DIR/jobs/ID/ (spools and outputs of jobs, engine/runner.h).
 *          The database knows every blob that counts; others are swept (blob_sweep).
 * Errors:  RESOURCE_EXHAUSTED: the disk is full; FAILED_PRECONDITION: another server runs on this
 *          folder, or it is of a newer version; DATA_LOSS: damaged; else as each call says.
 * Threads: all calls from any thread at once. One connection writes, under a lock; readers have
 *          connections of their own.
 * Owns:    records are read into the caller's arena.
 */
#ifndef TRANCHE_STORE_STORE_H
#define TRANCHE_STORE_STORE_H

#include <stdint.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"

struct store;
/* exclusive: takes the server's lock on the folder. Without it (the keys and backup commands, beside a
 * running server) only the database is used. Makes dir when it is absent. */
struct store *store_open(const char *dir, bool exclusive, struct clock *clock, struct error *e);
#define STORE_CACHE_BYTES 10737418240 /* 10 GiB */
#define STORE_CONNECTIONS 16
/* The same of a store that several processes share; database and bucket come together or not at all. */
struct store_place {
    const char *dir;      /* of this process alone: its lock, spools, copies of blobs */
    const char *database; /* "postgres://..."; NULL: DIR/state.db */
    uint32_t connections; /* to PostgreSQL, at most; 0: STORE_CONNECTIONS */
    uint64_t cache_bytes; /* for copies of blobs in dir; 0: STORE_CACHE_BYTES */
    bool migrates;        /* it fills the database, which others may not use before it has ended */
    const char *bucket;   /* "s3://NAME/PREFIX" and so on (bucket/bucket.h); NULL: DIR/blobs */
};
struct store *store_open_at(const struct store_place *place, bool exclusive, struct clock *clock,
                            struct error *e);
bool store_is_shared(const struct store *s);
/* For calls that only read. An older database stays as it is: dir must be there. */
struct store *store_open_to_look(const char *dir, struct clock *clock, struct error *e);
void store_close(struct store *s); /* accepts NULL */
const char *store_dir(const struct store *s);
/* Does the text name a path in the folder? */
bool store_is_named(const struct store *s, struct str text);
struct clock *store_clock(const struct store *s);

/* HMAC-SHA256 of text under a secret of this folder, 32 random bytes that are made at the name's first
 * use. For signing access tokens and so on. */
#define STORE_MAC_BYTES 32
int store_mac(struct store *s, const char *name, struct str text,
              unsigned char out[STORE_MAC_BYTES], struct error *e) FALLIBLE;

#endif
