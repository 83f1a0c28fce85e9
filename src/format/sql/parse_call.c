/* parse_call.c -- see parse.h: calls with all that they may have, windows and orders, and names. */
#include "format/sql/parse.h"

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

/* The modifiers behind the arguments: IGNORE NULLS, HAVING MAX, ORDER BY, LIMIT. */
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

static struct expr *call(struct parser *p, struct str name, uint32_t at)
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

/* ---- Calls and names ---- */

/* Adjacent tokens name.name.name( begin a call: how many tokens its name has, or 0. */
static uint32_t call_name_tokens(const struct parser *p)
{
    static const char *const callable[] = { "IF",    "LEFT",    "RIGHT",    "GROUPING",
                                            "RANGE", "COLLATE", "CONTAINS", "HASH" };
    const struct token *t = parse_peek(p, 0);
    bool ok = !t->reserved;
    uint32_t n = 1;

    for (size_t i = 0; t->kind == TOKEN_NAME && !ok && i < ARRAY_LEN(callable); i++)
        ok = sql_word_is(t->text, callable[i]);
    if (!ok || (t->kind != TOKEN_NAME && t->kind != TOKEN_QUOTED))
        return 0;
    while (parse_is_sign(p, n, ".") &&
           (parse_peek(p, n + 1)->kind == TOKEN_NAME || parse_peek(p, n + 1)->kind == TOKEN_QUOTED))
        n += 2;
    return parse_is_sign(p, n, "(") ? n : 0;
}

struct expr *parse_call_or_name(struct parser *p)
{
    static const char *const bare[] = { "CURRENT_DATE", "CURRENT_TIME", "CURRENT_DATETIME",
                                        "CURRENT_TIMESTAMP" };
    const struct token *t = parse_peek(p, 0);
    uint32_t tokens = call_name_tokens(p);

    if (tokens) {
        struct buf name = BUF_INIT(SQL_TEXT_BYTES_MAX);
        for (uint32_t i = 0; i < tokens; i++)
            buf_add_str(&name, p->token[p->at + i].text);
        struct str joined = { arena_copy(p->arena, name.p, name.len), name.len };
        buf_release(&name);
        p->at += tokens + 1;
        return call(p, joined, t->at);
    }
    for (size_t i = 0; t->kind == TOKEN_NAME && i < ARRAY_LEN(bare); i++)
        if (sql_word_is(t->text, bare[i])) {
            struct expr *x = parse_leaf(p, EXPR_CALL);
            x->call = arena_alloc(p->arena, sizeof(*x->call));
            x->call->name = x->text;
            return x;
        }
    if (!parse_is_name(p, 0)) {
        parse_unexpected(p, NULL);
        return NULL;
    }
    struct expr *x = parse_leaf(p, EXPR_NAME);
    x->quoted = t->kind == TOKEN_QUOTED;
    return x;
}
