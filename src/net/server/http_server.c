#include "net/server/http_server.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/thread.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/sys.h"
#include "net/server/http_inner.h"

#define PEER_MEMORY_BYTES                                                                          \
    ((size_t)64 * 1024) /* of a connection: its head and a piece of its body */
#define LOG_TEXT_BYTES 256
#define CONNECTIONS_DEFAULT 2000
#define CONNECTIONS_SPARE 256 /* of libmicrohttpd, so that the limit here decides */
#define PER_ADDRESS_DEFAULT 500
#define IDLE_S_DEFAULT 75
#define HEAD_S_DEFAULT 15
#define THREADS_DEFAULT 2
#define WORKERS_DEFAULT 8
#define QUEUE_DEFAULT 1000
#define TLS_PRIORITIES "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"

static uint32_t or_default(uint32_t value, uint32_t deflt)
{
    return value ? value : deflt;
}

/* ---- Workers ---- */

static void run_call(struct http_server *s, struct http_call *c)
{
    lock(&s->lock);
    bool late = s->closing && !c->sink_used;
    unlock(&s->lock);
    if (late)
        http_fail(c, 503, "the server is stopping");
    else if (http_body_unpack(c))
        s->h.handle(s->h.arg, c);
    http_call_unref(c);
}

static void *work(void *server)
{
    struct http_server *s = server;

    thread_role_set(THREAD_WORKER);
    for (;;) {
        struct http_call *c = chan_recv(s->queue, UINT32_MAX);
        if (!c)
            return NULL;
        run_call(s, c);
    }
}

static int start_threads(struct http_server *s, uint32_t workers, struct error *e)
{
    if (workers > HTTP_WORKERS_MAX)
        workers = HTTP_WORKERS_MAX;
    for (; s->worker_count < workers; s->worker_count++) {
        if (pthread_create(&s->worker[s->worker_count], NULL, work, s) != 0)
            return error_set(e, ERROR_RESOURCE_EXHAUSTED, "cannot start a thread");
    }
    return 0;
}

static int start_keeper(struct http_server *s, struct error *e)
{
    if (pthread_create(&s->keeper, NULL, http_keeper, s) != 0)
        return error_set(e, ERROR_RESOURCE_EXHAUSTED, "cannot start a thread");
    s->keeper_runs = true;
    return 0;
}

/* ---- libmicrohttpd ---- */

__attribute__((format(printf, 2, 0))) static void log_mhd(void *cls, const char *fmt, va_list ap)
{
    char text[LOG_TEXT_BYTES];

    (void)cls;
    (void)vsnprintf(text, sizeof text, fmt, ap);
    log_debug("http: %s", text);
}

/* libmicrohttpd must leave escapes alone: http_decode undoes them. */
static size_t leave_escapes(void *cls, struct MHD_Connection *conn, char *s)
{
    (void)cls;
    (void)conn;
    return strlen(s);
}

static void callback_options(struct http_server *s, struct MHD_OptionItem *o)
{
    const struct MHD_OptionItem all[] = {
        { MHD_OPTION_NOTIFY_COMPLETED, (intptr_t)http_on_completed, s },
        { MHD_OPTION_NOTIFY_CONNECTION, (intptr_t)http_on_peer, s },
        { MHD_OPTION_URI_LOG_CALLBACK, (intptr_t)http_on_target, s },
        { MHD_OPTION_UNESCAPE_CALLBACK, (intptr_t)leave_escapes, s },
        { MHD_OPTION_END, 0, NULL },
    };

    memcpy(o, all, sizeof all);
}

static void tls_options(struct http_server *s, struct MHD_OptionItem *o)
{
    const struct MHD_OptionItem all[] = {
        { MHD_OPTION_HTTPS_MEM_CERT, 0, s->pem[0].p },
        { MHD_OPTION_HTTPS_MEM_KEY, 0, s->pem[1].p },
        { MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t)TLS_PRIORITIES },
        { MHD_OPTION_END, 0, NULL },
    };

    if (s->tls)
        memcpy(o, all, sizeof all);
}

static int start_daemon(struct http_server *s, const struct http_settings *set, struct error *e)
{
    const unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME |
                           MHD_USE_ERROR_LOG | (s->tls ? MHD_USE_TLS : 0U);
    struct MHD_OptionItem callbacks[8] = { 0 }, tls[8] = { { MHD_OPTION_END, 0, NULL } };

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s->quiet) < 0)
        return error_errno(e, "cannot start the HTTP server");
    callback_options(s, callbacks);
    tls_options(s, tls);
    s->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, http_on_access, s, MHD_OPTION_EXTERNAL_LOGGER, log_mhd, NULL,
        MHD_OPTION_LISTEN_SOCKET, s->quiet[0], MHD_OPTION_THREAD_POOL_SIZE,
        or_default(set->threads, THREADS_DEFAULT), MHD_OPTION_CONNECTION_LIMIT,
        s->connections_max + CONNECTIONS_SPARE, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
        or_default(set->connections_per_address_max, PER_ADDRESS_DEFAULT),
        MHD_OPTION_CONNECTION_TIMEOUT, s->idle_s, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        PEER_MEMORY_BYTES, MHD_OPTION_ARRAY, callbacks, MHD_OPTION_ARRAY, tls, MHD_OPTION_END);
    if (!s->daemon) /* it may have closed quiet[0] or not: the descriptor is left to the process */
        return error_set(e, ERROR_INTERNAL, "cannot start the HTTP server on %s%s", s->at,
                         s->tls ? ": check the TLS certificate and key" : "");
    return 0;
}

