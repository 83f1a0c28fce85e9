#include "predict/local/media_rows.h"

#include "base/mem.h"

struct media_chunk *media_rows_add(struct media_rows *r)
{
    r->chunk = mem_list_grow(r->chunk, r->count, sizeof *r->chunk);
    r->chunk[r->count] = (struct media_chunk){ 0 };
    return &r->chunk[r->count++];
}

uint32_t media_rows_length(const struct media_rows *r)
{
    uint32_t length = 0;

    for (uint32_t i = 0; i < r->count; i++)
        length += r->chunk[i].count ? r->chunk[i].count : r->chunk[i].text.count;
    return length;
}

void media_rows_release(struct media_rows *r)
{
    for (uint32_t i = 0; i < r->count; i++) {
        tokens_release(&r->chunk[i].text);
        mem_free(r->chunk[i].embedding);
        mem_free(r->chunk[i].place);
    }
    mem_free(r->chunk);
    *r = (struct media_rows){ 0 };
}
