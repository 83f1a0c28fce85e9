/* http_socket.c -- the sockets and the timer of http_multi: libcurl wants events, epoll reports them.
 *
 * Why: a wake costs as much as there is to do, however many requests are open. A connection that is idle
 * between two requests stays registered, which saves two system calls a request; an event on an idle
 * connection means that the server has closed it, and then it is removed.
 *
 * Source:  https://curl.se/libcurl/c/curl_multi_socket_action.html, epoll(7).
 */
#include "net/client/http_multi_inner.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

#define EVENTS_MAX 256 /* of one wait; what is left comes with the next */
#define SOCKETS_MIN 64

/* ---- libcurl's callbacks ---- */

static struct http_socket *socket_at(struct http_multi *m, int fd)
{
    size_t count = m->socket_count ? m->socket_count : SOCKETS_MIN;

    while (count <= (size_t)fd)
        count *= 2;
    if (count > m->socket_count) {
        m->socket = mem_grow(m->socket, count * sizeof *m->socket);
        memset(m->socket + m->socket_count, 0, (count - m->socket_count) * sizeof *m->socket);
        m->socket_count = count;
    }
    return &m->socket[fd];
}

static int set_events(struct http_multi *m, int fd, struct http_socket *s)
{
    struct epoll_event ev = { .events = s->want, .data.fd = fd };
    int op = s->want == 0 ? EPOLL_CTL_DEL : s->have == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;

    s->have = s->want;
    return epoll_ctl(m->epoll, op, fd, &ev);
}

static int on_socket(CURL *c, curl_socket_t fd, int what, void *arg, void *of_socket)
{
    static const uint32_t wants[] = {
        [CURL_POLL_IN] = EPOLLIN,
        [CURL_POLL_OUT] = EPOLLOUT,
        [CURL_POLL_INOUT] = EPOLLIN | EPOLLOUT,
        [CURL_POLL_REMOVE] = 0,
    };
    struct http_shard *shard = arg;
    struct http_socket *s = socket_at(shard->multi, fd);

    (void)c;
    (void)of_socket;
    s->shard = shard;
    s->want = wants[what];
    if (s->want == s->have || (s->want == 0 && s->ours))
        return 0;
    return set_events(shard->multi, fd, s);
}

static int on_timer(CURLM *c, long ms, void *arg)
{
    struct http_shard *s = arg;

    (void)c;
    if (ms < 0)
        s->timer_ns = UINT64_MAX;
    else
        s->timer_ns = ms == 0 ? 0 : http_multi_now(s->multi) + (uint64_t)ms * NS_PER_MS;
    return 0;
}

/* epoll forgets a socket when it is closed; so must we, or a new socket with its number would be missed. */
static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
    struct http_flight *f = arg;
    char text[INET6_ADDRSTRLEN];

    (void)purpose;
    if (f->guarded && !http_curl_public(a, text)) {
        memcpy(f->refused, text, sizeof f->refused);
        return CURL_SOCKET_BAD;
    }
    int fd = socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
    if (fd < 0)
        return CURL_SOCKET_BAD;
    *socket_at(f->multi, fd) = (struct http_socket){ .ours = true };
    return fd;
}

static int close_socket(void *arg, curl_socket_t fd)
{
    *socket_at(arg, fd) = (struct http_socket){ 0 };
    return close(fd);
}

/* ---- Start and end ---- */

int http_sockets_init(struct http_multi *m, struct error *e)
{
    struct epoll_event wake = { .events = EPOLLIN };

    m->epoll = epoll_create1(EPOLL_CLOEXEC);
    m->wakeup = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    wake.data.fd = m->wakeup;
    if (m->epoll < 0 || m->wakeup < 0 || epoll_ctl(m->epoll, EPOLL_CTL_ADD, m->wakeup, &wake) < 0)
        return error_errno(e, "cannot wait for sockets");
    return 0;
}

