/* remote_gemini.c -- batches of the Gemini API, with requests and answers in its files.
 *
 * Source:  https://ai.google.dev/api/batch-api, https://ai.google.dev/api/files
 */
#include <stdio.h>
#include <string.h>

#include "base/json_write.h"
#include "engine/remote/remote_inner.h"

#define BODY_BYTES_MAX ((size_t)64 * 1024)
#define HEADER_BYTES 96

static struct remote_service *service_of(struct remote *r)
{
    return (struct remote_service *)r;
}

/* ---- Up ---- */

/* "https://HOST/v1beta" has its uploads at "https://HOST/upload/v1beta/files". */
static const char *start_url(struct remote_upload *u)
{
    const char *url = u->service->upstream->url, *version = strrchr(url, '/');
    struct buf text = BUF_INIT(REMOTE_URL_BYTES_MAX);

    buf_add(&text, url, (size_t)(version - url));
    buf_addf(&text, "/upload%s/files", version);
    const char *out = arena_copy(&u->arena, text.p, text.len);
    buf_release(&text);
    return out;
}

static int upload_begin(struct remote_upload *u, struct error *e)
{
    char length[HEADER_BYTES];
    const char *const header[] = { "X-Goog-Upload-Protocol: resumable",
                                   "X-Goog-Upload-Command: start",
                                   "X-Goog-Upload-Header-Content-Type: application/jsonl", length,
                                   NULL };
    struct buf body = BUF_INIT(BODY_BYTES_MAX);
    struct json_writer w = JSON_WRITER(&body);
    struct http_in in;

    (void)snprintf(length, sizeof length, "X-Goog-Upload-Header-Content-Length: %llu",
                   (unsigned long long)u->file->bytes);
    json_object(&w, NULL);
    json_object(&w, "file");
    json_add_c(&w, "displayName", u->file->name);
    json_add_c(&w, "mimeType", "application/jsonl");
    json_end(&w);
    json_end(&w);
    const struct remote_call call = {
        .method = "POST", .url = start_url(u), .header = header, .body = buf_str(&body)
    };
    int rc = remote_do(u->service, &call, &in, e);
    buf_release(&body);
    if (rc < 0)
        return -1;
    struct str session = http_in_header(&in, "x-goog-upload-url");
    u->session = arena_copy(&u->arena, session.p, session.len);
    http_in_release(&in);
    return session.len ? 0 : error_set(e, ERROR_INTERNAL, "%s began no upload", call.url);
}

static int read_file(struct remote_upload *u, const struct http_in *in, struct error *e)
{
    struct error bad = { 0 };
    size_t at;
    yyjson_val *root = json_parse(&u->arena, buf_str(&in->body), &at, &bad);

    return remote_name(json_str(json_get(json_get(root, "file"), "name")), u->place, e);
}

static const char *command_of(const struct remote_upload *u, uint64_t bytes)
{
    if (u->at + bytes == u->file->bytes)
        return "upload, finalize";
    return bytes ? "upload" : "query";
}

static int upload_send(struct remote_upload *u, uint64_t bytes, struct error *e)
{
    char offset[HEADER_BYTES], words[HEADER_BYTES];
    const char *const header[] = { words, offset, NULL };
    const struct remote_call call = {
        .method = "POST",
        .url = u->session,
        .header = header,
        .file = bytes ? u->file : NULL,
        .file_offset = u->at,
        .file_bytes = bytes,
    };
    struct http_in in;
    uint64_t have;

    (void)snprintf(words, sizeof words, "X-Goog-Upload-Command: %s", command_of(u, bytes));
    (void)snprintf(offset, sizeof offset, "X-Goog-Upload-Offset: %llu", (unsigned long long)u->at);
    if (remote_do(u->service, &call, &in, e) < 0)
        return -1;
    int rc = 0;
    if (str_eq_c(http_in_header(&in, "x-goog-upload-status"), "final"))
        rc = read_file(u, &in, e) < 0 ? -1 : 1;
    else if (str_number(http_in_header(&in, "x-goog-upload-size-received"), &have))
        u->at = have <= u->file->bytes ? have : u->at;
    else
        u->at += bytes;
    http_in_release(&in);
    return rc;
}

static int gemini_upload(struct remote *r, const struct remote_file *f,
                         char place[REMOTE_NAME_BYTES], struct error *e)
{
    struct remote_upload u = {
        .service = service_of(r), .file = f, .place = place, .send = upload_send
    };
    int rc = upload_begin(&u, e);

    if (rc == 0)
        rc = remote_upload_all(&u, e);
    arena_release(&u.arena);
    return rc;
}

/* ---- Jobs ---- */

/* A listing has no filter here: it is gone through, newest first. */
static int find_in_page(struct remote_service *s, struct arena *a, const char *name,
                        struct str *token, char job[REMOTE_NAME_BYTES], struct error *e)
{
    const struct remote_call call = {
        .method = "GET",
        .url = remote_url(a, s->upstream->url, "/batches?pageSize=100&pageToken={}", token),
    };
    yyjson_val *page = remote_json(s, &call, a, e), *v;
    size_t i, n;

    if (!page)
        return -1;
    yyjson_arr_foreach(json_get(page, "operations"), i, n, v)
    {
        if (str_eq_c(json_str(json_get(json_get(v, "metadata"), "displayName")), name))
            return remote_name(json_str(json_get(v, "name")), job, e) < 0 ? -1 : 1;
    }
    struct str next = json_str(json_get(page, "nextPageToken"));
    *token = str_eq(next, *token) ? (struct str){ 0 } : next;
    return 0;
}

