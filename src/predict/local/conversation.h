/* conversation.h -- a request as the messages of a chat.
 *
 * Why: chat templates know system, user and assistant messages with a text each; a request has turns
 *      of parts, and an embedded text model takes only the texts among them.
 *
 * Shape:   the system instruction comes first; "model" turns are the assistant's; a turn's text parts
 *          are joined by a line feed; thoughts are left out, and a turn without any other part is
 *          left out.
 * Threads: none; pure functions.
 * Source:  docs/reference/generation.md.
 */
#ifndef TRANCHE_PREDICT_LOCAL_CONVERSATION_H
#define TRANCHE_PREDICT_LOCAL_CONVERSATION_H

#include <stdbool.h>

#include "base/mem.h"
#include "format/request/request.h"
#include "predict/local/runtime.h"

/* False, with the reason, when a part of the request is not text. model: the name in the reason. */
bool conversation_is_text(const struct request *r, const char *model, struct violation *why);
/* The messages, in the arena; their texts are the request's own or the arena's. Returns their count. */
uint32_t conversation_make(const struct request *r, struct arena *a, struct chat_message **out);

#endif
