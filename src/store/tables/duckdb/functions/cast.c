/* cast.c -- CAST between types, with BigQuery's rounding, texts and error words. */
#include <ctype.h>
#include <math.h>
#include <string.h>

#include "store/tables/duckdb/functions/numeric.h"
#include "store/tables/duckdb/functions/part.h"
#include "store/tables/duckdb/functions/value_text.h"

static enum call_outcome bad(struct call *c, const char *what)
{
    return call_refuse(c, "Bad %s value: %.*s", what, STR_ARG(str_cut(arg_text(c, 0), 200)));
}

static enum call_outcome invalid(struct call *c, const char *what)
{
    return call_refuse(c, "Invalid %s: '%.*s'", what, STR_ARG(str_cut(arg_text(c, 0), 200)));
}

/* ---- Unchanged ---- */

static enum call_outcome same_int(struct call *c)
{
    return out_int(c, arg_int(c, 0));
}

static enum call_outcome same_float(struct call *c)
{
    return out_float(c, arg_float(c, 0));
}

static enum call_outcome same_bool(struct call *c)
{
    return out_bool(c, arg_bool(c, 0));
}

static enum call_outcome same_numeric(struct call *c)
{
    return out_numeric(c, arg_numeric(c, 0));
}

static enum call_outcome same_date(struct call *c)
{
    return out_date(c, arg_date(c, 0));
}

static enum call_outcome same_text(struct call *c)
{
    return out_text(c, arg_text(c, 0));
}

static enum call_outcome same_interval(struct call *c)
{
    return out_interval(c, arg_interval(c, 0));
}

/* ---- INT64 ---- */

static enum call_outcome int_of_float(struct call *c)
{
    double v = round(arg_float(c, 0));

    if (!(v >= -0x1p63 && v < 0x1p63))
        return call_refuse(c,
                           "Illegal conversion of non-finite or too large FLOAT64 to INT64: %.17g",
                           arg_float(c, 0));
    return out_int(c, (int64_t)v);
}

static enum call_outcome int_of_numeric(struct call *c)
{
    int128 v = arg_numeric(c, 0), whole = v / NUMERIC_ONE, rest = v % NUMERIC_ONE;

    whole += rest >= NUMERIC_ONE / 2 ? 1 : rest <= -NUMERIC_ONE / 2 ? -1 : 0;
    return whole == (int64_t)whole ? out_int(c, (int64_t)whole)
                                   : call_refuse(c, "int64 out of range");
}

static enum call_outcome int_of_huge(struct call *c)
{
    int128 v = arg_numeric(c, 0);

    return v == (int64_t)v ? out_int(c, (int64_t)v) : call_refuse(c, "Integer Overflow");
}

static enum call_outcome int_of_bool(struct call *c)
{
    return out_int(c, arg_bool(c, 0));
}

static enum call_outcome int_of_text(struct call *c)
{
    int64_t v;

    return text_read_int(arg_text(c, 0), &v) ? out_int(c, v) : bad(c, "int64");
}

/* ---- FLOAT64 ---- */

static enum call_outcome float_of_int(struct call *c)
{
    return out_float(c, (double)arg_int(c, 0));
}

static enum call_outcome float_of_numeric(struct call *c)
{
    return out_float(c, numeric_double(arg_numeric(c, 0)));
}

static enum call_outcome float_of_text(struct call *c)
{
    double v;

    return text_read_float(arg_text(c, 0), &v) ? out_float(c, v) : bad(c, "double");
}

/* ---- BOOL ---- */

static enum call_outcome bool_of_int(struct call *c)
{
    return out_bool(c, arg_int(c, 0) != 0);
}

static enum call_outcome bool_of_text(struct call *c)
{
    bool v;

    return text_read_bool(arg_text(c, 0), &v) ? out_bool(c, v) : bad(c, "bool");
}

/* ---- NUMERIC ---- */

static enum call_outcome numeric_of_int(struct call *c)
{
    return out_numeric(c, (int128)arg_int(c, 0) * NUMERIC_ONE);
}

static enum call_outcome numeric_of_float(struct call *c)
{
    int128 v;

    if (!numeric_from_double(arg_float(c, 0), &v))
        return call_refuse(c, "numeric out of range: %.17g", arg_float(c, 0));
    return out_numeric(c, v);
}

