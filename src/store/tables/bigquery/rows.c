/* rows.c -- rows of a table by tabledata.list, several requests at once.
 *
 * Why: one request brings at most some megabytes and takes most of a second, so a large table needs several at
 * a time. All must see one instant, and a table may change between two requests: rows that do not fit one
 * answer come from the result table of a query, which nobody changes.
 *
 * Shape:   each fetcher has a slot. It takes the next range of rows, fetches and reads a piece of it, and waits until
 *          the caller has taken that. A piece may be shorter than asked for: the rest of the range is fetched next.
 * Memory:  FETCHERS pieces of about PIECE_BYTES, and the batch that was given; a row larger than that alone.
 * Threads: up to FETCHERS of its own, which end with it.
 * Source:  https://cloud.google.com/bigquery/docs/reference/rest/v2/tabledata/list
 */
#include "store/tables/bigquery/inner.h"

#include <assert.h>
#include <string.h>

#include "base/thread.h"

#define FETCHERS 4
#define PIECE_BYTES ((int64_t)4 * 1024 * 1024)
#define PIECE_ROWS_MAX ((int64_t)10000)

struct piece {
    struct arena arena;
    struct bq_batch rows;
    int64_t total; /* rows of the table */
    bool more;     /* the table has rows behind them */
};

struct fetcher {
    struct tables_rows *owner;
    pthread_t thread;
    enum { FETCHING, READY, FAILED, OVER } state;
    int64_t range; /* number of the range that the piece begins, or goes on */
    bool last;     /* the piece ends its range */
    struct piece piece;
    struct error error;
};

struct tables_rows {
    struct bigquery *b;
    struct arena arena; /* of all that stays */
    struct tables_name name;
    const char *selected;    /* "&selectedFields=..."; or "" */
    struct bq_schema schema; /* of the rows, in the order asked for */
    uint32_t *place;         /* of each column in an answer */
    struct piece first;      /* an answer that had all rows, or none */
    bool first_given, single;
    int64_t begin, end, step; /* rows to read, and those of a range */
    atomic_bool stop;
    struct fetcher fetcher[FETCHERS];
    uint32_t fetchers; /* started */

    pthread_mutex_t lock; /* guards the states of the fetchers and what follows */
    pthread_cond_t changed;
    int64_t next; /* range that nobody has taken yet */
    int64_t head; /* range whose rows the caller gets next */
};

/* ---- An answer's rows ---- */

static struct bq_cell read_cell(struct arena *a, const struct bq_field *f, yyjson_val *v)
{
    if (f->mode == BQ_REPEATED)
        return (struct bq_cell){ false, !v || yyjson_is_null(v) ? STR("[]") : json_text(a, v) };
    if (!v || yyjson_is_null(v))
        return (struct bq_cell){ .null = true };
    if (yyjson_is_str(v))
        return (struct bq_cell){ false, json_str(v) };
    return (struct bq_cell){ false, json_text(a, v) };
}

static int read_rows(const struct tables_rows *r, yyjson_val *answer, struct piece *p,
                     struct error *e)
{
    yyjson_val *rows = json_get(answer, "rows");
    struct bq_cell *cell;
    uint32_t columns = r->schema.count, n = 0;

    p->total = rest_int(json_get(answer, "totalRows"));
    p->more = json_str(json_get(answer, "pageToken")).len > 0;
    p->rows = (struct bq_batch){ NULL, (uint32_t)yyjson_arr_size(rows), columns };
    cell = arena_array(&p->arena, (size_t)p->rows.rows * columns, sizeof *cell);
    yyjson_arr_iter it = yyjson_arr_iter_with(rows);
    for (yyjson_val *row; (row = yyjson_arr_iter_next(&it)); n++) {
        yyjson_val *f = json_get(row, "f");
        if (yyjson_arr_size(f) != columns)
            return error_set(e, ERROR_UNAVAILABLE,
                             "BigQuery gave a row with %zu cells for %u columns",
                             yyjson_arr_size(f), columns);
        for (uint32_t c = 0; c < columns; c++)
            cell[(size_t)n * columns + c] = read_cell(
                &p->arena, &r->schema.field[c], json_get(yyjson_arr_get(f, r->place[c]), "v"));
    }
    p->rows.cell = cell;
    return 0;
}

