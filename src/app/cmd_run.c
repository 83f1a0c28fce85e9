/* cmd_run.c -- `tranche run`: from the command line to a finished file.
 *
 * The steps stand in a table. Each may fail, which ends the program with the exit code of its stage, or
 * end the run early (a finished run given again). */
#include "app/command.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/earlier.h"
#include "app/faults.h"
#include "app/human.h"
#include "app/job.h"
#include "app/output.h"
#include "app/progress.h"
#include "app/rates.h"
#include "app/state.h"
#include "app/summary.h"
#include "app/validate.h"
#include "base/clock.h"

#define BAD_SHOWN_MAX 5         /* lines, as a warning */
#define BAD_SHOWN_STRICT_MAX 20 /* lines, as the reason to stop */
#define FACTS_BYTES_MAX ((size_t)1024 * 1024)

struct run_options {
    const char *output, *model, *retry_failed, *config, *state, *log_format;
    uint64_t max_in_flight, limit;
    bool strict, json, dry_run, fresh, quiet;
};

struct run {
    const struct run_options *o;
    const char *const *path; /* the inputs as given */
    uint32_t path_count;
    struct job job;
    struct input old_input; /* --retry-failed with INPUT: the earlier output */
    struct ingest_result old;
    const char *output;      /* as given */
    const char *output_path; /* absolute, or "-" */
    struct state state;
    struct spool *spool;
    struct render *render;
    struct progress_view view;
    char title[512];
    struct summary summary;
    uint64_t bad_shown;
    enum exit_code code;
};

/* A step gives STEP_NEXT, STEP_END when there is nothing more to do, or -1. */
enum { STEP_NEXT = 0, STEP_END = 1 };

static int step_open(struct run *r, struct error *e);
static int step_output(struct run *r, struct error *e);
static int step_check(struct run *r, struct error *e);
static int step_earlier(struct run *r, struct error *e);
static int step_state(struct run *r, struct error *e);
static int step_spool(struct run *r, struct error *e);
static int step_keep(struct run *r, struct error *e);
static int step_work(struct run *r, struct error *e);
static int step_finish(struct run *r, struct error *e);
static void run_release(struct run *r);
static void report_failure(struct run *r, const struct error *e);
static void print_summary(struct run *r, const struct console *c);

static int (*const steps[])(struct run *r, struct error *e) = {
    step_open,  step_output, step_check, step_earlier, step_state,
    step_spool, step_keep,   step_work,  step_finish,
};

static enum exit_code run(struct run *r)
{
    struct error e = { 0 };
    int rc = STEP_NEXT;

    console_init(&r->job.console, r->o->quiet, r->o->log_format);
    for (size_t i = 0; i < sizeof steps / sizeof steps[0] && rc == STEP_NEXT; i++)
        rc = steps[i](r, &e);
    progress_clear(&r->view);
    if (rc < 0)
        report_failure(r, &e);
    enum exit_code code = r->code;
    run_release(r);
    return code;
}

static bool retries_in_place(const struct run *r)
{
    return r->o->retry_failed && r->path_count == 0;
}

/* ---- What is asked ---- */

static int step_open(struct run *r, struct error *e)
{
    struct job *j = &r->job;
    const char *const *path = r->path;
    uint32_t count = r->path_count;

    j->stage = EXIT_USAGE;
    if (count == 0 && !r->o->retry_failed)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "INPUT is missing: a file of JSON lines, a pattern in quotes, or -");
    if (retries_in_place(r)) {
        path = &r->o->retry_failed;
        count = 1;
    }
    if (job_config(j, r->o->model, r->o->config, r->o->state, e) < 0)
        return -1;
    return job_input(j, path, count, e);
}

static int step_output(struct run *r, struct error *e)
{
    struct job *j = &r->job;
    bool from_stdin = r->path_count == 1 && strcmp(r->path[0], "-") == 0;

    j->stage = EXIT_USAGE;
    r->output = r->o->output ? r->o->output : r->o->retry_failed;
    if (!r->output)
        r->output = output_default(&j->arena, &j->input, from_stdin, e);
    if (!r->output)
        return -1;
    r->output_path = output_resolve(&j->arena, r->output, &j->input, retries_in_place(r), e);
    return r->output_path ? STEP_NEXT : -1;
}

/* ---- Is it valid? ---- */

