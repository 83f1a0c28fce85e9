#include "engine/service/probe.h"

#include <pthread.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "store/objects/blob.h"

struct probe {
    struct store *store;
    pthread_t thread;
    pthread_mutex_t lock; /* guards stopping */
    pthread_cond_t wake;
    bool stopping;
};

static bool wait(struct probe *p)
{
    uint64_t until = deadline_in_ms(PROBE_EVERY_MS);

    lock(&p->lock);
    while (!p->stopping && cond_wait_until(&p->wake, &p->lock, until))
        ;
    bool goes_on = !p->stopping;
    unlock(&p->lock);
    return goes_on;
}

static void *run(void *arg)
{
    struct probe *p = arg;
    bool failed = false;

    do {
        struct error e;
        int rc = blob_probe(p->store, &e);
        if (rc < 0 && !failed)
            log_warn("this process is not ready: %s", e.msg);
        else if (rc == 0 && failed)
            log_info("the bucket answers again");
        failed = rc < 0;
    } while (wait(p));
    return NULL;
}

struct probe *probe_start(struct store *store, struct error *e)
{
    struct probe *p = mem_alloc(sizeof *p);

    p->store = store;
    lock_init(&p->lock);
    cond_init(&p->wake);
    if (pthread_create(&p->thread, NULL, run, p) == 0)
        return p;
    cond_destroy(&p->wake);
    lock_destroy(&p->lock);
    mem_free(p);
    (void)error_set(e, ERROR_RESOURCE_EXHAUSTED, "no thread could be made to watch the bucket");
    return NULL;
}

void probe_stop(struct probe *p)
{
    if (!p)
        return;
    lock(&p->lock);
    p->stopping = true;
    cond_signal(&p->wake);
    unlock(&p->lock);
    thread_join(p->thread);
    cond_destroy(&p->wake);
    lock_destroy(&p->lock);
    mem_free(p);
}
