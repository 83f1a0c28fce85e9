/* Goal: no create body crashes its reader; what it takes it can show: a spec that says again what was
 * asked, and resources that are JSON whatever stands in their texts. Method: the first byte chooses the
 * dialect. */
#include <assert.h>

#include "format/job/gemini.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define OUT_BYTES_MAX ((size_t)64 * 1024 * 1024)

static void check_json(struct arena *a, struct str text)
{
    struct error e = { 0 };
    size_t at;

    assert(json_parse(a, text, &at, &e));
}

static void check_error(const struct error *e)
{
    assert(e->code == ERROR_INVALID_ARGUMENT && e->msg[0]);
    assert(str_utf8_valid(str_of(e->msg)) == str_of(e->msg).len);
}

static void check_vertex(struct arena *a, struct str body)
{
    struct vertex_view v = { .expired_as = JOB_FAILED };
    struct buf out = BUF_INIT(OUT_BYTES_MAX);
    struct job j = { .id = 1 };
    struct error e = { 0 };
    struct str *uri;
    uint32_t count;

    if (vertex_read(a, body, &j, &e) < 0) {
        check_error(&e);
        return;
    }
    check_json(a, j.spec);
    struct bq_name in, made;
    bool tables = vertex_input_table(a, j.spec, &in);
    assert(tables ? in.table.len > 0
                  : vertex_inputs(a, j.spec, &uri, &count, &e) == 0 && count > 0);
    if (vertex_output_table(a, &j, &made))
        assert(made.project.len && made.dataset.len && made.table.len);
    else
        assert(str_starts(vertex_output_prefix(a, j.spec), STR("gs://")));
    for (unsigned s = 0; s < JOB_STATE_COUNT; s++) {
        j.state = (enum job_state)s;
        buf_clear(&out);
        vertex_write(&j, &v, &out);
        check_json(a, buf_str(&out));
    }
    buf_release(&out);
}

static void check_pieces(struct arena *a, const struct job *j)
{
    struct buf out = BUF_INIT(OUT_BYTES_MAX);
    struct gemini_pieces p;

    gemini_write(j, NULL, GEMINI_OPERATION, &p);
    buf_add_str(&out, buf_str(&p.head));
    buf_add_str(&out, buf_str(&p.middle));
    buf_add_str(&out, buf_str(&p.tail));
    assert(p.inlined || (p.middle.len == 0 && p.tail.len == 0));
    check_json(a, buf_str(&out));
    gemini_pieces_release(&p);
    buf_release(&out);
}

static void check_lines(struct arena *a, struct str lines)
{
    while (lines.len) {
        size_t end = str_find(lines, STR("\n"));
        assert(end < SIZE_MAX);
        check_json(a, str_sub(lines, 0, end));
        lines = str_sub(lines, end + 1, lines.len);
    }
}

static void check_gemini(struct arena *a, struct str body)
{
    struct buf lines = BUF_INIT(OUT_BYTES_MAX);
    struct job j = { .id = 1, .batch = "b" };
    struct error e = { 0 };

    if (gemini_read(a, body, GEMINI_GENERATE, &j, &lines, &e) < 0) {
        check_error(&e);
        buf_release(&lines);
        return;
    }
    check_json(a, j.spec);
    assert((j.source == JOB_INLINE) == (lines.len > 0));
    check_lines(a, buf_str(&lines));
    for (unsigned s = 0; s < JOB_STATE_COUNT; s++) {
        j.state = (enum job_state)s;
        check_pieces(a, &j);
    }
    buf_release(&lines);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str body = str_sub((struct str){ (const char *)data, size }, 1, size);
    struct arena a = { 0 };

    if (size && data[0] == 'g')
        check_gemini(&a, body);
    else
        check_vertex(&a, body);
    arena_release(&a);
    return 0;
}
