/* parse_script.c -- see sql.h: a text becomes a program of steps. Loops and conditions are in parse_flow.c. */
#include <assert.h>
#include <string.h>

#include "format/sql/compile.h"

/* ---- Steps ---- */

/* Its index, or -1. */
int64_t compile_step(struct compiler *c, enum sql_step_kind kind, uint32_t at)
{
    if (c->count >= SQL_STEPS_MAX)
        return parse_fail(&c->p, at, "Script is too long: more than %d steps", SQL_STEPS_MAX);
    c->step = arena_list_grow(c->p.arena, c->step, c->count, sizeof(*c->step));
    c->step[c->count] = (struct sql_step){ .kind = kind, .at = at, .end = parse_end(&c->p) };
    return c->count++;
}

/* A step with something to write. */
int64_t compile_inner(struct compiler *c, enum sql_step_kind kind, uint32_t at,
                      struct sql_inner *inner)
{
    int64_t i = compile_step(c, kind, at);

    inner->function = c->p.function;
    inner->function_count = c->p.function_count;
    if (i >= 0)
        c->step[i].inner = inner;
    return i;
}

/* A step with values to compute; cast: the first one's type, or NULL. */
static int64_t compile_values(struct compiler *c, enum sql_step_kind kind, uint32_t at,
                              struct expr *const *value, uint32_t count,
                              const struct bq_field *cast)
{
    struct sql_inner *inner = arena_alloc(c->p.arena, sizeof(*inner));

    inner->kind = SQL_VALUES;
    inner->value = arena_array(c->p.arena, count, sizeof(struct expr *));
    for (uint32_t v = 0; v < count; v++)
        inner->value[v] = value[v];
    inner->value_count = count;
    inner->cast = cast;
    return compile_inner(c, kind, at, inner);
}

int64_t compile_condition(struct compiler *c, uint32_t at, struct expr *condition)
{
    static const struct bq_field boolean = { .type = BQ_BOOLEAN };

    return condition ? compile_values(c, SQL_JUMP_UNLESS, at, &condition, 1, &boolean) : -1;
}

/* ---- Statements of a script ---- */

/* DECLARE a, b [type] [DEFAULT x] */
static int declare(struct compiler *c, uint32_t at)
{
    struct parser *p = &c->p;
    struct bq_field *type = NULL;
    struct expr *value = NULL;
    struct str *names = NULL, name;
    uint32_t count = 0;

    do {
        if (parse_name(p, &name) < 0)
            return -1;
        PARSE_ADD(p, names, count, name);
    } while (parse_sign(p, ","));
    if (!parse_is_word(p, 0, "DEFAULT") && !(type = parse_type(p)))
        return -1;
    if (parse_word(p, "DEFAULT"))
        value = parse_expr(p);
    else
        value = parse_node(p, EXPR_NULL, at);
    int64_t i = value ? compile_values(c, SQL_DECLARE, at, &value, 1, type) : -1;
    if (i < 0)
        return -1;
    c->step[i].names = names;
    c->step[i].name_count = count;
    c->step[i].declared = type;
    if (type)
        c->step[i].type = *type;
    return 0;
}

/* A variable of SET and INTO; a system variable with its signs. */
static int variable(struct parser *p, struct str *name)
{
    if (parse_peek(p, 0)->kind != TOKEN_SYSTEM)
        return parse_name(p, name);
    *name = str_sub(p->text, parse_peek(p, 0)->at, parse_peek(p, 0)->end - parse_peek(p, 0)->at);
    p->at++;
    return 0;
}

/* SET a = x, or SET (a, b) = (x, y) or a STRUCT. */
static int set(struct compiler *c, uint32_t at)
{
    struct parser *p = &c->p;
    struct str *names = NULL, name;
    uint32_t count = 0;
    bool several = parse_sign(p, "(");

    do {
        if (variable(p, &name) < 0)
            return -1;
        PARSE_ADD(p, names, count, name);
    } while (several && parse_sign(p, ","));
    if ((several && parse_need_sign(p, ")") < 0) || parse_need_sign(p, "=") < 0)
        return -1;
    struct expr *value = parse_expr(p);
    if (!value)
        return -1;
    bool listed = count > 1 && value->kind == EXPR_STRUCT && !value->type && value->count == count;
    if (count > 1 && value->kind == EXPR_STRUCT && value->count != count)
        return parse_fail(p, value->at, "SET has %u variables and %u values", count, value->count);
    int64_t i = listed ? compile_values(c, SQL_SET, at, value->item, count, NULL)
                       : compile_values(c, SQL_SET, at, &value, 1, NULL);
    if (i < 0)
        return -1;
    c->step[i].names = names;
    c->step[i].name_count = count;
    c->step[i].set_from_record = count > 1 && !listed;
    return 0;
}

