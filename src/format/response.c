#include "format/response.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"

/* Digits of the largest uint64_t. */
#define UINT_DIGITS_MAX 20

static const char *const finish_names[] = {
    [FINISH_STOP] = "STOP",
    [FINISH_MAX_TOKENS] = "MAX_TOKENS",
    [FINISH_OTHER] = "OTHER",
    [FINISH_SAFETY] = "SAFETY",
};

static void write_candidate(struct buf *out, const struct candidate *c, uint32_t index);
static void write_usage(struct buf *out, const struct usage *u);

/* Appends a literal with the length that the compiler knows. */
#define ADD(out, literal) buf_add((out), "" literal, sizeof(literal) - 1)

/* By hand, because a response has some ten numbers and printf is most of its cost. */
static void add_uint(struct buf *out, uint64_t v)
{
    char digits[UINT_DIGITS_MAX];
    size_t at = sizeof digits;

    do {
        digits[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    buf_add(out, digits + at, sizeof digits - at);
}

static void add_int(struct buf *out, int64_t v)
{
    if (v < 0)
        buf_add_char(out, '-');
    add_uint(out, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}

/* The shortest decimal that reads back as the same float: half the digits of the same as double. */
static void add_float(struct buf *out, float v)
{
    char text[32];

    for (int digits = 6; digits <= 9; digits++) {
        (void)snprintf(text, sizeof text, "%.*g", digits, (double)v);
        float back = strtof(text, NULL);
        if (back >= v && back <= v) {
            buf_add_c(out, text);
            return;
        }
    }
    ADD(out, "null"); /* not a number */
}

static void write_candidates(struct buf *out, const struct response *r)
{
    ADD(out, "\"candidates\":[");
    for (uint32_t i = 0; i < r->candidate_count; i++) {
        if (i)
            buf_add_char(out, ',');
        write_candidate(out, &r->candidate[i], i);
    }
    ADD(out, "],");
}

void response_write(const struct response *r, struct buf *out)
{
    char time[CLOCK_TEXT_BYTES];

    clock_format_rfc3339(r->create_time_us, time);
    buf_add_char(out, '{');
    if (!r->block_reason)
        write_candidates(out, r);
    ADD(out, "\"createTime\":\"");
    buf_add_c(out, time);
    ADD(out, "\",\"modelVersion\":");
    buf_add_json(out, r->model_version);
    if (r->block_reason) {
        ADD(out, ",\"promptFeedback\":{\"blockReason\":");
        buf_add_json(out, str_of(r->block_reason));
        buf_add_char(out, '}');
    }
    ADD(out, ",\"responseId\":");
    buf_add_json(out, str_of(r->response_id));
    ADD(out, ",\"usageMetadata\":");
    write_usage(out, &r->usage);
    buf_add_char(out, '}');
}

static void write_logprob(struct buf *out, const struct token_logprob *t)
{
    ADD(out, "{\"logProbability\":");
    add_float(out, t->logprob);
    ADD(out, ",\"token\":");
    buf_add_json(out, t->token);
    if (t->id != TOKEN_ID_NONE) {
        ADD(out, ",\"tokenId\":");
        add_int(out, t->id);
    }
    buf_add_char(out, '}');
}

static void write_logprobs(struct buf *out, const struct token_logprob *t, uint32_t count)
{
    buf_add_char(out, '[');
    for (uint32_t i = 0; i < count; i++) {
        if (i)
            buf_add_char(out, ',');
        write_logprob(out, &t[i]);
    }
    buf_add_char(out, ']');
}

static void write_top(struct buf *out, const struct candidate *c)
{
    const struct token_logprob *row = c->top;

    ADD(out, ",\"topCandidates\":[");
    for (uint32_t i = 0; i < c->chosen_count; i++) {
        uint32_t count = c->top_counts ? c->top_counts[i] : c->top_count;
        if (i)
            buf_add_char(out, ',');
        ADD(out, "{\"candidates\":");
        write_logprobs(out, row, count);
        buf_add_char(out, '}');
        row += count;
    }
    buf_add_char(out, ']');
}

static void write_logprobs_result(struct buf *out, const struct candidate *c)
{
    ADD(out, "{\"chosenCandidates\":");
    write_logprobs(out, c->chosen, c->chosen_count);
    if (c->top && (c->top_counts || c->top_count))
        write_top(out, c);
    buf_add_char(out, '}');
}

static void write_call(struct buf *out, const struct response_part *p)
{
    ADD(out, "{\"functionCall\":{\"args\":");
    buf_add_str(out, p->args);
    if (p->id.len) {
        ADD(out, ",\"id\":");
        buf_add_json(out, p->id);
    }
    ADD(out, ",\"name\":");
    buf_add_json(out, p->name);
    ADD(out, "}}");
}

static void write_text(struct buf *out, struct str text, bool thought)
{
    ADD(out, "{\"text\":");
    buf_add_json(out, text);
    if (thought)
        ADD(out, ",\"thought\":true");
    buf_add_char(out, '}');
}

static void write_parts(struct buf *out, const struct candidate *c)
{
    if (!c->part)
        write_text(out, c->text, false);
    for (uint32_t i = 0; c->part && i < c->part_count; i++) {
        const struct response_part *p = &c->part[i];
        if (i)
            buf_add_char(out, ',');
        if (p->kind == RESPONSE_CALL)
            write_call(out, p);
        else
            write_text(out, p->text, p->kind == RESPONSE_THOUGHT);
    }
}

static void write_candidate(struct buf *out, const struct candidate *c, uint32_t index)
{
    buf_add_char(out, '{');
    if (c->has_avg_logprob) {
        ADD(out, "\"avgLogprobs\":");
        buf_add_double(out, c->avg_logprob);
        buf_add_char(out, ',');
    }
    ADD(out, "\"content\":{\"parts\":[");
    write_parts(out, c);
    ADD(out, "],\"role\":\"model\"},\"finishReason\":\"");
    buf_add_c(out, finish_names[c->finish]);
    ADD(out, "\",\"index\":");
    add_uint(out, index);
    if (c->chosen) {
        ADD(out, ",\"logprobsResult\":");
        write_logprobs_result(out, c);
    }
    buf_add_char(out, '}');
}

/* ["name":] the same count a second time, by modality: everything that we count is text. */
static void write_details(struct buf *out, const char *name, uint32_t tokens)
{
    ADD(out, ",\"");
    buf_add_c(out, name);
    ADD(out, "\":[{\"modality\":\"TEXT\",\"tokenCount\":");
    add_uint(out, tokens);
    ADD(out, "}]");
}

static void write_usage(struct buf *out, const struct usage *u)
{
    uint64_t total = (uint64_t)u->prompt_tokens + u->candidate_tokens + u->thought_tokens;

    buf_add_char(out, '{');
    if (u->cached_tokens) {
        ADD(out, "\"cacheTokensDetails\":[{\"modality\":\"TEXT\",\"tokenCount\":");
        add_uint(out, u->cached_tokens);
        ADD(out, "}],\"cachedContentTokenCount\":");
        add_uint(out, u->cached_tokens);
        buf_add_char(out, ',');
    }
    ADD(out, "\"candidatesTokenCount\":");
    add_uint(out, u->candidate_tokens);
    write_details(out, "candidatesTokensDetails", u->candidate_tokens);
    ADD(out, ",\"promptTokenCount\":");
    add_uint(out, u->prompt_tokens);
    write_details(out, "promptTokensDetails", u->prompt_tokens);
    if (u->thought_tokens) {
        ADD(out, ",\"thoughtsTokenCount\":");
        add_uint(out, u->thought_tokens);
    }
    ADD(out, ",\"totalTokenCount\":");
    add_uint(out, total);
    ADD(out, ",\"trafficType\":\"ON_DEMAND\"}");
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
