/* write_dml.c -- see write.h: INSERT, UPDATE, DELETE, MERGE. DuckDB takes any of several source rows for a target row;
 * BigQuery refuses that, so UPDATE ... FROM and MERGE check it in the same statement. */
#include "format/sql/lexer.h"
#include "format/sql/write.h"

#define SEVERAL_ROWS "UPDATE/MERGE must match at most one source row for each target row"

static bool is_hidden(struct str name)
{
    return sql_word_is(name, "_PARTITIONTIME") || sql_word_is(name, "_PARTITIONDATE");
}

/* The target as a source of its own, with its alias. */
static int write_target(struct sql_writer *w, const struct dml *d, struct sql_table *table)
{
    struct str alias = d->alias.len ? d->alias : d->target.table;

    if (write_table(w, &d->target, table) < 0)
        return -1;
    w->written->target = d->target;
    if (table->view)
        return write_fail(w, d->target.at,
                          "%.*s is not allowed for this operation because it is a VIEW",
                          STR_ARG(d->target.table));
    struct source *s = scope_add(w, alias);
    size_t mark = write_mark(w);
    write_name(w, alias);
    s->printed = write_take(w, mark);
    s->schema = &table->schema;
    buf_addf(&w->out, "%.*s AS %.*s", STR_ARG(table->physical), STR_ARG(s->printed));
    return 0;
}

static const struct bq_field *find_column(struct sql_writer *w, const struct sql_table *table,
                                          struct str name, uint32_t at)
{
    const struct bq_field *f = bq_schema_find(&table->schema, name);

    if (!f)
        write_fail(w, at, "Column %.*s is not present in table", STR_ARG(name));
    return f;
}

/* ---- INSERT ---- */

struct columns {
    const struct bq_field **item;
    uint32_t count;
};

/* The columns that values go to: those that are named, or all. */
static int insert_columns(struct sql_writer *w, const struct sql_table *table, struct str *named,
                          uint32_t named_count, uint32_t at, struct columns *out)
{
    *out = (struct columns){ 0 };
    out->item = arena_array(w->arena, named_count + table->schema.count, sizeof(struct bq_field *));
    for (uint32_t i = 0; i < named_count; i++) {
        if (!(out->item[out->count++] = find_column(w, table, named[i], at)))
            return -1;
    }
    for (uint32_t i = 0; !named && i < table->schema.count; i++)
        if (!is_hidden(table->schema.field[i].name))
            out->item[out->count++] = &table->schema.field[i];
    return 0;
}

static void write_columns(struct sql_writer *w, const struct columns *columns)
{
    for (uint32_t i = 0; i < columns->count; i++) {
        buf_add_c(&w->out, i ? ", " : " (");
        write_name(w, columns->item[i]->name);
    }
    buf_add_c(&w->out, ")");
}

static int write_row_values(struct sql_writer *w, struct expr *const *value, uint32_t count,
                            const struct columns *columns, uint32_t at)
{
    if (count != columns->count)
        return write_fail(w, at, "Inserted row has wrong column count; Has %u, expected %u", count,
                          columns->count);
    buf_add_c(&w->out, "(");
    for (uint32_t i = 0; i < count; i++) {
        buf_add_c(&w->out, i ? ", " : "");
        if (write_as(w, value[i], columns->item[i]) < 0)
            return -1;
    }
    buf_add_c(&w->out, ")");
    return 0;
}

static int write_insert(struct sql_writer *w, const struct dml *d)
{
    struct sql_table *table = arena_alloc(w->arena, sizeof(*table));
    struct columns columns;

    if (write_table(w, &d->target, table) < 0)
        return -1;
    w->written->target = d->target;
    if (table->view)
        return write_fail(w, d->target.at,
                          "%.*s is not allowed for this operation because it is a VIEW",
                          STR_ARG(d->target.table));
    if (insert_columns(w, table, d->column, d->column_count, d->target.at, &columns) < 0)
        return -1;
    buf_addf(&w->out, "INSERT INTO %.*s", STR_ARG(table->physical));
    write_columns(w, &columns);
    if (d->query) {
        buf_add_c(&w->out, " ");
        return write_query(w, d->query, false);
    }
    for (uint32_t i = 0; i < d->row_count; i++) {
        buf_add_c(&w->out, i ? ", " : " VALUES ");
        if (write_row_values(w, d->row[i], d->row_width[i], &columns, d->row[i][0]->at) < 0)
            return -1;
    }
    return 0;
}

