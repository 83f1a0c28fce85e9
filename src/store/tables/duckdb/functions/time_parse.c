/* time_parse.c -- PARSE_DATE, PARSE_TIMESTAMP and the like: times read by a pattern of % letters. */
#include "store/tables/duckdb/functions/pattern.h"

#include <string.h>
#include <strings.h>

#include "store/tables/duckdb/functions/part.h"

struct reading {
    struct str rest;
    int64_t year, month, day, yearday, hour, minute, second, us, seconds_1970, century;
    int64_t iso_year, iso_week, week_sunday, week_monday, weekday; /* weekday: 0 is Sunday */
    bool pm, twelve, has_offset, has_zone;
    int64_t offset_s;
    struct str zone;
};
#define UNSET INT64_MIN

static void skip_space(struct str *s)
{
    while (s->len && is_blank(s->p[0]))
        *s = str_sub(*s, 1, s->len);
}

/* A number of at most `width` digits. */
static bool read_number(struct str *s, size_t width, int64_t min, int64_t max, int64_t *out)
{
    size_t n = 0;

    *out = 0;
    while (n < width && n < s->len && s->p[n] >= '0' && s->p[n] <= '9')
        *out = *out * 10 + (s->p[n++] - '0');
    *s = str_sub(*s, n, s->len);
    return n > 0 && *out >= min && *out <= max;
}

/* A name or its first three letters, in any case. */
static bool read_name(struct str *s, const char *const *names, size_t count, int64_t *out)
{
    for (size_t i = 0; i < count; i++) {
        size_t len = strlen(names[i]);
        size_t n = s->len >= len && strncasecmp(s->p, names[i], len) == 0 ? len
                   : s->len >= 3 && strncasecmp(s->p, names[i], 3) == 0   ? 3
                                                                          : 0;
        if (n) {
            *out = (int64_t)i;
            *s = str_sub(*s, n, s->len);
            return true;
        }
    }
    return false;
}

static bool read_year(struct str *s, int64_t *out)
{
    return read_number(s, 4, 0, 9999, out);
}

static bool read_offset(struct reading *r)
{
    struct str *s = &r->rest;
    int64_t hours, minutes = 0;

    if (s->len && (s->p[0] | 32) == 'z') {
        *s = str_sub(*s, 1, s->len);
        r->has_offset = true;
        return true;
    }
    if (!s->len || (s->p[0] != '+' && s->p[0] != '-'))
        return false;
    int sign = s->p[0] == '-' ? -1 : 1;
    *s = str_sub(*s, 1, s->len);
    if (!read_number(s, 2, 0, 14, &hours))
        return false;
    if (s->len && s->p[0] == ':')
        *s = str_sub(*s, 1, s->len);
    if (s->len && s->p[0] >= '0' && s->p[0] <= '9' && !read_number(s, 2, 0, 59, &minutes))
        return false;
    r->offset_s = sign * (hours * 3600 + minutes * 60);
    r->has_offset = true;
    return true;
}

static bool read_zone(struct reading *r)
{
    size_t n = 0;

    while (n < r->rest.len &&
           (strchr("/_+-:", r->rest.p[n]) || (r->rest.p[n] >= '0' && r->rest.p[n] <= '9') ||
            ((r->rest.p[n] | 32) >= 'a' && (r->rest.p[n] | 32) <= 'z')))
        n++;
    r->zone = str_sub(r->rest, 0, n);
    r->rest = str_sub(r->rest, n, r->rest.len);
    r->has_zone = n > 0;
    return n > 0;
}

static bool read_fraction(struct reading *r, size_t digits_max)
{
    int64_t unit = 100000;
    size_t n = 0;

    if (!r->rest.len || r->rest.p[0] != '.' || !digits_max)
        return true;
    r->rest = str_sub(r->rest, 1, r->rest.len);
    r->us = 0;
    for (; n < digits_max && n < r->rest.len && r->rest.p[n] >= '0' && r->rest.p[n] <= '9';
         n++, unit /= 10)
        r->us += unit * (r->rest.p[n] - '0');
    r->rest = str_sub(r->rest, n, r->rest.len);
    return true;
}

