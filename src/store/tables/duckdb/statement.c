/* statement.c -- query.h: one SELECT or one change of rows. */
#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/json_write.h"
#include "base/random.h"
#include "base/thread.h"
#include "store/tables/duckdb/engine.h"
#include "store/tables/duckdb/query.h"

#define RESULT_HEX_BYTES 20
#define RETRY_MS 5

/* ---- Preparing ---- */

static const struct query_variable *find_variable(const struct query_run *r, struct str name)
{
    for (uint32_t i = r->variable_count; i > 0; i--)
        if (str_eq(r->variable[i - 1].v.name, name))
            return &r->variable[i - 1];
    return NULL;
}

static bool same_name(struct str a, struct str lower)
{
    bool same = a.len == lower.len;

    for (size_t i = 0; same && i < a.len; i++)
        same = (a.p[i] >= 'A' && a.p[i] <= 'Z' ? a.p[i] + 32 : a.p[i]) == lower.p[i];
    return same;
}

/* "p_NAME", "p_1" or "v_NAME", as sql.h says. */
static int find_value(const struct query_run *r, struct str name, struct bq_field *type,
                      struct bq_cell *value, struct error *e)
{
    struct str rest = str_sub(name, 2, name.len);
    uint64_t place = 0;

    if (str_starts(name, STR("v_"))) {
        const struct query_variable *v = find_variable(r, rest);
        if (v) {
            *type = v->v.type;
            *value = v->value;
            return 0;
        }
    }
    bool placed = str_number(rest, &place);
    for (uint32_t i = 0; i < r->q->parameter_count; i++) {
        const struct bq_parameter *p = &r->q->parameter[i];
        if (p->name.len ? !same_name(p->name, rest) : !(placed && place == i + 1))
            continue;
        *type = p->type;
        *value = p->value;
        return 0;
    }
    return error_set(e, ERROR_INVALID_ARGUMENT, "Query parameter '%.*s' not found",
                     STR_ARG(str_cut(rest, 200)));
}

static int bind_one(struct query_run *r, duckdb_prepared_statement s, idx_t index, struct error *e)
{
    const struct duckdb_library *d = r->connection.duckdb;
    const char *name = d->parameter_name(s, index);
    struct bq_field type;
    struct bq_cell value;
    int rc = find_value(r, str_of(name), &type, &value, e);

    d->free((void *)(uintptr_t)name);
    if (rc < 0)
        return -1;
    duckdb_value v = vectors_value(d, &type, value, e);
    if (!v)
        return -1;
    if (d->bind_value(s, index, v) != DuckDBSuccess)
        rc = error_set(e, ERROR_INVALID_ARGUMENT, "A query parameter cannot be used here.");
    d->destroy_value(&v);
    return rc;
}

static int prepare(struct query_run *r, struct str sql, bool bind, duckdb_prepared_statement *out,
                   struct error *e)
{
    const struct duckdb_library *d = r->connection.duckdb;
    struct buf *text = &r->connection.sql;

    buf_clear(text);
    buf_add_str(text, sql);
    buf_add_char(text, '\0');
    if (!buf_ok(text))
        return error_set(e, ERROR_RESOURCE_EXHAUSTED, "The statement of SQL is too long.");
    if (d->prepare(r->connection.handle, text->p, out) != DuckDBSuccess)
        return connection_error(e, DUCKDB_ERROR_BINDER, d->prepare_error(*out));
    for (idx_t i = 1; bind && i <= d->nparams(*out); i++)
        if (bind_one(r, *out, i, e) < 0)
            return -1;
    return 0;
}

static int schema_of(struct query_run *r, duckdb_prepared_statement s, struct arena *a,
                     struct bq_schema *out, struct error *e)
{
    const struct duckdb_library *d = r->connection.duckdb;
    uint32_t count = (uint32_t)d->prepared_statement_column_count(s);
    struct shape *shape = arena_array(a, count, sizeof *shape);

