/* writer.c -- embedded.h: rows into a hidden table, in batches that are durable with their position.
 *
 * Why: a job writes for hours. After a crash its writer goes on behind the last batch that was committed, which
 *      the record `_tranche.writer` says in the same transaction (I1).
 */
#include <assert.h>

#include "base/thread.h"
#include "store/tables/duckdb/load.h"

#define ADD_BYTES (UINT64_C(4) * 1024 * 1024)

struct tables_writer {
    struct project *project;
    struct connection connection;
    struct arena arena;
    struct tables_into into;
    struct bq_schema schema;
    struct str key, dataset_physical, hidden;
    duckdb_data_chunk chunk;
    duckdb_appender appender; /* of writer_add, until the commit, with its transaction */
    uint64_t waiting_bytes;   /* of rows that the appender holds */
};

/* ---- Open ---- */

static struct str keep(struct arena *a, struct str s)
{
    return (struct str){ arena_copy(a, s.p, s.len), s.len };
}

static struct tables_writer *writer_new(struct project *p, const struct tables_write *w)
{
    struct tables_writer *out = mem_alloc(sizeof *out);
    struct arena *a = &out->arena;

    out->project = p;
    out->into = w->into;
    out->into.name =
        (struct tables_name){ keep(a, w->into.name.project), keep(a, w->into.name.dataset),
                              keep(a, w->into.name.table) };
    out->into.options = keep(a, w->into.options);
    out->schema = bq_schema_copy(a, &w->schema);
    out->key = keep(a, w->key);
    return out;
}

/* One record of a hidden table, with p->lock held. */
static int find_record(struct tables_writer *w, int64_t *position, struct str *columns,
                       struct error *e)
{
    struct connection *c = &w->project->meta;
    struct grid found;

    sql_start(c, "SELECT physical, position, columns FROM _tranche.writer WHERE dataset = ");
    sql_add_text(c, w->into.name.dataset);
    sql_addf(c, " AND key = ");
    sql_add_text(c, w->key);
    if (sql_fetch(c, &w->arena, &found, e) < 0)
        return -1;
    if (!found.rows || !w->key.len)
        return 0;
    w->hidden = found.cell[0].text;
    *position = cell_number(found.cell[1]);
    *columns = found.cell[2].text;
    return 1;
}

static int make_hidden(struct project *p, void *arg, struct error *e)
{
    struct tables_writer *w = arg;
    struct connection *c = &p->meta;

    sql_start(c, "CREATE TABLE ");
    catalog_add_path(p, &c->sql, w->dataset_physical, w->hidden);
    catalog_add_columns(&c->sql, &w->schema, NULL);
    if (sql_run(c, e) < 0)
        return -1;
    sql_start(c, "INSERT INTO _tranche.writer VALUES (");
    sql_add_text(c, w->key);
    sql_addf(c, ", ");
    sql_add_text(c, w->into.name.dataset);
    sql_addf(c, ", ");
    sql_add_text(c, w->hidden);
    sql_addf(c, ", ");
    sql_add_text(c, schema_text(&w->arena, &w->schema));
    sql_addf(c, ", 0, %lld)", (long long)project_now_ms(p));
    return sql_run(c, e) < 0 ? -1 : 0;
}

/* The hidden table of an earlier writer with this key, when it has the same columns; else a new one. */
static int find_or_make(struct tables_writer *w, bool resume, int64_t *position, struct error *e)
{
    struct project *p = w->project;
    struct str columns;

    *position = 0;
    lock(&p->lock);
    int found = find_record(w, position, &columns, e);
    unlock(&p->lock);
    if (found < 0)
        return -1;
    if (found && resume && str_eq(columns, schema_text(&w->arena, &w->schema)))
        return 0;
    if (found)
        hidden_drop(p, w->dataset_physical, w->hidden);
    *position = 0;
    if (hidden_name(&w->arena, &w->hidden, e) < 0)
        return -1;
    return project_change(p, make_hidden, w, e);
}

static void make_chunk(struct tables_writer *w)
{
    const struct duckdb_library *d = w->project->duckdb;
    duckdb_logical_type *type =
        arena_array(&w->arena, w->schema.count, sizeof(duckdb_logical_type));

    for (uint32_t i = 0; i < w->schema.count; i++)
        type[i] = vectors_type(d, &w->schema.field[i]);
    w->chunk = d->create_data_chunk(type, w->schema.count);
    for (uint32_t i = 0; i < w->schema.count; i++)
        d->destroy_logical_type(&type[i]);
}

static int check_columns(const struct bq_schema *schema, struct error *e)
{
    if (schema->count)
        return 0;
    return error_set(e, ERROR_INVALID_ARGUMENT, "No schema specified on job or table.");
}

