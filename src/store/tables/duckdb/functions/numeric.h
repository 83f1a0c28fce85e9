/* numeric.h -- NUMERIC: a decimal of 29 digits before the point and 9 behind it, as a count of 10^-9.
 *
 * Threads: none.
 */
#ifndef TRANCHE_STORE_TABLES_DUCKDB_FUNCTIONS_NUMERIC_H
#define TRANCHE_STORE_TABLES_DUCKDB_FUNCTIONS_NUMERIC_H

#include "store/tables/duckdb/functions/call.h"

#define NUMERIC_ONE INT64_C(1000000000)
/* 10^38 - 1 */
#define NUMERIC_MAX                                                                                \
    ((int128)UINT64_C(10000000000000000000) * (int128)UINT64_C(10000000000000000000) - 1)
#define NUMERIC_BYTES 64

static inline bool numeric_fits(int128 v)
{
    return v <= NUMERIC_MAX && v >= -NUMERIC_MAX;
}

/* a * b / by, rounded half away from zero; by is not 0. False: it does not fit. */
bool numeric_scale(int128 a, int128 b, int128 by, int128 *out);
/* "-12.5": no zeros at the end. */
void numeric_text(int128 v, char text[NUMERIC_BYTES]);
/* "1.5", "-.5e3"; digits behind the 9th are rounded. False: none, or too large. */
bool numeric_read(struct str text, int128 *out);
double numeric_double(int128 v);
/* False: not finite, or too large. */
bool numeric_from_double(double f, int128 *out);

#endif
