/* config_service.c -- the section `service:` of the configuration, judged. */
#include "app/config/config.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "api/auth.h"
#include "app/config/config_schema.h"

#define HOURS_MAX (10 * 366 * 24U)
#define WEIGHT_MAX 1e6
#define LISTEN_DEFAULT "127.0.0.1:8080"

static int take_texts(struct config *c, const struct service_entry *in, struct error *e);
static int take_limits(struct service_settings *set, const struct service_entry *in,
                       struct error *e);
static int take_weights(struct service_settings *set, const struct service_entry *in,
                        struct error *e);

int config_service_load(struct config *c, struct error *e)
{
    struct config_service *s = &c->service;
    const struct service_entry *in = c->file ? c->file->service : NULL;

    *s = (struct config_service){
        .listen = LISTEN_DEFAULT,
        .default_project = "default",
        .expired_as = JOB_EXPIRED,
    };
    service_defaults(&s->settings);
    s->settings.retry = c->retry;
    s->settings.drain_ms = c->drain_ms;
    if (!in)
        return 0;
    if (take_texts(c, in, e) < 0 || take_limits(&s->settings, in, e) < 0 ||
        take_weights(&s->settings, in, e) < 0)
        return error_wrap(e, "%s: service", c->path);
    if (in->connections_max)
        s->connections_max = *in->connections_max;
    return 0;
}

static void take_text(const char *from, const char **to)
{
    if (from && *from)
        *to = from;
}

static int take_expired(const char *text, enum job_state *out, struct error *e)
{
    if (text && (!job_state_read(str_of(text), out) || (*out != JOB_EXPIRED && *out != JOB_FAILED)))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "expired_as \"%s\" is not known; write EXPIRED or FAILED", text);
    return 0;
}

static int take_url(const char *url, struct error *e)
{
    if (!url || strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0)
        return 0;
    return error_set(e, ERROR_INVALID_ARGUMENT,
                     "public_url \"%s\" must begin with http:// or https://", url);
}

static const char *const *take_allowed(struct config *c, const struct service_entry *in)
{
    const char **list = arena_array(&c->arena, in->webhook_allow_count + 1, sizeof *list);

    for (uint32_t i = 0; i < in->webhook_allow_count; i++)
        list[i] = in->webhook_allow[i];
    return list;
}

static int take_texts(struct config *c, const struct service_entry *in, struct error *e)
{
    struct config_service *s = &c->service;

    take_text(in->listen, &s->listen);
    take_text(in->public_url, &s->public_url);
    take_text(in->default_project, &s->default_project);
    if (!auth_project_valid(str_of(s->default_project)))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "default_project \"%s\" is no name of a project", s->default_project);
    if (in->tls_cert)
        s->tls_cert = config_beside(c, in->tls_cert);
    if (in->tls_key)
        s->tls_key = config_beside(c, in->tls_key);
    if (in->webhook_allow_count)
        s->webhook_allow = take_allowed(c, in);
    if (take_url(s->public_url, e) < 0)
        return -1;
    return take_expired(in->expired_as, &s->expired_as, e);
}

/* The limits that may not be 0, or not be any number. */
static int take_u32(const char *name, const uint32_t *from, uint32_t max, uint32_t *to,
                    struct error *e)
{
    if (!from)
        return 0;
    if (*from == 0 || *from > max)
        return error_set(e, ERROR_INVALID_ARGUMENT, "%s is %u; it takes 1 to %u", name, *from, max);
    *to = *from;
    return 0;
}

static int take_u64(const char *name, const uint64_t *from, uint64_t *to, struct error *e)
{
    if (!from)
        return 0;
    if (*from == 0)
        return error_set(e, ERROR_INVALID_ARGUMENT, "%s is 0; it takes at least 1", name);
    *to = *from;
    return 0;
}

static int take_limits(struct service_settings *set, const struct service_entry *in,
                       struct error *e)
{
    const struct {
        const char *name;
        const uint32_t *from;
        uint32_t max, *to;
    } limits[] = {
        { "queue_hours", in->queue_hours, HOURS_MAX, &set->queue_hours },
        { "run_hours", in->run_hours, HOURS_MAX, &set->run_hours },
        { "paused_hours", in->paused_hours, HOURS_MAX, &set->paused_hours },
        { "file_hours", in->file_hours, HOURS_MAX, &set->file_hours },
        { "running_jobs_max", in->running_jobs_max, 1024, &set->running_max },
        { "queued_jobs_max", in->queued_jobs_max, 1000000, &set->queued_max },
        { "online_deadline_ms", in->online_deadline_ms, UINT32_MAX, &set->online_deadline_ms },
    };

    for (size_t i = 0; i < ARRAY_LEN(limits); i++)
        if (take_u32(limits[i].name, limits[i].from, limits[i].max, limits[i].to, e) < 0)
            return -1;
    if (in->in_flight_max)
        set->in_flight_max = *in->in_flight_max;
    if (take_u64("lines_max", in->lines_max, &set->lines_max, e) < 0)
        return -1;
    return take_u64("input_bytes_max", in->input_bytes_max, &set->input_bytes_max, e);
}

static int take_weights(struct service_settings *set, const struct service_entry *in,
                        struct error *e)
{
    for (uint32_t i = 0; i < in->weights_count; i++) {
        const struct weight_entry *w = &in->weights[i];
        struct project_weight *out = &set->weight[set->weight_count++];
        if (!auth_project_valid(str_of(w->project)))
            return error_set(e, ERROR_INVALID_ARGUMENT, "weights[%u] needs the name of a project",
                             i);
        if (!(w->weight > 0 && w->weight <= WEIGHT_MAX))
            return error_set(e, ERROR_INVALID_ARGUMENT,
                             "weights[%u] %s: weight is %g; it is more than 0 and at most %.0f", i,
                             w->project, w->weight, WEIGHT_MAX);
        (void)snprintf(out->project, sizeof out->project, "%s", w->project);
        out->weight = w->weight;
    }
    return 0;
}
