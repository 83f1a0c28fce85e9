/* jobs.c -- what clients do with jobs: create, cancel, pause, resume, patch, delete. */
#include "store/jobs/jobs.h"

#include <assert.h>
#include <string.h>
#include <sys/stat.h>

#include "base/random.h"
#include "store/jobs/jobs_inner.h"
#include "store/jobs/shards_inner.h"

/* Ids have 19 digits whatever the clock says. */
#define JOB_ID_MIN INT64_C(1000000000000000000)
#define BATCH_CHARS (JOB_BATCH_ID_BYTES - 1)

/* A job to be created, and the result. */
struct creation {
    struct arena *a;
    struct job job;
    struct job_terms terms;
    bool existed;
};

/* A change of a job that was read in the same transaction; apply writes the new state into *j. */
struct change {
    int (*apply)(const struct change *c, struct job *j, struct error *e);
    const char *project; /* the caller's, or NULL */
    const struct job_options *options;
    const struct str *display_name;
    const int64_t *priority;
    int64_t now_us;
};

/* ---- Creating ---- */

/* 1 when the project has a job of this request id. */
static int find_request(struct db *d, struct arena *a, const struct job *j, struct job *out,
                        struct error *e)
{
    struct stmt *q = db_stmt(d, "SELECT " JOB_COLUMNS " FROM job WHERE project = ?"
                                " AND request_id = ? AND request_id != ''");

    if (j->request_id.len == 0)
        return 0;
    db_bind(q, "st", j->project, j->request_id);
    int rc = db_step(q, "cannot read the job", e);
    if (rc == 1)
        job_row(q, a, out);
    return rc;
}

/* Ids grow with the time, and never come twice even when the clock goes back: the last one stands in
 * the table of counters. */
static int take_id(struct db *d, struct job *j, struct error *e)
{
    int64_t least = j->create_us > INT64_MAX / 1000 ? INT64_MAX / 1000 * 1000 : j->create_us * 1000;

    if (j->id)
        return store_number(d, "job", j->id, 0, &(int64_t){ 0 }, e);
    return store_number(d, "job", least < JOB_ID_MIN ? JOB_ID_MIN : least, 1, &j->id, e);
}

static int insert(struct db *d, const struct job *j, struct error *e)
{
#define QUESTION(column, kind, member) ", ?"
    struct stmt *q =
        db_stmt(d, "INSERT INTO job (" JOB_COLUMNS ") VALUES (?" JOB_FIELDS(QUESTION) ")");
#undef QUESTION

    assert(counters_balanced(&j->counters));
    db_bind(q, "i", j->id);
    (void)job_bind(q, 2, j, 0, JOB_FIELD_COUNT - 1);
    return db_run(q, "cannot create the job", e) < 0 ? -1 : 0;
}

static int add_inline(struct store *s, struct db *d, const struct job *j, int64_t blob,
                      struct error *e)
{
    struct job_input in = { .name = STR("inline"), .blob = blob };

    if (blob == 0)
        return 0;
    if (blob_size(s, blob, &in.bytes, e) < 0)
        return error_wrap(e, "cannot read the inline requests");
    return job_input_add(s, d, j->id, 0, &in, e);
}

/* In the transaction of the creation, so that calls at the same time cannot pass the limit together. */
static int check_open(struct db *d, const char *project, uint32_t most, struct error *e)
{
    if (most == 0)
        return 0;
    struct stmt *q = db_stmt(d, "SELECT count(*) FROM (SELECT 1 FROM job WHERE project = ?1"
                                " AND " SQL_OPEN " LIMIT ?2) AS open_job");
    db_bind(q, "si", project, (int64_t)most);
    int rc = db_step(q, "cannot count the open jobs", e);
    if (rc < 0 || db_int(q, 0) < (int64_t)most)
        return rc < 0 ? -1 : 0;
    return error_set(
        e, ERROR_RESOURCE_EXHAUSTED,
        "The project %s has %u jobs that are not finished, which is its limit. Wait until "
        "one has finished, or cancel one.",
        project, most);
}

