#include "predict/local/candidate.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "predict/local/phase.h"

/* Forced tokens that are taken at once; more follow in the next round. */
#define FORCED_MAX 256

/* ---- Tasks ---- */

struct task *task_new(void)
{
    struct task *t = mem_alloc(sizeof *t);

    t->candidate_count = 1;
    return t;
}

void task_free(struct task *t)
{
    if (!t)
        return;
    for (uint32_t i = 0; i < REQUEST_CANDIDATES_MAX; i++) {
        buf_release(&t->candidate[i].text);
        buf_release(&t->candidate[i].thought);
        mem_free(t->candidate[i].chosen);
        mem_free(t->candidate[i].top);
        mem_free(t->candidate[i].top_counts);
    }
    constraint_release(t->constraint);
    tokens_release(&t->prompt);
    mem_free(t->media);
    mem_free(t->entry);
    arena_release(&t->arena);
    mem_free(t);
}

const struct task_media *task_media_from(const struct task *t, uint32_t row)
{
    for (uint32_t i = 0; i < t->media_count; i++)
        if (t->media[i].at + t->media[i].chunk->count > row)
            return &t->media[i];
    return NULL;
}

int32_t task_shift(const struct task *t, uint32_t row)
{
    const struct task_media *last = NULL;

    for (uint32_t i = 0; i < t->media_count && t->media[i].at <= row; i++)
        last = &t->media[i];
    if (!last)
        return 0;
    uint32_t within = row - last->at;
    if (within >= last->chunk->count) /* behind it */
        return (int32_t)(last->place + last->chunk->places) -
               (int32_t)(last->at + last->chunk->count);
    uint32_t t_place = last->chunk->place ? last->chunk->place[within].t : within;
    return (int32_t)(last->place + t_place) - (int32_t)row;
}

/* ---- Candidates ---- */

struct candidate_run *candidate_new(struct task *t, uint32_t candidate)
{
    struct candidate_run *r = mem_alloc(sizeof *r);
    struct sampling how = t->sampling;

    how.seed += candidate;
    r->task = t;
    r->candidate = candidate;
    tokens_append(&r->tokens, t->prompt.item, t->prompt.count);
    sampler_init(&r->sampler, &how);
    answer_text_init(&r->text, t->stop, t->stop_count);
    return r;
}

void candidate_free(struct candidate_run *r)
{
    if (!r)
        return;
    follower_free(r->follower);
    mem_free(r->forced);
    mem_free(r->held);
    sampler_release(&r->sampler);
    answer_text_release(&r->text);
    tokens_release(&r->tokens);
    mem_free(r);
}

uint32_t candidate_left(const struct candidate_run *r)
{
    return r->tokens.count - r->computed;
}

bool candidate_answering(const struct candidate_run *r)
{
    return r->tokens.count > r->task->prompt.count && candidate_left(r) == 1;
}

bool candidate_needs_mask(const struct candidate_run *r)
{
    return r->follower && r->forced_at == r->forced_count && !sampler_takes_largest(&r->sampler);
}

static struct generated *generated_of(const struct candidate_run *r)
{
    return &r->task->candidate[r->candidate];
}

/* White space between a thought and the text is neither's. */
static void trim_beginning(struct buf *text)
{
    struct str trimmed = str_trim(buf_str(text));
    size_t at = text->len ? (size_t)(trimmed.p - text->p) : 0;

    if (!at)
        return;
    memmove(text->p, text->p + at, text->len - at);
    text->len -= at;
    text->p[text->len] = '\0';
}

void candidate_finish(struct candidate_run *r, enum finish_reason why)
{
    struct generated *g = generated_of(r);

    g->finish = why;
    buf_release(&g->text);
    g->text = BUF_INIT(RESPONSE_BYTES_MAX);
    if (phase_is_thought(r)) {
        g->thought = BUF_INIT(RESPONSE_BYTES_MAX);
        answer_text_finish(&r->text, &g->thought);
        return;
    }
    answer_text_finish(&r->text, &g->text);
    if (g->thought_count)
        trim_beginning(&g->text);
}

/* ---- One token ---- */

static uint64_t now_ns(void)
{
    return clock_system()->mono_ns(clock_system());
}

/* At most 32 logits, those without a bit as -INFINITY. to and from may be the same. */
static void copy_allowed(float *to, const float *from, uint32_t bits, uint32_t count)
{
    if (bits == UINT32_MAX) {
        memmove(to, from, count * sizeof *to);
        return;
    }
    for (uint32_t i = 0; i < count; i++)
        to[i] = bits >> i & 1 ? from[i] : -INFINITY;
}

/* The logits with -INFINITY where the constraint refuses a token; NULL with the error. */
static float *allowed_logits(struct candidate_run *r, struct sampling_scratch *s,
                             const float *logits, struct error *e)
{
    uint64_t begun = now_ns();
    const uint32_t *mask = follower_mask(r->follower, e);

    s->cost.masks++;
    s->cost.mask_ns += now_ns() - begun;
    if (!mask)
        return NULL;
    for (uint32_t i = 0; i < s->vocab; i += 32)
        copy_allowed(s->logits + i, logits + i, mask[i / 32],
                     s->vocab - i < 32 ? s->vocab - i : 32);
    return s->logits;
}

