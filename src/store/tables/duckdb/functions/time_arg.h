/* time_arg.h -- what functions on dates and times share: zones and parts as arguments, results within the years.
 *
 * Units:   as format/bigquery/civil.h.
 * Errors:  the functions that say so set the call's error.
 * Threads: none.
 */
#ifndef TRANCHE_STORE_TABLES_DUCKDB_FUNCTIONS_TIME_ARG_H
#define TRANCHE_STORE_TABLES_DUCKDB_FUNCTIONS_TIME_ARG_H

#include "store/tables/duckdb/functions/call.h"
#include "store/tables/duckdb/functions/part.h"
#include "store/tables/duckdb/functions/zone.h"

#define MONTHS_MAX 120000 /* more lead out of the years 1 to 9999 from anywhere */

/* NULL with the error set: argument i names no zone. */
const struct zone *arg_zone(struct call *c, uint32_t i);
/* False with the error set. */
bool arg_part(struct call *c, uint32_t i, struct part *out);
/* A literal as a DATE; false with the error set. */
bool arg_date_literal(struct call *c, uint32_t i, int64_t *days);
/* Says that the function does not take the part in argument i. */
enum call_outcome refuse_part(struct call *c, const char *function, const char *type, uint32_t i);
/* DATE, and DATETIME or TIMESTAMP; an error outside of the years 1 to 9999. */
enum call_outcome out_days(struct call *c, int64_t days);
enum call_outcome out_us(struct call *c, int64_t us);

int64_t day_of(int64_t us);
int64_t time_of(int64_t us);
/* n of a part from DAY up added to a day; false: too far. */
bool add_to_day(struct part p, int64_t days, int64_t n, int64_t *out);

#endif
