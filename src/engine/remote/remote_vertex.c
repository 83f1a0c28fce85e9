/* remote_vertex.c -- Vertex AI's batchPredictionJobs, with requests and answers in Cloud Storage.
 *
 * Source:  https://cloud.google.com/vertex-ai/docs/reference/rest/v1/projects.locations.batchPredictionJobs
 *          https://cloud.google.com/storage/docs/performing-resumable-uploads
 */
#include <stdio.h>
#include <string.h>

#include "base/json_write.h"
#include "engine/remote/remote_inner.h"
#include "format/gs.h"

#define BODY_BYTES_MAX ((size_t)64 * 1024)
#define OBJECTS_MAX 10000
#define HEADER_BYTES 96

static struct remote_service *service_of(struct remote *r)
{
    return (struct remote_service *)r;
}

/* A place of the storage. One that an answer names may be none: then both parts are empty, and the
 * storage refuses them. */
struct place {
    struct str bucket, name;
};

static struct place place_of(const char *uri)
{
    struct place out = { 0 };

    (void)gs_split(str_of(uri), &out.bucket, &out.name);
    return out;
}

/* ---- Up ---- */

static int upload_begin(struct remote_upload *u, struct error *e)
{
    static const char *const header[] = { "X-Upload-Content-Type: application/jsonl", NULL };
    struct place to = place_of(u->place);
    const struct str names[] = { to.bucket, to.name };
    const struct remote_call call = {
        .method = "POST",
        .url = remote_url(&u->arena, u->service->storage,
                          "/upload/storage/v1/b/{}/o?uploadType=resumable&name={}", names),
        .header = header,
        .body = STR("{}"),
    };
    struct http_in in;

    if (remote_do(u->service, &call, &in, e) < 0)
        return -1;
    struct str session = http_in_header(&in, "location");
    u->session = arena_copy(&u->arena, session.p, session.len);
    http_in_release(&in);
    return session.len ? 0 : error_set(e, ERROR_INTERNAL, "%s began no upload", call.url);
}

/* "bytes=0-N", or nothing at all: how much is there. */
static int upload_keep(struct remote_upload *u, struct str range, struct error *e)
{
    size_t dash = str_find(range, STR("-"));
    uint64_t last = 0;

    if (range.len == 0) {
        u->at = 0;
        return 0;
    }
    if (dash == SIZE_MAX || !str_number(str_sub(range, dash + 1, range.len), &last) ||
        last >= u->file->bytes)
        return error_set(e, ERROR_INTERNAL, "the storage keeps \"%.*s\"", STR_ARG(range));
    u->at = last + 1;
    return 0;
}

/* One piece, or with no bytes the question how much is there: 1 when the object is finished. */
static int upload_send(struct remote_upload *u, uint64_t bytes, struct error *e)
{
    unsigned long long from = u->at, total = u->file->bytes;
    char range[HEADER_BYTES];
    const char *const header[] = { range, NULL };
    const struct remote_call call = {
        .method = "PUT",
        .url = u->session,
        .header = header,
        .file = u->file,
        .file_offset = from,
        .file_bytes = bytes,
    };
    struct http_in in;

    if (bytes)
        (void)snprintf(range, sizeof range, "Content-Range: bytes %llu-%llu/%llu", from,
                       from + bytes - 1, total);
    else
        (void)snprintf(range, sizeof range, "Content-Range: bytes */%llu", total);
    if (remote_do(u->service, &call, &in, e) < 0)
        return -1;
    int rc = 1;
    if (in.status == 308)
        rc = upload_keep(u, http_in_header(&in, "range"), e);
    http_in_release(&in);
    return rc;
}

static int vertex_upload(struct remote *r, const struct remote_file *f,
                         char place[REMOTE_NAME_BYTES], struct error *e)
{
    struct remote_upload u = {
        .service = service_of(r), .file = f, .place = place, .send = upload_send
    };
    int n = snprintf(place, REMOTE_NAME_BYTES, "%s/%s.jsonl", u.service->staging, f->name);

    if (n < 0 || n >= REMOTE_NAME_BYTES)
        return error_set(e, ERROR_INVALID_ARGUMENT, "the staging place's name is too long");
    int rc = upload_begin(&u, e);
    if (rc == 0)
        rc = remote_upload_all(&u, e);
    arena_release(&u.arena);
    return rc;
}

/* ---- Jobs ---- */

static const char *job_url(struct remote_service *s, struct arena *a, const char *job,
                           const char *verb)
{
    const struct str id = remote_step(str_of(job));
    const char *url = remote_url(a, s->upstream->url, "/batchPredictionJobs/{}", &id);

    return verb ? remote_url(a, url, verb, NULL) : url;
}

