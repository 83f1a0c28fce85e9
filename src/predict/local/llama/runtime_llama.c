/* libllama as a runtime: one unified key-value cache, so that sequences share cells; flash attention;
 * one micro-batch a forward. */
#include "predict/local/llama/runtime_llama.h"

#include <assert.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/thread.h"
#include "predict/local/llama/llama_bridge.h"
#include "predict/local/llama/llama_text.h"
#include "predict/local/llama/projector.h"
#include "predict/local/plan.h"
#include "predict/media/limits.h"

#define CELLS_MULTIPLE 256     /* libllama rounds up to this */
#define CELLS_PER_SEQUENCE 512 /* room for a usual request in each sequence */
#define SPIN_COUNT "1000"      /* of libgomp: some microseconds */
#define KEY_BYTES 96           /* of a metadata key or number */
#define MEDIA_ROWS_MAX 1024    /* of a chunk that one forward must hold */
#define POSITIONS 4            /* of a row of embeddings, with positions in two dimensions */

/* Adapters that rows may name. */
struct loaded {
    uint32_t id; /* 0: free */
    struct llama_adapter_lora *adapter[MODEL_ADAPTERS_MAX];
    float scale[MODEL_ADAPTERS_MAX];
    uint32_t count;
    bool gone; /* nobody uses it any more */
};

struct llama_runtime {
    struct llama_text text; /* first, so that a pointer to its base is one to this */
    struct llama_context *context;
    struct llama_batch batch;                       /* of info.rows_max rows */
    atomic_uint adapter;                            /* of the last forward */
    pthread_mutex_t lock;                           /* guards what follows */
    struct loaded loaded[RUNTIME_ADAPTERS_MAX + 1]; /* one may wait for the next forward to go */
    struct projector *projector;                    /* NULL: text only */
    struct llama_batch media;                       /* of rows with embeddings, with a projector */
    llama_pos *media_pos;                           /* of these, [POSITIONS][rows] with place */
    /* The position of each row of each sequence, [sequences][context_max], when images take fewer positions
     * than rows; else NULL. */
    llama_pos *place;
    uint32_t *length; /* rows of each sequence, with place */
};

static struct llama_runtime *llama_of(struct runtime *r)
{
    return (struct llama_runtime *)r;
}

/* ---- Opening ---- */

/* A number of the model's metadata under its architecture's name, or 0. */
static uint64_t meta_number(const struct llama_model *m, const char *key)
{
    char arch[KEY_BYTES], full[2 * KEY_BYTES], value[KEY_BYTES];

    if (llama_model_meta_val_str(m, "general.architecture", arch, sizeof arch) < 0)
        return 0;
    (void)snprintf(full, sizeof full, "%s.%s", arch, key);
    if (llama_model_meta_val_str(m, full, value, sizeof value) < 0)
        return 0;
    return strtoull(value, NULL, 10);
}

/* Bytes of keys and values for one token, in f16. */
static uint64_t cell_bytes(const struct llama_model *m)
{
    uint64_t heads = (uint64_t)llama_model_n_head_kv(m);
    uint64_t key = meta_number(m, "attention.key_length");

    if (!key && llama_model_n_head(m) > 0)
        key = (uint64_t)(llama_model_n_embd(m) / llama_model_n_head(m));
    return (uint64_t)llama_model_n_layer(m) * heads * key * 2 * sizeof(uint16_t);
}

static int make_context(struct llama_runtime *l, const struct runtime_settings *settings,
                        struct error *e)
{
    struct llama_context_params p = llama_context_default_params();
    struct llama_errors errors = { "" };

    p.n_ctx = l->text.info.cells;
    p.n_seq_max = l->text.info.sequences;
    p.n_batch = p.n_ubatch = l->text.info.rows_max;
    p.n_outputs_max = l->text.info.sequences; /* rows of one forward that give logits */
    p.n_threads = p.n_threads_batch = (int32_t)plan_threads(settings);
    p.kv_unified = true;
    p.swa_full = true; /* a sliding window would forget what prefixes are shared from */
    p.no_perf = true;
    p.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_AUTO; /* on wherever the model allows it */
    llama_errors_catch(&errors);
    l->context = llama_init_from_model(l->text.model, p);
    llama_errors_catch(NULL);
    if (!l->context)
        return error_set(e, ERROR_RESOURCE_EXHAUSTED, "no cache of %u tokens could be made: %s",
                         l->text.info.cells, errors.last[0] ? errors.last : "out of memory");
    l->text.info.cells = llama_n_ctx(l->context);
    return 0;
}

/* ---- Adapters ---- */

