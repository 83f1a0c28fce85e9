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

/* Scratch memory of one member of the team. */
struct worker {
    float *row;              /* width */
    float *product;          /* TOGETHER_ROWS of two tiles */
    float *query, *attended; /* attend_rows of dim */
    float *max, *sum;        /* attend_rows */
    uint8_t *from, *to;      /* attend_rows */
    float *scores, *scratch;
};

/* Rows that go through a part of a layer: all, or those that want logits. */
struct selection {
    uint32_t *row; /* their indices in the batch, ascending */
    uint32_t count;
};

struct forward {
    struct forward_setup is;
    uint32_t attend_rows;     /* of dim: ATTEND_ROWS, or the heads of one key if these are more */
    uint32_t attend_together; /* rows of the batch that make up those */
    struct worker *worker;
    struct selection all, wanted;
    const struct runtime_row *row; /* of the batch that is computed */
    float *x;                      /* rows of width: what layers add to */
    float *in;                     /* rows of queries, keys, values */
    float *sum;    /* rows of width: what is to be added, where it is normalised first */
    float *logits; /* logits_max rows of logits_stride */
    size_t logits_stride;
    struct logits_summary *summary; /* of each row of logits */
    uint32_t *logits_of;            /* for each row of the batch, or NOWHERE */
    struct kernel_rows width_rows, attended_rows, hidden_rows;
};

/* What the members see of a run. */
struct part {
    struct forward *f;
    const struct team_member *m;
    struct worker *w;
};

static uint32_t in_width(const struct decoder_shape *s)
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

static void make_worker(const struct forward *f, struct worker *w)
{
    const struct decoder_shape *s = &f->is.decoder->shape;
    const size_t rows = f->attend_rows;

    w->row = floats(s->width);
    w->product = floats((size_t)TOGETHER_ROWS * 2 * KERNEL_TILE);
    w->query = floats((rows + KERNEL_ROWS_SPARE) * s->dim);
    w->attended = floats(rows * s->dim);
    w->max = floats(rows);
    w->sum = floats(rows);
    w->from = mem_array(rows, sizeof *w->from);
    w->to = mem_array(rows, sizeof *w->to);
    w->scores = floats((rows + KERNEL_ROWS_SPARE) * KERNEL_PAGE);
    w->scratch = floats((size_t)KERNEL_PAGE * KERNEL_CHUNK);
}

static void release_worker(struct worker *w)
{
    mem_free(w->row);
    mem_free(w->product);
    mem_free(w->query);
    mem_free(w->attended);
    mem_free(w->max);
    mem_free(w->sum);
    mem_free(w->from);
    mem_free(w->to);
    mem_free(w->scores);
    mem_free(w->scratch);
}

static void make_rows(struct forward *f)
{
    const struct decoder_shape *s = &f->is.decoder->shape;
    const struct kernel_layout *l = &f->is.kernel->layout;
    const uint32_t rows = f->is.rows_max;
    const uint32_t most = rows > f->is.logits_max ? rows : f->is.logits_max;

    f->x = floats((size_t)rows * s->width);
    f->in = floats((size_t)rows * in_width(s));
    f->sum = floats((size_t)rows * s->width);
    f->logits_stride = (size_t)kernel_weights_tiles(decoder_output(f->is.decoder)) * KERNEL_TILE;
    f->logits = mem_aligned(f->is.logits_max * f->logits_stride * sizeof(float), KERNEL_ALIGN);
    f->summary = mem_array(f->is.logits_max, sizeof *f->summary);
    f->logits_of = mem_array(rows, sizeof *f->logits_of);
    f->all.row = mem_array(rows, sizeof *f->all.row);
    f->wanted.row = mem_array(rows, sizeof *f->wanted.row);
    for (uint32_t i = 0; i < rows; i++)
        f->all.row[i] = i;
    kernel_rows_init(&f->width_rows, l, most, s->width);
    kernel_rows_init(&f->attended_rows, l, rows, s->heads * s->dim);
    kernel_rows_init(&f->hidden_rows, l, rows, s->hidden);
}

struct forward *forward_new(const struct forward_setup *setup)
{
    const struct decoder_shape *s = &setup->decoder->shape;
    const uint32_t group = s->heads / s->kv_heads, members = team_members(setup->team);
    struct forward *f = mem_alloc(sizeof *f);

