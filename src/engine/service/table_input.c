#include "engine/service/table_input.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "base/log.h"
#include "base/sys.h"
#include "engine/lines/columns.h"
#include "engine/service/service_inner.h"
#include "format/job/table.h"
#include "format/job/vertex.h"

#define WRITE_BYTES ((size_t)1024 * 1024)
/* The most that one row may have as a line: BigQuery's rows have at most 100 MB. */
#define COPY_LINE_BYTES_MAX ((size_t)256 * 1024 * 1024)
#define HEAD_BYTES_MAX ((size_t)16 * 1024 * 1024)

struct tables_name table_input_name(const struct bq_name *n)
{
    return (struct tables_name){ n->project, n->dataset, n->table };
}

const char *table_input_uri(struct arena *a, const struct bq_name *n)
{
    struct buf uri = BUF_INIT(4 * BQ_ID_BYTES_MAX);

    bq_add(&uri, n);
    const char *text = arena_copy(a, uri.p, uri.len);
    buf_release(&uri);
    return text;
}

struct tables *table_input_tables(struct service *s, struct arena *a, const struct job *j,
                                  const struct bq_name *n, struct error *e)
{
    struct tables_name name = table_input_name(n);

    if (!s->env.tables)
        (void)error_set(e, ERROR_FAILED_PRECONDITION,
                        "Several processes share this service's store, so it has no tables of its "
                        "own: bq:// names BigQuery's when the configuration says service: { "
                        "tables: bigquery }.");
    else if (!j->open && !str_eq_c(n->project, j->project))
        (void)error_set(
            e, ERROR_PERMISSION_DENIED,
            "Access Denied: Table %s: The job's project %s may not use it, or perhaps it "
            "does not exist.",
            tables_text(a, &name), j->project);
    else
        return s->env.tables;
    return NULL;
}

/* ---- The copy ---- */

struct table_copy {
    struct service *service;
    struct tables *tables;
    struct arena *arena; /* of the call */
    struct str name;     /* "bq://p.d.t" */
    bool lines;          /* the output is JSON lines */
    struct bq_schema schema;
    struct arena row; /* of one row */
    struct buf out;   /* lines that are not written yet */
    struct blob_writer *writer;
    uint64_t bytes_max, rows;
};

static int flush_lines(struct table_copy *c, struct error *e)
{
    if (!buf_ok(&c->out))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "%.*s: Row %" PRIu64 " is longer than %zu bytes.", STR_ARG(c->name),
                         c->rows, COPY_LINE_BYTES_MAX);
    if (c->out.len > c->bytes_max - blob_written(c->writer))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "%.*s: Its rows have more than %" PRIu64
                         " bytes as lines; name a view of a part "
                         "of them, or raise service.input_bytes_max.",
                         STR_ARG(c->name), c->bytes_max);
    int rc = blob_write(c->writer, c->out.p, c->out.len, e);
    buf_clear(&c->out);
    return rc;
}

static int copy_batch(struct table_copy *c, const struct bq_batch *batch, struct error *e)
{
    for (uint32_t i = 0; i < batch->rows; i++) {
        arena_reset(&c->row);
        c->rows++;
        table_line_write(&c->row, &c->schema, &batch->cell[(size_t)i * batch->columns], c->lines,
                         &c->out);
        if (c->out.len >= WRITE_BYTES && flush_lines(c, e) < 0)
            return -1;
    }
    return buf_ok(&c->out) ? 0 : flush_lines(c, e);
}

static int copy_rows(struct table_copy *c, struct tables_rows *rows, struct error *e)
{
    struct json_writer w = JSON_WRITER(&c->out);
    struct arena batch_arena = { 0 };
    struct bq_batch batch;
    int rc;

    bq_schema_write(&w, NULL, &c->schema, false);
    buf_add_char(&c->out, '\n');
    while ((rc = c->tables->ops->rows_next(rows, &batch_arena, &batch, e)) == 1) {
        rc = copy_batch(c, &batch, e);
        if (rc == 0 && atomic_load(&c->service->halt))
            rc = error_set(e, ERROR_CANCELLED, "interrupted");
        arena_reset(&batch_arena);
        if (rc < 0)
            break;
    }
    arena_release(&batch_arena);
    return rc < 0 ? -1 : flush_lines(c, e);
}

static int copy_table(struct table_copy *c, const struct tables_name *from, struct error *e)
{
    const struct tables_read all = { .name = *from };
    struct tables_rows *rows = c->tables->ops->read(c->tables, &all, c->arena, &c->schema, e);
    int rc = rows ? table_source_check(&c->schema, c->name, e) : -1;

    if (rc == 0)
        rc = copy_rows(c, rows, e);
    c->tables->ops->rows_close(rows);
    return rc;
}

