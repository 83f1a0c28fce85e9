/* tokens.h -- lists of tokens, and the text that an answer's tokens become.
 *
 * Why: prompts, their answers and the prefixes in the cache are all lists of tokens. A token is a
 *      piece of a word or of a character, so a stop sequence may lie over several tokens and a cut may
 *      fall into a character; the text that leaves the engine is always whole.
 *
 * Units:   text in bytes.
 * Threads: none; a list or a text belongs to its owner.
 */
#ifndef TRANCHE_PREDICT_LOCAL_TOKENS_H
#define TRANCHE_PREDICT_LOCAL_TOKENS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

struct tokens {
    int32_t *item; /* owned */
    uint32_t count, cap;
};

/* Makes room for `more` beyond count and gives the address of the first. The caller raises count. */
int32_t *tokens_reserve(struct tokens *t, uint32_t more);
void tokens_add(struct tokens *t, int32_t token);
void tokens_append(struct tokens *t, const int32_t *token, uint32_t count);
void tokens_release(struct tokens *t); /* frees; the list is then empty and usable */

/* Length of the common beginning of a and b. */
uint32_t tokens_common(const int32_t *a, uint32_t a_count, const int32_t *b, uint32_t b_count);

/* ---- The text of an answer ---- */

struct answer_text {
    struct buf bytes;       /* generated so far, cut before a stop sequence */
    const struct str *stop; /* stop_count of them; borrowed */
    uint32_t stop_count;
    size_t checked; /* no stop sequence begins before this */
};

void answer_text_init(struct answer_text *t, const struct str *stop, uint32_t stop_count);
void answer_text_release(struct answer_text *t);
/* Called after bytes were appended to t->bytes. True when a stop sequence is there: the text is then
 * cut before the one that begins first. */
bool answer_text_stopped(struct answer_text *t);
/* Appends the text to out: an incomplete character at its end is left out, any other invalid byte
 * becomes U+FFFD. */
void answer_text_finish(const struct answer_text *t, struct buf *out);

#endif
