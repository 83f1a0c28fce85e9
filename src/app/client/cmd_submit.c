/* cmd_submit.c -- `tranche submit`: local files go to the object store first, then a job is made of them. */
#include "app/client/client_job.h"
#include "app/client/client_storage.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/client/job_limits.h"
#include "app/config/config.h"
#include "app/cli/human.h"
#include "app/run/submit_to.h"
#include "base/clock.h"
#include "base/json_write.h"
#include "base/random.h"
#include "base/sys.h"
#include "base/env.h"
#include "format/bigquery/name.h"

#define BODY_BYTES_MAX ((size_t)1024 * 1024)
#define TEXT_BYTES_MAX ((size_t)4 * 1024 * 1024)
#define PATH_BYTES_MAX ((size_t)8192)
#define RANDOM_BYTES 16
#define STAMP_BYTES 64
#define JSONL ".jsonl"

struct submit_options {
    struct client_options client;
    struct job_limits job;
    const char *model, *output, *bucket, *name, *request_id;
    struct option_list label;
    bool watch, strict, validate_only, json;
    struct submit_to to;
};

struct submit {
    struct client *client;
    const struct submit_options *o;
    const char *model, *output;
    const char **uri;
    uint32_t count;
    const char *file; /* here, for the rows; NULL: they stay with the service */
    bool uploaded;    /* the first input was a file */
    bool table;       /* the input is a table */
    char random[2 * RANDOM_BYTES + 1];
    char stamp[STAMP_BYTES]; /* names what this submission puts into the bucket */
    struct str text;         /* of the new job */
    struct job_view job;
};

/* ---- Before anything is sent ---- */

static bool asks_extension(const struct submit_options *o, bool strict)
{
    return job_limits_given(&o->job) || (strict && o->strict) || o->validate_only || o->request_id;
}

static int check_labels(const struct option_list *label, struct error *e)
{
    for (uint32_t i = 0; i < label->count; i++) {
        const char *equals = strchr(label->item[i], '=');
        if (!equals || equals == label->item[i])
            return error_set(e, ERROR_INVALID_ARGUMENT, "--label takes KEY=VALUE, not \"%s\"",
                             label->item[i]);
    }
    return 0;
}

/* The model's full name: publishers/google/models/M for a bare one. */
static int choose_model(struct submit *s, struct error *e)
{
    const char *model = s->o->model ? s->o->model : env_get("TRANCHE_MODEL");
    struct buf name = BUF_INIT(PATH_BYTES_MAX);

    if (!model)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "which model? Name it with --model, or in $TRANCHE_MODEL");
    buf_addf(&name, "%s%s", strchr(model, '/') ? "" : "publishers/google/models/", model);
    s->model = arena_copy(&s->client->arena, name.p, name.len);
    buf_release(&name);
    return 0;
}

static int check(struct submit *s, struct error *e)
{
    const struct submit_options *o = s->o;
    struct clock *clock = clock_system();
    char now[CLOCK_TEXT_BYTES];

    if (job_limits_check(&o->job, e) < 0 || check_labels(&o->label, e) < 0 ||
        choose_model(s, e) < 0 || random_hex(s->random, RANDOM_BYTES, e) < 0)
        return -1;
    if (asks_extension(o, true) && client_needs_tranche(s->client, "what these options ask", e) < 0)
        return -1;
    clock_format_rfc3339(clock->wall_us(clock), now);
    (void)snprintf(s->stamp, sizeof s->stamp, "%.10s-%.8s", now, s->random);
    return 0;
}

/* ---- Where the requests come from and the answers go ---- */

static const char *bucket_of(struct submit *s)
{
    struct buf name = BUF_INIT(PATH_BYTES_MAX);

    if (s->o->bucket)
        return s->o->bucket + (gs_is(str_of(s->o->bucket)) ? strlen(GS_SCHEME) : 0);
    buf_addf(&name, "tranche-%s", s->client->project);
    const char *out = arena_copy(&s->client->arena, name.p, name.len);
    buf_release(&name);
    return out;
}

