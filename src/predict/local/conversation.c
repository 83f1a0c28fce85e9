#include "predict/local/conversation.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

#define TEXT_JOIN "\n" /* between the text parts of a turn */

// clang-format off
static const struct {
    enum part_kind kind;
    const char *what; /* that the model cannot take */
} refused[] = {
    { PART_INLINE_DATA,       "images, audio or documents"   },
    { PART_FILE_DATA,         "images, audio or documents"   },
    { PART_FUNCTION_CALL,     "function calls"               },
    { PART_FUNCTION_RESPONSE, "function responses"           },
    { PART_EXECUTABLE_CODE,   "executable code"              },
    { PART_CODE_RESULT,       "results of executed code"     },
};
// clang-format on

static void explain(struct violation *why, const char *path, const char *model, const char *what)
{
    *why = (struct violation){ 0 };
    (void)snprintf(why->path, sizeof why->path, "%s", path);
    (void)snprintf(why->message, sizeof why->message, "%s cannot take %s.", model, what);
    (void)snprintf(why->remedy, sizeof why->remedy, "Leave it out, or use a model that can.");
}

static bool content_is_text(const struct content *c, const char *path, const char *model,
                            struct violation *why)
{
    char full[VIOLATION_PATH_BYTES];

    for (uint32_t i = 0; i < c->part_count; i++)
        for (size_t k = 0; k < ARRAY_LEN(refused); k++)
            if (c->part[i].kind == refused[k].kind) {
                (void)snprintf(full, sizeof full, "%s.parts[%u]", path, i);
                explain(why, full, model, refused[k].what);
                return false;
            }
    return true;
}

bool conversation_is_text(const struct request *r, const char *model, struct violation *why)
{
    char path[64];

    if (r->kind == REQUEST_EMBED) {
        explain(why, "content", model, "requests for embeddings");
        (void)snprintf(why->remedy, sizeof why->remedy,
                       "Use a model that makes embeddings; to generate, write contents.");
        return false;
    }
    if (!request_wants_text(r, why))
        return false;
    if (r->tools) {
        explain(why, "tools", model, "tools");
        return false;
    }
    if (r->system && !content_is_text(r->system, "systemInstruction", model, why))
        return false;
    for (uint32_t i = 0; i < r->content_count; i++) {
        (void)snprintf(path, sizeof path, "contents[%u]", i);
        if (!content_is_text(&r->content[i], path, model, why))
            return false;
    }
    return true;
}

static bool is_shown(const struct part *p)
{
    return p->kind == PART_TEXT && !p->thought;
}

static uint32_t shown_parts(const struct content *c)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < c->part_count; i++)
        count += is_shown(&c->part[i]);
    return count;
}

/* The texts of a turn as one. */
static struct str joined(const struct content *c, struct arena *a)
{
    size_t bytes = 0, at = 0;

    for (uint32_t i = 0; i < c->part_count; i++) {
        if (!is_shown(&c->part[i]))
            continue;
        if (shown_parts(c) == 1)
            return c->part[i].text;
        bytes += c->part[i].text.len + strlen(TEXT_JOIN); /* at most the line's length, twice */
    }
    char *text = arena_alloc_raw(a, bytes + 1);
    for (uint32_t i = 0; i < c->part_count; i++) {
        struct str t = c->part[i].text;
        if (!is_shown(&c->part[i]))
            continue;
        if (at) {
            // NOLINTNEXTLINE(bugprone-not-null-terminated-result): the end is set below
            memcpy(text + at, TEXT_JOIN, strlen(TEXT_JOIN));
            at += strlen(TEXT_JOIN);
        }
        if (t.len)
            memcpy(text + at, t.p, t.len);
        at += t.len;
    }
    return (struct str){ text, at };
}

static void add_message(struct chat_message *m, uint32_t *count, struct str role,
                        const struct content *c, struct arena *a)
{
    if (shown_parts(c))
        m[(*count)++] = (struct chat_message){ role, joined(c, a) };
}

uint32_t conversation_make(const struct request *r, struct arena *a, struct chat_message **out)
{
    struct chat_message *m = arena_array(a, (size_t)r->content_count + 1, sizeof *m);
    uint32_t count = 0;

    if (r->system)
        add_message(m, &count, STR("system"), r->system, a);
    for (uint32_t i = 0; i < r->content_count; i++) {
        bool model = r->content[i].role == ROLE_MODEL;
        add_message(m, &count, model ? STR("assistant") : STR("user"), &r->content[i], a);
    }
    *out = m;
    return count;
}
