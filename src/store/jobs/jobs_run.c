/* jobs_run.c -- what the scheduler and its runners write: inputs, stretches of running, the end. */
#include <assert.h>

#include "store/jobs/jobs.h"
#include "store/jobs/jobs_inner.h"
#include "store/jobs/shards_inner.h"

/* The fence that job_refused is to compare: a check without one (of a store with one process) has no rival. */
static int64_t check_fence(const struct job *j)
{
    return j->fence ? j->fence : JOB_NO_FENCE;
}

/* Deletes the rows and says which blobs they named. */
static int inputs_delete(struct db *d, struct arena *a, int64_t id, int64_t **blob, uint32_t *count,
                         struct error *e)
{
    struct stmt *q = db_stmt(d, "SELECT count(*) FROM job_input WHERE job = ?");
    int rc;

    db_bind(q, "i", id);
    if (db_step(q, "cannot read the job's inputs", e) < 0)
        return -1;
    *blob = arena_array(a, (size_t)db_int(q, 0) + 1, sizeof **blob);
    q = db_stmt(d, "DELETE FROM job_input WHERE job = ? RETURNING blob");
    db_bind(q, "i", id);
    while ((rc = db_step(q, "cannot write the job's inputs", e)) == 1)
        (*blob)[(*count)++] = db_int(q, 0);
    return rc;
}

int job_checking_in(struct db *d, const struct job *j, struct error *e)
{
    struct stmt *q = db_stmt(
        d, "SELECT 1 FROM job WHERE id = ? AND fence = ? AND state = " SQL_PENDING " FOR UPDATE");

    db_bind(q, "ii", j->id, j->fence);
    int rc = db_step(q, "cannot read the job", e);
    return rc == 1 ? 0 : rc == 0 ? job_refused(d, j->id, check_fence(j), e) : -1;
}

int job_check_begin(struct store *s, struct job *j, struct error *e)
{
    struct db *d = store_write_rows(s, e);

    if (!d)
        return -1;
    struct stmt *q = db_stmt(d, "UPDATE job SET fence = fence + 1 WHERE id = ?"
                                " AND state = " SQL_PENDING " RETURNING fence");
    db_bind(q, "i", j->id);
    int rc = db_step(q, "cannot begin to check the job", e);
    int64_t fence = rc == 1 ? db_int(q, 0) : 0;
    if (rc == 0)
        rc = job_refused(d, j->id, JOB_NO_FENCE, e);
    if (store_commit(s, d, rc < 0 ? -1 : 0, e) < 0)
        return -1;
    j->fence = fence;
    return 0;
}

static int inputs_set_in(struct store *s, struct db *d, const struct job *j,
                         const struct job_input *in, uint32_t count, struct error *e)
{
    struct arena a = { 0 };
    int64_t *old = NULL;
    uint32_t old_count = 0;
    int rc = job_checking_in(d, j, e);

    if (rc == 0)
        rc = inputs_delete(d, &a, j->id, &old, &old_count, e);
    for (uint32_t i = 0; i < count && rc == 0; i++)
        rc = job_input_add(s, d, j->id, i, &in[i], e);
    for (uint32_t i = 0; i < old_count && rc == 0; i++)
        rc = blob_drop_in(d, old[i], NULL, e);
    arena_release(&a);
    return rc;
}

int job_inputs_set(struct store *s, const struct job *j, const struct job_input *in, uint32_t count,
                   struct error *e)
{
    struct db *d = store_write(s, e);

    return d ? store_commit(s, d, inputs_set_in(s, d, j, in, count, e), e) : -1;
}

/* ---- PENDING -> QUEUED ---- */

