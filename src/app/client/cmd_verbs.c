/* cmd_verbs.c -- what is done to a job in one call: cancel, delete, pause, resume, retry. */
#include "app/client/client_job.h"

#include <stdio.h>
#include <unistd.h>

#include "app/client/client_wish.h"

#define BODY_BYTES_MAX 4096
#define LINE_BYTES_MAX ((size_t)4 * 1024 * 1024)

struct verb_options {
    struct client_options client;
    bool json;
    struct wish wish;
};

struct verb {
    const char *method, *name; /* ":name", or NULL: the job itself */
    const char *done;          /* what is told of it */
    const char *extension;     /* what Google lacks; NULL: it has it */
    bool makes_job;            /* answers with a new job; must not happen twice */
};
static const struct verb cancel = { "POST", "cancel", "is being cancelled", NULL, false };
static const struct verb remove_job = { "DELETE", NULL, "is deleted", NULL, false };
static const struct verb pause_job = { "POST", "pause", "is being paused", "pausing a job", false };
static const struct verb resume = { "POST", "resume", "goes on", "resuming a job", false };
static const struct verb retry = { "POST", "retryFailed", "is run again", "retrying a job", true };

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
    console_write(STDOUT_FILENO, buf_str(&out));
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
        buf_add_char(&body, '{');
        wish_write(&o->wish, &body);
        if (body.len > 1)
            body.len--; /* the last comma */
        buf_add_char(&body, '}');
        call.body = buf_str(&body);
    }
    yyjson_val *answer = client_json(c, &call, &c->arena, &text, e);
    buf_release(&body);
    if (!answer)
        return error_wrap(e, "job %s", id);
    console_note(&c->console, "job %s %s", id, v->done);
    if (v->makes_job)
        print_new_job(o, answer, text);
    return 0;
}

static enum exit_code verb_run(const struct verb *v, const struct verb_options *o,
                               const char *const *id, uint32_t count)
{
    struct client c;
    struct error e = { 0 };
    int rc = client_open(&c, &o->client, &e);

    if (rc == 0 && v->extension)
        rc = client_needs_tranche(&c, v->extension, &e);
    if (rc == 0)
        rc = wish_check(&o->wish, &e);
    for (uint32_t i = 0; rc == 0 && i < count; i++)
        rc = carry_out(&c, v, o, id[i], &e);
    return client_end(&c, rc, &e);
}

static enum exit_code cancel_run(const void *options, const char *const *argument, uint32_t count)
{
    return verb_run(&cancel, options, argument, count);
}

static enum exit_code delete_run(const void *options, const char *const *argument, uint32_t count)
{
    return verb_run(&remove_job, options, argument, count);
}

static enum exit_code pause_run(const void *options, const char *const *argument, uint32_t count)
{
    return verb_run(&pause_job, options, argument, count);
}

static enum exit_code resume_run(const void *options, const char *const *argument, uint32_t count)
{
    return verb_run(&resume, options, argument, count);
}

static enum exit_code retry_run(const void *options, const char *const *argument, uint32_t count)
{
    return verb_run(&retry, options, argument, count);
}

static const struct option_spec plain_options[] = {
    CLIENT_OPTIONS(struct verb_options),
    { 0 },
};
static const struct option_spec resume_options[] = {
    WISH_OPTIONS(struct verb_options),
    CLIENT_OPTIONS(struct verb_options),
    { 0 },
};
static const struct option_spec retry_options[] = {
    { "json", 0, OPTION_FLAG, offsetof(struct verb_options, json), NULL,
      "the new job's resource instead of its number", COMPLETE_NONE, 0, 0 },
    CLIENT_OPTIONS(struct verb_options),
    { 0 },
};

const struct command command_cancel = {
    .name = "cancel",
    .summary = "stop a job; what is answered stays",
    .arguments = "JOB...",
    .about = "Its output holds the answers so far, and lists the other lines as not run.",
    .options = plain_options,
    .options_bytes = sizeof(struct verb_options),
    .arguments_min = 1,
    .arguments_max = ARGUMENTS_MAX,
    .run = cancel_run,
};

const struct command command_delete = {
    .name = "delete",
    .summary = "forget a job that has ended; its output stays",
    .arguments = "JOB...",
    .about = "",
    .options = plain_options,
    .options_bytes = sizeof(struct verb_options),
    .arguments_min = 1,
    .arguments_max = ARGUMENTS_MAX,
    .run = delete_run,
};

const struct command command_pause = {
    .name = "pause",
    .summary = "let a job rest until it is resumed",
    .arguments = "JOB...",
    .about = "What is in flight is finished first.",
    .options = plain_options,
    .options_bytes = sizeof(struct verb_options),
    .arguments_min = 1,
    .arguments_max = ARGUMENTS_MAX,
    .run = pause_run,
};

const struct command command_resume = {
    .name = "resume",
    .summary = "go on with a job that is paused",
    .arguments = "JOB...",
    .about = "A job that paused because of its budget or of its errors needs a larger limit.",
    .options = resume_options,
    .options_bytes = sizeof(struct verb_options),
    .arguments_min = 1,
    .arguments_max = ARGUMENTS_MAX,
    .run = resume_run,
};

const struct command command_retry = {
    .name = "retry",
    .summary = "run again what failed or was not run in a job that has ended",
    .arguments = "JOB",
    .about = "A new job is made, and its number printed. Its output holds the answers of both.",
    .options = retry_options,
    .options_bytes = sizeof(struct verb_options),
    .arguments_min = 1,
    .arguments_max = 1,
    .run = retry_run,
};
