/* ddl_alter.c -- ddl.h: ALTER TABLE and ALTER VIEW, each all of its actions or none. */
#include <string.h>

#include "store/tables/duckdb/ddl.h"
#include "store/tables/duckdb/engine.h"

static int alter_engine(struct project *p, const struct table_row *row, const char *words,
                        struct str name, struct str rest, struct error *e)
{
    struct connection *c = &p->meta;

    sql_start(c, row->t.kind == TABLES_VIEW ? "ALTER VIEW " : "ALTER TABLE ");
    catalog_add_path(p, &c->sql, row->dataset_physical, row->physical);
    sql_addf(c, " %s ", words);
    sql_add_name(c, name);
    sql_addf(c, " ");
    buf_add_str(&c->sql, rest);
    return sql_run(c, e) < 0 ? -1 : 0;
}

static int no_column(const struct table_row *row, struct str name, struct error *e)
{
    struct arena a = { 0 };

    error_set(e, ERROR_INVALID_ARGUMENT, "Column not found: %.*s in table %s",
              STR_ARG(str_cut(name, 200)), tables_text(&a, &row->t.name));
    arena_release(&a);
    return -1;
}

/* The schema of a row may be shared with nobody: it was read for this change. */
static struct bq_field *column_of(struct table_row *row, struct str name)
{
    const struct bq_field *f = bq_schema_find(&row->t.schema, name);

    return f ? &row->t.schema.field[f - row->t.schema.field] : NULL;
}

static int add_column(struct project *p, struct table_row *row, const struct sql_alter *alter,
                      struct arena *a, struct error *e)
{
    uint32_t count = row->t.schema.count;
    struct bq_schema to = { arena_array(a, count + 1, sizeof *to.field), count + 1 };
    struct str *defaults = arena_array(a, count + 1, sizeof *defaults);

    if (bq_schema_find(&row->t.schema, alter->column.name))
        return alter->if_not ? 0
                             : error_set(e, ERROR_INVALID_ARGUMENT, "Column already exists: %.*s",
                                         STR_ARG(str_cut(alter->column.name, 200)));
    if (alter->column.mode == BQ_REQUIRED)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "Cannot add required column %.*s to an existing table",
                         STR_ARG(str_cut(alter->column.name, 200)));
    memcpy(to.field, row->t.schema.field, count * sizeof *to.field);
    to.field[count] = alter->column;
    defaults[count] = (struct str){ NULL, 0 }; /* BigQuery leaves NULL in the rows that are there */
    return relation_extend(p, row, &to, defaults, a, e);
}

static int drop_column(struct project *p, struct table_row *row, const struct sql_alter *alter,
                       struct error *e)
{
    struct bq_field *f = column_of(row, alter->column.name);

    if (!f)
        return alter->if_not ? 0 : no_column(row, alter->column.name, e);
    if (row->t.schema.count == 1)
        return error_set(e, ERROR_INVALID_ARGUMENT, "A table must keep one column at least");
    if (alter_engine(p, row, "DROP COLUMN", f->name, (struct str){ NULL, 0 }, e) < 0)
        return -1;
    size_t at = (size_t)(f - row->t.schema.field);
    row->t.schema.count--;
    memmove(f, f + 1, (row->t.schema.count - at) * sizeof *f);
    return 0;
}

static int rename_column(struct project *p, struct table_row *row, const struct sql_alter *alter,
                         struct arena *a, struct error *e)
{
    struct bq_field *f = column_of(row, alter->column.name);
    struct buf rest = BUF_INIT(4096);

    if (!f)
        return alter->if_not ? 0 : no_column(row, alter->column.name, e);
    buf_add_c(&rest, "TO ");
    sql_name(&rest, alter->new_name);
    int rc = alter_engine(p, row, "RENAME COLUMN", f->name, buf_str(&rest), e);
    buf_release(&rest);
    f->name =
        (struct str){ arena_copy(a, alter->new_name.p, alter->new_name.len), alter->new_name.len };
    return rc;
}

static int change_type(struct project *p, struct table_row *row, const struct sql_alter *alter,
                       struct error *e)
{
    struct bq_field *f = column_of(row, alter->column.name);
    struct buf rest = BUF_INIT((size_t)1024 * 1024);

    if (!f)
        return no_column(row, alter->column.name, e);
    bool widens = f->type == alter->column.type ||
                  (f->type == BQ_INTEGER &&
                   (alter->column.type == BQ_NUMERIC || alter->column.type == BQ_BIGNUMERIC ||
                    alter->column.type == BQ_FLOAT)) ||
                  (f->type == BQ_NUMERIC &&
                   (alter->column.type == BQ_BIGNUMERIC || alter->column.type == BQ_FLOAT));
    if (!widens || f->mode == BQ_REPEATED || f->type == BQ_RECORD)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "ALTER TABLE ALTER COLUMN SET DATA TYPE requires that the existing column "
                         "type (%s) is assignable to the new type (%s)",
                         bq_type_sql(f->type), bq_type_sql(alter->column.type));
    buf_add_c(&rest, "SET DATA TYPE ");
    sql_duckdb_type(&rest, &alter->column);
    int rc = f->type == alter->column.type
                 ? 0
                 : alter_engine(p, row, "ALTER COLUMN", f->name, buf_str(&rest), e);
    buf_release(&rest);
    f->type = alter->column.type;
    f->max_length = alter->column.max_length;
    f->precision = alter->column.precision;
    f->scale = alter->column.scale;
    return rc;
}

