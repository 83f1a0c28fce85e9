#include "app/run/bigquery_tables.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/random.h"
#include "base/sys.h"
#include "engine/lines/columns.h"
#include "engine/lines/digest.h"
#include "format/bigquery/name.h"

#define WRITE_BYTES ((size_t)1024 * 1024)
#define COPY_LINE_BYTES_MAX ((size_t)256 * 1024 * 1024)
#define SCHEMA_BYTES_MAX ((size_t)16 * 1024 * 1024)
#define KEY_FACT "table"
#define KEY_BYTES 33
#define BATCH_BYTES ((size_t)8 * 1024 * 1024)

bool bigquery_tables_are(const char *const *path, uint32_t count)
{
    bool found = false;

    for (uint32_t i = 0; i < count; i++)
        found |= bq_is(str_of(path[i]));
    return found;
}

static int open_tables(struct bigquery_tables *t, struct error *e)
{
    if (t->tables)
        return 0;
    const char *folder = arena_textf(t->arena, "%s/bigquery", t->state_root);
    t->tables = config_bigquery_open(t->config, t->endpoint, folder, clock_system(), e);
    if (!t->tables)
        return -1;
    return t->tables->ops->sweep(t->tables, e);
}

void bigquery_tables_close(struct bigquery_tables *t)
{
    if (t->tables)
        t->tables->ops->close(t->tables);
    t->tables = NULL;
}

static int read_name(const char *text, struct tables_name *out, struct error *e)
{
    struct bq_name n;

    if (!bq_split(str_of(text), &n) || !n.table.len)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "%s is not a table: write bq://PROJECT.DATASET.TABLE", text);
    *out = (struct tables_name){ n.project, n.dataset, n.table };
    return 0;
}

/* ---- In ---- */

struct copying {
    struct bigquery_tables *t;
    struct tables_name name;
    struct tables_table table;
    const char *uri;
    bool to_lines;
    struct buf out;
    struct arena row;
    int fd;
    const char *path; /* of the copy while it is made */
    uint64_t rows;
};

static void write_row(struct copying *c, const struct bq_schema *s, const struct bq_cell *cell)
{
    struct json_writer w = JSON_WRITER(&c->out);

    if (!c->t->plain) {
        arena_reset(&c->row);
        table_line_write(&c->row, s, cell, c->to_lines, &c->out);
        return;
    }
    json_object(&w, NULL);
    for (uint32_t i = 0; i < s->count; i++) {
        json_key(&w, s->field[i].name);
        if (cell[i].null)
            json_add_null(&w, NULL);
        else
            bq_cell_to_json(&w, NULL, &s->field[i], cell[i]);
    }
    json_end(&w);
    buf_add_char(&c->out, '\n');
}

static int flush(struct copying *c, struct error *e)
{
    if (!buf_ok(&c->out))
        return error_set(e, ERROR_INVALID_ARGUMENT, "%s: row %" PRIu64 " is longer than %zu bytes",
                         c->uri, c->rows, COPY_LINE_BYTES_MAX);
    int rc = sys_write_all(c->fd, c->out.p ? c->out.p : "", c->out.len, c->path, e);
    buf_clear(&c->out);
    return rc;
}

static int copy_rows(struct copying *c, struct tables_rows *rows, const struct bq_schema *schema,
                     struct error *e)
{
    struct arena a = { 0 };
    struct bq_batch batch;
    int rc;

    while ((rc = c->t->tables->ops->rows_next(rows, &a, &batch, e)) == 1) {
        for (uint32_t i = 0; i < batch.rows && rc == 1; i++, c->rows++) {
            write_row(c, schema, &batch.cell[(size_t)i * batch.columns]);
            if (c->out.len >= WRITE_BYTES && flush(c, e) < 0)
                rc = -1;
        }
        if (rc == 1 && c->t->stop && atomic_load(c->t->stop))
            rc = error_set(e, ERROR_CANCELLED, "interrupted");
        if (rc < 0)
            break;
        arena_reset(&a);
    }
    arena_release(&a);
    return rc < 0 ? -1 : flush(c, e);
}

