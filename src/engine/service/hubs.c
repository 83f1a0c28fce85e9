/* hubs.c -- models in use: a hub for each engine, shares of it for jobs, and online calls. */
#include <assert.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "engine/service/job_metrics.h"
#include "engine/service/service_inner.h"
#include "predict/fake/script.h"

void service_model_done(struct service *s, const struct model *m)
{
    if (m && s->env.model_done)
        s->env.model_done(s->env.arg, m);
}

/* ---- Models ---- */

static struct hub_entry *find_hub(struct service *s, const struct model *m)
{
    for (uint32_t i = 0; i < s->hub_count; i++)
        if (s->hub[i].model == m || model_shares_engine(s->hub[i].model, m))
            return &s->hub[i];
    return NULL;
}

/* Under the lock. */
static struct hub_entry *add_hub(struct service *s, const struct model *m)
{
    const struct predictor_env env = { .clock = s->env.clock,
                                       .seed = s->env.seed,
                                       .state_dir = s->env.state_dir,
                                       .servers = s->servers,
                                       .has_files = true };
    struct hub_entry *n = &s->hub[s->hub_count++];

    *n = (struct hub_entry){ .model = m, .base = mem_alloc(sizeof *n->base) };
    *n->base = *m;
    if (model_adapts(m))
        n->base->adapters.count = 0;
    n->hub = hub_new(n->base, &env, s->env.open);
    model_short_name(m->base ? m->base : m->pattern, n->name);
    return n;
}

/* A model and its hub, which both stay until service_hub_done. */
struct hub_use {
    const struct model *model;
    struct hub *hub;
    bool kept; /* the table of hubs has taken the hold on the model */
};

static int service_hub(struct service *s, const char *project, const char *name,
                       struct hub_use *out, struct error *e)
{
    const struct model *m = s->env.model(s->env.arg, project, name, e);

    if (!m)
        return -1;
    lock(&s->lock);
    struct hub_entry *n = find_hub(s, m);
    bool added = !n && s->hub_count < HUBS_MAX;
    if (added)
        n = add_hub(s, m);
    *out = (struct hub_use){ .model = m, .hub = n ? n->hub : NULL, .kept = added };
    if (n)
        n->users++;
    unlock(&s->lock);
    if (out->hub)
        return 0;
    service_model_done(s, m);
    return error_set(e, ERROR_RESOURCE_EXHAUSTED, "more than %d models are in use", HUBS_MAX);
}

/* The caller has a share or a call of its own by now, or gave up. */
static void service_hub_done(struct service *s, const struct hub_use *use)
{
    lock(&s->lock);
    struct hub_entry *n = find_hub(s, use->model);
    assert(n && n->users > 0 && n->hub == use->hub);
    n->users--;
    unlock(&s->lock);
    if (!use->kept)
        service_model_done(s, use->model);
}

/* Under the lock: takes one that can be closed out of the table; false: none can. s->replaced says whether
 * any is left. */
static bool take_replaced(struct service *s, struct hub_entry *out)
{
    s->replaced = false;
    s->replaced_ns = deadline_in_ms(REPLACED_LOOK_MS);
    for (uint32_t i = 0; s->env.current && i < s->hub_count; i++) {
        struct hub_entry n = s->hub[i];
        if (s->env.current(s->env.arg, n.model))
            continue;
        s->replaced = true;
        if (n.users || !hub_idle(n.hub))
            continue;
        s->hub[i] = s->hub[--s->hub_count];
        *out = n;
        return true;
    }
    return false;
}

void service_close_replaced(struct service *s)
{
    for (struct hub_entry n;;) {
        lock(&s->lock);
        bool found = take_replaced(s, &n);
        unlock(&s->lock);
        if (!found)
            return;
        hub_free(n.hub);
        mem_free(n.base);
        service_model_done(s, n.model);
        log_info("a model that the configuration replaced is closed");
    }
}

double weight_of(const struct service_settings *set, const char *project)
{
    for (uint32_t i = 0; i < set->weight_count; i++)
        if (strcmp(set->weight[i].project, project) == 0)
            return set->weight[i].weight;
    return 1;
}

static double service_weight(struct service *s, const char *project)
{
    lock(&s->lock);
    double weight = weight_of(&s->set, project);
    unlock(&s->lock);
    return weight;
}

