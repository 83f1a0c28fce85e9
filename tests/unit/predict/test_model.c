/* Goal: every way to name a model finds its entry and its price. Method: tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

#include "predict/model.h"

static const struct model items[] = {
    { .pattern = "tuned-*", .kind = MODEL_LOCAL, .has_price = true, .price = { .input = 7 } },
    { .pattern = "1234567890", .kind = MODEL_LOCAL },
    { .pattern = "gemini-2.5-*", .kind = MODEL_LOCAL },
    { .pattern = "gemini-*", .kind = MODEL_FAKE },
};
static const struct models all = { items, 4, "tuned-*, 1234567890, gemini-2.5-*, gemini-*" };

static void test_a_short_name_is_the_last_step_without_version(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        { "gemini-2.5-flash", "gemini-2.5-flash" },
        { "models/gemini-2.5-flash", "gemini-2.5-flash" },
        { "publishers/google/models/gemini-2.5-flash", "gemini-2.5-flash" },
        { "projects/p/locations/l/publishers/google/models/gemini-2.5-pro", "gemini-2.5-pro" },
        { "projects/p/locations/l/models/123", "123" },
        { "projects/p/locations/l/models/123@2", "123" },
        { "projects/p/locations/l/endpoints/456", "456" },
        { "gemini-2.5-flash@default", "gemini-2.5-flash" },
        { "models/", "" },
        { "@1", "" },
        { "", "" },
    };
    char out[MODEL_NAME_BYTES];

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        model_short_name(cases[i][0], out);
        assert_string_equal(out, cases[i][1]);
    }
}

static void test_a_name_that_does_not_fit_is_no_name(void **state)
{
    (void)state;
    char name[MODEL_NAME_BYTES + 1], out[MODEL_NAME_BYTES];

    memset(name, 'a', sizeof name);
    name[MODEL_NAME_BYTES - 1] = '\0';
    model_short_name(name, out);
    assert_string_equal(out, name);
    name[MODEL_NAME_BYTES - 1] = 'a';
    name[MODEL_NAME_BYTES] = '\0';
    model_short_name(name, out);
    assert_string_equal(out, "");
}

static void test_the_first_matching_pattern_decides(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int item;
    } cases[] = {
        { "tuned-a", 0 },
        { "projects/p/locations/l/models/1234567890@1", 1 },
        { "gemini-2.5-flash", 2 },
        { "publishers/google/models/gemini-3.8-flash", 3 },
    };
    struct error e = { 0 };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_ptr_equal(model_find(&all, cases[i].name, &e), &items[cases[i].item]);
}

static void test_an_unknown_model_is_named_with_those_that_exist(void **state)
{
    (void)state;
    static const char *const names[] = { "gpt", "", "models/", "12345" };

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct error e = { 0 };
        char quoted[64];
        assert_null(model_find(&all, names[i], &e));
        assert_int_equal(e.code, ERROR_NOT_FOUND);
        (void)snprintf(quoted, sizeof quoted, "\"%s\"", names[i]);
        assert_non_null(strstr(e.msg, quoted));
        assert_non_null(strstr(e.msg, all.names));
    }
}

static void test_a_price_is_the_models_own_or_the_published_one_or_zero(void **state)
{
    (void)state;
    struct price own = model_price(&items[0], "gemini-2.5-flash");
    struct price published = model_price(&items[2], "models/gemini-2.5-flash");
    struct price none = model_price(&items[1], "1234567890");

    assert_true(own.input > 6.9 && own.input < 7.1);
    assert_memory_equal(&published, price_find("gemini-2.5-flash"), sizeof published);
    assert_memory_equal(&none, &(struct price){ 0 }, sizeof none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_short_name_is_the_last_step_without_version),
        cmocka_unit_test(test_a_name_that_does_not_fit_is_no_name),
        cmocka_unit_test(test_the_first_matching_pattern_decides),
        cmocka_unit_test(test_an_unknown_model_is_named_with_those_that_exist),
        cmocka_unit_test(test_a_price_is_the_models_own_or_the_published_one_or_zero),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
