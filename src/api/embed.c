/* embed.c -- texts become embeddings at once: :embedContent, :batchEmbedContents, and Vertex AI's :predict.
 *
 * Why: an online call and a batch line with the same request go through the same validation and the same
 * model. A call may have many requests: they are asked side by side, and the last answer replies.
 *
 * In:      :embedContent: an EmbedContentRequest. :batchEmbedContents: {"requests": [...]} of them.
 *          :predict: {"instances": [{"content", "task_type", "title"}], "parameters":
 *          {"outputDimensionality", "autoTruncate"}}.
 * Errors:  of several requests that fail, the call gets the error of the first.
 * Threads: handlers run on workers; item_done and item_released run on a thread of the hub.
 * Ownership: a struct embedding_call lives until each of its items is released and the handler is done.
 * Source:  https://ai.google.dev/api/embeddings; Vertex AI "Text embeddings API"
 */
#include "api/online.h"

#include <assert.h>
#include <stdio.h>

#include "base/mem.h"
#include "engine/lines/ingest.h"
#include "format/request/request.h"
#include "format/response.h"

#define REQUESTS_MAX 250 /* of one call, as Vertex AI has it */
#define EMBED_REPLY_BYTES_MAX RESPONSE_BYTES_MAX

enum embed_form { EMBED_ONE, EMBED_BATCH, EMBED_PREDICT };

struct embedding_call;
struct item {
    struct embedding_call *all;
    struct request *request;
    struct answer answer; /* once it is done */
};
struct embedding_call {
    struct arena arena;
    struct call *call; /* its server's again when left is 0 */
    enum embed_form form;
    struct item *item;
    uint32_t count;
    _Atomic uint32_t left; /* items without an answer, and the handler while it asks */
    _Atomic uint32_t held; /* items that the hub has not released, and the handler */
};

/* ---- Out ---- */

/* The response says "truncated" of a text that was cut, and nothing of others. */
static bool is_truncated(const struct item *i)
{
    return str_eq_c(json_member_value(buf_str(&i->answer.response), STR("truncated")), "true");
}

/* The values, as the response has them. */
static struct str values_in(const struct item *i)
{
    struct str embedding = json_member_value(buf_str(&i->answer.response), STR("embedding"));

    return json_member_value(embedding, STR("values"));
}

static void add_embedding(struct json_writer *w, const struct item *i)
{
    json_object(w, NULL);
    json_add_raw(w, "values", values_in(i));
    json_end(w);
}

static void add_prediction(struct json_writer *w, const struct item *i)
{
    json_object(w, NULL);
    json_object(w, "embeddings");
    json_object(w, "statistics");
    json_add_bool(w, "truncated", is_truncated(i));
    json_add_uint(w, "token_count", i->answer.usage.prompt_tokens);
    json_end(w);
    json_add_raw(w, "values", values_in(i));
    json_end(w);
    json_end(w);
}

static void reply_write(const struct embedding_call *all, struct buf *out)
{
    struct json_writer w = JSON_WRITER(out);
    bool predict = all->form == EMBED_PREDICT;
    uint32_t tokens = 0;

    if (all->form == EMBED_ONE) {
        buf_add_str(out, buf_str(&all->item[0].answer.response));
        return;
    }
    json_object(&w, NULL);
    json_array(&w, predict ? "predictions" : "embeddings");
    for (uint32_t i = 0; i < all->count; i++)
        (predict ? add_prediction : add_embedding)(&w, &all->item[i]);
    json_end(&w);
    for (uint32_t i = 0; i < all->count; i++)
        tokens += all->item[i].answer.usage.prompt_tokens;
    if (!predict)
        embedding_usage_write(tokens, &w);
    json_end(&w);
}

static void reply(struct embedding_call *all)
{
    struct call *c = all->call;
    struct buf body = BUF_INIT(EMBED_REPLY_BYTES_MAX);

    all->call = NULL;
    for (uint32_t i = 0; i < all->count; i++) {
        if (all->item[i].answer.error.code != ERROR_OK) {
            call_fail(c, &all->item[i].answer.error);
            return;
        }
    }
    reply_write(all, &body);
    call_reply(c, &body);
}

/* ---- One request of the call ---- */

static void one_less(struct embedding_call *all)
{
    if (atomic_fetch_sub(&all->left, 1) == 1)
        reply(all);
}

