/* open_jobs.h -- every job that is not final, as this process knows it.
 *
 * Why: the scheduler decides several times a second over all of them, and must not read the store each time.
 *
 * Shape:   an entry for each job, in the order of ids. An entry is busy while a checker or a runner has its job; stale
 *          entries are read again before anybody gets them. A change by this process makes an entry stale at once; in a
 *          fleet, a glance at all open jobs a second shows what other processes changed.
 * Locks:   struct service.lock guards the table and what hangs on it.
 * Threads: open_jobs_glance and open_jobs_read are the scheduler's; the others are for any thread.
 */
#ifndef TRANCHE_ENGINE_SERVICE_OPEN_JOBS_H
#define TRANCHE_ENGINE_SERVICE_OPEN_JOBS_H

#include "engine/service/live.h"
#include "predict/fake/script.h"
#include "predict/model.h"
#include "store/jobs/jobs.h"

struct service;
struct running;

/* A job that is not final, as the scheduler knows it. */
struct entry {
    int64_t id;
    enum job_state state;
    enum job_asked asked;
    char project[PROJECT_BYTES];
    const struct model *model; /* NULL: its name is not known any more */
    enum script_fate stays;    /* a test's: it stays PENDING or QUEUED */
    int64_t priority;
    int64_t create_us, queue_us, update_us, ran_us, stretch_us;
    bool has_done;           /* some lines have ended */
    bool busy;               /* a checker or a runner has it */
    bool stale;              /* changed since it was read: nobody takes it until it is read again */
    uint32_t failures;       /* of its check or its model's session, in a row */
    uint64_t not_before_ns;  /* monotonic; after a full disk or a broken session */
    struct running *running; /* or NULL */
    /* In a fleet, as of the last glance: */
    uint64_t open, leased; /* shards that nobody holds, and that a process holds */
    double turn; /* where its project's next lease of the model starts: the earliest is next */
    struct live *live; /* of a job that runs anywhere; else NULL */
};

/* Reads every open job into the table; before the threads begin. */
int open_jobs_load(struct service *s, struct error *e) FALLIBLE;
struct entry *open_job_find(struct service *s, int64_t id); /* under lock; or NULL */
void open_job_stale(struct service *s, int64_t id);         /* under lock: it is read again, */
void open_job_dirty(struct service *s, int64_t id);         /* soon */
void open_jobs_all_dirty(struct service *s);                /* every known one is */
void open_jobs_look(struct service *s);   /* in a fleet: a glance is due at once */
void open_jobs_glance(struct service *s); /* in a fleet, when it is due */
void open_jobs_read(struct service *s);   /* what is stale */

#endif
