/* libmicrohttpd's calls for one exchange: its head, its body, its answer, its end. All but the unpacking
 * of a body runs on the connection's thread. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/thread.h"
#include "base/metric.h"
#include "net/server/http_inner.h"

/* ---- The body ---- */

static void refuse_large(struct http_call *c)
{
    buf_release(&c->body);
    c->mode = HTTP_MODE_DISCARD;
    http_fail(c, 413, "the body is over %zu bytes", c->keep_max);
}

static void body_plan(struct http_call *c, enum http_next next)
{
    c->mode = next == HTTP_KEEP   ? HTTP_MODE_KEEP
              : next == HTTP_SINK ? HTTP_MODE_SINK
                                  : HTTP_MODE_DISCARD;
    c->sink_used = next == HTTP_SINK;
    if (c->mode != HTTP_MODE_KEEP)
        return;
    c->body = BUF_INIT(c->keep_max);
    if (c->content_length != UINT64_MAX && c->content_length > c->keep_max)
        refuse_large(c);
}

static bool discard(struct http_call *c, size_t len)
{
    bool late = c->sink_used || c->begin_later;
    uint64_t max = late ? HTTP_BROKEN_BYTES_MAX : HTTP_DISCARD_BYTES_MAX;

    c->discarded += len;
    return c->discarded <= max;
}

static bool body_take(struct http_call *c, const char *p, size_t len)
{
    struct error e;

    c->body_bytes += len;
    if (c->mode == HTTP_MODE_KEEP) {
        buf_add(&c->body, p, len);
        if (c->body.overflow)
            refuse_large(c);
        return true;
    }
    if (c->mode == HTTP_MODE_SINK) {
        if (c->sink.write(c->sink.arg, p, len, &e) == 0)
            return true;
        c->body_error = e;
        c->body_failed = true;
        c->mode = HTTP_MODE_DISCARD;
    }
    return discard(c, len);
}

static void body_broke_off(struct http_call *c)
{
    if (!c->body_failed)
        (void)error_set(&c->body_error, ERROR_CANCELLED,
                        "the client left in the middle of the body");
    c->body_failed = true;
}

bool http_body_unpack(struct http_call *c)
{
    struct buf plain;
    struct error e;

    if (c->sink_used || !c->gzip || !c->body.len)
        return true;
    if (http_gunzip(buf_str(&c->body), c->keep_max, &plain, &e) < 0) {
        http_fail(c, e.code == ERROR_OUT_OF_RANGE ? 413 : 400, "%s", e.msg);
        return false;
    }
    buf_release(&c->body);
    c->body = plain;
    return true;
}

/* ---- The exchange ---- */

void *http_on_target(void *cls, const char *target, struct MHD_Connection *conn)
{
    struct http_server *s = cls;
    struct http_call *c = http_call_new(s, target ? target : "");

    thread_role_set(THREAD_CONNECTION); /* libmicrohttpd makes the thread, and begins here */
    lock(&s->lock);
    c->conn = conn;
    c->peer = http_peer_of(conn);
    unlock(&s->lock);
    http_peer_head_began(s, c->peer);
    return c;
}

static void count_call(struct http_call *c, int status)
{
    char code[32];

    (void)snprintf(code, sizeof code, "code=\"%d\"", status);
    metric_add(metric_counter("tranche_http_requests_total",
                              "HTTP requests that were answered, or whose client left", code),
               1);
    c->counted = true;
}

/* Gives the answer to libmicrohttpd; without one the connection ends. The call is counted first: a
 * client that has its answer must find itself in the counters. */
static enum MHD_Result send_answer(struct http_call *c)
{
    struct MHD_Response *r = http_call_take(c);

    if (!r)
        return MHD_NO;
    count_call(c, c->status);
    enum MHD_Result rc = MHD_queue_response(c->conn, (unsigned)c->status, r);
    MHD_destroy_response(r);
    return rc;
}

/* Is an answer sent before the body has come? Small bodies are read first, so that the connection can be
 * kept; a client that waits for "100 Continue" gets its answer now. */
static bool answers_at_once(const struct http_call *c)
{
    if (!c->status)
        return false;
    bool large = c->content_length != UINT64_MAX && c->content_length > HTTP_DISCARD_BYTES_MAX;
    return c->must_close || (c->has_body && (c->expects_continue || large));
}

/* libmicrohttpd gives some of the body before it lets a connection sleep. */
static bool hold(struct http_call *c, const char *p, size_t len)
{
    if (len > 0)
        buf_add(&c->held, p, len);
    return buf_ok(&c->held);
}

static bool held_take(struct http_call *c)
{
    bool taken = body_take(c, c->held.p, c->held.len);

    buf_release(&c->held);
    return taken;
}

