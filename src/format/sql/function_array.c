/* function_array.c -- see function.h: functions on arrays. */
#include "format/sql/function.h"

#include "base/mem.h"

/* DuckDB counts from 1, and -1 is the last element in both. */
#define SLICE_END(n) "CASE WHEN " n " >= 0 THEN " n " + 1 ELSE " n " END"

/* Arguments from `from` on, joined as a balanced tree: each pair is checked before it is joined. */
static int write_joined(struct sql_writer *w, const struct sql_call *call, uint32_t from,
                        uint32_t count, struct error *e)
{
    if (count == 1)
        return sql_write_argument(w, call, from, e);
    sql_write_text(w, "list_transform([{'a': ");
    if (write_joined(w, call, from, count / 2, e) < 0)
        return -1;
    sql_write_text(w, ", 'b': ");
    if (write_joined(w, call, from + count / 2, count - count / 2, e) < 0)
        return -1;
    sql_write_text(w, "}], lambda _j: CASE WHEN bq_joins(_j.a, _j.b) THEN list_concat(_j.a, _j.b) "
                      "END)[1]");
    return 0;
}

static int write_array_concat(struct sql_writer *w, const struct sql_call *call, struct error *e)
{
    return write_joined(w, call, 0, sql_call_count(call), e);
}

// clang-format off
#define PLAIN(name, min, max, print) { name, min, max, 0, print, NULL, NULL }
static const struct sql_function rows[] = {
    PLAIN("ARRAY_LENGTH", 1, 1, "len($1)"),
    { "ARRAY_CONCAT", 1, SQL_ARGUMENTS_ANY, 0, NULL, write_array_concat, NULL },
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