struct tables_writer *writer_open(struct tables *t, const struct tables_write *w, int64_t *position,
                                  struct error *e)
{
    struct dataset_row d;

    if (tables_table_check(w->into.name.table, e) < 0 || check_columns(&w->schema, e) < 0)
        return NULL;
    struct project *p = project_enter(embedded_of(t), w->into.name.project, false, e);
    if (!p) {
        struct tables_name dataset = { w->into.name.project, w->into.name.dataset, { NULL, 0 } };
        if (e->code == ERROR_NOT_FOUND)
            (void)not_found(e, &dataset);
        return NULL;
    }
    struct tables_writer *out = writer_new(p, w);
    int rc = publish_check(p, &out->into, &out->schema, &out->arena, &d, e);
    out->dataset_physical = d.physical;
    if (rc == 0)
        rc = find_or_make(out, w->resume, position, e);
    if (rc == 0)
        rc = project_connect(p, &out->connection, e);
    if (rc == 0) {
        make_chunk(out);
        return out;
    }
    writer_close(out, w->resume);
    return NULL;
}

/* ---- Rows ---- */

static int appender_failed(struct tables_writer *w, duckdb_appender appender, struct error *e)
{
    const struct duckdb_library *d = w->project->duckdb;
    duckdb_error_data said = d->appender_error_data(appender);

    (void)connection_error(e, d->error_data_error_type(said), d->error_data_message(said));
    d->destroy_error_data(&said);
    return -1;
}

static int append_chunks(struct tables_writer *w, duckdb_appender appender,
                         const struct bq_batch *batch, struct error *e)
{
    const struct duckdb_library *d = w->project->duckdb;
    uint32_t most = (uint32_t)d->vector_size();

    for (uint32_t at = 0; at < batch->rows;) {
        uint32_t rows = batch->rows - at < most ? batch->rows - at : most;
        const struct part part = { d, w->chunk, at, rows };
        if (vectors_write(&part, &w->schema, batch, e) < 0)
            return -1;
        if (d->append_data_chunk(appender, w->chunk) != DuckDBSuccess)
            return appender_failed(w, appender, e);
        at += rows;
    }
    return 0;
}

static duckdb_appender open_appender(struct tables_writer *w, struct str physical, struct error *e)
{
    const struct duckdb_library *d = w->project->duckdb;
    struct arena a = { 0 };
    duckdb_appender out = NULL;

    if (d->appender_create_ext(w->connection.handle, w->project->catalog.p,
                               arena_copy(&a, w->dataset_physical.p, w->dataset_physical.len),
                               arena_copy(&a, physical.p, physical.len), &out) != DuckDBSuccess) {
        (void)error_set(e, ERROR_INTERNAL, "The table engine opens no table for rows.");
        if (out)
            d->appender_destroy(&out);
        out = NULL;
    }
    arena_release(&a);
    return out;
}

/* Writes what the appender still holds, and ends it. */
static int close_appender(struct tables_writer *w, duckdb_appender *appender, int rc,
                          struct error *e)
{
    const struct duckdb_library *d = w->project->duckdb;

    if (rc == 0 && d->appender_close(*appender) != DuckDBSuccess)
        rc = appender_failed(w, *appender, e);
    d->appender_destroy(appender);
    *appender = NULL;
    return rc;
}

/* Appends to a table of the engine; columns: those of w->schema by name, or all of the table's in their order. */
static int append_to(struct tables_writer *w, struct str physical, bool columns,
                     const struct bq_batch *batch, struct error *e)
{
    const struct duckdb_library *d = w->project->duckdb;
    struct arena a = { 0 };
    duckdb_appender appender = open_appender(w, physical, e);
    int rc = 0;

    if (!appender)
        return -1;
    for (uint32_t i = 0; columns && rc == 0 && i < w->schema.count; i++) {
        struct str name = w->schema.field[i].name;
        if (d->appender_add_column(appender, arena_copy(&a, name.p, name.len)) != DuckDBSuccess)
            rc = error_set(e, ERROR_INVALID_ARGUMENT, "no such field: %.*s", STR_ARG(name));
    }
    if (rc == 0)
        rc = append_chunks(w, appender, batch, e);
    arena_release(&a);
    return close_appender(w, &appender, rc, e);
}

static uint64_t batch_bytes(const struct bq_batch *batch)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < (size_t)batch->rows * batch->columns; i++)
        bytes += batch->cell[i].text.len;
    return bytes;
}

/* Rows go on to the transaction now and then, which writes whole groups of them to the file: an appender by itself
 * would hold 200,000 of them. */