/* Does begin go on elsewhere? Then the connection sleeps until it has ended. */
static bool awaits_begin(struct http_call *c)
{
    struct http_server *s = c->server;

    lock(&s->lock);
    bool waits = c->begin_later && !c->begin_ended && c->conn && !c->cut && !s->closing;
    if (waits && !c->suspended) { /* libmicrohttpd may come once more before it sleeps */
        MHD_suspend_connection(c->conn);
        c->suspended = true;
    }
    unlock(&s->lock);
    return waits;
}

static enum MHD_Result begin_goes_on(struct http_call *c)
{
    lock(&c->server->lock);
    c->begin_later = true;
    unlock(&c->server->lock);
    return MHD_YES;
}

static enum MHD_Result on_head(struct http_call *c, const char *method, const char *version)
{
    struct http_server *s = c->server;

    c->head_read = true;
    http_peer_head_ended(s, c->peer);
    if (http_head_read(c, method, version)) {
        c->begun = true;
        c->mode = HTTP_MODE_DISCARD; /* for an answer that comes before its plan */
        c->held = BUF_INIT(HTTP_HELD_BYTES_MAX);
        enum http_next next = s->h.begin(s->h.arg, c);
        if (next == HTTP_LATER)
            return begin_goes_on(c);
        body_plan(c, next);
    }
    return answers_at_once(c) ? send_answer(c) : MHD_YES;
}

static void undo_enqueue(struct http_call *c)
{
    lock(&c->server->lock);
    c->reply_due = false;
    c->refs -= 2; /* the connection has one still */
    unlock(&c->server->lock);
}

/* Gives the call to a worker. The worker and the reply that is due hold the call. */
static bool enqueue(struct http_call *c)
{
    lock(&c->server->lock);
    c->reply_due = true;
    c->refs += 2;
    unlock(&c->server->lock);
    if (chan_try_send(c->server->queue, c))
        return true;
    undo_enqueue(c);
    return false;
}

static void refuse_busy(struct http_call *c)
{
    http_set_header(c, "Retry-After", STR("1"));
    http_fail(c, 503, "the server is busy; try again");
}

static enum MHD_Result on_body_end(struct http_call *c)
{
    c->body_complete = true;
    if (http_status(c)) /* begin, a limit or the worker has answered */
        return send_answer(c);
    if (c->queued) /* woken without an answer: the server closes */
        return MHD_NO;
    if (chan_count(c->server->queue) >= c->server->queue_max) {
        refuse_busy(c);
        return send_answer(c);
    }
    if (!http_call_suspend(c))
        return MHD_NO;
    c->queued = true;
    if (!enqueue(c)) {
        refuse_busy(c);
        http_call_resume(c);
    }
    return MHD_YES;
}

// NOLINTNEXTLINE(readability-function-size): the parameters are libmicrohttpd's
enum MHD_Result http_on_access(void *cls, struct MHD_Connection *conn, const char *url,
                               const char *method, const char *version, const char *data,
                               size_t *size, void **arg)
{
    struct http_call *c = *arg;

    (void)cls;
    (void)conn;
    (void)url; /* with %XX undone in place: c->target has it as sent */
    if (!c->head_read)
        return on_head(c, method, version);
    if (awaits_begin(c)) {
        bool held = hold(c, data, *size);
        *size = 0;
        return held ? MHD_YES : MHD_NO;
    }
    if (c->held.len > 0 && !held_take(c))
        return MHD_NO;
    if (*size == 0)
        return on_body_end(c);
    size_t len = *size;
    *size = 0;
    return body_take(c, data, len) ? MHD_YES : MHD_NO;
}

/* The handler also gets a body that broke off in its sink: it may keep what came. */
static void give_broken(struct http_call *c)
{
    if (!c->sink_used || c->body_complete || http_status(c))
        return;
    if (c->held.len > 0)
        (void)held_take(c);
    body_broke_off(c);
    (void)enqueue(c); /* no room: only end is called */
}

void http_on_completed(void *cls, struct MHD_Connection *conn, void **arg,
                       enum MHD_RequestTerminationCode why)
{
    struct http_call *c = *arg;

    (void)conn;
    (void)why;
    if (!c)
        return;
    *arg = NULL;
    http_peer_call_ended(cls, c->peer);
    struct MHD_Response *unsent = http_call_take(c);
    bool begun = http_call_detach(c);
    if (unsent)
        MHD_destroy_response(unsent);
    if (!c->counted) { /* the client left before the answer, or libmicrohttpd refused the head */
        int status = http_status(c);
        count_call(c, status ? status : c->head_read ? 499 : 400);
    }
    if (begun)
        give_broken(c);
    http_call_unref(c);
}

void http_begin_end(struct http_call *c, enum http_next next)
{
    assert(next != HTTP_LATER);
    body_plan(c, next);
    lock(&c->server->lock);
    bool left = c->begin_later && !c->conn; /* so that nobody else looks at it any more */
    c->begin_ended = true;
    if (c->suspended)
        MHD_resume_connection(c->conn);
    c->suspended = false;
    unlock(&c->server->lock);
    if (left)
        give_broken(c);
}
