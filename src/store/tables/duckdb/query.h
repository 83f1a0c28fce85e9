/* query.h -- one call of tables_ops.query: a script of GoogleSQL, walked step by step on one connection.
 *
 * Why: format/sql reads and writes SQL and knows no engine; here its steps run. walk.c walks the program,
 *      statement.c runs a SELECT or DML, ddl.c changes the catalog, resolve.c answers what SQL asks of the
 *      catalog, information.c has INFORMATION_SCHEMA. For store/tables/duckdb alone.
 * Threads: one.
 */
#ifndef TRANCHE_STORE_TABLES_DUCKDB_QUERY_H
#define TRANCHE_STORE_TABLES_DUCKDB_QUERY_H

#include "format/sql/sql.h"
#include "store/tables/duckdb/embedded.h"

#define QUERY_VIEWS_DEEP_MAX 16    /* views of views; as BigQuery has it */
#define QUERY_VIEWS_MAX 1000       /* of a statement, a view counted each time that it is named */
#define QUERY_STEPS_RUN_MAX 100000 /* steps that one script runs; a loop without end ends here */
#define QUERY_RESULTS_MAX 1000     /* statements of a script whose results are kept */
#define QUERY_ROWS_OF_STEP_MAX 1000000 /* of a FOR's query */

struct query_variable {
    struct sql_variable v; /* name in lower case */
    struct bq_cell value;
};

struct query_run {
    struct project *project;
    const struct tables_query *q;
    struct arena *arena; /* of the call: the result lives here */
    struct connection connection;
    struct guard guard;
    struct sql_catalog catalog;
    struct sql_env env;
    struct tables_name default_dataset;
    uint32_t views_deep;   /* views within each other that are being written */
    uint32_t views;        /* of the statement, written so far */
    struct str session;    /* of temporary tables; empty: none was needed yet */
    bool own_session;      /* it ends with the call */
    bool in_transaction;   /* of the script's own */
    bool transaction_lost; /* rolled back by an error that a block handles; its ROLLBACK follows */
    struct query_variable *variable;
    uint32_t variable_count;
    struct sql_variable *declared;          /* the same for env */
    struct str error_text, error_statement; /* @@error while an error is handled */
    bool script;                            /* more than one statement */
    struct tables_result *out;
};

/* ---- query.c, walk.c ---- */
int query_statement(struct query_run *r, const struct sql_script *s, const struct sql_step *step,
                    struct str key, struct tables_result *out, struct error *e) FALLIBLE;
int walk_script(struct query_run *r, const struct sql_script *script, struct error *e) FALLIBLE;

/* ---- resolve.c ---- */
void resolve_start(struct query_run *r);
/* The name in full: default dataset, temporary tables. */
int resolve_name(struct query_run *r, const struct sql_name *name, struct tables_name *out,
                 struct error *e) FALLIBLE;
/* The session for temporary tables, made at the first use. */
int resolve_session(struct query_run *r, struct error *e) FALLIBLE;
/* INVALID_ARGUMENT when the query names a session that is not there. */
int resolve_check_session(struct query_run *r, struct error *e) FALLIBLE;
int resolve_information(struct query_run *r, const struct sql_name *name, struct str view,
                        struct arena *a, struct str *out, struct error *e) FALLIBLE;

/* The query of a view as a SELECT of DuckDB, as its tables are now. Its names without a dataset are of the view's own;
 * it knows no parameters, variables and temporary tables. */
int view_write(struct query_run *r, const struct tables_name *view, struct str query,
               struct str *out, struct error *e) FALLIBLE;

/* ---- statement.c ---- */

/* The columns that a SELECT gives, whatever its parameters are. */
int statement_describe(struct query_run *r, struct str sql, struct arena *a, struct bq_schema *out,
                       struct error *e) FALLIBLE;
/* The rows of a SELECT, kept: of a step that is no statement. */
int statement_values(struct query_run *r, struct str sql, uint32_t rows_max,
                     struct bq_schema *schema, struct grid *out, struct error *e) FALLIBLE;
/* SELECT into a table, and INSERT, UPDATE, DELETE, MERGE. key: recorded with it. */
int statement_select(struct query_run *r, const struct sql_written *w, struct str key,
                     struct tables_result *out, struct error *e) FALLIBLE;
int statement_dml(struct query_run *r, const struct sql_written *w, struct str key,
                  struct tables_result *out, struct error *e) FALLIBLE;
/* Fills a new hidden table of the dataset with a SELECT's rows. */
int statement_fill(struct query_run *r, struct str sql, const struct bq_schema *schema,
                   struct str dataset_physical, struct str *hidden, struct error *e) FALLIBLE;

/* ---- ddl.c ---- */
int ddl_run(struct query_run *r, const struct sql_written *w, struct str key,
            struct tables_result *out, struct error *e) FALLIBLE;

/* ---- outcome.c: results kept with their key ---- */
/* 1: the key has a result. */
int outcome_find(struct project *p, struct str key, struct arena *a, struct tables_result *out,
                 struct error *e) FALLIBLE;
int outcome_put(struct project *p, struct connection *c, struct str key,
                const struct tables_result *result, struct error *e) FALLIBLE;

#endif
