/* cmd_show.c -- `tranche show`: the rows of an output as conversations, a table or tab-separated values. */
#include "app/cli/command.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/cli/human.h"
#include "app/cli/table.h"
#include "app/cli/terminal.h"
#include "app/run/row_view.h"

#define OUT_BYTES_MAX ((size_t)256 * 1024 * 1024)
#define FLUSH_BYTES ((size_t)64 * 1024)
#define COLUMNS 7
#define CELL_SHOWN 44 /* bytes of a prompt or an answer in a table */
#define TABLE_ROWS_MAX 10000

struct show_options {
    const char *status, *match, *key, *format;
    uint64_t limit;
};

struct show {
    const struct show_options *o;
    struct buf out;
    struct table table;
    bool is_table, is_tsv;
    uint64_t seen, shown;
};

static const char *const columns[COLUMNS] = { "KEY",           "STATUS", "FINISH", "PROMPT TOKENS",
                                              "ANSWER TOKENS", "PROMPT", "ANSWER" };

/* ---- Which rows ---- */

static bool contains(struct str text, const char *part)
{
    return str_find(text, str_of(part)) != SIZE_MAX;
}

/* "ok", "failed", a code as INVALID_ARGUMENT, or a finish reason as MAX_TOKENS. */
static bool has_status(const struct row_view *row, const char *status)
{
    struct str code = str_sub(row->error, 0, str_find(row->error, STR(":")));

    if (strcmp(status, "ok") == 0)
        return row->error.len == 0;
    if (strcmp(status, "failed") == 0)
        return row->error.len > 0;
    return str_eq_c(code, status) || (row->error.len == 0 && str_eq_c(row->finish, status));
}

static struct str name_of(struct arena *a, const struct row_view *row)
{
    return row->key.len ? row->key
                        : str_of(arena_textf(a, "line %llu", (unsigned long long)row->line_no));
}

static bool is_wanted(const struct show_options *o, struct arena *a, const struct row_view *row)
{
    if (o->status && !has_status(row, o->status))
        return false;
    if (o->key) {
        struct str name = name_of(a, row);
        if (!str_glob(o->key, arena_copy(a, name.p, name.len)))
            return false;
    }
    return !o->match || contains(row->answer, o->match) || contains(row->error, o->match) ||
           contains(row_prompt(a, row->request), o->match);
}

/* ---- How they look ---- */

/* A turn: "  user: text", further lines below the first. */
static void add_turn(struct buf *out, const char *role, struct str text)
{
    struct str line;
    bool first = true;

    text = str_trim(text);
    while (str_next(&text, '\n', &line)) {
        if (first)
            buf_addf(out, "  %-6s ", role);
        else
            buf_add_c(out, "         ");
        buf_add_plain(out, line, false);
        buf_add_char(out, '\n');
        first = false;
    }
}

static void add_request(struct buf *out, struct arena *a, yyjson_val *request)
{
    yyjson_val *contents = json_get(request, "contents"), *turn;
    yyjson_val *system = json_get(request, "systemInstruction");
    size_t i, count;

    if (!system)
        system = json_get(request, "system_instruction");
    if (system)
        add_turn(out, "system", row_content_text(a, system, true));
    if (!yyjson_is_arr(contents)) {
        add_turn(out, "user", row_prompt(a, request));
        return;
    }
    yyjson_arr_foreach(contents, i, count, turn)
    {
        struct str role = json_str(json_get(turn, "role"));
        add_turn(out, role.len ? arena_copy(a, role.p, role.len) : "user",
                 row_content_text(a, turn, true));
    }
}

static void add_conversation(struct show *s, struct arena *a, const struct row_view *row)
{
    buf_add_c(&s->out, s->shown ? "\n[" : "[");
    buf_add_plain(&s->out, name_of(a, row), false);
    buf_add_c(&s->out, "]");
    if (row->finish.len && !str_eq_c(row->finish, "STOP")) {
        buf_add_char(&s->out, ' ');
        buf_add_plain(&s->out, row->finish, false);
    }
    buf_add_char(&s->out, '\n');
    add_request(&s->out, a, row->request);
    if (row->error.len)
        add_turn(&s->out, "error", row->error);
    else
        add_turn(&s->out, "model", row_content_text(a, row->content, true));
}

static struct str tabless(struct arena *a, struct str text)
{
    char *copy = arena_copy(a, text.p ? text.p : "", text.len);

    for (size_t i = 0; i < text.len; i++)
        if (copy[i] == '\t' || copy[i] == '\n' || copy[i] == '\r')
            copy[i] = ' ';
    return (struct str){ copy, text.len };
}

