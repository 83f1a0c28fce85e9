/* Cells of records, how a cell is written, and how records are cut into lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "format/lines.h"
#include "format/table/cells.h"

static void assert_str(struct str s, const char *expected)
{
    if (!str_eq_c(s, expected))
        print_error("got '%.*s'\n", STR_ARG(s));
    assert_true(str_eq_c(s, expected));
}

/* Goal: quotes, doubled quotes, empty text and nothing are told apart, and raw bytes stay. */
static void test_a_record_gives_its_cells_as_text_and_as_written(void **state)
{
    struct arena a = { 0 };
    struct cell c[8];
    struct str record = STR("007,\"a, \"\"b\"\"\nc\",,\"\",5\" pipe,é");

    (void)state;
    assert_int_equal(cells_split(&a, record, ',', c, 8), 6);
    assert_str(c[0].text, "007");
    assert_str(c[1].text, "a, \"b\"\nc");
    assert_str(c[1].raw, "\"a, \"\"b\"\"\nc\"");
    assert_true(c[2].null && c[2].text.len == 0);
    assert_false(c[3].null);
    assert_int_equal(c[3].text.len, 0);
    assert_str(c[4].text, "5\" pipe");
    assert_null(c[4].fault);
    assert_str(c[5].text, "é");
    arena_release(&a);
}

static void test_an_empty_record_has_one_null_cell_and_a_delimiter_makes_two(void **state)
{
    struct arena a = { 0 };
    struct cell c[4];

    (void)state;
    assert_int_equal(cells_split(&a, STR(""), ',', c, 4), 1);
    assert_true(c[0].null);
    assert_int_equal(cells_split(&a, STR(","), ',', c, 4), 2);
    assert_true(c[0].null && c[1].null);
    arena_release(&a);
}

static void test_malformed_quotes_are_named_and_take_in_no_other_cell(void **state)
{
    struct arena a = { 0 };
    struct cell c[4];

    (void)state;
    assert_int_equal(cells_split(&a, STR("\"a\"b,c"), ',', c, 4), 2);
    assert_non_null(c[0].fault);
    assert_str(c[0].text, "\"a\"b");
    assert_str(c[1].text, "c");
    assert_int_equal(cells_split(&a, STR("x,\"a,c"), ',', c, 4), 2);
    assert_non_null(c[1].fault);
    arena_release(&a);
}

/* Goal: each text reads back as itself. */
static void test_a_written_cell_reads_back_as_the_same_text(void **state)
{
    static const char *const texts[] = { "plain",      "a,b",        "a;b",    "\"",
                                         "say \"hi\"", "two\nlines", "cr\rcr", " space ",
                                         "",           "\t",         "=1+1",   "5\" pipe" };
    struct arena a = { 0 };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct buf out = BUF_INIT(1000);
        struct cell c[2];
        cell_write(&out, str_of(texts[i]), ';');
        assert_int_equal(cells_split(&a, buf_str(&out), ';', c, 2), 1);
        assert_str(c[0].text, texts[i]);
        assert_false(c[0].null);
        assert_null(c[0].fault);
        buf_release(&out);
    }
    arena_release(&a);
}

static void test_a_text_without_special_signs_is_written_without_quotes(void **state)
{
    struct buf out = BUF_INIT(100);

    (void)state;
    cell_write(&out, STR("1.10"), ',');
    assert_str(buf_str(&out), "1.10");
    buf_release(&out);
}

static void test_the_delimiter_is_the_one_that_makes_the_most_cells(void **state)
{
    (void)state;
    assert_int_equal(delimiter_guess(STR("id,text,stars")), ',');
    assert_int_equal(delimiter_guess(STR("id;text, long;stars")), ';');
    assert_int_equal(delimiter_guess(STR("id\ttext")), '\t');
    assert_int_equal(delimiter_guess(STR("id|text")), '|');
    assert_int_equal(delimiter_guess(STR("\"a;b;c\",d")), ',');
    assert_int_equal(delimiter_guess(STR("text")), ',');
}

