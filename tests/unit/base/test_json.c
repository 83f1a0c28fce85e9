/* Parsing, checking and locating JSON: what the user reads, and where it points. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/json.h"

#define PATH_BYTES_MAX 4096

/* A malformed text's message must hold `says`, and its offset must be `at`. */
static const struct {
    struct str text;
    size_t at;
    const char *says;
} faults[] = {
    { STR_INIT(""), 0, "the text is empty" },
    { STR_INIT("  \n"), 0, "the text is empty" },
    { STR_INIT("{\"a\":1"), 6, "ends too early" },
    { STR_INIT("{\"a"), 3, "ends too early" },
    { STR_INIT("{\"a\":\"x\\"), 8, "ends too early" },
    { STR_INIT("{\"a\":tru"), 8, "ends too early" },
    { STR_INIT("{\"a\":\"b\\x\"}"), 8, "\\x is not a JSON escape" },
    { STR_INIT("{\"a\":\"\\u12\"}"), 6, "\\u escape is not a character" },
    { STR_INIT("{\"a\":\"\\ud800\"}"), 6, "surrogates come in pairs" },
    { STR_INIT("{\"a\":\"\\uDBFF\\u0041\"}"), 6, "surrogates come in pairs" },
    { STR_INIT("{\"a\":\"\\udc00\"}"), 6, "surrogates come in pairs" },
    { STR_INIT("\"\\ud80\"}"), 1, "\\u escape is not a character" },
    { STR_INIT("{\"a\":NaN}"), 5, "NaN is not a JSON number" },
    { STR_INIT("{\"a\":Infinity}"), 5, "Infinity is not a JSON number" },
    { STR_INIT("{\"a\":-Infinity}"), 6, "-Infinity is not a JSON number" },
    { STR_INIT("{\"a\":1e999}"), 5, "The number is too large" },
    { STR_INIT("{\"a\":01}"), 5, "no leading zeros" },
    { STR_INIT("{\"a\":-01}"), 6, "no leading zeros" },
    { STR_INIT("{\"a\":1.}"), 7, "no digit after decimal point" },
    { STR_INIT("{\"a\":.5}"), 5, "a digit before its point" },
    { STR_INIT("{\"a\":+5}"), 5, "no plus sign" },
    { STR_INIT("{} x"), 3, "More text follows" },
    { STR_INIT("{}{}"), 2, "More text follows" },
    { STR_INIT("{\"a\":\"\t\"}"), 6, "control character (0x09)" },
    { STR_INIT("{\"a\":\"x\0y\"}"), 7, "control character (0x00)" },
    { STR_INIT("{\"a\":1\0}"), 6, "a zero byte stands here, as in UTF-16" },
    { STR_INIT("{\"a\":\"\xc0\x80\"}"), 6, "0xc0 is not valid UTF-8" },
    { STR_INIT("{\"a\":\"\xed\xa0\x80\"}"), 6, "0xed is not valid UTF-8" },
    { STR_INIT("{\"a\":\"abc\xff\"}"), 9, "0xff is not valid UTF-8" },
    { STR_INIT("{\"a\":\"\xf4\x90\x80\x80\"}"), 6, "0xf4 is not valid UTF-8" },
    { STR_INIT("{\"a\":1,}"), 6, "no comma after the last" },
    { STR_INIT("[1,]"), 2, "no comma after the last" },
    { STR_INIT("{'a':1}"), 1, "double quotes" },
    { STR_INIT("{a:1}"), 1, "\"a\" stands here, expected a string for object key" },
    { STR_INIT("{\"a\" 1}"), 5, "expected a colon" },
    { STR_INIT("{\"a\":1 \"b\":2}"), 7, "expected a comma or a closing brace" },
    { STR_INIT("[1}"), 2, "expected a comma or a closing bracket" },
    { STR_INIT("{\"a\":True}"), 5, "JSON writes true" },
    { STR_INIT("{\"a\":False}"), 5, "JSON writes false" },
    { STR_INIT("{\"a\":None}"), 5, "JSON writes null" },
    { STR_INIT("{\"a\":undefined}"), 5, "JSON writes null" },
    { STR_INIT("{// c\n}"), 1, "no comments" },
    { STR_INIT("{/* c */}"), 1, "no comments" },
    { STR_INIT("\x1f\x8b\x08\x00"), 0, "gzip" },
    { STR_INIT("\xff\xfe{\0"), 0, "iconv -f UTF-16" },
    { STR_INIT("\xfe\xff\0{"), 0, "UTF-16" },
    { STR_INIT("\xef\xbb\xbf{}"), 0, "byte order mark" },
};

