#include "format/bigquery/cell.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/base64.h"
#include "format/bigquery/civil.h"

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

/* ---- From text ---- */

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

/* A decimal in parts: digits without zeros in front, of which `fraction` stand behind the point. */
struct decimal {
    bool minus;
    char digit[NUMBER_BYTES_MAX];
    int count, fraction;
};

static bool read_exponent(struct str s, int *out)
{
    bool minus = str_starts(s, STR("-"));
    uint64_t n;

    if (minus || str_starts(s, STR("+")))
        s = str_sub(s, 1, s.len);
    if (!str_number_in(s, 0, 100, &n))
        return false;
    *out = minus ? -(int)n : (int)n;
    return true;
}

static bool decimal_read(struct str s, struct decimal *d)
{
    bool point = false, any = false;
    int exponent = 0;
    size_t i = 0;

    *d = (struct decimal){ .minus = str_starts(s, STR("-")) };
    if (d->minus || str_starts(s, STR("+")))
        s = str_sub(s, 1, s.len);
    if (s.len > NUMBER_BYTES_MAX / 2)
        return false;
    for (; i < s.len && (isdigit((unsigned char)s.p[i]) || (s.p[i] == '.' && !point)); i++) {
        if (s.p[i] == '.') {
            point = true;
            continue;
        }
        any = true;
        d->fraction += point;
        if (d->count > 0 || s.p[i] != '0')
            d->digit[d->count++] = s.p[i];
    }
    if (!any)
        return false;
    if (i < s.len &&
        ((s.p[i] != 'e' && s.p[i] != 'E') || !read_exponent(str_sub(s, i + 1, s.len), &exponent)))
        return false;
    d->fraction -= exponent;
    for (; d->fraction < 0; d->fraction++) {
        if (d->count > 0)
            d->digit[d->count++] = '0';
    }
    return true;
}

/* Keeps at most `most` digits behind the point, half away from zero, and no zeros at the end. */
static void decimal_round(struct decimal *d, int most)
{
    bool up = false;

    while (d->fraction > most) {
        up = d->count > 0 && d->digit[d->count - 1] >= '5';
        d->count -= d->count > 0;
        d->fraction--;
    }
    int i = d->count - 1;
    for (; up && i >= 0; i--) {
        up = d->digit[i] == '9';
        d->digit[i] = (char)(up ? '0' : d->digit[i] + 1);
    }
    if (up) {
        memmove(d->digit + 1, d->digit, (size_t)d->count++);
        d->digit[0] = '1';
    }
    while (d->fraction > 0 && (d->count == 0 || d->digit[d->count - 1] == '0')) {
        d->count -= d->count > 0;
        d->fraction--;
    }
}

static void decimal_write(const struct decimal *d, struct buf *out)
{
    int whole = d->count - d->fraction;

    if (d->minus && d->count > 0)
        buf_add_char(out, '-');
    if (whole <= 0)
        buf_add_char(out, '0');
    else
        buf_add(out, d->digit, (size_t)whole);
    if (d->fraction <= 0)
        return;
    buf_add_char(out, '.');
    for (int i = whole; i < d->count; i++)
        buf_add_char(out, i < 0 ? '0' : d->digit[i]);
}

static int read_numeric(struct arena *a, const struct bq_field *f, struct str text,
                        struct bq_cell *out, struct error *e)
{
    bool big = f->type == BQ_BIGNUMERIC;
    int fraction = f->precision ? (int)f->scale : big ? 38 : 9;
    int whole = f->precision ? (int)(f->precision - f->scale) : big ? 38 : 29;
    struct buf b = BUF_INIT((size_t)2 * NUMBER_BYTES_MAX);
    struct decimal d;

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

/* ---- From JSON ---- */

struct json_reading {
    struct arena *arena;
    bool unknown; /* members that the schema lacks are an error */
};

static int read_json_value(const struct json_reading *r, const struct bq_field *f, yyjson_val *v,
                           struct bq_cell *out)
{
    struct str text = json_str(v);
    bool nested = text.len && (text.p[0] == '{' || text.p[0] == '[');
    struct error why = { 0 };

    if (!nested || read_json(r->arena, f, text, out, &why) < 0)
        *out = (struct bq_cell){ .text = json_text(r->arena, v) };
    return 0;
}

/* A number as text; 3.0 is an INTEGER, too. */
static struct str scalar_text(struct arena *a, const struct bq_field *f, yyjson_val *v)
{
    double d = yyjson_is_real(v) ? yyjson_get_real(v) : 0.5;

