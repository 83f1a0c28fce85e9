#include "engine/service/scheduler.h"

#include <assert.h>
#include <string.h>

#include "base/thread.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/mem.h"
#include "engine/service/choice.h"
#include "engine/service/service_inner.h"
#include "engine/service/job_metrics.h"

#define HOUR_US ((int64_t)3600 * 1000000)
#define TICK_MS 250                           /* the scheduler looks at the time so often */
#define YIELD_AFTER_US ((int64_t)5 * 1000000) /* a job runs so long before it is asked to yield */
#define CLOSING_MAX 8                         /* jobs that are only being ended, at once */

/* ---- Checkers ---- */

static bool is_free(const struct entry *n, uint64_t now)
{
    return !n->busy && !n->stale && n->not_before_ns <= now;
}

int64_t scheduler_next_check(struct service *s)
{
    uint64_t now = service_now_ns(s);

    for (size_t i = 0; i < s->entry_count; i++) {
        struct entry *n = &s->entry[i];
        if (n->state == JOB_PENDING && n->stays != FATE_PENDING && is_free(n, now)) {
            n->busy = true;
            return n->id;
        }
    }
    return 0;
}

/* ---- Runners ---- */

static void end_runner(struct service *s, struct running *r)
{
    thread_join(r->thread);
    lock(&s->lock);
    struct entry *n = open_job_find(s, r->id);
    assert(n && n->busy && n->running == r);
    n->running = NULL;
    n->busy = false;
    n->failures = r->failures;
    n->not_before_ns = r->retry_ns;
    open_job_stale(s, r->id);
    unlock(&s->lock);
    mem_free(r);
}

/* Runners whose thread has ended; their jobs are read again. */
static void reap(struct service *s)
{
    for (;;) {
        struct running *ended = NULL;
        lock(&s->lock);
        for (size_t i = 0; i < s->entry_count && !ended; i++) {
            struct running *r = s->entry[i].running;
            if (r && atomic_load(&r->ended))
                ended = r;
        }
        unlock(&s->lock);
        if (!ended)
            break;
        end_runner(s, ended);
    }
    open_jobs_read(s);
}

static void ask_to_stop(struct running *r, enum stop_reason why)
{
    int none = STOP_NONE;

    if (why == STOP_CANCEL || why == STOP_EXPIRE || why == STOP_LOST)
        atomic_store(&r->discard, true);
    if (why == STOP_LOST)
        atomic_store(&r->lost, true);
    if (atomic_compare_exchange_strong(&r->reason, &none, (int)why))
        atomic_store(&r->stop, true);
}

bool scheduler_lose(struct service *s)
{
    bool left = false;

    lock(&s->lock);
    for (size_t i = 0; i < s->entry_count; i++) {
        struct running *r = s->entry[i].running;
        if (r)
            ask_to_stop(r, STOP_LOST);
        left |= r != NULL;
    }
    unlock(&s->lock);
    return !left;
}

/* Under lock, where a drain cannot begin meanwhile. */
static void start_runner(struct service *s, struct entry *n, bool closing, enum stop_reason why)
{
    assert(!n->busy && !n->running && !job_state_final(n->state));
    if (s->draining || s->away)
        return;
    struct running *r = mem_alloc(sizeof *r);
    r->service = s;
    r->id = n->id;
    r->closing = closing;
    r->failures = n->failures;
    r->began_us = service_now_us(s);
    atomic_init(&r->stop, closing);
    atomic_init(&r->discard, false);
    atomic_init(&r->lost, false);
    atomic_init(&r->reason, (int)why);
    atomic_init(&r->ended, false);
    n->busy = true;
    n->running = r;
    if (pthread_create(&r->thread, NULL, s->env.fleet ? fleet_run : runner_run, r) == 0)
        return;
    log_error("job %lld: no thread could be made", (long long)n->id);
    n->busy = false;
    n->running = NULL;
    n->not_before_ns = service_now_ns(s) + FULL_RETRY_S * NS_PER_S;
    mem_free(r);
}

/* Many jobs may be cancelled or expire at once: how many more may be ended now. Under lock. */
static uint32_t closing_room(const struct service *s)
{
    uint32_t closing = 0;

    for (size_t i = 0; i < s->entry_count; i++)
        closing += s->entry[i].running && s->entry[i].running->closing;
    return closing < CLOSING_MAX ? CLOSING_MAX - closing : 0;
}

/* In a fleet other processes may hold all that is open of a job. Under lock. */
static bool has_work(const struct service *s, const struct entry *n)
{
    return !s->env.fleet || n->open > 0 || n->leased == 0;
}

