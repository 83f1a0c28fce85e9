/* response.c -- the answer to a chat completion as a GenerateContentResponse: its choices with their
 * logprobs, its token counts, its head. message.c reads what a choice says.
 */
#include "format/openai/openai_inner.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "format/upstream_error.h"

#define US_PER_S 1000000.0
#define CREATED_MAX 253402300799.0      /* the last second of the year 9999 */
#define LOGPROB_MIN (-1e9)              /* servers write -9999 and the like for what cannot be */
#define BYTES_PER_TOKEN 4               /* of English; what Google says of its own models, too */
#define COUNT_MAX ((uint32_t)INT32_MAX) /* Gemini's counts are int32 */

/* ---- Token counts: the server's where it has them, else estimates ----
 *
 * Nothing here fails: an answer is worth more than its counts. A count that cannot be (negative, more
 * of a part than of the whole) is made to fit. */

/* False when there is no count, or none that could be one. */
static bool count_read(yyjson_val *v, uint32_t *out)
{
    double n = yyjson_is_num(v) ? yyjson_get_num(v) : -1;

    if (!(n >= 0))
        return false;
    *out = n < COUNT_MAX ? (uint32_t)n : COUNT_MAX;
    return true;
}

static uint32_t estimate(uint64_t bytes)
{
    uint64_t tokens = bytes / BYTES_PER_TOKEN + (bytes % BYTES_PER_TOKEN != 0);

    return tokens == 0 ? 1 : tokens < COUNT_MAX ? (uint32_t)tokens : COUNT_MAX;
}

static uint64_t text_bytes_of(const struct content *c)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < c->part_count; i++)
        bytes += c->part[i].text.len;
    return bytes;
}

static uint64_t prompt_bytes(const struct request *r)
{
    uint64_t bytes = r->system ? text_bytes_of(r->system) : 0;

    for (uint32_t i = 0; i < r->content_count; i++)
        bytes += text_bytes_of(&r->content[i]);
    return bytes;
}

/* Thoughts among the generated tokens: by the server's count, else by their share of the bytes. */
static uint32_t thoughts_of(const struct openai_answer *r, yyjson_val *usage, uint32_t generated)
{
    uint64_t bytes = r->text_bytes + r->thought_bytes;
    uint32_t count;

    if (count_read(json_get(json_get(usage, "completion_tokens_details"), "reasoning_tokens"),
                   &count) ||
        count_read(json_get(usage, "reasoning_tokens"), &count))
        return count < generated ? count : generated;
    if (!r->thought_bytes)
        return 0;
    /* Bytes are at most those of a body, so the product fits. */
    return (uint32_t)(generated * r->thought_bytes / bytes);
}

/* True when the server itself says that it generated tokens. */
static bool has_generated(yyjson_val *usage)
{
    uint32_t count;

    return count_read(json_get(usage, "completion_tokens"), &count) && count > 0;
}

struct usage openai_usage_read(const struct openai_answer *r, yyjson_val *usage)
{
    struct usage u = { 0 };
    uint32_t generated;

    if (!count_read(json_get(usage, "prompt_tokens"), &u.prompt_tokens))
        u.prompt_tokens = estimate(prompt_bytes(r->rules->request));
    if (!count_read(json_get(json_get(usage, "prompt_tokens_details"), "cached_tokens"),
                    &u.cached_tokens))
        u.cached_tokens = 0;
    if (u.cached_tokens > u.prompt_tokens)
        u.cached_tokens = u.prompt_tokens;
    if (!count_read(json_get(usage, "completion_tokens"), &generated))
        generated = estimate(r->text_bytes + r->thought_bytes);
    u.thought_tokens = thoughts_of(r, usage, generated);
    u.candidate_tokens = generated - u.thought_tokens;
    return u;
}

/* ---- Logprobs ---- */

/* {"token", "logprob"}; llama-server has an "id" as well. False when it is none. */
static bool token_read(yyjson_val *v, struct token_logprob *out)
{
    yyjson_val *token = json_get(v, "token"), *logprob = json_get(v, "logprob");
    yyjson_val *id = json_get(v, "id");
    double p = yyjson_get_num(logprob);

    if (!yyjson_is_str(token) || !yyjson_is_num(logprob))
        return false;
    p = p < LOGPROB_MIN ? LOGPROB_MIN : p > 0 ? 0 : p;
    out->token = json_str(token);
    out->logprob = (float)p;
    out->id = yyjson_is_uint(id) && yyjson_get_uint(id) <= INT32_MAX ? (int32_t)yyjson_get_uint(id)
                                                                     : TOKEN_ID_NONE;
    return true;
}

static size_t top_of(yyjson_val *content, uint32_t wanted)
{
    size_t count = yyjson_arr_size(json_get(content, "top_logprobs"));

    return count < wanted ? count : wanted;
}

