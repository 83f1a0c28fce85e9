/* function.h -- the table of GoogleSQL's functions: what may be called, and how it is printed for DuckDB.
 *
 * Why: a call passes only if a row of this table takes its name and number of arguments, so the table is part
 * of the wall (sql.h). Each group is a file function_GROUP.c with one array of rows.
 *
 * Shape:   rows are sorted as one likes; a name may have several rows with different numbers of arguments.
 *          `print` is a template:
 *              $1 .. $9   an argument as an expression        $*   all of them, separated by ", "
 *              $2*        the second and all after it, each with ", " before it (nothing when there are none)
 *              $2u        the unit of an INTERVAL, or a date part, as a text: 'DAY', 'WEEK(MONDAY)'
 *              $2v        the number of an INTERVAL
 *              $$         a dollar sign
 *          NULL means the same name in lower case with all arguments.
 *          `write` instead prints a call in code, by the helpers below.
 *          An aggregate's template is the call alone, such as "sum($1)"; DISTINCT, ORDER BY, IGNORE NULLS, LIMIT,
 *          FILTER and OVER are printed around and in it by the writer: they go inside the last bracket or behind
 *          it. "CAST(sum($1) AS BIGINT)": mark the bracket that takes them with $|: "CAST(sum($1$|) AS BIGINT)",
 *          and the place of FILTER and OVER with $^: "CAST(sum($1$|)$^ AS BIGINT)".
 * Errors:  a writer sets them with sql_call_fail, which adds the position.
 */
#ifndef TRANCHE_FORMAT_SQL_FUNCTION_H
#define TRANCHE_FORMAT_SQL_FUNCTION_H

#include "base/error.h"
#include "base/str.h"

struct sql_writer; /* the output so far, and the scopes */
struct sql_call;   /* a call with its arguments */

#define SQL_ARGUMENTS_ANY 255

enum {
    SQL_AGGREGATE =
        1 << 0, /* may have DISTINCT, ORDER BY and so on; with OVER it is a window function */
    SQL_WINDOW = 1 << 1,       /* needs OVER: ROW_NUMBER, LAG */
    SQL_NO_SAFE = 1 << 2,      /* SAFE.f is refused (not said of aggregates: always) */
    SQL_IGNORE_NULLS = 1 << 3, /* may have IGNORE NULLS or RESPECT NULLS */
    SQL_ORDER = 1 << 4,        /* may have ORDER BY and LIMIT inside */
    SQL_PART = 1 << 5,         /* the last or second argument is a date part: DAY, WEEK(MONDAY) */
    SQL_NULLS_KEPT =
        1 << 6,           /* IGNORE NULLS is printed as FILTER (WHERE x IS NOT NULL): ARRAY_AGG */
    SQL_NO_OVER = 1 << 7, /* OVER is refused */
    SQL_NAMED = 1 << 8 /* takes named arguments (name => value); the writer function reads them */
};

struct sql_function {
    const char *name; /* upper case, with its dots: "NET.HOST" */
    uint8_t min, max; /* arguments without the named ones; max SQL_ARGUMENTS_ANY: no bound */
    uint16_t flags;
    const char *print;
    int (*write)(struct sql_writer *w, const struct sql_call *call, struct error *e);
    const char
        *signature; /* as BigQuery's error names it: "SUBSTR(STRING, INT64, [INT64])"; NULL: none */
};

struct sql_function_group {
    const char *name; /* for the documentation */
    const struct sql_function *function;
    uint32_t count;
};
/* The groups, which function.c lists. */
extern const struct sql_function_group
    sql_functions_operator; /* "+", "/", "||": see function_operator.c */
extern const struct sql_function_group sql_functions_general, sql_functions_string,
    sql_functions_math, sql_functions_time, sql_functions_json, sql_functions_array,
    sql_functions_aggregate;

/* The row for a call. NULL: no such function, or none with that many arguments (*any says which). */
const struct sql_function *sql_function_find(struct str name, uint32_t arguments,
                                             const struct sql_function **any);
/* The row of an operator, a cast or another syntax of its own, which no call can name. */
const struct sql_function *sql_operator_find(struct str name, uint32_t arguments);

/* ---- For `write` ---- */

uint32_t sql_call_count(const struct sql_call *call);
/* Arguments without a name, which stand before those with one. */
uint32_t sql_call_places(const struct sql_call *call);
void sql_write_text(struct sql_writer *w, const char *text);
void sql_write_string(struct sql_writer *w, struct str text); /* as a literal: 'it''s' */
/* Prints argument i (from 0) as an expression. */
int sql_write_argument(struct sql_writer *w, const struct sql_call *call, uint32_t i,
                       struct error *e) FALLIBLE;
/* Prints by a template, as `print` is. */
int sql_write_template(struct sql_writer *w, const struct sql_call *call, const char *print,
                       struct error *e) FALLIBLE;
/* Argument i is a bare word such as NFC; *out is as written. */
bool sql_call_word(const struct sql_call *call, uint32_t i, struct str *out);
/* Argument i is a string literal; false: it is not. */
bool sql_call_string(const struct sql_call *call, uint32_t i, struct str *out);
/* Argument i is an integer literal. */
bool sql_call_integer(const struct sql_call *call, uint32_t i, int64_t *out);
/* Argument i is a floating point literal; *text is as written. */
bool sql_call_float(const struct sql_call *call, uint32_t i, struct str *text);
/* Argument i is known to be STRING or BYTES. */
bool sql_call_text(struct sql_writer *w, const struct sql_call *call, uint32_t i);
/* DuckDB's expression of two values a and b, once it is known that what they come to is within the limits. */
#define SQL_JOINED(a, b, expression)                                                               \
    "list_transform([{'a': " a ", 'b': " b                                                         \
    "}], lambda _j: CASE WHEN bq_joins(_j.a, _j.b) THEN " expression " END)[1]"
/* Argument i is a date part; *out is upper case: "DAY", "WEEK(MONDAY)". */
bool sql_call_part(const struct sql_call *call, uint32_t i, struct str *out);
/* The index for sql_write_argument of the argument NAME => value; false: there is none. */
bool sql_call_named(const struct sql_call *call, const char *name, uint32_t *i);
/* ---- For `write` of an aggregate, which prints all that the call has ---- */

bool sql_call_distinct(const struct sql_call *call);
bool sql_call_ignores_nulls(const struct sql_call *call);
bool sql_call_has_limit(const struct sql_call *call);
/* HAVING MAX or MIN; *max says which. */
bool sql_call_having(const struct sql_call *call, bool *max);
/* " ORDER BY x DESC NULLS LAST", or nothing. */
int sql_write_order(struct sql_writer *w, const struct sql_call *call, struct error *e) FALLIBLE;
/* The number of LIMIT; the key of HAVING. */
int sql_write_limit(struct sql_writer *w, const struct sql_call *call, struct error *e) FALLIBLE;
int sql_write_having(struct sql_writer *w, const struct sql_call *call, struct error *e) FALLIBLE;
/* " OVER (...)", or nothing; PIVOT has " FILTER (...)". */
int sql_write_over(struct sql_writer *w, const struct sql_call *call, struct error *e) FALLIBLE;

/* INVALID_ARGUMENT with the position of the call. Returns -1. */
int sql_call_fail(const struct sql_writer *w, const struct sql_call *call, struct error *e,
                  const char *fmt, ...) __attribute__((format(printf, 4, 5)));

#endif