    f->is = *setup;
    f->attend_together = group < ATTEND_ROWS ? ATTEND_ROWS / group : 1;
    f->attend_rows = f->attend_together * group;
    make_rows(f);
    f->worker = mem_array(members, sizeof *f->worker);
    for (uint32_t i = 0; i < members; i++)
        make_worker(f, &f->worker[i]);
    return f;
}

void forward_free(struct forward *f)
{
    if (!f)
        return;
    for (uint32_t i = 0; i < team_members(f->is.team); i++)
        release_worker(&f->worker[i]);
    mem_free(f->worker);
    mem_free(f->x);
    mem_free(f->in);
    mem_free(f->sum);
    mem_free(f->logits);
    mem_free(f->summary);
    mem_free(f->logits_of);
    mem_free(f->all.row);
    mem_free(f->wanted.row);
    kernel_rows_release(&f->width_rows);
    kernel_rows_release(&f->attended_rows);
    kernel_rows_release(&f->hidden_rows);
    mem_free(f);
}

uint64_t forward_bytes(const struct forward *f)
{
    const struct decoder_shape *s = &f->is.decoder->shape;
    uint64_t row = (2ULL * s->width + in_width(s)) * sizeof(float);

    return f->is.rows_max * row + f->is.logits_max * f->logits_stride * sizeof(float) +
           kernel_rows_bytes(&f->width_rows) + kernel_rows_bytes(&f->attended_rows) +
           kernel_rows_bytes(&f->hidden_rows);
}

/* ---- Rows by themselves ---- */

static uint32_t whole_blocks(const struct forward *f, uint32_t rows)
{
    const uint32_t block = f->is.kernel->layout.block;

    return (rows + block - 1) / block * block;
}

/* The next few of `count` rows that this member works on alone. */
static bool take_rows(const struct part *p, uint32_t count, uint32_t *first, uint32_t *end)
{
    const uint32_t rows = whole_blocks(p->f, SINGLE_ROWS);
    uint32_t piece;

    if (!team_take(p->m, (count + rows - 1) / rows, &piece))
        return false;
    *first = piece * rows;
    *end = *first + rows < count ? *first + rows : count;
    return true;
}

static float *x_row(const struct forward *f, uint32_t i)
{
    return f->x + (size_t)i * f->is.decoder->shape.width;
}

static float *sum_row(const struct forward *f, uint32_t i)
{
    return f->sum + (size_t)i * f->is.decoder->shape.width;
}

static void embed(const struct part *p)
{
    const struct decoder *d = p->f->is.decoder;
    uint32_t first, end;

    while (take_rows(p, p->f->all.count, &first, &end))
        for (uint32_t i = first; i < end; i++) {
            float *x = x_row(p->f, i);
            kernel_weights_row(&d->embedding, (uint32_t)p->f->row[i].token, x);
            for (uint32_t k = 0; d->shape.embedding_scale != 1.0f && k < d->shape.width; k++)
                x[k] *= d->shape.embedding_scale;
        }
    team_barrier(p->m);
}

/* Row `from` of x, normalised, as row `to` of what products of its width read. */
static void norm_row(const struct part *p, const float *weight, uint32_t from, uint32_t to)
{
    const struct decoder_shape *s = &p->f->is.decoder->shape;
    const struct kernel_ops *k = p->f->is.kernel;

    k->norm(x_row(p->f, from), weight, s->width, s->norm_epsilon, p->w->row);
    const struct kernel_place place = { &p->f->width_rows, to, 0 };
    k->quantise(p->w->row, 1.0f, s->width / KERNEL_GROUP, &place);
}

/* Adds to the first `count` rows of x what the last product made, if that must be normalised first (by
 * `after`), and makes the rows ready for the next product. */
static void norm_rows(const struct part *p, uint32_t count, const float *after, const float *weight)
{
    const struct decoder_shape *s = &p->f->is.decoder->shape;
    const struct kernel_ops *k = p->f->is.kernel;
    uint32_t first, end;

    while (take_rows(p, count, &first, &end))
        for (uint32_t i = first; i < end; i++) {
            if (after) {
                k->norm(sum_row(p->f, i), after, s->width, s->norm_epsilon, p->w->row);
                k->add(x_row(p->f, i), p->w->row, s->width);
            }
            if (weight)
                norm_row(p, weight, i, i);
        }
    team_barrier(p->m);
}

