#include "engine/lines/cutter.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "engine/lines/digest.h"

#define GUESS_MIN ((size_t)256 * 1024)
/* A line of LINE_BYTES_MAX with "\r\n": a line that has not ended by then is overlong. */
#define WANT_MAX (LINE_BYTES_MAX + 2)

void piece_release(struct piece *b)
{
    mem_free(b->p);
    *b = (struct piece){ 0 };
}

void cutter_init(struct cutter *c, const struct input *in, uint64_t limit, uint64_t lines_max)
{
    *c = (struct cutter){ .in = in, .limit = limit, .lines_max = lines_max, .guess = GUESS_MIN };
}

static int file_begin(struct cutter *c, struct error *e)
{
    char head[3];
    uint64_t bytes = c->in->file[c->file].bytes;
    size_t len = bytes < sizeof head ? (size_t)bytes : sizeof head;

    if (input_read_at(c->in, c->file, 0, head, len, e) < 0)
        return -1;
    const struct input_file *f = &c->in->file[c->file];
    c->offset = f->begin ? f->begin : lines_bom(head, len);
    c->line_no = f->begin ? f->line_no : 1;
    return 0;
}

/* 1 when the cutter stands at bytes of a file, 0 when all are used up. */
static int find_bytes(struct cutter *c, struct error *e)
{
    for (; c->file < c->in->count; c->file++, c->offset = 0) {
        if (c->offset == 0 && file_begin(c, e) < 0)
            return -1;
        if (c->offset < c->in->file[c->file].bytes)
            return 1;
    }
    return 0;
}

/* Makes b hold want bytes from the cutter's place; what it holds already stays. */
static int fill(const struct cutter *c, struct piece *b, size_t want, struct error *e)
{
    if (b->cap < want) {
        b->p = mem_grow(b->p, want);
        b->cap = want;
    }
    if (input_read_at(c->in, c->file, c->offset + b->len, b->p + b->len, want - b->len, e) < 0)
        return -1;
    b->len = want;
    return 0;
}

/* True when more bytes would not change a cut after n: the next line was seen and refused, or there
 * were as many bytes as any shard can have. */
static bool cut_is_final(const struct cutter *c, const struct piece *b, size_t n, bool at_end)
{
    struct str rest = { b->p + n, b->len - n };

    if (at_end || b->len >= SHARD_BYTES_MAX)
        return true;
    if (c->in->cut && c->in->cut->delimiter)
        return record_end(rest, c->in->cut->delimiter) < rest.len;
    return memchr(rest.p, '\n', rest.len) != NULL;
}

/* b holds the line's first WANT_MAX bytes; the rest goes through it until the line ends. */
static int skip_overlong(struct cutter *c, struct piece *b, struct shard *out, struct error *e)
{
    uint64_t left = c->in->file[c->file].bytes - c->offset;
    struct digest *d = digest_new();
    const char *end = NULL;
    int rc = 0;

    digest_add(d, b->p, b->len);
    out->bytes = b->len;
    while (!end && out->bytes < left && rc == 0) {
        size_t len = left - out->bytes < GUESS_MIN ? (size_t)(left - out->bytes) : GUESS_MIN;
        rc = input_read_at(c->in, c->file, c->offset + out->bytes, b->p, len, e);
        if (rc < 0)
            break;
        end = memchr(b->p, '\n', len);
        len = end ? (size_t)(end - b->p) + 1 : len;
        digest_add(d, b->p, len);
        out->bytes += len;
    }
    digest_end(d, out->digest);
    digest_free(d);
    b->len = 0;
    out->overlong = true;
    out->line_count = 1;
    out->line_no_end = out->line_no + 1;
    return rc;
}

static int cut_here(struct cutter *c, struct piece *b, struct shard *out, struct error *e)
{
    uint64_t left = c->in->file[c->file].bytes - c->offset;
    size_t want = c->guess;

    b->len = 0;
    for (;;) {
        bool at_end = want >= left;
        if (fill(c, b, at_end ? (size_t)left : want, e) < 0)
            return -1;
        size_t n = shard_cut(b->p, b->len, at_end, c->in->cut, out);
        if (n && cut_is_final(c, b, n, at_end))
            break;
        if (want == WANT_MAX)
            return skip_overlong(c, b, out, e);
        want = want < WANT_MAX / 2 ? want * 2 : WANT_MAX;
    }
    size_t next = (size_t)out->bytes + (size_t)out->bytes / 4;
    c->guess = next < GUESS_MIN ? GUESS_MIN : next < SHARD_BYTES_MAX ? next : SHARD_BYTES_MAX;
    if (out->overlong)
        digest_of(b->p, (size_t)out->bytes, out->digest);
    return 0;
}

/* Leaves line_count lines in the shard, which has more. */
static void cut_short(const struct cutter *c, const struct piece *b, uint32_t line_count,
                      struct shard *s)
{
    struct lines it;
    struct line line = { 0 };

    lines_init(&it, s, b->p, c->in->cut);
    for (uint32_t i = 0; i < line_count; i++)
        (void)lines_next(&it, &line);
    s->bytes = (uint64_t)(it.rest.p - b->p);
    s->line_count = line_count;
    s->line_no_end = it.line.line_no;
}

int cutter_next(struct cutter *c, struct piece *b, struct shard *out, struct error *e)
{
    int rc = c->limit && c->index == c->limit ? 0 : find_bytes(c, e);

    if (rc <= 0)
        return rc;
    *out = (struct shard){
        .file = c->file, .offset = c->offset, .line_no = c->line_no, .index = c->index
    };
    if (cut_here(c, b, out, e) < 0)
        return -1;
    if (c->limit && out->line_count > c->limit - c->index)
        cut_short(c, b, (uint32_t)(c->limit - c->index), out);
    if (c->lines_max && c->index + out->line_count > c->lines_max)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "the input has more than %llu lines; split it, or raise lines_max",
                         (unsigned long long)c->lines_max);
    assert(out->bytes && c->offset + out->bytes <= c->in->file[c->file].bytes);
    assert(out->line_no_end >= out->line_no + out->line_count);
    c->offset += out->bytes;
    c->line_no = out->line_no_end;
    c->index += out->line_count;
    return 1;
}
