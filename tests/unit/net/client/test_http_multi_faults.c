/* Many requests at once: each failure of a server ends once, with its cause and in time. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/mem.h"

#include "unit/net/client/multi_world.h"

/* ---- What goes wrong ---- */

static void test_each_failure_is_told_once_with_its_cause(void **state)
{
    static const struct {
        const char *path;
        enum error_code code;
        int status;
        const char *words, *body;
    } cases[] = {
        { "/cut", ERROR_UNAVAILABLE, 200, "the answer was cut short", "only this" },
        { "/cut-chunk", ERROR_UNAVAILABLE, 200, "", "only this" },
        { "/bad-chunk", ERROR_UNAVAILABLE, 200, "", "" },
        { "/cut-head", ERROR_UNAVAILABLE, 0, "", "" },
        { "/only-continue", ERROR_UNAVAILABLE, 0, "", "" },
        { "/close", ERROR_UNAVAILABLE, 0, "closed without an answer", "" },
        { "/abort", ERROR_UNAVAILABLE, 200, "connection reset", "only this" },
        { "/garbage", ERROR_UNAVAILABLE, 0, "the answer is not HTTP", "" },
        { "/odd-status", ERROR_UNAVAILABLE, 0, "the answer is not HTTP", "" },
        { "/long-line", ERROR_RESOURCE_EXHAUSTED, 0, "the answer's head", "" },
    };
    char authority[64];
    struct http_multi *m = multi_new(4);

    (void)state;
    (void)snprintf(authority, sizeof authority, "127.0.0.1:%u: ", server.port);
    for (size_t i = 0; i < 2 * ARRAY_LEN(cases); i++) {
        size_t c = i / 2; /* each twice: also on a multi that has met it */
        struct http_ask ask = post(cases[c].path);
        struct http_done d;
        ask.header = "Authorization: Bearer very-secret";
        ask_one(m, &ask, &d);
        if (d.error.code != cases[c].code || d.status != cases[c].status ||
            !strstr(d.error.msg, cases[c].words) || !str_eq_c(d.body, cases[c].body))
            fail_msg("%s: %s, status %d, \"%s\", \"%.*s\"", ask.url, error_name(d.error.code),
                     d.status, d.error.msg, STR_ARG(d.body));
        assert_true(d.sent);
        assert_int_equal(strncmp(d.error.msg, authority, strlen(authority)), 0);
        assert_null(strstr(d.error.msg, "secret"));
        assert_none_left(m);
    }
    http_multi_free(m);
}

static void test_what_never_reached_the_server_says_so(void **state)
{
    static const struct {
        const char *url, *message;
    } cases[] = {
        { "http://127.0.0.1:1/", "127.0.0.1:1: connection refused" },
        { "http://no-such-host.invalid/v1", "no-such-host.invalid:80: the name does not resolve" },
    };
    struct http_multi *m = multi_new(4);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct http_ask ask = post("/");
        struct http_done d;
        ask.url = cases[i].url;
        ask_one(m, &ask, &d);
        assert_int_equal(d.error.code, ERROR_UNAVAILABLE);
        assert_string_equal(d.error.msg, cases[i].message);
        assert_int_equal(d.status, 0);
        assert_false(d.sent);
    }
    http_multi_free(m);
}

static void test_one_request_s_failure_touches_no_other(void **state)
{
    static const char *const paths[] = { "/close", "/echo", "/abort", "/garbage", "/echo", "/cut" };
    enum { REQUESTS = 600, PATHS = 6 };
    struct http_multi *m = multi_new(16);
    struct http_done d;
    size_t good = 0, bad = 0;

    (void)state;
    for (size_t i = 0; i < REQUESTS; i++) {
        struct http_ask ask = post(paths[i % PATHS]);
        ask.tag = strcmp(paths[i % PATHS], "/echo") == 0 ? &good : &bad;
        start(m, &ask);
    }
    for (size_t i = 0; i < REQUESTS; i++) {
        finish(m, &d);
        if (d.tag == &good)
            assert_good(&d, STR("the question"));
        else
            assert_int_equal(d.error.code, ERROR_UNAVAILABLE);
        ++*(size_t *)d.tag;
    }
    assert_int_equal(good, REQUESTS / 3);
    assert_int_equal(bad, REQUESTS - good);
    assert_none_left(m);
    http_multi_free(m);
}

