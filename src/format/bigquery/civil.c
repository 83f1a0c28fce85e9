#include "format/bigquery/civil.h"

#include <inttypes.h>
#include <stdio.h>

#define US_PER_S INT64_C(1000000)
#define FRACTION_DIGITS 6

int64_t civil_days(int64_t year, int month, int day)
{
    int64_t y = year - (month <= 2);
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t of_era = y - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

void civil_date(int64_t days, int64_t *year, int *month, int *day)
{
    int64_t z = days + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t of_era = z - era * 146097;
    int64_t y = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * y + y / 4 - y / 100);
    int64_t m = (5 * of_year + 2) / 153;

    *day = (int)(of_year - (153 * m + 2) / 5 + 1);
    *month = (int)(m < 10 ? m + 3 : m - 9);
    *year = y + era * 400 + (*month <= 2);
}

/* Takes a number of least to most digits off *s. */
static bool take_number(struct str *s, size_t least, size_t most, int64_t *out)
{
    size_t n = 0;

    *out = 0;
    while (n < s->len && n < most && s->p[n] >= '0' && s->p[n] <= '9')
        *out = *out * 10 + (s->p[n++] - '0');
    *s = str_sub(*s, n, s->len);
    return n >= least;
}

static bool take_char(struct str *s, char c)
{
    if (s->len == 0 || s->p[0] != c)
        return false;
    *s = str_sub(*s, 1, s->len);
    return true;
}

static int month_days(int64_t year, int64_t month)
{
    static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

    return days[month - 1] + (month == 2 && leap);
}

static bool take_date(struct str *s, int64_t *days)
{
    int64_t year, month, day;

    if (!take_number(s, 4, 4, &year) || !take_char(s, '-') || !take_number(s, 1, 2, &month) ||
        !take_char(s, '-') || !take_number(s, 1, 2, &day))
        return false;
    if (year < 1 || month < 1 || month > 12 || day < 1 || day > month_days(year, month))
        return false;
    *days = civil_days(year, (int)month, (int)day);
    return true;
}

/* Up to 6 digits; more are only taken when they are zeros, which clients with nanoseconds send. */
static bool take_fraction(struct str *s, int64_t *us)
{
    size_t n = 0;

    *us = 0;
    if (!take_char(s, '.'))
        return true;
    for (; s->len > 0 && s->p[0] >= '0' && s->p[0] <= '9'; n++) {
        if (n < FRACTION_DIGITS)
            *us = *us * 10 + (s->p[0] - '0');
        else if (s->p[0] != '0')
            return false;
        *s = str_sub(*s, 1, s->len);
    }
    for (size_t i = n; i < FRACTION_DIGITS; i++)
        *us *= 10;
    return n > 0;
}

static bool take_time(struct str *s, int64_t *us)
{
    int64_t hour, minute, second = 0, fraction = 0;

    if (!take_number(s, 1, 2, &hour) || !take_char(s, ':') || !take_number(s, 1, 2, &minute))
        return false;
    if (take_char(s, ':') && (!take_number(s, 1, 2, &second) || !take_fraction(s, &fraction)))
        return false;
    if (hour > 23 || minute > 59 || second > 59)
        return false;
    *us = ((hour * 60 + minute) * 60 + second) * US_PER_S + fraction;
    return true;
}

static bool take_datetime(struct str *s, int64_t *us)
{
    int64_t days, of_day = 0;

    if (!take_date(s, &days))
        return false;
    struct str rest = *s;
    bool separated = take_char(&rest, 'T') || take_char(&rest, 't') || take_char(&rest, ' ');
    if (separated && rest.len > 0 && rest.p[0] >= '0' && rest.p[0] <= '9') {
        if (!take_time(&rest, &of_day))
            return false;
        *s = rest;
    }
    *us = days * CIVIL_DAY_US + of_day;
    return true;
}

/* "Z", "UTC", "+2", "+02", "+02:00" and "+0200" as microseconds; nothing is UTC. */
static bool take_zone(struct str *s, int64_t *us)
{
    int64_t hour, minute = 0;

    *us = 0;
    (void)take_char(s, ' ');
    if (take_char(s, 'Z') || take_char(s, 'z') || s->len == 0)
        return true;
    if (str_starts(*s, STR("UTC"))) {
        *s = str_sub(*s, 3, s->len);
        return true;
    }
    bool minus = s->p[0] == '-';
    if (!take_char(s, '+') && !take_char(s, '-'))
        return false;
    if (!take_number(s, 1, 2, &hour))
        return false;
    (void)take_char(s, ':');
    if (s->len > 0 && !take_number(s, 2, 2, &minute))
        return false;
    if (hour > 14 || minute > 59)
        return false;
    *us = (hour * 60 + minute) * 60 * US_PER_S * (minus ? -1 : 1);
    return true;
}

bool civil_read_date(struct str text, int64_t *days)
{
    return take_date(&text, days) && text.len == 0;
}

bool civil_read_time(struct str text, int64_t *us)
{
    return take_time(&text, us) && text.len == 0;
}

bool civil_read_datetime(struct str text, int64_t *us)
{
    return take_datetime(&text, us) && text.len == 0;
}

bool civil_read_timestamp(struct str text, int64_t *us)
{
    int64_t local, zone;

    if (!take_datetime(&text, &local) || !take_zone(&text, &zone) || text.len > 0)
        return false;
    *us = local - zone;
    return *us >= CIVIL_MIN_US && *us <= CIVIL_MAX_US;
}

void civil_write_date(int64_t days, char text[CIVIL_BYTES])
{
    int64_t year;
    int month, day;

    civil_date(days, &year, &month, &day);
    (void)snprintf(text, CIVIL_BYTES, "%04" PRId64 "-%02d-%02d", year, month, day);
}

void civil_write_time(int64_t us, char text[CIVIL_BYTES])
{
    int64_t s = us / US_PER_S, fraction = us % US_PER_S;
    int n = snprintf(text, CIVIL_BYTES, "%02" PRId64 ":%02" PRId64 ":%02" PRId64, s / 3600,
                     s / 60 % 60, s % 60);

    if (fraction != 0 && n > 0)
        (void)snprintf(text + n, (size_t)(CIVIL_BYTES - n), ".%06" PRId64, fraction);
}

void civil_write_datetime(int64_t us, char between, char text[CIVIL_BYTES])
{
    int64_t days = us / CIVIL_DAY_US - (us % CIVIL_DAY_US < 0);
    char date[CIVIL_BYTES], time[CIVIL_BYTES];

    civil_write_date(days, date);
    civil_write_time(us - days * CIVIL_DAY_US, time);
    (void)snprintf(text, CIVIL_BYTES, "%.20s%c%.20s", date, between, time);
}