static int gemini_find(struct remote *r, const char *name, char job[REMOTE_NAME_BYTES],
                       struct error *e)
{
    struct arena page[2] = { { 0 }, { 0 } }; /* the token lies in the page before */
    struct str token = { 0 };
    int rc = 0;

    for (unsigned i = 0; rc == 0 && i < REMOTE_PAGES_MAX; i++) {
        arena_reset(&page[i % 2]);
        rc = find_in_page(service_of(r), &page[i % 2], name, &token, job, e);
        if (token.len == 0)
            break;
    }
    arena_release(&page[0]);
    arena_release(&page[1]);
    return rc;
}

static const char *create_url(struct remote_service *s, struct arena *a)
{
    const struct str id = remote_step(str_of(s->model));
    bool tuned = strncmp(s->model, "tunedModels/", strlen("tunedModels/")) == 0;

    return remote_url(
        a, s->upstream->url,
        tuned ? "/tunedModels/{}:batchGenerateContent" : "/models/{}:batchGenerateContent", &id);
}

static int gemini_create(struct remote *r, const char *name, const char *place,
                         char job[REMOTE_NAME_BYTES], struct error *e)
{
    struct remote_service *s = service_of(r);
    struct buf body = BUF_INIT(BODY_BYTES_MAX);
    struct json_writer w = JSON_WRITER(&body);
    struct arena a = { 0 };

    json_object(&w, NULL);
    json_object(&w, "batch");
    json_add_c(&w, "displayName", name);
    json_object(&w, "inputConfig");
    json_add_c(&w, "fileName", place);
    json_end(&w);
    json_end(&w);
    json_end(&w);
    const struct remote_call call = { .method = "POST",
                                      .url = create_url(s, &a),
                                      .body = buf_str(&body) };
    yyjson_val *v = remote_json(s, &call, &a, e);
    int rc = v ? remote_name(json_str(json_get(v, "name")), job, e) : -1;
    buf_release(&body);
    arena_release(&a);
    return rc;
}

static const char *job_url(struct remote_service *s, struct arena *a, const char *job,
                           const char *path)
{
    const struct str id = remote_step(str_of(job));

    return remote_url(a, s->upstream->url, path, &id);
}

/* Clients read metadata.output; the operation's response says the same. */
static struct str output_of(yyjson_val *operation)
{
    yyjson_val *metadata = json_get(operation, "metadata");
    struct str file = json_str(json_get(json_get(metadata, "output"), "responsesFile"));

    return file.len ? file : json_str(json_get(json_get(operation, "response"), "responsesFile"));
}

static int read_job(yyjson_val *v, struct remote_status *out, struct error *e)
{
    yyjson_val *metadata = json_get(v, "metadata"), *stats = json_get(metadata, "batchStats");
    struct str output = output_of(v);

    remote_state_read(json_str(json_get(metadata, "state")), STR("BATCH_STATE_"), out);
    if (yyjson_is_true(json_get(v, "done")) && !out->ended)
        remote_state_read(json_get(v, "error") ? STR("FAILED") : STR("SUCCEEDED"), STR(""), out);
    remote_why_read(json_get(v, "error"), out);
    out->done = remote_count(json_get(stats, "successfulRequestCount")) +
                remote_count(json_get(stats, "failedRequestCount"));
    return out->ended && output.len ? remote_name(output, out->output, e) : 0;
}

static int gemini_poll(struct remote *r, const char *job, struct remote_status *out,
                       struct error *e)
{
    struct remote_service *s = service_of(r);
    struct arena a = { 0 };
    const struct remote_call call = { .method = "GET", .url = job_url(s, &a, job, "/batches/{}") };
    yyjson_val *v = remote_json(s, &call, &a, e);
    int rc = v ? read_job(v, out, e) : -1;

    arena_release(&a);
    return rc;
}

static int gemini_cancel(struct remote *r, const char *job, struct error *e)
{
    struct remote_service *s = service_of(r);
    struct arena a = { 0 };
    int rc = remote_cancel(s, &a, job_url(s, &a, job, "/batches/{}:cancel"), e);

    arena_release(&a);
    return rc;
}

/* ---- Files ---- */

static int gemini_fetch(struct remote *r, const char *output, struct remote_cursor *at,
                        int (*on_bytes)(void *arg, const void *p, size_t len, struct error *e),
                        void *arg, struct error *e)
{
    struct remote_service *s = service_of(r);
    struct arena a = { 0 };
    int rc = 0;

    if (at->file == 0)
        rc = remote_fetch_file(s, job_url(s, &a, output, "/files/{}:download?alt=media"), at,
                               on_bytes, arg, e);
    arena_release(&a);
    return rc;
}

static int gemini_remove(struct remote *r, const char *place, struct error *e)
{
    struct remote_service *s = service_of(r);
    struct arena a = { 0 };
    const struct remote_call call = { .method = "DELETE",
                                      .url = job_url(s, &a, place, "/files/{}") };
    int rc = remote_json(s, &call, &a, e) ? 0 : -1;

    arena_release(&a);
    return rc;
}

static void gemini_close(struct remote *r)
{
    remote_service_free(service_of(r));
}

const struct remote_ops remote_gemini_ops = {
    .upload = gemini_upload,
    .find = gemini_find,
    .create = gemini_create,
    .poll = gemini_poll,
    .fetch = gemini_fetch,
    .cancel = gemini_cancel,
    .remove = gemini_remove,
    .close = gemini_close,
};
