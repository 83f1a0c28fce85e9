/* page.h -- the memory that a model's process shares with its parent.
 *
 * Why: it outlives the process: which requests were touched (touch.h), how much was computed.
 *
 * Threads: the child writes; the parent reads the counters at any time, the rest after the child's end.
 * Trust:   the parent believes none of it: tags are looked up among the open requests, counters are shown.
 */
#ifndef TRANCHE_PREDICT_CHILD_PAGE_H
#define TRANCHE_PREDICT_CHILD_PAGE_H

#include "predict/predictor.h"
#include "predict/touch.h"

struct child_page {
    struct touch_page touch;
    atomic_uint version; /* odd: stats are being written */
    struct predictor_stats stats;
};

/* Descriptors that a model's process gets, from SANDBOX_FD_FIRST on. */
#define CHILD_FILES_MAX 64 /* adapters in use at once */

enum child_fd { CHILD_FD_LINK, CHILD_FD_PAGE, CHILD_FD_WEIGHTS, CHILD_FDS };

#endif
