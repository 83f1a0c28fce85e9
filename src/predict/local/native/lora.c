#include "predict/local/native/lora.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/thread.h"
#include "predict/local/native/tensor_file.h"

#define NAME_BYTES 96

struct source {
    struct tensor_file in;
    float scale, alpha;
};

struct reader {
    struct source source[MODEL_ADAPTERS_MAX];
    uint32_t count; /* of source: those that were opened */
    enum kernel_format format;
};

/* A matrix of the decoder; dim: as tensor_half_apart has it, or 0. */
struct matrix {
    const char *name; /* without "weight.lora_a" */
    uint32_t outputs, columns, dim;
};

/* ---- Metadata ---- */

static const char *text_of(const struct tensor_file *t, const char *key)
{
    int64_t at = gguf_find_key(t->file, key);

    return at >= 0 && gguf_get_kv_type(t->file, at) == GGUF_TYPE_STRING
               ? gguf_get_val_str(t->file, at)
               : "";
}

static int read_metadata(struct source *s, const struct decoder *d, struct error *e)
{
    const struct tensor_file *t = &s->in;
    const char *architecture = text_of(t, "general.architecture");
    int64_t alpha = gguf_find_key(t->file, "adapter.lora.alpha");

    if (strcmp(text_of(t, "general.type"), "adapter") != 0)
        return error_set(e, ERROR_FAILED_PRECONDITION, "%s is not an adapter", t->path);
    if (strcmp(text_of(t, "adapter.type"), "lora") != 0)
        return error_set(e, ERROR_UNIMPLEMENTED, "%s is an adapter of another kind than LoRA",
                         t->path);
    if (strcmp(architecture, d->shape.architecture) != 0)
        return error_set(e, ERROR_UNIMPLEMENTED,
                         "%s is for the architecture %.40s, the model is %s", t->path, architecture,
                         d->shape.architecture);
    if (gguf_find_key(t->file, "adapter.alora.invocation_tokens") >= 0)
        return error_set(e, ERROR_UNIMPLEMENTED, "%s acts from certain tokens on only", t->path);
    if (alpha < 0 || gguf_get_kv_type(t->file, alpha) != GGUF_TYPE_FLOAT32)
        return error_set(e, ERROR_FAILED_PRECONDITION, "%s has no alpha", t->path);
    s->alpha = gguf_get_val_f32(t->file, alpha);
    if (!isfinite(s->alpha) || !isfinite(s->scale))
        return error_set(e, ERROR_FAILED_PRECONDITION, "%s: alpha or scale is not a number",
                         t->path);
    return 0;
}

/* ---- A matrix ---- */

static const char *tensor_name(char name[NAME_BYTES], const char *matrix, char which)
{
    (void)snprintf(name, NAME_BYTES, "%s.weight.lora_%c", matrix, which);
    return name;
}

/* 0: the file does not change this matrix. */
static int find_rank(struct source *s, const struct matrix *m, uint32_t *rank, struct error *e)
{
    char name[NAME_BYTES];
    int64_t at = gguf_find_tensor(s->in.file, tensor_name(name, m->name, 'a'));

    *rank = 0;
    if (at < 0)
        return 0;
    int64_t rows = gguf_get_tensor_ne(s->in.file, at)[1];
    if (rows < 1 || rows > LORA_RANK_MAX)
        return error_set(e, ERROR_UNIMPLEMENTED, "%s: rank %lld of %s, the maximum is %d",
                         s->in.path, (long long)rows, m->name, LORA_RANK_MAX);
    *rank = (uint32_t)rows;
    return 0;
}

/* A whole tensor as floats [rows][columns], owned; NULL with the error. */
static float *read_matrix(struct tensor_file *t, const char *name, uint32_t columns, uint32_t rows,
                          struct error *e)
{
    int64_t at = tensor_find(t, name, columns, rows, e);

    if (at < 0)
        return NULL;
    size_t bytes = tensor_row_bytes(t, at);
    uint8_t *raw = mem_alloc(bytes);
    float *out = mem_array((size_t)rows * columns, sizeof *out);
    int rc = 0;
    for (uint32_t i = 0; i < rows && rc == 0; i++) {
        rc = tensor_read(t, at, i * bytes, raw, bytes, e);
        if (rc == 0)
            tensor_floats(gguf_get_tensor_type(t->file, at), raw, out + (size_t)i * columns,
                          columns);
    }
    mem_free(raw);
    if (rc == 0)
        return out;
    mem_free(out);
    return NULL;
}

/* One file's share of the rank of a matrix. */
struct share {
    struct source *source;
    uint32_t first, rank;
};

