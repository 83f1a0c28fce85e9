/* resources.c -- datasets and tables of BigQuery.
 *
 * Why: tables.h keeps the members that it does not know as options. Those that BigQuery adds by itself are none
 * of them, and must not be sent back as if the caller had set them.
 *
 * Lists:   BigQuery pages by tokens and promises no order; all names are fetched and put in order here.
 */
#include "store/tables/bigquery/inner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BODY_BYTES_MAX ((size_t)64 * 1024 * 1024)

/* Set by BigQuery, or with a place in the struct. */
static const char *const dataset_known[] = {
    "kind",
    "etag",
    "id",
    "selfLink",
    "type",
    "datasetReference",
    "creationTime",
    "access",
    "lastModifiedTime",
    "location",
    "defaultTableExpirationMs",
    "maxTimeTravelHours",
    "satisfiesPzs",
    "satisfiesPzi",
    NULL,
};
static const char *const table_known[] = {
    "kind",
    "etag",
    "id",
    "selfLink",
    "tableReference",
    "schema",
    "type",
    "view",
    "location",
    "creationTime",
    "expirationTime",
    "lastModifiedTime",
    "streamingBuffer",
    NULL,
};

static bool is_known(const char *const *known, const char *key)
{
    bool found = strncmp(key, "num", 3) == 0; /* numRows, numBytes and so on */

    for (; *known && !found; known++)
        found = strcmp(*known, key) == 0;
    return found;
}

static struct str options_of(yyjson_val *resource, const char *const *known, struct arena *a)
{
    struct buf out = BUF_INIT(BODY_BYTES_MAX);
    struct json_writer w = JSON_WRITER(&out);
    yyjson_obj_iter it = yyjson_obj_iter_with(resource);
    yyjson_val *key;

    json_object(&w, NULL);
    while ((key = yyjson_obj_iter_next(&it)))
        if (!is_known(known, yyjson_get_str(key)))
            json_add_value(&w, yyjson_get_str(key), yyjson_obj_iter_get_val(key));
    json_end(&w);
    struct str text = rest_copy(a, buf_str(&out));
    buf_release(&out);
    return text;
}

/* The members of the options, and null for each that the present resource has and they lack. */
static int write_options(struct json_writer *w, struct str options, yyjson_val *present,
                         const char *const *known, struct arena *a, struct error *e)
{
    size_t at;
    yyjson_val *root = options.len ? json_parse(a, options, &at, e) : NULL, *key;

    if (options.len && !yyjson_is_obj(root))
        return root ? error_set(e, ERROR_INVALID_ARGUMENT, "The options are not a JSON object")
                    : -1;
    yyjson_obj_iter it = yyjson_obj_iter_with(root);
    while ((key = yyjson_obj_iter_next(&it)))
        json_add_value(w, yyjson_get_str(key), yyjson_obj_iter_get_val(key));
    it = yyjson_obj_iter_with(present);
    while ((key = yyjson_obj_iter_next(&it)))
        if (!is_known(known, yyjson_get_str(key)) && !json_get(root, yyjson_get_str(key)))
            json_add_null(w, yyjson_get_str(key));
    return 0;
}

static void keep_etag(char out[TABLES_ETAG_BYTES], yyjson_val *resource)
{
    (void)snprintf(out, TABLES_ETAG_BYTES, "%.*s", STR_ARG(json_str(json_get(resource, "etag"))));
}

static const char *path_of(struct arena *a, const struct tables_name *n, const char *behind)
{
    const struct str part[] = { n->project, n->dataset, n->table };

    return arena_textf(
        a, "%s%s",
        rest_path(a,
                  n->table.len ? "/projects/{}/datasets/{}/tables/{}" : "/projects/{}/datasets/{}",
                  part),
        behind);
}

static yyjson_val *fetch(struct bigquery *b, const struct tables_name *n, struct arena *a,
                         struct error *e)
{
    struct rest_call call = { .method = "GET" };

    if (rest_name_check(n, e) < 0)
        return NULL;
    call.path = path_of(a, n, "?prettyPrint=false");
    return rest_ask(b, &call, a, e);
}

/* A resource that is sent: insert, or a patch of the one with this etag. */
static int send(struct bigquery *b, const char *method, const char *path, struct buf *body,
                const char *etag, struct error *e)
{
    struct arena a = { 0 };
    const struct rest_call call = {
        .method = method,
        .path = path,
        .header = etag && *etag ? arena_textf(&a, "If-Match: %s", etag) : NULL,
        .body = buf_str(body),
    };
    yyjson_val *answer = rest_ask(b, &call, &a, e);

    arena_release(&a);
    buf_release(body);
    return answer ? 0 : -1;
}

