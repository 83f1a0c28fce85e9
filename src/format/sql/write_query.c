/* write_query.c -- see write.h: SELECT, set operations, WITH. FROM is printed first, since the list needs what it offers,
 * and then put behind the list. */
#include "format/sql/lexer.h"
#include "format/sql/write.h"

/* ---- The list of SELECT ---- */

static bool is_listed(const struct str *list, uint32_t count, struct str name)
{
    for (uint32_t i = 0; i < count; i++)
        if (same_name(list[i], name))
            return true;
    return false;
}

/* EXCLUDE (...) REPLACE (...) behind a star; hidden columns of the source are excluded too. */
static int write_star_modifiers(struct sql_writer *w, const struct select_item *item,
                                const struct source *only)
{
    const char *comma = " EXCLUDE (";

    for (uint32_t i = 0; i < item->except_count; i++) {
        buf_add_c(&w->out, comma);
        write_name(w, item->except[i]);
        comma = ", ";
    }
    for (const struct source *s = only ? only : w->scope->first; s; s = only ? NULL : s->next)
        for (uint32_t i = 0; i < s->hidden_count; i++) {
            if (is_listed(item->except, item->except_count, s->hidden[i]))
                continue;
            buf_add_c(&w->out, comma);
            write_name(w, s->hidden[i]);
            comma = ", ";
        }
    buf_add_c(&w->out, comma[0] == ',' ? ")" : "");
    for (uint32_t i = 0; i < item->replace_count; i++) {
        buf_add_c(&w->out, i ? ", " : " REPLACE (");
        if (write_expr(w, item->replace[i]) < 0)
            return -1;
        buf_add_c(&w->out, " AS ");
        write_name(w, item->replace_name[i]);
    }
    buf_add_c(&w->out, item->replace_count ? ")" : "");
    return 0;
}

/* A star over sources of which one has hidden columns, source by source: a name that is hidden in one may be a column of
 * another. False: it cannot be said so; the whole star then leaves the name out everywhere. */
static bool stars_apart(const struct sql_writer *w, const struct select_item *item)
{
    uint32_t sources = 0, hidden = 0;

    for (const struct source *s = w->scope->first; s; s = s->next) {
        sources++;
        hidden += s->hidden_count;
    }
    return sources > 1 && hidden && !item->except_count && !item->replace_count;
}

/* x.*: the columns of a source, or the fields of a STRUCT. */
static int write_star_of(struct sql_writer *w, const struct select_item *item)
{
    static const struct source nothing;
    const struct source *source = NULL;

    if (item->value->kind == EXPR_NAME)
        source = scope_find(w, item->value->text);
    if (source) {
        buf_addf(&w->out, "%.*s.*", STR_ARG(source->printed));
        return write_star_modifiers(w, item, source);
    }
    /* The fields of a STRUCT. */
    if (item->value->kind == EXPR_NAME || item->value->kind == EXPR_FIELD) {
        if (write_expr(w, item->value) < 0)
            return -1;
        buf_add_c(&w->out, ".*");
        return write_star_modifiers(w, item, &nothing);
    }
    if (item->except_count || item->replace_count)
        return write_refuse(w, item->at, "EXCEPT and REPLACE of such a value are not supported");
    buf_add_c(&w->out, "unnest(");
    if (write_expr(w, item->value) < 0)
        return -1;
    buf_add_c(&w->out, ")");
    return 0;
}

static int write_star(struct sql_writer *w, const struct select_item *item)
{
    bool first = true;

    if (!w->scope->first)
        return write_fail(w, item->at, "SELECT * must have a FROM clause");
    if (!item->value && stars_apart(w, item)) {
        for (const struct source *s = w->scope->first; s; s = s->next, first = false) {
            buf_addf(&w->out, "%s%.*s.*", first ? "" : ", ", STR_ARG(s->printed));
            if (write_star_modifiers(w, item, s) < 0)
                return -1;
        }
        return 0;
    }
    if (!item->value) {
        buf_add_c(&w->out, "*");
        return write_star_modifiers(w, item, NULL);
    }
    return write_star_of(w, item);
}

static struct str item_name(const struct select_item *item)
{
    return item->alias.len ? item->alias : expr_name(item->value);
}

