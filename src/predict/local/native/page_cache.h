/* page_cache.h -- keys and values of all sequences in pages, which sequences share.
 *
 * Why: attention should touch a sequence's own positions only, and a beginning that requests have in
 *      common should be in memory once. A sequence is a list of pages; a copy shares them, and a
 *      sequence that writes into a shared page gets its own copy of the page first.
 *
 * Shape:   a page holds KERNEL_PAGE positions of every layer and head: for each of these the keys,
 *          then the values. Page n of a sequence holds the positions from n * KERNEL_PAGE on.
 * Errors:  RESOURCE_EXHAUSTED from reserve: no page is left, or a sequence would be longer than
 *          positions_max, and nothing was changed.
 * Threads: one owner; while it waits, others may read and write the pages that reserve has given.
 */
#ifndef TRANCHE_PREDICT_LOCAL_NATIVE_PAGE_CACHE_H
#define TRANCHE_PREDICT_LOCAL_NATIVE_PAGE_CACHE_H

#include <stddef.h>
#include <stdint.h>

#include "predict/local/runtime.h"

struct page_shape {
    uint32_t pages, sequences;
    uint32_t positions_max; /* of one sequence */
    uint32_t heads;         /* in all layers */
    uint32_t dim;           /* of a head */
};

struct page_cache;
struct page_cache *page_cache_new(const struct page_shape *shape);
void page_cache_free(struct page_cache *c); /* accepts NULL */
uint64_t page_cache_bytes(const struct page_shape *shape);

/* Makes room for a forward's rows, which must go on where their sequences end. */
int page_cache_reserve(struct page_cache *c, const struct runtime_row *row, uint32_t count,
                       struct error *e) FALLIBLE;
void page_cache_copy(struct page_cache *c, uint32_t from, uint32_t to, uint32_t len);
void page_cache_trim(struct page_cache *c, uint32_t sequence, uint32_t len);

/* Page n of a sequence: rows with the same one share it. */
uint32_t page_cache_page(const struct page_cache *c, uint32_t sequence, uint32_t n);
uint16_t *page_cache_keys(const struct page_cache *c, uint32_t page, uint32_t head);
uint16_t *page_cache_values(const struct page_cache *c, uint32_t page, uint32_t head);

#endif
