/* Times as clients and output rows write them. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/timestamp.h"
#include "base/mem.h"
#include "base/clock.h"

static void test_a_time_that_a_row_was_written_with_reads_back_as_itself(void **state)
{
    static const int64_t times[] = {
        0,
        951782399999000,
        951868800000000 /* around a leap day */,
        1752091063558000,
        4102444799000000,
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(times); i++) {
        char text[CLOCK_TEXT_BYTES];
        int64_t us = -1;
        clock_format_row(times[i], text);
        assert_true(timestamp_read(str_of(text), &us));
        assert_int_equal(us, times[i]);
    }
}

static void test_times_with_other_offsets_and_fractions_are_the_same_instant(void **state)
{
    static const char *const same[] = {
        "2025-07-09T19:57:43.558+00:00",  "2025-07-09T19:57:43.558Z",
        "2025-07-09T21:57:43.558+02:00",  "2025-07-09T12:27:43.558-07:30",
        "2025-07-09T19:57:43.558000999Z", "2025-07-09T19:57:43.558000+00:00",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(same); i++) {
        int64_t us = 0;
        assert_true(timestamp_read(str_of(same[i]), &us));
        assert_int_equal(us, 1752091063558000);
    }
}

static void test_what_is_no_time_is_refused(void **state)
{
    static const char *const texts[] = {
        "",
        "2025",
        "2025-07-09_19:57:43Z",
        "2025-13-09T19:57:43Z",
        "2025-00-09T19:57:43Z",
        "2025-07-00T19:57:43Z",
        "2025-07-09T24:57:43Z",
        "2025-07-09T19:57:43",
        "2025-07-09T19:57:43+0000",
        "2025-07-09T19:57:43Zx",
        "2025-07-09T19:57:43+00:00x",
        "x025-07-09T19:57:43Z",
        "2025-07-09T19:57:4",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        int64_t us = 42;
        if (timestamp_read(str_of(texts[i]), &us))
            fail_msg("\"%s\" was taken", texts[i]);
        assert_int_equal(us, 42);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_time_that_a_row_was_written_with_reads_back_as_itself),
        cmocka_unit_test(test_times_with_other_offsets_and_fractions_are_the_same_instant),
        cmocka_unit_test(test_what_is_no_time_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
