/* cmd_run.c -- `tranche run`: its options, and its steps in order. */
#include "app/cli/command.h"

#include "base/mem.h"
#include "app/run/run.h"
#include "app/run/validate.h"

#define BAD_TEXT_BYTES_MAX ((size_t)64 * 1024)

static int (*const steps[])(struct run *r, struct error *e) = {
    run_step_open,  run_step_output, run_step_check, run_step_earlier, run_step_state,
    run_step_spool, run_step_keep,   run_step_work,  run_step_finish,
};

static void run_release(struct run *r)
{
    render_close(r->render);
    keep_release(&r->keeping);
    known_input_release(&r->known);
    spool_close(r->spool);
    buf_release(&r->bad_text);
    ingest_result_release(&r->old);
    input_release(&r->old_input);
    local_job_release(&r->job);
}

enum exit_code run_all(struct run *r)
{
    struct error e = { 0 };
    int rc = STEP_NEXT;

    r->bad_text = BUF_INIT(BAD_TEXT_BYTES_MAX);
    terminal_init(&r->job.terminal, r->o->quiet, r->o->log_format);
    for (size_t i = 0; i < ARRAY_LEN(steps) && rc == STEP_NEXT; i++)
        rc = steps[i](r, &e);
    progress_clear(&r->view);
    if (rc < 0)
        run_report_failure(r, &e);
    enum exit_code code = r->code;
    run_release(r);
    return code;
}

#define OPTIONS struct run_options
static const struct option_spec options[] = {
    OPT_FILE("output", 'o', output,
             "file for the answers (default: INPUT.out.jsonl); - is standard output"),
    OPT_MODEL("model", 'm', model, "model that answers; `tranche models` lists the names"),
    OPT_TEXT("upstream", 'u', upstream, "URL",
             "server that answers: http://host:8000/v1; its key is $TRANCHE_UPSTREAM_KEY"),
    OPT_CHOICE("dialect", 0, dialect, "openai|gemini", "API of the upstream (default: by its URL)"),
    OPT_COUNT("max-rpm", 0, max_rpm, 1, UINT32_MAX,
              "maximum number of requests a minute to the upstream"),
    OPT_COUNT("max-tpm", 0, max_tpm, 1, 0, "maximum number of tokens a minute to the upstream"),
    OPT_TEXT("bigquery-endpoint", 0, bigquery_endpoint, "URL",
             "address of BigQuery for bq:// tables (default: that of the configuration)"),
    OPT_CHOICE(
        "engine", 0, engine, "fast|plain",
        "runtime of an embedded model: fast (default) is tranche's own where it covers the model"),
    OPT_COUNT("limit", 'n', limit, 1, 0, "run only the first N lines, as a canary"),
    OPT_TEXT("shard", 0, shard, "K/N",
             "run only part K of N, from 0/N on; `tranche merge` joins the parts' outputs"),
    OPT_TEXT("prompt", 0, rows.prompt, "TEXT",
             "ask about each row of a table: 'Label: {column}'; @FILE reads the text from a file"),
    OPT_TEXT("system", 0, rows.system, "TEXT", "system instruction of all rows; @FILE as above"),
    OPT_TEXT("enum", 0, rows.enum_values, "A,B", "the answers that are allowed"),
    OPT_TEXT("schema", 0, rows.schema, "JSON",
             "JSON schema of the answers, whose properties become columns; @FILE as above"),
    OPT_LIST("param", 0, rows.param, "NAME=VALUE",
             "member of generationConfig, such as temperature=0; may be given again"),
    OPT_TEXT("where", 0, rows.where, "CONDITION",
             "only the rows that it chooses: \"stars < 3 and text contains 'late'\""),
    OPT_TEXT("keep-columns", 0, rows.keep_columns, "A,B",
             "input columns that go out (default: all)"),
    OPT_FLAG("mark-reused", 0, rows.mark_reused,
             "add the column reused: the time of an answer that an earlier run had kept"),
    OPT_FLAG("excel", 0, rows.excel, "write CSV for spreadsheets, without formulas in answers"),
    OPT_FLAG("strict", 0, strict, "stop before any work when a line is bad or has a warning"),
    OPT_FLAG("dry-run", 0, dry_run, "validate only, as `tranche validate` does"),
    OPT_FILE("retry-failed", 0, retry_failed,
             "keep the answers of this earlier output; run only the failed lines"),
    OPT_FLAG(
        "overwrite", 0, overwrite,
        "replace the output file, whatever it is; else only an earlier output of this command"),
    OPT_FLAG("fresh", 0, fresh,
             "ask everything anew: forget what an earlier run of this command did, and use no kept "
             "answer"),
    OPT_TEXT("max-age", 0, max_age, "AGE",
             "use kept answers only when they are not older: 7d, 12h, 30m (default: 30d)"),
    OPT_FLAG("no-keep", 0, no_keep, "keep no answers on disk when the run is finished"),
    OPT_COUNT("max-in-flight", 0, max_in_flight, 1, 65536,
              "maximum number of open requests (default: what the model takes)"),
    OPT_FILE("config", 'c', config, "configuration file"),
    OPT_DIR("state", 0, state, "folder of the state that makes a run resumable"),
    OPT_FLAG("json", 0, json, "print the summary as a JSON object on standard output"),
    OPT_FLAG("quiet", 'q', quiet, "print only errors"),
    OPT_CHOICE("log-format", 0, log_format, "text|json",
               "print log lines instead of the live display"),
    { 0 },
};

