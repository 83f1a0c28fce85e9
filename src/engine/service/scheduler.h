/* scheduler.h -- the scheduler's thread: knows every job that is not final, and gives them out.
 *
 * Why: one thread decides what happens to a job next, so that no job is checked or run twice at once.
 *
 * Shape:   the table has an entry for each job that is not final, in the order of ids. An entry is busy
 *          while a checker or a runner has its job; stale entries are read again before anybody
 *          gets them. The pure rule of whose job is next is choice.h.
 * Locks:   struct service.lock guards the table and what hangs on it.
 * Threads: scheduler_run is the thread; the others are for any thread, two of them under the lock.
 */
#ifndef TRANCHE_ENGINE_SERVICE_SCHEDULER_H
#define TRANCHE_ENGINE_SERVICE_SCHEDULER_H

#include <pthread.h>
#include <stdatomic.h>

#include "engine/service/live.h"
#include "predict/fake/script.h"
#include "predict/model.h"
#include "store/jobs/jobs.h"

struct service;

/* Why a running job is to stop. A later one does not replace an earlier. */
enum stop_reason {
    STOP_NONE,
    STOP_YIELD,
    STOP_PAUSE,
    STOP_CANCEL,
    STOP_EXPIRE,
    STOP_DRAIN,
    STOP_LOST /* in a fleet: another process has what it held, and nothing more is recorded */
};

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
    int64_t retry_of;
    bool has_done;           /* some lines have ended */
    bool busy;               /* a checker or a runner has it */
    bool stale;              /* changed since it was read: nobody takes it until it is read again */
    uint32_t failures;       /* of its check or its model's session, in a row */
    uint64_t not_before_ns;  /* monotonic; after a full disk or a broken session */
    struct running *running; /* or NULL */
    /* In a fleet, as of the last glance: */
    uint64_t open, leased; /* shards that nobody holds, and that a process holds */
    struct live *live;     /* of a job that runs anywhere; else NULL */
};

/* A runner. Owned by its entry; freed by the scheduler after the thread has been joined. */
struct running {
    struct service *service;
    int64_t id;
    pthread_t thread;
    atomic_bool stop;
    atomic_bool discard; /* it ends for good: answers that have only begun are not wanted */
    atomic_bool lost;    /* the same, whoever is paid for them: with STOP_LOST */
    atomic_int reason;   /* enum stop_reason */
    atomic_bool ended;   /* the thread is about to return */
    bool closing;        /* no pipeline: only the end of a cancelled or expired job */
    uint32_t failures;   /* as the entry's, before; the runner sets what is after */
    uint64_t retry_ns;   /* when it may be tried again; 0: at once */
    int64_t began_us;
    struct live live; /* guarded by lock; in a fleet only what is in flight here */
};

/* Reads every open job into the table; before the threads begin. */
int scheduler_load(struct service *s, struct error *e) FALLIBLE;
void *scheduler_run(void *arg);              /* the service */
void scheduler_all_dirty(struct service *s); /* every known job is read again */
/* In a fleet: look soon at what other processes changed. */
void scheduler_look(struct service *s);
/* In a fleet: stops every runner, which records nothing more. True when none is left. */
bool scheduler_lose(struct service *s);
void scheduler_dirty(struct service *s, int64_t id);         /* this one is */
struct entry *scheduler_find(struct service *s, int64_t id); /* under lock; or NULL */
/* The next PENDING job for a checker, marked busy; 0 when there is none. Under lock. */
int64_t scheduler_next_check(struct service *s);

#endif
