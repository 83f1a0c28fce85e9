#include "predict/local/native/decoder.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <ggml.h>
#include <gguf.h>

#include "base/mem.h"
#include "predict/local/native/tensor_file.h"
#include "predict/local/native/weight_store.h"

#define NAME_BYTES 96
#define Q8_0_BYTES 34 /* of a group: a half and 32 of int8 */
#define Q4_0_BYTES 18 /* of a group: a half and 32 of four bits, less 8 */
/* Bytes of a tensor that are read at once, but a row at least. */
#define READ_BYTES ((size_t)1024 * 1024)

/* The traits of an architecture; the rest is in the file. */
struct kind {
    const char *name;
    enum kernel_gate gate;
    bool rope_interleaved, has_bias, has_head_norms, has_post_norms, scales_embedding;
    uint32_t window_every; /* one layer in this many looks back over everything; 0: all do */
};

static const struct kind kinds[] = {
    { .name = "llama", .gate = KERNEL_SILU, .rope_interleaved = true },
    { .name = "qwen2", .gate = KERNEL_SILU, .has_bias = true },
    { .name = "qwen3", .gate = KERNEL_SILU, .has_head_norms = true },
    { .name = "gemma3",
      .gate = KERNEL_GELU,
      .has_head_norms = true,
      .has_post_norms = true,
      .scales_embedding = true,
      .window_every = 6 },
};

struct reader {
    struct tensor_file in;
    const struct kind *kind;
    enum kernel_format format;
    struct weight_store *store; /* NULL: matrices have memory of their own */
};

/* ---- Metadata ---- */

static int64_t find_key(const struct reader *r, const char *key)
{
    char full[NAME_BYTES];

    assert(r->kind);
    (void)snprintf(full, sizeof full, "%s.%s", r->kind->name, key);
    return gguf_find_key(r->in.file, full);
}

/* A number of the architecture; `otherwise` when the key is absent or of another type. */
static uint32_t number(const struct reader *r, const char *key, uint32_t otherwise)
{
    int64_t at = find_key(r, key);

    if (at < 0 || gguf_get_kv_type(r->in.file, at) != GGUF_TYPE_UINT32)
        return otherwise;
    return gguf_get_val_u32(r->in.file, at);
}

static float real(const struct reader *r, const char *key, float otherwise)
{
    int64_t at = find_key(r, key);

    if (at < 0 || gguf_get_kv_type(r->in.file, at) != GGUF_TYPE_FLOAT32)
        return otherwise;
    return gguf_get_val_f32(r->in.file, at);
}

static int refuse(const char *what, struct error *e)
{
    return error_set(e, ERROR_UNIMPLEMENTED, "%s", what);
}

static int find_kind(struct reader *r, struct error *e)
{
    int64_t at = gguf_find_key(r->in.file, "general.architecture");

    if (at < 0 || gguf_get_kv_type(r->in.file, at) != GGUF_TYPE_STRING)
        return refuse("no architecture", e);
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (strcmp(gguf_get_val_str(r->in.file, at), kinds[i].name) == 0)
            r->kind = &kinds[i];
    if (!r->kind)
        return error_set(e, ERROR_UNIMPLEMENTED, "architecture %.40s",
                         gguf_get_val_str(r->in.file, at));
    return 0;
}

static int read_rope(const struct reader *r, struct decoder_shape *s, struct error *e)
{
    int64_t scaling = find_key(r, "rope.scaling.type");
    float factor = real(r, "rope.scaling.factor", real(r, "rope.scale_linear", 0.0f));

    if (scaling >= 0 && gguf_get_kv_type(r->in.file, scaling) == GGUF_TYPE_STRING &&
        strcmp(gguf_get_val_str(r->in.file, scaling), "linear") != 0 &&
        strcmp(gguf_get_val_str(r->in.file, scaling), "none") != 0)
        return refuse("a RoPE scaling that is not linear", e);
    if (number(r, "rope.dimension_count", s->dim) != s->dim)
        return refuse("RoPE over a part of a head", e);
    s->rope_base = real(r, "rope.freq_base", 10000.0f);
    s->rope_scale = factor > 0.0f ? 1.0f / factor : 1.0f;
    s->window_rope_base = real(r, "rope.freq_base_swa", 10000.0f);
    s->rope_interleaved = r->kind->rope_interleaved;
    return 0;
}

