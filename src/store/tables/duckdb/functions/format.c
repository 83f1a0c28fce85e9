/* format.c -- FORMAT: printf with %t and %T.
 *
 * Source:  https://cloud.google.com/bigquery/docs/reference/standard-sql/format-elements#format_string
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "store/tables/duckdb/functions/any.h"
#include "store/tables/duckdb/functions/numeric.h"
#include "store/tables/duckdb/functions/unicode.h"

#define WIDTH_MAX 100000

struct directive {
    bool left, plus, space, prefix, zero, grouped; /* - + blank # 0 ' */
    int64_t width, precision;                      /* precision -1: none */
    char letter;
};

struct state {
    struct call *c;
    struct str rest;
    uint32_t next; /* argument */
    bool null;     /* an argument was NULL where that makes the result NULL */
};

static enum call_outcome wrong(struct state *s, char letter)
{
    return call_refuse(s->c, "Invalid type for argument %u to FORMAT; Expected a value for %%%c",
                       s->next, letter);
}

static duckdb_type type_of_argument(const struct state *s, uint32_t i, bool *text)
{
    const struct duckdb_library *d = s->c->duckdb;
    duckdb_logical_type type = d->vector_get_column_type(s->c->argument[i].vector);
    duckdb_type id = d->get_type_id(type);

    d->destroy_logical_type(&type);
    *text = id == DUCKDB_TYPE_VARCHAR || id == DUCKDB_TYPE_BLOB;
    return id;
}

/* "*" takes an INT64 argument. */
static bool read_size(struct state *s, int64_t *out)
{
    bool text;

    if (s->rest.len && s->rest.p[0] == '*') {
        if (s->next >= s->c->arguments || type_of_argument(s, s->next, &text) != DUCKDB_TYPE_BIGINT)
            return false;
        *out = arg_null(s->c, s->next) ? 0 : arg_int(s->c, s->next);
        s->null |= arg_null(s->c, s->next);
        s->next++;
        s->rest = str_sub(s->rest, 1, s->rest.len);
        return true;
    }
    for (*out = 0; s->rest.len && s->rest.p[0] >= '0' && s->rest.p[0] <= '9' && *out < WIDTH_MAX;
         s->rest = str_sub(s->rest, 1, s->rest.len))
        *out = *out * 10 + (s->rest.p[0] - '0');
    return true;
}

static bool read_directive(struct state *s, struct directive *d)
{
    *d = (struct directive){ .precision = -1 };
    for (; s->rest.len && strchr("-+ #0'", s->rest.p[0]);
         s->rest = str_sub(s->rest, 1, s->rest.len)) {
        d->left |= s->rest.p[0] == '-';
        d->plus |= s->rest.p[0] == '+';
        d->space |= s->rest.p[0] == ' ';
        d->prefix |= s->rest.p[0] == '#';
        d->zero |= s->rest.p[0] == '0';
        d->grouped |= s->rest.p[0] == '\'';
    }
    if (!read_size(s, &d->width))
        return false;
    if (s->rest.len && s->rest.p[0] == '.') {
        s->rest = str_sub(s->rest, 1, s->rest.len);
        if (!read_size(s, &d->precision))
            return false;
    }
    if (!s->rest.len)
        return false;
    if (d->width < 0) {
        d->left = true;
        d->width = -d->width;
    }
    d->letter = s->rest.p[0];
    s->rest = str_sub(s->rest, 1, s->rest.len);
    return d->width <= WIDTH_MAX && d->precision <= WIDTH_MAX;
}

/* Spaces make it as wide as it shall be, in characters. */
static void add_padded(struct buf *out, const struct directive *d, struct str text)
{
    size_t have = unicode_count(text),
           missing = have < (size_t)d->width ? (size_t)d->width - have : 0;

    if (d->left)
        buf_add_str(out, text);
    while (missing-- > 0)
        buf_add_char(out, ' ');
    if (!d->left)
        buf_add_str(out, text);
}