static void test_a_malformed_text_is_told_in_words_with_its_offset(void **state)
{
    struct arena a = { 0 };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(faults); i++) {
        struct error e = { 0 };
        size_t at = SIZE_MAX;
        if (json_parse(&a, faults[i].text, &at, &e))
            fail_msg("case %zu was accepted", i);
        if (!strstr(e.msg, faults[i].says) || at != faults[i].at)
            fail_msg("case %zu: \"%s\" at %zu", i, e.msg, at);
        assert_int_equal(e.code, ERROR_INVALID_ARGUMENT);
    }
    arena_release(&a);
}

static yyjson_val *parse(struct arena *a, struct str text)
{
    struct error e = { 0 };
    size_t at;
    yyjson_val *v = json_parse(a, text, &at, &e);

    if (!v)
        fail_msg("\"%.*s\": %s at %zu", STR_ARG(text), e.msg, at);
    return v;
}

static void test_a_parsed_document_keeps_values_and_leaves_the_text_alone(void **state)
{
    static const char text[] =
        " {\"a\\n\\u00e9\\ud83d\\ude00\": [1, -2, 1.5, true, null, \"x\\u0000y\"]} ";
    struct str whole = { text, sizeof text - 1 };
    struct arena a = { 0 };

    (void)state;
    yyjson_val *list = json_get(parse(&a, whole), "a\n\xc3\xa9\xf0\x9f\x98\x80");
    assert_int_equal(yyjson_arr_size(list), 6);
    assert_int_equal(yyjson_get_sint(yyjson_arr_get(list, 1)), -2);
    assert_true(str_eq(json_str(yyjson_arr_get(list, 5)), STR("x\0y")));
    assert_int_equal(json_str(list).len, 0);
    assert_null(json_get(list, "a"));
    arena_release(&a);
}

static void test_a_document_that_outgrows_the_parsers_guess_is_whole(void **state)
{
    enum { COUNT = 100000 };
    struct buf b = BUF_INIT(COUNT * 2 + 2);
    struct arena a = { 0 };

    (void)state;
    buf_add_char(&b, '[');
    for (int i = 0; i < COUNT; i++)
        buf_add_c(&b, i ? ",7" : "7");
    buf_add_char(&b, ']');
    yyjson_val *v = parse(&a, buf_str(&b));
    assert_int_equal(yyjson_arr_size(v), COUNT);
    assert_int_equal(yyjson_get_int(yyjson_arr_get_last(v)), 7);
    arena_release(&a);
    buf_release(&b);
}

/* What json_check says: "" when all is well, else the path of the fault. */
static void checks_as(struct str text, const char *path, const char *says)
{
    struct arena a = { 0 };
    struct error e = { 0 };
    struct buf found = BUF_INIT(PATH_BYTES_MAX);
    int rc = json_check(parse(&a, text), &found, &e);

    assert_int_equal(rc, path ? -1 : 0);
    if (path) {
        assert_string_equal(found.p ? found.p : "", path);
        assert_non_null(strstr(e.msg, says));
    }
    buf_release(&found);
    arena_release(&a);
}

static void test_a_key_that_stands_twice_is_found_at_any_level(void **state)
{
    (void)state;
    checks_as(STR("{\"a\":1,\"b\":{\"a\":2},\"c\":[{\"a\":1},{\"a\":1}]}"), NULL, NULL);
    checks_as(STR("{\"a\":1,\"a\":2}"), "a", "twice");
    checks_as(STR("{\"a\":1,\"\\u0061\":2}"), "a", "twice");
    checks_as(STR("[0,{\"x\":{\"odd key\":1,\"b\":[],\"odd key\":2}}]"), "[1].x[\"odd key\"]",
              "twice");
    checks_as(STR("{\"\":1,\"\":2}"), "[\"\"]", "twice");
    checks_as(STR("{\"a\\u0000b\":1,\"a\\u0000c\":2}"), NULL, NULL);
}

/* Writes an object of count keys; when twin, the key of the middle comes again as the last. */
static void write_object(struct buf *b, int count, bool twin)
{
    buf_add_char(b, '{');
    for (int i = 0; i < count; i++)
        buf_addf(b, "%s\"k%07d\":%d", i ? "," : "", i * 7919 % count, i);
    if (twin)
        buf_addf(b, ",\"k%07d\":0", count / 2);
    buf_add_char(b, '}');
}

