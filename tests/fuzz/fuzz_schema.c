/* Goal: no schema crashes the reader, the grammar or the check, or goes past their limits; a fault has
 * its words. Method: the input is a schema, or a list of a schema and a value, in both dialects and for
 * both uses. */
#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "format/schema/schema.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_fault(const struct schema_fault *why)
{
    assert(why->message[0] && why->remedy[0]);
    assert(strlen(why->path) < sizeof why->path);
}

static void check_grammar(struct schema *s)
{
    struct buf out = BUF_INIT(SCHEMA_GRAMMAR_BYTES_MAX);
    struct schema_fault why;
    struct schema_leaf leaf;

    if (schema_grammar(s, &out, &why)) {
        assert(buf_ok(&out) && strncmp(out.p, "start: ", 7) == 0);
        for (uint32_t i = 0; schema_leaf_at(s, i, &leaf); i++)
            assert(leaf.json.len > 0);
    } else {
        check_fault(&why);
    }
    buf_release(&out);
}

static void check_schema(yyjson_val *written, yyjson_val *value, enum schema_dialect dialect,
                         enum schema_use use)
{
    struct schema_fault why = { 0 };
    struct schema *s = schema_read(written, dialect, use, &why);

    if (!s) {
        check_fault(&why);
        return;
    }
    if (use == SCHEMA_GRAMMAR)
        check_grammar(s);
    if (value && !schema_matches(s, value, &why))
        check_fault(&why);
    schema_free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a = { 0 };
    struct error e = { 0 };
    struct buf path = BUF_INIT(256);
    size_t at;
    yyjson_val *root = json_parse(&a, (struct str){ (const char *)data, size }, &at, &e);

    if (root && json_check(root, &path, &e) == 0) {
        bool pair = yyjson_is_arr(root) && yyjson_arr_size(root) == 2;
        yyjson_val *schema = pair ? yyjson_arr_get(root, 0) : root;
        yyjson_val *value = pair ? yyjson_arr_get(root, 1) : NULL;
        for (int dialect = SCHEMA_JSON; dialect <= SCHEMA_GOOGLE; dialect++)
            for (int use = SCHEMA_GRAMMAR; use <= SCHEMA_CHECK; use++)
                check_schema(schema, value, (enum schema_dialect)dialect, (enum schema_use)use);
    }
    buf_release(&path);
    arena_release(&a);
    return 0;
}
