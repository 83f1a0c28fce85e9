/* Goal: a process is of the fleet as long as it renews its lease, a duty is one process's, and what a dead one had is free
 * for the others. Method: processes (connections) on one store, a clock that is moved by hand. */
#include "unit/store/jobs/shard_world.h"

static void pass(struct world *w, int64_t us)
{
    w->clock.fake_us += us;
    w->clock.fake_ns += (uint64_t)us * 1000;
}

static uint32_t renew(struct store *s)
{
    struct error e = { 0 };
    uint32_t freed = 0;

    ASSERT_OK(fleet_renew(s, &freed, &e), e);
    return freed;
}

static int duty(struct store *s, const char *name)
{
    struct error e = { 0 };
    int rc = duty_take(s, name, &e);

    assert_string_equal(e.msg, "");
    return rc;
}

static uint32_t members(struct world *w, struct fleet_member **out)
{
    struct error e = { 0 };
    uint32_t count = 0;

    ASSERT_OK(fleet_list(w->s, &w->a, out, &count, &e), e);
    return count;
}

static void test_who_did_not_join_is_alone(void **state)
{
    struct world *w = *state;

    assert_int_equal(fleet_process(w->s), 0);
    assert_true(fleet_holds(w->s));
    assert_int_equal(renew(w->s), 0);
    assert_int_equal(duty(w->s, "sweep"), 1);
    duty_end(w->s, "sweep");
    fleet_leave(w->s);
    assert_int_equal(rows(w, "SELECT count(*) FROM duty"), 0);
}

static void test_a_member_is_listed_until_its_lease_ends(void **state)
{
    struct world *w = *state;
    struct store *b = other_process(w, "second"), *c = other_process(w, "third");
    struct fleet_member *m;
    struct error e = { 0 };

    ASSERT_OK(fleet_join(w->s, "first", &e), e);
    assert_int_equal(members(w, &m), 3);
    assert_string_equal(m[0].name, "second");
    assert_string_equal(m[0].version, TRANCHE_VERSION);
    assert_int_equal(m[0].process, fleet_process(b));
    assert_int_equal(m[0].until_us, NOW_US + FLEET_LEASE_MS * 1000);
    assert_true(m[1].process > m[0].process);
    pass(w, FLEET_LEASE_MS * 1000);
    assert_false(fleet_holds(w->s)); /* with a margin, but the row is there */
    assert_int_equal(renew(w->s), 0);
    assert_true(fleet_holds(w->s));
    pass(w, 1);
    assert_int_equal(renew(w->s), 2);
    assert_int_equal(members(w, &m), 1);
    assert_int_equal(m[0].until_us, w->clock.fake_us + FLEET_LEASE_MS * 1000);
    store_close(b);
    store_close(c);
}

static void test_a_number_never_comes_twice(void **state)
{
    struct world *w = *state;
    struct store *b = other_process(w, "b");
    int64_t first = fleet_process(b);
    struct error e = { 0 };

    fleet_leave(b);
    assert_int_equal(fleet_process(b), 0);
    ASSERT_OK(fleet_join(b, "b", &e), e);
    assert_true(fleet_process(b) > first);
    store_close(b);
}

static void test_a_duty_is_one_process_s_until_it_ends_or_dies(void **state)
{
    struct world *w = *state;
    struct store *b = other_process(w, "b");
    struct error e = { 0 };

    ASSERT_OK(fleet_join(w->s, "a", &e), e);
    assert_int_equal(duty(w->s, "sweep"), 1);
    assert_int_equal(duty(w->s, "sweep"), 1); /* again */
    assert_int_equal(duty(b, "sweep"), 0);
    assert_int_equal(duty(b, "check/1"), 1);
    duty_end(b, "sweep"); /* is not its own */
    assert_int_equal(duty(b, "sweep"), 0);
    duty_end(w->s, "sweep");
    assert_int_equal(duty(b, "sweep"), 1);
    pass(w, 2 * FLEET_RENEW_MS * 1000);
    assert_int_equal(renew(w->s), 0);
    pass(w, FLEET_LEASE_MS * 1000 - FLEET_RENEW_MS * 1000);
    assert_int_equal(renew(w->s), 1);
    assert_int_equal(duty(w->s, "sweep"), 1);
    ASSERT_FAILS(duty_take(b, "check/1", &e), e, ERROR_ABORTED);
    store_close(b);
}

static void test_who_leaves_frees_what_it_held_at_once(void **state)
{
    struct world *w = *state;
    struct store *b = other_process(w, "b");
    struct job j = cut_job(w, 2);
    struct fleet_member *m;

    (void)lease(b, j.id, 2);
    assert_int_equal(duty(b, "sweep"), 1);
    assert_int_equal(members(w, &m), 1);
    assert_int_equal(m[0].shards, 2);
    fleet_leave(b);
    assert_int_equal(glance(w, j.id).open, 2);
    assert_int_equal(rows(w, "SELECT count(*) FROM duty"), 0);
    assert_int_equal(rows(w, "SELECT count(*) FROM process"), 0);
    store_close(b);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_make, world_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_who_did_not_join_is_alone),
        TEST(test_a_member_is_listed_until_its_lease_ends),
        TEST(test_a_number_never_comes_twice),
        TEST(test_a_duty_is_one_process_s_until_it_ends_or_dies),
        TEST(test_who_leaves_frees_what_it_held_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
