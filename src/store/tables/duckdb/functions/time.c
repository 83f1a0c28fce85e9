/* time.c -- functions on DATE, TIME, DATETIME and TIMESTAMP: make, add, subtract, truncate, extract, arrays.
 *
 * Shape:   a DATETIME and a TIMESTAMP are both microseconds since 1970 here; a function with a time zone goes
 *          over the local time. TIMESTAMP_DIFF counts whole parts, the other differences count boundaries.
 */
#include <stdio.h>

#include "store/tables/duckdb/functions/call.h"
#include "store/tables/duckdb/functions/part.h"
#include "store/tables/duckdb/functions/zone.h"

#define MONTHS_MAX 120000 /* more lead out of the years 1 to 9999 from anywhere */

/* ---- Reading arguments ---- */

/* Sets the error and returns NULL when argument i names no zone. */
static const struct zone *arg_zone(struct call *c, uint32_t i)
{
    const struct zone *z = zone_find(arg_text(c, i));

    if (!z)
        (void)call_refuse(c, "Invalid time zone: %.*s", STR_ARG(str_cut(arg_text(c, i), 100)));
    return z;
}

static bool arg_part(struct call *c, uint32_t i, struct part *out)
{
    if (part_read(arg_text(c, i), out))
        return true;
    (void)call_refuse(c, "A valid date part name is required but found %.*s",
                      STR_ARG(str_cut(arg_text(c, i), 100)));
    return false;
}

static enum call_outcome bad_part(struct call *c, const char *function, const char *type,
                                  uint32_t i)
{
    return call_refuse(c, "%s does not support the %.*s date part when the argument is %s type",
                       function, STR_ARG(arg_text(c, i)), type);
}

static bool days_ok(int64_t days)
{
    return days >= CIVIL_MIN_US / CIVIL_DAY_US && days <= CIVIL_MAX_US / CIVIL_DAY_US;
}

static enum call_outcome out_days(struct call *c, int64_t days)
{
    return days_ok(days)
               ? out_date(c, days)
               : call_refuse(c, "Date overflow: the result is not in the years 1 to 9999");
}

static enum call_outcome out_us(struct call *c, int64_t us)
{
    if (us < CIVIL_MIN_US || us > CIVIL_MAX_US)
        return call_refuse(c, "Timestamp overflow: the result is not in the years 1 to 9999");
    return out_int(c, us);
}

static int64_t day_of(int64_t us)
{
    return floor_div(us, CIVIL_DAY_US);
}

static int64_t time_of(int64_t us)
{
    return us - day_of(us) * CIVIL_DAY_US;
}

/* A literal as a DATE. */
static bool arg_literal(struct call *c, uint32_t i, int64_t *days)
{
    if (civil_read_date(str_trim(arg_text(c, i)), days))
        return true;
    (void)call_refuse(c, "Could not cast literal \"%.*s\" to type DATE",
                      STR_ARG(str_cut(arg_text(c, i), 100)));
    return false;
}

/* ---- Addition ---- */

/* n of a part from DAY up added to a day; false: too far. */
static bool add_to_day(struct part p, int64_t days, int64_t n, int64_t *out)
{
    int64_t months = p.kind == PART_MONTH     ? 1
                     : p.kind == PART_QUARTER ? 3
                     : p.kind == PART_YEAR    ? 12
                                              : 0;

    if (n > INT64_C(100000000) || n < -INT64_C(100000000))
        return false;
    if (months && (n * months > MONTHS_MAX || n * months < -MONTHS_MAX))
        return false;
    *out = months ? part_add_months(days, n * months)
                  : days + n * (p.kind == PART_WEEK || p.kind == PART_ISOWEEK ? 7 : 1);
    return days_ok(*out);
}

/* sign: 1 adds, -1 subtracts. */
static bool signed_count(struct call *c, uint32_t i, int sign, int64_t *out)
{
    return !__builtin_mul_overflow(arg_int(c, i), sign, out);
}

static enum call_outcome date_add_to(struct call *c, int64_t date, int sign)
{
    struct part p;
    int64_t n, days;

    if (!arg_part(c, 2, &p))
        return CALL_ERROR;
    if (p.kind < PART_DAY || p.kind > PART_YEAR)
        return bad_part(c, "DATE_ADD", "DATE", 2);
    if (!signed_count(c, 1, sign, &n) || !add_to_day(p, date, n, &days))
        return call_refuse(c, "Adding %lld %.*s to date causes overflow", (long long)arg_int(c, 1),
                           STR_ARG(arg_text(c, 2)));
    return out_date(c, days);
}

static enum call_outcome time_add_signed(struct call *c, int sign, bool calendar)
{
    struct part p;
    int64_t us = arg_int(c, 0), n, days, by;

