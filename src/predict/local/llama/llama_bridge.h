/* llama_bridge.h -- the functions of libllama that only C++ can call, for C.
 *
 * Why: chat templates have no C interface, and some C functions of libllama can throw. Every call here
 *      catches all exceptions and returns them as errors.
 *
 * Strings: pointer and length; nothing is kept after the call.
 * Errors:  -1 or NULL with a message of at most message_cap bytes (with its NUL) in message.
 * Threads: the functions only read what is shared.
 * Source:  llama.cpp, common/chat.h.
 */
#ifndef TRANCHE_PREDICT_LOCAL_LLAMA_LLAMA_BRIDGE_H
#define TRANCHE_PREDICT_LOCAL_LLAMA_LLAMA_BRIDGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <llama.h>

#ifdef __cplusplus
extern "C" {
#endif

struct bridge_text {
    const char *p;
    size_t len;
};
struct bridge_message {
    struct bridge_text role, text;
};
struct bridge_error {
    char message[400];
};
/* Takes bytes of a result; called once or not at all. */
typedef void (*bridge_sink)(void *arg, const char *p, size_t len);

struct bridge_templates;
struct bridge_templates *bridge_templates_new(const struct llama_model *model,
                                              struct bridge_error *e);
void bridge_templates_free(struct bridge_templates *t);
/* The text of a conversation, with the beginning of the model's answer; without a BOS token that the
 * tokenizer adds by itself. */
int bridge_render(const struct bridge_templates *t, const struct bridge_message *m, size_t count,
                  bridge_sink sink, void *arg, struct bridge_error *e);

/* As llama_tokenize without BOS and EOS, and llama_decode; INT32_MIN when they threw. */
int32_t bridge_tokenize(const struct llama_vocab *vocab, struct bridge_text text, bool special,
                        int32_t *out, int32_t cap);
int32_t bridge_decode(struct llama_context *context, struct llama_batch batch);

/* Keeps the C++ parts of llama.cpp from writing to standard error on their own. */
void bridge_quiet(void);

#ifdef __cplusplus
}
#endif

#endif
