#include "predict/local/conversation.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/json_write.h"
#include "format/schema/schema.h"
#include "format/tools/call_grammar.h"
#include "format/tools/functions.h"

#define TEXT_JOIN "\n"                            /* between the texts of a turn */
#define TEXT_BYTES_MAX ((size_t)64 * 1024 * 1024) /* that calls and declarations become */
#define LEAVE_OUT "Leave it out, or use a model that can."

/* ---- What a model takes ---- */

// clang-format off
static const struct {
    enum part_kind kind;
    const char *what; /* that no embedded model can take */
} refused[] = {
    { PART_INLINE_DATA,       "images, audio or documents"   },
    { PART_FILE_DATA,         "images, audio or documents"   },
    { PART_EXECUTABLE_CODE,   "executable code"              },
    { PART_CODE_RESULT,       "results of executed code"     },
};
// clang-format on

static bool refuse(struct violation *why, const char *message, const char *remedy, const char *path,
                   ...) __attribute__((format(printf, 4, 5)));

static bool refuse(struct violation *why, const char *message, const char *remedy, const char *path,
                   ...)
{
    va_list ap;

    *why = (struct violation){ 0 };
    va_start(ap, path);
    (void)vsnprintf(why->path, sizeof why->path, path, ap);
    va_end(ap);
    (void)snprintf(why->message, sizeof why->message, "%s", message);
    (void)snprintf(why->remedy, sizeof why->remedy, "%s", remedy);
    return false;
}

/* "smollm2-135m cannot take images." */
static bool cannot_take(struct violation *why, const struct conversation_model *m, const char *what,
                        const char *path)
{
    char message[VIOLATION_TEXT_BYTES];

    (void)snprintf(message, sizeof message, "%s cannot take %s.", m->name, what);
    return refuse(why, message, LEAVE_OUT, "%s", path);
}

static bool calls_none(const struct conversation_model *m, struct violation *why, const char *path)
{
    char message[VIOLATION_TEXT_BYTES];

    if (m->calls.format != CALLS_NONE)
        return true;
    (void)snprintf(message, sizeof message,
                   "%s cannot call functions: its chat template shows no format of calls that is "
                   "known.",
                   m->name);
    return refuse(why, message,
                  "Leave it out, use a model that can, or set call_format in the model's "
                  "configuration.",
                  "%s", path);
}

static bool is_media(const struct part *p)
{
    return p->kind == PART_INLINE_DATA || p->kind == PART_FILE_DATA;
}

static bool part_accepts(const struct part *p, bool by_model, const struct conversation_model *m,
                         const char *path, struct violation *why)
{
    for (size_t k = 0; k < ARRAY_LEN(refused); k++)
        if (p->kind == refused[k].kind && !(m->takes_media && is_media(p)))
            return cannot_take(why, m, refused[k].what, path);
    if (p->kind != PART_FUNCTION_CALL && p->kind != PART_FUNCTION_RESPONSE)
        return true;
    if (!calls_none(m, why, path))
        return false;
    if (p->kind == PART_FUNCTION_CALL && !by_model)
        return refuse(why, "A functionCall stands in a turn of the user.",
                      "Write \"model\" as the role of its turn.", "%s.functionCall", path);
    if (p->kind == PART_FUNCTION_RESPONSE && by_model)
        return refuse(why, "A functionResponse stands in a turn of the model.",
                      "Write \"user\" as the role of its turn.", "%s.functionResponse", path);
    if (values_of(request_field(p->object, "parts")).count)
        return cannot_take(why, m, "media in a functionResponse", path);
    return true;
}

static bool content_accepts(const struct content *c, const struct conversation_model *m,
                            const char *path, struct violation *why)
{
    char full[VIOLATION_PATH_BYTES];

    for (uint32_t i = 0; i < c->part_count; i++) {
        if (c->part[i].kind == PART_TEXT)
            continue; /* nearly all are so: no path is wanted */
        (void)snprintf(full, sizeof full, "%s.parts[%u]", path, i);
        if (!part_accepts(&c->part[i], c->role == ROLE_MODEL, m, full, why))
            return false;
    }
    return true;
}