    if (!arg_part(c, 2, &p))
        return CALL_ERROR;
    if (p.kind > PART_YEAR || (!calendar && p.kind > PART_DAY))
        return bad_part(c, "TIMESTAMP_ADD", "TIMESTAMP", 2);
    if (!signed_count(c, 1, sign, &n))
        return call_refuse(c, "Adding an interval causes overflow");
    if (p.kind > PART_DAY) {
        if (!add_to_day(p, day_of(us), n, &days))
            return call_refuse(c, "Adding %lld %.*s causes overflow", (long long)n,
                               STR_ARG(arg_text(c, 2)));
        return out_us(c, days * CIVIL_DAY_US + time_of(us));
    }
    if (__builtin_mul_overflow(n, part_us(p.kind), &by) || __builtin_add_overflow(us, by, &us))
        return call_refuse(c, "Adding %lld %.*s causes overflow", (long long)n,
                           STR_ARG(arg_text(c, 2)));
    return out_us(c, us);
}

static enum call_outcome date_add(struct call *c)
{
    return date_add_to(c, arg_date(c, 0), 1);
}

static enum call_outcome date_sub(struct call *c)
{
    return date_add_to(c, arg_date(c, 0), -1);
}

static enum call_outcome literal_add(struct call *c)
{
    int64_t date;

    return arg_literal(c, 0, &date) ? date_add_to(c, date, 1) : CALL_ERROR;
}

static enum call_outcome literal_sub(struct call *c)
{
    int64_t date;

    return arg_literal(c, 0, &date) ? date_add_to(c, date, -1) : CALL_ERROR;
}

static enum call_outcome datetime_add(struct call *c)
{
    return time_add_signed(c, 1, true);
}

static enum call_outcome datetime_sub(struct call *c)
{
    return time_add_signed(c, -1, true);
}

static enum call_outcome timestamp_add(struct call *c)
{
    return time_add_signed(c, 1, false);
}

static enum call_outcome timestamp_sub(struct call *c)
{
    return time_add_signed(c, -1, false);
}

/* A time of day goes round. */
static enum call_outcome clock_add_signed(struct call *c, int sign)
{
    struct part p;

    if (!arg_part(c, 2, &p))
        return CALL_ERROR;
    if (p.kind > PART_HOUR)
        return bad_part(c, "TIME_ADD", "TIME", 2);
    int128 us = (int128)arg_int(c, 0) + (int128)arg_int(c, 1) * sign * part_us(p.kind);
    int64_t rest = (int64_t)(us % CIVIL_DAY_US);
    return out_int(c, rest < 0 ? rest + CIVIL_DAY_US : rest);
}

static enum call_outcome clock_add(struct call *c)
{
    return clock_add_signed(c, 1);
}

static enum call_outcome clock_sub(struct call *c)
{
    return clock_add_signed(c, -1);
}

/* ---- Differences ---- */

static enum call_outcome date_diff_of(struct call *c, int64_t a, int64_t b)
{
    struct part p;

    if (!arg_part(c, 2, &p))
        return CALL_ERROR;
    if (p.kind < PART_DAY || p.kind > PART_ISOYEAR)
        return bad_part(c, "DATE_DIFF", "DATE", 2);
    return out_int(c, part_diff_days(p, a, b));
}

static enum call_outcome date_diff(struct call *c)
{
    return date_diff_of(c, arg_date(c, 0), arg_date(c, 1));
}

static enum call_outcome literal_diff(struct call *c)
{
    int64_t a, b;

    return arg_literal(c, 0, &a) && arg_literal(c, 1, &b) ? date_diff_of(c, a, b) : CALL_ERROR;
}

static enum call_outcome datetime_diff(struct call *c)
{
    struct part p;
    int64_t a = arg_int(c, 0), b = arg_int(c, 1), us;

    if (!arg_part(c, 2, &p))
        return CALL_ERROR;
    if (p.kind > PART_ISOYEAR)
        return bad_part(c, "DATETIME_DIFF", "DATETIME", 2);
    if (p.kind >= PART_DAY)
        return out_int(c, part_diff_days(p, day_of(a), day_of(b)));
    us = part_us(p.kind);
    return out_int(c, floor_div(a, us) - floor_div(b, us));
}

static enum call_outcome timestamp_diff(struct call *c)
{
    struct part p;

    if (!arg_part(c, 2, &p))
        return CALL_ERROR;
    if (p.kind > PART_DAY)
        return bad_part(c, "TIMESTAMP_DIFF", "TIMESTAMP", 2);
    return out_int(c, (arg_int(c, 0) - arg_int(c, 1)) / part_us(p.kind));
}

