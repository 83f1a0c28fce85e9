/* cell_text.c -- a text that stands alone becomes the cell of its type. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/base64.h"
#include "format/bigquery/cell.h"
#include "format/bigquery/civil.h"
#include "format/bigquery/decimal.h"

#define QUOTED_BYTES 100
#define NUMBER_BYTES_MAX 400 /* of a number as text */
#define US_PER_S INT64_C(1000000)

static struct str quoted(struct str text)
{
    struct str cut = str_cut(text, QUOTED_BYTES);

    return str_sub(cut, 0, str_utf8_valid(cut));
}

static bool is_word(struct str s, const char *word)
{
    return s.len == strlen(word) && strncasecmp(s.p, word, s.len) == 0;
}

static struct bq_cell cell_of(struct arena *a, const char *text)
{
    size_t len = strlen(text);

    return (struct bq_cell){ .text = { arena_copy(a, text, len), len } };
}

static int read_string(struct arena *a, const struct bq_field *f, struct str text,
                       struct bq_cell *out, struct error *e)
{
    int64_t characters = 0;

    (void)a;
    if (str_utf8_valid(text) != text.len)
        return error_set(e, ERROR_INVALID_ARGUMENT, "Invalid UTF-8 in field %.*s",
                         STR_ARG(f->name));
    for (size_t i = 0; f->max_length && i < text.len; i++)
        characters += ((unsigned char)text.p[i] & 0xc0) != 0x80;
    if (characters > f->max_length)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "Field %.*s: STRING(%" PRId64 ") has maximum length %" PRId64
                         " but got a value with length %" PRId64,
                         STR_ARG(f->name), f->max_length, f->max_length, characters);
    *out = (struct bq_cell){ .text = text };
    return 0;
}

static int read_bytes(struct arena *a, const struct bq_field *f, struct str text,
                      struct bq_cell *out, struct error *e)
{
    struct buf again = BUF_INIT(SIZE_MAX);
    size_t at = 0;

    if (!base64_valid(text, &at))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "Could not decode base64 string to bytes. Field: %.*s", STR_ARG(f->name));
    base64_add_standard(&again, text);
    size_t pads =
        (size_t)str_ends(buf_str(&again), STR("=")) + str_ends(buf_str(&again), STR("=="));
    size_t bytes = again.len / 4 * 3 - pads;
    *out =
        (struct bq_cell){ .text = { arena_copy(a, again.p ? again.p : "", again.len), again.len } };
    buf_release(&again);
    if (f->max_length && bytes > (uint64_t)f->max_length)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "Field %.*s: BYTES(%" PRId64 ") has maximum length %" PRId64
                         " but got a value with length %zu",
                         STR_ARG(f->name), f->max_length, f->max_length, bytes);
    return 0;
}

static int read_integer(struct arena *a, const struct bq_field *f, struct str text,
                        struct bq_cell *out, struct error *e)
{
    struct str digits = str_trim(text);
    bool minus = str_starts(digits, STR("-"));
    uint64_t n;

    (void)f;
    if (minus || str_starts(digits, STR("+")))
        digits = str_sub(digits, 1, digits.len);
    if (!str_number(digits, &n) || n > (uint64_t)INT64_MAX + minus)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "Cannot convert value to integer (bad value): %.*s",
                         STR_ARG(quoted(text)));
    *out = cell_of(a, arena_textf(a, "%s%" PRIu64, minus && n ? "-" : "", n));
    return 0;
}

static int read_float(struct arena *a, const struct bq_field *f, struct str text,
                      struct bq_cell *out, struct error *e)
{
    static const struct {
        const char *word, *text;
    } words[] = {
        { "nan", "NaN" },
        { "inf", "Infinity" },
        { "+inf", "Infinity" },
        { "-inf", "-Infinity" },
        { "infinity", "Infinity" },
        { "+infinity", "Infinity" },
        { "-infinity", "-Infinity" },
    };
    struct str s = str_trim(text);
    char copy[NUMBER_BYTES_MAX + 1], *end = copy;

