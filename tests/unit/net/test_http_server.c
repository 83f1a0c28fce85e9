/* The HTTP server: what comes in is whole, checked and within limits; what goes out arrives.
 * Method: raw sockets on the loopback address; the path of a request chooses what the handler does. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include <cmocka.h>
#include <curl/curl.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metric.h"
#include "net/http_server.h"
#include "scratch.h"

#define TEXT_MAX ((size_t)64 * 1024 * 1024)
#define WAIT_MS 10000
#define BODY_MAX 4096
#define SINK_MAX ((uint64_t)3000000) /* bytes after which the sink of /sink fails */
#define JSON "application/json"

/* ---- The service under test ---- */

struct seen { /* what the last call to /sink was */
    uint64_t bytes;
    bool complete, failed;
    enum error_code code;
};
struct app {
    struct http_server *server;
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t changed;
    struct seen sink;
    unsigned handled, ended, begun;
    bool open; /* /wait goes on */
    struct http_call *later;
    struct http_stream *stream;
    uint64_t sink_bytes;
};

static int sink_write(void *arg, const void *p, size_t len, struct error *e)
{
    struct app *a = arg;

    (void)p;
    a->sink_bytes += len;
    if (a->sink_bytes > SINK_MAX)
        return error_set(e, ERROR_RESOURCE_EXHAUSTED, "the disk is full");
    return 0;
}

static enum http_next begin(void *arg, struct http_call *c)
{
    struct app *a = arg;
    const struct http_sink sink = { sink_write, a };

    (void)pthread_mutex_lock(&a->lock);
    a->begun++;
    (void)pthread_mutex_unlock(&a->lock);
    http_attach(c, a);
    if (str_eq_c(http_path(c), "/deny")) {
        http_reply(c, 403, NULL, NULL);
        return HTTP_REPLIED;
    }
    if (str_eq_c(http_path(c), "/sink")) {
        a->sink_bytes = 0;
        http_set_sink(c, &sink);
        return HTTP_SINK;
    }
    http_set_keep_max(c, BODY_MAX);
    return HTTP_KEEP;
}

static void reply_text(struct http_call *c, const char *type, struct str text)
{
    struct buf body = BUF_INIT(TEXT_MAX);

    buf_add_str(&body, text);
    http_reply(c, 200, type, &body);
    assert_int_equal(body.len, 0);
}

static void on_echo(struct app *a, struct http_call *c)
{
    (void)a;
    http_set_header(c, "X-Good", STR("yes"));
    http_set_header(c, "X-Bad", STR("a\r\nSet-Cookie: b"));
    http_set_header(c, "X-B\nad", STR("a"));
    reply_text(c, "text/plain", http_body(c));
}

static void on_facts(struct app *a, struct http_call *c)
{
    struct buf out = BUF_INIT(TEXT_MAX);
    struct str q = STR("none");

    (void)a;
    (void)http_query(c, "$q", &q);
    buf_addf(&out, "method=%d path=%.*s query=%.*s q=%.*s h=[%.*s] remote=%.*s base=%.*s",
             (int)http_method(c), STR_ARG(http_path(c)), STR_ARG(http_query_text(c)), STR_ARG(q),
             STR_ARG(http_header(c, "x-ONE")), STR_ARG(http_remote(c)), STR_ARG(http_base_url(c)));
    http_reply(c, 200, "text/plain", &out);
}

static void on_sink(struct app *a, struct http_call *c)
{
    const struct error *e = http_body_error(c);

    (void)pthread_mutex_lock(&a->lock);
    a->sink = (struct seen){ http_body_bytes(c), http_body_complete(c), e != NULL,
                             e ? e->code : ERROR_OK };
    (void)pthread_mutex_unlock(&a->lock);
    if (e)
        http_reply(c, error_http(e->code), NULL, NULL);
    else
        http_reply(c, 200, NULL, NULL);
}

static void on_json(struct app *a, struct http_call *c)
{
    struct buf out = BUF_INIT(TEXT_MAX);

    (void)a;
    buf_add_c(&out, "[0");
    for (int i = 0; i < 3000; i++)
        buf_add_c(&out, ",1");
    buf_add_c(&out, "]");
    http_reply(c, 200, JSON, &out);
}