/* DATE_DIFF of two TIMESTAMPs: of their days in UTC. */
static enum call_outcome timestamp_date_diff(struct call *c)
{
    struct part p;

    if (!arg_part(c, 2, &p))
        return CALL_ERROR;
    return p.kind < PART_DAY ? timestamp_diff(c) : datetime_diff(c);
}

static enum call_outcome clock_diff(struct call *c)
{
    struct part p;

    if (!arg_part(c, 2, &p))
        return CALL_ERROR;
    return p.kind > PART_HOUR ? bad_part(c, "TIME_DIFF", "TIME", 2) : datetime_diff(c);
}

/* ---- Truncation ---- */

static enum call_outcome date_trunc_of(struct call *c, int64_t date)
{
    struct part p;

    if (!arg_part(c, 1, &p))
        return CALL_ERROR;
    if (p.kind < PART_DAY || p.kind > PART_ISOYEAR)
        return bad_part(c, "DATE_TRUNC", "DATE", 1);
    return out_days(c, part_trunc_day(p, date));
}

static enum call_outcome date_trunc(struct call *c)
{
    return date_trunc_of(c, arg_date(c, 0));
}

static enum call_outcome literal_trunc(struct call *c)
{
    int64_t date;

    return arg_literal(c, 0, &date) ? date_trunc_of(c, date) : CALL_ERROR;
}

static int64_t trunc_us(struct part p, int64_t us)
{
    if (p.kind >= PART_DAY)
        return part_trunc_day(p, day_of(us)) * CIVIL_DAY_US;
    return floor_div(us, part_us(p.kind)) * part_us(p.kind);
}

/* DATETIME and TIMESTAMP in UTC. */
static enum call_outcome datetime_trunc(struct call *c)
{
    struct part p;

    if (!arg_part(c, 1, &p))
        return CALL_ERROR;
    if (p.kind > PART_ISOYEAR)
        return bad_part(c, "TIMESTAMP_TRUNC", "TIMESTAMP", 1);
    return out_us(c, trunc_us(p, arg_int(c, 0)));
}

static enum call_outcome timestamp_trunc_zone(struct call *c)
{
    struct part p;
    const struct zone *z;

    if (!arg_part(c, 1, &p) || !(z = arg_zone(c, 2)))
        return CALL_ERROR;
    if (p.kind > PART_ISOYEAR)
        return bad_part(c, "TIMESTAMP_TRUNC", "TIMESTAMP", 1);
    int64_t local = zone_local(z, arg_int(c, 0));
    if (p.kind < PART_DAY) /* within an hour the offset stays, also in one that is there twice */
        return out_us(c, arg_int(c, 0) - (local - trunc_us(p, local)));
    return out_us(c, zone_utc(z, trunc_us(p, local)));
}

static enum call_outcome clock_trunc(struct call *c)
{
    struct part p;

    if (!arg_part(c, 1, &p))
        return CALL_ERROR;
    if (p.kind > PART_HOUR)
        return bad_part(c, "TIME_TRUNC", "TIME", 1);
    return out_int(c, trunc_us(p, arg_int(c, 0)));
}

static enum call_outcome last_day_of(struct call *c, int64_t days)
{
    struct part p = { PART_MONTH, 0 };

    if (c->arguments > 1 && !arg_part(c, 1, &p))
        return CALL_ERROR;
    if (p.kind < PART_WEEK || p.kind > PART_ISOYEAR)
        return bad_part(c, "LAST_DAY", "DATE", 1);
    return out_days(c, part_next_day(p, days) - 1);
}

static enum call_outcome last_day_date(struct call *c)
{
    return last_day_of(c, arg_date(c, 0));
}

static enum call_outcome last_day_datetime(struct call *c)
{
    return last_day_of(c, day_of(arg_int(c, 0)));
}

/* ---- Extraction ---- */

static bool extract_day(struct part p, int64_t days, int64_t *out)
{
    int64_t year, iso_year;
    int month, day, week;

    civil_date(days, &year, &month, &day);
    part_iso(days, &iso_year, &week);
    switch (p.kind) {
    case PART_DAY:
        *out = day;
        return true;
    case PART_WEEK:
        *out = part_week(days, p.begin);
        return true;
    case PART_ISOWEEK:
        *out = week;
        return true;
    case PART_MONTH:
        *out = month;
        return true;
    case PART_QUARTER:
        *out = (month - 1) / 3 + 1;
        return true;
    case PART_YEAR:
        *out = year;
        return true;
    case PART_ISOYEAR:
        *out = iso_year;
        return true;
    case PART_DAYOFWEEK:
        *out = part_weekday(days) + 1;
        return true;
    case PART_DAYOFYEAR:
        *out = part_yearday(days);
        return true;
    default:
        return false;
    }
}

