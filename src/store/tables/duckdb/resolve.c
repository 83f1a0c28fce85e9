/* resolve.c -- query.h: the catalog as format/sql asks for it.
 *
 * Why: a name in SQL is found among the project's records only, so no query can name anything else.
 */
#include <string.h>

#include "base/random.h"
#include "base/thread.h"
#include "store/tables/duckdb/query.h"

#define SESSION_LETTERS 24
#define TEMPORARY_DATASET "_SESSION"

/* ---- Names ---- */

/* 1: the session has a temporary table of that name. */
static int find_temporary(struct query_run *r, struct str name, struct tables_name *out,
                          struct error *e)
{
    struct project *p = r->project;
    struct connection *c = &p->meta;
    struct grid found = { .rows = 0 };

    if (!r->session.len)
        return 0;
    lock(&p->lock);
    sql_start(c, "SELECT relation FROM _tranche.temporary WHERE session = ");
    sql_add_text(c, r->session);
    sql_addf(c, " AND name = ");
    sql_add_text(c, name);
    int rc = sql_fetch(c, r->arena, &found, e);
    unlock(&p->lock);
    if (rc < 0)
        return -1;
    if (found.rows)
        *out = (struct tables_name){ str_of(p->name), p->results, found.cell[0].text };
    return found.rows > 0;
}

static bool is_session(struct str dataset)
{
    return str_eq_c(dataset, TEMPORARY_DATASET) || str_eq_c(dataset, "_session");
}

int resolve_name(struct query_run *r, const struct sql_name *name, struct tables_name *out,
                 struct error *e)
{
    struct tables_name full = { name->project, name->dataset, name->table };

    if (name->table.len && (!name->dataset.len || is_session(name->dataset))) {
        int found = find_temporary(r, name->table, out, e);
        if (found)
            return found < 0 ? -1 : 0;
        if (name->dataset.len) {
            full.project = str_of(r->project->name);
            return not_found(e, &full);
        }
    }
    if (!full.dataset.len) {
        full.dataset = r->default_dataset.dataset;
        if (!full.project.len)
            full.project = r->default_dataset.project;
    }
    if (!full.project.len)
        full.project = str_of(r->project->name);
    if (!full.dataset.len)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "Table \"%.*s\" must be qualified with a dataset (e.g. dataset.table)",
                         STR_ARG(str_cut(name->table, 200)));
    *out = full;
    if (str_eq_c(full.project, r->project->name))
        return 0;
    return error_set(
        e, ERROR_PERMISSION_DENIED,
        "Access Denied: Project %.*s: a query of project %s can use its own tables only",
        STR_ARG(str_cut(full.project, 128)), r->project->name);
}

int resolve_session(struct query_run *r, struct error *e)
{
    char letters[SESSION_LETTERS + 1];

    if (r->session.len)
        return 0;
    if (random_text(letters, SESSION_LETTERS, ALPHABET_36, e) < 0)
        return -1;
    r->session = (struct str){ arena_copy(r->arena, letters, SESSION_LETTERS), SESSION_LETTERS };
    r->own_session = true;
    return 0;
}

int resolve_check_session(struct query_run *r, struct error *e)
{
    struct project *p = r->project;
    int64_t there = 0;

    if (!r->q->session.len)
        return 0;
    lock(&p->lock);
    sql_start(&p->meta, "SELECT count(*) FROM _tranche.session WHERE id = ");
    sql_add_text(&p->meta, r->q->session);
    int rc = sql_fetch_number(&p->meta, 0, &there, e);
    unlock(&p->lock);
    return rc < 0 || there ? rc : error_set(e, ERROR_INVALID_ARGUMENT, "Invalid input session id.");
}

/* ---- Tables ---- */

static int describe_row(struct project *p, const struct table_row *row, struct arena *a,
                        struct sql_table *out, struct error *e)
{
    struct buf path = BUF_INIT((size_t)16 * 1024);

    if (!row->physical.len)
        return error_set(e, ERROR_INVALID_ARGUMENT, "Table %s does not have a schema.",
                         tables_text(a, &row->t.name));
    catalog_add_path(p, &path, row->dataset_physical, row->physical);
    *out = (struct sql_table){ .physical = { arena_copy(a, path.p, path.len), path.len },
                               .schema = row->t.schema };
    buf_release(&path);
    return 0;
}

