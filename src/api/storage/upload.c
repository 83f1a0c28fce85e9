/* upload.c -- POST: an object in one call (simple or multipart), or a resumable upload's start.
 *
 * Threads: the sink runs on the connection's thread while the body comes, the handler on a worker after
 *          it; c->state passes from one to the other.
 */
#include <inttypes.h>

#include "api/intake.h"
#include "api/storage/storage.h"
#include "net/server/multipart.h"

enum posting_kind { POSTING_SIMPLE, POSTING_MULTIPART, POSTING_START };
struct posting {
    enum posting_kind kind;
    struct call *call;
    struct intake in;
    struct multipart parts;
    uint32_t part; /* the one that comes, from 1 */
    struct buf meta;
    struct str media_type; /* of the bytes, from the header of their part or of the call */
};

/* gcsfs sends the bytes of a resumable upload by POST, too. */
static bool goes_on(struct call *c)
{
    struct str id;

    return http_query(c->http, "upload_id", &id) && id.len > 0;
}

static bool kind_read(struct call *c, enum posting_kind *out)
{
    static const char *const names[] = { "media", "multipart", "resumable" };
    struct str text;

    for (unsigned i = 0; i < 3; i++) {
        if (http_query(c->http, "uploadType", &text) && str_eq_c(text, names[i])) {
            *out = (enum posting_kind)i;
            return true;
        }
    }
    return false;
}

static int on_part(void *arg, struct str content_type, struct error *e)
{
    struct posting *p = arg;

    if (++p->part > 2)
        return error_set(e, ERROR_INVALID_ARGUMENT, "The multipart body must have two parts.");
    p->media_type = (struct str){ arena_copy(p->call->arena, content_type.p, content_type.len),
                                  content_type.len };
    return 0;
}

static void posting_free(void *state)
{
    struct posting *p = state;

    intake_release(&p->in);
    multipart_release(&p->parts);
    buf_release(&p->meta);
}

static int sink_bytes(void *arg, const void *bytes, size_t len, struct error *e)
{
    struct posting *p = arg;

    return intake_write(&p->in, bytes, len, e);
}

static int sink_parts(void *arg, const void *bytes, size_t len, struct error *e)
{
    struct posting *p = arg;

    return multipart_feed(&p->parts, bytes, len, e);
}

static int sink_meta(void *arg, const void *bytes, size_t len, struct error *e)
{
    struct posting *p = arg;

    buf_add(&p->meta, bytes, len);
    if (buf_ok(&p->meta))
        return 0;
    return error_set(e, ERROR_INVALID_ARGUMENT, "The object's metadata is larger than %zu bytes.",
                     STORAGE_META_BYTES_MAX);
}

static int on_data(void *arg, const void *bytes, size_t len, struct error *e)
{
    struct posting *p = arg;

    return p->part == 1 ? sink_meta(p, bytes, len, e) : sink_bytes(p, bytes, len, e);
}

static int posting_begin(struct posting *p, struct error *e)
{
    struct call *c = p->call;
    const struct multipart_handlers to = { on_part, on_data, p };

    p->media_type = http_header(c->http, "Content-Type");
    if (p->kind == POSTING_START)
        return 0;
    if (p->kind == POSTING_MULTIPART && multipart_init(&p->parts, p->media_type, &to, e) < 0)
        return -1;
    return intake_blob(&p->in, c->api->store, STORAGE_OBJECT_BYTES_MAX, e);
}

bool storage_upload_begin(struct call *c)
{
    static int (*const sinks[])(void *, const void *, size_t, struct error *) = {
        [POSTING_SIMPLE] = sink_bytes,
        [POSTING_MULTIPART] = sink_parts,
        [POSTING_START] = sink_meta,
    };
    struct posting *p = arena_alloc(c->arena, sizeof *p);
    struct error e = { 0 };
    struct bucket b;

    if (goes_on(c))
        return storage_resume_begin(c);
    p->call = c;
    p->meta = BUF_INIT(STORAGE_META_BYTES_MAX);
    if (!kind_read(c, &p->kind)) {
        call_fail_as(c, 400, NULL,
                     "uploadType must be one of \"media\", \"multipart\", \"resumable\".");
        return false;
    }
    c->state = p;
    c->free_state = posting_free;
    if (bucket_get(c->api->store, c->arena, call_scope(c), c->param[0], &b, &e) < 0 ||
        posting_begin(p, &e) < 0) {
        storage_fail(c, &e);
        return false;
    }
    http_set_sink(c->http, &(struct http_sink){ sinks[p->kind], p });
    return true;
}

/* The resource that was sent; NULL when there was none. */
static int resource_read(struct posting *p, yyjson_val **out, struct error *e)
{
    struct str text = buf_str(&p->meta);

    *out = NULL;
    if (str_trim(text).len == 0)
        return 0;
    *out = storage_json(p->call, text, e);
    return *out ? 0 : -1;
}

