/* The client against a real server on the loopback address: a thread a connection, and for each path one
 * behaviour, good or bad. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "net/client/http_client.h"
#include "base/mem.h"
#include "scratch.h"
#include "unit/net/client/hear.h"

#define REQUEST_BYTES_MAX ((size_t)4 * 1024 * 1024)
#define URL_BYTES 256

static struct {
    int listener;
    uint16_t port;
    atomic_uint connections;
} server;

static void say(int fd, const char *text)
{
    size_t len = strlen(text);

    while (len) {
        ssize_t n = send(fd, text, len, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        text += n;
        len -= (size_t)n;
    }
}

static void reply(int fd, const char *status, const char *header, const char *body)
{
    char head[512];

    (void)snprintf(head, sizeof head, "HTTP/1.1 %s\r\nContent-Length: %zu\r\n%s\r\n", status,
                   strlen(body), header);
    say(fd, head);
    say(fd, body);
}

static void *serve_one(void *arg)
{
    int fd = (int)(intptr_t)arg;
    struct buf b = BUF_INIT(REQUEST_BYTES_MAX);

    while (hear(fd, &b)) {
        char path[64] = "";
        const char *at = strchr(b.p, '/');
        (void)snprintf(path, sizeof path, "%.*s", (int)strcspn(at, " ?"), at);
        if (strcmp(path, "/cut") == 0) {
            say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this");
            break;
        }
        if (strcmp(path, "/cut-head") == 0) {
            say(fd, "HTTP/1.1 200 OK\r\nContent-Le");
            break;
        }
        if (strcmp(path, "/garbage") == 0) {
            say(fd, "220 mail.example.org ESMTP ready\r\n");
            break;
        }
        if (strcmp(path, "/reset") == 0)
            break;
        if (strcmp(path, "/silent") == 0)
            continue;
        if (strcmp(path, "/missing") == 0)
            reply(fd, "404 Not Found", "X-Why:  it is   not \r\nx-why: second\r\n",
                  "no such thing");
        else if (strcmp(path, "/away") == 0)
            reply(fd, "302 Found", "Location: /echo\r\n", "go there");
        else if (strcmp(path, "/file") == 0)
            reply(fd, "302 Found", "Location: file:///etc/passwd\r\n", "");
        else if (strcmp(path, "/loop") == 0)
            reply(fd, "302 Found", "Location: /loop\r\n", "");
        else if (strcmp(path, "/head") == 0) {
            say(fd, "HTTP/1.1 200 OK\r\n");
            for (int i = 0; i < 2000; i++)
                say(fd, "X-Filler: 12345678901234567890123456789012345678901234567890\r\n");
            say(fd, "Content-Length: 0\r\n\r\n");
        } else
            reply(fd, "200 OK", "Content-Type: text/plain\r\n", b.p);
    }
    (void)close(fd);
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
    assert_int_equal(listen(server.listener, 64), 0);
    assert_int_equal(getsockname(server.listener, (struct sockaddr *)&a, &len), 0);
    server.port = ntohs(a.sin_port);
    assert_int_equal(pthread_create(&thread, NULL, serve, NULL), 0);
    (void)pthread_detach(thread);
    return 0;
}

static const char *url(const char *host, const char *path)
{
    static char text[URL_BYTES];

    (void)snprintf(text, sizeof text, "http://%s:%u%s", host, server.port, path);
    return text;
}

/* A GET with limits that end a test that hangs. */
static struct http_out get(const char *path)
{
    return (struct http_out){ .method = "GET", .url = url("127.0.0.1", path), .timeout_ms = 20000 };
}

static int do_once(const struct http_out *out, struct http_in *in, struct error *e)
{
    struct http_client *c = http_client_new();
    int rc = http_do(c, out, in, e);

    http_client_free(c);
    return rc;
}

static void assert_fails(const struct http_out *out, enum error_code code)
{
    struct http_in in;
    struct error e = { 0 };

    assert_int_equal(do_once(out, &in, &e), -1);
    if (e.code != code)
        fail_msg("%s: %s, not %s: %s", out->url, error_name(e.code), error_name(code), e.msg);
    assert_true(e.msg[0] != '\0');
    http_in_release(&in);
}

