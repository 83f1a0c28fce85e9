/* extension.c -- calls that Google's services lack: pause, resume, retry of failed lines, results while
 * the job runs, and the errors of its input's lines. They stand under the job's path in both dialects.
 */
#include <inttypes.h>
#include <unistd.h>

#include "api/download.h"
#include "api/jobs/jobs.h"
#include "api/jobs/rows.h"
#include "format/job/vertex.h"

#define LINES_TYPE "application/jsonl"
#define OPTIONS_BYTES_MAX ((size_t)64 * 1024)

static void reply_changed(struct call *c, int rc, const struct job *j, const struct error *e)
{
    if (rc < 0) {
        call_fail(c, e);
        return;
    }
    service_wake(c->api->service);
    job_reply(c, j);
}

static void post_pause(struct call *c)
{
    struct error e = { 0 };
    struct job j;
    int rc = job_of_path(c, &j, &e);

    if (rc == 0)
        rc = job_pause(c->api->store, c->arena, call_scope(c), j.id, &j, &e);
    reply_changed(c, rc, &j, &e);
}

/* The limits that pause a job may be changed when it goes on; its other options may not. */
static int resume_read(struct call *c, const struct job *j, struct job_options *out,
                       struct error *e)
{
    yyjson_val *body = call_json(c, e);
    struct job asked = { .options = j->options, .priority = j->priority };

    if (!body || job_read_extension(c->arena, body, &asked, e) < 0)
        return -1;
    if (asked.request_id.len || asked.priority != j->priority ||
        asked.options.validate_only != j->options.validate_only ||
        asked.options.strict != j->options.strict || asked.options.reuse != j->options.reuse)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "Only budget, maxErrorRate and maxErrorRateMinLines can be changed when a "
                         "job goes on.");
    *out = asked.options;
    return 0;
}

static int resume(struct call *c, struct job *j, struct error *e)
{
    struct job_options options;

    if (job_of_path(c, j, e) < 0 || resume_read(c, j, &options, e) < 0)
        return -1;
    return job_resume(
        c->api->store, c->arena,
        &(struct job_resume){ .project = call_scope(c), .id = j->id, .options = &options }, j, e);
}

static void post_resume(struct call *c)
{
    struct error e = { 0 };
    struct job j;
    int rc = resume(c, &j, &e);

    reply_changed(c, rc, &j, &e);
}

static void post_retry(struct call *c)
{
    struct error e = { 0 };
    struct job failed, j;
    int rc = job_of_path(c, &failed, &e);

    if (rc == 0)
        rc = service_retry(c->api->service, c->arena, call_scope(c), failed.id, &j, &e);
    reply_changed(c, rc, &j, &e);
}

/* ---- Lines of a file that may still grow ---- */

typedef int lines_fn(struct service *s, const struct job *j, uint64_t *bytes, struct error *e);

static void reply_lines(struct call *c, const struct download *d)
{
    struct buf none = BUF_INIT(0);

    if (d->fd >= 0 && d->first < d->end) {
        download_reply(c, 200, LINES_TYPE, d);
        return;
    }
    if (d->fd >= 0)
        (void)close(d->fd);
    http_reply(c->http, 200, LINES_TYPE, &none);
}

/* d->end: bytes that there are so far. Lines that are not there are none. */
static int lines_open(struct call *c, const struct job *j, lines_fn *open_lines, struct download *d,
                      struct error *e)
{
    struct error why = { 0 };

    if (j->result && open_lines != service_line_errors) {
        if (blob_size(c->api->store, j->result, &d->end, e) < 0)
            return -1;
        return d->first < d->end ? download_open(c, j->result, d->first, d->end, d, e) : 0;
    }
    d->fd = open_lines(c->api->service, j, &d->end, &why);
    d->ready = d->end;
    if (d->fd >= 0 || why.code == ERROR_NOT_FOUND)
        return 0;
    *e = why;
    return -1;
}

/* The job is read before its file, so a job that was final then has all its lines now. */
static void get_lines(struct call *c, lines_fn *open_lines)
{
    struct download d = { .fd = -1 };
    struct error e = { 0 };
    struct job j;

    if (job_of_path(c, &j, &e) < 0 || call_number(c, "offset", 0, INT64_MAX, &d.first, &e) < 0 ||
        lines_open(c, &j, open_lines, &d, &e) < 0) {
        call_fail(c, &e);
        return;
    }
    if (d.first > d.end) {
        if (d.fd >= 0)
            (void)close(d.fd);
        (void)error_set(&e, ERROR_OUT_OF_RANGE,
                        "offset %" PRIu64 " is beyond the end: there are %" PRIu64 " bytes so far.",
                        d.first, d.end);
        call_fail(c, &e);
        return;
    }
    http_set_header(c->http, "X-Tranche-Complete",
                    str_of(job_state_final(j.state) ? "true" : "false"));
    reply_lines(c, &d);
}

/* "order=done" gives every row that is there, which then stands at no fixed offset. */
static void get_results(struct call *c)
{
    struct str order = { 0 }, offset = { 0 };
    struct error e = { 0 };

    if (job_rows_file_asked(c)) {
        job_rows_file_call(c);
        return;
    }
    if (!http_query(c->http, "order", &order) || str_eq_c(order, "input")) {
        get_lines(c, service_results);
        return;
    }
    if (str_eq_c(order, "done") && !http_query(c->http, "offset", &offset)) {
        get_lines(c, service_results_done);
        return;
    }
    (void)error_set(&e, ERROR_INVALID_ARGUMENT,
                    "order is input (default) or done, and done takes no offset.");
    call_fail(c, &e);
}

static void get_faults(struct call *c)
{
    get_lines(c, service_line_errors);
}

#define PLACE "/(v1|v1beta1)/projects/{}/locations/{}/batchPredictionJobs/{}"
#define EXPRESS "/(v1|v1beta1)/batchPredictionJobs/{}"
#define BATCH "/(v1|v1beta|v1alpha)/batches/{}"

#define JOB_ROUTES(path)                                                                           \
    { HTTP_POST, path ":pause", ROLE_SUBMITTER, ROUTE_WAITS, post_pause, 0, NULL },                \
        { HTTP_POST, path ":resume", ROLE_SUBMITTER, ROUTE_WAITS, post_resume, OPTIONS_BYTES_MAX,  \
          NULL },                                                                                  \
        { HTTP_POST, path ":retryFailed", ROLE_SUBMITTER, ROUTE_WAITS, post_retry, 0, NULL },      \
        { HTTP_GET, path ":results", ROLE_VIEWER, ROUTE_WAITS, get_results, 0, NULL },             \
        { HTTP_GET, path ":rows", ROLE_VIEWER, ROUTE_WAITS, job_rows_call, 0, NULL },              \
    {                                                                                              \
        HTTP_GET, path ":faults", ROLE_VIEWER, 0, get_faults, 0, NULL                              \
    }

const struct route api_extension_routes[] = {
    JOB_ROUTES(PLACE),
    JOB_ROUTES(EXPRESS),
    JOB_ROUTES(BATCH),
    { 0 },
};
