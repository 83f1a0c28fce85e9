/* closeout.h -- the end of a job that ends before all its lines were run.
 *
 * Why: every line has exactly one row (I1), also when the job was cancelled, expired or stopped by a
 * limit: what has no row yet gets one that says why it was not run.
 *
 * Shape:   not-run rows in groups that are durable, then the output up to its last line. After 0
 *          render_finish may be called. Killed or failed at any instant, it goes on when run again.
 * Errors:  of the spool and of rendering; CANCELLED when *stop was set.
 * Threads: the caller's thread owns everything; on_progress is called on it, after each group.
 */
#ifndef TRANCHE_ENGINE_LINES_CLOSEOUT_H
#define TRANCHE_ENGINE_LINES_CLOSEOUT_H

#include <stdatomic.h>

#include "base/clock.h"
#include "engine/lines/ingest.h"
#include "engine/lines/render.h"
#include "store/spool/spool.h"

struct closeout_job {
    const struct ingest_result *ingest;
    struct spool *spool;
    struct render *render; /* of that spool */
    struct clock *clock;
    struct error why;        /* of each line that was not run: CANCELLED, DEADLINE_EXCEEDED, ... */
    const atomic_bool *stop; /* looked at between groups; may be NULL */
    void (*on_progress)(void *arg, const struct counters *counters); /* committed; may be NULL */
    void *arg;
};
/* counters: what is committed in the end, also after a failure. */
int closeout_run(const struct closeout_job *j, struct counters *counters, struct error *e) FALLIBLE;

#endif
