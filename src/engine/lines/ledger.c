#include "engine/lines/ledger.h"

#include <string.h>

#include "base/log.h"
#include "engine/lines/line_key.h"
#include "engine/lines/pipeline.h"
#include "format/row.h"

/* A scratch buffer that grew beyond this is given back. */
#define SCRATCH_KEEP_BYTES ((size_t)1024 * 1024)

void ledger_init(struct ledger *g, struct spool *s, const struct price *price, struct clock *clock)
{
    *g = (struct ledger){ .spool = s, .price = *price, .clock = clock };
    g->scratch = BUF_INIT(RESPONSE_BYTES_MAX);
}

void ledger_release(struct ledger *g)
{
    buf_release(&g->scratch);
}

/* One more in the open group. */
static void group_count(struct ledger *g)
{
    if (g->rows == 0)
        g->group_due_ns = g->clock->mono_ns(g->clock) + COMMIT_EVERY_MS * NS_PER_MS;
    g->rows++;
}

static int put(struct ledger *g, const struct spool_row *row, struct error *e)
{
    group_count(g);
    return spool_put(g->spool, row, e);
}

static struct str digest_str(const struct open_line *l)
{
    return (struct str){ (const char *)l->digest, l->has_digest ? SPOOL_DIGEST_BYTES : 0 };
}

static enum answer_shape shape_of(const struct open_line *l, const struct answer *a)
{
    const struct request *r = l->in.request; /* NULL: of a batch service, and without a form */

    if (!r || r->kind != REQUEST_GENERATE || r->generation.form == ANSWER_TEXT)
        return SHAPE_FREE;
    return a->complete ? SHAPE_COMPLETE : SHAPE_INCOMPLETE;
}

int ledger_answer(struct ledger *g, const struct open_line *l, const struct answer *a,
                  struct error *e)
{
    const struct price *price = a->price ? a->price : &g->price;
    struct spool_row row = {
        .index = l->line.index,
        .outcome = OUTCOME_SUCCEEDED,
        .response = buf_str(&a->response),
        .processed_us = g->clock->wall_us(g->clock),
        .usage = a->usage,
        .cost_nano = price_batch_nano(price, &a->usage),
        .cost_online_nano = price_online_nano(price, &a->usage),
        .shape = shape_of(l, a),
        .forced_tokens = a->forced_tokens,
        .digest = digest_str(l),
    };

    if (put(g, &row, e) < 0)
        return -1;
    row.duplicate = true;
    row.cost_nano = 0;
    row.digest = (struct str){ 0 };
    for (const struct open_line *f = l->follower; f; f = f->follower) {
        row.index = f->line.index;
        if (put(g, &row, e) < 0)
            return -1;
    }
    return 0;
}

int ledger_reject(struct ledger *g, const struct answer *a, struct error *e)
{
    const struct price *price = a->price ? a->price : &g->price;

    group_count(g);
    return spool_reject(g->spool, &a->usage, price_batch_nano(price, &a->usage), e);
}

static int put_error(struct ledger *g, uint64_t index, enum outcome outcome,
                     const struct error *why, struct error *e)
{
    buf_clear(&g->scratch);
    row_status(why->code, str_of(why->msg), &g->scratch);
    struct spool_row row = {
        .index = index,
        .outcome = outcome,
        .code = why->code,
        .status = buf_str(&g->scratch),
        .processed_us = g->clock->wall_us(g->clock),
    };
    return put(g, &row, e);
}

int ledger_failure(struct ledger *g, uint64_t index, const struct error *why, struct error *e)
{
    return put_error(g, index, OUTCOME_FAILED, why, e);
}

int ledger_not_run(struct ledger *g, uint64_t index, const struct error *why, struct error *e)
{
    return put_error(g, index, OUTCOME_NOT_RUN, why, e);
}

/* The response is copied, as the next call on the spool ends what spool_find shows. */
int ledger_copy(struct ledger *g, const struct open_line *l, struct error *e)
{
    struct spool_row row;
    int rc = spool_find(g->spool, digest_str(l), &row, e);

    if (rc <= 0)
        return rc;
    buf_clear(&g->scratch);
    buf_add_str(&g->scratch, row.response);
    row.index = l->line.index;
    row.duplicate = true;
    row.cost_nano = 0;
    row.processed_us = g->clock->wall_us(g->clock);
    row.response = buf_str(&g->scratch);
    row.status = (struct str){ 0 };
    row.digest = (struct str){ 0 };
    rc = put(g, &row, e) < 0 ? -1 : 1;
    if (g->scratch.cap > SCRATCH_KEEP_BYTES)
        buf_release(&g->scratch);
    return rc;
}

/* The number of the answer's file in the spool: 1; 0 when the file cannot be used any more. */
static int origin_of(struct ledger *g, const struct kept_answer *a, uint32_t *origin)
{
    struct error why;

    if (spool_origin(g->spool, kept_path(a->file), origin, &why) == 0)
        return 1;
    if (why.code != ERROR_NOT_FOUND) /* else it was pruned meanwhile */
        log_warn("its kept answers are asked again: %s", why.msg);
    kept_drop(a->file);
    return 0;
}

int ledger_kept(struct ledger *g, uint64_t index, const struct line_note *note, struct error *e)
{
    struct kept_answer a;
    struct spool_row row = { .index = index, .outcome = OUTCOME_SUCCEEDED };
    uint64_t key[2];

    if (!g->reuse.kept || !line_key(note, g->reuse.model, key))
        return 0;
    do {
        if (!kept_find(g->reuse.kept, key, &a))
            return 0;
    } while (!origin_of(g, &a, &row.origin));
    row.origin_index = a.entry.index;
    row.shape = (enum answer_shape)a.entry.shape;
    row.reused_tokens = a.entry.tokens;
    row.processed_us = g->clock->wall_us(g->clock);
    return put(g, &row, e) < 0 ? -1 : 1;
}

bool ledger_due(const struct ledger *g, uint64_t now_ns)
{
    return g->rows >= COMMIT_ROWS_MAX || (g->rows && now_ns >= g->group_due_ns);
}

int ledger_commit(struct ledger *g, struct error *e)
{
    g->rows = 0;
    return spool_commit(g->spool, e);
}
