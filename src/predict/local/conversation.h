/* conversation.h -- a request as the chat that a model's template takes.
 *
 * Why: chat templates know messages of system, user, assistant and tool with a text each; a request has turns of
 *      parts, functions and their calls. A model's call_style says how it takes functions.
 *
 * Shape:   the system instruction comes first; "model" turns are the assistant's; a turn's text parts
 *          are joined by a line feed; thoughts are left out, and a turn without any other part is
 *          left out. A turn's responses of functions come before its text. Only the functions that may
 *          be called are shown, and none with mode NONE.
 *          Functions become text when the template has no place for them: of the system message, of
 *          the assistant's calls, of the user's responses.
 * Threads: none; pure functions.
 * Source:  docs/reference/generation.md; docs/guides/functions-and-thinking.md.
 */
#ifndef TRANCHE_PREDICT_LOCAL_CONVERSATION_H
#define TRANCHE_PREDICT_LOCAL_CONVERSATION_H

#include <stdbool.h>

#include "base/mem.h"
#include "format/request/request.h"
#include "predict/local/runtime.h"

#define LOCAL_FUNCTIONS_MAX 128 /* that one request may call */

/* The model whose conversation it is: its name for reasons, and how it calls functions. */
struct conversation_model {
    const char *name;
    struct call_style calls;
    bool takes_media; /* in turns of the conversation; which kinds, media_stage_accepts knows */
};

/* False, with the reason, when the model cannot take the request. */
bool conversation_accepts(const struct request *r, const struct conversation_model *model,
                          struct violation *why);
/* The chat, in the arena; its texts are the request's own or the arena's. Without a message: it has no
 * text. */
int conversation_make(const struct request *r, const struct conversation_model *model,
                      struct arena *a, struct chat *out, struct error *e) FALLIBLE;

/* True when the model may call functions in its answer. */
bool conversation_may_call(const struct request *r);

#endif
