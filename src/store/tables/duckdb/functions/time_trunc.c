/* time_trunc.c -- dates and times compared, truncated, and taken apart: TIMESTAMP_DIFF counts whole
 * parts, the other differences count boundaries. */
#include "store/tables/duckdb/functions/time_arg.h"

/* ---- Differences ---- */

static enum call_outcome date_diff_of(struct call *c, int64_t a, int64_t b)
{
    struct part p;

    if (!arg_part(c, 2, &p))
        return CALL_ERROR;
    if (p.kind < PART_DAY || p.kind > PART_ISOYEAR)
        return refuse_part(c, "DATE_DIFF", "DATE", 2);
    return out_int(c, part_diff_days(p, a, b));
}

static enum call_outcome date_diff(struct call *c)
{
    return date_diff_of(c, arg_date(c, 0), arg_date(c, 1));
}

static enum call_outcome literal_diff(struct call *c)
{
    int64_t a, b;

    return arg_date_literal(c, 0, &a) && arg_date_literal(c, 1, &b) ? date_diff_of(c, a, b)
                                                                    : CALL_ERROR;
}

static enum call_outcome datetime_diff(struct call *c)
{
    struct part p;
    int64_t a = arg_int(c, 0), b = arg_int(c, 1), us;

    if (!arg_part(c, 2, &p))
        return CALL_ERROR;
    if (p.kind > PART_ISOYEAR)
        return refuse_part(c, "DATETIME_DIFF", "DATETIME", 2);
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
        return refuse_part(c, "TIMESTAMP_DIFF", "TIMESTAMP", 2);
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
    return p.kind > PART_HOUR ? refuse_part(c, "TIME_DIFF", "TIME", 2) : datetime_diff(c);
}

/* ---- Truncation ---- */

static enum call_outcome date_trunc_of(struct call *c, int64_t date)
{
    struct part p;

    if (!arg_part(c, 1, &p))
        return CALL_ERROR;
    if (p.kind < PART_DAY || p.kind > PART_ISOYEAR)
        return refuse_part(c, "DATE_TRUNC", "DATE", 1);
    return out_days(c, part_trunc_day(p, date));
}

static enum call_outcome date_trunc(struct call *c)
{
    return date_trunc_of(c, arg_date(c, 0));
}

static enum call_outcome literal_trunc(struct call *c)
{
    int64_t date;

    return arg_date_literal(c, 0, &date) ? date_trunc_of(c, date) : CALL_ERROR;
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
        return refuse_part(c, "TIMESTAMP_TRUNC", "TIMESTAMP", 1);
    return out_us(c, trunc_us(p, arg_int(c, 0)));
}

static enum call_outcome timestamp_trunc_zone(struct call *c)
{
    struct part p;
    const struct zone *z;

    if (!arg_part(c, 1, &p) || !(z = arg_zone(c, 2)))
        return CALL_ERROR;
    if (p.kind > PART_ISOYEAR)
        return refuse_part(c, "TIMESTAMP_TRUNC", "TIMESTAMP", 1);
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
        return refuse_part(c, "TIME_TRUNC", "TIME", 1);
    return out_int(c, trunc_us(p, arg_int(c, 0)));
}

static enum call_outcome last_day_of(struct call *c, int64_t days)
{
    struct part p = { PART_MONTH, 0 };

    if (c->arguments > 1 && !arg_part(c, 1, &p))
        return CALL_ERROR;
    if (p.kind < PART_WEEK || p.kind > PART_ISOYEAR)
        return refuse_part(c, "LAST_DAY", "DATE", 1);
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
    return extract_day(p, day_of(us), &v) ? out_int(c, v) : refuse_part(c, "EXTRACT", type, 1);
}

static enum call_outcome extract_date(struct call *c)
{
    struct part p;
    int64_t v;

    if (!arg_part(c, 1, &p))
        return CALL_ERROR;
    return extract_day(p, arg_date(c, 0), &v) ? out_int(c, v)
                                              : refuse_part(c, "EXTRACT", "DATE", 1);
}

static enum call_outcome extract_time(struct call *c)
{
    struct part p;

    if (!arg_part(c, 1, &p))
        return CALL_ERROR;
    return p.kind > PART_HOUR ? refuse_part(c, "EXTRACT", "TIME", 1)
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
        return refuse_part(c, "EXTRACT", "INTERVAL", 1);
    }
}

// clang-format off
static const struct function rows[] = {
    { "date_diff", "LLS:I", literal_diff, 0 },
    { "date_trunc", "LS:D", literal_trunc, 0 },
    { "date_diff", "DDS:I", date_diff, 0 }, { "date_diff", "MMS:I", datetime_diff, 0 },
    { "date_diff", "ZZS:I", timestamp_date_diff, 0 },
    { "datetime_diff", "MMS:I", datetime_diff, 0 },
    { "timestamp_diff", "ZZS:I", timestamp_diff, 0 },
    { "time_diff", "TTS:I", clock_diff, 0 },
    { "date_trunc", "DS:D", date_trunc, 0 }, { "date_trunc", "MS:M", datetime_trunc, 0 },
    { "date_trunc", "ZS:Z", datetime_trunc, 0 }, { "date_trunc", "ZSS:Z", timestamp_trunc_zone, 0 },
    { "datetime_trunc", "MS:M", datetime_trunc, 0 },
    { "timestamp_trunc", "MS:M", datetime_trunc, 0 }, { "timestamp_trunc", "ZS:Z", datetime_trunc, 0 },
    { "timestamp_trunc", "ZSS:Z", timestamp_trunc_zone, 0 },
    { "time_trunc", "TS:T", clock_trunc, 0 },
    { "last_day", "D:D", last_day_date, 0 }, { "last_day", "DS:D", last_day_date, 0 },
    { "last_day", "M:D", last_day_datetime, 0 }, { "last_day", "MS:D", last_day_datetime, 0 },
    { "extract", "DS:I", extract_date, 0 }, { "extract", "TS:I", extract_time, 0 },
    { "extract", "MS:I", extract_datetime, 0 }, { "extract", "ZS:I", extract_datetime, 0 },
    { "extract", "ZSS:I", extract_zone, 0 }, { "extract", "VS:I", extract_interval, 0 },
};
// clang-format on
const struct function_table functions_time_trunc = FUNCTION_TABLE(rows);
