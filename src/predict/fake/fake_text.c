#include "predict/fake/fake_text.h"

#include <string.h>

#include "base/json_write.h"
#include "format/tools/functions.h"
#include "predict/fake/fake_schema.h"

#define ECHO "echo: "

static bool is_word_byte(char c)
{
    return (unsigned char)c > ' ';
}

/* Eight bytes as a number, the first one lowest: compilers make one load of this. */
static uint64_t eight(const char *text)
{
    const unsigned char *p = (const unsigned char *)text;

    return (uint64_t)p[0] | (uint64_t)p[1] << 8 | (uint64_t)p[2] << 16 | (uint64_t)p[3] << 24 |
           (uint64_t)p[4] << 32 | (uint64_t)p[5] << 40 | (uint64_t)p[6] << 48 |
           (uint64_t)p[7] << 56;
}

/* Words that begin in eight bytes. A byte belongs to a word when it is above ' ', which its highest
 * bit then says; a word begins where the byte before does not. *before is the last byte's bit. */
static uint32_t words_begun(uint64_t bytes, uint64_t *before)
{
    const uint64_t low = 0x7F7F7F7F7F7F7F7FU, above = 0x5F5F5F5F5F5F5F5FU; /* 0x7F - ' ' */
    const uint64_t ones = 0x0101010101010101U;
    uint64_t word = (((bytes & low) + above) | bytes) & ~low;
    uint64_t begin = word & ~(word << 8 | *before);

    *before = word >> 56;
    return (uint32_t)((begin >> 7) * ones >> 56);
}

/* Eight bytes at a time, because it runs over every byte of a job. */
static uint32_t count_words(struct str text)
{
    uint32_t count = 0;
    uint64_t before = 0;
    char rest[8] = { 0 };
    size_t at = 0;

    for (; text.len - at >= 8; at += 8)
        count += words_begun(eight(text.p + at), &before);
    if (at < text.len)
        memcpy(rest, text.p + at, text.len - at);
    return count + words_begun(eight(rest), &before);
}

static uint32_t content_words(const struct content *c)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < c->part_count; i++)
        if (c->part[i].kind == PART_TEXT)
            count += count_words(c->part[i].text);
    return count;
}

uint32_t fake_prompt_words(const struct request *r)
{
    uint32_t count = r->system ? content_words(r->system) : 0;

    for (uint32_t i = 0; i < r->content_count; i++)
        count += content_words(&r->content[i]);
    return count;
}

/* "echo: " and the last user text, in the scratch buffer. */
static struct str echo(const struct request *r, struct buf *scratch)
{
    const struct content *last = NULL;

    for (uint32_t i = r->content_count; i > 0 && !last; i--)
        if (r->content[i - 1].role == ROLE_USER)
            last = &r->content[i - 1];
    scratch->max = FAKE_SCRATCH_BYTES_MAX;
    buf_clear(scratch);
    buf_add_c(scratch, ECHO);
    for (uint32_t i = 0; last && i < last->part_count; i++) {
        struct json_writer w = JSON_WRITER(scratch);
        if (last->part[i].kind == PART_TEXT)
            buf_add_str(scratch, last->part[i].text);
        else if (last->part[i].kind == PART_FUNCTION_RESPONSE)
            json_add_value(&w, NULL, request_field(last->part[i].object, "response"));
    }
    return buf_str(scratch);
}

struct str fake_user_text(const struct request *r, struct buf *scratch)
{
    return str_sub(echo(r, scratch), sizeof ECHO - 1, SIZE_MAX);
}

/* The first of the schema's values; false when it has none. */
static bool first_enum(const struct generation *g, struct str *out)
{
    yyjson_val *values = request_field(g->schema ? g->schema : g->json_schema, "enum");
    yyjson_val *first = yyjson_is_arr(values) ? yyjson_arr_get_first(values) : values;

    *out = json_str(first);
    return yyjson_is_str(first);
}

static void cut_at_stop(const struct generation *g, struct str *text)
{
    for (uint32_t i = 0; i < g->stop_count; i++) {
        size_t at = g->stop[i].len ? str_find(*text, g->stop[i]) : SIZE_MAX;
        if (at != SIZE_MAX)
            text->len = at;
    }
}

/* Bytes up to the end of the words-th word; all when there are not more. */
static size_t words_end(struct str text, uint32_t words)
{
    uint32_t seen = 0;
    bool before = false;

    for (size_t i = 0; i < text.len; i++) {
        bool now = is_word_byte(text.p[i]);
        seen += now && !before;
        if (seen > words)
            return str_trim(str_sub(text, 0, i)).len;
        before = now;
    }
    return text.len;
}

/* The text of the first reply that matches; false when none does. */
static bool scripted(const struct fake_script *s, const struct request *r, struct buf *scratch,
                     struct str *out)
{
    struct str asked = s->reply_count ? fake_user_text(r, scratch) : (struct str){ 0 };

    for (uint32_t i = 0; i < s->reply_count; i++) {
        const struct fake_reply *reply = &s->reply[i];
        if (reply->match && str_find(asked, str_of(reply->match)) == SIZE_MAX)
            continue;
        *out = str_of(reply->text);
        return true;
    }
    return false;
}

/* A value that fits the schema, in the scratch buffer; false without a schema. */
static bool json_answer(const struct generation *g, struct buf *scratch, struct str *out)
{
    yyjson_val *schema = g->schema ? g->schema : g->json_schema;

    if (!schema)
        return false;
    scratch->max = FAKE_SCRATCH_BYTES_MAX;
    buf_clear(scratch);
    fake_schema_value(schema, scratch);
    *out = buf_str(scratch);
    return true;
}

/* The call of a function that the user names, or that must be called; false when there is none. */
static bool call_answer(const struct request *r, struct buf *scratch, struct fake_answer *out)
{
    const struct function_choice choice = function_choice_of(r);
    struct functions it = functions_of(r);
    struct function f, chosen = { 0 };

    if (!choice.count || choice.calling == CALLING_NONE)
        return false;
    struct str asked = fake_user_text(r, scratch);
    while (functions_next(&it, &f)) {
        bool named = str_find(asked, f.name) != SIZE_MAX;
        bool must = choice.calling == CALLING_ANY && !chosen.object;
        if (function_allowed(&choice, f.name) && (named || must))
            chosen = f;
        if (named && chosen.object == f.object)
            break;
    }
    if (!chosen.object)
        return false;
    buf_clear(scratch);
    if (chosen.schema)
        fake_schema_value(chosen.schema, scratch);
    else
        buf_add_c(scratch, "{}");
    out->calls = chosen.name;
    out->text = buf_str(scratch);
    return true;
}

void fake_answer(const struct fake_script *script, const struct request *r, struct buf *scratch,
                 struct fake_answer *out)
{
    const struct generation *g = &r->generation;
    uint32_t words_max = g->max_output_tokens;

    out->calls = (struct str){ 0 };
    bool made = scripted(script, r, scratch, &out->text) || call_answer(r, scratch, out) ||
                (g->form == ANSWER_ENUM && first_enum(g, &out->text)) ||
                (g->form == ANSWER_JSON && json_answer(g, scratch, &out->text));
    if (!made)
        out->text = echo(r, scratch);
    if (!out->calls.len)
        cut_at_stop(g, &out->text);
    out->words = count_words(out->text);
    out->finish = FINISH_STOP;
    if (words_max && out->words > words_max && !out->calls.len) {
        out->text.len = words_end(out->text, words_max);
        out->words = words_max;
        out->finish = FINISH_MAX_TOKENS;
    }
}
