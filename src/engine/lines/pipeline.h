/* pipeline.h -- one job from its shards to its finished output.
 *
 * Data:    shard -> line -> request -> window -> predictor -> answer -> spool (durable) -> counted ->
 *          rendered. Retryable failures go back to the window; duplicates copy an answer. A line whose
 *          answer an earlier run has kept gets that one, and no request is made.
 * Stop:    when *stop is set nothing more is submitted, what the predictor has begun is awaited for
 *          drain_ms at most (not at all when *discard is set), everything answered is committed, and the result says interrupted.
 * Limits:  looked at before each submit, on what is committed and what is answered; passing one ends
 *          as a stop does. Requests in flight count at the mean cost of those answered, so that
 *          a budget is exceeded by no more than what the last few lines differ from the mean.
 * Errors:  RESOURCE_EXHAUSTED (disk full), FAILED_PRECONDITION (input changed), INTERNAL (predictor
 *          broken); the refusal's code when the predictor refuses the key or the model before it has
 *          answered anything (UNAUTHENTICATED, PERMISSION_DENIED, NOT_FOUND): then no line has a row of
 *          it. Whatever was committed stays and a later run goes on.
 * Owns:    takes the predictor's session and closes it before it returns, whatever happened, because
 *          requests that lie in the pipeline's memory may still be open there.
 * Threads: the caller's thread runs it and owns everything; on_progress is called on it.
 */
#ifndef TRANCHE_ENGINE_LINES_PIPELINE_H
#define TRANCHE_ENGINE_LINES_PIPELINE_H

#include <stdatomic.h>
#include <stdint.h>

#include "engine/lines/ingest.h"
#include "engine/lines/ledger.h"
#include "engine/lines/render.h"
#include "engine/lines/retry.h"
#include "predict/predictor.h"
#include "store/spool/spool.h"

#define COMMIT_EVERY_MS 100  /* a group is committed at least this often */
#define COMMIT_ROWS_MAX 4096 /* or when it holds this number of rows */
#define DRAIN_DEFAULT_MS 5000

struct progress {
    struct counters counters; /* committed */
    uint64_t resumed;         /* of counters: lines done before this run began */
    uint32_t in_flight;       /* with the predictor */
    uint64_t retries;         /* attempts that failed and will be tried again */
    struct predictor_stats predictor;
    uint64_t elapsed_ns; /* since this run began */
};

/* Limits that end a job early; zeroed: none. They cover all its runs together. */
struct pipeline_limits {
    uint64_t cost_nano_max;   /* at the batch price; 0: none */
    uint64_t tokens_max;      /* prompt and generated ones that were computed; 0: none */
    double error_rate_max;    /* failed of all that ended, bad lines too: more is too many, */
    uint64_t error_lines_min; /* lines that must have ended for that; 0: no limit */
    uint64_t ended_before, failed_before; /* lines of other runs of the job, which count for it */
};

struct pipeline_job {
    const struct input *input;
    const struct ingest_result *ingest;
    struct line_rules rules;         /* the same that ingest had */
    struct predictor *predictor;     /* taken */
    const struct file_source *files; /* where requests' gs:// files come from; or NULL */
    const struct trace *trace;       /* that the requests belong to; or NULL */
    struct price price;
    struct spool *spool;
    struct render *render;
    struct reuse reuse;
    struct retry_rules retry;
    struct pipeline_limits limits;
    uint32_t in_flight_max; /* 0: the predictor's window */
    uint32_t drain_ms;
    uint64_t seed;
    struct clock *clock;
    const atomic_bool *stop;
    const atomic_bool *discard; /* nobody wants what is begun; or NULL */
    void (*on_progress)(void *arg, const struct progress *p); /* about ten times a second */
    /* Rows were committed, now or some time ago, and no group of the spool is open. -1 ends the run with its error. NULL: nobody asks. */
    int (*on_committed)(void *arg, const struct progress *p, struct error *e);
    void *arg;
};
/* DONE also when a limit is passed with nothing left to submit. */
enum pipeline_end {
    PIPELINE_DONE,
    PIPELINE_INTERRUPTED,
    PIPELINE_BUDGET, /* cost_nano_max or tokens_max is reached */
    PIPELINE_ERRORS, /* error_rate_max is passed */
};
int pipeline_run(const struct pipeline_job *j, struct progress *out, enum pipeline_end *end,
                 struct error *e) FALLIBLE;

#endif
