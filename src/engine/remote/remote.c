#include "engine/remote/remote.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/random.h"
#include "engine/remote/remote_inner.h"
#include "format/upstream_error.h"
#include "net/server/http_server.h"

#define HEADERS_MAX 10
#define GOOGLE_STORAGE "https://storage.googleapis.com"

/* ---- Its place ---- */

/* "https://host:port" of a URL. */
static struct str host_of(const char *url)
{
    const char *host = strstr(url, "://");
    size_t len = host ? strcspn(host + 3, "/") + (size_t)(host + 3 - url) : strlen(url);

    return (struct str){ url, len };
}

/* Google's storage has a host of its own; any other service has API and storage at one host. */
static const char *storage_of(struct arena *a, const char *url)
{
    struct str host = host_of(url);

    return str_ends(host, STR(".googleapis.com")) ? GOOGLE_STORAGE
                                                  : arena_copy(a, host.p, host.len);
}

static int choose_vertex(struct remote_service *s, const struct model *m, struct error *e)
{
    struct str staging = str_of(m->staging);

    while (str_ends(staging, STR("/")))
        staging.len--;
    if (!str_starts(staging, STR("gs://")) || staging.len <= strlen("gs://"))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "model %s: Vertex AI needs a place in Cloud Storage for requests and "
                         "answers: staging, as gs://BUCKET/PREFIX",
                         m->pattern);
    s->base.ops = &remote_vertex_ops;
    s->base.bytes_max = REMOTE_VERTEX_BYTES_MAX;
    s->staging = arena_copy(&s->arena, staging.p, staging.len);
    s->storage = storage_of(&s->arena, s->upstream->url);
    s->tokens_only = strcmp(s->storage, GOOGLE_STORAGE) == 0;
    return 0;
}

static struct remote_service *service_new(const struct model *m, const char *name, struct error *e)
{
    const struct model_upstream *at = &m->upstream[0];

    if (m->upstream_count == 0 || !at->upstream || at->upstream->wire != WIRE_GEMINI) {
        (void)error_set(e, ERROR_INVALID_ARGUMENT,
                        "model %s: a remote batch needs an upstream of dialect gemini", m->pattern);
        return NULL;
    }
    struct remote_service *s = mem_alloc(sizeof *s);
    s->upstream = at->upstream;
    s->model = arena_copy(&s->arena, name, strlen(name));
    if (at->model && at->model[0])
        s->model = at->model;
    s->base = (struct remote){
        .ops = &remote_gemini_ops,
        .rows_max = REMOTE_ROWS_MAX,
        .bytes_max = REMOTE_GEMINI_BYTES_MAX,
    };
    if (!strstr(s->upstream->url, "/projects/") || choose_vertex(s, m, e) == 0)
        return s;
    remote_service_free(s);
    return NULL;
}

/* ---- Opening and closing ---- */

struct remote *remote_open(const struct model *m, const char *name, struct clock *clock,
                           const atomic_bool *stop, struct error *e)
{
    struct remote_service *s = service_new(m, name, e);

    if (!s)
        return NULL;
    s->clock = clock;
    s->stop = stop;
    s->credential = credential_new(&s->upstream->credential, clock, s->upstream->ca_file, e);
    if (!s->credential) {
        remote_service_free(s);
        return NULL;
    }
    s->http = http_client_new();
    s->chance = (uint64_t)clock->wall_us(clock) ^ (uint64_t)(uintptr_t)s;
    return &s->base;
}

void remote_close(struct remote *r)
{
    if (r)
        r->ops->close(r);
}

void remote_service_free(struct remote_service *s)
{
    credential_free(s->credential);
    http_client_free(s->http);
    arena_release(&s->arena);
    mem_free(s);
}

/* ---- One call ---- */

/* Headers of one call. */
struct headers {
    const char *item[HEADERS_MAX + UPSTREAM_HEADERS_MAX + 1];
    size_t count;
    struct buf credential, trace;
};

static bool is_ours(const struct remote_service *s, const char *url)
{
    struct str host = host_of(url);

    return str_eq(host, host_of(s->upstream->url)) ||
           (s->storage && str_eq(host, host_of(s->storage)));
}