static int vertex_find(struct remote *r, const char *name, char job[REMOTE_NAME_BYTES],
                       struct error *e)
{
    struct remote_service *s = service_of(r);
    struct arena a = { 0 };
    char filter[REMOTE_NAME_BYTES + 32];
    int rc = 0;

    (void)snprintf(filter, sizeof filter, "display_name=\"%s\"", name);
    const struct str argument = str_of(filter);
    const struct remote_call call = {
        .method = "GET",
        .url = remote_url(&a, s->upstream->url, "/batchPredictionJobs?pageSize=10&filter={}",
                          &argument),
    };
    yyjson_val *page = remote_json(s, &call, &a, e), *v;
    size_t i, n;
    if (!page)
        rc = -1;
    yyjson_arr_foreach(json_get(page, "batchPredictionJobs"), i, n, v)
    {
        if (rc == 0 && str_eq_c(json_str(json_get(v, "displayName")), name))
            rc = remote_name(json_str(json_get(v, "name")), job, e) < 0 ? -1 : 1;
    }
    arena_release(&a);
    return rc;
}

static void write_job(const struct remote_service *s, const char *name, const char *place,
                      struct buf *out)
{
    struct json_writer w = JSON_WRITER(out);
    const char *folder = strchr(s->model, '/') ? "" : "publishers/google/models/";

    json_object(&w, NULL);
    json_add_c(&w, "displayName", name);
    json_addf(&w, "model", "%s%s", folder, s->model);
    json_object(&w, "inputConfig");
    json_add_c(&w, "instancesFormat", "jsonl");
    json_object(&w, "gcsSource");
    json_array(&w, "uris");
    json_add_c(&w, NULL, place);
    json_end(&w);
    json_end(&w);
    json_end(&w);
    json_object(&w, "outputConfig");
    json_add_c(&w, "predictionsFormat", "jsonl");
    json_object(&w, "gcsDestination");
    json_addf(&w, "outputUriPrefix", "%s/%s", s->staging, name);
    json_end(&w);
    json_end(&w);
    json_end(&w);
}

static int vertex_create(struct remote *r, const char *name, const char *place,
                         char job[REMOTE_NAME_BYTES], struct error *e)
{
    struct remote_service *s = service_of(r);
    struct buf body = BUF_INIT(BODY_BYTES_MAX);
    struct arena a = { 0 };
    int rc = -1;

    write_job(s, name, place, &body);
    const struct remote_call call = {
        .method = "POST",
        .url = remote_url(&a, s->upstream->url, "/batchPredictionJobs", NULL),
        .body = buf_str(&body),
    };
    yyjson_val *v = remote_json(s, &call, &a, e);
    if (v)
        rc = remote_name(json_str(json_get(v, "name")), job, e);
    buf_release(&body);
    arena_release(&a);
    return rc;
}

static int read_job(yyjson_val *v, struct remote_status *out, struct error *e)
{
    yyjson_val *stats = json_get(v, "completionStats");
    struct str output = json_str(json_get(json_get(v, "outputInfo"), "gcsOutputDirectory"));

    remote_state_read(json_str(json_get(v, "state")), STR("JOB_STATE_"), out);
    remote_why_read(json_get(v, "error"), out);
    out->done = remote_count(json_get(stats, "successfulCount")) +
                remote_count(json_get(stats, "failedCount"));
    return out->ended && output.len ? remote_name(output, out->output, e) : 0;
}

static int vertex_poll(struct remote *r, const char *job, struct remote_status *out,
                       struct error *e)
{
    struct remote_service *s = service_of(r);
    struct arena a = { 0 };
    const struct remote_call call = { .method = "GET", .url = job_url(s, &a, job, NULL) };
    yyjson_val *v = remote_json(s, &call, &a, e);
    int rc = v ? read_job(v, out, e) : -1;

    arena_release(&a);
    return rc;
}

static int vertex_cancel(struct remote *r, const char *job, struct error *e)
{
    struct remote_service *s = service_of(r);
    struct arena a = { 0 };
    int rc = remote_cancel(s, &a, job_url(s, &a, job, ":cancel"), e);

    arena_release(&a);
    return rc;
}

/* ---- Outputs ---- */

struct objects {
    struct arena arena;
    struct str *name; /* in the order of names */
    uint32_t count;
    struct str token;
};

static void objects_add(struct objects *o, struct str name)
{
    o->name = arena_list_grow(&o->arena, o->name, o->count, sizeof *o->name);
    o->name[o->count++] = name;
}

