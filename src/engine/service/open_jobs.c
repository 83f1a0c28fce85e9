#include "engine/service/open_jobs.h"

#include <assert.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "engine/service/service_inner.h"
#include "store/jobs/shards.h"

#define GLANCE_MS 1000    /* in a fleet: between two looks at what other processes changed */
#define GLANCE_MIN_MS 200 /* the same after a change of ours */

/* ---- The table ---- */

struct entry *open_job_find(struct service *s, int64_t id)
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
    struct entry *n = open_job_find(s, j->id);
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
    bool busy = open_job_find(s, j->id) != NULL;
    unlock(&s->lock);
    if (!busy && service_delete(s, NULL, j->id, &e) < 0 && e.code != ERROR_NOT_FOUND)
        log_warn("job %lld cannot be deleted: %s", (long long)j->id, e.msg);
}

int open_jobs_load(struct service *s, struct error *e)
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

void open_job_stale(struct service *s, int64_t id)
{
    struct entry *n = open_job_find(s, id);

    if (n)
        n->stale = true;
    s->dirty = mem_list_grow(s->dirty, s->dirty_count, sizeof *s->dirty);
    s->dirty[s->dirty_count++] = id;
}

void open_job_dirty(struct service *s, int64_t id)
{
    lock(&s->lock);
    open_job_stale(s, id);
    unlock(&s->lock);
    service_wake(s);
}

void open_jobs_all_dirty(struct service *s)
{
    lock(&s->lock);
    for (size_t i = 0; i < s->entry_count; i++)
        open_job_stale(s, s->entry[i].id);
    unlock(&s->lock);
    service_wake(s);
}

static void forget(struct service *s, int64_t id)
{
    lock(&s->lock);
    struct entry *n = open_job_find(s, id);
    if (n && !n->busy)
        drop_entry(s, n);
    unlock(&s->lock);
}

/* At the next tick, not at once: the store may be out of order for a while. */
static void read_later(struct service *s, const int64_t *ids, size_t count)
{
    lock(&s->lock);
    for (size_t i = 0; i < count; i++)
        open_job_stale(s, ids[i]);
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

void open_jobs_read(struct service *s)
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

void open_jobs_look(struct service *s)
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
            open_job_stale(s, g[at].id); /* it is new */
        bool seen = at < count && g[at].id == n->id;
        if (!seen || g[at].state != n->state || g[at].asked != n->asked ||
            g[at].priority != n->priority)
            open_job_stale(s, n->id);
        if (!seen)
            continue;
        n->open = g[at].open;
        n->leased = g[at].leased;
        n->ran_us = g[at].ran_us;
        n->stretch_us = g[at].stretch_us;
        take_live_facts(s, n, &g[at++]);
    }
    for (; at < count; at++)
        open_job_stale(s, g[at].id);
}

/* Under lock. A project without a turn has had nothing of the model yet. */
static void take_turns(struct service *s, const struct shards_turn *turn, uint32_t count)
{
    for (size_t i = 0; i < s->entry_count; i++) {
        struct entry *n = &s->entry[i];
        n->turn = 0;
        for (uint32_t k = 0; n->model && k < count; k++)
            if (str_eq_c(turn[k].model, n->model->pattern) && str_eq_c(turn[k].project, n->project))
                n->turn = turn[k].start;
    }
}

void open_jobs_glance(struct service *s)
{
    struct arena a = { 0 };
    struct job_glance *g = NULL;
    struct shards_turn *turn = NULL;
    uint32_t count = 0, turns = 0;
    struct error e;

    lock(&s->lock);
    bool due = look_is_due(s);
    unlock(&s->lock);
    if (!due)
        return;
    int rc = jobs_glance(s->env.store, &a, &g, &count, &e);
    if (rc == 0)
        rc = shards_turns(s->env.store, &a, &turn, &turns, &e);
    lock(&s->lock);
    if (rc == 0) {
        take_glances(s, g, count);
        take_turns(s, turn, turns);
    }
    unlock(&s->lock);
    if (rc < 0 && !s->unread)
        log_warn("the open jobs cannot be read now: %s", e.msg);
    s->unread = rc < 0;
    arena_release(&a);
}
