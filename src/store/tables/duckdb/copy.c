/* copy.c -- embedded.h: tables copied into one, by the engine alone. */
#include "base/thread.h"
#include "store/tables/duckdb/embedded.h"
#include "store/tables/duckdb/engine.h"

/* One copy: its sources, found. */
struct copying {
    struct project *project;
    const struct tables_copy *what;
    struct arena arena;
    struct connection connection;
    struct guard guard;
    struct table_row *from;
    struct dataset_row to;
    struct tables_into into; /* with the options of the only source for a table that is made */
    struct str hidden;
};

static int find_sources(struct copying *w, struct error *e)
{
    struct project *p = w->project;
    int rc = 0;

    w->from = arena_array(&w->arena, w->what->from_count, sizeof *w->from);
    lock(&p->lock);
    for (uint32_t i = 0; i < w->what->from_count && rc == 0; i++) {
        rc = catalog_need_table(p, &w->what->from[i], &w->arena, &w->from[i], e);
        if (rc == 0 && w->from[i].t.kind == TABLES_VIEW)
            rc = error_set(e, ERROR_INVALID_ARGUMENT, "%s is a view: a copy job takes tables.",
                           tables_text(&w->arena, &w->what->from[i]));
    }
    unlock(&p->lock);
    w->into = w->what->into;
    if (rc == 0 && !w->into.options.len)
        w->into.options = w->from[0].t.options;
    return rc;
}

static void add_select(struct copying *w, uint32_t i)
{
    struct connection *c = &w->connection;
    const struct bq_schema *s = &w->from[0].t.schema;

    sql_addf(c, i ? " UNION ALL SELECT " : " SELECT ");
    for (uint32_t f = 0; f < s->count; f++) {
        sql_addf(c, f ? ", " : "");
        sql_add_name(c, s->field[f].name);
    }
    sql_addf(c, " FROM ");
    catalog_add_path(w->project, &c->sql, w->from[i].dataset_physical, w->from[i].physical);
}

static int fill(struct copying *w, struct error *e)
{
    struct connection *c = &w->connection;
    const struct bq_schema *s = &w->from[0].t.schema;

    if (hidden_name(&w->arena, &w->hidden, e) < 0)
        return -1;
    sql_start(c, "CREATE TABLE ");
    catalog_add_path(w->project, &c->sql, w->to.physical, w->hidden);
    catalog_add_columns(&c->sql, s, NULL);
    if (sql_run(c, e) < 0)
        return -1;
    sql_start(c, "INSERT INTO ");
    catalog_add_path(w->project, &c->sql, w->to.physical, w->hidden);
    for (uint32_t i = 0; i < w->what->from_count; i++)
        add_select(w, i);
    return sql_run(c, e) < 0 ? -1 : 0;
}

static int copy(struct copying *w, struct tables_outcome *out, struct error *e)
{
    struct project *p = w->project;
    struct bq_schema schema;

    if (find_sources(w, e) < 0)
        return -1;
    schema = w->from[0].t.schema;
    if (publish_check(p, &w->into, &schema, &w->arena, &w->to, e) < 0)
        return -1;
    struct publish how = { .into = &w->into,
                           .schema = schema,
                           .dataset_physical = w->to.physical,
                           .key = w->what->key,
                           .outcome = out };
    if (schema.count) {
        w->guard = (struct guard){ .connection = &w->connection,
                                   .path = p->path,
                                   .timeout_ms = p->owner->limits.query_ms };
        if (project_connect(p, &w->connection, e) < 0 ||
            guard_begin(&p->owner->watch, &w->guard, w->what->cancel, e) < 0)
            return -1;
        if (guard_end(&p->owner->watch, &w->guard, w->what->cancel, fill(w, e), e) < 0)
            return -1;
    }
    how.hidden = w->hidden;
    if (publish(p, &how, e) < 0)
        return -1;
    w->hidden.len = 0;
    return 0;
}

int tables_copy_table(struct tables *t, const struct tables_copy *c, struct tables_outcome *out,
                      struct error *e)
{
    struct copying w = { .what = c };

    *out = (struct tables_outcome){ .rows = 0 };
    if (tables_table_check(c->into.name.table, e) < 0)
        return -1;
    w.project = project_enter(embedded_of(t), c->into.name.project, false, e);
    if (!w.project)
        return e->code == ERROR_NOT_FOUND ? not_found(e, &c->into.name) : -1;
    lock(&w.project->lock);
    int rc = done_find(w.project, c->key, out, e);
    unlock(&w.project->lock);
    if (rc == 0)
        rc = copy(&w, out, e);
    project_disconnect(w.project, &w.connection);
    hidden_drop(w.project, w.to.physical, w.hidden);
    project_leave(w.project);
    arena_release(&w.arena);
    return rc < 0 ? -1 : 0;
}
