/* routes.c -- the BigQuery API's routes, and the discovery document that is made of them. */
#include "api/bigquery/bigquery.h"

#include <stdio.h>
#include <string.h>

#define W ROUTE_WAITS
#define B BIGQUERY_BODY_MAX
#define R BIGQUERY_RESOURCE_MAX
#define I BIGQUERY_INSERT_MAX
#define P "/projects"
#define D "/projects/{}/datasets"
#define T "/projects/{}/datasets/{}/tables"

/* id of the method in the discovery document; method; path; role; flags; handler; body; query parameters */
// clang-format off
#define METHODS(X) \
    X("projects.list", GET, P, VIEWER, 0, projects, 0, "maxResults pageToken") \
    X("projects.getServiceAccount", GET, P "/{}/serviceAccount", VIEWER, 0, service_account, 0, "") \
    X("datasets.list", GET, D, VIEWER, W, bigquery_dataset_list, 0, "all filter maxResults pageToken") \
    X("datasets.insert", POST, D, SUBMITTER, W, bigquery_dataset_insert, R, "") \
    X("datasets.get", GET, D "/{}", VIEWER, W, bigquery_dataset_get, 0, "datasetView") \
    X("datasets.patch", PATCH, D "/{}", SUBMITTER, W, bigquery_dataset_patch, R, "") \
    X("datasets.update", PUT, D "/{}", SUBMITTER, W, bigquery_dataset_update, R, "") \
    X("datasets.delete", DELETE, D "/{}", SUBMITTER, W, bigquery_dataset_delete, 0, "deleteContents") \
    X("tables.list", GET, T, VIEWER, W, bigquery_table_list, 0, "maxResults pageToken") \
    X("tables.insert", POST, T, SUBMITTER, W, bigquery_table_insert, R, "") \
    X("tables.get", GET, T "/{}", VIEWER, W, bigquery_table_get, 0, "selectedFields view") \
    X("tables.patch", PATCH, T "/{}", SUBMITTER, W, bigquery_table_patch, R, "autodetect_schema") \
    X("tables.update", PUT, T "/{}", SUBMITTER, W, bigquery_table_update, R, "autodetect_schema") \
    X("tables.delete", DELETE, T "/{}", SUBMITTER, W, bigquery_table_delete, 0, "") \
    X("tabledata.list", GET, T "/{}/data", VIEWER, W, bigquery_data_list, 0, "maxResults pageToken selectedFields startIndex formatOptions.useInt64Timestamp formatOptions.timestampOutputFormat") \
    X("tabledata.insertAll", POST, T "/{}/insertAll", SUBMITTER, W, bigquery_insert_all, I, "") \
    X("routines.list", GET, D "/{}/routines", VIEWER, 0, bigquery_list, 0, "filter maxResults pageToken readMask") \
    X("routines.insert", POST, D "/{}/routines", SUBMITTER, 0, not_supported, R, "") \
    X("routines.get", GET, D "/{}/routines/{}", VIEWER, 0, no_routine, 0, "readMask") \
    X("routines.update", PUT, D "/{}/routines/{}", SUBMITTER, 0, no_routine, R, "") \
    X("routines.delete", DELETE, D "/{}/routines/{}", SUBMITTER, 0, no_routine, 0, "") \
    X("models.list", GET, D "/{}/models", VIEWER, 0, bigquery_list, 0, "maxResults pageToken") \
    X("models.get", GET, D "/{}/models/{}", VIEWER, 0, no_model, 0, "") \
    X("models.patch", PATCH, D "/{}/models/{}", SUBMITTER, 0, no_model, R, "") \
    X("models.delete", DELETE, D "/{}/models/{}", SUBMITTER, 0, no_model, 0, "") \
    X("rowAccessPolicies.list", GET, T "/{}/rowAccessPolicies", VIEWER, 0, bigquery_list, 0, "pageSize pageToken") \
    X("jobs.list", GET, "/projects/{}/jobs", VIEWER, W, bigquery_job_list, 0, "allUsers maxCreationTime maxResults minCreationTime pageToken parentJobId projection stateFilter") \
    X("jobs.insert", POST, "/projects/{}/jobs", SUBMITTER, W, bigquery_job_insert, B, "") \
    X("jobs.get", GET, "/projects/{}/jobs/{}", VIEWER, W, bigquery_job_get, 0, "location") \
    X("jobs.cancel", POST, "/projects/{}/jobs/{}/cancel", SUBMITTER, W, bigquery_job_cancel, R, "location") \
    X("jobs.delete", DELETE, "/projects/{}/jobs/{}/delete", SUBMITTER, W, bigquery_job_delete, 0, "location") \
    X("jobs.query", POST, "/projects/{}/queries", SUBMITTER, W, bigquery_query, B, "") \
    X("jobs.getQueryResults", GET, "/projects/{}/queries/{}", VIEWER, W, bigquery_query_results, 0, "location maxResults pageToken startIndex timeoutMs formatOptions.useInt64Timestamp formatOptions.timestampOutputFormat")

