/* online.c -- one request, one answer, at once: generateContent, its stream, countTokens, and
 * the models there are.
 *
 * Why: an online call and a batch line with the same request go through the same validation and the
 * same model, so a prompt can be tried before it is sent 200,000 times.
 *
 * Stream:  the predictor gives whole answers, so a stream is one event with all of the answer.
 */
#include <stdio.h>
#include <string.h>

#include "api/call.h"
#include "base/mem.h"
#include "engine/lines/ingest.h"
#include "engine/lines/job_files.h"
#include "format/job/price.h"
#include "format/request/request.h"
#include "format/response.h"

#define ONLINE_BODY_MAX LINE_BYTES_MAX
#define REPLY_BYTES_MAX (RESPONSE_BYTES_MAX + 64)
#define MODELS_BYTES_MAX ((size_t)1024 * 1024)
#define MODEL_PATH_BYTES (MODEL_NAME_BYTES + 256)

enum form { FORM_ONE, FORM_SSE, FORM_ARRAY };

/* Lives from the call until the model has let go of the request, which may be after the reply. */
struct online_call {
    struct arena arena;
    struct call *call;
    struct request *request;
    struct job_files files;
    enum form form;
};

/* ---- Who and what ---- */

/* The model is the last parameter; before it may stand project and location. False: answered. */
static bool find_model(struct call *c, char name[MODEL_NAME_BYTES], const char **project)
{
    struct error e = { 0 };
    struct str model = c->param[c->param_count - 1];

    *project = c->who.all ? c->api->default_project : c->who.project;
    if (c->param_count > 1 && !call_project(c, c->param[0], project)) {
        call_fail_as(c, 403, NULL,
                     "Permission 'aiplatform.endpoints.predict' denied on this "
                     "project.");
        return false;
    }
    char *text = arena_copy(c->arena, model.p, model.len);
    model_short_name(text, name);
    if (name[0] && model_find(c->api->models, name, &e))
        return true;
    char message[MODEL_NAME_BYTES + 160];
    (void)snprintf(message, sizeof message,
                   "models/%.*s is not found for API version %.*s, or is not supported for "
                   "generateContent. Call ListModels to see the list of available models and "
                   "their supported methods.",
                   STR_ARG(model.len < MODEL_NAME_BYTES ? model : STR("...")), STR_ARG(c->version));
    call_fail_as(c, 404, NULL, message);
    return false;
}

static const char *script_of(struct call *c)
{
    struct str script = http_header(c->http, "x-tranche-test");

    return c->api->test_clock && script.len ? arena_copy(c->arena, script.p, script.len) : NULL;
}

/* ---- generateContent ---- */

static void online_free(void *arg)
{
    struct online_call *o = arg;

    arena_release(&o->arena);
    mem_free(o);
}

static struct online_call *online_new(struct call *c, struct str body, struct error *e)
{
    struct online_call *o = mem_alloc(sizeof *o);
    struct violations bad = { .count = 0 };
    struct input_line in = { 0 };
    struct line_rules rules = { 0 };
    struct str own = { arena_copy(&o->arena, body.p, body.len), body.len };

    o->call = c;
    bool good = request_read_line(&o->arena, own, &rules, &in, &bad);
    if (good && in.request->kind == REQUEST_GENERATE) {
        o->request = in.request;
        return o;
    }
    if (good)
        (void)error_set(e, ERROR_INVALID_ARGUMENT,
                        "This is a request for an embedding: write contents to generate.");
    else
        ingest_error(&bad, e);
    online_free(o);
    return NULL;
}

