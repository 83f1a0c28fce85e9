#include "engine/service/limits.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "store/fleet/allowance.h"

#define AGAIN_MS 250 /* between two rounds at least, and after one that failed */
/* Two reloads may leave as many upstreams of older settings in use. */
#define KNOWN_MAX (3 * UPSTREAMS_MAX)

static_assert((int)SHARE_KINDS == (int)ALLOWANCE_KINDS &&
                  (int)SHARE_REQUESTS == (int)ALLOWANCE_REQUESTS &&
                  (int)SHARE_TOKENS == (int)ALLOWANCE_TOKENS &&
                  (int)SHARE_SLOTS == (int)ALLOWANCE_SLOTS,
              "what is leased is what paces");

struct limits {
    struct store *store;
    struct upstream_servers *servers;
    pthread_t thread;
    bool failed; /* the last round; the thread's own, as is the next one */
    struct row {
        char name[UPSTREAM_NAME_BYTES];
    } row[KNOWN_MAX]; /* upstreams of which this process has a row */
    uint32_t row_count;

    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t wake;
    bool wanted, stopping;
};

/* ---- Which upstreams have a row ---- */

static uint32_t row_of(const struct limits *l, const char *name)
{
    uint32_t i = 0;

    while (i < l->row_count && strcmp(l->row[i].name, name) != 0)
        i++;
    return i;
}

static void row_set(struct limits *l, const char *name, bool there)
{
    uint32_t at = row_of(l, name);

    if (at == l->row_count && there && l->row_count < KNOWN_MAX)
        (void)snprintf(l->row[l->row_count++].name, UPSTREAM_NAME_BYTES, "%s", name);
    else if (at < l->row_count && !there)
        l->row[at] = l->row[--l->row_count];
}

/* ---- A round ---- */

static void end_part(struct limits *l, const char *name)
{
    const double nothing[SHARE_KINDS] = { 0 };

    upstream_servers_allow(l->servers, name, nothing, 0);
}

static bool holds_any(const struct share_need *n)
{
    bool any = false;

    for (int k = 0; k < SHARE_KINDS; k++)
        any = any || n->holds[k] > 0;
    return any;
}

/* Makes the question for an upstream; false: there is none. A part that is not needed ends first, and its row goes with the next
 * round: a request that was sent between the two is seen then. */
static bool ask_for(struct limits *l, const struct server_need *n, bool ends,
                    struct allowance_ask *ask)
{
    bool wants = n->need.wants && !ends;

    *ask = (struct allowance_ask){ .upstream = n->name, .leaves = !wants };
    for (int k = 0; k < SHARE_KINDS; k++) {
        ask->limit[k] = n->need.limit[k];
        ask->holds[k] = n->need.holds[k];
        ask->need[k] = n->need.need[k];
        ask->unit[k] = n->need.unit[k];
    }
    if (!wants && !ends && holds_any(&n->need)) {
        end_part(l, n->name);
        return false;
    }
    return wants || row_of(l, n->name) < l->row_count;
}

static void apply(struct limits *l, const struct allowance_ask *ask, const struct allowance *got,
                  uint64_t until_ns)
{
    row_set(l, ask->upstream, !ask->leaves);
    if (ask->leaves)
        end_part(l, ask->upstream);
    else
        upstream_servers_allow(l->servers, ask->upstream, got->share, until_ns);
}

static void report(struct limits *l, int rc, const struct error *e)
{
    if (rc < 0 && !l->failed)
        log_warn("the limits of the upstreams are not leased now, and requests stop soon: %s",
                 e->msg);
    else if (rc == 0 && l->failed)
        log_info("the limits of the upstreams are leased again");
    l->failed = rc < 0;
}

/* True: a part shrank, and others wait to hear of it. ends: all is given back. */
static bool renew(struct limits *l, bool ends)
{
    struct arena a = { 0 };
    struct server_need *need;
    struct error e;
    struct clock *clock = store_clock(l->store);
    uint64_t until = clock->boot_ns(clock) + (ALLOWANCE_VALID_MS - ALLOWANCE_MARGIN_MS) * NS_PER_MS;
    uint32_t count, asked = 0;
    bool shrank = false;

    upstream_servers_needs(l->servers, &a, &need, &count);
    struct allowance_ask *ask = arena_array(&a, count + 1, sizeof *ask);
    struct allowance *got = arena_array(&a, count + 1, sizeof *got);
    for (uint32_t i = 0; i < count; i++)
        asked += ask_for(l, &need[i], ends, &ask[asked]);
    int rc = asked ? allowance_renew(l->store, ask, asked, got, &e) : 0;
    if (!ends)
        report(l, rc, &e);
    for (uint32_t i = 0; i < asked && rc == 0; i++) {
        apply(l, &ask[i], &got[i], until);
        shrank = shrank || got[i].shrank;
    }
    arena_release(&a);
    return shrank;
}

/* ---- The thread ---- */

static void on_wanted(void *arg)
{
    struct limits *l = arg;

    lock(&l->lock);
    if (!l->wanted)
        cond_signal(&l->wake);
    l->wanted = true;
    unlock(&l->lock);
}

/* False when it is to stop. */
static bool wait_for_round(struct limits *l)
{
    uint64_t soon = deadline_in_ms(AGAIN_MS), late = deadline_in_ms(ALLOWANCE_RENEW_MS);

    lock(&l->lock);
    while (!l->stopping && cond_wait_until(&l->wake, &l->lock, soon))
        ;
    while (!l->stopping && !l->wanted && cond_wait_until(&l->wake, &l->lock, late))
        ;
    l->wanted = false;
    bool goes_on = !l->stopping;
    unlock(&l->lock);
    return goes_on;
}

static void *run(void *arg)
{
    struct limits *l = arg;

    do {
        if (renew(l, false))
            (void)renew(l, false);
    } while (wait_for_round(l));
    if (!l->failed)
        (void)renew(l, true);
    return NULL;
}

struct limits *limits_start(struct store *store, struct upstream_servers *servers, struct error *e)
{
    struct limits *l = mem_alloc(sizeof *l);

    l->store = store;
    l->servers = servers;
    lock_init(&l->lock);
    cond_init(&l->wake);
    upstream_servers_share(servers, on_wanted, l);
    if (pthread_create(&l->thread, NULL, run, l) == 0)
        return l;
    cond_destroy(&l->wake);
    lock_destroy(&l->lock);
    mem_free(l);
    (void)error_set(e, ERROR_RESOURCE_EXHAUSTED, "no thread could be made for shared limits");
    return NULL;
}

void limits_stop(struct limits *l)
{
    if (!l)
        return;
    lock(&l->lock);
    l->stopping = true;
    cond_signal(&l->wake);
    unlock(&l->lock);
    thread_join(l->thread);
    cond_destroy(&l->wake);
    lock_destroy(&l->lock);
    mem_free(l);
}
