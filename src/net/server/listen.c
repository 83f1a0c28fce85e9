/* Addresses, the listening socket, and the keeper: the thread that takes connections in and looks after
 * them. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/thread.h"
#include "net/server/http_inner.h"

#define LISTEN_BACKLOG 1024
#define TICK_MS 250     /* between looks at who is slow */
#define FULL_TICK_MS 20 /* the same, while there is no room for another connection */
#define ACCEPTS_MAX 64  /* between two looks */

struct address {
    struct sockaddr_storage sa;
    socklen_t len;
};

/* ---- Addresses ---- */

static int port_parse(struct str text, in_port_t *out)
{
    uint32_t port = 0;

    if (!text.len || text.len > 5)
        return -1;
    for (size_t i = 0; i < text.len; i++) {
        if (text.p[i] < '0' || text.p[i] > '9')
            return -1;
        port = port * 10 + (uint32_t)(text.p[i] - '0');
    }
    if (port > UINT16_MAX)
        return -1;
    *out = htons((uint16_t)port);
    return 0;
}

static int set_v4(struct address *out, const char *host, in_port_t port)
{
    struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = port };

    if (inet_pton(AF_INET, strcmp(host, "localhost") == 0 ? "127.0.0.1" : host, &sa.sin_addr) != 1)
        return -1;
    memcpy(&out->sa, &sa, sizeof sa);
    out->len = sizeof sa;
    return 0;
}

static int set_v6(struct address *out, const char *host, in_port_t port)
{
    struct sockaddr_in6 sa = { .sin6_family = AF_INET6, .sin6_port = port };

    if (inet_pton(AF_INET6, host, &sa.sin6_addr) != 1)
        return -1;
    memcpy(&out->sa, &sa, sizeof sa);
    out->len = sizeof sa;
    return 0;
}

static int address_parse(const char *text, struct address *out, struct error *e)
{
    const char *colon = strrchr(text, ':');
    struct str host = { text, colon ? (size_t)(colon - text) : 0 };
    char literal[INET6_ADDRSTRLEN] = "";
    in_port_t port;

    memset(out, 0, sizeof *out);
    bool v6 = str_starts(host, STR("[")) && str_ends(host, STR("]"));
    if (v6)
        host = str_sub(host, 1, host.len - 2);
    if (!host.len || host.len >= sizeof literal || port_parse(str_of(colon + 1), &port) < 0)
        goto bad;
    memcpy(literal, host.p, host.len);
    if ((v6 ? set_v6(out, literal, port) : set_v4(out, literal, port)) < 0)
        goto bad;
    return 0;
bad:
    return error_set(e, ERROR_INVALID_ARGUMENT,
                     "\"%.80s\" is not an address to listen on: give it as 127.0.0.1:8080, "
                     "[::1]:8080 or localhost:8080",
                     text);
}

bool http_server_loopback(const char *listen)
{
    struct address at;
    struct error e;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;

    if (address_parse(listen, &at, &e) < 0)
        return false;
    memcpy(&v4, &at.sa, sizeof v4);
    memcpy(&v6, &at.sa, sizeof v6);
    if (at.sa.ss_family == AF_INET)
        return ntohl(v4.sin_addr.s_addr) >> 24 == 127;
    return IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr) != 0;
}

int http_server_check_address(const char *listen, struct error *e)
{
    struct address at;

    return address_parse(listen, &at, e);
}

static int bind_to(int fd, const struct address *at, uint16_t *port)
{
    const int on = 1;
    struct address got = { .len = sizeof got.sa };
    struct sockaddr_in v4;

    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        bind(fd, (const struct sockaddr *)&at->sa, at->len) < 0 || listen(fd, LISTEN_BACKLOG) < 0 ||
        getsockname(fd, (struct sockaddr *)&got.sa, &got.len) < 0)
        return -1;
    memcpy(&v4, &got.sa, sizeof v4); /* the port stands at one place in both families */
    *port = ntohs(v4.sin_port);
    return 0;
}

int http_listen(const char *where, uint16_t *port, struct error *e)
{
    struct address at;

    if (address_parse(where, &at, e) < 0)
        return -1;
    int fd = socket(at.sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return error_errno(e, "cannot listen on %s", where);
    if (bind_to(fd, &at, port) < 0) {
        (void)error_errno(e, "cannot listen on %s", where);
        (void)close(fd);
        return -1;
    }
    return fd;
}

/* ---- The keeper ---- */

/* A slot is taken before its connection is accepted and given back when the connection ends: the limit
 * holds also while libmicrohttpd has not yet seen the newest connections. */
static bool take_slot(struct http_server *s)
{
    lock(&s->lock);
    bool room = s->peer_count < s->connections_max;
    if (room)
        http_peers_count(s, 1);
    unlock(&s->lock);
    return room;
}

static void give_slot(struct http_server *s)
{
    lock(&s->lock);
    http_peers_count(s, -1);
    unlock(&s->lock);
}

/* Takes one connection in. False: there is none, or no room for one. */
static bool accept_one(struct http_server *s)
{
    struct address from = { .len = sizeof from.sa };

    if (!take_slot(s))
        return false;
    int fd = accept(s->listen_fd, (struct sockaddr *)&from.sa, &from.len);
    if (fd < 0) {
        bool again = errno == ECONNABORTED || errno == EINTR;
        give_slot(s);
        return again;
    }
    (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    if (MHD_add_connection(s->daemon, fd, (const struct sockaddr *)&from.sa, from.len) != MHD_YES)
        give_slot(s); /* it has closed fd: this address has too many connections */
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
    http_peers_check(s);
    lock(&s->lock);
    const struct round r = { !s->quiesced && s->peer_count < s->connections_max, s->closing };
    unlock(&s->lock);
    return r;
}

/* libmicrohttpd 0.9 can accept by itself, but aborts the program when it stops accepting at the wrong
 * instant (MHD_quiesce_daemon and its threads both take the socket out of epoll), and divides the limit
 * of connections by its threads. So it gets a socket on which no connection comes, and the keeper hands
 * it each connection. */
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
