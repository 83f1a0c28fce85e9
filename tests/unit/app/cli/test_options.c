/* The arguments of a command, read by its table. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/cli/options.h"
#include "base/mem.h"

#define ARGV_MAX 16

struct given {
    const char *output, *format;
    uint64_t limit;
    bool strict, stray;
    struct option_list label;
};

#define OPTIONS struct given
static const struct option_spec specs[] = {
    OPT_FILE("output", 'o', output, ""),
    OPT_CHOICE("format", 0, format, "text|json", ""),
    OPT_COUNT("limit", 'n', limit, 2, 100, ""),
    OPT_FLAG("strict", 's', strict, ""),
    OPT_FLAG("stray", 0, stray, ""),
    OPT_LIST("label", 0, label, "K=V", ""),
    { 0 },
};
static const struct command command = {
    .name = "test",
    .arguments = "INPUT...",
    .options = specs,
    .options_bytes = sizeof(struct given),
    .arguments_min = 1,
    .arguments_max = 2,
};

/* Reads a command line written with spaces; getopt may permute argv, so it is a copy each time. */
static int parse(const char *line, struct arguments *out, struct error *e)
{
    static char text[512];
    static char *argv[ARGV_MAX];
    int argc = 0;

    (void)snprintf(text, sizeof text, "test %s", line);
    for (char *at = text; *at && argc < ARGV_MAX - 1;) {
        argv[argc++] = at;
        at += strcspn(at, " ");
        if (*at)
            *at++ = '\0';
    }
    argv[argc] = NULL;
    return options_parse(&command, argc, argv, out, e);
}

static void test_options_stand_before_between_and_after_arguments(void **state)
{
    static const char *const lines[] = {
        "-o x --limit 7 -s a b",     "a -o x b --limit 7 -s", "a b -sox -n7",
        "--output=x a --lim 7 b -s", "-s -o x -n 7 -- a b",   "-n 3 a b -ox -n 7 --strict",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        struct arguments a = { 0 };
        struct error e = { 0 };
        assert_int_equal(parse(lines[i], &a, &e), 0);
        const struct given *g = a.options;
        assert_string_equal(g->output, "x");
        assert_int_equal(g->limit, 7);
        assert_true(g->strict);
        assert_false(g->stray);
        assert_null(g->format);
        assert_int_equal(a.count, 2);
        assert_string_equal(a.argument[0], "a");
        assert_string_equal(a.argument[1], "b");
        options_release(&a);
    }
}

static void test_options_are_read_in_their_place_also_with_posixly_correct(void **state)
{
    struct arguments a = { 0 };
    struct error e = { 0 };

    (void)state;
    assert_int_equal(setenv("POSIXLY_CORRECT", "1", 1), 0);
    int rc = parse("a -s", &a, &e);
    assert_int_equal(unsetenv("POSIXLY_CORRECT"), 0);
    assert_int_equal(rc, 0);
    assert_true(((const struct given *)a.options)->strict);
    assert_int_equal(a.count, 1);
    options_release(&a);
}

static void test_a_dash_is_an_argument_and_two_dashes_end_the_options(void **state)
{
    struct arguments a = { 0 };
    struct error e = { 0 };

    (void)state;
    assert_int_equal(parse("- -- -s", &a, &e), 0);
    assert_int_equal(a.count, 2);
    assert_string_equal(a.argument[0], "-");
    assert_string_equal(a.argument[1], "-s");
    assert_false(((const struct given *)a.options)->strict);
    options_release(&a);
}

static void test_help_is_found_whatever_else_is_given(void **state)
{
    static const char *const lines[] = { "--help", "-h", "a b c --help", "-s -h" };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        struct arguments a = { 0 };
        struct error e = { 0 };
        if (parse(lines[i], &a, &e) == 0)
            assert_true(a.help);
        else
            fail_msg("%s: %s", lines[i], e.msg);
        options_release(&a);
    }
}

