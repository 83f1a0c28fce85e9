/* tables.h -- datasets, tables and queries of projects, whoever holds them.
 *
 * Why: the BigQuery API, batch jobs and the command line work on tables and must not know who has them: the
 * embedded engine, with a file a project, or BigQuery itself over REST. An implementation is a
 * `const struct tables_ops`; tests/conform/tables runs against each.
 *
 * Shape:   values are the texts of format/bigquery/cell.h, columns are format/bigquery/schema.h, and SQL is
 *          GoogleSQL. No type of an engine crosses.
 * Keys:    an operation that changes tables takes a key, such as a job's id and fence. Its outcome is recorded
 *          with the key in the transaction that makes the change. Asked again with the same key, also after a
 *          crash, it changes nothing and gives the outcome that was recorded. An empty key records nothing.
 * Errors:  NOT_FOUND "Not found: Table p:d.t", "Not found: Dataset p:d"; ALREADY_EXISTS "Already Exists: Table
 *          p:d.t"; INVALID_ARGUMENT: a name, a value or SQL, which ends in " at [line:column]"; UNIMPLEMENTED:
 *          SQL that BigQuery has and we do not, in words; ABORTED: the etag is not the given one;
 *          FAILED_PRECONDITION: a dataset that still has tables, or another process has the file open;
 *          RESOURCE_EXHAUSTED: memory (tables_lack_memory), disk or a limit, by its name; DEADLINE_EXCEEDED: a query's time;
 *          CANCELLED: tables_cancel_now. UNAVAILABLE: the implementation is away; try again.
 * Threads: all calls from any thread at once; rows, writers and results have one owner. Calls wait for disks and
 *          networks.
 * Owns:    what is given is borrowed for the call; what is found lives in the arena of the call.
 */
#ifndef TRANCHE_STORE_TABLES_TABLES_H
#define TRANCHE_STORE_TABLES_TABLES_H

#include <pthread.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/unpack.h"
#include "format/bigquery/cell.h"
#include "format/bigquery/schema.h"
#include "net/client/credential.h"

/* Names are as BigQuery has them: a dataset [A-Za-z0-9_]{1,1024}, a table up to 1024 bytes of letters, marks,
 * digits, connectors, dashes and spaces of Unicode. Case counts in both. */
#define TABLES_NAME_BYTES_MAX 1024
#define TABLES_PAGE_MAX 10000 /* items of one page of a list */
#define TABLES_BATCH_ROWS 1024
#define TABLES_KEY_BYTES_MAX 256

struct tables_name {
    struct str project, dataset, table; /* of a dataset, table is empty */
};

/* ---- Stop from another thread ---- */

/* Lives as long as the calls that it was given to. The same one may be given to several calls. */
struct tables_cancel {
    pthread_mutex_t lock; /* guards everything below */
    bool asked;
    void (*wake)(void *arg); /* set by the call that runs now; called under the lock */
    void *arg;
};
void tables_cancel_init(struct tables_cancel *c);
void tables_cancel_release(struct tables_cancel *c);
void tables_cancel_now(struct tables_cancel *c);
/* For implementations: what a cancel shall do from now on; false: it was asked already. NULL: nothing. */
bool tables_cancel_set(struct tables_cancel *c, void (*wake)(void *arg), void *arg);

/* ---- Datasets and tables ---- */

#define TABLES_ETAG_BYTES 40

struct tables_dataset {
    struct tables_name name;
    /* The resource's other members, as a JSON object: friendlyName, description, labels, location,
     * defaultTableExpirationMs and so on. Kept as they are; empty: none. */
    struct str options;
    int64_t default_expiration_ms; /* of tables made in it; 0: none */
    /* Set by the implementation: */
    int64_t created_ms, changed_ms;
    char etag[TABLES_ETAG_BYTES];
};

enum tables_kind { TABLES_TABLE, TABLES_VIEW };

