/* service_live.c -- what is known of a job beyond its record: rates, position, estimates. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "engine/service/service_inner.h"

#define BYTES_PER_TOKEN 4       /* of prompt text, before anything was counted */
#define OUTPUT_TOKENS_GUESS 256 /* of an answer whose length is not limited */

static void take_live(struct service *s, const struct job *j, struct job_live *out)
{
    pthread_mutex_lock(&s->lock);
    const struct entry *n = schedule_find(s, j->id);
    if (n && n->running && n->running->live.begun) {
        out->running = true;
        live_rates(&n->running->live, out);
    }
    pthread_mutex_unlock(&s->lock);
}

static uint32_t cut(double tokens)
{
    return tokens < UINT32_MAX ? (uint32_t)tokens : UINT32_MAX;
}

/* The price of the mean line, times the lines. */
static void estimate(const struct job *j, const struct price *p, struct job_live *out)
{
    const struct counters *b = &j->counters;
    uint64_t good = b->total - j->bad, done = b->succeeded;
    struct usage mean;

    if (good == 0)
        return;
    if (done) {
        mean = (struct usage){
            .prompt_tokens = cut((double)b->prompt_tokens / (double)done),
            .cached_tokens = cut((double)b->cached_tokens / (double)done),
            .candidate_tokens = cut((double)b->candidate_tokens / (double)done),
            .thought_tokens = cut((double)b->thought_tokens / (double)done),
        };
    } else {
        double output = (double)j->output_max + (double)j->output_unset * OUTPUT_TOKENS_GUESS;
        mean = (struct usage){
            .prompt_tokens = cut((double)j->text_bytes / BYTES_PER_TOKEN / (double)good),
            .candidate_tokens = cut(output / (double)good),
        };
    }
    out->cost_estimate_nano = price_batch_nano(p, &mean) * good;
    out->online_estimate_nano = price_online_nano(p, &mean) * good;
    out->tokens_estimate =
        ((uint64_t)mean.prompt_tokens + mean.candidate_tokens + mean.thought_tokens) * good;
}

static void take_upstream(const struct server_stats *st, struct job_upstream *out)
{
    *out = (struct job_upstream){
        .health = server_health(st),
        .in_flight = st->in_flight,
        .concurrency = st->limit,
        .requests_per_s = st->requests_per_s,
        .tokens_per_s = st->tokens_per_s,
        .latency_s = st->latency_s,
    };
    static_assert(sizeof out->name == UPSTREAM_NAME_BYTES, "a name of an upstream fits");
    (void)snprintf(out->name, sizeof out->name, "%s", st->upstream->name);
}

static void take_upstreams(struct service *s, const struct model *m, struct job_live *out)
{
    struct server_stats st;

    static_assert(JOB_UPSTREAMS_MAX == MODEL_UPSTREAMS_MAX, "all of a model's fit");
    for (uint32_t i = 0; m && i < m->upstream_count; i++)
        for (uint32_t k = 0; upstream_servers_at(s->servers, k, &st); k++)
            if (strcmp(st.upstream->name, m->upstream[i].upstream->name) == 0 &&
                out->upstream_count < JOB_UPSTREAMS_MAX)
                take_upstream(&st, &out->upstream[out->upstream_count++]);
}

void service_live(struct service *s, const struct job *j, struct job_live *out)
{
    char model[MODEL_NAME_BYTES * 2] = { 0 }, name[MODEL_NAME_BYTES];
    struct error e;

    *out = (struct job_live){ 0 };
    if (j->model.len >= sizeof model)
        return;
    memcpy(model, j->model.p, j->model.len);
    model_short_name(model, name);
    const struct model *m = s->env.model(s->env.arg, model, &e);
    if (m && j->counters.total) {
        struct price p = model_price(m, name);
        estimate(j, &p, out);
    }
    if (j->state == JOB_RUNNING || j->state == JOB_CANCELLING)
        take_live(s, j, out);
    if (out->running)
        take_upstreams(s, m, out);
    if (j->state == JOB_QUEUED)
        out->queued = job_position(s->env.store, j, &out->position, &e) == 0;
}
