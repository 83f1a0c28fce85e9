/* Goal: a row of a table goes through a job with its types and values, and what no job can carry is refused by name.
 * Method: rows of every type as lines, their output rows as cells again; schemas in JSON; lines with keys of all
 * kinds. */
#include "format/job/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "format/row.h"

#define BIG_BYTES ((size_t)1024 * 1024)
#define REQUEST "{\"contents\": [{\"parts\":[{\"text\":\"hi\"}]}]}"

static struct bq_schema schema_of(struct arena *a, const char *text)
{
    struct bq_schema s;
    struct error e = { 0 };

    if (bq_schema_parse(str_of(text), a, &s, &e) < 0)
        fail_msg("%s: %s", text, e.msg);
    return s;
}

static void test_a_source_that_google_refuses_is_refused_by_the_name_of_its_column(void **state)
{
    static const struct {
        const char *fields, *words;
    } cases[] = {
        { "[{'name':'request','type':'JSON'},{'name':'id','type':'INTEGER'}]", NULL },
        { "[{'name':'request','type':'STRING','mode':'REQUIRED'}]", NULL },
        { "[{'name':'request','type':'RECORD','fields':[{'name':'contents','type':'JSON'}]}]",
          NULL },
        { "[{'name':'request','type':'JSON'},{'name':'b','type':'BIGNUMERIC'}]", NULL },
        { "[{'name':'id','type':'INTEGER'}]", "There is no column \"request\"" },
        { "[{'name':'request','type':'BYTES'}]", "\"request\" is of type BYTES" },
        { "[{'name':'request','type':'STRING','mode':'REPEATED'}]",
          "\"request\" is of type ARRAY" },
        { "[{'name':'request','type':'JSON'},{'name':'response','type':'JSON'}]",
          "\"response\" is written by the service" },
        { "[{'name':'request','type':'JSON'},{'name':'Status','type':'STRING'}]",
          "\"Status\" is written by the service" },
        { "[{'name':'request','type':'JSON'},{'name':'processed_time','type':'TIMESTAMP'}]",
          "\"processed_time\" is written by the service" },
        { "[{'name':'request','type':'JSON'},{'name':'tags','type':'STRING','mode':'REPEATED'}]",
          "\"tags\" is of type ARRAY" },
        { "[{'name':'request','type':'JSON'},{'name':'s','type':'STRUCT','fields':[{'name':'a','"
          "type':"
          "'INT64'}]}]",
          "\"s\" is of type STRUCT" },
        { "[{'name':'request','type':'JSON'},{'name':'r','type':'RANGE','rangeElementType':{'type':"
          "'DATE'}}]",
          "\"r\" is of type RANGE" },
        { "[{'name':'request','type':'JSON'},{'name':'at','type':'DATETIME'}]",
          "\"at\" is of type DATETIME" },
        { "[{'name':'request','type':'JSON'},{'name':'g','type':'GEOGRAPHY'}]",
          "\"g\" is of type GEOGRAPHY" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct arena a = { 0 };
        struct error e = { 0 };
        char *text = arena_copy(&a, cases[i].fields, strlen(cases[i].fields));
        for (char *p = text; *p; p++)
            *p = *p == '\'' ? '"' : *p;
        struct bq_schema s = schema_of(&a, text);
        int rc = table_source_check(&s, STR("bq://p.d.t"), &e);
        if ((rc < 0) != (cases[i].words != NULL) || (rc < 0 && !strstr(e.msg, cases[i].words)))
            fail_msg("%s: %d %s", text, rc, e.msg);
        if (rc < 0)
            assert_int_equal(e.code, ERROR_INVALID_ARGUMENT);
        arena_release(&a);
    }
}

#define EVERY_TYPE                                                                                 \
    "[{\"name\":\"i\",\"type\":\"INTEGER\"},{\"name\":\"f\",\"type\":\"FLOAT\"},"                  \
    "{\"name\":\"b\",\"type\":\"BOOLEAN\"},{\"name\":\"n\",\"type\":\"NUMERIC\"},"                 \
    "{\"name\":\"big\",\"type\":\"BIGNUMERIC\"},{\"name\":\"by\",\"type\":\"BYTES\"},"             \
    "{\"name\":\"d\",\"type\":\"DATE\"},{\"name\":\"t\",\"type\":\"TIME\"},"                       \
    "{\"name\":\"ts\",\"type\":\"TIMESTAMP\"},{\"name\":\"j\",\"type\":\"JSON\"},"                 \
    "{\"name\":\"s\",\"type\":\"STRING\"},{\"name\":\"request\",\"type\":\"JSON\"}]"

/* The line of the cells, the output row that row_write makes of it, and that row's cells. */
static void carry(struct arena *a, const struct bq_schema *in, const struct bq_cell *cell,
                  const struct bq_schema *out, const struct row *answer, struct bq_cell *again)
{
    struct buf line = BUF_INIT(BIG_BYTES), row = BUF_INIT(BIG_BYTES);
    const struct line_rules rules = { 0 };
    struct violations bad = { 0 };
    struct input_line read;
    struct error e = { 0 };

    table_line_write(a, in, cell, false, &line);
    assert_int_equal(line.p[line.len - 1], '\n');
    struct str text = { arena_copy(a, line.p, line.len - 1), line.len - 1 };
    (void)request_read_line(a, text, &rules, &read, &bad);
    row_write(&read, text, answer, &row);
    struct str written = { arena_copy(a, row.p, row.len), row.len };
    if (table_row_read(a, out, written, again, &e) < 0)
        fail_msg("%s in %s", e.msg, written.p);
    buf_release(&line);
    buf_release(&row);
}

static void assert_cell(struct bq_cell c, const char *text)
{
    if (c.null != (text == NULL) || (text && !str_eq_c(c.text, text)))
        fail_msg("'%.*s' (null %d), not '%s'", STR_ARG(c.text), c.null, text ? text : "NULL");
}

static void test_every_type_comes_out_with_the_value_that_it_had(void **state)
{
    static const char *const rows[][12] = {
        { "-12", "1.5", "true", "12.5", "123456789012345678901234567890.5", "AAH/", "2024-01-31",
          "12:00:00.000001", "1706702400000001", "{\"a\":[1,2.50,null]}", "x\"y\n\\z", REQUEST },
        { "9223372036854775807", "NaN", "false", "99999999999999999999999999999.999999999", "-1",
          "", "0001-01-01", "23:59:59", "-62135596800000000", "null", "", REQUEST },
        { "-9223372036854775808", "-Infinity", "false", "-7", "0", "AA==", "9999-12-31", "00:00:00",
          "253402300799999999", "\"text\"", "null", REQUEST },
        { "999999999999999", "0.1", "true", "1000000000000000000", "1", "AA==", "2024-02-29",
          "00:00:00.5", "0", "12345678901234567890123", "{}", REQUEST },
        { NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL },
    };
    struct arena a = { 0 };
    struct bq_schema in = schema_of(&a, EVERY_TYPE), out = table_output_columns(&a, &in, false);
    const struct row answer = { .processed_us = 1706702400123000, .response = STR("{\"x\":1}") };

    (void)state;
    assert_int_equal(out.count, 15);
    for (size_t r = 0; r < ARRAY_LEN(rows); r++) {
        struct bq_cell cell[12], again[15];
        for (size_t i = 0; i < 12; i++)
            cell[i] = (struct bq_cell){ rows[r][i] == NULL, str_of(rows[r][i]) };
        carry(&a, &in, cell, &out, &answer, again);
        for (size_t i = 0; i < 12; i++)
            if (i == 7 && r == 3)
                assert_cell(again[i], "00:00:00.500000");
            else
                assert_cell(again[i], rows[r][i]);
        assert_cell(again[12], "{\"x\":1}");
        assert_cell(again[13], "");
        assert_cell(again[14], "1706702400123000");
    }
    arena_release(&a);
}

/* What clients test: status is not empty, and there is no response. */
static void test_a_failed_row_has_its_error_and_no_response(void **state)
{
    struct arena a = { 0 };
    struct bq_schema in = schema_of(&a, "[{\"name\":\"request\",\"type\":\"JSON\"}]");
    struct bq_schema out = table_output_columns(&a, &in, true);
    const struct row answer = { .status = STR("Bad Request: {\"error\": \"x\"}"),
                                .processed_us = 1000 };
    struct bq_cell again[5];

    (void)state;
    assert_int_equal(out.count, 5);
    carry(&a, &in, (struct bq_cell[]){ { false, STR("{\"a\":1}") } }, &out, &answer, again);
    assert_cell(again[0], "{\"a\":1}");
    assert_cell(again[1], NULL);
    assert_cell(again[2], "Bad Request: {\"error\": \"x\"}");
    assert_cell(again[3], "1000");
    assert_cell(again[4], NULL);
    arena_release(&a);
}

static void test_a_request_text_comes_back_as_it_was(void **state)
{
    static const char *const texts[] = {
        REQUEST,
        "{\n  \"contents\": []\n}",
        " {\"contents\":[]} ",
        "no JSON",
        "{\"broken\":",
        "",
        "\"a string\"",
        "[1]",
        "{\"a\":\"\\u00e9\\n\"}",
        "null",
    };
    struct arena a = { 0 };
    struct bq_schema in = schema_of(&a, "[{\"name\":\"request\",\"type\":\"STRING\"}]");
    struct bq_schema out = table_output_columns(&a, &in, false);
    const struct row answer = { .processed_us = 1 };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct bq_cell again[4];
        carry(&a, &in, (struct bq_cell[]){ { false, str_of(texts[i]) } }, &out, &answer, again);
        assert_cell(again[0], texts[i]);
    }
    arena_release(&a);
}

