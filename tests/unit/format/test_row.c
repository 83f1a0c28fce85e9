/* Goal: output rows are what users' programs parse. Method: golden files for whole rows, and rows
 * read back from what was written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "format/row.h"
#include "base/mem.h"
#include "golden.h"

#define PROCESSED_US 1758317387352999 /* 2025-09-19T21:29:47.352999Z: cut to milliseconds */

static struct sibling siblings[] = {
    { { "custom_id", 9 }, { "\"0000\\u00e9\"", 12 } },
    { { "score", 5 }, { "1.50", 4 } },
    { { "odd \\\"key", 9 }, { "{\"a\":[null, 1]}", 15 } },
};

static const char request[] = "{\"contents\":[ {\"parts\":[{\"text\":\"Hi\"}],\"role\":\"user\"} ],"
                              "\"generationConfig\":{\"max_output_tokens\":10}}";

static void test_an_answer_is_as_the_golden_file(void **state)
{
    (void)state;
    struct input_line in = { .request_text = str_of(request) };
    struct row row = { .processed_us = PROCESSED_US, .response = STR("{\"candidates\":[]}") };
    struct buf out = BUF_INIT(ROW_BYTES_MAX);

    row_write(&in, STR("not looked at"), &row, &out);
    assert_golden("row_answer.json", buf_str(&out));
    buf_release(&out);
}

static void test_sibling_keys_come_first_and_as_written(void **state)
{
    (void)state;
    struct input_line in = { .request_text = str_of(request),
                             .sibling = siblings,
                             .sibling_count = 3 };
    struct row row = { .processed_us = PROCESSED_US, .response = STR("{\"candidates\":[]}") };
    struct buf out = BUF_INIT(ROW_BYTES_MAX);

    row_write(&in, STR(""), &row, &out);
    assert_golden("row_siblings.json", buf_str(&out));
    buf_release(&out);
}

static void test_a_failure_is_as_the_golden_file(void **state)
{
    (void)state;
    struct input_line in = {
        .request_text =
            STR("{\"contents\":[{\"parts\":[{\"text\":\"x\"}],\"role\":\"tester\"}]}")
    };
    struct buf status = BUF_INIT(4096), out = BUF_INIT(ROW_BYTES_MAX);

    row_status(ERROR_INVALID_ARGUMENT, STR("Please use a valid role: user, model."), &status);
    struct row row = { .status = buf_str(&status), .processed_us = PROCESSED_US };
    row_write(&in, STR(""), &row, &out);
    assert_golden("row_failure.json", buf_str(&out));
    buf_release(&status);
    buf_release(&out);
}

static void test_an_instance_has_predictions(void **state)
{
    (void)state;
    struct input_line in = { .request_text = STR("{\"content\":\"a\"}"), .instance = true };
    struct row row = { .response = STR("{\"embedding\":{\"values\":[1,0]},\"tokenCount\":\"3\","
                                       "\"truncated\":true,"
                                       "\"usageMetadata\":{\"promptTokenCount\":3}}") };
    struct buf out = BUF_INIT(ROW_BYTES_MAX);

    row_write(&in, STR(""), &row, &out);
    row = (struct row){ .status = STR("Bad Request: x") };
    row_write(&in, STR(""), &row, &out);
    buf_add_char(&out, '\0');
    assert_string_equal(out.p, "{\"instance\":{\"content\":\"a\"},\"predictions\":[{\"embeddings\":"
                               "{\"statistics\":{\"token_count\":3,\"truncated\":true},"
                               "\"values\":[1,0]}}],\"status\":\"\"}\n"
                               "{\"instance\":{\"content\":\"a\"},\"predictions\":[],"
                               "\"status\":\"Bad Request: x\"}\n");
    buf_release(&out);
}

static void test_a_line_that_is_no_json_stands_as_a_string(void **state)
{
    (void)state;
    struct input_line in = { 0 };
    struct buf status = BUF_INIT(4096), out = BUF_INIT(ROW_BYTES_MAX);

    row_status(ERROR_INVALID_ARGUMENT, STR("Not \"JSON\"."), &status);
    struct row row = { .status = buf_str(&status), .processed_us = PROCESSED_US };
    row_write(&in, STR("{\"request\":\t\xFF"), &row, &out);
    assert_golden("row_no_json.json", buf_str(&out));
    buf_release(&status);
    buf_release(&out);
}

