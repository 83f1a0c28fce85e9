#include "predict/upstream/server.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/thread.h"
#include "predict/upstream/server_inner.h"

#define LEARN 0.05        /* how much one answer changes the estimate */
#define PROMPT_WORK 0.125 /* work of a prompt token; that of a generated one is 1 */
/* A server that has never answered is given up after this time, or patience_ms when that is shorter. */
#define NEVER_ANSWERED_MS 30000
/* A member that asked within WANTED_NS still wants a slot; one with nothing in flight asks again after
 * LOOK_NS. */
#define WANTED_NS (100 * NS_PER_MS)
#define LOOK_NS (20 * NS_PER_MS)

/* ---- Members and slots ---- */

const struct http_host *server_http(const struct upstream_server *s)
{
    return &s->http;
}

struct credential *server_credential(const struct upstream_server *s)
{
    return s->credential;
}

/* An address where nobody has ever answered is a mistake rather than an outage. */
bool server_given_up(const struct upstream_server *s, uint64_t now)
{
    uint32_t ms = s->upstream->patience_ms;

    if (!s->reached && ms > NEVER_ANSWERED_MS)
        ms = NEVER_ANSWERED_MS;
    return s->breaker.state != BREAKER_CLOSED && s->breaker.failing_ns &&
           now - s->breaker.failing_ns >= ms * NS_PER_MS;
}

static double tokens_estimate(const struct upstream_server *s, size_t bytes)
{
    return (double)bytes / s->bytes_per_token + s->output_tokens;
}

static bool wants(const struct server_member *m, uint64_t now)
{
    return m->wanted_ns && now - m->wanted_ns < WANTED_NS;
}

/* Slots, with those that stand in for late requests; *next_ns is lowered to when there is one more. */
static uint32_t slots(struct upstream_server *s, uint64_t now, uint64_t *next_ns)
{
    uint32_t limit = limit_now(&s->limit), excused = late_excused(&s->late, limit, now, next_ns);
    uint32_t most = server_slots_max(s);

    return limit + excused < most ? limit + excused : most;
}

/* Has m its share of the slots while another member wants one and has less? m itself asks, so it
 * counts as one that wants. */
static bool has_its_share(const struct upstream_server *s, const struct server_member *m,
                          uint64_t now)
{
    uint32_t members = 0, limit = server_limit_of(s);

    if (!s->member->next)
        return false;
    for (const struct server_member *o = s->member; o; o = o->next)
        members += o->in_flight || wants(o, now);
    uint32_t share = members && members < limit ? limit / members : 1;
    for (const struct server_member *o = s->member; o; o = o->next)
        if (o != m && m->in_flight >= share && o->in_flight < share && wants(o, now))
            return true;
    return false;
}

/* A member with nothing in flight is not woken when a slot becomes free, so it asks again soon. */
static bool is_full(struct upstream_server *s, struct server_member *m, uint64_t now,
                    uint64_t *ready_ns)
{
    uint64_t next_ns = UINT64_MAX;

    if (m)
        m->wanted_ns = now;
    if (s->in_flight < slots(s, now, &next_ns) && !(m && has_its_share(s, m, now)))
        return false;
    *ready_ns = next_ns;
    if (m && m->in_flight == 0 && now + LOOK_NS < next_ns)
        *ready_ns = now + LOOK_NS;
    return true;
}

/* A limit a minute holds the request back. One that is shared says so with the next renewal. */
static bool is_held(struct upstream_server *s, const struct server_member *m, double tokens,
                    uint64_t now, uint64_t *ready_ns)
{
    const double n[] = { [SHARE_REQUESTS] = 1, [SHARE_TOKENS] = tokens };
    struct bucket *bucket[] = { [SHARE_REQUESTS] = &s->requests, [SHARE_TOKENS] = &s->tokens };

    for (int k = SHARE_REQUESTS; k <= SHARE_TOKENS; k++) {
        bool none = server_is_shared(s) && s->share.limit[k] > 0 && !(s->share.part[k] > 0);
        if (!none && bucket_ready(bucket[k], n[k], now, ready_ns))
            continue;
        if (none)
            *ready_ns = now + SHARE_LOOK_MS * NS_PER_MS;
        if (m)
            share_held(&s->share, (enum share_kind)k);
        return true;
    }
    return false;
}

