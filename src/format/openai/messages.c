/* messages.c -- the conversation: systemInstruction and contents as messages.
 *
 * A turn of the user may become several messages: one with the role tool for each functionResponse,
 * which must follow the calls at once, then one with all else. The dialect knows calls by ids only, so
 * a response is paired with its call here.
 */
#include "format/openai/openai_inner.h"

#include <assert.h>
#include <stdio.h>

#define CALL_ID_BYTES 32

/* ---- Calls: which response belongs to which call ---- */

const struct openai_call *openai_calls_add(struct openai_calls *c, struct arena *a,
                                           const struct part *call, uint32_t turn)
{
    if (!c->item)
        c->item = arena_array(a, OPENAI_CALLS_MAX, sizeof *c->item);
    assert(c->item);
    if (c->count == OPENAI_CALLS_MAX)
        return NULL;
    const struct openai_call *before = c->count ? &c->item[c->count - 1] : NULL;
    uint32_t n = before && before->turn == turn ? before->n + 1 : 0;
    c->item[c->count] = (struct openai_call){ .part = call, .turn = turn, .n = n };
    return &c->item[c->count++];
}

static struct str id_of(const struct part *p)
{
    return json_str(request_field(p->object, "id"));
}

static struct str function_of(const struct part *p)
{
    return json_str(request_field(p->object, "name"));
}

static struct openai_call *open_with(struct openai_calls *c, struct str value,
                                     struct str (*of)(const struct part *p))
{
    for (uint32_t i = 0; value.len && i < c->count; i++)
        if (!c->item[i].answered && str_eq(of(c->item[i].part), value))
            return &c->item[i];
    return NULL;
}

const struct openai_call *openai_calls_answer(struct openai_calls *c, const struct part *response)
{
    struct openai_call *found = open_with(c, id_of(response), id_of);

    if (!found)
        found = open_with(c, function_of(response), function_of);
    if (found)
        found->answered = true;
    return found;
}

/* The call's own id, or one made of its place, for which there is room in made. */
static struct str id_of_call(const struct openai_call *c, char made[CALL_ID_BYTES])
{
    struct str id = id_of(c->part);

    if (id.len)
        return id;
    (void)snprintf(made, CALL_ID_BYTES, "call_%u_%u", c->turn, c->n);
    return str_of(made);
}

/* ---- Messages ---- */

struct writer {
    struct json_writer *json;
    const struct file_contents *files;
    struct openai_calls calls;
    struct arena *scratch;
    struct error *e;
};

static void message_begin(struct writer *w, const char *role)
{
    json_object(w->json, NULL);
    json_add_c(w->json, "role", role);
}

static bool is_text(const struct part *p)
{
    return p->kind == PART_TEXT && !p->thought;
}

static bool is_media(const struct part *p)
{
    return p->kind == PART_INLINE_DATA || p->kind == PART_FILE_DATA;
}

static uint32_t count_of(const struct content *c, bool (*is)(const struct part *p))
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < c->part_count; i++)
        count += is(&c->part[i]);
    return count;
}

/* All texts as one, joined by a line feed as the embedded engine does: most chat templates take a
 * string only. */
void openai_texts_add(struct json_writer *w, const char *key, const struct content *c)
{
    struct buf *out = w->out;
    const char *join = "";

    json_value(w, key);
    buf_add_char(out, '"');
    for (uint32_t i = 0; i < c->part_count; i++) {
        if (!is_text(&c->part[i]))
            continue;
        buf_add_c(out, join);
        buf_add_json_inside(out, c->part[i].text);
        join = "\\n";
    }
    buf_add_char(out, '"');
}

/* ---- The user ---- */

static int add_tool(struct writer *w, const struct part *p)
{
    const struct openai_call *call = openai_calls_answer(&w->calls, p);
    char made[CALL_ID_BYTES];

    if (!call)
        return error_set(w->e, ERROR_INVALID_ARGUMENT,
                         "A functionResponse answers no functionCall before it.");
    message_begin(w, "tool");
    json_add_text(w->json, "content", json_text(w->scratch, request_field(p->object, "response")));
    json_add_text(w->json, "tool_call_id", id_of_call(call, made));
    json_end(w->json);
    return 0;
}

