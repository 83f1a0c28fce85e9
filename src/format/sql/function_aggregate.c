/* function_aggregate.c -- see function.h: aggregates and window functions. */
#include "format/sql/function.h"

#include <stdio.h>

#include "base/mem.h"

/* "list(DISTINCT x ORDER BY y) FILTER (WHERE x IS NOT NULL) OVER (...)", or of its first n elements. */
static int write_list(struct sql_writer *w, const struct sql_call *call, bool no_nulls,
                      struct error *e)
{
    bool limit = sql_call_has_limit(call);

    sql_write_text(w, limit ? "list_slice(list(" : "list(");
    sql_write_text(w, sql_call_distinct(call) ? "DISTINCT " : "");
    if (sql_write_argument(w, call, 0, e) < 0 || sql_write_order(w, call, e) < 0)
        return -1;
    sql_write_text(w, ")");
    if (no_nulls) {
        sql_write_text(w, " FILTER (WHERE ");
        if (sql_write_argument(w, call, 0, e) < 0)
            return -1;
        sql_write_text(w, " IS NOT NULL)");
    }
    if (sql_write_over(w, call, e) < 0)
        return -1;
    if (!limit)
        return 0;
    sql_write_text(w, ", 1, ");
    if (sql_write_limit(w, call, e) < 0)
        return -1;
    sql_write_text(w, ")");
    return 0;
}

/* "sum(DISTINCT x) OVER (...)" */
static int write_simple(struct sql_writer *w, const struct sql_call *call, const char *function,
                        struct error *e)
{
    sql_write_text(w, function);
    sql_write_text(w, sql_call_distinct(call) ? "(DISTINCT " : "(");
    if (sql_write_argument(w, call, 0, e) < 0)
        return -1;
    sql_write_text(w, ")");
    return sql_write_over(w, call, e);
}

/* DuckDB's avg gives FLOAT64 of NUMERIC too, BigQuery's NUMERIC. */
static int write_avg(struct sql_writer *w, const struct sql_call *call, struct error *e)
{
    sql_write_text(w, "bq_average(");
    if (write_simple(w, call, "sum", e) < 0)
        return -1;
    sql_write_text(w, ", ");
    if (write_simple(w, call, "count", e) < 0)
        return -1;
    sql_write_text(w, ")");
    return 0;
}

static int write_array_agg(struct sql_writer *w, const struct sql_call *call, struct error *e)
{
    return write_list(w, call, sql_call_ignores_nulls(call), e);
}

static int write_array_concat_agg(struct sql_writer *w, const struct sql_call *call,
                                  struct error *e)
{
    sql_write_text(w, "flatten(");
    if (write_list(w, call, true, e) < 0)
        return -1;
    sql_write_text(w, ")");
    return 0;
}

static int write_string_agg(struct sql_writer *w, const struct sql_call *call, struct error *e)
{
    if (!sql_call_has_limit(call))
        return sql_write_template(
            w, call, sql_call_count(call) > 1 ? "string_agg($1, $2)" : "string_agg($1, ',')", e);
    sql_write_text(w, "bq_array_to_string(");
    if (write_list(w, call, true, e) < 0)
        return -1;
    sql_write_text(w, ", ");
    if (sql_call_count(call) == 1)
        sql_write_text(w, "','");
    else if (sql_write_argument(w, call, 1, e) < 0)
        return -1;
    sql_write_text(w, ")");
    return 0;
}

/* ANY_VALUE(x HAVING MAX y) is x of the row with the greatest y. */
static int write_any_value(struct sql_writer *w, const struct sql_call *call, struct error *e)
{
    bool max;

    if (!sql_call_having(call, &max))
        return sql_write_template(w, call, "any_value($1)", e);
    sql_write_text(w, max ? "arg_max_null(" : "arg_min_null(");
    if (sql_write_argument(w, call, 0, e) < 0)
        return -1;
    sql_write_text(w, ", ");
    if (sql_write_having(w, call, e) < 0)
        return -1;
    sql_write_text(w, ")");
    return sql_write_over(w, call, e);
}

#define QUANTILES_MAX 1000

/* The n + 1 values that part the rows into n equal groups, exactly. */
static int write_quantiles(struct sql_writer *w, const struct sql_call *call, struct error *e)
{
    int64_t n;
    char fraction[40];

    if (!sql_call_integer(call, 1, &n) || n < 1 || n > QUANTILES_MAX)
        return sql_call_fail(
            w, call, e, "The second argument of APPROX_QUANTILES must be a literal from 1 to %d",
            QUANTILES_MAX);
    sql_write_text(w, "quantile_disc(");
    sql_write_text(w, sql_call_distinct(call) ? "DISTINCT " : "");
    if (sql_write_argument(w, call, 0, e) < 0)
        return -1;
    sql_write_text(w, ", [");
    for (int64_t i = 0; i <= n; i++) {
        (void)snprintf(fraction, sizeof fraction, "%s%.17g", i ? ", " : "", (double)i / (double)n);
        sql_write_text(w, fraction);
    }
    sql_write_text(w, "])");
    return 0;
}

/* The n commonest values with their counts. */
#define TOP_COUNT                                                                                  \
    "list_transform(list_slice(list_reverse_sort(list_transform(map_entries(histogram($1$|)$^), "  \
    "lambda e: {'c': e.value, 'v': e.key})), 1, $2), "                                             \
    "lambda e: {'value': e.v, 'count': CAST(e.c AS BIGINT)})"

