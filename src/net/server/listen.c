#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

#include "net/server/http_inner.h"

#define LISTEN_BACKLOG 1024

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

static int set_v4(struct http_address *out, const char *host, in_port_t port)
{
    struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = port };

    if (inet_pton(AF_INET, strcmp(host, "localhost") == 0 ? "127.0.0.1" : host, &sa.sin_addr) != 1)
        return -1;
    memcpy(&out->sa, &sa, sizeof sa);
    out->len = sizeof sa;
    return 0;
}

static int set_v6(struct http_address *out, const char *host, in_port_t port)
{
    struct sockaddr_in6 sa = { .sin6_family = AF_INET6, .sin6_port = port };

    if (inet_pton(AF_INET6, host, &sa.sin6_addr) != 1)
        return -1;
    memcpy(&out->sa, &sa, sizeof sa);
    out->len = sizeof sa;
    return 0;
}

int http_address_parse(const char *text, struct http_address *out, struct error *e)
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
                     "\"%.80s\" is no address to listen on: give it as 127.0.0.1:8080, "
                     "[::1]:8080 or localhost:8080",
                     text);
}

bool http_server_loopback(const char *listen)
{
    struct http_address at;
    struct error e;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;

    if (http_address_parse(listen, &at, &e) < 0)
        return false;
    memcpy(&v4, &at.sa, sizeof v4);
    memcpy(&v6, &at.sa, sizeof v6);
    if (at.sa.ss_family == AF_INET)
        return ntohl(v4.sin_addr.s_addr) >> 24 == 127;
    return IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr) != 0;
}

static int bind_to(int fd, const struct http_address *at, uint16_t *port)
{
    const int on = 1;
    struct http_address got = { .len = sizeof got.sa };
    struct sockaddr_in v4;

    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        bind(fd, (const struct sockaddr *)&at->sa, at->len) < 0 || listen(fd, LISTEN_BACKLOG) < 0 ||
        getsockname(fd, (struct sockaddr *)&got.sa, &got.len) < 0)
        return -1;
    memcpy(&v4, &got.sa, sizeof v4); /* the port stands at one place in both families */
    *port = ntohs(v4.sin_port);
    return 0;
}

int http_listen(const char *listen, uint16_t *port, struct error *e)
{
    struct http_address at;

    if (http_address_parse(listen, &at, e) < 0)
        return -1;
    int fd = socket(at.sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return error_errno(e, "cannot listen on %s", listen);
    if (bind_to(fd, &at, port) < 0) {
        (void)error_errno(e, "cannot listen on %s", listen);
        (void)close(fd);
        return -1;
    }
    return fd;
}

void http_address_text(const struct sockaddr *sa, char out[INET6_ADDRSTRLEN])
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;

    out[0] = '\0';
    if (sa->sa_family == AF_INET) {
        memcpy(&v4, sa, sizeof v4);
        (void)inet_ntop(AF_INET, &v4.sin_addr, out, INET6_ADDRSTRLEN);
    } else if (sa->sa_family == AF_INET6) {
        memcpy(&v6, sa, sizeof v6);
        if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr))
            (void)inet_ntop(AF_INET, &v6.sin6_addr.s6_addr[12], out, INET6_ADDRSTRLEN);
        else
            (void)inet_ntop(AF_INET6, &v6.sin6_addr, out, INET6_ADDRSTRLEN);
    }
}