/* A name that is not a path here. */
static bool is_remote(const char *name)
{
    return gs_is(str_of(name)) || bq_is(str_of(name));
}

static int check_table(const char *uri, struct error *e)
{
    struct bq_name name;

    if (bq_split(str_of(uri), &name) && name.table.len)
        return 0;
    return error_set(e, ERROR_INVALID_ARGUMENT,
                     "%s does not name a table; write it as bq://PROJECT.DATASET.TABLE", uri);
}

/* All must be readable before the first is sent. */
static int check_files(const char *const *input, uint32_t count, bool *local, struct error *e)
{
    struct gs at;

    for (uint32_t i = 0; i < count; i++) {
        if (bq_is(str_of(input[i])))
            return count == 1 ? check_table(input[i], e)
                              : error_set(e, ERROR_INVALID_ARGUMENT,
                                          "a table is the only input of its job; name a view over "
                                          "several");
        if (gs_is(str_of(input[i]))) {
            if (gs_read(input[i], &at, e) < 0)
                return -1;
            continue;
        }
        int fd = sys_open(input[i], O_RDONLY, e);
        if (fd < 0)
            return -1;
        (void)close(fd);
        *local = true;
    }
    return 0;
}

/* Names of several files may be alike: each gets its number. */
static const char *upload_file(struct submit *s, const char *path, uint32_t number, struct error *e)
{
    struct buf name = BUF_INIT(PATH_BYTES_MAX);
    const struct gs to = { .bucket = str_of(bucket_of(s)) };
    struct gs at = to;
    int fd = sys_open(path, O_RDONLY, e), rc = -1;

    buf_addf(&name, "inputs/%s/", s->stamp);
    if (s->count > 1)
        buf_addf(&name, "%04u-", number);
    buf_add_str(&name, base_name(str_of(path)));
    at.name = buf_str(&name);
    if (fd >= 0) {
        rc = remote_upload(s->client, fd, &at, path, e);
        (void)close(fd);
    }
    const char *uri = rc == 0 ? gs_text(&s->client->arena, at.bucket, at.name) : NULL;
    buf_release(&name);
    return uri;
}

static int place_inputs(struct submit *s, const char *const *input, struct error *e)
{
    bool local = false;

    if (check_files(input, s->count, &local, e) < 0 ||
        (local && remote_want_bucket(s->client, str_of(bucket_of(s)), e) < 0))
        return -1;
    s->table = bq_is(str_of(input[0]));
    s->uploaded = !is_remote(input[0]);
    s->uri = arena_array(&s->client->arena, s->count, sizeof *s->uri);
    for (uint32_t i = 0; i < s->count; i++) {
        s->uri[i] = is_remote(input[i]) ? input[i] : upload_file(s, input[i], i + 1, e);
        if (!s->uri[i])
            return -1;
    }
    return 0;
}

/* The output of objects goes beside the first, as with Google's SDK: in.jsonl gives in/dest, and a
 * pattern gives the folder dest next to the objects that it matches. */
static const char *beside(struct arena *a, const struct gs *at)
{
    struct str base = at->name;
    size_t plain = 0;

    while (plain < base.len && !gs_has_wildcard(str_sub(base, plain, 1)))
        plain++;
    if (plain < base.len)
        base = str_sub(base, 0, plain - base_name(str_sub(base, 0, plain)).len);
    else if (str_ends(base, STR(JSONL)))
        base.len -= sizeof JSONL - 1;
    struct buf name = BUF_INIT(PATH_BYTES_MAX);
    buf_add_str(&name, base);
    buf_add_c(&name, base.len == 0 || str_ends(base, STR("/")) ? "dest" : "/dest");
    const char *out = gs_text(a, at->bucket, buf_str(&name));
    buf_release(&name);
    return out;
}

