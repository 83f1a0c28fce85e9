/* delegate_merge.c -- a remote job's rows, each to the line it is of; and what has none.
 *
 * An answer that had to have a form is checked as that of an upstream server is. One that has it not is an
 * error row: the batch service has ended, and --retry-failed asks again. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sys.h"
#include "engine/remote/delegate_inner.h"
#include "engine/lines/walk.h"
#include "format/google/remote_row.h"
#include "predict/upstream/answer_check.h"

#define ROWS_CAP_KEPT ((size_t)1024 * 1024)
#define BLOCK_BYTES ((size_t)256 * 1024)
#define HEAD_BYTES (ROW_KEY_BYTES + 32) /* of a row that was sent: its key is in it */

struct merge {
    struct delegation *d;
    uint64_t from, to;    /* lines that its rows may be of */
    struct buf carry;     /* a row whose end has not come */
    bool overlong;        /* the rest of the row is skipped */
    struct arena arena;   /* of one row */
    struct buf response;  /* of one row */
    struct error missing; /* why a line has no row */
    uint64_t taken, strange;
    struct walk lines; /* of the job: the requests of answers that are checked */
    struct violations violations;
    struct schemas *checks;
    bool broken; /* a fault of our own, which no other attempt mends */
};

/* ---- Keys ---- */

