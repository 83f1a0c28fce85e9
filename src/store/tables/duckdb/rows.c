/* rows.c -- embedded.h: rows of a table or a SELECT, streamed in constant memory.
 *
 * Why: a streaming result owns its connection and holds the snapshot in which it began: what happens to the table
 *      meanwhile does not matter.
 */
#include <assert.h>

#include "base/thread.h"
#include "store/tables/duckdb/embedded.h"
#include "store/tables/duckdb/engine.h"

#define BATCH_BYTES                                                                                \
    ((size_t)4 * 1024 * 1024) /* of values; a batch with bigger rows has fewer of them */
#define SLICE_ROWS 64         /* the size of a batch is checked after each slice */

struct tables_rows {
    struct project *project;
    struct connection connection;
    duckdb_prepared_statement statement;
    duckdb_result result;
    bool open; /* result is to be destroyed */
    duckdb_data_chunk chunk;
    uint32_t at, in_chunk; /* rows of the chunk: given out, there */
    struct shape *shape;
    uint32_t columns;
    struct arena arena;
};

/* ---- Open ---- */

static int begin(struct tables_rows *r, struct error *e)
{
    const struct duckdb_library *d = r->connection.duckdb;
    struct connection *c = &r->connection;
    duckdb_pending_result pending = NULL;

    buf_add_char(&c->sql, '\0');
    if (!buf_ok(&c->sql))
        return error_set(e, ERROR_RESOURCE_EXHAUSTED, "The statement of SQL is too long.");
    if (d->prepare(c->handle, c->sql.p, &r->statement) != DuckDBSuccess)
        return connection_error(e, DUCKDB_ERROR_BINDER, d->prepare_error(r->statement));
    int rc = -1;
    if (d->pending_prepared_streaming(r->statement, &pending) != DuckDBSuccess)
        (void)connection_error(e, DUCKDB_ERROR_INVALID, d->pending_error(pending));
    else if (d->execute_pending(pending, &r->result) != DuckDBSuccess)
        (void)connection_error(e, d->result_error_type(&r->result), d->result_error(&r->result));
    else
        rc = 0;
    r->open = true;
    d->destroy_pending(&pending);
    return rc;
}

static int look(struct tables_rows *r, struct error *e)
{
    const struct duckdb_library *d = r->connection.duckdb;

    r->columns = (uint32_t)d->column_count(&r->result);
    r->shape = arena_array(&r->arena, r->columns, sizeof *r->shape);
    for (uint32_t i = 0; i < r->columns; i++) {
        struct str name = str_of(d->column_name(&r->result, i));
        name.p = arena_copy(&r->arena, name.p, name.len);
        if (shape_of(d, d->column_logical_type(&r->result, i), name, &r->arena, &r->shape[i], e) <
            0)
            return -1;
    }
    return 0;
}

/* The rows of c->sql. The connection goes to them, also when this fails: then p is left. */
static struct tables_rows *rows_of_select(struct project *p, struct connection *c, struct error *e)
{
    struct tables_rows *r = mem_alloc(sizeof *r);

    r->project = p;
    r->connection = *c;
    *c = (struct connection){ .handle = NULL };
    if (begin(r, e) == 0 && look(r, e) == 0)
        return r;
    table_rows_close(r);
    return NULL;
}

/* ---- Tables ---- */

/* The path "a.b" of a record's field: the record with that field alone. */
static int add_selected(struct buf *sql, const struct bq_schema *all, struct str path,
                        struct arena *a, struct bq_field *out, struct error *e)
{
    size_t dot = str_find(path, STR("."));
    struct str name = str_sub(path, 0, dot == SIZE_MAX ? path.len : dot);
    const struct bq_field *f = bq_schema_find(all, name);

    if (!f)
        return error_set(e, ERROR_INVALID_ARGUMENT, "No such field: %.*s", STR_ARG(path));
    *out = *f;
    if (dot == SIZE_MAX || f->type != BQ_RECORD || f->mode == BQ_REPEATED) {
        sql_name(sql, f->name);
        return 0;
    }
    struct bq_schema inner = { f->fields, f->field_count };
    struct bq_field *part = arena_alloc(a, sizeof *part);
    const struct bq_field *g = bq_schema_find(&inner, str_sub(path, dot + 1, path.len));
    if (!g)
        return error_set(e, ERROR_INVALID_ARGUMENT, "No such field: %.*s", STR_ARG(path));
    *part = *g;
    out->fields = part;
    out->field_count = 1;
    buf_add_c(sql, "CASE WHEN ");
    sql_name(sql, f->name);
    buf_add_c(sql, " IS NULL THEN NULL ELSE struct_pack(");
    sql_name(sql, g->name);
    buf_add_c(sql, " := ");
    sql_name(sql, f->name);
    buf_add_char(sql, '.');
    sql_name(sql, g->name);
    buf_add_c(sql, ") END AS ");
    sql_name(sql, f->name);
    return 0;
}

