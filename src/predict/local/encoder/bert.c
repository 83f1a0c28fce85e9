#include "predict/local/encoder/bert.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "predict/local/native/tensor_file.h"

#define NAME_BYTES 96
#define LAYERS_MAX 512
#define WIDTH_MAX 16384
#define POSITIONS_MAX 8192
enum pooling { POOLING_MEAN = 1, POOLING_FIRST = 2 }; /* llama.cpp's numbers */

struct reader {
    struct tensor_file in;
    struct bert *bert;
    enum kernel_format format;
    float *scratch; /* [width] */
};

static int refuse(const char *what, struct error *e)
{
    return error_set(e, ERROR_UNIMPLEMENTED, "%s", what);
}

/* ---- Metadata ---- */

static uint32_t number(const struct reader *r, const char *key)
{
    int64_t at = gguf_find_key(r->in.file, key);

    return at >= 0 && gguf_get_kv_type(r->in.file, at) == GGUF_TYPE_UINT32
               ? gguf_get_val_u32(r->in.file, at)
               : 0;
}

static int read_shape(const struct reader *r, struct error *e)
{
    struct bert_shape *s = &r->bert->shape;
    int64_t kind = gguf_find_key(r->in.file, "general.architecture");
    int64_t epsilon = gguf_find_key(r->in.file, "bert.attention.layer_norm_epsilon");

    if (kind < 0 || gguf_get_kv_type(r->in.file, kind) != GGUF_TYPE_STRING ||
        strcmp(gguf_get_val_str(r->in.file, kind), "bert") != 0)
        return refuse("an architecture that is not bert", e);
    s->layers = number(r, "bert.block_count");
    s->width = number(r, "bert.embedding_length");
    s->hidden = number(r, "bert.feed_forward_length");
    s->heads = number(r, "bert.attention.head_count");
    s->positions = number(r, "bert.context_length");
    uint32_t pooling = number(r, "bert.pooling_type");
    s->first_token = pooling == POOLING_FIRST;
    if (pooling != POOLING_MEAN && pooling != POOLING_FIRST)
        return refuse("a pooling that is neither the mean nor the first token", e);
    if (epsilon < 0 || gguf_get_kv_type(r->in.file, epsilon) != GGUF_TYPE_FLOAT32)
        return refuse("no epsilon of the norms", e);
    s->norm_epsilon = gguf_get_val_f32(r->in.file, epsilon);
    if (!s->layers || s->layers > LAYERS_MAX || s->positions < 3 || s->positions > POSITIONS_MAX)
        return refuse("a number of layers or positions that is out of range", e);
    if (!s->width || s->width > WIDTH_MAX || s->width % KERNEL_GROUP || !s->hidden ||
        s->hidden > WIDTH_MAX || s->hidden % KERNEL_GROUP)
        return refuse("a width that is out of range or not a multiple of 32", e);
    if (!s->heads || s->width % s->heads || s->width / s->heads % KERNEL_GROUP)
        return refuse("a size of heads that is not a multiple of 32", e);
    s->dim = s->width / s->heads;
    return 0;
}

/* ---- Tensors ---- */

/* A matrix's rows and bias become outputs of w from `first` on, times a factor. */
struct part {
    const char *name;
    struct kernel_weights *w;
    uint32_t rows, first;
    float *bias; /* [w->outputs] */
    float factor;
    bool to_residual; /* its outputs are the residual's columns; else those are what it reads */
};

/* Puts x [width] into the residual's order; old is scratch of as many. */
static void to_order(const struct bert *b, float *x, float *old)
{
    memcpy(old, x, b->shape.width * sizeof *x);
    for (uint32_t i = 0; i < b->shape.width; i++)
        x[i] = old[b->order[i]];
}

