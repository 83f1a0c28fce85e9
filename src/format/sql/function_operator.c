/* function_operator.c -- see function.h: operators, subscripts, casts and EXTRACT as rows. Their names hold signs and
 * spaces, so no call can reach them. */
#include "format/sql/function.h"

#include "base/mem.h"

/* Could the literal be a NUMERIC? It has no exponent and few digits. */
static bool numeric_literal(const struct sql_call *call, uint32_t i, struct str *text)
{
    enum { DIGITS_MAX = 20 };

    return sql_call_float(call, i, text) && text->len <= DIGITS_MAX &&
           str_find(*text, STR("e")) == SIZE_MAX && str_find(*text, STR("E")) == SIZE_MAX;
}

static void write_both(struct sql_writer *w, struct str literal)
{
    sql_write_text(w, "CAST(");
    sql_write_string(w, literal);
    sql_write_text(w, " AS DOUBLE), CAST(");
    sql_write_string(w, literal);
    sql_write_text(w, " AS DECIMAL(38,9))");
}

/* 1.5 beside a NUMERIC is a NUMERIC, beside anything else a FLOAT64: DuckDB gets both and chooses. */
static int write_arithmetic(struct sql_writer *w, const struct sql_call *call, const char *function,
                            struct error *e)
{
    struct str left, right;
    bool is_left = numeric_literal(call, 0, &left), is_right = numeric_literal(call, 1, &right);

    sql_write_text(w, is_left && !is_right ? "bq_literal_" : "bq_");
    sql_write_text(w, function);
    sql_write_text(w, is_right && !is_left ? "_literal(" : "(");
    if (is_left && !is_right)
        write_both(w, left);
    else if (sql_write_argument(w, call, 0, e) < 0)
        return -1;
    sql_write_text(w, ", ");
    if (is_right && !is_left)
        write_both(w, right);
    else if (sql_write_argument(w, call, 1, e) < 0)
        return -1;
    sql_write_text(w, ")");
    return 0;
}

static int write_add(struct sql_writer *w, const struct sql_call *call, struct error *e)
{
    return write_arithmetic(w, call, "add", e);
}

static int write_subtract(struct sql_writer *w, const struct sql_call *call, struct error *e)
{
    return write_arithmetic(w, call, "subtract", e);
}

static int write_multiply(struct sql_writer *w, const struct sql_call *call, struct error *e)
{
    return write_arithmetic(w, call, "multiply", e);
}

static int write_divide(struct sql_writer *w, const struct sql_call *call, struct error *e)
{
    return write_arithmetic(w, call, "divide", e);
}

/* EXTRACT(DATE FROM x) gives a DATE, EXTRACT(YEAR FROM x) a number. */
static int write_extract(struct sql_writer *w, const struct sql_call *call, struct error *e)
{
    struct str part;

    if (sql_call_part(call, 1, &part)) {
        if (str_eq(part, STR("DATE")))
            return sql_write_template(w, call, "bq_date($1$3*)", e);
        if (str_eq(part, STR("DATETIME")))
            return sql_write_template(w, call, "bq_datetime($1$3*)", e);
        if (str_eq(part, STR("TIME")))
            return sql_write_template(w, call, "bq_time($1$3*)", e);
    }
    return sql_write_template(w, call, "bq_extract($1, $2u$3*)", e);
}

/* Texts are joined by a function of ours; arrays, and values whose type is not known here, with a check before. */
static int write_concat(struct sql_writer *w, const struct sql_call *call, struct error *e)
{
    return sql_call_text(w, call, 1) || sql_call_text(w, call, 0)
               ? sql_write_template(w, call, "bq_concat($1, $2)", e)
               : sql_write_template(w, call, SQL_JOINED("$1", "$2", "_j.a || _j.b"), e);
}

/* BigQuery's rule: true when the value is there, else NULL when it or an element is NULL. */
#define IN_UNNEST                                                                                  \
    "CASE WHEN coalesce(len($2), 0) = 0 THEN false WHEN $1 IS NULL THEN NULL"                      \
    " WHEN list_contains($2, $1) THEN true WHEN list_count($2) < len($2) THEN NULL ELSE false END"

