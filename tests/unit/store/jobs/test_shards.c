/* Goal: every line of a job in shards is counted once, under the current fence, with what is durable; budgets and limits hold
 * over all processes; a job comes to its end whoever works on it. Method: two processes (connections) on one store, a clock
 * that is moved by hand. */
#include "unit/store/jobs/shard_world.h"

static void pass(struct world *w, int64_t us)
{
    w->clock.fake_us += us;
    w->clock.fake_ns += (uint64_t)us * 1000;
}

static void renew(struct store *s, uint32_t freed_wanted)
{
    struct error e = { 0 };
    uint32_t freed = 0;

    ASSERT_OK(fleet_renew(s, &freed, &e), e);
    assert_int_equal(freed, freed_wanted);
}

static void test_a_job_in_shards_runs_to_its_end(void **state)
{
    struct world *w = *state;
    struct store *b = other_process(w, "b");
    struct error e = { 0 };
    struct job j = cut_job(w, 3);
    struct blob out = { 0 };

    ASSERT_OK(fleet_join(w->s, "a", &e), e);
    assert_int_equal(glance(w, j.id).open, 3);
    struct taken one = lease(w->s, j.id, 1), two = lease(b, j.id, 5);
    assert_int_equal(one.count, 1);
    assert_int_equal(one.left, SHARDS_SOME);
    assert_int_equal(two.count, 2);
    assert_int_equal(two.left, SHARDS_TAKEN);
    assert_int_equal(one.item[0].number, 0);
    assert_int_equal(two.item[0].number, 1);
    assert_int_equal(two.item[1].cut.begin, 200);
    assert_true(one.item[0].budget_nano == UINT64_MAX);
    assert_int_equal(get(w, j.id).state, JOB_RUNNING);
    assert_int_equal(lease(b, j.id, 5).left, SHARDS_TAKEN);

    (void)checkpoint(w, w->s, &one.item[0], answered(4, 1));
    assert_int_equal(get(w, j.id).counters.succeeded, 4);
    assert_int_equal(get(w, j.id).counters.cost_nano, 40);
    assert_int_equal(glance(w, j.id).counters.failed, 1);
    assert_int_equal(finish(w, b, &two.item[0], answered(10, 0)), SHARDS_TAKEN);
    assert_int_equal(finish(w, w->s, &one.item[0], answered(9, 1)), SHARDS_TAKEN);
    ASSERT_FAILS(
        finish_as(w, &(struct job){ .id = j.id, .fence = get(w, j.id).fence }, JOB_SUCCEEDED, &e),
        e, ERROR_FAILED_PRECONDITION);
    assert_int_equal(finish(w, b, &two.item[1], answered(0, 10)), SHARDS_NONE);
    assert_int_equal(lease(b, j.id, 5).left, SHARDS_NONE);
    assert_false(settle(b, j.id));

    ASSERT_OK(shards_join(w->s, j.id, &out, &e), e);
    assert_int_equal(out.bytes, 15);
    j = get(w, j.id);
    assert_int_equal(j.counters.succeeded, 19);
    assert_int_equal(j.counters.failed, 11);
    j.counters.succeeded = 0; /* the store knows better */
    j.result = out.id;
    ASSERT_OK(finish_as(w, &j, JOB_SUCCEEDED, &e), e);
    assert_int_equal(get(w, j.id).counters.succeeded, 19);
    store_close(b);
}

static void test_what_a_dead_process_held_goes_on_from_its_checkpoint(void **state)
{
    struct world *w = *state;
    struct store *b = other_process(w, "b");
    struct error e = { 0 };
    struct job j = cut_job(w, 2);
    enum shards_left left;

    ASSERT_OK(fleet_join(w->s, "a", &e), e);
    struct taken dead = lease(b, j.id, 2);
    struct blob kept = checkpoint(w, b, &dead.item[0], answered(4, 0));
    pass(w, 2000000);
    renew(w->s, 0);
    pass(w, 8500000);
    assert_false(fleet_holds(b));
    renew(w->s, 1);
    assert_int_equal(glance(w, j.id).open, 2);

    struct blob more = blob_of(w, "answers");
    struct shard_record late = { .step = SHARD_RELEASE,
                                 .counters = answered(9, 1),
                                 .answers = &more };
    ASSERT_FAILS(shard_record(b, &dead.item[1], &late, &left, &e), e, ERROR_ABORTED);
    struct taken next = lease(w->s, j.id, 1);
    assert_int_equal(next.item[0].answers, kept.id);
    assert_int_equal(next.item[0].counters.succeeded, 4);
    assert_true(next.item[0].fence > dead.item[0].fence);
    ASSERT_FAILS(shard_record(b, &dead.item[0], &late, &left, &e), e, ERROR_ABORTED);
    uint32_t freed;
    ASSERT_FAILS(fleet_renew(b, &freed, &e), e, ERROR_ABORTED);
    ASSERT_OK(fleet_join(b, "b", &e), e);
    assert_true(fleet_holds(b));
    assert_int_equal(lease(b, j.id, 2).count, 1);
    store_close(b);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_make, world_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_job_in_shards_runs_to_its_end),
        TEST(test_what_a_dead_process_held_goes_on_from_its_checkpoint),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