/* The number of top candidates in all rows. */
static size_t top_total(yyjson_val *contents, uint32_t wanted)
{
    size_t i, max, total = 0;
    yyjson_val *content;

    yyjson_arr_foreach(contents, i, max, content)
    {
        total += top_of(content, wanted);
    }
    return total;
}

/* The likeliest tokens of one place; false when one of them is none. */
static bool row_read(yyjson_val *content, uint32_t count, struct token_logprob *row)
{
    yyjson_arr_iter it = yyjson_arr_iter_with(json_get(content, "top_logprobs"));

    for (uint32_t i = 0; i < count; i++)
        if (!token_read(yyjson_arr_iter_next(&it), &row[i]))
            return false;
    return true;
}

static int contents_read(struct openai_answer *r, yyjson_val *contents, uint32_t number,
                         struct candidate *c)
{
    uint32_t wanted = r->rules->request->generation.logprobs;
    size_t count = yyjson_arr_size(contents), at = 0, i, max;
    struct token_logprob *chosen = arena_array(r->arena, count + 1, sizeof *chosen);
    struct token_logprob *top = arena_array(r->arena, top_total(contents, wanted) + 1, sizeof *top);
    uint32_t *counts = arena_array(r->arena, count + 1, sizeof *counts);
    double sum = 0;
    yyjson_val *content;

    yyjson_arr_foreach(contents, i, max, content)
    {
        counts[i] = (uint32_t)top_of(content, wanted);
        if (!token_read(content, &chosen[i]) || !row_read(content, counts[i], &top[at]))
            return error_set(r->e, ERROR_INTERNAL,
                             "Choice %u of the answer has a broken logprob at token %zu.", number,
                             i);
        at += counts[i];
        sum += (double)chosen[i].logprob;
    }
    c->chosen = chosen;
    c->chosen_count = (uint32_t)count;
    c->top = wanted ? top : NULL;
    c->top_counts = counts;
    c->has_avg_logprob = count > 0;
    c->avg_logprob = count ? sum / (double)count : 0;
    return 0;
}

static int logprobs_read(struct openai_answer *r, yyjson_val *choice, uint32_t number,
                         struct candidate *c)
{
    yyjson_val *contents = json_get(json_get(choice, "logprobs"), "content");

    if (!r->rules->request->generation.response_logprobs)
        return 0;
    /* Some servers have none for an answer that is a call or empty. */
    if (!yyjson_is_arr(contents) && c->part_count == 1 && c->part[0].kind == RESPONSE_TEXT &&
        c->part[0].text.len)
        return error_set(r->e, ERROR_UNIMPLEMENTED,
                         "The server answered without the logprobs that were asked for.");
    return contents_read(r, contents, number, c);
}

/* ---- Choices ---- */

/* The end of an answer. An answer that the server gave up is an error. */
static int finish_read(struct openai_answer *r, yyjson_val *choice, uint32_t number,
                       struct candidate *c)
{
    // clang-format off
    static const struct {
        const char *reason;
        enum finish_reason finish;
        bool broken;
    } reasons[] = {
        { "stop",           FINISH_STOP,       false },
        { "length",         FINISH_MAX_TOKENS, false },
        { "tool_calls",     FINISH_STOP,       false },
        { "function_call",  FINISH_STOP,       false },
        { "content_filter", FINISH_SAFETY,     false },
        { "abort",          FINISH_OTHER,      true  },
        { "error",          FINISH_OTHER,      true  },
    };
    // clang-format on
    struct str reason = json_str(json_get(choice, "finish_reason"));

    if (!reason.len)
        return error_set(r->e, ERROR_INTERNAL, "Choice %u of the answer has no finish_reason.",
                         number);
    c->finish = FINISH_OTHER;
    for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
        if (!str_eq_c(reason, reasons[i].reason))
            continue;
        if (reasons[i].broken)
            return error_set(r->e, ERROR_INTERNAL,
                             "The server gave up choice %u: its finish_reason is %s.", number,
                             reasons[i].reason);
        c->finish = reasons[i].finish;
    }
    return 0;
}

static int choice_read(struct openai_answer *r, yyjson_val *choice, uint32_t number,
                       struct candidate *c)
{
    if (finish_read(r, choice, number, c) < 0 ||
        openai_message_read(r, json_get(choice, "message"), number, c) < 0)
        return -1;
    return logprobs_read(r, choice, number, c);
}

