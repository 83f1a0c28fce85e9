#include "format/table/where.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define NUMBER_BYTES_MAX 63

enum where_kind { WHERE_OR, WHERE_AND, WHERE_NOT, WHERE_TEST };
enum where_test {
    TEST_EQUAL,
    TEST_DIFFERENT,
    TEST_LESS,
    TEST_LESS_EQUAL,
    TEST_GREATER,
    TEST_GREATER_EQUAL,
    TEST_CONTAINS,
    TEST_NULL,
    TEST_EMPTY,
};

struct where {
    enum where_kind kind;
    const struct where *left, *right; /* of OR and AND; NOT has only left */
    enum where_test test;             /* the rest is of TEST */
    uint32_t column;
    struct str text;
    double number;
    bool is_number;
};

struct reader {
    struct str rest; /* not read yet */
    struct str all;
    const struct columns *columns;
    struct arena *arena;
    uint32_t depth;
    struct error *error;
};

static void *wrong(const struct reader *r, const char *why)
{
    (void)error_set(r->error, ERROR_INVALID_ARGUMENT, "--where, character %zu: %s",
                    (size_t)(r->rest.p - r->all.p) + 1, why);
    return NULL;
}

static void skip(struct reader *r, size_t bytes)
{
    r->rest = str_sub(r->rest, bytes, r->rest.len);
    while (r->rest.len && isspace((unsigned char)r->rest.p[0]))
        r->rest = str_sub(r->rest, 1, r->rest.len);
}

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80;
}

static struct str peek_word(const struct reader *r)
{
    size_t n = 0;

    while (n < r->rest.len && is_word(r->rest.p[n]))
        n++;
    return str_sub(r->rest, 0, n);
}

/* Takes the word when it stands next, in either case. */
static bool take_word(struct reader *r, const char *word)
{
    struct str next = peek_word(r);

    if (next.len != strlen(word) || strncasecmp(next.p, word, next.len) != 0)
        return false;
    skip(r, next.len);
    return true;
}

static bool take_sign(struct reader *r, const char *sign)
{
    if (!str_starts(r->rest, str_of(sign)))
        return false;
    skip(r, strlen(sign));
    return true;
}

/* Text between quotes of this kind, which stands next. */
static bool take_quoted(struct reader *r, char quote, struct str *out)
{
    char *text = arena_alloc(r->arena, r->rest.len);
    size_t len = 0, i = 1;
    struct str s = r->rest;

    for (; i < s.len && (s.p[i] != quote || (i + 1 < s.len && s.p[i + 1] == quote)); i++) {
        text[len++] = s.p[i];
        i += s.p[i] == quote;
    }
    if (i >= s.len)
        return wrong(r, "this quote is not closed") != NULL;
    skip(r, i + 1);
    *out = (struct str){ text, len };
    return true;
}

static bool is_number_sign(char c)
{
    static const char signs[] = { '+', '-', '.', 'e', 'E' };

    return isdigit((unsigned char)c) || memchr(signs, c, sizeof signs);
}

/* The whole text as a decimal number; white space around it does not count. */
static bool read_number(struct str text, double *out)
{
    char digits[NUMBER_BYTES_MAX + 1];
    char *end;

    text = str_trim(text);
    if (text.len == 0 || text.len > NUMBER_BYTES_MAX)
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (!is_number_sign(text.p[i]))
            return false;
    memcpy(digits, text.p, text.len);
    digits[text.len] = '\0';
    *out = strtod(digits, &end);
    return *end == '\0';
}

static bool read_column(struct reader *r, uint32_t *out)
{
    struct str name = peek_word(r);

    if (r->rest.len && r->rest.p[0] == '"') {
        if (!take_quoted(r, '"', &name))
            return false;
    } else if (name.len) {
        skip(r, name.len);
    } else {
        return wrong(r, "a column's name is missing; one with other signs than letters, digits and "
                        "_ stands in \"double quotes\"") != NULL;
    }
    if (columns_find(r->columns, name, out, r->error) == 0)
        return true;
    (void)error_wrap(r->error, "--where");
    return false;
}

static bool read_constant(struct reader *r, struct where *w)
{
    size_t n = 0;

    if (r->rest.len && r->rest.p[0] == '\'')
        return take_quoted(r, '\'', &w->text);
    while (n < r->rest.len && (is_word(r->rest.p[n]) || is_number_sign(r->rest.p[n])))
        n++;
    if (!read_number(str_sub(r->rest, 0, n), &w->number))
        return wrong(r, "a number is expected here, or a text in 'single quotes'") != NULL;
    w->is_number = true;
    skip(r, n);
    return true;
}

static struct where *new_node(struct reader *r, enum where_kind kind, const struct where *left,
                              const struct where *right)
{
    struct where *w = arena_alloc(r->arena, sizeof *w);

    *w = (struct where){ .kind = kind, .left = left, .right = right };
    return w;
}

/* "in" is behind: each constant is a comparison by =, any of which suffices. */
static struct where *read_list(struct reader *r, uint32_t column)
{
    struct where *any = NULL;

    if (!take_sign(r, "("))
        return wrong(r, "( is expected behind in");
    do {
        struct where *w = new_node(r, WHERE_TEST, NULL, NULL);
        w->test = TEST_EQUAL;
        w->column = column;
        if (!read_constant(r, w))
            return NULL;
        any = any ? new_node(r, WHERE_OR, any, w) : w;
    } while (take_sign(r, ","));
    return take_sign(r, ")") ? any : wrong(r, ", or ) is expected here");
}

