/* thread.h -- locks and conditions that cannot fail unnoticed.
 *
 * Why: a failed pthread_mutex_lock means a destroyed or corrupted mutex. Going on would corrupt the
 * state that the lock guards, so the program ends with a message; a run resumes later (I1, I2).
 *
 * Errors:  none are returned; the functions print one line and abort().
 * Threads: all.
 */
#ifndef TRANCHE_BASE_THREAD_H
#define TRANCHE_BASE_THREAD_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

void lock_init(pthread_mutex_t *m);
void lock_destroy(pthread_mutex_t *m);
void lock(pthread_mutex_t *m);
void unlock(pthread_mutex_t *m);

void cond_init(pthread_cond_t *c); /* its deadlines are on the monotonic clock */
void cond_destroy(pthread_cond_t *c);
void cond_signal(pthread_cond_t *c);
void cond_broadcast(pthread_cond_t *c);
void cond_wait(pthread_cond_t *c, pthread_mutex_t *m);
/* timeout_ms from now as a deadline on the system's monotonic clock; UINT32_MAX gives no deadline. */
uint64_t deadline_in_ms(uint32_t timeout_ms);
#define DEADLINE_NONE UINT64_MAX
/* False when the deadline passed without a signal. */
bool cond_wait_until(pthread_cond_t *c, pthread_mutex_t *m, uint64_t deadline_ns);

void thread_join(pthread_t thread);

/* ---- Threads that may not wait ----
 * A thread that serves many clients stops them all when it waits for one of their networks, models or
 * files. Such a thread sets its role once, and each call that can wait so long asserts that its thread has
 * none. Only builds with TRANCHE_CHECK_WAITS check it; the others do not pay for it. */
enum thread_role {
    THREAD_OWN,        /* serves one job or one purpose: may wait */
    THREAD_CONNECTION, /* reads and writes sockets of the HTTP server */
    THREAD_WORKER,     /* handles calls */
    THREAD_UPSTREAM    /* owns a session's connections to upstream servers */
};
void thread_role_set(enum thread_role role);
enum thread_role thread_role(void);
/* what: the call that can wait, for the message ("an HTTP request"). */
void assert_may_wait(const char *what);

#endif
