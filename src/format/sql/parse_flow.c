/* parse_flow.c -- see compile.h: IF, CASE, loops and blocks as jumps, which are set when the place that they lead to is
 * known. */
#include <assert.h>

#include "format/sql/compile.h"

/* ---- Scopes ---- */

static struct scope *open_scope(struct compiler *c, enum scope_kind kind, struct str label)
{
    if (c->depth >= ARRAY_LEN(c->scope)) {
        parse_fail(&c->p, parse_peek(&c->p, 0)->at,
                   "Script is too complex: more than %d blocks in each other", SQL_BLOCKS_MAX);
        return NULL;
    }
    struct scope *s = &c->scope[c->depth++];
    *s = (struct scope){ .kind = kind, .label = label, .again = c->count };
    return s;
}

/* Sets the jumps that go behind the innermost scope, which ends here. */
static void close_scope(struct compiler *c)
{
    assert(c->depth);
    struct scope *s = &c->scope[--c->depth];

    for (uint32_t i = 0; i < s->leave_count; i++)
        c->step[s->leave[i]].target = c->count;
}

/* ---- IF and CASE ---- */

/* After IF's or CASE's condition step `unless` and THEN: the list, a jump behind the whole, and the place where the
 * condition goes when it does not hold. */
static int branch(struct compiler *c, int64_t unless, const char *const *ends, struct scope *whole)
{
    if (unless < 0 || compile_statements(c, ends) < 0)
        return -1;
    int64_t jump = compile_step(c, SQL_JUMP, parse_peek(&c->p, 0)->at);
    if (jump < 0)
        return -1;
    PARSE_ADD(&c->p, whole->leave, whole->leave_count, (uint32_t)jump);
    c->step[unless].target = c->count;
    return 0;
}

static int if_statement(struct compiler *c, uint32_t at)
{
    static const char *const ends[] = { "ELSEIF", "ELSE", "END", NULL };
    static const char *const last[] = { "END", NULL };
    struct parser *p = &c->p;
    struct scope whole = { 0 };

    do {
        int64_t unless = compile_condition(c, at, parse_expr(p));
        if (unless < 0 || parse_need_word(p, "THEN") < 0 || branch(c, unless, ends, &whole) < 0)
            return -1;
    } while (parse_word(p, "ELSEIF"));
    if (parse_word(p, "ELSE") && compile_statements(c, last) < 0)
        return -1;
    for (uint32_t i = 0; i < whole.leave_count; i++)
        c->step[whole.leave[i]].target = c->count;
    return parse_need_word(p, "END") < 0 ? -1 : parse_need_word(p, "IF");
}

static int case_statement(struct compiler *c, uint32_t at)
{
    static const char *const ends[] = { "WHEN", "ELSE", "END", NULL };
    static const char *const last[] = { "END", NULL };
    struct parser *p = &c->p;
    struct scope whole = { 0 };
    struct expr *operand = NULL;

    if (!parse_is_word(p, 0, "WHEN") && !(operand = parse_expr(p)))
        return -1;
    if (!parse_is_word(p, 0, "WHEN"))
        return parse_unexpected(p, "keyword WHEN");
    while (parse_word(p, "WHEN")) {
        struct expr *condition = parse_expr(p), *is = parse_node(p, EXPR_OPERATOR, at);
        if (operand && condition) {
            is->text = STR("=");
            if (parse_node_add(p, is, operand) < 0 || parse_node_add(p, is, condition) < 0)
                return -1;
            condition = is;
        }
        int64_t unless = compile_condition(c, at, condition);
        if (unless < 0 || parse_need_word(p, "THEN") < 0 || branch(c, unless, ends, &whole) < 0)
            return -1;
    }
    if (parse_word(p, "ELSE") && compile_statements(c, last) < 0)
        return -1;
    for (uint32_t i = 0; i < whole.leave_count; i++)
        c->step[whole.leave[i]].target = c->count;
    return parse_need_word(p, "END") < 0 ? -1 : parse_need_word(p, "CASE");
}

static int jump_to(struct compiler *c, uint32_t target)
{
    int64_t jump = compile_step(c, SQL_JUMP, parse_peek(&c->p, 0)->at);

    if (jump >= 0)
        c->step[jump].target = target;
    return jump < 0 ? -1 : 0;
}

