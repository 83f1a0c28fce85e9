/* queries.c -- jobs.query and jobs.getQueryResults: begin a query, wait for it, give its rows in pages. */
#include "api/bigquery/bigquery.h"

#include <inttypes.h>

#define QUERY_WAIT_MS 10000      /* as BigQuery's default */
#define QUERY_WAIT_MAX_MS 200000 /* and its maximum */

/* Which rows and how: of the body of jobs.query, or of the query of getQueryResults. */
struct asked {
    struct bigquery_page page;
    uint32_t timeout_ms;
};

static int64_t member_number(struct call *c, yyjson_val *body, const char *key, int64_t deflt)
{
    struct str text = { 0 };
    uint64_t n;
    int64_t value;

    if (body)
        return json_count(json_get(body, key), &n) && n <= INT64_MAX ? (int64_t)n : deflt;
    return http_query(c->http, key, &text) && call_int64(text, &value) ? value : deflt;
}

static struct asked asked_read(struct call *c, yyjson_val *body)
{
    int64_t most = member_number(c, body, "maxResults", BIGQUERY_ROWS_MAX);
    int64_t timeout = member_number(c, body, "timeoutMs", QUERY_WAIT_MS);

    return (struct asked){
        .page.limit = most < BIGQUERY_ROWS_MAX ? (uint32_t)most : BIGQUERY_ROWS_MAX,
        .page.start = body ? 0 : member_number(c, NULL, "startIndex", 0),
        .page.times = bigquery_times(c, body),
        .timeout_ms = timeout < QUERY_WAIT_MAX_MS ? (uint32_t)timeout : QUERY_WAIT_MAX_MS,
    };
}

static void write_reference(struct json_writer *w, const struct bq_job *j)
{
    json_object(w, "jobReference");
    json_add_text(w, "projectId", j->project);
    if (j->id.len)
        json_add_text(w, "jobId", j->id);
    json_add_text(w, "location", j->location);
    json_end(w);
}

static void write_dml(struct json_writer *w, const struct bq_result *r)
{
    json_addf(w, "numDmlAffectedRows", "%" PRId64, r->inserted + r->updated + r->deleted);
    json_object(w, "dmlStats");
    json_addf(w, "insertedRowCount", "%" PRId64, r->inserted);
    json_addf(w, "deletedRowCount", "%" PRId64, r->deleted);
    json_addf(w, "updatedRowCount", "%" PRId64, r->updated);
    json_end(w);
}

static int write_rows(struct call *c, const struct bq_job *j, struct asked *asked,
                      struct json_writer *w, struct error *e)
{
    const struct bq_table_ref *from = &j->result.destination;
    struct str scope =
        str_of(arena_textf(c->arena, "%.*s:%.*s", STR_ARG(j->project), STR_ARG(j->id)));
    uint32_t count = 0;

    json_addf(w, "totalRows", "%" PRId64, j->result.rows);
    asked->page.name = (struct tables_name){ from->project, from->dataset, from->table };
    if (bigquery_token_read(c, scope, &asked->page.start, e) < 0)
        return -1;
    if (asked->page.start < j->result.rows && bigquery_rows(c, &asked->page, w, &count, e) < 0)
        return -1;
    if (asked->page.start + count < j->result.rows)
        return bigquery_token(c, scope, asked->page.start + count, w, e);
    return 0;
}

/* The members that jobs.query has beyond getQueryResults. */
static void write_times(struct json_writer *w, const struct bq_job *j)
{
    if (j->id.len) {
        json_add_text(w, "queryId", j->id);
        json_object(w, "jobCreationReason");
        json_add_c(w, "code", "REQUESTED");
        json_end(w);
    }
    json_addf(w, "totalBytesBilled", "%" PRId64, j->dry_run ? 0 : j->result.bytes);
    json_add_text(w, "location", j->location);
    bigquery_add_ms(w, "creationTime", j->created_ms);
    bigquery_add_ms(w, "startTime", j->started_ms);
    bigquery_add_ms(w, "endTime", j->ended_ms);
}

static int write_results(struct call *c, const struct bq_job *j, struct asked *asked, bool query,
                         struct json_writer *w, struct error *e)
{
    bool done = j->state == BQ_DONE;