/* ---- Products ---- */

/* A product of the first `count` rows. What becomes of a tile of outputs depends on where it goes. */
struct product {
    const struct kernel_weights *w, *up; /* up: a gate's other factor, or NULL */
    const struct kernel_rows *rows;
    uint32_t count;
    float *out; /* rows of stride; NULL: the hidden rows */
    size_t stride;
    bool adds; /* to what is there */
};

/* One tile of a gate, times the other factor: a group of what the next product reads. */
static void finish_gate(const struct part *p, const struct product *job, uint32_t tile,
                        uint32_t first, uint32_t count)
{
    const struct kernel_ops *k = p->f->is.kernel;
    float *gate = p->w->product, *up = gate + (size_t)TOGETHER_ROWS * KERNEL_TILE;

    k->product(job->up, tile, job->rows, first, count,
               (struct kernel_outputs){ up, KERNEL_TILE, false });
    k->gate(p->f->is.decoder->shape.gate, gate, up, count * KERNEL_TILE);
    for (uint32_t i = 0; i < count; i++) {
        const struct kernel_place place = { &p->f->hidden_rows, first + i, tile };
        k->quantise(gate + (size_t)i * KERNEL_TILE, 1.0f, 1, &place);
    }
}

static void multiply(const struct part *p, const struct product *job, uint32_t tile, uint32_t first,
                     uint32_t count)
{
    const struct kernel_ops *k = p->f->is.kernel;
    const struct kernel_outputs made = { p->w->product, KERNEL_TILE, false };

    if (job->up) {
        k->product(job->w, tile, job->rows, first, count, made);
        finish_gate(p, job, tile, first, count);
        return;
    }
    const struct kernel_outputs out = { job->out + first * job->stride + (size_t)tile * KERNEL_TILE,
                                        job->stride, job->adds };
    k->product(job->w, tile, job->rows, first, count, out);
}

/* Fetches, of the tile's weights, the part that these rows are of all. */
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
static void run_product(const struct part *p, const struct product *job)
{
    const uint32_t tiles = kernel_weights_tiles(job->w);
    const uint32_t parts = job->count > PIECE_ROWS ? (job->count + PIECE_ROWS - 1) / PIECE_ROWS : 1;
    const uint32_t rows = whole_blocks(p->f, (job->count + parts - 1) / parts);
    const uint32_t members = team_members(p->f->is.team);
    const uint32_t ahead = members > parts ? members / parts : 1;
    uint32_t piece;

    while (team_take(p->m, tiles * parts, &piece)) {
        uint32_t tile = piece / parts, first = piece % parts * rows, begin = first;
        uint32_t end = first + rows < job->count ? first + rows : job->count;
        for (; first < end; first += TOGETHER_ROWS) {
            fetch_ahead(job, tile + ahead, first - begin, end - begin);
            multiply(p, job, tile, first,
                     end - first < TOGETHER_ROWS ? end - first : TOGETHER_ROWS);
        }
    }
    team_barrier(p->m);
}

/* A product whose outputs are added to x, or, if they are normalised first, put aside. */
static void run_sum(const struct part *p, const struct kernel_weights *w,
                    const struct kernel_rows *rows, uint32_t count, bool aside)
{
    const struct product job = {
        .w = w,
        .rows = rows,
        .count = count,
        .out = aside ? p->f->sum : p->f->x,
        .stride = p->f->is.decoder->shape.width,
        .adds = !aside,
    };

    run_product(p, &job);
}

/* ---- Queries, keys and values ---- */

static void store_heads(const struct part *p, uint32_t layer, uint32_t i, float *keys)
{
    const struct decoder_shape *s = &p->f->is.decoder->shape;
    const struct runtime_row *row = &p->f->row[i];
    const uint32_t at = row->position % KERNEL_PAGE;
    uint32_t page = page_cache_page(p->f->is.cache, row->sequence, row->position / KERNEL_PAGE);
    float *values = keys + (size_t)s->kv_heads * s->dim;

    for (uint32_t h = 0; h < s->kv_heads; h++) {
        uint32_t head = layer * s->kv_heads + h;
        p->f->is.kernel->store_key(keys + (size_t)h * s->dim, s->dim, at,
                                   page_cache_keys(p->f->is.cache, page, head));
        p->f->is.kernel->store_value(values + (size_t)h * s->dim, s->dim, at,
                                     page_cache_values(p->f->is.cache, page, head));
    }
}

