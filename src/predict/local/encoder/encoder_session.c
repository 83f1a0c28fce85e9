#include "predict/local/encoder/encoder_session.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/chan.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "format/request/fields.h"
#include "format/response.h"
#include "predict/touch.h"

#define WINDOW 1024    /* requests that may be open */
#define VALUE_DIGITS 9 /* behind the point: a vector of length 1 keeps all that a float has */
#define VALUE_UNITS 1e9f
#define VALUE_BYTES 12 /* "-0." and digits */
#define ENDS 2         /* tokens of a text without a word */

static const struct error stopped = { ERROR_CANCELLED, "The run was stopped." };

struct task {
    void *tag;
    struct error error;
    atomic_bool cancelled; /* set by the session's thread */
    struct tokens tokens;  /* as many as are computed */
    bool truncated;
    uint32_t dimensions; /* of the answer */
    float *vector;       /* [dimensions of the model]; once it is computed */
};

/* The counters of stats: written by the engine thread, read by any. */
struct session_counters {
    atomic_uint_fast64_t tokens;
    atomic_uint active; /* texts of the forward that runs */
};

struct session {
    struct predictor base;   /* first, so that a pointer to it is one to this */
    struct encoder *encoder; /* forward: the engine thread's */
    struct encoder_info info;
    struct touch_page *touch;
    struct chan *in, *out; /* tasks to the engine thread, finished ones from it */
    pthread_t thread;
    atomic_bool stop, draining; /* set by the session's thread */
    atomic_bool broken;         /* set by the engine thread */
    struct session_counters counters;
    /* The engine thread's, of one forward: */
    struct task **batch;       /* [texts_max] */
    struct encoder_text *text; /* [texts_max] */
    float *vectors;            /* [texts_max][dimensions] */
    struct task *next;         /* taken, but did not fit; or NULL */
    /* The session's thread's: */
    struct task **task; /* submitted and not taken: [open] of base.window */
    uint32_t open;
    bool adapted; /* what is submitted next is for a tuned model */
};

static struct session *session_of(struct predictor *p)
{
    return (struct session *)p;
}

static void task_free(struct task *t)
{
    tokens_release(&t->tokens);
    mem_free(t->vector);
    mem_free(t);
}

/* ---- The engine thread ---- */

/* True when the task is to be computed; others are answered. */
static bool is_wanted(struct session *s, struct task *t)
{
    if (atomic_load(&t->cancelled) && t->error.code == ERROR_OK)
        (void)error_set(&t->error, ERROR_CANCELLED, "The request was cancelled.");
    else if (atomic_load(&s->draining) || atomic_load(&s->stop))
        t->error = stopped;
    if (t->error.code == ERROR_OK)
        return true;
    (void)chan_send(s->out, t); /* has room for the whole window */
    return false;
}

/* The next task, if it is there or, with wait, whenever it comes. NULL: there is none. */
static struct task *take_task(struct session *s, bool wait)
{
    struct task *t = s->next;

    s->next = NULL;
    return t ? t : chan_recv(s->in, wait ? UINT32_MAX : 0);
}

/* Fills the batch with what waits. 0: the end. */
static uint32_t take_batch(struct session *s)
{
    uint32_t count = 0, rows = 0;
    struct task *t;

    touch_end(s->touch, TOUCH_FORWARD);
    while (count < s->info.texts_max && (t = take_task(s, count == 0))) {
        if (!is_wanted(s, t))
            continue;
        if (rows + t->tokens.count > s->info.rows_max) {
            s->next = t;
            break;
        }
        touch_add(s->touch, TOUCH_FORWARD, t->tag);
        rows += t->tokens.count;
        s->text[count] = (struct encoder_text){ t->tokens.item, t->tokens.count };
        s->batch[count++] = t;
    }
    return count;
}

static void finish_batch(struct session *s, uint32_t count, int rc, const struct error *e)
{
    const uint32_t dimensions = s->info.dimensions;
    uint64_t tokens = 0;

    for (uint32_t i = 0; i < count; i++) {
        struct task *t = s->batch[i];
        tokens += t->tokens.count;
        if (rc < 0)
            t->error = *e;
        else {
            t->vector = mem_array(dimensions, sizeof *t->vector);
            memcpy(t->vector, s->vectors + (size_t)i * dimensions, dimensions * sizeof *t->vector);
        }
    }
    atomic_fetch_add(&s->counters.tokens, tokens);
    atomic_store(&s->counters.active, 0);
    for (uint32_t i = 0; i < count; i++)
        (void)chan_send(s->out, s->batch[i]);
}

