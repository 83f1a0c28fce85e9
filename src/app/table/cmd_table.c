/* cmd_table.c -- `tranche table`: what is in a table, and a table from one kind of file to another.
 *
 * Why: before a run one looks at its input, and after it at its output, without another program.
 */
#include "app/cli/command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/cli/table.h"
#include "app/cli/terminal.h"
#include "app/table/stored.h"
#include "base/env.h"
#include "base/json_write.h"
#include "base/mem.h"
#include "base/sys.h"
#include "store/tables/table_files.h"

#define OUT_BYTES_MAX ((size_t)256 * 1024 * 1024)
#define ROWS_DEFAULT 10
#define SCRATCH_PATTERN "tranche-table-XXXXXX"

/* One call of the command. */
struct look {
    const struct stored_options *options;
    const struct terminal *terminal;
    struct table_files *files;
    struct arena arena;
    struct buf out;
};

static void print_columns(struct look *l, const struct table_columns *columns, const char *first,
                          const char *second)
{
    const char *head[] = { first, second };
    struct table table;

    table_init(&table, head, 2);
    for (uint32_t i = 0; i < columns->count; i++)
        table_row(&table, (struct str[]){ columns->item[i].name, columns->item[i].type });
    table_write(&table, &l->out);
    table_release(&table);
}

static void print_columns_json(struct look *l, const struct table_columns *columns)
{
    for (uint32_t i = 0; i < columns->count; i++) {
        struct json_writer w = JSON_WRITER(&l->out);
        json_object(&w, NULL);
        json_add_text(&w, "name", columns->item[i].name);
        json_add_text(&w, "type", columns->item[i].type);
        json_end(&w);
        buf_add_char(&l->out, '\n');
    }
}

static int list(struct look *l, const char *const *argument, struct error *e)
{
    struct table_columns tables;

    if (!str_ends(str_of(argument[0]), STR(".duckdb")))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "%s is not a DuckDB file: its name does not end in .duckdb.", argument[0]);
    if (table_files_list(l->files, str_of(argument[0]), &l->arena, &tables, e) < 0)
        return -1;
    if (l->options->json)
        print_columns_json(l, &tables);
    else
        print_columns(l, &tables, "TABLE", "KIND");
    return 0;
}

static int schema(struct look *l, const char *const *argument, struct error *e)
{
    struct table_columns columns;

    if (table_files_columns(l->files, str_of(argument[0]), &l->arena, &columns, e) < 0)
        return -1;
    if (l->options->json)
        print_columns_json(l, &columns);
    else
        print_columns(l, &columns, "COLUMN", "TYPE");
    return 0;
}

/* Wide tables are cut at the terminal's table of columns; --json shows all of them. */
static void print_head(struct look *l, const struct table_head *head)
{
    uint32_t all = head->columns.count;
    uint32_t shown = all < TABLE_COLUMNS_MAX ? all : TABLE_COLUMNS_MAX;
    const char *names[TABLE_COLUMNS_MAX];
    struct table table;

    for (uint32_t i = 0; i < shown; i++)
        names[i] =
            arena_copy(&l->arena, head->columns.item[i].name.p, head->columns.item[i].name.len);
    table_init(&table, names, shown);
    for (uint32_t r = 0; r < head->rows; r++)
        table_row(&table, head->cell + (size_t)r * all);
    table_write(&table, &l->out);
    table_release(&table);
    if (shown < all)
        terminal_note(l->terminal, "%u of %u columns; --json shows all", shown, all);
}

static void print_head_json(struct look *l, const struct table_head *head)
{
    uint32_t columns = head->columns.count;

    for (uint32_t r = 0; r < head->rows; r++) {
        struct json_writer w = JSON_WRITER(&l->out);
        json_object(&w, NULL);
        for (uint32_t c = 0; c < columns; c++) {
            struct str name = head->columns.item[c].name,
                       text = head->cell[(size_t)r * columns + c];
            const char *key = arena_copy(&l->arena, name.p, name.len);
            if (text.p)
                json_add_text(&w, key, text);
            else
                json_add_c(&w, key, NULL);
        }
        json_end(&w);
        buf_add_char(&l->out, '\n');
    }
}

