/* choice.h -- whose job is next: the choice, without threads, time or store.
 *
 * Why: fairness is a rule that must hold for any mix of projects, so it is a pure function over a
 * list, which tests can turn in every way.
 *
 * Shape:   of the jobs of one model: the waiting job to start, or the running one to give back.
 *          A project's load is its running jobs divided by its weight. The least loaded project goes
 *          first; within it the highest priority, then the oldest.
 *          In a fleet the turns of projects (store/jobs/shards.h) come before loads, which are only this process's.
 * Threads: none.
 */
#ifndef TRANCHE_ENGINE_SERVICE_CHOICE_H
#define TRANCHE_ENGINE_SERVICE_CHOICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct choice_job {
    int64_t id;       /* grows with the time of creation */
    uint32_t project; /* index into choice.weight */
    int64_t priority;
    double turn; /* in a fleet: the project with the earliest goes first, before any load; else 0 */
    bool running;
    bool yields;    /* running, and asked to give back already */
    bool may_yield; /* has run for long enough to be asked */
};
struct choice {
    const struct choice_job *job;
    size_t count;
    const double *weight; /* of project_count projects; > 0 */
    uint32_t project_count;
    uint32_t running_max;
};
/* The index of the job to start now; SIZE_MAX: none, or no room. */
size_t choice_start(const struct choice *s);
/* All places are taken and a waiting job has a better right to one than a running job: the index of
 * that running job. A project above its share gives its youngest of the lowest priority to one that
 * stays below even with one more; within a project a higher priority takes from a lower one.
 * SIZE_MAX: none, or one is yielding already. */
size_t choice_yield(const struct choice *s);

#endif