/* Queries say where they looked. */
static int absent_here(struct error *e)
{
    struct error own = *e;

    return own.code == ERROR_NOT_FOUND
               ? error_set(e, ERROR_NOT_FOUND, "%s was not found in location US", own.msg)
               : -1;
}

/* format/sql hides the column from * and from INSERT. */
static void add_partition_time(const struct table_row *row, struct arena *a, struct sql_table *out)
{
    struct bq_schema all = { NULL, row->t.schema.count + 1 };

    if (row->t.kind != TABLES_TABLE || !catalog_partition_unit(&row->t))
        return;
    all.field = arena_array(a, all.count, sizeof *all.field);
    memcpy(all.field, row->t.schema.field, row->t.schema.count * sizeof *all.field);
    all.field[all.count - 1] = (struct bq_field){ .name = STR("_PARTITIONTIME"),
                                                  .type = BQ_TIMESTAMP,
                                                  .mode = BQ_NULLABLE };
    out->schema = all;
}

int view_write(struct query_run *r, const struct tables_name *view, struct str query,
               struct str *out, struct error *e)
{
    const struct str session = r->session;
    const struct tables_name default_dataset = r->default_dataset;
    const struct sql_env env = { .project = r->env.project,
                                 .default_dataset = { view->project, view->dataset, { 0 }, 0 },
                                 .location = r->env.location,
                                 .user = r->env.user,
                                 .catalog = r->env.catalog };
    struct sql_written w = { .kind = SQL_SELECT };

    if (r->views_deep == QUERY_VIEWS_DEEP_MAX)
        return error_set(e, ERROR_INVALID_ARGUMENT, "Views may be nested %d deep.",
                         QUERY_VIEWS_DEEP_MAX);
    if (++r->views > QUERY_VIEWS_MAX)
        return error_set(e, ERROR_INVALID_ARGUMENT, "The query names over %d views.",
                         QUERY_VIEWS_MAX);
    struct sql_script *script = sql_parse_query(r->arena, query, e);
    if (!script)
        return -1;
    r->session = (struct str){ NULL, 0 };
    r->default_dataset = *view;
    r->views_deep++;
    int rc = sql_write(script, &script->step[0], &env, r->arena, &w, e);
    r->views_deep--;
    r->default_dataset = default_dataset;
    r->session = session;
    *out = w.sql;
    return rc;
}

/* A view is its query, written anew at each use: its tables may have other columns than when it was made. */
static int describe_view(struct query_run *r, const struct table_row *row, struct arena *a,
                         struct sql_table *out, struct error *e)
{
    struct buf text = BUF_INIT(SQL_OUTPUT_BYTES_MAX);
    struct bq_schema *schema = &out->schema;
    struct str sql = { NULL, 0 };

    if (view_write(r, &row->t.name, row->t.view_query, &sql, e) < 0 ||
        statement_describe(r, sql, a, schema, e) < 0)
        return error_wrap(e, "View %s", tables_text(a, &row->t.name));
    bool named = row->t.view_names && schema->count == row->t.schema.count;
    buf_add_c(&text, named ? "(SELECT * FROM (" : "(");
    buf_add_str(&text, sql);
    buf_add_c(&text, named ? ") AS _v (" : "");
    for (uint32_t i = 0; named && i < schema->count; i++) {
        buf_add_c(&text, i ? ", " : "");
        sql_duckdb_name(&text, schema->field[i].name = row->t.schema.field[i].name);
    }
    buf_add_c(&text, named ? "))" : ")");
    bool whole = buf_ok(&text);
    out->physical = (struct str){ arena_copy(a, text.p, text.len), text.len };
    out->view = true;
    buf_release(&text);
    return whole ? 0 : error_set(e, ERROR_RESOURCE_EXHAUSTED, "The statement of SQL is too long.");
}

static int find(void *arg, const struct sql_name *name, struct arena *a, struct sql_table *out,
                struct error *e)
{
    struct query_run *r = arg;
    struct tables_name full;
    struct table_row row;

