#include "predict/local/llama/llama_bridge.h"

#include <climits>
#include <cstring>
#include <exception>
#include <string>

#include <chat.h>
#include <log.h>

struct bridge_templates {
    common_chat_templates_ptr templates;
};

namespace
{

std::string string_of(bridge_text t)
{
    return t.len ? std::string(t.p, t.len) : std::string();
}

void set_error(bridge_error *e, const char *what)
{
    size_t len = std::strlen(what);

    if (len >= sizeof e->message)
        len = sizeof e->message - 1;
    std::memcpy(e->message, what, len);
    e->message[len] = '\0';
}

/* Runs the call; what it throws becomes the error and the result is `failed`. */
template <typename Result, typename Call> Result guarded(Result failed, bridge_error *e, Call call)
{
    try {
        return call();
    } catch (const std::exception &thrown) {
        set_error(e, thrown.what());
    } catch (...) {
        set_error(e, "unknown error");
    }
    return failed;
}

} // namespace

bridge_templates *bridge_templates_new(const llama_model *model, bridge_error *e)
{
    return guarded(static_cast<bridge_templates *>(nullptr), e,
                   [&] { return new bridge_templates{ common_chat_templates_init(model, "") }; });
}

void bridge_templates_free(bridge_templates *t)
{
    delete t;
}

int bridge_render(const bridge_templates *t, const bridge_message *m, size_t count,
                  bridge_sink sink, void *arg, bridge_error *e)
{
    return guarded(-1, e, [&] {
        common_chat_templates_inputs in;
        for (size_t i = 0; i < count; i++) {
            common_chat_msg message;
            message.role = string_of(m[i].role);
            message.content = string_of(m[i].text);
            in.messages.push_back(std::move(message));
        }
        in.enable_thinking = false; /* an answer is its text; thoughts are not asked for */
        const std::string out = common_chat_templates_apply(t->templates.get(), in).prompt;
        sink(arg, out.data(), out.size());
        return 0;
    });
}

int32_t bridge_tokenize(const llama_vocab *vocab, bridge_text text, bool special, int32_t *out,
                        int32_t cap)
{
    bridge_error ignored;

    return guarded(INT32_MIN, &ignored, [&] {
        return llama_tokenize(vocab, text.p, static_cast<int32_t>(text.len), out, cap, false,
                              special);
    });
}

int32_t bridge_decode(llama_context *context, llama_batch batch)
{
    bridge_error ignored;

    return guarded(INT32_MIN, &ignored, [&] { return llama_decode(context, batch); });
}

void bridge_quiet(void)
{
    common_log_set_verbosity_thold(-1);
}