    json_object(w, NULL);
    json_add_c(w, "kind", query ? "bigquery#queryResponse" : "bigquery#getQueryResultsResponse");
    if (!query)
        json_addf(w, "etag", "%" PRId64, j->ended_ms);
    write_reference(w, j);
    json_add_bool(w, "jobComplete", done);
    if (done && j->result.schema.count)
        bq_schema_write(w, "schema", &j->result.schema, true);
    if (done && j->result.has_rows && !j->dry_run && write_rows(c, j, asked, w, e) < 0)
        return -1;
    if (done) {
        json_addf(w, "totalBytesProcessed", "%" PRId64, j->result.bytes);
        json_add_bool(w, "cacheHit", false);
    }
    if (done && j->result.dml && !j->dry_run)
        write_dml(w, &j->result);
    if (j->session.len) {
        json_object(w, "sessionInfo");
        json_add_text(w, "sessionId", j->session);
        json_end(w);
    }
    if (query)
        write_times(w, j);
    json_end(w);
    return 0;
}

static void reply_results(struct call *c, const struct bq_job *j, struct asked *asked, bool query)
{
    struct buf out = BUF_INIT(SIZE_MAX);
    struct json_writer w = JSON_WRITER(&out);
    struct error e = { 0 };

    if (j->state == BQ_DONE && j->failed) {
        bigquery_fail_job(c, j);
    } else if (j->kind != BQ_JOB_QUERY) {
        (void)error_set(&e, ERROR_INVALID_ARGUMENT,
                        "The job is not a query: its results cannot be read.");
        call_fail(c, &e);
    } else if (write_results(c, j, asked, query, &w, &e) < 0) {
        buf_release(&out);
        call_fail(c, &e);
    } else {
        call_reply(c, &out);
    }
}

/* The second part of both calls. */
static void reply_waited(struct call *c)
{
    const struct bigquery_waiting *w = c->state;
    bool query = http_method(c->http) == HTTP_POST;
    struct bq_job j;
    struct error e = { 0 };
    yyjson_val *body = query ? call_json(c, &e) : NULL;
    struct asked asked = asked_read(c, body);

    if (queries_get(c->api->queries, w->project, w->id, c->arena, &j, &e) < 0)
        call_fail(c, &e);
    else
        reply_results(c, &j, &asked, query);
}

void bigquery_query_results(struct call *c)
{
    struct str project;

    if (bigquery_project(c, &project))
        bigquery_wait(c, project, c->param[1], asked_read(c, NULL).timeout_ms, reply_waited);
}

/* The configuration that the body of jobs.query stands for. */
static struct str configuration_of(struct call *c, yyjson_val *body)
{
    static const char *const outer[] = { "labels", "dryRun", "jobTimeoutMs", "reservation", NULL };
    static const char *const inner[] = {
        "query",           "defaultDataset",
        "useLegacySql",    "parameterMode",
        "queryParameters", "maximumBytesBilled",
        "useQueryCache",   "connectionProperties",
        "createSession",   "destinationEncryptionConfiguration",
        "preserveNulls",   NULL,
    };
    struct buf text = BUF_INIT(SIZE_MAX);
    struct json_writer w = JSON_WRITER(&text);

    json_object(&w, NULL);
    json_object(&w, "query");
    for (size_t i = 0; inner[i]; i++)
        if (json_get(body, inner[i]))
            json_add_value(&w, inner[i], json_get(body, inner[i]));
    json_end(&w);
    for (size_t i = 0; outer[i]; i++)
        if (json_get(body, outer[i]))
            json_add_value(&w, outer[i], json_get(body, outer[i]));
    json_end(&w);
    struct str kept = { arena_copy(c->arena, text.p, text.len), text.len };
    buf_release(&text);
    return kept;
}

static void query_begin(struct call *c, yyjson_val *body, const struct query_new *n)
{
    struct asked asked = asked_read(c, body);
    struct bq_job j;
    struct error e = { 0 };
    struct str id;

    if (yyjson_get_bool(json_get(body, "dryRun"))) {
        if (queries_check(c->api->queries, n, c->arena, &j, &e) < 0)
            bigquery_fail_query(c, &e);
        else
            reply_results(c, &j, &asked, true);
    } else if (queries_insert(c->api->queries, n, c->arena, &id, &e) < 0) {
        call_fail(c, &e);
    } else {
        bigquery_wait(c, n->project, id, asked.timeout_ms, reply_waited);
    }
}

void bigquery_query(struct call *c)
{
    struct error e = { 0 };
    yyjson_val *body = call_json(c, &e);
    struct str project;

    if (!bigquery_project(c, &project))
        return;
    if (!body) {
        call_fail(c, &e);
        return;
    }
    struct query_new n = {
        .project = project,
        .location = json_str(json_get(body, "location")),
        .user = bigquery_user(c),
        .configuration = configuration_of(c, body),
        .request_id = json_str(json_get(body, "requestId")),
        .scoped = bigquery_scoped(c),
    };
    if (bigquery_script_job(c, &n, &e) < 0)
        call_fail(c, &e);
    else
        query_begin(c, body, &n);
}
