/* Judges a GGUF file by its metadata; no weight is read. */
#include "predict/model_check.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "kernel/kernel.h"
#include "predict/local/llama/llama_bridge.h"
#include "predict/local/llama/llama_text.h"
#include "predict/local/native/decoder.h"
#include "predict/local/native/tensor_file.h"
#include "predict/local/plan.h"

#define SPEED_WIDTH 1024
#define SPEED_ROWS 96
#define SPEED_NS (200 * NS_PER_MS)

static void take_text(const struct tensor_file *t, const char *key, char out[MODEL_FACT_BYTES])
{
    int64_t at = gguf_find_key(t->file, key);

    out[0] = '\0';
    if (at < 0 || gguf_get_kv_type(t->file, at) != GGUF_TYPE_STRING)
        return;
    (void)snprintf(out, MODEL_FACT_BYTES, "%s", gguf_get_val_str(t->file, at));
    out[str_utf8_valid(str_of(out))] = '\0';
    for (char *p = out; *p; p++) /* it is shown on terminals */
        if ((unsigned char)*p < ' ' || *p == 127)
            *p = ' ';
}

static uint32_t take_number(const struct tensor_file *t, const char *architecture, const char *key)
{
    char full[2 * MODEL_FACT_BYTES];

    (void)snprintf(full, sizeof full, "%s.%s", architecture, key);
    int64_t at = gguf_find_key(t->file, full);
    return at >= 0 && gguf_get_kv_type(t->file, at) == GGUF_TYPE_UINT32
               ? gguf_get_val_u32(t->file, at)
               : 0;
}

static int64_t elements(const struct tensor_file *t, int64_t i)
{
    const int64_t *shape = gguf_get_tensor_ne(t->file, i);
    int64_t n = 1;

    for (int d = 0; d < GGML_MAX_DIMS; d++)
        if (shape[d] < 0 || __builtin_mul_overflow(n, shape[d], &n))
            return -1;
    return n;
}

/* Counts the weights, and finds the format of most of them. Every tensor must lie in the file. */
static int read_tensors(const struct tensor_file *t, struct model_facts *out, struct error *e)
{
    uint64_t by_type[GGML_TYPE_COUNT] = { 0 };
    const uint64_t data = gguf_get_data_offset(t->file);
    int most = 0;

    out->tensors = (uint64_t)gguf_get_n_tensors(t->file);
    for (int64_t i = 0; i < (int64_t)out->tensors; i++) {
        const int64_t n = elements(t, i);
        const uint64_t end =
            data + gguf_get_tensor_offset(t->file, i) + gguf_get_tensor_size(t->file, i);
        const int type = (int)gguf_get_tensor_type(t->file, i);
        if (n < 1)
            return error_set(e, ERROR_FAILED_PRECONDITION, "%s: the tensor %.64s has no elements",
                             t->path, gguf_get_tensor_name(t->file, i));
        if (end > out->bytes || end < data)
            return error_set(e, ERROR_FAILED_PRECONDITION,
                             "%s is cut short: the tensor %.64s ends at byte %llu of %llu", t->path,
                             gguf_get_tensor_name(t->file, i), (unsigned long long)end,
                             (unsigned long long)out->bytes);
        out->parameters += (uint64_t)n;
        by_type[type] += (uint64_t)n;
        most = by_type[type] > by_type[most] ? type : most;
    }
    if (!out->tensors)
        return error_set(e, ERROR_FAILED_PRECONDITION, "%s has no tensors", t->path);
    (void)snprintf(out->format, sizeof out->format, "%s", ggml_type_name((enum ggml_type)most));
    return 0;
}

static void read_model(const struct tensor_file *t, struct model_facts *out)
{
    const char *a = out->architecture;
    const uint32_t heads = take_number(t, a, "attention.head_count");
    const uint32_t keys = take_number(t, a, "attention.head_count_kv");
    const uint32_t width = take_number(t, a, "embedding_length");
    uint32_t dim = take_number(t, a, "attention.key_length");
    struct error why = { 0 };

    out->layers = take_number(t, a, "block_count");
    out->context = take_number(t, a, "context_length");
    out->has_template = gguf_find_key(t->file, "tokenizer.chat_template") >= 0;
    dim = dim ? dim : heads ? width / heads : 0;
    out->cache_token_bytes = 4ULL * out->layers * (keys ? keys : heads) * dim;
    out->native = decoder_covers(t->path, &why) == 0;
    (void)snprintf(out->why, sizeof out->why, "%.*s", (int)sizeof out->why - 1, why.msg);
    bool large = plan_is_large(out->bytes, plan_machine_bytes());
    bool bytes2 = kernel_best(large)->layout.format == KERNEL_BF16;
    out->memory_bytes =
        out->native ? out->parameters * (bytes2 ? 2 : 1) + (bytes2 ? 0 : out->parameters / 8)
                    : out->bytes;
}