static int objects_page(struct remote_service *s, struct place dir, struct objects *o,
                        struct error *e)
{
    const struct str names[] = { dir.bucket, dir.name, o->token };
    const struct remote_call call = {
        .method = "GET",
        .url = remote_url(&o->arena, s->storage,
                          "/storage/v1/b/{}/o?maxResults=1000&prefix={}%2F&pageToken={}", names),
    };
    yyjson_val *page = remote_json(s, &call, &o->arena, e), *v;
    size_t i, n;

    if (!page)
        return -1;
    yyjson_arr_foreach(json_get(page, "items"), i, n, v)
    {
        if (o->count == OBJECTS_MAX)
            return error_set(e, ERROR_RESOURCE_EXHAUSTED, "the output has over %d objects",
                             OBJECTS_MAX);
        objects_add(o, json_str(json_get(v, "name")));
    }
    struct str next = json_str(json_get(page, "nextPageToken"));
    bool more = next.len && !str_eq(next, o->token);
    o->token = next;
    return more ? 1 : 0;
}

/* Everything below an output's folder. */
static int objects_list(struct remote_service *s, const char *output, struct objects *o,
                        struct error *e)
{
    struct place dir = place_of(output);
    int more = 1;

    while (str_ends(dir.name, STR("/")))
        dir.name.len--;
    for (int page = 0; more == 1 && page < REMOTE_PAGES_MAX; page++)
        more = objects_page(s, dir, o, e);
    return more < 0 ? -1 : 0;
}

/* Rows that are exported while a job runs stand in a folder of their own, and again in the file that is
 * written at the end. */
static bool is_part_of(const struct objects *o, struct str name)
{
    static const struct str early = STR_INIT("/incremental_predictions/");

    if (!str_ends(name, STR(".jsonl")))
        return false;
    if (str_find(name, early) == SIZE_MAX)
        return true;
    for (uint32_t i = 0; i < o->count; i++)
        if (str_ends(o->name[i], STR(".jsonl")) && str_find(o->name[i], early) == SIZE_MAX)
            return false;
    return true;
}

static const char *media_url(struct remote_service *s, struct objects *o, const char *output,
                             struct str name)
{
    const struct str names[] = { place_of(output).bucket, name };

    return remote_url(&o->arena, s->storage, "/download/storage/v1/b/{}/o/{}?alt=media", names);
}

static int vertex_fetch(struct remote *r, const char *output, struct remote_cursor *at,
                        int (*on_bytes)(void *arg, const void *p, size_t len, struct error *e),
                        void *arg, struct error *e)
{
    struct remote_service *s = service_of(r);
    struct objects o = { 0 };
    uint32_t file = 0;
    int rc = objects_list(s, output, &o, e);

    for (uint32_t i = 0; rc == 0 && i < o.count; i++) {
        if (is_part_of(&o, o.name[i]) && file++ == at->file)
            rc = remote_fetch_file(s, media_url(s, &o, output, o.name[i]), at, on_bytes, arg, e);
    }
    arena_release(&o.arena);
    return rc;
}

static int remove_object(struct remote_service *s, struct arena *a, struct str bucket,
                         struct str name, struct error *e)
{
    const struct str names[] = { bucket, name };
    const struct remote_call call = {
        .method = "DELETE",
        .url = remote_url(a, s->storage, "/storage/v1/b/{}/o/{}", names),
    };
    struct http_in in;

    if (remote_do(s, &call, &in, e) < 0)
        return -1;
    http_in_release(&in);
    return 0;
}

/* An uploaded file is one object, an output is a folder. Both are below our staging place, and nothing
 * else is ever removed, whatever the batch service says its output is. */
static int vertex_remove(struct remote *r, const char *place, struct error *e)
{
    struct remote_service *s = service_of(r);
    struct str rest = str_sub(str_of(place), strlen(s->staging), SIZE_MAX);
    struct place at = place_of(place);
    struct objects o = { 0 };
    int rc = 0;

    if (!str_starts(str_of(place), str_of(s->staging)) || !str_starts(rest, STR("/tranche-")))
        return error_set(e, ERROR_FAILED_PRECONDITION, "it is not below the staging place");
    if (str_ends(at.name, STR(".jsonl")))
        objects_add(&o, at.name);
    else
        rc = objects_list(s, place, &o, e);
    for (uint32_t i = 0; rc == 0 && i < o.count; i++)
        rc = remove_object(s, &o.arena, at.bucket, o.name[i], e);
    arena_release(&o.arena);
    return rc;
}

static void vertex_close(struct remote *r)
{
    remote_service_free(service_of(r));
}

const struct remote_ops remote_vertex_ops = {
    .upload = vertex_upload,
    .find = vertex_find,
    .create = vertex_create,
    .poll = vertex_poll,
    .fetch = vertex_fetch,
    .cancel = vertex_cancel,
    .remove = vertex_remove,
    .close = vertex_close,
};
