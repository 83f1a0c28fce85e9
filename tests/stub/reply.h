/* reply.h -- bodies of answers and errors, in the words of each dialect.
 *
 * Why: what is the same in every answer stands ready; only the text and a few numbers are put between.
 *
 * Threads: none.
 * Source:  https://platform.openai.com/docs/api-reference/chat, vLLM's and Google's own errors.
 */
#ifndef TRANCHE_STUB_REPLY_H
#define TRANCHE_STUB_REPLY_H

#include <stdint.h>

#include "base/str.h"
#include "call.h"
#include "options.h"

/* What an answer says besides the prompt's text. */
struct reply {
    const struct options *options;
    const struct call *call;
    uint64_t number; /* of answers so far: makes ids differ */
    bool cut;        /* the answer ended because it was too long */
};

void reply_answer(const struct reply *r, struct buf *body);
void reply_empty(const struct reply *r, struct buf *body);    /* no candidate, no choice */
void reply_bad_utf8(const struct reply *r, struct buf *body); /* whole, but for its text */
/* Of 400, 401, 404, 429, 500 and 503. retry_ms (0: none) stands in a Gemini body. */
void reply_error(const struct reply *r, int status, uint64_t retry_ms, struct buf *body);
/* The same with its head; 429 and 503 say in both when to come back, unless retry_ms is 0. `body` is a buffer to work in. */
void reply_refuse(const struct reply *r, int status, uint64_t retry_ms, struct buf *body,
                  struct buf *out);
void reply_models(const struct reply *r, struct buf *body);

#endif
