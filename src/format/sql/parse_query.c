/* parse_query.c -- see parse.h: SELECT with its clauses, set operations, WITH. FROM is in parse_from.c. */
#include "format/sql/parse.h"

bool parse_is_query(const struct parser *p, uint32_t ahead)
{
    static const char *const behind[] = { "UNION", "INTERSECT", "EXCEPT", "ORDER", "LIMIT" };
    uint32_t brackets = 0;

    while (brackets <= SQL_DEPTH_MAX && parse_is_sign(p, ahead + brackets, "("))
        brackets++;
    if (brackets > SQL_DEPTH_MAX)
        return true; /* to be refused for its depth */
    if (!parse_is_word(p, ahead + brackets, "SELECT") &&
        !parse_is_word(p, ahead + brackets, "WITH"))
        return false;
    /* Each bracket must be around a whole query, not around an operand: ((SELECT 1) + 2). */
    for (uint32_t i = 0; i < brackets; i++) {
        uint32_t next = parse_closing(p, ahead + i) + 1;
        bool ok = parse_is_sign(p, next, ")") || parse_is_sign(p, next, ";") ||
                  parse_peek(p, next)->kind == TOKEN_END;
        for (size_t j = 0; j < ARRAY_LEN(behind); j++)
            ok = ok || parse_is_word(p, next, behind[j]);
        if (!ok)
            return false;
    }
    return true;
}

/* ---- The list of SELECT ---- */

/* EXCEPT (a, b) and REPLACE (x AS a) behind a star. */
static int star_modifiers(struct parser *p, struct select_item *item)
{
    uint32_t values = 0;

    if (parse_is_word(p, 0, "EXCEPT") && parse_is_sign(p, 1, "(") && !parse_is_query(p, 1)) {
        p->at++;
        if (parse_names(p, &item->except, &item->except_count) < 0)
            return -1;
    }
    if (!parse_is_word(p, 0, "REPLACE") || !parse_is_sign(p, 1, "("))
        return 0;
    p->at += 2;
    do {
        struct expr *value = parse_expr(p);
        struct str name;
        if (!value || parse_need_word(p, "AS") < 0 || parse_name(p, &name) < 0)
            return -1;
        PARSE_ADD(p, item->replace, values, value);
        PARSE_ADD(p, item->replace_name, item->replace_count, name);
    } while (parse_sign(p, ","));
    return parse_need_sign(p, ")");
}

static int select_item(struct parser *p, struct select_item *item)
{
    *item = (struct select_item){ .at = parse_peek(p, 0)->at };
    if (parse_sign(p, "*")) {
        item->star = true;
        return star_modifiers(p, item);
    }
    item->value = parse_expr(p);
    if (!item->value)
        return -1;
    if (parse_is_sign(p, 0, ".") && parse_is_sign(p, 1, "*")) {
        p->at += 2;
        item->star = true;
        return star_modifiers(p, item);
    }
    return parse_alias(p, &item->alias);
}

static int select_list(struct parser *p, struct select *s)
{
    static const char *const ends[] = { "FROM",  "WHERE", "GROUP", "HAVING",    "QUALIFY", "WINDOW",
                                        "ORDER", "LIMIT", "UNION", "INTERSECT", "EXCEPT" };

    for (;;) {
        struct select_item item;
        if (select_item(p, &item) < 0)
            return -1;
        PARSE_ADD(p, s->item, s->count, item);
        if (!parse_sign(p, ","))
            return 0;
        bool end = parse_peek(p, 0)->kind == TOKEN_END || parse_is_sign(p, 0, ")") ||
                   parse_is_sign(p, 0, ";");
        for (size_t i = 0; i < ARRAY_LEN(ends); i++)
            end = end || parse_is_word(p, 0, ends[i]);
        if (end) /* behind a comma that ends the list */
            return 0;
    }
}

/* ---- GROUP BY ---- */

static int group_list(struct parser *p, struct group_item **out, uint32_t *count);

