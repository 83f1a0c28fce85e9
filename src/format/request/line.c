/* line.c -- what is around a request on its line: the wrapper, its sibling keys, a row of
 * an earlier output, or nothing.
 *
 * Why: rows carry the line's own keys and the request as they were written, so their spans are
 * taken from the text even when the request in it is wrong.
 */
#include "format/request/request.h"

#include <stdio.h>
#include <string.h>

#include "base/json_write.h"
#include "base/mem.h"
#include "format/request/fields.h"

/* Keys of an output row: in an input they would stand there twice. */
static const char *const row_keys[] = { "status", "processed_time", "reused_from", "response" };

/* A file that is JSON as a whole, over many lines or as one array, is known by the line alone. */
static const char *remedy_of_broken(struct str text)
{
    struct str line = str_trim(text);

    if (str_starts(line, STR("[")))
        return "Is the file one JSON array? Write each element on a line of its own, as "
               "`jq -c '.[]'` does.";
    if (str_eq_c(line, "{"))
        return "Does the JSON stand over many lines? Write each request on one line, as `jq -c .` "
               "does.";
    return "Write one JSON object on the line: {\"request\": {\"contents\": [...]}}.";
}

/* The line as an object, or NULL and a violation. */
static yyjson_val *line_parse(struct check *c, struct arena *a)
{
    struct error e = { .code = ERROR_OK };
    size_t at = 0;
    yyjson_val *root = json_parse(a, c->line, &at, &e);

    if (root && yyjson_is_obj(root))
        return root;
    struct violation *v = check_fail_at(c, (struct str){ 0 });
    if (root) {
        violation_message(v, "The line is JSON, but not an object.");
    } else {
        v->offset = at;
        violation_message(v, "%s.", e.msg);
    }
    violation_remedy(v, "%s", remedy_of_broken(c->line));
    return NULL;
}

/* A fault that the parser lets pass; true when there is none. within: "request", or empty for a line. */
static bool structure_check(struct check *c, yyjson_val *root, struct str within)
{
    struct error e = { .code = ERROR_OK };
    struct buf path = BUF_INIT(c->line.len * 6 + 64), whole = BUF_INIT(c->line.len * 6 + 128);

    if (json_check(root, &path, &e) == 0)
        return true;
    buf_add_str(&whole, within);
    if (within.len && path.p[0] != '[')
        buf_add_char(&whole, '.');
    buf_add_str(&whole, buf_str(&path));
    struct violation *v = check_fail_at(c, buf_str(&whole));
    violation_message(v, "%s.", e.msg);
    violation_remedy(v, "Remove what is too much.");
    buf_release(&path);
    buf_release(&whole);
    return false;
}

static bool is_row_key(struct str key)
{
    for (size_t i = 0; i < ARRAY_LEN(row_keys); i++)
        if (str_eq_c(key, row_keys[i]))
            return true;
    return false;
}

/* Keeps one member's span; room is how many siblings out has place for. */
static void member_take(struct input_line *out, uint32_t room, struct str name,
                        const struct json_member *m)
{
    if (str_eq_c(name, "request"))
        out->request_text = m->value;
    else if (!is_row_key(name) && out->sibling_count < room)
        out->sibling[out->sibling_count++] = (struct sibling){ m->key, m->value };
    if (str_eq_c(name, "key"))
        out->key = m->value;
}

/* Finds the request and its siblings. The members of the text and of the parsed object come
 * in the same order, which spares decoding keys. */
static void spans_take(struct arena *a, struct str text, yyjson_val *root, struct input_line *out)
{
    yyjson_obj_iter it = yyjson_obj_iter_with(root);
    size_t room = yyjson_obj_size(root);
    struct json_member m = { 0 };
    yyjson_val *key;

    room = room < LINE_SIBLINGS_MAX ? room : LINE_SIBLINGS_MAX;
    out->sibling = arena_array(a, room, sizeof *out->sibling);
    while ((key = yyjson_obj_iter_next(&it))) {
        if (!(yyjson_obj_iter_has_next(&it) ? json_member_next : json_member_last)(text, &m))
            break; /* never, as the text is known to be right */
        member_take(out, (uint32_t)room, json_str(key), &m);
    }
}