static enum server_go ask(struct upstream_server *s, struct server_member *m, size_t bytes,
                          uint64_t *ready_ns)
{
    uint64_t now = server_now_ns(s);

    if (m)
        share_asked(&s->share, now);
    if (!breaker_ready(&s->breaker, now, ready_ns))
        return server_given_up(s, now) ? SERVER_GIVEN_UP : SERVER_BROKEN;
    if (server_has_lapsed(s)) {
        *ready_ns = now + SHARE_LOOK_MS * NS_PER_MS;
        return SERVER_PACED;
    }
    if (is_full(s, m, now, ready_ns)) {
        if (m)
            share_held(&s->share, SHARE_SLOTS);
        return SERVER_FULL;
    }
    if (now < s->pause.until_ns) {
        *ready_ns = s->pause.until_ns;
        return SERVER_PACED;
    }
    double tokens = tokens_estimate(s, bytes);
    if (is_held(s, m, tokens, now, ready_ns) ||
        !quota_ready(&s->quota[QUOTA_REQUESTS], 1, now, ready_ns) ||
        !quota_ready(&s->quota[QUOTA_TOKENS], tokens, now, ready_ns))
        return SERVER_PACED;
    return SERVER_GO;
}

enum server_go server_ask(struct upstream_server *s, struct server_member *m, size_t bytes,
                          uint64_t *ready_ns)
{
    *ready_ns = UINT64_MAX;
    lock(&s->lock);
    enum server_go go = ask(s, m, bytes, ready_ns);
    bool lapsed = server_has_lapsed(s);
    unlock(&s->lock);
    if (m && lapsed && go == SERVER_PACED)
        s->all->wanted(s->all->wanted_arg);
    return go;
}

uint32_t server_room(struct upstream_server *s)
{
    lock(&s->lock);
    uint64_t ignored = UINT64_MAX;
    uint32_t room = s->breaker.state == BREAKER_CLOSED ? slots(s, server_now_ns(s), &ignored) : 1;
    unlock(&s->lock);
    return room;
}

/* Called before in_flight changes. The difference of two loads, divided by the time between them, is
 * the mean number in flight. */
static void load_add(struct upstream_server *s, uint64_t now)
{
    assert(s->late.count <= s->in_flight);
    if (now > s->load_at_ns)
        s->load_ns += (double)(now - s->load_at_ns) * (s->in_flight - s->late.count);
    s->load_at_ns = now;
}

void server_sent(struct upstream_server *s, struct server_member *m, size_t bytes,
                 struct server_exchange *x)
{
    lock(&s->lock);
    uint64_t now = server_now_ns(s);
    load_add(s, now);
    s->in_flight++;
    m->in_flight++;
    *x = (struct server_exchange){
        .member = m,
        .sent_ns = now,
        .bytes = bytes,
        .tokens = tokens_estimate(s, bytes),
        .load_ns = s->load_ns,
        .probe = breaker_sent(&s->breaker),
    };
    late_sent(&s->late, &x->mark, now);
    bucket_take(&s->requests, 1, now);
    bucket_take(&s->tokens, x->tokens, now);
    share_sent(&s->share, x->tokens);
    quota_take(&s->quota[QUOTA_REQUESTS], 1);
    quota_take(&s->quota[QUOTA_TOKENS], x->tokens);
    for (size_t i = 0; i < QUOTA_COUNT; i++)
        x->taken[i] = s->quota[i].taken;
    s->stats.sent++;
    unlock(&s->lock);
}

/* Charges the difference between the estimate and the tokens that were used, and improves the next
 * estimate. */
static void learn(struct upstream_server *s, const struct server_exchange *x,
                  const struct exchange_result *r, uint64_t now)
{
    double used = (double)r->prompt_tokens + r->output_tokens;

    if (r->end != EXCHANGE_ANSWERED || used <= 0)
        return;
    bucket_take(&s->tokens, used - x->tokens, now);
    s->share.sent[SHARE_TOKENS] += used - x->tokens;
    s->output_tokens += LEARN * (r->output_tokens - s->output_tokens);
    if (r->prompt_tokens)
        s->bytes_per_token += LEARN * ((double)x->bytes / r->prompt_tokens - s->bytes_per_token);
}

static bool account_limited(const struct exchange_result *r)
{
    bool limited = r->account_limited;

    for (size_t i = 0; i < QUOTA_COUNT; i++)
        limited = limited || (r->quota[i].known && r->quota[i].remaining < 1);
    return r->end == EXCHANGE_OVERLOAD && limited;
}