struct tables_table {
    struct tables_name name;
    enum tables_kind kind;
    struct bq_schema schema; /* of a view it is found out when it is made */
    struct str view_query;   /* of a view: GoogleSQL */
    bool view_names;         /* of a view: schema has its columns' names, and not view_query */
    /* The resource's other members, as a JSON object: description, labels, timePartitioning, clustering and so
     * on. Kept as they are; empty: none. */
    struct str options;
    int64_t expires_ms; /* 0: never */
    /* Set by the implementation: */
    int64_t created_ms, changed_ms;
    int64_t rows, bytes; /* of a view 0; -1: not counted (lists) */
    char etag[TABLES_ETAG_BYTES];
};

/* A page of a list, in the order of the names, which are all greater than `after`. */
struct tables_page {
    struct tables_name parent; /* a project, or a dataset */
    struct str after;
    uint32_t limit; /* 1 to TABLES_PAGE_MAX */
    bool hidden;    /* also datasets of results, which begin with _ */
};
struct tables_datasets {
    struct tables_dataset *item;
    uint32_t count;
    bool more;
};
struct tables_list {
    struct tables_table *item; /* without schema and view_query */
    uint32_t count;
    bool more;
};

/* ---- Rows ---- */

struct tables_read {
    struct tables_name name;
    const struct str
        *columns; /* names of the columns to read, in this order; NULL: all. A field of a record as
                                  "a.b" gives the record with that field alone. */
    uint32_t column_count;
    int64_t start; /* rows passed over */
    int64_t limit; /* 0: all */
};
struct
    tables_rows; /* an open table: rows in the order in which they were written, of one instant */

/* ---- Writers ---- */

enum tables_create { TABLES_CREATE_IF_NEEDED, TABLES_CREATE_NEVER };
enum tables_disposition { TABLES_WRITE_APPEND, TABLES_WRITE_EMPTY, TABLES_WRITE_TRUNCATE };

/* Columns that a load or a query may add to the table, or whose mode it may relax. */
struct tables_into {
    struct tables_name name;
    enum tables_create create;
    enum tables_disposition write;
    bool add_fields, relax_fields; /* schemaUpdateOptions */
    struct str options;            /* of a table that is made: as tables_table.options */
    int64_t expires_ms;            /* of a table that is made; 0: the dataset's default */
};

/* Rows go to a hidden table first. One transaction makes them part of the table and records the key. */
struct tables_write {
    struct tables_into into;
    struct bq_schema schema; /* of the rows */
    struct str key;
    bool resume; /* goes on where a writer with this key was left; else that one's rows go */
};
struct tables_writer;

/* The outcome of an operation. */
struct tables_outcome {
    int64_t rows;  /* written */
    int64_t bytes; /* of the rows as BigQuery counts them, near enough */
    bool created;  /* the table was made */
    bool again;    /* the outcome of an earlier call with this key */
};

/* ---- Queries ---- */

struct tables_query {
    struct str project; /* that runs and owns it */
    struct str sql;     /* one statement, or a script */
    struct tables_name default_dataset;
    const struct bq_parameter *parameter;
    uint32_t parameter_count;
    struct tables_into into; /* no name: a hidden table of its own, kept for TABLES_RESULT_HOURS */
    struct str
        session; /* id of the session whose temporary tables and variables it sees; or none */
    struct str key;
    struct str location; /* @@location, and that of a hidden table; empty: US */
    bool dry_run;        /* finds schema, kind and tables; runs nothing */
    int64_t timeout_ms;  /* 0: the implementation's limit */
    int64_t rows_max; /* results with more rows are refused by RESOURCE_EXHAUSTED; 0: the limit */
    struct tables_cancel *cancel; /* NULL: none */
};
#define TABLES_RESULT_HOURS 24

