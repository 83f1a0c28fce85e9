#include "format/tools/call_parse.h"

#include "base/json.h"

/* ---- Arguments ---- */

/* True when v has more than this many levels of arrays and objects. */
static bool is_deeper(yyjson_val *v, unsigned levels)
{
    yyjson_val *child = yyjson_is_ctn(v) ? unsafe_yyjson_get_first(v) : NULL;
    size_t count = yyjson_is_ctn(v) ? unsafe_yyjson_get_len(v) : 0;

    if (yyjson_is_ctn(v) && levels == 0)
        return true;
    for (size_t i = 0; i < count; i++) {
        yyjson_val *value = yyjson_is_obj(v) ? unsafe_yyjson_get_next(child) : child;
        if (is_deeper(value, levels - 1))
            return true;
        child = unsafe_yyjson_get_next(value);
    }
    return false;
}

yyjson_val *call_arguments_read(struct arena *a, yyjson_val *arguments, struct error *e)
{
    struct str text = str_trim(json_str(arguments));
    size_t at = 0;

    if (!arguments || yyjson_is_null(arguments) || (yyjson_is_str(arguments) && !text.len))
        text = STR("{}");
    yyjson_val *v = text.len ? json_parse(a, text, &at, e) : arguments;
    if (!v)
        return NULL;
    if (!yyjson_is_obj(v))
        (void)error_set(e, ERROR_INTERNAL, "They are not an object");
    else if (is_deeper(v, CALL_ARGS_DEPTH_MAX))
        (void)error_set(e, ERROR_INTERNAL, "They are nested more than %d deep",
                        CALL_ARGS_DEPTH_MAX);
    else
        return v;
    return NULL;
}

/* ---- Parts ---- */

struct parsing {
    enum call_format format;
    struct arena *arena;
    struct str text;
    size_t at;
    bool cut;
    struct parsed_parts *out;
    struct error *why;
};

static struct response_part *part_add(struct parsing *p)
{
    struct parsed_parts *out = p->out;

    out->item = arena_list_grow(p->arena, out->item, out->count, sizeof *out->item);
    out->item[out->count] = (struct response_part){ 0 };
    return &out->item[out->count++];
}

static void text_add(struct parsing *p, struct str text)
{
    if (str_trim(text).len)
        *part_add(p) = (struct response_part){ .kind = RESPONSE_TEXT, .text = str_trim(text) };
}

/* One past the JSON object or array that begins at `at`, by its brackets and strings; SIZE_MAX when it does not
 * end. */
static size_t value_end(struct str text, size_t at)
{
    bool in_string = false;
    size_t depth = 0;

    for (; at < text.len; at++) {
        char c = text.p[at];
        if (in_string) {
            at += c == '\\';
            in_string = c != '"';
            continue;
        }
        in_string = c == '"';
        depth += c == '{' || c == '[';
        if ((c == '}' || c == ']') && --depth == 0)
            return at + 1;
    }
    return SIZE_MAX;
}

static yyjson_val *arguments_of(const struct parsing *p, yyjson_val *call)
{
    yyjson_val *v = json_get(call, call_arguments_key(p->format));

    if (!v)
        v = json_get(call, "arguments");
    return v ? v : json_get(call, "parameters");
}

static bool call_add(struct parsing *p, yyjson_val *call)
{
    struct str name = json_str(json_get(call, "name"));
    struct error broken = { 0 };

    if (!name.len) {
        (void)error_set(p->why, ERROR_INTERNAL, "A call has no name.");
        return false;
    }
    if (p->out->calls == CALLS_MAX) {
        (void)error_set(p->why, ERROR_INTERNAL, "There are more than %d calls.", CALLS_MAX);
        return false;
    }
    yyjson_val *args = call_arguments_read(p->arena, arguments_of(p, call), &broken);
    if (!args) {
        (void)error_set(p->why, ERROR_INTERNAL, "The arguments of %.64s cannot be read: %s.",
                        name.p, broken.msg);
        return false;
    }
    *part_add(p) = (struct response_part){ .kind = RESPONSE_CALL,
                                           .name = name,
                                           .args = json_text(p->arena, args) };
    p->out->calls++;
    return true;
}