static int write_sketch(struct sql_writer *w, const struct sql_call *call, struct error *e)
{
    return sql_call_fail(w, call, e,
                         "HLL_COUNT sketches are not supported; use COUNT(DISTINCT ...)");
}

static int write_top_sum(struct sql_writer *w, const struct sql_call *call, struct error *e)
{
    return sql_call_fail(w, call, e,
                         "APPROX_TOP_SUM is not supported; use SUM with GROUP BY and LIMIT");
}

// clang-format off
#define PLAIN(name, count, print) { name, count, count, SQL_AGGREGATE, print, NULL, NULL }
#define WRITTEN(name, min, max, flags, write) { name, min, max, SQL_AGGREGATE | (flags), NULL, write, NULL }
#define SKETCH(name) { name, 1, 2, SQL_AGGREGATE | SQL_NO_OVER, NULL, write_sketch, NULL }
#define WINDOW(name, min, max) { name, min, max, SQL_WINDOW, NULL, NULL, NULL }
#define WINDOW_NULLS(name, min, max) { name, min, max, SQL_WINDOW | SQL_IGNORE_NULLS, NULL, NULL, NULL }
static const struct sql_function rows[] = {
    PLAIN("COUNT", 1, "count($1)"),
    PLAIN("COUNTIF", 1, "count(nullif($1, false))"),
    PLAIN("SUM", 1, "bq_narrow(sum($1$|)$^)"),
    WRITTEN("AVG", 1, 1, 0, write_avg),
    PLAIN("MIN", 1, "min($1)"),
    PLAIN("MAX", 1, "max($1)"),
    PLAIN("MIN_BY", 2, "arg_min_null($1, $2)"),
    PLAIN("MAX_BY", 2, "arg_max_null($1, $2)"),
    WRITTEN("ANY_VALUE", 1, 1, 0, write_any_value),
    WRITTEN("ARRAY_AGG", 1, 1, SQL_ORDER | SQL_IGNORE_NULLS | SQL_NULLS_KEPT, write_array_agg),
    WRITTEN("ARRAY_CONCAT_AGG", 1, 1, SQL_ORDER, write_array_concat_agg),
    WRITTEN("STRING_AGG", 1, 2, SQL_ORDER, write_string_agg),
    PLAIN("LOGICAL_AND", 1, "bool_and($1)"),
    PLAIN("LOGICAL_OR", 1, "bool_or($1)"),
    PLAIN("BIT_AND", 1, "bit_and($1)"),
    PLAIN("BIT_OR", 1, "bit_or($1)"),
    PLAIN("BIT_XOR", 1, "bit_xor($1)"),
    PLAIN("STDDEV", 1, "stddev_samp($1)"),
    PLAIN("STDDEV_SAMP", 1, "stddev_samp($1)"),
    PLAIN("STDDEV_POP", 1, "stddev_pop($1)"),
    PLAIN("VARIANCE", 1, "var_samp($1)"),
    PLAIN("VAR_SAMP", 1, "var_samp($1)"),
    PLAIN("VAR_POP", 1, "var_pop($1)"),
    PLAIN("CORR", 2, "corr($1, $2)"),
    PLAIN("COVAR_POP", 2, "covar_pop($1, $2)"),
    PLAIN("COVAR_SAMP", 2, "covar_samp($1, $2)"),
    { "APPROX_COUNT_DISTINCT", 1, 1, SQL_AGGREGATE, "count(DISTINCT $1)", NULL, NULL },
    WRITTEN("APPROX_QUANTILES", 2, 2, SQL_NO_OVER | SQL_IGNORE_NULLS, write_quantiles),
    { "APPROX_TOP_COUNT", 2, 2, SQL_AGGREGATE | SQL_NO_OVER, TOP_COUNT, NULL, NULL },
    WRITTEN("APPROX_TOP_SUM", 3, 3, SQL_NO_OVER, write_top_sum),
    { "GROUPING", 1, 1, SQL_AGGREGATE | SQL_NO_OVER, "CAST(grouping($1) AS BIGINT)", NULL, NULL },
    SKETCH("HLL_COUNT.INIT"), SKETCH("HLL_COUNT.MERGE"), SKETCH("HLL_COUNT.MERGE_PARTIAL"),
    { "HLL_COUNT.EXTRACT", 1, 1, 0, NULL, write_sketch, NULL },

    WINDOW("ROW_NUMBER", 0, 0), WINDOW("RANK", 0, 0), WINDOW("DENSE_RANK", 0, 0),
    WINDOW("PERCENT_RANK", 0, 0), WINDOW("CUME_DIST", 0, 0), WINDOW("NTILE", 1, 1),
    WINDOW_NULLS("LAG", 1, 3), WINDOW_NULLS("LEAD", 1, 3), WINDOW_NULLS("FIRST_VALUE", 1, 1),
    WINDOW_NULLS("LAST_VALUE", 1, 1), WINDOW_NULLS("NTH_VALUE", 2, 2),
    { "PERCENTILE_CONT", 2, 2, SQL_WINDOW, "quantile_cont($1, $2)", NULL, NULL },
    { "PERCENTILE_DISC", 2, 2, SQL_WINDOW, "quantile_disc($1, $2)", NULL, NULL },
};
// clang-format on

const struct sql_function_group sql_functions_aggregate = { "aggregates and windows", rows,
                                                            ARRAY_LEN(rows) };
