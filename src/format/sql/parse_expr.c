/* parse_expr.c -- see parse.h: expressions by precedence, from OR down to names and what stands behind them. */
#include "format/sql/parse.h"

struct expr *parse_node(struct parser *p, enum expr_kind kind, uint32_t at)
{
    struct expr *node = arena_alloc(p->arena, sizeof(*node));

    node->kind = kind;
    node->at = at;
    node->end = parse_end(p);
    return node;
}

int parse_node_add(struct parser *p, struct expr *node, struct expr *item)
{
    if (!item)
        return -1;
    if (item->height >= SQL_HEIGHT_MAX)
        return parse_fail(p, node->at,
                          "Query is too complex: more than %d operators applied to each other",
                          SQL_HEIGHT_MAX);
    PARSE_ADD(p, node->item, node->count, item);
    if (node->height <= item->height)
        node->height = (uint16_t)(item->height + 1);
    node->end = parse_end(p);
    return 0;
}

int parse_exprs(struct parser *p, struct expr ***out, uint32_t *count)
{
    do {
        struct expr *x = parse_expr(p);
        if (!x)
            return -1;
        PARSE_ADD(p, *out, *count, x);
    } while (parse_sign(p, ","));
    return 0;
}

/* ---- Names, literals and what stands behind them ---- */

struct expr *parse_leaf(struct parser *p, enum expr_kind kind)
{
    const struct token *t = &p->token[p->at++];
    struct expr *x = parse_node(p, kind, t->at);

    x->text = t->text;
    return x;
}

/* INT64 has 0x digits and decimal ones; *minus: the literal stands behind a minus sign. */
static struct expr *integer_literal(struct parser *p, bool minus)
{
    const struct token *t = parse_peek(p, 0);
    struct str digits = t->text;
    uint64_t value = 0, max = (uint64_t)INT64_MAX + minus;
    bool hex = digits.len > 2 && (digits.p[1] == 'x' || digits.p[1] == 'X'), ok;

    if (hex) {
        ok = digits.len <= 18;
        for (size_t i = 2; ok && i < digits.len; i++) {
            char c = digits.p[i];
            value = value << 4 | (uint64_t)(c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
        }
        ok = ok && value <= max;
    } else {
        ok = str_number_in(digits, 0, max, &value);
    }
    if (!ok) {
        parse_fail(p, t->at, "Invalid integer literal: %.*s", STR_ARG(digits));
        return NULL;
    }
    struct expr *x = parse_leaf(p, EXPR_INTEGER);
    x->text = str_of(arena_textf(p->arena, "%s%llu", minus ? "-" : "", (unsigned long long)value));
    return x;
}

static struct expr *typed_literal(struct parser *p, enum bq_type type)
{
    struct expr *x = parse_node(p, EXPR_LITERAL, parse_peek(p, 0)->at);

    x->type = arena_alloc(p->arena, sizeof(*x->type));
    x->type->type = type;
    x->text = parse_peek(p, 1)->text;
    p->at += 2;
    x->end = parse_end(p);
    return x;
}

static struct expr *place_parameter(struct parser *p)
{
    struct expr *x = parse_leaf(p, EXPR_PARAMETER);

    x->text = str_of(arena_textf(p->arena, "%u", ++p->places));
    return x;
}

static struct expr *primary(struct parser *p)
{
    const struct token *t = parse_peek(p, 0);
    struct expr *x = NULL;
    enum bq_type type;

