/* value_text.h -- values as GoogleSQL writes and reads them: what CAST between STRING and other types means.
 *
 * Units:   as format/bigquery/civil.h.
 * Errors:  false: the text is no such value.
 * Threads: none.
 */
#ifndef TRANCHE_STORE_TABLES_DUCKDB_FUNCTIONS_VALUE_TEXT_H
#define TRANCHE_STORE_TABLES_DUCKDB_FUNCTIONS_VALUE_TEXT_H

#include "store/tables/duckdb/functions/call.h"
#include "store/tables/duckdb/functions/zone.h"

void text_add_float(struct buf *out, double v); /* 1, 0.1, 1e+20, inf, nan */
void text_add_point(struct buf *out, double v); /* the same, and whole numbers as 1.0 */
void text_add_date(struct buf *out, int64_t days);
/* A fraction has 3 or 6 digits, or there is none. */
void text_add_time(struct buf *out, int64_t us);
void text_add_datetime(struct buf *out, int64_t us);
/* In the zone, with its offset: 2024-01-15 07:00:00-05. */
void text_add_timestamp(struct buf *out, int64_t us, const struct zone *z);
void text_add_interval(struct buf *out, duckdb_interval v);

bool text_read_int(struct str s, int64_t *out);
bool text_read_float(struct str s, double *out);
bool text_read_bool(struct str s, bool *out);
/* Without an offset or a zone in the text it is in zone z (NULL: UTC). bad_zone: the text names a zone that does
 * not exist. */
bool text_read_timestamp(struct str s, const struct zone *z, int64_t *out, struct str *bad_zone);

#endif
