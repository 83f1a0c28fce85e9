#include "format/response.h"

#include <assert.h>

#include "base/clock.h"
#include "base/json_write.h"

static const char *const finish_names[] = {
    [FINISH_STOP] = "STOP",
    [FINISH_MAX_TOKENS] = "MAX_TOKENS",
    [FINISH_OTHER] = "OTHER",
    [FINISH_SAFETY] = "SAFETY",
    [FINISH_MALFORMED_CALL] = "MALFORMED_FUNCTION_CALL",
};

static void add_logprobs(struct json_writer *w, const char *key, const struct token_logprob *t,
                         uint32_t count)
{
    json_array(w, key);
    for (uint32_t i = 0; i < count; i++) {
        json_object(w, NULL);
        json_add_float(w, "logProbability", t[i].logprob);
        json_add_text(w, "token", t[i].token);
        if (t[i].id != TOKEN_ID_NONE)
            json_add_int(w, "tokenId", t[i].id);
        json_end(w);
    }
    json_end(w);
}

static void add_logprobs_result(struct json_writer *w, const struct candidate *c)
{
    const struct token_logprob *row = c->top;

    json_object(w, "logprobsResult");
    add_logprobs(w, "chosenCandidates", c->chosen, c->chosen_count);
    if (c->top && (c->top_counts || c->top_count)) {
        json_array(w, "topCandidates");
        for (uint32_t i = 0; i < c->chosen_count; i++) {
            uint32_t count = c->top_counts ? c->top_counts[i] : c->top_count;
            json_object(w, NULL);
            add_logprobs(w, "candidates", row, count);
            json_end(w);
            row += count;
        }
        json_end(w);
    }
    json_end(w);
}

static void add_call(struct json_writer *w, const struct response_part *p)
{
    json_object(w, NULL);
    json_object(w, "functionCall");
    json_add_raw(w, "args", p->args);
    if (p->id.len)
        json_add_text(w, "id", p->id);
    json_add_text(w, "name", p->name);
    json_end(w);
    json_end(w);
}

static void add_text(struct json_writer *w, struct str text, bool thought)
{
    json_object(w, NULL);
    json_add_text(w, "text", text);
    if (thought)
        json_add_bool(w, "thought", true);
    json_end(w);
}

static void add_content(struct json_writer *w, const struct candidate *c)
{
    json_object(w, "content");
    json_array(w, "parts");
    if (!c->part)
        add_text(w, c->text, false);
    for (uint32_t i = 0; c->part && i < c->part_count; i++) {
        const struct response_part *p = &c->part[i];
        if (p->kind == RESPONSE_CALL)
            add_call(w, p);
        else
            add_text(w, p->text, p->kind == RESPONSE_THOUGHT);
    }
    json_end(w);
    json_add_c(w, "role", "model");
    json_end(w);
}

static void add_candidate(struct json_writer *w, const struct candidate *c, uint32_t index)
{
    json_object(w, NULL);
    if (c->has_avg_logprob)
        json_add_double(w, "avgLogprobs", c->avg_logprob);
    add_content(w, c);
    if (c->finish_message)
        json_add_c(w, "finishMessage", c->finish_message);
    json_add_c(w, "finishReason", finish_names[c->finish]);
    json_add_uint(w, "index", index);
    if (c->chosen)
        add_logprobs_result(w, c);
    json_end(w);
}

static void add_detail(struct json_writer *w, const char *modality, uint32_t tokens)
{
    json_object(w, NULL);
    json_add_c(w, "modality", modality);
    json_add_uint(w, "tokenCount", tokens);
    json_end(w);
}

/* The same count a second time, by modality: everything is text. */
static void add_details(struct json_writer *w, const char *key, uint32_t tokens)
{
    json_array(w, key);
    add_detail(w, "TEXT", tokens);
    json_end(w);
}

static void add_prompt_details(struct json_writer *w, const struct response *r)
{
    uint32_t media = r->image_tokens + r->video_tokens + r->audio_tokens;

    assert(media <= r->usage.prompt_tokens);
    json_array(w, "promptTokensDetails");
    add_detail(w, "TEXT", r->usage.prompt_tokens - media);
    if (r->image_tokens)
        add_detail(w, "IMAGE", r->image_tokens);
    if (r->video_tokens)
        add_detail(w, "VIDEO", r->video_tokens);
    if (r->audio_tokens)
        add_detail(w, "AUDIO", r->audio_tokens);
    json_end(w);
}

static void add_usage(struct json_writer *w, const struct response *r)
{
    const struct usage *u = &r->usage;

    json_object(w, "usageMetadata");
    if (u->cached_tokens) {
        add_details(w, "cacheTokensDetails", u->cached_tokens);
        json_add_uint(w, "cachedContentTokenCount", u->cached_tokens);
    }
    json_add_uint(w, "candidatesTokenCount", u->candidate_tokens);
    add_details(w, "candidatesTokensDetails", u->candidate_tokens);
    json_add_uint(w, "promptTokenCount", u->prompt_tokens);
    add_prompt_details(w, r);
    if (u->thought_tokens)
        json_add_uint(w, "thoughtsTokenCount", u->thought_tokens);
    json_add_uint(w, "totalTokenCount",
                  (uint64_t)u->prompt_tokens + u->candidate_tokens + u->thought_tokens);
    json_add_c(w, "trafficType", "ON_DEMAND");
    json_end(w);
}

void response_write(const struct response *r, struct buf *out)
{
    struct json_writer w = JSON_WRITER(out);
    char time[CLOCK_TEXT_BYTES];

    clock_format_rfc3339(r->create_time_us, time);
    json_object(&w, NULL);
    if (!r->block_reason) {
        json_array(&w, "candidates");
        for (uint32_t i = 0; i < r->candidate_count; i++)
            add_candidate(&w, &r->candidate[i], i);
        json_end(&w);
    }
    json_add_c(&w, "createTime", time);
    json_add_text(&w, "modelVersion", r->model_version);
    if (r->block_reason) {
        json_object(&w, "promptFeedback");
        json_add_c(&w, "blockReason", r->block_reason);
        json_end(&w);
    }
    json_add_c(&w, "responseId", r->response_id);
    add_usage(&w, r);
    json_end(&w);
}

void embedding_usage_write(uint32_t tokens, struct json_writer *w)
{
    json_object(w, "usageMetadata");
    json_add_uint(w, "promptTokenCount", tokens);
    add_details(w, "promptTokensDetails", tokens);
    json_add_uint(w, "totalTokenCount", tokens);
    json_add_c(w, "trafficType", "ON_DEMAND");
    json_end(w);
}

void embedding_write(struct str values, const struct usage *usage, bool truncated, struct buf *out)
{
    struct json_writer w = JSON_WRITER(out);

    json_object(&w, NULL);
    json_object(&w, "embedding");
    json_add_raw(&w, "values", values);
    json_end(&w);
    json_addf(&w, "tokenCount", "%u", usage->prompt_tokens);
    if (truncated)
        json_add_bool(&w, "truncated", true);
    embedding_usage_write(usage->prompt_tokens, &w);
    json_end(&w);
}

/* Five bits a character, the highest first: 26 of them hold 130 bits, so the first has only three. */
void response_id_format(uint64_t high, uint64_t low, char id[RESPONSE_ID_BYTES])
{
    static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

    for (int at = RESPONSE_ID_BYTES - 2; at >= 0; at--) {
        id[at] = digits[low & 31];
        low = low >> 5 | high << 59;
        high >>= 5;
    }
    id[RESPONSE_ID_BYTES - 1] = '\0';
}
