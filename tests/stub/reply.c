#include "reply.h"

#include <stdio.h>
#include <xxhash.h>

#include "base/json_write.h"
#include "base/mem.h"

#define BYTES_PER_TOKEN 4 /* about, in English */
#define EMBEDDING_SIZE 8
#define RETRY_LINE_BYTES 48
#define CREATED                                                                                    \
    1790000000 /* the same in every answer, so that answers differ only where they must */

/* A text that no good answer has in the middle: two bytes that never stand in UTF-8. */
#define BROKEN_TEXT "caf\xff\xfe"

static uint64_t prompt_tokens(const struct call *c)
{
    return c->body.len / BYTES_PER_TOKEN + 1;
}

/* ---- Answers ---- */

static void openai_answer(const struct reply *r, struct str echo, struct str text, struct buf *b)
{
    uint64_t prompt = prompt_tokens(r->call);

    buf_add_str(b, STR("{\"id\":\"chatcmpl-"));
    add_number(b, r->number);
    buf_add_str(b, STR("\",\"object\":\"chat.completion\",\"created\":"));
    add_number(b, CREATED);
    buf_add_str(b, STR(",\"model\":\""));
    buf_add_c(b, r->options->model);
    buf_add_str(b, STR("\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
                       "\"content\":\""));
    buf_add_str(b, echo);
    buf_add_str(b, text);
    buf_add_str(b, STR("\"},\"logprobs\":null,\"finish_reason\":\""));
    buf_add_c(b, r->cut ? "length" : "stop");
    buf_add_str(b, STR("\"}],\"usage\":{\"prompt_tokens\":"));
    add_number(b, prompt);
    buf_add_str(b, STR(",\"completion_tokens\":"));
    add_number(b, r->options->tokens);
    buf_add_str(b, STR(",\"total_tokens\":"));
    add_number(b, prompt + r->options->tokens);
    buf_add_str(b, STR(",\"prompt_tokens_details\":{\"cached_tokens\":"));
    add_number(b, r->call->cached_tokens);
    buf_add_str(b, STR("}}}"));
}