static int head(struct look *l, const char *const *argument, struct error *e)
{
    uint32_t rows = l->options->rows ? (uint32_t)l->options->rows : ROWS_DEFAULT;
    struct table_head found;

    if (table_files_head(l->files, str_of(argument[0]), rows, &l->arena, &found, e) < 0)
        return -1;
    if (l->options->json)
        print_head_json(l, &found);
    else
        print_head(l, &found);
    return 0;
}

static int copy(struct look *l, const char *const *argument, struct error *e)
{
    struct table_columns found;
    struct error absent = { 0 };
    bool exists =
        table_files_columns(l->files, str_of(argument[1]), &l->arena, &found, &absent) == 0 ||
        access(argument[1], F_OK) == 0;

    if (exists && !l->options->overwrite)
        return error_set(e, ERROR_ALREADY_EXISTS,
                         "%s is there already. Choose another name, or give --overwrite.",
                         argument[1]);
    int64_t rows = table_files_copy(l->files, str_of(argument[0]), str_of(argument[1]), e);
    if (rows < 0)
        return -1;
    terminal_note(l->terminal, "%lld rows to %s", (long long)rows, argument[1]);
    return 0;
}

/* A verb works on files, on tables of the service, or on both: then the first argument decides. */
static const struct verb {
    const char *name;
    uint32_t arguments_min, arguments;
    bool of_tables; /* its file arguments are tables; of `ls` it is a file */
    int (*run)(struct look *l, const char *const *argument, struct error *e);
    int (*one)(struct stored *s, const char *name, struct error *e);
    int (*two)(struct stored *s, const char *first, const char *second, struct error *e);
} verbs[] = {
    { "ls", 0, 1, false, list, stored_list, NULL },
    { "schema", 1, 1, true, schema, stored_schema, NULL },
    { "head", 1, 1, true, head, stored_head, NULL },
    { "copy", 2, 2, true, copy, NULL, NULL },
    { "load", 2, 2, false, NULL, NULL, stored_load },
    { "export", 2, 2, false, NULL, NULL, stored_export },
    { "sql", 1, 1, false, NULL, stored_sql, NULL },
};

static bool is_stored(const struct verb *v, const char *first)
{
    if (!v->run)
        return true;
    if (!v->one)
        return false;
    return !first || stored_is(first) ||
           (v->one == stored_list && !strchr(first, '.') && !strchr(first, '/'));
}

static int check(const struct verb *v, const char *const *argument, uint32_t count, struct error *e)
{
    if (count < v->arguments_min || count > v->arguments)
        return error_set(e, ERROR_INVALID_ARGUMENT, "table %s takes %u argument%s, not %u.",
                         v->name, v->arguments, v->arguments == 1 ? "" : "s", count);
    if (is_stored(v, count ? argument[0] : NULL))
        return 0;
    for (uint32_t i = 0; i < count && v->of_tables; i++)
        if (!table_file_is_readable(str_of(argument[i])))
            return error_set(
                e, ERROR_INVALID_ARGUMENT,
                "%s is not a table: its name ends in none of .csv, .tsv, .parquet, .jsonl, "
                "and is not FILE.duckdb#TABLE.%s",
                argument[i],
                str_ends(str_of(argument[i]), STR(".xlsx"))
                    ? " Save the sheet as CSV (UTF-8) in the spreadsheet program."
                    : "");
    return 0;
}

/* The engine keeps in a folder what memory cannot hold; the folder is gone at the end. */
static int look_in(struct look *l, const struct verb *v, const char *const *argument,
                   struct error *e)
{
    const char *parent = env_get("TMPDIR");
    char *scratch = arena_textf(&l->arena, "%s/" SCRATCH_PATTERN, parent ? parent : "/tmp");
    struct error ignored;
    int rc = -1;

    if (!mkdtemp(scratch))
        return error_errno(e, "%s", scratch);
    l->files = table_files_open(scratch, e);
    if (l->files)
        rc = v->run(l, argument, e);
    table_files_close(l->files);
    if (sys_remove_all(scratch, &ignored) < 0)
        terminal_warn(l->terminal, "%s stays: %s", scratch, ignored.msg);
    return rc;
}

