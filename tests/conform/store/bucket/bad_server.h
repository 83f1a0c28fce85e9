/* bad_server.h -- stands between a bucket's client and its server, and spoils the requests that it is told to spoil. */
#ifndef TRANCHE_TESTS_BAD_SERVER_H
#define TRANCHE_TESTS_BAD_SERVER_H

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/thread.h"

enum bad {
    BAD_NOTHING,
    BAD_STATUS,      /* answers with `status` and does not ask the server */
    BAD_LOST,        /* the server does what it was asked for; the answer is lost */
    BAD_CUT_REQUEST, /* the connection ends while the request comes */
    BAD_CUT_ANSWER,  /* the connection ends in the middle of the answer's body */
    BAD_SILENT,      /* no answer comes */
    BAD_ANSWER_BYTE, /* a byte of the answer's body is another one */
    BAD_REQUEST_BYTE /* a byte of the request's body is another one */
};
struct bad_spec {
    enum bad kind;
    const char *line; /* of requests that are meant: what their first line begins with; NULL: any */
    const char *with; /* and what it has; NULL: anything */
    unsigned times;   /* so many of them */
    int status;
};
struct bad_server {
    int listener;
    uint16_t port, server_port;
    pthread_t thread;
    pthread_mutex_t lock; /* guards everything below */
    pthread_cond_t ended;
    unsigned connections;
    struct bad_spec spec;
    unsigned spoiled, requests;
    char log[4096]; /* the first lines of requests since bad_set, as far as they fit */
};
struct bad_connection {
    struct bad_server *b;
    int client;
};
#define BAD_HEAD_MAX 65536
#define BAD_BODY_MAX ((size_t)64 * 1024 * 1024)

static void bad_set(struct bad_server *b, struct bad_spec spec)
{
    lock(&b->lock);
    b->spec = spec;
    b->spoiled = b->requests = 0;
    b->log[0] = '\0';
    unlock(&b->lock);
}

static unsigned bad_spoiled(struct bad_server *b)
{
    lock(&b->lock);
    unsigned n = b->spoiled;
    unlock(&b->lock);
    return n;
}

static unsigned bad_requests(struct bad_server *b)
{
    lock(&b->lock);
    unsigned n = b->requests;
    unlock(&b->lock);
    return n;
}

/* How often a first line with both texts came. */
static unsigned bad_logged(struct bad_server *b, const char *begin, const char *with)
{
    unsigned n = 0;

    lock(&b->lock);
    struct str rest = str_of(b->log), line;
    while (str_next(&rest, '\n', &line))
        n += str_starts(line, str_of(begin)) && str_find(line, str_of(with)) != SIZE_MAX;
    unlock(&b->lock);
    return n;
}

static struct bad_spec bad_decide(struct bad_server *b, const char *head)
{
    char line[512];
    struct bad_spec now = { 0 };
    int len = (int)strcspn(head, "\r");

    (void)snprintf(line, sizeof line, "%.*s", len, head);
    lock(&b->lock);
    b->requests++;
    size_t used = strlen(b->log);
    (void)snprintf(b->log + used, sizeof b->log - used, "%s\n", line);
    if (b->spec.times &&
        (!b->spec.line || strncmp(line, b->spec.line, strlen(b->spec.line)) == 0) &&
        (!b->spec.with || strstr(line, b->spec.with))) {
        b->spec.times--;
        b->spoiled++;
        now = b->spec;
    }
    unlock(&b->lock);
    return now;
}

static bool bad_send(int fd, const char *p, size_t len)
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

