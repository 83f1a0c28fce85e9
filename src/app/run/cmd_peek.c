/* cmd_peek.c -- `tranche peek`: the answers of a run that goes on, or was interrupted. */
#define _XOPEN_SOURCE 700 /* realpath */
#include "app/cli/command.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/cli/human.h"
#include "app/cli/terminal.h"
#include "app/config/config.h"
#include "app/run/rows.h"
#include "app/run/state.h"
#include "base/json.h"
#include "base/mem.h"
#include "engine/lines/peek.h"
#include "engine/lines/slice.h"

#define FACT_BYTES_MAX ((size_t)1024 * 1024)
#define PARTIAL ".partial"

struct peek_options {
    const char *state;
    uint64_t limit;
};

/* The run that was found. */
struct found {
    struct arena arena;
    struct spool *spool;
    const char *dir; /* of the run */
    yyjson_val *run; /* its fact */
    int64_t at_ns;   /* of its last row */
};

/* The name that the fact of the run has: absolute, as run_step_output makes it. */
static const char *output_path(struct arena *a, const char *given, struct error *e)
{
    struct str name = str_of(given);
    char real[PATH_MAX], folder[PATH_MAX];

    if (str_ends(name, STR(PARTIAL)))
        name.len -= strlen(PARTIAL);
    const char *path = arena_copy(a, name.p, name.len);
    if (realpath(path, real))
        return arena_copy(a, real, strlen(real));
    const char *slash = strrchr(path, '/');
    (void)snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) + 1 : 1,
                   slash ? path : ".");
    if (!realpath(folder, real)) {
        (void)error_errno(e, "the output's folder %s", folder);
        return NULL;
    }
    return arena_textf(a, "%s/%s", strcmp(real, "/") == 0 ? "" : real, slash ? slash + 1 : path);
}

static yyjson_val *read_fact(struct arena *a, struct spool *s)
{
    struct buf text = BUF_INIT(FACT_BYTES_MAX);
    struct error ignored = { 0 };
    size_t at = 0;
    yyjson_val *run = spool_fact_get(s, SPOOL_FACT_RUN, &text, &ignored) == 1
                          ? json_parse(a, buf_str(&text), &at, &ignored)
                          : NULL;

    buf_release(&text);
    return run;
}

/* Takes the run in this folder when it writes the output and worked last. */
static void consider(struct found *f, const char *dir, const char *output)
{
    struct arena a = { 0 };
    struct error ignored = { 0 };
    struct stat st, log;

    if (stat(arena_textf(&a, "%s/done.json", dir), &st) == 0 ||
        stat(arena_textf(&a, "%s/spool.db", dir), &st) < 0) {
        arena_release(&a);
        return;
    }
    if (stat(arena_textf(&a, "%s/spool.db-wal", dir), &log) == 0)
        st.st_mtim = log.st_mtim;
    int64_t at_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
    struct spool *s = at_ns >= f->at_ns ? spool_peek(dir, &ignored) : NULL;
    yyjson_val *run = s ? read_fact(&a, s) : NULL;
    if (!str_eq_c(json_str(json_get(run, "output")), output)) {
        spool_close(s);
        arena_release(&a);
        return;
    }
    spool_close(f->spool);
    arena_release(&f->arena);
    *f = (struct found){ a, s, NULL, run, at_ns };
    f->dir = arena_copy(&f->arena, dir, strlen(dir));
}

static int find_run(struct found *f, const char *root, const char *output, struct error *e)
{
    struct arena a = { 0 };
    const char *runs = arena_textf(&a, "%s/runs", root);
    DIR *dir = opendir(runs);
    const struct dirent *entry;

    // NOLINTNEXTLINE(concurrency-mt-unsafe): a stream of our own, which glibc reads safely
    while (dir && (entry = readdir(dir)))
        if (strlen(entry->d_name) == STATE_KEY_BYTES - 1)
            consider(f, arena_textf(&a, "%s/%s", runs, entry->d_name), output);
    if (dir)
        (void)closedir(dir);
    arena_release(&a);
    if (f->spool)
        return 0;
    if (access(output, F_OK) == 0)
        return error_set(e, ERROR_NOT_FOUND,
                         "no run is writing %s, which is there: read the file itself", output);
    return error_set(e, ERROR_NOT_FOUND,
                     "no run of this machine's state writes %s; name the OUTPUT of `tranche run` "
                     "(and its --state)",
                     output);
}

static int print_row(void *arg, uint64_t index, struct str row, struct error *e)
{
    (void)arg;
    (void)index;
    (void)e;
    terminal_write(STDOUT_FILENO, row);
    return 0;
}

/* A member's text, which ends in NUL, in the arena; NULL when it is not there. */
static const char *member(struct found *f, yyjson_val *object, const char *key)
{
    yyjson_val *value = json_get(object, key);

    return yyjson_is_str(value) ? arena_copy(&f->arena, json_str(value).p, json_str(value).len)
                                : NULL;
}

/* The run's folder has a copy of each input that could not be read twice. Runs of earlier versions have no copies. */
static int open_inputs(struct found *f, struct input *in, struct error *e)
{
    yyjson_val *inputs = json_get(f->run, "inputs"), *copies = json_get(f->run, "copies");
    size_t count = yyjson_arr_size(inputs);
    const char **path = arena_array(&f->arena, count ? count : 1, sizeof *path);

    for (size_t i = 0; i < count; i++) {
        struct str name = json_str(yyjson_arr_get(inputs, i));
        path[i] = arena_copy(&f->arena, name.p, name.len);
        if (yyjson_get_bool(yyjson_arr_get(copies, i)))
            path[i] = arena_textf(&f->arena, "%s/input/%zu", f->dir, i);
        else if (*path[i] != '/')
            return error_set(e, ERROR_FAILED_PRECONDITION,
                             "the run reads %s, which cannot be read again; its partial output has "
                             "the rows so far",
                             path[i]);
    }
    if (input_open(in, path, (uint32_t)count, f->dir, e) < 0)
        return -1;
    for (uint32_t i = 0; i < in->count && in->count == count;
         i++) { /* a table has its form by its name */
        struct str name = json_str(yyjson_arr_get(inputs, i));
        mem_free(in->file[i].path);
        in->file[i].path = mem_strdup(arena_copy(&f->arena, name.p, name.len));
    }
    return 0;
}

