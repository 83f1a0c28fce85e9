#include "format/lines.h"

#include <string.h>

/* One line as it stands in the bytes: whole bytes are with its end, text without it. */
struct cut {
    struct str whole, text;
};

/* Cuts the first line of s off; false when s is empty, or has no line end and more can come. */
static bool cut_line(struct str s, bool at_end, struct cut *out)
{
    const char *end = s.len ? memchr(s.p, '\n', s.len) : NULL;

    if (!end && (s.len == 0 || !at_end))
        return false;
    out->whole = str_sub(s, 0, end ? (size_t)(end - s.p) + 1 : s.len);
    out->text = str_sub(out->whole, 0, out->whole.len - (end != NULL));
    if (out->text.len && out->text.p[out->text.len - 1] == '\r')
        out->text.len--;
    return true;
}

static bool is_blank(struct str text)
{
    size_t i = 0;

    while (i < text.len && (text.p[i] == ' ' || text.p[i] == '\t' || text.p[i] == '\r'))
        i++;
    return i == text.len;
}

size_t shard_cut(const char *p, size_t len, bool at_end, struct shard *s)
{
    struct str rest = { p, len };
    struct cut c;

    s->bytes = 0;
    s->line_count = 0;
    s->line_no_end = s->line_no;
    s->overlong = false;
    while (cut_line(rest, at_end, &c)) {
        bool blank = is_blank(c.text), overlong = c.text.len > LINE_BYTES_MAX;
        bool full = s->bytes + c.whole.len > SHARD_BYTES_MAX || overlong ||
                    (!blank && s->line_count == SHARD_LINES_MAX);
        if (full && s->bytes)
            break;
        s->bytes += c.whole.len;
        s->line_count += !blank;
        s->line_no_end++;
        s->overlong = overlong;
        if (overlong)
            break;
        rest = str_sub(rest, c.whole.len, rest.len);
    }
    return (size_t)s->bytes;
}

void lines_init(struct lines *it, const struct shard *s, const char *p)
{
    it->rest = (struct str){ p, (size_t)s->bytes };
    it->line = (struct line){ .offset = s->offset, .line_no = s->line_no, .index = s->index };
}

bool lines_next(struct lines *it, struct line *out)
{
    struct cut c;

    while (cut_line(it->rest, true, &c)) {
        bool blank = is_blank(c.text);
        *out = it->line;
        out->text = c.text;
        it->rest = str_sub(it->rest, c.whole.len, it->rest.len);
        it->line.offset += c.whole.len;
        it->line.line_no++;
        it->line.index += !blank;
        if (!blank)
            return true;
    }
    return false;
}

size_t lines_bom(const char *p, size_t len)
{
    return len >= 3 && memcmp(p, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
}