static void on_file(struct app *a, struct http_call *c)
{
    char path[] = "/tmp/test_http_XXXXXX";
    int fd = mkstemp(path);

    (void)a;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "0123456789", 10), 10);
    assert_int_equal(unlink(path), 0);
    http_reply_file(c, 206, "text/plain", fd, 3, 4);
}

static int64_t count_down(void *arg, char *p, size_t cap)
{
    int *left = arg;

    assert_true(cap > 0);
    if (*left == 0)
        return 0;
    *p = (char)('0' + (*left)--);
    return 1;
}

static void on_source(struct app *a, struct http_call *c)
{
    int *left = malloc(sizeof *left);

    (void)a;
    *left = 5;
    http_reply_source(c, 200, "text/plain", &(struct http_source){ count_down, free, left });
}

static void on_wait(struct app *a, struct http_call *c)
{
    (void)pthread_mutex_lock(&a->lock);
    while (!a->open)
        (void)pthread_cond_wait(&a->changed, &a->lock);
    (void)pthread_mutex_unlock(&a->lock);
    reply_text(c, "text/plain", STR("waited"));
}

static void on_later(struct app *a, struct http_call *c)
{
    (void)pthread_mutex_lock(&a->lock);
    a->later = c;
    (void)pthread_cond_broadcast(&a->changed);
    (void)pthread_mutex_unlock(&a->lock);
}

static void on_stream(struct app *a, struct http_call *c)
{
    struct http_stream *s = http_reply_stream(c, 200, "text/event-stream");

    (void)pthread_mutex_lock(&a->lock);
    a->stream = s;
    (void)pthread_cond_broadcast(&a->changed);
    (void)pthread_mutex_unlock(&a->lock);
}

static const struct {
    const char *path;
    void (*handle)(struct app *a, struct http_call *c);
} routes[] = {
    { "/echo", on_echo },   { "/sink", on_sink },     { "/json", on_json },
    { "/file", on_file },   { "/source", on_source }, { "/wait", on_wait },
    { "/later", on_later }, { "/stream", on_stream },
};

static void handle(void *arg, struct http_call *c)
{
    struct app *a = arg;
    size_t i = 0;

    while (i < sizeof routes / sizeof routes[0] && !str_eq_c(http_path(c), routes[i].path))
        i++;
    if (i < sizeof routes / sizeof routes[0])
        routes[i].handle(a, c);
    else
        on_facts(a, c);
    (void)pthread_mutex_lock(&a->lock);
    a->handled++;
    (void)pthread_cond_broadcast(&a->changed);
    (void)pthread_mutex_unlock(&a->lock);
}

static void end(void *arg, struct http_call *c)
{
    struct app *a = arg;

    assert_ptr_equal(http_attached(c), a);
    (void)pthread_mutex_lock(&a->lock);
    a->ended++;
    (void)pthread_cond_broadcast(&a->changed);
    (void)pthread_mutex_unlock(&a->lock);
}

static void app_start(struct app *a, const struct http_settings *set)
{
    const struct http_handlers h = { begin, handle, end, a };
    struct error e = { 0 };

    memset(a, 0, sizeof *a);
    (void)pthread_mutex_init(&a->lock, NULL);
    (void)pthread_cond_init(&a->changed, NULL);
    a->server = http_server_start(set, &h, &e);
    if (!a->server)
        fail_msg("%s", e.msg);
}

static void app_stop(struct app *a)
{
    http_server_free(a->server, 2000);
    assert_int_equal(a->ended, a->begun); /* every call ends, however it went */
}

static void await_handled(struct app *a, unsigned n)
{
    (void)pthread_mutex_lock(&a->lock);
    while (a->handled < n)
        (void)pthread_cond_wait(&a->changed, &a->lock);
    (void)pthread_mutex_unlock(&a->lock);
}

static int setup(void **state)
{
    struct app *a = malloc(sizeof *a);

    app_start(a, &(struct http_settings){ .listen = "127.0.0.1:0" });
    *state = a;
    return 0;
}

