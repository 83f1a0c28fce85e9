#include "predict/local/llama/llama_prompt.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/sys.h"
#include "predict/local/llama/llama_bridge.h"
#include "predict/local/llama/llama_guard.h"

/* Messages of one conversation: contents and a system instruction. */
#define MESSAGES_MAX 10001
/* Tags of thoughts and calls that can be control tokens. */
#define TAGS_MAX 4

struct llama_prompt {
    const struct llama_vocab *vocab;
    struct bridge_templates *templates;
    struct call_style calls;
    struct thinking_tags tags;
    struct tokens thought_end; /* that end a thought and begin the answer */
    int32_t tag[TAGS_MAX];     /* tag_count control tokens that an answer shows */
    uint32_t tag_count;
    bool pure;     /* the template alone renders as llama.cpp does with all it adds */
    bool switches; /* the template has a switch for thinking */
    struct controls controls;
    bool has_system; /* the template shows a system message */
    int32_t first;   /* the token that begins every prompt, or LLAMA_TOKEN_NULL */
};

/* ---- Opening ---- */

void llama_prompt_free(struct llama_prompt *p)
{
    if (!p)
        return;
    bridge_templates_free(p->templates);
    tokens_release(&p->thought_end);
    controls_release(&p->controls);
    mem_free(p);
}

static int tokenize(const struct llama_prompt *p, struct str text, bool special, struct tokens *out,
                    struct error *e)
{
    struct bridge_text t = { text.p, text.len };

    if (!text.len)
        return 0;
    if (text.len > INT32_MAX / 2)
        return error_set(e, ERROR_INVALID_ARGUMENT, "The conversation is too long.");
    /* A token has a byte at least; two more are for what a tokenizer puts in front. */
    int32_t cap = (int32_t)(text.len / 2 + 16);
    int32_t count = bridge_tokenize(p->vocab, t, special, tokens_reserve(out, (uint32_t)cap), cap);
    if (count < 0 && count > -INT32_MAX) {
        cap = -count;
        count = bridge_tokenize(p->vocab, t, special, tokens_reserve(out, (uint32_t)cap), cap);
    }
    if (count < 0)
        return error_set(e, ERROR_INVALID_ARGUMENT, "The text cannot be tokenized.");
    out->count += (uint32_t)count;
    return 0;
}

static void sink_into_buf(void *arg, const char *p, size_t len)
{
    buf_add(arg, p, len);
}

static struct bridge_text text_of(struct str s)
{
    return (struct bridge_text){ s.p, s.len };
}

static void bridge_messages(const struct chat *chat, struct arena *a, struct bridge_chat *out)
{
    struct bridge_message *m = arena_array(a, chat->message_count + 1, sizeof *m);

    for (uint32_t i = 0; i < chat->message_count; i++) {
        const struct chat_message *from = &chat->message[i];
        struct bridge_call *call = arena_array(a, from->call_count + 1, sizeof *call);
        for (uint32_t k = 0; k < from->call_count; k++)
            call[k] =
                (struct bridge_call){ text_of(from->call[k].name), text_of(from->call[k].args),
                                      text_of(from->call[k].id) };
        m[i] =
            (struct bridge_message){ text_of(from->role), text_of(from->text), call,
                                     from->call_count,    text_of(from->name), text_of(from->id) };
    }
    out->message = m;
    out->message_count = chat->message_count;
}

static int render(const struct llama_prompt *p, const struct chat *chat, struct buf *out,
                  struct error *e)
{
    struct arena arena = { 0 };
    struct bridge_function *f = arena_array(&arena, chat->function_count + 1, sizeof *f);
    struct bridge_error why = { 0 };
    struct bridge_chat in = {
        .function = f,
        .function_count = chat->function_count,
        .thinks = chat->thinking == THINKING_ON,
        .pure = p->pure,
    };

    for (uint32_t i = 0; i < chat->function_count; i++)
        f[i] = (struct bridge_function){ text_of(chat->function[i].name),
                                         text_of(chat->function[i].description),
                                         text_of(chat->function[i].parameters) };
    bridge_messages(chat, &arena, &in);
    int rc = bridge_render(p->templates, &in, sink_into_buf, out, &why);
    arena_release(&arena);
    if (rc < 0)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "The model's chat template does not take this conversation: %s",
                         why.message);
    if (!buf_ok(out))
        return error_set(e, ERROR_INVALID_ARGUMENT, "The conversation is too long.");
    return 0;
}

