#include "server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "conn.h"
#include "work.h"

#define BACKLOG 4096
#define EVENTS_MAX 512
#define REPLY_BYTES_MAX (2 * HTTP_BODY_BYTES_MAX)

/* As many descriptors as the system lets us have. */
static void raise_descriptors(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int listen_on(struct server *s, struct sockaddr_in *at, struct error *e)
{
    socklen_t len = sizeof *at;
    int on = 1;
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = NULL };

    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (s->listener < 0)
        return error_errno(e, "socket");
    (void)setsockopt(s->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(s->listener, (struct sockaddr *)at, sizeof *at) < 0)
        return error_errno(e, "port %u", ntohs(at->sin_port));
    if (listen(s->listener, BACKLOG) < 0 ||
        getsockname(s->listener, (struct sockaddr *)at, &len) < 0)
        return error_errno(e, "listen");
    s->epoll = epoll_create1(0);
    if (s->epoll < 0 || epoll_ctl(s->epoll, EPOLL_CTL_ADD, s->listener, &event) < 0)
        return error_errno(e, "epoll");
    return 0;
}

int server_start(struct server *s, struct error *e)
{
    struct sockaddr_in at = { .sin_family = AF_INET,
                              .sin_port = htons((uint16_t)s->options.port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

    raise_descriptors();
    s->body = BUF_INIT(REPLY_BYTES_MAX);
    s->read = mem_alloc(READ_BYTES);
    work_init(s);
    if (listen_on(s, &at, e) < 0)
        return -1;
    printf("listening 127.0.0.1:%u\n", ntohs(at.sin_port));
    return fflush(stdout) == 0 ? 0 : error_errno(e, "standard output");
}

void server_release(struct server *s)
{
    timers_release(&s->timers);
    faults_release(&s->faults);
    work_release(s);
    buf_release(&s->body);
    mem_free(s->read);
    if (s->listener > 0)
        (void)close(s->listener);
    if (s->epoll > 0)
        (void)close(s->epoll);
}

static void accept_all(struct server *s)
{
    int fd;

    while ((fd = accept(s->listener, NULL, NULL)) >= 0) {
        if (s->connections < CONNECTIONS_MAX)
            conn_open(s, fd);
        else
            (void)close(fd);
    }
}

static void free_dead(struct server *s)
{
    while (s->dead) {
        struct conn *c = s->dead;
        s->dead = c->next;
        mem_free(c);
    }
}

/* Until the next timer; no sooner than now, no end when none is set. */
static const struct timespec *wait_time(const struct server *s, struct timespec *t)
{
    uint64_t when_ns;

    if (!timers_next(&s->timers, &when_ns))
        return NULL;
    uint64_t ns = when_ns > s->now_ns ? when_ns - s->now_ns : 0;
    *t = (struct timespec){ .tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S) };
    return t;
}

static void run_timers(struct server *s)
{
    struct timer *due;

    while ((due = timers_due(&s->timers, s->now_ns)) != NULL)
        conn_tick(s, due->owner);
}

int server_run(struct server *s, struct error *e)
{
    struct epoll_event events[EVENTS_MAX];
    struct timespec t;

    for (;;) {
        s->now_ns = clock_system()->mono_ns(clock_system());
        int count = epoll_pwait2(s->epoll, events, EVENTS_MAX, wait_time(s, &t), NULL);
        if (count < 0 && errno != EINTR)
            return error_errno(e, "epoll");
        s->now_ns = clock_system()->mono_ns(clock_system());
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr)
                conn_event(s, events[i].data.ptr, events[i].events);
            else
                accept_all(s);
        }
        run_timers(s);
        while (work_next(s)) {
        }
        free_dead(s);
    }
}