static int checked_in(struct store *s, struct db *d, const struct job *j, struct error *e)
{
    int64_t now_us = store_now(s);
    struct stmt *q =
        db_stmt(d, "UPDATE job SET " JOB_COUNTERS(JOB_SET)
                       JOB_FIGURES(JOB_SET) "state = " SQL_QUEUED ", queue_us = ?, update_us = ?"
                                            " WHERE id = ? AND fence = ? AND state = " SQL_PENDING);

    assert(counters_balanced(&j->counters));
    int next = job_bind(q, 1, j, FIELD_total, FIELD_output_unset);
    db_bind_from(q, next, "iiii", now_us, now_us, j->id, j->fence);
    int rc = db_run(q, "cannot queue the job", e);
    if (rc <= 0)
        return rc < 0 ? -1 : job_refused(d, j->id, check_fence(j), e);
    if (shards_checked_in(d, j->id, e) < 0)
        return -1;
    if (event_add(d, j->id, JOB_QUEUED, now_us, e) < 0)
        return -1;
    q = db_stmt(d, "UPDATE job SET state = " SQL_PAUSED ", wish = " SQL_ASKED_NOTHING
                   ", pause_reason = 'asked' WHERE id = ? AND state = " SQL_QUEUED
                   " AND wish = " SQL_ASKED_PAUSE);
    db_bind(q, "i", j->id);
    rc = db_run(q, "cannot pause the job", e);
    if (rc <= 0)
        return rc;
    return event_add(d, j->id, JOB_PAUSED, now_us, e);
}

int job_checked(struct store *s, const struct job *j, struct error *e)
{
    struct db *d = store_write(s, e);

    if (!d || store_commit(s, d, checked_in(s, d, j, e), e) < 0)
        return -1;
    job_notify(s, j->id);
    return 0;
}

/* ---- A stretch of running ---- */

int job_begin_in(struct db *d, struct job *j, int64_t now_us, struct error *e)
{
    struct stmt *q = db_stmt(
        d, "UPDATE job SET state = " SQL_RUNNING ", fence = fence + 1, stretch_us = ?1,"
           " update_us = ?1, start_us = CASE start_us WHEN 0 THEN ?1 ELSE start_us END,"
           " wish = " SQL_ASKED_NOTHING ", pause_reason = '' WHERE id = ?2 AND state = " SQL_QUEUED
           " RETURNING fence, start_us, ran_us");

    db_bind(q, "ii", now_us, j->id);
    int rc = db_step(q, "cannot start the job", e);
    if (rc <= 0)
        return rc < 0 ? -1 : job_refused(d, j->id, JOB_NO_FENCE, e);
    j->fence = db_int(q, 0);
    assert(j->fence > 0);
    j->start_us = db_int(q, 1);
    j->ran_us = db_int(q, 2);
    j->state = JOB_RUNNING;
    j->asked = ASKED_NOTHING;
    j->stretch_us = j->update_us = now_us;
    j->pause_reason = (struct str){ 0 };
    return event_add(d, j->id, JOB_RUNNING, now_us, e);
}

int job_begin(struct store *s, struct job *j, struct error *e)
{
    struct job next = *j;
    struct db *d = store_write(s, e);

    if (!d || store_commit(s, d, job_begin_in(d, &next, store_now(s), e), e) < 0)
        return -1;
    *j = next;
    job_notify(s, j->id);
    return 0;
}

static int progress_in(struct db *d, const struct job *j, int64_t now_us, struct error *e)
{
    struct stmt *q =
        db_stmt(d, "UPDATE job SET " JOB_COUNTERS(
                       JOB_SET) "update_us = ?"
                                " WHERE id = ? AND fence = ? AND state IN (" SQL_RUNNING
                                ", " SQL_CANCELLING ")"
                                " AND stretch_us != 0");

    assert(counters_balanced(&j->counters));
    int next = job_bind(q, 1, j, FIELD_total, FIELD_cost_online_nano);
    db_bind_from(q, next, "iii", now_us, j->id, j->fence);
    int rc = db_run(q, "cannot write the job's progress", e);
    return rc == 1 ? 0 : rc == 0 ? job_refused(d, j->id, j->fence, e) : -1;
}

int job_progress(struct store *s, const struct job *j, struct error *e)
{
    struct db *d = store_write(s, e);

    if (!d || store_commit(s, d, progress_in(d, j, store_now(s), e), e) < 0)
        return -1;
    job_notify(s, j->id);
    return 0;
}

