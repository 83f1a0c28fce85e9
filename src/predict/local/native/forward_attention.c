/* forward_attention.c -- see forward_inner.h: queries, keys and values of a layer, and attention over the cache. */
#include "predict/local/native/forward_inner.h"

#include <math.h>
#include <string.h>

/* ---- Queries, keys and values ---- */

/* Head by head, queries then keys, [heads + kv_heads][dim]: the norm, where the model has one, and
 * RoPE. */
static void rope_heads(const struct member *m, const struct decoder_layer *l, uint32_t i,
                       float *head)
{
    const struct decoder *d = m->f->setup.decoder;
    const struct decoder_shape *s = m->s;
    const float *rope =
        (l->windowed ? d->window_rope : d->rope) + (size_t)m->f->row[i].position * s->dim;

    for (uint32_t h = 0; h < s->heads + s->kv_heads; h++, head += s->dim) {
        const float *norm = h < s->heads ? l->query_norm : l->key_norm;
        if (norm)
            m->k->norm(head, norm, s->dim, s->norm_epsilon, head);
        m->k->rope(head, rope, s->dim, h < s->heads ? s->query_scale : 1.0f);
    }
}

/* Keys, then values, both [kv_heads][dim], into the row's page of the cache. */
static void store_heads(const struct member *m, uint32_t layer, uint32_t i, const float *keys)
{
    const struct decoder_shape *s = m->s;
    const struct page_cache *cache = m->f->setup.cache;
    const struct runtime_row *row = &m->f->row[i];
    const uint32_t at = row->position % KERNEL_PAGE;
    const uint32_t page = page_cache_page(cache, row->sequence, row->position / KERNEL_PAGE);
    const float *values = keys + (size_t)s->kv_heads * s->dim;

    for (uint32_t h = 0; h < s->kv_heads; h++) {
        uint32_t head = layer * s->kv_heads + h;
        size_t from = (size_t)h * s->dim;
        m->k->store_key(keys + from, s->dim, at, page_cache_keys(cache, page, head));
        m->k->store_value(values + from, s->dim, at, page_cache_values(cache, page, head));
    }
}

void forward_store_keys(const struct member *m, uint32_t layer)
{
    const struct decoder_layer *l = &m->f->setup.decoder->layer[layer];
    const uint32_t width = qkv_width(m->s);
    uint32_t first, end;

    while (forward_take_rows(m, m->f->all.count, &first, &end))
        for (uint32_t i = first; i < end; i++) {
            float *qkv = m->f->qkv + (size_t)i * width;
            if (l->bias)
                m->k->add(qkv, l->bias, width);
            rope_heads(m, l, i, qkv);
            store_heads(m, layer, i, qkv + (size_t)m->s->heads * m->s->dim);
        }
    team_barrier(m->team);
}

/* ---- Attention ---- */

/* A piece of work: some rows of the batch by one head of keys and its group of query heads. Row i has
 * the query rows i * group .. (i + 1) * group - 1 of the scratch memory. */
struct attention {
    uint32_t layer, head;
    const uint32_t *row;   /* [count] */
    uint32_t count, first; /* first: the row of `attended` for row[0] */
};

/* The positions [*from, *to) of page n that row i of the batch sees; false when there is none. */
static bool sees(const struct forward *f, bool windowed, uint32_t i, uint32_t n, uint8_t *from,
                 uint8_t *to)
{
    const uint32_t end = f->row[i].position + 1, window = f->setup.decoder->shape.window;
    const uint32_t begin = windowed && end > window ? end - window : 0;
    const uint32_t low = n * KERNEL_PAGE, high = low + KERNEL_PAGE;

    if (end <= low || begin >= high)
        return false;
    *from = (uint8_t)(begin > low ? begin - low : 0);
    *to = (uint8_t)(end < high ? end - low : KERNEL_PAGE);
    return true;
}

static void gather_queries(const struct member *m, const struct attention *a)
{
    const struct decoder_shape *s = m->s;
    const uint32_t group = m->f->group, first = a->head * group;
    float *query = m->w->query;

    for (uint32_t i = 0; i < a->count; i++) {
        const float *qkv = m->f->qkv + (size_t)a->row[i] * qkv_width(s);
        for (uint32_t h = first; h < first + group; h++, query += s->dim)
            m->k->store_query(qkv + (size_t)h * s->dim, s->dim, query);
    }
    memset(m->w->attended, 0, (size_t)a->count * group * s->dim * sizeof *m->w->attended);
    for (uint32_t i = 0; i < m->f->attend_rows; i++) {
        m->w->max[i] = -INFINITY;
        m->w->sum[i] = 0.0f;
    }
}