static int64_t extract_clock(struct part p, int64_t us)
{
    int64_t time = time_of(us);

    switch (p.kind) {
    case PART_MICROSECOND:
        return time % SECOND_US;
    case PART_MILLISECOND:
        return time % SECOND_US / 1000;
    case PART_SECOND:
        return time / SECOND_US % 60;
    case PART_MINUTE:
        return time / (60 * SECOND_US) % 60;
    default:
        return time / (3600 * SECOND_US);
    }
}

static enum call_outcome extract_us(struct call *c, int64_t us, const char *type)
{
    struct part p;
    int64_t v;

    if (!arg_part(c, 1, &p))
        return CALL_ERROR;
    if (p.kind < PART_DAY)
        return out_int(c, extract_clock(p, us));
    return extract_day(p, day_of(us), &v) ? out_int(c, v) : bad_part(c, "EXTRACT", type, 1);
}

static enum call_outcome extract_date(struct call *c)
{
    struct part p;
    int64_t v;

    if (!arg_part(c, 1, &p))
        return CALL_ERROR;
    return extract_day(p, arg_date(c, 0), &v) ? out_int(c, v) : bad_part(c, "EXTRACT", "DATE", 1);
}

static enum call_outcome extract_time(struct call *c)
{
    struct part p;

    if (!arg_part(c, 1, &p))
        return CALL_ERROR;
    return p.kind > PART_HOUR ? bad_part(c, "EXTRACT", "TIME", 1)
                              : out_int(c, extract_clock(p, arg_int(c, 0)));
}

static enum call_outcome extract_datetime(struct call *c)
{
    return extract_us(c, arg_int(c, 0), "DATETIME");
}

static enum call_outcome extract_zone(struct call *c)
{
    const struct zone *z = arg_zone(c, 2);

    return z ? extract_us(c, zone_local(z, arg_int(c, 0)), "TIMESTAMP") : CALL_ERROR;
}

static enum call_outcome extract_interval(struct call *c)
{
    duckdb_interval v = arg_interval(c, 0);
    struct part p;

    if (!arg_part(c, 1, &p))
        return CALL_ERROR;
    switch (p.kind) {
    case PART_YEAR:
        return out_int(c, v.months / 12);
    case PART_MONTH:
        return out_int(c, v.months % 12);
    case PART_DAY:
        return out_int(c, v.days);
    case PART_HOUR:
        return out_int(c, v.micros / (3600 * SECOND_US));
    case PART_MINUTE:
        return out_int(c, v.micros / (60 * SECOND_US) % 60);
    case PART_SECOND:
        return out_int(c, v.micros / SECOND_US % 60);
    case PART_MILLISECOND:
        return out_int(c, v.micros / 1000 % 1000);
    case PART_MICROSECOND:
        return out_int(c, v.micros % SECOND_US);
    default:
        return bad_part(c, "EXTRACT", "INTERVAL", 1);
    }
}

/* ---- Making ---- */

static bool civil_ok(int64_t year, int64_t month, int64_t day)
{
    return year >= 1 && year <= 9999 && month >= 1 && month <= 12 && day >= 1 &&
           day <= part_month_days(year, (int)month);
}

static enum call_outcome date_of_parts(struct call *c)
{
    int64_t year = arg_int(c, 0), month = arg_int(c, 1), day = arg_int(c, 2);

    if (!civil_ok(year, month, day))
        return call_refuse(c, "Input calculates to invalid date: %04lld-%02lld-%02lld",
                           (long long)year, (long long)month, (long long)day);
    return out_date(c, civil_days(year, (int)month, (int)day));
}

/* Hours, minutes and seconds from argument i on; -1 with the error set. */
static int64_t arg_clock(struct call *c, uint32_t i)
{
    int64_t hour = arg_int(c, i), minute = arg_int(c, i + 1), second = arg_int(c, i + 2);

    if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60) {
        (void)call_refuse(c, "Input calculates to invalid time: %02lld:%02lld:%02lld",
                          (long long)hour, (long long)minute, (long long)second);
        return -1;
    }
    return (hour * 3600 + minute * 60 + second) * SECOND_US;
}

static enum call_outcome datetime_of_parts(struct call *c)
{
    int64_t clock = arg_clock(c, 3);

    if (!civil_ok(arg_int(c, 0), arg_int(c, 1), arg_int(c, 2)))
        return call_refuse(c, "Input calculates to invalid datetime");
    if (clock < 0)
        return CALL_ERROR;
    return out_us(c,
                  civil_days(arg_int(c, 0), (int)arg_int(c, 1), (int)arg_int(c, 2)) * CIVIL_DAY_US +
                      clock);
}

