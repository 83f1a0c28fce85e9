/* parse_from.c -- see parse.h: FROM: tables, joins, UNNEST, PIVOT and UNPIVOT. */
#include "format/sql/parse.h"

static struct from *from_node(struct parser *p, enum from_kind kind, uint32_t at)
{
    struct from *f = arena_alloc(p->arena, sizeof(*f));

    f->kind = kind;
    f->at = at;
    f->end = parse_end(p);
    return f;
}

/* ---- PIVOT, UNPIVOT ---- */

static int pivot_aggregates(struct parser *p, struct pivot *v)
{
    do {
        struct select_item item = { .at = parse_peek(p, 0)->at, .value = parse_expr(p) };
        if (!item.value)
            return -1;
        if (item.value->kind != EXPR_CALL)
            return parse_fail(p, item.at, "PIVOT expression must be an aggregate function call");
        if (!parse_is_word(p, 0, "FOR") && parse_alias(p, &item.alias) < 0)
            return -1;
        PARSE_ADD(p, v->aggregate, v->aggregate_count, item);
    } while (parse_sign(p, ","));
    return 0;
}

/* After PIVOT. */
static struct pivot *parse_pivot(struct parser *p)
{
    struct pivot *v = arena_alloc(p->arena, sizeof(*v));

    if (parse_need_sign(p, "(") < 0 || pivot_aggregates(p, v) < 0 || parse_need_word(p, "FOR") < 0)
        return NULL;
    v->key = parse_operand(p);
    if (!v->key || parse_need_word(p, "IN") < 0)
        return NULL;
    uint32_t at = parse_peek(p, 0)->at;
    if (parse_need_sign(p, "(") < 0)
        return NULL;
    if (parse_is_query(p, 0) || parse_is_word(p, 0, "ANY")) {
        parse_refuse(p, at, "PIVOT over values that are not listed is not supported");
        return NULL;
    }
    do {
        struct pivot_value value = { .value = parse_expr(p) };
        if (!value.value || parse_alias(p, &value.alias) < 0)
            return NULL;
        PARSE_ADD(p, v->value, v->value_count, value);
    } while (parse_sign(p, ","));
    if (parse_need_sign(p, ")") < 0)
        return NULL;
    return parse_need_sign(p, ")") < 0 || parse_alias(p, &v->alias) < 0 ? NULL : v;
}

static int unpivot_column(struct parser *p, struct unpivot *u)
{
    struct unpivot_column c = { 0 };
    uint32_t names = 0;
    struct str name;

    if (parse_is_sign(p, 0, "(")) {
        if (parse_names(p, &c.name, &names) < 0)
            return -1;
    } else {
        if (parse_name(p, &name) < 0)
            return -1;
        PARSE_ADD(p, c.name, names, name);
    }
    if (names != u->value_count)
        return parse_fail(p, parse_peek(p, 0)->at,
                          "UNPIVOT IN list columns do not match the value columns");
    parse_word(p, "AS");
    if (parse_peek(p, 0)->kind == TOKEN_STRING || parse_peek(p, 0)->kind == TOKEN_INTEGER) {
        c.label = parse_expr(p);
        if (!c.label)
            return -1;
    }
    PARSE_ADD(p, u->column, u->column_count, c);
    return 0;
}

/* After UNPIVOT. */
static struct unpivot *parse_unpivot(struct parser *p)
{
    struct unpivot *u = arena_alloc(p->arena, sizeof(*u));
    struct str name;