/* A request to pause outlives a runner that stopped for another reason. */
static int yield_in(struct db *d, struct job *j, enum job_state to, int64_t now_us, struct error *e)
{
    struct stmt *q = db_stmt(
        d,
        "UPDATE job SET " JOB_COUNTERS(
            JOB_SET) "state = CASE wish WHEN " SQL_ASKED_PAUSE " THEN " SQL_PAUSED " ELSE ? END,"
                     " pause_reason = CASE wish WHEN " SQL_ASKED_PAUSE " THEN 'asked' ELSE ? END,"
                     " update_us = ?, " STRETCH_ENDS " WHERE id = ? AND fence = ?"
                     " AND state = " SQL_RUNNING " RETURNING state, ran_us");
    struct str reason = to == JOB_PAUSED ? j->pause_reason : (struct str){ 0 };

    assert(to == JOB_QUEUED || to == JOB_PAUSED);
    assert(j->fence > 0);
    assert(counters_balanced(&j->counters));
    int next = job_bind(q, 1, j, FIELD_total, FIELD_cost_online_nano);
    db_bind_from(q, next, "ntiiiii", (int)to, reason, now_us, now_us, now_us, j->id, j->fence);
    int rc = db_step(q, "cannot give the job back", e);
    if (rc <= 0)
        return rc < 0 ? -1 : job_refused(d, j->id, j->fence, e);
    j->state = (enum job_state)db_int(q, 0);
    assert(j->state == to || j->state == JOB_PAUSED);
    j->ran_us = db_int(q, 1);
    j->pause_reason = j->state == to ? reason : STR("asked");
    j->asked = ASKED_NOTHING;
    j->stretch_us = 0;
    j->update_us = now_us;
    return event_add(d, j->id, j->state, now_us, e);
}

int job_yield(struct store *s, struct job *j, enum job_state to, struct error *e)
{
    struct job next = *j;
    struct db *d = store_write(s, e);

    if (!d || store_commit(s, d, yield_in(d, &next, to, store_now(s), e), e) < 0)
        return -1;
    *j = next;
    job_notify(s, j->id);
    return 0;
}

/* ---- The end ---- */

static int finish_row(struct db *d, struct job *j, enum job_state to, int64_t now_us,
                      struct error *e)
{
    struct stmt *q = db_stmt(
        d,
        "UPDATE job SET " JOB_COUNTERS(JOB_SET) JOB_FIGURES(JOB_SET) JOB_ENDING(
            JOB_SET) "state = ?, pause_reason = '', end_us = ?, update_us = ?, " STRETCH_ENDS
                     " WHERE id = ?"
                     " AND (CAST(1 AS BIGINT) << CAST(state AS INTEGER)) & ? != 0"
                     " AND CASE ? WHEN 0 THEN stretch_us = 0 ELSE fence = ? END RETURNING ran_us");

    int next = job_bind(q, 1, j, FIELD_total, FIELD_result);
    db_bind_from(q, next, "niiiiiiii", (int)to, now_us, now_us, now_us, now_us, j->id,
                 (int64_t)job_states_before(to), j->fence, j->fence);
    int rc = db_step(q, "cannot end the job", e);
    if (rc <= 0)
        return rc < 0 ? -1 : job_refused(d, j->id, j->fence, e);
    j->ran_us = db_int(q, 0);
    j->state = to;
    j->end_us = j->update_us = now_us;
    j->stretch_us = 0;
    j->asked = ASKED_NOTHING;
    j->pause_reason = (struct str){ 0 };
    return 0;
}

static int finish_in(struct store *s, struct db *d, struct job *j, const struct job_end *end,
                     struct error *e)
{
    int64_t now_us = store_now(s);

    assert(job_state_final(end->to));
    if (shards_end_in(d, j, end->to, now_us, e) < 0)
        return -1;
    assert(counters_balanced(&j->counters));
    if (finish_row(d, j, end->to, now_us, e) < 0)
        return -1;
    if (j->result && blob_keep_in(s, d, j->result, e) < 0)
        return -1;
    if (end->object && object_put_in(s, d, end->object, e) < 0)
        return -1;
    if (end->file && file_put_in(s, d, end->file, e) < 0)
        return -1;
    return event_add(d, j->id, j->state, now_us, e);
}

int job_finish(struct store *s, struct job *j, const struct job_end *end, struct error *e)
{
    struct job next = *j;
    struct db *d = store_write(s, e);

    if (!d || store_commit(s, d, finish_in(s, d, &next, end, e), e) < 0)
        return -1;
    *j = next;
    job_notify(s, j->id);
    return 0;
}

