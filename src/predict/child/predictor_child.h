/* predictor_child.h -- the embedded engine in a process of its own, as a predictor.
 *
 * Why: libllama aborts on a damaged file, and a model is a file from anywhere. A crash must cost the lines that
 * caused it, and neither other lines nor the program.
 *
 * Shape:   the session of predictor_local_open runs in a sealed child (base/sandbox.h); requests go there as JSON,
 *          answers come back, over a socket (link.h).
 * Crash:   a child that ends, or computes nothing for its deadline, is started again. The requests that it was
 *          touching (touch.h) are suspects: they are tried in groups that become smaller with each crash. A request
 *          that ends its child twice while it is alone there is answered INTERNAL, and final. All others are
 *          sent again, with the same seed. New requests wait until there are no suspects.
 *          A child that cannot be started again, or ends CHILD_CRASHES_MAX times without an answer or a verdict in
 *          between, breaks the session.
 * Adapters: the parent opens their files, and a child gets each as a descriptor before the first request that names
 *          it. A file that ends a child twice while it is loaded for one request alone is not sent again: it is the
 *          error of all requests that name it.
 * Checks:  accepts asks the child once for all requests that have the same settings and are text.
 * Errors:  of opening: those of predictor_local_open, and FAILED_PRECONDITION with how the process ended that
 *          loaded the file.
 * Threads: as predictor.h says. A thread of the session reads the socket and starts children.
 */
#ifndef TRANCHE_PREDICT_CHILD_PREDICTOR_CHILD_H
#define TRANCHE_PREDICT_CHILD_PREDICTOR_CHILD_H

#include "predict/predictor.h"

#define CHILD_CRASHES_MAX 40
#define CHILD_ALONE_MAX 2 /* crashes that a request causes alone */

/* The role of the model's process, for sandbox_entry. */
#define CHILD_ROLE "model"
int child_main(uint32_t fd_count);

struct predictor *predictor_child_open(const struct model *m, const struct predictor_env *env,
                                       struct error *e);

#endif
