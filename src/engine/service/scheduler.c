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
#include "store/jobs/shards.h"

#define HOUR_US ((int64_t)3600 * 1000000)
#define TICK_MS 250                           /* the scheduler looks at the time so often */
#define YIELD_AFTER_US ((int64_t)5 * 1000000) /* a job runs so long before it is asked to yield */
#define CLOSING_MAX 8                         /* jobs that are only being ended, at once */
#define GLANCE_MS 1000    /* in a fleet: between two looks at what other processes changed */
#define GLANCE_MIN_MS 200 /* the same after a change of ours */

/* ---- The table ---- */

struct entry *scheduler_find(struct service *s, int64_t id)
{
    size_t low = 0, high = s->entry_count;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (s->entry[mid].id < id)
            low = mid + 1;
        else
            high = mid;
    }
    return low < s->entry_count && s->entry[low].id == id ? &s->entry[low] : NULL;
}

/* Ids grow, so a new one mostly goes to the end. */
static struct entry *add_entry(struct service *s, int64_t id)
{
    size_t at = s->entry_count;

    s->entry = mem_list_grow(s->entry, s->entry_count, sizeof *s->entry);
    while (at > 0 && s->entry[at - 1].id > id)
        at--;
    memmove(&s->entry[at + 1], &s->entry[at], (s->entry_count - at) * sizeof *s->entry);
    s->entry_count++;
    s->entry[at] = (struct entry){ .id = id };
    return &s->entry[at];
}

static void drop_entry(struct service *s, struct entry *n)
{
    size_t at = (size_t)(n - s->entry);

    assert(!n->busy && !n->running);
    service_model_done(s, n->model);
    mem_free(n->live);
    memmove(n, n + 1, (s->entry_count - at - 1) * sizeof *n);
    s->entry_count--;
}

static void fill_entry(struct entry *n, const struct job *j, const struct model *m)
{
    struct script_whole whole;
    struct error ignored;

    n->state = j->state;
    n->asked = j->asked;
    memcpy(n->project, j->project, sizeof n->project);
    n->model = m;
    n->priority = j->priority;
    n->create_us = j->create_us;
    n->queue_us = j->queue_us;
    n->update_us = j->update_us;
    n->ran_us = j->ran_us;
    n->stretch_us = j->stretch_us;
    n->retry_of = j->retry_of;
    n->has_done = counters_done(&j->counters) > 0;
    n->stays = j->test.len && script_whole(j->test, &whole, &ignored) == 0 ? whole.job : FATE_NONE;
    n->stale = false;
}

static void take_job(struct service *s, const struct job *j)
{
    struct error e;
    char name[MODEL_NAME_BYTES * 2] = { 0 };

    if (j->model.len < sizeof name)
        memcpy(name, j->model.p, j->model.len);
    const struct model *m = s->env.model(s->env.arg, j->project, name, &e), *unused = m;
    lock(&s->lock);
    struct entry *n = scheduler_find(s, j->id);
    if (!n && !job_state_final(j->state))
        n = add_entry(s, j->id);
    if (n) {
        unused = n->model; /* the entry holds the new one */
        fill_entry(n, j, m);
    }
    if (n && job_state_final(j->state) && !n->busy)
        drop_entry(s, n);
    unlock(&s->lock);
    service_model_done(s, unused);
}

/* The end of a job that a client removed while it ran. A failure is tried again at the next start. */
static void delete_removed(struct service *s, const struct job *j)
{
    struct error e;

    lock(&s->lock);
    bool busy = scheduler_find(s, j->id) != NULL;
    unlock(&s->lock);
    if (!busy && service_delete(s, NULL, j->id, &e) < 0 && e.code != ERROR_NOT_FOUND)
        log_warn("job %lld cannot be deleted: %s", (long long)j->id, e.msg);
}

int scheduler_load(struct service *s, struct error *e)
{
    struct arena a = { 0 };
    struct job_list all = { 0 };
    int rc = job_open_list(s->env.store, &a, &all, e);

    for (uint32_t i = 0; i < all.count; i++) {
        take_job(s, &all.item[i]);
        if (job_state_final(all.item[i].state))
            delete_removed(s, &all.item[i]);
    }
    if (all.count)
        log_info("%u jobs are open", all.count);
    arena_release(&a);
    return rc;
}

/* Under lock. */
static void add_dirty(struct service *s, int64_t id)
{
    struct entry *n = scheduler_find(s, id);

    if (n)
        n->stale = true;
    s->dirty = mem_list_grow(s->dirty, s->dirty_count, sizeof *s->dirty);
    s->dirty[s->dirty_count++] = id;
}

void scheduler_dirty(struct service *s, int64_t id)
{
    lock(&s->lock);
    add_dirty(s, id);
    unlock(&s->lock);
    service_wake(s);
}

void scheduler_all_dirty(struct service *s)
{
    lock(&s->lock);
    for (size_t i = 0; i < s->entry_count; i++)
        add_dirty(s, s->entry[i].id);
    unlock(&s->lock);
    service_wake(s);
}

static void forget(struct service *s, int64_t id)
{
    lock(&s->lock);
    struct entry *n = scheduler_find(s, id);
    if (n && !n->busy)
        drop_entry(s, n);
    unlock(&s->lock);
}

