/* response.c -- the answer to a chat completion as a GenerateContentResponse. */
#include "format/openai/openai_inner.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "format/upstream_error.h"

#define US_PER_S 1000000.0
#define CREATED_MAX 253402300799.0 /* the last second of the year 9999 */

static yyjson_val *body_parse(struct arena *a, struct str body, struct error *e);
static int chat_read(struct openai_answer *r, yyjson_val *root, struct buf *out,
                     struct usage *usage);
static int choices_read(struct openai_answer *r, yyjson_val *root, struct candidate *c);
static int something_check(struct openai_answer *r, yyjson_val *root, const struct candidate *c);
static void head_read(struct openai_answer *r, yyjson_val *root, struct response *out);

int openai_response_read(struct arena *a, struct str body, const struct openai_reply_rules *rules,
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

/* An object that is no error. */
static yyjson_val *body_parse(struct arena *a, struct str body, struct error *e)
{
    struct error broken = { 0 };
    size_t at = 0;
    yyjson_val *root = json_parse(a, body, &at, &broken);

    if (!root)
        (void)error_set(e, ERROR_INTERNAL, "The answer is no JSON after %zu of %zu bytes: %s.", at,
                        body.len, broken.msg);
    else if (upstream_error_in(root, e))
        (void)error_wrap(e, "The answer is an error");
    else if (!yyjson_is_obj(root))
        (void)error_set(e, ERROR_INTERNAL, "The answer is JSON, but not an object.");
    else
        return root;
    return NULL;
}

/* ---- Choices ---- */

/* How an answer ends; cut off by the server it is none. */
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
    return openai_logprobs_read(r, choice, number, c);
}

/* Choices come in any order; one without an index has its place's. */
static int choices_read(struct openai_answer *r, yyjson_val *root, struct candidate *c)
{
    uint32_t asked = r->rules->request->generation.candidate_count;
    yyjson_val *choices = json_get(root, "choices"), *choice;
    size_t count = yyjson_arr_size(choices), i, max;

    if (!yyjson_is_arr(choices))
        return error_set(r->e, ERROR_INTERNAL,
                         "The answer is no chat completion: it has no choices.");
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
    if (!stopped || r->text_bytes || r->thought_bytes ||
        openai_usage_generated(json_get(root, "usage")))
        return 0;
    return error_set(r->e, ERROR_INTERNAL,
                     "The answer is empty: the server generated no token at all.");
}

/* ---- The rest ---- */

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
