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

/* Bytes of a rendered conversation: more than any line can hold. */
#define PROMPT_BYTES_MAX ((size_t)256 * 1024 * 1024)

struct llama_prompt;
struct llama_prompt *llama_prompt_new(const struct llama_model *model, struct error *e);
void llama_prompt_free(struct llama_prompt *p); /* accepts NULL */
int llama_prompt_tokens(const struct llama_prompt *p, const struct chat_message *m, uint32_t count,
                        struct tokens *out, struct error *e) FALLIBLE;

#endif
