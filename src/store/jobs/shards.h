/* shards.h -- a job cut into shards, which the processes of a fleet lease, answer and record.
 *
 * Why: a job is as fast as all machines together, and a machine that dies costs only what it had in flight.
 *
 * Shape:   shards_add (by the check) -> shards_lease -> shard_record (progress) ... -> shard_record (done), or
 *          shard_record (given back). The last one that is done makes the job ready for its end: shards_join.
 *          A shard's rows of the output and its answers are blobs. A checkpoint is the blob of the answers so far: the next
 *          process that leases the shard begins with it.
 * Rule:    each write names the fence of the lease and is refused (ABORTED) when the row has another one, or another process
 *          (I4). Counters of shard and job change in the transaction that names the checkpoint (I2, I6). Done twice
 *          under the same fence with the same blobs is done once: an answer of the database may be lost.
 * Budget:  a lease reserves what its lines may cost at most. What is left for it is in the lease; when that is less than the
 *          shard's, it goes on until it is spent.
 * Locks:   a job's row, then shards in the order of their numbers; only changes of a job's state take the right to write
 *          of the whole store (store_write), all others lock their rows (store_write_rows).
 * Threads: all.
 */
#ifndef TRANCHE_STORE_JOBS_SHARDS_H
#define TRANCHE_STORE_JOBS_SHARDS_H

#include "store/jobs/jobs.h"

/* Where a shard lies, as the check has cut it. */
struct shard_cut {
    uint32_t input;        /* position in the job's inputs */
    uint64_t begin, end;   /* bytes of that input */
    uint64_t line_no;      /* of the first line there, as an editor counts */
    uint64_t first;        /* index of its first line in the job */
    uint32_t lines;        /* not empty */
    uint64_t text_bytes;   /* of prompts: for the upper cost */
    uint64_t output_max;   /* tokens that its lines may generate, where they say so */
    uint32_t output_unset; /* lines that do not */
};
/* The shards of a PENDING job; replaces those of an earlier check. In transactions of bounded size: only job_checked makes
 * them count. */
int shards_add(struct store *s, int64_t job, const struct shard_cut *cut, uint32_t count,
               struct error *e) FALLIBLE;

struct shard_lease {
    int64_t job;
    uint64_t number; /* from 0 */
    int64_t fence;
    struct shard_cut cut;
    int64_t answers;                     /* blob of the last checkpoint; 0: none */
    struct counters counters;            /* of the checkpoint */
    uint64_t budget_nano, budget_tokens; /* reserved for it; 0: the job has no budget */
};
/* Why there were fewer than wanted. */
enum shards_left {
    SHARDS_SOME,   /* there may be more */
    SHARDS_TAKEN,  /* all that are open are leased */
    SHARDS_NONE,   /* all are done: the job is to be ended */
    SHARDS_BUDGET, /* nothing is left of the budget, or nothing while others hold the rest */
    SHARDS_HALTED, /* the job is not QUEUED or RUNNING, or is to stop */
};
/* Leases up to `most` shards, in the order of their numbers. A QUEUED job becomes RUNNING. */
int shards_lease(struct store *s, int64_t job, uint32_t most, struct shard_lease *out,
                 uint32_t *count, enum shards_left *left, struct error *e) FALLIBLE;

enum shard_step {
    SHARD_CHECKPOINT, /* goes on */
    SHARD_RELEASE,    /* given back, with its checkpoint */
    SHARD_DONE,
};
struct shard_record {
    enum shard_step step;
    struct counters counters;   /* of the whole shard so far */
    const struct blob *answers; /* new checkpoint; NULL: the last one stays */
    const struct blob *output;  /* with SHARD_DONE: its rows */
    const char *pause; /* with SHARD_RELEASE: the job is to pause, "budget" or "errors"; or NULL */
};
/* Changes the lease's checkpoint, counters and budget to the new ones. job_rates: the job's error limit is looked at in the same
 * transaction, and a job that passes it is paused. *left: SHARDS_NONE after the last one. */
int shard_record(struct store *s, struct shard_lease *lease, const struct shard_record *r,
                 enum shards_left *left, struct error *e) FALLIBLE;

/* A job that is RUNNING or CANCELLING and of which nothing is leased any more comes to its next state: PAUSED or QUEUED when
 * that was asked for. Called after the last release, and for jobs whose process died. True in *moved when it did. */
int shards_settle(struct store *s, int64_t job, bool *moved, struct error *e) FALLIBLE;

/* Leases open shards of a job that is CANCELLING or expired, to write that their lines were not run. */
int shards_lease_to_close(struct store *s, int64_t job, uint32_t most, struct shard_lease *out,
                          uint32_t *count, enum shards_left *left, struct error *e) FALLIBLE;

/* The output of a job all of whose shards are done: a blob made of theirs (blob.h, segments). One shard's is its own blob,
 * with its hashes. To be named by job_finish. */
int shards_join(struct store *s, int64_t job, struct blob *out, struct error *e) FALLIBLE;
/* The rows so far: the outputs of the shards that are done, up to the first open one (all: also behind it), in order. */
int shards_done(struct store *s, struct arena *a, int64_t job, bool all, struct blob **out,
                uint32_t *count, struct error *e) FALLIBLE;
/* The shards of a job begin with the answers of another one's with the same cut: what failed or was not run is open. */
int shards_inherit(struct store *s, int64_t job, int64_t from, struct error *e) FALLIBLE;

/* Each open job at a glance, with its shards that nobody holds: what other processes changed is seen by this. */
struct job_glance {
    int64_t id;
    enum job_state state;
    enum job_asked asked;
    int64_t priority;
    uint64_t open;   /* shards that nobody holds */
    uint64_t leased; /* shards that a process holds */
};
int jobs_glance(struct store *s, struct arena *a, struct job_glance **out, uint32_t *count,
                struct error *e) FALLIBLE;

#endif