/* The table that the run asks about, so that its rows look as in the output. */
static int open_rows(struct found *f, struct input *in, const char *output, struct sheet *sheet,
                     struct error *e)
{
    yyjson_val *rows = json_get(f->run, "rows"), *params = json_get(rows, "param");
    struct buf facts = BUF_INIT(FACT_BYTES_MAX);
    struct rows_options o = {
        .prompt = member(f, rows, "prompt"),
        .system = member(f, rows, "system"),
        .schema = member(f, rows, "schema"),
        .enum_values = member(f, rows, "enum"),
        .where = member(f, rows, "where"),
        .keep_columns = member(f, rows, "keep_columns"),
        .excel = yyjson_get_bool(json_get(rows, "excel")),
        .mark_reused = yyjson_get_bool(json_get(rows, "mark_reused")),
    };

    for (size_t i = 0; i < yyjson_arr_size(params) && i < OPTION_LIST_MAX; i++) {
        struct str text = json_str(yyjson_arr_get(params, i));
        o.param.item[o.param.count++] = arena_copy(&f->arena, text.p, text.len);
    }
    if (!o.prompt)
        return error_set(e, ERROR_UNIMPLEMENTED,
                         "the run reads a table, and an earlier version of tranche began it; see "
                         "its partial output");
    if (rows_begin(sheet, &o, in, output, e) < 0)
        return -1;
    rows_facts(sheet, &o, &facts);
    bool same = str_eq(buf_str(&facts), json_str(json_get(rows, "facts")));
    buf_release(&facts);
    return same ? 0
                : error_set(e, ERROR_FAILED_PRECONDITION,
                            "the table or a file of the run's options was changed since it began");
}

static int peek_output(const struct peek_options *o, const char *name, const struct terminal *t,
                       struct found *f, struct error *e)
{
    struct counters done = { 0 };
    struct input in = { 0 };
    struct sheet sheet = { 0 };
    struct arena names = { 0 };
    const char *root = config_state_root(&names, o->state, e);
    const char *output = root ? output_path(&names, name, e) : NULL;

    int rc = output && find_run(f, root, output, e) == 0 ? open_inputs(f, &in, e) : -1;
    bool table = rc == 0 && yyjson_get_bool(json_get(f->run, "table"));

    if (table)
        rc = open_rows(f, &in, output, &sheet, e);
    const char *shard = rc == 0 ? member(f, f->run, "shard") : NULL;
    struct slice slice;
    if (shard &&
        (slice_parse(shard, &slice, e) < 0 || slice_take(&slice, &in, stop_on_signals(), e) < 0))
        rc = -1;
    const struct peek p = {
        .input = &in,
        .spool = f->spool,
        .rules.sheet = table ? &sheet : NULL,
        .rules.from_output = yyjson_get_bool(json_get(f->run, "from_output")),
        .style = ROW_VERTEX,
        .limit = yyjson_get_uint(json_get(f->run, "limit")),
        .rows_max = o->limit,
        .stop = stop_on_signals(),
        .on_row = print_row,
    };
    if (rc == 0)
        rc = peek_run(&p, e);
    if (rc == 0)
        spool_counters(f->spool, &done);
    if (rc == 0)
        terminal_note(t, "%s of %s lines are done", human_count(HUMAN, counters_done(&done)),
                      human_count(HUMAN, yyjson_get_uint(json_get(f->run, "lines"))));
    input_release(&in);
    sheet_release(&sheet);
    arena_release(&names);
    return rc;
}

static enum exit_code peek_run_command(const struct command *c, const struct arguments *given)
{
    struct found f = { 0 };
    struct error e = { 0 };
    struct terminal t;

    (void)c;
    terminal_init(&t, false, NULL);
    int rc = peek_output(given->options, given->argument[0], &t, &f, &e);
    if (rc < 0)
        terminal_error(&t, "%s", e.msg);
    spool_close(f.spool);
    arena_release(&f.arena);
    return rc == 0 ? EXIT_OK : e.code == ERROR_CANCELLED ? EXIT_INTERRUPTED : EXIT_INPUT;
}

#define OPTIONS struct peek_options
static const struct option_spec options[] = {
    OPT_COUNT("limit", 'n', limit, 1, 0, "print only the first N rows"),
    OPT_DIR("state", 0, state, "folder of the state that makes the run resumable"),
    { 0 },
};

const struct command command_peek = {
    .name = "peek",
    .summary = "print the answers of a run that goes on",
    .arguments = "OUTPUT",
    .about = "OUTPUT is the output that `tranche run` will write. Every row that is answered and "
             "durable "
             "is printed, in input order, also behind lines that are still open; OUTPUT.partial "
             "has only "
             "the rows before the first open line.\n"
             "\n"
             "The run goes on meanwhile. A run that was interrupted can be looked at, too, also "
             "one that reads a "
             "table or standard input.",
    .options = options,
    .options_bytes = sizeof(struct peek_options),
    .arguments_min = 1,
    .arguments_max = 1,
    .takes_files = true,
    .run = peek_run_command,
};
