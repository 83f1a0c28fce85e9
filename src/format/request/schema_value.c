#include "format/request/schema_value.h"

#include <inttypes.h>
#include <stdbool.h>

/* The largest count that a double holds exactly. */
#define COUNT_MAX 9007199254740992.0

static int write_any(struct buf *out, yyjson_val *v, unsigned depth, struct error *e);

void schema_comma(struct buf *out)
{
    if (out->len && out->p[out->len - 1] != '{' && out->p[out->len - 1] != '[')
        buf_add_char(out, ',');
}

void schema_key(struct buf *out, struct str key)
{
    schema_comma(out);
    buf_add_json(out, key);
    buf_add_char(out, ':');
}

static int wrong(struct error *e, const char *what)
{
    return error_set(e, ERROR_INVALID_ARGUMENT, "%s", what);
}

static size_t digits_end(struct str s, size_t at)
{
    while (at < s.len && s.p[at] >= '0' && s.p[at] <= '9')
        at++;
    return at;
}

/* Whether the text is a number as JSON writes them. */
static bool is_number_text(struct str s)
{
    size_t from = s.len && s.p[0] == '-';
    size_t at = digits_end(s, from);

    if (at == from || (s.p[from] == '0' && at > from + 1))
        return false;
    if (at < s.len && s.p[at] == '.') {
        from = at + 1;
        at = digits_end(s, from);
        if (at == from)
            return false;
    }
    if (at < s.len && (s.p[at] == 'e' || s.p[at] == 'E')) {
        from = at + 1 + (at + 1 < s.len && (s.p[at + 1] == '-' || s.p[at + 1] == '+'));
        at = digits_end(s, from);
        if (at == from)
            return false;
    }
    return at == s.len;
}

static void add_num(struct buf *out, yyjson_val *v)
{
    if (yyjson_is_uint(v))
        buf_addf(out, "%" PRIu64, yyjson_get_uint(v));
    else if (yyjson_is_sint(v))
        buf_addf(out, "%" PRId64, yyjson_get_sint(v));
    else
        buf_add_double(out, yyjson_get_real(v));
}

int schema_write_number(struct buf *out, yyjson_val *v, struct error *e)
{
    if (yyjson_is_num(v))
        add_num(out, v);
    else if (is_number_text(json_str(v)))
        buf_add_str(out, json_str(v));
    else
        return wrong(e, "this must be a number");
    return 0;
}

int schema_write_count(struct buf *out, yyjson_val *v, struct error *e)
{
    struct str text = json_str(v);
    double n = yyjson_get_num(v);

    if (digits_end(text, 0) == text.len && is_number_text(text)) {
        buf_add_str(out, text);
        return 0;
    }
    if (!yyjson_is_num(v) || !(n >= 0 && n <= COUNT_MAX) || (double)(uint64_t)n < n)
        return wrong(e, "this must be a count: an integer from 0");
    buf_addf(out, "%" PRIu64, (uint64_t)n);
    return 0;
}

int schema_write_text(struct buf *out, yyjson_val *v, struct error *e)
{
    if (!yyjson_is_str(v))
        return wrong(e, "this must be a string");
    buf_add_json(out, json_str(v));
    return 0;
}

int schema_write_any(struct buf *out, yyjson_val *v, struct error *e)
{
    return write_any(out, v, 1, e);
}

static int write_members(struct buf *out, yyjson_val *v, unsigned depth, struct error *e)
{
    size_t i, max;
    yyjson_val *key, *member;

    buf_add_char(out, '{');
    yyjson_obj_foreach(v, i, max, key, member)
    {
        schema_key(out, json_str(key));
        if (write_any(out, member, depth + 1, e) < 0)
            return -1;
    }
    buf_add_char(out, '}');
    return 0;
}

static int write_elements(struct buf *out, yyjson_val *v, unsigned depth, struct error *e)
{
    size_t i, max;
    yyjson_val *element;

    buf_add_char(out, '[');
    yyjson_arr_foreach(v, i, max, element)
    {
        schema_comma(out);
        if (write_any(out, element, depth + 1, e) < 0)
            return -1;
    }
    buf_add_char(out, ']');
    return 0;
}

static int write_any(struct buf *out, yyjson_val *v, unsigned depth, struct error *e)
{
    if (depth > JSON_DEPTH_MAX)
        return wrong(e, "the value is nested too deeply");
    if (yyjson_is_obj(v))
        return write_members(out, v, depth, e);
    if (yyjson_is_arr(v))
        return write_elements(out, v, depth, e);
    if (yyjson_is_str(v))
        buf_add_json(out, json_str(v));
    else if (yyjson_is_num(v))
        add_num(out, v);
    else if (yyjson_is_bool(v))
        buf_add_c(out, yyjson_get_bool(v) ? "true" : "false");
    else
        buf_add_c(out, "null");
    return 0;
}