static int look_stored(struct look *l, const struct verb *v, const char *const *argument,
                       struct error *e)
{
    struct stored s = { .options = l->options, .arena = &l->arena, .out = &l->out };
    int rc = stored_open(&s, e);

    if (rc == 0)
        rc = v->two ? v->two(&s, argument[0], argument[1], e) : v->one(&s, argument[0], e);
    stored_close(&s);
    if (rc == 0 && s.note.len)
        terminal_note(l->terminal, "%.*s", STR_ARG(s.note));
    return rc;
}

static const struct verb *verb_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
        if (strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
    return NULL;
}

static enum exit_code table_run(const struct command *c, const struct arguments *given)
{
    const struct verb *v = verb_find(given->argument[0]);
    struct terminal terminal;
    struct look l = { .options = given->options,
                      .terminal = &terminal,
                      .out = BUF_INIT(OUT_BYTES_MAX) };
    struct error e = { 0 };
    enum exit_code code = EXIT_OK;

    (void)c;
    terminal_init(&terminal, false, NULL);
    if (!v)
        (void)error_set(&e, ERROR_INVALID_ARGUMENT,
                        "table %s: Write ls, schema, head, copy, load, export or sql.",
                        given->argument[0]);
    const char *const *argument = given->argument + 1;
    const char *first = given->count > 1 ? argument[0] : NULL;
    if (!v || check(v, argument, given->count - 1, &e) < 0)
        code = EXIT_USAGE;
    else if ((is_stored(v, first) ? look_stored(&l, v, first ? argument : &first, &e)
                                  : look_in(&l, v, argument, &e)) < 0)
        code =
            e.code == ERROR_UNIMPLEMENTED || e.code == ERROR_INTERNAL ? EXIT_INTERNAL : EXIT_INPUT;
    if (code == EXIT_OK)
        terminal_write(STDOUT_FILENO, buf_str(&l.out));
    else
        terminal_error(&terminal, "%s", e.msg);
    buf_release(&l.out);
    arena_release(&l.arena);
    return code;
}

#define OPTIONS struct stored_options
static const struct option_spec options[] = {
    OPT_COUNT("rows", 0, rows, 1, TABLE_HEAD_MAX, "how many rows head (10) and sql show"),
    OPT_FLAG("json", 0, json, "print one JSON object a line"),
    OPT_FLAG("overwrite", 0, overwrite, "copy, load and export replace what has that name"),
    OPT_DIR("state", 0, state, "the service's state folder, for its tables"),
    OPT_TEXT("project", 'p', project, "NAME", "project of tables whose names say none"),
    { 0 },
};

const struct command command_table = {
    .name = "table",
    .summary = "look into tables, copy, load and export them, and ask them by SQL",
    .arguments = "ls|schema|head|copy|load|export|sql ARGUMENT...",
    .about =
        "A table is a file that ends in .csv, .tsv, .jsonl (these also with .gz or .zst) or "
        ".parquet, or "
        "FILE.duckdb#TABLE. `ls FILE.duckdb` lists the tables of a file, `schema` shows the "
        "columns "
        "and types, `head` the first rows; `copy` makes a table of another kind.\n\nThe types of "
        "CSV "
        "and JSON Lines are found by looking at the rows: 1.10 becomes the number 1.1, 007 stays "
        "text. "
        "Values that have a type already keep it, and come out as they were.\n\n"
        "DATASET.TABLE and PROJECT.DATASET.TABLE are tables of the service: `load` makes one of a "
        "file, "
        "`export` a file of one, `sql` runs GoogleSQL on them, `ls` lists datasets or the tables "
        "of one. "
        "While the service runs, they ask it, with $TRANCHE_API_KEY; it exports nothing, but `sql "
        "--json` prints rows.",
    .options = options,
    .options_bytes = sizeof(struct stored_options),
    .arguments_min = 1,
    .arguments_max = 3,
    .takes_files = true,
    .run = table_run,
};
