/* The forward of an encoder over a block of texts:
 *
 *     for each row (a token of a text):
 *         residual = norm(embedding[token] + position)
 *     for each layer:
 *         for each row:
 *             query, key, value = qkv * residual + bias
 *         for each text, for each head, for each row of the text:
 *             score = query . key of every row of the text
 *             attended = sum of softmax(score) * value
 *         for each row:
 *             residual = norm(residual + attention_out * attended + bias)
 *             hidden = gelu(up * residual + bias)
 *             residual = norm(residual + down * hidden + bias)
 *     for each text:
 *         vector = mean of its rows' residuals, or the first row's; its length becomes 1
 *
 * Queries are scaled already: their weights are. A matrix is quantised, and so is each row that it is
 * multiplied with: residual, attended and hidden; the other rows are floats. In a text of few tokens no mean
 * evens the rounding out, so its rows are two rounded ones, the second the remainder of the first. */
#include "predict/local/encoder/bert_forward.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "predict/local/native/tensor_file.h"

#define BLOCK_ROWS 192    /* of a block; a longer text is a block by itself */
#define BLOCK_ROWS_MIN 24 /* fewer are not worth a thread of their own */
#define TOGETHER_ROWS 96  /* of a product between two looks at its outputs: whole blocks */
#define SHORT_TOKENS 8    /* most of a text that is short */
#define ATTEND_ROWS 48    /* queries that attend together: their scores stay in the first cache */

/* Rows for products; blocks of short texts have remainders. */
struct two_rows {
    struct kernel_rows first, rest;
};

/* Memory of one member of the team. */
struct scratch {
    float *residual;                          /* [rows][width], columns as bert.h orders them */
    float *row;                               /* [width] */
    float *qkv;                               /* [rows][3 * width]; later a sublayer's update */
    struct two_rows normed, attended, hidden; /* [rows][width, width, hidden] */
    float *up;                                /* [TOGETHER_ROWS][KERNEL_TILE] */
    float *head;                              /* [dim]: zeros behind the model's own numbers */
    float *query, *out, *scores, *page;       /* as struct kernel_attention has them */
    float *max, *sum;
    uint8_t *from, *to;
    uint16_t *keys, *values; /* [pages][kernel_page_halves(dim)] */
};

struct bert_forward {
    const struct bert *b;
    const struct kernel_ops *k;
    struct team *team;
    struct scratch *scratch; /* [members] */
    uint32_t rows_max;       /* of a block */
    uint32_t dim;            /* of a head in attention: a multiple of KERNEL_CHUNK */
    uint32_t *order;         /* [texts_max]: the texts, short ones before the others */
    uint32_t *first;         /* [blocks + 1] of texts_max + 1: each block's first in order */
    uint32_t blocks, texts_max;
    const struct encoder_text *text; /* what is computed */
    float *out;
};

/* A forward as one member of the team sees it, and the block that it computes. */
struct member {
    const struct bert_forward *f;
    const struct bert *b;
    const struct kernel_ops *k;
    struct scratch *w;
    const uint32_t *order; /* [texts] */
    uint32_t texts, rows;
    bool fine; /* the texts are short: with remainders */
};

static const struct encoder_text *text_of(const struct member *m, uint32_t t)
{
    return &m->f->text[m->order[t]];
}

/* ---- Opening ---- */

static void *aligned(size_t count, size_t size)
{
    void *p = mem_aligned(count * size, KERNEL_ALIGN);

    memset(p, 0, count * size);
    return p;
}

static void make_rows(const struct bert_forward *f, struct two_rows *x, uint32_t columns)
{
    kernel_rows_init(&x->first, &f->k->layout, f->rows_max, columns);
    kernel_rows_init(&x->rest, &f->k->layout, f->rows_max, columns);
}

static void release_rows(struct two_rows *x)
{
    kernel_rows_release(&x->first);
    kernel_rows_release(&x->rest);
}

