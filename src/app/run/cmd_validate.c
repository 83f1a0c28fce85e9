#include "app/run/validate.h"

#include <unistd.h>

#include "app/run/estimate.h"
#include "app/cli/human.h"
#include "app/run/local_job.h"
#include "app/run/summary.h"
#include "base/clock.h"
#include "base/json_write.h"
#include "engine/lines/walk.h"

#define PROMPTS_SHOWN 3

struct validation {
    const struct validate_options *o;
    struct local_job job;
    struct estimate estimate;
    struct buf out; /* reused for each line of output */
};

void line_error_text(const char *file, const struct line *l, const struct violation *v,
                     bool is_warning, struct buf *out)
{
    struct buf plain = BUF_INIT(LINE_ERROR_BYTES_MAX);

    buf_addf(&plain, "%s:%llu: %s%s%s%s %s (byte %llu)", file, (unsigned long long)l->line_no,
             is_warning ? "warning: " : "", v->path, v->path[0] ? ": " : "", v->message, v->remedy,
             (unsigned long long)l->offset + v->offset);
    buf_add_plain(out, buf_str(&plain), false);
    buf_add_char(out, '\n');
    buf_release(&plain);
}

static void line_error_json(const char *file, const struct line *l, const struct violation *v,
                            bool is_warning, struct buf *out)
{
    struct json_writer w = JSON_WRITER(out);

    json_object(&w, NULL);
    json_add_c(&w, "file", file);
    json_add_uint(&w, "line", l->line_no);
    json_add_uint(&w, "offset", l->offset + v->offset);
    json_add_uint(&w, "line_offset", v->offset);
    json_add_c(&w, "path", v->path);
    json_add_c(&w, "message", v->message);
    json_add_c(&w, "remedy", v->remedy);
    if (is_warning)
        json_add_bool(&w, "warning", true);
    json_end(&w);
    buf_add_char(out, '\n');
}

/* Errors and warnings of lines are results: they go to standard output as they are found. */
static void print_found(void *arg, const struct input *in, const struct shard *s,
                        const struct line *l, const struct violations *bad)
{
    struct validation *v = arg;
    const char *file = in->file[s->file].path;
    unsigned held = violations_held(bad);

    buf_clear(&v->out);
    for (unsigned i = 0; i < held; i++) {
        if (v->o->json)
            line_error_json(file, l, &bad->item[i], bad->warnings > 0, &v->out);
        else
            line_error_text(file, l, &bad->item[i], bad->warnings > 0, &v->out);
    }
    if (bad->count > held && !v->o->json) {
        buf_add_plain(&v->out, str_of(file), false);
        buf_addf(&v->out, ":%llu: ... and %u more errors in this line\n",
                 (unsigned long long)l->line_no, bad->count - held);
    }
    terminal_write(STDOUT_FILENO, buf_str(&v->out));
}

static void estimate_json(const struct validation *v, struct buf *out)
{
    const struct ingest_result *r = &v->job.ingest;
    const struct estimate *m = &v->estimate;
    struct json_writer w = JSON_WRITER(out);

    json_object(&w, NULL);
    json_object(&w, "summary");
    json_add_c(&w, "model", v->job.model_name);
    json_add_uint(&w, "lines", r->lines);
    json_add_uint(&w, "bad", r->bad);
    json_add_uint(&w, "warned", r->warned);
    json_add_uint(&w, "bytes", r->bytes);
    json_add_uint(&w, "prompt_tokens", m->prompt_tokens);
    json_add_bool(&w, "prompt_tokens_exact", m->exact);
    json_add_uint(&w, "output_tokens_max", m->output_tokens_max);
    json_add_uint(&w, "output_tokens_unset", m->output_unset);
    if (m->measured_lines) {
        json_add_uint(&w, "measured_answers", m->measured_lines);
        json_add_uint(&w, "output_tokens", m->output_tokens);
        summary_add_usd(&w, "batch_usd", m->batch_measured_nano);
        summary_add_usd(&w, "online_usd", m->online_measured_nano);
    }
    json_add_bool(&w, "priced", m->priced);
    summary_add_usd(&w, "batch_usd_max", m->batch_nano);
    summary_add_usd(&w, "online_usd_max", m->online_nano);
    if (m->timed)
        json_add_double(&w, "seconds", (double)m->time_ns / (double)NS_PER_S);
    else
        json_add_null(&w, "seconds");
    json_end(&w);
    json_end(&w);
    buf_add_char(out, '\n');
}

