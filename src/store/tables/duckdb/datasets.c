/* datasets.c -- embedded.h: datasets, which are schemas of the engine with a record each. */
#include <string.h>

#include "base/thread.h"
#include "store/tables/duckdb/embedded.h"

/* One operation on a dataset, within a change. */
struct dataset_work {
    const struct tables_dataset *d;
    struct tables_name name;
    bool contents;
};

static int create(struct project *p, void *arg, struct error *e)
{
    const struct tables_dataset *d = ((struct dataset_work *)arg)->d;
    struct connection *c = &p->meta;
    long long now = (long long)project_now_ms(p);
    struct arena a = { 0 };
    struct dataset_row old;
    struct str physical;
    int rc = catalog_find_dataset(p, d->name.dataset, &a, &old, e);

    if (rc > 0)
        rc = already_exists(e, &d->name);
    if (rc == 0)
        rc = catalog_free_name(p, (struct str){ NULL, 0 }, d->name.dataset, &a, &physical, e);
    if (rc == 0) {
        sql_start(c, "CREATE SCHEMA ");
        sql_add_name(c, p->catalog);
        sql_addf(c, ".");
        sql_add_name(c, physical);
        rc = sql_run(c, e) < 0 ? -1 : 0;
    }
    if (rc == 0) {
        sql_start(c, "INSERT INTO _tranche.dataset VALUES (");
        sql_add_text(c, d->name.dataset);
        sql_addf(c, ", ");
        sql_add_text(c, physical);
        sql_addf(c, ", ");
        sql_add_text(c, d->options);
        sql_addf(c, ", %lld, %lld, %lld, 1)", (long long)d->default_expiration_ms, now, now);
        rc = sql_run(c, e) < 0 ? -1 : 0;
    }
    arena_release(&a);
    return rc;
}

int dataset_create(struct tables *t, const struct tables_dataset *d, struct error *e)
{
    struct dataset_work work = { .d = d };

    if (tables_dataset_check(d->name.dataset, e) < 0)
        return -1;
    struct project *p = project_enter(embedded_of(t), d->name.project, true, e);
    if (!p)
        return -1;
    int rc = project_change(p, create, &work, e);
    project_leave(p);
    return rc;
}

/* A project without a file has no datasets. */
static struct project *enter_of(struct tables *t, const struct tables_name *name, struct error *e)
{
    struct project *p = project_enter(embedded_of(t), name->project, false, e);

    if (!p && e->code == ERROR_NOT_FOUND)
        (void)not_found(e, name);
    return p;
}

int dataset_get(struct tables *t, const struct tables_name *name, struct arena *a,
                struct tables_dataset *out, struct error *e)
{
    struct dataset_row row;
    struct project *p = enter_of(t, name, e);

    if (!p)
        return -1;
    lock(&p->lock);
    int rc = catalog_need_dataset(p, name, a, &row, e);
    unlock(&p->lock);
    project_leave(p);
    if (rc == 0)
        *out = row.d;
    return rc;
}

static int change(struct project *p, void *arg, struct error *e)
{
    const struct tables_dataset *d = ((struct dataset_work *)arg)->d;
    struct connection *c = &p->meta;
    struct arena a = { 0 };
    struct dataset_row row;
    int rc = catalog_need_dataset(p, &d->name, &a, &row, e);

    if (rc == 0)
        rc = etag_check(d->etag, row.d.etag, "dataset", e);
    if (rc == 0) {
        sql_start(c, "UPDATE _tranche.dataset SET options = ");
        sql_add_text(c, d->options);
        sql_addf(c,
                 ", default_expiration_ms = %lld, changed_ms = %lld, version = version + 1 WHERE"
                 " name = ",
                 (long long)d->default_expiration_ms, (long long)project_now_ms(p));
        sql_add_text(c, d->name.dataset);
        rc = sql_run(c, e) < 0 ? -1 : 0;
    }
    arena_release(&a);
    return rc;
}

int dataset_change(struct tables *t, const struct tables_dataset *d, struct error *e)
{
    struct dataset_work work = { .d = d };
    struct project *p = enter_of(t, &d->name, e);

    if (!p)
        return -1;
    int rc = project_change(p, change, &work, e);
    project_leave(p);
    return rc;
}

static int delete_records(struct project *p, const char *from, const char *column, struct str name,
                          struct error *e)
{
    sql_start(&p->meta, "DELETE FROM _tranche.%s WHERE %s = ", from, column);
    sql_add_text(&p->meta, name);
    return sql_run(&p->meta, e) < 0 ? -1 : 0;
}

