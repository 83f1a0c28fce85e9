/* convert.c -- load.h: cells of one type as cells of another. */
#include <string.h>

#include "base/base64.h"
#include "base/json_write.h"
#include "store/tables/duckdb/load.h"

#define NESTED_BYTES_MAX ((size_t)256 * 1024 * 1024)

static bool same_type(const struct bq_field *a, const struct bq_field *b)
{
    if (a->type != b->type || (a->mode == BQ_REPEATED) != (b->mode == BQ_REPEATED) ||
        a->field_count != b->field_count)
        return false;
    for (uint32_t i = 0; i < a->field_count; i++)
        if (!str_eq(a->fields[i].name, b->fields[i].name) ||
            !same_type(&a->fields[i], &b->fields[i]))
            return false;
    return true;
}

static int scalar(struct arena *a, const struct bq_field *from, const struct bq_field *to,
                  struct str text, struct bq_cell *out, struct error *e)
{
    *out = (struct bq_cell){ .text = text };
    if (from->type == to->type)
        return 0;
    if (from->type == BQ_BYTES && (to->type == BQ_STRING || to->type == BQ_JSON)) {
        size_t len = text.len;
        char *bytes = arena_alloc_raw(a, text.len + 4);
        if (text.len && !base64_read(text, false, bytes, &len))
            return error_set(e, ERROR_INTERNAL, "A value of %.*s is not base64.",
                             STR_ARG(str_cut(from->name, 200)));
        out->text = (struct str){ bytes, text.len ? len : 0 };
        if (to->type == BQ_STRING)
            return 0;
    }
    if (to->type == BQ_STRING && from->type != BQ_RECORD)
        return 0;
    return bq_cell_from_text(a, to, out->text, out, e);
}

static int value(struct json_writer *w, struct arena *a, const struct bq_field *from,
                 const struct bq_field *to, yyjson_val *v, struct error *e);

static int record(struct json_writer *w, struct arena *a, const struct bq_field *from,
                  const struct bq_field *to, yyjson_val *v, struct error *e)
{
    const struct bq_schema old = { from->fields, from->field_count };
    yyjson_val *fields = json_get(v, "f");

    json_object(w, NULL);
    json_array(w, "f");
    for (uint32_t i = 0; i < to->field_count; i++) {
        const struct bq_field *f = bq_schema_find(&old, to->fields[i].name);
        json_object(w, NULL);
        json_key(w, STR("v"));
        yyjson_val *part =
            f ? json_get(yyjson_arr_get(fields, (size_t)(f - from->fields)), "v") : NULL;
        if (value(w, a, f ? f : &to->fields[i], &to->fields[i], part, e) < 0)
            return -1;
        json_end(w);
    }
    json_end(w);
    json_end(w);
    return 0;
}

static int list(struct json_writer *w, struct arena *a, const struct bq_field *from,
                const struct bq_field *to, yyjson_val *v, struct error *e)
{
    struct bq_field old = *from, new_ = *to;
    size_t i, max;
    yyjson_val *item;

    old.mode = new_.mode = BQ_NULLABLE;
    json_array(w, NULL);
    yyjson_arr_foreach(v, i, max, item)
    {
        json_object(w, NULL);
        json_key(w, STR("v"));
        if (value(w, a, &old, &new_, json_get(item, "v"), e) < 0)
            return -1;
        json_end(w);
    }
    json_end(w);
    return 0;
}

static int value(struct json_writer *w, struct arena *a, const struct bq_field *from,
                 const struct bq_field *to, yyjson_val *v, struct error *e)
{
    struct bq_cell cell;

    if (to->mode == BQ_REPEATED)
        return list(w, a, from, to, v, e);
    if (!v || yyjson_is_null(v)) {
        json_add_null(w, NULL);
        return 0;
    }
    if (to->type == BQ_RECORD)
        return record(w, a, from, to, v, e);
    if (scalar(a, from, to, json_str(v), &cell, e) < 0)
        return -1;
    if (cell.null)
        json_add_null(w, NULL);
    else
        json_add_text(w, NULL, cell.text);
    return 0;
}

static bool is_nested(const struct bq_field *f)
{
    return f->mode == BQ_REPEATED || f->type == BQ_RECORD;
}

int cell_convert(struct arena *a, const struct bq_field *from, const struct bq_field *to,
                 struct bq_cell cell, struct bq_cell *out, struct error *e)
{
    struct buf text = BUF_INIT(NESTED_BYTES_MAX);
    struct json_writer w = JSON_WRITER(&text);
    size_t at;

    *out = cell;
    if (cell.null || same_type(from, to))
        return 0;
    if ((from->mode == BQ_REPEATED) != (to->mode == BQ_REPEATED) ||
        (from->type == BQ_RECORD) != (to->type == BQ_RECORD))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "Field %.*s has type %s%s in the file and %s%s in the schema.",
                         STR_ARG(str_cut(to->name, 200)),
                         from->mode == BQ_REPEATED ? "repeated " : "", bq_type_name(from->type),
                         to->mode == BQ_REPEATED ? "repeated " : "", bq_type_name(to->type));
    if (!is_nested(to))
        return scalar(a, from, to, cell.text, out, e);
    yyjson_val *v = json_parse(a, cell.text, &at, e);
    int rc = v ? value(&w, a, from, to, v, e) : -1;
    if (rc == 0)
        out->text = (struct str){ arena_copy(a, text.p, text.len), text.len };
    buf_release(&text);
    return rc;
}