static const struct {
    const char *id, *method, *path, *query;
    bool body;
} methods[] = {
#define METHOD(id, method, path, role, flags, handler, body, query) { id, #method, path, query, (body) > 0 },
    METHODS(METHOD)
};
// clang-format on

/* ---- Small handlers ---- */

static void projects(struct call *c)
{
    struct buf out = BUF_INIT(SIZE_MAX);
    struct json_writer w = JSON_WRITER(&out);
    const char *project = call_own_project(c);

    json_object(&w, NULL);
    json_add_c(&w, "kind", "bigquery#projectList");
    json_add_c(&w, "etag", "1");
    json_array(&w, "projects");
    json_object(&w, NULL);
    json_add_c(&w, "kind", "bigquery#project");
    json_add_c(&w, "id", project);
    json_add_c(&w, "numericId", "1");
    json_object(&w, "projectReference");
    json_add_c(&w, "projectId", project);
    json_end(&w);
    json_add_c(&w, "friendlyName", project);
    json_end(&w);
    json_end(&w);
    json_add_uint(&w, "totalItems", 1);
    json_end(&w);
    call_reply(c, &out);
}

static void service_account(struct call *c)
{
    struct buf out = BUF_INIT(SIZE_MAX);
    struct json_writer w = JSON_WRITER(&out);
    struct str project;

    if (!bigquery_project(c, &project))
        return;
    json_object(&w, NULL);
    json_add_c(&w, "kind", "bigquery#getServiceAccountResponse");
    json_addf(&w, "email", "tranche@%.*s", STR_ARG(project));
    json_end(&w);
    call_reply(c, &out);
}

static void no_such(struct call *c, const char *what)
{
    struct error e = { 0 };
    struct str project;

    if (!bigquery_project(c, &project))
        return;
    (void)error_set(&e, ERROR_NOT_FOUND, "Not found: %s %.*s:%.*s.%.*s", what,
                    STR_ARG(call_quote(project)), STR_ARG(call_quote(c->param[1])),
                    STR_ARG(call_quote(c->param[2])));
    call_fail(c, &e);
}

static void no_routine(struct call *c)
{
    no_such(c, "Routine");
}

static void no_model(struct call *c)
{
    no_such(c, "Model");
}

static void not_supported(struct call *c)
{
    call_fail_as(c, 501, NULL, "Routines are not supported.");
}

/* ---- Discovery ---- */

/* The name of a "{}" after this step: projects -> projectId. */
static struct str parameter_of(struct str step)
{
    static const char *const names[][2] = {
        { "projects", "projectId" }, { "datasets", "datasetId" }, { "tables", "tableId" },
        { "jobs", "jobId" },         { "queries", "jobId" },      { "routines", "routineId" },
        { "models", "modelId" },
    };

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_eq_c(step, names[i][0]))
            return str_of(names[i][1]);
    return (struct str){ 0 };
}