static int add_credential(struct remote_service *s, struct headers *h, struct error *e)
{
    struct buf secret = BUF_INIT(CREDENTIAL_BYTES_MAX);
    int rc = credential_wait(s->credential, REMOTE_CREDENTIAL_MS, &secret, e);

    if (rc > 0 && secret.len) {
        bool token = s->tokens_only || credential_is_token(s->credential);
        buf_addf(&h->credential, "%s%s",
                 token ? "Authorization: Bearer " : "x-goog-api-key: ", secret.p);
        h->item[h->count++] = h->credential.p;
    }
    buf_release(&secret);
    return rc < 0 ? -1 : 0;
}

static void add_trace(struct remote_service *s, struct headers *h)
{
    if (!s->base.trace)
        return;
    trace_write(s->base.trace, random_next(&s->chance), &h->trace);
    h->item[h->count++] = h->trace.p;
    char *state = strchr(h->trace.p, '\n');
    if (!state)
        return;
    *state = '\0';
    h->item[h->count++] = state + 1;
}

static int make_headers(struct remote_service *s, const struct remote_call *call, struct headers *h,
                        struct error *e)
{
    const char *const *more = call->header, *const *own = s->upstream->header;

    for (size_t i = 0; more && more[i] && h->count < HEADERS_MAX - 4; i++)
        h->item[h->count++] = more[i];
    if (call->body.len)
        h->item[h->count++] = "Content-Type: application/json";
    if (!is_ours(s, call->url))
        return 0;
    for (size_t i = 0; own && own[i] && i < UPSTREAM_HEADERS_MAX; i++)
        h->item[h->count++] = own[i];
    add_trace(s, h);
    return add_credential(s, h, e);
}

/* A refusal keeps the batch service's words and the pause that it asked for. */
static int refused(struct remote_service *s, const struct http_in *in, struct error *e)
{
    struct arena a = { 0 };
    const struct upstream_refusal r = {
        .status = in->status,
        .body = buf_str(&in->body),
        .retry_after = http_in_header(in, "retry-after"),
        .upstream = s->upstream->name,
        .now_us = s->clock->wall_us(s->clock),
    };

    struct upstream_pause pause;
    upstream_error_read(&a, &r, e, &pause);
    s->base.retry_after_ms = pause.ms;
    arena_release(&a);
    return -1;
}

static int attempt(struct remote_service *s, const struct remote_call *call, struct http_in *in,
                   struct error *e)
{
    struct headers h = { .credential = BUF_INIT(CREDENTIAL_BYTES_MAX + 64),
                         .trace = BUF_INIT(TRACE_LINES_BYTES_MAX) };
    int rc = make_headers(s, call, &h, e);

    *in = (struct http_in){ 0 };
    s->base.retry_after_ms = 0;
    s->status = 0;
    if (rc == 0) {
        const struct http_out out = {
            .method = call->method,
            .url = call->url,
            .header = h.item,
            .body = call->body,
            .has_body_file = call->file != NULL,
            .body_fd = call->file ? call->file->fd : -1,
            .body_offset = call->file_offset,
            .body_bytes = call->file_bytes,
            .timeout_ms = call->file || call->on_body ? 0 : REMOTE_CALL_MS,
            .ca_file = s->upstream->ca_file,
            .on_body = call->on_body,
            .arg = call->arg,
            .body_max = REMOTE_ANSWER_BYTES_MAX,
            .stop = s->stop,
        };
        rc = http_do(s->http, &out, in, e);
        s->status = in->status;
    }
    buf_release(&h.credential);
    buf_release(&h.trace);
    if (rc == 0 && s->status / 100 != 2 && s->status != 308)
        rc = refused(s, in, e);
    if (rc < 0)
        http_in_release(in);
    return rc;
}

/* A token may have been taken back: it is read or fetched anew, once. */
int remote_do(struct remote_service *s, const struct remote_call *call, struct http_in *in,
              struct error *e)
{
    struct error first = { 0 };

    if (attempt(s, call, in, &first) == 0)
        return 0;
    if (s->status == 401) {
        credential_refused(s->credential);
        return attempt(s, call, in, e);
    }
    *e = first;
    return -1;
}

