/* embedded.h -- the embedded tables' own functions, as tables_duckdb.c puts them into the table of operations.
 *
 * Contracts are those of tables.h. For store/tables/duckdb alone.
 */
#ifndef TRANCHE_STORE_TABLES_DUCKDB_EMBEDDED_H
#define TRANCHE_STORE_TABLES_DUCKDB_EMBEDDED_H

#include "store/tables/duckdb/catalog.h"

/* ---- datasets.c ---- */
int dataset_create(struct tables *t, const struct tables_dataset *d, struct error *e) FALLIBLE;
int dataset_get(struct tables *t, const struct tables_name *name, struct arena *a,
                struct tables_dataset *out, struct error *e) FALLIBLE;
int dataset_change(struct tables *t, const struct tables_dataset *d, struct error *e) FALLIBLE;
int dataset_delete(struct tables *t, const struct tables_name *name, bool contents,
                   struct error *e) FALLIBLE;
int dataset_list(struct tables *t, const struct tables_page *page, struct arena *a,
                 struct tables_datasets *out, struct error *e) FALLIBLE;

/* ---- relations.c: tables and views ---- */
int relation_create(struct tables *t, const struct tables_table *table, struct error *e) FALLIBLE;
int relation_get(struct tables *t, const struct tables_name *name, struct arena *a,
                 struct tables_table *out, struct error *e) FALLIBLE;
int relation_change(struct tables *t, const struct tables_table *table, struct error *e) FALLIBLE;
int relation_remove(struct tables *t, const struct tables_name *name, struct error *e) FALLIBLE;
int relation_list(struct tables *t, const struct tables_page *page, struct arena *a,
                  struct tables_list *out, struct error *e) FALLIBLE;

/* In a change: makes the table of the engine and its record. defaults: SQL of the engine, or NULL. */
int relation_make(struct project *p, const struct tables_table *t, const struct str *defaults,
                  struct error *e) FALLIBLE;
/* In a change: the engine's table and the record become those of schema `to`, whose columns begin with the old ones.
 * The row's new texts live in the arena. */
int relation_extend(struct project *p, struct table_row *row, const struct bq_schema *to,
                    const struct str *defaults, struct arena *a, struct error *e) FALLIBLE;

/* ---- rows.c ---- */
struct tables_rows *table_rows_open(struct tables *t, const struct tables_read *r, struct arena *a,
                                    struct bq_schema *schema, struct error *e);
int table_rows_next(struct tables_rows *r, struct arena *a, struct bq_batch *out,
                    struct error *e) FALLIBLE;
void table_rows_close(struct tables_rows *r);

/* ---- writer.c ---- */
struct tables_writer *writer_open(struct tables *t, const struct tables_write *w, int64_t *position,
                                  struct error *e);
int writer_append(struct tables_writer *w, const struct bq_batch *batch, int64_t position,
                  struct error *e) FALLIBLE;
int writer_commit(struct tables_writer *w, struct tables_outcome *out, struct error *e) FALLIBLE;
void writer_close(struct tables_writer *w, bool keep);
int writer_insert(struct tables *t, const struct tables_name *name, const struct bq_schema *schema,
                  const struct bq_batch *batch, struct error *e) FALLIBLE;

/* ---- publish.c ---- */

/* A table of the engine that is filled and hidden: it becomes a table, or its rows are added to one. */
struct publish {
    const struct tables_into *into;
    struct bq_schema schema; /* of the hidden table */
    const struct str *defaults;
    struct str dataset_physical, hidden;
    struct str key;
    struct tables_outcome *outcome;
    struct tables_result *result; /* of a query: recorded with the key instead; or NULL */
    enum {
        PUBLISH_INTO,
        PUBLISH_NEW,
        PUBLISH_REPLACE
    } mode;                        /* as into says; CREATE TABLE; CREATE OR REPLACE */
    struct str session, temporary; /* a session's temporary table of that name; or none */
};
/* In one transaction, with its key. The hidden table is gone when it has returned 0. */
int publish(struct project *p, const struct publish *how, struct error *e) FALLIBLE;
/* Checks what into allows, before any row is written: NOT_FOUND, ALREADY_EXISTS, INVALID_ARGUMENT for the schema. d: the
 * dataset. */
int publish_check(struct project *p, const struct tables_into *into, const struct bq_schema *schema,
                  struct arena *a, struct dataset_row *d, struct error *e) FALLIBLE;
/* A new hidden name, "~" and random letters; in the arena. */
int hidden_name(struct arena *a, struct str *out, struct error *e) FALLIBLE;
void hidden_drop(struct project *p, struct str dataset_physical, struct str hidden);

/* ---- records.c ---- */
int query_job_put(struct tables *t, struct str project, const struct tables_job *job,
                  struct error *e) FALLIBLE;
int query_job_get(struct tables *t, struct str project, struct str id, struct arena *a,
                  struct tables_job *out, struct error *e) FALLIBLE;
int query_job_list(struct tables *t, const struct tables_jobs_page *page, struct arena *a,
                   struct tables_jobs *out, struct error *e) FALLIBLE;
int query_job_delete(struct tables *t, struct str project, struct str id, struct error *e) FALLIBLE;
int done_get(struct tables *t, struct str project, struct str key, struct tables_outcome *out,
             struct error *e) FALLIBLE;
/* With p->lock held. 1: recorded. */
int done_find(struct project *p, struct str key, struct tables_outcome *out,
              struct error *e) FALLIBLE;
/* On the connection whose transaction makes the change; an empty key records nothing. */
int done_put(struct project *p, struct connection *c, struct str key,
             const struct tables_outcome *outcome, struct error *e) FALLIBLE;
int session_create(struct tables *t, struct str project, struct arena *a, struct str *id,
                   struct error *e) FALLIBLE;
int session_end(struct tables *t, struct str project, struct str id, struct error *e) FALLIBLE;
/* In a change: the session's name for a table of the dataset of results. */
int temporary_put(struct project *p, struct str session, struct str name, struct str relation,
                  struct error *e) FALLIBLE;
int tables_sweep(struct tables *t, struct error *e) FALLIBLE;

/* ---- query.c ---- */
int tables_query_run(struct tables *t, const struct tables_query *q, struct arena *a,
                     struct tables_result *out, struct error *e) FALLIBLE;
/* The SELECT of the engine for a view's query, and its columns. Not with p->lock held. */
int query_translate(struct project *p, struct str sql, struct arena *a, struct str *out,
                    struct bq_schema *schema, struct error *e) FALLIBLE;
/* The defaults of columns as SQL of the engine; NULL when there are none. */
int query_defaults(struct project *p, const struct bq_schema *schema, struct arena *a,
                   struct str **out, struct error *e) FALLIBLE;

/* ---- load.c, extract.c ---- */
int tables_load_files(struct tables *t, const struct tables_load *l, struct arena *a,
                      struct tables_loaded *out, struct error *e) FALLIBLE;
int tables_extract_file(struct tables *t, const struct tables_extract *x,
                        struct tables_outcome *out, struct error *e) FALLIBLE;
int tables_copy_table(struct tables *t, const struct tables_copy *c, struct tables_outcome *out,
                      struct error *e) FALLIBLE;

static inline struct embedded *embedded_of(struct tables *t)
{
    return (struct embedded *)t; /* its first member */
}

#endif
