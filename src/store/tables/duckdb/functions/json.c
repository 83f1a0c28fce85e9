/* json.c -- functions that read JSON, of the type JSON and of STRING: a STRING in gives a STRING, JSON gives JSON. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "store/tables/duckdb/functions/any.h"
#include "store/tables/duckdb/functions/json_value.h"
#include "store/tables/duckdb/functions/path.h"
#include "store/tables/duckdb/functions/value_text.h"

/* ---- Paths ---- */

/* 1: *out is what the path leads to, or NULL; 0: the text is not JSON; -1: the error is set. */
static int at_path(struct call *c, yyjson_val **out)
{
    struct path *p = arena_alloc_raw(&c->arena, sizeof *p);

    p->count = 0;
    if (c->arguments > 1 && !path_read(arg_text(c, 1), p)) {
        (void)call_refuse(c, "Invalid JSONPath: %.*s", STR_ARG(str_cut(arg_text(c, 1), 200)));
        return -1;
    }
    yyjson_val *v = json_argument(c, 0);
    *out = v ? path_find(v, p) : NULL;
    return v != NULL;
}

static enum call_outcome query_text(struct call *c)
{
    yyjson_val *v;

    if (at_path(c, &v) < 0)
        return CALL_ERROR;
    if (!v || yyjson_is_null(v))
        return CALL_NULL;
    json_put(&c->text, v, false);
    return out_buffer(c);
}

static enum call_outcome query_json(struct call *c)
{
    yyjson_val *v;

    if (at_path(c, &v) < 0)
        return CALL_ERROR;
    return v ? out_json(c, v) : CALL_NULL;
}

/* A scalar as a text without quotes; false: it is none. */
static bool put_scalar(struct buf *out, yyjson_val *v)
{
    if (!v || yyjson_is_null(v) || yyjson_is_ctn(v))
        return false;
    if (yyjson_is_str(v))
        buf_add_str(out, json_str(v));
    else
        json_put(out, v, false);
    return true;
}

static enum call_outcome value_text(struct call *c)
{
    yyjson_val *v;

    if (at_path(c, &v) < 0)
        return CALL_ERROR;
    return put_scalar(&c->text, v) ? out_buffer(c) : CALL_NULL;
}

static enum call_outcome query_array(struct call *c, bool sorted)
{
    yyjson_val *v, *item;
    yyjson_arr_iter iter;

    if (at_path(c, &v) < 0)
        return CALL_ERROR;
    if (!yyjson_is_arr(v))
        return CALL_NULL;
    list_begin(c);
    iter = yyjson_arr_iter_with(v);
    while ((item = yyjson_arr_iter_next(&iter))) {
        buf_clear(&c->text);
        json_put(&c->text, item, sorted);
        if (!list_add_text(c, buf_str(&c->text)))
            return CALL_ERROR;
    }
    return list_end(c);
}

static enum call_outcome query_array_text(struct call *c)
{
    return query_array(c, false);
}

static enum call_outcome query_array_json(struct call *c)
{
    return query_array(c, true);
}

static enum call_outcome value_array(struct call *c)
{
    yyjson_val *v, *item;
    yyjson_arr_iter iter;

    if (at_path(c, &v) < 0)
        return CALL_ERROR;
    if (!yyjson_is_arr(v))
        return CALL_NULL;
    iter = yyjson_arr_iter_with(v);
    while ((item = yyjson_arr_iter_next(&iter)))
        if (yyjson_is_ctn(item))
            return CALL_NULL;
    list_begin(c);
    iter = yyjson_arr_iter_with(v);
    while ((item = yyjson_arr_iter_next(&iter))) {
        buf_clear(&c->text);
        if (put_scalar(&c->text, item) ? !list_add_text(c, buf_str(&c->text)) : !list_add_null(c))
            return CALL_ERROR;
    }
    return list_end(c);
}

/* j.name and j['name'], j[0] */
static enum call_outcome field(struct call *c)
{
    yyjson_val *v = yyjson_obj_getn(json_argument(c, 0), arg_text(c, 1).p, arg_text(c, 1).len);