static int fill_copy(struct copying *c, struct error *e)
{
    const struct tables_read read = { .name = c->name, .limit = (int64_t)c->t->limit };
    const struct tables_ops *ops = c->t->tables->ops;
    struct bq_schema schema;
    struct tables_rows *rows = ops->read(c->t->tables, &read, c->t->arena, &schema, e);
    int rc = rows ? copy_rows(c, rows, &schema, e) : -1;

    ops->rows_close(rows);
    buf_release(&c->out);
    arena_release(&c->row);
    return rc == 0 ? sys_sync(c->fd, c->path, e) : rc;
}

/* Copies it to `path`, whole or not at all. */
static int make_copy(struct copying *c, const char *path, struct error *e)
{
    struct error ignored;

    c->path = arena_textf(c->t->arena, "%s.%ld", path, (long)getpid());
    c->out = BUF_INIT(COPY_LINE_BYTES_MAX);
    c->fd = sys_open(c->path, O_WRONLY | O_CREAT | O_TRUNC, e);
    if (c->fd < 0)
        return -1;
    int rc = fill_copy(c, e);
    (void)close(c->fd);
    if (rc == 0)
        rc = sys_rename(c->path, path, e);
    if (rc < 0 && sys_remove_all(c->path, &ignored) < 0)
        return error_wrap(e, "%s stays behind", c->path);
    return rc < 0 ? error_wrap(e, "%s", c->uri) : 0;
}

/* All that decides the bytes of a copy. */
static const char *copy_path(const struct copying *c)
{
    const struct bigquery_tables *t = c->t;
    struct buf facts = BUF_INIT(SCHEMA_BYTES_MAX);
    uint64_t digest[2];

    buf_addf(&facts, "%s %s %s %s %d %d %" PRIu64 " %" PRId64 " %" PRId64, c->uri,
             t->endpoint ? t->endpoint : "",
             t->config->bigquery.endpoint ? t->config->bigquery.endpoint : "", c->table.etag,
             t->plain, c->to_lines, t->limit, c->table.changed_ms, c->table.rows);
    digest_of(facts.p, facts.len, digest);
    buf_release(&facts);
    return arena_textf(t->arena, "%s/inputs/bq-%016" PRIx64 "%016" PRIx64, t->state_root, digest[0],
                       digest[1]);
}

static bool same_columns(const struct bq_schema *a, const struct bq_schema *b)
{
    bool same = a->count == b->count;

    for (uint32_t i = 0; i < a->count && same; i++)
        same = str_eq(a->field[i].name, b->field[i].name) && a->field[i].type == b->field[i].type &&
               (a->field[i].mode == BQ_REPEATED) == (b->field[i].mode == BQ_REPEATED);
    return same;
}

static int look(struct copying *c, bool first, struct error *e)
{
    struct bigquery_tables *t = c->t;

    if (!bq_is(str_of(c->uri)))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "%s and tables of BigQuery cannot be inputs of one run", c->uri);
    if (read_name(c->uri, &c->name, e) < 0)
        return -1;
    if (t->tables->ops->get(t->tables, &c->name, t->arena, &c->table, e) < 0)
        return error_wrap(e, "%s", c->uri);
    if (!t->plain && table_source_check(&c->table.schema, str_of(c->uri), e) < 0)
        return -1;
    if (first)
        t->columns = c->table.schema;
    return same_columns(&t->columns, &c->table.schema)
               ? 0
               : error_set(e, ERROR_INVALID_ARGUMENT,
                           "%s has other columns or types than the table before it", c->uri);
}

/* Opens the copy, which is made unless an earlier run has. The input removes its own link to it. */
static int open_copy(struct copying *c, uint32_t number, struct input_source *out, struct error *e)
{
    struct bigquery_tables *t = c->t;
    const char *path = copy_path(c);
    const char *link_path =
        arena_textf(t->arena, "%s/inputs/table.%ld.%u", t->state_root, (long)getpid(), number);

    if ((t->fresh || access(path, R_OK) != 0) && make_copy(c, path, e) < 0)
        return -1;
    if (c->table.kind == TABLES_VIEW)
        t->view_copy = path;
    if (link(path, link_path) < 0)
        return error_errno(e, "%s", link_path);
    out->name = c->uri;
    out->copy = link_path;
    out->fd = sys_open(link_path, O_RDONLY, e);
    return out->fd < 0 ? -1 : 0;
}