static void make_scratch(const struct bert_forward *f, struct scratch *w)
{
    const struct bert_shape *s = &f->b->shape;
    const uint32_t pages = (s->positions + KERNEL_PAGE - 1) / KERNEL_PAGE;
    const size_t rows = f->rows_max, queries = ATTEND_ROWS + KERNEL_ROWS_SPARE;

    w->residual = aligned(rows * s->width, sizeof(float));
    w->row = aligned(s->width, sizeof(float));
    w->qkv = aligned(rows * s->width * 3, sizeof(float));
    make_rows(f, &w->normed, s->width);
    make_rows(f, &w->attended, s->width);
    make_rows(f, &w->hidden, s->hidden);
    w->up = aligned((size_t)TOGETHER_ROWS * KERNEL_TILE, sizeof(float));
    w->head = aligned(f->dim, sizeof(float));
    w->query = aligned(queries * f->dim, sizeof(float));
    w->out = aligned((size_t)ATTEND_ROWS * f->dim, sizeof(float));
    w->scores = aligned(queries * KERNEL_PAGE, sizeof(float));
    w->page = aligned((size_t)KERNEL_PAGE * KERNEL_CHUNK, sizeof(float));
    w->max = aligned(ATTEND_ROWS, sizeof(float));
    w->sum = aligned(ATTEND_ROWS, sizeof(float));
    w->from = aligned(ATTEND_ROWS, 1);
    w->to = aligned(ATTEND_ROWS, 1);
    w->keys = aligned(pages * kernel_page_halves(f->dim), sizeof(uint16_t));
    w->values = aligned(pages * kernel_page_halves(f->dim), sizeof(uint16_t));
}

static void release_scratch(struct scratch *w)
{
    release_rows(&w->normed);
    release_rows(&w->attended);
    release_rows(&w->hidden);
    void *const all[] = { w->residual, w->row,  w->qkv,    w->up,   w->head,
                          w->query,    w->out,  w->scores, w->page, w->max,
                          w->sum,      w->from, w->to,     w->keys, w->values };
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        mem_free(all[i]);
}

struct bert_forward *bert_forward_new(const struct bert *b, const struct kernel_ops *k,
                                      struct team *team, uint32_t texts_max)
{
    struct bert_forward *f = mem_alloc(sizeof *f);
    const uint32_t members = team_members(team);

    f->b = b;
    f->k = k;
    f->team = team;
    f->rows_max = BLOCK_ROWS > b->shape.positions ? BLOCK_ROWS : b->shape.positions;
    f->dim = (b->shape.dim + KERNEL_CHUNK - 1) / KERNEL_CHUNK * KERNEL_CHUNK;
    f->texts_max = texts_max;
    f->order = mem_array(texts_max, sizeof *f->order);
    f->first = mem_array((size_t)texts_max + 1, sizeof *f->first);
    f->scratch = mem_array(members, sizeof *f->scratch);
    for (uint32_t i = 0; i < members; i++)
        make_scratch(f, &f->scratch[i]);
    return f;
}

void bert_forward_free(struct bert_forward *f)
{
    if (!f)
        return;
    for (uint32_t i = 0; i < team_members(f->team); i++)
        release_scratch(&f->scratch[i]);
    mem_free(f->scratch);
    mem_free(f->order);
    mem_free(f->first);
    mem_free(f);
}

uint64_t bert_forward_bytes(const struct bert_forward *f)
{
    const struct scratch *w = &f->scratch[0];
    uint64_t rows = kernel_rows_bytes(&w->normed.first) + kernel_rows_bytes(&w->attended.first) +
                    kernel_rows_bytes(&w->hidden.first);

    return team_members(f->team) * (rows + 4ULL * f->rows_max * f->b->shape.width * sizeof(float));
}

/* ---- Rows ---- */

static float *residual_of(const struct member *m, uint32_t row)
{
    return m->w->residual + (size_t)row * m->b->shape.width;
}

/* Groups of a row, from group `first` on. */
struct place {
    struct two_rows *rows;
    uint32_t row, first;
};

/* Quantises what is left of x, times a factor, when the first rows are taken away. */
static void quantise_rest(const struct member *m, const float *x, float factor, uint32_t groups,
                          struct place at)
{
    const uint32_t row = at.row % KERNEL_SIX;
    float rest[KERNEL_GROUP];