/* Goal: many readers of JSON give up on a row that is nested too deep, and then on its key and its error too. */
static void test_what_is_nested_too_deep_stands_as_a_string_in_the_row_of_its_error(void **state)
{
    (void)state;
    struct buf deep = BUF_INIT(64 * 1024), status = BUF_INIT(4096), out = BUF_INIT(ROW_BYTES_MAX);
    struct sibling sibling = { .key = STR("key") };
    struct arena arena = { 0 };
    struct error e = { 0 };
    struct row_parts parts;
    size_t at;

    for (int i = 0; i < 5000; i++)
        buf_add_char(&deep, '[');
    for (int i = 0; i < 5000; i++)
        buf_add_char(&deep, ']');
    sibling.value = buf_str(&deep);
    struct input_line in = { .request_text = buf_str(&deep),
                             .sibling = &sibling,
                             .sibling_count = 1 };
    row_status(ERROR_INVALID_ARGUMENT, STR("Too deep."), &status);
    struct row row = { .status = buf_str(&status), .processed_us = PROCESSED_US };
    row_write(&in, STR(""), &row, &out);
    yyjson_val *root = json_parse(&arena, buf_str(&out), &at, &e);
    assert_true(str_eq(json_str(json_get(root, "request")), buf_str(&deep)));
    assert_true(str_eq(json_str(json_get(root, "key")), buf_str(&deep)));
    assert_true(row_read(&arena, buf_str(&out), &parts));
    row.style = ROW_KEYED;
    in.key = buf_str(&deep);
    buf_clear(&out);
    row_write(&in, STR(""), &row, &out);
    root = json_parse(&arena, buf_str(&out), &at, &e);
    assert_true(yyjson_is_str(json_get(root, "key")));
    arena_release(&arena);
    buf_release(&deep);
    buf_release(&status);
    buf_release(&out);
}

static void test_a_line_that_was_read_keeps_its_bytes_and_no_key_stands_twice(void **state)
{
    (void)state;
    struct str line =
        STR("{ \"id\" : 1.0, \"request\": {\"contents\":[ ]} , \"status\":\"old\", \"z\":[ 1 ]}");
    struct line_rules rules = { .from_output = true };
    struct row row = { 0 };
    struct buf out = BUF_INIT(ROW_BYTES_MAX);
    struct arena a = { 0 };
    struct input_line in;
    struct violations bad;

    (void)request_read_line(&a, line, &rules, &in, &bad);
    row_write(&in, line, &row, &out);
    assert_string_equal(out.p, "{\"id\":1.0,\"z\":[ 1 ],\"status\":\"\","
                               "\"processed_time\":\"1970-01-01T00:00:00.000+00:00\","
                               "\"request\":{\"contents\":[ ]},\"response\":{}}\n");
    arena_release(&a);
    buf_release(&out);
}

static void test_a_status_names_phrase_code_message_and_name(void **state)
{
    (void)state;
    static const struct {
        enum error_code code;
        const char *message, *text;
    } cases[] = {
        { ERROR_INVALID_ARGUMENT, "m",
          "Bad Request: {\"error\": {\"code\": 400, \"message\": \"m\", "
          "\"status\": \"INVALID_ARGUMENT\"}}" },
        { ERROR_UNAVAILABLE, "say \"a\"\n",
          "Service Unavailable: {\"error\": {\"code\": 503, \"message\": \"say \\\"a\\\"\\n\", "
          "\"status\": \"UNAVAILABLE\"}}" },
        { ERROR_CANCELLED, "",
          "Client Closed Request: {\"error\": {\"code\": 499, \"message\": \"\", "
          "\"status\": \"CANCELLED\"}}" },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf out = BUF_INIT(4096);
        row_status(cases[i].code, str_of(cases[i].message), &out);
        assert_string_equal(out.p, cases[i].text);
        buf_release(&out);
    }
}