void service_models(struct service *s,
                    void (*fn)(void *arg, const char *model, const struct hub_stats *st), void *arg)
{
    for (uint32_t i = 0; i < HUBS_MAX; i++) {
        struct hub_stats st;
        lock(&s->lock);
        bool there = i < s->hub_count;
        struct hub_entry n = s->hub[i];
        if (there)
            hub_stats(n.hub, &st);
        unlock(&s->lock);
        if (!there)
            return;
        fn(arg, n.name, &st);
    }
}

/* ---- Online calls ---- */

/* An online call that is counted at its end. */
struct counted_call {
    struct online o;
    struct price price;
    uint32_t owner;
};

static void online_done(void *arg, struct answer *a)
{
    struct counted_call *c = arg;

    if (!c->o.counts)
        online_metrics(c->owner, a, &c->price);
    c->o.done(c->o.arg, a);
}

static void online_released(void *arg)
{
    struct counted_call *c = arg;

    if (c->o.released)
        c->o.released(c->o.arg);
    mem_free(c);
}

static struct counted_call *counted_call_new(const struct model *m, const struct online *o)
{
    struct counted_call *c = mem_alloc(sizeof *c);
    char name[MODEL_NAME_BYTES];

    model_short_name(o->model, name);
    c->o = *o;
    c->price = model_price(m, name);
    c->owner = job_owner(o->project, m->pattern);
    return c;
}

static int ask_hub(struct service *s, const struct hub_use *use, struct counted_call *call,
                   struct error *e)
{
    const struct online *o = &call->o;
    struct service_settings set;

    service_settings(s, &set);
    struct hub_call c = {
        .request = o->request,
        .project = o->project,
        .weight = service_weight(s, o->project),
        .adapters = model_adapts(use->model) ? &use->model->adapters : NULL,
        .deadline_ms = set.online_deadline_ms,
        .scripted = s->env.scripted,
        .script = o->script,
        .counts = o->counts,
        .owner = o->owner,
        .done = online_done,
        .released = online_released,
        .arg = call,
    };
    return hub_ask(use->hub, &c, e);
}

int service_ask(struct service *s, const struct online *o, struct error *e)
{
    struct hub_use use;

    if (service_hub(s, o->project, o->model, &use, e) < 0)
        return -1;
    int rc = model_takes_requests(use.model, e);
    if (rc == 0) {
        struct counted_call *c = counted_call_new(use.model, o);
        rc = ask_hub(s, &use, c, e);
        if (rc < 0)
            mem_free(c);
    }
    service_hub_done(s, &use);
    return rc;
}

void service_drop(struct service *s, const void *owner)
{
    lock(&s->lock);
    for (uint32_t i = 0; i < s->hub_count; i++)
        hub_drop(s->hub[i].hub, owner);
    unlock(&s->lock);
}

/* ---- Shares of jobs ---- */

const struct model *job_model(struct service *s, struct arena *a, const struct job *j,
                              struct error *e)
{
    return s->env.model(s->env.arg, j->project, arena_copy(a, j->model.p, j->model.len), e);
}

int job_judge(struct service *s, struct arena *a, const struct job *j, struct predictor **out,
              struct error *e)
{
    const struct model *m = job_model(s, a, j, e);

    bool alone = m && m->kind == MODEL_REMOTE_BATCH;

    service_model_done(s, m);
    *out = NULL;
    if (!m || alone)
        return m ? 0 : -1;
    *out = job_predictor(s, a, j, 0, e);
    return *out ? 0 : -1;
}

struct predictor *job_predictor(struct service *s, struct arena *a, const struct job *j,
                                uint64_t turn, struct error *e)
{
    struct hub_use use;

    if (service_hub(s, j->project, arena_copy(a, j->model.p, j->model.len), &use, e) < 0)
        return NULL;
    struct hub_share who = {
        .project = j->project,
        .weight = service_weight(s, j->project),
        .priority = j->priority,
        .age = (uint64_t)j->id + turn, /* ids are times in nanoseconds */
        .adapters = model_adapts(use.model) ? &use.model->adapters : NULL,
    };
    struct predictor *p = hub_join(use.hub, &who, e);
    service_hub_done(s, &use);
    if (!p || !s->env.scripted)
        return p;
    const char *deflt = j->test.len ? arena_copy(a, j->test.p, j->test.len) : NULL;
    return predictor_scripted(p, deflt, s->env.clock, e);
}
