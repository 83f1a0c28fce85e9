/* query.c -- the table of jobs, their threads, and who waits for them. */
#include "engine/query/query.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/metric.h"
#include "base/random.h"
#include "base/thread.h"
#include "engine/query/run.h"

#define DONE_MAX 512                              /* done jobs that stay in memory */
#define DONE_BYTES_MAX ((size_t)16 * 1024 * 1024) /* of their texts */
#define REQUEST_MS INT64_C(900000)                /* a request id counts for 15 minutes */
#define SWEEP_NS (60 * NS_PER_S)
#define ID_RANDOM 28
#define LOCATION "US"

struct waiter {
    struct waiter *next;
    uint64_t deadline_ns;
    void (*done)(void *arg);
    void *arg;
};

/* A job in memory. It stands in the list of its table from queries_insert until it is dropped. */
struct entry {
    struct entry *next; /* older */
    struct str project, id, request_id,
        json; /* json: as bq_job_write stores it; all in one allocation each */
    enum bq_job_state state;
    int64_t created_ms;
    bool kept;      /* has a record */
    bool cancelled; /* a client asked for its end */
    bool ready;     /* queries_insert has finished with it: it may run */
    struct tables_cancel cancel;
    struct waiter *waiter;
};

#define RECENT_COUNT ((size_t)1 << 16)
#define RECENT_MS 60000
struct recent {
    uint64_t hash;
    int64_t ms;
};

struct queries {
    struct tables *tables;
    struct store *store;
    struct clock *clock;
    pthread_mutex_t lock;   /* guards all below */
    pthread_cond_t changed; /* a job came or ended, or a waiter came */
    struct entry *entry;    /* newest first */
    uint32_t entry_count;
    struct str *seen; /* projects whose unfinished jobs were taken up */
    uint32_t seen_count;
    pthread_t thread[QUERY_THREADS + 1]; /* the keeper is the last one */
    uint32_t thread_count;
    bool stopping;
    struct recent *recent; /* a table of RECENT_COUNT by hash; NULL until the first */
};

struct queries *queries_new(struct tables *t, struct store *s, struct clock *clock)
{
    struct queries *q = mem_alloc(sizeof *q);

    *q = (struct queries){ .tables = t, .store = s, .clock = clock };
    lock_init(&q->lock);
    cond_init(&q->changed);
    return q;
}

static int64_t now_ms(const struct queries *q)
{
    return q->clock->wall_us(q->clock) / 1000;
}

static struct str str_dup(struct str s)
{
    char *p = mem_alloc(s.len + 1);

    if (s.len)
        memcpy(p, s.p, s.len);
    return (struct str){ p, s.len };
}

static void str_drop(struct str *s)
{
    mem_free((char *)(uintptr_t)s->p);
    *s = (struct str){ 0 };
}

static void entry_free(struct entry *n)
{
    assert(!n->waiter);
    tables_cancel_release(&n->cancel);
    str_drop(&n->project);
    str_drop(&n->id);
    str_drop(&n->request_id);
    str_drop(&n->json);
    mem_free(n);
}

/* Under the lock. */
static struct entry *entry_find(const struct queries *q, struct str project, struct str id)
{
    struct entry *n = q->entry;

    while (n && !(str_eq(n->id, id) && str_eq(n->project, project)))
        n = n->next;
    return n;
}

/* Under the lock. */
static struct entry *request_find(const struct queries *q, struct str project, struct str request)
{
    struct entry *n = q->entry;

    while (n && request.len &&
           !(str_eq(n->request_id, request) && str_eq(n->project, project) &&
             now_ms(q) - n->created_ms < REQUEST_MS))
        n = n->next;
    return request.len ? n : NULL;
}

/* Under the lock: removes it from the list. */
static void entry_unlink(struct queries *q, struct entry *n)
{
    struct entry **at = &q->entry;

    while (*at != n)
        at = &(*at)->next;
    *at = n->next;
    q->entry_count--;
}

