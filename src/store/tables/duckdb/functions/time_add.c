/* time_add.c -- dates and times moved by parts and INTERVALs, with functions and by operators. */
#include "store/tables/duckdb/functions/time_arg.h"

/* ---- Addition ---- */

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
        return refuse_part(c, "DATE_ADD", "DATE", 2);
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
        return refuse_part(c, "TIMESTAMP_ADD", "TIMESTAMP", 2);
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

    return arg_date_literal(c, 0, &date) ? date_add_to(c, date, 1) : CALL_ERROR;
}

static enum call_outcome literal_sub(struct call *c)
{
    int64_t date;

    return arg_date_literal(c, 0, &date) ? date_add_to(c, date, -1) : CALL_ERROR;
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
        return refuse_part(c, "TIME_ADD", "TIME", 2);
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

static enum call_outcome literal_days(struct call *c, int sign)
{
    int64_t date, days;

    if (!arg_date_literal(c, 0, &date))
        return CALL_ERROR;
    if (__builtin_mul_overflow(arg_int(c, 1), sign, &days) ||
        __builtin_add_overflow(date, days, &days))
        days = INT64_MAX;
    return out_days(c, days);
}

static enum call_outcome literal_plus_days(struct call *c)
{
    return literal_days(c, 1);
}

static enum call_outcome literal_minus_days(struct call *c)
{
    return literal_days(c, -1);
}

static enum call_outcome us_plus_interval(struct call *c, int64_t us, int sign)
{
    duckdb_interval v = arg_interval(c, 1);
    int64_t days = day_of(us), all;

    if (v.months > MONTHS_MAX || v.months < -MONTHS_MAX)
        return call_refuse(c, "Adding an interval causes overflow");
    all =
        (part_add_months(days, sign * (int64_t)v.months) + sign * (int64_t)v.days) * CIVIL_DAY_US +
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

// clang-format off
static const struct function rows[] = {
    { "add", "LI:D", literal_plus_days, 0 }, { "subtract", "LI:D", literal_minus_days, 0 },
    { "add", "DI:D", date_plus_days, 0 }, { "add", "ID:D", days_plus_date, 0 },
    { "add", "DV:M", date_plus_interval, 0 }, { "add", "MV:M", datetime_plus_interval, 0 },
    { "add", "ZV:Z", timestamp_plus_interval, 0 },
    { "subtract", "DI:D", date_minus_days, 0 }, { "subtract", "DV:M", date_minus_interval, 0 },
    { "subtract", "MV:M", datetime_minus_interval, 0 }, { "subtract", "ZV:Z", timestamp_minus_interval, 0 },
    { "date_add", "LIS:D", literal_add, 0 },
    { "date_sub", "LIS:D", literal_sub, 0 },
    { "date_add", "DIS:D", date_add, 0 }, { "date_add", "MIS:M", datetime_add, 0 },
    { "date_add", "ZIS:Z", timestamp_add, 0 },
    { "date_sub", "DIS:D", date_sub, 0 }, { "date_sub", "MIS:M", datetime_sub, 0 },
    { "date_sub", "ZIS:Z", timestamp_sub, 0 },
    { "datetime_add", "MIS:M", datetime_add, 0 },
    { "datetime_sub", "MIS:M", datetime_sub, 0 },
    { "timestamp_add", "ZIS:Z", timestamp_add, 0 },
    { "timestamp_sub", "ZIS:Z", timestamp_sub, 0 },
    { "time_add", "TIS:T", clock_add, 0 },
    { "time_sub", "TIS:T", clock_sub, 0 },
};
// clang-format on
const struct function_table functions_time_add = FUNCTION_TABLE(rows);
