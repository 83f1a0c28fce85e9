/* request.c -- the body of a chat completion: model, conversation, tools, form of the answer,
 * sampling.
 */
#include "format/openai/openai_inner.h"

#include "base/mem.h"

#define ANSWER_NAME "answer" /* of a schema; a name must be there, and shows nowhere */
/* An enum's answer comes as a JSON string: its quotes may be a token each. */
#define QUOTE_TOKENS 2

const char *openai_path(const struct request *r)
{
    return r->kind == REQUEST_EMBED ? "/embeddings" : "/chat/completions";
}

/* ---- The form of the answer ---- */

/* The values alone: whatever else the schema says, the answer is one of them. */
static int add_enum(struct json_writer *w, yyjson_val *schema, struct error *e)
{
    struct values it = values_of(request_field(schema, "enum"));
    yyjson_val *value;

    json_add_bool(w, "strict", false);
    json_object(w, "schema");
    json_add_c(w, "type", "string");
    json_array(w, "enum");
    while ((value = values_next(&it))) {
        if (!json_str(value).len)
            return error_set(e, ERROR_INVALID_ARGUMENT, "an enum value must be a string with text");
        json_add_text(w, NULL, json_str(value));
    }
    json_end(w);
    json_end(w);
    return 0;
}

static int add_schema(struct json_writer *w, yyjson_val *schema, bool google, struct error *e)
{
    struct arena scratch = { 0 };
    yyjson_val *json;
    int rc = openai_schema_read(&scratch, schema, google, &json, e);

    if (rc == 0) {
        json_add_bool(w, "strict", openai_schema_strict(json));
        openai_schema_add(w, "schema", json);
    }
    arena_release(&scratch);
    return rc < 0 ? error_wrap(e, google ? "responseSchema" : "responseJsonSchema") : 0;
}

static int add_form(struct json_writer *w, const struct generation *g, struct error *e)
{
    yyjson_val *schema = g->schema ? g->schema : g->json_schema;

    if (g->form == ANSWER_TEXT)
        return 0;
    json_object(w, "response_format");
    if (g->form == ANSWER_JSON && !schema) {
        json_add_c(w, "type", "json_object");
    } else {
        json_add_c(w, "type", "json_schema");
        json_object(w, "json_schema");
        json_add_c(w, "name", ANSWER_NAME);
        if ((g->form == ANSWER_ENUM ? add_enum(w, schema, e)
                                    : add_schema(w, schema, g->schema != NULL, e)) < 0)
            return -1;
        json_end(w);
    }
    json_end(w);
    return 0;
}

/* ---- Sampling ---- */

static void add_stops(struct json_writer *w, const struct generation *g)
{
    if (!g->stop_count)
        return;
    json_array(w, "stop");
    for (uint32_t i = 0; i < g->stop_count; i++)
        json_add_text(w, NULL, g->stop[i]);
    json_end(w);
}

static void add_sampling(struct json_writer *w, const struct generation *g, bool completion_tokens)
{
    uint32_t more = g->form == ANSWER_ENUM ? QUOTE_TOKENS : 0;

    if (g->has_temperature)
        json_add_double(w, "temperature", g->temperature);
    if (g->has_top_p)
        json_add_double(w, "top_p", g->top_p);
    if (g->has_top_k)
        json_add_int(w, "top_k", g->top_k);
    if (g->has_seed)
        json_add_int(w, "seed", g->seed);
    if (g->max_output_tokens)
        json_add_uint(w, completion_tokens ? "max_completion_tokens" : "max_tokens",
                      g->max_output_tokens + more);
    if (g->candidate_count > 1)
        json_add_uint(w, "n", g->candidate_count);
    if (g->presence_penalty < 0 || g->presence_penalty > 0)
        json_add_double(w, "presence_penalty", g->presence_penalty);
    if (g->frequency_penalty < 0 || g->frequency_penalty > 0)
        json_add_double(w, "frequency_penalty", g->frequency_penalty);
    add_stops(w, g);
    /* Without top_logprobs llama-server gives 20, with 0 none; the others give the chosen token's. */
    if (g->response_logprobs)
        json_add_bool(w, "logprobs", true);
    if (g->response_logprobs && g->logprobs)
        json_add_uint(w, "top_logprobs", g->logprobs);
}

/* ---- Thinking ---- */

/* A budget of 0 turns thinking off by the names that chat templates look for: a model that cannot
 * think does not mind them, as it would mind reasoning_effort. */
static void add_thinking(struct json_writer *w, yyjson_val *thinking)
{
    static const char *const efforts[] = { "minimal", "low", "medium", "high", "xhigh" };
    struct str level = json_str(request_field(thinking, "thinkingLevel"));
    int64_t budget;

    if (request_integer(request_field(thinking, "thinkingBudget"), &budget) && budget == 0) {
        json_object(w, "chat_template_kwargs");
        json_add_bool(w, "enable_thinking", false);
        json_add_bool(w, "thinking", false);
        json_end(w);
    }
    for (size_t i = 0; i < ARRAY_LEN(efforts); i++)
        if (lower_equal(level, efforts[i]))
            json_add_c(w, "reasoning_effort", efforts[i]);
}

/* ---- The body ---- */

/* The body of a chat completion after its model. */
static int add_chat(struct json_writer *w, const struct request *r, bool completion_tokens,
                    const struct file_contents *files, struct error *e)
{
    struct arena scratch = { 0 };
    int rc = openai_messages_add(w, r, files, &scratch, e);

    arena_release(&scratch);
    if (rc < 0 || openai_tools_add(w, r, e) < 0 || add_form(w, &r->generation, e) < 0)
        return -1;
    add_sampling(w, &r->generation, completion_tokens);
    add_thinking(w, r->generation.thinking);
    return 0;
}

int openai_request_write(const struct request *r, const char *model, bool completion_tokens,
                         const struct file_contents *files, struct buf *out, struct error *e)
{
    struct json_writer w = JSON_WRITER(out);

    json_object(&w, NULL);
    json_add_c(&w, "model", model);
    if (r->kind == REQUEST_EMBED)
        openai_embed_add(&w, r);
    else if (add_chat(&w, r, completion_tokens, files, e) < 0)
        return -1;
    json_end(&w);
    if (!buf_ok(out))
        return error_set(e, ERROR_OUT_OF_RANGE, "The request for the server is over %zu bytes.",
                         out->max);
    return 0;
}
