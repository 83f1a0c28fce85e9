/* Goal: a job's record moves only as its table of states allows, under the newest fence. Method: a real store
 * in a scratch folder; every state against every call. */
#include "unit/store/jobs/job_world.h"

#include "base/mem.h"

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
    return job_resume(w->s, &w->a, &(struct job_resume){ .id = j->id }, j, e);
}

static int call_cancel(struct world *w, struct job *j, struct error *e)
{
    return job_cancel(w->s, &w->a, NULL, j->id, j, e);
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

    for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
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
    ASSERT_FAILS(
        job_patch(w->s, &w->a, &(struct job_patch){ .id = j.id, .display_name = &name }, &out, &e),
        e, ERROR_FAILED_PRECONDITION);
    ASSERT_FAILS(
        job_resume(w->s, &w->a, &(struct job_resume){ .id = j.id, .options = &options }, &out, &e),
        e, ERROR_FAILED_PRECONDITION);
    ASSERT_FAILS(job_progress(w->s, &j, &e), e, ERROR_FAILED_PRECONDITION);
    ASSERT_FAILS(job_inputs_set(w->s, &j, &in, 1, &e), e, ERROR_FAILED_PRECONDITION);
    for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
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
    old.counters.succeeded = 5;
    ASSERT_FAILS(job_progress(w->s, &old, &e), e, ERROR_ABORTED);
    ASSERT_FAILS(job_yield(w->s, &old, JOB_QUEUED, &e), e, ERROR_ABORTED);
    ASSERT_FAILS(finish_as(w, &old, JOB_SUCCEEDED, &e), e, ERROR_ABORTED);
    old.fence = 0; /* "it does not run", but it does */
    ASSERT_FAILS(finish_as(w, &old, JOB_EXPIRED, &e), e, ERROR_ABORTED);
    after = get(w, old.id);
    expect_same(&after, &before);
    now.counters.succeeded = 10;
    ASSERT_OK(finish_as(w, &now, JOB_SUCCEEDED, &e), e);
}

static void test_a_holder_that_gave_back_no_longer_counts(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct job j = running(w), late = j;

    ASSERT_OK(job_yield(w->s, &j, JOB_QUEUED, &e), e);
    late.counters.succeeded = 3;
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
        assert_int_equal(none.counters.not_run, 10);
        assert_int_equal(none.end_us, NOW_US);
        ASSERT_OK(call_cancel(w, &some, &e), e);
        assert_int_equal(some.state, JOB_CANCELLING);
        some.fence = 0;
        some.counters.not_run = 6;
        ASSERT_OK(finish_as(w, &some, JOB_CANCELLED, &e), e);
    }
    struct job ran = running(w);
    ASSERT_OK(job_yield(w->s, &ran, JOB_PAUSED, &e), e);
    ASSERT_OK(call_cancel(w, &ran, &e), e);
    assert_int_equal(ran.state, JOB_CANCELLING); /* another service may work on it */
    struct job runs = running(w), seen = runs;
    ASSERT_OK(call_cancel(w, &seen, &e), e);
    assert_int_equal(seen.state, JOB_CANCELLING);
    assert_int_equal(seen.asked, ASKED_CANCEL);
    ASSERT_OK(call_cancel(w, &seen, &e), e); /* twice is fine */
    runs.counters.succeeded = 3;
    ASSERT_OK(job_progress(w->s, &runs, &e), e);
    runs.counters.not_run = 7;
    ASSERT_OK(finish_as(w, &runs, JOB_CANCELLED, &e), e);
    assert_int_equal(get(w, runs.id).counters.not_run, 7);
}

static void test_a_pause_is_honoured_wherever_the_job_is(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct event v[8];
    struct job pending = create(w), q = queued(w), runs = running(w), out;

    ASSERT_OK(job_pause(w->s, &w->a, "p", pending.id, &out, &e), e);
    assert_int_equal(out.asked, ASKED_PAUSE);
    pending.counters.total = 3;
    ASSERT_OK(job_checked(w->s, &pending, &e), e);
    out = get(w, pending.id);
    assert_int_equal(out.state, JOB_PAUSED);
    assert_int_equal(out.asked, ASKED_NOTHING);
    assert_int_equal(out.queue_us, NOW_US);
    assert_true(str_eq_c(out.pause_reason, "asked"));
    assert_int_equal(events_of(w, pending.id, v, 8), 3);
    assert_int_equal(v[1].state, JOB_QUEUED);
    assert_int_equal(v[2].state, JOB_PAUSED);

    ASSERT_OK(call_pause(w, &q, &e), e);
    assert_true(str_eq_c(q.pause_reason, "asked"));
    ASSERT_OK(job_pause(w->s, &w->a, "p", runs.id, &out, &e), e);
    assert_int_equal(out.state, JOB_RUNNING);
    runs.counters.succeeded = 2;
    ASSERT_OK(job_yield(w->s, &runs, JOB_QUEUED, &e), e); /* it stopped for another reason */
    assert_int_equal(runs.state, JOB_PAUSED);
    out = get(w, runs.id);
    assert_int_equal(out.state, JOB_PAUSED);
    assert_int_equal(out.counters.succeeded, 2);
    assert_true(str_eq_c(out.pause_reason, "asked"));
}

