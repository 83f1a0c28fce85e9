/* message.c -- a message of the assistant as parts: thoughts, texts, calls. */
#include "format/openai/openai_inner.h"

#include "format/tools/call_parse.h"

/* The parts of one message; there is room for all. */
struct parts {
    struct response_part *item;
    uint32_t count;
    bool said; /* there is more than thoughts */
};

/* Thoughts go under the name that the server gives them: vLLM's new one, or that of all others. */
static struct str thought_of(yyjson_val *message)
{
    struct str text = json_str(json_get(message, "reasoning_content"));

    return text.len ? text : json_str(json_get(message, "reasoning"));
}

static bool wants_thoughts(const struct request *r)
{
    return yyjson_is_true(request_field(r->generation.thinking, "includeThoughts"));
}

static void add_text(struct openai_answer *r, struct parts *p, struct str text)
{
    if (!text.len)
        return;
    p->item[p->count++] = (struct response_part){ .kind = RESPONSE_TEXT, .text = text };
    p->said = true;
    r->text_bytes += text.len;
}

static struct parts parts_room(struct arena *a, yyjson_val *message)
{
    size_t room = yyjson_arr_size(json_get(message, "content")) +
                  yyjson_arr_size(json_get(message, "tool_calls"));

    return (struct parts){ .item = arena_array(a, room + 5, sizeof(struct response_part)) };
}

/* ---- Text ---- */

/* A string, or a list of {"type": "text", "text"}. */
static int content_read(struct openai_answer *r, yyjson_val *content, uint32_t number,
                        struct parts *p)
{
    size_t i, max;
    yyjson_val *item;

    if (!content || yyjson_is_null(content))
        return 0;
    if (yyjson_is_str(content)) {
        add_text(r, p, json_str(content));
        return 0;
    }
    if (!yyjson_is_arr(content))
        return error_set(r->e, ERROR_INTERNAL,
                         "Choice %u of the answer has a content that is neither text nor a list.",
                         number);
    yyjson_arr_foreach(content, i, max, item)
    {
        if (!yyjson_is_str(json_get(item, "text")))
            return error_set(r->e, ERROR_INTERNAL,
                             "Choice %u of the answer has a content[%zu] that is not text.", number,
                             i);
        add_text(r, p, json_str(json_get(item, "text")));
    }
    return 0;
}

/* ---- Calls ---- */

/* One call. When the answer was cut off, broken arguments are the cut, and the call is left out. */
static int call_read(struct openai_answer *r, yyjson_val *function, struct str id, bool cut,
                     struct parts *p)
{
    struct str name = json_str(json_get(function, "name"));
    struct error broken = { 0 };

    if (!name.len)
        return error_set(r->e, ERROR_INTERNAL, "The answer has a call without a name.");
    yyjson_val *args = call_arguments_read(r->arena, json_get(function, "arguments"), &broken);
    if (!args && cut)
        return 0;
    if (!args)
        return error_set(r->e, ERROR_INTERNAL,
                         "The answer has a call of %s with broken arguments: %s.", quote(name).text,
                         broken.msg);
    struct response_part part = {
        .kind = RESPONSE_CALL, .name = name, .args = json_text(r->arena, args), .id = id
    };
    p->item[p->count++] = part;
    p->said = true;
    r->text_bytes += name.len + part.args.len;
    return 0;
}

static int calls_read(struct openai_answer *r, yyjson_val *message, uint32_t number,
                      struct parts *p, bool cut)
{
    yyjson_val *calls = json_get(message, "tool_calls"), *call;
    yyjson_val *older = json_get(message, "function_call"); /* what came before tool_calls */
    size_t i, max;

    if (yyjson_arr_size(calls) > OPENAI_CALLS_MAX)
        return error_set(r->e, ERROR_INTERNAL, "Choice %u of the answer has over %d calls.", number,
                         OPENAI_CALLS_MAX);
    yyjson_arr_foreach(calls, i, max, call)
    {
        if (call_read(r, json_get(call, "function"), json_str(json_get(call, "id")), cut, p) < 0)
            return -1;
    }
    if (yyjson_is_obj(older) && !yyjson_arr_size(calls))
        return call_read(r, older, (struct str){ 0 }, cut, p);
    return 0;
}

