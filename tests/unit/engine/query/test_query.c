/* Jobs on tables: their states, waiters, names, ends and restarts, over tables that only pretend. */
#include "engine/query/query.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/thread.h"
#include "scratch.h"

#define RECORDS_MAX 64

/* Tables whose queries end when the test says so: "hold" waits for `go` or a cancel, "fail" fails. */
struct pretended {
    struct tables base;
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t changed;
    bool go;
    uint32_t begun; /* queries */
    struct tables_job record[RECORDS_MAX];
    uint32_t record_count;
    struct arena arena;
};

static struct pretended *of(struct tables *t)
{
    return (struct pretended *)t;
}

static void wake(void *arg)
{
    struct pretended *p = arg;

    cond_broadcast(&p->changed);
}

static int pretend_query(struct tables *t, const struct tables_query *q, struct arena *a,
                         struct tables_result *out, struct error *e)
{
    struct pretended *p = of(t);
    bool stopped = !tables_cancel_set(q->cancel, wake, p);

    (void)a;
    lock(&p->lock);
    p->begun++;
    cond_broadcast(&p->changed);
    while (str_eq(q->sql, STR("hold")) && !p->go && !stopped) {
        (void)cond_wait_until(&p->changed, &p->lock, deadline_in_ms(10));
        lock(&q->cancel->lock);
        stopped = q->cancel->asked;
        unlock(&q->cancel->lock);
    }
    unlock(&p->lock);
    (void)tables_cancel_set(q->cancel, NULL, NULL);
    if (stopped)
        return error_set(e, ERROR_CANCELLED, "stopped");
    if (str_eq(q->sql, STR("fail")))
        return error_set(e, ERROR_INVALID_ARGUMENT, "Syntax error at [1:1]");
    if (str_eq(q->sql, STR("break")))
        return error_set(e, ERROR_INTERNAL, "a secret of the machine");
    *out = (struct tables_result){ .statement = STR("SELECT"), .has_rows = true, .rows = 7 };
    return 0;
}

static struct tables_job *record_find(struct pretended *p, struct str id)
{
    for (uint32_t i = 0; i < p->record_count; i++)
        if (str_eq(p->record[i].id, id))
            return &p->record[i];
    return NULL;
}

static struct str keep(struct pretended *p, struct str s)
{
    return (struct str){ arena_copy(&p->arena, s.p, s.len), s.len };
}

static int pretend_job_put(struct tables *t, struct str project, const struct tables_job *job,
                           struct error *e)
{
    struct pretended *p = of(t);

    (void)project;
    (void)e;
    lock(&p->lock);
    struct tables_job *r = record_find(p, job->id);
    assert_true(r || p->record_count < RECORDS_MAX);
    if (!r)
        r = &p->record[p->record_count++];
    *r = *job;
    r->id = keep(p, job->id);
    r->state = keep(p, job->state);
    r->json = keep(p, job->json);
    unlock(&p->lock);
    return 0;
}

static int pretend_job_get(struct tables *t, struct str project, struct str id, struct arena *a,
                           struct tables_job *out, struct error *e)
{
    struct pretended *p = of(t);

    (void)project;
    lock(&p->lock);
    const struct tables_job *r = record_find(p, id);
    if (r) {
        *out = *r;
        out->json = (struct str){ arena_copy(a, r->json.p, r->json.len), r->json.len };
    }
    unlock(&p->lock);
    return r ? 0 : error_set(e, ERROR_NOT_FOUND, "none");
}

static int pretend_job_list(struct tables *t, const struct tables_jobs_page *page, struct arena *a,
                            struct tables_jobs *out, struct error *e)
{
    struct pretended *p = of(t);

    (void)e;
    lock(&p->lock);
    *out = (struct tables_jobs){ .item = arena_array(a, RECORDS_MAX, sizeof *out->item) };
    for (uint32_t i = 0; i < p->record_count; i++)
        if (page->state.len == 0 || str_eq(page->state, p->record[i].state))
            out->item[out->count++] = p->record[i];
    unlock(&p->lock);
    return 0;
}

static int pretend_job_delete(struct tables *t, struct str project, struct str id, struct error *e)
{
    struct pretended *p = of(t);

    (void)project;
    (void)e;
    lock(&p->lock);
    struct tables_job *r = record_find(p, id);
    if (r)
        *r = p->record[--p->record_count];
    unlock(&p->lock);
    return 0;
}

static int pretend_sweep(struct tables *t, struct error *e)
{
    (void)t;
    (void)e;
    return 0;
}

