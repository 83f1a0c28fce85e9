#include "work.h"

#include <xxhash.h>

#include "base/clock.h"
#include "base/mem.h"

#define BYTES_PER_TOKEN 4

void work_init(struct server *s)
{
    if (s->options.prefix_cache > PREFIXES_MAX)
        s->options.prefix_cache = PREFIXES_MAX;
    s->work.prefix = mem_array(s->options.prefix_cache + 1, sizeof *s->work.prefix);
}

void work_release(struct server *s)
{
    mem_free(s->work.prefix);
    s->work.prefix = NULL;
}

static struct reply reply_of(struct server *s, struct conn *c)
{
    return (struct reply){ .options = &s->options, .call = &c->call, .number = ++s->answers };
}

/* ---- Refused at once ---- */

static void refuse(struct server *s, struct conn *c, int status, uint64_t retry_ms)
{
    struct reply r = reply_of(s, c);

    buf_clear(&s->body);
    reply_refuse(&r, status, retry_ms, &s->body, &c->out);
    conn_replied(s, c, (struct spoiled){ AFTER_KEEP, 0 });
}

/* Counts the request; false when this window has had its share, with the time until the next. */
static bool within_rate(struct server *s, uint64_t *retry_ms)
{
    struct work *w = &s->work;

    if (s->options.rpm == 0)
        return true;
    if (s->now_ns >= w->window_end_ns) {
        w->window_end_ns = s->now_ns + s->options.window_ms * NS_PER_MS;
        w->window_count = 0;
    }
    *retry_ms = (w->window_end_ns - s->now_ns + NS_PER_MS - 1) / NS_PER_MS;
    if (w->window_count == s->options.rpm)
        return false;
    if (++w->window_count > s->stats.window_max)
        s->stats.window_max = w->window_count;
    return true;
}

/* ---- The time it takes ---- */

/* Remembers the system message; true when it was remembered already. */
static bool prefix_hit(struct server *s, struct call *call)
{
    struct work *w = &s->work;
    uint64_t size = s->options.prefix_cache;
    struct prompt p;

    if (size == 0)
        return false;
    prompt_read(call, &p);
    if (p.system.len == 0)
        return false;
    uint64_t hash = XXH3_64bits(p.system.p, p.system.len);
    for (uint64_t i = 0; i < size && i < w->prefix_count; i++) {
        if (w->prefix[i] == hash) {
            call->cached_tokens = p.system.len / BYTES_PER_TOKEN;
            s->stats.prefix_hits++;
            s->stats.cached_tokens += call->cached_tokens;
            return true;
        }
    }
    w->prefix[w->prefix_count++ % size] = hash;
    return false;
}

static uint64_t work_ns(struct server *s, struct call *call)
{
    const struct options *o = &s->options;
    uint64_t ns = o->latency_ms * NS_PER_MS + o->tokens * o->token_us * (NS_PER_MS / 1000);

    if (o->jitter_ms)
        ns += chance_of(call->hash ^ o->seed, call->attempt) % (o->jitter_ms * NS_PER_MS + 1);
    if (prefix_hit(s, call)) {
        uint64_t less = o->prefill_ms * NS_PER_MS;
        ns = ns > less ? ns - less : 0;
    }
    return ns;
}

/* ---- Slots ---- */

static void start(struct server *s, struct conn *c)
{
    uint64_t ns = work_ns(s, &c->call);

    c->state = CONN_WORKING;
    c->has_slot = true;
    stats_busy(&s->stats, ++s->work.active, s->now_ns);
    if (ns == 0)
        work_done(s, c);
    else
        timers_set(&s->timers, &c->timer, s->now_ns + ns);
}

static void enqueue(struct server *s, struct conn *c)
{
    struct work *w = &s->work;

    c->state = CONN_QUEUED;
    c->prev = w->last;
    c->next = NULL;
    *(w->last ? &w->last->next : &w->first) = c;
    w->last = c;
    if (++w->queued > s->stats.queue_max)
        s->stats.queue_max = w->queued;
}

static void dequeue(struct server *s, struct conn *c)
{
    struct work *w = &s->work;

    *(c->prev ? &c->prev->next : &w->first) = c->next;
    *(c->next ? &c->next->prev : &w->last) = c->prev;
    w->queued--;
}

static bool slot_is_free(const struct server *s)
{
    return s->options.slots == 0 || s->work.active < s->options.slots;
}

bool work_next(struct server *s)
{
    struct conn *c = s->work.first;

    if (!c || !slot_is_free(s))
        return false;
    dequeue(s, c);
    start(s, c);
    conn_advance(s, c);
    return true;
}

/* ---- In and out ---- */

static void reply(struct server *s, struct conn *c)
{
    struct reply r = reply_of(s, c);

    if (c->call.fault != FAULT_NONE) {
        s->stats.fault[c->call.fault]++;
        conn_replied(s, c, spoil_write(&r, &s->body, &c->out));
        return;
    }
    s->stats.answered++;
    buf_clear(&s->body);
    reply_answer(&r, &s->body);
    http_head_write(&c->out, 200, "application/json", s->body.len, "");
    buf_add_str(&c->out, buf_str(&s->body));
    conn_replied(s, c, (struct spoiled){ AFTER_KEEP, 0 });
}

void work_arrive(struct server *s, struct conn *c)
{
    struct call *call = &c->call;
    uint64_t retry_ms = 0;

    if (s->stats.requests++ == 0)
        stats_busy(&s->stats, s->work.active, s->now_ns);
    call->hash = XXH3_64bits(call->body.p, call->body.len);
    call->fault = faults_meet(&s->faults, call->hash, &call->attempt);
    if (call->attempt > s->stats.attempts_max)
        s->stats.attempts_max = call->attempt;
    if (!within_rate(s, &retry_ms)) {
        s->stats.limited++;
        refuse(s, c, 429, retry_ms);
    } else if (!fault_works(call->fault)) {
        reply(s, c);
    } else if (slot_is_free(s) && s->work.queued == 0) {
        start(s, c);
    } else if (s->work.queued < s->options.queue) {
        enqueue(s, c);
    } else {
        s->stats.refused++;
        refuse(s, c, (int)s->options.busy_status, s->options.retry_after_ms);
    }
}

static void give_slot_back(struct server *s, struct conn *c)
{
    c->has_slot = false;
    stats_busy(&s->stats, --s->work.active, s->now_ns);
}

void work_done(struct server *s, struct conn *c)
{
    reply(s, c);
    bool goes_on =
        c->state == CONN_HANGING || c->state == CONN_DRIPPING || c->state == CONN_ENDLESS;
    if (!goes_on)
        give_slot_back(s, c);
}

void work_leave(struct server *s, struct conn *c)
{
    if (c->state == CONN_QUEUED || c->state == CONN_WORKING)
        s->stats.abandoned++;
    if (c->state == CONN_QUEUED)
        dequeue(s, c);
    if (c->has_slot)
        give_slot_back(s, c);
}