    return v ? out_json(c, v) : CALL_NULL;
}

static enum call_outcome element(struct call *c)
{
    yyjson_val *v =
        arg_int(c, 1) < 0 ? NULL : yyjson_arr_get(json_argument(c, 0), (size_t)arg_int(c, 1));

    return v ? out_json(c, v) : CALL_NULL;
}

/* ---- Types of values ---- */

static const char *type_name(yyjson_val *v)
{
    switch (yyjson_get_type(v)) {
    case YYJSON_TYPE_OBJ:
        return "object";
    case YYJSON_TYPE_ARR:
        return "array";
    case YYJSON_TYPE_STR:
        return "string";
    case YYJSON_TYPE_NUM:
        return "number";
    case YYJSON_TYPE_BOOL:
        return "boolean";
    default:
        return "null";
    }
}

static enum call_outcome json_type(struct call *c)
{
    return out_text(c, str_of(type_name(json_argument(c, 0))));
}

static enum call_outcome mismatch(struct call *c, yyjson_val *v, const char *wanted)
{
    return call_refuse(c, "The provided JSON input is not %s: it is of type %s", wanted,
                       type_name(v));
}

static enum call_outcome strict_bool(struct call *c)
{
    yyjson_val *v = json_argument(c, 0);

    return yyjson_is_bool(v) ? out_bool(c, yyjson_get_bool(v)) : mismatch(c, v, "a boolean");
}

/* A number that is whole and fits; false: it is not. */
static bool whole(yyjson_val *v, int64_t *out)
{
    if (yyjson_is_uint(v)) {
        *out = (int64_t)yyjson_get_uint(v);
        return yyjson_get_uint(v) <= (uint64_t)INT64_MAX;
    }
    if (yyjson_is_int(v)) {
        *out = yyjson_get_sint(v);
        return true;
    }
    double f = yyjson_get_real(v);
    if (!yyjson_is_real(v) || f != floor(f) || f < -0x1p63 || f >= 0x1p63)
        return false;
    *out = (int64_t)f;
    return true;
}

static enum call_outcome strict_int(struct call *c)
{
    yyjson_val *v = json_argument(c, 0);
    int64_t n;

    return whole(v, &n) ? out_int(c, n) : mismatch(c, v, "an integer");
}

static enum call_outcome strict_float(struct call *c)
{
    yyjson_val *v = json_argument(c, 0);

    return yyjson_is_num(v) ? out_float(c, yyjson_get_num(v)) : mismatch(c, v, "a number");
}

static enum call_outcome strict_text(struct call *c)
{
    yyjson_val *v = json_argument(c, 0);

    return yyjson_is_str(v) ? out_text(c, json_str(v)) : mismatch(c, v, "a string");
}

static enum call_outcome lax_bool(struct call *c)
{
    yyjson_val *v = json_argument(c, 0);
    bool b;

    if (yyjson_is_bool(v))
        return out_bool(c, yyjson_get_bool(v));
    if (yyjson_is_num(v))
        return out_bool(c, yyjson_get_num(v) != 0);
    return yyjson_is_str(v) && text_read_bool(json_str(v), &b) ? out_bool(c, b) : CALL_NULL;
}

static enum call_outcome lax_int(struct call *c)
{
    yyjson_val *v = json_argument(c, 0);
    int64_t n;
    double f;

    if (yyjson_is_bool(v))
        return out_int(c, yyjson_get_bool(v));
    if (whole(v, &n) || (yyjson_is_str(v) && text_read_int(json_str(v), &n)))
        return out_int(c, n);
    if (yyjson_is_real(v))
        f = yyjson_get_real(v);
    else if (!yyjson_is_str(v) || !text_read_float(json_str(v), &f))
        return CALL_NULL;
    f = round(f);
    return f >= -0x1p63 && f < 0x1p63 ? out_int(c, (int64_t)f) : CALL_NULL;
}

static enum call_outcome lax_float(struct call *c)
{
    yyjson_val *v = json_argument(c, 0);
    double f;

