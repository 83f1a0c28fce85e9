/* tiny_model.h -- GGUF files of a few layers with weights by chance, of every architecture and format.
 *
 * Why: whether an architecture is computed as libllama computes it must not depend on which models
 * somebody has downloaded.
 *
 * Threads: one. Include after cmocka.h.
 */
#ifndef TRANCHE_TESTS_TINY_MODEL_H
#define TRANCHE_TESTS_TINY_MODEL_H

#include <stdio.h>
#include <string.h>

#include <ggml.h>
#include <gguf.h>

#include "base/mem.h"

#define TINY_WIDTH 256
#define TINY_HEADS 4
#define TINY_KV_HEADS 2
#define TINY_DIM 64
#define TINY_HIDDEN 512
#define TINY_VOCAB 300
#define TINY_LAYERS 7
#define TINY_CONTEXT 512
#define TINY_WINDOW 40
#define TINY_BYTES ((size_t)64 * 1024 * 1024)

struct tiny {
    const char *architecture;
    enum ggml_type type; /* of matrices */
    bool bias, head_norms, after_norms, own_output, divisors;
};

struct tiny_file {
    struct gguf_context *file;
    struct ggml_context *memory;
    uint64_t chance;
};

static inline float tiny_chance(struct tiny_file *t)
{
    t->chance = t->chance * 6364136223846793005ULL + 1442695040888963407ULL;
    return (float)(int32_t)(t->chance >> 32) * 0x1p-31f;
}

/* Around `middle`, at most `size` from it. */
static inline void tiny_tensor(struct tiny_file *t, const char *name, enum ggml_type type,
                               int64_t columns, int64_t rows, float middle, float size)
{
    struct ggml_tensor *tensor = rows > 1 ? ggml_new_tensor_2d(t->memory, type, columns, rows)
                                          : ggml_new_tensor_1d(t->memory, type, columns);
    float *x = mem_array((size_t)(columns * rows), sizeof *x);

    for (int64_t i = 0; i < columns * rows; i++)
        x[i] = middle + size * tiny_chance(t);
    if (type == GGML_TYPE_F32)
        memcpy(tensor->data, x, (size_t)(columns * rows) * sizeof *x);
    else
        (void)ggml_quantize_chunk(type, x, tensor->data, 0, rows, columns, NULL);
    ggml_set_name(tensor, name);
    gguf_add_tensor(t->file, tensor);
    mem_free(x);
}

static inline void tiny_number(struct tiny_file *t, const struct tiny *as, const char *key,
                               uint32_t value)
{
    char full[96];

    (void)snprintf(full, sizeof full, "%s.%s", as->architecture, key);
    gguf_set_val_u32(t->file, full, value);
}

static inline void tiny_real(struct tiny_file *t, const struct tiny *as, const char *key,
                             float value)
{
    char full[96];

    (void)snprintf(full, sizeof full, "%s.%s", as->architecture, key);
    gguf_set_val_f32(t->file, full, value);
}

static inline void tiny_metadata(struct tiny_file *t, const struct tiny *as)
{
    gguf_set_val_str(t->file, "general.architecture", as->architecture);
    gguf_set_val_str(t->file, "tokenizer.ggml.model", "no_vocab");
    tiny_number(t, as, "vocab_size", TINY_VOCAB);
    tiny_number(t, as, "block_count", TINY_LAYERS);
    tiny_number(t, as, "context_length", TINY_CONTEXT);
    tiny_number(t, as, "embedding_length", TINY_WIDTH);
    tiny_number(t, as, "feed_forward_length", TINY_HIDDEN);
    tiny_number(t, as, "attention.head_count", TINY_HEADS);
    tiny_number(t, as, "attention.head_count_kv", TINY_KV_HEADS);
    tiny_number(t, as, "attention.key_length", TINY_DIM);
    tiny_number(t, as, "attention.value_length", TINY_DIM);
    tiny_real(t, as, "attention.layer_norm_rms_epsilon", 1e-5f);
    tiny_real(t, as, "rope.freq_base", 50000.0f);
    if (as->after_norms) {
        tiny_number(t, as, "attention.sliding_window", TINY_WINDOW);
        tiny_real(t, as, "rope.scaling.factor", 4.0f);
        gguf_set_val_str(t->file, "gemma3.rope.scaling.type", "linear");
    }
}

