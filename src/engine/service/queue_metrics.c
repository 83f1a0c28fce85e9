/* queue_metrics.c -- the queue of each model over the whole store: what an autoscaler goes by.
 *
 * Why: a process that is to be added or removed must not depend on which process was asked, so every one gives the same
 *      figures, from the store. A model's queue is that of all projects.
 * Threads: service_measure_queue may be called by several at once; the series are atomic.
 */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/metric.h"
#include "base/thread.h"
#include "engine/service/service_inner.h"
#include "store/fleet/fleet.h"

#define QUEUES_MAX 100 /* models with series of their own; the others share one */

struct queue {
    char model[METRIC_LABEL_BYTES];
    uint64_t lines, shards_open, shards_leased;
    int64_t waits_us; /* how long; 0: none waits */
};
/* The models that have series. One whose queue is empty keeps its own, which are 0. */
static struct {
    pthread_mutex_t lock; /* guards all */
    uint32_t count;
    struct queue item[QUEUES_MAX + 1];
} queues = { .lock = PTHREAD_MUTEX_INITIALIZER };

static struct queue *queue_of(const char *model)
{
    uint32_t i = 0;

    while (i < queues.count && strcmp(queues.item[i].model, model) != 0)
        i++;
    if (i == queues.count && i < QUEUES_MAX)
        queues.count++;
    struct queue *q = &queues.item[i];
    (void)snprintf(q->model, sizeof q->model, "%s", i < QUEUES_MAX ? model : "_other");
    if (i == QUEUES_MAX)
        queues.count = QUEUES_MAX + 1;
    return q;
}

/* As the configuration names the model. */
static void label_of(struct service *s, struct arena *a, const struct job_queue *j,
                     char out[METRIC_LABEL_BYTES])
{
    struct error e;
    const struct model *m = s->env.model(s->env.arg, arena_copy(a, j->project.p, j->project.len),
                                         arena_copy(a, j->model.p, j->model.len), &e);

    (void)snprintf(out, METRIC_LABEL_BYTES, "%s", m ? m->pattern : "_unknown");
    service_model_done(s, m);
}

static void add(const struct job_queue *j, const char *label, int64_t now_us)
{
    struct queue *q = queue_of(label);
    int64_t waits = j->waits_us ? now_us - j->waits_us : 0;

    q->lines += j->lines;
    q->shards_open += j->shards_open;
    q->shards_leased += j->shards_leased;
    q->waits_us = waits > q->waits_us ? waits : q->waits_us;
}

static void set_shards(const struct queue *q, const char *state, uint64_t count)
{
    char labels[METRIC_LABELS_BYTES];

    metric_labels(labels, (const char *const[]){ "model", q->model, "state", state, NULL });
    metric_set(metric_gauge("tranche_shards", "Shards of open jobs that are not done", labels),
               (double)count);
}

static void set(const struct queue *q, bool shared)
{
    char labels[METRIC_LABELS_BYTES];

    metric_labels(labels, (const char *const[]){ "model", q->model, NULL });
    metric_set(metric_gauge("tranche_queue_lines",
                            "Lines without an answer of open jobs that are not paused", labels),
               (double)q->lines);
    metric_set(metric_gauge("tranche_queue_seconds",
                            "Time that the job which has waited longest has waited to run", labels),
               (double)q->waits_us / 1e6);
    if (!shared)
        return;
    set_shards(q, "open", q->shards_open);
    set_shards(q, "leased", q->shards_leased);
}

/* Under the lock: the queues anew, from what the store has. label: of each. */
static void replace(const struct job_queue *list, char (*label)[METRIC_LABEL_BYTES], uint32_t count,
                    int64_t now_us)
{
    for (uint32_t i = 0; i < queues.count; i++) {
        struct queue *q = &queues.item[i];
        q->lines = q->shards_open = q->shards_leased = 0;
        q->waits_us = 0;
    }
    for (uint32_t i = 0; i < count; i++)
        add(&list[i], label[i], now_us);
}

static void measure_queues(struct service *s, struct arena *a)
{
    struct job_queue *list;
    uint32_t count;
    struct error e;

    if (jobs_queue(s->env.store, a, &list, &count, &e) < 0) {
        log_warn("the metrics of the queue stay as they are: %s", e.msg);
        return;
    }
    char(*label)[METRIC_LABEL_BYTES] = arena_array(a, count + 1, sizeof *label);
    for (uint32_t i = 0; i < count; i++)
        label_of(s, a, &list[i], label[i]);
    lock(&queues.lock);
    replace(list, label, count, service_now_us(s));
    for (uint32_t i = 0; i < queues.count; i++)
        set(&queues.item[i], store_is_shared(s->env.store));
    unlock(&queues.lock);
}

static void measure_fleet(struct service *s, struct arena *a)
{
    struct fleet_member *list;
    uint32_t count;
    struct error e;

    if (fleet_list(s->env.store, a, &list, &count, &e) < 0)
        log_warn("the metrics of the fleet stay as they are: %s", e.msg);
    else
        metric_set(metric_gauge("tranche_fleet_processes",
                                "Processes that share the store and hold a lease", NULL),
                   count);
    metric_set(metric_gauge("tranche_fleet_lease_held",
                            "1 while this process holds its lease, and works", NULL),
               fleet_holds(s->env.store));
}

void service_measure_queue(struct service *s)
{
    struct arena a = { 0 };

    measure_queues(s, &a);
    if (store_is_shared(s->env.store))
        measure_fleet(s, &a);
    arena_release(&a);
}
