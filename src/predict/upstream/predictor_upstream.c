/* Upstream servers as a predictor: the session's thread makes tasks of requests and takes them back
 * answered; the loop's thread (loop.c) does the work between. */
#include "predict/predictor.h"

#include <stdio.h>

#include "base/mem.h"
#include "predict/upstream/loop.h"

/* Requests that wait in the session beside those in flight: enough that the next one is there when a
 * slot becomes free, few enough that an online call does not wait behind many. */
#define AHEAD_MIN 16
#define AHEAD_SHARE 4 /* one waits for each 4 slots */
#define UPSTREAM_ATTEMPTS 10

/* Only the session's thread uses it, but for the route, which the loop uses too (credits, members), and
 * the checks. */
struct upstream_session {
    struct predictor base; /* first, so that a pointer to it is one to this */
    struct clock *clock;
    struct upstream_servers *own; /* NULL: the environment's are used */
    struct upstream_route route;
    struct schemas *checks;
    struct upstream_loop *loop;
    struct upstream_task *task; /* base.window of them */
    struct upstream_task *pool;
    struct upstream_task *ready; /* answered, not yet taken */
    uint32_t open;
    bool draining;
    struct predictor_stats stats;
};

static const struct predictor_ops upstream_ops;

static struct upstream_session *session_of(struct predictor *p)
{
    return (struct upstream_session *)p;
}

static void upstream_close(struct predictor *p)
{
    struct upstream_session *s = session_of(p);

    if (!s)
        return;
    upstream_loop_free(s->loop);
    schemas_free(s->checks);
    upstream_route_release(&s->route);
    for (uint32_t i = 0; s->task && i < s->base.window; i++)
        answer_release(&s->task[i].answer);
    mem_free(s->task);
    upstream_servers_free(s->own);
    mem_free(s);
}

static uint32_t window_of(const struct model *m)
{
    uint32_t most = 0;

    for (uint32_t i = 0; i < m->upstream_count; i++)
        most += m->upstream[i].upstream->concurrency_max;
    return most + most / AHEAD_SHARE + AHEAD_MIN;
}

static void name_version(struct predictor *p, const struct model *m)
{
    size_t at = 0;

    for (uint32_t i = 0; i < m->upstream_count && at + 1 < sizeof p->version; i++)
        at += (size_t)snprintf(p->version + at, sizeof p->version - at, "%s%s%s%s", i ? ", " : "",
                               m->upstream[i].model, m->upstream_count > 1 ? "@" : "",
                               m->upstream_count > 1 ? m->upstream[i].upstream->name : "");
}

static int open_loop(struct upstream_session *s, const struct model *m,
                     const struct predictor_env *env, struct error *e)
{
    struct upstream_servers *servers = env->servers;

    if (!servers)
        servers = s->own = upstream_servers_new(env->clock);
    if (upstream_route_init(&s->route, m, servers, env->has_files, e) < 0)
        return -1;
    s->checks = schemas_new();
    s->loop = upstream_loop_new(&s->route, s->checks, env, s->base.window, e);
    return s->loop ? 0 : -1;
}

struct predictor *predictor_upstream_open(const struct model *m, const struct predictor_env *env,
                                          struct error *e)
{
    struct upstream_session *s = mem_alloc(sizeof *s);

    s->base.ops = &upstream_ops;
    s->base.window = window_of(m);
    s->base.attempts = UPSTREAM_ATTEMPTS;
    s->clock = env->clock;
    name_version(&s->base, m);
    s->task = mem_array(s->base.window, sizeof *s->task);
    for (uint32_t i = s->base.window; i > 0; i--) {
        s->task[i - 1].next = s->pool;
        s->pool = &s->task[i - 1];
    }
    if (open_loop(s, m, env, e) == 0)
        return &s->base;
    upstream_close(&s->base);
    return NULL;
}

static bool upstream_accepts(struct predictor *p, const struct request *r, struct violation *why)
{
    struct upstream_session *s = session_of(p);

    return upstream_route_can(&s->route, r, why) != 0 && answer_checks_can(s->checks, r, why);
}

/* Finds the targets that accept the request. A single one was asked at validation. */
static int find_targets(const struct upstream_session *s, struct upstream_task *t)
{
    struct violation why;

    t->targets = s->route.count == 1 ? 1 : upstream_route_can(&s->route, t->request, &why);
    if (t->targets)
        return 0;
    return error_set(&t->answer.error, ERROR_INVALID_ARGUMENT, "%s: %s %s", why.path, why.message,
                     why.remedy);
}

static int upstream_submit(struct predictor *p, const struct request *r, void *tag, struct error *e)
{
    struct upstream_session *s = session_of(p);
    uint32_t room = upstream_route_room(&s->route);

    if (!s->pool || s->open >= room + room / AHEAD_SHARE + AHEAD_MIN)
        return error_set(e, ERROR_RESOURCE_EXHAUSTED, "%u requests are open.", s->open);
    struct upstream_task *t = s->pool;
    s->pool = t->next;
    *t = (struct upstream_task){ .request = r, .since_ns = s->clock->mono_ns(s->clock) };
    t->answer.tag = tag;
    s->open++;
    if (find_targets(s, t) < 0)
        t->targets = 0; /* the loop returns it with its error */
    upstream_loop_send(s->loop, t);
    return 0;
}

static int upstream_wait(struct predictor *p, uint32_t timeout_ms, struct answer *out,
                         struct error *e)
{
    struct upstream_session *s = session_of(p);
    struct upstream_task *t = s->ready ? s->ready : upstream_loop_take(s->loop, timeout_ms);

    if (!t && upstream_loop_broken(s->loop))
        return error_set(e, ERROR_INTERNAL, "the session cannot wait for its connections any more");
    if (!t)
        return 0;
    s->ready = t->next;
    const struct usage *u = &t->answer.usage;
    uint64_t generated = (uint64_t)u->candidate_tokens + u->thought_tokens;
    s->stats.prompt_tokens += u->prompt_tokens;
    s->stats.reused_tokens += u->cached_tokens;
    s->stats.generated_tokens += generated;
    s->stats.computed_tokens += u->prompt_tokens - u->cached_tokens + generated;
    *out = t->answer;
    t->answer = (struct answer){ 0 };
    t->next = s->pool;
    s->pool = t;
    s->open--;
    return 1;
}

static void upstream_drain(struct predictor *p)
{
    upstream_loop_drain(session_of(p)->loop);
}

/* A task in the pool was answered already, and its tag is gone. */
static void upstream_cancel(struct predictor *p, void *tag)
{
    struct upstream_session *s = session_of(p);

    for (uint32_t i = 0; i < s->base.window; i++)
        if (s->task[i].request && s->task[i].answer.tag == tag)
            upstream_loop_cancel(s->loop, &s->task[i]);
}

static void upstream_stats(struct predictor *p, struct predictor_stats *out)
{
    struct upstream_session *s = session_of(p);

    *out = s->stats;
    out->sequences = upstream_loop_in_flight(s->loop);
    out->sequences_max = upstream_route_room(&s->route);
    if (out->sequences_max < out->sequences) /* the limit fell in the meantime */
        out->sequences_max = out->sequences;
    upstream_route_note(&s->route, out->note);
}

static const struct predictor_ops upstream_ops = {
    .name = "upstream",
    .accepts = upstream_accepts,
    .submit = upstream_submit,
    .wait = upstream_wait,
    .drain = upstream_drain,
    .stats = upstream_stats,
    .cancel = upstream_cancel,
    .close = upstream_close,
};
