#include "format/bigquery/parameter.h"

static int type_read(struct arena *a, yyjson_val *type, uint32_t depth, struct bq_field *out,
                     struct error *e);

/* NOLINTNEXTLINE(misc-no-recursion): as deep as records, BQ_DEPTH_MAX */
static int struct_type(struct arena *a, yyjson_val *types, uint32_t depth, struct bq_field *out,
                       struct error *e)
{
    size_t n = yyjson_arr_size(types);
    yyjson_arr_iter it = yyjson_arr_iter_with(types);
    yyjson_val *one;

    if (n > BQ_COLUMNS_MAX)
        return error_set(e, ERROR_INVALID_ARGUMENT, "A parameter has too many fields.");
    out->fields = n ? arena_array(a, n, sizeof *out->fields) : NULL;
    while ((one = yyjson_arr_iter_next(&it))) {
        struct bq_field *f = &out->fields[out->field_count++];
        if (type_read(a, json_get(one, "type"), depth + 1, f, e) < 0)
            return -1;
        f->name = json_str(json_get(one, "name"));
    }
    return 0;
}

/* NOLINTNEXTLINE(misc-no-recursion) */
static int type_read(struct arena *a, yyjson_val *type, uint32_t depth, struct bq_field *out,
                     struct error *e)
{
    struct str name = json_str(json_get(type, "type"));

    *out = (struct bq_field){ 0 };
    if (depth > BQ_DEPTH_MAX)
        return error_set(e, ERROR_INVALID_ARGUMENT, "A parameter's type is too deep.");
    if (str_eq(name, STR("ARRAY"))) {
        if (type_read(a, json_get(type, "arrayType"), depth + 1, out, e) < 0)
            return -1;
        if (out->mode == BQ_REPEATED)
            return error_set(e, ERROR_INVALID_ARGUMENT, "A parameter is an array of arrays.");
        out->mode = BQ_REPEATED;
        return 0;
    }
    if (!bq_type_find(name, &out->type))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "Invalid parameter type '%.*s': it is none of BigQuery's types.",
                         STR_ARG(str_cut(name, 64)));
    if (out->type == BQ_RANGE &&
        !bq_type_find(json_str(json_get(json_get(type, "rangeElementType"), "type")),
                      &out->range_type))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "A parameter of type RANGE has no element type.");
    return out->type == BQ_RECORD ? struct_type(a, json_get(type, "structTypes"), depth, out, e)
                                  : 0;
}

/* A JSON parameter's text is the JSON, the text of others is a scalar's. */
static int scalar_text(struct arena *a, const struct bq_field *f, yyjson_val *value,
                       struct bq_cell *out, struct error *e)
{
    struct str text = yyjson_is_str(value) ? json_str(value) : json_text(a, value);

    return bq_cell_from_text(a, f, text, out, e);
}

static int value_write(struct arena *a, const struct bq_field *f, yyjson_val *v,
                       struct json_writer *w, struct error *e);

/* NOLINTNEXTLINE(misc-no-recursion) */
static int array_write(struct arena *a, const struct bq_field *f, yyjson_val *v,
                       struct json_writer *w, struct error *e)
{
    struct bq_field item = *f;
    yyjson_arr_iter it = yyjson_arr_iter_with(json_get(v, "arrayValues"));
    yyjson_val *one;

    item.mode = BQ_NULLABLE;
    json_array(w, NULL);
    while ((one = yyjson_arr_iter_next(&it))) {
        json_object(w, NULL);
        json_key(w, STR("v"));
        if (value_write(a, &item, one, w, e) < 0)
            return -1;
        json_end(w);
    }
    json_end(w);
    return 0;
}

/* NOLINTNEXTLINE(misc-no-recursion) */
static int value_write(struct arena *a, const struct bq_field *f, yyjson_val *v,
                       struct json_writer *w, struct error *e)
{
    yyjson_val *value = json_get(v, "value"), *members = json_get(v, "structValues");
    struct bq_cell cell;

    if (f->mode == BQ_REPEATED)
        return array_write(a, f, v, w, e);
    if (f->type == BQ_RECORD && yyjson_is_obj(members)) {
        json_object(w, NULL);
        json_array(w, "f");
        for (uint32_t i = 0; i < f->field_count; i++) {
            struct str name = f->fields[i].name;
            json_object(w, NULL);
            json_key(w, STR("v"));
            if (value_write(a, &f->fields[i], yyjson_obj_getn(members, name.p, name.len), w, e) < 0)
                return -1;
            json_end(w);
        }
        json_end(w);
        json_end(w);
        return 0;
    }
    if (!value || yyjson_is_null(value) || f->type == BQ_RECORD) {
        json_add_null(w, NULL);
        return 0;
    }
    if (scalar_text(a, f, value, &cell, e) < 0)
        return -1;
    json_add_text(w, NULL, cell.text);
    return 0;
}

static int value_read(struct arena *a, const struct bq_field *f, yyjson_val *v, struct bq_cell *out,
                      struct error *e)
{
    yyjson_val *value = json_get(v, "value");
    bool nested = f->mode == BQ_REPEATED || f->type == BQ_RECORD;
    bool given = f->mode == BQ_REPEATED ? json_get(v, "arrayValues") != NULL
                                        : json_get(v, "structValues") != NULL;

    if (nested ? !given : !value || yyjson_is_null(value)) {
        *out = (struct bq_cell){ .null = true };
        return 0;
    }
    if (!nested)
        return scalar_text(a, f, value, out, e);
    struct buf text = BUF_INIT(SIZE_MAX);
    struct json_writer w = JSON_WRITER(&text);
    int rc = value_write(a, f, v, &w, e);
    if (rc == 0)
        *out = (struct bq_cell){ .text = { arena_copy(a, text.p, text.len), text.len } };
    buf_release(&text);
    return rc;
}

int bq_parameters_read(yyjson_val *list, struct arena *a, struct bq_parameters *out,
                       struct error *e)
{
    size_t n = yyjson_arr_size(list);
    yyjson_arr_iter it = yyjson_arr_iter_with(list);
    yyjson_val *one;

    *out = (struct bq_parameters){ 0 };
    if (n > BQ_PARAMETERS_MAX)
        return error_set(e, ERROR_INVALID_ARGUMENT, "A query has more than %d parameters.",
                         BQ_PARAMETERS_MAX);
    out->item = n ? arena_array(a, n, sizeof *out->item) : NULL;
    while ((one = yyjson_arr_iter_next(&it))) {
        struct bq_parameter *p = &out->item[out->count++];
        p->name = json_str(json_get(one, "name"));
        if (type_read(a, json_get(one, "parameterType"), 1, &p->type, e) < 0)
            return -1;
        if ((p->name.len == 0) != (out->item[0].name.len == 0))
            return error_set(e, ERROR_INVALID_ARGUMENT,
                             "Named and positional parameters cannot stand in one query.");
        p->type.name = p->name;
        if (value_read(a, &p->type, json_get(one, "parameterValue"), &p->value, e) < 0)
            return -1;
    }
    return 0;
}
