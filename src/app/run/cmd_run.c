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
    console_init(&r->job.console, r->o->quiet, r->o->log_format);
    for (size_t i = 0; i < ARRAY_LEN(steps) && rc == STEP_NEXT; i++)
        rc = steps[i](r, &e);
    progress_clear(&r->view);
    if (rc < 0)
        run_report_failure(r, &e);
    enum exit_code code = r->code;
    run_release(r);
    return code;
}

#define AT(field) offsetof(struct run_options, field)
static const struct option_spec options[] = {
    { "output", 'o', OPTION_STRING, AT(output), "FILE",
      "where the answers go (default: INPUT.out.jsonl); - is standard output", COMPLETE_FILE, 0,
      0 },
    { "model", 'm', OPTION_STRING, AT(model), "NAME",
      "who answers; `tranche models` lists the names", COMPLETE_MODEL, 0, 0 },
    { "upstream", 'u', OPTION_STRING, AT(upstream), "URL",
      "a server answers: http://host:8000/v1; its key is $TRANCHE_UPSTREAM_KEY", COMPLETE_NONE, 0,
      0 },
    { "dialect", 0, OPTION_CHOICE, AT(dialect), "openai|gemini",
      "what the upstream speaks (default: by its URL)", COMPLETE_NONE, 0, 0 },
    { "max-rpm", 0, OPTION_COUNT, AT(max_rpm), "N", "requests a minute to the upstream",
      COMPLETE_NONE, 1, UINT32_MAX },
    { "max-tpm", 0, OPTION_COUNT, AT(max_tpm), "N", "tokens a minute to the upstream",
      COMPLETE_NONE, 1, 0 },
    { "engine", 0, OPTION_CHOICE, AT(engine), "fast|plain",
      "of an embedded model: our own where it can (default), or libllama alone", COMPLETE_NONE, 0,
      0 },
    { "limit", 'n', OPTION_COUNT, AT(limit), "N", "only the first N lines: a canary", COMPLETE_NONE,
      1, 0 },
    { "strict", 0, OPTION_FLAG, AT(strict), NULL, "stop before any work when a line is bad",
      COMPLETE_NONE, 0, 0 },
    { "dry-run", 0, OPTION_FLAG, AT(dry_run), NULL, "the same as `tranche validate`", COMPLETE_NONE,
      0, 0 },
    { "retry-failed", 0, OPTION_STRING, AT(retry_failed), "FILE",
      "keep the answers of this earlier output and run only what failed", COMPLETE_FILE, 0, 0 },
    { "fresh", 0, OPTION_FLAG, AT(fresh), NULL, "forget what an earlier run of this command did",
      COMPLETE_NONE, 0, 0 },
    { "max-in-flight", 0, OPTION_COUNT, AT(max_in_flight), "N",
      "requests open at once (default: what the model takes)", COMPLETE_NONE, 1, 65536 },
    { "config", 'c', OPTION_STRING, AT(config), "FILE", "configuration file", COMPLETE_FILE, 0, 0 },
    { "state", 0, OPTION_STRING, AT(state), "DIR", "folder of all that makes a run resumable",
      COMPLETE_DIR, 0, 0 },
    { "json", 0, OPTION_FLAG, AT(json), NULL, "the summary as a JSON object on standard output",
      COMPLETE_NONE, 0, 0 },
    { "quiet", 'q', OPTION_FLAG, AT(quiet), NULL, "only errors", COMPLETE_NONE, 0, 0 },
    { "log-format", 0, OPTION_CHOICE, AT(log_format), "text|json",
      "log lines instead of the live display", COMPLETE_NONE, 0, 0 },
    { 0 },
};

static enum exit_code dry_run(const struct run_options *o, const char *const *path, uint32_t count)
{
    bool in_place = o->retry_failed && count == 0;

    return validate(&(struct validate_wish){
        .who = { .model = o->model,
                 .config = o->config,
                 .state = o->state,
                 .upstream = o->upstream,
                 .dialect = o->dialect },
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
    return run_all(&r);
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
        "  tranche run requests.jsonl --upstream http://127.0.0.1:8000/v1 -m my-model\n"
        "  tranche run - < requests.jsonl > answers.jsonl\n"
        "  tranche run --retry-failed answers.jsonl",
    .options = options,
    .options_bytes = sizeof(struct run_options),
    .arguments_max = ARGUMENTS_MAX,
    .takes_files = true,
    .run = run_run,
};