static void online_done(void *arg, struct answer *a)
{
    struct online_call *o = arg;
    static const struct {
        const char *before, *after, *type;
    } forms[] = {
        [FORM_ONE] = { "", "\n", "application/json; charset=UTF-8" },
        [FORM_SSE] = { "data: ", "\r\n\r\n", "text/event-stream" },
        [FORM_ARRAY] = { "[", "]\n", "application/json; charset=UTF-8" },
    };
    struct buf body = BUF_INIT(REPLY_BYTES_MAX);

    if (a->error.code == ERROR_OK) {
        buf_add_c(&body, forms[o->form].before);
        buf_add_str(&body, buf_str(&a->response));
        buf_add_c(&body, forms[o->form].after);
        http_reply(o->call->http, 200, forms[o->form].type, &body);
    } else {
        call_fail(o->call, &a->error);
    }
    answer_release(a);
}

static void generate(struct call *c, enum form form)
{
    char model[MODEL_NAME_BYTES];
    const char *project;
    struct error e = { 0 };

    if (!find_model(c, model, &project))
        return;
    struct online_call *o = online_new(c, http_body(c->http), &e);
    if (!o) {
        call_fail(c, &e);
        return;
    }
    o->form = form;
    job_files_init(&o->files, c->api->store, c->who.all ? NULL : c->who.project);
    o->request->files = &o->files.source;
    struct online ask = {
        .model = model,
        .project = project,
        .request = o->request,
        .script = script_of(c),
        .done = online_done,
        .released = online_free,
        .arg = o,
    };
    if (service_ask(c->api->service, &ask, &e) == 0)
        return;
    online_free(o);
    call_fail(c, &e);
}

static void generate_one(struct call *c)
{
    generate(c, FORM_ONE);
}

static void generate_stream(struct call *c)
{
    struct str alt;
    bool sse = (http_query(c->http, "alt", &alt) || http_query(c->http, "$alt", &alt)) &&
               str_starts(alt, STR("sse"));

    generate(c, sse ? FORM_SSE : FORM_ARRAY);
}

/* ---- countTokens ---- */

/* A body may wrap the whole request, as the Gemini API allows. */
static struct str request_text(struct call *c)
{
    struct str body = http_body(c->http);
    struct json_member m = { 0 };
    struct error e;
    size_t at;

    if (!json_parse(c->arena, body, &at, &e))
        return body;
    body = str_sub(body, json_space(body, 0), body.len);
    while (body.len && body.p[0] == '{' && json_member_next(body, &m))
        if (str_eq_c(m.key, "generateContentRequest") ||
            str_eq_c(m.key, "generate_content_request"))
            return m.value;
    return body;
}

static uint64_t billable(struct str text)
{
    uint64_t n = 0;

    for (size_t i = 0; i < text.len; i++) {
        unsigned char b = (unsigned char)text.p[i];
        n += b > ' ' && (b & 0xC0) != 0x80; /* a code point's first byte, no space */
    }
    return n;
}

static uint64_t billable_characters(const struct request *r)
{
    uint64_t n = 0;

    for (uint32_t i = 0; i < r->content_count; i++)
        for (uint32_t p = 0; p < r->content[i].part_count; p++)
            n += billable(r->content[i].part[p].text);
    for (uint32_t p = 0; r->system && p < r->system->part_count; p++)
        n += billable(r->system->part[p].text);
    return n;
}

static void count_tokens(struct call *c)
{
    char model[MODEL_NAME_BYTES];
    const char *project;
    struct error e = { 0 };
    struct buf body = BUF_INIT(1024);
    uint32_t tokens = 0;

    if (!find_model(c, model, &project))
        return;
    struct online_call *o = online_new(c, request_text(c), &e);
    if (!o || service_count_tokens(c->api->service, model, o->request, &tokens, &e) < 0) {
        call_fail(c, &e);
    } else {
        buf_addf(&body, "{\"totalTokens\":%u,", tokens);
        if (c->param_count > 1)
            buf_addf(&body, "\"totalBillableCharacters\":%llu,",
                     (unsigned long long)billable_characters(o->request));
        buf_addf(&body, "\"promptTokensDetails\":[{\"modality\":\"TEXT\",\"tokenCount\":%u}]}",
                 tokens);
        call_reply(c, &body);
    }
    if (o)
        online_free(o);
}

