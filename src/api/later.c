#include "api/later.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "base/thread.h"

struct task {
    struct task *next;
    struct call *call;
    void (*fn)(struct call *c);
};

struct later {
    pthread_mutex_t lock;   /* guards all below */
    pthread_cond_t changed; /* a task came, or ended */
    struct task *first, *last;
    struct task *running[LATER_THREADS]; /* by thread; NULL: it waits for a task */
    pthread_t thread[LATER_THREADS];
    uint32_t thread_count, numbered;
    bool ending;
};

struct later *later_new(void)
{
    struct later *l = mem_alloc(sizeof *l);

    lock_init(&l->lock);
    cond_init(&l->changed);
    return l;
}

/* Under the lock: has this task's project a thread left? */
static bool may_run(const struct later *l, const struct task *t)
{
    uint32_t of_project = 0;

    for (uint32_t i = 0; i < LATER_THREADS; i++)
        of_project +=
            l->running[i] && strcmp(l->running[i]->call->who.project, t->call->who.project) == 0;
    return of_project < LATER_PROJECT_MAX;
}

/* Under the lock: takes the first task that may run, or NULL. */
static struct task *task_take(struct later *l)
{
    struct task *before = NULL;

    for (struct task *t = l->first; t; before = t, t = t->next) {
        if (!may_run(l, t))
            continue;
        *(before ? &before->next : &l->first) = t->next;
        if (l->last == t)
            l->last = before;
        return t;
    }
    return NULL;
}

static void task_free(struct task *t)
{
    http_release(t->call->http);
    mem_free(t);
}

static void *later_main(void *arg)
{
    struct later *l = arg;

    lock(&l->lock);
    uint32_t self = l->numbered++;
    while (!l->ending || l->first) {
        struct task *t = task_take(l);
        if (!t) {
            cond_wait(&l->changed, &l->lock);
            continue;
        }
        l->running[self] = t;
        unlock(&l->lock);
        t->fn(t->call);
        lock(&l->lock);
        l->running[self] = NULL; /* before the call goes: its project is compared */
        cond_broadcast(&l->changed);
        unlock(&l->lock);
        task_free(t);
        lock(&l->lock);
    }
    unlock(&l->lock);
    return NULL;
}

/* Under the lock. */
static void start_threads(struct later *l)
{
    while (l->thread_count < LATER_THREADS &&
           pthread_create(&l->thread[l->thread_count], NULL, later_main, l) == 0)
        l->thread_count++;
}

void later_run(struct later *l, struct call *c, void (*fn)(struct call *c))
{
    struct task *t = mem_alloc(sizeof *t);

    *t = (struct task){ .call = c, .fn = fn };
    http_hold(c->http);
    lock(&l->lock);
    assert(!l->ending);
    start_threads(l);
    bool runs = l->thread_count > 0;
    if (runs) {
        *(l->last ? &l->last->next : &l->first) = t;
        l->last = t;
        cond_broadcast(&l->changed);
    }
    unlock(&l->lock);
    if (!runs) {
        fn(c);
        task_free(t);
    }
}

void later_free(struct later *l)
{
    if (!l)
        return;
    lock(&l->lock);
    l->ending = true;
    cond_broadcast(&l->changed);
    unlock(&l->lock);
    for (uint32_t i = 0; i < l->thread_count; i++)
        thread_join(l->thread[i]);
    assert(!l->first);
    cond_destroy(&l->changed);
    lock_destroy(&l->lock);
    mem_free(l);
}