/* Normalises where the model does, and turns, the heads of a row: queries, then keys. */
static void turn_heads(const struct part *p, const struct decoder_layer *l, uint32_t i, float *head)
{
    const struct decoder *d = p->f->is.decoder;
    const struct decoder_shape *s = &d->shape;
    const struct kernel_ops *k = p->f->is.kernel;
    const float *turn =
        (l->windowed ? d->window_turns : d->turns) + (size_t)p->f->row[i].position * s->dim;

    for (uint32_t h = 0; h < s->heads + s->kv_heads; h++, head += s->dim) {
        const float *norm = h < s->heads ? l->query_norm : l->key_norm;
        if (norm)
            k->norm(head, norm, s->dim, s->norm_epsilon, head);
        k->rotate(head, turn, s->dim, h < s->heads ? s->query_scale : 1.0f);
    }
}

static void store_rows(const struct part *p, uint32_t layer)
{
    const struct decoder_shape *s = &p->f->is.decoder->shape;
    const struct decoder_layer *l = &p->f->is.decoder->layer[layer];
    uint32_t first, end;

    while (take_rows(p, p->f->all.count, &first, &end))
        for (uint32_t i = first; i < end; i++) {
            float *in = p->f->in + (size_t)i * in_width(s);
            if (l->bias)
                p->f->is.kernel->add(in, l->bias, in_width(s));
            turn_heads(p, l, i, in);
            store_heads(p, layer, i, in + (size_t)s->heads * s->dim);
        }
    team_barrier(p->m);
}

/* ---- Attention ---- */

/* Some rows of the batch, and one head of keys with the heads of queries that look at it. */
struct tile {
    uint32_t layer, head;
    const uint32_t *row;   /* count of them */
    uint32_t count, first; /* first: where the results of row[0] go */
};

/* What row i of the batch sees in page n: false when that is nothing. */
static bool sees(const struct forward *f, bool windowed, uint32_t i, uint32_t n, uint8_t *from,
                 uint8_t *to)
{
    const uint32_t end = f->row[i].position + 1, window = f->is.decoder->shape.window;
    const uint32_t begin = windowed && end > window ? end - window : 0;
    const uint32_t low = n * KERNEL_PAGE, high = low + KERNEL_PAGE;

    if (end <= low || begin >= high)
        return false;
    *from = (uint8_t)(begin > low ? begin - low : 0);
    *to = (uint8_t)(end < high ? end - low : KERNEL_PAGE);
    return true;
}

static void gather_queries(const struct part *p, const struct tile *t)
{
    const struct decoder_shape *s = &p->f->is.decoder->shape;
    const uint32_t group = s->heads / s->kv_heads, first = t->head * group;
    float *query = p->w->query;

    for (uint32_t i = 0; i < t->count; i++)
        for (uint32_t h = first; h < first + group; h++, query += s->dim)
            p->f->is.kernel->store_query(
                p->f->in + (size_t)t->row[i] * in_width(s) + (size_t)h * s->dim, s->dim, query);
    memset(p->w->attended, 0, (size_t)t->count * group * s->dim * sizeof *p->w->attended);
    for (uint32_t i = 0; i < p->f->attend_rows; i++) {
        p->w->max[i] = -INFINITY;
        p->w->sum[i] = 0.0f;
    }
}

/* The rows of the tile from i on that see something in the same page n; 0 when i sees nothing. */
static uint32_t rows_alike(const struct part *p, const struct tile *t, uint32_t i, uint32_t n,
                           uint32_t *page)
{
    const struct decoder_shape *s = &p->f->is.decoder->shape;
    const bool windowed = p->f->is.decoder->layer[t->layer].windowed;
    const uint32_t group = s->heads / s->kv_heads;
    uint32_t count = 0;

    for (; i + count < t->count; count++) {
        uint32_t row = t->row[i + count];
        uint8_t from, to;
        if (!sees(p->f, windowed, row, n, &from, &to))
            break;
        uint32_t at = page_cache_page(p->f->is.cache, p->f->row[row].sequence, n);
        if (count && at != *page)
            break;
        *page = at;
        memset(p->w->from + (size_t)(i + count) * group, from, group);
        memset(p->w->to + (size_t)(i + count) * group, to, group);
    }
    return count;
}

