#include "predict/local/session.h"

#include <assert.h>
#include <errno.h>
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
#include "format/tools/call_parse.h"
#include "format/tools/functions.h"
#include "predict/local/adapters.h"
#include "predict/local/batcher.h"
#include "predict/local/constraint.h"
#include "predict/local/conversation.h"
#include "predict/local/media_stage.h"
#include "predict/schemas.h"
#include "predict/touch.h"

/* Requests that may be open for each sequence: those that wait show which prefixes will be wanted. */
#define WINDOW_PER_SEQUENCE 4
/* An answer's tokens when maxOutputTokens is not given. */
#define OUTPUT_TOKENS_DEFAULT 1024
/* Added to these for a thought that has no budget. */
#define THOUGHT_TOKENS_DEFAULT 8192

/* Tokens of an image, a video or a sound that is not decoded yet: Gemini's number for an image. */
#define MEDIA_TOKENS_GUESS 258

static const struct error stopped = { ERROR_CANCELLED, "The run was stopped." };

/* The counters of stats: written by the engine thread, read by any. */
struct session_counters {
    atomic_uint_fast64_t prompt, reused, computed, generated, forced; /* tokens */
    atomic_uint active;                                               /* sequences */
};

struct session {
    struct predictor base; /* first, so that a pointer to it is one to this */
    struct clock *clock;
    struct runtime *runtime; /* forward, logits, copy, trim and grammars: the engine thread's */
    struct runtime_info info;
    struct constraints *constraints;
    struct schemas *schemas; /* of functions, for checks of their calls */
    struct batcher_plan plan;
    struct chan *in, *out; /* tasks to the engine thread, finished ones from it */
    struct chan *unread;   /* tasks whose schema or adapter is not there yet */
    struct media_stage
        *media; /* tasks with media go through it first; NULL: the model takes none */
    struct adapters *adapters;
    bool adapted; /* the model has adapters of its own: ADAPTERS_OWN */
    pthread_t thread, compiler;
    atomic_bool stop, draining; /* set by the session's thread */
    atomic_bool broken;         /* set by the engine thread */
    struct session_counters counters;
    /* The session's thread's: */
    struct task **task; /* submitted and not taken: [open] of base.window */
    uint32_t open;
    const struct adapter_list *files; /* of what is submitted next; NULL: the model's own */
    uint64_t random;                  /* state of the random numbers of ids and seeds */
};

static struct session *session_of(struct predictor *p)
{
    return (struct session *)p;
}

/* ---- The engine thread ---- */

static void publish(struct session *s, const struct batcher *b)
{
    struct batcher_stats now;

    batcher_stats(b, &now);
    atomic_store(&s->counters.prompt, now.prompt_tokens);
    atomic_store(&s->counters.reused, now.reused_tokens);
    atomic_store(&s->counters.computed, now.computed_tokens);
    atomic_store(&s->counters.generated, now.generated_tokens);
    atomic_store(&s->counters.forced, now.forced_tokens);
    atomic_store(&s->counters.active, now.active);
}

/* Takes what was submitted; waits for it when there is nothing to compute. False: the end. */
static bool take_tasks(struct session *s, struct batcher *b)
{
    struct task *t = chan_recv(s->in, batcher_open(b) ? 0 : UINT32_MAX);

    for (; t; t = chan_recv(s->in, 0))
        batcher_add(b, t);
    return !atomic_load(&s->stop);
}

static void *engine_main(void *arg)
{
    struct session *s = arg;
    struct batcher *b = batcher_new(s->runtime, &s->plan);
    struct error e = { 0 };
    struct task *t;

    while (take_tasks(s, b)) {
        if (atomic_load(&s->draining))
            batcher_drop_waiting(b, &stopped);
        if (batcher_step(b, &e) < 0) {
            log_error("%s: %s", s->base.version, e.msg);
            atomic_store(&s->broken, true);
        }
        publish(s, b);
        while ((t = batcher_done(b)))
            (void)chan_send(s->out, t); /* has room for the whole window */
    }
    batcher_free(b);
    return NULL;
}

/* ---- The compiler thread ---- */

static void refuse(struct task *t, const struct violation *why)
{
    (void)error_set(&t->error, ERROR_INVALID_ARGUMENT, "%s: %s %s", why->path, why->message,
                    why->remedy);
}

