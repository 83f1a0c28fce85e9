/* libllama as a runtime: one unified key-value cache, so that sequences share cells; flash attention;
 * one micro-batch a forward. */
#include "predict/runtime.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <llama.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/sys.h"
#include "predict/llama_bridge.h"
#include "predict/llama_prompt.h"

#define CONTEXT_DEFAULT_MAX 8192 /* tokens of a request, when the model allows more */
#define CELLS_PER_SEQUENCE 512   /* room for a usual request in each sequence */
#define CELLS_MULTIPLE 256       /* libllama rounds up to this */
#define KEPT_SEQUENCES 16        /* ids beyond the computing ones, for kept prefixes */
#define SPIN_COUNT "1000"        /* of libgomp: some microseconds */
#define PIECE_BYTES 512          /* of one token; longer ones are asked for again */
#define BYTES_PER_MIB ((uint64_t)1024 * 1024)
#define KEY_BYTES 96 /* of a metadata key or number */

struct llama_runtime {
    struct runtime base; /* first, so that a pointer to it is one to this */
    struct llama_model *model;
    struct llama_context *context;
    const struct llama_vocab *vocab;
    struct llama_prompt *prompt;
    struct llama_batch batch;           /* of info.rows_max rows */
    struct llama_token_data *candidate; /* info.vocab of them: scratch of grammars */
    bool strips_space; /* the tokenizer puts a space before an answer's first word */
    struct runtime_info info;
};

struct grammar {
    struct llama_runtime *runtime;
    struct llama_sampler *sampler;
};

static const struct runtime_ops llama_ops;

static struct llama_runtime *llama_of(struct runtime *r)
{
    return (struct llama_runtime *)r;
}

/* ---- What libllama logs ---- */

/* While a model is being opened: the last error that libllama reported. */
struct last_error {
    char text[256];
};

static void on_log(enum ggml_log_level level, const char *text, void *arg)
{
    struct last_error *last = arg;
    size_t len = strcspn(text, "\n");

    if (!len)
        return;
    log_debug("libllama: %.*s", (int)len, text);
    if (last && level == GGML_LOG_LEVEL_ERROR)
        (void)snprintf(last->text, sizeof last->text, "%.*s", (int)len, text);
}

/* ---- Opening ---- */

/* Says early and clearly what libllama would say by a failed assertion or not at all. */
static int check_file(const char *path, struct error *e)
{
    char magic[4];
    int fd = sys_open(path, O_RDONLY, e);

    if (fd < 0)
        return -1;
    int64_t got = sys_read_at(fd, magic, sizeof magic, 0, path, e);
    (void)close(fd);
    if (got < 0)
        return -1;
    if ((size_t)got < sizeof magic || memcmp(magic, "GGUF", sizeof magic) != 0)
        return error_set(e, ERROR_FAILED_PRECONDITION, "%s is not a GGUF file", path);
    return 0;
}

static int load_model(struct llama_runtime *l, const struct model *m, struct error *e)
{
    struct llama_model_params params = llama_model_default_params();
    struct last_error last = { "" };

    if (check_file(m->file, e) < 0)
        return -1;
    params.n_gpu_layers = 0;
    llama_log_set(on_log, &last);
    l->model = llama_model_load_from_file(m->file, params);
    llama_log_set(on_log, NULL);
    if (!l->model)
        return error_set(e, ERROR_FAILED_PRECONDITION, "%s cannot be loaded: %s", m->file,
                         last.text[0] ? last.text : "it is damaged or of an unknown kind");
    if (!llama_model_has_decoder(l->model) || llama_model_has_encoder(l->model))
        return error_set(e, ERROR_FAILED_PRECONDITION, "%s does not generate text", m->file);
    l->vocab = llama_model_get_vocab(l->model);
    return 0;
}

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

static uint32_t round_up(uint64_t count)
{
    uint64_t rounded = (count + CELLS_MULTIPLE - 1) / CELLS_MULTIPLE * CELLS_MULTIPLE;

    return rounded > INT32_MAX / 2 ? INT32_MAX / 2 : (uint32_t)rounded;
}

