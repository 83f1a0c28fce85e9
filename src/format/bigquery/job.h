/* job.h -- a BigQuery job as data, and its JSON resource.
 *
 * Why: a job lives in memory while it runs and in the project's records after that; the API shows both alike. So
 * the JSON has all of it: the resource, and one member of our own that callers never see.
 *
 * Shape:   configuration and statistics stay JSON text; the members that decide something are in the struct.
 * Units:   milliseconds from 1970.
 * Errors:  DATA_LOSS: bq_job_write did not make the text.
 * Threads: none.
 * Source:  https://cloud.google.com/bigquery/docs/reference/rest/v2/Job
 */
#ifndef TRANCHE_FORMAT_BIGQUERY_JOB_H
#define TRANCHE_FORMAT_BIGQUERY_JOB_H

#include "format/bigquery/reason.h"
#include "format/bigquery/schema.h"

#define BQ_JOB_ID_MAX 1024
#define BQ_FAULTS_MAX 8

enum bq_job_kind { BQ_JOB_QUERY, BQ_JOB_LOAD, BQ_JOB_COPY, BQ_JOB_EXTRACT, BQ_JOB_KINDS };
enum bq_job_state { BQ_PENDING, BQ_RUNNING, BQ_DONE };

struct bq_table_ref {
    struct str project, dataset, table;
};

/* A line of errors[]. */
struct bq_fault {
    struct str reason, location, message; /* location may be empty */
};

/* The facts of a query that is done, for getQueryResults. */
struct bq_result {
    struct str statement;            /* SELECT */
    struct bq_table_ref destination; /* empty: none */
    struct bq_schema schema;
    bool has_rows; /* the destination is the result */
    bool dml;      /* the counts below mean something */
    int64_t rows;
    int64_t inserted, updated, deleted;
    int64_t bytes; /* processed */
};

struct bq_job {
    struct str project, id, location, user;
    struct str parent; /* of a statement of a script */
    enum bq_job_kind kind;
    bool dry_run;
    enum bq_job_state state;
    int64_t created_ms, started_ms, ended_ms; /* 0: not yet */
    struct str configuration;                 /* {"jobType": ..., "query": {...}} */
    struct str statistics; /* the object of its kind ({"statementType": ...}); or empty */
    int64_t children;      /* statements of a script */
    struct str session;    /* id; or empty */
    struct bq_fault fault[BQ_FAULTS_MAX]; /* the first is errorResult when failed is set */
    uint32_t fault_count;
    bool failed;
    int error_http; /* of getQueryResults on a failed job */
    struct bq_result result;
    /* To run it again: */
    int64_t blob; /* an uploaded file; 0: none */
    bool scoped;  /* it may use its own project only */
};

const char *bq_job_kind_name(enum bq_job_kind k);   /* "query": also the member of configuration */
const char *bq_job_state_name(enum bq_job_state s); /* "DONE" */

enum bq_job_view {
    BQ_JOB_STORED, /* with our own member */
    BQ_JOB_FULL,   /* jobs.get */
    BQ_JOB_LISTED  /* an item of jobs.list: with state and without configuration */
};
/* base_url: of selfLink; unused when stored. */
void bq_job_write(struct json_writer *w, const char *key, const struct bq_job *j,
                  enum bq_job_view view, struct str base_url);
/* Reads BQ_JOB_STORED; texts live in the arena. */
int bq_job_read(struct str json, struct arena *a, struct bq_job *out, struct error *e) FALLIBLE;

/* A job's configuration as a client sent it: its kind, the object of its kind, labels, and whether it is only to be
 * checked. */
struct bq_configuration {
    enum bq_job_kind kind;
    yyjson_val *body; /* configuration.query */
    yyjson_val *all;
    bool dry_run;
};
int bq_configuration_read(yyjson_val *configuration, struct bq_configuration *out,
                          struct error *e) FALLIBLE;
/* 1 to BQ_JOB_ID_MAX letters, digits, dashes and underscores. */
int bq_job_id_check(struct str id, struct error *e) FALLIBLE;

/* {"projectId", "datasetId", "tableId"}; an absent project is deflt. INVALID_ARGUMENT when dataset or table
 * lack. */
int bq_table_ref_read(yyjson_val *v, struct str deflt, struct bq_table_ref *out,
                      struct error *e) FALLIBLE;
void bq_table_ref_write(struct json_writer *w, const char *key, const struct bq_table_ref *t);

#endif