void http_sockets_serve(struct http_shard *s)
{
    s->timer_ns = UINT64_MAX;
    (void)curl_multi_setopt(s->curl, CURLMOPT_SOCKETFUNCTION, on_socket);
    (void)curl_multi_setopt(s->curl, CURLMOPT_SOCKETDATA, s);
    (void)curl_multi_setopt(s->curl, CURLMOPT_TIMERFUNCTION, on_timer);
    (void)curl_multi_setopt(s->curl, CURLMOPT_TIMERDATA, s);
}

void http_sockets_release(struct http_multi *m)
{
    if (m->epoll >= 0)
        (void)close(m->epoll);
    if (m->wakeup >= 0)
        (void)close(m->wakeup);
    mem_free(m->socket);
}

void http_socket_options(struct http_flight *f)
{
    (void)curl_easy_setopt(f->curl, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    (void)curl_easy_setopt(f->curl, CURLOPT_OPENSOCKETDATA, f);
    (void)curl_easy_setopt(f->curl, CURLOPT_CLOSESOCKETFUNCTION, close_socket);
    (void)curl_easy_setopt(f->curl, CURLOPT_CLOSESOCKETDATA, f->multi);
}

/* ---- Waiting ---- */

static int act(struct http_shard *s, curl_socket_t fd, int events, struct error *e)
{
    int running;
    CURLMcode code = curl_multi_socket_action(s->curl, fd, events, &running);

    http_multi_collect(s);
    if (code == CURLM_OK)
        return 0;
    return error_set(e, ERROR_INTERNAL, "libcurl: %s", curl_multi_strerror(code));
}

int http_sockets_timer(struct http_multi *m, struct error *e)
{
    for (struct http_shard *s = m->shard; s < m->shard + m->shard_count; s++) {
        if (s->timer_ns > m->now_ns)
            continue;
        s->timer_ns = UINT64_MAX; /* libcurl sets it again */
        if (act(s, CURL_SOCKET_TIMEOUT, 0, e) < 0)
            return -1;
    }
    return 0;
}

static int take_event(struct http_multi *m, const struct epoll_event *ev, struct error *e)
{
    int fd = ev->data.fd;
    struct http_socket *s = &m->socket[fd];
    int bits = 0;

    if (s->want == 0) {
        if (s->have && set_events(m, fd, s) < 0)
            return error_errno(e, "cannot leave a socket");
        return 0;
    }
    if (ev->events & (EPOLLIN | EPOLLHUP))
        bits |= CURL_CSELECT_IN;
    if (ev->events & EPOLLOUT)
        bits |= CURL_CSELECT_OUT;
    if (ev->events & EPOLLERR)
        bits |= CURL_CSELECT_ERR;
    return act(s->shard, fd, bits, e);
}

static void take_wake(struct http_multi *m)
{
    uint64_t count;

    m->woken = true;
    while (read(m->wakeup, &count, sizeof count) < 0 && errno == EINTR)
        ;
}

/* Rounded up, so that what is due is due then. */
static int wait_ms(uint64_t now_ns, uint64_t until_ns)
{
    const uint64_t longest_ms = 60000;
    uint64_t ms = until_ns > now_ns ? (until_ns - now_ns - 1) / NS_PER_MS + 1 : 0;

    return (int)(ms < longest_ms ? ms : longest_ms);
}

int http_sockets_wait(struct http_multi *m, uint64_t until_ns, struct error *e)
{
    struct epoll_event event[EVENTS_MAX];

    for (const struct http_shard *s = m->shard; s < m->shard + m->shard_count; s++)
        until_ns = s->timer_ns < until_ns ? s->timer_ns : until_ns;
    int n = epoll_wait(m->epoll, event, EVENTS_MAX, wait_ms(m->now_ns, until_ns));
    if (n < 0 && errno != EINTR)
        return error_errno(e, "cannot wait for sockets");
    (void)http_multi_now(m);
    for (int i = 0; i < n; i++) {
        if (event[i].data.fd == m->wakeup)
            take_wake(m);
        else if (take_event(m, &event[i], e) < 0)
            return -1;
    }
    return 0;
}