static void test_requests_become_objects_of_lines(void **state)
{
    static const struct {
        const char *type, *cell, *line;
        bool lines;
    } cases[] = {
        { "JSON", "{\"a\":\n1}", "{\"request\":{\"a\": 1}}\n", false },
        { "STRING", "{\"a\":1}", "{\"request\":{\"a\":1}}\n", false },
        { "STRING", "{\"a\":\n1}", "{\"request\":\"{\\\"a\\\":\\n1}\"}\n", false },
        { "STRING", " {\"a\":\n1}", "{\"request\":{\"a\": 1}}\n", true },
        { "STRING", "{\"a\":", "{\"request\":\"{\\\"a\\\":\"}\n", true },
        { "RECORD",
          "{\"f\":[{\"v\":[{\"v\":{\"f\":[{\"v\":\"user\"},{\"v\":[{\"v\":{\"f\":[{\"v\":"
          "\"hi\"}]}}]}]}}]}]}",
          "{\"request\":{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"hi\"}]}]}}\n",
          true },
        { "JSON", NULL, "{\"request\":null}\n", true },
    };
#define RECORD                                                                                     \
    ",\"fields\":[{\"name\":\"contents\",\"type\":\"RECORD\",\"mode\":\"REPEATED\",\"fields\":["   \
    "{\"name\":\"role\",\"type\":\"STRING\"},{\"name\":\"parts\",\"type\":\"RECORD\",\"mode\":"    \
    "\"REPEATED\",\"fields\":[{\"name\":\"text\",\"type\":\"STRING\"}]}]}]"

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct arena a = { 0 };
        struct buf line = BUF_INIT(BIG_BYTES);
        bool record = strcmp(cases[i].type, "RECORD") == 0;
        struct bq_schema in =
            schema_of(&a, arena_textf(&a, "[{\"name\":\"request\",\"type\":\"%s\"%s}]",
                                      cases[i].type, record ? RECORD : ""));
        const struct bq_cell cell = { cases[i].cell == NULL, str_of(cases[i].cell) };
        table_line_write(&a, &in, &cell, cases[i].lines, &line);
        assert_string_equal(line.p, cases[i].line);
        buf_release(&line);
        arena_release(&a);
    }
}

