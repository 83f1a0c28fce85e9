/* part.c -- part.h */
#include "store/tables/duckdb/functions/part.h"

#include <assert.h>

#include "base/mem.h"

static const char *const kinds[] = {
#define X(name) #name,
    PARTS(X)
#undef X
};

static const char *const weekdays[] = { "SUNDAY",   "MONDAY", "TUESDAY", "WEDNESDAY",
                                        "THURSDAY", "FRIDAY", "SATURDAY" };

bool part_read(struct str name, struct part *out)
{
    *out = (struct part){ 0 };
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (str_eq_c(name, kinds[i])) {
            out->kind = (enum part_kind)i;
            return true;
        }
    if (!str_starts(name, STR("WEEK(")) || !str_ends(name, STR(")")))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(weekdays); i++)
        if (str_eq_c(str_sub(name, 5, name.len - 6), weekdays[i])) {
            *out = (struct part){ PART_WEEK, (int)i };
            return true;
        }
    return false;
}

int64_t part_us(enum part_kind kind)
{
    static const int64_t us[PART_COUNT] = {
        [PART_MICROSECOND] = 1,         [PART_MILLISECOND] = 1000,      [PART_SECOND] = SECOND_US,
        [PART_MINUTE] = 60 * SECOND_US, [PART_HOUR] = 3600 * SECOND_US, [PART_DAY] = CIVIL_DAY_US,
    };

    return us[kind];
}

int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

int part_weekday(int64_t days)
{
    return (int)(days + 4 - floor_div(days + 4, 7) * 7); /* 1970-01-01 was a Thursday */
}

int part_yearday(int64_t days)
{
    int64_t year;
    int month, day;

    civil_date(days, &year, &month, &day);
    return (int)(days - civil_days(year, 1, 1)) + 1;
}

int part_month_days(int64_t year, int month)
{
    int64_t next = month == 12 ? civil_days(year + 1, 1, 1) : civil_days(year, month + 1, 1);

    return (int)(next - civil_days(year, month, 1));
}

int part_week(int64_t days, int begin)
{
    int since = (part_weekday(days) - begin + 7) % 7;

    return (part_yearday(days) - 1 - since + 7) / 7;
}

/* ISO's week belongs to the year of its Thursday. */
void part_iso(int64_t days, int64_t *year, int *week)
{
    int64_t thursday = days - (part_weekday(days) + 6) % 7 + 3;
    int month, day;

    civil_date(thursday, year, &month, &day);
    *week = (part_yearday(thursday) - 1) / 7 + 1;
}

static int64_t iso_year_begin(int64_t year)
{
    int64_t fourth = civil_days(year, 1, 4); /* is always in week 1 */

    return fourth - (part_weekday(fourth) + 6) % 7;
}

static int week_begin(struct part p)
{
    return p.kind == PART_ISOWEEK ? 1 : p.begin;
}

int64_t part_trunc_day(struct part p, int64_t days)
{
    int64_t year;
    int month, day, week;

    civil_date(days, &year, &month, &day);
    switch (p.kind) {
    case PART_WEEK:
    case PART_ISOWEEK:
        return days - (part_weekday(days) - week_begin(p) + 7) % 7;
    case PART_MONTH:
        return days - day + 1;
    case PART_QUARTER:
        return civil_days(year, (month - 1) / 3 * 3 + 1, 1);
    case PART_YEAR:
        return civil_days(year, 1, 1);
    case PART_ISOYEAR:
        part_iso(days, &year, &week);
        return iso_year_begin(year);
    default:
        return days;
    }
}

int64_t part_next_day(struct part p, int64_t days)
{
    int64_t begin = part_trunc_day(p, days), year;
    int week;

    switch (p.kind) {
    case PART_WEEK:
    case PART_ISOWEEK:
        return begin + 7;
    case PART_MONTH:
        return part_add_months(begin, 1);
    case PART_QUARTER:
        return part_add_months(begin, 3);
    case PART_YEAR:
        return part_add_months(begin, 12);
    case PART_ISOYEAR:
        part_iso(days, &year, &week);
        return iso_year_begin(year + 1);
    default:
        return begin + 1;
    }
}

int64_t part_diff_days(struct part p, int64_t a, int64_t b)
{
    int64_t years[2];
    int months[2], day, week;

    civil_date(a, &years[0], &months[0], &day);
    civil_date(b, &years[1], &months[1], &day);
    switch (p.kind) {
    case PART_WEEK:
    case PART_ISOWEEK:
        return floor_div(a + 4 - week_begin(p), 7) - floor_div(b + 4 - week_begin(p), 7);
    case PART_MONTH:
        return (years[0] - years[1]) * 12 + months[0] - months[1];
    case PART_QUARTER:
        return (years[0] - years[1]) * 4 + (months[0] - 1) / 3 - (months[1] - 1) / 3;
    case PART_YEAR:
        return years[0] - years[1];
    case PART_ISOYEAR:
        part_iso(a, &years[0], &week);
        part_iso(b, &years[1], &week);
        return years[0] - years[1];
    default:
        return a - b;
    }
}

int64_t part_add_months(int64_t days, int64_t n)
{
    int64_t year;
    int month, day;

    assert(n < INT64_C(1000000) && n > -INT64_C(1000000));
    civil_date(days, &year, &month, &day);
    int64_t months = year * 12 + month - 1 + n;
    year = floor_div(months, 12);
    month = (int)(months - year * 12) + 1;
    int last = part_month_days(year, month);
    return civil_days(year, month, day < last ? day : last);
}
