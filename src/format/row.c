#include "format/row.h"

#include <string.h>

#include "base/mem.h"
#include "base/clock.h"

static void write_vertex(const struct input_line *in, struct str line, const struct row *r,
                         struct buf *out);
static void write_keyed(const struct input_line *in, const struct row *r, struct buf *out);
static void write_inlined(const struct input_line *in, const struct row *r, struct buf *out);

void row_write(const struct input_line *in, struct str line, const struct row *r, struct buf *out)
{
    switch (r->style) {
    case ROW_VERTEX:
        write_vertex(in, line, r, out);
        return;
    case ROW_KEYED:
        write_keyed(in, r, out);
        return;
    case ROW_INLINED:
        write_inlined(in, r, out);
        return;
    }
}

static void write_siblings(const struct input_line *in, struct buf *out)
{
    for (uint32_t i = 0; i < in->sibling_count; i++) {
        const struct sibling *s = &in->sibling[i];
        buf_add_char(out, '"');
        buf_add_str(out, s->key);
        buf_add(out, "\":", 2);
        buf_add_str(out, s->value);
        buf_add_char(out, ',');
    }
}

static void write_vertex(const struct input_line *in, struct str line, const struct row *r,
                         struct buf *out)
{
    char time[CLOCK_TEXT_BYTES];

    clock_format_row(r->processed_us, time);
    buf_add_char(out, '{');
    write_siblings(in, out);
    buf_add_c(out, "\"status\":");
    buf_add_json(out, r->status);
    buf_add_c(out, ",\"processed_time\":\"");
    buf_add_c(out, time);
    buf_add_c(out, "\",\"request\":");
    if (in->request_text.len)
        buf_add_str(out, in->request_text);
    else
        buf_add_json(out, line);
    buf_add_c(out, ",\"response\":");
    buf_add_str(out, r->response.len ? r->response : STR("{}"));
    buf_add(out, "}\n", 2);
}

/* The value of the sibling "metadata" as written; empty when there is none. */
static struct str metadata_of(const struct input_line *in)
{
    for (uint32_t i = 0; i < in->sibling_count; i++)
        if (str_eq_c(in->sibling[i].key, "metadata"))
            return in->sibling[i].value;
    return (struct str){ 0 };
}

/* "response":{...} or "error":{...}. A status of another form is the message as a whole. */
static void write_answer(const struct row *r, bool with_status, struct buf *out)
{
    struct row_error error = { .code = ERROR_UNKNOWN };

    if (r->status.len == 0) {
        buf_add_c(out, "\"response\":");
        buf_add_str(out, r->response.len ? r->response : STR("{}"));
        return;
    }
    bool read = row_error_read(r->status, &error);
    buf_addf(out, "\"error\":{\"code\":%d,\"message\":", error_rpc(error.code));
    if (read)
        buf_add_str(out, error.message);
    else
        buf_add_json(out, r->status);
    if (with_status)
        buf_addf(out, ",\"status\":\"%s\"", error_name(error.code));
    buf_add_char(out, '}');
}

static void write_keyed(const struct input_line *in, const struct row *r, struct buf *out)
{
    struct str metadata = metadata_of(in);

    buf_add_char(out, '{');
    if (in->key.len) {
        buf_add_c(out, "\"key\":");
        buf_add_str(out, in->key);
        buf_add_char(out, ',');
    }
    if (metadata.len) {
        buf_add_c(out, "\"metadata\":");
        buf_add_str(out, metadata);
        buf_add_char(out, ',');
    }
    write_answer(r, true, out);
    buf_add(out, "}\n", 2);
}

/* Strings as they are, all else as the text of its JSON. */
static void write_metadata(struct str metadata, struct buf *out)
{
    struct json_member m = { 0 };
    const char *comma = "";

    buf_add_c(out, ",\"metadata\":{");
    while (json_member_next(metadata, &m)) {
        buf_addf(out, "%s\"", comma);
        buf_add_str(out, m.key);
        buf_add_c(out, "\":");
        if (m.value.p[0] == '"')
            buf_add_str(out, m.value);
        else
            buf_add_json(out, m.value);
        comma = ",";
    }
    buf_add_char(out, '}');
}

static void write_inlined(const struct input_line *in, const struct row *r, struct buf *out)
{
    struct str metadata = metadata_of(in);

    buf_add_char(out, '{');
    write_answer(r, false, out);
    if (metadata.len && metadata.p[0] == '{')
        write_metadata(metadata, out);
    buf_add(out, "}\n", 2);
}

void row_status(enum error_code code, struct str message, struct buf *out)
{
    buf_addf(out, "%s: {\"error\": {\"code\": %d, \"message\": ", error_phrase(code),
             error_http(code));
    buf_add_json(out, message);
    buf_addf(out, ", \"status\": \"%s\"}}", error_name(code));
}

/* The value of a member of the object at the start of text; empty when there is none. */
static struct str member_of(struct str text, const char *name)
{
    struct json_member m = { 0 };

    while (json_member_next(text, &m))
        if (str_eq_c(m.key, name))
            return m.value;
    return (struct str){ 0 };
}

bool row_error_read(struct str status, struct row_error *out)
{
    static const struct str before = STR_INIT(": {\"error\": "), after = STR_INIT("\"}}");
    char name[32];
    size_t at = str_find(status, before);

    if (at == SIZE_MAX || !str_ends(status, after))
        return false;
    struct str error = member_of(str_sub(status, at + 2, status.len), "error");
    struct str message = member_of(error, "message"), wire = member_of(error, "status");
    if (message.len < 2 || message.p[0] != '"' || wire.len < 3 || wire.len > sizeof name)
        return false;
    memcpy(name, wire.p + 1, wire.len - 2);
    name[wire.len - 2] = '\0';
    if (!error_from_name(name, &out->code))
        return false;
    out->message = message;
    return true;
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