/* One request must fit whole; beyond that, a usual one in each sequence. */
static int size_cache(struct llama_runtime *l, const struct runtime_wish *w, struct error *e)
{
    uint32_t trained = (uint32_t)llama_model_n_ctx_train(l->model);
    uint32_t usual = trained < CONTEXT_DEFAULT_MAX ? trained : CONTEXT_DEFAULT_MAX;
    uint64_t bytes = cell_bytes(l->model);
    uint32_t context = w->context ? w->context : usual;
    uint64_t cells = (uint64_t)w->sequences * CELLS_PER_SEQUENCE;

    if (context > trained)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "context %u: the model was trained for %u tokens", context, trained);
    if (w->cache_mib && bytes)
        cells = w->cache_mib * BYTES_PER_MIB / bytes;
    if (w->cache_mib && cells < context) {
        if (w->context)
            return error_set(e, ERROR_INVALID_ARGUMENT,
                             "cache_mib %u holds %llu tokens, less than the context of %u",
                             w->cache_mib, (unsigned long long)cells, context);
        context = (uint32_t)cells;
    }
    l->info.cells = round_up(cells > context ? cells : context);
    l->info.context_max = context;
    l->info.memory_bytes = llama_model_size(l->model) + l->info.cells * bytes;
    return 0;
}

static uint32_t all_cores(void)
{
    long count = sysconf(_SC_NPROCESSORS_ONLN);

    return count > 0 ? (uint32_t)count : 1;
}

static int make_context(struct llama_runtime *l, const struct runtime_wish *w, struct error *e)
{
    struct llama_context_params p = llama_context_default_params();
    struct last_error last = { "" };
    uint32_t threads = w->threads ? w->threads : all_cores();

    p.n_ctx = l->info.cells;
    p.n_seq_max = l->info.sequences;
    p.n_batch = p.n_ubatch = l->info.rows_max;
    p.n_outputs_max = l->info.sequences; /* rows of one forward that give logits */
    p.n_threads = p.n_threads_batch = (int32_t)threads;
    p.kv_unified = true;
    p.swa_full = true; /* a sliding window would forget what prefixes are shared from */
    p.no_perf = true;
    p.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_AUTO; /* on wherever the model allows it */
    llama_log_set(on_log, &last);
    l->context = llama_init_from_model(l->model, p);
    llama_log_set(on_log, NULL);
    if (!l->context)
        return error_set(e, ERROR_RESOURCE_EXHAUSTED, "no cache of %u tokens could be made: %s",
                         l->info.cells, last.text[0] ? last.text : "out of memory");
    l->info.cells = llama_n_ctx(l->context);
    return 0;
}

static int load_adapters(struct llama_runtime *l, const struct model *m, struct error *e)
{
    struct llama_adapter_lora *adapter[MODEL_ADAPTERS_MAX];
    float scale[MODEL_ADAPTERS_MAX];

    for (uint32_t i = 0; i < m->adapter_count; i++) {
        if (check_file(m->adapter[i].file, e) < 0)
            return error_wrap(e, "adapter");
        scale[i] = m->adapter[i].scale;
        struct last_error last = { "" };
        llama_log_set(on_log, &last);
        adapter[i] = llama_adapter_lora_init(l->model, m->adapter[i].file);
        llama_log_set(on_log, NULL);
        if (!adapter[i])
            return error_set(e, ERROR_FAILED_PRECONDITION, "adapter %s does not fit the model: %s",
                             m->adapter[i].file, last.text);
    }
    if (m->adapter_count &&
        llama_set_adapters_lora(l->context, adapter, m->adapter_count, scale) != 0)
        return error_set(e, ERROR_FAILED_PRECONDITION, "the adapters cannot be used together");
    return 0;
}

