#include "api/jobs/job_calls.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "format/job/vertex.h"
#include "predict/fake/script.h"

#define ID_DIGITS_MAX 19

static bool location_valid(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.p[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-')
            return false;
    }
    return s.len > 0 && s.len < LOCATION_BYTES;
}

static int location_read(struct call *c, struct str location, const char *verb, const char **out,
                         struct error *e)
{
    if (str_eq_c(location, "global"))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "The location \"global\" is not supported for batch jobs. Use a region, "
                         "such as \"%s\".",
                         c->api->default_location);
    if (!location_valid(location))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "The location in the path is none: use a region, such as \"%s\".",
                         c->api->default_location);
    bool any = str_eq_c(location, "-") && strcmp(verb, "list") == 0;
    *out = any ? NULL : arena_copy(c->arena, location.p, location.len);
    return 0;
}

/* The first two parameters of a path that names a project. */
static bool names_project(const struct call *c)
{
    return str_find(str_of(c->route->pattern), STR("/projects/")) != SIZE_MAX;
}

static bool is_gemini(const struct call *c)
{
    return str_find(str_of(c->route->pattern), STR("/batches")) != SIZE_MAX;
}

int job_place(struct call *c, const char *verb, struct job_place *out, struct error *e)
{
    struct str none = { 0 };

    *out = (struct job_place){ 0 };
    if (!names_project(c)) {
        (void)call_project(c, none, &out->project);
        out->scope = call_scope(c);
        return 0;
    }
    if (!call_project(c, c->param[0], &out->project))
        return error_set(
            e, ERROR_PERMISSION_DENIED,
            "Permission 'aiplatform.batchPredictionJobs.%s' denied on resource "
            "'//aiplatform.googleapis.com/projects/%.*s/locations/%.*s' (or it may not "
            "exist).",
            verb, STR_ARG(str_sub(c->param[0], 0, PROJECT_BYTES)),
            STR_ARG(str_sub(c->param[1], 0, LOCATION_BYTES)));
    out->scope = out->project;
    return location_read(c, c->param[1], verb, &out->location, e);
}

/* All digits, as the service makes them. */
static bool id_read(struct str text, int64_t *out)
{
    uint64_t id;

    if (text.len > ID_DIGITS_MAX || !str_number(text, &id) || id == 0 || id > INT64_MAX)
        return false;
    *out = (int64_t)id;
    return true;
}

static int not_found(struct str id, const char *kind, struct error *e)
{
    return error_set(e, ERROR_NOT_FOUND, "%s %.*s is not found.", kind,
                     STR_ARG(str_sub(id, 0, str_utf8_valid(str_sub(id, 0, 128)))));
}

static int batch_of_path(struct call *c, struct job *out, struct error *e)
{
    struct str id = c->param[c->param_count - 1];

    if (id.len == 0 || id.len >= JOB_BATCH_ID_BYTES)
        return not_found(id, "Batch", e);
    int found = job_get_batch(c->api->store, c->arena, call_scope(c),
                              arena_copy(c->arena, id.p, id.len), out, e);
    if (found < 0)
        return -1;
    return found && out->dialect == DIALECT_GEMINI ? 0 : not_found(id, "Batch", e);
}

int job_of_path(struct call *c, struct job *out, struct error *e)
{
    struct str id = c->param[c->param_count - 1];
    struct job_place at;
    int64_t number;

    if (is_gemini(c))
        return batch_of_path(c, out, e);
    int rc = job_place(c, "get", &at, e);
    if (rc < 0 && e->code != ERROR_PERMISSION_DENIED)
        return -1;
    if (rc < 0 || !id_read(id, &number)) /* another's project has no jobs that we can see */
        return not_found(id, "BatchPredictionJob", e);
    int found = job_get(c->api->store, c->arena, at.scope, number, out, e);
    if (found < 0)
        return -1;
    bool here = found && out->dialect == DIALECT_VERTEX &&
                (!at.location || strcmp(at.location, out->location) == 0);
    return here ? 0 : not_found(id, "BatchPredictionJob", e);
}

/* ---- Making one ---- */

/* In the body, as a query parameter, or as a header: whichever the client can set. */
static int request_id_take(struct call *c, struct job *j, struct error *e)
{
    struct str id = { 0 };

    if (j->request_id.len)
        return 0;
    if (!http_query(c->http, "requestId", &id))
        id = http_header(c->http, "x-tranche-request-id");
    j->request_id = id;
    return job_request_id_check(id, e);
}