static bool has(const struct http_in *in, const char *text)
{
    return str_find(buf_str(&in->body), str_of(text)) != SIZE_MAX;
}

static void test_requests_share_one_connection(void **state)
{
    struct http_client *c = http_client_new();
    unsigned before = atomic_load(&server.connections);

    (void)state;
    for (int i = 0; i < 20; i++) {
        struct http_out out = get("/echo");
        struct http_in in;
        struct error e = { 0 };
        assert_int_equal(http_do(c, &out, &in, &e), 0);
        assert_int_equal(in.status, 200);
        assert_true(has(&in, "GET /echo HTTP/1.1\r\n"));
        http_in_release(&in);
    }
    assert_int_equal(atomic_load(&server.connections) - before, 1);
    http_client_free(c);
}

static void test_a_status_is_no_error_and_headers_are_found_by_lower_case_name(void **state)
{
    struct http_out out = get("/missing");
    struct http_in in;
    struct error e = { 0 };

    (void)state;
    assert_int_equal(do_once(&out, &in, &e), 0);
    assert_int_equal(in.status, 404);
    assert_true(str_eq(buf_str(&in.body), STR("no such thing")));
    assert_true(str_eq(http_in_header(&in, "x-why"), STR("it is   not")));
    assert_int_equal(http_in_header(&in, "absent").len, 0);
    http_in_release(&in);
}

static void test_methods_bodies_and_headers_arrive_as_given(void **state)
{
    static const char *const header[] = { "Content-Type: application/json", "X-Key: k", NULL };
    static const char *const methods[] = { "POST", "PUT", "PATCH", "DELETE" };

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct http_out out = get("/echo");
        struct http_in in;
        struct error e = { 0 };
        out.method = methods[i];
        out.header = header;
        out.body = STR("{\"a\":1}");
        assert_int_equal(do_once(&out, &in, &e), 0);
        assert_true(str_starts(buf_str(&in.body), str_of(methods[i])));
        assert_true(has(&in, "Content-Type: application/json\r\n") && has(&in, "X-Key: k\r\n"));
        assert_true(has(&in, "Content-Length: 7\r\n") && has(&in, "\r\n\r\n{\"a\":1}"));
        assert_false(has(&in, "Expect"));
        http_in_release(&in);
    }
}

static void test_a_post_without_a_body_says_so(void **state)
{
    struct http_out out = get("/echo");
    struct http_in in;
    struct error e = { 0 };

    (void)state;
    out.method = "POST";
    assert_int_equal(do_once(&out, &in, &e), 0);
    assert_true(has(&in, "Content-Length: 0\r\n"));
    assert_false(has(&in, "Content-Type"));
    http_in_release(&in);
}

static void test_a_part_of_a_file_is_sent(void **state)
{
    struct scratch s;
    char path[SCRATCH_PATH_BYTES];
    struct http_out out = get("/echo");
    struct http_in in;
    struct error e = { 0 };

    (void)state;
    scratch_make(&s);
    scratch_write(&s, "f", "0123456789", 10);
    out.method = "PUT";
    out.has_body_file = true;
    out.body_fd = open(scratch_path(&s, "f", path), O_RDONLY);
    out.body_offset = 3;
    out.body_bytes = 5;
    assert_int_equal(do_once(&out, &in, &e), 0);
    assert_true(has(&in, "Content-Length: 5\r\n") && has(&in, "\r\n\r\n34567"));
    http_in_release(&in);
    out.body_bytes = 100; /* more than the file has */
    assert_fails(&out, ERROR_FAILED_PRECONDITION);
    (void)close(out.body_fd);
    scratch_remove(&s);
}

static int keep(void *arg, const void *p, size_t len, struct error *e)
{
    struct buf *b = arg;

    buf_add(b, p, len);
    return buf_ok(b) ? 0 : error_set(e, ERROR_DATA_LOSS, "the sink is full");
}