static void test_a_row_over_the_buffers_maximum_is_marked(void **state)
{
    (void)state;
    struct input_line in = { .request_text = str_of(request) };
    struct row row = { .processed_us = PROCESSED_US };
    struct buf whole = BUF_INIT(ROW_BYTES_MAX);

    row_write(&in, STR(""), &row, &whole);
    struct buf fits = BUF_INIT(whole.len), short_by_one = BUF_INIT(whole.len - 1);
    row_write(&in, STR(""), &row, &fits);
    row_write(&in, STR(""), &row, &short_by_one);
    assert_true(buf_ok(&fits));
    assert_false(buf_ok(&short_by_one));
    buf_release(&whole);
    buf_release(&fits);
    buf_release(&short_by_one);
}

static void test_a_written_row_reads_back(void **state)
{
    (void)state;
    struct input_line in = { .request_text = str_of(request),
                             .sibling = siblings,
                             .sibling_count = 3 };
    struct row row = { .status = STR("Bad Request: {\"error\": \"\xC3\xA9\"}"),
                       .processed_us = PROCESSED_US,
                       .response = STR("{\"a\": [1, 2]}") };
    struct buf out = BUF_INIT(ROW_BYTES_MAX);
    struct arena a = { 0 };
    struct row_parts parts;

    row_write(&in, STR(""), &row, &out);
    assert_true(row_read(&a, str_trim(buf_str(&out)), &parts));
    assert_true(str_eq(parts.status, row.status));
    assert_true(str_eq_c(parts.processed_time, "2025-09-19T21:29:47.352+00:00"));
    assert_true(str_eq_c(parts.request, request));
    assert_true(str_eq(parts.response, row.response));
    arena_release(&a);
    buf_release(&out);
}

static void test_other_lines_are_no_rows(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "{}",
        "[]",
        "1",
        "\"status\"",
        "{\"request\":{}}",
        "{\"status\":\"\",\"processed_time\":\"t\",\"request\":{}}",
        "{\"status\":\"\",\"request\":{},\"response\":{}}",
        "{\"status\":1,\"processed_time\":\"t\",\"request\":{},\"response\":{}}",
        "{\"status\":\"\",\"processed_time\":null,\"request\":{},\"response\":{}}",
    };
    struct arena a = { 0 };
    struct row_parts parts;

    for (size_t i = 0; i < ARRAY_LEN(lines); i++)
        assert_false(row_read(&a, str_of(lines[i]), &parts));
    arena_release(&a);
}

/* One row of a style, from a line as users write it. */
static void style_write(enum row_style style, const char *text, enum error_code code,
                        const char *message, struct buf *out)
{
    struct buf status = BUF_INIT(4096);
    struct row row = { .response = STR("{\"candidates\":[]}"), .style = style };
    struct line_rules rules = { 0 };
    struct arena a = { 0 };
    struct input_line in;
    struct violations bad;

    if (code != ERROR_OK) {
        row_status(code, str_of(message), &status);
        row.status = buf_str(&status);
    }
    (void)request_read_line(&a, str_of(text), &rules, &in, &bad);
    row_write(&in, str_of(text), &row, out);
    arena_release(&a);
    buf_release(&status);
}