    for (; groups; groups--, x += KERNEL_GROUP, at.first++) {
        const struct kernel_place to = { &at.rows->rest, at.row, at.first };
        const struct kernel_rows_int8 *group =
            (const void *)kernel_rows_at(&at.rows->first, at.row, at.first);
        for (uint32_t i = 0; i < KERNEL_GROUP; i++)
            rest[i] = x[i] * factor - (float)group->quant[row][i] * group->scale[row];
        m->k->quantise(rest, 1.0f, 1, &to);
    }
}

static void quantise(const struct member *m, const float *x, float factor, uint32_t groups,
                     struct place at)
{
    const struct kernel_place to = { &at.rows->first, at.row, at.first };

    m->k->quantise(x, factor, groups, &to);
    if (m->fine)
        quantise_rest(m, x, factor, groups, at);
}

/* Normalises each residual with its update, and quantises it. */
static void norm_rows(const struct member *m, const float *update,
                      const struct kernel_layer_norm *n)
{
    const uint32_t width = m->b->shape.width;

    for (uint32_t i = 0; i < m->rows; i++, update += width) {
        m->k->layer_norm(residual_of(m, i), update, n, width);
        quantise(m, residual_of(m, i), 1.0f, width / KERNEL_GROUP,
                 (struct place){ &m->w->normed, i, 0 });
    }
}

static void embed(const struct member *m)
{
    const struct bert *b = m->b;
    const uint32_t width = b->shape.width;
    const struct kernel_layer_norm norm = { b->zero, b->norm, b->norm_bias, b->shape.norm_epsilon };
    float *update = m->w->qkv;
    uint32_t row = 0;

    for (uint32_t t = 0; t < m->texts; t++) {
        const struct encoder_text *text = text_of(m, t);
        assert(text->count <= b->shape.positions);
        for (uint32_t i = 0; i < text->count; i++, row++) {
            uint32_t token = (uint32_t)text->token[i];
            assert(token < b->shape.vocab);
            float *residual = residual_of(m, row);
            tensor_floats(b->embedding_type, b->embedding + token * b->embedding_bytes, m->w->row,
                          width);
            for (uint32_t k = 0; k < width; k++)
                residual[k] = m->w->row[b->order[k]];
            memcpy(update + (size_t)row * width, b->position + (size_t)i * width,
                   width * sizeof *update);
        }
    }
    norm_rows(m, update, &norm);
}

/* Rows first .. first + count - 1 by the outputs of one tile. */
struct product {
    const struct kernel_weights *w;
    const struct two_rows *x;
    uint32_t tile, first, count;
};

static void multiply_tile(const struct member *m, const struct product *p,
                          struct kernel_outputs out)
{
    m->k->product(p->w, p->tile, &p->x->first, p->first, p->count, out);
    out.adds = true;
    if (m->fine)
        m->k->product(p->w, p->tile, &p->x->rest, p->first, p->count, out);
}

static void multiply(const struct member *m, const struct kernel_weights *w,
                     const struct two_rows *x, float *out, size_t stride)
{
    struct product p = { .w = w, .x = x, .count = m->rows };

    for (; p.tile < kernel_weights_tiles(w); p.tile++)
        multiply_tile(m, &p,
                      (struct kernel_outputs){ out + (size_t)p.tile * KERNEL_TILE, stride, false });
}

/* The outputs of a tile are one group of the rows that `down` reads. */
static void multiply_up(const struct member *m, const struct bert_layer *l)
{
    const struct kernel_outputs out = { m->w->up, KERNEL_TILE, false };
    struct product p = { .w = &l->up, .x = &m->w->normed };

    for (; p.tile < kernel_weights_tiles(&l->up); p.tile++)
        for (p.first = 0; p.first < m->rows; p.first += p.count) {
            p.count = m->rows - p.first < TOGETHER_ROWS ? m->rows - p.first : TOGETHER_ROWS;
            multiply_tile(m, &p, out);
            for (uint32_t i = 0; i < p.count; i++) {
                float *row = m->w->up + (size_t)i * KERNEL_TILE;
                m->k->gelu(row, l->up_bias + (size_t)p.tile * KERNEL_TILE, KERNEL_TILE);
                quantise(m, row, 1.0f, 1, (struct place){ &m->w->hidden, p.first + i, p.tile });
            }
        }
}

