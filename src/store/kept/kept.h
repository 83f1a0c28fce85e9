/* kept.h -- the answers of finished runs, found by what was asked: how an answer is paid once.
 *
 * Why: a rerun, an input that grew, and a job of the same requests should cost nothing twice. The spool
 * of a run has its answers already. It stays as it is, and at its end the run writes beside it only an
 * index of keys: no answer is written twice.
 *
 * Key:     a digest of the request in one spelling (request_identity), of its ordinal among the identical
 *          lines unless it is deterministic, and of the model's identity. The callers make it
 *          (engine/lines/line_key.h); here it is 16 bytes. Errors have none.
 * Shape:   FOLDER/ID.db    a finished spool, linked, not copied; never changed
 *          FOLDER/ID.keys  a head, the entries sorted by key, and a few words about the run
 *          The .keys makes the .db known and is written last, whole (synced, then renamed). All files are
 *          immutable, so readers need no locks: a reader maps the .keys and links the .db before it uses
 *          it (store/spool/origins.h), and a removed one is an answer that is asked again.
 * Crash:   before the rename the run is not finished and all is still in its folder; after it all is
 *          kept. Files without their other half are removed when they are KEPT_ORPHAN_S old.
 * Modes:   0700 and 0600.
 * Limits:  kept_prune: answers are removed KEPT_DAYS_MAX days after their run, the oldest runs earlier when
 *          all together are over a size. At most KEPT_RUNS_MAX runs are looked at, the newest.
 * Memory:  the indexes are mapped; sorting works in the mapped file.
 * Figures: 200,000 keys: sorted and written in 0.02 s of CPU (inserted into SQLite: 0.34 s); one look-up in
 *          an index of as many: 0.13 us (SQLite: 2.7 us). 2 cores, others computing, 2026-11-30.
 * Errors:  of the file system. Nothing depends on this but money: callers warn and go on.
 * Threads: a writer and a reader have one owner each; any number of processes share the folder.
 */
#ifndef TRANCHE_STORE_KEPT_KEPT_H
#define TRANCHE_STORE_KEPT_KEPT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "format/usage.h"

#define KEPT_DAYS_MAX 30
#define KEPT_BYTES_DEFAULT 2147483648 /* 2 GiB */
#define KEPT_RUNS_MAX 1000
#define KEPT_ORPHAN_S 3600
#define KEPT_ID_BYTES 17

/* One answer: its key, and where it is. Part of the file: never change it without the version. */
struct kept_entry {
    uint64_t key[2];
    uint64_t index;      /* of its row in the .db */
    int64_t answered_us; /* since 1970 */
    uint32_t tokens;     /* prompt and generated */
    uint32_t shape;      /* enum answer_shape */
};

/* ---- Keeping ---- */

struct kept_writer;
/* Makes the folder. */
struct kept_writer *kept_begin(const char *folder, struct error *e);
int kept_add(struct kept_writer *w, const struct kept_entry *entry, struct error *e) FALLIBLE;
uint64_t kept_count(const struct kept_writer *w);
/* Links the spool, which nobody changes any more, and makes its answers known. model: the digest of what
 * answered; about: JSON for people, at most KEPT_ABOUT_BYTES. Without entries nothing is kept. */
#define KEPT_ABOUT_BYTES 4096
int kept_finish(struct kept_writer *w, const char *spool_path, const uint64_t model[2],
                int64_t now_us, struct str about, struct error *e) FALLIBLE;
void kept_writer_free(struct kept_writer *w); /* accepts NULL */

/* ---- Finding ---- */

struct kept_file; /* of one run */
struct kept_answer {
    struct kept_entry entry;
    struct kept_file *file;
};
struct kept;
/* The answers of this model that are not older than oldest_us; NULL and no error when there are none. */
struct kept *kept_open(const char *folder, const uint64_t model[2], int64_t oldest_us,
                       struct error *e);
void kept_close(struct kept *k); /* accepts NULL */
/* The newest answer with this key. */
bool kept_find(struct kept *k, const uint64_t key[2], struct kept_answer *out);
const char *kept_path(const struct kept_file *f); /* of the .db */
/* Its .db is gone or cannot be read: it is found no more. */
void kept_drop(struct kept_file *f);

/* ---- Looking and pruning ---- */

struct kept_run {
    char id[KEPT_ID_BYTES];
    uint64_t answers, bytes; /* bytes: of both files on the disk */
    int64_t finished_us;
    struct str about; /* JSON, in the arena */
};
/* All runs that are kept, the newest first. */
int kept_list(const char *folder, struct arena *a, struct kept_run **out, uint32_t *count,
              struct error *e) FALLIBLE;
/* Removes runs that finished before oldest_us, then the oldest until all take bytes_max at most.
 * removed: how many; or NULL. */
int kept_prune(const char *folder, uint64_t bytes_max, int64_t oldest_us, int64_t now_us,
               uint32_t *removed, struct error *e) FALLIBLE;

#endif