struct tables_result {
    struct str
        statement; /* BigQuery's statementType: SELECT, INSERT, CREATE_TABLE_AS_SELECT, SCRIPT, ... */
    /* Of the rows; of DDL the columns of the table that it made; of a dry run of INSERT the target's. */
    struct bq_schema schema;
    /* Where the rows are: of a SELECT, and of a statement that makes or fills a table its target. Empty: there
     * are none (a script that ends in no SELECT, DDL without a table). */
    struct tables_name destination;
    bool has_rows; /* destination is to be read as the result; else totalRows is absent */
    int64_t rows;
    int64_t inserted, updated, deleted; /* of INSERT, UPDATE, DELETE, MERGE, TRUNCATE; else 0 */
    const char *ddl;                    /* CREATE, REPLACE, SKIP, DROP, ALTER; NULL: no DDL */
    struct tables_name ddl_target;
    struct tables_name *read; /* tables that it reads, views too */
    uint32_t read_count;
    int64_t bytes;               /* of those tables, as totalBytesProcessed has them */
    struct bq_field *undeclared; /* dry run: parameters that were used and not given */
    uint32_t undeclared_count;
    /* A script's statements that ran, in order; these have no steps of their own. */
    struct tables_result *step;
    uint32_t step_count;
    bool again;
};

/* ---- Files ---- */

enum tables_format { TABLES_CSV, TABLES_NDJSON, TABLES_PARQUET };

/* Options of a load job, with the names that BigQuery gives them. */
struct tables_load {
    struct tables_into into;
    const char *const *path; /* files of this machine, plain, gzip or zstd; read in order */
    uint32_t path_count;
    enum tables_format format;
    struct bq_schema
        schema; /* none: the table's, or found out with autodetect (Parquet: the file's own) */
    bool autodetect;
    int64_t skip_rows;    /* skipLeadingRows; -1: not said, which autodetect finds out */
    struct str delimiter; /* fieldDelimiter; empty: "," */
    struct str quote;     /* empty: none when quote_none, else '"' */
    bool quote_none;
    bool quoted_newlines, jagged_rows, ignore_unknown;
    struct str
        null_marker; /* the text that is null; of columns that are not STRING or BYTES "" is null too */
    struct str encoding;  /* UTF-8 (also empty), ISO-8859-1 */
    int64_t bad_rows_max; /* maxBadRecords */
    struct str key;
    struct tables_cancel *cancel;
};
#define TABLES_LOAD_ERRORS_MAX 5
struct tables_loaded {
    struct tables_outcome outcome;
    int64_t input_bytes, bad_rows;
    struct str
        error[TABLES_LOAD_ERRORS_MAX]; /* of the first bad rows: "Error while reading data, ..." */
    uint32_t error_count;
};

struct tables_extract {
    struct tables_name name;
    const char *path; /* of a file that is made or emptied */
    enum tables_format format;
    enum packing packing;
    struct str delimiter; /* CSV; empty: "," */
    bool no_header;       /* CSV */
    struct tables_cancel *cancel;
};

struct tables_copy {
    const struct tables_name *from; /* all with the same columns */
    uint32_t from_count;
    struct tables_into into;
    struct str key;
    struct tables_cancel *cancel;
};

/* ---- Records of jobs ---- */

/* A job of the BigQuery API as its resource, kept where the tables are: the API asks for it again after a
 * restart. */
struct tables_job {
    struct str id;     /* projects have names of their own */
    struct str parent; /* of a script's statement: the script's id */
    struct str state;  /* PENDING, RUNNING, DONE */
    struct str json;   /* the whole resource */
    int64_t created_ms;
};
struct tables_jobs {
    struct tables_job *item;
    uint32_t count;
    bool more;
};
struct tables_jobs_page {              /* newest first */
    struct str project, parent, state; /* empty: any */
    int64_t
        before_ms; /* made before it, and with an id less than before_id when made at it; 0: from the newest */
    struct str before_id;
    uint32_t limit;
};

/* ---- The interface ---- */

struct tables {
    const struct tables_ops *ops;
};

struct tables_ops {
    const char *name;
    void (*close)(struct tables *t); /* accepts NULL */

