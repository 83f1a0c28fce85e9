/* multi_world.h -- a raw server on the loopback address, a thread a connection, for each path one behaviour,
 * good or bad; and what asks it: of the tests of http_multi.
 *
 * Threads: the server's are its own. One a program. Include after cmocka.h.
 */
#ifndef TRANCHE_TESTS_MULTI_WORLD_H
#define TRANCHE_TESTS_MULTI_WORLD_H

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <zlib.h>

#include "base/mem.h"
#include "base/clock.h"
#include "net/client/http_client.h"
#include "net/client/http_multi.h"
#include "net/server/http_server.h"
#include "scratch.h"

#define REQUEST_BYTES_MAX ((size_t)40 * 1024 * 1024)
#define URL_BYTES 256
#define SLOW_BYTES ((size_t)512 * 1024)
#define LONG_MS 60000 /* ends a test that hangs */

/* ---- The server ---- */

static struct {
    int listener;
    uint16_t port;
    atomic_uint connections, requests;
    atomic_bool slow; /* it rests between parts of what it reads */
} server;

static inline void say_bytes(int fd, const void *p, size_t len)
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

static inline void say(int fd, const char *text)
{
    say_bytes(fd, text, strlen(text));
}

static inline void reply(int fd, const char *status, const char *header, struct str body)
{
    char head[512];

    (void)snprintf(head, sizeof head, "HTTP/1.1 %s\r\nContent-Length: %zu\r\n%s\r\n", status,
                   body.len, header);
    say(fd, head);
    say_bytes(fd, body.p, body.len);
}

static inline void rest_ms(uint64_t ms)
{
    struct clock *clock = clock_system();

    clock->sleep_ns(clock, ms * NS_PER_MS);
}

/* One request; *body is where its body begins. False: the client left. */
static inline bool hear(int fd, struct buf *b, struct str *body)
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

static inline bool do_echo(const struct heard *h)
{
    reply(h->fd, "200 OK", "Content-Type: text/plain\r\n", h->body);
    return true;
}

static inline bool do_whole(const struct heard *h)
{
    reply(h->fd, "200 OK", "", h->all);
    return true;
}

static inline bool do_later(const struct heard *h)
{
    static atomic_uint seed;

    rest_ms(atomic_fetch_add(&seed, 7) % 5);
    return do_echo(h);
}

static inline bool do_slow(const struct heard *h)
{
    rest_ms(300);
    return do_echo(h);
}

static inline bool do_missing(const struct heard *h)
{
    reply(h->fd, "404 Not Found", "X-Why:  it is   not \r\nx-why: second\r\n",
          STR("no such thing"));
    return true;
}

