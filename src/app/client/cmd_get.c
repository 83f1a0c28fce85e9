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
    terminal_write(STDOUT_FILENO, buf_str(&out));
    buf_release(&out);
}

/* The job as it is now: the resource as JSON, or its facts. */
static int print_job(struct client *c, const char *id, bool json, struct error *e)
{
    struct job_view v;
    struct str text;
    const char *url = id ? client_job_url(c, id, NULL, e) : NULL;

    if (!url || client_job(c, url, &c->arena, &v, &text, e) < 0)
        return -1;
    if (json)
        print_line(text);
    else
        job_view_print(&v, &c->terminal);
    return 0;
}

static int get(struct client *c, const struct arguments *given, enum exit_code *code,
               struct error *e)
{
    const struct get_options *o = given->options;

    (void)code;
    uint32_t i = 0;
    do {
        const char *id = client_job_id(c, given->count ? given->argument[i] : NULL, e);
        if (i && !o->json)
            terminal_write(STDOUT_FILENO, STR("\n"));
        if (print_job(c, id, o->json, e) < 0)
            return -1;
    } while (++i < given->count);
    return 0;
}

static int watch(struct client *c, const struct arguments *given, enum exit_code *code,
                 struct error *e)
{
    const struct get_options *o = given->options;
    struct job_view v = { 0 };
    struct buf line = BUF_INIT(TEXT_BYTES_MAX);

    const char *id = client_job_id(c, given->count ? given->argument[0] : NULL, e);
    if (!id || client_watch(c, id, &v, e) < 0 || (o->json && print_job(c, id, true, e) < 0))
        return -1;
    job_view_sum_up(&v, &line);
    terminal_note(&c->terminal, "%s", line.p);
    buf_release(&line);
    *code = job_view_exit(&v);
    return 0;
}

#define OPTIONS struct get_options
static const struct option_spec get_options[] = {
    OPT_FLAG("json", 0, json, "print the resource as the service has it"),
    CLIENT_OPTIONS,
    { 0 },
};
static const struct option_spec watch_options[] = {
    OPT_FLAG("json", 0, json, "print the resource at the end, as the service has it"),
    CLIENT_OPTIONS,
    { 0 },
};

const struct command command_get = {
    .name = "get",
    .summary = "show a job",
    .arguments = "[JOB...]",
    .about =
        "JOB is the number that `tranche jobs` shows, its first or last digits (three or more), or "
        "the whole name projects/P/locations/L/batchPredictionJobs/N. Without JOB it is the newest "
        "job.",
    .options = get_options,
    .options_bytes = sizeof(struct get_options),
    .arguments_max = ARGUMENTS_MAX,
    CLIENT_RUN(get),
};

const struct command command_watch = {
    .name = "watch",
    .summary = "show a job's progress until it ends",
    .arguments = "[JOB]",
    .about = "Without JOB the newest is watched. Ends with 0 when every line was answered, 1 when "
             "some failed, 3 when the job failed "
             "because of its input, 4 when it was cancelled, expired or paused, 5 when it failed "
             "otherwise. Ctrl-C ends the watching, not the job.",
    .options = watch_options,
    .options_bytes = sizeof(struct get_options),
    .arguments_max = 1,
    CLIENT_RUN(watch),
};
