/* The hub's own thread: opens the session, sends what the fair choice gives, and hands answers out. */
#include "predict/hub/hub.h"

#include <assert.h>
#include <time.h>

#include "base/thread.h"
#include "base/log.h"
#include "base/mem.h"
#include "predict/hub/hub_inner.h"

void hub_list_add(struct hub_list *l, struct hub_item *i)
{
    i->next = NULL;
    if (l->last)
        l->last->next = i;
    else
        l->first = i;
    l->last = i;
}

static uint32_t waiting(const struct hub *h)
{
    return h->queue.waiting[FAIR_BATCH] + h->queue.waiting[FAIR_ONLINE];
}

/* ---- The session ---- */

/* Runs the callbacks without the lock. */
static void call_back(struct hub *h, struct callbacks *t)
{
    if (!t->late && !t->ended)
        return;
    unlock(&h->lock);
    callbacks_run(t);
    lock(&h->lock);
}

static void session_open(struct hub *h)
{
    struct error e = { 0 }, why;
    struct callbacks t = { 0 };

    h->wanted = false;
    unlock(&h->lock);
    struct predictor *p = h->open(h->model, &h->env, &e);
    lock(&h->lock);
    h->session = p;
    h->still_ns = 0;
    h->stats = (struct predictor_stats){ 0 };
    h->stats_ns = 0;
    if (!p) {
        h->open_failures++;
        h->open_error = e;
        (void)error_set(&why, ERROR_UNAVAILABLE, "The model cannot be loaded: %s", e.msg);
        calls_fail(h, &why, &t);
    }
    cond_broadcast(&h->changed);
    call_back(h, &t);
}

/* Closes the session and ends all that is open: shares are broken, calls fail. The session reads its
 * requests until it is closed, so they are released after that. */
static void session_end(struct hub *h, const struct error *why)
{
    struct predictor *p = h->session;
    struct callbacks t = { 0 };

    h->session = NULL;
    h->held = (struct hub_list){ 0 };
    for (struct share *s = h->share; s; s = s->next)
        share_break(s, why);
    calls_fail(h, why, &t);
    h->in_flight = 0;
    h->online_in_flight = 0;
    while (h->pins)
        cond_wait(&h->changed, &h->lock);
    unlock(&h->lock);
    if (p)
        p->ops->close(p);
    callbacks_run(&t);
    lock(&h->lock);
    for (struct share *s = h->share; s; s = s->next)
        share_forget(s);
}

/* ---- A round: choose, send, take, hand out ---- */

/* Online calls go first, but take no more than half of the window while batch requests wait. In a window
 * of one both classes take turns. */
static enum fair_class class_next(const struct hub *h)
{
    uint32_t half = h->session->window / 2;

    if (!h->queue.waiting[FAIR_ONLINE])
        return FAIR_BATCH;
    if (!h->queue.waiting[FAIR_BATCH])
        return FAIR_ONLINE;
    if (half == 0)
        return h->online_last ? FAIR_BATCH : FAIR_ONLINE;
    return h->online_in_flight < half ? FAIR_ONLINE : FAIR_BATCH;
}

/* Ends a held request that is not sent any more. */
static void held_end(struct hub *h, struct hub_item *i, struct callbacks *t)
{
    h->in_flight--;
    item_move(i, ITEM_HELD, ITEM_DONE);
    if (i->share) {
        share_deliver(i->share, i);
        return;
    }
    h->online_in_flight--;
    call_deliver(h, i->call, t);
}

/* The held requests of a closing share, and of calls that were given up, are not sent any more. */
static void held_drop(struct hub *h, struct callbacks *t)
{
    struct hub_item *i = h->held.first;

    h->held = (struct hub_list){ 0 };
    while (i) {
        struct hub_item *next = i->next;
        if (i->share ? i->share->closing : i->call->expired)
            held_end(h, i, t);
        else
            hub_list_add(&h->held, i);
        i = next;
    }
}

