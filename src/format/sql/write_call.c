/* write_call.c -- see write.h and function.h: calls by the rows of the table of functions and by their templates, and a
 * script's own functions. */
#include <stdio.h>
#include <string.h>

#include "format/sql/lexer.h"
#include "format/sql/write.h"

/* ---- Templates ---- */

struct template
{
    const struct sql_function *row;
    const struct sql_call *call;
    const char *at;
    const char *close; /* where what stands in the brackets goes: at $|, else the last ")" */
    bool marked;       /* $| is there */
    bool over_marked;  /* $^ is there */
    bool distinct;     /* still to be written */
};

/* DISTINCT in front of the first argument. */
static void write_distinct(struct sql_writer *w, struct template *t)
{
    buf_add_c(&w->out, t->distinct ? "DISTINCT " : "");
    t->distinct = false;
}

static int write_rest(struct sql_writer *w, struct template *t, uint32_t from, bool leading)
{
    for (uint32_t i = from; i < t->call->count; i++) {
        write_distinct(w, t);
        buf_add_c(&w->out, leading || i > from ? ", " : "");
        if (write_expr(w, t->call->item[i]) < 0)
            return -1;
    }
    return 0;
}

/* $1, $2u, $3v, $2*: after the dollar sign. */
static int write_numbered(struct sql_writer *w, struct template *t)
{
    uint32_t i = (uint32_t)(*t->at++ - '1');
    const struct sql_call *call = t->call;

    if (*t->at == '*') {
        t->at++;
        return write_rest(w, t, i, true);
    }
    if (i >= call->count)
        return sql_call_fail(w, call, w->e, "Argument %u is missing", i + 1);
    if (*t->at == 'u') {
        t->at++;
        if (!call_unit(call->item[i]).len)
            return write_fail(w, call->item[i]->at, "A valid date part name is required");
        sql_write_string(w, call_unit(call->item[i]));
        return 0;
    }
    if (*t->at == 'v') {
        t->at++;
        if (call->item[i]->kind != EXPR_INTERVAL)
            return write_fail(w, call->item[i]->at, "An INTERVAL is required");
        return write_expr(w, call->item[i]->item[0]);
    }
    write_distinct(w, t);
    return write_expr(w, call->item[i]);
}

/* ORDER BY and IGNORE NULLS, within the brackets of an aggregate. */
static int write_inside(struct sql_writer *w, const struct template *t)
{
    const struct call *c = t->call->call;

    if (!c)
        return 0;
    if (c->order_count) {
        buf_add_c(&w->out, " ");
        if (write_orders(w, c->order, c->order_count) < 0)
            return -1;
    }
    if (c->ignore_nulls && !(t->row && t->row->flags & SQL_NULLS_KEPT))
        buf_add_c(&w->out, " IGNORE NULLS");
    return 0;
}

/* FILTER and OVER. */
static int write_behind(struct sql_writer *w, const struct template *t)
{
    const struct call *c = t->call->call;

    if (c && c->ignore_nulls && t->row && t->row->flags & SQL_NULLS_KEPT) {
        buf_add_c(&w->out, " FILTER (WHERE ");
        if (write_expr(w, t->call->item[0]) < 0)
            return -1;
        buf_add_c(&w->out, " IS NOT NULL)");
    }
    return sql_write_over(w, t->call, w->e);
}

static int write_marked(struct sql_writer *w, struct template *t)
{
    char c = *t->at;

    if (c >= '1' && c <= '9')
        return write_numbered(w, t);
    t->at++;
    if (c == '*')
        return write_rest(w, t, 0, false);
    if (c == '|')
        return write_inside(w, t);
    if (c == '^')
        return write_behind(w, t);
    buf_add_char(&w->out, '$');
    return 0;
}

static int write_by_template(struct sql_writer *w, const struct sql_function *row,
                             const struct sql_call *call, const char *print)
{
    struct template t = { .row = row, .call = call, .at = print };

    t.marked = strstr(print, "$|");
    t.over_marked = strstr(print, "$^");
    t.close = strrchr(print, ')');
    t.distinct = call->call && call->call->distinct;
    while (*t.at) {
        if (t.at == t.close && !t.marked && write_inside(w, &t) < 0)
            return -1;
        if (*t.at != '$') {
            buf_add_char(&w->out, *t.at++);
            continue;
        }
        t.at++;
        if (write_marked(w, &t) < 0)
            return -1;
    }
    return t.over_marked ? 0 : write_behind(w, &t);
}