static int read_numbers(const struct reader *r, struct decoder_shape *s, struct error *e)
{
    s->layers = number(r, "block_count", 0);
    s->width = number(r, "embedding_length", 0);
    s->heads = number(r, "attention.head_count", 0);
    s->kv_heads = number(r, "attention.head_count_kv", s->heads);
    s->hidden = number(r, "feed_forward_length", 0);
    s->positions = number(r, "context_length", 0);
    s->dim = number(r, "attention.key_length", s->heads ? s->width / s->heads : 0);
    s->norm_epsilon = real(r, "attention.layer_norm_rms_epsilon", 0.0f);
    if (number(r, "attention.value_length", s->dim) != s->dim)
        return refuse("keys and values of different sizes", e);
    if (number(r, "expert_count", 0) || find_key(r, "final_logit_softcapping") >= 0 ||
        find_key(r, "attention.scale") >= 0)
        return refuse("experts, capped logits or an attention scale", e);
    if (!s->layers || s->layers > DECODER_LAYERS_MAX || !s->heads || !s->kv_heads ||
        s->heads % s->kv_heads || !s->positions || s->positions > DECODER_POSITIONS_MAX)
        return refuse("a number of layers, heads or positions that is out of range", e);
    if (!s->width || s->width > DECODER_WIDTH_MAX || s->width % KERNEL_GROUP || !s->hidden ||
        s->hidden > DECODER_WIDTH_MAX || s->hidden % KERNEL_GROUP)
        return refuse("a width that is out of range or no multiple of 32", e);
    if (!s->dim || s->dim % KERNEL_CHUNK || s->dim > DECODER_WIDTH_MAX / s->heads / 2)
        return refuse("a size of heads that is out of range or no multiple of 64", e);
    return 0;
}

static int read_shape(const struct reader *r, struct decoder_shape *s, struct error *e)
{
    if (read_numbers(r, s, e) < 0 || read_rope(r, s, e) < 0)
        return -1;
    if (find_key(r, "attention.sliding_window_pattern") >= 0)
        return refuse("a pattern of sliding windows of its own", e);
    s->architecture = r->kind->name;
    s->gate = r->kind->gate;
    s->window = r->kind->window_every ? number(r, "attention.sliding_window", 0) : 0;
    s->embedding_scale = r->kind->scales_embedding ? sqrtf((float)s->width) : 1.0f;
    s->query_scale = 1.0f / sqrtf((float)s->dim);
    if (r->kind->window_every && s->layers == 62) /* Gemma 3 27B */
        s->query_scale = 1.0f / sqrtf((float)s->width / (float)s->heads);
    return 0;
}

/* ---- Tensors ---- */

static float scale_of(const uint8_t *group)
{
    ggml_fp16_t half;

    memcpy(&half, group, sizeof half);
    return ggml_fp16_to_fp32(half);
}

static void pack_q8_0(struct kernel_weights *w, uint32_t output, const uint8_t *row)
{
    int8_t value[KERNEL_GROUP];

    for (uint32_t g = 0; g < w->columns / KERNEL_GROUP; g++, row += Q8_0_BYTES) {
        memcpy(value, row + sizeof(ggml_fp16_t), sizeof value);
        kernel_weights_set(w, output, g, value, scale_of(row));
    }
}

static void pack_q4_0(struct kernel_weights *w, uint32_t output, const uint8_t *row)
{
    int8_t value[KERNEL_GROUP];

    for (uint32_t g = 0; g < w->columns / KERNEL_GROUP; g++, row += Q4_0_BYTES) {
        for (uint32_t i = 0; i < KERNEL_GROUP / 2; i++) {
            uint8_t two = row[sizeof(ggml_fp16_t) + i];
            value[i] = (int8_t)((two & 15) - 8);
            value[i + KERNEL_GROUP / 2] = (int8_t)((two >> 4) - 8);
        }
        kernel_weights_set(w, output, g, value, scale_of(row));
    }
}

/* One row of a tensor becomes an output; `floats` is scratch for a row. */
static void pack_row(struct kernel_weights *w, uint32_t output, enum ggml_type type,
                     const uint8_t *row, float *floats)
{
    if (type == GGML_TYPE_Q8_0) {
        pack_q8_0(w, output, row);
    } else if (type == GGML_TYPE_Q4_0) {
        pack_q4_0(w, output, row);
    } else {
        tensor_floats(type, row, floats, w->columns);
        kernel_weights_quantise(w, output, floats);
    }
}