/* Gets all that the task needs before it can begin; its errors are the task's. */
static void prepare(struct session *s, struct task *t)
{
    struct violation why = { 0 };

    if (atomic_load(&t->cancelled))
        return;
    if (t->slot) {
        touch_set(s->plan.touch, TOUCH_ADAPT, t->tag);
        int rc = adapters_load(s->adapters, t->slot, &t->error);
        touch_end(s->plan.touch, TOUCH_ADAPT);
        if (rc < 0)
            return;
        t->adapter = adapters_number(t->slot);
    }
    if (!t->constraint && constraint_of(s->constraints, t->request, &t->constraint, &why) < 0)
        refuse(t, &why);
}

/* Compiles and loads beside the engine, so that a large schema or adapter holds up its own requests
 * only. */
static void *compiler_main(void *arg)
{
    struct session *s = arg;
    struct task *t;

    while ((t = chan_recv(s->unread, UINT32_MAX))) {
        touch_set(s->plan.touch, TOUCH_COMPILE, t->tag);
        prepare(s, t);
        touch_end(s->plan.touch, TOUCH_COMPILE);
        (void)chan_send(t->error.code == ERROR_OK ? s->in : s->out, t);
    }
    return NULL;
}

/* ---- Closing ---- */

static void release(struct session *s)
{
    constraints_free(s->constraints);
    adapters_free(s->adapters);
    schemas_free(s->schemas);
    media_stage_free(s->media);
    chan_free(s->in);
    chan_free(s->out);
    chan_free(s->unread);
    mem_free(s->task);
    s->runtime->ops->close(s->runtime);
    mem_free(s);
}

static void session_close(struct predictor *p)
{
    struct session *s = session_of(p);
    struct task *t;

    atomic_store(&s->stop, true);
    media_stage_stop(s->media); /* it may still hand tasks to the others */
    chan_close(s->unread);
    thread_join(s->compiler);
    chan_close(s->in);
    thread_join(s->thread);
    while ((t = chan_recv(s->in, 0)))
        task_free(t);
    while ((t = chan_recv(s->out, 0)))
        task_free(t);
    release(s);
}

/* ---- From a request to a task ---- */

static struct conversation_model model_of(const struct session *s)
{
    return (struct conversation_model){
        .name = s->base.version,
        .calls = s->info.calls,
        .takes_media = s->media != NULL,
    };
}

static bool is_taken(const struct session *s, const struct request *r, struct violation *why)
{
    const struct conversation_model model = model_of(s);

    return conversation_accepts(r, &model, why) &&
           (!s->media || !r->has_media || media_stage_accepts(&s->info, r, why));
}

static bool session_accepts(struct predictor *p, const struct request *r, struct violation *why)
{
    struct session *s = session_of(p);
    struct constraint *k;

    if (!is_taken(s, r, why) || constraint_of(s->constraints, r, &k, why) < 0)
        return false;
    constraint_release(k);
    return true;
}

/* The prompt's tokens; the arena takes joined texts. *thinks: the answer begins within a thought. */
static int make_prompt(struct session *s, const struct request *r, struct arena *a,
                       struct tokens *out, bool *thinks, struct error *e)
{
    const struct conversation_model model = model_of(s);
    struct chat chat;

    if (conversation_make(r, &model, a, &chat, e) < 0)
        return -1;
    if (!chat.message_count)
        return error_set(e, ERROR_INVALID_ARGUMENT, "The request has no text.");
    return s->runtime->ops->prompt(s->runtime, &chat, out, thinks, e);
}

static struct sampling sampling_of(struct session *s, const struct generation *g)
{
    return (struct sampling){
        .temperature = g->has_temperature ? (float)g->temperature : SAMPLING_TEMPERATURE_DEFAULT,
        .top_p = g->has_top_p ? (float)g->top_p : SAMPLING_TOP_P_DEFAULT,
        .top_k = g->has_top_k && g->top_k > 0 ? (uint32_t)g->top_k : SAMPLING_TOP_K_DEFAULT,
        .presence = (float)g->presence_penalty,
        .frequency = (float)g->frequency_penalty,
        .seed = g->has_seed ? (uint64_t)g->seed : random_next(&s->random),
    };
}