static int add_columns(struct buf *sql, const struct tables_read *r, const struct bq_schema *all,
                       struct arena *a, struct bq_schema *out, struct error *e)
{
    uint32_t count = r->columns ? r->column_count : all->count;

    *out = (struct bq_schema){ arena_array(a, count, sizeof *out->field), count };
    for (uint32_t i = 0; i < count; i++) {
        buf_add_c(sql, i ? ", " : "");
        struct str path = r->columns ? r->columns[i] : all->field[i].name;
        if (!r->columns) {
            out->field[i] = all->field[i];
            sql_name(sql, path);
        } else if (add_selected(sql, all, path, a, &out->field[i], e) < 0) {
            return -1;
        }
    }
    return 0;
}

static int find(struct project *p, const struct tables_name *name, struct arena *a,
                struct table_row *row, struct error *e)
{
    lock(&p->lock);
    int rc = catalog_need_table(p, name, a, row, e);
    unlock(&p->lock);
    return rc;
}

/* A table that is being opened. */
struct opening {
    struct project *project;
    const struct tables_read *r;
    struct table_row row;
    struct connection connection;
    struct arena *arena; /* of the schema */
};

/* Rows lie in the order in which they were written; of a table without columns there are none. */
static int write_select(struct opening *o, struct bq_schema *schema, struct error *e)
{
    struct connection *c = &o->connection;

    sql_start(c, "SELECT ");
    if (add_columns(&c->sql, o->r, &o->row.t.schema, o->arena, schema, e) < 0)
        return -1;
    if (!schema->count) {
        sql_addf(c, "1 LIMIT 0");
        return 0;
    }
    sql_addf(c, " FROM ");
    catalog_add_path(o->project, &c->sql, o->row.dataset_physical, o->row.physical);
    if (o->r->limit)
        sql_addf(c, " LIMIT %lld", (long long)o->r->limit);
    if (o->r->start)
        sql_addf(c, " OFFSET %lld", (long long)o->r->start);
    return 0;
}

struct tables_rows *table_rows_open(struct tables *t, const struct tables_read *r, struct arena *a,
                                    struct bq_schema *schema, struct error *e)
{
    struct project *p = project_enter(embedded_of(t), r->name.project, false, e);
    struct opening o = { .project = p, .r = r, .arena = a };

    if (!p) {
        if (e->code == ERROR_NOT_FOUND)
            (void)not_found(e, &r->name);
        return NULL;
    }
    int rc = find(p, &r->name, a, &o.row, e);
    if (rc == 0)
        rc = project_connect(p, &o.connection, e);
    if (rc == 0)
        rc = write_select(&o, schema, e);
    if (rc == 0)
        return rows_of_select(p, &o.connection, e);
    project_disconnect(p, &o.connection);
    project_leave(p);
    return NULL;
}

/* ---- Batches ---- */

/* 1: the chunk has rows that were not given out; 0: the end. */
static int fetch(struct tables_rows *r, struct error *e)
{
    const struct duckdb_library *d = r->connection.duckdb;

    while (r->at == r->in_chunk) {
        if (r->chunk)
            d->destroy_data_chunk(&r->chunk);
        r->chunk = d->fetch_chunk(r->result);
        if (!r->chunk) {
            const char *said = d->result_error(&r->result);
            return said ? connection_error(e, d->result_error_type(&r->result), said) : 0;
        }
        r->at = 0;
        r->in_chunk = (uint32_t)d->data_chunk_get_size(r->chunk);
    }
    return 1;
}

int table_rows_next(struct tables_rows *r, struct arena *a, struct bq_batch *out, struct error *e)
{
    int found = fetch(r, e);
    size_t begun = a->bytes;

    if (found <= 0)
        return found;
    uint32_t left = r->in_chunk - r->at, rows = 0;
    uint32_t most = left < TABLES_BATCH_ROWS ? left : TABLES_BATCH_ROWS;
    struct bq_cell *cell = arena_array(a, (size_t)most * r->columns, sizeof *cell);
    while (rows < most && (rows == 0 || a->bytes - begun < BATCH_BYTES)) {
        uint32_t slice = most - rows < SLICE_ROWS ? most - rows : SLICE_ROWS;
        const struct part part = { r->connection.duckdb, r->chunk, r->at + rows, slice };
        if (vectors_read(&part, r->shape, r->columns, a, cell + (size_t)rows * r->columns, e) < 0)
            return -1;
        rows += slice;
    }
    r->at += rows;
    *out = (struct bq_batch){ cell, rows, r->columns };
    return 1;
}

void table_rows_close(struct tables_rows *r)
{
    if (!r)
        return;
    const struct duckdb_library *d = r->connection.duckdb;
    if (r->chunk)
        d->destroy_data_chunk(&r->chunk);
    if (r->open)
        d->destroy_result(&r->result);
    if (r->statement)
        d->destroy_prepare(&r->statement);
    project_disconnect(r->project, &r->connection);
    project_leave(r->project);
    arena_release(&r->arena);
    mem_free(r);
}
