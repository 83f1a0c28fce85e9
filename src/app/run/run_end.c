/* run_end.c -- a run's work, and what it leaves: output, summary, memory of it. */
#include "app/run/run.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/cli/human.h"
#include "app/run/rates.h"
#include "app/run/shard_part.h"
#include "base/clock.h"
#include "base/sys.h"
#include "engine/remote/delegate.h"
#include "net/client/http_client.h"

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
    buf_add_plain(&plain, buf_str(&title), false);
    (void)snprintf(r->title, sizeof r->title, "%.*s", STR_ARG(buf_str(&plain)));
    buf_release(&plain);
    buf_release(&title);
    r->view = (struct progress_view){
        .terminal = &r->job.terminal,
        .title = r->title,
        .priced = price->input > 0 || price->output > 0,
        .stop = r->job.rules.stop,
    };
}

/* The summary's fixed part; it is shown also when the pipeline fails half-way. */
static void summary_init(struct run *r)
{
    r->summary.model = r->job.model_name;
    (void)snprintf(r->version, sizeof r->version, "%s",
                   r->job.predictor ? r->job.predictor->version : r->job.model->pattern);
    r->summary.version = r->version;
    r->summary.output = r->output;
    r->summary.several_files = r->job.input.count > 1;
    r->summary.priced = r->view.priced;
    r->summary.progress.counters.total = r->job.ingest.lines;
}

/* Line by line, by a predictor of ours. */
static int run_lines(struct run *r, const struct price *price, enum pipeline_end *end,
                     struct error *e)
{
    struct local_job *j = &r->job;
    struct clock *clock = clock_system();
    const struct pipeline_job work = {
        .input = &j->input,
        .ingest = &j->ingest,
        .rules = j->rules.rules,
        .predictor = j->predictor,
        .price = *price,
        .spool = r->spool,
        .render = r->render,
        .reuse = r->keeping.reuse,
        .retry = j->config.retry,
        .in_flight_max = (uint32_t)r->o->max_in_flight,
        .drain_ms = j->config.drain_ms,
        .seed = (uint64_t)clock->wall_us(clock),
        .clock = clock,
        .stop = j->rules.stop,
        .on_progress = on_progress,
        .arg = r,
    };

    j->predictor = NULL; /* the pipeline takes it */
    return pipeline_run(&work, &r->summary.progress, end, e);
}

static void on_note(void *arg, const char *text)
{
    struct run *r = arg;

    progress_clear(&r->view);
    terminal_note(&r->job.terminal, "%s", text);
}

/* The whole job, by another batch service. A failure can be mended: the job continues there meanwhile. */
static int run_there(struct run *r, const struct price *price, enum pipeline_end *end,
                     struct error *e)
{
    struct local_job *j = &r->job;
    struct clock *clock = clock_system();
    struct delegate_job work = {
        .input = &j->input,
        .ingest = &j->ingest,
        .rules = j->rules.rules,
        .spool = r->spool,
        .render = r->render,
        .reuse = r->keeping.reuse,
        .price = *price,
        .dir = r->state.dir,
        .poll_ms = j->model->poll_ms,
        .patience_ms = j->model->upstream[0].upstream->patience_ms,
        .detach = r->o->detach,
        .seed = (uint64_t)clock->wall_us(clock),
        .clock = clock,
        .stop = j->rules.stop,
        .on_progress = on_progress,
        .on_note = on_note,
        .arg = r,
    };

    j->stage = EXIT_STOPPED;
    if (http_client_init(e) < 0)
        return -1;
    work.remote = remote_open(j->model, j->model_name, clock, j->rules.stop, e);
    if (!work.remote)
        return -1;
    int rc = delegate_run(&work, &r->summary.progress, end, e);
    remote_close(work.remote);
    return rc;
}

/* Its lines are with another service, where nothing of ours has to run meanwhile. */
static int leave_there(struct run *r)
{
    const struct local_job *j = &r->job;

    if (r->o->detach) {
        terminal_note(&j->terminal,
                      "%s of %s lines are done; the same command with --watch waits for the others "
                      "and fetches them",
                      human_count(HUMAN, counters_done(&r->summary.progress.counters)),
                      human_count(HUMAN, j->ingest.lines));
        r->code = EXIT_OK;
        return STEP_END;
    }
    terminal_note(&j->terminal, "the job goes on at %s; run the same command again to go on",
                  j->model->upstream[0].upstream->url);
    r->code = EXIT_INTERRUPTED;
    return STEP_END;
}

/* A word of a command, in quotes when the shell would take it for something else. */
static void add_word(struct buf *out, const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "%+,-./:=@_";

    if (*word && word[strspn(word, plain)] == '\0') {
        buf_add_c(out, word);
        return;
    }
    buf_add_char(out, '\'');
    for (; *word; word++) {
        if (*word == '\'')
            buf_add_c(out, "'\\'");
        buf_add_char(out, *word);
    }
    buf_add_char(out, '\'');
}