static enum call_outcome numeric_of_text(struct call *c)
{
    int128 v;

    if (!numeric_read(arg_text(c, 0), &v))
        return call_refuse(c, "Invalid NUMERIC value: %.*s", STR_ARG(str_cut(arg_text(c, 0), 200)));
    return out_numeric(c, v);
}

/* PARSE_NUMERIC also takes spaces after the sign, a sign behind, and commas. */
static struct str plain_number(struct call *c, struct str s)
{
    struct buf b = BUF_INIT(CALL_TEXT_MAX);
    bool behind = s.len > 1 && (s.p[s.len - 1] == '-' || s.p[s.len - 1] == '+');

    if (behind) {
        buf_add_char(&b, s.p[s.len - 1]);
        s.len--;
    }
    for (size_t i = 0; i < s.len; i++)
        if (s.p[i] != ',' && !is_blank(s.p[i]))
            buf_add_char(&b, s.p[i]);
    struct str copy = { arena_copy(&c->arena, b.p ? b.p : "", b.len), b.len };
    buf_release(&b);
    return copy;
}

static enum call_outcome parse_numeric(struct call *c)
{
    int128 v;

    if (!numeric_read(plain_number(c, str_trim(arg_text(c, 0))), &v))
        return call_refuse(c, "Invalid input to PARSE_NUMERIC: \"%.*s\"",
                           STR_ARG(str_cut(arg_text(c, 0), 200)));
    return out_numeric(c, v);
}

/* ---- BIGNUMERIC: text in one form ---- */

#define BIG_WHOLE_MAX 39
#define BIG_FRACTION_MAX 38

static size_t digit_run(struct str s)
{
    size_t n = 0;

    while (n < s.len && isdigit((unsigned char)s.p[n]))
        n++;
    return n;
}

/* "-012.50" as "-12.5"; false: no number of that kind (an exponent is none). */
static bool big_read(struct str s, struct buf *out)
{
    struct str t = str_trim(s), fraction = { 0 };
    bool negative = t.len && t.p[0] == '-';

    if (t.len && (t.p[0] == '-' || t.p[0] == '+'))
        t = str_sub(t, 1, t.len);
    struct str whole = str_sub(t, 0, digit_run(t));
    t = str_sub(t, whole.len, t.len);
    if (t.len && t.p[0] == '.') {
        t = str_sub(t, 1, t.len);
        fraction = str_sub(t, 0, digit_run(t));
        t = str_sub(t, fraction.len, t.len);
    }
    if (t.len || !(whole.len + fraction.len))
        return false;
    while (whole.len && whole.p[0] == '0')
        whole = str_sub(whole, 1, whole.len);
    while (fraction.len && fraction.p[fraction.len - 1] == '0')
        fraction.len--;
    if (whole.len > BIG_WHOLE_MAX || fraction.len > BIG_FRACTION_MAX)
        return false;
    if (negative && whole.len + fraction.len)
        buf_add_char(out, '-');
    buf_add_str(out, whole.len ? whole : STR("0"));
    if (fraction.len) {
        buf_add_char(out, '.');
        buf_add_str(out, fraction);
    }
    return true;
}

static enum call_outcome big_of_text(struct call *c)
{
    if (!big_read(arg_text(c, 0), &c->text))
        return call_refuse(c, "Invalid BIGNUMERIC value: %.*s",
                           STR_ARG(str_cut(arg_text(c, 0), 200)));
    return out_buffer(c);
}

static enum call_outcome parse_bignumeric(struct call *c)
{
    if (!big_read(plain_number(c, str_trim(arg_text(c, 0))), &c->text))
        return call_refuse(c, "Invalid input to PARSE_BIGNUMERIC: \"%.*s\"",
                           STR_ARG(str_cut(arg_text(c, 0), 200)));
    return out_buffer(c);
}

static enum call_outcome text_of_int(struct call *c)
{
    buf_addf(&c->text, "%lld", (long long)arg_int(c, 0));
    return out_buffer(c);
}

static enum call_outcome text_of_numeric(struct call *c)
{
    char text[NUMERIC_BYTES];

    numeric_text(arg_numeric(c, 0), text);
    buf_add_c(&c->text, text);
    return out_buffer(c);
}

/* ---- STRING, BYTES ---- */

