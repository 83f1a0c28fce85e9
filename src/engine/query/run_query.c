/* run_query.c -- a query job: its parameters, its session, its limits, its statistics. */
#include <inttypes.h>
#include <string.h>
#include <strings.h>

#include "engine/query/run.h"
#include "format/bigquery/parameter.h"

#define SCRIPT_ID_BYTES 200
#define TIMEOUT_MS_MIN 1000

/* ---- What is asked ---- */

static int64_t number_of(yyjson_val *object, const char *key)
{
    uint64_t n = 0;

    return json_count(json_get(object, key), &n) && n <= INT64_MAX ? (int64_t)n : 0;
}

/* A job may run on after its timeout, says BigQuery; here the least is a second. */
static int64_t timeout_of(yyjson_val *configuration)
{
    int64_t ms = number_of(configuration, "jobTimeoutMs");

    return ms == 0 || ms > TIMEOUT_MS_MIN ? ms : TIMEOUT_MS_MIN;
}

static int session_find(struct query_run *r, struct tables_query *q, struct error *e)
{
    yyjson_arr_iter it = yyjson_arr_iter_with(json_get(r->conf.body, "connectionProperties"));
    yyjson_val *one;

    while ((one = yyjson_arr_iter_next(&it)))
        if (str_eq(json_str(json_get(one, "key")), STR("session_id")))
            q->session = json_str(json_get(one, "value"));
    if (q->session.len || !yyjson_get_bool(json_get(r->conf.body, "createSession")) || q->dry_run)
        return 0;
    return r->tables->ops->session_create(r->tables, r->job->project, r->arena, &q->session, e);
}

static int query_read(struct query_run *r, struct tables_query *q, struct error *e)
{
    yyjson_val *body = r->conf.body, *dataset = json_get(body, "defaultDataset");
    struct bq_parameters parameters;

    *q = (struct tables_query){
        .project = r->job->project,
        .sql = json_str(json_get(body, "query")),
        .key = r->conf.dry_run ? (struct str){ 0 } : run_key(r),
        .dry_run = r->conf.dry_run,
        .timeout_ms = timeout_of(r->conf.all),
        .cancel = r->cancel,
    };
    if (q->sql.len == 0)
        return error_set(e, ERROR_INVALID_ARGUMENT, "Required parameter is missing: query");
    if (q->sql.len > QUERY_TEXT_MAX)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "The query is too large. The maximum standard SQL query length is "
                         "1024.00K characters, including comments and white space characters.");
    if (yyjson_get_bool(json_get(body, "useLegacySql")))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "Legacy SQL is not supported: write GoogleSQL and set useLegacySql to "
                         "false.");
    if (json_get(body, "tableDefinitions") || json_get(body, "userDefinedFunctionResources"))
        return error_set(e, ERROR_UNIMPLEMENTED,
                         "tableDefinitions and userDefinedFunctionResources are not supported.");
    if (bq_parameters_read(json_get(body, "queryParameters"), r->arena, &parameters, e) < 0 ||
        run_into(r, TABLES_WRITE_EMPTY, &q->into, e) < 0 || session_find(r, q, e) < 0)
        return -1;
    q->parameter = parameters.item;
    q->parameter_count = parameters.count;
    q->location = r->job->location;
    q->default_dataset = (struct tables_name){
        .project = json_str(json_get(dataset, "projectId")),
        .dataset = json_str(json_get(dataset, "datasetId")),
    };
    if (q->default_dataset.dataset.len && q->default_dataset.project.len == 0)
        q->default_dataset.project = r->job->project;
    return 0;
}

/* ---- What came of it ---- */

static struct bq_table_ref ref_of(const struct tables_name *n)
{
    return (struct bq_table_ref){ n->project, n->dataset, n->table };
}

static bool is_dml(struct str statement)
{
    static const char *const names[] = { "INSERT", "UPDATE", "DELETE", "MERGE", "TRUNCATE_TABLE" };

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_eq_c(statement, names[i]))
            return true;
    return false;
}

static void add_n(struct json_writer *w, const char *key, int64_t n)
{
    json_addf(w, key, "%" PRId64, n);
}

static void write_dml(struct json_writer *w, const struct tables_result *t)
{
    add_n(w, "numDmlAffectedRows", t->inserted + t->updated + t->deleted);
    json_object(w, "dmlStats");
    add_n(w, "insertedRowCount", t->inserted);
    add_n(w, "deletedRowCount", t->deleted);
    add_n(w, "updatedRowCount", t->updated);
    json_end(w);
}

/* A dry run has not looked whether a table is there to be replaced: it shows CREATE. */
static const char *operation_of(const struct query_run *r, const struct tables_result *t)
{
    bool would = r->conf.dry_run && str_starts(t->statement, STR("CREATE_"));

    return t->ddl || !would ? t->ddl : "CREATE";
}

static void write_ddl(struct json_writer *w, const char *operation, const struct tables_result *t)
{
    const struct bq_table_ref target = ref_of(&t->ddl_target);

    json_add_c(w, "ddlOperationPerformed", operation);
    if (target.dataset.len)
        bq_table_ref_write(w, target.table.len ? "ddlTargetTable" : "ddlTargetDataset", &target);
}

/* Parameters that a dry run found and that were not given. */
static void write_undeclared(struct json_writer *w, const struct tables_result *t)
{
    json_array(w, "undeclaredQueryParameters");
    for (uint32_t i = 0; i < t->undeclared_count; i++) {
        const struct bq_field *f = &t->undeclared[i];
        json_object(w, NULL);
        if (f->name.len)
            json_add_text(w, "name", f->name);
        json_object(w, "parameterType");
        json_add_c(w, "type", bq_type_sql(f->type));
        json_end(w);
        json_end(w);
    }
    json_end(w);
}

