#include "format/bigquery/job.h"

#include <inttypes.h>
#include <string.h>

#define OWN "tranche" /* our own member of a stored job */

static const struct {
    const char *member; /* of configuration and statistics */
    const char *type;   /* jobType */
} kinds[BQ_JOB_KINDS] = {
    [BQ_JOB_QUERY] = { "query", "QUERY" },
    [BQ_JOB_LOAD] = { "load", "LOAD" },
    [BQ_JOB_COPY] = { "copy", "COPY" },
    [BQ_JOB_EXTRACT] = { "extract", "EXTRACT" },
};

static const char *const states[] = {
    [BQ_PENDING] = "PENDING",
    [BQ_RUNNING] = "RUNNING",
    [BQ_DONE] = "DONE",
};

const char *bq_job_kind_name(enum bq_job_kind k)
{
    return kinds[k].member;
}

const char *bq_job_state_name(enum bq_job_state s)
{
    return states[s];
}

int bq_job_id_check(struct str id, struct error *e)
{
    bool ok = id.len > 0 && id.len <= BQ_JOB_ID_MAX;

    for (size_t i = 0; ok && i < id.len; i++) {
        char c = id.p[i];
        ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
             c == '_' || c == '-';
    }
    if (ok)
        return 0;
    return error_set(e, ERROR_INVALID_ARGUMENT,
                     "Invalid job ID \"%.*s\". Job IDs must be alphanumeric (plus underscores and "
                     "dashes) and must be at most %d characters long.",
                     STR_ARG(str_sub(str_cut(id, 64), 0, str_utf8_valid(str_cut(id, 64)))),
                     BQ_JOB_ID_MAX);
}

int bq_table_ref_read(yyjson_val *v, struct str deflt, struct bq_table_ref *out, struct error *e)
{
    *out = (struct bq_table_ref){
        .project = json_str(json_get(v, "projectId")),
        .dataset = json_str(json_get(v, "datasetId")),
        .table = json_str(json_get(v, "tableId")),
    };
    if (out->project.len == 0)
        out->project = deflt;
    if (out->dataset.len == 0 || out->table.len == 0)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "Required parameter is missing: a table's datasetId and tableId");
    return 0;
}

void bq_table_ref_write(struct json_writer *w, const char *key, const struct bq_table_ref *t)
{
    json_object(w, key);
    json_add_text(w, "projectId", t->project);
    json_add_text(w, "datasetId", t->dataset);
    if (t->table.len)
        json_add_text(w, "tableId", t->table);
    json_end(w);
}

int bq_configuration_read(yyjson_val *configuration, struct bq_configuration *out, struct error *e)
{
    int found = 0;

    *out = (struct bq_configuration){
        .all = configuration,
        .dry_run = yyjson_get_bool(json_get(configuration, "dryRun")),
    };
    for (int k = 0; k < BQ_JOB_KINDS; k++) {
        yyjson_val *v = json_get(configuration, kinds[k].member);
        if (!yyjson_is_obj(v))
            continue;
        out->kind = (enum bq_job_kind)k;
        out->body = v;
        found++;
    }
    if (found == 1)
        return 0;
    return error_set(e, ERROR_INVALID_ARGUMENT,
                     found ? "Only one job type can be specified: query, load, copy or extract"
                           : "Required parameter is missing: the job's configuration.query, load, "
                             "copy or extract");
}

/* ---- Writing ---- */

static void add_ms(struct json_writer *w, const char *key, int64_t ms)
{
    if (ms)
        json_addf(w, key, "%" PRId64, ms);
}

static void add_n(struct json_writer *w, const char *key, int64_t n)
{
    json_addf(w, key, "%" PRId64, n);
}

static void write_fault(struct json_writer *w, const char *key, const struct bq_fault *f)
{
    json_object(w, key);
    json_add_text(w, "reason", f->reason);
    if (f->location.len)
        json_add_text(w, "location", f->location);
    json_add_text(w, "message", f->message);
    json_end(w);
}

