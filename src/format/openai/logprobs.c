/* logprobs.c -- the probabilities of an answer's tokens. */
#include "format/openai/openai_inner.h"

#define LOGPROB_MIN (-1e9) /* servers write -9999 and the like for what cannot be */

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

/* How many there are in all rows. */
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

int openai_logprobs_read(struct openai_answer *r, yyjson_val *choice, uint32_t number,
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
