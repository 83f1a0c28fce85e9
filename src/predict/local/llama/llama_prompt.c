#include "predict/local/llama/llama_prompt.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "predict/local/llama/llama_bridge.h"

/* Messages of one conversation: contents and a system instruction. */
#define MESSAGES_MAX 10001
/* Bytes of a stand-in for a message's text. */
#define STAND_IN_BYTES 32

struct llama_prompt {
    const struct llama_vocab *vocab;
    struct bridge_templates *templates;
    struct str *control; /* the texts of control tokens, the longest first; the vocabulary's */
    uint32_t control_count;
    bool control_byte[256]; /* the bytes that control tokens begin with */
    bool has_system;        /* the template shows a system message */
    int32_t first;          /* the token that begins every prompt, or LLAMA_TOKEN_NULL */
};

/* A part of the rendering that came from a message's text. */
struct span {
    size_t at, end;
};

/* ---- Opening ---- */

static void collect_controls(struct llama_prompt *p)
{
    int32_t count = llama_vocab_n_tokens(p->vocab);

    for (int32_t i = 0; i < count; i++) {
        enum llama_token_attr attr = llama_vocab_get_attr(p->vocab, i);
        struct str text = str_of(llama_vocab_get_text(p->vocab, i));
        if (!(attr & (LLAMA_TOKEN_ATTR_CONTROL | LLAMA_TOKEN_ATTR_UNKNOWN)) || !text.len)
            continue;
        p->control = mem_grow(p->control, (p->control_count + 1) * sizeof *p->control);
        uint32_t at = p->control_count++;
        for (; at > 0 && p->control[at - 1].len < text.len; at--)
            p->control[at] = p->control[at - 1];
        p->control[at] = text;
        p->control_byte[(unsigned char)text.p[0]] = true;
    }
}

static void sink_into_buf(void *arg, const char *p, size_t len)
{
    buf_add(arg, p, len);
}

static int render(const struct llama_prompt *p, const struct chat_message *m, uint32_t count,
                  struct buf *out, struct error *e)
{
    struct bridge_message *all = mem_array(count, sizeof *all);
    struct bridge_error why = { 0 };

    for (uint32_t i = 0; i < count; i++)
        all[i] = (struct bridge_message){ { m[i].role.p, m[i].role.len },
                                          { m[i].text.p, m[i].text.len } };
    int rc = bridge_render(p->templates, all, count, sink_into_buf, out, &why);
    mem_free(all);
    if (rc < 0)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "The model's chat template does not take this conversation: %s",
                         why.message);
    if (!buf_ok(out))
        return error_set(e, ERROR_INVALID_ARGUMENT, "The conversation is too long.");
    return 0;
}

/* Some templates have no place for a system message: they leave it out or refuse it. */
static bool shows_system(const struct llama_prompt *p)
{
    const struct chat_message m[] = { { STR("system"), STR("tranche-probe") },
                                      { STR("user"), STR("x") } };
    struct buf out = BUF_INIT(PROMPT_BYTES_MAX);
    struct error e = { 0 };
    bool shown =
        render(p, m, 2, &out, &e) == 0 && str_find(buf_str(&out), STR("tranche-probe")) != SIZE_MAX;

    buf_release(&out);
    return shown;
}

struct llama_prompt *llama_prompt_new(const struct llama_model *model, struct error *e)
{
    struct llama_prompt *p = mem_alloc(sizeof *p);
    struct bridge_error why = { 0 };

    p->vocab = llama_model_get_vocab(model);
    p->templates = bridge_templates_new(model, &why);
    if (!p->templates) {
        (void)error_set(e, ERROR_FAILED_PRECONDITION, "its chat template cannot be used: %s",
                        why.message);
        llama_prompt_free(p);
        return NULL;
    }
    p->first = llama_vocab_get_add_bos(p->vocab) ? llama_vocab_bos(p->vocab) : LLAMA_TOKEN_NULL;
    collect_controls(p);
    p->has_system = shows_system(p);
    return p;
}

void llama_prompt_free(struct llama_prompt *p)
{
    if (!p)
        return;
    bridge_templates_free(p->templates);
    mem_free(p->control);
    mem_free(p);
}

/* ---- Tokens of a text ---- */

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

/* Length of the longest control token's text at the start of s, or 0. */
static size_t control_at(const struct llama_prompt *p, struct str s)
{
    if (!p->control_byte[(unsigned char)s.p[0]])
        return 0;
    for (uint32_t i = 0; i < p->control_count; i++)
        if (str_starts(s, p->control[i]))
            return p->control[i].len;
    return 0;
}

/* True when s contains the text of a control token. */
static bool has_control(const struct llama_prompt *p, struct str s)
{
    for (size_t at = 0; at < s.len; at++)
        if (control_at(p, str_sub(s, at, SIZE_MAX)))
            return true;
    return false;
}

/* ---- Conversations whose texts spell control tokens ---- */

/* Renders stand-ins instead of the texts, then puts the texts in; the spans are theirs. */
static int render_spans(const struct llama_prompt *p, const struct chat_message *m, uint32_t count,
                        struct buf *out, struct span *span, struct error *e)
{
    struct chat_message *stand = mem_array(count, sizeof *stand);
    char(*name)[STAND_IN_BYTES] = mem_array(count, sizeof *name);
    struct buf frame = BUF_INIT(PROMPT_BYTES_MAX);
    int rc = -1;

