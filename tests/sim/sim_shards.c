/* sim_shards.c -- usage: sim_shards [--seeds N] [--from SEED] [--steps N] [--verbose]
 *
 * Runs the protocol of leases from many seeds; the first failure prints its seed and ends with 1.
 * `sim_shards --from SEED --seeds 1 --verbose` shows it again, step by step. sim.h says what is simulated. */
#include "sim.h"

#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/random.h"
#include "base/sys.h"

#define STEPS 120
/* After the last fault all jobs come to an end within so many steps. */
#define STEPS_TO_END 3000
#define START_US INT64_C(1763805600000000)

struct sim sim = { .blob_first = 1 };
static uint64_t seed_now;

/* ---- Chance and words ---- */

uint32_t sim_pick(uint32_t n)
{
    return (uint32_t)(random_next(&sim.seed) >> 32) % n;
}

bool sim_chance(uint32_t percent)
{
    return sim_pick(100) < percent;
}

void sim_say(const char *fmt, ...)
{
    va_list args;

    if (!sim.verbose)
        return;
    va_start(args, fmt);
    (void)vprintf(fmt, args);
    va_end(args);
    (void)printf("\n");
}

void sim_fail(const char *fmt, ...)
{
    va_list args;

    (void)fflush(stdout);
    va_start(args, fmt);
    (void)vfprintf(stderr, fmt, args);
    va_end(args);
    (void)fprintf(stderr, "\nfailed: sim_shards --from %" PRIu64 " --seeds 1 --verbose\n",
                  seed_now);
    exit(1);
}

void sim_tried(int rc, const struct error *e)
{
    if (rc < 0 && e->code != ERROR_UNAVAILABLE && e->code != ERROR_ABORTED &&
        e->code != ERROR_NOT_FOUND && e->code != ERROR_FAILED_PRECONDITION)
        sim_fail("a call failed: %s", e->msg);
    if (rc < 0)
        sim_say("  %s", e->msg);
}

/* An assertion of the store's: the seed is what it lacks. */
static void on_abort(int number)
{
    char text[96];
    int n = snprintf(text, sizeof text, "failed: sim_shards --from %llu --seeds 1 --verbose\n",
                     (unsigned long long)seed_now);

    (void)number;
    if (write(STDERR_FILENO, text, (size_t)n) < 0)
        _exit(2);
    _exit(1);
}

/* ---- What is not real: answers of the database, the bucket ---- */

int __real_store_commit(struct store *s, struct db *d, int rc, struct error *e);
int __wrap_store_commit(struct store *s, struct db *d, int rc, struct error *e);
int __wrap_store_commit(struct store *s, struct db *d, int rc, struct error *e)
{
    if (rc == 0 && sim.faults && sim_chance(4)) {
        sim.tally.lost_calls++;
        (void)__real_store_commit(s, d, -1, e);
        return error_set(e, ERROR_UNAVAILABLE, "the connection was lost before the commit");
    }
    rc = __real_store_commit(s, d, rc, e);
    if (rc == 0 && sim.faults && sim_chance(4)) {
        sim.tally.lost_answers++;
        return error_set(e, ERROR_UNAVAILABLE, "the answer to the commit was lost");
    }
    return rc;
}

int64_t __wrap_db_epoch(const struct db *d);
int64_t __wrap_db_epoch(const struct db *d)
{
    (void)d;
    return sim.epoch;
}

int __wrap_blob_keep_in(struct store *s, struct db *d, int64_t id, struct error *e);
int __wrap_blob_keep_in(struct store *s, struct db *d, int64_t id, struct error *e)
{
    struct stmt *q = db_stmt(d, "SELECT 1 FROM blob_gone WHERE id = ?");

    (void)s;
    db_bind(q, "i", id);
    bool gone = db_step(q, "look", e) != 0;
    if (!sim_blob_of(id) || (gone && !sim.haunted))
        sim_fail("a record names blob %" PRId64 ", which is not there", id);
    return gone ? error_set(e, ERROR_UNAVAILABLE, "the blob is gone") : 0;
}

const struct sim_blob *sim_blob_of(int64_t id)
{
    int64_t at = id - sim.blob_first;

    return at >= 0 && at < (int64_t)sim.blobs ? &sim.blob[at] : NULL;
}

struct counters sim_count(const struct sim_line *line, uint32_t lines)
{
    struct counters c = { .total = lines };

