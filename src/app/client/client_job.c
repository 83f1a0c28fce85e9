#include "app/client/client_job.h"

#include <string.h>
#include <unistd.h>

#include "app/cli/human.h"
#include "app/cli/options.h"
#include "base/mem.h"
#include "base/clock.h"

#define PATH_STEPS 3
#define STATE_PREFIX "JOB_STATE_"
#define NANO 1e9
#define TEXT_BYTES_MAX ((size_t)256 * 1024)
#define LABEL_COLUMNS 10

enum kind { KIND_TEXT, KIND_COUNT, KIND_NANO };

/* The path of each fact in the resource. When two paths fill the same member, the last one that exists
 * counts. */
static const struct fact {
    const char *path[PATH_STEPS];
    enum kind kind;
    size_t at;
} facts[] = {
#define TEXT(field) KIND_TEXT, offsetof(struct job_view, field)
#define COUNT(field) KIND_COUNT, offsetof(struct job_view, field)
#define NANOS(field) KIND_NANO, offsetof(struct job_view, field)
    { { "name" }, TEXT(name) },
    { { "displayName" }, TEXT(display_name) },
    { { "model" }, TEXT(model) },
    { { "state" }, TEXT(state) },
    { { "createTime" }, TEXT(create_time) },
    { { "startTime" }, TEXT(start_time) },
    { { "endTime" }, TEXT(end_time) },
    { { "error", "message" }, TEXT(error) },
    { { "outputInfo", "gcsOutputDirectory" }, TEXT(output) },
    { { "outputInfo", "bigqueryOutputTable" }, TEXT(output) },
    { { "completionStats", "successfulCount" }, COUNT(counters.succeeded) },
    { { "completionStats", "failedCount" }, COUNT(counters.failed) },
    { { "tranche", "pauseReason" }, TEXT(pause_reason) },
    { { "tranche", "retryOf" }, TEXT(retry_of) },
    { { "tranche", "retries" }, COUNT(retries) },
    { { "tranche", "inFlight" }, COUNT(in_flight) },
    { { "tranche", "queuePosition" }, COUNT(position) },
    { { "tranche", "progress", "total" }, COUNT(counters.total) },
    { { "tranche", "progress", "succeeded" }, COUNT(counters.succeeded) },
    { { "tranche", "progress", "failed" }, COUNT(counters.failed) },
    { { "tranche", "progress", "notRun" }, COUNT(counters.not_run) },
    { { "tranche", "progress", "badLines" }, COUNT(bad) },
    { { "tranche", "tokens", "prompt" }, COUNT(counters.prompt_tokens) },
    { { "tranche", "tokens", "cached" }, COUNT(counters.cached_tokens) },
    { { "tranche", "tokens", "generated" }, COUNT(counters.candidate_tokens) },
    { { "tranche", "tokens", "thoughts" }, COUNT(counters.thought_tokens) },
    { { "tranche", "tokens", "estimated" }, COUNT(tokens_estimate) },
    { { "tranche", "tokens", "forced" }, COUNT(counters.forced_tokens) },
    { { "tranche", "structured", "answers" }, COUNT(counters.structured) },
    { { "tranche", "structured", "complete" }, COUNT(counters.complete) },
    { { "tranche", "rejected", "answers" }, COUNT(counters.rejected) },
    { { "tranche", "rejected", "tokens" }, COUNT(counters.rejected_tokens) },
    { { "tranche", "rejected", "usd" }, NANOS(counters.rejected_cost_nano) },
    { { "tranche", "saved", "duplicateLines" }, COUNT(counters.duplicates) },
    { { "tranche", "saved", "duplicateTokens" }, COUNT(counters.duplicate_tokens) },
    { { "tranche", "cost", "soFarUsd" }, NANOS(counters.cost_nano) },
    { { "tranche", "cost", "onlineUsd" }, NANOS(counters.cost_online_nano) },
    { { "tranche", "cost", "estimatedUsd" }, NANOS(cost_estimate_nano) },
    { { "tranche", "cost", "estimatedOnlineUsd" }, NANOS(online_estimate_nano) },
    { { "tranche", "eta", "seconds" }, NANOS(eta_ns) },
    { { "tranche", "eta", "low" }, NANOS(eta_low_ns) },
    { { "tranche", "eta", "high" }, NANOS(eta_high_ns) },
#undef TEXT
#undef COUNT
#undef NANOS
};

