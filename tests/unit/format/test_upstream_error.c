/* Goal: whatever a server answers instead of an answer becomes one code, one readable line and the pause
 * that it asks for. Method: refusals as servers send them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "format/retry_after.h"
#include "base/mem.h"
#include "format/upstream_error.h"

#define NOW_US 784111777000000 /* Sun, 06 Nov 1994 08:49:37 GMT */

struct refused {
    struct error error;
    uint32_t retry_ms;
    bool account;
};

static struct refused refuse(int status, struct str body, const char *retry_after)
{
    struct arena a = { 0 };
    struct upstream_refusal r = { .status = status,
                                  .body = body,
                                  .retry_after = str_of(retry_after),
                                  .upstream = "u",
                                  .now_us = NOW_US };
    struct refused out = { 0 };

    struct upstream_pause pause = { .ms = 99, .account = true };
    upstream_error_read(&a, &r, &out.error, &pause);
    out.retry_ms = pause.ms;
    out.account = pause.account;
    arena_release(&a);
    assert_int_equal(str_utf8_valid(str_of(out.error.msg)), strlen(out.error.msg));
    return out;
}

static void test_each_form_of_an_error_gives_its_code_and_words(void **state)
{
    static const struct {
        int status;
        const char *body;
        enum error_code code;
        const char *message;
    } cases[] = {
        { 400,
          "{\"error\":{\"message\":\"max_tokens is too large\",\"type\":\"BadRequestError\","
          "\"param\":null,\"code\":400}}",
          ERROR_INVALID_ARGUMENT, "u: 400 Bad Request: max_tokens is too large" },
        { 404,
          "{\"object\":\"error\",\"message\":\"The model `x` does not exist.\",\"type\":"
          "\"NotFoundError\",\"param\":null,\"code\":404}",
          ERROR_NOT_FOUND, "u: 404 Not Found: The model `x` does not exist." },
        { 503,
          "{\"error\":{\"code\":503,\"message\":\"Loading model\",\"type\":\"unavailable_error\"}}",
          ERROR_UNAVAILABLE, "u: 503 Service Unavailable: Loading model" },
        { 422,
          "{\"detail\":[{\"type\":\"missing\",\"loc\":[\"body\",\"messages\",0,\"role\"],\"msg\":"
          "\"Field required\"},{\"loc\":[\"body\"],\"msg\":\"x\"}]}",
          ERROR_INVALID_ARGUMENT,
          "u: 422 Unprocessable Content: body.messages.0.role: Field required" },
        { 405, "{\"detail\":\"Method Not Allowed\"}", ERROR_UNIMPLEMENTED,
          "u: 405 Method Not Allowed" },
        { 500, "{\"error\":\"CUDA out of memory\"}", ERROR_INTERNAL,
          "u: 500 Internal Server Error: CUDA out of memory" },
        { 400, "{\"error\":{\"code\":400,\"message\":\"m\",\"status\":\"FAILED_PRECONDITION\"}}",
          ERROR_FAILED_PRECONDITION, "u: 400 Bad Request: m" },
        { 503, "[{\"error\":{\"code\":503,\"message\":\"m\",\"status\":\"UNAVAILABLE\"}}]",
          ERROR_UNAVAILABLE, "u: 503 Service Unavailable: m" },
        { 500, "{\"error\":{\"code\":500,\"message\":\"m\",\"status\":\"OK\"}}", ERROR_INTERNAL,
          "u: 500 Internal Server Error: m" },
        { 403, "{\"message\":\"Missing key\"}", ERROR_PERMISSION_DENIED,
          "u: 403 Forbidden: Missing key" },
        { 502, "<html>\r\n<head><TITLE>502 Bad Gateway</title></head>\r\n<body>nginx</body></html>",
          ERROR_UNAVAILABLE, "u: 502 Bad Gateway" },
        { 502, "<html><body>no title</body></html>", ERROR_UNAVAILABLE, "u: 502 Bad Gateway" },
        { 500, "upstream  said\r\n\tno\n", ERROR_INTERNAL,
          "u: 500 Internal Server Error: upstream said no" },
        { 500, "{\"error\":", ERROR_INTERNAL, "u: 500 Internal Server Error: {\"error\":" },
        { 504, "", ERROR_DEADLINE_EXCEEDED, "u: 504 Gateway Timeout" },
        { 401, "null", ERROR_UNAUTHENTICATED, "u: 401 Unauthorized: null" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct refused r = refuse(cases[i].status, str_of(cases[i].body), NULL);
        assert_string_equal(r.error.msg, cases[i].message);
        assert_int_equal(r.error.code, cases[i].code);
        assert_int_equal(r.retry_ms, 0);
    }
}

static void test_a_status_that_nobody_knows_means_what_its_class_does(void **state)
{
    static const struct {
        int status;
        enum error_code code;
        const char *message;
    } cases[] = {
        { 101, ERROR_INTERNAL, "u: 101" },
        { 204, ERROR_INTERNAL, "u: 204" },
        { 307, ERROR_FAILED_PRECONDITION, "u: 307 Redirect" },
        { 418, ERROR_FAILED_PRECONDITION, "u: 418" },
        { 507, ERROR_INTERNAL, "u: 507" },
        { 522, ERROR_UNAVAILABLE, "u: 522" },
        { 529, ERROR_UNAVAILABLE, "u: 529 Overloaded" },
        { 999, ERROR_INTERNAL, "u: 999" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct refused r = refuse(cases[i].status, (struct str){ 0 }, NULL);
        assert_int_equal(r.error.code, cases[i].code);
        assert_string_equal(r.error.msg, cases[i].message);
    }
}

static void test_a_quota_that_is_used_up_is_not_tried_again(void **state)
{
    (void)state;
    struct refused r = refuse(429,
                              STR("{\"error\":{\"message\":\"check your plan\",\"type\":"
                                  "\"insufficient_quota\",\"code\":\"insufficient_quota\"}}"),
                              NULL);

    assert_int_equal(r.error.code, ERROR_FAILED_PRECONDITION);
    assert_false(error_retryable(r.error.code));
}

static void test_a_key_that_is_none_is_a_matter_of_credentials(void **state)
{
    (void)state;
    struct refused r =
        refuse(400,
               STR("{\"error\":{\"code\":400,\"message\":\"API key not valid.\",\"status\":"
                   "\"INVALID_ARGUMENT\",\"details\":[{\"@type\":\"type.googleapis.com/google.rpc."
                   "ErrorInfo\",\"reason\":\"API_KEY_INVALID\"}]}}"),
               NULL);

    assert_int_equal(r.error.code, ERROR_UNAUTHENTICATED);
}

static void test_of_two_pauses_the_longer_counts(void **state)
{
    static const char body[] =
        "{\"error\":{\"code\":429,\"message\":\"m\",\"status\":\"RESOURCE_EXHAUSTED\",\"details\":"
        "[{\"retryDelay\":\"3.5s\"},{\"retryDelay\":\"1s\"},{\"retryDelay\":7},7]}}";

    (void)state;
    assert_int_equal(refuse(429, str_of(body), NULL).retry_ms, 3500);
    assert_int_equal(refuse(429, str_of(body), "3").retry_ms, 3500);
    assert_int_equal(refuse(429, str_of(body), "4").retry_ms, 4000);
    assert_int_equal(refuse(429, str_of(body), "soon").retry_ms, 3500);
}

static void test_seconds_and_the_three_forms_of_a_date_are_understood(void **state)
{
    static const struct {
        const char *header;
        bool read;
        uint32_t ms;
    } cases[] = {
        { "0", true, 0 },
        { " 120 ", true, 120000 },
        { "1.5", true, 1500 },
        { "0.0001", true, 1 },
        { "0.1239", true, 124 },
        { "4294967", true, 4294967000 },
        { "4294968", true, UINT32_MAX },
        { "99999999999999999999999999", true, UINT32_MAX },
        { "", false, 0 },
        { "-1", false, 0 },
        { "1x", false, 0 },
        { ".5", false, 0 },
        { "Sun, 06 Nov 1994 08:49:47 GMT", true, 10000 },
        { "Sunday, 06-Nov-94 08:49:47 GMT", true, UINT32_MAX }, /* a year of this century */
        { "Sun Nov  6 08:49:47 1994", true, 10000 },
        { "Sun, 06 Nov 1994 08:49:37 GMT", true, 0 },
        { "Sun, 06 Nov 1993 08:49:37 GMT", true, 0 },
        { "Sat, 31 Dec 9999 23:59:59 GMT", true, UINT32_MAX },
        { "Sun, 31 Feb 1994 08:49:37 GMT", false, 0 },
        { "Sun, 06 Nov 1994", false, 0 },
        { "Sun, 06 Nov 1994 25:49:37 GMT", false, 0 },
        { "08:49:37", false, 0 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint32_t ms = 0;
        if (retry_after_read(str_of(cases[i].header), NOW_US, &ms) != cases[i].read)
            fail_msg("%s", cases[i].header);
        if (cases[i].read && ms != cases[i].ms)
            fail_msg("%s: %u", cases[i].header, ms);
    }
}

static void test_a_duration_ends_in_s(void **state)
{
    static const struct {
        const char *text;
        bool read;
        uint32_t ms;
    } cases[] = {
        { "3s", true, 3000 },   { "0.000000001s", true, 1 },
        { "3", false, 0 },      { "s", false, 0 },
        { "", false, 0 },       { "-3s", false, 0 },
        { "1.5s", true, 1500 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint32_t ms = 0;
        assert_int_equal(retry_delay_read(str_of(cases[i].text), &ms), cases[i].read);
        assert_int_equal(ms, cases[i].read ? cases[i].ms : ms);
    }
}

static void test_a_long_message_is_cut_at_a_character(void **state)
{
    (void)state;
    struct buf body = BUF_INIT(100000);

    buf_add_c(&body, "{\"error\":{\"message\":\"");
    for (int i = 0; i < 20000; i++)
        buf_add_c(&body, "\xC3\xBC");
    buf_add_c(&body, "\"}}");
    struct refused r = refuse(500, buf_str(&body), NULL);
    assert_true(strlen(r.error.msg) > 400 && strlen(r.error.msg) < ERROR_MSG_BYTES);
    buf_release(&body);
}

static void test_a_message_cannot_steer_a_terminal(void **state)
{
    (void)state;
    struct refused r =
        refuse(500, STR("{\"error\":{\"message\":\"a\\u001b[31m\\u0000b\\u0007\"}}"), NULL);

    assert_string_equal(r.error.msg, "u: 500 Internal Server Error: a?[31m b?");
}

static void test_a_body_over_the_limit_is_not_parsed(void **state)
{
    (void)state;
    static const char head[] = "{\"error\":{\"message\":\"m\"}", tail[] = "}";

    for (size_t over = 0; over <= 1; over++) {
        struct buf body = BUF_INIT(2 * UPSTREAM_ERROR_BYTES_MAX);
        buf_add_c(&body, head);
        while (body.len < UPSTREAM_ERROR_BYTES_MAX + over - (sizeof tail - 1))
            buf_add_char(&body, ' ');
        buf_add_c(&body, tail);
        struct refused r = refuse(500, buf_str(&body), NULL);
        assert_int_equal(strcmp(r.error.msg, "u: 500 Internal Server Error: m") == 0, !over);
        buf_release(&body);
    }
}

static void test_an_error_under_status_200_is_found(void **state)
{
    static const struct {
        const char *body;
        bool found;
        enum error_code code;
        const char *message;
    } cases[] = {
        { "{\"error\":{\"message\":\"m\",\"code\":429}}", true, ERROR_RESOURCE_EXHAUSTED, "m" },
        { "{\"error\":{\"message\":\"m\",\"type\":\"invalid_request_error\"}}", true,
          ERROR_INVALID_ARGUMENT, "m" },
        { "{\"error\":{\"message\":\"m\",\"code\":\"context_length_exceeded\"}}", true,
          ERROR_INVALID_ARGUMENT, "m" },
        { "{\"error\":{}}", true, ERROR_INTERNAL, "an error without a message" },
        { "{\"error\":\"m\"}", true, ERROR_INTERNAL, "m" },
        { "{\"object\":\"error\",\"message\":\"m\",\"type\":\"NotFoundError\"}", true,
          ERROR_NOT_FOUND, "m" },
        { "{\"detail\":\"m\"}", true, ERROR_INTERNAL, "m" },
        { "{\"error\":null,\"choices\":[]}", false, 0, "" },
        { "{\"choices\":[],\"message\":\"m\"}", false, 0, "" },
        { "[]", false, 0, "" },
        { "7", false, 0, "" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct arena a = { 0 };
        struct error e = { 0 }, unused = { 0 };
        size_t at;
        yyjson_val *body = json_parse(&a, str_of(cases[i].body), &at, &unused);
        if (upstream_error_in(body, &e) != cases[i].found)
            fail_msg("%s", cases[i].body);
        assert_int_equal(e.code, cases[i].found ? cases[i].code : ERROR_OK);
        assert_string_equal(e.msg, cases[i].message);
        arena_release(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_form_of_an_error_gives_its_code_and_words),
        cmocka_unit_test(test_a_status_that_nobody_knows_means_what_its_class_does),
        cmocka_unit_test(test_a_quota_that_is_used_up_is_not_tried_again),
        cmocka_unit_test(test_a_key_that_is_none_is_a_matter_of_credentials),
        cmocka_unit_test(test_of_two_pauses_the_longer_counts),
        cmocka_unit_test(test_seconds_and_the_three_forms_of_a_date_are_understood),
        cmocka_unit_test(test_a_duration_ends_in_s),
        cmocka_unit_test(test_a_long_message_is_cut_at_a_character),
        cmocka_unit_test(test_a_message_cannot_steer_a_terminal),
        cmocka_unit_test(test_a_body_over_the_limit_is_not_parsed),
        cmocka_unit_test(test_an_error_under_status_200_is_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
