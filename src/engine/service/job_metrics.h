/* job_metrics.h -- what /metrics shows of jobs: lines, tokens, retries, failures by cause, states.
 *
 * Shape:   a runner gives its counters as they grow, and what is new since the last time is added; a
 *          job's failures are added by their code when it ends.
 * Threads: a struct job_metrics has one owner, the runner; the metrics are atomic.
 */
#ifndef TRANCHE_ENGINE_SERVICE_JOB_METRICS_H
#define TRANCHE_ENGINE_SERVICE_JOB_METRICS_H

#include "engine/lines/pipeline.h"
#include "format/job/job.h"

struct job_metrics {
    struct counters seen; /* to begin with: those of earlier stretches, which were counted then */
    uint64_t retries;
};
void job_metrics_progress(struct job_metrics *m, const struct progress *p);
/* The rows that failed, by code. */
void job_metrics_failures(struct spool *s);
/* A job that ended now: its state, how long it waited to run, and how long it took in all. */
void job_metrics_end(const struct job *j);
/* Open jobs by state: a gauge for each of JOB_STATE_COUNT. */
void job_metrics_open(const uint64_t count[JOB_STATE_COUNT]);

#endif
