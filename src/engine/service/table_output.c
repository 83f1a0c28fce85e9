#include "engine/service/table_output.h"

#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sys.h"
#include "engine/service/service_inner.h"
#include "engine/service/table_input.h"
#include "format/job/table.h"
#include "format/job/vertex.h"

/* A batch is durable when it is written, which costs as much as thousands of rows. */
#define BATCH_BYTES ((size_t)8 * 1024 * 1024)
#define BATCH_CELLS ((size_t)256 * 1024)
#define KEY_BYTES 64

struct table_output {
    struct service *service;
    const struct job *job;
    const struct input *input;
    struct tables *tables;
    struct arena arena; /* of all that begin finds out */
    struct tables_write write;
    struct tables_writer *writer; /* NULL: not begun, or failed */
    char key[KEY_BYTES];
    bool done;        /* an earlier stretch has made the table */
    bool failed;      /* a row could not be taken; then none is before the end */
    struct buf text;  /* whole rows, and the beginning of the next */
    struct arena row; /* of a batch */
    struct bq_cell *cell;
    uint32_t count, room; /* rows in cell, and that fit */
    int64_t rows;         /* taken so far, with those in cell */
    int64_t durable;      /* rows that the table has already */
};

/* ---- Before it begins ---- */

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

static int columns_of(struct service *s, const struct job *j, const struct input *in,
                      struct arena *a, struct bq_schema *out, struct error *e)
{
    struct bq_schema carried;

    if (table_input_columns(s, in, a, &carried, e) < 0)
        return -1;
    *out = table_output_columns(a, &carried, j->options.reuse);
    return 0;
}

int table_output_check(struct service *s, struct arena *a, const struct job *j,
                       const struct input *in, struct error *e)
{
    struct bq_schema unused;
    struct bq_name to;

    if (!vertex_output_table(a, j, &to))
        return 0;
    struct tables_name name = table_input_name(&to);
    struct tables *t = table_input_tables(s, a, j, &to, e);
    if (!t || must_be_new(t, a, &name, e) < 0)
        return -1;
    return in ? columns_of(s, j, in, a, &unused, e) : 0;
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

/* ---- Rows ---- */

static int append_rows(struct table_output *o, struct error *e)
{
    const struct bq_batch batch = { o->cell, o->count, o->write.schema.count };
    int rc = o->count ? o->tables->ops->writer_append(o->writer, &batch, o->rows, e) : 0;

    o->count = 0;
    arena_reset(&o->row);
    return rc;
}

static int take_row(struct table_output *o, struct str row, struct error *e)
{
    if (++o->rows <= o->durable)
        return 0;
    struct bq_cell *cell = &o->cell[(size_t)o->count * o->write.schema.count];
    if (table_row_read(&o->row, &o->write.schema, row, cell, e) < 0)
        return error_wrap(e, "row %" PRId64, o->rows);
    o->count++;
    return o->count < o->room ? 0 : append_rows(o, e);
}

/* The whole rows of the text. Cells point into it, so the last batch ends with it. */
static int take_text(struct table_output *o, struct error *e)
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
    if (rest.len)
        memmove(o->text.p, rest.p, rest.len);
    o->text.len = rest.len;
    return 0;
}

static int take_bytes(struct table_output *o, const void *p, size_t len, struct error *e)
{
    buf_add(&o->text, p, len);
    if (!buf_ok(&o->text))
        return error_set(e, ERROR_INTERNAL, "row %" PRId64 " of the output is too long",
                         o->rows + 1);
    return o->text.len < BATCH_BYTES ? 0 : take_text(o, e);
}

/* ---- Begin and end ---- */

/* A writer that goes on where an earlier one was left, unless the table is made already. */
static int begin(struct table_output *o, struct error *e)
{
    struct tables_write *w = &o->write;
    struct tables_outcome outcome;
    struct bq_name to;

    arena_reset(&o->arena);
    (void)vertex_output_table(&o->arena, o->job, &to);
    o->tables = table_input_tables(o->service, &o->arena, o->job, &to, e);
    if (!o->tables)
        return -1;
    *w = (struct tables_write){ .into = { .name = table_input_name(&to),
                                          .write = TABLES_WRITE_EMPTY },
                                .key = str_of(o->key),
                                .resume = true };
    int done = o->tables->ops->done(o->tables, to.project, w->key, &outcome, e);
    o->done = done == 1;
    if (done != 0)
        return done < 0 ? -1 : 0;
    if (ensure_dataset(o->tables, &o->arena, o->job, &w->into.name, e) < 0 ||
        must_be_new(o->tables, &o->arena, &w->into.name, e) < 0 ||
        columns_of(o->service, o->job, o->input, &o->arena, &w->schema, e) < 0)
        return -1;
    o->writer = o->tables->ops->write(o->tables, w, &o->durable, e);
    if (!o->writer)
        return -1;
    o->room = 1 + (uint32_t)(BATCH_CELLS / w->schema.count);
    mem_free(o->cell);
    o->cell = mem_array((size_t)o->room * w->schema.count, sizeof *o->cell);
    o->rows = 0;
    o->count = 0;
    buf_clear(&o->text);
    return 0;
}