/* Under the lock: the oldest done jobs beyond the limits go; they have records. */
static void drop_done(struct queries *q)
{
    uint32_t count = 0;
    size_t bytes = 0;

    for (struct entry **at = &q->entry; *at;) {
        struct entry *n = *at;
        bool idle = n->state == BQ_DONE && !n->waiter;
        count += idle;
        bytes += idle ? n->json.len : 0;
        if (!idle || (count <= DONE_MAX && bytes <= DONE_BYTES_MAX)) {
            at = &n->next;
            continue;
        }
        *at = n->next;
        q->entry_count--;
        entry_free(n);
    }
}

/* ---- Waiters ---- */

/* Takes those whose time has come off the list of an entry; all: every one. */
static struct waiter *waiters_take(struct entry *n, uint64_t now_ns, bool all)
{
    struct waiter *taken = NULL;

    for (struct waiter **at = &n->waiter; *at;) {
        struct waiter *w = *at;
        if (!all && w->deadline_ns > now_ns) {
            at = &w->next;
            continue;
        }
        *at = w->next;
        w->next = taken;
        taken = w;
    }
    return taken;
}

static void waiters_tell(struct waiter *w)
{
    while (w) {
        struct waiter *next = w->next;
        w->done(w->arg);
        mem_free(w);
        w = next;
    }
}

void queries_wait(struct queries *q, struct str project, struct str id, uint32_t timeout_ms,
                  void (*done)(void *arg), void *arg)
{
    lock(&q->lock);
    struct entry *n = entry_find(q, project, id);
    bool waits = n && n->state != BQ_DONE && !q->stopping && timeout_ms > 0;
    if (waits) {
        struct waiter *w = mem_alloc(sizeof *w);
        *w = (struct waiter){ n->waiter, deadline_in_ms(timeout_ms), done, arg };
        n->waiter = w;
        cond_broadcast(&q->changed);
    }
    unlock(&q->lock);
    if (!waits)
        done(arg);
}

/* ---- One job ---- */

static struct str job_text(const struct bq_job *j)
{
    struct buf text = BUF_INIT(SIZE_MAX);
    struct json_writer w = JSON_WRITER(&text);

    bq_job_write(&w, NULL, j, BQ_JOB_STORED, (struct str){ 0 });
    struct str kept = str_dup(buf_str(&text));
    buf_release(&text);
    return kept;
}

static int record_put(struct queries *q, const struct bq_job *j, struct error *e)
{
    struct str text = job_text(j);
    const struct tables_job record = {
        .id = j->id,
        .parent = j->parent,
        .state = str_of(bq_job_state_name(j->state)),
        .json = text,
        .created_ms = j->created_ms,
    };
    int rc = q->tables->ops->job_put(q->tables, j->project, &record, e);

    str_drop(&text);
    return rc;
}

/* Errors of ours go to the log: they may name paths and other projects. */
static void hide_internal(struct queries *q, const struct bq_job *j, struct error *e)
{
    bool names_path = str_find(str_of(e->msg), str_of(store_dir(q->store))) != SIZE_MAX;

    if (error_http(e->code) != 500 && !names_path)
        return;
    log_error("job %.*s:%.*s: %s", STR_ARG(j->project), STR_ARG(j->id), e->msg);
    (void)error_set(e, e->code,
                    e->code == ERROR_RESOURCE_EXHAUSTED ? "The server has no room left on its disk."
                                                        : "Internal error encountered.");
}

/* The error becomes the first of the job's faults, before those of rows. */
static void take_error(struct queries *q, struct run *r, bool cancelled, struct error *e)
{
    struct bq_job *j = r->job;

    if (cancelled && e->code == ERROR_CANCELLED)
        (void)error_set(e, ERROR_CANCELLED,
                        "Job execution was cancelled: User requested cancellation");
    hide_internal(q, j, e);
    const struct bq_reason why = bq_reason_of(e, r->where);
    if (j->fault_count == BQ_FAULTS_MAX)
        j->fault_count--;
    memmove(&j->fault[1], &j->fault[0], j->fault_count * sizeof j->fault[0]);
    j->fault[0] = (struct bq_fault){
        .reason = str_of(why.reason),
        .location = str_of(why.location),
        .message = str_of(arena_textf(r->arena, "%s", e->msg)),
    };
    j->fault_count++;
    j->failed = true;
    j->error_http = why.http;
}

