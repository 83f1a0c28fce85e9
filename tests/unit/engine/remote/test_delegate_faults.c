/* Goal: whatever breaks, there or here, and whenever we are cut off, the next run ends the job; no line is lost
 * and no remote job runs twice. Method: whole jobs against a batch service in memory, cut off at each call, with each call
 * of the system failing. */
#include <errno.h>

#include "base/mem.h"
#include "base/fault.h"
#include "unit/engine/remote/delegate_world.h"

static void test_a_transfer_that_breaks_goes_on_where_it_was(void **state)
{
    struct handover *h = *state;

    h->remote.break_after = 5000;
    ask(h, 500);
    run_to_end(h);
    world_assert_all_answered(&h->w);
    assert_true(h->remote.calls[MEMORY_FETCH] > 5);
    assert_int_equal(h->w.progress.retries, h->remote.calls[MEMORY_FETCH] - 1);
}

static void test_transient_failures_of_each_call_are_tried_again(void **state)
{
    (void)state;
    for (int call = MEMORY_UPLOAD; call <= MEMORY_FETCH; call++) {
        void *fresh;
        assert_int_equal(setup(&fresh), 0);
        struct handover *h = fresh;
        h->remote.fails[call] = ERROR_UNAVAILABLE;
        h->remote.fails_times = 3;
        h->remote.base.retry_after_ms = 20000;
        ask(h, 50);
        run_to_end(h);
        world_assert_all_answered(&h->w);
        if (call != MEMORY_FIND)
            assert_true(h->w.progress.elapsed_ns >= 60 * NS_PER_S);
        (void)teardown(&fresh);
    }
}

/* A create that broke off may have worked: it is looked up, and not made again. */
static void test_a_create_that_worked_and_failed_is_not_made_again(void **state)
{
    struct handover *h = *state;

    h->remote.fails[MEMORY_CREATE] = ERROR_UNAVAILABLE;
    h->remote.after = true;
    ask(h, 50);
    run_to_end(h);
    world_assert_all_answered(&h->w);
    assert_int_equal(h->remote.job_count, 1);
    assert_int_equal(h->remote.calls[MEMORY_CREATE], 1);
}

static void test_a_batch_service_that_stays_away_ends_the_run_and_no_line(void **state)
{
    struct handover *h = *state;
    struct error e = { 0 };

    h->remote.fails[MEMORY_POLL] = ERROR_UNAVAILABLE;
    ask(h, 10);
    assert_int_equal(run(h, &e), -1);
    assert_int_equal(e.code, ERROR_UNAVAILABLE);
    assert_true(h->w.progress.elapsed_ns >= DELEGATE_PATIENCE_MS * NS_PER_MS);
    assert_true(h->w.progress.elapsed_ns < 2 * DELEGATE_PATIENCE_MS * NS_PER_MS);
    assert_int_equal(counters_done(&h->w.progress.counters), 0);
    h->remote.fails[MEMORY_POLL] = ERROR_OK;
    run_to_end(h);
    world_assert_all_answered(&h->w);
    assert_int_equal(h->remote.job_count, 1);
}

static void test_a_refusal_ends_the_run_at_once(void **state)
{
    struct handover *h = *state;
    struct error e = { 0 };

    h->remote.fails[MEMORY_CREATE] = ERROR_INVALID_ARGUMENT;
    ask(h, 10);
    assert_int_equal(run(h, &e), -1);
    assert_int_equal(e.code, ERROR_INVALID_ARGUMENT);
    assert_int_equal(h->remote.calls[MEMORY_CREATE], 1);
}

/* Cut off at the n-th call, for each n, before it had its effect or after; every further run too, until
 * one comes through. */
static void cut_everywhere(bool after)
{
    bool came_through = false;

    for (uint32_t n = 1; !came_through; n++) {
        void *fresh;
        struct error e = { 0 };
        assert_int_equal(setup(&fresh), 0);
        struct handover *h = fresh;
        h->remote.base.rows_max = 40;
        h->remote.polls_until_done = 1;
        h->remote.after = after;
        h->remote.cut_at = n;
        ask(h, 100);
        came_through = run(h, &e) == 0 && h->remote.calls_all < n;
        if (!came_through)
            run_to_end(h);
        world_assert_all_answered(&h->w);
        assert_int_equal(h->remote.job_count, 3);
        (void)teardown(&fresh);
        assert_true(n < 100);
    }
}

static void test_a_run_that_is_cut_off_before_any_call_goes_on(void **state)
{
    (void)state;
    cut_everywhere(false);
}

static void test_a_run_that_is_cut_off_after_any_call_goes_on(void **state)
{
    (void)state;
    cut_everywhere(true);
}

/* Each fallible call of the system fails in turn, once. */
static void sweep(const char *point, int err)
{
    int fired = 1;

    for (int n = 0; fired; n++) {
        void *fresh;
        struct error e = { 0 };
        assert_int_equal(setup(&fresh), 0);
        struct handover *h = fresh;
        h->remote.base.rows_max = 40;
        ask_twins(h);
        fault_arm(point, n, err);
        int rc = run(h, &e);
        fired = fault_disarm();
        if (rc < 0 || h->w.end != PIPELINE_DONE)
            run_to_end(h);
        world_assert_all_answered(&h->w);
        assert_int_equal(h->remote.job_count, 1);
        (void)teardown(&fresh);
        assert_true(n < 2000);
    }
}

static void test_no_failing_call_of_the_system_loses_a_line_or_doubles_a_job(void **state)
{
    static const struct {
        const char *point;
        int err;
    } faults[] = {
        { "sys.open", EIO },        { "sys.read", EIO },       { "sys.write", ENOSPC },
        { "sys.sync", EIO },        { "sys.rename", EIO },     { "sys.mkdir", EIO },
        { "sys.remove", EIO },      { "spool.put", ENOSPC },   { "spool.commit", ENOSPC },
        { "sqlite.write", ENOSPC }, { "sqlite.sync", ENOSPC },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(faults); i++)
        sweep(faults[i].point, faults[i].err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_transfer_that_breaks_goes_on_where_it_was),
        TEST(test_transient_failures_of_each_call_are_tried_again),
        TEST(test_a_create_that_worked_and_failed_is_not_made_again),
        TEST(test_a_batch_service_that_stays_away_ends_the_run_and_no_line),
        TEST(test_a_refusal_ends_the_run_at_once),
        TEST(test_a_run_that_is_cut_off_before_any_call_goes_on),
        TEST(test_a_run_that_is_cut_off_after_any_call_goes_on),
        TEST(test_no_failing_call_of_the_system_loses_a_line_or_doubles_a_job),
    };

    return cmocka_run_group_tests_name("delegate", tests, NULL, NULL);
}
