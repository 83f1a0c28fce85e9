/* zone.h -- time zones by their names: "America/New_York", "UTC", "+05:45".
 *
 * Why: the C library knows one zone a process. The files of the IANA database are on every machine that shows
 * local times, and their format is fixed.
 *
 * Units:   microseconds since 1970; a local time is counted as if its clock showed UTC.
 * Errors:  NULL: there is no such zone (or the machine has no tzdata).
 * Threads: all; zones that were read once are kept, under a lock, as long as the process lives.
 * Source:  RFC 8536 (TZif); POSIX.1-2008 8.3 (the rule at the end of a file).
 */
#ifndef TRANCHE_STORE_TABLES_DUCKDB_FUNCTIONS_ZONE_H
#define TRANCHE_STORE_TABLES_DUCKDB_FUNCTIONS_ZONE_H

#include <stdint.h>

#include "base/str.h"

struct zone;
const struct zone *zone_find(struct str name);
int64_t zone_local(const struct zone *z, int64_t utc_us);
/* A local time that is skipped is read with the offset before it; the first instant of one that occurs twice. */
int64_t zone_utc(const struct zone *z, int64_t local_us);

#endif
