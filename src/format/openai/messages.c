/* messages.c -- the conversation: systemInstruction and contents as messages.
 *
 * A turn of the user may become several messages: one with the role tool for each functionResponse,
 * which must follow the calls at once, then one with all else.
 */
#include "format/openai/openai_inner.h"

struct writer {
    const struct openai_files *files;
    struct openai_calls calls;
    struct arena *scratch;
    struct buf *out;
    struct error *e;
    bool any; /* a message was written */
};

static int turn_write(struct writer *w, const struct content *c, uint32_t turn);

/* Opens a message, up to its content. */
static void begin(struct writer *w, struct str role)
{
    if (w->any)
        buf_add_char(w->out, ',');
    w->any = true;
    ADD(w->out, "{\"role\":\"");
    buf_add_str(w->out, role);
    ADD(w->out, "\",\"content\":");
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
void openai_texts_write(const struct content *c, struct buf *out)
{
    const char *join = "";

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

int openai_messages_write(const struct request *r, const struct openai_files *files,
                          struct arena *scratch, struct buf *out, struct error *e)
{
    struct writer w = { .files = files, .scratch = scratch, .out = out, .e = e };

    ADD(out, "\"messages\":[");
    if (r->system && count_of(r->system, is_text)) {
        begin(&w, STR("system"));
        openai_texts_write(r->system, out);
        buf_add_char(out, '}');
    }
    for (uint32_t i = 0; i < r->content_count; i++)
        if (turn_write(&w, &r->content[i], i) < 0)
            return -1;
    buf_add_char(out, ']');
    return 0;
}

/* ---- The user ---- */

static int write_tool(struct writer *w, const struct part *p)
{
    const struct openai_call *call = openai_calls_answer(&w->calls, p);
    char made[OPENAI_CALL_ID_BYTES];

    if (!call)
        return error_set(w->e, ERROR_INVALID_ARGUMENT,
                         "A functionResponse answers no functionCall before it.");
    begin(w, STR("tool"));
    buf_add_json(w->out, json_text(w->scratch, request_field(p->object, "response")));
    ADD(w->out, ",\"tool_call_id\":");
    buf_add_json(w->out, openai_call_id(call, made));
    buf_add_char(w->out, '}');
    return 0;
}

static int write_tools(struct writer *w, const struct content *c)
{
    for (uint32_t i = 0; i < c->part_count; i++)
        if (c->part[i].kind == PART_FUNCTION_RESPONSE && write_tool(w, &c->part[i]) < 0)
            return -1;
    return 0;
}

/* Text and media in their order. */
static int write_content(struct writer *w, const struct content *c)
{
    const char *comma = "";

    buf_add_char(w->out, '[');
    for (uint32_t i = 0; i < c->part_count; i++) {
        const struct part *p = &c->part[i];
        if (!is_text(p) && !is_media(p))
            continue;
        buf_add_c(w->out, comma);
        comma = ",";
        if (is_media(p)) {
            if (openai_media_write(p, w->files, w->out, w->e) < 0)
                return -1;
            continue;
        }
        ADD(w->out, "{\"type\":\"text\",\"text\":");
        buf_add_json(w->out, p->text);
        buf_add_char(w->out, '}');
    }
    buf_add_char(w->out, ']');
    return 0;
}

static int write_user(struct writer *w, const struct content *c)
{
    uint32_t media = count_of(c, is_media);

    if (write_tools(w, c) < 0)
        return -1;
    if (!media && !count_of(c, is_text))
        return 0;
    begin(w, STR("user"));
    if (!media)
        openai_texts_write(c, w->out);
    else if (write_content(w, c) < 0)
        return -1;
    buf_add_char(w->out, '}');
    return 0;
}

/* ---- The model ---- */

static bool is_call(const struct part *p)
{
    return p->kind == PART_FUNCTION_CALL;
}

/* Arguments are a string that holds JSON. */
static int write_call(struct writer *w, const struct part *p, uint32_t turn)
{
    const struct openai_call *call = openai_calls_add(&w->calls, w->scratch, p, turn);
    yyjson_val *args = request_field(p->object, "args");
    char made[OPENAI_CALL_ID_BYTES];

    if (!call)
        return error_set(w->e, ERROR_INVALID_ARGUMENT, "There are more than %d functionCalls.",
                         OPENAI_CALLS_MAX);
    if (call->n)
        buf_add_char(w->out, ',');
    ADD(w->out, "{\"id\":");
    buf_add_json(w->out, openai_call_id(call, made));
    ADD(w->out, ",\"type\":\"function\",\"function\":{\"name\":");
    buf_add_json(w->out, json_str(request_field(p->object, "name")));
    ADD(w->out, ",\"arguments\":");
    buf_add_json(w->out, args ? json_text(w->scratch, args) : STR("{}"));
    ADD(w->out, "}}");
    return 0;
}

static int write_calls(struct writer *w, const struct content *c, uint32_t turn)
{
    ADD(w->out, ",\"tool_calls\":[");
    for (uint32_t i = 0; i < c->part_count; i++)
        if (is_call(&c->part[i]) && write_call(w, &c->part[i], turn) < 0)
            return -1;
    buf_add_char(w->out, ']');
    return 0;
}

static int write_model(struct writer *w, const struct content *c, uint32_t turn)
{
    uint32_t texts = count_of(c, is_text), calls = count_of(c, is_call);

    if (!texts && !calls)
        return 0; /* it only thought */
    begin(w, STR("assistant"));
    if (texts)
        openai_texts_write(c, w->out);
    else
        ADD(w->out, "null");
    if (calls && write_calls(w, c, turn) < 0)
        return -1;
    buf_add_char(w->out, '}');
    return 0;
}

static int turn_write(struct writer *w, const struct content *c, uint32_t turn)
{
    return c->role == ROLE_MODEL ? write_model(w, c, turn) : write_user(w, c);
}
