#include "engine/service/live.h"

#include <math.h>

#define SAMPLE_EVERY_NS NS_PER_S
#define SAMPLES_MIN 3
#define Z_NINETY 1.645
#define CORRELATION 2.0 /* the standard error counts so often */
#define BAND_MIN 0.1    /* of the rate */

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

void live_rates(const struct live *l, struct job_live *out)
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
