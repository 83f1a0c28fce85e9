/* table_rows.c -- a row of a job's source as a line, and its output row as cells. */
#include <inttypes.h>
#include <string.h>

#include "base/timestamp.h"
#include "format/job/table.h"

/* Digits of a whole number that a double has exactly. */
#define EXACT_DIGITS 15

/* ---- A row as a line ---- */

/* A line break is only space between tokens of JSON. */
static struct str on_one_line(struct arena *a, struct str json)
{
    if (json.len == 0 || (!memchr(json.p, '\n', json.len) && !memchr(json.p, '\r', json.len)))
        return json;
    char *copy = arena_copy(a, json.p, json.len);
    for (size_t i = 0; i < json.len; i++)
        if (copy[i] == '\n' || copy[i] == '\r')
            copy[i] = ' ';
    return (struct str){ copy, json.len };
}

static bool is_object(struct arena *a, struct str text)
{
    struct error ignored = { 0 };
    size_t at;

    return yyjson_is_obj(json_parse(a, text, &at, &ignored));
}

/* The request's text as an object, or as the text that it is when that could not come back. */
static void add_request_text(struct json_writer *w, struct arena *a, struct str text, bool lines)
{
    struct str object = on_one_line(a, str_trim(text));
    bool same = object.len == text.len && object.p == text.p;

    if (text.len && (same || lines) && object.p[0] == '{' && is_object(a, object))
        json_add_raw(w, NULL, object);
    else
        json_add_text(w, NULL, text);
}

/* The text of an INTEGER or NUMERIC cell as a number of JSON. */
static bool is_exact(struct str text)
{
    size_t digits = text.len - (text.len && text.p[0] == '-');

    for (size_t i = text.len - digits; i < text.len; i++)
        if (text.p[i] < '0' || text.p[i] > '9')
            return false;
    return digits > 0 && digits <= EXACT_DIGITS;
}

static void add_value(struct json_writer *w, struct arena *a, const struct bq_field *f,
                      struct bq_cell c)
{
    bool whole = f->type == BQ_INTEGER || f->type == BQ_NUMERIC;

    if (f->type == BQ_JSON)
        json_add_raw(w, NULL, on_one_line(a, c.text));
    else if (whole && is_exact(c.text))
        json_add_raw(w, NULL, c.text);
    else
        bq_cell_to_json(w, NULL, f, c);
}

void table_line_write(struct arena *a, const struct bq_schema *s, const struct bq_cell *cell,
                      bool lines, struct buf *out)
{
    struct json_writer w = JSON_WRITER(out);

    json_object(&w, NULL);
    for (uint32_t i = 0; i < s->count; i++) {
        const struct bq_field *f = &s->field[i];
        bool request = str_eq_c(f->name, "request");
        if (cell[i].null && !request)
            continue;
        json_key(&w, f->name);
        if (cell[i].null)
            json_add_null(&w, NULL);
        else if (request && f->type == BQ_STRING)
            add_request_text(&w, a, cell[i].text, lines);
        else
            add_value(&w, a, f, cell[i]);
    }
    json_end(&w);
    buf_add_char(out, '\n');
}

/* ---- An output row as cells ---- */

static struct str decoded(struct arena *a, struct str value)
{
    struct error ignored = { 0 };
    size_t at;

    if (!memchr(value.p, '\\', value.len))
        return str_sub(value, 1, value.len - 2);
    return json_str(json_parse(a, value, &at, &ignored));
}

static int bad_value(const struct bq_field *f, struct error *e)
{
    return error_set(e, ERROR_DATA_LOSS,
                     "the output row has no value that the column \"%.*s\" can take",
                     STR_ARG(f->name));
}

static int time_cell(struct arena *a, const struct bq_field *f, struct str value,
                     struct bq_cell *out, struct error *e)
{
    int64_t us;

    if (value.p[0] != '"' || !timestamp_read(decoded(a, value), &us))
        return bad_value(f, e);
    out->text = str_of(arena_textf(a, "%" PRId64, us));
    return 0;
}

/* A value as the line has it, of any type but null. */
static int carried_cell(struct arena *a, const struct bq_field *f, struct str value,
                        struct bq_cell *out, struct error *e)
{
    bool text = value.p[0] == '"';
    size_t at;

    switch (f->type) {
    case BQ_JSON:
        out->text = value;
        return 0;
    case BQ_STRING: /* of keys with values of several types, also numbers as they were written */
    case BQ_INTEGER:
    case BQ_BOOLEAN:
        out->text = text ? decoded(a, value) : value;
        return 0;
    default:
        break;
    }
    yyjson_val *v = json_parse(a, value, &at, e);
    return v ? bq_cell_from_json(a, f, v, false, out, e) : -1;
}

/* A null of JSON is a value, but in the request, which is always there. */
static int cell_read(struct arena *a, const struct bq_field *f, struct str value,
                     struct bq_cell *out, struct error *e)
{
    bool request = str_eq_c(f->name, "request");
    bool time = str_eq_c(f->name, "processed_time") || str_eq_c(f->name, "reused_from");

    if (str_eq_c(value, "null") && (f->type != BQ_JSON || request))
        return 0;
    out->null = str_eq_c(f->name, "response") && str_eq_c(value, "{}");
    return (time ? time_cell : carried_cell)(a, f, value, out, e);
}

int table_row_read(struct arena *a, const struct bq_schema *s, struct str row, struct bq_cell *cell,
                   struct error *e)
{
    struct json_member m = { 0 };
    uint32_t next = 0;

    for (uint32_t i = 0; i < s->count; i++)
        cell[i] = (struct bq_cell){ .null = true };
    while (json_member_next(row, &m)) {
        struct str name = m.key;
        if (memchr(name.p, '\\', name.len))
            name = decoded(a, (struct str){ name.p - 1, name.len + 2 });
        uint32_t at = next < s->count && str_eq(s->field[next].name, name) ? next : 0;
        while (at < s->count && !str_eq(s->field[at].name, name))
            at++;
        if (at == s->count)
            continue;
        if (cell_read(a, &s->field[at], m.value, &cell[at], e) < 0)
            return -1;
        next = at + 1;
    }
    return 0;
}
