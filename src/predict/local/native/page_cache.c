#include "predict/local/native/page_cache.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "kernel/kernel.h"

struct page_cache {
    struct page_shape shape;
    uint32_t per_sequence; /* pages of the longest sequence */
    size_t head_halves;    /* keys or values of one head in a page */
    void *memory;          /* zeroed when it is first touched, and not before */
    uint16_t *half;        /* in memory: [pages][heads][2][head_halves], keys, then values */
    uint32_t *holders;     /* [pages]: sequences that hold the page; 0: it is spare */
    uint32_t *spare;       /* [spare_count]: a stack of the pages without holders */
    uint32_t spare_count;
    uint32_t *table; /* [sequences][per_sequence]: pages */
    uint32_t *len;   /* [sequences]: positions */
};

static uint32_t pages_for(uint32_t positions)
{
    return (positions + KERNEL_PAGE - 1) / KERNEL_PAGE;
}

static size_t page_halves(const struct page_shape *s)
{
    return 2 * (size_t)s->heads * kernel_page_halves(s->dim);
}

uint64_t page_cache_bytes(const struct page_shape *shape)
{
    return (uint64_t)shape->pages * page_halves(shape) * sizeof(uint16_t);
}

static uint16_t *aligned(void *p)
{
    size_t over = (uintptr_t)p % KERNEL_ALIGN;

    return (uint16_t *)(void *)((char *)p + (over ? KERNEL_ALIGN - over : 0));
}

struct page_cache *page_cache_new(const struct page_shape *shape)
{
    struct page_cache *c = mem_alloc(sizeof *c);
    size_t bytes;

    c->shape = *shape;
    c->per_sequence = pages_for(shape->positions_max);
    c->head_halves = kernel_page_halves(shape->dim);
    if (!size_mul(shape->pages, page_halves(shape) * sizeof *c->half, &bytes) ||
        !size_add(bytes, KERNEL_ALIGN, &bytes))
        bytes = SIZE_MAX; /* mem_array dies of it as of any size that the machine lacks */
    c->memory = mem_array(bytes, 1);
    mem_huge(c->memory, bytes);
    c->half = aligned(c->memory);
    c->holders = mem_array(shape->pages, sizeof *c->holders);
    c->spare = mem_array(shape->pages, sizeof *c->spare);
    c->table = mem_array((size_t)shape->sequences * c->per_sequence, sizeof *c->table);
    c->len = mem_array(shape->sequences, sizeof *c->len);
    for (uint32_t i = shape->pages; i > 0; i--)
        c->spare[c->spare_count++] =
            i - 1; /* the first are taken first: the rest stays untouched */
    return c;
}

void page_cache_free(struct page_cache *c)
{
    if (!c)
        return;
    mem_free(c->memory);
    mem_free(c->holders);
    mem_free(c->spare);
    mem_free(c->table);
    mem_free(c->len);
    mem_free(c);
}

static uint32_t *slot(const struct page_cache *c, uint32_t sequence, uint32_t n)
{
    return c->table + (size_t)sequence * c->per_sequence + n;
}

static uint16_t *page_at(const struct page_cache *c, uint32_t page)
{
    return c->half + page * page_halves(&c->shape);
}

/* A page holds finite numbers at any time: zeroes at first, then stored keys and values. Attention
 * relies on it, because it multiplies the positions that a row does not see by zero. */
static uint32_t take_page(struct page_cache *c)
{
    assert(c->spare_count);
    uint32_t page = c->spare[--c->spare_count];

    assert(page < c->shape.pages && !c->holders[page]);
    c->holders[page] = 1;
    return page;
}

static void drop_page(struct page_cache *c, uint32_t page)
{
    assert(page < c->shape.pages && c->holders[page]);
    if (--c->holders[page])
        return;
    assert(c->spare_count < c->shape.pages);
    c->spare[c->spare_count++] = page;
}

/* ---- Room for rows ---- */

/* The end of the rows from `at` on that belong to one sequence. */
static uint32_t rows_end(const struct runtime_row *row, uint32_t count, uint32_t at)
{
    uint32_t end = at + 1;

    while (end < count && row[end].sequence == row[at].sequence)
        end++;
    return end;
}

static bool is_shared(const struct page_cache *c, uint32_t sequence)
{
    uint32_t len = c->len[sequence];

    return len % KERNEL_PAGE && c->holders[*slot(c, sequence, len / KERNEL_PAGE)] > 1;
}

/* Pages that `more` positions of a sequence take. */
static uint32_t pages_wanted(const struct page_cache *c, uint32_t sequence, uint32_t more)
{
    uint32_t len = c->len[sequence];

    return pages_for(len + more) - pages_for(len) + is_shared(c, sequence);
}

static void extend(struct page_cache *c, uint32_t sequence, uint32_t more)
{
    uint32_t len = c->len[sequence], end = pages_for(len + more);

    if (is_shared(c, sequence)) {
        uint32_t *page = slot(c, sequence, len / KERNEL_PAGE), own = take_page(c);
        memcpy(page_at(c, own), page_at(c, *page), page_halves(&c->shape) * sizeof *c->half);
        drop_page(c, *page);
        *page = own;
    }
    for (uint32_t n = pages_for(len); n < end; n++)
        *slot(c, sequence, n) = take_page(c);
    c->len[sequence] = len + more;
}

int page_cache_reserve(struct page_cache *c, const struct runtime_row *row, uint32_t count,
                       struct error *e)
{
    uint64_t wanted = 0;
    bool too_long = false;

    for (uint32_t at = 0, end; at < count; at = end) {
        end = rows_end(row, count, at);
        assert(row[at].position == c->len[row[at].sequence]);
        wanted += pages_wanted(c, row[at].sequence, end - at);
        too_long |= row[at].position + (end - at) > c->shape.positions_max;
    }
    if (wanted > c->spare_count || too_long)
        return error_set(e, ERROR_RESOURCE_EXHAUSTED, "The model's cache is full.");
    for (uint32_t at = 0, end; at < count; at = end) {
        end = rows_end(row, count, at);
        extend(c, row[at].sequence, end - at);
    }
    return 0;
}

/* ---- Sharing and forgetting ---- */

void page_cache_copy(struct page_cache *c, uint32_t from, uint32_t to, uint32_t len)
{
    assert(from != to && !c->len[to]);
    if (len > c->len[from])
        len = c->len[from];
    for (uint32_t n = 0; n < pages_for(len); n++) {
        *slot(c, to, n) = *slot(c, from, n);
        c->holders[*slot(c, to, n)]++;
    }
    c->len[to] = len;
}

void page_cache_trim(struct page_cache *c, uint32_t sequence, uint32_t len)
{
    if (len >= c->len[sequence])
        return;
    for (uint32_t n = pages_for(len); n < pages_for(c->len[sequence]); n++)
        drop_page(c, *slot(c, sequence, n));
    c->len[sequence] = len;
}

uint32_t page_cache_page(const struct page_cache *c, uint32_t sequence, uint32_t n)
{
    return *slot(c, sequence, n);
}

uint16_t *page_cache_keys(const struct page_cache *c, uint32_t page, uint32_t head)
{
    return page_at(c, page) + 2 * (size_t)head * c->head_halves;
}

uint16_t *page_cache_values(const struct page_cache *c, uint32_t page, uint32_t head)
{
    return page_cache_keys(c, page, head) + c->head_halves;
}