/* At the next tick, not at once: the store may be out of order for a while. */
static void read_later(struct service *s, const int64_t *ids, size_t count)
{
    lock(&s->lock);
    for (size_t i = 0; i < count; i++)
        add_dirty(s, ids[i]);
    unlock(&s->lock);
}

/* False: the store does not answer. */
static bool read_one(struct service *s, struct arena *a, int64_t id)
{
    struct job j;
    struct error e;
    int rc = job_get(s->env.store, a, NULL, id, &j, &e);

    if (rc == 1)
        take_job(s, &j);
    if (rc == 1 && job_state_final(j.state) && j.asked == ASKED_REMOVE)
        delete_removed(s, &j);
    if (rc == 0)
        forget(s, id);
    if (rc < 0 && !s->unread)
        log_error("job %lld cannot be read: %s", (long long)id, e.msg);
    s->unread = rc < 0;
    return rc >= 0;
}

static void read_dirty(struct service *s)
{
    struct arena a = { 0 };

    lock(&s->lock);
    int64_t *ids = s->dirty;
    size_t count = s->dirty_count;
    s->dirty = NULL;
    s->dirty_count = 0;
    unlock(&s->lock);
    for (size_t i = 0; i < count; i++) {
        if (i && ids[i] == ids[i - 1])
            continue;
        if (!read_one(s, &a, ids[i])) {
            read_later(s, &ids[i], count - i);
            break;
        }
        arena_reset(&a);
    }
    mem_free(ids);
    arena_release(&a);
}

/* ---- The other processes of a fleet ---- */

void scheduler_look(struct service *s)
{
    lock(&s->lock);
    s->look_ns = 0;
    unlock(&s->lock);
    service_wake(s);
}

/* Under lock. */
static bool look_is_due(struct service *s)
{
    uint64_t now = clock_system()->mono_ns(clock_system());
    uint64_t least = s->looked_ns ? s->looked_ns + GLANCE_MIN_MS * NS_PER_MS : 0;

    if (!s->env.fleet || now < s->look_ns || now < least)
        return false;
    s->looked_ns = now;
    s->look_ns = now + GLANCE_MS * NS_PER_MS;
    return true;
}

/* Under lock. */
static void take_live_facts(struct service *s, struct entry *n, const struct job_glance *g)
{
    const struct progress p = { .counters = g->counters };

    if (g->state != JOB_RUNNING && g->state != JOB_CANCELLING) {
        mem_free(n->live);
        n->live = NULL;
        return;
    }
    if (!n->live)
        n->live = mem_alloc(sizeof *n->live);
    live_add(n->live, &p, service_now_ns(s));
}

/* Under lock. Glances are in the order of ids, as the table is; a job that is not in them has ended. */
static void take_glances(struct service *s, const struct job_glance *g, uint32_t count)
{
    uint32_t at = 0;

    for (size_t i = 0; i < s->entry_count; i++) {
        struct entry *n = &s->entry[i];
        for (; at < count && g[at].id < n->id; at++)
            add_dirty(s, g[at].id); /* it is new */
        bool seen = at < count && g[at].id == n->id;
        if (!seen || g[at].state != n->state || g[at].asked != n->asked ||
            g[at].priority != n->priority)
            add_dirty(s, n->id);
        if (!seen)
            continue;
        n->open = g[at].open;
        n->leased = g[at].leased;
        n->ran_us = g[at].ran_us;
        n->stretch_us = g[at].stretch_us;
        take_live_facts(s, n, &g[at++]);
    }
    for (; at < count; at++)
        add_dirty(s, g[at].id);
}

/* Sees what other processes did since the last look. */
static void look_around(struct service *s)
{
    struct arena a = { 0 };
    struct job_glance *g = NULL;
    uint32_t count = 0;
    struct error e;

    lock(&s->lock);
    bool due = look_is_due(s);
    unlock(&s->lock);
    if (!due)
        return;
    int rc = jobs_glance(s->env.store, &a, &g, &count, &e);
    lock(&s->lock);
    if (rc == 0)
        take_glances(s, g, count);
    unlock(&s->lock);
    if (rc < 0 && !s->unread)
        log_warn("the open jobs cannot be read now: %s", e.msg);
    s->unread = rc < 0;
    arena_release(&a);
}

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
    struct entry *n = scheduler_find(s, r->id);
    assert(n && n->busy && n->running == r);
    n->running = NULL;
    n->busy = false;
    n->failures = r->failures;
    n->not_before_ns = r->retry_ns;
    add_dirty(s, r->id);
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
    read_dirty(s);
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
    c->weight[at] = 1;
    for (uint32_t i = 0; i < s->set.weight_count; i++)
        if (strcmp(s->set.weight[i].project, project) == 0)
            c->weight[at] = s->set.weight[i].weight;
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
        struct entry *n = scheduler_find(s, c.job[at].id);
        start_runner(s, n, false, STOP_NONE);
        if (!n->running)
            break;
        c.job[at].running = true;
    }
    at = choice_yield(&c.choice);
    if (at != SIZE_MAX)
        ask_to_stop(scheduler_find(s, c.job[at].id)->running, STOP_YIELD);
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
        look_around(s);
        read_dirty(s);
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
