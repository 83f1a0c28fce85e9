#include "predict/local/masker.h"

#include <assert.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/thread.h"

struct masker {
    struct follower **item; /* [count]; the owner's until masker_start */
    uint32_t count;
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t more, idle;
    uint32_t given, next; /* item[next .. given - 1] are not begun */
    bool computing, stop; /* the thread's, and for it */
};

struct masker *masker_new(void)
{
    struct masker *m = mem_alloc(sizeof *m);

    lock_init(&m->lock);
    cond_init(&m->more);
    cond_init(&m->idle);
    return m;
}

/* Under the lock, which it gives up while it computes. */
static void compute_next(struct masker *m)
{
    struct follower *f = m->item[m->next++];
    struct error ignored;

    unlock(&m->lock);
    (void)follower_mask(f, &ignored);
    lock(&m->lock);
}

static void *masker_main(void *arg)
{
    struct masker *m = arg;

    lock(&m->lock);
    while (!m->stop) {
        if (m->next == m->given) {
            cond_wait(&m->more, &m->lock);
            continue;
        }
        m->computing = true;
        compute_next(m);
        m->computing = false;
        cond_signal(&m->idle);
    }
    unlock(&m->lock);
    return NULL;
}

void masker_free(struct masker *m)
{
    if (!m)
        return;
    lock(&m->lock);
    m->stop = true;
    cond_signal(&m->more);
    unlock(&m->lock);
    if (m->has_thread)
        thread_join(m->thread);
    cond_destroy(&m->idle);
    cond_destroy(&m->more);
    lock_destroy(&m->lock);
    mem_free(m->item);
    mem_free(m);
}

void masker_add(struct masker *m, struct follower *f)
{
    if (!m->has_thread)
        m->has_thread = pthread_create(&m->thread, NULL, masker_main, m) == 0;
    m->item = mem_list_grow(m->item, m->count, sizeof(struct follower *));
    m->item[m->count++] = f;
}

void masker_start(struct masker *m)
{
    if (!m->count)
        return;
    lock(&m->lock);
    assert(!m->given && !m->next && !m->computing);
    m->given = m->count;
    cond_signal(&m->more);
    unlock(&m->lock);
}

void masker_wait(struct masker *m, uint64_t most_ns)
{
    if (!m->count)
        return;
    uint64_t begun = clock_thread_ns();
    lock(&m->lock);
    while (m->next < m->given && clock_thread_ns() - begun < most_ns)
        compute_next(m);
    m->next = m->given;
    while (m->computing)
        cond_wait(&m->idle, &m->lock);
    m->given = m->next = 0;
    unlock(&m->lock);
    m->count = 0;
}