static enum exit_code dry_run(const struct run_options *o, const char *const *path, uint32_t count)
{
    bool in_place = o->retry_failed && count == 0;

    return validate(&(struct validate_options){
        .who = { .model = o->model,
                 .config = o->config,
                 .state = o->state,
                 .upstream = o->upstream,
                 .dialect = o->dialect,
                 .bigquery_endpoint = o->bigquery_endpoint,
                 .limit = o->limit,
                 .shard = o->shard,
                 .rows = &o->rows },
        .output = o->output,
        .log_format = o->log_format,
        .limit = o->limit,
        .json = o->json,
        .strict = o->strict,
        .quiet = o->quiet,
        .from_output = in_place,
        .path = in_place ? &o->retry_failed : path,
        .path_count = in_place ? 1 : count,
    });
}

static enum exit_code run_run(const struct command *c, const struct arguments *given)
{
    const struct run_options *o = given->options;
    struct run r = { .o = o, .path = given->argument, .path_count = given->count };

    (void)c;
    if (o->dry_run && (given->count || o->retry_failed))
        return dry_run(o, given->argument, given->count);
    return run_all(&r);
}

const struct command command_run = {
    .name = "run",
    .summary = "answer a batch of requests",
    .arguments = "INPUT... [-o OUTPUT]",
    .about =
        "INPUT is a file of JSON lines, a pattern in quotes, or - for standard input; each line is "
        "{\"request\": {...}} or a bare request. A file that is packed by gzip is unpacked. The "
        "output "
        "has one line for each input line, in "
        "order. While it runs it is OUTPUT.partial.\n"
        "\n"
        "The same command given again after an interruption, a crash or a full disk goes on where "
        "it stopped. A changed input or setting is a new run, which asks only what is new: answers "
        "are "
        "kept on disk for 30 days (`tranche runs` lists them). --fresh asks all.\n"
        "\n"
        "With --prompt, INPUT is a table (.csv, .tsv, .jsonl of plain rows): each row is asked the "
        "prompt, in which {column} is a cell. The output is the table with the columns answer, "
        "error and tokens; its form is that of its ending (.csv, .tsv, .jsonl, .gz or .zst behind "
        "it). "
        "docs/reference/tables.md has the template and --where.\n"
        "\n"
        "INPUT and OUTPUT may be tables of BigQuery, bq://PROJECT.DATASET.TABLE: without --prompt "
        "the column `request` has the requests, as in Google's batch jobs.\n"
        "\n"
        "Examples:\n"
        "  tranche run reviews.csv --prompt 'Label: {text}' --enum good,bad -o labels.csv\n"
        "  tranche run requests.jsonl\n"
        "  tranche run 'parts/*.jsonl' -o answers.jsonl --model gemini-2.5-flash\n"
        "  tranche run requests.jsonl --upstream http://127.0.0.1:8000/v1 -m my-model\n"
        "  tranche run - < requests.jsonl > answers.jsonl\n"
        "  tranche run requests.jsonl --shard 3/64 -o part-3.jsonl\n"
        "  tranche run --retry-failed answers.jsonl",
    .options = options,
    .options_bytes = sizeof(struct run_options),
    .arguments_max = ARGUMENTS_MAX,
    .takes_files = true,
    .run = run_run,
};