void row_key_write(uint64_t index, bool checked, const unsigned char *digest,
                   char out[ROW_KEY_BYTES])
{
    int n = snprintf(out, ROW_KEY_BYTES, "%llu%s", (unsigned long long)index, checked ? "s" : "");

    if (!digest)
        return;
    out[n++] = '-';
    str_hex(digest, SPOOL_DIGEST_BYTES, out + n);
}

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_digest(struct str hex, unsigned char out[SPOOL_DIGEST_BYTES])
{
    if (hex.len != 2 * (size_t)SPOOL_DIGEST_BYTES)
        return false;
    for (size_t i = 0; i < SPOOL_DIGEST_BYTES; i++) {
        int high = digit_of(hex.p[2 * i]), low = digit_of(hex.p[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i] = (unsigned char)(high << 4 | low);
    }
    return true;
}

struct row_key {
    uint64_t index;
    bool checked, has_digest;
    unsigned char digest[SPOOL_DIGEST_BYTES];
};

static bool row_key_read(struct str key, struct row_key *out)
{
    size_t dash = str_find(key, STR("-"));
    struct str number = str_sub(key, 0, dash);

    out->has_digest = dash != SIZE_MAX;
    out->checked = str_ends(number, STR("s"));
    return str_number(str_sub(number, 0, number.len - out->checked), &out->index) &&
           (!out->has_digest || read_digest(str_sub(key, dash + 1, key.len), out->digest));
}

/* ---- Rows ---- */

/* Reads the line again that a row is of. */
static int read_request(struct merge *m, struct open_line *l, struct error *e)
{
    const struct delegate_job *job = m->d->job;
    struct line line;

    if (!m->lines.input)
        walk_init(&m->lines, job->input, job->ingest, NULL);
    int rc = walk_line(&m->lines, l->line.index, &line, e);
    m->violations.count = 0;
    if (rc <= 0 || !ingest_line(&m->arena, line.text, &job->rules, NULL, &l->in, &m->violations))
        return rc < 0 ? -1
                      : error_set(e, ERROR_INTERNAL, "line %llu cannot be read again",
                                  (unsigned long long)l->line.index + 1);
    return 0;
}

static int put_answer(struct merge *m, struct open_line *l, const struct remote_row *row,
                      struct error *e)
{
    struct ledger *g = &m->d->ledger;
    struct answer a = { .usage = row->usage };

    if (row->error.code != ERROR_OK)
        return ledger_failure(g, l->line.index, &row->error, e);
    if (l->in.request &&
        answer_check(m->checks, l->in.request, row->response, &a.complete, &a.error) < 0 &&
        a.error.code != ERROR_INVALID_ARGUMENT) /* else no check follows its schema */
        return ledger_reject(g, &a, e) < 0 ? -1 : ledger_failure(g, l->line.index, &a.error, e);
    buf_clear(&m->response);
    buf_add_str(&m->response, row->response);
    a.response = m->response;
    int rc = ledger_answer(g, l, &a, e);
    if (m->response.cap > ROWS_CAP_KEPT)
        buf_release(&m->response);
    return rc;
}

/* One that comes twice counts once, and one that is of no line of this part not at all. */
static int take_row(struct merge *m, struct str line, struct error *e)
{
    struct open_line l = { 0 };
    struct remote_row row;
    struct row_key key;
    bool done = false;

    arena_reset(&m->arena);
    if (str_trim(line).len == 0)
        return 0;
    if (!remote_row_read(&m->arena, line, &row) || !row_key_read(row.key, &key) ||
        key.index < m->from || key.index >= m->to) {
        m->strange++;
        return 0;
    }
    l.line.index = key.index;
    l.has_digest = key.has_digest;
    memcpy(l.digest, key.digest, sizeof l.digest);
    if (spool_done(m->d->job->spool, l.line.index, 1, &done, e) < 0)
        return -1;
    if (done)
        return 0;
    m->taken++;
    if (key.checked && row.error.code == ERROR_OK && read_request(m, &l, e) < 0)
        return -1;
    if (put_answer(m, &l, &row, e) < 0)
        return -1;
    return delegate_settle(m->d, false, e);
}

static void carry_on(struct merge *m, struct str piece)
{
    if (m->overlong)
        return;
    buf_add_str(&m->carry, piece);
    if (buf_ok(&m->carry))
        return;
    m->overlong = true;
    m->strange++;
    buf_release(&m->carry);
}

static int end_row(struct merge *m, struct str piece, struct error *e)
{
    int rc = 0;

    if (m->carry.len || m->overlong)
        carry_on(m, piece);
    if (!m->overlong)
        rc = take_row(m, m->carry.len ? buf_str(&m->carry) : piece, e);
    m->overlong = false;
    buf_clear(&m->carry);
    if (m->carry.cap > ROWS_CAP_KEPT)
        buf_release(&m->carry);
    return rc;
}

static int on_bytes(void *arg, const void *p, size_t len, struct error *e)
{
    struct merge *m = arg;
    struct str rest = { p, len };

    for (;;) {
        size_t end = str_find(rest, STR("\n"));
        if (end == SIZE_MAX) {
            carry_on(m, rest);
            return 0;
        }
        if (end_row(m, str_sub(rest, 0, end), e) < 0) {
            m->broken = true;
            return -1;
        }
        rest = str_sub(rest, end + 1, rest.len);
    }
}

/* An output that is gone can never be fetched: its lines say so. */
static int fetch_rows(struct merge *m, const char *output, struct error *e)
{
    struct remote *remote = m->d->job->remote;
    struct remote_cursor at = { 0 };
    struct trial trial = { 0 };
    struct error why;

    while (remote->ops->fetch(remote, output, &at, on_bytes, m, &why) < 0) {
        if (m->broken) {
            *e = why;
            return -1;
        }
        if (why.code == ERROR_NOT_FOUND) {
            m->missing = why;
            (void)error_wrap(&m->missing, "the answers are gone");
            return 0;
        }
        if (!delegate_again(m->d, &trial, &why, e))
            return error_wrap(e, "cannot fetch %s", output);
    }
    return 0;
}

/* ---- Lines without a row ---- */

static int fail_one(struct merge *m, struct str head, struct error *e)
{
    struct row_key key;
    bool done = false;

    if (!row_key_read(remote_row_key(head), &key))
        return 0;
    if (spool_done(m->d->job->spool, key.index, 1, &done, e) < 0 ||
        (!done && ledger_failure(&m->d->ledger, key.index, &m->missing, e) < 0))
        return -1;
    return delegate_settle(m->d, false, e);
}

/* The heads of all rows that were sent, whose lines may be longer than is worth reading at once. */
static int fail_block(struct merge *m, struct str rest, struct buf *head, struct error *e)
{
    while (rest.len) {
        size_t end = str_find(rest, STR("\n"));
        struct str piece = str_sub(rest, 0, end);
        buf_add_str(head, str_sub(piece, 0, head->max - head->len));
        if (end == SIZE_MAX)
            return 0;
        if (fail_one(m, buf_str(head), e) < 0)
            return -1;
        buf_clear(head);
        rest = str_sub(rest, end + 1, rest.len);
    }
    return 0;
}

static int fail_file(struct merge *m, int fd, const char *path, struct error *e)
{
    struct buf head = BUF_INIT(HEAD_BYTES);
    char *block = mem_alloc(BLOCK_BYTES);
    uint64_t at = 0;
    int64_t n;

    do {
        n = sys_read_at(fd, block, BLOCK_BYTES, at, path, e);
        if (n > 0 && fail_block(m, (struct str){ block, (size_t)n }, &head, e) < 0)
            n = -1;
        at += n > 0 ? (uint64_t)n : 0;
    } while (n > 0);
    mem_free(block);
    buf_release(&head);
    return n < 0 ? -1 : 0;
}

/* The part's file lists the lines that were sent; this job's end fails no others. */
static int fail_missing(struct merge *m, uint32_t part, struct error *e)
{
    char path[DELEGATE_PATH_BYTES];

    facts_part_path(m->d, part, path);
    int fd = sys_open(path, O_RDONLY, e);
    if (fd < 0)
        return -1;
    int rc = fail_file(m, fd, path, e);
    (void)close(fd);
    return rc;
}

/* ---- Afterwards ---- */

static void remove_remote(struct delegation *d, const char *place)
{
    struct remote *remote = d->job->remote;
    struct error why;

    if (place[0] && remote->ops->remove(remote, place, &why) < 0)
        log_debug("%s stays at the batch service: %s", place, why.msg);
}

/* A file that cannot be removed only takes room: nothing depends on it. */
static void clean_up(struct delegation *d, uint32_t part, const struct remote_status *st)
{
    char path[DELEGATE_PATH_BYTES];
    struct error why;

    remove_remote(d, d->part[part].place);
    remove_remote(d, st->output);
    facts_part_path(d, part, path);
    if (sys_remove_all(path, &why) < 0)
        log_debug("%s", why.msg);
}

/* ---- A part ---- */

static void merge_init(struct merge *m, struct delegation *d, uint32_t part)
{
    *m = (struct merge){ .d = d, .from = part_from(d, part), .to = d->part[part].to };
    m->carry = BUF_INIT(REMOTE_ROW_BYTES_MAX);
    m->response = BUF_INIT(RESPONSE_BYTES_MAX);
    m->checks = schemas_new();
    (void)error_set(&m->missing, ERROR_INTERNAL,
                    "the batch service's output has no row for this line");
}

static void merge_release(struct merge *m)
{
    buf_release(&m->carry);
    buf_release(&m->response);
    if (m->lines.input)
        walk_release(&m->lines);
    schemas_free(m->checks);
    arena_release(&m->arena);
}

/* Nothing of it is known as taken until the part is merged: killed before, all is looked at again. */
int merge_part(struct delegation *d, uint32_t part, const struct remote_status *st, struct error *e)
{
    struct remote_part *p = &d->part[part];
    struct merge m;
    int rc = 0;

    merge_init(&m, d, part);
    if (st->why.code != ERROR_OK)
        m.missing = st->why;
    if (st->output[0])
        rc = fetch_rows(&m, st->output, e);
    if (rc == 0 && m.taken < p->rows && !d->cancelling)
        rc = fail_missing(&m, part, e);
    if (rc == 0)
        rc = delegate_settle(d, true, e);
    if (rc == 0 && m.strange)
        log_warn("%s: %llu rows of its output are of none of its lines", p->job,
                 (unsigned long long)m.strange);
    merge_release(&m);
    if (rc < 0)
        return -1;
    p->phase = PART_MERGED;
    if (facts_part_save(d, part, e) < 0)
        return -1;
    clean_up(d, part, st);
    return 0;
}
