/* write_expr.c -- see write.h: expressions. Operators and casts go through the table of functions. */
#include <assert.h>
#include <string.h>

#include "format/sql/lexer.h"
#include "format/sql/write.h"

/* ---- Fields and elements ---- */

static int write_json_step(struct sql_writer *w, const struct expr *x, const char *row,
                           struct expr *step)
{
    struct expr *items[2] = { x->item[0], step };

    return write_row(w, row, x, items, 2);
}

static int no_field(struct sql_writer *w, const struct expr *x, const struct bq_field *type)
{
    return write_fail(w, x->at, "Cannot access field %.*s on a value with type %s",
                      STR_ARG(x->text),
                      type->mode == BQ_REPEATED ? "ARRAY" : bq_type_sql(type->type));
}

static int write_field(struct sql_writer *w, const struct expr *x)
{
    const struct expr *of = x->item[0];
    bool path = of->kind == EXPR_NAME && !scope_range(w, of->text) && scope_find(w, of->text);
    struct expr key = { .kind = EXPR_STRING, .at = x->at, .text = x->text };
    struct bq_field type;

    if (!path && infer_type(w, of, &type)) {
        if (type.type == BQ_JSON && type.mode != BQ_REPEATED)
            return write_json_step(w, x, "JSON FIELD", &key);
        if (type.type != BQ_RECORD || type.mode == BQ_REPEATED)
            return no_field(w, x, &type);
    }
    if (path && sql_word_is(x->text, "_PARTITIONDATE")) {
        buf_addf(&w->out, "CAST(%.*s.\"_PARTITIONTIME\" AS DATE)",
                 STR_ARG(scope_find(w, of->text)->printed));
        return 0;
    }
    /* A chain of names is printed as one: "t"."a"."b"; all else needs brackets. */
    bool plain = of->kind == EXPR_NAME || of->kind == EXPR_FIELD;
    buf_add_c(&w->out, plain ? "" : "(");
    if (write_expr(w, of) < 0)
        return -1;
    buf_add_c(&w->out, plain ? "." : ").");
    write_name(w, x->text);
    return 0;
}

/* Is x[i] a step into JSON? A text is a key of it; else the type of x says so. -1: x has no elements. */
static int is_json_step(struct sql_writer *w, const struct expr *x)
{
    struct bq_field type;

    if (x->item[1]->kind == EXPR_STRING || sql_word_is(x->text, "KEY"))
        return 1;
    if (x->text.len || !infer_type(w, x->item[0], &type) || type.mode == BQ_REPEATED)
        return 0;
    if (type.type == BQ_JSON)
        return 1;
    return write_fail(w, x->at, "Element access using [] is not supported on values of type %s",
                      bq_type_sql(type.type));
}

static int write_index(struct sql_writer *w, const struct expr *x)
{
    int json = is_json_step(w, x);
    const char *row;

    if (json < 0)
        return -1;
    if (json)
        row = x->item[1]->kind == EXPR_STRING ? "JSON FIELD" : "JSON ELEMENT";
    else
        row = arena_textf(w->arena, "[%.*s]", STR_ARG(x->text.len ? x->text : STR("OFFSET")));
    return write_row(w, row, x, x->item, x->count);
}

/* ---- Conditions ---- */

static int write_between(struct sql_writer *w, const char *a, const struct expr *x, const char *b,
                         const struct expr *y, const char *c)
{
    buf_add_c(&w->out, a);
    if (write_expr(w, x) < 0)
        return -1;
    buf_add_c(&w->out, b);
    if (y && write_expr(w, y) < 0)
        return -1;
    buf_add_c(&w->out, c);
    return 0;
}

