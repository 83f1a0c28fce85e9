#include "base/chan.h"

#include <assert.h>

#include "base/mem.h"
#include "base/thread.h"

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

    assert(cap > 0);
    c->item = mem_array(cap, sizeof *c->item);
    c->cap = cap;
    lock_init(&c->lock);
    cond_init(&c->not_empty);
    cond_init(&c->not_full);
    return c;
}

void chan_free(struct chan *c)
{
    if (!c)
        return;
    cond_destroy(&c->not_full);
    cond_destroy(&c->not_empty);
    lock_destroy(&c->lock);
    mem_free(c->item);
    mem_free(c);
}

/* Under the lock: true when there was room. */
static bool put(struct chan *c, void *item)
{
    assert(item && c->count <= c->cap && c->head < c->cap); /* NULL is what recv gives for none */
    if (c->closed || c->count == c->cap)
        return false;
    c->item[(c->head + c->count++) % c->cap] = item;
    cond_signal(&c->not_empty);
    return true;
}

bool chan_send(struct chan *c, void *item)
{
    lock(&c->lock);
    while (!c->closed && c->count == c->cap)
        cond_wait(&c->not_full, &c->lock);
    bool sent = put(c, item);
    unlock(&c->lock);
    return sent;
}

bool chan_try_send(struct chan *c, void *item)
{
    lock(&c->lock);
    bool sent = put(c, item);
    unlock(&c->lock);
    return sent;
}

/* Under the lock: waits for an item; false when the time is over or the channel is closed. */
static bool await_item(struct chan *c, uint32_t timeout_ms)
{
    uint64_t deadline = timeout_ms ? deadline_in_ms(timeout_ms) : 0;

    while (c->count == 0 && !c->closed)
        if (timeout_ms == 0 || !cond_wait_until(&c->not_empty, &c->lock, deadline))
            break;
    return c->count > 0;
}

void *chan_recv(struct chan *c, uint32_t timeout_ms)
{
    void *item = NULL;

    lock(&c->lock);
    if (await_item(c, timeout_ms)) {
        assert(c->count <= c->cap && c->head < c->cap);
        item = c->item[c->head];
        c->head = (c->head + 1) % c->cap;
        c->count--;
        cond_signal(&c->not_full);
    }
    unlock(&c->lock);
    return item;
}

void chan_close(struct chan *c)
{
    lock(&c->lock);
    c->closed = true;
    cond_broadcast(&c->not_empty);
    cond_broadcast(&c->not_full);
    unlock(&c->lock);
}

bool chan_closed(const struct chan *c)
{
    struct chan *m = (struct chan *)(uintptr_t)c; /* the lock is not part of the value */

    lock(&m->lock);
    bool closed = m->closed;
    unlock(&m->lock);
    return closed;
}

size_t chan_count(const struct chan *c)
{
    struct chan *m = (struct chan *)(uintptr_t)c;

    lock(&m->lock);
    size_t count = m->count;
    unlock(&m->lock);
    return count;
}
