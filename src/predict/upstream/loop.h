/* loop.h -- the thread of an upstream session: sends tasks, gives them back answered.
 *
 * Why: the pipeline waits for disks at times; a server must not wait with it. One thread owns all
 * connections of a session, so nothing that it does needs a lock.
 *
 * Shape:   in (a channel of tasks) -> queue, in the order given -> a place that can and may take it
 *          (upstream_route) -> flight (upstream_flight) -> answer -> out (a channel).
 * Memory:  bodies in flight: LOOP_BODIES_BYTES_MAX, and one flight's over it.
 * Errors:  a task's, in its answer. When sockets cannot be waited for any more the loop is broken.
 * Threads: free, send, take, cancel and drain from the session's thread; room and note from any.
 */
#ifndef TRANCHE_PREDICT_UPSTREAM_LOOP_H
#define TRANCHE_PREDICT_UPSTREAM_LOOP_H

#include "predict/upstream/route.h"
#include "predict/upstream/task.h"

#define LOOP_BODIES_BYTES_MAX ((size_t)256 * 1024 * 1024)

struct upstream_loop;
/* route is borrowed. At most window tasks are in the loop at once. */
struct upstream_loop *upstream_loop_new(struct upstream_route *route,
                                        const struct predictor_env *env, uint32_t window,
                                        struct error *e);
void upstream_loop_free(struct upstream_loop *l); /* ends the thread; what is in it is dropped */

void upstream_loop_send(struct upstream_loop *l, struct upstream_task *t);
/* Tasks that are answered, a list by `next`; NULL: none came in time. */
struct upstream_task *upstream_loop_take(struct upstream_loop *l, uint32_t timeout_ms);
void upstream_loop_cancel(struct upstream_loop *l, struct upstream_task *t); /* answered soon */
void upstream_loop_drain(struct upstream_loop *l); /* what is not sent is answered CANCELLED */

bool upstream_loop_broken(const struct upstream_loop *l);
uint32_t upstream_loop_in_flight(const struct upstream_loop *l);

#endif
