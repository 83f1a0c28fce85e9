/* call.h -- one call of a function by DuckDB: its arguments, its result, a row at a time. For this folder alone.
 *
 * Why: DuckDB calls with vectors of up to 2,048 rows. A function here is written for one row; the runner in
 * register.c walks the rows, knows NULL and ends at the first error.
 *
 * Shape:   a row of a table of functions is a name, its types, and the C function. Types are a letter each,
 *          arguments before ':', the result behind:
 *              B BOOL    I INT64     F FLOAT64   N NUMERIC    G BIGNUMERIC (text)
 *              S STRING  Y BYTES     J JSON      D DATE       T TIME
 *              M DATETIME            Z TIMESTAMP V INTERVAL   H HUGEINT (of DuckDB's own sums)
 *              R RANGE (text)        P GEOGRAPHY (text)       A anything
 *              L a literal STRING, where others would be of another type
 *              [I an array           S* any number of these, also none; must be last
 *          "SI:S" is f(STRING, INT64) -> STRING.
 * NULL:    a NULL argument makes the result NULL without a call, unless the row has FUNCTION_NULLS.
 */
#ifndef TRANCHE_STORE_TABLES_DUCKDB_FUNCTIONS_CALL_H
#define TRANCHE_STORE_TABLES_DUCKDB_FUNCTIONS_CALL_H

#include "base/mem.h"
#include "base/str.h"
#include "store/tables/duckdb/library/library.h"

__extension__ typedef __int128 int128;
__extension__ typedef unsigned __int128 uint128;

#define CALL_TEXT_MAX ((size_t)16 * 1024 * 1024) /* of one result: texts, bytes, JSON */
#define CALL_LIST_MAX                                                                              \
    ((size_t)16 * 1024 * 1024) /* elements of one result: BigQuery's is 16,000,000 */
/* A vector of rows has at most that much of results, texts and elements apart: it is whole before the engine looks at its
 * memory limit. */
#define CALL_VECTOR_MAX ((size_t)256 * 1024 * 1024)
#define CALL_REPLACED_MAX ((size_t)64 * 1024 * 1024) /* what one REGEXP_REPLACE may come to */
#define CALL_ERROR_BYTES 512

struct call_column {
    duckdb_vector vector;
    const void *data;
    const uint64_t *valid; /* NULL: all rows are */
};

struct call {
    const struct duckdb_library *duckdb;
    struct call_column *argument;
    uint32_t arguments;
    idx_t row;
    duckdb_vector result;
    void *out;                  /* data of result */
    struct call_column element; /* of a list as the result: where elements go */
    idx_t elements;             /* in it so far */
    size_t text_bytes;          /* of the vector's results so far */
    struct buf text;            /* scratch of a row */
    struct arena arena;         /* scratch of a row */
    char error[CALL_ERROR_BYTES];
};

/* A function's result: its value is written, it is NULL, or c->error has the message. */
enum call_outcome { CALL_VALUE, CALL_NULL, CALL_ERROR };

enum { FUNCTION_NULLS = 1, FUNCTION_VOLATILE = 2 };
struct function {
    const char *name, *types;
    enum call_outcome (*run)(struct call *c);
    unsigned flags;
};
struct function_table {
    const struct function *function;
    size_t count;
};
#define FUNCTION_TABLE(array)                                                                      \
    {                                                                                              \
        array, ARRAY_LEN(array)                                                                    \
    }

extern const struct function_table functions_arithmetic, functions_math, functions_text,
    functions_text_find, functions_bytes, functions_cast, functions_time_add, functions_time_trunc,
    functions_time_make, functions_interval, functions_time_format, functions_time_parse,
    functions_json, functions_json_change, functions_format, functions_list, functions_net;

/* ---- Arguments ---- */

static inline bool column_valid(const struct call_column *column, idx_t row)
{
    return !column->valid || (column->valid[row / 64] >> (row % 64) & 1);
}

static inline bool arg_null(const struct call *c, uint32_t i)
{
    return !column_valid(&c->argument[i], c->row);
}

static inline bool arg_bool(const struct call *c, uint32_t i)
{
    return ((const bool *)c->argument[i].data)[c->row];
}

static inline int64_t arg_int(const struct call *c, uint32_t i)
{
    return ((const int64_t *)c->argument[i].data)[c->row];
}

static inline double arg_float(const struct call *c, uint32_t i)
{
    return ((const double *)c->argument[i].data)[c->row];
}

/* NUMERIC as a count of 10^-9; HUGEINT as itself. */
static inline int128 arg_numeric(const struct call *c, uint32_t i)
{
    return ((const int128 *)c->argument[i].data)[c->row];
}

static inline int64_t arg_date(const struct call *c, uint32_t i)
{
    return ((const int32_t *)c->argument[i].data)[c->row];
}

static inline duckdb_interval arg_interval(const struct call *c, uint32_t i)
{
    return ((const duckdb_interval *)c->argument[i].data)[c->row];
}

static inline struct str text_at(const void *data, idx_t row)
{
    const duckdb_string_t *s = (const duckdb_string_t *)data + row;
    uint32_t len = s->value.inlined.length;

    return (struct str){ len <= sizeof s->value.inlined.inlined ? s->value.inlined.inlined
                                                                : s->value.pointer.ptr,
                         len };
}

static inline struct str arg_text(const struct call *c, uint32_t i)
{
    return text_at(c->argument[i].data, c->row);
}

/* White space of ASCII. */
static inline bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* An array: its elements are rows `at` to `at + count` of a column. */
struct call_list {
    struct call_column column;
    idx_t at, count;
};
struct call_list arg_list(const struct call *c, uint32_t i);
struct call_column column_of(const struct duckdb_library *d, duckdb_vector v);

/* ---- Results ---- */

static inline enum call_outcome out_bool(struct call *c, bool v)
{
    ((bool *)c->out)[c->row] = v;
    return CALL_VALUE;
}

static inline enum call_outcome out_int(struct call *c, int64_t v)
{
    ((int64_t *)c->out)[c->row] = v;
    return CALL_VALUE;
}

static inline enum call_outcome out_float(struct call *c, double v)
{
    ((double *)c->out)[c->row] = v;
    return CALL_VALUE;
}

static inline enum call_outcome out_numeric(struct call *c, int128 v)
{
    ((int128 *)c->out)[c->row] = v;
    return CALL_VALUE;
}

static inline enum call_outcome out_date(struct call *c, int64_t days)
{
    ((int32_t *)c->out)[c->row] = (int32_t)days;
    return CALL_VALUE;
}

static inline enum call_outcome out_interval(struct call *c, duckdb_interval v)
{
    ((duckdb_interval *)c->out)[c->row] = v;
    return CALL_VALUE;
}

/* STRING (must be UTF-8), BYTES, JSON. Too long is an error. */
enum call_outcome out_text(struct call *c, struct str text);
/* c->text as the value. */
enum call_outcome out_buffer(struct call *c);

/* An array: begin, then an element each, then end. */
void list_begin(struct call *c);
bool list_add_text(struct call *c, struct str text); /* false: too many; the error is set */
bool list_add_int(struct call *c, int64_t v);
bool list_add_float(struct call *c, double v);
bool list_add_numeric(struct call *c, int128 v);
bool list_add_date(struct call *c, int64_t days);
bool list_add_null(struct call *c);
enum call_outcome list_end(struct call *c);

/* Sets the error. Returns CALL_ERROR. */
bool call_takes(struct call *c, size_t bytes);
enum call_outcome call_refuse(struct call *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#endif