static void test_a_silent_server_meets_the_deadline(void **state)
{
    struct http_multi *m = multi_new(4);
    struct http_ask ask = post("/silent");
    struct http_done d;

    (void)state;
    ask.timeout_ms = 100;
    start(m, &ask);
    ask.timeout_ms = 200;
    start(m, &ask);
    for (int i = 0; i < 2; i++) {
        finish(m, &d);
        assert_int_equal(d.error.code, ERROR_DEADLINE_EXCEEDED);
        assert_non_null(strstr(d.error.msg, i == 0 ? "no whole answer within 100 ms"
                                                   : "no whole answer within 200 ms"));
        assert_int_equal(d.status, 0);
        assert_true(d.sent);
        assert_true(d.total_ns >= 100 * NS_PER_MS);
    }
    assert_none_left(m);
    http_multi_free(m);
}

static void test_an_answer_that_stops_in_the_middle_is_ended(void **state)
{
    const struct http_host host = { .idle_ms = 100 };
    struct http_multi *m = multi_new(4);
    struct http_ask ask = post("/stall");
    struct http_done d;

    (void)state;
    ask.host = &host;
    ask.timeout_ms = 0;
    ask_one(m, &ask, &d);
    assert_int_equal(d.error.code, ERROR_DEADLINE_EXCEEDED);
    assert_non_null(strstr(d.error.msg, "nothing came for 100 ms"));
    assert_int_equal(d.status, 200);
    assert_true(str_eq(d.body, STR("only this")));
    http_multi_free(m);
}

/* 192.0.2.1 is no machine's; some networks say so at once, others are silent. */
static void test_a_far_side_that_cannot_be_reached_ends_in_time(void **state)
{
    const struct http_host host = { .connect_ms = 100, .proxy = "" };
    struct http_multi *m = multi_new(4);
    struct http_ask ask = post("/");
    struct http_done d;

    (void)state;
    ask.host = &host;
    ask.url = "http://192.0.2.1:9/";
    ask_one(m, &ask, &d);
    assert_true(d.error.code == ERROR_DEADLINE_EXCEEDED || d.error.code == ERROR_UNAVAILABLE);
    assert_false(d.sent);
    http_multi_free(m);
}

static void test_a_body_over_its_limit_is_refused(void **state)
{
    struct http_multi *m = multi_new(1);
    struct http_ask ask = post("/echo");
    struct http_done d;

    (void)state;
    ask.body_max = ask.body.len;
    ask_one(m, &ask, &d);
    assert_good(&d, ask.body);
    ask.body_max--;
    ask_one(m, &ask, &d);
    assert_int_equal(d.error.code, ERROR_RESOURCE_EXHAUSTED);
    assert_int_equal(d.status, 200);
    http_multi_free(m);
}

static void test_a_head_over_its_limit_is_refused(void **state)
{
    struct http_multi *m = multi_new(1);
    struct http_ask ask = post("/head");
    char bytes[32];
    struct http_done d;

    (void)state;
    for (size_t over = 0; over <= 1; over++) {
        (void)snprintf(bytes, sizeof bytes, "%zu", HTTP_IN_HEAD_BYTES_MAX + over);
        ask.body = str_of(bytes);
        ask_one(m, &ask, &d);
        assert_int_equal(d.error.code, over ? ERROR_RESOURCE_EXHAUSTED : ERROR_OK);
        if (!over)
            assert_int_equal(d.headers.len, HTTP_IN_HEAD_BYTES_MAX);
    }
    http_multi_free(m);
}

