/* Byte strings that only look, and buffers that own and have a maximum. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"

static void test_comparisons_look_at_bytes_and_length(void **state)
{
    (void)state;
    assert_true(str_eq(STR("a\0b"), STR("a\0b")));
    assert_false(str_eq(STR("a\0b"), STR("a\0c")));
    assert_true(str_eq((struct str){ 0 }, STR("")));
    assert_true(str_eq_c(STR("abc"), "abc"));
    assert_int_equal(str_of(NULL).len, 0);
    assert_true(str_cmp(STR("a"), STR("ab")) < 0);
    assert_true(str_cmp(STR("b"), STR("ab")) > 0);
    assert_true(str_cmp(STR("\x7f"), STR("\x80")) < 0);
    assert_int_equal(str_cmp(STR(""), (struct str){ 0 }), 0);
    assert_true(str_starts(STR("abc"), STR("ab")) && str_ends(STR("abc"), STR("bc")));
    assert_false(str_starts(STR("a"), STR("ab")) || str_ends(STR("c"), STR("bc")));
}

static void test_parts_are_clamped_to_the_string(void **state)
{
    (void)state;
    assert_true(str_eq_c(str_sub(STR("abcd"), 1, 2), "bc"));
    assert_true(str_eq_c(str_sub(STR("abcd"), 3, SIZE_MAX), "d"));
    assert_int_equal(str_sub(STR("abcd"), 9, 1).len, 0);
    assert_true(str_eq_c(str_trim(STR(" \t\r\n a b \n")), "a b"));
    assert_int_equal(str_trim(STR(" \n")).len, 0);
}

static void test_find_gives_the_first_place(void **state)
{
    (void)state;
    assert_int_equal(str_find(STR("aabaab"), STR("ab")), 1);
    assert_int_equal(str_find(STR("aab"), STR("")), 0);
    assert_int_equal(str_find(STR("ab"), STR("abc")), SIZE_MAX);
    assert_int_equal(str_find(STR("aaab"), STR("ac")), SIZE_MAX);
    assert_int_equal(str_find(STR(""), STR("a")), SIZE_MAX);
    assert_int_equal(str_find(STR("xxab"), STR("ab")), 2);
}

/* The bounds of Unicode table 3-7, each just inside or just outside. */
static const struct {
    struct str s;
    size_t valid;
} sequences[] = {
    { STR_INIT("abc\x7f"), 4 },
    { STR_INIT("\xc2\x80\xdf\xbf"), 4 },
    { STR_INIT("\xc1\xbf"), 0 },
    { STR_INIT("a\x80"), 1 },
    { STR_INIT("\xe0\xa0\x80"), 3 },
    { STR_INIT("\xe0\x9f\xbf"), 0 },
    { STR_INIT("\xed\x9f\xbf"), 3 },
    { STR_INIT("\xed\xa0\x80"), 0 },
    { STR_INIT("\xef\xbf\xbf"), 3 },
    { STR_INIT("\xf0\x90\x80\x80"), 4 },
    { STR_INIT("\xf0\x8f\xbf\xbf"), 0 },
    { STR_INIT("\xf4\x8f\xbf\xbf"), 4 },
    { STR_INIT("\xf4\x90\x80\x80"), 0 },
    { STR_INIT("\xf5\x80\x80\x80"), 0 },
    { STR_INIT("a\xe2\x82"), 1 },
    { STR_INIT("a\xf0\x90\x80z"), 1 },
    { STR_INIT(""), 0 },
};

static void test_utf8_is_valid_up_to_the_first_wrong_sequence(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(sequences); i++)
        if (str_utf8_valid(sequences[i].s) != sequences[i].valid)
            fail_msg("case %zu: %zu", i, str_utf8_valid(sequences[i].s));
}