static void test_the_keys_of_lines_become_columns_with_their_types(void **state)
{
    static const char *const lines[] = {
        "{\"key\":\"a\",\"n\":1,\"request\":{},\"x\":1,\"mixed\":1,\"o\":1,\"flag\":true}",
        "{\"n\":-2,\"request\":{},\"x\":1.5,\"mixed\":\"a\",\"o\":{},\"no\":null}",
        "no JSON",
        "[1]",
        "{\"contents\":[]}",
        "{\"request\":{},\"big\":18446744073709551615,\"caf\\u00e9\":[]}",
    };
    static const struct {
        const char *name;
        enum bq_type type;
    } wanted[] = {
        { "key", BQ_STRING },   { "n", BQ_INTEGER }, { "x", BQ_FLOAT },
        { "mixed", BQ_STRING }, { "o", BQ_JSON },    { "flag", BQ_BOOLEAN },
        { "no", BQ_STRING },    { "big", BQ_FLOAT }, { "caf\xc3\xa9", BQ_JSON },
        { "request", BQ_JSON },
    };
    struct line_columns *c = line_columns_new();
    struct arena a = { 0 };
    struct bq_schema s;
    struct error e = { 0 };
    struct bq_cell cell[14];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lines); i++)
        line_columns_add(c, &a, str_of(lines[i]));
    assert_int_equal(line_columns_schema(c, &a, &s, &e), 0);
    assert_int_equal(s.count, ARRAY_LEN(wanted));
    for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
        assert_true(str_eq_c(s.field[i].name, wanted[i].name));
        assert_int_equal(s.field[i].type, wanted[i].type);
    }
    line_columns_free(c);
    s = table_output_columns(&a, &s, false);
    struct str row = STR("{\"caf\\u00e9\":[1],\"mixed\":1.50,\"n\":-2,\"o\":null,\"key\":null,"
                         "\"status\":\"\",\"processed_time\":\"1970-01-01T00:00:00.001+00:00\","
                         "\"request\":\"not JSON\",\"response\":{}}");
    assert_int_equal(table_row_read(&a, &s, row, cell, &e), 0);
    static const char *const cells[] = { NULL, "-2",  NULL,           "1.50", "null", NULL,  NULL,
                                         NULL, "[1]", "\"not JSON\"", NULL,   "",     "1000" };
    for (size_t i = 0; i < ARRAY_LEN(cells); i++)
        assert_cell(cell[i], cells[i]);
    arena_release(&a);
}