/* Memory for a matrix: of the store, while it has room. */
static void make_weights(struct reader *r, struct kernel_weights *w, uint32_t outputs,
                         uint32_t columns)
{
    const struct kernel_weights sizes = { .outputs = outputs,
                                          .columns = columns,
                                          .format = r->format };
    void *memory = r->store ? weight_store_take(r->store, kernel_weights_bytes(&sizes)) : NULL;

    if (memory)
        kernel_weights_place(w, r->format, outputs, columns, memory);
    else
        kernel_weights_init(w, r->format, outputs, columns);
}

/* The destination of a tensor's rows: outputs from `first` on; unless dim is 0, pairs of heads of dim
 * go half a head apart. */
struct target {
    struct kernel_weights *w;
    uint32_t first, dim;
};

static int pack_tensor(struct reader *r, const char *name, uint32_t rows, struct target to,
                       struct error *e)
{
    int64_t at = tensor_find(&r->in, name, to.w->columns, rows, e);
    int rc = 0;

    if (at < 0)
        return -1;
    if (to.w->borrowed && weight_store_is_full(r->store))
        return 0;
    size_t bytes = tensor_row_bytes(&r->in, at);
    uint32_t together = bytes < READ_BYTES ? (uint32_t)(READ_BYTES / bytes) : 1;
    uint8_t *raw = mem_array(together, bytes);
    float *floats = mem_array(to.w->columns, sizeof *floats);
    for (uint32_t i = 0; i < rows && rc == 0; i += together) {
        uint32_t count = rows - i < together ? rows - i : together;
        rc = tensor_read(&r->in, at, i * bytes, raw, count * bytes, e);
        for (uint32_t k = 0; k < count && rc == 0; k++)
            pack_row(to.w, to.first + (to.dim ? tensor_half_apart(i + k, to.dim) : i + k),
                     gguf_get_tensor_type(r->in.file, at), raw + k * bytes, floats);
    }
    mem_free(raw);
    mem_free(floats);
    return rc;
}

static int read_vector(struct reader *r, const char *name, uint32_t count, float **out,
                       struct error *e)
{
    *out = mem_array(count, sizeof **out);
    return tensor_read_floats(&r->in, name, count, *out, e);
}

/* ---- A layer ---- */

static const char *layer_name(char name[NAME_BYTES], uint32_t layer, const char *part)
{
    (void)snprintf(name, NAME_BYTES, "blk.%u.%s", layer, part);
    return name;
}

/* Puts floats in the order in which tensor_half_apart puts the rows of heads. */
static void spread_pairs(float *x, uint32_t count, uint32_t dim)
{
    float *copy = mem_array(count, sizeof *copy);

    memcpy(copy, x, count * sizeof *x);
    for (uint32_t i = 0; i < count; i++)
        x[tensor_half_apart(i, dim)] = copy[i];
    mem_free(copy);
}

static int read_bias(struct reader *r, const struct decoder_shape *s, uint32_t i,
                     struct decoder_layer *l, struct error *e)
{
    const uint32_t queries = s->heads * s->dim, keys = s->kv_heads * s->dim;
    char name[NAME_BYTES];

    if (gguf_find_tensor(r->in.file, layer_name(name, i, "attn_q.bias")) < 0)
        return 0;
    l->bias = mem_array(queries + 2 * (size_t)keys, sizeof *l->bias);
    if (tensor_read_floats(&r->in, name, queries, l->bias, e) < 0 ||
        tensor_read_floats(&r->in, layer_name(name, i, "attn_k.bias"), keys, l->bias + queries, e) <
            0 ||
        tensor_read_floats(&r->in, layer_name(name, i, "attn_v.bias"), keys,
                           l->bias + queries + keys, e) < 0)
        return -1;
    if (s->rope_interleaved)
        spread_pairs(l->bias, queries + keys, s->dim);
    return 0;
}

static int read_attention(struct reader *r, const struct decoder_shape *s, uint32_t i,
                          struct decoder_layer *l, struct error *e)
{
    const uint32_t queries = s->heads * s->dim, keys = s->kv_heads * s->dim;
    const uint32_t pairs = s->rope_interleaved ? s->dim : 0;
    char name[NAME_BYTES];

    const struct {
        const char *name;
        uint32_t rows;
        struct target to;
    } parts[] = {
        { "attn_q.weight", queries, { &l->qkv, 0, pairs } },
        { "attn_k.weight", keys, { &l->qkv, queries, pairs } },
        { "attn_v.weight", keys, { &l->qkv, queries + keys, 0 } },
        { "attn_output.weight", s->width, { &l->attention_out, 0, 0 } },
    };

