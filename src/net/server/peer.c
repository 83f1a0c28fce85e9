#include <errno.h>
#include <poll.h>
#include <string.h>

#include "base/thread.h"
#include "base/clock.h"
#include "base/metric.h"
#include "net/server/http_inner.h"

#define GONE_MAX 256 /* told at one look */
#define RDHUP 0x2000 /* POLLRDHUP of Linux, which POSIX does not have */

static uint64_t now_ns(void)
{
    return clock_system()->mono_ns(clock_system());
}

void http_peers_count(struct http_server *s, int change)
{
    s->peer_count = (uint32_t)((int64_t)s->peer_count + change);
    metric_set(
        metric_gauge("tranche_http_connections", "Connections of clients that are open", NULL),
        (double)s->peer_count);
}

static void peer_open(struct http_server *s, struct MHD_Connection *conn, void **arg)
{
    struct http_peer *p = mem_alloc(sizeof *p);

    p->fd = MHD_get_connection_info(conn, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    p->head_due_ns = now_ns() + s->head_s * NS_PER_S;
    lock(&s->lock);
    p->next = s->peers;
    p->at = &s->peers;
    if (p->next)
        p->next->at = &p->next;
    s->peers = p;
    unlock(&s->lock);
    *arg = p;
}

static void peer_close(struct http_server *s, struct http_peer *p)
{
    lock(&s->lock);
    *p->at = p->next;
    if (p->next)
        p->next->at = p->at;
    http_peers_count(s, -1);
    unlock(&s->lock);
    mem_free(p);
}

/* "Closed" is reported before the socket is closed, so each peer in the list has an open socket. */
void http_on_peer(void *cls, struct MHD_Connection *conn, void **arg,
                  enum MHD_ConnectionNotificationCode what)
{
    if (what == MHD_CONNECTION_NOTIFY_STARTED)
        peer_open(cls, conn, arg);
    else if (*arg)
        peer_close(cls, *arg);
}

struct http_peer *http_peer_of(struct MHD_Connection *conn)
{
    return MHD_get_connection_info(conn, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

static void set_due(struct http_server *s, struct http_peer *p, uint64_t due_ns)
{
    lock(&s->lock);
    p->head_due_ns = due_ns;
    unlock(&s->lock);
}

/* Shortens the deadline, which included the idle time before the head. */
void http_peer_head_began(struct http_server *s, struct http_peer *p)
{
    uint64_t due = now_ns() + s->head_s * NS_PER_S;

    lock(&s->lock);
    if (p->head_due_ns == 0 || due < p->head_due_ns)
        p->head_due_ns = due;
    unlock(&s->lock);
}

void http_peer_head_ended(struct http_server *s, struct http_peer *p)
{
    set_due(s, p, 0);
}

/* The next head may begin within the idle time. Its first bytes are not seen here, so the deadline covers
 * both times. */
void http_peer_call_ended(struct http_server *s, struct http_peer *p)
{
    set_due(s, p, now_ns() + ((uint64_t)s->idle_s + s->head_s) * NS_PER_S);
}

/* Nothing else is being sent to a peer whose head has not come, so this may be written past
 * libmicrohttpd; not through TLS. */
static void say_timeout(const struct http_server *s, const struct http_peer *p)
{
    struct buf body = BUF_INIT(1024), text = BUF_INIT(2048);

    http_error_json(&body, 408, "the request's head did not come in time");
    buf_addf(&text,
             "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n"
             "Content-Type: application/json; charset=UTF-8\r\nContent-Length: %zu\r\n\r\n",
             body.len);
    buf_add_str(&text, buf_str(&body));
    if (!s->tls)
        (void)send(p->fd, text.p, text.len, MSG_DONTWAIT | MSG_NOSIGNAL);
    buf_release(&body);
    buf_release(&text);
}

/* Under the lock. */
static void close_slow(struct http_server *s, uint64_t now)
{
    for (struct http_peer *p = s->peers; p; p = p->next) {
        if (p->head_due_ns == 0 || now < p->head_due_ns)
            continue;
        say_timeout(s, p);
        (void)shutdown(p->fd, SHUT_RDWR);
        p->head_due_ns = now + s->head_s * NS_PER_S; /* so that it is sent once */
    }
}

static bool left(int fd)
{
    char c;
    ssize_t n = recv(fd, &c, 1, MSG_PEEK | MSG_DONTWAIT);

    return n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

/* Has the client shut down its side? It may have sent more before, or the end of TLS. */
static bool has_shut_down(int fd)
{
    struct pollfd p = { .fd = fd, .events = RDHUP };

    return poll(&p, 1, 0) > 0 && (p.revents & (RDHUP | POLLHUP | POLLERR));
}

/* Under the lock. libmicrohttpd does not look at a suspended connection, so it does not notice that the
 * reader of a quiet stream is gone. */
static void wake_left(struct http_server *s)
{
    for (struct http_call *c = s->calls; c; c = c->next) {
        if (!c->streams || !c->status || !c->suspended || !left(c->peer->fd))
            continue;
        c->cut = true;
        c->suspended = false;
        MHD_resume_connection(c->conn);
    }
}

/* Under the lock. A client that leaves together with its last bytes makes one event of both, of which
 * libmicrohttpd's edge-triggered loop sees the bytes only. Shutting down the side that is shut already
 * makes another event, and takes nothing from a client that still waits for its answer. */
static void wake_unfinished(struct http_server *s)
{
    for (struct http_call *c = s->calls; c; c = c->next)
        if (c->peer && !c->suspended && !c->reply_due && !c->status && left(c->peer->fd))
            (void)shutdown(c->peer->fd, SHUT_RD);
}

/* Under the lock: the calls whose reply is due and whose client has just left. They are held. */
static uint32_t find_gone(struct http_server *s, struct http_call *out[GONE_MAX])
{
    uint32_t count = 0;

    for (struct http_call *c = s->calls; c && count < GONE_MAX; c = c->next) {
        if (!c->peer || !c->reply_due || c->gone_told || !has_shut_down(c->peer->fd))
            continue;
        c->gone_told = true;
        c->refs++;
        out[count++] = c;
    }
    return count;
}

void http_peers_check(struct http_server *s)
{
    struct http_call *gone[GONE_MAX];
    uint32_t count = 0;

    lock(&s->lock);
    close_slow(s, now_ns());
    wake_left(s);
    wake_unfinished(s);
    if (s->h.gone)
        count = find_gone(s, gone);
    unlock(&s->lock);
    for (uint32_t i = 0; i < count; i++) {
        s->h.gone(s->h.arg, gone[i]);
        http_call_unref(gone[i]);
    }
}