/* Text and media in their order. */
static int add_content(struct writer *w, const struct content *c)
{
    json_array(w->json, "content");
    for (uint32_t i = 0; i < c->part_count; i++) {
        const struct part *p = &c->part[i];
        if (is_media(p) && openai_media_add(w->json, p, w->files, w->e) < 0)
            return -1;
        if (!is_text(p))
            continue;
        json_object(w->json, NULL);
        json_add_c(w->json, "type", "text");
        json_add_text(w->json, "text", p->text);
        json_end(w->json);
    }
    json_end(w->json);
    return 0;
}

static int add_user(struct writer *w, const struct content *c)
{
    uint32_t media = count_of(c, is_media);

    for (uint32_t i = 0; i < c->part_count; i++)
        if (c->part[i].kind == PART_FUNCTION_RESPONSE && add_tool(w, &c->part[i]) < 0)
            return -1;
    if (!media && !count_of(c, is_text))
        return 0;
    message_begin(w, "user");
    if (!media)
        openai_texts_add(w->json, "content", c);
    else if (add_content(w, c) < 0)
        return -1;
    json_end(w->json);
    return 0;
}

/* ---- The model ---- */

static bool is_call(const struct part *p)
{
    return p->kind == PART_FUNCTION_CALL;
}

/* Arguments are a string that holds JSON. */
static int add_call(struct writer *w, const struct part *p, uint32_t turn)
{
    const struct openai_call *call = openai_calls_add(&w->calls, w->scratch, p, turn);
    yyjson_val *args = request_field(p->object, "args");
    char made[CALL_ID_BYTES];

    if (!call)
        return error_set(w->e, ERROR_INVALID_ARGUMENT, "There are more than %d functionCalls.",
                         OPENAI_CALLS_MAX);
    json_object(w->json, NULL);
    json_add_text(w->json, "id", id_of_call(call, made));
    json_add_c(w->json, "type", "function");
    json_object(w->json, "function");
    json_add_text(w->json, "name", function_of(p));
    json_add_text(w->json, "arguments", args ? json_text(w->scratch, args) : STR("{}"));
    json_end(w->json);
    json_end(w->json);
    return 0;
}

static int add_calls(struct writer *w, const struct content *c, uint32_t turn)
{
    json_array(w->json, "tool_calls");
    for (uint32_t i = 0; i < c->part_count; i++)
        if (is_call(&c->part[i]) && add_call(w, &c->part[i], turn) < 0)
            return -1;
    json_end(w->json);
    return 0;
}

static int add_model(struct writer *w, const struct content *c, uint32_t turn)
{
    uint32_t texts = count_of(c, is_text), calls = count_of(c, is_call);

    if (!texts && !calls)
        return 0; /* it only thought */
    message_begin(w, "assistant");
    if (texts)
        openai_texts_add(w->json, "content", c);
    else
        json_add_null(w->json, "content");
    if (calls && add_calls(w, c, turn) < 0)
        return -1;
    json_end(w->json);
    return 0;
}

int openai_messages_add(struct json_writer *json, const struct request *r,
                        const struct file_contents *files, struct arena *scratch, struct error *e)
{
    struct writer w = { .json = json, .files = files, .scratch = scratch, .e = e };

    json_array(json, "messages");
    if (r->system && count_of(r->system, is_text)) {
        message_begin(&w, "system");
        openai_texts_add(json, "content", r->system);
        json_end(json);
    }
    for (uint32_t i = 0; i < r->content_count; i++) {
        const struct content *c = &r->content[i];
        if ((c->role == ROLE_MODEL ? add_model(&w, c, i) : add_user(&w, c)) < 0)
            return -1;
    }
    json_end(json);
    return 0;
}
