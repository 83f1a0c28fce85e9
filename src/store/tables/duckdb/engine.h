/* engine.h -- one in-memory DuckDB, and the SQL of files that it reads and writes. For store/tables/duckdb alone.
 *
 * Shape:   a statement is put together in `sql` and run; names and texts go in by sql_name and sql_text only, so
 *          that no quote in them ends anything. `what` names the file in an error.
 * Errors:  as table_files.h says.
 */
#ifndef TRANCHE_STORE_TABLES_DUCKDB_ENGINE_H
#define TRANCHE_STORE_TABLES_DUCKDB_ENGINE_H

#include "store/tables/duckdb/library/library.h"
#include "store/tables/table_files.h"

struct table_files {
    const struct duckdb_library *duckdb;
    duckdb_database database;
    duckdb_connection connection;
    struct buf sql; /* of the statement that is put together */
};

/* A kind of file: the function that reads it, and the options of COPY that write it. */
struct kind {
    const char *ending, *reader, *writer;
};
enum { TABLE_PARQUET, TABLE_CSV, TABLE_KINDS = 5 };
extern const struct kind table_kinds[TABLE_KINDS];

/* A file of a kind, or a DuckDB file (no kind) and a table in it. */
struct place {
    struct str file, table;
    const struct kind *kind;
};
struct place place_of(struct str name);

void sql_name(struct buf *sql, struct str name);         /* "a ""b""" */
void sql_text(struct buf *sql, struct str text);         /* 'it''s' */
void sql_source(struct buf *sql, const struct place *p); /* what stands after FROM */

/* Runs t->sql. */
int engine_query(struct table_files *t, struct str what, duckdb_result *out,
                 struct error *e) FALLIBLE;
int64_t engine_copy(struct table_files *t, struct str what, struct error *e) FALLIBLE; /* rows */
/* A DuckDB file is attached as `file` for one call; nothing happens for other kinds. */
int engine_attach(struct table_files *t, const struct place *p, bool read_only,
                  struct error *e) FALLIBLE;
int engine_detach(struct table_files *t, const struct place *p,
                  struct error *e); /* after a write, its error is of the write */

struct str engine_text(const duckdb_string_t *s, struct arena *a);

#endif