static void *engine_main(void *arg)
{
    struct session *s = arg;
    uint32_t count;

    while ((count = take_batch(s)) > 0) {
        struct error e = { 0 };
        atomic_store(&s->counters.active, count);
        int rc = s->encoder->ops->forward(s->encoder, s->text, count, s->vectors, &e);
        if (rc < 0) {
            log_error("%s: %s", s->base.version, e.msg);
            atomic_store(&s->broken, true);
        }
        finish_batch(s, count, rc, &e);
    }
    return NULL;
}

/* ---- Closing ---- */

static void release(struct session *s)
{
    chan_free(s->in);
    chan_free(s->out);
    mem_free(s->batch);
    mem_free(s->text);
    mem_free(s->vectors);
    mem_free(s->task);
    s->encoder->ops->close(s->encoder);
    mem_free(s);
}

static void session_close(struct predictor *p)
{
    struct session *s = session_of(p);

    atomic_store(&s->stop, true);
    chan_close(s->in);
    thread_join(s->thread);
    for (uint32_t i = 0; i < s->open; i++)
        task_free(s->task[i]);
    release(s);
}

/* ---- From a request to a task ---- */

/* A violation of a setting, where it stands in the request. */
static bool refuse(const struct request *r, const char *name, struct violation *why)
{
    bool below = request_field(request_field(r->root, "embedContentConfig"), name);

    (void)snprintf(why->path, sizeof why->path, "%s%s", below ? "embedContentConfig." : "", name);
    return false;
}

static bool session_accepts(struct predictor *p, const struct request *r, struct violation *why)
{
    const struct session *s = session_of(p);

    *why = (struct violation){ 0 };
    if (r->kind != REQUEST_EMBED) {
        (void)snprintf(why->path, sizeof why->path, "contents");
        violation_message(why, "The model makes embeddings and generates no text.");
        violation_remedy(why, "Use a model that generates; to embed, write content.");
        return false;
    }
    for (uint32_t i = 0; i < r->content[0].part_count; i++)
        if (r->content[0].part[i].kind != PART_TEXT) {
            (void)snprintf(why->path, sizeof why->path, "content.parts[%u]", i);
            violation_message(why, "The model embeds text only.");
            violation_remedy(why, "Leave the part out.");
            return false;
        }
    if (r->embedding.dimensions <= s->info.dimensions)
        return true;
    (void)snprintf(why->message, sizeof why->message,
                   "%u dimensions were asked for, but %s has %u.", r->embedding.dimensions,
                   s->base.version, s->info.dimensions);
    (void)snprintf(why->remedy, sizeof why->remedy, "Ask for at most %u.", s->info.dimensions);
    return refuse(r, "outputDimensionality", why);
}

/* The title, if there is one, and the text parts, with a line feed between them. */
static struct str text_of(const struct request *r, struct arena *a)
{
    const struct content *c = &r->content[0];
    size_t len = r->embedding.title.len + 1, at = 0;

    if (c->part_count == 1 && !r->embedding.title.len)
        return c->part[0].text;
    for (uint32_t i = 0; i < c->part_count; i++)
        len += c->part[i].text.len + 1;
    char *text = arena_alloc_raw(a, len);
    for (int32_t i = r->embedding.title.len ? -1 : 0; i < (int32_t)c->part_count; i++) {
        struct str part = i < 0 ? r->embedding.title : c->part[i].text;
        if (at)
            text[at++] = '\n';
        memcpy(text + at, part.p ? part.p : "", part.len);
        at += part.len;
    }
    return (struct str){ text, at };
}

static int tokenize(const struct session *s, const struct request *r, struct tokens *out,
                    struct error *e)
{
    struct arena a = { 0 };
    int rc = s->encoder->ops->tokenize(s->encoder, text_of(r, &a), out, e);

    arena_release(&a);
    if (rc == 0 && out->count <= ENDS)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "content: The text is empty. Write the text to embed.");
    return rc;
}

/* The last token ends every text. */
static int cut(const struct session *s, const struct request *r, struct task *t, struct error *e)
{
    const uint32_t most = s->info.tokens_max;

    if (t->tokens.count <= most)
        return 0;
    if (r->embedding.says_truncate && !r->embedding.truncate)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "content: The text has %u tokens, but %s takes %u. Shorten it, or leave "
                         "autoTruncate out.",
                         t->tokens.count, s->base.version, most);
    t->tokens.item[most - 1] = t->tokens.item[t->tokens.count - 1];
    t->tokens.count = most;
    t->truncated = true;
    return 0;
}

static int fill_task(struct session *s, const struct request *r, struct task *t, struct error *e)
{
    struct violation why;

    if (s->adapted)
        return error_set(e, ERROR_UNIMPLEMENTED, "%s embeds, and takes no adapter.",
                         s->base.version);
    if (!session_accepts(&s->base, r, &why))
        return error_set(e, ERROR_INVALID_ARGUMENT, "%s: %s %s", why.path, why.message, why.remedy);
    t->dimensions = r->embedding.dimensions ? r->embedding.dimensions : s->info.dimensions;
    return tokenize(s, r, &t->tokens, e) < 0 ? -1 : cut(s, r, t, e);
}

