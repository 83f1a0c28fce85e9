/* catalog_write.c -- catalog.h: the records of tables and their fields are added, changed and dropped. */
#include "base/thread.h"
#include "store/tables/duckdb/catalog.h"
#include "store/tables/duckdb/engine.h"

#define SCHEMA_BYTES_MAX ((size_t)16 * 1024 * 1024)

/* ---- Fields, for INFORMATION_SCHEMA ---- */

struct field_rows {
    struct connection *c;
    const struct tables_name *name;
    struct buf path, type;
    uint32_t count;
};

static void add_optional(struct connection *c, struct str text)
{
    sql_addf(c, ", ");
    if (text.len)
        sql_add_text(c, text);
    else
        sql_addf(c, "NULL");
}

static void add_field_row(struct field_rows *r, const struct bq_field *f, uint32_t top)
{
    struct connection *c = r->c;
    size_t path_len = r->path.len;

    buf_add_c(&r->path, path_len ? "." : "");
    buf_add_str(&r->path, f->name);
    buf_clear(&r->type);
    bq_field_sql(&r->type, f);
    sql_addf(c, r->count++ ? ", (" : "(");
    sql_add_text(c, r->name->dataset);
    sql_addf(c, ", ");
    sql_add_text(c, r->name->table);
    sql_addf(c, ", %u, %u, ", r->count, top);
    sql_add_text(c, f->name);
    sql_addf(c, ", ");
    sql_add_text(c, buf_str(&r->path));
    sql_addf(c, ", ");
    sql_add_text(c, buf_str(&r->type));
    sql_addf(c, f->mode == BQ_REQUIRED || f->mode == BQ_REPEATED ? ", false" : ", true");
    add_optional(c, f->description);
    add_optional(c, f->default_value);
    sql_addf(c, ")");
    for (uint32_t i = 0; i < f->field_count; i++)
        add_field_row(r, &f->fields[i], top);
    r->path.len = path_len;
}

static int delete_named(struct project *p, const char *from, const char *column,
                        const struct tables_name *name, struct error *e)
{
    sql_start(&p->meta, "DELETE FROM _tranche.%s WHERE dataset = ", from);
    sql_add_text(&p->meta, name->dataset);
    sql_addf(&p->meta, " AND %s = ", column);
    sql_add_text(&p->meta, name->table);
    return sql_run(&p->meta, e) < 0 ? -1 : 0;
}

static int write_fields(struct project *p, const struct tables_table *t, struct error *e)
{
    struct field_rows r = { .c = &p->meta,
                            .name = &t->name,
                            .path = BUF_INIT(SCHEMA_BYTES_MAX),
                            .type = BUF_INIT(SCHEMA_BYTES_MAX) };
    int rc = delete_named(p, "field", "relation", &t->name, e);

    if (rc == 0 && t->schema.count) {
        sql_start(&p->meta, "INSERT INTO _tranche.field VALUES ");
        for (uint32_t i = 0; i < t->schema.count; i++)
            add_field_row(&r, &t->schema.field[i], i + 1);
        rc = sql_run(&p->meta, e) < 0 ? -1 : 0;
    }
    buf_release(&r.path);
    buf_release(&r.type);
    return rc;
}

/* ---- Records of tables ---- */

int catalog_add_table(struct project *p, struct connection *c, const struct tables_table *t,
                      struct str physical, struct error *e)
{
    long long now = (long long)project_now_ms(p);
    struct arena a = { 0 };

    sql_start(c, "INSERT INTO _tranche.relation VALUES (");
    sql_add_text(c, t->name.dataset);
    sql_addf(c, ", ");
    sql_add_text(c, t->name.table);
    sql_addf(c, ", ");
    sql_add_text(c, physical);
    sql_addf(c, ", %d, ", t->view_names ? KIND_NAMED_VIEW : (int)t->kind);
    sql_add_text(c, schema_text(&a, &t->schema));
    sql_addf(c, ", ");
    sql_add_text(c, t->view_query);
    sql_addf(c, ", ");
    sql_add_text(c, t->options);
    sql_addf(c, ", %lld, %lld, %lld, 1)", (long long)t->expires_ms, now, now);
    int rc = sql_run(c, e) < 0 ? -1 : 0;
    if (rc == 0 && !str_eq(t->name.dataset, p->results))
        rc = write_fields(p, t, e);
    arena_release(&a);
    return rc;
}

int catalog_set_table(struct project *p, const struct table_row *row, struct error *e)
{
    const struct tables_table *t = &row->t;
    struct connection *c = &p->meta;
    struct arena a = { 0 };

    sql_start(c, "UPDATE _tranche.relation SET physical = ");
    sql_add_text(c, row->physical);
    sql_addf(c, ", columns = ");
    sql_add_text(c, schema_text(&a, &t->schema));
    sql_addf(c, ", kind = %d, view_query = ", t->view_names ? KIND_NAMED_VIEW : (int)t->kind);
    sql_add_text(c, t->view_query);
    sql_addf(c, ", options = ");
    sql_add_text(c, t->options);
    sql_addf(c, ", expires_ms = %lld, changed_ms = %lld, version = version + 1 WHERE dataset = ",
             (long long)t->expires_ms, (long long)project_now_ms(p));
    sql_add_text(c, t->name.dataset);
    sql_addf(c, " AND name = ");
    sql_add_text(c, t->name.table);
    int rc = sql_run(c, e) < 0 ? -1 : write_fields(p, t, e);
    arena_release(&a);
    return rc;
}

int catalog_drop_table(struct project *p, const struct table_row *row, struct error *e)
{
    struct connection *c = &p->meta;

    if (row->physical.len) {
        sql_start(c, row->t.kind == TABLES_VIEW ? "DROP VIEW " : "DROP TABLE ");
        catalog_add_path(p, &c->sql, row->dataset_physical, row->physical);
        if (sql_run(c, e) < 0)
            return -1;
    }
    if (delete_named(p, "relation", "name", &row->t.name, e) < 0)
        return -1;
    return delete_named(p, "field", "relation", &row->t.name, e);
}

void catalog_touch(struct project *p, const struct tables_name *name)
{
    struct connection *c = &p->meta;
    struct error ignored;

    lock(&p->lock);
    sql_start(c, "UPDATE _tranche.relation SET changed_ms = %lld WHERE dataset = ",
              (long long)project_now_ms(p));
    sql_add_text(c, name->dataset);
    sql_addf(c, " AND name = ");
    sql_add_text(c, name->table);
    (void)sql_run(c, &ignored);
    unlock(&p->lock);
}