static void show_bad(void *arg, const struct input *in, const struct shard *s, const struct line *l,
                     const struct violations *bad)
{
    struct run *r = arg;
    struct buf text = BUF_INIT(FAULT_LINE_BYTES_MAX);
    uint64_t most = r->o->strict ? BAD_SHOWN_STRICT_MAX : BAD_SHOWN_MAX;

    if (r->bad_shown++ >= most)
        return;
    fault_text(in->file[s->file].path, l, &bad->item[0], &text);
    struct str line = str_trim(buf_str(&text));
    if (r->o->strict)
        console_error(&r->job.console, "%.*s", STR_ARG(line));
    else
        console_warn(&r->job.console, "%.*s", STR_ARG(line));
    buf_release(&text);
}

static int step_check(struct run *r, struct error *e)
{
    struct job *j = &r->job;

    if (job_predictor(j, e) < 0)
        return -1;
    j->rules = (struct ingest_options){
        .rules.from_output = retries_in_place(r),
        .predictor = j->predictor,
        .limit = r->o->limit,
        .on_bad = show_bad,
        .arg = r,
    };
    if (job_ingest(j, e) < 0)
        return -1;
    if (j->ingest.lines == 0)
        return error_set(e, ERROR_INVALID_ARGUMENT, "the input has no lines");
    if (j->ingest.bad && r->o->strict)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "%s of %s lines are bad and --strict is given; `tranche validate` prints "
                         "all faults",
                         human_count(HUMAN, j->ingest.bad), human_count(HUMAN, j->ingest.lines));
    if (j->ingest.bad)
        console_warn(&j->console, "%s of %s lines are bad and become error lines in the output",
                     human_count(HUMAN, j->ingest.bad), human_count(HUMAN, j->ingest.lines));
    return STEP_NEXT;
}

/* The earlier output, when it is not itself the input. */
static int step_earlier(struct run *r, struct error *e)
{
    struct ingest_options rules = { .rules.from_output = true,
                                    .limit = r->o->limit,
                                    .stop = r->job.rules.stop };

    if (!r->o->retry_failed || retries_in_place(r))
        return STEP_NEXT;
    r->job.stage = EXIT_INPUT;
    if (input_open(&r->old_input, &r->o->retry_failed, 1, r->job.state_root, e) < 0)
        return -1;
    return ingest_run(&r->old_input, &rules, &r->old, e);
}

/* ---- What is known of it? ---- */

static void add_digest(struct buf *out, const char *name, const struct ingest_result *r)
{
    buf_addf(out, "%s %016llx%016llx %llu\n", name, (unsigned long long)r->digest[0],
             (unsigned long long)r->digest[1], (unsigned long long)r->lines);
}

/* All that decides the answers and where they go. */
static int step_state(struct run *r, struct error *e)
{
    struct job *j = &r->job;
    struct buf facts = BUF_INIT(FACTS_BYTES_MAX);

    j->stage = EXIT_INTERNAL;
    buf_add_c(&facts, STATE_FORMAT "\n");
    add_digest(&facts, "input", &j->ingest);
    add_digest(&facts, "earlier", &r->old);
    buf_addf(&facts, "limit %llu retry %d\nmodel ", (unsigned long long)r->o->limit,
             r->o->retry_failed != NULL);
    buf_add_json(&facts, str_of(j->model_name));
    buf_add_c(&facts, "\noutput ");
    buf_add_json(&facts, str_of(r->output_path));
    buf_add_char(&facts, '\n');
    config_fingerprint(&j->config, j->model, &facts);
    int rc = buf_ok(&facts) ? state_open(&r->state, &j->arena, j->state_root, buf_str(&facts), e)
                            : error_set(e, ERROR_INVALID_ARGUMENT, "the names are too long");
    buf_release(&facts);
    if (rc == 0)
        state_prune(j->state_root, clock_system()->wall_us(clock_system()));
    return rc;
}

static int spool_begin(struct run *r, struct error *e)
{
    r->job.stage = EXIT_STOPPED;
    r->spool = spool_open(r->state.dir, e);
    return r->spool ? 0 : -1;
}

/* The lock is given back while the folder is made anew. */
static int spool_restart(struct run *r, struct error *e)
{
    spool_close(r->spool);
    r->spool = NULL;
    if (state_reset(&r->state, e) < 0)
        return -1;
    return spool_begin(r, e);
}

static int report_done(struct run *r, const struct done *d)
{
    const struct console *c = &r->job.console;
    char at[CLOCK_TEXT_BYTES];

    clock_format_rfc3339(d->finished_us, at);
    at[strcspn(at, ".")] = '\0';
    console_note(c, "already finished at %sZ: %s is complete (--fresh runs it again)", at,
                 r->output);
    if (!r->o->quiet && !c->json)
        console_write(STDERR_FILENO, d->text);
    if (r->o->json)
        console_write(STDOUT_FILENO, d->summary);
    r->code = d->code;
    return STEP_END;
}

