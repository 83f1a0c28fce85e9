#include "predict/local/sampler.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/random.h"

/* ---- A row of logits ---- */

/* Four floats: a register of every machine the program is built for. */
#define LANES 4
typedef float floats __attribute__((vector_size(LANES * sizeof(float))));
typedef int32_t ints __attribute__((vector_size(LANES * sizeof(int32_t))));

/* Terms summed in single precision before they go into a double. */
#define SUM_BLOCK 1024

static floats load(const float *p)
{
    floats v;

    memcpy(&v, p, sizeof v);
    return v;
}

static floats spread(float x)
{
    return (floats){ x, x, x, x };
}

/* a where mask is all ones, b where it is zero. */
static floats choose(ints mask, floats a, floats b)
{
    return (floats)((mask & (ints)a) | (~mask & (ints)b));
}

static float largest(const float *logits, uint32_t count)
{
    floats best = spread(-INFINITY);
    uint32_t i = 0;

    for (; i + LANES <= count; i += LANES) {
        floats v = load(logits + i);
        best = choose(v > best, v, best);
    }
    float max = -INFINITY;
    for (uint32_t k = 0; k < LANES; k++)
        max = best[k] > max ? best[k] : max;
    for (; i < count; i++)
        max = logits[i] > max ? logits[i] : max;
    return max;
}

uint32_t logits_argmax(const float *logits, uint32_t count)
{
    float max = largest(logits, count);

    for (uint32_t i = 0; i < count; i++)
        if (logits[i] >= max && max > -INFINITY)
            return i;
    return 0;
}

/* exp(x) for x <= 0, within 2e-7 of the true value: 2^n of the whole part of x / ln 2, and a polynomial
 * for 2^f, f in [-0.5, 0.5] (Taylor's to the sixth order). */
static floats exp_nonpositive(floats x)
{
    const floats least = spread(-87.0f);       /* exp of less is not a normal float */
    const floats to_int = spread(12582912.0f); /* 1.5 * 2^23: adding it rounds to a whole number */
    floats t = choose(x > least, x, least) * spread(1.44269504f);
    floats rounded = t + to_int;
    floats y = (t - (rounded - to_int)) * spread(0.693147181f);
    floats p = spread(1.0f / 720.0f);

    p = p * y + spread(1.0f / 120.0f);
    p = p * y + spread(1.0f / 24.0f);
    p = p * y + spread(1.0f / 6.0f);
    p = p * y + spread(0.5f);
    p = p * y + spread(1.0f);
    p = p * y + spread(1.0f);
    /* The whole part stands in the low bits of `rounded`; it is added to the exponent of p. */
    ints whole = (ints)rounded - (ints)to_int;
    return (floats)((ints)p + whole * (1 << 23));
}

/* The sum of exp(logit - max) over at most SUM_BLOCK logits. */
static float sum_block(const float *logits, uint32_t count, float max)
{
    floats sums = spread(0.0f);
    uint32_t i = 0;

    for (; i + LANES <= count; i += LANES)
        sums += exp_nonpositive(load(logits + i) - spread(max));
    float sum = 0.0f;
    for (uint32_t k = 0; k < LANES; k++)
        sum += sums[k];
    for (; i < count; i++)
        sum += expf(logits[i] - max);
    return sum;
}

float logits_log_sum(const float *logits, uint32_t count)
{
    float max = largest(logits, count);
    double sum = 0.0;

    if (!isfinite(max))
        return max;
    for (uint32_t i = 0; i < count; i += SUM_BLOCK) {
        uint32_t rest = count - i;
        sum += (double)sum_block(logits + i, rest < SUM_BLOCK ? rest : SUM_BLOCK, max);
    }
    return max + (float)log(sum);
}

/* ---- The likeliest few: a heap whose root is the least of them ---- */

static bool less(const struct scored *a, const struct scored *b)
{
    return a->logit != b->logit ? a->logit < b->logit : a->token > b->token;
}

static void sink(struct scored *heap, uint32_t count, uint32_t at, struct scored s)
{
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= count)
            break;
        if (child + 1 < count && less(&heap[child + 1], &heap[child]))
            child++;
        if (!less(&heap[child], &s))
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = s;
}

static int by_likelihood(const void *a, const void *b)
{
    const struct scored *x = a, *y = b;

    return less(y, x) ? -1 : less(x, y);
}

