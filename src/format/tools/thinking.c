#include "format/tools/thinking.h"

#include "base/mem.h"
#include "format/request/fields.h"

struct thinking_tags thinking_tags_of(struct str chat_template)
{
    static const struct thinking_tags known[] = {
        { STR_INIT("<think>"), STR_INIT("</think>") },
        { STR_INIT("[THINK]"), STR_INIT("[/THINK]") },
        { STR_INIT("<seed:think>"), STR_INIT("</seed:think>") },
        { STR_INIT("<|START_THINKING|>"), STR_INIT("<|END_THINKING|>") },
    };

    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (str_find(chat_template, known[i].begin) != SIZE_MAX &&
            str_find(chat_template, known[i].end) != SIZE_MAX)
            return known[i];
    return (struct thinking_tags){ { "", 0 }, { "", 0 } };
}

/* Tokens that a level stands for: 0 turns thinking off. */
static bool level_tokens(struct str level, uint32_t *out)
{
    // clang-format off
    static const struct {
        const char *level;
        uint32_t tokens;
    } levels[] = {
        { "MINIMAL", 0                     },
        { "LOW",     THOUGHT_TOKENS_LOW    },
        { "MEDIUM",  THOUGHT_TOKENS_MEDIUM },
        { "HIGH",    THOUGHT_TOKENS_ANY    },
        { "XHIGH",   THOUGHT_TOKENS_ANY    },
    };
    // clang-format on

    for (size_t i = 0; i < ARRAY_LEN(levels); i++)
        if (str_eq_c(level, levels[i].level)) {
            *out = levels[i].tokens;
            return true;
        }
    return false;
}

struct thinking_ask thinking_asked(const struct request *r)
{
    yyjson_val *config = r->generation.thinking;
    struct thinking_ask ask = {
        .tokens_max = THOUGHT_TOKENS_ANY,
        .shown = yyjson_is_true(request_field(config, "includeThoughts")),
    };
    int64_t budget = -1;
    bool says = request_integer(request_field(config, "thinkingBudget"), &budget);

    if (says && budget >= 0)
        ask.tokens_max = (uint32_t)budget;
    else if (level_tokens(json_str(request_field(config, "thinkingLevel")), &ask.tokens_max))
        says = true;
    if (says || ask.shown)
        ask.thinking = ask.tokens_max ? THINKING_ON : THINKING_OFF;
    return ask;
}