/* ---- Attention ---- */

/* A head of a text: its rows are first .. first + count - 1 of the block. */
struct attention {
    uint32_t head, first, count;
};

/* The numbers of a row's head, zeros behind them; part: 0 queries, 1 keys, 2 values. */
static const float *head_of(const struct member *m, const struct attention *a, uint32_t row,
                            uint32_t part)
{
    const struct bert_shape *s = &m->b->shape;
    const float *from = m->w->qkv + (size_t)(a->first + row) * 3 * s->width +
                        (size_t)part * s->width + (size_t)a->head * s->dim;

    memcpy(m->w->head, from, s->dim * sizeof *from);
    return m->w->head;
}

static void store_pages(const struct member *m, const struct attention *a)
{
    const uint32_t dim = m->f->dim;
    const size_t halves = kernel_page_halves(dim);

    for (uint32_t i = 0; i < a->count; i++) {
        const size_t page = i / KERNEL_PAGE * halves;
        m->k->store_key(head_of(m, a, i, 1), dim, i % KERNEL_PAGE, m->w->keys + page);
        m->k->store_value(head_of(m, a, i, 2), dim, i % KERNEL_PAGE, m->w->values + page);
    }
}

/* Queries first .. first + count - 1 of the text. */
static void attend_some(const struct member *m, const struct attention *a, uint32_t first,
                        uint32_t count)
{
    const struct bert_shape *s = &m->b->shape;
    const uint32_t dim = m->f->dim, groups = s->dim / KERNEL_GROUP;
    struct scratch *w = m->w;
    const struct kernel_attention k = { .count = count,
                                        .dim = dim,
                                        .query = w->query,
                                        .out = w->out,
                                        .max = w->max,
                                        .sum = w->sum,
                                        .from = w->from,
                                        .to = w->to,
                                        .scores = w->scores,
                                        .scratch = w->page };

    memset(w->out, 0, (size_t)count * dim * sizeof *w->out);
    for (uint32_t i = 0; i < count; i++) {
        m->k->store_query(head_of(m, a, first + i, 0), dim, w->query + (size_t)i * dim);
        w->max[i] = -INFINITY;
        w->sum[i] = 0.0f;
    }
    for (uint32_t at = 0; at < a->count; at += KERNEL_PAGE) {
        const size_t page = at / KERNEL_PAGE * kernel_page_halves(dim);
        uint32_t left = a->count - at;
        memset(w->to, (int)(left < KERNEL_PAGE ? left : KERNEL_PAGE), count);
        m->k->attend(&k, w->keys + page, w->values + page);
    }
    for (uint32_t i = 0; i < count; i++) {
        quantise(m, w->out + (size_t)i * dim, 1.0f / w->sum[i], groups,
                 (struct place){ &w->attended, a->first + first + i, a->head * groups });
    }
}

static void attend(const struct member *m)
{
    struct attention a = { .first = 0 };

    for (uint32_t t = 0; t < m->texts; t++, a.first += a.count) {
        a.count = text_of(m, t)->count;
        for (a.head = 0; a.head < m->b->shape.heads; a.head++) {
            store_pages(m, &a);
            for (uint32_t i = 0; i < a.count; i += ATTEND_ROWS)
                attend_some(m, &a, i, a.count - i < ATTEND_ROWS ? a.count - i : ATTEND_ROWS);
        }
    }
}

/* ---- Layers ---- */