static void text_tokens(const struct estimate *m, struct buf *out)
{
    buf_addf(out, "  prompt    %s%s tokens", m->exact ? "" : "about ",
             human_count(HUMAN, m->prompt_tokens));
    if (m->exact)
        buf_add_c(out, "\n");
    else if (m->sampled)
        buf_addf(out, ", from a sample of %s lines\n", human_count(HUMAN, m->sampled));
    else
        buf_addf(out, ", at %d bytes a token\n", ESTIMATE_BYTES_PER_TOKEN);
    if (m->measured_lines)
        buf_addf(out, "  output    about %s tokens, by the %s %s of the last run of this input\n",
                 human_count(HUMAN, m->output_tokens), human_count(HUMAN, m->measured_lines),
                 m->measured_lines == 1 ? "answer" : "answers");
    buf_addf(out, "%sat most %s tokens", m->measured_lines ? "            " : "  output    ",
             human_count(HUMAN, m->output_tokens_max));
    if (m->output_unset)
        buf_addf(out, "; %s %s no maxOutputTokens and %s as %d",
                 human_count(HUMAN, m->output_unset),
                 m->output_unset == 1 ? "line has" : "lines have",
                 m->output_unset == 1 ? "counts" : "count", ESTIMATE_OUTPUT_DEFAULT);
    buf_add_char(out, '\n');
}

static void text_cost(const struct estimate *m, struct buf *out)
{
    buf_add_c(out, "  cost      ");
    if (m->measured_lines)
        buf_addf(out, "about %s at the batch price, online %s;\n            ",
                 human_money(HUMAN, m->batch_measured_nano),
                 human_money(HUMAN, m->online_measured_nano));
    buf_addf(out, "at most %s at the batch price; online %s\n", human_money(HUMAN, m->batch_nano),
             human_money(HUMAN, m->online_nano));
}

static void text_time(const struct estimate *m, struct buf *out)
{
    if (m->timed)
        buf_addf(out, "  time      about %s, at the speed of the last run here\n",
                 human_duration(HUMAN, m->time_ns));
    else
        buf_add_c(out,
                  "  time      unknown until a first run of 20 lines or more on this machine\n");
}

static void estimate_text(const struct validation *v, struct buf *out)
{
    const struct ingest_result *r = &v->job.ingest;
    const struct estimate *m = &v->estimate;

    if (r->bad)
        buf_addf(out, "%s of %s lines are bad\n", human_count(HUMAN, r->bad),
                 human_count(HUMAN, r->lines));
    else
        buf_addf(out, "%s %s, all good\n", human_count(HUMAN, r->lines),
                 r->lines == 1 ? "line" : "lines");
    if (r->warned)
        buf_addf(out, "  warnings  in %s %s\n", human_count(HUMAN, r->warned),
                 r->warned == 1 ? "line" : "lines");
    if (r->bad < r->lines) {
        text_tokens(m, out);
        if (m->priced)
            text_cost(m, out);
        else
            buf_add_c(out, "  cost      none: this model has no price\n");
        text_time(m, out);
    }
}

static void prompt_print(struct validation *v, const struct walk *w, const struct line *line,
                         struct str prompt)
{
    const char *file = w->input->file[w->shard->file].path;
    struct json_writer out = JSON_WRITER(&v->out);

    buf_clear(&v->out);
    if (!v->o->json) {
        buf_add_plain(&v->out, str_of(file), false);
        buf_addf(&v->out, ":%llu: prompt:\n", (unsigned long long)line->line_no);
        for (struct str piece; str_next(&prompt, '\n', &piece);) {
            buf_add_c(&v->out, "  ");
            buf_add_plain(&v->out, piece, false);
            buf_add_char(&v->out, '\n');
        }
    } else {
        json_object(&out, NULL);
        json_add_c(&out, "file", file);
        json_add_uint(&out, "line", line->line_no);
        json_add_text(&out, "prompt", prompt);
        json_end(&out);
        buf_add_char(&v->out, '\n');
    }
    terminal_write(STDOUT_FILENO, buf_str(&v->out));
}