/* One item of GROUP BY, also within ROLLUP and GROUPING SETS. */
static int group_item(struct parser *p, struct group_item *g)
{
    *g = (struct group_item){ .kind = GROUP_VALUE };
    if (parse_word(p, "ROLLUP"))
        g->kind = GROUP_ROLLUP;
    else if (parse_word(p, "CUBE"))
        g->kind = GROUP_CUBE;
    else if (parse_words(p, "GROUPING", "SETS"))
        g->kind = GROUP_SETS;
    if (g->kind != GROUP_VALUE)
        return group_list(p, &g->item, &g->count);
    if (parse_is_sign(p, 0, "(") && parse_is_sign(p, 1, ")")) {
        p->at += 2;
        g->kind = GROUP_EMPTY;
        return 0;
    }
    g->value = parse_expr(p);
    return g->value ? 0 : -1;
}

static int group_list(struct parser *p, struct group_item **out, uint32_t *count)
{
    if (parse_deeper(p) < 0 || parse_need_sign(p, "(") < 0)
        return -1;
    do {
        struct group_item g;
        if (group_item(p, &g) < 0)
            return -1;
        PARSE_ADD(p, *out, *count, g);
    } while (parse_sign(p, ","));
    parse_shallower(p);
    return parse_need_sign(p, ")");
}

static int group_by(struct parser *p, struct select *s)
{
    if (parse_word(p, "ALL")) {
        s->group_all = true;
        return 0;
    }
    do {
        struct group_item g;
        if (group_item(p, &g) < 0)
            return -1;
        PARSE_ADD(p, s->group, s->group_count, g);
    } while (parse_sign(p, ","));
    return 0;
}

/* ---- SELECT ---- */

static int windows(struct parser *p, struct select *s)
{
    do {
        struct named_window w = { 0 };
        if (parse_name(p, &w.name) < 0 || parse_need_word(p, "AS") < 0)
            return -1;
        if (parse_is_sign(p, 0, "(")) {
            if (parse_window(p, &w.window) < 0)
                return -1;
        } else if (parse_name(p, &w.window.base) < 0) {
            return -1;
        }
        PARSE_ADD(p, s->window, s->window_count, w);
    } while (parse_sign(p, ","));
    return 0;
}

static int condition(struct parser *p, const char *word, struct expr **out)
{
    if (!parse_word(p, word))
        return 0;
    *out = parse_expr(p);
    return *out ? 0 : -1;
}

static int select_clauses(struct parser *p, struct select *s)
{
    if (parse_word(p, "FROM") && !(s->from = parse_from(p)))
        return -1;
    if (condition(p, "WHERE", &s->where) < 0)
        return -1;
    if (parse_words(p, "GROUP", "BY") && group_by(p, s) < 0)
        return -1;
    if (condition(p, "HAVING", &s->having) < 0 || condition(p, "QUALIFY", &s->qualify) < 0)
        return -1;
    return parse_word(p, "WINDOW") ? windows(p, s) : 0;
}

/* After SELECT. */
static struct select *parse_select(struct parser *p)
{
    struct select *s = arena_alloc(p->arena, sizeof(*s));

    s->at = p->token[p->at - 1].at;
    if (parse_is_word(p, 0, "WITH")) {
        parse_refuse(p, parse_peek(p, 0)->at, "SELECT WITH is not supported");
        return NULL;
    }
    s->distinct = parse_word(p, "DISTINCT");
    if (!s->distinct)
        parse_word(p, "ALL");
    if (parse_word(p, "AS")) {
        s->as_struct = parse_word(p, "STRUCT");
        s->as_value = !s->as_struct && parse_word(p, "VALUE");
        if (!s->as_struct && !s->as_value) {
            parse_unexpected(p, "keyword STRUCT");
            return NULL;
        }
    }
    if (parse_is_word(p, 0, "FROM")) {
        parse_fail(p, parse_peek(p, 0)->at, "Syntax error: SELECT list must not be empty");
        return NULL;
    }
    if (select_list(p, s) < 0 || select_clauses(p, s) < 0)
        return NULL;
    return s;
}

/* ---- Queries ---- */

static struct query *query_node(struct parser *p)
{
    struct query *q = arena_alloc(p->arena, sizeof(*q));

    q->at = parse_peek(p, 0)->at;
    return q;
}

/* A SELECT, or a query in brackets. */
static struct query *query_term(struct parser *p)
{
    struct query *q = query_node(p);