static const struct tables_ops pretended_ops = {
    .name = "pretended",
    .query = pretend_query,
    .job_put = pretend_job_put,
    .job_get = pretend_job_get,
    .job_list = pretend_job_list,
    .job_delete = pretend_job_delete,
    .sweep = pretend_sweep,
};

struct world {
    struct pretended tables;
    struct scratch scratch;
    struct store *store;
    struct queries *queries;
    struct arena arena;
    pthread_mutex_t lock; /* guards told */
    pthread_cond_t changed;
    uint32_t told; /* calls of waiters */
};

static int set_up(void **state)
{
    struct world *w = mem_alloc(sizeof *w);
    struct error e = { 0 };

    w->tables.base.ops = &pretended_ops;
    lock_init(&w->tables.lock);
    cond_init(&w->tables.changed);
    lock_init(&w->lock);
    cond_init(&w->changed);
    scratch_make(&w->scratch);
    w->store = store_open(w->scratch.dir, true, clock_system(), &e);
    assert_non_null(w->store);
    w->queries = queries_new(&w->tables.base, w->store, clock_system());
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;

    queries_stop(w->queries);
    queries_free(w->queries);
    store_close(w->store);
    scratch_remove(&w->scratch);
    arena_release(&w->arena);
    arena_release(&w->tables.arena);
    cond_destroy(&w->tables.changed);
    lock_destroy(&w->tables.lock);
    cond_destroy(&w->changed);
    lock_destroy(&w->lock);
    mem_free(w);
    return 0;
}

static void on_told(void *arg)
{
    struct world *w = arg;

    lock(&w->lock);
    w->told++;
    cond_broadcast(&w->changed);
    unlock(&w->lock);
}

static void until_told(struct world *w, uint32_t count)
{
    lock(&w->lock);
    while (w->told < count)
        cond_wait(&w->changed, &w->lock);
    unlock(&w->lock);
}

static void until_begun(struct world *w, uint32_t count)
{
    lock(&w->tables.lock);
    while (w->tables.begun < count)
        cond_wait(&w->tables.changed, &w->tables.lock);
    unlock(&w->tables.lock);
}

static void let_go(struct world *w)
{
    lock(&w->tables.lock);
    w->tables.go = true;
    cond_broadcast(&w->tables.changed);
    unlock(&w->tables.lock);
}

static struct query_new job_of(struct world *w, const char *sql)
{
    return (struct query_new){
        .project = STR("p"),
        .user = STR("u"),
        .configuration = str_of(arena_textf(&w->arena, "{\"query\":{\"query\":\"%s\"}}", sql)),
        .kept = true,
    };
}

static struct str insert(struct world *w, const struct query_new *n)
{
    struct str id;
    struct error e = { 0 };

    if (queries_insert(w->queries, n, &w->arena, &id, &e) < 0)
        fail_msg("%s", e.msg);
    return id;
}

static struct bq_job get(struct world *w, struct str id)
{
    struct bq_job j;
    struct error e = { 0 };

    if (queries_get(w->queries, STR("p"), id, &w->arena, &j, &e) < 0)
        fail_msg("%s", e.msg);
    return j;
}

static struct bq_job when_done(struct world *w, struct str id)
{
    uint32_t told = w->told;

    queries_wait(w->queries, STR("p"), id, UINT32_MAX, on_told, w);
    until_told(w, told + 1);
    return get(w, id);
}

/* Goal: a job ends, its waiters hear of it, and what came of it can be read, also from its record. */
static void test_a_job_runs_to_its_end_and_is_recorded(void **state)
{
    struct world *w = *state;
    struct query_new n = job_of(w, "fine");
    struct bq_job j = when_done(w, insert(w, &n));

    assert_int_equal(j.state, BQ_DONE);
    assert_false(j.failed);
    assert_int_equal(j.result.rows, 7);
    assert_string_equal(arena_textf(&w->arena, "%.*s", STR_ARG(w->tables.record[0].state)), "DONE");
}

/* Goal: a failure is the job's own, with its reason; what is internal is not shown. */
static void test_failures_have_reasons_and_no_secrets(void **state)
{
    struct world *w = *state;
    struct query_new fails = job_of(w, "fail"), breaks = job_of(w, "break");
    struct bq_job j = when_done(w, insert(w, &fails));

    assert_true(j.failed);
    assert_true(str_eq(j.fault[0].reason, STR("invalidQuery")));
    assert_int_equal(j.error_http, 400);
    j = when_done(w, insert(w, &breaks));
    assert_true(str_find(j.fault[0].message, STR("secret")) == SIZE_MAX);
    assert_int_equal(j.error_http, 500);
}

