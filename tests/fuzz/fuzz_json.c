/* Goal: no text crashes the JSON reader, and what it says of a valid text is true of its bytes.
 * Method: the bytes before the first newline are a path, the rest is the text. */
#include <assert.h>

#include "base/json.h"

#define PATH_BYTES_MAX ((size_t)1024 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Each member's key and value are those that the parser found, and its path leads to it. */
static void check_members(struct arena *a, struct str text, yyjson_val *root, bool unique)
{
    yyjson_obj_iter it = yyjson_obj_iter_with(root);
    struct json_member m = { 0 }, last = { 0 };
    yyjson_val *key;

    while ((key = yyjson_obj_iter_next(&it))) {
        struct buf path = BUF_INIT(PATH_BYTES_MAX);
        struct error e = { 0 };
        size_t at;
        last = m;
        assert(json_member_next(text, &m));
        assert(m.value.p == text.p + m.value_at && m.value_at + m.value.len <= text.len);
        assert(m.key.p == text.p + m.key_at + 1);
        yyjson_val *again = json_parse(a, m.value, &at, &e);
        assert(again && yyjson_equals(again, yyjson_obj_iter_get_val(key)));
        json_path_key(&path, json_str(key));
        assert(!unique || json_locate(text, buf_str(&path)) == m.value_at);
        buf_release(&path);
    }
    if (yyjson_obj_size(root)) {
        assert(json_member_last(text, &last) && str_eq(last.value, m.value));
        assert(!json_member_next(text, &m));
    }
}

static void check_valid(struct arena *a, struct str text, yyjson_val *root)
{
    struct buf path = BUF_INIT(PATH_BYTES_MAX);
    struct error e = { 0 };

    assert(json_space(text, json_skip(text, 0)) == text.len);
    bool sound = json_check(root, &path, &e) == 0;
    assert(sound == (path.len == 0) && sound == (e.msg[0] == '\0'));
    assert(json_locate(text, buf_str(&path)) < text.len);
    if (yyjson_is_obj(root))
        check_members(a, text, root, sound);
    buf_release(&path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str all = { (const char *)data, size };
    size_t line = str_find(all, STR("\n"));
    struct str path = line < size ? str_sub(all, 0, line) : STR("");
    struct str text = line < size ? str_sub(all, line + 1, size) : all;
    struct json_member m = { 0 };
    struct arena a = { 0 };
    struct error e = { 0 };
    size_t at = 0;

    yyjson_val *root = json_parse(&a, text, &at, &e);
    if (root)
        check_valid(&a, text, root);
    else
        assert(at <= text.len && e.msg[0] && e.code == ERROR_INVALID_ARGUMENT);
    assert(json_locate(text, path) <= text.len);
    assert(json_skip(text, 0) <= text.len);
    while (json_member_next(text, &m))
        assert(m.next <= text.len && m.value_at + m.value.len <= text.len);
    arena_release(&a);
    return 0;
}
