/* The fake: deterministic answers, with delays and faults by a script, and no thread. A request waits
 * in a heap by the time at which its answer is ready; wait() sleeps on the clock until then, so that
 * under a fake clock hours pass at once. The answer itself is made when it is taken. */
#include "predict/predictor.h"

#include <stdio.h>
#include <xxhash.h>

#include "base/json.h"
#include "base/mem.h"
#include "format/response.h"
#include "format/tools/thinking.h"
#include "predict/fake/fake_fault.h"
#include "predict/fake/fake_text.h"

#define FAKE_WINDOW_DEFAULT 1024
#define FAKE_WINDOW_MAX 65536
#define FAKE_DIMENSIONS 8 /* of an embedding that asks for none */
#define FAKE_VERSION "tranche-fake"
#define FAKE_MESSAGE "This fault is scripted."
#define NS_PER_US 1000ULL
#define NEVER UINT64_MAX

/* A submitted request. */
struct pending {
    uint64_t ready_ns; /* NEVER: it hangs */
    uint64_t order;    /* of submission: those that are ready at once are answered in turn */
    const struct request *request;
    void *tag;
    const struct fake_fault *fault; /* what it will be answered with, or NULL */
    XXH128_hash_t hash;             /* of seed and text: its response id, and all its chance */
    bool cancelled;
};

/* All of it is the session's thread's. */
struct fake {
    struct predictor base; /* first, so that a pointer to it is one to this */
    struct clock *clock;
    uint64_t seed;
    struct fake_script script; /* its strings are the model's */
    struct fake_faults faults;
    struct pending *heap; /* count of base.window, the earliest first */
    uint32_t count;
    uint64_t submitted;
    bool draining;
    struct buf scratch;
    struct predictor_stats stats;
};

static const struct predictor_ops fake_ops;

struct predictor *predictor_fake_open(const struct model *m, const struct predictor_env *env,
                                      struct error *e)
{
    uint32_t window = m->fake.window ? m->fake.window : FAKE_WINDOW_DEFAULT;

    if (window > FAKE_WINDOW_MAX || m->fake.fault_count > FAKE_FAULTS_MAX) {
        (void)error_set(e, ERROR_INVALID_ARGUMENT,
                        "model %s: at most %d requests at once and %d faults", m->pattern,
                        FAKE_WINDOW_MAX, FAKE_FAULTS_MAX);
        return NULL;
    }
    struct fake *f = mem_alloc(sizeof *f);
    f->base.ops = &fake_ops;
    f->base.window = window;
    (void)snprintf(f->base.version, sizeof f->base.version, "%s", FAKE_VERSION);
    f->clock = env->clock;
    f->seed = env->seed;
    f->script = m->fake;
    fake_faults_init(&f->faults, &f->script);
    f->heap = mem_array(window, sizeof *f->heap);
    f->stats.sequences_max = window;
    return &f->base;
}

static struct fake *fake_of(struct predictor *p)
{
    return (struct fake *)p;
}

/* ---- The heap ---- */

static bool earlier(const struct pending *a, const struct pending *b)
{
    return a->ready_ns != b->ready_ns ? a->ready_ns < b->ready_ns : a->order < b->order;
}

static void heap_push(struct fake *f, const struct pending *q)
{
    uint32_t at = f->count++;

    for (; at > 0 && earlier(q, &f->heap[(at - 1) / 2]); at = (at - 1) / 2)
        f->heap[at] = f->heap[(at - 1) / 2];
    f->heap[at] = *q;
}

/* Puts q into the hole at `at`, or further down. */
static void heap_sink(struct fake *f, uint32_t at, const struct pending *q)
{
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= f->count)
            break;
        if (child + 1 < f->count && earlier(&f->heap[child + 1], &f->heap[child]))
            child++;
        if (!earlier(&f->heap[child], q))
            break;
        f->heap[at] = f->heap[child];
        at = child;
    }
    f->heap[at] = *q;
}

static struct pending heap_pop(struct fake *f)
{
    struct pending top = f->heap[0], last = f->heap[--f->count];

    if (f->count)
        heap_sink(f, 0, &last);
    return top;
}

/* ---- In ---- */

static bool fake_accepts(struct predictor *p, const struct request *r, struct violation *why)
{
    (void)p;
    return request_wants_text(r, why);
}

