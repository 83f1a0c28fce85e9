/* sim.h -- the world of the simulation: a store, processes that share it, jobs, and what is in the bucket.
 *
 * Why: a protocol of leases is right only if it is right for every order of deaths, delays and lost answers. Here one thread
 *      takes steps in an order that a seed decides, so that any failure can be looked at again.
 *
 * Shape:   the store and its functions are the real ones, over SQLite; a process is a state machine and a memory of its own
 *          (the fleet's). Its calls of the database fail or lose their answers, its uploads fail, it dies, or stands still for
 *          longer than its lease and goes on. The content of a blob is what each of its lines came to.
 * Check:   after each step the rows are compared with the contents: I1, I2, I4, I6, budgets, fences, sums (check.c).
 * Threads: one.
 */
#ifndef TRANCHE_TESTS_SIM_H
#define TRANCHE_TESTS_SIM_H

#include <stdbool.h>
#include <stdint.h>

#include "format/usage.h"
#include "store/fleet/fleet_inner.h"
#include "store/jobs/shards_inner.h"

#define SIM_JOBS 4
#define SIM_SHARDS 5
#define SIM_LINES 6
#define SIM_PROCESSES 3
#define SIM_ITEMS 6
#define SIM_BLOBS 8192
#define LINE_COST_MAX 20
#define SECOND_US INT64_C(1000000)

struct sim_line {
    enum outcome outcome;
    bool copied; /* of another job's answer: it costs nothing */
    uint32_t cost;
};

/* What the bucket holds under an id. */
struct sim_blob {
    int64_t id;
    int job, shard;
    bool rows; /* an output, else answers */
    struct sim_line line[SIM_LINES];
};

struct sim_job {
    int64_t id; /* 0: it is not made, or deleted */
    uint32_t shards, lines[SIM_SHARDS];
    int64_t fence[SIM_SHARDS]; /* the last one seen */
    uint64_t overspent;        /* what holders spent beyond what they had reserved */
    bool expired;              /* its time is over */
    bool ended;
    enum job_state state; /* of its end */
    struct counters counters;
};

/* A shard that a process works on. */
struct sim_item {
    bool used, closing, halted, pending;
    int job;
    struct shard_lease lease;
    struct sim_line line[SIM_LINES];
    struct shard_record record; /* pending: to be made again, as its fate is not known */
    struct blob answers, output;
};

enum sim_life { SIM_UP, SIM_STOPPED, SIM_DEAD };
struct sim_process {
    enum sim_life life;
    bool joined;
    int64_t wake_us, renew_us;
    void *memory; /* the fleet's */
    struct clock clock;
    struct sim_item item[SIM_ITEMS];
    struct sim_item ghost; /* a record whose call may still come to the database */
    int64_t ghost_of;      /* the process's number then */
};

struct sim {
    struct store *s;
    uint64_t seed; /* state of the random numbers */
    int64_t now_us;
    int64_t epoch;
    bool faults, haunted;                           /* haunted: a late call is made */
    struct sim_process process[SIM_PROCESSES], *at; /* who calls the store */
    struct sim_job job[SIM_JOBS];
    struct sim_blob blob[SIM_BLOBS];
    uint32_t blobs;
    int64_t blob_first; /* id of blob[0] */
    struct arena arena; /* of one step */
    bool verbose;
    /* What was seen, for the summary. */
    struct sim_tally {
        uint64_t steps, deaths, stops, lost_answers, lost_calls, refused, taken_over, records, ends;
        uint64_t zombies, ghosts, budgets, pauses;
    } tally;
};
extern struct sim sim;

/* A number below n, and true in that many of a hundred cases. */
uint32_t sim_pick(uint32_t n);
bool sim_chance(uint32_t percent);
void sim_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Says what is wrong and the seed, and ends. */
void sim_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));

/* A call that may be refused or lost, but never be wrong. */
void sim_tried(int rc, const struct error *e);

/* The blob of an id; NULL: the bucket has none. */
const struct sim_blob *sim_blob_of(int64_t id);
struct counters sim_count(const struct sim_line *line, uint32_t lines);
uint64_t sim_spent(const struct counters *c);

/* One step of a process, of a client, of the world. */
void sim_process_step(struct sim_process *p);
void sim_client_step(void);
void sim_die(struct sim_process *p);

/* Compares all rows with what must hold. */
void sim_check(void);
/* Everything has an end: each line of each job once. */
void sim_check_end(struct sim_job *j);

#endif