    int (*dataset_create)(struct tables *t, const struct tables_dataset *d,
                          struct error *e) FALLIBLE;
    int (*dataset_get)(struct tables *t, const struct tables_name *name, struct arena *a,
                       struct tables_dataset *out, struct error *e) FALLIBLE;
    /* Sets options and default expiration. d->etag "": whatever it is now. */
    int (*dataset_change)(struct tables *t, const struct tables_dataset *d,
                          struct error *e) FALLIBLE;
    int (*dataset_delete)(struct tables *t, const struct tables_name *name, bool contents,
                          struct error *e) FALLIBLE;
    int (*dataset_list)(struct tables *t, const struct tables_page *page, struct arena *a,
                        struct tables_datasets *out, struct error *e) FALLIBLE;

    int (*create)(struct tables *t, const struct tables_table *table, struct error *e) FALLIBLE;
    int (*get)(struct tables *t, const struct tables_name *name, struct arena *a,
               struct tables_table *out, struct error *e) FALLIBLE;
    /* Sets schema (unless it has no columns), view_query (unless empty), options and expires_ms, so that the
     * caller reads, merges and writes back with the etag. table->etag "": whatever it is now. */
    int (*change)(struct tables *t, const struct tables_table *table, struct error *e) FALLIBLE;
    int (*remove)(struct tables *t, const struct tables_name *name, struct error *e) FALLIBLE;
    int (*list)(struct tables *t, const struct tables_page *page, struct arena *a,
                struct tables_list *out, struct error *e) FALLIBLE;

    /* schema: of the rows, in the arena of the call. rows_close ends it; accepts NULL. */
    struct tables_rows *(*read)(struct tables *t, const struct tables_read *r, struct arena *a,
                                struct bq_schema *schema, struct error *e);
    /* 1 with a batch of at least one row, 0 at the end, -1. The batch lives in the arena. */
    int (*rows_next)(struct tables_rows *r, struct arena *a, struct bq_batch *out,
                     struct error *e) FALLIBLE;
    void (*rows_close)(struct tables_rows *r);

    /* position: of a resumed writer the last one that is durable, else 0. */
    struct tables_writer *(*write)(struct tables *t, const struct tables_write *w,
                                   int64_t *position, struct error *e);
    /* Durable, with its position, when it has returned. */
    int (*writer_append)(struct tables_writer *w, const struct bq_batch *batch, int64_t position,
                         struct error *e) FALLIBLE;
    /* Ends the writer, also when it fails: its rows stay for a writer that resumes. */
    int (*writer_commit)(struct tables_writer *w, struct tables_outcome *out,
                         struct error *e) FALLIBLE;
    /* Ends the writer; keep: its rows stay for one that resumes. Accepts NULL. */
    void (*writer_close)(struct tables_writer *w, bool keep);
    /* Rows at once into a table that is there; all of them or none. */
    int (*insert)(struct tables *t, const struct tables_name *name, const struct bq_schema *schema,
                  const struct bq_batch *batch, struct error *e) FALLIBLE;

    int (*query)(struct tables *t, const struct tables_query *q, struct arena *a,
                 struct tables_result *out, struct error *e) FALLIBLE;
    int (*load)(struct tables *t, const struct tables_load *l, struct arena *a,
                struct tables_loaded *out, struct error *e) FALLIBLE;
    int (*extract)(struct tables *t, const struct tables_extract *x, struct tables_outcome *out,
                   struct error *e) FALLIBLE;
    int (*copy)(struct tables *t, const struct tables_copy *c, struct tables_outcome *out,
                struct error *e) FALLIBLE;

    /* Makes a session for temporary tables; its id is in the arena. Ends one and drops its tables. */
    int (*session_create)(struct tables *t, struct str project, struct arena *a, struct str *id,
                          struct error *e) FALLIBLE;
    int (*session_end)(struct tables *t, struct str project, struct str id,
                       struct error *e) FALLIBLE;

