/* check.c -- what must hold after each step. */
#include <inttypes.h>

#include "sim.h"

/* Sums over the shards of a job. */
struct sums {
    uint64_t shards, done, leased, nano, tokens;
    struct counters counters;
};

#define MUST(holds, ...)                                                                           \
    do {                                                                                           \
        if (!(holds))                                                                              \
            sim_fail(__VA_ARGS__);                                                                 \
    } while (0)

static bool counters_same(const struct counters *a, const struct counters *b)
{
#define X(name)                                                                                    \
    if (a->name != b->name)                                                                        \
        return false;
    SHARD_COUNTERS(X)
#undef X
    return a->total == b->total;
}

static struct stmt *ask(struct db *d, const char *sql, int64_t id)
{
    struct stmt *q = db_stmt(d, sql);

    db_bind(q, "i", id);
    return q;
}

static bool next(struct stmt *q)
{
    struct error e = { 0 };
    int rc = db_step(q, "check", &e);

    MUST(rc >= 0, "cannot check: %s", e.msg);
    return rc == 1;
}

/* A blob that a row names is in the bucket, stays there, and is of this shard. */
static const struct sim_blob *named(struct db *d, int64_t id, const struct sim_job *j, int shard)
{
    const struct sim_blob *b = sim_blob_of(id);

    MUST(b, "shard %d names blob %" PRId64 ", which is not durable", shard, id);
    MUST(!next(ask(d, "SELECT 1 FROM blob_gone WHERE id = ?", id)),
         "shard %d names blob %" PRId64 ", which may go", shard, id);
    MUST(b->shard == shard && (j != &sim.job[b->job] || b->job == (int)(j - sim.job)),
         "shard %d names the blob of shard %d", shard, b->shard);
    return b;
}

struct row {
    int64_t number, done, process, fence, answers, taken, output, nano, tokens;
    struct counters counters;
};

/* I2: what is counted is in the blob that the same row names. */
static void check_shard(struct db *d, struct sim_job *j, const struct row *r)
{
    int i = (int)r->number;
    uint32_t lines = j->lines[i];
    struct counters none = { .total = lines }, of = none;

    MUST(r->number >= 0 && r->number < (int64_t)j->shards, "there is no shard %d", i);
    MUST(counters_balanced(&r->counters), "I6: shard %d", i);
    MUST(!r->done || r->process == 0, "shard %d is done and held", i);
    MUST(r->fence >= j->fence[i], "I4: the fence of shard %d goes back", i);
    j->fence[i] = r->fence;
    if (r->process)
        MUST(next(ask(d, "SELECT 1 FROM process WHERE id = ?", r->process)),
             "shard %d is held by a process that is gone", i);
    if (r->answers) {
        const struct sim_blob *b = named(d, r->answers, j, i);
        MUST(!b->rows, "shard %d: answers are rows", i);
        of = r->taken ? none : sim_count(b->line, lines);
    }
    if (r->done) {
        const struct sim_blob *b = named(d, r->output, j, i);
        MUST(b->rows, "shard %d: rows are answers", i);
        of = sim_count(b->line, lines);
        if (b->job != (int)(j - sim.job)) { /* copies */
            of = none;
            of.succeeded = of.duplicates = lines;
            of.duplicate_tokens = r->counters.duplicate_tokens;
        }
    }
    MUST(counters_same(&of, &r->counters), "I2: shard %d counts what its blob does not hold", i);
}

static void check_shards(struct db *d, struct sim_job *j, struct sums *sums)
{
    struct db *other = d; /* statements with rows open may stand beside one another */
    struct stmt *q = ask(d,
                         "SELECT number, done, process, fence, answers, taken, output,"
                         " reserved_nano, reserved_tokens, total" SHARD_COUNTERS(
                             SHARD_COUNTER_COLUMN) " FROM shard WHERE job = ? ORDER BY number",
                         j->id);
    const struct counters zero = { 0 };

    while (next(q)) {
        struct row r = { .number = db_int(q, 0),
                         .done = db_int(q, 1),
                         .process = db_int(q, 2),
                         .fence = db_int(q, 3),
                         .answers = db_int(q, 4),
                         .taken = db_int(q, 5),
                         .output = db_int(q, 6),
                         .nano = db_int(q, 7),
                         .tokens = db_int(q, 8) };
        r.counters.total = (uint64_t)db_int(q, 9);
        (void)shard_counters_row(q, 10, &r.counters);
        check_shard(other, j, &r);
        sums->shards++;
        sums->done += r.done != 0;
        sums->leased += r.process != 0;
        sums->nano += (uint64_t)r.nano;
        sums->tokens += (uint64_t)r.tokens;
        sums->counters.total += r.counters.total;
        counters_add(&sums->counters, &r.counters, &zero);
    }
}

