/* Many requests at once: what comes back when all goes well, and waiting for it. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/mem.h"

#include "unit/net/client/multi_world.h"

/* ---- Good answers ---- */

static void test_each_of_many_requests_gets_its_own_answer_over_a_few_connections(void **state)
{
    enum { REQUESTS = 10000, CONNECTIONS = 100, OPEN = 1000 };
    static unsigned answers[REQUESTS];
    static char body[REQUESTS][8];
    struct http_multi *m = multi_new(CONNECTIONS);
    unsigned before = atomic_load(&server.connections);
    struct http_ask ask = post("/later");
    bool in_order = true;

    (void)state;
    for (size_t started = 0, done = 0; done < REQUESTS; done++) {
        struct http_done d;
        for (; started < REQUESTS && started < done + OPEN; started++) {
            (void)snprintf(body[started], sizeof body[started], "%zu", started);
            ask.body = str_of(body[started]);
            ask.tag = &answers[started];
            start(m, &ask);
        }
        finish(m, &d);
        size_t no = (size_t)((unsigned *)d.tag - answers);
        assert_good(&d, str_of(body[no]));
        answers[no]++;
        in_order = in_order && no == done;
    }
    for (size_t i = 0; i < REQUESTS; i++)
        assert_int_equal(answers[i], 1);
    assert_false(in_order);
    assert_in_range(atomic_load(&server.connections) - before, 1, CONNECTIONS);
    assert_none_left(m);
    http_multi_free(m);
}

static void test_a_status_is_no_error_and_headers_are_found_by_lower_case_name(void **state)
{
    struct http_multi *m = multi_new(1);
    struct http_ask ask = post("/missing");
    struct http_done d;

    (void)state;
    ask_one(m, &ask, &d);
    assert_int_equal(d.error.code, ERROR_OK);
    assert_int_equal(d.status, 404);
    assert_true(str_eq(d.body, STR("no such thing")));
    assert_true(str_eq(http_done_header(&d, "x-why"), STR("it is   not")));
    assert_int_equal(http_done_header(&d, "absent").len, 0);
    http_multi_free(m);
}

static void test_bodies_of_any_bytes_and_sizes_go_both_ways(void **state)
{
    static const size_t sizes[] = { 0, 1, 255, 4096, 65535, 65536, 65537, 1000000, 5000000, 3 };
    struct http_multi *m = multi_new(2);
    struct http_ask ask = post("/echo");
    char *bytes = mem_alloc(5000000);
    struct http_done d;

    (void)state;
    for (size_t i = 0; i < 5000000; i++)
        bytes[i] = (char)(i * 31 % 256); /* with NULs and all else */
    ask.body_max = 5000000;
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        ask.body = (struct str){ bytes, sizes[i] };
        ask_one(m, &ask, &d);
        assert_good(&d, ask.body);
    }
    http_multi_free(m);
    mem_free(bytes);
}

/* A handle keeps what it was set to: nothing of one request may be in another. */
static void test_nothing_of_a_request_is_left_in_the_next(void **state)
{
    static const char *const typed[] = { "Content-Type: application/json", "X-Key: k", NULL };
    const struct http_host host = { .header = typed };
    struct http_multi *m = multi_new(1);
    struct http_ask with = post("/whole"), without = post("/whole");
    struct http_done d;

    (void)state;
    with.host = &host;
    with.header = "Authorization: Bearer one";
    without.method = "GET";
    without.body = (struct str){ 0 };
    for (int i = 0; i < 3; i++) {
        ask_one(m, &with, &d);
        assert_true(str_starts(d.body, STR("POST /whole HTTP/1.1\r\n")));
        assert_true(has(d.body, "Content-Type: application/json\r\n"));
        assert_true(has(d.body, "X-Key: k\r\n") && has(d.body, "Authorization: Bearer one\r\n"));
        assert_true(has(d.body, "\r\n\r\nthe question"));
        assert_false(has(d.body, "Expect"));
        ask_one(m, &without, &d);
        assert_true(str_starts(d.body, STR("GET /whole HTTP/1.1\r\n")));
        assert_false(has(d.body, "X-Key") || has(d.body, "Bearer") || has(d.body, "question"));
        assert_false(has(d.body, "Content-"));
        assert_true(str_ends(d.body, STR("\r\n\r\n")));
    }
    with.header = "Authorization: Bearer two";
    ask_one(m, &with, &d);
    assert_true(has(d.body, "Bearer two") && !has(d.body, "Bearer one"));
    http_multi_free(m);
}

