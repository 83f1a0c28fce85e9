/* session.h -- the predictor of an embedded engine, over whatever runtime computes.
 *
 * Why: a predictor's caller submits requests and waits for answers, while a batch must be kept full
 *      all the time. The session's thread makes tasks of requests and answers of finished tasks; one
 *      thread of the session's own, the engine thread, owns the batcher and the runtime. Both meet in
 *      two channels and in atomics.
 *
 * Errors:  RESOURCE_EXHAUSTED when no thread can be started.
 * Threads: as predictor.h says of a session.
 * Owns:    the runtime, from the call on, even when it fails.
 */
#ifndef TRANCHE_PREDICT_LOCAL_SESSION_H
#define TRANCHE_PREDICT_LOCAL_SESSION_H

#include "predict/local/plan.h"
#include "predict/predictor.h"

/* adapted: the runtime has the model's own adapters (ADAPTERS_OWN). */
struct predictor *session_open(struct runtime *r, bool adapted, const struct batcher_plan *plan,
                               const struct predictor_env *env, struct error *e);

#endif