static bool read_date_letter(struct reading *r, char letter, bool *known)
{
    struct str *s = &r->rest;
    int64_t v;

    switch (letter) {
    case 'A':
    case 'a':
        return read_name(s, pattern_weekdays, ARRAY_LEN(pattern_weekdays), &r->weekday);
    case 'B':
    case 'b':
    case 'h':
        if (!read_name(s, pattern_months, ARRAY_LEN(pattern_months), &v))
            return false;
        r->month = v + 1;
        return true;
    case 'C':
        return read_number(s, 2, 0, 99, &r->century);
    case 'd':
    case 'e':
        skip_space(s);
        return read_number(s, 2, 1, 31, &r->day);
    case 'G':
        return read_year(s, &r->iso_year);
    case 'J':
    case 'j':
        return read_number(s, 3, 1, 366, &r->yearday);
    case 'm':
        return read_number(s, 2, 1, 12, &r->month);
    case 'Q':
        if (!read_number(s, 1, 1, 4, &v))
            return false;
        r->month = v * 3 - 2;
        return true;
    case 'U':
        return read_number(s, 2, 0, 53, &r->week_sunday);
    case 'W':
        return read_number(s, 2, 0, 53, &r->week_monday);
    case 'V':
        return read_number(s, 2, 1, 53, &r->iso_week);
    case 'u':
        if (!read_number(s, 1, 1, 7, &v))
            return false;
        r->weekday = v % 7;
        return true;
    case 'w':
        return read_number(s, 1, 0, 6, &r->weekday);
    case 'Y':
        return read_year(s, &r->year);
    case 'y':
        if (!read_number(s, 2, 0, 99, &v))
            return false;
        r->year = v + (v < 69 ? 2000 : 1900);
        return true;
    default:
        *known = false;
        return false;
    }
}

static bool read_half(struct reading *r)
{
    if (r->rest.len < 2 ||
        (strncasecmp(r->rest.p, "am", 2) != 0 && strncasecmp(r->rest.p, "pm", 2) != 0))
        return false;
    r->twelve = true;
    r->pm = (r->rest.p[0] | 32) == 'p';
    r->rest = str_sub(r->rest, 2, r->rest.len);
    return true;
}

static bool read_clock_letter(struct reading *r, char letter)
{
    struct str *s = &r->rest;

    switch (letter) {
    case 'H':
    case 'k':
        skip_space(s);
        return read_number(s, 2, 0, 23, &r->hour);
    case 'I':
    case 'l':
        skip_space(s);
        r->twelve = true;
        return read_number(s, 2, 1, 12, &r->hour);
    case 'M':
        return read_number(s, 2, 0, 59, &r->minute);
    case 'P':
    case 'p':
        return read_half(r);
    case 'S':
        return read_number(s, 2, 0, 60, &r->second);
    case 's':
        return read_number(s, 12, 0, INT64_MAX, &r->seconds_1970);
    case 'z':
        return read_offset(r);
    case 'Z':
        return read_zone(r);
    case '%':
        if (!s->len || s->p[0] != '%')
            return false;
        *s = str_sub(*s, 1, s->len);
        return true;
    case 'n':
    case 't':
        skip_space(s);
        return true;
    default:
        return false;
    }
}

/* As write_extended. */
static size_t read_extended(struct reading *r, struct str rest)
{
    if (str_starts(rest, STR("z")))
        return read_offset(r) ? 1 : 0;
    if (str_starts(rest, STR("4Y")))
        return read_number(&r->rest, 4, 0, 9999, &r->year) ? 2 : 0;
    if (rest.len < 2 || rest.p[1] != 'S' ||
        !(rest.p[0] == '*' || (rest.p[0] >= '0' && rest.p[0] <= '9')))
        return 0;
    size_t digits = rest.p[0] == '*' ? 9 : (size_t)(rest.p[0] - '0');
    return read_number(&r->rest, 2, 0, 60, &r->second) && read_fraction(r, digits) ? 2 : 0;
}

static bool read_pattern(struct reading *r, struct str pattern)
{
    for (size_t i = 0; i < pattern.len; i++) {
        char letter = i + 1 < pattern.len ? pattern.p[i + 1] : '\0';
        bool known = true;

        if (is_blank(pattern.p[i])) {
            skip_space(&r->rest);
            continue;
        }
        if (pattern.p[i] != '%' || !letter) {
            if (!r->rest.len || r->rest.p[0] != pattern.p[i])
                return false;
            r->rest = str_sub(r->rest, 1, r->rest.len);
            continue;
        }
        i++;
        if (letter == 'E') {
            size_t used = read_extended(r, str_sub(pattern, i + 1, pattern.len));
            if (!used)
                return false;
            i += used;
        } else if (pattern_expansion(letter)) {
            if (!read_pattern(r, str_of(pattern_expansion(letter))))
                return false;
        } else if (!read_date_letter(r, letter, &known) &&
                   (known || !read_clock_letter(r, letter))) {
            return false;
        }
    }
    return true;
}

static bool week_to_day(const struct reading *r, int64_t *days)
{
    int64_t weekday = r->weekday == UNSET ? 1 : r->weekday;

    if (r->iso_year != UNSET && r->iso_week != UNSET) {
        int64_t fourth = civil_days(r->iso_year, 1, 4);
        *days = fourth - (part_weekday(fourth) + 6) % 7 + (r->iso_week - 1) * 7 + (weekday + 6) % 7;
        return true;
    }
    int64_t week = r->week_sunday != UNSET ? r->week_sunday : r->week_monday;
    int begin = r->week_sunday != UNSET ? 0 : 1;
    if (week == UNSET)
        return false;
    int64_t first = civil_days(r->year == UNSET ? 1970 : r->year, 1, 1);
    int64_t first_week = first + (begin - part_weekday(first) + 7) % 7; /* begin of week 1 */
    *days = first_week + (week - 1) * 7 + (weekday - begin + 7) % 7;
    return true;
}

