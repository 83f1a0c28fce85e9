/* vertex.c -- batchPredictionJobs and their operations, as Vertex AI has them.
 *
 * Why: a create call only records the request. The input is found and validated later, and the job shows
 * the result. A create call refuses at once what the real service refuses at once, and an output that cannot be
 * written: it would cost all answers.
 *
 * Source:  https://cloud.google.com/vertex-ai/docs/reference/rest/v1/projects.locations.batchPredictionJobs
 */
#include <inttypes.h>
#include <string.h>

#include "api/jobs/jobs.h"
#include "api/models/operations.h"
#include "format/gs.h"
#include "format/job/vertex.h"

#define OPERATION_BYTES_MAX ((size_t)16 * 1024)

/* A published model is named in the error by X of "publishers/google/models/X", others by their whole name. */
static int model_check(struct call *c, const struct job *j, struct error *e)
{
    const char *name = arena_copy(c->arena, j->model.p, j->model.len);
    struct str in_path = c->param_count > 1 ? c->param[0] : (struct str){ 0 };
    char short_name[MODEL_NAME_BYTES];
    const char *project;

    if (!call_project(c, in_path, &project)) /* refused by the creation in its words */
        project = call_own_project(c);
    if (call_knows_model(c, project, name))
        return 0;
    model_short_name(name, short_name);
    if (strstr(name, "publishers/"))
        return error_set(e, ERROR_NOT_FOUND, "The PublisherModel %s does not exist.", short_name);
    return error_set(e, ERROR_NOT_FOUND, "The %s %s does not exist.",
                     strstr(name, "endpoints/") ? "Endpoint" : "Model", name);
}

#define OUTPUT_PREFIX "outputConfig.gcsDestination.outputUriPrefix"

/* The output is written when all lines are answered: a prefix that cannot work must not cost them. */
static int output_check(struct call *c, const struct job *j, struct error *e)
{
    struct str prefix = vertex_output_prefix(c->arena, j->spec), bucket = { 0 }, name = { 0 };
    struct error why = { 0 };
    struct bq_name table;
    struct bucket b;

    if (vertex_output_table(c->arena, j, &table))
        return 0;                           /* the check looks whether it can be made */
    (void)gs_split(prefix, &bucket, &name); /* vertex_read has checked it */
    if (name.len > OBJECT_NAME_MAX - VERTEX_OUTPUT_NAME_BYTES ||
        str_find(name, STR("\n")) != SIZE_MAX || str_find(name, STR("\r")) != SIZE_MAX)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         OUTPUT_PREFIX ": An object cannot have such a name. Use at most %d bytes "
                                       "without line ends.",
                         OBJECT_NAME_MAX - VERTEX_OUTPUT_NAME_BYTES);
    if (bucket_get(c->api->store, c->arena, call_scope(c), bucket, &b, &why) == 0)
        return 0;
    if (why.code == ERROR_NOT_FOUND)
        return error_set(e, ERROR_FAILED_PRECONDITION,
                         OUTPUT_PREFIX ": Failed to get GCS bucket location for %.*s. Please check "
                                       "that the bucket exists and permissions are set correctly.",
                         STR_ARG(call_quote(bucket)));
    *e = why;
    return -1;
}

static int read_job(struct call *c, struct job *j, struct buf *inlined, struct error *e)
{
    (void)inlined; /* this dialect has no inline requests */
    if (vertex_read(c->arena, http_body(c->http), j, e) < 0)
        return -1;
    return model_check(c, j, e) < 0 ? -1 : output_check(c, j, e);
}

static void post_job(struct call *c)
{
    job_create_call(c, read_job);
}

/* ---- Operations: a deletion is complete when it is answered, so every operation is done, and its name
 * (a seal) has all its facts. ---- */

static const char *api_version(const struct call *c)
{
    return str_eq_c(c->version, "v1beta1") ? "v1beta1" : "v1";
}

static struct seal operation_seal(struct call *c, const char *project, const char *location)
{
    struct buf scope = BUF_INIT(PROJECT_BYTES + LOCATION_BYTES + 1);

    buf_addf(&scope, "%s %s", project, location);
    struct seal seal = { "operation", { arena_copy(c->arena, scope.p, scope.len), scope.len } };
    buf_release(&scope);
    return seal;
}

static void reply_operation(struct call *c, const struct vertex_deletion *d)
{
    struct buf out = BUF_INIT(OPERATION_BYTES_MAX);

    vertex_write_delete(d, &out);
    call_reply(c, &out);
}