/* Adds up to a burst of requests to the held ones, in the fair order. */
static void choose(struct hub *h, struct callbacks *t)
{
    if ((h->closing_count || h->call_count) && h->held.first)
        held_drop(h, t);
    for (struct share *s = h->share; h->closing_count && s; s = s->next)
        share_cancel(s);
    for (int n = 0; n < HUB_BURST && h->in_flight < h->session->window; n++) {
        enum fair_class class = class_next(h);
        struct fair_item *f = fair_take(&h->queue, class);
        if (!f)
            return;
        struct hub_item *i = (struct hub_item *)f;
        item_move(i, ITEM_WAITING, ITEM_HELD);
        h->in_flight++;
        h->online_last = class == FAIR_ONLINE;
        if (i->call) {
            h->online_in_flight++;
            i->call->source = NULL;
        } else {
            i->share->in_flight++;
        }
        hub_list_add(&h->held, i);
    }
}

/* Submits what is held until the session is full or broken: returns how many, or -1. */
static int64_t send_held(struct hub *h, struct predictor *p, struct error *e)
{
    struct error full;
    int64_t sent = 0;

    while (h->held.first) {
        struct hub_item *i = h->held.first;
        if (p->ops->adapt)
            p->ops->adapt(p, i->share ? i->share->adapters : i->call->adapters);
        if (p->ops->submit(p, i->request, i, &full) < 0) {
            if (full.code == ERROR_RESOURCE_EXHAUSTED)
                return sent;
            *e = full;
            return -1;
        }
        sent++;
        item_move(i, ITEM_HELD, ITEM_SENT);
        h->held.first = i->next;
        if (!i->next)
            h->held.last = NULL;
    }
    return sent;
}

/* Waits for the first answer, then takes all that are there. */
static int take_answers(struct predictor *p, uint32_t wait_ms, struct hub_list *answers,
                        struct error *e)
{
    for (int n = 0; n < HUB_BURST; n++) {
        struct answer a = { 0 };
        int rc = p->ops->wait(p, n ? 0 : wait_ms, &a, e);
        if (rc <= 0)
            return rc;
        struct hub_item *i = a.tag;
        item_move(i, ITEM_SENT, ITEM_DONE);
        i->answer = a;
        hub_list_add(answers, i);
    }
    return 0;
}

static uint32_t wait_ms(const struct hub *h)
{
    bool room = h->in_flight < h->session->window;
    uint32_t ms = room ? HUB_WAIT_ROOM_MS : HUB_WAIT_FULL_MS;

    if (room && waiting(h))
        return 0;
    if (h->deadline_ns == UINT64_MAX)
        return ms;
    uint64_t now = h->env.clock->mono_ns(h->env.clock);
    if (h->deadline_ns <= now)
        return 0;
    uint64_t left = (h->deadline_ns - now + NS_PER_MS - 1) / NS_PER_MS;
    return left < ms ? (uint32_t)left : ms;
}

static void hand_out(struct hub *h, struct hub_item *i, struct callbacks *t)
{
    while (i) {
        struct hub_item *next = i->next;
        assert(h->in_flight > 0 && h->online_in_flight <= h->in_flight);
        h->in_flight--;
        h->answered++;
        h->failed += i->answer.error.code != ERROR_OK;
        if (i->call) {
            h->online_in_flight--;
            call_deliver(h, i->call, t);
        } else {
            share_deliver(i->share, i);
        }
        i = next;
    }
}

/* Has the session computed nothing for still_ms while shares wait to be closed? By the system's clock,
 * because a test that moves the other clock would break the session. */
static bool is_still(struct hub *h, uint64_t now)
{
    uint64_t tokens = h->stats.computed_tokens + h->stats.generated_tokens;

    if (h->closing_count && h->still_ns && tokens == h->still_tokens &&
        h->answered == h->still_answers)
        return now - h->still_ns >= h->still_ms * NS_PER_MS;
    h->still_ns = now;
    h->still_tokens = tokens;
    h->still_answers = h->answered;
    return false;
}

