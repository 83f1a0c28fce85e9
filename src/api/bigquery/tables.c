/* tables.c -- tables and views: insert, get, list, patch, update, delete. */
#include "api/bigquery/bigquery.h"

#include <inttypes.h>

/* Members that are not kept as options: ours, and those with a place in the struct. */
static const char *const known[] = {
    "kind",
    "etag",
    "id",
    "selfLink",
    "tableReference",
    "schema",
    "view",
    "expirationTime",
    "numBytes",
    "numRows",
    "creationTime",
    "lastModifiedTime",
    "type",
    "location",
    "numLongTermBytes",
    "streamingBuffer",
    NULL,
};

static bool name_of(struct call *c, struct tables_name *out)
{
    *out = (struct tables_name){ .dataset = c->param[1] };
    if (c->param_count > 2)
        out->table = c->param[2];
    return bigquery_project(c, &out->project);
}

static const char *type_of(const struct tables_table *t)
{
    if (bigquery_option(t->options, "materializedView").len)
        return "MATERIALIZED_VIEW";
    return t->kind == TABLES_VIEW ? "VIEW" : "TABLE";
}

static void write_head(struct json_writer *w, const struct tables_table *t)
{
    json_add_c(w, "kind", "bigquery#table");
    json_addf(w, "id", "%.*s:%.*s.%.*s", STR_ARG(t->name.project), STR_ARG(t->name.dataset),
              STR_ARG(t->name.table));
    bigquery_write_reference(w, "tableReference", &t->name);
    json_add_c(w, "type", type_of(t));
    bigquery_add_ms(w, "creationTime", t->created_ms);
    bigquery_add_ms(w, "expirationTime", t->expires_ms);
}

static void write_sizes(struct json_writer *w, const struct tables_table *t)
{
    static const char *const bytes[] = { "numBytes", "numTotalLogicalBytes",
                                         "numActiveLogicalBytes" };
    static const char *const none[] = { "numLongTermBytes", "numLongTermLogicalBytes" };

    json_addf(w, "numRows", "%" PRId64, t->rows < 0 ? 0 : t->rows);
    for (size_t i = 0; i < ARRAY_LEN(bytes); i++)
        json_addf(w, bytes[i], "%" PRId64, t->bytes < 0 ? 0 : t->bytes);
    for (size_t i = 0; i < ARRAY_LEN(none); i++)
        json_add_c(w, none[i], "0");
}

static void write_view(struct json_writer *w, const struct tables_table *t)
{
    if (t->kind != TABLES_VIEW || bigquery_option(t->options, "materializedView").len)
        return;
    json_object(w, "view");
    json_add_text(w, "query", t->view_query);
    json_add_bool(w, "useLegacySql", false);
    json_end(w);
}

/* That of its dataset. A hidden table has its own, among the options. */
static void add_location(struct call *c, struct json_writer *w, const struct tables_table *table)
{
    const struct tables_name parent = { table->name.project, table->name.dataset, { NULL, 0 } };
    struct tables *t = c->api->tables;
    struct tables_dataset d;
    struct error ignored;

    if (bigquery_option(table->options, "location").len)
        return;
    struct str location = t->ops->dataset_get(t, &parent, c->arena, &d, &ignored) == 0
                              ? bigquery_option(d.options, "location")
                              : (struct str){ NULL, 0 };
    if (location.len)
        json_add_raw(w, "location", location);
    else
        json_add_c(w, "location", BIGQUERY_LOCATION);
}