    if (yyjson_is_num(v))
        return out_float(c, yyjson_get_num(v));
    return yyjson_is_str(v) && text_read_float(json_str(v), &f) ? out_float(c, f) : CALL_NULL;
}

static enum call_outcome lax_text(struct call *c)
{
    return put_scalar(&c->text, json_argument(c, 0)) ? out_buffer(c) : CALL_NULL;
}

/* ---- Keys ---- */

#define KEYS_DEPTH_MAX 64

struct keys {
    struct call *c;
    struct str *found; /* each once */
    size_t count;
    int64_t depth_max;
};

static void key_add(struct keys *k, struct str path)
{
    for (size_t i = 0; i < k->count; i++)
        if (str_eq(k->found[i], path))
            return;
    k->found = arena_list_grow(&k->c->arena, k->found, k->count, sizeof *k->found);
    k->found[k->count++] = path;
}

/* A key as it stands in a path: quoted when it has other characters than letters, digits and _. */
static struct str key_path(struct call *c, struct str before, struct str key)
{
    bool plain = key.len > 0;

    for (size_t i = 0; i < key.len; i++)
        plain &= key.p[i] == '_' || (key.p[i] >= '0' && key.p[i] <= '9') ||
                 ((key.p[i] | 32) >= 'a' && (key.p[i] | 32) <= 'z');
    return str_of(arena_textf(&c->arena, plain ? "%.*s%s%.*s" : "%.*s%s\"%.*s\"", STR_ARG(before),
                              before.len ? "." : "", STR_ARG(key)));
}

static void keys_of(struct keys *k, yyjson_val *v, struct str before, int64_t depth)
{
    yyjson_obj_iter iter;
    yyjson_val *key;

    if (!yyjson_is_obj(v) || depth >= k->depth_max || depth >= KEYS_DEPTH_MAX)
        return;
    iter = yyjson_obj_iter_with(v);
    while ((key = yyjson_obj_iter_next(&iter))) {
        struct str path = key_path(k->c, before, json_str(key));
        key_add(k, path);
        keys_of(k, yyjson_obj_iter_get_val(key), path, depth + 1);
    }
}