/* Puts the share into A and into b [outputs][padded]. */
static int read_share(const struct share *share, const struct matrix *m, struct low_rank *to,
                      float *b, struct error *e)
{
    struct source *s = share->source;
    const uint32_t first = share->first, rank = share->rank;
    const float scale = s->alpha != 0.0f ? s->scale * s->alpha / (float)rank : s->scale;
    char name[NAME_BYTES];

    float *in = read_matrix(&s->in, tensor_name(name, m->name, 'a'), m->columns, rank, e);
    if (!in)
        return -1;
    for (uint32_t i = 0; i < rank; i++)
        kernel_weights_quantise(&to->a, first + i, in + (size_t)i * m->columns);
    mem_free(in);
    in = read_matrix(&s->in, tensor_name(name, m->name, 'b'), rank, m->outputs, e);
    if (!in)
        return -1;
    for (uint32_t o = 0; o < m->outputs; o++)
        for (uint32_t i = 0; i < rank; i++)
            b[(size_t)o * to->b.columns + first + i] = in[(size_t)o * rank + i] * scale;
    mem_free(in);
    return 0;
}

static int read_low_rank(struct reader *r, const struct matrix *m, struct low_rank *to,
                         struct error *e)
{
    uint32_t rank[MODEL_ADAPTERS_MAX] = { 0 }, total = 0, first = 0;
    int rc = 0;

    for (uint32_t i = 0; i < r->count; i++) {
        if (find_rank(&r->source[i], m, &rank[i], e) < 0)
            return -1;
        total += rank[i];
    }
    if (!total)
        return 0;
    if (total > LORA_RANK_MAX)
        return error_set(e, ERROR_UNIMPLEMENTED, "rank %u of %s, the maximum is %d", total, m->name,
                         LORA_RANK_MAX);
    uint32_t padded = (total + KERNEL_GROUP - 1) / KERNEL_GROUP * KERNEL_GROUP;
    kernel_weights_init(&to->a, r->format, padded, m->columns);
    kernel_weights_init(&to->b, r->format, m->outputs, padded);
    float *b = mem_array((size_t)m->outputs * padded, sizeof *b);
    for (uint32_t i = 0; i < r->count && rc == 0; first += rank[i++])
        if (rank[i])
            rc = read_share(&(struct share){ &r->source[i], first, rank[i] }, m, to, b, e);
    for (uint32_t o = 0; o < m->outputs && rc == 0; o++)
        kernel_weights_quantise(&to->b, m->dim ? tensor_half_apart(o, m->dim) : o,
                                b + (size_t)o * padded);
    mem_free(b);
    return rc;
}

/* ---- The whole ---- */

static int read_layer(struct reader *r, const struct decoder_shape *s, uint32_t layer,
                      struct low_rank *to, struct error *e)
{
    const uint32_t queries = s->heads * s->dim, keys = s->kv_heads * s->dim;
    const uint32_t pairs = s->rope_interleaved ? s->dim : 0;
    const struct matrix parts[LORA_PARTS] = {
        [LORA_QUERY] = { "attn_q", queries, s->width, pairs },
        [LORA_KEY] = { "attn_k", keys, s->width, pairs },
        [LORA_VALUE] = { "attn_v", keys, s->width, 0 },
        [LORA_ATTENTION_OUT] = { "attn_output", s->width, queries, 0 },
        [LORA_GATE] = { "ffn_gate", s->hidden, s->width, 0 },
        [LORA_UP] = { "ffn_up", s->hidden, s->width, 0 },
        [LORA_DOWN] = { "ffn_down", s->width, s->hidden, 0 },
    };

    for (uint32_t i = 0; i < LORA_PARTS; i++) {
        char name[NAME_BYTES / 2];
        struct matrix m = parts[i];
        (void)snprintf(name, sizeof name, "blk.%u.%s", layer, m.name);
        m.name = name;
        if (read_low_rank(r, &m, &to[i], e) < 0)
            return -1;
    }
    return 0;
}

