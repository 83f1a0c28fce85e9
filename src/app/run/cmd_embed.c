/* cmd_embed.c -- `tranche embed`: a vector for each row of a table.
 *
 * Why: it is a run whose request is one to embed: resumable, with kept answers, and on any model.
 */
#include "app/cli/command.h"

#include <string.h>

#include "app/cli/terminal.h"
#include "app/config/config.h"
#include "app/run/run.h"
#include "base/mem.h"

/* The options of a run, of which some are not offered here. */
struct embed_options {
    struct run_options run;
    const char *column;
};

#define OPTIONS struct embed_options
static const struct option_spec options[] = {
    OPT_TEXT("column", 0, column, "NAME", "column with the text to embed"),
    OPT_TEXT("text", 0, run.rows.prompt, "TEXT",
             "text to embed, instead of a column: '{title}: {body}'; @FILE reads it from a file"),
    OPT_FILE("output", 'o', run.output,
             "file for the rows with their vectors (default: INPUT.out.csv)"),
    OPT_MODEL("model", 'm', run.model, "model that embeds (default: " EMBED_MODEL ")"),
    OPT_TEXT("upstream", 'u', run.upstream, "URL",
             "server that answers: http://host:8000/v1; its key is $TRANCHE_UPSTREAM_KEY"),
    OPT_CHOICE("dialect", 0, run.dialect, "openai|gemini",
               "API of the upstream (default: by its URL)"),
    OPT_COUNT("max-rpm", 0, run.max_rpm, 1, UINT32_MAX,
              "maximum number of requests a minute to the upstream"),
    OPT_COUNT("max-tpm", 0, run.max_tpm, 1, 0, "maximum number of tokens a minute to the upstream"),
    OPT_TEXT("bigquery-endpoint", 0, run.bigquery_endpoint, "URL",
             "address of BigQuery for bq:// tables (default: that of the configuration)"),
    OPT_CHOICE(
        "engine", 0, run.engine, "fast|plain",
        "runtime of an embedded model: fast (default) is tranche's own where it covers the model"),
    OPT_COUNT("limit", 'n', run.limit, 1, 0, "embed only the first N rows"),
    OPT_TEXT("shard", 0, run.shard, "K/N",
             "embed only part K of N, from 0/N on; `tranche merge` joins the parts' outputs"),
    OPT_LIST("param", 0, run.rows.param, "NAME=VALUE",
             "setting of the request, such as outputDimensionality=128; may be given again"),
    OPT_TEXT("where", 0, run.rows.where, "CONDITION",
             "only the rows that it chooses: \"stars < 3 and text contains 'late'\""),
    OPT_TEXT("keep-columns", 0, run.rows.keep_columns, "A,B",
             "input columns that go out (default: all)"),
    OPT_FLAG("mark-reused", 0, run.rows.mark_reused,
             "add the column reused: the time of an answer that an earlier run had kept"),
    OPT_FLAG("strict", 0, run.strict, "stop before any work when a row is bad"),
    OPT_FLAG(
        "overwrite", 0, run.overwrite,
        "replace the output file, whatever it is; else only an earlier output of this command"),
    OPT_FLAG("fresh", 0, run.fresh, "embed everything anew, and use no kept answer"),
    OPT_TEXT("max-age", 0, run.max_age, "AGE",
             "use kept answers only when they are not older: 7d, 12h, 30m (default: 30d)"),
    OPT_FLAG("no-keep", 0, run.no_keep, "keep no answers on disk when the run is finished"),
    OPT_COUNT("max-in-flight", 0, run.max_in_flight, 1, 65536,
              "maximum number of open requests (default: what the model takes)"),
    OPT_FILE("config", 'c', run.config, "configuration file"),
    OPT_DIR("state", 0, run.state, "folder of the state that makes a run resumable"),
    OPT_FLAG("json", 0, run.json, "print the summary as a JSON object on standard output"),
    OPT_FLAG("quiet", 'q', run.quiet, "print only errors"),
    OPT_CHOICE("log-format", 0, run.log_format, "text|json",
               "print log lines instead of the live display"),
    { 0 },
};

static enum exit_code run_embed(const struct command *c, const struct arguments *given)
{
    const struct embed_options *asked = given->options;
    struct run_options o = asked->run;
    struct arena a = { 0 };

    (void)c;
    if (!asked->column == !o.rows.prompt) {
        struct terminal t;
        terminal_init(&t, o.quiet, o.log_format);
        terminal_error(&t, "either --column or --text is needed: what to embed of a row");
        return EXIT_USAGE;
    }
    if (asked->column)
        o.rows.prompt = arena_textf(&a, "{%s}", asked->column);
    if (!o.model)
        o.model = EMBED_MODEL;
    o.rows.embed = true;
    struct run r = { .o = &o, .path = given->argument, .path_count = given->count };
    enum exit_code code = run_all(&r);
    arena_release(&a);
    return code;
}

const struct command command_embed = {
    .name = "embed",
    .summary = "embed the rows of a table",
    .arguments = "INPUT... --column NAME [-o OUTPUT]",
    .about =
        "INPUT is a table (.csv, .tsv, .jsonl of plain rows, .parquet, FILE.duckdb#TABLE, or "
        "bq://PROJECT.DATASET.TABLE). The output is the table with the columns embedding (a list "
        "of "
        "numbers), error and tokens; its form is that of its ending (.csv, .tsv, .jsonl, .parquet, "
        ".gz or .zst behind the first three).\n"
        "\n"
        "The same command given again after an interruption goes on where it stopped, and texts "
        "that were embedded before are not embedded again: see `tranche run`.\n"
        "\n"
        "Examples:\n"
        "  tranche embed reviews.csv --column text -o vectors.parquet\n"
        "  tranche embed articles.jsonl --text '{title}: {body}' -o vectors.jsonl\n"
        "  tranche embed reviews.csv --column text --param outputDimensionality=128",
    .options = options,
    .options_bytes = sizeof(struct embed_options),
    .arguments_max = ARGUMENTS_MAX,
    .takes_files = true,
    .run = run_embed,
};
