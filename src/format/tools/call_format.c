#include "format/tools/call_format.h"

#include "base/json_write.h"
#include "base/mem.h"

// clang-format off
static const struct {
    const char *name;
    struct str marker;
    bool first;
    const char *arguments;
} formats[] = {
    [CALLS_AUTO]    = { "auto",    STR_INIT(""),            false, ""           },
    [CALLS_NONE]    = { "none",    STR_INIT(""),            false, ""           },
    [CALLS_HERMES]  = { "hermes",  STR_INIT("<tool_call>"), false, "arguments"  },
    [CALLS_SMOLLM2] = { "smollm2", STR_INIT("<tool_call>"), false, "arguments"  },
    [CALLS_LLAMA3]  = { "llama3",  STR_INIT("{"),           true,  "parameters" },
    [CALLS_GEMMA]   = { "gemma",   STR_INIT("["),           true,  "parameters" },
};

/* Texts of templates. A template with a format's mark and without the others' is of that format. */
static const struct {
    enum call_format format;
    bool in_template;
    const char *has[3], *lacks[5];
} signs[] = {
    { CALLS_HERMES,  true,  { "<tool_call>", "\"arguments\"" },
      { "<function=", "<arg_key>", "<invoke", "<|tool_call_begin|>", "<tool_sep>" } },
    { CALLS_HERMES,  true,  { "<tool_call>", "'arguments'" },
      { "<function=", "<arg_key>", "<invoke", "<|tool_call_begin|>", "<tool_sep>" } },
    { CALLS_LLAMA3,  true,  { "<|start_header_id|>", "\"parameters\"" }, { "<function=", "functools", ">>>" } },
    { CALLS_SMOLLM2, false, { "<|im_start|>", "SmolLM", "Hugging Face" },
      { "tools", "tool_call", "<think>" } },
    { CALLS_GEMMA,   false, { "<start_of_turn>" }, { "<start_function", "tool_call" } },
};
// clang-format on

const char *call_format_name(enum call_format f)
{
    return formats[f].name;
}

static bool has_text(struct str text, const char *part)
{
    return str_find(text, str_of(part)) != SIZE_MAX;
}

static bool sign_fits(size_t at, struct str text)
{
    for (size_t i = 0; i < ARRAY_LEN(signs[at].has) && signs[at].has[i]; i++)
        if (!has_text(text, signs[at].has[i]))
            return false;
    for (size_t i = 0; i < ARRAY_LEN(signs[at].lacks) && signs[at].lacks[i]; i++)
        if (has_text(text, signs[at].lacks[i]))
            return false;
    return true;
}

/* A format that is set is the template's when the template shows functions and has the marks. */
struct call_style call_style_of(struct str chat_template, bool shows_functions,
                                enum call_format set)
{
    for (size_t i = 0; i < ARRAY_LEN(signs); i++)
        if (signs[i].in_template == shows_functions && sign_fits(i, chat_template) &&
            (set == CALLS_AUTO || set == signs[i].format))
            return (struct call_style){ signs[i].format, shows_functions };
    return (struct call_style){ set == CALLS_AUTO ? CALLS_NONE : set, false };
}

struct call_marker call_marker_of(enum call_format f)
{
    return (struct call_marker){ formats[f].marker, formats[f].first };
}

const char *call_arguments_key(enum call_format f)
{
    return formats[f].arguments;
}

size_t call_begins(enum call_format f, struct str answer, bool *open)
{
    const struct str marker = formats[f].marker;

    if (!formats[f].first) {
        size_t at = str_find(answer, marker);
        *open = true;
        return at == SIZE_MAX ? 0 : at + marker.len;
    }
    size_t at = json_space(answer, 0);
    *open = at == answer.len;
    return !*open && str_starts(str_sub(answer, at, SIZE_MAX), marker) ? at + marker.len : 0;
}

/* ---- Texts ---- */

static const char hermes_example[] =
    "\n</tools>\n\nFor each function call, return a json object with function name and arguments "
    "within <tool_call></tool_call> XML tags:\n<tool_call>\n{\"name\": <function-name>, "
    "\"arguments\": <args-json-object>}\n</tool_call>";

void call_system_write(enum call_format f, struct str functions, struct buf *out)
{
    switch (f) {
    case CALLS_HERMES:
        buf_add_c(out, "# Tools\n\nYou may call one or more functions to assist with the user "
                       "query.\n\nYou are provided with function signatures within "
                       "<tools></tools> XML tags:\n<tools>\n");
        buf_add_str(out, functions);
        buf_add_c(out, hermes_example);
        break;
    case CALLS_SMOLLM2:
        buf_add_c(out, "You are an expert in composing functions. You are given a question and a "
                       "set of possible functions. Based on the question, make one or more "
                       "function calls to achieve the purpose. If no function can be used, or the "
                       "question lacks a parameter, say so instead.\n\nYou have access to the "
                       "following tools:\n<tools>");
        buf_add_str(out, functions);
        buf_add_c(out, "</tools>\n\nWrite calls in this format and mind the types of the "
                       "parameters:\n<tool_call>[\n{\"name\": \"func_name1\", \"arguments\": "
                       "{\"argument1\": \"value1\", \"argument2\": \"value2\"}}\n]</tool_call>");
        break;
    case CALLS_LLAMA3:
        buf_add_c(out, "You have access to the following functions. To call a function, please "
                       "respond with JSON for a function call. Respond in the format {\"name\": "
                       "function name, \"parameters\": dictionary of argument name and its "
                       "value}. Do not use variables.\n\n");
        buf_add_str(out, functions);
        break;
    case CALLS_GEMMA:
        buf_add_c(out, "You have access to functions. If you decide to invoke any of the "
                       "functions, you MUST put it in the format of\n[{\"name\": function name, "
                       "\"parameters\": dictionary of argument name and its value}]\n\nYou SHOULD "
                       "NOT include any other text in the response if you call a function.\n");
        buf_add_str(out, functions);
        break;
    case CALLS_AUTO:
    case CALLS_NONE:
        break;
    }
}

static void object_write(enum call_format f, const struct call_text *c, struct buf *out)
{
    buf_add_c(out, "{\"name\": ");
    buf_add_json(out, c->name);
    buf_addf(out, ", \"%s\": ", formats[f].arguments);
    buf_add_str(out, c->json);
    buf_add_char(out, '}');
}

void call_write(enum call_format f, const struct call_text *c, struct buf *out)
{
    bool tags = f == CALLS_HERMES || f == CALLS_SMOLLM2;
    bool list = f == CALLS_SMOLLM2 || f == CALLS_GEMMA;

    if (tags && (c->first || !list))
        buf_add_c(out, f == CALLS_HERMES ? "<tool_call>\n" : "<tool_call>");
    if (list)
        buf_add_c(out, c->first ? "[" : ", ");
    object_write(f, c, out);
    if (list && c->last)
        buf_add_char(out, ']');
    if (f == CALLS_HERMES)
        buf_add_c(out, c->last ? "\n</tool_call>" : "\n</tool_call>\n");
    else if (f == CALLS_SMOLLM2 && c->last)
        buf_add_c(out, "</tool_call>");
    else if (f == CALLS_LLAMA3 && !c->last)
        buf_add_c(out, "; ");
}

void call_response_write(const struct call_text *r, struct buf *out)
{
    buf_add_c(out, "<tool_response>\n{\"name\": ");
    buf_add_json(out, r->name);
    buf_add_c(out, ", \"content\": ");
    buf_add_str(out, r->json);
    buf_add_c(out, r->last ? "}\n</tool_response>" : "}\n</tool_response>\n");
}
