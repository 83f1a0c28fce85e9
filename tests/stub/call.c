#include "call.h"

#include <string.h>

#include "base/mem.h"
#include "base/json.h"

/* ---- Where it goes ---- */

static const struct {
    const char *method, *path; /* '*' is any run */
    enum call_kind kind;
    enum dialect dialect;
} routes[] = {
    { "POST", "/v1/chat/completions", CALL_CHAT, DIALECT_OPENAI },
    { "POST", "/v1*/models/*:generateContent", CALL_CHAT, DIALECT_GEMINI },
    { "POST", "/v1/embeddings", CALL_EMBED, DIALECT_OPENAI },
    { "GET", "/v1/models", CALL_MODELS, DIALECT_OPENAI },
    { "GET", "/v1beta/models", CALL_MODELS, DIALECT_GEMINI },
    { "GET", "/health", CALL_HEALTH, DIALECT_OPENAI },
    { "GET", "/stub/stats", CALL_STATS, DIALECT_OPENAI },
    { "POST", "/stub/reset", CALL_RESET, DIALECT_OPENAI },
    { "POST", "/stub/faults", CALL_FAULTS, DIALECT_OPENAI },
};

/* A path against a pattern with '*': each piece between stars is found in turn, the last at the end. */
static bool path_matches(struct str path, const char *pattern)
{
    const char *star = strchr(pattern, '*');

    if (!star)
        return str_eq_c(path, pattern);
    struct str piece = { pattern, (size_t)(star - pattern) };
    if (!str_starts(path, piece))
        return false;
    path = str_sub(path, piece.len, path.len);
    for (; (pattern = star + 1), (star = strchr(pattern, '*')) != NULL;) {
        piece = (struct str){ pattern, (size_t)(star - pattern) };
        size_t at = str_find(path, piece);
        if (at == SIZE_MAX)
            return false;
        path = str_sub(path, at + piece.len, path.len);
    }
    return str_ends(path, str_of(pattern));
}

/* X of ".../models/X:generateContent". */
static struct str model_of(struct str path)
{
    const char *from = path.p + path.len, *colon = NULL;

    while (from > path.p && from[-1] != '/') {
        from--;
        if (*from == ':')
            colon = from;
    }
    return colon ? (struct str){ from, (size_t)(colon - from) } : STR("");
}

static bool is_served(enum dialect dialect, const char *dialects)
{
    if (!dialects || strcmp(dialects, "both") == 0)
        return true;
    return (dialect == DIALECT_GEMINI) == (strcmp(dialects, "gemini") == 0);
}

void call_route(struct call *c, const char *dialects)
{
    c->kind = CALL_UNKNOWN;
    for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
        if (!str_eq_c(c->head.method, routes[i].method) ||
            !path_matches(c->head.path, routes[i].path))
            continue;
        c->dialect = routes[i].dialect;
        bool is_model = routes[i].kind <= CALL_MODELS;
        if (!is_model || is_served(c->dialect, dialects))
            c->kind = routes[i].kind;
        if (c->kind == CALL_CHAT && c->dialect == DIALECT_GEMINI)
            c->model = model_of(c->head.path);
        return;
    }
}

/* ---- What it says ---- */

/* The next item of an array as written, or the value itself when it is none: *at is 0 before the first. */
static bool item_next(struct str array, size_t *at, struct str *item)
{
    if (array.len == 0 || *at >= array.len)
        return false;
    if (array.p[0] != '[') {
        *item = array;
        *at = array.len;
        return true;
    }
    size_t from = json_space(array, *at + 1); /* after "[" or "," */
    if (from >= array.len || array.p[from] == ']')
        return false;
    size_t end = json_skip(array, from);
    *item = str_sub(array, from, end - from);
    *at = json_space(array, end);
    return item->len > 0;
}

static struct str inside(struct str value)
{
    return value.len >= 2 && value.p[0] == '"' ? str_sub(value, 1, value.len - 2) : STR("");
}

static struct str member(struct str object, const char *key)
{
    struct json_member m = { 0 };

    while (json_member_next(object, &m))
        if (str_eq_c(m.key, key))
            return m.value;
    return STR("");
}

/* The text of content: a string, a part, or the last part that has a text. */
static struct str text_of(struct str content)
{
    struct str text = STR(""), part;

    if (content.len && content.p[0] == '"')
        return inside(content);
    for (size_t at = 0; item_next(content, &at, &part);) {
        struct str found = member(part, "text");
        if (found.len)
            text = inside(found);
    }
    return text;
}

/* How a dialect spells messages; a message without a role is the user's. */
static const struct {
    const char *messages, *content;
} words[] = {
    [DIALECT_OPENAI] = { "messages", "content" },
    [DIALECT_GEMINI] = { "contents", "parts" },
};

static void messages_read(struct str messages, enum dialect dialect, struct prompt *out)
{
    struct str message;

    for (size_t at = 0; item_next(messages, &at, &message);) {
        struct str role = STR(""), content = STR("");
        struct json_member m = { 0 };
        while (json_member_next(message, &m)) {
            if (str_eq(m.key, STR("role")))
                role = inside(m.value);
            else if (str_eq_c(m.key, words[dialect].content))
                content = m.value;
        }
        if (role.len == 0 || str_eq(role, STR("user")))
            out->text = text_of(content);
        else if (str_eq(role, STR("system")) || str_eq(role, STR("developer")))
            out->system = content;
    }
}

void prompt_read(const struct call *c, struct prompt *out)
{
    struct json_member m = { 0 };

    *out = (struct prompt){ STR(""), STR("") };
    while (json_member_next(c->body, &m)) {
        if (str_eq_c(m.key, words[c->dialect].messages))
            messages_read(m.value, c->dialect, out);
        else if (str_eq(m.key, STR("systemInstruction")) ||
                 str_eq(m.key, STR("system_instruction")))
            out->system = m.value;
    }
}

bool input_next(const struct call *c, size_t *at, struct str *input)
{
    return item_next(member(c->body, "input"), at, input);
}
