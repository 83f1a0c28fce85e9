/* calls.c -- the job that a path names, in both dialects: found, shown, cancelled, deleted. */
#include "api/jobs/jobs.h"

#include <stdio.h>
#include <string.h>

static bool location_valid(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.p[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-')
            return false;
    }
    return s.len > 0 && s.len < LOCATION_BYTES;
}

static bool is_listed(const char *const *list, struct str location)
{
    for (; list && *list; list++)
        if (str_eq_c(location, *list))
            return true;
    return false;
}

static int location_read(struct call *c, struct str location, const char *verb, const char **out,
                         struct error *e)
{
    if (str_eq_c(location, "global") && !is_listed(c->api->locations, location))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "The location \"global\" is not supported for batch jobs. Use a region, "
                         "such as \"%s\", or let the service's operator list \"global\" in the "
                         "setting service.locations.",
                         c->api->default_location);
    if (!location_valid(location))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "The location in the path is not valid. Use a region, such as \"%s\".",
                         c->api->default_location);
    bool any = str_eq_c(location, "-") && strcmp(verb, "list") == 0;
    bool creates = strcmp(verb, "create") == 0;
    if (creates && c->api->locations && !is_listed(c->api->locations, location))
        return error_set(
            e, ERROR_INVALID_ARGUMENT,
            "The location \"%.*s\" is not in the setting service.locations. Use \"%s\".",
            STR_ARG(location), c->api->locations[0] ? c->api->locations[0] : "none");
    *out = any ? NULL : arena_copy(c->arena, location.p, location.len);
    return 0;
}

/* The path begins with a project and a location, which are the first two parameters. */
static bool names_project(const struct call *c)
{
    return str_find(str_of(c->route->pattern), STR("/projects/")) != SIZE_MAX;
}

enum dialect job_dialect(const struct call *c)
{
    bool vertex = str_find(str_of(c->route->pattern), STR("/batchPredictionJobs")) != SIZE_MAX;

    return vertex ? DIALECT_VERTEX : DIALECT_GEMINI;
}

int job_place(struct call *c, const char *verb, struct job_place *out, struct error *e)
{
    *out = (struct job_place){ .project = call_own_project(c), .scope = call_scope(c) };
    if (!names_project(c))
        return 0;
    if (!call_project(c, c->param[0], &out->project))
        return error_set(
            e, ERROR_PERMISSION_DENIED,
            "Permission 'aiplatform.batchPredictionJobs.%s' denied on resource "
            "'//aiplatform.googleapis.com/projects/%.*s/locations/%.*s' (or it may not "
            "exist).",
            verb, STR_ARG(str_cut(c->param[0], PROJECT_BYTES)),
            STR_ARG(str_cut(c->param[1], LOCATION_BYTES)));
    out->scope = out->project;
    return location_read(c, c->param[1], verb, &out->location, e);
}

static int not_found(struct str id, const char *kind, struct error *e)
{
    return error_set(e, ERROR_NOT_FOUND, "%s %.*s is not found.", kind, STR_ARG(call_quote(id)));
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
    bool shown = found && out->dialect == DIALECT_GEMINI && out->asked != ASKED_REMOVE;
    return shown ? 0 : not_found(id, "Batch", e);
}

int job_of_path(struct call *c, struct job *out, struct error *e)
{
    struct str id = c->param[c->param_count - 1];
    struct job_place at;
    int64_t number;

    if (job_dialect(c) == DIALECT_GEMINI)
        return batch_of_path(c, out, e);
    int rc = job_place(c, "get", &at, e);
    if (rc < 0 && e->code != ERROR_PERMISSION_DENIED)
        return -1;
    /* A job of another project is not found either. */
    if (rc < 0 || !call_int64(id, &number))
        return not_found(id, "BatchPredictionJob", e);
    int found = job_get(c->api->store, c->arena, at.scope, number, out, e);
    if (found < 0)
        return -1;
    bool here = found && out->dialect == DIALECT_VERTEX &&
                (!at.location || strcmp(at.location, out->location) == 0);
    return here ? 0 : not_found(id, "BatchPredictionJob", e);
}

static int cancel(struct call *c, struct job *j, struct error *e)
{
    if (job_of_path(c, j, e) < 0)
        return -1;
    // NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage): job_of_path filled *j
    if (job_state_final(j->state))
        return error_set(e, ERROR_FAILED_PRECONDITION,
                         "The job is in the final state %s and cannot be cancelled.",
                         job_state_name(j->state));
    return job_cancel(c->api->store, c->arena, call_scope(c), j->id, j, e);
}

void job_cancel_call(struct call *c)
{
    struct error e = { 0 };
    struct job j;

    if (cancel(c, &j, &e) < 0) {
        call_fail(c, &e);
        return;
    }
    service_wake(c->api->service);
    call_reply_c(c, "{}");
}

int job_delete_of_path(struct call *c, struct job *j, struct error *e)
{
    if (job_of_path(c, j, e) < 0)
        return -1;
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