    for (uint32_t i = 0; i < count; i++) {
        const char *text = d->prepared_statement_column_name(s, i);
        struct str name = str_of(text);
        name.p = arena_copy(a, name.p, name.len);
        d->free((void *)(uintptr_t)text);
        if (shape_of(d, d->prepared_statement_column_logical_type(s, i), name, a, &shape[i], e) < 0)
            return -1;
    }
    *out = shapes_schema(a, shape, count);
    return 0;
}

/* A value of nothing that still has its parts: of a NULL the engine forgets the types of fields. */
static void add_nothing(struct buf *out, const struct bq_field *type)
{
    if (type->mode == BQ_REPEATED || type->type != BQ_RECORD) {
        buf_add_c(out, type->mode == BQ_REPEATED ? "[]" : "NULL");
        return;
    }
    buf_add_c(out, "{");
    for (uint32_t i = 0; i < type->field_count; i++) {
        buf_add_c(out, i ? ", " : "");
        sql_text(out, type->fields[i].name);
        buf_add_c(out, ": ");
        add_nothing(out, &type->fields[i]);
    }
    buf_add_c(out, "}");
}

static bool is_name(char c)
{
    return c == '_' || isalnum((unsigned char)c) || (unsigned char)c > 0x7f;
}

/* The statement with nothing in the place of each parameter, which stands in a CAST to its type: the engine does not
 * find the type of every expression of parameters without values. */
static struct str without_parameters(struct query_run *r, struct arena *a, struct str sql)
{
    struct buf out = BUF_INIT(2 * SQL_OUTPUT_BYTES_MAX);
    char quote = '\0';

    for (size_t i = 0; i < sql.len; i++) {
        char c = sql.p[i];
        if (quote ? c == quote : c == '\'' || c == '"')
            quote = quote ? '\0' : c;
        if (quote || c != '$') {
            buf_add_char(&out, c);
            continue;
        }
        size_t begun = i + 1;
        while (i + 1 < sql.len && is_name(sql.p[i + 1]))
            i++;
        struct bq_field type = { .type = BQ_STRING };
        struct bq_cell value;
        struct error ignored;
        if (find_value(r, str_sub(sql, begun, i + 1 - begun), &type, &value, &ignored) < 0)
            type = (struct bq_field){ .type = BQ_STRING };
        add_nothing(&out, &type);
    }
    struct str text = { arena_copy(a, out.p, out.len), out.len };
    buf_release(&out);
    return text;
}

int statement_describe(struct query_run *r, struct str sql, struct arena *a, struct bq_schema *out,
                       struct error *e)
{
    const struct duckdb_library *d = r->connection.duckdb;
    duckdb_prepared_statement s = NULL;
    int rc = prepare(r, sql, false, &s, e);

    if (rc == 0 && d->nparams(s) > 0) {
        d->destroy_prepare(&s);
        rc = prepare(r, without_parameters(r, a, sql), false, &s, e);
    }
    if (rc == 0)
        rc = schema_of(r, s, a, out, e);
    d->destroy_prepare(&s);
    return rc;
}

/* Runs a prepared statement. The caller destroys out when it returns 0. */
static int execute(struct query_run *r, duckdb_prepared_statement s, duckdb_result *out,
                   struct error *e)
{
    const struct duckdb_library *d = r->connection.duckdb;

    if (guard_check(&r->guard, e) < 0)
        return -1;
    if (d->execute_prepared(s, out) == DuckDBSuccess)
        return 0;
    int rc = connection_error(e, d->result_error_type(out), d->result_error(out));
    d->destroy_result(out);
    return rc;
}

/* Runs one statement that changes rows; how many, or -1. */
static int64_t run_sql(struct query_run *r, struct str sql, struct error *e)
{
    const struct duckdb_library *d = r->connection.duckdb;
    duckdb_prepared_statement s = NULL;
    duckdb_result result = { 0 };
    int64_t changed = -1;

    if (prepare(r, sql, true, &s, e) == 0 && execute(r, s, &result, e) == 0) {
        changed = (int64_t)d->rows_changed(&result);
        d->destroy_result(&result);
    }
    d->destroy_prepare(&s);
    return changed;
}