    if (yyjson_is_str(v))
        return json_str(v);
    if (f->type == BQ_INTEGER && fabs(d) < 9.2e18 && d == floor(d))
        return str_of(arena_textf(a, "%" PRId64, (int64_t)d));
    return json_text(a, v);
}

static int read_scalar(const struct json_reading *r, const struct bq_field *f, yyjson_val *v,
                       struct bq_cell *out, struct error *e)
{
    if (f->type == BQ_JSON)
        return read_json_value(r, f, v, out);
    if (yyjson_is_obj(v) && f->type == BQ_RANGE)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "Field %.*s: write a RANGE as \"[start, end)\".", STR_ARG(f->name));
    if (yyjson_is_obj(v))
        return error_set(e, ERROR_INVALID_ARGUMENT, "This field: %.*s is not a record.",
                         STR_ARG(f->name));
    if (yyjson_is_arr(v))
        return error_set(e, ERROR_INVALID_ARGUMENT, "Array specified for non-repeated field: %.*s.",
                         STR_ARG(f->name));
    return bq_cell_from_text(r->arena, f, scalar_text(r->arena, f, v), out, e);
}

static int value_write(const struct json_reading *r, const struct bq_field *f, yyjson_val *v,
                       struct json_writer *w, struct error *e);

static int unknown_check(const struct json_reading *r, const struct bq_field *f, yyjson_val *v,
                         struct error *e)
{
    const struct bq_schema s = { f->fields, f->field_count };
    yyjson_obj_iter it = yyjson_obj_iter_with(v);
    yyjson_val *k;

    while (r->unknown && (k = yyjson_obj_iter_next(&it)))
        if (!bq_schema_find(&s, json_str(k)))
            return error_set(e, ERROR_INVALID_ARGUMENT, "no such field: %.*s.%.*s.",
                             STR_ARG(f->name), STR_ARG(quoted(json_str(k))));
    return 0;
}

static yyjson_val *member_of(yyjson_val *object, struct str name)
{
    yyjson_val *v = yyjson_obj_getn(object, name.p, name.len), *k;
    yyjson_obj_iter it = yyjson_obj_iter_with(object);

    while (!v && (k = yyjson_obj_iter_next(&it)))
        if (yyjson_get_len(k) == name.len && strncasecmp(yyjson_get_str(k), name.p, name.len) == 0)
            v = yyjson_obj_iter_get_val(k);
    return v;
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the schema */
static int record_write(const struct json_reading *r, const struct bq_field *f, yyjson_val *v,
                        struct json_writer *w, struct error *e)
{
    if (!yyjson_is_obj(v))
        return error_set(e, ERROR_INVALID_ARGUMENT, "This field: %.*s is a record.",
                         STR_ARG(f->name));
    if (unknown_check(r, f, v, e) < 0)
        return -1;
    json_object(w, NULL);
    json_array(w, "f");
    for (uint32_t i = 0; i < f->field_count; i++) {
        json_object(w, NULL);
        json_key(w, STR("v"));
        if (value_write(r, &f->fields[i], member_of(v, f->fields[i].name), w, e) < 0)
            return -1;
        json_end(w);
    }
    json_end(w);
    json_end(w);
    return 0;
}

/* NOLINTNEXTLINE(misc-no-recursion) */
static int array_write(const struct json_reading *r, const struct bq_field *f, yyjson_val *v,
                       struct json_writer *w, struct error *e)
{
    struct bq_field item = *f;
    yyjson_arr_iter it = yyjson_arr_iter_with(v);
    yyjson_val *one;

    if (v && !yyjson_is_null(v) && !yyjson_is_arr(v))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "Repeated field must be imported as a JSON array. Field: %.*s.",
                         STR_ARG(f->name));
    item.mode = BQ_NULLABLE;
    json_array(w, NULL);
    while ((one = yyjson_arr_iter_next(&it))) {
        if (yyjson_is_null(one))
            return error_set(e, ERROR_INVALID_ARGUMENT,
                             "Only optional fields can be set to NULL. Field: %.*s; Value: NULL",
                             STR_ARG(f->name));
        json_object(w, NULL);
        json_key(w, STR("v"));
        if (value_write(r, &item, one, w, e) < 0)
            return -1;
        json_end(w);
    }
    json_end(w);
    return 0;
}

/* NOLINTNEXTLINE(misc-no-recursion) */
static int value_write(const struct json_reading *r, const struct bq_field *f, yyjson_val *v,
                       struct json_writer *w, struct error *e)
{
    struct bq_cell cell;

    if (f->mode == BQ_REPEATED)
        return array_write(r, f, v, w, e);
    if (!v || yyjson_is_null(v)) {
        if (f->mode == BQ_REQUIRED)
            return error_set(e, ERROR_INVALID_ARGUMENT, "Missing required field: %.*s.",
                             STR_ARG(f->name));
        json_add_null(w, NULL);
        return 0;
    }
    if (f->type == BQ_RECORD)
        return record_write(r, f, v, w, e);
    if (read_scalar(r, f, v, &cell, e) < 0)
        return -1;
    json_add_text(w, NULL, cell.text);
    return 0;
}