/* ---- Assignments ---- */

struct assignments {
    struct assignment *item;
    uint32_t count;
};

/* The value of a column or field whose path begins with the `depth` parts of set[first]: what is assigned to it whole, or a
 * struct of its fields, of which some are assigned. printed: the value that it has. */
static int write_new_value(struct sql_writer *w, const struct assignments *set, uint32_t first,
                           uint32_t depth, const struct bq_field *f, struct str printed);

static bool same_path(const struct assignment *a, const struct assignment *b, uint32_t depth)
{
    for (uint32_t i = 0; i < depth; i++)
        if (i >= a->path_count || i >= b->path_count || !same_name(a->path[i], b->path[i]))
            return false;
    return true;
}

/* A column or field is assigned once, and not both whole and in parts. */
static int check_once(const struct sql_writer *w, const struct assignments *set, uint32_t first,
                      uint32_t depth)
{
    const struct assignment *a = &set->item[first];

    for (uint32_t i = 0; i < set->count; i++)
        if (i != first && same_path(a, &set->item[i], depth) &&
            (a->path_count == depth || set->item[i].path_count == depth))
            return write_fail(w, set->item[i].at, "Update item %.*s assigned more than once",
                              STR_ARG(a->path[0]));
    return 0;
}

static int write_new_field(struct sql_writer *w, const struct assignments *set, uint32_t first,
                           uint32_t depth, const struct bq_field *f, struct str printed)
{
    size_t mark = write_mark(w);

    buf_addf(&w->out, "%.*s.", STR_ARG(printed));
    write_name(w, f->name);
    struct str old = write_take(w, mark);
    for (uint32_t i = first; i < set->count; i++)
        if (same_path(&set->item[first], &set->item[i], depth) && set->item[i].path_count > depth &&
            same_name(set->item[i].path[depth], f->name))
            return write_new_value(w, set, i, depth + 1, f, old);
    buf_add_str(&w->out, old);
    return 0;
}

static int write_new_value(struct sql_writer *w, const struct assignments *set, uint32_t first,
                           uint32_t depth, const struct bq_field *f, struct str printed)
{
    const struct assignment *a = &set->item[first];

    if (check_once(w, set, first, depth) < 0)
        return -1;
    if (a->path_count == depth)
        return write_as(w, a->value, f);
    struct bq_schema fields = { f->fields, f->field_count };
    if (f->type != BQ_RECORD || f->mode == BQ_REPEATED)
        return write_fail(w, a->at, "Cannot access field %.*s on a value with type %s",
                          STR_ARG(a->path[depth]), bq_type_sql(f->type));
    if (!bq_schema_find(&fields, a->path[depth]))
        return write_fail(w, a->at, "Field name %.*s does not exist in %.*s",
                          STR_ARG(a->path[depth]), STR_ARG(f->name));
    buf_add_c(&w->out, "{");
    for (uint32_t i = 0; i < f->field_count; i++) {
        buf_add_c(&w->out, i ? ", " : "");
        sql_write_string(w, f->fields[i].name);
        buf_add_c(&w->out, ": ");
        if (write_new_field(w, set, first, depth, &f->fields[i], printed) < 0)
            return -1;
    }
    buf_add_c(&w->out, "}");
    return 0;
}

/* a.b = x may begin with the target's alias. */
static void drop_alias(struct assignment *set, uint32_t count, const struct sql_table *table,
                       const struct source *target)
{
    for (uint32_t i = 0; i < count; i++)
        if (set[i].path_count > 1 && same_name(set[i].path[0], target->alias) &&
            !bq_schema_find(&table->schema, set[i].path[0])) {
            set[i].path++;
            set[i].path_count--;
        }
}