static int step_spool(struct run *r, struct error *e)
{
    struct counters books = { 0 };
    struct done done = { 0 };

    if (spool_begin(r, e) < 0)
        return -1;
    r->job.stage = EXIT_INTERNAL;
    int known = r->o->fresh ? 2 : state_done_read(&r->state, &r->job.arena, &done, e);
    if (known < 0)
        return -1;
    if (known == 1)
        return report_done(r, &done);
    if (known == 2 && spool_restart(r, e) < 0)
        return -1;
    if (spool_counters(r->spool, &books, e) < 0)
        return -1;
    if (counters_done(&books))
        console_note(&r->job.console, "resuming: %s of %s lines were done",
                     human_count(HUMAN, counters_done(&books)),
                     human_count(HUMAN, r->job.ingest.lines));
    return STEP_NEXT;
}

static int step_keep(struct run *r, struct error *e)
{
    struct job *j = &r->job;
    bool in_place = retries_in_place(r);
    struct earlier earlier = {
        .input = &j->input,
        .job = &j->ingest,
        .old_input = in_place ? &j->input : &r->old_input,
        .old = in_place ? &j->ingest : &r->old,
        .stop = j->rules.stop,
        .now_us = clock_system()->wall_us(clock_system()),
    };

    if (!r->o->retry_failed)
        return STEP_NEXT;
    j->stage = EXIT_INPUT;
    if (earlier_keep(&earlier, r->spool, &r->summary.kept, e) < 0)
        return -1;
    console_note(&j->console, "%s of %s answers are kept, the other lines run again",
                 human_count(HUMAN, r->summary.kept), human_count(HUMAN, j->ingest.lines));
    return STEP_NEXT;
}

/* ---- The work ---- */

static void on_progress(void *arg, const struct progress *p)
{
    struct run *r = arg;

    progress_show(&r->view, p);
}

static void view_init(struct run *r, const struct price *price)
{
    struct buf title = BUF_INIT(4096);

    buf_addf(&title, "%s -> ", r->job.model_name);
    buf_add_c(&title, strcmp(r->output, "-") == 0 ? "standard output" : r->output);
    struct buf plain = BUF_INIT(4096);
    console_plain(&plain, buf_str(&title));
    (void)snprintf(r->title, sizeof r->title, "%.*s", STR_ARG(buf_str(&plain)));
    buf_release(&plain);
    buf_release(&title);
    r->view = (struct progress_view){
        .console = &r->job.console,
        .title = r->title,
        .priced = price->input > 0 || price->output > 0,
        .stop = r->job.rules.stop,
    };
}

/* What is kept of the pipeline's outcome, also when it failed half-way. */
static void summary_init(struct run *r)
{
    r->summary.model = r->job.model_name;
    r->summary.version = r->job.predictor->version;
    r->summary.output = r->output;
    r->summary.several_files = r->job.input.count > 1;
    r->summary.priced = r->view.priced;
    r->summary.progress.books.total = r->job.ingest.lines;
}

static int step_work(struct run *r, struct error *e)
{
    struct job *j = &r->job;
    struct clock *clock = clock_system();
    enum pipeline_end end = PIPELINE_DONE;
    struct pipeline_job work = {
        .input = &j->input,
        .ingest = &j->ingest,
        .rules = j->rules,
        .predictor = j->predictor,
        .price = model_price(j->model, j->model_name),
        .spool = r->spool,
        .retry = j->config.retry,
        .in_flight_max = (uint32_t)r->o->max_in_flight,
        .drain_ms = j->config.drain_ms,
        .seed = (uint64_t)clock->wall_us(clock),
        .clock = clock,
        .stop = j->rules.stop,
        .on_progress = on_progress,
        .arg = r,
    };

    j->stage = EXIT_INTERNAL;
    view_init(r, &work.price);
    summary_init(r);
    console_note(&j->console, "%s %s, %s", human_count(HUMAN, j->ingest.lines),
                 j->ingest.lines == 1 ? "line" : "lines", r->title);
    r->render = render_open(r->output_path, &j->input, &j->ingest, &j->rules.rules, e);
    work.render = r->render;
    if (!r->render || pipeline_run(&work, &r->summary.progress, &end, e) < 0)
        return -1;
    progress_clear(&r->view);
    r->summary.interrupted = end == PIPELINE_INTERRUPTED;
    if (!r->summary.interrupted)
        return STEP_NEXT;
    r->code = EXIT_INTERRUPTED;
    print_summary(r, &j->console);
    console_note(&j->console, "run the same command again to go on");
    return STEP_END;
}