/* A server that does not know tool_choice answers with text. */
static int call_check(struct openai_answer *r, const struct parts *p)
{
    const struct request *q = r->rules->request;

    if (!q->tool_config || (p->count && p->item[p->count - 1].kind == RESPONSE_CALL))
        return 0;
    if (function_choice_of(q).calling != CALLING_ANY)
        return 0;
    return error_set(r->e, ERROR_INTERNAL,
                     "The answer calls no function, though one had to be called.");
}

/* ---- The form of the answer ---- */

/* An enum's value was asked for as a JSON string; the answer is the bare value. A server that
 * follows no schema may have written it bare. */
static struct str enum_undo(struct arena *a, struct str text)
{
    struct error ignored = { 0 };
    size_t at;

    text = str_trim(text);
    if (!text.len || text.p[0] != '"')
        return text;
    yyjson_val *v = json_parse(a, text, &at, &ignored);
    return yyjson_is_str(v) ? json_str(v) : str_sub(text, 1, text.len);
}

/* A server that knows no response_format may write JSON as Markdown: the fences are taken off when the
 * whole text is one fenced block, for then nothing else can be meant. */
static struct str fence_undo(struct str text)
{
    static const struct str fence = STR_INIT("```");
    struct str block = str_trim(text);
    size_t begin = str_find(block, STR("\n"));

    if (!str_starts(block, fence) || !str_ends(block, fence) || begin == SIZE_MAX ||
        begin + 1 + fence.len > block.len)
        return text;
    struct str label = str_trim(str_sub(block, fence.len, begin - fence.len));
    struct str inner = str_sub(block, begin + 1, block.len - fence.len - begin - 1);
    bool json = label.len == 0 || lower_equal(label, "json");
    /* A line break in a string of JSON is escaped: another fence on a line is another block. */
    if (!json || str_find(inner, STR("\n```")) != SIZE_MAX || str_starts(inner, fence))
        return text;
    return str_trim(inner);
}

/* The text of the last part in the form that was asked for, as far as it is only dressed otherwise.
 * The sender of the request judges whether it has the form. */
static void form_undo(struct openai_answer *r, struct parts *p, bool cut)
{
    enum answer_form form = r->rules->request->generation.form;
    struct response_part *last = p->count ? &p->item[p->count - 1] : NULL;

    if (!last || last->kind != RESPONSE_TEXT)
        return;
    if (form == ANSWER_ENUM)
        last->text = enum_undo(r->arena, last->text);
    else if (form == ANSWER_JSON && !cut)
        last->text = fence_undo(last->text);
}

/* ---- The message ---- */

int openai_message_read(struct openai_answer *r, yyjson_val *message, uint32_t number,
                        struct candidate *c)
{
    struct str thought = thought_of(message), refusal = json_str(json_get(message, "refusal"));
    bool cut = c->finish == FINISH_MAX_TOKENS;

    if (!yyjson_is_obj(message))
        return error_set(r->e, ERROR_INTERNAL, "Choice %u of the answer has no message.", number);
    struct parts p = parts_room(r->arena, message);
    r->thought_bytes += thought.len;
    if (thought.len && wants_thoughts(r->rules->request))
        p.item[p.count++] = (struct response_part){ .kind = RESPONSE_THOUGHT, .text = thought };
    if (content_read(r, json_get(message, "content"), number, &p) < 0)
        return -1;
    add_text(r, &p, refusal);
    if (refusal.len)
        c->finish = FINISH_SAFETY;
    if (calls_read(r, message, number, &p, cut) < 0 ||
        (c->finish == FINISH_STOP && call_check(r, &p) < 0))
        return -1;
    if (c->finish != FINISH_SAFETY)
        form_undo(r, &p, cut);
    if (!p.said) /* an empty text is never absent */
        p.item[p.count++] = (struct response_part){ .kind = RESPONSE_TEXT };
    c->part = p.item;
    c->part_count = p.count;
    return 0;
}