static enum call_outcome text_of_float(struct call *c)
{
    text_add_float(&c->text, arg_float(c, 0));
    return out_buffer(c);
}

static enum call_outcome text_of_bool(struct call *c)
{
    return out_text(c, arg_bool(c, 0) ? STR("true") : STR("false"));
}

static enum call_outcome text_of_date(struct call *c)
{
    text_add_date(&c->text, arg_date(c, 0));
    return out_buffer(c);
}

static enum call_outcome text_of_time(struct call *c)
{
    text_add_time(&c->text, arg_int(c, 0));
    return out_buffer(c);
}

static enum call_outcome text_of_datetime(struct call *c)
{
    text_add_datetime(&c->text, arg_int(c, 0));
    return out_buffer(c);
}

static const struct zone *zone_argument(struct call *c, uint32_t i)
{
    const struct zone *z = zone_find(arg_text(c, i));

    if (!z)
        (void)call_refuse(c, "Invalid time zone: %.*s", STR_ARG(str_cut(arg_text(c, i), 100)));
    return z;
}

static enum call_outcome text_of_timestamp(struct call *c)
{
    const struct zone *z = NULL;

    if (c->arguments > 1 && !(z = zone_argument(c, 1)))
        return CALL_ERROR;
    text_add_timestamp(&c->text, arg_int(c, 0), z);
    return out_buffer(c);
}

static enum call_outcome text_of_interval(struct call *c)
{
    text_add_interval(&c->text, arg_interval(c, 0));
    return out_buffer(c);
}

static enum call_outcome text_of_bytes(struct call *c)
{
    struct str s = arg_text(c, 0);

    if (str_utf8_valid(s) != s.len)
        return call_refuse(c, "Invalid UTF-8 string in a cast from BYTES to STRING");
    return out_text(c, s);
}

/* ---- Dates and times ---- */

static enum call_outcome date_of_text(struct call *c)
{
    int64_t days, us;
    struct str s = str_trim(arg_text(c, 0)), zone;

    if (civil_read_date(s, &days))
        return out_date(c, days);
    if (civil_read_datetime(s, &us) || text_read_timestamp(s, NULL, &us, &zone))
        return out_date(c, floor_div(us, CIVIL_DAY_US));
    return invalid(c, "date");
}

static enum call_outcome date_of_us(struct call *c)
{
    return out_date(c, floor_div(arg_int(c, 0), CIVIL_DAY_US));
}

static enum call_outcome time_of_text(struct call *c)
{
    int64_t us;

    if (civil_read_time(str_trim(arg_text(c, 0)), &us))
        return out_int(c, us);
    return call_refuse(c, "Invalid time string \"%.*s\"", STR_ARG(str_cut(arg_text(c, 0), 200)));
}

static enum call_outcome time_of_us(struct call *c)
{
    return out_int(c, arg_int(c, 0) - floor_div(arg_int(c, 0), CIVIL_DAY_US) * CIVIL_DAY_US);
}

static enum call_outcome datetime_of_text(struct call *c)
{
    int64_t us;

    if (civil_read_datetime(str_trim(arg_text(c, 0)), &us))
        return out_int(c, us);
    return call_refuse(c, "Invalid datetime string \"%.*s\"",
                       STR_ARG(str_cut(arg_text(c, 0), 200)));
}

static enum call_outcome us_of_date(struct call *c)
{
    return out_int(c, arg_date(c, 0) * CIVIL_DAY_US);
}

static enum call_outcome timestamp_of_text(struct call *c)
{
    const struct zone *z = NULL;
    struct str bad_zone;
    int64_t us;

    if (c->arguments > 1 && !(z = zone_argument(c, 1)))
        return CALL_ERROR;
    if (text_read_timestamp(arg_text(c, 0), z, &us, &bad_zone) && us >= CIVIL_MIN_US &&
        us <= CIVIL_MAX_US)
        return out_int(c, us);
    if (bad_zone.len)
        return call_refuse(c, "Invalid time zone: %.*s", STR_ARG(str_cut(bad_zone, 100)));
    return invalid(c, "timestamp");
}