static int fit_context(struct session *s, const struct generation *g, struct task *t,
                       struct error *e)
{
    uint32_t most = s->info.context_max - 1; /* an answer has a token at least */
    uint32_t thought =
        t->thought_max < THOUGHT_TOKENS_DEFAULT ? t->thought_max : THOUGHT_TOKENS_DEFAULT;
    uint32_t usual = OUTPUT_TOKENS_DEFAULT + (t->thinks ? thought : 0);
    uint32_t asked = g->max_output_tokens ? g->max_output_tokens : usual;

    if (t->prompt.count > most)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "The input token count (%u) exceeds the maximum number of tokens allowed "
                         "(%u).",
                         t->prompt.count, most);
    uint32_t left = s->info.context_max - t->prompt.count;
    t->tokens_max = asked < left ? asked : left;
    return 0;
}

static int fill_task(struct session *s, const struct request *r, struct task *t, struct error *e)
{
    const struct generation *g = &r->generation;
    const struct conversation_model model = model_of(s);
    const struct thinking_ask ask = thinking_asked(r);
    struct violation why;

    t->request = r;
    if (!is_taken(s, r, &why))
        return error_set(e, ERROR_INVALID_ARGUMENT, "%s: %s %s", why.path, why.message, why.remedy);
    t->thought_max = ask.tokens_max;
    t->may_think = s->info.thinking.begin.len && ask.thinking != THINKING_OFF;
    if (function_choice_of(r).calling == CALLING_VALIDATED && conversation_may_call(r))
        t->awaited = model.calls.format;
    if (make_prompt(s, r, &t->arena, &t->prompt, &t->thinks, e) < 0)
        return -1;
    /* With media the prompt gets its length later. */
    if (!r->has_media && fit_context(s, g, t, e) < 0)
        return -1;
    t->candidate_count = g->candidate_count ? g->candidate_count : 1;
    t->sampling = sampling_of(s, g);
    t->stop = g->stop;
    t->stop_count = g->stop_count;
    t->logprobs = g->response_logprobs;
    t->top_count = g->response_logprobs ? g->logprobs : 0;
    return 0;
}

/* The number of the task's adapter, or its slot while that is not loaded. */
static void take_adapter(const struct session *s, struct task *t)
{
    if (!t->slot)
        t->adapter = s->adapted ? ADAPTERS_OWN : 0;
    else if (adapters_ready(t->slot))
        t->adapter = adapters_number(t->slot);
}

/* Hands a task to the engine, by way of the compiler when its schema or adapter is new. Every channel has
 * room for the whole window. */
static void dispatch(struct session *s, struct task *t)
{
    struct violation why = { 0 };
    int rc = 0;

    take_adapter(s, t);
    if (t->error.code == ERROR_OK &&
        (!constraint_known(s->constraints, t->request, &t->constraint, &why, &rc) ||
         (rc == 0 && t->slot && !t->adapter))) {
        (void)chan_send(s->unread, t);
        return;
    }
    if (t->error.code == ERROR_OK && rc < 0)
        refuse(t, &why);
    (void)chan_send(t->error.code == ERROR_OK ? s->in : s->out, t);
}

/* On the stage's thread: the prompt is complete, or the task has failed. */
static void on_media(void *arg, struct task *t)
{
    struct session *s = arg;

    if (t->error.code == ERROR_OK)
        (void)fit_context(s, &t->request->generation, t, &t->error);
    dispatch(s, t);
}

static int session_submit(struct predictor *p, const struct request *r, void *tag, struct error *e)
{
    struct session *s = session_of(p);

    if (atomic_load(&s->broken))
        return error_set(e, ERROR_INTERNAL, "The embedded engine has failed.");
    if (s->open == s->base.window)
        return error_set(e, ERROR_RESOURCE_EXHAUSTED, "%u requests are open.", s->open);
    struct adapter_slot *slot = s->files ? adapters_hold(s->adapters, s->files) : NULL;
    if (s->files && !slot)
        return error_set(e, ERROR_RESOURCE_EXHAUSTED, "All adapters that are loaded are in use.");
    struct task *t = task_new();
    t->slot = slot;
    t->tag = tag;
    s->task[s->open++] = t;
    touch_set(s->plan.touch, TOUCH_SUBMIT, tag);
    if (atomic_load(&s->draining))
        t->error = stopped;
    else
        (void)fill_task(s, r, t, &t->error);
    if (r->has_media && t->error.code == ERROR_OK)
        media_stage_add(s->media, t);
    else
        dispatch(s, t);
    touch_end(s->plan.touch, TOUCH_SUBMIT);
    return 0;
}

