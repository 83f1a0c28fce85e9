#include "predict/hub/hub_queue.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"

struct fair_project {
    char *name;
    double weight;
    double start;
    uint32_t waiting[FAIR_CLASSES];
    struct fair_source *batch;
    struct fair_source online;
    struct fair_project *next;
};

static enum fair_class class_of(const struct fair_source *s)
{
    return s == &s->project->online ? FAIR_ONLINE : FAIR_BATCH;
}

static bool waits(const struct fair_project *p)
{
    return p->waiting[FAIR_BATCH] || p->waiting[FAIR_ONLINE];
}

static struct fair_project *project_of(struct fair_queue *q, const char *name, double weight)
{
    struct fair_project *p = q->project;

    while (p && strcmp(p->name, name) != 0)
        p = p->next;
    if (!p) {
        p = mem_alloc(sizeof *p);
        p->name = mem_strdup(name);
        p->start = q->now;
        p->online.project = p;
        p->next = q->project;
        q->project = p;
    }
    p->weight = weight > 0 ? weight : 1;
    return p;
}

/* Forgets the projects whose state is that of a new one. */
static void sweep(struct fair_queue *q)
{
    for (struct fair_project **at = &q->project; *at;) {
        struct fair_project *p = *at;
        if (waits(p) || p->batch || p->start > q->now) {
            at = &p->next;
            continue;
        }
        *at = p->next;
        mem_free(p->name);
        mem_free(p);
    }
}

/* Takes the first item of a source that has one. The item keeps its next: fair_drop returns a list. */
static struct fair_item *pop(struct fair_queue *q, struct fair_source *s)
{
    struct fair_item *i = s->head;

    assert(i && s->waiting > 0 && q->waiting[class_of(s)] >= s->waiting);
    s->head = i->next;
    if (!s->head)
        s->tail = NULL;
    s->waiting--;
    s->project->waiting[class_of(s)]--;
    q->waiting[class_of(s)]--;
    return i;
}

void fair_release(struct fair_queue *q)
{
    while (q->project) {
        struct fair_project *p = q->project;
        assert(!waits(p) && !p->batch);
        q->project = p->next;
        mem_free(p->name);
        mem_free(p);
    }
}

void fair_join(struct fair_queue *q, struct fair_source *s, const char *project, double weight)
{
    struct fair_project *p = project_of(q, project, weight);

    s->project = p;
    s->next = p->batch;
    p->batch = s;
}

void fair_leave(struct fair_queue *q, struct fair_source *s)
{
    struct fair_source **at = &s->project->batch;

    assert(s->waiting == 0);
    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    s->project = NULL;
    sweep(q);
}

struct fair_source *fair_online(struct fair_queue *q, const char *project, double weight)
{
    sweep(q);
    return &project_of(q, project, weight)->online;
}

void fair_put(struct fair_queue *q, struct fair_source *s, struct fair_item *i)
{
    struct fair_project *p = s->project;
    enum fair_class class = class_of(s);

    if (!waits(p) && p->start < q->now)
        p->start = q->now;
    i->next = NULL;
    if (s->tail)
        s->tail->next = i;
    else
        s->head = i;
    s->tail = i;
    s->waiting++;
    p->waiting[class]++;
    q->waiting[class]++;
}

static bool goes_before(const struct fair_source *a, const struct fair_source *b)
{
    return a->priority != b->priority ? a->priority > b->priority : a->age < b->age;
}

static struct fair_source *source_next(struct fair_project *p, enum fair_class class)
{
    struct fair_source *best = NULL;

    if (class == FAIR_ONLINE)
        return &p->online;
    for (struct fair_source *s = p->batch; s; s = s->next)
        if (s->waiting && (!best || goes_before(s, best)))
            best = s;
    assert(best); /* the project counts what waits in it */
    return best;
}

/* Returns the project of that class with the least start. The queue's time becomes the least start of
 * both classes, so that a project which only waits for its class's turn stays before newcomers. */
static struct fair_project *project_next(struct fair_queue *q, enum fair_class class)
{
    struct fair_project *best = NULL, *least = NULL;

    for (struct fair_project *p = q->project; p; p = p->next) {
        if (waits(p) && (!least || p->start < least->start))
            least = p;
        if (p->waiting[class] && (!best || p->start < best->start))
            best = p;
    }
    if (least && least->start > q->now)
        q->now = least->start;
    return best;
}

/* When nothing waits any more, no project is ahead of another. */
static void time_to_last(struct fair_queue *q)
{
    for (struct fair_project *p = q->project; p; p = p->next)
        if (p->start > q->now)
            q->now = p->start;
}

struct fair_item *fair_take(struct fair_queue *q, enum fair_class class)
{
    struct fair_project *p = project_next(q, class);

    if (!p)
        return NULL;
    struct fair_item *i = pop(q, source_next(p, class));
    p->start += (double)i->cost / p->weight;
    if (!q->waiting[FAIR_BATCH] && !q->waiting[FAIR_ONLINE])
        time_to_last(q);
    return i;
}

struct fair_item *fair_drop(struct fair_queue *q, struct fair_source *s)
{
    struct fair_item *first = s->head;

    while (s->head)
        (void)pop(q, s);
    return first;
}

void fair_remove(struct fair_queue *q, struct fair_source *s, struct fair_item *i)
{
    struct fair_item *before = NULL;

    for (struct fair_item *at = s->head; at != i; at = at->next)
        before = at;
    if (!before) {
        (void)pop(q, s);
        return;
    }
    before->next = i->next;
    if (s->tail == i)
        s->tail = before;
    assert(s->waiting > 1);
    s->waiting--;
    s->project->waiting[class_of(s)]--;
    q->waiting[class_of(s)]--;
}
