/* jobs_read.c -- jobs as they are: one, a page of a list, the open ones, what a job reads. */
#include <string.h>

#include "store/jobs/jobs.h"
#include "store/jobs/jobs_inner.h"
#include "store/jobs/shards_inner.h"

int job_get(struct store *s, struct arena *a, const char *project, int64_t id, struct job *out,
            struct error *e)
{
    struct db *d = store_read(s, e);

    if (!d)
        return -1;
    struct stmt *q = db_stmt(d, "SELECT " JOB_COLUMNS " FROM job"
                                " WHERE id = ?1 AND (?2 IS NULL OR project = ?2)");
    db_bind(q, "is", id, project);
    int rc = db_step(q, "cannot read the job", e);
    if (rc == 1)
        job_row(q, a, out);
    store_read_done(s, d);
    return rc;
}

int job_get_batch(struct store *s, struct arena *a, const char *project, const char *batch,
                  struct job *out, struct error *e)
{
    struct db *d = store_read(s, e);

    if (!d)
        return -1;
    struct stmt *q = db_stmt(d, "SELECT " JOB_COLUMNS " FROM job WHERE batch = ?1"
                                " AND batch != '' AND (?2 IS NULL OR project = ?2)");
    db_bind(q, "ss", batch, project);
    int rc = db_step(q, "cannot read the job", e);
    if (rc == 1)
        job_row(q, a, out);
    store_read_done(s, d);
    return rc;
}

/* ---- Lists ---- */

#define QUERY_PAGE 500

/* Two texts, because an index serves each only when the text names its columns plainly. */
#define QUERY_REST " AND (?3 IS NULL OR location = ?3) ORDER BY id DESC LIMIT ?4"

static struct stmt *query_stmt(struct db *d, const struct job_query *q, int64_t before)
{
    struct stmt *st;

    if (q->project) {
        st = db_stmt(d, "SELECT " JOB_COLUMNS " FROM job WHERE project = ?5 AND dialect = ?1"
                        " AND id < ?2" QUERY_REST);
        db_bind_from(st, 5, "s", q->project);
    } else {
        st =
            db_stmt(d, "SELECT " JOB_COLUMNS " FROM job WHERE dialect = ?1 AND id < ?2" QUERY_REST);
    }
    db_bind(st, "nisi", (int)q->dialect, before, q->location, (int64_t)QUERY_PAGE);
    return st;
}

/* Rows that are not kept live in scratch, and a statement gives QUERY_PAGE of them, so that a long walk takes no memory. */
static int query_walk(struct db *d, struct arena *a, const struct job_query *q,
                      struct arena *scratch, struct job_list *out, struct error *e)
{
    uint32_t most = q->most < JOB_QUERY_MAX ? q->most : JOB_QUERY_MAX, walked = 0, rows = 0;
    struct stmt *st = query_stmt(d, q, q->before ? q->before : INT64_MAX);
    struct job j;
    int rc;

    out->item = arena_array(a, (size_t)most + 1, sizeof *out->item);
    while ((rc = db_step(st, "cannot list the jobs", e)) == 1 || (rc == 0 && rows == QUERY_PAGE)) {
        if (rc == 0) {
            st = query_stmt(d, q, out->last);
            rows = 0;
            continue;
        }
        rows++;
        if (out->count == most || walked++ == JOB_WALK_MAX) {
            out->more = true;
            return 0;
        }
        arena_reset(scratch);
        job_row(st, scratch, &j);
        if (!q->keep || q->keep(q->arg, &j))
            job_row(st, a, &out->item[out->count++]);
        out->last = j.id;
    }
    return rc;
}

int job_query(struct store *s, struct arena *a, const struct job_query *q, struct job_list *out,
              struct error *e)
{
    struct arena scratch = { 0 };
    struct db *d = store_read(s, e);

    *out = (struct job_list){ .last = q->before };
    if (!d)
        return -1;
    int rc = query_walk(d, a, q, &scratch, out, e);
    store_read_done(s, d);
    arena_release(&scratch);
    return rc;
}

