/* rows.c -- pages of rows as JSON. */
#include "api/bigquery/bigquery.h"

enum bq_times bigquery_times(struct call *c, yyjson_val *body)
{
    yyjson_val *options = json_get(body, "formatOptions");
    yyjson_val *flag = json_get(options, "useInt64Timestamp");
    struct str form = json_str(json_get(options, "timestampOutputFormat")), micros = { 0 };

    if (!body) {
        (void)http_query(c->http, "formatOptions.timestampOutputFormat", &form);
        (void)http_query(c->http, "formatOptions.useInt64Timestamp", &micros);
    }
    if (str_eq(form, STR("ISO8601_STRING")))
        return BQ_TIMES_ISO;
    bool on = yyjson_get_bool(flag) || str_eq(micros, STR("true")) || str_eq(micros, STR("True")) ||
              str_eq(form, STR("INT64"));
    return on ? BQ_TIMES_MICROS : BQ_TIMES_SECONDS;
}

struct rows_writing {
    const struct bigquery_page *page;
    struct json_writer *w;
    struct bq_schema schema;
    size_t begin; /* of the rows in the buffer */
    uint32_t count;
};

static void write_row(struct rows_writing *r, const struct bq_cell *cell)
{
    if (r->count++ == 0)
        json_array(r->w, "rows");
    json_object(r->w, NULL);
    json_array(r->w, "f");
    for (uint32_t i = 0; i < r->schema.count; i++) {
        json_object(r->w, NULL);
        bq_cell_write(r->w, "v", &r->schema.field[i], cell[i], r->page->times);
        json_end(r->w);
    }
    json_end(r->w);
    json_end(r->w);
}

/* False: the page is full. */
static bool write_batch(struct rows_writing *r, const struct bq_batch *b)
{
    for (uint32_t i = 0; i < b->rows; i++) {
        if (r->count >= r->page->limit || r->w->out->len - r->begin > BIGQUERY_PAGE_BYTES)
            return false;
        write_row(r, b->cell + (size_t)i * b->columns);
    }
    return true;
}

int bigquery_rows(struct call *c, const struct bigquery_page *page, struct json_writer *w,
                  uint32_t *count, struct error *e)
{
    struct tables *t = c->api->tables;
    struct rows_writing r = { .page = page, .w = w, .begin = w->out->len };
    const struct tables_read read = {
        .name = page->name,
        .columns = page->columns,
        .column_count = page->column_count,
        .start = page->start,
        .limit = page->limit,
    };
    struct arena a = { 0 };
    struct bq_batch batch;
    int got = 0;

    *count = 0;
    if (page->limit == 0)
        return 0;
    struct tables_rows *rows = t->ops->read(t, &read, c->arena, &r.schema, e);
    if (!rows)
        return -1;
    while ((got = t->ops->rows_next(rows, &a, &batch, e)) > 0 && write_batch(&r, &batch))
        arena_reset(&a);
    t->ops->rows_close(rows);
    arena_release(&a);
    if (r.count > 0)
        json_end(w);
    *count = r.count;
    return got < 0 ? -1 : 0;
}
