/* resume.c -- PUT and DELETE: the bytes of a resumable upload, its state, its end.
 *
 * Why: a connection may break anywhere. The bytes that came before are durable; the client asks how many
 * they are and goes on there. Bytes that are sent again are skipped.
 *
 * Threads: the sink runs on the connection's thread while the body comes, the handler on a worker after
 *          it; c->state passes from one to the other.
 */
#include <inttypes.h>
#include <stdio.h>

#include "api/intake.h"
#include "api/storage/storage.h"

#define RANGE_BYTES 48

struct resuming {
    struct upload upload;
    struct storage_target target;
    struct media_span span;
    struct intake in;
};

/* Content-Range, Content-Length and the total of the upload's start must agree. */
static int span_check(struct call *c, struct resuming *r, struct error *e)
{
    struct str length = http_header(c->http, "Content-Length");
    struct media_span *s = &r->span;
    struct storage_target *t = &r->target;
    int64_t bytes = 0;

    if (s->has_total && t->has_total && s->total != t->total)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "The Content-Range says a total of %" PRIu64
                         " bytes, but the upload began with %" PRIu64 ".",
                         s->total, t->total);
    if (s->has_total) {
        t->has_total = true;
        t->total = s->total;
    }
    if (length.len == 0)
        return 0;
    if (storage_number(length, "Content-Length", &bytes, e) < 0)
        return -1;
    uint64_t want = s->has_end ? s->end - s->first : 0;
    if ((s->has_end || !s->has_bytes) && (uint64_t)bytes != want)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "The Content-Length is %" PRId64 ", but the Content-Range says %" PRIu64
                         " bytes.",
                         bytes, want);
    return 0;
}

static int resuming_begin(struct call *c, struct resuming *r, struct error *e)
{
    struct str id = { 0 }, range = http_header(c->http, "Content-Range");

    (void)http_query(c->http, "upload_id", &id);
    if (upload_get(c->api->store, c->arena, id, &r->upload, e) < 0 ||
        storage_target_read(c->arena, &r->upload, c->param[0], &r->target, e) < 0)
        return -1;
    if (range.len == 0) {
        r->span = (struct media_span){ .has_bytes = true };
        return 0;
    }
    if (media_span_read(range, &r->span, e) < 0)
        return -1;
    return span_check(c, r, e);
}

void storage_upload_cancel(struct call *c)
{
    struct resuming r = { .span.has_bytes = false };
    struct error e = { 0 };

    if (resuming_begin(c, &r, &e) == 0 && upload_delete(c->api->store, r.upload.id, &e) == 0)
        http_reply(c->http, 499, NULL, NULL);
    else if (e.code == ERROR_ABORTED)
        call_fail_as(c, 503, NULL, "Another call writes to this upload; try again.");
    else
        storage_fail(c, &e);
}

/* A call that asks for the state opens the upload too: then no other call writes, and the bytes that we
 * report are durable. */
static int resuming_open(struct call *c, struct resuming *r, struct error *e)
{
    const struct media_span *s = &r->span;
    uint64_t end = s->has_end            ? s->end
                   : r->target.has_total ? r->target.total
                                         : STORAGE_OBJECT_BYTES_MAX;

    return intake_upload(&r->in, c->api->store, &r->upload, s->first, end, e);
}

static void resuming_free(void *state)
{
    struct resuming *r = state;

    intake_release(&r->in);
}

static int sink(void *arg, const void *p, size_t len, struct error *e)
{
    struct resuming *r = arg;

    if (!r->span.has_bytes)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "The request has a body, but its Content-Range names no bytes.");
    return intake_write(&r->in, p, len, e);
}

bool storage_resume_begin(struct call *c)
{
    struct resuming *r = arena_alloc(c->arena, sizeof *r);
    struct error e = { 0 };

    c->state = r;
    c->free_state = resuming_free;
    if (resuming_begin(c, r, &e) < 0 || (r->span.has_bytes && resuming_open(c, r, &e) < 0)) {
        storage_fail(c, &e);
        return false;
    }
    http_set_sink(c->http, &(struct http_sink){ sink, r });
    return true;
}

/* All bytes are there: the total, or without a total the end of a body that has no announced end. */
static bool is_last(const struct resuming *r)
{
    if (r->target.has_total)
        return blob_written(r->in.writer) == r->target.total;
    return r->span.has_bytes && !r->span.has_end;
}

/* Answers 308 with the bytes that are durable, or with the error; the upload can go on either way. */
static void reply_paused(struct call *c, struct resuming *r, const struct error *why)
{
    struct error e = { 0 };
    char range[RANGE_BYTES];
    uint64_t bytes;

    if (intake_pause(&r->in, &bytes, &e) < 0) {
        storage_fail(c, why ? why : &e);
        return;
    }
    if (why) {
        storage_fail(c, why);
        return;
    }
    if (bytes > 0) {
        (void)snprintf(range, sizeof range, "bytes=0-%" PRIu64, bytes - 1);
        http_set_header(c->http, "Range", str_of(range));
    }
    http_set_header(c->http, "X-GUploader-UploadID", str_of(r->upload.id));
    http_reply(c->http, 308, NULL, NULL);
}

static void reply_finished(struct call *c, struct resuming *r)
{
    struct error e = { 0 };
    struct object made;
    struct blob b;

    if (media_hashes_header(http_header(c->http, "X-Goog-Hash"), &r->target.hashes, &e) < 0)
        reply_paused(c, r, &e);
    else if (intake_finish(&r->in, &b, &e) < 0 ||
             storage_target_put(c, &r->target, &b, &made, &e) < 0)
        storage_fail(c, &e);
    else
        storage_reply_object(c, &made);
}

void storage_resume(struct call *c)
{
    struct resuming *r = c->state;
    struct error e = { 0 };
    uint64_t came = http_body_bytes(c->http);

    if (!r->span.has_bytes && http_body_error(c->http))
        storage_fail(c, http_body_error(c->http));
    else if (!r->in.writer && resuming_open(c, r, &e) < 0)
        storage_fail(c, &e);
    else if (http_body_error(c->http))
        reply_paused(c, r, http_body_error(c->http));
    else if (http_body_complete(c->http) && r->span.has_end &&
             came != r->span.end - r->span.first) {
        (void)error_set(&e, ERROR_INVALID_ARGUMENT,
                        "The body has %" PRIu64 " bytes, but its Content-Range says %" PRIu64 ".",
                        came, r->span.end - r->span.first);
        reply_paused(c, r, &e);
    } else if (http_body_complete(c->http) && is_last(r))
        reply_finished(c, r);
    else
        reply_paused(c, r, NULL);
}