static int teardown(void **state)
{
    app_stop(*state);
    free(*state);
    return 0;
}

/* ---- The client ---- */

static int dial(const struct app *a)
{
    struct sockaddr_in sa = { .sin_family = AF_INET,
                              .sin_port = htons(http_server_port(a->server)) };
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (const struct sockaddr *)&sa, sizeof sa), 0);
    return fd;
}

static bool say_n(int fd, const char *p, size_t len)
{
    while (len) {
        ssize_t n = send(fd, p, len, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        p += n;
        len -= (size_t)n;
    }
    return true;
}

static bool say(int fd, const char *text)
{
    return say_n(fd, text, strlen(text));
}

/* Reads until text came; false at the end of the connection or when it takes too long. */
static bool hear_until(int fd, struct buf *in, const char *text)
{
    char piece[4096];

    while (!text || str_find(buf_str(in), str_of(text)) == SIZE_MAX) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        if (poll(&p, 1, WAIT_MS) != 1)
            fail_msg("no more after: %.*s", STR_ARG(buf_str(in)));
        ssize_t n = recv(fd, piece, sizeof piece, 0);
        if (n <= 0)
            return false;
        buf_add(in, piece, (size_t)n);
    }
    return true;
}

static struct buf hear_all(int fd)
{
    struct buf in = BUF_INIT(TEXT_MAX);

    (void)hear_until(fd, &in, NULL);
    (void)close(fd);
    buf_add(&in, "", 0);
    return in;
}

/* One request on a connection of its own: the whole answer. */
static struct buf ask_n(const struct app *a, const char *p, size_t len)
{
    int fd = dial(a);

    (void)say_n(fd, p, len);
    return hear_all(fd);
}

static struct buf ask(const struct app *a, const char *text)
{
    return ask_n(a, text, strlen(text));
}

static bool has(const struct buf *b, const char *text)
{
    return str_find(buf_str(b), str_of(text)) != SIZE_MAX;
}

static void expect(const struct app *a, const char *request, const char *wanted)
{
    struct buf in = ask(a, request);

    if (!has(&in, wanted))
        fail_msg("%s\nwanted %s, got:\n%.*s", request, wanted, STR_ARG(buf_str(&in)));
    buf_release(&in);
}

#define CLOSE "Host: h:1\r\nConnection: close\r\n"

/* ---- Requests ---- */