static enum call_outcome time_of_parts(struct call *c)
{
    int64_t clock = arg_clock(c, 0);

    return clock < 0 ? CALL_ERROR : out_int(c, clock % CIVIL_DAY_US);
}

static enum call_outcome same_date(struct call *c)
{
    return out_date(c, arg_date(c, 0));
}

static enum call_outcome same_us(struct call *c)
{
    return out_int(c, arg_int(c, 0));
}

static enum call_outcome date_of_us(struct call *c)
{
    return out_date(c, day_of(arg_int(c, 0)));
}

static enum call_outcome date_of_zone(struct call *c)
{
    const struct zone *z = arg_zone(c, 1);

    return z ? out_days(c, day_of(zone_local(z, arg_int(c, 0)))) : CALL_ERROR;
}

static enum call_outcome datetime_of_zone(struct call *c)
{
    const struct zone *z = arg_zone(c, 1);

    return z ? out_us(c, zone_local(z, arg_int(c, 0))) : CALL_ERROR;
}

static enum call_outcome time_of_us(struct call *c)
{
    return out_int(c, time_of(arg_int(c, 0)));
}

static enum call_outcome time_of_zone(struct call *c)
{
    const struct zone *z = arg_zone(c, 1);

    return z ? out_int(c, time_of(zone_local(z, arg_int(c, 0)))) : CALL_ERROR;
}

static enum call_outcome us_of_date(struct call *c)
{
    return out_int(c, arg_date(c, 0) * CIVIL_DAY_US);
}

static enum call_outcome us_of_date_time(struct call *c)
{
    return out_int(c, arg_date(c, 0) * CIVIL_DAY_US + arg_int(c, 1));
}

static enum call_outcome timestamp_of_date_zone(struct call *c)
{
    const struct zone *z = arg_zone(c, 1);

    return z ? out_us(c, zone_utc(z, arg_date(c, 0) * CIVIL_DAY_US)) : CALL_ERROR;
}

static enum call_outcome timestamp_of_datetime_zone(struct call *c)
{
    const struct zone *z = arg_zone(c, 1);

    return z ? out_us(c, zone_utc(z, arg_int(c, 0))) : CALL_ERROR;
}

/* ---- Numbers since 1970 ---- */

static enum call_outcome unix_date(struct call *c)
{
    return out_int(c, arg_date(c, 0));
}

static enum call_outcome date_from_unix_date(struct call *c)
{
    return out_days(c, arg_int(c, 0));
}

static enum call_outcome unix_seconds(struct call *c)
{
    return out_int(c, floor_div(arg_int(c, 0), SECOND_US));
}

static enum call_outcome unix_millis(struct call *c)
{
    return out_int(c, floor_div(arg_int(c, 0), 1000));
}

static enum call_outcome from_unix(struct call *c, int64_t unit)
{
    int64_t us;

    return out_us(c, __builtin_mul_overflow(arg_int(c, 0), unit, &us) ? INT64_MAX : us);
}

static enum call_outcome timestamp_seconds(struct call *c)
{
    return from_unix(c, SECOND_US);
}

static enum call_outcome timestamp_millis(struct call *c)
{
    return from_unix(c, 1000);
}

static enum call_outcome timestamp_micros(struct call *c)
{
    return from_unix(c, 1);
}

/* ---- Operators ---- */

static enum call_outcome date_plus_days(struct call *c)
{
    int64_t days;

    return out_days(c, __builtin_add_overflow(arg_date(c, 0), arg_int(c, 1), &days) ? INT64_MAX
                                                                                    : days);
}

static enum call_outcome days_plus_date(struct call *c)
{
    int64_t days;

    return out_days(c, __builtin_add_overflow(arg_date(c, 1), arg_int(c, 0), &days) ? INT64_MAX
                                                                                    : days);
}

static enum call_outcome date_minus_days(struct call *c)
{
    int64_t days;

    return out_days(c, __builtin_sub_overflow(arg_date(c, 0), arg_int(c, 1), &days) ? INT64_MAX
                                                                                    : days);
}

static enum call_outcome us_plus_interval(struct call *c, int64_t us, int sign)
{
    duckdb_interval v = arg_interval(c, 1);
    int64_t days = day_of(us), all;

    if (v.months > MONTHS_MAX || v.months < -MONTHS_MAX)
        return call_refuse(c, "Adding an interval causes overflow");
    all = (part_add_months(days, sign * v.months) + sign * (int64_t)v.days) * CIVIL_DAY_US +
          time_of(us);
    return out_us(c, __builtin_add_overflow(all, sign * v.micros, &all) ? INT64_MAX : all);
}

