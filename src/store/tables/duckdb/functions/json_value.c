/* json_value.c -- json_value.h */
#include "store/tables/duckdb/functions/json_value.h"

#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 500 /* BigQuery's, for the type JSON */

static bool too_deep(yyjson_val *v, unsigned left)
{
    yyjson_arr_iter items;
    yyjson_obj_iter members;
    yyjson_val *item;

    if (!yyjson_is_ctn(v))
        return false;
    if (left == 0)
        return true;
    if (yyjson_is_arr(v)) {
        items = yyjson_arr_iter_with(v);
        while ((item = yyjson_arr_iter_next(&items)))
            if (too_deep(item, left - 1))
                return true;
        return false;
    }
    members = yyjson_obj_iter_with(v);
    while ((item = yyjson_obj_iter_next(&members)))
        if (too_deep(yyjson_obj_iter_get_val(item), left - 1))
            return true;
    return false;
}

yyjson_val *json_read(struct call *c, struct str text)
{
    struct error e = { 0 };
    size_t at;
    yyjson_val *v = json_parse(&c->arena, text, &at, &e);

    return v && !too_deep(v, DEPTH_MAX) ? v : NULL;
}

yyjson_val *json_argument(struct call *c, uint32_t i)
{
    return json_read(c, arg_text(c, i));
}

static void put_number(struct buf *out, yyjson_val *v)
{
    size_t from = out->len;

    if (yyjson_is_uint(v)) {
        buf_addf(out, "%llu", (unsigned long long)yyjson_get_uint(v));
    } else if (yyjson_is_int(v)) {
        buf_addf(out, "%lld", (long long)yyjson_get_sint(v));
    } else {
        buf_add_double(out, yyjson_get_real(v));
        if (buf_ok(out) && !strpbrk(out->p + from, ".e"))
            buf_add_c(out, ".0");
    }
}

struct member {
    yyjson_val *key;
    size_t place;
};

static int by_key(const void *a, const void *b)
{
    const struct member *x = a, *y = b;
    int order = str_cmp(json_str(x->key), json_str(y->key));

    return order ? order : x->place < y->place ? -1 : 1;
}

static void put_object(struct buf *out, yyjson_val *v, bool sorted)
{
    size_t count = yyjson_obj_size(v), n = 0, written = 0;
    struct member *members = mem_array(count + 1, sizeof *members);
    yyjson_obj_iter iter = yyjson_obj_iter_with(v);
    yyjson_val *key;

    while ((key = yyjson_obj_iter_next(&iter))) {
        members[n] = (struct member){ key, n };
        n++;
    }
    if (sorted)
        qsort(members, n, sizeof *members, by_key);
    buf_add_char(out, '{');
    for (size_t i = 0; i < n; i++) {
        if (sorted && i && str_eq(json_str(members[i].key), json_str(members[i - 1].key)))
            continue; /* the first one of a name counts */
        if (written++)
            buf_add_char(out, ',');
        buf_add_json(out, json_str(members[i].key));
        buf_add_char(out, ':');
        json_put(out, yyjson_obj_iter_get_val(members[i].key), sorted);
    }
    buf_add_char(out, '}');
    mem_free(members);
}

void json_put(struct buf *out, yyjson_val *v, bool sorted)
{
    yyjson_arr_iter iter;
    yyjson_val *item;
    size_t n = 0;

    switch (yyjson_get_type(v)) {
    case YYJSON_TYPE_OBJ:
        put_object(out, v, sorted);
        break;
    case YYJSON_TYPE_ARR:
        buf_add_char(out, '[');
        iter = yyjson_arr_iter_with(v);
        while ((item = yyjson_arr_iter_next(&iter))) {
            if (n++)
                buf_add_char(out, ',');
            json_put(out, item, sorted);
        }
        buf_add_char(out, ']');
        break;
    case YYJSON_TYPE_STR:
        buf_add_json(out, json_str(v));
        break;
    case YYJSON_TYPE_NUM:
        put_number(out, v);
        break;
    case YYJSON_TYPE_BOOL:
        buf_add_c(out, yyjson_get_bool(v) ? "true" : "false");
        break;
    default:
        buf_add_c(out, "null");
    }
}

enum call_outcome out_json(struct call *c, yyjson_val *v)
{
    json_put(&c->text, v, true);
    return out_buffer(c);
}
