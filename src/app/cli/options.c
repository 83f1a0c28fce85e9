#include "app/cli/options.h"

#include <getopt.h>
#include <string.h>

#include "base/mem.h"

/* getopt_long returns LONG_FIRST + i for the i-th option of the table, HELP for --help. Letters are
 * below LONG_FIRST. */
#define LONG_FIRST 256
#define HELP (LONG_FIRST + OPTIONS_MAX)
#define LETTERS_BYTES (2 * OPTIONS_MAX + 8)

struct getopt_tables {
    struct option option[OPTIONS_MAX + 2];
    char letters[LETTERS_BYTES];
};

/* Near: one edit, and one more for each four letters; or the beginning of the candidate. */
void nearest_offer(struct nearest *n, const char *candidate)
{
    struct str word = str_of(n->word), other = str_of(candidate);
    unsigned limit = 1 + (unsigned)(word.len / 4);
    unsigned distance = str_distance(word, other, limit);

    if (word.len >= 2 && str_starts(other, word))
        distance = 1;
    if (distance > limit || (n->best && distance >= n->distance))
        return;
    n->best = candidate;
    n->distance = distance;
}

static void tables_fill(const struct command *c, struct getopt_tables *t)
{
    size_t letters = 0, i = 0;

    *t = (struct getopt_tables){ 0 };
    /* "-": arguments in their place, whatever POSIXLY_CORRECT says; ":": missing values are ':'. */
    t->letters[letters++] = '-';
    t->letters[letters++] = ':';
    t->letters[letters++] = 'h';
    for (const struct option_spec *o = c->options; o && o->name && i < OPTIONS_MAX; o++, i++) {
        bool takes = o->type != OPTION_FLAG;
        t->option[i] = (struct option){ .name = o->name,
                                        .has_arg = takes ? required_argument : no_argument,
                                        .val = LONG_FIRST + (int)i };
        if (o->letter)
            t->letters[letters++] = o->letter;
        if (o->letter && takes)
            t->letters[letters++] = ':';
    }
    t->option[i] = (struct option){ .name = "help", .val = HELP };
}

static const struct option_spec *spec_of(const struct command *c, int value)
{
    const struct option_spec *o = c->options;

    if (value >= LONG_FIRST)
        return &c->options[value - LONG_FIRST];
    while (o->letter != value)
        o++;
    return o;
}

/* True when word is one of the words of choices, "a|b|c". */
static bool is_choice(const char *choices, struct str word)
{
    struct str rest = str_of(choices);

    for (;;) {
        size_t bar = str_find(rest, STR("|"));
        if (str_eq(str_sub(rest, 0, bar), word))
            return true;
        if (bar == SIZE_MAX)
            return false;
        rest = str_sub(rest, bar + 1, rest.len);
    }
}

static int count_store(const struct option_spec *spec, const char *value, uint64_t *out,
                       struct error *e)
{
    if (str_number_in(str_of(value), spec->min, spec->max ? spec->max : UINT64_MAX, out))
        return 0;
    if (spec->max)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "--%s takes a whole number from %llu to %llu, not \"%s\"", spec->name,
                         (unsigned long long)spec->min, (unsigned long long)spec->max, value);
    return error_set(e, ERROR_INVALID_ARGUMENT,
                     "--%s takes a whole number of at least %llu, not \"%s\"", spec->name,
                     (unsigned long long)spec->min, value);
}

static int list_store(const struct option_spec *spec, const char *value, struct option_list *out,
                      struct error *e)
{
    if (out->count == OPTION_LIST_MAX)
        return error_set(e, ERROR_INVALID_ARGUMENT, "--%s is given more than %d times", spec->name,
                         OPTION_LIST_MAX);
    out->item[out->count++] = value;
    return 0;
}

static int option_store(const struct option_spec *spec, const char *value, void *options,
                        struct error *e)
{
    void *at = (char *)options + spec->offset;

    if (spec->type == OPTION_FLAG) {
        *(bool *)at = true;
        return 0;
    }
    if (*value == '\0')
        return error_set(e, ERROR_INVALID_ARGUMENT, "--%s needs a value that is not empty",
                         spec->name);
    if (spec->type == OPTION_COUNT)
        return count_store(spec, value, at, e);
    if (spec->type == OPTION_LIST)
        return list_store(spec, value, at, e);
    if (spec->type == OPTION_CHOICE && !is_choice(spec->value, str_of(value)))
        return error_set(e, ERROR_INVALID_ARGUMENT, "--%s takes %s, not \"%s\"", spec->name,
                         spec->value, value);
    *(const char **)at = value;
    return 0;
}