static void test_a_twin_among_many_keys_is_found(void **state)
{
    static const int counts[] = { 2, 16, 17, 100000 };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
        struct buf b = BUF_INIT((size_t)4 * 1024 * 1024), path = BUF_INIT(64);
        write_object(&b, counts[i], false);
        checks_as(buf_str(&b), NULL, NULL);
        buf_clear(&b);
        write_object(&b, counts[i], true);
        buf_addf(&path, "k%07d", counts[i] / 2);
        checks_as(buf_str(&b), path.p, "twice");
        buf_release(&b);
        buf_release(&path);
    }
}

static void nest(struct buf *b, int depth)
{
    for (int i = 0; i < depth; i++)
        buf_add_c(b, i % 2 ? "{\"a\":" : "[");
    buf_add_char(b, '1');
    for (int i = depth; i-- > 0;)
        buf_add_char(b, i % 2 ? '}' : ']');
}

static void test_the_deepest_nesting_is_allowed_and_one_more_is_not(void **state)
{
    static const int depths[] = { JSON_DEPTH_MAX + 1, 100000 };
    struct buf b = BUF_INIT((size_t)1024 * 1024);

    (void)state;
    nest(&b, JSON_DEPTH_MAX);
    checks_as(buf_str(&b), NULL, NULL);
    assert_int_equal(json_skip(buf_str(&b), 0), b.len);
    for (size_t i = 0; i < 2; i++) {
        struct buf path = BUF_INIT(PATH_BYTES_MAX);
        for (int d = 0; d < JSON_DEPTH_MAX / 2; d++)
            buf_add_c(&path, "[0].a");
        buf_clear(&b);
        nest(&b, depths[i]);
        checks_as(buf_str(&b), path.p, "nested more than 64 deep");
        assert_int_equal(json_skip(buf_str(&b), 0), b.len);
        buf_release(&path);
    }
    buf_release(&b);
}

static void test_skip_ends_right_after_each_kind_of_value(void **state)
{
    static const char *const values[] = {
        "1",
        "-1.5e3",
        "true",
        "null",
        "\"\"",
        "\"a\\\"b\"",
        "\"a\\\\\"",
        "\"\\\\\\\"\"",
        "{}",
        "[]",
        "[1,[2,{\"]\":\"}\"}],\"[\"]",
        "{\"a\\\"}\":[{}],\"b\":\"\\\\\"}",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(values); i++) {
        struct buf b = BUF_INIT(1024);
        buf_addf(&b, "[ \t%s, 0]", values[i]);
        assert_int_equal(json_skip(buf_str(&b), 1), 3 + strlen(values[i]));
        assert_int_equal(json_skip(str_of(values[i]), 0), strlen(values[i]));
        buf_release(&b);
    }
}

static void test_members_come_in_order_as_they_were_written(void **state)
{
    static const struct str text =
        STR_INIT(" { \"a\" : 1.50 , \"b\\\"\":[ 1 ] ,\"\":{\"x\":\"}\"}\n}  ");
    static const struct {
        const char *key, *value;
    } want[] = { { "a", "1.50" }, { "b\\\"", "[ 1 ]" }, { "", "{\"x\":\"}\"}" } };
    struct json_member m = { 0 }, before = { 0 };

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        before = m;
        assert_true(json_member_next(text, &m));
        assert_true(str_eq_c(m.key, want[i].key));
        assert_true(str_eq_c(m.value, want[i].value));
        assert_ptr_equal(m.value.p, text.p + m.value_at);
        assert_int_equal(text.p[m.key_at], '"');
    }
    assert_false(json_member_next(text, &m));
    assert_true(json_member_last(text, &before));
    assert_true(str_eq(before.value, STR("{\"x\":\"}\"}")));
}

static void test_an_empty_object_and_a_scalar_have_no_members(void **state)
{
    static const char *const texts[] = { "{}", " { } ", "[1]", "3", "\"{\"", "", "{" };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct json_member m = { 0 };
        assert_false(json_member_next(str_of(texts[i]), &m));
    }
}

static void test_a_value_is_written_again_on_one_line(void **state)
{
    (void)state;
    struct arena a = { 0 };
    struct error e = { 0 };
    size_t at;
    yyjson_val *v =
        json_parse(&a, STR("{ \"a\" : [ 1, -2.5,\n true ], \"\\u00fc\\n\": { } }"), &at, &e);

    assert_non_null(v);
    assert_true(str_eq_c(json_text(&a, v), "{\"a\":[1,-2.5,true],\"\xC3\xBC\\n\":{}}"));
    assert_true(str_eq_c(json_text(&a, json_get(v, "a")), "[1,-2.5,true]"));
    arena_release(&a);
}