static void test_keys_that_no_column_can_have_are_refused_by_name(void **state)
{
    static const struct {
        const char *line, *words;
    } cases[] = {
        { "{\"request\":{},\"$schema\":1}", "$schema" },
        { "{\"request\":{},\"Id\":1,\"id\":2}", "Duplicate column name 'id'" },
        { "{\"request\":{},\"Response\":1}", "\"Response\" becomes a column" },
        { "{\"request\":{},\"REQUEST\":1}", "\"REQUEST\" becomes a column" },
        { "{\"request\":{},\"\":1}", "no name" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct line_columns *c = line_columns_new();
        struct arena a = { 0 };
        struct bq_schema s;
        struct error e = { 0 };
        line_columns_add(c, &a, str_of(cases[i].line));
        assert_int_equal(line_columns_schema(c, &a, &s, &e), -1);
        if (!strstr(e.msg, cases[i].words))
            fail_msg("%s", e.msg);
        line_columns_free(c);
        arena_release(&a);
    }
}

static void test_more_different_keys_than_columns_are_refused(void **state)
{
    struct line_columns *c = line_columns_new();
    struct arena a = { 0 };
    struct bq_schema s;
    struct error e = { 0 };

    (void)state;
    for (int i = 0; i <= LINE_COLUMNS_MAX; i++) {
        line_columns_add(c, &a, str_of(arena_textf(&a, "{\"request\":{},\"k%d\":1}", i)));
        assert_int_equal(line_columns_schema(c, &a, &s, &e), i < LINE_COLUMNS_MAX ? 0 : -1);
    }
    assert_non_null(strstr(e.msg, "more than 1000 different keys"));
    line_columns_free(c);
    arena_release(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_source_that_google_refuses_is_refused_by_the_name_of_its_column),
        cmocka_unit_test(test_every_type_comes_out_with_the_value_that_it_had),
        cmocka_unit_test(test_a_failed_row_has_its_error_and_no_response),
        cmocka_unit_test(test_a_request_text_comes_back_as_it_was),
        cmocka_unit_test(test_requests_become_objects_of_lines),
        cmocka_unit_test(test_the_keys_of_lines_become_columns_with_their_types),
        cmocka_unit_test(test_keys_that_no_column_can_have_are_refused_by_name),
        cmocka_unit_test(test_more_different_keys_than_columns_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