/* A key's characters: as it stands, or decoded into the arena. */
static struct str key_name(struct arena *a, struct str key)
{
    struct error e = { 0 };
    size_t at = 0;

    if (!key.len || !memchr(key.p, '\\', key.len))
        return key;
    return json_str(json_parse(a, (struct str){ key.p - 1, key.len + 2 }, &at, &e));
}

static void take_instance(const struct line_rules *rules, struct input_line *out)
{
    struct str content = json_member_value(out->request_text, STR("content"));

    out->instance = !rules->online && content.len && content.p[0] == '"';
}

bool request_line_spans(struct arena *a, struct str text, struct str request,
                        const struct line_rules *rules, struct input_line *out)
{
    struct json_member m = { 0 };

    *out = (struct input_line){ .request_text = request };
    if (request.len && request.p == str_trim(text).p) { /* a bare request has no siblings */
        take_instance(rules, out);
        return true;
    }
    if (request.len) {
        m.skip_from = (size_t)(request.p - text.p);
        m.skip_to = m.skip_from + request.len;
    }
    out->sibling = arena_alloc_raw(a, LINE_SIBLINGS_MAX * sizeof *out->sibling);
    while (json_member_next(text, &m))
        member_take(out, LINE_SIBLINGS_MAX, key_name(a, m.key), &m);
    if (!out->request_text.len) {
        *out = (struct input_line){ .request_text = str_trim(text) };
        take_instance(rules, out);
    }
    return !rules->from_output || out->request_text.p[0] != '"';
}

static void siblings_check(struct check *c, const struct line_rules *rules, yyjson_val *root)
{
    yyjson_obj_iter it = yyjson_obj_iter_with(root);
    yyjson_val *key;

    while ((key = yyjson_obj_iter_next(&it))) {
        struct place here = { .key = json_str(key) };
        if (is_row_key(here.key) && !rules->from_output)
            violation_remedy(
                check_fail(c, &here, "%s is written by the service.", quote(here.key).text),
                "Rename it, or use --retry-failed to run an output file's failures "
                "again.");
        else if (it.idx == LINE_SIBLINGS_MAX + 2)
            violation_remedy(check_fail(c, &here, "More than %d keys stand beside the request.",
                                        LINE_SIBLINGS_MAX),
                             "Gather them in one object.");
    }
}

static bool is_bare_request(yyjson_val *root)
{
    yyjson_obj_iter it = yyjson_obj_iter_with(root);
    yyjson_val *key;

    if (request_message_of(root) == &embed_message)
        return true;
    /* Requests of other services name a model too. */
    while ((key = yyjson_obj_iter_next(&it)))
        if (!str_eq_c(json_str(key), "model") && message_field(&request_message, json_str(key)))
            return true;
    return false;
}

/* Keys under which lines of other services hold their request, and the remedy for each. */
static const struct {
    const char *key, *remedy;
} foreign[] = {
    { "body", "This looks like OpenAI's batch format: write the text of body.messages" },
    { "params", "This looks like Anthropic's batch format: write the text of params.messages" },
    { "messages", "Write the text of messages" },
    { "instances", "Write each instance on a line of its own" },
};

static const char *remedy_of_foreign(yyjson_val *root)
{
    for (size_t i = 0; i < ARRAY_LEN(foreign); i++)
        if (json_get(root, foreign[i].key))
            return foreign[i].remedy;
    return "Write the line";
}

static void neither_wrapped_nor_bare(struct check *c, yyjson_val *root)
{
    struct violation *v =
        check_fail(c, NULL, "The line has no \"request\" and is not a request itself.");
    yyjson_obj_iter it = yyjson_obj_iter_with(root);
    yyjson_val *key;

    violation_remedy(v, "%s as {\"request\": %s}.", remedy_of_foreign(root),
                     request_message.example);
    while ((key = yyjson_obj_iter_next(&it))) {
        struct quoted name = quote(json_str(key));
        if (str_distance(json_str(key), STR("request"), 2) <= 2)
            violation_remedy(v, "Rename %s to \"request\".", name.text);
        else if (is_bare_request(yyjson_obj_iter_get_val(key)))
            violation_remedy(v, "Put what is in %s under \"request\": {\"request\": {...}}.",
                             name.text);
    }
}