static int write_in(struct sql_writer *w, const struct expr *x)
{
    if (write_between(w, "(", x->item[0], x->negated ? " NOT IN (" : " IN (", NULL, "") < 0)
        return -1;
    if (x->query) {
        if (write_query(w, x->query, true) < 0)
            return -1;
    } else {
        for (uint32_t i = 1; i < x->count; i++) {
            buf_add_c(&w->out, i > 1 ? ", " : "");
            if (write_expr(w, x->item[i]) < 0)
                return -1;
        }
    }
    buf_add_c(&w->out, "))");
    return 0;
}

/* x LIKE ANY (a, b): one LIKE for each. */
static int write_like_list(struct sql_writer *w, const struct expr *x)
{
    bool any = sql_word_is(x->text, "ANY");

    if (x->kind == EXPR_LIKE_UNNEST)
        return write_refuse(w, x->at, "LIKE ANY and LIKE ALL of an array are not supported");
    buf_add_c(&w->out, x->negated ? "(NOT (" : "((");
    for (uint32_t i = 1; i < x->count; i++) {
        struct expr *items[2] = { x->item[0], x->item[i] };
        buf_add_c(&w->out, i == 1 ? "" : any ? " OR " : " AND ");
        if (write_row(w, "LIKE", x, items, 2) < 0)
            return -1;
    }
    buf_add_c(&w->out, "))");
    return 0;
}

static int write_joined(struct sql_writer *w, const struct expr *x)
{
    buf_add_c(&w->out, "(");
    for (uint32_t i = 0; i < x->count; i++) {
        buf_add_c(&w->out, i == 0 ? "" : x->kind == EXPR_AND ? " AND " : " OR ");
        if (write_expr(w, x->item[i]) < 0)
            return -1;
    }
    buf_add_c(&w->out, ")");
    return 0;
}

static int write_is(struct sql_writer *w, const struct expr *x)
{
    if (sql_word_is(x->text, "NULL"))
        return write_between(w, "(", x->item[0], x->negated ? " IS NOT NULL)" : " IS NULL)", NULL,
                             "");
    return write_between(w, "(", x->item[0],
                         x->negated ? " IS DISTINCT FROM " : " IS NOT DISTINCT FROM ", NULL,
                         sql_word_is(x->text, "TRUE") ? "true)" : "false)");
}

static int write_case(struct sql_writer *w, const struct expr *x)
{
    uint32_t i = 0;

    buf_add_c(&w->out, "CASE");
    if (x->has_operand && write_between(w, " ", x->item[i++], "", NULL, "") < 0)
        return -1;
    for (; i + 1 < x->count; i += 2)
        if (write_between(w, " WHEN ", x->item[i], " THEN ", x->item[i + 1], "") < 0)
            return -1;
    if (x->has_else && write_between(w, " ELSE ", x->item[i], "", NULL, "") < 0)
        return -1;
    buf_add_c(&w->out, " END");
    return 0;
}

static int write_subquery(struct sql_writer *w, const struct expr *x)
{
    buf_add_c(&w->out, x->kind == EXPR_ARRAY_QUERY ? "ARRAY("
                       : x->kind == EXPR_EXISTS    ? "EXISTS("
                                                   : "(");
    if (write_query(w, x->query, x->kind != EXPR_EXISTS) < 0)
        return -1;
    buf_add_c(&w->out, ")");
    return 0;
}

static int write_lambda(struct sql_writer *w, const struct expr *x)
{
    scope_open(w);
    buf_add_c(&w->out, "lambda ");
    for (uint32_t i = 0; i < x->count; i++) {
        struct source *source = scope_add(w, (struct str){ 0 });
        size_t mark = write_mark(w);
        write_name(w, x->name[i]);
        struct str printed = write_take(w, mark);
        source->column[0] = (struct range_column){ .name = x->name[i], .printed = printed };
        source->column_count = 1;
        source->lambda = true;
        buf_addf(&w->out, "%s%.*s", i ? ", " : "", STR_ARG(printed));
    }
    int rc = write_between(w, " : ", x->item[0], "", NULL, "");
    scope_close(w);
    return rc;
}

/* ---- Operators ---- */

