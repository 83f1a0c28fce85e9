/* server_share.c -- this process's part of a server's configured limits, when other processes use the server too. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/thread.h"
#include "predict/upstream/server_inner.h"

#define ALMOST_NOTHING 1e-9 /* the limit of a bucket that is not to fill: 0 is none */

double server_slots_configured(const struct upstream *u)
{
    return u->concurrency                                       ? u->concurrency
           : u->concurrency_max != UPSTREAM_CONCURRENCY_DEFAULT ? u->concurrency_max
                                                                : 0;
}

bool server_is_shared(const struct upstream_server *s)
{
    return s->all->wanted && share_limits(&s->share);
}

/* Other processes spend a part after its end, also when this machine slept meanwhile. */
static bool has_part(const struct upstream_server *s)
{
    return share_valid(&s->share, s->clock->boot_ns(s->clock));
}

uint32_t server_slots_max(const struct upstream_server *s)
{
    if (!server_is_shared(s) || !(s->share.limit[SHARE_SLOTS] > 0))
        return (uint32_t)s->limit.max;
    return has_part(s) ? (uint32_t)s->share.part[SHARE_SLOTS] : 0;
}

uint32_t server_limit_of(const struct upstream_server *s)
{
    uint32_t limit = limit_now(&s->limit), most = server_slots_max(s);

    return limit < most ? limit : most;
}

bool server_has_lapsed(const struct upstream_server *s)
{
    return server_is_shared(s) && !has_part(s);
}

/* ---- Parts: what is needed, what is given ---- */

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
                                   .now_ns = server_now_ns(s),
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
    uint64_t now = server_now_ns(s);
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