static int by_text(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static enum call_outcome json_keys(struct call *c)
{
    struct keys k = { .c = c, .depth_max = c->arguments > 1 ? arg_int(c, 1) : INT64_MAX };

    if (k.depth_max < 1)
        return call_refuse(c, "max_depth must be positive.");
    keys_of(&k, json_argument(c, 0), STR(""), 0);
    if (k.count)
        qsort(k.found, k.count, sizeof *k.found, by_text);
    list_begin(c);
    for (size_t i = 0; i < k.count; i++)
        if (!list_add_text(c, k.found[i]))
            return CALL_ERROR;
    return list_end(c);
}

/* ---- Writing values of SQL ---- */

static enum call_outcome parse_json(struct call *c)
{
    yyjson_val *v = json_argument(c, 0);

    if (!v)
        return call_refuse(c, "Invalid input to PARSE_JSON: syntax error while parsing value: %.*s",
                           STR_ARG(str_cut(arg_text(c, 0), 200)));
    return out_json(c, v);
}

static enum call_outcome to_json_string(struct call *c)
{
    if (!any_argument(c, 0, ANY_JSON, &c->text))
        return call_refuse(c, "Unsupported argument type for TO_JSON_STRING");
    return out_buffer(c);
}

/* The text of c->text once more, as JSON. */
static enum call_outcome out_normal(struct call *c)
{
    struct str text = { arena_copy(&c->arena, c->text.p ? c->text.p : "", c->text.len),
                        c->text.len };
    yyjson_val *v = buf_ok(&c->text) ? json_read(c, text) : NULL;

    buf_clear(&c->text);
    return v ? out_json(c, v) : call_refuse(c, "The value is too large or too deep for JSON");
}

static enum call_outcome to_json(struct call *c)
{
    if (!any_argument(
            c, 0, c->arguments > 1 && !arg_null(c, 1) && arg_bool(c, 1) ? ANY_JSON : ANY_JSON_TYPE,
            &c->text))
        return call_refuse(c, "Unsupported argument type for TO_JSON");
    return out_normal(c);
}

static enum call_outcome json_array(struct call *c)
{
    buf_add_char(&c->text, '[');
    for (uint32_t i = 0; i < c->arguments; i++) {
        if (i)
            buf_add_char(&c->text, ',');
        if (!any_argument(c, i, ANY_JSON_TYPE, &c->text))
            return call_refuse(c, "Unsupported argument type for JSON_ARRAY");
    }
    buf_add_char(&c->text, ']');
    return out_normal(c);
}

static enum call_outcome json_object(struct call *c)
{
    if (c->arguments % 2)
        return call_refuse(c, "JSON_OBJECT takes a value for each key");
    buf_add_char(&c->text, '{');
    for (uint32_t i = 0; i < c->arguments; i += 2) {
        duckdb_logical_type type = c->duckdb->vector_get_column_type(c->argument[i].vector);
        bool text = c->duckdb->get_type_id(type) == DUCKDB_TYPE_VARCHAR;
        c->duckdb->destroy_logical_type(&type);
        if (!text || arg_null(c, i))
            return call_refuse(c, "A key of JSON_OBJECT must be a STRING and not NULL");
        if (i)
            buf_add_char(&c->text, ',');
        buf_add_json(&c->text, arg_text(c, i));
        buf_add_char(&c->text, ':');
        if (!any_argument(c, i + 1, ANY_JSON_TYPE, &c->text))
            return call_refuse(c, "Unsupported argument type for JSON_OBJECT");
    }
    buf_add_char(&c->text, '}');
    return out_normal(c);
}

// clang-format off
static const struct function rows[] = {
    { "parse_json", "S:J", parse_json, 0 },
    { "json_query", "S:S", query_text, 0 }, { "json_query", "SS:S", query_text, 0 },
    { "json_query", "J:J", query_json, 0 }, { "json_query", "JS:J", query_json, 0 },
    { "json_value", "S:S", value_text, 0 }, { "json_value", "SS:S", value_text, 0 },
    { "json_value", "J:S", value_text, 0 }, { "json_value", "JS:S", value_text, 0 },
    { "json_query_array", "S:[S", query_array_text, 0 }, { "json_query_array", "SS:[S", query_array_text, 0 },
    { "json_query_array", "J:[J", query_array_json, 0 }, { "json_query_array", "JS:[J", query_array_json, 0 },
    { "json_value_array", "S:[S", value_array, 0 }, { "json_value_array", "SS:[S", value_array, 0 },
    { "json_value_array", "J:[S", value_array, 0 }, { "json_value_array", "JS:[S", value_array, 0 },
    { "json_field", "JS:J", field, 0 },
    { "json_element", "JI:J", element, 0 }, { "json_element", "JS:J", field, 0 },
    { "json_type", "J:S", json_type, 0 },
    { "json_bool", "J:B", strict_bool, 0 },
    { "json_int64", "J:I", strict_int, 0 },
    { "json_float64", "J:F", strict_float, 0 },
    { "string", "J:S", strict_text, 0 },
    { "lax_bool", "J:B", lax_bool, 0 },
    { "lax_int64", "J:I", lax_int, 0 },
    { "lax_float64", "J:F", lax_float, 0 },
    { "lax_string", "J:S", lax_text, 0 },
    { "json_keys", "J:[S", json_keys, 0 }, { "json_keys", "JI:[S", json_keys, 0 },
    { "to_json_string", "A:S", to_json_string, FUNCTION_NULLS },
    { "to_json", "A:J", to_json, FUNCTION_NULLS }, { "to_json", "AB:J", to_json, FUNCTION_NULLS },
    { "json_array", "A*:J", json_array, FUNCTION_NULLS },
    { "json_object", "A*:J", json_object, FUNCTION_NULLS },
};
// clang-format on
const struct function_table functions_json = FUNCTION_TABLE(rows);
