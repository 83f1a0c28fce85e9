/* forward_product.c -- see forward_inner.h: rows times weights, and what adapters change of them. */
#include "predict/local/native/forward_inner.h"

#include <assert.h>

#define PIECE_ROWS 300 /* of a product: of a piece of work */

/* Rows first .. first + count - 1 by the outputs of one tile. */
struct product_part {
    uint32_t tile, first, count;
};

/* ---- Adapters ---- */

/* The change of a part of a product for a group of rows; NULL: none. */
static const struct low_rank *change_of(const struct lora_group *g, const struct product *job,
                                        uint32_t part)
{
    const struct low_rank *l = lora_part(g->lora, job->layer, job->part + part);

    return l->a.packed ? l : NULL;
}

/* A group's rows [first, end), from a whole block on, times a tile of A. */
struct lowering {
    const struct low_rank *change;
    uint32_t part, tile, block, first, end;
};

/* Piece `at` of the work; the number of pieces when it is beyond the last. */
static uint32_t lowering_at(const struct member *m, const struct product *job, uint32_t at,
                            struct lowering *out)
{
    const uint32_t block = m->k->layout.block;
    uint32_t seen = 0;

    for (const struct lora_group *g = job->of->group; g < job->of->group + job->of->group_count;
         g++)
        for (uint32_t part = 0; part < job->parts; part++) {
            const struct low_rank *change = change_of(g, job, part);
            const uint32_t tiles = change ? kernel_weights_tiles(&change->a) : 0;
            const uint32_t begin = g->first / block * block, end = g->first + g->count;
            const uint32_t pieces = (end - begin + TOGETHER_ROWS - 1) / TOGETHER_ROWS * tiles;
            if (at - seen < pieces) {
                const uint32_t from = begin + (at - seen) / tiles * TOGETHER_ROWS;
                *out = (struct lowering){
                    .change = change,
                    .part = part,
                    .tile = (at - seen) % tiles,
                    .block = from,
                    .first = from > g->first ? from : g->first,
                    .end = from + TOGETHER_ROWS < end ? from + TOGETHER_ROWS : end,
                };
            }
            seen += pieces;
        }
    return seen;
}

/* Makes `lowered` of the rows that have an adapter: rows times A. */
static void lower_rows(const struct member *m, const struct product *job)
{
    const struct kernel_outputs out = { m->w->change, KERNEL_TILE, false };
    struct lowering l = { 0 };
    uint32_t piece;

    if (!job->of->group_count)
        return;
    const uint32_t pieces = lowering_at(m, job, UINT32_MAX, &l);
    while (team_take(m->team, pieces, &piece)) {
        (void)lowering_at(m, job, piece, &l);
        assert(l.change);
        m->k->product(&l.change->a, l.tile, job->rows, l.block, l.end - l.block, out);
        for (uint32_t i = l.first; i < l.end; i++) {
            const struct kernel_place to = { &m->f->lowered, i,
                                             l.part * LORA_RANK_GROUPS + l.tile };
            m->k->quantise(m->w->change + (size_t)(i - l.block) * KERNEL_TILE, 1.0f, 1, &to);
        }
    }
    team_barrier(m->team);
}

/* Adds what adapters change of a tile of a part's outputs: lowered rows times B. to: [at.count][stride],
 * at the rows of `at`. */
static void add_changes(const struct member *m, const struct product *job, uint32_t part,
                        struct product_part at, struct kernel_outputs to)
{
    const uint32_t block = m->k->layout.block;
    const struct kernel_outputs change = { m->w->change, KERNEL_TILE, false };
    struct kernel_rows lowered = m->f->lowered;

    lowered.group = kernel_rows_at(&m->f->lowered, 0, part * LORA_RANK_GROUPS);
    for (uint32_t n = 0; n < job->of->group_count; n++) {
        const struct lora_group *g = &job->of->group[n];
        const struct low_rank *low = change_of(g, job, part);
        uint32_t first = g->first > at.first ? g->first : at.first, end = g->first + g->count;
        end = end < at.first + at.count ? end : at.first + at.count;
        if (!low || first >= end)
            continue;
        const uint32_t from = first / block * block;
        m->k->product(&low->b, at.tile, &lowered, from, end - from, change);
        for (uint32_t i = first; i < end; i++)
            m->k->add(to.at + (size_t)(i - at.first) * to.stride,
                      m->w->change + (size_t)(i - from) * KERNEL_TILE, KERNEL_TILE);
    }
}