static void delete_job(struct call *c)
{
    char operation[SEAL_TEXT_BYTES];
    struct error e = { 0 };
    struct job j;
    int64_t number[2];

    if (job_delete_of_path(c, &j, &e) < 0) {
        call_fail(c, &e);
        return;
    }
    number[0] = j.id;
    number[1] = c->api->clock->wall_us(c->api->clock);
    struct seal seal = operation_seal(c, j.project, j.location);
    if (seal_write(c->api->store, &seal, number, operation, &e) < 0) {
        call_fail(c, &e);
        return;
    }
    reply_operation(c, &(struct vertex_deletion){ j.project, j.location, operation, api_version(c),
                                                  number[1] });
}

/* Fills *d from the path; NOT_FOUND when the operation belongs to another project or location. */
static int operation_of_path(struct call *c, struct vertex_deletion *d, struct error *e)
{
    struct str id = c->param[2];
    struct job_place at;
    int64_t number[2];

    if (job_place(c, "get", &at, e) < 0 && e->code != ERROR_PERMISSION_DENIED)
        return -1;
    if (at.scope && at.location) {
        struct seal seal = operation_seal(c, at.scope, at.location);
        if (seal_read(c->api->store, &seal, id, number)) {
            *d =
                (struct vertex_deletion){ at.scope, at.location, arena_copy(c->arena, id.p, id.len),
                                          api_version(c), number[1] };
            return 0;
        }
    }
    return error_set(e, ERROR_NOT_FOUND, "Operation %.*s is not found.", STR_ARG(call_quote(id)));
}

static void get_operation(struct call *c)
{
    struct vertex_deletion d;
    struct error e = { 0 };

    if (model_answer_operation(c, false))
        return;
    if (operation_of_path(c, &d, &e) < 0)
        call_fail(c, &e);
    else
        reply_operation(c, &d);
}

/* Cancelling a done operation changes nothing, and a deleted one was never stored. */
static void forget_operation(struct call *c)
{
    struct vertex_deletion d;
    struct error e = { 0 };

    if (model_answer_operation(c, true))
        return;
    if (operation_of_path(c, &d, &e) < 0)
        call_fail(c, &e);
    else
        call_reply_c(c, "{}");
}

static void get_operations(struct call *c)
{
    struct job_place at;
    struct error e = { 0 };

    if (job_place(c, "list", &at, &e) < 0)
        call_fail(c, &e);
    else
        call_reply_c(c, "{}");
}

#define PLACE "/(v1|v1beta1)/projects/{}/locations/{}"
#define EXPRESS "/(v1|v1beta1)"
#define UI_TOO "/(v1|v1beta1|ui)/projects/{}/locations/{}"
#define JOBS "/batchPredictionJobs"

// clang-format off
const struct route api_vertex_routes[] = {
    { HTTP_POST,   PLACE JOBS,                ROLE_SUBMITTER, ROUTE_WAITS, post_job, VERTEX_BODY_BYTES_MAX, NULL },
    { HTTP_GET,    PLACE JOBS,                ROLE_VIEWER,    0, job_list_call, 0, NULL },
    { HTTP_GET,    PLACE JOBS "/{}",          ROLE_VIEWER,    0, job_get_call, 0, NULL },
    { HTTP_DELETE, PLACE JOBS "/{}",          ROLE_SUBMITTER, ROUTE_WAITS, delete_job, 0, NULL },
    { HTTP_POST,   PLACE JOBS "/{}:cancel",   ROLE_SUBMITTER, ROUTE_WAITS, job_cancel_call, 0, NULL },
    { HTTP_POST,   EXPRESS JOBS,              ROLE_SUBMITTER, ROUTE_WAITS, post_job, VERTEX_BODY_BYTES_MAX, NULL },
    { HTTP_GET,    EXPRESS JOBS,              ROLE_VIEWER,    0, job_list_call, 0, NULL },
    { HTTP_GET,    EXPRESS JOBS "/{}",        ROLE_VIEWER,    0, job_get_call, 0, NULL },
    { HTTP_DELETE, EXPRESS JOBS "/{}",        ROLE_SUBMITTER, ROUTE_WAITS, delete_job, 0, NULL },
    { HTTP_POST,   EXPRESS JOBS "/{}:cancel", ROLE_SUBMITTER, ROUTE_WAITS, job_cancel_call, 0, NULL },
    { HTTP_GET,    UI_TOO "/operations",           ROLE_VIEWER,    0, get_operations, 0, NULL },
    { HTTP_GET,    UI_TOO "/operations/{}",        ROLE_VIEWER,    0, get_operation, 0, NULL },
    { HTTP_DELETE, UI_TOO "/operations/{}",        ROLE_SUBMITTER, 0, forget_operation, 0, NULL },
    { HTTP_POST,   UI_TOO "/operations/{}:cancel", ROLE_SUBMITTER, 0, forget_operation, 0, NULL },
    { HTTP_POST,   UI_TOO "/operations/{}:wait",   ROLE_VIEWER,    0, get_operation, 0, NULL },
    { 0 },
};
// clang-format on
