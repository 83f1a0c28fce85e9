/* google_stub.h -- Vertex AI with Cloud Storage, and the Gemini API with its files, over the batch service in
 * memory: what their backends say and read on the wire. Include after cmocka.h.
 *
 * Shape:   an upload's name, a job's display name and the numbers of memory_remote.h are all that the
 *          dialects' names are made of: the file gs://bucket/stage/NAME.jsonl or files/N, the job N, the
 *          output gs://bucket/stage/tranche-output/N or files/output-N. An upload is one piece.
 * Threads: the server's workers, one call at a time under remote_world.lock.
 */
#ifndef TRANCHE_TESTS_GOOGLE_STUB_H
#define TRANCHE_TESTS_GOOGLE_STUB_H

#include "base/json.h"
#include "base/json_write.h"
#include "conform/engine/remote/remote_suite.h"
#include "net/client/http_client.h"
#include "net/server/http_server.h"
#include "predict/model.h"

#define STUB_NAME_BYTES 128

struct google_stub {
    struct remote_world *world;
    struct http_server *server;
    bool vertex;
    char url[256];
    struct upstream upstream;
    struct model model;
    char uploaded[MEMORY_JOBS_MAX][STUB_NAME_BYTES]; /* by upload; the next is that of file_count */
    char begun[STUB_NAME_BYTES];
};
/* One call that is being answered. */
struct stub_call {
    struct google_stub *stub;
    struct memory_remote *memory;
    struct http_call *http;
    struct str path, last; /* last: the path's last step, up to ':' */
    struct str verb;       /* behind ':' */
    int status;
    struct buf body;
};

static inline struct str stub_last(struct str path)
{
    while (str_find(path, STR("/")) != SIZE_MAX)
        path = str_sub(path, str_find(path, STR("/")) + 1, path.len);
    return path;
}

/* ---- Uploads ---- */

static inline int stub_upload_begin(struct stub_call *c, struct error *e)
{
    struct google_stub *g = c->stub;
    struct str name = { 0 };
    char session[300];

    if (memory_fault(c->memory, MEMORY_UPLOAD, false, e) < 0)
        return -1;
    (void)snprintf(session, sizeof session, "http://127.0.0.1:%u/session/1",
                   http_server_port(g->server));
    if (http_query(c->http, "name", &name))
        (void)snprintf(g->begun, sizeof g->begun, "%.*s", STR_ARG(name));
    http_set_header(c->http, g->vertex ? "Location" : "X-Goog-Upload-URL", str_of(session));
    buf_add_c(&c->body, "{}");
    return 0;
}

static inline int stub_upload_end(struct stub_call *c, struct error *e)
{
    struct json_writer w = JSON_WRITER(&c->body);
    struct str bytes = http_body(c->http);
    char place[REMOTE_NAME_BYTES];

    memcpy(c->stub->uploaded[c->memory->file_count], c->stub->begun, STUB_NAME_BYTES);
    memory_file_add(c->memory, bytes.p, bytes.len, place);
    http_set_header(c->http, "X-Goog-Upload-Status", STR("final"));
    json_object(&w, NULL);
    json_object(&w, "file");
    json_addf(&w, "name", "files/%s", place + strlen("file/"));
    json_end(&w);
    json_end(&w);
    return memory_fault(c->memory, MEMORY_UPLOAD, true, e);
}

/* ---- Jobs ---- */

/* "file/N" of an input as a create names it. */
static inline int stub_place(struct stub_call *c, struct str input, char out[REMOTE_NAME_BYTES],
                             struct error *e)
{
    struct str last = stub_last(input);

    if (!c->stub->vertex) {
        (void)snprintf(out, REMOTE_NAME_BYTES, "file/%.*s", STR_ARG(last));
        return 0;
    }
    for (uint32_t i = 0; i < c->memory->file_count; i++) {
        if (!str_eq(stub_last(str_of(c->stub->uploaded[i])), last))
            continue;
        (void)snprintf(out, REMOTE_NAME_BYTES, "file/%u", i);
        return 0;
    }
    return error_set(e, ERROR_NOT_FOUND, "no object %.*s", STR_ARG(input));
}

