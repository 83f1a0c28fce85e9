/* function_time.c -- see function.h: functions on DATE, TIME, DATETIME, TIMESTAMP and INTERVAL. */
#include "format/sql/function.h"

#include "base/mem.h"

/* MAKE_INTERVAL(1, month => 2): places are year, month, day, hour, minute, second; what is not given is 0. */
static int write_make_interval(struct sql_writer *w, const struct sql_call *call, struct error *e)
{
    static const char *const names[] = { "year", "month", "day", "hour", "minute", "second" };

    sql_write_text(w, "bq_make_interval(");
    for (uint32_t i = 0; i < ARRAY_LEN(names); i++) {
        uint32_t at;
        bool named = sql_call_named(call, names[i], &at);
        sql_write_text(w, i ? ", " : "");
        if (!named && i >= sql_call_places(call))
            sql_write_text(w, "0::BIGINT");
        else if (sql_write_argument(w, call, named ? at : i, e) < 0)
            return -1;
    }
    sql_write_text(w, ")");
    return 0;
}

// clang-format off
#define PLAIN(name, min, max, print) { name, min, max, 0, print, NULL, NULL }
#define PART(name, min, max, print) { name, min, max, SQL_PART, print, NULL, NULL }
static const struct sql_function rows[] = {
    PLAIN("CURRENT_DATE", 0, 0, "bq_date(now())"),
    PLAIN("CURRENT_DATE", 1, 1, "bq_date(now(), $1)"),
    PLAIN("CURRENT_DATETIME", 0, 0, "bq_datetime(now())"),
    PLAIN("CURRENT_DATETIME", 1, 1, "bq_datetime(now(), $1)"),
    PLAIN("CURRENT_TIME", 0, 0, "bq_time(now())"),
    PLAIN("CURRENT_TIME", 1, 1, "bq_time(now(), $1)"),
    PLAIN("CURRENT_TIMESTAMP", 0, 0, "now()"),

    PLAIN("DATE", 1, 3, "bq_date($*)"),
    PLAIN("DATETIME", 1, 2, "bq_datetime($*)"),
    PLAIN("DATETIME", 6, 6, "bq_datetime($*)"),
    PLAIN("TIME", 1, 3, "bq_time($*)"),
    PLAIN("TIMESTAMP", 1, 2, "bq_timestamp($*)"),
    PLAIN("STRING", 1, 2, "bq_string($*)"),

    PART("DATE_ADD", 2, 2, "bq_date_add($1, $2v, $2u)"),
    PART("DATE_SUB", 2, 2, "bq_date_sub($1, $2v, $2u)"),
    PART("DATETIME_ADD", 2, 2, "bq_datetime_add($1, $2v, $2u)"),
    PART("DATETIME_SUB", 2, 2, "bq_datetime_sub($1, $2v, $2u)"),
    PART("TIME_ADD", 2, 2, "bq_time_add($1, $2v, $2u)"),
    PART("TIME_SUB", 2, 2, "bq_time_sub($1, $2v, $2u)"),
    PART("TIMESTAMP_ADD", 2, 2, "bq_timestamp_add($1, $2v, $2u)"),
    PART("TIMESTAMP_SUB", 2, 2, "bq_timestamp_sub($1, $2v, $2u)"),
    PART("DATE_DIFF", 3, 3, "bq_date_diff($1, $2, $3u)"),
    PART("DATETIME_DIFF", 3, 3, "bq_datetime_diff($1, $2, $3u)"),
    PART("TIME_DIFF", 3, 3, "bq_time_diff($1, $2, $3u)"),
    PART("TIMESTAMP_DIFF", 3, 3, "bq_timestamp_diff($1, $2, $3u)"),
    PART("DATE_TRUNC", 2, 3, "bq_date_trunc($1, $2u$3*)"),
    PART("DATETIME_TRUNC", 2, 2, "bq_datetime_trunc($1, $2u)"),
    PART("TIME_TRUNC", 2, 2, "bq_time_trunc($1, $2u)"),
    PART("TIMESTAMP_TRUNC", 2, 3, "bq_timestamp_trunc($1, $2u$3*)"),
    PLAIN("LAST_DAY", 1, 1, "bq_last_day($1)"),
    PART("LAST_DAY", 2, 2, "bq_last_day($1, $2u)"),

    PLAIN("FORMAT_DATE", 2, 2, "bq_format_date($*)"),
    PLAIN("FORMAT_DATETIME", 2, 2, "bq_format_datetime($*)"),
    PLAIN("FORMAT_TIME", 2, 2, "bq_format_time($*)"),
    PLAIN("FORMAT_TIMESTAMP", 2, 3, "bq_format_timestamp($*)"),
    PLAIN("PARSE_DATE", 2, 2, "bq_parse_date($*)"),
    PLAIN("PARSE_DATETIME", 2, 2, "bq_parse_datetime($*)"),
    PLAIN("PARSE_TIME", 2, 2, "bq_parse_time($*)"),
    PLAIN("PARSE_TIMESTAMP", 2, 3, "bq_parse_timestamp($*)"),

    PLAIN("UNIX_DATE", 1, 1, "bq_unix_date($1)"),
    PLAIN("DATE_FROM_UNIX_DATE", 1, 1, "bq_date_from_unix_date($1)"),
    PLAIN("UNIX_SECONDS", 1, 1, "bq_unix_seconds($1)"),
    PLAIN("UNIX_MILLIS", 1, 1, "bq_unix_millis($1)"),
    PLAIN("UNIX_MICROS", 1, 1, "bq_unix_micros($1)"),
    PLAIN("TIMESTAMP_SECONDS", 1, 1, "bq_timestamp_seconds($1)"),
    PLAIN("TIMESTAMP_MILLIS", 1, 1, "bq_timestamp_millis($1)"),
    PLAIN("TIMESTAMP_MICROS", 1, 1, "bq_timestamp_micros($1)"),

    PLAIN("GENERATE_DATE_ARRAY", 2, 2, "bq_generate_date_array($1, $2)"),
    PART("GENERATE_DATE_ARRAY", 3, 3, "bq_generate_date_array($1, $2, $3v, $3u)"),
    PART("GENERATE_TIMESTAMP_ARRAY", 3, 3, "bq_generate_timestamp_array($1, $2, $3v, $3u)"),

    { "MAKE_INTERVAL", 0, 6, SQL_NAMED, NULL, write_make_interval, NULL },
    PLAIN("JUSTIFY_HOURS", 1, 1, "bq_justify_hours($1)"),
    PLAIN("JUSTIFY_DAYS", 1, 1, "bq_justify_days($1)"),
    PLAIN("JUSTIFY_INTERVAL", 1, 1, "bq_justify_interval($1)"),
};
// clang-format on

const struct sql_function_group sql_functions_time = { "dates and times", rows, ARRAY_LEN(rows) };
