/* Online calls: they wait in the same queue as the shares' requests. A call that is late is answered
 * while the session still reads its request. */
#include "predict/hub/hub.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "base/thread.h"
#include "predict/hub/hub_inner.h"

/* Puts the call into the fair queue, or delays it by its script. */
static void call_begin(struct hub *h, struct call *c, uint64_t now)
{
    struct str script = { 0 };

    if (c->ask.scripted)
        script = script_of(c->ask.request, c->ask.script);
    if (script.len) {
        script_meet(&h->scripts, script, c->ask.request, &c->act);
        c->due_ns = script_due_ns(&c->act, now);
        c->delayed = c->due_ns > now || !script_passes(&c->act);
    }
    if (c->delayed) {
        h->delayed_count++;
        hub_wake(h);
        return;
    }
    c->source = fair_online(&h->queue, c->project, c->ask.weight);
    hub_put(h, c->source, &c->item);
}

/* ---- Counting ---- */

static void call_free(struct call *c)
{
    mem_free(c->project);
    mem_free(c->adapters);
    mem_free(c);
}

/* The oldest call that waits to be counted; of another project than the last, when there is one. */
static struct call *count_next(const struct hub *h)
{
    struct call *other = NULL, *oldest = NULL;

    for (struct call *c = h->call; c; c = c->next) { /* the newest first */
        if (c->counting != COUNT_WAITS)
            continue;
        oldest = c;
        if (!h->counted_project || strcmp(c->project, h->counted_project) != 0)
            other = c;
    }
    return other ? other : oldest;
}

/* Under the lock, but while the session counts. A session that ends meanwhile waits for the pin, and
 * then for nothing of the call. */
static void count_one(struct hub *h, struct call *c)
{
    struct predictor *p = h->session;
    struct answer a = { 0 };

    assert(c->counting == COUNT_WAITS && p);
    c->counting = COUNT_RUNS;
    mem_free(h->counted_project);
    h->counted_project = mem_strdup(c->project);
    h->pins++;
    unlock(&h->lock);
    if (hub_count(p, c->ask.request, &a.usage.prompt_tokens, &a.error) < 0)
        assert(a.error.code != ERROR_OK);
    lock(&h->lock);
    if (!c->ended) {
        c->item.answer = a;
        c->counting = COUNT_DONE;
        h->counted_count++;
        hub_wake(h);
    }
    if (--h->pins == 0)
        cond_broadcast(&h->changed);
}

static void *counter_main(void *arg)
{
    struct hub *h = arg;

    lock(&h->lock);
    while (!h->stopping) {
        struct call *c = h->session ? count_next(h) : NULL;
        if (c)
            count_one(h, c);
        else
            cond_wait(&h->changed, &h->lock);
    }
    unlock(&h->lock);
    return NULL;
}

static int counter_start(struct hub *h, struct error *e)
{
    if (!h->counter_started && pthread_create(&h->counter, NULL, counter_main, h) != 0)
        return error_set(e, ERROR_UNAVAILABLE, "no thread can be started to count tokens");
    h->counter_started = true;
    return 0;
}

/* ---- A call's beginning ---- */

static uint32_t calls_of(const struct hub *h, const char *project)
{
    uint32_t count = 0;

    for (const struct call *c = h->call; c; c = c->next)
        count += strcmp(c->project, project) == 0;
    return count;
}

/* May another call begin? Counting one project's calls is worth it only when there are many. */
static int check_room(const struct hub *h, const char *project, struct error *e)
{
    if (h->call_count == HUB_CALLS_MAX)
        return error_set(e, ERROR_RESOURCE_EXHAUSTED, "%d calls are open already; try again later",
                         HUB_CALLS_MAX);
    if (h->call_count >= HUB_CALLS_PROJECT_MAX && calls_of(h, project) >= HUB_CALLS_PROJECT_MAX)
        return error_set(e, ERROR_RESOURCE_EXHAUSTED,
                         "%d calls of this project are open already; try again later",
                         HUB_CALLS_PROJECT_MAX);
    return 0;
}

static void call_link(struct hub *h, struct call *c)
{
    c->next = h->call;
    c->at = &h->call;
    if (c->next)
        c->next->at = &c->next;
    h->call = c;
    h->call_count++;
    if (c->deadline_ns < h->deadline_ns)
        h->deadline_ns = c->deadline_ns;
}

int hub_ask(struct hub *h, const struct hub_call *ask, struct error *e)
{
    uint64_t now = h->env.clock->mono_ns(h->env.clock);
    struct call *c = mem_alloc(sizeof *c);

    c->ask = *ask;
    c->item.request = ask->request;
    c->item.call = c;
    c->deadline_ns = ask->deadline_ms ? now + ask->deadline_ms * NS_PER_MS : UINT64_MAX;
    c->project = mem_strdup(ask->project);
    c->adapters = adapters_copy(ask->adapters);
    lock(&h->lock);
    int rc = check_room(h, c->project, e);
    if (rc == 0)
        rc = hub_start(h, e);
    if (rc == 0 && ask->counts)
        rc = counter_start(h, e);
    if (rc == 0)
        call_link(h, c);
    if (rc == 0 && ask->counts) {
        c->counting = COUNT_WAITS;
        cond_broadcast(&h->changed);
    } else if (rc == 0) {
        call_begin(h, c, now);
    }
    unlock(&h->lock);
    if (rc < 0) {
        call_free(c);
    }
    return rc;
}