    make_weights(r, &l->qkv, queries + 2 * keys, s->width);
    make_weights(r, &l->attention_out, s->width, queries);
    for (size_t n = 0; n < ARRAY_LEN(parts); n++)
        if (pack_tensor(r, layer_name(name, i, parts[n].name), parts[n].rows, parts[n].to, e) < 0)
            return -1;
    return read_bias(r, s, i, l, e);
}

static int read_hidden(struct reader *r, const struct decoder_shape *s, uint32_t i,
                       struct decoder_layer *l, struct error *e)
{
    const struct {
        const char *name;
        uint32_t rows, columns;
        struct kernel_weights *to;
    } parts[] = {
        { "ffn_gate.weight", s->hidden, s->width, &l->gate },
        { "ffn_up.weight", s->hidden, s->width, &l->up },
        { "ffn_down.weight", s->width, s->hidden, &l->down },
    };
    char name[NAME_BYTES];

    for (size_t n = 0; n < ARRAY_LEN(parts); n++) {
        const struct target to = { parts[n].to, 0, 0 };
        make_weights(r, to.w, parts[n].rows, parts[n].columns);
        if (pack_tensor(r, layer_name(name, i, parts[n].name), parts[n].rows, to, e) < 0)
            return -1;
    }
    return 0;
}

static int read_norms(struct reader *r, const struct decoder_shape *s, uint32_t i,
                      struct decoder_layer *l, struct error *e)
{
    const struct {
        const char *name;
        bool wanted;
        uint32_t count;
        float **to;
    } norms[] = {
        { "attn_norm.weight", true, s->width, &l->attention_norm },
        { "ffn_norm.weight", true, s->width, &l->ffn_norm },
        { "attn_q_norm.weight", r->kind->has_head_norms, s->dim, &l->query_norm },
        { "attn_k_norm.weight", r->kind->has_head_norms, s->dim, &l->key_norm },
        { "post_attention_norm.weight", r->kind->has_post_norms, s->width,
          &l->attention_post_norm },
        { "post_ffw_norm.weight", r->kind->has_post_norms, s->width, &l->ffn_post_norm },
    };
    char name[NAME_BYTES];

    for (size_t n = 0; n < ARRAY_LEN(norms); n++)
        if (norms[n].wanted &&
            read_vector(r, layer_name(name, i, norms[n].name), norms[n].count, norms[n].to, e) < 0)
            return -1;
    return 0;
}

static uint64_t layer_bytes(const struct decoder_layer *l)
{
    return kernel_weights_bytes(&l->qkv) + kernel_weights_bytes(&l->attention_out) +
           kernel_weights_bytes(&l->gate) + kernel_weights_bytes(&l->up) +
           kernel_weights_bytes(&l->down);
}

static int read_layer(struct reader *r, struct decoder *d, uint32_t i, struct error *e)
{
    const struct decoder_shape *s = &d->shape;
    struct decoder_layer *l = &d->layer[i];

    l->windowed = s->window && (i + 1) % r->kind->window_every != 0;
    if (read_norms(r, s, i, l, e) < 0 || read_attention(r, s, i, l, e) < 0 ||
        read_hidden(r, s, i, l, e) < 0)
        return -1;
    d->bytes += layer_bytes(l);
    return 0;
}

/* ---- The whole ---- */

/* A file cannot claim more weights than it has bits, or it could make us reserve any amount. */
static int check_size(const struct reader *r, const struct decoder_shape *s, struct error *e)
{
    const uint64_t heads = 2ULL * (s->heads + s->kv_heads) * s->dim;
    const uint64_t layer = (heads + 3ULL * s->hidden) * s->width;
    off_t bytes = lseek(r->in.fd, 0, SEEK_END);

    if (bytes < 0)
        return error_errno(e, "%s", r->in.path);
    if (s->layers * layer + (uint64_t)s->vocab * s->width > 8ULL * (uint64_t)bytes)
        return error_set(e, ERROR_FAILED_PRECONDITION, "%s is cut short", r->in.path);
    return 0;
}