static void test_what_cannot_be_sent_is_refused_at_once_and_shows_no_key(void **state)
{
    static const char *const urls[] = {
        "file:///etc/passwd",         "gopher://127.0.0.1/", "nonsense?key=very-secret",
        "http://127.0.0.1:99999/",    "http://a b/",         "",
        "http://u:very-secret@a b/x",
    };
    struct http_multi *m = multi_new(1);
    struct http_ask ask = post("/echo");

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(urls) + 1; i++) {
        struct error e = { 0 };
        bool header = i == ARRAY_LEN(urls);
        ask.url = header ? url("127.0.0.1", "/echo") : urls[i];
        ask.header = header ? "X-A: b\r\nX-Evil: very-secret" : NULL;
        assert_int_equal(http_multi_start(m, &ask, &e), -1);
        assert_int_equal(e.code, ERROR_INVALID_ARGUMENT);
        assert_null(strstr(e.msg, "secret"));
    }
    assert_none_left(m);
    http_multi_free(m);
}

static void assert_text_limit(struct http_multi *m, struct http_ask *ask, const char **part,
                              const char *begin, size_t max)
{
    char *text = mem_alloc(max + 2);

    for (size_t len = max; len <= max + 1; len++) {
        struct http_done d;
        struct error e = { 0 };
        memset(text, 'a', len);
        memcpy(text, begin, strlen(begin));
        *part = text;
        assert_int_equal(http_multi_start(m, ask, &e), len == max ? 0 : -1);
        if (len == max)
            finish(m, &d);
        else
            assert_int_equal(e.code, ERROR_INVALID_ARGUMENT);
    }
    *part = NULL;
    mem_free(text);
}

static void test_a_url_method_or_header_has_a_limit(void **state)
{
    struct http_multi *m = multi_new(1);
    struct http_ask ask = post("/missing");
    char begin[URL_BYTES + 1];

    (void)state;
    assert_text_limit(m, &ask, &ask.header, "X-Long: ", HTTP_ASK_HEADER_BYTES_MAX);
    (void)snprintf(begin, sizeof begin, "%s?", url("127.0.0.1", "/missing"));
    assert_text_limit(m, &ask, &ask.url, begin, HTTP_ASK_URL_BYTES_MAX);
    ask.url = url("127.0.0.1", "/missing");
    assert_text_limit(m, &ask, &ask.method, "", HTTP_ASK_METHOD_BYTES_MAX);
    http_multi_free(m);
}

static void test_connections_have_a_limit(void **state)
{
    struct error e = { 0 };

    (void)state;
    assert_null(http_multi_new(0, &e));
    assert_int_equal(e.code, ERROR_INVALID_ARGUMENT);
    http_multi_free(multi_new(1));
    http_multi_free(multi_new(HTTP_MULTI_CONNECTIONS_MAX));
    assert_null(http_multi_new(HTTP_MULTI_CONNECTIONS_MAX + 1, &e));
    assert_int_equal(e.code, ERROR_INVALID_ARGUMENT);
    http_multi_free(NULL);
}

static void test_open_requests_have_a_limit(void **state)
{
    struct http_multi *m = multi_new(1);
    struct http_ask ask = post("/echo");
    struct error e = { 0 };
    struct http_done d;

    (void)state;
    for (int i = 0; i < HTTP_MULTI_OPEN_MAX; i++)
        start(m, &ask);
    assert_int_equal(http_multi_start(m, &ask, &e), -1);
    assert_int_equal(e.code, ERROR_RESOURCE_EXHAUSTED);
    finish(m, &d);
    start(m, &ask);
    http_multi_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_failure_is_told_once_with_its_cause),
        cmocka_unit_test(test_what_never_reached_the_server_says_so),
        cmocka_unit_test(test_one_request_s_failure_touches_no_other),
        cmocka_unit_test(test_a_silent_server_meets_the_deadline),
        cmocka_unit_test(test_an_answer_that_stops_in_the_middle_is_ended),
        cmocka_unit_test(test_a_far_side_that_cannot_be_reached_ends_in_time),
        cmocka_unit_test(test_a_body_over_its_limit_is_refused),
        cmocka_unit_test(test_a_head_over_its_limit_is_refused),
        cmocka_unit_test(test_what_cannot_be_sent_is_refused_at_once_and_shows_no_key),
        cmocka_unit_test(test_a_url_method_or_header_has_a_limit),
        cmocka_unit_test(test_connections_have_a_limit),
        cmocka_unit_test(test_open_requests_have_a_limit),
    };

    return cmocka_run_group_tests(tests, server_start, NULL);
}
