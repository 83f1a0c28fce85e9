#include "net/client/http_pool.h"

#include "base/mem.h"
#include "base/thread.h"

struct http_pool {
    pthread_mutex_t lock; /* guards everything below */
    struct http_client *idle[HTTP_POOL_KEPT];
    uint32_t idle_count;
};

struct http_pool *http_pool_new(void)
{
    struct http_pool *p = mem_alloc(sizeof *p);

    lock_init(&p->lock);
    return p;
}

void http_pool_free(struct http_pool *p)
{
    if (!p)
        return;
    while (p->idle_count)
        http_client_free(p->idle[--p->idle_count]);
    lock_destroy(&p->lock);
    mem_free(p);
}

struct http_client *http_pool_take(struct http_pool *p)
{
    struct http_client *c = NULL;

    lock(&p->lock);
    if (p->idle_count)
        c = p->idle[--p->idle_count];
    unlock(&p->lock);
    return c ? c : http_client_new();
}

void http_pool_give(struct http_pool *p, struct http_client *c)
{
    lock(&p->lock);
    bool kept = p->idle_count < HTTP_POOL_KEPT;
    if (kept)
        p->idle[p->idle_count++] = c;
    unlock(&p->lock);
    if (!kept)
        http_client_free(c);
}
