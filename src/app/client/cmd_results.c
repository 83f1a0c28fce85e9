/* cmd_results.c -- `tranche results`: the output rows of a job, also of one that still runs. */
#include "app/client/client_job.h"
#include "app/client/client_storage.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sys.h"

#define POLL_MS 2000
#define PATH_BYTES_MAX ((size_t)8192)
#define OUTPUT_NAME "/predictions.jsonl"

struct results_options {
    struct client_options client;
    const char *output;
    bool follow, done;
};

/* Rows go to FILE.partial until there will be no more, or straight to standard output. */
struct results {
    struct client *client;
    const char *id, *job_url;
    bool done; /* rows behind open lines, too */
    struct job_view job;
    struct fetch fetch;
};

static int look(struct results *r, struct error *e)
{
    return client_job(r->client, r->job_url, &r->client->arena, &r->job, NULL, e);
}

/* Google keeps the rows in the output object alone. */
static int fetch_object(struct results *r, struct error *e)
{
    struct client *c = r->client;
    struct buf uri = BUF_INIT(PATH_BYTES_MAX);
    struct gs at;

    if (r->job.output.len == 0)
        return error_set(e, ERROR_FAILED_PRECONDITION, "job %s is %.*s and has no output %s", r->id,
                         STR_ARG(r->job.state), job_view_ended(&r->job) ? "at all" : "yet");
    buf_add_str(&uri, r->job.output);
    buf_add_c(&uri, OUTPUT_NAME);
    const char *text = arena_copy(&c->arena, uri.p, uri.len);
    buf_release(&uri);
    if (gs_read(text, &at, e) < 0)
        return -1;
    const struct str names[] = { at.bucket, at.name };
    const char *url = client_url(c, c->storage, "/download/storage/v1/b/{}/o/{}?alt=media", names);
    return client_fetch(c, url, &r->fetch, e);
}

/* Fetches the rows that exist: none before the first one, and fewer than before for a moment when a job
 * resumes, as it renders its rows again. */
static int fetch_rows(struct results *r, bool ended, struct error *e)
{
    struct error none = { 0 };
    const char *url = client_job_url(r->client, r->id, "results", e);

    if (r->client->google)
        return ended ? fetch_object(r, e) : 0;
    if (!url)
        return -1;
    if (r->done)
        url = arena_textf(&r->client->arena, "%s?order=done", url);
    if (client_fetch(r->client, url, &r->fetch, &none) == 0 ||
        (!ended && (none.code == ERROR_NOT_FOUND || none.code == ERROR_OUT_OF_RANGE)))
        return 0;
    return error_set(e, none.code, "%s", none.msg);
}

/* The state is asked first: rows that come after it was final are all there. */
static int fetch_all(struct results *r, bool follow, struct error *e)
{
    for (;;) {
        if (look(r, e) < 0)
            return -1;
        bool ended = job_view_ended(&r->job);
        if (fetch_rows(r, ended, e) < 0)
            return -1;
        if (ended || !follow)
            return ended || r->fetch.got || !r->client->google ? 0 : fetch_object(r, e);
        if (client_sleep(r->client, POLL_MS, e) < 0)
            return -1;
    }
}

static int to_file(struct results *r, const char *path, bool follow, struct error *e)
{
    struct buf partial = BUF_INIT(PATH_BYTES_MAX);
    int rc = -1;

    buf_addf(&partial, "%s.partial", path);
    r->fetch.path = partial.p;
    r->fetch.fd = sys_create(partial.p, e);
    if (r->fetch.fd >= 0) {
        rc = fetch_all(r, follow, e);
        if (close(r->fetch.fd) < 0 && rc == 0)
            rc = error_errno(e, "cannot write %s", partial.p);
        if (rc == 0)
            rc = sys_rename(partial.p, path, e);
        else
            (void)unlink(partial.p);
    }
    buf_release(&partial);
    return rc;
}

int client_results_to(struct client *c, const char *id, const char *path, struct error *e)
{
    struct results r = { .client = c,
                         .id = id,
                         .job_url = client_job_url(c, id, NULL, e),
                         .fetch = { .by_offset = !c->google } };

    return r.job_url ? to_file(&r, path, false, e) : -1;
}

static int results(struct client *c, const struct arguments *given, enum exit_code *code,
                   struct error *e)
{
    const struct results_options *o = given->options;
    const char *id = client_job_id(c, given->count ? given->argument[0] : NULL, e);
    struct results r = { .client = c,
                         .id = id,
                         .done = o->done,
                         .job_url = id ? client_job_url(c, id, NULL, e) : NULL,
                         .fetch = { .fd = STDOUT_FILENO,
                                    .path = "standard output",
                                    .by_offset = !c->google && !o->done } };

    (void)code;
    if (!r.job_url || (o->done && client_needs_tranche(c, "--done", e) < 0))
        return -1;
    if (o->done && o->follow)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "--done shows the rows of now; leave --follow out");
    c->patient = o->follow;
    int rc = o->output && strcmp(o->output, "-") != 0 ? to_file(&r, o->output, o->follow, e)
                                                      : fetch_all(&r, o->follow, e);
    if (rc == 0 && r.job.known && !job_state_final(r.job.is))
        terminal_note(&c->terminal, "job %s is %.*s: these are the rows so far", id,
                      STR_ARG(r.job.state));
    return rc;
}

#define OPTIONS struct results_options
static const struct option_spec options[] = {
    OPT_FILE("output", 'o', output, "file for the rows (default: standard output)"),
    OPT_FLAG("done", 'd', done, "with the rows behind lines that are still open"),
    OPT_FLAG("follow", 'F', follow, "continue until the job has ended"),
    CLIENT_OPTIONS,
    { 0 },
};

const struct command command_results = {
    .name = "results",
    .summary = "get the output rows of a job, also while it runs",
    .arguments = "[JOB]",
    .about = "A job that runs gives the rows that are finished, in input order, up to the first "
             "line that is "
             "still open; with --done also those behind it. A service of Google "
             "gives them when the job has ended. Without JOB it is the newest job.",
    .options = options,
    .options_bytes = sizeof(struct results_options),
    .arguments_max = 1,
    CLIENT_RUN(results),
};
