/* vectors.h -- values of DuckDB's vectors as cells, and cells as values of vectors. For store/tables/duckdb alone.
 *
 * Why: rows leave and enter the engine by chunks of vectors; everybody else works on cells.
 *
 * Shape:   a shape is a type of DuckDB, looked at once: how its values lie in memory and which column of BigQuery
 *          comes nearest. Chunks of one result have the shapes of its columns.
 * Errors:  UNIMPLEMENTED: a type that no column of BigQuery can have (UNION, an array of arrays);
 *          INVALID_ARGUMENT: a cell that is not of its field's form.
 * Threads: none. Shapes and cells live in the caller's arena.
 */
#ifndef TRANCHE_STORE_TABLES_DUCKDB_VECTORS_H
#define TRANCHE_STORE_TABLES_DUCKDB_VECTORS_H

#include "format/bigquery/cell.h"
#include "store/tables/duckdb/library/library.h"

struct shape {
    duckdb_type id;
    duckdb_type stored;    /* of a DECIMAL or an ENUM: what its values are in memory */
    uint8_t scale;         /* of a DECIMAL */
    struct bq_field field; /* with its name; mode BQ_NULLABLE or BQ_REPEATED */
    struct shape *child;   /* of a list or an array its element, of a STRUCT its fields */
    uint32_t child_count;
    uint64_t array_size; /* of an array */
    struct str *word;    /* of an ENUM */
};
/* type is destroyed whatever happens. */
int shape_of(const struct duckdb_library *d, duckdb_logical_type type, struct str name,
             struct arena *a, struct shape *out, struct error *e) FALLIBLE;
/* The schema of these shapes: their fields. */
struct bq_schema shapes_schema(struct arena *a, const struct shape *shape, uint32_t count);

/* Rows [from, from + rows) of a chunk, or of the batch that goes into one. */
struct part {
    const struct duckdb_library *duckdb;
    duckdb_data_chunk chunk;
    uint32_t from, rows;
};
/* The part's rows, into cell[row * count + column]. */
int vectors_read(const struct part *part, const struct shape *shape, uint32_t count,
                 struct arena *a, struct bq_cell *cell, struct error *e) FALLIBLE;

/* The type of DuckDB for a column; the caller destroys it. */
duckdb_logical_type vectors_type(const struct duckdb_library *d, const struct bq_field *f);
/* The part's rows of a batch into its chunk, which has vectors_type's types and is made empty before. They are at
 * most duckdb_vector_size. Errors name the column. */
int vectors_write(const struct part *part, const struct bq_schema *schema,
                  const struct bq_batch *batch, struct error *e) FALLIBLE;
/* A cell as a value to bind; the caller destroys it. NULL on an error. */
duckdb_value vectors_value(const struct duckdb_library *d, const struct bq_field *f,
                           struct bq_cell cell, struct error *e);

#endif
