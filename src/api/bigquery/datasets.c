/* datasets.c -- datasets: insert, get, list, patch, update, delete. */
#include "api/bigquery/bigquery.h"

#include <inttypes.h>

/* Members that are not kept as options: ours, and those with a place in the struct. */
static const char *const known[] = {
    "kind",
    "etag",
    "id",
    "selfLink",
    "datasetReference",
    "creationTime",
    "lastModifiedTime",
    "defaultTableExpirationMs",
    "type",
    NULL,
};

static bool name_of(struct call *c, struct tables_name *out)
{
    *out = (struct tables_name){ .dataset = c->param_count > 1 ? c->param[1] : (struct str){ 0 } };
    return bigquery_project(c, &out->project);
}

static void write_access(struct json_writer *w)
{
    static const char *const roles[][2] = { { "WRITER", "projectWriters" },
                                            { "OWNER", "projectOwners" },
                                            { "READER", "projectReaders" } };

    json_array(w, "access");
    for (size_t i = 0; i < ARRAY_LEN(roles); i++) {
        json_object(w, NULL);
        json_add_c(w, "role", roles[i][0]);
        json_add_c(w, "specialGroup", roles[i][1]);
        json_end(w);
    }
    json_end(w);
}

/* A member that the options may have instead. */
static void add_default(struct json_writer *w, struct str options, const char *key,
                        const char *value)
{
    if (bigquery_option(options, key).len == 0)
        json_add_c(w, key, value);
}

static void write_item(struct json_writer *w, const struct tables_dataset *d)
{
    json_add_c(w, "kind", "bigquery#dataset");
    json_addf(w, "id", "%.*s:%.*s", STR_ARG(d->name.project), STR_ARG(d->name.dataset));
    bigquery_write_reference(w, "datasetReference", &d->name);
    add_default(w, d->options, "location", BIGQUERY_LOCATION);
    json_add_c(w, "type", "DEFAULT");
}

static void write_dataset(struct call *c, struct json_writer *w, const struct tables_dataset *d)
{
    json_object(w, NULL);
    write_item(w, d);
    json_add_c(w, "etag", d->etag);
    json_addf(w, "selfLink", "%.*s/bigquery/v2/projects/%.*s/datasets/%.*s",
              STR_ARG(call_base_url(c)), STR_ARG(d->name.project), STR_ARG(d->name.dataset));
    bigquery_add_ms(w, "creationTime", d->created_ms);
    bigquery_add_ms(w, "lastModifiedTime", d->changed_ms);
    bigquery_add_ms(w, "defaultTableExpirationMs", d->default_expiration_ms);
    add_default(w, d->options, "maxTimeTravelHours", "168");
    if (bigquery_option(d->options, "access").len == 0)
        write_access(w);
    bigquery_write_options(w, d->options);
    json_end(w);
}

static void reply_dataset(struct call *c, const struct tables_name *name)
{
    struct tables *t = c->api->tables;
    struct tables_dataset d;
    struct error e = { 0 };
    struct buf out = BUF_INIT(SIZE_MAX);
    struct json_writer w = JSON_WRITER(&out);

    if (t->ops->dataset_get(t, name, c->arena, &d, &e) < 0) {
        call_fail(c, &e);
        return;
    }
    write_dataset(c, &w, &d);
    call_reply(c, &out);
}

/* {"defaultTableExpirationMs": "3600000"}; absent leaves *out as it is, null sets 0. */
static int read_expiration(yyjson_val *body, int64_t *out, struct error *e)
{
    yyjson_val *v = json_get(body, "defaultTableExpirationMs");
    uint64_t n = 0;

    if (!v)
        return 0;
    if (!yyjson_is_null(v) && (!json_count(v, &n) || n > INT64_MAX))
        return error_set(e, ERROR_INVALID_ARGUMENT, "Invalid value for defaultTableExpirationMs");
    *out = (int64_t)n;
    return 0;
}

void bigquery_dataset_insert(struct call *c)
{
    struct tables *t = c->api->tables;
    struct tables_dataset d = { 0 };
    struct error e = { 0 };
    yyjson_val *body = call_json(c, &e);

    if (!bigquery_project(c, &d.name.project))
        return;
    d.name.dataset = json_str(json_get(json_get(body, "datasetReference"), "datasetId"));
    d.options = bigquery_options(c, body, known, (struct str){ 0 });
    if (!body || tables_dataset_check(d.name.dataset, &e) < 0 ||
        read_expiration(body, &d.default_expiration_ms, &e) < 0 ||
        t->ops->dataset_create(t, &d, &e) < 0)
        call_fail(c, &e);
    else
        reply_dataset(c, &d.name);
}

void bigquery_dataset_get(struct call *c)
{
    struct tables_name name;

    if (name_of(c, &name))
        reply_dataset(c, &name);
}

