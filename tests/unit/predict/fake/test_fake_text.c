/* Goal: words are counted right at every place in the eight bytes that are looked at together.
 * Method: a plain loop counts the same strings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "predict/fake/fake_text.h"

static uint32_t count_plainly(struct str s)
{
    uint32_t count = 0;

    for (size_t i = 0; i < s.len; i++) {
        bool word = (unsigned char)s.p[i] > ' ';
        bool before = i && (unsigned char)s.p[i - 1] > ' ';
        count += word && !before;
    }
    return count;
}

/* A prompt's words. */
static uint32_t count_words(struct str text)
{
    struct part part = { .kind = PART_TEXT, .text = text };
    struct content content = { .part = &part, .part_count = 1 };
    const struct request r = { .content = &content, .content_count = 1 };

    return fake_prompt_words(&r);
}

static void test_every_pattern_of_17_bytes_is_counted(void **state)
{
    (void)state;
    char text[17];

    for (uint32_t bits = 0; bits < UINT32_C(1) << 17; bits++) {
        for (unsigned i = 0; i < 17; i++)
            text[i] = bits >> i & 1 ? 'w' : ' ';
        struct str s = { text, sizeof text };
        assert_int_equal(count_words(s), count_plainly(s));
    }
}

static void test_every_length_and_every_byte_is_counted(void **state)
{
    (void)state;
    char text[256];

    for (unsigned i = 0; i < 256; i++)
        text[i] = (char)(i * 37); /* each byte once, in a mixed order */
    for (size_t len = 0; len <= sizeof text; len++) {
        struct str s = { text, len };
        assert_int_equal(count_words(s), count_plainly(s));
    }
    assert_int_equal(count_words((struct str){ 0 }), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_pattern_of_17_bytes_is_counted),
        cmocka_unit_test(test_every_length_and_every_byte_is_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