/* Types that compare with each other without a cast: numbers do, others with their own kind. */
static enum bq_type comparison_class(const struct bq_field *f)
{
    if (f->mode == BQ_REPEATED)
        return BQ_TYPE_COUNT;
    if (f->type == BQ_FLOAT || f->type == BQ_NUMERIC || f->type == BQ_BIGNUMERIC)
        return BQ_INTEGER;
    return f->type;
}

static bool is_literal(const struct expr *x)
{
    return x->kind == EXPR_STRING || x->kind == EXPR_BYTES || x->kind == EXPR_NULL ||
           x->kind == EXPR_PARAMETER;
}

/* DuckDB would cast one side; BigQuery refuses it. Only what is known without asking the catalog is checked. */
static int check_comparison(struct sql_writer *w, const struct expr *x)
{
    static const char *const signs[] = { "=", "<>", "<", "<=", ">", ">=" };
    struct bq_field a, b;
    bool compares = false;

    for (size_t i = 0; i < ARRAY_LEN(signs); i++)
        compares = compares || str_eq_c(x->text, signs[i]);
    if (!compares || is_literal(x->item[0]) || is_literal(x->item[1]) ||
        !known_type(w, x->item[0], &a) || !known_type(w, x->item[1], &b) ||
        comparison_class(&a) == comparison_class(&b))
        return 0;
    struct buf text = BUF_INIT(ERROR_MSG_BYTES);
    struct str names[2];
    bq_field_sql(&text, &a);
    names[0] = (struct str){ arena_copy(w->arena, text.p, text.len), text.len };
    buf_clear(&text);
    bq_field_sql(&text, &b);
    names[1] = (struct str){ arena_copy(w->arena, text.p, text.len), text.len };
    buf_release(&text);
    bool swap = str_cmp(names[0], names[1]) > 0;
    return write_fail(w, x->at,
                      "No matching signature for operator %.*s for argument types: %.*s, %.*s\n"
                      "  Signature: T1 %.*s T1\n"
                      "    Unable to find common supertype for templated argument <T1>\n"
                      "      Input types for <T1>: {%.*s, %.*s}",
                      STR_ARG(x->text), STR_ARG(names[0]), STR_ARG(names[1]), STR_ARG(x->text),
                      STR_ARG(names[swap]), STR_ARG(names[!swap]));
}

static int write_operator(struct sql_writer *w, const struct expr *x)
{
    const char *row = arena_textf(w->arena, "%.*s", STR_ARG(x->text));

    if (check_comparison(w, x) < 0)
        return -1;
    buf_add_c(&w->out, x->negated ? "(NOT " : "");
    if (write_row(w, row, x, x->item, x->count) < 0)
        return -1;
    buf_add_c(&w->out, x->negated ? ")" : "");
    return 0;
}

/* ---- All ---- */

static int write_null(struct sql_writer *w, const struct expr *x)
{
    (void)x;
    buf_add_c(&w->out, "NULL");
    return 0;
}

static int write_plain_literal(struct sql_writer *w, const struct expr *x)
{
    if (x->kind == EXPR_BOOL)
        buf_add_c(&w->out, sql_word_is(x->text, "TRUE") ? "true" : "false");
    else if (x->kind == EXPR_INTEGER)
        buf_addf(&w->out, x->text.p[0] == '-' ? "(%.*s)::BIGINT" : "%.*s::BIGINT",
                 STR_ARG(x->text));
    else if (x->kind == EXPR_FLOAT)
        write_float(w, x->text);
    else if (x->kind == EXPR_STRING)
        sql_write_string(w, x->text);
    else
        write_bytes(w, x->text);
    return 0;
}

static int write_not(struct sql_writer *w, const struct expr *x)
{
    return write_between(w, "(NOT ", x->item[0], ")", NULL, "");
}

