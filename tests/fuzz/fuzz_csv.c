/* Goal: records, cells, templates and conditions hold for any bytes.
 * Method: the first byte is the size of the reader's buffer, the second the delimiter. Records are the
 * same however they are read; written cells read back; the bytes are also a template, a condition and a
 * whole file with its rows. */
#include <assert.h>
#include <string.h>

#include "format/lines.h"
#include "format/table/sheet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CELLS_MAX 64

/* Each cell lies in its record, between delimiters, and reads back when it is written. */
static void check_record(struct str record, char delimiter)
{
    struct arena a = { 0 };
    struct cell cell[CELLS_MAX], again[2];
    uint32_t n = cells_split(&a, record, delimiter, cell, CELLS_MAX);
    const char *at = record.p;

    for (uint32_t i = 0; i < n && i < CELLS_MAX; i++) {
        assert(i == 0 || *at++ == delimiter);
        assert(cell[i].raw.p == at || cell[i].raw.len == 0);
        at += cell[i].raw.len;
        struct buf out = BUF_INIT(record.len * 2 + 2);
        cell_write(&out, cell[i].text, delimiter);
        assert(cells_split(&a, buf_str(&out), delimiter, again, 2) == 1);
        assert(!again[0].fault && !again[0].null && str_eq(again[0].text, cell[i].text));
        buf_release(&out);
    }
    assert(n > CELLS_MAX || at == record.p + record.len);
    arena_release(&a);
}

static void check_records(const char *p, size_t len, size_t buffer, char delimiter)
{
    const struct line_cut cut = { .delimiter = delimiter };
    struct shard whole = { .line_no = 1 }, s = { .line_no = 1 };
    size_t all = shard_cut(p, len, true, &cut, &whole);
    struct lines it;
    struct line line;
    uint64_t count = 0;

    lines_init(&it, &whole, p, &cut);
    while (lines_next(&it, &line)) {
        check_record(line.text, delimiter);
        count++;
    }
    assert(count == whole.line_count);
    for (size_t at = 0; at < all;) {
        size_t held = all - at < buffer ? all - at : buffer;
        size_t n = shard_cut(p + at, held, at + held == all, &cut, &s);
        assert(n <= held && (n || at + held < all));
        if (n == 0)
            buffer *= 2;
        at += n;
        s.index += n ? s.line_count : 0;
        s.line_no = n ? s.line_no_end : s.line_no;
    }
    assert(s.index == whole.line_count && s.line_no == whole.line_no_end);
}

/* The whole as a file: its first column goes into the prompt, and each row comes out. */
static void check_table(struct str bytes)
{
    struct sheet_head head = { .name = "x", .bytes = bytes, .whole = true };
    struct columns one = { (struct str[]){ STR_INIT("a") }, 1 };
    struct arena a = { 0 };
    struct template t;
    struct error e = { 0 };
    struct sheet sheet = { 0 };

    if (template_read(&t, &a, bytes, &one, &e) == 0) {
        struct buf out = BUF_INIT(bytes.len * 64 + 64);
        template_fill(&t, &(struct cell){ .text = STR("a") }, &out);
        buf_release(&out);
    }
    const struct where *w = where_read(&a, bytes, &one, &e);
    if (w)
        (void)where_chooses(w, &(struct cell){ .text = STR("1") });
    if (sheet_add_input(&sheet, &head, &e) == 0 &&
        sheet_ask(&sheet, &(struct sheet_options){ .prompt = "{a}" }, &e) == 0) {
        struct shard s = { .line_no = head.line_no, .offset = head.begin };
        struct lines it;
        struct line line;
        struct buf out = BUF_INIT(bytes.len * 64 + 4096);
        (void)shard_cut(bytes.p + head.begin, bytes.len - head.begin, true, &sheet.cut, &s);
        lines_init(&it, &s, bytes.p + head.begin, &sheet.cut);
        while (lines_next(&it, &line)) {
            struct violations bad = { 0 };
            struct str request;
            (void)sheet_request(&sheet, &a, line.text, &request, &bad);
            (void)sheet_write_row(&sheet, &a, line.text, &(struct sheet_answer){ 0 }, &out);
        }
        buf_release(&out);
    }
    sheet_release(&sheet);
    arena_release(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char delimiters[] = { ',', ';', '\t', '|' };
    const char *p = (const char *)data;

    if (size < 2)
        return 0;
    check_records(p + 2, size - 2, (size_t)data[0] + 1, delimiters[data[1] % 4]);
    check_table((struct str){ p + 2, size - 2 });
    return 0;
}