/* Room for every matrix of the shape, with the rows that fill up its last tile. */
static void open_store(struct reader *r, const struct decoder_shape *s, int fd)
{
    const uint32_t keys = s->kv_heads * s->dim, queries = s->heads * s->dim;
    const struct {
        uint32_t outputs, columns, count;
    } parts[] = {
        { queries + 2 * keys, s->width, s->layers },
        { s->width, queries, s->layers },
        { s->hidden, s->width, 2 * s->layers },
        { s->width, s->hidden, s->layers },
        { s->vocab, s->width, 2 },
    };
    uint64_t bytes = 0;

    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        const struct kernel_weights sizes = { .outputs = parts[i].outputs,
                                              .columns = parts[i].columns,
                                              .format = r->format };
        bytes += parts[i].count * (kernel_weights_bytes(&sizes) + KERNEL_ALIGN);
    }
    if (fd)
        r->store = weight_store_open(fd, r->in.fd, r->format, bytes);
}

static int read_ends(struct reader *r, struct decoder *d, int store_fd, struct error *e)
{
    struct decoder_shape *s = &d->shape;
    int64_t at = gguf_find_tensor(r->in.file, "token_embd.weight");

    if (at < 0)
        return refuse("no tensor token_embd.weight", e);
    int64_t vocab = gguf_get_tensor_ne(r->in.file, at)[1];
    if (vocab < 1 || vocab > DECODER_VOCAB_MAX)
        return refuse("a size of the vocabulary that is out of range", e);
    s->vocab = (uint32_t)vocab;
    if (check_size(r, s, e) < 0)
        return -1;
    open_store(r, s, store_fd);
    make_weights(r, &d->embedding, s->vocab, s->width);
    if (pack_tensor(r, "token_embd.weight", s->vocab, (struct target){ &d->embedding, 0, 0 }, e) <
            0 ||
        read_vector(r, "output_norm.weight", s->width, &d->output_norm, e) < 0)
        return -1;
    if (gguf_find_tensor(r->in.file, "output.weight") >= 0) {
        make_weights(r, &d->output, s->vocab, s->width);
        if (pack_tensor(r, "output.weight", s->vocab, (struct target){ &d->output, 0, 0 }, e) < 0)
            return -1;
    }
    if (gguf_find_tensor(r->in.file, "rope_freqs.weight") >= 0 &&
        read_vector(r, "rope_freqs.weight", s->dim / 2, &d->rope_divisors, e) < 0)
        return -1;
    d->bytes += kernel_weights_bytes(&d->embedding) + kernel_weights_bytes(&d->output);
    return 0;
}

static int read_all(struct reader *r, struct decoder *d, int store_fd, struct error *e)
{
    if (find_kind(r, e) < 0 || read_shape(r, &d->shape, e) < 0 || read_ends(r, d, store_fd, e) < 0)
        return -1;
    d->layer = mem_array(d->shape.layers, sizeof *d->layer);
    for (uint32_t i = 0; i < d->shape.layers; i++)
        if (read_layer(r, d, i, e) < 0)
            return -1;
    if (r->in.taken != gguf_get_n_tensors(r->in.file))
        return refuse("unknown tensors", e);
    return 0;
}

struct decoder *decoder_open(const char *path, enum kernel_format format, int store_fd,
                             struct error *e)
{
    struct reader r = { .format = format };
    struct decoder *d = mem_alloc(sizeof *d);
    int rc = tensor_file_open(&r.in, path, e) < 0 ? -1 : read_all(&r, d, store_fd, e);

    d->store = r.store;
    if (rc == 0 && d->store && !weight_store_finish(d->store))
        rc = error_set(e, ERROR_RESOURCE_EXHAUSTED, "%s: no memory for its weights", path);
    tensor_file_close(&r.in);
    if (rc == 0)
        return d;
    decoder_free(d);
    return NULL;
}