int bq_cell_from_json(struct arena *a, const struct bq_field *f, yyjson_val *v, bool unknown,
                      struct bq_cell *out, struct error *e)
{
    const struct json_reading r = { a, unknown };
    bool null = !v || yyjson_is_null(v);

    if (f->mode != BQ_REPEATED && null) {
        *out = (struct bq_cell){ .null = true };
        return f->mode == BQ_REQUIRED ? error_set(e, ERROR_INVALID_ARGUMENT,
                                                  "Missing required field: %.*s.", STR_ARG(f->name))
                                      : 0;
    }
    if (f->mode != BQ_REPEATED && f->type != BQ_RECORD)
        return read_scalar(&r, f, v, out, e);
    struct buf text = BUF_INIT(SIZE_MAX);
    struct json_writer w = JSON_WRITER(&text);
    int rc = value_write(&r, f, v, &w, e);
    if (rc == 0)
        *out = (struct bq_cell){ .text = { arena_copy(a, text.p, text.len), text.len } };
    buf_release(&text);
    return rc;
}

/* ---- To replies ---- */

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the schema */
static bool has_times(const struct bq_field *f)
{
    if (f->type == BQ_TIMESTAMP || (f->type == BQ_RANGE && f->range_type == BQ_TIMESTAMP))
        return true;
    for (uint32_t i = 0; i < f->field_count; i++)
        if (has_times(&f->fields[i]))
            return true;
    return false;
}

/* Seconds as d.dddE9: the digits of the microseconds, so that nothing is rounded. */
static void write_seconds(int64_t us, char text[CIVIL_BYTES])
{
    char digits[CIVIL_BYTES];
    int n = snprintf(digits, sizeof digits, "%" PRIu64, us < 0 ? 0 - (uint64_t)us : (uint64_t)us);
    int keep = n;

    if (us == 0) {
        (void)snprintf(text, CIVIL_BYTES, "0.0");
        return;
    }
    while (keep > 2 && digits[keep - 1] == '0')
        keep--;
    if (n == 1) {
        digits[1] = '0';
        keep = 2;
    }
    (void)snprintf(text, CIVIL_BYTES, "%s%c.%.*sE%d", us < 0 ? "-" : "", digits[0], keep - 1,
                   digits + 1, n - 7);
}

static void write_time(struct json_writer *w, const char *key, struct str text, enum bq_times times)
{
    char copy[CIVIL_BYTES];
    bool minus = str_starts(text, STR("-"));
    uint64_t n;

    if (times == BQ_TIMES_MICROS || !str_number(str_sub(text, minus, text.len), &n)) {
        json_add_text(w, key, text);
        return;
    }
    int64_t us = minus ? -(int64_t)n : (int64_t)n;
    if (times == BQ_TIMES_SECONDS) {
        write_seconds(us, copy);
        json_add_c(w, key, copy);
    } else {
        civil_write_datetime(us, 'T', copy);
        json_addf(w, key, "%sZ", copy);
    }
}

/* The text of a range of timestamps with its ends written anew. */
static void write_range(struct json_writer *w, const char *key, struct str text,
                        enum bq_times times)
{
    struct str inside = str_sub(text, 1, text.len - 2), piece;
    struct buf out = BUF_INIT(SIZE_MAX);
    bool second = false;

    buf_add_char(&out, '[');
    while (str_next(&inside, ',', &piece)) {
        struct buf one = BUF_INIT(SIZE_MAX);
        struct json_writer ends = JSON_WRITER(&one);
        write_time(&ends, NULL, str_trim(piece), times);
        buf_add_c(&out, second ? ", " : "");
        buf_add_str(&out, str_sub(buf_str(&one), 1, one.len - 2));
        buf_release(&one);
        second = true;
    }
    buf_add_char(&out, ')');
    json_add_text(w, key, buf_str(&out));
    buf_release(&out);
}

static void write_scalar(struct json_writer *w, const char *key, const struct bq_field *f,
                         struct str text, enum bq_times times)
{
    if (f->type == BQ_TIMESTAMP)
        write_time(w, key, text, times);
    else if (f->type == BQ_RANGE && f->range_type == BQ_TIMESTAMP && times != BQ_TIMES_MICROS)
        write_range(w, key, text, times);
    else
        json_add_text(w, key, text);
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the schema */
static void write_nested(struct json_writer *w, const struct bq_field *f, yyjson_val *v,
                         enum bq_times times)
{
    struct bq_field item = *f;
    yyjson_arr_iter it = yyjson_arr_iter_with(yyjson_is_arr(v) ? v : json_get(v, "f"));
    yyjson_val *one;
    uint32_t i = 0;