/* ---- Models ---- */

/* What a configured pattern stands for in a list: itself, or the published names that it matches. */
static void each_name(const struct api *api, void (*fn)(void *arg, const char *name), void *arg)
{
    const char *name;
    const struct price *p;
    struct error e;

    for (uint32_t i = 0; i < api->models->count; i++)
        if (!strpbrk(api->models->item[i].pattern, "*?"))
            fn(arg, api->models->item[i].pattern);
    for (unsigned i = 0; price_at(i, &name, &p); i++) {
        const struct model *m = model_find(api->models, name, &e);
        if (m && strpbrk(m->pattern, "*?"))
            fn(arg, name);
    }
}

static void write_gemini(struct buf *b, const char *name, const struct model *m)
{
    buf_add_c(b, "{\"name\":\"models/");
    buf_add_c(b, name);
    buf_add_c(b, "\",\"version\":\"001\",\"displayName\":\"");
    buf_add_c(b, name);
    buf_add_c(b, "\",\"description\":");
    buf_add_json(b, str_of(m && m->about ? m->about : ""));
    if (m && m->context)
        buf_addf(b, ",\"inputTokenLimit\":%u,\"outputTokenLimit\":%u", m->context, m->context);
    buf_add_c(b, ",\"supportedGenerationMethods\":[\"generateContent\",\"countTokens\","
                 "\"batchGenerateContent\"]}");
}

static void write_vertex(struct buf *b, const char *name, const struct model *m)
{
    (void)m;
    buf_addf(b,
             "{\"name\":\"publishers/google/models/%s\",\"versionId\":\"default\","
             "\"openSourceCategory\":\"PROPRIETARY\",\"launchStage\":\"GA\","
             "\"publisherModelTemplate\":\"projects/{user-project}/locations/{location}/publishers/"
             "google/models/%s\"}",
             name, name);
}

struct listing {
    struct buf body;
    const struct api *api;
    void (*write)(struct buf *b, const char *name, const struct model *m);
    bool some;
};

static void list_one(void *arg, const char *name)
{
    struct listing *l = arg;
    struct error e;

    if (l->some)
        buf_add_char(&l->body, ',');
    l->some = true;
    l->write(&l->body, name, model_find(l->api->models, name, &e));
}

static void list_models(struct call *c, const char *key,
                        void (*write)(struct buf *b, const char *name, const struct model *m))
{
    struct listing l = { .body = BUF_INIT(MODELS_BYTES_MAX), .api = c->api, .write = write };

    buf_addf(&l.body, "{\"%s\":[", key);
    each_name(c->api, list_one, &l);
    buf_add_c(&l.body, "]}");
    call_reply(c, &l.body);
}

static void list_gemini(struct call *c)
{
    list_models(c, "models", write_gemini);
}

static void list_vertex(struct call *c)
{
    list_models(c, "publisherModels", write_vertex);
}

static void get_model(struct call *c,
                      void (*write)(struct buf *b, const char *name, const struct model *m))
{
    char name[MODEL_NAME_BYTES];
    const char *project;
    struct error e;
    struct buf body = BUF_INIT(MODELS_BYTES_MAX);

    if (!find_model(c, name, &project))
        return;
    write(&body, name, model_find(c->api->models, name, &e));
    call_reply(c, &body);
}

static void get_gemini(struct call *c)
{
    get_model(c, write_gemini);
}

static void get_vertex(struct call *c)
{
    get_model(c, write_vertex);
}

