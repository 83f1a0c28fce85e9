/* publish.c -- embedded.h: a hidden table becomes a table, or its rows are added to one, in one transaction.
 *
 * Why: rows are written for minutes or hours, and others must see all of them or none; a crash between leaves a
 *      hidden table only, which is dropped or filled further.
 */
#include <assert.h>
#include <stdio.h>

#include "base/random.h"
#include "base/thread.h"
#include "store/tables/duckdb/embedded.h"
#include "store/tables/duckdb/engine.h"
#include "store/tables/duckdb/query.h"

#define HIDDEN_LETTERS 20

int hidden_name(struct arena *a, struct str *out, struct error *e)
{
    char letters[HIDDEN_LETTERS + 1];

    if (random_text(letters, HIDDEN_LETTERS, ALPHABET_36, e) < 0)
        return -1;
    *out = str_of(arena_textf(a, "~%s", letters));
    return 0;
}

void hidden_drop(struct project *p, struct str dataset_physical, struct str hidden)
{
    struct connection *c = &p->meta;
    struct error ignored;

    if (!hidden.len)
        return;
    lock(&p->lock);
    sql_start(c, "DROP TABLE IF EXISTS ");
    catalog_add_path(p, &c->sql, dataset_physical, hidden);
    (void)sql_run(c, &ignored); /* what stays is dropped when the file is opened again */
    sql_start(c, "DELETE FROM _tranche.writer WHERE physical = ");
    sql_add_text(c, hidden);
    (void)sql_run(c, &ignored);
    unlock(&p->lock);
}

/* ---- Schemas ---- */

static int mismatch(const struct tables_name *name, struct error *e, const char *why)
{
    struct arena a = { 0 };

    error_set(e, ERROR_INVALID_ARGUMENT, "Provided Schema does not match Table %s. %s",
              tables_text(&a, name), why);
    arena_release(&a);
    return -1;
}

static int merge_column(const struct tables_into *into, const struct bq_field *f,
                        struct bq_field *was, struct arena *a, struct error *e)
{
    if (f->type != was->type || (f->mode == BQ_REPEATED) != (was->mode == BQ_REPEATED))
        return mismatch(&into->name, e,
                        arena_textf(a, "Field %.*s has changed type from %s to %s",
                                    STR_ARG(str_cut(f->name, 200)), bq_type_name(was->type),
                                    bq_type_name(f->type)));
    if (was->mode == BQ_REQUIRED && f->mode != BQ_REQUIRED && into->relax_fields)
        was->mode = BQ_NULLABLE;
    return 0;
}

/* A column that the table does not have. */
static int add_column(const struct tables_into *into, const struct bq_field *f, bool first,
                      struct bq_schema *out, struct error *e)
{
    struct bq_field *added = &out->field[out->count];

    if (!first && !into->add_fields) {
        struct arena a = { 0 };
        (void)mismatch(
            &into->name, e,
            arena_textf(&a, "Cannot add fields (field: %.*s)", STR_ARG(str_cut(f->name, 200))));
        arena_release(&a);
        return -1;
    }
    *added = *f;
    if (!first && f->mode == BQ_REQUIRED)
        added->mode = BQ_NULLABLE; /* the rows that are there lack it */
    out->count++;
    return 0;
}

static int check_required(const struct tables_into *into, const struct bq_schema *table,
                          const struct bq_schema *schema, struct arena *a, struct error *e)
{
    for (uint32_t i = 0; i < table->count; i++)
        if (table->field[i].mode == BQ_REQUIRED && !bq_schema_find(schema, table->field[i].name))
            return mismatch(&into->name, e,
                            arena_textf(a, "Field %.*s is missing in new schema",
                                        STR_ARG(str_cut(table->field[i].name, 200))));
    return 0;
}

/* The columns that the table has when rows of `schema` are added to it. */
static int merge(const struct tables_into *into, const struct bq_schema *old,
                 const struct bq_schema *schema, struct arena *a, struct bq_schema *out,
                 struct error *e)
{
    *out = (struct bq_schema){ arena_array(a, old->count + schema->count, sizeof *out->field),
                               old->count };
    for (uint32_t i = 0; i < old->count; i++)
        out->field[i] = old->field[i];
    for (uint32_t i = 0; i < schema->count; i++) {
        const struct bq_field *f = &schema->field[i];
        const struct bq_field *was = bq_schema_find(old, f->name);
        if ((was ? merge_column(into, f, &out->field[was - old->field], a, e)
                 : add_column(into, f, old->count == 0, out, e)) < 0)
            return -1;
    }
    return check_required(into, out, schema, a, e);
}

/* ---- What is allowed ---- */