static int delete(struct bigquery *b, const struct tables_name *n, const char *query,
                  struct error *e)
{
    struct arena a = { 0 };
    struct rest_call call = { .method = "DELETE" };
    int rc = rest_name_check(n, e);

    if (rc == 0) {
        call.path = path_of(&a, n, query);
        rc = rest_ask(b, &call, &a, e) ? 0 : -1;
    }
    arena_release(&a);
    return rc;
}

/* ---- Datasets ---- */

static struct tables_dataset dataset_read(yyjson_val *v, const struct tables_name *name,
                                          struct arena *a)
{
    struct tables_dataset d = {
        .name = { rest_copy(a, name->project), rest_copy(a, name->dataset), { NULL, 0 } },
        .options = options_of(v, dataset_known, a),
        .default_expiration_ms = rest_int(json_get(v, "defaultTableExpirationMs")),
        .created_ms = rest_int(json_get(v, "creationTime")),
        .changed_ms = rest_int(json_get(v, "lastModifiedTime")),
    };

    keep_etag(d.etag, v);
    return d;
}

/* rest_name_check looks at a table when its p is set. */
static struct tables_name dataset_name(const struct tables_name *n)
{
    return (struct tables_name){ n->project, n->dataset, { NULL, 0 } };
}

int rest_dataset_create(struct tables *t, const struct tables_dataset *d, struct error *e)
{
    struct buf body = BUF_INIT(BODY_BYTES_MAX);
    struct json_writer w = JSON_WRITER(&body);
    struct tables_name name = dataset_name(&d->name);
    struct arena a = { 0 };

    json_object(&w, NULL);
    rest_reference(&w, "datasetReference", &name);
    if (d->default_expiration_ms)
        json_addf(&w, "defaultTableExpirationMs", "%lld", (long long)d->default_expiration_ms);
    int rc = rest_name_check(&name, e);
    if (rc == 0)
        rc = write_options(&w, d->options, NULL, dataset_known, &a, e);
    json_end(&w);
    if (rc == 0)
        rc = send(rest_of(t), "POST",
                  rest_path(&a, "/projects/{}/datasets?prettyPrint=false", &name.project), &body,
                  NULL, e);
    buf_release(&body);
    arena_release(&a);
    return rc;
}

int rest_dataset_get(struct tables *t, const struct tables_name *name, struct arena *a,
                     struct tables_dataset *out, struct error *e)
{
    struct tables_name n = dataset_name(name);
    yyjson_val *v = fetch(rest_of(t), &n, a, e);

    if (!v)
        return -1;
    *out = dataset_read(v, &n, a);
    return 0;
}

int rest_dataset_change(struct tables *t, const struct tables_dataset *d, struct error *e)
{
    struct buf body = BUF_INIT(BODY_BYTES_MAX);
    struct json_writer w = JSON_WRITER(&body);
    struct tables_name name = dataset_name(&d->name);
    struct arena a = { 0 };
    yyjson_val *present = fetch(rest_of(t), &name, &a, e);
    int rc = present ? 0 : -1;

    json_object(&w, NULL);
    if (d->default_expiration_ms)
        json_addf(&w, "defaultTableExpirationMs", "%lld", (long long)d->default_expiration_ms);
    else
        json_add_null(&w, "defaultTableExpirationMs");
    if (rc == 0)
        rc = write_options(&w, d->options, present, dataset_known, &a, e);
    json_end(&w);
    if (rc == 0)
        rc = send(rest_of(t), "PATCH", path_of(&a, &name, "?prettyPrint=false"), &body, d->etag, e);
    buf_release(&body);
    arena_release(&a);
    return rc;
}

int rest_dataset_delete(struct tables *t, const struct tables_name *name, bool contents,
                        struct error *e)
{
    struct tables_name n = dataset_name(name);

    return delete (rest_of(t), &n, contents ? "?deleteContents=true" : "?deleteContents=false", e);
}

int rest_location(struct bigquery *b, const struct tables_name *name, struct arena *a,
                  struct str *out, struct error *e)
{
    struct tables_name n = dataset_name(name);
    yyjson_val *v = fetch(b, &n, a, e);

    if (!v)
        return -1;
    *out = json_str(json_get(v, "location"));
    return 0;
}

/* ---- Tables ---- */