    (void)f;
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (is_word(s, words[i].word)) {
            *out = (struct bq_cell){ .text = str_of(words[i].text) };
            return 0;
        }
    }
    bool plain = s.len > 0 && s.len <= NUMBER_BYTES_MAX;
    for (size_t i = 0; plain && i < s.len; i++)
        plain = strchr("0123456789+-.eE", s.p[i]) && s.p[i];
    if (plain) {
        memcpy(copy, s.p, s.len);
        copy[s.len] = '\0';
        double v = strtod(copy, &end);
        if (end == copy + s.len && isfinite(v)) {
            struct buf b = BUF_INIT(64);
            buf_add_double(&b, v);
            if (!strpbrk(b.p, ".e"))
                buf_add_c(&b, ".0");
            *out = cell_of(a, b.p);
            buf_release(&b);
            return 0;
        }
    }
    return error_set(e, ERROR_INVALID_ARGUMENT,
                     "Cannot convert value to floating point (bad value): %.*s",
                     STR_ARG(quoted(text)));
}

static int read_boolean(struct arena *a, const struct bq_field *f, struct str text,
                        struct bq_cell *out, struct error *e)
{
    static const char *const words[] = {
        "true", "t", "yes", "y", "1", "false", "f", "no", "n", "0"
    };

    (void)a;
    (void)f;
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (!is_word(str_trim(text), words[i]))
            continue;
        *out = (struct bq_cell){ .text = i < ARRAY_LEN(words) / 2 ? STR("true") : STR("false") };
        return 0;
    }
    return error_set(e, ERROR_INVALID_ARGUMENT, "Cannot convert value to boolean (bad value): %.*s",
                     STR_ARG(quoted(text)));
}

static int bad_time(const struct bq_field *f, struct str text, struct error *e)
{
    return error_set(e, ERROR_INVALID_ARGUMENT, "Could not parse '%.*s' as %s for field %.*s",
                     STR_ARG(quoted(text)), bq_type_sql(f->type), STR_ARG(f->name));
}

static int read_date(struct arena *a, const struct bq_field *f, struct str text,
                     struct bq_cell *out, struct error *e)
{
    char copy[CIVIL_BYTES];
    int64_t days;

    if (!civil_read_date(str_trim(text), &days))
        return bad_time(f, text, e);
    civil_write_date(days, copy);
    *out = cell_of(a, copy);
    return 0;
}

static int read_time(struct arena *a, const struct bq_field *f, struct str text,
                     struct bq_cell *out, struct error *e)
{
    char copy[CIVIL_BYTES];
    int64_t us;

    if (!civil_read_time(str_trim(text), &us))
        return bad_time(f, text, e);
    civil_write_time(us, copy);
    *out = cell_of(a, copy);
    return 0;
}

static int read_datetime(struct arena *a, const struct bq_field *f, struct str text,
                         struct bq_cell *out, struct error *e)
{
    char copy[CIVIL_BYTES];
    int64_t us;

    if (!civil_read_datetime(str_trim(text), &us))
        return bad_time(f, text, e);
    civil_write_datetime(us, 'T', copy);
    *out = cell_of(a, copy);
    return 0;
}

/* A time, or seconds since 1970 with a fraction. */
static int read_timestamp(struct arena *a, const struct bq_field *f, struct str text,
                          struct bq_cell *out, struct error *e)
{
    char copy[NUMBER_BYTES_MAX + 1], *end = copy;
    struct str s = str_trim(text);
    int64_t us;

    if (!civil_read_timestamp(s, &us)) {
        if (s.len == 0 || s.len > NUMBER_BYTES_MAX || !strchr("-.0123456789", s.p[0]))
            return bad_time(f, text, e);
        memcpy(copy, s.p, s.len);
        copy[s.len] = '\0';
        double seconds = strtod(copy, &end);
        if (end != copy + s.len || !(fabs(seconds) < 1e12))
            return bad_time(f, text, e);
        us = (int64_t)llround(seconds * (double)US_PER_S);
    }
    if (us < CIVIL_MIN_US || us > CIVIL_MAX_US)
        return bad_time(f, text, e);
    *out = cell_of(a, arena_textf(a, "%" PRId64, us));
    return 0;
}