    u->include_nulls = parse_words(p, "INCLUDE", "NULLS");
    if (!u->include_nulls)
        parse_words(p, "EXCLUDE", "NULLS");
    if (parse_need_sign(p, "(") < 0)
        return NULL;
    if (parse_is_sign(p, 0, "(")) {
        if (parse_names(p, &u->value, &u->value_count) < 0)
            return NULL;
    } else {
        if (parse_name(p, &name) < 0)
            return NULL;
        PARSE_ADD(p, u->value, u->value_count, name);
    }
    if (parse_need_word(p, "FOR") < 0 || parse_name(p, &u->key) < 0 ||
        parse_need_word(p, "IN") < 0 || parse_need_sign(p, "(") < 0)
        return NULL;
    do {
        if (unpivot_column(p, u) < 0)
            return NULL;
    } while (parse_sign(p, ","));
    if (parse_need_sign(p, ")") < 0) /* of IN, then of UNPIVOT */
        return NULL;
    if (parse_need_sign(p, ")") < 0)
        return NULL;
    return parse_alias(p, &u->alias) < 0 ? NULL : u;
}

/* ---- What stands behind a table ---- */

static int sample(struct parser *p, struct from *f)
{
    if (parse_need_word(p, "SYSTEM") < 0 || parse_need_sign(p, "(") < 0 ||
        !(f->sample = parse_expr(p)) || parse_need_word(p, "PERCENT") < 0)
        return -1;
    return parse_need_sign(p, ")");
}

static bool is_pivot(const struct parser *p)
{
    return (parse_is_word(p, 0, "PIVOT") && parse_is_sign(p, 1, "(")) ||
           (parse_is_word(p, 0, "UNPIVOT") &&
            (parse_is_sign(p, 1, "(") || parse_is_word(p, 2, "NULLS")));
}

static int from_alias(struct parser *p, struct from *f)
{
    if (!f->alias.len && !is_pivot(p) && parse_alias(p, &f->alias) < 0)
        return -1;
    return 0;
}

static int from_tail(struct parser *p, struct from *f)
{
    if (from_alias(p, f) < 0)
        return -1;
    if (parse_words(p, "WITH", "OFFSET")) {
        f->with_offset = true;
        if (parse_alias(p, &f->offset) < 0)
            return -1;
        if (!f->offset.len)
            f->offset = STR("offset");
    }
    if (parse_is_word(p, 0, "FOR") &&
        (parse_is_word(p, 1, "SYSTEM_TIME") || parse_is_word(p, 1, "SYSTEM"))) {
        p->at += parse_is_word(p, 1, "SYSTEM") ? 3 : 2;
        if (parse_need_word(p, "AS") < 0 || parse_need_word(p, "OF") < 0 ||
            !(f->system_time = parse_expr(p)) || from_alias(p, f) < 0)
            return -1;
    }
    if (is_pivot(p)) {
        if (parse_word(p, "PIVOT") ? !(f->pivot = parse_pivot(p))
                                   : (p->at++, !(f->unpivot = parse_unpivot(p))))
            return -1;
    }
    if (is_pivot(p))
        return parse_refuse(p, parse_peek(p, 0)->at, "Only one PIVOT of a table is supported");
    if (parse_word(p, "TABLESAMPLE") && sample(p, f) < 0)
        return -1;
    return from_alias(p, f);
}

static struct from *from_unnest(struct parser *p, uint32_t at)
{
    struct from *f = from_node(p, FROM_UNNEST, at);

    if (parse_need_sign(p, "(") < 0 || !(f->value = parse_expr(p)) || parse_need_sign(p, ")") < 0)
        return NULL;
    return f;
}

/* A table, or a call of a table function. */
static struct from *from_path(struct parser *p, uint32_t at)
{
    struct from *f = from_node(p, FROM_TABLE, at);

    if (parse_path(p, &f->path, &f->path_count, &f->name) < 0)
        return NULL;
    if (parse_is_sign(p, 0, "(")) {
        parse_refuse(p, at, "Table-valued function not found: %.*s", STR_ARG(f->name.table));
        return NULL;
    }
    return f;
}

static struct from *from_primary(struct parser *p)
{
    uint32_t at = parse_peek(p, 0)->at;
    struct from *f;

