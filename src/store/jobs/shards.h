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
 * Budget:  a lease reserves what its lines may cost at most. The lease says how much that is; when it is less than the
 *          shard may cost, the holder goes on until it is spent, and gives the shard back. A job of which nothing is left and nothing reserved is
 *          asked to pause (reason "budget").
 * Halt:    a job that passes its error limit or has spent its budget is asked to pause like by a client, with the reason in
 *          its row; its holders see SHARDS_HALTED, give back, and the last one settles it.
 * Locks:   a job's row, then shards in the order of their numbers; only changes of a job's state take the right to write
 *          of the whole store (store_write), all others lock their rows (store_write_rows).
 * Threads: all.
 */
#ifndef TRANCHE_STORE_JOBS_SHARDS_H
#define TRANCHE_STORE_JOBS_SHARDS_H

#include "store/jobs/jobs.h"

/* The place of a shard, as the check has cut it. */
struct shard_cut {
    uint32_t input;        /* position in the job's inputs */
    uint64_t begin, end;   /* bytes of that input */
    uint64_t line_no;      /* of the first line there, as an editor counts */
    uint64_t first;        /* index of its first line in the job */
    uint32_t lines;        /* not empty */
    uint64_t text_bytes;   /* of prompts: for the upper cost */
    uint64_t output_max;   /* tokens that its lines may generate, where they say so */
    uint32_t output_unset; /* lines that do not */
    /* The upper cost of its lines; 0: unknown, then a lease reserves all that is left. */
    uint64_t cost_max_nano, tokens_max;
};
/* The shards of a PENDING job, under the fence of its check (job_check_begin); replaces those of an earlier one. In
 * transactions of bounded size: only job_checked makes them count. */
int shards_add(struct store *s, const struct job *j, const struct shard_cut *cut, uint32_t count,
               struct error *e) FALLIBLE;
/* Behind shards_add: they begin with what another job with the same cut has done. A shard without failures is done, with the
 * same output; its lines count as duplicates, which cost nothing. For any other one, the answers are in its lease (taken).
 * NOT_FOUND: the other job has no shards. FAILED_PRECONDITION: it is cut otherwise, or not final. */
int shards_inherit(struct store *s, const struct job *j, int64_t from, struct error *e) FALLIBLE;
/* Answers from before anything was cut, those of one shard: its first checkpoint. By the check, behind shards_add. */
struct shard_given {
    uint64_t number;
    struct blob answers;
    struct counters counters; /* of them */
    int64_t
        taken; /* the job whose answers they are, when it is another one: nothing is counted yet */
};
int shards_give(struct store *s, const struct job *j, const struct shard_given *g,
                struct error *e) FALLIBLE;

struct shard_lease {
    int64_t job;
    uint64_t number; /* from 0 */
    int64_t fence;
    struct shard_cut cut;
    int64_t answers;          /* blob of the last checkpoint; 0: none */
    int64_t taken;            /* not 0: the answers are this job's, and are not counted yet */
    struct counters counters; /* of the checkpoint */
    /* Reserved for it: what it may spend from now on. UINT64_MAX: the job has no such budget. */
    uint64_t budget_nano, budget_tokens;
};
/* Why there were fewer than wanted. */
enum shards_left {
    SHARDS_SOME,  /* there may be more */
    SHARDS_TAKEN, /* all that are open are leased */
    SHARDS_NONE,  /* all are done: the job is to be ended */
    SHARDS_BUDGET, /* nothing is left of the budget, and nobody holds a part of it: the job is asked to pause */
    SHARDS_HALTED, /* the job is not QUEUED or RUNNING, or is asked to stop: what is held is to be given back */
};
/* A process's wish for shards of a job. */
struct shards_want {
    int64_t job;
    uint32_t most; /* shards, the lowest numbers first */
    /* To write that their lines were not run: of a job that is CANCELLING, or expired by the caller's judgement, then in any
     * state that is not final. They reserve nothing. */
    bool closing;
    /* For turns: what projects share, by a name that all processes have for it, and the weight of the job's project (0 stands
     * for 1). NULL: it is not shared. */
    const char *model;
    double weight;
};
struct shards_got {
    struct shard_lease *item; /* the caller's room for `most` */
    uint32_t count;
    enum shards_left left; /* also SHARDS_TAKEN when others hold what is left of the budget */
};
/* A QUEUED job becomes RUNNING, unless it is to be closed. */
int shards_lease(struct store *s, const struct shards_want *want, struct shards_got *out,
                 struct error *e) FALLIBLE;