// clang-format off
static const struct function rows[] = {
    { "cast_int64", "I:I", same_int, 0 }, { "cast_int64", "F:I", int_of_float, 0 }, { "cast_int64", "N:I", int_of_numeric, 0 },
    { "cast_int64", "B:I", int_of_bool, 0 }, { "cast_int64", "S:I", int_of_text, 0 }, { "cast_int64", "H:I", int_of_huge, 0 },
    { "cast_int64", "G:I", int_of_text, 0 },
    { "cast_float64", "I:F", float_of_int, 0 }, { "cast_float64", "F:F", same_float, 0 }, { "cast_float64", "N:F", float_of_numeric, 0 },
    { "cast_float64", "S:F", float_of_text, 0 }, { "cast_float64", "G:F", float_of_text, 0 },
    { "cast_bool", "B:B", same_bool, 0 }, { "cast_bool", "I:B", bool_of_int, 0 }, { "cast_bool", "S:B", bool_of_text, 0 },
    { "cast_numeric", "N:N", same_numeric, 0 }, { "cast_numeric", "I:N", numeric_of_int, 0 }, { "cast_numeric", "F:N", numeric_of_float, 0 },
    { "cast_numeric", "S:N", numeric_of_text, 0 }, { "cast_numeric", "G:N", numeric_of_text, 0 },
    { "parse_numeric", "S:N", parse_numeric, 0 },
    { "cast_bignumeric", "G:G", same_text, 0 }, { "cast_bignumeric", "S:G", big_of_text, 0 }, { "cast_bignumeric", "I:G", text_of_int, 0 },
    { "cast_bignumeric", "N:G", text_of_numeric, 0 },
    { "parse_bignumeric", "S:G", parse_bignumeric, 0 },
    { "cast_string", "S:S", same_text, 0 }, { "cast_string", "I:S", text_of_int, 0 }, { "cast_string", "F:S", text_of_float, 0 },
    { "cast_string", "B:S", text_of_bool, 0 }, { "cast_string", "N:S", text_of_numeric, 0 }, { "cast_string", "G:S", same_text, 0 },
    { "cast_string", "D:S", text_of_date, 0 }, { "cast_string", "T:S", text_of_time, 0 }, { "cast_string", "M:S", text_of_datetime, 0 },
    { "cast_string", "Z:S", text_of_timestamp, 0 }, { "cast_string", "ZS:S", text_of_timestamp, 0 },
    { "cast_string", "Y:S", text_of_bytes, 0 }, { "cast_string", "V:S", text_of_interval, 0 }, { "cast_string", "R:S", same_text, 0 },
    { "string", "D:S", text_of_date, 0 }, { "string", "T:S", text_of_time, 0 }, { "string", "M:S", text_of_datetime, 0 },
    { "string", "Z:S", text_of_timestamp, 0 }, { "string", "ZS:S", text_of_timestamp, 0 },
    { "cast_bytes", "Y:Y", same_text, 0 }, { "cast_bytes", "S:Y", same_text, 0 },
    { "cast_date", "D:D", same_date, 0 }, { "cast_date", "M:D", date_of_us, 0 }, { "cast_date", "Z:D", date_of_us, 0 },
    { "cast_date", "S:D", date_of_text, 0 },
    { "date", "S:D", date_of_text, 0 },
    { "cast_time", "T:T", same_int, 0 }, { "cast_time", "M:T", time_of_us, 0 }, { "cast_time", "Z:T", time_of_us, 0 },
    { "cast_time", "S:T", time_of_text, 0 },
    { "cast_datetime", "M:M", same_int, 0 }, { "cast_datetime", "D:M", us_of_date, 0 }, { "cast_datetime", "Z:M", same_int, 0 },
    { "cast_datetime", "S:M", datetime_of_text, 0 },
    { "datetime", "S:M", datetime_of_text, 0 },
    { "cast_timestamp", "Z:Z", same_int, 0 }, { "cast_timestamp", "M:Z", same_int, 0 }, { "cast_timestamp", "D:Z", us_of_date, 0 },
    { "cast_timestamp", "S:Z", timestamp_of_text, 0 }, { "cast_timestamp", "SS:Z", timestamp_of_text, 0 },
    { "timestamp", "S:Z", timestamp_of_text, 0 }, { "timestamp", "SS:Z", timestamp_of_text, 0 },
    { "cast_interval", "V:V", same_interval, 0 },
};
// clang-format on
const struct function_table functions_cast = FUNCTION_TABLE(rows);
