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
#include "predict/local/native/forward_inner.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"

/* Rows of queries that attend together: so many that a page is read once for them, so few that their
 * scores and sums stay in the first cache. */
#define ATTEND_ROWS 48
/* Rows of a piece where each is worked on by itself; whole blocks, so that no two threads write to
 * one. */
#define SINGLE_ROWS 12

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

bool forward_take_rows(const struct member *m, uint32_t count, uint32_t *first, uint32_t *end)
{
    const uint32_t rows = forward_blocks(m, SINGLE_ROWS);
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

    while (forward_take_rows(m, m->f->all.count, &first, &end))
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

    while (forward_take_rows(m, count, &first, &end))
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
    forward_product(m, &qkv);
    forward_store_keys(m, layer);
    if (last)
        keep_wanted(m);
    forward_attend(m, layer, of);
    forward_update(m, out, l->attention_post_norm != NULL);
    norm_rows(m, of->count, l->attention_post_norm, l->ffn_norm);
    forward_product(m, &gate_up);
    forward_update(m, down, l->ffn_post_norm != NULL);
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
    forward_product(m, &logits);
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