/* Its query's result is a table, which goes when it is copied. A query that does not fit the limits would not fit
 * them later either. */
static int copy_view(struct table_copy *c, const struct tables_name *view, struct error *e)
{
    const struct tables_query query = {
        .project = view->project,
        .sql =
            str_of(arena_textf(c->arena, "SELECT * FROM `%.*s.%.*s.%.*s`", STR_ARG(view->project),
                               STR_ARG(view->dataset), STR_ARG(view->table))),
        .cancel = &c->service->table_cancel,
    };
    struct tables_result result = { 0 };
    struct error why;

    if (c->tables->ops->query(c->tables, &query, c->arena, &result, e) < 0) {
        if (e->code == ERROR_RESOURCE_EXHAUSTED)
            e->code = ERROR_FAILED_PRECONDITION;
        return -1;
    }
    int rc = copy_table(c, &result.destination, e);
    if (c->tables->ops->remove(c->tables, &result.destination, &why) < 0)
        log_warn("the result of a view's query stays for now: %s", why.msg);
    return rc;
}

static int copy_source(struct table_copy *c, const struct bq_name *from, struct error *e)
{
    struct tables_name name = table_input_name(from);
    struct tables_table table;

    if (c->tables->ops->get(c->tables, &name, c->arena, &table, e) < 0)
        return -1;
    if (table_source_check(&table.schema, c->name, e) < 0)
        return -1;
    return (table.kind == TABLES_VIEW ? copy_view : copy_table)(c, &name, e);
}

int table_input_copy(struct service *s, struct arena *a, const struct job *j, uint64_t bytes_max,
                     struct job_input *out, struct error *e)
{
    struct table_copy c = {
        .service = s, .arena = a, .out = BUF_INIT(COPY_LINE_BYTES_MAX), .bytes_max = bytes_max
    };
    struct bq_name from, to;
    struct blob blob;

    bool found = vertex_input_table(a, j->spec, &from);
    assert(found);
    c.name = str_of(table_input_uri(a, &from));
    c.lines = !vertex_output_table(a, j, &to);
    c.tables = table_input_tables(s, a, j, &from, e);
    if (!c.tables)
        return -1;
    c.writer = blob_create(s->env.store, bytes_max, false, e);
    int rc = c.writer ? copy_source(&c, &from, e) : -1;
    buf_release(&c.out);
    arena_release(&c.row);
    if (rc < 0) {
        blob_abort(c.writer);
        return error_wrap(e, "Failed to import data");
    }
    if (blob_finish(c.writer, &blob, e) < 0)
        return -1;
    *out = (struct job_input){ c.name, blob.id, blob.bytes };
    return 0;
}

bool table_input_is_copy(struct str name)
{
    return bq_is(name);
}

/* The first line of a copy into the buffer, with its line end. */
static int read_head(const struct input_file *file, struct buf *out, struct error *e)
{
    char piece[64 * 1024];
    const char *end = NULL;

    while (!end) {
        int64_t n = sys_read_at(file->fd, piece, sizeof piece, out->len, file->path, e);
        if (n < 0)
            return -1;
        end = memchr(piece, '\n', (size_t)n);
        buf_add(out, piece, end ? (size_t)(end - piece) + 1 : (size_t)n);
        if (n == 0 || !buf_ok(out))
            return error_set(e, ERROR_DATA_LOSS, "the copy of %s has no columns", file->path);
    }
    return 0;
}

int table_input_begin(struct input_file *file, struct error *e)
{
    struct buf head = BUF_INIT(HEAD_BYTES_MAX);
    int rc = read_head(file, &head, e);

    file->begin = head.len;
    file->line_no = 1; /* lines are the table's rows */
    buf_release(&head);
    return rc;
}

/* ---- Its columns ---- */

static int copied_columns(const struct input_file *file, struct arena *a, struct bq_schema *out,
                          struct error *e)
{
    struct buf head = BUF_INIT(HEAD_BYTES_MAX);
    int rc = read_head(file, &head, e);

    if (rc == 0) {
        struct str text = { arena_copy(a, head.p, head.len), head.len };
        rc = bq_schema_parse(text, a, out, e);
    }
    buf_release(&head);
    return rc;
}

int table_input_columns(struct service *s, const struct input *in, struct arena *a,
                        struct bq_schema *out, struct error *e)
{
    assert(in->count > 0);
    if (table_input_is_copy(str_of(in->file[0].path)))
        return copied_columns(&in->file[0], a, out, e);
    return columns_of_lines(in, &s->halt, a, out, e);
}
