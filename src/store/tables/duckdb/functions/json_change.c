/* json_change.c -- functions that change a JSON value: JSON_SET, JSON_REMOVE, JSON_STRIP_NULLS, arrays. */
#include <string.h>

#include "store/tables/duckdb/functions/any.h"
#include "store/tables/duckdb/functions/json_value.h"
#include "store/tables/duckdb/functions/path.h"

#define PAD_MAX 1000000 /* nulls put before an element that lies behind an array's end */

/* The value that is changed; released at the end of the call. */
struct change {
    struct call *c;
    yyjson_mut_doc *doc;
    yyjson_mut_val *root;
};

static bool change_begin(struct call *c, struct change *out)
{
    yyjson_val *v = json_argument(c, 0);

    *out = (struct change){ c, yyjson_mut_doc_new(NULL), NULL };
    if (!v || !out->doc)
        return false;
    out->root = yyjson_val_mut_copy(out->doc, v);
    return out->root != NULL;
}

static enum call_outcome change_end(struct change *h, enum call_outcome outcome)
{
    yyjson_doc *done = NULL;

    if (outcome == CALL_VALUE && h->root) {
        yyjson_mut_doc_set_root(h->doc, h->root);
        done = yyjson_mut_doc_imut_copy(h->doc, NULL);
        outcome =
            done ? out_json(h->c, yyjson_doc_get_root(done)) : call_refuse(h->c, "Out of memory");
    }
    yyjson_doc_free(done);
    yyjson_mut_doc_free(h->doc);
    return outcome;
}

/* The path in argument i; false: none, the error is set. */
static bool argument_path(struct change *h, uint32_t i, struct path **out)
{
    duckdb_logical_type type = h->c->duckdb->vector_get_column_type(h->c->argument[i].vector);
    bool text = h->c->duckdb->get_type_id(type) == DUCKDB_TYPE_VARCHAR;

    h->c->duckdb->destroy_logical_type(&type);
    *out = arena_alloc_raw(&h->c->arena, sizeof **out);
    if (text && !arg_null(h->c, i) && path_read(arg_text(h->c, i), *out))
        return true;
    (void)call_refuse(h->c, "Invalid JSONPath in argument %u", i + 1);
    return false;
}

/* Argument i as a new value in the document; NULL with the error set. */
static yyjson_mut_val *argument_value(struct change *h, uint32_t i)
{
    struct buf text = BUF_INIT(CALL_TEXT_MAX);
    yyjson_val *v = NULL;
    yyjson_mut_val *copy = NULL;

    if (any_argument(h->c, i, ANY_JSON_TYPE, &text) && buf_ok(&text))
        v = json_read(h->c, buf_str(&text));
    if (v)
        copy = yyjson_val_mut_copy(h->doc, v);
    buf_release(&text);
    if (!copy)
        (void)call_refuse(h->c, "Unsupported value in argument %u", i + 1);
    return copy;
}

static yyjson_mut_val *step_to(yyjson_mut_val *v, const struct path_step *s)
{
    return s->key.p ? yyjson_mut_obj_getn(v, s->key.p, s->key.len)
                    : yyjson_mut_arr_get(v, (size_t)s->index);
}

static yyjson_mut_val *walk_to(struct change *h, const struct path *p, uint32_t steps)
{
    yyjson_mut_val *v = h->root;

    for (uint32_t i = 0; i < steps && v; i++)
        v = step_to(v, &p->step[i]);
    return v;
}

/* Puts a value where a step leads to in a container. False: the container is of another kind. */
static bool place(struct change *h, yyjson_mut_val *in, const struct path_step *s,
                  yyjson_mut_val *v)
{
    if (s->key.p) {
        if (!yyjson_mut_is_obj(in))
            return false;
        yyjson_mut_val *key = yyjson_mut_strncpy(h->doc, s->key.p, s->key.len);
        return yyjson_mut_obj_put(in, key, v);
    }
    if (!yyjson_mut_is_arr(in) || s->index > PAD_MAX)
        return false;
    if (s->index < yyjson_mut_arr_size(in))
        return yyjson_mut_arr_replace(in, (size_t)s->index, v) != NULL;
    while (yyjson_mut_arr_size(in) < s->index)
        if (!yyjson_mut_arr_add_null(h->doc, in))
            return false;
    return yyjson_mut_arr_append(in, v);
}

