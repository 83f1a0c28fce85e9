/* sheet_head.c -- the beginnings of a job's inputs: their form, delimiter and columns. */
#include "format/table/sheet.h"

#include <string.h>

#include "base/json.h"

/* Bytes that a character cut off at the end of a head may have. */
#define CUT_BYTES_MAX 3

/* ---- Bytes that are not text ---- */

static int refuse_binary(const struct sheet_head *h, struct error *e)
{
    static const struct {
        struct str magic;
        const char *what; /* and the remedy */
    } kinds[] = {
        { STR_INIT("PK\x03\x04"),
          "is a spreadsheet (.xlsx) or a zip file; in the spreadsheet, save it as \"CSV UTF-8\"" },
        { STR_INIT("\xD0\xCF\x11\xE0"),
          "is an old spreadsheet (.xls); in the spreadsheet, save it as \"CSV UTF-8\"" },
        { STR_INIT("PAR1"), "is a Parquet file; give it a name that ends in .parquet" },
        { STR_INIT("\xFF\xFE"), "is UTF-16; convert it: iconv -f UTF-16 -t UTF-8 FILE > NEW" },
        { STR_INIT("\xFE\xFF"), "is UTF-16; convert it: iconv -f UTF-16 -t UTF-8 FILE > NEW" },
    };

    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (str_starts(h->bytes, kinds[i].magic))
            return error_set(e, ERROR_INVALID_ARGUMENT, "%s %s", h->name, kinds[i].what);
    if (h->bytes.len && memchr(h->bytes.p, '\0', h->bytes.len))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "%s has bytes of zero: it is not CSV, TSV or JSON", h->name);
    return 0;
}

static uint64_t line_at(struct str s, size_t at)
{
    uint64_t n = 1;

    for (size_t i = 0; i < at; i++)
        n += s.p[i] == '\n';
    return n;
}

static int refuse_latin1(const struct sheet_head *h, struct error *e)
{
    size_t valid = str_utf8_valid(h->bytes);

    if (valid == h->bytes.len || (!h->whole && h->bytes.len - valid <= CUT_BYTES_MAX))
        return 0;
    return error_set(e, ERROR_INVALID_ARGUMENT,
                     "%s:%llu: byte 0x%02X is not UTF-8; the file looks like Latin-1 "
                     "(Windows-1252). Convert it: iconv -f WINDOWS-1252 -t UTF-8 %s > NEW",
                     h->name, (unsigned long long)line_at(h->bytes, valid),
                     (unsigned char)h->bytes.p[valid], h->name);
}

/* ---- Columns ---- */

static bool is_json(struct str bytes)
{
    struct str text = str_trim(str_sub(bytes, 0, 4096));

    return text.len && text.p[0] == '{';
}

static void add_column(struct sheet *t, struct columns *c, struct str name)
{
    c->name = arena_list_grow(&t->arena, c->name, c->count, sizeof *c->name);
    c->name[c->count++] = (struct str){ arena_copy(&t->arena, name.p, name.len), name.len };
}

static bool has_column(const struct columns *c, struct str name)
{
    for (uint32_t i = 0; i < c->count; i++)
        if (str_eq(c->name[i], name))
            return true;
    return false;
}

/* The members of all whole rows in the head, in the order they are met. A bad row is found later. */
static int json_columns(struct sheet *t, const struct sheet_head *h, struct columns *c,
                        struct error *e)
{
    struct str rest = h->bytes, line;
    struct arena a = { 0 };
    struct error ignored = { 0 };

    while (str_next(&rest, '\n', &line) && (rest.len || h->whole)) {
        size_t at;
        yyjson_val *key, *root = json_parse(&a, line, &at, &ignored);
        yyjson_obj_iter it;
        if (!yyjson_is_obj(root))
            continue;
        yyjson_obj_iter_init(root, &it);
        while ((key = yyjson_obj_iter_next(&it)) && c->count <= SHEET_COLUMNS_MAX)
            if (!has_column(c, json_str(key)))
                add_column(t, c, json_str(key));
        arena_reset(&a);
    }
    arena_release(&a);
    if (c->count == 0)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "%s: no row is found in its first %zu KiB; a row is a JSON object on one "
                         "line",
                         h->name, SHEET_HEAD_BYTES >> 10);
    return 0;
}

/* Excel's first line "sep=;" names the delimiter. Its length, or 0. */
static size_t sep_line(struct str bytes, char *delimiter)
{
    if (!str_starts(bytes, STR("sep=")) || bytes.len < 6)
        return 0;
    size_t at = 5 + (bytes.p[5] == '\r');
    if (at >= bytes.len || bytes.p[at] != '\n')
        return 0;
    *delimiter = bytes.p[4];
    return at + 1;
}

static int refuse_mac(const struct sheet_head *h, struct str header, struct error *e)
{
    const char *cr = header.len ? memchr(header.p, '\r', header.len - 1) : NULL;

    if (!cr || memchr(header.p, '\n', header.len))
        return 0;
    return error_set(e, ERROR_INVALID_ARGUMENT,
                     "%s: its lines end with a carriage return only; convert it: tr '\\r' '\\n' < "
                     "%s > NEW",
                     h->name, h->name);
}

/* Reads the header; *delimiter is 0 when it is to be found out. */
static int csv_columns(struct sheet *t, struct sheet_head *h, char *delimiter, struct columns *c,
                       struct error *e)
{
    size_t at = lines_bom(h->bytes.p, h->bytes.len);
    size_t sep = sep_line(str_sub(h->bytes, at, h->bytes.len), delimiter);