/* ---- Start ---- */

static struct http_server *server_new(const struct http_settings *set,
                                      const struct http_handlers *h)
{
    struct http_server *s = mem_alloc(sizeof *s);

    s->h = *h;
    s->refs = 1;
    s->listen_fd = s->quiet[0] = s->quiet[1] = -1;
    s->idle_s = or_default(set->idle_s, IDLE_S_DEFAULT);
    s->head_s = or_default(set->head_s, HEAD_S_DEFAULT);
    s->queue_max = or_default(set->queue_max, QUEUE_DEFAULT);
    s->connections_max = or_default(set->connections_max, CONNECTIONS_DEFAULT);
    s->started_us = clock_system()->wall_us(clock_system());
    s->pem[0] = s->pem[1] = BUF_INIT(HTTP_PEM_BYTES_MAX + 1);
    /* Bodies that broke off are queued beyond queue_max, at most one per connection. */
    s->queue = chan_new((size_t)s->queue_max + s->connections_max);
    lock_init(&s->lock);
    cond_init(&s->call_left);
    return s;
}

static int load_tls(struct http_server *s, const struct http_settings *set, struct error *e)
{
    if (!set->tls_cert && !set->tls_key)
        return 0;
    if (MHD_is_feature_supported(MHD_FEATURE_TLS) != MHD_YES)
        return error_set(e, ERROR_UNIMPLEMENTED, "this libmicrohttpd was built without TLS");
    if (http_tls_read(set->tls_cert, set->tls_key, s->pem, e) < 0)
        return -1;
    s->tls = true;
    return 0;
}

static int open_listener(struct http_server *s, const char *where, struct error *e)
{
    s->listen_fd = http_listen(where, &s->port, e);
    if (s->listen_fd < 0)
        return -1;
    const char *colon = strrchr(where, ':'); /* it was parsed: there is one */
    (void)snprintf(s->at, sizeof s->at, "%.*s:%u", (int)(colon - where), where, s->port);
    return 0;
}

struct http_server *http_server_start(const struct http_settings *set,
                                      const struct http_handlers *h, struct error *e)
{
    struct http_server *s = server_new(set, h);

    if (load_tls(s, set, e) < 0 || open_listener(s, set->listen, e) < 0 ||
        start_threads(s, or_default(set->workers, WORKERS_DEFAULT), e) < 0 ||
        start_daemon(s, set, e) < 0 || start_keeper(s, e) < 0) {
        http_server_free(s, 0);
        return NULL;
    }
    return s;
}

uint16_t http_server_port(const struct http_server *s)
{
    return s->port;
}

/* ---- End ---- */

/* The socket is shut down here but closed later, when the keeper cannot use it any more. */
void http_server_quiesce(struct http_server *s)
{
    lock(&s->lock);
    s->quiesced = true;
    unlock(&s->lock);
    (void)shutdown(s->listen_fd, SHUT_RDWR);
}

/* Under the lock: waits until no call has a connection, or the time is over. */
static void await_calls(struct http_server *s, uint32_t timeout_ms)
{
    uint64_t deadline = deadline_in_ms(timeout_ms);

    while (s->calls && cond_wait_until(&s->call_left, &s->lock, deadline)) {
    }
}

/* Under the lock: resumes all connections, as libmicrohttpd requires before it stops. */
static void wake_all(struct http_server *s)
{
    s->closing = true;
    for (struct http_call *c = s->calls; c; c = c->next) {
        if (c->suspended)
            MHD_resume_connection(c->conn);
        c->suspended = false;
    }
}

void http_server_unref(struct http_server *s)
{
    lock(&s->lock);
    bool last = --s->refs == 0;
    unlock(&s->lock);
    if (!last)
        return;
    cond_destroy(&s->call_left);
    lock_destroy(&s->lock);
    chan_free(s->queue);
    buf_release(&s->pem[0]);
    buf_release(&s->pem[1]);
    mem_free(s);
}

/* The connections end before the workers, so that workers still handle the bodies that this cuts off. */
void http_server_free(struct http_server *s, uint32_t timeout_ms)
{
    if (!s)
        return;
    http_server_quiesce(s);
    lock(&s->lock);
    await_calls(s, timeout_ms);
    wake_all(s);
    unlock(&s->lock);
    if (s->keeper_runs) {
        (void)send(s->quiet[0], "", 1, MSG_NOSIGNAL);
        thread_join(s->keeper);
    }
    if (s->daemon)
        MHD_stop_daemon(s->daemon);
    chan_close(s->queue);
    for (uint32_t i = 0; i < s->worker_count; i++)
        thread_join(s->worker[i]);
    if (s->listen_fd >= 0)
        (void)close(s->listen_fd);
    if (s->quiet[1] >= 0)
        (void)close(s->quiet[1]);
    http_server_unref(s);
}
