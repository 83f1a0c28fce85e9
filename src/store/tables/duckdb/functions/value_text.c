/* value_text.c -- value_text.h */
#include "store/tables/duckdb/functions/value_text.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "store/tables/duckdb/functions/part.h"

#define NUMBER_BYTES ((size_t)64)

void text_add_float(struct buf *out, double v)
{
    char text[NUMBER_BYTES];

    if (isnan(v) || isinf(v)) {
        buf_add_c(out, isnan(v) ? "nan" : v > 0 ? "inf" : "-inf");
        return;
    }
    (void)snprintf(text, sizeof text, "%.15g", v == 0 ? 0 : v);
    if (strtod(text, NULL) != v)
        (void)snprintf(text, sizeof text, "%.17g", v);
    buf_add_c(out, text);
}

void text_add_point(struct buf *out, double v)
{
    size_t from = out->len;

    text_add_float(out, v);
    if (isfinite(v) && buf_ok(out) && !strpbrk(out->p + from, ".e"))
        buf_add_c(out, ".0");
}

void text_add_date(struct buf *out, int64_t days)
{
    char text[CIVIL_BYTES];

    civil_write_date(days, text);
    buf_add_c(out, text);
}

static void add_fraction(struct buf *out, int64_t us)
{
    int64_t fraction = us - floor_div(us, SECOND_US) * SECOND_US;

    if (fraction % 1000)
        buf_addf(out, ".%06lld", (long long)fraction);
    else if (fraction)
        buf_addf(out, ".%03lld", (long long)fraction / 1000);
}

void text_add_time(struct buf *out, int64_t us)
{
    int64_t s = us / SECOND_US;

    buf_addf(out, "%02lld:%02lld:%02lld", (long long)s / 3600, (long long)s / 60 % 60,
             (long long)s % 60);
    add_fraction(out, us);
}

void text_add_datetime(struct buf *out, int64_t us)
{
    int64_t days = floor_div(us, CIVIL_DAY_US);

    text_add_date(out, days);
    buf_add_char(out, ' ');
    text_add_time(out, us - days * CIVIL_DAY_US);
}

void text_add_timestamp(struct buf *out, int64_t us, const struct zone *z)
{
    int64_t local = z ? zone_local(z, us) : us, minutes = (local - us) / (60 * SECOND_US);
    int64_t size = minutes < 0 ? -minutes : minutes;

    text_add_datetime(out, local);
    buf_addf(out, "%c%02lld", minutes < 0 ? '-' : '+', (long long)size / 60);
    if (size % 60)
        buf_addf(out, ":%02lld", (long long)size % 60);
}

void text_add_interval(struct buf *out, duckdb_interval v)
{
    int64_t us = v.micros < 0 ? -v.micros : v.micros, s = us / SECOND_US;
    int months = v.months < 0 ? -v.months : v.months;

    buf_addf(out, "%s%d-%d %d %s%lld:%lld:%lld", v.months < 0 ? "-" : "", months / 12, months % 12,
             v.days, v.micros < 0 ? "-" : "", (long long)s / 3600, (long long)s / 60 % 60,
             (long long)s % 60);
    add_fraction(out, us);
}

/* ---- Reading ---- */

/* A C string of a text without white space around it; false: empty or too long. */
static bool c_text(struct str s, char out[NUMBER_BYTES * 8])
{
    struct str t = str_trim(s);

    if (!t.len || t.len >= NUMBER_BYTES * 8 || memchr(t.p, '\0', t.len))
        return false;
    memcpy(out, t.p, t.len);
    out[t.len] = '\0';
    return true;
}

bool text_read_int(struct str s, int64_t *out)
{
    char text[NUMBER_BYTES * 8], *end;

    if (!c_text(s, text))
        return false;
    const char *digits = text + (text[0] == '-' || text[0] == '+');
    bool hex = digits[0] == '0' && (digits[1] | 32) == 'x';
    if (digits[0] < '0' || digits[0] > '9')
        return false;
    errno = 0;
    *out = strtoll(text, &end, hex ? 16 : 10);
    return errno == 0 && !*end;
}

bool text_read_float(struct str s, double *out)
{
    char text[NUMBER_BYTES * 8], *end;

    if (!c_text(s, text) || strpbrk(text, "xXpP("))
        return false;
    *out = strtod(text, &end);
    return end != text && !*end && (isfinite(*out) || strpbrk(text, "iIaA"));
}

bool text_read_bool(struct str s, bool *out)
{
    char text[NUMBER_BYTES * 8];

    if (!c_text(s, text))
        return false;
    *out = strcasecmp(text, "true") == 0;
    return *out || strcasecmp(text, "false") == 0;
}

/* The zone's name at the end, after a space: "... America/New_York". */
static struct str zone_name(struct str s)
{
    struct str last = str_after_last(s, ' ');

    if (last.len == s.len || !last.len || !(((last.p[0] | 32) >= 'a' && (last.p[0] | 32) <= 'z')))
        return (struct str){ 0 };
    return last;
}

bool text_read_timestamp(struct str s, const struct zone *z, int64_t *out, struct str *bad_zone)
{
    struct str text = str_trim(s), name = zone_name(text);
    int64_t local;

    *bad_zone = (struct str){ 0 };
    if (name.len && !str_eq(name, STR("UTC"))) {
        z = zone_find(name);
        text = str_trim(str_sub(text, 0, text.len - name.len));
        if (!z)
            *bad_zone = name;
        if (!z || !civil_read_datetime(text, &local))
            return false;
        *out = zone_utc(z, local);
        return true;
    }
    if (z && civil_read_datetime(text, &local)) {
        *out = zone_utc(z, local);
        return true;
    }
    return civil_read_timestamp(text, out);
}
