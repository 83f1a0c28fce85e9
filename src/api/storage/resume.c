/* resume.c -- PUT and DELETE: the bytes of a resumable upload of an object, its state, its end (api/resume.h).
 *
 * Threads: the sink runs on the connection's thread while the body comes, the handler on a worker after
 *          it; c->state passes from one to the other.
 */
#include <inttypes.h>

#include "api/resume.h"
#include "api/storage/storage.h"

struct resuming {
    struct resume chunk; /* first: resume_free */
    struct storage_target target;
};

/* Content-Range, Content-Length and the total of the upload's start must agree. */
static int span_check(struct call *c, struct resuming *r, struct error *e)
{
    struct str length = http_header(c->http, "Content-Length");
    struct media_span *s = &r->chunk.span;
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
    struct str id = { 0 };

    (void)http_query(c->http, "upload_id", &id);
    if (upload_get(c->api->store, c->arena, id, &r->chunk.upload, e) < 0 ||
        storage_target_read(c->arena, &r->chunk.upload, c->param[0], &r->target, e) < 0 ||
        resume_span(c, &r->chunk, e) < 0)
        return -1;
    return http_header(c->http, "Content-Range").len == 0 ? 0 : span_check(c, r, e);
}

void storage_upload_cancel(struct call *c)
{
    struct resuming r = { .chunk.span.has_bytes = false };
    struct error e = { 0 };

    if (resuming_begin(c, &r, &e) == 0 && upload_delete(c->api->store, r.chunk.upload.id, &e) == 0)
        http_reply(c->http, 499, NULL, NULL);
    else if (e.code == ERROR_ABORTED)
        call_fail_as(c, 503, NULL, "Another call writes to this upload; try again.");
    else
        storage_fail(c, &e);
}

static void finish(struct call *c, struct resume *chunk)
{
    struct resuming *r = c->state;
    struct error e = { 0 };
    struct object made;
    struct blob b;

    if (media_hashes_header(http_header(c->http, "X-Goog-Hash"), &r->target.hashes, &e) < 0)
        resume_pause(c, chunk, &e);
    else if (intake_finish(&chunk->in, &b, &e) < 0 ||
             storage_target_put(c, &r->target, &b, &made, &e) < 0)
        storage_fail(c, &e);
    else
        storage_reply_object(c, &made);
}

bool storage_resume_begin(struct call *c)
{
    struct resuming *r = arena_alloc(c->arena, sizeof *r);
    struct error e = { 0 };

    c->state = r;
    c->free_state = resume_free;
    r->chunk.fail = storage_fail;
    r->chunk.finish = finish;
    int rc = resuming_begin(c, r, &e);
    r->chunk.has_total = r->target.has_total;
    r->chunk.total = r->target.total;
    r->chunk.bytes_max = STORAGE_OBJECT_BYTES_MAX;
    if (rc < 0 || resume_begin(c, &r->chunk, &e) < 0) {
        storage_fail(c, &e);
        return false;
    }
    return true;
}

void storage_resume(struct call *c)
{
    struct resuming *r = c->state;

    resume_reply(c, &r->chunk);
}
