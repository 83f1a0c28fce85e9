#include "format/job/price.h"

#include <stddef.h>

#include "base/mem.h"
#include "base/str.h"

#define LONG_PROMPT_TOKENS 200000

// clang-format off
static const struct {
    const char *model;
    struct price price;
} prices[] = {
    /* model                      input  output  cached   long: above  input output, no batch price */
    { "gemini-3.8-flash",       { 0.75,   3.75,  0.075,   0, 0, 0, false } },
    { "gemini-3.7-flash",       { 0.75,   3.75,  0.075,   0, 0, 0, false } },
    { "gemini-3.6-flash",       { 0.75,   3.75,  0.075,   0, 0, 0, false } },
    { "gemini-3.5-flash",       { 1.50,   9.00,  0.15,    0, 0, 0, false } },
    { "gemini-3.5-flash-lite",  { 0.30,   2.50,  0.03,    0, 0, 0, false } },
    { "gemini-3.1-pro-preview", { 2.00,  12.00,  0.20,    LONG_PROMPT_TOKENS, 4.00, 18.00, false } },
    { "gemini-3.1-flash-lite",  { 0.25,   1.50,  0.025,   0, 0, 0, false } },
    { "gemini-3-flash-preview", { 0.50,   3.00,  0.05,    0, 0, 0, false } },
    { "gemini-2.5-pro",         { 1.25,  10.00,  0.125,   LONG_PROMPT_TOKENS, 2.50, 15.00, false } },
    { "gemini-2.5-flash",       { 0.30,   2.50,  0.03,    0, 0, 0, false } },
    { "gemini-2.5-flash-lite",  { 0.10,   0.40,  0.01,    0, 0, 0, false } },
    { "gemini-2.0-flash",       { 0.15,   0.60,  0.015,   0, 0, 0, false } },
    { "gemini-2.0-flash-lite",  { 0.075,  0.30,  0.0075,  0, 0, 0, false } },
};
// clang-format on
#define PRICE_COUNT (ARRAY_LEN(prices))

/* Cuts "-001": a dash and three digits at the end. */
static struct str without_revision(struct str name)
{
    if (name.len < 4 || name.p[name.len - 4] != '-')
        return name;
    uint64_t ignored;
    return str_number(str_sub(name, name.len - 3, 3), &ignored) ? str_sub(name, 0, name.len - 4)
                                                                : name;
}

/* The last step of a path, without version and revision. */
static struct str base_name(const char *model)
{
    struct str name = str_after_last(str_of(model), '/');

    return without_revision(str_sub(name, 0, str_find(name, STR("@"))));
}

const struct price *price_find(const char *model)
{
    struct str name = base_name(model);

    for (size_t i = 0; i < PRICE_COUNT; i++)
        if (str_eq_c(name, prices[i].model))
            return &prices[i].price;
    return NULL;
}

bool price_at(unsigned i, const char **model, const struct price **p)
{
    if (i >= PRICE_COUNT)
        return false;
    *model = prices[i].model;
    *p = &prices[i].price;
    return true;
}

/* USD per million tokens as picodollars per token. All sums below are integers, so that they do not
 * depend on the order of lines. At PRICE_USD_MAX and with counts of 32 bits they fit 64 bits. */
static uint64_t pico(double usd)
{
    if (!(usd > 0)) /* a negative price, or none: not a number */
        return 0;
    if (usd > PRICE_USD_MAX)
        usd = PRICE_USD_MAX;
    return (uint64_t)(usd * 1e6 + 0.5);
}

/* The cost of one request in picodollars: a cached token has its own price in both ways of running. */
struct cost {
    uint64_t cached;
    uint64_t other; /* all that batch halves */
};

static struct cost cost_of(const struct price *p, const struct usage *u)
{
    bool is_long = p->long_prompt_tokens && u->prompt_tokens > p->long_prompt_tokens;
    uint64_t input = pico(is_long ? p->long_input : p->input);
    uint64_t output = pico(is_long ? p->long_output : p->output);
    uint64_t cached = pico(p->cached);
    uint32_t hits = u->cached_tokens < u->prompt_tokens ? u->cached_tokens : u->prompt_tokens;

    /* The table has one cached price, a share of the input price; the share holds in both tiers. */
    if (is_long && p->input > 0)
        cached = pico(p->cached * (p->long_input / p->input));
    return (struct cost){
        .cached = cached * hits,
        .other = input * (u->prompt_tokens - hits) +
                 output * ((uint64_t)u->candidate_tokens + u->thought_tokens),
    };
}

uint64_t price_batch_nano(const struct price *p, const struct usage *u)
{
    struct cost c = cost_of(p, u);

    if (p->no_batch_price)
        return price_online_nano(p, u);
    return (c.other + 2 * c.cached + 1000) / 2000;
}

uint64_t price_online_nano(const struct price *p, const struct usage *u)
{
    struct cost c = cost_of(p, u);

    return (c.other + c.cached + 500) / 1000;
}