    if (parse_word(p, "UNNEST"))
        return from_unnest(p, at);
    if (parse_is_word(p, 0, "LATERAL")) {
        parse_refuse(p, at, "LATERAL is not supported");
        return NULL;
    }
    if (!parse_is_sign(p, 0, "("))
        return from_path(p, at);
    if (parse_is_query(p, 1) || parse_is_word(p, 1, "SELECT") || parse_is_word(p, 1, "WITH")) {
        f = from_node(p, FROM_QUERY, at);
        p->at++;
        f->query = parse_query(p);
        return f->query && parse_need_sign(p, ")") == 0 ? f : NULL;
    }
    f = from_node(p, FROM_BRACKETS, at);
    p->at++;
    if (parse_deeper(p) < 0)
        return NULL;
    f->left = parse_from(p);
    parse_shallower(p);
    return f->left && parse_need_sign(p, ")") == 0 ? f : NULL;
}

static struct from *from_item(struct parser *p)
{
    struct from *f = from_primary(p);

    if (!f || from_tail(p, f) < 0)
        return NULL;
    f->end = parse_end(p);
    if (f->with_offset && f->kind != FROM_UNNEST && f->kind != FROM_TABLE) {
        parse_fail(p, f->at, "WITH OFFSET can only be used with array scans");
        return NULL;
    }
    return f;
}

/* ---- Joins ---- */

/* The join that is next. 1, 0: there is none, -1. */
static int join_kind(struct parser *p, enum join_kind *kind)
{
    uint32_t at = parse_peek(p, 0)->at;

    if (parse_sign(p, ",")) {
        *kind = JOIN_COMMA;
        return 1;
    }
    if (parse_is_word(p, 0, "NATURAL"))
        return parse_refuse(p, at, "NATURAL JOIN is not supported");
    *kind = JOIN_INNER;
    if (parse_words(p, "CROSS", "JOIN")) {
        *kind = JOIN_CROSS;
        return 1;
    }
    if (parse_word(p, "JOIN") || parse_words(p, "INNER", "JOIN"))
        return 1;
    if (parse_word(p, "LEFT"))
        *kind = JOIN_LEFT;
    else if (parse_word(p, "RIGHT"))
        *kind = JOIN_RIGHT;
    else if (parse_word(p, "FULL"))
        *kind = JOIN_FULL;
    else
        return 0;
    parse_word(p, "OUTER");
    return parse_need_word(p, "JOIN") < 0 ? -1 : 1;
}

static int join_condition(struct parser *p, struct from *j)
{
    if (parse_word(p, "ON")) {
        j->on = parse_expr(p);
        if (!j->on)
            return -1;
    } else if (parse_word(p, "USING")) {
        if (parse_names(p, &j->using, &j->using_count) < 0)
            return -1;
    }
    bool conditional = j->on || j->using_count;
    if (j->join == JOIN_CROSS && conditional)
        return parse_fail(p, j->right->at, "Syntax error: CROSS JOIN cannot have a condition");
    if (j->join > JOIN_CROSS && !conditional && j->right->kind != FROM_UNNEST &&
        j->right->kind != FROM_TABLE)
        return parse_unexpected(p, "keyword ON or keyword USING");
    return 0;
}

struct from *parse_from(struct parser *p)
{
    struct from *left = from_item(p);

    while (left) {
        enum join_kind kind = JOIN_COMMA;
        int found = join_kind(p, &kind);
        if (found < 0)
            return NULL;
        if (!found)
            break;
        struct from *j = from_node(p, FROM_JOIN, left->at);
        j->join = kind;
        j->left = left;
        j->right = from_item(p);
        j->height = (uint16_t)(left->height + 1);
        if (j->height > SQL_HEIGHT_MAX) {
            parse_fail(p, j->at, "Query is too complex: more than %d tables joined",
                       SQL_HEIGHT_MAX);
            return NULL;
        }
        if (!j->right || (kind != JOIN_COMMA && join_condition(p, j) < 0))
            return NULL;
        j->end = parse_end(p);
        left = j;
    }
    return left;
}