static int refuse_view(const struct tables_name *name, struct error *e)
{
    struct arena a = { 0 };

    error_set(e, ERROR_INVALID_ARGUMENT,
              "%s is not allowed for this operation because it is currently a VIEW.",
              tables_text(&a, name));
    arena_release(&a);
    return -1;
}

static int count_rows(struct project *p, struct str dataset_physical, struct str physical,
                      int64_t *out, struct error *e)
{
    *out = 0;
    if (!physical.len)
        return 0;
    sql_start(&p->meta, "SELECT count(*) FROM ");
    catalog_add_path(p, &p->meta.sql, dataset_physical, physical);
    return sql_fetch_number(&p->meta, 0, out, e);
}

/* The rows that are to be written, and their place. */
struct checking {
    struct project *project;
    const struct tables_into *into;
    const struct bq_schema *schema;
    struct arena *arena;
};

/* row: the table that is there, or NULL. merged: its columns afterwards. */
static int check(const struct checking *c, const struct table_row *row, struct bq_schema *merged,
                 struct error *e)
{
    const struct tables_into *into = c->into;
    int64_t rows = 0;

    *merged = *c->schema;
    if (!row)
        return into->create == TABLES_CREATE_NEVER ? not_found(e, &into->name) : 0;
    if (row->t.kind == TABLES_VIEW)
        return refuse_view(&into->name, e);
    if (into->write == TABLES_WRITE_EMPTY) {
        if (count_rows(c->project, row->dataset_physical, row->physical, &rows, e) < 0)
            return -1;
        if (rows)
            return already_exists(e, &into->name);
    }
    if (into->write == TABLES_WRITE_TRUNCATE)
        return 0;
    return merge(into, &row->t.schema, c->schema, c->arena, merged, e);
}

int publish_check(struct project *p, const struct tables_into *into, const struct bq_schema *schema,
                  struct arena *a, struct dataset_row *d, struct error *e)
{
    const struct checking checking = { p, into, schema, a };
    struct table_row row = { .physical = { NULL, 0 } };
    struct bq_schema merged;

    if ((into->add_fields || into->relax_fields) && into->write != TABLES_WRITE_APPEND)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "Schema update options should only be specified with WRITE_APPEND "
                         "disposition, or with WRITE_TRUNCATE disposition on a table partition.");

    lock(&p->lock);
    int rc = catalog_need_dataset(p, &into->name, a, d, e);
    if (rc == 0)
        rc = catalog_find_table(p, &into->name, a, &row, e);
    if (rc >= 0)
        rc = check(&checking, rc > 0 ? &row : NULL, &merged, e);
    unlock(&p->lock);
    return rc;
}

/* ---- The transaction ---- */

static int drop_hidden(struct project *p, const struct publish *how, struct error *e)
{
    if (!how->hidden.len)
        return 0;
    sql_start(&p->meta, "DROP TABLE IF EXISTS ");
    catalog_add_path(p, &p->meta.sql, how->dataset_physical, how->hidden);
    return sql_run(&p->meta, e) < 0 ? -1 : 0;
}

static int rename_hidden(struct project *p, const struct publish *how, struct str to,
                         struct error *e)
{
    sql_start(&p->meta, "ALTER TABLE ");
    catalog_add_path(p, &p->meta.sql, how->dataset_physical, how->hidden);
    sql_addf(&p->meta, " RENAME TO ");
    sql_add_name(&p->meta, to);
    return sql_run(&p->meta, e) < 0 ? -1 : 0;
}

static int make(struct project *p, const struct publish *how, const struct dataset_row *d,
                struct arena *a, struct error *e)
{
    struct tables_table made = { .name = how->into->name,
                                 .schema = how->schema,
                                 .options = how->into->options,
                                 .expires_ms = how->into->expires_ms };
    struct str physical = { NULL, 0 };

    if (!made.expires_ms && d->d.default_expiration_ms)
        made.expires_ms = project_now_ms(p) + d->d.default_expiration_ms;
    how->outcome->created = true;
    if (how->schema.count &&
        (catalog_free_name(p, d->physical, made.name.table, a, &physical, e) < 0 ||
         rename_hidden(p, how, physical, e) < 0))
        return -1;
    if (physical.len && catalog_add_partition_time(p, &made, d->physical, physical, e) < 0)
        return -1;
    return catalog_add_table(p, &p->meta, &made, physical, e);
}

/* The old table goes; the new one may have its name only when it is gone, so it gets another. */
static int replace(struct project *p, const struct publish *how, struct table_row *row,
                   struct arena *a, struct error *e)
{
    struct connection *c = &p->meta;

