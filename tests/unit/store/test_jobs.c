/* Goal: a job's record moves only as its table of states allows, under the newest fence, whole or not at
 * all, whoever asks at the same time. Method: a real store in a scratch folder; every state against every
 * call; faults at each of SQLite's calls; threads. */
#include <errno.h>
#include <pthread.h>

#include "base/fault.h"
#include "job_world.h"

static void expect_same(const struct job *a, const struct job *b)
{
    assert_int_equal(a->id, b->id);
    assert_string_equal(a->batch, b->batch);
    assert_string_equal(a->project, b->project);
    assert_string_equal(a->location, b->location);
    assert_int_equal(a->state, b->state);
    assert_int_equal(a->wish, b->wish);
    assert_true(str_eq(a->display_name, b->display_name));
    assert_true(str_eq(a->error_message, b->error_message));
    assert_true(str_eq(a->pause_reason, b->pause_reason));
    assert_true(str_eq(a->output, b->output));
    assert_memory_equal(&a->books, &b->books, sizeof a->books);
    assert_int_equal(a->priority, b->priority);
    assert_int_equal(a->end_us, b->end_us);
    assert_int_equal(a->update_us, b->update_us);
    assert_int_equal(a->ran_us, b->ran_us);
    assert_int_equal(a->fence, b->fence);
    assert_int_equal(a->result, b->result);
}

/* ---- Creating and reading ---- */

static void test_a_job_comes_back_with_every_member(void **state)
{
    struct world *w = *state;
    struct job j = {
        .dialect = DIALECT_GEMINI,
        .source = JOB_FILE,
        .project = "p",
        .location = "global",
        .open = true,
        .priority = -7,
        .model = STR("models/m"),
        .display_name = STR("a \"name\""),
        .spec = STR("{\"a\":1}"),
        .webhook = STR("{\"uris\":[]}"),
        .test = STR("fail"),
        .options = { .validate_only = true,
                     .strict = true,
                     .budget_nano = UINT64_MAX,
                     .budget_tokens = 5,
                     .error_rate_max = 0.25,
                     .error_lines_min = 9 },
        .request_id = STR("r"),
        .retry_of = 77,
        .wish = WISH_CANCEL, /* what a client must not set is not taken over */
        .state = JOB_SUCCEEDED,
        .fence = 3,
        .result = 4,
        .end_us = 5,
    };
    struct job made = create_as(w, j), got = get(w, made.id);

    assert_int_equal(got.state, JOB_PENDING);
    assert_int_equal(got.wish, WISH_NONE);
    assert_int_equal(got.fence + got.result + got.end_us, 0);
    assert_int_equal(got.create_us, NOW_US);
    assert_int_equal(got.update_us, NOW_US);
    assert_int_equal(got.dialect, DIALECT_GEMINI);
    assert_int_equal(got.source, JOB_FILE);
    assert_true(got.open);
    assert_true(str_eq(got.model, j.model));
    assert_true(str_eq(got.spec, j.spec));
    assert_true(str_eq(got.webhook, j.webhook));
    assert_true(str_eq(got.test, j.test));
    assert_true(str_eq(got.request_id, j.request_id));
    assert_true(got.options.validate_only && got.options.strict);
    assert_true(got.options.budget_nano == UINT64_MAX);
    assert_true(got.options.error_rate_max == 0.25);
    assert_int_equal(got.options.budget_tokens, 5);
    assert_int_equal(got.options.error_lines_min, 9);
    assert_int_equal(got.retry_of, 77);
    expect_same(&got, &made);
}

static void test_ids_have_19_digits_and_none_comes_twice(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct job a = create(w), b = create(w), out;

    assert_true(a.id >= NOW_US * 1000 && a.id <= INT64_C(9223372036854775807));
    assert_true(a.id >= INT64_C(1000000000000000000));
    assert_int_equal(b.id, a.id + 1); /* the clock stands */
    ASSERT_OK(job_cancel(w->s, &w->a, "p", b.id, &out, &e), e);
    ASSERT_OK(job_delete(w->s, "p", b.id, &e), e);
    w->clock.fake_us = NOW_US - 1000000; /* and goes back, over a restart */
    world_reopen(w);
    assert_int_equal(create(w).id, b.id + 1);
    w->clock.fake_us = INT64_MAX / 2;
    assert_true(create(w).id > b.id + 1);
}