/* A comma before every three digits of the whole part. */
static void add_grouped(struct buf *out, struct str digits)
{
    size_t from = 0, end;

    while (from < digits.len && (digits.p[from] < '0' || digits.p[from] > '9'))
        from++;
    for (end = from; end < digits.len && digits.p[end] >= '0' && digits.p[end] <= '9';)
        end++;
    for (size_t i = 0; i < digits.len; i++) {
        if (i > from && i < end && (end - i) % 3 == 0)
            buf_add_char(out, ',');
        buf_add_char(out, digits.p[i]);
    }
}

/* A number's digits, with its sign, zeros or spaces before it. */
static void add_number(struct state *s, const struct directive *d, bool negative, struct str digits)
{
    struct buf b = BUF_INIT(CALL_TEXT_MAX), grouped = BUF_INIT(CALL_TEXT_MAX);
    const char *sign = negative ? "-" : d->plus ? "+" : d->space ? " " : "";

    if (d->grouped)
        add_grouped(&grouped, digits);
    else
        buf_add_str(&grouped, digits);
    buf_add_c(&b, sign);
    for (size_t n = strlen(sign) + grouped.len; d->zero && !d->left && n < (size_t)d->width; n++)
        buf_add_char(&b, '0');
    buf_add_str(&b, buf_str(&grouped));
    add_padded(&s->c->text, d, buf_str(&b));
    buf_release(&grouped);
    buf_release(&b);
}

#define DIGITS_BYTES 32

static enum call_outcome format_int(struct state *s, const struct directive *d, int64_t v)
{
    struct buf b = BUF_INIT(CALL_TEXT_MAX);
    char digits[DIGITS_BYTES];
    unsigned long long size = v < 0 ? -(unsigned long long)v : (unsigned long long)v;

    if (d->letter == 'o')
        (void)snprintf(digits, sizeof digits, "%llo", size);
    else if (d->letter == 'x')
        (void)snprintf(digits, sizeof digits, "%llx", size);
    else if (d->letter == 'X')
        (void)snprintf(digits, sizeof digits, "%llX", size);
    else
        (void)snprintf(digits, sizeof digits, "%llu", size);
    if (d->prefix && size && d->letter != 'd' && d->letter != 'i')
        buf_add_c(&b, d->letter == 'o' ? "0" : d->letter == 'x' ? "0x" : "0X");
    for (size_t n = strlen(digits); (int64_t)n < d->precision; n++)
        buf_add_char(&b, '0');
    buf_add_c(&b, digits);
    add_number(s, d, v < 0, buf_str(&b));
    buf_release(&b);
    return CALL_VALUE;
}

static enum call_outcome format_float(struct state *s, const struct directive *d, double v)
{
    size_t cap = (size_t)(d->precision < 0 ? 6 : d->precision) + 400;
    char *text = arena_alloc(&s->c->arena, cap);
    int precision = d->precision < 0 ? 6 : (int)d->precision;
    double size = fabs(v);

    if (d->letter == 'f')
        (void)snprintf(text, cap, "%.*f", precision, size);
    else if (d->letter == 'F')
        (void)snprintf(text, cap, "%.*F", precision, size);
    else if (d->letter == 'e')
        (void)snprintf(text, cap, "%.*e", precision, size);
    else if (d->letter == 'E')
        (void)snprintf(text, cap, "%.*E", precision, size);
    else if (d->letter == 'g')
        (void)snprintf(text, cap, "%.*g", precision, size);
    else
        (void)snprintf(text, cap, "%.*G", precision, size);
    add_number(s, d, signbit(v) && !isnan(v), str_of(text));
    return CALL_VALUE;
}

/* %f of NUMERIC keeps its digits, which a double has not. */
static enum call_outcome format_numeric(struct state *s, const struct directive *d, int128 v)
{
    char text[NUMERIC_BYTES];
    struct buf b = BUF_INIT(CALL_TEXT_MAX);
    int64_t digits = d->precision < 0 ? 6 : d->precision;

    if (d->letter != 'f' && d->letter != 'F')
        return format_float(s, d, numeric_double(v));
    int128 unit = 1, rest;
    for (int64_t i = digits; i < 9; i++)
        unit *= 10;
    rest = v % unit;
    v -= rest;
    v += rest >= unit - rest && rest > 0 ? unit : -rest >= unit + rest && rest < 0 ? -unit : 0;
    numeric_text(v, text);
    char *point = strchr(text, '.');
    int64_t have = point ? (int64_t)strlen(point + 1) : 0;
    buf_add_c(&b, text + (v < 0));
    if (!point && digits)
        buf_add_char(&b, '.');
    for (; have < digits; have++)
        buf_add_char(&b, '0');
    add_number(s, d, v < 0, buf_str(&b));
    buf_release(&b);
    return CALL_VALUE;
}

