/* engine.c -- engine.h: settings, statements, the SQL of names and places. */
#include "store/tables/duckdb/engine.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/unpack.h"

#define SQL_BYTES_MAX ((size_t)16 * 1024 * 1024) /* a statement names each column a few times */
#define DUCKDB_TABLE ".duckdb#"

// clang-format off
#define CSV_WRITER "FORMAT csv, HEADER, QUOTE '\"', ESCAPE '\"', NULLSTR '', DELIMITER "
const struct kind table_kinds[TABLE_KINDS] = {
    { ".parquet", "read_parquet(", "FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 20000" },
    { ".csv",     "read_csv(",     CSV_WRITER "','" },
    { ".tsv",     "read_csv(",     CSV_WRITER "'\t'" },
    { ".jsonl",   "read_json(",    "FORMAT json" },
    { ".ndjson",  "read_json(",    "FORMAT json" },
};
// clang-format on

static const struct kind *kind_of(struct str file)
{
    struct str name = file;

    (void)packing_of_name(file, &name);
    for (size_t i = 0; i < TABLE_KINDS; i++)
        if (str_ends(name, str_of(table_kinds[i].ending)))
            return &table_kinds[i];
    return NULL;
}

struct place place_of(struct str name)
{
    size_t at = str_find(name, STR(DUCKDB_TABLE));

    if (at == SIZE_MAX)
        return (struct place){ .file = name, .kind = kind_of(name) };
    size_t end = at + sizeof DUCKDB_TABLE - 1;
    return (struct place){ str_sub(name, 0, end - 1), str_sub(name, end, name.len), NULL };
}

/* ---- Statements ---- */

static void quoted(struct buf *sql, char quote, struct str s)
{
    buf_add_char(sql, quote);
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] == quote)
            buf_add_char(sql, quote);
        buf_add_char(sql, s.p[i]);
    }
    buf_add_char(sql, quote);
}

void sql_name(struct buf *sql, struct str name)
{
    quoted(sql, '"', name);
}

void sql_text(struct buf *sql, struct str text)
{
    quoted(sql, '\'', text);
}

/* What stands after FROM. A dot in the table's name parts the schema from it. */
void sql_source(struct buf *sql, const struct place *p)
{
    struct str rest = p->table, part;

    if (!p->table.len) {
        assert(p->kind);
        buf_add_c(sql, p->kind->reader);
        sql_text(sql, p->file);
        buf_add_c(sql, ")");
        return;
    }
    buf_add_c(sql, "file");
    while (str_next(&rest, '.', &part)) {
        buf_add_char(sql, '.');
        sql_name(sql, part);
    }
}

/* ---- Statements ---- */

/* The engine's first line says what is wrong; the others draw the statement, which nobody wrote. */
static int engine_error(const char *said, struct str what, struct error *e)
{
    struct str line = str_of(said);
    bool locked = strstr(said ? said : "", "Conflicting lock") != NULL;
    bool absent =
        strstr(said ? said : "", "No files found") || strstr(said ? said : "", "Catalog Error");

    line.len = str_find(line, STR("\n")) == SIZE_MAX ? line.len : str_find(line, STR("\n"));
    return error_set(e,
                     locked   ? ERROR_FAILED_PRECONDITION
                     : absent ? ERROR_NOT_FOUND
                              : ERROR_INVALID_ARGUMENT,
                     "%.*s: %.*s", STR_ARG(str_cut(what, 200)), STR_ARG(str_cut(line, 250)));
}

int engine_query(struct table_files *t, struct str what, duckdb_result *out, struct error *e)
{
    buf_add_char(&t->sql, '\0');
    if (!buf_ok(&t->sql))
        return error_set(e, ERROR_RESOURCE_EXHAUSTED,
                         "%.*s: The table has too many columns, or too long names.",
                         STR_ARG(str_cut(what, 200)));
    if (t->duckdb->query(t->connection, t->sql.p, out) == DuckDBSuccess)
        return 0;
    int rc = engine_error(t->duckdb->result_error(out), what, e);
    t->duckdb->destroy_result(out);
    return rc;
}

static int run(struct table_files *t, struct str what, struct error *e)
{
    duckdb_result result = { 0 };

    if (engine_query(t, what, &result, e) < 0)
        return -1;
    t->duckdb->destroy_result(&result);
    return 0;
}