static void begin_life(struct job *j, int64_t now_us)
{
    j->state = JOB_PENDING;
    j->asked = ASKED_NOTHING;
    j->create_us = j->update_us = now_us;
    j->queue_us = j->start_us = j->end_us = j->ran_us = j->stretch_us = 0;
    j->fence = j->result = 0;
}

static int create_in(struct store *s, struct db *d, struct creation *c, struct error *e)
{
    struct job *j = &c->job;
    int rc = find_request(d, c->a, j, j, e);

    c->existed = rc == 1;
    if (rc != 0)
        return rc < 0 ? -1 : 0;
    if (check_open(d, j->project, c->terms.open_max, e) < 0)
        return -1;
    begin_life(j, store_now(s));
    if (j->dialect == DIALECT_GEMINI && j->batch[0] == '\0' &&
        random_text(j->batch, BATCH_CHARS, ALPHABET_36, e) < 0)
        return -1;
    if (take_id(d, j, e) < 0 || insert(d, j, e) < 0 ||
        add_inline(s, d, j, c->terms.inline_blob, e) < 0)
        return -1;
    return event_add(d, j->id, j->state, j->create_us, e);
}

int job_create(struct store *s, struct arena *a, struct job *j, const struct job_terms *terms,
               bool *existed, struct error *e)
{
    struct creation c = { .a = a, .job = *j };
    if (terms)
        c.terms = *terms;
    struct db *d = store_write(s, e);

    if (!d || store_commit(s, d, create_in(s, d, &c, e), e) < 0)
        return -1;
    *j = c.job;
    *existed = c.existed;
    if (!c.existed)
        job_notify(s, j->id);
    return 0;
}

/* ---- Changing ---- */

/* Only what a client may change is written, so a runner's counters are not taken back. */
static int write_control(struct db *d, const struct job *j, enum job_state from, struct error *e)
{
    struct stmt *q = db_stmt(
        d, "UPDATE job SET " JOB_CONTROL(JOB_SET) "not_run = ?, error = ?,"
                                                  " error_message = ? WHERE id = ? AND state = ?");

    assert(from == j->state || job_state_may(from, j->state));
    assert(counters_balanced(&j->counters));
    int next = job_bind(q, 1, j, FIELD_state, FIELD_update_us);
    next = job_bind(q, next, j, FIELD_not_run, FIELD_not_run);
    next = job_bind(q, next, j, FIELD_error, FIELD_error_message);
    db_bind_from(q, next, "in", j->id, (int)from);
    int rc = db_run(q, "cannot change the job", e);
    return rc == 1 ? 0 : rc == 0 ? job_refused(d, j->id, JOB_NO_FENCE, e) : -1;
}

static int change_in(struct store *s, struct db *d, struct arena *a, struct change *c,
                     struct job *j, struct error *e)
{
    if (job_lock(d, a, c->project, j->id, j, e) < 0)
        return -1;
    enum job_state from = j->state;
    c->now_us = store_now(s);
    if (c->apply(c, j, e) < 0)
        return -1;
    j->update_us = c->now_us;
    if (write_control(d, j, from, e) < 0)
        return -1;
    if (job_state_final(j->state) && shards_free_in(d, j->id, e) < 0)
        return -1;
    return j->state == from ? 0 : event_add(d, j->id, j->state, c->now_us, e);
}

static int change(struct store *s, struct arena *a, struct change *c, struct job *j,
                  struct error *e)
{
    struct db *d = store_write(s, e);

    if (!d || store_commit(s, d, change_in(s, d, a, c, j, e), e) < 0)
        return -1;
    job_notify(s, j->id);
    return 0;
}

static int refuse(const struct job *j, const char *what, struct error *e)
{
    return error_set(e, ERROR_FAILED_PRECONDITION, "job %lld is %s: it cannot be %s",
                     (long long)j->id, job_state_name(j->state), what);
}

