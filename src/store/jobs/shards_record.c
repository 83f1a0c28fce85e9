/* shards_record.c -- what a holder writes: checkpoints, a shard given back, a shard that is done. */
#include <assert.h>

#include "store/db/store_metrics.h"
#include "store/fleet/fleet_inner.h"
#include "store/jobs/shards_inner.h"

/* Lines that must have ended before a job's error limit is looked at, where it does not say. */
#define ERROR_LINES_MIN 100

/* A shard's row. */
struct shard_row {
    bool done;
    int64_t process, fence, answers, taken, output;
    struct budget reserved, max;
    struct counters counters;
};

/* One record, and the row that it makes. */
struct recording {
    const struct shard_record *r;
    struct shard_lease lease; /* as it will be */
    int64_t process, now_us;
    struct sharded job;
    struct shard_row row; /* as it was */
    bool asks;            /* the job is asked to pause by this */
    bool again;           /* it is recorded already */
    enum shards_left left;
};

static int row_lock(struct db *d, struct recording *c, struct error *e)
{
    struct stmt *q =
        db_stmt(d, "SELECT done, process, fence, answers, taken, output, reserved_nano,"
                   " reserved_tokens, cost_max, tokens_max, total" SHARD_COUNTERS(
                       SHARD_COUNTER_COLUMN) " FROM shard WHERE job = ? AND number = ?"
                                             " FOR UPDATE");
    struct shard_row *r = &c->row;

    db_bind(q, "ii", c->lease.job, (int64_t)c->lease.number);
    int rc = db_step(q, "cannot read the shard", e);
    if (rc <= 0)
        return rc < 0 ? -1 : error_set(e, ERROR_ABORTED, "the shard is gone");
    r->done = db_int(q, 0) != 0;
    r->process = db_int(q, 1);
    r->fence = db_int(q, 2);
    r->answers = db_int(q, 3);
    r->taken = db_int(q, 4);
    r->output = db_int(q, 5);
    r->reserved = (struct budget){ (uint64_t)db_int(q, 6), (uint64_t)db_int(q, 7) };
    r->max = (struct budget){ (uint64_t)db_int(q, 8), (uint64_t)db_int(q, 9) };
    r->counters.total = (uint64_t)db_int(q, 10);
    (void)shard_counters_row(q, 11, &r->counters);
    assert(counters_balanced(&r->counters));
    return 0;
}

/* The checkpoint that the row names after this record. The row knows the last one, the holder may not. */
static int64_t answers_after(const struct recording *c)
{
    if (c->r->answers)
        return c->r->answers->id;
    return c->r->step == SHARD_DONE ? 0 : c->row.answers;
}

/* The end of the lease is written already: the answer of the database to the first try was lost. */
static bool is_recorded(const struct recording *c)
{
    const struct shard_row *r = &c->row;

    if (r->process != 0 || r->fence != c->lease.fence || r->answers != answers_after(c))
        return false;
    return c->r->step == SHARD_DONE ? r->done && r->output == c->r->output->id
                                    : c->r->step == SHARD_RELEASE && !r->done;
}

/* The lease is the current one, or its end is written already. */
static int check_fence(struct recording *c, struct error *e)
{
    const struct shard_row *r = &c->row;

    c->again = is_recorded(c);
    if (c->again)
        return 0;
    if (r->done || r->process == 0 || r->process != c->process || r->fence != c->lease.fence)
        return error_set(e, ERROR_ABORTED, "shard %llu of job %lld has another holder",
                         (unsigned long long)c->lease.number, (long long)c->lease.job);
    if (c->job.job.state == JOB_PENDING || job_state_final(c->job.job.state))
        return error_set(e, ERROR_ABORTED, "job %lld is %s", (long long)c->lease.job,
                         job_state_name(c->job.job.state));
    return 0;
}

/* ---- What changes ---- */

/* Without a checkpoint or an output nothing new is durable, and nothing new counts (I2). */
static struct counters counters_after(const struct recording *c)
{
    const struct shard_record *r = c->r;

    return r->answers || r->step == SHARD_DONE ? r->counters : c->row.counters;
}

/* Who goes on keeps as much of the budget as it may still need. */
static struct budget share_after(struct recording *c, const struct counters *counters)
{
    struct budget left = budget_left(&c->job);

    if (c->r->step != SHARD_CHECKPOINT)
        return (struct budget){ 0 };
    return budget_share(&left, counters, &c->row.max);
}

static bool fails_too_often(const struct job *j)
{
    const struct job_options *o = &j->options;
    uint64_t ended = j->counters.succeeded + j->counters.failed;

    return o->error_rate_max > 0 &&
           ended >= (o->error_lines_min ? o->error_lines_min : ERROR_LINES_MIN) &&
           (double)j->counters.failed > o->error_rate_max * (double)ended;
}

static void ask_to_pause(struct recording *c, const char *reason)
{
    struct job *j = &c->job.job;

    if (j->state != JOB_RUNNING || j->asked != ASKED_NOTHING)
        return;
    j->asked = ASKED_PAUSE;
    j->pause_reason = str_of(reason);
    c->asks = true;
}

/* The budget is spent only when nobody holds a part of it that may come back. */
static void look_at_limits(struct recording *c)
{
    const char *pause = c->r->step == SHARD_RELEASE ? c->r->pause : NULL;
    struct budget left = budget_left(&c->job);

    if (fails_too_often(&c->job.job) || (pause && str_eq_c(STR("errors"), pause)))
        ask_to_pause(c, "errors");
    else if (pause && budget_is_spent(&left) && (left.nano || c->job.reserved_nano == 0) &&
             (left.tokens || c->job.reserved_tokens == 0))
        ask_to_pause(c, "budget");
}

