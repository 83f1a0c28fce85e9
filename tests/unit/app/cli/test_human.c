/* Numbers as people read them: short, and never rounded to a lie. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "app/cli/human.h"
#include "base/mem.h"
#include "base/clock.h"

static void test_counts_have_a_comma_at_each_thousand(void **state)
{
    static const struct {
        uint64_t n;
        const char *text;
    } cases[] = {
        { 0, "0" },
        { 999, "999" },
        { 1000, "1,000" },
        { 1234567, "1,234,567" },
        { UINT64_MAX, "18,446,744,073,709,551,615" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_string_equal(human_count(HUMAN, cases[i].n), cases[i].text);
}

static void test_bytes_have_the_unit_that_keeps_them_short(void **state)
{
    static const struct {
        uint64_t n;
        const char *text;
    } cases[] = {
        { 0, "0 B" },         { 999, "999 B" },         { 1000, "1.0 kB" },
        { 9949, "9.9 kB" },   { 9999, "10 kB" },        { 999499, "999 kB" },
        { 999999, "1.0 MB" }, { 1200000000, "1.2 GB" }, { UINT64_MAX, "18 EB" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_string_equal(human_bytes(HUMAN, cases[i].n), cases[i].text);
}

static void test_durations_have_two_units_at_most(void **state)
{
    static const struct {
        uint64_t ns;
        const char *text;
    } cases[] = {
        { 0, "0 ms" },
        { 80 * NS_PER_MS, "80 ms" },
        { 999 * NS_PER_MS, "999 ms" },
        { NS_PER_S - 1, "1.0 s" },
        { 9940 * NS_PER_MS, "9.9 s" },
        { 9960 * NS_PER_MS, "10 s" },
        { 59 * NS_PER_S, "59 s" },
        { 60 * NS_PER_S - 1, "1 m 00 s" },
        { 130 * NS_PER_S, "2 m 10 s" },
        { (3 * 3600 + 4 * 60 + 59) * NS_PER_S, "3 h 04 m" },
        { 50 * 3600 * NS_PER_S, "2 d 02 h" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_string_equal(human_duration(HUMAN, cases[i].ns), cases[i].text);
}

static void test_rates_keep_two_or_three_digits(void **state)
{
    static const struct {
        double rate;
        const char *text;
    } cases[] = {
        { 0, "0" },       { -1, "0" },     { 0.004, "<0.01" }, { 0.254, "0.25" },
        { 0.996, "1.0" }, { 4.63, "4.6" }, { 99.96, "100" },   { 1203.7, "1,204" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_string_equal(human_rate(HUMAN, cases[i].rate), cases[i].text);
}

static void test_small_amounts_of_money_are_never_shown_as_nothing(void **state)
{
    static const struct {
        uint64_t nano;
        const char *text;
    } cases[] = {
        { 0, "$0.00" },         { 1, "$0.000000001" },          { 1200, "$0.0000012" },
        { 1200000, "$0.0012" }, { 10000000, "$0.01" },          { 994999999, "$0.99" },
        { 995000000, "$1.00" }, { 1234500000000, "$1,234.50" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_string_equal(human_money(HUMAN, cases[i].nano), cases[i].text);
}

static void test_a_part_is_never_shown_as_none_or_all(void **state)
{
    static const struct {
        uint64_t part, of;
        const char *text;
    } cases[] = {
        { 0, 0, "0%" },     { 0, 5, "0%" },        { 1, 1000, "<1%" },
        { 41, 100, "41%" }, { 999, 1000, ">99%" }, { 1000, 1000, "100%" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_string_equal(human_percent(HUMAN, cases[i].part, cases[i].of), cases[i].text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts_have_a_comma_at_each_thousand),
        cmocka_unit_test(test_bytes_have_the_unit_that_keeps_them_short),
        cmocka_unit_test(test_durations_have_two_units_at_most),
        cmocka_unit_test(test_rates_keep_two_or_three_digits),
        cmocka_unit_test(test_small_amounts_of_money_are_never_shown_as_nothing),
        cmocka_unit_test(test_a_part_is_never_shown_as_none_or_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
