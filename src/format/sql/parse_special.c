/* parse_special.c -- see parse.h: expressions with a syntax of their own (CASE, CAST, EXTRACT, INTERVAL, arrays,
 * structs, brackets), calls and windows. */
#include "format/sql/parse.h"

/* ---- Calls ---- */

/* (x, y) -> or x ->: how many tokens stand before the arrow's end; 0: no lambda begins here. */
static uint32_t lambda_tokens(const struct parser *p)
{
    uint32_t n = 1;

    if (parse_is_name(p, 0) && parse_is_sign(p, 1, "->"))
        return 2;
    if (!parse_is_sign(p, 0, "("))
        return 0;
    while (parse_is_name(p, n)) {
        if (parse_is_sign(p, n + 1, ")"))
            return parse_is_sign(p, n + 2, "->") ? n + 3 : 0;
        if (!parse_is_sign(p, n + 1, ","))
            return 0;
        n += 2;
    }
    return 0;
}

static struct expr *lambda(struct parser *p, uint32_t tokens)
{
    struct expr *x = parse_node(p, EXPR_LAMBDA, parse_peek(p, 0)->at);
    uint32_t names = 0;

    for (uint32_t i = 0; i < tokens; i++) {
        const struct token *t = &p->token[p->at + i];
        if (t->kind != TOKEN_SIGN)
            PARSE_ADD(p, x->name, names, t->text);
    }
    p->at += tokens;
    if (parse_node_add(p, x, parse_expr(p)) < 0)
        return NULL;
    x->count = names; /* of names; there is one item */
    return x;
}

static int call_argument(struct parser *p, struct expr *x)
{
    struct call *c = x->call;
    uint32_t tokens = lambda_tokens(p), before = x->count;
    struct str name = { 0 };

    if (parse_is_name(p, 0) && parse_is_sign(p, 1, "=>")) {
        name = parse_peek(p, 0)->text;
        p->at += 2;
        tokens = lambda_tokens(p);
    }
    if ((parse_is_word(p, 0, "TABLE") || parse_is_word(p, 0, "MODEL")) && parse_is_name(p, 1))
        return parse_refuse(p, parse_peek(p, 0)->at, "TABLE and MODEL arguments are not supported");
    if (parse_node_add(p, x, tokens ? lambda(p, tokens) : parse_expr(p)) < 0)
        return -1;
    if (name.len && !c->argument_name) {
        c->argument_name = arena_array(p->arena, SQL_ARGUMENT_NAMES_MAX, sizeof(struct str));
    } else if (c->argument_name && !name.len) {
        return parse_fail(
            p, x->item[before]->at,
            "Call to function %.*s must not have positional arguments following named "
            "arguments",
            STR_ARG(c->name));
    }
    if (name.len && before >= SQL_ARGUMENT_NAMES_MAX)
        return parse_fail(p, x->item[before]->at, "Too many arguments");
    if (name.len)
        c->argument_name[before] = name;
    return 0;
}

/* What may stand behind the arguments: IGNORE NULLS, HAVING MAX, ORDER BY, LIMIT. */
static int call_modifiers(struct parser *p, struct call *c)
{
    if (parse_words(p, "IGNORE", "NULLS"))
        c->ignore_nulls = true;
    else if (parse_words(p, "RESPECT", "NULLS"))
        c->respect_nulls = true;
    if (parse_is_word(p, 0, "WHERE") || parse_is_word(p, 0, "GROUP"))
        return parse_refuse(p, parse_peek(p, 0)->at, "%.*s within an aggregate is not supported",
                            STR_ARG(parse_peek(p, 0)->text));
    if (parse_word(p, "HAVING")) {
        c->having_max = parse_word(p, "MAX");
        if (!c->having_max && parse_need_word(p, "MIN") < 0)
            return -1;
        c->having = parse_expr(p);
        if (!c->having)
            return -1;
    }
    if (parse_words(p, "ORDER", "BY") && parse_order(p, &c->order, &c->order_count) < 0)
        return -1;
    if (parse_word(p, "LIMIT")) {
        c->limit = parse_expr(p);
        if (!c->limit)
            return -1;
    }
    return 0;
}

static int call_over(struct parser *p, struct call *c)
{
    if (!parse_word(p, "OVER"))
        return 0;
    c->windowed = true;
    if (parse_is_sign(p, 0, "("))
        return parse_window(p, &c->window);
    c->window_named = true;
    c->window.at = parse_peek(p, 0)->at;
    return parse_name(p, &c->window.base);
}