static void session_adapt(struct predictor *p, const struct adapter_list *files)
{
    session_of(p)->files = files;
}

/* The compiler and the engine may have the task; only this thread frees it. */
static void session_cancel(struct predictor *p, void *tag)
{
    struct session *s = session_of(p);

    for (uint32_t i = 0; i < s->open; i++)
        if (s->task[i]->tag == tag)
            atomic_store(&s->task[i]->cancelled, true);
}

static int session_count_tokens(struct predictor *p, const struct request *r, uint32_t *tokens,
                                struct error *e)
{
    struct arena a = { 0 };
    struct tokens t = { 0 };
    bool thinks;
    int rc = make_prompt(session_of(p), r, &a, &t, &thinks, e);

    if (rc == 0)
        *tokens = t.count;
    for (uint32_t i = 0; rc == 0 && i < t.count; i++)
        *tokens += t.item[i] < 0 ? MEDIA_TOKENS_GUESS - 1 : 0;
    tokens_release(&t);
    arena_release(&a);
    return rc;
}

/* ---- From a task to an answer ---- */

/* The calls of an answer, each checked. */
static int calls_read(struct session *s, struct task *t, const struct generated *g,
                      struct parsed_parts *out, struct error *e)
{
    bool cut = g->finish == FINISH_MAX_TOKENS;
    struct error ignored = { 0 };
    size_t at;

    if (!calls_parse(s->info.calls.format, &t->arena, buf_str(&g->text), cut, out, e))
        return -1;
    for (uint32_t i = 0; i < out->count; i++) {
        if (out->item[i].kind != RESPONSE_CALL)
            continue;
        yyjson_val *args = json_parse(&t->arena, out->item[i].args, &at, &ignored);
        if (schemas_check_call(s->schemas, t->request, out->item[i].name, args, e) < 0)
            return -1;
    }
    return 0;
}

/* Makes parts of the answer's text where it calls functions, and of its thought where that is asked for. */
static void parts_make(struct session *s, struct task *t, const struct generated *g,
                       struct candidate *c)
{
    bool shown = g->thought.len && thinking_asked(t->request).shown;
    struct parsed_parts parsed = { 0 };
    struct error e = { 0 };

    if (conversation_may_call(t->request) && calls_read(s, t, g, &parsed, &e) < 0) {
        parsed = (struct parsed_parts){ .begun = true };
        c->finish = FINISH_MALFORMED_CALL;
        c->finish_message = arena_textf(&t->arena, "Malformed function call: %s", e.msg);
    }
    if (!shown && !parsed.begun)
        return; /* the text alone */
    struct response_part *part = arena_array(&t->arena, parsed.count + 2, sizeof *part);
    if (shown)
        part[c->part_count++] =
            (struct response_part){ .kind = RESPONSE_THOUGHT, .text = buf_str(&g->thought) };
    if (parsed.calls)
        memcpy(part + c->part_count, parsed.item, parsed.count * sizeof *part);
    else if (g->text.len && c->finish != FINISH_MALFORMED_CALL)
        part[c->part_count++] = (struct response_part){ .kind = RESPONSE_TEXT, .text = c->text };
    c->part_count += parsed.calls ? parsed.count : 0;
    c->part = part;
}

static struct candidate candidate_of(struct session *s, struct task *t, uint32_t i)
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
        c.top_counts = g->top_counts;
    }
    parts_make(s, t, g, &c);
    return c;
}

static void write_response(struct session *s, struct task *t, struct answer *out)
{
    struct candidate candidate[REQUEST_CANDIDATES_MAX];
    char id[RESPONSE_ID_BYTES];

    out->usage.prompt_tokens = t->prompt.count;
    out->usage.cached_tokens = t->cached_tokens;
    out->complete = true; /* with what follows: the constraint lets no other answer end */
    for (uint32_t i = 0; i < t->candidate_count; i++) {
        candidate[i] = candidate_of(s, t, i);
        out->usage.candidate_tokens += t->candidate[i].token_count;
        out->usage.thought_tokens += t->candidate[i].thought_count;
        out->forced_tokens += t->candidate[i].forced_count;
        out->complete = out->complete && candidate[i].finish == FINISH_STOP;
    }
    uint64_t high = random_next(&s->random);
    response_id_format(high, random_next(&s->random), id);
    const struct response r = {
        .candidate = candidate,
        .candidate_count = t->candidate_count,
        .usage = out->usage,
        .image_tokens = t->image_tokens,
        .video_tokens = t->video_tokens,
        .audio_tokens = t->audio_tokens,
        .model_version = str_of(s->base.version),
        .response_id = id,
        .create_time_us = s->clock->wall_us(s->clock),
    };
    response_write(&r, &out->response);
}

