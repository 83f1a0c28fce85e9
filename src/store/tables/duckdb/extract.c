/* extract.c -- embedded.h: extract jobs: a table's rows into a file.
 *
 * Why: CSV and JSON are written here; Parquet by a second engine in memory, which asks for the rows as for those of a
 *      table. A project's engine writes no file but its own.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/json_write.h"
#include "base/pack.h"
#include "base/sys.h"
#include "format/table/cells.h"
#include "store/tables/duckdb/embedded.h"
#include "store/tables/duckdb/engine.h"

#define PENDING_BYTES ((size_t)1024 * 1024) /* written at once */
#define ROW_BYTES_MAX ((size_t)256 * 1024 * 1024)

/* One extract. */
struct extracting {
    struct tables *t;
    const struct tables_extract *x;
    struct tables_outcome *out;
    struct bq_schema schema;
    struct tables_rows *rows;
    struct arena arena, batch_arena;
    struct buf text, packed, one; /* rows, and those packed; one cell */
    int fd;
    struct pack *pack;  /* NULL: rows are not packed */
    struct error error; /* of reading rows while the second engine asks for them */
};

static int cancelled(const struct extracting *w, struct error *e)
{
    if (tables_cancel_set(w->x->cancel, NULL, NULL))
        return 0;
    return error_set(e, ERROR_CANCELLED,
                     "Job execution was cancelled: User requested cancellation");
}

/* ---- Text ---- */

static char delimiter_of(const struct tables_extract *x)
{
    bool tab = str_eq_c(x->delimiter, "\\t") || str_eq_c(x->delimiter, "tab");

    return tab ? '\t' : x->delimiter.len ? x->delimiter.p[0] : ',';
}

static int check(const struct extracting *w, struct error *e)
{
    for (uint32_t i = 0; w->x->format == TABLES_CSV && i < w->schema.count; i++)
        if (w->schema.field[i].type == BQ_RECORD || w->schema.field[i].mode == BQ_REPEATED)
            return error_set(e, ERROR_INVALID_ARGUMENT,
                             "Operation cannot be performed on a nested schema. Field: %.*s",
                             STR_ARG(str_cut(w->schema.field[i].name, 200)));
    return 0;
}

static void add_csv_row(struct extracting *w, const struct bq_cell *cell)
{
    char delimiter = delimiter_of(w->x);

    for (uint32_t c = 0; c < w->schema.count; c++) {
        if (c)
            buf_add_char(&w->text, delimiter);
        if (cell[c].null)
            continue;
        buf_clear(&w->one);
        bq_cell_to_text(&w->one, &w->schema.field[c], cell[c]);
        cell_write(&w->text, buf_str(&w->one), delimiter);
    }
    buf_add_char(&w->text, '\n');
}

/* Members that are null are left out, as BigQuery does. */
static void add_json_row(struct extracting *w, const struct bq_cell *cell)
{
    struct json_writer j = JSON_WRITER(&w->text);

    json_object(&j, NULL);
    for (uint32_t c = 0; c < w->schema.count; c++) {
        const struct bq_field *f = &w->schema.field[c];
        if (!cell[c].null)
            bq_cell_to_json(&j, arena_copy(&w->batch_arena, f->name.p, f->name.len), f, cell[c]);
    }
    json_end(&j);
    buf_add_char(&w->text, '\n');
}

static int write_out(struct extracting *w, bool last, struct error *e)
{
    const struct buf *out = w->pack ? &w->packed : &w->text;

    if (!buf_ok(&w->text))
        return error_set(e, ERROR_RESOURCE_EXHAUSTED, "A row is too long.");
    if (w->pack)
        pack_add(w->pack, buf_str(&w->text), last, &w->packed);
    int rc = out->len ? sys_write_all(w->fd, out->p, out->len, w->x->path, e) : 0;
    w->out->bytes += (int64_t)w->text.len;
    buf_clear(&w->text);
    buf_clear(&w->packed);
    return rc;
}

static void add_header(struct extracting *w)
{
    if (w->x->format != TABLES_CSV || w->x->no_header)
        return;
    for (uint32_t c = 0; c < w->schema.count; c++) {
        if (c)
            buf_add_char(&w->text, delimiter_of(w->x));
        cell_write(&w->text, w->schema.field[c].name, delimiter_of(w->x));
    }
    buf_add_char(&w->text, '\n');
}

static int write_rows(struct extracting *w, struct error *e)
{
    struct bq_batch batch;
    int rc;

    add_header(w);
    while ((rc = table_rows_next(w->rows, &w->batch_arena, &batch, e)) > 0) {
        for (uint32_t r = 0; r < batch.rows; r++) {
            const struct bq_cell *row = batch.cell + (size_t)r * batch.columns;
            if (w->x->format == TABLES_CSV)
                add_csv_row(w, row);
            else
                add_json_row(w, row);
            if (w->text.len > PENDING_BYTES && write_out(w, false, e) < 0)
                return -1;
        }
        w->out->rows += batch.rows;
        arena_reset(&w->batch_arena);
        if (cancelled(w, e) < 0)
            return -1;
    }
    return rc < 0 ? -1 : write_out(w, true, e);
}

