/* job_keep.h -- a job's use of its project's kept answers (tranche: {reuse: true}).
 *
 * Why: the jobs of a project may ask the same again, and an answer is paid once. It is off unless a job asks
 * for it, and no project ever sees another's answers.
 *
 * Shape:   STATE/kept/PROJECT, the project's name in hexadecimal (store/kept). job_keep_begin before the
 *          lines, job_keep_finish when all of them have rows. A cancelled or expired job keeps nothing.
 * Limits:  service.keep bytes a project; 30 days, which the hourly sweep sees to.
 * Errors:  none: without kept answers the lines are asked.
 * Threads: the job's runner; the sweep may run beside it.
 */
#ifndef TRANCHE_ENGINE_SERVICE_JOB_KEEP_H
#define TRANCHE_ENGINE_SERVICE_JOB_KEEP_H

#include "engine/lines/ledger.h"
#include "engine/lines/render.h"
#include "engine/service/service_inner.h"

struct job_keep {
    struct service *service;
    const char *folder; /* in the runner's arena */
    struct reuse reuse;
    struct kept_writer *writer; /* NULL: nothing is kept */
};

void job_keep_begin(struct job_keep *k, struct service *s, struct arena *a, const struct job *j);
/* Seals the spool: it is only to be closed then. */
void job_keep_finish(struct job_keep *k, struct spool *s, const struct render *r,
                     const struct job *j);
void job_keep_release(struct job_keep *k);
/* Removes what is too old or too much, of all projects. */
void job_keep_sweep(struct service *s);

#endif
