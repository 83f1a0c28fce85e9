/* query.c -- query.h: one call: a text of GoogleSQL is read, and its statement or its steps run. */
#include <string.h>

#include "base/thread.h"
#include "store/tables/duckdb/query.h"

/* ---- Statements ---- */

/* Tables that a statement reads, and their bytes. INFORMATION_SCHEMA's are none. */
static int note_reads(struct query_run *r, const struct sql_written *w, struct tables_result *out,
                      struct error *e)
{
    struct project *p = r->project;
    int rc = 0;

    out->read = arena_array(r->arena, w->read_count, sizeof *out->read);
    for (uint32_t i = 0; i < w->read_count && rc >= 0; i++) {
        struct tables_name *name = &out->read[out->read_count];
        struct table_row row;
        struct error ignored;
        if (resolve_name(r, &w->read[i], name, &ignored) < 0)
            continue;
        lock(&p->lock);
        rc = catalog_find_table(p, name, r->arena, &row, e);
        if (rc > 0)
            rc = catalog_count(p, &row, e) < 0 ? -1 : 1;
        unlock(&p->lock);
        if (rc <= 0)
            continue;
        out->read_count++;
        out->bytes += row.t.bytes;
    }
    return rc < 0 ? -1 : 0;
}

/* ASSERT: its SELECT gives a BOOL, and perhaps the message. */
static int run_assert(struct query_run *r, const struct sql_written *w, struct error *e)
{
    struct bq_schema schema;
    struct grid found;

    if (statement_values(r, w->sql, 1, &schema, &found, e) < 0)
        return -1;
    if (found.rows && str_eq_c(found.cell[0].text, "true"))
        return 0;
    bool says = found.rows && found.columns > 1 && !found.cell[1].null;
    return error_set(e, ERROR_INVALID_ARGUMENT, "Assertion failed%s%.*s", says ? ": " : "",
                     says ? (int)str_cut(found.cell[1].text, 300).len : 0,
                     says ? found.cell[1].text.p : "");
}

static int run_written(struct query_run *r, const struct sql_written *w, struct str key,
                       struct tables_result *out, struct error *e)
{
    switch (w->kind) {
    case SQL_SELECT:
        return statement_select(r, w, key, out, e);
    case SQL_INSERT:
    case SQL_UPDATE:
    case SQL_DELETE:
    case SQL_MERGE:
        return statement_dml(r, w, key, out, e);
    case SQL_ASSERT:
        return r->q->dry_run ? 0 : run_assert(r, w, e);
    default:
        return ddl_run(r, w, key, out, e);
    }
}

int query_statement(struct query_run *r, const struct sql_script *s, const struct sql_step *step,
                    struct str key, struct tables_result *out, struct error *e)
{
    struct sql_written w = { .kind = SQL_SELECT };

    r->views = 0;
    if (sql_write(s, step, &r->env, r->arena, &w, e) < 0)
        return -1;
    out->statement = str_of(sql_kind_name(w.kind));
    out->undeclared = w.undeclared;
    out->undeclared_count = w.undeclared_count;
    if (r->transaction_lost && (w.read_count || w.kind != SQL_SELECT))
        return error_set(e, ERROR_UNIMPLEMENTED,
                         "After an error in a transaction, a statement before ROLLBACK TRANSACTION "
                         "is not supported");
    if (note_reads(r, &w, out, e) < 0 || run_written(r, &w, key, out, e) < 0)
        return -1;
    r->env.row_count = out->inserted + out->updated + out->deleted;
    return 0;
}

/* ---- Calls ---- */

static int run_script(struct query_run *r, const struct sql_script *script, struct error *e)
{
    struct project *p = r->project;

    r->script = !script->single;
    if (script->single && script->step[0].kind == SQL_STATEMENT)
        return query_statement(r, script, &script->step[0], r->q->key, r->out, e);
    r->out->statement = STR("SCRIPT");
    if (r->q->dry_run)
        return 0; /* it is read; what its steps do is known only when they run */
    if (walk_script(r, script, e) < 0)
        return -1;
    if (r->in_transaction)
        return error_set(e, ERROR_INVALID_ARGUMENT, "The script left its transaction open.");
    lock(&p->lock);
    int rc = outcome_put(p, &p->meta, r->q->key, r->out, e);
    unlock(&p->lock);
    return rc;
}

static int query_begin(struct query_run *r, struct project *p, const struct tables_query *q,
                       struct arena *a, struct error *e)
{
    *r = (struct query_run){ .project = p, .q = q, .arena = a };
    resolve_start(r);
    return project_connect(p, &r->connection, e);
}

