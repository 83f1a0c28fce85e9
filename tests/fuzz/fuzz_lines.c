/* Goal: shards and lines cover an input exactly, whatever the buffer it is read through.
 * Method: the first byte is the size of the reader's buffer, which doubles when it holds no line. */
#include <assert.h>
#include <string.h>

#include "format/lines.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The lines of one shard: in order, in place, as many as were counted. */
static void check_shard(const struct shard *s, const char *p)
{
    uint64_t end = s->offset, count = 0;
    struct line line;
    struct lines it;

    lines_init(&it, s, p, NULL);
    while (lines_next(&it, &line)) {
        assert(line.offset >= end && line.text.p == p + (line.offset - s->offset));
        assert(line.text.len && !memchr(line.text.p, '\n', line.text.len));
        assert(line.line_no >= s->line_no && line.line_no < s->line_no_end);
        assert(line.index == s->index + count++);
        end = line.offset + line.text.len;
    }
    assert(end <= s->offset + s->bytes && count == s->line_count);
    assert(s->line_count <= SHARD_LINES_MAX);
}

static uint64_t count_lines(const char *p, size_t len)
{
    uint64_t n = len && p[len - 1] != '\n';

    for (size_t i = 0; i < len; i++)
        n += p[i] == '\n';
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t buffer = size ? (size_t)data[0] + 1 : 1, len = size ? size - 1 : 0;
    const char *p = size ? (const char *)data + 1 : "";
    struct shard s = { .line_no = 1, .offset = lines_bom(p, len) };

    for (size_t at = (size_t)s.offset; at < len;) {
        size_t held = len - at < buffer ? len - at : buffer;
        size_t n = shard_cut(p + at, held, at + held == len, NULL, &s);
        assert(n == s.bytes && n <= held);
        if (n == 0) {
            assert(at + held < len); /* at the end there is always a shard */
            buffer *= 2;
            continue;
        }
        check_shard(&s, p + at);
        at += n;
        s.offset = at;
        s.index += s.line_count;
        s.line_no = s.line_no_end;
    }
    assert(s.line_no - 1 == count_lines(p + lines_bom(p, len), len - lines_bom(p, len)));
    return 0;
}