    switch (t->kind) {
    case TOKEN_STRING:
        return parse_leaf(p, EXPR_STRING);
    case TOKEN_BYTES:
        return parse_leaf(p, EXPR_BYTES);
    case TOKEN_INTEGER:
        return integer_literal(p, false);
    case TOKEN_FLOAT:
        return parse_leaf(p, EXPR_FLOAT);
    case TOKEN_PARAMETER:
        return parse_leaf(p, EXPR_PARAMETER);
    case TOKEN_SYSTEM:
        return parse_leaf(p, EXPR_SYSTEM);
    case TOKEN_SIGN:
        if (parse_is_sign(p, 0, "("))
            return parse_brackets(p);
        if (parse_is_sign(p, 0, "["))
            return parse_array(p, NULL, t->at);
        if (parse_is_sign(p, 0, "?"))
            return place_parameter(p);
        break;
    case TOKEN_NAME:
        if (parse_is_word(p, 0, "RANGE") && parse_is_sign(p, 1, "<")) {
            parse_refuse(p, t->at, "RANGE is not supported");
            return NULL;
        }
        if (parse_is_literal_type(p, &type))
            return typed_literal(p, type);
        if (parse_special(p, &x) != 0)
            return x;
        return parse_call_or_name(p);
    case TOKEN_QUOTED:
        return parse_call_or_name(p);
    case TOKEN_END:
        break;
    }
    parse_unexpected(p, NULL);
    return NULL;
}

/* a[OFFSET(i)], j['key'], after "[". */
static struct expr *subscript(struct parser *p, struct expr *of)
{
    static const char *const words[] = { "OFFSET",       "ORDINAL", "SAFE_OFFSET",
                                         "SAFE_ORDINAL", "KEY",     "SAFE_KEY" };
    struct expr *x = parse_node(p, EXPR_INDEX, of->at);

    for (size_t i = 0; i < ARRAY_LEN(words) && !x->text.len; i++)
        if (parse_is_word(p, 0, words[i]) && parse_is_sign(p, 1, "(")) {
            p->at += 2;
            x->text = str_of(words[i]);
        }
    if (parse_node_add(p, x, of) < 0 || parse_node_add(p, x, parse_expr(p)) < 0)
        return NULL;
    if (x->text.len && parse_need_sign(p, ")") < 0)
        return NULL;
    if (parse_need_sign(p, "]") < 0)
        return NULL;
    x->end = parse_end(p);
    return x;
}

static struct expr *field_of(struct parser *p, struct expr *of)
{
    const struct token *t = parse_peek(p, 0);
    struct expr *x;

    if (t->kind != TOKEN_NAME && t->kind != TOKEN_QUOTED) {
        parse_unexpected(p, "identifier");
        return NULL;
    }
    x = parse_leaf(p, EXPR_FIELD);
    x->at = of->at;
    return parse_node_add(p, x, of) < 0 ? NULL : x;
}

static struct expr *postfix(struct parser *p)
{
    struct expr *x = primary(p);

    while (x) {
        if (parse_is_sign(p, 0, ".") && !parse_is_sign(p, 1, "*")) {
            p->at++;
            x = field_of(p, x);
        } else if (parse_sign(p, "[")) {
            x = subscript(p, x);
        } else {
            break;
        }
    }
    return x;
}

/* ---- Operators ---- */

static struct expr *operator_node(struct parser *p, const char *row, struct expr *left,
                                  struct expr *right, uint32_t at)
{
    struct expr *x = parse_node(p, EXPR_OPERATOR, at);

    x->text = str_of(row);
    if (parse_node_add(p, x, left) < 0 || (right && parse_node_add(p, x, right) < 0))
        return NULL;
    return x;
}

static struct expr *unary(struct parser *p)
{
    uint32_t at = parse_peek(p, 0)->at;
    bool minus = parse_is_sign(p, 0, "-"), plus = parse_is_sign(p, 0, "+");

