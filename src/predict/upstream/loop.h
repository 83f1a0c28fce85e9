/* loop.h -- the thread of an upstream session: sends tasks, gives them back answered.
 *
 * Why: the pipeline waits for disks at times, and a server must not wait with it. One thread owns all
 * connections of a session, so nothing that it does needs a lock.
 *
 * Shape:   channel of tasks -> queue, in the order of submission -> a target (route.h) -> a flight
 *          (flight.h) -> channel of answered tasks. An answer in JSON or an enum value goes by way of the
 *          checker, a thread that compares it with its schema (answer_check.h).
 *          A request whose files go along waits for them beside the queue (task_files.h).
 * Memory:  the bodies in flight take LOOP_BODIES_BYTES_MAX, plus one body and the files read ahead.
 * Errors:  a task's error is in its answer. The loop is broken when it cannot wait for sockets any more.
 * Threads: free, send, take, cancel and drain from the session's thread; in_flight from any.
 */
#ifndef TRANCHE_PREDICT_UPSTREAM_LOOP_H
#define TRANCHE_PREDICT_UPSTREAM_LOOP_H

#include "predict/upstream/answer_check.h"
#include "predict/upstream/flight.h"

#define LOOP_BODIES_BYTES_MAX ((size_t)256 * 1024 * 1024)

struct upstream_loop;
/* route and checks are borrowed. At most window tasks are in the loop at once. */
struct upstream_loop *upstream_loop_new(struct upstream_route *route, struct schemas *checks,
                                        const struct predictor_env *env, uint32_t window,
                                        struct error *e);
void upstream_loop_free(struct upstream_loop *l); /* ends the thread and drops its tasks */

void upstream_loop_send(struct upstream_loop *l, struct upstream_task *t);
/* A list of answered tasks; NULL: none came in time. */
struct upstream_task *upstream_loop_take(struct upstream_loop *l, uint32_t timeout_ms);
void upstream_loop_cancel(struct upstream_loop *l, struct upstream_task *t); /* answered soon */
void upstream_loop_drain(struct upstream_loop *l); /* answers CANCELLED what is not sent yet */

bool upstream_loop_broken(const struct upstream_loop *l);
uint32_t upstream_loop_in_flight(const struct upstream_loop *l);

#endif