/* Finds the tensors of a layer that decoder_open would take. */
static int find_layer(struct reader *r, const struct decoder_shape *s, uint32_t i, struct error *e)
{
    const uint32_t queries = s->heads * s->dim, keys = s->kv_heads * s->dim;
    const struct {
        const char *name;
        uint32_t columns, rows;
        bool wanted;
    } parts[] = {
        { "attn_norm.weight", s->width, 1, true },
        { "ffn_norm.weight", s->width, 1, true },
        { "attn_q_norm.weight", s->dim, 1, r->kind->has_head_norms },
        { "attn_k_norm.weight", s->dim, 1, r->kind->has_head_norms },
        { "post_attention_norm.weight", s->width, 1, r->kind->has_post_norms },
        { "post_ffw_norm.weight", s->width, 1, r->kind->has_post_norms },
        { "attn_q.weight", s->width, queries, true },
        { "attn_k.weight", s->width, keys, true },
        { "attn_v.weight", s->width, keys, true },
        { "attn_output.weight", queries, s->width, true },
        { "ffn_gate.weight", s->width, s->hidden, true },
        { "ffn_up.weight", s->width, s->hidden, true },
        { "ffn_down.weight", s->hidden, s->width, true },
        { "attn_q.bias", queries, 1, false },
        { "attn_k.bias", keys, 1, false },
        { "attn_v.bias", keys, 1, false },
    };
    char name[NAME_BYTES];

    for (size_t n = 0; n < ARRAY_LEN(parts); n++) {
        (void)layer_name(name, i, parts[n].name);
        bool bias = !parts[n].wanted && n >= ARRAY_LEN(parts) - 3 &&
                    gguf_find_tensor(r->in.file, name) >= 0;
        if ((parts[n].wanted || bias) &&
            tensor_find(&r->in, name, parts[n].columns, parts[n].rows, e) < 0)
            return -1;
    }
    return 0;
}

static int look(struct reader *r, struct error *e)
{
    static const char *const ends[] = { "token_embd.weight", "output_norm.weight", "output.weight",
                                        "rope_freqs.weight" };
    struct decoder_shape s = { 0 };

    if (find_kind(r, e) < 0 || read_shape(r, &s, e) < 0)
        return -1;
    for (uint32_t i = 0; i < s.layers; i++)
        if (find_layer(r, &s, i, e) < 0)
            return -1;
    for (size_t i = 0; i < ARRAY_LEN(ends); i++)
        r->in.taken += gguf_find_tensor(r->in.file, ends[i]) >= 0;
    if (r->in.taken != gguf_get_n_tensors(r->in.file))
        return refuse("unknown tensors", e);
    return 0;
}

int decoder_covers(const char *path, struct error *e)
{
    struct reader r = { 0 };
    int rc = tensor_file_open(&r.in, path, e) < 0 ? -1 : look(&r, e);

    tensor_file_close(&r.in);
    return rc;
}

static void release_layer(struct decoder_layer *l)
{
    mem_free(l->attention_norm);
    mem_free(l->ffn_norm);
    mem_free(l->query_norm);
    mem_free(l->key_norm);
    mem_free(l->attention_post_norm);
    mem_free(l->ffn_post_norm);
    mem_free(l->bias);
    kernel_weights_release(&l->qkv);
    kernel_weights_release(&l->attention_out);
    kernel_weights_release(&l->gate);
    kernel_weights_release(&l->up);
    kernel_weights_release(&l->down);
}

void decoder_free(struct decoder *d)
{
    if (!d)
        return;
    for (uint32_t i = 0; d->layer && i < d->shape.layers; i++)
        release_layer(&d->layer[i]);
    mem_free(d->layer);
    kernel_weights_release(&d->embedding);
    kernel_weights_release(&d->output);
    mem_free(d->output_norm);
    mem_free(d->rope);
    mem_free(d->window_rope);
    mem_free(d->rope_divisors);
    weight_store_close(d->store);
    mem_free(d);
}

/* ---- RoPE ---- */

/* [positions][dim]. The angle of pair i at position p is p * scale / base^(2 i / dim) / divisor[i]. */
static float *make_rope(const struct decoder *d, uint32_t positions, float base, float scale,
                        const float *divisor)
{
    const uint32_t half = d->shape.dim / 2;
    float *rope = mem_array((size_t)positions * d->shape.dim, sizeof *rope);

    for (uint32_t i = 0; i < half; i++) {
        double step = pow((double)base, -(double)i / half) * (double)scale;
        if (divisor)
            step /= (double)divisor[i];
        for (uint32_t p = 0; p < positions; p++) {
            rope[(size_t)p * d->shape.dim + i] = (float)cos(p * step);
            rope[(size_t)p * d->shape.dim + i + half] = (float)sin(p * step);
        }
    }
    return rope;
}

void decoder_make_rope(struct decoder *d, uint32_t positions)
{
    const struct decoder_shape *s = &d->shape;

    mem_free(d->rope);
    mem_free(d->window_rope);
    d->rope = make_rope(d, positions, s->rope_base, s->rope_scale, d->rope_divisors);
    d->window_rope = s->window ? make_rope(d, positions, s->window_rope_base, 1.0f, NULL) : NULL;
}