static int session_submit(struct predictor *p, const struct request *r, void *tag, struct error *e)
{
    struct session *s = session_of(p);

    if (atomic_load(&s->broken))
        return error_set(e, ERROR_INTERNAL, "The embedded engine has failed.");
    if (s->open == s->base.window)
        return error_set(e, ERROR_RESOURCE_EXHAUSTED, "%u requests are open.", s->open);
    struct task *t = mem_alloc(sizeof *t);
    t->tag = tag;
    s->task[s->open++] = t;
    touch_set(s->touch, TOUCH_SUBMIT, tag);
    if (atomic_load(&s->draining))
        t->error = stopped;
    else
        (void)fill_task(s, r, t, &t->error);
    touch_end(s->touch, TOUCH_SUBMIT);
    (void)chan_send(t->error.code == ERROR_OK ? s->in : s->out, t);
    return 0;
}

static void session_adapt(struct predictor *p, const struct adapter_list *files)
{
    session_of(p)->adapted = files != NULL;
}

/* The engine may have the task; only this thread frees it. */
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
    struct tokens t = { 0 };
    int rc = tokenize(session_of(p), r, &t, e);

    if (rc == 0)
        *tokens = t.count;
    tokens_release(&t);
    return rc;
}

/* ---- From a task to an answer ---- */

/* A number from -1 to 1 with VALUE_DIGITS digits; returns its length. */
static size_t write_value(float x, char out[VALUE_BYTES])
{
    char *at = out;
    uint32_t units = (uint32_t)lrintf(fabsf(x) * VALUE_UNITS);

    if (x < 0.0f && units)
        *at++ = '-';
    *at++ = (char)('0' + units / (uint32_t)VALUE_UNITS);
    *at++ = '.';
    units %= (uint32_t)VALUE_UNITS;
    for (int i = VALUE_DIGITS - 1; i >= 0; i--, units /= 10)
        at[i] = (char)('0' + units % 10);
    return (size_t)(at - out) + VALUE_DIGITS;
}

static void write_response(struct task *t, struct answer *out)
{
    struct buf values = BUF_INIT(RESPONSE_BYTES_MAX);
    char number[VALUE_BYTES];

    encoder_normalise(t->vector, t->dimensions);
    for (uint32_t i = 0; i < t->dimensions; i++) {
        buf_add_char(&values, i ? ',' : '[');
        buf_add(&values, number, write_value(t->vector[i], number));
    }
    buf_add_char(&values, ']');
    out->usage.prompt_tokens = t->tokens.count;
    out->complete = true;
    embedding_write(buf_str(&values), &out->usage, t->truncated, &out->response);
    buf_release(&values);
}

static void forget(struct session *s, const struct task *t)
{
    uint32_t i = 0;

    while (i < s->open && s->task[i] != t)
        i++;
    assert(i < s->open);
    s->task[i] = s->task[--s->open];
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
        write_response(t, out);
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
    const uint64_t tokens = atomic_load(&s->counters.tokens);

    *out = (struct predictor_stats){
        .prompt_tokens = tokens,
        .computed_tokens = tokens,
        .sequences = atomic_load(&s->counters.active),
        .sequences_max = s->info.texts_max < WINDOW ? s->info.texts_max : WINDOW,
        .memory_bytes = s->info.memory_bytes,
    };
}

static const struct predictor_ops session_ops = {
    .name = "encoder",
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

struct predictor *encoder_session_open(struct encoder *c, const struct predictor_env *env,
                                       struct error *e)
{
    struct session *s = mem_alloc(sizeof *s);

    s->base.ops = &session_ops;
    s->base.window = WINDOW;
    s->encoder = c;
    s->touch = env->touch;
    c->ops->info(c, &s->info);
    (void)snprintf(s->base.version, sizeof s->base.version, "%s", s->info.name);
    s->batch = mem_array(s->info.texts_max, sizeof(struct task *));
    s->text = mem_array(s->info.texts_max, sizeof *s->text);
    s->vectors = mem_array((size_t)s->info.texts_max * s->info.dimensions, sizeof *s->vectors);
    s->task = mem_array(WINDOW, sizeof(struct task *));
    s->in = chan_new(WINDOW);
    s->out = chan_new(WINDOW);
    int rc = pthread_create(&s->thread, NULL, engine_main, s);
    if (rc == 0)
        return &s->base;
    errno = rc;
    (void)error_errno(e, "no thread for the engine");
    e->code = ERROR_RESOURCE_EXHAUSTED;
    release(s);
    return NULL;
}
