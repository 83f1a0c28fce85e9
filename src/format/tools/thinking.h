/* thinking.h -- thoughts of a model before its answer: the tags around them, and what a request asks for.
 *
 * Why: some models write their thoughts between tags in front of an answer. The tags are found in the chat
 * template; thinkingConfig says whether there shall be thoughts, how long they may be, and who sees them.
 *
 * Threads: none; pure functions.
 * Source:  Vertex AI REST reference, ThinkingConfig; docs/guides/functions-and-thinking.md.
 */
#ifndef TRANCHE_FORMAT_TOOLS_THINKING_H
#define TRANCHE_FORMAT_TOOLS_THINKING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "format/request/request.h"

#define THOUGHT_TOKENS_LOW 1024    /* thinkingLevel LOW */
#define THOUGHT_TOKENS_MEDIUM 8192 /* thinkingLevel MEDIUM */
#define THOUGHT_TOKENS_ANY UINT32_MAX

struct thinking_tags {
    struct str begin, end; /* empty: the model does not think */
};
/* The tags that the text of a chat template has; constant strings. */
struct thinking_tags thinking_tags_of(struct str chat_template);

/* DEFAULT: the request does not say. A template with a switch turns thinking off; a model that always
 * thinks does. */
enum thinking { THINKING_DEFAULT, THINKING_OFF, THINKING_ON };
struct thinking_ask {
    enum thinking thinking;
    uint32_t tokens_max; /* of the thought; THOUGHT_TOKENS_ANY: no limit */
    bool shown;          /* the thought is part of the answer */
};
struct thinking_ask thinking_asked(const struct request *r);

#endif
