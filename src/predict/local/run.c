#include "predict/local/run.h"

#include <string.h>

#include "predict/local/sampler.h"

/* How many likeliest tokens a grammar is asked about when it refused the first choice, and how many
 * times as many when it refused all of these. */
#define ALLOWED_LOOK_FIRST 256
#define ALLOWED_LOOK_MORE 16

struct run *run_new(struct task *t, uint32_t candidate)
{
    struct run *r = mem_alloc(sizeof *r);
    struct sampling how = t->sampling;

    how.seed += candidate;
    r->task = t;
    r->candidate = candidate;
    tokens_append(&r->tokens, t->prompt.item, t->prompt.count);
    sampler_init(&r->sampler, &how);
    answer_text_init(&r->text, t->stop, t->stop_count);
    return r;
}

void run_free(struct run *r, struct runtime *runtime)
{
    if (!r)
        return;
    runtime->ops->grammar_free(r->grammar);
    sampler_release(&r->sampler);
    answer_text_release(&r->text);
    tokens_release(&r->tokens);
    mem_free(r);
}

int run_begin(struct run *r, struct runtime *runtime, struct error *e)
{
    if (r->grammar || !r->task->grammar.len)
        return 0;
    r->grammar = runtime->ops->grammar_new(runtime, r->task->grammar, e);
    return r->grammar ? 0 : -1;
}

uint32_t run_left(const struct run *r)
{
    return r->tokens.count - r->computed;
}

bool run_answering(const struct run *r)
{
    return r->tokens.count > r->task->prompt.count && run_left(r) == 1;
}

static struct generated *generated_of(const struct run *r)
{
    return &r->task->candidate[r->candidate];
}

void run_finish(struct run *r, enum finish_reason why)
{
    struct generated *g = generated_of(r);

    g->finish = why;
    buf_release(&g->text);
    g->text = BUF_INIT(RESPONSE_BYTES_MAX);
    answer_text_finish(&r->text, &g->text);
}

/* ---- One token ---- */

/* The next token of those that the grammar allows, or -1 when it allows none. The likeliest few are
 * asked about first, because asking about the whole vocabulary takes longer than a forward. */
static int32_t choose_allowed(struct run *r, struct sampling_place *at, const float *logits)
{
    uint32_t want = ALLOWED_LOOK_FIRST, count;

    do {
        count = logits_top(logits, at->vocab, want, at->likely);
        uint32_t kept = at->runtime->ops->grammar_filter(r->grammar, at->likely, count);
        if (kept)
            return sampler_choose_among(&r->sampler, at->likely, kept);
        want *= ALLOWED_LOOK_MORE;
    } while (count < at->vocab);
    return -1;
}

/* The next token: by the sampler alone when there is no grammar or it allows that. */
static int32_t choose(struct run *r, struct sampling_place *at, const struct sampled_row *row)
{
    const float *view = row->logits;
    struct scored one = { 0 };

    if (sampler_penalises(&r->sampler)) {
        memcpy(at->scratch, view, at->vocab * sizeof *view);
        sampler_penalise(&r->sampler, at->scratch, at->vocab);
        view = at->scratch;
    }
    if (row->summary && view == row->logits && sampler_takes_largest(&r->sampler))
        one.token = (int32_t)row->summary->largest;
    else
        one.token = sampler_choose(&r->sampler, view, at->vocab);
    if (!r->grammar || at->runtime->ops->grammar_filter(r->grammar, &one, 1))
        return one.token;
    return choose_allowed(r, at, view);
}

static struct token_logprob logprob_of(struct run *r, struct sampling_place *at, int32_t token,
                                       float logprob)
{
    buf_clear(&at->piece);
    at->runtime->ops->piece(at->runtime, token, false, &at->piece);
    struct str text = buf_str(&at->piece);
    const char *copy = arena_copy(&r->task->arena, text.len ? text.p : "", text.len);

    return (struct token_logprob){ { copy, text.len }, token, logprob };
}

/* Room for one more token's logarithms. */
static void reserve_logprobs(struct generated *g, uint32_t top_count)
{
    if (g->token_count < g->logprob_cap)
        return;
    g->logprob_cap = g->logprob_cap ? 2 * g->logprob_cap : 64;
    g->chosen = mem_grow(g->chosen, g->logprob_cap * sizeof *g->chosen);
    if (top_count)
        g->top = mem_grow(g->top, (size_t)g->logprob_cap * top_count * sizeof *g->top);
}

/* The probabilities are the model's: before penalties, temperature and grammar. */
static void note_logprobs(struct run *r, struct sampling_place *at, const struct sampled_row *row,
                          int32_t token)
{
    const float *logits = row->logits;
    struct generated *g = generated_of(r);
    const struct task *t = r->task;
    float all = row->summary ? row->summary->log_sum : logits_log_sum(logits, at->vocab);
    struct scored top[REQUEST_LOGPROBS_MAX];

    g->logprob_sum += (double)(logits[token] - all);
    if (!t->logprobs)
        return;
    reserve_logprobs(g, t->top_count);
    g->chosen[g->token_count] = logprob_of(r, at, token, logits[token] - all);
    uint32_t found = logits_top(logits, at->vocab, t->top_count, top);
    for (uint32_t i = 0; i < t->top_count; i++) {
        struct scored s = i < found ? top[i] : top[0];
        g->top[g->token_count * t->top_count + i] = logprob_of(r, at, s.token, s.logit - all);
    }
}

/* Why the answer ends after the token that was just added, if it does. */
static bool is_over(struct run *r, const struct sampling_place *at, enum finish_reason *why)
{
    uint32_t count = r->tokens.count - r->task->prompt.count;

    *why = FINISH_STOP;
    if (answer_text_stopped(&r->text))
        return true;
    *why = FINISH_MAX_TOKENS;
    return count >= r->task->tokens_max || r->tokens.count >= at->context_max ||
           !buf_ok(&r->text.bytes);
}

bool run_advance(struct run *r, struct sampling_place *at, const struct sampled_row *row)
{
    const struct runtime_ops *ops = at->runtime->ops;
    int32_t token = choose(r, at, row);
    enum finish_reason why;

    if (token < 0 || ops->is_end(at->runtime, token)) {
        run_finish(r, token < 0 ? FINISH_OTHER : FINISH_STOP);
        return true;
    }
    note_logprobs(r, at, row, token);
    sampler_accept(&r->sampler, token);
    if (r->grammar)
        ops->grammar_accept(r->grammar, token);
    ops->piece(at->runtime, token, r->tokens.count == r->task->prompt.count, &r->text.bytes);
    tokens_add(&r->tokens, token);
    generated_of(r)->token_count++;
    if (!is_over(r, at, &why))
        return false;
    run_finish(r, why);
    return true;
}