struct table_output *table_output_new(struct service *s, const struct job *j,
                                      const struct input *in)
{
    struct arena a = { 0 };
    struct bq_name unused;
    struct table_output *o = NULL;

    if (vertex_output_table(&a, j, &unused)) {
        o = mem_alloc(sizeof *o);
        o->service = s;
        o->job = j;
        o->input = in;
        o->text = BUF_INIT(ROW_BYTES_MAX + BATCH_BYTES);
        /* One for the job, whichever stretch of its running makes the table. */
        (void)snprintf(o->key, sizeof o->key, "batch job %" PRId64 " of %" PRId64, j->id,
                       j->create_us);
    }
    arena_release(&a);
    return o;
}

static void close_writer(struct table_output *o)
{
    if (o->writer)
        o->tables->ops->writer_close(o->writer, true);
    o->writer = NULL;
}

void table_output_free(struct table_output *o)
{
    if (!o)
        return;
    close_writer(o);
    mem_free(o->cell);
    arena_release(&o->row);
    arena_release(&o->arena);
    buf_release(&o->text);
    mem_free(o);
}

void table_output_take(void *arg, const void *p, size_t len)
{
    struct table_output *o = arg;
    struct error e = { .code = ERROR_OK };

    if (o->done || o->failed)
        return;
    int rc = o->writer ? 0 : begin(o, &e);
    if (rc == 0 && !o->done)
        rc = take_bytes(o, p, len, &e);
    if (rc == 0)
        return;
    log_warn("job %" PRId64 ": its table waits for the end: %s", o->job->id, e.msg);
    o->failed = true;
    close_writer(o);
}

/* All rows again, of the finished file: the table takes those that it lacks. */
static int take_file(struct table_output *o, const char *path, struct error *e)
{
    char *piece = mem_alloc(BATCH_BYTES);
    int fd = sys_open(path, O_RDONLY, e), rc = fd < 0 ? -1 : 0;
    int64_t n = 1;

    for (uint64_t at = 0; rc == 0 && n > 0; at += (uint64_t)n) {
        n = sys_read_at(fd, piece, BATCH_BYTES, at, path, e);
        rc = n < 0 ? -1 : take_bytes(o, piece, (size_t)n, e);
        if (rc == 0 && atomic_load(&o->service->halt))
            rc = error_set(e, ERROR_CANCELLED, "interrupted");
    }
    if (fd >= 0)
        (void)close(fd);
    mem_free(piece);
    return rc;
}

bool table_output_may_pass(const struct error *e)
{
    return error_retryable(e->code) || e->code == ERROR_CANCELLED ||
           e->code == ERROR_RESOURCE_EXHAUSTED;
}

/* The hidden rows of a table that cannot be made go. */
static void drop_rows(struct table_output *o)
{
    struct tables_write fresh = o->write;
    struct error why;
    int64_t position;

    fresh.resume = false;
    if (o->tables && fresh.schema.count)
        o->tables->ops->writer_close(o->tables->ops->write(o->tables, &fresh, &position, &why),
                                     false);
}

static int finish(struct table_output *o, const char *path, uint64_t rows, struct error *e)
{
    struct tables_outcome outcome;

    if (!o->done && !o->writer) { /* no row came by, or one could not be taken */
        if (begin(o, e) < 0 || (!o->done && take_file(o, path, e) < 0))
            return -1;
    }
    if (o->done)
        return 0;
    if (take_text(o, e) < 0)
        return -1;
    assert((uint64_t)o->rows == rows && o->text.len == 0); /* I1 */
    /* A client may have made one while the job ran, even one that could take the rows. */
    if (must_be_new(o->tables, &o->arena, &o->write.into.name, e) < 0)
        return -1;
    struct tables_writer *writer = o->writer;
    o->writer = NULL; /* the commit takes it */
    return o->tables->ops->writer_commit(writer, &outcome, e);
}

int table_output_finish(struct table_output *o, const char *path, uint64_t rows, struct error *e)
{
    int rc = finish(o, path, rows, e);

    close_writer(o);
    if (rc < 0 && !table_output_may_pass(e))
        drop_rows(o);
    return rc;
}

struct str table_output_uri(struct arena *a, const struct job *j)
{
    struct bq_name to;

    return str_of(vertex_output_table(a, j, &to) ? table_input_uri(a, &to) : "");
}
