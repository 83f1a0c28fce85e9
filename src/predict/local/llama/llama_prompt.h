/* llama_prompt.h -- a conversation as the tokens that a model's template makes of it.
 *
 * Why: a user's text must never act as a control token ("<|im_end|>" in a text would end the user's
 *      turn), yet ordinary texts must give exactly the tokens of the rendered template, as any other
 *      server does. So the rendering is tokenized as a whole; only a control token that the text of a
 *      message spells is tokenized as plain text.
 *
 * Errors:  INVALID_ARGUMENT when the template refuses the conversation.
 * Threads: several at once may use one.
 */
#ifndef TRANCHE_PREDICT_LOCAL_LLAMA_LLAMA_PROMPT_H
#define TRANCHE_PREDICT_LOCAL_LLAMA_LLAMA_PROMPT_H

#include <llama.h>

#include "predict/local/runtime.h"

/* Bytes of a chat template that stands in a file of its own. */
#define CHAT_TEMPLATE_BYTES_MAX ((size_t)1024 * 1024)

struct llama_prompt;
/* m: its chat_template and call_format, when they are set. */
struct llama_prompt *llama_prompt_new(const struct llama_model *model, const struct model *m,
                                      struct error *e);
void llama_prompt_free(struct llama_prompt *p); /* accepts NULL */
/* The part of the runtime's facts that the template tells: calls and thinking. They live as long as p. */
void llama_prompt_info(const struct llama_prompt *p, struct runtime_info *out);
/* True when an answer may have this token's text, though it is a control token: it begins or ends a thought or a
 * call. */
bool llama_prompt_shows(const struct llama_prompt *p, int32_t token);
int llama_prompt_tokens(const struct llama_prompt *p, const struct chat *chat, struct tokens *out,
                        bool *thinks, struct error *e) FALLIBLE;

#endif
