/* query.c -- queries of BigQuery, and sessions.
 *
 * Shape:   a query is a job; its rows are in the destination that BigQuery names. A script's statements are its child
 *          jobs.
 * Source:  https://cloud.google.com/bigquery/docs/reference/rest/v2/Job#JobConfigurationQuery
 */
#include "store/tables/bigquery/inner.h"

#include <stdlib.h>
#include <string.h>

#define CONFIGURATION_BYTES_MAX ((size_t)64 * 1024 * 1024)
#define STEPS_MAX 1000

/* ---- The configuration ---- */

static void write_type(struct json_writer *w, const char *key, const struct bq_field *f, bool item)
{
    json_object(w, key);
    if (f->mode == BQ_REPEATED && !item) {
        json_add_c(w, "type", "ARRAY");
        write_type(w, "arrayType", f, true);
    } else if (f->type == BQ_RECORD) {
        json_add_c(w, "type", "STRUCT");
        json_array(w, "structTypes");
        for (uint32_t i = 0; i < f->field_count; i++) {
            json_object(w, NULL);
            json_add_text(w, "name", f->fields[i].name);
            write_type(w, "type", &f->fields[i], false);
            json_end(w);
        }
        json_end(w);
    } else {
        json_add_c(w, "type", bq_type_sql(f->type));
    }
    json_end(w);
}

static void write_scalar(struct json_writer *w, const struct bq_field *f, struct bq_cell c)
{
    struct buf text = BUF_INIT(CONFIGURATION_BYTES_MAX);

    if (c.null) {
        json_add_null(w, "value");
    } else {
        bq_cell_to_text(&text, f, c);
        json_add_text(w, "value", buf_str(&text));
    }
    buf_release(&text);
}

static void write_value(struct json_writer *w, const char *key, const struct bq_field *f,
                        struct bq_cell c, bool item);

/* The values of an array, or of a record's fields. */
static void write_values(struct json_writer *w, const struct bq_field *f, yyjson_val *list,
                         bool array)
{
    yyjson_arr_iter it = yyjson_arr_iter_with(list);
    struct arena a = { 0 };
    uint32_t i = 0;

    for (yyjson_val *v; (v = yyjson_arr_iter_next(&it)); i++) {
        yyjson_val *x = json_get(v, "v");
        struct str text = yyjson_is_str(x) ? json_str(x) : json_text(&a, x);
        struct bq_cell inner = { yyjson_is_null(x), text };
        if (array) {
            write_value(w, NULL, f, inner, true);
        } else if (i < f->field_count) {
            json_key(w, f->fields[i].name);
            write_value(w, NULL, &f->fields[i], inner, false);
        }
    }
    arena_release(&a);
}

/* item: the value is one of an array. */
static void write_value(struct json_writer *w, const char *key, const struct bq_field *f,
                        struct bq_cell c, bool item)
{
    bool array = f->mode == BQ_REPEATED && !item;
    struct arena a = { 0 };
    struct error ignored = { 0 };
    size_t at;

    json_object(w, key);
    if (array || f->type == BQ_RECORD) {
        yyjson_val *v = c.null ? NULL : json_parse(&a, c.text, &at, &ignored);
        yyjson_val *list = array ? v : json_get(v, "f");
        if (array)
            json_array(w, "arrayValues");
        else
            json_object(w, "structValues");
        if (list)
            write_values(w, f, list, array);
        json_end(w);
    } else {
        write_scalar(w, f, c);
    }
    json_end(w);
    arena_release(&a);
}

static void write_parameters(struct json_writer *w, const struct tables_query *q)
{
    json_add_c(w, "parameterMode", q->parameter[0].name.len ? "NAMED" : "POSITIONAL");
    json_array(w, "queryParameters");
    for (uint32_t i = 0; i < q->parameter_count; i++) {
        const struct bq_parameter *p = &q->parameter[i];
        json_object(w, NULL);
        if (p->name.len)
            json_add_text(w, "name", p->name);
        write_type(w, "parameterType", &p->type, false);
        write_value(w, "parameterValue", &p->type, p->value, false);
        json_end(w);
    }
    json_end(w);
}

void rest_into(struct json_writer *w, const struct tables_into *into)
{
    static const char *const create[] = {
        [TABLES_CREATE_IF_NEEDED] = "CREATE_IF_NEEDED", [TABLES_CREATE_NEVER] = "CREATE_NEVER"
    };
    static const char *const write[] = { [TABLES_WRITE_APPEND] = "WRITE_APPEND",
                                         [TABLES_WRITE_EMPTY] = "WRITE_EMPTY",
                                         [TABLES_WRITE_TRUNCATE] = "WRITE_TRUNCATE" };
    static const char *const kept[] = { "timePartitioning", "rangePartitioning", "clustering" };
    struct arena a = { 0 };
    struct error ignored = { 0 };
    size_t at;

    rest_reference(w, "destinationTable", &into->name);
    json_add_c(w, "createDisposition", create[into->create]);
    json_add_c(w, "writeDisposition", write[into->write]);
    if (into->add_fields || into->relax_fields) {
        json_array(w, "schemaUpdateOptions");
        if (into->add_fields)
            json_add_c(w, NULL, "ALLOW_FIELD_ADDITION");
        if (into->relax_fields)
            json_add_c(w, NULL, "ALLOW_FIELD_RELAXATION");
        json_end(w);
    }
    yyjson_val *options = into->options.len ? json_parse(&a, into->options, &at, &ignored) : NULL;
    for (size_t i = 0; i < ARRAY_LEN(kept); i++)
        if (json_get(options, kept[i]))
            json_add_value(w, kept[i], json_get(options, kept[i]));
    arena_release(&a);
}

