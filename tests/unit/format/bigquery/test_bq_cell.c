/* Cells: values from texts and JSON, and back to replies and exports. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/json.h"
#include "format/bigquery/cell.h"

#define BAD NULL

/* Goal: each type reads its spellings and has one form of its own; what is not of the type is refused. */
static void test_a_text_becomes_the_cell_of_its_type(void **state)
{
    static const struct {
        enum bq_type type;
        const char *text, *cell;
    } cases[] = {
        { BQ_STRING, "a\n\"b", "a\n\"b" },
        { BQ_STRING, "", "" },
        { BQ_STRING, "\xff", BAD },
        { BQ_INTEGER, "007", "7" },
        { BQ_INTEGER, "-0", "0" },
        { BQ_INTEGER, "+12", "12" },
        { BQ_INTEGER, "9223372036854775807", "9223372036854775807" },
        { BQ_INTEGER, "-9223372036854775808", "-9223372036854775808" },
        { BQ_INTEGER, "9223372036854775808", BAD },
        { BQ_INTEGER, "1.5", BAD },
        { BQ_INTEGER, "", BAD },
        { BQ_FLOAT, "1e3", "1000.0" },
        { BQ_FLOAT, "-0.5", "-0.5" },
        { BQ_FLOAT, "nan", "NaN" },
        { BQ_FLOAT, "-inf", "-Infinity" },
        { BQ_FLOAT, "0x10", BAD },
        { BQ_FLOAT, "1e999", BAD },
        { BQ_BOOLEAN, "TRUE", "true" },
        { BQ_BOOLEAN, "0", "false" },
        { BQ_BOOLEAN, "maybe", BAD },
        { BQ_BYTES, "aGk=", "aGk=" },
        { BQ_BYTES, "a", BAD },
        { BQ_DATE, "2024-2-29", "2024-02-29" },
        { BQ_DATE, "2023-02-29", BAD },
        { BQ_DATE, "0000-01-01", BAD },
        { BQ_TIME, "1:02:03", "01:02:03" },
        { BQ_TIME, "12:00:00.5", "12:00:00.500000" },
        { BQ_TIME, "24:00:00", BAD },
        { BQ_DATETIME, "2024-01-31 12:00:00", "2024-01-31T12:00:00" },
        { BQ_DATETIME, "2024-01-31T12:00:00.000001", "2024-01-31T12:00:00.000001" },
        { BQ_DATETIME, "2024-01-31", "2024-01-31T00:00:00" },
        { BQ_TIMESTAMP, "1970-01-01 00:00:00 UTC", "0" },
        { BQ_TIMESTAMP, "1970-01-01T00:00:00.000001Z", "1" },
        { BQ_TIMESTAMP, "1970-01-01 02:00:00+02:00", "0" },
        { BQ_TIMESTAMP, "1969-12-31T23:59:59.999999+00", "-1" },
        { BQ_TIMESTAMP, "1.5", "1500000" },
        { BQ_TIMESTAMP, "0001-01-01 00:00:00+00:00", "-62135596800000000" },
        { BQ_TIMESTAMP, "yesterday", BAD },
        { BQ_TIMESTAMP, "1e300", BAD },
        { BQ_NUMERIC, "1.50", "1.5" },
        { BQ_NUMERIC, "-0.0", "0" },
        { BQ_NUMERIC, "1e-9", "0.000000001" },
        { BQ_NUMERIC, "0.0000000005", "0.000000001" },
        { BQ_NUMERIC, "12e2", "1200" },
        { BQ_NUMERIC, "99999999999999999999999999999.9999999995", BAD },
        { BQ_NUMERIC, "99999999999999999999999999999.999999999",
          "99999999999999999999999999999.999999999" },
        { BQ_NUMERIC, "100000000000000000000000000000", BAD },
        { BQ_NUMERIC, "1e1000", BAD },
        { BQ_NUMERIC, ".", BAD },
        { BQ_BIGNUMERIC, "0.00000000000000000000000000000000000001",
          "0.00000000000000000000000000000000000001" },
        { BQ_JSON, "{ \"a\" : 1 }", "{\"a\":1}" },
        { BQ_JSON, "{", BAD },
    };
    struct arena a = { 0 };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct bq_field f = { .name = STR("x"), .type = cases[i].type };
        struct bq_cell c = { 0 };
        struct error e = { 0 };
        int rc = bq_cell_from_text(&a, &f, str_of(cases[i].text), &c, &e);
        if (rc != (cases[i].cell ? 0 : -1) || (cases[i].cell && !str_eq_c(c.text, cases[i].cell)))
            fail_msg("case %zu: %s -> %d %.*s %s", i, cases[i].text, rc, STR_ARG(c.text), e.msg);
    }
    arena_release(&a);
}

static const struct bq_field inner[] = {
    { .name = { "a", 1 }, .type = BQ_INTEGER },
    { .name = { "t", 1 }, .type = BQ_TIMESTAMP, .mode = BQ_REPEATED },
};
static const struct bq_field record = { .name = { "r", 1 },
                                        .type = BQ_RECORD,
                                        .fields = (struct bq_field *)(uintptr_t)inner,
                                        .field_count = 2 };

static struct bq_cell from_json(struct arena *a, const struct bq_field *f, const char *json,
                                struct error *e)
{
    struct bq_cell c = { 0 };
    size_t at;
    yyjson_val *v = json_parse(a, str_of(json), &at, e);

    assert_non_null(v);
    if (bq_cell_from_json(a, f, v, true, &c, e) < 0)
        c.text = STR("error");
    return c;
}