static void test_a_nul_is_found_in_texts_and_keys_and_not_in_what_looks_like_one(void **state)
{
    static const struct {
        const char *text;
        bool has;
    } cases[] = {
        { "{}", false },
        { "{\"a\":\"\\u0000\"}", true },
        { "{\"\\u0000\":1}", true },
        { "[\"a\\\\\\u0000b\"]", true },
        { "{\"a\":\"\\\\u0000\"}", false },
        { "{\"a\":\"u0000\\u0001\\u000\"}", false },
        { "{\"a\":\"\\\\u0000\",\"b\":\"\\u0000\"}", true },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_int_equal(json_has_nul(str_of(cases[i].text)), cases[i].has);
}

static void test_a_path_leads_to_the_offset_of_its_value(void **state)
{
    static const struct str text = STR_INIT("{\"a\": [10, {\"b\":\"x\"}, []], \"odd \\\"key\": 1, "
                                            "\"r\\u0065q\":{\"c\":2}, \"a.b\": 3}");
    static const struct {
        const char *path;
        const char *found; /* the text that begins there */
    } cases[] = {
        { "", "{\"a\"" },
        { "a", "[10" },
        { "a[0]", "10" },
        { "a[1].b", "\"x\"" },
        { "a[2]", "[]]" },
        { "a[3]", "[10" },
        { "a[1].c", "{\"b\"" },
        { "none", "{\"a\"" },
        { "req.c", "2}" },
        { "a[0].b", "10" },
        { "[\"odd \\\"key\"]", "1, \"r" },
        { "[\"a.b\"]", "3}" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        size_t at = json_locate(text, str_of(cases[i].path));
        if (!str_starts(str_sub(text, at, text.len), str_of(cases[i].found)))
            fail_msg("%s leads to %zu", cases[i].path, at);
    }
    assert_int_equal(json_locate(STR(" [1, 2]"), STR("[1]")), 5);
    assert_int_equal(json_locate(STR("{\"a\":1,\"a\":2}"), STR("a")), 11);
}

/* Goal: what a path writer writes, the locator finds, for keys of any characters. */
static void test_a_written_path_is_found_again_for_any_key(void **state)
{
    static const struct str keys[] = { STR_INIT("plain_1"),  STR_INIT("1st"),      STR_INIT(""),
                                       STR_INIT("a.b[0]"),   STR_INIT("\"q\""),    STR_INIT("\\"),
                                       STR_INIT("\xc3\xa9"), STR_INIT("tab\there") };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        struct buf text = BUF_INIT(1024), path = BUF_INIT(1024);
        buf_add_c(&text, "{\"other\":[0,{");
        buf_add_json(&text, keys[i]);
        buf_add_c(&text, ":[5,6]}]}");
        json_path_key(&path, STR("other"));
        json_path_index(&path, 1);
        json_path_key(&path, keys[i]);
        json_path_index(&path, 1);
        size_t at = json_locate(buf_str(&text), buf_str(&path));
        if (text.p[at] != '6')
            fail_msg("%s leads to %zu of %s", path.p, at, text.p);
        buf_release(&text);
        buf_release(&path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_malformed_text_is_told_in_words_with_its_offset),
        cmocka_unit_test(test_a_parsed_document_keeps_values_and_leaves_the_text_alone),
        cmocka_unit_test(test_a_document_that_outgrows_the_parsers_guess_is_whole),
        cmocka_unit_test(test_a_key_that_stands_twice_is_found_at_any_level),
        cmocka_unit_test(test_a_twin_among_many_keys_is_found),
        cmocka_unit_test(test_the_deepest_nesting_is_allowed_and_one_more_is_not),
        cmocka_unit_test(test_skip_ends_right_after_each_kind_of_value),
        cmocka_unit_test(test_members_come_in_order_as_they_were_written),
        cmocka_unit_test(test_an_empty_object_and_a_scalar_have_no_members),
        cmocka_unit_test(test_a_value_is_written_again_on_one_line),
        cmocka_unit_test(test_a_nul_is_found_in_texts_and_keys_and_not_in_what_looks_like_one),
        cmocka_unit_test(test_a_path_leads_to_the_offset_of_its_value),
        cmocka_unit_test(test_a_written_path_is_found_again_for_any_key),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