    for (uint32_t i = 0; i < count; i++) {
        (void)snprintf(name[i], sizeof name[i], "[tranche text %u]", i);
        stand[i] = (struct chat_message){ m[i].role, str_of(name[i]) };
    }
    if (render(p, stand, count, &frame, e) < 0)
        goto out;
    struct str rest = buf_str(&frame);
    for (uint32_t i = 0; i < count; i++) {
        size_t at = str_find(rest, stand[i].text);
        if (at == SIZE_MAX) { /* the template leaves this message out */
            span[i] = (struct span){ out->len, out->len };
            continue;
        }
        buf_add_str(out, str_sub(rest, 0, at));
        span[i].at = out->len;
        buf_add_str(out, m[i].text);
        span[i].end = out->len;
        rest = str_sub(rest, at + stand[i].text.len, SIZE_MAX);
    }
    buf_add_str(out, rest);
    rc = buf_ok(out) ? 0 : error_set(e, ERROR_INVALID_ARGUMENT, "The conversation is too long.");
out:
    buf_release(&frame);
    mem_free(name);
    mem_free(stand);
    return rc;
}

/* True when [at, end) touches a message's text. Spans are in order; *next is the first that may. */
static bool touches_text(const struct span *span, uint32_t count, uint32_t *next, size_t at,
                         size_t end)
{
    while (*next < count && span[*next].end <= at)
        ++*next;
    return *next < count && span[*next].at < end;
}

/* Tokenizes text with its control tokens, but those that touch a span as plain text. */
static int tokenize_spans(const struct llama_prompt *p, struct str text, const struct span *span,
                          uint32_t count, struct tokens *out, struct error *e)
{
    size_t from = 0;
    uint32_t next = 0;

    for (size_t at = 0; at < text.len;) {
        size_t len = control_at(p, str_sub(text, at, SIZE_MAX));
        if (len && touches_text(span, count, &next, at, at + len)) {
            if (tokenize(p, str_sub(text, from, at - from), true, out, e) < 0 ||
                tokenize(p, str_sub(text, at, len), false, out, e) < 0)
                return -1;
            from = at + len;
        }
        at += len ? len : 1;
    }
    return tokenize(p, str_sub(text, from, SIZE_MAX), true, out, e);
}

static int tokens_guarded(const struct llama_prompt *p, const struct chat_message *m,
                          uint32_t count, struct tokens *out, struct error *e)
{
    struct buf text = BUF_INIT(PROMPT_BYTES_MAX);
    struct span *span = mem_array(count, sizeof *span);
    int rc = render_spans(p, m, count, &text, span, e);

    if (rc == 0)
        rc = tokenize_spans(p, buf_str(&text), span, count, out, e);
    mem_free(span);
    buf_release(&text);
    return rc;
}

static int tokens_plain(const struct llama_prompt *p, const struct chat_message *m, uint32_t count,
                        struct tokens *out, struct error *e)
{
    struct buf text = BUF_INIT(PROMPT_BYTES_MAX);
    int rc = render(p, m, count, &text, e);

    if (rc == 0)
        rc = tokenize(p, buf_str(&text), true, out, e);
    buf_release(&text);
    return rc;
}

/* ---- Conversations ---- */

static int tokens_of(const struct llama_prompt *p, const struct chat_message *m, uint32_t count,
                     struct tokens *out, struct error *e)
{
    bool guard = false;

    if (p->first != LLAMA_TOKEN_NULL)
        tokens_add(out, p->first);
    for (uint32_t i = 0; i < count && !guard; i++)
        guard = has_control(p, m[i].text);
    return guard ? tokens_guarded(p, m, count, out, e) : tokens_plain(p, m, count, out, e);
}

/* The system message's text in front of the first user message's, an empty line between them. */
static int tokens_merged(const struct llama_prompt *p, const struct chat_message *m, uint32_t count,
                         struct tokens *out, struct error *e)
{
    struct chat_message *rest = mem_array(count - 1, sizeof *rest);
    struct buf text = BUF_INIT(PROMPT_BYTES_MAX);

    memcpy(rest, m + 1, (count - 1) * sizeof *rest);
    buf_add_str(&text, m[0].text);
    buf_add_c(&text, "\n\n");
    buf_add_str(&text, rest[0].text);
    rest[0].text = buf_str(&text);
    int rc = tokens_of(p, rest, count - 1, out, e);
    buf_release(&text);
    mem_free(rest);
    return rc;
}

int llama_prompt_tokens(const struct llama_prompt *p, const struct chat_message *m, uint32_t count,
                        struct tokens *out, struct error *e)
{
    bool merge = count > 1 && !p->has_system && str_eq_c(m[0].role, "system");

    if (count > MESSAGES_MAX)
        return error_set(e, ERROR_INVALID_ARGUMENT, "The conversation has too many turns.");
    return merge ? tokens_merged(p, m, count, out, e) : tokens_of(p, m, count, out, e);
}
