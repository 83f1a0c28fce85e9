/* build.c -- the typed request of an object that the tables and rules have passed. */
#include "format/request/fields.h"

#include <stdio.h>

#include "base/mem.h"
#include "format/request/request.h"

/* A part's data members, the one that decides its kind. */
static const struct {
    const char *name;
    enum part_kind kind;
} data_members[] = {
    { "text", PART_TEXT },
    { "inlineData", PART_INLINE_DATA },
    { "fileData", PART_FILE_DATA },
    { "functionCall", PART_FUNCTION_CALL },
    { "functionResponse", PART_FUNCTION_RESPONSE },
    { "executableCode", PART_EXECUTABLE_CODE },
    { "codeExecutionResult", PART_CODE_RESULT },
};

static void part_build(struct part *p, yyjson_val *object)
{
    struct member m = { 0 };
    size_t i = 0;

    while (i < ARRAY_LEN(data_members) && !request_member(object, data_members[i].name, &m))
        i++;
    bool empty = i == ARRAY_LEN(data_members); /* a thought's signature alone */
    p->kind = empty ? PART_TEXT : data_members[i].kind;
    p->thought = empty || yyjson_is_true(request_field(object, "thought"));
    p->object = yyjson_is_obj(m.value) ? m.value : NULL;
    p->text = json_str(m.value);
    p->mime = json_str(request_field(p->object, "mimeType"));
    p->uri = json_str(request_field(p->object, "fileUri"));
    p->data = json_str(request_field(p->object, "data"));
}

static enum role role_of(struct str name)
{
    if (str_eq_c(name, "model"))
        return ROLE_MODEL;
    return str_eq_c(name, "function") ? ROLE_FUNCTION : ROLE_USER;
}

static void content_build(struct arena *a, struct request *r, struct content *out,
                          yyjson_val *object)
{
    struct values it = values_of(request_field(object, "parts"));

    out->role = role_of(json_str(request_field(object, "role")));
    out->part_count = (uint32_t)it.count;
    out->part = arena_array(a, it.count, sizeof *out->part);
    for (uint32_t i = 0; i < out->part_count; i++) {
        part_build(&out->part[i], values_next(&it));
        enum part_kind kind = out->part[i].kind;
        r->has_media |= kind == PART_INLINE_DATA || kind == PART_FILE_DATA;
    }
}

static void contents_build(struct arena *a, struct request *r)
{
    struct values it = values_of(request_field(r->root, "contents"));
    yyjson_val *system = request_field(r->root, "systemInstruction");

    r->content_count = (uint32_t)it.count;
    r->content = arena_array(a, it.count, sizeof *r->content);
    for (uint32_t i = 0; i < r->content_count; i++)
        content_build(a, r, &r->content[i], values_next(&it));
    if (!system)
        return;
    struct content *c = arena_alloc(a, sizeof *c);
    content_build(a, r, c, system);
    r->system = c;
}

static bool number_get(yyjson_val *config, const char *name, double *out)
{
    return request_number(request_field(config, name), out);
}

static bool integer_get(yyjson_val *config, const char *name, int64_t *out)
{
    return request_integer(request_field(config, name), out);
}

static void sampling_build(struct generation *g, yyjson_val *config)
{
    int64_t n;

    g->has_temperature = number_get(config, "temperature", &g->temperature);
    g->has_top_p = number_get(config, "topP", &g->top_p);
    (void)number_get(config, "presencePenalty", &g->presence_penalty);
    (void)number_get(config, "frequencyPenalty", &g->frequency_penalty);
    g->has_seed = integer_get(config, "seed", &g->seed);
    g->has_top_k = integer_get(config, "topK", &n);
    g->top_k = g->has_top_k ? (int32_t)n : 0;
    g->max_output_tokens = integer_get(config, "maxOutputTokens", &n) ? (uint32_t)n : 0;
    g->candidate_count = integer_get(config, "candidateCount", &n) ? (uint32_t)n : 1;
    g->logprobs = integer_get(config, "logprobs", &n) ? (uint32_t)n : 0;
    g->response_logprobs = yyjson_is_true(request_field(config, "responseLogprobs"));
}

static void stops_build(struct arena *a, struct generation *g, yyjson_val *config)
{
    struct values it = values_of(request_field(config, "stopSequences"));

    g->stop_count = (uint32_t)it.count;
    g->stop = arena_array(a, it.count, sizeof *g->stop);
    for (uint32_t i = 0; i < g->stop_count; i++)
        g->stop[i] = json_str(values_next(&it));
}

static enum answer_form form_of(struct str mime)
{
    if (str_eq_c(mime, "application/json"))
        return ANSWER_JSON;
    return str_eq_c(mime, "text/x.enum") ? ANSWER_ENUM : ANSWER_TEXT;
}

#define CONFIG_PATH "generationConfig."

