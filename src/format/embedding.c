#include "format/embedding.h"

void embedding_write(struct str values, const struct usage *usage, struct buf *out)
{
    buf_add_c(out, "{\"embedding\":{\"values\":");
    buf_add_str(out, values);
    buf_addf(out,
             "},\"tokenCount\":\"%u\",\"usageMetadata\":{\"promptTokenCount\":%u,"
             "\"totalTokenCount\":%u}}",
             usage->prompt_tokens, usage->prompt_tokens, usage->prompt_tokens);
}
