#include "predict/local/candidate.h"

#include <assert.h>
#include <string.h>

/* Likeliest tokens that are offered to a grammar which refused the first choice, and the factor by
 * which their number grows when it refuses them all. */
#define ALLOWED_LOOK_FIRST 256
#define ALLOWED_LOOK_MORE 16

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
        mem_free(t->candidate[i].chosen);
        mem_free(t->candidate[i].top);
    }
    tokens_release(&t->prompt);
    arena_release(&t->arena);
    mem_free(t);
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

void candidate_free(struct candidate_run *r, struct runtime *runtime)
{
    if (!r)
        return;
    runtime->ops->grammar_free(r->grammar);
    sampler_release(&r->sampler);
    answer_text_release(&r->text);
    tokens_release(&r->tokens);
    mem_free(r);
}

int candidate_begin(struct candidate_run *r, struct runtime *runtime, struct error *e)
{
    if (r->grammar || !r->task->grammar.len)
        return 0;
    r->grammar = runtime->ops->grammar_new(runtime, r->task->grammar, e);
    return r->grammar ? 0 : -1;
}

uint32_t candidate_left(const struct candidate_run *r)
{
    return r->tokens.count - r->computed;
}

bool candidate_answering(const struct candidate_run *r)
{
    return r->tokens.count > r->task->prompt.count && candidate_left(r) == 1;
}

static struct generated *generated_of(const struct candidate_run *r)
{
    return &r->task->candidate[r->candidate];
}

void candidate_finish(struct candidate_run *r, enum finish_reason why)
{
    struct generated *g = generated_of(r);

    g->finish = why;
    buf_release(&g->text);
    g->text = BUF_INIT(RESPONSE_BYTES_MAX);
    answer_text_finish(&r->text, &g->text);
}

/* ---- One token ---- */

/* The next token of those that the grammar allows, or -1 when it allows none. The likeliest few are
 * offered first, because to offer the whole vocabulary takes longer than a forward. */
static int32_t choose_allowed(struct candidate_run *r, struct sampling_scratch *s,
                              const float *logits)
{
    uint32_t want = ALLOWED_LOOK_FIRST, count;

    do {
        count = logits_top(logits, s->vocab, want, s->likely);
        uint32_t kept = s->runtime->ops->grammar_filter(r->grammar, s->likely, count);
        if (kept)
            return sampler_choose_among(&r->sampler, s->likely, kept);
        want *= ALLOWED_LOOK_MORE;
    } while (count < s->vocab);
    return -1;
}

/* The next token: by the sampler alone when there is no grammar or it allows that. */
static int32_t choose(struct candidate_run *r, struct sampling_scratch *s,
                      const struct sampled_row *row)
{
    const float *view = row->logits;
    struct scored one = { 0 };

    if (sampler_penalises(&r->sampler)) {
        memcpy(s->logits, view, s->vocab * sizeof *view);
        sampler_penalise(&r->sampler, s->logits, s->vocab);
        view = s->logits;
    }
    if (row->summary && view == row->logits && sampler_takes_largest(&r->sampler))
        one.token = (int32_t)row->summary->largest;
    else
        one.token = sampler_choose(&r->sampler, view, s->vocab);
    if (!r->grammar || s->runtime->ops->grammar_filter(r->grammar, &one, 1))
        return one.token;
    return choose_allowed(r, s, view);
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

/* The probabilities are the model's: before penalties, temperature and grammar. */
static void note_logprobs(struct candidate_run *r, struct sampling_scratch *s,
                          const struct sampled_row *row, int32_t token)
{
    const float *logits = row->logits;
    struct generated *g = generated_of(r);
    const struct task *t = r->task;
    float all = row->summary ? row->summary->log_sum : logits_log_sum(logits, s->vocab);
    struct scored top[REQUEST_LOGPROBS_MAX];

    g->logprob_sum += (double)(logits[token] - all);
    if (!t->logprobs)
        return;
    g->chosen = mem_list_grow(g->chosen, g->token_count, sizeof *g->chosen);
    if (t->top_count)
        g->top = mem_list_grow(g->top, g->token_count, t->top_count * sizeof *g->top);
    g->chosen[g->token_count] = logprob_of(r, s, token, logits[token] - all);
    uint32_t found = logits_top(logits, s->vocab, t->top_count, top);
    for (uint32_t i = 0; i < t->top_count; i++) {
        struct scored one = i < found ? top[i] : top[0];
        g->top[g->token_count * t->top_count + i] = logprob_of(r, s, one.token, one.logit - all);
    }
}

/* Why the answer ends after the token that was just added, if it does. */
static bool is_over(struct candidate_run *r, const struct sampling_scratch *s,
                    enum finish_reason *why)
{
    uint32_t count = r->tokens.count - r->task->prompt.count;

    *why = FINISH_STOP;
    if (answer_text_stopped(&r->text))
        return true;
    *why = FINISH_MAX_TOKENS;
    return count >= r->task->tokens_max || r->tokens.count >= s->context_max ||
           !buf_ok(&r->text.bytes);
}

bool candidate_advance(struct candidate_run *r, struct sampling_scratch *s,
                       const struct sampled_row *row)
{
    const struct runtime_ops *ops = s->runtime->ops;
    enum finish_reason why;

    assert(r->computed == r->tokens.count);
    int32_t token = choose(r, s, row);
    if (token < 0 || ops->is_end(s->runtime, token)) {
        candidate_finish(r, token < 0 ? FINISH_OTHER : FINISH_STOP);
        return true;
    }
    note_logprobs(r, s, row, token);
    sampler_accept(&r->sampler, token);
    if (r->grammar)
        ops->grammar_accept(r->grammar, token);
    ops->piece(s->runtime, token, r->tokens.count == r->task->prompt.count, &r->text.bytes);
    tokens_add(&r->tokens, token);
    generated_of(r)->token_count++;
    if (!is_over(r, s, &why))
        return false;
    candidate_finish(r, why);
    return true;
}
