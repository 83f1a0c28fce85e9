/* function_math.c -- see function.h: functions on numbers and bits. */
#include "format/sql/function.h"

#include "base/mem.h"

// clang-format off
#define PLAIN(name, min, max, print) { name, min, max, 0, print, NULL, NULL }
#define ONE(name, function) { name, 1, 1, 0, "bq_" function "($1)", NULL, NULL }
static const struct sql_function rows[] = {
    ONE("ABS", "abs"), ONE("SIGN", "sign"), ONE("IS_INF", "is_inf"), ONE("IS_NAN", "is_nan"),
    PLAIN("IEEE_DIVIDE", 2, 2, "bq_ieee_divide($1, $2)"),
    PLAIN("RAND", 0, 0, "random()"),
    ONE("SQRT", "sqrt"), ONE("CBRT", "cbrt"), ONE("EXP", "exp"), ONE("LN", "ln"),
    PLAIN("LOG", 1, 2, "bq_log($*)"),
    ONE("LOG10", "log10"),
    PLAIN("POW", 2, 2, "bq_pow($1, $2)"), PLAIN("POWER", 2, 2, "bq_pow($1, $2)"),
    PLAIN("GREATEST", 1, SQL_ARGUMENTS_ANY, "bq_greatest($*)"),
    PLAIN("LEAST", 1, SQL_ARGUMENTS_ANY, "bq_least($*)"),
    PLAIN("DIV", 2, 2, "bq_div($1, $2)"), PLAIN("MOD", 2, 2, "bq_mod($1, $2)"),
    PLAIN("SAFE_DIVIDE", 2, 2, "bq_safe_divide($1, $2)"),
    PLAIN("SAFE_MULTIPLY", 2, 2, "bq_safe_multiply($1, $2)"),
    PLAIN("SAFE_ADD", 2, 2, "bq_safe_add($1, $2)"),
    PLAIN("SAFE_SUBTRACT", 2, 2, "bq_safe_subtract($1, $2)"),
    PLAIN("SAFE_NEGATE", 1, 1, "bq_safe_negate($1)"),
    PLAIN("ROUND", 1, 3, "bq_round($*)"),
    PLAIN("TRUNC", 1, 2, "bq_trunc($*)"),
    ONE("CEIL", "ceil"), ONE("CEILING", "ceil"), ONE("FLOOR", "floor"),
    ONE("COS", "cos"), ONE("COSH", "cosh"), ONE("ACOS", "acos"), ONE("ACOSH", "acosh"),
    ONE("COT", "cot"), ONE("COTH", "coth"), ONE("CSC", "csc"), ONE("CSCH", "csch"),
    ONE("SEC", "sec"), ONE("SECH", "sech"), ONE("SIN", "sin"), ONE("SINH", "sinh"),
    ONE("ASIN", "asin"), ONE("ASINH", "asinh"), ONE("TAN", "tan"), ONE("TANH", "tanh"),
    ONE("ATAN", "atan"), ONE("ATANH", "atanh"),
    PLAIN("ATAN2", 2, 2, "bq_atan2($1, $2)"),
    PLAIN("RANGE_BUCKET", 2, 2, "bq_range_bucket($1, $2)"),
    ONE("BIT_COUNT", "bit_count"),
    ONE("PARSE_NUMERIC", "parse_numeric"), ONE("PARSE_BIGNUMERIC", "parse_bignumeric"),
};
// clang-format on

const struct sql_function_group sql_functions_math = { "mathematics", rows, ARRAY_LEN(rows) };
