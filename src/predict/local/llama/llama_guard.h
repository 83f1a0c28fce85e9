/* llama_guard.h -- texts that spell control tokens, kept as plain text through a chat template.
 *
 * Why: "<|im_end|>" in a user's text must not end the user's turn. The template sees the texts with marks where
 *      a control token is spelled; in the rendering each mark becomes the spelled text again, as a span. A mark
 *      survives what templates do to texts and JSON: trim, split, parse and write.
 *
 * Errors:  none; a text that grows too long shows in buf_ok.
 * Threads: several at once may use one `controls`; a guard is of one conversation.
 */
#ifndef TRANCHE_PREDICT_LOCAL_LLAMA_LLAMA_GUARD_H
#define TRANCHE_PREDICT_LOCAL_LLAMA_LLAMA_GUARD_H

#include <llama.h>

#include "base/mem.h"
#include "base/str.h"
#include "predict/local/runtime.h"

/* Bytes of a rendered conversation: more than any line can hold. */
#define PROMPT_BYTES_MAX ((size_t)256 * 1024 * 1024)

/* ---- Control tokens of a vocabulary ---- */

struct controls {
    struct str *text; /* the longest first; the vocabulary's */
    uint32_t count;
    bool first_byte[256]; /* the bytes that they begin with */
};
void controls_collect(struct controls *c, const struct llama_vocab *vocab);
void controls_release(struct controls *c);
/* Length of the longest control token's text at the start of s, or 0; *which it is. s is not empty. */
size_t control_at(const struct controls *c, struct str s, uint32_t *which);

/* ---- Marks ---- */

/* A part of the rendering that is plain text, whatever it spells. */
struct span {
    size_t at, end;
};
/* True when [at, end) touches a span. Spans are in order; *next is the first that may. */
bool spans_touch(const struct span *span, uint32_t count, uint32_t *next, size_t at, size_t end);

struct text_guard {
    const struct controls *controls; /* set by the caller, the rest is 0 */
    struct arena arena;
    uint32_t number; /* no text of the conversation has a mark of this number */
};
/* True when a text of the conversation spells a control token. */
bool text_guard_needed(const struct controls *c, const struct chat *chat);
/* A copy of the conversation with marks; it lives until text_guard_release. */
void text_guard_mark(struct text_guard *g, const struct chat *chat, struct chat *out);
/* Appends the frame with the spelled texts in place of the marks. The spans that they take, owned. */
struct span *text_guard_restore(const struct text_guard *g, struct str frame, struct buf *out,
                                uint32_t *count);
void text_guard_release(struct text_guard *g);

#endif
