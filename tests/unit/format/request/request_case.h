/* request_case.h -- request lines in tests, easy to read: ' stands for ", and ^ marks an offset.
 *
 * Why: a case shows what is wrong and where at a glance, and a wrong offset fails by one byte.
 */
#ifndef TRANCHE_TESTS_REQUEST_CASE_H
#define TRANCHE_TESTS_REQUEST_CASE_H

#include "base/mem.h"
#include "format/request/request.h"

#define MARKS_MAX 8

/* One line read, with all that belongs to it. */
struct reading {
    struct arena arena;
    struct buf text;
    size_t mark[MARKS_MAX];
    unsigned mark_count;
    struct input_line line;
    struct violations bad;
    bool ok;
};

static inline void reading_fill(struct reading *r, struct str written)
{
    *r = (struct reading){ .text = BUF_INIT(written.len) };
    for (size_t i = 0; i < written.len; i++) {
        if (written.p[i] == '^' && r->mark_count < MARKS_MAX)
            r->mark[r->mark_count++] = r->text.len;
        else
            buf_add_char(&r->text, written.p[i] == '\'' ? '"' : written.p[i]);
    }
}

/* The spans that are found without a parse are those of the whole reading, also when it is known
 * where the request stands. */
static inline void reading_spans_agree(struct reading *r, struct str request,
                                       const struct line_rules *rules)
{
    struct error e = { 0 };
    struct input_line quick;
    size_t at = 0;

    if (!yyjson_is_obj(json_parse(&r->arena, buf_str(&r->text), &at, &e)) ||
        !request_line_spans(&r->arena, buf_str(&r->text), request, rules, &quick))
        return;
    assert_true(str_eq(quick.request_text, r->line.request_text));
    assert_true(str_eq(quick.key, r->line.key));
    assert_int_equal(quick.sibling_count, r->line.sibling_count);
    for (uint32_t i = 0; i < quick.sibling_count; i++) {
        assert_true(str_eq(quick.sibling[i].key, r->line.sibling[i].key));
        assert_true(str_eq(quick.sibling[i].value, r->line.sibling[i].value));
    }
}

/* Reads a line into *r, which is large and belongs to the test. */
static inline void reading_run(struct reading *r, struct str written, bool from_output)
{
    const struct line_rules rules = { .from_output = from_output };

    reading_fill(r, written);
    r->ok = request_read_line(&r->arena, buf_str(&r->text), &rules, &r->line, &r->bad);
    reading_spans_agree(r, (struct str){ 0 }, &rules);
    if (!from_output)
        reading_spans_agree(r, r->line.request_text, &rules);
}

static inline void reading_release(struct reading *r)
{
    arena_release(&r->arena);
    buf_release(&r->text);
}

#endif
