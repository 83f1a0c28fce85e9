/* Online calls: they wait in the same queue as the shares' requests. A call that is late is answered
 * while the session still reads its request. */
#include "predict/hub/hub.h"

#include <assert.h>

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
        c->project = mem_strdup(c->ask.project);
        h->delayed_count++;
        hub_wake(h);
        return;
    }
    c->source = fair_online(&h->queue, c->ask.project, c->ask.weight);
    hub_put(h, c->source, &c->item);
}

int hub_ask(struct hub *h, const struct hub_call *ask, struct error *e)
{
    uint64_t now = h->env.clock->mono_ns(h->env.clock);
    struct call *c = mem_alloc(sizeof *c);
    int rc = -1;

    c->ask = *ask;
    c->item.request = ask->request;
    c->item.call = c;
    c->deadline_ns = ask->deadline_ms ? now + ask->deadline_ms * NS_PER_MS : UINT64_MAX;
    lock(&h->lock);
    if (h->call_count == HUB_CALLS_MAX)
        (void)error_set(e, ERROR_RESOURCE_EXHAUSTED, "%d calls are open already; try again later",
                        HUB_CALLS_MAX);
    else
        rc = hub_start(h, e);
    if (rc == 0) {
        c->next = h->call;
        c->at = &h->call;
        if (c->next)
            c->next->at = &c->next;
        h->call = c;
        h->call_count++;
        if (c->deadline_ns < h->deadline_ns)
            h->deadline_ns = c->deadline_ns;
        call_begin(h, c, now);
    }
    unlock(&h->lock);
    if (rc < 0)
        mem_free(c);
    return rc;
}

/* Moves the call from the hub's list to the round's callbacks. */
static void call_end(struct hub *h, struct call *c, struct callbacks *t)
{
    *c->at = c->next;
    if (c->next)
        c->next->at = c->at;
    assert(h->call_count > 0 && !c->delayed && !c->source);
    h->call_count--;
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

static void call_late(struct hub *h, struct call *c, struct callbacks *t)
{
    struct answer late = { 0 };

    (void)error_set(&late.error, ERROR_DEADLINE_EXCEEDED, "The model did not answer within %u ms.",
                    c->ask.deadline_ms);
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

void calls_expire(struct hub *h, struct callbacks *t)
{
    uint64_t first = UINT64_MAX, now;

    if (h->deadline_ns == UINT64_MAX)
        return;
    now = h->env.clock->mono_ns(h->env.clock);
    if (now < h->deadline_ns)
        return;
    for (struct call *c = h->call, *next; c; c = next) {
        next = c->next;
        if (c->expired)
            continue;
        if (c->deadline_ns <= now)
            call_late(h, c, t);
        else if (c->deadline_ns < first)
            first = c->deadline_ns;
    }
    h->deadline_ns = first;
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

void calls_due(struct hub *h, struct callbacks *t)
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

void calls_fail(struct hub *h, const struct error *why, struct callbacks *t)
{
    while (h->call) {
        struct call *c = h->call;
        (void)call_unwait(h, c);
        c->item.answer = (struct answer){ .error = *why };
        c->item.answer.error.code = ERROR_UNAVAILABLE;
        call_end(h, c, t);
    }
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
        mem_free(c->project);
        mem_free(c);
    }
    *t = (struct callbacks){ 0 };
}