/* A missing value, or null, becomes this container when the path goes on from it. */
static yyjson_mut_val *container_for(struct change *h, const struct path_step *next)
{
    return next->key.p ? yyjson_mut_obj(h->doc) : yyjson_mut_arr(h->doc);
}

/* A path that does not fit the value leaves it as it is. */
static void set_at(struct change *h, const struct path *p, yyjson_mut_val *v, bool create)
{
    yyjson_mut_val *in = h->root;

    if (p->count == 0) {
        h->root = v;
        return;
    }
    if (yyjson_mut_is_null(in) && create)
        in = h->root = container_for(h, &p->step[0]);
    for (uint32_t i = 0; i + 1 < p->count; i++) {
        yyjson_mut_val *next = step_to(in, &p->step[i]);
        if (!next || yyjson_mut_is_null(next)) {
            next = container_for(h, &p->step[i + 1]);
            if (!create || !place(h, in, &p->step[i], next))
                return;
        }
        in = next;
    }
    if (create || step_to(in, &p->step[p->count - 1]))
        (void)place(h, in, &p->step[p->count - 1], v);
}

/* JSON_SET(json, path, value, ...); a BOOL at the end, after whole pairs: create_if_missing. */
static enum call_outcome json_set(struct call *c)
{
    struct change h;
    uint32_t end = c->arguments - (c->arguments % 2 == 0);
    bool create = end == c->arguments || arg_null(c, end) || arg_bool(c, end);

    if (arg_null(c, 0))
        return CALL_NULL;
    enum call_outcome outcome = change_begin(c, &h) ? CALL_VALUE : CALL_ERROR;
    for (uint32_t i = 1; i + 1 < end + 0 && outcome == CALL_VALUE; i += 2) {
        struct path *p;
        yyjson_mut_val *v = argument_path(&h, i, &p) ? argument_value(&h, i + 1) : NULL;
        if (v)
            set_at(&h, p, v, create);
        else
            outcome = CALL_ERROR;
    }
    return change_end(&h, outcome);
}

static void remove_at(struct change *h, const struct path *p)
{
    const struct path_step *last = &p->step[p->count - 1];
    yyjson_mut_val *in = walk_to(h, p, p->count - 1);

    if (last->key.p && yyjson_mut_is_obj(in))
        (void)yyjson_mut_obj_remove_keyn(in, last->key.p, last->key.len);
    else if (!last->key.p && yyjson_mut_is_arr(in))
        (void)yyjson_mut_arr_remove(in, (size_t)last->index);
}

static enum call_outcome json_remove(struct call *c)
{
    struct change h;
    enum call_outcome outcome = change_begin(c, &h) ? CALL_VALUE : CALL_ERROR;

    for (uint32_t i = 1; i < c->arguments && outcome == CALL_VALUE; i++) {
        struct path *p;
        if (!argument_path(&h, i, &p))
            outcome = CALL_ERROR;
        else if (p->count == 0)
            outcome = call_refuse(c, "The JSONPath cannot be '$' in JSON_REMOVE");
        else
            remove_at(&h, p);
    }
    return change_end(&h, outcome);
}

/* ---- Arrays ---- */

/* Appends, or inserts from an index on; an array's elements one by one. */
static void insert_all(struct change *h, yyjson_mut_val *in, uint64_t at, yyjson_mut_val *v)
{
    yyjson_mut_val *item;

    if (at > PAD_MAX)
        return;
    while (yyjson_mut_arr_size(in) < at)
        if (!yyjson_mut_arr_add_null(h->doc, in))
            return;
    if (!yyjson_mut_is_arr(v)) {
        (void)yyjson_mut_arr_insert(in, v, (size_t)at);
        return;
    }
    while ((item = yyjson_mut_arr_remove_first(v)))
        (void)yyjson_mut_arr_insert(in, item, (size_t)at++);
}

static void append_at(struct change *h, const struct path *p, yyjson_mut_val *v)
{
    yyjson_mut_val *in = walk_to(h, p, p->count);

    if (yyjson_mut_is_null(in)) {
        in = yyjson_mut_arr(h->doc);
        set_at(h, p, in, false);
    }
    if (yyjson_mut_is_arr(in))
        insert_all(h, in, yyjson_mut_arr_size(in), v);
}