static int place_output(struct submit *s, struct error *e)
{
    struct gs at;
    struct buf name = BUF_INIT(PATH_BYTES_MAX);

    s->output = s->file ? NULL : s->o->output;
    if (s->output)
        return bq_is(str_of(s->output)) ? 0 : gs_read(s->output, &at, e);
    if (s->table && s->file)
        return error_set(
            e, ERROR_INVALID_ARGUMENT,
            "the answers to a table go to a table or to objects: -o bq://PROJECT.DATASET.TABLE "
            "or -o gs://BUCKET/PREFIX");
    if (s->table) { /* as the Gen AI SDK names it */
        s->output = arena_textf(&s->client->arena, "%s_dest_%s", s->uri[0], s->stamp);
        return 0;
    }
    if (gs_read(s->uri[0], &at, e) < 0)
        return -1;
    buf_addf(&name, "outputs/%s", s->stamp);
    s->output = s->uploaded ? gs_text(&s->client->arena, at.bucket, buf_str(&name))
                            : beside(&s->client->arena, &at);
    buf_release(&name);
    return 0;
}

/* ---- The job ---- */

static void write_labels(const struct option_list *label, struct json_writer *w)
{
    if (label->count == 0)
        return;
    json_object(w, "labels");
    for (uint32_t i = 0; i < label->count; i++) {
        struct str text = str_of(label->item[i]);
        size_t equals = str_find(text, STR("="));
        json_key(w, str_sub(text, 0, equals));
        json_add_text(w, NULL, str_sub(text, equals + 1, text.len));
    }
    json_end(w);
}

static void write_extension(const struct submit *s, struct json_writer *w)
{
    const struct submit_options *o = s->o;

    json_object(w, "tranche");
    job_limits_write(&o->job, w);
    if (o->strict)
        json_add_bool(w, "strict", true);
    if (o->validate_only)
        json_add_bool(w, "validateOnly", true);
    json_add_c(w, "requestId", o->request_id ? o->request_id : s->random);
    json_end(w);
}

static void write_input(const struct submit *s, struct json_writer *w)
{
    json_object(w, "inputConfig");
    json_add_c(w, "instancesFormat", s->table ? "bigquery" : "jsonl");
    json_object(w, s->table ? "bigquerySource" : "gcsSource");
    if (s->table) {
        json_add_c(w, "inputUri", s->uri[0]);
    } else {
        json_array(w, "uris");
        for (uint32_t i = 0; i < s->count; i++)
            json_add_c(w, NULL, s->uri[i]);
        json_end(w);
    }
    json_end(w);
    json_end(w);
}

static void write_output(const struct submit *s, struct json_writer *w)
{
    bool table = bq_is(str_of(s->output));

    json_object(w, "outputConfig");
    json_add_c(w, "predictionsFormat", table ? "bigquery" : "jsonl");
    json_object(w, table ? "bigqueryDestination" : "gcsDestination");
    json_add_c(w, table ? "outputUri" : "outputUriPrefix", s->output);
    json_end(w);
    json_end(w);
}

static void write_body(const struct submit *s, struct buf *out)
{
    struct json_writer w = JSON_WRITER(out);

    json_object(&w, NULL);
    json_addf(&w, "displayName", "%s%s", s->o->name ? "" : "tranche-",
              s->o->name ? s->o->name : s->stamp);
    json_add_c(&w, "model", s->model);
    write_input(s, &w);
    write_output(s, &w);
    write_labels(&s->o->label, &w);
    if (!s->client->google)
        write_extension(s, &w);
    json_end(&w);
}

/* Its request id makes it safe to send twice; Google has none. */
static int create(struct submit *s, struct error *e)
{
    struct client *c = s->client;
    struct buf body = BUF_INIT(BODY_BYTES_MAX);
    yyjson_val *job = NULL;

    write_body(s, &body);
    const struct client_call call = {
        .method = "POST", .url = client_jobs_url(c), .body = buf_str(&body), .once = c->google
    };
    if (buf_ok(&body))
        job = client_json(c, &call, &c->arena, &s->text, e);
    else
        (void)error_set(e, ERROR_INVALID_ARGUMENT, "too many inputs for one job; use a pattern");
    buf_release(&body);
    if (!job)
        return -1;
    job_view_read(job, &s->job);
    return s->job.name.len ? 0
                           : error_set(e, ERROR_INTERNAL, "%s did not answer with a job", call.url);
}

