/* keeper.c -- this process's lease in a store that several share: renewed in time, lost in order, made again.
 *
 * Rule:    a process that cannot renew its lease stops its work before the lease ends: runners look at fleet_holds ten times
 *          a second, and this thread ends all of them. Nothing begins before there is a new lease.
 */
#include "base/log.h"
#include "base/thread.h"
#include "engine/service/service_inner.h"
#include "store/db/store_metrics.h"
#include "store/fleet/fleet.h"

#define AGAIN_MS 500 /* between attempts while the database does not answer, and between looks */

/* Under lock: false when the service ends. */
static bool wait_ms(struct service *s, uint32_t ms)
{
    uint64_t until = deadline_in_ms(ms);

    while (!s->leaving && cond_wait_until(&s->keeper_wake, &s->lock, until))
        ;
    return !s->leaving;
}

static bool pause_work(struct service *s, uint32_t ms)
{
    lock(&s->lock);
    bool goes_on = wait_ms(s, ms);
    unlock(&s->lock);
    return goes_on;
}

static void set_away(struct service *s, bool away)
{
    lock(&s->lock);
    s->away = away;
    unlock(&s->lock);
}

/* The runners end, having recorded nothing; then the process is a new one. */
static void begin_anew(struct service *s, const struct error *why)
{
    struct error e = { 0 };

    log_warn("this process has lost its lease, and what it worked on goes to others: %s", why->msg);
    if (why->code != ERROR_ABORTED) /* which the store has counted */
        store_count(STORE_LEASES_LOST, 1);
    set_away(s, true);
    while (!scheduler_lose(s) && pause_work(s, AGAIN_MS / 10))
        ;
    while (fleet_join(s->env.store, s->env.fleet, &e) < 0) {
        log_warn("no new lease yet: %s", e.msg);
        if (!pause_work(s, AGAIN_MS))
            return;
    }
    log_info("this process is number %lld of the fleet now",
             (long long)fleet_process(s->env.store));
    set_away(s, false);
    open_jobs_all_dirty(s);
    open_jobs_look(s);
}

/* Gives the time until the next renewal. */
static uint32_t renew(struct service *s)
{
    struct error e = { 0 };
    uint32_t freed = 0;
    int rc = fleet_renew(s->env.store, &freed, &e);

    if (freed) {
        log_warn("%u processes have not renewed their leases; their work is free", freed);
        open_jobs_look(s);
    }
    if (rc < 0 && e.code != ERROR_ABORTED && fleet_holds(s->env.store)) {
        log_warn("the lease cannot be renewed now: %s", e.msg);
        return AGAIN_MS;
    }
    if (rc < 0)
        begin_anew(s, &e);
    return FLEET_RENEW_MS;
}

void *keeper_run(void *arg)
{
    struct service *s = arg;

    for (uint32_t ms = FLEET_RENEW_MS; pause_work(s, ms);)
        ms = renew(s);
    fleet_leave(s->env.store);
    return NULL;
}
