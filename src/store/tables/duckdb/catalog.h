/* catalog.h -- the records of datasets and tables, and the engine's schemas and tables that belong to them.
 *
 * Why: BigQuery's names differ by case and the engine's do not, and a table has more than the engine knows
 *      of it: modes, descriptions, labels, partitions, expiration. A record says both names.
 *
 * Shape:   a physical name is the name itself unless the engine has it already or reserves it: then ~2, ~3 and
 *          so on stand behind it. A table without columns has no table of the engine (physical is empty).
 *          A table past its expiration is not found.
 * Use:     with p->lock held; changes within project_change.
 * Errors:  as tables.h says.
 */
#ifndef TRANCHE_STORE_TABLES_DUCKDB_CATALOG_H
#define TRANCHE_STORE_TABLES_DUCKDB_CATALOG_H

#include "store/tables/duckdb/project.h"

struct dataset_row {
    struct tables_dataset d;
    struct str physical;
    int64_t version;
};
struct table_row {
    struct tables_table t; /* rows and bytes are not counted */
    struct str dataset_physical, physical;
    int64_t version;
};

/* Runs a change in one transaction, with p->lock held; again when another transaction was in its way, at most
 * CHANGE_TRIES times. */
#define CHANGE_TRIES 50
int project_change(struct project *p, int (*run)(struct project *p, void *arg, struct error *e),
                   void *arg, struct error *e) FALLIBLE;

/* Reads the kind in a record of a table. */
enum tables_kind catalog_kind(struct bq_cell cell);
/* 1: found, 0: absent, -1. */
int catalog_find_dataset(struct project *p, struct str dataset, struct arena *a,
                         struct dataset_row *out, struct error *e) FALLIBLE;
int catalog_find_table(struct project *p, const struct tables_name *name, struct arena *a,
                       struct table_row *out, struct error *e) FALLIBLE;
/* The same; absent is NOT_FOUND. */
int catalog_need_dataset(struct project *p, const struct tables_name *name, struct arena *a,
                         struct dataset_row *out, struct error *e) FALLIBLE;
int catalog_need_table(struct project *p, const struct tables_name *name, struct arena *a,
                       struct table_row *out, struct error *e) FALLIBLE;

/* A record has this kind, beside TABLES_TABLE and TABLES_VIEW, for a view with names for its columns. */
#define KIND_NAMED_VIEW 2

/* A name of the engine that is free in the dataset's schema; in the arena. */
int catalog_free_name(struct project *p, struct str dataset_physical, struct str name,
                      struct arena *a, struct str *out, struct error *e) FALLIBLE;
/* Adds the record of a table whose table in the engine is there, as `physical`. c: the connection whose
 * transaction makes it: p->meta, or another one for a table of the dataset of results. */
int catalog_add_table(struct project *p, struct connection *c, const struct tables_table *t,
                      struct str physical, struct error *e) FALLIBLE;
/* Writes row->t and row->physical over the record of that name; with the time and the next version. */
int catalog_set_table(struct project *p, const struct table_row *row, struct error *e) FALLIBLE;
/* Drops the engine's table or view and the record. */
int catalog_drop_table(struct project *p, const struct table_row *row, struct error *e) FALLIBLE;
/* The rows of a table have changed. Not within a change; an error is of no consequence. */
void catalog_touch(struct project *p, const struct tables_name *name);

/* "catalog"."dataset"."table", for SQL. */
void catalog_add_path(const struct project *p, struct buf *sql, struct str dataset_physical,
                      struct str physical);
/* ("a" BIGINT NOT NULL, ...); defaults: SQL of each column's default, or empty; NULL: none. */
void catalog_add_columns(struct buf *sql, const struct bq_schema *schema,
                         const struct str *defaults);
/* Rows and bytes of a table, as BigQuery counts bytes; of a big one the bytes are estimated. */
int catalog_count(struct project *p, struct table_row *row, struct error *e) FALLIBLE;

#define PARTITION_TIME "\"_PARTITIONTIME\""
const char *catalog_partition_unit(const struct tables_table *t);
int catalog_add_partition_time(struct project *p, const struct tables_table *t,
                               struct str dataset_physical, struct str physical,
                               struct error *e) FALLIBLE;

/* {"fields":[...]}; in the arena. */
struct str schema_text(struct arena *a, const struct bq_schema *schema);

void etag_write(char out[TABLES_ETAG_BYTES], int64_t created_ms, int64_t version);
/* ABORTED unless given is empty or the etag. */
int etag_check(const char *given, const char *is, const char *what, struct error *e) FALLIBLE;
int not_found(struct error *e, const struct tables_name *name);
int already_exists(struct error *e, const struct tables_name *name);

#endif