/* A name that no column before has: a, a_1, a_2. Only the result's own list, without a star. */
static struct str new_name(struct sql_writer *w, const struct str *names, uint32_t count,
                           struct str name)
{
    struct str out = name;

    for (uint32_t n = 1; is_listed(names, count, out); n++)
        out = str_of(arena_textf(w->arena, "%.*s_%u", STR_ARG(name), n));
    return out;
}

/* Columns without a name are f0_, f1_ and so on; fields of a STRUCT _field_1 by their place. */
static int write_items(struct sql_writer *w, const struct select *s, bool fields)
{
    struct str *names = arena_array(w->arena, s->count, sizeof(*names));
    uint32_t unnamed = 0;

    for (uint32_t i = 0; i < s->count; i++) {
        const struct select_item *item = &s->item[i];
        buf_add_c(&w->out, i ? ", " : "");
        if (item->star) {
            if (write_star(w, item) < 0)
                return -1;
            continue;
        }
        struct str name = item_name(item);
        if (!name.len)
            name = str_of(fields ? arena_textf(w->arena, "_field_%u", i + 1)
                                 : arena_textf(w->arena, "f%u_", unnamed++));
        names[i] =
            w->depth == 1 && w->inner->kind == SQL_SELECT ? new_name(w, names, i, name) : name;
        if (write_expr(w, item->value) < 0)
            return -1;
        buf_add_c(&w->out, " AS ");
        write_name(w, names[i]);
    }
    return 0;
}

/* ---- GROUP BY ---- */

/* A place, an alias of the list (which comes before columns), or an expression. */
static int write_group_value(struct sql_writer *w, const struct select *s, const struct expr *x)
{
    if (x->kind == EXPR_INTEGER) {
        buf_add_str(&w->out, x->text);
        return 0;
    }
    for (uint32_t i = 0; x->kind == EXPR_NAME && i < s->count; i++)
        if (!s->item[i].star && s->item[i].alias.len && same_name(s->item[i].alias, x->text))
            return write_expr(w, s->item[i].value);
    if (x->kind == EXPR_STRUCT && !x->type) { /* (a, b) in ROLLUP and GROUPING SETS */
        buf_add_c(&w->out, "(");
        for (uint32_t i = 0; i < x->count; i++) {
            buf_add_c(&w->out, i ? ", " : "");
            if (write_group_value(w, s, x->item[i]) < 0)
                return -1;
        }
        buf_add_c(&w->out, ")");
        return 0;
    }
    return write_expr(w, x);
}

static int write_group(struct sql_writer *w, const struct select *s, const struct group_item *g)
{
    static const char *const names[] = {
        [GROUP_ROLLUP] = "ROLLUP (", [GROUP_CUBE] = "CUBE (", [GROUP_SETS] = "GROUPING SETS ("
    };

    if (g->kind == GROUP_VALUE)
        return write_group_value(w, s, g->value);
    if (g->kind == GROUP_EMPTY) {
        buf_add_c(&w->out, "()");
        return 0;
    }
    buf_add_c(&w->out, names[g->kind]);
    for (uint32_t i = 0; i < g->count; i++) {
        buf_add_c(&w->out, i ? ", " : "");
        if (write_group(w, s, &g->item[i]) < 0)
            return -1;
    }
    buf_add_c(&w->out, ")");
    return 0;
}

static int write_grouping(struct sql_writer *w, const struct select *s)
{
    buf_add_c(&w->out, s->group_all ? " GROUP BY ALL" : s->group_count ? " GROUP BY " : "");
    for (uint32_t i = 0; i < s->group_count; i++) {
        buf_add_c(&w->out, i ? ", " : "");
        if (write_group(w, s, &s->group[i]) < 0)
            return -1;
    }
    return 0;
}

/* ---- SELECT ---- */

static int write_clause(struct sql_writer *w, const char *word, const struct expr *x)
{
    if (!x)
        return 0;
    buf_add_c(&w->out, word);
    return write_expr(w, x);
}

static int write_windows(struct sql_writer *w, const struct select *s)
{
    for (uint32_t i = 0; i < s->window_count; i++) {
        buf_add_c(&w->out, i ? ", " : " WINDOW ");
        write_name(w, s->window[i].name);
        buf_add_c(&w->out, " AS ");
        if (write_window(w, &s->window[i].window) < 0)
            return -1;
    }
    return 0;
}