/* EXECUTE IMMEDIATE text [INTO a, b] [USING x [AS name], ...] */
static int execute(struct compiler *c, uint32_t at)
{
    struct parser *p = &c->p;
    struct expr **value = NULL, *x;
    struct str *names = NULL, name;
    uint32_t values = 0, count = 0, into = 0;

    if (parse_need_word(p, "IMMEDIATE") < 0 || !(x = parse_expr(p)))
        return -1;
    PARSE_ADD(p, value, values, x);
    if (parse_word(p, "INTO")) {
        do {
            if (variable(p, &name) < 0)
                return -1;
            PARSE_ADD(p, names, count, name);
        } while (parse_sign(p, ","));
    }
    into = count;
    if (parse_word(p, "USING")) {
        do {
            if (!(x = parse_expr(p)) || parse_alias(p, &name) < 0)
                return -1;
            PARSE_ADD(p, value, values, x);
            PARSE_ADD(p, names, count, name);
        } while (parse_sign(p, ","));
    }
    int64_t i = compile_values(c, SQL_EXECUTE, at, value, values, NULL);
    if (i < 0)
        return -1;
    c->step[i].names = names;
    c->step[i].name_count = count;
    c->step[i].into_count = into;
    return 0;
}

static int raise_error(struct compiler *c, uint32_t at)
{
    struct parser *p = &c->p;

    if (!parse_word(p, "USING"))
        return compile_step(c, SQL_RAISE, at) < 0 ? -1 : 0;
    if (parse_need_word(p, "MESSAGE") < 0 || parse_need_sign(p, "=") < 0)
        return -1;
    struct expr *message = parse_expr(p);
    return message && compile_values(c, SQL_RAISE, at, &message, 1, NULL) >= 0 ? 0 : -1;
}

/* BEGIN, COMMIT and ROLLBACK of transactions, after their word. */
static int transaction(struct compiler *c, enum sql_step_kind kind, uint32_t at)
{
    parse_word(&c->p, "TRANSACTION");
    return compile_step(c, kind, at) < 0 ? -1 : 0;
}

/* CREATE [OR REPLACE] TEMP FUNCTION: it lives in the parser; no step. 1, 0: it is none, -1. */
static int function_statement(struct compiler *c)
{
    struct parser *p = &c->p;
    uint32_t n = parse_is_word(p, 1, "OR") ? 3 : 1, at = parse_peek(p, 0)->at;
    bool temporary = parse_is_word(p, n, "TEMP") || parse_is_word(p, n, "TEMPORARY");

    if (!parse_is_word(p, 0, "CREATE") || !parse_is_word(p, n + temporary, "FUNCTION"))
        return 0;
    if (!temporary)
        return parse_refuse(p, at, "CREATE FUNCTION is supported as CREATE TEMP FUNCTION only");
    p->at += n + 2;
    struct function_def *f = parse_function_def(p);
    if (!f)
        return -1;
    /* The list must not move under the steps that have it. */
    struct function_def **list =
        arena_array(p->arena, p->function_count + 1, sizeof(struct function_def *));
    if (p->function_count)
        memcpy(list, p->function, p->function_count * sizeof(struct function_def *));
    list[p->function_count++] = f;
    p->function = list;
    return 1;
}

/* SELECT, DML, DDL, ASSERT. */
static int plain_statement(struct compiler *c, uint32_t at)
{
    struct parser *p = &c->p;
    struct sql_inner *inner = arena_alloc(p->arena, sizeof(*inner));
    int found;

    if (parse_is_query(p, 0)) {
        inner->kind = SQL_SELECT;
        found = (inner->query = parse_query(p)) ? 1 : -1;
    } else if (parse_word(p, "ASSERT")) {
        inner->kind = SQL_ASSERT;
        inner->value = arena_array(p->arena, 2, sizeof(struct expr *));
        inner->value_count = 1;
        found = (inner->value[0] = parse_expr(p)) ? 1 : -1;
        if (found > 0 && parse_word(p, "AS"))
            found = (inner->value[inner->value_count++] = parse_expr(p)) ? 1 : -1;
    } else {
        found = parse_dml(p, inner);
        if (!found)
            found = parse_ddl(p, inner);
    }
    if (found <= 0)
        return found < 0 ? -1 : parse_unexpected(p, NULL);
    return compile_inner(c, SQL_STATEMENT, at, inner) < 0 ? -1 : 0;
}