static void test_gemini_jobs_have_names_that_cannot_be_guessed(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct job j = job_new("p"), got;

    j.dialect = DIALECT_GEMINI;
    struct job a = create_as(w, j), b = create_as(w, j);
    assert_int_equal(strlen(a.batch), 36);
    assert_int_equal(strspn(a.batch, ALPHABET_36), 36);
    assert_string_not_equal(a.batch, b.batch);
    assert_int_equal(job_get_batch(w->s, &w->a, "p", b.batch, &got, &e), 1);
    assert_int_equal(got.id, b.id);
    assert_int_equal(job_get_batch(w->s, &w->a, NULL, b.batch, &got, &e), 1);
    assert_int_equal(job_get_batch(w->s, &w->a, "q", b.batch, &got, &e), 0);
    assert_string_equal(create(w).batch, "");
    assert_int_equal(job_get_batch(w->s, &w->a, NULL, "", &got, &e), 0);
}

static void test_another_projects_job_is_not_there(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct job j = create(w), out;
    struct str name = STR("x");

    assert_int_equal(job_get(w->s, &w->a, "q", j.id, &out, &e), 0);
    ASSERT_FAILS(job_cancel(w->s, &w->a, "q", j.id, &out, &e), e, ERROR_NOT_FOUND);
    ASSERT_FAILS(job_pause(w->s, &w->a, "q", j.id, &out, &e), e, ERROR_NOT_FOUND);
    ASSERT_FAILS(job_resume(w->s, &w->a, "q", j.id, NULL, &out, &e), e, ERROR_NOT_FOUND);
    ASSERT_FAILS(job_patch(w->s, &w->a, "q", j.id, &name, NULL, &out, &e), e, ERROR_NOT_FOUND);
    ASSERT_FAILS(job_delete(w->s, "q", j.id, &e), e, ERROR_NOT_FOUND);
    assert_int_equal(get(w, j.id).state, JOB_PENDING);
}

static void test_a_request_id_makes_one_job_of_its_project(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct job j = job_new("p");
    bool existed = false;

    j.request_id = STR("once");
    struct job made = create_as(w, j), again = j, out;
    again.display_name = STR("another");
    ASSERT_OK(job_create(w->s, &w->a, &again, 0, &existed, &e), e);
    assert_true(existed);
    expect_same(&again, &made);
    memcpy(j.project, "q", 2);
    assert_true(create_as(w, j).id != made.id);

    ASSERT_OK(job_cancel(w->s, &w->a, NULL, made.id, &out, &e), e);
    ASSERT_OK(job_delete(w->s, NULL, made.id, &e), e);
    memcpy(j.project, "p", 2);
    assert_true(create_as(w, j).id > made.id);
}

struct racer {
    struct world *w;
    pthread_t thread;
    struct arena a;
    int64_t id[20];
    uint32_t made;
};

static void *race(void *arg)
{
    struct racer *r = arg;

    for (int i = 0; i < 20; i++) {
        struct error e = { 0 };
        struct job j = job_new("p");
        char name[16];
        bool existed = false;
        (void)snprintf(name, sizeof name, "r%d", i);
        j.request_id = str_of(name);
        if (job_create(r->w->s, &r->a, &j, 0, &existed, &e) == 0) {
            r->id[i] = j.id;
            r->made += !existed;
        }
    }
    return NULL;
}

static void test_of_two_that_race_with_a_request_id_one_makes_the_job(void **state)
{
    struct racer r[2] = { { .w = *state }, { .w = *state } };

    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&r[i].thread, NULL, race, &r[i]), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_join(r[i].thread, NULL), 0);
    assert_int_equal(r[0].made + r[1].made, 20);
    for (int i = 0; i < 20; i++) {
        assert_true(r[0].id[i] != 0);
        assert_int_equal(r[0].id[i], r[1].id[i]);
    }
    arena_release(&r[0].a);
    arena_release(&r[1].a);
}

/* ---- States ---- */

#define STRETCH(state) ((state) == JOB_RUNNING || (state) == JOB_CANCELLING)

/* A job put into a state behind the store's back, as if a run of it had begun with fence 1. */
static struct job job_in(struct world *w, enum job_state state, uint64_t done)
{
    char text[256];
    struct job j = create(w);

    (void)snprintf(text, sizeof text,
                   "UPDATE job SET state = %d, total = 10, succeeded = %llu, fence = 1,"
                   " stretch_us = %lld WHERE id = %lld",
                   (int)state, (unsigned long long)done, STRETCH(state) ? (long long)NOW_US : 0LL,
                   (long long)j.id);
    sql(w, text);
    return get(w, j.id);
}

/* It does not change the caller's record. */
static int call_checked(struct world *w, struct job *j, struct error *e)
{
    int rc = job_checked(w->s, j, e);

    *j = get(w, j->id);
    return rc;
}

static int call_begin(struct world *w, struct job *j, struct error *e)
{
    return job_begin(w->s, j, e);
}

static int call_requeue(struct world *w, struct job *j, struct error *e)
{
    return job_yield(w->s, j, JOB_QUEUED, e);
}

