#include "conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "serve.h"
#include "work.h"

#define IN_BYTES_MAX (HTTP_HEAD_BYTES_MAX + HTTP_BODY_BYTES_MAX + READ_BYTES)
#define OUT_BYTES_MAX (4 * HTTP_BODY_BYTES_MAX)
#define IDLE_BYTES_MAX ((size_t)64 * 1024) /* an idle connection keeps no larger buffer */
#define ENDLESS_TICK_NS NS_PER_MS

void conn_open(struct server *s, int fd)
{
    int on = 1;
    struct conn *c = mem_alloc(sizeof *c);

    *c = (struct conn){ .fd = fd,
                        .in = BUF_INIT(IN_BYTES_MAX),
                        .out = BUF_INIT(OUT_BYTES_MAX),
                        .timer = { .owner = c } };
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                 .data.ptr = c };
    s->stats.connections++;
    if (++s->connections > s->stats.connections_max)
        s->stats.connections_max = s->connections;
    if (epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        conn_close(s, c);
}

void conn_close(struct server *s, struct conn *c)
{
    if (c->fd < 0)
        return;
    work_leave(s, c);
    timers_clear(&s->timers, &c->timer);
    (void)close(c->fd);
    c->fd = -1;
    s->connections--;
    buf_release(&c->in);
    buf_release(&c->out);
    c->next = s->dead;
    s->dead = c;
}

/* ---- Out ---- */

static void close_with_reset(struct server *s, struct conn *c)
{
    struct linger at_once = { .l_onoff = 1, .l_linger = 0 };

    (void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    conn_close(s, c);
}

/* Sends all that is not held; false when it could not, or the connection ended with it. */
static bool flush(struct server *s, struct conn *c)
{
    size_t end = c->out.len - c->held;

    while (c->out_at < end) {
        ssize_t n = send(c->fd, c->out.p + c->out_at, end - c->out_at, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            if (errno != EAGAIN)
                conn_close(s, c);
            return false;
        }
        c->out_at += (size_t)n;
        s->stats.bytes_out += (uint64_t)n;
    }
    if (c->held)
        return true;
    c->out_at = 0;
    if (c->out.cap > IDLE_BYTES_MAX)
        buf_release(&c->out);
    else
        buf_clear(&c->out);
    if (c->state == CONN_RESETTING)
        close_with_reset(s, c);
    else if (c->state == CONN_CLOSING)
        conn_close(s, c);
    return c->fd >= 0;
}

void conn_replied(struct server *s, struct conn *c, struct spoiled how)
{
    static const enum conn_state next[] = {
        [AFTER_KEEP] = CONN_IDLE,    [AFTER_CLOSE] = CONN_CLOSING, [AFTER_RESET] = CONN_RESETTING,
        [AFTER_HANG] = CONN_HANGING, [AFTER_DRIP] = CONN_DRIPPING, [AFTER_ENDLESS] = CONN_ENDLESS,
    };

    c->state = next[how.after];
    c->held = how.held;
    if (c->state == CONN_IDLE && c->call.head.close)
        c->state = CONN_CLOSING;
    if (c->state == CONN_DRIPPING)
        timers_set(&s->timers, &c->timer, s->now_ns + s->options.drip_ms * NS_PER_MS);
    if (c->state == CONN_ENDLESS)
        timers_set(&s->timers, &c->timer, s->now_ns + ENDLESS_TICK_NS);
}

static void drip(struct server *s, struct conn *c)
{
    if (--c->held > 0) {
        timers_set(&s->timers, &c->timer, s->now_ns + s->options.drip_ms * NS_PER_MS);
        return;
    }
    work_leave(s, c);
    c->state = c->call.head.close ? CONN_CLOSING : CONN_IDLE;
}

void conn_tick(struct server *s, struct conn *c)
{
    if (c->state == CONN_WORKING) {
        work_done(s, c);
    } else if (c->state == CONN_DRIPPING) {
        drip(s, c);
    } else if (c->state == CONN_ENDLESS) {
        if (c->out.len == 0) /* the last piece was taken */
            spoil_endless(&c->out);
        timers_set(&s->timers, &c->timer, s->now_ns + ENDLESS_TICK_NS);
    }
    conn_advance(s, c);
}

/* ---- In ---- */

static void drop_handled(struct conn *c)
{
    size_t rest = c->in.len - c->in_at;

    if (rest == 0 && c->in.cap > IDLE_BYTES_MAX)
        buf_release(&c->in);
    else if (c->in_at && rest)
        memmove(c->in.p, c->in.p + c->in_at, rest);
    c->in.len = rest;
    c->in_at = 0;
}

/* False when the connection ended. */
static bool read_more(struct server *s, struct conn *c)
{
    ssize_t n;

    drop_handled(c);
    do
        n = recv(c->fd, s->read, READ_BYTES, MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    c->readable = n == (ssize_t)READ_BYTES; /* less: it was all, and the next event tells of more */
    if (n < 0 && errno == EAGAIN)
        return true;
    if (n > 0) {
        s->stats.bytes_in += (uint64_t)n;
        buf_add(&c->in, s->read, (size_t)n);
    }
    if (n <= 0 || !buf_ok(&c->in))
        conn_close(s, c);
    return c->fd >= 0;
}

/* Takes the next request from the input: false when it is not there as a whole. */
static bool take(struct server *s, struct conn *c)
{
    struct str in = str_sub(buf_str(&c->in), c->in_at, c->in.len);
    struct http_head *h = &c->call.head;
    int status;

    if (in.len == 0)
        return false;
    c->call = (struct call){ 0 };
    enum http_step step = http_head_read(in, h, &status);
    if (step == HTTP_BAD) {
        serve_bad(s, c, status);
        return true;
    }
    if (step == HTTP_MORE || in.len - h->head_bytes < h->body_bytes) {
        if (step == HTTP_HEAD && h->expects && !c->continued) {
            buf_add_str(&c->out, STR("HTTP/1.1 100 Continue\r\n\r\n"));
            c->continued = true;
        }
        return false;
    }
    c->continued = false;
    c->call.body = str_sub(in, h->head_bytes, h->body_bytes);
    c->in_at += h->head_bytes + h->body_bytes;
    serve_call(s, c);
    return true;
}

void conn_advance(struct server *s, struct conn *c)
{
    while (c->fd >= 0) {
        while (c->state == CONN_IDLE && take(s, c)) {
        }
        if (!flush(s, c) || c->state != CONN_IDLE || !c->readable)
            return;
        if (!read_more(s, c))
            return;
    }
}

void conn_event(struct server *s, struct conn *c, uint32_t events)
{
    if (c->fd < 0)
        return;
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
        conn_close(s, c);
        return;
    }
    if (events & EPOLLIN)
        c->readable = true;
    conn_advance(s, c);
}