static yyjson_val *find(yyjson_val *v, const char *const path[PATH_STEPS])
{
    for (size_t i = 0; i < PATH_STEPS && path[i]; i++)
        v = json_get(v, path[i]);
    return v;
}

/* An int64 may come as a string, and -1 as "unknown". */
static uint64_t count_of(yyjson_val *v)
{
    uint64_t n = 0;

    return json_count(v, &n) ? n : 0;
}

static uint64_t nano_of(yyjson_val *v)
{
    double d = yyjson_get_num(v);

    return d > 0 && d < 1e9 ? (uint64_t)(d * NANO + 0.5) : 0;
}

static void read_fact(const struct fact *f, yyjson_val *v, struct job_view *out)
{
    char *at = (char *)out + f->at;
    struct str text = json_str(v);
    uint64_t n = f->kind == KIND_NANO ? nano_of(v) : count_of(v);

    if (f->kind == KIND_TEXT)
        memcpy(at, &text, sizeof text);
    else
        memcpy(at, &n, sizeof n);
}

void job_view_read(yyjson_val *resource, struct job_view *out)
{
    *out = (struct job_view){ .detailed = yyjson_is_obj(json_get(resource, "tranche")) };
    for (size_t i = 0; i < ARRAY_LEN(facts); i++) {
        yyjson_val *v = find(resource, facts[i].path);
        if (v)
            read_fact(&facts[i], v, out);
    }
    out->known = job_state_read(out->state, &out->is);
    if (str_starts(out->state, STR(STATE_PREFIX)))
        out->state = str_sub(out->state, sizeof STATE_PREFIX - 1, out->state.len);
    out->error_rpc = yyjson_get_sint(json_get(json_get(resource, "error"), "code"));
    out->queued = json_get(json_get(resource, "tranche"), "queuePosition") != NULL;
    out->has_eta = json_get(json_get(resource, "tranche"), "eta") != NULL;
}

struct str job_view_id(const struct job_view *v)
{
    size_t at = v->name.len;

    while (at > 0 && v->name.p[at - 1] != '/')
        at--;
    return str_sub(v->name, at, v->name.len);
}

bool job_view_ended(const struct job_view *v)
{
    /* Google's own states that we have not: one is final. */
    if (!v->known)
        return str_eq(v->state, STR("PARTIALLY_SUCCEEDED"));
    return job_state_final(v->is) || v->is == JOB_PAUSED;
}

enum exit_code job_view_exit(const struct job_view *v)
{
    bool by_input = v->error_rpc == error_rpc(ERROR_INVALID_ARGUMENT) ||
                    v->error_rpc == error_rpc(ERROR_NOT_FOUND) ||
                    v->error_rpc == error_rpc(ERROR_FAILED_PRECONDITION);

    if (!v->known)
        return EXIT_SOME_FAILED;
    if (v->is == JOB_SUCCEEDED)
        return v->counters.failed || v->counters.not_run ? EXIT_SOME_FAILED : EXIT_OK;
    if (v->is == JOB_FAILED)
        return by_input ? EXIT_INPUT : EXIT_INTERNAL;
    return EXIT_STOPPED;
}

int client_job(struct client *c, const char *url, struct arena *a, struct job_view *out,
               struct str *text, struct error *e)
{
    const struct client_call call = { .method = "GET", .url = url };
    yyjson_val *resource = client_json(c, &call, a, text, e);

    if (!resource)
        return -1;
    job_view_read(resource, out);
    if (out->name.len && out->state.len)
        return 0;
    return error_set(e, ERROR_INTERNAL, "%s did not answer with a job", url);
}

/* ---- For people ---- */