    int (*job_put)(struct tables *t, struct str project, const struct tables_job *job,
                   struct error *e) FALLIBLE;
    int (*job_get)(struct tables *t, struct str project, struct str id, struct arena *a,
                   struct tables_job *out, struct error *e) FALLIBLE;
    int (*job_list)(struct tables *t, const struct tables_jobs_page *page, struct arena *a,
                    struct tables_jobs *out, struct error *e) FALLIBLE;
    int (*job_delete)(struct tables *t, struct str project, struct str id,
                      struct error *e) FALLIBLE;

    /* The outcome of the operation with this key: 1 and *out, 0: none did, -1. */
    int (*done)(struct tables *t, struct str project, struct str key, struct tables_outcome *out,
                struct error *e) FALLIBLE;
    /* Drops what is past its time: tables, results, records of keys and writers. Called now and then. */
    int (*sweep)(struct tables *t, struct error *e) FALLIBLE;
};

/* ---- Names ---- */

/* INVALID_ARGUMENT, in BigQuery's words. */
int tables_dataset_check(struct str dataset, struct error *e) FALLIBLE;
int tables_table_check(struct str table, struct error *e) FALLIBLE;
/* "p:d.t", "p:d" or "p", as errors and ids of resources have it; in the arena. */
const char *tables_text(struct arena *a, const struct tables_name *n);
/* "p.d.t", "p:d.t", "bq://p.d.t", "d.t" and so on: the last dots part, and missing parts stay empty.
 * A project may have a domain ("example.com:p"). */
bool tables_name_read(struct str text, struct tables_name *out);

/* ---- Embedded tables ---- */

/* Begins the text of RESOURCE_EXHAUSTED when memory or temporary disk is lacking. Other work of the project may have
 * taken it, so that it can help to try again; a few times. */
#define TABLES_RESOURCES "Resources exceeded during query execution"
bool tables_lack_memory(const struct error *e);

/* The defaults, and what an operator may set. Numbers, as the table of settings prints them. */
#define TABLES_MEMORY_MIN 67108864
#define TABLES_MEMORY_DEFAULT 536870912
#define TABLES_TEMP_DEFAULT 34359738368
#define TABLES_THREADS_DEFAULT 2
#define TABLES_THREADS_MAX 256
#define TABLES_QUERY_S_DEFAULT 3600
#define TABLES_QUERY_S_MAX 86400

struct tables_limits {
    uint64_t memory_bytes;  /* of a project's engine */
    uint64_t temp_bytes;    /* on disk, for what memory does not hold */
    uint64_t result_bytes;  /* of one query's result */
    int64_t query_ms;       /* of one query */
    uint32_t threads;       /* of a project's engine */
    uint32_t projects_open; /* engines at once; the least recently used idle one is closed */
    int64_t idle_ms;        /* after which an engine without calls is closed (at a sweep) */
};
struct tables_limits tables_limits_default(void);

/* The tables in dir: dir/PROJECT.duckdb, made at a project's first dataset. Nothing is opened or loaded before
 * the first call, and dir may be absent until then. */
struct tables *tables_duckdb_open(const char *dir, const struct tables_limits *limits,
                                  struct clock *clock);

/* ---- BigQuery ---- */

struct tables_bigquery {
    const char *endpoint; /* NULL: https://bigquery.googleapis.com */
    const char *dir;      /* for rows that wait for their load job */
    const char *project;  /* that jobs run in, and that pays; NULL: the project of the table */
    const char *location; /* of jobs that name no dataset; NULL: BigQuery's choice */
    const char *ca_file;  /* PEM; NULL: whom the system trusts */
    uint64_t retry_ms;    /* a call that may pass is tried again for so long; 0: ten minutes */
    struct credential_spec credential; /* of all calls; none: calls carry no token */
};
/* Tables in BigQuery, over REST. Only the credential is looked at; its strings must outlive the tables. Records
 * of jobs and files that are extracted are UNIMPLEMENTED, and a load takes one file. */
struct tables *tables_bigquery_open(const struct tables_bigquery *s, struct clock *clock,
                                    struct error *e);

#endif
