/* server_list.c -- the servers of one process: made from settings, found again, kept while a session uses them; and their members. */
#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "base/thread.h"
#include "predict/upstream/server_inner.h"

/* The first estimate of a request's tokens, before the server has answered any. */
#define BYTES_PER_TOKEN 4.0
#define OUTPUT_TOKENS 64.0

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
    s->share.limit[SHARE_SLOTS] = server_slots_configured(u);
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

/* ---- Members ---- */

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
