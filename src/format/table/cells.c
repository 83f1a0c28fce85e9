#include "format/table/cells.h"

#include <string.h>

/* Columns that an error lists. */
#define COLUMNS_SHOWN_MAX 12
#define DISTANCE_MAX 3

static size_t find(struct str s, size_t at, char c)
{
    const char *p = at < s.len ? memchr(s.p + at, c, s.len - at) : NULL;

    return p ? (size_t)(p - s.p) : s.len;
}

/* Each "" becomes one. */
static struct str decode(struct arena *a, struct str inner)
{
    char *out = arena_alloc_raw(a, inner.len);
    size_t len = 0;

    for (size_t i = 0; i < inner.len; i++) {
        out[len++] = inner.p[i];
        i += inner.p[i] == '"';
    }
    return (struct str){ out, len };
}

/* Reads the quoted cell that begins at at; returns the position of the delimiter behind it. */
static size_t read_quoted(struct arena *a, struct str s, size_t at, char delimiter,
                          struct cell *out)
{
    size_t close = find(s, at + 1, '"');
    bool doubled = false;

    while (close + 1 < s.len && s.p[close + 1] == '"') {
        doubled = true;
        close = find(s, close + 2, '"');
    }
    struct str inner = str_sub(s, at + 1, close - at - 1);
    size_t end = close == s.len ? s.len : find(s, close + 1, delimiter);
    *out = (struct cell){ .raw = str_sub(s, at, end - at) };
    if (close == s.len)
        out->fault = "its quote is not closed.";
    else if (end != close + 1)
        out->fault = "text stands behind its closing quote.";
    if (out->fault)
        out->text = out->raw;
    else
        out->text = doubled ? decode(a, inner) : inner;
    return end;
}

uint32_t cells_split(struct arena *a, struct str record, char delimiter, struct cell *cell,
                     uint32_t max)
{
    uint32_t n = 0;
    struct cell ignored;

    for (size_t at = 0;; at++) {
        struct cell *c = n < max ? &cell[n] : &ignored;
        size_t end;
        if (at < record.len && record.p[at] == '"') {
            end = read_quoted(a, record, at, delimiter, c);
        } else {
            end = find(record, at, delimiter);
            c->raw = c->text = str_sub(record, at, end - at);
            c->null = end == at;
            c->fault = NULL;
        }
        n++;
        at = end;
        if (end == record.len)
            return n;
    }
}

/* White space at an end is lost by many readers, and a quote at the beginning would open a cell. */
static bool needs_quotes(struct str text, char delimiter)
{
    if (text.len == 0 || text.p[0] == ' ' || text.p[0] == '\t' || text.p[text.len - 1] == ' ' ||
        text.p[text.len - 1] == '\t')
        return true;
    return memchr(text.p, '"', text.len) || memchr(text.p, delimiter, text.len) ||
           memchr(text.p, '\n', text.len) || memchr(text.p, '\r', text.len);
}

void cell_write(struct buf *out, struct str text, char delimiter)
{
    if (!needs_quotes(text, delimiter)) {
        buf_add_str(out, text);
        return;
    }
    buf_add_char(out, '"');
    while (text.len) {
        size_t quote = find(text, 0, '"');
        buf_add(out, text.p, quote);
        if (quote < text.len)
            buf_add_c(out, "\"\"");
        text = str_sub(text, quote + 1, text.len);
    }
    buf_add_char(out, '"');
}

char delimiter_guess(struct str header)
{
    static const char candidates[] = { ',', ';', '\t', '|' };
    struct arena a = { 0 };
    uint32_t most = 1;
    char best = ',';

    for (size_t i = 0; i < ARRAY_LEN(candidates); i++) {
        uint32_t n = cells_split(&a, header, candidates[i], NULL, 0);
        if (n > most) {
            most = n;
            best = candidates[i];
        }
    }
    arena_release(&a);
    return best;
}

/* ---- The names of a table's columns ---- */

/* The number of columns with the name, the first in *out. */
static uint32_t count_named(const struct columns *c, struct str name, bool trimmed, uint32_t *out)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < c->count; i++) {
        if (!str_eq(trimmed ? str_trim(c->name[i]) : c->name[i], name))
            continue;
        if (n++ == 0)
            *out = i;
    }
    return n;
}

static void suggest(const struct columns *c, struct str name, struct buf *out)
{
    unsigned nearest = DISTANCE_MAX + 1;
    struct str best = { 0 };

    for (uint32_t i = 0; i < c->count; i++) {
        unsigned d = str_distance(c->name[i], name, DISTANCE_MAX);
        if (d < nearest && d < name.len) {
            nearest = d;
            best = c->name[i];
        }
    }
    if (best.len)
        buf_addf(out, "; did you mean \"%.*s\"?", STR_ARG(best));
    buf_add_c(out, best.len ? " The columns are " : "; the columns are ");
    for (uint32_t i = 0; i < c->count && i < COLUMNS_SHOWN_MAX; i++)
        buf_addf(out, "%s%.*s", i ? ", " : "", STR_ARG(c->name[i]));
    if (c->count > COLUMNS_SHOWN_MAX)
        buf_add_c(out, ", ...");
}

int columns_find(const struct columns *c, struct str name, uint32_t *out, struct error *e)
{
    uint32_t n = count_named(c, name, false, out);

    if (n == 0)
        n = count_named(c, str_trim(name), true, out);
    if (n == 1)
        return 0;
    if (n > 1)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "the header has the column \"%.*s\" twice; rename one of them",
                         STR_ARG(name));
    struct buf hint = BUF_INIT(ERROR_MSG_BYTES);
    suggest(c, name, &hint);
    (void)error_set(e, ERROR_NOT_FOUND, "there is no column \"%.*s\"%.*s", STR_ARG(name),
                    STR_ARG(buf_str(&hint)));
    buf_release(&hint);
    return -1;
}