/* ---- Functions ---- */

bool conversation_may_call(const struct request *r)
{
    const struct function_choice c = function_choice_of(r);

    return c.calling != CALLING_NONE && c.count;
}

/* A tool holds functions and nothing else: the others are run by Google. */
static bool tool_accepts(yyjson_val *tool, size_t index, const struct conversation_model *m,
                         struct violation *why)
{
    char path[VIOLATION_PATH_BYTES];
    yyjson_val *key, *value;
    size_t i, max;

    yyjson_obj_foreach(tool, i, max, key, value)
    {
        if (yyjson_is_null(value) || field_named("functionDeclarations", json_str(key)))
            continue;
        (void)snprintf(path, sizeof path, "tools[%zu].%.*s", index, STR_ARG(json_str(key)));
        return cannot_take(why, m, "tools that a server of Google's runs", path);
    }
    return true;
}

static bool choice_accepts(const struct request *r, struct violation *why)
{
    static const char at[] = "toolConfig.functionCallingConfig";
    const struct function_choice c = function_choice_of(r);
    yyjson_val *config = request_field(r->tool_config, "functionCallingConfig");

    if (yyjson_is_true(request_field(config, "streamFunctionCallArguments")))
        return refuse(why, "Arguments of a call come as a whole.", "Remove the field.",
                      "%s.streamFunctionCallArguments", at);
    if (values_of(c.allowed).count > FUNCTIONS_ALLOWED_MAX)
        return refuse(why, "There are too many names of allowed functions.",
                      "Name at most 512, or none: then all are allowed.", "%s.allowedFunctionNames",
                      at);
    if (c.calling == CALLING_NONE)
        return true;
    if (c.count > LOCAL_FUNCTIONS_MAX)
        return refuse(why, "There are too many functions for one request.",
                      "Declare at most 128, or name those that are allowed.", "tools");
    if (c.declared && !c.count)
        return refuse(why, "None of the allowed functions is declared.",
                      "Declare one of them, or remove allowedFunctionNames.",
                      "%s.allowedFunctionNames", at);
    if (!c.count && c.calling == CALLING_ANY)
        return refuse(why, "A function must be called, but none is declared.",
                      "Declare it in tools, or remove the mode.", "%s.mode", at);
    return true;
}

static bool function_accepts(const struct request *r, const struct function *f,
                             struct violation *why)
{
    struct functions it = functions_of(r);
    struct function other;
    struct arena arena = { 0 };
    struct schema_fault fault;

    while (functions_next(&it, &other) && other.object != f->object)
        if (str_eq(other.name, f->name))
            return refuse(why, "A function of this name is declared before.",
                          "Give each function a name of its own.",
                          "tools[%zu].functionDeclarations[%zu].name", f->tool, f->index);
    if (str_eq_c(json_str(request_field(f->object, "behavior")), "NON_BLOCKING"))
        return refuse(why, "A non-blocking function cannot be called in a batch.",
                      "Remove behavior.", "tools[%zu].functionDeclarations[%zu].behavior", f->tool,
                      f->index);
    struct schema *s = function_schema_read(f, SCHEMA_CHECK, &arena, &fault);
    bool read = s != NULL;
    schema_free(s);
    arena_release(&arena);
    return read || refuse(why, fault.message, fault.remedy, "%s", fault.path);
}

static bool functions_accept(const struct request *r, const struct conversation_model *m,
                             struct violation *why)
{
    struct values tools = values_of(r->tools);
    struct functions it = functions_of(r);
    struct function f;
    yyjson_val *tool;

