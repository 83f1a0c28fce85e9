/* relations.c -- embedded.h: tables and views. */
#include <assert.h>
#include <string.h>

#include "base/thread.h"
#include "format/sql/sql.h"
#include "store/tables/duckdb/embedded.h"
#include "store/tables/duckdb/engine.h"

/* One operation on a table, within a change. */
struct relation_work {
    const struct tables_table *t;
    struct tables_name name;
    struct str view_sql; /* SELECT of the engine */
    struct str *defaults;
};

static struct project *enter_of(struct tables *t, const struct tables_name *name, struct error *e)
{
    struct tables_name dataset = { name->project, name->dataset, { NULL, 0 } };
    struct project *p = project_enter(embedded_of(t), name->project, false, e);

    if (!p && e->code == ERROR_NOT_FOUND)
        (void)not_found(e, &dataset);
    return p;
}

/* ---- Making ---- */

static int make_physical(struct project *p, const struct dataset_row *d, struct str physical,
                         const struct tables_table *t, const struct str *defaults, struct error *e)
{
    sql_start(&p->meta, "CREATE TABLE ");
    catalog_add_path(p, &p->meta.sql, d->physical, physical);
    catalog_add_columns(&p->meta.sql, &t->schema, defaults);
    if (sql_run(&p->meta, e) < 0)
        return -1;
    return catalog_add_partition_time(p, t, d->physical, physical, e);
}

/* The dataset's default expiration counts from now. */
static int64_t expiration(const struct project *p, const struct dataset_row *d, int64_t given)
{
    return given || !d->d.default_expiration_ms ? given
                                                : project_now_ms(p) + d->d.default_expiration_ms;
}

int relation_make(struct project *p, const struct tables_table *t, const struct str *defaults,
                  struct error *e)
{
    struct tables_table made = *t;
    struct arena a = { 0 };
    struct str physical = { NULL, 0 };
    struct dataset_row d;
    struct table_row old;
    int rc = catalog_need_dataset(p, &t->name, &a, &d, e);

    if (rc == 0)
        rc = catalog_find_table(p, &t->name, &a, &old, e);
    if (rc > 0)
        rc = already_exists(e, &t->name);
    if (rc == 0 && t->schema.count) {
        rc = catalog_free_name(p, d.physical, t->name.table, &a, &physical, e);
        if (rc == 0)
            rc = make_physical(p, &d, physical, t, defaults, e);
    }
    made.expires_ms = expiration(p, &d, t->expires_ms);
    if (rc == 0)
        rc = catalog_add_table(p, &p->meta, &made, physical, e);
    arena_release(&a);
    return rc;
}

static int make_view(struct project *p, const struct relation_work *work, struct error *e)
{
    struct tables_table made = *work->t;
    struct connection *c = &p->meta;
    struct arena a = { 0 };
    struct str physical;
    struct dataset_row d;
    struct table_row old;
    int rc = catalog_need_dataset(p, &made.name, &a, &d, e);

    if (rc == 0)
        rc = catalog_find_table(p, &made.name, &a, &old, e);
    if (rc > 0)
        rc = already_exists(e, &made.name);
    if (rc == 0)
        rc = catalog_free_name(p, d.physical, made.name.table, &a, &physical, e);
    if (rc == 0) {
        sql_start(c, "CREATE VIEW ");
        catalog_add_path(p, &c->sql, d.physical, physical);
        sql_addf(c, " AS ");
        buf_add_str(&c->sql, work->view_sql);
        rc = sql_run(c, e) < 0 ? -1 : 0;
    }
    made.expires_ms = expiration(p, &d, made.expires_ms);
    if (rc == 0)
        rc = catalog_add_table(p, &p->meta, &made, physical, e);
    arena_release(&a);
    return rc;
}

static int create(struct project *p, void *arg, struct error *e)
{
    const struct relation_work *work = arg;

    return work->t->kind == TABLES_VIEW ? make_view(p, work, e)
                                        : relation_make(p, work->t, work->defaults, e);
}

/* Translates before the change: a view's query, or the defaults of columns. */
static int translate(struct project *p, struct tables_table *t, struct relation_work *work,
                     struct arena *a, struct error *e)
{
    if (t->kind != TABLES_VIEW)
        return query_defaults(p, &t->schema, a, &work->defaults, e);
    return query_translate(p, t->view_query, a, &work->view_sql, &t->schema, e);
}

int relation_create(struct tables *t, const struct tables_table *table, struct error *e)
{
    struct tables_table made = *table;
    struct relation_work work = { .t = &made };
    struct arena a = { 0 };

    if (tables_dataset_check(table->name.dataset, e) < 0 ||
        tables_table_check(table->name.table, e) < 0)
        return -1;
    struct project *p = enter_of(t, &table->name, e);
    if (!p)
        return -1;
    int rc = translate(p, &made, &work, &a, e);
    if (rc == 0)
        rc = project_change(p, create, &work, e);
    project_leave(p);
    arena_release(&a);
    return rc;
}

/* ---- Looking ---- */

