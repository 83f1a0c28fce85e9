/* hub_queue.h -- whose request goes next: the project that has used least for its weight.
 *
 * Why: a project that asks for ten times as much must not get ten times as much, and one that was
 * idle must not get everything for a while. Start-time fair queueing gives both with one number a project.
 *
 * Shape:   requests wait in order in a source (a share, or a project's online calls). A project's start
 *          is the cost that it was given so far, divided by its weight. The project with the least start
 *          goes next, and its start grows by the request's cost / weight. The queue's time is the least
 *          start of the projects that wait; a project that begins to wait starts at it or later.
 *          Within a project the source with the highest priority goes first, then the lowest age.
 *          Both classes count for their project; the caller chooses the class.
 * Memory:  a project is kept while it has a source, a waiting request, or a start that is ahead: no
 *          more projects than have asked since the queue was last empty.
 * Units:   cost in tokens.
 * Threads: none; guarded by the hub's lock.
 * Source:  P. Goyal et al., "Start-time fair queueing", SIGCOMM 1996.
 */
#ifndef TRANCHE_PREDICT_HUB_HUB_QUEUE_H
#define TRANCHE_PREDICT_HUB_HUB_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

enum fair_class { FAIR_BATCH, FAIR_ONLINE };
#define FAIR_CLASSES 2

/* A request that waits. It belongs to whoever put it. */
struct fair_item {
    struct fair_item *next; /* of its source */
    uint64_t cost;
};
struct fair_source {
    struct fair_project *project;
    int64_t priority; /* higher goes first */
    uint64_t age;     /* lower goes first */
    struct fair_item *head, *tail;
    uint32_t waiting;
    struct fair_source *next; /* of the project's batch sources */
};
struct fair_queue {
    struct fair_project *project; /* all */
    double now;
    uint32_t waiting[FAIR_CLASSES];
};

void fair_release(struct fair_queue *q); /* nothing waits and no source is there */

/* Adds a batch source, with priority and age set, to this project, whose weight is this from now on. */
void fair_join(struct fair_queue *q, struct fair_source *s, const char *project, double weight);
void fair_leave(struct fair_queue *q, struct fair_source *s); /* it is empty */
/* The source of a project's online calls. It is valid until the next call on the queue, or while a
 * request waits in it. */
struct fair_source *fair_online(struct fair_queue *q, const char *project, double weight);

void fair_put(struct fair_queue *q, struct fair_source *s, struct fair_item *i);
/* The next of the class, or NULL. */
struct fair_item *fair_take(struct fair_queue *q, enum fair_class class);
/* Takes all that waits in a source, in order. */
struct fair_item *fair_drop(struct fair_queue *q, struct fair_source *s);
void fair_remove(struct fair_queue *q, struct fair_source *s,
                 struct fair_item *i); /* i waits in s */

#endif