/* Goal: records and arrays become cells, and cells become replies in each form of times, and plain JSON. */
static void test_nested_values_go_from_json_to_replies_and_exports(void **state)
{
    struct arena a = { 0 };
    struct error e = { 0 };
    struct buf out = BUF_INIT(4096);
    struct json_writer w = JSON_WRITER(&out);
    struct bq_cell c =
        from_json(&a, &record, "{\"a\": 7, \"t\": [\"2024-01-31 12:00:00\", 1.5]}", &e);

    (void)state;
    assert_string_equal(
        c.text.p,
        "{\"f\":[{\"v\":\"7\"},{\"v\":[{\"v\":\"1706702400000000\"},{\"v\":\"1500000\"}]}]}");
    bq_cell_write(&w, NULL, &record, c, BQ_TIMES_MICROS);
    assert_string_equal(out.p, c.text.p);
    buf_clear(&out);
    w = JSON_WRITER(&out);
    bq_cell_write(&w, NULL, &record, c, BQ_TIMES_SECONDS);
    assert_string_equal(
        out.p, "{\"f\":[{\"v\":\"7\"},{\"v\":[{\"v\":\"1.7067024E9\"},{\"v\":\"1.5E0\"}]}]}");
    buf_clear(&out);
    w = JSON_WRITER(&out);
    bq_cell_to_json(&w, NULL, &record, c);
    assert_string_equal(
        out.p,
        "{\"a\":\"7\",\"t\":[\"2024-01-31 12:00:00 UTC\",\"1970-01-01 00:00:01.500000 UTC\"]}");
    buf_release(&out);
    arena_release(&a);
}

/* Goal: what does not fit a field is refused in BigQuery's words, and null is what the mode allows. */
static void test_wrong_json_is_refused_in_bigquerys_words(void **state)
{
    static const struct {
        struct bq_field field;
        const char *json, *message;
    } cases[] = {
        { { .name = { "n", 1 }, .type = BQ_INTEGER },
          "\"not-a-number\"",
          "Cannot convert value to integer (bad value): not-a-number" },
        { { .name = { "n", 1 }, .type = BQ_INTEGER, .mode = BQ_REQUIRED },
          "null",
          "Missing required field: n." },
        { { .name = { "n", 1 }, .type = BQ_INTEGER },
          "[1]",
          "Array specified for non-repeated field: n." },
        { { .name = { "n", 1 }, .type = BQ_INTEGER, .mode = BQ_REPEATED },
          "1",
          "Repeated field must be imported as a JSON array. Field: n." },
    };
    struct arena a = { 0 };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct error e = { 0 };
        struct bq_cell c = from_json(&a, &cases[i].field, cases[i].json, &e);
        assert_true(str_eq_c(c.text, "error"));
        assert_string_equal(e.msg, cases[i].message);
    }
    struct error e = { 0 };
    struct bq_cell c = from_json(&a, &record, "{\"b\": 1}", &e);
    assert_true(str_eq_c(c.text, "error"));
    assert_string_equal(e.msg, "no such field: r.b.");
    arena_release(&a);
}

/* Goal: seconds are written from the digits of the microseconds, so nothing is rounded. */
static void test_timestamps_are_written_as_seconds_without_rounding(void **state)
{
    static const struct {
        const char *cell, *seconds, *iso;
    } cases[] = {
        { "0", "\"0.0\"", "\"1970-01-01T00:00:00Z\"" },
        { "1", "\"1.0E-6\"", "\"1970-01-01T00:00:00.000001Z\"" },
        { "-1", "\"-1.0E-6\"", "\"1969-12-31T23:59:59.999999Z\"" },
        { "1700000000123456", "\"1.700000000123456E9\"", "\"2023-11-14T22:13:20.123456Z\"" },
        { "1000000", "\"1.0E0\"", "\"1970-01-01T00:00:01Z\"" },
    };
    const struct bq_field f = { .name = STR("t"), .type = BQ_TIMESTAMP };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf out = BUF_INIT(100);
        struct json_writer w = JSON_WRITER(&out);
        bq_cell_write(&w, NULL, &f, (struct bq_cell){ .text = str_of(cases[i].cell) },
                      BQ_TIMES_SECONDS);
        assert_string_equal(out.p, cases[i].seconds);
        buf_clear(&out);
        w = JSON_WRITER(&out);
        bq_cell_write(&w, NULL, &f, (struct bq_cell){ .text = str_of(cases[i].cell) },
                      BQ_TIMES_ISO);
        assert_string_equal(out.p, cases[i].iso);
        buf_release(&out);
    }
}

/* Goal: a null array is an empty one in a reply, other nulls stay null. */
static void test_null_is_an_empty_array_in_replies(void **state)
{
    const struct bq_field one = { .name = STR("x"), .type = BQ_STRING };
    const struct bq_field many = { .name = STR("x"), .type = BQ_STRING, .mode = BQ_REPEATED };
    struct buf out = BUF_INIT(100);
    struct json_writer w = JSON_WRITER(&out);

    (void)state;
    json_array(&w, NULL);
    bq_cell_write(&w, NULL, &one, (struct bq_cell){ .null = true }, BQ_TIMES_MICROS);
    bq_cell_write(&w, NULL, &many, (struct bq_cell){ .null = true }, BQ_TIMES_MICROS);
    json_end(&w);
    assert_string_equal(out.p, "[null,[]]");
    buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_text_becomes_the_cell_of_its_type),
        cmocka_unit_test(test_nested_values_go_from_json_to_replies_and_exports),
        cmocka_unit_test(test_wrong_json_is_refused_in_bigquerys_words),
        cmocka_unit_test(test_timestamps_are_written_as_seconds_without_rounding),
        cmocka_unit_test(test_null_is_an_empty_array_in_replies),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
