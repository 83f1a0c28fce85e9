#include "predict/local/llama/llama_guard.h"

#include <stdio.h>
#include <string.h>

/* ---- Control tokens of a vocabulary ---- */

void controls_collect(struct controls *c, const struct llama_vocab *vocab)
{
    int32_t count = llama_vocab_n_tokens(vocab);

    for (int32_t i = 0; i < count; i++) {
        enum llama_token_attr attr = llama_vocab_get_attr(vocab, i);
        struct str text = str_of(llama_vocab_get_text(vocab, i));
        if (!(attr & (LLAMA_TOKEN_ATTR_CONTROL | LLAMA_TOKEN_ATTR_UNKNOWN)) || !text.len)
            continue;
        c->text = mem_grow(c->text, (c->count + 1) * sizeof *c->text);
        uint32_t at = c->count++;
        for (; at > 0 && c->text[at - 1].len < text.len; at--)
            c->text[at] = c->text[at - 1];
        c->text[at] = text;
        c->first_byte[(unsigned char)text.p[0]] = true;
    }
}

void controls_release(struct controls *c)
{
    mem_free(c->text);
}

size_t control_at(const struct controls *c, struct str s, uint32_t *which)
{
    if (!c->first_byte[(unsigned char)s.p[0]])
        return 0;
    for (uint32_t i = 0; i < c->count; i++)
        if (str_starts(s, c->text[i])) {
            *which = i;
            return c->text[i].len;
        }
    return 0;
}

/* True when s contains the text of a control token. */
static bool has_control(const struct controls *c, struct str s)
{
    uint32_t which;

    for (size_t at = 0; at < s.len; at++)
        if (control_at(c, str_sub(s, at, SIZE_MAX), &which))
            return true;
    return false;
}

/* ---- Marks ---- */

/* A mark is MARK, the number of this conversation's marks, the number of a control token, and MARK_END. */
#define MARK "tranche~"
#define MARK_END "~"

/* The text with marks for the control tokens that it spells. */
static struct str marked(struct text_guard *g, struct str text)
{
    struct buf out = BUF_INIT(PROMPT_BYTES_MAX);

    if (!has_control(g->controls, text))
        return text;
    for (size_t at = 0; at < text.len;) {
        uint32_t which = 0;
        size_t len = control_at(g->controls, str_sub(text, at, SIZE_MAX), &which);
        if (len)
            buf_addf(&out, MARK "%u~%u" MARK_END, g->number, which);
        else
            buf_add_char(&out, text.p[at]);
        at += len ? len : 1;
    }
    struct str copy = { arena_copy(&g->arena, out.p, out.len), out.len };
    buf_release(&out);
    return copy;
}

/* The texts of a conversation, with each in turn given to `each`. */
struct texts {
    bool (*each)(void *arg, struct str *text);
    void *arg;
};

static bool message_texts(const struct texts *t, struct chat_message *m, struct chat_call *call)
{
    bool any = t->each(t->arg, &m->text);

    any |= t->each(t->arg, &m->name);
    any |= t->each(t->arg, &m->id);
    for (uint32_t i = 0; i < m->call_count; i++) {
        call[i] = m->call[i];
        any |= t->each(t->arg, &call[i].name);
        any |= t->each(t->arg, &call[i].args);
        any |= t->each(t->arg, &call[i].id);
    }
    m->call = call;
    return any;
}

/* A copy of the conversation in which `each` may have replaced texts; true when it was true of one. */
static bool chat_texts(const struct chat *chat, const struct texts *t, struct arena *a,
                       struct chat *out)
{
    struct chat_message *m = arena_array(a, chat->message_count + 1, sizeof *m);
    struct chat_function *f = arena_array(a, chat->function_count + 1, sizeof *f);
    bool any = false;

    for (uint32_t i = 0; i < chat->message_count; i++) {
        m[i] = chat->message[i];
        any |= message_texts(t, &m[i], arena_array(a, m[i].call_count + 1, sizeof *m[i].call));
    }
    for (uint32_t i = 0; i < chat->function_count; i++) {
        f[i] = chat->function[i];
        any |= t->each(t->arg, &f[i].description);
        any |= t->each(t->arg, &f[i].parameters);
    }
    *out = *chat;
    out->message = m;
    out->function = f;
    return any;
}

static bool each_has_control(void *arg, struct str *text)
{
    return has_control(arg, *text);
}

static bool each_marked(void *arg, struct str *text)
{
    *text = marked(arg, *text);
    return false;
}

/* True when the text has the marks' beginning. */
static bool each_has_mark(void *arg, struct str *text)
{
    const struct text_guard *g = arg;
    char mark[32];

    (void)snprintf(mark, sizeof mark, MARK "%u~", g->number);
    return str_find(*text, str_of(mark)) != SIZE_MAX;
}

bool text_guard_needed(const struct controls *c, const struct chat *chat)
{
    const struct texts t = { each_has_control, (void *)(uintptr_t)c };
    struct arena scratch = { 0 };
    struct chat copy;
    bool any = chat_texts(chat, &t, &scratch, &copy);

    arena_release(&scratch);
    return any;
}

void text_guard_mark(struct text_guard *g, const struct chat *chat, struct chat *out)
{
    while (chat_texts(chat, &(struct texts){ each_has_mark, g }, &g->arena, out))
        g->number++;
    (void)chat_texts(chat, &(struct texts){ each_marked, g }, &g->arena, out);
}

void text_guard_release(struct text_guard *g)
{
    arena_release(&g->arena);
}

struct span *text_guard_restore(const struct text_guard *g, struct str frame, struct buf *out,
                                uint32_t *count)
{
    struct span *span = NULL;
    char mark[32];
    size_t at;

    (void)snprintf(mark, sizeof mark, MARK "%u~", g->number);
    *count = 0;
    while ((at = str_find(frame, str_of(mark))) != SIZE_MAX) {
        struct str number = str_sub(frame, at + strlen(mark), SIZE_MAX);
        size_t digits = str_find(number, STR(MARK_END));
        uint64_t which = 0;
        buf_add_str(out, str_sub(frame, 0, at));
        if (digits != SIZE_MAX && str_number(str_sub(number, 0, digits), &which) &&
            which < g->controls->count) {
            span = mem_list_grow(span, *count, sizeof *span);
            span[*count].at = out->len;
            buf_add_str(out, g->controls->text[which]);
            span[(*count)++].end = out->len;
        }
        frame = str_sub(number, digits == SIZE_MAX ? digits : digits + 1, SIZE_MAX);
    }
    buf_add_str(out, frame);
    return span;
}

bool spans_touch(const struct span *span, uint32_t count, uint32_t *next, size_t at, size_t end)
{
    while (*next < count && span[*next].end <= at)
        ++*next;
    return *next < count && span[*next].at < end;
}