/* From submit to answer, for this request. */
static uint64_t delay_ns(struct fake *f, const struct pending *q)
{
    const struct fake_script *s = &f->script;
    uint64_t ns = s->delay_ms * NS_PER_MS;

    if (s->jitter_ms)
        ns += fake_chance(q->hash.high64, 0) % (s->jitter_ms * NS_PER_MS + 1);
    if (s->delay_token_us) {
        struct fake_answer answer;
        fake_answer(&f->script, q->request, &f->scratch, &answer);
        ns += s->delay_token_us * NS_PER_US * answer.words;
    }
    return ns;
}

static int fake_submit(struct predictor *p, const struct request *r, void *tag, struct error *e)
{
    struct fake *f = fake_of(p);
    struct pending q = { .order = f->submitted, .request = r, .tag = tag };

    if (f->count == f->base.window)
        return error_set(e, ERROR_RESOURCE_EXHAUSTED, "all %u slots of the session are taken",
                         f->base.window);
    q.ready_ns = f->clock->mono_ns(f->clock);
    q.hash = XXH3_128bits_withSeed(r->text.p, r->text.len, f->seed);
    q.cancelled = f->draining; /* ready at once */
    if (!f->draining) {
        if (f->script.fault_count)
            q.fault = fake_faults_meet(&f->faults, q.hash.low64, fake_user_text(r, &f->scratch));
        q.ready_ns = q.fault && q.fault->hang ? NEVER : q.ready_ns + delay_ns(f, &q);
    }
    heap_push(f, &q);
    f->submitted++;
    return 0;
}

static void cancel(struct pending *q)
{
    q->ready_ns = 0;
    q->cancelled = true;
}

static void heap_order(struct fake *f)
{
    for (uint32_t i = f->count / 2; i > 0; i--) {
        struct pending q = f->heap[i - 1];
        heap_sink(f, i - 1, &q);
    }
}

/* Every submitted request has begun and goes on; only those that hang are cancelled. */
static void fake_drain(struct predictor *p)
{
    struct fake *f = fake_of(p);

    f->draining = true;
    for (uint32_t i = 0; i < f->count; i++)
        if (f->heap[i].ready_ns == NEVER)
            cancel(&f->heap[i]);
    heap_order(f);
}

static void fake_cancel(struct predictor *p, void *tag)
{
    struct fake *f = fake_of(p);

    for (uint32_t i = 0; i < f->count; i++)
        if (f->heap[i].tag == tag)
            cancel(&f->heap[i]);
    heap_order(f);
}

/* ---- Out ---- */

/* An echo is rarely JSON; of a schema nothing is followed here. */
static bool has_form(const struct request *r, struct str text)
{
    struct arena a = { 0 };
    struct error ignored = { 0 };
    size_t at;

    if (r->generation.form != ANSWER_JSON)
        return true;
    bool json = json_parse(&a, text, &at, &ignored) != NULL;
    arena_release(&a);
    return json;
}

#define FAKE_THOUGHT "Hm." /* a word, where thinking is asked for */

static void answer_text(struct fake *f, const struct pending *q, struct answer *out)
{
    struct fake_answer text;
    struct candidate candidate[REQUEST_CANDIDATES_MAX] = { 0 };
    char id[RESPONSE_ID_BYTES];
    uint32_t count = q->request->generation.candidate_count;

    count = count == 0 ? 1 : count > REQUEST_CANDIDATES_MAX ? REQUEST_CANDIDATES_MAX : count;
    fake_answer(&f->script, q->request, &f->scratch, &text);
    const struct thinking_ask ask = thinking_asked(q->request);
    bool thinks = ask.thinking == THINKING_ON, shown = thinks && ask.shown;
    const struct response_part part[] = {
        { .kind = RESPONSE_THOUGHT, .text = STR(FAKE_THOUGHT) },
        { .kind = text.calls.len ? RESPONSE_CALL : RESPONSE_TEXT,
          .text = text.text,
          .name = text.calls,
          .args = text.text },
    };
    for (uint32_t i = 0; i < count; i++)
        candidate[i] = (struct candidate){ .part = shown ? part : part + 1,
                                           .part_count = shown ? 2 : 1,
                                           .finish = text.finish,
                                           .token_count = text.words };
    out->usage.prompt_tokens = fake_prompt_words(q->request);
    out->usage.candidate_tokens = text.words * count;
    out->usage.thought_tokens = thinks ? count : 0;
    out->complete = text.finish == FINISH_STOP && has_form(q->request, text.text);
    response_id_format(q->hash.high64, q->hash.low64, id);
    struct response r = { .candidate = candidate,
                          .candidate_count = count,
                          .usage = out->usage,
                          .model_version = str_of(f->base.version),
                          .response_id = id,
                          .create_time_us = f->clock->wall_us(f->clock) };
    response_write(&r, &out->response);
}