static int pack(struct reader *r, const char *name, const struct part *p, struct error *e)
{
    struct kernel_weights *w = p->w;
    const uint32_t rows = p->rows;
    int64_t at = tensor_find(&r->in, name, w->columns, rows, e);
    int rc = 0;

    if (at < 0)
        return -1;
    size_t bytes = tensor_row_bytes(&r->in, at);
    uint8_t *raw = mem_array(rows, bytes);
    float *floats = mem_array(2 * (size_t)w->columns, sizeof *floats);
    rc = tensor_read(&r->in, at, 0, raw, rows * bytes, e);
    for (uint32_t i = 0; i < rows && rc == 0; i++) {
        uint32_t row = p->to_residual ? r->bert->order[i] : i;
        tensor_floats(gguf_get_tensor_type(r->in.file, at), raw + row * bytes, floats, w->columns);
        if (!p->to_residual && w->columns == r->bert->shape.width)
            to_order(r->bert, floats, floats + w->columns);
        for (uint32_t k = 0; k < w->columns; k++)
            floats[k] *= p->factor;
        kernel_weights_quantise(w, p->first + i, floats);
    }
    mem_free(raw);
    mem_free(floats);
    return rc;
}

static int read_vector(struct reader *r, const char *name, float **out, struct error *e)
{
    const uint32_t count = r->bert->shape.width;

    *out = mem_aligned(count * sizeof **out, KERNEL_ALIGN);
    memset(*out, 0, count * sizeof **out);
    if (tensor_read_floats(&r->in, name, count, *out, e) < 0)
        return -1;
    to_order(r->bert, *out, r->scratch);
    return 0;
}

static int read_matrices(struct reader *r, uint32_t layer, struct error *e)
{
    const struct bert_shape *s = &r->bert->shape;
    struct bert_layer *l = &r->bert->layer[layer];
    char name[NAME_BYTES];

    const struct part parts[] = {
        { "attn_q", &l->qkv, s->width, 0, l->qkv_bias, 1.0f / sqrtf((float)s->dim), false },
        { "attn_k", &l->qkv, s->width, s->width, l->qkv_bias, 1.0f, false },
        { "attn_v", &l->qkv, s->width, 2 * s->width, l->qkv_bias, 1.0f, false },
        { "attn_output", &l->attention_out, s->width, 0, l->out_bias, 1.0f, true },
        { "ffn_up", &l->up, s->hidden, 0, l->up_bias, 1.0f, false },
        { "ffn_down", &l->down, s->width, 0, l->down_bias, 1.0f, true },
    };

    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        const struct part *p = &parts[i];
        (void)snprintf(name, sizeof name, "blk.%u.%s.weight", layer, p->name);
        if (pack(r, name, p, e) < 0)
            return -1;
        (void)snprintf(name, sizeof name, "blk.%u.%s.bias", layer, p->name);
        if (tensor_read_floats(&r->in, name, p->rows, p->bias + p->first, e) < 0)
            return -1;
        for (uint32_t k = 0; k < p->rows; k++)
            p->bias[p->first + k] *= p->factor;
        if (p->to_residual)
            to_order(r->bert, p->bias, r->scratch);
    }
    return 0;
}

static int read_norms(struct reader *r, uint32_t layer, struct error *e)
{
    struct bert_layer *l = &r->bert->layer[layer];
    const struct {
        const char *name;
        float **to;
    } parts[] = {
        { "attn_output_norm.weight", &l->attention_norm },
        { "attn_output_norm.bias", &l->attention_norm_bias },
        { "layer_output_norm.weight", &l->norm },
        { "layer_output_norm.bias", &l->norm_bias },
    };
    char name[NAME_BYTES];

    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        (void)snprintf(name, sizeof name, "blk.%u.%s", layer, parts[i].name);
        if (read_vector(r, name, parts[i].to, e) < 0)
            return -1;
    }
    return 0;
}

static int read_layer(struct reader *r, uint32_t i, struct error *e)
{
    const struct bert_shape *s = &r->bert->shape;
    struct bert_layer *l = &r->bert->layer[i];

    kernel_weights_init(&l->qkv, r->format, 3 * s->width, s->width);
    kernel_weights_init(&l->attention_out, r->format, s->width, s->width);
    kernel_weights_init(&l->up, r->format, s->hidden, s->width);
    kernel_weights_init(&l->down, r->format, s->width, s->hidden);
    l->qkv_bias = mem_array(3 * (size_t)s->width, sizeof *l->qkv_bias);
    l->out_bias = mem_array(s->width, sizeof *l->out_bias);
    l->up_bias = mem_array(s->hidden, sizeof *l->up_bias);
    l->down_bias = mem_array(s->width, sizeof *l->down_bias);
    if (read_matrices(r, i, e) < 0 || read_norms(r, i, e) < 0)
        return -1;
    r->bert->bytes += kernel_weights_bytes(&l->qkv) + kernel_weights_bytes(&l->attention_out) +
                      kernel_weights_bytes(&l->up) + kernel_weights_bytes(&l->down);
    return 0;
}