/* What --test-clock lets a client say of all requests of its job. */
static int test_take(struct call *c, struct job *j, struct error *e)
{
    struct str script = http_header(c->http, "x-tranche-test");

    if (!c->api->test_clock || script.len == 0)
        return 0;
    if (script_check(script, e) < 0)
        return error_wrap(e, "x-tranche-test");
    j->test = script;
    return 0;
}

static int room_check(struct call *c, const char *project, struct error *e)
{
    struct service_settings *set = arena_alloc(c->arena, sizeof *set); /* large */

    uint32_t open = 0;

    service_settings(c->api->service, set);
    if (set->queued_max == 0)
        return 0;
    if (job_open_count(c->api->store, project, set->queued_max, &open, e) < 0)
        return -1;
    if (open < set->queued_max)
        return 0;
    return error_set(
        e, ERROR_RESOURCE_EXHAUSTED,
        "The project %s has %u jobs that are not finished, as many as it may. Wait for "
        "some, or cancel some.",
        project, set->queued_max);
}

static int inlined_keep(struct call *c, struct str lines, int64_t *id, struct error *e)
{
    struct blob blob;

    *id = 0;
    if (lines.len == 0)
        return 0;
    struct blob_writer *w = blob_create(c->api->store, lines.len, false, e);
    if (!w)
        return -1;
    if (blob_write(w, lines.p, lines.len, e) < 0) {
        blob_abort(w);
        return -1;
    }
    if (blob_finish(w, &blob, e) < 0)
        return -1;
    *id = blob.id;
    return 0;
}

static void place_set(struct call *c, struct job *j, const struct job_place *at)
{
    const char *location = at->location ? at->location : c->api->default_location;

    (void)snprintf(j->project, sizeof j->project, "%s", at->project);
    (void)snprintf(j->location, sizeof j->location, "%s", location);
    j->open = c->who.all;
}

int job_submit(struct call *c, struct job *j, const struct job_place *at, struct str inlined,
               struct error *e)
{
    int64_t blob;
    bool existed = false;

    place_set(c, j, at);
    if (request_id_take(c, j, e) < 0 || test_take(c, j, e) < 0 ||
        room_check(c, j->project, e) < 0 || inlined_keep(c, inlined, &blob, e) < 0)
        return -1;
    struct job asked = *j;
    if (job_create(c->api->store, c->arena, j, blob, &existed, e) < 0)
        return -1;
    if (!existed) {
        service_wake(c->api->service);
        return 0;
    }
    if (asked.dialect == j->dialect && str_eq(asked.model, j->model) &&
        str_eq(asked.spec, j->spec) && strcmp(asked.location, j->location) == 0)
        return 0;
    return error_set(e, ERROR_ALREADY_EXISTS,
                     "The requestId \"%.*s\" was used for another job. Use a new one for each job.",
                     STR_ARG(asked.request_id));
}

int job_cancel_asked(struct call *c, struct job *j, struct error *e)
{
    if (job_state_final(j->state))
        return error_set(e, ERROR_FAILED_PRECONDITION,
                         "The job is in the final state %s and cannot be cancelled.",
                         job_state_name(j->state));
    if (job_cancel(c->api->store, c->arena, call_scope(c), j->id, j, e) < 0)
        return -1;
    service_wake(c->api->service);
    return 0;
}

int job_delete_asked(struct call *c, const struct job *j, struct error *e)
{
    if (!job_state_final(j->state))
        return error_set(e, ERROR_FAILED_PRECONDITION,
                         "The job is in the state %s and cannot be deleted. Cancel it first, and "
                         "delete it when it has ended.",
                         job_state_name(j->state));
    return service_delete(c->api->service, call_scope(c), j->id, e);
}

void job_get_call(struct call *c)
{
    struct error e = { 0 };
    struct job j;

    if (job_of_path(c, &j, &e) < 0)
        call_fail(c, &e);
    else
        job_reply(c, &j);
}

void job_cancel_call(struct call *c)
{
    struct error e = { 0 };
    struct job j;

    if (job_of_path(c, &j, &e) < 0 || job_cancel_asked(c, &j, &e) < 0)
        call_fail(c, &e);
    else
        call_reply_c(c, "{}");
}
