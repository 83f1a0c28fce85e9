/* job_metrics.h -- what /metrics shows of jobs: lines, tokens, cost, retries, failures by cause, states; and of
 * online calls.
 *
 * Shape:   an owner is a project and a model as the configuration names it. The first JOB_OWNERS_MAX of
 *          them have series of their own; all others share one, with "_other" as project and model, so that
 *          no client can make memory grow. A runner gives its counters as they grow, and what is new since
 *          the last time is added; a job's failures are added by their code when it ends.
 * Threads: a struct job_metrics has one owner, the runner; the metrics are atomic.
 */
#ifndef TRANCHE_ENGINE_SERVICE_JOB_METRICS_H
#define TRANCHE_ENGINE_SERVICE_JOB_METRICS_H

#include "base/metric.h"
#include "engine/lines/pipeline.h"
#include "format/job/job.h"

#define JOB_OWNERS_MAX 100
/* Its number: below JOB_OWNERS_MAX, or that for all others. */
uint32_t job_owner(const char *project, const char *model);

#define JOB_METRICS 12
struct job_metrics {
    struct counters seen; /* to begin with: those of earlier stretches, which were counted then */
    uint64_t retries;
    struct metric *counter[JOB_METRICS], *cost; /* of its owner */
};
void job_metrics_begin(struct job_metrics *m, const char *project, const char *model,
                       const struct counters *seen);
void job_metrics_progress(struct job_metrics *m, const struct progress *p);
/* An online call that was answered: its tokens, and their cost at the online price. price: the model's. */
void online_metrics(uint32_t owner, const struct answer *a, const struct price *price);
/* The rows that failed, by code. */
void job_metrics_failures(struct spool *s);
/* A job that ended now: its state, how long it waited to run, and how long it took in all. */
void job_metrics_end(const struct job *j);
/* The open jobs of an owner. */
struct job_tally {
    uint64_t count[JOB_STATE_COUNT];
    int64_t waits_us; /* of the one that has waited longest to run */
};
void job_metrics_open(const struct job_tally tally[JOB_OWNERS_MAX + 1]);

#endif
