#include <string.h>

#include "net/server/http_inner.h"

static void refuse_large(struct http_call *c)
{
    buf_release(&c->body);
    c->mode = HTTP_MODE_DISCARD;
    http_fail(c, 413, "the body is over %zu bytes", c->keep_max);
}

void http_body_plan(struct http_call *c, enum http_next next)
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
    uint64_t max = c->sink_used ? HTTP_BROKEN_BYTES_MAX : HTTP_DISCARD_BYTES_MAX;

    c->discarded += len;
    return c->discarded <= max;
}

bool http_body_take(struct http_call *c, const char *p, size_t len)
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

void http_body_broke_off(struct http_call *c)
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