static int loop(struct compiler *c, struct str label)
{
    static const char *const ends[] = { "END", NULL };
    struct scope *s = open_scope(c, SCOPE_LOOP, label);

    if (!s || compile_statements(c, ends) < 0 || jump_to(c, s->again) < 0)
        return -1;
    close_scope(c);
    return parse_need_word(&c->p, "END") < 0 ? -1 : parse_need_word(&c->p, "LOOP");
}

static int while_loop(struct compiler *c, uint32_t at, struct str label)
{
    static const char *const ends[] = { "END", NULL };
    struct scope *s = open_scope(c, SCOPE_LOOP, label);
    int64_t unless = s ? compile_condition(c, at, parse_expr(&c->p)) : -1;

    if (unless < 0 || parse_need_word(&c->p, "DO") < 0 || compile_statements(c, ends) < 0 ||
        jump_to(c, s->again) < 0)
        return -1;
    c->step[unless].target = c->count;
    close_scope(c);
    return parse_need_word(&c->p, "END") < 0 ? -1 : parse_need_word(&c->p, "WHILE");
}

static int repeat(struct compiler *c, struct str label)
{
    static const char *const ends[] = { "UNTIL", NULL };
    struct scope *s = open_scope(c, SCOPE_LOOP, label);

    if (!s || compile_statements(c, ends) < 0 || parse_need_word(&c->p, "UNTIL") < 0)
        return -1;
    int64_t unless = compile_condition(c, parse_peek(&c->p, 0)->at, parse_expr(&c->p));
    if (unless < 0)
        return -1;
    c->step[unless].target = s->again;
    close_scope(c);
    return parse_need_word(&c->p, "END") < 0 ? -1 : parse_need_word(&c->p, "REPEAT");
}

/* FOR x IN (query) DO ... END FOR */
static int for_loop(struct compiler *c, uint32_t at, struct str label)
{
    static const char *const ends[] = { "END", NULL };
    struct parser *p = &c->p;
    struct str *names = NULL, name;
    uint32_t count = 0;

    if (parse_name(p, &name) < 0 || parse_need_word(p, "IN") < 0 || parse_need_sign(p, "(") < 0)
        return -1;
    PARSE_ADD(p, names, count, name);
    struct sql_inner *inner = arena_alloc(p->arena, sizeof(*inner));
    inner->kind = SQL_VALUES;
    if (!(inner->query = parse_query(p)) || parse_need_sign(p, ")") < 0 ||
        parse_need_word(p, "DO") < 0 || compile_inner(c, SQL_FOR, at, inner) < 0)
        return -1;
    struct scope *s = open_scope(c, SCOPE_FOR, label);
    int64_t next = s ? compile_step(c, SQL_FOR_NEXT, at) : -1;
    if (next < 0)
        return -1;
    c->step[next].names = names;
    c->step[next].name_count = count;
    if (compile_statements(c, ends) < 0 || jump_to(c, s->again) < 0)
        return -1;
    c->step[next].target = c->count;
    close_scope(c);
    return parse_need_word(p, "END") < 0 ? -1 : parse_need_word(p, "FOR");
}

/* EXCEPTION WHEN ERROR THEN ..., after a block's list; `block` is its step. */
static int handler(struct compiler *c, int64_t block)
{
    static const char *const ends[] = { "END", NULL };
    struct parser *p = &c->p;
    int64_t over;

    if (!parse_word(p, "EXCEPTION"))
        return 0;
    if (parse_need_word(p, "WHEN") < 0 || parse_need_word(p, "ERROR") < 0 ||
        parse_need_word(p, "THEN") < 0 ||
        (over = compile_step(c, SQL_JUMP, parse_peek(p, 0)->at)) < 0)
        return -1;
    c->step[block].target = c->count;
    if (!open_scope(c, SCOPE_HANDLER, (struct str){ 0 }) || compile_statements(c, ends) < 0 ||
        compile_step(c, SQL_HANDLER_END, parse_peek(p, 0)->at) < 0)
        return -1;
    close_scope(c);
    c->step[over].target = c->count;
    return 0;
}