int relation_get(struct tables *t, const struct tables_name *name, struct arena *a,
                 struct tables_table *out, struct error *e)
{
    struct table_row row;
    struct project *p = enter_of(t, name, e);

    if (!p)
        return -1;
    lock(&p->lock);
    int rc = catalog_need_table(p, name, a, &row, e);
    if (rc == 0)
        rc = catalog_count(p, &row, e);
    unlock(&p->lock);
    project_leave(p);
    if (rc == 0)
        *out = row.t;
    return rc;
}

static void read_listed(const struct project *p, struct str dataset, const struct bq_cell *cell,
                        struct tables_table *out)
{
    *out = (struct tables_table){
        .name = { str_of(p->name), dataset, cell[0].text },
        .kind = catalog_kind(cell[1]),
        .options = cell[2].text,
        .expires_ms = cell_number(cell[3]),
        .created_ms = cell_number(cell[4]),
        .changed_ms = cell_number(cell[5]),
        .rows = -1,
        .bytes = -1,
    };
    etag_write(out->etag, out->created_ms, cell_number(cell[6]));
}

static int list(struct project *p, const struct tables_page *page, struct arena *a,
                struct tables_list *out, struct error *e)
{
    struct connection *c = &p->meta;
    struct dataset_row d;
    struct grid found;

    if (catalog_need_dataset(p, &page->parent, a, &d, e) < 0)
        return -1;
    sql_start(c, "SELECT name, kind, options, expires_ms, created_ms, changed_ms, version FROM"
                 " _tranche.relation WHERE dataset = ");
    sql_add_text(c, page->parent.dataset);
    sql_addf(c, " AND name > ");
    sql_add_text(c, page->after);
    sql_addf(c, " AND (expires_ms = 0 OR expires_ms > %lld) ORDER BY name LIMIT %u",
             (long long)project_now_ms(p), page->limit + 1);
    if (sql_fetch(c, a, &found, e) < 0)
        return -1;
    out->more = found.rows > page->limit;
    out->count = out->more ? page->limit : found.rows;
    out->item = arena_array(a, out->count, sizeof *out->item);
    for (uint32_t i = 0; i < out->count; i++)
        read_listed(p, page->parent.dataset, found.cell + (size_t)i * found.columns, &out->item[i]);
    return 0;
}

int relation_list(struct tables *t, const struct tables_page *page, struct arena *a,
                  struct tables_list *out, struct error *e)
{
    struct project *p = enter_of(t, &page->parent, e);

    *out = (struct tables_list){ .count = 0 };
    if (!p)
        return -1;
    lock(&p->lock);
    int rc = list(p, page, a, out, e);
    unlock(&p->lock);
    project_leave(p);
    return rc;
}

/* ---- Changing ---- */

static int alter(struct project *p, const struct table_row *row, const char *fmt, struct str name,
                 struct error *e)
{
    struct connection *c = &p->meta;

    sql_start(c, "ALTER TABLE ");
    catalog_add_path(p, &c->sql, row->dataset_physical, row->physical);
    sql_addf(c, " %s ", fmt);
    buf_add_str(&c->sql, name);
    return sql_run(c, e) < 0 ? -1 : 0;
}

/* "record"."field" of the engine: `element` stands for the elements of an array. */
struct field_path {
    struct buf sql;
    const struct str *defaults; /* of the columns at the top */
};

static int extend_fields(struct project *p, struct table_row *row, const struct bq_field *old,
                         const struct bq_field *new_, struct field_path *path, struct error *e);

static int add_field(struct project *p, const struct table_row *row, const struct bq_field *f,
                     const struct str *dflt, struct field_path *path, struct error *e)
{
    struct buf column = BUF_INIT((size_t)16 * 1024 * 1024);

    buf_add_str(&column, buf_str(&path->sql));
    sql_name(&column, f->name);
    buf_add_char(&column, ' ');
    sql_duckdb_type(&column, f);
    int rc = alter(p, row, "ADD COLUMN", buf_str(&column), e);
    if (rc == 0 && dflt &&
        dflt->len) { /* of rows to come: BigQuery leaves NULL in those that are there */
        buf_clear(&column);
        sql_name(&column, f->name);
        buf_addf(&column, " SET DEFAULT (%.*s)", STR_ARG(*dflt));
        rc = alter(p, row, "ALTER COLUMN", buf_str(&column), e);
    }
    buf_release(&column);
    return rc;
}

static const struct bq_field *field_named(const struct bq_field *fields, uint32_t count,
                                          struct str name)
{
    const struct bq_schema s = { (struct bq_field *)(uintptr_t)fields, count };

    return bq_schema_find(&s, name);
}

static int extend_one(struct project *p, struct table_row *row, const struct bq_field *was,
                      const struct bq_field *f, struct field_path *path, struct error *e)
{
    size_t len = path->sql.len;
    int rc = 0;

    if (was->mode == BQ_REQUIRED && f->mode != BQ_REQUIRED && !len) {
        struct buf column = BUF_INIT(4096);
        sql_name(&column, f->name);
        buf_add_c(&column, " DROP NOT NULL");
        rc = alter(p, row, "ALTER COLUMN", buf_str(&column), e);
        buf_release(&column);
    }
    if (rc == 0 && f->type == BQ_RECORD) {
        sql_name(&path->sql, was->name);
        buf_add_c(&path->sql, f->mode == BQ_REPEATED ? ".element." : ".");
        rc = extend_fields(p, row, was, f, path, e);
        path->sql.len = len;
    }
    return rc;
}

