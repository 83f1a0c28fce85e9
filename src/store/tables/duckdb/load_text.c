#include <fcntl.h>
#include <string.h>

#include "base/sys.h"
#include "format/lines.h"
#include "store/tables/duckdb/load.h"

#define READ_BYTES ((size_t)256 * 1024)

int text_open(struct text_file *f, const char *path, struct error *e)
{
    int fd = sys_open(path, O_RDONLY, e);

    *f = (struct text_file){ .path = path };
    if (fd < 0)
        return -1;
    f->content = unpack_open(fd);
    return 0;
}

void text_close(struct text_file *f)
{
    unpack_close(f->content);
    mem_free(f->p);
    *f = (struct text_file){ .path = NULL };
}

/* One past the record that begins at s, without its line end; s.len when that is not there. */
static size_t end_of_record(const struct text_file *f, struct str s)
{
    bool quoted = false, first = true;

    if (!f->quote) {
        const char *end = s.len ? memchr(s.p, '\n', s.len) : NULL;
        return end ? (size_t)(end - s.p) : s.len;
    }
    for (size_t i = 0; i < s.len; i++) {
        char c = s.p[i];
        if (quoted) {
            quoted = c != f->quote; /* "" closes and opens again */
            continue;
        }
        if (c == '\n')
            return i;
        quoted = c == f->quote && (first || (i > 0 && s.p[i - 1] == f->quote));
        first = c == f->delimiter;
    }
    return s.len;
}

static int read_more(struct text_file *f, struct error *e)
{
    if (f->at)
        memmove(f->p, f->p + f->at, f->len - f->at);
    f->len -= f->at;
    f->at = 0;
    if (f->len > LOAD_RECORD_BYTES_MAX)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "Error while reading data, error message: row %lld is over %zu bytes",
                         (long long)f->record_no + 1, LOAD_RECORD_BYTES_MAX);
    if (f->len + READ_BYTES > f->cap) {
        f->cap = 2 * (f->len + READ_BYTES);
        f->p = mem_grow(f->p, f->cap);
    }
    int64_t n = unpack_read(f->content, f->p + f->len, f->cap - f->len, f->path, e);
    if (n < 0)
        return -1;
    f->ended = n == 0;
    bool begins = f->record_no == 0 && f->len == 0;
    f->len += (size_t)n;
    if (begins)
        f->at = lines_bom(f->p, f->len);
    return 0;
}

int text_next(struct text_file *f, struct str *out, struct error *e)
{
    for (;;) {
        struct str rest = { f->p + f->at, f->len - f->at };
        size_t end = end_of_record(f, rest);
        if (end < rest.len || (f->ended && rest.len)) {
            *out = str_sub(rest, 0, end);
            if (out->len && out->p[out->len - 1] == '\r')
                out->len--;
            f->at += end < rest.len ? end + 1 : end;
            f->record_no++;
            return 1;
        }
        if (f->ended)
            return 0;
        if (read_more(f, e) < 0)
            return -1;
    }
}

/* The text of a cell that begins with a quote, which stands at `at`; sets at behind its end. */
static int quoted_text(struct arena *a, struct str record, char quote, size_t *at, struct str *out,
                       struct error *e)
{
    char *text = arena_alloc_raw(a, record.len - *at + 1);
    size_t len = 0, i = *at + 1;

    for (; i < record.len; i++) {
        if (record.p[i] == quote) {
            if (i + 1 >= record.len || record.p[i + 1] != quote)
                break;
            i++;
        }
        text[len++] = record.p[i];
    }
    if (i >= record.len)
        return error_set(e, ERROR_INVALID_ARGUMENT, "Missing close quote character (%c).", quote);
    *at = i + 1;
    *out = (struct str){ text, len };
    return 0;
}

int csv_cells(struct arena *a, struct str record, char delimiter, char quote, struct csv_row *out,
              struct error *e)
{
    size_t at = 0;

    *out = (struct csv_row){ NULL, 0 };
    for (;;) {
        struct csv_cell cell = { .quoted = quote && at < record.len && record.p[at] == quote };
        if (cell.quoted && quoted_text(a, record, quote, &at, &cell.text, e) < 0)
            return -1;
        size_t begun = at;
        while (at < record.len && record.p[at] != delimiter)
            at++;
        if (!cell.quoted)
            cell.text = str_sub(record, begun, at - begun);
        else if (at != begun)
            return error_set(e, ERROR_INVALID_ARGUMENT,
                             "Data between close quote character (%c) and field separator.", quote);
        out->cell = arena_list_grow(a, out->cell, out->count, sizeof *out->cell);
        out->cell[out->count++] = cell;
        if (at >= record.len)
            return 0;
        if (out->count == LOAD_COLUMNS_MAX)
            return error_set(e, ERROR_INVALID_ARGUMENT, "Too many values in line.");
        at++;
    }
}

struct str latin1_text(struct arena *a, struct str s)
{
    char *text = arena_alloc_raw(a, 2 * s.len + 1);
    size_t len = 0;

    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c >= 0x80)
            text[len++] = (char)(0xc0 | c >> 6);
        text[len++] = (char)(c < 0x80 ? c : 0x80 | (c & 0x3f));
    }
    return (struct str){ text, len };
}
