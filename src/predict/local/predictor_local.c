/* The embedded engine as a predictor: the session's thread makes tasks of requests and answers of
 * finished tasks; one thread of its own, the engine thread, owns the batcher and the runtime. They
 * meet in two channels and in the atomics below. */
#include "predict/predictor.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/random.h"
#include "base/thread.h"
#include "base/chan.h"
#include "base/log.h"
#include "base/mem.h"
#include "format/response.h"
#include "predict/local/batcher.h"
#include "predict/local/constraint.h"
#include "predict/local/conversation.h"
#include "predict/local/plan.h"

/* Requests that may be open for each sequence: those that wait show which prefixes will be wanted. */
#define WINDOW_PER_SEQUENCE 4
/* An answer's tokens when maxOutputTokens is not given. */
#define OUTPUT_TOKENS_DEFAULT 1024

/* What stats reports: written by the engine thread, read by any. */
struct shown {
    atomic_uint_fast64_t prompt, shared, computed, generated;
    atomic_uint active;
};

struct local {
    struct predictor base; /* first, so that a pointer to it is one to this */
    struct clock *clock;
    struct runtime *runtime; /* forward, logits, copy, trim and grammars: the engine thread's */
    struct runtime_info info;
    struct constraints *constraints;
    struct batcher_plan plan;
    struct chan *in, *out; /* tasks to the engine thread, finished ones from it */
    pthread_t thread;
    atomic_bool stop, draining, broken;
    struct shown shown;
    /* The session's thread's: */
    uint32_t open;   /* submitted and not taken */
    uint64_t chance; /* state of random numbers: ids and seeds */
};

static const struct predictor_ops local_ops;

static struct local *local_of(struct predictor *p)
{
    return (struct local *)p;
}

/* ---- The engine thread ---- */

static void show(struct local *l, const struct batcher *b)
{
    struct batcher_stats s;

    batcher_stats(b, &s);
    atomic_store(&l->shown.prompt, s.prompt_tokens);
    atomic_store(&l->shown.shared, s.reused_tokens);
    atomic_store(&l->shown.computed, s.computed_tokens);
    atomic_store(&l->shown.generated, s.generated_tokens);
    atomic_store(&l->shown.active, s.active);
}

/* Takes what was submitted; waits for it when there is nothing to compute. False: the end. */
static bool take_tasks(struct local *l, struct batcher *b)
{
    struct task *t = chan_recv(l->in, batcher_open(b) ? 0 : UINT32_MAX);

    for (; t; t = chan_recv(l->in, 0))
        batcher_add(b, t);
    return !atomic_load(&l->stop);
}

static void *engine_main(void *arg)
{
    static const struct error cancelled = { ERROR_CANCELLED, "The run was stopped." };
    struct local *l = arg;
    struct batcher *b = batcher_new(l->runtime, &l->plan);
    struct error e = { 0 };
    struct task *t;

    while (take_tasks(l, b)) {
        if (atomic_load(&l->draining))
            batcher_drop_waiting(b, &cancelled);
        if (batcher_step(b, &e) < 0) {
            log_error("%s: %s", l->base.version, e.msg);
            atomic_store(&l->broken, true);
        }
        show(l, b);
        while ((t = batcher_done(b)))
            (void)chan_send(l->out, t); /* has room for the whole window */
    }
    batcher_free(b);
    return NULL;
}

/* ---- Opening and closing ---- */

static int start(struct local *l, struct error *e)
{
    int rc;

    l->in = chan_new(l->base.window);
    l->out = chan_new(l->base.window);
    rc = pthread_create(&l->thread, NULL, engine_main, l);
    if (rc != 0)
        return error_set(e, ERROR_RESOURCE_EXHAUSTED, "no thread for the engine: %s", strerror(rc));
    return 0;
}

static void release(struct local *l)
{
    constraints_free(l->constraints);
    chan_free(l->in);
    chan_free(l->out);
    if (l->runtime)
        l->runtime->ops->close(l->runtime);
    mem_free(l);
}

static struct runtime *open_planned(struct local *l, const struct model *m, bool plain,
                                    struct error *e)
{
    if (plan_for(m, plain, &l->plan, e) < 0)
        return NULL;
    const struct runtime_settings settings = {
        .sequences = l->plan.sequences,
        .rows_max = l->plan.rows_max,
        .threads = m->threads,
        .context = m->context,
        .cache_mib = m->cache_mib,
    };
    return plain ? runtime_llama_open(m, &settings, e) : runtime_native_open(m, &settings, e);
}

/* The native runtime, or libllama for what it does not cover; which also says best what is wrong with
 * a file or the settings. */
