#include "api/resume.h"

#include <inttypes.h>
#include <stdio.h>

#define RANGE_BYTES 48

int resume_span(struct call *c, struct resume *r, struct error *e)
{
    struct str range = http_header(c->http, "Content-Range");

    if (range.len > 0)
        return media_span_read(range, &r->span, e);
    r->span = (struct media_span){ .has_bytes = true };
    return 0;
}

/* A call that asks for the state opens the upload too: then no other call writes, and the bytes that we
 * report are durable. */
static int chunk_open(struct call *c, struct resume *r, struct error *e)
{
    uint64_t end = r->span.has_end ? r->span.end : r->has_total ? r->total : r->bytes_max;

    return intake_upload(&r->in, c->api->store, &r->upload, r->span.first, end, e);
}

static int sink(void *arg, const void *p, size_t len, struct error *e)
{
    struct resume *r = arg;

    if (!r->span.has_bytes)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "The request has a body, but its Content-Range names no bytes.");
    return intake_write(&r->in, p, len, e);
}

int resume_begin(struct call *c, struct resume *r, struct error *e)
{
    if (r->span.has_bytes && chunk_open(c, r, e) < 0)
        return -1;
    http_set_sink(c->http, &(struct http_sink){ sink, r });
    return 0;
}

void resume_free(void *state)
{
    struct resume *r = state;

    intake_release(&r->in);
}

/* All bytes are there: the total, or without a total the end of a body that has no announced end. */
static bool is_last(const struct resume *r)
{
    if (r->has_total)
        return blob_written(r->in.writer) == r->total;
    return r->span.has_bytes && !r->span.has_end;
}

void resume_pause(struct call *c, struct resume *r, const struct error *why)
{
    struct error e = { 0 };
    char range[RANGE_BYTES];
    uint64_t bytes;

    if (intake_pause(&r->in, &bytes, &e) < 0 || why) {
        r->fail(c, why ? why : &e);
        return;
    }
    if (bytes > 0) {
        (void)snprintf(range, sizeof range, "bytes=0-%" PRIu64, bytes - 1);
        http_set_header(c->http, "Range", str_of(range));
    }
    http_set_header(c->http, "X-GUploader-UploadID", str_of(r->upload.id));
    http_reply(c->http, 308, NULL, NULL);
}

void resume_reply(struct call *c, struct resume *r)
{
    struct error e = { 0 };
    uint64_t came = http_body_bytes(c->http);

    if (!r->span.has_bytes && http_body_error(c->http))
        r->fail(c, http_body_error(c->http));
    else if (!r->in.writer && chunk_open(c, r, &e) < 0)
        r->fail(c, &e);
    else if (http_body_error(c->http))
        resume_pause(c, r, http_body_error(c->http));
    else if (http_body_complete(c->http) && r->span.has_end &&
             came != r->span.end - r->span.first) {
        (void)error_set(&e, ERROR_INVALID_ARGUMENT,
                        "The body has %" PRIu64 " bytes, but its Content-Range says %" PRIu64 ".",
                        came, r->span.end - r->span.first);
        resume_pause(c, r, &e);
    } else if (http_body_complete(c->http) && is_last(r))
        r->finish(c, r);
    else
        resume_pause(c, r, NULL);
}
