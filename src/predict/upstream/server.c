#include "predict/upstream/server.h"

#include <assert.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/metric.h"
#include "base/thread.h"
#include "predict/upstream/pace_bucket.h"
#include "predict/upstream/pace_limit.h"
#include "predict/upstream/pace_pause.h"

/* The first estimate of a request's tokens, before the server has answered any. */
#define BYTES_PER_TOKEN 4.0
#define OUTPUT_TOKENS 64.0
#define LEARN 0.05        /* how much one answer changes the estimate */
#define PROMPT_WORK 0.125 /* work of a prompt token; that of a generated one is 1 */
/* A server that has never answered is given up after this time, or patience_ms when that is shorter. */
#define NEVER_ANSWERED_MS 30000
/* A member that asked within WANTED_NS still wants a slot; one with nothing in flight asks again after
 * LOOK_NS. */
#define WANTED_NS (100 * NS_PER_MS)
#define LOOK_NS (20 * NS_PER_MS)
#define RECENT_SECONDS 32
#define ALMOST_NOTHING 1e-9 /* the limit of a bucket that is not to fill: 0 is none */

/* Answers of the last half minute: a ring of seconds. */
struct recent {
    struct {
        uint64_t second; /* of the monotonic clock, plus 1; 0: unused */
        uint64_t answers, tokens, latency_ns;
    } slot[RECENT_SECONDS];
    uint64_t first_ns; /* the first answer ever; 0: none yet */
};

struct upstream_server {
    struct upstream_servers *all;
    struct arena arena; /* of the settings: those of the configuration may go earlier */
    const struct upstream *upstream;
    struct clock *clock;
    struct http_host http;
    const char **header; /* of all requests, until NULL */
    struct credential *credential;
    struct upstream_server *next; /* in the list; guarded by the list's lock, as is the next one */
    bool listed;                  /* the configuration has it (upstream_servers_keep) */

    pthread_mutex_t lock; /* guards everything below, and the contents of all members */
    struct breaker breaker;
    struct limit limit;
    struct late late;
    struct bucket requests, tokens;  /* a minute */
    struct quota quota[QUOTA_COUNT]; /* as the server reports it */
    struct pause pause;
    struct share share; /* with all->wanted */
    bool reached;       /* the head of a reply came, once */
    struct server_member *member;
    uint32_t in_flight; /* the sum of the members' */
    double load_ns;     /* in flight and not late, summed over the time until load_at_ns */
    uint64_t load_at_ns;
    double bytes_per_token, output_tokens;
    struct recent recent;
    struct server_stats stats;
};

struct upstream_servers {
    struct clock *clock;
    pthread_mutex_t lock; /* guards the list; comes before a server's */
    struct upstream_server *first;
    bool keeps; /* upstream_servers_keep was called: others go with their last session */
    void (*wanted)(
        void
            *arg); /* set once, before the first session; NULL: no other process uses the servers */
    void *wanted_arg;
};

/* ---- The last half minute ---- */

static void recent_add(struct recent *r, uint64_t now_ns, uint64_t latency_ns, uint64_t tokens)
{
    uint64_t second = now_ns / NS_PER_S + 1, i = second % RECENT_SECONDS;

    if (r->slot[i].second != second) {
        r->slot[i].second = second;
        r->slot[i].answers = 0;
        r->slot[i].tokens = 0;
        r->slot[i].latency_ns = 0;
    }
    r->slot[i].answers++;
    r->slot[i].tokens += tokens;
    r->slot[i].latency_ns += latency_ns;
    r->first_ns = r->first_ns ? r->first_ns : now_ns;
}