    for (uint32_t i = 0; i < lines; i++) {
        c.succeeded += line[i].outcome == OUTCOME_SUCCEEDED;
        c.failed += line[i].outcome == OUTCOME_FAILED;
        c.not_run += line[i].outcome == OUTCOME_NOT_RUN;
        c.duplicates += line[i].copied;
        c.cost_nano += line[i].cost;
        c.prompt_tokens += line[i].cost;
    }
    return c;
}

uint64_t sim_spent(const struct counters *c)
{
    return c->cost_nano + c->rejected_cost_nano;
}

/* ---- Clients ---- */

static bool done_shard(struct sim_job *j, int from)
{
    *j = (struct sim_job){ 0 };
    if (from < 0)
        return false;
    j->shards = sim.job[from].shards;
    memcpy(j->lines, sim.job[from].lines, sizeof j->lines);
    return true;
}

static struct job described(void)
{
    struct job new = { .dialect = DIALECT_VERTEX,
                       .project = "p",
                       .location = "us-central1",
                       .model = STR("m"),
                       .spec = STR("{}") };

    if (sim_chance(50))
        new.options.budget_nano = 1 + sim_pick(SIM_SHARDS * SIM_LINES * LINE_COST_MAX / 2);
    if (sim_chance(20))
        new.options.budget_tokens = 1 + sim_pick(SIM_SHARDS * SIM_LINES * LINE_COST_MAX / 2);
    if (sim_chance(30)) {
        new.options.error_rate_max = 0.3;
        new.options.error_lines_min = 4;
    }
    return new;
}

/* Cuts a job, with the shards of `from` when it is a retry (-1: it is none). */
static void make_job(int at, int from)
{
    struct sim_job *j = &sim.job[at];
    struct shard_cut cut[SIM_SHARDS] = { { 0 } };
    struct job new = described();
    struct error e = { 0 };
    bool existed, retry = done_shard(j, from);

    if (!retry)
        j->shards = 1 + sim_pick(SIM_SHARDS);
    for (uint32_t i = 0; i < j->shards; i++) {
        if (!retry)
            j->lines[i] = 1 + sim_pick(SIM_LINES);
        uint64_t max = sim_chance(70) ? j->lines[i] * LINE_COST_MAX : 0;
        cut[i] = (struct shard_cut){ .begin = new.counters.total,
                                     .end = new.counters.total + j->lines[i],
                                     .first = new.counters.total,
                                     .lines = j->lines[i],
                                     .cost_max_nano = max,
                                     .tokens_max = max };
        new.counters.total += j->lines[i];
    }
    uint64_t total = new.counters.total;
    new.counters.total = 0;
    if (job_create(sim.s, &sim.arena, &new, NULL, &existed, &e) < 0 ||
        job_check_begin(sim.s, &new, &e) < 0 || shards_add(sim.s, &new, cut, j->shards, &e) < 0 ||
        (retry && shards_inherit(sim.s, &new, sim.job[from].id, &e) < 0))
        sim_fail("cannot make a job: %s", e.msg);
    new.counters.total = total;
    if (job_checked(sim.s, &new, &e) < 0)
        sim_fail("cannot check a job: %s", e.msg);
    j->id = new.id;
    sim_say("job %d is made: %u shards, %" PRIu64 " lines, budget %" PRIu64 ", %" PRIu64 " tokens",
            at, j->shards, total, new.options.budget_nano, new.options.budget_tokens);
}

static void resume(struct sim_job *j, bool more)
{
    struct job now;
    struct error e = { 0 };

    if (job_get(sim.s, &sim.arena, NULL, j->id, &now, &e) != 1)
        return;
    struct job_options o = now.options;
    if (more && o.budget_nano)
        o.budget_nano += SIM_LINES * LINE_COST_MAX;
    if (more && o.budget_tokens)
        o.budget_tokens += SIM_LINES * LINE_COST_MAX;
    if (more)
        o.error_rate_max = 0;
    sim_tried(
        job_resume(sim.s, &sim.arena, &(struct job_resume){ .id = j->id, .options = &o }, &now, &e),
        &e);
}

static int free_place(void)
{
    for (int i = 0; i < SIM_JOBS; i++)
        if (!sim.job[i].id)
            return i;
    return -1;
}