    if (!minus && !plus && !parse_is_sign(p, 0, "~"))
        return postfix(p);
    p->at++;
    if (minus && parse_peek(p, 0)->kind == TOKEN_INTEGER) {
        struct expr *x = integer_literal(p, true);
        if (x)
            x->at = at;
        return x;
    }
    if (parse_deeper(p) < 0)
        return NULL;
    struct expr *of = unary(p);
    parse_shallower(p);
    if (!of || plus)
        return of;
    return operator_node(p, minus ? "- X" : "~", of, NULL, at);
}

/* The operator that is next: its row, and how tightly it binds; *signs: how many tokens it has. */
static const char *binary_operator(const struct parser *p, int *level, uint32_t *signs)
{
    static const struct {
        const char *sign;
        int level;
    } table[] = { { "|", 1 }, { "^", 2 }, { "&", 3 }, { "<<", 4 }, { "+", 5 },
                  { "-", 5 }, { "*", 6 }, { "/", 6 }, { "||", 6 } };

    *signs = 1;
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (parse_is_sign(p, 0, table[i].sign)) {
            *level = table[i].level;
            return table[i].sign;
        }
    if (parse_is_sign(p, 0, ">") && parse_is_sign(p, 1, ">") &&
        parse_peek(p, 0)->end == parse_peek(p, 1)->at) {
        *level = 4;
        *signs = 2;
        return ">>";
    }
    return NULL;
}

static struct expr *operators(struct parser *p, int least)
{
    uint32_t at = parse_peek(p, 0)->at, signs;
    struct expr *left = unary(p);
    int level;

    while (left) {
        const char *row = binary_operator(p, &level, &signs);
        if (!row || level < least)
            break;
        p->at += signs;
        struct expr *right = operators(p, level + 1);
        left = right ? operator_node(p, row, left, right, at) : NULL;
    }
    return left;
}

struct expr *parse_operand(struct parser *p)
{
    return operators(p, 1);
}

/* ---- Comparisons ---- */

/* A subquery, or values. */
static int in_values(struct parser *p, struct expr *x)
{
    if (parse_is_query(p, 0)) {
        x->kind = EXPR_IN_QUERY;
        x->query = parse_query(p);
        return x->query ? 0 : -1;
    }
    do {
        if (parse_node_add(p, x, parse_expr(p)) < 0)
            return -1;
    } while (parse_sign(p, ","));
    return 0;
}

static struct expr *in_list(struct parser *p, struct expr *left, bool negated)
{
    struct expr *x = parse_node(p, EXPR_IN, left->at);

    x->negated = negated;
    if (parse_node_add(p, x, left) < 0)
        return NULL;
    if (parse_word(p, "UNNEST")) {
        x->kind = EXPR_IN_UNNEST;
        if (parse_need_sign(p, "(") < 0 || parse_node_add(p, x, parse_expr(p)) < 0)
            return NULL;
    } else {
        if (parse_need_sign(p, "(") < 0)
            return NULL;
        if (in_values(p, x) < 0)
            return NULL;
    }
    if (parse_need_sign(p, ")") < 0)
        return NULL;
    x->end = parse_end(p);
    return x;
}

/* LIKE, or LIKE ANY (a, b), LIKE ALL UNNEST(x), after LIKE. */
static struct expr *like(struct parser *p, struct expr *left, bool negated)
{
    bool any = parse_word(p, "ANY") || parse_word(p, "SOME"), all = !any && parse_word(p, "ALL");
    struct expr *x = parse_node(p, EXPR_LIKE_LIST, left->at);

    if (!any && !all) {
        struct expr *right = operators(p, 1);
        x = right ? operator_node(p, "LIKE", left, right, left->at) : NULL;
        if (x)
            x->negated = negated;
        return x;
    }
    x->negated = negated;
    x->text = any ? STR("ANY") : STR("ALL");
    if (parse_node_add(p, x, left) < 0)
        return NULL;
    if (parse_word(p, "UNNEST"))
        x->kind = EXPR_LIKE_UNNEST;
    if (parse_need_sign(p, "(") < 0)
        return NULL;
    if (parse_is_query(p, 0)) {
        parse_refuse(p, x->at, "LIKE ANY and LIKE ALL of a subquery are not supported");
        return NULL;
    }
    do {
        if (parse_node_add(p, x, parse_expr(p)) < 0)
            return NULL;
    } while (parse_sign(p, ","));
    return parse_need_sign(p, ")") < 0 ? NULL : x;
}

static struct expr *between(struct parser *p, struct expr *left, bool negated)
{
    struct expr *x = parse_node(p, EXPR_BETWEEN, left->at);