static void reply_table(struct call *c, const struct tables_name *name)
{
    struct tables *t = c->api->tables;
    struct tables_table table;
    struct error e = { 0 };
    struct buf out = BUF_INIT(SIZE_MAX);
    struct json_writer w = JSON_WRITER(&out);

    if (t->ops->get(t, name, c->arena, &table, &e) < 0) {
        call_fail(c, &e);
        return;
    }
    json_object(&w, NULL);
    write_head(&w, &table);
    json_add_c(&w, "etag", table.etag);
    json_addf(&w, "selfLink", "%.*s/bigquery/v2/projects/%.*s/datasets/%.*s/tables/%.*s",
              STR_ARG(call_base_url(c)), STR_ARG(name->project), STR_ARG(name->dataset),
              STR_ARG(name->table));
    if (table.schema.count)
        bq_schema_write(&w, "schema", &table.schema, false);
    write_sizes(&w, &table);
    bigquery_add_ms(&w, "lastModifiedTime", table.changed_ms);
    add_location(c, &w, &table);
    write_view(&w, &table);
    bigquery_write_options(&w, table.options);
    json_end(&w);
    call_reply(c, &out);
}

/* ---- What a body says ---- */

/* The query of a view; useLegacySql is true when the REST resource of a view does not say. */
static int read_view(yyjson_val *body, struct tables_table *out, struct error *e)
{
    yyjson_val *view = json_get(body, "view"), *kept = json_get(body, "materializedView");
    yyjson_val *made = yyjson_is_obj(view) ? view : yyjson_is_obj(kept) ? kept : NULL;

    if (!made)
        return 0;
    if (yyjson_get_bool(json_get(made, "useLegacySql")))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "Legacy SQL is not supported: write the view's query in GoogleSQL and set "
                         "useLegacySql to false.");
    if (json_get(made, "userDefinedFunctionResources"))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "userDefinedFunctionResources are not supported.");
    out->kind = TABLES_VIEW;
    out->view_query = json_str(json_get(made, "query"));
    if (out->view_query.len == 0)
        return error_set(e, ERROR_INVALID_ARGUMENT, "Required parameter is missing: view.query");
    return 0;
}

static int read_expiration(yyjson_val *body, int64_t *out, struct error *e)
{
    yyjson_val *v = json_get(body, "expirationTime");
    uint64_t n = 0;

    if (!v)
        return 0;
    if (!yyjson_is_null(v) && (!json_count(v, &n) || n > INT64_MAX))
        return error_set(e, ERROR_INVALID_ARGUMENT, "Invalid value for expirationTime");
    *out = (int64_t)n;
    return 0;
}

static int check_options(const struct tables_table *t, yyjson_val *body, struct error *e)
{
    if (json_get(body, "externalDataConfiguration"))
        return error_set(e, ERROR_INVALID_ARGUMENT, "External tables are not supported.");
    return t->schema.count ? bq_check_columns(body, &t->schema, e) : 0;
}

/* ---- Handlers ---- */

void bigquery_table_insert(struct call *c)
{
    struct tables *t = c->api->tables;
    struct tables_table table = { 0 };
    struct error e = { 0 };
    yyjson_val *body = call_json(c, &e);

    if (!name_of(c, &table.name))
        return;
    table.name.table = json_str(json_get(json_get(body, "tableReference"), "tableId"));
    if (!body || tables_table_check(table.name.table, &e) < 0 ||
        bq_schema_read(json_get(body, "schema"), c->arena, &table.schema, &e) < 0 ||
        read_view(body, &table, &e) < 0 || read_expiration(body, &table.expires_ms, &e) < 0 ||
        check_options(&table, body, &e) < 0 ||
        bigquery_script(c, str_of(tables_text(c->arena, &table.name)), &e) < 0) {
        call_fail(c, &e);
        return;
    }
    table.options = bigquery_options(c, body, known, (struct str){ 0 });
    if (t->ops->create(t, &table, &e) == 0)
        reply_table(c, &table.name);
    else if (table.kind == TABLES_VIEW)
        bigquery_fail_query(c, &e);
    else
        call_fail(c, &e);
}

void bigquery_table_get(struct call *c)
{
    struct tables_name name;

    if (name_of(c, &name))
        reply_table(c, &name);
}

