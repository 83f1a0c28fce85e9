/* ddl.h -- one statement that makes, changes or drops datasets, tables or views. For ddl*.c alone. */
#ifndef TRANCHE_STORE_TABLES_DUCKDB_DDL_H
#define TRANCHE_STORE_TABLES_DUCKDB_DDL_H

#include "store/tables/duckdb/query.h"

/* One statement, on its way through the catalog. */
struct ddl_work {
    struct query_run *run;
    const struct sql_written *w;
    const struct sql_ddl *ddl;
    struct tables_name name;
    struct tables_result *out;
    struct str key;
    /* Found out before the change. */
    struct str view_sql;
    struct bq_schema schema;
    const struct str *defaults;
    struct str options;
    int64_t expires_ms;
    struct str temporary; /* the session's name for it; or empty */
    int64_t altered_ms;   /* expirationTime of ALTER ... SET OPTIONS, or -1 */
};

/* Members of a resource that are kept as JSON, and the one that is a number of its own. */
struct options {
    struct str json;
    const char *numbered; /* expirationTime, defaultTableExpirationMs */
    int64_t number;
};
/* Sets the members of `set`, a JSON object or nothing; null drops a member. In the arena. */
int options_merge(struct arena *a, struct options *options, struct str set,
                  struct error *e) FALLIBLE;

/* An expiration may be an expression: a SELECT of the engine that gives milliseconds; without one *out stays. */
int ddl_expiration(struct query_run *r, struct str select, int64_t *out, struct error *e) FALLIBLE;
/* A result that may be passed over: IF EXISTS, IF NOT EXISTS. */
int ddl_ignore(int rc, bool may, enum error_code code, struct tables_result *out, struct error *e);
int ddl_alter(struct ddl_work *work, struct error *e) FALLIBLE;

#endif
