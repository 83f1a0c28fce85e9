/* cell_json.c -- a JSON value of a client becomes the cell of its field. */
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <strings.h>

#include "format/bigquery/cell.h"

#define QUOTED_BYTES 100

struct json_reading {
    struct arena *arena;
    bool unknown; /* members that the schema lacks are an error */
};

static int read_json_value(const struct json_reading *r, const struct bq_field *f, yyjson_val *v,
                           struct bq_cell *out)
{
    struct str text = json_str(v);
    bool nested = text.len && (text.p[0] == '{' || text.p[0] == '[');
    struct error why = { 0 };

    if (!nested || bq_cell_from_text(r->arena, f, text, out, &why) < 0)
        *out = (struct bq_cell){ .text = json_text(r->arena, v) };
    return 0;
}

/* A number as text; 3.0 is an INTEGER, too. */
static struct str scalar_text(struct arena *a, const struct bq_field *f, yyjson_val *v)
{
    double d = yyjson_is_real(v) ? yyjson_get_real(v) : 0.5;

    if (yyjson_is_str(v))
        return json_str(v);
    if (f->type == BQ_INTEGER && fabs(d) < 9.2e18 && d == floor(d))
        return str_of(arena_textf(a, "%" PRId64, (int64_t)d));
    return json_text(a, v);
}

static int read_scalar(const struct json_reading *r, const struct bq_field *f, yyjson_val *v,
                       struct bq_cell *out, struct error *e)
{
    if (f->type == BQ_JSON)
        return read_json_value(r, f, v, out);
    if (yyjson_is_obj(v) && f->type == BQ_RANGE)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "Field %.*s: write a RANGE as \"[start, end)\".", STR_ARG(f->name));
    if (yyjson_is_obj(v))
        return error_set(e, ERROR_INVALID_ARGUMENT, "This field: %.*s is not a record.",
                         STR_ARG(f->name));
    if (yyjson_is_arr(v))
        return error_set(e, ERROR_INVALID_ARGUMENT, "Array specified for non-repeated field: %.*s.",
                         STR_ARG(f->name));
    return bq_cell_from_text(r->arena, f, scalar_text(r->arena, f, v), out, e);
}

static int value_write(const struct json_reading *r, const struct bq_field *f, yyjson_val *v,
                       struct json_writer *w, struct error *e);

static int unknown_check(const struct json_reading *r, const struct bq_field *f, yyjson_val *v,
                         struct error *e)
{
    const struct bq_schema s = { f->fields, f->field_count };
    yyjson_obj_iter it = yyjson_obj_iter_with(v);
    yyjson_val *k;

    while (r->unknown && (k = yyjson_obj_iter_next(&it)))
        if (!bq_schema_find(&s, json_str(k)))
            return error_set(e, ERROR_INVALID_ARGUMENT, "no such field: %.*s.%.*s.",
                             STR_ARG(f->name), STR_ARG(str_cut(json_str(k), QUOTED_BYTES)));
    return 0;
}

static yyjson_val *member_of(yyjson_val *object, struct str name)
{
    yyjson_val *v = yyjson_obj_getn(object, name.p, name.len), *k;
    yyjson_obj_iter it = yyjson_obj_iter_with(object);

    while (!v && (k = yyjson_obj_iter_next(&it)))
        if (yyjson_get_len(k) == name.len && strncasecmp(yyjson_get_str(k), name.p, name.len) == 0)
            v = yyjson_obj_iter_get_val(k);
    return v;
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the schema */
static int record_write(const struct json_reading *r, const struct bq_field *f, yyjson_val *v,
                        struct json_writer *w, struct error *e)
{
    if (!yyjson_is_obj(v))
        return error_set(e, ERROR_INVALID_ARGUMENT, "This field: %.*s is a record.",
                         STR_ARG(f->name));
    if (unknown_check(r, f, v, e) < 0)
        return -1;
    json_object(w, NULL);
    json_array(w, "f");
    for (uint32_t i = 0; i < f->field_count; i++) {
        json_object(w, NULL);
        json_key(w, STR("v"));
        if (value_write(r, &f->fields[i], member_of(v, f->fields[i].name), w, e) < 0)
            return -1;
        json_end(w);
    }
    json_end(w);
    json_end(w);
    return 0;
}

/* NOLINTNEXTLINE(misc-no-recursion) */
static int array_write(const struct json_reading *r, const struct bq_field *f, yyjson_val *v,
                       struct json_writer *w, struct error *e)
{
    struct bq_field item = *f;
    yyjson_arr_iter it = yyjson_arr_iter_with(v);
    yyjson_val *one;

    if (v && !yyjson_is_null(v) && !yyjson_is_arr(v))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "Repeated field must be imported as a JSON array. Field: %.*s.",
                         STR_ARG(f->name));
    item.mode = BQ_NULLABLE;
    json_array(w, NULL);
    while ((one = yyjson_arr_iter_next(&it))) {
        if (yyjson_is_null(one))
            return error_set(e, ERROR_INVALID_ARGUMENT,
                             "Only optional fields can be set to NULL. Field: %.*s; Value: NULL",
                             STR_ARG(f->name));
        json_object(w, NULL);
        json_key(w, STR("v"));
        if (value_write(r, &item, one, w, e) < 0)
            return -1;
        json_end(w);
    }
    json_end(w);
    return 0;
}

/* NOLINTNEXTLINE(misc-no-recursion) */
static int value_write(const struct json_reading *r, const struct bq_field *f, yyjson_val *v,
                       struct json_writer *w, struct error *e)
{
    struct bq_cell cell;

    if (f->mode == BQ_REPEATED)
        return array_write(r, f, v, w, e);
    if (!v || yyjson_is_null(v)) {
        if (f->mode == BQ_REQUIRED)
            return error_set(e, ERROR_INVALID_ARGUMENT, "Missing required field: %.*s.",
                             STR_ARG(f->name));
        json_add_null(w, NULL);
        return 0;
    }
    if (f->type == BQ_RECORD)
        return record_write(r, f, v, w, e);
    if (read_scalar(r, f, v, &cell, e) < 0)
        return -1;
    json_add_text(w, NULL, cell.text);
    return 0;
}

int bq_cell_from_json(struct arena *a, const struct bq_field *f, yyjson_val *v, bool unknown,
                      struct bq_cell *out, struct error *e)
{
    const struct json_reading r = { a, unknown };
    bool null = !v || yyjson_is_null(v);

    if (f->mode != BQ_REPEATED && null) {
        *out = (struct bq_cell){ .null = true };
        return f->mode == BQ_REQUIRED ? error_set(e, ERROR_INVALID_ARGUMENT,
                                                  "Missing required field: %.*s.", STR_ARG(f->name))
                                      : 0;
    }
    if (f->mode != BQ_REPEATED && f->type != BQ_RECORD)
        return read_scalar(&r, f, v, out, e);
    struct buf text = BUF_INIT(SIZE_MAX);
    struct json_writer w = JSON_WRITER(&text);
    int rc = value_write(&r, f, v, &w, e);
    if (rc == 0)
        *out = (struct bq_cell){ .text = { arena_copy(a, text.p, text.len), text.len } };
    buf_release(&text);
    return rc;
}
