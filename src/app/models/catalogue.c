#include "app/models/catalogue.h"

#include <stddef.h>
#include <strings.h>

#include "base/mem.h"

// clang-format off
static const struct catalogue_entry entries[] = {
    /* name, repository, file, size, licence, context, gated, notes */
    { "smollm2-135m-instruct", "bartowski/SmolLM2-135M-Instruct-GGUF", "SmolLM2-135M-Instruct-Q8_0.gguf",
      "0.14B", "apache-2.0", 8192, false, "ChatML; English" },
    { "smollm2-360m-instruct", "HuggingFaceTB/SmolLM2-360M-Instruct-GGUF", "smollm2-360m-instruct-q8_0.gguf",
      "0.36B", "apache-2.0", 8192, false, "ChatML; English" },
    { "smollm2-1.7b-instruct", "HuggingFaceTB/SmolLM2-1.7B-Instruct-GGUF", "smollm2-1.7b-instruct-q4_k_m.gguf",
      "1.7B", "apache-2.0", 8192, false, "ChatML; English" },
    { "qwen2.5-0.5b-instruct", "Qwen/Qwen2.5-0.5B-Instruct-GGUF", "qwen2.5-0.5b-instruct-q8_0.gguf",
      "0.5B", "apache-2.0", 32768, false, "ChatML; tools (Hermes)" },
    { "qwen2.5-1.5b-instruct", "Qwen/Qwen2.5-1.5B-Instruct-GGUF", "qwen2.5-1.5b-instruct-q8_0.gguf",
      "1.5B", "apache-2.0", 32768, false, "ChatML; tools (Hermes)" },
    { "qwen2.5-3b-instruct", "Qwen/Qwen2.5-3B-Instruct-GGUF", "qwen2.5-3b-instruct-q4_k_m.gguf",
      "3B", "qwen-research", 32768, false, "ChatML; tools (Hermes); not for commercial use" },
    { "qwen3-0.6b", "Qwen/Qwen3-0.6B-GGUF", "Qwen3-0.6B-Q8_0.gguf",
      "0.6B", "apache-2.0", 40960, false, "ChatML; thinks; tools (Hermes)" },
    { "qwen3-1.7b", "Qwen/Qwen3-1.7B-GGUF", "Qwen3-1.7B-Q8_0.gguf",
      "1.7B", "apache-2.0", 40960, false, "ChatML; thinks; tools (Hermes)" },
    { "qwen3-4b", "Qwen/Qwen3-4B-GGUF", "Qwen3-4B-Q4_K_M.gguf",
      "4B", "apache-2.0", 40960, false, "ChatML; thinks; tools (Hermes)" },
    { "qwen3-8b", "Qwen/Qwen3-8B-GGUF", "Qwen3-8B-Q4_K_M.gguf",
      "8B", "apache-2.0", 40960, false, "ChatML; thinks; tools (Hermes)" },
    { "llama-3.2-1b-instruct", "bartowski/Llama-3.2-1B-Instruct-GGUF", "Llama-3.2-1B-Instruct-Q8_0.gguf",
      "1B", "llama3.2", 131072, true, "Llama 3; tools (JSON)" },
    { "llama-3.2-3b-instruct", "bartowski/Llama-3.2-3B-Instruct-GGUF", "Llama-3.2-3B-Instruct-Q4_K_M.gguf",
      "3B", "llama3.2", 131072, true, "Llama 3; tools (JSON)" },
    { "gemma-3-1b-it", "ggml-org/gemma-3-1b-it-GGUF", "gemma-3-1b-it-Q8_0.gguf",
      "1B", "gemma", 32768, true, "Gemma; no system role of its own" },
    { "gemma-3-4b-it", "ggml-org/gemma-3-4b-it-GGUF", "gemma-3-4b-it-Q4_K_M.gguf",
      "4B", "gemma", 131072, true, "Gemma; no system role of its own" },
    { "phi-3-mini-4k-instruct", "microsoft/Phi-3-mini-4k-instruct-gguf", "Phi-3-mini-4k-instruct-q4.gguf",
      "3.8B", "mit", 4096, false, "Phi 3" },
    { "mistral-7b-instruct-v0.3", "bartowski/Mistral-7B-Instruct-v0.3-GGUF", "Mistral-7B-Instruct-v0.3-Q4_K_M.gguf",
      "7B", "apache-2.0", 32768, false, "Mistral" },
};
// clang-format on

const struct catalogue_entry *catalogue_at(uint32_t i)
{
    return i < ARRAY_LEN(entries) ? &entries[i] : NULL;
}

const struct catalogue_entry *catalogue_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(entries); i++)
        if (strcasecmp(entries[i].name, name) == 0)
            return &entries[i];
    return NULL;
}
