/* cmd_verbs.c -- what is done to a job in one call: cancel, delete, pause, resume, retry. */
#include "app/client/client_job.h"

#include <assert.h>
#include <string.h>
#include <unistd.h>

#include "app/client/job_limits.h"

#define BODY_BYTES_MAX 4096
#define LINE_BYTES_MAX ((size_t)4 * 1024 * 1024)

struct verb_options {
    struct client_options client;
    bool json;
    struct job_limits job;
};

static const struct verb {
    const char *command, *method, *name; /* ":name", or NULL: the job itself */
    const char *done;                    /* printed of it */
    const char *extension;               /* what Google lacks; NULL: it has it */
    bool makes_job;                      /* answers with a new job; must not happen twice */
} verbs[] = {
    { "cancel", "POST", "cancel", "is being cancelled", NULL, false },
    { "delete", "DELETE", NULL, "is deleted", NULL, false },
    { "pause", "POST", "pause", "is being paused", "pausing a job", false },
    { "resume", "POST", "resume", "goes on", "resuming a job", false },
    { "retry", "POST", "retryFailed", "is run again", "retrying a job", true },
};

static const struct verb *verb_of(const struct command *c)
{
    size_t i = 0;

    while (strcmp(verbs[i].command, c->name) != 0)
        i++;
    assert(i < ARRAY_LEN(verbs));
    return &verbs[i];
}

static void print_new_job(const struct verb_options *o, yyjson_val *answer, struct str text)
{
    struct buf out = BUF_INIT(LINE_BYTES_MAX);
    struct job_view v;

    job_view_read(answer, &v);
    if (o->json)
        client_compact(text, &out);
    else
        buf_add_plain(&out, job_view_id(&v), false);
    buf_add_char(&out, '\n');
    terminal_write(STDOUT_FILENO, buf_str(&out));
    buf_release(&out);
}

static int carry_out(struct client *c, const struct verb *v, const struct verb_options *o,
                     const char *id, struct error *e)
{
    struct buf body = BUF_INIT(BODY_BYTES_MAX);
    struct client_call call = { .method = v->method,
                                .url = client_job_url(c, id, v->name, e),
                                .once = v->makes_job };
    struct str text;

    if (!call.url)
        return -1;
    if (v->name) {
        struct json_writer w = JSON_WRITER(&body);
        json_object(&w, NULL);
        job_limits_write(&o->job, &w);
        json_end(&w);
        call.body = buf_str(&body);
    }
    yyjson_val *answer = client_json(c, &call, &c->arena, &text, e);
    buf_release(&body);
    if (!answer)
        return error_wrap(e, "job %s", id);
    terminal_note(&c->terminal, "job %s %s", id, v->done);
    if (v->makes_job)
        print_new_job(o, answer, text);
    return 0;
}

static int verb_run(struct client *c, const struct arguments *given, enum exit_code *code,
                    struct error *e)
{
    const struct verb_options *o = given->options;
    const struct verb *v = verb_of(c->command);

    (void)code;
    if ((v->extension && client_needs_tranche(c, v->extension, e) < 0) ||
        job_limits_check(&o->job, e) < 0)
        return -1;
    for (uint32_t i = 0; i < given->count; i++) {
        const char *id = client_job_id(c, given->argument[i], e);
        if (!id || carry_out(c, v, o, id, e) < 0)
            return -1;
    }
    return 0;
}

#define OPTIONS struct verb_options
static const struct option_spec plain_options[] = {
    CLIENT_OPTIONS,
    { 0 },
};
static const struct option_spec resume_options[] = {
    JOB_LIMIT_OPTIONS,
    CLIENT_OPTIONS,
    { 0 },
};
static const struct option_spec retry_options[] = {
    OPT_FLAG("json", 0, json, "print the new job's resource instead of its number"),
    CLIENT_OPTIONS,
    { 0 },
};

const struct command command_cancel = {
    .name = "cancel",
    .summary = "cancel a job; its answers stay",
    .arguments = "JOB...",
    .about = "Its output holds the answers so far, and lists the other lines as not run.",
    .options = plain_options,
    .options_bytes = sizeof(struct verb_options),
    .arguments_min = 1,
    .arguments_max = ARGUMENTS_MAX,
    CLIENT_RUN(verb_run),
};

const struct command command_delete = {
    .name = "delete",
    .summary = "delete a job that has ended; its output stays",
    .arguments = "JOB...",
    .about = "",
    .options = plain_options,
    .options_bytes = sizeof(struct verb_options),
    .arguments_min = 1,
    .arguments_max = ARGUMENTS_MAX,
    CLIENT_RUN(verb_run),
};

const struct command command_pause = {
    .name = "pause",
    .summary = "pause a job until it is resumed",
    .arguments = "JOB...",
    .about = "Open requests are finished first.",
    .options = plain_options,
    .options_bytes = sizeof(struct verb_options),
    .arguments_min = 1,
    .arguments_max = ARGUMENTS_MAX,
    CLIENT_RUN(verb_run),
};

const struct command command_resume = {
    .name = "resume",
    .summary = "resume a paused job",
    .arguments = "JOB...",
    .about = "A job that paused because of its budget or of its errors needs a larger limit.",
    .options = resume_options,
    .options_bytes = sizeof(struct verb_options),
    .arguments_min = 1,
    .arguments_max = ARGUMENTS_MAX,
    CLIENT_RUN(verb_run),
};

const struct command command_retry = {
    .name = "retry",
    .summary = "run the failed and unfinished lines of an ended job again",
    .arguments = "JOB",
    .about = "A new job is made, and its number printed. Its output holds the answers of both.",
    .options = retry_options,
    .options_bytes = sizeof(struct verb_options),
    .arguments_min = 1,
    .arguments_max = 1,
    CLIENT_RUN(verb_run),
};