int statement_values(struct query_run *r, struct str sql, uint32_t rows_max,
                     struct bq_schema *schema, struct grid *out, struct error *e)
{
    const struct duckdb_library *d = r->connection.duckdb;
    duckdb_prepared_statement s = NULL;
    duckdb_result result = { 0 };
    int rc = statement_describe(r, sql, r->arena, schema, e);

    if (rc == 0)
        rc = prepare(r, sql, true, &s, e);
    if (rc == 0 && (rc = execute(r, s, &result, e)) == 0) {
        rc = grid_of_result(&r->connection, &result, rows_max, r->arena, out, e);
        d->destroy_result(&result);
    }
    d->destroy_prepare(&s);
    return rc;
}

/* ---- SELECT ---- */

static void add_target(struct query_run *r, struct buf *sql, const char *words,
                       struct str dataset_physical, struct str physical)
{
    buf_add_c(sql, words);
    catalog_add_path(r->project, sql, dataset_physical, physical);
    buf_add_char(sql, ' ');
}

static int refuse_nulls(struct query_run *r, const struct bq_schema *schema,
                        struct str dataset_physical, struct str physical, struct error *e)
{
    struct connection *c = &r->connection;

    for (uint32_t i = 0; i < schema->count; i++) {
        const struct bq_field *f = &schema->field[i];
        int64_t found = 0;
        if (f->mode != BQ_REPEATED)
            continue;
        sql_start(c, "SELECT count(*) FROM ");
        catalog_add_path(r->project, &c->sql, dataset_physical, physical);
        sql_addf(c, " WHERE len(");
        sql_add_name(c, f->name);
        sql_addf(c, ") > list_count(");
        sql_add_name(c, f->name);
        sql_addf(c, ")");
        if (sql_fetch_number(c, 0, &found, e) < 0)
            return -1;
        if (found)
            return error_set(e, ERROR_INVALID_ARGUMENT,
                             "Array cannot have a null element; error in writing field %.*s",
                             STR_ARG(str_cut(f->name, 200)));
    }
    return 0;
}

static int too_many_rows(const struct query_run *r, int64_t rows, struct error *e)
{
    if (!r->q->rows_max || rows <= r->q->rows_max)
        return 0;
    return error_set(e, ERROR_RESOURCE_EXHAUSTED,
                     "Response too large to return: the result has %lld rows, %lld are allowed",
                     (long long)rows, (long long)r->q->rows_max);
}

/* Makes the engine's table and fills it, on the run's own connection. Rows, or -1. */
static int64_t fill(struct query_run *r, struct str select, const struct bq_schema *schema,
                    struct str dataset_physical, struct str physical, struct error *e)
{
    struct buf sql = BUF_INIT(SQL_OUTPUT_BYTES_MAX + ((size_t)1 << 20));
    int64_t rows = -1;

    add_target(r, &sql, "CREATE TABLE ", dataset_physical, physical);
    catalog_add_columns(&sql, schema, NULL);
    if (run_sql(r, buf_str(&sql), e) >= 0) {
        buf_clear(&sql);
        add_target(r, &sql, "INSERT INTO ", dataset_physical, physical);
        buf_add_str(&sql, select);
        rows = run_sql(r, buf_str(&sql), e);
    }
    buf_release(&sql);
    if (rows >= 0 && (too_many_rows(r, rows, e) < 0 ||
                      refuse_nulls(r, schema, dataset_physical, physical, e) < 0))
        return -1;
    return rows;
}