// clang-format off
#define PLAIN(name, count, print) { name, count, count, 0, print, NULL, NULL }
#define CAST_ROWS(type, function)                              \
    PLAIN("CAST " type, 1, "bq_cast_" function "($1)"),        \
    PLAIN("SAFE_CAST " type, 1, "bq_safe_cast_" function "($1)")
static const struct sql_function rows[] = {
    { "+", 2, 2, 0, NULL, write_add, NULL },
    { "-", 2, 2, 0, NULL, write_subtract, NULL },
    { "*", 2, 2, 0, NULL, write_multiply, NULL },
    { "/", 2, 2, 0, NULL, write_divide, NULL },
    PLAIN("- X", 1, "bq_negate($1)"),
    { "||", 2, 2, 0, NULL, write_concat, NULL },
    PLAIN("&", 2, "bq_bit_and($1, $2)"),
    PLAIN("|", 2, "bq_bit_or($1, $2)"),
    PLAIN("^", 2, "bq_bit_xor($1, $2)"),
    PLAIN("~", 1, "bq_bit_not($1)"),
    PLAIN("<<", 2, "bq_shift_left($1, $2)"),
    PLAIN(">>", 2, "bq_shift_right($1, $2)"),
    PLAIN("=", 2, "($1 = $2)"),
    PLAIN("<>", 2, "($1 <> $2)"),
    PLAIN("<", 2, "($1 < $2)"),
    PLAIN("<=", 2, "($1 <= $2)"),
    PLAIN(">", 2, "($1 > $2)"),
    PLAIN(">=", 2, "($1 >= $2)"),
    PLAIN("LIKE", 2, "($1 LIKE $2 ESCAPE '\\')"),
    PLAIN("IS DISTINCT FROM", 2, "($1 IS DISTINCT FROM $2)"),
    PLAIN("IN UNNEST", 2, IN_UNNEST),
    PLAIN("[OFFSET]", 2, "($1)[bq_offset($2, len($1))]"),
    PLAIN("[ORDINAL]", 2, "($1)[bq_ordinal($2, len($1))]"),
    PLAIN("[SAFE_OFFSET]", 2, "($1)[bq_safe_offset($2, len($1))]"),
    PLAIN("[SAFE_ORDINAL]", 2, "($1)[bq_safe_ordinal($2, len($1))]"),
    PLAIN("JSON FIELD", 2, "bq_json_field($1, $2)"),
    PLAIN("JSON ELEMENT", 2, "bq_json_element($1, $2)"),
    { "EXTRACT", 2, 3, SQL_PART, NULL, write_extract, NULL },
    PLAIN("INTERVAL", 1, "bq_interval($1v, $1u)"),
    CAST_ROWS("INT64", "int64"),
    CAST_ROWS("FLOAT64", "float64"),
    CAST_ROWS("BOOL", "bool"),
    CAST_ROWS("STRING", "string"),
    CAST_ROWS("BYTES", "bytes"),
    CAST_ROWS("NUMERIC", "numeric"),
    CAST_ROWS("BIGNUMERIC", "bignumeric"),
    CAST_ROWS("DATE", "date"),
    CAST_ROWS("DATETIME", "datetime"),
    CAST_ROWS("TIME", "time"),
    CAST_ROWS("TIMESTAMP", "timestamp"),
    CAST_ROWS("INTERVAL", "interval"),
    PLAIN("CAST ZONE STRING", 2, "bq_cast_string($1, $2)"),
    PLAIN("SAFE_CAST ZONE STRING", 2, "bq_safe_cast_string($1, $2)"),
    PLAIN("CAST ZONE TIMESTAMP", 2, "bq_cast_timestamp($1, $2)"),
    PLAIN("SAFE_CAST ZONE TIMESTAMP", 2, "bq_safe_cast_timestamp($1, $2)"),
};
// clang-format on

const struct sql_function_group sql_functions_operator = { "operators", rows, ARRAY_LEN(rows) };
