/* math.c -- functions on numbers: roots, powers, logarithms, angles, rounding, the least and the greatest. */
#include "store/tables/duckdb/functions/numeric.h"

#include <math.h>
#include <string.h>

/* ---- Of one FLOAT64 ---- */

/* name(x), which is an error outside of what `allowed` says of x; NaN stays NaN. */
#define FLOAT_FUNCTION(name, NAME, expression, allowed)                                            \
    static enum call_outcome name##_float(struct call *c)                                          \
    {                                                                                              \
        double x = arg_float(c, 0);                                                                \
                                                                                                   \
        if (!isnan(x) && !(allowed))                                                               \
            return call_refuse(c, "Floating point error in function: " NAME "(%.15g)", x);         \
        return out_float(c, expression);                                                           \
    }
FLOAT_FUNCTION(sqrt, "SQRT", sqrt(x), x >= 0)
FLOAT_FUNCTION(cbrt, "CBRT", cbrt(x), true)
FLOAT_FUNCTION(exp, "EXP", exp(x), isinf(x) || !isinf(exp(x)))
FLOAT_FUNCTION(ln, "LN", log(x), x > 0)
FLOAT_FUNCTION(log10, "LOG10", log10(x), x > 0)
FLOAT_FUNCTION(sin, "SIN", sin(x), !isinf(x))
FLOAT_FUNCTION(cos, "COS", cos(x), !isinf(x))
FLOAT_FUNCTION(tan, "TAN", tan(x), !isinf(x))
FLOAT_FUNCTION(asin, "ASIN", asin(x), x >= -1 && x <= 1)
FLOAT_FUNCTION(acos, "ACOS", acos(x), x >= -1 && x <= 1)
FLOAT_FUNCTION(atan, "ATAN", atan(x), true)
FLOAT_FUNCTION(sinh, "SINH", sinh(x), isinf(x) || !isinf(sinh(x)))
FLOAT_FUNCTION(cosh, "COSH", cosh(x), isinf(x) || !isinf(cosh(x)))
FLOAT_FUNCTION(tanh, "TANH", tanh(x), true)
FLOAT_FUNCTION(asinh, "ASINH", asinh(x), true)
FLOAT_FUNCTION(acosh, "ACOSH", acosh(x), x >= 1)
FLOAT_FUNCTION(atanh, "ATANH", atanh(x), x > -1 && x < 1)
FLOAT_FUNCTION(cot, "COT", 1 / tan(x), x != 0 && !isinf(x))
FLOAT_FUNCTION(coth, "COTH", 1 / tanh(x), x != 0)
FLOAT_FUNCTION(csc, "CSC", 1 / sin(x), x != 0 && !isinf(x))
FLOAT_FUNCTION(csch, "CSCH", 1 / sinh(x), x != 0)
FLOAT_FUNCTION(sec, "SEC", 1 / cos(x), !isinf(x))
FLOAT_FUNCTION(sech, "SECH", 1 / cosh(x), true)
FLOAT_FUNCTION(ceil, "CEIL", ceil(x), true)
FLOAT_FUNCTION(floor, "FLOOR", floor(x), true)
FLOAT_FUNCTION(trunc, "TRUNC", trunc(x), true)
FLOAT_FUNCTION(round, "ROUND", round(x), true)

static enum call_outcome is_nan(struct call *c)
{
    return out_bool(c, isnan(arg_float(c, 0)));
}

static enum call_outcome is_inf(struct call *c)
{
    return out_bool(c, isinf(arg_float(c, 0)));
}

/* ---- Of two ---- */

static enum call_outcome log_base(struct call *c)
{
    double x = arg_float(c, 0), base = arg_float(c, 1);

    if (x <= 0 || base <= 0 || base == 1)
        return call_refuse(c, "Floating point error in function: LOG(%.15g, %.15g)", x, base);
    double v = log(x) / log(base);
    double near = round(v);
    return out_float(c, fabs(v - near) < 1e-9 && pow(base, near) == x ? near : v);
}

static enum call_outcome atan2_float(struct call *c)
{
    return out_float(c, atan2(arg_float(c, 0), arg_float(c, 1)));
}

static enum call_outcome pow_float(struct call *c)
{
    double x = arg_float(c, 0), y = arg_float(c, 1), v = pow(x, y);

    if ((isnan(v) || isinf(v)) && isfinite(x) && isfinite(y))
        return call_refuse(c, "Floating point error in function: POW(%.15g, %.15g)", x, y);
    return out_float(c, v);
}

static enum call_outcome pow_numeric(struct call *c)
{
    int128 v;

    if (!numeric_from_double(
            pow(numeric_double(arg_numeric(c, 0)), numeric_double(arg_numeric(c, 1))), &v))
        return call_refuse(c, "numeric overflow: POW");
    return out_numeric(c, v);
}

