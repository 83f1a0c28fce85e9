/* task.h -- a request on its way through an upstream session.
 *
 * Shape:   predictor_upstream.c makes it and takes its answer; upstream_loop.c does all in between.
 * Owns:    the answer, until it is taken.
 * Threads: the session's until it is sent to the loop, the loop's until it comes back.
 */
#ifndef TRANCHE_PREDICT_UPSTREAM_TASK_H
#define TRANCHE_PREDICT_UPSTREAM_TASK_H

#include <stdatomic.h>

#include "predict/predictor.h"

struct upstream_task {
    const struct request *request;
    struct answer answer;       /* with the tag */
    uint64_t since_ns;          /* it waits since */
    uint32_t places;            /* a bit for each place of the model that can take it */
    bool proved;                /* a token was refused, and it was sent again with a new one */
    atomic_bool cancelled;      /* nobody wants its answer any more */
    struct upstream_task *next; /* of a queue or the pool */
};

#endif