static int refused(struct compiler *c)
{
    static const char *const words[] = { "CALL",   "EXPORT",  "LOAD",   "GRANT", "REVOKE",
                                         "DEFINE", "EXPLAIN", "UNDROP", "CLONE" };

    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (parse_is_word(&c->p, 0, words[i]))
            return parse_refuse(&c->p, parse_peek(&c->p, 0)->at, "%s is not supported", words[i]);
    return 0;
}

static int statement(struct compiler *c)
{
    struct parser *p = &c->p;
    uint32_t at = parse_peek(p, 0)->at;
    int found = compile_flow(c);

    if (!found)
        found = function_statement(c);
    if (found || refused(c) < 0)
        return found > 0 ? 0 : -1;
    if (parse_word(p, "DECLARE"))
        return declare(c, at);
    if (parse_word(p, "SET"))
        return set(c, at);
    if (parse_word(p, "EXECUTE"))
        return execute(c, at);
    if (parse_word(p, "RAISE"))
        return raise_error(c, at);
    if (parse_word(p, "RETURN"))
        return compile_step(c, SQL_RETURN, at) < 0 ? -1 : 0;
    if (parse_word(p, "BEGIN"))
        return transaction(c, SQL_BEGIN, at);
    if (parse_word(p, "COMMIT"))
        return transaction(c, SQL_COMMIT, at);
    if (parse_word(p, "ROLLBACK"))
        return transaction(c, SQL_ROLLBACK, at);
    return plain_statement(c, at);
}

/* Statements up to one of the words, which is not taken; ends NULL: up to the end of the text. */
int compile_statements(struct compiler *c, const char *const *ends)
{
    struct parser *p = &c->p;

    if (parse_deeper(p) < 0)
        return -1;
    for (;;) {
        while (parse_sign(p, ";"))
            ;
        bool end = parse_peek(p, 0)->kind == TOKEN_END;
        for (size_t i = 0; ends && !end && ends[i]; i++)
            end = parse_is_word(p, 0, ends[i]);
        if (end)
            break;
        if (statement(c) < 0)
            return -1;
        if (!parse_is_sign(p, 0, ";") && parse_peek(p, 0)->kind != TOKEN_END)
            return parse_unexpected(p, ends ? "\";\"" : "end of input");
    }
    parse_shallower(p);
    return 0;
}

/* ---- The whole ---- */

static int begin(struct compiler *c, struct arena *a, struct str text, struct error *e)
{
    c->p = (struct parser){ .arena = a, .text = text, .e = e };
    if (text.len > SQL_TEXT_BYTES_MAX)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "The query is too large: %zu bytes; the maximum is %zu", text.len,
                         SQL_TEXT_BYTES_MAX);
    c->p.token = sql_lex(a, text, &c->p.count, e);
    if (!c->p.token)
        return -1;
    c->p.close = parse_brackets_of(a, c->p.token, c->p.count);
    return 0;
}

static struct sql_script *end(struct compiler *c)
{
    struct sql_script *s = arena_alloc(c->p.arena, sizeof(*s));

    s->text = c->p.text;
    s->step = c->step;
    s->count = c->count;
    s->single = c->count == 1 && c->step[0].kind == SQL_STATEMENT;
    return s;
}

struct sql_script *sql_parse(struct arena *a, struct str text, struct error *e)
{
    struct compiler c = { 0 };

    if (begin(&c, a, text, e) < 0 || compile_statements(&c, NULL) < 0)
        return NULL;
    if (!c.count && !c.p.function_count) {
        sql_fail(e, ERROR_INVALID_ARGUMENT, text, parse_peek(&c.p, 0)->at,
                 "Syntax error: Unexpected end of script");
        return NULL;
    }
    return end(&c);
}

struct sql_script *sql_parse_query(struct arena *a, struct str text, struct error *e)
{
    struct compiler c = { 0 };

    if (begin(&c, a, text, e) < 0)
        return NULL;
    if (!parse_is_query(&c.p, 0)) {
        parse_unexpected(&c.p, "keyword SELECT or keyword WITH");
        return NULL;
    }
    if (plain_statement(&c, 0) < 0)
        return NULL;
    while (parse_sign(&c.p, ";"))
        ;
    if (parse_peek(&c.p, 0)->kind != TOKEN_END) {
        parse_unexpected(&c.p, "end of input");
        return NULL;
    }
    return end(&c);
}
