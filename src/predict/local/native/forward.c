/* The forward of a decoder over a batch of rows:
 *
 *     for each row:
 *         residual = embedding[token] * embedding_scale
 *     for each layer:
 *         for each row:
 *             normed = norm(residual, attention_norm)
 *             query, key, value = qkv * normed + bias
 *             query, key = each head: norm(head, its norm), then RoPE(position)
 *             cache[sequence][position] = key, value
 *         for each row, for each head:
 *             score = query . key of each position that the row sees
 *             attended = sum of softmax(score) * value
 *         for each row:
 *             residual += norm(attention_out * attended, attention_post_norm)
 *             normed = norm(residual, ffn_norm)
 *             hidden = activation(gate * normed) * (up * normed)
 *             residual += norm(down * hidden, ffn_post_norm)
 *     for each row that wants logits:
 *         logits = output * norm(residual, output_norm)
 *         summary = index of the largest logit, ln of the sum of exp(logit)
 *
 * A row with an adapter has W + B * A for each matrix W. Rows of one adapter stand together: for each
 * group of them the rows times A are quantised (`lowered`), and lowered * B is added to each tile of
 * the product with W. A row without an adapter is computed as if there were none.
 *
 * Each step is a phase of the team over all rows. A matrix is quantised, and so is each row that it is
 * multiplied with: normed, attended and hidden; the other rows are floats. A bias or a norm that the
 * model lacks is left out. In the last layer everything after the cache is computed only for rows that want
 * logits. */
#include "predict/local/native/forward.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"

/* Rows of queries that attend together: so many that a page is read once for them, so few that their
 * scores and sums stay in the first cache. */
#define ATTEND_ROWS 48
/* Rows of a product between two looks at its outputs, and of a piece of work. */
#define TOGETHER_ROWS 96 /* whole blocks of every kind */
#define PIECE_ROWS 300
/* Rows of a piece where each is worked on by itself; whole blocks, so that no two threads write to
 * one. */
#define SINGLE_ROWS 12
#define NOWHERE UINT32_MAX

/* Memory of one member of the team. */
struct scratch {
    float *row;           /* [width] */
    float *gate, *up;     /* [TOGETHER_ROWS][KERNEL_TILE] */
    float *change;        /* [TOGETHER_ROWS][KERNEL_TILE]: of an adapter */
    float *query;         /* [attend_rows + KERNEL_ROWS_SPARE][dim] */
    float *attended;      /* [attend_rows][dim] */
    float *max, *sum;     /* [attend_rows] */
    uint8_t *from, *to;   /* [attend_rows] */
    float *scores, *page; /* [attend_rows + KERNEL_ROWS_SPARE][KERNEL_PAGE], for the kernel */
};

/* Rows of one adapter. */
struct lora_group {
    const struct lora *lora;
    uint32_t first, count;
};

/* Rows that go through a part of a layer: all, or those that want logits. */
struct selection {
    uint32_t *row; /* [count]: their indices in the batch, ascending */
    uint32_t count;
    struct lora_group *group; /* [group_count]: those that have an adapter, ascending */
    uint32_t group_count;
};

struct forward {
    struct forward_setup setup;
    uint32_t group;           /* heads of queries for one head of keys */
    uint32_t attend_together; /* rows of the batch that attend together */
    uint32_t attend_rows;     /* their rows of queries: attend_together * group */
    struct scratch *scratch;  /* [members] */
    struct selection all, wanted;
    struct runtime_row *row; /* [rows_max], all.count of them: the batch, in order of adapters */
    float *residual;         /* [rows_max][width] */
    float *qkv;              /* [rows_max][(heads + 2 * kv_heads) * dim]: queries, keys, values */
    float *update;           /* [rows_max][width]: what is normalised before the residual gets it */
    struct kernel_rows normed;      /* [rows_max or logits_max][width] */
    struct kernel_rows attended;    /* [rows_max][heads * dim] */
    struct kernel_rows hidden;      /* [rows_max][hidden] */
    struct kernel_rows lowered;     /* [rows_max][LORA_TOGETHER * LORA_RANK_MAX] */
    float *logits;                  /* [logits_max][logits_stride] */
    size_t logits_stride;           /* vocab, and padding to whole tiles */
    struct logits_summary *summary; /* [logits_max] */
    uint32_t *logits_of; /* [rows_max]: of each row as it came: its row of logits, or NOWHERE */
};