/* ---- The end ---- */

static void save_rates(struct run *r)
{
    const struct progress *p = &r->summary.progress;
    uint64_t lines = counters_done(&p->books) - p->resumed;
    uint64_t generated = p->predictor.generated_tokens;
    uint64_t tokens = p->predictor.prompt_tokens + generated;
    double seconds = (double)p->elapsed_ns / (double)NS_PER_S;
    struct error ignored = { 0 };

    if (lines < RATES_LINES_MIN || tokens == 0 || !(seconds > 0))
        return;
    struct rates rates = {
        .tokens_per_s = (double)tokens / seconds,
        .generated_per_line = (double)generated / (double)lines,
        .lines_per_s = (double)lines / seconds,
        .at_us = clock_system()->wall_us(clock_system()),
    };
    if (rates_save(r->job.state_root, r->job.predictor->version, &rates, &ignored) < 0)
        console_warn(&r->job.console, "the measured speed is not kept: %s", ignored.msg);
}

/* The output is complete: what cannot be remembered only costs the next run its shortcut. */
static void remember(struct run *r)
{
    static const struct console plain = { .live = false };
    struct buf text = BUF_INIT(SUMMARY_BYTES_MAX), json = BUF_INIT(SUMMARY_BYTES_MAX);
    struct done done = { .output = r->output_path, .code = r->code };
    struct error e = { 0 };

    summary_text(&r->summary, &plain, &text);
    summary_json(&r->summary, r->code, &json);
    done.text = buf_str(&text);
    done.summary = buf_str(&json);
    done.finished_us = clock_system()->wall_us(clock_system());
    if (state_output_facts(r->output_path, &done, &e) < 0 ||
        state_done_write(&r->state, &done, &e) < 0)
        console_warn(&r->job.console, "the finished run is not remembered: %s", e.msg);
    buf_release(&text);
    buf_release(&json);
}

/* What went to a reader is not here to be looked at again: nothing is kept. */
static void forget(struct run *r)
{
    struct error e = { 0 };

    spool_close(r->spool);
    r->spool = NULL;
    if (state_reset(&r->state, &e) < 0)
        console_warn(&r->job.console, "the finished run's state is still there: %s", e.msg);
}

static int step_finish(struct run *r, struct error *e)
{
    struct counters *b = &r->summary.progress.books;

    if (render_finish(r->render, e) < 0)
        return -1;
    r->code = b->failed || b->not_run ? EXIT_SOME_FAILED : EXIT_OK;
    print_summary(r, &r->job.console);
    save_rates(r);
    if (strcmp(r->output_path, "-") == 0)
        forget(r);
    else
        remember(r);
    return STEP_END;
}

static void print_summary(struct run *r, const struct console *c)
{
    struct buf text = BUF_INIT(SUMMARY_BYTES_MAX);
    struct error e = { 0 };
    bool to_stdout = strcmp(r->output_path, "-") != 0;

    if (summary_failures(&r->summary, r->spool, &r->job.input, &r->job.ingest, &e) < 0)
        console_warn(c, "the failures cannot be listed: %s", e.msg);
    if (!c->quiet && !c->json) {
        summary_text(&r->summary, c, &text);
        console_write(STDERR_FILENO, buf_str(&text));
    } else {
        const struct counters *b = &r->summary.progress.books;
        console_note(c, "%s: %llu of %llu lines answered, %llu failed, output %s",
                     r->summary.interrupted ? "interrupted" : "finished",
                     (unsigned long long)b->succeeded, (unsigned long long)b->total,
                     (unsigned long long)b->failed, r->output);
    }
    buf_clear(&text);
    if (r->o->json) {
        summary_json(&r->summary, r->code, &text);
        console_write(to_stdout ? STDOUT_FILENO : STDERR_FILENO, buf_str(&text));
    }
    buf_release(&text);
}

static void report_failure(struct run *r, const struct error *e)
{
    const struct console *c = &r->job.console;
    const struct counters *b = &r->summary.progress.books;

    r->code = job_exit(r->job.stage, e->code);
    if (r->job.stage == EXIT_INTERNAL && e->code == ERROR_FAILED_PRECONDITION)
        r->code = EXIT_INPUT; /* the input changed while it ran */
    console_error(c, "%s", e->msg);
    if (counters_done(b))
        console_note(c, "%s of %s lines are done and saved", human_count(HUMAN, counters_done(b)),
                     human_count(HUMAN, b->total));
    if (r->code == EXIT_STOPPED)
        console_note(c, "when that is mended, the same command goes on where it stopped");
    if (r->code == EXIT_INTERRUPTED)
        console_note(c, "run the same command again to go on");
}

