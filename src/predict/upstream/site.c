#include "predict/upstream/site.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/thread.h"
#include "base/mem.h"
#include "base/metric.h"
#include "predict/upstream/pace_bucket.h"
#include "predict/upstream/pace_limit.h"
#include "predict/upstream/site_recent.h"

/* A request's tokens, while no answer has told: bytes for each, and of the answer. */
#define BYTES_PER_TOKEN 4.0
#define OUTPUT_TOKENS 64.0
#define LEARN 0.05        /* how much a single answer changes what is reckoned with */
#define PROMPT_WORK 0.125 /* a prompt token's work beside a generated one's */
#define PAUSE_MAX_MS 300000
/* Who asked within this time still wants; who has nothing open asks this often. */
#define WANTED_NS (100 * NS_PER_MS)
#define LOOK_NS (20 * NS_PER_MS)

struct upstream_site {
    const struct upstream *upstream;
    struct clock *clock;
    struct http_site http;
    const char **header; /* of all requests, until NULL */
    struct credential *credential;
    struct upstream_site *next; /* of the sites */

    pthread_mutex_t lock; /* guards all below */
    struct breaker breaker;
    struct limit limit;
    struct bucket requests, tokens; /* a minute */
    uint64_t paused_ns;             /* its own wish: nothing before */
    struct site_member *member;
    uint32_t in_flight;
    double load_ns; /* in_flight, summed over the time until load_at_ns */
    uint64_t load_at_ns;
    double bytes_per_token, output_tokens;
    struct site_recent recent;
    struct site_stats stats;
};

struct upstream_sites {
    struct clock *clock;
    pthread_mutex_t lock; /* guards the list */
    struct upstream_site *first;
};

static struct upstream_site *site_new(const struct upstream *u, struct clock *clock,
                                      struct error *e);
static void site_free(struct upstream_site *s);

/* ---- Many ---- */

struct upstream_sites *upstream_sites_new(struct clock *clock)
{
    struct upstream_sites *s = mem_alloc(sizeof *s);

    s->clock = clock;
    lock_init(&s->lock);
    return s;
}

