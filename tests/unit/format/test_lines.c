/* Cutting bytes into shards and lines: nothing is lost, and the limits hold at max and max + 1. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "format/lines.h"

static void test_a_shard_is_whole_lines_with_blank_ones_not_counted(void **state)
{
    static const char text[] = "{}\r\n\n \t\r\n{1}\n{2";
    struct shard s = { .line_no = 10 };

    (void)state;
    assert_int_equal(shard_cut(text, sizeof text - 1, false, NULL, &s), 13);
    assert_int_equal(s.line_count, 2);
    assert_int_equal(s.bytes, 13);
    assert_int_equal(s.line_no_end, 14);
    assert_int_equal(shard_cut(text, sizeof text - 1, true, NULL, &s), 15);
    assert_int_equal(s.line_count, 3);
    assert_int_equal(s.line_no_end, 15);
    assert_false(s.overlong);
}

static void test_no_whole_line_gives_no_shard_until_the_end(void **state)
{
    struct shard s = { .line_no = 1 };

    (void)state;
    assert_int_equal(shard_cut("{\"a\"", 4, false, NULL, &s), 0);
    assert_int_equal(s.line_count, 0);
    assert_int_equal(shard_cut("{\"a\"", 4, true, NULL, &s), 4);
    assert_int_equal(s.line_count, 1);
    assert_int_equal(shard_cut("", 0, true, NULL, &s), 0);
    assert_int_equal(shard_cut(NULL, 0, false, NULL, &s), 0);
}

/* Method: count lines of "x\n" with a blank one at the end. */
static void test_a_shard_holds_the_most_lines_and_not_one_more(void **state)
{
    char text[2 * SHARD_LINES_MAX + 4];
    struct shard s = { .line_no = 1 };

    (void)state;
    for (size_t i = 0; i < SHARD_LINES_MAX; i++)
        memcpy(text + 2 * i, "x\n", 2);
    memcpy(text + 2 * SHARD_LINES_MAX, "\ny\n", 4);
    assert_int_equal(shard_cut(text, 2 * SHARD_LINES_MAX + 3, true, NULL, &s),
                     2 * SHARD_LINES_MAX + 1);
    assert_int_equal(s.line_count, SHARD_LINES_MAX);
    assert_int_equal(s.line_no_end, SHARD_LINES_MAX + 2);
}

static void test_a_shard_holds_the_most_bytes_and_not_one_more(void **state)
{
    size_t half = SHARD_BYTES_MAX / 2;
    char *text = mem_alloc(SHARD_BYTES_MAX + 8);
    struct shard s = { .line_no = 1 };

    (void)state;
    memset(text, 'x', SHARD_BYTES_MAX + 8);
    text[half - 1] = '\n';
    text[SHARD_BYTES_MAX - 1] = '\n';
    assert_int_equal(shard_cut(text, SHARD_BYTES_MAX, false, NULL, &s), SHARD_BYTES_MAX);
    assert_int_equal(s.line_count, 2);
    text[SHARD_BYTES_MAX - 1] = 'x';
    text[SHARD_BYTES_MAX] = '\n';
    assert_int_equal(shard_cut(text, SHARD_BYTES_MAX + 1, false, NULL, &s), half);
    assert_int_equal(s.line_count, 1);
    text[half - 1] = 'x';
    assert_int_equal(shard_cut(text, SHARD_BYTES_MAX + 1, false, NULL, &s), SHARD_BYTES_MAX + 1);
    assert_int_equal(s.line_count, 1);
    assert_false(s.overlong);
    mem_free(text);
}

static void test_the_longest_line_is_allowed_and_one_byte_more_is_overlong(void **state)
{
    char *text = mem_alloc(LINE_BYTES_MAX + 8);
    struct shard s = { .line_no = 1 };

    (void)state;
    memset(text, 'x', LINE_BYTES_MAX + 8);
    memcpy(text + LINE_BYTES_MAX, "\r\n", 2);
    assert_int_equal(shard_cut(text, LINE_BYTES_MAX + 2, false, NULL, &s), LINE_BYTES_MAX + 2);
    assert_false(s.overlong);
    memcpy(text + LINE_BYTES_MAX, "x\nx\n", 4);
    assert_int_equal(shard_cut(text, LINE_BYTES_MAX + 4, false, NULL, &s), LINE_BYTES_MAX + 2);
    assert_true(s.overlong);
    assert_int_equal(s.line_count, 1);
    assert_int_equal(s.line_no_end, 2);
    memset(text, 'x', LINE_BYTES_MAX + 8);
    assert_int_equal(shard_cut(text, LINE_BYTES_MAX + 2, false, NULL, &s), 0);
    assert_int_equal(shard_cut(text, LINE_BYTES_MAX + 1, true, NULL, &s), LINE_BYTES_MAX + 1);
    assert_true(s.overlong);
    mem_free(text);
}

static void test_an_overlong_line_stands_alone(void **state)
{
    size_t len = LINE_BYTES_MAX + 10;
    char *text = mem_alloc(len);
    struct shard s = { .line_no = 1 };

    (void)state;
    memset(text, 'x', len);
    memcpy(text, "a\nb\n", 4);
    text[len - 1] = '\n';
    assert_int_equal(shard_cut(text, len, true, NULL, &s), 4);
    assert_false(s.overlong);
    assert_int_equal(shard_cut(text + 4, len - 4, true, NULL, &s), len - 4);
    assert_true(s.overlong);
    mem_free(text);
}

static void test_lines_carry_their_offset_number_and_index(void **state)
{
    static const char text[] = "one\n\ntwo\r\n  \nthree\r";
    static const struct {
        const char *text;
        uint64_t offset, line_no, index;
    } want[] = { { "one", 100, 7, 40 }, { "two", 105, 9, 41 }, { "three", 113, 11, 42 } };
    const struct shard s = { .offset = 100, .bytes = sizeof text - 1, .line_no = 7, .index = 40 };
    struct lines it;
    struct line line;

    (void)state;
    lines_init(&it, &s, text, NULL);
    for (size_t i = 0; i < 3; i++) {
        assert_true(lines_next(&it, &line));
        assert_true(str_eq_c(line.text, want[i].text));
        assert_int_equal(line.offset, want[i].offset);
        assert_int_equal(line.line_no, want[i].line_no);
        assert_int_equal(line.index, want[i].index);
    }
    assert_false(lines_next(&it, &line));
    assert_false(lines_next(&it, &line));
}

static void test_only_a_whole_byte_order_mark_is_skipped(void **state)
{
    (void)state;
    assert_int_equal(lines_bom("\xef\xbb\xbf{}", 5), 3);
    assert_int_equal(lines_bom("\xef\xbb\xbf", 3), 3);
    assert_int_equal(lines_bom("\xef\xbb", 2), 0);
    assert_int_equal(lines_bom("{}\n", 3), 0);
    assert_int_equal(lines_bom("", 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_shard_is_whole_lines_with_blank_ones_not_counted),
        cmocka_unit_test(test_no_whole_line_gives_no_shard_until_the_end),
        cmocka_unit_test(test_a_shard_holds_the_most_lines_and_not_one_more),
        cmocka_unit_test(test_a_shard_holds_the_most_bytes_and_not_one_more),
        cmocka_unit_test(test_the_longest_line_is_allowed_and_one_byte_more_is_overlong),
        cmocka_unit_test(test_an_overlong_line_stands_alone),
        cmocka_unit_test(test_lines_carry_their_offset_number_and_index),
        cmocka_unit_test(test_only_a_whole_byte_order_mark_is_skipped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