/* "projects/{+projectId}/datasets", and the parameters' names in names[]. */
static uint32_t path_write(const char *pattern, struct buf *out, struct str names[ROUTE_PARAMS_MAX])
{
    struct str rest = str_of(pattern + 1), step, before = { 0 };
    uint32_t count = 0;

    while (str_next(&rest, '/', &step)) {
        buf_add_c(out, out->len ? "/" : "");
        if (str_eq(step, STR("{}"))) {
            names[count] = parameter_of(before);
            buf_addf(out, "{+%.*s}", STR_ARG(names[count]));
            count++;
        } else {
            buf_add_str(out, step);
        }
        before = step;
    }
    return count;
}

static void parameter_write(struct json_writer *w, struct str name, bool path)
{
    bool number = str_starts(name, STR("max")) || str_eq(name, STR("timeoutMs"));
    bool flag = str_starts(name, STR("all")) || str_starts(name, STR("delete")) ||
                str_starts(name, STR("auto")) || str_ends(name, STR("useInt64Timestamp"));

    json_key(w, name);
    json_object(w, NULL);
    json_add_c(w, "type", path ? "string" : number ? "integer" : flag ? "boolean" : "string");
    json_add_c(w, "location", path ? "path" : "query");
    if (path)
        json_add_bool(w, "required", true);
    if (str_eq(name, STR("stateFilter")))
        json_add_bool(w, "repeated", true);
    json_end(w);
}

static void method_write(struct json_writer *w, size_t i)
{
    struct buf path = BUF_INIT(SIZE_MAX);
    struct str names[ROUTE_PARAMS_MAX], query = str_of(methods[i].query), one;
    uint32_t count = path_write(methods[i].path, &path, names);

    json_object(w, strchr(methods[i].id, '.') + 1);
    json_addf(w, "id", "bigquery.%s", methods[i].id);
    json_add_c(w, "httpMethod", methods[i].method);
    json_add_text(w, "path", buf_str(&path));
    json_add_text(w, "flatPath", buf_str(&path));
    json_array(w, "parameterOrder");
    for (uint32_t k = 0; k < count; k++)
        json_add_text(w, NULL, names[k]);
    json_end(w);
    json_object(w, "parameters");
    for (uint32_t k = 0; k < count; k++)
        parameter_write(w, names[k], true);
    while (str_next(&query, ' ', &one))
        parameter_write(w, one, false);
    json_end(w);
    if (methods[i].body) {
        json_object(w, "request");
        json_add_c(w, "$ref", "JsonObject");
        json_end(w);
    }
    json_object(w, "response");
    json_add_c(w, "$ref", "JsonObject");
    json_end(w);
    if (strcmp(methods[i].id, "jobs.insert") == 0) {
        json_add_bool(w, "supportsMediaUpload", true);
        json_add_raw(w, "mediaUpload",
                     STR("{\"accept\":[\"*/*\"],\"protocols\":{\"simple\":{\"multipart\":true,"
                         "\"path\":\"/upload/bigquery/v2/projects/{+projectId}/jobs\"},"
                         "\"resumable\":{\"multipart\":true,\"path\":\"/resumable/upload/bigquery/"
                         "v2/projects/{+projectId}/jobs\"}}}"));
    }
    json_end(w);
    buf_release(&path);
}

static struct str resource_of(size_t i)
{
    struct str rest = str_of(methods[i].id), name;

    return str_next(&rest, '.', &name) ? name : rest;
}

static void resources_write(struct json_writer *w)
{
    json_object(w, "resources");
    for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
        bool first = i == 0 || !str_eq(resource_of(i), resource_of(i - 1));
        bool last = i + 1 == ARRAY_LEN(methods) || !str_eq(resource_of(i), resource_of(i + 1));
        if (first) {
            json_key(w, resource_of(i));
            json_object(w, NULL);
            json_object(w, "methods");
        }
        method_write(w, i);
        if (last) {
            json_end(w);
            json_end(w);
        }
    }
    json_end(w);
}