static int read_all(struct reader *r, const struct decoder *d, struct lora *l, struct error *e)
{
    const struct decoder_shape *s = &d->shape;
    const struct matrix output = { "output", s->vocab, s->width, 0 };

    for (uint32_t i = 0; i < s->layers; i++)
        if (read_layer(r, s, i, &l->part[(size_t)i * LORA_PARTS], e) < 0)
            return -1;
    if (read_low_rank(r, &output, &l->part[(size_t)s->layers * LORA_PARTS], e) < 0)
        return -1;
    for (uint32_t i = 0; i < r->count; i++) {
        const struct tensor_file *t = &r->source[i].in;
        if (t->taken == 0)
            return error_set(e, ERROR_FAILED_PRECONDITION, "%s has no matrices of the model",
                             t->path);
        if (t->taken != gguf_get_n_tensors(t->file))
            return error_set(e, ERROR_UNIMPLEMENTED, "%s changes more than matrices of layers",
                             t->path);
    }
    for (uint32_t i = 0; i < l->parts; i++)
        if (l->part[i].a.packed)
            l->bytes += kernel_weights_bytes(&l->part[i].a) + kernel_weights_bytes(&l->part[i].b);
    return 0;
}

static int open_sources(struct reader *r, const struct decoder *d, const struct adapter_list *files,
                        struct error *e)
{
    for (uint32_t i = 0; i < files->count; i++) {
        struct source *s = &r->source[r->count++];
        const struct adapter *a = &files->item[i];
        s->scale = a->scale;
        if (tensor_file_open_as(&s->in, a->file, a->fd, e) < 0 || read_metadata(s, d, e) < 0)
            return -1;
    }
    return 0;
}

static void lora_free(struct lora *l)
{
    if (!l)
        return;
    for (uint32_t i = 0; i < l->parts; i++) {
        kernel_weights_release(&l->part[i].a);
        kernel_weights_release(&l->part[i].b);
    }
    mem_free(l->part);
    mem_free(l);
}

struct lora *lora_open(const struct decoder *d, enum kernel_format format,
                       const struct adapter_list *files, struct error *e)
{
    struct reader r = { .format = format };
    struct lora *l = mem_alloc(sizeof *l);

    assert(files->count && files->count <= MODEL_ADAPTERS_MAX);
    l->parts = d->shape.layers * LORA_PARTS + 1;
    l->part = mem_array(l->parts, sizeof *l->part);
    int rc = open_sources(&r, d, files, e) < 0 ? -1 : read_all(&r, d, l, e);
    for (uint32_t i = 0; i < r.count; i++)
        tensor_file_close(&r.source[i].in);
    if (rc == 0)
        return l;
    (void)error_wrap(e, "adapter");
    lora_free(l);
    return NULL;
}

/* ---- The table ---- */

struct lora_table {
    pthread_mutex_t lock; /* guards what follows */
    uint32_t id[RUNTIME_ADAPTERS_MAX];
    struct lora *lora[RUNTIME_ADAPTERS_MAX]; /* NULL: free */
};

struct lora_table *lora_table_new(void)
{
    struct lora_table *t = mem_alloc(sizeof *t);

    lock_init(&t->lock);
    return t;
}

void lora_table_free(struct lora_table *t)
{
    if (!t)
        return;
    for (uint32_t i = 0; i < RUNTIME_ADAPTERS_MAX; i++)
        lora_free(t->lora[i]);
    lock_destroy(&t->lock);
    mem_free(t);
}

int lora_table_put(struct lora_table *t, uint32_t id, struct lora *l, struct error *e)
{
    uint32_t i = 0;

    assert(id);
    lock(&t->lock);
    while (i < RUNTIME_ADAPTERS_MAX && t->lora[i])
        i++;
    if (i < RUNTIME_ADAPTERS_MAX) {
        t->id[i] = id;
        t->lora[i] = l;
    }
    unlock(&t->lock);
    if (i < RUNTIME_ADAPTERS_MAX)
        return 0;
    lora_free(l);
    return error_set(e, ERROR_RESOURCE_EXHAUSTED, "%d adapters are loaded", RUNTIME_ADAPTERS_MAX);
}

/* Under the lock; RUNTIME_ADAPTERS_MAX: there is none. */
static uint32_t place_of(const struct lora_table *t, uint32_t id)
{
    uint32_t i = 0;

    while (i < RUNTIME_ADAPTERS_MAX && !(t->lora[i] && t->id[i] == id))
        i++;
    return i;
}

void lora_table_drop(struct lora_table *t, uint32_t id)
{
    lock(&t->lock);
    uint32_t i = place_of(t, id);
    struct lora *gone = i < RUNTIME_ADAPTERS_MAX ? t->lora[i] : NULL;
    if (gone)
        t->lora[i] = NULL;
    unlock(&t->lock);
    lora_free(gone);
}

const struct lora *lora_table_find(struct lora_table *t, uint32_t id)
{
    lock(&t->lock);
    uint32_t i = place_of(t, id);
    const struct lora *found = i < RUNTIME_ADAPTERS_MAX ? t->lora[i] : NULL;
    unlock(&t->lock);
    return found;
}