static int call_give_back(struct world *w, struct job *j, struct error *e)
{
    return job_yield(w->s, j, JOB_PAUSED, e);
}

static int call_pause(struct world *w, struct job *j, struct error *e)
{
    return job_pause(w->s, &w->a, NULL, j->id, j, e);
}

static int call_resume(struct world *w, struct job *j, struct error *e)
{
    return job_resume(w->s, &w->a, NULL, j->id, NULL, j, e);
}

static int call_cancel(struct world *w, struct job *j, struct error *e)
{
    return job_cancel(w->s, &w->a, NULL, j->id, j, e);
}

static int finish_as(struct world *w, struct job *j, enum job_state to, struct error *e)
{
    const struct job_end end = { .to = to };

    return job_finish(w->s, j, &end, e);
}

static int call_succeed(struct world *w, struct job *j, struct error *e)
{
    return finish_as(w, j, JOB_SUCCEEDED, e);
}

static int call_fail(struct world *w, struct job *j, struct error *e)
{
    return finish_as(w, j, JOB_FAILED, e);
}

static int call_end_cancelled(struct world *w, struct job *j, struct error *e)
{
    return finish_as(w, j, JOB_CANCELLED, e);
}

static int call_expire(struct world *w, struct job *j, struct error *e)
{
    return finish_as(w, j, JOB_EXPIRED, e);
}

/* What each call makes of a job without work done, by the state it is in: P Q R S(paused) C(ancelling)
 * s f c e, as the states' numbers; '-' refused. */
static const struct {
    const char *name;
    int (*call)(struct world *w, struct job *j, struct error *e);
    const char *becomes;
} calls[] = {
    { "checked", call_checked, "Q--------" }, { "begin", call_begin, "-R-------" },
    { "requeue", call_requeue, "--Q------" }, { "give back", call_give_back, "--S------" },
    { "pause", call_pause, "PSRS-----" },     { "resume", call_resume, "PQRQ-----" },
    { "cancel", call_cancel, "ccCcC----" },   { "succeed", call_succeed, "s-s-s----" },
    { "fail", call_fail, "fffff----" },       { "end cancelled", call_end_cancelled, "ccccc----" },
    { "expire", call_expire, "eeee-----" },
};
static const char letters[] = "PQRSCsfce";

static void test_each_call_in_each_state_does_what_the_table_says(void **state)
{
    struct world *w = *state;

    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        for (int from = 0; from < JOB_STATE_COUNT; from++) {
            struct error e = { 0 };
            struct job before = job_in(w, (enum job_state)from, 0), j = before;
            int rc = calls[i].call(w, &j, &e);
            struct job after = get(w, before.id);
            char want = calls[i].becomes[from];
            if ((want == '-') != (rc < 0) || (rc == 0 && letters[after.state] != want))
                fail_msg("%s in %s: %d, %s: %s", calls[i].name,
                         job_state_name((enum job_state)from), rc, job_state_name(after.state),
                         e.msg);
            if (rc < 0) {
                assert_int_equal(e.code, ERROR_FAILED_PRECONDITION);
                expect_same(&after, &before);
                continue;
            }
            assert_int_equal(j.state, after.state);
            assert_true((int)after.state == from ||
                        job_state_may((enum job_state)from, after.state));
            assert_int_equal(after.end_us != 0, job_state_final(after.state));
        }
    }
}

/* I3: not by any call, nor by the fence that it ended with. */
static void test_a_final_job_never_changes(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct str name = STR("new");
    struct job_options options = { .budget_tokens = 1 };
    struct job j = succeed(w, running(w)), before = get(w, j.id), out;
    struct job_input in = { .name = STR("gs://b/o") };

    w->clock.fake_us += 1000;
    ASSERT_FAILS(job_patch(w->s, &w->a, NULL, j.id, &name, NULL, &out, &e), e,
                 ERROR_FAILED_PRECONDITION);
    ASSERT_FAILS(job_resume(w->s, &w->a, NULL, j.id, &options, &out, &e), e,
                 ERROR_FAILED_PRECONDITION);
    ASSERT_FAILS(job_progress(w->s, &j, &e), e, ERROR_FAILED_PRECONDITION);
    ASSERT_FAILS(job_inputs_set(w->s, j.id, &in, 1, &e), e, ERROR_FAILED_PRECONDITION);
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        struct job copy = before;
        assert_int_equal(calls[i].call(w, &copy, &e), -1);
    }
    e = (struct error){ 0 };
    ASSERT_OK(job_recover(w->s, &e), e);
    out = get(w, j.id);
    expect_same(&out, &before);
}

