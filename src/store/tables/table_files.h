/* table_files.h -- Parquet files and tables of DuckDB files, read into CSV and written from it.
 *
 * Why: a run works on text. Here a table becomes the CSV that the run reads, and the CSV that it wrote
 * becomes a table with the types that the columns had: 64-bit integers, decimals, dates and nested values
 * come back exactly.
 *
 * In:      a file's name that ends in .parquet, or FILE.duckdb#TABLE (a table or a view; SCHEMA.TABLE too).
 * Out:     CSV in UTF-8, one header, comma, LF; null is an empty cell, an empty text is "". Rows keep
 *          their order. Bytes are base64, nested values JSON, or as DuckDB writes them when decimals or
 *          128-bit integers stand in them, which JSON would round.
 *          In Parquet, which lacks 128-bit integers, those become text.
 * Errors:  NOT_FOUND: no such file or table; INVALID_ARGUMENT: what the engine says of a file, with its
 *          name; FAILED_PRECONDITION: another process has the DuckDB file open; UNIMPLEMENTED: the
 *          library of DuckDB is not there, or a column has a type that cannot be carried (UNION, GEOMETRY).
 * Threads: one at a time.
 * Owns:    an in-memory engine of its own, made at the first use, with at most TABLE_FILES_MEMORY; what it
 *          cannot hold goes to `scratch`. The only SQL of others that it sees is the views of a DuckDB
 *          file that the caller names.
 */
#ifndef TRANCHE_STORE_TABLES_TABLE_FILES_H
#define TRANCHE_STORE_TABLES_TABLE_FILES_H

#include <stdint.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"

#define TABLE_FILES_MEMORY "192MB"

struct table_column {
    struct str name;
    struct str type; /* as the engine writes it: BIGINT, VARCHAR, DECIMAL(18,3), STRUCT(a BIGINT) */
};
struct table_columns {
    struct table_column *item;
    uint32_t count;
};

struct table_head {
    struct table_columns columns;
    struct str *cell;
    uint32_t rows;
};

struct table_files;

bool table_file_is(struct str name);

struct table_files *table_files_open(const char *scratch, struct error *e);
void table_files_close(struct table_files *t); /* accepts NULL */

/* The same for what head, schema and copy also take: .csv, .tsv, .jsonl and .ndjson, also with .gz or .zst behind, their
 * columns and types found by looking at the rows. */
bool table_file_is_readable(struct str name);

/* The tables and views of a DuckDB file, as SCHEMA.TABLE. */
int table_files_list(struct table_files *t, struct str file, struct arena *a,
                     struct table_columns *out, struct error *e) FALLIBLE;
/* The first rows, at most TABLE_HEAD_MAX, as texts: cell[row * columns + column], null as an empty one. */
#define TABLE_HEAD_MAX 1000
int table_files_head(struct table_files *t, struct str table, uint32_t rows_max, struct arena *a,
                     struct table_head *out, struct error *e) FALLIBLE;
/* A table from one file to another, of any two kinds. Returns the rows, or -1. */
int64_t table_files_copy(struct table_files *t, struct str from, struct str to,
                         struct error *e) FALLIBLE;

/* The columns of a table, in the arena. */
int table_files_columns(struct table_files *t, struct str table, struct arena *a,
                        struct table_columns *out, struct error *e) FALLIBLE;
/* All rows of a table into a CSV file, which may be a descriptor's: /proc/self/fd/N. Returns how many, or -1. */
int64_t table_files_read(struct table_files *t, struct str table, const char *csv,
                         struct error *e) FALLIBLE;
/* Makes the table of a CSV file with these columns, in their order; what stood under the name goes. The file is
 * whole under its name, or not there; of a DuckDB file only that table changes. Returns the rows, or -1. */
int64_t table_files_write(struct table_files *t, const char *csv,
                          const struct table_columns *columns, struct str table,
                          struct error *e) FALLIBLE;

#endif