/* Under the lock; id 0: a free one. NULL: there is none. */
static struct loaded *loaded_find(struct llama_runtime *l, uint32_t id)
{
    for (uint32_t i = 0; i < ARRAY_LEN(l->loaded); i++)
        if (l->loaded[i].id == id)
            return &l->loaded[i];
    return NULL;
}

static void loaded_free(struct loaded *a)
{
    for (uint32_t i = 0; i < a->count; i++)
        llama_adapter_lora_free(a->adapter[i]);
    *a = (struct loaded){ 0 };
}

static struct llama_adapter_lora *read_adapter(struct llama_model *m, const struct adapter *from)
{
    int fd = from->fd ? fcntl(from->fd, F_DUPFD_CLOEXEC, 0) : -1;
    FILE *file = fd < 0 ? NULL : fdopen(fd, "rb");

    if (!from->fd)
        return llama_adapter_lora_init(m, from->file);
    if (!file) {
        if (fd >= 0)
            (void)close(fd);
        return NULL;
    }
    rewind(file); /* the copies of a descriptor share its place */
    struct llama_adapter_lora *a = llama_adapter_lora_init_from_file_ptr(m, file);
    (void)fclose(file);
    return a;
}

static int load(struct llama_runtime *l, const struct adapter *from, struct loaded *to,
                struct error *e)
{
    struct llama_errors errors = { "" };

    if (llama_text_check_as(from->file, from->fd, e) < 0)
        return error_wrap(e, "adapter");
    llama_errors_catch(&errors);
    struct llama_adapter_lora *a = read_adapter(l->text.model, from);
    llama_errors_catch(NULL);
    if (!a)
        return error_set(e, ERROR_FAILED_PRECONDITION, "adapter %s does not fit the model: %s",
                         from->file, errors.last);
    to->scale[to->count] = from->scale;
    to->adapter[to->count++] = a;
    if (llama_adapter_get_alora_n_invocation_tokens(a) == 0)
        return 0;
    return error_set(e, ERROR_UNIMPLEMENTED, "adapter %s acts from certain tokens on only",
                     from->file);
}

static int llama_runtime_adapt(struct runtime *r, uint32_t id, const struct adapter_list *files,
                               struct error *e)
{
    struct llama_runtime *l = llama_of(r);
    struct loaded new = { .id = id };

    for (uint32_t i = 0; i < files->count; i++)
        if (load(l, &files->item[i], &new, e) < 0) {
            loaded_free(&new);
            return -1;
        }
    lock(&l->lock);
    for (uint32_t i = 0; i < ARRAY_LEN(l->loaded);
         i++) /* the context may still have the last one */
        if (l->loaded[i].gone && l->loaded[i].id != atomic_load(&l->adapter))
            loaded_free(&l->loaded[i]);
    struct loaded *to = loaded_find(l, 0);
    if (to)
        *to = new;
    unlock(&l->lock);
    if (to)
        return 0;
    loaded_free(&new);
    return error_set(e, ERROR_RESOURCE_EXHAUSTED, "%d adapters are loaded", RUNTIME_ADAPTERS_MAX);
}

static void llama_runtime_unadapt(struct runtime *r, uint32_t id)
{
    struct llama_runtime *l = llama_of(r);

    lock(&l->lock);
    struct loaded *at = loaded_find(l, id);
    if (at)
        at->gone = true;
    unlock(&l->lock);
}

/* By default libgomp's threads spin for milliseconds at a barrier, of which a forward has hundreds:
 * whatever else runs on the machine then slows every forward down many times. A short spin, then
 * sleep, costs next to nothing when the machine is idle (docs/performance.md). libgomp reads the
 * variable in its own constructor, so this one goes first; what the user has set stays. */
__attribute__((constructor(101))) static void spin_shortly(void)
{
    (void)setenv("GOMP_SPINCOUNT", SPIN_COUNT, 0); // NOLINT(concurrency-mt-unsafe): before main
}

static int size_cache(struct llama_runtime *l, const struct runtime_settings *settings,
                      struct error *e)
{
    const struct cache_facts facts = {
        .trained = (uint32_t)llama_model_n_ctx_train(l->text.model),
        .cell_bytes = cell_bytes(l->text.model),
        .multiple = CELLS_MULTIPLE,
        .per_sequence = CELLS_PER_SEQUENCE,
    };

    if (plan_cache(&facts, settings, &l->text.info, e) < 0)
        return -1;
    l->text.info.memory_bytes =
        llama_model_size(l->text.model) + l->text.info.cells * facts.cell_bytes;
    return 0;
}

