/* files.c -- table_files.h by DuckDB: each call is one or two statements that the engine runs on files. */
#include "store/tables/table_files.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/sys.h"
#include "store/tables/duckdb/library.h"

#define SQL_BYTES_MAX ((size_t)16 * 1024 * 1024) /* a statement names each column a few times */
#define ROW_BYTES_MAX "16777216" /* of a row of CSV; the engine allocates a buffer for two */
#define BUFFER_BYTES "33554432"
#define PARQUET ".parquet"
#define DUCKDB_TABLE ".duckdb#"

struct table_files {
    const struct duckdb_library *duckdb;
    duckdb_database database;
    duckdb_connection connection;
    struct buf sql;
};

/* FILE, or FILE and a table in it. */
struct place {
    struct str file, table;
};

static struct place place_of(struct str name)
{
    size_t at = str_find(name, STR(DUCKDB_TABLE));

    if (at == SIZE_MAX)
        return (struct place){ name, { NULL, 0 } };
    size_t end = at + sizeof DUCKDB_TABLE - 1;
    return (struct place){ str_sub(name, 0, end - 1), str_sub(name, end, name.len) };
}

bool table_file_is(struct str name)
{
    struct place p = place_of(name);

    return str_ends(name, STR(PARQUET)) || (p.table.len && p.file.len);
}

/* ---- SQL ---- */

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

static void add_name(struct buf *sql, struct str name)
{
    quoted(sql, '"', name);
}

static void add_text(struct buf *sql, struct str text)
{
    quoted(sql, '\'', text);
}