/* Numbers from -1 to 1 by the request's hash. */
static void answer_embedding(const struct pending *q, struct answer *out)
{
    uint32_t count = q->request->embedding.dimensions;
    struct buf values = BUF_INIT(RESPONSE_BYTES_MAX);

    count = count ? count : FAKE_DIMENSIONS;
    for (uint32_t i = 0; i < count; i++) {
        int thousandths = (int)(fake_chance(q->hash.low64, i) % 2001) - 1000;
        buf_addf(&values, "%s%.3f", i ? "," : "[", thousandths / 1000.0);
    }
    buf_add_char(&values, ']');
    out->usage.prompt_tokens = fake_prompt_words(q->request);
    embedding_write(buf_str(&values), &out->usage, false, &out->response);
    buf_release(&values);
}

static void answer_make(struct fake *f, const struct pending *q, struct answer *out)
{
    *out = (struct answer){ .tag = q->tag, .response = BUF_INIT(RESPONSE_BYTES_MAX) };
    if (q->cancelled) {
        (void)error_set(&out->error, ERROR_CANCELLED, "The request was cancelled.");
        return;
    }
    struct violation why;
    if (!request_wants_text(q->request, &why)) {
        (void)error_set(&out->error, ERROR_INVALID_ARGUMENT, "%s: %s %s", why.path, why.message,
                        why.remedy);
        return;
    }
    if (q->fault) {
        enum error_code code = q->fault->code == ERROR_OK ? ERROR_UNAVAILABLE : q->fault->code;
        (void)error_set(&out->error, code, "%s",
                        q->fault->message ? q->fault->message : FAKE_MESSAGE);
        out->retry_after_ms = q->fault->retry_after_ms;
        return;
    }
    if (q->request->kind == REQUEST_EMBED)
        answer_embedding(q, out);
    else
        answer_text(f, q, out);
    if (!buf_ok(&out->response)) {
        buf_release(&out->response);
        out->usage = (struct usage){ 0 };
        (void)error_set(&out->error, ERROR_OUT_OF_RANGE, "The answer is over %zu bytes.",
                        RESPONSE_BYTES_MAX);
        return;
    }
    f->stats.prompt_tokens += out->usage.prompt_tokens;
    f->stats.generated_tokens += out->usage.candidate_tokens;
    f->stats.computed_tokens = f->stats.prompt_tokens + f->stats.generated_tokens;
}

static int fake_wait(struct predictor *p, uint32_t timeout_ms, struct answer *out, struct error *e)
{
    struct fake *f = fake_of(p);
    uint64_t now = f->clock->mono_ns(f->clock);
    uint64_t deadline = now + timeout_ms * NS_PER_MS;

    (void)e; /* this session never breaks */
    while (f->count == 0 || f->heap[0].ready_ns > now) {
        uint64_t until =
            f->count && f->heap[0].ready_ns < deadline ? f->heap[0].ready_ns : deadline;
        if (now >= deadline)
            return 0;
        f->clock->sleep_ns(f->clock, until - now);
        now = f->clock->mono_ns(f->clock);
    }
    struct pending q = heap_pop(f);
    answer_make(f, &q, out);
    return 1;
}

static int fake_count_tokens(struct predictor *p, const struct request *r, uint32_t *tokens,
                             struct error *e)
{
    (void)p;
    (void)e;
    *tokens = fake_prompt_words(r);
    return 0;
}

static void fake_stats(struct predictor *p, struct predictor_stats *out)
{
    *out = fake_of(p)->stats;
    out->sequences = fake_of(p)->count;
}

static void fake_close(struct predictor *p)
{
    struct fake *f = fake_of(p);

    if (!f)
        return;
    fake_faults_release(&f->faults);
    buf_release(&f->scratch);
    mem_free(f->heap);
    mem_free(f);
}

static const struct predictor_ops fake_ops = {
    .name = "fake",
    .accepts = fake_accepts,
    .submit = fake_submit,
    .wait = fake_wait,
    .drain = fake_drain,
    .count_tokens = fake_count_tokens,
    .stats = fake_stats,
    .cancel = fake_cancel,
    .close = fake_close,
};
