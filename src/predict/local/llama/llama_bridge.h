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
struct bridge_call {
    struct bridge_text name, args, id;
};
struct bridge_message {
    struct bridge_text role, text;
    const struct bridge_call *call; /* call_count of them */
    size_t call_count;
    struct bridge_text name, id; /* of a tool's message */
};
struct bridge_function {
    struct bridge_text name, description, parameters;
};
struct bridge_chat {
    const struct bridge_message *message; /* message_count of them */
    size_t message_count;
    const struct bridge_function *function; /* function_count of them */
    size_t function_count;
    bool thinks; /* the template's enable_thinking */
    bool pure;   /* by the template alone, without what llama.cpp does for some families */
};
struct bridge_error {
    char message[400];
};
/* Takes bytes of a result; called once or not at all. */
typedef void (*bridge_sink)(void *arg, const char *p, size_t len);

struct bridge_templates;
/* text: a chat template instead of the model's own; empty: its own. */
struct bridge_templates *bridge_templates_new(const struct llama_model *model,
                                              struct bridge_text text, struct bridge_error *e);
void bridge_templates_free(struct bridge_templates *t);
/* The text of the template; with functions: of the one for conversations with functions, if there are two. */
void bridge_template_text(const struct bridge_templates *t, bool functions, bridge_sink sink,
                          void *arg);
/* The text of a conversation, with the beginning of the model's answer; without a BOS token that the
 * tokenizer adds by itself. */
int bridge_render(const struct bridge_templates *t, const struct bridge_chat *chat,
                  bridge_sink sink, void *arg, struct bridge_error *e);

/* As llama_tokenize without BOS and EOS, and llama_decode; INT32_MIN when they threw. */
int32_t bridge_tokenize(const struct llama_vocab *vocab, struct bridge_text text, bool special,
                        int32_t *out, int32_t cap);
/* The same with what the vocabulary puts at both ends; control tokens that the text spells stay text. */
int32_t bridge_tokenize_ends(const struct llama_vocab *vocab, struct bridge_text text, int32_t *out,
                             int32_t cap);
int32_t bridge_decode(struct llama_context *context, struct llama_batch batch);

/* Keeps the C++ parts of llama.cpp from writing to standard error on their own. */
void bridge_quiet(void);

#ifdef __cplusplus
}
#endif

#endif