static void run_release(struct run *r)
{
    render_close(r->render);
    spool_close(r->spool);
    ingest_result_release(&r->old);
    input_release(&r->old_input);
    job_release(&r->job);
}

/* ---- The command ---- */

#define AT(field) offsetof(struct run_options, field)
// clang-format off
static const struct option_spec options[] = {
    { "output",        'o', OPTION_STRING, AT(output),        "FILE", "where the answers go (default: INPUT.out.jsonl); - is standard output", COMPLETE_FILE, 0, 0 },
    { "model",         'm', OPTION_STRING, AT(model),         "NAME", "who answers; `tranche models` lists the names", COMPLETE_MODEL, 0, 0 },
    { "limit",         'n', OPTION_COUNT,  AT(limit),         "N",    "only the first N lines: a canary", COMPLETE_NONE, 1, 0 },
    { "strict",        0,   OPTION_FLAG,   AT(strict),        NULL,   "stop before any work when a line is bad", COMPLETE_NONE, 0, 0 },
    { "dry-run",       0,   OPTION_FLAG,   AT(dry_run),       NULL,   "the same as `tranche validate`", COMPLETE_NONE, 0, 0 },
    { "retry-failed",  0,   OPTION_STRING, AT(retry_failed),  "FILE", "keep the answers of this earlier output and run only what failed", COMPLETE_FILE, 0, 0 },
    { "fresh",         0,   OPTION_FLAG,   AT(fresh),         NULL,   "forget what an earlier run of this command did", COMPLETE_NONE, 0, 0 },
    { "max-in-flight", 0,   OPTION_COUNT,  AT(max_in_flight), "N",    "requests open at once (default: what the model takes)", COMPLETE_NONE, 1, 65536 },
    { "config",        'c', OPTION_STRING, AT(config),        "FILE", "configuration file", COMPLETE_FILE, 0, 0 },
    { "state",         0,   OPTION_STRING, AT(state),         "DIR",  "folder of all that makes a run resumable", COMPLETE_DIR, 0, 0 },
    { "json",          0,   OPTION_FLAG,   AT(json),          NULL,   "the summary as a JSON object on standard output", COMPLETE_NONE, 0, 0 },
    { "quiet",         'q', OPTION_FLAG,   AT(quiet),         NULL,   "only errors", COMPLETE_NONE, 0, 0 },
    { "log-format",    0,   OPTION_CHOICE, AT(log_format),    "text|json", "log lines instead of the live display", COMPLETE_NONE, 0, 0 },
    { 0 },
};
// clang-format on

static enum exit_code dry_run(const struct run_options *o, const char *const *path, uint32_t count)
{
    bool in_place = o->retry_failed && count == 0;

    return validate(&(struct validate_wish){
        .model = o->model,
        .config = o->config,
        .state = o->state,
        .log_format = o->log_format,
        .limit = o->limit,
        .json = o->json,
        .quiet = o->quiet,
        .from_output = in_place,
        .path = in_place ? &o->retry_failed : path,
        .path_count = in_place ? 1 : count,
    });
}

static enum exit_code run_run(const void *given, const char *const *argument, uint32_t count)
{
    const struct run_options *o = given;
    struct run r = { .o = o, .path = argument, .path_count = count };

    if (o->dry_run && (count || o->retry_failed))
        return dry_run(o, argument, count);
    return run(&r);
}

const struct command command_run = {
    .name = "run",
    .summary = "answer a batch of requests",
    .arguments = "INPUT... [-o OUTPUT]",
    .about =
        "INPUT is a file of JSON lines, a pattern in quotes, or - for standard input; each line is "
        "{\"request\": {...}} or a bare request. The output has one line for each input line, in "
        "order. While it runs it is OUTPUT.partial.\n"
        "\n"
        "The same command given again after an interruption, a crash or a full disk goes on where "
        "it stopped. A changed input or setting is a new run.\n"
        "\n"
        "Examples:\n"
        "  tranche run requests.jsonl\n"
        "  tranche run 'parts/*.jsonl' -o answers.jsonl --model gemini-2.5-flash\n"
        "  tranche run - < requests.jsonl > answers.jsonl\n"
        "  tranche run --retry-failed answers.jsonl",
    .options = options,
    .options_bytes = sizeof(struct run_options),
    .arguments_max = ARGUMENTS_MAX,
    .takes_files = true,
    .run = run_run,
};