/* At most `count` rows from `start` on. */
static int fetch(const struct tables_rows *r, int64_t start, int64_t count, struct piece *p,
                 struct error *e)
{
    const struct str part[] = { r->name.project, r->name.dataset, r->name.table };
    struct rest_call call = { .method = "GET", .stop = &r->stop };

    arena_reset(&p->arena);
    call.path =
        arena_textf(&p->arena,
                    "%s?prettyPrint=false&formatOptions.useInt64Timestamp=true&startIndex=%lld&"
                    "maxResults=%lld%s",
                    rest_path(&p->arena, "/projects/{}/datasets/{}/tables/{}/data", part),
                    (long long)start, (long long)count, r->selected);
    yyjson_val *answer = rest_ask(r->b, &call, &p->arena, e);
    return answer ? read_rows(r, answer, p, e) : -1;
}

/* ---- Fetchers ---- */

/* Hands a piece over and waits until it is taken; false: it is time to end. */
static bool hand_over(struct fetcher *f, int state, bool last)
{
    struct tables_rows *r = f->owner;

    lock(&r->lock);
    f->state = state;
    f->last = last;
    cond_broadcast(&r->changed);
    while (f->state != FETCHING && !atomic_load(&r->stop))
        cond_wait(&r->changed, &r->lock);
    unlock(&r->lock);
    return !atomic_load(&r->stop);
}

static bool fetch_range(struct fetcher *f)
{
    struct tables_rows *r = f->owner;
    int64_t at = r->begin + f->range * r->step;
    int64_t end = at + r->step < r->end ? at + r->step : r->end;

    while (at < end) {
        if (fetch(r, at, end - at, &f->piece, &f->error) < 0) {
            (void)hand_over(f, FAILED, true);
            return false;
        }
        if (f->piece.rows.rows == 0) {
            (void)error_set(&f->error, ERROR_UNAVAILABLE, "BigQuery gave no row from row %lld on",
                            (long long)at);
            (void)hand_over(f, FAILED, true);
            return false;
        }
        at += f->piece.rows.rows;
        if (!hand_over(f, READY, at >= end))
            return false;
    }
    return true;
}

static void *fetch_all(void *arg)
{
    struct fetcher *f = arg;
    struct tables_rows *r = f->owner;
    bool more = true;

    while (more) {
        lock(&r->lock);
        f->range = r->next++;
        unlock(&r->lock);
        more = r->begin + f->range * r->step < r->end && fetch_range(f);
    }
    lock(&r->lock);
    if (f->state != FAILED)
        f->state = OVER;
    cond_broadcast(&r->changed);
    unlock(&r->lock);
    return NULL;
}

static int start_fetchers(struct tables_rows *r, struct error *e)
{
    int64_t ranges = (r->end - r->begin + r->step - 1) / r->step;

    for (; r->fetchers < FETCHERS && r->fetchers < ranges; r->fetchers++) {
        struct fetcher *f = &r->fetcher[r->fetchers];
        f->owner = r;
        if (pthread_create(&f->thread, NULL, fetch_all, f) != 0)
            return r->fetchers ? 0
                               : error_set(e, ERROR_RESOURCE_EXHAUSTED, "no thread to read rows");
    }
    return 0;
}

/* ---- Columns ---- */

/* The field with only the parts that are asked for: those of "a.b" when path is "a.b". */
static struct bq_field field_part(struct arena *a, const struct bq_field *f, struct str rest,
                                  bool *found)
{
    struct bq_field out = *f;
    struct str step;

    if (!str_next(&rest, '.', &step))
        return out;
    const struct bq_schema inside = { f->fields, f->field_count };
    const struct bq_field *part = f->type == BQ_RECORD ? bq_schema_find(&inside, step) : NULL;
    *found = part != NULL;
    if (!part)
        return out;
    out.fields = arena_alloc(a, sizeof *out.fields);
    *out.fields = field_part(a, part, rest, found);
    out.field_count = 1;
    return out;
}

