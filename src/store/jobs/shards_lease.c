/* shards_lease.c -- leases of shards, budgets, and the next state of a job of which nothing is leased. */
#include <assert.h>
#include <stdlib.h>

#include "store/db/store_metrics.h"
#include "store/fleet/fleet_inner.h"
#include "store/jobs/shards_inner.h"

/* One call that leases. */
struct leasing {
    const struct shards_want *want;
    struct shards_got *out;
    int64_t process;
    bool whole;  /* the transaction has the right to write of the whole store */
    bool begins; /* the job is QUEUED, and that right is wanted */
    bool asks;   /* the job is asked to pause by this */
};

/* ---- Budgets ---- */

static uint64_t minus(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

static struct budget spent_of(const struct counters *c)
{
    return (struct budget){
        .nano = c->cost_nano + c->rejected_cost_nano,
        .tokens = c->prompt_tokens + c->candidate_tokens + c->thought_tokens + c->rejected_tokens,
    };
}

struct budget budget_left(const struct sharded *j)
{
    const struct job_options *o = &j->job.options;
    struct budget spent = spent_of(&j->job.counters);

    return (struct budget){
        .nano = o->budget_nano ? minus(minus(o->budget_nano, spent.nano), j->reserved_nano)
                               : UINT64_MAX,
        .tokens = o->budget_tokens
                      ? minus(minus(o->budget_tokens, spent.tokens), j->reserved_tokens)
                      : UINT64_MAX,
    };
}

/* A shard that costs more than its lines should takes what is left: else it would never end. */
static uint64_t share_of(uint64_t left, uint64_t spent, uint64_t max)
{
    uint64_t rest = minus(max, spent);

    return left == UINT64_MAX || rest == 0 || rest > left ? left : rest;
}

struct budget budget_share(const struct budget *left, const struct counters *spent,
                           const struct budget *max)
{
    struct budget gone = spent_of(spent);

    return (struct budget){ .nano = share_of(left->nano, gone.nano, max->nano),
                            .tokens = share_of(left->tokens, gone.tokens, max->tokens) };
}

bool budget_is_spent(const struct budget *b)
{
    return b->nano == 0 || b->tokens == 0;
}

struct budget budget_reserved(const struct sharded *j, const struct budget *share)
{
    return (struct budget){ .nano = j->job.options.budget_nano ? share->nano : 0,
                            .tokens = j->job.options.budget_tokens ? share->tokens : 0 };
}

/* ---- Leasing ---- */

static bool may_lease(const struct leasing *l, const struct job *j)
{
    if (l->want->closing)
        return j->state != JOB_PENDING && !job_state_final(j->state);
    return (j->state == JOB_QUEUED || j->state == JOB_RUNNING) && j->asked == ASKED_NOTHING;
}

static int by_number(const void *a, const void *b)
{
    const struct shard_lease *x = a, *y = b;

    return (x->number > y->number) - (x->number < y->number);
}

/* Leases free shards, the lowest numbers first, in one statement: nobody else can, as the job's row is locked. */
static int choose(struct db *d, struct leasing *l, struct error *e)
{
    struct stmt *q = db_stmt(
        d, "UPDATE shard SET process = ?1, fence = 1 + CASE WHEN fence < ?2 THEN ?2 ELSE"
           " fence END WHERE job = ?3 AND number IN (SELECT number FROM shard WHERE job = ?3"
           " AND process = 0 AND done = 0 ORDER BY number LIMIT ?4)"
           " RETURNING fence, answers, taken, " SHARD_CUT SHARD_COUNTERS(SHARD_COUNTER_COLUMN));
    int rc;

    db_bind(q, "iiii", l->process, fleet_fence_next(d, 0) - 1, l->want->job,
            (int64_t)l->want->most);
    while ((rc = db_step(q, "cannot lease the shards of a job", e)) == 1) {
        struct shard_lease *s = &l->out->item[l->out->count++];
        *s = (struct shard_lease){ .job = l->want->job,
                                   .fence = db_int(q, 0),
                                   .answers = db_int(q, 1),
                                   .taken = db_int(q, 2) };
        s->number = shard_cut_row(q, 3, &s->cut);
        s->counters.total = s->cut.lines;
        (void)shard_counters_row(q, 3 + SHARD_CUT_COLUMNS, &s->counters);
        assert(counters_balanced(&s->counters));
    }
    if (l->out->count > 1)
        qsort(l->out->item, l->out->count, sizeof *l->out->item, by_number);
    return rc;
}

/* Writes the part of the budget of a shard that was just leased; process 0: it is given back. */
static int reserve(struct db *d, int64_t process, const struct shard_lease *s,
                   const struct budget *reserved, struct error *e)
{
    struct stmt *q = db_stmt(d, "UPDATE shard SET process = ?, reserved_nano = ?,"
                                " reserved_tokens = ? WHERE job = ? AND number = ?");

    db_bind(q, "iiiii", process, (int64_t)reserved->nano, (int64_t)reserved->tokens, s->job,
            (int64_t)s->number);
    int rc = db_run(q, "cannot reserve a part of the budget", e);
    assert(rc != 0);
    return rc < 0 ? -1 : 0;
}

/* The part of the budget that a shard gets; false: nothing is left for it. */
static bool share_out(const struct leasing *l, const struct sharded *j, struct shard_lease *s)
{
    const struct budget max = { s->cut.cost_max_nano, s->cut.tokens_max };
    struct budget left = budget_left(j), share = { UINT64_MAX, UINT64_MAX };

    if (!l->want->closing)
        share = budget_share(&left, &s->counters, &max);
    s->budget_nano = share.nano;
    s->budget_tokens = share.tokens;
    return !budget_is_spent(&share);
}

/* As many of the chosen shards as the budget has something left for; the others go back. */
static int take(struct db *d, struct leasing *l, struct sharded *j, struct error *e)
{
    const struct budget nothing = { 0 };
    uint32_t chosen = l->out->count;
    bool enough = true;

    l->out->count = 0;
    for (uint32_t i = 0; i < chosen; i++) {
        struct shard_lease *s = &l->out->item[i];
        struct budget reserved = nothing;
        enough = enough && share_out(l, j, s);
        if (enough && !l->want->closing)
            reserved = budget_reserved(j, &(struct budget){ s->budget_nano, s->budget_tokens });
        bool changes = !enough || reserved.nano || reserved.tokens;
        if (changes && reserve(d, enough ? l->process : 0, s, &reserved, e) < 0)
            return -1;
        l->out->count += enough;
        j->leased += enough;
        j->reserved_nano += reserved.nano;
        j->reserved_tokens += reserved.tokens;
    }
    return 0;
}

/* Nothing could be leased: the budget is spent, or others hold what is left of it. */
static bool is_broke(const struct leasing *l, const struct sharded *j)
{
    struct budget left = budget_left(j);

    if (l->want->closing || !budget_is_spent(&left))
        return false;
    return (left.nano != 0 || j->reserved_nano == 0) &&
           (left.tokens != 0 || j->reserved_tokens == 0);
}

/* Time in which nobody worked on the job does not count as running. */
static int stretch_anew(struct db *d, const struct sharded *j, int64_t now_us, struct error *e)
{
    if (j->leased > 0 || j->job.state != JOB_RUNNING ||
        now_us - j->job.update_us < (int64_t)FLEET_LEASE_MS * 1000)
        return 0;
    struct stmt *q = db_stmt(d, "UPDATE job SET ran_us = ran_us + CASE WHEN update_us > stretch_us"
                                " THEN update_us - stretch_us ELSE 0 END, stretch_us = ?"
                                " WHERE id = ?");
    db_bind(q, "ii", now_us, j->job.id);
    return db_run(q, "cannot write the job", e) < 0 ? -1 : 0;
}

static int lease_from(struct db *d, struct leasing *l, struct sharded *j, int64_t now_us,
                      struct error *e)
{
    if (stretch_anew(d, j, now_us, e) < 0 || choose(d, l, e) < 0 || take(d, l, j, e) < 0)
        return -1;
    if (l->out->count == 0 && is_broke(l, j)) {
        j->job.asked = ASKED_PAUSE;
        j->job.pause_reason = STR("budget");
        l->out->left = SHARDS_BUDGET;
        l->asks = true;
    } else {
        l->out->left =
            l->out->count == 0 || j->done + j->leased == j->shards ? SHARDS_TAKEN : SHARDS_SOME;
    }
    if (sharded_write(d, j, now_us, e) < 0)
        return -1;
    bool charged = l->want->model && l->out->count > 0 && !l->want->closing;
    return charged ? fair_lease_in(d, j->job.project, l->want, l->out, e) : 0;
}

static int lease_in(struct db *d, struct leasing *l, struct arena *a, int64_t now_us,
                    struct error *e)
{
    struct sharded j;

    if (fleet_lock_in(d, l->process, e) < 0 || sharded_lock(d, a, l->want->job, &j, e) < 0)
        return -1;
    if (j.shards == 0)
        return error_set(e, ERROR_FAILED_PRECONDITION, "job %lld is not cut into shards",
                         (long long)l->want->job);
    l->out->left = !may_lease(l, &j.job)           ? SHARDS_HALTED
                   : j.done == j.shards            ? SHARDS_NONE
                   : j.done + j.leased == j.shards ? SHARDS_TAKEN
                                                   : SHARDS_SOME;
    if (l->out->left != SHARDS_SOME)
        return 0;
    if (j.job.state == JOB_QUEUED && !l->want->closing) {
        l->begins = true;
        if (!l->whole)
            return 0;
        if (job_begin_in(d, &j.job, now_us, e) < 0)
            return -1;
    }
    return lease_from(d, l, &j, now_us, e);
}

static int lease_once(struct store *s, struct leasing *l, bool whole, struct error *e)
{
    struct arena a = { 0 };

    l->whole = whole;
    l->begins = l->asks = false;
    l->out->count = 0;
    int64_t now_us = store_now(s);
    struct db *d = whole ? store_write(s, e) : store_write_rows(s, e);
    int rc = d ? store_commit(s, d, lease_in(d, l, &a, now_us, e), e) : -1;
    arena_release(&a);
    return rc;
}

/* A transaction without the right to write of the whole store cannot take it on the way: a QUEUED job is looked at twice. */
int shards_lease(struct store *s, const struct shards_want *want, struct shards_got *out,
                 struct error *e)
{
    struct leasing l = { .want = want, .out = out };

    out->count = 0;
    if (fleet_lease_begin(s, &l.process, e) < 0)
        return -1;
    int rc = lease_once(s, &l, false, e);
    if (rc == 0 && l.begins)
        rc = lease_once(s, &l, true, e);
    if (rc < 0)
        out->count = 0;
    for (uint32_t i = 0; i < out->count; i++)
        fleet_hold(
            s, (struct fleet_held){ want->job, (int64_t)out->item[i].number, out->item[i].fence });
    fleet_lease_end(s, rc == 0);
    if (rc < 0)
        return -1;
    store_count(STORE_SHARDS_LEASED, out->count);
    if (l.begins || l.asks)
        job_notify(s, want->job);
    return 0;
}

void shard_forget(struct store *s, const struct shard_lease *lease)
{
    fleet_drop(s, (struct fleet_held){ lease->job, (int64_t)lease->number, lease->fence }, true);
}

/* ---- Nothing is leased ---- */

static int settle_to(struct db *d, struct sharded *j, int64_t now_us, struct error *e)
{
    bool pause = j->job.asked == ASKED_PAUSE;
    struct str reason = j->job.pause_reason.len ? j->job.pause_reason : STR("asked");
    struct stmt *q = db_stmt(d, "UPDATE job SET state = ?, pause_reason = ?, update_us = ?,"
                                " " STRETCH_ENDS " WHERE id = ? AND state = " SQL_RUNNING);

    db_bind(q, "ntiiii", pause ? JOB_PAUSED : JOB_QUEUED, pause ? reason : STR(""), now_us, now_us,
            now_us, j->job.id);
    int rc = db_run(q, "cannot settle the job", e);
    assert(rc != 0);
    return rc < 0 ? -1 : event_add(d, j->job.id, pause ? JOB_PAUSED : JOB_QUEUED, now_us, e);
}

int shards_settle(struct store *s, int64_t job, bool *moved, struct error *e)
{
    struct arena a = { 0 };
    struct sharded j;
    struct db *d = store_write(s, e);

    *moved = false;
    if (!d)
        return -1;
    int rc = sharded_lock(d, &a, job, &j, e);
    bool moves = rc == 0 && j.job.state == JOB_RUNNING && j.leased == 0 && j.done < j.shards;
    if (moves)
        rc = settle_to(d, &j, store_now(s), e);
    arena_release(&a);
    if (store_commit(s, d, rc, e) < 0)
        return -1;
    *moved = moves;
    if (moves)
        job_notify(s, job);
    return 0;
}