/* The object at p->at, which then stands behind it. */
static bool object_add(struct parsing *p)
{
    size_t begin = json_space(p->text, p->at), wrong = 0;
    bool opens = begin < p->text.len && p->text.p[begin] == '{';
    size_t end = opens ? value_end(p->text, begin) : SIZE_MAX;
    struct error broken = { 0 };
    yyjson_val *v = NULL;

    if (end != SIZE_MAX)
        v = json_parse(p->arena, str_sub(p->text, begin, end - begin), &wrong, &broken);
    if (!v) {
        (void)error_set(p->why, ERROR_INTERNAL, "A call is not a JSON object%s%s.",
                        broken.msg[0] ? ": " : "", broken.msg);
        return false;
    }
    p->at = end;
    return call_add(p, v);
}

/* Takes a character, with the white space before it, if it comes next. */
static bool next_is(struct parsing *p, char c)
{
    size_t at = json_space(p->text, p->at);

    if (at >= p->text.len || p->text.p[at] != c)
        return false;
    p->at = at + 1;
    return true;
}

/* The object or the list of objects at p->at, which then stands behind it. The objects of a list stay when the list
 * is cut. */
static bool value_add(struct parsing *p)
{
    if (!next_is(p, '['))
        return object_add(p);
    if (next_is(p, ']'))
        return true;
    do {
        if (!object_add(p))
            return false;
    } while (next_is(p, ','));
    if (next_is(p, ']'))
        return true;
    (void)error_set(p->why, ERROR_INTERNAL, "A list of calls does not end.");
    return false;
}

/* ---- Calls between tags ---- */

static bool tagged_parse(struct parsing *p)
{
    static const struct str begin = STR_INIT("<tool_call>"), end = STR_INIT("</tool_call>");

    while (p->at < p->text.len) {
        struct str rest = str_sub(p->text, p->at, SIZE_MAX);
        size_t found = str_find(rest, begin);
        text_add(p, str_sub(rest, 0, found));
        if (found == SIZE_MAX)
            return true;
        p->at += found + begin.len;
        p->out->begun = true;
        if (!value_add(p))
            return false;
        p->at = json_space(p->text, p->at); /* models leave the last end out */
        if (str_starts(str_sub(p->text, p->at, SIZE_MAX), end))
            p->at += end.len;
    }
    return true;
}

/* ---- Calls that are the whole answer ---- */

/* The inner text of one fenced block that is all of the text, or the text itself. */
static struct str unfenced(struct str text)
{
    static const struct str fence = STR_INIT("```");
    size_t line = str_find(text, STR("\n"));

    if (!str_starts(text, fence) || !str_ends(text, fence) || line == SIZE_MAX ||
        text.len < line + 1 + fence.len)
        return text;
    return str_trim(str_sub(text, line, text.len - line - fence.len));
}

/* An answer in JSON is a call when its first object has a name and arguments; the name comes first, as the
 * format has it. */
static bool looks_like_call(const struct parsing *p)
{
    struct str s = p->text;
    size_t at = json_space(s, 0);

    if (at < s.len && s.p[at] == '[')
        at = json_space(s, at + 1);
    if (at >= s.len || s.p[at] != '{')
        return false;
    at = json_space(s, at + 1);
    if (!str_starts(str_sub(s, at, SIZE_MAX), STR("\"name\"")))
        return false;
    return p->cut || str_find(s, STR("\"parameters\"")) != SIZE_MAX ||
           str_find(s, STR("\"arguments\"")) != SIZE_MAX;
}

static bool bare_parse(struct parsing *p)
{
    struct str whole = p->text;

    p->text = unfenced(str_trim(whole));
    if (!looks_like_call(p)) {
        text_add(p, whole);
        return true;
    }
    p->out->begun = true;
    while (value_add(p)) {
        (void)(next_is(p, ';') || next_is(p, ','));
        if (json_space(p->text, p->at) == p->text.len)
            return true;
    }
    return false;
}

bool calls_parse(enum call_format f, struct arena *a, struct str answer, bool cut,
                 struct parsed_parts *out, struct error *why)
{
    struct parsing p = {
        .format = f, .arena = a, .text = answer, .cut = cut, .out = out, .why = why
    };

    *out = (struct parsed_parts){ 0 };
    if (f == CALLS_NONE) {
        text_add(&p, answer);
        return true;
    }
    return (call_marker_of(f).first ? bare_parse(&p) : tagged_parse(&p)) || cut;
}