/* ---- The order of columns ---- */

struct column {
    float size; /* the sum of squares of what the norms make of a number of size 1 */
    uint32_t at;
};

static int compare_columns(const void *one, const void *other)
{
    const struct column *a = one, *b = other;

    return a->size != b->size ? (a->size > b->size) - (a->size < b->size)
                              : (a->at > b->at) - (a->at < b->at);
}

static int add_sizes(struct reader *r, const char *name, struct column *column, struct error *e)
{
    if (tensor_read_floats(&r->in, name, r->bert->shape.width, r->scratch, e) < 0)
        return -1;
    r->in.taken--; /* it is read again */
    for (uint32_t i = 0; i < r->bert->shape.width; i++)
        column[i].size += r->scratch[i] * r->scratch[i];
    return 0;
}

static int read_order(struct reader *r, struct error *e)
{
    static const char *const norms[] = { "attn_output_norm.weight", "attn_output_norm.bias",
                                         "layer_output_norm.weight", "layer_output_norm.bias" };
    const struct bert_shape *s = &r->bert->shape;
    struct column *column = mem_array(s->width, sizeof *column);
    char name[NAME_BYTES];
    int rc = 0;

    for (uint32_t i = 0; i < s->width; i++)
        column[i].at = i;
    for (uint32_t l = 0; l < s->layers && rc == 0; l++)
        for (size_t i = 0; i < ARRAY_LEN(norms) && rc == 0; i++) {
            (void)snprintf(name, sizeof name, "blk.%u.%s", l, norms[i]);
            rc = add_sizes(r, name, column, e);
        }
    qsort(column, s->width, sizeof *column, compare_columns);
    r->bert->order = mem_array(s->width, sizeof *r->bert->order);
    for (uint32_t i = 0; i < s->width; i++)
        r->bert->order[i] = column[i].at;
    mem_free(column);
    return rc;
}

/* ---- The beginning ---- */

/* A file cannot claim more weights than it has bits, or it could make us reserve any amount. */
static int check_size(const struct reader *r, struct error *e)
{
    const struct bert_shape *s = &r->bert->shape;
    const uint64_t layer = (4ULL * s->width + 2ULL * s->hidden) * s->width;
    off_t bytes = lseek(r->in.fd, 0, SEEK_END);

    if (bytes < 0)
        return error_errno(e, "%s", r->in.path);
    if (s->layers * layer + ((uint64_t)s->vocab + s->positions) * s->width > 8ULL * (uint64_t)bytes)
        return error_set(e, ERROR_FAILED_PRECONDITION, "%s is cut short", r->in.path);
    return 0;
}

static int read_embedding(struct reader *r, struct error *e)
{
    struct bert *b = r->bert;
    int64_t at = tensor_find(&r->in, "token_embd.weight", b->shape.width, b->shape.vocab, e);

    if (at < 0)
        return -1;
    b->embedding_type = gguf_get_tensor_type(r->in.file, at);
    b->embedding_bytes = tensor_row_bytes(&r->in, at);
    b->embedding = mem_array(b->shape.vocab, b->embedding_bytes);
    b->bytes += b->shape.vocab * b->embedding_bytes;
    return tensor_read(&r->in, at, 0, b->embedding, b->shape.vocab * b->embedding_bytes, e);
}

/* A small table as floats, [rows][width]; only the first rows_kept are read. */
static int read_table(struct reader *r, const char *name, uint32_t rows, uint32_t rows_kept,
                      float *out, struct error *e)
{
    const uint32_t width = r->bert->shape.width;
    int64_t at = tensor_find(&r->in, name, width, rows, e);
    int rc = 0;

    if (at < 0)
        return -1;
    size_t bytes = tensor_row_bytes(&r->in, at);
    uint8_t *raw = mem_array(rows_kept, bytes);
    rc = tensor_read(&r->in, at, 0, raw, rows_kept * bytes, e);
    for (uint32_t i = 0; i < rows_kept && rc == 0; i++)
        tensor_floats(gguf_get_tensor_type(r->in.file, at), raw + i * bytes,
                      out + (size_t)i * width, width);
    mem_free(raw);
    return rc;
}

