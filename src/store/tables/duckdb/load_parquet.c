/* load_parquet.c -- load.h: rows of a Parquet file, by an engine of its own. */
#include "store/tables/duckdb/engine.h"
#include "store/tables/duckdb/load.h"

struct parquet {
    struct table_files *engine;
    duckdb_prepared_statement statement;
    duckdb_result result;
    bool open;
    struct shape *shape;
    uint32_t columns, at, in_chunk;
    duckdb_data_chunk chunk;
};

static int failed(const char *path, duckdb_error_type type, const char *said, struct error *e)
{
    (void)connection_error(e, type, said);
    (void)path;
    return error_wrap(e, "Error while reading data, error message: Parquet file");
}

static int begin(struct parquet *f, const char *path, struct error *e)
{
    const struct duckdb_library *d = f->engine->duckdb;
    struct buf *sql = &f->engine->sql;
    duckdb_pending_result pending = NULL;

    buf_clear(sql);
    buf_add_c(sql, "SELECT * FROM read_parquet(");
    sql_text(sql, str_of(path));
    buf_add(sql, ")", 2); /* with its NUL */
    if (d->prepare(f->engine->connection, sql->p, &f->statement) != DuckDBSuccess)
        return failed(path, DUCKDB_ERROR_INVALID, d->prepare_error(f->statement), e);
    int rc = -1;
    if (d->pending_prepared_streaming(f->statement, &pending) != DuckDBSuccess)
        (void)failed(path, DUCKDB_ERROR_INVALID, d->pending_error(pending), e);
    else if (d->execute_pending(pending, &f->result) != DuckDBSuccess)
        (void)failed(path, d->result_error_type(&f->result), d->result_error(&f->result), e);
    else
        rc = 0;
    f->open = true;
    d->destroy_pending(&pending);
    return rc;
}

static int look(struct parquet *f, struct arena *a, struct bq_schema *schema, struct error *e)
{
    const struct duckdb_library *d = f->engine->duckdb;

    f->columns = (uint32_t)d->column_count(&f->result);
    f->shape = arena_array(a, f->columns, sizeof *f->shape);
    for (uint32_t i = 0; i < f->columns; i++) {
        struct str name = str_of(d->column_name(&f->result, i));
        name.p = arena_copy(a, name.p, name.len);
        if (shape_of(d, d->column_logical_type(&f->result, i), name, a, &f->shape[i], e) < 0)
            return -1;
    }
    *schema = shapes_schema(a, f->shape, f->columns);
    return 0;
}

struct parquet *parquet_open(const char *scratch, const char *path, struct arena *a,
                             struct bq_schema *schema, struct error *e)
{
    struct parquet *f = mem_alloc(sizeof *f);

    f->engine = table_files_open(scratch, e);
    if (f->engine && begin(f, path, e) == 0 && look(f, a, schema, e) == 0)
        return f;
    parquet_close(f);
    return NULL;
}

int parquet_next(struct parquet *f, struct arena *a, struct bq_batch *out, struct error *e)
{
    const struct duckdb_library *d = f->engine->duckdb;

    while (f->at == f->in_chunk) {
        if (f->chunk)
            d->destroy_data_chunk(&f->chunk);
        f->chunk = d->fetch_chunk(f->result);
        if (!f->chunk) {
            const char *said = d->result_error(&f->result);
            return said ? failed("", d->result_error_type(&f->result), said, e) : 0;
        }
        f->at = 0;
        f->in_chunk = (uint32_t)d->data_chunk_get_size(f->chunk);
    }
    uint32_t rows = f->in_chunk - f->at;
    struct bq_cell *cell = arena_array(a, (size_t)rows * f->columns, sizeof *cell);
    const struct part part = { d, f->chunk, f->at, rows };
    if (vectors_read(&part, f->shape, f->columns, a, cell, e) < 0)
        return -1;
    f->at += rows;
    *out = (struct bq_batch){ cell, rows, f->columns };
    return 1;
}

void parquet_close(struct parquet *f)
{
    if (!f)
        return;
    if (f->engine) {
        const struct duckdb_library *d = f->engine->duckdb;
        if (f->chunk)
            d->destroy_data_chunk(&f->chunk);
        if (f->open)
            d->destroy_result(&f->result);
        if (f->statement)
            d->destroy_prepare(&f->statement);
    }
    table_files_close(f->engine);
    mem_free(f);
}
