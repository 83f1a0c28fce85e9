/* time_arg.c -- time_arg.h */
#include "store/tables/duckdb/functions/time_arg.h"

/* Sets the error and returns NULL when argument i names no zone. */
const struct zone *arg_zone(struct call *c, uint32_t i)
{
    const struct zone *z = zone_find(arg_text(c, i));

    if (!z)
        (void)call_refuse(c, "Invalid time zone: %.*s", STR_ARG(str_cut(arg_text(c, i), 100)));
    return z;
}

bool arg_part(struct call *c, uint32_t i, struct part *out)
{
    if (part_read(arg_text(c, i), out))
        return true;
    (void)call_refuse(c, "A valid date part name is required but found %.*s",
                      STR_ARG(str_cut(arg_text(c, i), 100)));
    return false;
}

enum call_outcome refuse_part(struct call *c, const char *function, const char *type, uint32_t i)
{
    return call_refuse(c, "%s does not support the %.*s date part when the argument is %s type",
                       function, STR_ARG(arg_text(c, i)), type);
}

static bool days_ok(int64_t days)
{
    return days >= CIVIL_MIN_US / CIVIL_DAY_US && days <= CIVIL_MAX_US / CIVIL_DAY_US;
}

enum call_outcome out_days(struct call *c, int64_t days)
{
    return days_ok(days)
               ? out_date(c, days)
               : call_refuse(c, "Date overflow: the result is not in the years 1 to 9999");
}

enum call_outcome out_us(struct call *c, int64_t us)
{
    if (us < CIVIL_MIN_US || us > CIVIL_MAX_US)
        return call_refuse(c, "Timestamp overflow: the result is not in the years 1 to 9999");
    return out_int(c, us);
}

int64_t day_of(int64_t us)
{
    return floor_div(us, CIVIL_DAY_US);
}

int64_t time_of(int64_t us)
{
    return us - day_of(us) * CIVIL_DAY_US;
}

/* A literal as a DATE. */
bool arg_date_literal(struct call *c, uint32_t i, int64_t *days)
{
    if (civil_read_date(str_trim(arg_text(c, i)), days))
        return true;
    (void)call_refuse(c, "Could not cast literal \"%.*s\" to type DATE",
                      STR_ARG(str_cut(arg_text(c, i), 100)));
    return false;
}

/* n of a part from DAY up added to a day; false: too far. */
bool add_to_day(struct part p, int64_t days, int64_t n, int64_t *out)
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
