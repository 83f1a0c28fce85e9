/* data.c -- rows of tables: tabledata.list and insertAll. */
#include "api/bigquery/bigquery.h"

#include <inttypes.h>

#define ROWS_MAX 50000 /* of one insertAll */
#define COLUMNS_MAX 10000

static bool name_of(struct call *c, struct tables_name *out)
{
    *out = (struct tables_name){ .dataset = c->param[1], .table = c->param[2] };
    return bigquery_project(c, &out->project);
}

/* ---- list ---- */

/* Whole digits, or what it was. */
static int number_read(struct call *c, const char *key, int64_t *out, bool *given, struct error *e)
{
    struct str text = { 0 };

    *given = http_query(c->http, key, &text) && text.len > 0;
    if (!*given || call_int64(text, out))
        return 0;
    return error_set(e, ERROR_INVALID_ARGUMENT, "Invalid value at '%s': \"%.*s\"", key,
                     STR_ARG(call_quote(text)));
}

static int columns_read(struct call *c, struct bigquery_page *page, struct error *e)
{
    struct str text = { 0 }, one, *list = NULL;

    (void)http_query(c->http, "selectedFields", &text);
    while (str_next(&text, ',', &one)) {
        if (page->column_count == COLUMNS_MAX)
            return error_set(e, ERROR_INVALID_ARGUMENT, "selectedFields has too many fields.");
        list = arena_list_grow(c->arena, list, page->column_count, sizeof *list);
        list[page->column_count++] = str_trim(one);
    }
    page->columns = list;
    return 0;
}

static int page_read(struct call *c, struct bigquery_page *page, struct str scope, struct error *e)
{
    int64_t most = BIGQUERY_ROWS_MAX;
    bool has_most, has_start;
    struct str token = { 0 };

    page->times = bigquery_times(c, NULL);
    if (number_read(c, "maxResults", &most, &has_most, e) < 0 ||
        number_read(c, "startIndex", &page->start, &has_start, e) < 0 ||
        columns_read(c, page, e) < 0)
        return -1;
    if (has_start && http_query(c->http, "pageToken", &token) && token.len)
        return error_set(e, ERROR_INVALID_ARGUMENT, "startIndex and pageToken cannot both be set.");
    page->limit = most < BIGQUERY_ROWS_MAX ? (uint32_t)most : BIGQUERY_ROWS_MAX;
    return bigquery_token_read(c, scope, &page->start, e);
}

static int write_list(struct call *c, struct json_writer *w, struct error *e)
{
    struct tables *t = c->api->tables;
    struct bigquery_page page = { .name = { .dataset = c->param[1], .table = c->param[2] } };
    struct tables_table table;
    uint32_t count;

    page.name.project = str_of(arena_textf(c->arena, "%.*s", STR_ARG(c->param[0])));
    struct str scope = str_of(tables_text(c->arena, &page.name));
    if (page_read(c, &page, scope, e) < 0 || t->ops->get(t, &page.name, c->arena, &table, e) < 0)
        return -1;
    if (table.kind == TABLES_VIEW)
        return error_set(e, ERROR_INVALID_ARGUMENT, "Cannot list a table of type VIEW.");
    json_object(w, NULL);
    json_add_c(w, "kind", "bigquery#tableDataList");
    json_add_c(w, "etag", table.etag);
    json_addf(w, "totalRows", "%" PRId64, table.rows);
    if (bigquery_rows(c, &page, w, &count, e) < 0)
        return -1;
    if (page.start + count < table.rows && bigquery_token(c, scope, page.start + count, w, e) < 0)
        return -1;
    json_end(w);
    return 0;
}

void bigquery_data_list(struct call *c)
{
    struct buf out = BUF_INIT(SIZE_MAX);
    struct json_writer w = JSON_WRITER(&out);
    struct error e = { 0 };
    struct str project;

    if (!bigquery_project(c, &project))
        return;
    if (write_list(c, &w, &e) == 0) {
        call_reply(c, &out);
        return;
    }
    buf_release(&out);
    call_fail(c, &e);
}

/* ---- insertAll ---- */

struct row_fault {
    uint32_t index;
    struct str location, message;
    bool stopped; /* a good row that was not written because another is bad */
};
struct inserting {
    struct call *call;
    struct bq_schema schema;
    bool ignore_unknown, skip_invalid;
    struct bq_cell *cell; /* of the rows to write */
    uint32_t rows;
    uint64_t *seen; /* insert ids of these rows, hashed */
    uint32_t seen_count;
    struct row_fault *fault;
    uint32_t fault_count;
};