static enum call_outcome date_plus_interval(struct call *c)
{
    return us_plus_interval(c, arg_date(c, 0) * CIVIL_DAY_US, 1);
}

static enum call_outcome date_minus_interval(struct call *c)
{
    return us_plus_interval(c, arg_date(c, 0) * CIVIL_DAY_US, -1);
}

static enum call_outcome datetime_plus_interval(struct call *c)
{
    return us_plus_interval(c, arg_int(c, 0), 1);
}

static enum call_outcome datetime_minus_interval(struct call *c)
{
    return us_plus_interval(c, arg_int(c, 0), -1);
}

static enum call_outcome timestamp_interval(struct call *c, int sign)
{
    if (arg_interval(c, 1).months)
        return call_refuse(
            c, "TIMESTAMP +/- INTERVAL is not supported for intervals with non-zero MONTH or "
               "YEAR part.");
    return us_plus_interval(c, arg_int(c, 0), sign);
}

static enum call_outcome timestamp_plus_interval(struct call *c)
{
    return timestamp_interval(c, 1);
}

static enum call_outcome timestamp_minus_interval(struct call *c)
{
    return timestamp_interval(c, -1);
}

/* ---- Intervals ---- */

static enum call_outcome date_minus(struct call *c)
{
    return out_interval(c, (duckdb_interval){ .days = (int32_t)(arg_date(c, 0) - arg_date(c, 1)) });
}

static enum call_outcome datetime_minus(struct call *c)
{
    int64_t us = arg_int(c, 0) - arg_int(c, 1);

    return out_interval(
        c, (duckdb_interval){ .days = (int32_t)(us / CIVIL_DAY_US), .micros = us % CIVIL_DAY_US });
}

static enum call_outcome timestamp_minus(struct call *c)
{
    return out_interval(c, (duckdb_interval){ .micros = arg_int(c, 0) - arg_int(c, 1) });
}

static enum call_outcome interval_sum(struct call *c, int sign)
{
    duckdb_interval a = arg_interval(c, 0), b = arg_interval(c, 1), v;

    if (__builtin_add_overflow(a.months, sign * b.months, &v.months) ||
        __builtin_add_overflow(a.days, sign * b.days, &v.days) ||
        __builtin_add_overflow(a.micros, sign * b.micros, &v.micros))
        return call_refuse(c, "Interval overflow");
    return out_interval(c, v);
}

static enum call_outcome interval_plus(struct call *c)
{
    return interval_sum(c, 1);
}

static enum call_outcome interval_minus(struct call *c)
{
    return interval_sum(c, -1);
}

static enum call_outcome interval_scaled(struct call *c, duckdb_interval v, int64_t by)
{
    if (__builtin_mul_overflow(v.months, by, &v.months) ||
        __builtin_mul_overflow(v.days, by, &v.days) ||
        __builtin_mul_overflow(v.micros, by, &v.micros))
        return call_refuse(c, "Interval overflow");
    return out_interval(c, v);
}

static enum call_outcome interval_times(struct call *c)
{
    return interval_scaled(c, arg_interval(c, 0), arg_int(c, 1));
}

static enum call_outcome interval_negate(struct call *c)
{
    return interval_scaled(c, arg_interval(c, 0), -1);
}

static enum call_outcome interval_of(struct call *c)
{
    struct part p;
    duckdb_interval one = { 0 };

    if (!arg_part(c, 1, &p))
        return CALL_ERROR;
    switch (p.kind) {
    case PART_YEAR:
        one.months = 12;
        break;
    case PART_QUARTER:
        one.months = 3;
        break;
    case PART_MONTH:
        one.months = 1;
        break;
    case PART_WEEK:
        one.days = 7;
        break;
    case PART_DAY:
        one.days = 1;
        break;
    default:
        if (p.kind > PART_DAY)
            return bad_part(c, "INTERVAL", "INTERVAL", 1);
        one.micros = part_us(p.kind);
    }
    return interval_scaled(c, one, arg_int(c, 0));
}

/* MAKE_INTERVAL(year, month, day, hour, minute, second) */
static enum call_outcome make_interval(struct call *c)
{
    int64_t months, micros;

    if (__builtin_mul_overflow(arg_int(c, 0), 12, &months) ||
        __builtin_add_overflow(months, arg_int(c, 1), &months) || months > MONTHS_MAX ||
        months < -MONTHS_MAX || arg_int(c, 2) > 3660000 || arg_int(c, 2) < -3660000 ||
        __builtin_mul_overflow(arg_int(c, 3) * 3600 + arg_int(c, 4) * 60 + arg_int(c, 5), SECOND_US,
                               &micros))
        return call_refuse(c, "Interval overflow");
    return out_interval(c, (duckdb_interval){ (int32_t)months, (int32_t)arg_int(c, 2), micros });
}