static int read_adapter(const struct tensor_file *t, struct model_facts *out, struct error *e)
{
    char kind[MODEL_FACT_BYTES];
    int64_t alpha = gguf_find_key(t->file, "adapter.lora.alpha");

    take_text(t, "adapter.type", kind);
    if (strcmp(kind, "lora") != 0)
        return error_set(e, ERROR_FAILED_PRECONDITION, "%s is an adapter of another kind than LoRA",
                         t->path);
    if (alpha >= 0 && gguf_get_kv_type(t->file, alpha) == GGUF_TYPE_FLOAT32)
        out->alpha = gguf_get_val_f32(t->file, alpha);
    for (int64_t i = 0; i < (int64_t)out->tensors; i++) {
        const char *name = gguf_get_tensor_name(t->file, i);
        if (!str_ends(str_of(name), STR(".lora_a")) && !str_ends(str_of(name), STR(".lora_b")))
            return error_set(e, ERROR_FAILED_PRECONDITION, "%s: tensor %.64s is none of a LoRA",
                             t->path, name);
        int64_t rows = gguf_get_tensor_ne(t->file, i)[1];
        if (str_ends(str_of(name), STR(".lora_a")) && rows > out->rank && rows < INT32_MAX)
            out->rank = (uint32_t)rows;
    }
    return 0;
}

static int read_facts(const struct tensor_file *t, struct model_facts *out, struct error *e)
{
    char type[MODEL_FACT_BYTES];
    struct stat st;

    if (fstat(t->fd, &st) != 0)
        return error_errno(e, "%s", t->path);
    out->bytes = (uint64_t)st.st_size;
    take_text(t, "general.architecture", out->architecture);
    take_text(t, "general.name", out->name);
    take_text(t, "general.license", out->licence);
    take_text(t, "general.type", type);
    if (!out->architecture[0])
        return error_set(e, ERROR_FAILED_PRECONDITION, "%s names no architecture", t->path);
    if (read_tensors(t, out, e) < 0)
        return -1;
    out->adapter = strcmp(type, "adapter") == 0;
    if (out->adapter)
        return read_adapter(t, out, e);
    read_model(t, out);
    return 0;
}

int model_check(const char *path, struct model_facts *out, struct error *e)
{
    struct tensor_file t;

    *out = (struct model_facts){ 0 };
    if (llama_text_check(path, e) < 0)
        return -1;
    struct llama_errors errors = { "" };
    bridge_quiet();
    llama_errors_catch(&errors);
    int rc = tensor_file_open(&t, path, e);
    if (rc < 0 && errors.last[0])
        (void)error_set(e, ERROR_FAILED_PRECONDITION, "%s is damaged (%s)", path, errors.last);
    if (rc == 0)
        rc = read_facts(&t, out, e);
    tensor_file_close(&t);
    llama_errors_catch(NULL);
    return rc;
}

double model_check_speed(bool native_large)
{
    const struct kernel_ops *k = kernel_best(native_large);
    struct clock *clock = clock_system();
    struct kernel_weights w;
    struct kernel_rows x;
    struct kernel_before registers;
    float *out = mem_aligned((size_t)SPEED_ROWS * KERNEL_TILE * sizeof *out, KERNEL_ALIGN);
    uint64_t begun = clock->mono_ns(clock), now = begun, tiles = 0;

    kernel_weights_init(&w, k->layout.format, SPEED_WIDTH, SPEED_WIDTH);
    kernel_rows_init(&x, &k->layout, SPEED_ROWS, SPEED_WIDTH);
    kernel_enter(k, &registers);
    for (; now - begun < SPEED_NS; now = clock->mono_ns(clock))
        for (uint32_t i = 0; i < kernel_weights_tiles(&w); i++, tiles++)
            k->product(&w, i, &x, 0, SPEED_ROWS,
                       (struct kernel_outputs){ out, KERNEL_TILE, false });
    kernel_leave(k, &registers);
    kernel_weights_release(&w);
    kernel_rows_release(&x);
    mem_free(out);
    const struct runtime_settings all = { 0 };
    return 2.0 * (double)tiles * KERNEL_TILE * SPEED_WIDTH * SPEED_ROWS /
           ((double)(now - begun) / 1e9) * plan_threads(&all);
}