static void fault_add(struct inserting *in, uint32_t index, struct str location,
                      const char *message)
{
    in->fault = arena_list_grow(in->call->arena, in->fault, in->fault_count, sizeof *in->fault);
    in->fault[in->fault_count++] = (struct row_fault){ index, location, str_of(message), false };
}

static bool unknown_find(struct inserting *in, yyjson_val *row, struct str *out)
{
    yyjson_obj_iter it = yyjson_obj_iter_with(row);
    yyjson_val *k;

    while (!in->ignore_unknown && (k = yyjson_obj_iter_next(&it))) {
        *out = json_str(k);
        if (!bq_schema_find(&in->schema, *out))
            return true;
    }
    return false;
}

/* Members are found by name in any case, the exact one first. */
static yyjson_val *member(yyjson_val *row, const struct bq_field *f, const struct bq_schema *s)
{
    yyjson_val *v = yyjson_obj_getn(row, f->name.p, f->name.len), *k;
    yyjson_obj_iter it = yyjson_obj_iter_with(row);

    while (!v && (k = yyjson_obj_iter_next(&it)))
        if (bq_schema_find(s, json_str(k)) == f)
            v = yyjson_obj_iter_get_val(k);
    return v;
}

/* The row's cells after those that are there; false: it is bad, and its fault is noted. */
static bool row_read(struct inserting *in, yyjson_val *row, uint32_t index)
{
    struct arena *a = in->call->arena;
    struct bq_cell *to = in->cell + (size_t)in->rows * in->schema.count;
    struct str unknown;

    if (!yyjson_is_obj(row)) {
        fault_add(in, index, (struct str){ 0 }, "The row has no json object.");
        return false;
    }
    if (unknown_find(in, row, &unknown)) {
        fault_add(in, index, unknown,
                  arena_textf(a, "no such field: %.*s.", STR_ARG(call_quote(unknown))));
        return false;
    }
    for (uint32_t i = 0; i < in->schema.count; i++) {
        const struct bq_field *f = &in->schema.field[i];
        struct error e = { 0 };
        if (bq_cell_from_json(a, f, member(row, f, &in->schema), !in->ignore_unknown, &to[i], &e) <
            0) {
            fault_add(in, index, f->name, arena_textf(a, "%s", e.msg));
            return false;
        }
    }
    return true;
}

static uint64_t id_hash(struct call *c, struct str id)
{
    const struct str parts[] = { c->param[0], c->param[1], c->param[2], id };
    uint64_t h = UINT64_C(14695981039346656037); /* FNV-1a */

    for (size_t p = 0; p < ARRAY_LEN(parts); p++) {
        for (size_t i = 0; i < parts[p].len; i++)
            h = (h ^ (unsigned char)parts[p].p[i]) * UINT64_C(1099511628211);
        h = (h ^ 0xff) * UINT64_C(1099511628211);
    }
    return h;
}

static void rows_read(struct inserting *in, yyjson_val *rows)
{
    struct arena *a = in->call->arena;
    yyjson_arr_iter it = yyjson_arr_iter_with(rows);
    yyjson_val *one;
    size_t n = yyjson_arr_size(rows);

    in->cell = arena_array(a, n * in->schema.count, sizeof *in->cell);
    in->seen = arena_array(a, n, sizeof *in->seen);
    for (uint32_t index = 0; (one = yyjson_arr_iter_next(&it)); index++) {
        struct str id = json_str(json_get(one, "insertId"));
        uint64_t hash = id.len ? id_hash(in->call, id) : 0;
        if (hash && queries_seen(in->call->api->queries, hash))
            continue;
        if (!row_read(in, json_get(one, "json"), index))
            continue;
        in->rows++;
        if (hash)
            in->seen[in->seen_count++] = hash;
    }
}

/* One bad row stops all others, unless invalid ones are to be skipped. */
static void stop_good_rows(struct inserting *in, uint32_t count)
{
    uint32_t bad = in->fault_count, at = 0;

    if (bad == 0 || in->skip_invalid)
        return;
    in->rows = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (at < bad && in->fault[at].index == i) {
            at++;
            continue;
        }
        fault_add(in, i, (struct str){ 0 }, "");
        in->fault[in->fault_count - 1].stopped = true;
    }
}

