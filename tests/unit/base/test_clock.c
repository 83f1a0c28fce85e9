/* Time as a value: a fake clock moves only when told, and stamps have the service's forms. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"

/* 2025-07-09T19:57:43.558901Z */
#define SOME_US INT64_C(1752091063558901)

static void test_stamps_have_the_forms_of_rows_and_of_resources(void **state)
{
    char text[CLOCK_TEXT_BYTES];

    (void)state;
    clock_format_row(SOME_US, text);
    assert_string_equal(text, "2025-07-09T19:57:43.558+00:00");
    clock_format_rfc3339(SOME_US, text);
    assert_string_equal(text, "2025-07-09T19:57:43.558901Z");
    clock_format_row(0, text);
    assert_string_equal(text, "1970-01-01T00:00:00.000+00:00");
    clock_format_rfc3339(INT64_C(951782400000001), text);
    assert_string_equal(text, "2000-02-29T00:00:00.000001Z");
}

static void test_a_fake_clock_jumps_by_its_sleeps_only(void **state)
{
    struct clock c = clock_fake(SOME_US);

    (void)state;
    uint64_t start = c.mono_ns(&c);
    assert_int_equal(c.wall_us(&c), SOME_US);
    assert_int_equal(c.mono_ns(&c), start);
    c.sleep_ns(&c, 72 * 3600 * NS_PER_S);
    assert_int_equal(c.mono_ns(&c) - start, 72 * 3600 * NS_PER_S);
    assert_int_equal(c.wall_us(&c) - SOME_US, INT64_C(72) * 3600 * 1000000);
}

static void test_the_system_clock_never_goes_back(void **state)
{
    struct clock *c = clock_system();
    uint64_t before = c->mono_ns(c);

    (void)state;
    c->sleep_ns(c, NS_PER_MS);
    assert_true(c->mono_ns(c) >= before);
    assert_true(c->wall_us(c) > SOME_US);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stamps_have_the_forms_of_rows_and_of_resources),
        cmocka_unit_test(test_a_fake_clock_jumps_by_its_sleeps_only),
        cmocka_unit_test(test_the_system_clock_never_goes_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
