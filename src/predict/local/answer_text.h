/* answer_text.h -- an answer's bytes as they are generated: stop sequences and valid UTF-8.
 *
 * Why: tokens are pieces of characters and of words, so a stop sequence may lie over several of them
 * and a cut may fall into a character; what leaves the engine is always whole.
 *
 * Units:   bytes.
 * Threads: none; belongs to one answer.
 */
#ifndef TRANCHE_PREDICT_LOCAL_ANSWER_TEXT_H
#define TRANCHE_PREDICT_LOCAL_ANSWER_TEXT_H

#include <stdbool.h>

#include "base/str.h"

struct answer_text {
    struct buf bytes;       /* generated so far, cut before a stop sequence */
    const struct str *stop; /* stop_count of them; borrowed */
    uint32_t stop_count;
    size_t checked; /* no stop sequence begins before this */
};

void answer_text_init(struct answer_text *t, const struct str *stop, uint32_t stop_count);
void answer_text_release(struct answer_text *t);
/* After bytes were appended to t->bytes: true when a stop sequence is there; it and what follows is
 * cut off then. Of several the one that begins first counts. */
bool answer_text_stopped(struct answer_text *t);
/* Appends the text to out: an incomplete character at its end is left out, any other invalid byte
 * becomes U+FFFD. */
void answer_text_finish(const struct answer_text *t, struct buf *out);

#endif