/* The pause that a refusal asks for: its own, or the time until the limit that is used up is whole. */
static uint32_t pause_asked(const struct exchange_result *r)
{
    uint64_t ns = 0;

    if (r->retry_after_ms)
        return r->retry_after_ms;
    for (size_t i = 0; i < QUOTA_COUNT; i++)
        if (r->quota[i].known && r->quota[i].remaining < 1 && r->quota[i].reset_ns > ns)
            ns = r->quota[i].reset_ns;
    return ns / NS_PER_MS < PAUSE_MAX_MS ? (uint32_t)(ns / NS_PER_MS) : PAUSE_MAX_MS;
}

static void judge_pause(struct upstream_server *s, const struct server_exchange *x,
                        const struct exchange_result *r, uint64_t now)
{
    const struct pause_end end = {
        .sent_ns = x->sent_ns,
        .now_ns = now,
        .retried = x->retried,
        .refused = r->end == EXCHANGE_OVERLOAD,
        .account = account_limited(r),
        .retry_after_ms = pause_asked(r),
    };

    if (r->end == EXCHANGE_CANCELLED)
        return;
    pause_end(&s->pause, &end);
    for (size_t i = 0; i < QUOTA_COUNT; i++)
        quota_reported(&s->quota[i], &r->quota[i], x->sent_ns, x->taken[i], now);
}

static void judge(struct upstream_server *s, const struct server_exchange *x,
                  const struct exchange_result *r, uint64_t now)
{
    uint64_t latency_ns = now > x->sent_ns ? now - x->sent_ns : 1;
    const struct limit_sample sample = {
        .sent_ns = x->sent_ns,
        .latency_ns = latency_ns,
        .in_flight = (s->load_ns - x->load_ns) / (double)latency_ns,
        .work = r->output_tokens + PROMPT_WORK * r->prompt_tokens,
        .refused = r->end != EXCHANGE_ANSWERED,
    };

    const struct breaker_failure failure = {
        .sent_ns = x->sent_ns,
        .now_ns = now,
        .probe = x->probe,
        .reached = r->reached,
        .retried = x->retried,
    };

    /* A lost connection counts too: the server may be overloaded rather than broken. A limit of the
     * account has nothing to do with how many are in flight. A request that has failed before may be
     * one that always fails, and the last requests of a job are of that kind. */
    bool counts = r->end == EXCHANGE_ANSWERED || r->end == EXCHANGE_FAILED ||
                  (r->end == EXCHANGE_OVERLOAD && !account_limited(r));
    if (counts && !x->retried)
        limit_add(&s->limit, &sample, now);
    switch (r->end) {
    case EXCHANGE_ANSWERED:
    case EXCHANGE_REFUSED:
        breaker_success(&s->breaker, x->sent_ns, now);
        break;
    case EXCHANGE_OVERLOAD: /* alive, but not able to answer this request in time */
    case EXCHANGE_FAILED:
        breaker_failure(&s->breaker, &failure);
        break;
    case EXCHANGE_CANCELLED:
    case EXCHANGE_END_COUNT:
        breaker_void(&s->breaker, x->probe);
        break;
    }
}

static void record(struct upstream_server *s, const struct server_exchange *x,
                   const struct exchange_result *r, uint64_t now)
{
    struct server_stats *st = &s->stats;

    st->ends[r->end]++;
    st->prompt_tokens += r->prompt_tokens;
    st->output_tokens += r->output_tokens;
    st->cached_tokens += r->cached_tokens;
    if (r->end == EXCHANGE_ANSWERED) {
        server_recent_add(&s->recent, now, now - x->sent_ns, r->prompt_tokens + r->output_tokens);
    } else if (r->why) {
        (void)snprintf(st->last_error, sizeof st->last_error, "%s", r->why->msg);
        st->last_error_us = s->clock->wall_us(s->clock);
    }
}

void server_ended(struct upstream_server *s, struct server_exchange *x,
                  const struct exchange_result *r)
{
    lock(&s->lock);
    uint64_t now = server_now_ns(s);
    load_add(s, now);
    assert(x->member->in_flight > 0 && x->member->in_flight <= s->in_flight);
    late_ended(&s->late, &x->mark, r->end == EXCHANGE_ANSWERED, now);
    s->in_flight--;
    x->member->in_flight--;
    s->reached = s->reached || r->reached;
    learn(s, x, r, now);
    judge(s, x, r, now);
    record(s, x, r, now);
    judge_pause(s, x, r, now);
    unlock(&s->lock);
}