    while ((tool = values_next(&tools)))
        if (!tool_accepts(tool, tools.index - 1, m, why))
            return false;
    if (!choice_accepts(r, why))
        return false;
    if (!conversation_may_call(r))
        return true;
    if (!calls_none(m, why, "tools"))
        return false;
    if (r->generation.form != ANSWER_TEXT)
        return refuse(why, "An answer cannot both have a schema and call functions.",
                      "Leave tools or responseMimeType out, or write mode NONE.",
                      "generationConfig.responseMimeType");
    while (functions_next(&it, &f))
        if (!function_accepts(r, &f, why))
            return false;
    return true;
}

bool conversation_accepts(const struct request *r, const struct conversation_model *m,
                          struct violation *why)
{
    char path[64];

    if (r->kind == REQUEST_EMBED) {
        (void)cannot_take(why, m, "requests for embeddings", "content");
        (void)snprintf(why->remedy, sizeof why->remedy,
                       "Use a model that makes embeddings; to generate, write contents.");
        return false;
    }
    if (!request_wants_text(r, why) || !functions_accept(r, m, why))
        return false;
    struct conversation_model reads = *m;
    reads.takes_media = false;
    if (r->system && !content_accepts(r->system, &reads, "systemInstruction", why))
        return false;
    for (uint32_t i = 0; i < r->content_count; i++) {
        (void)snprintf(path, sizeof path, "contents[%u]", i);
        if (!content_accepts(&r->content[i], m, path, why))
            return false;
    }
    return true;
}

/* ---- Texts ---- */

static bool is_shown(const struct part *p)
{
    return (p->kind == PART_TEXT && !p->thought) || is_media(p);
}

static struct str text_of(const struct part *p)
{
    return is_media(p) ? STR(CHAT_MEDIA_MARK) : p->text;
}

static uint32_t shown_parts(const struct content *c)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < c->part_count; i++)
        count += is_shown(&c->part[i]);
    return count;
}

/* The texts of a turn as one. */
static struct str joined(const struct content *c, struct arena *a)
{
    size_t bytes = 0, at = 0;
    uint32_t count = shown_parts(c);

    if (!count)
        return STR("");
    for (uint32_t i = 0; i < c->part_count; i++) {
        if (!is_shown(&c->part[i]))
            continue;
        if (count == 1)
            return text_of(&c->part[i]);
        bytes +=
            text_of(&c->part[i]).len + strlen(TEXT_JOIN); /* at most the line's length, twice */
    }
    char *text = arena_alloc_raw(a, bytes + 1);
    for (uint32_t i = 0; i < c->part_count; i++) {
        struct str t = text_of(&c->part[i]);
        if (!is_shown(&c->part[i]))
            continue;
        if (at) {
            // NOLINTNEXTLINE(bugprone-not-null-terminated-result): the end is set below
            memcpy(text + at, TEXT_JOIN, strlen(TEXT_JOIN));
            at += strlen(TEXT_JOIN);
        }
        if (t.len)
            memcpy(text + at, t.p, t.len);
        at += t.len;
    }
    return (struct str){ text, at };
}

/* ---- Messages ---- */

struct making {
    const struct request *r;
    struct call_style calls;
    struct arena *arena;
    struct chat_message *message; /* count of them, with room for all */
    uint32_t count;
};

static struct chat_message *message_add(struct making *m, struct str role, struct str text)
{
    m->message[m->count] = (struct chat_message){ .role = role, .text = text };
    return &m->message[m->count++];
}

static struct str in_arena(struct making *m, struct buf *text)
{
    struct str copy = { arena_copy(m->arena, text->p ? text->p : "", text->len), text->len };

    buf_release(text);
    return copy;
}

static struct str name_of(const struct part *p)
{
    return json_str(request_field(p->object, "name"));
}

static struct str json_of(struct making *m, const struct part *p, const char *member)
{
    yyjson_val *v = request_field(p->object, member);

    return v ? json_text(m->arena, v) : STR("{}");
}

static uint32_t parts_of(const struct content *c, enum part_kind kind)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < c->part_count; i++)
        count += c->part[i].kind == kind;
    return count;
}

