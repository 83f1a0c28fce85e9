#include "store/tables/duckdb/connection.h"

#include <stdarg.h>
#include <stdio.h>

#include "store/tables/duckdb/engine.h"

#define SQL_BYTES_MAX                                                                              \
    ((size_t)64 * 1024 * 1024) /* a statement holds a schema, a job's resource, a view */

int connection_open(struct connection *c, const struct duckdb_library *d, duckdb_database database,
                    struct error *e)
{
    *c = (struct connection){ .duckdb = d, .sql = BUF_INIT(SQL_BYTES_MAX) };
    if (d->connect(database, &c->handle) == DuckDBSuccess)
        return 0;
    c->handle = NULL;
    return error_set(e, ERROR_INTERNAL, "The table engine gives no connection.");
}

void connection_close(struct connection *c)
{
    if (c->handle)
        c->duckdb->disconnect(&c->handle);
    c->handle = NULL;
    buf_release(&c->sql);
}

/* ---- Texts ---- */

static void add_formatted(struct buf *out, const char *fmt, va_list list)
{
    char small[512];
    va_list again;

    va_copy(again, list);
    int n = vsnprintf(small, sizeof small, fmt, list);
    if (n < (int)sizeof small) {
        buf_add(out, small, (size_t)n);
    } else {
        char *big = mem_alloc((size_t)n + 1);
        (void)vsnprintf(big, (size_t)n + 1, fmt, again);
        buf_add(out, big, (size_t)n);
        mem_free(big);
    }
    va_end(again);
}

void sql_start(struct connection *c, const char *fmt, ...)
{
    va_list list;

    buf_clear(&c->sql);
    va_start(list, fmt);
    add_formatted(&c->sql, fmt, list);
    va_end(list);
}

void sql_addf(struct connection *c, const char *fmt, ...)
{
    va_list list;

    va_start(list, fmt);
    add_formatted(&c->sql, fmt, list);
    va_end(list);
}

void sql_add_name(struct connection *c, struct str name)
{
    sql_name(&c->sql, name);
}

void sql_add_text(struct connection *c, struct str text)
{
    sql_text(&c->sql, text);
}

/* ---- Statements ---- */

static int query(struct connection *c, duckdb_result *out, struct error *e)
{
    buf_add_char(&c->sql, '\0');
    if (!buf_ok(&c->sql))
        return error_set(e, ERROR_RESOURCE_EXHAUSTED, "A statement of SQL is over %zu bytes.",
                         SQL_BYTES_MAX);
    if (c->duckdb->query(c->handle, c->sql.p, out) == DuckDBSuccess)
        return 0;
    int rc = connection_error(e, c->duckdb->result_error_type(out), c->duckdb->result_error(out));
    c->duckdb->destroy_result(out);
    return rc;
}

int64_t sql_run(struct connection *c, struct error *e)
{
    duckdb_result result = { 0 };

    if (query(c, &result, e) < 0)
        return -1;
    int64_t changed = (int64_t)c->duckdb->rows_changed(&result);
    c->duckdb->destroy_result(&result);
    return changed;
}

int sql_run_c(struct connection *c, const char *sql, struct error *e)
{
    sql_start(c, "%s", sql);
    return sql_run(c, e) < 0 ? -1 : 0;
}

static int add_chunk(struct connection *c, duckdb_data_chunk chunk, const struct shape *shape,
                     struct arena *a, struct grid *out, struct error *e)
{
    uint32_t rows = (uint32_t)c->duckdb->data_chunk_get_size(chunk);
    size_t row_bytes = sizeof *out->cell * out->columns;

    out->cell = arena_grow(a, out->cell, row_bytes * out->rows, row_bytes * (out->rows + rows));
    const struct part all = { c->duckdb, chunk, 0, rows };
    if (vectors_read(&all, shape, out->columns, a, out->cell + (size_t)out->rows * out->columns,
                     e) < 0)
        return -1;
    out->rows += rows;
    return 0;
}

int grid_of_result(struct connection *c, duckdb_result *result, uint32_t rows_max, struct arena *a,
                   struct grid *out, struct error *e)
{
    const struct duckdb_library *d = c->duckdb;
    duckdb_data_chunk chunk;
    int rc = 0;

    *out = (struct grid){ .columns = (uint32_t)d->column_count(result) };
    struct shape *shape = arena_array(a, out->columns, sizeof *shape);
    for (uint32_t i = 0; i < out->columns && rc == 0; i++)
        rc = shape_of(d, d->column_logical_type(result, i), STR("?"), a, &shape[i], e);
    while (rc == 0 && (chunk = d->fetch_chunk(*result))) {
        rc = add_chunk(c, chunk, shape, a, out, e);
        d->destroy_data_chunk(&chunk);
        if (rc == 0 && out->rows > rows_max)
            rc = error_set(e, ERROR_RESOURCE_EXHAUSTED, "A query of a script gives over %u rows.",
                           rows_max);
    }
    return rc;
}

int sql_fetch(struct connection *c, struct arena *a, struct grid *out, struct error *e)
{
    duckdb_result result = { 0 };

    if (query(c, &result, e) < 0)
        return -1;
    int rc = grid_of_result(c, &result, UINT32_MAX, a, out, e);
    c->duckdb->destroy_result(&result);
    return rc;
}

int64_t cell_number(struct bq_cell c)
{
    bool negative = c.text.len && c.text.p[0] == '-';
    uint64_t v = 0;

    if (c.null || !str_number(negative ? str_sub(c.text, 1, c.text.len) : c.text, &v))
        return 0;
    return (int64_t)(negative ? 0 - v : v);
}

int sql_fetch_number(struct connection *c, int64_t none, int64_t *out, struct error *e)
{
    struct arena a = { 0 };
    struct grid found;
    int rc = sql_fetch(c, &a, &found, e);

    if (rc == 0)
        *out = found.rows && !found.cell[0].null ? cell_number(found.cell[0]) : none;
    arena_release(&a);
    return rc;
}

int sql_begin(struct connection *c, struct error *e)
{
    return sql_run_c(c, "BEGIN TRANSACTION", e);
}

int sql_end(struct connection *c, int rc, struct error *e)
{
    struct error ignored;

    if (rc == 0 && sql_run_c(c, "COMMIT", e) == 0)
        return 0;
    (void)!sql_run_c(c, "ROLLBACK", &ignored); /* a failed COMMIT has rolled back itself */
    return -1;
}
