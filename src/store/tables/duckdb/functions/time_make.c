/* time_make.c -- dates and times made of parts, of each other and of numbers; arrays of them. */
#include "store/tables/duckdb/functions/time_arg.h"

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
        return refuse_part(c, "GENERATE_DATE_ARRAY", "DATE", 3);
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
        return refuse_part(c, "GENERATE_TIMESTAMP_ARRAY", "TIMESTAMP", 3);
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
    { "unix_date", "D:I", unix_date, 0 },
    { "date_from_unix_date", "I:D", date_from_unix_date, 0 },
    { "unix_seconds", "Z:I", unix_seconds, 0 },
    { "unix_millis", "Z:I", unix_millis, 0 },
    { "unix_micros", "Z:I", same_us, 0 },
    { "timestamp_seconds", "I:Z", timestamp_seconds, 0 },
    { "timestamp_millis", "I:Z", timestamp_millis, 0 },
    { "timestamp_micros", "I:Z", timestamp_micros, 0 },
    { "generate_date_array", "DD:[D", generate_date_array, 0 },
    { "generate_date_array", "DDIS:[D", generate_date_array, 0 },
    { "generate_timestamp_array", "ZZIS:[Z", generate_timestamp_array, 0 },
};
// clang-format on
const struct function_table functions_time_make = FUNCTION_TABLE(rows);