static uint32_t list_count(const struct hub_list *l)
{
    uint32_t count = 0;

    for (const struct hub_item *i = l->first; i; i = i->next)
        count++;
    return count;
}

static void round_run(struct hub *h)
{
    struct predictor *p = h->session;
    struct clock *system = clock_system();
    struct predictor_stats stats = { 0 };
    struct hub_list answers = { 0 };
    struct callbacks t = { 0 };
    struct error e = { 0 };

    calls_look(h, &t); /* a call past its deadline is not sent */
    choose(h, &t);
    call_back(h, &t);
    uint32_t ms = wait_ms(h), open = h->in_flight;
    bool look = h->closing_count || system->mono_ns(system) >= h->stats_ns;
    unlock(&h->lock);
    int64_t sent = send_held(h, p, &e);
    int rc = sent < 0 ? -1 : take_answers(p, ms, &answers, &e);
    look = look || list_count(&answers) == open; /* the last look before the hub sleeps */
    if (look && p->ops->stats)
        p->ops->stats(p, &stats);
    lock(&h->lock);
    uint64_t now = system->mono_ns(system);
    h->submitted += sent > 0 ? (uint64_t)sent : 0;
    if (look) {
        h->stats = stats;
        h->stats_ns = now + HUB_STATS_EVERY_MS * NS_PER_MS;
    }
    hand_out(h, answers.first, &t);
    calls_look(h, &t);
    call_back(h, &t);
    if (rc == 0 && is_still(h, now)) {
        rc =
            error_set(&e, ERROR_UNAVAILABLE, "the session computed nothing for %u ms", h->still_ms);
    }
    if (rc < 0) {
        log_error("%s: %s", h->model->pattern, e.msg);
        session_end(h, &e);
    }
}

/* ---- The thread ---- */

/* Nobody wants what the session computes any more, and it has no way to cancel: closing it is quicker
 * than waiting. */
static bool abandoned(const struct hub *h)
{
    return !h->session->ops->cancel && h->closing_count && h->closing_count == h->share_count &&
           !h->call_count;
}

/* Waits until there is something to do. Delayed calls are due by a clock that a test may move. */
static void idle(struct hub *h)
{
    uint32_t longest_ms = h->delayed_count ? HUB_DELAYED_LOOK_MS : UINT32_MAX;
    struct callbacks t = { 0 };

    h->sleeping = !h->counted_count && !h->dropped;
    if (h->sleeping)
        (void)cond_wait_until(&h->work, &h->lock, deadline_in_ms(longest_ms));
    h->sleeping = false;
    h->still_ns = 0;
    calls_look(h, &t);
    call_back(h, &t);
}

static void *hub_main(void *arg)
{
    static const struct error stop = { ERROR_UNAVAILABLE, "The service is shutting down." };
    struct hub *h = arg;

    lock(&h->lock);
    while (!h->stopping) {
        if (!h->session && h->wanted) {
            session_open(h);
        } else if (!h->session || (!h->in_flight && !waiting(h))) {
            idle(h);
        } else if (abandoned(h)) {
            session_end(h, &stop);
        } else {
            round_run(h);
        }
    }
    session_end(h, &stop);
    cond_broadcast(&h->changed);
    unlock(&h->lock);
    return NULL;
}

/* ---- For the other files ---- */

int hub_start(struct hub *h, struct error *e)
{
    if (h->stopping)
        return error_set(e, ERROR_UNAVAILABLE, "the model is being shut down");
    if (!h->started && pthread_create(&h->thread, NULL, hub_main, h) != 0)
        return error_set(e, ERROR_UNAVAILABLE, "no thread can be started for the model");
    h->started = true;
    h->wanted = h->wanted || !h->session;
    hub_wake(h);
    return 0;
}

