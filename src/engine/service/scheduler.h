/* scheduler.h -- the scheduler's thread: gives the open jobs (open_jobs.h) to checkers and runners.
 *
 * Why: one thread decides what happens to a job next, so that no job is checked or run twice at once.
 *
 * Shape:   each turn: read what changed, end what is to end, begin what may begin. The pure rule of whose job is next
 *          is choice.h.
 * Locks:   struct service.lock guards the open jobs and their runners.
 * Threads: scheduler_run is the thread; the others are for any thread, one of them under the lock.
 */
#ifndef TRANCHE_ENGINE_SERVICE_SCHEDULER_H
#define TRANCHE_ENGINE_SERVICE_SCHEDULER_H

#include <pthread.h>
#include <stdatomic.h>

#include "engine/service/live.h"
#include "engine/service/open_jobs.h"

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

void *scheduler_run(void *arg); /* the service */
/* In a fleet: stops every runner, which records nothing more. True when none is left. */
bool scheduler_lose(struct service *s);
/* The next PENDING job for a checker, marked busy; 0 when there is none. Under lock. */
int64_t scheduler_next_check(struct service *s);

#endif