int statement_fill(struct query_run *r, struct str sql, const struct bq_schema *schema,
                   struct str dataset_physical, struct str *hidden, struct error *e)
{
    if (hidden_name(r->arena, hidden, e) < 0)
        return -1;
    if (fill(r, sql, schema, dataset_physical, *hidden, e) >= 0)
        return 0;
    if (!r->in_transaction)
        hidden_drop(r->project, dataset_physical, *hidden);
    return -1;
}

/* The location of its query, when that is another than a dataset's own. */
static struct str options_of_result(const struct query_run *r)
{
    struct buf text = BUF_INIT((size_t)1024);
    struct json_writer w = JSON_WRITER(&text);

    if (!r->q->location.len || str_eq_c(r->q->location, "US"))
        return (struct str){ NULL, 0 };
    json_object(&w, NULL);
    json_add_text(&w, "location", r->q->location);
    json_end(&w);
    struct str out = { arena_copy(r->arena, text.p, text.len), buf_ok(&text) ? text.len : 0 };
    buf_release(&text);
    return out;
}

/* A result of its own: table, rows, record and key in one transaction of the run's connection. */
static int select_anonymous(struct query_run *r, struct str sql, struct str key,
                            struct tables_result *out, struct error *e)
{
    struct project *p = r->project;
    char hex[2 * RESULT_HEX_BYTES + 1];
    struct tables_table made;

    if (random_hex(hex, RESULT_HEX_BYTES, e) < 0)
        return -1;
    out->destination = (struct tables_name){ str_of(p->name), p->results,
                                             str_of(arena_textf(r->arena, "anon%s", hex)) };
    if (!r->in_transaction && sql_begin(&r->connection, e) < 0)
        return -1;
    out->rows = fill(r, sql, &out->schema, p->results, out->destination.table, e);
    int rc = out->rows < 0 ? -1 : 0;
    made = (struct tables_table){ .name = out->destination,
                                  .schema = out->schema,
                                  .options = options_of_result(r),
                                  .expires_ms =
                                      project_now_ms(p) + TABLES_RESULT_HOURS * INT64_C(3600000) };
    if (rc == 0)
        rc = catalog_add_table(p, &r->connection, &made, out->destination.table, e);
    if (rc == 0)
        rc = outcome_put(p, &r->connection, key, out, e);
    return r->in_transaction ? rc : sql_end(&r->connection, rc, e);
}

/* A query's job words it otherwise than a load's. */
static int reword(struct error *e)
{
    struct str said = str_of(e->msg);
    size_t at = str_starts(said, STR("Provided Schema does not match Table"))
                    ? str_find(said, STR(". "))
                    : SIZE_MAX;
    struct error own = *e;

    if (at == SIZE_MAX)
        return -1;
    return error_set(e, ERROR_INVALID_ARGUMENT, "Invalid schema update. %s", own.msg + at + 2);
}

static int select_into(struct query_run *r, struct str sql, struct str key,
                       struct tables_result *out, struct error *e)
{
    struct project *p = r->project;
    struct tables_outcome outcome = { .rows = 0 };
    struct publish how = { .into = &r->q->into, .key = key, .outcome = &outcome };
    struct dataset_row d;

    if (publish_check(p, &r->q->into, &out->schema, r->arena, &d, e) < 0)
        return reword(e);
    if (statement_fill(r, sql, &out->schema, d.physical, &how.hidden, e) < 0)
        return -1;
    how.schema = out->schema;
    how.dataset_physical = d.physical;
    how.result = out;
    out->destination = r->q->into.name;
    if (publish(p, &how, e) < 0) {
        hidden_drop(p, d.physical, how.hidden);
        return -1;
    }
    out->rows = outcome.rows;
    return 0;
}