static void write_session(struct json_writer *w, struct str session)
{
    json_array(w, "connectionProperties");
    json_object(w, NULL);
    json_add_c(w, "key", "session_id");
    json_add_text(w, "value", session);
    json_end(w);
    json_end(w);
}

static struct str configuration(const struct tables_query *q, bool new_session, struct arena *a)
{
    struct buf out = BUF_INIT(CONFIGURATION_BYTES_MAX);
    struct json_writer w = JSON_WRITER(&out);

    json_object(&w, NULL);
    json_object(&w, "query");
    json_add_text(&w, "query", q->sql);
    json_add_bool(&w, "useLegacySql", false);
    if (q->default_dataset.dataset.len) {
        struct tables_name d = q->default_dataset;
        d.table.len = 0;
        rest_reference(&w, "defaultDataset", &d);
    }
    if (q->parameter_count)
        write_parameters(&w, q);
    if (q->into.name.table.len)
        rest_into(&w, &q->into);
    if (new_session)
        json_add_bool(&w, "createSession", true);
    if (q->session.len)
        write_session(&w, q->session);
    json_end(&w);
    if (q->dry_run)
        json_add_bool(&w, "dryRun", true);
    if (q->timeout_ms)
        json_addf(&w, "jobTimeoutMs", "%lld", (long long)q->timeout_ms);
    json_end(&w);
    struct str text = rest_copy(a, buf_str(&out));
    buf_release(&out);
    return text;
}

/* ---- The result ---- */

static struct tables_name name_of(yyjson_val *v)
{
    return (struct tables_name){ json_str(json_get(v, "projectId")),
                                 json_str(json_get(v, "datasetId")),
                                 json_str(json_get(v, "tableId")) };
}

static const char *ddl_of(struct str operation)
{
    static const char *const all[] = { "CREATE", "REPLACE", "SKIP", "DROP", "ALTER" };

    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        if (str_eq_c(operation, all[i]))
            return all[i];
    return NULL;
}

static int read_statistics(yyjson_val *job, struct arena *a, struct tables_result *out,
                           struct error *e)
{
    yyjson_val *query = json_get(json_get(job, "statistics"), "query");
    yyjson_val *dml = json_get(query, "dmlStats"), *tables = json_get(query, "referencedTables");
    yyjson_val *to =
        json_get(json_get(json_get(job, "configuration"), "query"), "destinationTable");

    out->statement = json_str(json_get(query, "statementType"));
    out->destination = name_of(to);
    out->inserted = rest_int(json_get(dml, "insertedRowCount"));
    out->updated = rest_int(json_get(dml, "updatedRowCount"));
    out->deleted = rest_int(json_get(dml, "deletedRowCount"));
    out->ddl = ddl_of(json_str(json_get(query, "ddlOperationPerformed")));
    out->ddl_target = name_of(json_get(query, "ddlTargetTable"));
    out->bytes = rest_int(json_get(query, "totalBytesProcessed"));
    out->read = arena_array(a, yyjson_arr_size(tables) + 1, sizeof *out->read);
    yyjson_arr_iter it = yyjson_arr_iter_with(tables);
    for (yyjson_val *v; (v = yyjson_arr_iter_next(&it));)
        out->read[out->read_count++] = name_of(v);
    return rest_schema(json_get(query, "schema"), a, &out->schema, e);
}

static int read_undeclared(yyjson_val *job, struct arena *a, struct tables_result *out)
{
    yyjson_val *list =
        json_get(json_get(json_get(job, "statistics"), "query"), "undeclaredQueryParameters");
    yyjson_arr_iter it = yyjson_arr_iter_with(list);

    out->undeclared = arena_array(a, yyjson_arr_size(list) + 1, sizeof *out->undeclared);
    for (yyjson_val *v; (v = yyjson_arr_iter_next(&it));) {
        struct bq_field *f = &out->undeclared[out->undeclared_count++];
        f->name = json_str(json_get(v, "name"));
        (void)bq_type_find(json_str(json_get(json_get(v, "parameterType"), "type")), &f->type);
    }
    return 0;
}

/* The rows' columns and number, which only getQueryResults has. */
static int read_rows(struct bigquery *b, yyjson_val *job, struct arena *a,
                     struct tables_result *out, struct error *e)
{
    yyjson_val *reference = json_get(job, "jobReference");
    struct str location = json_str(json_get(reference, "location"));
    const struct str part[] = { json_str(json_get(reference, "projectId")),
                                json_str(json_get(reference, "jobId")), location };
    const struct rest_call call = {
        .method = "GET",
        .path = rest_path(a,
                          location.len
                              ? "/projects/{}/queries/{}?prettyPrint=false&maxResults=0&location={}"
                              : "/projects/{}/queries/{}?prettyPrint=false&maxResults=0",
                          part),
    };
    yyjson_val *answer = rest_ask(b, &call, a, e);

