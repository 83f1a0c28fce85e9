/* A share: the predictor that one job's pipeline owns. Its requests lie in the pipeline's memory, so a
 * share closes only when the session reads none of them any more. */
#include "predict/hub/hub.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/thread.h"
#include "base/mem.h"
#include "predict/hub/hub_inner.h"

static const struct predictor_ops share_ops;

static struct share *share_of(struct predictor *p)
{
    return (struct share *)p;
}

/* ---- Opening ---- */

static struct share *share_new(struct hub *h, const struct hub_share *who)
{
    struct share *s = mem_alloc(sizeof *s);
    uint32_t window = h->session->window;

    s->hub = h;
    s->ops = share_ops;
    if (!h->session->ops->count_tokens)
        s->ops.count_tokens = NULL;
    s->base.ops = &s->ops;
    s->base.window = who->window && who->window < window ? who->window : window;
    s->base.attempts = h->session->attempts;
    (void)snprintf(s->base.version, sizeof s->base.version, "%s", h->session->version);
    s->adapters = adapters_copy(who->adapters);
    s->item = mem_array(s->base.window, sizeof *s->item);
    s->source.priority = who->priority;
    s->source.age = who->age;
    cond_init(&s->wake);
    return s;
}

struct predictor *hub_join(struct hub *h, const struct hub_share *who, struct error *e)
{
    struct share *s = NULL;

    lock(&h->lock);
    if (hub_need_session(h, e) == 0) {
        s = share_new(h, who);
        fair_join(&h->queue, &s->source, who->project, who->weight);
        s->next = h->share;
        h->share = s;
        h->share_count++;
    }
    unlock(&h->lock);
    return s ? &s->base : NULL;
}

/* ---- The hub's side, under its lock ---- */

void share_deliver(struct share *s, struct hub_item *i)
{
    assert(s->in_flight > 0);
    s->in_flight--;
    assert(i->state == ITEM_DONE);
    if (s->closing)
        answer_release(&i->answer); /* nobody takes it */
    else
        hub_list_add(&s->ready, i);
    if (!s->closing || s->in_flight == 0)
        cond_signal(&s->wake);
}

void share_break(struct share *s, const struct error *why)
{
    (void)fair_drop(&s->hub->queue, &s->source);
    s->broken = true;
    s->why = *why;
    cond_signal(&s->wake);
}

void share_forget(struct share *s)
{
    s->in_flight = 0;
    cond_signal(&s->wake);
}

/* On the hub's thread, as every call to the session. */
void share_cancel(struct share *s)
{
    struct predictor *p = s->hub->session;

    if (!s->closing || s->cancelled || !p->ops->cancel)
        return;
    s->cancelled = true;
    for (uint32_t i = 0; i < s->used; i++)
        if (s->item[i].state == ITEM_SENT)
            p->ops->cancel(p, &s->item[i]);
}

/* ---- In ---- */

static struct hub_item *item_new(struct share *s)
{
    struct hub_item *i = s->free;

    if (i)
        s->free = i->next;
    else
        i = &s->item[s->used++];
    s->open++;
    assert(i->state == ITEM_IDLE && s->used <= s->base.window);
    return i;
}

static void item_free(struct share *s, struct hub_item *i)
{
    assert(s->open > 0 && (i->state == ITEM_IDLE || i->state == ITEM_DONE));
    i->state = ITEM_IDLE;
    i->next = s->free;
    s->free = i;
    s->open--;
}

/* Answers a request that the session has not seen. */
static void cancel(struct share *s, struct hub_item *i)
{
    assert(i->state == ITEM_IDLE || i->state == ITEM_WAITING);
    i->state = ITEM_DONE;
    i->answer = (struct answer){ .tag = i->tag };
    (void)error_set(&i->answer.error, ERROR_CANCELLED, "The run was stopped before this request.");
    hub_list_add(&s->ready, i);
}

static int share_submit(struct predictor *p, const struct request *r, void *tag, struct error *e)
{
    struct share *s = share_of(p);
    int rc = 0;

    if (s->open == s->base.window)
        return error_set(e, ERROR_RESOURCE_EXHAUSTED, "all %u slots of the share are taken",
                         s->base.window);
    struct hub_item *i = item_new(s);
    i->request = r;
    i->tag = tag;
    i->share = s;
    lock(&s->hub->lock);
    if (s->broken) {
        *e = s->why;
        if (e->code == ERROR_RESOURCE_EXHAUSTED)
            e->code = ERROR_UNAVAILABLE; /* the other would mean "full" */
        rc = -1;
    } else if (s->draining) {
        cancel(s, i);
    } else {
        hub_put(s->hub, &s->source, i);
    }
    unlock(&s->hub->lock);
    if (rc < 0)
        item_free(s, i);
    return rc;
}

