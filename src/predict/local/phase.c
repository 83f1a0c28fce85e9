#include "predict/local/phase.h"

#include <assert.h>
#include <string.h>

#define THOUGHT_GAP "\n\n"

static struct generated *generated_of(const struct candidate_run *r)
{
    return &r->task->candidate[r->candidate];
}

static size_t leading_space(struct str s)
{
    size_t at = 0;

    while (at < s.len && strchr(" \t\r\n", s.p[at]))
        at++;
    return at;
}

/* Drops the first bytes of the text. */
static void text_drop(struct candidate_run *r, size_t bytes)
{
    struct buf *b = &r->text.bytes;

    assert(bytes <= b->len);
    if (!bytes)
        return;
    memmove(b->p, b->p + bytes, b->len - bytes);
    b->len -= bytes;
    r->text.checked = 0;
}

/* The text ends `more` bytes earlier, within the last token of `bytes`: tokens of its first part take its place.
 * A tokenizer that cannot say which they are leaves the token. */
static void cut_token(struct candidate_run *r, struct sampling_scratch *s, size_t bytes,
                      size_t more)
{
    struct buf *text = &r->text.bytes;
    struct tokens part = { 0 };

    assert(more <= bytes && bytes <= text->len);
    struct str kept = { text->p + text->len - bytes, bytes - more };
    text->len -= more;
    if (more && s->runtime->ops->tokenize(s->runtime, kept, &part) && part.count) {
        r->tokens.count--;
        tokens_append(&r->tokens, part.item, part.count);
    }
    tokens_release(&part);
}

/* ---- Phases ---- */

static void constraint_begin(struct candidate_run *r)
{
    if (r->task->constraint)
        r->follower = follower_new(r->task->constraint);
    r->phase = PHASE_TEXT;
}

static void text_begin(struct candidate_run *r)
{
    if (r->task->constraint && r->task->awaited != CALLS_AUTO)
        r->phase = PHASE_FREE;
    else
        constraint_begin(r);
}

void phase_begin(struct candidate_run *r)
{
    if (r->phase != PHASE_NEW)
        return;
    if (r->task->thinks)
        r->phase = PHASE_THOUGHT;
    else if (r->task->may_think && (!r->task->constraint || r->task->awaited != CALLS_AUTO))
        r->phase = PHASE_MAYBE;
    else
        text_begin(r);
}

bool phase_is_thought(const struct candidate_run *r)
{
    return r->phase == PHASE_THOUGHT;
}

/* The first `bytes` of the text are the thought, and the rest behind `tag` more begins the text. */
static void thought_end(struct candidate_run *r, size_t bytes, size_t tag)
{
    struct generated *g = generated_of(r);
    const struct answer_text thought = {
        .bytes = { .p = r->text.bytes.p, .len = bytes, .max = r->text.bytes.max }
    };

    g->thought = BUF_INIT(r->text.bytes.max);
    answer_text_finish(&thought, &g->thought);
    text_drop(r, bytes + tag);
    text_begin(r);
}

/* Ends the thought by the tag's own tokens. */
static void thought_force_end(struct candidate_run *r, struct sampling_scratch *s)
{
    tokens_append(&r->tokens, s->info.thought_end, s->info.thought_end_count);
    generated_of(r)->thought_count += s->info.thought_end_count;
    thought_end(r, r->text.bytes.len, 0);
}

static bool end_fits(const struct candidate_run *r, const struct sampling_scratch *s)
{
    uint32_t count = r->tokens.count - r->task->prompt.count + s->info.thought_end_count;

    return count < r->task->tokens_max &&
           r->tokens.count + s->info.thought_end_count < s->context_max;
}

bool phase_ends_thought(struct candidate_run *r, struct sampling_scratch *s)
{
    if (r->phase != PHASE_THOUGHT || !end_fits(r, s))
        return false;
    thought_force_end(r, s);
    return true;
}

/* The empty line behind the tag, which no constraint has a place for. */
static void thought_gap(struct candidate_run *r, struct sampling_scratch *s)
{
    uint32_t before = r->tokens.count;

    (void)s->runtime->ops->tokenize(s->runtime, STR(THOUGHT_GAP), &r->tokens);
    generated_of(r)->thought_count += r->tokens.count - before;
}

static void advance_thought(struct candidate_run *r, struct sampling_scratch *s, size_t bytes)
{
    const struct str tag = s->info.thinking.end;
    size_t from = r->text.bytes.len > bytes + tag.len ? r->text.bytes.len - bytes - tag.len : 0;
    size_t at = str_find(str_sub(buf_str(&r->text.bytes), from, SIZE_MAX), tag);

    if (at == SIZE_MAX) {
        if (generated_of(r)->thought_count >= r->task->thought_max && end_fits(r, s))
            thought_force_end(r, s);
        return;
    }
    size_t end = from + at + tag.len;
    struct str rest = str_sub(buf_str(&r->text.bytes), end, SIZE_MAX);
    bool space = leading_space(rest) == rest.len;
    if (r->task->constraint && !space)
        cut_token(r, s, bytes, rest.len);
    if (r->task->constraint && !(space && rest.len))
        thought_gap(r, s);
    thought_end(r, from + at, tag.len);
    text_drop(r, leading_space(buf_str(&r->text.bytes)));
}

/* The answer's first text: a thought begins it, may, or does not. */
static void advance_maybe(struct candidate_run *r, const struct sampling_scratch *s)
{
    const struct str tag = s->info.thinking.begin;
    struct generated *g = generated_of(r);
    size_t space = leading_space(buf_str(&r->text.bytes));
    struct str text = str_sub(buf_str(&r->text.bytes), space, SIZE_MAX);

    if (str_starts(text, tag)) {
        text_drop(r, space + tag.len);
        g->thought_count = g->token_count;
        g->token_count = g->forced_count = g->top_total = 0;
        g->logprob_sum = 0;
        r->phase = PHASE_THOUGHT;
    } else if (text.len && !str_starts(tag, text)) {
        text_begin(r);
    }
}

/* A call's marker begins the constraint, which takes the marker first. */
static int advance_free(struct candidate_run *r, struct sampling_scratch *s, size_t bytes)
{
    const struct call_marker marker = call_marker_of(r->task->awaited);
    struct str text = buf_str(&r->text.bytes);
    size_t from = !marker.first && text.len > bytes + marker.text.len
                      ? text.len - bytes - marker.text.len
                      : 0;
    bool open;
    size_t end = call_begins(r->task->awaited, str_sub(text, from, SIZE_MAX), &open);

    if (!end) {
        r->phase = open ? PHASE_FREE : PHASE_TEXT;
        return 0;
    }
    cut_token(r, s, bytes, text.len - from - end);
    constraint_begin(r);
    return follower_take(r->follower, marker.text, &r->task->error);
}

int phase_advance(struct candidate_run *r, struct sampling_scratch *s, size_t bytes)
{
    if (r->phase == PHASE_MAYBE)
        advance_maybe(r, s);
    if (r->phase == PHASE_THOUGHT)
        advance_thought(r, s, bytes < r->text.bytes.len ? bytes : r->text.bytes.len);
    if (r->phase == PHASE_FREE)
        return advance_free(r, s, bytes < r->text.bytes.len ? bytes : r->text.bytes.len);
    return 0;
}
