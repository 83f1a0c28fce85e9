/* cmd_runs.c -- `tranche runs`: the answers that are kept on disk, and their removal. */
#include "app/cli/command.h"

#include <stdio.h>
#include <unistd.h>

#include "app/cli/human.h"
#include "app/cli/table.h"
#include "app/config/config.h"
#include "app/run/keep.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/json_write.h"

#define COLUMNS 6
#define RUNS_BYTES_MAX ((size_t)16 * 1024 * 1024)
#define US_PER_S ((int64_t)1000000)

struct runs_options {
    const char *config, *state, *older_than;
    bool prune, all, json;
};

struct runs {
    const struct runs_options *o;
    struct config config;
    struct arena arena;
    const char *folder;
    struct kept_run *run;
    uint32_t count;
};

static int64_t now_us(void)
{
    return clock_system()->wall_us(clock_system());
}

/* A member of what the run said about itself. */
static struct str about_text(struct runs *r, const struct kept_run *run, const char *name)
{
    struct error ignored = { 0 };
    size_t at = 0;

    return json_str(json_get(json_parse(&r->arena, run->about, &at, &ignored), name));
}

static void add_row(struct runs *r, struct table *t, const struct kept_run *run)
{
    char at[CLOCK_TEXT_BYTES];

    clock_format_rfc3339(run->finished_us, at);
    const struct str cells[COLUMNS] = {
        str_of(run->id),
        (struct str){ at, sizeof "2026-11-30T08:00:00" - 1 },
        str_of(human_count(HUMAN, run->answers)),
        str_of(human_bytes(HUMAN, run->bytes)),
        about_text(r, run, "model"),
        about_text(r, run, "output"),
    };
    table_row(t, cells);
}

static void print_table(struct runs *r, struct buf *out)
{
    static const char *const head[COLUMNS] = { "RUN",  "FINISHED (UTC)", "ANSWERS",
                                               "SIZE", "MODEL",          "OUTPUT" };
    struct table t;
    uint64_t bytes = 0, answers = 0;

    table_init(&t, head, COLUMNS);
    for (uint32_t i = 0; i < r->count; i++) {
        add_row(r, &t, &r->run[i]);
        bytes += r->run[i].bytes;
        answers += r->run[i].answers;
    }
    if (r->count)
        table_write(&t, out);
    table_release(&t);
    buf_addf(out, "%s%s answers are kept, %s of %s at most, each for %d days.\n",
             r->count ? "\n" : "", human_count(HUMAN, answers), human_bytes(HUMAN, bytes),
             human_bytes(HUMAN, r->config.keep), KEPT_DAYS_MAX);
}

static void print_json(struct runs *r, struct buf *out)
{
    for (uint32_t i = 0; i < r->count; i++) {
        const struct kept_run *run = &r->run[i];
        struct json_writer w = JSON_WRITER(out);
        char at[CLOCK_TEXT_BYTES];
        clock_format_rfc3339(run->finished_us, at);
        json_object(&w, NULL);
        json_add_c(&w, "id", run->id);
        json_add_c(&w, "finished", at);
        json_add_uint(&w, "answers", run->answers);
        json_add_uint(&w, "bytes", run->bytes);
        json_add_raw(&w, "run", run->about);
        json_end(&w);
        buf_add_char(out, '\n');
    }
}

/* The limits hold whenever something is removed; the options only remove more. */
static int remove_runs(struct runs *r, const struct terminal *t, struct error *e)
{
    const struct runs_options *o = r->o;
    int64_t age = KEPT_DAYS_MAX * (int64_t)86400 * US_PER_S;
    uint32_t removed = 0;

    if (!o->prune && !o->all && !o->older_than)
        return 0;
    if (o->older_than && keep_age(o->older_than, &age, e) < 0)
        return -1;
    if (kept_prune(r->folder, o->all ? 0 : r->config.keep, now_us() - age, now_us(), &removed, e) <
        0)
        return -1;
    terminal_note(t, "the answers of %s %s removed", human_count(HUMAN, removed),
                  removed == 1 ? "run are" : "runs are");
    return 0;
}

static enum exit_code work(struct runs *r, const struct terminal *t, struct error *e)
{
    struct buf out = BUF_INIT(RUNS_BYTES_MAX);

    if (config_load(r->o->config, &r->config, e) < 0)
        return EXIT_USAGE;
    const char *root = config_state_root(&r->arena, r->o->state, e);
    if (!root)
        return EXIT_USAGE;
    r->folder = keep_folder(&r->arena, root);
    if (remove_runs(r, t, e) < 0)
        return EXIT_USAGE;
    if (kept_list(r->folder, &r->arena, &r->run, &r->count, e) < 0)
        return EXIT_INTERNAL;
    if (r->o->json)
        print_json(r, &out);
    else
        print_table(r, &out);
    terminal_write(STDOUT_FILENO, buf_str(&out));
    buf_release(&out);
    return EXIT_OK;
}

static enum exit_code runs_run(const struct command *c, const struct arguments *given)
{
    struct runs r = { .o = given->options };
    struct terminal terminal;
    struct error e = { 0 };

    (void)c;
    terminal_init(&terminal, false, NULL);
    enum exit_code code = work(&r, &terminal, &e);
    if (code != EXIT_OK)
        terminal_error(&terminal, "%s", e.msg);
    config_release(&r.config);
    arena_release(&r.arena);
    return code;
}

#define OPTIONS struct runs_options
static const struct option_spec options[] = {
    OPT_FLAG("prune", 0, prune,
             "remove what is over the limits now, not at the end of the next run"),
    OPT_TEXT("older-than", 0, older_than, "AGE",
             "remove the answers of runs older than 7d, 12h, 30m"),
    OPT_FLAG("all", 0, all, "remove all kept answers"),
    OPT_FILE("config", 'c', config, "configuration file"),
    OPT_DIR("state", 0, state, "folder of the state"),
    OPT_FLAG("json", 0, json, "print one JSON object for each run"),
    { 0 },
};

const struct command command_runs = {
    .name = "runs",
    .summary = "list the answers that are kept on disk, and remove them",
    .arguments = "",
    .about =
        "The answers of finished runs are kept for 30 days, so that a run with the same requests "
        "does not pay for them again. `keep` in the configuration is their size together (default "
        "2 GiB): the oldest go first. A run that is unfinished is not listed: the same command "
        "resumes it.\n"
        "\n"
        "Examples:\n"
        "  tranche runs\n"
        "  tranche runs --older-than 7d\n"
        "  tranche runs --all",
    .options = options,
    .options_bytes = sizeof(struct runs_options),
    .run = runs_run,
};
