/* online.c -- one request answered at once: generateContent, its stream, countTokens; and the models.
 *
 * Why: an online call and a batch line with the same request go through the same validation and the
 * same model, so a prompt can be tried before it is sent 200,000 times.
 *
 * Stream:  the predictor gives whole answers, so a stream is one event with the whole answer.
 * Threads: handlers run on workers; online_done and online_free run on a thread of the hub.
 * Ownership: a struct online_call belongs to the service from service_ask until online_free.
 * Source:  https://ai.google.dev/api/generate-content, https://ai.google.dev/api/models
 */
#include "api/online.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "engine/lines/ingest.h"
#include "engine/service/job_files.h"
#include "format/job/price.h"
#include "format/request/request.h"
#include "format/response.h"

#define REPLY_BYTES_MAX (RESPONSE_BYTES_MAX + 64)
#define MODELS_BYTES_MAX ((size_t)1024 * 1024)
#define COUNTS_BYTES_MAX 1024
#define MODELS_PAGE_MAX 1000
#define PUBLISHER_BYTES 64

enum form { FORM_ONE, FORM_SSE, FORM_ARRAY };

/* The model may hold the request after the reply, so this owns a copy of the body. The call belongs to its
 * server again when it is answered. */
struct online_call {
    struct arena arena;
    struct call *call; /* NULL: answered */
    bool counts;       /* countTokens */
    struct request *request;
    struct job_files files;
    enum form form;
};

/* ---- Model and project ---- */

int online_model(struct call *c, char name[MODEL_NAME_BYTES], const char **project, struct error *e)
{
    struct str model = c->param[c->param_count - 1];
    bool has_project = c->param_count > 2; /* less is the model, and its publisher */
    struct str path_project = has_project ? c->param[0] : (struct str){ 0 };

    if (!call_project(c, path_project, project))
        return error_set(e, ERROR_PERMISSION_DENIED,
                         "Permission 'aiplatform.endpoints.predict' denied on this project.");
    model_short_name(arena_copy(c->arena, model.p, model.len), name);
    if (name[0] && call_knows_model(c, *project, name))
        return 0;
    return call_no_model(c, model, e);
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
                        "This is a request for an embedding. Use contents for generateContent.");
    else
        ingest_error(&bad, e);
    online_free(o);
    return NULL;
}