static void add_option(struct buf *out, const char *name, const char *value)
{
    if (!value)
        return;
    buf_addf(out, " %s ", name);
    add_word(out, value);
}

/* The command that answers what failed, with the options that name the model; else one that shows the
 * answers. Refused lines must be mended in the input first, so that one is named. */
static void choose_next(struct run *r)
{
    const struct run_options *o = r->o;
    struct buf text = BUF_INIT(SUMMARY_BYTES_MAX);

    if (r->streams || r->to_table || o->rows.embed)
        return;
    if (r->summary.progress.counters.failed == 0 || o->given || o->limit || o->shard) {
        buf_add_c(&text, "tranche show ");
        add_word(&text, r->output);
        buf_add_c(&text, r->summary.progress.counters.failed ? " --status failed" : "");
        r->summary.next = arena_copy(&r->job.arena, text.p, text.len);
        buf_release(&text);
        return;
    }
    buf_add_c(&text, "tranche run");
    for (uint32_t i = 0; i < r->path_count && r->job.ingest.bad; i++) {
        buf_add_char(&text, ' ');
        add_word(&text, r->path[i]);
    }
    add_option(&text, "--retry-failed", r->output);
    add_option(&text, "--model", o->model);
    add_option(&text, "--upstream", o->upstream);
    add_option(&text, "--dialect", o->dialect);
    add_option(&text, "--config", o->config);
    add_option(&text, "--state", o->state);
    r->summary.next = buf_ok(&text) ? arena_copy(&r->job.arena, text.p, text.len) : NULL;
    buf_release(&text);
}

static void print_summary(struct run *r, const struct terminal *c)
{
    struct buf text = BUF_INIT(SUMMARY_BYTES_MAX);
    struct error e = { 0 };

    if (summary_failures(&r->summary, r->spool, &r->job.input, &r->job.ingest, &e) < 0)
        terminal_warn(c, "the failures cannot be listed: %s", e.msg);
    if (!c->quiet && !c->json) {
        summary_text(&r->summary, c, &text);
        terminal_write(STDERR_FILENO, buf_str(&text));
    } else {
        const struct counters *b = &r->summary.progress.counters;
        terminal_note(c, "%s: %llu of %llu lines answered, %llu failed, output %s",
                      r->summary.interrupted ? "interrupted" : "finished",
                      (unsigned long long)b->succeeded, (unsigned long long)b->total,
                      (unsigned long long)b->failed, r->output);
    }
    buf_clear(&text);
    if (r->o->json) {
        summary_json(&r->summary, r->code, &text);
        terminal_write(r->streams ? STDERR_FILENO : STDOUT_FILENO, buf_str(&text));
    }
    buf_release(&text);
}

int run_step_work(struct run *r, struct error *e)
{
    struct local_job *j = &r->job;
    bool there = j->model->kind == MODEL_REMOTE_BATCH;
    enum pipeline_end end = PIPELINE_DONE;
    const struct price price = model_price(j->model, j->model_name);

    view_init(r, &price);
    summary_init(r);
    terminal_note(&j->terminal, "%s %s, %s", human_count(HUMAN, j->ingest.lines),
                  j->ingest.lines == 1 ? "line" : "lines", r->title);
    j->stage = EXIT_STOPPED; /* an output that cannot be written can be mended */
    r->render = render_open(r->render_path, &j->input, &j->ingest, &j->rules.rules, ROW_VERTEX, e);
    if (!r->render)
        return -1;
    render_keep(r->render, r->keeping.writer, r->keeping.reuse.model);
    j->stage = EXIT_INTERNAL;
    if ((there ? run_there(r, &price, &end, e) : run_lines(r, &price, &end, e)) < 0)
        return -1;
    progress_clear(&r->view);
    r->summary.formulas = render_formulas(r->render);
    r->summary.excel = r->o->rows.excel;
    r->summary.interrupted = end == PIPELINE_INTERRUPTED;
    if (!r->summary.interrupted)
        return STEP_NEXT;
    if (there)
        return leave_there(r);
    r->code = EXIT_INTERRUPTED;
    print_summary(r, &j->terminal);
    terminal_note(&j->terminal, "run the same command again to go on");
    return STEP_END;
}

/* ---- The end ---- */

static void save_rates(struct run *r)
{
    const struct progress *p = &r->summary.progress;
    uint64_t done = counters_done(&p->counters) - p->resumed, reused = p->counters.reused;
    uint64_t lines = done > reused ? done - reused : 0; /* resumed ones may be among them */
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
    if (rates_save(r->job.state_root, r->version, &rates, &ignored) < 0)
        terminal_warn(&r->job.terminal, "the measured speed is not kept: %s", ignored.msg);
}

