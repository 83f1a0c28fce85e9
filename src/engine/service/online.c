/* online.c -- one request, answered at once, through the model's hub. */
#include "engine/service/service_inner.h"

int service_ask(struct service *s, const struct online *o, struct error *e)
{
    struct service_settings set;
    const struct model *m;
    struct hub *h = service_hub(s, o->model, &m, e);

    if (!h || model_takes_requests(m, e) < 0)
        return -1;
    service_settings(s, &set);
    struct hub_call c = {
        .request = o->request,
        .project = o->project,
        .weight = service_weight(s, o->project),
        .deadline_ms = set.online_deadline_ms,
        .scripted = s->env.scripted,
        .script = o->script,
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

    if (!h || model_takes_requests(m, e) < 0)
        return -1;
    return hub_count_tokens(h, r, tokens, e);
}
