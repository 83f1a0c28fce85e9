/* function_operator.c -- see function.h: operators, subscripts, casts and EXTRACT as rows. Their names hold signs and
 * spaces, so no call can reach them. */
#include "format/sql/function.h"

#include "base/mem.h"

// clang-format off
static const struct sql_function rows[] = {
    { "+", 2, 2, 0, "($1 + $2)", NULL, NULL },
    { "-", 2, 2, 0, "($1 - $2)", NULL, NULL },
    { "*", 2, 2, 0, "($1 * $2)", NULL, NULL },
    { "/", 2, 2, 0, "($1 / $2)", NULL, NULL },
    { "NEG", 1, 1, 0, "(- $1)", NULL, NULL },
    { "||", 2, 2, 0, "($1 || $2)", NULL, NULL },
    { "&", 2, 2, 0, "($1 & $2)", NULL, NULL },
    { "|", 2, 2, 0, "($1 | $2)", NULL, NULL },
    { "^", 2, 2, 0, "xor($1, $2)", NULL, NULL },
    { "~", 1, 1, 0, "(~ $1)", NULL, NULL },
    { "<<", 2, 2, 0, "($1 << $2)", NULL, NULL },
    { ">>", 2, 2, 0, "($1 >> $2)", NULL, NULL },
    { "=", 2, 2, 0, "($1 = $2)", NULL, NULL },
    { "<>", 2, 2, 0, "($1 <> $2)", NULL, NULL },
    { "<", 2, 2, 0, "($1 < $2)", NULL, NULL },
    { "<=", 2, 2, 0, "($1 <= $2)", NULL, NULL },
    { ">", 2, 2, 0, "($1 > $2)", NULL, NULL },
    { ">=", 2, 2, 0, "($1 >= $2)", NULL, NULL },
    { "LIKE", 2, 2, 0, "($1 LIKE $2 ESCAPE '\\')", NULL, NULL },
    { "IS DISTINCT FROM", 2, 2, 0, "($1 IS DISTINCT FROM $2)", NULL, NULL },
    { "IN UNNEST", 2, 2, 0, "($1 IN (SELECT unnest($2)))", NULL, NULL },
    { "[OFFSET]", 2, 2, 0, "($1)[$2 + 1]", NULL, NULL },
    { "[ORDINAL]", 2, 2, 0, "($1)[$2]", NULL, NULL },
    { "[SAFE_OFFSET]", 2, 2, 0, "($1)[$2 + 1]", NULL, NULL },
    { "[SAFE_ORDINAL]", 2, 2, 0, "($1)[$2]", NULL, NULL },
    { "JSON FIELD", 2, 2, 0, "bq_json_field($1, $2)", NULL, NULL },
    { "JSON ELEMENT", 2, 2, 0, "bq_json_element($1, $2)", NULL, NULL },
    { "EXTRACT", 2, 3, 0, "bq_extract($2u, $1$3*)", NULL, NULL },
    { "INTERVAL", 1, 1, 0, "bq_interval($1v, $1u)", NULL, NULL },
};
// clang-format on

const struct sql_function_group sql_functions_operator = { "operators", rows, ARRAY_LEN(rows) };
