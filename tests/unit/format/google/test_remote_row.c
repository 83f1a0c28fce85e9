/* Goal: whatever form a row of Google's batch service has, it is of the right line, with its answer or
 * the true cause. Method: rows as the services wrote them, and wrong ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"

#include "format/google/remote_row.h"

static struct arena arena;

static int teardown(void **state)
{
    (void)state;
    arena_release(&arena);
    return 0;
}

static void read_row(const char *line, struct remote_row *row)
{
    assert_true(remote_row_read(&arena, str_of(line), row));
}

static void test_an_answer_of_vertex_is_taken_as_written(void **state)
{
    struct remote_row row;

    (void)state;
    read_row("{\"status\":\"\",\"processed_time\":\"2025-09-19T21:29:47.352+00:00\",\"key\":\"12\","
             "\"request\":{\"contents\":[{\"parts\":[{\"fileData\":null,\"text\":\"Hi\"}]}]},"
             "\"response\":{\"candidates\": [1], \"usageMetadata\":{\"promptTokenCount\":9,"
             "\"candidatesTokenCount\":10,\"thoughtsTokenCount\":3,\"cachedContentTokenCount\":4,"
             "\"toolUsePromptTokenCount\":2}}}",
             &row);
    assert_int_equal(row.error.code, ERROR_OK);
    assert_true(str_eq(row.key, STR("12")));
    assert_true(str_starts(row.response, STR("{\"candidates\": [1], ")));
    assert_int_equal(row.usage.prompt_tokens, 11);
    assert_int_equal(row.usage.cached_tokens, 4);
    assert_int_equal(row.usage.candidate_tokens, 10);
    assert_int_equal(row.usage.thought_tokens, 3);
}

static void test_a_key_may_come_back_as_a_number(void **state)
{
    struct remote_row row;

    (void)state;
    read_row("{\"key\":12,\"response\":{\"candidates\":[]}}", &row);
    assert_true(str_eq(row.key, STR("12")));
}

static void test_failures_have_their_true_cause(void **state)
{
    static const struct {
        const char *line;
        enum error_code code;
        const char *message;
    } cases[] = {
        { "{\"key\":\"1\",\"status\":\"Bad Request: {\\\"error\\\": {\\\"code\\\": 400, "
          "\\\"message\\\": \\\"Use a valid role.\\\", \\\"status\\\": "
          "\\\"INVALID_ARGUMENT\\\"}}\",\"response\":{}}",
          ERROR_INVALID_ARGUMENT, "Use a valid role." },
        { "{\"key\":\"1\",\"status\":\"RESOURCE_EXHAUSTED error occurred: {\\\"error\\\":"
          "{\\\"code\\\":429,\\\"message\\\":\\\"Quota.\\\"}}\",\"response\":{}}",
          ERROR_RESOURCE_EXHAUSTED, "Quota." },
        { "{\"key\":\"1\",\"status\":\"it broke {here\",\"response\":{}}", ERROR_UNKNOWN,
          "it broke {here" },
        { "{\"key\":\"1\",\"error\":{\"code\":3,\"message\":\"Bad part.\"}}",
          ERROR_INVALID_ARGUMENT, "Bad part." },
        { "{\"key\":\"1\",\"error\":{\"code\":14}}", ERROR_UNAVAILABLE, "Service Unavailable" },
        { "{\"key\":\"1\",\"error\":{\"message\":\"?\"}}", ERROR_UNKNOWN, "?" },
        { "{\"key\":\"1\",\"error\":{\"code\":418,\"message\":\"tea\"}}", ERROR_FAILED_PRECONDITION,
          "tea" },
        { "{\"key\":\"1\",\"status\":\"\",\"response\":{}}", ERROR_INTERNAL,
          "the batch service gave neither an answer nor an error for this line" },
        { "{\"key\":\"1\"}", ERROR_INTERNAL,
          "the batch service gave neither an answer nor an error for this line" },
    };
    struct remote_row row;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        read_row(cases[i].line, &row);
        assert_int_equal(row.error.code, cases[i].code);
        assert_string_equal(row.error.msg, cases[i].message);
    }
}

static void test_a_blocked_prompt_is_an_answer(void **state)
{
    struct remote_row row;

    (void)state;
    read_row("{\"key\":\"1\",\"status\":\"\",\"response\":{\"promptFeedback\":{}}}", &row);
    assert_int_equal(row.error.code, ERROR_OK);
    assert_true(str_eq(row.response, STR("{\"promptFeedback\":{}}")));
}

static void test_what_is_no_row_is_none(void **state)
{
    static const char *const lines[] = {
        "",     "null",         "[]",           "{\"response\":{\"a\":1}}",
        "{\"k", "{\"key\":-1}", "{\"key\":{}}", "{\"key\":\"1\",\"response\":{\"a\":1}",
    };
    struct remote_row row;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lines); i++)
        assert_false(remote_row_read(&arena, str_of(lines[i]), &row));
}

static void test_a_row_that_was_written_shows_its_key(void **state)
{
    struct buf out = BUF_INIT(256);

    (void)state;
    remote_row_write(STR("7-ab"), STR("{\"contents\":[]}"), &out);
    assert_string_equal(out.p, "{\"key\":\"7-ab\",\"request\":{\"contents\":[]}}\n");
    assert_true(str_eq(remote_row_key(buf_str(&out)), STR("7-ab")));
    assert_int_equal(remote_row_key(STR("{\"request\":{}}")).len, 0);
    assert_int_equal(remote_row_key(STR("{\"key\":\"7")).len, 0);
    buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_answer_of_vertex_is_taken_as_written),
        cmocka_unit_test(test_a_key_may_come_back_as_a_number),
        cmocka_unit_test(test_failures_have_their_true_cause),
        cmocka_unit_test(test_a_blocked_prompt_is_an_answer),
        cmocka_unit_test(test_what_is_no_row_is_none),
        cmocka_unit_test(test_a_row_that_was_written_shows_its_key),
    };

    return cmocka_run_group_tests_name("remote_row", tests, NULL, teardown);
}
