/* delegate_stage.c -- the lines that are to be sent, cut into files of rows that a remote job takes. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/sys.h"
#include "engine/remote/delegate_inner.h"
#include "engine/lines/line_key.h"
#include "engine/lines/walk.h"
#include "format/google/remote_row.h"
#include "predict/upstream/answer_check.h"

#define FLUSH_BYTES ((size_t)1024 * 1024)
/* Digests of what was sent, one a place: what is forgotten is only sent once more. */
#define SEEN_SLOTS ((size_t)64 * 1024)

struct stage {
    struct delegation *d;
    struct walk walk;   /* lines that have no row */
    struct arena arena; /* of the line that is read */
    struct violations violations;
    struct buf identity; /* of its request */
    uint64_t (*seen)[2]; /* SEEN_SLOTS */
    uint64_t from;       /* lines before it belong to earlier parts */
    /* The part that is being made. */
    char path[DELEGATE_PATH_BYTES];
    int fd;          /* -1: not open yet */
    struct buf row;  /* of the line that is read */
    struct buf rows; /* not written yet */
    uint64_t row_count, bytes;
};

/* ---- Lines ---- */

static int take_bad(struct stage *s, uint64_t index, struct error *e)
{
    struct error why;

    ingest_error(&s->violations, &why);
    return ledger_failure(&s->d->ledger, index, &why, e);
}

static int write_rows(struct stage *s, struct error *e)
{
    struct str rows = buf_str(&s->rows);

    if (s->fd < 0) {
        char folder[DELEGATE_PATH_BYTES];
        facts_folder(s->d, folder);
        facts_part_path(s->d, s->d->part_count, s->path);
        if (sys_mkdirs(folder, e) < 0)
            return -1;
        s->fd = sys_open(s->path, O_WRONLY | O_CREAT | O_TRUNC, e);
        if (s->fd < 0)
            return -1;
    }
    int rc = sys_write_all(s->fd, rows.p, rows.len, s->path, e);
    buf_clear(&s->rows);
    return rc;
}

/* 1 when it does not fit into this part any more. */
static int put_row(struct stage *s, const struct line *line, struct error *e)
{
    const struct remote *remote = s->d->job->remote;
    struct error why;

    if (s->row_count &&
        (s->row_count == remote->rows_max || s->row.len > remote->bytes_max - s->bytes))
        return 1;
    if (s->row.len > remote->bytes_max) {
        (void)error_set(&why, ERROR_INVALID_ARGUMENT,
                        "the request has %zu bytes, and a job of the batch service takes %llu",
                        s->row.len, (unsigned long long)remote->bytes_max);
        return ledger_failure(&s->d->ledger, line->index, &why, e);
    }
    buf_add_str(&s->rows, buf_str(&s->row));
    s->row_count++;
    s->bytes += s->row.len;
    return s->rows.len < FLUSH_BYTES ? 0 : write_rows(s, e);
}

/* Only of requests that may stand there again, as in the pipeline. */
static bool set_digest(struct stage *s, const struct request *r, struct open_line *l)
{
    uint64_t digest[2];

    if (!request_deterministic(r) || !line_digest(r, NULL, &s->identity, digest))
        return false;
    memcpy(l->digest, digest, sizeof digest);
    l->has_digest = repeats_maybe(s->d->job->ingest->repeats, digest);
    return l->has_digest;
}

static uint64_t *seen_slot(struct stage *s, const struct open_line *l)
{
    uint64_t digest[2];

    memcpy(digest, l->digest, sizeof digest);
    return s->seen[digest[0] % SEEN_SLOTS];
}

/* In the first round an identical one that was sent answers for it too. A second round holds none
 * back, so that there is no third. */
static bool is_held_back(struct stage *s, const struct open_line *l)
{
    return s->d->round == 1 && memcmp(seen_slot(s, l), l->digest, sizeof l->digest) == 0;
}

static int take_good(struct stage *s, const struct line *line, const struct input_line *in,
                     struct error *e)
{
    struct open_line l = { .line = *line };
    char key[ROW_KEY_BYTES];