/* Under lock. */
static void close_entry(struct service *s, struct entry *n, enum stop_reason why, uint32_t *room)
{
    if (*room == 0 || !is_free(n, service_now_ns(s)) || !has_work(s, n))
        return;
    start_runner(s, n, true, why);
    (*room)--;
}

/* Passes on what clients asked of running jobs, and starts the end of cancelled ones that do not run. */
static void obey(struct service *s)
{
    lock(&s->lock);
    uint32_t room = closing_room(s);
    for (size_t i = 0; i < s->entry_count; i++) {
        struct entry *n = &s->entry[i];
        bool cancelled = n->state == JOB_CANCELLING || n->asked == ASKED_CANCEL;
        if (n->running && job_state_final(n->state)) /* another process ended it */
            ask_to_stop(n->running, STOP_LOST);
        else if (n->running && cancelled)
            ask_to_stop(n->running, STOP_CANCEL);
        else if (n->running && n->asked == ASKED_PAUSE)
            ask_to_stop(n->running, STOP_PAUSE);
        else if (n->state == JOB_CANCELLING)
            close_entry(s, n, STOP_CANCEL, &room);
    }
    unlock(&s->lock);
}

/* ---- Time ---- */

static bool too_old(const struct service *s, const struct entry *n, int64_t now)
{
    const struct service_settings *set = &s->set;

    switch (n->state) {
    case JOB_PENDING:
    case JOB_QUEUED: /* the time it ran does not count as queueing */
        return now - n->create_us - n->ran_us > set->queue_hours * HOUR_US;
    case JOB_PAUSED:
        return now - n->update_us > set->paused_hours * HOUR_US;
    case JOB_RUNNING: {
        int64_t began_us = s->env.fleet ? n->stretch_us : n->running ? n->running->began_us : 0;
        return began_us && n->ran_us + now - began_us > set->run_hours * HOUR_US;
    }
    case JOB_CANCELLING:
    case JOB_SUCCEEDED:
    case JOB_FAILED:
    case JOB_CANCELLED:
    case JOB_EXPIRED:
    case JOB_STATE_COUNT:
        break;
    }
    return false;
}

static void expire(struct service *s)
{
    int64_t now = service_now_us(s);

    lock(&s->lock);
    uint32_t room = closing_room(s);
    for (size_t i = 0; i < s->entry_count; i++) {
        struct entry *n = &s->entry[i];
        if (!too_old(s, n, now))
            continue;
        if (n->running)
            ask_to_stop(n->running, STOP_EXPIRE);
        else
            close_entry(s, n, STOP_EXPIRE, &room);
    }
    unlock(&s->lock);
}

/* ---- Choice ---- */

/* The jobs of one model that run or may run now. */
struct candidates {
    struct choice choice;
    struct choice_job *job;
    double *weight;
    const char **project;
};

static uint32_t project_index(struct service *s, struct candidates *c, const char *project)
{
    for (uint32_t i = 0; i < c->choice.project_count; i++)
        if (strcmp(c->project[i], project) == 0)
            return i;
    uint32_t at = c->choice.project_count++;
    c->project[at] = project;
    c->weight[at] = weight_of(&s->set, project);
    return at;
}

static void candidates_add(struct service *s, struct candidates *c, const struct entry *n)
{
    bool asked = n->running && atomic_load(&n->running->reason) != STOP_NONE;
    bool long_enough = n->running && service_now_us(s) - n->running->began_us > YIELD_AFTER_US;

    c->job[c->choice.count++] = (struct choice_job){
        .id = n->id,
        .project = project_index(s, c, n->project),
        .priority = n->priority,
        .turn = n->turn,
        .running = n->running != NULL,
        .yields = asked,
        .may_yield = long_enough,
    };
}

/* RUNNING without a runner: the disk was too full to give it back; in a fleet, other processes run it too. */
static bool waits(const struct service *s, const struct entry *n, uint64_t now)
{
    bool may_run = n->state == JOB_QUEUED || n->state == JOB_RUNNING;

    return may_run && n->stays != FATE_QUEUED && is_free(n, now) && has_work(s, n);
}

static void candidates_make(struct service *s, const struct model *m, struct candidates *c)
{
    uint64_t now = service_now_ns(s);

    c->job = mem_array(s->entry_count, sizeof *c->job);
    c->weight = mem_array(s->entry_count, sizeof *c->weight);
    c->project = mem_array(s->entry_count, sizeof *c->project);
    c->choice = (struct choice){ .job = c->job, .weight = c->weight };
    c->choice.running_max = s->set.running_max;
    for (size_t i = 0; i < s->entry_count; i++) {
        const struct entry *n = &s->entry[i];
        bool runs = n->running && !n->running->closing;
        if (n->model == m && (runs || waits(s, n, now)))
            candidates_add(s, c, n);
    }
}

