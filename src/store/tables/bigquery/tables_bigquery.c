/* tables_bigquery.c -- tables.h by BigQuery itself: the table of operations, opening and closing. */
#include "store/tables/bigquery/inner.h"

#define ENDPOINT "https://bigquery.googleapis.com"
#define RETRY_MS 600000

static void tables_close(struct tables *t)
{
    struct bigquery *b = t ? rest_of(t) : NULL;

    if (!b)
        return;
    http_pool_free(b->pool);
    credential_free(b->credential);
    arena_release(&b->arena);
    mem_free(b);
}

/* ---- Jobs of our own API: BigQuery has its own ---- */

static int no_jobs(struct error *e)
{
    return error_set(e, ERROR_UNIMPLEMENTED, "BigQuery keeps its jobs itself; ask it for them.");
}

static int job_put(struct tables *t, struct str project, const struct tables_job *job,
                   struct error *e)
{
    (void)t;
    (void)project;
    (void)job;
    return no_jobs(e);
}

static int job_get(struct tables *t, struct str project, struct str id, struct arena *a,
                   struct tables_job *out, struct error *e)
{
    (void)t;
    (void)project;
    (void)id;
    (void)a;
    (void)out;
    return no_jobs(e);
}

static int job_list(struct tables *t, const struct tables_jobs_page *page, struct arena *a,
                    struct tables_jobs *out, struct error *e)
{
    (void)t;
    (void)page;
    (void)a;
    (void)out;
    return no_jobs(e);
}

static int job_delete(struct tables *t, struct str project, struct str id, struct error *e)
{
    (void)t;
    (void)project;
    (void)id;
    return no_jobs(e);
}

static const struct tables_ops ops = {
    .name = "bigquery",
    .close = tables_close,
    .dataset_create = rest_dataset_create,
    .dataset_get = rest_dataset_get,
    .dataset_change = rest_dataset_change,
    .dataset_delete = rest_dataset_delete,
    .dataset_list = rest_dataset_list,
    .create = rest_table_create,
    .get = rest_table_get,
    .change = rest_table_change,
    .remove = rest_table_remove,
    .list = rest_table_list,
    .read = rest_rows_open,
    .rows_next = rest_rows_next,
    .rows_close = rest_rows_close,
    .write = rest_writer_open,
    .writer_append = rest_writer_append,
    .writer_commit = rest_writer_commit,
    .writer_close = rest_writer_close,
    .insert = rest_insert,
    .query = rest_query,
    .load = rest_load,
    .extract = rest_extract,
    .copy = rest_copy_table,
    .session_create = rest_session_create,
    .session_end = rest_session_end,
    .job_put = job_put,
    .job_get = job_get,
    .job_list = job_list,
    .job_delete = job_delete,
    .done = rest_done,
    .sweep = rest_sweep,
};

static int open_at(struct bigquery *b, const struct tables_bigquery *s, struct error *e)
{
    struct str endpoint = str_of(s->endpoint ? s->endpoint : ENDPOINT);

    while (endpoint.len && endpoint.p[endpoint.len - 1] == '/')
        endpoint.len--;
    if (!str_starts(endpoint, STR("http://")) && !str_starts(endpoint, STR("https://")))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "%.*s is not BigQuery's address: it begins with https:// or http://",
                         STR_ARG(endpoint));
    b->endpoint = arena_copy(&b->arena, endpoint.p, endpoint.len);
    b->dir = rest_copy(&b->arena, str_of(s->dir)).p;
    b->project = rest_copy(&b->arena, str_of(s->project));
    b->location = rest_copy(&b->arena, str_of(s->location));
    b->ca_file = s->ca_file ? rest_copy(&b->arena, str_of(s->ca_file)).p : NULL;
    b->retry_ns = (s->retry_ms ? s->retry_ms : RETRY_MS) * NS_PER_MS;
    if (b->project.len && rest_project_check(b->project, e) < 0)
        return -1;
    if (http_client_init(e) < 0)
        return -1;
    if (!s->credential.secret && !s->credential.secret_file && !s->credential.service_account &&
        !s->credential.adc)
        return 0;
    b->credential = credential_new(&s->credential, b->clock, b->ca_file, e);
    return b->credential ? 0 : error_wrap(e, "BigQuery");
}

struct tables *tables_bigquery_open(const struct tables_bigquery *s, struct clock *clock,
                                    struct error *e)
{
    struct bigquery *b = mem_alloc(sizeof *b);

    b->tables.ops = &ops;
    b->clock = clock;
    b->pool = http_pool_new();
    if (open_at(b, s, e) == 0)
        return &b->tables;
    tables_close(&b->tables);
    return NULL;
}
