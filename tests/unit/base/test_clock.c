/* Time as a value: a fake clock moves only when told, and stamps have the service's forms. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

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

/* Goal: the date is right in each leap year and century. Method: every seventh day of ten thousand years
 * and the days around each of them, against the C library. */
static void test_dates_are_those_of_the_c_library(void **state)
{
    char text[CLOCK_TEXT_BYTES], want[80];

    (void)state;
    for (int64_t day = -719528; day < 2932897; day += day % 7 == 0 ? 6 : 1) {
        time_t s = (time_t)(day * 86400 + 49543);
        struct tm tm;
        assert_non_null(gmtime_r(&s, &tm));
        (void)snprintf(want, sizeof want, "%04d-%02d-%02dT13:45:43.000007Z", tm.tm_year + 1900,
                       tm.tm_mon + 1, tm.tm_mday);
        clock_format_rfc3339(s * INT64_C(1000000) + 7, text);
        assert_string_equal(text, want);
    }
}

static void test_times_outside_four_digit_years_are_the_nearest(void **state)
{
    char text[CLOCK_TEXT_BYTES];

    (void)state;
    clock_format_rfc3339(INT64_MIN, text);
    assert_string_equal(text, "0000-01-01T00:00:00.000000Z");
    clock_format_rfc3339(INT64_MAX, text);
    assert_string_equal(text, "9999-12-31T23:59:59.999999Z");
    clock_format_rfc3339(-1, text);
    assert_string_equal(text, "1969-12-31T23:59:59.999999Z");
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
        cmocka_unit_test(test_dates_are_those_of_the_c_library),
        cmocka_unit_test(test_times_outside_four_digit_years_are_the_nearest),
        cmocka_unit_test(test_a_fake_clock_jumps_by_its_sleeps_only),
        cmocka_unit_test(test_the_system_clock_never_goes_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