static void insert_at(struct change *h, const struct path *p, yyjson_mut_val *v)
{
    struct path before = *p;
    yyjson_mut_val *in = walk_to(h, p, p->count - 1);

    before.count--;
    if (yyjson_mut_is_null(in)) {
        in = yyjson_mut_arr(h->doc);
        set_at(h, &before, in, false);
    }
    if (yyjson_mut_is_arr(in))
        insert_all(h, in, p->step[p->count - 1].index, v);
}

static enum call_outcome array_change(struct call *c, bool insert)
{
    struct change h;

    if (arg_null(c, 0))
        return CALL_NULL;
    enum call_outcome outcome = change_begin(c, &h) ? CALL_VALUE : CALL_ERROR;
    for (uint32_t i = 1; i + 1 < c->arguments && outcome == CALL_VALUE; i += 2) {
        struct path *p;
        yyjson_mut_val *v = argument_path(&h, i, &p) ? argument_value(&h, i + 1) : NULL;
        if (!v)
            outcome = CALL_ERROR;
        else if (!insert)
            append_at(&h, p, v);
        else if (p->count == 0 || p->step[p->count - 1].key.p)
            outcome = call_refuse(c, "The JSONPath of JSON_ARRAY_INSERT must end with an index");
        else
            insert_at(&h, p, v);
    }
    return change_end(&h, outcome);
}

static enum call_outcome array_append(struct call *c)
{
    return array_change(c, false);
}

static enum call_outcome array_insert(struct call *c)
{
    return array_change(c, true);
}

/* ---- Nulls ---- */

struct strip {
    bool arrays, empty;
};

static bool stripped(const struct strip *how, yyjson_mut_val *v)
{
    return yyjson_mut_is_null(v) ||
           (how->empty && yyjson_mut_is_ctn(v) && unsafe_yyjson_get_len(v) == 0);
}

static void strip_nulls(const struct strip *how, yyjson_mut_val *v)
{
    yyjson_mut_obj_iter members;
    yyjson_mut_val *item;

    if (yyjson_mut_is_obj(v)) {
        members = yyjson_mut_obj_iter_with(v);
        while ((item = yyjson_mut_obj_iter_next(&members))) {
            yyjson_mut_val *member = yyjson_mut_obj_iter_get_val(item);
            strip_nulls(how, member);
            if (stripped(how, member))
                (void)yyjson_mut_obj_iter_remove(&members);
        }
    } else if (yyjson_mut_is_arr(v)) {
        for (size_t left = yyjson_mut_arr_size(v); left > 0; left--) { /* each goes to the end */
            item = yyjson_mut_arr_remove_first(v);
            strip_nulls(how, item);
            if (!how->arrays || !stripped(how, item))
                (void)yyjson_mut_arr_append(v, item);
        }
    }
}

/* JSON_STRIP_NULLS(json, path, include_arrays, remove_empty) */
static enum call_outcome json_strip_nulls(struct call *c)
{
    struct strip how = { c->arguments < 3 || arg_bool(c, 2), c->arguments > 3 && arg_bool(c, 3) };
    struct change h;
    struct path *p = NULL;
    enum call_outcome outcome = change_begin(c, &h) ? CALL_VALUE : CALL_ERROR;

    if (outcome == CALL_VALUE && c->arguments > 1 && !argument_path(&h, 1, &p))
        outcome = CALL_ERROR;
    yyjson_mut_val *v = outcome == CALL_VALUE && p ? walk_to(&h, p, p->count) : h.root;
    if (outcome == CALL_VALUE && v)
        strip_nulls(&how, v);
    return change_end(&h, outcome);
}

static const struct function rows[] = {
    { "json_set", "JA*:J", json_set, FUNCTION_NULLS },
    { "json_remove", "JS*:J", json_remove, 0 },
    { "json_array_append", "JA*:J", array_append, FUNCTION_NULLS },
    { "json_array_insert", "JA*:J", array_insert, FUNCTION_NULLS },
    { "json_strip_nulls", "J:J", json_strip_nulls, 0 },
    { "json_strip_nulls", "JS:J", json_strip_nulls, 0 },
    { "json_strip_nulls", "JSB:J", json_strip_nulls, 0 },
    { "json_strip_nulls", "JSBB:J", json_strip_nulls, 0 },
};
const struct function_table functions_json_change = FUNCTION_TABLE(rows);