/* The part that a tile of a product with several parts belongs to; *tile becomes the tile in it. */
static uint32_t part_of(const struct member *m, const struct product *job, uint32_t *tile)
{
    const uint32_t queries = m->s->heads * m->s->dim / KERNEL_TILE;
    const uint32_t keys = m->s->kv_heads * m->s->dim / KERNEL_TILE;

    if (job->parts == 1 || *tile < queries)
        return 0;
    *tile -= queries;
    if (*tile < keys)
        return 1;
    *tile -= keys;
    return 2;
}

/* ---- Products by tiles ---- */

/* activation(gate) * up: the tile's outputs are one group of the rows that `down` reads. */
static void multiply_gate(const struct member *m, const struct product *job, struct product_part at)
{
    const struct kernel_outputs gate = { m->w->gate, KERNEL_TILE, false };
    const struct kernel_outputs up = { m->w->up, KERNEL_TILE, false };

    m->k->product(job->w, at.tile, job->rows, at.first, at.count, gate);
    m->k->product(job->up, at.tile, job->rows, at.first, at.count, up);
    add_changes(m, job, 0, at, gate);
    add_changes(m, job, 1, at, up);
    m->k->gate(m->s->gate, m->w->gate, m->w->up, at.count * KERNEL_TILE);
    for (uint32_t i = 0; i < at.count; i++) {
        const struct kernel_place to = { &m->f->hidden, at.first + i, at.tile };
        m->k->quantise(m->w->gate + (size_t)i * KERNEL_TILE, 1.0f, 1, &to);
    }
}

static void multiply(const struct member *m, const struct product *job, struct product_part at)
{
    if (job->up) {
        multiply_gate(m, job, at);
        return;
    }
    float *out = job->out + at.first * job->stride + (size_t)at.tile * KERNEL_TILE;
    const struct kernel_outputs to = { out, job->stride, job->adds };
    m->k->product(job->w, at.tile, job->rows, at.first, at.count, to);
    if (job->of->group_count) {
        uint32_t part = part_of(m, job, &at.tile);
        add_changes(m, job, part, at, to);
    }
}

/* Fetches a share of the tile's weights: the next TOGETHER_ROWS of `rows`, after `done`. */
static void fetch_ahead(const struct product *job, uint32_t tile, uint32_t done, uint32_t rows)
{
    if (tile >= kernel_weights_tiles(job->w))
        return;
    kernel_weights_fetch(job->w, tile, done, done + TOGETHER_ROWS, rows);
    if (job->up)
        kernel_weights_fetch(job->up, tile, done, done + TOGETHER_ROWS, rows);
}

/* A piece is a tile by a part of the rows: the tile's weights stay in the first cache, the rows in the
 * second. Meanwhile the weights that are likely to come next are fetched. */
void forward_product(const struct member *m, const struct product *job)
{
    const uint32_t tiles = kernel_weights_tiles(job->w), all = job->of->count;
    const uint32_t parts = all > PIECE_ROWS ? (all + PIECE_ROWS - 1) / PIECE_ROWS : 1;
    const uint32_t rows = forward_blocks(m, (all + parts - 1) / parts);
    const uint32_t members = team_members(m->f->setup.team);
    const uint32_t ahead = members > parts ? members / parts : 1;
    uint32_t piece;

    lower_rows(m, job);
    while (team_take(m->team, tiles * parts, &piece)) {
        uint32_t tile = piece / parts, first = piece % parts * rows, begin = first;
        uint32_t end = first + rows < all ? first + rows : all;
        for (; first < end; first += TOGETHER_ROWS) {
            uint32_t count = end - first < TOGETHER_ROWS ? end - first : TOGETHER_ROWS;
            fetch_ahead(job, tile + ahead, first - begin, end - begin);
            multiply(m, job, (struct product_part){ tile, first, count });
        }
    }
    team_barrier(m->team);
}

/* A product that is added to the residual or, if a norm comes between, kept as the update. */
void forward_update(const struct member *m, struct product job, bool normed)
{
    job.out = normed ? m->f->update : m->f->residual;
    job.stride = m->s->width;
    job.adds = !normed;
    job.parts = 1;
    forward_product(m, &job);
}
