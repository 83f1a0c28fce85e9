/* project.h -- a project's engine: one DuckDB instance on the project's file, opened when needed.
 *
 * Why: projects share nothing: no file, memory limit, temporary space or catalog. A statement of one cannot name
 *      a table of another, since its engine has no other file and cannot open one.
 *
 * Shape:   DIR/PROJECT.duckdb (mode 0600). Datasets are its schemas; the schema `_tranche` has the records of
 *          datasets, tables, keys, writers and jobs (schema.sql.h), changed in the same transaction as what they
 *          describe. Tables whose names begin with ~ are unfinished.
 *          The engine is sealed once it is open: no files, no network, no extensions, no settings.
 * Errors:  NOT_FOUND: the project has no file, and none is to be made; FAILED_PRECONDITION: another process has
 *          it open, or it is of a newer version; UNIMPLEMENTED: DuckDB's library is not there.
 * Threads: all. A project that is entered stays open until it is left.
 */
#ifndef TRANCHE_STORE_TABLES_DUCKDB_PROJECT_H
#define TRANCHE_STORE_TABLES_DUCKDB_PROJECT_H

#include "store/tables/duckdb/connection.h"
#include "store/tables/duckdb/guard.h"
#include "store/tables/tables.h"

#define PROJECT_IDLE_CONNECTIONS 4

struct project {
    struct embedded *owner;
    const struct duckdb_library *duckdb;
    char *name, *path;
    struct str catalog; /* as SQL names it; in `kept` */
    struct str results; /* dataset of results and temporary tables; in `kept` */
    struct arena kept;
    duckdb_database database;

    pthread_mutex_t lock;   /* guards meta: held for a change of the catalog from begin to end */
    struct connection meta; /* reads and changes the schema `_tranche` */

    pthread_mutex_t idle_lock; /* guards the connections that nobody uses */
    struct connection idle[PROJECT_IDLE_CONNECTIONS];
    uint32_t idle_count;

    /* Under the owner's lock: */
    uint32_t users;
    uint32_t lost; /* connections_lost when it was opened */
    bool busy;     /* one thread opens or closes it; others wait */
    uint64_t used_ns;
    struct project *next;
};

struct embedded {
    struct tables tables;
    char *dir;
    struct tables_limits limits;
    struct clock *clock;
    struct watch watch;
    pthread_mutex_t lock; /* guards the list of projects and who uses them */
    pthread_cond_t changed;
    struct project *projects;
};

/* Opens the project's engine unless it is open. make: also when it has no file yet. */
struct project *project_enter(struct embedded *t, struct str name, bool make, struct error *e);
/* 1: entered; 0: it has no file, and e stays as it was; -1. */
int project_enter_if_there(struct embedded *t, struct str name, struct project **out,
                           struct error *e) FALLIBLE;
void project_leave(struct project *p); /* accepts NULL */
/* Closes engines that nobody uses: all, or those that have been idle for longer than the limit. */
void projects_close(struct embedded *t, bool all);

/* A connection for statements that may run long. */
int project_connect(struct project *p, struct connection *out, struct error *e) FALLIBLE;
void project_disconnect(struct project *p, struct connection *c); /* no transaction may be open */

int64_t project_now_ms(const struct project *p);

#endif
