#include "engine/lines/slice.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "engine/lines/cutter.h"
#include "engine/lines/digest.h"

#define PIECE_BYTES ((size_t)64 * 1024)
#define READ_BYTES ((size_t)256 * 1024)

static bool read_number(const char **p, uint32_t *out)
{
    const char *begin = *p;
    uint32_t n = 0;

    for (; **p >= '0' && **p <= '9' && n <= SLICES_MAX; (*p)++)
        n = n * 10 + (uint32_t)(**p - '0');
    *out = n;
    return *p > begin && n <= SLICES_MAX;
}

int slice_parse(const char *text, struct slice *out, struct error *e)
{
    const char *p = text;

    *out = (struct slice){ 0 };
    if (read_number(&p, &out->number) && *p++ == '/' && read_number(&p, &out->count) && !*p &&
        out->number < out->count)
        return 0;
    return error_set(
        e, ERROR_INVALID_ARGUMENT,
        "--shard %s is not K/N with K from 0 to N-1 and N at most %d: the shards of 64 "
        "are 0/64 to 63/64",
        text, SLICES_MAX);
}

/* The whole input must be recognised on each machine without reading all of it. */
static int note_input(struct slice *s, const struct input *in, struct error *e)
{
    char *piece = mem_alloc(PIECE_BYTES);
    struct digest *d = digest_new();
    int rc = 0;

    for (uint32_t i = 0; i < in->count && rc == 0; i++) {
        uint64_t bytes = in->file[i].bytes;
        size_t len = bytes < PIECE_BYTES ? (size_t)bytes : PIECE_BYTES;
        digest_add(d, &bytes, sizeof bytes);
        rc = input_read_at(in, i, 0, piece, len, e);
        if (rc == 0)
            digest_add(d, piece, len);
        if (rc == 0)
            rc = input_read_at(in, i, bytes - len, piece, len, e);
        if (rc == 0)
            digest_add(d, piece, len);
    }
    digest_end(d, s->digest);
    digest_free(d);
    mem_free(piece);
    s->input_bytes = in->bytes;
    s->input_files = in->count;
    return rc;
}

/* The first line that begins at or after *at, which is behind the file's first. */
static int find_line(const struct input *in, uint32_t file, uint64_t *at, struct error *e)
{
    uint64_t bytes = in->file[file].bytes, from = *at - 1;
    char *piece = mem_alloc(PIECE_BYTES);
    int rc = 0;

    *at = bytes;
    while (from < bytes && rc == 0) {
        size_t len = bytes - from < PIECE_BYTES ? (size_t)(bytes - from) : PIECE_BYTES;
        rc = input_read_at(in, file, from, piece, len, e);
        const char *end = rc == 0 ? memchr(piece, '\n', len) : NULL;
        if (end) {
            *at = from + (uint64_t)(end - piece) + 1;
            break;
        }
        from += len;
    }
    mem_free(piece);
    return rc;
}

/* Sets at and line_no to the first record of the shard that begins at or after at, or to the shard's end. */
static void find_in_shard(const struct shard *s, const struct piece *b, const struct line_cut *cut,
                          uint64_t *at, uint64_t *line_no)
{
    struct lines it;
    struct line line;
    bool found = false;

    lines_init(&it, s, b->p, cut);
    while (!s->overlong && !found && lines_next(&it, &line))
        found = line.offset >= *at;
    *at = found ? line.offset : s->offset + s->bytes;
    *line_no = found ? line.line_no : s->line_no_end;
}

/* The same of records, read from the file's begin. */
static int find_record(const struct input *in, uint32_t file, uint64_t *at, uint64_t *line_no,
                       struct error *e)
{
    const struct line_cut cut = { .delimiter = in->cut->delimiter };
    struct input one = {
        .file = &in->file[file], .count = 1, .bytes = in->file[file].bytes, .cut = &cut
    };
    struct cutter cutter;
    struct piece piece = { 0 };
    struct shard s = { 0 };
    int rc;

    cutter_init(&cutter, &one, 0, 0);
    do
        rc = cutter_next(&cutter, &piece, &s, e);
    while (rc == 1 && s.offset + s.bytes <= *at);
    if (rc == 1)
        find_in_shard(&s, &piece, &cut, at, line_no);
    else if (rc == 0)
        *at = in->file[file].bytes;
    piece_release(&piece);
    return rc < 0 ? -1 : 0;
}

