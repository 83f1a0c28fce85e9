/* bare.c -- a load generator that does nothing but send and count: the limit for any client.
 *
 * Why: what a batch client costs is what it takes longer than this one, which parses, checks and keeps
 * nothing and pays for no library.
 *
 * Shape:   upstream_bare PORT PATH BODIES CONCURRENCY: each line of BODIES is one POST to 127.0.0.1,
 *          over CONCURRENCY kept-alive connections. Prints one line of JSON.
 * Errors:  a status that is not 200 is counted; anything else that is unexpected ends it with 1.
 * Threads: one.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"

#define CONCURRENCY_MAX 16384
#define EVENTS_MAX 512
#define REPLY_BYTES_MAX ((size_t)64 * 1024) /* of the replies of our stub */
#define REQUEST_BYTES_MAX ((size_t)16 * 1024 * 1024)
#define BODIES_BYTES_MAX ((size_t)1 << 32)
#define READ_BYTES ((size_t)1 << 20)

struct link {
    int fd;
    struct buf in;
};
struct load {
    const char *path;
    struct str bodies; /* what is left of the lines */
    uint64_t port, concurrency;
    uint64_t answered, failed, open;
    int epoll;
    struct link *link;
    struct buf request; /* one at a time: what is sent leaves at once */
};

static int file_read(const char *name, struct buf *out, struct error *e)
{
    FILE *f = fopen(name, "rb");
    char *piece = mem_alloc(READ_BYTES);
    size_t n;

    if (f) {
        while ((n = fread(piece, 1, READ_BYTES, f)) > 0)
            buf_add(out, piece, n);
        (void)fclose(f);
    }
    mem_free(piece);
    return f && buf_ok(out) ? 0 : error_set(e, ERROR_NOT_FOUND, "%s cannot be read", name);
}

static int link_open(struct load *l, struct link *k, struct error *e)
{
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_port = htons((uint16_t)l->port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = k };
    int on = 1;

    k->in = BUF_INIT(REPLY_BYTES_MAX);
    k->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (k->fd < 0 || connect(k->fd, (struct sockaddr *)&to, sizeof to) < 0)
        return error_errno(e, "port %u", (unsigned)l->port);
    (void)setsockopt(k->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return epoll_ctl(l->epoll, EPOLL_CTL_ADD, k->fd, &event) < 0 ? error_errno(e, "epoll") : 0;
}

/* Sends the next line, if there is one. */
static int send_next(struct load *l, struct link *k, struct error *e)
{
    if (l->bodies.len == 0)
        return 0;
    size_t end = str_find(l->bodies, STR("\n"));
    struct str body = str_sub(l->bodies, 0, end == SIZE_MAX ? l->bodies.len : end);
    l->bodies = str_sub(l->bodies, body.len + 1, l->bodies.len);
    buf_clear(&l->request);
    buf_addf(&l->request,
             "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
             "Content-Length: %zu\r\n\r\n",
             l->path, body.len);
    buf_add_str(&l->request, body);
    ssize_t n = send(k->fd, l->request.p, l->request.len, MSG_NOSIGNAL);
    if (n != (ssize_t)l->request.len)
        return error_errno(e, "send");
    l->open++;
    return 0;
}

/* Bytes of the reply at the start of `in`; 0 when it is not whole. */
static size_t reply_bytes(struct str in)
{
    static const struct str name = STR_INIT("\r\nContent-Length: ");
    size_t head = str_find(in, STR("\r\n\r\n"));
    size_t at = head == SIZE_MAX ? SIZE_MAX : str_find(str_sub(in, 0, head), name);
    uint64_t length;

    if (at == SIZE_MAX)
        return 0;
    struct str rest = str_sub(in, at + name.len, head + 2 - at - name.len);
    if (!str_number(str_sub(rest, 0, str_find(rest, STR("\r"))), &length))
        return 0;
    return in.len >= head + 4 + length ? head + 4 + (size_t)length : 0;
}

static int take_reply(struct load *l, struct link *k, struct error *e)
{
    char piece[READ_BYTES / 64];
    ssize_t n = recv(k->fd, piece, sizeof piece, MSG_DONTWAIT);

    if (n <= 0)
        return error_errno(e, "the server ended a connection");
    buf_add(&k->in, piece, (size_t)n);
    if (!buf_ok(&k->in))
        return error_set(e, ERROR_OUT_OF_RANGE, "a reply over %zu bytes", REPLY_BYTES_MAX);
    if (reply_bytes(buf_str(&k->in)) == 0)
        return 0;
    *(str_starts(buf_str(&k->in), STR("HTTP/1.1 200 ")) ? &l->answered : &l->failed) += 1;
    l->open--;
    buf_clear(&k->in);
    return send_next(l, k, e);
}

static int load_run(struct load *l, struct error *e)
{
    struct epoll_event events[EVENTS_MAX];

    for (uint64_t i = 0; i < l->concurrency; i++)
        if (link_open(l, &l->link[i], e) < 0 || send_next(l, &l->link[i], e) < 0)
            return -1;
    while (l->open > 0) {
        int count = epoll_wait(l->epoll, events, EVENTS_MAX, -1);
        if (count < 0 && errno != EINTR)
            return error_errno(e, "epoll");
        for (int i = 0; i < count; i++)
            if (take_reply(l, events[i].data.ptr, e) < 0)
                return -1;
    }
    return 0;
}

static double cpu_seconds(void)
{
    struct rusage u;

    (void)getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static int fail(const struct error *e, int code)
{
    (void)fprintf(stderr, "upstream_bare: %s\n", e->msg);
    return code;
}

int main(int argc, char **argv)
{
    struct buf bodies = BUF_INIT(BODIES_BYTES_MAX);
    struct load l = { .request = BUF_INIT(REQUEST_BYTES_MAX) };
    struct error e = { .msg = "usage: upstream_bare PORT PATH BODIES CONCURRENCY" };

    if (argc != 5 || !str_number(str_of(argv[1]), &l.port) || l.port > UINT16_MAX ||
        !str_number(str_of(argv[4]), &l.concurrency) || l.concurrency > CONCURRENCY_MAX)
        return fail(&e, 2);
    if (file_read(argv[3], &bodies, &e) < 0)
        return fail(&e, 1);
    l.path = argv[2];
    l.bodies = buf_str(&bodies);
    l.link = mem_array(l.concurrency + 1, sizeof *l.link);
    l.epoll = epoll_create1(0);
    uint64_t start = clock_system()->mono_ns(clock_system());
    if (l.epoll < 0 || load_run(&l, &e) < 0)
        return fail(&e, 1);
    printf("{\"seconds\":%.6f,\"cpu_seconds\":%.6f,\"answered\":%llu,\"failed\":%llu}\n",
           (double)(clock_system()->mono_ns(clock_system()) - start) / 1e9, cpu_seconds(),
           (unsigned long long)l.answered, (unsigned long long)l.failed);
    return 0;
}