/* A forward as one member of the team sees it. */
struct member {
    struct forward *f;
    const struct decoder_shape *s;
    const struct kernel_ops *k;
    const struct team_member *team;
    struct scratch *w;
};

static uint32_t qkv_width(const struct decoder_shape *s)
{
    return (s->heads + 2 * s->kv_heads) * s->dim;
}

/* ---- Opening ---- */

static float *floats(size_t count)
{
    float *x = mem_aligned(count * sizeof *x, KERNEL_ALIGN);

    memset(x, 0, count * sizeof *x);
    return x;
}

static void make_scratch(const struct forward *f, struct scratch *w)
{
    const struct decoder_shape *s = &f->setup.decoder->shape;
    const size_t rows = f->attend_rows;

    w->row = floats(s->width);
    w->gate = floats((size_t)TOGETHER_ROWS * KERNEL_TILE);
    w->up = floats((size_t)TOGETHER_ROWS * KERNEL_TILE);
    w->change = floats((size_t)TOGETHER_ROWS * KERNEL_TILE);
    w->query = floats((rows + KERNEL_ROWS_SPARE) * s->dim);
    w->attended = floats(rows * s->dim);
    w->max = floats(rows);
    w->sum = floats(rows);
    w->from = mem_array(rows, sizeof *w->from);
    w->to = mem_array(rows, sizeof *w->to);
    w->scores = floats((rows + KERNEL_ROWS_SPARE) * KERNEL_PAGE);
    w->page = floats((size_t)KERNEL_PAGE * KERNEL_CHUNK);
}

static void release_scratch(struct scratch *w)
{
    mem_free(w->row);
    mem_free(w->gate);
    mem_free(w->up);
    mem_free(w->change);
    mem_free(w->query);
    mem_free(w->attended);
    mem_free(w->max);
    mem_free(w->sum);
    mem_free(w->from);
    mem_free(w->to);
    mem_free(w->scores);
    mem_free(w->page);
}

static void make_rows(struct forward *f)
{
    const struct decoder_shape *s = &f->setup.decoder->shape;
    const struct kernel_layout *l = &f->setup.kernel->layout;
    const uint32_t rows = f->setup.rows_max, logits = f->setup.logits_max;

    f->residual = floats((size_t)rows * s->width);
    f->qkv = floats((size_t)rows * qkv_width(s));
    f->update = floats((size_t)rows * s->width);
    f->logits_stride = (size_t)kernel_weights_tiles(decoder_output(f->setup.decoder)) * KERNEL_TILE;
    f->logits = mem_aligned(logits * f->logits_stride * sizeof(float), KERNEL_ALIGN);
    f->summary = mem_array(logits, sizeof *f->summary);
    f->logits_of = mem_array(rows, sizeof *f->logits_of);
    f->all.row = mem_array(rows, sizeof *f->all.row);
    f->wanted.row = mem_array(rows, sizeof *f->wanted.row);
    f->all.group = mem_array(RUNTIME_ADAPTERS_MAX, sizeof *f->all.group);
    f->wanted.group = mem_array(RUNTIME_ADAPTERS_MAX, sizeof *f->wanted.group);
    f->row = mem_array(rows, sizeof *f->row);
    for (uint32_t i = 0; i < rows; i++)
        f->all.row[i] = i;
    kernel_rows_init(&f->normed, l, rows > logits ? rows : logits, s->width);
    kernel_rows_init(&f->attended, l, rows, s->heads * s->dim);
    kernel_rows_init(&f->hidden, l, rows, s->hidden);
    kernel_rows_init(&f->lowered, l, rows, LORA_TOGETHER * LORA_RANK_MAX);
}

struct forward *forward_new(const struct forward_setup *setup)
{
    const struct decoder_shape *s = &setup->decoder->shape;
    const uint32_t members = team_members(setup->team);
    struct forward *f = mem_alloc(sizeof *f);