static void style_golden(enum row_style style, const char *name)
{
    static const struct {
        const char *line;
        enum error_code code;
        const char *message;
    } rows[] = {
        { "{\"key\": \"request-1\", \"request\": {\"contents\":[{\"parts\":[{\"text\":\"a\"}]}]},"
          " \"metadata\": {\"id\": \"x\\\"y\", \"n\": 1.50, \"o\": {\"a\": [\"b\", null]}, "
          "\"t\":true},"
          " \"other\": 1}",
          ERROR_OK, NULL },
        { "{\"request\": {\"contents\":[{\"parts\":[{\"text\":\"a\"}]}]}}", ERROR_OK, NULL },
        { "{\"contents\":[{\"parts\":[{\"text\":\"bare\"}]}]}", ERROR_OK, NULL },
        { "{\"key\": 7, \"request\": {\"contents\":[]}, \"metadata\": {}}", ERROR_INVALID_ARGUMENT,
          "Please use a \"valid\" role: user, model." },
        { "{\"key\": \"k\", \"request\": {}, \"metadata\": \"no object\"}", ERROR_DEADLINE_EXCEEDED,
          "{\"error\": {\"status\": \"OK\"}}" },
        { "this is no JSON", ERROR_INVALID_ARGUMENT, "No." },
    };
    struct buf out = BUF_INIT(ROW_BYTES_MAX);

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        style_write(style, rows[i].line, rows[i].code, rows[i].message, &out);
    assert_golden(name, buf_str(&out));
    buf_release(&out);
}

static void test_rows_of_the_gemini_api_are_as_the_golden_files(void **state)
{
    (void)state;
    style_golden(ROW_KEYED, "row_keyed.jsonl");
    style_golden(ROW_INLINED, "row_inlined.jsonl");
}

/* The row of a status as the Gemini API has it must be the error that is expected. */
static void assert_keyed_error(struct str status, enum error_code code, struct str message)
{
    const struct input_line in = { 0 };
    const struct row row = { .status = status, .style = ROW_KEYED };
    struct buf got = BUF_INIT(4096), want = BUF_INIT(4096);

    row_write(&in, (struct str){ 0 }, &row, &got);
    buf_addf(&want, "{\"error\":{\"code\":%d,\"message\":", error_rpc(code));
    buf_add_json(&want, message);
    buf_addf(&want, ",\"status\":\"%s\"}}\n", error_name(code));
    assert_string_equal(got.p, want.p);
    buf_release(&got);
    buf_release(&want);
}

/* Goal: each status gives its error back, and a part of one is a message as a whole. */
static void test_every_status_gives_its_error_back(void **state)
{
    const struct str message = STR("\"}} \n{\"error\": \xC3\xA9");

    (void)state;
    for (int code = ERROR_CANCELLED; code < ERROR_CODE_COUNT; code++) {
        struct buf status = BUF_INIT(4096);
        row_status((enum error_code)code, message, &status);
        assert_keyed_error(buf_str(&status), (enum error_code)code, message);
        for (size_t len = 1; len < status.len; len++) {
            struct str part = { status.p, len };
            assert_keyed_error(part, ERROR_UNKNOWN, part);
        }
        buf_release(&status);
    }
}

static void test_a_status_of_another_form_is_the_message(void **state)
{
    (void)state;
    struct input_line in = { 0 };
    struct row row = { .status = STR("busy"), .style = ROW_KEYED };
    struct buf out = BUF_INIT(ROW_BYTES_MAX);

    row_write(&in, STR(""), &row, &out);
    assert_string_equal(out.p,
                        "{\"error\":{\"code\":2,\"message\":\"busy\",\"status\":\"UNKNOWN\"}}\n");
    buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_answer_is_as_the_golden_file),
        cmocka_unit_test(test_sibling_keys_come_first_and_as_written),
        cmocka_unit_test(test_a_failure_is_as_the_golden_file),
        cmocka_unit_test(test_an_instance_has_predictions),
        cmocka_unit_test(test_a_line_that_is_no_json_stands_as_a_string),
        cmocka_unit_test(test_what_is_nested_too_deep_stands_as_a_string_in_the_row_of_its_error),
        cmocka_unit_test(test_a_line_that_was_read_keeps_its_bytes_and_no_key_stands_twice),
        cmocka_unit_test(test_a_status_names_phrase_code_message_and_name),
        cmocka_unit_test(test_a_row_over_the_buffers_maximum_is_marked),
        cmocka_unit_test(test_a_written_row_reads_back),
        cmocka_unit_test(test_other_lines_are_no_rows),
        cmocka_unit_test(test_rows_of_the_gemini_api_are_as_the_golden_files),
        cmocka_unit_test(test_every_status_gives_its_error_back),
        cmocka_unit_test(test_a_status_of_another_form_is_the_message),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