void sim_client_step(void)
{
    int at = (int)sim_pick(SIM_JOBS), place = free_place();
    struct sim_job *j = &sim.job[at];
    struct error e = { 0 };
    struct job out;
    bool faults = sim.faults;

    if (!j->id)
        return;
    switch (sim_pick(7)) {
    case 0:
    case 1:
        sim_say("client: pause job %d", at);
        sim_tried(job_pause(sim.s, &sim.arena, NULL, j->id, &out, &e), &e);
        sim.tally.pauses++;
        break;
    case 2:
    case 3:
        sim_say("client: resume job %d", at);
        resume(j, sim_chance(50));
        break;
    case 4:
        sim_say("client: cancel or remove job %d", at);
        if (sim_chance(50))
            sim_tried(job_cancel(sim.s, &sim.arena, NULL, j->id, &out, &e), &e);
        else
            sim_tried(job_remove(sim.s, &sim.arena, NULL, j->id, &out, &e), &e);
        break;
    case 5:
        j->expired = sim_chance(50) || j->expired;
        break;
    default:
        if (j->ended && place >= 0 && j->state != JOB_PENDING) {
            sim.faults = false; /* a check that fails is made again */
            struct job now;
            if (job_get(sim.s, &sim.arena, NULL, j->id, &now, &e) == 1 &&
                now.asked == ASKED_NOTHING)
                make_job(place, at);
            sim.faults = faults;
        } else if (j->ended && sim_chance(50)) {
            sim_tried(job_delete(sim.s, NULL, j->id, &e), &e);
        }
        break;
    }
}

/* ---- The world ---- */

static void enter(struct sim_process *p)
{
    sim.at = p;
    sim.s->room[STORE_FLEET].memory = p->memory;
    p->clock.fake_us =
        sim.now_us + (int64_t)sim_pick(200000) - 100000; /* an offset measured badly */
    p->clock.fake_ns = (uint64_t)(sim.now_us - START_US + SECOND_US) * 1000;
    sim.s->clock = &p->clock;
}

static void leave(void)
{
    sim.at->memory = sim.s->room[STORE_FLEET].memory;
    arena_reset(&sim.arena);
}

/* What befalls a process from outside. */
static void befall(struct sim_process *p)
{
    uint32_t what = sim_pick(100);

    if (what < 3) {
        sim_say("process %d dies", (int)(p - sim.process));
        sim_die(p);
        p->life = SIM_DEAD;
        p->wake_us = sim.now_us + (int64_t)sim_pick(20) * SECOND_US;
        sim.tally.deaths++;
    } else if (what < 7) {
        sim_say("process %d stands still", (int)(p - sim.process));
        p->life = SIM_STOPPED;
        p->wake_us = sim.now_us + (int64_t)(1 + sim_pick(30)) * SECOND_US;
        sim.tally.stops++;
    }
}

static void step(void)
{
    struct sim_process *p = &sim.process[sim_pick(SIM_PROCESSES)];

    sim.tally.steps++;
    sim.now_us += sim_chance(80) ? sim_pick(300000) : sim_pick(3000000);
    if (sim.faults && sim_chance(1))
        sim.epoch++;
    if (p->life != SIM_UP && sim.now_us >= p->wake_us)
        p->life = SIM_UP;
    if (p->life != SIM_UP)
        return;
    enter(p);
    if (sim.faults && sim_chance(8))
        sim_client_step();
    sim_say("%.3f process %d", (double)(sim.now_us - START_US) / 1e6, (int)(p - sim.process));
    sim_process_step(p);
    if (sim.faults)
        befall(p);
    leave();
    enter(p);
    sim_check();
    leave();
}

static bool all_ended(void)
{
    for (int i = 0; i < SIM_JOBS; i++)
        if (sim.job[i].id && !sim.job[i].ended)
            return false;
    return true;
}

/* Without faults, and with clients that want their results, every job ends. */
static void to_the_end(void)
{
    sim.faults = false;
    for (int i = 0; i < STEPS_TO_END && !all_ended(); i++) {
        step();
        if (i % 50 != 49)
            continue;
        enter(&sim.process[0]);
        for (int k = 0; k < SIM_JOBS; k++)
            if (sim.job[k].id && !sim.job[k].ended)
                resume(&sim.job[k], true);
        leave();
    }
    if (!all_ended())
        sim_fail("a job has no end");
}