/* The number of rows from i on that see something in the same page n; 0 when i sees nothing. */
static uint32_t rows_alike(const struct member *m, const struct attention *a, uint32_t i,
                           uint32_t n, uint32_t *page)
{
    const bool windowed = m->f->setup.decoder->layer[a->layer].windowed;
    const uint32_t group = m->f->group;
    uint32_t count = 0;

    for (; i + count < a->count; count++) {
        uint32_t row = a->row[i + count];
        uint8_t from, to;
        if (!sees(m->f, windowed, row, n, &from, &to))
            break;
        uint32_t at = page_cache_page(m->f->setup.cache, m->f->row[row].sequence, n);
        if (count && at != *page)
            break;
        *page = at;
        memset(m->w->from + (size_t)(i + count) * group, from, group);
        memset(m->w->to + (size_t)(i + count) * group, to, group);
    }
    return count;
}

/* The page that is attended to after page n of row i - 1, or NOWHERE. */
static uint32_t next_page(const struct member *m, const struct attention *a, uint32_t i, uint32_t n)
{
    const bool windowed = m->f->setup.decoder->layer[a->layer].windowed;
    const uint32_t row = a->row[i < a->count ? i : 0];
    uint8_t from, to;

    if (i >= a->count)
        n++;
    if (!sees(m->f, windowed, row, n, &from, &to))
        return NOWHERE;
    return page_cache_page(m->f->setup.cache, m->f->row[row].sequence, n);
}

/* Page n of all rows: rows that have the same page attend to it together. */
static void attend_page(const struct member *m, const struct attention *a, uint32_t n)
{
    const struct decoder_shape *s = m->s;
    const struct page_cache *cache = m->f->setup.cache;
    const uint32_t group = m->f->group, head = a->layer * s->kv_heads + a->head;
    uint32_t page = 0;

    for (uint32_t i = 0, count; i < a->count; i += count ? count : 1) {
        count = rows_alike(m, a, i, n, &page);
        if (!count)
            continue;
        const size_t at = (size_t)i * group;
        const uint32_t next = next_page(m, a, i + count, n);
        const bool ahead = next != NOWHERE && next != page;
        const struct kernel_attention job = {
            .count = count * group,
            .dim = s->dim,
            .query = m->w->query + at * s->dim,
            .out = m->w->attended + at * s->dim,
            .max = m->w->max + at,
            .sum = m->w->sum + at,
            .from = m->w->from + at,
            .to = m->w->to + at,
            .scores = m->w->scores,
            .scratch = m->w->page,
            .next_keys = ahead ? page_cache_keys(cache, next, head) : NULL,
            .next_values = ahead ? page_cache_values(cache, next, head) : NULL,
        };
        m->k->attend(&job, page_cache_keys(cache, page, head),
                     page_cache_values(cache, page, head));
    }
}

/* Divides the heads of row i by their sums of weights, and quantises them. */
static void finish_row(const struct member *m, const struct attention *a, uint32_t i)
{
    const uint32_t group = m->f->group, dim = m->s->dim, quants = dim / KERNEL_GROUP;

    for (uint32_t h = 0; h < group; h++) {
        const uint32_t row = i * group + h;
        const struct kernel_place to = { &m->f->attended, a->first + i,
                                         (a->head * group + h) * quants };
        m->k->quantise(m->w->attended + (size_t)row * dim, 1.0f / m->w->sum[row], quants, &to);
    }
}

static void attend(const struct member *m, const struct attention *a)
{
    uint32_t pages = 0;

    gather_queries(m, a);
    for (uint32_t i = 0; i < a->count; i++) {
        uint32_t own = m->f->row[a->row[i]].position / KERNEL_PAGE + 1;
        pages = own > pages ? own : pages;
    }
    for (uint32_t n = 0; n < pages; n++)
        attend_page(m, a, n);
    for (uint32_t i = 0; i < a->count; i++)
        finish_row(m, a, i);
}

/* The last pieces, which see most, begin: a long piece at the end would leave the others waiting. */
void forward_attend(const struct member *m, uint32_t layer, const struct selection *of)
{
    const uint32_t heads = m->s->kv_heads, together = m->f->attend_together;
    const uint32_t pieces = (of->count + together - 1) / together * heads;
    uint32_t piece;

    while (team_take(m->team, pieces, &piece)) {
        uint32_t left = pieces - 1 - piece, first = left / heads * together;
        const struct attention a = {
            .layer = layer,
            .head = left % heads,
            .row = of->row + first,
            .count = of->count - first < together ? of->count - first : together,
            .first = first,
        };
        attend(m, &a);
    }
    team_barrier(m->team);
}