static int open_projector(struct llama_runtime *l, const struct model *m,
                          const struct runtime_settings *settings, struct error *e)
{
    struct runtime_info *info = &l->text.info;

    l->projector = projector_open(m->projector, m->file, l->text.model, plan_threads(settings), e);
    if (!l->projector)
        return -1;
    projector_info(l->projector, info);
    info->limits = media_limits_of(m->pattern);
    l->media = llama_batch_init((int32_t)info->rows_max, (int32_t)info->media_width, 1);
    l->media_pos = mem_array((size_t)POSITIONS * info->rows_max, sizeof *l->media_pos);
    if (projector_has_places(l->projector)) {
        l->place = mem_array((size_t)info->sequences * info->context_max, sizeof *l->place);
        l->length = mem_array(info->sequences, sizeof *l->length);
    }
    return 0;
}

static int open_all(struct llama_runtime *l, const struct model *m,
                    const struct runtime_settings *settings, struct error *e)
{
    struct runtime_info *info = &l->text.info;

    if (llama_text_open(&l->text, m, true, e) < 0)
        return -1;
    info->rows_max = settings->rows_max;
    if (m->projector && info->rows_max < MEDIA_ROWS_MAX)
        info->rows_max = MEDIA_ROWS_MAX;
    info->shares =
        !llama_model_is_recurrent(l->text.model) && !llama_model_is_hybrid(l->text.model);
    info->sequences = settings->sequences + (info->shares ? RUNTIME_SEQUENCES_KEPT : 0);
    if (info->sequences > RUNTIME_SEQUENCES_MAX || info->sequences > llama_max_parallel_sequences())
        return error_set(e, ERROR_INVALID_ARGUMENT, "sequences is %u, the maximum is %d",
                         settings->sequences, RUNTIME_SEQUENCES_MAX - RUNTIME_SEQUENCES_KEPT);
    if (size_cache(l, settings, e) < 0 || make_context(l, settings, e) < 0)
        return -1;
    l->batch = llama_batch_init((int32_t)info->rows_max, 0, 1);
    return m->projector ? open_projector(l, m, settings, e) : 0;
}

static void llama_runtime_close(struct runtime *r)
{
    struct llama_runtime *l = llama_of(r);

    if (l->batch.token)
        llama_batch_free(l->batch);
    if (l->media.embd)
        llama_batch_free(l->media);
    mem_free(l->media_pos);
    mem_free(l->place);
    mem_free(l->length);
    projector_free(l->projector);
    if (l->context)
        llama_free(l->context);
    for (uint32_t i = 0; i < ARRAY_LEN(l->loaded); i++)
        loaded_free(&l->loaded[i]);
    llama_text_close(&l->text);
    lock_destroy(&l->lock);
    mem_free(l);
}

/* Chooses the adapter of the next forward. */
static int use_adapter(struct llama_runtime *l, uint32_t id, struct error *e)
{
    if (id == atomic_load(&l->adapter))
        return 0;
    lock(&l->lock);
    const struct loaded *at = loaded_find(l, id); /* 0: a free one, which has nothing */
    assert(at);
    struct loaded a = *at;
    unlock(&l->lock);
    if (llama_set_adapters_lora(l->context, a.adapter, a.count, a.scale) != 0)
        return error_set(e, ERROR_FAILED_PRECONDITION, "the adapters cannot be used together");
    atomic_store(&l->adapter, id);
    return 0;
}

/* ---- Computing ---- */

static llama_pos place_of(const struct runtime_row *row)
{
    return (llama_pos)row->position + row->shift;
}

/* Fills in the members that both kinds of rows have. */
static void fill_batch(struct llama_runtime *l, struct llama_batch *b,
                       const struct runtime_row *row, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        b->pos[i] = place_of(&row[i]);
        b->n_seq_id[i] = 1;
        b->seq_id[i][0] = (llama_seq_id)row[i].sequence;
        b->logits[i] = row[i].logits;
        assert(row[i].adapter == row[0].adapter);
        if (!l->place)
            continue;
        l->place[(size_t)row[i].sequence * l->text.info.context_max + row[i].position] =
            place_of(&row[i]);
        l->length[row[i].sequence] = row[i].position + 1;
    }
    b->n_tokens = (int32_t)count;
}

static int32_t decode_media(struct llama_runtime *l, const struct runtime_row *row, uint32_t count)
{
    struct llama_batch b = l->media;
    size_t width = l->text.info.media_width;

    b.pos = l->media_pos;
    fill_batch(l, &b, row, count);
    for (uint32_t i = 0; i < count; i++) {
        memcpy(b.embd + i * width, row[i].embedding, width * sizeof *b.embd);
        if (!l->place)
            continue;
        b.pos[count + i] = (llama_pos)row[i].y;
        b.pos[2 * count + i] = (llama_pos)row[i].x;
        b.pos[3 * count + i] = 0;
    }
    if (row[0].whole)
        llama_set_causal_attn(l->context, false);
    int32_t rc = bridge_decode(l->context, b);
    if (row[0].whole)
        llama_set_causal_attn(l->context, true);
    return rc;
}

