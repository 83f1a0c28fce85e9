/* The one JSON writer. */
#include "base/json_write.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"

static void assert_text(struct buf *b, const char *want)
{
    assert_true(buf_ok(b));
    assert_string_equal(b->p, want);
    buf_release(b);
}

/* Goal: commas, brackets and every kind of value stand where RFC 8259 wants them. */
static void test_nested_values_get_their_commas(void **state)
{
    struct buf b = BUF_INIT(1024);
    struct json_writer w = JSON_WRITER(&b);

    (void)state;
    json_object(&w, NULL);
    json_add_text(&w, "text", STR("a"));
    json_array(&w, "list");
    json_add_uint(&w, NULL, UINT64_MAX);
    json_add_int(&w, NULL, INT64_MIN);
    json_object(&w, NULL);
    json_end(&w);
    json_array(&w, NULL);
    json_end(&w);
    json_end(&w);
    json_add_bool(&w, "yes", true);
    json_add_null(&w, "none");
    json_add_c(&w, "absent", NULL);
    json_add_double(&w, "number", 0.1);
    json_add_float(&w, "single", 0.1f);
    json_add_raw(&w, "raw", STR("[1]"));
    json_addf(&w, "made", "%d%s", 1, "\"");
    json_end(&w);
    assert_text(&b, "{\"text\":\"a\",\"list\":[18446744073709551615,-9223372036854775808,{},[]],"
                    "\"yes\":true,\"none\":null,\"absent\":null,\"number\":0.1,\"single\":0.1,"
                    "\"raw\":[1],\"made\":\"1\\\"\"}");
}

/* Goal: a formatted text has no greatest length. Method: one over what fits on the stack. */
static void test_a_long_formatted_text_is_whole(void **state)
{
    struct buf b = BUF_INIT(8192);
    struct json_writer w = JSON_WRITER(&b);

    (void)state;
    json_addf(&w, NULL, "%4000d", 1);
    assert_int_equal(b.len, 4002);
    assert_string_equal(b.p + 4000, "1\"");
    buf_release(&b);
}

/* Goal: no text and no key from outside can break the JSON. Method: hostile bytes, read back. */
static void test_text_and_keys_from_outside_are_escaped(void **state)
{
    const struct str hostile = STR("\"},{\\\n\x01\xff");
    struct buf b = BUF_INIT(1024);
    struct json_writer w = JSON_WRITER(&b);
    struct arena a = { 0 };
    struct error e = { 0 };
    size_t at;

    (void)state;
    json_object(&w, NULL);
    json_key(&w, hostile);
    json_add_text(&w, NULL, hostile);
    json_key(&w, STR("next"));
    json_array(&w, NULL);
    json_end(&w);
    json_end(&w);
    yyjson_val *v = json_parse(&a, buf_str(&b), &at, &e);
    assert_non_null(v);
    assert_int_equal(yyjson_obj_size(v), 2);
    assert_non_null(json_get(v, "\"},{\\\n\x01\xEF\xBF\xBD"));
    arena_release(&a);
    buf_release(&b);
}

/* Goal: the spaced style is what Python's json module writes. */
static void test_the_spaced_style_has_a_space_after_commas_and_colons(void **state)
{
    struct buf b = BUF_INIT(1024);
    struct json_writer w = JSON_WRITER(&b);

    (void)state;
    w.spaced = true;
    json_object(&w, NULL);
    json_add_int(&w, "a", 1);
    json_array(&w, "b");
    json_add_int(&w, NULL, 2);
    json_add_int(&w, NULL, 3);
    json_end(&w);
    json_end(&w);
    assert_text(&b, "{\"a\": 1, \"b\": [2, 3]}");
}

/* Goal: numbers that JSON cannot say become null. */
static void test_numbers_that_are_not_finite_are_null(void **state)
{
    struct buf b = BUF_INIT(1024);
    struct json_writer w = JSON_WRITER(&b);
    volatile double zero = 0;

    (void)state;
    json_array(&w, NULL);
    json_add_double(&w, NULL, 1 / zero);
    json_add_float(&w, NULL, (float)(1 / zero));
    json_add_float(&w, NULL, (float)(zero / zero));
    json_end(&w);
    assert_text(&b, "[null,null,null]");
}

/* Goal: nesting works to JSON_WRITE_DEPTH_MAX, the limit of the bit set. */
static void test_values_nest_to_the_limit(void **state)
{
    struct buf b = BUF_INIT(1024);
    struct json_writer w = JSON_WRITER(&b);

    (void)state;
    for (int i = 0; i < JSON_WRITE_DEPTH_MAX; i++)
        json_array(&w, NULL);
    for (int i = 0; i < JSON_WRITE_DEPTH_MAX; i++)
        json_end(&w);
    assert_int_equal(b.len, 2 * JSON_WRITE_DEPTH_MAX);
    assert_true(buf_ok(&b));
    buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_long_formatted_text_is_whole),
        cmocka_unit_test(test_nested_values_get_their_commas),
        cmocka_unit_test(test_text_and_keys_from_outside_are_escaped),
        cmocka_unit_test(test_the_spaced_style_has_a_space_after_commas_and_colons),
        cmocka_unit_test(test_numbers_that_are_not_finite_are_null),
        cmocka_unit_test(test_values_nest_to_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
