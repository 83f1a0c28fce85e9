#include "predict/local/media_rows.h"

#include "base/mem.h"

struct media_chunk *media_rows_add(struct media_rows *r)
{
    r->chunk = mem_list_grow(r->chunk, r->count, sizeof *r->chunk);
    r->chunk[r->count] = (struct media_chunk){ 0 };
    return &r->chunk[r->count++];
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