static void test_resuming_takes_the_pause_back_and_can_raise_the_budget(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct job j = running(w), out;

    ASSERT_OK(job_pause(w->s, &w->a, "p", j.id, &out, &e), e);
    ASSERT_OK(job_resume(w->s, &w->a, &(struct job_resume){ .project = "p", .id = j.id }, &out, &e),
              e);
    assert_int_equal(out.asked, ASKED_NOTHING);
    j.pause_reason = STR("budget");
    ASSERT_OK(job_yield(w->s, &j, JOB_PAUSED, &e), e);
    out = get(w, j.id);
    assert_true(str_eq_c(out.pause_reason, "budget"));
    out.options.budget_nano = 1000;
    ASSERT_OK(
        job_resume(w->s, &w->a,
                   &(struct job_resume){ .project = "p", .id = j.id, .options = &out.options },
                   &out, &e),
        e);
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

    ASSERT_OK(job_patch(w->s, &w->a,
                        &(struct job_patch){ .project = "p", .id = j.id, .display_name = &name },
                        &out, &e),
              e);
    ASSERT_OK(job_patch(w->s, &w->a,
                        &(struct job_patch){ .project = "p", .id = j.id, .priority = &priority },
                        &out, &e),
              e);
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
    runs.counters.succeeded = 4;
    ASSERT_OK(job_progress(w->s, &runs, &e), e);
    ASSERT_OK(job_cancel(w->s, &w->a, NULL, ends.id, &out, &e), e);
    ASSERT_OK(job_pause(w->s, &w->a, NULL, rests.id, &out, &e), e);
    w->clock.fake_us += 1000;
    world_reopen(w);
    ASSERT_OK(job_recover(w->s, &e), e);

    out = get(w, runs.id);
    assert_int_equal(out.state, JOB_QUEUED);
    assert_int_equal(out.counters.succeeded, 4);
    assert_int_equal(out.ran_us, 50);
    assert_int_equal(out.stretch_us, 0);
    assert_true(out.fence > runs.fence);
    ASSERT_FAILS(job_progress(w->s, &runs, &e), e, ERROR_ABORTED);
    assert_int_equal(get(w, rests.id).state, JOB_PAUSED);
    assert_int_equal(get(w, waits.id).state, JOB_QUEUED);
    out = get(w, ends.id);
    assert_int_equal(out.state, JOB_CANCELLING);
    assert_int_equal(out.asked, ASKED_CANCEL);
    out.fence = 0;
    ASSERT_OK(finish_as(w, &out, JOB_CANCELLED, &e), e);

    struct event v[8];
    uint32_t count = events_of(w, runs.id, v, 8);
    assert_int_equal(count, 4);
    assert_int_equal(v[3].state, JOB_QUEUED);
    ASSERT_OK(job_recover(w->s, &e), e); /* nothing more to do */
    assert_int_equal(events_of(w, runs.id, v, 8), 4);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_make, world_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_each_call_in_each_state_does_what_the_table_says),
        TEST(test_a_final_job_never_changes),
        TEST(test_an_old_fence_writes_nothing),
        TEST(test_a_holder_that_gave_back_no_longer_counts),
        TEST(test_cancelling_without_work_done_is_the_end_and_with_it_is_the_schedulers),
        TEST(test_a_pause_is_honoured_wherever_the_job_is),
        TEST(test_resuming_takes_the_pause_back_and_can_raise_the_budget),
        TEST(test_a_patch_changes_what_it_names),
        TEST(test_running_time_is_the_sum_of_its_stretches),
        TEST(test_after_a_crash_what_ran_is_queued_again_under_a_new_fence),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