/* A turn's calls for a template that writes them. Llama's takes one a message. */
static void add_calls(struct making *m, const struct content *c, struct str text, uint32_t count)
{
    struct chat_call *call = arena_array(m->arena, count, sizeof *call);
    uint32_t at = 0;

    for (uint32_t i = 0; i < c->part_count; i++) {
        const struct part *p = &c->part[i];
        if (p->kind == PART_FUNCTION_CALL)
            call[at++] = (struct chat_call){ name_of(p), json_of(m, p, "args"),
                                             json_str(request_field(p->object, "id")) };
    }
    uint32_t each = m->calls.format == CALLS_LLAMA3 ? 1 : count;
    for (uint32_t i = 0; i < count; i += each) {
        struct chat_message *message = message_add(m, STR("assistant"), i ? STR("") : text);
        message->call = call + i;
        message->call_count = each;
    }
}

/* The same as text. */
static void add_written_calls(struct making *m, const struct content *c, struct str text,
                              uint32_t count)
{
    struct buf out = BUF_INIT(TEXT_BYTES_MAX);
    uint32_t at = 0;

    buf_add_str(&out, text);
    buf_add_c(&out, text.len ? "\n" : "");
    for (uint32_t i = 0; i < c->part_count; i++) {
        const struct part *p = &c->part[i];
        if (p->kind != PART_FUNCTION_CALL)
            continue;
        const struct call_text call = { name_of(p), json_of(m, p, "args"), at == 0,
                                        at + 1 == count };
        call_write(m->calls.format, &call, &out);
        at++;
    }
    (void)message_add(m, STR("assistant"), in_arena(m, &out));
}

static void add_model(struct making *m, const struct content *c)
{
    uint32_t calls = parts_of(c, PART_FUNCTION_CALL);
    struct str text = joined(c, m->arena);

    if (calls && m->calls.in_template)
        add_calls(m, c, text, calls);
    else if (calls)
        add_written_calls(m, c, text, calls);
    else if (shown_parts(c))
        (void)message_add(m, STR("assistant"), text);
}

/* The responses of a turn as text. */
static void write_responses(struct making *m, const struct content *c, uint32_t count,
                            struct buf *out)
{
    uint32_t at = 0;

    for (uint32_t i = 0; i < c->part_count; i++) {
        const struct part *p = &c->part[i];
        if (p->kind != PART_FUNCTION_RESPONSE)
            continue;
        call_response_write(
            &(struct call_text){ name_of(p), json_of(m, p, "response"), at == 0, at + 1 == count },
            out);
        at++;
    }
}

static void add_user(struct making *m, const struct content *c)
{
    uint32_t responses = parts_of(c, PART_FUNCTION_RESPONSE);
    struct str text = joined(c, m->arena);

    if (responses && !m->calls.in_template) {
        struct buf out = BUF_INIT(TEXT_BYTES_MAX);
        write_responses(m, c, responses, &out);
        buf_add_c(&out, text.len ? "\n" : "");
        buf_add_str(&out, text);
        (void)message_add(m, STR("user"), in_arena(m, &out));
        return;
    }
    for (uint32_t i = 0; responses && i < c->part_count; i++) {
        const struct part *p = &c->part[i];
        if (p->kind != PART_FUNCTION_RESPONSE)
            continue;
        struct chat_message *tool = message_add(m, STR("tool"), json_of(m, p, "response"));
        tool->name = name_of(p);
        tool->id = json_str(request_field(p->object, "id"));
    }
    if (shown_parts(c))
        (void)message_add(m, STR("user"), text);
}

/* ---- Functions for the model ---- */

/* The schema of a function's arguments as JSON Schema. */
static int parameters_of(const struct function *f, struct arena *a, struct str *out,
                         struct error *e)
{
    struct buf text = BUF_INIT(SCHEMA_BYTES_MAX);
    int rc = 0;

