/* files.c -- files that are loaded into BigQuery, and copies of tables.
 *
 * Source:  https://cloud.google.com/bigquery/docs/reference/rest/v2/Job#JobConfigurationLoad
 */
#include "store/tables/bigquery/inner.h"

#define CONFIGURATION_BYTES_MAX ((size_t)64 * 1024 * 1024)

static void write_csv(struct json_writer *w, const struct tables_load *l)
{
    if (l->skip_rows >= 0)
        json_addf(w, "skipLeadingRows", "%lld", (long long)l->skip_rows);
    if (l->delimiter.len)
        json_add_text(w, "fieldDelimiter", l->delimiter);
    if (l->quote_none || l->quote.len)
        json_add_text(w, "quote", l->quote_none ? (struct str){ "", 0 } : l->quote);
    json_add_bool(w, "allowQuotedNewlines", l->quoted_newlines);
    json_add_bool(w, "allowJaggedRows", l->jagged_rows);
    if (l->null_marker.len)
        json_add_text(w, "nullMarker", l->null_marker);
    if (l->encoding.len)
        json_add_text(w, "encoding", l->encoding);
}

static struct str load_configuration(const struct tables_load *l, struct arena *a)
{
    static const char *const formats[] = { [TABLES_CSV] = "CSV",
                                           [TABLES_NDJSON] = "NEWLINE_DELIMITED_JSON",
                                           [TABLES_PARQUET] = "PARQUET" };
    struct buf out = BUF_INIT(CONFIGURATION_BYTES_MAX);
    struct json_writer w = JSON_WRITER(&out);

    json_object(&w, NULL);
    json_object(&w, "load");
    json_add_c(&w, "sourceFormat", formats[l->format]);
    if (l->schema.count)
        bq_schema_write(&w, "schema", &l->schema, false);
    if (l->autodetect)
        json_add_bool(&w, "autodetect", true);
    if (l->format == TABLES_CSV)
        write_csv(&w, l);
    json_add_bool(&w, "ignoreUnknownValues", l->ignore_unknown);
    json_add_int(&w, "maxBadRecords", l->bad_rows_max);
    rest_into(&w, &l->into);
    json_end(&w);
    json_end(&w);
    struct str text = rest_copy(a, buf_str(&out));
    buf_release(&out);
    return text;
}

static void read_loaded(yyjson_val *job, struct tables_loaded *out)
{
    yyjson_val *load = json_get(json_get(job, "statistics"), "load");
    yyjson_arr_iter it = yyjson_arr_iter_with(json_get(json_get(job, "status"), "errors"));

    out->outcome.rows = rest_int(json_get(load, "outputRows"));
    out->outcome.bytes = rest_int(json_get(load, "outputBytes"));
    out->input_bytes = rest_int(json_get(load, "inputFileBytes"));
    out->bad_rows = rest_int(json_get(load, "badRecords"));
    for (yyjson_val *v;
         out->error_count < TABLES_LOAD_ERRORS_MAX && (v = yyjson_arr_iter_next(&it));)
        out->error[out->error_count++] = json_str(json_get(v, "message"));
}

/* True when the table is not there; its dataset's place is in *location. */
static int look(struct bigquery *b, const struct tables_name *name, struct arena *a,
                struct str *location, bool *absent, struct error *e)
{
    struct tables_table table;
    struct error why = { 0 };

    if (rest_location(b, name, a, location, e) < 0)
        return -1;
    *absent = false;
    if (rest_table_get(&b->tables, name, a, &table, &why) == 0)
        return 0;
    *absent = why.code == ERROR_NOT_FOUND;
    if (!*absent)
        *e = why;
    return *absent ? 0 : -1;
}

int rest_load(struct tables *t, const struct tables_load *l, struct arena *a,
              struct tables_loaded *out, struct error *e)
{
    struct bigquery *b = rest_of(t);
    struct rest_job j = {
        .project = rest_payer(b, l->into.name.project),
        .key = l->key,
        .path = l->path[0],
        .cancel = l->cancel,
    };
    bool again, absent;

    *out = (struct tables_loaded){ .input_bytes = 0 };
    if (l->path_count != 1)
        return error_set(e, ERROR_UNIMPLEMENTED, "A load job of BigQuery takes one file, not %u.",
                         l->path_count);
    if (look(b, &l->into.name, a, &j.location, &absent, e) < 0)
        return -1;
    j.configuration = load_configuration(l, a);
    yyjson_val *job = rest_job_run(b, &j, a, &again, e);
    if (!job)
        return -1;
    read_loaded(job, out);
    out->outcome.created = absent;
    out->outcome.again = again;
    return 0;
}

int rest_extract(struct tables *t, const struct tables_extract *x, struct tables_outcome *out,
                 struct error *e)
{
    (void)t;
    (void)x;
    (void)out;
    return error_set(e, ERROR_UNIMPLEMENTED,
                     "BigQuery writes files to Google Cloud Storage only; read the table instead.");
}

int rest_copy_table(struct tables *t, const struct tables_copy *c, struct tables_outcome *out,
                    struct error *e)
{
    struct bigquery *b = rest_of(t);
    struct arena a = { 0 };
    struct buf text = BUF_INIT(CONFIGURATION_BYTES_MAX);
    struct json_writer w = JSON_WRITER(&text);
    struct rest_job j = { .project = rest_payer(b, c->into.name.project),
                          .key = c->key,
                          .cancel = c->cancel };
    struct tables_table made = { .rows = 0 };
    bool again, absent;

    json_object(&w, NULL);
    json_object(&w, "copy");
    json_array(&w, "sourceTables");
    for (uint32_t i = 0; i < c->from_count; i++)
        rest_reference(&w, NULL, &c->from[i]);
    json_end(&w);
    rest_into(&w, &c->into);
    json_end(&w);
    json_end(&w);
    j.configuration = buf_str(&text);
    int rc = look(b, &c->into.name, &a, &j.location, &absent, e);
    if (rc == 0)
        rc = rest_job_run(b, &j, &a, &again, e) ? 0 : -1;
    if (rc == 0)
        rc = rest_table_get(t, &c->into.name, &a, &made, e);
    if (rc == 0)
        *out = (struct tables_outcome){ made.rows, made.bytes, absent, again };
    buf_release(&text);
    arena_release(&a);
    return rc;
}
