/* Goal: no line crashes the validator; every violation points into the line and can be printed; a
 * valid request stays valid when it is wrapped again; a line's spans are the same without a parse.
 * Method: the first byte chooses whether the line is one of an input or of an output. */
#include <assert.h>
#include <string.h>

#include "format/request/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *text, size_t cap)
{
    assert(memchr(text, '\0', cap));
    assert(str_utf8_valid(str_of(text)) == strlen(text));
}

static void check_violations(const struct violations *bad, size_t line_bytes)
{
    size_t before = 0;

    for (unsigned i = 0; i < violations_held(bad); i++) {
        const struct violation *v = &bad->item[i];
        assert(v->offset <= line_bytes && v->offset >= before);
        before = v->offset;
        check_text(v->path, sizeof v->path);
        check_text(v->message, sizeof v->message);
        check_text(v->remedy, sizeof v->remedy);
        assert(v->message[0] && v->remedy[0]);
    }
}

static void check_span(struct str line, struct str span)
{
    assert(span.len == 0 || (span.p >= line.p && span.p + span.len <= line.p + line.len));
}

static void check_spans(struct str line, const struct input_line *in)
{
    check_span(line, in->request_text);
    check_span(line, in->key);
    assert(in->sibling_count <= LINE_SIBLINGS_MAX);
    for (uint32_t i = 0; i < in->sibling_count; i++) {
        check_span(line, in->sibling[i].key);
        check_span(line, in->sibling[i].value);
    }
}

static void check_request(const struct request *r)
{
    assert(r->content_count > 0 && r->content_count <= REQUEST_CONTENTS_MAX);
    for (uint32_t i = 0; i < r->content_count; i++)
        assert(r->content[i].part_count > 0 && r->content[i].part);
    assert(r->generation.candidate_count >= 1);
    assert(r->generation.candidate_count <= REQUEST_CANDIDATES_MAX);
    assert(r->generation.stop_count <= REQUEST_STOP_SEQUENCES_MAX);
}

/* Wrapping adds a level of nesting, which is the only thing that may now be wrong. */
static void check_wrapped(struct arena *a, const struct request *r, struct violations *bad)
{
    static const struct line_rules plain = { .from_output = false };
    struct buf b = BUF_INIT(r->text.len + 32);
    struct input_line in;

    buf_add_c(&b, "{\"request\":");
    buf_add_str(&b, r->text);
    buf_add_char(&b, '}');
    if (request_read_line(a, buf_str(&b), &plain, &in, bad)) {
        assert(str_eq(in.request_text, r->text));
        assert(in.request->content_count == r->content_count);
    } else {
        assert(strstr(bad->item[0].message, "nested"));
    }
    buf_release(&b);
}

/* Of any line that is a JSON object, valid or not, the spans are found without a parse too, also
 * when it is known where the request stands. */
static void check_quick_spans(struct arena *a, struct str line, struct str request,
                              const struct line_rules *rules, const struct input_line *in)
{
    struct error e = { 0 };
    struct input_line quick;
    size_t at = 0;

    if (!yyjson_is_obj(json_parse(a, line, &at, &e)) ||
        !request_line_spans(a, line, request, rules, &quick))
        return;
    assert(str_eq(quick.request_text, in->request_text) && str_eq(quick.key, in->key));
    assert(quick.sibling_count == in->sibling_count);
    for (uint32_t i = 0; i < quick.sibling_count; i++) {
        assert(str_eq(quick.sibling[i].key, in->sibling[i].key));
        assert(str_eq(quick.sibling[i].value, in->sibling[i].value));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct violations bad; /* large; one thread runs this */
    const struct line_rules rules = { .from_output = size && data[0] == '>' };
    struct str line = str_sub((struct str){ (const char *)data, size }, 1, size);
    struct arena a = { 0 };
    struct input_line in;

    bool ok = request_read_line(&a, line, &rules, &in, &bad);
    assert(ok == (bad.count == 0) && ok == (in.request != NULL));
    check_violations(&bad, line.len);
    if (!rules.from_output)
        check_spans(line, &in);
    check_quick_spans(&a, line, (struct str){ 0 }, &rules, &in);
    if (!rules.from_output)
        check_quick_spans(&a, line, in.request_text, &rules, &in);
    if (ok) {
        check_request(in.request);
        check_wrapped(&a, in.request, &bad);
    }
    arena_release(&a);
    return 0;
}