/* SELECT AS VALUE STRUCT(...) is SELECT AS STRUCT of its fields. */
static const struct select *value_as_columns(struct sql_writer *w, const struct select *s)
{
    struct select *out = arena_alloc(w->arena, sizeof(*out));
    const struct expr *value = s->count == 1 && !s->item[0].star ? s->item[0].value : NULL;

    if (!s->as_value || !value || value->kind != EXPR_STRUCT || value->type)
        return s;
    *out = *s;
    out->as_value = false;
    out->as_struct = true;
    out->item = arena_array(w->arena, value->count, sizeof(*out->item));
    out->count = value->count;
    for (uint32_t i = 0; i < value->count; i++)
        out->item[i] = (struct select_item){ .value = value->item[i],
                                             .alias = value->name[i],
                                             .at = value->item[i]->at };
    return out;
}

/* The columns of the query: the list, or the fields of its one value. */
static int write_list(struct sql_writer *w, const struct select *s, bool value)
{
    struct bq_field type;

    if (s->as_value && s->count != 1)
        return write_fail(w, s->at, "SELECT AS VALUE query must have exactly one column");
    if (s->as_value && !value && !s->item[0].star && infer_type(w, s->item[0].value, &type) &&
        type.type == BQ_RECORD && type.mode != BQ_REPEATED) {
        buf_add_c(&w->out, "unnest(");
        if (write_expr(w, s->item[0].value) < 0)
            return -1;
        buf_add_c(&w->out, ")");
        return 0;
    }
    return write_items(w, s, s->as_struct && value);
}

static int write_select(struct sql_writer *w, const struct select *s, bool value)
{
    struct str from = { 0 };

    w->scope->select = s;
    if (s->from) {
        size_t mark = write_mark(w);
        if (write_from(w, s->from) < 0)
            return -1;
        from = w->scope->from = write_take(w, mark);
    }
    buf_add_c(&w->out, s->distinct ? "SELECT DISTINCT " : "SELECT ");
    if (write_list(w, s, value) < 0)
        return -1;
    if (from.len)
        buf_addf(&w->out, " FROM ");
    buf_add_str(&w->out, from);
    if (write_clause(w, " WHERE ", s->where) < 0 || write_grouping(w, s) < 0 ||
        write_clause(w, " HAVING ", s->having) < 0 || write_windows(w, s) < 0)
        return -1;
    return write_clause(w, " QUALIFY ", s->qualify);
}

/* ---- Queries ---- */

/* Is this name a column of the result, as written in the list? */
static bool is_output(const struct select *s, struct str name)
{
    for (uint32_t i = 0; s && i < s->count; i++)
        if (!s->item[i].star && same_name(item_name(&s->item[i]), name))
            return true;
    return false;
}

/* ORDER BY: places and names of the result, or expressions over FROM. s: NULL for set operations. */
static int write_query_order(struct sql_writer *w, const struct query *q, const struct select *s)
{
    for (uint32_t i = 0; i < q->order_count; i++) {
        const struct order *o = &q->order[i];
        bool first = o->nulls_said ? o->nulls_first : !o->descending;
        buf_add_c(&w->out, i ? ", " : " ORDER BY ");
        if (o->key->kind == EXPR_INTEGER)
            buf_add_str(&w->out, o->key->text);
        else if (o->key->kind == EXPR_NAME && (!s || is_output(s, o->key->text)))
            write_name(w, o->key->text);
        else if (write_expr(w, o->key) < 0)
            return -1;
        buf_addf(&w->out, "%s NULLS %s", o->descending ? " DESC" : "", first ? "FIRST" : "LAST");
    }
    return 0;
}

static int write_limit(struct sql_writer *w, const char *word, const struct expr *x)
{
    if (!x)
        return 0;
    buf_add_c(&w->out, word);
    if (x->kind == EXPR_INTEGER && x->text.p[0] != '-') {
        buf_add_str(&w->out, x->text);
        return 0;
    }
    if (x->kind != EXPR_PARAMETER && x->kind != EXPR_CAST && x->kind != EXPR_NAME)
        return write_fail(w, x->at,
                          "Syntax error: Unexpected LIMIT; it must be an integer or a parameter");
    return write_expr(w, x);
}

static int write_query_end(struct sql_writer *w, const struct query *q, const struct select *s)
{
    if (write_query_order(w, q, s) < 0 || write_limit(w, " LIMIT ", q->limit) < 0)
        return -1;
    return write_limit(w, " OFFSET ", q->offset);
}