static void share_drain(struct predictor *p)
{
    struct share *s = share_of(p);

    s->draining = true;
    lock(&s->hub->lock);
    struct fair_item *f = fair_drop(&s->hub->queue, &s->source);
    while (f) {
        struct fair_item *next = f->next;
        cancel(s, (struct hub_item *)f);
        f = next;
    }
    unlock(&s->hub->lock);
}

/* ---- Out ---- */

/* Takes all that is ready at once, so that the next answers need no lock. */
static int take_ready(struct share *s, uint32_t timeout_ms, struct error *e)
{
    uint64_t deadline = timeout_ms ? deadline_in_ms(timeout_ms) : 0;
    bool late = !timeout_ms;
    int rc = 0;

    lock(&s->hub->lock);
    while (!late && !s->ready.first && !s->broken)
        late = !cond_wait_until(&s->wake, &s->hub->lock, deadline);
    s->taken = s->ready.first;
    s->ready = (struct hub_list){ 0 };
    if (!s->taken && s->broken) {
        *e = s->why;
        rc = -1;
    }
    unlock(&s->hub->lock);
    return rc;
}

static void count(struct predictor_stats *st, const struct answer *a)
{
    const struct usage *u = &a->usage;
    uint64_t generated = (uint64_t)u->candidate_tokens + u->thought_tokens;

    st->prompt_tokens += u->prompt_tokens;
    st->reused_tokens += u->cached_tokens;
    st->generated_tokens += generated;
    st->forced_tokens += a->forced_tokens;
    st->computed_tokens += u->prompt_tokens - u->cached_tokens + generated;
}

static int share_wait(struct predictor *p, uint32_t timeout_ms, struct answer *out, struct error *e)
{
    struct share *s = share_of(p);

    if (!s->taken && take_ready(s, timeout_ms, e) < 0)
        return -1;
    if (!s->taken)
        return 0;
    struct hub_item *i = s->taken;
    s->taken = i->next;
    *out = i->answer; /* the caller's from now on: an item that is used again has none */
    i->answer = (struct answer){ 0 };
    out->tag = i->tag;
    count(&s->stats, out);
    item_free(s, i);
    return 1;
}

/* ---- The rest ---- */

/* A broken session cannot be asked; a request that it would refuse fails when it is submitted. */
static bool share_accepts(struct predictor *p, const struct request *r, struct violation *why)
{
    struct share *s = share_of(p);
    struct predictor *session = hub_pin(s->hub, s);

    if (!session)
        return true;
    bool ok = !session->ops->accepts || session->ops->accepts(session, r, why);
    hub_unpin(s->hub);
    return ok;
}

static int share_count_tokens(struct predictor *p, const struct request *r, uint32_t *tokens,
                              struct error *e)
{
    struct share *s = share_of(p);
    struct predictor *session = hub_pin(s->hub, s);

    if (!session)
        return error_set(e, ERROR_UNAVAILABLE, "the model's session broke");
    int rc = hub_count(session, r, tokens, e);
    hub_unpin(s->hub);
    return rc;
}

/* Tokens are this share's; sequences and memory are the session's, which all shares use. */
static void share_stats(struct predictor *p, struct predictor_stats *out)
{
    struct share *s = share_of(p);

    *out = s->stats;
    lock(&s->hub->lock);
    const struct predictor_stats *all = &s->hub->stats;
    out->sequences = all->sequences;
    out->sequences_max = all->sequences_max;
    out->memory_bytes = all->memory_bytes;
    memcpy(out->note, all->note, sizeof out->note);
    unlock(&s->hub->lock);
}

static void leave(struct share *s)
{
    struct hub *h = s->hub;
    struct share **at = &h->share;

    (void)fair_drop(&h->queue, &s->source);
    s->closing = true;
    h->closing_count++;
    while (s->in_flight)
        cond_wait(&s->wake, &h->lock);
    h->closing_count--;
    assert(s->source.waiting == 0);
    fair_leave(&h->queue, &s->source);
    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    h->share_count--;
}

static void answers_drop(struct hub_item *i)
{
    for (; i; i = i->next)
        answer_release(&i->answer);
}

static void share_close(struct predictor *p)
{
    struct share *s = share_of(p);

    if (!s)
        return;
    lock(&s->hub->lock);
    leave(s);
    unlock(&s->hub->lock);
    answers_drop(s->taken);
    answers_drop(s->ready.first);
    cond_destroy(&s->wake);
    mem_free(s->item);
    mem_free(s->adapters);
    mem_free(s);
}

static const struct predictor_ops share_ops = {
    .name = "share",
    .accepts = share_accepts,
    .submit = share_submit,
    .wait = share_wait,
    .drain = share_drain,
    .count_tokens = share_count_tokens,
    .stats = share_stats,
    .close = share_close,
};