/* The bad lines, one JSON object each, on standard output; then what the job would take. */
static int print_bad_lines(struct submit *s, struct error *e)
{
    struct client *c = s->client;
    struct fetch f = { .fd = STDOUT_FILENO, .path = "standard output", .by_offset = true };
    struct error none = { 0 };
    const char *url =
        client_job_url(c, arena_copy(&c->arena, s->job.name.p, s->job.name.len), "faults", e);

    if (!url)
        return -1;
    if (client_fetch(c, url, &f, &none) < 0 && none.code != ERROR_NOT_FOUND)
        return error_set(e, none.code, "%s", none.msg);
    terminal_note(&c->terminal, "%s of %s lines are good; about %s tokens, %s at the batch price",
                  human_count(HUMAN, s->job.counters.total - s->job.bad),
                  human_count(HUMAN, s->job.counters.total),
                  human_count(HUMAN, s->job.tokens_estimate),
                  human_money(HUMAN, s->job.cost_estimate_nano));
    return 0;
}

/* ---- In order ---- */

/* On standard output, so that scripts can take it: the number, or the resource. */
static void print_job(const struct submit *s)
{
    struct buf line = BUF_INIT(TEXT_BYTES_MAX);

    if (s->o->json)
        client_compact(s->text, &line);
    else
        buf_add_plain(&line, job_view_id(&s->job), false);
    buf_add_char(&line, '\n');
    terminal_write(STDOUT_FILENO, buf_str(&line));
    buf_release(&line);
}

/* *code: how the job ended. */
static int wait_for_end(struct submit *s, enum exit_code *code, struct error *e)
{
    struct client *c = s->client;
    struct buf line = BUF_INIT(TEXT_BYTES_MAX);
    const char *name = arena_copy(&c->arena, s->job.name.p, s->job.name.len);
    int rc = client_watch(c, name, &s->job, e);

    if (rc == 0 && s->o->validate_only)
        rc = print_bad_lines(s, e);
    if (rc == 0) {
        job_view_sum_up(&s->job, &line);
        terminal_note(&c->terminal, "%s", line.p);
        *code = job_view_exit(&s->job);
    }
    buf_release(&line);
    if (rc == 0 && s->file && !s->o->validate_only)
        rc = client_results_to(c, name, s->file, e);
    if (rc == 0 && s->file && !s->o->validate_only)
        terminal_note(&c->terminal, "output %s; `tranche show %s` reads it", s->file, s->file);
    return rc;
}

/* With --validate-only the bad lines have standard output for themselves. */
static int submit(struct client *c, const struct arguments *given, enum exit_code *code,
                  struct error *e)
{
    const struct submit_options *o = given->options;
    struct submit job = { .client = c, .o = o, .count = given->count }, *s = &job;
    const char *const *input = given->argument;

    s->file = o->output && !is_remote(o->output) ? o->output : NULL;
    if (check(s, e) < 0 || place_inputs(s, input, e) < 0 || place_output(s, e) < 0 ||
        create(s, e) < 0)
        return -1;
    if (o->json || !o->validate_only)
        print_job(s);
    if (o->watch || o->validate_only)
        return wait_for_end(s, code, e);
    terminal_note(&s->client->terminal, "job %.*s is %.*s; `tranche watch %.*s` shows its progress",
                  STR_ARG(job_view_id(&s->job)), STR_ARG(s->job.state),
                  STR_ARG(job_view_id(&s->job)));
    return 0;
}

