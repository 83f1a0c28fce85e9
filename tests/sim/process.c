/* process.c -- what a process of the fleet does: it leases, answers, records, renews, closes and ends jobs. */
#include <inttypes.h>
#include <string.h>

#include "sim.h"

static void forget(struct sim_item *it)
{
    *it = (struct sim_item){ 0 };
}

/* Puts a content into the bucket; false: the bucket failed. */
static bool upload(const struct sim_item *it, bool rows, struct blob *out)
{
    if (sim.faults && sim_chance(10))
        return false;
    if (sim.blobs == SIM_BLOBS)
        sim_fail("too many blobs");
    struct sim_blob *b = &sim.blob[sim.blobs];
    *b = (struct sim_blob){ .id = sim.blob_first + sim.blobs,
                            .job = it->job,
                            .shard = (int)it->lease.number,
                            .rows = rows };
    memcpy(b->line, it->line, sizeof b->line);
    sim.blobs++;
    *out = (struct blob){ .id = b->id, .bytes = it->lease.cut.lines };
    return true;
}

/* ---- Records ---- */

struct row {
    int64_t process, fence, done;
    uint64_t reserved, spent;
    bool there;
};

static struct row row_of(const struct shard_lease *l)
{
    struct error e = { 0 };
    struct db *d = store_read(sim.s, &e);
    struct stmt *q =
        db_stmt(d, "SELECT process, fence, done, reserved_nano,"
                   " cost_nano + rejected_cost_nano FROM shard WHERE job = ? AND number = ?");
    struct row r = { 0 };

    db_bind(q, "ii", l->job, (int64_t)l->number);
    if (db_step(q, "look", &e) == 1)
        r = (struct row){ db_int(q, 0),           db_int(q, 1),           db_int(q, 2),
                          (uint64_t)db_int(q, 3), (uint64_t)db_int(q, 4), true };
    store_read_done(sim.s, d);
    return r;
}

/* I4: only the holder's record under the row's fence is taken; only another's is refused. */
static void judge(const struct sim_item *it, const struct row *before, int rc,
                  const struct error *e)
{
    bool mine = before->there && before->fence == it->lease.fence;
    bool held = mine && before->process == fleet_process(sim.s) && before->process;
    bool ended = mine && before->process == 0; /* by a record whose answer was lost */

    if (rc == 0 && !held && !(it->record.step != SHARD_CHECKPOINT && ended))
        sim_fail("I4: the record of a shard was taken from a stranger");
    if (rc < 0 && e->code == ERROR_ABORTED && held && !sim.job[it->job].ended)
        sim_fail("the record of a holder was refused: %s", e->msg);
    if (rc < 0 && e->code == ERROR_ABORTED && ended && before->done &&
        it->record.step == SHARD_DONE && !sim.haunted)
        sim_fail("a record that was taken is refused when it is made again");
}

static void overspend(const struct sim_item *it, const struct row *before)
{
    struct row after = row_of(&it->lease);
    uint64_t more = after.spent - before->spent;

    if (after.there && after.spent > before->spent && more > before->reserved)
        sim.job[it->job].overspent += more - before->reserved;
}

/* Makes the record of an item, perhaps again. */
static void record(struct sim_process *p, struct sim_item *it)
{
    struct row before = row_of(&it->lease);
    struct error e = { 0 };
    enum shards_left left = SHARDS_SOME;
    bool ends = it->record.step != SHARD_CHECKPOINT;

    it->record.answers = it->answers.id ? &it->answers : NULL;
    it->record.output = it->output.id ? &it->output : NULL;
    int rc = shard_record(sim.s, &it->lease, &it->record, &left, &e);
    sim_say("  record step %d of shard %" PRIu64 " of job %d: %s", it->record.step,
            it->lease.number, it->job, rc < 0 ? e.msg : "taken");
    judge(it, &before, rc, &e);
    overspend(it, &before);
    sim.tally.records += rc == 0;
    sim.tally.refused += rc < 0 && e.code == ERROR_ABORTED;
    it->pending = rc < 0 && e.code != ERROR_ABORTED;
    if (it->pending && it != &p->ghost && sim_chance(50)) {
        p->ghost = *it;
        p->ghost_of = fleet_process(sim.s);
    }
    if (rc < 0 && e.code != ERROR_ABORTED && e.code != ERROR_UNAVAILABLE)
        sim_fail("a record failed: %s", e.msg);
    if ((rc < 0 && e.code == ERROR_ABORTED) || (rc == 0 && ends))
        forget(it);
    else if (rc == 0)
        it->halted = left == SHARDS_HALTED;
}