/* The first prompts as they are asked: a look at them finds what no check can. */
static int print_prompts(struct validation *v, struct error *e)
{
    struct local_job *j = &v->job;
    struct buf prompt = BUF_INIT(LINE_BYTES_MAX * 2);
    struct violations ignored = { 0 };
    struct arena a = { 0 };
    struct line line;
    struct walk w;
    int rc = 1;

    if (v->o->quiet)
        return 0;
    walk_init(&w, &j->input, &j->ingest, NULL);
    for (int shown = 0; shown < PROMPTS_SHOWN && (rc = walk_next(&w, &line, e)) == 1;) {
        buf_clear(&prompt);
        arena_reset(&a);
        if (!sheet_prompt(&j->sheet, &a, line.text, &prompt, &ignored))
            continue;
        prompt_print(v, &w, &line, buf_str(&prompt));
        shown++;
    }
    walk_release(&w);
    arena_release(&a);
    buf_release(&prompt);
    return rc < 0 ? -1 : 0;
}

static int validation_run(struct validation *v, struct error *e)
{
    const struct validate_options *w = v->o;
    char command[LOCAL_JOB_NAME_BYTES];
    struct local_job *j = &v->job;

    if (local_job_config(j, &w->who, e) < 0 ||
        local_job_input(j, w->path, w->path_count, w->output, e) < 0 ||
        local_job_predictor(j, e) < 0 || local_job_ingest(j, NULL, e) < 0)
        return -1;
    j->stage = EXIT_INTERNAL;
    if (j->rows && print_prompts(v, e) < 0)
        return -1;
    local_job_name(j, w->who.upstream, command);
    if (estimate_make(j, command, &v->estimate, e) < 0)
        return -1;
    buf_clear(&v->out);
    if (w->json)
        estimate_json(v, &v->out);
    else if (!w->quiet)
        estimate_text(v, &v->out);
    terminal_write(STDOUT_FILENO, buf_str(&v->out));
    return 0;
}

enum exit_code validate(const struct validate_options *w)
{
    struct validation v = {
        .o = w, .out = BUF_INIT(SUMMARY_BYTES_MAX + VIOLATIONS_PER_LINE_MAX * LINE_ERROR_BYTES_MAX)
    };
    struct error e = { 0 };
    enum exit_code code;

    terminal_init(&v.job.terminal, w->quiet, w->log_format);
    v.job.rules = (struct ingest_options){
        .rules.from_output = w->from_output,
        .limit = w->limit,
        .rules.strict = w->strict,
        .on_bad = print_found,
        .on_warned = print_found,
        .arg = &v,
    };
    if (validation_run(&v, &e) < 0) {
        terminal_error(&v.job.terminal, "%s", e.msg);
        code = local_job_exit(v.job.stage, e.code);
    } else {
        code = v.job.ingest.bad ? EXIT_INPUT : EXIT_OK;
    }
    local_job_release(&v.job);
    buf_release(&v.out);
    return code;
}

struct command_line {
    struct local_options who;
    uint64_t limit;
    bool json, quiet, strict;
};

#define OPTIONS struct command_line
static const struct option_spec options[] = {
    OPT_MODEL("model", 'm', who.model, "model to check and estimate for"),
    OPT_TEXT("upstream", 'u', who.upstream, "URL",
             "server to check and estimate for, as in `tranche run`"),
    OPT_CHOICE("dialect", 0, who.dialect, "openai|gemini", "API of that server"),
    OPT_COUNT("limit", 'n', limit, 1, 0, "check only the first N lines"),
    OPT_FILE("config", 'c', who.config, "configuration file"),
    OPT_DIR("state", 0, who.state, "folder of tranche's state"),
    OPT_FLAG("strict", 0, strict, "take warnings as errors"),
    OPT_FLAG("json", 0, json, "print one JSON object for each error, then a summary"),
    OPT_FLAG("quiet", 'q', quiet, "print only the errors"),
    { 0 },
};

static enum exit_code validate_run(const struct command *c, const struct arguments *given)
{
    const struct command_line *o = given->options;

    (void)c;
    return validate(&(struct validate_options){
        .who = o->who,
        .limit = o->limit,
        .json = o->json,
        .quiet = o->quiet,
        .strict = o->strict,
        .path = given->argument,
        .path_count = given->count,
    });
}

const struct command command_validate = {
    .name = "validate",
    .summary = "check every line, estimate tokens, cost and time; run nothing",
    .arguments = "INPUT...",
    .about = "INPUT is a file of JSON lines, a pattern in quotes, or - for standard input. Every "
             "fault is printed with its file, line, path, remedy and byte. The exit code is 0 when "
             "all lines are good and 3 otherwise.",
    .options = options,
    .options_bytes = sizeof(struct command_line),
    .arguments_min = 1,
    .arguments_max = ARGUMENTS_MAX,
    .takes_files = true,
    .run = validate_run,
};