/* Options that only our service knows do not go with --to, and the other way round. */
static int check_options(const struct submit_options *o, uint32_t count, struct error *e)
{
    struct stat st;

    if (!submit_to_given(&o->to)) {
        if (count == 0)
            return error_set(e, ERROR_INVALID_ARGUMENT, "INPUT is missing");
        if (!o->output || is_remote(o->output))
            return 0;
        if (!o->watch)
            return error_set(
                e, ERROR_INVALID_ARGUMENT,
                "-o %s is a file here, which is written at the job's end: add --watch, "
                "or name gs://BUCKET/PREFIX and get the rows with `tranche results`",
                o->output);
        if (!o->to.overwrite && stat(o->output, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0)
            return error_set(
                e, ERROR_ALREADY_EXISTS,
                "%s exists: name another file with -o, move it away, or replace it with "
                "--overwrite",
                o->output);
        return 0;
    }
    if (o->client.server || o->bucket || o->name || o->label.count || asks_extension(o, false))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "with --to only --endpoint, --staging, --project, --location, --model, "
                         "--output, --watch, --strict, --json, --quiet, --state, --fresh and "
                         "--retry-failed have a meaning");
    return 0;
}

static enum exit_code submit_there(const struct submit_options *o, const struct arguments *given)
{
    const struct submit_request request = {
        .to = &o->to,
        .model = o->model,
        .output = o->output,
        .project = o->client.project,
        .location = o->client.location,
        .watch = o->watch,
        .strict = o->strict,
        .json = o->json,
        .quiet = o->client.quiet,
        .path = given->argument,
        .path_count = given->count,
    };

    return submit_to(&request);
}

static enum exit_code submit_run(const struct command *c, const struct arguments *given)
{
    const struct submit_options *o = given->options;
    struct terminal t;
    struct error e = { 0 };

    if (check_options(o, given->count, &e) < 0) {
        terminal_init(&t, o->client.quiet, NULL);
        terminal_error(&t, "%s", e.msg);
        return EXIT_USAGE;
    }
    return submit_to_given(&o->to) ? submit_there(o, given) : client_run(c, given);
}

#define OPTIONS struct submit_options
static const struct option_spec options[] = {
    OPT_MODEL("model", 'm', model, "model that answers (default $TRANCHE_MODEL)"),
    OPT_TEXT(
        "output", 'o', output, "GS",
        "folder for the answers, gs://BUCKET/PREFIX (default: dest beside the first input), or a "
        "new table, bq://PROJECT.DATASET.TABLE; with --watch or --to a file here"),
    OPT_TEXT("name", 0, name, "TEXT", "display name"),
    OPT_LIST("label", 0, label, "KEY=VALUE", "label of the job; may be given several times"),
    OPT_TEXT("bucket", 0, bucket, "NAME", "bucket for local files (default tranche-PROJECT)"),
    OPT_FLAG("watch", 'w', watch, "watch the job until it ends"),
    OPT_FLAG("strict", 0, strict,
             "fail the job before any work when a line is bad or has a warning"),
    OPT_FLAG("validate-only", 0, validate_only,
             "only check the input: print its bad lines and an estimate of its cost"),
    OPT_TEXT("request-id", 0, request_id, "ID",
             "ID that makes a repeated submit return the same job"),
    OPT_FLAG("json", 0, json, "print the job's resource instead of its number"),
    JOB_LIMIT_OPTIONS,
    PRIORITY_OPTION,
    CLIENT_OPTIONS,
    SUBMIT_TO_OPTIONS,
    { 0 },
};

const struct command command_submit = {
    .name = "submit",
    .summary = "create a job from files or objects and print its number",
    .arguments = "INPUT...",
    .about =
        "INPUT is a file of JSON lines, which is uploaded first, gs://BUCKET/NAME, with "
        "wildcards in quotes, or the table bq://PROJECT.DATASET.TABLE. With --watch and "
        "--validate-only the exit code is that of "
        "`tranche watch`.\n"
        "\n"
        "With --to the job goes to Google's own batch service at its half price: INPUT and "
        "the output are files here, as with `tranche run`. Without --watch the command returns "
        "when the job is made; given again with --watch it waits and fetches, and after an "
        "interruption it goes on.",
    .options = options,
    .options_bytes = sizeof(struct submit_options),
    .arguments_max = ARGUMENTS_MAX,
    .takes_files = true,
    .run = submit_run,
    .work = &(const struct client_work){ submit },
};