struct expr *parse_call(struct parser *p, struct str name, uint32_t at)
{
    struct expr *x = parse_node(p, EXPR_CALL, at);
    struct call *c = x->call = arena_alloc(p->arena, sizeof(*c));

    if (parse_deeper(p) < 0)
        return NULL;
    c->name = name;
    if (name.len > 5 && sql_word_is(str_sub(name, 0, 5), "SAFE.")) {
        c->safe = true;
        c->name = str_sub(name, 5, SIZE_MAX);
    }
    if (parse_word(p, "DISTINCT"))
        c->distinct = true;
    else if (parse_is_word(p, 0, "ALL") && !parse_is_sign(p, 1, ")"))
        p->at++;
    if (parse_sign(p, "*")) {
        c->star = true;
    } else if (!parse_is_sign(p, 0, ")")) {
        do {
            if (call_argument(p, x) < 0)
                return NULL;
        } while (parse_sign(p, ","));
    }
    if (call_modifiers(p, c) < 0 || parse_need_sign(p, ")") < 0 || call_over(p, c) < 0)
        return NULL;
    parse_shallower(p);
    x->end = parse_end(p);
    return x;
}

/* ---- Windows and orders ---- */

int parse_order(struct parser *p, struct order **out, uint32_t *count)
{
    do {
        struct order o = { .key = parse_expr(p) };
        if (!o.key)
            return -1;
        if (parse_is_word(p, 0, "COLLATE"))
            return parse_refuse(p, parse_peek(p, 0)->at, "COLLATE is not supported");
        o.descending = parse_word(p, "DESC");
        if (!o.descending)
            parse_word(p, "ASC");
        if (parse_word(p, "NULLS")) {
            o.nulls_said = true;
            o.nulls_first = parse_word(p, "FIRST");
            if (!o.nulls_first && parse_need_word(p, "LAST") < 0)
                return -1;
        }
        PARSE_ADD(p, *out, *count, o);
    } while (parse_sign(p, ","));
    return 0;
}

static int frame_bound(struct parser *p, enum frame_bound *bound, struct expr **value)
{
    bool unbounded = parse_word(p, "UNBOUNDED");

    if (parse_words(p, "CURRENT", "ROW")) {
        *bound = FRAME_CURRENT;
        return 0;
    }
    if (!unbounded && !(*value = parse_expr(p)))
        return -1;
    if (parse_word(p, "PRECEDING")) {
        *bound = unbounded ? FRAME_UNBOUNDED_BEFORE : FRAME_BEFORE;
        return 0;
    }
    *bound = unbounded ? FRAME_UNBOUNDED_AFTER : FRAME_AFTER;
    return parse_need_word(p, "FOLLOWING");
}

static int window_frame(struct parser *p, struct window *w)
{
    w->range = parse_word(p, "RANGE");
    if (!w->range && !parse_word(p, "ROWS"))
        return 0;
    w->framed = true;
    w->to = FRAME_CURRENT;
    if (!parse_word(p, "BETWEEN"))
        return frame_bound(p, &w->from, &w->from_value);
    if (frame_bound(p, &w->from, &w->from_value) < 0 || parse_need_word(p, "AND") < 0)
        return -1;
    return frame_bound(p, &w->to, &w->to_value);
}

int parse_window(struct parser *p, struct window *w)
{
    w->at = parse_peek(p, 0)->at;
    if (parse_need_sign(p, "(") < 0)
        return -1;
    if (parse_is_name(p, 0)) {
        if (parse_name(p, &w->base) < 0)
            return -1;
    }
    if (parse_words(p, "PARTITION", "BY") && parse_exprs(p, &w->partition, &w->partition_count) < 0)
        return -1;
    if (parse_words(p, "ORDER", "BY") && parse_order(p, &w->order, &w->order_count) < 0)
        return -1;
    if (window_frame(p, w) < 0)
        return -1;
    return parse_need_sign(p, ")");
}

/* ---- CASE, CAST, EXTRACT, INTERVAL ---- */

static struct expr *case_expr(struct parser *p, uint32_t at)
{
    struct expr *x = parse_node(p, EXPR_CASE, at);

    if (!parse_is_word(p, 0, "WHEN")) {
        x->has_operand = true;
        if (parse_node_add(p, x, parse_expr(p)) < 0)
            return NULL;
    }
    if (!parse_is_word(p, 0, "WHEN")) {
        parse_unexpected(p, "keyword WHEN");
        return NULL;
    }
    while (parse_word(p, "WHEN"))
        if (parse_node_add(p, x, parse_expr(p)) < 0 || parse_need_word(p, "THEN") < 0 ||
            parse_node_add(p, x, parse_expr(p)) < 0)
            return NULL;
    if (parse_word(p, "ELSE")) {
        x->has_else = true;
        if (parse_node_add(p, x, parse_expr(p)) < 0)
            return NULL;
    }
    return parse_need_word(p, "END") < 0 ? NULL : x;
}