static void compute_layer(const struct member *m, const struct bert_layer *l)
{
    const struct bert_shape *s = &m->b->shape;
    float *qkv = m->w->qkv;
    const struct kernel_layer_norm middle = { l->out_bias, l->attention_norm,
                                              l->attention_norm_bias, s->norm_epsilon };
    const struct kernel_layer_norm end = { l->down_bias, l->norm, l->norm_bias, s->norm_epsilon };

    multiply(m, &l->qkv, &m->w->normed, qkv, 3 * (size_t)s->width);
    for (uint32_t i = 0; i < m->rows; i++)
        m->k->add(qkv + (size_t)i * 3 * s->width, l->qkv_bias, 3 * s->width);
    attend(m);
    multiply(m, &l->attention_out, &m->w->attended, qkv, s->width);
    norm_rows(m, qkv, &middle);
    multiply_up(m, l);
    multiply(m, &l->down, &m->w->hidden, qkv, s->width);
    norm_rows(m, qkv, &end);
}

static void pool(const struct member *m)
{
    const uint32_t width = m->b->shape.width;
    float *sum = m->w->row;
    uint32_t row = 0;

    for (uint32_t t = 0; t < m->texts; t++) {
        const uint32_t rows = m->b->shape.first_token ? 1 : text_of(m, t)->count;
        float *out = m->f->out + (size_t)m->order[t] * width;
        memcpy(sum, residual_of(m, row), width * sizeof *sum);
        for (uint32_t i = 1; i < rows; i++)
            m->k->add(sum, residual_of(m, row + i), width);
        for (uint32_t k = 0; k < width; k++)
            out[m->b->order[k]] = sum[k];
        encoder_normalise(out, width);
        row += text_of(m, t)->count;
    }
}

static bool is_short(const struct bert_forward *f, uint32_t text)
{
    return f->text[text].count <= SHORT_TOKENS && f->k->layout.format == KERNEL_INT8;
}

static void compute_block(const struct bert_forward *f, struct scratch *w, uint32_t block)
{
    const uint32_t *order = f->order + f->first[block];
    struct member m = { .f = f, .b = f->b, .k = f->k, .w = w, .order = order };

    m.texts = f->first[block + 1] - f->first[block];
    m.fine = is_short(f, order[0]);
    for (uint32_t t = 0; t < m.texts; t++)
        m.rows += text_of(&m, t)->count;
    assert(m.rows <= f->rows_max);
    embed(&m);
    for (uint32_t i = 0; i < f->b->shape.layers; i++)
        compute_layer(&m, &f->b->layer[i]);
    pool(&m);
}

static void compute(void *arg, const struct team_member *team)
{
    const struct bert_forward *f = arg;
    struct kernel_before registers;
    uint32_t block;

    kernel_enter(f->k, &registers);
    while (team_take(team, f->blocks, &block))
        compute_block(f, &f->scratch[team->index], block);
    kernel_leave(f->k, &registers);
    team_barrier(team);
}

static void put_in_order(struct bert_forward *f, uint32_t count)
{
    uint32_t at = 0;

    for (uint32_t t = 0; t < count; t++)
        if (is_short(f, t))
            f->order[at++] = t;
    for (uint32_t t = 0; t < count; t++)
        if (!is_short(f, t))
            f->order[at++] = t;
}

/* Cuts the texts into blocks: as large as they may be, unless threads would have nothing to do. */
static void make_blocks(struct bert_forward *f, uint32_t count)
{
    uint32_t rows = 0, all = 0;

    for (uint32_t t = 0; t < count; t++)
        all += f->text[t].count;
    uint32_t most = all / team_members(f->team) + 1;
    most = most > BLOCK_ROWS ? BLOCK_ROWS : most < BLOCK_ROWS_MIN ? BLOCK_ROWS_MIN : most;
    f->blocks = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t more = f->text[f->order[i]].count;
        bool alike = i == 0 || is_short(f, f->order[i]) == is_short(f, f->order[i - 1]);
        if (rows == 0 || rows + more > most || !alike) {
            f->first[f->blocks++] = i;
            rows = 0;
        }
        rows += more;
    }
    f->first[f->blocks] = count;
}

void bert_forward_compute(struct bert_forward *f, const struct encoder_text *text, uint32_t count,
                          float *out)
{
    assert(count && count <= f->texts_max);
    f->text = text;
    f->out = out;
    put_in_order(f, count);
    make_blocks(f, count);
    team_run(f->team, compute, f);
}
