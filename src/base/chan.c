#include "base/chan.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

#include "base/mem.h"

struct chan {
    pthread_mutex_t lock; /* guards everything below */
    pthread_cond_t not_empty, not_full;
    void **item; /* ring: [head, head + count) modulo cap is live */
    size_t cap, head, count;
    bool closed; /* set once */
};

struct chan *chan_new(size_t cap)
{
    struct chan *c = mem_alloc(sizeof *c);
    pthread_condattr_t attr;

    c->item = mem_array(cap, sizeof *c->item);
    c->cap = cap;
    (void)pthread_mutex_init(&c->lock, NULL);
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&c->not_empty, &attr);
    (void)pthread_cond_init(&c->not_full, NULL);
    (void)pthread_condattr_destroy(&attr);
    return c;
}

void chan_free(struct chan *c)
{
    if (!c)
        return;
    (void)pthread_cond_destroy(&c->not_full);
    (void)pthread_cond_destroy(&c->not_empty);
    (void)pthread_mutex_destroy(&c->lock);
    mem_free(c->item);
    mem_free(c);
}

/* Under the lock: true when there was room. */
static bool put(struct chan *c, void *item)
{
    if (c->closed || c->count == c->cap)
        return false;
    c->item[(c->head + c->count++) % c->cap] = item;
    (void)pthread_cond_signal(&c->not_empty);
    return true;
}

bool chan_send(struct chan *c, void *item)
{
    (void)pthread_mutex_lock(&c->lock);
    while (!c->closed && c->count == c->cap)
        (void)pthread_cond_wait(&c->not_full, &c->lock);
    bool sent = put(c, item);
    (void)pthread_mutex_unlock(&c->lock);
    return sent;
}

bool chan_try_send(struct chan *c, void *item)
{
    (void)pthread_mutex_lock(&c->lock);
    bool sent = put(c, item);
    (void)pthread_mutex_unlock(&c->lock);
    return sent;
}

static struct timespec deadline_after(uint32_t timeout_ms)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += timeout_ms / 1000;
    t.tv_nsec += (long)(timeout_ms % 1000) * 1000000L;
    if (t.tv_nsec >= 1000000000L) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000L;
    }
    return t;
}

/* Under the lock: waits for an item; false when the time is over or the channel is closed. */
static bool await_item(struct chan *c, uint32_t timeout_ms)
{
    struct timespec until = { 0 };

    if (timeout_ms != UINT32_MAX)
        until = deadline_after(timeout_ms);
    while (c->count == 0 && !c->closed) {
        if (timeout_ms == UINT32_MAX)
            (void)pthread_cond_wait(&c->not_empty, &c->lock);
        else if (timeout_ms == 0 ||
                 pthread_cond_timedwait(&c->not_empty, &c->lock, &until) == ETIMEDOUT)
            break;
    }
    return c->count > 0;
}

void *chan_recv(struct chan *c, uint32_t timeout_ms)
{
    void *item = NULL;

    (void)pthread_mutex_lock(&c->lock);
    if (await_item(c, timeout_ms)) {
        item = c->item[c->head];
        c->head = (c->head + 1) % c->cap;
        c->count--;
        (void)pthread_cond_signal(&c->not_full);
    }
    (void)pthread_mutex_unlock(&c->lock);
    return item;
}

void chan_close(struct chan *c)
{
    (void)pthread_mutex_lock(&c->lock);
    c->closed = true;
    (void)pthread_cond_broadcast(&c->not_empty);
    (void)pthread_cond_broadcast(&c->not_full);
    (void)pthread_mutex_unlock(&c->lock);
}

bool chan_closed(const struct chan *c)
{
    struct chan *m = (struct chan *)(uintptr_t)c; /* the lock is not part of the value */

    (void)pthread_mutex_lock(&m->lock);
    bool closed = m->closed;
    (void)pthread_mutex_unlock(&m->lock);
    return closed;
}

size_t chan_count(const struct chan *c)
{
    struct chan *m = (struct chan *)(uintptr_t)c;

    (void)pthread_mutex_lock(&m->lock);
    size_t count = m->count;
    (void)pthread_mutex_unlock(&m->lock);
    return count;
}