/* A call that was given up reaches the database after all, perhaps when others have followed. */
static void haunt(struct sim_process *p)
{
    struct sim_item ghost = p->ghost;

    p->ghost.used = false;
    if (fleet_process(sim.s) != p->ghost_of)
        return; /* its connection ended with it */
    sim.tally.ghosts++;
    sim_say("  a late call:");
    sim.haunted = true;
    record(p, &ghost);
    sim.haunted = false;
}

static bool all_ended(const struct sim_item *it)
{
    for (uint32_t i = 0; i < it->lease.cut.lines; i++)
        if (it->line[i].outcome == OUTCOME_PENDING)
            return false;
    return true;
}

static bool any_bad(const struct sim_item *it)
{
    for (uint32_t i = 0; i < it->lease.cut.lines; i++)
        if (it->line[i].outcome != OUTCOME_SUCCEEDED)
            return true;
    return false;
}

static void write_record(struct sim_process *p, struct sim_item *it, enum shard_step step,
                         const char *pause)
{
    it->record = (struct shard_record){ .step = step, .pause = pause };
    it->record.counters = sim_count(it->line, it->lease.cut.lines);
    it->answers = it->output = (struct blob){ 0 };
    bool answers = step == SHARD_CHECKPOINT || (step == SHARD_DONE ? any_bad(it) : sim_chance(80));
    if ((answers && !upload(it, false, &it->answers)) ||
        (step == SHARD_DONE && !upload(it, true, &it->output)))
        return; /* the bucket failed: later */
    record(p, it);
}

/* ---- Answers ---- */

static bool is_broke(const struct sim_item *it)
{
    struct counters c = sim_count(it->line, it->lease.cut.lines);
    uint64_t since = sim_spent(&c) - sim_spent(&it->lease.counters);

    return it->lease.budget_nano != UINT64_MAX && since >= it->lease.budget_nano;
}

static void answer_line(struct sim_item *it)
{
    for (uint32_t i = 0; i < it->lease.cut.lines; i++) {
        if (it->line[i].outcome != OUTCOME_PENDING)
            continue;
        bool bad = sim_chance(20);
        it->line[i].outcome = bad ? OUTCOME_FAILED : OUTCOME_SUCCEEDED;
        it->line[i].cost = bad ? 0 : sim_pick(LINE_COST_MAX + 1);
        return;
    }
}

static void close_lines(struct sim_item *it)
{
    for (uint32_t i = 0; i < it->lease.cut.lines; i++)
        if (it->line[i].outcome == OUTCOME_PENDING)
            it->line[i].outcome = OUTCOME_NOT_RUN;
}

static void work(struct sim_process *p, struct sim_item *it)
{
    if (it->pending && sim_chance(10)) {
        shard_forget(sim.s, &it->lease);
        forget(it);
    } else if (it->pending) {
        record(p, it);
    } else if (it->closing) {
        close_lines(it);
        write_record(p, it, SHARD_DONE, NULL);
    } else if (all_ended(it)) {
        write_record(p, it, SHARD_DONE, NULL);
    } else if (it->halted || sim_chance(5)) {
        write_record(p, it, SHARD_RELEASE, NULL);
    } else if (is_broke(it)) {
        sim.tally.budgets++;
        write_record(p, it, SHARD_RELEASE, "budget");
    } else if (sim_chance(25)) {
        write_record(p, it, SHARD_CHECKPOINT, NULL);
    } else {
        answer_line(it);
    }
}

/* ---- Leases ---- */

static struct sim_item *room(struct sim_process *p, uint32_t *free)
{
    struct sim_item *first = NULL;