static void gemini_answer(const struct reply *r, struct str echo, struct str text, struct buf *b)
{
    uint64_t prompt = prompt_tokens(r->call);

    buf_add_str(b,
                STR("{\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":[{\"text\":\""));
    buf_add_str(b, echo);
    buf_add_str(b, text);
    buf_add_str(b, STR("\"}]},\"finishReason\":\""));
    buf_add_c(b, r->cut ? "MAX_TOKENS" : "STOP");
    buf_add_str(b, STR("\",\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":"));
    add_number(b, prompt);
    buf_add_str(b, STR(",\"candidatesTokenCount\":"));
    add_number(b, r->options->tokens);
    buf_add_str(b, STR(",\"totalTokenCount\":"));
    add_number(b, prompt + r->options->tokens);
    if (r->call->cached_tokens) {
        buf_add_str(b, STR(",\"cachedContentTokenCount\":"));
        add_number(b, r->call->cached_tokens);
    }
    buf_add_str(b, STR("},\"modelVersion\":\""));
    buf_add_c(b, r->options->model);
    buf_add_str(b, STR("\",\"responseId\":\"stub-"));
    add_number(b, r->number);
    buf_add_str(b, STR("\"}"));
}

static void (*const write_answer[])(const struct reply *, struct str, struct str, struct buf *) = {
    [DIALECT_OPENAI] = openai_answer,
    [DIALECT_GEMINI] = gemini_answer,
};

/* A vector that only its own input has. */
static void embedding(struct str input, struct buf *b)
{
    uint64_t hash = XXH3_64bits(input.p, input.len);

    for (unsigned i = 0; i < EMBEDDING_SIZE; i++)
        buf_addf(b, "%s%.4f", i ? "," : "[", (double)(hash >> 8 * i & 255) / 256);
    buf_add_char(b, ']');
}

static void embeddings(const struct reply *r, struct buf *b)
{
    struct json_writer w = JSON_WRITER(b);
    uint64_t prompt = prompt_tokens(r->call), index = 0;
    struct str input;

    json_object(&w, NULL);
    json_add_c(&w, "object", "list");
    json_array(&w, "data");
    for (size_t at = 0; input_next(r->call, &at, &input); index++) {
        json_object(&w, NULL);
        json_add_c(&w, "object", "embedding");
        json_add_uint(&w, "index", index);
        json_value(&w, "embedding");
        embedding(input, b);
        json_end(&w);
    }
    json_end(&w);
    json_add_c(&w, "model", r->options->model);
    json_object(&w, "usage");
    json_add_uint(&w, "prompt_tokens", prompt);
    json_add_uint(&w, "total_tokens", prompt);
    json_end(&w);
    json_end(&w);
}

/* The text for this attempt, from 1: "first||second and all later ones". */
static struct str text_for(struct str text, uint32_t attempt)
{
    static const struct str between = STR_INIT("||");

    for (size_t at; (at = str_find(text, between)) != SIZE_MAX; attempt--) {
        if (attempt <= 1)
            return str_sub(text, 0, at);
        text = str_sub(text, at + between.len, text.len);
    }
    return text;
}

static void say(const struct reply *r, struct str text, struct buf *body)
{
    static const struct str mark = STR_INIT("[cut]");
    struct reply said = *r;

    text = text_for(text, r->call->attempt);
    said.cut = str_ends(text, mark);
    if (said.cut)
        text.len -= mark.len;
    write_answer[r->call->dialect](&said, STR(""), text, body);
}

void reply_answer(const struct reply *r, struct buf *body)
{
    struct prompt p = { STR(""), STR("") };

    if (r->call->kind == CALL_EMBED) {
        embeddings(r, body);
        return;
    }
    if (!r->options->no_echo)
        prompt_read(r->call, &p);
    if (r->options->say)
        say(r, p.text, body);
    else
        write_answer[r->call->dialect](r, STR("echo: "), p.text, body);
}

void reply_bad_utf8(const struct reply *r, struct buf *body)
{
    write_answer[r->call->dialect](r, STR("echo: "), STR(BROKEN_TEXT), body);
}

void reply_empty(const struct reply *r, struct buf *body)
{
    static const char *const bodies[] = {
        [DIALECT_OPENAI] = "{\"id\":\"chatcmpl-0\",\"object\":\"chat.completion\",\"created\":0,"
                           "\"model\":\"%s\",\"choices\":[],\"usage\":{\"prompt_tokens\":1,"
                           "\"completion_tokens\":0,\"total_tokens\":1}}",
        [DIALECT_GEMINI] = "{\"usageMetadata\":{\"promptTokenCount\":1,\"totalTokenCount\":1},"
                           "\"modelVersion\":\"%s\"}",
    };
    struct str form = str_of(bodies[r->call->dialect]);
    size_t at = str_find(form, STR("%s"));

    buf_add_str(body, str_sub(form, 0, at));
    buf_add_c(body, r->options->model);
    buf_add_str(body, str_sub(form, at + 2, form.len));
}

/* ---- Errors ---- */

static const struct refusal {
    int status;
    const char *gemini;  /* google.rpc code */
    const char *type;    /* OpenAI's */
    const char *message; /* of both, unless the dialect has its own */
} refusals[] = {
    { 400, "INVALID_ARGUMENT", "invalid_request_error", "The stub is set to refuse this request." },
    { 401, "UNAUTHENTICATED", "invalid_request_error", "Incorrect API key provided." },
    { 404, "NOT_FOUND", "NotFoundError", "There is nothing at this path." },
    { 429, "RESOURCE_EXHAUSTED", "rate_limit_error",
      "Resource has been exhausted (e.g. check quota)." },
    { 500, "INTERNAL", "server_error", "An internal error has occurred." },
    { 503, "UNAVAILABLE", "overloaded_error", "The model is overloaded. Please try again later." },
};

static const struct refusal *refusal_of(int status)
{
    for (size_t i = 0; i < ARRAY_LEN(refusals); i++)
        if (refusals[i].status == status)
            return &refusals[i];
    return &refusals[0];
}

/* The body of an OpenAI request names its model; a server repeats that name when it knows none such. */
static struct str asked_model(const struct call *c)
{
    size_t at = str_find(c->body, STR("\"model\""));

    if (c->model.len || at == SIZE_MAX)
        return c->model;
    struct str rest = str_sub(c->body, at + sizeof "\"model\"" - 1, c->body.len);
    size_t open = str_find(rest, STR("\""));
    rest = str_sub(rest, open == SIZE_MAX ? rest.len : open + 1, rest.len);
    size_t close = str_find(rest, STR("\""));
    return close == SIZE_MAX ? STR("") : str_sub(rest, 0, close);
}

/* The message as a JSON string: the model's name is escaped already. */
static void message(const struct reply *r, const struct refusal *f, struct buf *b)
{
    buf_add_char(b, '"');
    if (f->status != 404 || r->call->kind > CALL_EMBED) {
        buf_add_c(b, f->message);
    } else if (r->call->dialect == DIALECT_OPENAI) {
        buf_addf(b, "The model `%.*s` does not exist.", STR_ARG(asked_model(r->call)));
    } else {
        buf_addf(b,
                 "models/%.*s is not found for API version v1beta, or is not supported for "
                 "generateContent.",
                 STR_ARG(asked_model(r->call)));
    }
    buf_add_char(b, '"');
}

static void add_retry(struct json_writer *w, uint64_t retry_ms)
{
    json_array(w, "details");
    json_object(w, NULL);
    json_add_c(w, "@type", "type.googleapis.com/google.rpc.RetryInfo");
    json_addf(w, "retryDelay", "%.3fs", (double)retry_ms / 1000);
    json_end(w);
    json_end(w);
}

void reply_error(const struct reply *r, int status, uint64_t retry_ms, struct buf *body)
{
    const struct refusal *f = refusal_of(status);
    struct buf text = BUF_INIT(HTTP_HEAD_BYTES_MAX * 2);
    struct json_writer w = JSON_WRITER(body);

    message(r, f, &text);
    json_object(&w, NULL);
    json_object(&w, "error");
    if (r->call->dialect == DIALECT_OPENAI) {
        json_add_raw(&w, "message", buf_str(&text));
        json_add_c(&w, "type", f->type);
        json_add_null(&w, "param");
        json_add_int(&w, "code", status);
    } else {
        json_add_int(&w, "code", status);
        json_add_raw(&w, "message", buf_str(&text));
        json_add_c(&w, "status", f->gemini);
        if (retry_ms)
            add_retry(&w, retry_ms);
    }
    json_end(&w);
    json_end(&w);
    buf_release(&text);
}

void reply_refuse(const struct reply *r, int status, uint64_t retry_ms, struct buf *body,
                  struct buf *out)
{
    char line[RETRY_LINE_BYTES] = "";
    bool later = status == 429 || status == 503;

    if (later && retry_ms)
        (void)snprintf(line, sizeof line, "Retry-After: %llu\r\n",
                       (unsigned long long)((retry_ms + 999) / 1000));
    reply_error(r, status, later ? retry_ms : 0, body);
    http_head_write(out, status, "application/json", body->len, line);
    buf_add_str(out, buf_str(body));
}

void reply_models(const struct reply *r, struct buf *body)
{
    struct json_writer w = JSON_WRITER(body);

    json_object(&w, NULL);
    if (r->call->dialect == DIALECT_OPENAI) {
        json_add_c(&w, "object", "list");
        json_array(&w, "data");
        json_object(&w, NULL);
        json_add_c(&w, "id", r->options->model);
        json_add_c(&w, "object", "model");
        json_add_int(&w, "created", CREATED);
        json_add_c(&w, "owned_by", "stub");
    } else {
        json_array(&w, "models");
        json_object(&w, NULL);
        json_addf(&w, "name", "models/%s", r->options->model);
        json_array(&w, "supportedGenerationMethods");
        json_add_c(&w, NULL, "generateContent");
        json_end(&w);
    }
    json_end(&w);
    json_end(&w);
    json_end(&w);
}