static void write_status(struct json_writer *w, const struct bq_job *j)
{
    json_object(w, "status");
    if (j->failed)
        write_fault(w, "errorResult", &j->fault[0]);
    if (j->fault_count > 0) {
        json_array(w, "errors");
        for (uint32_t i = 0; i < j->fault_count; i++)
            write_fault(w, NULL, &j->fault[i]);
        json_end(w);
    }
    json_add_c(w, "state", states[j->state]);
    json_end(w);
}

static void write_statistics(struct json_writer *w, const struct bq_job *j)
{
    json_object(w, "statistics");
    add_ms(w, "creationTime", j->created_ms);
    add_ms(w, "startTime", j->started_ms);
    add_ms(w, "endTime", j->ended_ms);
    if (j->kind == BQ_JOB_QUERY && (j->state == BQ_DONE || j->dry_run))
        add_n(w, "totalBytesProcessed", j->result.bytes);
    if (j->state == BQ_DONE && !j->dry_run)
        add_n(w, "totalSlotMs", j->ended_ms - j->started_ms);
    if (j->children)
        add_n(w, "numChildJobs", j->children);
    if (j->parent.len)
        json_add_text(w, "parentJobId", j->parent);
    if (j->session.len) {
        json_object(w, "sessionInfo");
        json_add_text(w, "sessionId", j->session);
        json_end(w);
    }
    if (j->statistics.len)
        json_add_raw(w, kinds[j->kind].member, j->statistics);
    json_end(w);
}