static void discovery(struct call *c)
{
    static const char *const common[] = { "alt",         "fields",      "key",
                                          "oauth_token", "prettyPrint", "quotaUser" };
    struct buf out = BUF_INIT(SIZE_MAX);
    struct json_writer w = JSON_WRITER(&out);
    struct str base = call_base_url(c);

    json_object(&w, NULL);
    json_add_c(&w, "kind", "discovery#restDescription");
    json_add_c(&w, "discoveryVersion", "v1");
    json_add_c(&w, "id", "bigquery:v2");
    json_add_c(&w, "name", "bigquery");
    json_add_c(&w, "version", "v2");
    json_add_c(&w, "title", "BigQuery API");
    json_add_c(&w, "protocol", "rest");
    json_addf(&w, "rootUrl", "%.*s/", STR_ARG(base));
    json_addf(&w, "baseUrl", "%.*s/bigquery/v2/", STR_ARG(base));
    json_add_c(&w, "basePath", "/bigquery/v2/");
    json_add_c(&w, "servicePath", "bigquery/v2/");
    json_add_c(&w, "batchPath", "batch/bigquery/v2");
    json_object(&w, "parameters");
    for (size_t i = 0; i < ARRAY_LEN(common); i++)
        parameter_write(&w, str_of(common[i]), false);
    json_end(&w);
    json_add_raw(&w, "auth",
                 STR("{\"oauth2\":{\"scopes\":{\"https://www.googleapis.com/auth/bigquery\":"
                     "{\"description\":\"Tables and jobs\"}}}}"));
    json_add_raw(&w, "schemas",
                 STR("{\"JsonObject\":{\"id\":\"JsonObject\",\"type\":\"object\","
                     "\"additionalProperties\":{\"type\":\"any\"}}}"));
    resources_write(&w);
    json_end(&w);
    call_reply(c, &out);
}

/* ---- Routes ---- */

// clang-format off
#define ROUTE_AT(base, method, path, role, flags, handler, body) \
    { HTTP_##method, base path, ROLE_##role, ROUTE_BIGQUERY | (flags), handler, body, NULL },
#define ROUTE_VERSION(id, method, path, role, flags, handler, body, query) ROUTE_AT("/bigquery/v2", method, path, role, flags, handler, body)
#define ROUTE_ROOT(id, method, path, role, flags, handler, body, query) ROUTE_AT("", method, path, role, flags, handler, body)
#define ROUTES_UPLOAD(base) \
    { HTTP_POST, base "/projects/{}/jobs", ROLE_SUBMITTER, ROUTE_BIGQUERY | W, bigquery_upload, 0, bigquery_upload_begin }, \
    /* No key: as with Google's service, the upload's id is the right to go on with it. */ \
    { HTTP_PUT, base "/projects/{}/jobs", ROLE_VIEWER, ROUTE_BIGQUERY | W | ROUTE_PUBLIC, bigquery_resume, 0, bigquery_resume_begin },

const struct route api_bigquery_routes[] = {
    METHODS(ROUTE_VERSION)
    METHODS(ROUTE_ROOT)
    ROUTES_UPLOAD("/upload/bigquery/v2")
    ROUTES_UPLOAD("/resumable/upload/bigquery/v2")
    { HTTP_GET, "/discovery/v1/apis/bigquery/v2/rest", ROLE_VIEWER, ROUTE_BIGQUERY | ROUTE_PUBLIC, discovery, 0, NULL },
    { HTTP_GET, "/$discovery/rest", ROLE_VIEWER, ROUTE_BIGQUERY | ROUTE_PUBLIC, discovery, 0, NULL },
    { 0 },
};
// clang-format on
