/* ddl.c -- query.h: statements that make, change and drop datasets, tables and views.
 *
 * Why: format/sql describes such a statement, and the catalog's own functions do it, so that SQL and the REST API
 *      leave the same records.
 */
#include <assert.h>
#include <string.h>

#include "base/thread.h"
#include "store/tables/duckdb/ddl.h"

#define TEMPORARY_LETTERS_FROM 1 /* a hidden name without its ~ */

/* ---- Datasets ---- */

static int create_schema(struct ddl_work *work, struct error *e)
{
    struct tables_dataset d = { .name = { work->name.project, work->name.dataset, { NULL, 0 } } };
    struct options options = { .numbered = "defaultTableExpirationMs" };

    if (options_merge(work->run->arena, &options, work->ddl->options, e) < 0)
        return -1;
    d.options = options.json;
    d.default_expiration_ms = options.number;
    work->out->ddl = "CREATE";
    return ddl_ignore(dataset_create(&work->run->project->owner->tables, &d, e),
                      work->ddl->if_not_exists, ERROR_ALREADY_EXISTS, work->out, e);
}

static int drop_schema(struct ddl_work *work, struct error *e)
{
    work->out->ddl = "DROP";
    return ddl_ignore(
        dataset_delete(&work->run->project->owner->tables, &work->name, work->ddl->cascade, e),
        work->ddl->if_exists, ERROR_NOT_FOUND, work->out, e);
}

static int alter_schema(struct ddl_work *work, struct error *e)
{
    struct tables *t = &work->run->project->owner->tables;
    struct tables_dataset d;

    work->out->ddl = "ALTER";
    int rc = dataset_get(t, &work->name, work->run->arena, &d, e);
    struct options options = { d.options, "defaultTableExpirationMs", d.default_expiration_ms };
    for (uint32_t i = 0; i < work->ddl->alter_count && rc == 0; i++)
        if (work->ddl->alter[i].kind == SQL_ALTER_OPTIONS)
            rc = options_merge(work->run->arena, &options, work->ddl->alter[i].options, e);
    d.options = options.json;
    d.default_expiration_ms = options.number;
    if (rc == 0)
        rc = dataset_change(t, &d, e);
    return ddl_ignore(rc, work->ddl->if_exists, ERROR_NOT_FOUND, work->out, e);
}

/* ---- Tables ---- */

static int read_options(struct ddl_work *work, struct error *e)
{
    struct options options = { .numbered = "expirationTime" };

    if (options_merge(work->run->arena, &options, work->ddl->options, e) < 0)
        return -1;
    work->options = options.json;
    work->expires_ms = options.number;
    return work->run->q->dry_run
               ? 0
               : ddl_expiration(work->run, work->ddl->expires_sql, &work->expires_ms, e);
}

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
    struct options options = { row.t.options, "expirationTime", work->expires_ms };
    if (options_merge(work->run->arena, &options, work->ddl->options, e) < 0)
        return -1;
    work->options = options.json;
    return 0;
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
    int rc = read_options(work, e);

    work->schema = ddl->columns;
    work->defaults = ddl->default_sql;
    if (rc == 0 && ddl->temporary && !(ddl->if_not_exists && exists(work, e)))
        rc = make_temporary(work, e);
    if (rc == 0 && ddl->like.table.len)
        rc = take_from(work, &ddl->like, e);
    if (rc == 0 && ddl->has_query)
        rc = columns_of_query(work, e);
    work->out->schema = work->schema;
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

static void write_view(struct project *p, const struct ddl_work *work, const struct dataset_row *d,
                       struct str physical)
{
    struct connection *c = &p->meta;

    sql_start(c, "CREATE VIEW ");
    catalog_add_path(p, &c->sql, d->physical, physical);
    sql_addf(c, "%s", work->ddl->column_names ? " (" : "");
    for (uint32_t i = 0; work->ddl->column_names && i < work->schema.count; i++) {
        sql_addf(c, i ? ", " : "");
        sql_add_name(c, work->schema.field[i].name);
    }
    sql_addf(c, "%s", work->ddl->column_names ? ") AS " : " AS ");
    buf_add_str(&c->sql, work->view_sql);
}

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
                              .view_names = work->ddl->column_names,
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
        write_view(p, work, &d, physical);
        rc = sql_run(c, e) < 0 ? -1 : 0;
    }
    if (rc == 0)
        rc = catalog_add_table(p, c, &t, physical, e);
    if (rc == 0)
        rc = outcome_put(p, c, work->key, work->out, e);
    arena_release(&a);
    return rc;
}

/* A view keeps its text, where a name without a dataset is of the view's own. */
static int check_names_of_view(const struct ddl_work *work, struct error *e)
{
    const struct query_run *r = work->run;

    for (uint32_t i = 0; i < work->w->read_count; i++)
        if (!work->w->read[i].dataset.len &&
            !str_eq(r->default_dataset.dataset, work->name.dataset))
            return error_set(e, ERROR_INVALID_ARGUMENT,
                             "Table \"%.*s\" must be qualified with a dataset (e.g. dataset.table)",
                             STR_ARG(str_cut(work->w->read[i].table, 200)));
    return 0;
}

static int create_view(struct ddl_work *work, struct error *e)
{
    struct query_run *r = work->run;
    int rc = read_options(work, e);

    if (rc == 0)
        rc = check_names_of_view(work, e);
    if (rc == 0)
        rc = view_write(r, &work->name, work->ddl->query_text, &work->view_sql, e);
    if (rc == 0)
        rc = statement_describe(r, work->view_sql, r->arena, &work->schema, e);
    if (rc == 0 && work->ddl->column_names && work->ddl->column_name_count != work->schema.count)
        rc =
            error_set(e, ERROR_INVALID_ARGUMENT,
                      "The view's list of columns and its query have different numbers of columns");
    for (uint32_t i = 0; rc == 0 && work->ddl->column_names && i < work->schema.count; i++)
        work->schema.field[i].name = work->ddl->column_names[i];
    work->out->schema = work->schema;
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
    return ddl_ignore(project_change(work->run->project, drop_run, work, e), work->ddl->if_exists,
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
        return ddl_alter(&work, e);
    default:
        assert(w->kind == SQL_TRUNCATE_TABLE);
        return truncate(&work, e);
    }
}
