/* function_json.c -- see function.h: functions on JSON. */
#include "format/sql/function.h"

#include "base/mem.h"

/* name(places..., what is named or its default). A NULL default ends the call before it when nothing is named. */
static int write_named(struct sql_writer *w, const struct sql_call *call, const char *function,
                       const char *const *names, struct error *e)
{
    uint32_t at;

    sql_write_text(w, function);
    for (uint32_t i = 0; i < sql_call_places(call); i++) {
        sql_write_text(w, i ? ", " : "");
        if (sql_write_argument(w, call, i, e) < 0)
            return -1;
    }
    for (; *names; names += 2) {
        if (!sql_call_named(call, names[0], &at)) {
            sql_write_text(w, names[1]);
            continue;
        }
        sql_write_text(w, ", ");
        if (sql_write_argument(w, call, at, e) < 0)
            return -1;
    }
    sql_write_text(w, ")");
    return 0;
}

static int write_set(struct sql_writer *w, const struct sql_call *call, struct error *e)
{
    static const char *const names[] = { "create_if_missing", "", NULL };

    return write_named(w, call, "bq_json_set(", names, e);
}

/* The path comes between, so it is always written. */
static int write_strip(struct sql_writer *w, const struct sql_call *call, struct error *e)
{
    static const char *const with_path[] = { "include_arrays", ", true", "remove_empty", ", false",
                                             NULL };
    static const char *const without[] = { "path",   ", '$'",        "include_arrays",
                                           ", true", "remove_empty", ", false",
                                           NULL };

    return write_named(w, call, "bq_json_strip_nulls(",
                       sql_call_places(call) > 1 ? with_path : without, e);
}

static int write_to_json(struct sql_writer *w, const struct sql_call *call, struct error *e)
{
    static const char *const names[] = { "stringify_wide_numbers", "", NULL };

    return write_named(w, call, "bq_to_json(", names, e);
}

/* wide_number_mode changes nothing: a number that needs more than 64 bits is a FLOAT64. */
static int write_parse(struct sql_writer *w, const struct sql_call *call, struct error *e)
{
    return sql_write_template(w, call, "bq_parse_json($1)", e);
}

// clang-format off
#define PLAIN(name, min, max, print) { name, min, max, 0, print, NULL, NULL }
static const struct sql_function rows[] = {
    PLAIN("JSON_QUERY", 1, 2, "bq_json_query($*)"),
    PLAIN("JSON_EXTRACT", 1, 2, "bq_json_query($*)"),
    PLAIN("JSON_VALUE", 1, 2, "bq_json_value($*)"),
    PLAIN("JSON_EXTRACT_SCALAR", 1, 2, "bq_json_value($*)"),
    PLAIN("JSON_QUERY_ARRAY", 1, 2, "bq_json_query_array($*)"),
    PLAIN("JSON_EXTRACT_ARRAY", 1, 2, "bq_json_query_array($*)"),
    PLAIN("JSON_VALUE_ARRAY", 1, 2, "bq_json_value_array($*)"),
    PLAIN("JSON_EXTRACT_STRING_ARRAY", 1, 2, "bq_json_value_array($*)"),
    { "PARSE_JSON", 1, 1, SQL_NAMED, NULL, write_parse, NULL },
    { "TO_JSON", 1, 1, SQL_NAMED, NULL, write_to_json, NULL },
    PLAIN("TO_JSON_STRING", 1, 1, "bq_to_json_string($1)"),
    PLAIN("JSON_TYPE", 1, 1, "bq_json_type($1)"),
    PLAIN("JSON_KEYS", 1, 2, "bq_json_keys($*)"),
    PLAIN("BOOL", 1, 1, "bq_json_bool($1)"),
    PLAIN("INT64", 1, 1, "bq_json_int64($1)"),
    PLAIN("FLOAT64", 1, 1, "bq_json_float64($1)"),
    PLAIN("DOUBLE", 1, 1, "bq_json_float64($1)"),
    PLAIN("LAX_BOOL", 1, 1, "bq_lax_bool($1)"),
    PLAIN("LAX_INT64", 1, 1, "bq_lax_int64($1)"),
    PLAIN("LAX_FLOAT64", 1, 1, "bq_lax_float64($1)"),
    PLAIN("LAX_DOUBLE", 1, 1, "bq_lax_float64($1)"),
    PLAIN("LAX_STRING", 1, 1, "bq_lax_string($1)"),
    PLAIN("JSON_ARRAY", 0, SQL_ARGUMENTS_ANY, "bq_json_array($*)"),
    PLAIN("JSON_OBJECT", 0, SQL_ARGUMENTS_ANY, "bq_json_object($*)"),
    { "JSON_SET", 3, SQL_ARGUMENTS_ANY, SQL_NAMED, NULL, write_set, NULL },
    PLAIN("JSON_REMOVE", 2, SQL_ARGUMENTS_ANY, "bq_json_remove($*)"),
    { "JSON_STRIP_NULLS", 1, 2, SQL_NAMED, NULL, write_strip, NULL },
    PLAIN("JSON_ARRAY_APPEND", 3, SQL_ARGUMENTS_ANY, "bq_json_array_append($*)"),
    PLAIN("JSON_ARRAY_INSERT", 3, SQL_ARGUMENTS_ANY, "bq_json_array_insert($*)"),
};
// clang-format on

const struct sql_function_group sql_functions_json = { "JSON", rows, ARRAY_LEN(rows) };
