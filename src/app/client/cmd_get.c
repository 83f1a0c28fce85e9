/* cmd_get.c -- `tranche get` and `tranche watch`: one job, now or until it ends. */
#include "app/client/client_job.h"

#include <unistd.h>

#define TEXT_BYTES_MAX ((size_t)4 * 1024 * 1024)

struct get_options {
    struct client_options client;
    bool json;
};

static void print_line(struct str json)
{
    struct buf out = BUF_INIT(TEXT_BYTES_MAX);

    client_compact(json, &out);
    buf_add_char(&out, '\n');
    console_write(STDOUT_FILENO, buf_str(&out));
    buf_release(&out);
}

/* The job as it is now: the resource as JSON, or its facts. */
static int print_job(struct client *c, const char *id, bool json, struct error *e)
{
    struct job_view v;
    struct str text;
    const char *url = client_job_url(c, id, NULL, e);

    if (!url || client_job(c, url, &c->arena, &v, &text, e) < 0)
        return -1;
    if (json)
        print_line(text);
    else
        job_view_print(&v, &c->console);
    return 0;
}

static enum exit_code get_run(const void *options, const char *const *argument, uint32_t count)
{
    const struct get_options *o = options;
    struct client c;
    struct error e = { 0 };
    int rc = client_open(&c, &o->client, &e);

    for (uint32_t i = 0; rc == 0 && i < count; i++) {
        if (i && !o->json)
            console_write(STDOUT_FILENO, STR("\n"));
        rc = print_job(&c, argument[i], o->json, &e);
    }
    return client_end(&c, rc, &e);
}

static enum exit_code watch_run(const void *options, const char *const *argument, uint32_t count)
{
    const struct get_options *o = options;
    struct client c;
    struct error e = { 0 };
    struct job_view v = { 0 };
    struct buf line = BUF_INIT(TEXT_BYTES_MAX);
    enum exit_code code;
    int rc = client_open(&c, &o->client, &e);

    (void)count;
    if (rc == 0)
        rc = client_watch(&c, argument[0], &v, &e);
    if (rc == 0 && o->json)
        rc = print_job(&c, argument[0], true, &e);
    job_view_sum_up(&v, &line);
    if (rc == 0)
        console_note(&c.console, "%s", line.p);
    enum exit_code ended = job_view_exit(&v);
    buf_release(&line);
    code = client_end(&c, rc, &e);
    return rc < 0 ? code : ended;
}

#define AT(field) offsetof(struct get_options, field)
static const struct option_spec get_options[] = {
    { "json", 0, OPTION_FLAG, AT(json), NULL, "the resource as the service has it", COMPLETE_NONE,
      0, 0 },
    CLIENT_OPTIONS(struct get_options),
    { 0 },
};
static const struct option_spec watch_options[] = {
    { "json", 0, OPTION_FLAG, AT(json), NULL, "at the end, the resource as the service has it",
      COMPLETE_NONE, 0, 0 },
    CLIENT_OPTIONS(struct get_options),
    { 0 },
};

const struct command command_get = {
    .name = "get",
    .summary = "what is known of a job",
    .arguments = "JOB...",
    .about = "JOB is the number that `tranche jobs` shows, or the whole name "
             "projects/P/locations/L/batchPredictionJobs/N.",
    .options = get_options,
    .options_bytes = sizeof(struct get_options),
    .arguments_min = 1,
    .arguments_max = ARGUMENTS_MAX,
    .run = get_run,
};

const struct command command_watch = {
    .name = "watch",
    .summary = "a job's progress until it ends",
    .arguments = "JOB",
    .about = "Ends with 0 when every line was answered, 1 when some failed, 3 when the job failed "
             "because of its input, 4 when it was cancelled, expired or paused, 5 when it failed "
             "otherwise. Ctrl-C ends the watching, not the job.",
    .options = watch_options,
    .options_bytes = sizeof(struct get_options),
    .arguments_min = 1,
    .arguments_max = 1,
    .run = watch_run,
};
