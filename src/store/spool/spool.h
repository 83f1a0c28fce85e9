/* spool.h -- the durable record of a run: which lines are answered, and how.
 *
 * Why: a line's answer is durable here before anything counts it (I2), and each line has at most one
 * (I1), so that a run killed at any instant goes on from exactly what is here. Output files are
 * renderings of the input and this; they can be made again at any time.
 *
 * Shape:   one SQLite file a run (WAL, synchronous=FULL), a lock file beside it. Rows are put into an
 *          open group and become durable, all or none, with spool_commit.
 * Units:   index: the line's index in the job, from 0. Times in microseconds since 1970.
 * Errors:  RESOURCE_EXHAUSTED: the disk is full; the group was rolled back and can be put again
 *          after space is freed. FAILED_PRECONDITION: another process runs this job, or the file
 *          is from another version. DATA_LOSS: the file is damaged.
 * Threads: one owner.
 */
#ifndef TRANCHE_STORE_SPOOL_SPOOL_H
#define TRANCHE_STORE_SPOOL_SPOOL_H

#include <stdint.h>

#include "base/error.h"
#include "base/str.h"
#include "format/usage.h"

#define SPOOL_DIGEST_BYTES 16

struct spool_row {
    uint64_t index;
    enum outcome outcome;
    enum error_code code; /* of a failure, for the summary; OK otherwise */
    bool duplicate;       /* a copy of another line's answer */
    struct str status;    /* as row.h writes it; "" for an answer */
    struct str response;  /* JSON, or empty */
    int64_t processed_us;
    struct usage usage;
    uint64_t cost_nano, cost_online_nano;
    enum answer_shape shape; /* of an answer */
    uint32_t forced_tokens;  /* of it; counted when it is put, not kept */
    /* SPOOL_DIGEST_BYTES of a deterministic request with an answer, else empty. */
    struct str digest;
    /* An answer that a finished run has: its file, by spool_origin, and its row there; the response is
     * empty when it is put. 0: the answer is in this row. */
    uint32_t origin;
    uint64_t origin_index;
    bool taken;             /* from an output file, which anybody may have changed */
    int64_t answered_us;    /* of a row that was read with an origin: when the answer was made */
    uint64_t reused_tokens; /* with an origin: counted when it is put, not kept */
};

struct spool;
/* Opens or makes dir/spool.db and takes dir/lock. dir must exist. */
struct spool *spool_open(const char *dir, struct error *e);
/* The same of a run whose answers become durable elsewhere: nothing is synced, and a crash may damage the file. It can be
 * copied while no group is open: PATH is then all that is committed. */
struct spool *spool_open_scratch(const char *dir, const char **path, struct error *e);
/* Opens it for reading alone, while another process or thread writes it or none does. Its counters are those
 * of this instant. NOT_FOUND when there is none. */
struct spool *spool_peek(const char *dir, struct error *e);
void spool_close(struct spool *s); /* rolls an open group back; accepts NULL */
/* Ends all reading and writing but holds the lock: PATH is then a file that nobody changes any more.
 * The path is the spool's. Only spool_close may follow. */
int spool_seal(struct spool *s, const char **path, struct error *e) FALLIBLE;

/* The number of a finished run's spool, which stays readable while this one is there, whoever removes the
 * name path: it is linked into DIR/from. 0 and *id; NOT_FOUND when it is gone. */
int spool_origin(struct spool *s, const char *path, uint32_t *id, struct error *e) FALLIBLE;
int spool_put(struct spool *s, const struct spool_row *row, struct error *e) FALLIBLE;
/* Counts an answer that was refused and has no row, with what it cost. */
int spool_reject(struct spool *s, const struct usage *u, uint64_t cost_nano,
                 struct error *e) FALLIBLE;
int spool_commit(struct spool *s, struct error *e) FALLIBLE; /* durable when it returns 0 */

/* 1 and *row, or 0 when the line has none; the open group's rows are seen too. The strs are valid
 * until the next call on s. */
int spool_get(struct spool *s, uint64_t index, struct spool_row *row, struct error *e) FALLIBLE;
/* Rows that are read between these two are of one instant, and cheaper: without them each row locks the file, as others may
 * write it. No group is open. */
int spool_look_begin(struct spool *s, struct error *e) FALLIBLE;
void spool_look_end(struct spool *s);
/* An answered line with this digest: 1 and *row, or 0. */
int spool_find(struct spool *s, struct str digest, struct spool_row *row, struct error *e) FALLIBLE;
/* done[i] is set for each i < count when line first + i has a row. */
int spool_done(struct spool *s, uint64_t first, uint32_t count, bool *done,
               struct error *e) FALLIBLE;
/* Sums over the committed rows; total is left alone. */
void spool_counters(const struct spool *s, struct counters *out);
/* The same with the rows of the open group. */
void spool_counters_open(const struct spool *s, struct counters *out);

/* Failures by code, the most frequent first: up to cap of them. */
struct spool_failures {
    enum error_code code;
    uint64_t count;
};
int spool_failures(struct spool *s, struct spool_failures *out, uint32_t cap, uint32_t *count,
                   struct error *e) FALLIBLE;

/* Calls fn for each failed row, by code and then by index; its -1 ends the walk, and it calls nothing of s. */
int spool_each_failed(struct spool *s,
                      int (*fn)(void *arg, const struct spool_row *row, struct error *e), void *arg,
                      struct error *e) FALLIBLE;

/* Puts the answers that another run's folder holds, in groups of SPOOL_COPY_GROUP that are committed,
 * where this one has no row: again after a kill, it goes on. They are copies: they count as duplicates,
 * whose tokens and price were the other run's. The other spool is only read; FAILED_PRECONDITION when
 * a process writes it, NOT_FOUND when there is none. copied: rows put. No group may be open. */
#define SPOOL_COPY_GROUP 4096
int spool_copy_answers(struct spool *to, const char *from_dir, uint64_t *copied,
                       struct error *e) FALLIBLE;

/* Puts the rows [first, first + lines) of another spool, as they are, as those from 0 on, in groups that are committed.
 * Answers of other runs' files are then here themselves, and count as copies. `to` has none of them; no group may be open. */
int spool_slice(struct spool *to, struct spool *from, uint64_t first, uint64_t lines,
                struct error *e) FALLIBLE;
/* Adds those of c's counters that no row has (refused answers, forced tokens) and `less` has not yet. */
int spool_carry(struct spool *to, const struct counters *c, const struct counters *less,
                struct error *e) FALLIBLE;

/* Small facts about the run, durable at once. */
#define SPOOL_FACT_RUN "run" /* of `tranche run`: JSON with output, lines, limit, inputs */
#define SPOOL_FACT_FINDINGS                                                                        \
    "findings" /* the same: what is wrong with its first bad lines, for people */
int spool_fact_set(struct spool *s, const char *name, struct str value, struct error *e) FALLIBLE;
int spool_fact_get(struct spool *s, const char *name, struct buf *value,
                   struct error *e) FALLIBLE; /* 1, or 0 when unset */

#endif
