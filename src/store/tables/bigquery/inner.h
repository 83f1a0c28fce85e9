/* inner.h -- what the files of BigQuery over REST share.
 *
 * Data:    call.c       one request: credentials, retries by reason, errors in our words
 *          job.c        a job that is started once, however often it is asked for, and waited for
 *          upload.c     the bytes of a load job, in chunks
 *          resources.c  datasets and tables
 *          rows.c       rows of a table, by several requests at once
 *          writer.c     rows that wait in a file of ours until one load job takes them
 *          query.c      queries, sessions
 *          files.c      files that are loaded, copies
 * Source:  https://cloud.google.com/bigquery/docs/reference/rest
 */
#ifndef TRANCHE_STORE_TABLES_BIGQUERY_INNER_H
#define TRANCHE_STORE_TABLES_BIGQUERY_INNER_H

#include <stdatomic.h>

#include "base/json_write.h"
#include "net/client/http_pool.h"
#include "store/tables/tables.h"

#define ANSWER_BYTES_MAX ((size_t)256 * 1024 * 1024)
#define LOAD_ROW_BYTES_MAX ((size_t)100 * 1000 * 1000) /* of a row of NDJSON, as BigQuery has it */

struct bigquery {
    struct tables tables; /* first: tables.h */
    const char *endpoint; /* "https://bigquery.googleapis.com" */
    const char *dir;      /* folders of writers */
    struct str project;   /* that jobs run in; empty: the project of their table */
    struct str location;  /* of jobs whose dataset is not known; empty: BigQuery's choice */
    const char *ca_file;
    uint64_t retry_ns; /* a call is tried again for so long */
    struct clock *clock;
    struct credential *credential; /* NULL: calls carry none */
    struct http_pool *pool;
    struct arena arena; /* of the strings above */
};
static inline struct bigquery *rest_of(struct tables *t)
{
    return (struct bigquery *)t;
}

/* ---- call.c ---- */

struct rest_call {
    const char *method;
    const char *path;   /* behind /bigquery/v2, or a whole URL */
    const char *header; /* one more: "If-Match: x"; or NULL */
    struct str body;    /* JSON; empty: none */
    const char *file;   /* a part of the file open as fd is the body, for messages; or NULL */
    int fd;
    uint64_t offset, bytes;
    const atomic_bool *stop; /* or NULL */
    bool once;               /* no second try, but after a refused token */
};
/* The answer to a call that went well, or an unfinished upload's (308). Release it in any case. */
int rest_call(struct bigquery *b, const struct rest_call *c, struct http_in *in,
              struct error *e) FALLIBLE;
/* The same with the answer's JSON in the arena; NULL and an error, or an empty object for an empty answer. */
yyjson_val *rest_ask(struct bigquery *b, const struct rest_call *c, struct arena *a,
                     struct error *e);
/* A path in the arena: each "{}" is replaced by the next of the texts, percent-encoded. */
const char *rest_path(struct arena *a, const char *text, const struct str *part);
/* The code for an error's reason; *again: it may pass by itself. */
enum error_code rest_reason(struct str reason, bool *again);
/* Waits before the try with this number; CANCELLED when stopped. */
int rest_pause(struct bigquery *b, uint32_t tries, uint64_t least_ns, const atomic_bool *stop,
               struct error *e) FALLIBLE;

int64_t rest_int(yyjson_val *v); /* a number, or the text of one; else 0 */
struct str rest_copy(struct arena *a, struct str s);
int rest_project_check(struct str project, struct error *e) FALLIBLE;
int rest_name_check(const struct tables_name *n, struct error *e) FALLIBLE;
void rest_reference(struct json_writer *w, const char *key, const struct tables_name *n);

/* ---- job.c ---- */

/* A job of this project, which runs once for a key. */
struct rest_job {
    struct str project, location; /* location: empty when it is not known */
    struct str key;               /* empty: an id by chance */
    struct str configuration;     /* JSON object */
    const char *path;             /* file that a load job takes; or NULL */
    struct tables_cancel *cancel;
    bool dry_run;
};
/* Its resource when it is done without an error. *again: an earlier call had started it. */
yyjson_val *rest_job_run(struct bigquery *b, const struct rest_job *j, struct arena *a, bool *again,
                         struct error *e);
