#include "engine/service/job_table.h"

#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sys.h"
#include "engine/lines/cutter.h"
#include "engine/service/service_inner.h"
#include "format/job/table.h"
#include "format/job/vertex.h"
#include "store/tables/tables.h"

#define WRITE_BYTES ((size_t)1024 * 1024)
/* The most that one row may have as a line: BigQuery's rows have at most 100 MB. */
#define COPY_LINE_BYTES_MAX ((size_t)256 * 1024 * 1024)
#define HEAD_BYTES_MAX ((size_t)16 * 1024 * 1024)
/* A batch is durable when it is written, which costs as much as thousands of rows. */
#define OUTPUT_READ_BYTES ((size_t)16 * 1024 * 1024)
#define OUTPUT_CELLS ((size_t)256 * 1024)
#define KEY_BYTES 64

static struct tables_name tables_name_of(const struct bq_name *n)
{
    return (struct tables_name){ n->project, n->dataset, n->table };
}

static const char *uri_text(struct arena *a, const struct bq_name *n)
{
    struct buf uri = BUF_INIT(4 * BQ_ID_BYTES_MAX);

    bq_add(&uri, n);
    const char *text = arena_copy(a, uri.p, uri.len);
    buf_release(&uri);
    return text;
}

/* The service's tables, when the job may use those of this project. */
static struct tables *tables_for(struct service *s, struct arena *a, const struct job *j,
                                 const struct bq_name *n, struct error *e)
{
    struct tables_name name = tables_name_of(n);

    if (!s->env.tables)
        (void)error_set(e, ERROR_FAILED_PRECONDITION, "This service has no tables (bq://).");
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

/* ---- The input ---- */

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
    struct tables_name name = tables_name_of(from);
    struct tables_table table;

    if (c->tables->ops->get(c->tables, &name, c->arena, &table, e) < 0)
        return -1;
    if (table_source_check(&table.schema, c->name, e) < 0)
        return -1;
    return (table.kind == TABLES_VIEW ? copy_view : copy_table)(c, &name, e);
}

int job_table_copy(struct service *s, struct arena *a, const struct job *j, uint64_t bytes_max,
                   struct job_input *out, struct error *e)
{
    struct table_copy c = {
        .service = s, .arena = a, .out = BUF_INIT(COPY_LINE_BYTES_MAX), .bytes_max = bytes_max
    };
    struct bq_name from, to;
    struct blob blob;

    bool found = vertex_input_table(a, j->spec, &from);
    assert(found);
    c.name = str_of(uri_text(a, &from));
    c.lines = !vertex_output_table(a, j, &to);
    c.tables = tables_for(s, a, j, &from, e);
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

bool job_table_is_copy(struct str name)
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

int job_table_begin(struct input_file *file, struct error *e)
{
    struct buf head = BUF_INIT(HEAD_BYTES_MAX);
    int rc = read_head(file, &head, e);

    file->begin = head.len;
    file->line_no = 1; /* lines are the table's rows */
    buf_release(&head);
    return rc;
}

/* ---- The output's columns ---- */

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

/* One pass over the lines: what they hold beside their requests. */
static int lines_columns(struct service *s, const struct input *in, struct arena *a,
                         struct bq_schema *out, struct error *e)
{
    struct line_columns *columns = line_columns_new();
    struct arena line_arena = { 0 };
    struct piece piece = { 0 };
    struct cutter cutter;
    struct shard shard;
    int rc;

    cutter_init(&cutter, in, 0, 0);
    while ((rc = cutter_next(&cutter, &piece, &shard, e)) == 1) {
        struct lines it;
        struct line line;
        if (atomic_load(&s->halt)) {
            rc = error_set(e, ERROR_CANCELLED, "interrupted");
            break;
        }
        if (shard.overlong)
            continue;
        lines_init(&it, &shard, piece.p, in->cut);
        while (lines_next(&it, &line)) {
            arena_reset(&line_arena);
            line_columns_add(columns, &line_arena, line.text);
        }
    }
    if (rc == 0)
        rc = line_columns_schema(columns, a, out, e);
    piece_release(&piece);
    arena_release(&line_arena);
    line_columns_free(columns);
    return rc;
}

static int output_columns(struct service *s, const struct job *j, const struct input *in,
                          struct arena *a, struct bq_schema *out, struct error *e)
{
    struct bq_schema carried;

