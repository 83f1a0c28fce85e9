/* Goal: no answer of a model crashes the parser of calls; every call that it gives has a name and arguments that are a
 * JSON object on a line, and what it refuses has a reason. Method: the first byte chooses the format, and whether the
 * answer was cut. */
#include <assert.h>
#include <string.h>

#include "format/tools/call_parse.h"
#include "format/tools/thinking.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_call(struct arena *a, const struct response_part *p)
{
    struct error e = { 0 };
    size_t at;
    yyjson_val *args = json_parse(a, p->args, &at, &e);

    assert(p->name.len && yyjson_is_obj(args));
    assert(!memchr(p->args.p, '\n', p->args.len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a = { 0 };
    struct parsed_parts parts;
    struct error why = { 0 };
    uint32_t calls = 0;
    bool open;

    if (!size)
        return 0;
    enum call_format f = (enum call_format)(CALLS_NONE + data[0] % 5);
    struct str answer = { (const char *)data + 1, size - 1 };
    if (!calls_parse(f, &a, answer, data[0] & 0x80, &parts, &why))
        assert(why.msg[0] && !(data[0] & 0x80));
    for (uint32_t i = 0; i < parts.count; i++)
        if (parts.item[i].kind == RESPONSE_CALL) {
            check_call(&a, &parts.item[i]);
            calls++;
        } else {
            assert(str_trim(parts.item[i].text).len);
        }
    assert(calls == parts.calls && calls <= CALLS_MAX);
    assert(call_begins(f, answer, &open) <= answer.len);
    (void)call_style_of(answer, data[0] & 0x40, CALLS_AUTO);
    (void)thinking_tags_of(answer);
    arena_release(&a);
    return 0;
}
