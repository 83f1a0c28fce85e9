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

common_chat_msg message_of(const bridge_message &m)
{
    common_chat_msg message;

    message.role = string_of(m.role);
    message.content = string_of(m.text);
    for (size_t i = 0; i < m.call_count; i++)
        message.tool_calls.push_back(
            { string_of(m.call[i].name), string_of(m.call[i].args), string_of(m.call[i].id) });
    message.tool_name = string_of(m.name);
    message.tool_call_id = string_of(m.id);
    return message;
}

} // namespace

bridge_templates *bridge_templates_new(const llama_model *model, bridge_text text, bridge_error *e)
{
    return guarded(static_cast<bridge_templates *>(nullptr), e, [&] {
        return new bridge_templates{ common_chat_templates_init(model, string_of(text)) };
    });
}

void bridge_templates_free(bridge_templates *t)
{
    delete t;
}

void bridge_template_text(const bridge_templates *t, bool functions, bridge_sink sink, void *arg)
{
    bridge_error ignored;

    (void)guarded(0, &ignored, [&] {
        std::string text;
        if (functions)
            text = common_chat_templates_source(t->templates.get(), "tool_use");
        if (text.empty())
            text = common_chat_templates_source(t->templates.get());
        sink(arg, text.data(), text.size());
        return 0;
    });
}

int bridge_render(const bridge_templates *t, const bridge_chat *chat, bridge_sink sink, void *arg,
                  bridge_error *e)
{
    return guarded(-1, e, [&] {
        common_chat_templates_inputs in;
        for (size_t i = 0; i < chat->message_count; i++)
            in.messages.push_back(message_of(chat->message[i]));
        for (size_t i = 0; i < chat->function_count; i++) {
            const bridge_function &f = chat->function[i];
            in.tools.push_back(
                { string_of(f.name), string_of(f.description), string_of(f.parameters) });
        }
        /* Nothing of llama.cpp's grammars and parsers is used, and these may refuse a schema. */
        in.tool_choice = COMMON_CHAT_TOOL_CHOICE_NONE;
        in.enable_thinking = chat->thinks;
        in.force_pure_content = chat->pure;
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

int32_t bridge_tokenize_ends(const llama_vocab *vocab, bridge_text text, int32_t *out, int32_t cap)
{
    bridge_error ignored;

    return guarded(INT32_MIN, &ignored, [&] {
        return llama_tokenize(vocab, text.p, static_cast<int32_t>(text.len), out, cap, true, false);
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
