#include "format/row.h"

#include "base/clock.h"

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

void row_write(const struct input_line *in, struct str line, const struct row *r, struct buf *out)
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

void row_status(enum error_code code, struct str message, struct buf *out)
{
    buf_addf(out, "%s: {\"error\": {\"code\": %d, \"message\": ", error_phrase(code),
             error_http(code));
    buf_add_json(out, message);
    buf_addf(out, ", \"status\": \"%s\"}}", error_name(code));
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
        for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
            if (str_eq_c(m.key, wanted[i].name))
                *wanted[i].value = m.value;
    }
    return status.len && time.len && out->request.len && out->response.len &&
           decode(a, status, &out->status) && decode(a, time, &out->processed_time);
}