static void test_every_method_is_sent_as_named(void **state)
{
    static const char *const methods[] = { "GET", "POST", "PUT", "PATCH", "DELETE" };
    struct http_multi *m = multi_new(1);
    struct http_ask ask = post("/whole");
    struct http_done d;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
        ask.method = methods[i];
        ask_one(m, &ask, &d);
        assert_true(str_starts(d.body, str_of(methods[i])));
        assert_true(has(d.body, "Content-Length: 12\r\n"));
    }
    http_multi_free(m);
}

static void test_an_early_continue_is_not_the_answer(void **state)
{
    struct http_multi *m = multi_new(1);
    struct http_ask ask = post("/continue");
    struct http_done d;

    (void)state;
    ask_one(m, &ask, &d);
    assert_good(&d, ask.body);
    assert_int_equal(http_done_header(&d, "x-early").len, 0);
    http_multi_free(m);
}

static void test_an_answer_without_a_length_ends_with_its_connection(void **state)
{
    struct http_multi *m = multi_new(1);
    struct http_ask ask = post("/old");
    struct http_done d;

    (void)state;
    for (int i = 0; i < 2; i++) {
        ask_one(m, &ask, &d);
        assert_good(&d, STR("until the end"));
    }
    http_multi_free(m);
}

/* What stands behind the answer must not be taken for the next one. */
static void test_an_answer_longer_than_it_says_is_cut_and_its_connection_given_up(void **state)
{
    struct http_multi *m = multi_new(1);
    struct http_ask more = post("/more"), echo = post("/echo");
    char echo_url[URL_BYTES];
    struct http_done d;

    (void)state;
    (void)snprintf(echo_url, sizeof echo_url, "%s", url("127.0.0.1", "/echo"));
    echo.url = echo_url;
    more.url = url("127.0.0.1", "/more");
    for (int i = 0; i < 3; i++) {
        ask_one(m, &more, &d);
        assert_good(&d, STR("four"));
        ask_one(m, &echo, &d);
        assert_good(&d, echo.body);
    }
    http_multi_free(m);
}

/* The server closes a kept connection as the second request comes: it is sent again on a new one. */
static void test_a_kept_connection_that_closes_costs_no_request(void **state)
{
    struct http_multi *m = multi_new(1);
    struct http_ask ask = post("/once");
    unsigned before = atomic_load(&server.requests);
    struct http_done d;

    (void)state;
    for (int i = 0; i < 5; i++) {
        ask_one(m, &ask, &d);
        assert_good(&d, ask.body);
    }
    assert_int_equal(atomic_load(&server.requests) - before, 1 + 4 * 2);
    assert_none_left(m);
    http_multi_free(m);
}

static void test_an_answer_that_drips_is_not_silent(void **state)
{
    const struct http_host host = { .idle_ms = 900 };
    struct http_multi *m = multi_new(1);
    struct http_ask ask = post("/drip");
    struct http_done d;

    (void)state;
    ask.host = &host;
    ask_one(m, &ask, &d);
    assert_good(&d, STR("xxxxxxxxxxxxxxxxxxxx"));
    http_multi_free(m);
}

static void test_a_request_that_waits_for_a_connection_is_not_silent(void **state)
{
    enum { REQUESTS = 12 }; /* one after the other, longer than each may be silent */
    const struct http_host host = { .idle_ms = 3000, .connect_ms = 3000 };
    struct http_multi *m = multi_new(1);
    struct http_ask ask = post("/slow");
    struct http_done d;

    (void)state;
    ask.host = &host;
    for (int i = 0; i < REQUESTS; i++)
        start(m, &ask);
    for (int i = 0; i < REQUESTS; i++) {
        finish(m, &d);
        assert_good(&d, ask.body);
    }
    http_multi_free(m);
}

/* Sending takes longer than the server may be silent. */
static void test_a_request_that_is_still_being_sent_is_not_silent(void **state)
{
    const struct http_host host = { .idle_ms = 1000 };
    struct http_multi *m = multi_new(1);
    struct http_ask ask = post("/missing");
    char *bytes = mem_alloc(64 * SLOW_BYTES);
    struct http_done d;

    (void)state;
    ask.host = &host;
    ask.body = (struct str){ bytes, 64 * SLOW_BYTES };
    atomic_store(&server.slow, true);
    ask_one(m, &ask, &d);
    atomic_store(&server.slow, false);
    assert_int_equal(d.error.code, ERROR_OK);
    assert_int_equal(d.status, 404);
    assert_true(d.total_ns > 1000 * NS_PER_MS);
    http_multi_free(m);
    mem_free(bytes);
}