int writer_add(struct tables_writer *w, const struct bq_batch *batch, struct error *e)
{
    if (!w->appender && sql_begin(&w->connection, e) < 0)
        return -1;
    if (!w->appender)
        w->appender = open_appender(w, w->hidden, e);
    if (!w->appender)
        return sql_end(&w->connection, -1, e);
    if (append_chunks(w, w->appender, batch, e) < 0)
        return -1;
    w->waiting_bytes += batch_bytes(batch);
    if (w->waiting_bytes < ADD_BYTES)
        return 0;
    w->waiting_bytes = 0;
    return w->project->duckdb->appender_flush(w->appender) == DuckDBSuccess
               ? 0
               : appender_failed(w, w->appender, e);
}

/* Ends what writer_add began: its rows are in the table, or none of them. */
static int end_add(struct tables_writer *w, int rc, struct error *e)
{
    return sql_end(&w->connection, close_appender(w, &w->appender, rc, e), e);
}

static int set_position(struct tables_writer *w, int64_t position, struct error *e)
{
    struct connection *c = &w->connection;

    sql_start(c, "UPDATE _tranche.writer SET position = %lld, at_ms = %lld WHERE physical = ",
              (long long)position, (long long)project_now_ms(w->project));
    sql_add_text(c, w->hidden);
    return sql_run(c, e) < 0 ? -1 : 0;
}

int writer_append(struct tables_writer *w, const struct bq_batch *batch, int64_t position,
                  struct error *e)
{
    if (sql_begin(&w->connection, e) < 0)
        return -1;
    int rc = append_to(w, w->hidden, false, batch, e);
    if (rc == 0)
        rc = set_position(w, position, e);
    return sql_end(&w->connection, rc, e);
}

int writer_commit(struct tables_writer *w, struct tables_outcome *out, struct error *e)
{
    struct publish how = { .into = &w->into,
                           .schema = w->schema,
                           .dataset_physical = w->dataset_physical,
                           .hidden = w->hidden,
                           .key = w->key,
                           .outcome = out };

    *out = (struct tables_outcome){ .rows = 0 };
    int rc = w->appender ? end_add(w, 0, e) : 0;
    if (rc == 0)
        rc = publish(w->project, &how, e);
    if (rc == 0)
        w->hidden.len = 0; /* it is gone */
    writer_close(w, true);
    return rc;
}

void writer_close(struct tables_writer *w, bool keep_rows)
{
    if (!w)
        return;
    struct project *p = w->project;
    struct error ignored;
    if (w->appender)
        (void)!end_add(w, -1, &ignored);
    if (w->chunk)
        p->duckdb->destroy_data_chunk(&w->chunk);
    project_disconnect(p, &w->connection);
    if (!keep_rows || !w->key.len)
        hidden_drop(p, w->dataset_physical, w->hidden);
    project_leave(p);
    arena_release(&w->arena);
    mem_free(w);
}

/* ---- Rows at once ---- */

static int insert_once(struct tables_writer *w, struct str physical, const struct bq_batch *batch,
                       struct error *e)
{
    if (sql_begin(&w->connection, e) < 0)
        return -1;
    return sql_end(&w->connection, append_to(w, physical, true, batch, e), e);
}

static int insert(struct tables_writer *w, const struct table_row *row,
                  const struct bq_batch *batch, struct error *e)
{
    struct clock *clock = clock_system();
    int rc = -1;

    if (row->t.kind == TABLES_VIEW)
        return error_set(e, ERROR_INVALID_ARGUMENT, "Cannot add rows to a view");
    if (!row->physical.len)
        return error_set(e, ERROR_INVALID_ARGUMENT, "The destination table has no schema.");
    w->dataset_physical = row->dataset_physical;
    make_chunk(w);
    for (int i = 0; i < CHANGE_TRIES && rc < 0; i++) {
        rc = insert_once(w, row->physical, batch, e);
        if (rc < 0 && e->code != ERROR_ABORTED)
            break;
        if (rc < 0)
            clock->sleep_ns(clock, 5 * NS_PER_MS);
    }
    return rc;
}

int writer_insert(struct tables *t, const struct tables_name *name, const struct bq_schema *schema,
                  const struct bq_batch *batch, struct error *e)
{
    const struct tables_write spec = { .into.name = *name, .schema = *schema };
    struct project *p = project_enter(embedded_of(t), name->project, false, e);
    struct table_row row;

    if (!p)
        return e->code == ERROR_NOT_FOUND ? not_found(e, name) : -1;
    struct tables_writer *w = writer_new(p, &spec);
    lock(&p->lock);
    int rc = catalog_need_table(p, name, &w->arena, &row, e);
    unlock(&p->lock);
    if (rc == 0)
        rc = project_connect(p, &w->connection, e);
    if (rc == 0)
        rc = insert(w, &row, batch, e);
    if (rc == 0)
        catalog_touch(p, name);
    writer_close(w, true);
    return rc;
}
