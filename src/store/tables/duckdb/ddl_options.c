/* ddl_options.c -- ddl.h: options of datasets and tables, which are members of their resources. */
#include "base/json.h"
#include "base/json_write.h"
#include "store/tables/duckdb/ddl.h"

#define OPTIONS_BYTES_MAX ((size_t)1024 * 1024)

/* Kept elsewhere than in the JSON. */
static bool is_number(struct str name)
{
    return str_eq_c(name, "expirationTime") || str_eq_c(name, "defaultTableExpirationMs");
}

static int64_t number_of(yyjson_val *v)
{
    uint64_t n = 0;

    return v && json_count(v, &n) ? (int64_t)n : 0;
}

static void add_old(struct json_writer *w, yyjson_val *was, yyjson_val *set)
{
    yyjson_obj_iter it = yyjson_obj_iter_with(was);
    yyjson_val *key;

    while ((key = yyjson_obj_iter_next(&it)))
        if (!yyjson_obj_get(set, yyjson_get_str(key))) {
            json_key(w, json_str(key));
            json_add_value(w, NULL, yyjson_obj_iter_get_val(key));
        }
}

static void add_new(struct json_writer *w, yyjson_val *set, struct options *options)
{
    yyjson_obj_iter it = yyjson_obj_iter_with(set);
    yyjson_val *key;

    while ((key = yyjson_obj_iter_next(&it))) {
        yyjson_val *v = yyjson_obj_iter_get_val(key);
        if (str_eq_c(json_str(key), options->numbered))
            options->number = number_of(v);
        if (is_number(json_str(key)) || yyjson_is_null(v))
            continue;
        json_key(w, json_str(key));
        json_add_value(w, NULL, v);
    }
}

int options_merge(struct arena *a, struct options *options, struct str set, struct error *e)
{
    struct buf text = BUF_INIT(OPTIONS_BYTES_MAX);
    struct json_writer w = JSON_WRITER(&text);
    yyjson_val *was = NULL, *is = NULL;
    size_t at;

    if ((options->json.len && !(was = json_parse(a, options->json, &at, e))) ||
        (set.len && !(is = json_parse(a, set, &at, e))))
        return -1;
    json_object(&w, NULL);
    add_old(&w, was, is);
    add_new(&w, is, options);
    json_end(&w);
    options->json = (struct str){ arena_copy(a, text.p, text.len), text.len };
    bool ok = buf_ok(&text);
    buf_release(&text);
    return ok ? 0 : error_set(e, ERROR_INVALID_ARGUMENT, "The options are too long.");
}

int ddl_expiration(struct query_run *r, struct str select, int64_t *out, struct error *e)
{
    struct bq_schema schema;
    struct grid found;

    if (!select.len)
        return 0;
    if (statement_values(r, select, 1, &schema, &found, e) < 0)
        return -1;
    *out = found.rows ? cell_number(found.cell[0]) : 0;
    return 0;
}

int ddl_ignore(int rc, bool may, enum error_code code, struct tables_result *out, struct error *e)
{
    if (rc == 0 || !may || e->code != code)
        return rc;
    out->ddl = "SKIP";
    return 0;
}
