/* Goal: no failing call loses, doubles or half-writes anything. Method: each named point fails at its
 * n-th hit, for every n; then the same command runs again without a fault. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/fault.h"
#include "unit/engine/lines/world.h"

/* More hits than any point has here: a sweep that goes on for ever is a mistake. */
#define HITS_MAX 2000

static void fill(struct world *w)
{
    world_init(w);
    w->model.fake.delay_ms = 70; /* so that there is more than one commit */
    w->in_flight_max = 8;
    world_ask_many(w, 20);
    world_ask(w, "twice", 0.0);
    world_ask(w, "twice", 0.0);
    world_save(w);
}

/* Either the job went through, or nothing is under the final name that is not whole. */
static void check_after_fault(struct world *w, int rc, const struct error *e)
{
    if (rc == 0) {
        world_assert_all_answered(w);
        return;
    }
    assert_true(e->msg[0] != '\0');
    if (scratch_has(&w->dir, "out.jsonl"))
        world_assert_all_answered(w);
}

static void sweep(const char *point, int err)
{
    for (int n = 0;; n++) {
        struct world w;
        struct error e = { 0 };

        fill(&w);
        fault_arm(point, n, err);
        int rc = world_run(&w, &e);
        int fired = fault_disarm();
        check_after_fault(&w, rc, &e);
        world_finish(&w);
        world_assert_all_answered(&w);
        assert_int_equal(w.progress.counters.succeeded, 22);
        assert_int_equal(w.progress.counters.duplicates, 1);
        world_release(&w);
        if (!fired)
            break;
        assert_true(n < HITS_MAX);
    }
}

static void test_no_failing_call_of_the_system_loses_a_line(void **state)
{
    (void)state;
    static const char *const points[] = { "sys.open", "sys.read", "sys.write", "sys.sync",
                                          "sys.rename" };

    for (size_t i = 0; i < ARRAY_LEN(points); i++)
        sweep(points[i], EIO);
}

static void test_no_failing_call_of_the_spool_loses_a_line(void **state)
{
    (void)state;
    static const char *const points[] = { "spool.put",     "spool.commit",   "sqlite.open",
                                          "sqlite.read",   "sqlite.write",   "sqlite.sync",
                                          "sqlite.delete", "sqlite.truncate" };

    for (size_t i = 0; i < ARRAY_LEN(points); i++)
        sweep(points[i], ENOSPC);
}

static void test_a_full_disk_is_told_as_such(void **state)
{
    (void)state;
    static const char *const points[] = { "spool.commit", "sys.write" };

    for (size_t i = 0; i < 2; i++) {
        struct world w;
        struct error e = { 0 };
        fill(&w);
        /* The first write is that of the lock's holder. */
        fault_arm(points[i], 1, ENOSPC);
        assert_int_equal(world_run(&w, &e), -1);
        assert_int_equal(fault_disarm(), 1);
        assert_int_equal(e.code, ERROR_RESOURCE_EXHAUSTED);
        assert_non_null(strstr(e.msg, "No space left on device"));
        world_release(&w);
    }
}

/* No scripted fault but a real limit: neither the spool nor the output may grow beyond it. */
static void test_a_job_that_ran_out_of_space_goes_on_when_there_is_some(void **state)
{
    (void)state;
    static const rlim_t limits[] = { 20000, 100000, 300000, 600000 };
    struct rlimit all, small;

    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &all), 0);
    for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
        struct world w;
        struct error e = { 0 };
        world_init(&w);
        w.model.fake.delay_ms = 70;
        w.in_flight_max = 64;
        world_ask_many(&w, 3000);
        world_save(&w);
        small = all;
        small.rlim_cur = limits[i];
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
        int rc = world_run(&w, &e);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &all), 0);
        assert_int_equal(rc, -1);
        assert_int_equal(e.code, ERROR_RESOURCE_EXHAUSTED);
        assert_false(scratch_has(&w.dir, "out.jsonl"));
        world_finish(&w);
        world_assert_all_answered(&w);
        world_release(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_failing_call_of_the_system_loses_a_line),
        cmocka_unit_test(test_no_failing_call_of_the_spool_loses_a_line),
        cmocka_unit_test(test_a_full_disk_is_told_as_such),
        cmocka_unit_test(test_a_job_that_ran_out_of_space_goes_on_when_there_is_some),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
