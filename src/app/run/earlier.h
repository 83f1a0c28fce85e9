/* earlier.h -- the answers of an earlier output that a retry keeps (--retry-failed).
 *
 * Why: when 30 of 200,000 lines failed, only those are to run again; the others keep their answer,
 * its time and its place, and are not paid again.
 *
 * Shape:   kept is a row with status "" and a response whose request is the input line's, as
 *          written, even when the request would be refused now. Kept rows are put into the spool
 *          before the run begins; then the run sees them as done.
 * Errors:  INVALID_ARGUMENT when the earlier output has not one row for each input line, or none that
 *          a run wrote: replacing it would destroy what it is; CANCELLED on stop; of reading and
 *          writing.
 * Threads: none.
 */
#ifndef TRANCHE_APP_RUN_EARLIER_H
#define TRANCHE_APP_RUN_EARLIER_H

#include <stdatomic.h>
#include <stdint.h>

#include "engine/lines/ingest.h"
#include "engine/lines/input.h"
#include "store/spool/spool.h"

struct earlier {
    const struct input *input; /* of the run */
    const struct ingest_result *job;
    const struct input *old_input; /* the earlier output; the same as input when that is retried */
    const struct ingest_result *old;
    const atomic_bool *stop;
    int64_t now_us; /* of rows whose time cannot be read */
};
/* Puts what is kept into the spool, all of it once; *kept says how much that is. */
int earlier_keep(const struct earlier *r, struct spool *s, uint64_t *kept,
                 struct error *e) FALLIBLE;

#endif
