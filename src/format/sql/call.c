/* call.c -- function.h: what the writers of calls ask of a call and print of it; orders and windows. */
#include <stdarg.h>
#include <stdio.h>

#include "format/sql/lexer.h"
#include "format/sql/write.h"

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

bool sql_call_text(struct sql_writer *w, const struct sql_call *call, uint32_t i)
{
    struct bq_field type;

    return infer_type(w, call->item[i], &type) && type.mode != BQ_REPEATED &&
           (type.type == BQ_STRING || type.type == BQ_BYTES);
}

/* DAY is read as a name and WEEK(MONDAY) as a call. NULL: it is not a date part. */
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

struct str call_unit(const struct expr *x)
{
    return x->kind == EXPR_INTERVAL ? x->text : str_of(part_of(x));
}

bool sql_call_part(const struct sql_call *call, uint32_t i, struct str *out)
{
    const char *part = i < call->count ? part_of(call->item[i]) : NULL;

    *out = str_of(part);
    return part;
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

bool sql_call_has_limit(const struct sql_call *call)
{
    return call->call && call->call->limit;
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
    if (!call->call || !call->call->order_count)
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
    if (!call->call || !call->call->windowed)
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