static bool is_allowed(struct candidate_run *r, struct sampling_scratch *s, int32_t token)
{
    uint64_t begun = now_ns();
    bool allowed = follower_allows(r->follower, token);

    s->cost.follow_ns += now_ns() - begun;
    return allowed;
}

/* The next token of those that the constraint allows. One that would repeat a name is refused when it
 * is chosen, and the choice is made again without it. */
static int32_t choose_allowed(struct candidate_run *r, struct sampling_scratch *s,
                              const float *logits, struct error *e)
{
    float *allowed = allowed_logits(r, s, logits, e);

    while (allowed) {
        int32_t token = sampler_choose(&r->sampler, allowed, s->vocab);
        if (allowed[token] == -INFINITY)
            return error_set(e, ERROR_INVALID_ARGUMENT,
                             "The schema allows no token at this place of the answer.");
        if (is_allowed(r, s, token))
            return token;
        allowed[token] = -INFINITY;
    }
    return -1;
}

/* The next token, or -1 with the error. */
static int32_t choose(struct candidate_run *r, struct sampling_scratch *s,
                      const struct sampled_row *row, struct error *e)
{
    const float *view = row->logits;

    if (sampler_penalises(&r->sampler)) {
        memcpy(s->logits, view, s->vocab * sizeof *view);
        sampler_penalise(&r->sampler, s->logits, s->vocab);
        view = s->logits;
    }
    if (r->follower && !sampler_takes_largest(&r->sampler))
        return choose_allowed(r, s, view, e);
    int32_t token = row->summary && view == row->logits && sampler_takes_largest(&r->sampler)
                        ? (int32_t)row->summary->largest
                        : sampler_choose(&r->sampler, view, s->vocab);
    /* The likeliest of all is the likeliest of the allowed ones when it is allowed: no mask is needed. */
    if (!r->follower || is_allowed(r, s, token))
        return token;
    return choose_allowed(r, s, view, e);
}

static struct token_logprob logprob_of(struct candidate_run *r, struct sampling_scratch *s,
                                       int32_t token, float logprob)
{
    buf_clear(&s->piece);
    s->runtime->ops->piece(s->runtime, token, false, &s->piece);
    struct str text = buf_str(&s->piece);
    const char *copy = arena_copy(&r->task->arena, text.len ? text.p : "", text.len);

    return (struct token_logprob){ { copy, text.len }, token, logprob };
}

/* Adds a token's logarithm and those of the likeliest beside it. */
static void keep_logprobs(struct generated *g, struct token_logprob chosen,
                          const struct token_logprob *top, uint32_t count)
{
    g->chosen = mem_list_grow(g->chosen, g->token_count, sizeof *g->chosen);
    g->chosen[g->token_count] = chosen;
    g->top_counts = mem_list_grow(g->top_counts, g->token_count, sizeof *g->top_counts);
    g->top_counts[g->token_count] = count;
    for (uint32_t i = 0; i < count; i++) {
        g->top = mem_list_grow(g->top, g->top_total, sizeof *g->top);
        g->top[g->top_total++] = top[i];
    }
}

/* The probabilities are the model's: before penalties, temperature and constraint. */
static void note_logprobs(struct candidate_run *r, struct sampling_scratch *s,
                          const struct sampled_row *row, int32_t token)
{
    const float *logits = row->logits;
    struct generated *g = generated_of(r);
    float all = row->summary ? row->summary->log_sum : logits_log_sum(logits, s->vocab);
    struct scored likely[REQUEST_LOGPROBS_MAX];
    struct token_logprob top[REQUEST_LOGPROBS_MAX];

    g->logprob_sum += (double)(logits[token] - all);
    if (!r->task->logprobs)
        return;
    uint32_t found = logits_top(logits, s->vocab, r->task->top_count, likely);
    for (uint32_t i = 0; i < found; i++)
        top[i] = logprob_of(r, s, likely[i].token, likely[i].logit - all);
    keep_logprobs(g, logprob_of(r, s, token, logits[token] - all), top, found);
}

/* A forced token is certain, whatever the model thinks of it. */
static void note_certain(struct candidate_run *r, struct sampling_scratch *s, int32_t token)
{
    struct generated *g = generated_of(r);

    g->forced_count++;
    if (!r->task->logprobs)
        return;
    struct token_logprob one = logprob_of(r, s, token, 0.0f);
    keep_logprobs(g, one, &one, r->task->top_count ? 1 : 0);
}

/* Why the answer ends after the token that was just added, if it does. */
static bool is_over(struct candidate_run *r, const struct sampling_scratch *s,
                    enum finish_reason *why)
{
    uint32_t count = r->tokens.count - r->task->prompt.count;