static int list_all(struct store *s, struct arena *a, const char *sql, struct job_list *out,
                    struct error *e)
{
    struct db *d = store_read(s, e);
    int rc;

    *out = (struct job_list){ 0 };
    if (!d)
        return -1;
    struct stmt *q = db_stmt(d, sql);
    while ((rc = db_step(q, "cannot list the jobs", e)) == 1) {
        out->item = arena_list_grow(a, out->item, out->count, sizeof *out->item);
        job_row(q, a, &out->item[out->count++]);
    }
    store_read_done(s, d);
    return rc;
}

int job_open_list(struct store *s, struct arena *a, struct job_list *out, struct error *e)
{
    return list_all(s, a,
                    "SELECT " JOB_COLUMNS " FROM job WHERE " SQL_OPEN " OR wish = " SQL_ASKED_REMOVE
                    " ORDER BY id",
                    out, e);
}

int job_running_list(struct store *s, struct arena *a, struct job_list *out, struct error *e)
{
    return list_all(s, a,
                    "SELECT " JOB_COLUMNS " FROM job WHERE " SQL_OPEN " AND state = " SQL_RUNNING
                    " ORDER BY id",
                    out, e);
}

int job_position(struct store *s, const struct job *j, uint64_t *out, struct error *e)
{
    struct db *d = store_read(s, e);

    if (!d)
        return -1;
    struct stmt *q =
        db_stmt(d, "SELECT count(*) FROM job WHERE state = " SQL_QUEUED " AND model = ?1"
                   " AND (priority > ?2 OR (priority = ?2 AND id < ?3))");
    db_bind(q, "tii", j->model, j->priority, j->id);
    int rc = db_step(q, "cannot read the queue", e);
    if (rc == 1)
        *out = (uint64_t)db_int(q, 0);
    store_read_done(s, d);
    return rc < 0 ? -1 : 0;
}

int job_retried(struct store *s, int64_t id, struct error *e)
{
    struct db *d = store_read(s, e);

    if (!d)
        return -1;
    struct stmt *q = db_stmt(d, "SELECT 1 FROM job WHERE " SQL_OPEN " AND retry_of = ? LIMIT 1");
    db_bind(q, "i", id);
    int rc = db_step(q, "cannot read the job's retries", e);
    store_read_done(s, d);
    return rc;
}

/* ---- Glances ---- */

#define GLANCE                                                                                     \
    "SELECT id, state, wish, priority, fence, update_us, ran_us, stretch_us, shards, shards_done," \
    " shards_leased, total" SHARD_COUNTERS(SHARD_COUNTER_COLUMN) " FROM job WHERE "

/* Removed jobs have an index of their own. */
static int glance_read(struct db *d, struct arena *a, struct job_glance **out, uint32_t *count,
                       struct error *e)
{
    struct stmt *q = db_stmt(d, GLANCE SQL_OPEN " UNION ALL " GLANCE "wish = " SQL_ASKED_REMOVE
                                                " AND NOT (" SQL_OPEN ") ORDER BY id");
    int rc;

    while ((rc = db_step(q, "cannot look at the jobs", e)) == 1) {
        *out = arena_list_grow(a, *out, *count, sizeof **out);
        struct job_glance *g = &(*out)[(*count)++];
        *g = (struct job_glance){ .id = db_int(q, 0),
                                  .state = (enum job_state)db_int(q, 1),
                                  .asked = (enum job_asked)db_int(q, 2),
                                  .priority = db_int(q, 3),
                                  .fence = db_int(q, 4),
                                  .update_us = db_int(q, 5),
                                  .ran_us = db_int(q, 6),
                                  .stretch_us = db_int(q, 7),
                                  .shards = (uint64_t)db_int(q, 8),
                                  .leased = (uint64_t)db_int(q, 10),
                                  .counters.total = (uint64_t)db_int(q, 11) };
        g->open = g->shards - (uint64_t)db_int(q, 9) - g->leased;
        assert(g->open <= g->shards);
        (void)shard_counters_row(q, 12, &g->counters);
    }
    return rc;
}

