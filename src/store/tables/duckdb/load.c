/* load.c -- embedded.h: load jobs: files into a hidden table, which then becomes or extends the table. */
#include "store/tables/duckdb/load.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/sys.h"
#include "base/thread.h"

#define BATCH_BYTES ((size_t)8 * 1024 * 1024)

/* One load. */
struct loading {
    struct project *project;
    const struct tables_load *l;
    struct tables_loaded *out;
    struct arena *arena; /* of the call */
    struct tables_writer *writer;
    struct bq_schema schema;
    int64_t skip;
    struct arena batch_arena; /* of the rows that are not written yet */
    struct bq_cell *cell;
    uint32_t rows;
};

/* ---- The schema ---- */

static int check_options(const struct tables_load *l, struct error *e)
{
    if (!load_delimiter(l))
        return error_set(
            e, ERROR_INVALID_ARGUMENT,
            "The field delimiter must be one character (\"\\t\" or \"tab\" for a tab).");
    if (l->quote.len > 1)
        return error_set(e, ERROR_INVALID_ARGUMENT, "The quote must be one character.");
    if (l->encoding.len && !str_eq_c(l->encoding, "UTF-8") && !str_eq_c(l->encoding, "UTF8") &&
        !str_eq_c(l->encoding, "ISO-8859-1"))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "The encoding %.*s is not supported: UTF-8 and ISO-8859-1 are.",
                         STR_ARG(str_cut(l->encoding, 40)));
    if (!l->path_count)
        return error_set(e, ERROR_INVALID_ARGUMENT, "The load has no files.");
    return 0;
}

/* The table's own columns, when it has any. 1: it has. */
static int table_schema(struct loading *w, struct bq_schema *out, struct error *e)
{
    struct table_row row;

    lock(&w->project->lock);
    int found = catalog_find_table(w->project, &w->l->into.name, w->arena, &row, e);
    unlock(&w->project->lock);
    if (found > 0)
        *out = row.t.schema;
    return found > 0 ? row.t.schema.count > 0 : found;
}

static int find_schema(struct loading *w, struct error *e)
{
    const struct tables_load *l = w->l;

    w->schema = l->schema;
    if (w->schema.count)
        return 0;
    if (!l->autodetect) {
        int found = table_schema(w, &w->schema, e);
        if (found)
            return found < 0 ? -1 : 0;
        return error_set(e, ERROR_INVALID_ARGUMENT, "No schema specified on job or table.");
    }
    if (l->format == TABLES_CSV)
        return detect_csv(l, w->arena, &w->schema, &w->skip, e);
    return detect_json(l, w->arena, &w->schema, e);
}

static int open_writer(struct loading *w, struct error *e)
{
    const struct tables_write spec = { .into = w->l->into, .schema = w->schema, .key = w->l->key };
    int64_t position;

    w->writer = writer_open(&w->project->owner->tables, &spec, &position, e);
    return w->writer ? 0 : -1;
}

/* ---- Rows ---- */

static int flush(struct loading *w, struct error *e)
{
    const struct bq_batch batch = { w->cell, w->rows, w->schema.count };
    int rc = w->rows ? writer_add(w->writer, &batch, e) : 0;

    w->rows = 0;
    w->cell = NULL;
    arena_reset(&w->batch_arena);
    if (rc == 0 && !tables_cancel_set(w->l->cancel, NULL, NULL))
        rc = error_set(e, ERROR_CANCELLED,
                       "Job execution was cancelled: User requested cancellation");
    return rc;
}

/* Room for the cells of one more row. */
static struct bq_cell *row_begin(struct loading *w)
{
    if (!w->cell)
        w->cell = arena_array(&w->batch_arena, (size_t)TABLES_BATCH_ROWS * w->schema.count,
                              sizeof *w->cell);
    return w->cell + (size_t)w->rows * w->schema.count;
}

static int row_end(struct loading *w, struct error *e)
{
    w->rows++;
    return w->rows == TABLES_BATCH_ROWS || w->batch_arena.bytes > BATCH_BYTES ? flush(w, e) : 0;
}