static void add_cells(struct show *s, struct arena *a, const struct row_view *row)
{
    struct str code = str_sub(row->error, 0, str_find(row->error, STR(":")));
    struct str answer = row->error.len ? row->error : row->answer;
    struct str prompt = row_prompt(a, row->request);
    const struct str cell[COLUMNS] = {
        name_of(a, row),
        row->error.len ? code : STR("OK"),
        row->finish,
        str_of(arena_textf(a, "%llu", (unsigned long long)row->prompt_tokens)),
        str_of(arena_textf(a, "%llu", (unsigned long long)row->answer_tokens)),
        s->is_table ? str_cut(prompt, CELL_SHOWN) : prompt,
        s->is_table ? str_cut(answer, CELL_SHOWN) : answer,
    };

    if (s->is_table) {
        struct str plain[COLUMNS];
        for (size_t i = 0; i < COLUMNS; i++)
            plain[i] = tabless(a, cell[i]);
        table_row(&s->table, plain);
        return;
    }
    for (size_t i = 0; i < COLUMNS; i++) {
        buf_add_c(&s->out, i ? "\t" : "");
        buf_add_plain(&s->out, tabless(a, cell[i]), false);
    }
    buf_add_char(&s->out, '\n');
}

static int show_row(void *arg, struct arena *a, const struct row_view *row, struct error *e)
{
    struct show *s = arg;

    s->seen++;
    if ((s->o->limit && s->shown == s->o->limit) || !is_wanted(s->o, a, row))
        return 0;
    if (s->is_table && s->shown == TABLE_ROWS_MAX)
        return error_set(
            e, ERROR_INVALID_ARGUMENT,
            "a table has at most %d rows; choose some with --status, --match, --key or "
            "-n, or write --format tsv",
            TABLE_ROWS_MAX);
    if (s->is_table || s->is_tsv)
        add_cells(s, a, row);
    else
        add_conversation(s, a, row);
    s->shown++;
    if (s->out.len >= FLUSH_BYTES) {
        terminal_write(STDOUT_FILENO, buf_str(&s->out));
        buf_clear(&s->out);
    }
    return 0;
}

static enum exit_code show_run(const struct command *c, const struct arguments *given)
{
    const struct show_options *o = given->options;
    struct show s = { .o = o, .out = BUF_INIT(OUT_BYTES_MAX) };
    struct error e = { 0 };
    struct terminal t;

    (void)c;
    terminal_init(&t, false, NULL);
    s.is_table = o->format && strcmp(o->format, "table") == 0;
    s.is_tsv = o->format && strcmp(o->format, "tsv") == 0;
    table_init(&s.table, columns, COLUMNS);
    for (size_t i = 0; s.is_tsv && i < COLUMNS; i++)
        buf_addf(&s.out, "%s%s", columns[i], i + 1 < COLUMNS ? "\t" : "\n");
    int rc = row_view_each(given->argument[0], show_row, &s, &e);
    if (rc == 0 && s.is_table)
        table_write(&s.table, &s.out);
    terminal_write(STDOUT_FILENO, buf_str(&s.out));
    if (rc < 0)
        terminal_error(&t, "%s", e.msg);
    else if (s.shown < s.seen)
        terminal_note(&t, "%s of %s rows", human_count(HUMAN, s.shown), human_count(HUMAN, s.seen));
    table_release(&s.table);
    buf_release(&s.out);
    return rc == 0 ? EXIT_OK : e.code == ERROR_CANCELLED ? EXIT_INTERRUPTED : EXIT_INPUT;
}

#define OPTIONS struct show_options
static const struct option_spec options[] = {
    OPT_TEXT("status", 's', status, "STATUS",
             "only rows of this status: ok, failed, a code as INVALID_ARGUMENT, or a finish reason "
             "as MAX_TOKENS"),
    OPT_TEXT("match", 0, match, "TEXT", "only rows with this text in the prompt, answer or error"),
    OPT_TEXT("key", 'k', key, "PATTERN", "only rows of these keys; * stands for any text"),
    OPT_COUNT("limit", 'n', limit, 1, 0, "only the first N of them"),
    OPT_CHOICE("format", 0, format, "conversation|table|tsv",
               "how rows are printed (default: conversation)"),
    { 0 },
};

const struct command command_show = {
    .name = "show",
    .summary = "read the answers in an output",
    .arguments = "OUTPUT",
    .about = "OUTPUT is what `tranche run` wrote, a job's results, or an output of Google's; - is "
             "standard "
             "input. Each row is printed as a conversation: who said what, then the answer or the "
             "error.\n"
             "\n"
             "Examples:\n"
             "  tranche show answers.jsonl --status failed\n"
             "  tranche show answers.jsonl --format tsv > answers.tsv",
    .options = options,
    .options_bytes = sizeof(struct show_options),
    .arguments_min = 1,
    .arguments_max = 1,
    .takes_files = true,
    .run = show_run,
};
