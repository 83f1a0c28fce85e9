#include "predict/local/encoder/encoder_native.h"

#include "base/mem.h"
#include "predict/local/encoder/bert_forward.h"
#include "predict/local/plan.h"

/* Rows of a forward for each thread: some blocks, so that no thread waits long for the last one. */
#define ROWS_PER_THREAD 1024
#define TEXT_ROWS_MIN 3 /* both ends and a word */

struct native {
    struct encoder base; /* first, so that a pointer to it is one to this */
    struct encoder_info info;
    struct bert *bert;
    struct team *team;
    struct bert_forward *forward;
};

static struct native *native_of(struct encoder *c)
{
    return (struct native *)c;
}

static void native_info(const struct encoder *c, struct encoder_info *out)
{
    *out = ((const struct native *)c)->info;
}

static int native_tokenize(const struct encoder *c, struct str text, struct tokens *out,
                           struct error *e)
{
    (void)e;
    wordpiece_tokens(((const struct native *)c)->bert->vocabulary, text, out);
    return 0;
}

static int native_forward(struct encoder *c, const struct encoder_text *text, uint32_t count,
                          float *out, struct error *e)
{
    (void)e;
    bert_forward_compute(native_of(c)->forward, text, count, out);
    return 0;
}

static void native_close(struct encoder *c)
{
    struct native *n = native_of(c);

    bert_forward_free(n->forward);
    team_free(n->team);
    bert_free(n->bert);
    mem_free(n);
}

static const struct encoder_ops native_ops = {
    .name = "native",
    .info = native_info,
    .tokenize = native_tokenize,
    .forward = native_forward,
    .close = native_close,
};

static int open_all(struct native *n, const struct model *m, struct error *e)
{
    const struct runtime_settings settings = { .threads = m->threads };
    const struct kernel_ops *kernel = kernel_best(false);
    uint32_t threads = plan_threads(&settings);

    if (m->adapters.count)
        return error_set(e, ERROR_UNIMPLEMENTED, "adapters");
    n->bert = bert_open(m->file, kernel->layout.format, e);
    if (!n->bert)
        return -1;
    const struct bert_shape *s = &n->bert->shape;
    if (m->context > s->positions)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "context %u: the model was trained for %u tokens", m->context,
                         s->positions);
    threads = threads < TEAM_MEMBERS_MAX ? threads : TEAM_MEMBERS_MAX;
    n->team = team_new(threads, e);
    if (!n->team)
        return -1;
    n->info.dimensions = s->width;
    n->info.tokens_max = m->context ? m->context : s->positions;
    n->info.rows_max =
        threads * ROWS_PER_THREAD > s->positions ? threads * ROWS_PER_THREAD : s->positions;
    n->info.texts_max = n->info.rows_max / TEXT_ROWS_MIN;
    n->forward = bert_forward_new(n->bert, kernel, n->team, n->info.texts_max);
    n->info.memory_bytes = n->bert->bytes + bert_forward_bytes(n->forward);
    encoder_name(m->file, n->info.name, sizeof n->info.name);
    return 0;
}

struct encoder *encoder_native_open(const struct model *m, struct error *e)
{
    struct native *n = mem_alloc(sizeof *n);

    n->base.ops = &native_ops;
    if (open_all(n, m, e) < 0) {
        (void)error_wrap(e, "model %s", m->pattern);
        native_close(&n->base);
        return NULL;
    }
    return &n->base;
}
