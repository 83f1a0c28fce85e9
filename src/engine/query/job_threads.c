/* job_threads.c -- the threads: jobs run, waiters whose time has come are called, tables are swept. */
#include "engine/query/query_inner.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/metric.h"

#define SWEEP_NS (60 * NS_PER_S)

int query_record_put(struct queries *q, const struct bq_job *j, struct error *e)
{
    struct str text = query_job_text(j);
    const struct tables_job record = {
        .id = j->id,
        .parent = j->parent,
        .state = str_of(bq_job_state_name(j->state)),
        .json = text,
        .created_ms = j->created_ms,
    };
    int rc = q->tables->ops->job_put(q->tables, j->project, &record, e);

    query_str_drop(&text);
    return rc;
}

/* Errors of ours go to the log: they may name paths and other projects. */
static void hide_internal(struct queries *q, const struct bq_job *j, struct error *e)
{
    if (error_http(e->code) != 500 && !store_is_named(q->store, str_of(e->msg)))
        return;
    log_error("job %.*s:%.*s: %s", STR_ARG(j->project), STR_ARG(j->id), e->msg);
    (void)error_set(e, e->code,
                    e->code == ERROR_RESOURCE_EXHAUSTED ? "The server has no room left on its disk."
                                                        : "Internal error encountered.");
}

/* The error becomes the first of the job's faults, before those of rows. */
static void take_fault(struct query_run *r, const struct bq_reason *why, const char *message)
{
    struct bq_job *j = r->job;

    if (j->fault_count == BQ_FAULTS_MAX)
        j->fault_count--;
    memmove(&j->fault[1], &j->fault[0], j->fault_count * sizeof j->fault[0]);
    j->fault[0] = (struct bq_fault){
        .reason = str_of(why->reason),
        .location = str_of(why->location),
        .message = str_of(arena_textf(r->arena, "%s", message)),
    };
    j->fault_count++;
    j->failed = true;
    j->error_http = why->http;
}

static void take_error(struct queries *q, struct query_run *r, bool cancelled, struct error *e)
{
    struct bq_job *j = r->job;

    if (cancelled && e->code == ERROR_CANCELLED)
        (void)error_set(e, ERROR_CANCELLED,
                        "Job execution was cancelled: User requested cancellation");
    hide_internal(q, j, e);
    const struct bq_reason why = bq_reason_of(e, r->where);
    take_fault(r, &why, e->msg);
}

int query_run_kind(struct query_run *r, struct error *e)
{
    static int (*const kinds[BQ_JOB_KINDS])(struct query_run *, struct error *) = {
        [BQ_JOB_QUERY] = run_query,
        [BQ_JOB_LOAD] = run_load,
        [BQ_JOB_COPY] = run_copy,
        [BQ_JOB_EXTRACT] = run_extract,
    };
    size_t at;
    yyjson_val *configuration = json_parse(r->arena, r->job->configuration, &at, e);

    if (!configuration || bq_configuration_read(configuration, &r->conf, e) < 0)
        return -1;
    return kinds[r->conf.kind](r, e);
}

static void count_job(const struct bq_job *j)
{
    char labels[METRIC_LABELS_BYTES];

    (void)snprintf(labels, sizeof labels, "kind=\"%s\",result=\"%s\"", bq_job_kind_name(j->kind),
                   j->failed ? "failed" : "done");
    metric_observe(metric_histogram("tranche_table_job_seconds",
                                    "Time from a table job's start to its end, by kind and result",
                                    labels),
                   (double)(j->ended_ms - j->started_ms) / 1e3);
}

/* Runs it to its end and keeps what came of it. False: the service ends, and the job stays unfinished. */
static bool job_run(struct queries *q, struct query_entry *n, struct query_run *r)
{
    struct bq_job *j = r->job;
    struct error e = { 0 };

    j->fault_count = 0;
    int rc = n->scripted ? 0 : query_run_kind(r, &e);
    if (n->scripted)
        take_fault(r, n->scripted, "This failure is scripted.");
    lock(&q->lock);
    bool cancelled = n->cancelled, stopping = q->stopping;
    unlock(&q->lock);
    if (rc < 0 && stopping && !cancelled && e.code == ERROR_CANCELLED)
        return false;
    if (rc < 0)
        take_error(q, r, cancelled, &e);
    j->state = BQ_DONE;
    j->ended_ms = query_now_ms(q);
    count_job(j);
    for (uint32_t i = 0; i < r->child_count; i++) {
        r->child[i].state = BQ_DONE;
        r->child[i].ended_ms = j->ended_ms;
        if (query_record_put(q, &r->child[i], &e) < 0)
            log_error("job %.*s: a statement's record: %s", STR_ARG(j->id), e.msg);
    }
    if (query_record_put(q, j, &e) < 0)
        log_error("job %.*s:%.*s: its record: %s", STR_ARG(j->project), STR_ARG(j->id), e.msg);
    return true;
}