/* Everything goes; what is left over is an error. */
static void clear(void)
{
    struct error e = { 0 };
    struct db *d;

    enter(&sim.process[0]);
    for (int i = 0; i < SIM_JOBS; i++)
        if (sim.job[i].id && job_delete(sim.s, NULL, sim.job[i].id, &e) < 0)
            sim_fail("cannot delete a job: %s", e.msg);
    leave();
    for (int i = 0; i < SIM_PROCESSES; i++) {
        enter(&sim.process[i]);
        sim_die(&sim.process[i]);
        leave();
    }
    d = store_write(sim.s, &e);
    struct stmt *q = db_stmt(d, "SELECT count(*) FROM shard");
    if (db_step(q, "look", &e) != 1 || db_int(q, 0) != 0)
        sim_fail("shards are left over");
    if (store_commit(sim.s, d,
                     db_exec(d,
                             "DELETE FROM process; DELETE FROM duty; DELETE FROM blob_gone;"
                             "DELETE FROM event; DELETE FROM job",
                             "clear", &e),
                     &e) < 0)
        sim_fail("cannot clear: %s", e.msg);
}

static void run_seed(uint64_t seed, uint32_t steps)
{
    sim.seed = seed_now = seed;
    sim.now_us = START_US;
    sim.blob_first += sim.blobs;
    sim.blobs = 0;
    memset(sim.job, 0, sizeof sim.job);
    memset(sim.process, 0, sizeof sim.process);
    for (int i = 0; i < SIM_PROCESSES; i++)
        sim.process[i].clock = clock_fake(START_US);
    enter(&sim.process[0]);
    for (int i = 0, jobs = 1 + (int)sim_pick(SIM_JOBS - 1); i < jobs; i++)
        make_job(i, -1);
    leave();
    sim.faults = true;
    for (uint32_t i = 0; i < steps; i++)
        step();
    to_the_end();
    clear();
}

static void summary(uint64_t seeds)
{
    const struct sim_tally *t = &sim.tally;

    (void)printf(
        "%" PRIu64 " seeds, %" PRIu64 " steps: %" PRIu64 " records taken, %" PRIu64
        " refused; %" PRIu64 " checkpoints taken over; %" PRIu64 " deaths, %" PRIu64
        " stops, %" PRIu64 " zombies, %" PRIu64 " late calls; %" PRIu64 " calls and %" PRIu64
        " answers lost; %" PRIu64 " budgets spent, %" PRIu64 " pauses, %" PRIu64 " ends\n",
        seeds, t->steps, t->records, t->refused, t->taken_over, t->deaths, t->stops, t->zombies,
        t->ghosts, t->lost_calls, t->lost_answers, t->budgets, t->pauses, t->ends);
}

static uint64_t number(const char *text)
{
    char *end;
    unsigned long long n = strtoull(text, &end, 10);

    if (*end || end == text) {
        (void)fprintf(stderr, "\"%s\" is no number\n", text);
        exit(2);
    }
    return n;
}

int main(int argc, char **argv)
{
    uint64_t seeds = 100, from = 1, steps = STEPS;
    char dir[] = "/tmp/sim-XXXXXX", memory[] = "/dev/shm/sim-XXXXXX";
    struct error e = { 0 };
    struct clock clock = clock_fake(START_US);

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--verbose") == 0)
            sim.verbose = true;
        else if (i + 1 < argc && strcmp(argv[i], "--seeds") == 0)
            seeds = number(argv[++i]);
        else if (i + 1 < argc && strcmp(argv[i], "--from") == 0)
            from = number(argv[++i]);
        else if (i + 1 < argc && strcmp(argv[i], "--steps") == 0)
            steps = number(argv[++i]);
        else
            return 2;
    }
    if (signal(SIGABRT, on_abort) == SIG_ERR)
        return 2;
    log_setup(sim.verbose ? LOG_WARN : LOG_ERROR, LOG_TEXT);
    const char *place = mkdtemp(memory) ? memory : mkdtemp(dir);
    sim.s = place ? store_open(place, true, &clock, &e) : NULL;
    if (!sim.s) {
        (void)fprintf(stderr, "cannot open a store: %s\n", e.msg);
        return 2;
    }
    for (uint64_t i = 0; i < seeds; i++)
        run_seed(from + i, (uint32_t)steps);
    summary(seeds);
    sim.s->clock = &clock;
    store_close(sim.s);
    arena_release(&sim.arena);
    return sys_remove_all(place, &e) < 0;
}
