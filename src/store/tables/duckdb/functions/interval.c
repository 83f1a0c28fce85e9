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

/* ---- Texts: "[-]Y-M [-]D [-]H:M:S[.F]", or some of its parts ---- */

static bool number_next(struct str *s, uint64_t max, int64_t *out)
{
    size_t n = 0;
    uint64_t v;

    while (n < s->len && s->p[n] >= '0' && s->p[n] <= '9')
        n++;
    if (!str_number_in(str_sub(*s, 0, n), 0, max, &v))
        return false;
    *out = (int64_t)v;
    *s = str_sub(*s, n, s->len);
    return true;
}

static int64_t sign_next(struct str *s)
{
    bool negative = s->len && s->p[0] == '-';

    if (s->len && (s->p[0] == '-' || s->p[0] == '+'))
        *s = str_sub(*s, 1, s->len);
    return negative ? -1 : 1;
}

static bool skip_char(struct str *s, char c)
{
    if (!s->len || s->p[0] != c)
        return false;
    *s = str_sub(*s, 1, s->len);
    return true;
}

/* "1-2"; with years alone or months alone just a number. */
static bool read_months(struct str s, enum part_kind from, enum part_kind to, int64_t *months)
{
    int64_t sign = sign_next(&s), years = 0, rest = 0;
    bool has_years = from == PART_YEAR, has_months = to != PART_YEAR;

    if (has_years && !number_next(&s, 10000, &years))
        return false;
    if (has_years && has_months && !skip_char(&s, '-'))
        return false;
    if (has_months && !number_next(&s, MONTHS_MAX, &rest))
        return false;
    *months = sign * (years * 12 + rest);
    return s.len == 0;
}

/* "4:5:6.7" from one of HOUR, MINUTE, SECOND to another. */
static bool read_clock(struct str s, enum part_kind from, enum part_kind to, int64_t *us)
{
    int64_t sign = sign_next(&s), n, all = 0, unit = 100000;

    for (int kind = (int)from; kind >= (int)to; kind--) { /* HOUR is the greatest */
        if (!number_next(&s, INT64_C(316224000000), &n))
            return false;
        all += n * part_us((enum part_kind)kind);
        if (kind > (int)to && !skip_char(&s, ':'))
            return false;
    }
    if (to == PART_SECOND && skip_char(&s, '.'))
        for (; s.len && s.p[0] >= '0' && s.p[0] <= '9' && unit;
             s = str_sub(s, 1, s.len), unit /= 10)
            all += unit * (s.p[0] - '0');
    *us = sign * all;
    return s.len == 0;
}

/* Words in order: months, days, clock, as far as the parts from the greatest to the smallest have them. Kinds grow
 * with their parts: from >= to. */
static bool read_parts(struct str text, enum part_kind from, enum part_kind to,
                       duckdb_interval *out)
{
    struct str rest = str_trim(text), word;
    int64_t months = 0, days = 0, us = 0;

    if (from >= PART_MONTH &&
        (!str_next(&rest, ' ', &word) ||
         !read_months(word, from, to > PART_MONTH ? to : PART_MONTH, &months)))
        return false;
    if (from >= PART_DAY && to <= PART_DAY) {
        if (!str_next(&rest, ' ', &word))
            return false;
        int64_t sign = sign_next(&word);
        if (!number_next(&word, 3660000, &days) || word.len)
            return false;
        days *= sign;
    }
    if (to < PART_DAY && (!str_next(&rest, ' ', &word) ||
                          !read_clock(word, from < PART_DAY ? from : PART_HOUR, to, &us)))
        return false;
    *out = (duckdb_interval){ (int32_t)months, (int32_t)days, us };
    return rest.len == 0;
}

static enum call_outcome bad_interval(struct call *c)
{
    return call_refuse(c, "Invalid INTERVAL value '%.*s'", STR_ARG(str_cut(arg_text(c, 0), 200)));
}

/* INTERVAL '1-2' YEAR TO MONTH; of one part the text is a number. */
static enum call_outcome interval_of_range(struct call *c)
{
    struct str unit = arg_text(c, 1);
    size_t at = str_find(unit, STR(" TO "));
    struct part from, to;
    duckdb_interval v;

    if (!part_read(str_sub(unit, 0, at), &from) ||
        !part_read(at == SIZE_MAX ? unit : str_sub(unit, at + 4, unit.len), &to))
        return refuse_part(c, "INTERVAL", "INTERVAL", 1);
    return from.kind >= to.kind && read_parts(arg_text(c, 0), from.kind, to.kind, &v)
               ? out_interval(c, v)
               : bad_interval(c);
}

/* CAST(text AS INTERVAL): the form of the words says which parts they are. */
static enum call_outcome interval_of_text(struct call *c)
{
    static const struct {
        enum part_kind from, to;
    } tries[] = {
        { PART_YEAR, PART_SECOND }, { PART_YEAR, PART_DAY },    { PART_YEAR, PART_MONTH },
        { PART_DAY, PART_SECOND },  { PART_HOUR, PART_SECOND },
    };
    duckdb_interval v;

    for (size_t i = 0; i < ARRAY_LEN(tries); i++)
        if (read_parts(arg_text(c, 0), tries[i].from, tries[i].to, &v))
            return out_interval(c, v);
    return bad_interval(c);
}

// clang-format off
static const struct function rows[] = {
    { "interval", "LS:V", interval_of_range, 0 }, { "cast_interval", "S:V", interval_of_text, 0 },
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
