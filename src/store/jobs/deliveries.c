/* deliveries.c -- the outbox: posts that webhooks have not taken yet, written in the transaction of the
 * event that they report. */
#include <assert.h>
#include <string.h>

#include "base/json.h"
#include "base/json_write.h"
#include "format/bigquery/name.h"
#include "store/jobs/jobs_inner.h"
#include "store/jobs/webhooks.h"

/* A body without what the client sent: names, times, an error's message. */
#define BODY_BYTES_MAX ((size_t)64 * 1024)

/* The end of a job, as one body for all of its receivers. */
struct news {
    struct job job;
    struct str config; /* the job's own webhookConfig, or empty */
    const char *name;
    int64_t event_seq, now_us;
    struct buf body;
};

/* The event's name for a state; NULL: none is sent. */
static const char *event_name(enum job_state state)
{
    static const char *const names[JOB_STATE_COUNT] = {
        [JOB_SUCCEEDED] = "batch.succeeded",
        [JOB_FAILED] = "batch.failed",
        [JOB_CANCELLED] = "batch.cancelled",
        [JOB_EXPIRED] = "batch.expired",
    };

    return names[state];
}

/* ---- The body ---- */

/* The value of a member of a JSON object, as written; empty when it has none. */
static struct str member(struct str object, const char *key)
{
    struct json_member m = { 0 };

    while (object.len && json_member_next(object, &m)) {
        if (str_eq_c(m.key, key))
            return m.value;
    }
    return (struct str){ 0 };
}

static void write_id(struct json_writer *w, const struct job *j)
{
    if (j->dialect == DIALECT_GEMINI)
        json_addf(w, "id", "batches/%s", j->batch);
    else
        json_addf(w, "id", "projects/%s/locations/%s/batchPredictionJobs/%lld", j->project,
                  j->location, (long long)j->id);
}

/* A job over objects names the folder of its output, which has one file, or the output's table. */
static void write_output(struct json_writer *w, const struct job *j)
{
    struct buf uri = BUF_INIT(j->output.len + sizeof "/predictions.jsonl");

    buf_add_str(&uri, j->output);
    if (j->source == JOB_OBJECTS && !bq_is(j->output))
        buf_add_c(&uri, "/predictions.jsonl");
    json_add_text(w, "output_file_uri", buf_str(&uri));
    buf_release(&uri);
}

static void write_body(struct news *n)
{
    char time[CLOCK_TEXT_BYTES];
    struct json_writer w = JSON_WRITER(&n->body);
    const struct job *j = &n->job;
    struct str metadata = member(n->config, "userMetadata");

    clock_format_rfc3339(n->now_us, time);
    json_object(&w, NULL);
    json_add_c(&w, "type", n->name);
    json_add_c(&w, "version", "v1");
    json_add_c(&w, "timestamp", time);
    json_object(&w, "data");
    write_id(&w, j);
    if (j->state == JOB_SUCCEEDED && j->output.len)
        write_output(&w, j);
    if (j->state == JOB_FAILED) {
        json_add_int(&w, "error_code", error_rpc(j->error));
        json_add_text(&w, "error_message", j->error_message);
    }
    json_end(&w);
    if (metadata.len)
        json_add_raw(&w, "user_metadata", metadata);
    json_end(&w);
    assert(buf_ok(&n->body));
}

/* ---- The receivers ---- */

static int insert(struct db *d, const struct news *n, struct str webhook, struct str uri,
                  struct error *e)
{
    struct stmt *q =
        db_stmt(d, "INSERT INTO delivery (job, event_seq, project, webhook, uri, attempts,"
                   " create_us, due_us, state, last_status, last_error, body)"
                   " VALUES (?, ?, ?, ?, ?, 0, ?, ?, 0, 0, '', ?)");

    db_bind(q, "iisttiit", n->job.id, n->event_seq, n->job.project, webhook, uri, n->now_us,
            n->now_us, buf_str(&n->body));
    return db_run(q, "cannot write a delivery", e) < 0 ? -1 : 0;
}

