/* interval.c -- INTERVAL values: made, added, justified. */
#include "store/tables/duckdb/functions/time_arg.h"

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
            return refuse_part(c, "INTERVAL", "INTERVAL", 1);
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

// clang-format off
static const struct function rows[] = {
    { "add", "VV:V", interval_plus, 0 },
    { "subtract", "DD:V", date_minus, 0 }, { "subtract", "MM:V", datetime_minus, 0 },
    { "subtract", "ZZ:V", timestamp_minus, 0 }, { "subtract", "VV:V", interval_minus, 0 },
    { "multiply", "VI:V", interval_times, 0 },
    { "negate", "V:V", interval_negate, 0 },
    { "interval", "IS:V", interval_of, 0 },
    { "make_interval", "IIIIII:V", make_interval, 0 },
    { "justify_hours", "V:V", justify_hours, 0 },
    { "justify_days", "V:V", justify_days, 0 },
    { "justify_interval", "V:V", justify_interval, 0 },
};
// clang-format on
const struct function_table functions_interval = FUNCTION_TABLE(rows);