static void test_a_request_is_seen_as_it_was_sent(void **state)
{
    struct buf in = ask(*state, "GET /a%2Fb//c?x=1&%24q=old&%24q=%C3%A9+%26 HTTP/1.1\r\n" CLOSE
                                "X-One:  two words \r\n\r\n");

    assert_true(has(&in, "HTTP/1.1 200 OK\r\n"));
    assert_true(has(&in, "\r\nContent-Type: text/plain\r\n"));
    assert_true(has(&in, "method=0 path=/a%2Fb//c query=x=1&%24q=old&%24q=%C3%A9+%26 q=\xC3\xA9 & "
                         "h=[two words] remote=127.0.0.1 base=http://h:1"));
    buf_release(&in);
    expect(*state, "PATCH http://h/p?q HTTP/1.1\r\n" CLOSE "\r\n", "method=4 path=/p query=q");
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

/* ---- Attacks ---- */

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

    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
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

    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
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

static struct http_stream *open_stream(struct app *a, int *fd, struct buf *in)
{
    unsigned before = a->handled; /* nothing is under way */

    *fd = dial(a);
    assert_true(say(*fd, "GET /stream HTTP/1.1\r\nHost: h\r\n\r\n"));
    await_handled(a, before + 1);
    assert_true(http_stream_write(a->stream, "data: 1\n\n", 9));
    assert_true(hear_until(*fd, in, "data: 1\n\n"));
    return a->stream;
}

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

/* ---- Limits and the end ---- */

static void test_when_the_queue_is_full_calls_are_refused(void **state)
{
    struct app a;
    int waiting[2];
    struct buf in;

    (void)state;
    app_start(&a, &(struct http_settings){ .listen = "127.0.0.1:0", .workers = 1, .queue_max = 1 });
    for (int i = 0; i < 2; i++) {
        waiting[i] = dial(&a);
        assert_true(say(waiting[i], "GET /wait HTTP/1.1\r\n" CLOSE "\r\n"));
        clock_system()->sleep_ns(clock_system(), 200 * NS_PER_MS);
    }
    in = ask(&a, "GET /wait HTTP/1.1\r\n" CLOSE "\r\n");
    assert_true(has(&in, "HTTP/1.1 503 ") && has(&in, "\"status\":\"UNAVAILABLE\"") &&
                has(&in, "Retry-After: 1"));
    buf_release(&in);
    (void)pthread_mutex_lock(&a.lock);
    a.open = true;
    (void)pthread_cond_broadcast(&a.changed);
    (void)pthread_mutex_unlock(&a.lock);
    for (int i = 0; i < 2; i++) {
        in = hear_all(waiting[i]);
        assert_true(str_ends(buf_str(&in), STR("waited")));
        buf_release(&in);
    }
    app_stop(&a);
}

static void *open_gate(void *arg)
{
    struct app *a = arg;

    clock_system()->sleep_ns(clock_system(), 300 * NS_PER_MS);
    (void)pthread_mutex_lock(&a->lock);
    a->open = true;
    (void)pthread_cond_broadcast(&a->changed);
    (void)pthread_mutex_unlock(&a->lock);
    return NULL;
}

static void test_answers_under_way_survive_the_end(void **state)
{
    struct app a;
    pthread_t gate;
    struct buf in;

    (void)state;
    app_start(&a, &(struct http_settings){ .listen = "127.0.0.1:0" });
    int fd = dial(&a);
    assert_true(say(fd, "GET /wait HTTP/1.1\r\nHost: h\r\n\r\n"));
    clock_system()->sleep_ns(clock_system(), 100 * NS_PER_MS);
    http_server_quiesce(a.server);
    int late = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in sa = { .sin_family = AF_INET,
                              .sin_port = htons(http_server_port(a.server)) };
    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(connect(late, (const struct sockaddr *)&sa, sizeof sa) < 0);
    (void)close(late);
    assert_int_equal(pthread_create(&gate, NULL, open_gate, &a), 0);
    app_stop(&a);
    (void)pthread_join(gate, NULL);
    in = hear_all(fd);
    assert_true(str_ends(buf_str(&in), STR("waited")) && has(&in, "Connection: close"));
    buf_release(&in);
}

/* A call whose handler never answered, and a stream: both are hung up on, and an answer after that
 * goes nowhere. */
static void test_the_end_closes_what_does_not_end(void **state)
{
    struct app a;
    struct buf in = BUF_INIT(TEXT_MAX);
    int fd, quiet;

    (void)state;
    app_start(&a, &(struct http_settings){ .listen = "127.0.0.1:0" });
    quiet = dial(&a);
    assert_true(say(quiet, "GET /later HTTP/1.1\r\nHost: h\r\n\r\n"));
    await_handled(&a, 1);
    struct http_stream *s = open_stream(&a, &fd, &in);
    http_server_free(a.server, 100);
    assert_false(hear_until(fd, &in, "never"));
    assert_false(hear_until(quiet, &in, "never"));
    assert_false(http_stream_write(s, "x", 1));
    http_stream_end(s);
    reply_text(a.later, "text/plain", STR("too late"));
    assert_int_equal(a.ended, 2);
    (void)close(fd);
    (void)close(quiet);
    buf_release(&in);
}

static void test_addresses_are_read_strictly(void **state)
{
    static const char *const bad[] = { "",
                                       "127.0.0.1",
                                       "127.0.0.1:",
                                       "[::1]",
                                       "::1:80",
                                       "127.0.0.1:65536",
                                       "a.example:80",
                                       "127.0.0.1:-1",
                                       "[]:80",
                                       ":80",
                                       "127.0.0.1:8x" };
    const struct http_handlers h = { begin, handle, end, NULL };
    struct error e;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_null(http_server_start(&(struct http_settings){ .listen = bad[i] }, &h, &e));
        assert_int_equal(e.code, ERROR_INVALID_ARGUMENT);
        assert_false(http_server_loopback(bad[i]));
    }
    assert_true(http_server_loopback("127.1.2.3:80") && http_server_loopback("[::1]:0") &&
                http_server_loopback("localhost:1"));
    assert_false(http_server_loopback("0.0.0.0:80") || http_server_loopback("[::]:80") ||
                 http_server_loopback("10.0.0.1:80"));
}

