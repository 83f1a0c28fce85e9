/* Goal: requests that are alike are sent once, and all of them are answered. Method: whole jobs against a batch
 * service in memory. */
#include "unit/engine/remote/delegate_world.h"

static void test_identical_deterministic_requests_are_sent_once(void **state)
{
    struct handover *h = *state;

    ask_twins(h);
    run_to_end(h);
    world_assert_all_answered(&h->w);
    assert_int_equal(h->remote.job_count, 1);
    assert_int_equal(h->remote.job[0].rows, 20);
    assert_int_equal(h->w.progress.counters.duplicates, 80);
    assert_int_equal(h->w.progress.counters.cost_nano, 20 * 4000);
}

static void test_those_whose_first_failed_are_all_sent_in_a_second_round(void **state)
{
    struct handover *h = *state;

    h->remote.errors_first = 5;
    ask_twins(h);
    run_to_end(h);
    assert_int_equal(answered_rows(h, "row failed"), 95);
    assert_int_equal(h->remote.job_count, 2);
    assert_int_equal(h->remote.job[1].rows, 5 * 4);
    assert_int_equal(h->w.progress.counters.duplicates, 15 * 4);
}

static void test_twins_are_answered_whenever_the_run_is_cut_off(void **state)
{
    (void)state;
    for (uint32_t n = 1; n < 15; n++) {
        void *fresh;
        struct error e = { 0 };
        assert_int_equal(setup(&fresh), 0);
        struct handover *h = fresh;
        h->remote.cut_at = n;
        h->remote.base.rows_max = 7;
        ask_twins(h);
        int rc = run(h, &e);
        assert_true(rc == 0 || e.code == ERROR_PERMISSION_DENIED);
        run_to_end(h);
        world_assert_all_answered(&h->w);
        (void)teardown(&fresh);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_identical_deterministic_requests_are_sent_once),
        TEST(test_those_whose_first_failed_are_all_sent_in_a_second_round),
        TEST(test_twins_are_answered_whenever_the_run_is_cut_off),
    };

    return cmocka_run_group_tests_name("delegate", tests, NULL, NULL);
}
