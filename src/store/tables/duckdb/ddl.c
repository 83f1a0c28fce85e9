/* ddl.c -- query.h: statements that make, change and drop datasets, tables and views.
 *
 * Why: format/sql describes such a statement, and the catalog's own functions do it, so that SQL and the REST API
 *      leave the same records.
 */
#include <assert.h>
#include <string.h>

#include "base/json.h"
#include "base/json_write.h"
#include "base/thread.h"
#include "store/tables/duckdb/engine.h"
#include "store/tables/duckdb/query.h"

#define OPTIONS_BYTES_MAX ((size_t)1024 * 1024)
#define TEMPORARY_LETTERS_FROM 1 /* a hidden name without its ~ */

/* One statement, on its way through the catalog. */
struct ddl_work {
    struct query_run *run;
    const struct sql_written *w;
    const struct sql_ddl *ddl;
    struct tables_name name;
    struct tables_result *out;
    struct str key;
    /* Found out before the change. */
    struct str view_sql;
    struct bq_schema schema;
    const struct str *defaults;
    struct str options;
    int64_t expires_ms;
    struct str temporary; /* the session's name for it; or empty */
};

/* ---- Options ---- */

static bool is_ours(struct str name)
{
    return str_eq_c(name, "expirationTime") || str_eq_c(name, "defaultTableExpirationMs");
}

static int64_t number_of(yyjson_val *v)
{
    uint64_t n = 0;

    return v && json_count(v, &n) ? (int64_t)n : 0;
}

/* The members of `old`, and over them those of `new_`; null drops a member. *number: the value of `numbered`, which
 * is kept elsewhere, when new_ has it. */
static int merge_options(struct arena *a, struct str old, struct str new_, const char *numbered,
                         struct str *out, int64_t *number, struct error *e)
{
    struct buf text = BUF_INIT(OPTIONS_BYTES_MAX);
    struct json_writer w = JSON_WRITER(&text);
    yyjson_val *was = NULL, *is = NULL, *key;
    size_t at;

    if ((old.len && !(was = json_parse(a, old, &at, e))) ||
        (new_.len && !(is = json_parse(a, new_, &at, e))))
        return -1;
    json_object(&w, NULL);
    yyjson_obj_iter it = yyjson_obj_iter_with(was);
    while ((key = yyjson_obj_iter_next(&it)))
        if (!yyjson_obj_get(is, yyjson_get_str(key))) {
            json_key(&w, json_str(key));
            json_add_value(&w, NULL, yyjson_obj_iter_get_val(key));
        }
    it = yyjson_obj_iter_with(is);
    while ((key = yyjson_obj_iter_next(&it))) {
        yyjson_val *v = yyjson_obj_iter_get_val(key);
        if (str_eq_c(json_str(key), numbered))
            *number = number_of(v);
        if (is_ours(json_str(key)) || yyjson_is_null(v))
            continue;
        json_key(&w, json_str(key));
        json_add_value(&w, NULL, v);
    }
    json_end(&w);
    *out = (struct str){ arena_copy(a, text.p, text.len), text.len };
    bool ok = buf_ok(&text);
    buf_release(&text);
    return ok ? 0 : error_set(e, ERROR_INVALID_ARGUMENT, "The options are too long.");
}

/* ---- Datasets ---- */

static int ignore(int rc, bool may, enum error_code code, struct tables_result *out,
                  struct error *e)
{
    if (rc == 0 || !may || e->code != code)
        return rc;
    out->ddl = "SKIP";
    return 0;
}

static int create_schema(struct ddl_work *work, struct error *e)
{
    struct tables_dataset d = { .name = { work->name.project, work->name.dataset, { NULL, 0 } } };

    if (merge_options(work->run->arena, (struct str){ NULL, 0 }, work->ddl->options,
                      "defaultTableExpirationMs", &d.options, &d.default_expiration_ms, e) < 0)
        return -1;
    work->out->ddl = "CREATE";
    return ignore(dataset_create(&work->run->project->owner->tables, &d, e),
                  work->ddl->if_not_exists, ERROR_ALREADY_EXISTS, work->out, e);
}