    *free = 0;
    for (int i = 0; i < SIM_ITEMS; i++) {
        if (p->item[i].used)
            continue;
        first = first ? first : &p->item[i];
        (*free)++;
    }
    return first;
}

/* Work begins with the answers of the checkpoint. */
static void begin(struct sim_item *it, const struct shard_lease *l, int job, bool closing)
{
    const struct sim_blob *b = l->answers ? sim_blob_of(l->answers) : NULL;

    *it = (struct sim_item){ .used = true, .lease = *l, .job = job, .closing = closing };
    if (l->answers && !b)
        sim_fail("I2: a checkpoint is not in the bucket");
    if (l->fence <= sim.job[job].fence[l->number])
        sim_fail("I4: the fence of a lease has not grown");
    if (b)
        memcpy(it->line, b->line, sizeof it->line);
    for (uint32_t i = 0; l->taken && i < SIM_LINES; i++) {
        bool good = it->line[i].outcome == OUTCOME_SUCCEEDED;
        it->line[i] = (struct sim_line){ .outcome = good ? OUTCOME_SUCCEEDED : OUTCOME_PENDING,
                                         .copied = good };
    }
    sim.tally.taken_over += b != NULL;
}

static void lease(struct sim_process *p, int job, bool closing)
{
    struct shard_lease l[SIM_ITEMS];
    struct shards_got got = { .item = l, .left = SHARDS_SOME };
    struct error e = { 0 };
    uint32_t free;
    bool moved;

    if (!room(p, &free))
        return;
    const struct shards_want want = { .job = sim.job[job].id,
                                      .most = 1 + sim_pick(free),
                                      .closing = closing };
    int rc = shards_lease(sim.s, &want, &got, &e);
    sim_say("  lease of job %d: %u (%d) %s", job, got.count, got.left, rc < 0 ? e.msg : "");
    if (rc < 0 && e.code != ERROR_UNAVAILABLE && e.code != ERROR_ABORTED &&
        e.code != ERROR_NOT_FOUND)
        sim_fail("a lease failed: %s", e.msg);
    for (uint32_t i = 0; i < got.count; i++)
        begin(room(p, &free), &l[i], job, closing);
    if (rc == 0 && got.left == SHARDS_BUDGET)
        sim_tried(shards_settle(sim.s, sim.job[job].id, &moved, &e), &e);
}

/* ---- The end of jobs ---- */

static enum job_state end_of(const struct sim_job *j, const struct job *now)
{
    if (now->state == JOB_CANCELLING)
        return JOB_CANCELLED;
    return j->expired && now->counters.not_run > 0 ? JOB_EXPIRED : JOB_SUCCEEDED;
}

static void end(int job)
{
    struct sim_job *j = &sim.job[job];
    struct job now;
    struct error e = { 0 };

    if (sim_chance(70) && duty_take(sim.s, "end", &e) != 1)
        return; /* the others do it all the same */
    if (job_get(sim.s, &sim.arena, NULL, j->id, &now, &e) != 1 || job_state_final(now.state))
        return;
    sim_check_end(j);
    struct job_end how = { .to = end_of(j, &now) };
    if (how.to == JOB_SUCCEEDED && now.state == JOB_PAUSED)
        return; /* it expired while it was paused, and all was done: a client resumes it */
    int rc = job_finish(sim.s, &now, &how, &e);
    sim_say("  job %d ends as %s: %s", job, job_state_name(how.to), rc < 0 ? e.msg : "");
    sim.tally.ends += rc == 0;
    duty_end(sim.s, "end");
}

/* Something is wrong with the job as a whole: whoever finds out ends it, whatever others hold. */
static void fail_job(int job)
{
    struct job now;
    struct error e = { 0 };

    if (job_get(sim.s, &sim.arena, NULL, sim.job[job].id, &now, &e) != 1 ||
        now.state == JOB_CANCELLING)
        return;
    sim_say("  job %d fails", job);
    sim_tried(job_finish(sim.s, &now, &(struct job_end){ .to = JOB_FAILED }, &e), &e);
}

/* ---- A step ---- */

static int index_of(int64_t id)
{
    for (int i = 0; i < SIM_JOBS; i++)
        if (sim.job[i].id == id)
            return i;
    return -1;
}