/* The schema of the answer, and its path. */
static void schema_build(struct generation *g, yyjson_val *config)
{
    static const struct {
        const char *field, *path;
    } json[] = {
        { "responseJsonSchema", CONFIG_PATH "responseJsonSchema" },
        { "_responseJsonSchema", CONFIG_PATH "_responseJsonSchema" },
    };

    g->schema = request_field(config, "responseSchema");
    g->schema_path = g->schema ? CONFIG_PATH "responseSchema" : NULL;
    for (size_t i = 0; i < ARRAY_LEN(json) && !g->schema_path; i++) {
        g->json_schema = request_field(config, json[i].field);
        g->schema_path = g->json_schema ? json[i].path : NULL;
    }
}

static const char *path_write(struct arena *a, const struct values *it, const char *name,
                              const char *below)
{
    if (it->list)
        return arena_textf(a, CONFIG_PATH "%s[%zu]%s", name, it->index - 1, below);
    return arena_textf(a, CONFIG_PATH "%s%s", name, below);
}

/* The present spelling of responseMimeType and its schema, and of responseModalities. */
static void format_build(struct arena *a, struct generation *g, yyjson_val *config)
{
    struct values it = values_of(request_field(config, "responseFormat"));
    yyjson_val *format;

    while ((format = values_next(&it))) {
        yyjson_val *text = request_field(format, "text");
        struct str mime = json_str(request_field(text, "mimeType"));
        if (!text && yyjson_obj_size(format) && !g->media_path)
            g->media_path = path_write(a, &it, "responseFormat", "");
        if (!text)
            continue;
        g->json_schema = request_field(text, "schema");
        if (g->json_schema)
            g->schema_path = path_write(a, &it, "responseFormat", ".text.schema");
        if (g->json_schema || lower_equal(mime, "APPLICATION_JSON") ||
            lower_equal(mime, "application/json"))
            g->form = ANSWER_JSON;
    }
}

static void modalities_build(struct arena *a, struct generation *g, yyjson_val *config)
{
    struct values it = values_of(request_field(config, "responseModalities"));
    yyjson_val *v;

    while ((v = values_next(&it)))
        if (!g->media_path && !str_eq_c(json_str(v), "TEXT") &&
            !str_ends(json_str(v), STR("UNSPECIFIED")))
            g->media_path = path_write(a, &it, "responseModalities", "");
}

static void generation_build(struct arena *a, struct generation *g, yyjson_val *config)
{
    sampling_build(g, config);
    stops_build(a, g, config);
    g->form = form_of(json_str(request_field(config, "responseMimeType")));
    schema_build(g, config);
    format_build(a, g, config);
    modalities_build(a, g, config);
    g->thinking = request_field(config, "thinkingConfig");
}

struct request *request_build(struct arena *a, yyjson_val *root)
{
    struct request *r = arena_alloc(a, sizeof *r);

    r->root = root;
    contents_build(a, r);
    generation_build(a, &r->generation, request_field(root, "generationConfig"));
    r->tools = request_field(root, "tools");
    r->tool_config = request_field(root, "toolConfig");
    r->labels = request_field(root, "labels");
    return r;
}

/* A setting that may stand beside content or in embedContentConfig, which counts more. */
static yyjson_val *embed_field(yyjson_val *root, const char *name)
{
    yyjson_val *v = request_field(request_field(root, "embedContentConfig"), name);

    return v ? v : request_field(root, name);
}

struct request *embed_build(struct arena *a, yyjson_val *root)
{
    struct request *r = arena_alloc(a, sizeof *r);
    struct content *c = arena_alloc(a, sizeof *c);
    int64_t n;

    r->kind = REQUEST_EMBED;
    r->root = root;
    content_build(a, r, c, request_field(root, "content"));
    c->role = ROLE_USER;
    r->content = c;
    r->content_count = 1;
    r->generation.candidate_count = 1;
    r->embedding.task_type = json_str(embed_field(root, "taskType"));
    r->embedding.title = json_str(embed_field(root, "title"));
    r->embedding.truncate = yyjson_is_true(embed_field(root, "autoTruncate"));
    r->embedding.says_truncate = yyjson_is_bool(embed_field(root, "autoTruncate"));
    if (request_integer(embed_field(root, "outputDimensionality"), &n))
        r->embedding.dimensions = (uint32_t)n;
    return r;
}

bool request_wants_text(const struct request *r, struct violation *why)
{
    if (!r->generation.media_path)
        return true;
    *why = (struct violation){ 0 };
    (void)snprintf(why->path, sizeof why->path, "%s", r->generation.media_path);
    violation_message(why, "The answers of this model are text, and nothing else.");
    violation_remedy(why, "Ask for TEXT only, or use a model that makes images, audio or video.");
    return false;
}

bool request_deterministic(const struct request *r)
{
    const struct generation *g = &r->generation;

    return r->kind == REQUEST_EMBED || (g->has_temperature && g->temperature <= 0) ||
           (g->has_top_k && g->top_k == 1) || g->has_seed;
}
