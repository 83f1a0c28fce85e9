/* online.c -- one request, answered at once: through the model's hub, or as a script says. */
#include "base/json.h"
#include "engine/service_inner.h"
#include "predict/script.h"

#define LOOK_MS 20 /* the deadline and the end of the service are looked at so often */

static int ask_scripted(struct service *s, struct hub *h, const struct online *o, struct error *e);

int service_ask(struct service *s, const struct online *o, struct error *e)
{
    struct service_settings set;
    const struct model *m;
    struct hub *h = service_hub(s, o->model, &m, e);

    if (!h)
        return -1;
    if (s->env.scripted && (o->script || json_get(o->request->labels, SCRIPT_LABEL)))
        return ask_scripted(s, h, o, e);
    service_settings(s, &set);
    struct hub_call c = {
        .request = o->request,
        .project = o->project,
        .weight = service_weight(s, o->project),
        .deadline_ms = set.online_deadline_ms,
        .done = o->done,
        .released = o->released,
        .arg = o->arg,
    };
    return hub_ask(h, &c, e);
}

int service_count_tokens(struct service *s, const char *model, const struct request *r,
                         uint32_t *tokens, struct error *e)
{
    const struct model *m;
    struct hub *h = service_hub(s, model, &m, e);

    return h ? hub_count_tokens(h, r, tokens, e) : -1;
}

static bool is_draining(struct service *s)
{
    pthread_mutex_lock(&s->lock);
    bool draining = s->draining;
    pthread_mutex_unlock(&s->lock);
    return draining;
}

/* The one answer of a session, an error when there is none in time. */
static void await(struct service *s, struct predictor *p, struct answer *a)
{
    struct service_settings set;
    int rc = 0;

    service_settings(s, &set);
    uint64_t until = service_now_ns(s) + set.online_deadline_ms * NS_PER_MS;
    while (rc == 0 && service_now_ns(s) < until && !is_draining(s))
        rc = p->ops->wait(p, LOOK_MS, a, &a->error);
    if (rc == 0)
        (void)error_set(&a->error, ERROR_DEADLINE_EXCEEDED, "no answer came in time");
}

/* A session for this call alone, on the caller's thread: scripts are for tests, not for load. */
static int ask_scripted(struct service *s, struct hub *h, const struct online *o, struct error *e)
{
    const struct hub_share who = { .project = o->project, .weight = service_weight(s, o->project) };
    struct predictor *p = hub_join(h, &who, e);
    struct answer a = { 0 };

    if (p)
        p = predictor_scripted(p, o->script, s->env.clock, e);
    if (!p)
        return -1;
    int rc = p->ops->submit(p, o->request, NULL, e);
    if (rc == 0)
        await(s, p, &a);
    p->ops->close(p);
    if (rc < 0)
        return -1;
    o->done(o->arg, &a);
    o->released(o->arg);
    return 0;
}