/* A replaced dataset keeps its location, which the body may leave out. */
static struct str keep_location(struct call *c, struct str options, struct str location)
{
    if (location.len == 0 || bigquery_option(options, "location").len)
        return options;
    return str_of(options.len ? arena_textf(c->arena, "{\"location\":%.*s,%.*s", STR_ARG(location),
                                            STR_ARG(str_sub(options, 1, options.len)))
                              : arena_textf(c->arena, "{\"location\":%.*s}", STR_ARG(location)));
}

static void change(struct call *c, bool merge)
{
    struct tables *t = c->api->tables;
    struct tables_name name;
    struct tables_dataset d;
    struct error e = { 0 };
    yyjson_val *body = call_json(c, &e);

    if (!name_of(c, &name))
        return;
    if (!body || t->ops->dataset_get(t, &name, c->arena, &d, &e) < 0 ||
        bigquery_if_match(c, d.etag, &e) < 0) {
        call_fail(c, &e);
        return;
    }
    struct str location = bigquery_option(d.options, "location");
    if (!merge)
        d.default_expiration_ms = 0;
    d.options = bigquery_options(c, body, known, merge ? d.options : (struct str){ 0 });
    d.options = keep_location(c, d.options, location);
    if (read_expiration(body, &d.default_expiration_ms, &e) < 0 ||
        t->ops->dataset_change(t, &d, &e) < 0)
        call_fail(c, &e);
    else
        reply_dataset(c, &name);
}

void bigquery_dataset_patch(struct call *c)
{
    change(c, true);
}

void bigquery_dataset_update(struct call *c)
{
    change(c, false);
}

void bigquery_dataset_delete(struct call *c)
{
    struct tables *t = c->api->tables;
    struct tables_name name;
    struct error e = { 0 };
    struct str contents = { 0 };

    if (!name_of(c, &name))
        return;
    (void)http_query(c->http, "deleteContents", &contents);
    bool all = str_eq(contents, STR("true")) || str_eq(contents, STR("True"));
    if (t->ops->dataset_delete(t, &name, all, &e) < 0)
        call_fail(c, &e);
    else
        http_reply(c->http, 204, NULL, NULL);
}

/* The filter of datasets.list: labels.key:value terms, all of which must hold. */
static bool matches(struct str filter, struct str options)
{
    struct str labels = bigquery_option(options, "labels"), term;

    while (str_next(&filter, ' ', &term)) {
        struct str key = str_after_last(term, '.'), name;
        if (!str_starts(term, STR("labels.")))
            continue;
        struct str rest = key;
        if (!str_next(&rest, ':', &name))
            return false;
        struct str value = labels.len ? json_member_value(labels, name) : (struct str){ 0 };
        if (value.len < 2 || (rest.len && !str_eq(rest, STR("*")) &&
                              !str_eq(str_sub(value, 1, value.len - 2), rest)))
            return false;
    }
    return true;
}

void bigquery_dataset_list(struct call *c)
{
    struct tables *t = c->api->tables;
    struct tables_page page = { 0 };
    struct tables_datasets list = { 0 };
    struct error e = { 0 };
    struct str all = { 0 }, filter = { 0 };
    struct buf out = BUF_INIT(SIZE_MAX);
    struct json_writer w = JSON_WRITER(&out);

    if (!bigquery_project(c, &page.parent.project))
        return;
    (void)http_query(c->http, "all", &all);
    (void)http_query(c->http, "filter", &filter);
    (void)http_query(c->http, "pageToken", &page.after);
    page.hidden = str_eq(all, STR("true")) || str_eq(all, STR("True"));
    if (bigquery_limit(c, 1000, TABLES_PAGE_MAX, &page.limit, &e) < 0 ||
        t->ops->dataset_list(t, &page, c->arena, &list, &e) < 0) {
        call_fail(c, &e);
        return;
    }
    json_object(&w, NULL);
    json_add_c(&w, "kind", "bigquery#datasetList");
    json_addf(&w, "etag", "%u", list.count);
    if (list.count)
        json_array(&w, "datasets");
    for (uint32_t i = 0; i < list.count; i++) {
        const struct tables_dataset *d = &list.item[i];
        if (!matches(filter, d->options))
            continue;
        json_object(&w, NULL);
        write_item(&w, d);
        static const char *const shown[] = { "friendlyName", "labels", "location" };
        for (size_t k = 0; k < ARRAY_LEN(shown); k++) {
            struct str v = bigquery_option(d->options, shown[k]);
            if (v.len)
                json_add_raw(&w, shown[k], v);
        }
        json_end(&w);
    }
    if (list.count)
        json_end(&w);
    if (list.more)
        json_add_text(&w, "nextPageToken", list.item[list.count - 1].name.dataset);
    json_end(&w);
    call_reply(c, &out);
}
