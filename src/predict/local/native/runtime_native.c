#include "predict/local/native/runtime_native.h"

#include <stdio.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "predict/local/native/forward.h"
#include "predict/local/llama/llama_text.h"
#include "predict/local/plan.h"

/* All sequences have room for short requests that share their beginning, a third of them for long
 * ones: long requests fill a forward with fewer sequences, and the cache is most of the memory. */
#define CELLS_PER_SEQUENCE 192

struct native {
    struct llama_text text; /* first, so that a pointer to its base is one to this */
    const struct kernel_ops *kernel;
    struct decoder *decoder;
    struct page_cache *cache;
    struct lora_table *adapters;
    struct team *team;
    struct forward *forward;
};

static struct native *native_of(struct runtime *r)
{
    return (struct native *)r;
}

/* ---- Opening ---- */

static struct page_shape cache_shape(const struct native *n)
{
    const struct decoder_shape *s = &n->decoder->shape;
    const struct runtime_info *info = &n->text.info;

    return (struct page_shape){
        /* Each sequence may leave its last page nearly empty. */
        .pages = info->cells / KERNEL_PAGE + info->sequences,
        .sequences = info->sequences,
        .positions_max = info->context_max,
        .heads = s->layers * s->kv_heads,
        .dim = s->dim,
    };
}

static int size_cache(struct native *n, const struct runtime_settings *settings, struct error *e)
{
    const struct decoder_shape *s = &n->decoder->shape;
    const struct cache_facts facts = {
        .trained = s->positions,
        .cell_bytes = 2ULL * s->layers * s->kv_heads * s->dim * sizeof(uint16_t),
        .multiple = KERNEL_PAGE,
        .per_sequence = CELLS_PER_SEQUENCE,
    };
    struct runtime_info *info = &n->text.info;

    info->rows_max = settings->rows_max;
    info->shares = true;
    info->sequences = settings->sequences + RUNTIME_SEQUENCES_KEPT;
    if (info->sequences > RUNTIME_SEQUENCES_MAX)
        return error_set(e, ERROR_INVALID_ARGUMENT, "sequences is %u, the maximum is %d",
                         settings->sequences, RUNTIME_SEQUENCES_MAX - RUNTIME_SEQUENCES_KEPT);
    return plan_cache(&facts, settings, info, e);
}

static int make_forward(struct native *n, const struct runtime_settings *settings, struct error *e)
{
    const struct page_shape shape = cache_shape(n);
    uint32_t threads = plan_threads(settings);

    n->team = team_new(threads < TEAM_MEMBERS_MAX ? threads : TEAM_MEMBERS_MAX, e);
    if (!n->team)
        return -1;
    n->cache = page_cache_new(&shape);
    n->adapters = lora_table_new();
    const struct forward_setup setup = {
        .decoder = n->decoder,
        .kernel = n->kernel,
        .cache = n->cache,
        .team = n->team,
        .rows_max = settings->rows_max,
        .logits_max = n->text.info.sequences,
        .adapters = n->adapters,
    };
    n->forward = forward_new(&setup);
    n->text.info.memory_bytes =
        n->decoder->bytes + page_cache_bytes(&shape) + forward_bytes(n->forward);
    return 0;
}

static const struct kernel_ops *choose_kernel(const char *file)
{
    struct stat st;
    uint64_t bytes = stat(file, &st) == 0 ? (uint64_t)st.st_size : 0;

    return kernel_best(plan_is_large(bytes, plan_machine_bytes()));
}

static int open_all(struct native *n, const struct model *m,
                    const struct runtime_settings *settings, struct error *e)
{
    if (llama_text_check(m->file, e) < 0)
        return -1;
    n->kernel = choose_kernel(m->file);
    n->decoder = decoder_open(m->file, n->kernel->layout.format, settings->weights_fd, e);
    if (!n->decoder || llama_text_open(&n->text, m, false, e) < 0)
        return -1;
    if (n->text.info.vocab != n->decoder->shape.vocab)
        return error_set(e, ERROR_UNIMPLEMENTED, "a vocabulary and embeddings of different sizes");
    if (size_cache(n, settings, e) < 0)
        return -1;
    decoder_make_rope(n->decoder, n->text.info.context_max);
    return make_forward(n, settings, e);
}

static void native_close(struct runtime *r)
{
    struct native *n = native_of(r);

    forward_free(n->forward);
    team_free(n->team);
    page_cache_free(n->cache);
    lora_table_free(n->adapters);
    decoder_free(n->decoder);
    llama_text_close(&n->text);
    mem_free(n);
}

/* ---- Computing ---- */

static int native_forward(struct runtime *r, const struct runtime_row *row, uint32_t count,
                          struct error *e)
{
    struct native *n = native_of(r);

    if (page_cache_reserve(n->cache, row, count, e) < 0)
        return -1;
    forward_compute(n->forward, row, count);
    return 0;
}

static const float *native_logits(struct runtime *r, uint32_t row)
{
    return forward_logits(native_of(r)->forward, row);
}

static struct logits_summary native_summary(struct runtime *r, uint32_t row)
{
    return forward_summary(native_of(r)->forward, row);
}

static void native_copy(struct runtime *r, uint32_t from, uint32_t to, uint32_t len)
{
    page_cache_copy(native_of(r)->cache, from, to, len);
}

static void native_trim(struct runtime *r, uint32_t sequence, uint32_t len)
{
    page_cache_trim(native_of(r)->cache, sequence, len);
}

static int native_adapt(struct runtime *r, uint32_t id, const struct adapter_list *files,
                        struct error *e)
{
    struct native *n = native_of(r);

    for (uint32_t i = 0; i < files->count; i++)
        if (llama_text_check_as(files->item[i].file, files->item[i].fd, e) < 0)
            return error_wrap(e, "adapter");
    struct lora *l = lora_open(n->decoder, n->kernel->layout.format, files, e);
    return l ? lora_table_put(n->adapters, id, l, e) : -1;
}

static void native_unadapt(struct runtime *r, uint32_t id)
{
    lora_table_drop(native_of(r)->adapters, id);
}

static const struct runtime_ops native_ops = {
    .name = "native",
    .info = llama_text_info,
    .prompt = llama_text_prompt,
    .piece = llama_text_piece,
    .is_end = llama_text_is_end,
    .forward = native_forward,
    .logits = native_logits,
    .summary = native_summary,
    .copy = native_copy,
    .trim = native_trim,
    .tokenize = llama_text_tokenize,
    .adapt = native_adapt,
    .unadapt = native_unadapt,
    .close = native_close,
};

struct runtime *runtime_native_open(const struct model *m, const struct runtime_settings *settings,
                                    struct error *e)
{
    struct native *n = mem_alloc(sizeof *n);

    n->text.base.ops = &native_ops;
    if (open_all(n, m, settings, e) < 0) {
        (void)error_wrap(e, "model %s", m->pattern);
        native_close(&n->text.base);
        return NULL;
    }
    return &n->text.base;
}