/* A copy that cannot be removed stays until the next run. */
static void remove_old(const char *folder)
{
    int64_t before_s =
        clock_system()->wall_us(clock_system()) / 1000000 - (int64_t)BIGQUERY_COPY_DAYS * 24 * 3600;
    DIR *dir = opendir(folder);
    struct dirent *entry;

    /* NOLINTNEXTLINE(concurrency-mt-unsafe): no other thread has this stream */
    while (dir && (entry = readdir(dir))) {
        struct stat st;
        if (strncmp(entry->d_name, "bq-", 3) == 0 &&
            fstatat(dirfd(dir), entry->d_name, &st, 0) == 0 && st.st_mtim.tv_sec < before_s)
            (void)unlinkat(dirfd(dir), entry->d_name, 0);
    }
    if (dir)
        (void)closedir(dir);
}

int bigquery_tables_input(struct bigquery_tables *t, const char *const *path, uint32_t count,
                          bool to_lines, struct input *in, struct error *e)
{
    struct input_source *source = arena_array(t->arena, count, sizeof *source);
    const char *folder = arena_textf(t->arena, "%s/inputs", t->state_root);
    uint32_t opened = 0;

    if (open_tables(t, e) < 0 || sys_mkdirs(folder, e) < 0)
        return -1;
    remove_old(folder);
    for (; opened < count; opened++) {
        struct copying c = { .t = t, .uri = path[opened], .to_lines = to_lines };
        if (look(&c, opened == 0, e) < 0 || open_copy(&c, opened, &source[opened], e) < 0)
            break;
    }
    if (opened == count)
        return input_open_fds(in, source, count, e);
    while (opened > 0) {
        (void)close(source[--opened].fd);
        (void)unlink(source[opened].copy);
    }
    return -1;
}

void bigquery_tables_end(struct bigquery_tables *t)
{
    if (t->view_copy)
        (void)unlink(t->view_copy);
}

/* ---- The output's columns ---- */

static enum bq_type type_of(struct str sql)
{
    enum bq_type type = BQ_STRING;

    if (str_eq_c(sql, "DOUBLE"))
        return BQ_FLOAT;
    return bq_type_find(sql, &type) ? type : BQ_STRING; /* VARCHAR */
}

static void add_column(struct bq_schema *out, struct str name, enum bq_type type)
{
    out->field[out->count++] = (struct bq_field){ .name = name, .type = type };
}

/* The columns in the order in which the sheet writes them. Those of files are texts. */
static struct bq_schema sheet_columns(const struct bigquery_tables *t, const struct sheet *s)
{
    struct bq_schema out = {
        arena_array(t->arena, s->columns.count + s->added_count, sizeof *out.field), 0
    };

    for (uint32_t i = 0; i < s->columns.count; i++) {
        const struct bq_field *f = bq_schema_find(&t->columns, s->columns.name[i]);
        if (!s->keep[i])
            continue;
        add_column(&out, s->columns.name[i], BQ_STRING);
        if (f)
            out.field[out.count - 1] = *f;
        if (f && f->mode == BQ_REQUIRED)
            out.field[out.count - 1].mode = BQ_NULLABLE;
    }
    for (uint32_t i = 0; i < s->added_count; i++) {
        enum bq_type type = i < s->field_count ? type_of(s->field_type[i]) : BQ_STRING;
        add_column(&out, s->added[i], i == s->tokens_at ? BQ_INTEGER : type);
    }
    return out;
}

static int check_columns(struct bigquery_tables *t, struct error *e)
{
    struct buf text = BUF_INIT(SCHEMA_BYTES_MAX);
    struct json_writer w = JSON_WRITER(&text);
    struct bq_schema unused;

    bq_schema_write(&w, NULL, &t->made, false);
    int rc = bq_schema_parse(buf_str(&text), t->arena, &unused, e);
    buf_release(&text);
    return rc < 0 ? error_wrap(e, "the input's columns cannot be those of a table; leave them out "
                                  "with --keep-columns, or rename them")
                  : 0;
}

