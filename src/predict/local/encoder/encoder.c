#include "predict/local/encoder/encoder.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include <gguf.h>

#include "base/mem.h"

/* Architectures of llama.cpp that make embeddings and no text. */
static const char *const encoders[] = {
    "bert",     "nomic-bert",  "nomic-bert-moe", "jina-bert-v2",    "jina-bert-v3",
    "neo-bert", "modern-bert", "eurobert",       "gemma-embedding", "t5encoder",
};

bool encoder_is_one(const char *path)
{
    const struct gguf_init_params params = { .no_alloc = true, .ctx = NULL };
    struct gguf_context *file = gguf_init_from_file(path, params);
    bool is_one = false;

    if (!file)
        return false; /* whoever opens it says why */
    int64_t at = gguf_find_key(file, "general.architecture");
    if (at >= 0 && gguf_get_kv_type(file, at) == GGUF_TYPE_STRING)
        for (size_t i = 0; i < ARRAY_LEN(encoders) && !is_one; i++)
            is_one = strcmp(gguf_get_val_str(file, at), encoders[i]) == 0;
    gguf_free(file);
    return is_one;
}

void encoder_name(const char *path, char *name, size_t cap)
{
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    size_t len = strlen(base);

    if (len > 5 && strcmp(base + len - 5, ".gguf") == 0)
        len -= 5;
    (void)snprintf(name, cap, "%.*s", (int)(len < cap ? len : cap - 1), base);
}

void encoder_normalise(float *vector, uint32_t count)
{
    double squares = 0.0;

    for (uint32_t i = 0; i < count; i++)
        squares += (double)vector[i] * (double)vector[i];
    bool fits = squares > 0.0 && isfinite(squares);
    float scale = fits ? (float)(1.0 / sqrt(squares)) : 0.0f;
    for (uint32_t i = 0; i < count; i++)
        vector[i] = fits ? vector[i] * scale : 0.0f;
}