static enum call_outcome justify(struct call *c, bool hours, bool days)
{
    duckdb_interval v = arg_interval(c, 0);
    int64_t all = v.days;

    if (hours) {
        all += v.micros / CIVIL_DAY_US;
        v.micros %= CIVIL_DAY_US;
    }
    int64_t months = v.months + (days ? all / 30 : 0);
    all -= days ? all / 30 * 30 : 0;
    if (hours && all > 0 && v.micros < 0) {
        all--;
        v.micros += CIVIL_DAY_US;
    } else if (hours && all < 0 && v.micros > 0) {
        all++;
        v.micros -= CIVIL_DAY_US;
    }
    if (days && months > 0 && all < 0) {
        months--;
        all += 30;
    } else if (days && months < 0 && all > 0) {
        months++;
        all -= 30;
    }
    return out_interval(c, (duckdb_interval){ (int32_t)months, (int32_t)all, v.micros });
}

static enum call_outcome justify_hours(struct call *c)
{
    return justify(c, true, false);
}

static enum call_outcome justify_days(struct call *c)
{
    return justify(c, false, true);
}

static enum call_outcome justify_interval(struct call *c)
{
    return justify(c, true, true);
}

/* ---- Arrays ---- */

static enum call_outcome generate_date_array(struct call *c)
{
    struct part p = { PART_DAY, 0 };
    int64_t step = 1, from = arg_date(c, 0), to = arg_date(c, 1), day = from;

    if (c->arguments > 2) {
        step = arg_int(c, 2);
        if (!arg_part(c, 3, &p))
            return CALL_ERROR;
    }
    if (step == 0)
        return call_refuse(c, "Sequence step cannot be 0.");
    if (p.kind < PART_DAY || p.kind > PART_YEAR)
        return bad_part(c, "GENERATE_DATE_ARRAY", "DATE", 3);
    list_begin(c);
    for (int64_t n = 0; step > 0 ? day <= to : day >= to;) {
        if (!list_add_date(c, day))
            return CALL_ERROR;
        if (__builtin_add_overflow(n, step, &n) || !add_to_day(p, from, n, &day))
            break;
    }
    return list_end(c);
}

static enum call_outcome generate_timestamp_array(struct call *c)
{
    struct part p;
    int64_t us = arg_int(c, 0), to = arg_int(c, 1), step;

    if (!arg_part(c, 3, &p))
        return CALL_ERROR;
    if (p.kind > PART_DAY)
        return bad_part(c, "GENERATE_TIMESTAMP_ARRAY", "TIMESTAMP", 3);
    if (__builtin_mul_overflow(arg_int(c, 2), part_us(p.kind), &step))
        return call_refuse(c, "Adding an interval causes overflow");
    if (step == 0)
        return call_refuse(c, "Sequence step cannot be 0.");
    list_begin(c);
    for (; step > 0 ? us <= to : us >= to;) {
        if (!list_add_int(c, us))
            return CALL_ERROR;
        if (__builtin_add_overflow(us, step, &us))
            break;
    }
    return list_end(c);
}