static void test_an_unknown_column_is_answered_with_the_nearest_name(void **state)
{
    struct str names[] = { STR_INIT("id"), STR_INIT("text"), STR_INIT(" stars"), STR_INIT("id2"),
                           STR_INIT("id2") };
    const struct columns c = { names, 5 };
    struct error e = { 0 };
    uint32_t at = 9;

    (void)state;
    assert_int_equal(columns_find(&c, STR("text"), &at, &e), 0);
    assert_int_equal(at, 1);
    assert_int_equal(columns_find(&c, STR("stars"), &at, &e), 0);
    assert_int_equal(at, 2);
    assert_int_equal(columns_find(&c, STR("txet"), &at, &e), -1);
    assert_non_null(strstr(e.msg, "did you mean \"text\"?"));
    assert_int_equal(columns_find(&c, STR("id2"), &at, &e), -1);
    assert_non_null(strstr(e.msg, "twice"));
}

/* ---- Lines ---- */

struct expected_line {
    const char *text;
    uint64_t line_no;
};

static void assert_lines(struct str bytes, const struct line_cut *cut,
                         const struct expected_line *expected, uint32_t count)
{
    struct shard s = { .line_no = 1 };
    struct lines it;
    struct line line;
    uint32_t n = 0;

    assert_int_equal(shard_cut(bytes.p, bytes.len, true, cut, &s), bytes.len);
    assert_int_equal(s.line_count, count);
    lines_init(&it, &s, bytes.p, cut);
    while (lines_next(&it, &line)) {
        assert_true(n < count);
        assert_str(line.text, expected[n].text);
        assert_int_equal(line.line_no, expected[n].line_no);
        assert_int_equal(line.index, n++);
    }
    assert_int_equal(n, count);
}

static void test_a_record_is_one_line_numbered_where_it_begins(void **state)
{
    const struct line_cut cut = { .delimiter = ',' };
    const struct expected_line expected[] = {
        { "1,\"two\nlines\"", 1 }, { "2,5\" pipe", 4 }, { "\"a\n\"\"b\n\",c", 5 }, { "3,d", 8 }
    };

    (void)state;
    assert_lines(STR("1,\"two\nlines\"\r\n\n2,5\" pipe\n\"a\n\"\"b\n\",c\n3,d"), &cut, expected, 4);
}

static void test_a_row_of_tabs_only_is_a_row(void **state)
{
    const struct line_cut cut = { .delimiter = '\t' };
    const struct expected_line expected[] = { { "a\tb", 1 }, { "\t", 2 } };

    (void)state;
    assert_lines(STR("a\tb\n\t\n  \n"), &cut, expected, 2);
}

static bool begins_with_x(const void *arg, struct str text)
{
    (void)arg;
    return text.p[0] == 'x';
}

static void test_lines_that_are_not_kept_have_a_number_and_no_index(void **state)
{
    const struct line_cut cut = { .delimiter = ',', .keep = begins_with_x };
    const struct expected_line expected[] = { { "x1", 2 }, { "x2", 4 } };

    (void)state;
    assert_lines(STR("a\nx1\nb\nx2\nc\n"), &cut, expected, 2);
}

static void test_an_unclosed_quote_asks_for_more_bytes_and_ends_with_the_file(void **state)
{
    const struct line_cut cut = { .delimiter = ',' };
    const struct expected_line expected[] = { { "\"a\nb", 1 } };
    struct shard s = { .line_no = 1 };

    (void)state;
    assert_int_equal(shard_cut("\"a\nb\n", 5, false, &cut, &s), 0);
    assert_int_equal(shard_cut("\"a\"", 3, false, &cut, &s), 0);
    assert_lines(STR("\"a\nb"), &cut, expected, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_record_gives_its_cells_as_text_and_as_written),
        cmocka_unit_test(test_an_empty_record_has_one_null_cell_and_a_delimiter_makes_two),
        cmocka_unit_test(test_malformed_quotes_are_named_and_take_in_no_other_cell),
        cmocka_unit_test(test_a_written_cell_reads_back_as_the_same_text),
        cmocka_unit_test(test_a_text_without_special_signs_is_written_without_quotes),
        cmocka_unit_test(test_the_delimiter_is_the_one_that_makes_the_most_cells),
        cmocka_unit_test(test_an_unknown_column_is_answered_with_the_nearest_name),
        cmocka_unit_test(test_a_record_is_one_line_numbered_where_it_begins),
        cmocka_unit_test(test_a_row_of_tabs_only_is_a_row),
        cmocka_unit_test(test_lines_that_are_not_kept_have_a_number_and_no_index),
        cmocka_unit_test(test_an_unclosed_quote_asks_for_more_bytes_and_ends_with_the_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