int bigquery_tables_plan(struct bigquery_tables *t, const char *output, const struct input *in,
                         const struct sheet *sheet, struct error *e)
{
    struct bq_schema carried = t->columns;
    struct tables_dataset dataset;

    if (read_name(output, &t->output, e) < 0 || open_tables(t, e) < 0)
        return -1;
    for (uint32_t i = 0; i < in->count; i++)
        if (strcmp(in->file[i].path, output) == 0)
            return error_set(e, ERROR_INVALID_ARGUMENT,
                             "the output %s is the input; choose another with -o OUTPUT", output);
    if (t->tables->ops->dataset_get(t->tables, &t->output, t->arena, &dataset, e) < 0)
        return error_wrap(e, "%s", output);
    if (sheet) {
        t->made = sheet_columns(t, sheet);
        return check_columns(t, e);
    }
    if (!carried.count && columns_of_lines(in, t->stop, t->arena, &carried, e) < 0)
        return -1;
    t->made = table_output_columns(t->arena, &carried, false);
    return 0;
}

int bigquery_tables_made(struct bigquery_tables *t, struct error *e)
{
    struct tables_table table;
    struct error why = { 0 };

    if (t->tables->ops->get(t->tables, &t->output, t->arena, &table, &why) == 0)
        return 1;
    if (why.code == ERROR_NOT_FOUND)
        return 0;
    *e = why;
    return -1;
}

/* The key of the load job: in the spool, so that it goes when the run is forgotten. */
static int key_read(struct spool *spool, struct buf *key, struct error *e)
{
    char text[KEY_BYTES];
    int rc = spool_fact_get(spool, KEY_FACT, key, e);

    if (rc < 0 || key->len)
        return rc < 0 ? -1 : 0;
    if (random_hex(text, KEY_BYTES / 2, e) < 0 ||
        spool_fact_set(spool, KEY_FACT, str_of(text), e) < 0)
        return -1;
    buf_add_c(key, text);
    return 0;
}

int bigquery_tables_begin(struct bigquery_tables *t, struct spool *spool, bool overwrite,
                          struct error *e)
{
    struct buf key = BUF_INIT(256);
    struct tables_outcome outcome;
    int rc = key_read(spool, &key, e);

    if (rc == 0 && !overwrite)
        rc = t->tables->ops->done(t->tables, t->output.project, buf_str(&key), &outcome, e);
    buf_release(&key);
    if (rc != 0 || overwrite)
        return rc < 0 ? -1 : 0;
    int made = bigquery_tables_made(t, e);
    if (made <= 0)
        return made;
    return error_set(e, ERROR_ALREADY_EXISTS,
                     "Table %s exists already: name another with -o, or replace it with "
                     "--overwrite",
                     tables_text(t->arena, &t->output));
}

/* ---- Rows of the output ---- */

struct loading {
    struct bigquery_tables *t;
    struct tables_writer *writer;
    struct bq_cell *cell; /* of the batch */
    uint32_t count, room; /* rows */
    int64_t rows, durable;
    size_t bytes;       /* of the batch */
    struct arena arena; /* of the batch */
};

static int append(struct loading *l, struct error *e)
{
    const struct bq_batch batch = { l->cell, l->count, l->t->made.count };
    int rc = l->count ? l->t->tables->ops->writer_append(l->writer, &batch, l->rows, e) : 0;

    l->count = 0;
    l->bytes = 0;
    arena_reset(&l->arena);
    return rc;
}