/* ---- Facts of the template, found by rendering ---- */

#define PROBE "tranche-probe"

/* The rendering of a short conversation; empty when the template does not take it. */
static struct buf probe(const struct llama_prompt *p, const struct chat *chat)
{
    struct buf out = BUF_INIT(PROMPT_BYTES_MAX);
    struct error e = { 0 };

    if (render(p, chat, &out, &e) < 0)
        buf_clear(&out);
    return out;
}

static bool probe_has(const struct llama_prompt *p, const struct chat *chat)
{
    struct buf out = probe(p, chat);
    bool has = str_find(buf_str(&out), STR(PROBE)) != SIZE_MAX;

    buf_release(&out);
    return has;
}

/* True when the template renders the same by itself. */
static bool renders_alone(struct llama_prompt *p)
{
    const struct chat_message m[] = { { .role = STR("user"), .text = STR("a") },
                                      { .role = STR("assistant"), .text = STR("b") },
                                      { .role = STR("user"), .text = STR("c") } };
    const struct chat chat = { .message = m, .message_count = 3, .thinking = THINKING_OFF };
    struct buf whole = probe(p, &chat);

    p->pure = true;
    struct buf alone = probe(p, &chat);
    bool same = whole.len && str_eq(buf_str(&whole), buf_str(&alone));
    buf_release(&whole);
    buf_release(&alone);
    return same;
}

/* Some templates have no place for a system message: they leave it out or refuse it. */
static bool shows_system(const struct llama_prompt *p)
{
    const struct chat_message m[] = { { .role = STR("system"), .text = STR(PROBE) },
                                      { .role = STR("user"), .text = STR("x") } };

    return probe_has(p, &(struct chat){ .message = m, .message_count = 2 });
}

static bool shows_functions(const struct llama_prompt *p)
{
    const struct chat_message m = { .role = STR("user"), .text = STR("x") };
    const struct chat_function f = { STR(PROBE), STR("x"),
                                     STR("{\"type\":\"object\",\"properties\":{}}") };

    return probe_has(
        p,
        &(struct chat){ .message = &m, .message_count = 1, .function = &f, .function_count = 1 });
}

static bool ends_in_tag(struct str text, struct str tag)
{
    return tag.len && str_ends(str_trim(text), tag);
}

/* Compares the beginnings of an answer with and without thinking. */
static void find_thinking(struct llama_prompt *p)
{
    const struct chat_message m = { .role = STR("user"), .text = STR("x") };
    struct buf on =
        probe(p, &(struct chat){ .message = &m, .message_count = 1, .thinking = THINKING_ON });
    struct buf off =
        probe(p, &(struct chat){ .message = &m, .message_count = 1, .thinking = THINKING_OFF });

    p->switches = !str_eq(buf_str(&on), buf_str(&off));
    buf_release(&on);
    buf_release(&off);
}

/* The tags that are one control token of the vocabulary: an answer shows them. */
static void find_tags(struct llama_prompt *p)
{
    const struct str tags[] = { p->tags.begin, p->tags.end, STR("<tool_call>"),
                                STR("</tool_call>") };
    int32_t count = llama_vocab_n_tokens(p->vocab);

    for (int32_t i = 0; i < count && p->tag_count < TAGS_MAX; i++) {
        if (!(llama_vocab_get_attr(p->vocab, i) & LLAMA_TOKEN_ATTR_CONTROL))
            continue;
        for (size_t k = 0; k < ARRAY_LEN(tags); k++)
            if (tags[k].len && str_eq_c(tags[k], llama_vocab_get_text(p->vocab, i)))
                p->tag[p->tag_count++] = i;
    }
}

bool llama_prompt_shows(const struct llama_prompt *p, int32_t token)
{
    for (uint32_t i = 0; i < p->tag_count; i++)
        if (p->tag[i] == token)
            return true;
    return false;
}

