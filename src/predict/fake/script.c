/* A predictor around another that does what requests' labels say. It holds the requests that wait, fail or
 * hang; the inner predictor gets the others. */
#include "predict/fake/script.h"

#include <stdio.h>

#include "base/mem.h"
#include "predict/fake/script_steps.h"

/* The longest step of a wait while a request is held: a test may move the clock in the meantime. */
#define SLICE_MS 20

struct held {
    uint64_t due_ns; /* UINT64_MAX: never */
    const struct request *request;
    void *tag;
    struct script_act act;
};

/* All of it is the session's thread's. */
struct scripted {
    struct predictor base;    /* first, so that a pointer to it is one to this */
    struct predictor_ops ops; /* without the calls that the inner predictor lacks */
    struct predictor *inner;
    char *deflt; /* or NULL */
    struct clock *clock;
    struct script_memory memory;
    struct held *held; /* held_count of base.window, in order of submission */
    uint32_t held_count;
    uint32_t inner_open;
    uint64_t due_ns; /* the first of the held */
    bool draining;
};

static const struct predictor_ops scripted_ops;

static struct scripted *scripted_of(struct predictor *p)
{
    return (struct scripted *)p;
}

struct predictor *predictor_scripted(struct predictor *inner, const char *deflt,
                                     struct clock *clock, struct error *e)
{
    if (deflt && script_check(str_of(deflt), e) < 0) {
        inner->ops->close(inner);
        return NULL;
    }
    struct scripted *s = mem_alloc(sizeof *s);
    s->ops = scripted_ops;
    if (!inner->ops->accepts)
        s->ops.accepts = NULL;
    if (!inner->ops->count_tokens)
        s->ops.count_tokens = NULL;
    if (!inner->ops->stats)
        s->ops.stats = NULL;
    s->base.ops = &s->ops;
    s->base.window = inner->window;
    s->base.attempts = inner->attempts;
    (void)snprintf(s->base.version, sizeof s->base.version, "%s", inner->version);
    s->inner = inner;
    s->deflt = deflt ? mem_strdup(deflt) : NULL;
    s->clock = clock;
    s->held = mem_array(inner->window, sizeof *s->held);
    s->due_ns = UINT64_MAX;
    return &s->base;
}

/* ---- In ---- */

static int pass_on(struct scripted *s, const struct request *r, void *tag, struct error *e)
{
    if (s->inner->ops->submit(s->inner, r, tag, e) < 0)
        return -1;
    s->inner_open++;
    return 0;
}

static void cancel(struct held *h)
{
    h->due_ns = 0;
    h->act = (struct script_act){ 0 };
    (void)error_set(&h->act.error, ERROR_CANCELLED, "The run was stopped before this request.");
}

static void hold(struct scripted *s, const struct held *h)
{
    s->held[s->held_count++] = *h;
    if (h->due_ns < s->due_ns)
        s->due_ns = h->due_ns;
}

static int scripted_submit(struct predictor *p, const struct request *r, void *tag, struct error *e)
{
    struct scripted *s = scripted_of(p);
    struct held h = { .request = r, .tag = tag };

    if (s->held_count + s->inner_open >= s->base.window)
        return error_set(e, ERROR_RESOURCE_EXHAUSTED, "all %u slots of the session are taken",
                         s->base.window);
    struct str script = script_of(r, s->deflt);
    if (script.len == 0)
        return pass_on(s, r, tag, e);
    if (s->draining) {
        cancel(&h);
        hold(s, &h);
        return 0;
    }
    uint64_t now = s->clock->mono_ns(s->clock);
    script_meet(&s->memory, script, r, &h.act);
    h.due_ns = script_due_ns(&h.act, now);
    if (script_passes(&h.act) && h.due_ns <= now)
        return pass_on(s, r, tag, e);
    hold(s, &h);
    return 0;
}

static void scripted_drain(struct predictor *p)
{
    struct scripted *s = scripted_of(p);

    s->draining = true;
    for (uint32_t i = 0; i < s->held_count; i++)
        cancel(&s->held[i]);
    s->due_ns = s->held_count ? 0 : UINT64_MAX;
    if (s->inner->ops->drain)
        s->inner->ops->drain(s->inner);
}