static inline bool do_cut(const struct heard *h)
{
    say(h->fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this");
    return false;
}

static inline bool do_cut_chunk(const struct heard *h)
{
    say(h->fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n20\r\nonly this");
    return false;
}

static inline bool do_bad_chunk(const struct heard *h)
{
    say(h->fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nonly this\r\n0\r\n\r\n");
    return true;
}

static inline bool do_cut_head(const struct heard *h)
{
    say(h->fd, "HTTP/1.1 200 OK\r\nContent-Le");
    return false;
}

static inline bool do_only_continue(const struct heard *h)
{
    say(h->fd, "HTTP/1.1 100 Continue\r\n\r\n");
    return false;
}

static inline bool do_close(const struct heard *h)
{
    (void)h;
    return false;
}

static inline bool do_abort(const struct heard *h)
{
    struct linger hard = { .l_onoff = 1, .l_linger = 0 };

    say(h->fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this");
    rest_ms(20);
    (void)setsockopt(h->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    return false;
}

static inline bool do_garbage(const struct heard *h)
{
    say(h->fd, "220 mail.example.org ESMTP ready\r\n");
    return false;
}

static inline bool do_odd_status(const struct heard *h)
{
    say(h->fd, "HTTP/1.1 fine and good\r\nContent-Length: 0\r\n\r\n");
    return false;
}

static inline bool do_more(const struct heard *h)
{
    say(h->fd, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfour and more");
    return true;
}

static inline bool do_continue(const struct heard *h)
{
    say(h->fd, "HTTP/1.1 100 Continue\r\nX-Early: 1\r\n\r\n");
    return do_echo(h);
}

static inline bool do_old(const struct heard *h)
{
    say(h->fd, "HTTP/1.0 200 OK\r\nX-Old: 1\r\n\r\nuntil the end");
    return false;
}

/* The second request of a connection finds it closed. */
static inline bool do_once(const struct heard *h)
{
    return h->no == 0 && do_echo(h);
}

static inline bool do_silent(const struct heard *h)
{
    (void)h;
    return true;
}

static inline bool do_stall(const struct heard *h)
{
    say(h->fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this");
    return true;
}

static inline bool do_drip(const struct heard *h)
{
    say(h->fd, "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n");
    for (int i = 0; i < 20; i++) {
        rest_ms(50);
        say(h->fd, "x");
    }
    return true;
}

/* A head whose lines, as they are kept, have as many bytes as the request's body says. */
static inline bool do_head(const struct heard *h)
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

static inline bool do_long_line(const struct heard *h)
{
    char part[1000];

    memset(part, 'v', sizeof part);
    say(h->fd, "HTTP/1.1 200 OK\r\nx: ");
    for (int i = 0; i < 200; i++)
        say_bytes(h->fd, part, sizeof part);
    return false;
}

/* A megabyte in a few bytes. */
static inline bool do_packed(const struct heard *h)
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

static inline bool act(const struct heard *h)
{
    const char *at = strchr(h->all.p, ' ') + 1;
    const char *host = strncmp(at, "http://", 7) == 0 ? strchr(at + 7, '/') : at; /* a proxy's */
    struct str path = { host, strcspn(host, " ?") };

    for (size_t i = 0; i < ARRAY_LEN(acts); i++)
        if (str_eq_c(path, acts[i].path))
            return acts[i].act(h);
    return do_missing(h);
}

static inline void *serve_one(void *arg)
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

static inline void *serve(void *arg)
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

static inline int server_start(void **state)
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

static inline const char *url(const char *host, const char *path)
{
    static char text[URL_BYTES];

    (void)snprintf(text, sizeof text, "http://%s:%u%s", host, server.port, path);
    return text;
}

static inline struct http_multi *multi_new(uint32_t connections)
{
    struct error e = { 0 };
    struct http_multi *m = http_multi_new(connections, &e);

    if (!m)
        fail_msg("%s", e.msg);
    return m;
}

static const struct http_host plain_host;

static inline struct http_ask post(const char *path)
{
    return (struct http_ask){
        .host = &plain_host,
        .method = "POST",
        .url = url("127.0.0.1", path),
        .body = STR("the question"),
        .timeout_ms = LONG_MS,
        .body_max = 64 * 1024,
    };
}

static inline void start(struct http_multi *m, const struct http_ask *ask)
{
    struct error e = { 0 };

    if (http_multi_start(m, ask, &e) < 0)
        fail_msg("%s: %s", ask->url, e.msg);
}

static inline void finish(struct http_multi *m, struct http_done *d)
{
    struct error e = { 0 };

    assert_int_equal(http_multi_poll(m, LONG_MS, d, &e), 1);
}

static inline void assert_none_left(struct http_multi *m)
{
    struct http_done d;
    struct error e = { 0 };

    assert_int_equal(http_multi_poll(m, 0, &d, &e), 0);
}

static inline void ask_one(struct http_multi *m, const struct http_ask *ask, struct http_done *d)
{
    start(m, ask);
    finish(m, d);
}

static inline void assert_good(const struct http_done *d, struct str body)
{
    if (d->error.code != ERROR_OK)
        fail_msg("%s", d->error.msg);
    assert_int_equal(d->status, 200);
    assert_true(d->sent);
    assert_true(str_eq(d->body, body));
}

static inline bool has(struct str s, const char *text)
{
    return str_find(s, str_of(text)) != SIZE_MAX;
}

#endif
