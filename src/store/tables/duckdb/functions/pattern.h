/* pattern.h -- patterns of % letters, which FORMAT_ and PARSE_ functions share.
 *
 * Threads: none.
 * Source:  https://cloud.google.com/bigquery/docs/reference/standard-sql/format-elements
 */
#ifndef TRANCHE_STORE_TABLES_DUCKDB_FUNCTIONS_PATTERN_H
#define TRANCHE_STORE_TABLES_DUCKDB_FUNCTIONS_PATTERN_H

#include "store/tables/duckdb/functions/call.h"
#include "store/tables/duckdb/functions/zone.h"

extern const char *const pattern_months[12], *const pattern_weekdays[7];

/* The pattern that a letter stands for, such as %F; NULL: it stands for a part alone. */
const char *pattern_expansion(char letter);
/* The zone in argument i, or UTC when there is none; NULL with the error set: there is no such zone. */
const struct zone *pattern_zone(struct call *c, uint32_t i);

#endif
