#include "format/lines.h"

#include <string.h>

/* One line as it stands in the bytes: whole bytes are with its end, text without it. */
struct cut {
    struct str whole, text;
    uint64_t line_ends; /* in whole; 1 when it has none */
};

/* The position of c in s from at on; s.len when it is not there. */
static size_t find(struct str s, size_t at, char c)
{
    const char *p = at < s.len ? memchr(s.p + at, c, s.len - at) : NULL;

    return p ? (size_t)(p - s.p) : s.len;
}

/* The position behind the quote that closes the cell whose text begins at at; s.len when none does. */
static size_t quoted_end(struct str s, size_t at)
{
    for (;;) {
        at = find(s, at, '"') + 1;
        if (at >= s.len)
            return s.len;
        if (s.p[at] != '"')
            return at;
        at++;
    }
}

/* A '"' opens a quoted cell only where a cell begins, as spreadsheets read it. The next line end is kept
 * from one quote to the next, so that the time does not depend on the number of quotes. */
size_t record_end(struct str s, char delimiter)
{
    size_t end = find(s, 0, '\n');

    for (size_t quote = find(str_sub(s, 0, end), 0, '"'); quote < end;) {
        size_t behind = quote + 1;
        if (quote == 0 || s.p[quote - 1] == delimiter)
            behind = quoted_end(s, behind);
        if (behind > end)
            end = find(s, behind, '\n');
        quote = find(str_sub(s, 0, end), behind, '"');
    }
    return end;
}

static uint64_t count_line_ends(struct str s)
{
    uint64_t n = 0;

    for (size_t at = find(s, 0, '\n'); at < s.len; at = find(s, at + 1, '\n'))
        n++;
    return n;
}

/* Cuts the first line of s off; false when s is empty, or has no line end and more can come. */
static bool cut_line(struct str s, bool at_end, const struct line_cut *how, struct cut *out)
{
    bool record = how && how->delimiter;
    size_t end = record ? record_end(s, how->delimiter) : find(s, 0, '\n');
    bool ended = end < s.len;

    if (!ended && (s.len == 0 || !at_end))
        return false;
    out->whole = str_sub(s, 0, end + ended);
    out->text = str_sub(s, 0, end);
    if (out->text.len && out->text.p[out->text.len - 1] == '\r')
        out->text.len--;
    out->line_ends = record ? count_line_ends(out->text) + 1 : 1;
    return true;
}

/* Passed over: it has a number, but no request. An overlong line is never read. */
static bool is_skipped(struct str text, const struct line_cut *how)
{
    bool cells = how && how->delimiter == '\t'; /* tabs are cells then */
    size_t i = 0;

    while (i < text.len && (text.p[i] == ' ' || text.p[i] == '\r' || (text.p[i] == '\t' && !cells)))
        i++;
    if (i == text.len)
        return true;
    return how && how->keep && text.len <= LINE_BYTES_MAX && !how->keep(how->arg, text);
}

size_t shard_cut(const char *p, size_t len, bool at_end, const struct line_cut *cut,
                 struct shard *s)
{
    struct str rest = { p, len };
    struct cut c;

    s->bytes = 0;
    s->line_count = 0;
    s->line_no_end = s->line_no;
    s->overlong = false;
    while (cut_line(rest, at_end, cut, &c)) {
        bool skipped = is_skipped(c.text, cut), overlong = c.text.len > LINE_BYTES_MAX;
        bool full = s->bytes + c.whole.len > SHARD_BYTES_MAX || overlong ||
                    (!skipped && s->line_count == SHARD_LINES_MAX);
        if (full && s->bytes)
            break;
        s->bytes += c.whole.len;
        s->line_count += !skipped;
        s->line_no_end += c.line_ends;
        s->overlong = overlong;
        if (overlong)
            break;
        rest = str_sub(rest, c.whole.len, rest.len);
    }
    return (size_t)s->bytes;
}

void lines_init(struct lines *it, const struct shard *s, const char *p, const struct line_cut *cut)
{
    it->rest = (struct str){ p, (size_t)s->bytes };
    it->line = (struct line){ .offset = s->offset, .line_no = s->line_no, .index = s->index };
    it->cut = cut;
}

bool lines_next(struct lines *it, struct line *out)
{
    struct cut c;

    while (cut_line(it->rest, true, it->cut, &c)) {
        bool skipped = is_skipped(c.text, it->cut);
        *out = it->line;
        out->text = c.text;
        it->rest = str_sub(it->rest, c.whole.len, it->rest.len);
        it->line.offset += c.whole.len;
        it->line.line_no += c.line_ends;
        it->line.index += !skipped;
        if (!skipped)
            return true;
    }
    return false;
}

size_t lines_bom(const char *p, size_t len)
{
    return len >= 3 && memcmp(p, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
}