    if (!yyjson_is_arr(v) && !yyjson_is_obj(v)) {
        if (yyjson_is_null(v))
            json_add_null(w, NULL);
        else
            write_scalar(w, NULL, f, json_str(v), times);
        return;
    }
    item.mode = BQ_NULLABLE;
    if (yyjson_is_obj(v)) {
        json_object(w, NULL);
        json_key(w, STR("f"));
    }
    json_array(w, NULL);
    while ((one = yyjson_arr_iter_next(&it))) {
        json_object(w, NULL);
        json_key(w, STR("v"));
        if (yyjson_is_obj(v) && i >= f->field_count)
            json_add_null(w, NULL);
        else
            write_nested(w, yyjson_is_obj(v) ? &f->fields[i] : &item, json_get(one, "v"), times);
        json_end(w);
        i++;
    }
    json_end(w);
    if (yyjson_is_obj(v))
        json_end(w);
}

void bq_cell_write(struct json_writer *w, const char *key, const struct bq_field *f,
                   struct bq_cell c, enum bq_times times)
{
    struct arena a = { 0 };
    struct error ignored = { 0 };
    size_t at;

    if (c.null && f->mode == BQ_REPEATED) {
        json_array(w, key);
        json_end(w);
    } else if (c.null) {
        json_add_null(w, key);
    } else if (f->mode != BQ_REPEATED && f->type != BQ_RECORD) {
        write_scalar(w, key, f, c.text, times);
    } else if (times == BQ_TIMES_MICROS || !has_times(f)) {
        json_add_raw(w, key, c.text);
    } else {
        if (key)
            json_key(w, str_of(key));
        write_nested(w, f, json_parse(&a, c.text, &at, &ignored), times);
    }
    arena_release(&a);
}

/* ---- To exports ---- */

static void timestamp_text(struct buf *out, struct str text)
{
    char copy[CIVIL_BYTES];
    bool minus = str_starts(text, STR("-"));
    uint64_t n;

    if (!str_number(str_sub(text, minus, text.len), &n)) {
        buf_add_str(out, text);
        return;
    }
    civil_write_datetime(minus ? -(int64_t)n : (int64_t)n, ' ', copy);
    buf_addf(out, "%s UTC", copy);
}

void bq_cell_to_text(struct buf *out, const struct bq_field *f, struct bq_cell c)
{
    if (c.null)
        return;
    if (f->type == BQ_TIMESTAMP && f->mode != BQ_REPEATED)
        timestamp_text(out, c.text);
    else
        buf_add_str(out, c.text);
}

static void plain_scalar(struct json_writer *w, const char *key, const struct bq_field *f,
                         struct str text)
{
    struct buf b = BUF_INIT(SIZE_MAX);

    if (f->type == BQ_JSON || f->type == BQ_BOOLEAN ||
        (f->type == BQ_FLOAT && !str_ends(text, STR("y")) && !str_eq(text, STR("NaN")))) {
        json_add_raw(w, key, text);
    } else {
        bq_cell_to_text(&b, f, (struct bq_cell){ .text = text });
        json_add_text(w, key, buf_str(&b));
    }
    buf_release(&b);
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the schema */
static void plain_nested(struct json_writer *w, const struct bq_field *f, yyjson_val *v)
{
    struct bq_field item = *f;
    yyjson_arr_iter it = yyjson_arr_iter_with(yyjson_is_arr(v) ? v : json_get(v, "f"));
    yyjson_val *one;
    uint32_t i = 0;

    item.mode = BQ_NULLABLE;
    if (yyjson_is_null(v) || !v) {
        json_add_null(w, NULL);
    } else if (yyjson_is_arr(v)) {
        json_array(w, NULL);
        while ((one = yyjson_arr_iter_next(&it)))
            plain_nested(w, &item, json_get(one, "v"));
        json_end(w);
    } else if (yyjson_is_obj(v)) {
        json_object(w, NULL);
        while ((one = yyjson_arr_iter_next(&it)) && i < f->field_count) {
            json_key(w, f->fields[i].name);
            plain_nested(w, &f->fields[i++], json_get(one, "v"));
        }
        json_end(w);
    } else {
        plain_scalar(w, NULL, f, json_str(v));
    }
}

void bq_cell_to_json(struct json_writer *w, const char *key, const struct bq_field *f,
                     struct bq_cell c)
{
    struct arena a = { 0 };
    struct error ignored = { 0 };
    size_t at;

    if (c.null) {
        json_add_null(w, key);
    } else if (f->mode != BQ_REPEATED && f->type != BQ_RECORD) {
        plain_scalar(w, key, f, c.text);
    } else {
        if (key)
            json_key(w, str_of(key));
        plain_nested(w, f, json_parse(&a, c.text, &at, &ignored));
    }
    arena_release(&a);
}