static void test_an_old_fence_writes_nothing(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct job old = running(w), now = old;

    ASSERT_OK(job_yield(w->s, &now, JOB_QUEUED, &e), e);
    ASSERT_OK(job_begin(w->s, &now, &e), e);
    assert_true(now.fence > old.fence);
    struct job before = get(w, old.id), after;
    old.books.succeeded = 5;
    ASSERT_FAILS(job_progress(w->s, &old, &e), e, ERROR_ABORTED);
    ASSERT_FAILS(job_yield(w->s, &old, JOB_QUEUED, &e), e, ERROR_ABORTED);
    ASSERT_FAILS(finish_as(w, &old, JOB_SUCCEEDED, &e), e, ERROR_ABORTED);
    old.fence = 0; /* "it does not run", but it does */
    ASSERT_FAILS(finish_as(w, &old, JOB_EXPIRED, &e), e, ERROR_ABORTED);
    after = get(w, old.id);
    expect_same(&after, &before);
    now.books.succeeded = 10;
    ASSERT_OK(finish_as(w, &now, JOB_SUCCEEDED, &e), e);
}

static void test_a_holder_that_gave_back_no_longer_counts(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct job j = running(w), late = j;

    ASSERT_OK(job_yield(w->s, &j, JOB_QUEUED, &e), e);
    late.books.succeeded = 3;
    ASSERT_FAILS(job_progress(w->s, &late, &e), e, ERROR_FAILED_PRECONDITION);
    ASSERT_FAILS(job_yield(w->s, &late, JOB_PAUSED, &e), e, ERROR_FAILED_PRECONDITION);
}

static void test_cancelling_without_work_done_is_the_end_and_with_it_is_the_schedulers(void **state)
{
    struct world *w = *state;
    const enum job_state idle[] = { JOB_QUEUED, JOB_PAUSED };
    struct error e = { 0 };

    for (size_t i = 0; i < 2; i++) {
        struct job none = job_in(w, idle[i], 0), some = job_in(w, idle[i], 4);
        ASSERT_OK(call_cancel(w, &none, &e), e);
        assert_int_equal(none.state, JOB_CANCELLED);
        assert_int_equal(none.error, ERROR_CANCELLED);
        assert_true(str_eq_c(none.error_message, "CANCELED"));
        assert_int_equal(none.books.not_run, 10);
        assert_int_equal(none.end_us, NOW_US);
        ASSERT_OK(call_cancel(w, &some, &e), e);
        assert_int_equal(some.state, JOB_CANCELLING);
        some.fence = 0;
        some.books.not_run = 6;
        ASSERT_OK(finish_as(w, &some, JOB_CANCELLED, &e), e);
    }
    struct job ran = running(w);
    ASSERT_OK(job_yield(w->s, &ran, JOB_PAUSED, &e), e);
    ASSERT_OK(call_cancel(w, &ran, &e), e);
    assert_int_equal(ran.state, JOB_CANCELLING); /* another service may work on it */
    struct job runs = running(w), seen = runs;
    ASSERT_OK(call_cancel(w, &seen, &e), e);
    assert_int_equal(seen.state, JOB_CANCELLING);
    assert_int_equal(seen.wish, WISH_CANCEL);
    ASSERT_OK(call_cancel(w, &seen, &e), e); /* twice is fine */
    runs.books.succeeded = 3;
    ASSERT_OK(job_progress(w->s, &runs, &e), e);
    runs.books.not_run = 7;
    ASSERT_OK(finish_as(w, &runs, JOB_CANCELLED, &e), e);
    assert_int_equal(get(w, runs.id).books.not_run, 7);
}

static void test_a_pause_is_honoured_wherever_the_job_is(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct event v[8];
    struct job pending = create(w), q = queued(w), runs = running(w), out;

    ASSERT_OK(job_pause(w->s, &w->a, "p", pending.id, &out, &e), e);
    assert_int_equal(out.wish, WISH_PAUSE);
    pending.books.total = 3;
    ASSERT_OK(job_checked(w->s, &pending, &e), e);
    out = get(w, pending.id);
    assert_int_equal(out.state, JOB_PAUSED);
    assert_int_equal(out.wish, WISH_NONE);
    assert_int_equal(out.queue_us, NOW_US);
    assert_true(str_eq_c(out.pause_reason, "asked"));
    assert_int_equal(events_of(w, pending.id, v, 8), 3);
    assert_int_equal(v[1].state, JOB_QUEUED);
    assert_int_equal(v[2].state, JOB_PAUSED);

    ASSERT_OK(call_pause(w, &q, &e), e);
    assert_true(str_eq_c(q.pause_reason, "asked"));
    ASSERT_OK(job_pause(w->s, &w->a, "p", runs.id, &out, &e), e);
    assert_int_equal(out.state, JOB_RUNNING);
    runs.books.succeeded = 2;
    ASSERT_OK(job_yield(w->s, &runs, JOB_QUEUED, &e), e); /* it stopped for another reason */
    assert_int_equal(runs.state, JOB_PAUSED);
    out = get(w, runs.id);
    assert_int_equal(out.state, JOB_PAUSED);
    assert_int_equal(out.books.succeeded, 2);
    assert_true(str_eq_c(out.pause_reason, "asked"));
}

