/* files.c -- table_files.h by DuckDB: each call is one or two statements that the engine runs on files. */
#include <assert.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/sys.h"
#include "base/unpack.h"
#include "store/tables/duckdb/engine.h"

#define ROW_BYTES_MAX "33554432" /* of a row of CSV; the engine allocates a buffer for two */
#define BUFFER_BYTES "67108864"
bool table_file_is(struct str name)
{
    struct place p = place_of(name);

    return p.table.len || p.kind == &table_kinds[TABLE_PARQUET];
}

bool table_file_is_readable(struct str name)
{
    struct place p = place_of(name);

    return p.table.len || p.kind;
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
    sql_name(sql, c->name);
    if (!str_eq_c(c->type, "BLOB"))
        buf_add_c(sql,
                  is_nested(c->type) && is_exact_in_json(c->type) ? ") AS VARCHAR" : " AS VARCHAR");
    buf_add_c(sql, ") AS ");
    sql_name(sql, c->name);
}

static void add_from_text(struct buf *sql, const struct table_column *c)
{
    if (str_eq_c(c->type, "BLOB")) {
        buf_add_c(sql, "from_base64(");
        sql_name(sql, c->name);
    } else {
        buf_add_c(sql, is_nested(c->type) && is_exact_in_json(c->type) ? "CAST(CAST(" : "CAST(");
        sql_name(sql, c->name);
        buf_add_c(sql, is_nested(c->type) && is_exact_in_json(c->type) ? " AS JSON) AS " : " AS ");
        buf_add_str(sql, c->type);
    }
    buf_add_c(sql, ") AS ");
    sql_name(sql, c->name);
}

static void add_each(struct buf *sql, const struct table_columns *columns,
                     void (*add)(struct buf *sql, const struct table_column *c))
{
    for (uint32_t i = 0; i < columns->count; i++) {
        buf_add_c(sql, i ? ", " : "");
        add(sql, &columns->item[i]);
    }
}

/* One chunk of two columns of text: names, and types. */
static void add_described(const struct duckdb_library *d, duckdb_data_chunk chunk, struct arena *a,
                          struct table_columns *out)
{
    idx_t rows = d->data_chunk_get_size(chunk);
    const duckdb_string_t *names = d->vector_get_data(d->data_chunk_get_vector(chunk, 0));
    const duckdb_string_t *types = d->vector_get_data(d->data_chunk_get_vector(chunk, 1));

    for (idx_t i = 0; i < rows; i++) {
        out->item = arena_list_grow(a, out->item, out->count, sizeof *out->item);
        out->item[out->count++] =
            (struct table_column){ engine_text(&names[i], a), engine_text(&types[i], a) };
    }
}

static int describe(struct table_files *t, const struct place *p, struct str table, struct arena *a,
                    struct table_columns *out, struct error *e)
{
    duckdb_result result = { 0 };
    duckdb_data_chunk chunk;

    buf_clear(&t->sql);
    buf_add_c(&t->sql, "DESCRIBE SELECT * FROM ");
    sql_source(&t->sql, p);
    if (engine_query(t, table, &result, e) < 0)
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

    if (engine_attach(t, &p, true, e) < 0)
        return -1;
    int rc = describe(t, &p, table, a, out, e);
    struct error ignored;
    (void)engine_detach(t, &p, &ignored);
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
        sql_source(&t->sql, p);
        buf_add_c(&t->sql, ") TO ");
        sql_text(&t->sql, str_of(csv));
        buf_addf(&t->sql, " (%s, USE_TMP_FILE false)", table_kinds[TABLE_CSV].writer);
        rows = engine_copy(t, table, e);
    }
    arena_release(&a);
    return rows;
}

int64_t table_files_read(struct table_files *t, struct str table, const char *csv, struct error *e)
{
    struct place p = place_of(table);
    struct error ignored;

    if (engine_attach(t, &p, true, e) < 0)
        return -1;
    int64_t rows = copy_to_csv(t, &p, table, csv, e);
    (void)engine_detach(t, &p, &ignored);
    return rows;
}

static void add_csv_column(struct buf *sql, const struct table_column *c)
{
    sql_text(sql, c->name);
    buf_add_c(sql, ": 'VARCHAR'");
}