/* Digits behind the point are kept, or with a negative number zeros are put before it. */
static enum call_outcome round_digits(struct call *c, double (*whole)(double))
{
    double x = arg_float(c, 0);
    int64_t digits = arg_int(c, 1);

    if (!isfinite(x) || digits > 308)
        return out_float(c, x);
    if (digits < -308)
        return out_float(c, 0);
    double by = pow(10, (double)(digits < 0 ? -digits : digits));
    double scaled = digits < 0 ? x / by : x * by;
    if (!isfinite(scaled))
        return out_float(c, x);
    double v = digits < 0 ? whole(scaled) * by : whole(scaled) / by;
    return isfinite(v) ? out_float(c, v)
                       : call_refuse(c, "Floating point error in function: ROUND");
}

static enum call_outcome round_float_digits(struct call *c)
{
    return round_digits(c, round);
}

static enum call_outcome trunc_float_digits(struct call *c)
{
    return round_digits(c, trunc);
}

/* ---- NUMERIC ---- */

enum rounding { ROUNDING_AWAY, ROUNDING_EVEN, ROUNDING_ZERO, ROUNDING_UP, ROUNDING_DOWN };

static int128 power_of_ten(int64_t n)
{
    int128 v = 1;

    while (n-- > 0)
        v *= 10;
    return v;
}

static enum call_outcome round_numeric_to(struct call *c, int64_t digits, enum rounding how)
{
    int128 x = arg_numeric(c, 0);

    if (digits >= 9)
        return out_numeric(c, x);
    if (digits < -29)
        return out_numeric(c, 0);
    int128 unit = power_of_ten(9 - digits), rest = x % unit, v = x - rest;
    int128 size = rest < 0 ? -rest : rest, other = unit - size;
    bool away = how == ROUNDING_UP     ? rest > 0
                : how == ROUNDING_DOWN ? rest < 0
                : how == ROUNDING_AWAY ? size >= other
                : how == ROUNDING_EVEN ? size > other || (size == other && v / unit % 2 != 0)
                                       : false;
    if (away)
        v += x < 0 ? -unit : unit;
    return numeric_fits(v) ? out_numeric(c, v) : call_refuse(c, "numeric overflow: ROUND");
}

static enum call_outcome round_numeric(struct call *c)
{
    return round_numeric_to(c, c->arguments > 1 ? arg_int(c, 1) : 0, ROUNDING_AWAY);
}

static enum call_outcome round_numeric_mode(struct call *c)
{
    if (str_eq(arg_text(c, 2), STR("ROUND_HALF_EVEN")))
        return round_numeric_to(c, arg_int(c, 1), ROUNDING_EVEN);
    if (!str_eq(arg_text(c, 2), STR("ROUND_HALF_AWAY_FROM_ZERO")))
        return call_refuse(c, "Invalid rounding_mode: %.*s", STR_ARG(arg_text(c, 2)));
    return round_numeric_to(c, arg_int(c, 1), ROUNDING_AWAY);
}

static enum call_outcome trunc_numeric(struct call *c)
{
    return round_numeric_to(c, c->arguments > 1 ? arg_int(c, 1) : 0, ROUNDING_ZERO);
}

static enum call_outcome ceil_numeric(struct call *c)
{
    return round_numeric_to(c, 0, ROUNDING_UP);
}

static enum call_outcome floor_numeric(struct call *c)
{
    return round_numeric_to(c, 0, ROUNDING_DOWN);
}

static enum call_outcome sqrt_numeric(struct call *c)
{
    int128 v = 0;

    if (arg_numeric(c, 0) < 0 || !numeric_from_double(sqrt(numeric_double(arg_numeric(c, 0))), &v))
        return call_refuse(c, "Argument to SQRT cannot be negative");
    return out_numeric(c, v);
}

/* ---- GREATEST, LEAST ---- */

/* The argument that `better` prefers to all others. */
static uint32_t best(const struct call *c, bool (*better)(const struct call *, uint32_t, uint32_t),
                     bool greatest)
{
    uint32_t at = 0;

    for (uint32_t i = 1; i < c->arguments; i++)
        if (greatest ? better(c, i, at) : better(c, at, i))
            at = i;
    return at;
}

static bool more_bool(const struct call *c, uint32_t a, uint32_t b)
{
    return arg_bool(c, a) > arg_bool(c, b);
}

static bool more_int(const struct call *c, uint32_t a, uint32_t b)
{
    return arg_int(c, a) > arg_int(c, b);
}

static bool more_float(const struct call *c, uint32_t a, uint32_t b)
{
    return arg_float(c, a) > arg_float(c, b);
}

static bool more_numeric(const struct call *c, uint32_t a, uint32_t b)
{
    return arg_numeric(c, a) > arg_numeric(c, b);
}

static bool more_date(const struct call *c, uint32_t a, uint32_t b)
{
    return arg_date(c, a) > arg_date(c, b);
}