static int add_own(struct db *d, struct arena *a, const struct news *n, struct error *e)
{
    struct error bad = { 0 };
    size_t at, i, count;
    yyjson_val *uri, *config = json_parse(a, n->config, &at, &bad);
    yyjson_val *uris = json_get(config, "uris");

    yyjson_arr_foreach(uris, i, count, uri)
    {
        if (insert(d, n, (struct str){ 0 }, json_str(uri), e) < 0)
            return -1;
    }
    return 0;
}

static bool is_listed(struct str events, const char *name)
{
    struct str one;

    while (str_next(&events, ',', &one)) {
        if (str_eq_c(str_trim(one), name))
            return true;
    }
    return false;
}

static int add_registered(struct db *d, const struct news *n, struct error *e)
{
    struct stmt *q =
        db_stmt(d, "SELECT id, uri, events FROM webhook WHERE project = ? AND enabled != 0"
                   " ORDER BY create_us");
    int rc;

    db_bind(q, "s", n->job.project);
    while ((rc = db_step(q, "cannot read the webhooks", e)) == 1) {
        struct str events = db_bytes(q, 2);
        if (events.len && !is_listed(events, n->name))
            continue;
        if (insert(d, n, db_bytes(q, 0), db_bytes(q, 1), e) < 0)
            return -1;
    }
    return rc;
}

int deliveries_add(struct db *d, int64_t id, int64_t event_seq, enum job_state state,
                   int64_t now_us, struct error *e)
{
    struct arena a = { 0 };
    struct news n = { .name = event_name(state), .event_seq = event_seq, .now_us = now_us };

    if (!n.name)
        return 0;
    int rc = job_find(d, &a, NULL, id, &n.job, e);
    if (rc == 0) {
        n.config = n.job.webhook;
        n.body = BUF_INIT(BODY_BYTES_MAX + n.config.len + 6 * n.job.output.len);
        write_body(&n);
        rc = n.config.len ? add_own(d, &a, &n, e) : add_registered(d, &n, e);
    }
    buf_release(&n.body);
    arena_release(&a);
    return rc;
}

/* ---- The outbox ---- */

#define DELIVERY_COLUMNS                                                                           \
    "id, job, event_seq, project, webhook, uri, body, attempts, create_us, due_us, state,"         \
    " last_status, last_error, (SELECT trace FROM job WHERE job.id = delivery.job)"

static void delivery_row(struct stmt *q, struct arena *a, struct delivery *out)
{
    *out = (struct delivery){
        .id = db_int(q, 0),
        .job = db_int(q, 1),
        .event_seq = db_int(q, 2),
        .project = db_text(q, 3, a),
        .webhook = db_text(q, 4, a),
        .uri = db_text(q, 5, a),
        .body = db_text(q, 6, a),
        .attempts = (uint32_t)db_int(q, 7),
        .create_us = db_int(q, 8),
        .due_us = db_int(q, 9),
        .state = (enum delivery_state)db_int(q, 10),
        .last_status = (int32_t)db_int(q, 11),
        .last_error = db_text(q, 12, a),
        .trace = db_text(q, 13, a),
    };
}

static int list_read(struct stmt *q, struct arena *a, struct delivery_list *out, struct error *e)
{
    int rc;

    while ((rc = db_step(q, "cannot read the deliveries", e)) == 1) {
        out->item = arena_list_grow(a, out->item, out->count, sizeof *out->item);
        delivery_row(q, a, &out->item[out->count++]);
    }
    return rc;
}

/* One row a receiver before the second of any: who has many due ones does not stand before others. */
int delivery_due(struct store *s, struct arena *a, int64_t now_us,
                 const struct delivery_share *share, struct delivery_list *out, struct error *e)
{
    struct db *d = store_read(s, e);

    *out = (struct delivery_list){ 0 };
    if (!d)
        return -1;
    struct stmt *q = db_stmt(
        d, "WITH due AS (SELECT id, due_us, project, row_number() OVER"
           "  (PARTITION BY project, uri ORDER BY due_us, id) AS nth FROM delivery"
           "  WHERE state = " SQL_WAITS " AND due_us <= ?),"
           " turn AS (SELECT id, due_us, row_number() OVER"
           "  (PARTITION BY project ORDER BY nth, due_us, id) AS nth FROM due WHERE nth <= ?)"
           " SELECT " DELIVERY_COLUMNS " FROM delivery WHERE id IN (SELECT id FROM turn"
           "  WHERE nth <= ? ORDER BY nth, due_us, id LIMIT ?) ORDER BY due_us, id");
    db_bind(q, "iiii", now_us, (int64_t)share->receiver, (int64_t)share->project,
            (int64_t)share->all);
    int rc = list_read(q, a, out, e);
    store_read_done(s, d);
    return rc;
}

