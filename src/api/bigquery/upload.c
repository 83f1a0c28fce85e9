/* upload.c -- jobs.insert with a file: multipart, or resumable in chunks of any size.
 *
 * Why: clients load tables from files and DataFrames so. The file becomes a blob, which the load job reads; no row
 * names it, so it is swept an hour later.
 *
 * Threads: the sink runs on the connection's thread while the body comes, the handler after it; c->state passes from
 *          one to the other.
 */
#include <inttypes.h>
#include <stdio.h>

#include "api/bigquery/bigquery.h"
#include "api/resume.h"
#include "net/server/multipart.h"

#define KIND "bigquery-load"
#define RESOURCE_MAX ((size_t)4 * 1024 * 1024)
#define FILE_BYTES_MAX (UINT64_C(5) << 40)

enum posting_kind { POSTING_MULTIPART, POSTING_START };
struct load_posting {
    struct call *call;
    enum posting_kind kind;
    struct intake in;
    struct multipart parts;
    uint32_t part; /* the one that comes, from 1 */
    struct buf resource;
};

static void load_posting_free(void *state)
{
    struct load_posting *p = state;

    intake_release(&p->in);
    multipart_release(&p->parts);
    buf_release(&p->resource);
}

static int two_parts(struct error *e)
{
    return error_set(e, ERROR_INVALID_ARGUMENT,
                     "The multipart body must have two parts: the job and the file.");
}

static int on_part(void *arg, struct str content_type, struct error *e)
{
    struct load_posting *p = arg;

    (void)content_type;
    return ++p->part > 2 ? two_parts(e) : 0;
}

static int sink_resource(void *arg, const void *bytes, size_t len, struct error *e)
{
    struct load_posting *p = arg;

    buf_add(&p->resource, bytes, len);
    if (buf_ok(&p->resource))
        return 0;
    return error_set(e, ERROR_INVALID_ARGUMENT, "The job is larger than %zu bytes.", RESOURCE_MAX);
}

static int on_data(void *arg, const void *bytes, size_t len, struct error *e)
{
    struct load_posting *p = arg;

    return p->part == 1 ? sink_resource(p, bytes, len, e) : intake_write(&p->in, bytes, len, e);
}

static int sink_parts(void *arg, const void *bytes, size_t len, struct error *e)
{
    struct load_posting *p = arg;

    return multipart_feed(&p->parts, bytes, len, e);
}

static bool goes_on(struct call *c)
{
    struct str id;

    return http_query(c->http, "upload_id", &id) && id.len > 0;
}

static int posting_begin(struct load_posting *p, struct error *e)
{
    struct call *c = p->call;
    const struct multipart_handlers to = { on_part, on_data, p };
    struct str type = { 0 };

    (void)http_query(c->http, "uploadType", &type);
    p->kind = str_eq(type, STR("resumable")) ? POSTING_START : POSTING_MULTIPART;
    if (p->kind == POSTING_START)
        return 0;
    if (!str_eq(type, STR("multipart")))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "uploadType must be \"multipart\" or \"resumable\".");
    if (multipart_init(&p->parts, http_header(c->http, "Content-Type"), &to, e) < 0)
        return -1;
    return intake_blob(&p->in, c->api->store, FILE_BYTES_MAX, e);
}

bool bigquery_upload_begin(struct call *c)
{
    struct load_posting *p = arena_alloc(c->arena, sizeof *p);
    struct error e = { 0 };
    struct str project;

    if (goes_on(c))
        return bigquery_resume_begin(c);
    if (!bigquery_project(c, &project))
        return false;
    *p = (struct load_posting){ .call = c, .resource = BUF_INIT(RESOURCE_MAX) };
    c->state = p;
    c->free_state = load_posting_free;
    if (posting_begin(p, &e) < 0) {
        call_fail(c, &e);
        return false;
    }
    http_set_sink(c->http,
                  &(struct http_sink){ p->kind == POSTING_START ? sink_resource : sink_parts, p });
    return true;
}

/* ---- The whole file in one call, or the start ---- */

/* The facts that later calls of an upload need. */
static void what_write(struct call *c, struct str project, struct str resource, struct buf *out)
{
    struct json_writer w = JSON_WRITER(out);

    json_object(&w, NULL);
    json_add_c(&w, "kind", KIND);
    json_add_text(&w, "project", project);
    json_add_text(&w, "key", str_of(c->who.key));
    json_add_bool(&w, "all", c->who.all);
    json_add_text(&w, "resource", resource);
    json_end(&w);
}

static int length_read(struct call *c, uint64_t *out, struct error *e)
{
    struct str text = http_header(c->http, "X-Upload-Content-Length");
    int64_t n = 0;

    *out = FILE_BYTES_MAX;
    if (text.len == 0)
        return 0;
    if (!call_int64(text, &n) || (uint64_t)n > FILE_BYTES_MAX)
        return error_set(e, ERROR_INVALID_ARGUMENT, "Invalid X-Upload-Content-Length");
    *out = (uint64_t)n;
    return 0;
}