    assert(s->heads % s->kv_heads == 0);
    f->setup = *setup;
    f->group = s->heads / s->kv_heads;
    f->attend_together = f->group < ATTEND_ROWS ? ATTEND_ROWS / f->group : 1;
    f->attend_rows = f->attend_together * f->group;
    make_rows(f);
    f->scratch = mem_array(members, sizeof *f->scratch);
    for (uint32_t i = 0; i < members; i++)
        make_scratch(f, &f->scratch[i]);
    return f;
}

void forward_free(struct forward *f)
{
    if (!f)
        return;
    for (uint32_t i = 0; i < team_members(f->setup.team); i++)
        release_scratch(&f->scratch[i]);
    mem_free(f->scratch);
    mem_free(f->residual);
    mem_free(f->qkv);
    mem_free(f->update);
    mem_free(f->logits);
    mem_free(f->summary);
    mem_free(f->logits_of);
    mem_free(f->all.row);
    mem_free(f->wanted.row);
    mem_free(f->all.group);
    mem_free(f->wanted.group);
    mem_free(f->row);
    kernel_rows_release(&f->lowered);
    kernel_rows_release(&f->normed);
    kernel_rows_release(&f->attended);
    kernel_rows_release(&f->hidden);
    mem_free(f);
}

uint64_t forward_bytes(const struct forward *f)
{
    const struct decoder_shape *s = &f->setup.decoder->shape;
    uint64_t row = (2ULL * s->width + qkv_width(s)) * sizeof(float);

    return f->setup.rows_max * row + f->setup.logits_max * f->logits_stride * sizeof(float) +
           kernel_rows_bytes(&f->normed) + kernel_rows_bytes(&f->attended) +
           kernel_rows_bytes(&f->hidden) + kernel_rows_bytes(&f->lowered);
}

/* ---- Rows by themselves ---- */

static uint32_t whole_blocks(const struct member *m, uint32_t rows)
{
    const uint32_t block = m->k->layout.block;

    return (rows + block - 1) / block * block;
}

/* The next few of `count` rows that this member works on alone. */
static bool take_rows(const struct member *m, uint32_t count, uint32_t *first, uint32_t *end)
{
    const uint32_t rows = whole_blocks(m, SINGLE_ROWS);
    uint32_t piece;

    if (!team_take(m->team, (count + rows - 1) / rows, &piece))
        return false;
    *first = piece * rows;
    *end = *first + rows < count ? *first + rows : count;
    return true;
}

static float *residual_of(const struct forward *f, uint32_t i)
{
    return f->residual + (size_t)i * f->setup.decoder->shape.width;
}

static void embed(const struct member *m)
{
    const struct kernel_weights *embedding = &m->f->setup.decoder->embedding;
    const float scale = m->s->embedding_scale;
    uint32_t first, end;

    while (take_rows(m, m->f->all.count, &first, &end))
        for (uint32_t i = first; i < end; i++) {
            float *residual = residual_of(m->f, i);
            kernel_weights_row(embedding, (uint32_t)m->f->row[i].token, residual);
            for (uint32_t k = 0; scale != 1.0f && k < m->s->width; k++)
                residual[k] *= scale;
        }
    team_barrier(m->team);
}

/* Makes `normed` of the first `count` rows. If the sublayer before has a norm of its own, `post_norm`,
 * the residual gets that sublayer's update first. */
static void norm_rows(const struct member *m, uint32_t count, const float *post_norm,
                      const float *norm)
{
    const struct decoder_shape *s = m->s;
    float *row = m->w->row;
    uint32_t first, end;

    while (take_rows(m, count, &first, &end))
        for (uint32_t i = first; i < end; i++) {
            const struct kernel_place to = { &m->f->normed, i, 0 };
            float *residual = residual_of(m->f, i);
            if (post_norm) {
                const float *update = m->f->update + (size_t)i * s->width;
                m->k->norm(update, post_norm, s->width, s->norm_epsilon, row);
                m->k->add(residual, row, s->width);
            }
            m->k->norm(residual, norm, s->width, s->norm_epsilon, row);
            m->k->quantise(row, 1.0f, s->width / KERNEL_GROUP, &to);
        }
    team_barrier(m->team);
}

