/* Goal: settings of sequences, context and memory are taken at their limits and refused beyond. Method:
 * the plan and the cache's size by themselves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/kernel.h"
#include "predict/local/plan.h"

static void test_sequences_are_taken_at_most(void **state)
{
    static const uint32_t most[] = { PLAN_SEQUENCES_MAX, PLAN_PLAIN_SEQUENCES_MAX };
    struct batcher_plan plan;

    (void)state;
    for (int plain = 0; plain < 2; plain++) {
        struct model m = { .pattern = "m", .sequences = most[plain] };
        struct error e = { 0 };
        assert_int_equal(plan_for(&m, plain, &plan, &e), 0);
        assert_int_equal(plan.sequences, most[plain]);
        m.sequences++;
        assert_int_equal(plan_for(&m, plain, &plan, &e), -1);
        assert_int_equal(e.code, ERROR_INVALID_ARGUMENT);
        m.sequences = 0;
        assert_int_equal(plan_for(&m, plain, &plan, &e), 0);
        assert_in_range(plan.sequences, 1, most[plain]);
    }
}

static int size(struct runtime_settings settings, struct runtime_info *info)
{
    const struct cache_facts facts = {
        .trained = 4096, .cell_bytes = 1024, .multiple = 64, .per_sequence = 100
    };
    struct error e = { 0 };
    int rc = plan_cache(&facts, &settings, info, &e);

    assert_true(rc == 0 || e.code == ERROR_INVALID_ARGUMENT);
    return rc;
}

static void test_a_request_fits_whole_and_a_usual_one_in_each_sequence(void **state)
{
    struct runtime_info info = { 0 };

    (void)state;
    assert_int_equal(size((struct runtime_settings){ .sequences = 10 }, &info), 0);
    assert_int_equal(info.context_max, 4096);
    assert_int_equal(info.cells, 4096);
    assert_int_equal(size((struct runtime_settings){ .sequences = 50 }, &info), 0);
    assert_int_equal(info.cells, 5056); /* 50 * 100, in sixty-fours */
}

static void test_a_context_is_at_most_the_trained_one(void **state)
{
    struct runtime_info info = { 0 };

    (void)state;
    assert_int_equal(size((struct runtime_settings){ .sequences = 1, .context = 4096 }, &info), 0);
    assert_int_equal(size((struct runtime_settings){ .sequences = 1, .context = 4097 }, &info), -1);
}

static void test_memory_that_is_given_limits_the_context(void **state)
{
    struct runtime_info info = { 0 };

    (void)state;
    assert_int_equal(size((struct runtime_settings){ .sequences = 9, .cache_mib = 2 }, &info), 0);
    assert_int_equal(info.cells, 2048);
    assert_int_equal(info.context_max, 2048);
    assert_int_equal(
        size((struct runtime_settings){ .sequences = 9, .cache_mib = 2, .context = 2048 }, &info),
        0);
    assert_int_equal(
        size((struct runtime_settings){ .sequences = 9, .cache_mib = 2, .context = 2049 }, &info),
        -1);
}

static void test_threads_are_as_set_or_all(void **state)
{
    const struct runtime_settings three = { .threads = 3 }, all = { 0 };

    (void)state;
    assert_int_equal(plan_threads(&three), 3);
    assert_in_range(plan_threads(&all), 1, 100000);
}

static void test_a_file_over_an_eighth_of_the_memory_is_large(void **state)
{
    (void)state;
    assert_false(plan_is_large(1000, 8000));
    assert_true(plan_is_large(1001, 8000));
    assert_true(plan_machine_bytes() > 0);
}

/* Whatever the CPU: weights that are to be small take a byte each. */
static void test_large_models_are_computed_in_int8(void **state)
{
    (void)state;
    assert_int_equal(kernel_best(true)->layout.format, KERNEL_INT8);
    assert_true(kernel_best(true)->runs_here());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sequences_are_taken_at_most),
        cmocka_unit_test(test_a_request_fits_whole_and_a_usual_one_in_each_sequence),
        cmocka_unit_test(test_a_context_is_at_most_the_trained_one),
        cmocka_unit_test(test_memory_that_is_given_limits_the_context),
        cmocka_unit_test(test_threads_are_as_set_or_all),
        cmocka_unit_test(test_a_file_over_an_eighth_of_the_memory_is_large),
        cmocka_unit_test(test_large_models_are_computed_in_int8),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
