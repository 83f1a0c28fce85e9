/* Goal: what comes in is whole, checked and within limits; what goes out arrives. Method: raw sockets on
 * the loopback address; the path of a request chooses what the handler does. */
#include "base/metric.h"
#include "unit/net/server/http_server_world.h"

/* ---- Requests ---- */

static void test_a_request_is_seen_as_it_was_sent(void **state)
{
    struct buf in = ask(*state, "GET /a%2Fb//c?x=1&%24q=old&%24q=%C3%A9+%26 HTTP/1.1\r\n" CLOSE
                                "X-One:  two words \r\n\r\n");

    assert_true(has(&in, "HTTP/1.1 200 OK\r\n"));
    assert_true(has(&in, "\r\nContent-Type: text/plain\r\n"));
    assert_true(has(&in, "method=0 path=/a%2Fb//c q=\xC3\xA9 & "
                         "h=[two words] base=http://h:1"));
    buf_release(&in);
    expect(*state, "PATCH http://h/p?q HTTP/1.1\r\n" CLOSE "\r\n", "method=4 path=/p q=");
    expect(*state, "BREW / HTTP/1.1\r\n" CLOSE "\r\n", "method=7 path=/");
    expect(*state, "GET / HTTP/1.0\r\n\r\n", "base=http://127.0.0.1:");
}

static void test_a_body_is_kept_up_to_its_limit_and_refused_beyond(void **state)
{
    struct buf in;
    char request[BODY_MAX + 512];
    char *body = malloc(BODY_MAX + 2);

    memset(body, 'b', BODY_MAX + 1);
    body[BODY_MAX + 1] = '\0';
    (void)snprintf(request, sizeof request,
                   "POST /echo HTTP/1.1\r\n" CLOSE "Content-Length: %d\r\n\r\n%.*s", BODY_MAX,
                   BODY_MAX, body);
    in = ask(*state, request);
    assert_true(has(&in, "200 OK") && str_ends(buf_str(&in), (struct str){ body, BODY_MAX }));
    buf_release(&in);
    (void)snprintf(request, sizeof request,
                   "POST /echo HTTP/1.1\r\n" CLOSE "Content-Length: %d\r\n\r\n%s", BODY_MAX + 1,
                   body);
    expect(*state, request,
           "{\"error\":{\"code\":413,\"message\":\"the body is over 4096 bytes\","
           "\"status\":\"INVALID_ARGUMENT\"}}");
    (void)snprintf(request, sizeof request,
                   "POST /echo HTTP/1.1\r\n" CLOSE
                   "Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n",
                   BODY_MAX + 1, body);
    expect(*state, request, "HTTP/1.1 413 ");
    free(body);
}

static void test_a_chunked_body_is_put_together(void **state)
{
    expect(*state,
           "POST /echo HTTP/1.1\r\n" CLOSE "Transfer-Encoding: chunked\r\n\r\n"
           "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n",
           "\r\n\r\nabcde");
}