static struct expr *cast_expr(struct parser *p, uint32_t at, bool safe)
{
    struct expr *x = parse_node(p, EXPR_CAST, at);

    x->safe = safe;
    if (parse_need_sign(p, "(") < 0 || parse_node_add(p, x, parse_expr(p)) < 0 ||
        parse_need_word(p, "AS") < 0 || !(x->type = parse_type(p)))
        return NULL;
    if (parse_word(p, "FORMAT")) {
        x->text = STR("FORMAT");
        if (parse_node_add(p, x, parse_expr(p)) < 0)
            return NULL;
    }
    if (parse_words(p, "AT", "TIME")) {
        if (!x->text.len)
            x->text = STR("ZONE");
        if (parse_need_word(p, "ZONE") < 0 || parse_node_add(p, x, parse_expr(p)) < 0)
            return NULL;
    }
    if (parse_need_sign(p, ")") < 0)
        return NULL;
    x->end = parse_end(p);
    return x;
}

int parse_date_part(struct parser *p, struct str *out)
{
    const struct token *t = parse_peek(p, 0);
    struct buf text = BUF_INIT(64);

    if (t->kind != TOKEN_NAME || t->reserved)
        return parse_unexpected(p, "date part");
    buf_add_str(&text, t->text);
    p->at++;
    if (parse_sign(p, "(")) {
        buf_addf(&text, "(%.*s)", STR_ARG(parse_peek(p, 0)->text));
        if (parse_peek(p, 0)->kind != TOKEN_NAME)
            return buf_release(&text), parse_unexpected(p, "weekday");
        p->at++;
        if (parse_need_sign(p, ")") < 0)
            return buf_release(&text), -1;
    }
    char *copy = arena_copy(p->arena, text.p, text.len);
    for (char *c = copy; *c; c++)
        *c = *c >= 'a' && *c <= 'z' ? (char)(*c - 32) : *c;
    *out = (struct str){ copy, text.len };
    buf_release(&text);
    return 0;
}

static struct expr *extract_expr(struct parser *p, uint32_t at)
{
    struct expr *x = parse_node(p, EXPR_EXTRACT, at), *part = parse_node(p, EXPR_PART, at);

    if (parse_need_sign(p, "(") < 0)
        return NULL;
    part->at = parse_peek(p, 0)->at;
    if (parse_date_part(p, &part->text) < 0 || parse_need_word(p, "FROM") < 0 ||
        parse_node_add(p, x, parse_expr(p)) < 0 || parse_node_add(p, x, part) < 0)
        return NULL;
    if (parse_words(p, "AT", "TIME")) {
        if (parse_need_word(p, "ZONE") < 0 || parse_node_add(p, x, parse_expr(p)) < 0)
            return NULL;
    }
    return parse_need_sign(p, ")") < 0 ? NULL : x;
}

static struct expr *interval_expr(struct parser *p, uint32_t at)
{
    struct expr *x = parse_node(p, EXPR_INTERVAL, at);
    struct str to;

    if (parse_node_add(p, x, parse_expr(p)) < 0 || parse_date_part(p, &x->text) < 0)
        return NULL;
    if (parse_word(p, "TO")) {
        if (parse_date_part(p, &to) < 0)
            return NULL;
        x->text = str_of(arena_textf(p->arena, "%.*s TO %.*s", STR_ARG(x->text), STR_ARG(to)));
    }
    x->end = parse_end(p);
    return x;
}

/* ---- Arrays, structs, brackets, subqueries ---- */

struct expr *parse_array(struct parser *p, struct bq_field *type, uint32_t at)
{
    struct expr *x = parse_node(p, EXPR_ARRAY, at);

    x->type = type;
    if (parse_need_sign(p, "[") < 0)
        return NULL;
    while (!parse_is_sign(p, 0, "]")) {
        if (parse_node_add(p, x, parse_expr(p)) < 0)
            return NULL;
        if (!parse_sign(p, ","))
            break;
    }
    if (parse_need_sign(p, "]") < 0)
        return NULL;
    x->end = parse_end(p);
    return x;
}

static struct expr *query_expr(struct parser *p, enum expr_kind kind, uint32_t at)
{
    struct expr *x = parse_node(p, kind, at);