static void test_a_wrong_command_line_is_reported_in_the_users_words(void **state)
{
    static const struct {
        const char *line, *says;
    } cases[] = {
        { "a --strcit", "unknown option --strcit; did you mean --strict?" },
        { "a --outptu=x", "unknown option --outptu; did you mean --output?" },
        { "a --xyzzy", "unknown option --xyzzy" },
        { "a --str", "--str could be more than one option" },
        { "a -x", "unknown option -x" },
        { "a -sx", "unknown option -x" },
        { "a --strict=1", "--strict takes no value" },
        { "a --output", "--output needs a value: --output FILE" },
        { "a -o", "--output needs a value: --output FILE" },
        { "a --output=", "--output needs a value that is not empty" },
        { "a --format yaml", "--format takes text|json, not \"yaml\"" },
        { "a --format tex", "--format takes text|json, not \"tex\"" },
        { "a -n 1", "--limit takes a whole number from 2 to 100, not \"1\"" },
        { "a -n 101", "--limit takes a whole number from 2 to 100, not \"101\"" },
        { "a -n -5", "--limit takes a whole number from 2 to 100, not \"-5\"" },
        { "a b c", "unexpected argument \"c\"" },
        { "-s", "missing argument: INPUT..." },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct arguments a = { 0 };
        struct error e = { 0 };
        assert_int_equal(parse(cases[i].line, &a, &e), -1);
        assert_string_equal(e.msg, cases[i].says);
        assert_int_equal(e.code, ERROR_INVALID_ARGUMENT);
        options_release(&a);
    }
}

static void test_arguments_are_counted_up_to_the_maximum(void **state)
{
    struct command many = command;

    (void)state;
    many.arguments_max = ARGUMENTS_MAX;
    for (int over = 0; over <= 1; over++) {
        int argc = ARGUMENTS_MAX + 1 + over;
        char **argv = mem_array((size_t)argc + 1, sizeof *argv);
        static char word[] = "a";
        struct arguments a = { 0 };
        struct error e = { 0 };
        for (int i = 0; i < argc; i++)
            argv[i] = word;
        assert_int_equal(options_parse(&many, argc, argv, &a, &e), over ? -1 : 0);
        options_release(&a);
        mem_free(argv);
    }
}

static void test_a_list_takes_every_value_up_to_its_maximum(void **state)
{
    static char name[] = "test", in[] = "in", label[] = "--label=x=1";
    static char *argv[OPTION_LIST_MAX + 4];
    struct arguments a;
    struct error e = { 0 };
    int argc = 0;

    (void)state;
    argv[argc++] = name;
    argv[argc++] = in;
    for (int i = 0; i < OPTION_LIST_MAX; i++)
        argv[argc++] = label;
    assert_int_equal(options_parse(&command, argc, argv, &a, &e), 0);
    const struct given *g = a.options;
    assert_int_equal(g->label.count, OPTION_LIST_MAX);
    assert_string_equal(g->label.item[OPTION_LIST_MAX - 1], "x=1");
    options_release(&a);
    argv[argc++] = label;
    assert_int_equal(options_parse(&command, argc, argv, &a, &e), -1);
    assert_int_equal(e.code, ERROR_INVALID_ARGUMENT);
    options_release(&a);
}

static void test_only_a_near_word_is_offered(void **state)
{
    static const struct {
        const char *word, *best;
    } cases[] = {
        { "rnu", "run" },  { "vali", "validate" }, { "r", NULL },
        { "serve", NULL }, { "modles", "models" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct nearest n = { .word = cases[i].word };
        nearest_offer(&n, "run");
        nearest_offer(&n, "validate");
        nearest_offer(&n, "models");
        if (cases[i].best)
            assert_string_equal(n.best, cases[i].best);
        else
            assert_null(n.best);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options_stand_before_between_and_after_arguments),
        cmocka_unit_test(test_options_are_read_in_their_place_also_with_posixly_correct),
        cmocka_unit_test(test_a_dash_is_an_argument_and_two_dashes_end_the_options),
        cmocka_unit_test(test_help_is_found_whatever_else_is_given),
        cmocka_unit_test(test_a_wrong_command_line_is_reported_in_the_users_words),
        cmocka_unit_test(test_arguments_are_counted_up_to_the_maximum),
        cmocka_unit_test(test_a_list_takes_every_value_up_to_its_maximum),
        cmocka_unit_test(test_only_a_near_word_is_offered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