/* True for a setting of the request or of generationConfig. A column may well be called "model" or
 * "temperature", so a name of one word counts only with an object or a list of the request's. */
static bool is_setting(const struct message *m, struct str key, yyjson_val *value)
{
    const struct field *own = message_field(m, key);
    const struct field *f = own ? own : message_field(&generation_message, key);

    if (!f || yyjson_is_null(value))
        return false;
    if (strpbrk(f->name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
        return true;
    return own && (yyjson_is_obj(value) || (own->repeated && yyjson_is_arr(value)));
}

/* Settings that stand beside the request are echoed and have no effect, which nobody wants. */
static void settings_check(struct check *c, const struct line_rules *rules, const struct message *m,
                           yyjson_val *root)
{
    yyjson_obj_iter it = yyjson_obj_iter_with(root);
    yyjson_val *key;

    while ((key = yyjson_obj_iter_next(&it))) {
        struct place here = { .key = json_str(key) };
        yyjson_val *value = yyjson_obj_iter_get_val(key);
        bool config = str_eq_c(here.key, "config") && yyjson_is_obj(value);
        if (!config && !is_setting(m, here.key, value))
            continue;
        violation_remedy(check_fail(c, &here, "%s stands beside request and has no effect.",
                                    quote(here.key).text),
                         config ? "Write its members into request.generationConfig."
                         : message_field(m, here.key) ? "Move it into request."
                                                      : "Move it into request.generationConfig.");
    }
    if (rules->strict)
        return;
    c->bad->warnings = c->bad->count;
    c->bad->count = 0;
}

/* An output row whose "request" is a string: its line was no JSON object. The line is read again
 * and gives the same violations, all at the string. */
static void quoted_line_read(struct check *c, struct arena *a, struct str line,
                             struct input_line *out)
{
    static const struct line_rules plain = { .from_output = false };
    size_t offset = json_locate(c->line, STR("request"));
    struct input_line inner;

    if (request_read_line(a, line, &plain, &inner, c->bad)) {
        *out = inner;
        return;
    }
    for (unsigned i = 0; i < violations_held(c->bad); i++) {
        struct violation *v = &c->bad->item[i];
        v->offset = offset;
        (void)snprintf(v->path, sizeof v->path, "request");
    }
}

/* The message that the request is, or NULL when it is wrong. text: its object. */
static const struct message *request_read(struct check *c, struct arena *a, const struct place *at,
                                          yyjson_val *object, struct str text,
                                          struct input_line *out)
{
    if (!yyjson_is_obj(object)) {
        violation_remedy(check_fail(c, at, "request must be an object."),
                         "Write it as an object: %s.", request_message.example);
        return NULL;
    }
    const struct message *message = request_message_of(object);
    message_check(c, at, message, object);
    if (c->bad->count)
        return NULL;
    out->request = message == &embed_message ? embed_build(a, object) : request_build(a, object);
    out->request->text = text;
    return message;
}

/* The object in a request that is a string, or NULL. The text is the object's, on one line, as a row is
 * one line: the only line feeds of JSON are space between tokens. */
static yyjson_val *request_in_text(struct arena *a, yyjson_val *request, struct str *text)
{
    struct str written = str_trim(json_str(request));
    struct error e = { 0 };
    size_t at;

    if (!written.len || written.p[0] != '{')
        return NULL;
    char *line = arena_copy(a, written.p, written.len);
    for (size_t i = 0; i < written.len; i++)
        if (line[i] == '\n' || line[i] == '\r')
            line[i] = ' ';
    *text = (struct str){ line, written.len };
    yyjson_val *object = json_parse(a, *text, &at, &e);
    return yyjson_is_obj(object) ? object : NULL;
}

/* A request that is a string: its violations stand at the string, with their own paths. */
static const struct message *text_read(struct check *c, struct arena *a, yyjson_val *object,
                                       struct str text, struct input_line *out)
{
    const struct place at = { .key = STR("request") };
    size_t offset = json_locate(c->line, STR("request"));
    unsigned before = violations_held(c->bad);
    const struct message *m = NULL;

    if (structure_check(c, object, at.key))
        m = request_read(c, a, &at, object, text, out);
    for (unsigned i = before; i < violations_held(c->bad); i++)
        c->bad->item[i].offset = offset;
    return m;
}

static void wrapped_read(struct check *c, struct arena *a, const struct line_rules *rules,
                         yyjson_val *root, struct input_line *out)
{
    const struct place at = { .key = STR("request") };
    yyjson_val *request = json_get(root, "request"), *object = NULL;
    const struct message *m;
    struct str text = out->request_text;

    if (yyjson_is_str(request))
        object = request_in_text(a, request, &text);
    if (rules->from_output && yyjson_is_str(request) && (!object || !is_bare_request(object))) {
        quoted_line_read(c, a, json_str(request), out);
        return;
    }
    siblings_check(c, rules, root);
    m = object ? text_read(c, a, object, text, out) : request_read(c, a, &at, request, text, out);
    if (m)
        settings_check(c, rules, m, root);
    if (c->bad->count)
        out->request = NULL;
}

#define INSTANCE_MORE 64 /* bytes around the parts of an instance's content */

/* The text of an instance as a request: its content in a part. */
static struct str instance_request(struct arena *a, struct str instance)
{
    struct buf out = BUF_INIT(instance.len + INSTANCE_MORE);
    struct json_writer w = JSON_WRITER(&out);
    struct json_member m = { 0 };

    json_object(&w, NULL);
    while (json_member_next(instance, &m)) {
        json_key_raw(&w, m.key);
        if (!str_eq_c(key_name(a, m.key), "content")) {
            json_add_raw(&w, NULL, m.value);
            continue;
        }
        json_object(&w, NULL);
        json_object(&w, "parts");
        json_add_raw(&w, "text", m.value);
        json_end(&w);
        json_end(&w);
    }
    json_end(&w);
    struct str text = { arena_copy(a, out.p, out.len), out.len };
    buf_release(&out);
    return text;
}

static void bare_read(struct check *c, struct arena *a, const struct line_rules *rules,
                      yyjson_val *root, struct input_line *out)
{
    struct str text = out->request_text;
    struct error ignored = { 0 };
    size_t at;

    if (request_message_of(root) == &embed_message)
        take_instance(rules, out);
    if (out->instance) {
        text = instance_request(a, text);
        root = json_parse(a, text, &at, &ignored);
    }
    (void)request_read(c, a, NULL, root, text, out);
}

static void line_read(struct check *c, struct arena *a, const struct line_rules *rules,
                      yyjson_val *root, struct input_line *out)
{
    yyjson_val *request = json_get(root, "request");

    c->bare = !request;
    if (request)
        spans_take(a, c->line, root, out);
    else
        out->request_text = str_trim(c->line);
    if (!structure_check(c, root, (struct str){ 0 }))
        return;
    if (request)
        wrapped_read(c, a, rules, root, out);
    else if (is_bare_request(root))
        bare_read(c, a, rules, root, out);
    else
        neither_wrapped_nor_bare(c, root);
}

/* By position; insertion, as they are few and mostly in order. */
static void violations_order(struct violations *bad)
{
    for (unsigned i = 1; i < violations_held(bad); i++) {
        if (bad->item[i].offset >= bad->item[i - 1].offset)
            continue;
        struct violation moved = bad->item[i];
        unsigned j = i;
        for (; j > 0 && bad->item[j - 1].offset > moved.offset; j--)
            bad->item[j] = bad->item[j - 1];
        bad->item[j] = moved;
    }
}

bool request_read_line(struct arena *a, struct str text, const struct line_rules *rules,
                       struct input_line *out, struct violations *bad)
{
    struct check c = { .line = text, .bad = bad };

    *out = (struct input_line){ 0 };
    bad->count = bad->warnings = 0;
    yyjson_val *root = line_parse(&c, a);
    if (root)
        line_read(&c, a, rules, root, out);
    violations_order(bad);
    return bad->count == 0;
}
