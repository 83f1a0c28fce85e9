/* Goal: what is made to be read in two ways, to be endless or to be huge is refused. Method: raw sockets on
 * the loopback address. */
#include <zlib.h>

#include "base/mem.h"

#include "unit/net/server/http_server_world.h"

static void test_what_two_readers_could_read_in_two_ways_is_refused(void **state)
{
    static const char *const requests[] = {
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: "
        "chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: "
        "x\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +1\r\n\r\na",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1, 1\r\n\r\na",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length:\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h/x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n\tb\r\nY: c\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nX: a\nY: b\r\n\r\n",
        "GET / HTTP/1.1\nHost: h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nX: a\rY: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nX : a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nX: a\x01\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\n: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nX\r\n\r\n",
        "GET /a b HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /  HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /a\x01 HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET a HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.2\r\nHost: h\r\n\r\n",
        "GET /\r\n\r\n",
    };
    const struct app *a = *state;

    for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
        struct buf in = ask(a, requests[i]);
        if (!has(&in, "HTTP/1.1 400 ") && !has(&in, "HTTP/1.0 400 "))
            fail_msg("%s\ngot:\n%.*s", requests[i], STR_ARG(buf_str(&in)));
        buf_release(&in);
    }
    assert_int_equal(a->begun, 0);
}

static void test_a_nul_in_a_head_is_refused(void **state)
{
    static const char in_field[] = "GET / HTTP/1.1\r\nHost: h\r\nX: a\0b\r\n\r\n";
    static const char in_target[] = "GET /a\0b HTTP/1.1\r\nHost: h\r\n\r\n";
    const struct str requests[] = { { in_field, sizeof in_field - 1 },
                                    { in_target, sizeof in_target - 1 } };

    for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
        struct buf in = ask_n(*state, requests[i].p, requests[i].len);
        assert_true(has(&in, " 400 "));
        buf_release(&in);
    }
}

static void ask_with_headers(const struct app *a, int count, size_t value_len, const char *wanted)
{
    struct buf request = BUF_INIT(TEXT_MAX);

    buf_add_c(&request, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n");
    for (int i = 2; i < count; i++) {
        buf_addf(&request, "X-%d: ", i);
        for (size_t n = 0; n < value_len; n++)
            buf_add_char(&request, 'v');
        buf_add_c(&request, "\r\n");
    }
    buf_add_c(&request, "\r\n");
    struct buf in = ask_n(a, request.p, request.len);
    if (!has(&in, wanted))
        fail_msg("%d headers of %zu: %.*s", count, value_len, STR_ARG(buf_str(&in)));
    buf_release(&in);
    buf_release(&request);
}

static void test_a_large_head_is_refused(void **state)
{
    struct buf request = BUF_INIT(TEXT_MAX);

    ask_with_headers(*state, HTTP_HEADERS_MAX, 1, "HTTP/1.1 200 ");
    ask_with_headers(*state, HTTP_HEADERS_MAX + 1, 1, "\"code\":431");
    ask_with_headers(*state, 3, HTTP_HEAD_BYTES_MAX - 100, "HTTP/1.1 200 ");
    ask_with_headers(*state, 3, HTTP_HEAD_BYTES_MAX, "\"code\":431");
    ask_with_headers(*state, 3, 1000000, "HTTP/1.1 431 ");
    buf_add_c(&request, "GET /");
    for (int i = 0; i < 20000; i++)
        buf_add_char(&request, 'p');
    buf_add_c(&request, " HTTP/1.1\r\nHost: h\r\n\r\n");
    struct buf in = ask_n(*state, request.p, request.len);
    assert_true(has(&in, "\"code\":414"));
    buf_release(&in);
    buf_release(&request);
}

static void test_a_header_of_an_answer_cannot_be_split(void **state)
{
    struct buf in = ask(*state, "GET /echo HTTP/1.1\r\n" CLOSE "\r\n");

    assert_true(has(&in, "\r\nX-Good: yes\r\n"));
    assert_false(has(&in, "X-B") || has(&in, "Set-Cookie"));
    buf_release(&in);
}

static void test_slow_heads_and_idle_connections_are_closed(void **state)
{
    struct app a;
    struct buf in = BUF_INIT(TEXT_MAX);

    (void)state;
    app_start(&a, &(struct http_settings){ .listen = "127.0.0.1:0", .head_s = 1, .idle_s = 1 });
    int slow = dial(&a), idle = dial(&a);
    assert_true(say(idle, "GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
    assert_true(hear_until(idle, &in, "base="));
    assert_true(say(slow, "GET / HTTP/1.1\r\nHost: h\r\n"));
    for (int i = 0; i < 40 && say(slow, "X: a\r\n"); i++) /* never idle, never done */
        clock_system()->sleep_ns(clock_system(), 100 * NS_PER_MS);
    (void)close(slow);
    buf_clear(&in);
    assert_false(hear_until(idle, &in, "never"));
    (void)close(idle);
    slow = dial(&a);
    assert_true(say(slow, "GET / HTTP/1.1\r\n"));
    buf_release(&in);
    in = hear_all(slow);
    assert_true(has(&in, "408 Request Timeout") || in.len == 0); /* idle and head end together */
    buf_release(&in);
    app_stop(&a);
}

static void test_a_gzip_body_is_undone_and_a_bomb_refused(void **state)
{
    static char zeros[8 * BODY_MAX];
    unsigned char packed[1024];
    struct buf request = BUF_INIT(TEXT_MAX), in;

    for (int bomb = 0; bomb < 2; bomb++) {
        z_stream z = { 0 };
        memset(zeros, 'z', sizeof zeros);
        assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
        z.next_in = (Bytef *)zeros;
        z.avail_in = bomb ? BODY_MAX + 1 : BODY_MAX;
        z.next_out = packed;
        z.avail_out = sizeof packed;
        assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
        (void)deflateEnd(&z);
        buf_clear(&request);
        buf_addf(&request,
                 "POST /echo HTTP/1.1\r\n" CLOSE "Content-Encoding: gzip\r\n"
                 "Content-Length: %lu\r\n\r\n",
                 z.total_out);
        buf_add(&request, packed, z.total_out);
        in = ask_n(*state, request.p, request.len);
        if (bomb)
            assert_true(has(&in, "\"code\":413"));
        else
            assert_true(str_ends(buf_str(&in), (struct str){ zeros, BODY_MAX }));
        buf_release(&in);
    }
    buf_release(&request);
    expect(*state,
           "POST /echo HTTP/1.1\r\n" CLOSE "Content-Encoding: gzip\r\n"
           "Content-Length: 4\r\n\r\nnope",
           "\"code\":400");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SERVER(test_what_two_readers_could_read_in_two_ways_is_refused),
        WITH_SERVER(test_a_nul_in_a_head_is_refused),
        WITH_SERVER(test_a_large_head_is_refused),
        WITH_SERVER(test_a_header_of_an_answer_cannot_be_split),
        cmocka_unit_test(test_slow_heads_and_idle_connections_are_closed),
        WITH_SERVER(test_a_gzip_body_is_undone_and_a_bomb_refused),
    };

    log_setup(LOG_ERROR, LOG_TEXT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