static enum style style_of(const struct job_view *v)
{
    static const enum style styles[JOB_STATE_COUNT] = {
        [JOB_PENDING] = STYLE_DIM,   [JOB_QUEUED] = STYLE_DIM,        [JOB_RUNNING] = STYLE_CYAN,
        [JOB_PAUSED] = STYLE_YELLOW, [JOB_CANCELLING] = STYLE_YELLOW, [JOB_SUCCEEDED] = STYLE_GREEN,
        [JOB_FAILED] = STYLE_RED,    [JOB_CANCELLED] = STYLE_YELLOW,  [JOB_EXPIRED] = STYLE_YELLOW,
    };

    return v->known ? styles[v->is] : STYLE_YELLOW;
}

static void label(struct buf *out, const char *name)
{
    buf_addf(out, "%-*s", LABEL_COLUMNS, name);
}

static void text_line(struct buf *out, const char *name, struct str value)
{
    if (value.len == 0)
        return;
    label(out, name);
    buf_add_plain(out, value, false);
    buf_add_char(out, '\n');
}

static void lines_line(const struct job_view *v, struct buf *out)
{
    const struct counters *b = &v->counters;

    if (b->total == 0 && counters_done(b) == 0)
        return;
    label(out, "lines");
    if (b->total)
        buf_addf(out, "%s of %s (%s), ", human_count(HUMAN, counters_done(b)),
                 human_count(HUMAN, b->total), human_percent(HUMAN, counters_done(b), b->total));
    buf_addf(out, "%s succeeded, %s failed", human_count(HUMAN, b->succeeded),
             human_count(HUMAN, b->failed));
    if (b->not_run)
        buf_addf(out, ", %s not run", human_count(HUMAN, b->not_run));
    if (b->duplicates)
        buf_addf(out, ", %s duplicates", human_count(HUMAN, b->duplicates));
    buf_add_char(out, '\n');
}

static void wait_line(const struct job_view *v, struct buf *out)
{
    if (v->queued) {
        label(out, "queue");
        buf_addf(out, "%s %s before it\n", human_count(HUMAN, v->position),
                 v->position == 1 ? "job" : "jobs");
    }
    if (v->has_eta) {
        label(out, "ETA");
        buf_addf(out, "%s (%s to %s)\n", human_duration(HUMAN, v->eta_ns),
                 human_duration(HUMAN, v->eta_low_ns), human_duration(HUMAN, v->eta_high_ns));
    }
}

static void tokens_line(const struct job_view *v, struct buf *out)
{
    const struct counters *b = &v->counters;

    if (b->prompt_tokens + b->candidate_tokens == 0)
        return;
    label(out, "tokens");
    buf_addf(out, "%s prompt", human_count(HUMAN, b->prompt_tokens));
    if (b->cached_tokens)
        buf_addf(out, " (%s reused)", human_count(HUMAN, b->cached_tokens));
    buf_addf(out, ", %s generated\n", human_count(HUMAN, b->candidate_tokens + b->thought_tokens));
}

static void cost_line(const struct job_view *v, struct buf *out)
{
    if (v->counters.cost_nano == 0 && v->cost_estimate_nano == 0)
        return;
    label(out, "cost");
    buf_addf(out, "%s so far", human_money(HUMAN, v->counters.cost_nano));
    if (v->cost_estimate_nano && !job_view_ended(v))
        buf_addf(out, ", about %s in all", human_money(HUMAN, v->cost_estimate_nano));
    buf_add_char(out, '\n');
}

void job_view_print(const struct job_view *v, const struct terminal *c)
{
    struct buf out = BUF_INIT(TEXT_BYTES_MAX);
    struct terminal plain = *c;

    plain.color = plain.color && isatty(STDOUT_FILENO);
    text_line(&out, "job", v->name);
    text_line(&out, "name", v->display_name);
    text_line(&out, "model", v->model);
    label(&out, "state");
    buf_add_c(&out, terminal_style(&plain, style_of(v)));
    buf_add_plain(&out, v->state, false);
    buf_add_c(&out, terminal_style(&plain, STYLE_END));
    if (v->pause_reason.len) {
        buf_add_c(&out, ", ");
        buf_add_plain(&out, v->pause_reason, false);
    }
    buf_add_char(&out, '\n');
    text_line(&out, "error", v->error);
    lines_line(v, &out);
    wait_line(v, &out);
    tokens_line(v, &out);
    cost_line(v, &out);
    text_line(&out, "created", v->create_time);
    text_line(&out, "started", v->start_time);
    text_line(&out, "ended", v->end_time);
    text_line(&out, "output", v->output);
    text_line(&out, "retry of", v->retry_of);
    terminal_write(STDOUT_FILENO, buf_str(&out));
    buf_release(&out);
}