static void test_it_listens_on_ipv6_and_by_the_name_localhost(void **state)
{
    static const char *const listen[] = { "[::1]:0", "localhost:0", "0.0.0.0:0" };

    (void)state;
    for (size_t i = 0; i < sizeof listen / sizeof listen[0]; i++) {
        struct app a;
        app_start(&a, &(struct http_settings){ .listen = listen[i] });
        if (i > 0)
            expect(&a, "GET / HTTP/1.1\r\n" CLOSE "\r\n", "remote=127.0.0.1");
        app_stop(&a);
    }
}

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
                     "-subj", "/CN=localhost", "-days", "1", (char *)NULL);
        _exit(127);
    }
    return waitpid(pid, &status, 0) == pid && status == 0;
}

static size_t keep_text(char *p, size_t size, size_t count, void *arg)
{
    buf_add(arg, p, size * count);
    return size * count;
}

static void fetch_by_tls(const struct app *a, struct buf *in)
{
    CURL *curl = curl_easy_init();
    char url[64];

    (void)snprintf(url, sizeof url, "https://127.0.0.1:%u/x", http_server_port(a->server));
    (void)curl_easy_setopt(curl, CURLOPT_URL, url);
    (void)curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
    (void)curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
    (void)curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    (void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, keep_text);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, in);
    assert_int_equal(curl_easy_perform(curl), CURLE_OK);
    curl_easy_cleanup(curl);
}

static void test_tls_is_spoken_with_the_files_given(void **state)
{
    const struct http_handlers h = { begin, handle, end, NULL };
    struct scratch dir;
    struct http_settings set = { .listen = "127.0.0.1:0" };
    char key[SCRATCH_PATH_BYTES], cert[SCRATCH_PATH_BYTES];
    struct buf in = BUF_INIT(TEXT_MAX);
    struct error e;
    struct app a;

    (void)state;
    scratch_make(&dir);
    set.tls_key = scratch_path(&dir, "key.pem", key);
    assert_null(http_server_start(&set, &h, &e)); /* a key alone */
    set.tls_cert = scratch_path(&dir, "cert.pem", cert);
    assert_null(http_server_start(&set, &h, &e)); /* no such files */
    assert_int_equal(e.code, ERROR_NOT_FOUND);
    if (make_certificate(key, cert)) {
        app_start(&a, &set);
        fetch_by_tls(&a, &in);
        assert_true(has(&in, "path=/x") && has(&in, "base=https://127.0.0.1:"));
        app_stop(&a);
        set.tls_key = cert;
        assert_null(http_server_start(&set, &h, &e)); /* no key in it */
        assert_non_null(strstr(e.msg, "TLS"));
    }
    buf_release(&in);
    scratch_remove(&dir);
}

static void test_connections_of_an_address_have_a_limit(void **state)
{
    struct app a;
    struct buf in = BUF_INIT(TEXT_MAX);
    int fd[3];

    (void)state;
    app_start(&a,
              &(struct http_settings){ .listen = "127.0.0.1:0", .connections_per_address_max = 2 });
    for (int i = 0; i < 3; i++) {
        fd[i] = dial(&a);
        buf_clear(&in);
        bool heard =
            say(fd[i], "GET / HTTP/1.1\r\nHost: h\r\n\r\n") && hear_until(fd[i], &in, "base=");
        assert_int_equal(heard, i < 2);
    }
    for (int i = 0; i < 3; i++)
        (void)close(fd[i]);
    buf_release(&in);
    app_stop(&a);
}

