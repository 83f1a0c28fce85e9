/* job_world.h -- short words for what the tests of jobs and webhooks do with a store of their own. */
#ifndef TRANCHE_TESTS_JOB_WORLD_H
#define TRANCHE_TESTS_JOB_WORLD_H

#include "unit/store/objects/blob_world.h"
#include "base/random.h"
#include "store/jobs/jobs_inner.h"
#include "store/jobs/webhooks.h"

static inline struct job job_new(const char *project)
{
    struct job j = {
        .dialect = DIALECT_VERTEX,
        .location = "us-central1",
        .model = STR("publishers/google/models/gemini-2.5-flash"),
        .display_name = STR("name"),
        .spec = STR("{\"model\":\"m\"}"),
    };

    (void)snprintf(j.project, sizeof j.project, "%s", project);
    return j;
}

static inline struct job create_as(struct world *w, struct job j)
{
    struct error e = { 0 };
    bool existed = true;

    ASSERT_OK(job_create(w->s, &w->a, &j, NULL, &existed, &e), e);
    assert_false(existed);
    return j;
}

static inline struct job create(struct world *w)
{
    return create_as(w, job_new("p"));
}

static inline struct job get(struct world *w, int64_t id)
{
    struct error e = { 0 };
    struct job j;

    assert_int_equal(job_get(w->s, &w->a, NULL, id, &j, &e), 1);
    assert_true(counters_balanced(&j.counters));
    return j;
}

static inline struct job queued(struct world *w)
{
    struct error e = { 0 };
    struct job j = create(w);

    j.counters.total = 10;
    ASSERT_OK(job_checked(w->s, &j, &e), e);
    return get(w, j.id);
}

static inline struct job running(struct world *w)
{
    struct error e = { 0 };
    struct job j = queued(w);

    ASSERT_OK(job_begin(w->s, &j, &e), e);
    return j;
}

static inline void sql(struct world *w, const char *text)
{
    struct error e = { 0 };
    struct db *d = store_write(w->s, &e);

    assert_non_null(d);
    ASSERT_OK(store_commit(w->s, d, db_exec(d, text, "test", &e), &e), e);
}

static inline struct job succeed(struct world *w, struct job j)
{
    struct error e = { 0 };
    const struct job_end end = { .to = JOB_SUCCEEDED };

    j.counters.succeeded = j.counters.total;
    ASSERT_OK(job_finish(w->s, &j, &end, &e), e);
    return j;
}

static inline uint32_t events_of(struct world *w, int64_t id, struct event *out, uint32_t cap)
{
    struct error e = { 0 };
    uint32_t count = 0;

    ASSERT_OK(events_after(w->s, &(struct event_query){ .job = id, .most = cap }, out, &count, &e),
              e);
    return count;
}

static inline void expect_same(const struct job *a, const struct job *b)
{
    assert_int_equal(a->id, b->id);
    assert_string_equal(a->batch, b->batch);
    assert_string_equal(a->project, b->project);
    assert_string_equal(a->location, b->location);
    assert_int_equal(a->state, b->state);
    assert_int_equal(a->asked, b->asked);
    assert_true(str_eq(a->display_name, b->display_name));
    assert_true(str_eq(a->error_message, b->error_message));
    assert_true(str_eq(a->pause_reason, b->pause_reason));
    assert_true(str_eq(a->output, b->output));
    assert_memory_equal(&a->counters, &b->counters, sizeof a->counters);
    assert_int_equal(a->priority, b->priority);
    assert_int_equal(a->end_us, b->end_us);
    assert_int_equal(a->update_us, b->update_us);
    assert_int_equal(a->ran_us, b->ran_us);
    assert_int_equal(a->fence, b->fence);
    assert_int_equal(a->result, b->result);
}

static inline int finish_as(struct world *w, struct job *j, enum job_state to, struct error *e)
{
    const struct job_end end = { .to = to };

    return job_finish(w->s, j, &end, e);
}

static inline uint64_t rows(struct world *w, const char *text)
{
    struct error e = { 0 };
    struct db *d = store_read(w->s, &e);

    assert_non_null(d);
    struct stmt *q = db_stmt(d, text);
    assert_int_equal(db_step(q, "test", &e), 1);
    uint64_t n = (uint64_t)db_int(q, 0);
    store_read_done(w->s, d);
    return n;
}

#endif
