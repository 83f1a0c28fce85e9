#include "api/later.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/thread.h"

struct task {
    struct task *next;
    struct call *call;
    void (*fn)(struct call *c);
    char project[PROJECT_BYTES];
    bool stranger; /* its project is not known */
};

struct later {
    pthread_mutex_t lock;   /* guards all below */
    pthread_cond_t changed; /* a task came, or ended */
    struct task *first, *last;
    struct task *running[LATER_SHARED_THREADS]; /* by thread; NULL: it waits for a task */
    pthread_t thread[LATER_SHARED_THREADS];
    uint32_t thread_count, thread_max, project_max, numbered;
    bool ending;
};

struct later *later_new(bool shared)
{
    struct later *l = mem_alloc(sizeof *l);

    l->thread_max = shared ? LATER_SHARED_THREADS : LATER_THREADS;
    l->project_max = shared ? LATER_SHARED_PROJECT_MAX : LATER_PROJECT_MAX;
    lock_init(&l->lock);
    cond_init(&l->changed);
    return l;
}

/* Under the lock: has this task's project, or have the strangers, a thread left? */
static bool may_run(const struct later *l, const struct task *t)
{
    uint32_t same = 0;

    for (uint32_t i = 0; i < l->thread_max; i++) {
        const struct task *r = l->running[i];
        if (r && r->stranger == t->stranger)
            same += t->stranger || strcmp(r->project, t->project) == 0;
    }
    return same < (t->stranger ? l->thread_max / 2 : l->project_max);
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
        l->running[self] = NULL;
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
    while (l->thread_count < l->thread_max &&
           pthread_create(&l->thread[l->thread_count], NULL, later_main, l) == 0)
        l->thread_count++;
}

static void put(struct later *l, struct call *c, void (*fn)(struct call *c), bool stranger)
{
    struct task *t = mem_alloc(sizeof *t);

    *t = (struct task){ .call = c, .fn = fn, .stranger = stranger };
    (void)snprintf(t->project, sizeof t->project, "%s", c->who.project);
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

void later_run(struct later *l, struct call *c, void (*fn)(struct call *c))
{
    put(l, c, fn, false);
}

void later_begin(struct later *l, struct call *c, void (*fn)(struct call *c))
{
    put(l, c, fn, true);
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