static void forget(struct session *s, const struct task *t)
{
    uint32_t i = 0;

    while (i < s->open && s->task[i] != t)
        i++;
    assert(i < s->open);
    s->task[i] = s->task[--s->open];
    adapters_done(t->slot);
}

static int session_wait(struct predictor *p, uint32_t timeout_ms, struct answer *out,
                        struct error *e)
{
    struct session *s = session_of(p);
    struct task *t = chan_recv(s->out, timeout_ms);

    if (!t) {
        if (atomic_load(&s->broken) && !s->open)
            return error_set(e, ERROR_INTERNAL, "The embedded engine has failed.");
        return 0;
    }
    forget(s, t);
    *out = (struct answer){
        .tag = t->tag,
        .error = t->error,
        .response = BUF_INIT(RESPONSE_BYTES_MAX),
    };
    if (t->error.code == ERROR_OK)
        write_response(s, t, out);
    if (!buf_ok(&out->response)) {
        buf_release(&out->response);
        (void)error_set(&out->error, ERROR_INTERNAL, "The answer is too large.");
    }
    if (s->media)
        media_stage_release(s->media, t);
    task_free(t);
    return 1;
}

static void session_drain(struct predictor *p)
{
    atomic_store(&session_of(p)->draining, true);
}

static void session_stats(struct predictor *p, struct predictor_stats *out)
{
    struct session *s = session_of(p);

    *out = (struct predictor_stats){
        .prompt_tokens = atomic_load(&s->counters.prompt),
        .reused_tokens = atomic_load(&s->counters.reused),
        .computed_tokens = atomic_load(&s->counters.computed),
        .generated_tokens = atomic_load(&s->counters.generated),
        .forced_tokens = atomic_load(&s->counters.forced),
        .sequences = atomic_load(&s->counters.active),
        .sequences_max = s->plan.sequences,
        .memory_bytes = s->info.memory_bytes,
    };
}

static const struct predictor_ops session_ops = {
    .name = "local",
    .accepts = session_accepts,
    .submit = session_submit,
    .wait = session_wait,
    .drain = session_drain,
    .count_tokens = session_count_tokens,
    .adapt = session_adapt,
    .stats = session_stats,
    .cancel = session_cancel,
    .close = session_close,
};

struct predictor *session_open(struct runtime *r, bool adapted, const struct batcher_plan *plan,
                               const struct predictor_env *env, struct error *e)
{
    struct session *s = mem_alloc(sizeof *s);
    int rc;

    s->base.ops = &session_ops;
    s->clock = env->clock;
    s->random = env->seed;
    s->plan = *plan;
    s->plan.touch = env->touch;
    s->runtime = r;
    r->ops->info(r, &s->info);
    (void)snprintf(s->base.version, sizeof s->base.version, "%s", s->info.name);
    s->base.window = WINDOW_PER_SEQUENCE * plan->sequences;
    s->task = mem_array(s->base.window, sizeof(struct task *));
    s->constraints = constraints_new(r);
    s->adapters = adapters_new(r);
    s->adapted = adapted;
    s->schemas = schemas_new();
    s->in = chan_new(s->base.window);
    s->out = chan_new(s->base.window);
    s->unread = chan_new(s->base.window);
    const struct media_stage_spec media = {
        r, &s->info, s->base.window, on_media, s, s->plan.touch
    };
    if (r->ops->encode && s->info.limits) {
        s->media = media_stage_new(&media, e);
        if (!s->media) {
            release(s);
            return NULL;
        }
    }
    rc = pthread_create(&s->compiler, NULL, compiler_main, s);
    if (rc == 0) {
        rc = pthread_create(&s->thread, NULL, engine_main, s);
        if (rc == 0)
            return &s->base;
        chan_close(s->unread);
        thread_join(s->compiler);
    }
    media_stage_stop(s->media);
    errno = rc;
    (void)error_errno(e, "no thread for the engine");
    e->code = ERROR_RESOURCE_EXHAUSTED;
    release(s);
    return NULL;
}
