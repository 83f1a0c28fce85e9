/* fake_text.h -- the answers of the fake predictor, and how it counts tokens.
 *
 * Why: a test must be able to say by hand what the answer is, so it is the last user text with
 * "echo: " before it, and a token is a word: a run of bytes that are not white space.
 *
 * Shape:   maxOutputTokens cuts after that many words (MAX_TOKENS), a stop sequence before its first
 *          place (STOP). The enum form gives the schema's first value, the JSON form with a schema a value
 *          that fits it (fake_schema.h), without one the echo. A function that may be called is called when
 *          the last user text names it, with mode ANY the first one otherwise; its arguments fit its schema. The echo
 *          of a turn with function responses is their JSON. A reply of the script whose text matches comes before
 *          all of these. A thought of one word stands before it when thinkingConfig asks for thoughts.
 * Threads: none; the scratch buffer belongs to the caller and holds the text until the next call.
 */
#ifndef TRANCHE_PREDICT_FAKE_FAKE_TEXT_H
#define TRANCHE_PREDICT_FAKE_FAKE_TEXT_H

#include <stdint.h>

#include "base/str.h"
#include "format/request/request.h"
#include "format/response.h"
#include "predict/model.h"

#define FAKE_SCRATCH_BYTES_MAX ((size_t)64 * 1024 * 1024)

struct fake_answer {
    struct str text;  /* in the request or the scratch buffer; arguments, of a call */
    struct str calls; /* the function that the answer calls; empty: it is text */
    enum finish_reason finish;
    uint32_t words;
};
void fake_answer(const struct fake_script *script, const struct request *r, struct buf *scratch,
                 struct fake_answer *out);

/* The text parts of the last user turn, joined; empty when there is none. */
struct str fake_user_text(const struct request *r, struct buf *scratch);

uint32_t fake_prompt_words(const struct request *r); /* system instruction and all turns */

#endif