enum shard_step {
    SHARD_CHECKPOINT, /* goes on */
    SHARD_RELEASE,    /* given back, with its checkpoint */
    SHARD_DONE,
};
struct shard_record {
    enum shard_step step;
    /* Those of the whole shard so far. They count with a new checkpoint or an output only (I2). */
    struct counters counters;
    const struct blob
        *answers; /* new checkpoint; NULL: the last one stays, but none does with SHARD_DONE */
    const struct blob *output; /* with SHARD_DONE: its rows */
    const char *
        pause; /* with SHARD_RELEASE: the job is to pause, "budget" (when nothing is left) or "errors"; or NULL */
};
/* Changes the lease's checkpoint, counters and budget to the new ones. The job's error limit is looked at in the same
 * transaction. *left: SHARDS_NONE after the last shard, SHARDS_HALTED when the job is to stop. After an error other than ABORTED
 * the same record can be made again, until it is known; or shard_forget. */
int shard_record(struct store *s, struct shard_lease *lease, const struct shard_record *r,
                 enum shards_left *left, struct error *e) FALLIBLE;
/* The holder ends a lease without a record, because that fails: the next fleet_renew gives it back with its last checkpoint. */
void shard_forget(struct store *s, const struct shard_lease *lease);

/* A job that is RUNNING and of which nothing is leased any more becomes PAUSED when that was asked for, else QUEUED. Called
 * after the last release, and for jobs whose processes died. True in *moved when it did; a job all of whose shards are done
 * stays. */
int shards_settle(struct store *s, int64_t job, bool *moved, struct error *e) FALLIBLE;

/* The output of a job all of whose shards are done: a blob made of theirs (blob.h, segments). One shard's is its own blob,
 * with its hashes. To be named by job_finish. */
int shards_join(struct store *s, int64_t job, struct blob *out, struct error *e) FALLIBLE;
/* The rows so far: the outputs of the shards that are done, up to the first open one, in order. */
int shards_done(struct store *s, struct arena *a, int64_t job, struct blob **out, uint32_t *count,
                struct error *e) FALLIBLE;
/* All that is recorded of a job's shards, in their order: the output of one that is done, else its last checkpoint. */
struct shard_rows {
    uint64_t number;
    struct shard_cut cut;
    struct blob output; /* id 0: it is open */
    int64_t answers;    /* blob of the checkpoint */
};
int shards_recorded(struct store *s, struct arena *a, int64_t job, struct shard_rows **out,
                    uint32_t *count, struct error *e) FALLIBLE;
/* The start of a project's next lease at a model, for those that had one: the earliest is next, and a project without a row
 * comes before all (shards_fair.c). */
struct shards_turn {
    struct str model, project;
    double start;
};
int shards_turns(struct store *s, struct arena *a, struct shards_turn **out, uint32_t *count,
                 struct error *e) FALLIBLE;

/* Each job that is not final, or that a client removed, at a glance, the oldest first: what other processes changed is seen
 * by this. */
struct job_glance {
    int64_t id;
    enum job_state state;
    enum job_asked asked;
    int64_t priority;
    int64_t fence, update_us, ran_us, stretch_us; /* as in struct job */
    struct counters counters;
    uint64_t shards; /* 0: it is not cut into shards */
    uint64_t open;   /* shards that nobody holds */
    uint64_t leased; /* shards that a process holds */
};
int jobs_glance(struct store *s, struct arena *a, struct job_glance **out, uint32_t *count,
                struct error *e) FALLIBLE;

#endif