/* I3: a job that has ended stays as it is. */
static void check_final(struct sim_job *j, const struct sharded *now)
{
    if (j->ended)
        MUST(j->state == now->job.state && counters_same(&j->counters, &now->job.counters),
             "I3: job %" PRId64 " has changed after its end", j->id);
    j->ended = job_state_final(now->job.state);
    j->state = now->job.state;
    j->counters = now->job.counters;
    if (j->ended)
        MUST(now->leased == 0, "job %" PRId64 " has ended and is leased", j->id);
}

static void check_budget(const struct sim_job *j, const struct sharded *now)
{
    uint64_t budget = now->job.options.budget_nano;
    uint64_t spent = sim_spent(&now->job.counters);

    MUST(budget == 0 || spent + now->reserved_nano <= budget + j->overspent,
         "budget: %" PRIu64 " spent and %" PRIu64 " reserved of %" PRIu64, spent,
         now->reserved_nano, budget);
}

static void check_job(struct db *d, struct sim_job *j)
{
    struct sums sums = { 0 };
    struct sharded now;
    struct error e = { 0 };

    if (sharded_lock(d, &sim.arena, j->id, &now, &e) < 0) {
        MUST(e.code == ERROR_NOT_FOUND && j->ended, "job %" PRId64 ": %s", j->id, e.msg);
        j->id = 0; /* deleted */
        return;
    }
    check_shards(d, j, &sums);
    check_final(j, &now);
    if (now.job.state == JOB_PENDING || now.job.asked == ASKED_REMOVE)
        return; /* it is being cut, or deleted */
    MUST(sharded_is_sound(&now), "I6: job %" PRId64, j->id);
    MUST(sums.shards == now.shards && sums.done == now.done && sums.leased == now.leased,
         "job %" PRId64 " has other shards than it says: %" PRIu64 " done, %" PRIu64 " leased",
         j->id, sums.done, sums.leased);
    MUST(sums.nano == now.reserved_nano && sums.tokens == now.reserved_tokens,
         "job %" PRId64 " has reserved something else than its shards", j->id);
    check_budget(j, &now);
    if (job_state_final(now.job.state)) /* what was not run was counted at the end */
        sums.counters.not_run += counters_pending(&sums.counters);
    MUST(counters_same(&sums.counters, &now.job.counters),
         "I6: job %" PRId64 " counts something else than its shards", j->id);
}

void sim_check(void)
{
    struct error e = { 0 };
    struct db *d = store_read(sim.s, &e);

    MUST(d, "cannot check: %s", e.msg);
    for (int i = 0; i < SIM_JOBS; i++)
        if (sim.job[i].id)
            check_job(d, &sim.job[i]);
    store_read_done(sim.s, d);
}

/* I1: the rows of a finished job are its lines, each once and in order. */
void sim_check_end(struct sim_job *j)
{
    struct blob *part;
    uint32_t count;
    struct error e = { 0 };

    MUST(shards_done(sim.s, &sim.arena, j->id, &part, &count, &e) == 0, "%s", e.msg);
    MUST(count == j->shards, "I1: %u of %u shards have rows", count, j->shards);
    for (uint32_t i = 0; i < count; i++) {
        const struct sim_blob *b = sim_blob_of(part[i].id);
        MUST(b && b->rows && b->shard == (int)i, "I1: the rows of shard %u stand elsewhere", i);
        for (uint32_t k = 0; k < j->lines[i]; k++)
            MUST(b->line[k].outcome != OUTCOME_PENDING, "I1: line %u of shard %u has no row", k, i);
    }
}