/* What stands after FROM. A dot in the table's name parts the schema from it. */
static void add_source(struct buf *sql, const struct place *p)
{
    struct str rest = p->table, part;

    if (!p->table.len) {
        buf_add_c(sql, "read_parquet(");
        add_text(sql, p->file);
        buf_add_c(sql, ")");
        return;
    }
    buf_add_c(sql, "file");
    while (str_next(&rest, '.', &part)) {
        buf_add_char(sql, '.');
        add_name(sql, part);
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

static int query(struct table_files *t, struct str what, duckdb_result *out, struct error *e)
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
    duckdb_result result;

    if (query(t, what, &result, e) < 0)
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
static int64_t run_copy(struct table_files *t, struct str what, struct error *e)
{
    const struct duckdb_library *d = t->duckdb;
    duckdb_result result;
    int64_t rows = 0;

    if (query(t, what, &result, e) < 0)
        return -1;
    duckdb_data_chunk chunk = d->fetch_chunk(result);
    if (chunk && d->data_chunk_get_size(chunk) == 1)
        rows = *(const int64_t *)d->vector_get_data(d->data_chunk_get_vector(chunk, 0));
    d->destroy_data_chunk(&chunk);
    d->destroy_result(&result);
    return rows;
}

static struct str cell(const duckdb_string_t *s, struct arena *a)
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

static int engine_open(struct table_files *t, const char *scratch, struct error *e)
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
    if (engine_open(t, scratch, e) == 0)
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
static int attach(struct table_files *t, const struct place *p, bool read_only, struct error *e)
{
    if (!p->table.len)
        return 0;
    buf_clear(&t->sql);
    buf_add_c(&t->sql, "ATTACH ");
    add_text(&t->sql, p->file);
    buf_add_c(&t->sql, read_only ? " AS file (READ_ONLY)" : " AS file");
    return run(t, p->file, e);
}

static int detach(struct table_files *t, const struct place *p, struct error *e)
{
    return p->table.len ? run_c(t, "DETACH file", p->file, e) : 0;
}

/* ---- Columns ---- */

static bool is_nested(struct str type)
{
    return str_ends(type, STR("]")) || str_starts(type, STR("STRUCT(")) ||
           str_starts(type, STR("MAP("));
}

/* JSON numbers are doubles to the engine; its own text is exact. */
static bool is_exact_in_json(struct str type)
{
    return str_find(type, STR("DECIMAL(")) == SIZE_MAX &&
           str_find(type, STR("HUGEINT")) == SIZE_MAX;
}

static int type_check(const struct table_column *c, struct str table, struct error *e)
{
    static const char *const refused[] = { "UNION(", "GEOMETRY", "VARIANT" };

    for (size_t i = 0; i < ARRAY_LEN(refused); i++)
        if (str_find(c->type, str_of(refused[i])) != SIZE_MAX)
            return error_set(
                e, ERROR_UNIMPLEMENTED,
                "%.*s: The column %.*s is of type %.*s, which cannot be carried. Leave it "
                "out, or make it text.",
                STR_ARG(str_cut(table, 160)), STR_ARG(str_cut(c->name, 64)),
                STR_ARG(str_cut(c->type, 64)));
    return 0;
}

/* A column's value as the text of its cell, and back: the types of DuckDB read their own text. */
static void add_as_text(struct buf *sql, const struct table_column *c)
{
    if (str_eq_c(c->type, "BLOB"))
        buf_add_c(sql, "base64(");
    else
        buf_add_c(sql, is_nested(c->type) && is_exact_in_json(c->type) ? "CAST(to_json(" : "CAST(");
    add_name(sql, c->name);
    if (!str_eq_c(c->type, "BLOB"))
        buf_add_c(sql,
                  is_nested(c->type) && is_exact_in_json(c->type) ? ") AS VARCHAR" : " AS VARCHAR");
    buf_add_c(sql, ") AS ");
    add_name(sql, c->name);
}

static void add_from_text(struct buf *sql, const struct table_column *c)
{
    if (str_eq_c(c->type, "BLOB")) {
        buf_add_c(sql, "from_base64(");
        add_name(sql, c->name);
    } else {
        buf_add_c(sql, is_nested(c->type) && is_exact_in_json(c->type) ? "CAST(CAST(" : "CAST(");
        add_name(sql, c->name);
        buf_add_c(sql, is_nested(c->type) && is_exact_in_json(c->type) ? " AS JSON) AS " : " AS ");
        buf_add_str(sql, c->type);
    }
    buf_add_c(sql, ") AS ");
    add_name(sql, c->name);
}

static void add_each(struct buf *sql, const struct table_columns *columns,
                     void (*add)(struct buf *sql, const struct table_column *c))
{
    for (uint32_t i = 0; i < columns->count; i++) {
        buf_add_c(sql, i ? ", " : "");
        add(sql, &columns->item[i]);
    }
}

/* One chunk of DESCRIBE: names in the first column, types in the second. */
static void add_described(const struct duckdb_library *d, duckdb_data_chunk chunk, struct arena *a,
                          struct table_columns *out)
{
    idx_t rows = d->data_chunk_get_size(chunk);
    const duckdb_string_t *names = d->vector_get_data(d->data_chunk_get_vector(chunk, 0));
    const duckdb_string_t *types = d->vector_get_data(d->data_chunk_get_vector(chunk, 1));

    for (idx_t i = 0; i < rows; i++) {
        out->item = arena_list_grow(a, out->item, out->count, sizeof *out->item);
        out->item[out->count++] = (struct table_column){ cell(&names[i], a), cell(&types[i], a) };
    }
}

static int describe(struct table_files *t, const struct place *p, struct str table, struct arena *a,
                    struct table_columns *out, struct error *e)
{
    duckdb_result result;
    duckdb_data_chunk chunk;

    buf_clear(&t->sql);
    buf_add_c(&t->sql, "DESCRIBE SELECT * FROM ");
    add_source(&t->sql, p);
    if (query(t, table, &result, e) < 0)
        return -1;
    *out = (struct table_columns){ NULL, 0 };
    while ((chunk = t->duckdb->fetch_chunk(result))) {
        add_described(t->duckdb, chunk, a, out);
        t->duckdb->destroy_data_chunk(&chunk);
    }
    t->duckdb->destroy_result(&result);
    for (uint32_t i = 0; i < out->count; i++)
        if (type_check(&out->item[i], table, e) < 0)
            return -1;
    return 0;
}

int table_files_columns(struct table_files *t, struct str table, struct arena *a,
                        struct table_columns *out, struct error *e)
{
    struct place p = place_of(table);

    if (attach(t, &p, true, e) < 0)
        return -1;
    int rc = describe(t, &p, table, a, out, e);
    struct error ignored;
    (void)detach(t, &p, &ignored);
    return rc;
}

/* ---- Rows ---- */

static int64_t copy_to_csv(struct table_files *t, const struct place *p, struct str table,
                           const char *csv, struct error *e)
{
    struct table_columns columns;
    struct arena a = { 0 };
    int64_t rows = -1;

    if (describe(t, p, table, &a, &columns, e) == 0) {
        buf_clear(&t->sql);
        buf_add_c(&t->sql, "COPY (SELECT ");
        add_each(&t->sql, &columns, add_as_text);
        buf_add_c(&t->sql, " FROM ");
        add_source(&t->sql, p);
        buf_add_c(&t->sql, ") TO ");
        add_text(&t->sql, str_of(csv));
        buf_add_c(&t->sql,
                  " (FORMAT csv, HEADER, DELIMITER ',', QUOTE '\"', ESCAPE '\"', NULLSTR '')");
        rows = run_copy(t, table, e);
    }
    arena_release(&a);
    return rows;
}

int64_t table_files_read(struct table_files *t, struct str table, const char *csv, struct error *e)
{
    struct place p = place_of(table);
    struct error ignored;

    if (attach(t, &p, true, e) < 0)
        return -1;
    int64_t rows = copy_to_csv(t, &p, table, csv, e);
    (void)detach(t, &p, &ignored);
    return rows;
}

static void add_csv_column(struct buf *sql, const struct table_column *c)
{
    add_text(sql, c->name);
    buf_add_c(sql, ": 'VARCHAR'");
}

/* SELECT of typed columns from a CSV of texts. */
static void add_select(struct buf *sql, const char *csv, const struct table_columns *columns)
{
    buf_add_c(sql, "SELECT ");
    add_each(sql, columns, add_from_text);
    buf_add_c(sql, " FROM read_csv(");
    add_text(sql, str_of(csv));
    buf_add_c(sql, ", columns = {");
    add_each(sql, columns, add_csv_column);
    buf_add_c(sql,
              "}, header = true, delim = ',', quote = '\"', escape = '\"', nullstr = '',"
              " allow_quoted_nulls = false, auto_detect = false, max_line_size = " ROW_BYTES_MAX
              ", buffer_size = " BUFFER_BYTES ")");
}

/* Parquet has no 128-bit integers, and the engine would make doubles of them: they become text. */
static struct table_columns parquet_columns(struct arena *a, const struct table_columns *columns)
{
    struct table_columns out = { arena_array(a, columns->count, sizeof *out.item), columns->count };

    for (uint32_t i = 0; i < columns->count; i++) {
        out.item[i] = columns->item[i];
        if (str_find(out.item[i].type, STR("HUGEINT")) != SIZE_MAX)
            out.item[i].type = STR("VARCHAR");
    }
    return out;
}

static int64_t write_parquet(struct table_files *t, const char *csv,
                             const struct table_columns *columns, struct str path, struct error *e)
{
    struct arena a = { 0 };
    struct table_columns typed = parquet_columns(&a, columns);
    char *partial = arena_textf(&a, "%.*s.partial", STR_ARG(path));

    buf_clear(&t->sql);
    buf_add_c(&t->sql, "COPY (");
    add_select(&t->sql, csv, &typed);
    buf_add_c(&t->sql, ") TO ");
    add_text(&t->sql, str_of(partial));
    buf_add_c(&t->sql, " (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 20000)");
    int64_t rows = run_copy(t, path, e);
    int fd = rows < 0 ? -1 : sys_open(partial, O_RDONLY, e);
    if (fd < 0 || sys_sync(fd, partial, e) < 0 ||
        sys_rename(partial, arena_copy(&a, path.p, path.len), e) < 0) {
        (void)unlink(partial);
        rows = -1;
    }
    if (fd >= 0)
        (void)close(fd);
    arena_release(&a);
    return rows;
}

/* DuckDB's own transaction makes the table whole or leaves the old one. */
static int64_t write_table(struct table_files *t, const char *csv,
                           const struct table_columns *columns, struct str table, struct error *e)
{
    struct place p = place_of(table);
    struct error ignored;

    if (attach(t, &p, false, e) < 0)
        return -1;
    buf_clear(&t->sql);
    buf_add_c(&t->sql, "CREATE OR REPLACE TABLE ");
    add_source(&t->sql, &p);
    buf_add_c(&t->sql, " AS ");
    add_select(&t->sql, csv, columns);
    int64_t rows = run_copy(t, table, e);
    int rc = detach(t, &p, rows < 0 ? &ignored : e);
    return rows < 0 || rc < 0 ? -1 : rows;
}

int64_t table_files_write(struct table_files *t, const char *csv,
                          const struct table_columns *columns, struct str table, struct error *e)
{
    if (place_of(table).table.len)
        return write_table(t, csv, columns, table, e);
    return write_parquet(t, csv, columns, table, e);
}
