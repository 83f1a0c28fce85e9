/* tally.h -- what the service counts for /metrics: lines, tokens, retries, failures by cause, jobs.
 *
 * Shape:   a runner gives its counters as they grow, and what is new since the last time is added; a
 *          job's failures are added by their code when it ends.
 * Threads: a struct tally has one owner, the runner; the metrics are atomic.
 */
#ifndef TRANCHE_ENGINE_LINES_TALLY_H
#define TRANCHE_ENGINE_LINES_TALLY_H

#include "engine/lines/pipeline.h"
#include "format/job/job.h"

struct tally {
    struct counters seen; /* to begin with: those of earlier stretches, which were counted then */
    uint64_t retries;
};
void tally_progress(struct tally *t, const struct progress *p);
/* The rows that failed, by code. */
void tally_failures(struct spool *s);
/* A job that ended now: its state, how long it waited to run, and how long it took in all. */
void tally_end(const struct job *j);
/* Open jobs by state: a gauge for each of JOB_STATE_COUNT. */
void tally_open(const uint64_t count[JOB_STATE_COUNT]);

#endif