/* The page that is attended to after page n of row i - 1 of the tile, or NOWHERE. */
static uint32_t next_page(const struct part *p, const struct tile *t, uint32_t i, uint32_t n)
{
    const bool windowed = p->f->is.decoder->layer[t->layer].windowed;
    const uint32_t row = t->row[i < t->count ? i : 0];
    uint8_t from, to;

    if (i >= t->count)
        n++;
    if (!sees(p->f, windowed, row, n, &from, &to))
        return NOWHERE;
    return page_cache_page(p->f->is.cache, p->f->row[row].sequence, n);
}

static void attend_page(const struct part *p, const struct tile *t, uint32_t n)
{
    const struct decoder_shape *s = &p->f->is.decoder->shape;
    const uint32_t group = s->heads / s->kv_heads, head = t->layer * s->kv_heads + t->head;
    uint32_t page = 0;

    for (uint32_t i = 0, count; i < t->count; i += count ? count : 1) {
        count = rows_alike(p, t, i, n, &page);
        if (!count)
            continue;
        const size_t at = (size_t)i * group;
        const uint32_t next = next_page(p, t, i + count, n);
        const bool ahead = next != NOWHERE && next != page;
        const struct kernel_attention a = {
            .count = count * group,
            .dim = s->dim,
            .query = p->w->query + at * s->dim,
            .out = p->w->attended + at * s->dim,
            .max = p->w->max + at,
            .sum = p->w->sum + at,
            .from = p->w->from + at,
            .to = p->w->to + at,
            .scores = p->w->scores,
            .scratch = p->w->scratch,
            .next_keys = ahead ? page_cache_keys(p->f->is.cache, next, head) : NULL,
            .next_values = ahead ? page_cache_values(p->f->is.cache, next, head) : NULL,
        };
        p->f->is.kernel->attend(&a, page_cache_keys(p->f->is.cache, page, head),
                                page_cache_values(p->f->is.cache, page, head));
    }
}

/* Divides by the sum of weights, and quantises for the next product. */
static void finish_row(const struct part *p, const struct tile *t, uint32_t i)
{
    const struct decoder_shape *s = &p->f->is.decoder->shape;
    const uint32_t group = s->heads / s->kv_heads, quants = s->dim / KERNEL_GROUP;
    for (uint32_t h = 0; h < group; h++) {
        const uint32_t row = i * group + h;
        const struct kernel_place to = { &p->f->attended_rows, t->first + i,
                                         (t->head * group + h) * quants };
        p->f->is.kernel->quantise(p->w->attended + (size_t)row * s->dim, 1.0f / p->w->sum[row],
                                  quants, &to);
    }
}

static void attend_tile(const struct part *p, const struct tile *t)
{
    uint32_t pages = 0;

    gather_queries(p, t);
    for (uint32_t i = 0; i < t->count; i++) {
        uint32_t own = p->f->row[t->row[i]].position / KERNEL_PAGE + 1;
        pages = own > pages ? own : pages;
    }
    for (uint32_t n = 0; n < pages; n++)
        attend_page(p, t, n);
    for (uint32_t i = 0; i < t->count; i++)
        finish_row(p, t, i);
}

/* A piece is some rows by one head of keys. The last, which see most, begin: a long piece at the end
 * would leave the others waiting. */
static void attend_rows(const struct part *p, uint32_t layer, const struct selection *of)
{
    const uint32_t heads = p->f->is.decoder->shape.kv_heads, together = p->f->attend_together;
    const uint32_t pieces = (of->count + together - 1) / together * heads;
    uint32_t piece;

    while (team_take(p->m, pieces, &piece)) {
        uint32_t left = pieces - 1 - piece, first = left / heads * together;
        const struct tile t = {
            .layer = layer,
            .head = left % heads,
            .row = of->row + first,
            .count = of->count - first < together ? of->count - first : together,
            .first = first,
        };
        attend_tile(p, &t);
    }
    team_barrier(p->m);
}