    if (parse_need_sign(p, "(") < 0 || !(x->query = parse_query(p)) || parse_need_sign(p, ")") < 0)
        return NULL;
    x->end = parse_end(p);
    x->bracketed = true;
    return x;
}

/* STRUCT(a AS x, b), STRUCT<x INT64>(a), after STRUCT. */
static struct expr *struct_expr(struct parser *p, uint32_t at)
{
    struct bq_field *type = NULL;
    struct expr *x;

    if (parse_is_sign(p, 0, "<")) {
        p->at--;
        type = parse_type(p);
        if (!type)
            return NULL;
    }
    x = parse_node(p, EXPR_STRUCT, at);
    x->type = type;
    if (parse_need_sign(p, "(") < 0)
        return NULL;
    while (!parse_is_sign(p, 0, ")")) {
        uint32_t named = x->count;
        struct str name = { 0 };
        if (parse_node_add(p, x, parse_expr(p)) < 0)
            return NULL;
        if (parse_word(p, "AS") && parse_name(p, &name) < 0)
            return NULL;
        PARSE_ADD(p, x->name, named, name);
        if (!parse_sign(p, ","))
            break;
    }
    if (parse_need_sign(p, ")") < 0)
        return NULL;
    x->end = parse_end(p);
    return x;
}

/* (a, b), after the first and its comma. */
static struct expr *tuple(struct parser *p, struct expr *first, uint32_t at)
{
    struct expr *x = parse_node(p, EXPR_STRUCT, at);

    if (parse_node_add(p, x, first) < 0)
        return NULL;
    do {
        if (parse_node_add(p, x, parse_expr(p)) < 0)
            return NULL;
    } while (parse_sign(p, ","));
    x->name = arena_array(p->arena, x->count, sizeof(struct str));
    return parse_need_sign(p, ")") < 0 ? NULL : x;
}

struct expr *parse_brackets(struct parser *p)
{
    uint32_t at = parse_peek(p, 0)->at;
    struct expr *x;

    if (parse_is_query(p, 1))
        return query_expr(p, EXPR_QUERY, at);
    p->at++;
    x = parse_expr(p);
    if (!x)
        return NULL;
    if (parse_sign(p, ","))
        return tuple(p, x, at);
    if (!parse_is_sign(p, 0, ")")) {
        parse_unexpected(p, "\",\"");
        return NULL;
    }
    p->at++;
    x->bracketed = true;
    return x;
}

static struct expr *array_expr(struct parser *p, uint32_t at)
{
    struct bq_field *type = NULL;

    if (parse_is_sign(p, 0, "("))
        return query_expr(p, EXPR_ARRAY_QUERY, at);
    if (parse_is_sign(p, 0, "<")) {
        p->at--;
        type = parse_type(p);
        if (!type)
            return NULL;
    }
    return parse_array(p, type, at);
}

static struct expr *word_expr(struct parser *p, enum expr_kind kind, const char *text, uint32_t at)
{
    struct expr *x = parse_node(p, kind, at);

    x->text = str_of(text);
    return x;
}

int parse_special(struct parser *p, struct expr **out)
{
    uint32_t at = parse_peek(p, 0)->at;
    bool call = parse_is_sign(p, 1, "(");

    if (parse_word(p, "NULL"))
        *out = word_expr(p, EXPR_NULL, "", at);
    else if (parse_word(p, "TRUE"))
        *out = word_expr(p, EXPR_BOOL, "TRUE", at);
    else if (parse_word(p, "FALSE"))
        *out = word_expr(p, EXPR_BOOL, "FALSE", at);
    else if (parse_word(p, "DEFAULT"))
        *out = word_expr(p, EXPR_DEFAULT, "", at);
    else if (parse_word(p, "CASE"))
        *out = case_expr(p, at);
    else if (parse_word(p, "CAST"))
        *out = cast_expr(p, at, false);
    else if (call && parse_word(p, "SAFE_CAST"))
        *out = cast_expr(p, at, true);
    else if (parse_word(p, "EXTRACT"))
        *out = extract_expr(p, at);
    else if (parse_word(p, "INTERVAL"))
        *out = interval_expr(p, at);
    else if (parse_word(p, "ARRAY"))
        *out = array_expr(p, at);
    else if (parse_word(p, "STRUCT"))
        *out = struct_expr(p, at);
    else if (parse_word(p, "EXISTS"))
        *out = query_expr(p, EXPR_EXISTS, at);
    else
        return 0;
    return *out ? 1 : -1;
}