static enum call_outcome format_any(struct state *s, const struct directive *d,
                                    enum any_style style)
{
    struct buf b = BUF_INIT(CALL_TEXT_MAX);
    bool ok = any_argument(s->c, s->next, style, &b);
    struct str text = buf_str(&b);

    if (ok && d->precision >= 0)
        text = str_sub(text, 0, unicode_offset(text, (size_t)d->precision));
    if (ok)
        add_padded(&s->c->text, d, text);
    buf_release(&b);
    return ok ? CALL_VALUE : wrong(s, d->letter);
}

static enum call_outcome format_one(struct state *s, const struct directive *d)
{
    bool text;
    duckdb_type type = type_of_argument(s, s->next, &text);

    if (d->letter == 't')
        return format_any(s, d, ANY_TEXT);
    if (d->letter == 'T')
        return format_any(s, d, ANY_LITERAL);
    if (arg_null(s->c, s->next)) {
        s->null = true;
        return CALL_VALUE;
    }
    if (strchr("dioxX", d->letter) && type == DUCKDB_TYPE_BIGINT)
        return format_int(s, d, arg_int(s->c, s->next));
    if (strchr("fFeEgG", d->letter) && type == DUCKDB_TYPE_DOUBLE)
        return format_float(s, d, arg_float(s->c, s->next));
    if (strchr("fFeEgG", d->letter) && type == DUCKDB_TYPE_BIGINT)
        return format_float(s, d, (double)arg_int(s->c, s->next));
    if (strchr("fFeEgG", d->letter) && type == DUCKDB_TYPE_DECIMAL)
        return format_numeric(s, d, arg_numeric(s->c, s->next));
    if (d->letter == 's' && text)
        return format_any(s, d, ANY_TEXT);
    if ((d->letter == 'p' || d->letter == 'P') && text)
        return format_any(s, d, ANY_TEXT);
    return wrong(s, d->letter);
}

/* Writes the argument that the letters behind '%' describe. */
static enum call_outcome format_next(struct state *s)
{
    struct directive d;

    if (!read_directive(s, &d))
        return call_refuse(s->c,
                           "Invalid FORMAT string: incomplete or unsupported format specifier");
    if (d.letter == '%') {
        buf_add_char(&s->c->text, '%');
        return CALL_VALUE;
    }
    if (!strchr("dioxXfFeEgGstTpP", d.letter))
        return call_refuse(s->c, "Invalid FORMAT string: unsupported format specifier %%%c",
                           d.letter);
    if (s->next >= s->c->arguments)
        return call_refuse(
            s->c, "Too few arguments to FORMAT for pattern \"%.*s\"; Expected more than %u",
            STR_ARG(str_cut(arg_text(s->c, 0), 100)), s->c->arguments);
    enum call_outcome outcome = format_one(s, &d);
    s->next++;
    return outcome;
}

static enum call_outcome format(struct call *c)
{
    struct state s = { c, { 0 }, 1, false };

    if (arg_null(c, 0))
        return CALL_NULL;
    for (s.rest = arg_text(c, 0); s.rest.len;) {
        char first = s.rest.p[0];
        s.rest = str_sub(s.rest, 1, s.rest.len);
        if (first != '%')
            buf_add_char(&c->text, first);
        else if (format_next(&s) != CALL_VALUE)
            return CALL_ERROR;
    }
    if (s.next < c->arguments)
        return call_refuse(c,
                           "Too many arguments to FORMAT for pattern \"%.*s\"; Expected %u; Got %u",
                           STR_ARG(str_cut(arg_text(c, 0), 100)), s.next, c->arguments);
    return s.null ? CALL_NULL : out_buffer(c);
}

static const struct function rows[] = {
    { "format", "SA*:S", format, FUNCTION_NULLS },
};
const struct function_table functions_format = FUNCTION_TABLE(rows);