void upstream_sites_free(struct upstream_sites *all)
{
    if (!all)
        return;
    while (all->first) {
        struct upstream_site *next = all->first->next;
        site_free(all->first);
        all->first = next;
    }
    lock_destroy(&all->lock);
    mem_free(all);
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static bool same_headers(const char *const *a, const char *const *b)
{
    for (; a && b && *a && *b && strcmp(*a, *b) == 0; a++)
        b++;
    return (!a || !*a) && (!b || !*b);
}

static bool same(const struct upstream *a, const struct upstream *b)
{
    return same_text(a->name, b->name) && same_text(a->url, b->url) && a->wire == b->wire &&
           same_text(a->credential.secret, b->credential.secret) &&
           same_text(a->credential.secret_file, b->credential.secret_file) &&
           same_text(a->credential.service_account, b->credential.service_account) &&
           same_headers(a->header, b->header) && same_text(a->ca_file, b->ca_file) &&
           same_text(a->proxy, b->proxy) && a->http1 == b->http1 && a->max_rpm == b->max_rpm &&
           a->max_tpm == b->max_tpm && a->concurrency == b->concurrency &&
           a->concurrency_max == b->concurrency_max && a->timeout_ms == b->timeout_ms &&
           a->idle_ms == b->idle_ms && a->patience_ms == b->patience_ms;
}

struct upstream_site *upstream_site_of(struct upstream_sites *all, const struct upstream *u,
                                       struct error *e)
{
    struct upstream_site **at = &all->first;

    lock(&all->lock);
    while (*at && !same((*at)->upstream, u))
        at = &(*at)->next;
    if (!*at)
        *at = site_new(u, all->clock, e);
    struct upstream_site *found = *at;
    unlock(&all->lock);
    return found;
}

bool upstream_sites_at(struct upstream_sites *all, uint32_t i, struct site_stats *out)
{
    lock(&all->lock);
    struct upstream_site *s = all->first;
    for (; s && i; i--)
        s = s->next;
    unlock(&all->lock);
    if (s)
        site_stats(s, out);
    return s != NULL;
}

/* ---- One ---- */

/* The operator's, and the one that all have. */
static const char **headers_of(const struct upstream *u)
{
    size_t count = 0;

    while (u->header && u->header[count])
        count++;
    const char **list = mem_array(count + 2, sizeof *list);
    list[0] = "Content-Type: application/json";
    for (size_t i = 0; i < count; i++)
        list[i + 1] = u->header[i];
    return list;
}

static struct upstream_site *site_new(const struct upstream *u, struct clock *clock,
                                      struct error *e)
{
    struct upstream_site *s = mem_alloc(sizeof *s);
    const struct credential_spec *from = &u->credential;
    uint64_t now = clock->mono_ns(clock);

    s->upstream = u;
    s->clock = clock;
    s->header = headers_of(u);
    s->http = (struct http_site){ .ca_file = u->ca_file,
                                  .proxy = u->proxy,
                                  .header = s->header,
                                  .http1 = u->http1,
                                  .idle_ms = u->idle_ms };
    s->bytes_per_token = BYTES_PER_TOKEN;
    s->output_tokens = OUTPUT_TOKENS;
    s->stats.upstream = u;
    limit_init(&s->limit, u->concurrency, u->concurrency_max);
    bucket_init(&s->requests, u->max_rpm, now);
    bucket_init(&s->tokens, u->max_tpm, now);
    lock_init(&s->lock);
    if (from->secret || from->secret_file || from->service_account) {
        s->credential = credential_new(from, clock, u->ca_file, e);
        if (!s->credential) {
            (void)error_wrap(e, "upstream %s", u->name);
            site_free(s);
            return NULL;
        }
    }
    return s;
}

static void site_free(struct upstream_site *s)
{
    credential_free(s->credential);
    mem_free(s->header);
    lock_destroy(&s->lock);
    mem_free(s);
}

const struct upstream *site_upstream(const struct upstream_site *s)
{
    return s->upstream;
}

const struct http_site *site_http(const struct upstream_site *s)
{
    return &s->http;
}

struct credential *site_credential(const struct upstream_site *s)
{
    return s->credential;
}

static uint64_t now_ns(const struct upstream_site *s)
{
    return s->clock->mono_ns(s->clock);
}

static bool given_up(const struct upstream_site *s, uint64_t now)
{
    return s->breaker.state != BREAKER_CLOSED && s->breaker.failing_ns &&
           now - s->breaker.failing_ns >= s->upstream->patience_ms * NS_PER_MS;
}

static double reckon(const struct upstream_site *s, size_t bytes)
{
    return (double)bytes / s->bytes_per_token + s->output_tokens;
}

void site_join(struct upstream_site *s, struct site_member *m)
{
    lock(&s->lock);
    *m = (struct site_member){ .next = s->member };
    s->member = m;
    unlock(&s->lock);
}

void site_leave(struct upstream_site *s, struct site_member *m)
{
    struct site_member **at = &s->member;

    lock(&s->lock);
    while (*at != m)
        at = &(*at)->next;
    *at = m->next;
    unlock(&s->lock);
}

static bool wants(const struct site_member *m, uint64_t now)
{
    return m->wanted_ns && now - m->wanted_ns < WANTED_NS;
}

/* Has m its part of the places already while another wants and has less? m is counted: it asks. */
static bool owes(const struct upstream_site *s, const struct site_member *m, uint64_t now)
{
    uint32_t members = 0, limit = limit_now(&s->limit);

    if (!s->member->next)
        return false;
    for (const struct site_member *o = s->member; o; o = o->next)
        members += o->in_flight || wants(o, now);
    uint32_t part = members && members < limit ? limit / members : 1;
    for (const struct site_member *o = s->member; o; o = o->next)
        if (o != m && m->in_flight >= part && o->in_flight < part && wants(o, now))
            return true;
    return false;
}

/* Who has nothing open is not woken when a place becomes free: it looks again soon. */
static bool is_full(struct upstream_site *s, struct site_member *m, uint64_t now,
                    uint64_t *ready_ns)
{
    if (m)
        m->wanted_ns = now;
    if (s->in_flight < limit_now(&s->limit) && !(m && owes(s, m, now)))
        return false;
    if (m && m->in_flight == 0)
        *ready_ns = now + LOOK_NS;
    return true;
}

static enum site_go ask(struct upstream_site *s, struct site_member *m, size_t bytes,
                        uint64_t *ready_ns)
{
    uint64_t now = now_ns(s);

    if (!breaker_ready(&s->breaker, now, ready_ns))
        return given_up(s, now) ? SITE_GIVEN_UP : SITE_BROKEN;
    if (is_full(s, m, now, ready_ns))
        return SITE_FULL;
    if (now < s->paused_ns) {
        *ready_ns = s->paused_ns;
        return SITE_PACED;
    }
    if (!bucket_ready(&s->requests, 1, now, ready_ns) ||
        !bucket_ready(&s->tokens, reckon(s, bytes), now, ready_ns))
        return SITE_PACED;
    return SITE_GO;
}

enum site_go site_ask(struct upstream_site *s, struct site_member *m, size_t bytes,
                      uint64_t *ready_ns)
{
    *ready_ns = UINT64_MAX;
    lock(&s->lock);
    enum site_go go = ask(s, m, bytes, ready_ns);
    unlock(&s->lock);
    return go;
}

uint32_t site_room(struct upstream_site *s)
{
    lock(&s->lock);
    uint32_t room = s->breaker.state == BREAKER_CLOSED ? limit_now(&s->limit) : 1;
    unlock(&s->lock);
    return room;
}

/* Before in_flight changes. The difference of two loads by their time is the mean between them. */
static void load_add(struct upstream_site *s, uint64_t now)
{
    if (now > s->load_at_ns)
        s->load_ns += (double)(now - s->load_at_ns) * s->in_flight;
    s->load_at_ns = now;
}

void site_sent(struct upstream_site *s, struct site_member *m, size_t bytes,
               struct site_exchange *x)
{
    lock(&s->lock);
    uint64_t now = now_ns(s);
    load_add(s, now);
    s->in_flight++;
    m->in_flight++;
    *x = (struct site_exchange){
        .member = m,
        .sent_ns = now,
        .bytes = bytes,
        .tokens = reckon(s, bytes),
        .load_ns = s->load_ns,
        .probe = breaker_sent(&s->breaker),
    };
    bucket_take(&s->requests, 1, now);
    bucket_take(&s->tokens, x->tokens, now);
    s->stats.sent++;
    unlock(&s->lock);
}

/* What was reckoned with is set right, and the next reckoning is better. */
static void learn(struct upstream_site *s, const struct site_exchange *x,
                  const struct site_result *r, uint64_t now)
{
    double used = (double)r->prompt_tokens + r->output_tokens;

    if (r->end != SITE_ANSWERED || used <= 0)
        return;
    bucket_take(&s->tokens, used - x->tokens, now);
    s->output_tokens += LEARN * (r->output_tokens - s->output_tokens);
    if (r->prompt_tokens)
        s->bytes_per_token += LEARN * ((double)x->bytes / r->prompt_tokens - s->bytes_per_token);
}

static void judge(struct upstream_site *s, const struct site_exchange *x,
                  const struct site_result *r, uint64_t now)
{
    uint64_t latency_ns = now > x->sent_ns ? now - x->sent_ns : 1;
    const struct limit_sample sample = {
        .sent_ns = x->sent_ns,
        .latency_ns = latency_ns,
        .in_flight = (s->load_ns - x->load_ns) / (double)latency_ns,
        .work = r->output_tokens + PROMPT_WORK * r->prompt_tokens,
        .refused = r->end != SITE_ANSWERED,
    };

    const struct breaker_failure failure = {
        .sent_ns = x->sent_ns, .now_ns = now, .probe = x->probe, .reached = r->reached
    };

    /* A server that closes connections has too many of them as often as it is broken. */
    if (r->end == SITE_ANSWERED || r->end == SITE_OVERLOAD || r->end == SITE_FAILED)
        limit_add(&s->limit, &sample, now);
    switch (r->end) {
    case SITE_ANSWERED:
    case SITE_REFUSED:
        breaker_success(&s->breaker, x->sent_ns);
        break;
    case SITE_OVERLOAD: /* it is there, but not for a request that took all its time */
    case SITE_FAILED:
        breaker_failure(&s->breaker, &failure);
        break;
    case SITE_CANCELLED:
    case SITE_END_COUNT:
        breaker_void(&s->breaker, x->probe);
        break;
    }
}

static void record(struct upstream_site *s, const struct site_exchange *x,
                   const struct site_result *r, uint64_t now)
{
    struct site_stats *st = &s->stats;

    st->ends[r->end]++;
    st->prompt_tokens += r->prompt_tokens;
    st->output_tokens += r->output_tokens;
    st->cached_tokens += r->cached_tokens;
    if (r->end == SITE_ANSWERED) {
        site_recent_add(&s->recent, now, now - x->sent_ns, r->prompt_tokens + r->output_tokens);
    } else if (r->why) {
        (void)snprintf(st->last_error, sizeof st->last_error, "%s", r->why->msg);
        st->last_error_us = s->clock->wall_us(s->clock);
    }
}

static void pause_for(struct upstream_site *s, uint32_t ms, uint64_t now)
{
    uint64_t until = now + (ms < PAUSE_MAX_MS ? ms : PAUSE_MAX_MS) * NS_PER_MS;

    if (until > s->paused_ns)
        s->paused_ns = until;
}

void site_ended(struct upstream_site *s, const struct site_exchange *x, const struct site_result *r)
{
    lock(&s->lock);
    uint64_t now = now_ns(s);
    load_add(s, now);
    s->in_flight--;
    x->member->in_flight--;
    learn(s, x, r, now);
    judge(s, x, r, now);
    record(s, x, r, now);
    if (r->end == SITE_OVERLOAD && r->retry_after_ms)
        pause_for(s, r->retry_after_ms, now);
    unlock(&s->lock);
}

void site_stats(struct upstream_site *s, struct site_stats *out)
{
    lock(&s->lock);
    uint64_t now = now_ns(s);
    *out = s->stats;
    out->breaker = s->breaker.state;
    out->given_up = given_up(s, now);
    out->in_flight = s->in_flight;
    out->limit = limit_now(&s->limit);
    out->paused_ms = now < s->paused_ns ? (uint32_t)((s->paused_ns - now) / NS_PER_MS) : 0;
    site_recent_read(&s->recent, now, &out->requests_per_s, &out->tokens_per_s, &out->latency_s);
    unlock(&s->lock);
}

const char *site_health(const struct site_stats *st)
{
    if (st->given_up)
        return "given up";
    if (st->breaker != BREAKER_CLOSED)
        return st->breaker == BREAKER_HALF_OPEN ? "probed" : "open";
    return st->paused_ms ? "paused" : st->sent ? "healthy" : "unused";
}

/* ---- For /metrics ---- */

static const char *const end_names[SITE_END_COUNT] = {
    [SITE_ANSWERED] = "answered", [SITE_REFUSED] = "refused",     [SITE_OVERLOAD] = "overload",
    [SITE_FAILED] = "failed",     [SITE_CANCELLED] = "cancelled",
};

const char *site_end_name(enum site_end end)
{
    return end_names[end];
}

static void measure(const struct site_stats *st)
{
    const char *name = st->upstream->name;
    const struct {
        const char *name, *help;
        double value;
    } gauges[] = {
        { "tranche_upstream_in_flight", "Requests an upstream works at", st->in_flight },
        { "tranche_upstream_limit", "Requests at once that it does best", st->limit },
        { "tranche_upstream_open", "1: its circuit breaker is open",
          st->breaker != BREAKER_CLOSED },
        { "tranche_upstream_latency_seconds", "Mean, of the last half minute", st->latency_s },
        { "tranche_upstream_requests_per_second", "Answers, of the last half minute",
          st->requests_per_s },
        { "tranche_upstream_prompt_tokens", "Prompt tokens it counted", (double)st->prompt_tokens },
        { "tranche_upstream_cached_tokens", "Of those, from its cache", (double)st->cached_tokens },
        { "tranche_upstream_output_tokens", "Tokens it generated", (double)st->output_tokens },
    };
    char labels[METRIC_LABELS_BYTES];

    (void)snprintf(labels, sizeof labels, "upstream=\"%s\"", name);
    for (size_t i = 0; i < ARRAY_LEN(gauges); i++)
        metric_set(metric_gauge(gauges[i].name, gauges[i].help, labels), gauges[i].value);
    for (size_t i = 0; i < SITE_END_COUNT; i++) {
        (void)snprintf(labels, sizeof labels, "upstream=\"%s\",end=\"%s\"", name, end_names[i]);
        metric_set(metric_gauge("tranche_upstream_exchanges", "How exchanges ended", labels),
                   (double)st->ends[i]);
    }
}

void upstream_sites_measure(struct upstream_sites *all)
{
    struct site_stats st;

    for (uint32_t i = 0; upstream_sites_at(all, i, &st); i++)
        measure(&st);
}