    if (set_digest(s, in->request, &l)) {
        int copied = ledger_copy(&s->d->ledger, &l, e);
        if (copied != 0)
            return copied < 0 ? -1 : 0;
        if (is_held_back(s, &l))
            return 0;
    }
    row_key_write(line->index, answer_check_wanted(in->request), l.has_digest ? l.digest : NULL,
                  key);
    buf_clear(&s->row);
    remote_row_write(str_of(key), in->request->text, &s->row);
    int rc = put_row(s, line, e);
    if (rc == 0 && l.has_digest)
        memcpy(seen_slot(s, &l), l.digest, sizeof l.digest);
    return rc;
}

static int take_line(struct stage *s, const struct line *line, struct error *e)
{
    struct input_line in;

    arena_reset(&s->arena);
    s->violations.count = 0;
    if (s->walk.shard->overlong) {
        ingest_overlong(&s->d->job->rules, &s->violations);
        return take_bad(s, line->index, e);
    }
    int rc = ledger_kept(&s->d->ledger, line->index, walk_note(&s->walk, line->index), e);
    if (rc != 0)
        return rc < 0 ? -1 : 0;
    arena_reserve(&s->arena, line->text.len * WINDOW_ARENA_FACTOR);
    if (!ingest_line(&s->arena, line->text, &s->d->job->rules, NULL, &in, &s->violations))
        return take_bad(s, line->index, e);
    return take_good(s, line, &in, e);
}

/* ---- Parts ---- */

/* The file is whole and durable before the fact that says so. */
static int part_end(struct stage *s, uint64_t to, struct error *e)
{
    struct delegation *d = s->d;

    if (d->part_count == DELEGATE_PARTS_MAX)
        return error_set(e, ERROR_RESOURCE_EXHAUSTED, "the input makes more than %d parts",
                         DELEGATE_PARTS_MAX);
    int rc = write_rows(s, e);
    if (rc == 0)
        rc = sys_sync(s->fd, s->path, e);
    if (s->fd >= 0)
        (void)close(s->fd);
    s->fd = -1;
    if (rc < 0 || sys_sync_folder(s->path, e) < 0)
        return -1;
    struct remote_part *p = facts_part_add(d);
    p->rows = s->row_count;
    p->to = s->from = to;
    if (facts_part_save(d, d->part_count - 1, e) == 0)
        return 0;
    d->part_count--;
    return -1;
}

/* ---- The stage ---- */

struct stage *stage_new(struct delegation *d)
{
    struct stage *s = mem_alloc(sizeof *s);

    s->d = d;
    walk_init(&s->walk, d->job->input, d->job->ingest, d->job->spool);
    s->seen = mem_array(SEEN_SLOTS, sizeof *s->seen);
    s->from = part_from(d, d->part_count);
    s->identity = BUF_INIT(LINE_BYTES_MAX);
    s->row = BUF_INIT(LINE_BYTES_MAX + ROW_KEY_BYTES + 64);
    s->rows = BUF_INIT(LINE_BYTES_MAX + ROW_KEY_BYTES + 64 + FLUSH_BYTES);
    s->fd = -1;
    return s;
}

void stage_free(struct stage *s)
{
    if (!s)
        return;
    if (s->fd >= 0)
        (void)close(s->fd);
    walk_release(&s->walk);
    arena_release(&s->arena);
    buf_release(&s->identity);
    buf_release(&s->row);
    buf_release(&s->rows);
    mem_free(s->seen);
    mem_free(s);
}

/* 1: a line that has to go into the next part, whose index is *to; 0 at the end. */
static int take_lines(struct stage *s, uint64_t *to, struct error *e)
{
    struct line line;
    int rc;

    while ((rc = walk_peek(&s->walk, &line, e)) == 1) {
        rc = line.index < s->from ? 0 : take_line(s, &line, e);
        *to = line.index;
        if (rc != 0)
            return rc;
        walk_take(&s->walk);
        if (delegate_stopped(s->d, e) < 0 || delegate_settle(s->d, false, e) < 0)
            return -1;
    }
    *to = s->d->job->ingest->lines;
    return rc;
}

int stage_next(struct stage *s, struct error *e)
{
    uint64_t to = 0;

    s->row_count = s->bytes = 0;
    buf_clear(&s->rows);
    int rc = take_lines(s, &to, e);
    /* Lines that have rows by now are not looked at again, so the rows have to be durable first. */
    if (rc >= 0 && delegate_settle(s->d, true, e) < 0)
        rc = -1;
    if (rc < 0 || s->row_count == 0)
        return rc < 0 ? -1 : 0;
    return part_end(s, to, e) < 0 ? -1 : 1;
}
