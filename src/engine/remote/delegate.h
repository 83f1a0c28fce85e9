/* delegate.h -- one job from its shards to its finished output, by way of another batch service.
 *
 * Why: Google's batch service answers at half the price; with it come our validation, a resume after
 * any crash, retry-failed and counters, as with any other model. This is pipeline_run with a batch service
 * in place of a predictor.
 *
 * Data:    line -> row in DIR/remote/R-P.jsonl (staged) -> remote file (uploaded) -> remote job (created)
 *          -> its rows, in any order -> spool (durable) -> counted -> rendered (merged).
 * Parts:   a remote job takes rows_max rows and bytes_max bytes; the rest goes into further parts, all of
 *          which run at the same time. A row's key is the line's index.
 * Rounds:  of identical deterministic requests the first is sent, and the others take its answer when
 *          the round is merged. Those whose first failed are sent in a second round, all of them.
 * Crash:   each phase of a part is a fact in the spool before the next begins, so that a run that is
 *          killed goes on there. A remote job's name has the part in it and is random for each job: one that
 *          may have been created unseen is looked up before it is created, so that none runs twice.
 * Rows:    what the batch service answered is taken, regardless of how its job ended. A line that it did not
 *          answer fails with the job's own cause, or says that its row is missing.
 * Stop:    the remote jobs go on when *stop is set; the same call later goes on too. delegate_cancel ends
 *          them.
 * Errors:  as pipeline_run's. A batch service that fails for patience_ms without a pause, or refuses, ends the call
 *          with its error; no line fails for that, and a later call goes on.
 * Threads: the caller's thread runs it and owns everything; callbacks are called on it.
 */
#ifndef TRANCHE_ENGINE_REMOTE_DELEGATE_H
#define TRANCHE_ENGINE_REMOTE_DELEGATE_H

#include "engine/lines/pipeline.h"
#include "engine/remote/remote.h"

#define DELEGATE_POLL_MS 30000     /* the longest wait between two looks at a remote job */
#define DELEGATE_POLL_FIRST_MS 500 /* the first; each further is twice as long */
#define DELEGATE_PATIENCE_MS UPSTREAM_PATIENCE_MS
/* A create that was cut off may take this long to be found by its name. */
#define DELEGATE_SETTLE_MS 2000
/* delegate_cancel waits this long for the remote jobs to end, for the answers that are paid. */
#define DELEGATE_CANCEL_MS 60000
#define DELEGATE_PARTS_MAX 100000

struct delegate_job {
    const struct input *input;
    const struct ingest_result *ingest;
    struct line_rules rules; /* the same that ingest had */
    struct spool *spool;
    struct render *render;
    struct reuse reuse;
    struct price price;
    const char *dir; /* of the run: DIR/remote holds what is not merged */
    struct remote *remote;
    uint32_t poll_ms;     /* 0: DELEGATE_POLL_MS */
    uint32_t patience_ms; /* 0: DELEGATE_PATIENCE_MS */
    bool detach;          /* return once every part is created, and what has ended is merged */
    uint64_t seed;
    struct clock *clock;
    const atomic_bool *stop;
    void (*on_progress)(void *arg, const struct progress *p); /* about ten times a second */
    void (*on_note)(void *arg, const char *text); /* what happens at the batch service; or NULL */
    void *arg;
};
/* PIPELINE_DONE, or PIPELINE_INTERRUPTED with the lines that are at the batch service in out->in_flight. */
int delegate_run(const struct delegate_job *j, struct progress *out, enum pipeline_end *end,
                 struct error *e) FALLIBLE;
/* Cancels the remote jobs and takes what they answered; lines that have no row then stay pending. Not
 * ended by *stop. out: the counters. */
int delegate_cancel(const struct delegate_job *j, struct progress *out, struct error *e) FALLIBLE;

#endif