/* contentEncoding may stand in the query; the one in the resource wins. */
static struct str query_meta(struct call *c)
{
    struct buf meta = BUF_INIT(STORAGE_META_BYTES_MAX);
    struct json_writer w = JSON_WRITER(&meta);
    struct str encoding;

    if (!http_query(c->http, "contentEncoding", &encoding) || !media_type_valid(encoding))
        return (struct str){ 0 };
    json_object(&w, NULL);
    json_add_text(&w, "contentEncoding", encoding);
    json_end(&w);
    return storage_keep(c, &meta);
}

static int total_read(struct call *c, struct storage_target *t, struct error *e)
{
    struct str text = http_header(c->http, "X-Upload-Content-Length");
    int64_t total = 0;

    if (text.len == 0)
        return 0;
    if (storage_number(text, "X-Upload-Content-Length", &total, e) < 0)
        return -1;
    t->has_total = true;
    t->total = (uint64_t)total;
    if (t->total > STORAGE_OBJECT_BYTES_MAX)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "X-Upload-Content-Length is over 5 TiB, the limit of an object.");
    return 0;
}

static int target_make(struct posting *p, struct storage_target *out, struct error *e)
{
    struct call *c = p->call;
    struct storage_settings given;
    yyjson_val *resource;

    *out = (struct storage_target){ .project = call_scope(c), .bucket = c->param[0] };
    if (p->kind == POSTING_MULTIPART &&
        (multipart_finish(&p->parts, e) < 0 ||
         (p->part != 2 &&
          error_set(e, ERROR_INVALID_ARGUMENT, "The multipart body must have two parts.") < 0)))
        return -1;
    if (resource_read(p, &resource, e) < 0 ||
        storage_settings_read(c, resource, query_meta(c), &given, e) < 0 ||
        storage_conditions(c, false, &out->when, e) < 0 || total_read(c, out, e) < 0)
        return -1;
    out->hashes = given.hashes;
    out->meta = given.meta;
    out->name = given.name;
    if (out->name.len == 0)
        (void)http_query(c->http, "name", &out->name);
    out->content_type = given.content_type;
    if (out->content_type.len == 0)
        out->content_type = p->kind == POSTING_START ? http_header(c->http, "X-Upload-Content-Type")
                                                     : p->media_type;
    if (!media_type_valid(out->content_type))
        return error_set(e, ERROR_INVALID_ARGUMENT, "The content type is not valid.");
    if (out->name.len == 0 || out->name.len > OBJECT_NAME_MAX)
        return error_set(e, ERROR_INVALID_ARGUMENT, "Required: an object name of 1 to %d bytes",
                         OBJECT_NAME_MAX);
    struct str script;
    return call_script_create(c, CALL_OBJECT, out->name, &script, e);
}

static void reply_made(struct posting *p, struct storage_target *t)
{
    struct call *c = p->call;
    struct error e = { 0 };
    struct object made;
    struct blob b;

    if (media_hashes_header(http_header(c->http, "X-Goog-Hash"), &t->hashes, &e) < 0 ||
        intake_finish(&p->in, &b, &e) < 0 || storage_target_put(c, t, &b, &made, &e) < 0)
        storage_fail(c, &e);
    else
        storage_reply_object(c, &made);
}

static void reply_started(struct call *c, const struct storage_target *t)
{
    struct buf what = BUF_INIT(4 * STORAGE_META_BYTES_MAX), url = BUF_INIT(HTTP_HEAD_BYTES_MAX);
    struct error e = { 0 };

    storage_target_write(t, &what);
    struct upload up = {
        .project = str_of(t->project),
        .what = buf_str(&what),
        .bytes_max = t->has_total ? t->total : STORAGE_OBJECT_BYTES_MAX,
    };
    if (!buf_ok(&what))
        call_fail_as(c, 400, NULL, "The metadata is too large.");
    else if (upload_create(c->api->store, &up, &e) < 0)
        storage_fail(c, &e);
    else {
        buf_addf(&url, "%.*s%.*s?uploadType=resumable&upload_id=%s", STR_ARG(call_base_url(c)),
                 STR_ARG(http_path(c->http)), up.id);
        http_set_header(c->http, "Location", buf_str(&url));
        http_set_header(c->http, "X-GUploader-UploadID", str_of(up.id));
        http_reply(c->http, 200, NULL, NULL);
    }
    buf_release(&what);
    buf_release(&url);
}

void storage_upload(struct call *c)
{
    struct posting *p = c->state;
    struct storage_target t;
    struct error e = { 0 };

    if (goes_on(c)) {
        storage_resume(c);
        return;
    }
    if (http_body_error(c->http)) {
        storage_fail(c, http_body_error(c->http));
        return;
    }
    if (!http_body_complete(c->http)) {
        call_fail_as(c, 400, NULL, "The request's body is incomplete.");
        return;
    }
    if (target_make(p, &t, &e) < 0)
        storage_fail(c, &e);
    else if (p->kind == POSTING_START)
        reply_started(c, &t);
    else
        reply_made(p, &t);
}