static bool more_text(const struct call *c, uint32_t a, uint32_t b)
{
    return str_cmp(arg_text(c, a), arg_text(c, b)) > 0;
}

static enum call_outcome extreme_float(struct call *c, bool greatest)
{
    for (uint32_t i = 0; i < c->arguments; i++)
        if (isnan(arg_float(c, i)))
            return out_float(c, arg_float(c, i));
    return out_float(c, arg_float(c, best(c, more_float, greatest)));
}

#define EXTREME(type, out, arg, more)                                                              \
    static enum call_outcome greatest_##type(struct call *c)                                       \
    {                                                                                              \
        return out(c, arg(c, best(c, more, true)));                                                \
    }                                                                                              \
    static enum call_outcome least_##type(struct call *c)                                          \
    {                                                                                              \
        return out(c, arg(c, best(c, more, false)));                                               \
    }
EXTREME(bool, out_bool, arg_bool, more_bool)
EXTREME(int, out_int, arg_int, more_int)
EXTREME(numeric, out_numeric, arg_numeric, more_numeric)
EXTREME(date, out_date, arg_date, more_date)
EXTREME(text, out_text, arg_text, more_text)

static enum call_outcome greatest_float(struct call *c)
{
    return extreme_float(c, true);
}

static enum call_outcome least_float(struct call *c)
{
    return extreme_float(c, false);
}

// clang-format off
#define FLOAT_ROW(name) { #name, "F:F", name##_float, 0 }
/* INT64 would be ambiguous between FLOAT64 and NUMERIC without a row of its own: DuckDB casts it to FLOAT64. */
static const struct function rows[] = {
    FLOAT_ROW(sqrt), FLOAT_ROW(cbrt), FLOAT_ROW(exp), FLOAT_ROW(ln), FLOAT_ROW(log10),
    FLOAT_ROW(sin), FLOAT_ROW(cos), FLOAT_ROW(tan), FLOAT_ROW(asin), FLOAT_ROW(acos), FLOAT_ROW(atan),
    FLOAT_ROW(sinh), FLOAT_ROW(cosh), FLOAT_ROW(tanh), FLOAT_ROW(asinh), FLOAT_ROW(acosh), FLOAT_ROW(atanh),
    FLOAT_ROW(cot), FLOAT_ROW(coth), FLOAT_ROW(csc), FLOAT_ROW(csch), FLOAT_ROW(sec), FLOAT_ROW(sech),
    FLOAT_ROW(ceil), FLOAT_ROW(floor), FLOAT_ROW(trunc), FLOAT_ROW(round),
    { "sqrt", "N:N", sqrt_numeric, 0 },
    { "is_nan", "F:B", is_nan, 0 },
    { "is_inf", "F:B", is_inf, 0 },
    { "log", "F:F", ln_float, 0 },
    { "log", "FF:F", log_base, 0 },
    { "atan2", "FF:F", atan2_float, 0 },
    { "pow", "FF:F", pow_float, 0 },
    { "pow", "NN:N", pow_numeric, 0 },
    { "round", "FI:F", round_float_digits, 0 },
    { "round", "N:N", round_numeric, 0 },
    { "round", "NI:N", round_numeric, 0 },
    { "round", "NIS:N", round_numeric_mode, 0 },
    { "trunc", "FI:F", trunc_float_digits, 0 },
    { "trunc", "N:N", trunc_numeric, 0 },
    { "trunc", "NI:N", trunc_numeric, 0 },
    { "ceil", "N:N", ceil_numeric, 0 },
    { "floor", "N:N", floor_numeric, 0 },
    { "greatest", "BB*:B", greatest_bool, 0 },
    { "greatest", "II*:I", greatest_int, 0 },
    { "greatest", "FF*:F", greatest_float, 0 },
    { "greatest", "NN*:N", greatest_numeric, 0 },
    { "greatest", "SS*:S", greatest_text, 0 },
    { "greatest", "YY*:Y", greatest_text, 0 },
    { "greatest", "DD*:D", greatest_date, 0 },
    { "greatest", "TT*:T", greatest_int, 0 },
    { "greatest", "MM*:M", greatest_int, 0 },
    { "greatest", "ZZ*:Z", greatest_int, 0 },
    { "least", "BB*:B", least_bool, 0 },
    { "least", "II*:I", least_int, 0 },
    { "least", "FF*:F", least_float, 0 },
    { "least", "NN*:N", least_numeric, 0 },
    { "least", "SS*:S", least_text, 0 },
    { "least", "YY*:Y", least_text, 0 },
    { "least", "DD*:D", least_date, 0 },
    { "least", "TT*:T", least_int, 0 },
    { "least", "MM*:M", least_int, 0 },
    { "least", "ZZ*:Z", least_int, 0 },
};
// clang-format on
const struct function_table functions_math = FUNCTION_TABLE(rows);