static void test_resuming_takes_the_wish_back_and_can_raise_the_budget(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct job j = running(w), out;

    ASSERT_OK(job_pause(w->s, &w->a, "p", j.id, &out, &e), e);
    ASSERT_OK(job_resume(w->s, &w->a, "p", j.id, NULL, &out, &e), e);
    assert_int_equal(out.wish, WISH_NONE);
    j.pause_reason = STR("budget");
    ASSERT_OK(job_yield(w->s, &j, JOB_PAUSED, &e), e);
    out = get(w, j.id);
    assert_true(str_eq_c(out.pause_reason, "budget"));
    out.options.budget_nano = 1000;
    ASSERT_OK(job_resume(w->s, &w->a, "p", j.id, &out.options, &out, &e), e);
    assert_int_equal(out.state, JOB_QUEUED);
    assert_int_equal(out.pause_reason.len, 0);
    assert_int_equal(get(w, j.id).options.budget_nano, 1000);
}

static void test_a_patch_changes_what_it_names(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct job j = running(w), out;
    struct str name = STR("new name");
    int64_t priority = 9;

    ASSERT_OK(job_patch(w->s, &w->a, "p", j.id, &name, NULL, &out, &e), e);
    ASSERT_OK(job_patch(w->s, &w->a, "p", j.id, NULL, &priority, &out, &e), e);
    out = get(w, j.id);
    assert_true(str_eq(out.display_name, name));
    assert_int_equal(out.priority, 9);
    assert_int_equal(out.state, JOB_RUNNING);
}

static void test_running_time_is_the_sum_of_its_stretches(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct job j = running(w);

    w->clock.fake_us += 100;
    ASSERT_OK(job_yield(w->s, &j, JOB_QUEUED, &e), e);
    assert_int_equal(j.ran_us, 100);
    assert_int_equal(j.stretch_us, 0);
    w->clock.fake_us += 1000;
    ASSERT_OK(job_begin(w->s, &j, &e), e);
    assert_int_equal(j.start_us, NOW_US); /* of the first stretch */
    assert_int_equal(j.stretch_us, NOW_US + 1100);
    w->clock.fake_us += 7;
    ASSERT_OK(finish_as(w, &j, JOB_FAILED, &e), e);
    assert_int_equal(get(w, j.id).ran_us, 107);
}

static void test_after_a_crash_what_ran_is_queued_again_under_a_new_fence(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct job runs = running(w), ends = running(w), rests = running(w), waits = queued(w), out;

    w->clock.fake_us += 50;
    runs.books.succeeded = 4;
    ASSERT_OK(job_progress(w->s, &runs, &e), e);
    ASSERT_OK(job_cancel(w->s, &w->a, NULL, ends.id, &out, &e), e);
    ASSERT_OK(job_pause(w->s, &w->a, NULL, rests.id, &out, &e), e);
    w->clock.fake_us += 1000;
    world_reopen(w);
    ASSERT_OK(job_recover(w->s, &e), e);

    out = get(w, runs.id);
    assert_int_equal(out.state, JOB_QUEUED);
    assert_int_equal(out.books.succeeded, 4);
    assert_int_equal(out.ran_us, 50);
    assert_int_equal(out.stretch_us, 0);
    assert_true(out.fence > runs.fence);
    ASSERT_FAILS(job_progress(w->s, &runs, &e), e, ERROR_ABORTED);
    assert_int_equal(get(w, rests.id).state, JOB_PAUSED);
    assert_int_equal(get(w, waits.id).state, JOB_QUEUED);
    out = get(w, ends.id);
    assert_int_equal(out.state, JOB_CANCELLING);
    assert_int_equal(out.wish, WISH_CANCEL);
    out.fence = 0;
    ASSERT_OK(finish_as(w, &out, JOB_CANCELLED, &e), e);

    struct event v[8];
    uint32_t count = events_of(w, runs.id, v, 8);
    assert_int_equal(count, 4);
    assert_int_equal(v[3].state, JOB_QUEUED);
    ASSERT_OK(job_recover(w->s, &e), e); /* nothing more to do */
    assert_int_equal(events_of(w, runs.id, v, 8), 4);
}

/* ---- The end ---- */

static uint64_t rows(struct world *w, const char *text)
{
    struct error e = { 0 };
    struct db *d = store_read(w->s, &e);

    assert_non_null(d);
    sqlite3_stmt *q = db_stmt(d, text);
    assert_int_equal(db_step(d, q, "test", &e), 1);
    uint64_t n = (uint64_t)db_int(q, 0);
    store_read_done(w->s, d);
    return n;
}