int sql_write_template(struct sql_writer *w, const struct sql_call *call, const char *print,
                       struct error *e)
{
    (void)e;
    return write_by_template(w, NULL, call, print);
}

static int write_by_row(struct sql_writer *w, const struct sql_function *row,
                        const struct sql_call *call)
{
    if (row->write)
        return row->write(w, call, w->e);
    if (row->print)
        return write_by_template(w, row, call, row->print);
    char print[128];
    int n = snprintf(print, sizeof(print), "%s($*)", row->name);
    str_settle(print, n, sizeof(print));
    for (char *c = print; *c; c++)
        *c = *c >= 'A' && *c <= 'Z' ? (char)(*c + 32) : *c;
    return write_by_template(w, row, call, print);
}

int write_row(struct sql_writer *w, const char *name, const struct expr *at,
              struct expr *const *item, uint32_t count)
{
    const struct sql_function *any, *row = sql_operator_find(str_of(name), count);
    struct sql_call call = { .expr = at, .item = item, .count = count };

    if (!row)
        row = sql_function_find(str_of(name), count, &any);
    if (!row)
        return write_refuse(w, at->at, "%s is not supported", name);
    return write_by_row(w, row, &call);
}

/* ---- Calls of functions ---- */

/* "No matching signature ...", in BigQuery's words: the row has its signatures, separated by ";". */
static int no_match(struct sql_writer *w, const struct expr *x, const struct sql_function *any)
{
    struct buf text = BUF_INIT(ERROR_MSG_BYTES);
    struct str rest = str_of(any->signature ? any->signature : ""), signature;
    struct bq_field type;

    buf_addf(&text, "No matching signature for function %s", any->name);
    if (!x->count)
        buf_add_c(&text, " with no arguments");
    else
        buf_add_c(&text, "\n  Argument types: ");
    for (uint32_t i = 0; i < x->count; i++) {
        buf_add_c(&text, i ? ", " : "");
        if (infer_type(w, x->item[i], &type))
            bq_field_sql(&text, &type);
        else
            buf_add_c(&text, "?");
    }
    while (str_next(&rest, ';', &signature)) {
        bool few = x->count < any->min;
        uint32_t bound = few ? any->min : any->max;
        buf_addf(
            &text,
            "\n  Signature: %.*s\n    Signature requires at %s %u argument%s, found %u argument%s",
            STR_ARG(str_trim(signature)), few ? "least" : "most", bound, bound == 1 ? "" : "s",
            x->count, x->count == 1 ? "" : "s");
    }
    write_fail(w, x->at, "%.*s", STR_ARG(buf_str(&text)));
    buf_release(&text);
    return -1;
}

/* A call may have only what its row allows. */
static int check_call(struct sql_writer *w, const struct expr *x, const struct sql_function *row)
{
    const struct call *c = x->call;
    bool aggregate = row->flags & SQL_AGGREGATE, window = row->flags & SQL_WINDOW;

    if (c->windowed && ((!aggregate && !window) || row->flags & SQL_NO_OVER))
        return write_fail(w, x->at, "%s function %s does not support an OVER clause",
                          aggregate ? "Aggregate" : "Scalar", row->name);
    if (window && !aggregate && !c->windowed)
        return write_fail(w, x->at, "Analytic function %s cannot be called without an OVER clause",
                          row->name);
    if (!aggregate && (c->distinct || c->star))
        return write_fail(w, x->at, "Non-aggregate function %s cannot be called with %s", row->name,
                          c->star ? "*" : "DISTINCT");
    if (row->write)
        return 0; /* the writer says what else it takes */
    if (c->order_count && !(row->flags & SQL_ORDER))
        return write_fail(w, x->at, "Function %s does not support ORDER BY in arguments",
                          row->name);
    if (c->limit)
        return write_fail(w, x->at, "Function %s does not support LIMIT in arguments", row->name);
    if (c->having)
        return write_refuse(w, x->at, "%s with HAVING is not supported", row->name);
    if ((c->ignore_nulls || c->respect_nulls) &&
        !(row->flags & (SQL_IGNORE_NULLS | SQL_NULLS_KEPT)))
        return write_fail(
            w, x->at,
            "IGNORE NULLS and RESPECT NULLS in arguments are not allowed for function "
            "%s",
            row->name);
    if (c->argument_name && !(row->flags & SQL_NAMED))
        return write_fail(w, x->at, "Named arguments are not supported for function %s", row->name);
    return 0;
}