static int open_runtime(struct local *l, const struct model *m, struct error *e)
{
    struct error why = { 0 };

    if (!m->plain)
        l->runtime = open_planned(l, m, false, &why);
    if (why.code == ERROR_UNIMPLEMENTED)
        log_info("%s; computed by libllama", why.msg);
    if (!l->runtime)
        l->runtime = open_planned(l, m, true, e);
    if (!l->runtime)
        return -1;
    l->runtime->ops->info(l->runtime, &l->info);
    (void)snprintf(l->base.version, sizeof l->base.version, "%s", l->info.name);
    return 0;
}

struct predictor *predictor_local_open(const struct model *m, const struct predictor_env *env,
                                       struct error *e)
{
    struct local *l = mem_alloc(sizeof *l);

    l->base.ops = &local_ops;
    l->clock = env->clock;
    l->chance = env->seed;
    if (open_runtime(l, m, e) < 0) {
        release(l);
        return NULL;
    }
    l->base.window = WINDOW_PER_SEQUENCE * l->plan.sequences;
    l->constraints = constraints_new(l->runtime);
    if (start(l, e) < 0) {
        release(l);
        return NULL;
    }
    return &l->base;
}

static void local_close(struct predictor *p)
{
    struct local *l = local_of(p);
    struct task *t;

    atomic_store(&l->stop, true);
    chan_close(l->in);
    thread_join(l->thread);
    while ((t = chan_recv(l->in, 0)))
        task_free(t);
    while ((t = chan_recv(l->out, 0)))
        task_free(t);
    release(l);
}

/* ---- From a request to a task ---- */

static bool local_accepts(struct predictor *p, const struct request *r, struct violation *why)
{
    struct local *l = local_of(p);
    struct buf grammar = BUF_INIT(GRAMMAR_BYTES_MAX);
    struct error e = { 0 };

    if (!conversation_is_text(r, l->base.version, why))
        return false;
    int rc = constraint_of(l->constraints, &r->generation, &grammar, &e);
    buf_release(&grammar);
    if (rc == 0)
        return true;
    *why = (struct violation){ 0 };
    (void)snprintf(why->path, sizeof why->path, "%s", constraint_path(&r->generation));
    (void)snprintf(why->message, sizeof why->message, "%.300s", e.msg);
    (void)snprintf(why->remedy, sizeof why->remedy,
                   "Simplify the schema; docs/reference/generation.md lists what is understood.");
    return false;
}

/* The prompt's tokens; the arena takes joined texts. */
static int make_prompt(struct local *l, const struct request *r, struct arena *a,
                       struct tokens *out, struct error *e)
{
    struct chat_message *m;
    uint32_t count = conversation_make(r, a, &m);

    if (!count)
        return error_set(e, ERROR_INVALID_ARGUMENT, "The request has no text.");
    return l->runtime->ops->prompt(l->runtime, m, count, out, e);
}

static struct sampling sampling_of(struct local *l, const struct generation *g)
{
    struct sampling s = {
        .temperature = g->has_temperature ? (float)g->temperature : SAMPLING_TEMPERATURE_DEFAULT,
        .top_p = g->has_top_p ? (float)g->top_p : SAMPLING_TOP_P_DEFAULT,
        .top_k = g->has_top_k && g->top_k > 0 ? (uint32_t)g->top_k : SAMPLING_TOP_K_DEFAULT,
        .presence = (float)g->presence_penalty,
        .frequency = (float)g->frequency_penalty,
    };

    s.seed = g->has_seed ? (uint64_t)g->seed : random_next(&l->chance);
    return s;
}

static int fit_context(struct local *l, const struct generation *g, struct task *t, struct error *e)
{
    uint32_t most = l->info.context_max - 1; /* an answer has a token at least */
    uint32_t asked = g->max_output_tokens ? g->max_output_tokens : OUTPUT_TOKENS_DEFAULT;

    if (t->prompt.count > most)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "The input token count (%u) exceeds the maximum number of tokens allowed "
                         "(%u).",
                         t->prompt.count, most);
    uint32_t left = l->info.context_max - t->prompt.count;
    t->tokens_max = asked < left ? asked : left;
    return 0;
}

static int fill_task(struct local *l, const struct request *r, struct task *t, struct error *e)
{
    const struct generation *g = &r->generation;
    struct buf grammar = BUF_INIT(GRAMMAR_BYTES_MAX);
    struct violation why;

    if (!conversation_is_text(r, l->base.version, &why))
        return error_set(e, ERROR_INVALID_ARGUMENT, "%s: %s %s", why.path, why.message, why.remedy);
    if (make_prompt(l, r, &t->arena, &t->prompt, e) < 0 || fit_context(l, g, t, e) < 0)
        return -1;
    if (constraint_of(l->constraints, g, &grammar, e) < 0) {
        buf_release(&grammar);
        return error_wrap(e, "%s", constraint_path(g));
    }
    if (grammar.len)
        t->grammar = (struct str){ arena_copy(&t->arena, grammar.p, grammar.len), grammar.len };
    buf_release(&grammar);
    t->candidate_count = g->candidate_count ? g->candidate_count : 1;
    t->sampling = sampling_of(l, g);
    t->stop = g->stop;
    t->stop_count = g->stop_count;
    t->logprobs = g->response_logprobs;
    t->top_count = g->response_logprobs ? g->logprobs : 0;
    return 0;
}

