/* connection.h -- one connection to an engine: statements, their few rows, errors in our words.
 *
 * Why: each statement is put together in `sql` and run; names and texts go in by sql_name and sql_text
 *      (engine.h) only, so that no quote in them ends anything.
 * Errors:  RESOURCE_EXHAUSTED: memory, disk; ABORTED: another transaction changed the same; CANCELLED: it was
 *          interrupted (guard.h says why); INVALID_ARGUMENT: what the engine says of a statement or a value.
 * Threads: one owner at a time; guard.h interrupts from another one.
 */
#ifndef TRANCHE_STORE_TABLES_DUCKDB_CONNECTION_H
#define TRANCHE_STORE_TABLES_DUCKDB_CONNECTION_H

#include "base/str.h"
#include "store/tables/duckdb/vectors.h"

struct connection {
    const struct duckdb_library *duckdb;
    duckdb_connection handle; /* NULL: closed */
    struct buf sql;           /* of the statement that is put together */
};
int connection_open(struct connection *c, const struct duckdb_library *d, duckdb_database database,
                    struct error *e) FALLIBLE;
void connection_close(struct connection *c); /* accepts a zeroed one */

/* Begins a statement: sql is empty, then printf's output. */
void sql_start(struct connection *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Appends `, ` or other text, and a name or a text with its quotes. */
void sql_addf(struct connection *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void sql_add_name(struct connection *c, struct str name);
void sql_add_text(struct connection *c, struct str text); /* an empty one too */

/* Runs c->sql. Rows that were changed, or -1. */
int64_t sql_run(struct connection *c, struct error *e);
int sql_run_c(struct connection *c, const char *sql, struct error *e) FALLIBLE;
/* Runs c->sql, which gives few rows, and keeps all of them. */
struct grid {
    struct bq_cell *cell; /* [row * columns + column] */
    uint32_t rows, columns;
};
int sql_fetch(struct connection *c, struct arena *a, struct grid *out, struct error *e) FALLIBLE;
/* The number in the first cell of the first row; none when there are no rows, or null. */
int sql_fetch_number(struct connection *c, int64_t none, int64_t *out, struct error *e) FALLIBLE;
/* The rows of a result; more than rows_max are RESOURCE_EXHAUSTED. */
int grid_of_result(struct connection *c, duckdb_result *result, uint32_t rows_max, struct arena *a,
                   struct grid *out, struct error *e) FALLIBLE;
int64_t cell_number(struct bq_cell c); /* 0 when it is null or none */

/* The error of a result or a statement that failed, in our words. Returns -1. */
int connection_error(struct error *e, duckdb_error_type type, const char *said);
/* The number of times that an engine said it works no more, and has to be closed and opened. */
uint32_t connections_lost(void);

/* A transaction: begin, and commit when rc is 0, else roll back. -1 when either failed. */
int sql_begin(struct connection *c, struct error *e) FALLIBLE;
int sql_end(struct connection *c, int rc, struct error *e) FALLIBLE;

#endif