// clang-format off
static const struct function rows[] = {
    { "add", "DI:D", date_plus_days, 0 }, { "add", "ID:D", days_plus_date, 0 },
    { "add", "DV:M", date_plus_interval, 0 }, { "add", "MV:M", datetime_plus_interval, 0 },
    { "add", "ZV:Z", timestamp_plus_interval, 0 }, { "add", "VV:V", interval_plus, 0 },
    { "subtract", "DI:D", date_minus_days, 0 }, { "subtract", "DD:V", date_minus, 0 },
    { "subtract", "MM:V", datetime_minus, 0 }, { "subtract", "ZZ:V", timestamp_minus, 0 },
    { "subtract", "DV:M", date_minus_interval, 0 }, { "subtract", "MV:M", datetime_minus_interval, 0 },
    { "subtract", "ZV:Z", timestamp_minus_interval, 0 }, { "subtract", "VV:V", interval_minus, 0 },
    { "multiply", "VI:V", interval_times, 0 }, { "negate", "V:V", interval_negate, 0 },
    { "interval", "IS:V", interval_of, 0 }, { "make_interval", "IIIIII:V", make_interval, 0 },
    { "justify_hours", "V:V", justify_hours, 0 }, { "justify_days", "V:V", justify_days, 0 },
    { "justify_interval", "V:V", justify_interval, 0 },

    { "date_add", "LIS:D", literal_add, 0 }, { "date_sub", "LIS:D", literal_sub, 0 },
    { "date_diff", "LLS:I", literal_diff, 0 }, { "date_trunc", "LS:D", literal_trunc, 0 },
    { "date_add", "DIS:D", date_add, 0 }, { "date_add", "MIS:M", datetime_add, 0 }, { "date_add", "ZIS:Z", timestamp_add, 0 },
    { "date_sub", "DIS:D", date_sub, 0 }, { "date_sub", "MIS:M", datetime_sub, 0 }, { "date_sub", "ZIS:Z", timestamp_sub, 0 },
    { "datetime_add", "MIS:M", datetime_add, 0 }, { "datetime_sub", "MIS:M", datetime_sub, 0 },
    { "timestamp_add", "ZIS:Z", timestamp_add, 0 }, { "timestamp_sub", "ZIS:Z", timestamp_sub, 0 },
    { "time_add", "TIS:T", clock_add, 0 }, { "time_sub", "TIS:T", clock_sub, 0 },

    { "date_diff", "DDS:I", date_diff, 0 }, { "date_diff", "MMS:I", datetime_diff, 0 }, { "date_diff", "ZZS:I", timestamp_date_diff, 0 },
    { "datetime_diff", "MMS:I", datetime_diff, 0 }, { "timestamp_diff", "ZZS:I", timestamp_diff, 0 },
    { "time_diff", "TTS:I", clock_diff, 0 },

    { "date_trunc", "DS:D", date_trunc, 0 }, { "date_trunc", "MS:M", datetime_trunc, 0 }, { "date_trunc", "ZS:Z", datetime_trunc, 0 },
    { "date_trunc", "ZSS:Z", timestamp_trunc_zone, 0 },
    { "datetime_trunc", "MS:M", datetime_trunc, 0 },
    { "timestamp_trunc", "MS:M", datetime_trunc, 0 }, { "timestamp_trunc", "ZS:Z", datetime_trunc, 0 },
    { "timestamp_trunc", "ZSS:Z", timestamp_trunc_zone, 0 },
    { "time_trunc", "TS:T", clock_trunc, 0 },
    { "last_day", "D:D", last_day_date, 0 }, { "last_day", "DS:D", last_day_date, 0 },
    { "last_day", "M:D", last_day_datetime, 0 }, { "last_day", "MS:D", last_day_datetime, 0 },

    { "extract", "DS:I", extract_date, 0 }, { "extract", "TS:I", extract_time, 0 },
    { "extract", "MS:I", extract_datetime, 0 }, { "extract", "ZS:I", extract_datetime, 0 },
    { "extract", "ZSS:I", extract_zone, 0 }, { "extract", "VS:I", extract_interval, 0 },

    { "date", "III:D", date_of_parts, 0 }, { "date", "D:D", same_date, 0 }, { "date", "M:D", date_of_us, 0 },
    { "date", "Z:D", date_of_us, 0 }, { "date", "ZS:D", date_of_zone, 0 },
    { "datetime", "IIIIII:M", datetime_of_parts, 0 }, { "datetime", "DT:M", us_of_date_time, 0 },
    { "datetime", "D:M", us_of_date, 0 }, { "datetime", "M:M", same_us, 0 }, { "datetime", "Z:M", same_us, 0 },
    { "datetime", "ZS:M", datetime_of_zone, 0 },
    { "time", "III:T", time_of_parts, 0 }, { "time", "T:T", same_us, 0 }, { "time", "M:T", time_of_us, 0 },
    { "time", "Z:T", time_of_us, 0 }, { "time", "ZS:T", time_of_zone, 0 },
    { "timestamp", "D:Z", us_of_date, 0 }, { "timestamp", "DS:Z", timestamp_of_date_zone, 0 },
    { "timestamp", "M:Z", same_us, 0 }, { "timestamp", "MS:Z", timestamp_of_datetime_zone, 0 },
    { "timestamp", "Z:Z", same_us, 0 },

    { "unix_date", "D:I", unix_date, 0 }, { "date_from_unix_date", "I:D", date_from_unix_date, 0 },
    { "unix_seconds", "Z:I", unix_seconds, 0 }, { "unix_millis", "Z:I", unix_millis, 0 }, { "unix_micros", "Z:I", same_us, 0 },
    { "timestamp_seconds", "I:Z", timestamp_seconds, 0 }, { "timestamp_millis", "I:Z", timestamp_millis, 0 },
    { "timestamp_micros", "I:Z", timestamp_micros, 0 },
    { "generate_date_array", "DD:[D", generate_date_array, 0 }, { "generate_date_array", "DDIS:[D", generate_date_array, 0 },
    { "generate_timestamp_array", "ZZIS:[Z", generate_timestamp_array, 0 },
};
// clang-format on
const struct function_table functions_time = FUNCTION_TABLE(rows);