static void write_own(struct json_writer *w, const struct bq_job *j)
{
    const struct bq_result *r = &j->result;

    json_object(w, OWN);
    json_add_bool(w, "failed", j->failed);
    json_add_int(w, "http", j->error_http);
    json_add_int(w, "blob", j->blob);
    json_add_bool(w, "scoped", j->scoped);
    json_add_text(w, "statement", r->statement);
    bq_table_ref_write(w, "destination", &r->destination);
    bq_schema_write(w, "schema", &r->schema, false);
    json_add_bool(w, "hasRows", r->has_rows);
    json_add_bool(w, "dml", r->dml);
    json_add_int(w, "rows", r->rows);
    json_add_int(w, "inserted", r->inserted);
    json_add_int(w, "updated", r->updated);
    json_add_int(w, "deleted", r->deleted);
    json_add_int(w, "bytes", r->bytes);
    json_end(w);
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

static void write_names(struct json_writer *w, const struct bq_job *j, enum bq_job_view view,
                        struct str base_url)
{
    json_add_c(w, "kind", "bigquery#job");
    if (view != BQ_JOB_LISTED)
        json_addf(w, "etag", "%s%" PRId64, states[j->state], j->ended_ms);
    json_addf(w, "id", "%.*s:%.*s.%.*s", STR_ARG(j->project), STR_ARG(j->location), STR_ARG(j->id));
    if (view == BQ_JOB_FULL)
        json_addf(w, "selfLink", "%.*s/bigquery/v2/projects/%.*s/jobs/%.*s?location=%.*s",
                  STR_ARG(base_url), STR_ARG(j->project), STR_ARG(j->id), STR_ARG(j->location));
    json_add_text(w, "user_email", j->user);
}

void bq_job_write(struct json_writer *w, const char *key, const struct bq_job *j,
                  enum bq_job_view view, struct str base_url)
{
    json_object(w, key);
    write_names(w, j, view, base_url);
    json_add_raw(w, "configuration", j->configuration);
    write_reference(w, j);
    write_statistics(w, j);
    write_status(w, j);
    if (view == BQ_JOB_LISTED) {
        json_add_c(w, "state", states[j->state]);
        if (j->failed)
            write_fault(w, "errorResult", &j->fault[0]);
    }
    if (!j->dry_run) {
        json_object(w, "jobCreationReason");
        json_add_c(w, "code", "REQUESTED");
        json_end(w);
    }
    json_add_text(w, "principal_subject", j->user);
    if (view == BQ_JOB_STORED)
        write_own(w, j);
    json_end(w);
}

/* ---- Reading ---- */

static int64_t get_int(yyjson_val *v, const char *key)
{
    yyjson_val *n = json_get(v, key);
    uint64_t value = 0;

    if (yyjson_is_int(n))
        return yyjson_get_sint(n);
    return json_count(n, &value) && value <= INT64_MAX ? (int64_t)value : 0;
}

static struct bq_fault fault_read(yyjson_val *v)
{
    return (struct bq_fault){
        .reason = json_str(json_get(v, "reason")),
        .location = json_str(json_get(v, "location")),
        .message = json_str(json_get(v, "message")),
    };
}

static void status_read(yyjson_val *status, struct bq_job *out)
{
    yyjson_arr_iter it = yyjson_arr_iter_with(json_get(status, "errors"));
    yyjson_val *one;

    for (int s = BQ_PENDING; s <= BQ_DONE; s++)
        if (str_eq_c(json_str(json_get(status, "state")), states[s]))
            out->state = (enum bq_job_state)s;
    while ((one = yyjson_arr_iter_next(&it)) && out->fault_count < BQ_FAULTS_MAX)
        out->fault[out->fault_count++] = fault_read(one);
}

static int own_read(yyjson_val *own, struct arena *a, struct bq_job *out, struct error *e)
{
    struct bq_result *r = &out->result;
    yyjson_val *to = json_get(own, "destination");

    out->failed = yyjson_get_bool(json_get(own, "failed")) && out->fault_count > 0;
    out->error_http = (int)get_int(own, "http");
    out->blob = get_int(own, "blob");
    out->scoped = yyjson_get_bool(json_get(own, "scoped"));
    r->statement = json_str(json_get(own, "statement"));
    r->destination = (struct bq_table_ref){ json_str(json_get(to, "projectId")),
                                            json_str(json_get(to, "datasetId")),
                                            json_str(json_get(to, "tableId")) };
    r->has_rows = yyjson_get_bool(json_get(own, "hasRows"));
    r->dml = yyjson_get_bool(json_get(own, "dml"));
    r->rows = get_int(own, "rows");
    r->inserted = get_int(own, "inserted");
    r->updated = get_int(own, "updated");
    r->deleted = get_int(own, "deleted");
    r->bytes = get_int(own, "bytes");
    yyjson_val *schema = json_get(own, "schema");
    return bq_schema_parse_stored(schema ? json_text(a, schema) : (struct str){ NULL, 0 }, a,
                                  &r->schema, e);
}

int bq_job_read(struct str json, struct arena *a, struct bq_job *out, struct error *e)
{
    size_t at;
    struct bq_configuration c;
    yyjson_val *v = json_parse(a, json, &at, e);
    yyjson_val *ref = json_get(v, "jobReference"), *statistics = json_get(v, "statistics");

    if (!v || bq_configuration_read(json_get(v, "configuration"), &c, e) < 0) {
        e->code = ERROR_DATA_LOSS;
        return error_wrap(e, "a job's record");
    }
    yyjson_val *own = json_get(statistics, kinds[c.kind].member);
    *out = (struct bq_job){
        .project = json_str(json_get(ref, "projectId")),
        .id = json_str(json_get(ref, "jobId")),
        .location = json_str(json_get(ref, "location")),
        .user = json_str(json_get(v, "user_email")),
        .parent = json_str(json_get(statistics, "parentJobId")),
        .kind = c.kind,
        .created_ms = get_int(statistics, "creationTime"),
        .started_ms = get_int(statistics, "startTime"),
        .ended_ms = get_int(statistics, "endTime"),
        .configuration = json_text(a, c.all),
        .statistics = own ? json_text(a, own) : (struct str){ 0 },
        .children = get_int(statistics, "numChildJobs"),
        .session = json_str(json_get(json_get(statistics, "sessionInfo"), "sessionId")),
    };
    status_read(json_get(v, "status"), out);
    return own_read(json_get(v, OWN), a, out, e);
}
