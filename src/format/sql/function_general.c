/* function_general.c -- see function.h: conditions, NULL, and the first aggregates and window functions. */
#include "format/sql/function.h"

#include "base/mem.h"

// clang-format off
static const struct sql_function rows[] = {
    { "IF", 3, 3, 0, "CASE WHEN $1 THEN $2 ELSE $3 END", NULL, NULL },
    { "IFNULL", 2, 2, 0, "coalesce($1, $2)", NULL, NULL },
    { "COALESCE", 1, SQL_ARGUMENTS_ANY, 0, NULL, NULL, NULL },
    { "NULLIF", 2, 2, 0, NULL, NULL, NULL },
    { "COUNT", 1, 1, SQL_AGGREGATE, NULL, NULL, NULL },
    { "SUM", 1, 1, SQL_AGGREGATE, "bq_sum($1)", NULL, NULL },
    { "AVG", 1, 1, SQL_AGGREGATE, "bq_avg($1)", NULL, NULL },
    { "MIN", 1, 1, SQL_AGGREGATE, NULL, NULL, NULL },
    { "MAX", 1, 1, SQL_AGGREGATE, NULL, NULL, NULL },
    { "ARRAY_AGG", 1, 1, SQL_AGGREGATE | SQL_ORDER | SQL_NULLS_KEPT, NULL, NULL, NULL },
    { "ROW_NUMBER", 0, 0, SQL_WINDOW, NULL, NULL, NULL },
    { "RANK", 0, 0, SQL_WINDOW, NULL, NULL, NULL },
    { "DENSE_RANK", 0, 0, SQL_WINDOW, NULL, NULL, NULL },
    { "LAG", 1, 3, SQL_WINDOW | SQL_IGNORE_NULLS, NULL, NULL, NULL },
    { "LEAD", 1, 3, SQL_WINDOW | SQL_IGNORE_NULLS, NULL, NULL, NULL },
    { "FIRST_VALUE", 1, 1, SQL_WINDOW | SQL_IGNORE_NULLS, NULL, NULL, NULL },
    { "LAST_VALUE", 1, 1, SQL_WINDOW | SQL_IGNORE_NULLS, NULL, NULL, NULL },
    { "GROUPING", 1, 1, SQL_AGGREGATE | SQL_NO_OVER, NULL, NULL, NULL },
};
// clang-format on

const struct sql_function_group sql_functions_general = { "general", rows, ARRAY_LEN(rows) };
