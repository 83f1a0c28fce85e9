/* library.h -- DuckDB's library, loaded when it is first needed. For store/tables/duckdb alone.
 *
 * Why: it has 60 MB, and most runs have no table. Its functions are therefore found by name at run time; the
 * header says their types.
 *
 * Source:  $TRANCHE_DUCKDB, else beside the program (../lib/tranche/libduckdb.so), else where it was when
 *          tranche was built.
 * Errors:  UNIMPLEMENTED: it is not there, is not of the version of the header, or this build has no tables.
 * Threads: all.
 */
#ifndef TRANCHE_STORE_TABLES_DUCKDB_LIBRARY_H
#define TRANCHE_STORE_TABLES_DUCKDB_LIBRARY_H

#include <duckdb.h>

#include "base/error.h"

// clang-format off
#define DUCKDB_CALLS(X) \
    X(library_version) X(create_config) X(set_config) X(destroy_config) X(open_ext) X(close) \
    X(connect) X(disconnect) X(query) X(destroy_result) X(result_error) X(column_count) \
    X(fetch_chunk) X(destroy_data_chunk) X(data_chunk_get_size) X(data_chunk_get_vector) \
    X(vector_get_data) X(vector_get_validity) X(free)
// clang-format on

/* The functions by their names without "duckdb_". */
struct duckdb_library {
// NOLINTNEXTLINE(bugprone-macro-parentheses): a declaration
#define X(name) __typeof__(&duckdb_##name) name;
    DUCKDB_CALLS(X)
#undef X
};

const struct duckdb_library *duckdb_library(struct error *e);

#endif