static int drop_schema(struct ddl_work *work, struct error *e)
{
    work->out->ddl = "DROP";
    return ignore(
        dataset_delete(&work->run->project->owner->tables, &work->name, work->ddl->cascade, e),
        work->ddl->if_exists, ERROR_NOT_FOUND, work->out, e);
}

static int alter_schema(struct ddl_work *work, struct error *e)
{
    struct tables *t = &work->run->project->owner->tables;
    struct tables_dataset d;

    work->out->ddl = "ALTER";
    int rc = dataset_get(t, &work->name, work->run->arena, &d, e);
    for (uint32_t i = 0; i < work->ddl->alter_count && rc == 0; i++)
        if (work->ddl->alter[i].kind == SQL_ALTER_OPTIONS)
            rc = merge_options(work->run->arena, d.options, work->ddl->alter[i].options,
                               "defaultTableExpirationMs", &d.options, &d.default_expiration_ms, e);
    if (rc == 0)
        rc = dataset_change(t, &d, e);
    return ignore(rc, work->ddl->if_exists, ERROR_NOT_FOUND, work->out, e);
}

/* ---- Tables ---- */

static int drop_old(struct project *p, const struct ddl_work *work, bool *replaced, struct arena *a,
                    struct error *e)
{
    struct table_row old;
    int found = catalog_find_table(p, &work->name, a, &old, e);

    *replaced = found > 0;
    if (found <= 0)
        return found;
    return work->ddl->or_replace ? catalog_drop_table(p, &old, e) : already_exists(e, &work->name);
}

static int create_table_run(struct project *p, void *arg, struct error *e)
{
    struct ddl_work *work = arg;
    struct tables_table t = { .name = work->name,
                              .schema = work->schema,
                              .options = work->options,
                              .expires_ms = work->expires_ms };
    struct arena a = { 0 };
    bool replaced;
    int rc = drop_old(p, work, &replaced, &a, e);

    work->out->ddl = replaced ? "REPLACE" : "CREATE";
    if (rc == 0)
        rc = relation_make(p, &t, work->defaults, e);
    if (rc == 0 && work->temporary.len)
        rc = temporary_put(p, work->run->session, work->temporary, work->name.table, e);
    if (rc == 0)
        rc = outcome_put(p, &p->meta, work->key, work->out, e);
    arena_release(&a);
    return rc;
}

static int find(struct query_run *r, const struct tables_name *name, struct table_row *out,
                struct error *e)
{
    lock(&r->project->lock);
    int rc = catalog_need_table(r->project, name, r->arena, out, e);
    unlock(&r->project->lock);
    return rc;
}

/* LIKE takes columns and options of another table. */
static int take_from(struct ddl_work *work, const struct sql_name *source, struct error *e)
{
    struct tables_name name;
    struct table_row row;

    if (resolve_name(work->run, source, &name, e) < 0 || find(work->run, &name, &row, e) < 0)
        return -1;
    work->schema = row.t.schema;
    return merge_options(work->run->arena, row.t.options, work->ddl->options, "expirationTime",
                         &work->options, &work->expires_ms, e);
}

static int copy_from(struct ddl_work *work, struct error *e)
{
    struct tables_name from;
    struct tables_copy c = { .from = &from, .from_count = 1, .key = work->key };
    struct tables_outcome outcome;

    c.into = (struct tables_into){
        .name = work->name,
        .write = work->ddl->or_replace ? TABLES_WRITE_TRUNCATE : TABLES_WRITE_EMPTY,
        .options = work->ddl->options.len ? work->options : (struct str){ NULL, 0 },
        .expires_ms = work->expires_ms
    };
    work->out->ddl = work->ddl->or_replace ? "REPLACE" : "CREATE";
    if (resolve_name(work->run, &work->ddl->copy, &from, e) < 0)
        return -1;
    return tables_copy_table(&work->run->project->owner->tables, &c, &outcome, e);
}

static bool exists(struct ddl_work *work, struct error *e)
{
    struct table_row row;

    lock(&work->run->project->lock);
    int found = catalog_find_table(work->run->project, &work->name, work->run->arena, &row, e);
    unlock(&work->run->project->lock);
    return found > 0;
}