/* Moves at to the first line at or behind it, and sets line_no to its number in as far as it is known. */
static int align(const struct input *in, uint32_t file, uint64_t *at, uint64_t *line_no,
                 struct error *e)
{
    const struct input_file *f = &in->file[file];

    *line_no = f->begin ? f->line_no : 1;
    if (*at <= f->begin) {
        *at = f->begin;
        return 0;
    }
    if (*at >= f->bytes) {
        *at = f->bytes;
        return 0;
    }
    *line_no = 1;
    return in->cut && in->cut->delimiter ? find_record(in, file, at, line_no, e)
                                         : find_line(in, file, at, e);
}

/* Byte number / count of the input, without an overflow. */
static uint64_t place(const struct slice *s, uint32_t number)
{
    return s->input_bytes / s->count * number + s->input_bytes % s->count * number / s->count;
}

/* An edit of a file changes its modification time, whatever it leaves as it was. */
static void note_times(struct slice *s, const struct input *in)
{
    struct digest *d = digest_new();

    for (uint32_t i = 0; i < in->count; i++)
        digest_add(d, &in->file[i].changed_ns, sizeof in->file[i].changed_ns);
    digest_end(d, s->times);
    digest_free(d);
}

static uint64_t within(uint64_t at, uint64_t base, uint64_t bytes)
{
    return at < base ? 0 : at - base < bytes ? at - base : bytes;
}

int slice_bytes(const struct input *in, uint64_t begin, uint64_t end, const atomic_bool *stop,
                uint64_t digest[2], struct error *e)
{
    char *piece = mem_alloc(READ_BYTES);
    struct digest *d = digest_new();
    uint64_t base = 0, at, len;
    int rc = 0;

    for (uint32_t i = 0; i < in->count && rc == 0; base += in->file[i++].bytes) {
        uint64_t to = within(end, base, in->file[i].bytes);
        for (at = within(begin, base, in->file[i].bytes); at < to && rc == 0; at += len) {
            len = to - at < READ_BYTES ? to - at : READ_BYTES;
            rc = stop && atomic_load(stop) ? error_set(e, ERROR_CANCELLED, "interrupted")
                                           : input_read_at(in, i, at, piece, (size_t)len, e);
            if (rc == 0)
                digest_add(d, piece, (size_t)len);
        }
    }
    digest_end(d, digest);
    digest_free(d);
    mem_free(piece);
    return rc;
}

/* Sets the slice's begin and end, each file's begin, and in ends where each file's lines of the slice end. */
static int find_ends(struct slice *s, const struct input *in, uint64_t *ends, struct error *e)
{
    uint64_t base = 0, lines_at = 0, ends_at = 0;
    uint64_t from = place(s, s->number), to = place(s, s->number + 1);

    s->begin = s->end = UINT64_MAX;
    for (uint32_t i = 0; i < in->count; i++) {
        struct input_file *f = &in->file[i];
        uint64_t bytes = f->bytes, begin = within(from, base, bytes);
        ends[i] = within(to, base, bytes);
        if (align(in, i, &begin, &lines_at, e) < 0)
            return -1;
        f->begin = begin;
        f->line_no = lines_at;
        if (align(in, i, &ends[i], &ends_at, e) < 0)
            return -1;
        assert(begin <= ends[i] && ends[i] <= bytes);
        if (s->begin == UINT64_MAX && (from < base + bytes || i + 1 == in->count))
            s->begin = base + begin;
        if (s->end == UINT64_MAX && (to < base + bytes || i + 1 == in->count))
            s->end = base + ends[i];
        base += bytes;
    }
    return 0;
}

int slice_take(struct slice *s, struct input *in, const atomic_bool *stop, struct error *e)
{
    uint64_t *ends = mem_array(in->count, sizeof *ends);

    assert(s->count && s->number < s->count);
    int rc = note_input(s, in, e);
    note_times(s, in);
    if (rc == 0)
        rc = find_ends(s, in, ends, e);
    /* Before the lines are read: an edit from now on makes another digest than that of what is answered. */
    if (rc == 0)
        rc = slice_bytes(in, s->number ? s->begin : 0, s->end, stop, s->content, e);
    in->bytes = 0;
    for (uint32_t i = 0; i < in->count && rc == 0; i++) {
        in->file[i].bytes = ends[i];
        in->bytes += ends[i] - in->file[i].begin;
    }
    mem_free(ends);
    return rc;
}