/* Calls and thoughts, by the template's text and by what it renders. */
static int find_style(struct llama_prompt *p, const struct model *m, struct error *e)
{
    struct buf text = BUF_INIT(CHAT_TEMPLATE_BYTES_MAX), end = BUF_INIT(64);
    bool shows = shows_functions(p);

    bridge_template_text(p->templates, shows, sink_into_buf, &text);
    p->calls = call_style_of(buf_str(&text), shows, m->call_format);
    p->tags = thinking_tags_of(buf_str(&text));
    buf_release(&text);
    find_tags(p);
    if (!p->tags.begin.len)
        return 0;
    find_thinking(p);
    buf_addf(&end, "\n%s\n\n", p->tags.end.p);
    int rc = tokenize(p, buf_str(&end), true, &p->thought_end, e);
    buf_release(&end);
    return rc;
}

static struct bridge_templates *open_templates(const struct llama_model *model,
                                               const struct model *m, struct error *e)
{
    struct buf text = BUF_INIT(CHAT_TEMPLATE_BYTES_MAX);
    struct bridge_error why = { 0 };
    struct bridge_templates *t = NULL;

    if (m->chat_template &&
        sys_read_file(m->chat_template, CHAT_TEMPLATE_BYTES_MAX, &text, e) < 0) {
        (void)error_wrap(e, "its chat template");
        goto out;
    }
    t = bridge_templates_new(model, text_of(buf_str(&text)), &why);
    if (!t)
        (void)error_set(e, ERROR_FAILED_PRECONDITION, "its chat template cannot be used: %s",
                        why.message);
out:
    buf_release(&text);
    return t;
}

struct llama_prompt *llama_prompt_new(const struct llama_model *model, const struct model *m,
                                      struct error *e)
{
    struct llama_prompt *p = mem_alloc(sizeof *p);

    p->vocab = llama_model_get_vocab(model);
    p->templates = open_templates(model, m, e);
    if (!p->templates) {
        llama_prompt_free(p);
        return NULL;
    }
    p->first = llama_vocab_get_add_bos(p->vocab) ? llama_vocab_bos(p->vocab) : LLAMA_TOKEN_NULL;
    controls_collect(&p->controls, p->vocab);
    p->pure = renders_alone(p);
    p->has_system = shows_system(p);
    if (find_style(p, m, e) < 0) {
        llama_prompt_free(p);
        return NULL;
    }
    return p;
}

void llama_prompt_info(const struct llama_prompt *p, struct runtime_info *out)
{
    out->calls = p->calls;
    out->thinking = p->tags;
    out->thought_end = p->thought_end.item;
    out->thought_end_count = p->thought_end.count;
}

/* ---- The beginning of an answer ---- */

/* Makes the rendering end within a thought, or behind one, as asked; true when it ends within one. */
static bool thought_begin(const struct llama_prompt *p, enum thinking thinking, struct buf *text)
{
    bool open = ends_in_tag(buf_str(text), p->tags.begin);

    if (!p->tags.begin.len || thinking == THINKING_DEFAULT)
        return open;
    if (thinking == THINKING_ON) {
        if (!open)
            buf_addf(text, "%s\n", p->tags.begin.p);
        return true;
    }
    if (open)
        buf_addf(text, "\n%s\n\n", p->tags.end.p);
    else if (!p->switches)
        buf_addf(text, "%s\n\n%s\n\n", p->tags.begin.p, p->tags.end.p);
    return false;
}

/* ---- Conversations ---- */

/* A rendering whose spans are plain text, and the number of media marks that must be in it. */
struct marked {
    struct str text;
    const struct span *span;
    uint32_t span_count, media;
};

static uint32_t media_of(const struct chat *chat)
{
    uint32_t media = 0;

    for (uint32_t i = 0; i < chat->message_count; i++)
        media += chat->message[i].media_count;
    return media;
}

/* Tokenizes the text with its control tokens, but those that touch a span as plain text. Each of the media's
 * marks becomes a token below 0. */
static int tokenize_marked(const struct llama_prompt *p, const struct marked *m, struct tokens *out,
                           struct error *e)
{
    static const struct str mark = STR_INIT(CHAT_MEDIA_MARK);
    const struct str text = m->text;
    size_t from = 0;
    uint32_t next = 0, marks = 0, which;