static void test_packed_answers_are_unpacked(void **state)
{
    struct http_multi *m = multi_new(1);
    struct http_ask ask = post("/packed");
    struct http_done d;

    (void)state;
    ask.url = url("0.0.0.0", "/packed"); /* a name for this machine that is not known as such */
    ask.body_max = 1024 * 1024;
    ask_one(m, &ask, &d);
    assert_int_equal(d.error.code, ERROR_OK);
    assert_int_equal(d.body.len, 1024 * 1024);
    ask.body_max--;
    ask_one(m, &ask, &d);
    assert_int_equal(d.error.code, ERROR_RESOURCE_EXHAUSTED);
    http_multi_free(m);
}

/* ---- Waiting and waking ---- */

static void test_a_poll_without_news_ends_by_itself(void **state)
{
    struct http_multi *m = multi_new(1);
    struct http_ask ask = post("/silent");
    struct error e = { 0 };
    struct http_done d;

    (void)state;
    assert_int_equal(http_multi_poll(m, 0, &d, &e), 0);
    assert_int_equal(http_multi_poll(m, 10, &d, &e), 0);
    start(m, &ask);
    assert_int_equal(http_multi_poll(m, 0, &d, &e), 0);
    assert_int_equal(http_multi_poll(m, 10, &d, &e), 0);
    http_multi_free(m);
}

static void *wake_soon(void *m)
{
    rest_ms(20);
    http_multi_wake(m);
    return NULL;
}

static void test_another_thread_wakes_a_poll(void **state)
{
    struct http_multi *m = multi_new(1);
    struct http_ask ask = post("/silent");
    struct error e = { 0 };
    struct http_done d;
    pthread_t waker;

    (void)state;
    ask.timeout_ms = 0;
    start(m, &ask);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pthread_create(&waker, NULL, wake_soon, m), 0);
        assert_int_equal(http_multi_poll(m, UINT32_MAX, &d, &e), 0);
        assert_int_equal(pthread_join(waker, NULL), 0);
    }
    http_multi_free(m);
}

static void test_wakes_before_a_poll_end_one_poll(void **state)
{
    struct http_multi *m = multi_new(1);
    struct http_ask ask = post("/echo");
    struct error e = { 0 };
    struct http_done d;

    (void)state;
    http_multi_wake(m);
    http_multi_wake(m);
    assert_int_equal(http_multi_poll(m, UINT32_MAX, &d, &e), 0);
    ask_one(m, &ask, &d);
    assert_good(&d, ask.body);
    http_multi_free(m);
}

static void test_a_multi_may_be_freed_while_requests_are_open(void **state)
{
    static const char *const paths[] = { "/silent", "/stall", "/echo", "/later", "/close" };
    struct error e = { 0 };
    struct http_done d;

    (void)state;
    for (int polls = 0; polls < 4; polls++) {
        struct http_multi *m = multi_new(8);
        for (int i = 0; i < 40; i++) {
            struct http_ask ask = post(paths[i % 5]);
            start(m, &ask);
        }
        for (int i = 0; i < polls; i++)
            assert_true(http_multi_poll(m, 20, &d, &e) >= 0);
        http_multi_free(m);
    }
}

/* ---- TLS and proxies ---- */

/* Makes a certificate for a day; false when there is no openssl program. */
static bool make_certificate(const char *key, const char *cert)
{
    pid_t pid = fork();
    int status = -1;

    if (pid == 0) {
        int null = open("/dev/null", O_RDWR);
        (void)dup2(null, STDERR_FILENO);
        (void)execlp("openssl", "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                     "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", cert,
                     "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-days",
                     "1", (char *)NULL);
        _exit(127);
    }
    return waitpid(pid, &status, 0) == pid && status == 0;
}

static enum http_next tls_begin(void *arg, struct http_call *c)
{
    (void)arg;
    (void)c;
    return HTTP_KEEP;
}

static void tls_handle(void *arg, struct http_call *c)
{
    struct buf body = BUF_INIT(64);

    (void)arg;
    buf_add_c(&body, "by tls");
    http_reply(c, 200, NULL, &body);
}