static int run_kind(struct run *r, struct error *e)
{
    static int (*const kinds[BQ_JOB_KINDS])(struct run *, struct error *) = {
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
static bool job_run(struct queries *q, struct entry *n, struct run *r)
{
    struct bq_job *j = r->job;
    struct error e = { 0 };

    j->fault_count = 0;
    int rc = run_kind(r, &e);
    lock(&q->lock);
    bool cancelled = n->cancelled, stopping = q->stopping;
    unlock(&q->lock);
    if (rc < 0 && stopping && !cancelled && e.code == ERROR_CANCELLED)
        return false;
    if (rc < 0)
        take_error(q, r, cancelled, &e);
    j->state = BQ_DONE;
    j->ended_ms = now_ms(q);
    count_job(j);
    for (uint32_t i = 0; i < r->child_count; i++) {
        r->child[i].state = BQ_DONE;
        r->child[i].ended_ms = j->ended_ms;
        if (record_put(q, &r->child[i], &e) < 0)
            log_error("job %.*s: a statement's record: %s", STR_ARG(j->id), e.msg);
    }
    if (record_put(q, j, &e) < 0)
        log_error("job %.*s:%.*s: its record: %s", STR_ARG(j->project), STR_ARG(j->id), e.msg);
    return true;
}

/* Under the lock: the new text of an entry. */
static void entry_set(struct entry *n, const struct bq_job *j)
{
    struct str text = job_text(j);

    str_drop(&n->json);
    n->json = text;
    n->state = j->state;
}

static void entry_run(struct queries *q, struct entry *n)
{
    struct arena a = { 0 };
    struct bq_job job;
    struct error e = { 0 };
    struct run r = {
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
    job.started_ms = now_ms(q);
    job.state = BQ_RUNNING;
    lock(&q->lock);
    entry_set(n, &job);
    unlock(&q->lock);
    bool ended = job_run(q, n, &r);
    lock(&q->lock);
    if (ended)
        entry_set(n, &job);
    struct waiter *told = waiters_take(n, 0, true);
    n->kept |= ended;
    cond_broadcast(&q->changed);
    unlock(&q->lock);
    waiters_tell(told);
    arena_release(&a);
}

/* ---- Threads ---- */

/* Under the lock: the oldest job that waits and whose project has a thread left; it is RUNNING then. */
static struct entry *entry_take(struct queries *q)
{
    struct entry *found = NULL;

    for (struct entry *n = q->entry; n; n = n->next) {
        uint32_t running = 0;
        if (n->state != BQ_PENDING || !n->ready)
            continue;
        for (const struct entry *o = q->entry; o; o = o->next)
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
        struct entry *n = entry_take(q);
        if (!n) {
            cond_wait(&q->changed, &q->lock);
            continue;
        }
        unlock(&q->lock);
        entry_run(q, n);
        lock(&q->lock);
        drop_done(q);
    }
    unlock(&q->lock);
    return NULL;
}

/* Under the lock: those whose time has come, and when the next one's comes. */
static struct waiter *overdue(struct queries *q, uint64_t now_ns, uint64_t *next_ns)
{
    struct waiter *all = NULL;

    for (struct entry *n = q->entry; n; n = n->next) {
        for (struct waiter *w = waiters_take(n, now_ns, false), *after; w; w = after) {
            after = w->next;
            w->next = all;
            all = w;
        }
        for (const struct waiter *w = n->waiter; w; w = w->next)
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
        struct waiter *late = overdue(q, now_ns, &next_ns);
        if (!late && now_ns < sweep_ns) {
            (void)cond_wait_until(&q->changed, &q->lock, next_ns);
            continue;
        }
        unlock(&q->lock);
        waiters_tell(late);
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
static int start_threads(struct queries *q, struct error *e)
{
    while (q->thread_count < QUERY_THREADS + 1 &&
           pthread_create(&q->thread[q->thread_count], NULL,
                          q->thread_count ? job_main : keeper_main, q) == 0)
        q->thread_count++;
    return q->thread_count > 1 ? 0 : error_set(e, ERROR_UNAVAILABLE, "No thread can be started.");
}

void queries_stop(struct queries *q)
{
    if (!q)
        return;
    lock(&q->lock);
    q->stopping = true;
    struct waiter *all = NULL;
    for (struct entry *n = q->entry; n; n = n->next) {
        tables_cancel_now(&n->cancel);
        for (struct waiter *w = waiters_take(n, 0, true), *after; w; w = after) {
            after = w->next;
            w->next = all;
            all = w;
        }
    }
    cond_broadcast(&q->changed);
    unlock(&q->lock);
    waiters_tell(all);
    for (uint32_t i = 0; i < q->thread_count; i++)
        thread_join(q->thread[i]);
    q->thread_count = 0;
}

void queries_free(struct queries *q)
{
    if (!q)
        return;
    assert(q->stopping);
    while (q->entry) {
        struct entry *n = q->entry;
        q->entry = n->next;
        entry_free(n);
    }
    for (uint32_t i = 0; i < q->seen_count; i++)
        str_drop(&q->seen[i]);
    mem_free(q->seen);
    mem_free(q->recent);
    cond_destroy(&q->changed);
    lock_destroy(&q->lock);
    mem_free(q);
}

/* ---- New jobs ---- */

/* Under the lock. */
static struct entry *entry_add(struct queries *q, const struct bq_job *j, struct str request_id)
{
    struct entry *n = mem_alloc(sizeof *n);

    *n = (struct entry){
        .next = q->entry,
        .project = str_dup(j->project),
        .id = str_dup(j->id),
        .request_id = str_dup(request_id),
        .created_ms = j->created_ms,
    };
    tables_cancel_init(&n->cancel);
    entry_set(n, j);
    n->state = BQ_PENDING;
    q->entry = n;
    q->entry_count++;
    return n;
}

/* Under the lock: the job may run now, or goes again. */
static void entry_ready(struct queries *q, struct entry *n)
{
    n->ready = true;
    cond_broadcast(&q->changed);
}

static bool is_seen(struct queries *q, struct str project)
{
    bool seen = false;

    lock(&q->lock);
    for (uint32_t i = 0; i < q->seen_count; i++)
        seen |= str_eq(q->seen[i], project);
    if (!seen) {
        q->seen = mem_list_grow(q->seen, q->seen_count, sizeof *q->seen);
        q->seen[q->seen_count++] = str_dup(project);
    }
    unlock(&q->lock);
    return seen;
}

static void take_up_record(struct queries *q, struct str json)
{
    struct arena a = { 0 };
    struct bq_job j;
    struct error e = { 0 };

    if (bq_job_read(json, &a, &j, &e) < 0) {
        log_error("%s", e.msg);
    } else {
        lock(&q->lock);
        if (!entry_find(q, j.project, j.id) && !q->stopping && start_threads(q, &e) == 0) {
            struct entry *n = entry_add(q, &j, (struct str){ 0 });
            n->kept = true;
            entry_ready(q, n);
        }
        unlock(&q->lock);
    }
    arena_release(&a);
}

/* The first use of a project in this process: its unfinished jobs go on. */
static void take_up(struct queries *q, struct str project)
{
    static const char *const states[] = { "RUNNING", "PENDING" };
    struct arena a = { 0 };
    struct error e = { 0 };

    if (is_seen(q, project))
        return;
    for (size_t i = 0; i < ARRAY_LEN(states); i++) {
        const struct tables_jobs_page page = { .project = project,
                                               .state = str_of(states[i]),
                                               .limit = TABLES_PAGE_MAX };
        struct tables_jobs list = { 0 };
        if (q->tables->ops->job_list(q->tables, &page, &a, &list, &e) < 0)
            break;
        for (uint32_t k = 0; k < list.count; k++)
            take_up_record(q, list.item[k].json);
    }
    arena_release(&a);
}

static int job_make(struct queries *q, const struct query_new *n, struct arena *a,
                    struct bq_job *out, struct error *e)
{
    struct bq_configuration c;
    char id[ID_RANDOM + 1];
    size_t at;
    yyjson_val *configuration = json_parse(a, n->configuration, &at, e);
    const struct bq_table_ref none = { 0 };

    if (!configuration || bq_configuration_read(configuration, &c, e) < 0 ||
        run_check_format(&c, e) < 0 || (n->id.len && bq_job_id_check(n->id, e) < 0) ||
        random_text(id, ID_RANDOM, ALPHABET_62, e) < 0)
        return -1;
    *out = (struct bq_job){
        .project = n->project,
        .id = n->id.len ? n->id : str_of(arena_textf(a, "job_%s", id)),
        .location = n->location.len ? n->location : STR(LOCATION),
        .user = n->user,
        .kind = c.kind,
        .dry_run = c.dry_run,
        .created_ms = now_ms(q),
        .configuration = run_configuration(a, &c, &none),
        .blob = n->blob,
        .scoped = n->scoped,
    };
    return 0;
}

static int duplicate(const struct bq_job *j, struct error *e)
{
    return error_set(e, ERROR_ALREADY_EXISTS, "Already Exists: Job %.*s:%.*s.%.*s",
                     STR_ARG(j->project), STR_ARG(j->location), STR_ARG(str_cut(j->id, 200)));
}

/* A name that the client chose must be new, also among the records. Makes the job's record. */
static int record_begin(struct queries *q, const struct query_new *n, const struct bq_job *j,
                        struct arena *a, struct error *e)
{
    struct tables_job old;
    struct error why = { 0 };

    if (!n->kept)
        return 0;
    if (n->id.len) {
        if (q->tables->ops->job_get(q->tables, j->project, j->id, a, &old, &why) == 0)
            return duplicate(j, e);
        if (why.code != ERROR_NOT_FOUND) {
            *e = why;
            return -1;
        }
    }
    return record_put(q, j, e);
}

/* The job's place in the list; NULL with j->id set: there is one already with this request's id. */
static int place_take(struct queries *q, const struct query_new *n, struct bq_job *j,
                      struct arena *a, struct entry **out, struct error *e)
{
    int rc = 0;

    *out = NULL;
    lock(&q->lock);
    const struct entry *same = request_find(q, n->project, n->request_id);
    if (same)
        j->id = (struct str){ arena_copy(a, same->id.p, same->id.len), same->id.len };
    else if (entry_find(q, j->project, j->id))
        rc = duplicate(j, e);
    else if (q->stopping)
        rc = error_set(e, ERROR_UNAVAILABLE, "The service ends; try again.");
    else if (q->entry_count >= QUERY_QUEUE_MAX)
        rc = error_set(e, ERROR_UNAVAILABLE, "More than %d jobs are open; try again.",
                       QUERY_QUEUE_MAX);
    else if (start_threads(q, e) < 0)
        rc = -1;
    else
        *out = entry_add(q, j, n->request_id);
    unlock(&q->lock);
    return rc;
}

int queries_insert(struct queries *q, const struct query_new *n, struct arena *a, struct str *id,
                   struct error *e)
{
    struct bq_job j;
    struct entry *place;

    if (job_make(q, n, a, &j, e) < 0)
        return -1;
    take_up(q, n->project);
    if (place_take(q, n, &j, a, &place, e) < 0)
        return -1;
    *id = j.id;
    if (!place)
        return 0;
    int rc = record_begin(q, n, &j, a, e);
    lock(&q->lock);
    if (rc == 0) {
        place->kept = n->kept;
        entry_ready(q, place);
    } else {
        entry_unlink(q, place);
    }
    unlock(&q->lock);
    if (rc < 0)
        entry_free(place);
    return rc;
}

int queries_check(struct queries *q, const struct query_new *n, struct arena *a, struct bq_job *out,
                  struct error *e)
{
    struct run r = {
        .tables = q->tables, .store = q->store, .clock = q->clock, .arena = a, .job = out
    };

    if (job_make(q, n, a, out, e) < 0)
        return -1;
    out->id = (struct str){ 0 };
    out->state = BQ_DONE;
    out->ended_ms = out->created_ms;
    if (out->kind != BQ_JOB_QUERY)
        return error_set(e, ERROR_INVALID_ARGUMENT, "Only a query can be a dry run.");
    return run_kind(&r, e);
}

/* ---- Jobs by name ---- */

static int unknown(struct str project, struct str id, struct error *e)
{
    return error_set(e, ERROR_NOT_FOUND, "Not found: Job %.*s:" LOCATION ".%.*s",
                     STR_ARG(str_cut(project, 128)), STR_ARG(str_cut(id, 200)));
}

int queries_get(struct queries *q, struct str project, struct str id, struct arena *a,
                struct bq_job *out, struct error *e)
{
    struct str json = { 0 };
    struct tables_job record;
    struct error why = { 0 };

    if (bq_job_id_check(id, &why) < 0)
        return unknown(project, id, e);
    take_up(q, project);
    lock(&q->lock);
    const struct entry *n = entry_find(q, project, id);
    if (n)
        json = (struct str){ arena_copy(a, n->json.p, n->json.len), n->json.len };
    unlock(&q->lock);
    if (!json.len) {
        if (q->tables->ops->job_get(q->tables, project, id, a, &record, &why) < 0) {
            if (why.code == ERROR_NOT_FOUND)
                return unknown(project, id, e);
            *e = why;
            return -1;
        }
        json = record.json;
    }
    return bq_job_read(json, a, out, e);
}

int queries_cancel(struct queries *q, struct str project, struct str id, struct error *e)
{
    struct arena a = { 0 };
    struct bq_job j;
    int rc = queries_get(q, project, id, &a, &j, e);

    lock(&q->lock);
    struct entry *n = rc == 0 ? entry_find(q, project, id) : NULL;
    if (n && n->state != BQ_DONE) {
        n->cancelled = true;
        tables_cancel_now(&n->cancel);
    }
    unlock(&q->lock);
    arena_release(&a);
    return rc;
}

int queries_delete(struct queries *q, struct str project, struct str id, struct error *e)
{
    struct arena a = { 0 };
    struct bq_job j = { 0 };
    int rc = queries_get(q, project, id, &a, &j, e);

    if (rc == 0 && j.state != BQ_DONE)
        rc = error_set(e, ERROR_FAILED_PRECONDITION, "The job %.*s is not done; cancel it first.",
                       STR_ARG(str_cut(id, 200)));
    if (rc == 0) {
        lock(&q->lock);
        struct entry *n = entry_find(q, project, id);
        if (n) {
            entry_unlink(q, n);
            entry_free(n);
        }
        unlock(&q->lock);
        rc = q->tables->ops->job_delete(q->tables, project, id, e);
    }
    arena_release(&a);
    return rc;
}

int queries_list(struct queries *q, const struct tables_jobs_page *page, struct arena *a,
                 struct tables_jobs *out, struct error *e)
{
    take_up(q, page->project);
    return q->tables->ops->job_list(q->tables, page, a, out, e);
}

bool queries_seen(struct queries *q, uint64_t hash)
{
    lock(&q->lock);
    const struct recent *r = q->recent ? &q->recent[hash % RECENT_COUNT] : NULL;
    bool seen = r && r->hash == hash && now_ms(q) - r->ms < RECENT_MS;
    unlock(&q->lock);
    return seen;
}

void queries_see(struct queries *q, uint64_t hash)
{
    lock(&q->lock);
    if (!q->recent)
        q->recent = mem_array(RECENT_COUNT, sizeof *q->recent);
    q->recent[hash % RECENT_COUNT] = (struct recent){ hash, now_ms(q) };
    unlock(&q->lock);
}