static void drop(struct embedding_call *all)
{
    if (atomic_fetch_sub(&all->held, 1) != 1)
        return;
    for (uint32_t i = 0; i < all->count; i++)
        answer_release(&all->item[i].answer);
    arena_release(&all->arena);
    mem_free(all);
}

static void item_done(void *arg, struct answer *a)
{
    struct item *i = arg;

    i->answer = *a;
    one_less(i->all);
}

static void item_released(void *arg)
{
    struct item *i = arg;

    drop(i->all);
}

/* ---- In ---- */

/* Reads one request; where: "requests[2]", or empty. */
static int item_read(struct embedding_call *all, struct item *i, struct str text, const char *where,
                     struct error *e)
{
    struct violations bad = { .count = 0 };
    struct input_line in = { 0 };
    struct line_rules rules = { .online = true };

    i->all = all;
    if (!request_read_line(&all->arena, text, &rules, &in, &bad))
        ingest_error(&bad, e);
    else if (in.request->kind != REQUEST_EMBED)
        (void)error_set(e, ERROR_INVALID_ARGUMENT,
                        "content is missing. Add it: {\"parts\": [{\"text\": \"...\"}]}.");
    i->request = in.request;
    if (i->request && i->request->kind == REQUEST_EMBED)
        return 0;
    return where[0] ? error_wrap(e, "%s", where) : -1;
}

/* An instance of :predict as an EmbedContentRequest. */
static int instance_write(yyjson_val *instance, yyjson_val *parameters, const char *where,
                          struct buf *out, struct error *e)
{
    static const char *const own[] = { "taskType", "title" };
    static const char *const shared[] = { "outputDimensionality", "autoTruncate" };
    yyjson_val *content = request_field(instance, "content"), *v;
    struct json_writer w = JSON_WRITER(out);

    if (!yyjson_is_str(content))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "%s.content: The text to embed is missing. Write {\"content\": \"...\"}.",
                         where);
    json_object(&w, NULL);
    json_object(&w, "content");
    json_object(&w, "parts");
    json_add_value(&w, "text", content);
    json_end(&w);
    json_end(&w);
    for (size_t i = 0; i < ARRAY_LEN(own); i++)
        if ((v = request_field(instance, own[i])))
            json_add_value(&w, own[i], v);
    for (size_t i = 0; i < ARRAY_LEN(shared); i++)
        if ((v = request_field(parameters, shared[i])))
            json_add_value(&w, shared[i], v);
    json_end(&w);
    return 0;
}

static int entry_read(struct embedding_call *all, yyjson_val *root, yyjson_val *entry, uint32_t at,
                      struct error *e)
{
    bool predict = all->form == EMBED_PREDICT;
    struct buf text = BUF_INIT(ONLINE_BODY_MAX * 2);
    struct json_writer w = JSON_WRITER(&text);
    char where[32];
    int rc = 0;

    (void)snprintf(where, sizeof where, "%s[%u]", predict ? "instances" : "requests", at);
    if (predict)
        rc = instance_write(entry, request_field(root, "parameters"), where, &text, e);
    else
        json_add_value(&w, NULL, entry);
    struct str kept = { arena_copy(&all->arena, text.p ? text.p : "", text.len), text.len };
    buf_release(&text);
    return rc < 0 ? -1 : item_read(all, &all->item[at], kept, where, e);
}

static int list_read(struct embedding_call *all, struct error *e)
{
    const char *name = all->form == EMBED_PREDICT ? "instances" : "requests";
    yyjson_val *root = call_json_texts(all->call, e);
    yyjson_val *list = request_field(root, name);
    size_t count = yyjson_is_arr(list) ? yyjson_arr_size(list) : 0;

    if (!root)
        return -1;
    if (count == 0 || count > REQUESTS_MAX)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "%s: There are %zu, but 1 to %d are allowed in one call.", name, count,
                         REQUESTS_MAX);
    all->item = arena_array(&all->arena, count, sizeof *all->item);
    all->count = (uint32_t)count;
    for (uint32_t i = 0; i < all->count; i++)
        if (entry_read(all, root, yyjson_arr_get(list, i), i, e) < 0)
            return -1;
    return 0;
}