int rest_schema(yyjson_val *v, struct arena *a, struct bq_schema *out, struct error *e)
{
    struct str text = v ? json_text(a, v) : STR("{\"fields\":[]}");

    return bq_schema_parse_stored(text, a, out, e);
}

static int table_read(yyjson_val *v, const struct tables_name *name, struct arena *a,
                      struct tables_table *out, struct error *e)
{
    struct str type = json_str(json_get(v, "type"));
    yyjson_val *view = json_get(json_get(v, "view"), "query");

    *out = (struct tables_table){
        .name = { rest_copy(a, name->project), rest_copy(a, name->dataset),
                  rest_copy(a, name->table) },
        /* Only a query reads the others: a materialized view, an external table. */
        .kind = str_eq_c(type, "TABLE") || str_eq_c(type, "SNAPSHOT") || !type.len ? TABLES_TABLE
                                                                                   : TABLES_VIEW,
        .view_query = json_str(view),
        .options = options_of(v, table_known, a),
        .expires_ms = rest_int(json_get(v, "expirationTime")),
        .created_ms = rest_int(json_get(v, "creationTime")),
        .changed_ms = rest_int(json_get(v, "lastModifiedTime")),
        .rows = json_get(v, "numRows") ? rest_int(json_get(v, "numRows")) : -1,
        .bytes = json_get(v, "numBytes") ? rest_int(json_get(v, "numBytes")) : -1,
    };
    if (out->kind == TABLES_VIEW)
        out->rows = out->bytes = 0;
    keep_etag(out->etag, v);
    return rest_schema(json_get(v, "schema"), a, &out->schema, e);
}

int rest_table_get(struct tables *t, const struct tables_name *name, struct arena *a,
                   struct tables_table *out, struct error *e)
{
    yyjson_val *v = fetch(rest_of(t), name, a, e);

    return v ? table_read(v, name, a, out, e) : -1;
}

static void write_table(struct json_writer *w, const struct tables_table *table)
{
    rest_reference(w, "tableReference", &table->name);
    if (table->view_query.len) {
        json_object(w, "view");
        json_add_text(w, "query", table->view_query);
        json_add_bool(w, "useLegacySql", false);
        json_end(w);
    } else if (table->schema.count) {
        bq_schema_write(w, "schema", &table->schema, false);
    }
}

int rest_table_create(struct tables *t, const struct tables_table *table, struct error *e)
{
    struct buf body = BUF_INIT(BODY_BYTES_MAX);
    struct json_writer w = JSON_WRITER(&body);
    struct arena a = { 0 };
    int rc = rest_name_check(&table->name, e);

    json_object(&w, NULL);
    write_table(&w, table);
    if (table->expires_ms)
        json_addf(&w, "expirationTime", "%lld", (long long)table->expires_ms);
    if (rc == 0 && !table->name.table.len)
        rc = tables_table_check(table->name.table, e);
    if (rc == 0)
        rc = write_options(&w, table->options, NULL, table_known, &a, e);
    json_end(&w);
    if (rc == 0)
        rc = send(rest_of(t), "POST",
                  rest_path(&a, "/projects/{}/datasets/{}/tables?prettyPrint=false",
                            (const struct str[]){ table->name.project, table->name.dataset }),
                  &body, NULL, e);
    buf_release(&body);
    arena_release(&a);
    return rc;
}

int rest_table_change(struct tables *t, const struct tables_table *table, struct error *e)
{
    struct buf body = BUF_INIT(BODY_BYTES_MAX);
    struct json_writer w = JSON_WRITER(&body);
    struct arena a = { 0 };
    yyjson_val *present = fetch(rest_of(t), &table->name, &a, e);
    int rc = present ? 0 : -1;

    json_object(&w, NULL);
    write_table(&w, table);
    if (table->expires_ms)
        json_addf(&w, "expirationTime", "%lld", (long long)table->expires_ms);
    else
        json_add_null(&w, "expirationTime");
    if (rc == 0)
        rc = write_options(&w, table->options, present, table_known, &a, e);
    json_end(&w);
    if (rc == 0)
        rc = send(rest_of(t), "PATCH", path_of(&a, &table->name, "?prettyPrint=false"), &body,
                  table->etag, e);
    buf_release(&body);
    arena_release(&a);
    return rc;
}

int rest_table_remove(struct tables *t, const struct tables_name *name, struct error *e)
{
    return delete (rest_of(t), name, "", e);
}

/* ---- Lists ---- */