/* What a scheduler does with one job that it sees. */
static void look_after(struct sim_process *p, int job, const struct job_glance *g)
{
    struct sim_job *j = &sim.job[job];
    struct error e = { 0 };
    bool moved = false;

    if (job_state_final(g->state)) {
        if (g->asked == ASKED_REMOVE)
            sim_tried(job_delete(sim.s, NULL, j->id, &e), &e);
    } else if (g->shards == 0) {
        return; /* not cut yet */
    } else if (sim.faults && sim_chance(1)) {
        fail_job(job);
    } else if (sim.faults && sim_chance(5)) { /* it saw the job some time ago */
        sim_tried(shards_settle(sim.s, j->id, &moved, &e), &e);
    } else if (g->open + g->leased == 0) {
        end(job);
    } else if (g->state == JOB_RUNNING && g->leased == 0 && g->asked == ASKED_PAUSE) {
        sim_tried(shards_settle(sim.s, j->id, &moved, &e), &e);
    } else if (g->open > 0 && (g->state == JOB_CANCELLING || j->expired)) {
        lease(p, job, true);
    } else if (g->open > 0) {
        lease(p, job, false);
    } else if (g->leased == 0 && sim_chance(30)) {
        sim_tried(shards_settle(sim.s, j->id, &moved, &e), &e);
    }
}

static void schedule(struct sim_process *p)
{
    struct job_glance *g;
    struct error e = { 0 };
    uint32_t count;

    if (jobs_glance(sim.s, &sim.arena, &g, &count, &e) < 0)
        sim_fail("cannot look at the jobs: %s", e.msg);
    if (count == 0)
        return;
    const struct job_glance *one = &g[sim_pick(count)];
    int job = index_of(one->id);
    if (job >= 0)
        look_after(p, job, one);
}

static void drop_all(struct sim_process *p)
{
    for (int i = 0; i < SIM_ITEMS; i++) {
        if (p->item[i].used)
            shard_forget(sim.s, &p->item[i].lease);
        forget(&p->item[i]);
    }
}

static void join(struct sim_process *p)
{
    struct error e = { 0 };

    drop_all(p);
    p->joined = fleet_join(sim.s, "sim", &e) == 0;
    p->renew_us = sim.now_us + 2 * SECOND_US;
}

static void renew(struct sim_process *p)
{
    struct error e = { 0 };
    uint32_t freed;
    int rc = fleet_renew(sim.s, &freed, &e);

    sim_say("  renewed, %u freed: %s", freed, rc < 0 ? e.msg : "");
    if (rc == 0)
        p->renew_us = sim.now_us + 2 * SECOND_US;
    else if (e.code == ERROR_ABORTED)
        join(p);
}

/* One of the things that it holds. */
static bool work_on_one(struct sim_process *p)
{
    uint32_t from = sim_pick(SIM_ITEMS);

    for (uint32_t i = 0; i < SIM_ITEMS; i++) {
        struct sim_item *it = &p->item[(from + i) % SIM_ITEMS];
        if (!it->used)
            continue;
        work(p, it);
        return true;
    }
    return false;
}

void sim_process_step(struct sim_process *p)
{
    if (!p->joined) {
        join(p);
        return;
    }
    if (p->ghost.used && sim_chance(20))
        haunt(p);
    if (sim.now_us >= p->renew_us) {
        /* It may have stood still between looking at its clock and its next call. */
        if (!fleet_holds(sim.s) && sim_chance(30)) {
            sim.tally.zombies++;
            (void)work_on_one(p);
        }
        renew(p);
    } else if (!fleet_holds(sim.s)) {
        drop_all(p);
    } else if (sim_chance(30) || !work_on_one(p)) {
        schedule(p);
    }
}

/* All that it had in memory is lost. */
void sim_die(struct sim_process *p)
{
    memset(p->item, 0, sizeof p->item);
    p->ghost.used = false;
    p->joined = false;
    if (sim.s->room[STORE_FLEET].memory)
        sim.s->room[STORE_FLEET].release(sim.s->room[STORE_FLEET].memory);
    sim.s->room[STORE_FLEET].memory = NULL;
}
