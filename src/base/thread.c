#include "base/thread.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"

static void must(int rc, const char *what)
{
    if (rc == 0)
        return;
    // NOLINTNEXTLINE(concurrency-mt-unsafe): glibc's strerror is safe since 2.32
    (void)fprintf(stderr, "tranche: %s failed: %s\n", what, strerror(rc));
    abort();
}

void lock_init(pthread_mutex_t *m)
{
    must(pthread_mutex_init(m, NULL), "pthread_mutex_init");
}

void lock_destroy(pthread_mutex_t *m)
{
    must(pthread_mutex_destroy(m), "pthread_mutex_destroy");
}

void lock(pthread_mutex_t *m)
{
    must(pthread_mutex_lock(m), "pthread_mutex_lock");
}

void unlock(pthread_mutex_t *m)
{
    must(pthread_mutex_unlock(m), "pthread_mutex_unlock");
}

void cond_init(pthread_cond_t *c)
{
    pthread_condattr_t attr;

    must(pthread_condattr_init(&attr), "pthread_condattr_init");
    must(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC), "pthread_condattr_setclock");
    must(pthread_cond_init(c, &attr), "pthread_cond_init");
    (void)pthread_condattr_destroy(&attr);
}

void cond_destroy(pthread_cond_t *c)
{
    must(pthread_cond_destroy(c), "pthread_cond_destroy");
}

void cond_signal(pthread_cond_t *c)
{
    must(pthread_cond_signal(c), "pthread_cond_signal");
}

void cond_broadcast(pthread_cond_t *c)
{
    must(pthread_cond_broadcast(c), "pthread_cond_broadcast");
}

void cond_wait(pthread_cond_t *c, pthread_mutex_t *m)
{
    must(pthread_cond_wait(c, m), "pthread_cond_wait");
}

/* In the system's own time: a fake clock moves no condition. */
uint64_t deadline_in_ms(uint32_t timeout_ms)
{
    struct clock *clock = clock_system();

    if (timeout_ms == UINT32_MAX)
        return DEADLINE_NONE;
    return clock->mono_ns(clock) + timeout_ms * NS_PER_MS;
}

bool cond_wait_until(pthread_cond_t *c, pthread_mutex_t *m, uint64_t deadline_ns)
{
    const struct timespec t = { .tv_sec = (time_t)(deadline_ns / NS_PER_S),
                                .tv_nsec = (long)(deadline_ns % NS_PER_S) };

    if (deadline_ns == DEADLINE_NONE) {
        cond_wait(c, m);
        return true;
    }
    int rc = pthread_cond_timedwait(c, m, &t);
    if (rc != ETIMEDOUT)
        must(rc, "pthread_cond_timedwait");
    return rc != ETIMEDOUT;
}

static _Thread_local enum thread_role own_role;

void thread_role_set(enum thread_role role)
{
    own_role = role;
}

enum thread_role thread_role(void)
{
    return own_role;
}

void assert_may_wait(const char *what)
{
#ifdef TRANCHE_CHECK_WAITS
    static const char *const names[] = { "", "connection", "worker", "upstream" };

    if (own_role == THREAD_OWN)
        return;
    (void)fprintf(stderr, "tranche: %s may not run on a thread of role %s\n", what,
                  names[own_role]);
    abort();
#else
    (void)what;
#endif
}

void thread_join(pthread_t thread)
{
    must(pthread_join(thread, NULL), "pthread_join");
}
