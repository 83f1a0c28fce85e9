#include "engine/lines/peek.h"

#include "engine/lines/cutter.h"
#include "format/table/sheet.h"

struct peeker {
    const struct peek *p;
    struct piece piece;        /* bytes of the shard */
    struct arena arena;        /* of one line */
    struct violations ignored; /* they are in the row's status already */
    struct buf out;
    uint64_t left; /* rows */
    bool ended;    /* by on_row */
};

static int give(struct peeker *k, uint64_t index, struct error *e)
{
    int rc = k->p->on_row(k->p->arg, index, buf_str(&k->out), e);

    buf_clear(&k->out);
    k->ended = rc == 1;
    return rc < 0 ? -1 : 0;
}

/* The row as the output will have it. A line that is not to be parsed is echoed as text. */
static int show(struct peeker *k, uint64_t index, struct str text, bool parsed, struct error *e)
{
    const struct peek *p = k->p;
    struct input_line in = { 0 };
    struct spool_row row = { 0 };
    int rc = spool_get(p->spool, index, &row, e);

    if (rc <= 0)
        return rc;
    arena_reset(&k->arena);
    k->ignored.count = 0;
    k->left--;
    if (p->rules.sheet) {
        const struct sheet_answer answer = { row.status, row.response,
                                             row.origin ? row.answered_us : 0 };
        (void)sheet_write_row(p->rules.sheet, &k->arena, text, &answer, &k->out);
        return give(k, index, e);
    }
    if (parsed)
        (void)request_read_line(&k->arena, text, &p->rules, &in, &k->ignored);
    const struct row answer = {
        .status = row.status,
        .processed_us = row.processed_us,
        .answered_us = row.origin ? row.answered_us : 0,
        .response = row.response,
        .style = p->style,
    };
    row_write(&in, text, &answer, &k->out);
    return give(k, index, e);
}

static int show_overlong(struct peeker *k, const struct shard *s, struct error *e)
{
    char head[OVERLONG_HEAD_BYTES];

    if (input_read_at(k->p->input, s->file, s->offset, head, sizeof head, e) < 0)
        return -1;
    return show(k, s->index, (struct str){ head, sizeof head }, false, e);
}

static int show_shard(struct peeker *k, const struct shard *s, struct error *e)
{
    bool done[SHARD_LINES_MAX];
    struct lines it;
    struct line line;

    if (spool_done(k->p->spool, s->index, s->line_count, done, e) < 0)
        return -1;
    if (s->overlong)
        return done[0] ? show_overlong(k, s, e) : 0;
    lines_init(&it, s, k->piece.p, k->p->input->cut);
    while (k->left && !k->ended && lines_next(&it, &line))
        if (line.index >= k->p->from && done[line.index - s->index] &&
            show(k, line.index, line.text, true, e) < 0)
            return -1;
    return 0;
}

/* Ends behind the rows that were there at the beginning: later ones may stand anywhere. Nobody knows how many of them
 * stand behind a line in the middle. */
static int show_all(struct peeker *k, struct error *e)
{
    const struct peek *p = k->p;
    struct counters counters = { 0 };
    struct cutter cutter;
    struct shard s;
    int rc = 1;

    spool_counters(p->spool, &counters);
    k->left = p->from ? UINT64_MAX : counters_done(&counters);
    if (p->rows_max && k->left > p->rows_max)
        k->left = p->rows_max;
    cutter_init(&cutter, p->input, p->limit, 0);
    while (k->left && !k->ended && (rc = cutter_next(&cutter, &k->piece, &s, e)) == 1) {
        if (p->stop && atomic_load(p->stop))
            return error_set(e, ERROR_CANCELLED, "interrupted");
        if (s.index + s.line_count <= p->from)
            continue;
        if (show_shard(k, &s, e) < 0)
            return -1;
    }
    return rc < 0 ? -1 : 0;
}

int peek_run(const struct peek *p, struct error *e)
{
    struct peeker k = { .p = p, .out = BUF_INIT(ROW_BYTES_MAX) };
    int rc = 0;

    if (p->rules.sheet && p->from == 0) {
        sheet_write_head(p->rules.sheet, &k.out);
        rc = give(&k, PEEK_HEAD, e);
    }
    if (rc == 0)
        rc = show_all(&k, e);

    buf_release(&k.out);
    arena_release(&k.arena);
    piece_release(&k.piece);
    return rc;
}
