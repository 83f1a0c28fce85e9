#include "format/row.h"

#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/json_write.h"
#include "base/mem.h"

/* The error in a whole status that row_status wrote. */
struct row_error {
    enum error_code code;
    struct str message; /* as JSON, in its quotes; in the status */
};

/* False when it is another text. */
static bool error_read(struct str status, struct row_error *out)
{
    static const struct str before = STR_INIT(": {\"error\": "), after = STR_INIT("\"}}");
    char name[32];
    size_t at = str_find(status, before);

    if (at == SIZE_MAX || !str_ends(status, after))
        return false;
    struct str error = json_member_value(str_sub(status, at + 2, status.len), STR("error"));
    struct str message = json_member_value(error, STR("message"));
    struct str wire = json_member_value(error, STR("status"));
    if (message.len < 2 || message.p[0] != '"' || wire.len < 3 || wire.len > sizeof name)
        return false;
    memcpy(name, wire.p + 1, wire.len - 2);
    name[wire.len - 2] = '\0';
    if (!error_from_name(name, &out->code))
        return false;
    out->message = message;
    return true;
}

/* True when a value of the line is nested deeper than a request may be, and than many readers of JSON go. */
static bool too_deep(struct str json)
{
    unsigned depth = 0;

    for (size_t i = 0; i < json.len; i++) {
        char c = json.p[i];
        if (c == '"') {
            for (i++; i < json.len && json.p[i] != '"'; i++)
                i += json.p[i] == '\\';
        } else if (c == '[' || c == '{') {
            if (++depth > JSON_DEPTH_MAX)
                return true;
        } else if (c == ']' || c == '}') {
            depth--;
        }
    }
    return false;
}

/* A value as the line has it. Only a line that failed can be too deep: its value is then quoted, so that
 * any reader of JSON can read the row. */
static void add_echo(struct json_writer *w, struct str value, const struct row *r)
{
    if (r->status.len && too_deep(value))
        json_add_text(w, NULL, value);
    else
        json_add_raw(w, NULL, value);
}

/* The response or, of a failed line, an empty object. */
static void add_response(struct json_writer *w, const struct row *r)
{
    json_add_raw(w, "response", r->response.len ? r->response : STR("{}"));
}

/* The time of an answer that was made before. */
static void add_reused(struct json_writer *w, const struct row *r)
{
    char time[CLOCK_TEXT_BYTES];

    if (!r->answered_us)
        return;
    clock_format_row(r->answered_us, time);
    json_add_c(w, "reused_from", time);
}

static void add_vertex(struct json_writer *w, const struct input_line *in, struct str line,
                       const struct row *r)
{
    char time[CLOCK_TEXT_BYTES];

    clock_format_row(r->processed_us, time);
    for (uint32_t i = 0; i < in->sibling_count; i++) {
        json_key_raw(w, in->sibling[i].key);
        add_echo(w, in->sibling[i].value, r);
    }
    json_add_text(w, "status", r->status);
    json_add_c(w, "processed_time", time);
    add_reused(w, r);
    json_key(w, STR("request"));
    if (in->request_text.len)
        add_echo(w, in->request_text, r);
    else
        json_add_text(w, NULL, line);
    add_response(w, r);
}

/* The answer to an instance, which the response has in the other form. */
static void add_prediction(struct json_writer *w, struct str response)
{
    struct str usage = json_member_value(response, STR("usageMetadata"));
    struct str tokens = json_member_value(usage, STR("promptTokenCount"));
    struct str values =
        json_member_value(json_member_value(response, STR("embedding")), STR("values"));
    struct str truncated = json_member_value(response, STR("truncated"));

    json_object(w, NULL);
    json_object(w, "embeddings");
    json_object(w, "statistics");
    json_add_raw(w, "token_count", tokens.len ? tokens : STR("0"));
    json_add_bool(w, "truncated", str_eq_c(truncated, "true"));
    json_end(w);
    json_add_raw(w, "values", values.len ? values : STR("[]"));
    json_end(w);
    json_end(w);
}

static void add_instance(struct json_writer *w, const struct input_line *in, const struct row *r)
{
    json_key(w, STR("instance"));
    add_echo(w, in->request_text, r);
    json_array(w, "predictions");
    if (r->status.len == 0)
        add_prediction(w, r->response);
    json_end(w);
    json_add_text(w, "status", r->status);
    add_reused(w, r);
}

