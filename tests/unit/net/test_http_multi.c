/* Many requests at once against a real server on the loopback address: a thread a connection, and for
 * each path one behaviour, good or bad. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <zlib.h>

#include "base/clock.h"
#include "net/http_client.h"
#include "net/http_multi.h"
#include "net/http_server.h"
#include "scratch.h"

#define REQUEST_BYTES_MAX ((size_t)40 * 1024 * 1024)
#define URL_BYTES 256
#define SLOW_BYTES ((size_t)512 * 1024)
#define LONG_MS 60000 /* ends a test that hangs */

/* ---- The far side ---- */

static struct {
    int listener;
    uint16_t port;
    atomic_uint connections, requests;
    atomic_bool slow; /* it rests between parts of what it reads */
} server;

static void say_bytes(int fd, const void *p, size_t len)
{
    const char *at = p;

    while (len) {
        ssize_t n = send(fd, at, len, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        at += n;
        len -= (size_t)n;
    }
}

static void say(int fd, const char *text)
{
    say_bytes(fd, text, strlen(text));
}

static void reply(int fd, const char *status, const char *header, struct str body)
{
    char head[512];

    (void)snprintf(head, sizeof head, "HTTP/1.1 %s\r\nContent-Length: %zu\r\n%s\r\n", status,
                   body.len, header);
    say(fd, head);
    say_bytes(fd, body.p, body.len);
}

static void rest_ms(uint64_t ms)
{
    struct clock *clock = clock_system();

    clock->sleep_ns(clock, ms * NS_PER_MS);
}

/* One request; *body is where its body begins. False: the client left. */
static bool hear(int fd, struct buf *b, struct str *body)
{
    size_t wanted = SIZE_MAX, head = 0, rested = 0;

    buf_clear(b);
    while (b->len < wanted) {
        char part[16384];
        ssize_t n = recv(fd, part, sizeof part, 0);
        if (n <= 0)
            return false;
        buf_add(b, part, (size_t)n);
        for (; atomic_load(&server.slow) && rested < b->len; rested += SLOW_BYTES)
            rest_ms(20);
        const char *end = wanted == SIZE_MAX ? strstr(b->p, "\r\n\r\n") : NULL;
        if (!end)
            continue;
        const char *len = strstr(b->p, "Content-Length: ");
        head = (size_t)(end + 4 - b->p);
        wanted = head + (len ? strtoul(len + 16, NULL, 10) : 0);
    }
    *body = (struct str){ b->p + head, wanted - head };
    return true;
}

/* A behaviour; false: the connection is closed after it. */
struct heard {
    int fd;
    unsigned no; /* of the connection's requests, from 0 */
    struct str all, body;
};

static bool do_echo(const struct heard *h)
{
    reply(h->fd, "200 OK", "Content-Type: text/plain\r\n", h->body);
    return true;
}

static bool do_whole(const struct heard *h)
{
    reply(h->fd, "200 OK", "", h->all);
    return true;
}

static bool do_later(const struct heard *h)
{
    static atomic_uint seed;

    rest_ms(atomic_fetch_add(&seed, 7) % 5);
    return do_echo(h);
}

static bool do_slow(const struct heard *h)
{
    rest_ms(300);
    return do_echo(h);
}

static bool do_missing(const struct heard *h)
{
    reply(h->fd, "404 Not Found", "X-Why:  it is   not \r\nx-why: second\r\n",
          STR("no such thing"));
    return true;
}

static bool do_cut(const struct heard *h)
{
    say(h->fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this");
    return false;
}

static bool do_cut_chunk(const struct heard *h)
{
    say(h->fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n20\r\nonly this");
    return false;
}

static bool do_bad_chunk(const struct heard *h)
{
    say(h->fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nonly this\r\n0\r\n\r\n");
    return true;
}

static bool do_cut_head(const struct heard *h)
{
    say(h->fd, "HTTP/1.1 200 OK\r\nContent-Le");
    return false;
}

static bool do_only_continue(const struct heard *h)
{
    say(h->fd, "HTTP/1.1 100 Continue\r\n\r\n");
    return false;
}

static bool do_close(const struct heard *h)
{
    (void)h;
    return false;
}

static bool do_abort(const struct heard *h)
{
    struct linger hard = { .l_onoff = 1, .l_linger = 0 };

    say(h->fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this");
    rest_ms(20);
    (void)setsockopt(h->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    return false;
}

static bool do_garbage(const struct heard *h)
{
    say(h->fd, "220 mail.example.org ESMTP ready\r\n");
    return false;
}

static bool do_odd_status(const struct heard *h)
{
    say(h->fd, "HTTP/1.1 fine and good\r\nContent-Length: 0\r\n\r\n");
    return false;
}

static bool do_more(const struct heard *h)
{
    say(h->fd, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfour and more");
    return true;
}

static bool do_continue(const struct heard *h)
{
    say(h->fd, "HTTP/1.1 100 Continue\r\nX-Early: 1\r\n\r\n");
    return do_echo(h);
}

static bool do_old(const struct heard *h)
{
    say(h->fd, "HTTP/1.0 200 OK\r\nX-Old: 1\r\n\r\nuntil the end");
    return false;
}

/* The second request of a connection finds it closed. */
static bool do_once(const struct heard *h)
{
    return h->no == 0 && do_echo(h);
}

static bool do_silent(const struct heard *h)
{
    (void)h;
    return true;
}

static bool do_stall(const struct heard *h)
{
    say(h->fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this");
    return true;
}

static bool do_drip(const struct heard *h)
{
    say(h->fd, "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n");
    for (int i = 0; i < 20; i++) {
        rest_ms(50);
        say(h->fd, "x");
    }
    return true;
}

/* A head whose lines, as they are kept, have as many bytes as the request's body says. */
static bool do_head(const struct heard *h)
{
    size_t left = strtoul(h->body.p, NULL, 10) - strlen("content-length: 0\n");
    struct buf out = BUF_INIT(REQUEST_BYTES_MAX);

    buf_add_c(&out, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n");
    while (left) {
        size_t line = left < 2000 ? left : 1000;
        buf_add_c(&out, "x: ");
        for (size_t i = 0; i < line - 4; i++)
            buf_add_char(&out, 'v');
        buf_add_c(&out, "\r\n");
        left -= line;
    }
    buf_add_c(&out, "\r\n");
    say_bytes(h->fd, out.p, out.len);
    buf_release(&out);
    return true;
}

static bool do_long_line(const struct heard *h)
{
    char part[1000];

    memset(part, 'v', sizeof part);
    say(h->fd, "HTTP/1.1 200 OK\r\nx: ");
    for (int i = 0; i < 200; i++)
        say_bytes(h->fd, part, sizeof part);
    return false;
}

/* A megabyte in a few bytes. */
static bool do_packed(const struct heard *h)
{
    static unsigned char plain[1024 * 1024], packed[64 * 1024];
    z_stream z = {
        .next_in = plain, .avail_in = sizeof plain, .next_out = packed, .avail_out = sizeof packed
    };

    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    reply(h->fd, "200 OK", "Content-Encoding: gzip\r\n",
          (struct str){ (char *)packed, (size_t)z.total_out });
    (void)deflateEnd(&z);
    return true;
}

static const struct {
    const char *path;
    bool (*act)(const struct heard *h);
} acts[] = {
    { "/echo", do_echo },
    { "/whole", do_whole },
    { "/later", do_later },
    { "/slow", do_slow },
    { "/missing", do_missing },
    { "/cut", do_cut },
    { "/cut-chunk", do_cut_chunk },
    { "/bad-chunk", do_bad_chunk },
    { "/cut-head", do_cut_head },
    { "/only-continue", do_only_continue },
    { "/close", do_close },
    { "/abort", do_abort },
    { "/garbage", do_garbage },
    { "/odd-status", do_odd_status },
    { "/more", do_more },
    { "/continue", do_continue },
    { "/old", do_old },
    { "/once", do_once },
    { "/silent", do_silent },
    { "/stall", do_stall },
    { "/drip", do_drip },
    { "/head", do_head },
    { "/long-line", do_long_line },
    { "/packed", do_packed },
};

static bool act(const struct heard *h)
{
    const char *at = strchr(h->all.p, ' ') + 1;
    const char *host = strncmp(at, "http://", 7) == 0 ? strchr(at + 7, '/') : at; /* a proxy's */
    struct str path = { host, strcspn(host, " ?") };

    for (size_t i = 0; i < sizeof acts / sizeof acts[0]; i++)
        if (str_eq_c(path, acts[i].path))
            return acts[i].act(h);
    return do_missing(h);
}

static void *serve_one(void *arg)
{
    struct buf b = BUF_INIT(REQUEST_BYTES_MAX);
    struct heard h = { .fd = (int)(intptr_t)arg };

    while (hear(h.fd, &b, &h.body)) {
        h.all = buf_str(&b);
        atomic_fetch_add(&server.requests, 1);
        if (!act(&h))
            break;
        h.no++;
    }
    (void)close(h.fd);
    buf_release(&b);
    return NULL;
}

static void *serve(void *arg)
{
    (void)arg;
    for (;;) {
        pthread_t one;
        int fd = accept(server.listener, NULL, NULL);
        if (fd < 0)
            return NULL;
        atomic_fetch_add(&server.connections, 1);
        if (pthread_create(&one, NULL, serve_one, (void *)(intptr_t)fd) == 0)
            (void)pthread_detach(one);
    }
}

static int server_start(void **state)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof a;
    struct error e = { 0 };
    pthread_t thread;

    (void)state;
    assert_int_equal(http_client_init(&e), 0);
    server.listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(server.listener, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(server.listener, 512), 0);
    assert_int_equal(getsockname(server.listener, (struct sockaddr *)&a, &len), 0);
    server.port = ntohs(a.sin_port);
    assert_int_equal(pthread_create(&thread, NULL, serve, NULL), 0);
    (void)pthread_detach(thread);
    return 0;
}

/* ---- Asking ---- */

static const char *url(const char *host, const char *path)
{
    static char text[URL_BYTES];

    (void)snprintf(text, sizeof text, "http://%s:%u%s", host, server.port, path);
    return text;
}

static struct http_multi *multi_new(uint32_t connections)
{
    struct error e = { 0 };
    struct http_multi *m = http_multi_new(connections, &e);

    if (!m)
        fail_msg("%s", e.msg);
    return m;
}

static const struct http_site plain_site;

static struct http_ask post(const char *path)
{
    return (struct http_ask){
        .site = &plain_site,
        .method = "POST",
        .url = url("127.0.0.1", path),
        .body = STR("the question"),
        .timeout_ms = LONG_MS,
        .body_max = 64 * 1024,
    };
}

static void start(struct http_multi *m, const struct http_ask *ask)
{
    struct error e = { 0 };

    if (http_multi_start(m, ask, &e) < 0)
        fail_msg("%s: %s", ask->url, e.msg);
}

static void finish(struct http_multi *m, struct http_done *d)
{
    struct error e = { 0 };

    assert_int_equal(http_multi_poll(m, LONG_MS, d, &e), 1);
}

static void ask_one(struct http_multi *m, const struct http_ask *ask, struct http_done *d)
{
    start(m, ask);
    finish(m, d);
    assert_int_equal(http_multi_open(m), 0);
}

static void assert_good(const struct http_done *d, struct str body)
{
    if (d->error.code != ERROR_OK)
        fail_msg("%s", d->error.msg);
    assert_int_equal(d->status, 200);
    assert_true(d->sent);
    assert_true(str_eq(d->body, body));
}

static bool has(struct str s, const char *text)
{
    return str_find(s, str_of(text)) != SIZE_MAX;
}

static void assert_none_left(struct http_multi *m)
{
    struct http_done d;
    struct error e = { 0 };

    assert_int_equal(http_multi_open(m), 0);
    assert_int_equal(http_multi_poll(m, 0, &d, &e), 0);
}

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
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
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
    const struct http_site site = { .header = typed };
    struct http_multi *m = multi_new(1);
    struct http_ask with = post("/whole"), without = post("/whole");
    struct http_done d;

    (void)state;
    with.site = &site;
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
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
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
    const struct http_site site = { .idle_ms = 900 };
    struct http_multi *m = multi_new(1);
    struct http_ask ask = post("/drip");
    struct http_done d;

    (void)state;
    ask.site = &site;
    ask_one(m, &ask, &d);
    assert_good(&d, STR("xxxxxxxxxxxxxxxxxxxx"));
    http_multi_free(m);
}

static void test_a_request_that_waits_for_a_connection_is_not_silent(void **state)
{
    enum { REQUESTS = 6 };
    const struct http_site site = { .idle_ms = 1200, .connect_ms = 1200 };
    struct http_multi *m = multi_new(1);
    struct http_ask ask = post("/slow");
    struct http_done d;

    (void)state;
    ask.site = &site;
    for (int i = 0; i < REQUESTS; i++)
        start(m, &ask);
    assert_int_equal(http_multi_open(m), REQUESTS);
    for (int i = 0; i < REQUESTS; i++) {
        finish(m, &d);
        assert_good(&d, ask.body);
    }
    http_multi_free(m);
}

/* Sending takes longer than the server may be silent. */
static void test_a_request_that_is_still_being_sent_is_not_silent(void **state)
{
    const struct http_site site = { .idle_ms = 1000 };
    struct http_multi *m = multi_new(1);
    struct http_ask ask = post("/missing");
    char *bytes = mem_alloc(64 * SLOW_BYTES);
    struct http_done d;

    (void)state;
    ask.site = &site;
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
    for (size_t i = 0; i < 2 * sizeof cases / sizeof cases[0]; i++) {
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

static void test_what_never_reached_the_far_side_says_so(void **state)
{
    static const struct {
        const char *url, *message;
    } cases[] = {
        { "http://127.0.0.1:1/", "127.0.0.1:1: connection refused" },
        { "http://no-such-host.invalid/v1", "no-such-host.invalid:80: the name does not resolve" },
    };
    struct http_multi *m = multi_new(4);

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
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
    const struct http_site site = { .idle_ms = 100 };
    struct http_multi *m = multi_new(4);
    struct http_ask ask = post("/stall");
    struct http_done d;

    (void)state;
    ask.site = &site;
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
    const struct http_site site = { .connect_ms = 100, .proxy = "" };
    struct http_multi *m = multi_new(4);
    struct http_ask ask = post("/");
    struct http_done d;

    (void)state;
    ask.site = &site;
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
    for (size_t i = 0; i < sizeof urls / sizeof urls[0] + 1; i++) {
        struct error e = { 0 };
        bool header = i == sizeof urls / sizeof urls[0];
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
    assert_int_equal(http_multi_open(m), HTTP_MULTI_OPEN_MAX);
    finish(m, &d);
    start(m, &ask);
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
    assert_int_equal(http_multi_open(m), 1);
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
    struct http_site site = { .idle_ms = LONG_MS };
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
        ask.site = &site;
        ask_one(m, &ask, &d);
        assert_int_equal(d.error.code, ERROR_FAILED_PRECONDITION);
        assert_non_null(strstr(d.error.msg, "certificate"));
        assert_false(d.sent);
        site.ca_file = cert;
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
    struct http_site site = { 0 };
    struct http_multi *m = multi_new(4);
    struct http_ask ask = post("/whole");
    char proxy[URL_BYTES], direct[URL_BYTES];
    struct http_done d;

    (void)state;
    (void)snprintf(proxy, sizeof proxy, "%s", url("127.0.0.1", ""));
    (void)snprintf(direct, sizeof direct, "%s", url("127.0.0.1", "/whole"));
    assert_int_equal(setenv("http_proxy", proxy, 1), 0);
    ask.site = &site;
    ask.url = direct;
    ask_one(m, &ask, &d);
    assert_true(str_starts(d.body, STR("POST /whole ")));
    ask.url = "http://no-such-host.invalid/whole";
    ask_one(m, &ask, &d); /* the environment's proxy answers */
    assert_true(str_starts(d.body, STR("POST http://no-such-host.invalid/whole ")));
    assert_int_equal(unsetenv("http_proxy"), 0);
    site.proxy = proxy;
    ask.url = direct;
    ask_one(m, &ask, &d);
    assert_true(str_starts(d.body, STR("POST http://127.0.0.1:")));
    site.proxy = "";
    ask_one(m, &ask, &d);
    assert_true(str_starts(d.body, STR("POST /whole ")));
    site.proxy = "http://127.0.0.1:1";
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
        cmocka_unit_test(test_each_failure_is_told_once_with_its_cause),
        cmocka_unit_test(test_what_never_reached_the_far_side_says_so),
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
        cmocka_unit_test(test_a_poll_without_news_ends_by_itself),
        cmocka_unit_test(test_another_thread_wakes_a_poll),
        cmocka_unit_test(test_wakes_before_a_poll_end_one_poll),
        cmocka_unit_test(test_a_multi_may_be_freed_while_requests_are_open),
        cmocka_unit_test(test_only_a_trusted_certificate_is_talked_to),
        cmocka_unit_test(test_a_proxy_is_used_for_this_machine_only_when_it_is_set),
    };

    return cmocka_run_group_tests(tests, server_start, NULL);
}