static int extend_fields(struct project *p, struct table_row *row, const struct bq_field *old,
                         const struct bq_field *new_, struct field_path *path, struct error *e)
{
    int rc = 0;

    for (uint32_t i = 0; i < new_->field_count && rc == 0; i++) {
        const struct bq_field *f = &new_->fields[i];
        const struct bq_field *was = field_named(old->fields, old->field_count, f->name);
        const struct str *dflt = !path->sql.len && path->defaults ? &path->defaults[i] : NULL;
        rc = was ? extend_one(p, row, was, f, path, e) : add_field(p, row, f, dflt, path, e);
    }
    return rc;
}

int relation_extend(struct project *p, struct table_row *row, const struct bq_schema *to,
                    const struct str *defaults, struct arena *a, struct error *e)
{
    struct field_path path = { .sql = BUF_INIT((size_t)64 * 1024), .defaults = defaults };
    const struct bq_field old = { .fields = row->t.schema.field,
                                  .field_count = row->t.schema.count };
    const struct bq_field new_ = { .fields = to->field, .field_count = to->count };
    int rc = 0;

    if (!row->physical.len && to->count) {
        struct tables_table first = row->t;
        struct dataset_row d = { .physical = row->dataset_physical };
        first.schema = *to;
        rc = catalog_free_name(p, row->dataset_physical, row->t.name.table, a, &row->physical, e);
        if (rc == 0)
            rc = make_physical(p, &d, row->physical, &first, defaults, e);
    } else if (row->physical.len) {
        rc = extend_fields(p, row, &old, &new_, &path, e);
    }
    row->t.schema = *to;
    if (rc == 0)
        rc = catalog_set_table(p, row, e);
    buf_release(&path.sql);
    return rc;
}

static int replace_view(struct project *p, const struct table_row *row,
                        const struct relation_work *work, struct error *e)
{
    struct connection *c = &p->meta;

    sql_start(c, "CREATE OR REPLACE VIEW ");
    catalog_add_path(p, &c->sql, row->dataset_physical, row->physical);
    sql_addf(c, " AS ");
    buf_add_str(&c->sql, work->view_sql);
    return sql_run(c, e) < 0 ? -1 : 0;
}

static int change_row(struct project *p, struct table_row *row, const struct relation_work *work,
                      struct arena *a, struct error *e)
{
    const struct tables_table *t = work->t;

    row->t.options = t->options;
    row->t.expires_ms = t->expires_ms;
    if (row->t.kind == TABLES_VIEW && t->view_query.len) {
        row->t.view_query = t->view_query;
        row->t.schema = t->schema;
        row->t.view_names = false;
        return replace_view(p, row, work, e) < 0 ? -1 : catalog_set_table(p, row, e);
    }
    if (row->t.kind == TABLES_VIEW || !t->schema.count)
        return catalog_set_table(p, row, e);
    if (row->t.schema.count &&
        bq_schema_may_become(&row->t.schema, &t->schema, str_of(tables_text(a, &t->name)), e) < 0)
        return -1;
    return relation_extend(p, row, &t->schema, work->defaults, a, e);
}

static int change(struct project *p, void *arg, struct error *e)
{
    const struct relation_work *work = arg;
    struct arena a = { 0 };
    struct table_row row;
    int rc = catalog_need_table(p, &work->t->name, &a, &row, e);

    if (rc == 0)
        rc = etag_check(work->t->etag, row.t.etag, "table", e);
    if (rc == 0)
        rc = change_row(p, &row, work, &a, e);
    arena_release(&a);
    return rc;
}

int relation_change(struct tables *t, const struct tables_table *table, struct error *e)
{
    struct tables_table made = *table;
    struct relation_work work = { .t = &made };
    struct arena a = { 0 };
    struct project *p = enter_of(t, &table->name, e);

    if (!p)
        return -1;
    made.kind = table->view_query.len ? TABLES_VIEW : TABLES_TABLE;
    int rc = translate(p, &made, &work, &a, e);
    if (rc == 0)
        rc = project_change(p, change, &work, e);
    project_leave(p);
    arena_release(&a);
    return rc;
}

static int remove_one(struct project *p, void *arg, struct error *e)
{
    const struct relation_work *work = arg;
    struct arena a = { 0 };
    struct table_row row;
    int rc = catalog_need_table(p, &work->name, &a, &row, e);

    if (rc == 0)
        rc = catalog_drop_table(p, &row, e);
    arena_release(&a);
    return rc;
}

int relation_remove(struct tables *t, const struct tables_name *name, struct error *e)
{
    struct relation_work work = { .name = *name };
    struct project *p = enter_of(t, name, e);

    if (!p)
        return -1;
    int rc = project_change(p, remove_one, &work, e);
    project_leave(p);
    return rc;
}