yyjson_val *remote_json(struct remote_service *s, const struct remote_call *call, struct arena *a,
                        struct error *e)
{
    struct http_in in;
    struct error bad = { 0 };
    size_t at;

    if (remote_do(s, call, &in, e) < 0)
        return NULL;
    yyjson_val *v = json_parse(a, buf_str(&in.body), &at, &bad);
    http_in_release(&in);
    if (yyjson_is_obj(v))
        return v;
    (void)error_set(e, ERROR_INTERNAL, "%s did not answer with a JSON object (%s)", call->url,
                    v ? "it is another value" : bad.msg);
    return NULL;
}

int remote_cancel(struct remote_service *s, struct arena *a, const char *url, struct error *e)
{
    const struct remote_call call = { .method = "POST", .url = url, .body = STR("{}") };
    struct error why = { 0 };

    if (remote_json(s, &call, a, &why) || why.code == ERROR_FAILED_PRECONDITION)
        return 0;
    *e = why;
    return -1;
}

const char *remote_url(struct arena *a, const char *base, const char *path,
                       const struct str *argument)
{
    struct buf url = BUF_INIT(REMOTE_URL_BYTES_MAX);

    http_url_fill(base, path, argument, &url);
    const char *out = arena_copy(a, url.p, url.len);
    buf_release(&url);
    return out;
}

/* ---- Answers of both dialects ---- */

struct str remote_step(struct str name)
{
    size_t at = name.len;

    while (at > 0 && name.p[at - 1] != '/')
        at--;
    return str_sub(name, at, name.len);
}

int remote_name(struct str from, char out[REMOTE_NAME_BYTES], struct error *e)
{
    if (from.len == 0 || from.len >= REMOTE_NAME_BYTES || memchr(from.p, '\0', from.len))
        return error_set(e, ERROR_INTERNAL, "the batch service gave no name that can be used");
    memcpy(out, from.p, from.len);
    out[from.len] = '\0';
    return 0;
}

/* States in which a job stays for good, and what each means for lines without an answer. */
static const struct {
    const char *state;
    enum error_code code;
    const char *words;
} ends[] = {
    { "SUCCEEDED", ERROR_OK, "" },
    { "PARTIALLY_SUCCEEDED", ERROR_INTERNAL, "the batch job succeeded only in part" },
    { "FAILED", ERROR_INTERNAL, "the batch job failed" },
    { "CANCELLED", ERROR_CANCELLED, "the batch job was cancelled" },
    { "EXPIRED", ERROR_DEADLINE_EXCEEDED, "the batch job expired before it was done" },
};

void remote_state_read(struct str state, struct str prefix, struct remote_status *out)
{
    if (str_starts(state, prefix))
        state = str_sub(state, prefix.len, state.len);
    (void)snprintf(out->state, sizeof out->state, "%.*s", STR_ARG(state));
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        if (!str_eq_c(state, ends[i].state))
            continue;
        out->ended = true;
        if (ends[i].code != ERROR_OK)
            (void)error_set(&out->why, ends[i].code, "%s", ends[i].words);
    }
}

void remote_why_read(yyjson_val *error, struct remote_status *out)
{
    struct str message = json_str(json_get(error, "message"));
    int64_t number = yyjson_get_sint(json_get(error, "code"));

    if (!out->ended || out->why.code == ERROR_OK)
        return;
    for (int code = 1; code < ERROR_CODE_COUNT; code++)
        if (error_rpc((enum error_code)code) == number)
            out->why.code = (enum error_code)code;
    message = str_cut(message, ERROR_MSG_BYTES / 2);
    message.len = str_utf8_valid(message);
    if (message.len) {
        const struct error words = out->why;
        (void)error_set(&out->why, words.code, "%s: %.*s", words.msg, STR_ARG(message));
    }
}

uint64_t remote_count(yyjson_val *v)
{
    uint64_t n = 0;

    if (yyjson_is_uint(v))
        return yyjson_get_uint(v);
    return str_number(json_str(v), &n) ? n : 0;
}
