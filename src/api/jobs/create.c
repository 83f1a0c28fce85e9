/* create.c -- a job is made: from a call's body to a row of the store.
 *
 * Why: both dialects create in the same steps (place, body, request id, quota, inline lines, row), and
 * only the body's reader differs. When the row is committed the job is durable; the scheduler finds out
 * later whether its input is there.
 *
 * Errors:  ALREADY_EXISTS when the request id belongs to another job; RESOURCE_EXHAUSTED when the
 *          project has as many unfinished jobs as it may have.
 */
#include "api/jobs/jobs.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"

/* Numbers can become longer when the lines of inline requests are written again. */
#define INLINED_BYTES_MAX (2 * GEMINI_INLINE_BYTES_MAX)

/* The request id stands in the body, in the query or in a header: wherever the client can set it. */
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

/* With --test-clock a client may script what becomes of its job, and the answers to all of its requests. */
static int test_take(struct call *c, struct job *j, struct error *e)
{
    return call_script_create(c, CALL_JOB, j->display_name, &j->test, e);
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

/* Makes the job that *j describes, or finds the one that was made with the same request id. */
static int submit(struct call *c, struct job *j, const struct job_place *at, struct str inlined,
                  struct error *e)
{
    struct service_settings *set = arena_alloc(c->arena, sizeof *set); /* large */
    struct job_terms terms = { 0 };
    bool existed = false;

    service_settings(c->api->service, set);
    terms.open_max = set->queued_max;
    place_set(c, j, at);
    if (c->trace.id[0])
        j->trace = str_of(arena_textf(
            c->arena, "%.*s\n%s", STR_ARG(http_header(c->http, "traceparent")), c->trace.state));
    if (request_id_take(c, j, e) < 0 || test_take(c, j, e) < 0 ||
        inlined_keep(c, inlined, &terms.inline_blob, e) < 0)
        return -1;
    struct job asked = *j;
    if (job_create(c->api->store, c->arena, j, &terms, &existed, e) < 0)
        return -1;
    assert(j->id > 0 && strcmp(asked.project, j->project) == 0);
    if (!existed) {
        if (c->trace.id[0])
            log_info("job %lld: created by call %s trace=%s", (long long)j->id, http_id(c->http),
                     c->trace.id);
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

void job_create_call(struct call *c, job_reader *reader)
{
    struct buf inlined = BUF_INIT(INLINED_BYTES_MAX);
    struct job j = { 0 };
    struct job_place at;
    struct error e = { 0 };
    int rc = -1;

    if (job_place(c, "create", &at, &e) == 0 && reader(c, &j, &inlined, &e) == 0)
        rc = submit(c, &j, &at, buf_str(&inlined), &e);
    buf_release(&inlined);
    if (rc < 0)
        call_fail(c, &e);
    else
        job_reply(c, &j);
}