    *why = FINISH_STOP;
    if (!phase_is_thought(r) && answer_text_stopped(&r->text))
        return true;
    if (r->follower && follower_complete(r->follower))
        return true;
    *why = FINISH_MAX_TOKENS;
    return count >= r->task->tokens_max || r->tokens.count >= s->context_max ||
           !buf_ok(&r->text.bytes);
}

/* Goes on with the constraint: -1 when it cannot, with the task's error. */
static int follow(struct candidate_run *r, struct sampling_scratch *s, int32_t token)
{
    uint64_t begun = now_ns();
    int rc = follower_accept(r->follower, token, &r->task->error);

    s->cost.follow_ns += now_ns() - begun;
    return rc;
}

static int advance(struct candidate_run *r, struct sampling_scratch *s, size_t bytes)
{
    uint64_t begun = now_ns();
    int rc = phase_advance(r, s, bytes);

    s->cost.follow_ns += now_ns() - begun;
    return rc;
}

/* Adds a token to the answer: true when the answer is at its end with it, or has failed. */
static bool add_token(struct candidate_run *r, struct sampling_scratch *s, int32_t token)
{
    enum finish_reason why;
    size_t before = r->text.bytes.len;

    sampler_accept(&r->sampler, token);
    s->runtime->ops->piece(s->runtime, token, r->tokens.count == r->task->prompt.count,
                           &r->text.bytes);
    tokens_add(&r->tokens, token);
    if (phase_is_thought(r))
        generated_of(r)->thought_count++;
    else
        generated_of(r)->token_count++;
    if (r->follower && follow(r, s, token) < 0)
        return true;
    if (r->phase != PHASE_TEXT && advance(r, s, r->text.bytes.len - before) < 0)
        return true;
    if (!is_over(r, s, &why))
        return false;
    candidate_finish(r, why);
    return true;
}

static bool add_forced_token(struct candidate_run *r, struct sampling_scratch *s, int32_t token)
{
    note_certain(r, s, token);
    return add_token(r, s, token);
}

/* Appends what the constraint forces; with FORCED_APART only the next token of it. */
static bool add_forced(struct candidate_run *r, struct sampling_scratch *s)
{
    int32_t forced[FORCED_MAX];
    uint64_t begun = now_ns();

    if (!r->follower || r->task->forcing == FORCED_CHOSEN)
        return false;
    uint32_t count = follower_forced(r->follower, forced, FORCED_MAX);
    s->cost.follow_ns += now_ns() - begun;
    if (r->task->forcing == FORCED_APART && count) {
        r->forced = mem_grow(r->forced, count * sizeof *r->forced);
        memcpy(r->forced, forced, count * sizeof *r->forced);
        r->forced_count = count;
        r->forced_at = 0;
        return add_forced_token(r, s, r->forced[r->forced_at++]);
    }
    for (uint32_t i = 0; i < count; i++)
        if (add_forced_token(r, s, forced[i]))
            return true;
    return false;
}

bool candidate_begin(struct candidate_run *r, struct sampling_scratch *s)
{
    if (r->phase != PHASE_NEW)
        return false;
    uint64_t begun = now_ns();
    phase_begin(r);
    s->cost.follow_ns += now_ns() - begun;
    return add_forced(r, s);
}

bool candidate_advance(struct candidate_run *r, struct sampling_scratch *s,
                       const struct sampled_row *row)
{
    struct error e = { 0 };

    assert(r->computed == r->tokens.count);
    if (r->forced_at < r->forced_count)
        return add_forced_token(r, s, r->forced[r->forced_at++]);
    int32_t token = choose(r, s, row, &e);
    if (token < 0) {
        r->task->error = e;
        return true;
    }
    if (s->runtime->ops->is_end(s->runtime, token)) {
        if (phase_ends_thought(r, s))
            return add_forced(r, s);
        candidate_finish(r, FINISH_STOP);
        return true;
    }
    if (!phase_is_thought(r))
        note_logprobs(r, s, row, token);
    return add_token(r, s, token) || add_forced(r, s);
}

void candidate_hold(struct candidate_run *r, uint32_t vocab, const struct sampled_row *row)
{
    assert(!r->held && r->computed == r->tokens.count);
    r->held = mem_array(vocab, sizeof *r->held);
    memcpy(r->held, row->logits, vocab * sizeof *r->held);
    r->has_summary = row->summary != NULL;
    if (row->summary)
        r->summary = *row->summary;
}

bool candidate_resume(struct candidate_run *r, struct sampling_scratch *s)
{
    float *held = r->held;
    const struct logits_summary summary = r->summary;
    const struct sampled_row row = { held, r->has_summary ? &summary : NULL };

    assert(held);
    r->held = NULL;
    bool over = candidate_advance(r, s, &row);
    mem_free(held);
    return over;
}

void candidate_unhold(struct candidate_run *r)
{
    mem_free(r->held);
    r->held = NULL;
}