/* When a session opened and broke before this thread woke, it asks for another one. */
int hub_need_session(struct hub *h, struct error *e)
{
    uint64_t failures = h->open_failures;

    assert_may_wait("the wait for a model");
    while (!h->session) {
        if (h->open_failures != failures) {
            *e = h->open_error;
            return -1;
        }
        if (hub_start(h, e) < 0)
            return -1;
        cond_wait(&h->changed, &h->lock);
    }
    return 0;
}

void hub_wake(struct hub *h)
{
    if (h->sleeping)
        cond_signal(&h->work);
}

static uint64_t request_cost(const struct request *r)
{
    uint64_t output = r->generation.max_output_tokens;
    uint64_t candidates = r->generation.candidate_count ? r->generation.candidate_count : 1;

    return 1 + r->text.len / HUB_TEXT_BYTES_TOKEN +
           (output ? output : HUB_OUTPUT_TOKENS) * candidates;
}

void hub_put(struct hub *h, struct fair_source *s, struct hub_item *i)
{
    assert(!i->share != !i->call);
    item_move(i, ITEM_IDLE, ITEM_WAITING);
    i->fair.cost = request_cost(i->request);
    fair_put(&h->queue, s, &i->fair);
    hub_wake(h);
}

struct predictor *hub_pin(struct hub *h, const struct share *s)
{
    lock(&h->lock);
    struct predictor *p = s->broken ? NULL : h->session;
    h->pins += p != NULL;
    unlock(&h->lock);
    return p;
}

void hub_unpin(struct hub *h)
{
    lock(&h->lock);
    if (--h->pins == 0)
        cond_broadcast(&h->changed);
    unlock(&h->lock);
}

int hub_count(struct predictor *p, const struct request *r, uint32_t *tokens, struct error *e)
{
    if (p->ops->count_tokens)
        return p->ops->count_tokens(p, r, tokens, e);
    *tokens = 1 + (uint32_t)(r->text.len / HUB_TEXT_BYTES_TOKEN);
    return 0;
}

/* ---- For callers ---- */

struct hub *hub_new(const struct model *m, const struct predictor_env *env, predictor_open_fn open)
{
    struct hub *h = mem_alloc(sizeof *h);

    h->model = m;
    h->env = *env;
    h->open = open;
    h->still_ms = HUB_STILL_MS;
    h->deadline_ns = UINT64_MAX;
    lock_init(&h->lock);
    cond_init(&h->work);
    cond_init(&h->changed);
    return h;
}

void hub_free(struct hub *h)
{
    if (!h)
        return;
    lock(&h->lock);
    assert(!h->share);
    h->stopping = true;
    hub_wake(h);
    cond_broadcast(&h->changed);
    bool started = h->started, counts = h->counter_started;
    unlock(&h->lock);
    if (counts)
        thread_join(h->counter);
    if (started)
        thread_join(h->thread);
    mem_free(h->counted_project);
    script_memory_release(&h->scripts);
    fair_release(&h->queue);
    cond_destroy(&h->changed);
    cond_destroy(&h->work);
    lock_destroy(&h->lock);
    mem_free(h);
}

bool hub_idle(struct hub *h)
{
    lock(&h->lock);
    bool idle = !h->share && !h->call;
    unlock(&h->lock);
    return idle;
}

void hub_stats(struct hub *h, struct hub_stats *out)
{
    lock(&h->lock);
    *out = (struct hub_stats){
        .session = h->stats,
        .submitted = h->submitted,
        .answered = h->answered,
        .failed = h->failed,
        .in_flight = h->in_flight,
        .waiting = h->queue.waiting[FAIR_BATCH] + h->queue.waiting[FAIR_ONLINE],
        .shares = h->share_count,
        .loaded = h->session != NULL,
    };
    unlock(&h->lock);
}