static int change_default(struct project *p, struct table_row *row, const struct sql_alter *alter,
                          struct error *e)
{
    struct bq_field *f = column_of(row, alter->column.name);
    struct buf rest = BUF_INIT((size_t)1024 * 1024);

    if (!f)
        return no_column(row, alter->column.name, e);
    f->default_value = alter->column.default_value;
    if (alter->default_sql.len)
        buf_addf(&rest, "SET DEFAULT (%.*s)", STR_ARG(alter->default_sql));
    else
        buf_add_c(&rest, "DROP DEFAULT");
    int rc = alter_engine(p, row, "ALTER COLUMN", f->name, buf_str(&rest), e);
    buf_release(&rest);
    return rc;
}

static int rename_table(struct project *p, struct table_row *row, struct str to, struct arena *a,
                        struct error *e)
{
    struct tables_name name = { row->t.name.project, row->t.name.dataset, to };
    struct tables_table t = row->t;
    struct table_row other;
    struct str physical = { NULL, 0 };
    int rc = tables_table_check(to, e);

    if (rc == 0)
        rc = catalog_find_table(p, &name, a, &other, e);
    if (rc > 0)
        rc = already_exists(e, &name);
    if (rc == 0)
        rc = catalog_free_name(p, row->dataset_physical, to, a, &physical, e);
    if (rc == 0)
        rc = alter_engine(p, row, "RENAME TO", physical, (struct str){ NULL, 0 }, e);
    if (rc < 0)
        return -1;
    struct table_row gone = *row;
    gone.physical.len = 0; /* the engine's table stays */
    t.name = name;
    if (catalog_drop_table(p, &gone, e) < 0)
        return -1;
    return catalog_add_table(p, &p->meta, &t, physical, e);
}

static int set_options(struct table_row *row, const struct sql_alter *alter, struct arena *a,
                       struct error *e)
{
    struct options options = { row->t.options, "expirationTime", row->t.expires_ms };

    if (options_merge(a, &options, alter->options, e) < 0)
        return -1;
    row->t.options = options.json;
    row->t.expires_ms = options.number;
    return 0;
}

static int alter_one(struct project *p, struct table_row *row, const struct sql_alter *alter,
                     struct arena *a, struct error *e)
{
    struct bq_field *f;

    switch (alter->kind) {
    case SQL_ALTER_ADD_COLUMN:
        return add_column(p, row, alter, a, e);
    case SQL_ALTER_DROP_COLUMN:
        return drop_column(p, row, alter, e);
    case SQL_ALTER_RENAME_COLUMN:
        return rename_column(p, row, alter, a, e);
    case SQL_ALTER_OPTIONS:
        return set_options(row, alter, a, e);
    case SQL_ALTER_TYPE:
        return change_type(p, row, alter, e);
    case SQL_ALTER_DEFAULT:
        return change_default(p, row, alter, e);
    case SQL_ALTER_DROP_NOT_NULL:
        f = column_of(row, alter->column.name);
        if (!f)
            return no_column(row, alter->column.name, e);
        f->mode = f->mode == BQ_REQUIRED ? BQ_NULLABLE : f->mode;
        return alter_engine(p, row, "ALTER COLUMN", f->name, STR("DROP NOT NULL"), e);
    case SQL_ALTER_COLUMN_OPTIONS:
        f = column_of(row, alter->column.name);
        if (!f)
            return no_column(row, alter->column.name, e);
        f->description =
            alter->description_null ? (struct str){ NULL, 0 } : alter->column.description;
        return 0;
    case SQL_ALTER_RENAME:
        break;
    }
    return 0;
}

static int alter_run(struct project *p, void *arg, struct error *e)
{
    struct ddl_work *work = arg;
    struct arena a = { 0 };
    struct table_row row;
    const struct sql_alter *renames = NULL;
    int rc = catalog_need_table(p, &work->name, &a, &row, e);

    for (uint32_t i = 0; rc == 0 && i < work->ddl->alter_count; i++) {
        if (work->ddl->alter[i].kind == SQL_ALTER_RENAME)
            renames = &work->ddl->alter[i];
        else
            rc = alter_one(p, &row, &work->ddl->alter[i], &a, e);
    }
    if (work->altered_ms >= 0)
        row.t.expires_ms = work->altered_ms;
    if (rc == 0)
        rc = renames ? rename_table(p, &row, renames->new_name, &a, e)
                     : catalog_set_table(p, &row, e);
    if (rc == 0)
        rc = outcome_put(p, &p->meta, work->key, work->out, e);
    arena_release(&a);
    return rc;
}

int ddl_alter(struct ddl_work *work, struct error *e)
{
    work->out->ddl = "ALTER";
    work->out->ddl_target = work->name;
    work->altered_ms = -1;
    if (work->run->q->dry_run)
        return 0;
    for (uint32_t i = 0; i < work->ddl->alter_count; i++)
        if (ddl_expiration(work->run, work->ddl->alter[i].expires_sql, &work->altered_ms, e) < 0)
            return -1;
    return ddl_ignore(project_change(work->run->project, alter_run, work, e), work->ddl->if_exists,
                      ERROR_NOT_FOUND, work->out, e);
}