static void candidates_release(struct candidates *c)
{
    mem_free(c->job);
    mem_free(c->weight);
    mem_free(c->project);
}

/* Under lock. */
static void admit_model(struct service *s, const struct model *m)
{
    struct candidates c;
    size_t at;

    candidates_make(s, m, &c);
    while ((at = choice_start(&c.choice)) != SIZE_MAX) {
        struct entry *n = open_job_find(s, c.job[at].id);
        start_runner(s, n, false, STOP_NONE);
        if (!n->running)
            break;
        c.job[at].running = true;
    }
    at = choice_yield(&c.choice);
    if (at != SIZE_MAX)
        ask_to_stop(open_job_find(s, c.job[at].id)->running, STOP_YIELD);
    candidates_release(&c);
}

uint64_t service_turns(struct service *s)
{
    lock(&s->lock);
    uint64_t turns = s->turns;
    unlock(&s->lock);
    return turns;
}

bool service_moves(struct service *s)
{
    uint64_t now = clock_system()->mono_ns(clock_system());

    lock(&s->lock);
    bool moves = s->turn_ns && now - s->turn_ns < SERVICE_STILL_MS * NS_PER_MS;
    unlock(&s->lock);
    return moves;
}

void service_measure(struct service *s)
{
    struct job_tally *tally = mem_array(JOB_OWNERS_MAX + 1, sizeof *tally);
    int64_t now = s->env.clock->wall_us(s->env.clock);

    lock(&s->lock);
    for (size_t i = 0; i < s->entry_count; i++) {
        const struct entry *n = &s->entry[i];
        struct job_tally *t =
            &tally[job_owner(n->project, n->model ? n->model->pattern : "_unknown")];
        int64_t waits = now - n->create_us - n->ran_us; /* as expire() counts it */
        t->count[n->state]++;
        if ((n->state == JOB_PENDING || n->state == JOB_QUEUED) && waits > t->waits_us)
            t->waits_us = waits;
    }
    unlock(&s->lock);
    job_metrics_open(tally);
    mem_free(tally);
}

/* Each model that has a waiting job, once. */
static void admit(struct service *s)
{
    const struct model *seen[HUBS_MAX];
    uint64_t now = service_now_ns(s);
    uint32_t count = 0;

    lock(&s->lock);
    for (size_t i = 0; i < s->entry_count && count < HUBS_MAX; i++) {
        const struct entry *n = &s->entry[i];
        uint32_t at = 0;
        if (!waits(s, n, now))
            continue;
        while (at < count && seen[at] != n->model)
            at++;
        if (at < count)
            continue;
        seen[count++] = n->model;
        admit_model(s, n->model);
    }
    cond_broadcast(&s->check_wake);
    unlock(&s->lock);
}

/* ---- Stopping and waiting ---- */

static bool any_running(const struct service *s)
{
    for (size_t i = 0; i < s->entry_count; i++)
        if (s->entry[i].running)
            return true;
    return false;
}

static void stop_all(struct service *s)
{
    lock(&s->lock);
    for (size_t i = 0; i < s->entry_count; i++)
        if (s->entry[i].running)
            ask_to_stop(s->entry[i].running, STOP_DRAIN);
    bool left = any_running(s);
    unlock(&s->lock);
    while (left) {
        (void)chan_recv(s->wake, TICK_MS);
        reap(s);
        lock(&s->lock);
        left = any_running(s);
        unlock(&s->lock);
    }
}

/* A fault that tests plant: the scheduler does nothing until the service ends. */
static void hang(struct service *s)
{
    for (bool stopping = false; !stopping;) {
        clock_system()->sleep_ns(clock_system(), TICK_MS * NS_PER_MS);
        lock(&s->lock);
        stopping = s->stopping;
        unlock(&s->lock);
    }
}

void *scheduler_run(void *arg)
{
    struct service *s = arg;

    for (;;) {
        if (fault_hit("scheduler.turn"))
            hang(s);
        open_jobs_glance(s);
        open_jobs_read(s);
        reap(s);
        lock(&s->lock);
        bool stopping = s->stopping, draining = s->draining, away = s->away;
        s->turns++;
        s->turn_ns = clock_system()->mono_ns(clock_system());
        unlock(&s->lock);
        if (draining || stopping)
            stop_all(s);
        if (stopping)
            return NULL;
        if (!draining && !away && !s->env.idle) {
            obey(s);
            expire(s);
            admit(s);
        }
        (void)chan_recv(s->wake, TICK_MS);
    }
}