void hub_drop(struct hub *h, const void *owner)
{
    lock(&h->lock);
    for (struct call *c = h->call; c; c = c->next) {
        if (c->ask.owner != owner)
            continue;
        c->dropped = h->dropped = true;
        hub_wake(h);
    }
    unlock(&h->lock);
}

/* ---- A call's end ---- */

/* Moves the call from the hub's list to the round's callbacks. */
static void call_end(struct hub *h, struct call *c, struct callbacks *t)
{
    *c->at = c->next;
    if (c->next)
        c->next->at = c->at;
    assert(h->call_count > 0 && !c->delayed && !c->source);
    h->call_count--;
    c->ended = true;
    c->round = t->ended;
    t->ended = c;
}

void call_deliver(struct hub *h, struct call *c, struct callbacks *t)
{
    call_end(h, c, t);
}

/* Ends the call's waiting. False: it does not wait, the session has it. */
static bool call_unwait(struct hub *h, struct call *c)
{
    if (c->delayed) {
        h->delayed_count--;
    } else if (c->counting == COUNT_WAITS) {
        c->counting = COUNT_NONE;
    } else if (c->source) {
        fair_remove(&h->queue, c->source, &c->item.fair);
        item_move(&c->item, ITEM_WAITING, ITEM_IDLE);
    } else {
        return false;
    }
    c->delayed = false;
    c->source = NULL;
    return true;
}

/* Answers the call at once; when the session or the counter reads its request, it ends later. */
static void call_give_up(struct hub *h, struct call *c, struct callbacks *t)
{
    struct answer late = { 0 };

    if (c->dropped)
        (void)error_set(&late.error, ERROR_CANCELLED, "The client has left.");
    else
        (void)error_set(&late.error, ERROR_DEADLINE_EXCEEDED,
                        "The model did not answer within %u ms.", c->ask.deadline_ms);
    if (call_unwait(h, c)) {
        c->item.answer = late;
        call_end(h, c, t);
        return;
    }
    c->late = late.error;
    c->expired = true; /* the session still reads its request */
    c->round = t->late;
    t->late = c;
    if (c->item.state == ITEM_SENT && h->session->ops->cancel)
        h->session->ops->cancel(h->session, &c->item);
}

static void calls_expire(struct hub *h, struct callbacks *t)
{
    uint64_t first = UINT64_MAX, now = UINT64_MAX;

    if (h->deadline_ns != UINT64_MAX)
        now = h->env.clock->mono_ns(h->env.clock);
    if (!h->dropped && (now == UINT64_MAX || now < h->deadline_ns))
        return;
    for (struct call *c = h->call, *next; c; c = next) {
        next = c->next;
        if (c->expired || c->counting == COUNT_DONE)
            continue;
        if (c->dropped || (now != UINT64_MAX && c->deadline_ns <= now))
            call_give_up(h, c, t);
        else if (c->deadline_ns < first)
            first = c->deadline_ns;
    }
    h->deadline_ns = first;
    h->dropped = false;
}

static void call_act(struct hub *h, struct call *c, struct callbacks *t)
{
    (void)call_unwait(h, c);
    if (script_passes(&c->act)) {
        c->source = fair_online(&h->queue, c->project, c->ask.weight);
        hub_put(h, c->source, &c->item);
        return;
    }
    const char *version = h->session ? h->session->version : h->model->pattern;
    script_answer(&c->act, c->ask.request, version, h->env.clock, &c->item.answer);
    call_end(h, c, t);
}

static void calls_due(struct hub *h, struct callbacks *t)
{
    uint64_t now = h->env.clock->mono_ns(h->env.clock);

    if (!h->delayed_count)
        return;
    for (struct call *c = h->call, *next; c; c = next) {
        next = c->next;
        if (c->delayed && c->due_ns <= now)
            call_act(h, c, t);
    }
}

static void calls_counted(struct hub *h, struct callbacks *t)
{
    for (struct call *c = h->call, *next; h->counted_count && c; c = next) {
        next = c->next;
        if (c->counting != COUNT_DONE)
            continue;
        h->counted_count--;
        call_end(h, c, t);
    }
}

void calls_look(struct hub *h, struct callbacks *t)
{
    calls_due(h, t);
    calls_counted(h, t);
    calls_expire(h, t);
}

void calls_fail(struct hub *h, const struct error *why, struct callbacks *t)
{
    while (h->call) {
        struct call *c = h->call;
        (void)call_unwait(h, c);
        c->item.answer = (struct answer){ .error = *why };
        c->item.answer.error.code = ERROR_UNAVAILABLE;
        call_end(h, c, t);
    }
    h->counted_count = 0;
    h->deadline_ns = UINT64_MAX;
}

void callbacks_run(struct callbacks *t)
{
    for (struct call *c = t->late; c; c = c->round) {
        struct answer late = { .error = c->late };
        c->ask.done(c->ask.arg, &late);
    }
    for (struct call *c = t->ended, *next; c; c = next) {
        next = c->round;
        if (c->expired)
            answer_release(&c->item.answer);
        else
            c->ask.done(c->ask.arg, &c->item.answer);
        if (c->ask.released)
            c->ask.released(c->ask.arg);
        call_free(c);
    }
    *t = (struct callbacks){ 0 };
}