static inline void stub_write_name(struct stub_call *c, struct json_writer *w, const char *job)
{
    json_addf(w, "name", "%s%s",
              c->stub->vertex ? "projects/p/locations/l/batchPredictionJobs/" : "batches/",
              strchr(job, '/') + 1);
}

static inline int stub_create(struct stub_call *c, struct error *e)
{
    struct json_writer w = JSON_WRITER(&c->body);
    char name[STUB_NAME_BYTES], place[REMOTE_NAME_BYTES], job[REMOTE_NAME_BYTES];
    struct error bad;
    size_t at;
    yyjson_val *v = json_parse(http_arena(c->http), http_body(c->http), &at, &bad);

    if (json_get(v, "batch"))
        v = json_get(v, "batch");
    yyjson_val *in = json_get(v, "inputConfig");
    struct str uri =
        c->stub->vertex
            ? json_str(yyjson_arr_get_first(json_get(json_get(in, "gcsSource"), "uris")))
            : json_str(json_get(in, "fileName"));
    (void)snprintf(name, sizeof name, "%.*s", STR_ARG(json_str(json_get(v, "displayName"))));
    if (stub_place(c, uri, place, e) < 0 ||
        memory_create(&c->memory->base, name, place, job, e) < 0)
        return -1;
    json_object(&w, NULL);
    stub_write_name(c, &w, job);
    json_end(&w);
    return 0;
}

/* All jobs, or of Vertex AI those of the filter's name. */
static inline int stub_list(struct stub_call *c, struct error *e)
{
    struct json_writer w = JSON_WRITER(&c->body);
    struct str filter = { 0 };
    char wanted[STUB_NAME_BYTES], job[REMOTE_NAME_BYTES];

    if (memory_find(&c->memory->base, "", job, e) < 0)
        return -1;
    (void)http_query(c->http, "filter", &filter);
    json_object(&w, NULL);
    json_array(&w, c->stub->vertex ? "batchPredictionJobs" : "operations");
    for (uint32_t i = 0; i < c->memory->job_count; i++) {
        const char *name = c->memory->job[i].name;
        (void)snprintf(wanted, sizeof wanted, "display_name=\"%s\"", name);
        if (c->stub->vertex && !str_eq_c(filter, wanted))
            continue;
        (void)snprintf(job, sizeof job, "job/%u", i);
        json_object(&w, NULL);
        stub_write_name(c, &w, job);
        json_add_c(&w, "displayName", name);
        json_object(&w, "metadata");
        json_add_c(&w, "displayName", name);
        json_end(&w);
        json_end(&w);
    }
    json_end(&w);
    json_end(&w);
    return 0;
}

static inline const char *stub_state(const struct remote_status *st)
{
    if (!st->ended)
        return "RUNNING";
    if (st->why.code == ERROR_CANCELLED)
        return "CANCELLED";
    return st->why.code == ERROR_OK ? "SUCCEEDED" : "FAILED";
}

static inline int stub_poll(struct stub_call *c, const char *job, struct error *e)
{
    struct json_writer w = JSON_WRITER(&c->body);
    struct remote_status st = { 0 };
    const char *number = strchr(job, '/') + 1;

    if (memory_poll(&c->memory->base, job, &st, e) < 0)
        return -1;
    json_object(&w, NULL);
    stub_write_name(c, &w, job);
    if (st.why.code) {
        json_object(&w, "error");
        json_add_uint(&w, "code", (uint64_t)error_rpc(st.why.code));
        json_add_c(&w, "message", st.why.msg);
        json_end(&w);
    }
    json_addf(&w, "state", "JOB_STATE_%s", stub_state(&st));
    json_object(&w, "outputInfo");
    if (st.output[0])
        json_addf(&w, "gcsOutputDirectory", "gs://bucket/stage/tranche-output/%s", number);
    json_end(&w);
    json_object(&w, "metadata");
    json_addf(&w, "state", "BATCH_STATE_%s", stub_state(&st));
    json_object(&w, "output");
    if (st.output[0])
        json_addf(&w, "responsesFile", "files/output-%s", number);
    json_end(&w);
    json_end(&w);
    json_end(&w);
    return 0;
}