static void test_a_good_answer_streams_and_a_bad_one_is_kept(void **state)
{
    struct buf sink = BUF_INIT(4096);
    struct http_out out = get("/echo");
    struct http_in in;
    struct error e = { 0 };

    (void)state;
    out.on_body = keep;
    out.arg = &sink;
    assert_int_equal(do_once(&out, &in, &e), 0);
    assert_true(str_starts(buf_str(&sink), STR("GET /echo")));
    assert_int_equal(in.body.len, 0);
    http_in_release(&in);
    buf_clear(&sink);
    out.url = url("127.0.0.1", "/missing");
    assert_int_equal(do_once(&out, &in, &e), 0);
    assert_int_equal(sink.len, 0);
    assert_true(has(&in, "no such thing"));
    http_in_release(&in);
    sink.max = 3;
    out.url = url("127.0.0.1", "/echo");
    assert_fails(&out, ERROR_DATA_LOSS); /* the sink's own error */
    buf_release(&sink);
}

static void test_a_body_over_its_limit_is_refused(void **state)
{
    struct http_out out = get("/missing");
    struct http_in in;
    struct error e = { 0 };

    (void)state;
    out.body_max = sizeof "no such thing" - 1;
    assert_int_equal(do_once(&out, &in, &e), 0);
    http_in_release(&in);
    out.body_max--;
    assert_fails(&out, ERROR_RESOURCE_EXHAUSTED);
}

static void test_a_head_over_its_limit_is_refused(void **state)
{
    struct http_out out = get("/head");

    (void)state;
    assert_fails(&out, ERROR_RESOURCE_EXHAUSTED);
}

static void test_what_breaks_on_the_way_is_unavailable(void **state)
{
    static const char *const paths[] = { "/reset", "/cut", "/cut-head", "/garbage" };
    static const char *const urls[] = { "http://127.0.0.1:1/", "http://no-such-host.invalid/" };
    struct http_out out = get("/");

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        out.url = url("127.0.0.1", paths[i]);
        assert_fails(&out, ERROR_UNAVAILABLE);
    }
    for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
        out.url = urls[i];
        assert_fails(&out, ERROR_UNAVAILABLE);
    }
}

static void test_a_silent_server_meets_the_deadline(void **state)
{
    struct http_out out = get("/silent");

    (void)state;
    out.timeout_ms = 200;
    assert_fails(&out, ERROR_DEADLINE_EXCEEDED);
}

static void test_stop_ends_a_request_that_waits(void **state)
{
    struct http_out out = get("/silent");
    atomic_bool stop = true;

    (void)state;
    out.stop = &stop;
    assert_fails(&out, ERROR_CANCELLED);
}

static void test_bad_urls_and_headers_are_refused_before_anything_is_sent(void **state)
{
    static const char *const urls[] = { "file:///etc/passwd", "gopher://127.0.0.1/",
                                        "nonsense",           "http://127.0.0.1:99999/",
                                        "http://a b/",        "" };
    static const char *const forged[] = { "X-A: b\r\nX-Evil: c", NULL };
    struct http_out out = get("/echo");

    (void)state;
    out.header = forged;
    assert_fails(&out, ERROR_INVALID_ARGUMENT);
    out.header = NULL;
    for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
        out.url = urls[i];
        assert_fails(&out, ERROR_INVALID_ARGUMENT);
    }
}

static void test_redirects_are_followed_only_on_request_and_only_over_http(void **state)
{
    struct http_out out = get("/away");
    struct http_in in;
    struct error e = { 0 };

    (void)state;
    assert_int_equal(do_once(&out, &in, &e), 0);
    assert_int_equal(in.status, 302);
    http_in_release(&in);
    out.follow = true;
    assert_int_equal(do_once(&out, &in, &e), 0);
    assert_int_equal(in.status, 200);
    assert_true(str_starts(buf_str(&in.body), STR("GET /echo"))); /* nothing of the first answer */
    assert_int_equal(http_in_header(&in, "location").len, 0);
    http_in_release(&in);
    out.url = url("127.0.0.1", "/loop");
    assert_fails(&out, ERROR_FAILED_PRECONDITION);
    out.url = url("127.0.0.1", "/file");
    assert_fails(&out, ERROR_INVALID_ARGUMENT);
}