/* SET: a column once, with all that is assigned to it and to its fields. */
static int write_set(struct sql_writer *w, struct assignment *set, uint32_t count,
                     const struct sql_table *table, const struct source *target)
{
    const struct assignments list = { set, count };
    bool any = false;

    drop_alias(set, count, table, target);
    for (uint32_t i = 0; i < count; i++) {
        bool done = false;
        for (uint32_t j = 0; j < i; j++)
            done = done || same_path(&set[i], &set[j], 1);
        if (done)
            continue;
        const struct bq_field *f = find_column(w, table, set[i].path[0], set[i].at);
        if (!f)
            return -1;
        buf_add_c(&w->out, any ? ", " : " SET ");
        any = true;
        size_t mark = write_mark(w);
        write_name(w, f->name);
        struct str name = write_take(w, mark);
        buf_addf(&w->out, "%.*s = ", STR_ARG(name));
        struct str old =
            str_of(arena_textf(w->arena, "%.*s.%.*s", STR_ARG(target->printed), STR_ARG(name)));
        if (write_new_value(w, &list, i, 1, f, old) < 0)
            return -1;
    }
    return 0;
}

/* ---- UPDATE, DELETE ---- */

/* A condition without columns that fails when a row of the target meets several of the source. */
static void write_check(struct sql_writer *w, struct str target, struct str alias, struct str from,
                        struct str condition)
{
    buf_addf(&w->out,
             "(SELECT CASE WHEN count(*) > 0 THEN error('" SEVERAL_ROWS "') ELSE true END FROM "
             "(SELECT %.*s.rowid FROM %.*s CROSS JOIN %.*s WHERE %.*s GROUP BY %.*s.rowid "
             "HAVING count(*) > 1))",
             STR_ARG(alias), STR_ARG(target), STR_ARG(from), STR_ARG(condition), STR_ARG(alias));
}

/* The FROM of UPDATE and MERGE's source, taken off again. */
static int write_source(struct sql_writer *w, const struct dml *d, struct str target,
                        struct str *from)
{
    size_t mark = write_mark(w);

    if (write_from(w, d->from) < 0)
        return -1;
    *from = write_take(w, mark);
    w->scope->from =
        str_of(arena_textf(w->arena, "%.*s CROSS JOIN %.*s", STR_ARG(target), STR_ARG(*from)));
    return 0;
}

static int write_update(struct sql_writer *w, const struct dml *d)
{
    struct sql_table *table = arena_alloc(w->arena, sizeof(*table));
    struct str target, from = { 0 }, set, condition;
    size_t mark = write_mark(w);

    if (write_target(w, d, table) < 0)
        return -1;
    target = w->scope->from = write_take(w, mark);
    const struct source *source = w->scope->first;
    if (d->from && write_source(w, d, target, &from) < 0)
        return -1;
    if (write_set(w, d->set, d->set_count, table, source) < 0)
        return -1;
    set = write_take(w, mark);
    if (write_expr(w, d->where) < 0)
        return -1;
    condition = write_take(w, mark);
    buf_addf(&w->out, "UPDATE %.*s%.*s", STR_ARG(target), STR_ARG(set));
    if (from.len)
        buf_addf(&w->out, " FROM %.*s", STR_ARG(from));
    buf_addf(&w->out, " WHERE %.*s", STR_ARG(condition));
    if (from.len) {
        buf_add_c(&w->out, " AND ");
        write_check(w, target, source->printed, from, condition);
    }
    return 0;
}

static int write_delete(struct sql_writer *w, const struct dml *d)
{
    struct sql_table *table = arena_alloc(w->arena, sizeof(*table));

    buf_add_c(&w->out, "DELETE FROM ");
    size_t mark = write_mark(w);
    if (write_target(w, d, table) < 0)
        return -1;
    w->scope->from = write_take(w, mark);
    buf_addf(&w->out, "%.*s WHERE ", STR_ARG(w->scope->from));
    return write_expr(w, d->where);
}

/* ---- MERGE ---- */

static int write_merge_insert(struct sql_writer *w, const struct merge_action *m,
                              const struct sql_table *table, const struct source *from, uint32_t at)
{
    struct columns columns;

    if (insert_columns(w, table, m->column, m->column_count, at, &columns) < 0)
        return -1;
    buf_add_c(&w->out, "INSERT");
    write_columns(w, &columns);
    buf_add_c(&w->out, " VALUES ");
    if (m->action == MERGE_INSERT)
        return write_row_values(w, m->value, m->value_count, &columns, at);
    for (uint32_t i = 0; i < columns.count;
         i++) { /* INSERT ROW: the source's columns of these names */
        buf_addf(&w->out, "%s%.*s.", i ? ", " : "(", STR_ARG(from->printed));
        write_name(w, columns.item[i]->name);
    }
    buf_add_c(&w->out, ")");
    return 0;
}