/* ---- Out ---- */

/* Removes the first held request that is due; false when there is none. */
static bool due_take(struct scripted *s, uint64_t now, struct held *out)
{
    uint32_t at = 0;

    while (at < s->held_count && s->held[at].due_ns > now)
        at++;
    if (at == s->held_count)
        return false;
    *out = s->held[at];
    s->due_ns = UINT64_MAX;
    for (uint32_t i = at + 1; i < s->held_count; i++)
        s->held[i - 1] = s->held[i];
    s->held_count--;
    for (uint32_t i = 0; i < s->held_count; i++)
        if (s->held[i].due_ns < s->due_ns)
            s->due_ns = s->held[i].due_ns;
    return true;
}

/* Answers or passes on what is due: 1 with an answer, 0 when nothing more is due. */
static int due_run(struct scripted *s, uint64_t now, struct answer *out, struct error *e)
{
    struct held h;

    while (s->due_ns <= now && due_take(s, now, &h)) {
        if (script_passes(&h.act)) {
            if (pass_on(s, h.request, h.tag, e) < 0)
                return -1;
            continue;
        }
        *out = (struct answer){ .tag = h.tag };
        script_answer(&h.act, h.request, s->base.version, s->clock, out);
        return 1;
    }
    return 0;
}

static uint32_t slice_ms(const struct scripted *s, uint64_t now, uint64_t until)
{
    uint64_t end = s->due_ns < until ? s->due_ns : until;
    uint64_t ms = end > now ? (end - now + NS_PER_MS - 1) / NS_PER_MS : 0;

    if (s->held_count && ms > SLICE_MS)
        ms = SLICE_MS;
    return ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX;
}

static int inner_wait(struct scripted *s, uint32_t ms, struct answer *out, struct error *e)
{
    if (!s->inner_open) {
        if (ms)
            s->clock->sleep_ns(s->clock, ms * NS_PER_MS);
        return 0;
    }
    int rc = s->inner->ops->wait(s->inner, ms, out, e);
    s->inner_open -= rc == 1;
    return rc;
}

static int scripted_wait(struct predictor *p, uint32_t timeout_ms, struct answer *out,
                         struct error *e)
{
    struct scripted *s = scripted_of(p);
    uint64_t now = s->clock->mono_ns(s->clock), until = now + timeout_ms * NS_PER_MS;

    for (;;) {
        int rc = due_run(s, now, out, e);
        if (rc == 0)
            rc = inner_wait(s, slice_ms(s, now, until), out, e);
        if (rc != 0)
            return rc;
        now = s->clock->mono_ns(s->clock);
        if (now >= until && s->due_ns > now)
            return 0;
    }
}

/* ---- Passed on to the inner predictor ---- */

static bool scripted_accepts(struct predictor *p, const struct request *r, struct violation *why)
{
    struct predictor *inner = scripted_of(p)->inner;

    return inner->ops->accepts(inner, r, why);
}

static int scripted_count_tokens(struct predictor *p, const struct request *r, uint32_t *tokens,
                                 struct error *e)
{
    struct predictor *inner = scripted_of(p)->inner;

    return inner->ops->count_tokens(inner, r, tokens, e);
}

static void scripted_stats(struct predictor *p, struct predictor_stats *out)
{
    struct predictor *inner = scripted_of(p)->inner;

    inner->ops->stats(inner, out);
}

static void scripted_close(struct predictor *p)
{
    struct scripted *s = scripted_of(p);

    if (!s)
        return;
    s->inner->ops->close(s->inner);
    script_memory_release(&s->memory);
    mem_free(s->held);
    mem_free(s->deflt);
    mem_free(s);
}

static const struct predictor_ops scripted_ops = {
    .name = "scripted",
    .accepts = scripted_accepts,
    .submit = scripted_submit,
    .wait = scripted_wait,
    .drain = scripted_drain,
    .count_tokens = scripted_count_tokens,
    .stats = scripted_stats,
    .close = scripted_close,
};