/* State, books, object, event and delivery become true together, or none of them. */
static void test_the_end_is_all_or_nothing_under_any_fault(void **state)
{
    struct world *w = *state;
    struct webhook h = { .project = STR("p"), .uri = STR("https://x"), .enabled = true };
    struct error e = { 0 };

    bucket_of(w, NULL, "bucket");
    ASSERT_OK(webhook_put(w->s, &h, &e), e);
    struct object_new object = object_of("bucket", "out", blob_of(w, "rows"));
    const struct job_end end = { .to = JOB_SUCCEEDED, .object = &object };
    struct job j = running(w);
    uint64_t events = rows(w, "SELECT count(*) FROM event WHERE state < 5");
    j.books.succeeded = 10;
    j.output = STR("gs://b/dir");
    j.result = object.blob.id;

    for (int n = 0;; n++) {
        struct job try = j;
        e = (struct error){ 0 };
        fault_arm("*", n, ENOSPC);
        int rc = job_finish(w->s, &try, &end, &e);
        int fired = fault_disarm();
        bool done = rc == 0;
        struct job got = get(w, j.id);
        assert_int_equal(got.state, done ? JOB_SUCCEEDED : JOB_RUNNING);
        assert_int_equal(try.state, got.state);
        assert_int_equal(got.books.succeeded, done ? 10 : 0);
        assert_int_equal(got.result != 0, done);
        assert_int_equal(rows(w, "SELECT count(*) FROM object"), done);
        assert_int_equal(rows(w, "SELECT count(*) FROM event"), events + done);
        assert_int_equal(rows(w, "SELECT count(*) FROM delivery"), done);
        if (done)
            break;
        assert_true(fired);
        assert_int_not_equal(e.code, ERROR_OK);
    }
    world_reopen(w);
    assert_int_equal(get(w, j.id).state, JOB_SUCCEEDED);
}

static void test_an_output_that_cannot_be_written_leaves_the_job_as_it_was(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct object_new object = object_of("absent", "out", blob_of(w, "rows"));
    const struct job_end end = { .to = JOB_SUCCEEDED, .object = &object };
    struct job j = running(w);

    j.books.succeeded = 10;
    ASSERT_FAILS(job_finish(w->s, &j, &end, &e), e, ERROR_NOT_FOUND);
    assert_int_equal(j.state, JOB_RUNNING);
    assert_int_equal(get(w, j.id).state, JOB_RUNNING);
    ASSERT_OK(finish_as(w, &j, JOB_FAILED, &e), e);
}

/* ---- Inputs ---- */

static void test_what_a_job_reads_stays_until_it_is_deleted(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct blob inlined = blob_of(w, "inline"), result = blob_of(w, "result");
    struct object first;
    struct job j = job_new("p"), out;
    struct job_input *in;
    uint32_t count = 0;
    bool existed;

    bucket_of(w, NULL, "inputs");
    first = put(w, "inputs", "o", "first");
    ASSERT_OK(job_create(w->s, &w->a, &j, inlined.id, &existed, &e), e);
    ASSERT_OK(job_inputs(w->s, &w->a, j.id, &in, &count, &e), e);
    assert_int_equal(count, 1);
    assert_true(str_eq_c(in[0].name, "inline"));
    assert_int_equal(in[0].blob, inlined.id);
    assert_int_equal(in[0].bytes, 6);

    struct job_input both[] = { in[0], { STR("gs://inputs/o"), first.blob.id, 5 } };
    ASSERT_OK(job_inputs_set(w->s, j.id, both, 2, &e), e);
    ASSERT_OK(job_inputs(w->s, &w->a, j.id, &in, &count, &e), e);
    assert_int_equal(count, 2);
    assert_true(str_eq_c(in[1].name, "gs://inputs/o"));
    (void)put(w, "inputs", "o", "second"); /* the object moves on, the job does not */
    assert_true(blob_is_there(w, first.blob.id));
    assert_true(blob_is_there(w, inlined.id));

    const struct job_end end = { .to = JOB_SUCCEEDED };
    j.result = result.id;
    ASSERT_OK(job_finish(w->s, &j, &end, &e), e);
    ASSERT_FAILS(job_delete(w->s, "p", queued(w).id, &e), e, ERROR_FAILED_PRECONDITION);
    ASSERT_OK(job_delete(w->s, "p", j.id, &e), e);
    assert_int_equal(job_get(w->s, &w->a, NULL, j.id, &out, &e), 0);
    assert_false(blob_is_there(w, first.blob.id));
    assert_false(blob_is_there(w, inlined.id));
    assert_false(blob_is_there(w, result.id));
    ASSERT_FAILS(job_delete(w->s, "p", j.id, &e), e, ERROR_NOT_FOUND);
}