    h->line_no = 1 + (sep > 0);
    at += sep;
    for (;; at++, h->line_no++) { /* empty lines before the header */
        size_t cr = at < h->bytes.len && h->bytes.p[at] == '\r';
        if (at + cr >= h->bytes.len || h->bytes.p[at + cr] != '\n')
            break;
        at += cr;
    }
    struct str rest = str_sub(h->bytes, at, h->bytes.len);
    /* The first line is enough to guess by; a header with a line end in it has cells before that. */
    if (*delimiter == 0)
        *delimiter = delimiter_guess(str_sub(rest, 0, str_find(rest, STR("\n"))));
    size_t end = record_end(rest, *delimiter);
    struct str header = str_sub(rest, 0, end);
    if (refuse_mac(h, header, e) < 0)
        return -1;
    if (end == rest.len && !h->whole)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "%s:%llu: the header does not end within %zu KiB; is a quote in it not "
                         "closed?",
                         h->name, (unsigned long long)h->line_no, SHEET_HEAD_BYTES >> 10);
    h->line_no += line_at(header, header.len);
    h->begin = at + end + (end < rest.len);
    t->crlf |= end > 0 && end < rest.len && header.p[end - 1] == '\r';
    if (header.len && header.p[header.len - 1] == '\r')
        header.len--;
    if (header.len == 0)
        return error_set(e, ERROR_INVALID_ARGUMENT, "%s is empty: it has no header", h->name);
    uint32_t n = cells_split(&t->arena, header, *delimiter, NULL, 0);
    struct cell *cell = arena_array(&t->arena, n, sizeof *cell);
    (void)cells_split(&t->arena, header, *delimiter, cell, n);
    for (uint32_t i = 0; i < n && i <= SHEET_COLUMNS_MAX; i++)
        add_column(t, c, cell[i].text);
    if (t->header)
        return 0;
    t->header = arena_array(&t->arena, n, sizeof *t->header);
    for (uint32_t i = 0; i < n; i++)
        t->header[i] =
            (struct str){ arena_copy(&t->arena, cell[i].raw.p, cell[i].raw.len), cell[i].raw.len };
    return 0;
}

/* ---- All inputs ---- */

static const char *form_name(enum sheet_form form, char delimiter)
{
    if (form == SHEET_JSONL)
        return "JSON rows";
    return delimiter == '\t'  ? "cells between tabs"
           : delimiter == ';' ? "cells between semicolons"
           : delimiter == ',' ? "cells between commas"
                              : "cells between other signs";
}

static int check_columns(const struct sheet *t, const struct sheet_head *h, const struct columns *c,
                         struct error *e)
{
    for (uint32_t i = 0; i < c->count && i < t->columns.count; i++)
        if (!str_eq(c->name[i], t->columns.name[i]))
            return error_set(e, ERROR_INVALID_ARGUMENT,
                             "column %u is \"%.*s\" in %s and \"%.*s\" in %s; inputs of one run "
                             "have the same columns",
                             i + 1, STR_ARG(t->columns.name[i]), t->first, STR_ARG(c->name[i]),
                             h->name);
    if (c->count != t->columns.count)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "%s has %u columns and %s %u; inputs of one run have the same columns",
                         t->first, t->columns.count, h->name, c->count);
    return 0;
}

static int check_alike(const struct sheet *t, const struct sheet_head *h, enum sheet_form form,
                       char delimiter, const struct columns *c, struct error *e)
{
    if (delimiter != t->delimiter || (form == SHEET_JSONL) != (t->form == SHEET_JSONL))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "%s has %s and %s %s; inputs of one run are alike", t->first,
                         form_name(t->form, t->delimiter), h->name, form_name(form, delimiter));
    return form == SHEET_JSONL ? 0 : check_columns(t, h, c, e);
}

static int read_one(struct sheet *t, struct sheet_head *h, enum sheet_form *form, char *delimiter,
                    struct columns *c, struct error *e)
{
    struct error not_named = { 0 };

    if (refuse_binary(h, e) < 0 || refuse_latin1(h, e) < 0)
        return -1;
    if (sheet_form_of(h->name, form, &not_named) < 0 || *form == SHEET_UNKNOWN)
        *form = is_json(h->bytes) ? SHEET_JSONL : SHEET_CSV;
    if (*form == SHEET_JSONL)
        return json_columns(t, h, c, e);
    *delimiter = *form == SHEET_TSV ? '\t' : '\0';
    return csv_columns(t, h, delimiter, c, e);
}

int sheet_add_input(struct sheet *t, struct sheet_head *h, struct error *e)
{
    bool is_first = t->first == NULL;
    struct columns c = t->form == SHEET_JSONL ? t->columns : (struct columns){ 0 };
    enum sheet_form form;
    char delimiter = '\0';

    if (read_one(t, h, &form, &delimiter, &c, e) < 0)
        return -1;
    if (c.count > SHEET_COLUMNS_MAX)
        return error_set(e, ERROR_INVALID_ARGUMENT, "%s has more than %d columns", h->name,
                         SHEET_COLUMNS_MAX);
    if (!is_first && check_alike(t, h, form, delimiter, &c, e) < 0)
        return -1;
    if (is_first) {
        t->first = arena_copy(&t->arena, h->name, strlen(h->name));
        t->form = form;
        t->delimiter = delimiter;
        t->bom = form != SHEET_JSONL && lines_bom(h->bytes.p, h->bytes.len) > 0;
    }
    if (is_first || form == SHEET_JSONL)
        t->columns = c;
    return 0;
}