/* Reads until the end of the connection, or `most` bytes. */
static size_t bad_read(int fd, char *out, size_t most)
{
    size_t len = 0;

    while (len < most) {
        ssize_t n = recv(fd, out + len, most - len, 0);
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    return len;
}

static void bad_drain(int fd)
{
    char bytes[4096];

    while (recv(fd, bytes, sizeof bytes, 0) > 0) {
    }
}

/* A head and what came behind it; the length of the head with its empty line, or 0. */
static size_t bad_head(int fd, char *head, size_t *len)
{
    for (*len = 0; *len < BAD_HEAD_MAX;) {
        ssize_t n = recv(fd, head + *len, BAD_HEAD_MAX - *len, 0);
        if (n <= 0)
            return 0;
        *len += (size_t)n;
        head[*len] = '\0';
        const char *end = strstr(head, "\r\n\r\n");
        if (end)
            return (size_t)(end + 4 - head);
    }
    return 0;
}

static size_t bad_length(const char *head)
{
    const char *line = strstr(head, "\r\nContent-Length: ");

    return line ? strtoul(line + strlen("\r\nContent-Length: "), NULL, 10) : 0;
}

static int bad_connect(uint16_t port)
{
    struct sockaddr_in a = { .sin_family = AF_INET,
                             .sin_port = htons(port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert(fd >= 0);
    if (connect(fd, (struct sockaddr *)&a, sizeof a) == 0)
        return fd;
    (void)close(fd);
    return -1;
}

/* The request to the server, on a connection for it alone, and its answer. */
static size_t bad_ask(struct bad_server *b, int client, const char *head, size_t len,
                      size_t head_len, bool spoil, char *answer)
{
    size_t body_len = bad_length(head), first = strcspn(head, "\n") + 1, got = 0;
    char *body = mem_alloc(body_len + 1);
    size_t have = len - head_len < body_len ? len - head_len : body_len;
    int server = bad_connect(b->server_port);

    memcpy(body, head + head_len, have);
    have += bad_read(client, body + have, body_len - have);
    if (spoil && have)
        body[have / 2] ^= 1;
    if (server >= 0 && have == body_len && bad_send(server, head, first) &&
        bad_send(server, "Connection: close\r\n", strlen("Connection: close\r\n")) &&
        bad_send(server, head + first, head_len - first) && bad_send(server, body, body_len))
        got = bad_read(server, answer, BAD_BODY_MAX);
    if (server >= 0)
        (void)close(server);
    mem_free(body);
    return got;
}

static void bad_pass(struct bad_server *b, int client, const char *head, size_t len,
                     size_t head_len, enum bad kind)
{
    char *answer = mem_alloc(BAD_BODY_MAX + 1);
    size_t got = bad_ask(b, client, head, len, head_len, kind == BAD_REQUEST_BYTE, answer);
    const char *end = strstr(answer, "\r\n\r\n");
    size_t body = end ? (size_t)(end + 4 - answer) : got;

    if (kind == BAD_CUT_ANSWER)
        got = body + (got - body) / 2;
    if (kind == BAD_ANSWER_BYTE && got > body)
        answer[body + (got - body) / 2] ^= 1;
    if (kind != BAD_LOST)
        (void)bad_send(client, answer, got);
    mem_free(answer);
}

static void bad_serve(struct bad_server *b, int client)
{
    char *head = mem_alloc(BAD_HEAD_MAX + 1), text[128];
    size_t len, head_len = bad_head(client, head, &len);

    if (head_len) {
        struct bad_spec now = bad_decide(b, head);
        if (now.kind == BAD_STATUS) {
            int n = snprintf(text, sizeof text,
                             "HTTP/1.1 %d No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                             now.status);
            (void)bad_send(client, text, (size_t)n);
            (void)shutdown(client, SHUT_WR);
            bad_drain(client);
        } else if (now.kind == BAD_SILENT) {
            bad_drain(client);
        } else if (now.kind != BAD_CUT_REQUEST) {
            bad_pass(b, client, head, len, head_len, now.kind);
        }
    }
    mem_free(head);
}

static void *bad_connection_run(void *arg)
{
    struct bad_connection *c = arg;
    struct bad_server *b = c->b;

    bad_serve(b, c->client);
    (void)close(c->client);
    mem_free(c);
    lock(&b->lock);
    b->connections--;
    cond_signal(&b->ended);
    unlock(&b->lock);
    return NULL;
}

static void *bad_listen(void *arg)
{
    struct bad_server *b = arg;
    pthread_t thread;
    int client;

    while ((client = accept(b->listener, NULL, NULL)) >= 0) {
        struct bad_connection *c = mem_alloc(sizeof *c);
        *c = (struct bad_connection){ b, client };
        lock(&b->lock);
        b->connections++;
        unlock(&b->lock);
        int rc = pthread_create(&thread, NULL, bad_connection_run, c);
        assert(rc == 0);
        rc = pthread_detach(thread);
        assert(rc == 0);
    }
    return NULL;
}

static void bad_start(struct bad_server *b, uint16_t server_port)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof a;

    *b = (struct bad_server){ .server_port = server_port };
    lock_init(&b->lock);
    cond_init(&b->ended);
    b->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int rc = bind(b->listener, (struct sockaddr *)&a, sizeof a);
    assert(rc == 0);
    rc = listen(b->listener, 128);
    assert(rc == 0);
    rc = getsockname(b->listener, (struct sockaddr *)&a, &size);
    assert(rc == 0);
    b->port = ntohs(a.sin_port);
    rc = pthread_create(&b->thread, NULL, bad_listen, b);
    assert(rc == 0);
}

/* Every client is gone. */
static void bad_stop(struct bad_server *b)
{
    (void)shutdown(b->listener, SHUT_RDWR);
    thread_join(b->thread);
    (void)close(b->listener);
    lock(&b->lock);
    while (b->connections)
        cond_wait(&b->ended, &b->lock);
    unlock(&b->lock);
    cond_destroy(&b->ended);
    lock_destroy(&b->lock);
}

#endif