static void reply_started(struct call *c, struct str project, struct str resource)
{
    struct buf what = BUF_INIT(SIZE_MAX), url = BUF_INIT(HTTP_HEAD_BYTES_MAX);
    struct upload up = { .project = str_of(call_scope(c)) };
    struct error e = { 0 };

    what_write(c, project, resource, &what);
    up.what = buf_str(&what);
    if (length_read(c, &up.bytes_max, &e) < 0 || upload_create(c->api->store, &up, &e) < 0) {
        call_fail(c, &e);
    } else {
        buf_addf(&url, "%.*s%.*s?uploadType=resumable&upload_id=%s", STR_ARG(call_base_url(c)),
                 STR_ARG(http_path(c->http)), up.id);
        http_set_header(c->http, "Location", buf_str(&url));
        http_set_header(c->http, "X-GUploader-UploadID", str_of(up.id));
        http_reply(c->http, 200, NULL, NULL);
    }
    buf_release(&what);
    buf_release(&url);
}

/* A job that could not be begun is refused before its bytes come. */
static yyjson_val *resource_read(struct call *c, struct str text, struct error *e)
{
    yyjson_val *v = call_json_of(c, text, e);
    struct bq_configuration conf;

    if (!v || bq_configuration_read(json_get(v, "configuration"), &conf, e) < 0)
        return NULL;
    if (conf.kind == BQ_JOB_LOAD)
        return v;
    (void)error_set(e, ERROR_INVALID_ARGUMENT, "Only a load job takes a file.");
    return NULL;
}

void bigquery_upload(struct call *c)
{
    struct load_posting *p = c->state;
    struct error e = { 0 };
    struct str project;
    struct blob b;

    if (goes_on(c)) {
        bigquery_resume(c);
        return;
    }
    if (http_body_error(c->http)) {
        call_fail(c, http_body_error(c->http));
        return;
    }
    if (!http_body_complete(c->http)) {
        call_fail_as(c, 400, NULL, "The request's body is incomplete.");
        return;
    }
    if (!bigquery_project(c, &project))
        return;
    struct str text = { arena_copy(c->arena, p->resource.p ? p->resource.p : "", p->resource.len),
                        p->resource.len };
    bool whole = p->kind == POSTING_MULTIPART;
    yyjson_val *resource = NULL;
    if ((whole && multipart_finish(&p->parts, &e) < 0) ||
        (whole && p->part != 2 && two_parts(&e) < 0) || !(resource = resource_read(c, text, &e)) ||
        (whole && intake_finish(&p->in, &b, &e) < 0)) {
        call_fail(c, &e);
        return;
    }
    if (!whole) {
        reply_started(c, project, text);
        return;
    }
    load_posting_free(p);
    c->free_state = NULL;
    bigquery_job_start(c, resource, b.id);
}

/* ---- The chunks ---- */

struct load_resuming {
    struct resume chunk; /* first: resume_free */
    struct str resource;
};

/* The upload's id is the right to go on with it; the caller is then who began it. */
static int what_read(struct call *c, struct load_resuming *r, struct error *e)
{
    size_t at;
    yyjson_val *what = json_parse(c->arena, r->chunk.upload.what, &at, e);
    struct str project = json_str(json_get(what, "project"));
    struct str key = json_str(json_get(what, "key"));

    if (!what)
        return -1;
    if (!str_eq_c(json_str(json_get(what, "kind")), KIND) || !str_eq(project, c->param[0]))
        return error_set(e, ERROR_NOT_FOUND, "No such upload");
    c->who.all = yyjson_get_bool(json_get(what, "all"));
    (void)snprintf(c->who.project, sizeof c->who.project, "%.*s", STR_ARG(project));
    (void)snprintf(c->who.key, sizeof c->who.key, "%.*s", STR_ARG(key));
    r->resource = json_str(json_get(what, "resource"));
    return 0;
}

static void finish(struct call *c, struct resume *chunk)
{
    const struct load_resuming *r = c->state;
    struct error e = { 0 };
    struct blob b;
    yyjson_val *resource = resource_read(c, r->resource, &e);

    if (!resource || intake_finish(&chunk->in, &b, &e) < 0) {
        call_fail(c, &e);
        return;
    }
    c->free_state = NULL;
    bigquery_job_start(c, resource, b.id);
}

static int resuming_begin(struct call *c, struct load_resuming *r, struct error *e)
{
    struct str id = { 0 };

    (void)http_query(c->http, "upload_id", &id);
    if (upload_get(c->api->store, c->arena, id, &r->chunk.upload, e) < 0 ||
        what_read(c, r, e) < 0 || resume_span(c, &r->chunk, e) < 0)
        return -1;
    r->chunk.has_total = r->chunk.span.has_total;
    r->chunk.total = r->chunk.span.total;
    r->chunk.bytes_max = r->chunk.upload.bytes_max;
    return resume_begin(c, &r->chunk, e);
}

bool bigquery_resume_begin(struct call *c)
{
    struct load_resuming *r = arena_alloc(c->arena, sizeof *r);
    struct error e = { 0 };

    c->state = r;
    c->free_state = resume_free;
    r->chunk.fail = call_fail;
    r->chunk.finish = finish;
    if (resuming_begin(c, r, &e) == 0)
        return true;
    call_fail(c, &e);
    return false;
}

void bigquery_resume(struct call *c)
{
    struct load_resuming *r = c->state;

    resume_reply(c, &r->chunk);
}