/* The hub may hold requests after the reply, so the call owns a copy of the body. */
static int requests_read(struct embedding_call *all, struct error *e)
{
    struct str body = http_body(all->call->http);

    if (all->form != EMBED_ONE)
        return list_read(all, e);
    all->item = arena_array(&all->arena, 1, sizeof *all->item);
    all->count = 1;
    return item_read(all, &all->item[0],
                     (struct str){ arena_copy(&all->arena, body.p, body.len), body.len }, "", e);
}

/* The handler's own share of left and held keeps *all until every item has been asked. */
static void ask_all(struct embedding_call *all, const char *model, const char *project,
                    const char *script)
{
    struct service *service = all->call->api->service;
    struct online ask = {
        .model = model,
        .project = project,
        .script = script,
        .owner = all->call,
        .done = item_done,
        .released = item_released,
    };

    const struct trace *trace = call_trace(all->call, &all->arena);

    all->call->gone = online_gone;
    atomic_init(&all->left, all->count + 1);
    for (uint32_t i = 0; i < all->count; i++) {
        struct item *item = &all->item[i];
        item->request->trace = trace;
        ask.request = item->request;
        ask.arg = item;
        atomic_fetch_add(&all->held, 1);
        if (service_ask(service, &ask, &item->answer.error) == 0)
            continue;
        assert(item->answer.error.code != ERROR_OK);
        one_less(all);
        drop(all);
    }
    online_asked(all->call);
    one_less(all);
}

static void embed(struct call *c, enum embed_form form)
{
    struct embedding_call *all = mem_alloc(sizeof *all);
    char model[MODEL_NAME_BYTES];
    const char *project;
    struct str script = { 0 };
    struct error e = { 0 };

    all->call = c;
    all->form = form;
    atomic_init(&all->held, 1);
    if (online_model(c, model, &project, &e) < 0 || call_script(c, &script, &e) < 0 ||
        requests_read(all, &e) < 0)
        call_fail(c, &e);
    else
        ask_all(all, model, project,
                script.len ? arena_copy(c->arena, script.p, script.len) : NULL);
    drop(all);
}

static void embed_one(struct call *c)
{
    embed(c, EMBED_ONE);
}

static void embed_batch(struct call *c)
{
    embed(c, EMBED_BATCH);
}

static void embed_predict(struct call *c)
{
    embed(c, EMBED_PREDICT);
}

#define VERTEX "/(v1|v1beta1)/projects/{}/locations/{}"
#define EXPRESS "/(v1|v1beta1)/publishers/{}/models"
#define GEMINI "/(v1|v1beta|v1alpha)/(models|tunedModels)"

// clang-format off
const struct route api_embed_routes[] = {
    { HTTP_POST, VERTEX "/publishers/{}/models/{}:embedContent",           ROLE_SUBMITTER, 0, embed_one, ONLINE_BODY_MAX, NULL },
    { HTTP_POST, VERTEX "/publishers/{}/models/{}:batchEmbedContents",     ROLE_SUBMITTER, 0, embed_batch, ONLINE_BODY_MAX, NULL },
    { HTTP_POST, VERTEX "/publishers/{}/models/{}:predict",                ROLE_SUBMITTER, 0, embed_predict, ONLINE_BODY_MAX, NULL },
    { HTTP_POST, VERTEX "/endpoints/{}:predict",                           ROLE_SUBMITTER, 0, embed_predict, ONLINE_BODY_MAX, NULL },
    { HTTP_POST, EXPRESS "/{}:embedContent",                               ROLE_SUBMITTER, 0, embed_one, ONLINE_BODY_MAX, NULL },
    { HTTP_POST, EXPRESS "/{}:batchEmbedContents",                         ROLE_SUBMITTER, 0, embed_batch, ONLINE_BODY_MAX, NULL },
    { HTTP_POST, EXPRESS "/{}:predict",                                    ROLE_SUBMITTER, 0, embed_predict, ONLINE_BODY_MAX, NULL },
    { HTTP_POST, GEMINI "/{}:embedContent",                                ROLE_SUBMITTER, 0, embed_one, ONLINE_BODY_MAX, NULL },
    { HTTP_POST, GEMINI "/{}:batchEmbedContents",                          ROLE_SUBMITTER, 0, embed_batch, ONLINE_BODY_MAX, NULL },
    { 0 },
};
// clang-format on