    assert(in->count > 0);
    if ((job_table_is_copy(str_of(in->file[0].path)) ? copied_columns(&in->file[0], a, &carried, e)
                                                     : lines_columns(s, in, a, &carried, e)) < 0)
        return -1;
    *out = table_output_columns(a, &carried, j->options.reuse);
    return 0;
}

/* ---- The output ---- */

struct str job_table_output(struct arena *a, const struct job *j)
{
    struct bq_name to;

    return str_of(vertex_output_table(a, j, &to) ? uri_text(a, &to) : "");
}

static int must_be_new(struct tables *t, struct arena *a, const struct tables_name *name,
                       struct error *e)
{
    struct tables_table table;
    struct error why = { 0 };

    if (t->ops->get(t, name, a, &table, &why) == 0)
        return error_set(e, ERROR_ALREADY_EXISTS,
                         "Already Exists: Table %s. The output must be a new table.",
                         tables_text(a, name));
    if (why.code == ERROR_NOT_FOUND)
        return 0;
    *e = why;
    return -1;
}

int job_table_check(struct service *s, struct arena *a, const struct job *j, const struct input *in,
                    struct error *e)
{
    struct bq_schema unused;
    struct bq_name to;

    if (!vertex_output_table(a, j, &to))
        return 0;
    struct tables_name name = tables_name_of(&to);
    struct tables *t = tables_for(s, a, j, &to, e);
    if (!t || must_be_new(t, a, &name, e) < 0)
        return -1;
    return in ? output_columns(s, j, in, a, &unused, e) : 0;
}

/* The job's dataset is made when it is not there, where the job runs. */
static int ensure_dataset(struct tables *t, struct arena *a, const struct job *j,
                          const struct tables_name *name, struct error *e)
{
    struct tables_dataset d = { .name = { name->project, name->dataset, { 0 } } }, found;
    struct buf options = BUF_INIT(LOCATION_BYTES + 64);
    struct json_writer w = JSON_WRITER(&options);
    struct error why = { 0 };

    if (t->ops->dataset_get(t, &d.name, a, &found, &why) == 0)
        return 0;
    json_object(&w, NULL);
    if (strcmp(j->location, "global") != 0)
        json_add_c(&w, "location", j->location);
    json_end(&w);
    d.options = buf_str(&options);
    int rc = why.code == ERROR_NOT_FOUND ? t->ops->dataset_create(t, &d, &why) : -1;
    buf_release(&options);
    if (rc == 0 || why.code == ERROR_ALREADY_EXISTS)
        return 0;
    *e = why;
    return -1;
}

/* The rows of the output file, some at a time. */
struct output_rows {
    struct tables *tables;
    struct tables_writer *writer;
    const struct bq_schema *schema;
    const char *path;
    int fd;
    struct buf text;  /* whole rows, and the beginning of the next */
    uint64_t offset;  /* in the file, of what follows text */
    struct arena row; /* of a batch */
    struct bq_cell *cell;
    uint32_t count, room; /* rows in cell, and that fit */
    int64_t rows;         /* read so far, with those in cell */
    int64_t durable;      /* rows that the table has already */
};

static int append_rows(struct output_rows *o, struct error *e)
{
    const struct bq_batch batch = { o->cell, o->count, o->schema->count };
    int rc = o->count ? o->tables->ops->writer_append(o->writer, &batch, o->rows, e) : 0;

    o->count = 0;
    arena_reset(&o->row);
    return rc;
}

static int take_row(struct output_rows *o, struct str row, struct error *e)
{
    if (++o->rows <= o->durable)
        return 0;
    struct bq_cell *cell = &o->cell[(size_t)o->count * o->schema->count];
    if (table_row_read(&o->row, o->schema, row, cell, e) < 0)
        return error_wrap(e, "row %" PRId64, o->rows);
    o->count++;
    return o->count < o->room ? 0 : append_rows(o, e);
}

/* Cells point into the text, so a batch ends with it. */
static int take_text(struct output_rows *o, struct error *e)
{
    struct str rest = buf_str(&o->text);
    const char *end;

    while ((end = rest.len ? memchr(rest.p, '\n', rest.len) : NULL)) {
        size_t len = (size_t)(end - rest.p);
        if (take_row(o, (struct str){ rest.p, len }, e) < 0)
            return -1;
        rest = str_sub(rest, len + 1, rest.len);
    }
    if (append_rows(o, e) < 0)
        return -1;
    memmove(o->text.p, rest.p, rest.len);
    o->text.len = rest.len;
    return 0;
}

static int write_rows(struct service *s, struct output_rows *o, struct error *e)
{
    for (;;) {
        size_t before = o->text.len;
        char *room = buf_extend(&o->text, OUTPUT_READ_BYTES);
        if (!room)
            return error_set(e, ERROR_INTERNAL, "a row of %s is too long", o->path);
        int64_t n = sys_read_at(o->fd, room, OUTPUT_READ_BYTES, o->offset, o->path, e);
        if (n < 0)
            return -1;
        o->text.len = before + (size_t)n;
        o->offset += (uint64_t)n;
        if (n == 0)
            return 0;
        if (take_text(o, e) < 0)
            return -1;
        if (atomic_load(&s->halt))
            return error_set(e, ERROR_CANCELLED, "interrupted");
    }
}

bool job_table_may_pass(const struct error *e)
{
    return error_retryable(e->code) || e->code == ERROR_CANCELLED ||
           e->code == ERROR_RESOURCE_EXHAUSTED;
}

/* The hidden rows of a table that cannot be made. */
static void drop_rows(struct tables *t, const struct tables_write *w)
{
    struct tables_write fresh = *w;
    struct error why;
    int64_t position;

    fresh.resume = false;
    struct tables_writer *writer = t->ops->write(t, &fresh, &position, &why);
    t->ops->writer_close(writer, false);
}

static int fill_table(struct service *s, struct tables *t, const struct tables_write *w,
                      const char *path, struct error *e)
{
    struct output_rows o = { .tables = t,
                             .schema = &w->schema,
                             .path = path,
                             .text = BUF_INIT(ROW_BYTES_MAX + OUTPUT_READ_BYTES),
                             .fd = sys_open(path, O_RDONLY, e) };
    struct tables_outcome outcome;
    int rc = -1;

    if (o.fd >= 0)
        o.writer = t->ops->write(t, w, &o.durable, e);
    if (o.writer) {
        o.room = 1 + (uint32_t)(OUTPUT_CELLS / w->schema.count);
        o.cell = mem_array((size_t)o.room * w->schema.count, sizeof *o.cell);
        rc = write_rows(s, &o, e);
    }
    if (rc == 0)
        rc = t->ops->writer_commit(o.writer, &outcome, e);
    else
        t->ops->writer_close(o.writer, true);
    if (rc < 0 && !job_table_may_pass(e))
        drop_rows(t, w);
    if (o.fd >= 0)
        (void)close(o.fd);
    mem_free(o.cell);
    arena_release(&o.row);
    buf_release(&o.text);
    return rc;
}

int job_table_write(struct service *s, struct arena *a, const struct job *j, const struct input *in,
                    const char *output, struct error *e)
{
    struct tables_write w = { .into = { .write = TABLES_WRITE_EMPTY }, .resume = true };
    struct tables_outcome outcome;
    char key[KEY_BYTES];
    struct bq_name to;

    if (!vertex_output_table(a, j, &to))
        return 0;
    struct tables *t = tables_for(s, a, j, &to, e);
    if (!t)
        return -1;
    w.into.name = tables_name_of(&to);
    /* One for the job, whichever stretch of its running gets here. */
    (void)snprintf(key, sizeof key, "batch job %" PRId64 " of %" PRId64, j->id, j->create_us);
    w.key = str_of(key);
    int done = t->ops->done(t, to.project, w.key, &outcome, e);
    if (done != 0)
        return done < 0 ? -1 : 0;
    if (ensure_dataset(t, a, j, &w.into.name, e) < 0 || must_be_new(t, a, &w.into.name, e) < 0 ||
        output_columns(s, j, in, a, &w.schema, e) < 0)
        return -1;
    return fill_table(s, t, &w, output, e);
}