/* CREATE TABLE AS: a hidden table is filled, and then takes the name. */
static int create_as(struct ddl_work *work, struct error *e)
{
    struct query_run *r = work->run;
    struct project *p = r->project;
    struct tables_outcome outcome = { .rows = 0 };
    const struct tables_into into = { .name = work->name,
                                      .options = work->options,
                                      .expires_ms = work->expires_ms };
    struct publish how = { .into = &into,
                           .schema = work->schema,
                           .defaults = work->defaults,
                           .key = work->key,
                           .outcome = &outcome,
                           .result = work->out,
                           .mode = work->ddl->or_replace ? PUBLISH_REPLACE : PUBLISH_NEW,
                           .session = r->session,
                           .temporary = work->temporary };
    struct dataset_row d;

    lock(&p->lock);
    int rc = catalog_need_dataset(p, &work->name, r->arena, &d, e);
    unlock(&p->lock);
    if (rc < 0)
        return -1;
    work->out->ddl = work->ddl->or_replace && exists(work, e) ? "REPLACE" : "CREATE";
    work->out->destination = work->name;
    how.dataset_physical = d.physical;
    if (statement_fill(r, work->w->sql, &work->schema, d.physical, &how.hidden, e) < 0)
        return -1;
    if (publish(p, &how, e) == 0)
        return 0;
    hidden_drop(p, d.physical, how.hidden);
    return -1;
}

/* The columns of AS SELECT, with the names, types and modes that the statement gives. */
static int columns_of_query(struct ddl_work *work, struct error *e)
{
    struct query_run *r = work->run;
    int rc = statement_describe(r, work->w->sql, r->arena, &work->schema, e);

    if (rc < 0 || !work->ddl->columns.count)
        return rc;
    if (work->ddl->columns.count != work->schema.count)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "The number of columns in the column definition list does not match the "
                         "number of columns produced by the query");
    work->schema = work->ddl->columns;
    return 0;
}

/* A temporary table is a table of the dataset of results, found by its name in the session. */
static int make_temporary(struct ddl_work *work, struct error *e)
{
    struct query_run *r = work->run;
    struct str letters;

    if (resolve_session(r, e) < 0 || hidden_name(r->arena, &letters, e) < 0)
        return -1;
    work->temporary = work->w->target.table;
    work->name = (struct tables_name){
        str_of(r->project->name), r->project->results,
        str_of(arena_textf(r->arena, "temp_%.*s_%.*s", STR_ARG(work->temporary),
                           STR_ARG(str_sub(letters, TEMPORARY_LETTERS_FROM, letters.len))))
    };
    work->expires_ms = project_now_ms(r->project) + TABLES_RESULT_HOURS * INT64_C(3600000);
    return 0;
}

static int create_table(struct ddl_work *work, struct error *e)
{
    const struct sql_ddl *ddl = work->ddl;
    struct query_run *r = work->run;
    int rc = merge_options(r->arena, (struct str){ NULL, 0 }, ddl->options, "expirationTime",
                           &work->options, &work->expires_ms, e);

    work->schema = ddl->columns;
    work->defaults = ddl->default_sql;
    if (rc == 0 && ddl->temporary && !(ddl->if_not_exists && exists(work, e)))
        rc = make_temporary(work, e);
    if (rc == 0 && ddl->like.table.len)
        rc = take_from(work, &ddl->like, e);
    if (rc == 0 && ddl->has_query)
        rc = columns_of_query(work, e);
    if (rc < 0 || r->q->dry_run)
        return rc;
    work->out->ddl_target = work->name;
    work->out->destination = work->name;
    if (ddl->if_not_exists && exists(work, e)) {
        work->out->ddl = "SKIP";
        return 0;
    }
    if (ddl->copy.table.len)
        return copy_from(work, e);
    return ddl->has_query ? create_as(work, e)
                          : project_change(r->project, create_table_run, work, e);
}

/* ---- Views ---- */