static int local_submit(struct predictor *p, const struct request *r, void *tag, struct error *e)
{
    static const struct error drained = { ERROR_CANCELLED, "The run was stopped." };
    struct local *l = local_of(p);

    if (atomic_load(&l->broken))
        return error_set(e, ERROR_INTERNAL, "The embedded engine has failed.");
    if (l->open == l->base.window)
        return error_set(e, ERROR_RESOURCE_EXHAUSTED, "%u requests are open.", l->open);
    struct task *t = task_new();
    t->tag = tag;
    l->open++;
    if (atomic_load(&l->draining))
        t->error = drained;
    else
        (void)fill_task(l, r, t, &t->error);
    (void)chan_send(t->error.code == ERROR_OK ? l->in : l->out, t); /* the window is their size */
    return 0;
}

static int local_count_tokens(struct predictor *p, const struct request *r, uint32_t *tokens,
                              struct error *e)
{
    struct arena a = { 0 };
    struct tokens t = { 0 };
    int rc = make_prompt(local_of(p), r, &a, &t, e);

    if (rc == 0)
        *tokens = t.count;
    tokens_release(&t);
    arena_release(&a);
    return rc;
}

/* ---- From a task to an answer ---- */

static struct candidate candidate_of(const struct task *t, uint32_t i)
{
    const struct generated *g = &t->candidate[i];
    struct candidate c = {
        .text = buf_str(&g->text),
        .finish = g->finish,
        .has_avg_logprob = g->token_count > 0,
        .token_count = g->token_count,
    };

    if (g->token_count)
        c.avg_logprob = g->logprob_sum / g->token_count;
    if (t->logprobs) {
        c.chosen = g->chosen;
        c.chosen_count = g->token_count;
        c.top = g->top;
        c.top_count = t->top_count;
    }
    return c;
}

static void write_response(struct local *l, const struct task *t, struct answer *out)
{
    struct candidate candidate[REQUEST_CANDIDATES_MAX];
    char id[RESPONSE_ID_BYTES];

    out->usage.prompt_tokens = t->prompt.count;
    out->usage.cached_tokens = t->cached_tokens;
    for (uint32_t i = 0; i < t->candidate_count; i++) {
        candidate[i] = candidate_of(t, i);
        out->usage.candidate_tokens += t->candidate[i].token_count;
    }
    uint64_t high = random_next(&l->chance);
    response_id_format(high, random_next(&l->chance), id);
    const struct response r = {
        .candidate = candidate,
        .candidate_count = t->candidate_count,
        .usage = out->usage,
        .model_version = str_of(l->base.version),
        .response_id = id,
        .create_time_us = l->clock->wall_us(l->clock),
    };
    response_write(&r, &out->response);
}

static int local_wait(struct predictor *p, uint32_t timeout_ms, struct answer *out, struct error *e)
{
    struct local *l = local_of(p);
    struct task *t = chan_recv(l->out, timeout_ms);

    if (!t) {
        if (atomic_load(&l->broken) && !l->open)
            return error_set(e, ERROR_INTERNAL, "The embedded engine has failed.");
        return 0;
    }
    l->open--;
    *out = (struct answer){
        .tag = t->tag,
        .error = t->error,
        .response = BUF_INIT(RESPONSE_BYTES_MAX),
    };
    if (t->error.code == ERROR_OK)
        write_response(l, t, out);
    if (!buf_ok(&out->response)) {
        buf_release(&out->response);
        (void)error_set(&out->error, ERROR_INTERNAL, "The answer is too large.");
    }
    task_free(t);
    return 1;
}

static void local_drain(struct predictor *p)
{
    atomic_store(&local_of(p)->draining, true);
}

static void local_stats(struct predictor *p, struct predictor_stats *out)
{
    struct local *l = local_of(p);

    *out = (struct predictor_stats){
        .prompt_tokens = atomic_load(&l->shown.prompt),
        .reused_tokens = atomic_load(&l->shown.shared),
        .computed_tokens = atomic_load(&l->shown.computed),
        .generated_tokens = atomic_load(&l->shown.generated),
        .sequences = atomic_load(&l->shown.active),
        .sequences_max = l->plan.sequences,
        .memory_bytes = l->info.memory_bytes,
    };
}

static const struct predictor_ops local_ops = {
    .name = "local",
    .accepts = local_accepts,
    .submit = local_submit,
    .wait = local_wait,
    .drain = local_drain,
    .count_tokens = local_count_tokens,
    .stats = local_stats,
    .close = local_close,
};