/* A bad row is passed over, up to the limit. */
static int row_bad(struct loading *w, const struct text_file *f, struct error *e)
{
    struct tables_loaded *out = w->out;
    const char *name = strrchr(f->path, '/');

    if (e->code == ERROR_RESOURCE_EXHAUSTED || e->code == ERROR_INTERNAL)
        return -1;
    if (out->error_count < TABLES_LOAD_ERRORS_MAX)
        out->error[out->error_count++] = str_of(arena_textf(
            w->arena, "Error while reading data, error message: %s; line_number: %lld; file: %s",
            e->msg, (long long)f->record_no, name ? name + 1 : f->path));
    out->bad_rows++;
    if (out->bad_rows <= w->l->bad_rows_max)
        return 0;
    if (!w->l->bad_rows_max)
        return error_set(e, ERROR_INVALID_ARGUMENT, "%.*s",
                         STR_ARG(str_cut(out->error[0], ERROR_MSG_BYTES - 1)));
    return error_set(e, ERROR_INVALID_ARGUMENT,
                     "Error while reading data, error message: %s table encountered too many "
                     "errors, giving up. Rows: %lld; errors: %lld. Please look into the errors[] "
                     "collection for more details.",
                     w->l->format == TABLES_CSV ? "CSV" : "JSON", (long long)f->record_no,
                     (long long)out->bad_rows);
}

/* ---- CSV ---- */

/* null_marker is a cell's text without quotes; nothing at all is null, and in quotes it is an empty text. */
static bool csv_null(const struct tables_load *l, const struct bq_field *f,
                     const struct csv_cell *from)
{
    bool text = f->type == BQ_STRING || f->type == BQ_BYTES;
    bool nothing = !from->text.len && !l->null_marker.len;

    return (!from->quoted && str_eq(from->text, l->null_marker)) ||
           (nothing && (!text || !from->quoted));
}

static int refuse_cell(const struct bq_field *f, const char *begin, const char *end,
                       struct error *e)
{
    return error_set(e, ERROR_INVALID_ARGUMENT, "%s %.*s %s", begin, STR_ARG(str_cut(f->name, 200)),
                     end);
}

static int csv_value(struct loading *w, const struct bq_field *f, const struct csv_cell *from,
                     struct bq_cell *out, struct error *e)
{
    *out = (struct bq_cell){ .null = csv_null(w->l, f, from) };
    if (f->mode == BQ_REPEATED || f->type == BQ_RECORD)
        return refuse_cell(f, "Column", "is repeated or a record, which CSV cannot hold.", e);
    if (out->null && f->mode == BQ_REQUIRED)
        return refuse_cell(f, "Required column value for column", "is missing", e);
    if (out->null)
        return 0;
    if (str_utf8_valid(from->text) != from->text.len)
        return refuse_cell(f, "Bad character in column",
                           "(it is not UTF-8; say encoding ISO-8859-1 if it is that)", e);
    return bq_cell_from_text(&w->batch_arena, f, from->text, out, e);
}

static int csv_row(struct loading *w, struct str record, struct bq_cell *out, struct error *e)
{
    const struct tables_load *l = w->l;
    struct arena *a = &w->batch_arena;
    struct csv_row row;
    struct str kept = str_eq_c(l->encoding, "ISO-8859-1")
                          ? latin1_text(a, record)
                          : (struct str){ arena_copy(a, record.p, record.len), record.len };

    if (csv_cells(a, kept, load_delimiter(l), load_quote(l), &row, e) < 0)
        return -1;
    if (row.count > w->schema.count && !l->ignore_unknown)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "Too many values in line. Found %u column(s) while expected %u.",
                         row.count, w->schema.count);
    if (row.count < w->schema.count && !l->jagged_rows)
        return error_set(
            e, ERROR_INVALID_ARGUMENT,
            "CSV table references column position %u, but line contains only %u columns.",
            row.count, row.count);
    for (uint32_t c = 0; c < w->schema.count; c++) {
        out[c] = (struct bq_cell){ .null = true };
        if (c < row.count && csv_value(w, &w->schema.field[c], &row.cell[c], &out[c], e) < 0)
            return -1;
    }
    return 0;
}