/* Every token is of the first type: its vector is added to all positions once. */
static int read_positions(struct reader *r, struct error *e)
{
    const struct bert_shape *s = &r->bert->shape;
    int64_t types = gguf_find_tensor(r->in.file, "token_types.weight");
    float *position = r->bert->position =
        mem_array((size_t)s->positions * s->width, sizeof *position);
    float *type = mem_array(s->width, sizeof *type);
    int rc = read_table(r, "position_embd.weight", s->positions, s->positions, position, e);

    if (rc == 0 && types >= 0) {
        int64_t rows = gguf_get_tensor_ne(r->in.file, types)[1];
        rc = rows < 1 || rows > 16
                 ? refuse("a number of token types that is out of range", e)
                 : read_table(r, "token_types.weight", (uint32_t)rows, 1, type, e);
    }
    for (size_t i = 0; i < (size_t)s->positions * s->width; i++)
        position[i] += type[i % s->width];
    for (uint32_t i = 0; i < s->positions; i++)
        to_order(r->bert, position + (size_t)i * s->width, r->scratch);
    mem_free(type);
    return rc;
}

static int read_all(struct reader *r, struct error *e)
{
    struct bert *b = r->bert;
    struct bert_shape *s = &b->shape;

    if (read_shape(r, e) < 0)
        return -1;
    b->vocabulary = wordpiece_open(r->in.file, e);
    if (!b->vocabulary)
        return -1;
    s->vocab = wordpiece_count(b->vocabulary);
    r->scratch = mem_array(s->width, sizeof *r->scratch);
    if (check_size(r, e) < 0 || read_order(r, e) < 0 || read_embedding(r, e) < 0 ||
        read_positions(r, e) < 0 || read_vector(r, "token_embd_norm.weight", &b->norm, e) < 0 ||
        read_vector(r, "token_embd_norm.bias", &b->norm_bias, e) < 0)
        return -1;
    b->zero = mem_array(s->width, sizeof *b->zero);
    b->layer = mem_array(s->layers, sizeof *b->layer);
    for (uint32_t i = 0; i < s->layers; i++)
        if (read_layer(r, i, e) < 0)
            return -1;
    return r->in.taken == (uint64_t)gguf_get_n_tensors(r->in.file) ? 0
                                                                   : refuse("unknown tensors", e);
}

struct bert *bert_open(const char *path, enum kernel_format format, struct error *e)
{
    struct bert *b = mem_alloc(sizeof *b);
    struct reader r = { .bert = b, .format = format };
    int rc = tensor_file_open(&r.in, path, e);

    if (rc == 0)
        rc = read_all(&r, e);
    tensor_file_close(&r.in);
    mem_free(r.scratch);
    if (rc == 0)
        return b;
    bert_free(b);
    return NULL;
}

static void release_layer(struct bert_layer *l)
{
    kernel_weights_release(&l->qkv);
    kernel_weights_release(&l->attention_out);
    kernel_weights_release(&l->up);
    kernel_weights_release(&l->down);
    mem_free(l->qkv_bias);
    mem_free(l->out_bias);
    mem_free(l->up_bias);
    mem_free(l->down_bias);
    mem_free(l->attention_norm);
    mem_free(l->attention_norm_bias);
    mem_free(l->norm);
    mem_free(l->norm_bias);
}

void bert_free(struct bert *b)
{
    if (!b)
        return;
    for (uint32_t i = 0; b->layer && i < b->shape.layers; i++)
        release_layer(&b->layer[i]);
    mem_free(b->layer);
    wordpiece_free(b->vocabulary);
    mem_free(b->order);
    mem_free(b->embedding);
    mem_free(b->position);
    mem_free(b->norm);
    mem_free(b->norm_bias);
    mem_free(b->zero);
    mem_free(b);
}
