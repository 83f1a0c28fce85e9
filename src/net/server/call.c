#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/thread.h"
#include "net/server/http_inner.h"

/* ---- Its life ---- */

static void link_call(struct http_call *c)
{
    struct http_server *s = c->server;

    c->next = s->calls;
    c->at = &s->calls;
    if (c->next)
        c->next->at = &c->next;
    s->calls = c;
    s->refs++;
}

struct http_call *http_call_new(struct http_server *s, const char *target)
{
    struct http_call *c = mem_alloc(sizeof *c);
    size_t len = strlen(target);

    c->server = s;
    c->refs = 1;
    c->target = (struct str){ arena_copy(&c->arena, target, len), len };
    c->keep_max = HTTP_KEEP_BYTES;
    c->content_length = UINT64_MAX;
    (void)snprintf(c->id, sizeof c->id, "%" PRIx64 "-%" PRIx64, (uint64_t)s->started_us,
                   (uint64_t)atomic_fetch_add(&s->ids, 1));
    lock(&s->lock);
    link_call(c);
    unlock(&s->lock);
    return c;
}

void http_call_ref(struct http_call *c)
{
    lock(&c->server->lock);
    c->refs++;
    unlock(&c->server->lock);
}

void http_call_unref(struct http_call *c)
{
    struct http_server *s = c->server;

    lock(&s->lock);
    bool last = --c->refs == 0;
    unlock(&s->lock);
    if (!last)
        return;
    if (c->begun && s->h.end)
        s->h.end(s->h.arg, c);
    buf_release(&c->body);
    buf_release(&c->held);
    arena_release(&c->arena);
    mem_free(c);
    http_server_unref(s);
}

void http_hold(struct http_call *c)
{
    http_call_ref(c);
}

void http_release(struct http_call *c)
{
    http_call_unref(c);
}

/* ---- Its connection ---- */

bool http_call_suspend(struct http_call *c)
{
    struct http_server *s = c->server;

    lock(&s->lock);
    bool may = c->conn && !c->cut && !s->closing;
    if (may) {
        MHD_suspend_connection(c->conn);
        c->suspended = true;
    }
    unlock(&s->lock);
    return may;
}

bool http_call_sleep(struct http_call *c)
{
    struct http_server *s = c->server;

    lock(&s->lock);
    bool may = c->conn && !c->cut && !s->closing;
    if (may && !c->woken) {
        MHD_suspend_connection(c->conn);
        c->suspended = true;
    }
    c->woken = false;
    unlock(&s->lock);
    return may;
}

/* Under the lock, so that the connection is there. */
static void wake(struct http_call *c)
{
    if (c->suspended)
        MHD_resume_connection(c->conn);
    c->suspended = false;
}

void http_call_resume(struct http_call *c)
{
    lock(&c->server->lock);
    wake(c);
    unlock(&c->server->lock);
}

void http_source_wake(struct http_call *c)
{
    lock(&c->server->lock);
    c->woken = !c->suspended;
    wake(c);
    unlock(&c->server->lock);
}

void http_call_cut(struct http_call *c)
{
    lock(&c->server->lock);
    c->cut = true;
    if (c->peer)
        (void)shutdown(c->peer->fd, SHUT_RDWR);
    wake(c);
    unlock(&c->server->lock);
}

struct MHD_Response *http_call_take(struct http_call *c)
{
    lock(&c->server->lock);
    struct MHD_Response *r = c->response;
    c->response = NULL;
    unlock(&c->server->lock);
    return r;
}

bool http_call_detach(struct http_call *c)
{
    struct http_server *s = c->server;

    lock(&s->lock);
    *c->at = c->next;
    if (c->next)
        c->next->at = c->at;
    c->conn = NULL;
    c->peer = NULL;
    bool begun = !c->begin_later || c->begin_ended;
    cond_broadcast(&s->call_left);
    unlock(&s->lock);
    return begun;
}

/* ---- The request ---- */

enum http_method http_method(const struct http_call *c)
{
    return c->method;
}

struct str http_path(const struct http_call *c)
{
    return c->path;
}

struct str http_header(const struct http_call *c, const char *name)
{
    for (size_t i = 0; i < c->field_count; i++) {
        if (strcasecmp(c->field[i].name, name) == 0)
            return c->field[i].value;
    }
    return (struct str){ "", 0 };
}

struct str http_body(const struct http_call *c)
{
    return buf_str(&c->body);
}

uint64_t http_body_bytes(const struct http_call *c)
{
    return c->body_bytes;
}

const struct error *http_body_error(const struct http_call *c)
{
    return c->body_failed ? &c->body_error : NULL;
}

bool http_body_complete(const struct http_call *c)
{
    return c->body_complete;
}

const char *http_id(const struct http_call *c)
{
    return c->id;
}

struct str http_base_url(struct http_call *c)
{
    struct str host = http_header(c, "host"); /* the head's check allows no odd one */
    struct buf url = BUF_INIT((size_t)2 * HTTP_HOST_BYTES_MAX);

    buf_add_c(&url, c->server->tls ? "https://" : "http://");
    if (host.len)
        buf_add_str(&url, host);
    else
        buf_add_c(&url, c->server->at);
    struct str out = { arena_copy(&c->arena, url.p, url.len), url.len };
    buf_release(&url);
    return out;
}

struct arena *http_arena(struct http_call *c)
{
    return &c->arena;
}

int http_status(const struct http_call *c)
{
    lock(&c->server->lock);
    int status = c->status;
    unlock(&c->server->lock);
    return status;
}

bool http_gone(const struct http_call *c)
{
    lock(&c->server->lock);
    bool gone = c->gone_told;
    unlock(&c->server->lock);
    return gone;
}

void http_attach(struct http_call *c, void *p)
{
    c->attached = p;
}

void *http_attached(const struct http_call *c)
{
    return c->attached;
}

void http_set_sink(struct http_call *c, const struct http_sink *sink)
{
    assert(sink->write);
    c->sink = *sink;
}

void http_set_keep_max(struct http_call *c, size_t bytes)
{
    c->keep_max = bytes;
}
