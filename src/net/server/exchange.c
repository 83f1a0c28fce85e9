#include <stdio.h>
#include <string.h>

#include "base/thread.h"
#include "base/clock.h"
#include "base/metric.h"
#include "net/server/http_inner.h"

void *http_on_target(void *cls, const char *target, struct MHD_Connection *conn)
{
    struct http_server *s = cls;
    struct http_call *c = http_call_new(s, target ? target : "");

    lock(&s->lock);
    c->conn = conn;
    c->peer = http_peer_of(conn);
    unlock(&s->lock);
    memcpy(c->remote, c->peer->address, sizeof c->remote);
    http_peer_head_began(s, c->peer);
    return c;
}

/* Gives the answer to libmicrohttpd; without one the connection ends. */
static enum MHD_Result send_answer(struct http_call *c)
{
    struct MHD_Response *r = http_call_take(c);

    if (!r)
        return MHD_NO;
    enum MHD_Result rc = MHD_queue_response(c->conn, (unsigned)c->status, r);
    MHD_destroy_response(r);
    return rc;
}

/* An answer before the body: small bodies are read all the same, so that the connection lives. A
 * client that waits for "100 Continue" is told at once. */
static bool answers_at_once(const struct http_call *c)
{
    if (!c->status)
        return false;
    bool large = c->content_length != UINT64_MAX && c->content_length > HTTP_DISCARD_BYTES_MAX;
    return c->must_close || (c->has_body && (c->expects_continue || large));
}

static enum MHD_Result on_head(struct http_call *c, const char *method, const char *version)
{
    struct http_server *s = c->server;

    c->head_read = true;
    http_peer_head_ended(s, c->peer);
    if (http_head_read(c, method, version)) {
        c->begun = true;
        http_body_plan(c, s->h.begin(s->h.arg, c));
    }
    return answers_at_once(c) ? send_answer(c) : MHD_YES;
}

static void undo_enqueue(struct http_call *c)
{
    lock(&c->server->lock);
    c->owed = false;
    c->refs -= 2; /* the connection has one still */
    unlock(&c->server->lock);
}

/* Gives the call to a worker, which holds it, as does the answer that it owes. */
static bool enqueue(struct http_call *c)
{
    lock(&c->server->lock);
    c->owed = true;
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
    if (http_status(c)) /* begin or a limit has answered; or the worker, and we were woken */
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
    if (*size == 0)
        return on_body_end(c);
    size_t len = *size;
    *size = 0;
    return http_body_take(c, data, len) ? MHD_YES : MHD_NO;
}

static void count_call(const struct http_call *c)
{
    char code[32];
    int status = http_status(c);
    uint64_t ns = clock_system()->mono_ns(clock_system()) - c->begun_ns;

    if (!status)
        status = c->head_read ? 499 : 400; /* left before the answer; refused by libmicrohttpd */
    (void)snprintf(code, sizeof code, "code=\"%d\"", status);
    metric_add(metric_counter("tranche_http_requests_total", "HTTP requests that ended", code), 1);
    metric_observe(metric_histogram("tranche_http_request_seconds",
                                    "From the first line of a request to the end of its answer",
                                    NULL),
                   (double)ns / (double)NS_PER_S);
}

/* A body that broke off in its sink is told to the handler, who may save what came. */
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
    http_call_detach(c);
    if (unsent)
        MHD_destroy_response(unsent);
    count_call(c);
    if (c->sink_used && !c->body_complete && !http_status(c)) {
        http_body_broke_off(c);
        (void)enqueue(c); /* no room: end alone tells it */
    }
    http_call_unref(c);
}