/* ---- Objects and files ---- */

/* "output/N" of ".../tranche-output/N/predictions.jsonl" or "output-N"; or "file/N". */
static inline void stub_object(struct stub_call *c, char out[REMOTE_NAME_BYTES])
{
    struct str name = { 0 };
    size_t at = str_find(c->path, STR("output"));

    if (at == SIZE_MAX) {
        (void)snprintf(out, REMOTE_NAME_BYTES, "file/%.*s", STR_ARG(c->last));
        return;
    }
    (void)http_decode(http_arena(c->http), str_sub(c->path, at + strlen("output"), c->path.len),
                      false, &name);
    (void)snprintf(out, REMOTE_NAME_BYTES, "output/%lu", strtoul(name.p + 1, NULL, 10));
}

static inline int stub_collect(void *arg, const void *p, size_t len, struct error *e)
{
    (void)e;
    buf_add(arg, p, len);
    return 0;
}

static inline int stub_download(struct stub_call *c, struct error *e)
{
    struct str range = http_header(c->http, "Range");
    struct remote_cursor at = { 0 };
    char output[REMOTE_NAME_BYTES];
    struct buf all = BUF_INIT(MEMORY_FILE_MAX);
    uint64_t from = 0;

    stub_object(c, output);
    int rc = memory_fetch(&c->memory->base, output, &at, stub_collect, &all, e);
    if (rc == 0 && range.len) {
        range = str_sub(range, strlen("bytes="), range.len - strlen("bytes=") - 1);
        assert_true(str_number(range, &from));
        c->status = from < all.len ? 206 : 416;
    }
    if (rc == 0)
        buf_add_str(&c->body, str_sub(buf_str(&all), (size_t)from, all.len));
    buf_release(&all);
    return rc;
}

/* The one object of the output whose folder is asked for, when it is there. */
static inline int stub_objects(struct stub_call *c)
{
    static const struct str folder = STR_INIT("stage/tranche-output/");
    struct json_writer w = JSON_WRITER(&c->body);
    struct str prefix = { 0 };
    uint64_t n = 0;

    assert_true(http_query(c->http, "prefix", &prefix) && str_starts(prefix, folder));
    struct str number = str_sub(prefix, folder.len, prefix.len - folder.len - 1);
    assert_true(str_number(number, &n) && n < c->memory->job_count);
    json_object(&w, NULL);
    json_array(&w, "items");
    if (!c->memory->job[n].output_removed) {
        json_object(&w, NULL);
        json_addf(&w, "name", "%.*spredictions.jsonl", STR_ARG(prefix));
        json_end(&w);
    }
    json_end(&w);
    json_end(&w);
    return 0;
}

static inline int stub_remove(struct stub_call *c, struct error *e)
{
    char place[REMOTE_NAME_BYTES];

    stub_object(c, place);
    buf_add_c(&c->body, "{}");
    return memory_remove(&c->memory->base, place, e);
}

/* ---- The server ---- */

static inline int stub_route(struct stub_call *c, struct error *e)
{
    enum http_method method = http_method(c->http);
    char job[REMOTE_NAME_BYTES];

    (void)snprintf(job, sizeof job, "job/%.*s", STR_ARG(c->last));
    if (str_starts(c->path, STR("/upload/")))
        return stub_upload_begin(c, e);
    if (str_starts(c->path, STR("/session/")))
        return stub_upload_end(c, e);
    if (method == HTTP_DELETE)
        return stub_remove(c, e);
    if (str_starts(c->path, STR("/download/")) || str_eq(c->verb, STR("download")))
        return stub_download(c, e);
    if (str_starts(c->path, STR("/storage/")))
        return stub_objects(c);
    if (str_eq(c->verb, STR("cancel"))) {
        buf_add_c(&c->body, "{}");
        return memory_cancel(&c->memory->base, job, e);
    }
    if (method == HTTP_POST)
        return stub_create(c, e);
    if (str_eq(c->last, STR("batchPredictionJobs")) || str_eq(c->last, STR("batches")))
        return stub_list(c, e);
    return stub_poll(c, job, e);
}