    for (size_t at = 0; at < text.len;) {
        if (m->media && str_starts(str_sub(text, at, SIZE_MAX), mark)) {
            if (tokenize(p, str_sub(text, from, at - from), true, out, e) < 0)
                return -1;
            tokens_add(out, -1 - (int32_t)marks++);
            at = from = at + mark.len;
            continue;
        }
        size_t len = control_at(&p->controls, str_sub(text, at, SIZE_MAX), &which);
        if (len && spans_touch(m->span, m->span_count, &next, at, at + len)) {
            if (tokenize(p, str_sub(text, from, at - from), true, out, e) < 0 ||
                tokenize(p, str_sub(text, at, len), false, out, e) < 0)
                return -1;
            from = at + len;
        }
        at += len ? len : 1;
    }
    if (marks != m->media)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         marks > m->media
                             ? "A text of the request spells " CHAT_MEDIA_MARK "."
                             : "The model's chat template has no place for these media.");
    return tokenize(p, str_sub(text, from, SIZE_MAX), true, out, e);
}

static int tokens_guarded(const struct llama_prompt *p, const struct chat *chat, struct tokens *out,
                          bool *thinks, struct error *e)
{
    struct text_guard g = { .controls = &p->controls };
    struct buf frame = BUF_INIT(PROMPT_BYTES_MAX), text = BUF_INIT(PROMPT_BYTES_MAX);
    struct marked m = { .media = media_of(chat) };
    struct chat copy;

    text_guard_mark(&g, chat, &copy);
    int rc = render(p, &copy, &frame, e);
    if (rc == 0) {
        *thinks = thought_begin(p, chat->thinking, &frame);
        struct span *span = text_guard_restore(&g, buf_str(&frame), &text, &m.span_count);
        m.text = buf_str(&text);
        m.span = span;
        rc = buf_ok(&text) ? tokenize_marked(p, &m, out, e)
                           : error_set(e, ERROR_INVALID_ARGUMENT, "The conversation is too long.");
        mem_free(span);
    }
    buf_release(&frame);
    buf_release(&text);
    text_guard_release(&g);
    return rc;
}

static int tokens_plain(const struct llama_prompt *p, const struct chat *chat, struct tokens *out,
                        bool *thinks, struct error *e)
{
    struct buf text = BUF_INIT(PROMPT_BYTES_MAX);
    int rc = render(p, chat, &text, e);

    if (rc == 0) {
        *thinks = thought_begin(p, chat->thinking, &text);
        rc = tokenize(p, buf_str(&text), true, out, e);
    }
    buf_release(&text);
    return rc;
}

static int tokens_of(const struct llama_prompt *p, const struct chat *chat, struct tokens *out,
                     bool *thinks, struct error *e)
{
    bool guard = media_of(chat) > 0 || text_guard_needed(&p->controls, chat);

    if (p->first != LLAMA_TOKEN_NULL)
        tokens_add(out, p->first);
    return guard ? tokens_guarded(p, chat, out, thinks, e) : tokens_plain(p, chat, out, thinks, e);
}

/* The system message's text in front of the first user message's, an empty line between them. */
static int tokens_merged(const struct llama_prompt *p, const struct chat *chat, struct tokens *out,
                         bool *thinks, struct error *e)
{
    struct chat rest = *chat;
    struct chat_message *m = mem_array(chat->message_count - 1, sizeof *m);
    struct buf text = BUF_INIT(PROMPT_BYTES_MAX);

    memcpy(m, chat->message + 1, (chat->message_count - 1) * sizeof *m);
    buf_add_str(&text, chat->message[0].text);
    buf_add_c(&text, "\n\n");
    buf_add_str(&text, m[0].text);
    m[0].text = buf_str(&text);
    rest.message = m;
    rest.message_count--;
    int rc = tokens_of(p, &rest, out, thinks, e);
    buf_release(&text);
    mem_free(m);
    return rc;
}

int llama_prompt_tokens(const struct llama_prompt *p, const struct chat *chat, struct tokens *out,
                        bool *thinks, struct error *e)
{
    bool merge =
        chat->message_count > 1 && !p->has_system && str_eq_c(chat->message[0].role, "system");

    *thinks = false;
    if (chat->message_count > MESSAGES_MAX)
        return error_set(e, ERROR_INVALID_ARGUMENT, "The conversation has too many turns.");
    return merge ? tokens_merged(p, chat, out, thinks, e) : tokens_of(p, chat, out, thinks, e);
}