/* Choices come in any order; one without an index has its place's. */
static int choices_read(struct openai_answer *r, yyjson_val *root, struct candidate *c)
{
    uint32_t asked = r->rules->request->generation.candidate_count;
    yyjson_val *choices = json_get(root, "choices"), *choice;
    size_t count = yyjson_arr_size(choices), i, max;

    if (!yyjson_is_arr(choices))
        return error_set(r->e, ERROR_INTERNAL,
                         "The answer is not a chat completion: it has no choices.");
    if (count != asked)
        return error_set(r->e, ERROR_INTERNAL, "The answer has %zu choices, but %u %s asked for.",
                         count, asked, asked == 1 ? "was" : "were");
    yyjson_arr_foreach(choices, i, max, choice)
    {
        yyjson_val *index = json_get(choice, "index");
        uint64_t number = yyjson_is_int(index) ? yyjson_get_uint(index) : i;
        if (number >= asked || c[number].part)
            return error_set(r->e, ERROR_INTERNAL,
                             "The answer has choices whose indexes are not 0 to %u.", asked - 1);
        if (choice_read(r, choice, (uint32_t)number, &c[number]) < 0)
            return -1;
    }
    return 0;
}

/* A model may say nothing, and then the token that ended its answer was counted. When nothing was
 * generated at all, the server did not do its work. */
static int something_check(struct openai_answer *r, yyjson_val *root, const struct candidate *c)
{
    bool stopped = true;

    for (uint32_t i = 0; i < r->rules->request->generation.candidate_count; i++)
        stopped = stopped && c[i].finish == FINISH_STOP;
    if (!stopped || r->text_bytes || r->thought_bytes || has_generated(json_get(root, "usage")))
        return 0;
    return error_set(r->e, ERROR_INTERNAL,
                     "The answer is empty: the server generated no token at all.");
}

/* ---- The whole ---- */

static struct str version_of(struct openai_answer *r, yyjson_val *root)
{
    struct str model = json_str(json_get(root, "model")), at = str_of(r->rules->at);

    if (!model.len)
        model = str_of(r->rules->model);
    if (!at.len || !model.len)
        return model;
    char *text = arena_alloc_raw(r->arena, model.len + at.len + 1);
    memcpy(text, model.p, model.len);
    text[model.len] = '@';
    memcpy(text + model.len + 1, at.p, at.len);
    return (struct str){ text, model.len + at.len + 1 };
}

static void head_read(struct openai_answer *r, yyjson_val *root, struct response *out)
{
    struct str id = json_str(json_get(root, "id"));
    yyjson_val *created = json_get(root, "created");
    double seconds = yyjson_is_num(created) ? yyjson_get_num(created) : 0;

    out->model_version = version_of(r, root);
    out->response_id = r->rules->response_id;
    if (id.len && id.len <= OPENAI_ID_BYTES_MAX)
        out->response_id = arena_copy(r->arena, id.p, id.len);
    out->create_time_us = r->rules->create_time_us;
    if (seconds > 0 && seconds <= CREATED_MAX)
        out->create_time_us = (int64_t)(seconds * US_PER_S);
}

static int chat_read(struct openai_answer *r, yyjson_val *root, struct buf *out,
                     struct usage *usage)
{
    struct candidate candidate[REQUEST_CANDIDATES_MAX] = { 0 };

    if (choices_read(r, root, candidate) < 0 || something_check(r, root, candidate) < 0)
        return -1;
    struct response response = {
        .candidate = candidate,
        .candidate_count = r->rules->request->generation.candidate_count,
        .usage = openai_usage_read(r, json_get(root, "usage")),
    };
    head_read(r, root, &response);
    response_write(&response, out);
    if (!buf_ok(out))
        return error_set(r->e, ERROR_OUT_OF_RANGE, "The answer is over %zu bytes.", out->max);
    *usage = response.usage;
    return 0;
}

/* An object that is not an error. */
static yyjson_val *body_parse(struct arena *a, struct str body, struct error *e)
{
    struct error broken = { 0 };
    size_t at = 0;
    yyjson_val *root = json_parse(a, body, &at, &broken);

    if (!root)
        (void)error_set(e, ERROR_INTERNAL, "The answer is not JSON after %zu of %zu bytes: %s.", at,
                        body.len, broken.msg);
    else if (upstream_error_in(root, e))
        (void)error_wrap(e, "The answer is an error");
    else if (!yyjson_is_obj(root))
        (void)error_set(e, ERROR_INTERNAL, "The answer is JSON, but not an object.");
    else
        return root;
    return NULL;
}

int openai_response_read(struct arena *a, struct str body, const struct reply_rules *rules,
                         struct buf *out, struct usage *usage, struct error *e)
{
    struct openai_answer r = { .arena = a, .rules = rules, .e = e };
    yyjson_val *root = body_parse(a, body, e);

    if (!root)
        return -1;
    if (rules->request->kind == REQUEST_EMBED)
        return openai_embed_read(&r, root, out, usage);
    return chat_read(&r, root, out, usage);
}
