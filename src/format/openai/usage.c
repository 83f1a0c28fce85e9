/* usage.c -- an answer's token counts: the server's where it has them, else estimates.
 *
 * Nothing here fails: an answer is worth more than its counts. A count that cannot be (negative, more
 * of a part than of the whole) is made to fit.
 */
#include "format/openai/openai_inner.h"

#define BYTES_PER_TOKEN 4               /* of English; what Google says of its own models, too */
#define COUNT_MAX ((uint32_t)INT32_MAX) /* Gemini's counts are int32 */

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

/* Of generated tokens those of thoughts: by the server's count, else by their share of the bytes. */
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

bool openai_usage_generated(yyjson_val *usage)
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
