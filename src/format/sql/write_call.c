/* write_call.c -- see write.h and function.h: calls by the rows of the table of functions, a script's own functions,
 * windows. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "format/sql/lexer.h"
#include "format/sql/write.h"

/* ---- What writers of calls ask (function.h) ---- */

uint32_t sql_call_count(const struct sql_call *call)
{
    return call->count;
}

uint32_t sql_call_places(const struct sql_call *call)
{
    uint32_t n = 0;

    while (n < call->count &&
           !(call->call && call->call->argument_name && call->call->argument_name[n].len))
        n++;
    return n;
}

bool sql_call_word(const struct sql_call *call, uint32_t i, struct str *out)
{
    if (i >= call->count || call->item[i]->kind != EXPR_NAME)
        return false;
    *out = call->item[i]->text;
    return true;
}

bool sql_call_string(const struct sql_call *call, uint32_t i, struct str *out)
{
    if (i >= call->count || call->item[i]->kind != EXPR_STRING)
        return false;
    *out = call->item[i]->text;
    return true;
}

bool sql_call_integer(const struct sql_call *call, uint32_t i, int64_t *out)
{
    uint64_t value;

    if (i >= call->count || call->item[i]->kind != EXPR_INTEGER)
        return false;
    struct str text = call->item[i]->text;
    bool minus = text.p[0] == '-';
    if (!str_number(str_sub(text, minus, SIZE_MAX), &value))
        return false;
    *out = minus ? (int64_t)(0 - value) : (int64_t)value;
    return true;
}

bool sql_call_float(const struct sql_call *call, uint32_t i, struct str *text)
{
    if (i >= call->count || call->item[i]->kind != EXPR_FLOAT)
        return false;
    *text = call->item[i]->text;
    return true;
}

bool sql_call_null(const struct sql_call *call, uint32_t i)
{
    return i < call->count && call->item[i]->kind == EXPR_NULL;
}

/* DAY is read as a name and WEEK(MONDAY) as a call. NULL: it is no date part. */
static const char *part_of(const struct expr *x)
{
    static const char *const words[] = {
        "MICROSECOND",    "MILLISECOND",
        "SECOND",         "MINUTE",
        "HOUR",           "DAY",
        "WEEK",           "ISOWEEK",
        "MONTH",          "QUARTER",
        "YEAR",           "ISOYEAR",
        "DAYOFWEEK",      "DAYOFYEAR",
        "DATE",           "TIME",
        "DATETIME",       "NANOSECOND",
        "WEEK(SUNDAY)",   "WEEK(MONDAY)",
        "WEEK(TUESDAY)",  "WEEK(WEDNESDAY)",
        "WEEK(THURSDAY)", "WEEK(FRIDAY)",
        "WEEK(SATURDAY)",
    };
    char text[32] = "";
    int n = 0;

    if (x->kind == EXPR_PART || x->kind == EXPR_NAME)
        n = snprintf(text, sizeof(text), "%.*s", STR_ARG(x->text));
    else if (x->kind == EXPR_CALL && x->count == 1 && x->item[0]->kind == EXPR_NAME)
        n = snprintf(text, sizeof(text), "%.*s(%.*s)", STR_ARG(x->call->name),
                     STR_ARG(x->item[0]->text));
    str_settle(text, n, sizeof(text));
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (sql_word_is(str_of(text), words[i]))
            return words[i];
    return NULL;
}

/* A date part, or an INTERVAL's; empty: it is neither. */
static struct str unit_of(const struct expr *x)
{
    return x->kind == EXPR_INTERVAL ? x->text : str_of(part_of(x));
}

bool sql_call_part(const struct sql_call *call, uint32_t i, struct str *out)
{
    const char *part = i < call->count ? part_of(call->item[i]) : NULL;

    *out = str_of(part);
    return part;
}

bool sql_call_interval(const struct sql_call *call, uint32_t i)
{
    return i < call->count && call->item[i]->kind == EXPR_INTERVAL;
}

bool sql_call_named(const struct sql_call *call, const char *name, uint32_t *i)
{
    const struct str *names = call->call ? call->call->argument_name : NULL;

    for (uint32_t n = 0; names && n < call->count; n++)
        if (names[n].len && same_name(names[n], str_of(name))) {
            *i = n;
            return true;
        }
    return false;
}

int sql_call_fail(const struct sql_writer *w, const struct sql_call *call, struct error *e,
                  const char *fmt, ...)
{
    char message[ERROR_MSG_BYTES];
    va_list args;

    va_start(args, fmt);
    int n = vsnprintf(message, sizeof(message), fmt, args);
    va_end(args);
    str_settle(message, n, sizeof(message));
    return sql_fail(e, ERROR_INVALID_ARGUMENT, w->text, call->expr->at, "%s", message);
}

bool sql_call_distinct(const struct sql_call *call)
{
    return call->call && call->call->distinct;
}

bool sql_call_ignores_nulls(const struct sql_call *call)
{
    return call->call && call->call->ignore_nulls;
}

bool sql_call_has_order(const struct sql_call *call)
{
    return call->call && call->call->order_count;
}

bool sql_call_has_limit(const struct sql_call *call)
{
    return call->call && call->call->limit;
}

bool sql_call_has_over(const struct sql_call *call)
{
    return call->call && call->call->windowed;
}