static void test_only_a_trusted_certificate_is_talked_to(void **state)
{
    const struct http_handlers h = { .begin = tls_begin, .handle = tls_handle };
    struct scratch dir;
    char key[SCRATCH_PATH_BYTES], cert[SCRATCH_PATH_BYTES], at[URL_BYTES];
    struct http_host host = { .idle_ms = LONG_MS };
    struct http_ask ask = post("/");
    struct error e = { 0 };
    struct http_done d;

    (void)state;
    scratch_make(&dir);
    struct http_settings set = { .listen = "127.0.0.1:0",
                                 .tls_key = scratch_path(&dir, "key.pem", key),
                                 .tls_cert = scratch_path(&dir, "cert.pem", cert) };
    if (make_certificate(key, cert)) {
        struct http_server *s = http_server_start(&set, &h, &e);
        struct http_multi *m = multi_new(4);
        assert_non_null(s);
        (void)snprintf(at, sizeof at, "https://127.0.0.1:%u/", http_server_port(s));
        ask.url = at;
        ask.host = &host;
        ask_one(m, &ask, &d);
        assert_int_equal(d.error.code, ERROR_FAILED_PRECONDITION);
        assert_non_null(strstr(d.error.msg, "certificate"));
        assert_false(d.sent);
        host.ca_file = cert;
        for (int i = 0; i < 20; i++)
            start(m, &ask);
        for (int i = 0; i < 20; i++) {
            finish(m, &d);
            assert_good(&d, STR("by tls"));
        }
        http_multi_free(m);
        http_server_free(s, 1000);
    }
    scratch_remove(&dir);
}

static void test_a_proxy_is_used_for_this_machine_only_when_it_is_set(void **state)
{
    struct http_host host = { 0 };
    struct http_multi *m = multi_new(4);
    struct http_ask ask = post("/whole");
    char proxy[URL_BYTES], direct[URL_BYTES];
    struct http_done d;

    (void)state;
    (void)snprintf(proxy, sizeof proxy, "%s", url("127.0.0.1", ""));
    (void)snprintf(direct, sizeof direct, "%s", url("127.0.0.1", "/whole"));
    assert_int_equal(setenv("http_proxy", proxy, 1), 0);
    ask.host = &host;
    ask.url = direct;
    ask_one(m, &ask, &d);
    assert_true(str_starts(d.body, STR("POST /whole ")));
    ask.url = "http://no-such-host.invalid/whole";
    ask_one(m, &ask, &d); /* the environment's proxy answers */
    assert_true(str_starts(d.body, STR("POST http://no-such-host.invalid/whole ")));
    assert_int_equal(unsetenv("http_proxy"), 0);
    host.proxy = proxy;
    ask.url = direct;
    ask_one(m, &ask, &d);
    assert_true(str_starts(d.body, STR("POST http://127.0.0.1:")));
    host.proxy = "";
    ask_one(m, &ask, &d);
    assert_true(str_starts(d.body, STR("POST /whole ")));
    host.proxy = "http://127.0.0.1:1";
    ask.url = "http://no-such-host.invalid/whole";
    ask_one(m, &ask, &d);
    assert_int_equal(d.error.code, ERROR_UNAVAILABLE);
    assert_non_null(strstr(d.error.msg, "127.0.0.1")); /* who it was that refused */
    http_multi_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_of_many_requests_gets_its_own_answer_over_a_few_connections),
        cmocka_unit_test(test_a_status_is_no_error_and_headers_are_found_by_lower_case_name),
        cmocka_unit_test(test_bodies_of_any_bytes_and_sizes_go_both_ways),
        cmocka_unit_test(test_nothing_of_a_request_is_left_in_the_next),
        cmocka_unit_test(test_every_method_is_sent_as_named),
        cmocka_unit_test(test_an_early_continue_is_not_the_answer),
        cmocka_unit_test(test_an_answer_without_a_length_ends_with_its_connection),
        cmocka_unit_test(test_an_answer_longer_than_it_says_is_cut_and_its_connection_given_up),
        cmocka_unit_test(test_a_kept_connection_that_closes_costs_no_request),
        cmocka_unit_test(test_an_answer_that_drips_is_not_silent),
        cmocka_unit_test(test_a_request_that_waits_for_a_connection_is_not_silent),
        cmocka_unit_test(test_a_request_that_is_still_being_sent_is_not_silent),
        cmocka_unit_test(test_packed_answers_are_unpacked),
        cmocka_unit_test(test_a_poll_without_news_ends_by_itself),
        cmocka_unit_test(test_another_thread_wakes_a_poll),
        cmocka_unit_test(test_wakes_before_a_poll_end_one_poll),
        cmocka_unit_test(test_a_multi_may_be_freed_while_requests_are_open),
        cmocka_unit_test(test_only_a_trusted_certificate_is_talked_to),
        cmocka_unit_test(test_a_proxy_is_used_for_this_machine_only_when_it_is_set),
    };

    return cmocka_run_group_tests(tests, server_start, NULL);
}
