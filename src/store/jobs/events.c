/* events.c -- what happened to jobs, in order, for streams of events and for the scheduler. */
#include "store/jobs/jobs.h"

#include <assert.h>

#include "base/thread.h"
#include "store/jobs/jobs_inner.h"

void jobs_on_change(struct store *s, void (*fn)(void *arg, int64_t id), void *arg)
{
    lock(&s->changed_lock);
    s->changed = fn;
    s->changed_arg = arg;
    unlock(&s->changed_lock);
}

void job_notify(struct store *s, int64_t id)
{
    lock(&s->changed_lock);
    void (*fn)(void *arg, int64_t id) = s->changed;
    void *arg = s->changed_arg;
    unlock(&s->changed_lock);
    if (fn)
        fn(arg, id);
}

int event_add(struct db *d, int64_t id, enum job_state state, int64_t now_us, struct error *e)
{
    struct stmt *q = db_stmt(d, "INSERT INTO event (job, project, state, time_us)"
                                " SELECT id, project, ?, ? FROM job WHERE id = ? RETURNING seq");

    db_bind(q, "nii", (int)state, now_us, id);
    int rc = db_step(q, "cannot write an event", e);
    if (rc < 0)
        return -1;
    assert(rc == 1); /* the job's row was just written */
    return deliveries_add(d, id, db_int(q, 0), state, now_us, e);
}

#define EVENT_COLUMNS "seq, job, state, time_us, project"

/* A text for each kind of reader, because an index serves only what the text says plainly. */
static struct stmt *after_stmt(struct db *d, const char *project, int64_t job)
{
    struct stmt *q;

    if (job) {
        q = db_stmt(d, "SELECT " EVENT_COLUMNS " FROM event WHERE job = ?3 AND seq > ?1"
                       " AND (?4 IS NULL OR project = ?4) ORDER BY seq LIMIT ?2");
        db_bind_from(q, 3, "is", job, project);
        return q;
    }
    if (!project)
        return db_stmt(d, "SELECT " EVENT_COLUMNS " FROM event WHERE seq > ?1 ORDER BY seq"
                          " LIMIT ?2");
    q = db_stmt(d, "SELECT " EVENT_COLUMNS " FROM event WHERE project = ?3 AND seq > ?1"
                   " ORDER BY seq LIMIT ?2");
    db_bind_from(q, 3, "s", project);
    return q;
}

int events_after(struct store *s, const struct event_query *query, struct event *out,
                 uint32_t *count, struct error *e)
{
    struct db *d = store_read(s, e);
    int rc = 0;

    *count = 0;
    if (!d)
        return -1;
    struct stmt *q = after_stmt(d, query->project, query->job);
    db_bind(q, "ii", query->after, (int64_t)query->most);
    while (*count < query->most && (rc = db_step(q, "cannot read events", e)) == 1) {
        struct event *v = &out[(*count)++];
        v->seq = db_int(q, 0);
        v->job = db_int(q, 1);
        v->state = (enum job_state)db_int(q, 2);
        v->time_us = db_int(q, 3);
        db_text_to(q, 4, v->project, sizeof v->project);
    }
    store_read_done(s, d);
    return rc < 0 ? -1 : 0;
}

int64_t events_last(struct store *s)
{
    struct error ignored = { 0 };
    struct db *d = store_read(s, &ignored);
    int64_t seq = 0;

    if (!d)
        return 0;
    struct stmt *q = db_stmt(d, "SELECT max(seq) FROM event");
    if (db_step(q, "cannot read the last event", &ignored) == 1)
        seq = db_int(q, 0);
    store_read_done(s, d);
    return seq;
}
