/* price.h -- what tokens cost.
 *
 * Why: the user sees the cost before, during and after, line by line: batch is half the online
 * price, a cached prompt token has its own discount, the two do not stack, failures are free.
 *
 * Units:   USD per million tokens in the table; nano-dollars in results.
 * Threads: none; the table is constant.
 * Source:  Google's published prices as of 2026-11, docs/reference/prices.md; a configuration can
 *          give a model its own.
 */
#ifndef TRANCHE_FORMAT_JOB_PRICE_H
#define TRANCHE_FORMAT_JOB_PRICE_H

#include <stdbool.h>
#include <stdint.h>

#include "format/usage.h"

/* USD per million tokens; a higher price counts as this, so that no sum overflows. */
#define PRICE_USD_MAX 1000.0

struct price {
    double input, output;        /* online, USD per million tokens */
    double cached;               /* a cached prompt token; not halved by batch. A long prompt pays
                                  * the same share of long_input as this is of input. */
    uint32_t long_prompt_tokens; /* above this many, the long prices hold; 0: never */
    double long_input, long_output;
    bool no_batch_price; /* the provider has no batch discount */
};

/* The published price of a model name ("gemini-2.5-flash", with or without "publishers/google/
 * models/" before and "-001" or "@version" behind); NULL when it is not in the table. */
const struct price *price_find(const char *model);

/* The price of one request, rounded once, half up. Cached tokens are part of the prompt tokens;
 * thoughts cost as much as other output. */
uint64_t price_batch_nano(const struct price *p, const struct usage *u);
uint64_t price_online_nano(const struct price *p, const struct usage *u);

/* Walks the table: names in order; false after the last. */
bool price_at(unsigned i, const char **model, const struct price **p);

#endif
