/* function_array.c -- see function.h: functions on arrays. */
#include "format/sql/function.h"

#include "base/mem.h"

/* DuckDB counts from 1, and -1 is the last element in both. */
#define SLICE_END(n) "CASE WHEN " n " >= 0 THEN " n " + 1 ELSE " n " END"

// clang-format off
#define PLAIN(name, min, max, print) { name, min, max, 0, print, NULL, NULL }
static const struct sql_function rows[] = {
    PLAIN("ARRAY_LENGTH", 1, 1, "len($1)"),
    PLAIN("ARRAY_CONCAT", 1, 1, "$1"),
    PLAIN("ARRAY_CONCAT", 2, SQL_ARGUMENTS_ANY, "list_concat($*)"),
    PLAIN("ARRAY_REVERSE", 1, 1, "list_reverse($1)"),
    PLAIN("ARRAY_TO_STRING", 2, 3, "bq_array_to_string($*)"),
    PLAIN("ARRAY_FIRST", 1, 1, "($1)[bq_first_place(len($1))]"),
    PLAIN("ARRAY_LAST", 1, 1, "($1)[bq_last_place(len($1))]"),
    PLAIN("ARRAY_SLICE", 3, 3, "list_slice($1, " SLICE_END("$2") ", " SLICE_END("$3") ")"),
    PLAIN("ARRAY_INCLUDES", 2, 2, "list_contains($1, $2)"),
    PLAIN("ARRAY_INCLUDES_ANY", 2, 2, "list_has_any($1, $2)"),
    PLAIN("ARRAY_INCLUDES_ALL", 2, 2, "list_has_all($1, $2)"),
    PLAIN("ARRAY_IS_DISTINCT", 1, 1, "(len(list_distinct($1)) = len($1))"),
    PLAIN("GENERATE_ARRAY", 2, 3, "bq_generate_array($*)"),
};
// clang-format on

const struct sql_function_group sql_functions_array = { "arrays", rows, ARRAY_LEN(rows) };