int jobs_glance(struct store *s, struct arena *a, struct job_glance **out, uint32_t *count,
                struct error *e)
{
    struct db *d = store_read(s, e);

    *out = NULL;
    *count = 0;
    if (!d)
        return -1;
    int rc = glance_read(d, a, out, count, e);
    store_read_done(s, d);
    return rc;
}

/* ---- The queue ---- */

static int queue_read(struct db *d, struct arena *a, struct job_queue **out, uint32_t *count,
                      struct error *e)
{
    struct stmt *q = db_stmt(
        d, "SELECT project, model, CAST(sum(total - succeeded - failed - not_run) AS BIGINT),"
           " CAST(sum(shards - shards_done - shards_leased) AS BIGINT),"
           " CAST(sum(shards_leased) AS BIGINT),"
           " min(CASE WHEN state IN (" SQL_PENDING ", " SQL_QUEUED ")"
           " THEN create_us + ran_us END)"
           " FROM job WHERE " SQL_OPEN " AND state IN (" SQL_PENDING ", " SQL_QUEUED
           ", " SQL_RUNNING ") GROUP BY project, model ORDER BY project, model");
    int rc;

    while ((rc = db_step(q, "cannot read the queue", e)) == 1) {
        *out = arena_list_grow(a, *out, *count, sizeof **out);
        (*out)[(*count)++] = (struct job_queue){
            .project = db_text(q, 0, a),
            .model = db_text(q, 1, a),
            .lines = (uint64_t)db_int(q, 2),
            .shards_open = (uint64_t)db_int(q, 3),
            .shards_leased = (uint64_t)db_int(q, 4),
            .waits_us = db_int(q, 5),
        };
    }
    return rc;
}

int jobs_queue(struct store *s, struct arena *a, struct job_queue **out, uint32_t *count,
               struct error *e)
{
    struct db *d = store_read(s, e);

    *out = NULL;
    *count = 0;
    if (!d)
        return -1;
    int rc = queue_read(d, a, out, count, e);
    store_read_done(s, d);
    return rc;
}

/* ---- Inputs and files ---- */

static int inputs_read(struct db *d, struct arena *a, int64_t id, struct job_input **out,
                       uint32_t *count, struct error *e)
{
    struct stmt *q = db_stmt(d, "SELECT name, blob, bytes FROM job_input WHERE job = ?"
                                " ORDER BY position");
    int rc;

    db_bind(q, "i", id);
    while ((rc = db_step(q, "cannot read the job's inputs", e)) == 1) {
        *out = arena_list_grow(a, *out, *count, sizeof **out);
        (*out)[(*count)++] = (struct job_input){
            .name = db_text(q, 0, a),
            .blob = db_int(q, 1),
            .bytes = (uint64_t)db_int(q, 2),
        };
    }
    return rc;
}

int job_inputs(struct store *s, struct arena *a, int64_t id, struct job_input **out,
               uint32_t *count, struct error *e)
{
    struct db *d = store_read(s, e);

    *out = NULL;
    *count = 0;
    if (!d)
        return -1;
    int rc = inputs_read(d, a, id, out, count, e);
    store_read_done(s, d);
    return rc;
}

int job_file_get(struct store *s, int64_t id, const char *name, struct blob *out, struct error *e)
{
    struct db *d = store_read(s, e);

    if (!d)
        return -1;
    struct stmt *q = db_stmt(d, "SELECT blob, bytes FROM job_file WHERE job = ? AND name = ?");
    db_bind(q, "is", id, name);
    int rc = db_step(q, "cannot read a job's file", e);
    if (rc == 1)
        *out = (struct blob){ .id = db_int(q, 0), .bytes = (uint64_t)db_int(q, 1) };
    store_read_done(s, d);
    return rc;
}