/* The file's name without folder and ".gguf", and the format of its weights. */
static void name_model(struct llama_runtime *l, const char *path)
{
    const char *base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    const char *format = llama_ftype_name(llama_model_ftype(l->model));
    char file[64], kind[16];

    (void)snprintf(file, sizeof file, "%s", base);
    size_t len = strlen(file);
    if (len > 5 && strcmp(file + len - 5, ".gguf") == 0)
        file[len - 5] = '\0';
    (void)snprintf(kind, sizeof kind, "%.*s", (int)strcspn(format, " "), format);
    for (char *p = file; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    for (char *p = kind; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    (void)snprintf(l->info.name, sizeof l->info.name, strstr(file, kind) ? "%s" : "%s-%s", file,
                   kind);
}

static bool puts_space_first(const struct llama_runtime *l)
{
    char value[KEY_BYTES];

    if (llama_vocab_type(l->vocab) != LLAMA_VOCAB_TYPE_SPM)
        return false;
    return llama_model_meta_val_str(l->model, "tokenizer.ggml.add_space_prefix", value,
                                    sizeof value) < 0 ||
           strcmp(value, "true") == 0;
}

/* By default libgomp's threads spin for milliseconds at a barrier, of which a forward has hundreds:
 * whatever else runs on the machine then slows every forward down many times. A short spin, then
 * sleep, costs next to nothing when the machine is idle (docs/performance.md). libgomp reads the
 * variable in its own constructor, so this one goes first; what the user has set stays. */
__attribute__((constructor(101))) static void spin_shortly(void)
{
    (void)setenv("GOMP_SPINCOUNT", SPIN_COUNT, 0);
}

static int open_all(struct llama_runtime *l, const struct model *m, const struct runtime_wish *w,
                    struct error *e)
{
    if (load_model(l, m, e) < 0)
        return -1;
    l->info.vocab = (uint32_t)llama_vocab_n_tokens(l->vocab);
    l->info.rows_max = w->rows_max;
    l->info.shares = !llama_model_is_recurrent(l->model) && !llama_model_is_hybrid(l->model);
    l->info.sequences = w->sequences + (l->info.shares ? KEPT_SEQUENCES : 0);
    if (l->info.sequences > RUNTIME_SEQUENCES_MAX ||
        l->info.sequences > llama_max_parallel_sequences())
        return error_set(e, ERROR_INVALID_ARGUMENT, "sequences %u: at most %d", w->sequences,
                         RUNTIME_SEQUENCES_MAX - KEPT_SEQUENCES);
    if (size_cache(l, w, e) < 0 || make_context(l, w, e) < 0 || load_adapters(l, m, e) < 0)
        return -1;
    l->prompt = llama_prompt_new(l->model, e);
    if (!l->prompt)
        return -1;
    l->batch = llama_batch_init((int32_t)w->rows_max, 0, 1);
    l->candidate = mem_array(l->info.vocab, sizeof *l->candidate);
    l->strips_space = puts_space_first(l);
    name_model(l, m->file);
    return 0;
}

static void llama_runtime_close(struct runtime *r)
{
    struct llama_runtime *l = llama_of(r);

    llama_prompt_free(l->prompt);
    mem_free(l->candidate);
    if (l->batch.token)
        llama_batch_free(l->batch);
    if (l->context)
        llama_free(l->context);
    if (l->model)
        llama_model_free(l->model);
    mem_free(l);
}

struct runtime *runtime_llama_open(const struct model *m, const struct runtime_wish *wish,
                                   struct error *e)
{
    struct llama_runtime *l = mem_alloc(sizeof *l);

    l->base.ops = &llama_ops;
    llama_log_set(on_log, NULL);
    bridge_quiet();
    llama_backend_init();
    if (open_all(l, m, wish, e) < 0) {
        (void)error_wrap(e, "model %s", m->pattern);
        llama_runtime_close(&l->base);
        return NULL;
    }
    return &l->base;
}

/* ---- Text and tokens ---- */

static void llama_runtime_info(struct runtime *r, struct runtime_info *out)
{
    *out = llama_of(r)->info;
}

static int llama_runtime_prompt(struct runtime *r, const struct chat_message *m, uint32_t count,
                                struct tokens *out, struct error *e)
{
    return llama_prompt_tokens(llama_of(r)->prompt, m, count, out, e);
}

static void llama_runtime_piece(struct runtime *r, int32_t token, bool first, struct buf *out)
{
    const struct llama_runtime *l = llama_of(r);
    int32_t strip = first && l->strips_space;
    char bytes[PIECE_BYTES];
    int32_t len = llama_token_to_piece(l->vocab, token, bytes, sizeof bytes, strip, false);

    if (len >= 0) {
        buf_add(out, bytes, (size_t)len);
        return;
    }
    char *longer = mem_alloc((size_t)-len);
    int32_t got = llama_token_to_piece(l->vocab, token, longer, -len, strip, false);
    buf_add(out, longer, got > 0 ? (size_t)got : 0);
    mem_free(longer);
}

static bool llama_runtime_is_end(struct runtime *r, int32_t token)
{
    return llama_vocab_is_eog(llama_of(r)->vocab, token);
}

/* ---- Computing ---- */

static int llama_runtime_forward(struct runtime *r, const struct runtime_row *row, uint32_t count,
                                 struct error *e)
{
    struct llama_runtime *l = llama_of(r);
    struct llama_batch *b = &l->batch;

    for (uint32_t i = 0; i < count; i++) {
        b->token[i] = row[i].token;
        b->pos[i] = (llama_pos)row[i].position;
        b->n_seq_id[i] = 1;
        b->seq_id[i][0] = (llama_seq_id)row[i].sequence;
        b->logits[i] = row[i].logits;
    }
    b->n_tokens = (int32_t)count;
    int32_t rc = bridge_decode(l->context, *b);
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

static void llama_runtime_copy(struct runtime *r, uint32_t from, uint32_t to, uint32_t len)
{
    llama_memory_seq_cp(llama_get_memory(llama_of(r)->context), (llama_seq_id)from,
                        (llama_seq_id)to, 0, (llama_pos)len);
}

static void llama_runtime_trim(struct runtime *r, uint32_t sequence, uint32_t len)
{
    (void)llama_memory_seq_rm(llama_get_memory(llama_of(r)->context), (llama_seq_id)sequence,
                              (llama_pos)len, -1);
}

/* ---- Grammars ---- */

static void sink_into_buf(void *arg, const char *p, size_t len)
{
    buf_add(arg, p, len);
}

static int llama_runtime_schema_grammar(struct runtime *r, struct str json_schema, struct buf *out,
                                        struct error *e)
{
    struct bridge_text schema = { json_schema.p, json_schema.len };
    struct bridge_error why = { 0 };

    (void)r;
    if (bridge_schema_grammar(schema, sink_into_buf, out, &why) < 0)
        return error_set(e, ERROR_INVALID_ARGUMENT, "%s", why.message);
    if (!buf_ok(out))
        return error_set(e, ERROR_INVALID_ARGUMENT, "the schema's grammar is too large");
    return 0;
}

static struct grammar *llama_runtime_grammar_new(struct runtime *r, struct str gbnf,
                                                 struct error *e)
{
    struct llama_runtime *l = llama_of(r);
    struct bridge_text text = { gbnf.p, gbnf.len };
    struct bridge_error why = { 0 };
    struct llama_sampler *sampler = bridge_grammar_new(l->vocab, text, &why);

    if (!sampler) {
        (void)error_set(e, ERROR_INVALID_ARGUMENT, "%s", why.message);
        return NULL;
    }
    struct grammar *g = mem_alloc(sizeof *g);
    g->runtime = l;
    g->sampler = sampler;
    return g;
}

/* A control token's text is no text of the answer, whatever the grammar would say to it. */
static bool is_text_or_end(const struct llama_runtime *l, int32_t token)
{
    return !llama_vocab_is_control(l->vocab, token) || llama_vocab_is_eog(l->vocab, token);
}

static uint32_t llama_runtime_grammar_filter(struct grammar *g, struct scored *c, uint32_t count)
{
    struct llama_token_data *data = g->runtime->candidate;
    struct llama_token_data_array all = { data, count, -1, false };
    uint32_t kept = 0;

    for (uint32_t i = 0; i < count; i++)
        data[i] = (struct llama_token_data){ c[i].token, 0.0f, 0.0f };
    if (bridge_grammar_apply(g->sampler, &all) < 0)
        return 0;
    for (uint32_t i = 0; i < count; i++)
        if (data[i].logit == 0.0f && is_text_or_end(g->runtime, c[i].token))
            c[kept++] = c[i];
    return kept;
}

static void llama_runtime_grammar_accept(struct grammar *g, int32_t token)
{
    (void)bridge_grammar_accept(g->sampler, token); /* an allowed token is always accepted */
}

static void llama_runtime_grammar_free(struct grammar *g)
{
    if (!g)
        return;
    llama_sampler_free(g->sampler);
    mem_free(g);
}

static const struct runtime_ops llama_ops = {
    .name = "llama",
    .info = llama_runtime_info,
    .prompt = llama_runtime_prompt,
    .piece = llama_runtime_piece,
    .is_end = llama_runtime_is_end,
    .forward = llama_runtime_forward,
    .logits = llama_runtime_logits,
    .copy = llama_runtime_copy,
    .trim = llama_runtime_trim,
    .schema_grammar = llama_runtime_schema_grammar,
    .grammar_new = llama_runtime_grammar_new,
    .grammar_filter = llama_runtime_grammar_filter,
    .grammar_accept = llama_runtime_grammar_accept,
    .grammar_free = llama_runtime_grammar_free,
    .close = llama_runtime_close,
};