static void entry_run(struct queries *q, struct query_entry *n)
{
    struct arena a = { 0 };
    struct bq_job job;
    struct error e = { 0 };
    struct query_run r = {
        .tables = q->tables,
        .store = q->store,
        .clock = q->clock,
        .arena = &a,
        .cancel = &n->cancel,
        .job = &job,
    };

    lock(&q->lock);
    struct str text = { arena_copy(&a, n->json.p, n->json.len), n->json.len };
    unlock(&q->lock);
    int rc = bq_job_read(text, &a, &job, &e);
    assert(rc == 0); /* job_text made it */
    job.started_ms = query_now_ms(q);
    job.state = BQ_RUNNING;
    lock(&q->lock);
    query_entry_set(n, &job);
    unlock(&q->lock);
    bool ended = job_run(q, n, &r);
    lock(&q->lock);
    if (ended)
        query_entry_set(n, &job);
    struct query_waiter *told = query_waiters_take(n, 0, true);
    n->kept |= ended;
    cond_broadcast(&q->changed);
    unlock(&q->lock);
    query_waiters_tell(told);
    arena_release(&a);
}

/* Under the lock: the oldest job that waits and whose project has a thread left; it is RUNNING then. */
static struct query_entry *entry_take(struct queries *q)
{
    struct query_entry *found = NULL;

    for (struct query_entry *n = q->entry; n; n = n->next) {
        uint32_t running = 0;
        if (n->state != BQ_PENDING || !n->ready)
            continue;
        for (const struct query_entry *o = q->entry; o; o = o->next)
            running += o->state == BQ_RUNNING && str_eq(o->project, n->project);
        if (running < QUERY_PROJECT_MAX)
            found = n;
    }
    if (found)
        found->state = BQ_RUNNING;
    return found;
}

static void *job_main(void *arg)
{
    struct queries *q = arg;

    lock(&q->lock);
    while (!q->stopping) {
        struct query_entry *n = entry_take(q);
        if (!n) {
            cond_wait(&q->changed, &q->lock);
            continue;
        }
        unlock(&q->lock);
        entry_run(q, n);
        lock(&q->lock);
        query_drop_done(q);
    }
    unlock(&q->lock);
    return NULL;
}

/* Under the lock: those whose time has come, and when the next one's comes. */
static struct query_waiter *overdue(struct queries *q, uint64_t now_ns, uint64_t *next_ns)
{
    struct query_waiter *all = NULL;

    for (struct query_entry *n = q->entry; n; n = n->next) {
        for (struct query_waiter *w = query_waiters_take(n, now_ns, false), *after; w; w = after) {
            after = w->next;
            w->next = all;
            all = w;
        }
        for (const struct query_waiter *w = n->waiter; w; w = w->next)
            *next_ns = w->deadline_ns < *next_ns ? w->deadline_ns : *next_ns;
    }
    return all;
}

static void *keeper_main(void *arg)
{
    struct queries *q = arg;
    struct error e = { 0 };
    uint64_t sweep_ns = deadline_in_ms(0) + SWEEP_NS;

    lock(&q->lock);
    while (!q->stopping) {
        uint64_t now_ns = deadline_in_ms(0), next_ns = sweep_ns;
        struct query_waiter *late = overdue(q, now_ns, &next_ns);
        if (!late && now_ns < sweep_ns) {
            (void)cond_wait_until(&q->changed, &q->lock, next_ns);
            continue;
        }
        unlock(&q->lock);
        query_waiters_tell(late);
        if (now_ns >= sweep_ns) {
            if (q->tables->ops->sweep(q->tables, &e) < 0)
                log_error("sweep of tables: %s", e.msg);
            sweep_ns = deadline_in_ms(0) + SWEEP_NS;
        }
        lock(&q->lock);
    }
    unlock(&q->lock);
    return NULL;
}

/* Under the lock. */
int query_start_threads(struct queries *q, struct error *e)
{
    while (q->thread_count < QUERY_THREADS + 1 &&
           pthread_create(&q->thread[q->thread_count], NULL,
                          q->thread_count ? job_main : keeper_main, q) == 0)
        q->thread_count++;
    return q->thread_count > 1 ? 0 : error_set(e, ERROR_UNAVAILABLE, "No thread can be started.");
}