/* A tuned model: clients of Vertex ask what it was made from before they take it for a Gemini one. */
static void get_tuned(struct call *c)
{
    char name[MODEL_NAME_BYTES];
    const char *project;
    struct buf body = BUF_INIT(MODELS_BYTES_MAX);

    if (!find_model(c, name, &project))
        return;
    buf_add_c(&body, "{\"name\":");
    char path[MODEL_PATH_BYTES];
    (void)snprintf(path, sizeof path, "projects/%.*s/locations/%.*s/models/%s",
                   STR_ARG(str_sub(c->param[0], 0, PROJECT_BYTES)),
                   STR_ARG(str_sub(c->param[1], 0, LOCATION_BYTES)), name);
    buf_add_json(&body, str_of(path));
    buf_add_c(&body, ",\"displayName\":");
    buf_add_json(&body, str_of(name));
    buf_add_c(&body, ",\"versionId\":\"1\",\"versionAliases\":[\"default\"],"
                     "\"modelSourceInfo\":{\"sourceType\":\"GENIE\"}}");
    call_reply(c, &body);
}

#define VERTEX "/(v1|v1beta1)/projects/{}/locations/{}"
#define EXPRESS "/(v1|v1beta1)/publishers/google/models"
#define GEMINI "/(v1|v1beta|v1alpha)"

// clang-format off
const struct route api_online_routes[] = {
    { HTTP_POST, VERTEX "/publishers/google/models/{}:generateContent",       ROLE_SUBMITTER, 0, generate_one, ONLINE_BODY_MAX, NULL },
    { HTTP_POST, VERTEX "/publishers/google/models/{}:streamGenerateContent", ROLE_SUBMITTER, 0, generate_stream, ONLINE_BODY_MAX, NULL },
    { HTTP_POST, VERTEX "/publishers/google/models/{}:countTokens",           ROLE_VIEWER, 0, count_tokens, ONLINE_BODY_MAX, NULL },
    { HTTP_POST, VERTEX "/endpoints/{}:generateContent",                      ROLE_SUBMITTER, 0, generate_one, ONLINE_BODY_MAX, NULL },
    { HTTP_POST, VERTEX "/endpoints/{}:streamGenerateContent",                ROLE_SUBMITTER, 0, generate_stream, ONLINE_BODY_MAX, NULL },
    { HTTP_POST, VERTEX "/endpoints/{}:countTokens",                          ROLE_VIEWER, 0, count_tokens, ONLINE_BODY_MAX, NULL },
    { HTTP_GET,  VERTEX "/models/{}",                                         ROLE_VIEWER, 0, get_tuned, 0, NULL },
    { HTTP_POST, EXPRESS "/{}:generateContent",                               ROLE_SUBMITTER, 0, generate_one, ONLINE_BODY_MAX, NULL },
    { HTTP_POST, EXPRESS "/{}:streamGenerateContent",                         ROLE_SUBMITTER, 0, generate_stream, ONLINE_BODY_MAX, NULL },
    { HTTP_POST, EXPRESS "/{}:countTokens",                                   ROLE_VIEWER, 0, count_tokens, ONLINE_BODY_MAX, NULL },
    { HTTP_GET,  EXPRESS,                                                     ROLE_VIEWER, 0, list_vertex, 0, NULL },
    { HTTP_GET,  EXPRESS "/{}",                                               ROLE_VIEWER, 0, get_vertex, 0, NULL },
    { HTTP_POST, GEMINI "/(models|tunedModels)/{}:generateContent",           ROLE_SUBMITTER, 0, generate_one, ONLINE_BODY_MAX, NULL },
    { HTTP_POST, GEMINI "/(models|tunedModels)/{}:streamGenerateContent",     ROLE_SUBMITTER, 0, generate_stream, ONLINE_BODY_MAX, NULL },
    { HTTP_POST, GEMINI "/(models|tunedModels)/{}:countTokens",               ROLE_VIEWER, 0, count_tokens, ONLINE_BODY_MAX, NULL },
    { HTTP_GET,  GEMINI "/models",                                            ROLE_VIEWER, 0, list_gemini, 0, NULL },
    { HTTP_GET,  GEMINI "/models/{}",                                         ROLE_VIEWER, 0, get_gemini, 0, NULL },
    { 0 },
};
// clang-format on