/* A status of another form is the message as a whole. */
static void add_answer(struct json_writer *w, const struct row *r)
{
    struct row_error error = { .code = ERROR_UNKNOWN };

    if (r->status.len == 0) {
        add_response(w, r);
        return;
    }
    bool read = error_read(r->status, &error);
    json_object(w, "error");
    json_add_int(w, "code", error_rpc(error.code));
    if (read)
        json_add_raw(w, "message", error.message);
    else
        json_add_text(w, "message", r->status);
    if (r->style == ROW_KEYED)
        json_add_c(w, "status", error_name(error.code));
    json_end(w);
}

/* The value of the sibling "metadata" as written; empty when there is none. */
static struct str metadata_of(const struct input_line *in)
{
    for (uint32_t i = 0; i < in->sibling_count; i++)
        if (str_eq_c(in->sibling[i].key, "metadata"))
            return in->sibling[i].value;
    return (struct str){ 0 };
}

static void add_keyed(struct json_writer *w, const struct input_line *in, const struct row *r)
{
    struct str metadata = metadata_of(in);

    if (in->key.len) {
        json_key(w, STR("key"));
        add_echo(w, in->key, r);
    }
    if (metadata.len) {
        json_key(w, STR("metadata"));
        add_echo(w, metadata, r);
    }
    add_answer(w, r);
    add_reused(w, r);
}

/* Strings as they are, all else as the text of its JSON. */
static void add_inlined(struct json_writer *w, const struct input_line *in, const struct row *r)
{
    struct str metadata = metadata_of(in);
    struct json_member m = { 0 };

    add_answer(w, r);
    add_reused(w, r);
    if (metadata.len == 0 || metadata.p[0] != '{')
        return;
    json_object(w, "metadata");
    while (json_member_next(metadata, &m)) {
        json_key_raw(w, m.key);
        if (m.value.p[0] == '"')
            json_add_raw(w, NULL, m.value);
        else
            json_add_text(w, NULL, m.value);
    }
    json_end(w);
}

void row_write(const struct input_line *in, struct str line, const struct row *r, struct buf *out)
{
    struct json_writer w = JSON_WRITER(out);

    json_object(&w, NULL);
    switch (r->style) {
    case ROW_VERTEX:
        if (in->instance)
            add_instance(&w, in, r);
        else
            add_vertex(&w, in, line, r);
        break;
    case ROW_KEYED:
        add_keyed(&w, in, r);
        break;
    case ROW_INLINED:
        add_inlined(&w, in, r);
        break;
    }
    json_end(&w);
    buf_add_char(out, '\n');
}

void row_status(enum error_code code, struct str message, struct buf *out)
{
    struct json_writer w = JSON_WRITER(out);

    buf_add_c(out, error_phrase(code));
    buf_add_c(out, ": ");
    w.spaced = true;
    json_object(&w, NULL);
    json_object(&w, "error");
    json_add_int(&w, "code", error_http(code));
    json_add_text(&w, "message", message);
    json_add_c(&w, "status", error_name(code));
    json_end(&w);
    json_end(&w);
}

/* The text of a JSON string value, decoded into the arena. */
static bool decode(struct arena *a, struct str value, struct str *out)
{
    struct error e = { 0 };
    size_t at;
    yyjson_val *v = json_parse(a, value, &at, &e);

    if (!v || !yyjson_is_str(v))
        return false;
    *out = json_str(v);
    return true;
}

struct str row_status_text(struct arena *a, struct str status)
{
    struct row_error error;
    struct str message;

    if (!error_read(status, &error) || !decode(a, error.message, &message))
        return status;
    return str_of(arena_textf(a, "%s: %.*s", error_name(error.code), STR_ARG(message)));
}

bool row_read(struct arena *a, struct str line, struct row_parts *out)
{
    struct json_member m = { 0 };
    struct str status = { 0 }, time = { 0 };
    const struct {
        const char *name;
        struct str *value;
    } wanted[] = {
        { "status", &status },
        { "processed_time", &time },
        { "request", &out->request },
        { "response", &out->response },
    };

    *out = (struct row_parts){ 0 };
    while (json_member_next(line, &m)) {
        for (size_t i = 0; i < ARRAY_LEN(wanted); i++)
            if (str_eq_c(m.key, wanted[i].name))
                *wanted[i].value = m.value;
    }
    return status.len && time.len && out->request.len && out->response.len &&
           decode(a, status, &out->status) && decode(a, time, &out->processed_time);
}