/* A value that is not of its column's type stays a text where the column takes one. */
static int read_plain(struct loading *l, struct str text, struct bq_cell *cell, struct error *e)
{
    size_t at;
    yyjson_val *row = json_parse(&l->arena, text, &at, e);

    for (uint32_t i = 0; row && i < l->t->made.count; i++) {
        const struct bq_field *f = &l->t->made.field[i];
        yyjson_val *v = yyjson_obj_getn(row, f->name.p, f->name.len);
        bool null = !v || yyjson_is_null(v);
        bool as_text = f->type == BQ_JSON || (f->type == BQ_STRING && !yyjson_is_str(v));
        if (as_text && !null && f->mode != BQ_REPEATED)
            cell[i] = (struct bq_cell){ false, json_text(&l->arena, v) };
        else if (bq_cell_from_json(&l->arena, f, v, true, &cell[i], e) < 0)
            return error_wrap(e, "column %.*s", STR_ARG(f->name));
    }
    return row ? 0 : -1;
}

static int take_row(struct loading *l, struct str line, struct error *e)
{
    if (++l->rows <= l->durable)
        return 0;
    struct str text = { arena_copy(&l->arena, line.p, line.len), line.len };
    struct bq_cell *cell = &l->cell[(size_t)l->count * l->t->made.count];
    int rc = l->t->plain ? read_plain(l, text, cell, e)
                         : table_row_read(&l->arena, &l->t->made, text, cell, e);
    if (rc < 0)
        return error_wrap(e, "row %" PRId64 " of the output", l->rows);
    l->count++;
    l->bytes += line.len;
    return l->count < l->room && l->bytes < BATCH_BYTES ? 0 : append(l, e);
}

/* The whole rows of the text; the beginning of the next one stays in it. */
static int take_rows(struct loading *l, struct buf *text, struct error *e)
{
    struct str rest = buf_str(text);
    const char *end;

    while ((end = rest.len ? memchr(rest.p, '\n', rest.len) : NULL)) {
        size_t len = (size_t)(end - rest.p);
        if (take_row(l, (struct str){ rest.p, len }, e) < 0)
            return -1;
        rest = str_sub(rest, len + 1, rest.len);
    }
    if (rest.len)
        memmove(text->p, rest.p, rest.len);
    text->len = rest.len;
    return 0;
}

static int take_file(struct loading *l, const char *path, struct error *e)
{
    struct buf text = BUF_INIT(COPY_LINE_BYTES_MAX + BATCH_BYTES);
    int fd = sys_open(path, O_RDONLY, e), rc = fd < 0 ? -1 : 0;
    int64_t n = 1;

    for (uint64_t at = 0; rc == 0 && n > 0; at += (uint64_t)n) {
        char *piece = buf_extend(&text, BATCH_BYTES);
        n = piece ? sys_read_at(fd, piece, BATCH_BYTES, at, path, e)
                  : error_set(e, ERROR_INTERNAL, "a row of %s is too long", path);
        if (n >= 0)
            text.len -= BATCH_BYTES - (size_t)n;
        rc = n < 0 ? -1 : take_rows(l, &text, e);
    }
    if (rc == 0)
        rc = append(l, e);
    if (fd >= 0)
        (void)close(fd);
    buf_release(&text);
    return rc;
}

int bigquery_tables_output(struct bigquery_tables *t, struct spool *spool, const char *rows,
                           bool overwrite, struct error *e)
{
    struct buf key = BUF_INIT(256);
    struct tables_write w = {
        .into = { .name = t->output,
                  .write = overwrite ? TABLES_WRITE_TRUNCATE : TABLES_WRITE_EMPTY },
        .schema = t->made,
        .resume = true,
    };
    struct loading l = { .t = t, .room = TABLES_BATCH_ROWS };
    struct tables_outcome outcome;

    if (key_read(spool, &key, e) < 0)
        return -1;
    w.key = buf_str(&key);
    l.writer = t->tables->ops->write(t->tables, &w, &l.durable, e);
    l.cell = mem_array((size_t)l.room * t->made.count, sizeof *l.cell);
    int rc = l.writer ? take_file(&l, rows, e) : -1;
    if (l.writer && rc < 0)
        t->tables->ops->writer_close(l.writer, true);
    else if (l.writer)
        rc = t->tables->ops->writer_commit(l.writer, &outcome, e);
    mem_free(l.cell);
    arena_release(&l.arena);
    buf_release(&key);
    return rc;
}