static void query_end(struct query_run *r)
{
    struct error ignored;

    if (r->in_transaction)
        (void)!sql_run_c(&r->connection, "ROLLBACK", &ignored);
    project_disconnect(r->project, &r->connection);
}

static int64_t time_limit(const struct project *p, const struct tables_query *q)
{
    int64_t limit = p->owner->limits.query_ms;

    return q->timeout_ms && q->timeout_ms < limit ? q->timeout_ms : limit;
}

static int query_in(struct project *p, const struct tables_query *q, struct arena *a,
                    struct tables_result *out, struct error *e)
{
    struct query_run r;
    struct sql_script *script = sql_parse(a, q->sql, e);

    if (!script || query_begin(&r, p, q, a, e) < 0)
        return -1;
    r.out = out;
    r.guard = (struct guard){ .connection = &r.connection,
                              .path = p->path,
                              .bytes_max = p->owner->limits.result_bytes,
                              .timeout_ms = time_limit(p, q) };
    int rc = resolve_check_session(&r, e);
    if (rc == 0)
        rc = guard_begin(&p->owner->watch, &r.guard, q->cancel, e);
    if (rc == 0)
        rc = guard_end(&p->owner->watch, &r.guard, q->cancel, run_script(&r, script, e), e);
    query_end(&r);
    return rc;
}

int tables_query_run(struct tables *t, const struct tables_query *q, struct arena *a,
                     struct tables_result *out, struct error *e)
{
    struct project *p = project_enter(embedded_of(t), q->project, true, e);

    if (!p)
        return -1;
    *out = (struct tables_result){ .rows = 0 };
    lock(&p->lock);
    int rc = outcome_find(p, q->key, a, out, e);
    unlock(&p->lock);
    if (rc == 0)
        rc = query_in(p, q, a, out, e);
    project_leave(p);
    return rc < 0 ? -1 : 0;
}

int query_translate(struct project *p, struct str sql, struct arena *a, struct str *out,
                    struct bq_schema *schema, struct error *e)
{
    const struct tables_query q = { .project = str_of(p->name) };
    struct sql_written w = { .kind = SQL_SELECT };
    struct query_run r;
    struct sql_script *script = sql_parse_query(a, sql, e);

    if (!script || query_begin(&r, p, &q, a, e) < 0)
        return -1;
    int rc = sql_write(script, &script->step[0], &r.env, a, &w, e);
    if (rc == 0)
        rc = statement_describe(&r, w.sql, a, schema, e);
    query_end(&r);
    *out = w.sql;
    return rc;
}

/* A default is an expression of GoogleSQL: the statement that makes a table with it is read, and must make one
 * column. */
static int translate_default(struct query_run *r, const struct bq_field *f, struct str *out,
                             struct error *e)
{
    struct buf text = BUF_INIT(SQL_TEXT_BYTES_MAX);
    struct sql_written w = { .kind = SQL_SELECT };

    buf_add_c(&text, "CREATE TABLE d.t (c ");
    bq_field_sql(&text, f);
    buf_add_c(&text, " DEFAULT ");
    buf_add_str(&text, f->default_value);
    buf_add_c(&text, ")");
    struct sql_script *script =
        sql_parse(r->arena, str_of(arena_copy(r->arena, text.p, text.len)), e);
    buf_release(&text);
    if (!script || sql_write(script, &script->step[0], &r->env, r->arena, &w, e) < 0)
        return -1;
    if (!script->single || !w.ddl || w.kind != SQL_CREATE_TABLE || w.ddl->columns.count != 1 ||
        !w.ddl->default_sql)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "Invalid default value expression for column %.*s",
                         STR_ARG(str_cut(f->name, 200)));
    *out = w.ddl->default_sql[0];
    return 0;
}

int query_defaults(struct project *p, const struct bq_schema *schema, struct arena *a,
                   struct str **out, struct error *e)
{
    const struct tables_query q = { .project = str_of(p->name) };
    struct query_run r;
    bool any = false;
    int rc = 0;

    *out = NULL;
    for (uint32_t i = 0; i < schema->count; i++)
        any = any || schema->field[i].default_value.len;
    if (!any)
        return 0;
    if (query_begin(&r, p, &q, a, e) < 0)
        return -1;
    *out = arena_array(a, schema->count, sizeof **out);
    for (uint32_t i = 0; i < schema->count && rc == 0; i++)
        if (schema->field[i].default_value.len)
            rc = translate_default(&r, &schema->field[i], &(*out)[i], e);
    query_end(&r);
    return rc;
}
