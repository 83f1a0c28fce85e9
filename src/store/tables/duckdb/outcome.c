/* outcome.c -- query.h: what a query did, kept with its key, so that it is not done twice. */
#include <string.h>

#include "base/json.h"
#include "base/json_write.h"
#include "store/tables/duckdb/query.h"

#define OUTCOME_BYTES_MAX ((size_t)64 * 1024)

static const char *const ddl_words[] = { "CREATE", "REPLACE", "SKIP", "DROP", "ALTER" };

static void add_name(struct json_writer *w, const char *key, const struct tables_name *name)
{
    if (!name->dataset.len)
        return;
    json_object(w, key);
    json_add_text(w, "dataset", name->dataset);
    json_add_text(w, "table", name->table);
    json_end(w);
}

static struct str result_text(struct arena *a, const struct tables_result *result)
{
    struct buf text = BUF_INIT(OUTCOME_BYTES_MAX);
    struct json_writer w = JSON_WRITER(&text);

    json_object(&w, NULL);
    json_add_text(&w, "statement", result->statement);
    json_add_bool(&w, "has_rows", result->has_rows);
    json_add_int(&w, "rows", result->rows);
    json_add_int(&w, "inserted", result->inserted);
    json_add_int(&w, "updated", result->updated);
    json_add_int(&w, "deleted", result->deleted);
    json_add_int(&w, "bytes", result->bytes);
    if (result->ddl)
        json_add_c(&w, "ddl", result->ddl);
    add_name(&w, "destination", &result->destination);
    add_name(&w, "ddl_target", &result->ddl_target);
    json_end(&w);
    struct str out = { arena_copy(a, text.p, text.len), text.len };
    buf_release(&text);
    return out;
}

static struct str text_of(struct arena *a, yyjson_val *v)
{
    struct str s = json_str(v);

    return (struct str){ arena_copy(a, s.p, s.len), s.len };
}

static struct tables_name read_name(struct project *p, struct arena *a, yyjson_val *v)
{
    if (!v)
        return (struct tables_name){ .project = { NULL, 0 } };
    return (struct tables_name){ str_of(p->name), text_of(a, json_get(v, "dataset")),
                                 text_of(a, json_get(v, "table")) };
}

static void read_result(struct project *p, struct arena *a, yyjson_val *v,
                        struct tables_result *out)
{
    struct str ddl = json_str(json_get(v, "ddl"));

    *out = (struct tables_result){
        .statement = text_of(a, json_get(v, "statement")),
        .has_rows = yyjson_get_bool(json_get(v, "has_rows")),
        .rows = yyjson_get_sint(json_get(v, "rows")),
        .inserted = yyjson_get_sint(json_get(v, "inserted")),
        .updated = yyjson_get_sint(json_get(v, "updated")),
        .deleted = yyjson_get_sint(json_get(v, "deleted")),
        .bytes = yyjson_get_sint(json_get(v, "bytes")),
        .destination = read_name(p, a, json_get(v, "destination")),
        .ddl_target = read_name(p, a, json_get(v, "ddl_target")),
        .again = true,
    };
    for (size_t i = 0; i < ARRAY_LEN(ddl_words); i++)
        if (str_eq_c(ddl, ddl_words[i]))
            out->ddl = ddl_words[i];
}

/* A result that is gone by now keeps its counts; its rows are not found. */
static int read_schema(struct project *p, struct arena *a, struct tables_result *out,
                       struct error *e)
{
    struct table_row row;

    if (!out->has_rows || !out->destination.dataset.len)
        return 0;
    int found = catalog_find_table(p, &out->destination, a, &row, e);
    if (found > 0)
        out->schema = row.t.schema;
    return found < 0 ? -1 : 0;
}

int outcome_find(struct project *p, struct str key, struct arena *a, struct tables_result *out,
                 struct error *e)
{
    struct connection *c = &p->meta;
    struct grid found;
    size_t at;

    if (!key.len)
        return 0;
    sql_start(c, "SELECT outcome FROM _tranche.done WHERE key = ");
    sql_add_text(c, key);
    if (sql_fetch(c, a, &found, e) < 0)
        return -1;
    if (!found.rows)
        return 0;
    yyjson_val *v = json_parse(a, found.cell[0].text, &at, e);
    if (!v)
        return -1;
    read_result(p, a, v, out);
    return read_schema(p, a, out, e) < 0 ? -1 : 1;
}

int outcome_put(struct project *p, struct connection *c, struct str key,
                const struct tables_result *result, struct error *e)
{
    struct arena a = { 0 };

    if (!key.len)
        return 0;
    sql_start(c, "INSERT INTO _tranche.done VALUES (");
    sql_add_text(c, key);
    sql_addf(c, ", ");
    sql_add_text(c, result_text(&a, result));
    sql_addf(c, ", %lld)", (long long)project_now_ms(p));
    arena_release(&a);
    return sql_run(c, e) < 0 ? -1 : 0;
}
