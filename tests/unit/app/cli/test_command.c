/* The table of commands, and the texts that are made from it. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "base/mem.h"

#include "app/cli/help.h"

static void test_every_option_table_is_sound(void **state)
{
    (void)state;
    for (size_t c = 0; commands[c]; c++) {
        const struct option_spec *all = commands[c]->options;
        size_t count = 0;
        for (; all && all[count].name; count++) {
            const struct option_spec *o = &all[count];
            assert_true((o->type == OPTION_FLAG) == (o->value == NULL));
            assert_true(o->about[0] != '\0' && o->about[strlen(o->about) - 1] != '.');
            assert_true(o->offset < commands[c]->options_bytes);
            assert_true(o->letter != 'h' && strcmp(o->name, "help") != 0);
            for (size_t other = 0; other < count; other++) {
                assert_string_not_equal(all[other].name, o->name);
                assert_true(o->letter == 0 || all[other].letter != o->letter);
                assert_true(all[other].offset != o->offset);
            }
        }
        assert_true(count < OPTIONS_MAX);
    }
}

static void test_a_letter_means_the_same_in_every_command(void **state)
{
    const char *meaning[128] = { NULL };

    (void)state;
    for (size_t c = 0; commands[c]; c++)
        for (const struct option_spec *o = commands[c]->options; o && o->name; o++) {
            if (o->letter == 0)
                continue;
            size_t at = (size_t)o->letter;
            assert_true(at < ARRAY_LEN(meaning));
            if (meaning[at])
                assert_string_equal(meaning[at], o->name);
            meaning[at] = o->name;
        }
}

static void assert_mentions(const struct buf *text, const char *word)
{
    if (str_find(buf_str(text), str_of(word)) == SIZE_MAX)
        fail_msg("no %s in\n%s", word, text->p);
}

/* Dashes are written as roff wants them. */
static void roff(const char *name, char *out, size_t bytes)
{
    size_t at = 0;

    for (; *name && at + 3 < bytes; name++) {
        if (*name == '-')
            out[at++] = '\\';
        out[at++] = *name;
    }
    out[at] = '\0';
}

static void test_help_man_page_and_completions_name_every_option(void **state)
{
    struct buf man = BUF_INIT(HELP_BYTES_MAX), bash = BUF_INIT(HELP_BYTES_MAX);
    struct buf zsh = BUF_INIT(HELP_BYTES_MAX);
    struct error e = { 0 };

    (void)state;
    help_write_man(&man);
    assert_int_equal(help_write_completion("bash", &bash, &e), 0);
    assert_int_equal(help_write_completion("zsh", &zsh, &e), 0);
    for (size_t c = 0; commands[c]; c++) {
        struct buf help = BUF_INIT(HELP_BYTES_MAX);
        help_write_command(commands[c], &help);
        assert_mentions(&help, commands[c]->name);
        for (const struct option_spec *o = commands[c]->options; o && o->name; o++) {
            char name[64];
            roff(o->name, name, sizeof name);
            assert_mentions(&help, o->name);
            assert_mentions(&man, name);
            assert_mentions(&bash, o->name);
            assert_mentions(&zsh, o->name);
        }
        buf_release(&help);
    }
    assert_true(buf_ok(&man) && buf_ok(&bash) && buf_ok(&zsh));
    buf_release(&man);
    buf_release(&bash);
    buf_release(&zsh);
}

static void test_no_help_text_is_wider_than_80_columns(void **state)
{
    struct buf text = BUF_INIT(HELP_BYTES_MAX);

    (void)state;
    help_write_overview(&text);
    for (size_t c = 0; commands[c]; c++)
        help_write_command(commands[c], &text);
    for (const struct topic *t = topics; t->name; t++)
        help_write_topic(t, &text);
    assert_true(buf_ok(&text));
    for (struct str rest = buf_str(&text); rest.len;) {
        struct str line = str_sub(rest, 0, str_find(rest, STR("\n")));
        if (line.len > 80)
            fail_msg("%zu columns: %.*s", line.len, STR_ARG(line));
        rest = str_sub(rest, line.len + 1, rest.len);
    }
    buf_release(&text);
}

static void test_a_shell_that_is_not_known_is_refused(void **state)
{
    struct buf out = BUF_INIT(HELP_BYTES_MAX);
    struct error e = { 0 };

    (void)state;
    assert_int_equal(help_write_completion("tcsh", &out, &e), -1);
    assert_int_equal(e.code, ERROR_INVALID_ARGUMENT);
    assert_int_equal(out.len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_option_table_is_sound),
        cmocka_unit_test(test_a_letter_means_the_same_in_every_command),
        cmocka_unit_test(test_help_man_page_and_completions_name_every_option),
        cmocka_unit_test(test_no_help_text_is_wider_than_80_columns),
        cmocka_unit_test(test_a_shell_that_is_not_known_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
