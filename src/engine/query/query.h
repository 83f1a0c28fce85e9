/* query.h -- the jobs of the BigQuery API: queries, loads, copies and extracts of tables.
 *
 * Why: a query may take minutes. A call begins a job and gets its state at once; a waiter gets a call when it ends, and
 * no thread of the server waits for it.
 *
 * Data:    queries_insert -> a queue -> a job thread: store/tables does the work -> the job's record and
 *          its waiters.
 * Jobs:    PENDING -> RUNNING -> DONE. A job that jobs.insert made has a record from its beginning, others when they
 *          end. An unfinished job of a process that died runs again when its project is used first: the job's
 *          name is the key of its effect (tables.h), so nothing is done twice. The last done ones stay in memory.
 * Errors:  a job's failure is in the job. ALREADY_EXISTS "Already Exists: Job p:US.id", NOT_FOUND "Not found: Job
 *          p:US.id", UNAVAILABLE: the service ends.
 * Threads: QUERY_THREADS job threads and one keeper (deadlines of waiters, the sweep of tables), all
 *          started by the first job. Calls from any thread; but for queries_stop they may wait for the disk.
 */
#ifndef TRANCHE_ENGINE_QUERY_QUERY_H
#define TRANCHE_ENGINE_QUERY_QUERY_H

#include "format/bigquery/job.h"
#include "format/bigquery/reason.h"
#include "store/store.h"
#include "store/tables/tables.h"

#define QUERY_THREADS 8
#define QUERY_PROJECT_MAX 6                  /* of one project at once */
#define QUERY_QUEUE_MAX 10000                /* unfinished jobs */
#define QUERY_TEXT_MAX ((size_t)1024 * 1024) /* bytes of a query */

struct queries;
struct queries *queries_new(struct tables *t, struct store *s, struct clock *clock);
/* Cancels what runs, whose jobs stay unfinished, and tells all waiters. No job begins after it. */
void queries_stop(struct queries *q);
void queries_free(struct queries *q); /* after queries_stop; accepts NULL */

struct query_new {
    struct str project;
    struct str id;            /* empty: one is made */
    struct str location;      /* empty: US */
    struct str user;          /* user_email */
    struct str configuration; /* a JSON object as bq_configuration_read takes it */
    struct str request_id;    /* the same one of the last 15 minutes is the same job; empty: none */
    int64_t blob;             /* of a load: an uploaded file; 0: none */
    bool scoped;              /* the caller may use its own project only */
    bool kept;                /* has a record before it begins */
    /* For tests: the job does nothing and ends in this error; NULL: it runs. Forgotten when the process dies. */
    const struct bq_reason *scripted;
};
/* *id: of the job, in the arena. */
int queries_insert(struct queries *q, const struct query_new *n, struct arena *a, struct str *id,
                   struct error *e) FALLIBLE;
/* The check of a dry run: fills *out, whose state is DONE; nothing is kept. */
int queries_check(struct queries *q, const struct query_new *n, struct arena *a, struct bq_job *out,
                  struct error *e) FALLIBLE;
int queries_get(struct queries *q, struct str project, struct str id, struct arena *a,
                struct bq_job *out, struct error *e) FALLIBLE;
/* Calls done(arg) once: when the job is done or unknown, after timeout_ms, or at the service's end; perhaps before
 * it returns, else on a thread of this one's, where it must not wait. */
void queries_wait(struct queries *q, struct str project, struct str id, uint32_t timeout_ms,
                  void (*done)(void *arg), void *arg);
/* Asks for the end; a job that is done stays as it is. */
int queries_cancel(struct queries *q, struct str project, struct str id, struct error *e) FALLIBLE;
/* Forgets a job that is done. */
int queries_delete(struct queries *q, struct str project, struct str id, struct error *e) FALLIBLE;
/* Records of jobs, newest first: tables.h's job_list, after unfinished ones of an earlier process were taken up. */
int queries_list(struct queries *q, const struct tables_jobs_page *page, struct arena *a,
                 struct tables_jobs *out, struct error *e) FALLIBLE;

/* Insert ids of rows, hashed: was this one seen in the last minute? So that a client that repeats a call does not
 * write its rows twice; the memory is bounded, and old ones go first. */
bool queries_seen(struct queries *q, uint64_t hash);
void queries_see(struct queries *q, uint64_t hash);

#endif
