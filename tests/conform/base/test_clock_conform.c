/* Goal: each clock keeps the promises of base/clock.h. Method: the suite on each of them; nothing is
 * decided by how long something took, but that a clock which slept is not behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"

#define SOME_US INT64_C(1752091063558901) /* 2025-07-09T19:57:43.558901Z */
#define NAP_NS (2 * NS_PER_MS)
#define US_PER_S INT64_C(1000000)

static struct clock *clock;

static void test_monotonic_time_never_goes_back(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++) {
        uint64_t before = clock->mono_ns(clock);
        assert_true(clock->mono_ns(clock) >= before);
    }
}

static void test_wall_time_is_in_microseconds_since_1970(void **state)
{
    (void)state;
    assert_true(clock->wall_us(clock) >= SOME_US);
    assert_true(clock->wall_us(clock) < SOME_US + US_PER_S * 86400 * 365 * 100);
}

/* It may return early, so a caller sleeps until its time: that ends, and has not taken less. */
static void test_sleeping_until_a_time_reaches_it(void **state)
{
    uint64_t start = clock->mono_ns(clock), now = start;
    int64_t wall = clock->wall_us(clock);

    (void)state;
    while (now < start + NAP_NS) {
        clock->sleep_ns(clock, start + NAP_NS - now);
        now = clock->mono_ns(clock);
    }
    assert_true(clock->wall_us(clock) >= wall);
}

static void test_a_sleep_of_nothing_returns(void **state)
{
    uint64_t before = clock->mono_ns(clock);

    (void)state;
    clock->sleep_ns(clock, 0);
    assert_true(clock->mono_ns(clock) >= before);
}

static int run(const char *name, struct clock *of)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_monotonic_time_never_goes_back),
        cmocka_unit_test(test_wall_time_is_in_microseconds_since_1970),
        cmocka_unit_test(test_sleeping_until_a_time_reaches_it),
        cmocka_unit_test(test_a_sleep_of_nothing_returns),
    };

    clock = of;
    return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

int main(void)
{
    struct clock fake = clock_fake(SOME_US);
    int failed =
        run("system", clock_system()) + run("fake", &fake) + run("movable", clock_movable());

    clock_advance(86400 * US_PER_S);
    return failed + run("moved", clock_movable());
}