/* The newest first. */
static struct stmt *query_stmt(struct db *d, const struct delivery_query *by)
{
    struct stmt *q;

#define LIST_REST                                                                                  \
    " AND (?1 IS NULL OR project = ?1) AND (?2 = '' OR webhook = ?2) AND (?3 = 0 OR job = ?3)"     \
    " ORDER BY id DESC LIMIT ?4"
    if (by->job)
        q = db_stmt(d, "SELECT " DELIVERY_COLUMNS " FROM delivery WHERE job = ?3" LIST_REST);
    else if (by->webhook.len)
        q = db_stmt(d, "SELECT " DELIVERY_COLUMNS " FROM delivery WHERE webhook = ?2" LIST_REST);
    else if (by->project)
        q = db_stmt(d, "SELECT " DELIVERY_COLUMNS " FROM delivery WHERE project = ?1" LIST_REST);
    else
        q = db_stmt(d, "SELECT " DELIVERY_COLUMNS " FROM delivery WHERE id > 0" LIST_REST);
    db_bind(q, "stii", by->project, by->webhook, by->job, (int64_t)by->most);
    return q;
}

int delivery_query(struct store *s, struct arena *a, const struct delivery_query *by,
                   struct delivery_list *out, struct error *e)
{
    struct db *d = store_read(s, e);

    *out = (struct delivery_list){ 0 };
    if (!d)
        return -1;
    int rc = list_read(query_stmt(d, by), a, out, e);
    store_read_done(s, d);
    return rc;
}

/* Old ones that have ended go in passing: the outbox is as large as a month's events. */
static int update_in(struct store *s, struct db *d, const struct delivery *v,
                     uint32_t attempts_before, struct error *e)
{
    struct stmt *q = db_stmt(d, "UPDATE delivery SET state = ?, attempts = ?, due_us = ?,"
                                " last_status = ?, last_error = ? WHERE id = ?"
                                " AND state = " SQL_WAITS " AND attempts = ?");

    db_bind(q, "niintii", (int)v->state, (int64_t)v->attempts, v->due_us, (int)v->last_status,
            v->last_error, v->id, (int64_t)attempts_before);
    int changed = db_run(q, "cannot write the delivery", e);
    if (changed < 0)
        return -1;
    q = db_stmt(d, "DELETE FROM delivery WHERE state != " SQL_WAITS " AND create_us < ?");
    db_bind(q, "i", store_now(s) - DELIVERY_KEPT_S * 1000000);
    return db_run(q, "cannot forget old deliveries", e) < 0 ? -1 : changed;
}

int delivery_update(struct store *s, const struct delivery *v, uint32_t attempts_before,
                    struct error *e)
{
    struct db *d = store_write(s, e);

    if (!d)
        return -1;
    int changed = update_in(s, d, v, attempts_before, e);
    return store_commit(s, d, changed < 0 ? -1 : 0, e) < 0 ? -1 : changed;
}

static int replay_in(struct store *s, struct db *d, const char *project, int64_t id,
                     struct error *e)
{
    struct stmt *q =
        db_stmt(d, "UPDATE delivery SET state = " SQL_WAITS ", attempts = 0, due_us = ?1"
                   " WHERE id = ?2 AND (?3 IS NULL OR project = ?3)");

    db_bind(q, "iis", store_now(s), id, project);
    int rc = db_run(q, "cannot write the delivery", e);
    if (rc == 0)
        return error_set(e, ERROR_NOT_FOUND, "there is no delivery %lld", (long long)id);
    return rc < 0 ? -1 : 0;
}

int delivery_replay(struct store *s, const char *project, int64_t id, struct error *e)
{
    struct db *d = store_write(s, e);

    return d ? store_commit(s, d, replay_in(s, d, project, id, e), e) : -1;
}