static inline void tiny_layer(struct tiny_file *t, const struct tiny *as, int layer)
{
    const struct {
        const char *name;
        int64_t columns, rows;
        bool wanted;
        float middle, size;
    } parts[] = {
        { "attn_norm.weight", TINY_WIDTH, 1, true, 1.0f, 0.2f },
        { "ffn_norm.weight", TINY_WIDTH, 1, true, 1.0f, 0.2f },
        { "attn_q_norm.weight", TINY_DIM, 1, as->head_norms, 1.0f, 0.2f },
        { "attn_k_norm.weight", TINY_DIM, 1, as->head_norms, 1.0f, 0.2f },
        { "post_attention_norm.weight", TINY_WIDTH, 1, as->after_norms, 1.0f, 0.2f },
        { "post_ffw_norm.weight", TINY_WIDTH, 1, as->after_norms, 1.0f, 0.2f },
        { "attn_q.weight", TINY_WIDTH, TINY_HEADS * TINY_DIM, true, 0.0f, 0.15f },
        { "attn_k.weight", TINY_WIDTH, TINY_KV_HEADS * TINY_DIM, true, 0.0f, 0.15f },
        { "attn_v.weight", TINY_WIDTH, TINY_KV_HEADS * TINY_DIM, true, 0.0f, 0.1f },
        { "attn_output.weight", TINY_HEADS * TINY_DIM, TINY_WIDTH, true, 0.0f, 0.1f },
        { "ffn_gate.weight", TINY_WIDTH, TINY_HIDDEN, true, 0.0f, 0.1f },
        { "ffn_up.weight", TINY_WIDTH, TINY_HIDDEN, true, 0.0f, 0.1f },
        { "ffn_down.weight", TINY_HIDDEN, TINY_WIDTH, true, 0.0f, 0.1f },
        { "attn_q.bias", TINY_HEADS * TINY_DIM, 1, as->bias, 0.0f, 0.5f },
        { "attn_k.bias", TINY_KV_HEADS * TINY_DIM, 1, as->bias, 0.0f, 0.5f },
        { "attn_v.bias", TINY_KV_HEADS * TINY_DIM, 1, as->bias, 0.0f, 0.5f },
    };
    char name[96];

    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        if (!parts[i].wanted)
            continue;
        (void)snprintf(name, sizeof name, "blk.%d.%s", layer, parts[i].name);
        tiny_tensor(t, name, parts[i].rows > 1 ? as->type : GGML_TYPE_F32, parts[i].columns,
                    parts[i].rows, parts[i].middle, parts[i].size);
    }
}

static inline void tiny_write(const struct tiny *as, const char *path)
{
    struct ggml_init_params params = { TINY_BYTES, NULL, false };
    struct tiny_file t = { gguf_init_empty(), ggml_init(params), 7 };

    tiny_metadata(&t, as);
    tiny_tensor(&t, "token_embd.weight", as->type, TINY_WIDTH, TINY_VOCAB, 0.0f, 1.0f);
    tiny_tensor(&t, "output_norm.weight", GGML_TYPE_F32, TINY_WIDTH, 1, 1.0f, 0.2f);
    if (as->own_output)
        tiny_tensor(&t, "output.weight", as->type, TINY_WIDTH, TINY_VOCAB, 0.0f, 0.2f);
    if (as->divisors)
        tiny_tensor(&t, "rope_freqs.weight", GGML_TYPE_F32, TINY_DIM / 2, 1, 3.0f, 2.0f);
    for (int i = 0; i < TINY_LAYERS; i++)
        tiny_layer(&t, as, i);
    assert_true(gguf_write_to_file(t.file, path, false));
    gguf_free(t.file);
    ggml_free(t.memory);
}

/* ---- Adapters ---- */

struct tiny_adapter {
    uint32_t rank, chance;
    float alpha;
    float size;         /* of B: how far from zero */
    const char *only;   /* a matrix such as "attn_q"; NULL: all of the layers */
    const char *output; /* "output": this matrix too; or NULL */
    const char *odd;    /* for errors: architecture; or NULL */
};

static inline void tiny_pair(struct tiny_file *t, const struct tiny_adapter *as, const char *matrix,
                             int64_t columns, int64_t outputs)
{
    struct ggml_tensor *tensor;
    char name[96];

    for (int which = 0; which < 2; which++) {
        const int64_t in = which ? as->rank : columns, out = which ? outputs : as->rank;
        tensor = ggml_new_tensor_2d(t->memory, GGML_TYPE_F32, in, out);
        for (int64_t i = 0; i < in * out; i++)
            ((float *)tensor->data)[i] = (which ? as->size : 0.1f) * tiny_chance(t);
        (void)snprintf(name, sizeof name, "%s.weight.lora_%c", matrix, which ? 'b' : 'a');
        ggml_set_name(tensor, name);
        gguf_add_tensor(t->file, tensor);
    }
}

static inline void tiny_adapter_write(const struct tiny *of, const struct tiny_adapter *as,
                                      const char *path)
{
    const struct {
        const char *name;
        int64_t columns, outputs;
    } parts[] = {
        { "attn_q", TINY_WIDTH, TINY_HEADS * TINY_DIM },
        { "attn_k", TINY_WIDTH, TINY_KV_HEADS * TINY_DIM },
        { "attn_v", TINY_WIDTH, TINY_KV_HEADS * TINY_DIM },
        { "attn_output", TINY_HEADS * TINY_DIM, TINY_WIDTH },
        { "ffn_gate", TINY_WIDTH, TINY_HIDDEN },
        { "ffn_up", TINY_WIDTH, TINY_HIDDEN },
        { "ffn_down", TINY_HIDDEN, TINY_WIDTH },
    };
    struct ggml_init_params params = { TINY_BYTES, NULL, false };
    struct tiny_file t = { gguf_init_empty(), ggml_init(params), as->chance };
    char name[64];

    gguf_set_val_str(t.file, "general.type", "adapter");
    gguf_set_val_str(t.file, "general.architecture", as->odd ? as->odd : of->architecture);
    gguf_set_val_str(t.file, "adapter.type", "lora");
    gguf_set_val_f32(t.file, "adapter.lora.alpha", as->alpha);
    for (int layer = 0; layer < TINY_LAYERS; layer++)
        for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
            if (as->only && strcmp(as->only, parts[i].name) != 0)
                continue;
            (void)snprintf(name, sizeof name, "blk.%d.%s", layer, parts[i].name);
            tiny_pair(&t, as, name, parts[i].columns, parts[i].outputs);
        }
    if (as->output)
        tiny_pair(&t, as, as->output, TINY_WIDTH, TINY_VOCAB);
    assert_true(gguf_write_to_file(t.file, path, false));
    gguf_free(t.file);
    ggml_free(t.memory);
}

#endif