static struct str statistics_of(struct query_run *r, const struct tables_result *t)
{
    struct buf text = BUF_INIT(SIZE_MAX);
    struct json_writer w = JSON_WRITER(&text);
    const char *operation = operation_of(r, t);

    json_object(&w, NULL);
    json_add_text(&w, "statementType", t->statement);
    add_n(&w, "totalBytesProcessed", t->bytes);
    add_n(&w, "totalBytesBilled", r->conf.dry_run ? 0 : t->bytes);
    json_add_bool(&w, "cacheHit", false);
    if (r->conf.dry_run)
        json_add_c(&w, "totalBytesProcessedAccuracy", "PRECISE");
    if (r->conf.dry_run && t->schema.count)
        bq_schema_write(&w, "schema", &t->schema, true);
    if (is_dml(t->statement) && !r->conf.dry_run)
        write_dml(&w, t);
    if (operation)
        write_ddl(&w, operation, t);
    if (t->read_count) {
        json_array(&w, "referencedTables");
        for (uint32_t i = 0; i < t->read_count; i++) {
            const struct bq_table_ref ref = ref_of(&t->read[i]);
            bq_table_ref_write(&w, NULL, &ref);
        }
        json_end(&w);
    }
    if (t->undeclared_count)
        write_undeclared(&w, t);
    json_end(&w);
    return run_keep(r, &text);
}

static struct bq_result result_of(const struct tables_result *t)
{
    return (struct bq_result){
        .statement = t->statement,
        .destination = ref_of(&t->destination),
        .schema = t->schema,
        .has_rows = t->has_rows,
        .dml = is_dml(t->statement),
        .rows = t->rows,
        .inserted = t->inserted,
        .updated = t->updated,
        .deleted = t->deleted,
        .bytes = t->bytes,
    };
}

static void take_result(struct query_run *r, const struct tables_result *t)
{
    struct bq_job *j = r->job;

    j->result = result_of(t);
    j->statistics = statistics_of(r, t);
    j->configuration = run_configuration(r->arena, &r->conf, &j->result.destination);
}

/* A statement of a script is a job of its own, which ran when the script did. */
static void make_children(struct query_run *r, const struct tables_result *t)
{
    struct bq_job *j = r->job;

    r->child = t->step_count ? arena_array(r->arena, t->step_count, sizeof *r->child) : NULL;
    r->child_count = t->step_count;
    j->children = t->step_count;
    for (uint32_t i = 0; i < t->step_count; i++) {
        struct bq_job *child = &r->child[i];
        *child = *j;
        child->id = str_of(arena_textf(r->arena, "script_job_%.*s_%u",
                                       STR_ARG(str_cut(j->id, SCRIPT_ID_BYTES)), i));
        child->parent = j->id;
        child->children = 0;
        child->result = result_of(&t->step[i]);
        child->statistics = statistics_of(r, &t->step[i]);
        child->configuration = run_configuration(r->arena, &r->conf, &child->result.destination);
    }
}

/* maximumBytesBilled, and columns that options of the destination name, need a look before the query runs. */
static int look_before(struct query_run *r, const struct tables_query *q, struct error *e)
{
    yyjson_val *body = r->conf.body;
    int64_t most = number_of(body, "maximumBytesBilled");
    bool options = json_get(body, "timePartitioning") || json_get(body, "clustering") ||
                   json_get(body, "rangePartitioning");
    struct tables_query dry = *q;
    struct tables_result seen = { 0 };

    if (q->dry_run || (!most && !options))
        return 0;
    dry.dry_run = true;
    dry.key = (struct str){ 0 };
    r->where = BQ_IN_QUERY;
    if (r->tables->ops->query(r->tables, &dry, r->arena, &seen, e) < 0)
        return -1;
    r->where = BQ_IN_CALL;
    if (most && seen.bytes > most)
        return error_set(e, ERROR_RESOURCE_EXHAUSTED,
                         "Query exceeded limit for bytes billed: %" PRId64 ". %" PRId64
                         " or higher required.",
                         most, seen.bytes);
    return seen.schema.count ? bq_check_columns(body, &seen.schema, e) : 0;
}

/* CALL BQ.ABORT_SESSION('id'), or of the session that the query runs in. */
static bool is_abort(struct str sql)
{
    static const char head[] = "CALL BQ.ABORT_SESSION(";
    struct str s = str_trim(sql);

    return s.len > sizeof head && strncasecmp(s.p, head, sizeof head - 1) == 0;
}

static int abort_session(struct query_run *r, const struct tables_query *q, struct error *e)
{
    struct str rest = q->sql, id;

    (void)str_next(&rest, '\'', &id); /* up to the quote */
    if (!str_next(&rest, '\'', &id))
        id = q->session;
    if (r->tables->ops->session_end(r->tables, q->project, id, e) < 0)
        return -1;
    take_result(r, &(struct tables_result){ .statement = STR("CALL") });
    return 0;
}

int run_query(struct query_run *r, struct error *e)
{
    struct tables_query q;
    struct tables_result t = { 0 };

    if (query_read(r, &q, e) < 0)
        return -1;
    r->job->session = q.session;
    if (is_abort(q.sql))
        return q.dry_run ? 0 : abort_session(r, &q, e);
    if (look_before(r, &q, e) < 0)
        return -1;
    r->where = BQ_IN_QUERY;
    if (r->tables->ops->query(r->tables, &q, r->arena, &t, e) < 0)
        return -1;
    take_result(r, &t);
    make_children(r, &t);
    return 0;
}