static void reply_inserted(const struct inserting *in)
{
    struct buf out = BUF_INIT(SIZE_MAX);
    struct json_writer w = JSON_WRITER(&out);

    json_object(&w, NULL);
    json_add_c(&w, "kind", "bigquery#tableDataInsertAllResponse");
    if (in->fault_count)
        json_array(&w, "insertErrors");
    for (uint32_t i = 0; i < in->fault_count; i++) {
        const struct row_fault *f = &in->fault[i];
        json_object(&w, NULL);
        json_add_uint(&w, "index", f->index);
        json_array(&w, "errors");
        json_object(&w, NULL);
        json_add_c(&w, "reason", f->stopped ? "stopped" : "invalid");
        json_add_text(&w, "location", f->location);
        json_add_c(&w, "debugInfo", "");
        json_add_text(&w, "message", f->message);
        json_end(&w);
        json_end(&w);
        json_end(&w);
    }
    if (in->fault_count)
        json_end(&w);
    json_end(&w);
    call_reply(in->call, &out);
}

/* The table that the rows go to: with templateSuffix one that is made of the named one's columns. */
static int target_find(struct call *c, yyjson_val *body, struct tables_table *out, struct error *e)
{
    struct tables *t = c->api->tables;
    struct str suffix = json_str(json_get(body, "templateSuffix"));
    struct error why = { 0 };
    struct tables_name name;

    name = (struct tables_name){ c->param[0], c->param[1], c->param[2] };
    if (t->ops->get(t, &name, c->arena, out, e) < 0)
        return -1;
    if (out->kind == TABLES_VIEW)
        return error_set(e, ERROR_INVALID_ARGUMENT, "Cannot add rows to a table of type VIEW.");
    if (suffix.len == 0)
        return 0;
    struct tables_table made = {
        .name = name, .schema = out->schema, .options = out->options, .expires_ms = out->expires_ms
    };
    made.name.table =
        str_of(arena_textf(c->arena, "%.*s%.*s", STR_ARG(name.table), STR_ARG(suffix)));
    if (tables_table_check(made.name.table, e) < 0)
        return -1;
    if (t->ops->create(t, &made, &why) < 0 && why.code != ERROR_ALREADY_EXISTS) {
        *e = why;
        return -1;
    }
    return t->ops->get(t, &made.name, c->arena, out, e);
}

static int insert(struct inserting *in, yyjson_val *body, struct error *e)
{
    struct call *c = in->call;
    struct tables *t = c->api->tables;
    struct tables_table table;
    yyjson_val *rows = json_get(body, "rows");
    size_t n = yyjson_arr_size(rows);

    if (n == 0)
        return error_set(e, ERROR_INVALID_ARGUMENT, "No rows present in the request.");
    if (n > ROWS_MAX)
        return error_set(e, ERROR_INVALID_ARGUMENT, "The request has more than %d rows.", ROWS_MAX);
    if (target_find(c, body, &table, e) < 0)
        return -1;
    if (table.schema.count == 0)
        return error_set(e, ERROR_INVALID_ARGUMENT, "The destination table has no schema.");
    in->schema = table.schema;
    in->ignore_unknown = yyjson_get_bool(json_get(body, "ignoreUnknownValues"));
    in->skip_invalid = yyjson_get_bool(json_get(body, "skipInvalidRows"));
    rows_read(in, rows);
    stop_good_rows(in, (uint32_t)n);
    if (in->rows == 0)
        return 0;
    const struct bq_batch batch = { in->cell, in->rows, in->schema.count };
    if (t->ops->insert(t, &table.name, &in->schema, &batch, e) < 0)
        return -1;
    for (uint32_t i = 0; i < in->seen_count; i++)
        queries_see(c->api->queries, in->seen[i]);
    return 0;
}

void bigquery_insert_all(struct call *c)
{
    struct inserting in = { .call = c };
    struct error e = { 0 };
    struct tables_name name;
    yyjson_val *body = call_json(c, &e);

    if (!name_of(c, &name))
        return;
    if (!body || bigquery_script(c, str_of(tables_text(c->arena, &name)), &e) < 0 ||
        insert(&in, body, &e) < 0)
        call_fail(c, &e);
    else
        reply_inserted(&in);
}
