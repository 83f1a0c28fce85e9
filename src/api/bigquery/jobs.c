/* jobs.c -- jobs: insert, get, list, cancel, delete. */
#include "api/bigquery/bigquery.h"

#include <inttypes.h>
#include <string.h>

#define INSERT_WAIT_MS 500 /* a job that ends so soon is DONE in the reply of its insert */
#define CANCEL_WAIT_MS 2000

static void reply_job(struct call *c, const struct bq_job *j)
{
    struct buf out = BUF_INIT(SIZE_MAX);
    struct json_writer w = JSON_WRITER(&out);

    bq_job_write(&w, NULL, j, BQ_JOB_FULL, call_base_url(c));
    call_reply(c, &out);
}

/* ---- insert ---- */

/* A query that cannot be run at all fails its insert, as with BigQuery; one that failed while it ran is a job with
 * an error. */
static bool is_refused(const struct bq_job *j)
{
    const struct bq_fault *f = &j->fault[0];

    if (!j->failed || j->kind != BQ_JOB_QUERY)
        return false;
    return j->error_http == 404 ||
           (str_eq(f->reason, STR("invalidQuery")) && str_ends(f->message, STR("]")));
}

static void reply_inserted(struct call *c)
{
    const struct bigquery_waiting *w = c->state;
    struct bq_job j;
    struct error e = { 0 };

    if (queries_get(c->api->queries, w->project, w->id, c->arena, &j, &e) < 0)
        call_fail(c, &e);
    else if (is_refused(&j))
        bigquery_fail_job(c, &j);
    else
        reply_job(c, &j);
}

static int new_read(struct call *c, yyjson_val *resource, struct str project, struct query_new *out,
                    struct error *e)
{
    yyjson_val *reference = json_get(resource, "jobReference");
    yyjson_val *configuration = json_get(resource, "configuration");
    struct bq_configuration conf;

    if (bq_configuration_read(configuration, &conf, e) < 0)
        return -1;
    struct str named = json_str(json_get(reference, "projectId"));
    if (named.len && !str_eq(named, project))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "Value of projectId in jobReference does not match the project of the "
                         "path.");
    *out = (struct query_new){
        .project = project,
        .id = json_str(json_get(reference, "jobId")),
        .location = json_str(json_get(reference, "location")),
        .user = bigquery_user(c),
        .configuration = json_text(c->arena, configuration),
        .scoped = bigquery_scoped(c),
        .kept = true,
    };
    return bigquery_script_job(c, out, e);
}

static void check(struct call *c, const struct query_new *n)
{
    struct bq_job j;
    struct error e = { 0 };

    if (queries_check(c->api->queries, n, c->arena, &j, &e) < 0)
        bigquery_fail_query(c, &e);
    else
        reply_job(c, &j);
}

void bigquery_job_start(struct call *c, yyjson_val *resource, int64_t blob)
{
    struct query_new n;
    struct error e = { 0 };
    struct str project, id;

    if (!bigquery_project(c, &project))
        return;
    if (new_read(c, resource, project, &n, &e) < 0) {
        call_fail(c, &e);
        return;
    }
    n.blob = blob;
    if (yyjson_get_bool(json_get(json_get(resource, "configuration"), "dryRun")))
        check(c, &n);
    else if (queries_insert(c->api->queries, &n, c->arena, &id, &e) < 0)
        call_fail(c, &e);
    else
        bigquery_wait(c, project, id, INSERT_WAIT_MS, reply_inserted);
}

void bigquery_job_insert(struct call *c)
{
    struct error e = { 0 };
    yyjson_val *body = call_json(c, &e);

    if (!body)
        call_fail(c, &e);
    else
        bigquery_job_start(c, body, 0);
}

/* ---- get, cancel, delete ---- */

void bigquery_job_get(struct call *c)
{
    struct bq_job j;
    struct error e = { 0 };
    struct str project;

    if (!bigquery_project(c, &project))
        return;
    if (queries_get(c->api->queries, project, c->param[1], c->arena, &j, &e) < 0)
        call_fail(c, &e);
    else
        reply_job(c, &j);
}

static void reply_cancelled(struct call *c)
{
    const struct bigquery_waiting *wait = c->state;
    struct bq_job j;
    struct error e = { 0 };
    struct buf out = BUF_INIT(SIZE_MAX);
    struct json_writer w = JSON_WRITER(&out);

    if (queries_get(c->api->queries, wait->project, wait->id, c->arena, &j, &e) < 0) {
        call_fail(c, &e);
        return;
    }
    json_object(&w, NULL);
    json_add_c(&w, "kind", "bigquery#jobCancelResponse");
    bq_job_write(&w, "job", &j, BQ_JOB_FULL, call_base_url(c));
    json_end(&w);
    call_reply(c, &out);
}

