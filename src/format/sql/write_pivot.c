/* write_pivot.c -- see write.h: PIVOT as aggregates with FILTER, UNPIVOT as a join with VALUES. */
#include "format/sql/lexer.h"
#include "format/sql/write.h"

/* Columns that an expression names. */
static void collect_names(struct sql_writer *w, const struct expr *x, struct str **list,
                          uint32_t *count)
{
    for (uint32_t i = 0; i < *count; i++)
        if (x->kind == EXPR_NAME && same_name((*list)[i], x->text))
            return;
    if (x->kind == EXPR_NAME) {
        *list = arena_list_grow(w->arena, *list, *count, sizeof(**list));
        (*list)[(*count)++] = x->text;
    }
    for (uint32_t i = 0; x->kind != EXPR_LAMBDA && i < x->count; i++)
        collect_names(w, x->item[i], list, count);
}

static void write_excluded(struct sql_writer *w, const struct str *list, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        buf_add_c(&w->out, i ? ", " : " EXCLUDE (");
        write_name(w, list[i]);
    }
    buf_add_c(&w->out, count ? ")" : "");
}

/* 2024-01-31 as a name: 2024_01_31. */
static struct str without_dashes(struct sql_writer *w, struct str text)
{
    char *copy = arena_copy(w->arena, text.p, text.len);

    for (char *c = copy; *c; c++)
        *c = *c == '-' ? '_' : *c;
    return (struct str){ copy, text.len };
}

/* The name that a value of IN gives to its columns. */
static int pivot_name(struct sql_writer *w, const struct pivot_value *v, struct str *out)
{
    *out = v->alias;
    if (out->len)
        return 0;
    if (v->value->kind == EXPR_STRING || v->value->kind == EXPR_LITERAL)
        *out = v->value->text;
    else if (v->value->kind == EXPR_INTEGER)
        *out = str_of(
            arena_textf(w->arena, v->value->text.p[0] == '-' ? "minus_%.*s" : "_%.*s",
                        STR_ARG(str_sub(v->value->text, v->value->text.p[0] == '-', SIZE_MAX))));
    else if (v->value->kind == EXPR_BOOL)
        *out = sql_word_is(v->value->text, "TRUE") ? STR("true") : STR("false");
    else if (v->value->kind == EXPR_NULL)
        *out = STR("NULL");
    else
        return write_fail(w, v->value->at, "A value of PIVOT needs an alias");
    if (v->value->kind == EXPR_LITERAL)
        *out = without_dashes(w, *out);
    return 0;
}

static int write_pivot_column(struct sql_writer *w, const struct pivot *v, uint32_t value,
                              uint32_t aggregate)
{
    const struct select_item *a = &v->aggregate[aggregate];
    struct str name;

    if (pivot_name(w, &v->value[value], &name) < 0)
        return -1;
    if (a->alias.len)
        name = str_of(arena_textf(w->arena, "%.*s_%.*s", STR_ARG(a->alias), STR_ARG(name)));
    else if (v->aggregate_count > 1)
        return write_fail(w, a->at, "PIVOT with several aggregates needs an alias for each");
    if (a->value->call->windowed || a->value->call->ignore_nulls)
        return write_fail(w, a->at, "PIVOT needs a plain aggregate");
    struct expr *operands[2] = { v->key, v->value[value].value };
    struct expr same = { .kind = EXPR_OPERATOR,
                         .at = a->at,
                         .text = STR("IS DISTINCT FROM"),
                         .negated = true,
                         .item = operands,
                         .count = 2 };
    struct call filtered = *a->value->call;
    struct expr call = *a->value;
    filtered.where = &same;
    call.call = &filtered;
    buf_add_c(&w->out, ", ");
    if (write_call(w, &call) < 0)
        return -1;
    buf_add_c(&w->out, " AS ");
    write_name(w, name);
    return 0;
}

/* (SELECT * EXCLUDE (those in aggregates and the key), aggregate FILTER (WHERE key is the value), ... FROM t GROUP BY ALL) */
int write_pivot(struct sql_writer *w, const struct pivot *v, struct str table,
                const struct source *inner)
{
    struct str *used = NULL;
    uint32_t count = 0;

    collect_names(w, v->key, &used, &count);
    for (uint32_t i = 0; i < v->aggregate_count; i++)
        collect_names(w, v->aggregate[i].value, &used, &count);
    for (uint32_t i = 0; i < inner->hidden_count; i++) {
        used = arena_list_grow(w->arena, used, count, sizeof(*used));
        used[count++] = inner->hidden[i];
    }
    buf_add_c(&w->out, "(SELECT *");
    write_excluded(w, used, count);
    for (uint32_t i = 0; i < v->value_count; i++)
        for (uint32_t a = 0; a < v->aggregate_count; a++)
            if (write_pivot_column(w, v, i, a) < 0)
                return -1;
    buf_addf(&w->out, " FROM %.*s GROUP BY ALL)", STR_ARG(table));
    return 0;
}

static int write_unpivot_row(struct sql_writer *w, const struct unpivot_column *c, uint32_t values)
{
    struct buf label = BUF_INIT(4096);

    buf_add_c(&w->out, "(");
    for (uint32_t i = 0; i < values; i++) {
        write_name(w, c->name[i]);
        buf_add_c(&w->out, ", ");
        buf_addf(&label, "%s%.*s", i ? "_" : "", STR_ARG(c->name[i]));
    }
    int rc = 0;
    if (c->label)
        rc = write_expr(w, c->label);
    else
        sql_write_string(w, buf_str(&label));
    buf_add_c(&w->out, ")");
    buf_release(&label);
    return rc;
}

/* (SELECT t.* EXCLUDE (columns), u.* FROM t CROSS JOIN LATERAL (VALUES (a, 'a'), ...) AS u (value, key)
 *  WHERE value IS NOT NULL) */
int write_unpivot(struct sql_writer *w, const struct unpivot *u, struct str table,
                  const struct source *inner)
{
    struct str values = quoted_name(w, alias_new(w)), *used = NULL;
    uint32_t count = 0;

    for (uint32_t i = 0; i < u->column_count; i++)
        for (uint32_t v = 0; v < u->value_count; v++) {
            used = arena_list_grow(w->arena, used, count, sizeof(*used));
            used[count++] = u->column[i].name[v];
        }
    buf_addf(&w->out, "(SELECT %.*s.*", STR_ARG(inner->printed));
    write_excluded(w, used, count);
    buf_addf(&w->out, ", %.*s.* FROM %.*s CROSS JOIN LATERAL (VALUES ", STR_ARG(values),
             STR_ARG(table));
    for (uint32_t i = 0; i < u->column_count; i++) {
        buf_add_c(&w->out, i ? ", " : "");
        if (write_unpivot_row(w, &u->column[i], u->value_count) < 0)
            return -1;
    }
    buf_addf(&w->out, ") AS %.*s (", STR_ARG(values));
    for (uint32_t v = 0; v < u->value_count; v++) {
        write_name(w, u->value[v]);
        buf_add_c(&w->out, ", ");
    }
    write_name(w, u->key);
    buf_add_c(&w->out, ")");
    for (uint32_t v = 0; !u->include_nulls && v < u->value_count; v++) {
        buf_add_c(&w->out, v ? " OR " : " WHERE (");
        write_name(w, u->value[v]);
        buf_add_c(&w->out, " IS NOT NULL");
    }
    buf_add_c(&w->out, u->include_nulls ? ")" : "))");
    return 0;
}