/* The schema that the body asks for; without one the table keeps its own. */
static int change_schema(struct call *c, struct tables_table *t, yyjson_val *body, struct error *e)
{
    struct bq_schema next;

    if (bq_schema_read(json_get(body, "schema"), c->arena, &next, e) < 0)
        return -1;
    if (next.count && t->kind == TABLES_TABLE && t->schema.count &&
        bq_schema_may_become(&t->schema, &next, str_of(tables_text(c->arena, &t->name)), e) < 0)
        return -1;
    t->schema = next;
    return 0;
}

static void change(struct call *c, bool merge)
{
    struct tables *t = c->api->tables;
    struct tables_name name;
    struct tables_table table;
    struct error e = { 0 };
    yyjson_val *body = call_json(c, &e);

    if (!name_of(c, &name))
        return;
    if (!body || t->ops->get(t, &name, c->arena, &table, &e) < 0 ||
        bigquery_if_match(c, table.etag, &e) < 0 || change_schema(c, &table, body, &e) < 0) {
        call_fail(c, &e);
        return;
    }
    table.view_query = (struct str){ 0 };
    if (!merge)
        table.expires_ms = 0;
    table.options = bigquery_options(c, body, known, merge ? table.options : (struct str){ 0 });
    if (read_view(body, &table, &e) < 0 || read_expiration(body, &table.expires_ms, &e) < 0) {
        call_fail(c, &e);
        return;
    }
    if (t->ops->change(t, &table, &e) == 0)
        reply_table(c, &name);
    else if (table.view_query.len)
        bigquery_fail_query(c, &e);
    else
        call_fail(c, &e);
}

void bigquery_table_patch(struct call *c)
{
    change(c, true);
}

void bigquery_table_update(struct call *c)
{
    change(c, false);
}

void bigquery_table_delete(struct call *c)
{
    struct tables *t = c->api->tables;
    struct tables_name name;
    struct error e = { 0 };

    if (!name_of(c, &name))
        return;
    if (t->ops->remove(t, &name, &e) < 0)
        call_fail(c, &e);
    else
        http_reply(c->http, 204, NULL, NULL);
}

static void write_listed(struct json_writer *w, const struct tables_table *t)
{
    static const char *const shown[] = { "friendlyName", "labels", "timePartitioning",
                                         "rangePartitioning", "clustering" };

    json_object(w, NULL);
    write_head(w, t);
    if (t->kind == TABLES_VIEW) {
        json_object(w, "view");
        json_add_bool(w, "useLegacySql", false);
        json_end(w);
    }
    for (size_t i = 0; i < ARRAY_LEN(shown); i++) {
        struct str v = bigquery_option(t->options, shown[i]);
        if (v.len)
            json_add_raw(w, shown[i], v);
    }
    json_end(w);
}

void bigquery_table_list(struct call *c)
{
    struct tables *t = c->api->tables;
    struct tables_page page = { 0 };
    struct tables_list list = { 0 };
    struct tables_dataset dataset;
    struct error e = { 0 };
    struct buf out = BUF_INIT(SIZE_MAX);
    struct json_writer w = JSON_WRITER(&out);

    if (!name_of(c, &page.parent))
        return;
    (void)http_query(c->http, "pageToken", &page.after);
    if (bigquery_limit(c, 50, TABLES_PAGE_MAX, &page.limit, &e) < 0 ||
        t->ops->dataset_get(t, &page.parent, c->arena, &dataset, &e) < 0 ||
        t->ops->list(t, &page, c->arena, &list, &e) < 0) {
        call_fail(c, &e);
        return;
    }
    json_object(&w, NULL);
    json_add_c(&w, "kind", "bigquery#tableList");
    json_addf(&w, "etag", "%u", list.count);
    if (list.count)
        json_array(&w, "tables");
    for (uint32_t i = 0; i < list.count; i++)
        write_listed(&w, &list.item[i]);
    if (list.count)
        json_end(&w);
    if (list.more)
        json_add_text(&w, "nextPageToken", list.item[list.count - 1].name.table);
    json_add_uint(&w, "totalItems", list.count);
    json_end(&w);
    call_reply(c, &out);
}