/* ---- Layers ---- */

/* From here on only rows that want logits are computed, and they stand together. */
static void keep_wanted(const struct part *p)
{
    const struct forward *f = p->f;

    if (p->m->index == 0)
        for (uint32_t i = 0; i < f->wanted.count; i++)
            memmove(x_row(f, i), x_row(f, f->wanted.row[i]),
                    f->is.decoder->shape.width * sizeof *f->x);
    team_barrier(p->m);
}

static void compute_layer(const struct part *p, uint32_t layer, const float *before)
{
    struct forward *f = p->f;
    const struct decoder_shape *s = &f->is.decoder->shape;
    const struct decoder_layer *l = &f->is.decoder->layer[layer];
    const bool last = layer + 1 == s->layers;
    const struct selection *of = last ? &f->wanted : &f->all;
    const struct product in = { .w = &l->in,
                                .rows = &f->width_rows,
                                .count = f->all.count,
                                .out = f->in,
                                .stride = in_width(s) };
    const struct product gate = {
        .w = &l->gate, .up = &l->up, .rows = &f->width_rows, .count = of->count
    };

    norm_rows(p, f->all.count, before, l->attention_norm);
    run_product(p, &in);
    store_rows(p, layer);
    if (last)
        keep_wanted(p);
    attend_rows(p, layer, of);
    run_sum(p, &l->out, &f->attended_rows, of->count, l->attention_after != NULL);
    norm_rows(p, of->count, l->attention_after, l->hidden_norm);
    run_product(p, &gate);
    run_sum(p, &l->down, &f->hidden_rows, of->count, l->hidden_after != NULL);
}

/* Here, because all members can do it: the sampler that asks for it is one thread. */
static void sum_up_logits(const struct part *p)
{
    struct forward *f = p->f;
    uint32_t i;

    while (team_take(p->m, f->wanted.count, &i))
        f->is.kernel->sum_up(f->logits + i * f->logits_stride, f->is.decoder->shape.vocab,
                             &f->summary[i].largest, &f->summary[i].log_sum);
    team_barrier(p->m);
}

static void compute_logits(const struct part *p, const float *before)
{
    struct forward *f = p->f;
    const struct product job = { .w = decoder_output(f->is.decoder),
                                 .rows = &f->width_rows,
                                 .count = f->wanted.count,
                                 .out = f->logits,
                                 .stride = f->logits_stride };

    norm_rows(p, f->wanted.count, before, f->is.decoder->output_norm);
    run_product(p, &job);
    sum_up_logits(p);
}

static void compute(void *arg, const struct team_member *m)
{
    struct forward *f = arg;
    const struct part p = { f, m, &f->worker[m->index] };
    const float *before = NULL; /* the norm of what the layer before has put aside */
    struct kernel_before registers;

    kernel_enter(f->is.kernel, &registers);
    embed(&p);
    for (uint32_t i = 0; i < f->is.decoder->shape.layers; i++) {
        compute_layer(&p, i, before);
        before = f->is.decoder->layer[i].hidden_after;
    }
    compute_logits(&p, before);
    kernel_leave(f->is.kernel, &registers);
}

void forward_compute(struct forward *f, const struct runtime_row *row, uint32_t count)
{
    assert(count && count <= f->is.rows_max);
    f->row = row;
    f->all.count = count;
    f->wanted.count = 0;
    for (uint32_t i = 0; i < count; i++) {
        f->logits_of[i] = row[i].logits ? f->wanted.count : NOWHERE;
        if (row[i].logits)
            f->wanted.row[f->wanted.count++] = i;
    }
    assert(f->wanted.count <= f->is.logits_max);
    team_run(f->is.team, compute, f);
}

const float *forward_logits(const struct forward *f, uint32_t row)
{
    assert(f->logits_of[row] != NOWHERE);
    return f->logits + f->logits_of[row] * f->logits_stride;
}

struct logits_summary forward_summary(const struct forward *f, uint32_t row)
{
    assert(f->logits_of[row] != NOWHERE);
    return f->summary[f->logits_of[row]];
}
