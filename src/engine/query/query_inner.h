/* query_inner.h -- the table of jobs, as the files of this room share it.
 *
 * Threads: everything in struct queries but its first members is under its lock. Functions that say so are called
 *          under it.
 */
#ifndef TRANCHE_ENGINE_QUERY_QUERY_INNER_H
#define TRANCHE_ENGINE_QUERY_QUERY_INNER_H

#include "base/thread.h"
#include "engine/query/query.h"
#include "engine/query/run.h"

struct query_waiter {
    struct query_waiter *next;
    uint64_t deadline_ns;
    void (*done)(void *arg);
    void *arg;
};

/* A job in memory. It stands in the list of its table from queries_insert until it is dropped. */
struct query_entry {
    struct query_entry *next;           /* older */
    struct str project, id, request_id; /* owned, each an allocation */
    struct str json;                    /* owned: the job as bq_job_write stores it */
    enum bq_job_state state;
    int64_t created_ms;
    bool kept;                        /* has a record */
    bool cancelled;                   /* a client asked for its end */
    bool ready;                       /* queries_insert has finished with it: it may run */
    const struct bq_reason *scripted; /* as query_new has it; set before it is ready */
    struct tables_cancel cancel;
    struct query_waiter *waiter;
};

struct query_recent {
    uint64_t hash;
    int64_t ms;
};

struct queries {
    struct tables *tables;
    struct store *store;
    struct clock *clock;
    pthread_mutex_t lock;      /* guards all below */
    pthread_cond_t changed;    /* a job came or ended, or a waiter came */
    struct query_entry *entry; /* newest first */
    uint32_t entry_count;
    struct str *seen; /* projects whose unfinished jobs were taken up */
    uint32_t seen_count;
    pthread_t thread[QUERY_THREADS + 1]; /* the keeper is the first one */
    uint32_t thread_count;
    bool stopping;
    struct query_recent *recent; /* a table of RECENT_COUNT by hash; NULL until the first */
};

/* ---- entries.c: jobs in memory, and who waits for them ---- */

int64_t query_now_ms(const struct queries *q);
struct str query_str_dup(struct str s);
void query_str_drop(struct str *s);
void query_entry_free(struct query_entry *n);
/* Under the lock, all below. */
struct query_entry *query_entry_find(const struct queries *q, struct str project, struct str id);
/* A job of the last 15 minutes with that request id; NULL: none. */
struct query_entry *query_request_find(const struct queries *q, struct str project,
                                       struct str request);
void query_entry_unlink(struct queries *q, struct query_entry *n);
/* The oldest done jobs beyond the limits go; they have records. */
void query_drop_done(struct queries *q);
struct query_entry *query_entry_add(struct queries *q, const struct bq_job *j,
                                    struct str request_id);
void query_entry_set(struct query_entry *n, const struct bq_job *j); /* its new text and state */
void query_entry_ready(struct queries *q, struct query_entry *n);    /* it may run now */
/* Takes those whose time has come off the list of an entry; all: every one. */
struct query_waiter *query_waiters_take(struct query_entry *n, uint64_t now_ns, bool all);
/* Not under the lock: calls and frees them. */
void query_waiters_tell(struct query_waiter *w);

/* A job as its record has it; query_str_drop frees it. */
struct str query_job_text(const struct bq_job *j);

/* ---- job_threads.c ---- */

int query_start_threads(struct queries *q, struct error *e) FALLIBLE; /* under the lock */
int query_record_put(struct queries *q, const struct bq_job *j, struct error *e) FALLIBLE;
/* Reads the job's configuration and does its work. */
int query_run_kind(struct query_run *r, struct error *e) FALLIBLE;

#endif