bool sql_call_having(const struct sql_call *call, bool *max)
{
    if (!call->call || !call->call->having)
        return false;
    *max = call->call->having_max;
    return true;
}

int sql_write_argument(struct sql_writer *w, const struct sql_call *call, uint32_t i,
                       struct error *e)
{
    if (i >= call->count)
        return sql_call_fail(w, call, e, "Argument %u is missing", i + 1);
    return write_expr(w, call->item[i]);
}

int sql_write_order(struct sql_writer *w, const struct sql_call *call, struct error *e)
{
    (void)e; /* is w->e */
    if (!sql_call_has_order(call))
        return 0;
    buf_add_c(&w->out, " ");
    return write_orders(w, call->call->order, call->call->order_count);
}

int sql_write_limit(struct sql_writer *w, const struct sql_call *call, struct error *e)
{
    (void)e;
    return write_expr(w, call->call->limit);
}

int sql_write_having(struct sql_writer *w, const struct sql_call *call, struct error *e)
{
    (void)e;
    return write_expr(w, call->call->having);
}

int sql_write_over(struct sql_writer *w, const struct sql_call *call, struct error *e)
{
    (void)e;
    if (call->call && call->call->where) {
        buf_add_c(&w->out, " FILTER (WHERE ");
        if (write_expr(w, call->call->where) < 0)
            return -1;
        buf_add_c(&w->out, ")");
    }
    if (!sql_call_has_over(call))
        return 0;
    buf_add_c(&w->out, " OVER ");
    if (!call->call->window_named)
        return write_window(w, &call->call->window);
    write_name(w, call->call->window.base);
    return 0;
}

/* ---- Windows and orders ---- */

/* BigQuery has NULLs first in ascending order. It is said, whatever the engine's setting is. */
int write_orders(struct sql_writer *w, const struct order *order, uint32_t count)
{
    buf_add_c(&w->out, "ORDER BY ");
    for (uint32_t i = 0; i < count; i++) {
        bool first = order[i].nulls_said ? order[i].nulls_first : !order[i].descending;
        buf_add_c(&w->out, i ? ", " : "");
        if (write_expr(w, order[i].key) < 0)
            return -1;
        buf_addf(&w->out, "%s NULLS %s", order[i].descending ? " DESC" : "",
                 first ? "FIRST" : "LAST");
    }
    return 0;
}

static int write_bound(struct sql_writer *w, enum frame_bound bound, const struct expr *value)
{
    static const char *const texts[] = {
        [FRAME_UNBOUNDED_BEFORE] = "UNBOUNDED PRECEDING",
        [FRAME_BEFORE] = " PRECEDING",
        [FRAME_CURRENT] = "CURRENT ROW",
        [FRAME_AFTER] = " FOLLOWING",
        [FRAME_UNBOUNDED_AFTER] = "UNBOUNDED FOLLOWING",
    };

    if (value && write_expr(w, value) < 0)
        return -1;
    buf_add_c(&w->out, texts[bound]);
    return 0;
}

int write_window(struct sql_writer *w, const struct window *win)
{
    const char *space = "";

    buf_add_c(&w->out, "(");
    if (win->base.len) {
        write_name(w, win->base);
        space = " ";
    }
    for (uint32_t i = 0; i < win->partition_count; i++) {
        buf_addf(&w->out, "%s", i ? ", " : space);
        buf_add_c(&w->out, i ? "" : "PARTITION BY ");
        if (write_expr(w, win->partition[i]) < 0)
            return -1;
        space = " ";
    }
    if (win->order_count) {
        buf_add_c(&w->out, space);
        if (write_orders(w, win->order, win->order_count) < 0)
            return -1;
        space = " ";
    }
    if (win->framed) {
        buf_addf(&w->out, "%s%s BETWEEN ", space, win->range ? "RANGE" : "ROWS");
        if (write_bound(w, win->from, win->from_value) < 0)
            return -1;
        buf_add_c(&w->out, " AND ");
        if (write_bound(w, win->to, win->to_value) < 0)
            return -1;
    }
    buf_add_c(&w->out, ")");
    return 0;
}

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
        if (!unit_of(call->item[i]).len)
            return write_fail(w, call->item[i]->at, "A valid date part name is required");
        sql_write_string(w, unit_of(call->item[i]));
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

/* What an aggregate has within its brackets, behind its arguments. */
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
    const struct sql_function *any, *row = sql_function_find(str_of(name), count, &any);
    struct sql_call call = { .expr = at, .item = item, .count = count };

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

/* What a call has must be what its row allows. */
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
    struct frame frame = { .outer = w->frame, .visible = visible };

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
    if (print_arguments(w, x, f, &frame) < 0)
        return -1;
    buf_add_c(&w->out, x->call->safe ? "TRY(" : "(");
    w->frame = &frame;
    w->frames++;
    int rc = f->result ? write_as(w, f->body, f->result) : write_expr(w, f->body);
    w->frames--;
    w->frame = frame.outer;
    buf_add_c(&w->out, ")");
    return rc;
}

int write_call(struct sql_writer *w, const struct expr *x)
{
    uint32_t visible;
    const struct function_def *f = find_function(w, x->call->name, &visible);

    return f ? write_function(w, x, f, visible) : write_built_in(w, x);
}