/* ---- JSON ---- */

static int check_members(struct loading *w, yyjson_val *row, struct error *e)
{
    yyjson_obj_iter it = yyjson_obj_iter_with(row);
    yyjson_val *key;

    while ((key = yyjson_obj_iter_next(&it)))
        if (!bq_schema_find(&w->schema, json_str(key)))
            return error_set(e, ERROR_INVALID_ARGUMENT, "No such field: %.*s.",
                             STR_ARG(str_cut(json_str(key), 200)));
    return 0;
}

static yyjson_val *member(yyjson_val *row, struct str name)
{
    yyjson_val *found = yyjson_obj_getn(row, name.p, name.len), *key;
    const struct bq_schema one = { &(struct bq_field){ .name = name }, 1 };
    yyjson_obj_iter it = yyjson_obj_iter_with(row);

    while (!found && (key = yyjson_obj_iter_next(&it)))
        if (bq_schema_find(&one, json_str(key)))
            found = yyjson_obj_iter_get_val(key);
    return found;
}

static int json_row(struct loading *w, struct str record, struct bq_cell *out, struct error *e)
{
    struct arena *a = &w->batch_arena;
    size_t at;
    yyjson_val *row = json_parse(a, record, &at, e);

    if (!row)
        return -1;
    if (!yyjson_is_obj(row))
        return error_set(e, ERROR_INVALID_ARGUMENT, "The row is not a JSON object.");
    if (!w->l->ignore_unknown && check_members(w, row, e) < 0)
        return -1;
    for (uint32_t c = 0; c < w->schema.count; c++) {
        const struct bq_field *f = &w->schema.field[c];
        if (bq_cell_from_json(a, f, member(row, f->name), !w->l->ignore_unknown, &out[c], e) < 0)
            return -1;
    }
    return 0;
}

/* ---- Files ---- */

static int load_text(struct loading *w, const char *path, struct error *e)
{
    bool csv = w->l->format == TABLES_CSV;
    struct text_file f;
    struct str record;
    int rc = text_open(&f, path, e) < 0 ? -1 : 1;

    f.delimiter = load_delimiter(w->l);
    f.quote = csv && w->l->quoted_newlines ? load_quote(w->l) : '\0';
    while (rc > 0 && (rc = text_next(&f, &record, e)) > 0) {
        if ((csv && f.record_no <= w->skip) || !str_trim(record).len)
            continue;
        struct bq_cell *row = row_begin(w);
        int row_rc = csv ? csv_row(w, record, row, e) : json_row(w, record, row, e);
        if ((row_rc == 0 ? row_end(w, e) : row_bad(w, &f, e)) < 0)
            rc = -1;
    }
    text_close(&f);
    return rc < 0 ? -1 : flush(w, e);
}

static int convert_rows(struct loading *w, const struct bq_schema *from, const struct bq_batch *b,
                        struct error *e)
{
    struct arena *a = &w->batch_arena;
    struct bq_cell *cell = arena_array(a, (size_t)b->rows * w->schema.count, sizeof *cell);
    struct bq_batch out = { cell, b->rows, w->schema.count };

    for (uint32_t c = 0; c < w->schema.count; c++) {
        const struct bq_field *to = &w->schema.field[c], *f = bq_schema_find(from, to->name);
        for (uint32_t r = 0; r < b->rows; r++) {
            struct bq_cell *here = &cell[(size_t)r * out.columns + c];
            *here = (struct bq_cell){ .null = true };
            if (f &&
                cell_convert(a, f, to, b->cell[(size_t)r * b->columns + (size_t)(f - from->field)],
                             here, e) < 0)
                return -1;
            if (here->null && to->mode == BQ_REQUIRED)
                return error_set(e, ERROR_INVALID_ARGUMENT,
                                 "Required column value for column %.*s is missing",
                                 STR_ARG(str_cut(to->name, 200)));
        }
    }
    return writer_add(w->writer, &out, e);
}