/* Counts the options that begin with the name; getopt refuses more than one. */
static unsigned begin_with(const struct command *c, struct str name)
{
    unsigned n = str_starts(STR("help"), name);

    for (const struct option_spec *o = c->options; o && o->name; o++)
        n += str_starts(str_of(o->name), name);
    return n;
}

static int report_unknown(const struct command *c, const char *word, struct error *e)
{
    char name[65] = "";
    struct nearest n = { .word = name };

    if (optopt >= LONG_FIRST)
        return error_set(e, ERROR_INVALID_ARGUMENT, "--%s takes no value",
                         optopt == HELP ? "help" : spec_of(c, optopt)->name);
    if (optopt != 0)
        return error_set(e, ERROR_INVALID_ARGUMENT, "unknown option -%c", optopt);
    struct str given = str_sub(str_of(word), 2, SIZE_MAX);
    given = str_sub(given, 0, str_find(given, STR("=")));
    given = str_sub(given, 0, sizeof name - 1);
    memcpy(name, given.p, given.len);
    if (begin_with(c, given) > 1)
        return error_set(e, ERROR_INVALID_ARGUMENT, "--%s could be more than one option", name);
    nearest_offer(&n, "help");
    for (const struct option_spec *o = c->options; o && o->name; o++)
        nearest_offer(&n, o->name);
    if (n.best)
        return error_set(e, ERROR_INVALID_ARGUMENT, "unknown option --%s; did you mean --%s?", name,
                         n.best);
    return error_set(e, ERROR_INVALID_ARGUMENT, "unknown option --%s", name);
}

static int report_missing(const struct command *c, struct error *e)
{
    const struct option_spec *spec = spec_of(c, optopt);

    return error_set(e, ERROR_INVALID_ARGUMENT, "--%s needs a value: --%s %s", spec->name,
                     spec->name, spec->value);
}

static int argument_add(struct arguments *a, const char *argument, struct error *e)
{
    if (a->count == ARGUMENTS_MAX)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "more than %d arguments; quote the pattern so that tranche expands it",
                         ARGUMENTS_MAX);
    if (*argument == '\0')
        return error_set(e, ERROR_INVALID_ARGUMENT, "argument %u is empty", a->count + 1);
    a->argument[a->count++] = argument;
    return 0;
}

static int arguments_check(const struct command *c, const struct arguments *a, struct error *e)
{
    if (a->count < c->arguments_min)
        return error_set(e, ERROR_INVALID_ARGUMENT, "missing argument: %s", c->arguments);
    if (a->count > c->arguments_max)
        return error_set(e, ERROR_INVALID_ARGUMENT, "unexpected argument \"%s\"",
                         a->argument[c->arguments_max]);
    return 0;
}

int options_parse(const struct command *c, int argc, char **argv, struct arguments *out,
                  struct error *e)
{
    struct getopt_tables t;
    int value;

    tables_fill(c, &t);
    *out = (struct arguments){ .options = mem_alloc(c->options_bytes + 1),
                               .argument = mem_array((size_t)argc + 1, sizeof(char *)) };
    opterr = 0;
    optind = 0; /* glibc: start anew */
    // NOLINTNEXTLINE(concurrency-mt-unsafe): the main thread parses before others begin
    while ((value = getopt_long(argc, argv, t.letters, t.option, NULL)) != -1) {
        if (value == HELP || value == 'h') {
            out->help = true;
            return 0;
        }
        if (value == 1) { /* the "-" mode hands arguments over in their place */
            if (argument_add(out, optarg, e) < 0)
                return -1;
            continue;
        }
        if (value == ':')
            return report_missing(c, e);
        if (value == '?')
            return report_unknown(c, argv[optind - 1], e);
        if (option_store(spec_of(c, value), optarg, out->options, e) < 0)
            return -1;
    }
    for (; optind < argc; optind++)
        if (argument_add(out, argv[optind], e) < 0)
            return -1;
    return arguments_check(c, out, e);
}

void options_release(struct arguments *a)
{
    mem_free(a->options);
    mem_free(a->argument);
    *a = (struct arguments){ 0 };
}