static int write_merge_action(struct sql_writer *w, const struct merge_action *m,
                              const struct sql_table *table, const struct source *target,
                              uint32_t at)
{
    static const char *const when[] = { [MERGE_MATCHED] = " WHEN MATCHED",
                                        [MERGE_NOT_MATCHED] = " WHEN NOT MATCHED BY TARGET",
                                        [MERGE_NOT_BY_SOURCE] = " WHEN NOT MATCHED BY SOURCE" };

    buf_add_c(&w->out, when[m->when]);
    if (m->condition) {
        buf_add_c(&w->out, " AND ");
        if (write_expr(w, m->condition) < 0)
            return -1;
    }
    buf_add_c(&w->out, " THEN ");
    if (m->action == MERGE_DELETE) {
        buf_add_c(&w->out, "DELETE");
        return 0;
    }
    if (m->action != MERGE_UPDATE)
        return write_merge_insert(w, m, table, target->next, at);
    buf_add_c(&w->out, "UPDATE");
    return write_set(w, m->set, m->set_count, table, target);
}

/* Which matched rows are changed: the conditions of the actions. *any: there are such actions. */
static int write_matched(struct sql_writer *w, const struct dml *d, bool *any)
{
    bool all = false;

    *any = false;
    for (uint32_t i = 0; i < d->action_count; i++) {
        const struct merge_action *m = &d->action[i];
        if (m->when != MERGE_MATCHED || all)
            continue;
        buf_add_c(&w->out, *any ? " OR " : "(");
        *any = true;
        all = !m->condition;
        if (all)
            buf_add_c(&w->out, "true");
        else if (write_expr(w, m->condition) < 0)
            return -1;
    }
    buf_add_c(&w->out, *any ? ")" : "");
    return 0;
}

static void write_checked_source(struct sql_writer *w, struct str target, struct str from,
                                 struct str on, struct str matched)
{
    const struct source *source = w->scope->first;
    struct str both = str_of(arena_textf(w->arena, "%.*s AND %.*s", STR_ARG(on), STR_ARG(matched)));

    buf_addf(&w->out, "(SELECT * FROM %.*s WHERE ", STR_ARG(from));
    write_check(w, target, source->printed, from, both);
    buf_addf(&w->out, ") AS %.*s", STR_ARG(source->next->printed));
}

static int write_merge(struct sql_writer *w, const struct dml *d)
{
    struct sql_table *table = arena_alloc(w->arena, sizeof(*table));
    struct str target, from, on, matched;
    size_t mark = write_mark(w);
    bool any;

    if (d->from->kind == FROM_JOIN || d->from->kind == FROM_BRACKETS)
        return write_refuse(w, d->from->at, "MERGE needs a table or a subquery as its source");
    if (write_target(w, d, table) < 0)
        return -1;
    target = write_take(w, mark);
    const struct source *source = w->scope->first;
    if (write_source(w, d, target, &from) < 0)
        return -1;
    if (write_expr(w, d->where) < 0)
        return -1;
    on = write_take(w, mark);
    if (write_matched(w, d, &any) < 0)
        return -1;
    matched = write_take(w, mark);
    buf_addf(&w->out, "MERGE INTO %.*s USING ", STR_ARG(target));
    if (any)
        write_checked_source(w, target, from, on, matched);
    else
        buf_add_str(&w->out, from);
    buf_addf(&w->out, " ON (%.*s)", STR_ARG(on));
    for (uint32_t i = 0; i < d->action_count; i++)
        if (write_merge_action(w, &d->action[i], table, source, d->target.at) < 0)
            return -1;
    buf_add_c(&w->out, " RETURNING merge_action");
    return 0;
}

int write_dml(struct sql_writer *w, const struct dml *d)
{
    int rc;

    scope_open(w);
    if (w->inner->kind == SQL_INSERT) {
        scope_close(w); /* values see no columns */
        return write_insert(w, d);
    }
    rc = w->inner->kind == SQL_UPDATE   ? write_update(w, d)
         : w->inner->kind == SQL_DELETE ? write_delete(w, d)
                                        : write_merge(w, d);
    scope_close(w);
    return rc;
}
