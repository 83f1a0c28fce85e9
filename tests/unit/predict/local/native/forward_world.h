/* forward_world.h -- a tiny model, its forward, and the same by libllama, for tests.
 *
 * Threads: one. Include after cmocka.h.
 */
#ifndef TRANCHE_TESTS_FORWARD_WORLD_H
#define TRANCHE_TESTS_FORWARD_WORLD_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <llama.h>

#include "base/mem.h"
#include "base/sys.h"
#include "predict/local/native/forward.h"
#include "unit/predict/local/tiny_model.h"

#define SEQUENCES 8
#define ROWS_MAX 256
#define TOKENS 150 /* more than two pages and than a window */

static const struct tiny architectures[] = {
    { .architecture = "llama", .type = GGML_TYPE_Q8_0 },
    { .architecture = "llama", .type = GGML_TYPE_Q8_0, .own_output = true, .divisors = true },
    { .architecture = "qwen2", .type = GGML_TYPE_Q8_0, .bias = true },
    { .architecture = "qwen3", .type = GGML_TYPE_Q8_0, .head_norms = true },
    { .architecture = "gemma3", .type = GGML_TYPE_Q8_0, .head_norms = true, .after_norms = true },
};
#define ARCHITECTURES (ARRAY_LEN(architectures))

/* ---- A model in a folder ---- */

struct world {
    char dir[32], file[64];
    struct decoder *decoder;
    struct page_cache *cache;
    struct team *team;
    struct lora_table *adapters;
    struct forward *forward;
};

static inline void world_open(struct world *w, const struct tiny *as, uint32_t threads)
{
    struct error e = { 0 };

    (void)snprintf(w->dir, sizeof w->dir, "/tmp/tranche-test-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    (void)snprintf(w->file, sizeof w->file, "%s/tiny.gguf", w->dir);
    tiny_write(as, w->file);
    w->decoder = decoder_open(w->file, kernel_best(false)->layout.format, 0, &e);
    if (!w->decoder)
        fail_msg("%s: %s", as->architecture, e.msg);
    decoder_make_rope(w->decoder, TINY_CONTEXT);
    w->team = team_new(threads, &e);
    const struct page_shape shape = { 64, SEQUENCES, TINY_CONTEXT, TINY_LAYERS * TINY_KV_HEADS,
                                      TINY_DIM };
    w->cache = page_cache_new(&shape);
    w->adapters = lora_table_new();
    const struct forward_setup setup = { w->decoder, kernel_best(false), w->cache,   w->team,
                                         ROWS_MAX,   SEQUENCES,          w->adapters };
    w->forward = forward_new(&setup);
}

static inline void world_close(struct world *w)
{
    struct error e = { 0 };

    forward_free(w->forward);
    team_free(w->team);
    page_cache_free(w->cache);
    lora_table_free(w->adapters);
    decoder_free(w->decoder);
    assert_int_equal(sys_remove_all(w->dir, &e), 0);
}

static inline int32_t token_at(uint32_t sequence, uint32_t position)
{
    return (int32_t)((position * 37 + sequence * 101 + position * position) % TINY_VOCAB);
}

/* Rows [from, to) of a sequence, whose tokens are those of sequence `like`; the last wants logits. */
static inline uint32_t add_rows(struct runtime_row *row, uint32_t sequence, uint32_t like,
                                uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++)
        *row++ = (struct runtime_row){
            .token = token_at(like, i), .sequence = sequence, .position = i, .logits = i + 1 == to
        };
    return to - from;
}

static inline void compute(struct world *w, const struct runtime_row *row, uint32_t count)
{
    struct error e = { 0 };

    if (page_cache_reserve(w->cache, row, count, &e) < 0)
        fail_msg("%s", e.msg);
    forward_compute(w->forward, row, count);
}

/* The logits after TOKENS of sequence 0, computed alone. */
static inline float *alone(struct world *w)
{
    struct runtime_row row[ROWS_MAX];
    float *out = mem_array(TINY_VOCAB, sizeof *out);

    compute(w, row, add_rows(row, 0, 0, 0, TOKENS));
    memcpy(out, forward_logits(w->forward, TOKENS - 1), TINY_VOCAB * sizeof *out);
    page_cache_trim(w->cache, 0, 0);
    return out;
}

/* ---- As libllama ---- */

/* adapter: a file, or NULL. */
static inline float *by_libllama(const char *file, const char *adapter)
{
    struct llama_model_params mp = llama_model_default_params();
    struct llama_context_params cp = llama_context_default_params();
    struct llama_batch b = llama_batch_init(TOKENS, 0, 1);
    float *out = mem_array(TINY_VOCAB, sizeof *out);

    struct llama_model *m = llama_model_load_from_file(file, mp);
    assert_non_null(m);
    cp.n_ctx = TINY_CONTEXT;
    cp.n_batch = cp.n_ubatch = ROWS_MAX;
    cp.n_threads = cp.n_threads_batch = 1;
    struct llama_context *c = llama_init_from_model(m, cp);
    assert_non_null(c);
    if (adapter) {
        float scale = 1.0f;
        struct llama_adapter_lora *a = llama_adapter_lora_init(m, adapter);
        assert_non_null(a);
        assert_int_equal(llama_set_adapters_lora(c, &a, 1, &scale), 0);
    }
    for (int i = 0; i < TOKENS; i++) {
        b.token[i] = token_at(0, (uint32_t)i);
        b.pos[i] = i;
        b.n_seq_id[i] = 1;
        b.seq_id[i][0] = 0;
        b.logits[i] = i + 1 == TOKENS;
    }
    b.n_tokens = TOKENS;
    assert_int_equal(llama_decode(c, b), 0);
    memcpy(out, llama_get_logits_ith(c, TOKENS - 1), TINY_VOCAB * sizeof *out);
    llama_batch_free(b);
    llama_free(c);
    llama_model_free(m);
    return out;
}

/* The cosine of the angle between two rows of logits. A forward that differs in anything but rounding
 * gives next to nothing; int8 products lose about as much here as libllama's Q8_0 does against F32. */
static inline double likeness(const float *a, const float *b, uint32_t count)
{
    double ab = 0.0, aa = 0.0, bb = 0.0;

    for (uint32_t i = 0; i < count; i++) {
        ab += (double)a[i] * (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    return ab / sqrt(aa * bb);
}

static inline void drop_log(enum ggml_log_level level, const char *text, void *arg)
{
    (void)level;
    (void)text;
    (void)arg;
}

#endif