/* Names that differ by case only are one column to BigQuery and to the engine. */
static int check_names(struct query_run *r, const struct bq_schema *schema, struct error *e)
{
    struct bq_schema read;

    for (uint32_t i = 0; i < schema->count; i++) {
        const struct bq_field *first = bq_schema_find(schema, schema->field[i].name);
        if (first != &schema->field[i])
            return error_set(e, ERROR_INVALID_ARGUMENT,
                             "Duplicate column names in the result are not supported. Found "
                             "duplicate(s): %.*s",
                             STR_ARG(str_cut(first->name, 200)));
    }
    return bq_schema_parse_stored(schema_text(r->arena, schema), r->arena, &read, e);
}

int statement_select(struct query_run *r, const struct sql_written *w, struct str key,
                     struct tables_result *out, struct error *e)
{
    int rc = statement_describe(r, w->sql, r->arena, &out->schema, e);

    if (rc == 0)
        rc = check_names(r, &out->schema, e);
    out->has_rows = true;
    if (rc < 0 || r->q->dry_run)
        return rc;
    bool into = r->q->into.name.table.len && !r->script;
    return into ? select_into(r, w->sql, key, out, e) : select_anonymous(r, w->sql, key, out, e);
}

/* ---- Rows changed ---- */

static void count_merge(const struct grid *found, struct tables_result *out)
{
    for (uint32_t i = 0; i < found->rows; i++) {
        struct str action = found->cell[(size_t)i * found->columns].text;
        out->inserted += str_eq_c(action, "INSERT");
        out->updated += str_eq_c(action, "UPDATE");
        out->deleted += str_eq_c(action, "DELETE");
    }
}

static int change_rows(struct query_run *r, const struct sql_written *w, struct tables_result *out,
                       struct error *e)
{
    struct grid found = { .rows = 0 };
    struct bq_schema schema;

    out->inserted = out->updated = out->deleted = 0;
    if (w->kind == SQL_MERGE) {
        if (statement_values(r, w->sql, UINT32_MAX, &schema, &found, e) < 0)
            return -1;
        count_merge(&found, out);
        return 0;
    }
    int64_t changed = run_sql(r, w->sql, e);
    if (changed < 0)
        return -1;
    *(w->kind == SQL_INSERT   ? &out->inserted
      : w->kind == SQL_UPDATE ? &out->updated
                              : &out->deleted) = changed;
    return 0;
}

/* In a transaction of its own, and again when another one changed the same rows. */
static int change_committed(struct query_run *r, const struct sql_written *w, struct str key,
                            struct tables_result *out, struct error *e)
{
    struct clock *clock = clock_system();
    int rc = -1;

    for (int i = 0; i < CHANGE_TRIES; i++) {
        if (i)
            clock->sleep_ns(clock, RETRY_MS * NS_PER_MS);
        if (sql_begin(&r->connection, e) < 0)
            return -1;
        rc = change_rows(r, w, out, e);
        if (rc == 0)
            rc = outcome_put(r->project, &r->connection, key, out, e);
        rc = sql_end(&r->connection, rc, e);
        if (rc == 0 || e->code != ERROR_ABORTED)
            break;
    }
    return rc;
}

static int target_schema(struct query_run *r, struct tables_result *out, struct error *e)
{
    struct table_row row;

    lock(&r->project->lock);
    int rc = catalog_need_table(r->project, &out->destination, r->arena, &row, e);
    unlock(&r->project->lock);
    if (rc == 0)
        out->schema = row.t.schema;
    return rc;
}

int statement_dml(struct query_run *r, const struct sql_written *w, struct str key,
                  struct tables_result *out, struct error *e)
{
    duckdb_prepared_statement s = NULL;
    int rc = resolve_name(r, &w->target, &out->destination, e);

    if (rc == 0 && r->q->dry_run) {
        rc = prepare(r, w->sql, false, &s, e);
        r->connection.duckdb->destroy_prepare(&s);
        return rc < 0 ? -1 : target_schema(r, out, e);
    }
    if (rc == 0)
        rc = r->in_transaction ? change_rows(r, w, out, e) : change_committed(r, w, key, out, e);
    if (rc == 0)
        catalog_touch(r->project, &out->destination);
    return rc;
}