static int extract_text(struct extracting *w, struct error *e)
{
    w->fd = sys_open(w->x->path, O_WRONLY | O_CREAT | O_TRUNC, e);
    w->pack = pack_new(w->x->packing);
    int rc = w->fd < 0 ? -1 : write_rows(w, e);
    pack_free(w->pack);
    if (rc == 0)
        rc = sys_sync(w->fd, w->x->path, e);
    if (w->fd >= 0)
        (void)close(w->fd);
    return rc;
}

/* ---- Parquet ---- */

static void parquet_bind(duckdb_bind_info info)
{
    struct error e;
    const struct duckdb_library *d = duckdb_library(&e);
    const struct extracting *w = d->bind_get_extra_info(info);
    struct arena a = { 0 };

    for (uint32_t i = 0; i < w->schema.count; i++) {
        const struct bq_field *f = &w->schema.field[i];
        duckdb_logical_type type = vectors_type(d, f);
        d->bind_add_result_column(info, arena_copy(&a, f->name.p, f->name.len), type);
        d->destroy_logical_type(&type);
    }
    arena_release(&a);
}

static void parquet_init(duckdb_init_info info)
{
    struct error e;

    duckdb_library(&e)->init_set_max_threads(info, 1);
}

/* One batch; an empty chunk is the end. The engine copies the error's text. */
static void parquet_rows(duckdb_function_info info, duckdb_data_chunk chunk)
{
    struct error e;
    const struct duckdb_library *d = duckdb_library(&e);
    struct extracting *w = d->function_get_extra_info(info);
    struct bq_batch batch = { NULL, 0, 0 };

    arena_reset(&w->batch_arena);
    int rc = cancelled(w, &w->error);
    if (rc == 0)
        rc = table_rows_next(w->rows, &w->batch_arena, &batch, &w->error);
    if (rc > 0) {
        const struct part all = { d, chunk, 0, batch.rows };
        rc = vectors_write(&all, &w->schema, &batch, &w->error) < 0 ? -1 : 1;
        w->out->rows += batch.rows;
    }
    if (rc == 0)
        d->data_chunk_set_size(chunk, 0);
    if (rc < 0)
        d->function_set_error(info, w->error.msg);
}

static int give_rows(struct extracting *w, struct table_files *engine, struct error *e)
{
    const struct duckdb_library *d = engine->duckdb;
    duckdb_table_function f = d->create_table_function();

    d->table_function_set_name(f, "rows_of_table");
    d->table_function_set_extra_info(f, w, NULL);
    d->table_function_set_bind(f, parquet_bind);
    d->table_function_set_init(f, parquet_init);
    d->table_function_set_function(f, parquet_rows);
    int rc = d->register_table_function(engine->connection, f) == DuckDBSuccess ? 0 : -1;
    d->destroy_table_function(&f);
    return rc < 0 ? error_set(e, ERROR_INTERNAL, "The table engine takes no rows.") : 0;
}

static int extract_parquet(struct extracting *w, struct error *e)
{
    static const char *const codecs[] = { "snappy", "gzip", "zstd" };
    struct table_files *engine = table_files_open(embedded_of(w->t)->dir, e);
    int64_t rows = -1;

    if (engine && give_rows(w, engine, e) == 0) {
        buf_clear(&engine->sql);
        buf_add_c(&engine->sql, "COPY (FROM rows_of_table()) TO ");
        sql_text(&engine->sql, str_of(w->x->path));
        buf_addf(&engine->sql, " (FORMAT parquet, COMPRESSION %s)", codecs[w->x->packing]);
        rows = engine_copy(engine, str_of(w->x->path), e);
        if (rows < 0 && w->error.code != ERROR_OK)
            *e = w->error;
    }
    table_files_close(engine);
    return rows < 0 ? -1 : 0;
}

/* ---- All ---- */

int tables_extract_file(struct tables *t, const struct tables_extract *x,
                        struct tables_outcome *out, struct error *e)
{
    struct extracting w = { .t = t, .x = x, .out = out, .fd = -1 };
    const struct tables_read all = { .name = x->name };

    w.text = w.packed = w.one = BUF_INIT(ROW_BYTES_MAX);
    *out = (struct tables_outcome){ .rows = 0 };
    w.rows = table_rows_open(t, &all, &w.arena, &w.schema, e);
    int rc = w.rows ? check(&w, e) : -1;
    if (rc == 0)
        rc = x->format == TABLES_PARQUET ? extract_parquet(&w, e) : extract_text(&w, e);
    table_rows_close(w.rows);
    buf_release(&w.text);
    buf_release(&w.packed);
    buf_release(&w.one);
    arena_release(&w.arena);
    arena_release(&w.batch_arena);
    return rc;
}