static uint64_t billable(struct str text)
{
    uint64_t n = 0;

    for (size_t i = 0; i < text.len; i++) {
        unsigned char b = (unsigned char)text.p[i];
        n += b > ' ' && (b & 0xC0) != 0x80; /* the first byte of a code point, but not of a space */
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

static void write_counts(struct call *c, const struct request *r, uint32_t tokens, struct buf *out)
{
    struct json_writer w = JSON_WRITER(out);

    json_object(&w, NULL);
    json_add_uint(&w, "totalTokens", tokens);
    if (c->param_count > 1) /* Vertex */
        json_add_uint(&w, "totalBillableCharacters", billable_characters(r));
    json_array(&w, "promptTokensDetails");
    json_object(&w, NULL);
    json_add_c(&w, "modality", "TEXT");
    json_add_uint(&w, "tokenCount", tokens);
    json_end(&w);
    json_end(&w);
    json_end(&w);
}

static void reply_counted(struct call *c, const struct request *r, uint32_t tokens)
{
    struct buf body = BUF_INIT(COUNTS_BYTES_MAX);

    write_counts(c, r, tokens, &body);
    call_reply(c, &body);
}

static void reply_generated(struct online_call *o, struct call *c, const struct answer *a)
{
    static const struct {
        const char *before, *after, *type;
    } forms[] = {
        [FORM_ONE] = { "", "\n", "application/json; charset=UTF-8" },
        [FORM_SSE] = { "data: ", "\r\n\r\n", "text/event-stream" },
        /* Google's readers of a stream take nothing after the bracket. */
        [FORM_ARRAY] = { "[", "]", "application/json; charset=UTF-8" },
    };
    struct buf body = BUF_INIT(REPLY_BYTES_MAX);

    buf_add_c(&body, forms[o->form].before);
    buf_add_str(&body, buf_str(&a->response));
    buf_add_c(&body, forms[o->form].after);
    http_reply(c->http, 200, forms[o->form].type, &body);
}

static void online_done(void *arg, struct answer *a)
{
    struct online_call *o = arg;
    struct call *c = o->call;

    assert(c); /* one answer a call */
    o->call = NULL;
    if (a->error.code != ERROR_OK)
        call_fail(c, &a->error);
    else if (o->counts)
        reply_counted(c, o->request, a->usage.prompt_tokens);
    else
        reply_generated(o, c, a);
    answer_release(a);
}

void online_gone(struct call *c)
{
    service_drop(c->api->service, c);
}

void online_asked(struct call *c)
{
    if (http_gone(c->http))
        online_gone(c);
}

/* Asks the model; its thread answers the call. as: form and counts. */
static int online_begin(struct call *c, struct str body, const struct online_call *as,
                        struct error *e)
{
    char model[MODEL_NAME_BYTES];
    const char *project;
    struct str script;

    if (online_model(c, model, &project, e) < 0 || call_script(c, &script, e) < 0)
        return -1;
    struct online_call *o = online_new(c, body, e);
    if (!o)
        return -1;
    o->form = as->form;
    o->counts = as->counts;
    job_files_init(&o->files, c->api->store, call_scope(c), INT64_MAX);
    o->request->files = &o->files.source;
    o->request->trace = call_trace(c, &o->arena);
    c->gone = online_gone;
    struct online ask = {
        .model = model,
        .project = project,
        .request = o->request,
        .script = script.len && !o->counts ? arena_copy(c->arena, script.p, script.len) : NULL,
        .counts = o->counts,
        .owner = c,
        .done = online_done,
        .released = online_free,
        .arg = o,
    };
    if (service_ask(c->api->service, &ask, e) == 0) {
        online_asked(c);
        return 0;
    }
    online_free(o);
    return -1;
}

static void generate(struct call *c, enum form form)
{
    struct error e = { 0 };

    if (online_begin(c, http_body(c->http), &(struct online_call){ .form = form }, &e) < 0)
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

/* The request that is counted: the body, or in the Gemini API its generateContentRequest. */
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

static void count_tokens(struct call *c)
{
    struct error e = { 0 };

    if (online_begin(c, request_text(c), &(struct online_call){ .counts = true }, &e) < 0)
        call_fail(c, &e);
}

/* ---- Models ---- */

/* Writes one model as a JSON object; m is the first configured model that
 * matches its name, or NULL: a reload may have removed it. */
typedef void model_writer(struct call *c, struct json_writer *w, const char *name,
                          const struct model *m);

static void write_gemini(struct call *c, struct json_writer *w, const char *name,
                         const struct model *m)
{
    static const char *const methods[] = { "generateContent", "countTokens", "batchGenerateContent",
                                           "embedContent", "asyncBatchEmbedContent" };

    (void)c;
    json_object(w, NULL);
    json_addf(w, "name", "models/%s", name);
    json_add_c(w, "version", "001");
    json_add_c(w, "displayName", name);
    json_add_c(w, "description", m && m->about ? m->about : "");
    if (m && m->context) {
        json_add_uint(w, "inputTokenLimit", m->context);
        json_add_uint(w, "outputTokenLimit", m->context);
    }
    json_array(w, "supportedGenerationMethods");
    for (size_t i = 0; i < ARRAY_LEN(methods); i++)
        json_add_c(w, NULL, methods[i]);
    json_end(w);
    json_end(w);
}

static void write_vertex(struct call *c, struct json_writer *w, const char *name,
                         const struct model *m)
{
    struct str publisher = c->param_count ? str_cut(c->param[0], PUBLISHER_BYTES) : STR("google");

    (void)m;
    json_object(w, NULL);
    json_addf(w, "name", "publishers/%.*s/models/%s", STR_ARG(publisher), name);
    json_add_c(w, "versionId", "default");
    json_add_c(w, "openSourceCategory", "PROPRIETARY");
    json_add_c(w, "launchStage", "GA");
    json_addf(w, "publisherModelTemplate",
              "projects/{user-project}/locations/{location}/publishers/%.*s/models/%s",
              STR_ARG(publisher), name);
    if (strstr(name, "embedding") && !strstr(name, "gemini")) {
        json_object(w, "predictSchemata"); /* by which vertexai finds TextEmbeddingModel */
        json_add_c(
            w, "instanceSchemaUri",
            "gs://google-cloud-aiplatform/schema/predict/instance/text_embedding_1.0.0.yaml");
        json_end(w);
    }
    json_end(w);
}

/* The part of a list that a call asks for. */
struct page {
    uint64_t from, most, at; /* at: models seen so far */
    bool more;
};

static int page_read(struct call *c, struct page *p, struct error *e)
{
    struct str token = { 0 };

    *p = (struct page){ 0 };
    if (call_number(c, "pageSize", MODELS_PAGE_MAX, MODELS_PAGE_MAX, &p->most, e) < 0)
        return -1;
    if (!http_query(c->http, "pageToken", &token) || token.len == 0 || str_number(token, &p->from))
        return 0;
    return error_set(
        e, ERROR_INVALID_ARGUMENT,
        "pageToken: It does not belong to this list. Use the nextPageToken of the page "
        "before.");
}

static bool page_takes(struct page *p)
{
    uint64_t at = p->at++;

    p->more = p->more || (at >= p->from && at - p->from >= p->most);
    return at >= p->from && at - p->from < p->most;
}

/* A configured name stands for itself, a pattern for the published names that it matches first. */
static void list_models(struct call *c, const char *key, model_writer *write_model)
{
    const struct models *models = call_models(c);
    struct buf body = BUF_INIT(MODELS_BYTES_MAX);
    struct json_writer w = JSON_WRITER(&body);
    const char *name;
    const struct price *p;
    struct page page;
    struct error e = { 0 }, ignored = { 0 };

    if (page_read(c, &page, &e) < 0) {
        call_fail(c, &e);
        return;
    }
    json_object(&w, NULL);
    json_array(&w, key);
    for (uint32_t i = 0; i < models->count; i++)
        if (!strpbrk(models->item[i].pattern, "*?") && page_takes(&page))
            write_model(c, &w, models->item[i].pattern,
                        model_find(models, models->item[i].pattern, &ignored));
    for (unsigned i = 0; price_at(i, &name, &p); i++) {
        const struct model *m = model_find(models, name, &ignored);
        if (m && strpbrk(m->pattern, "*?") && page_takes(&page))
            write_model(c, &w, name, m);
    }
    call_models_done(c, models);
    json_end(&w);
    page.from += page.most;
    if (page.more)
        json_addf(&w, "nextPageToken", "%llu", (unsigned long long)page.from);
    json_end(&w);
    call_reply(c, &body);
}

static void list_gemini(struct call *c)
{
    list_models(c, "models", write_gemini);
}

static void list_vertex(struct call *c)
{
    list_models(c, "publisherModels", write_vertex);
}

static void get_model(struct call *c, model_writer *write_model)
{
    char name[MODEL_NAME_BYTES];
    const char *project;
    struct error e = { 0 };
    struct buf body = BUF_INIT(MODELS_BYTES_MAX);
    struct json_writer w = JSON_WRITER(&body);

    if (online_model(c, name, &project, &e) < 0) {
        call_fail(c, &e);
        return;
    }
    const struct models *models =
        call_models(c); /* a reload may have removed the model meanwhile */
    write_model(c, &w, name, model_find(models, name, &e));
    call_models_done(c, models);
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

#define VERTEX "/(v1|v1beta1)/projects/{}/locations/{}"
#define EXPRESS "/(v1|v1beta1)/publishers/{}/models"
#define GEMINI "/(v1|v1beta|v1alpha)"

// clang-format off
const struct route api_online_routes[] = {
    { HTTP_POST, VERTEX "/publishers/{}/models/{}:generateContent",           ROLE_SUBMITTER, 0, generate_one, ONLINE_BODY_MAX, NULL },
    { HTTP_POST, VERTEX "/publishers/{}/models/{}:streamGenerateContent",     ROLE_SUBMITTER, 0, generate_stream, ONLINE_BODY_MAX, NULL },
    { HTTP_POST, VERTEX "/publishers/{}/models/{}:countTokens",               ROLE_VIEWER, 0, count_tokens, ONLINE_BODY_MAX, NULL },
    { HTTP_POST, VERTEX "/endpoints/{}:generateContent",                      ROLE_SUBMITTER, 0, generate_one, ONLINE_BODY_MAX, NULL },
    { HTTP_POST, VERTEX "/endpoints/{}:streamGenerateContent",                ROLE_SUBMITTER, 0, generate_stream, ONLINE_BODY_MAX, NULL },
    { HTTP_POST, VERTEX "/endpoints/{}:countTokens",                          ROLE_VIEWER, 0, count_tokens, ONLINE_BODY_MAX, NULL },
    { HTTP_POST, EXPRESS "/{}:generateContent",                               ROLE_SUBMITTER, 0, generate_one, ONLINE_BODY_MAX, NULL },
    { HTTP_POST, EXPRESS "/{}:streamGenerateContent",                         ROLE_SUBMITTER, 0, generate_stream, ONLINE_BODY_MAX, NULL },
    { HTTP_POST, EXPRESS "/{}:countTokens",                                   ROLE_VIEWER, 0, count_tokens, ONLINE_BODY_MAX, NULL },
    { HTTP_GET,  "/(v1|v1beta1)/publishers/google/models",                    ROLE_VIEWER, 0, list_vertex, 0, NULL },
    { HTTP_GET,  EXPRESS "/{}",                                               ROLE_VIEWER, 0, get_vertex, 0, NULL },
    { HTTP_POST, GEMINI "/(models|tunedModels)/{}:generateContent",           ROLE_SUBMITTER, 0, generate_one, ONLINE_BODY_MAX, NULL },
    { HTTP_POST, GEMINI "/(models|tunedModels)/{}:streamGenerateContent",     ROLE_SUBMITTER, 0, generate_stream, ONLINE_BODY_MAX, NULL },
    { HTTP_POST, GEMINI "/(models|tunedModels)/{}:countTokens",               ROLE_VIEWER, 0, count_tokens, ONLINE_BODY_MAX, NULL },
    { HTTP_GET,  GEMINI "/models",                                            ROLE_VIEWER, 0, list_gemini, 0, NULL },
    { HTTP_GET,  GEMINI "/models/{}",                                         ROLE_VIEWER, 0, get_gemini, 0, NULL },
    { 0 },
};
// clang-format on
