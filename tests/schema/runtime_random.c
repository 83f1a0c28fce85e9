#include "schema/runtime_random.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "base/random.h"

#define NOISE_COUNT ((size_t)1 << 20)
#define NOISE_RANGE 4.0f   /* logits lie between 0 and this */
#define CLOSING_BONUS 0.1f /* of tokens that close something: a fifth of the likeliest 200 */

struct random_runtime {
    struct runtime base; /* first */
    struct runtime *tokenizer;
    struct runtime_info info;
    float *noise;                       /* [NOISE_COUNT + vocab] */
    float *bonus;                       /* [vocab] */
    float *logits;                      /* [RANDOM_SEQUENCES][vocab] */
    uint32_t row[RANDOM_SEQUENCES * 2]; /* of the last batch: those with logits */
    uint32_t row_count;
    uint64_t state;
};

static struct random_runtime *random_of(struct runtime *r)
{
    return (struct random_runtime *)r;
}

static void info_of(struct runtime *r, struct runtime_info *out)
{
    *out = random_of(r)->info;
}

static int prompt(struct runtime *r, const struct chat *chat, struct tokens *out, bool *thinks,
                  struct error *e)
{
    struct runtime *t = random_of(r)->tokenizer;

    return t->ops->prompt(t, chat, out, thinks, e);
}

static void piece(struct runtime *r, int32_t token, bool first, struct buf *out)
{
    struct runtime *t = random_of(r)->tokenizer;

    t->ops->piece(t, token, first, out);
}

static bool is_end(struct runtime *r, int32_t token)
{
    struct runtime *t = random_of(r)->tokenizer;

    return t->ops->is_end(t, token);
}

static bool tokenize(struct runtime *r, struct str text, struct tokens *out)
{
    struct runtime *t = random_of(r)->tokenizer;

    return t->ops->tokenize(t, text, out);
}

static int forward(struct runtime *r, const struct runtime_row *row, uint32_t count,
                   struct error *e)
{
    struct random_runtime *n = random_of(r);

    (void)e;
    n->row_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (!row[i].logits)
            continue;
        assert(n->row_count < RANDOM_SEQUENCES);
        const float *noise = n->noise + random_next(&n->state) % NOISE_COUNT;
        float *logits = n->logits + (size_t)n->row_count * n->info.vocab;
        for (uint32_t k = 0; k < n->info.vocab; k++)
            logits[k] = noise[k] + n->bonus[k];
        n->row[n->row_count++] = i;
    }
    return 0;
}

static const float *logits_of(struct runtime *r, uint32_t row)
{
    const struct random_runtime *n = random_of(r);
    uint32_t at = 0;

    while (at < n->row_count && n->row[at] != row)
        at++;
    assert(at < n->row_count);
    return n->logits + (size_t)at * n->info.vocab;
}

static void copy(struct runtime *r, uint32_t from, uint32_t to, uint32_t len)
{
    (void)r;
    (void)from;
    (void)to;
    (void)len;
}

static void trim(struct runtime *r, uint32_t sequence, uint32_t len)
{
    (void)r;
    (void)sequence;
    (void)len;
}

static void close_it(struct runtime *r)
{
    struct random_runtime *n = random_of(r);

    mem_free(n->noise);
    mem_free(n->bonus);
    mem_free(n->logits);
    mem_free(n);
}

static const struct runtime_ops ops = {
    .name = "random",
    .info = info_of,
    .prompt = prompt,
    .piece = piece,
    .is_end = is_end,
    .forward = forward,
    .logits = logits_of,
    .copy = copy,
    .trim = trim,
    .tokenize = tokenize,
    .close = close_it,
};

static float bonus_of(struct runtime *tokenizer, int32_t token)
{
    struct buf text = BUF_INIT(1024);
    float bonus = tokenizer->ops->is_end(tokenizer, token) ? CLOSING_BONUS : 0;

    tokenizer->ops->piece(tokenizer, token, false, &text);
    for (size_t i = 0; i < text.len; i++)
        if (strchr("\"]}", text.p[i]) && text.p[i])
            bonus = CLOSING_BONUS;
    buf_release(&text);
    return bonus;
}

struct runtime *runtime_random_open(struct runtime *tokenizer)
{
    struct random_runtime *n = mem_alloc(sizeof *n);

    n->base.ops = &ops;
    n->tokenizer = tokenizer;
    n->state = 1;
    tokenizer->ops->info(tokenizer, &n->info);
    n->info.sequences = RANDOM_SEQUENCES;
    n->info.context_max = RANDOM_CONTEXT;
    n->info.cells = RANDOM_SEQUENCES * RANDOM_CONTEXT;
    n->info.rows_max = 4096;
    n->info.shares = false;
    n->noise = mem_array(NOISE_COUNT + n->info.vocab, sizeof *n->noise);
    for (size_t i = 0; i < NOISE_COUNT + n->info.vocab; i++)
        n->noise[i] = (float)(random_next(&n->state) % 65536) * (NOISE_RANGE / 65536.0f);
    n->bonus = mem_array(n->info.vocab, sizeof *n->bonus);
    for (uint32_t i = 0; i < n->info.vocab; i++)
        n->bonus[i] = bonus_of(tokenizer, (int32_t)i);
    n->logits = mem_array((size_t)RANDOM_SEQUENCES * n->info.vocab, sizeof *n->logits);
    return &n->base;
}