static int write_range(struct sql_writer *w, const struct expr *x)
{
    if (write_between(w, "(", x->item[0], x->negated ? " NOT BETWEEN " : " BETWEEN ", x->item[1],
                      " AND ") < 0)
        return -1;
    return write_between(w, "", x->item[2], ")", NULL, "");
}

static int write_in_unnest(struct sql_writer *w, const struct expr *x)
{
    buf_add_c(&w->out, x->negated ? "(NOT " : "");
    if (write_row(w, "IN UNNEST", x, x->item, x->count) < 0)
        return -1;
    buf_add_c(&w->out, x->negated ? ")" : "");
    return 0;
}

static int write_extract(struct sql_writer *w, const struct expr *x)
{
    return write_row(w, "EXTRACT", x, x->item, x->count);
}

static int write_interval(struct sql_writer *w, const struct expr *x)
{
    struct expr self = *x, *item = &self;

    return write_row(w, "INTERVAL", x, &item, 1);
}

/* A date part or DEFAULT, which stand only where their owners read them. */
static int write_misplaced(struct sql_writer *w, const struct expr *x)
{
    return write_fail(w, x->at, "Syntax error: Unexpected %s",
                      x->kind == EXPR_DEFAULT ? "keyword DEFAULT" : "date part");
}

static int write_kind(struct sql_writer *w, const struct expr *x)
{
    static int (*const writers[])(struct sql_writer *w, const struct expr *x) = {
        [EXPR_NULL] = write_null,
        [EXPR_BOOL] = write_plain_literal,
        [EXPR_INTEGER] = write_plain_literal,
        [EXPR_FLOAT] = write_plain_literal,
        [EXPR_STRING] = write_plain_literal,
        [EXPR_BYTES] = write_plain_literal,
        [EXPR_LITERAL] = write_literal,
        [EXPR_PARAMETER] = write_parameter,
        [EXPR_SYSTEM] = write_system,
        [EXPR_NAME] = write_name_expr,
        [EXPR_FIELD] = write_field,
        [EXPR_INDEX] = write_index,
        [EXPR_CALL] = write_call,
        [EXPR_OPERATOR] = write_operator,
        [EXPR_AND] = write_joined,
        [EXPR_OR] = write_joined,
        [EXPR_NOT] = write_not,
        [EXPR_IS] = write_is,
        [EXPR_BETWEEN] = write_range,
        [EXPR_IN] = write_in,
        [EXPR_IN_QUERY] = write_in,
        [EXPR_IN_UNNEST] = write_in_unnest,
        [EXPR_LIKE_LIST] = write_like_list,
        [EXPR_LIKE_UNNEST] = write_like_list,
        [EXPR_CASE] = write_case,
        [EXPR_CAST] = write_cast,
        [EXPR_EXTRACT] = write_extract,
        [EXPR_INTERVAL] = write_interval,
        [EXPR_PART] = write_misplaced,
        [EXPR_ARRAY] = write_untyped_array,
        [EXPR_STRUCT] = write_untyped_struct,
        [EXPR_QUERY] = write_subquery,
        [EXPR_ARRAY_QUERY] = write_subquery,
        [EXPR_EXISTS] = write_subquery,
        [EXPR_LAMBDA] = write_lambda,
        [EXPR_DEFAULT] = write_misplaced,
    };

    assert(x->kind < ARRAY_LEN(writers) && writers[x->kind]);
    return writers[x->kind](w, x);
}

int write_expr(struct sql_writer *w, const struct expr *x)
{
    const struct inferred *i = inferred_find(w, x);

    if (i && i->failed)
        *w->e = i->error;
    if (i) {
        buf_add_str(&w->out, i->text);
        return i->failed ? -1 : 0;
    }
    if (++w->expressions > SQL_EXPRESSIONS_MAX)
        return write_fail(w, x->at, "Query is too complex: more than %d expressions",
                          SQL_EXPRESSIONS_MAX);
    if (write_deeper(w, x->at) < 0)
        return -1;
    int rc = write_kind(w, x);
    w->depth--;
    return rc;
}