/* ---- Products ---- */

/* Rows times a matrix, into `out`; or, with `up`, rows times two matrices, into `hidden`. */
struct product {
    const struct kernel_weights *w;  /* [outputs][columns]; the gate projection if `up` is there */
    const struct kernel_weights *up; /* [outputs][columns]: the up projection, or NULL */
    const struct kernel_rows *rows;  /* [count][columns] */
    const struct selection *of;      /* the rows' */
    float *out;                      /* [count][stride] */
    size_t stride;
    bool adds;            /* to what is there */
    uint32_t layer, part; /* of the adapters' changes: from `part` on, */
    uint32_t parts;       /* that many, of which each has its tiles */
};

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
static void run_product(const struct member *m, const struct product *job)
{
    const uint32_t tiles = kernel_weights_tiles(job->w), all = job->of->count;
    const uint32_t parts = all > PIECE_ROWS ? (all + PIECE_ROWS - 1) / PIECE_ROWS : 1;
    const uint32_t rows = whole_blocks(m, (all + parts - 1) / parts);
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
static void run_update(const struct member *m, struct product job, bool normed)
{
    job.out = normed ? m->f->update : m->f->residual;
    job.stride = m->s->width;
    job.adds = !normed;
    job.parts = 1;
    run_product(m, &job);
}

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

static void rope_and_store(const struct member *m, uint32_t layer)
{
    const struct decoder_layer *l = &m->f->setup.decoder->layer[layer];
    const uint32_t width = qkv_width(m->s);
    uint32_t first, end;

    while (take_rows(m, m->f->all.count, &first, &end))
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
static void run_attention(const struct member *m, uint32_t layer, const struct selection *of)
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

/* ---- Layers ---- */

/* From here on only rows that want logits are computed, and they stand together. */
static void keep_wanted(const struct member *m)
{
    const struct forward *f = m->f;

    if (m->team->index == 0)
        for (uint32_t i = 0; i < f->wanted.count; i++)
            memmove(residual_of(f, i), residual_of(f, f->wanted.row[i]),
                    m->s->width * sizeof *f->residual);
    team_barrier(m->team);
}

/* post_norm: of the layer before, whose update the residual does not have yet; NULL: it has all. */
static void compute_layer(const struct member *m, uint32_t layer, const float *post_norm)
{
    struct forward *f = m->f;
    const struct decoder_layer *l = &f->setup.decoder->layer[layer];
    const bool last = layer + 1 == m->s->layers;
    const struct selection *of = last ? &f->wanted : &f->all;
    const struct product qkv = { .w = &l->qkv,
                                 .rows = &f->normed,
                                 .of = &f->all,
                                 .out = f->qkv,
                                 .stride = qkv_width(m->s),
                                 .layer = layer,
                                 .part = LORA_QUERY,
                                 .parts = LORA_TOGETHER };
    const struct product out = { .w = &l->attention_out,
                                 .rows = &f->attended,
                                 .of = of,
                                 .layer = layer,
                                 .part = LORA_ATTENTION_OUT };
    const struct product gate_up = { .w = &l->gate,
                                     .up = &l->up,
                                     .rows = &f->normed,
                                     .of = of,
                                     .layer = layer,
                                     .part = LORA_GATE,
                                     .parts = 2 };
    const struct product down = {
        .w = &l->down, .rows = &f->hidden, .of = of, .layer = layer, .part = LORA_DOWN
    };

    norm_rows(m, f->all.count, post_norm, l->attention_norm);
    run_product(m, &qkv);
    rope_and_store(m, layer);
    if (last)
        keep_wanted(m);
    run_attention(m, layer, of);
    run_update(m, out, l->attention_post_norm != NULL);
    norm_rows(m, of->count, l->attention_post_norm, l->ffn_norm);
    run_product(m, &gate_up);
    run_update(m, down, l->ffn_post_norm != NULL);
}

/* The summary is made here because all members can share the work; the sampler is one thread. */
static void compute_logits(const struct member *m, const float *post_norm)
{
    struct forward *f = m->f;
    const struct product logits = { .w = decoder_output(f->setup.decoder),
                                    .rows = &f->normed,
                                    .of = &f->wanted,
                                    .out = f->logits,
                                    .stride = f->logits_stride,
                                    .layer = m->s->layers,
                                    .parts = 1 };
    uint32_t i;

    norm_rows(m, f->wanted.count, post_norm, f->setup.decoder->output_norm);
    run_product(m, &logits);
    while (team_take(m->team, f->wanted.count, &i))
        m->k->sum_up(f->logits + i * f->logits_stride, m->s->vocab, &f->summary[i].largest,
                     &f->summary[i].log_sum);
    team_barrier(m->team);
}

static void compute(void *arg, const struct team_member *team)
{
    struct forward *f = arg;
    const struct decoder *d = f->setup.decoder;
    const struct member m = { f, &d->shape, f->setup.kernel, team, &f->scratch[team->index] };
    const float *post_norm = NULL;
    struct kernel_before registers;

    kernel_enter(m.k, &registers);
    embed(&m);
    for (uint32_t i = 0; i < m.s->layers; i++) {
        compute_layer(&m, i, post_norm);
        post_norm = d->layer[i].ffn_post_norm;
    }
    compute_logits(&m, post_norm);
    kernel_leave(m.k, &registers);
}

/* Takes row `as` of the caller's into the batch. */
static void take_row(struct forward *f, const struct runtime_row *row, uint32_t as)
{
    struct selection *all = &f->all, *wanted = &f->wanted;

    assert((uint32_t)row->token < f->setup.decoder->shape.vocab);
    f->row[all->count] = *row;
    f->logits_of[as] = row->logits ? wanted->count : NOWHERE;
    if (row->logits)
        wanted->row[wanted->count++] = all->count;
    all->count++;
}

/* Takes all rows of one adapter. */
static void take_adapter(struct forward *f, const struct runtime_row *row, uint32_t count,
                         uint32_t adapter)
{
    const uint32_t first = f->all.count, first_wanted = f->wanted.count;

    for (uint32_t i = 0; i < count; i++)
        if (row[i].adapter == adapter)
            take_row(f, &row[i], i);
    if (!adapter)
        return;
    const struct lora *lora = lora_table_find(f->setup.adapters, adapter);
    assert(lora && f->all.group_count < RUNTIME_ADAPTERS_MAX);
    f->all.group[f->all.group_count++] = (struct lora_group){ lora, first, f->all.count - first };
    if (f->wanted.count > first_wanted)
        f->wanted.group[f->wanted.group_count++] =
            (struct lora_group){ lora, first_wanted, f->wanted.count - first_wanted };
}

/* The least number of an adapter above `than` that a row has; UINT32_MAX: none. */
static uint32_t next_adapter(const struct runtime_row *row, uint32_t count, uint32_t than)
{
    uint32_t next = UINT32_MAX;

    for (uint32_t i = 0; i < count; i++)
        if (row[i].adapter > than && row[i].adapter < next)
            next = row[i].adapter;
    return next;
}

void forward_compute(struct forward *f, const struct runtime_row *row, uint32_t count)
{
    assert(count && count <= f->setup.rows_max);
    f->all.count = f->wanted.count = 0;
    f->all.group_count = f->wanted.group_count = 0;
    for (uint32_t a = 0; a != UINT32_MAX; a = next_adapter(row, count, a))
        take_adapter(f, row, count, a);
    assert(f->all.count == count && f->wanted.count <= f->setup.logits_max);
    team_run(f->setup.team, compute, f);
}

const float *forward_logits(const struct forward *f, uint32_t row)
{
    assert(row < f->all.count && f->logits_of[row] != NOWHERE);
    return f->logits + f->logits_of[row] * f->logits_stride;
}

struct logits_summary forward_summary(const struct forward *f, uint32_t row)
{
    assert(row < f->all.count && f->logits_of[row] != NOWHERE);
    return f->summary[f->logits_of[row]];
}