static bool day_of_reading(const struct reading *r, int64_t *days)
{
    int64_t year = r->year == UNSET ? 1970 : r->year, month = r->month == UNSET ? 1 : r->month;
    int64_t day = r->day == UNSET ? 1 : r->day;

    if (r->century != UNSET)
        year = r->century * 100 + (r->year == UNSET ? 0 : year % 100);
    if (r->month == UNSET && r->day == UNSET && week_to_day(r, days))
        return true;
    if (year < 1 || year > 9999)
        return false;
    if (r->yearday != UNSET) {
        *days = civil_days(year, 1, 1) + r->yearday - 1;
        return r->yearday <= 365 || part_month_days(year, 2) == 29;
    }
    if (day > part_month_days(year, (int)month))
        return false;
    *days = civil_days(year, (int)month, (int)day);
    return true;
}

static bool us_of_reading(const struct reading *r, int64_t *us)
{
    int64_t days, hour = r->hour == UNSET ? 0 : r->hour;

    if (r->seconds_1970 != UNSET) {
        *us = r->seconds_1970 * SECOND_US + r->us;
        return r->seconds_1970 <= CIVIL_MAX_US / SECOND_US;
    }
    if (!day_of_reading(r, &days))
        return false;
    if (r->twelve)
        hour = hour % 12 + (r->pm ? 12 : 0);
    *us = days * CIVIL_DAY_US +
          (hour * 3600 + (r->minute == UNSET ? 0 : r->minute) * 60 +
           (r->second == UNSET ? 0 : r->second)) *
              SECOND_US +
          r->us;
    return *us >= CIVIL_MIN_US && *us <= CIVIL_MAX_US;
}

/* Sets the error when the text is not as the pattern says. */
static bool parse(struct call *c, struct reading *r, int64_t *us)
{
    *r = (struct reading){ arg_text(c, 1), UNSET, UNSET, UNSET, UNSET, UNSET, UNSET, UNSET, 0,
                           UNSET,          UNSET, UNSET, UNSET, UNSET, UNSET, UNSET, false, false,
                           false,          false, 0,     { 0 } };
    skip_space(&r->rest);
    if (!read_pattern(r, arg_text(c, 0))) {
        (void)call_refuse(c, "Failed to parse input string \"%.*s\"",
                          STR_ARG(str_cut(arg_text(c, 1), 200)));
        return false;
    }
    skip_space(&r->rest);
    if (r->rest.len) {
        (void)call_refuse(c, "Failed to parse input string \"%.*s\"",
                          STR_ARG(str_cut(arg_text(c, 1), 200)));
        return false;
    }
    if (us_of_reading(r, us))
        return true;
    (void)call_refuse(c, "Invalid result from parsing function");
    return false;
}

static enum call_outcome parse_date(struct call *c)
{
    struct reading r;
    int64_t us;

    return parse(c, &r, &us) ? out_date(c, floor_div(us, CIVIL_DAY_US)) : CALL_ERROR;
}

static enum call_outcome parse_datetime(struct call *c)
{
    struct reading r;
    int64_t us;

    return parse(c, &r, &us) ? out_int(c, us) : CALL_ERROR;
}

static enum call_outcome parse_time(struct call *c)
{
    struct reading r;
    int64_t us;

    return parse(c, &r, &us) ? out_int(c, us - floor_div(us, CIVIL_DAY_US) * CIVIL_DAY_US)
                             : CALL_ERROR;
}

static enum call_outcome parse_timestamp(struct call *c)
{
    struct reading r;
    int64_t us;
    const struct zone *z = pattern_zone(c, 2);

    if (!z || !parse(c, &r, &us))
        return CALL_ERROR;
    if (r.seconds_1970 != UNSET)
        return out_int(c, us);
    if (r.has_offset) {
        us -= r.offset_s * SECOND_US;
    } else {
        if (r.has_zone && !(z = zone_find(r.zone)))
            return call_refuse(c, "Invalid time zone: %.*s", STR_ARG(str_cut(r.zone, 100)));
        us = zone_utc(z, us);
    }
    return us < CIVIL_MIN_US || us > CIVIL_MAX_US
               ? call_refuse(c, "Invalid result from parsing function")
               : out_int(c, us);
}

// clang-format off
static const struct function rows[] = {
    { "parse_date", "SS:D", parse_date, 0 },
    { "parse_datetime", "SS:M", parse_datetime, 0 },
    { "parse_time", "SS:T", parse_time, 0 },
    { "parse_timestamp", "SS:Z", parse_timestamp, 0 }, { "parse_timestamp", "SSS:Z", parse_timestamp, 0 },
};
// clang-format on
const struct function_table functions_time_parse = FUNCTION_TABLE(rows);
