#include "predict/local/encoder/encoder_llama.h"

#include <string.h>

#include "base/mem.h"
#include "predict/local/llama/llama_bridge.h"
#include "predict/local/llama/llama_text.h"
#include "predict/local/plan.h"

/* libllama compares every row of a forward with every other, whatever text it is of. */
#define ROWS 512
#define TEXTS 64
#define TOKENS_MAX 8192 /* of a text, when the model allows more */

struct llama_encoder {
    struct encoder base; /* first, so that a pointer to it is one to this */
    struct encoder_info info;
    struct llama_model *model;
    struct llama_context *context;
    struct llama_batch batch; /* of info.rows_max rows */
};

static struct llama_encoder *llama_of(struct encoder *c)
{
    return (struct llama_encoder *)c;
}

static const struct llama_encoder *const_llama_of(const struct encoder *c)
{
    return (const struct llama_encoder *)c;
}

/* ---- Computing ---- */

static void llama_info(const struct encoder *c, struct encoder_info *out)
{
    *out = const_llama_of(c)->info;
}

static int llama_tokens(const struct encoder *c, struct str text, struct tokens *out,
                        struct error *e)
{
    const struct llama_vocab *vocab = llama_model_get_vocab(const_llama_of(c)->model);
    struct bridge_text in = { text.p, text.len };

    if (text.len > INT32_MAX / 2)
        return error_set(e, ERROR_INVALID_ARGUMENT, "The text is too long.");
    int32_t cap = (int32_t)text.len + 8;
    int32_t count = bridge_tokenize_ends(vocab, in, tokens_reserve(out, (uint32_t)cap), cap);
    if (count < 0)
        return error_set(e, ERROR_INTERNAL, "The text cannot be tokenized (libllama: %d).", count);
    out->count += (uint32_t)count;
    return 0;
}

static int llama_forward(struct encoder *c, const struct encoder_text *text, uint32_t count,
                         float *out, struct error *e)
{
    struct llama_encoder *l = llama_of(c);
    struct llama_batch *b = &l->batch;
    const uint32_t width = l->info.dimensions;

    b->n_tokens = 0;
    for (uint32_t t = 0; t < count; t++)
        for (uint32_t i = 0; i < text[t].count; i++) {
            int32_t at = b->n_tokens++;
            b->token[at] = text[t].token[i];
            b->pos[at] = (llama_pos)i;
            b->n_seq_id[at] = 1;
            b->seq_id[at][0] = (llama_seq_id)t;
            b->logits[at] = true;
        }
    int32_t rc = bridge_decode(l->context, *b);
    if (rc != 0)
        return error_set(e, ERROR_INTERNAL, "The embedded engine failed (libllama: %d).", rc);
    for (uint32_t t = 0; t < count; t++, out += width) {
        const float *vector = llama_get_embeddings_seq(l->context, (llama_seq_id)t);
        if (!vector)
            return error_set(e, ERROR_INTERNAL, "The embedded engine made no vector.");
        memcpy(out, vector, width * sizeof *out);
        encoder_normalise(out, width);
    }
    return 0;
}

static void llama_close(struct encoder *c)
{
    struct llama_encoder *l = llama_of(c);

    if (l->batch.token)
        llama_batch_free(l->batch);
    if (l->context)
        llama_free(l->context);
    if (l->model)
        llama_model_free(l->model);
    mem_free(l);
}

static const struct encoder_ops llama_ops = {
    .name = "llama",
    .info = llama_info,
    .tokenize = llama_tokens,
    .forward = llama_forward,
    .close = llama_close,
};

/* ---- Opening ---- */

static int load(struct llama_encoder *l, const struct model *m, struct error *e)
{
    struct llama_model_params params = llama_model_default_params();
    struct llama_errors errors = { "" };

    bridge_quiet();
    llama_errors_catch(&errors);
    llama_backend_init();
    params.n_gpu_layers = 0;
    l->model = llama_model_load_from_file(m->file, params);
    llama_errors_catch(NULL);
    if (!l->model)
        return error_set(e, ERROR_FAILED_PRECONDITION, "%s cannot be loaded: %s", m->file,
                         errors.last[0] ? errors.last : "it is damaged or of an unknown kind");
    return 0;
}

static int make_context(struct llama_encoder *l, const struct model *m, struct error *e)
{
    const struct runtime_settings settings = { .threads = m->threads };
    struct llama_context_params p = llama_context_default_params();
    struct llama_errors errors = { "" };

    p.n_ctx = p.n_batch = p.n_ubatch = l->info.rows_max;
    p.n_seq_max = l->info.texts_max;
    p.n_threads = p.n_threads_batch = (int32_t)plan_threads(&settings);
    p.embeddings = true;
    p.kv_unified = true;
    p.no_perf = true;
    llama_errors_catch(&errors);
    l->context = llama_init_from_model(l->model, p);
    if (l->context && llama_pooling_type(l->context) == LLAMA_POOLING_TYPE_NONE) {
        llama_free(l->context);
        p.pooling_type = LLAMA_POOLING_TYPE_MEAN;
        l->context = llama_init_from_model(l->model, p);
    }
    llama_errors_catch(NULL);
    if (!l->context)
        return error_set(e, ERROR_RESOURCE_EXHAUSTED, "no context of %u tokens could be made: %s",
                         l->info.rows_max, errors.last[0] ? errors.last : "out of memory");
    return 0;
}

static int open_all(struct llama_encoder *l, const struct model *m, struct error *e)
{
    if (m->adapters.count)
        return error_set(e, ERROR_UNIMPLEMENTED,
                         "adapters of a model that embeds are not supported");
    if (load(l, m, e) < 0)
        return -1;
    uint32_t trained = (uint32_t)llama_model_n_ctx_train(l->model);
    if (m->context > trained)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "context %u: the model was trained for %u tokens", m->context, trained);
    l->info.tokens_max = m->context ? m->context : trained < TOKENS_MAX ? trained : TOKENS_MAX;
    l->info.rows_max = l->info.tokens_max > ROWS ? l->info.tokens_max : ROWS;
    l->info.texts_max = TEXTS;
    l->info.dimensions = (uint32_t)llama_model_n_embd(l->model);
    l->info.memory_bytes = llama_model_size(l->model);
    encoder_name(m->file, l->info.name, sizeof l->info.name);
    if (make_context(l, m, e) < 0)
        return -1;
    l->batch = llama_batch_init((int32_t)l->info.rows_max, 0, 1);
    return 0;
}

struct encoder *encoder_llama_open(const struct model *m, struct error *e)
{
    struct llama_encoder *l = mem_alloc(sizeof *l);

    l->base.ops = &llama_ops;
    if (open_all(l, m, e) < 0) {
        (void)error_wrap(e, "model %s", m->pattern);
        llama_close(&l->base);
        return NULL;
    }
    return &l->base;
}
