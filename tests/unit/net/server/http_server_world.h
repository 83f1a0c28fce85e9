/* http_server_world.h -- a server whose paths do what tests want to see, and a client that says what it likes. */
#ifndef TRANCHE_TESTS_HTTP_SERVER_WORLD_H
#define TRANCHE_TESTS_HTTP_SERVER_WORLD_H

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
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/clock.h"
#include "base/log.h"
#include "net/server/http_server.h"
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
    bool open;  /* /wait goes on */
    bool defer; /* begin says on a thread of its own what happens to the body */
    struct http_call *later;
    struct http_stream *stream;
    atomic_ullong sink_bytes; /* of the calls to /sink together */
};

static inline int sink_write(void *arg, const void *p, size_t len, struct error *e)
{
    struct app *a = arg;

    (void)p;
    a->sink_bytes += len;
    if (a->sink_bytes > SINK_MAX)
        return error_set(e, ERROR_RESOURCE_EXHAUSTED, "the disk is full");
    return 0;
}

static inline enum http_next begin_now(struct app *a, struct http_call *c)
{
    const struct http_sink sink = { sink_write, a };

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

/* The connection sleeps by then, or does not: both must do. */
static inline void *begin_thread(void *arg)
{
    struct http_call *c = arg;

    if (http_header(c, "x-slow").len)
        clock_system()->sleep_ns(clock_system(), 20 * NS_PER_MS);
    http_begin_end(c, begin_now(http_attached(c), c));
    http_release(c);
    return NULL;
}

static inline enum http_next begin(void *arg, struct http_call *c)
{
    struct app *a = arg;
    pthread_t thread;

    (void)pthread_mutex_lock(&a->lock);
    a->begun++;
    (void)pthread_mutex_unlock(&a->lock);
    http_attach(c, a);
    if (!a->defer)
        return begin_now(a, c);
    http_hold(c);
    assert_int_equal(pthread_create(&thread, NULL, begin_thread, c), 0);
    assert_int_equal(pthread_detach(thread), 0);
    return HTTP_LATER;
}

static inline void reply_text(struct http_call *c, const char *type, struct str text)
{
    struct buf body = BUF_INIT(TEXT_MAX);

    buf_add_str(&body, text);
    http_reply(c, 200, type, &body);
    assert_int_equal(body.len, 0);
}

static inline void on_echo(struct app *a, struct http_call *c)
{
    (void)a;
    http_set_header(c, "X-Good", STR("yes"));
    http_set_header(c, "X-Bad", STR("a\r\nSet-Cookie: b"));
    http_set_header(c, "X-B\nad", STR("a"));
    reply_text(c, "text/plain", http_body(c));
}

static inline void on_facts(struct app *a, struct http_call *c)
{
    struct buf out = BUF_INIT(TEXT_MAX);
    struct str q = STR("none");

    (void)a;
    (void)http_query(c, "$q", &q);
    buf_addf(&out, "method=%d path=%.*s q=%.*s h=[%.*s] base=%.*s", (int)http_method(c),
             STR_ARG(http_path(c)), STR_ARG(q), STR_ARG(http_header(c, "x-ONE")),
             STR_ARG(http_base_url(c)));
    http_reply(c, 200, "text/plain", &out);
}

static inline void on_sink(struct app *a, struct http_call *c)
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

static inline void on_json(struct app *a, struct http_call *c)
{
    struct buf out = BUF_INIT(TEXT_MAX);

    (void)a;
    buf_add_c(&out, "[0");
    for (int i = 0; i < 3000; i++)
        buf_add_c(&out, ",1");
    buf_add_c(&out, "]");
    http_reply(c, 200, JSON, &out);
}

static inline void on_file(struct app *a, struct http_call *c)
{
    char path[] = "/tmp/test_http_XXXXXX";
    int fd = mkstemp(path);

    (void)a;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "0123456789", 10), 10);
    assert_int_equal(unlink(path), 0);
    http_reply_file(c, 206, "text/plain", fd, 3, 4);
}

static inline int64_t count_down(void *arg, char *p, size_t cap)
{
    int *left = arg;

    assert_true(cap > 0);
    if (*left == 0)
        return 0;
    *p = (char)('0' + (*left)--);
    return 1;
}

static inline void on_source(struct app *a, struct http_call *c)
{
    int *left = malloc(sizeof *left);

    (void)a;
    *left = 5;
    http_reply_source(c, 200, "text/plain",
                      &(struct http_source){ .pull = count_down, .close = free, .arg = left });
}

/* A source that has a piece only after it was woken. */
struct slow {
    struct http_call *call;
    atomic_int ready, left;
};

static inline void *slow_wake(void *arg)
{
    struct slow *s = arg;
    struct http_call *call = s->call;

    atomic_store(&s->ready, 1); /* from here on the answer may end, and s with it */
    http_source_wake(call);
    http_release(call);
    return NULL;
}

static inline int64_t slow_pull(void *arg, char *p, size_t cap)
{
    struct slow *s = arg;
    pthread_t thread;

    assert_true(cap > 0);
    if (atomic_exchange(&s->ready, 0) == 1) {
        *p = (char)('0' + atomic_fetch_sub(&s->left, 1));
        return 1;
    }
    http_hold(s->call);
    assert_int_equal(pthread_create(&thread, NULL, slow_wake, s), 0);
    assert_int_equal(pthread_detach(thread), 0);
    return HTTP_SOURCE_WAITS;
}