/* ---- Lists ---- */

static bool keep_even(void *arg, const struct job *j)
{
    ++*(uint32_t *)arg;
    return j->id % 2 == 0;
}

static void test_pages_are_the_newest_first_and_leave_nothing_out(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct job_list page;
    uint32_t asked = 0;
    struct job_query q = { .project = "p", .dialect = DIALECT_VERTEX, .most = 3 };
    struct job other = job_new("p");

    for (int i = 0; i < 7; i++)
        (void)create(w);
    (void)create_as(w, job_new("q"));
    other.dialect = DIALECT_GEMINI;
    (void)create_as(w, other);

    const uint32_t want[] = { 3, 3, 1 };
    int64_t last = INT64_MAX;
    for (int i = 0; i < 3; i++) {
        ASSERT_OK(job_query(w->s, &w->a, &q, &page, &e), e);
        assert_int_equal(page.count, want[i]);
        assert_int_equal(page.more, i < 2);
        for (uint32_t k = 0; k < page.count; k++) {
            assert_true(page.item[k].id < last);
            last = page.item[k].id;
        }
        assert_int_equal(page.last, last);
        q.before = page.last;
    }
    q = (struct job_query){ .dialect = DIALECT_VERTEX, .most = 100 };
    ASSERT_OK(job_query(w->s, &w->a, &q, &page, &e), e);
    assert_int_equal(page.count, 8);
    q.keep = keep_even;
    q.arg = &asked;
    q.most = 2;
    ASSERT_OK(job_query(w->s, &w->a, &q, &page, &e), e);
    assert_int_equal(page.count, 2);
    assert_true(page.more);
    assert_true(asked <= 5); /* the walk ends with the page */
    q = (struct job_query){ .dialect = DIALECT_VERTEX, .location = "europe-west4", .most = 100 };
    ASSERT_OK(job_query(w->s, &w->a, &q, &page, &e), e);
    assert_int_equal(page.count, 0);
    assert_false(page.more);
}

static void test_open_jobs_are_the_oldest_first(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct job_list all;
    struct job a = create(w), b = queued(w);

    (void)succeed(w, running(w));
    struct job c = running(w);
    for (int i = 0; i < 30; i++)
        (void)create(w);
    ASSERT_OK(job_open_list(w->s, &w->a, &all, &e), e);
    assert_int_equal(all.count, 33);
    assert_int_equal(all.item[0].id, a.id);
    assert_int_equal(all.item[1].id, b.id);
    assert_int_equal(all.item[2].id, c.id);
}

static uint64_t position(struct world *w, const struct job *j)
{
    struct error e = { 0 };
    uint64_t n = 99;

    ASSERT_OK(job_position(w->s, j, &n, &e), e);
    return n;
}

static void test_the_position_counts_who_goes_first_of_the_same_model(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct job first = queued(w), second = queued(w), urgent = queued(w), other = job_new("p");
    int64_t high = 5;

    other.model = STR("another");
    other = create_as(w, other);
    ASSERT_OK(job_checked(w->s, &other, &e), e);
    (void)running(w);
    (void)create(w);
    ASSERT_OK(job_patch(w->s, &w->a, NULL, urgent.id, NULL, &high, &urgent, &e), e);
    assert_int_equal(position(w, &urgent), 0);
    assert_int_equal(position(w, &first), 1);
    assert_int_equal(position(w, &second), 2);
    assert_int_equal(position(w, &other), 0);
}

/* ---- Events ---- */

static void test_events_tell_every_state_in_order(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct event v[8];
    uint32_t count = 0;
    const enum job_state want[] = { JOB_PENDING, JOB_QUEUED, JOB_RUNNING, JOB_SUCCEEDED };
    int64_t start = events_last(w->s);
    struct job j = succeed(w, running(w));

    assert_int_equal(start, 0);
    assert_int_equal(events_of(w, j.id, v, 8), 4);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(v[i].state, want[i]);
        assert_int_equal(v[i].job, j.id);
        assert_string_equal(v[i].project, "p");
        assert_int_equal(v[i].time_us, NOW_US);
        assert_true(i == 0 || v[i].seq > v[i - 1].seq);
    }
    int64_t last = events_last(w->s);
    assert_int_equal(last, v[3].seq);
    (void)create_as(w, job_new("q"));
    ASSERT_OK(events_after(w->s, v[1].seq, "p", 0, v, 8, &count, &e), e);
    assert_int_equal(count, 2);
    ASSERT_OK(events_after(w->s, 0, NULL, 0, v, 3, &count, &e), e);
    assert_int_equal(count, 3);
    ASSERT_OK(events_after(w->s, 0, "q", j.id, v, 8, &count, &e), e);
    assert_int_equal(count, 0);
    ASSERT_OK(job_delete(w->s, NULL, j.id, &e), e);
    assert_int_equal(events_of(w, j.id, v, 8), 0);
    assert_int_equal(events_last(w->s), last + 1);
}