uint32_t logits_top(const float *logits, uint32_t count, uint32_t want, struct scored *out)
{
    if (want > count)
        want = count;
    if (!want)
        return 0;
    for (uint32_t i = 0; i < want; i++)
        out[i] = (struct scored){ .token = (int32_t)i, .logit = logits[i] };
    for (uint32_t at = want / 2; at-- > 0;)
        sink(out, want, at, out[at]);
    for (uint32_t i = want; i < count; i++)
        if (logits[i] > out[0].logit) /* an equal one has the higher index: it stays out */
            sink(out, want, 0, (struct scored){ .token = (int32_t)i, .logit = logits[i] });
    qsort(out, want, sizeof *out, by_likelihood);
    return want;
}

/* ---- A choice ---- */

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
    s->seen = mem_list_grow(s->seen, s->seen_count, sizeof *s->seen);
    s->seen[s->seen_count++] = (struct seen){ token, 1 };
}

static void swap(struct scored *a, struct scored *b)
{
    struct scored was = *a;

    *a = *b;
    *b = was;
}

/* Splits [from, to): the likelier than the one in the middle, which comes next, and the others. Gives its
 * place, and the sum of the weights before it. */
static uint32_t split(struct scored *c, uint32_t from, uint32_t to, double *sum)
{
    uint32_t at = from;

    *sum = 0.0;
    swap(&c[from + (to - from) / 2], &c[to - 1]);
    for (uint32_t i = from; i + 1 < to; i++)
        if (less(&c[to - 1], &c[i])) {
            *sum += c[i].weight;
            swap(&c[at++], &c[i]);
        }
    swap(&c[at], &c[to - 1]);
    return at;
}

/* Brings the likeliest to the front: the fewest whose weights sum to the target, the least likely of
 * them last. Gives how many, at least one. Only the side of a split where the target is reached is
 * split again: the time grows with count, as no sort's does. */
static uint32_t reach(struct scored *c, uint32_t count, double target)
{
    uint32_t from = 0,
             to = count; /* those before `from` are in, those from `to` on are not needed */

    while (from < to) {
        double before;
        uint32_t at = split(c, from, to, &before);
        if (before >= target) {
            to = at;
            continue;
        }
        from = at + 1;
        target -= before + c[at].weight;
        if (target <= 0.0)
            break;
    }
    return from ? from : 1;
}

/* Gives each its weight at this temperature, and returns their sum. */
static double weigh(struct scored *c, uint32_t count, float temperature)
{
    float max = c[0].logit;
    double sum = 0.0;

    for (uint32_t i = 1; i < count; i++)
        max = c[i].logit > max ? c[i].logit : max;
    for (uint32_t i = 0; i < count; i++) {
        c[i].weight = exp((double)(c[i].logit - max) / (double)temperature);
        sum += c[i].weight;
    }
    return sum;
}

bool sampler_takes_largest(const struct sampler *s)
{
    return s->how.temperature <= 0.0f || s->how.top_k == 1;
}

/* The logits that top_k leaves; at least one. */
static uint32_t pick(struct sampler *s, const float *logits, uint32_t vocab)
{
    uint32_t count = 0;

    if (s->how.top_k && s->how.top_k < vocab) {
        count = logits_top(logits, vocab, s->how.top_k, s->pick);
        while (count > 1 && s->pick[count - 1].logit == -INFINITY)
            count--;
        return count;
    }
    for (uint32_t i = 0; i < vocab; i++) {
        s->pick[count] = (struct scored){ .token = (int32_t)i, .logit = logits[i] };
        count += logits[i] > -INFINITY;
    }
    return count ? count : 1;
}

int32_t sampler_choose(struct sampler *s, const float *logits, uint32_t vocab)
{
    uint32_t room = s->how.top_k && s->how.top_k < vocab ? s->how.top_k : vocab;

    if (sampler_takes_largest(s))
        return (int32_t)logits_argmax(logits, vocab);
    if (room > s->pick_cap) {
        s->pick = mem_grow(s->pick, room * sizeof *s->pick);
        s->pick_cap = room;
    }
    uint32_t count = pick(s, logits, vocab);
    if (s->how.top_p < 1.0f)
        count = reach(s->pick, count, (double)s->how.top_p * weigh(s->pick, count, 1.0f));
    double all = weigh(s->pick, count, s->how.temperature);
    return s->pick[reach(s->pick, count, random_unit(&s->state) * all) - 1].token;
}