/* What is no digit is refused wherever it stands, and the first number that does not fit. */
static void test_a_number_is_digits_and_nothing_else(void **state)
{
    static const struct {
        const char *text;
        bool good;
        uint64_t n;
    } cases[] = {
        { "0", true, 0 },
        { "007", true, 7 },
        { "18446744073709551614", true, UINT64_MAX - 1 },
        { "18446744073709551615", true, UINT64_MAX },
        { "18446744073709551616", false, 0 },
        { "99999999999999999999999999", false, 0 },
        { "184467440737095516160", false, 0 },
        { "", false, 0 },
        { "+1", false, 0 },
        { "-1", false, 0 },
        { " 1", false, 0 },
        { "1 ", false, 0 },
        { "1.0", false, 0 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint64_t n = 1;
        if (str_number(str_of(cases[i].text), &n) != cases[i].good)
            fail_msg("\"%s\"", cases[i].text);
        if (cases[i].good)
            assert_int_equal(n, cases[i].n);
    }
}

/* Both ends belong to the range; at the largest one nothing wraps around. */
static void test_a_number_in_a_range_has_both_ends(void **state)
{
    static const struct {
        const char *text;
        uint64_t min, max;
        bool ok;
    } cases[] = {
        { "0", 0, UINT64_MAX, true },
        { "18446744073709551615", 0, UINT64_MAX, true },
        { "18446744073709551616", 0, UINT64_MAX, false },
        { "2", 2, 3, true },
        { "3", 2, 3, true },
        { "1", 2, 3, false },
        { "4", 2, 3, false },
        { "", 0, 0, false },
        { "1.5", 0, 9, false },
        { "0x10", 0, 99, false },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint64_t n;
        bool ok = str_number_in(str_of(cases[i].text), cases[i].min, cases[i].max, &n);
        if (ok != cases[i].ok)
            fail_msg("\"%s\" in [%llu, %llu]", cases[i].text, (unsigned long long)cases[i].min,
                     (unsigned long long)cases[i].max);
    }
}

/* Joined again with bars, the pieces show where each began. */
static void test_pieces_stand_between_separators(void **state)
{
    static const struct {
        const char *text, *pieces;
    } cases[] = {
        { "", "" },      { "a", "a|" },       { "a,b", "a|b|" }, { "a,", "a|" },
        { ",a", "|a|" }, { "a,,b", "a||b|" }, { ",", "|" },      { "ab,cd,e", "ab|cd|e|" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct str rest = str_of(cases[i].text), piece;
        struct buf all = BUF_INIT(100);
        buf_add_c(&all, "");
        while (str_next(&rest, ',', &piece)) {
            buf_add_str(&all, piece);
            buf_add_char(&all, '|');
        }
        assert_string_equal(all.p, cases[i].pieces);
        buf_release(&all);
    }
}

static void test_the_last_step_is_after_the_last_separator(void **state)
{
    (void)state;
    assert_true(str_eq_c(str_after_last(STR("a/b/c"), '/'), "c"));
    assert_true(str_eq_c(str_after_last(STR("c"), '/'), "c"));
    assert_true(str_eq_c(str_after_last(STR("a/"), '/'), ""));
    assert_true(str_eq_c(str_after_last((struct str){ 0 }, '/'), ""));
}

static void test_hex_has_two_digits_a_byte(void **state)
{
    char text[9] = "????????";

    (void)state;
    str_hex("\x00\x7F\xA0\xFF", 4, text);
    assert_string_equal(text, "007fa0ff");
    str_hex("", 0, text);
    assert_string_equal(text, "");
}

static void test_a_glob_matches_whole_names(void **state)
{
    static const struct {
        const char *pattern, *name;
        bool match;
    } cases[] = {
        { "gemini-*", "gemini-2.5-flash", true },
        { "gemini-*", "xgemini-2", false },
        { "*", "", true },
        { "?", "", false },
        { "a*b*c", "aXbYbZc", true },
        { "a*b*c", "aXbYbZ", false },
        { "a?c", "abc", true },
        { "abc", "abcd", false },
        { "*a", "aaaaaaaaaaaaaaaaaaaab", false },
        { "**", "x", true },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (str_glob(cases[i].pattern, cases[i].name) != cases[i].match)
            fail_msg("%s on %s", cases[i].pattern, cases[i].name);
}

static void test_distance_counts_edits_up_to_its_limit(void **state)
{
    static const char long_name[66] = "a";

    (void)state;
    assert_int_equal(str_distance(STR("topP"), STR("topP"), 3), 0);
    assert_int_equal(str_distance(STR("topp"), STR("topP"), 3), 1);
    assert_int_equal(str_distance(STR("tpoP"), STR("topP"), 3), 1);
    assert_int_equal(str_distance(STR("topPP"), STR("topP"), 3), 1);
    assert_int_equal(str_distance(STR(""), STR("abc"), 3), 3);
    assert_int_equal(str_distance(STR("kitten"), STR("sitting"), 9), 3);
    assert_int_equal(str_distance(STR("kitten"), STR("sitting"), 2), 3);
    assert_int_equal(str_distance((struct str){ long_name, 65 }, STR("a"), 2), 3);
}

static void test_a_buffer_grows_to_its_maximum_and_no_further(void **state)
{
    struct buf b = BUF_INIT(100);

    (void)state;
    assert_int_equal(buf_str(&b).len, 0);
    for (int i = 0; i < 10; i++)
        buf_addf(&b, "%010d", i);
    assert_true(buf_ok(&b));
    assert_int_equal(b.len, 100);
    assert_int_equal(b.p[100], '\0');
    buf_add_char(&b, 'x');
    assert_false(buf_ok(&b));
    assert_int_equal(b.len, 100);
    buf_add(&b, "", 0);
    assert_false(buf_ok(&b));
    buf_clear(&b);
    buf_add_str(&b, STR("again"));
    assert_true(buf_ok(&b));
    assert_string_equal(b.p, "again");
    buf_release(&b);
    assert_null(b.p);
    buf_release(&b);
}

/* Goal: a formatted text that does not fit leaves the buffer as it was. Method: with room in the
 * allocation but not under the maximum, and with neither. */
static void test_a_formatted_text_is_appended_whole_or_not_at_all(void **state)
{
    struct buf b = BUF_INIT(80);

    (void)state;
    buf_addf(&b, "%s", "0123456789");
    buf_addf(&b, "%70d", 1);
    assert_int_equal(b.len, 80);
    assert_true(buf_ok(&b));
    buf_addf(&b, "%s", "");
    assert_true(buf_ok(&b));
    buf_addf(&b, "%d", 12);
    assert_false(buf_ok(&b));
    assert_int_equal(b.len, 80);
    assert_int_equal(strlen(b.p), 80);
    buf_release(&b);
}

static void test_a_text_is_cut_between_characters(void **state)
{
    static const size_t expected[] = { 0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 10 };
    struct str s = STR("a\xc3\xa4\xe2\x82\xac\xf0\x9f\x8d\x8c");

    (void)state;
    for (size_t max = 0; max < sizeof expected / sizeof expected[0]; max++)
        assert_int_equal(str_cut(s, max).len, expected[max]);
}

static void test_json_strings_escape_what_json_must_and_mend_bad_utf8(void **state)
{
    static const struct {
        struct str in;
        const char *out;
    } cases[] = {
        { STR_INIT("plain"), "\"plain\"" },
        { STR_INIT(""), "\"\"" },
        { STR_INIT("\"\\/"), "\"\\\"\\\\/\"" },
        { STR_INIT("\b\f\n\r\t\x01\x1f\x00"), "\"\\b\\f\\n\\r\\t\\u0001\\u001f\\u0000\"" },
        { STR_INIT("\xc3\xa9\x7f"), "\"\xc3\xa9\x7f\"" },
        { STR_INIT("a\xff\xc3"), "\"a\xef\xbf\xbd\xef\xbf\xbd\"" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf b = BUF_INIT(100);
        buf_add_json(&b, cases[i].in);
        assert_string_equal(b.p, cases[i].out);
        buf_release(&b);
    }
}

static void test_doubles_are_short_and_read_back_the_same(void **state)
{
    static const double values[] = { 0,    1,         -0.48, 1.0 / 3, 1e300, 5e-324, 123456789.125,
                                     1e21, 0.1 + 0.2, -1e-7 };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(values); i++) {
        struct buf b = BUF_INIT(40);
        buf_add_double(&b, values[i]);
        double back = strtod(b.p, NULL);
        assert_memory_equal(&back, &values[i], sizeof back);
        buf_release(&b);
    }
    struct buf b = BUF_INIT(40);
    buf_add_double(&b, 0.1);
    buf_add_double(&b, NAN);
    buf_add_double(&b, INFINITY);
    assert_string_equal(b.p, "0.1nullnull");
    buf_release(&b);
}

static void test_plain_text_has_nothing_that_steers_a_terminal(void **state)
{
    static const struct {
        struct str text;
        const char *shown, *escaped;
    } cases[] = {
        { STR_INIT("a \xC3\xBC \xE2\x82\xAC"), "a \xC3\xBC \xE2\x82\xAC",
          "a \xC3\xBC \xE2\x82\xAC" },
        { STR_INIT("\033[2J\n\x7F"), "?[2J??", "\\u001b[2J\\u000a\\u007f" },
        { STR_INIT("\0"), "?", "\\u0000" },
        { STR_INIT("\xC2\x9B"
                   "31m\xC2\x80\xC2\xA0"),
          "?31m?\xC2\xA0", "\\u009b31m\\u0080\xC2\xA0" },
        { STR_INIT("\x9B"
                   "0m\xFFz\xC2"),
          "?0m?z?", "\\u009b0m\\u00ffz\\u00c2" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf shown = BUF_INIT(100), escaped = BUF_INIT(100);
        buf_add_plain(&shown, cases[i].text, false);
        buf_add_plain(&escaped, cases[i].text, true);
        assert_string_equal(shown.p, cases[i].shown);
        assert_string_equal(escaped.p, cases[i].escaped);
        buf_release(&shown);
        buf_release(&escaped);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_comparisons_look_at_bytes_and_length),
        cmocka_unit_test(test_parts_are_clamped_to_the_string),
        cmocka_unit_test(test_find_gives_the_first_place),
        cmocka_unit_test(test_a_text_is_cut_between_characters),
        cmocka_unit_test(test_utf8_is_valid_up_to_the_first_wrong_sequence),
        cmocka_unit_test(test_a_number_is_digits_and_nothing_else),
        cmocka_unit_test(test_a_number_in_a_range_has_both_ends),
        cmocka_unit_test(test_pieces_stand_between_separators),
        cmocka_unit_test(test_the_last_step_is_after_the_last_separator),
        cmocka_unit_test(test_hex_has_two_digits_a_byte),
        cmocka_unit_test(test_a_glob_matches_whole_names),
        cmocka_unit_test(test_distance_counts_edits_up_to_its_limit),
        cmocka_unit_test(test_a_buffer_grows_to_its_maximum_and_no_further),
        cmocka_unit_test(test_a_formatted_text_is_appended_whole_or_not_at_all),
        cmocka_unit_test(test_json_strings_escape_what_json_must_and_mend_bad_utf8),
        cmocka_unit_test(test_doubles_are_short_and_read_back_the_same),
        cmocka_unit_test(test_plain_text_has_nothing_that_steers_a_terminal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