static int create_view_run(struct project *p, void *arg, struct error *e)
{
    struct ddl_work *work = arg;
    struct connection *c = &p->meta;
    struct arena a = { 0 };
    struct dataset_row d;
    struct str physical;
    struct tables_table t = { .name = work->name,
                              .kind = TABLES_VIEW,
                              .schema = work->schema,
                              .view_query = work->ddl->query_text,
                              .options = work->options,
                              .expires_ms = work->expires_ms };
    bool replaced;
    int rc = catalog_need_dataset(p, &work->name, &a, &d, e);

    if (rc == 0)
        rc = drop_old(p, work, &replaced, &a, e);
    if (rc == 0)
        rc = catalog_free_name(p, d.physical, work->name.table, &a, &physical, e);
    if (rc == 0) {
        work->out->ddl = replaced ? "REPLACE" : "CREATE";
        sql_start(c, "CREATE VIEW ");
        catalog_add_path(p, &c->sql, d.physical, physical);
        if (work->ddl->column_names) {
            sql_addf(c, " (");
            for (uint32_t i = 0; i < work->schema.count; i++) {
                sql_addf(c, i ? ", " : "");
                sql_add_name(c, work->schema.field[i].name);
            }
            sql_addf(c, ")");
        }
        sql_addf(c, " AS ");
        buf_add_str(&c->sql, work->w->sql);
        rc = sql_run(c, e) < 0 ? -1 : 0;
    }
    if (rc == 0)
        rc = catalog_add_table(p, c, &t, physical, e);
    if (rc == 0)
        rc = outcome_put(p, c, work->key, work->out, e);
    arena_release(&a);
    return rc;
}

static int create_view(struct ddl_work *work, struct error *e)
{
    struct query_run *r = work->run;
    int rc = merge_options(r->arena, (struct str){ NULL, 0 }, work->ddl->options, "expirationTime",
                           &work->options, &work->expires_ms, e);

    if (rc == 0)
        rc = statement_describe(r, work->w->sql, r->arena, &work->schema, e);
    if (rc == 0 && work->ddl->column_names && work->ddl->column_name_count != work->schema.count)
        rc =
            error_set(e, ERROR_INVALID_ARGUMENT,
                      "The view's list of columns and its query have different numbers of columns");
    for (uint32_t i = 0; rc == 0 && work->ddl->column_names && i < work->schema.count; i++)
        work->schema.field[i].name = work->ddl->column_names[i];
    if (rc < 0 || r->q->dry_run)
        return rc;
    work->out->ddl_target = work->name;
    work->out->destination = work->name;
    if (work->ddl->if_not_exists && exists(work, e)) {
        work->out->ddl = "SKIP";
        return 0;
    }
    return project_change(r->project, create_view_run, work, e);
}

/* ---- Dropping, emptying ---- */

static int drop_run(struct project *p, void *arg, struct error *e)
{
    struct ddl_work *work = arg;
    bool view = work->w->kind == SQL_DROP_VIEW;
    struct arena a = { 0 };
    struct table_row row;
    int rc = catalog_need_table(p, &work->name, &a, &row, e);

    if (rc == 0 && (row.t.kind == TABLES_VIEW) != view)
        rc = error_set(e, ERROR_INVALID_ARGUMENT, "%s is not a %s", tables_text(&a, &work->name),
                       view ? "VIEW" : "TABLE");
    if (rc == 0)
        rc = catalog_drop_table(p, &row, e);
    if (rc == 0)
        rc = outcome_put(p, &p->meta, work->key, work->out, e);
    arena_release(&a);
    return rc;
}

static int drop(struct ddl_work *work, struct error *e)
{
    work->out->ddl = "DROP";
    work->out->ddl_target = work->name;
    if (work->run->q->dry_run)
        return 0;
    return ignore(project_change(work->run->project, drop_run, work, e), work->ddl->if_exists,
                  ERROR_NOT_FOUND, work->out, e);
}

static int truncate_run(struct project *p, void *arg, struct error *e)
{
    struct ddl_work *work = arg;
    struct connection *c = &p->meta;
    struct arena a = { 0 };
    struct table_row row;
    int rc = catalog_need_table(p, &work->name, &a, &row, e);

    if (rc == 0 && row.t.kind == TABLES_VIEW)
        rc = error_set(e, ERROR_INVALID_ARGUMENT, "Cannot truncate a view");
    if (rc == 0 && row.physical.len) {
        sql_start(c, "DELETE FROM ");
        catalog_add_path(p, &c->sql, row.dataset_physical, row.physical);
        work->out->deleted = sql_run(c, e);
        rc = work->out->deleted < 0 ? -1 : 0;
    }
    if (rc == 0)
        rc = outcome_put(p, c, work->key, work->out, e);
    arena_release(&a);
    return rc;
}