/* The job of this key, when there is one that went well, which is waited for: 1; 0: none; -1. */
int rest_job_find(struct bigquery *b, const struct rest_job *j, struct arena *a, yyjson_val **out,
                  struct error *e) FALLIBLE;
/* 32 hexadecimal digits for a project's key. */
#define REST_KEY_BYTES 33
void rest_key(struct str project, struct str key, char out[REST_KEY_BYTES]);
/* The project that a job on tables of this one runs in. */
struct str rest_payer(const struct bigquery *b, struct str project);

/* ---- upload.c ---- */

/* Sends the job's file as the bytes of a load job, which the resource describes; the job's resource, or NULL. ABORTED: BigQuery
 * does not know the upload any more, perhaps because it has all of it. */
yyjson_val *rest_upload(struct bigquery *b, const struct rest_job *j, struct str resource,
                        struct arena *a, const atomic_bool *stop, struct error *e);

/* ---- resources.c ---- */

int rest_dataset_create(struct tables *t, const struct tables_dataset *d, struct error *e);
int rest_dataset_get(struct tables *t, const struct tables_name *name, struct arena *a,
                     struct tables_dataset *out, struct error *e);
int rest_dataset_change(struct tables *t, const struct tables_dataset *d, struct error *e);
int rest_dataset_delete(struct tables *t, const struct tables_name *name, bool contents,
                        struct error *e);
int rest_dataset_list(struct tables *t, const struct tables_page *page, struct arena *a,
                      struct tables_datasets *out, struct error *e);
int rest_table_create(struct tables *t, const struct tables_table *table, struct error *e);
int rest_table_get(struct tables *t, const struct tables_name *name, struct arena *a,
                   struct tables_table *out, struct error *e);
int rest_table_change(struct tables *t, const struct tables_table *table, struct error *e);
int rest_table_remove(struct tables *t, const struct tables_name *name, struct error *e);
int rest_table_list(struct tables *t, const struct tables_page *page, struct arena *a,
                    struct tables_list *out, struct error *e);
/* The dataset's location; NOT_FOUND. */
int rest_location(struct bigquery *b, const struct tables_name *name, struct arena *a,
                  struct str *out, struct error *e) FALLIBLE;

/* ---- rows.c ---- */

struct tables_rows *rest_rows_open(struct tables *t, const struct tables_read *r, struct arena *a,
                                   struct bq_schema *schema, struct error *e);
int rest_rows_next(struct tables_rows *r, struct arena *a, struct bq_batch *out, struct error *e);
void rest_rows_close(struct tables_rows *r);

/* ---- writer.c ---- */

struct tables_writer *rest_writer_open(struct tables *t, const struct tables_write *given,
                                       int64_t *position, struct error *e);
int rest_writer_append(struct tables_writer *w, const struct bq_batch *batch, int64_t position,
                       struct error *e);
int rest_writer_commit(struct tables_writer *w, struct tables_outcome *out, struct error *e);
void rest_writer_close(struct tables_writer *w, bool keep);
int rest_insert(struct tables *t, const struct tables_name *name, const struct bq_schema *schema,
                const struct bq_batch *batch, struct error *e);
int rest_done(struct tables *t, struct str project, struct str key, struct tables_outcome *out,
              struct error *e);
int rest_sweep(struct tables *t, struct error *e);

/* ---- query.c, files.c ---- */

int rest_query(struct tables *t, const struct tables_query *q, struct arena *a,
               struct tables_result *out, struct error *e);
int rest_session_create(struct tables *t, struct str project, struct arena *a, struct str *id,
                        struct error *e);
int rest_session_end(struct tables *t, struct str project, struct str id, struct error *e);
int rest_load(struct tables *t, const struct tables_load *l, struct arena *a,
              struct tables_loaded *out, struct error *e);
int rest_extract(struct tables *t, const struct tables_extract *x, struct tables_outcome *out,
                 struct error *e);
int rest_copy_table(struct tables *t, const struct tables_copy *c, struct tables_outcome *out,
                    struct error *e);
/* Members of a job's configuration that say where rows go. */
void rest_into(struct json_writer *w, const struct tables_into *into);
/* {"fields":[...]} in the arena, read from a resource. */
int rest_schema(yyjson_val *v, struct arena *a, struct bq_schema *out, struct error *e) FALLIBLE;

#endif