/* The address decides, however it is written: numbers that only a resolver understands, a name. */
static void test_the_guard_refuses_this_machine_under_every_name(void **state)
{
    static const char *const hosts[] = { "127.0.0.1",  "localhost",
                                         "2130706433", "0x7f.1",
                                         "127.1",      "0.0.0.0",
                                         "[::1]",      "[::ffff:127.0.0.1]" };
    unsigned before = atomic_load(&server.connections);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
        struct http_out out = get("/echo");
        out.url = url(hosts[i], "/echo");
        out.guard = true;
        assert_fails(&out, ERROR_PERMISSION_DENIED);
    }
    assert_int_equal(atomic_load(&server.connections), before);
}

static void test_the_guard_allows_what_is_listed_and_follows_no_redirect(void **state)
{
    char mine[64], other[64];
    const char *const allow[] = { other, mine, NULL };
    struct http_out out = get("/away");
    struct http_in in;
    struct error e = { 0 };

    (void)state;
    (void)snprintf(mine, sizeof mine, "127.0.0.1:%u", server.port);
    (void)snprintf(other, sizeof other, "127.0.0.1:%u", server.port + 1U);
    out.guard = true;
    out.follow = true;
    out.guard_allow = allow;
    assert_int_equal(do_once(&out, &in, &e), 0);
    assert_int_equal(in.status, 302);
    http_in_release(&in);
    out.guard_allow = (const char *const[]){ other, "127.0.0.1", NULL };
    assert_fails(&out, ERROR_PERMISSION_DENIED);
}

static void test_the_guard_does_not_reuse_a_connection_made_without_it(void **state)
{
    struct http_client *c = http_client_new();
    struct http_out out = get("/echo");
    struct http_in in;
    struct error e = { 0 };

    (void)state;
    assert_int_equal(http_do(c, &out, &in, &e), 0);
    http_in_release(&in);
    out.guard = true;
    assert_int_equal(http_do(c, &out, &in, &e), -1);
    assert_int_equal(e.code, ERROR_PERMISSION_DENIED);
    http_in_release(&in);
    http_client_free(c);
}

/* A proxy would be asked instead of the address, so that the guard would look at the proxy's. */
static void test_a_proxy_is_used_neither_for_this_machine_nor_with_the_guard(void **state)
{
    struct http_out out = get("/echo");
    struct http_in in;
    struct error e = { 0 };

    (void)state;
    assert_int_equal(setenv("http_proxy", url("127.0.0.1", ""), 1), 0);
    out.url = url("127.0.0.1", "/echo");
    assert_int_equal(do_once(&out, &in, &e), 0);
    assert_true(str_starts(buf_str(&in.body), STR("GET /echo ")));
    http_in_release(&in);
    out.url = "http://no-such-host.invalid/echo";
    assert_int_equal(do_once(&out, &in, &e), 0); /* the proxy answers */
    http_in_release(&in);
    out.guard = true;
    assert_fails(&out, ERROR_UNAVAILABLE);
    assert_int_equal(unsetenv("http_proxy"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests_share_one_connection),
        cmocka_unit_test(test_a_status_is_no_error_and_headers_are_found_by_lower_case_name),
        cmocka_unit_test(test_methods_bodies_and_headers_arrive_as_given),
        cmocka_unit_test(test_a_post_without_a_body_says_so),
        cmocka_unit_test(test_a_part_of_a_file_is_sent),
        cmocka_unit_test(test_a_good_answer_streams_and_a_bad_one_is_kept),
        cmocka_unit_test(test_a_body_over_its_limit_is_refused),
        cmocka_unit_test(test_a_head_over_its_limit_is_refused),
        cmocka_unit_test(test_what_breaks_on_the_way_is_unavailable),
        cmocka_unit_test(test_a_silent_server_meets_the_deadline),
        cmocka_unit_test(test_stop_ends_a_request_that_waits),
        cmocka_unit_test(test_bad_urls_and_headers_are_refused_before_anything_is_sent),
        cmocka_unit_test(test_redirects_are_followed_only_on_request_and_only_over_http),
        cmocka_unit_test(test_the_guard_refuses_this_machine_under_every_name),
        cmocka_unit_test(test_the_guard_allows_what_is_listed_and_follows_no_redirect),
        cmocka_unit_test(test_the_guard_does_not_reuse_a_connection_made_without_it),
        cmocka_unit_test(test_a_proxy_is_used_neither_for_this_machine_nor_with_the_guard),
    };

    return cmocka_run_group_tests(tests, server_start, NULL);
}