static int run_c(struct table_files *t, const char *sql, struct str what, struct error *e)
{
    buf_clear(&t->sql);
    buf_add_c(&t->sql, sql);
    return run(t, what, e);
}

/* COPY answers with one row and column: how many rows. */
int64_t engine_copy(struct table_files *t, struct str what, struct error *e)
{
    const struct duckdb_library *d = t->duckdb;
    duckdb_result result = { 0 };
    int64_t rows = 0;

    if (engine_query(t, what, &result, e) < 0)
        return -1;
    duckdb_data_chunk chunk = d->fetch_chunk(result);
    if (chunk && d->data_chunk_get_size(chunk) == 1)
        rows = *(const int64_t *)d->vector_get_data(d->data_chunk_get_vector(chunk, 0));
    d->destroy_data_chunk(&chunk);
    d->destroy_result(&result);
    return rows;
}

struct str engine_text(const duckdb_string_t *s, struct arena *a)
{
    uint32_t len = s->value.inlined.length;
    const char *p =
        len <= sizeof s->value.inlined.inlined ? s->value.inlined.inlined : s->value.pointer.ptr;

    return (struct str){ arena_copy(a, p, len), len };
}

/* ---- The engine ---- */

static int config_set(struct table_files *t, duckdb_config c, const char *scratch, struct error *e)
{
    const char *const settings[][2] = {
        { "memory_limit", TABLE_FILES_MEMORY },
        { "temp_directory", scratch },
        { "threads", "2" },
        { "autoinstall_known_extensions", "false" },
        { "autoload_known_extensions", "false" },
        { "allow_community_extensions", "false" },
    };

    for (size_t i = 0; i < ARRAY_LEN(settings); i++)
        if (t->duckdb->set_config(c, settings[i][0], settings[i][1]) != DuckDBSuccess)
            return error_set(e, ERROR_INTERNAL, "The table engine refuses the setting %s.",
                             settings[i][0]);
    return 0;
}

static int start(struct table_files *t, const char *scratch, struct error *e)
{
    duckdb_config c = NULL;
    char *said = NULL;
    int rc = -1;

    if (t->duckdb->create_config(&c) != DuckDBSuccess)
        return error_set(e, ERROR_INTERNAL, "The table engine cannot be configured.");
    if (config_set(t, c, scratch, e) == 0) {
        rc = t->duckdb->open_ext(NULL, &t->database, c, &said) == DuckDBSuccess ? 0 : -1;
        if (rc < 0)
            (void)error_set(e, ERROR_INTERNAL, "The table engine does not start: %.300s",
                            said ? said : "");
        t->duckdb->free(said);
    }
    t->duckdb->destroy_config(&c);
    if (rc < 0)
        return -1;
    if (t->duckdb->connect(t->database, &t->connection) != DuckDBSuccess)
        return error_set(e, ERROR_INTERNAL, "The table engine has no connection.");
    return run_c(t, "SET TimeZone = 'UTC'; SET lock_configuration = true", STR("The table engine"),
                 e);
}

struct table_files *table_files_open(const char *scratch, struct error *e)
{
    const struct duckdb_library *library = duckdb_library(e);

    if (!library)
        return NULL;
    struct table_files *t = mem_alloc(sizeof *t);
    t->duckdb = library;
    t->sql = BUF_INIT(SQL_BYTES_MAX);
    if (start(t, scratch, e) == 0)
        return t;
    table_files_close(t);
    return NULL;
}

void table_files_close(struct table_files *t)
{
    if (!t)
        return;
    if (t->connection)
        t->duckdb->disconnect(&t->connection);
    if (t->database)
        t->duckdb->close(&t->database);
    buf_release(&t->sql);
    mem_free(t);
}

/* A DuckDB file is attached as `file` for one call. */
int engine_attach(struct table_files *t, const struct place *p, bool read_only, struct error *e)
{
    if (!p->table.len)
        return 0;
    buf_clear(&t->sql);
    buf_add_c(&t->sql, "ATTACH ");
    sql_text(&t->sql, p->file);
    buf_add_c(&t->sql, read_only ? " AS file (READ_ONLY)" : " AS file");
    return run(t, p->file, e);
}

int engine_detach(struct table_files *t, const struct place *p, struct error *e)
{
    return p->table.len ? run_c(t, "DETACH file", p->file, e) : 0;
}