struct listing {
    struct bigquery *b;
    struct arena *arena;
    const char *path;           /* of the first page, with a query */
    const char *items;          /* "tables" */
    const char *reference, *id; /* "tableReference", "tableId" */
    yyjson_val **item;          /* in the order of their names */
    uint32_t count;
};

static struct str name_of(const struct listing *l, const yyjson_val *item)
{
    union {
        const yyjson_val *in;
        yyjson_val *out;
    } v = { .in = item };

    return json_str(json_get(json_get(v.out, l->reference), l->id));
}

static int fetch_pages(struct listing *l, struct error *e)
{
    struct str token = { 0 };

    do {
        const struct rest_call call = {
            .method = "GET",
            .path = token.len ? rest_path(l->arena,
                                          arena_textf(l->arena, "%s&pageToken={}", l->path), &token)
                              : l->path,
        };
        yyjson_val *page = rest_ask(l->b, &call, l->arena, e);
        if (!page)
            return -1;
        yyjson_arr_iter it = yyjson_arr_iter_with(json_get(page, l->items));
        for (yyjson_val *v; (v = yyjson_arr_iter_next(&it));) {
            l->item = arena_list_grow(l->arena, l->item, l->count, sizeof(yyjson_val *));
            l->item[l->count++] = v;
        }
        token = json_str(json_get(page, "nextPageToken"));
    } while (token.len);
    return 0;
}

struct named {
    struct str name;
    yyjson_val *v;
};

static int named_compare(const void *a, const void *b)
{
    return str_cmp(((const struct named *)a)->name, ((const struct named *)b)->name);
}

/* Those behind `after`, at most limit; *more: there are others. */
static void choose(struct listing *l, struct str after, uint32_t limit, bool *more)
{
    struct named *all = arena_array(l->arena, l->count + 1, sizeof *all);
    uint32_t kept = 0;

    for (uint32_t i = 0; i < l->count; i++)
        all[i] = (struct named){ name_of(l, l->item[i]), l->item[i] };
    if (l->count)
        qsort(all, l->count, sizeof *all, named_compare);
    *more = false;
    for (uint32_t i = 0; i < l->count && !*more; i++) {
        if (str_cmp(all[i].name, after) <= 0)
            continue;
        *more = kept == limit;
        if (!*more)
            l->item[kept++] = all[i].v;
    }
    l->count = kept;
}

int rest_dataset_list(struct tables *t, const struct tables_page *page, struct arena *a,
                      struct tables_datasets *out, struct error *e)
{
    struct listing l = {
        .b = rest_of(t),
        .arena = a,
        .items = "datasets",
        .reference = "datasetReference",
        .id = "datasetId",
    };

    *out = (struct tables_datasets){ .item = NULL };
    if (rest_project_check(page->parent.project, e) < 0)
        return -1;
    l.path = arena_textf(a, "%s?prettyPrint=false&maxResults=1000%s",
                         rest_path(a, "/projects/{}/datasets", &page->parent.project),
                         page->hidden ? "&all=true" : "");
    if (fetch_pages(&l, e) < 0)
        return -1;
    choose(&l, page->after, page->limit, &out->more);
    out->item = arena_array(a, l.count, sizeof *out->item);
    for (; out->count < l.count; out->count++) {
        struct tables_name name = { page->parent.project,
                                    name_of(&l, l.item[out->count]),
                                    { NULL, 0 } };
        out->item[out->count] = dataset_read(l.item[out->count], &name, a);
    }
    return 0;
}

int rest_table_list(struct tables *t, const struct tables_page *page, struct arena *a,
                    struct tables_list *out, struct error *e)
{
    struct tables_name parent = dataset_name(&page->parent);
    struct listing l = {
        .b = rest_of(t),
        .arena = a,
        .items = "tables",
        .reference = "tableReference",
        .id = "tableId",
    };

    *out = (struct tables_list){ .item = NULL };
    if (rest_name_check(&parent, e) < 0)
        return -1;
    l.path = path_of(a, &parent, "/tables?prettyPrint=false&maxResults=1000");
    if (fetch_pages(&l, e) < 0)
        return -1;
    choose(&l, page->after, page->limit, &out->more);
    out->item = arena_array(a, l.count, sizeof *out->item);
    for (; out->count < l.count; out->count++) {
        struct tables_name name = { parent.project, parent.dataset,
                                    name_of(&l, l.item[out->count]) };
        if (table_read(l.item[out->count], &name, a, &out->item[out->count], e) < 0)
            return -1;
    }
    return 0;
}
