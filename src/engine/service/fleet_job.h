/* fleet_job.h -- a job as one process of a fleet works on it: shards that it leases, one after the other in a few threads.
 *
 * Why: the machines of a fleet share a job's lines. While a slot opens its next shard or records the last one, the other
 * slots keep the model busy.
 *
 * Shape:   fleet_runner.c leases shards, hands them to its slots, and makes the end of a job whose shards are all done;
 *          fleet_shard.c answers one: the shard's bytes, ingest, spool, pipeline and output as of a small job, in a folder
 *          DIR/jobs/ID/NUMBER.FENCE that is only a scratch. Only a row that shard_record has taken counts.
 * Errors:  a shard's end says whose fault it was (enum shard_end); the job goes on, waits or fails by that.
 * Threads: the runner's, and one a slot.
 */
#ifndef TRANCHE_ENGINE_SERVICE_FLEET_JOB_H
#define TRANCHE_ENGINE_SERVICE_FLEET_JOB_H

#include "engine/service/service_inner.h"
#include "store/jobs/shards.h"

#define FLEET_SLOTS 3  /* shards of a job that a process answers at once */
#define FLEET_BATCH 4u /* shards that are leased at once */

struct fleet_job {
    /* Set before the slots begin. */
    struct running *self;
    struct service *service;
    struct service_settings set;
    struct arena arena;
    struct job job;
    const struct model *model; /* held; NULL: lines are only closed out */
    struct price price;
    struct job_input *pin; /* what it reads */
    uint32_t pin_count;
    uint32_t slots;
    double weight; /* of the job's project */

    pthread_mutex_t lock; /* guards everything below */
    pthread_cond_t changed;
    struct shard_lease next[FLEET_BATCH]; /* leased, and not in work yet */
    uint32_t next_count;
    enum shards_left left; /* as the store last said */
    bool over;             /* no slot takes another shard */
    uint32_t busy;         /* slots that have a shard */
    uint64_t done;         /* lines that ended here and are recorded */
    struct counters known; /* of the job: as it was read, and what was recorded here since */
    bool failed;           /* error says why */
    bool of_model;         /* and it is the model's or the input's fault, not the store's */
    struct error error;
};

/* Why no more is done of a job here; STOP_NONE: nothing stops it. */
static inline enum stop_reason fleet_stopped(const struct fleet_job *f)
{
    if (atomic_load(&f->self->lost))
        return STOP_LOST;
    return (enum stop_reason)atomic_load(&f->self->reason);
}

/* Its lines are not answered any more, but get rows that say why. */
static inline bool fleet_closing(const struct fleet_job *f)
{
    enum stop_reason why = fleet_stopped(f);

    return why == STOP_CANCEL || why == STOP_EXPIRE;
}

enum shard_end {
    SHARD_ENDED, /* it is done, or given back as the job is to stop, or its budget is spent: recorded */
    SHARD_LOST,         /* another process has it, or will: nothing was recorded */
    SHARD_STORE_FAILED, /* the database, the bucket or the disk: it is tried again later */
    SHARD_MODEL_FAILED  /* what may get better, or not: as the error's code says */
};
/* Answers a leased shard to its end, or to where the job stops. left: what the store said of the others. */
enum shard_end fleet_shard_run(struct fleet_job *f, const struct shard_lease *lease,
                               enum shards_left *left, struct error *e);

/* A PENDING job that was just cut. */
struct fleet_cut {
    const struct job *job;
    const struct shard_cut *cut;
    uint32_t count;
};
/* Its shards get the answers that job `from` (it, or the one that it retries) had in a state folder: 1, or 0 when there are
 * none. */
int fleet_answers_give(struct service *s, const struct fleet_cut *c, int64_t from,
                       struct error *e) FALLIBLE;
/* The bytes of a shard of this input, as an input of their own. */
int fleet_open_cut(struct store *store, const struct job_input *pin, const struct shard_cut *c,
                   struct input *out, struct error *e) FALLIBLE;
/* A shard's answers as FOLDER/spool.db. */
int fleet_fetch_answers(struct store *store, int64_t answers, const char *folder,
                        struct error *e) FALLIBLE;
/* The bytes of the recorded shard that has a line, and the index of its first line: 1; 0: no shard has. */
int fleet_open_around(struct service *s, int64_t id, uint64_t index, struct input *in,
                      uint64_t *first, struct error *e) FALLIBLE;

#endif
