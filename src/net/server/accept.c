#include <errno.h>
#include <fcntl.h>
#include <poll.h>

#include "base/thread.h"
#include "base/log.h"
#include "net/server/http_inner.h"

#define TICK_MS 250     /* between looks at who is slow */
#define FULL_TICK_MS 20 /* the same, while there is no room for another connection */
#define ACCEPTS_MAX 64  /* between two looks */

/* The place of a connection is taken before it is there and given back when it ends: the limit holds
 * also while libmicrohttpd has not yet seen the last ones. */
static bool take_place(struct http_server *s)
{
    lock(&s->lock);
    bool room = s->peer_count < s->connections_max;
    if (room)
        http_peers_count(s, 1);
    unlock(&s->lock);
    return room;
}

static void give_place(struct http_server *s)
{
    lock(&s->lock);
    http_peers_count(s, -1);
    unlock(&s->lock);
}

/* Takes one connection in. False: there is none, or no room for one. */
static bool accept_one(struct http_server *s)
{
    struct http_address from = { .len = sizeof from.sa };

    if (!take_place(s))
        return false;
    int fd = accept(s->listen_fd, (struct sockaddr *)&from.sa, &from.len);
    if (fd < 0) {
        bool again = errno == ECONNABORTED || errno == EINTR;
        give_place(s);
        return again;
    }
    (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    if (MHD_add_connection(s->daemon, fd, (const struct sockaddr *)&from.sa, from.len) != MHD_YES)
        give_place(s); /* it has closed it: an address that has too many */
    return true;
}

/* False: the descriptors are used up, so that trying again at once would only spin. */
static bool accept_some(struct http_server *s)
{
    struct error e;
    int n = 0;

    errno = 0;
    while (n < ACCEPTS_MAX && accept_one(s))
        n++;
    if (errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM)
        return true;
    (void)error_errno(&e, "no connection can be accepted");
    log_warn("http: %s", e.msg);
    return false;
}

struct round {
    bool listens, ends;
};

static struct round look(struct http_server *s)
{
    lock(&s->lock);
    http_peers_check(s);
    const struct round r = { !s->quiesced && s->peer_count < s->connections_max, s->closing };
    unlock(&s->lock);
    return r;
}

/* libmicrohttpd 0.9 can accept by itself, but aborts the program when it is told to stop accepting
 * at the wrong instant (MHD_quiesce_daemon and its threads both take the socket out of epoll), and
 * divides the limit of connections by its threads. So it is given a socket on which nothing comes,
 * and each connection by hand. */
void *http_keeper(void *server)
{
    struct http_server *s = server;
    bool room = true;

    for (struct round r = look(s); !r.ends; r = look(s)) {
        bool listens = r.listens && room;
        struct pollfd p[2] = { { .fd = listens ? s->listen_fd : -1, .events = POLLIN },
                               { .fd = s->quiet[1], .events = POLLIN } };
        int n = poll(p, 2, listens ? TICK_MS : FULL_TICK_MS);
        room = n <= 0 || !p[0].revents || accept_some(s);
    }
    return NULL;
}