/* ---- After a crash ---- */

#define RECOVERED_STATE                                                                            \
    "CASE state WHEN " SQL_RUNNING " THEN CASE wish WHEN " SQL_ASKED_PAUSE " THEN " SQL_PAUSED     \
    " ELSE " SQL_QUEUED " END ELSE state END"

/* A job in shards is nobody's: what expired processes held is freed by fleet_renew. For any other, the length of the
 * last stretch is known up to its last write. The event is written first, because it
 * reads the rows as they were. */
static int recover_in(struct db *d, int64_t now_us, struct error *e)
{
    struct stmt *q =
        db_stmt(d, "INSERT INTO event (job, project, state, time_us)"
                   " SELECT id, project, " RECOVERED_STATE ", ? FROM job WHERE state = " SQL_RUNNING
                   " AND " SQL_OPEN " AND shards = 0 ORDER BY id");

    db_bind(q, "i", now_us);
    if (db_run(q, "cannot write events", e) < 0)
        return -1;
    q = db_stmt(d, "UPDATE job SET ran_us = ran_us + CASE WHEN update_us > stretch_us"
                   " THEN update_us - stretch_us ELSE 0 END, stretch_us = 0,"
                   " pause_reason = CASE wish WHEN " SQL_ASKED_PAUSE " THEN 'asked' ELSE '' END,"
                   " state = " RECOVERED_STATE ", wish = CASE state WHEN " SQL_CANCELLING
                   " THEN wish ELSE " SQL_ASKED_NOTHING " END, fence = fence + 1, update_us = ?"
                   " WHERE " SQL_OPEN " AND stretch_us != 0 AND shards = 0");
    db_bind(q, "i", now_us);
    return db_run(q, "cannot take up the jobs", e) < 0 ? -1 : 0;
}

int job_recover(struct store *s, struct error *e)
{
    struct db *d = store_write(s, e);

    return d ? store_commit(s, d, recover_in(d, store_now(s), e), e) : -1;
}

/* ---- Inputs ---- */

int job_input_add(struct store *s, struct db *d, int64_t id, uint32_t position,
                  const struct job_input *in, struct error *e)
{
    struct stmt *q;

    if (in->blob && blob_keep_in(s, d, in->blob, e) < 0)
        return -1;
    q = db_stmt(d, "INSERT INTO job_input (job, position, name, blob, bytes)"
                   " VALUES (?, ?, ?, ?, ?)");
    db_bind(q, "iitii", id, (int64_t)position, in->name, in->blob, (int64_t)in->bytes);
    return db_run(q, "cannot write the job's inputs", e) < 0 ? -1 : 0;
}

/* ---- Files ---- */

static int file_set_in(struct store *s, struct db *d, int64_t id, const char *name,
                       const struct blob *b, struct error *e)
{
    struct stmt *q = db_stmt(d, "SELECT blob FROM job_file WHERE job = ? AND name = ?");

    db_bind(q, "is", id, name);
    int rc = db_step(q, "cannot read a job's file", e);
    int64_t old = rc == 1 ? db_int(q, 0) : 0;
    if (rc < 0 || blob_keep_in(s, d, b->id, e) < 0)
        return -1;
    q = db_stmt(d, "INSERT INTO job_file (job, name, blob, bytes) SELECT id, ?2, ?3, ?4 FROM job"
                   " WHERE id = ?1 ON CONFLICT (job, name) DO UPDATE SET blob = ?3, bytes = ?4");
    db_bind(q, "isii", id, name, b->id, (int64_t)b->bytes);
    rc = db_run(q, "cannot write a job's file", e);
    if (rc == 0)
        return job_refused(d, id, JOB_NO_FENCE, e);
    if (rc < 0 || old == b->id)
        return rc < 0 ? -1 : 0;
    return blob_drop_in(d, old, NULL, e);
}

int job_file_set(struct store *s, int64_t id, const char *name, const struct blob *b,
                 struct error *e)
{
    struct db *d = store_write(s, e);

    return d ? store_commit(s, d, file_set_in(s, d, id, name, b, e), e) : -1;
}