    if (!answer)
        return -1;
    out->has_rows = json_get(answer, "totalRows") != NULL;
    out->rows = rest_int(json_get(answer, "totalRows"));
    return json_get(answer, "schema") ? rest_schema(json_get(answer, "schema"), a, &out->schema, e)
                                      : 0;
}

struct step {
    yyjson_val *job;
};

static int compare_created(const void *a, const void *b)
{
    const struct step *one = a, *other = b;
    int64_t x = rest_int(json_get(json_get(one->job, "statistics"), "creationTime"));
    int64_t y = rest_int(json_get(json_get(other->job, "statistics"), "creationTime"));

    return x < y ? -1 : x > y;
}

static int read_steps(struct bigquery *b, yyjson_val *job, struct arena *a,
                      struct tables_result *out, struct error *e)
{
    yyjson_val *reference = json_get(job, "jobReference");
    const struct str part[] = { json_str(json_get(reference, "projectId")),
                                json_str(json_get(reference, "jobId")) };
    const struct rest_call call = {
        .method = "GET",
        .path = rest_path(
            a, "/projects/{}/jobs?parentJobId={}&projection=full&maxResults=1000&prettyPrint=false",
            part),
    };
    yyjson_val *answer = rest_ask(b, &call, a, e);
    yyjson_val *list = json_get(answer, "jobs");
    size_t count = yyjson_arr_size(list);

    if (!answer)
        return -1;
    struct step *item = arena_array(a, count + 1, sizeof *item);
    for (size_t i = 0; i < count; i++) /* newest first */
        item[count - 1 - i].job = yyjson_arr_get(list, i);
    qsort(item, count, sizeof *item, compare_created);
    out->step = arena_array(a, count + 1, sizeof *out->step);
    for (; out->step_count < count; out->step_count++)
        if (read_statistics(item[out->step_count].job, a, &out->step[out->step_count], e) < 0)
            return -1;
    /* The script's rows are those of its last SELECT. */
    if (out->has_rows && !out->destination.table.len && count)
        out->destination = out->step[count - 1].destination;
    return 0;
}

static yyjson_val *run(struct bigquery *b, const struct tables_query *q, bool new_session,
                       struct arena *a, bool *again, struct error *e)
{
    const struct rest_job j = {
        .project = rest_payer(b, q->project),
        .key = q->key,
        .configuration = configuration(q, new_session, a),
        .cancel = q->cancel,
        .dry_run = q->dry_run,
    };

    return rest_job_run(b, &j, a, again, e);
}

int rest_query(struct tables *t, const struct tables_query *q, struct arena *a,
               struct tables_result *out, struct error *e)
{
    struct bigquery *b = rest_of(t);
    bool again;

    *out = (struct tables_result){ .again = false };
    yyjson_val *job = run(b, q, false, a, &again, e);
    if (!job)
        return -1;
    out->again = again;
    if (read_statistics(job, a, out, e) < 0 || read_undeclared(job, a, out) < 0)
        return -1;
    if (q->dry_run)
        return 0;
    if (read_rows(b, job, a, out, e) < 0)
        return -1;
    if (str_eq_c(out->statement, "SCRIPT") && read_steps(b, job, a, out, e) < 0)
        return -1;
    if (q->rows_max && out->rows > q->rows_max)
        return error_set(e, ERROR_RESOURCE_EXHAUSTED,
                         "Response too large to return: %lld rows, at most %lld",
                         (long long)out->rows, (long long)q->rows_max);
    return 0;
}

/* ---- Sessions ---- */

int rest_session_create(struct tables *t, struct str project, struct arena *a, struct str *id,
                        struct error *e)
{
    const struct tables_query q = { .project = project, .sql = STR("SELECT 1") };
    bool again;
    yyjson_val *job = run(rest_of(t), &q, true, a, &again, e);

    if (!job)
        return -1;
    *id = json_str(json_get(json_get(json_get(job, "statistics"), "sessionInfo"), "sessionId"));
    return id->len ? 0 : error_set(e, ERROR_UNAVAILABLE, "BigQuery made no session");
}

int rest_session_end(struct tables *t, struct str project, struct str id, struct error *e)
{
    struct arena a = { 0 };
    struct tables_query q = { .project = project };
    bool again;
    int rc = 0;

    for (size_t i = 0; i < id.len && rc == 0; i++)
        if (id.p[i] == '\'' || id.p[i] == '\\')
            rc = error_set(e, ERROR_INVALID_ARGUMENT, "Invalid input session id");
    if (rc == 0) {
        q.sql = str_of(arena_textf(&a, "CALL BQ.ABORT_SESSION('%.*s')", STR_ARG(id)));
        rc = run(rest_of(t), &q, false, &a, &again, e) ? 0 : -1;
    }
    arena_release(&a);
    return rc;
}