    if (parse_word(p, "SELECT")) {
        q->select = parse_select(p);
    } else if (parse_sign(p, "(")) {
        q->inner = parse_query(p);
        if (q->inner && parse_need_sign(p, ")") < 0)
            return NULL;
    } else {
        parse_unexpected(p, "\"(\" or keyword SELECT or keyword WITH");
        return NULL;
    }
    q->end = parse_end(p);
    return q->select || q->inner ? q : NULL;
}

/* The set operation that is next: its name, and ALL or DISTINCT. 1, 0: there is none, -1. */
static int set_operator(struct parser *p, struct str *name, bool *all)
{
    static const char *const names[] = { "UNION", "INTERSECT", "EXCEPT" };
    uint32_t at = parse_peek(p, 0)->at;

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (!parse_word(p, names[i]))
            continue;
        *name = str_of(names[i]);
        *all = parse_word(p, "ALL");
        if (!*all && !parse_word(p, "DISTINCT"))
            return parse_unexpected(p, "keyword ALL or keyword DISTINCT");
        if (*all && i > 0)
            return parse_fail(p, at, "%s ALL is not supported", names[i]);
        if (parse_is_word(p, 0, "BY") || parse_is_word(p, 0, "CORRESPONDING") ||
            parse_is_word(p, 0, "STRICT"))
            return parse_refuse(p, parse_peek(p, 0)->at,
                                "Set operations by name are not supported");
        return 1;
    }
    return 0;
}

static int query_terms(struct parser *p, struct query *q, struct query *first)
{
    struct str name;
    bool all;
    int found;

    PARSE_ADD(p, q->term, q->term_count, first);
    for (;;) {
        uint32_t at = parse_peek(p, 0)->at;
        found = set_operator(p, &name, &all);
        if (found <= 0)
            return found;
        if (q->operator.len &&(!str_eq(name, q->operator) || all != q->all))
            return parse_fail(p, at,
                              "Syntax error: Different set operations cannot be used in the same "
                              "query without using parentheses for grouping");
        q->operator= name;
        q->all = all;
        struct query *term = query_term(p);
        if (!term)
            return -1;
        PARSE_ADD(p, q->term, q->term_count, term);
    }
}

static int with_clause(struct parser *p, struct query *q)
{
    q->recursive = parse_word(p, "RECURSIVE");
    do {
        struct cte c = { .at = parse_peek(p, 0)->at };
        if (parse_name(p, &c.name) < 0 || parse_need_word(p, "AS") < 0 ||
            parse_need_sign(p, "(") < 0 || !(c.query = parse_query(p)) ||
            parse_need_sign(p, ")") < 0)
            return -1;
        if (parse_is_word(p, 0, "WITH") && parse_is_word(p, 1, "DEPTH"))
            return parse_refuse(p, parse_peek(p, 0)->at, "WITH DEPTH is not supported");
        PARSE_ADD(p, q->with, q->with_count, c);
    } while (parse_sign(p, ","));
    return 0;
}

static int query_end(struct parser *p, struct query *q)
{
    if (parse_words(p, "ORDER", "BY") && parse_order(p, &q->order, &q->order_count) < 0)
        return -1;
    if (parse_word(p, "LIMIT")) {
        if (parse_word(p, "ALL"))
            return 0;
        if (!(q->limit = parse_expr(p)))
            return -1;
        if (parse_word(p, "OFFSET") && !(q->offset = parse_expr(p)))
            return -1;
    }
    if (parse_is_sign(p, 0, "|>"))
        return parse_refuse(p, parse_peek(p, 0)->at, "Pipe syntax is not supported");
    return 0;
}

static struct query *query_whole(struct parser *p)
{
    struct query *q = query_node(p);

    if (parse_word(p, "WITH") && with_clause(p, q) < 0)
        return NULL;
    struct query *first = query_term(p);
    if (!first || query_terms(p, q, first) < 0 || query_end(p, q) < 0)
        return NULL;
    if (q->term_count == 1) {
        q->select = first->select;
        q->inner = first->inner;
        q->term_count = 0;
    }
    q->end = parse_end(p);
    return q;
}

struct query *parse_query(struct parser *p)
{
    if (parse_deeper(p) < 0)
        return NULL;
    struct query *q = query_whole(p);
    parse_shallower(p);
    return q;
}