    *out = STR("{\"type\":\"object\",\"properties\":{}}");
    if (!f->schema)
        return 0;
    if (f->dialect == SCHEMA_JSON) {
        *out = json_text(a, f->schema);
        return 0;
    }
    rc = schema_to_json_schema(f->schema, &text, e);
    if (rc == 0)
        *out = (struct str){ arena_copy(a, text.p, text.len), text.len };
    buf_release(&text);
    return rc;
}

static int functions_make(const struct request *r, struct arena *a, struct chat *out,
                          struct error *e)
{
    const struct function_choice choice = function_choice_of(r);
    struct functions it = functions_of(r);
    struct chat_function *all = arena_array(a, choice.count + 1, sizeof *all);
    struct function f;

    while (functions_next(&it, &f)) {
        struct chat_function *to = &all[out->function_count];
        if (!function_allowed(&choice, f.name))
            continue;
        to->name = f.name;
        to->description = function_description(&f, a);
        if (parameters_of(&f, a, &to->parameters, e) < 0)
            return error_wrap(e, "the parameters of %.*s", STR_ARG(f.name));
        out->function_count++;
    }
    out->function = all;
    return 0;
}

/* The declarations as a JSON array, as templates write them. */
static void declarations_write(const struct chat *chat, struct buf *out)
{
    struct json_writer w = JSON_WRITER(out);

    assert(chat->function);
    w.spaced = true;
    json_array(&w, NULL);
    for (uint32_t i = 0; i < chat->function_count; i++) {
        const struct chat_function *f = &chat->function[i];
        json_object(&w, NULL);
        json_add_c(&w, "type", "function");
        json_object(&w, "function");
        json_add_text(&w, "name", f->name);
        json_add_text(&w, "description", f->description);
        json_add_raw(&w, "parameters", f->parameters);
        json_end(&w);
        json_end(&w);
    }
    json_end(&w);
}

/* The system message's text, with the functions where no template writes them. */
static struct str system_text(struct making *m, struct chat *chat)
{
    struct str text = m->r->system ? joined(m->r->system, m->arena) : STR("");
    struct buf out = BUF_INIT(TEXT_BYTES_MAX), functions = BUF_INIT(TEXT_BYTES_MAX);

    if (!chat->function_count || m->calls.in_template)
        return text;
    buf_add_str(&out, text);
    buf_add_c(&out, text.len ? "\n\n" : "");
    declarations_write(chat, &functions);
    call_system_write(m->calls.format, buf_str(&functions), &out);
    buf_release(&functions);
    chat->function_count = 0;
    return in_arena(m, &out);
}

/* ---- The whole ---- */

static uint32_t messages_room(const struct request *r)
{
    uint32_t room = r->content_count + 1;

    for (uint32_t i = 0; i < r->content_count; i++)
        if (r->content[i].part_count > 1)
            room += r->content[i].part_count;
    return room;
}

int conversation_make(const struct request *r, const struct conversation_model *model,
                      struct arena *a, struct chat *out, struct error *e)
{
    struct making m = { .r = r, .calls = model->calls, .arena = a };

    *out = (struct chat){ .thinking = thinking_asked(r).thinking };
    if (conversation_may_call(r) && functions_make(r, a, out, e) < 0)
        return -1;
    m.message = arena_array(a, messages_room(r), sizeof *m.message);
    struct str system = system_text(&m, out);
    if (system.len || (r->system && shown_parts(r->system)))
        (void)message_add(&m, STR("system"), system);
    for (uint32_t i = 0; i < r->content_count; i++) {
        const struct content *c = &r->content[i];
        uint32_t first = m.count,
                 marks = parts_of(c, PART_INLINE_DATA) + parts_of(c, PART_FILE_DATA);
        bool by_model = c->role == ROLE_MODEL;
        if (by_model)
            add_model(&m, c);
        else
            add_user(&m, c);
        if (marks) /* calls stand behind the text, responses before it */
            m.message[by_model ? first : m.count - 1].media_count = marks;
    }
    out->message = m.message;
    out->message_count = m.count;
    return 0;
}