void bigquery_job_cancel(struct call *c)
{
    struct error e = { 0 };
    struct str project;

    if (!bigquery_project(c, &project))
        return;
    if (queries_cancel(c->api->queries, project, c->param[1], &e) < 0)
        call_fail(c, &e);
    else
        bigquery_wait(c, project, c->param[1], CANCEL_WAIT_MS, reply_cancelled);
}

void bigquery_job_delete(struct call *c)
{
    struct error e = { 0 };
    struct str project;

    if (!bigquery_project(c, &project))
        return;
    if (queries_delete(c->api->queries, project, c->param[1], &e) < 0)
        call_fail(c, &e);
    else
        call_reply_c(c, "{}");
}

/* ---- list ---- */

/* A page token is the time and id of the last job of the page before: "1700000000000.job_x". */
static int token_read(struct call *c, struct tables_jobs_page *page, struct error *e)
{
    struct str token = { 0 }, ms;

    if (!http_query(c->http, "pageToken", &token) || token.len == 0)
        return 0;
    if (!str_next(&token, '.', &ms) || !call_int64(ms, &page->before_ms) ||
        bq_job_id_check(token, e) < 0)
        return error_set(e, ERROR_INVALID_ARGUMENT, "Invalid page token");
    page->before_id = token;
    return 0;
}

static int page_read(struct call *c, struct tables_jobs_page *page, int64_t *min_ms,
                     struct error *e)
{
    struct str state = { 0 }, text = { 0 };

    if (http_query(c->http, "stateFilter", &state)) {
        page->state = str_eq(state, STR("done"))      ? STR("DONE")
                      : str_eq(state, STR("running")) ? STR("RUNNING")
                      : str_eq(state, STR("pending")) ? STR("PENDING")
                                                      : state;
        if (page->state.p == state.p)
            return error_set(e, ERROR_INVALID_ARGUMENT,
                             "stateFilter must be done, running or pending.");
    }
    (void)http_query(c->http, "parentJobId", &page->parent);
    if (http_query(c->http, "minCreationTime", &text) && !call_int64(text, min_ms))
        return error_set(e, ERROR_INVALID_ARGUMENT, "Invalid value at 'minCreationTime'");
    if (http_query(c->http, "maxCreationTime", &text)) {
        if (!call_int64(text, &page->before_ms) || page->before_ms == INT64_MAX)
            return error_set(e, ERROR_INVALID_ARGUMENT, "Invalid value at 'maxCreationTime'");
        page->before_ms++;
    }
    return bigquery_limit(c, 50, 1000, &page->limit, e) < 0 ? -1 : token_read(c, page, e);
}

static int write_listed(struct call *c, struct json_writer *w, const struct tables_jobs *list,
                        int64_t min_ms, struct error *e)
{
    struct bq_job j;
    bool all = http_query(c->http, "parentJobId", &(struct str){ 0 });

    for (uint32_t i = 0; i < list->count; i++) {
        if (list->item[i].created_ms < min_ms || (!all && list->item[i].parent.len))
            continue;
        if (bq_job_read(list->item[i].json, c->arena, &j, e) < 0)
            return -1;
        bq_job_write(w, NULL, &j, BQ_JOB_LISTED, (struct str){ 0 });
    }
    return 0;
}

static int write_list(struct call *c, struct str project, struct json_writer *w, struct error *e)
{
    struct tables_jobs_page page = { .project = project };
    struct tables_jobs list = { 0 };
    int64_t min_ms = 0;

    if (page_read(c, &page, &min_ms, e) < 0 ||
        queries_list(c->api->queries, &page, c->arena, &list, e) < 0)
        return -1;
    json_object(w, NULL);
    json_add_c(w, "kind", "bigquery#jobList");
    json_addf(w, "etag", "%u", list.count);
    json_array(w, "jobs");
    if (write_listed(c, w, &list, min_ms, e) < 0)
        return -1;
    json_end(w);
    if (list.more && list.item[list.count - 1].created_ms >= min_ms)
        json_addf(w, "nextPageToken", "%" PRId64 ".%.*s", list.item[list.count - 1].created_ms,
                  STR_ARG(list.item[list.count - 1].id));
    json_end(w);
    return 0;
}

void bigquery_job_list(struct call *c)
{
    struct buf out = BUF_INIT(SIZE_MAX);
    struct json_writer w = JSON_WRITER(&out);
    struct error e = { 0 };
    struct str project;

    if (!bigquery_project(c, &project))
        return;
    if (write_list(c, project, &w, &e) == 0) {
        call_reply(c, &out);
        return;
    }
    buf_release(&out);
    call_fail(c, &e);
}
