/* bigquery.h -- the BigQuery API: what its handlers share.
 *
 * Shape:   every route stands at /bigquery/v2/projects/... and at /projects/..., where clients go whose emulator
 *          host is set. param[0] is the project, which must be the caller's own.
 * Errors:  BigQuery's form, errors[0].reason by format/bigquery/reason.h.
 * Threads: handlers that use tables run on threads of later.h; those that wait for a job hand their call to
 *          engine/query and go on when it ends.
 * Source:  https://cloud.google.com/bigquery/docs/reference/rest
 */
#ifndef TRANCHE_API_BIGQUERY_BIGQUERY_H
#define TRANCHE_API_BIGQUERY_BIGQUERY_H

#include "api/call.h"
#include "api/later.h"
#include "engine/query/query.h"

#define BIGQUERY_PAGE_BYTES ((size_t)10 * 1024 * 1024) /* of rows; Google's limit */
#define BIGQUERY_ROWS_MAX 100000                       /* of a page */
#define BIGQUERY_BODY_MAX ((size_t)16 * 1024 * 1024)
#define BIGQUERY_INSERT_MAX ((size_t)64 * 1024 * 1024) /* body of insertAll */
#define BIGQUERY_RESOURCE_MAX ((size_t)8 * 1024 * 1024)
#define BIGQUERY_LOCATION "US"

/* The project of the path, or false: it is another's, and the call is answered. */
bool bigquery_project(struct call *c, struct str *out);
/* The error of a query. */
void bigquery_fail_query(struct call *c, const struct error *e);
/* The error of a job that failed. */
void bigquery_fail_job(struct call *c, const struct bq_job *j);
/* user_email of jobs. */
struct str bigquery_user(struct call *c);
/* Does the key's project limit what the call may name? */
bool bigquery_scoped(const struct call *c);
/* With the test clock: the error that a script plans for this call, whose tables or SQL are in the text. */
int bigquery_script(struct call *c, struct str text, struct error *e) FALLIBLE;
/* The same of a call that makes a job, which a script may let end in an error. */
int bigquery_script_job(struct call *c, struct query_new *n, struct error *e) FALLIBLE;
void bigquery_list(struct call *c); /* answers {}: a list of what we have none of */

/* maxResults: a limit from 1, or deflt. */
int bigquery_limit(struct call *c, uint32_t deflt, uint32_t max, uint32_t *out,
                   struct error *e) FALLIBLE;

/* An object's members but for those of `known` (a list that ends with NULL) and null ones; kept: text of ours
 * from before, whose members stay unless the object has them; a null member removes one. */
struct str bigquery_options(struct call *c, yyjson_val *object, const char *const *known,
                            struct str kept);
void bigquery_write_options(struct json_writer *w, struct str options);
/* A member of options as text; empty: none. */
struct str bigquery_option(struct str options, const char *key);
void bigquery_write_reference(struct json_writer *w, const char *key, const struct tables_name *n);
/* -1 with ABORTED unless the call's If-Match allows this etag. */
int bigquery_if_match(struct call *c, const char *etag, struct error *e) FALLIBLE;
/* Numbers that begin in a resource: creationTime and so on. */
void bigquery_add_ms(struct json_writer *w, const char *key, int64_t ms);

/* ---- Calls that wait for a job ---- */

struct bigquery_waiting {
    struct str project, id;
    void (*then)(struct call *c);
};
/* then(c), on a thread of later.h, when the job is done, unknown, or after timeout_ms; c->state is a struct
 * bigquery_waiting. */
void bigquery_wait(struct call *c, struct str project, struct str id, uint32_t timeout_ms,
                   void (*then)(struct call *c));

/* ---- Rows ---- */

/* The form of TIMESTAMP values that a call asks for: formatOptions of its query, or of `body` unless NULL. */
enum bq_times bigquery_times(struct call *c, yyjson_val *body);

struct bigquery_page {
    struct tables_name name;
    const struct str *columns; /* NULL: all */
    uint32_t column_count;
    int64_t start;
    uint32_t limit; /* rows */
    enum bq_times times;
};
/* Writes "rows": [...], unless there are none; *count: how many, at most `limit` and what BIGQUERY_PAGE_BYTES
 * hold. */
int bigquery_rows(struct call *c, const struct bigquery_page *page, struct json_writer *w,
                  uint32_t *count, struct error *e) FALLIBLE;
/* Page tokens of rows: the row that the next page begins with. scope: what they are valid for. */
int bigquery_token(struct call *c, struct str scope, int64_t row, struct json_writer *w,
                   struct error *e) FALLIBLE;
int bigquery_token_read(struct call *c, struct str scope, int64_t *row, struct error *e) FALLIBLE;

/* ---- Handlers ---- */

void bigquery_dataset_insert(struct call *c);
void bigquery_dataset_get(struct call *c);
void bigquery_dataset_list(struct call *c);
void bigquery_dataset_patch(struct call *c);
void bigquery_dataset_update(struct call *c);
void bigquery_dataset_delete(struct call *c);

void bigquery_table_insert(struct call *c);
void bigquery_table_get(struct call *c);
void bigquery_table_list(struct call *c);
void bigquery_table_patch(struct call *c);
void bigquery_table_update(struct call *c);
void bigquery_table_delete(struct call *c);

void bigquery_data_list(struct call *c);
void bigquery_insert_all(struct call *c);

void bigquery_job_insert(struct call *c);
void bigquery_job_get(struct call *c);
void bigquery_job_list(struct call *c);
void bigquery_job_cancel(struct call *c);
void bigquery_job_delete(struct call *c);
/* Begins a job of a resource that came with a file (blob), and answers as jobs.insert. */
void bigquery_job_start(struct call *c, yyjson_val *resource, int64_t blob);
void bigquery_query(struct call *c);
void bigquery_query_results(struct call *c);

bool bigquery_upload_begin(struct call *c);
void bigquery_upload(struct call *c);
bool bigquery_resume_begin(struct call *c);
void bigquery_resume(struct call *c);

#endif
