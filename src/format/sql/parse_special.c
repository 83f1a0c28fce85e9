/* parse_special.c -- see parse.h: expressions with a syntax of their own: CASE, CAST, EXTRACT, INTERVAL, arrays, structs,
 * brackets, subqueries. */
#include "format/sql/parse.h"

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

static int date_part(struct parser *p, struct str *out)
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
    if (date_part(p, &part->text) < 0 || parse_need_word(p, "FROM") < 0 ||
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
    struct str to = { NULL, 0 };

    if (parse_node_add(p, x, parse_expr(p)) < 0 || date_part(p, &x->text) < 0)
        return NULL;
    if (parse_word(p, "TO")) {
        if (date_part(p, &to) < 0)
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