static int choose_column(struct tables_rows *r, const struct bq_schema *all, struct str path,
                         uint32_t *index, struct error *e)
{
    struct str rest = path, top;
    bool found = str_next(&rest, '.', &top);
    const struct bq_field *f = found ? bq_schema_find(all, top) : NULL;

    if (f) {
        r->schema.field[r->schema.count++] = field_part(&r->arena, f, rest, &found);
        *index = (uint32_t)(f - all->field);
    }
    return f && found
               ? 0
               : error_set(e, ERROR_INVALID_ARGUMENT, "Unrecognized column: %.*s", STR_ARG(path));
}

/* The columns are asked for in the table's order, in which an answer has them. */
static void write_selected(struct tables_rows *r, const struct tables_read *read,
                           const uint32_t *index, uint32_t columns)
{
    struct buf query = BUF_INIT((size_t)1024 * 1024);

    for (uint32_t at = 0; read->columns && at < columns; at++)
        for (uint32_t i = 0; i < read->column_count; i++)
            if (index[i] == at)
                buf_addf(&query, "%s%s", query.len ? "," : "&selectedFields=",
                         rest_path(&r->arena, "{}", &read->columns[i]));
    r->selected = query.len ? arena_copy(&r->arena, query.p, query.len) : "";
    buf_release(&query);
}

static int choose_columns(struct tables_rows *r, const struct bq_schema *all,
                          const struct tables_read *read, struct error *e)
{
    uint32_t count = read->columns ? read->column_count : all->count;
    uint32_t *index = arena_array(&r->arena, count, sizeof *index);

    r->place = arena_array(&r->arena, count, sizeof *r->place);
    r->schema.field = arena_array(&r->arena, count, sizeof *r->schema.field);
    for (uint32_t i = 0; i < count; i++) {
        if (!read->columns) {
            r->schema.field[r->schema.count++] = all->field[i];
            index[i] = i;
        } else if (choose_column(r, all, read->columns[i], &index[i], e) < 0) {
            return -1;
        }
    }
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t k = 0; k < count; k++)
            r->place[i] += index[k] < index[i];
    write_selected(r, read, index, all->count);
    return 0;
}

/* ---- Of one instant ---- */

static bool is_result(const struct tables_name *n)
{
    return n->dataset.len && n->dataset.p[0] == '_';
}

/* The rows as they are now, in a table that nobody changes; r->name becomes its. The query keeps the order of the
 * columns, so that places stay. */
static int take_snapshot(struct tables_rows *r, const struct bq_schema *all, struct error *e)
{
    struct buf sql = BUF_INIT((size_t)1024 * 1024);
    struct tables_result result;
    uint32_t count = 0;

    for (uint32_t i = 0; i < all->count; i++)
        if (bq_schema_find(&r->schema, all->field[i].name))
            buf_addf(&sql, "%s`%.*s`", count++ ? ", " : "SELECT ", STR_ARG(all->field[i].name));
    buf_addf(&sql, " FROM `%.*s.%.*s.%.*s`", STR_ARG(r->name.project), STR_ARG(r->name.dataset),
             STR_ARG(r->name.table));
    const struct tables_query query = { .project = rest_payer(r->b, r->name.project),
                                        .sql = rest_copy(&r->arena, buf_str(&sql)) };
    buf_release(&sql);
    if (rest_query(&r->b->tables, &query, &r->arena, &result, e) < 0)
        return -1;
    r->name = result.destination;
    return 0;
}

/* Several requests at once for the rows of a table that nobody changes. */
static int begin_ranges(struct tables_rows *r, struct error *e)
{
    struct tables_table table;

    if (rest_table_get(&r->b->tables, &r->name, &r->arena, &table, e) < 0)
        return -1;
    int64_t bytes = table.rows > 0 ? table.bytes / table.rows + 1 : PIECE_BYTES;
    r->step = PIECE_BYTES / bytes < 1 ? 1 : PIECE_BYTES / bytes;
    r->step = r->step < PIECE_ROWS_MAX ? r->step : PIECE_ROWS_MAX;
    r->end = table.rows < r->end ? table.rows : r->end;
    return start_fetchers(r, e);
}