static struct where *read_is(struct reader *r, uint32_t column)
{
    bool negated = take_word(r, "not");
    struct where *w = new_node(r, WHERE_TEST, NULL, NULL);

    w->column = column;
    w->test = TEST_NULL;
    if (!take_word(r, "null")) {
        w->test = TEST_EMPTY;
        if (!take_word(r, "empty"))
            return wrong(r, "null or empty is expected behind is");
    }
    return negated ? new_node(r, WHERE_NOT, w, NULL) : w;
}

static struct where *read_comparison(struct reader *r)
{
    static const struct {
        const char *sign;
        enum where_test test;
    } signs[] = {
        { "==", TEST_EQUAL },     { "=", TEST_EQUAL },       { "!=", TEST_DIFFERENT },
        { "<>", TEST_DIFFERENT }, { "<=", TEST_LESS_EQUAL }, { ">=", TEST_GREATER_EQUAL },
        { "<", TEST_LESS },       { ">", TEST_GREATER },
    };
    struct where *w = new_node(r, WHERE_TEST, NULL, NULL);

    if (!read_column(r, &w->column))
        return NULL;
    if (take_word(r, "is"))
        return read_is(r, w->column);
    if (take_word(r, "in"))
        return read_list(r, w->column);
    if (take_word(r, "not")) {
        if (!take_word(r, "in"))
            return wrong(r, "in is expected behind not");
        struct where *list = read_list(r, w->column);
        return list ? new_node(r, WHERE_NOT, list, NULL) : NULL;
    }
    if (take_word(r, "contains")) {
        w->test = TEST_CONTAINS;
        if (r->rest.len == 0 || r->rest.p[0] != '\'')
            return wrong(r, "a text in 'single quotes' is expected behind contains");
        return read_constant(r, w) ? w : NULL;
    }
    for (size_t i = 0; i < ARRAY_LEN(signs); i++) {
        if (!take_sign(r, signs[i].sign))
            continue;
        w->test = signs[i].test;
        return read_constant(r, w) ? w : NULL;
    }
    return wrong(r, "one of = != < <= > >= contains in is not is expected here");
}

static struct where *read_or(struct reader *r);

static struct where *read_not(struct reader *r)
{
    struct where *w = NULL;

    if (++r->depth > WHERE_DEPTH_MAX)
        return wrong(r, "the condition is nested too deep");
    if (take_word(r, "not")) {
        w = read_not(r);
        w = w ? new_node(r, WHERE_NOT, w, NULL) : NULL;
    } else if (take_sign(r, "(")) {
        w = read_or(r);
        if (w && !take_sign(r, ")"))
            w = wrong(r, ") is expected here");
    } else {
        w = read_comparison(r);
    }
    r->depth--;
    return w;
}

static struct where *read_and(struct reader *r)
{
    struct where *w = read_not(r);

    while (w && take_word(r, "and")) {
        struct where *right = read_not(r);
        w = right ? new_node(r, WHERE_AND, w, right) : NULL;
    }
    return w;
}

static struct where *read_or(struct reader *r)
{
    struct where *w = read_and(r);

    while (w && take_word(r, "or")) {
        struct where *right = read_and(r);
        w = right ? new_node(r, WHERE_OR, w, right) : NULL;
    }
    return w;
}

struct where *where_read(struct arena *a, struct str text, const struct columns *c, struct error *e)
{
    struct reader r = { .rest = text, .all = text, .columns = c, .arena = a, .error = e };

    if (text.len > WHERE_BYTES_MAX)
        return wrong(&r, "the condition is too long");
    skip(&r, 0);
    struct where *w = read_or(&r);
    if (w && r.rest.len)
        return wrong(&r, "and, or, or the end is expected here; a text stands in 'single quotes'");
    return w;
}

static bool compares(enum where_test test, int order)
{
    switch (test) {
    case TEST_EQUAL:
        return order == 0;
    case TEST_DIFFERENT:
        return order != 0;
    case TEST_LESS:
        return order < 0;
    case TEST_LESS_EQUAL:
        return order <= 0;
    case TEST_GREATER:
        return order > 0;
    case TEST_GREATER_EQUAL:
        return order >= 0;
    case TEST_CONTAINS:
    case TEST_NULL:
    case TEST_EMPTY:
        break;
    }
    return false;
}

static bool tests(const struct where *w, const struct cell *c)
{
    double number;

    if (w->test == TEST_NULL)
        return c->null;
    if (w->test == TEST_EMPTY)
        return c->text.len == 0;
    if (w->test == TEST_CONTAINS)
        return str_find(c->text, w->text) != SIZE_MAX;
    if (!w->is_number)
        return compares(w->test, str_cmp(c->text, w->text));
    return read_number(c->text, &number) &&
           compares(w->test, (number > w->number) - (number < w->number));
}

/* Its depth is bounded but for long chains of `and` and `or`, which grow to the left only. */
bool where_chooses(const struct where *w, const struct cell *cell)
{
    switch (w->kind) {
    case WHERE_OR:
        return where_chooses(w->left, cell) || where_chooses(w->right, cell);
    case WHERE_AND:
        return where_chooses(w->left, cell) && where_chooses(w->right, cell);
    case WHERE_NOT:
        return !where_chooses(w->left, cell);
    case WHERE_TEST:
        return tests(w, &cell[w->column]);
    }
    return false;
}
