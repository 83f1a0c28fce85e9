#include "engine/service/choice.h"

#include "base/mem.h"

struct load {
    uint32_t running, waiting;
};

static uint32_t running(const struct choice *s)
{
    uint32_t n = 0;

    for (size_t i = 0; i < s->count; i++)
        n += s->job[i].running;
    return n;
}

static struct load *loads_of(const struct choice *s)
{
    struct load *load = mem_array(s->project_count + 1, sizeof *load);

    for (size_t i = 0; i < s->count; i++) {
        const struct choice_job *j = &s->job[i];
        load[j->project].running += j->running;
        load[j->project].waiting += !j->running;
    }
    return load;
}

static double load_with(const struct choice *s, const struct load *load, uint32_t project, int more)
{
    return ((double)load[project].running + more) / s->weight[project];
}

/* True: a goes before b. Both wait. */
static bool goes_before(const struct choice *s, const struct load *load, const struct choice_job *a,
                        const struct choice_job *b)
{
    double la = load_with(s, load, a->project, 1), lb = load_with(s, load, b->project, 1);

    if (a->project != b->project && (a->turn < b->turn || b->turn < a->turn))
        return a->turn < b->turn;
    if (a->project != b->project && (la < lb || lb < la))
        return la < lb;
    if (a->priority != b->priority)
        return a->priority > b->priority;
    return a->id < b->id;
}

static size_t best_waiting(const struct choice *s, const struct load *load)
{
    size_t best = SIZE_MAX;

    for (size_t i = 0; i < s->count; i++) {
        if (s->job[i].running)
            continue;
        if (best == SIZE_MAX || goes_before(s, load, &s->job[i], &s->job[best]))
            best = i;
    }
    return best;
}

size_t choice_start(const struct choice *s)
{
    if (running(s) >= s->running_max)
        return SIZE_MAX;
    struct load *load = loads_of(s);
    size_t best = best_waiting(s, load);
    mem_free(load);
    return best;
}

/* Has the waiting job w a better right to a place than the running job r? Its turn is not later, and after the exchange w's
 * project must still be less loaded than r's was, or they would take turns for ever. */
static bool has_right(const struct choice *s, const struct load *load, const struct choice_job *w,
                      const struct choice_job *r)
{
    if (w->project == r->project)
        return w->priority > r->priority;
    if (w->turn > r->turn)
        return false;
    return load_with(s, load, w->project, 1) < load_with(s, load, r->project, 0);
}

/* The most loaded project first, then the lowest priority, then the youngest. */
static bool goes_first(const struct choice *s, const struct load *load, const struct choice_job *a,
                       const struct choice_job *b)
{
    double la = load_with(s, load, a->project, 0), lb = load_with(s, load, b->project, 0);

    if (a->project != b->project && (la < lb || lb < la))
        return la > lb;
    if (a->priority != b->priority)
        return a->priority < b->priority;
    return a->id > b->id;
}

static size_t first_to_go(const struct choice *s, const struct load *load, size_t waiting)
{
    size_t first = SIZE_MAX;

    for (size_t i = 0; i < s->count; i++) {
        const struct choice_job *r = &s->job[i];
        if (!r->running || !r->may_yield || !has_right(s, load, &s->job[waiting], r))
            continue;
        if (first == SIZE_MAX || goes_first(s, load, r, &s->job[first]))
            first = i;
    }
    return first;
}

size_t choice_yield(const struct choice *s)
{
    if (running(s) < s->running_max)
        return SIZE_MAX;
    for (size_t i = 0; i < s->count; i++)
        if (s->job[i].yields)
            return SIZE_MAX;
    struct load *load = loads_of(s);
    size_t waiting = best_waiting(s, load);
    size_t out = waiting == SIZE_MAX ? SIZE_MAX : first_to_go(s, load, waiting);
    mem_free(load);
    return out;
}