    if (resolve_name(r, name, &full, e) < 0)
        return -1;
    lock(&r->project->lock);
    int rc = catalog_need_table(r->project, &full, a, &row, e);
    unlock(&r->project->lock);
    if (rc < 0)
        return absent_here(e);
    if (row.t.kind == TABLES_VIEW)
        return describe_view(r, &row, a, out, e);
    if (describe_row(r->project, &row, a, out, e) < 0)
        return -1;
    add_partition_time(&row, a, out);
    return 0;
}

static int find_names(struct project *p, const struct tables_name *prefix, struct arena *a,
                      struct grid *out, struct error *e)
{
    struct connection *c = &p->meta;

    sql_start(
        c, "SELECT name FROM _tranche.relation WHERE physical <> '' AND kind = %d AND dataset = ",
        (int)TABLES_TABLE);
    sql_add_text(c, prefix->dataset);
    sql_addf(c, " AND starts_with(name, ");
    sql_add_text(c, prefix->table);
    sql_addf(c,
             ") AND (expires_ms = 0 OR expires_ms > %lld) ORDER BY created_ms DESC, name DESC"
             " LIMIT %d",
             (long long)project_now_ms(p), SQL_WILDCARD_MAX + 1);
    return sql_fetch(c, a, out, e);
}

static int read_wildcard(struct query_run *r, const struct tables_name *prefix,
                         const struct grid *names, struct arena *a, struct sql_wildcard *out,
                         struct error *e)
{
    *out = (struct sql_wildcard){ arena_array(a, names->rows, sizeof *out->table),
                                  arena_array(a, names->rows, sizeof *out->suffix), names->rows };
    for (uint32_t i = 0; i < names->rows; i++) {
        struct tables_name name = { prefix->project, prefix->dataset, names->cell[i].text };
        struct table_row row;
        if (catalog_need_table(r->project, &name, a, &row, e) < 0 ||
            describe_row(r->project, &row, a, &out->table[i], e) < 0)
            return -1;
        out->suffix[i] = str_sub(name.table, prefix->table.len, name.table.len);
    }
    return 0;
}

static int wildcard(void *arg, const struct sql_name *name, struct arena *a,
                    struct sql_wildcard *out, struct error *e)
{
    struct query_run *r = arg;
    struct tables_name prefix = { .table = { NULL, 0 } };
    struct dataset_row d;
    struct grid names = { .rows = 0 };

    if (resolve_name(r, name, &prefix, e) < 0)
        return -1;
    lock(&r->project->lock);
    int rc = catalog_need_dataset(r->project, &prefix, a, &d, e);
    if (rc == 0)
        rc = find_names(r->project, &prefix, a, &names, e);
    if (rc == 0 && names.rows > SQL_WILDCARD_MAX)
        rc = error_set(e, ERROR_INVALID_ARGUMENT, "A wildcard stands for over %d tables.",
                       SQL_WILDCARD_MAX);
    if (rc == 0 && !names.rows)
        rc = error_set(e, ERROR_NOT_FOUND, "Not found: %s*: it does not match any table",
                       tables_text(a, &prefix));
    if (rc == 0)
        rc = read_wildcard(r, &prefix, &names, a, out, e);
    unlock(&r->project->lock);
    return rc;
}

static int describe(void *arg, struct str sql, struct arena *a, struct bq_schema *out,
                    struct error *e)
{
    return statement_describe(arg, sql, a, out, e);
}

static int information(void *arg, const struct sql_name *name, struct str view, struct arena *a,
                       struct str *out, struct error *e)
{
    return resolve_information(arg, name, view, a, out, e);
}

void resolve_start(struct query_run *r)
{
    r->catalog = (struct sql_catalog){ .arg = r,
                                       .find = find,
                                       .wildcard = wildcard,
                                       .describe = describe,
                                       .information = information };
    r->session = r->q->session;
    r->default_dataset = r->q->default_dataset;
    r->env.project = str_of(r->project->name);
    r->env.default_dataset = (struct sql_name){
        r->q->default_dataset.project, r->q->default_dataset.dataset, { NULL, 0 }, 0
    };
    r->env.parameter = r->q->parameter;
    r->env.parameter_count = r->q->parameter_count;
    r->env.dry_run = r->q->dry_run;
    r->env.session_id = r->q->session;
    r->env.location = r->q->location.len ? r->q->location : STR("US");
    r->env.catalog = &r->catalog;
}