/* A term whose structs without names take those of the first term's, which DuckDB would otherwise join by name. */
static const struct query *term_like(struct sql_writer *w, const struct query *first,
                                     const struct query *term)
{
    const struct select *a = first->select, *b = term->select;
    bool plain = a && b && a->count == b->count;

    for (uint32_t i = 0; plain && i < a->count; i++)
        plain = !a->item[i].star && !b->item[i].star;
    if (!plain)
        return term;
    struct query *out = arena_alloc(w->arena, sizeof(*out));
    struct select *s = arena_alloc(w->arena, sizeof(*s));
    *out = *term;
    *s = *b;
    out->select = s;
    s->item = arena_array(w->arena, b->count, sizeof(*s->item));
    for (uint32_t i = 0; i < b->count; i++) {
        struct expr *value = arena_alloc(w->arena, sizeof(*value));
        *value = *named_like(w, a->item[i].value, b->item[i].value);
        s->item[i] = b->item[i];
        s->item[i].value = value;
    }
    return out;
}

static int write_terms(struct sql_writer *w, const struct query *q, bool value)
{
    for (uint32_t i = 0; i < q->term_count; i++) {
        if (i)
            buf_addf(&w->out, " %.*s%s ", STR_ARG(q->operator), q->all ? " ALL" : "");
        buf_add_c(&w->out, "(");
        if (write_query(w, i ? term_like(w, q->term[0], q->term[i]) : q->term[i], value) < 0)
            return -1;
        buf_add_c(&w->out, ")");
    }
    return 0;
}

/* A SELECT with the query's ORDER BY and LIMIT, in a scope of its own. A SELECT AS STRUCT whose value is wanted gives the row
 * of itself. */
static int write_select_query(struct sql_writer *w, const struct query *q, bool value)
{
    const struct select *s = value_as_columns(w, q->select);
    bool wrapped = value && s->as_struct;
    uint32_t alias = wrapped ? ++w->aliases : 0;

    if (wrapped)
        buf_addf(&w->out, "SELECT \"_t%u\" FROM (", alias);
    scope_open(w);
    if (write_select(w, s, value) < 0 || write_query_end(w, q, s) < 0)
        return -1;
    scope_close(w);
    if (wrapped)
        buf_addf(&w->out, ") AS \"_t%u\"", alias);
    return 0;
}

/* WITH: each is printed once, and stays visible for those after it and for the query. */
static int write_with(struct sql_writer *w, const struct query *q)
{
    buf_add_c(&w->out, q->recursive ? "WITH RECURSIVE " : "WITH ");
    for (uint32_t i = 0; i < q->with_count; i++) {
        struct with *with = arena_alloc(w->arena, sizeof(*with));
        struct scope *around = w->scope;
        struct with *outer = w->with;
        buf_add_c(&w->out, i ? ", " : "");
        size_t mark = write_mark(w);
        with->name = q->with[i].name;
        with->recursive = q->recursive;
        with->outer = outer;
        write_name(w, with->name);
        buf_add_c(&w->out, " AS (");
        w->with = q->recursive ? with : outer;
        w->scope = NULL; /* it sees no columns around it */
        if (write_query(w, q->with[i].query, false) < 0)
            return -1;
        w->scope = around;
        w->with = with;
        buf_add_c(&w->out, ")");
        with->text = write_take(w, mark);
        buf_add_str(&w->out, with->text);
    }
    buf_add_c(&w->out, " ");
    return 0;
}

int write_query(struct sql_writer *w, const struct query *q, bool value)
{
    struct with *with = w->with;
    int rc;

    if (write_deeper(w, q->at) < 0 || (q->with_count && write_with(w, q) < 0))
        return -1;
    if (q->select) {
        rc = write_select_query(w, q, value);
    } else if (q->inner) {
        buf_add_c(&w->out, "(");
        rc = write_query(w, q->inner, value);
        buf_add_c(&w->out, ")");
        rc = rc < 0 ? -1 : write_query_end(w, q, NULL);
    } else {
        rc = write_terms(w, q, value);
        rc = rc < 0 ? -1 : write_query_end(w, q, NULL);
    }
    w->with = with;
    w->depth--;
    return rc;
}
