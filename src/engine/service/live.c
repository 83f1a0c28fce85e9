#include "engine/service/live.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/thread.h"
#include "engine/service/service_inner.h"

#define SAMPLE_EVERY_NS NS_PER_S
#define SAMPLES_MIN 3
#define Z_NINETY 1.645
#define CORRELATION 2.0         /* the standard error counts so often */
#define BAND_MIN 0.1            /* of the rate */
#define BYTES_PER_TOKEN 4       /* of prompt text, before anything was counted */
#define OUTPUT_TOKENS_GUESS 256 /* of an answer whose length is not limited */

void live_add(struct live *l, const struct progress *p, uint64_t now_ns)
{
    uint32_t newest = (l->count + LIVE_SAMPLES - 1) % LIVE_SAMPLES, at = l->count % LIVE_SAMPLES;

    l->begun = true;
    l->progress = *p;
    if (l->count && now_ns - l->at_ns[newest] < SAMPLE_EVERY_NS)
        return;
    l->at_ns[at] = now_ns;
    l->done[at] = counters_done(&p->counters);
    l->prompt[at] = p->counters.prompt_tokens;
    l->generated[at] = p->counters.candidate_tokens + p->counters.thought_tokens;
    l->count++;
}

struct window {
    uint32_t first, last, count; /* places in the ring */
    double seconds;
};

static bool window_of(const struct live *l, struct window *w)
{
    w->count = l->count < LIVE_SAMPLES ? l->count : LIVE_SAMPLES;
    if (w->count < SAMPLES_MIN)
        return false;
    w->last = (l->count - 1) % LIVE_SAMPLES;
    w->first = (l->count - w->count) % LIVE_SAMPLES;
    w->seconds = (double)(l->at_ns[w->last] - l->at_ns[w->first]) / (double)NS_PER_S;
    return w->seconds > 0;
}

/* Standard error of the mean rate, from the seconds' own rates. */
static double rate_error(const struct live *l, const struct window *w, double mean)
{
    double sum = 0;
    uint32_t n = w->count - 1;

    for (uint32_t i = 0; i < n; i++) {
        uint32_t a = (w->first + i) % LIVE_SAMPLES, b = (a + 1) % LIVE_SAMPLES;
        double seconds = (double)(l->at_ns[b] - l->at_ns[a]) / (double)NS_PER_S;
        double rate = (double)(l->done[b] - l->done[a]) / seconds;
        sum += (rate - mean) * (rate - mean);
    }
    return sqrt(sum / n) / sqrt(n);
}

static void live_rates(const struct live *l, struct job_live *out)
{
    struct window w;

    out->retries = l->progress.retries;
    out->in_flight = l->progress.in_flight;
    out->reused_tokens = l->progress.predictor.reused_tokens;
    if (!window_of(l, &w))
        return;
    double rate = (double)(l->done[w.last] - l->done[w.first]) / w.seconds;
    double rest = (double)counters_pending(&l->progress.counters);
    double off = Z_NINETY * CORRELATION * rate_error(l, &w, rate);
    out->lines_per_s = rate;
    out->prompt_tokens_per_s = (double)(l->prompt[w.last] - l->prompt[w.first]) / w.seconds;
    out->generated_tokens_per_s =
        (double)(l->generated[w.last] - l->generated[w.first]) / w.seconds;
    if (rate <= 0)
        return;
    if (off < BAND_MIN * rate)
        off = BAND_MIN * rate;
    out->has_eta = true;
    out->eta_s = rest / rate;
    out->eta_low_s = rest / (rate + off);
    /* A rate that may be nothing has no upper end: the slowest second stands for it. */
    out->eta_high_s = rest / (rate - off > BAND_MIN * rate ? rate - off : BAND_MIN * rate);
}

/* ---- All that is known ---- */

static void take_live(struct service *s, const struct job *j, struct job_live *out)
{
    lock(&s->lock);
    const struct entry *n = open_job_find(s, j->id);
    if (n && n->running && n->running->live.begun) {
        out->running = true;
        live_rates(&n->running->live, out);
    }
    if (n && n->live) { /* of all processes; only what is in flight is of this one */
        out->running = true;
        live_rates(n->live, out);
        out->in_flight = n->running ? n->running->live.progress.in_flight : 0;
    }
    unlock(&s->lock);
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
    struct arena a = { 0 };

    static_assert(JOB_UPSTREAMS_MAX == MODEL_UPSTREAMS_MAX, "all of a model's fit");
    for (uint32_t i = 0; m && i < m->upstream_count; i++)
        for (uint32_t k = 0; upstream_servers_at(s->servers, k, &a, &st); k++)
            if (strcmp(st.upstream->name, m->upstream[i].upstream->name) == 0 &&
                out->upstream_count < JOB_UPSTREAMS_MAX)
                take_upstream(&st, &out->upstream[out->upstream_count++]);
    arena_release(&a);
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
    const struct model *m = s->env.model(s->env.arg, j->project, model, &e);
    if (m && j->counters.total) {
        struct price p = model_price(m, name);
        estimate(j, &p, out);
    }
    if (j->state == JOB_RUNNING || j->state == JOB_CANCELLING) {
        out->progress_us = s->env.fleet ? j->update_us : 0;
        take_live(s, j, out);
    }
    if (out->running)
        take_upstreams(s, m, out);
    service_model_done(s, m);
    if (j->state == JOB_QUEUED)
        out->queued = job_position(s->env.store, j, &out->position, &e) == 0;
}