/* The output is complete: what cannot be remembered only costs the next run its shortcut. */
static void remember(struct run *r)
{
    static const struct terminal plain = { .width = 80 };
    struct buf text = BUF_INIT(SUMMARY_BYTES_MAX), json = BUF_INIT(SUMMARY_BYTES_MAX);
    struct done done = { .output = r->output_path, .command = r->command, .code = r->code };
    struct error e = { 0 };

    summary_text(&r->summary, &plain, &text);
    summary_json(&r->summary, r->code, &json);
    done.text = buf_str(&text);
    done.summary = buf_str(&json);
    done.finished_us = clock_system()->wall_us(clock_system());
    if (state_output_facts(r->output_path, &done, &e) < 0 ||
        state_done_write(&r->state, &done, &e) < 0)
        terminal_warn(&r->job.terminal, "the finished run is not remembered: %s", e.msg);
    buf_release(&text);
    buf_release(&json);
}

/* For `tranche runs`. */
static void keep(struct run *r)
{
    struct buf about = BUF_INIT(KEPT_ABOUT_BYTES);
    struct json_writer w = JSON_WRITER(&about);

    json_object(&w, NULL);
    json_add_c(&w, "model", r->job.model_name);
    json_add_uint(&w, "lines", r->job.ingest.lines);
    json_add_c(&w, "output", r->output_path);
    json_end(&w);
    keep_finish(&r->keeping, r->spool, r->render, buf_ok(&about) ? buf_str(&about) : STR("{}"),
                &r->job.terminal);
    buf_release(&about);
}

/* An output that went to a reader cannot be compared later: nothing is kept. */
static void forget(struct run *r)
{
    struct error e = { 0 };

    if (state_reset(&r->state, &e) < 0)
        terminal_warn(&r->job.terminal, "the finished run's state is still there: %s", e.msg);
}

/* The record stands beside the part before the run counts as done. */
static int record_part(struct run *r, struct error *e)
{
    struct buf json = BUF_INIT(SUMMARY_BYTES_MAX);

    if (!r->job.slice.count)
        return 0;
    r->job.stage = EXIT_STOPPED;
    summary_json(&r->summary, r->code, &json);
    int rc = shard_part_write(&r->job, r->output_path, buf_str(&json), e);
    buf_release(&json);
    return rc;
}

/* The finished output under its name. */
static int publish(struct run *r, struct error *e)
{
    struct local_job *j = &r->job;

    if (r->render_path == r->output_path)
        return 0;
    if (r->to_table) {
        j->stage = EXIT_STOPPED;
        if (bigquery_tables_output(&j->bigquery, r->spool, r->render_path, r->o->overwrite, e) < 0)
            return -1;
        return sys_remove_all(r->render_path, e);
    }
    if (!j->rows)
        return sys_rename(r->render_path, r->output_path, e);
    j->stage = EXIT_STOPPED;
    if (engine_tables_output(&j->tables, &j->sheet, r->render_path, r->output_path, e) < 0)
        return -1;
    return sys_remove_all(r->render_path, e);
}

int run_step_finish(struct run *r, struct error *e)
{
    struct counters *b = &r->summary.progress.counters;

    if (publish(r, e) < 0)
        return -1;
    r->code = b->failed || b->not_run ? EXIT_SOME_FAILED : EXIT_OK;
    choose_next(r);
    if (record_part(r, e) < 0)
        return -1;
    print_summary(r, &r->job.terminal);
    save_rates(r);
    keep(r);
    known_input_forget(&r->known);
    bigquery_tables_end(&r->job.bigquery);
    if (r->streams)
        forget(r);
    else
        remember(r);
    return STEP_END;
}

void run_report_failure(struct run *r, const struct error *e)
{
    const struct terminal *c = &r->job.terminal;
    const struct counters *b = &r->summary.progress.counters;

    r->code = local_job_exit(r->job.stage, e->code);
    if (e->code == ERROR_FAILED_PRECONDITION)
        known_input_forget(&r->known);
    if (r->job.stage == EXIT_INTERNAL && e->code == ERROR_FAILED_PRECONDITION)
        r->code = EXIT_INPUT; /* the input changed while it ran, or since its index was made */
    if (r->job.stage == EXIT_INTERNAL && r->job.model->kind == MODEL_UPSTREAM &&
        (e->code == ERROR_UNAUTHENTICATED || e->code == ERROR_PERMISSION_DENIED ||
         e->code == ERROR_NOT_FOUND))
        r->code = EXIT_STOPPED; /* the upstream refuses the key or the model */
    terminal_error(c, "%s", e->msg);
    if (counters_done(b))
        terminal_note(c, "%s of %s lines are done and saved", human_count(HUMAN, counters_done(b)),
                      human_count(HUMAN, b->total));
    if (r->code == EXIT_STOPPED)
        terminal_note(c, "when that is mended, the same command goes on where it stopped");
    if (r->code == EXIT_INTERRUPTED)
        terminal_note(c, "run the same command again to go on");
}
