/* reply.c -- a job as the answer to a call; inline responses are streamed from their file. */
#include <assert.h>
#include <string.h>
#include <unistd.h>

#include "api/jobs/jobs.h"
#include "base/log.h"
#include "base/sys.h"
#include "format/job/vertex.h"

#define JOB_BYTES_MAX ((size_t)8 * 1024 * 1024)
#define JSON_TYPE "application/json; charset=UTF-8"

void job_write(struct call *c, const struct job *j, struct str mask, enum gemini_form form,
               struct buf *out)
{
    struct job_live live = { 0 };
    struct vertex_view view = { .live = &live, .mask = mask, .expired_as = c->api->expired_as };
    struct gemini_pieces p;

    service_live(c->api->service, j, &live);
    if (j->dialect == DIALECT_VERTEX) {
        vertex_write(j, &view, out);
        return;
    }
    gemini_write(j, &live, form, &p);
    buf_add_str(out, buf_str(&p.head));
    gemini_pieces_release(&p);
}

/* ---- Inline responses ---- */

enum inlined_part { PART_HEAD, PART_ROWS, PART_MIDDLE, PART_ROWS_AGAIN, PART_TAIL, PART_COUNT };

/* The pieces of an answer with the rows of a file between them. The http_source of the reply owns it. */
struct inlined {
    struct gemini_pieces p;
    int fd;             /* -1: there are no rows */
    uint64_t row_bytes; /* without the last line end */
    enum inlined_part part;
    uint64_t at; /* in the part */
};

static int64_t text_pull(struct inlined *s, const struct buf *text, char *p, size_t cap)
{
    size_t left = text->len - (size_t)s->at, n = left < cap ? left : cap;

    if (n)
        memcpy(p, text->p + s->at, n);
    s->at += n;
    return (int64_t)n;
}

/* Lines of one object each become a list: JSON text has no line end within a value here. */
static int64_t rows_pull(struct inlined *s, char *p, size_t cap)
{
    uint64_t left = s->row_bytes - s->at;
    size_t want = left < cap ? (size_t)left : cap;
    struct error e = { 0 };

    if (want == 0)
        return 0;
    int64_t n = sys_read_at(s->fd, p, want, s->at, "inline responses", &e);
    if (n <= 0) { /* a broken connection is better than an answer that lacks its end */
        log_error("an inline answer is cut off: %s",
                  n < 0 ? e.msg : "inline responses became shorter");
        return -1;
    }
    for (int64_t i = 0; i < n; i++)
        if (p[i] == '\n')
            p[i] = ',';
    s->at += (uint64_t)n;
    return n;
}

static int64_t part_pull(struct inlined *s, char *p, size_t cap)
{
    switch (s->part) {
    case PART_HEAD:
        return text_pull(s, &s->p.head, p, cap);
    case PART_ROWS:
        return rows_pull(s, p, cap);
    case PART_MIDDLE:
        return text_pull(s, &s->p.middle, p, cap);
    case PART_ROWS_AGAIN:
        return s->p.twice ? rows_pull(s, p, cap) : 0;
    case PART_TAIL:
        return text_pull(s, &s->p.tail, p, cap);
    case PART_COUNT:
        break;
    }
    return 0;
}

static int64_t inlined_pull(void *arg, char *p, size_t cap)
{
    struct inlined *s = arg;
    int64_t n = 0;

    assert(s->part <= PART_COUNT);
    while (s->part < PART_COUNT && (n = part_pull(s, p, cap)) == 0) {
        s->part++;
        s->at = 0;
    }
    return n;
}

static void inlined_close(void *arg)
{
    struct inlined *s = arg;

    gemini_pieces_release(&s->p);
    if (s->fd >= 0)
        (void)close(s->fd);
    mem_free(s);
}

/* Takes the pieces. */
static void inlined_reply(struct call *c, const struct job *j, const struct gemini_pieces *p)
{
    struct inlined *s = mem_alloc(sizeof *s);
    struct error e = { 0 };
    uint64_t bytes = 0;

    s->p = *p;
    s->fd = service_results(c->api->service, j, &bytes, &e);
    if (s->fd < 0 && e.code != ERROR_NOT_FOUND) {
        inlined_close(s);
        call_fail(c, &e);
        return;
    }
    s->row_bytes = s->fd >= 0 && bytes ? bytes - 1 : 0;
    http_reply_source(
        c->http, 200, JSON_TYPE,
        &(struct http_source){ .pull = inlined_pull, .close = inlined_close, .arg = s });
}

void job_reply(struct call *c, const struct job *j)
{
    struct buf out = BUF_INIT(JOB_BYTES_MAX);
    struct job_live live = { 0 };
    struct gemini_pieces p;

    if (j->dialect == DIALECT_VERTEX) {
        job_write(c, j, (struct str){ 0 }, GEMINI_OPERATION, &out);
        call_reply(c, &out);
        return;
    }
    service_live(c->api->service, j, &live);
    gemini_write(j, &live, GEMINI_OPERATION, &p);
    if (p.inlined) {
        inlined_reply(c, j, &p);
        return;
    }
    call_reply(c, &p.head);
    gemini_pieces_release(&p);
}