static enum shards_left left_of(const struct sharded *j)
{
    if (j->done == j->shards)
        return SHARDS_NONE;
    if (j->job.state != JOB_RUNNING || j->job.asked != ASKED_NOTHING)
        return SHARDS_HALTED;
    return j->done + j->leased == j->shards ? SHARDS_TAKEN : SHARDS_SOME;
}

/* ---- Writing ---- */

static int row_write(struct db *d, const struct recording *c, const struct budget *reserved,
                     struct error *e)
{
    const struct shard_record *r = c->r;
    bool done = r->step == SHARD_DONE;
    const struct blob none = { 0 }, *o = done ? r->output : &none;
    struct stmt *q =
        db_stmt(d, "UPDATE shard SET done = ?, process = ?, reserved_nano = ?, reserved_tokens = ?,"
                   " taken = ?, answers = ?, output = ?, output_bytes = ?, output_crc32c = ?,"
                   " output_md5 = ?, output_sha256 = ?" SHARD_COUNTERS(
                       SHARD_COUNTER_SET) " WHERE job = ? AND number = ?");

    db_bind(q, "niiiiiiiiBB", (int)done, r->step == SHARD_CHECKPOINT ? c->process : 0,
            (int64_t)reserved->nano, (int64_t)reserved->tokens, c->lease.taken, c->lease.answers,
            o->id, (int64_t)o->bytes, (int64_t)o->crc32c, blob_md5(o), blob_sha256(o));
    int next = shard_counters_bind(q, 12, &c->lease.counters);
    db_bind_from(q, next, "ii", c->lease.job, (int64_t)c->lease.number);
    int rc = db_run(q, "cannot write the shard", e);
    assert(rc != 0); /* its row is locked */
    return rc < 0 ? -1 : 0;
}

/* New blobs are named, and the checkpoint that they replace is dropped. */
static int name_blobs(struct store *s, struct db *d, const struct recording *c, struct error *e)
{
    const struct shard_record *r = c->r;

    if (r->answers && r->answers->id != c->row.answers && blob_keep_in(s, d, r->answers->id, e) < 0)
        return -1;
    return r->step == SHARD_DONE ? blob_keep_in(s, d, r->output->id, e) : 0;
}

static int change(struct store *s, struct db *d, struct recording *c, struct error *e)
{
    struct sharded *j = &c->job;
    struct counters next = counters_after(c);
    bool ends = c->r->step != SHARD_CHECKPOINT;

    assert(counters_balanced(&next) && next.total == c->row.counters.total);
    assert(c->r->step != SHARD_DONE || (counters_pending(&next) == 0 && c->r->output));
    counters_add(&j->job.counters, &next, &c->row.counters);
    assert(j->leased > 0 && j->reserved_nano >= c->row.reserved.nano &&
           j->reserved_tokens >= c->row.reserved.tokens);
    j->done += c->r->step == SHARD_DONE;
    j->leased -= ends;
    j->reserved_nano -= c->row.reserved.nano;
    j->reserved_tokens -= c->row.reserved.tokens;
    struct budget share = share_after(c, &next), reserved = budget_reserved(j, &share);
    j->reserved_nano += reserved.nano;
    j->reserved_tokens += reserved.tokens;
    c->lease.taken = c->r->answers || c->r->step == SHARD_DONE ? 0 : c->row.taken;
    c->lease.answers = answers_after(c);
    c->lease.counters = next;
    c->lease.budget_nano = share.nano;
    c->lease.budget_tokens = share.tokens;
    look_at_limits(c);
    if (name_blobs(s, d, c, e) < 0 || row_write(d, c, &reserved, e) < 0 ||
        sharded_write(d, j, c->now_us, e) < 0)
        return -1;
    return c->row.answers != c->lease.answers ? blob_drop_in(d, c->row.answers, NULL, e) : 0;
}

static int record_in(struct store *s, struct db *d, struct recording *c, struct arena *a,
                     struct error *e)
{
    if (sharded_lock(d, a, c->lease.job, &c->job, e) < 0)
        return e->code == ERROR_NOT_FOUND ? error_set(e, ERROR_ABORTED, "the job is gone") : -1;
    if (row_lock(d, c, e) < 0 || check_fence(c, e) < 0)
        return -1;
    if (!c->again && change(s, d, c, e) < 0)
        return -1;
    c->left = left_of(&c->job);
    return 0;
}

static void count(const struct recording *c)
{
    if (c->r->step == SHARD_DONE)
        store_count(STORE_SHARDS_DONE, 1);
    else if (c->r->answers)
        store_count(STORE_CHECKPOINTS, 1);
}

int shard_record(struct store *s, struct shard_lease *lease, const struct shard_record *r,
                 enum shards_left *left, struct error *e)
{
    struct arena a = { 0 };
    struct recording c = {
        .r = r, .lease = *lease, .process = fleet_process(s), .now_us = store_now(s)
    };
    struct fleet_held held = { lease->job, (int64_t)lease->number, lease->fence };
    struct db *d = store_write_rows(s, e);
    int rc = d ? store_commit(s, d, record_in(s, d, &c, &a, e), e) : -1;

    arena_release(&a);
    if (rc < 0 && e->code == ERROR_ABORTED) {
        store_count(STORE_FENCES_REFUSED, 1);
        fleet_drop(s, held, false);
    }
    if (rc < 0)
        return -1;
    if (r->step != SHARD_CHECKPOINT)
        fleet_drop(s, held, false);
    count(&c);
    *left = c.left;
    *lease = c.lease;
    if (c.asks || c.left == SHARDS_NONE)
        job_notify(s, lease->job);
    return 0;
}
