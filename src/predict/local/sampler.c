#include "predict/local/sampler.h"

#include <math.h>

#include "base/random.h"
#include "base/mem.h"
#include "predict/local/logits.h"

struct seen {
    int32_t token;
    uint32_t times;
};

void sampler_init(struct sampler *s, const struct sampling *how)
{
    *s = (struct sampler){ .how = *how, .state = how->seed };
}

void sampler_release(struct sampler *s)
{
    mem_free(s->seen);
    mem_free(s->pick);
    *s = (struct sampler){ 0 };
}

static bool has_penalties(const struct sampler *s)
{
    return s->how.presence != 0.0f || s->how.frequency != 0.0f;
}

bool sampler_penalises(const struct sampler *s)
{
    return has_penalties(s) && s->seen_count;
}

void sampler_penalise(const struct sampler *s, float *logits, uint32_t vocab)
{
    for (uint32_t i = 0; i < s->seen_count; i++) {
        const struct seen *n = &s->seen[i];
        if ((uint32_t)n->token < vocab)
            logits[n->token] -= s->how.presence + s->how.frequency * (float)n->times;
    }
}

void sampler_accept(struct sampler *s, int32_t token)
{
    if (!has_penalties(s))
        return;
    for (uint32_t i = 0; i < s->seen_count; i++)
        if (s->seen[i].token == token) {
            s->seen[i].times++;
            return;
        }
    if (s->seen_count == s->seen_cap) {
        s->seen_cap = s->seen_cap ? 2 * s->seen_cap : 64;
        s->seen = mem_grow(s->seen, s->seen_cap * sizeof *s->seen);
    }
    s->seen[s->seen_count++] = (struct seen){ token, 1 };
}

/* How many of the picked, likeliest first, reach top_p of their probability; at least one. */
static uint32_t nucleus(const struct scored *pick, uint32_t count, float top_p)
{
    double all = 0.0, sum = 0.0;

    if (top_p >= 1.0f)
        return count;
    for (uint32_t i = 0; i < count; i++)
        all += exp((double)(pick[i].logit - pick[0].logit));
    for (uint32_t i = 0; i < count; i++) {
        sum += exp((double)(pick[i].logit - pick[0].logit));
        if (sum >= (double)top_p * all)
            return i + 1;
    }
    return count;
}

/* One of the picked by their probabilities at this temperature; u is uniform in [0, 1). */
static int32_t draw(const struct scored *pick, uint32_t count, float temperature, double u)
{
    double all = 0.0;

    for (uint32_t i = 0; i < count; i++)
        all += exp((double)(pick[i].logit - pick[0].logit) / (double)temperature);
    double left = u * all;
    for (uint32_t i = 0; i < count; i++) {
        left -= exp((double)(pick[i].logit - pick[0].logit) / (double)temperature);
        if (left < 0.0)
            return pick[i].token;
    }
    return pick[0].token; /* rounding left nothing: as good as any */
}

bool sampler_takes_largest(const struct sampler *s)
{
    return s->how.temperature <= 0.0f || s->how.top_k == 1;
}

int32_t sampler_choose_among(struct sampler *s, const struct scored *c, uint32_t count)
{
    if (sampler_takes_largest(s))
        return c[0].token;
    if (s->how.top_k && s->how.top_k < count)
        count = s->how.top_k;
    while (count > 1 && c[count - 1].logit == -INFINITY)
        count--;
    count = nucleus(c, count, s->how.top_p);
    return draw(c, count, s->how.temperature, random_unit(&s->state));
}

int32_t sampler_choose(struct sampler *s, const float *logits, uint32_t vocab)
{
    uint32_t want = s->how.top_k && s->how.top_k < vocab ? s->how.top_k : vocab;

    if (sampler_takes_largest(s) || want == 1)
        return (int32_t)logits_argmax(logits, vocab);
    if (want > s->pick_cap) {
        s->pick = mem_grow(s->pick, want * sizeof *s->pick);
        s->pick_cap = want;
    }
    return sampler_choose_among(s, s->pick, logits_top(logits, vocab, want, s->pick));
}