static int begin(struct tables_rows *r, const struct tables_read *read, struct error *e)
{
    struct tables_table table;

    if (rest_table_get(&r->b->tables, &read->name, &r->arena, &table, e) < 0)
        return -1;
    r->name = table.name;
    r->begin = read->start;
    r->end = read->limit ? read->start + read->limit : INT64_MAX;
    if (choose_columns(r, &table.schema, read, e) < 0)
        return -1;
    r->single = r->schema.count == 0;
    if (r->single)
        return 0;
    bool fixed = is_result(&r->name) || table.kind == TABLES_VIEW;
    if (table.kind == TABLES_VIEW && take_snapshot(r, &table.schema, e) < 0)
        return -1;
    int64_t want = read->limit && read->limit < PIECE_ROWS_MAX ? read->limit : PIECE_ROWS_MAX;
    if (fetch(r, r->begin, want, &r->first, e) < 0)
        return -1;
    r->single = !r->first.more || r->first.rows.rows >= r->end - r->begin;
    if (r->single)
        return 0;
    if (!fixed && take_snapshot(r, &table.schema, e) < 0)
        return -1;
    return begin_ranges(r, e);
}

struct tables_rows *rest_rows_open(struct tables *t, const struct tables_read *read,
                                   struct arena *a, struct bq_schema *schema, struct error *e)
{
    struct tables_rows *r = mem_alloc(sizeof *r);

    r->b = rest_of(t);
    lock_init(&r->lock);
    cond_init(&r->changed);
    if (begin(r, read, e) < 0) {
        rest_rows_close(r);
        return NULL;
    }
    *schema = bq_schema_copy(a, &r->schema);
    return r;
}

/* ---- For the caller ---- */

/* The rows in the caller's arena, in one block. */
static void copy_rows(const struct bq_batch *from, struct arena *a, struct bq_batch *out)
{
    size_t count = (size_t)from->rows * from->columns, bytes = 0;
    struct bq_cell *cell = arena_array(a, count, sizeof *cell);

    for (size_t i = 0; i < count; i++)
        bytes += from->cell[i].text.len;
    char *text = arena_alloc_raw(a, bytes + 1);
    for (size_t i = 0; i < count; i++) {
        cell[i] = from->cell[i];
        if (cell[i].text.len)
            memcpy(text, cell[i].text.p, cell[i].text.len);
        cell[i].text.p = text;
        text += cell[i].text.len;
    }
    *out = (struct bq_batch){ cell, from->rows, from->columns };
}

static struct fetcher *fetcher_of(struct tables_rows *r, int64_t range)
{
    for (uint32_t i = 0; i < r->fetchers; i++)
        if (r->fetcher[i].range == range && r->fetcher[i].state != FETCHING &&
            r->fetcher[i].state != OVER)
            return &r->fetcher[i];
    return NULL;
}

int rest_rows_next(struct tables_rows *r, struct arena *a, struct bq_batch *out, struct error *e)
{
    struct fetcher *f;
    int rc = 1;

    if (r->single) {
        bool given = r->first_given || r->first.rows.rows == 0;
        r->first_given = true;
        if (!given)
            copy_rows(&r->first.rows, a, out);
        return given ? 0 : 1;
    }
    if (r->begin + r->head * r->step >= r->end)
        return 0;
    lock(&r->lock);
    while (!(f = fetcher_of(r, r->head)))
        cond_wait(&r->changed, &r->lock);
    unlock(&r->lock);
    if (f->state == FAILED) {
        *e = f->error;
        return -1;
    }
    assert(f->state == READY && f->piece.rows.rows > 0);
    copy_rows(&f->piece.rows, a, out);
    lock(&r->lock);
    if (f->last)
        r->head++;
    f->state = FETCHING;
    cond_broadcast(&r->changed);
    unlock(&r->lock);
    return rc;
}

void rest_rows_close(struct tables_rows *r)
{
    if (!r)
        return;
    lock(&r->lock);
    atomic_store(&r->stop, true);
    cond_broadcast(&r->changed);
    unlock(&r->lock);
    for (uint32_t i = 0; i < r->fetchers; i++) {
        thread_join(r->fetcher[i].thread);
        arena_release(&r->fetcher[i].piece.arena);
    }
    arena_release(&r->first.arena);
    arena_release(&r->arena);
    cond_destroy(&r->changed);
    lock_destroy(&r->lock);
    mem_free(r);
}
