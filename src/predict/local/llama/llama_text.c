#include "predict/local/llama/llama_text.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/sys.h"
#include "predict/local/llama/llama_bridge.h"

#define PIECE_BYTES 512 /* of one token; longer ones are asked for again */
#define KEY_BYTES 96    /* of a metadata key or number */

static struct llama_text *text_of(struct runtime *r)
{
    return (struct llama_text *)r;
}

/* ---- The log of libllama ---- */

static void on_log(enum ggml_log_level level, const char *text, void *arg)
{
    struct llama_errors *errors = arg;
    size_t len = strcspn(text, "\n");

    if (!len)
        return;
    log_debug("libllama: %.*s", (int)len, text);
    if (errors && level == GGML_LOG_LEVEL_ERROR)
        (void)snprintf(errors->last, sizeof errors->last, "%.*s", (int)len, text);
}

void llama_errors_catch(struct llama_errors *errors)
{
    llama_log_set(on_log, errors);
}

/* ---- Opening ---- */

int llama_text_check_as(const char *path, int opened, struct error *e)
{
    char magic[4];
    int fd = opened ? opened : sys_open(path, O_RDONLY, e);

    if (fd < 0)
        return -1;
    int64_t got = sys_read_at(fd, magic, sizeof magic, 0, path, e);
    if (!opened)
        (void)close(fd);
    if (got < 0)
        return -1;
    if ((size_t)got < sizeof magic || memcmp(magic, "GGUF", sizeof magic) != 0)
        return error_set(e, ERROR_FAILED_PRECONDITION, "%s is not a GGUF file", path);
    return 0;
}

int llama_text_check(const char *path, struct error *e)
{
    return llama_text_check_as(path, 0, e);
}

static int load_model(struct llama_text *t, const char *path, bool weights, struct error *e)
{
    struct llama_model_params params = llama_model_default_params();
    struct llama_errors errors = { "" };

    if (llama_text_check(path, e) < 0)
        return -1;
    params.n_gpu_layers = 0;
    params.vocab_only = !weights;
    llama_errors_catch(&errors);
    t->model = llama_model_load_from_file(path, params);
    llama_errors_catch(NULL);
    if (!t->model)
        return error_set(e, ERROR_FAILED_PRECONDITION, "%s cannot be loaded: %s", path,
                         errors.last[0] ? errors.last : "it is damaged or of an unknown kind");
    if (!llama_model_has_decoder(t->model) || llama_model_has_encoder(t->model))
        return error_set(e, ERROR_FAILED_PRECONDITION, "%s does not generate text", path);
    t->vocab = llama_model_get_vocab(t->model);
    return 0;
}

static void lower(char *text)
{
    for (; *text; text++)
        if (*text >= 'A' && *text <= 'Z')
            *text = (char)(*text - 'A' + 'a');
}

/* The file's name without folder and ".gguf", and the format of its weights. */
static void name_model(struct llama_text *t, const char *path)
{
    const char *base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    char file[64], kind[16], number[KEY_BYTES] = "";

    /* From the metadata, because a model without weights does not know it. */
    (void)llama_model_meta_val_str(t->model, "general.file_type", number, sizeof number);
    const char *format = llama_ftype_name((enum llama_ftype)strtol(number, NULL, 10));

    (void)snprintf(file, sizeof file, "%s", base);
    size_t len = strlen(file);
    if (len > 5 && strcmp(file + len - 5, ".gguf") == 0)
        file[len - 5] = '\0';
    (void)snprintf(kind, sizeof kind, "%.*s", (int)strcspn(format, " "), format);
    lower(file);
    lower(kind);
    (void)snprintf(t->info.name, sizeof t->info.name, strstr(file, kind) ? "%s" : "%s-%s", file,
                   kind);
}

static bool puts_space_first(const struct llama_text *t)
{
    char value[KEY_BYTES];

    if (llama_vocab_type(t->vocab) != LLAMA_VOCAB_TYPE_SPM)
        return false;
    return llama_model_meta_val_str(t->model, "tokenizer.ggml.add_space_prefix", value,
                                    sizeof value) < 0 ||
           strcmp(value, "true") == 0;
}

int llama_text_open(struct llama_text *t, const struct model *m, bool weights, struct error *e)
{
    bridge_quiet();
    llama_errors_catch(NULL);
    llama_backend_init();
    if (load_model(t, m->file, weights, e) < 0)
        return -1;
    t->info.vocab = (uint32_t)llama_vocab_n_tokens(t->vocab);
    t->prompt = llama_prompt_new(t->model, m, e);
    if (!t->prompt)
        return -1;
    llama_prompt_info(t->prompt, &t->info);
    t->strips_space = puts_space_first(t);
    name_model(t, m->file);
    return 0;
}

void llama_text_close(struct llama_text *t)
{
    llama_prompt_free(t->prompt);
    if (t->model)
        llama_model_free(t->model);
}

/* ---- Text and tokens ---- */

void llama_text_info(struct runtime *r, struct runtime_info *out)
{
    *out = text_of(r)->info;
}

int llama_text_prompt(struct runtime *r, const struct chat *chat, struct tokens *out, bool *thinks,
                      struct error *e)
{
    return llama_prompt_tokens(text_of(r)->prompt, chat, out, thinks, e);
}

void llama_text_piece(struct runtime *r, int32_t token, bool first, struct buf *out)
{
    const struct llama_text *t = text_of(r);
    int32_t strip = first && t->strips_space;
    char bytes[PIECE_BYTES];
    bool shown = llama_prompt_shows(t->prompt, token);
    int32_t len = llama_token_to_piece(t->vocab, token, bytes, sizeof bytes, strip, shown);

    if (len >= 0) {
        buf_add(out, bytes, (size_t)len);
        return;
    }
    char *longer = mem_alloc((size_t)-len);
    int32_t got = llama_token_to_piece(t->vocab, token, longer, -len, strip, shown);
    buf_add(out, longer, got > 0 ? (size_t)got : 0);
    mem_free(longer);
}

bool llama_text_is_end(struct runtime *r, int32_t token)
{
    return llama_vocab_is_eog(text_of(r)->vocab, token);
}

bool llama_text_tokenize(struct runtime *r, struct str text, struct tokens *out)
{
    const struct llama_text *t = text_of(r);
    struct bridge_text in = { text.p, text.len };

    if (t->strips_space || text.len > INT32_MAX / 2)
        return false;
    int32_t cap = (int32_t)text.len + 2;
    int32_t count = bridge_tokenize(t->vocab, in, false, tokens_reserve(out, (uint32_t)cap), cap);
    out->count += count > 0 ? (uint32_t)count : 0;
    return count >= 0;
}
