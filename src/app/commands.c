/* commands.c -- the program in tables: its commands, its help topics, the variables that it reads.
 *
 * Why: it stands above all rooms, so that the tables name them and they don't know each other.
 */
#include "app/cli/command.h"

#include <stdio.h>
#include <string.h>

#include "app/cli/help.h"
#include "app/config/config.h"
#include "app/config/table.h"
#include "base/mem.h"
#include "format/schema/schema.h"

/* In the order of the overview. */
// clang-format off
#define COMMANDS(X) \
    X(run) X(merge) X(embed) X(peek) X(show) X(diff) X(runs) X(validate) X(table) X(models) X(serve) X(config) X(keys) X(backup) X(migrate) \
    X(submit) X(jobs) X(get) X(watch) X(results) X(cost) X(upstreams) \
    X(cancel) X(pause) X(resume) X(retry) X(delete) X(ls) X(cp) X(rm) X(mb) \
    X(version) X(help) X(man) X(completion)
// clang-format on

#define X(name) extern const struct command command_##name;
COMMANDS(X)
#undef X
const struct command *const commands[] = {
#define X(name) &command_##name,
    COMMANDS(X)
#undef X
        NULL,
};

static bool row_set(struct topic_row *out, const char *term, const char *about)
{
    out->section = NULL;
    (void)snprintf(out->term, sizeof out->term, "%s", term);
    (void)snprintf(out->about, sizeof out->about, "%s", about);
    return true;
}

static bool exit_code_row(uint32_t i, struct topic_row *out)
{
    static const struct {
        const char *code, *about;
    } codes[] = {
#define X(name, code, about) { #code, about },
        EXIT_CODES(X)
#undef X
    };

    return i < ARRAY_LEN(codes) && row_set(out, codes[i].code, codes[i].about);
}

static bool variable_row(uint32_t i, struct topic_row *out)
{
    static const struct {
        const char *name, *about;
    } variables[] = {
        { "TRANCHE_CONFIG", "configuration file, when --config is not given" },
        { "TRANCHE_STATE", "folder of the runs' state, when --state is not given" },
        { "TRANCHE_DUCKDB", "library of DuckDB, which reads Parquet and DuckDB files" },
        { "TRANCHE_MODEL_DIR", "folder of the built-in models' files" },
        { "TRANCHE_SERVER", "service of the client commands, when --server is not given" },
        { "TRANCHE_STORAGE_SERVER", "object store, when it is not at the service" },
        { "TRANCHE_PROJECT", "project, when --project is not given" },
        { "TRANCHE_LOCATION", "region, when --location is not given" },
        { "TRANCHE_API_KEY", "key of the client commands" },
        { "TRANCHE_TOKEN", "access token, instead of a key" },
        { "TRANCHE_CA_FILE", "certificates (PEM) that the client commands trust" },
        { UPSTREAM_KEY_VARIABLE, "key or token of --upstream, and of submit --to" },
        { "GOOGLE_APPLICATION_CREDENTIALS", "service account of submit --to, without such a key" },
        { "TRANCHE_MODEL", "model of submit, when --model is not given" },
        { "XDG_CONFIG_HOME", "parent folder of tranche/config.yaml (default ~/.config)" },
        { "XDG_STATE_HOME", "parent folder of tranche/, the state (default ~/.local/state)" },
        { "HOME", "base of both defaults" },
        { "NOTIFY_SOCKET", "systemd's socket: `serve` reports there when it is ready" },
        { "WATCHDOG_USEC",
          "time after which systemd misses `serve`'s report; WATCHDOG_PID: of whom" },
        { "NO_COLOR", "set to anything: no colours" },
        { "TERM", "dumb: no live display" },
        { "COLUMNS", "width of the display when the terminal does not say" },
        { "LC_ALL", "UTF-8 or not, with LC_CTYPE and LANG" },
    };

    return i < ARRAY_LEN(variables) && row_set(out, variables[i].name, variables[i].about);
}

static bool setting_row(uint32_t i, struct topic_row *out)
{
    const struct config_section *section;
    const struct config_row *row;
    struct buf about = BUF_INIT(sizeof out->about - 1);

    if (!config_row_at(i, &section, &row))
        return false;
    out->section = section->path;
    (void)snprintf(out->term, sizeof out->term, "%s: %s", row->name, row->value);
    config_row_describe(row, &about);
    (void)snprintf(out->about, sizeof out->about, "%s", about.p);
    buf_release(&about);
    return true;
}

static bool schema_row(uint32_t i, struct topic_row *out)
{
    struct schema_keyword_info k;

    if (!schema_keyword_at(i, &k))
        return false;
    bool both = strcmp(k.embedded, "followed") == 0 || strcmp(k.embedded, k.upstream) == 0;
    out->section = NULL;
    (void)snprintf(out->term, sizeof out->term, "%s", k.name);
    (void)snprintf(out->about, sizeof out->about, "%s%s: %s", k.embedded,
                   both ? "" : " by the embedded engine", k.about);
    return true;
}

const struct topic topics[] = {
    { .name = "exit-codes",
      .heading = "EXIT STATUS",
      .before = "Exit codes:",
      .column = 8,
      .row = exit_code_row },
    { .name = "config",
      .heading = "CONFIGURATION",
      .before = "The configuration is a YAML file: --config FILE, else $TRANCHE_CONFIG, else "
                "~/.config/tranche/config.yaml when it exists. All keys are optional.",
      .after = "The section fake stands at the top level, for tranche-fake, and in a model of kind "
               "fake.\n"
               "\n"
               "Example:\n"
               "  default_model: tuned-reviews\n"
               "  models:\n"
               "    - name: \"tuned-*\"\n"
               "      file: reviews.gguf\n"
               "      price: { input: 0.10, output: 0.40 }",
      .column = 30,
      .row = setting_row },
    { .name = "schema",
      .heading = "SCHEMAS",
      .before =
          "Keywords of responseJsonSchema; responseSchema has Google's names of them. Followed: "
          "each "
          "answer of the embedded engine keeps to it, and an upstream server's answer is checked. "
          "Refused: validation names the line and the path of the keyword.",
      .column = 24,
      .row = schema_row },
    { .name = "environment",
      .heading = "ENVIRONMENT",
      .before = "Environment variables:",
      .column = 22,
      .row = variable_row },
    { .name = NULL },
};
