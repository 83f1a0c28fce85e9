/* query.c -- jobs by name: made, found, waited for, cancelled, listed. */
#include "engine/query/query_inner.h"

#include <assert.h>

#include "base/log.h"
#include "base/random.h"

#define ID_RANDOM 28
#define LOCATION "US"
#define RECENT_COUNT ((size_t)1 << 16)
#define RECENT_MS 60000

struct queries *queries_new(struct tables *t, struct store *s, struct clock *clock)
{
    struct queries *q = mem_alloc(sizeof *q);

    *q = (struct queries){ .tables = t, .store = s, .clock = clock };
    lock_init(&q->lock);
    cond_init(&q->changed);
    return q;
}

void queries_stop(struct queries *q)
{
    if (!q)
        return;
    lock(&q->lock);
    q->stopping = true;
    struct query_waiter *all = NULL;
    for (struct query_entry *n = q->entry; n; n = n->next) {
        tables_cancel_now(&n->cancel);
        for (struct query_waiter *w = query_waiters_take(n, 0, true), *after; w; w = after) {
            after = w->next;
            w->next = all;
            all = w;
        }
    }
    cond_broadcast(&q->changed);
    unlock(&q->lock);
    query_waiters_tell(all);
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
        struct query_entry *n = q->entry;
        q->entry = n->next;
        query_entry_free(n);
    }
    for (uint32_t i = 0; i < q->seen_count; i++)
        query_str_drop(&q->seen[i]);
    mem_free(q->seen);
    mem_free(q->recent);
    cond_destroy(&q->changed);
    lock_destroy(&q->lock);
    mem_free(q);
}

static bool is_seen(struct queries *q, struct str project)
{
    bool seen = false;

    lock(&q->lock);
    for (uint32_t i = 0; i < q->seen_count; i++)
        seen |= str_eq(q->seen[i], project);
    if (!seen) {
        q->seen = mem_list_grow(q->seen, q->seen_count, sizeof *q->seen);
        q->seen[q->seen_count++] = query_str_dup(project);
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
        if (!query_entry_find(q, j.project, j.id) && !q->stopping &&
            query_start_threads(q, &e) == 0) {
            struct query_entry *n = query_entry_add(q, &j, (struct str){ 0 });
            n->kept = true;
            query_entry_ready(q, n);
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
        .created_ms = query_now_ms(q),
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
    return query_record_put(q, j, e);
}

/* The job's place in the list; NULL with j->id set: there is one already with this request's id. */
static int place_take(struct queries *q, const struct query_new *n, struct bq_job *j,
                      struct arena *a, struct query_entry **out, struct error *e)
{
    int rc = 0;

    *out = NULL;
    lock(&q->lock);
    const struct query_entry *same = query_request_find(q, n->project, n->request_id);
    if (same)
        j->id = (struct str){ arena_copy(a, same->id.p, same->id.len), same->id.len };
    else if (query_entry_find(q, j->project, j->id))
        rc = duplicate(j, e);
    else if (q->stopping)
        rc = error_set(e, ERROR_UNAVAILABLE, "The service ends; try again.");
    else if (q->entry_count >= QUERY_QUEUE_MAX)
        rc = error_set(e, ERROR_UNAVAILABLE, "More than %d jobs are open; try again.",
                       QUERY_QUEUE_MAX);
    else if (query_start_threads(q, e) < 0)
        rc = -1;
    else
        *out = query_entry_add(q, j, n->request_id);
    unlock(&q->lock);
    return rc;
}

int queries_insert(struct queries *q, const struct query_new *n, struct arena *a, struct str *id,
                   struct error *e)
{
    struct bq_job j;
    struct query_entry *place;

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
        place->scripted = n->scripted;
        query_entry_ready(q, place);
    } else {
        query_entry_unlink(q, place);
    }
    unlock(&q->lock);
    if (rc < 0)
        query_entry_free(place);
    return rc;
}

int queries_check(struct queries *q, const struct query_new *n, struct arena *a, struct bq_job *out,
                  struct error *e)
{
    struct query_run r = {
        .tables = q->tables, .store = q->store, .clock = q->clock, .arena = a, .job = out
    };

    if (job_make(q, n, a, out, e) < 0)
        return -1;
    out->id = (struct str){ 0 };
    out->state = BQ_DONE;
    out->ended_ms = out->created_ms;
    if (out->kind != BQ_JOB_QUERY)
        return error_set(e, ERROR_INVALID_ARGUMENT, "Only a query can be a dry run.");
    return query_run_kind(&r, e);
}

/* ---- Jobs by name ---- */

static int unknown(struct str project, struct str id, struct error *e)
{
    return error_set(e, ERROR_NOT_FOUND, "Not found: Job %.*s:" LOCATION ".%.*s",
                     STR_ARG(str_cut(project, 128)), STR_ARG(str_cut(id, 200)));
}

void queries_wait(struct queries *q, struct str project, struct str id, uint32_t timeout_ms,
                  void (*done)(void *arg), void *arg)
{
    take_up(q, project);
    lock(&q->lock);
    struct query_entry *n = query_entry_find(q, project, id);
    bool waits = n && n->state != BQ_DONE && !q->stopping && timeout_ms > 0;
    if (waits) {
        struct query_waiter *w = mem_alloc(sizeof *w);
        *w = (struct query_waiter){ n->waiter, deadline_in_ms(timeout_ms), done, arg };
        n->waiter = w;
        cond_broadcast(&q->changed);
    }
    unlock(&q->lock);
    if (!waits)
        done(arg);
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
    const struct query_entry *n = query_entry_find(q, project, id);
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
    struct query_entry *n = rc == 0 ? query_entry_find(q, project, id) : NULL;
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
        struct query_entry *n = query_entry_find(q, project, id);
        if (n) {
            query_entry_unlink(q, n);
            query_entry_free(n);
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
    const struct query_recent *r = q->recent ? &q->recent[hash % RECENT_COUNT] : NULL;
    bool seen = r && r->hash == hash && query_now_ms(q) - r->ms < RECENT_MS;
    unlock(&q->lock);
    return seen;
}

void queries_see(struct queries *q, uint64_t hash)
{
    lock(&q->lock);
    if (!q->recent)
        q->recent = mem_array(RECENT_COUNT, sizeof *q->recent);
    q->recent[hash % RECENT_COUNT] = (struct query_recent){ hash, query_now_ms(q) };
    unlock(&q->lock);
}
