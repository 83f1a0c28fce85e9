/* functions.h -- the functions of GoogleSQL that DuckDB lacks or means otherwise, given to it from C.
 *
 * Why: operators and functions whose meaning depends on types (3 / 0, LENGTH of BYTES, CAST of text to DATE) are
 *      printed by format/sql as calls of bq_NAME. Each is a set of overloads, so DuckDB's binder does the
 *      typing and the error words are BigQuery's.
 *
 * Shape:   bq_NAME is there twice: bq_safe_NAME gives NULL instead of its own errors (not those of its
 *          arguments), which is what SAFE.NAME and SAFE_CAST mean.
 * Errors:  a function's own become DuckDB's "Invalid Input Error: " and BigQuery's words.
 * Threads: DuckDB calls the functions from its threads; they share nothing but the cache of time zones.
 */
#ifndef TRANCHE_STORE_TABLES_DUCKDB_FUNCTIONS_FUNCTIONS_H
#define TRANCHE_STORE_TABLES_DUCKDB_FUNCTIONS_FUNCTIONS_H

#include "store/tables/duckdb/library/library.h"

/* Registers all of them at the instance that c is connected to: once each instance. */
int functions_register(const struct duckdb_library *d, duckdb_connection c,
                       struct error *e) FALLIBLE;

#endif