static int read_numeric(struct arena *a, const struct bq_field *f, struct str text,
                        struct bq_cell *out, struct error *e)
{
    bool big = f->type == BQ_BIGNUMERIC;
    int fraction = f->precision ? (int)f->scale : big ? 38 : 9;
    int whole = f->precision ? (int)(f->precision - f->scale) : big ? 38 : 29;
    struct buf b = BUF_INIT((size_t)2 * DECIMAL_DIGITS_MAX);
    struct bq_decimal d;

    if (!decimal_read(str_trim(text), &d))
        return error_set(e, ERROR_INVALID_ARGUMENT, "Invalid %s value: %.*s Field: %.*s",
                         bq_type_sql(f->type), STR_ARG(quoted(text)), STR_ARG(f->name));
    decimal_round(&d, fraction);
    if (d.count - d.fraction > whole)
        return error_set(e, ERROR_INVALID_ARGUMENT, "Out of range %s value: %.*s Field: %.*s",
                         bq_type_sql(f->type), STR_ARG(quoted(text)), STR_ARG(f->name));
    decimal_write(&d, &b);
    *out = cell_of(a, b.p);
    buf_release(&b);
    return 0;
}

static int read_json(struct arena *a, const struct bq_field *f, struct str text,
                     struct bq_cell *out, struct error *e)
{
    struct error why = { 0 };
    size_t at = 0;
    yyjson_val *v = json_parse(a, text, &at, &why);

    if (!v || json_check(v, &BUF_INIT(ERROR_MSG_BYTES), &why) < 0)
        return error_set(e, ERROR_INVALID_ARGUMENT, "Invalid JSON in field %.*s: %s",
                         STR_ARG(f->name), why.msg);
    *out = (struct bq_cell){ .text = json_text(a, v) };
    return 0;
}

/* An end of a range: UNBOUNDED, or a value of the range's type. */
static int read_end(struct arena *a, const struct bq_field *f, struct str text, struct str *out,
                    struct error *e)
{
    const struct bq_field end = { .name = f->name, .type = f->range_type };
    struct bq_cell cell = { .text = STR("UNBOUNDED") };

    if (!is_word(text, "UNBOUNDED") && !is_word(text, "NULL") &&
        bq_cell_from_text(a, &end, text, &cell, e) < 0)
        return -1;
    *out = cell.text;
    return 0;
}

static int read_range(struct arena *a, const struct bq_field *f, struct str text,
                      struct bq_cell *out, struct error *e)
{
    struct str s = str_trim(text), from, to;
    size_t comma = str_find(s, STR(","));

    if (!str_starts(s, STR("[")) || !str_ends(s, STR(")")) || comma == SIZE_MAX)
        return bad_time(f, text, e);
    if (read_end(a, f, str_trim(str_sub(s, 1, comma - 1)), &from, e) < 0 ||
        read_end(a, f, str_trim(str_sub(s, comma + 1, s.len - comma - 2)), &to, e) < 0)
        return -1;
    *out = cell_of(a, arena_textf(a, "[%.*s, %.*s)", STR_ARG(from), STR_ARG(to)));
    return 0;
}

int bq_cell_from_text(struct arena *a, const struct bq_field *f, struct str text,
                      struct bq_cell *out, struct error *e)
{
    static int (*const readers[BQ_TYPE_COUNT])(struct arena *, const struct bq_field *, struct str,
                                               struct bq_cell *, struct error *) = {
        [BQ_STRING] = read_string,      [BQ_BYTES] = read_bytes,
        [BQ_INTEGER] = read_integer,    [BQ_FLOAT] = read_float,
        [BQ_BOOLEAN] = read_boolean,    [BQ_TIMESTAMP] = read_timestamp,
        [BQ_DATE] = read_date,          [BQ_TIME] = read_time,
        [BQ_DATETIME] = read_datetime,  [BQ_NUMERIC] = read_numeric,
        [BQ_BIGNUMERIC] = read_numeric, [BQ_JSON] = read_json,
        [BQ_GEOGRAPHY] = read_string,   [BQ_INTERVAL] = read_string,
        [BQ_RANGE] = read_range,
    };

    if (f->mode == BQ_REPEATED || f->type == BQ_RECORD)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "Field %.*s is %s and cannot be read from a text.", STR_ARG(f->name),
                         f->mode == BQ_REPEATED ? "an array" : "a record");
    return readers[f->type](a, f, text, out, e);
}