    x->negated = negated;
    if (parse_node_add(p, x, left) < 0 || parse_node_add(p, x, operators(p, 1)) < 0 ||
        parse_need_word(p, "AND") < 0 || parse_node_add(p, x, operators(p, 1)) < 0)
        return NULL;
    return x;
}

/* IS [NOT] NULL, TRUE, FALSE, UNKNOWN, DISTINCT FROM, after IS. */
static struct expr *is_what(struct parser *p, struct expr *left)
{
    static const char *const words[] = { "NULL", "TRUE", "FALSE", "UNKNOWN" };
    bool negated = parse_word(p, "NOT");
    struct expr *x = parse_node(p, EXPR_IS, left->at);

    if (parse_words(p, "DISTINCT", "FROM")) {
        struct expr *right = operators(p, 1);
        x = right ? operator_node(p, "IS DISTINCT FROM", left, right, left->at) : NULL;
        if (x)
            x->negated = negated;
        return x;
    }
    x->negated = negated;
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (parse_word(p, words[i])) {
            x->text = i == 3 ? STR("NULL") : str_of(words[i]);
            return parse_node_add(p, x, left) < 0 ? NULL : x;
        }
    parse_unexpected(p, NULL);
    return NULL;
}

static struct expr *comparison(struct parser *p)
{
    static const struct {
        const char *sign, *row;
    } signs[] = { { "=", "=" },   { "<>", "<>" }, { "!=", "<>" }, { "<", "<" },
                  { "<=", "<=" }, { ">", ">" },   { ">=", ">=" } };
    uint32_t at = parse_peek(p, 0)->at;
    struct expr *left = operators(p, 1);

    if (!left)
        return NULL;
    for (size_t i = 0; i < ARRAY_LEN(signs); i++)
        if (parse_sign(p, signs[i].sign)) {
            struct expr *right = operators(p, 1);
            return right ? operator_node(p, signs[i].row, left, right, at) : NULL;
        }
    if (parse_word(p, "IS"))
        return is_what(p, left);
    bool negated =
        parse_is_word(p, 0, "NOT") && (parse_is_word(p, 1, "LIKE") || parse_is_word(p, 1, "IN") ||
                                       parse_is_word(p, 1, "BETWEEN"));
    p->at += negated;
    if (parse_word(p, "LIKE"))
        return like(p, left, negated);
    if (parse_word(p, "BETWEEN"))
        return between(p, left, negated);
    if (parse_word(p, "IN"))
        return in_list(p, left, negated);
    return left;
}

static struct expr *not_expr(struct parser *p)
{
    uint32_t at = parse_peek(p, 0)->at;

    if (!parse_word(p, "NOT"))
        return comparison(p);
    if (parse_deeper(p) < 0)
        return NULL;
    struct expr *of = not_expr(p), *x = parse_node(p, EXPR_NOT, at);
    parse_shallower(p);
    return parse_node_add(p, x, of) < 0 ? NULL : x;
}

/* a AND b AND c, or with OR: one node. */
static struct expr *joined(struct parser *p, enum expr_kind kind)
{
    const char *word = kind == EXPR_AND ? "AND" : "OR";
    uint32_t at = parse_peek(p, 0)->at;
    struct expr *first = kind == EXPR_AND ? not_expr(p) : joined(p, EXPR_AND);

    if (!first || !parse_is_word(p, 0, word))
        return first;
    struct expr *x = parse_node(p, kind, at);
    if (parse_node_add(p, x, first) < 0)
        return NULL;
    while (parse_word(p, word))
        if (parse_node_add(p, x, kind == EXPR_AND ? not_expr(p) : joined(p, EXPR_AND)) < 0)
            return NULL;
    return x;
}

struct expr *parse_expr(struct parser *p)
{
    if (parse_deeper(p) < 0)
        return NULL;
    struct expr *x = joined(p, EXPR_OR);
    parse_shallower(p);
    return x;
}