static void recent_read(const struct recent *r, uint64_t now_ns, double *requests_per_s,
                        double *tokens_per_s, double *latency_s)
{
    uint64_t second = now_ns / NS_PER_S + 1, answers = 0, tokens = 0, latency_ns = 0;
    double span = r->first_ns ? (double)(now_ns - r->first_ns) / 1e9 : 0;

    for (uint32_t i = 0; i < RECENT_SECONDS; i++) {
        if (!r->slot[i].second || r->slot[i].second + RECENT_SECONDS <= second)
            continue;
        answers += r->slot[i].answers;
        tokens += r->slot[i].tokens;
        latency_ns += r->slot[i].latency_ns;
    }
    span = span > RECENT_SECONDS - 1 ? RECENT_SECONDS - 1 : span < 1 ? 1 : span;
    *requests_per_s = (double)answers / span;
    *tokens_per_s = (double)tokens / span;
    *latency_s = answers ? (double)latency_ns / 1e9 / (double)answers : 0;
}

/* ---- One server ---- */

static const char *text_copy(struct arena *a, const char *text)
{
    return text ? arena_copy(a, text, strlen(text)) : NULL;
}

static const struct upstream *upstream_copy(struct arena *a, const struct upstream *u)
{
    struct upstream *copy = arena_alloc(a, sizeof *copy);
    size_t count = 0;

    while (u->header && u->header[count])
        count++;
    const char **header = u->header ? arena_array(a, count + 1, sizeof *header) : NULL;
    for (size_t i = 0; i < count; i++)
        header[i] = text_copy(a, u->header[i]);
    *copy = *u;
    copy->name = text_copy(a, u->name);
    copy->url = text_copy(a, u->url);
    copy->credential.secret = text_copy(a, u->credential.secret);
    copy->credential.secret_file = text_copy(a, u->credential.secret_file);
    copy->credential.service_account = text_copy(a, u->credential.service_account);
    copy->header = header;
    copy->ca_file = text_copy(a, u->ca_file);
    copy->proxy = text_copy(a, u->proxy);
    return copy;
}

/* The operator's headers, behind the Content-Type that every request has. */
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

static void server_free(struct upstream_server *s)
{
    assert(!s->member && s->in_flight == 0);
    credential_free(s->credential);
    mem_free(s->header);
    lock_destroy(&s->lock);
    arena_release(&s->arena);
    mem_free(s);
}

/* The limit of requests in flight that the configuration sets; 0: the number is measured, by each process for itself. */
static double slots_configured(const struct upstream *u)
{
    return u->concurrency                                       ? u->concurrency
           : u->concurrency_max != UPSTREAM_CONCURRENCY_DEFAULT ? u->concurrency_max
                                                                : 0;
}

static struct upstream_server *server_new(struct upstream_servers *all, const struct upstream *from,
                                          struct error *e)
{
    struct clock *clock = all->clock;
    struct upstream_server *s = mem_alloc(sizeof *s);
    const struct upstream *u = upstream_copy(&s->arena, from);
    const struct credential_spec *key = &u->credential;
    uint64_t now = clock->mono_ns(clock);

    s->all = all;
    s->upstream = u;
    s->clock = clock;
    s->header = headers_of(u);
    s->http = (struct http_host){ .ca_file = u->ca_file,
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
    s->share.limit[SHARE_REQUESTS] = u->max_rpm;
    s->share.limit[SHARE_TOKENS] = (double)u->max_tpm;
    s->share.limit[SHARE_SLOTS] = slots_configured(u);
    lock_init(&s->lock);
    if (key->secret || key->secret_file || key->service_account) {
        s->credential = credential_new(key, clock, u->ca_file, e);
        if (!s->credential) {
            (void)error_wrap(e, "upstream %s", u->name);
            server_free(s);
            return NULL;
        }
    }
    return s;
}

/* ---- The list of servers ---- */

struct upstream_servers *upstream_servers_new(struct clock *clock)
{
    struct upstream_servers *s = mem_alloc(sizeof *s);

