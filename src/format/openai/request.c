/* request.c -- the body of a chat completion: model, conversation, tools, form of the answer,
 * sampling.
 */
#include "format/openai/openai_inner.h"

#include <inttypes.h>

#include "base/mem.h"
#include "format/request/schema.h"
#include "format/request/schema_value.h"

#define ANSWER_NAME "answer" /* of a schema; a name must be there, and shows nowhere */
/* An enum's answer comes as a JSON string: its quotes may be a token each. */
#define QUOTE_TOKENS 2

static int write_form(const struct request *r, struct buf *out, struct error *e);
static void write_sampling(const struct generation *g, struct buf *out);
static void write_thinking(yyjson_val *thinking, struct buf *out);

const char *openai_path(const struct request *r)
{
    return r->kind == REQUEST_EMBED ? "/embeddings" : "/chat/completions";
}

/* The body of a chat completion after its model. */
static int write_chat(const struct request *r, const struct openai_files *files, struct buf *out,
                      struct error *e)
{
    struct arena scratch = { 0 };
    int rc = openai_messages_write(r, files, &scratch, out, e);

    arena_release(&scratch);
    if (rc < 0 || openai_tools_write(r, out, e) < 0 || write_form(r, out, e) < 0)
        return -1;
    write_sampling(&r->generation, out);
    write_thinking(r->generation.thinking, out);
    buf_add_char(out, '}');
    return 0;
}

int openai_request_write(const struct request *r, const char *model,
                         const struct openai_files *files, struct buf *out, struct error *e)
{
    ADD(out, "{\"model\":");
    buf_add_json(out, str_of(model));
    buf_add_char(out, ',');
    if (r->kind == REQUEST_EMBED)
        openai_embed_write(r, out);
    else if (write_chat(r, files, out, e) < 0)
        return -1;
    if (!buf_ok(out))
        return error_set(e, ERROR_OUT_OF_RANGE, "The request for the server is over %zu bytes.",
                         out->max);
    return 0;
}

/* ---- The form of the answer ---- */

int openai_schema_write(yyjson_val *schema, bool google, struct buf *out, struct error *e)
{
    if (google)
        return schema_to_json_schema(schema, out, e);
    if (!yyjson_is_obj(schema))
        return error_set(e, ERROR_INVALID_ARGUMENT, "a schema must be an object");
    return schema_write_any(out, schema, e);
}

/* The values alone: whatever else the schema says, the answer is one of them. */
static int write_enum(const struct generation *g, struct buf *out, struct error *e)
{
    struct values it = values_of(request_field(g->schema ? g->schema : g->json_schema, "enum"));
    const char *before = ",\"strict\":false,\"schema\":{\"type\":\"string\",\"enum\":[";
    yyjson_val *value;

    while ((value = values_next(&it))) {
        buf_add_c(out, before);
        before = ",";
        if (!json_str(value).len)
            return error_set(e, ERROR_INVALID_ARGUMENT, "an enum value must be a string with text");
        buf_add_json(out, json_str(value));
    }
    ADD(out, "]}}}");
    return 0;
}

static int write_schema(const struct generation *g, struct buf *out, struct error *e)
{
    yyjson_val *schema = g->schema ? g->schema : g->json_schema;
    bool google = g->schema != NULL;

    buf_addf(out,
             ",\"strict\":%s,\"schema\":", openai_schema_strict(schema, google) ? "true" : "false");
    if (openai_schema_write(schema, google, out, e) < 0)
        return error_wrap(e, google ? "responseSchema" : "responseJsonSchema");
    ADD(out, "}}");
    return 0;
}

static int write_form(const struct request *r, struct buf *out, struct error *e)
{
    const struct generation *g = &r->generation;

    if (g->form == ANSWER_TEXT)
        return 0;
    if (g->form == ANSWER_JSON && !g->schema && !g->json_schema) {
        ADD(out, ",\"response_format\":{\"type\":\"json_object\"}");
        return 0;
    }
    ADD(out, ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":"
             "\"" ANSWER_NAME "\"");
    return g->form == ANSWER_ENUM ? write_enum(g, out, e) : write_schema(g, out, e);
}

/* ---- Sampling ---- */

static void add_number(struct buf *out, const char *key, double value)
{
    buf_add_c(out, key);
    buf_add_double(out, value);
}

static void write_stops(const struct generation *g, struct buf *out)
{
    if (!g->stop_count)
        return;
    ADD(out, ",\"stop\":[");
    for (uint32_t i = 0; i < g->stop_count; i++) {
        if (i)
            buf_add_char(out, ',');
        buf_add_json(out, g->stop[i]);
    }
    buf_add_char(out, ']');
}

/* Without top_logprobs llama-server gives 20, with 0 none; the others give the chosen token's. */
static void write_logprobs(const struct generation *g, struct buf *out)
{
    if (!g->response_logprobs)
        return;
    ADD(out, ",\"logprobs\":true");
    if (g->logprobs)
        buf_addf(out, ",\"top_logprobs\":%u", g->logprobs);
}

static void write_sampling(const struct generation *g, struct buf *out)
{
    uint32_t more = g->form == ANSWER_ENUM ? QUOTE_TOKENS : 0;

    if (g->has_temperature)
        add_number(out, ",\"temperature\":", g->temperature);
    if (g->has_top_p)
        add_number(out, ",\"top_p\":", g->top_p);
    if (g->has_top_k)
        buf_addf(out, ",\"top_k\":%d", g->top_k);
    if (g->has_seed)
        buf_addf(out, ",\"seed\":%" PRId64, g->seed);
    if (g->max_output_tokens)
        buf_addf(out, ",\"max_tokens\":%u", g->max_output_tokens + more);
    if (g->candidate_count > 1)
        buf_addf(out, ",\"n\":%u", g->candidate_count);
    if (g->presence_penalty < 0 || g->presence_penalty > 0)
        add_number(out, ",\"presence_penalty\":", g->presence_penalty);
    if (g->frequency_penalty < 0 || g->frequency_penalty > 0)
        add_number(out, ",\"frequency_penalty\":", g->frequency_penalty);
    write_stops(g, out);
    write_logprobs(g, out);
}

/* ---- Thinking ---- */

/* A budget of 0 turns thinking off by the names that chat templates look for: a model that cannot
 * think does not mind them, as it would mind reasoning_effort. */
static void write_thinking(yyjson_val *thinking, struct buf *out)
{
    static const char *const efforts[] = { "minimal", "low", "medium", "high", "xhigh" };
    struct str level = json_str(request_field(thinking, "thinkingLevel"));
    int64_t budget;

    if (request_integer(request_field(thinking, "thinkingBudget"), &budget) && budget == 0)
        ADD(out, ",\"chat_template_kwargs\":{\"enable_thinking\":false,\"thinking\":false}");
    for (size_t i = 0; i < ARRAY_LEN(efforts); i++)
        if (lower_equal(level, efforts[i]))
            buf_addf(out, ",\"reasoning_effort\":\"%s\"", efforts[i]);
}