/* Work that was done is to be returned, by the scheduler, and what ran once may still be at work with
 * another service; where there is neither, that is the end. */
static int apply_cancel(const struct change *c, struct job *j, struct error *e)
{
    if (job_state_final(j->state))
        return refuse(j, "cancelled", e);
    if (j->state == JOB_CANCELLING)
        return 0;
    j->pause_reason = (struct str){ 0 };
    if (j->state == JOB_RUNNING || j->start_us || counters_done(&j->counters) > 0) {
        j->state = JOB_CANCELLING;
        j->asked = ASKED_CANCEL;
        return 0;
    }
    j->state = JOB_CANCELLED;
    j->asked = ASKED_NOTHING;
    j->end_us = c->now_us;
    j->counters.not_run += counters_pending(&j->counters);
    j->error = ERROR_CANCELLED;
    j->error_message = STR("CANCELED");
    return 0;
}

int job_cancel(struct store *s, struct arena *a, const char *project, int64_t id, struct job *out,
               struct error *e)
{
    struct change c = { .apply = apply_cancel, .project = project };

    *out = (struct job){ .id = id };
    return change(s, a, &c, out, e);
}

static int apply_remove(const struct change *c, struct job *j, struct error *e)
{
    if (apply_cancel(c, j, e) < 0)
        return -1;
    if (!job_state_final(j->state))
        j->asked = ASKED_REMOVE;
    return 0;
}

int job_remove(struct store *s, struct arena *a, const char *project, int64_t id, struct job *out,
               struct error *e)
{
    struct change c = { .apply = apply_remove, .project = project };

    *out = (struct job){ .id = id };
    return change(s, a, &c, out, e);
}

static int apply_pause(const struct change *c, struct job *j, struct error *e)
{
    (void)c;
    if (job_state_final(j->state) || j->state == JOB_CANCELLING)
        return refuse(j, "paused", e);
    if (j->state == JOB_PAUSED)
        return 0;
    if (j->state != JOB_QUEUED) {
        j->asked = ASKED_PAUSE;
        return 0;
    }
    j->state = JOB_PAUSED;
    j->pause_reason = STR("asked");
    return 0;
}

int job_pause(struct store *s, struct arena *a, const char *project, int64_t id, struct job *out,
              struct error *e)
{
    struct change c = { .apply = apply_pause, .project = project };

    *out = (struct job){ .id = id };
    return change(s, a, &c, out, e);
}

static int apply_resume(const struct change *c, struct job *j, struct error *e)
{
    if (job_state_final(j->state) || j->state == JOB_CANCELLING)
        return refuse(j, "resumed", e);
    if (c->options)
        j->options = *c->options;
    j->asked = ASKED_NOTHING;
    j->pause_reason = (struct str){ 0 };
    if (j->state == JOB_PAUSED)
        j->state = JOB_QUEUED;
    return 0;
}

int job_resume(struct store *s, struct arena *a, const struct job_resume *in, struct job *out,
               struct error *e)
{
    struct job_options copy; /* they may be those of *out */
    struct change c = { .apply = apply_resume, .project = in->project };

    if (in->options) {
        copy = *in->options;
        c.options = &copy;
    }
    *out = (struct job){ .id = in->id };
    return change(s, a, &c, out, e);
}

static int apply_patch(const struct change *c, struct job *j, struct error *e)
{
    if (job_state_final(j->state))
        return refuse(j, "changed", e);
    if (c->display_name)
        j->display_name = *c->display_name;
    if (c->priority)
        j->priority = *c->priority;
    return 0;
}

int job_patch(struct store *s, struct arena *a, const struct job_patch *in, struct job *out,
              struct error *e)
{
    struct str name = in->display_name ? *in->display_name : (struct str){ 0 };
    int64_t number = in->priority ? *in->priority : 0;
    struct change c = {
        .apply = apply_patch,
        .project = in->project,
        .display_name = in->display_name ? &name : NULL,
        .priority = in->priority ? &number : NULL,
    };