    s->clock = clock;
    lock_init(&s->lock);
    return s;
}

void upstream_servers_free(struct upstream_servers *all)
{
    if (!all)
        return;
    while (all->first) {
        struct upstream_server *next = all->first->next;
        server_free(all->first);
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
           same_text(a->proxy, b->proxy) && a->http1 == b->http1 &&
           a->max_completion_tokens == b->max_completion_tokens && a->max_rpm == b->max_rpm &&
           a->max_tpm == b->max_tpm && a->concurrency == b->concurrency &&
           a->concurrency_max == b->concurrency_max && a->timeout_ms == b->timeout_ms &&
           a->idle_ms == b->idle_ms && a->patience_ms == b->patience_ms;
}

/* Under the list's lock. */
static struct upstream_server *find_or_make(struct upstream_servers *all, const struct upstream *u,
                                            struct error *e)
{
    struct upstream_server **at = &all->first;

    while (*at && !same((*at)->upstream, u))
        at = &(*at)->next;
    if (!*at)
        *at = server_new(all, u, e);
    return *at;
}

struct upstream_server *upstream_server_of(struct upstream_servers *all, const struct upstream *u,
                                           struct error *e)
{
    lock(&all->lock);
    struct upstream_server *found = find_or_make(all, u, e);
    unlock(&all->lock);
    return found;
}

/* Under the list's lock: may it go? */
static bool is_unused(struct upstream_server *s)
{
    lock(&s->lock);
    bool used = s->member != NULL;
    unlock(&s->lock);
    return s->all->keeps && !s->listed && !used;
}

/* Under the list's lock: takes a server that may go out of the list; NULL: there is none. */
static struct upstream_server *take_unused(struct upstream_servers *all)
{
    struct upstream_server **at = &all->first;

    while (*at && !is_unused(*at))
        at = &(*at)->next;
    struct upstream_server *found = *at;
    if (found)
        *at = found->next;
    return found;
}

/* Not under the list's lock: a credential may be fetching its token. */
static void free_unused(struct upstream_servers *all)
{
    struct upstream_server *s;

    do {
        lock(&all->lock);
        s = take_unused(all);
        unlock(&all->lock);
        if (s)
            server_free(s);
    } while (s);
}

void upstream_servers_keep(struct upstream_servers *all, const struct upstream *u, uint32_t count)
{
    lock(&all->lock);
    all->keeps = true;
    for (struct upstream_server *s = all->first; s; s = s->next) {
        s->listed = false;
        for (uint32_t i = 0; i < count && !s->listed; i++)
            s->listed = same(s->upstream, &u[i]);
    }
    unlock(&all->lock);
    free_unused(all);
}

bool upstream_servers_at(struct upstream_servers *all, uint32_t i, struct arena *a,
                         struct server_stats *out)
{
    lock(&all->lock);
    struct upstream_server *s = all->first;
    for (; s && i; i--)
        s = s->next;
    if (s) {
        server_stats(s, out);
        out->upstream = upstream_copy(a, s->upstream);
    }
    unlock(&all->lock);
    return s != NULL;
}

/* ---- Members and slots ---- */

const struct http_host *server_http(const struct upstream_server *s)
{
    return &s->http;
}

struct credential *server_credential(const struct upstream_server *s)
{
    return s->credential;
}

static uint64_t now_ns(const struct upstream_server *s)
{
    return s->clock->mono_ns(s->clock);
}

/* An address where nobody has ever answered is a mistake rather than an outage. */
static bool given_up(const struct upstream_server *s, uint64_t now)
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

static void join(struct upstream_server *s, struct server_member *m)
{
    lock(&s->lock);
    *m = (struct server_member){ .next = s->member };
    s->member = m;
    unlock(&s->lock);
}

struct upstream_server *upstream_server_join(struct upstream_servers *all, const struct upstream *u,
                                             struct server_member *m, struct error *e)
{
    lock(&all->lock);
    struct upstream_server *s = find_or_make(all, u, e);
    if (s)
        join(s, m);
    unlock(&all->lock);
    return s;
}

void server_leave(struct upstream_server *s, struct server_member *m)
{
    struct upstream_servers *all = s->all;
    struct server_member **at = &s->member;

    lock(&s->lock);
    assert(m->in_flight == 0);
    while (*at != m)
        at = &(*at)->next;
    *at = m->next;
    unlock(&s->lock); /* from here on another thread may free it */
    free_unused(all);
}

static bool wants(const struct server_member *m, uint64_t now)
{
    return m->wanted_ns && now - m->wanted_ns < WANTED_NS;
}

/* Is it used by other processes too, and is there a limit to share with them? */
static bool is_shared(const struct upstream_server *s)
{
    return s->all->wanted && share_limits(&s->share);
}

/* Other processes spend a part after its end, also when this machine slept meanwhile. */
static bool has_part(const struct upstream_server *s)
{
    return share_valid(&s->share, s->clock->boot_ns(s->clock));
}

/* The most slots that this process may use. */
static uint32_t slots_max(const struct upstream_server *s)
{
    if (!is_shared(s) || !(s->share.limit[SHARE_SLOTS] > 0))
        return (uint32_t)s->limit.max;
    return has_part(s) ? (uint32_t)s->share.part[SHARE_SLOTS] : 0;
}

/* The limit of requests in flight, found by measuring or set, and no more than this process may use. */
static uint32_t limit_of(const struct upstream_server *s)
{
    uint32_t limit = limit_now(&s->limit), most = slots_max(s);

    return limit < most ? limit : most;
}

/* Slots, with those that stand in for late requests; *next_ns is lowered to when there is one more. */
static uint32_t slots(struct upstream_server *s, uint64_t now, uint64_t *next_ns)
{
    uint32_t limit = limit_now(&s->limit), excused = late_excused(&s->late, limit, now, next_ns);
    uint32_t most = slots_max(s);

    return limit + excused < most ? limit + excused : most;
}

/* Has m its share of the slots while another member wants one and has less? m itself asks, so it
 * counts as one that wants. */
static bool has_its_share(const struct upstream_server *s, const struct server_member *m,
                          uint64_t now)
{
    uint32_t members = 0, limit = limit_of(s);

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
        bool none = is_shared(s) && s->share.limit[k] > 0 && !(s->share.part[k] > 0);
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

/* Without a part of the shared limits nothing goes. */
static bool has_lapsed(const struct upstream_server *s)
{
    return is_shared(s) && !has_part(s);
}

static enum server_go ask(struct upstream_server *s, struct server_member *m, size_t bytes,
                          uint64_t *ready_ns)
{
    uint64_t now = now_ns(s);

    if (m)
        share_asked(&s->share, now);
    if (!breaker_ready(&s->breaker, now, ready_ns))
        return given_up(s, now) ? SERVER_GIVEN_UP : SERVER_BROKEN;
    if (has_lapsed(s)) {
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
    bool lapsed = has_lapsed(s);
    unlock(&s->lock);
    if (m && lapsed && go == SERVER_PACED)
        s->all->wanted(s->all->wanted_arg);
    return go;
}

uint32_t server_room(struct upstream_server *s)
{
    lock(&s->lock);
    uint64_t ignored = UINT64_MAX;
    uint32_t room = s->breaker.state == BREAKER_CLOSED ? slots(s, now_ns(s), &ignored) : 1;
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
    uint64_t now = now_ns(s);
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
        recent_add(&s->recent, now, now - x->sent_ns, r->prompt_tokens + r->output_tokens);
    } else if (r->why) {
        (void)snprintf(st->last_error, sizeof st->last_error, "%s", r->why->msg);
        st->last_error_us = s->clock->wall_us(s->clock);
    }
}

void server_ended(struct upstream_server *s, struct server_exchange *x,
                  const struct exchange_result *r)
{
    lock(&s->lock);
    uint64_t now = now_ns(s);
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

void server_stats(struct upstream_server *s, struct server_stats *out)
{
    lock(&s->lock);
    uint64_t now = now_ns(s);
    *out = s->stats;
    out->breaker = s->breaker.state;
    out->given_up = given_up(s, now);
    out->in_flight = s->in_flight;
    out->limit = limit_of(s);
    out->shared = is_shared(s);
    out->lapsed = has_lapsed(s);
    for (int k = 0; k < SHARE_KINDS; k++)
        out->part[k] = out->shared && !out->lapsed ? s->share.part[k] : 0;
    out->paused_ms =
        now < s->pause.until_ns ? (uint32_t)((s->pause.until_ns - now) / NS_PER_MS) : 0;
    recent_read(&s->recent, now, &out->requests_per_s, &out->tokens_per_s, &out->latency_s);
    unlock(&s->lock);
}

const char *server_health(const struct server_stats *st)
{
    if (st->given_up)
        return "given up";
    if (st->breaker != BREAKER_CLOSED)
        return st->breaker == BREAKER_HALF_OPEN ? "probed" : "open";
    return st->paused_ms ? "paused" : st->sent ? "healthy" : "unused";
}

/* ---- Limits that several processes share ---- */

void upstream_servers_share(struct upstream_servers *all, void (*wanted)(void *arg), void *arg)
{
    assert(!all->first);
    all->wanted = wanted;
    all->wanted_arg = arg;
}

/* Tokens of a request are those of the mean one: its prompt is about as long as its answer. */
static void add_need(struct upstream_server *s, struct share_need *sum)
{
    struct share_need n;

    lock(&s->lock);
    const struct share_use use = { .in_flight = s->in_flight,
                                   .tokens = 2 * s->output_tokens,
                                   .now_ns = now_ns(s),
                                   .valid = has_part(s) };
    share_need(&s->share, &use, &n);
    unlock(&s->lock);
    sum->wants = sum->wants || n.wants;
    for (int k = 0; k < SHARE_KINDS; k++) {
        sum->limit[k] = n.limit[k]; /* of the newest one */
        sum->holds[k] += n.holds[k];
        sum->need[k] += n.wants ? n.need[k] : 0;
        sum->unit[k] = n.unit[k];
    }
}

/* The place of the name in the list, made when it is new. */
static struct share_need *need_of(struct arena *a, const char *name, struct server_need **list,
                                  uint32_t *count)
{
    uint32_t at = 0;

    while (at < *count && strcmp((*list)[at].name, name) < 0)
        at++;
    if (at == *count || strcmp((*list)[at].name, name) != 0) {
        *list = arena_list_grow(a, *list, *count, sizeof **list);
        memmove(*list + at + 1, *list + at, (*count - at) * sizeof **list);
        (*list)[at] = (struct server_need){ .name = arena_copy(a, name, strlen(name)) };
        (*count)++;
    }
    return &(*list)[at].need;
}

void upstream_servers_needs(struct upstream_servers *all, struct arena *a, struct server_need **out,
                            uint32_t *count)
{
    *out = NULL;
    *count = 0;
    lock(&all->lock);
    for (struct upstream_server *s = all->first; s; s = s->next)
        if (share_limits(&s->share))
            add_need(s, need_of(a, s->upstream->name, out, count));
    unlock(&all->lock);
}

/* Under the list's lock. One of several servers of a name, when a reload has changed the settings while the older one is
 * still in use, has its part of the part; of slots the first ones have one more. */
static void allow(struct upstream_server *s, const double part[SHARE_KINDS], uint32_t at,
                  uint32_t of, uint64_t until_ns)
{
    double own[SHARE_KINDS];

    assert(at < of);
    for (int k = 0; k < SHARE_KINDS; k++)
        own[k] = part[k] / of;
    uint32_t whole = (uint32_t)part[SHARE_SLOTS], slots = whole / of + (at < whole % of);
    own[SHARE_SLOTS] = slots;
    lock(&s->lock);
    uint64_t now = now_ns(s);
    bool empty = !has_part(s);
    share_set(&s->share, own, until_ns);
    bucket_limit(&s->requests, fmax(own[SHARE_REQUESTS], ALMOST_NOTHING), empty, now);
    bucket_limit(&s->tokens, fmax(own[SHARE_TOKENS], ALMOST_NOTHING), empty, now);
    unlock(&s->lock);
}

void upstream_servers_allow(struct upstream_servers *all, const char *name,
                            const double part[SHARE_KINDS], uint64_t until_ns)
{
    uint32_t of = 0, at = 0;

    lock(&all->lock);
    for (struct upstream_server *s = all->first; s; s = s->next)
        of += share_limits(&s->share) && strcmp(s->upstream->name, name) == 0;
    for (struct upstream_server *s = all->first; s; s = s->next)
        if (share_limits(&s->share) && strcmp(s->upstream->name, name) == 0)
            allow(s, part, at++, of, until_ns);
    unlock(&all->lock);
}

/* ---- Metrics ---- */

static const char *const end_names[EXCHANGE_END_COUNT] = {
    [EXCHANGE_ANSWERED] = "answered",   [EXCHANGE_REFUSED] = "refused",
    [EXCHANGE_OVERLOAD] = "overload",   [EXCHANGE_FAILED] = "failed",
    [EXCHANGE_CANCELLED] = "cancelled",
};

const char *exchange_end_name(enum exchange_end end)
{
    return end_names[end];
}

static void measure(const struct server_stats *st)
{
    const struct {
        struct metric *(*kind)(const char *name, const char *help, const char *labels);
        const char *name, *help;
        double value;
    } figures[] = {
        { metric_gauge, "tranche_upstream_in_flight", "Requests that the upstream is answering",
          st->in_flight },
        { metric_gauge, "tranche_upstream_limit",
          "Limit of requests in flight, found by measuring or set", st->limit },
        { metric_gauge, "tranche_upstream_open", "1 while the circuit breaker is not closed",
          st->breaker != BREAKER_CLOSED },
        { metric_gauge, "tranche_upstream_latency_seconds",
          "Mean time to an answer over the last half minute", st->latency_s },
        { metric_gauge, "tranche_upstream_requests_per_second",
          "Answers a second over the last half minute", st->requests_per_s },
        { metric_counter_real, "tranche_upstream_prompt_tokens_total",
          "Prompt tokens, as the upstream counted them", (double)st->prompt_tokens },
        { metric_counter_real, "tranche_upstream_cached_tokens_total",
          "Prompt tokens that came from the upstream's cache", (double)st->cached_tokens },
        { metric_counter_real, "tranche_upstream_output_tokens_total",
          "Tokens that the upstream generated", (double)st->output_tokens },
    };
    const char *name = st->upstream->name;
    char labels[METRIC_LABELS_BYTES];

    metric_labels(labels, (const char *const[]){ "upstream", name, NULL });
    for (size_t i = 0; i < ARRAY_LEN(figures); i++)
        metric_set(figures[i].kind(figures[i].name, figures[i].help, labels), figures[i].value);
    for (size_t i = 0; i < EXCHANGE_END_COUNT; i++) {
        metric_labels(labels, (const char *const[]){ "upstream", name, "end", end_names[i], NULL });
        metric_set(metric_counter_real("tranche_upstream_exchanges_total",
                                       "Requests to the upstream that ended, by how", labels),
                   (double)st->ends[i]);
    }
}

static void measure_parts(const struct server_stats *st)
{
    static const char *const kinds[SHARE_KINDS] = {
        [SHARE_REQUESTS] = "requests", [SHARE_TOKENS] = "tokens", [SHARE_SLOTS] = "slots"
    };
    char labels[METRIC_LABELS_BYTES];

    for (int k = 0; st->shared && k < SHARE_KINDS; k++) {
        metric_labels(labels, (const char *const[]){ "upstream", st->upstream->name, "kind",
                                                     kinds[k], NULL });
        metric_set(metric_gauge("tranche_upstream_share",
                                "Part of the upstream's limits that this process may use", labels),
                   st->part[k]);
    }
}

void upstream_servers_measure(struct upstream_servers *all)
{
    struct server_stats st;
    struct arena a = { 0 };

    for (uint32_t i = 0; upstream_servers_at(all, i, &a, &st); i++) {
        measure(&st);
        measure_parts(&st);
    }
    arena_release(&a);
}