static void test_one_connection_serves_many_calls(void **state)
{
    struct buf in = BUF_INIT(TEXT_MAX);
    int fd = dial(*state);

    for (int i = 0; i < 20; i++) {
        buf_clear(&in);
        assert_true(say(fd, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\npong"));
        assert_true(hear_until(fd, &in, "pong"));
        buf_clear(&in);
        assert_true(say(fd, "POST /deny HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nping"));
        assert_true(hear_until(fd, &in, "\r\n\r\n"));
        assert_true(has(&in, "403"));
    }
    (void)close(fd);
    buf_release(&in);
}

static void test_expect_is_answered_before_the_body(void **state)
{
    struct buf in = BUF_INIT(TEXT_MAX);
    int fd = dial(*state);

    assert_true(say(fd, "POST /echo HTTP/1.1\r\n" CLOSE
                        "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n"));
    assert_true(hear_until(fd, &in, "HTTP/1.1 100 Continue\r\n\r\n"));
    assert_true(say(fd, "ok"));
    (void)hear_until(fd, &in, NULL);
    assert_true(has(&in, "200 OK") && has(&in, "\r\n\r\nok"));
    (void)close(fd);
    buf_release(&in);
    in = ask(*state, "POST /deny HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n"
                     "Content-Length: 9999999\r\n\r\n");
    assert_true(has(&in, "HTTP/1.1 403 ") && !has(&in, "100 Continue"));
    buf_release(&in);
}

/* ---- Sinks ---- */

static void test_a_sink_gets_a_large_body(void **state)
{
    struct app *a = *state;
    struct buf in;
    char *piece = calloc(1, 1000000);
    int fd = dial(a);

    assert_true(say(fd, "PUT /sink HTTP/1.1\r\n" CLOSE "Content-Length: 3000000\r\n\r\n"));
    for (int i = 0; i < 3; i++)
        assert_true(say_n(fd, piece, 1000000));
    in = hear_all(fd);
    assert_true(has(&in, "200 OK"));
    assert_true(a->sink.bytes == 3000000 && a->sink.complete && !a->sink.failed);
    free(piece);
    buf_release(&in);
}

static void test_the_failure_of_a_sink_is_told_to_the_client(void **state)
{
    struct app *a = *state;
    struct buf in;
    char *piece = calloc(1, 1000000);
    int fd = dial(a);

    assert_true(say(fd, "PUT /sink HTTP/1.1\r\n" CLOSE "Content-Length: 9000000\r\n\r\n"));
    for (int i = 0; i < 9; i++)
        assert_true(say_n(fd, piece, 1000000));
    in = hear_all(fd);
    assert_true(has(&in, "HTTP/1.1 429 "));
    assert_true(a->sink.failed && a->sink.code == ERROR_RESOURCE_EXHAUSTED);
    free(piece);
    buf_release(&in);
}

static void test_a_body_that_breaks_off_is_handled_and_goes_nowhere(void **state)
{
    struct app *a = *state;
    int fd = dial(a);

    assert_true(say(fd, "PUT /sink HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nfirst"));
    clock_system()->sleep_ns(clock_system(), 100 * NS_PER_MS);
    (void)close(fd);
    await_handled(a, 1);
    assert_int_equal(a->sink.bytes, 5);
    assert_true(!a->sink.complete && a->sink.failed && a->sink.code == ERROR_CANCELLED);
}

/* ---- Answers ---- */

static void test_json_is_packed_when_the_client_takes_it(void **state)
{
    struct buf in = ask(*state, "GET /json HTTP/1.1\r\n" CLOSE "Accept-Encoding: br, gzip\r\n\r\n");

    assert_true(has(&in, "Content-Encoding: gzip\r\n") && has(&in, "Vary: Accept-Encoding\r\n"));
    assert_true(in.len < 1000);
    buf_release(&in);
    in = ask(*state, "GET /json HTTP/1.1\r\n" CLOSE "Accept-Encoding: gzip;q=0\r\n\r\n");
    assert_false(has(&in, "Content-Encoding"));
    assert_true(has(&in, "Content-Length: 6003\r\n") && str_ends(buf_str(&in), STR(",1]")));
    buf_release(&in);
}

static void test_head_has_the_headers_alone(void **state)
{
    struct buf in = ask(*state, "HEAD /json HTTP/1.1\r\n" CLOSE "\r\n");

    assert_true(has(&in, "Content-Length: 6003\r\n") && str_ends(buf_str(&in), STR("\r\n\r\n")));
    buf_release(&in);
}

static void test_files_and_sources_are_sent(void **state)
{
    struct buf in = ask(*state, "GET /file HTTP/1.1\r\n" CLOSE "\r\n");

    assert_true(has(&in, "HTTP/1.1 206 ") && str_ends(buf_str(&in), STR("\r\n\r\n3456")));
    buf_release(&in);
    expect(*state, "GET /source HTTP/1.0\r\n\r\n", "\r\n\r\n54321");
    expect(*state, "GET /source HTTP/1.1\r\n" CLOSE "\r\n", "0\r\n\r\n");
}

static void test_a_source_sleeps_until_it_is_woken(void **state)
{
    for (int i = 0; i < 20; i++) {
        struct buf in = ask(*state, "GET /slow HTTP/1.1\r\n" CLOSE "\r\n");
        assert_true(has(&in, "Content-Length: 5\r\n") && str_ends(buf_str(&in), STR("54321")));
        buf_release(&in);
    }
}

/* The body is read first, because the answer came too late to stop it. */
static void test_a_refusal_that_comes_later_reaches_the_client_behind_its_body(void **state)
{
    struct app *a = *state;
    char *piece = calloc(1, 1000000);

    for (int slow = 0; slow < 2; slow++) {
        int fd = dial(a);
        assert_true(say(
            fd, slow ? "PUT /deny HTTP/1.1\r\nX-Slow: 1\r\n" CLOSE "Content-Length: 3000000\r\n\r\n"
                     : "PUT /deny HTTP/1.1\r\n" CLOSE "Content-Length: 3000000\r\n\r\n"));
        for (int i = 0; i < 3; i++)
            assert_true(say_n(fd, piece, 1000000));
        struct buf in = hear_all(fd);
        assert_true(has(&in, "HTTP/1.1 403 "));
        buf_release(&in);
    }
    free(piece);
}

/* The keeper sees it, or the reply does; every call ends, which teardown checks. */
static void test_a_client_that_leaves_before_begin_has_ended_is_forgotten(void **state)
{
    struct app *a = *state;

    for (int i = 0; i < 20; i++) {
        int fd = dial(a);
        assert_true(say(fd, "PUT /sink HTTP/1.1\r\nX-Slow: 1\r\nHost: h\r\n"
                            "Content-Length: 100\r\n\r\nfirst"));
        (void)close(fd);
    }
    await_handled(a, 20);
    assert_true(!a->sink.complete && a->sink.failed && a->sink.code == ERROR_CANCELLED);
}

static void test_an_answer_may_come_later_from_any_thread(void **state)
{
    struct app *a = *state;
    int fd = dial(a);

    assert_true(say(fd, "GET /later HTTP/1.1\r\n" CLOSE "\r\n"));
    await_handled(a, 1);
    assert_int_equal(http_status(a->later), 0);
    reply_text(a->later, "text/plain", STR("at last"));
    struct buf in = hear_all(fd);
    assert_true(str_ends(buf_str(&in), STR("at last")));
    buf_release(&in);
}

/* ---- Streams ---- */

static void test_a_stream_arrives_as_it_is_written(void **state)
{
    struct buf in = BUF_INIT(TEXT_MAX);
    int fd;
    struct http_stream *s = open_stream(*state, &fd, &in);

    assert_true(http_stream_write(s, "data: 2\n\n", 9));
    assert_true(hear_until(fd, &in, "data: 2\n\n"));
    http_stream_end(s);
    assert_true(hear_until(fd, &in, "0\r\n\r\n"));
    (void)close(fd);
    buf_release(&in);
}

static void test_a_quiet_stream_notices_that_its_client_left(void **state)
{
    struct buf in = BUF_INIT(TEXT_MAX);
    int fd, tries = 0;
    struct http_stream *s = open_stream(*state, &fd, &in);

    (void)close(fd);
    clock_system()->sleep_ns(clock_system(), 600 * NS_PER_MS);
    while (http_stream_write(s, "x", 1) && tries++ < 50)
        clock_system()->sleep_ns(clock_system(), 20 * NS_PER_MS);
    assert_true(tries == 0); /* no write was needed to see it */
    http_stream_end(s);
    buf_release(&in);
}

static void test_a_client_that_does_not_read_is_cut(void **state)
{
    struct buf in = BUF_INIT(TEXT_MAX);
    char *piece = calloc(1, 100000);
    int fd, writes = 0;
    struct http_stream *s = open_stream(*state, &fd, &in);

    while (writes < 1000 && http_stream_write(s, piece, 100000))
        writes++;
    assert_true(writes >= 10 && writes < 1000);
    http_stream_end(s);
    (void)close(fd);
    free(piece);
    buf_release(&in);
}

/* The client reads until the server has closed the connection, so the counter may not come later. */
static void test_a_call_is_counted_before_its_reply_is_sent(void **state)
{
    struct metric *m =
        metric_counter("tranche_http_requests_total",
                       "HTTP requests that were answered, or whose client left", "code=\"403\"");

    for (int i = 0; i < 50; i++) {
        uint64_t before = metric_value(m);
        expect(*state, "GET /deny HTTP/1.1\r\n" CLOSE "\r\n", "403");
        assert_int_equal(metric_value(m), before + 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SERVER(test_a_request_is_seen_as_it_was_sent),
        WITH_SERVER(test_a_body_is_kept_up_to_its_limit_and_refused_beyond),
        WITH_SERVER(test_a_chunked_body_is_put_together),
        WITH_SERVER(test_one_connection_serves_many_calls),
        WITH_SERVER(test_expect_is_answered_before_the_body),
        WITH_SERVER(test_a_sink_gets_a_large_body),
        WITH_SERVER(test_the_failure_of_a_sink_is_told_to_the_client),
        WITH_SERVER(test_a_body_that_breaks_off_is_handled_and_goes_nowhere),
        WITH_SERVER(test_json_is_packed_when_the_client_takes_it),
        WITH_SERVER(test_head_has_the_headers_alone),
        WITH_SERVER(test_files_and_sources_are_sent),
        WITH_SERVER(test_a_source_sleeps_until_it_is_woken),
        WITH_SERVER(test_an_answer_may_come_later_from_any_thread),
        WITH_SERVER(test_a_stream_arrives_as_it_is_written),
        WITH_SERVER(test_a_quiet_stream_notices_that_its_client_left),
        WITH_SERVER(test_a_client_that_does_not_read_is_cut),
        WITH_SERVER(test_a_call_is_counted_before_its_reply_is_sent),
        BEGUN_LATER(test_a_request_is_seen_as_it_was_sent),
        BEGUN_LATER(test_a_body_is_kept_up_to_its_limit_and_refused_beyond),
        BEGUN_LATER(test_a_chunked_body_is_put_together),
        BEGUN_LATER(test_one_connection_serves_many_calls),
        BEGUN_LATER(test_a_sink_gets_a_large_body),
        BEGUN_LATER(test_the_failure_of_a_sink_is_told_to_the_client),
        BEGUN_LATER(test_a_body_that_breaks_off_is_handled_and_goes_nowhere),
        BEGUN_LATER(test_a_refusal_that_comes_later_reaches_the_client_behind_its_body),
        BEGUN_LATER(test_a_client_that_leaves_before_begin_has_ended_is_forgotten),
        BEGUN_LATER(test_an_answer_may_come_later_from_any_thread),
    };

    log_setup(LOG_ERROR, LOG_TEXT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