/* SELECT of typed columns from a CSV of texts. */
static void add_select(struct buf *sql, const char *csv, const struct table_columns *columns)
{
    buf_add_c(sql, "SELECT ");
    add_each(sql, columns, add_from_text);
    buf_add_c(sql, " FROM read_csv(");
    sql_text(sql, str_of(csv));
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

/* Runs what t->sql begins, into a file of that kind: whole under its name, or not there. */
static int64_t copy_to_file(struct table_files *t, struct str path, const struct kind *kind,
                            struct error *e)
{
    struct arena a = { 0 };
    static const char *const endings[] = { "", ".gz", ".zst" };
    const char *packed = endings[packing_of_name(path, NULL)];
    char *partial = arena_textf(&a, "%.*s.partial%s", STR_ARG(path), packed);

    buf_add_c(&t->sql, " TO ");
    sql_text(&t->sql, str_of(partial));
    buf_addf(&t->sql, " (%s)", kind->writer);
    int64_t rows = engine_copy(t, path, e);
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

static int64_t write_parquet(struct table_files *t, const char *csv,
                             const struct table_columns *columns, struct str path, struct error *e)
{
    struct arena a = { 0 };
    struct table_columns typed = parquet_columns(&a, columns);

    buf_clear(&t->sql);
    buf_add_c(&t->sql, "COPY (");
    add_select(&t->sql, csv, &typed);
    buf_add_c(&t->sql, ")");
    int64_t rows = copy_to_file(t, path, &table_kinds[TABLE_PARQUET], e);
    arena_release(&a);
    return rows;
}

/* DuckDB's own transaction makes the table whole or leaves the old one. */
static int64_t write_table(struct table_files *t, const char *csv,
                           const struct table_columns *columns, struct str table, struct error *e)
{
    struct place p = place_of(table);
    struct error ignored;

    if (engine_attach(t, &p, false, e) < 0)
        return -1;
    buf_clear(&t->sql);
    buf_add_c(&t->sql, "CREATE OR REPLACE TABLE ");
    sql_source(&t->sql, &p);
    buf_add_c(&t->sql, " AS ");
    add_select(&t->sql, csv, columns);
    int64_t rows = engine_copy(t, table, e);
    int rc = engine_detach(t, &p, rows < 0 ? &ignored : e);
    return rows < 0 || rc < 0 ? -1 : rows;
}

int64_t table_files_write(struct table_files *t, const char *csv,
                          const struct table_columns *columns, struct str table, struct error *e)
{
    if (place_of(table).table.len)
        return write_table(t, csv, columns, table, e);
    return write_parquet(t, csv, columns, table, e);
}

/* ---- One file to another ---- */

/* CSV, TSV and JSON Lines get the texts of the cells, so that nothing of a value is lost. */
static void add_rows(struct table_files *t, const struct place *from, const struct place *to,
                     const struct table_columns *columns)
{
    bool as_text = to->kind && str_starts(str_of(to->kind->writer), STR("FORMAT csv"));

    buf_add_c(&t->sql, "SELECT ");
    if (as_text)
        add_each(&t->sql, columns, add_as_text);
    else
        buf_add_c(&t->sql, "*");
    buf_add_c(&t->sql, " FROM ");
    sql_source(&t->sql, from);
}

static int64_t copy_attached(struct table_files *t, const struct place *from,
                             const struct place *to, struct str what, struct error *e)
{
    struct table_columns columns;
    struct arena a = { 0 };
    int64_t rows = -1;

    if (describe(t, from, what, &a, &columns, e) == 0) {
        buf_clear(&t->sql);
        buf_add_c(&t->sql, to->kind ? "COPY (" : "CREATE OR REPLACE TABLE ");
        if (!to->kind) {
            sql_source(&t->sql, to);
            buf_add_c(&t->sql, " AS ");
        }
        add_rows(t, from, to, &columns);
        buf_add_c(&t->sql, to->kind ? ")" : "");
        rows = to->kind ? copy_to_file(t, to->file, to->kind, e) : engine_copy(t, what, e);
    }
    arena_release(&a);
    return rows;
}

int64_t table_files_copy(struct table_files *t, struct str from, struct str to, struct error *e)
{
    struct place source = place_of(from), target = place_of(to);
    const struct place *duckdb = target.table.len ? &target : &source;
    struct error ignored;

    assert(table_file_is_readable(from) && table_file_is_readable(to));
    if (source.table.len && target.table.len && !str_eq(source.file, target.file))
        return error_set(
            e, ERROR_UNIMPLEMENTED,
            "From one DuckDB file to another: copy to a .parquet file, and from there.");
    if (engine_attach(t, duckdb, !target.table.len, e) < 0)
        return -1;
    int64_t rows = copy_attached(t, &source, &target, from, e);
    int rc = engine_detach(t, duckdb, rows < 0 ? &ignored : e);
    return rows < 0 || rc < 0 ? -1 : rows;
}

/* ---- What there is ---- */

static bool is_null(const uint64_t *validity, idx_t row)
{
    return validity && !(validity[row / 64] >> (row % 64) & 1);
}

static void add_head(const struct duckdb_library *d, duckdb_data_chunk chunk, struct arena *a,
                     struct table_head *out)
{
    uint32_t columns = out->columns.count, rows = (uint32_t)d->data_chunk_get_size(chunk);

    out->cell = arena_grow(a, out->cell, sizeof *out->cell * columns * out->rows,
                           sizeof *out->cell * columns * (out->rows + rows));
    for (uint32_t c = 0; c < columns; c++) {
        duckdb_vector vector = d->data_chunk_get_vector(chunk, c);
        const duckdb_string_t *texts = d->vector_get_data(vector);
        const uint64_t *validity = d->vector_get_validity(vector);
        for (uint32_t r = 0; r < rows; r++)
            out->cell[(out->rows + r) * columns + c] =
                is_null(validity, r) ? (struct str){ NULL, 0 } : engine_text(&texts[r], a);
    }
    out->rows += rows;
}

static int head_attached(struct table_files *t, struct str table, uint32_t rows_max,
                         struct arena *a, struct table_head *out, struct error *e)
{
    struct place p = place_of(table);
    duckdb_result result = { 0 };
    duckdb_data_chunk chunk;

    if (describe(t, &p, table, a, &out->columns, e) < 0)
        return -1;
    buf_clear(&t->sql);
    buf_add_c(&t->sql, "SELECT ");
    add_each(&t->sql, &out->columns, add_as_text);
    buf_add_c(&t->sql, " FROM ");
    sql_source(&t->sql, &p);
    buf_addf(&t->sql, " LIMIT %u", rows_max);
    if (engine_query(t, table, &result, e) < 0)
        return -1;
    while ((chunk = t->duckdb->fetch_chunk(result))) {
        add_head(t->duckdb, chunk, a, out);
        t->duckdb->destroy_data_chunk(&chunk);
    }
    t->duckdb->destroy_result(&result);
    return 0;
}

int table_files_head(struct table_files *t, struct str table, uint32_t rows_max, struct arena *a,
                     struct table_head *out, struct error *e)
{
    struct place p = place_of(table);
    struct error ignored;

    assert(rows_max <= TABLE_HEAD_MAX);
    *out = (struct table_head){ .rows = 0 };
    if (engine_attach(t, &p, true, e) < 0)
        return -1;
    int rc = head_attached(t, table, rows_max, a, out, e);
    (void)engine_detach(t, &p, &ignored);
    return rc;
}

int table_files_list(struct table_files *t, struct str file, struct arena *a,
                     struct table_columns *out, struct error *e)
{
    struct place p = { .file = file, .table = STR("-") };
    duckdb_result result = { 0 };
    duckdb_data_chunk chunk;
    struct error ignored;

    *out = (struct table_columns){ NULL, 0 };
    if (engine_attach(t, &p, true, e) < 0)
        return -1;
    buf_clear(&t->sql);
    buf_add_c(&t->sql, "SELECT table_schema || '.' || table_name, lower(table_type) FROM"
                       " information_schema.tables WHERE table_catalog = 'file' ORDER BY ALL");
    int rc = engine_query(t, file, &result, e);
    while (rc == 0 && (chunk = t->duckdb->fetch_chunk(result))) {
        add_described(t->duckdb, chunk, a, out);
        t->duckdb->destroy_data_chunk(&chunk);
    }
    if (rc == 0)
        t->duckdb->destroy_result(&result);
    (void)engine_detach(t, &p, &ignored);
    return rc;
}