static int block(struct compiler *c, uint32_t at, struct str label)
{
    static const char *const ends[] = { "EXCEPTION", "END", NULL };
    int64_t begin = compile_step(c, SQL_BLOCK, at);
    struct scope *s = begin < 0 ? NULL : open_scope(c, SCOPE_BLOCK, label);

    if (!s || compile_statements(c, ends) < 0 ||
        compile_step(c, SQL_BLOCK_END, parse_peek(&c->p, 0)->at) < 0)
        return -1;
    struct scope left = *s;
    c->depth--;
    if (handler(c, begin) < 0)
        return -1;
    for (uint32_t i = 0; i < left.leave_count; i++)
        c->step[left.leave[i]].target = c->count;
    return parse_need_word(&c->p, "END");
}

/* BREAK, CONTINUE and their other names: leaves what is open within the loop, then jumps. */
static int leave(struct compiler *c, uint32_t at, bool again)
{
    struct parser *p = &c->p;
    struct str label = { 0 };
    uint32_t i = c->depth;

    if (parse_is_name(p, 0) && parse_name(p, &label) < 0)
        return -1;
    for (; i > 0; i--) {
        struct scope *s = &c->scope[i - 1];
        bool is_loop = s->kind == SCOPE_LOOP || s->kind == SCOPE_FOR;
        bool found = label.len ? str_eq(label, s->label) && (is_loop || !again) : is_loop;
        if ((s->kind == SCOPE_BLOCK && compile_step(c, SQL_BLOCK_END, at) < 0) ||
            (s->kind == SCOPE_HANDLER && compile_step(c, SQL_HANDLER_END, at) < 0) ||
            (s->kind == SCOPE_FOR && !(found && again) && compile_step(c, SQL_FOR_LEAVE, at) < 0))
            return -1;
        if (found)
            break;
    }
    if (!i)
        return parse_fail(p, at, "%s is only allowed inside of a loop body",
                          again ? "CONTINUE" : "BREAK");
    int64_t jump = compile_step(c, SQL_JUMP, at);
    if (jump < 0)
        return -1;
    struct scope *s = &c->scope[i - 1];
    if (again)
        c->step[jump].target = s->again;
    else
        PARSE_ADD(p, s->leave, s->leave_count, (uint32_t)jump);
    return 0;
}

/* A loop or block, perhaps with a label in front. 1, 0: none is next, -1. */
static int labelled(struct compiler *c)
{
    struct parser *p = &c->p;
    uint32_t at = parse_peek(p, 0)->at;
    struct str label = { 0 }, again;
    int rc;

    if (parse_is_name(p, 0) && parse_is_sign(p, 1, ":")) {
        label = parse_peek(p, 0)->text;
        p->at += 2;
    }
    bool begins_transaction = parse_is_word(p, 1, "TRANSACTION") || parse_is_sign(p, 1, ";") ||
                              parse_peek(p, 1)->kind == TOKEN_END;
    if (parse_word(p, "LOOP"))
        rc = loop(c, label);
    else if (parse_word(p, "WHILE"))
        rc = while_loop(c, at, label);
    else if (parse_word(p, "REPEAT"))
        rc = repeat(c, label);
    else if (parse_word(p, "FOR"))
        rc = for_loop(c, at, label);
    else if (!begins_transaction && parse_word(p, "BEGIN"))
        rc = block(c, at, label);
    else
        return label.len ? parse_unexpected(p, "keyword LOOP") : 0;
    if (rc == 0 && label.len && parse_is_name(p, 0))
        rc = parse_name(p, &again);
    return rc < 0 ? -1 : 1;
}

/* IF, CASE, loops, blocks, BREAK and CONTINUE. */
int compile_flow(struct compiler *c)
{
    struct parser *p = &c->p;
    uint32_t at = parse_peek(p, 0)->at;
    int found = labelled(c);

    if (found)
        return found;
    if (parse_word(p, "IF"))
        return if_statement(c, at) < 0 ? -1 : 1;
    if (parse_word(p, "CASE"))
        return case_statement(c, at) < 0 ? -1 : 1;
    if (parse_word(p, "BREAK") || parse_word(p, "LEAVE"))
        return leave(c, at, false) < 0 ? -1 : 1;
    if (parse_word(p, "CONTINUE") || parse_word(p, "ITERATE"))
        return leave(c, at, true) < 0 ? -1 : 1;
    return 0;
}