static int32_t decode_tokens(struct llama_runtime *l, const struct runtime_row *row, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        l->batch.token[i] = row[i].token;
    fill_batch(l, &l->batch, row, count);
    return bridge_decode(l->context, l->batch);
}

static int llama_runtime_forward(struct runtime *r, const struct runtime_row *row, uint32_t count,
                                 struct error *e)
{
    struct llama_runtime *l = llama_of(r);

    if (use_adapter(l, row[0].adapter, e) < 0)
        return -1;
    int32_t rc = row[0].embedding ? decode_media(l, row, count) : decode_tokens(l, row, count);

    if (rc == 1)
        return error_set(e, ERROR_RESOURCE_EXHAUSTED, "The model's cache is full.");
    if (rc != 0)
        return error_set(e, ERROR_INTERNAL, "The embedded engine failed (libllama: %d).", rc);
    return 0;
}

static const float *llama_runtime_logits(struct runtime *r, uint32_t row)
{
    return llama_get_logits_ith(llama_of(r)->context, (int32_t)row);
}

/* The position at which row `len` of a sequence stands, or would: never within an image, so all rows before it
 * have lower ones. */
static llama_pos place_at(const struct llama_runtime *l, uint32_t sequence, uint32_t len)
{
    if (!l->place || !len)
        return (llama_pos)len;
    if (len < l->length[sequence])
        return l->place[(size_t)sequence * l->text.info.context_max + len];
    return llama_memory_seq_pos_max(llama_get_memory(l->context), (llama_seq_id)sequence) + 1;
}

static void llama_runtime_copy(struct runtime *r, uint32_t from, uint32_t to, uint32_t len)
{
    struct llama_runtime *l = llama_of(r);
    size_t context = l->text.info.context_max;

    llama_memory_seq_cp(llama_get_memory(l->context), (llama_seq_id)from, (llama_seq_id)to, 0,
                        place_at(l, from, len));
    if (!l->place)
        return;
    memcpy(l->place + to * context, l->place + from * context, len * sizeof *l->place);
    l->length[to] = len;
}

static void llama_runtime_trim(struct runtime *r, uint32_t sequence, uint32_t len)
{
    struct llama_runtime *l = llama_of(r);

    (void)llama_memory_seq_rm(llama_get_memory(l->context), (llama_seq_id)sequence,
                              place_at(l, sequence, len), -1);
    if (l->place && len < l->length[sequence])
        l->length[sequence] = len;
}

/* The thread that encodes calls this; the projector has memory and threads of its own. */
static int llama_runtime_encode(struct runtime *r, const struct media_piece *piece,
                                const char *label, struct media_rows *out, struct error *e)
{
    struct llama_runtime *l = llama_of(r);

    if (projector_encode(l->projector, piece, label, out, e) < 0)
        return -1;
    for (uint32_t i = 0; i < out->count; i++)
        if (out->chunk[i].whole && out->chunk[i].count > l->text.info.rows_max) {
            (void)error_set(e, ERROR_INVALID_ARGUMENT,
                            "The image takes %u rows; one forward of the model has %u.",
                            out->chunk[i].count, l->text.info.rows_max);
            media_rows_release(out);
            return -1;
        }
    return 0;
}

static const struct runtime_ops llama_ops = {
    .name = "llama",
    .info = llama_text_info,
    .prompt = llama_text_prompt,
    .encode = llama_runtime_encode,
    .piece = llama_text_piece,
    .is_end = llama_text_is_end,
    .forward = llama_runtime_forward,
    .logits = llama_runtime_logits,
    .copy = llama_runtime_copy,
    .trim = llama_runtime_trim,
    .tokenize = llama_text_tokenize,
    .adapt = llama_runtime_adapt,
    .unadapt = llama_runtime_unadapt,
    .close = llama_runtime_close,
};

struct runtime *runtime_llama_open(const struct model *m, const struct runtime_settings *settings,
                                   struct error *e)
{
    struct llama_runtime *l = mem_alloc(sizeof *l);

    l->text.base.ops = &llama_ops;
    l->text.info.adapters_apart = true;
    lock_init(&l->lock);
    if (open_all(l, m, settings, e) < 0) {
        (void)error_wrap(e, "model %s", m->pattern);
        llama_runtime_close(&l->text.base);
        return NULL;
    }
    return &l->text.base;
}