    if (row->physical.len) {
        sql_start(c, "DROP TABLE ");
        catalog_add_path(p, &c->sql, row->dataset_physical, row->physical);
        if (sql_run(c, e) < 0)
            return -1;
    }
    if (catalog_free_name(p, row->dataset_physical, row->t.name.table, a, &row->physical, e) < 0 ||
        rename_hidden(p, how, row->physical, e) < 0)
        return -1;
    row->t.schema = how->schema;
    if (how->into->options.len)
        row->t.options = how->into->options;
    if (catalog_add_partition_time(p, &row->t, row->dataset_physical, row->physical, e) < 0)
        return -1;
    return catalog_set_table(p, row, e);
}

static void add_names(struct connection *c, const struct bq_schema *schema)
{
    for (uint32_t i = 0; i < schema->count; i++) {
        sql_addf(c, i ? ", " : "");
        sql_add_name(c, schema->field[i].name);
    }
}

static int append(struct project *p, const struct publish *how, struct table_row *row,
                  const struct bq_schema *merged, struct arena *a, struct error *e)
{
    struct connection *c = &p->meta;

    if (relation_extend(p, row, merged, how->defaults, a, e) < 0)
        return -1;
    sql_start(c, "INSERT INTO ");
    catalog_add_path(p, &c->sql, row->dataset_physical, row->physical);
    sql_addf(c, " (");
    add_names(c, &how->schema);
    sql_addf(c, ") SELECT ");
    add_names(c, &how->schema);
    sql_addf(c, " FROM ");
    catalog_add_path(p, &c->sql, how->dataset_physical, how->hidden);
    return sql_run(c, e) < 0 ? -1 : drop_hidden(p, how, e);
}

static int measure(struct project *p, const struct publish *how, struct error *e)
{
    struct table_row hidden = { .t = { .schema = how->schema },
                                .dataset_physical = how->dataset_physical,
                                .physical = how->hidden };

    if (!how->schema.count)
        hidden.physical.len = 0;
    if (catalog_count(p, &hidden, e) < 0)
        return -1;
    how->outcome->rows = hidden.t.rows;
    how->outcome->bytes = hidden.t.bytes;
    return 0;
}

/* CREATE TABLE: old is what has the name. */
static int make_anew(struct project *p, const struct publish *how, const struct dataset_row *d,
                     const struct table_row *old, struct error *e)
{
    struct arena a = { 0 };
    int rc = 0;

    if (old && how->mode == PUBLISH_NEW)
        rc = already_exists(e, &how->into->name);
    else if (old)
        rc = catalog_drop_table(p, old, e);
    if (rc == 0)
        rc = make(p, how, d, &a, e);
    if (rc == 0 && how->temporary.len)
        rc = temporary_put(p, how->session, how->temporary, how->into->name.table, e);
    arena_release(&a);
    return rc;
}

static int put(struct project *p, const struct publish *how, struct arena *a, struct error *e)
{
    struct bq_schema merged;
    struct table_row row = { .physical = { NULL, 0 } };
    struct dataset_row d;
    int found = catalog_need_dataset(p, &how->into->name, a, &d, e);

    if (found == 0)
        found = catalog_find_table(p, &how->into->name, a, &row, e);
    if (found < 0 || measure(p, how, e) < 0)
        return -1;
    how->outcome->created = false;
    if (how->mode != PUBLISH_INTO)
        return make_anew(p, how, &d, found ? &row : NULL, e);
    const struct checking checking = { p, how->into, &how->schema, a };
    if (check(&checking, found ? &row : NULL, &merged, e) < 0)
        return -1;
    if (!found)
        return make(p, how, &d, a, e);
    if (!how->schema.count)
        return 0;
    if (how->into->write == TABLES_WRITE_TRUNCATE)
        return replace(p, how, &row, a, e);
    return append(p, how, &row, &merged, a, e);
}

static int record(struct project *p, const struct publish *how, struct error *e)
{
    if (!how->result)
        return done_put(p, &p->meta, how->key, how->outcome, e);
    how->result->rows = how->outcome->rows;
    return outcome_put(p, &p->meta, how->key, how->result, e);
}

static int publish_run(struct project *p, void *arg, struct error *e)
{
    const struct publish *how = arg;
    struct connection *c = &p->meta;
    struct arena a = { 0 };
    int rc = done_find(p, how->key, how->outcome, e);

    if (rc > 0)
        rc = drop_hidden(p, how, e);
    else if (rc == 0 && (rc = put(p, how, &a, e)) == 0)
        rc = record(p, how, e);
    if (rc == 0) {
        sql_start(c, "DELETE FROM _tranche.writer WHERE physical = ");
        sql_add_text(c, how->hidden);
        rc = sql_run(c, e) < 0 ? -1 : 0;
    }
    arena_release(&a);
    return rc;
}

int publish(struct project *p, const struct publish *how, struct error *e)
{
    struct publish copy = *how;

    return project_change(p, publish_run, &copy, e);
}