struct listener {
    struct world *w;
    uint32_t calls;
    int64_t last;
};

/* Under a lock, this would not come back. */
static void listen(void *arg, int64_t id)
{
    struct listener *l = arg;
    struct error e = { 0 };
    unsigned char secret[STORE_SECRET_BYTES];

    l->calls++;
    l->last = id;
    ASSERT_OK(store_secret(l->w->s, "made by a listener", secret, &e), e);
    jobs_on_change(l->w->s, listen, l);
}

static void test_a_change_is_told_after_its_commit_and_under_no_lock(void **state)
{
    struct world *w = *state;
    struct listener l = { .w = w };
    struct job out;

    jobs_on_change(w->s, listen, &l);
    struct job j = running(w);
    assert_int_equal(l.calls, 3);
    assert_int_equal(l.last, j.id);
    struct error e = { 0 };
    ASSERT_FAILS(job_cancel(w->s, &w->a, "q", j.id, &out, &e), e, ERROR_NOT_FOUND);
    assert_int_equal(l.calls, 3);
    jobs_on_change(w->s, NULL, NULL);
    (void)create(w);
    assert_int_equal(l.calls, 3);
}

/* ---- Many at once ---- */

#define THREADS 8
#define EACH 25

static void *create_and_read(void *arg)
{
    struct racer *r = arg;

    for (int i = 0; i < EACH; i++) {
        struct error e = { 0 };
        struct job j = job_new("p"), got;
        struct job_list page;
        struct job_query q = { .project = "p", .dialect = DIALECT_VERTEX, .most = 5 };
        bool existed;
        r->made += job_create(r->w->s, &r->a, &j, 0, &existed, &e) == 0 &&
                   job_get(r->w->s, &r->a, "p", j.id, &got, &e) == 1 && got.id == j.id &&
                   job_query(r->w->s, &r->a, &q, &page, &e) == 0 && page.count > 0;
        arena_reset(&r->a);
    }
    return NULL;
}

static void test_eight_threads_create_and_read_at_once(void **state)
{
    struct world *w = *state;
    struct racer r[THREADS] = { 0 };

    for (int i = 0; i < THREADS; i++) {
        r[i].w = w;
        assert_int_equal(pthread_create(&r[i].thread, NULL, create_and_read, &r[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(r[i].thread, NULL), 0);
        assert_int_equal(r[i].made, EACH);
        arena_release(&r[i].a);
    }
    assert_int_equal(rows(w, "SELECT count(*) FROM job"), THREADS * EACH);
    assert_int_equal(rows(w, "SELECT count(*) FROM event"), THREADS * EACH);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_make, world_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_job_comes_back_with_every_member),
        TEST(test_ids_have_19_digits_and_none_comes_twice),
        TEST(test_gemini_jobs_have_names_that_cannot_be_guessed),
        TEST(test_another_projects_job_is_not_there),
        TEST(test_a_request_id_makes_one_job_of_its_project),
        TEST(test_of_two_that_race_with_a_request_id_one_makes_the_job),
        TEST(test_each_call_in_each_state_does_what_the_table_says),
        TEST(test_a_final_job_never_changes),
        TEST(test_an_old_fence_writes_nothing),
        TEST(test_a_holder_that_gave_back_no_longer_counts),
        TEST(test_cancelling_without_work_done_is_the_end_and_with_it_is_the_schedulers),
        TEST(test_a_pause_is_honoured_wherever_the_job_is),
        TEST(test_resuming_takes_the_wish_back_and_can_raise_the_budget),
        TEST(test_a_patch_changes_what_it_names),
        TEST(test_running_time_is_the_sum_of_its_stretches),
        TEST(test_after_a_crash_what_ran_is_queued_again_under_a_new_fence),
        TEST(test_the_end_is_all_or_nothing_under_any_fault),
        TEST(test_an_output_that_cannot_be_written_leaves_the_job_as_it_was),
        TEST(test_what_a_job_reads_stays_until_it_is_deleted),
        TEST(test_pages_are_the_newest_first_and_leave_nothing_out),
        TEST(test_open_jobs_are_the_oldest_first),
        TEST(test_the_position_counts_who_goes_first_of_the_same_model),
        TEST(test_events_tell_every_state_in_order),
        TEST(test_a_change_is_told_after_its_commit_and_under_no_lock),
        TEST(test_eight_threads_create_and_read_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