/* SAFE.f(x): a bq_ function has a twin that gives NULL for its own errors; all else is tried. */
static int write_safe(struct sql_writer *w, const struct expr *x, const struct sql_function *row,
                      const struct sql_call *call)
{
    size_t mark = write_mark(w);

    if (row->flags & (SQL_AGGREGATE | SQL_WINDOW | SQL_NO_SAFE))
        return write_fail(w, x->at, "Function %s does not support SAFE error mode", row->name);
    if (write_by_row(w, row, call) < 0)
        return -1;
    struct str text = write_take(w, mark);
    if (str_starts(text, STR("bq_")))
        buf_addf(&w->out, "bq_safe_%.*s", STR_ARG(str_sub(text, 3, SIZE_MAX)));
    else
        buf_addf(&w->out, "TRY(%.*s)", STR_ARG(text));
    return 0;
}

static int write_built_in(struct sql_writer *w, const struct expr *x)
{
    const struct call *c = x->call;
    uint32_t by_place = x->count;
    const struct sql_function *any, *row;
    struct sql_call call = { .expr = x, .item = x->item, .count = x->count, .call = c };

    for (uint32_t i = 0; c->argument_name && i < x->count; i++)
        by_place -= c->argument_name[i].len > 0;
    if (c->star && sql_word_is(c->name, "COUNT") && !x->count && !c->distinct) {
        buf_add_c(&w->out, "count(*)");
        return sql_write_over(w, &call, w->e);
    }
    row = sql_function_find(c->name, by_place, &any);
    if (!row && any)
        return no_match(w, x, any);
    if (!row) {
        struct str written = str_sub(w->text, x->at, x->end - x->at);
        size_t bracket = str_find(written, STR("("));
        return write_fail(w, x->at, "Function not found: %.*s",
                          STR_ARG(str_sub(written, 0, bracket)));
    }
    if (check_call(w, x, row) < 0)
        return -1;
    return c->safe ? write_safe(w, x, row, &call) : write_by_row(w, row, &call);
}

/* ---- A script's own functions ---- */

static const struct function_def *find_function(const struct sql_writer *w, struct str name,
                                                uint32_t *visible)
{
    uint32_t count = w->frame ? w->frame->visible : w->inner->function_count;

    for (uint32_t i = count; i > 0; i--)
        if (same_name(w->inner->function[i - 1]->name, name)) {
            *visible = i - 1;
            return w->inner->function[i - 1];
        }
    return NULL;
}

/* The text of each argument, as the caller's names mean it. */
static int print_arguments(struct sql_writer *w, const struct expr *x, const struct function_def *f,
                           struct frame *frame)
{
    frame->argument = arena_array(w->arena, x->count, sizeof(*frame->argument));
    frame->count = x->count;
    for (uint32_t i = 0; i < x->count; i++) {
        size_t mark = write_mark(w);
        bool typed = f->argument[i].type != BQ_TYPE_COUNT;
        buf_add_c(&w->out, "(");
        if (typed ? write_as(w, x->item[i], &f->argument[i]) < 0 : write_expr(w, x->item[i]) < 0)
            return -1;
        buf_add_c(&w->out, ")");
        frame->argument[i] = (struct argument){ f->argument[i].name, write_take(w, mark) };
    }
    return 0;
}

static int write_function(struct sql_writer *w, const struct expr *x, const struct function_def *f,
                          uint32_t visible)
{
    struct frame *frame = arena_alloc(w->arena, sizeof(*frame));

    *frame = (struct frame){ .outer = w->frame, .visible = visible };
    if (x->count != f->argument_count)
        return write_fail(w, x->at, "Number of arguments does not match for function %.*s",
                          STR_ARG(f->name));
    if (x->call->windowed || x->call->distinct || x->call->star || x->call->argument_name)
        return write_refuse(w, x->at,
                            "OVER, DISTINCT and names of arguments are not supported for "
                            "functions of a script");
    if (w->frames >= SQL_FUNCTION_CALLS_MAX)
        return write_fail(w, x->at, "More than %d functions call each other",
                          SQL_FUNCTION_CALLS_MAX);
    if (print_arguments(w, x, f, frame) < 0)
        return -1;
    buf_add_c(&w->out, x->call->safe ? "TRY(" : "(");
    w->frame = frame;
    w->frames++;
    int rc = f->result ? write_as(w, f->body, f->result) : write_expr(w, f->body);
    w->frames--;
    w->frame = frame->outer;
    buf_add_c(&w->out, ")");
    return rc;
}

int write_call(struct sql_writer *w, const struct expr *x)
{
    uint32_t visible;
    const struct function_def *f = find_function(w, x->call->name, &visible);

    return f ? write_function(w, x, f, visible) : write_built_in(w, x);
}