/* One connection waits without an answer until the other one ends. */
static void test_connections_beyond_the_limit_wait(void **state)
{
    struct app a;
    struct buf in = BUF_INIT(TEXT_MAX);

    (void)state;
    app_start(&a, &(struct http_settings){ .listen = "127.0.0.1:0", .connections_max = 1 });
    int first = dial(&a);
    assert_true(say(first, "GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
    assert_true(hear_until(first, &in, "base="));
    int second = dial(&a);
    struct pollfd p = { .fd = second, .events = POLLIN };
    assert_true(say(second, "GET / HTTP/1.1\r\n" CLOSE "\r\n"));
    assert_int_equal(poll(&p, 1, 300), 0);
    (void)close(first);
    buf_release(&in);
    in = hear_all(second);
    assert_true(has(&in, "base="));
    buf_release(&in);
    app_stop(&a);
}

static void test_a_taken_port_is_an_error(void **state)
{
    const struct app *a = *state;
    const struct http_handlers h = { begin, handle, end, NULL };
    char listen[32];
    struct error e;

    (void)snprintf(listen, sizeof listen, "127.0.0.1:%u", http_server_port(a->server));
    assert_null(http_server_start(&(struct http_settings){ .listen = listen }, &h, &e));
    assert_non_null(strstr(e.msg, "in use"));
}

static void test_calls_are_counted(void **state)
{
    struct metric *m =
        metric_counter("tranche_http_requests_total", "HTTP requests that ended", "code=\"403\"");
    uint64_t before = metric_value(m);

    expect(*state, "GET /deny HTTP/1.1\r\n" CLOSE "\r\n", "403");
    for (int i = 0; i < 100 && metric_value(m) == before; i++)
        clock_system()->sleep_ns(clock_system(), 10 * NS_PER_MS);
    assert_int_equal(metric_value(m), before + 1);
}

#define WITH_SERVER(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SERVER(test_a_request_is_seen_as_it_was_sent),
        WITH_SERVER(test_a_body_is_kept_up_to_its_limit_and_refused_beyond),
        WITH_SERVER(test_a_chunked_body_is_put_together),
        WITH_SERVER(test_one_connection_serves_many_calls),
        WITH_SERVER(test_expect_is_answered_before_the_body),
        WITH_SERVER(test_what_two_readers_could_read_in_two_ways_is_refused),
        WITH_SERVER(test_a_nul_in_a_head_is_refused),
        WITH_SERVER(test_a_large_head_is_refused),
        WITH_SERVER(test_a_header_of_an_answer_cannot_be_split),
        cmocka_unit_test(test_slow_heads_and_idle_connections_are_closed),
        WITH_SERVER(test_a_gzip_body_is_undone_and_a_bomb_refused),
        WITH_SERVER(test_a_sink_gets_a_large_body),
        WITH_SERVER(test_the_failure_of_a_sink_is_told_to_the_client),
        WITH_SERVER(test_a_body_that_breaks_off_is_handled_and_goes_nowhere),
        WITH_SERVER(test_json_is_packed_when_the_client_takes_it),
        WITH_SERVER(test_head_has_the_headers_alone),
        WITH_SERVER(test_files_and_sources_are_sent),
        WITH_SERVER(test_an_answer_may_come_later_from_any_thread),
        WITH_SERVER(test_a_stream_arrives_as_it_is_written),
        WITH_SERVER(test_a_quiet_stream_notices_that_its_client_left),
        WITH_SERVER(test_a_client_that_does_not_read_is_cut),
        cmocka_unit_test(test_when_the_queue_is_full_calls_are_refused),
        cmocka_unit_test(test_answers_under_way_survive_the_end),
        cmocka_unit_test(test_the_end_closes_what_does_not_end),
        cmocka_unit_test(test_addresses_are_read_strictly),
        cmocka_unit_test(test_it_listens_on_ipv6_and_by_the_name_localhost),
        cmocka_unit_test(test_tls_is_spoken_with_the_files_given),
        cmocka_unit_test(test_connections_of_an_address_have_a_limit),
        cmocka_unit_test(test_connections_beyond_the_limit_wait),
        WITH_SERVER(test_a_taken_port_is_an_error),
        WITH_SERVER(test_calls_are_counted),
    };

    log_setup(LOG_ERROR, LOG_TEXT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