static int check_columns(struct loading *w, const struct bq_schema *from, struct error *e)
{
    for (uint32_t i = 0; i < from->count; i++)
        if (!bq_schema_find(&w->schema, from->field[i].name) && !w->l->ignore_unknown)
            return error_set(
                e, ERROR_INVALID_ARGUMENT,
                "Provided Schema does not match the Parquet file: field %.*s is not in "
                "the schema.",
                STR_ARG(str_cut(from->field[i].name, 200)));
    return 0;
}

/* A file's own columns are the schema when nobody gave one and the table has none. */
static int parquet_schema(struct loading *w, const struct bq_schema *own, struct error *e)
{
    struct bq_schema old;
    int found = 0;

    if (w->schema.count)
        return 0;
    w->schema = w->l->schema;
    if (!w->schema.count && w->l->into.write != TABLES_WRITE_TRUNCATE)
        found = table_schema(w, &old, e);
    if (found < 0)
        return -1;
    if (!w->schema.count)
        w->schema = found && !w->l->into.add_fields ? old : bq_schema_copy(w->arena, own);
    return open_writer(w, e);
}

static int load_parquet(struct loading *w, const char *path, struct error *e)
{
    struct arena a = { 0 };
    struct bq_schema own;
    struct bq_batch batch;
    struct parquet *f = parquet_open(w->project->owner->dir, path, &a, &own, e);
    int rc = f && parquet_schema(w, &own, e) == 0 ? check_columns(w, &own, e) : -1;

    if (rc == 0)
        rc = 1;
    while (rc > 0 && (rc = parquet_next(f, &w->batch_arena, &batch, e)) > 0)
        if (convert_rows(w, &own, &batch, e) < 0 || flush(w, e) < 0)
            rc = -1;
    parquet_close(f);
    arena_release(&a);
    return rc;
}

static int load_files(struct loading *w, struct error *e)
{
    const struct tables_load *l = w->l;
    struct stat file;

    for (uint32_t i = 0; i < l->path_count; i++) {
        w->out->input_bytes += stat(l->path[i], &file) == 0 ? (int64_t)file.st_size : 0;
        if ((l->format == TABLES_PARQUET ? load_parquet(w, l->path[i], e)
                                         : load_text(w, l->path[i], e)) < 0)
            return -1;
    }
    return 0;
}

static int load(struct loading *w, struct error *e)
{
    w->skip = w->l->skip_rows;
    if (w->l->format != TABLES_PARQUET && (find_schema(w, e) < 0 || open_writer(w, e) < 0))
        return -1;
    if (w->skip < 0)
        w->skip = 0;
    if (load_files(w, e) < 0)
        return -1;
    struct tables_writer *writer = w->writer;
    w->writer = NULL; /* commit ends it */
    return writer_commit(writer, &w->out->outcome, e);
}

int tables_load_files(struct tables *t, const struct tables_load *l, struct arena *a,
                      struct tables_loaded *out, struct error *e)
{
    struct loading w = { .l = l, .out = out, .arena = a };
    struct tables_name dataset = { l->into.name.project, l->into.name.dataset, { NULL, 0 } };

    *out = (struct tables_loaded){ .input_bytes = 0 };
    if (check_options(l, e) < 0 || tables_table_check(l->into.name.table, e) < 0)
        return -1;
    w.project = project_enter(embedded_of(t), l->into.name.project, false, e);
    if (!w.project)
        return e->code == ERROR_NOT_FOUND ? not_found(e, &dataset) : -1;
    lock(&w.project->lock);
    int rc = done_find(w.project, l->key, &out->outcome, e);
    unlock(&w.project->lock);
    if (rc == 0)
        rc = load(&w, e);
    writer_close(w.writer, false);
    project_leave(w.project);
    arena_release(&w.batch_arena);
    return rc < 0 ? -1 : 0;
}