static inline void on_slow(struct app *a, struct http_call *c)
{
    struct slow *s = calloc(1, sizeof *s);

    (void)a;
    s->call = c;
    atomic_store(&s->left, 5);
    http_reply_source(c, 200, "text/plain",
                      &(struct http_source){ slow_pull, free, s, .bytes = 5 });
}

static inline void on_wait(struct app *a, struct http_call *c)
{
    (void)pthread_mutex_lock(&a->lock);
    while (!a->open)
        (void)pthread_cond_wait(&a->changed, &a->lock);
    (void)pthread_mutex_unlock(&a->lock);
    reply_text(c, "text/plain", STR("waited"));
}

static inline void on_later(struct app *a, struct http_call *c)
{
    (void)pthread_mutex_lock(&a->lock);
    a->later = c;
    (void)pthread_cond_broadcast(&a->changed);
    (void)pthread_mutex_unlock(&a->lock);
}

static inline void on_stream(struct app *a, struct http_call *c)
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
    { "/later", on_later }, { "/stream", on_stream }, { "/slow", on_slow },
};

static inline void handle(void *arg, struct http_call *c)
{
    struct app *a = arg;
    size_t i = 0;

    while (i < ARRAY_LEN(routes) && !str_eq_c(http_path(c), routes[i].path))
        i++;
    if (i < ARRAY_LEN(routes))
        routes[i].handle(a, c);
    else
        on_facts(a, c);
    (void)pthread_mutex_lock(&a->lock);
    a->handled++;
    (void)pthread_cond_broadcast(&a->changed);
    (void)pthread_mutex_unlock(&a->lock);
}

static inline void end(void *arg, struct http_call *c)
{
    struct app *a = arg;

    assert_ptr_equal(http_attached(c), a);
    (void)pthread_mutex_lock(&a->lock);
    a->ended++;
    (void)pthread_cond_broadcast(&a->changed);
    (void)pthread_mutex_unlock(&a->lock);
}

static inline void app_start(struct app *a, const struct http_settings *set)
{
    const struct http_handlers h = { .begin = begin, .handle = handle, .end = end, .arg = a };
    struct error e = { 0 };

    memset(a, 0, sizeof *a);
    (void)pthread_mutex_init(&a->lock, NULL);
    (void)pthread_cond_init(&a->changed, NULL);
    a->server = http_server_start(set, &h, &e);
    if (!a->server)
        fail_msg("%s", e.msg);
}

static inline void app_stop(struct app *a)
{
    http_server_free(a->server, 2000);
    assert_int_equal(a->ended, a->begun); /* every call ends, however it went */
}

static inline void await_handled(struct app *a, unsigned n)
{
    (void)pthread_mutex_lock(&a->lock);
    while (a->handled < n)
        (void)pthread_cond_wait(&a->changed, &a->lock);
    (void)pthread_mutex_unlock(&a->lock);
}

static inline int setup(void **state)
{
    struct app *a = malloc(sizeof *a);

    app_start(a, &(struct http_settings){ .listen = "127.0.0.1:0" });
    *state = a;
    return 0;
}

static inline int setup_later(void **state)
{
    (void)setup(state);
    ((struct app *)*state)->defer = true;
    return 0;
}

static inline int teardown(void **state)
{
    app_stop(*state);
    free(*state);
    return 0;
}

/* ---- The client ---- */

static inline int dial(const struct app *a)
{
    struct sockaddr_in sa = { .sin_family = AF_INET,
                              .sin_port = htons(http_server_port(a->server)) };
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (const struct sockaddr *)&sa, sizeof sa), 0);
    return fd;
}

static inline bool say_n(int fd, const char *p, size_t len)
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

static inline bool say(int fd, const char *text)
{
    return say_n(fd, text, strlen(text));
}

/* Reads until text came; false at the end of the connection or when it takes too long. */
static inline bool hear_until(int fd, struct buf *in, const char *text)
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

static inline struct buf hear_all(int fd)
{
    struct buf in = BUF_INIT(TEXT_MAX);

    (void)hear_until(fd, &in, NULL);
    (void)close(fd);
    buf_add(&in, "", 0);
    return in;
}

/* One request on a connection of its own: the whole answer. */
static inline struct buf ask_n(const struct app *a, const char *p, size_t len)
{
    int fd = dial(a);

    (void)say_n(fd, p, len);
    return hear_all(fd);
}

static inline struct buf ask(const struct app *a, const char *text)
{
    return ask_n(a, text, strlen(text));
}

static inline bool has(const struct buf *b, const char *text)
{
    return str_find(buf_str(b), str_of(text)) != SIZE_MAX;
}

static inline void expect(const struct app *a, const char *request, const char *wanted)
{
    struct buf in = ask(a, request);

    if (!has(&in, wanted))
        fail_msg("%s\nwanted %s, got:\n%.*s", request, wanted, STR_ARG(buf_str(&in)));
    buf_release(&in);
}

#define CLOSE "Host: h:1\r\nConnection: close\r\n"

static inline struct http_stream *open_stream(struct app *a, int *fd, struct buf *in)
{
    unsigned before = a->handled; /* nothing is under way */

    *fd = dial(a);
    assert_true(say(*fd, "GET /stream HTTP/1.1\r\nHost: h\r\n\r\n"));
    await_handled(a, before + 1);
    assert_true(http_stream_write(a->stream, "data: 1\n\n", 9));
    assert_true(hear_until(*fd, in, "data: 1\n\n"));
    return a->stream;
}

#define WITH_SERVER(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#define BEGUN_LATER(f)                                                                             \
    {                                                                                              \
        #f ", begun later", f, setup_later, teardown, NULL                                         \
    }

#endif