    *out = (struct job){ .id = in->id };
    return change(s, a, &c, out, e);
}

/* ---- Deleting ---- */

struct blobs_of_job {
    int64_t *id;
    uint32_t count;
};

/* Its inputs, its files and its result. */
static int find_blobs(struct db *d, struct arena *a, int64_t id, struct blobs_of_job *out,
                      struct error *e)
{
    int rc;
    struct stmt *q = db_stmt(d, "SELECT blob FROM job_input WHERE job = ?1"
                                " UNION SELECT blob FROM job_file WHERE job = ?1"
                                " UNION SELECT result FROM job WHERE id = ?1");

    db_bind(q, "i", id);
    while ((rc = db_step(q, "cannot read the job's blobs", e)) == 1) {
        out->id = arena_list_grow(a, out->id, out->count, sizeof *out->id);
        out->id[out->count++] = db_int(q, 0);
    }
    return rc;
}

/* The rows of its inputs and events go with it. Turns the ids into those whose file may go. */
static int delete_in(struct db *d, struct arena *a, const char *project, int64_t id,
                     struct blobs_of_job *blobs, struct error *e)
{
    struct job j;

    if (job_lock(d, a, project, id, &j, e) < 0)
        return -1;
    if (!job_state_final(j.state))
        return refuse(&j, "deleted", e);
    if (find_blobs(d, a, id, blobs, e) < 0)
        return -1;
    struct stmt *q = db_stmt(d, "DELETE FROM job WHERE id = ? AND state >= ?");
    db_bind(q, "in", id, (int)JOB_SUCCEEDED);
    if (db_run(q, "cannot delete the job", e) < 0)
        return -1;
    for (uint32_t i = 0; i < blobs->count; i++) {
        if (blob_drop_in(d, blobs->id[i], &blobs->id[i], e) < 0)
            return -1;
    }
    return 0;
}

/* A client sees the job no more from here on, and the scheduler deletes it again after a crash. 1: it has shards. */
static int hide_in(struct db *d, struct arena *a, const char *project, int64_t id, struct error *e)
{
    struct job j;

    if (job_lock(d, a, project, id, &j, e) < 0)
        return -1;
    if (!job_state_final(j.state))
        return refuse(&j, "deleted", e);
    struct stmt *q =
        db_stmt(d, "UPDATE job SET wish = " SQL_ASKED_REMOVE " WHERE id = ? AND shards > 0");
    db_bind(q, "i", id);
    return db_run(q, "cannot delete the job", e);
}

/* Shards go before their job, some at a time: a job may have a million. */
static int delete_shards(struct store *s, struct arena *a, const char *project, int64_t id,
                         struct error *e)
{
    struct db *d = store_write(s, e);
    bool more = true;

    if (!d)
        return -1;
    int has = hide_in(d, a, project, id, e);
    if (store_commit(s, d, has < 0 ? -1 : 0, e) < 0)
        return -1;
    while (has == 1 && more) {
        if (shards_delete_some(s, id, &more, e) < 0)
            return -1;
    }
    return 0;
}

int job_delete(struct store *s, const char *project, int64_t id, struct error *e)
{
    struct arena a = { 0 };
    struct blobs_of_job blobs = { 0 };
    int rc = delete_shards(s, &a, project, id, e);
    struct db *d = rc == 0 ? store_write(s, e) : NULL;

    if (rc == 0)
        rc = d ? store_commit(s, d, delete_in(d, &a, project, id, &blobs, e), e) : -1;
    for (uint32_t i = 0; rc == 0 && i < blobs.count; i++)
        (void)blob_unlink(s, blobs.id[i]);
    arena_release(&a);
    if (rc == 0)
        job_notify(s, id);
    return rc;
}