static int truncate(struct ddl_work *work, struct error *e)
{
    work->out->destination = work->name;
    if (work->run->q->dry_run)
        return 0;
    int rc = project_change(work->run->project, truncate_run, work, e);
    if (rc == 0)
        catalog_touch(work->run->project, &work->name);
    return rc;
}

/* ---- ALTER ---- */

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
    return relation_extend(p, row, &to, defaults, e);
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
    struct str physical;
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
        return merge_options(a, row->t.options, alter->options, "expirationTime", &row->t.options,
                             &row->t.expires_ms, e);
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
    if (rc == 0)
        rc = renames ? rename_table(p, &row, renames->new_name, &a, e)
                     : catalog_set_table(p, &row, e);
    if (rc == 0)
        rc = outcome_put(p, &p->meta, work->key, work->out, e);
    arena_release(&a);
    return rc;
}

static int alter(struct ddl_work *work, struct error *e)
{
    work->out->ddl = "ALTER";
    work->out->ddl_target = work->name;
    if (work->run->q->dry_run)
        return 0;
    return ignore(project_change(work->run->project, alter_run, work, e), work->ddl->if_exists,
                  ERROR_NOT_FOUND, work->out, e);
}

/* ---- All ---- */

/* A dataset's statement has no table. A temporary table that is made gets its name later: until then it is the one
 * that the session has by this name, if any. */
static int name_of(struct ddl_work *work, struct error *e)
{
    struct query_run *r = work->run;
    const struct sql_name *target = &work->w->target;
    struct error ignored;

    if (work->ddl->temporary) {
        const struct sql_name in_session = { .dataset = STR("_SESSION"), .table = target->table };
        if (resolve_name(r, &in_session, &work->name, &ignored) < 0)
            work->name = (struct tables_name){ str_of(r->project->name), r->project->results,
                                               target->table };
        return tables_table_check(target->table, e);
    }
    if (target->table.len && work->w->kind != SQL_DROP_TABLE &&
        tables_table_check(target->table, e) < 0)
        return -1;
    if (resolve_name(r, target, &work->name, e) < 0)
        return -1;
    return target->table.len ? 0 : tables_dataset_check(work->name.dataset, e);
}

int ddl_run(struct query_run *r, const struct sql_written *w, struct str key,
            struct tables_result *out, struct error *e)
{
    struct ddl_work work = { .run = r, .w = w, .ddl = w->ddl, .out = out, .key = key };

    if (!w->ddl)
        return 0; /* CREATE FUNCTION: format/sql keeps it */
    if (w->kind == SQL_CREATE_FUNCTION || w->kind == SQL_DROP_FUNCTION) {
        out->ddl = w->kind == SQL_CREATE_FUNCTION ? "CREATE" : "DROP";
        return 0;
    }
    if (name_of(&work, e) < 0)
        return -1;
    switch (w->kind) {
    case SQL_CREATE_SCHEMA:
        return r->q->dry_run ? 0 : create_schema(&work, e);
    case SQL_DROP_SCHEMA:
        return r->q->dry_run ? 0 : drop_schema(&work, e);
    case SQL_ALTER_SCHEMA:
        return r->q->dry_run ? 0 : alter_schema(&work, e);
    case SQL_CREATE_TABLE:
    case SQL_CREATE_TABLE_AS_SELECT:
    case SQL_CREATE_SNAPSHOT_TABLE:
        return create_table(&work, e);
    case SQL_CREATE_VIEW:
        return create_view(&work, e);
    case SQL_DROP_TABLE:
    case SQL_DROP_VIEW:
    case SQL_DROP_SNAPSHOT_TABLE:
        return drop(&work, e);
    case SQL_ALTER_TABLE:
    case SQL_ALTER_VIEW:
        return alter(&work, e);
    default:
        assert(w->kind == SQL_TRUNCATE_TABLE);
        return truncate(&work, e);
    }
}