/* Goal: a waiter is called at its deadline while the job goes on, and at once for a job that nobody knows. */
static void test_a_waiter_does_not_wait_longer_than_it_asked_for(void **state)
{
    struct world *w = *state;
    struct query_new n = job_of(w, "hold");
    struct str id = insert(w, &n);

    until_begun(w, 1);
    queries_wait(w->queries, STR("p"), id, 1, on_told, w);
    until_told(w, 1);
    assert_int_equal(get(w, id).state, BQ_RUNNING);
    queries_wait(w->queries, STR("p"), STR("unknown"), UINT32_MAX, on_told, w);
    until_told(w, 2);
    let_go(w);
    assert_int_equal(when_done(w, id).state, BQ_DONE);
}

/* Goal: a cancelled job ends as stopped, whether it runs or still waits for a thread of its project. */
static void test_cancelled_jobs_are_stopped(void **state)
{
    struct world *w = *state;
    struct query_new n = job_of(w, "hold");
    struct str id[QUERY_PROJECT_MAX + 1];
    struct error e = { 0 };

    for (size_t i = 0; i < ARRAY_LEN(id); i++)
        id[i] = insert(w, &n);
    until_begun(w, QUERY_PROJECT_MAX);
    assert_int_equal(get(w, id[QUERY_PROJECT_MAX]).state, BQ_PENDING);
    for (size_t i = 0; i < ARRAY_LEN(id); i++)
        assert_int_equal(queries_cancel(w->queries, STR("p"), id[i], &e), 0);
    for (size_t i = 0; i < ARRAY_LEN(id); i++) {
        struct bq_job j = when_done(w, id[i]);
        assert_true(str_eq(j.fault[0].reason, STR("stopped")));
    }
}

/* Goal: a name is taken once, also by a job that only a record knows, and a repeated request is one job. */
static void test_names_and_requests_are_unique(void **state)
{
    struct world *w = *state;
    struct query_new n = job_of(w, "fine"), asked = job_of(w, "fine");
    struct error e = { 0 };
    struct str id;

    n.id = STR("mine");
    (void)when_done(w, insert(w, &n));
    assert_int_equal(queries_insert(w->queries, &n, &w->arena, &id, &e), -1);
    assert_int_equal(e.code, ERROR_ALREADY_EXISTS);
    assert_string_equal(e.msg, "Already Exists: Job p:US.mine");
    asked.request_id = STR("r1");
    id = insert(w, &asked);
    assert_true(str_eq(id, insert(w, &asked)));
    asked.request_id = STR("r2");
    assert_false(str_eq(id, insert(w, &asked)));
    assert_int_equal(queries_delete(w->queries, STR("p"), STR("mine"), &e), 0);
    (void)when_done(w, insert(w, &n));
}

/* Goal: jobs that a service leaves unfinished run again, with the same names, when their project is used next. */
static void test_unfinished_jobs_go_on_after_a_restart(void **state)
{
    struct world *w = *state;
    struct query_new n = job_of(w, "hold");
    struct str id = insert(w, &n);

    until_begun(w, 1);
    queries_wait(w->queries, STR("p"), id, UINT32_MAX, on_told, w);
    queries_stop(w->queries);
    until_told(w, 1); /* with the job as it is */
    assert_int_equal(get(w, id).state, BQ_RUNNING);
    queries_free(w->queries);
    let_go(w);
    w->queries = queries_new(&w->tables.base, w->store, clock_system());
    struct bq_job j = when_done(w, id);
    assert_int_equal(j.state, BQ_DONE);
    assert_false(j.failed);
}

/* Goal: ids of rows are known for a while, and one that is new is not. */
static void test_ids_of_rows_are_remembered(void **state)
{
    struct world *w = *state;

    assert_false(queries_seen(w->queries, 5));
    queries_see(w->queries, 5);
    assert_true(queries_seen(w->queries, 5));
    assert_false(queries_seen(w->queries, 6));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_job_runs_to_its_end_and_is_recorded, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_failures_have_reasons_and_no_secrets, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_waiter_does_not_wait_longer_than_it_asked_for,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cancelled_jobs_are_stopped, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_names_and_requests_are_unique, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_unfinished_jobs_go_on_after_a_restart, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_ids_of_rows_are_remembered, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