static int count_tables(struct project *p, struct str dataset, int64_t *out, struct error *e)
{
    sql_start(&p->meta, "SELECT count(*) FROM _tranche.relation WHERE dataset = ");
    sql_add_text(&p->meta, dataset);
    sql_addf(&p->meta, " AND (expires_ms = 0 OR expires_ms > %lld)", (long long)project_now_ms(p));
    return sql_fetch_number(&p->meta, 0, out, e);
}

static int delete_dataset(struct project *p, void *arg, struct error *e)
{
    const struct dataset_work *work = arg;
    struct str dataset = work->name.dataset;
    struct arena a = { 0 };
    struct dataset_row row;
    int64_t tables = 0;
    int rc = catalog_need_dataset(p, &work->name, &a, &row, e);

    if (rc == 0 && str_eq(dataset, p->results))
        rc = not_found(e, &work->name);
    if (rc == 0 && !work->contents)
        rc = count_tables(p, dataset, &tables, e);
    if (rc == 0 && tables)
        rc = error_set(e, ERROR_FAILED_PRECONDITION, "Dataset %s is still in use",
                       tables_text(&a, &work->name));
    if (rc == 0) {
        sql_start(&p->meta, "DROP SCHEMA ");
        sql_add_name(&p->meta, p->catalog);
        sql_addf(&p->meta, ".");
        sql_add_name(&p->meta, row.physical);
        sql_addf(&p->meta, " CASCADE");
        rc = sql_run(&p->meta, e) < 0 ? -1 : 0;
    }
    if (rc == 0)
        rc = delete_records(p, "relation", "dataset", dataset, e);
    if (rc == 0)
        rc = delete_records(p, "field", "dataset", dataset, e);
    if (rc == 0)
        rc = delete_records(p, "writer", "dataset", dataset, e);
    if (rc == 0)
        rc = delete_records(p, "dataset", "name", dataset, e);
    arena_release(&a);
    return rc;
}

int dataset_delete(struct tables *t, const struct tables_name *name, bool contents, struct error *e)
{
    struct dataset_work work = { .name = { name->project, name->dataset, { NULL, 0 } },
                                 .contents = contents };
    struct project *p = enter_of(t, &work.name, e);

    if (!p)
        return -1;
    int rc = project_change(p, delete_dataset, &work, e);
    project_leave(p);
    return rc;
}

static void read_listed(const struct project *p, const struct grid *found, uint32_t row,
                        struct tables_dataset *out)
{
    const struct bq_cell *cell = found->cell + (size_t)row * found->columns;

    *out = (struct tables_dataset){
        .name = { .project = str_of(p->name), .dataset = cell[0].text },
        .options = cell[1].text,
        .default_expiration_ms = cell_number(cell[2]),
        .created_ms = cell_number(cell[3]),
        .changed_ms = cell_number(cell[4]),
    };
    etag_write(out->etag, out->created_ms, cell_number(cell[5]));
}

static int list(struct project *p, const struct tables_page *page, struct arena *a,
                struct tables_datasets *out, struct error *e)
{
    struct connection *c = &p->meta;
    struct grid found;

    sql_start(c, "SELECT name, options, default_expiration_ms, created_ms, changed_ms, version FROM"
                 " _tranche.dataset WHERE name > ");
    sql_add_text(c, page->after);
    sql_addf(c, "%s ORDER BY name LIMIT %u", page->hidden ? "" : " AND NOT starts_with(name, '_')",
             page->limit + 1);
    if (sql_fetch(c, a, &found, e) < 0)
        return -1;
    out->more = found.rows > page->limit;
    out->count = out->more ? page->limit : found.rows;
    out->item = arena_array(a, out->count, sizeof *out->item);
    for (uint32_t i = 0; i < out->count; i++)
        read_listed(p, &found, i, &out->item[i]);
    return 0;
}

int dataset_list(struct tables *t, const struct tables_page *page, struct arena *a,
                 struct tables_datasets *out, struct error *e)
{
    struct project *p;
    int rc = project_enter_if_there(embedded_of(t), page->parent.project, &p, e);

    *out = (struct tables_datasets){ .count = 0 };
    if (rc <= 0)
        return rc;
    lock(&p->lock);
    rc = list(p, page, a, out, e);
    unlock(&p->lock);
    project_leave(p);
    return rc;
}