static inline void stub_fail(struct stub_call *c, const struct error *e)
{
    struct json_writer w = JSON_WRITER(&c->body);
    char pause[16];

    c->status = error_http(e->code);
    (void)snprintf(pause, sizeof pause, "%u", c->memory->base.retry_after_ms / 1000);
    if (error_retryable(e->code))
        http_set_header(c->http, "Retry-After", str_of(pause));
    buf_clear(&c->body);
    json_object(&w, NULL);
    json_object(&w, "error");
    json_add_uint(&w, "code", (uint64_t)c->status);
    json_add_c(&w, "message", e->msg);
    json_add_c(&w, "status", error_name(e->code));
    json_end(&w);
    json_end(&w);
}

static inline enum http_next stub_begin(void *arg, struct http_call *c)
{
    (void)arg;
    http_set_keep_max(c, MEMORY_FILE_MAX);
    return HTTP_KEEP;
}

static inline void stub_handle(void *arg, struct http_call *http)
{
    struct google_stub *g = arg;
    struct remote_world *w = g->world;
    struct stub_call c = { .stub = g, .memory = &w->memory, .http = http, .status = 200 };
    struct error e = { 0 };

    c.body = BUF_INIT(MEMORY_FILE_MAX);
    c.path = http_path(http);
    c.last = stub_last(c.path);
    size_t colon = str_find(c.last, STR(":"));
    if (colon != SIZE_MAX) {
        c.verb = str_sub(c.last, colon + 1, c.last.len);
        c.last = str_sub(c.last, 0, colon);
    }
    lock(&w->lock);
    if (stub_route(&c, &e) < 0)
        stub_fail(&c, &e);
    while (w->held && atomic_load(&w->stop))
        cond_wait(&w->let_go, &w->lock);
    unlock(&w->lock);
    http_reply(http, c.status, "application/json", &c.body);
    buf_release(&c.body);
}

/* path: of the upstream's URL. staging: of Vertex AI; NULL: the Gemini API. */
static inline void google_stub_open(struct remote_world *w, const char *path, const char *staging)
{
    struct google_stub *g = mem_alloc(sizeof *g);
    const struct http_settings set = { .listen = "127.0.0.1:0" };
    const struct http_handlers handlers = { .begin = stub_begin, .handle = stub_handle, .arg = g };
    struct error e = { 0 };

    g->world = w;
    g->vertex = staging != NULL;
    w->backend = g;
    lock(&w->lock); /* for the workers to see what is set here */
    g->server = http_server_start(&set, &handlers, &e);
    if (!g->server)
        fail_msg("%s", e.msg);
    unlock(&w->lock);
    (void)snprintf(g->url, sizeof g->url, "http://127.0.0.1:%u%s", http_server_port(g->server),
                   path);
    g->upstream = (struct upstream){ .name = "google", .url = g->url, .wire = WIRE_GEMINI };
    g->model = (struct model){ .pattern = "gemini-test",
                               .kind = MODEL_REMOTE_BATCH,
                               .upstream = { { .upstream = &g->upstream } },
                               .upstream_count = 1,
                               .staging = staging };
    w->remote = remote_open(&g->model, "gemini-test", clock_system(), &w->stop, &e);
    if (!w->remote)
        fail_msg("%s", e.msg);
}

static inline void google_stub_close(struct remote_world *w)
{
    struct google_stub *g = w->backend;

    remote_close(w->remote);
    http_server_free(g->server, 1000);
    mem_free(g);
}

static int http_start(void **state)
{
    struct error e = { 0 };

    (void)state;
    return http_client_init(&e);
}

#endif