void job_view_sum_up(const struct job_view *v, struct buf *out)
{
    const struct counters *b = &v->counters;

    buf_addf(out, "job %.*s %.*s", STR_ARG(job_view_id(v)), STR_ARG(v->state));
    if (v->pause_reason.len)
        buf_addf(out, " (%.*s)", STR_ARG(v->pause_reason));
    if (counters_done(b))
        buf_addf(out, ": %s succeeded, %s failed", human_count(HUMAN, b->succeeded),
                 human_count(HUMAN, b->failed));
    if (b->not_run)
        buf_addf(out, ", %s not run", human_count(HUMAN, b->not_run));
    if (b->cost_nano)
        buf_addf(out, ", %s", human_money(HUMAN, b->cost_nano));
    if (v->error.len)
        buf_addf(out, ": %.*s", STR_ARG(v->error));
    else if (v->output.len)
        buf_addf(out, ", output in %.*s", STR_ARG(v->output));
}

/* ---- Which job ---- */

#define SHORT_MIN 3 /* digits */
#define SHORT_MAX 12
#define PAGE "100"

static bool is_short(const char *given)
{
    struct str digits = str_of(given);
    uint64_t number;

    return digits.len >= SHORT_MIN && digits.len <= SHORT_MAX && str_number(digits, &number);
}

/* Looks for it in one page: 1 when all is decided. */
static int match_page(struct client *c, yyjson_val *page, const char *given, const char **found,
                      struct error *e)
{
    yyjson_val *job;
    size_t i, count;
    struct job_view v;

    yyjson_arr_foreach(json_get(page, "batchPredictionJobs"), i, count, job)
    {
        job_view_read(job, &v);
        struct str id = job_view_id(&v);
        bool whole = given && str_eq_c(id, given);
        if (given && !whole && !str_starts(id, str_of(given)) && !str_ends(id, str_of(given)))
            continue;
        if (*found && !whole)
            return error_set(
                e, ERROR_INVALID_ARGUMENT,
                "%s stands for more than one job, %s and %.*s; write more of its digits", given,
                *found, STR_ARG(id));
        *found = arena_copy(&c->arena, id.p, id.len);
        if (whole || !given)
            return 1;
    }
    return 0;
}

static int find_job(struct client *c, const char *given, const char **found, struct error *e)
{
    struct arena a = { 0 };
    struct str token = { 0 };
    int rc = 0;

    for (uint32_t seen = 0; rc == 0 && seen < JOBS_SEARCHED; seen += 100) {
        const struct str values[] = { given ? STR(PAGE) : STR("1"), token };
        const struct client_call call = {
            .method = "GET",
            .url = client_url(c, client_jobs_url(c), "?pageSize={}&pageToken={}", values),
        };
        struct str text;
        yyjson_val *page = client_json(c, &call, &a, &text, e);
        rc = page ? match_page(c, page, given, found, e) : -1;
        token = json_str(json_get(page, "nextPageToken"));
        if (!token.len || !given)
            break;
    }
    arena_release(&a);
    return rc < 0 ? -1 : 0;
}

const char *client_job_id(struct client *c, const char *given, struct error *e)
{
    const char *found = NULL;

    if (given && !is_short(given))
        return given;
    if (find_job(c, given, &found, e) < 0)
        return NULL;
    if (!found && !given)
        (void)error_set(e, ERROR_NOT_FOUND, "there is no job yet; `tranche submit` makes one");
    if (found && !given)
        terminal_note(&c->terminal, "job %s, the newest", found);
    return found ? found : given;
}
