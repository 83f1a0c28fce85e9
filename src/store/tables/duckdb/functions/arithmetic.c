/* arithmetic.c -- the operators on numbers: overflow and division by zero are errors, NUMERIC keeps 9 digits.
 *
 * Shape:   NUMERIC is a count of 10^-9 in 128 bits, within +-(10^38 - 1); products and quotients are computed in
 *          256 bits and rounded half away from zero.
 */
#include "store/tables/duckdb/functions/numeric.h"

#include <math.h>
#include <stdio.h>

/* ---- INT64 ---- */

static enum call_outcome overflow(struct call *c)
{
    return call_refuse(c, "Integer Overflow");
}

static enum call_outcome add_int(struct call *c)
{
    int64_t v;

    return __builtin_add_overflow(arg_int(c, 0), arg_int(c, 1), &v) ? overflow(c) : out_int(c, v);
}

static enum call_outcome subtract_int(struct call *c)
{
    int64_t v;

    return __builtin_sub_overflow(arg_int(c, 0), arg_int(c, 1), &v) ? overflow(c) : out_int(c, v);
}

static enum call_outcome multiply_int(struct call *c)
{
    int64_t v;

    return __builtin_mul_overflow(arg_int(c, 0), arg_int(c, 1), &v) ? overflow(c) : out_int(c, v);
}

static enum call_outcome negate_int(struct call *c)
{
    int64_t v;

    return __builtin_sub_overflow(0, arg_int(c, 0), &v) ? overflow(c) : out_int(c, v);
}

static enum call_outcome abs_int(struct call *c)
{
    return arg_int(c, 0) < 0 ? negate_int(c) : out_int(c, arg_int(c, 0));
}

static enum call_outcome divide_int(struct call *c)
{
    if (arg_int(c, 1) == 0)
        return call_refuse(c, "division by zero: %lld / 0", (long long)arg_int(c, 0));
    return out_float(c, (double)arg_int(c, 0) / (double)arg_int(c, 1));
}

static enum call_outcome div_int(struct call *c)
{
    if (arg_int(c, 1) == 0)
        return call_refuse(c, "division by zero: DIV(%lld, 0)", (long long)arg_int(c, 0));
    return arg_int(c, 1) == -1 ? negate_int(c) : out_int(c, arg_int(c, 0) / arg_int(c, 1));
}

static enum call_outcome mod_int(struct call *c)
{
    if (arg_int(c, 1) == 0)
        return call_refuse(c, "division by zero: MOD(%lld, 0)", (long long)arg_int(c, 0));
    return out_int(c, arg_int(c, 1) == -1 ? 0 : arg_int(c, 0) % arg_int(c, 1));
}

static enum call_outcome sign_int(struct call *c)
{
    return out_int(c, (arg_int(c, 0) > 0) - (arg_int(c, 0) < 0));
}

/* ---- SUM and AVG, of DuckDB's sums: that of INT64 is a HUGEINT ---- */

static enum call_outcome narrow_int(struct call *c)
{
    int128 v = arg_numeric(c, 0);

    return v != (int64_t)v ? overflow(c) : out_int(c, (int64_t)v);
}

static enum call_outcome narrow_float(struct call *c)
{
    return out_float(c, arg_float(c, 0));
}

static enum call_outcome narrow_numeric(struct call *c)
{
    int128 v = arg_numeric(c, 0);

    return numeric_fits(v) ? out_numeric(c, v) : call_refuse(c, "numeric overflow: SUM");
}

/* The count is not 0: of no rows the sum is NULL. */
static enum call_outcome average_int(struct call *c)
{
    return out_float(c, (double)arg_numeric(c, 0) / (double)arg_int(c, 1));
}

static enum call_outcome average_float(struct call *c)
{
    return out_float(c, arg_float(c, 0) / (double)arg_int(c, 1));
}

static enum call_outcome average_numeric(struct call *c)
{
    int128 v;

    return numeric_scale(arg_numeric(c, 0), 1, arg_int(c, 1), &v)
               ? out_numeric(c, v)
               : call_refuse(c, "numeric overflow: AVG");
}

/* ---- Bits ---- */

static enum call_outcome bit_and(struct call *c)
{
    return out_int(c, arg_int(c, 0) & arg_int(c, 1));
}

static enum call_outcome bit_or(struct call *c)
{
    return out_int(c, arg_int(c, 0) | arg_int(c, 1));
}

static enum call_outcome bit_xor(struct call *c)
{
    return out_int(c, arg_int(c, 0) ^ arg_int(c, 1));
}

static enum call_outcome bit_not(struct call *c)
{
    return out_int(c, ~arg_int(c, 0));
}

static enum call_outcome shift(struct call *c, bool left)
{
    uint64_t v = (uint64_t)arg_int(c, 0);
    int64_t by = arg_int(c, 1);

    if (by < 0)
        return call_refuse(c, "Bitwise shift by negative offset.");
    return out_int(c, by > 63 ? 0 : (int64_t)(left ? v << by : v >> by));
}

static enum call_outcome shift_left(struct call *c)
{
    return shift(c, true);
}

static enum call_outcome shift_right(struct call *c)
{
    return shift(c, false);
}

static enum call_outcome bit_count_int(struct call *c)
{
    return out_int(c, __builtin_popcountll((uint64_t)arg_int(c, 0)));
}

static enum call_outcome bit_count_bytes(struct call *c)
{
    struct str s = arg_text(c, 0);
    int64_t n = 0;

    for (size_t i = 0; i < s.len; i++)
        n += __builtin_popcount((unsigned char)s.p[i]);
    return out_int(c, n);
}

/* ---- FLOAT64 ---- */

/* Infinite only if an argument was. */
static enum call_outcome finite(struct call *c, char operator, double v)
{
    if (isinf(v) && isfinite(arg_float(c, 0)) && isfinite(arg_float(c, 1)))
        return call_refuse(c, "double overflow: %.17g %c %.17g", arg_float(c, 0), operator,
                           arg_float(c, 1));
    return out_float(c, v);
}

static enum call_outcome add_float(struct call *c)
{
    return finite(c, '+', arg_float(c, 0) + arg_float(c, 1));
}

static enum call_outcome subtract_float(struct call *c)
{
    return finite(c, '-', arg_float(c, 0) - arg_float(c, 1));
}

static enum call_outcome multiply_float(struct call *c)
{
    return finite(c, '*', arg_float(c, 0) * arg_float(c, 1));
}

static enum call_outcome divide_float(struct call *c)
{
    if (arg_float(c, 1) == 0)
        return call_refuse(c, "division by zero: %.15g / %.15g", arg_float(c, 0), arg_float(c, 1));
    return finite(c, '/', arg_float(c, 0) / arg_float(c, 1));
}

static enum call_outcome ieee_divide(struct call *c)
{
    return out_float(c, arg_float(c, 0) / arg_float(c, 1));
}

static enum call_outcome negate_float(struct call *c)
{
    return out_float(c, -arg_float(c, 0));
}

static enum call_outcome abs_float(struct call *c)
{
    return out_float(c, fabs(arg_float(c, 0)));
}

static enum call_outcome sign_float(struct call *c)
{
    double v = arg_float(c, 0);

    return out_float(c, isnan(v) ? v : (v > 0) - (v < 0));
}

/* ---- NUMERIC ---- */

/* Sets the error of an operator. */
static enum call_outcome numeric_overflow(struct call *c, const char *operator)
{
    char a[NUMERIC_BYTES], b[NUMERIC_BYTES];

    numeric_text(arg_numeric(c, 0), a);
    numeric_text(arg_numeric(c, 1), b);
    return call_refuse(c, "numeric overflow: %s %s %s", a, operator, b);
}

static enum call_outcome add_numeric(struct call *c)
{
    int128 v = arg_numeric(c, 0) + arg_numeric(c, 1);

    return numeric_fits(v) ? out_numeric(c, v) : numeric_overflow(c, "+");
}

static enum call_outcome subtract_numeric(struct call *c)
{
    int128 v = arg_numeric(c, 0) - arg_numeric(c, 1);

    return numeric_fits(v) ? out_numeric(c, v) : numeric_overflow(c, "-");
}

static enum call_outcome multiply_numeric(struct call *c)
{
    int128 v;

    return numeric_scale(arg_numeric(c, 0), arg_numeric(c, 1), NUMERIC_ONE, &v)
               ? out_numeric(c, v)
               : numeric_overflow(c, "*");
}

static enum call_outcome divide_numeric(struct call *c)
{
    int128 v;
    char a[NUMERIC_BYTES];

    if (arg_numeric(c, 1) == 0) {
        numeric_text(arg_numeric(c, 0), a);
        return call_refuse(c, "division by zero: %s / 0", a);
    }
    return numeric_scale(arg_numeric(c, 0), NUMERIC_ONE, arg_numeric(c, 1), &v)
               ? out_numeric(c, v)
               : numeric_overflow(c, "/");
}

static enum call_outcome div_numeric(struct call *c)
{
    if (arg_numeric(c, 1) == 0)
        return call_refuse(c, "division by zero: DIV(_, 0)");
    int128 v = arg_numeric(c, 0) / arg_numeric(c, 1);
    return v > NUMERIC_MAX / NUMERIC_ONE || v < -NUMERIC_MAX / NUMERIC_ONE
               ? numeric_overflow(c, "/")
               : out_numeric(c, v * NUMERIC_ONE);
}

static enum call_outcome mod_numeric(struct call *c)
{
    if (arg_numeric(c, 1) == 0)
        return call_refuse(c, "division by zero: MOD(_, 0)");
    return out_numeric(c, arg_numeric(c, 0) % arg_numeric(c, 1));
}

static enum call_outcome negate_numeric(struct call *c)
{
    return out_numeric(c, -arg_numeric(c, 0));
}

static enum call_outcome abs_numeric(struct call *c)
{
    int128 v = arg_numeric(c, 0);

    return out_numeric(c, v < 0 ? -v : v);
}

static enum call_outcome sign_numeric(struct call *c)
{
    int128 v = arg_numeric(c, 0);

    return out_numeric(c, ((v > 0) - (v < 0)) * (int128)NUMERIC_ONE);
}

/* ---- A literal, as FLOAT64 and as NUMERIC, beside a value of one of the two ---- */

/* The operator on arguments a and b alone. */
static enum call_outcome between(struct call *c, enum call_outcome (*operator)(struct call *),
                                 uint32_t a, uint32_t b)
{
    struct call_column two[] = { c->argument[a], c->argument[b] }, *all = c->argument;

    c->argument = two;
    enum call_outcome outcome = operator(c);
    c->argument = all;
    return outcome;
}

#define LITERAL(name)                                                                              \
    static enum call_outcome literal_##name##_float(struct call *c)                                \
    {                                                                                              \
        return between(c, name##_float, 0, 2);                                                     \
    }                                                                                              \
    static enum call_outcome literal_##name##_numeric(struct call *c)                              \
    {                                                                                              \
        return between(c, name##_numeric, 1, 2);                                                   \
    }                                                                                              \
    static enum call_outcome name##_literal_float(struct call *c)                                  \
    {                                                                                              \
        return between(c, name##_float, 0, 1);                                                     \
    }                                                                                              \
    static enum call_outcome name##_literal_numeric(struct call *c)                                \
    {                                                                                              \
        return between(c, name##_numeric, 0, 2);                                                   \
    }
LITERAL(add)
LITERAL(subtract)
LITERAL(multiply)
LITERAL(divide)

#define LITERAL_ROWS(name)                                                                         \
    { "literal_" #name, "FNF:F", literal_##name##_float, 0 },                                      \
        { "literal_" #name, "FNN:N", literal_##name##_numeric, 0 },                                \
        { #name "_literal", "FFN:F", name##_literal_float, 0 },                                    \
    {                                                                                              \
        #name "_literal", "NFN:N", name##_literal_numeric, 0                                       \
    }

static const struct function rows[] = {
    LITERAL_ROWS(add),
    LITERAL_ROWS(subtract),
    LITERAL_ROWS(multiply),
    LITERAL_ROWS(divide),
    { "add", "II:I", add_int, 0 },
    { "add", "FF:F", add_float, 0 },
    { "add", "NN:N", add_numeric, 0 },
    { "subtract", "II:I", subtract_int, 0 },
    { "subtract", "FF:F", subtract_float, 0 },
    { "subtract", "NN:N", subtract_numeric, 0 },
    { "multiply", "II:I", multiply_int, 0 },
    { "multiply", "FF:F", multiply_float, 0 },
    { "multiply", "NN:N", multiply_numeric, 0 },
    { "divide", "II:F", divide_int, 0 },
    { "divide", "FF:F", divide_float, 0 },
    { "divide", "NN:N", divide_numeric, 0 },
    { "div", "II:I", div_int, 0 },
    { "div", "NN:N", div_numeric, 0 },
    { "mod", "II:I", mod_int, 0 },
    { "mod", "NN:N", mod_numeric, 0 },
    { "negate", "I:I", negate_int, 0 },
    { "negate", "F:F", negate_float, 0 },
    { "negate", "N:N", negate_numeric, 0 },
    { "abs", "I:I", abs_int, 0 },
    { "abs", "F:F", abs_float, 0 },
    { "abs", "N:N", abs_numeric, 0 },
    { "sign", "I:I", sign_int, 0 },
    { "sign", "F:F", sign_float, 0 },
    { "sign", "N:N", sign_numeric, 0 },
    { "ieee_divide", "FF:F", ieee_divide, 0 },
    { "narrow", "H:I", narrow_int, 0 },
    { "narrow", "F:F", narrow_float, 0 },
    { "narrow", "N:N", narrow_numeric, 0 },
    { "average", "HI:F", average_int, 0 },
    { "average", "FI:F", average_float, 0 },
    { "average", "NI:N", average_numeric, 0 },
    { "bit_and", "II:I", bit_and, 0 },
    { "bit_or", "II:I", bit_or, 0 },
    { "bit_xor", "II:I", bit_xor, 0 },
    { "bit_not", "I:I", bit_not, 0 },
    { "shift_left", "II:I", shift_left, 0 },
    { "shift_right", "II:I", shift_right, 0 },
    { "bit_count", "I:I", bit_count_int, 0 },
    { "bit_count", "Y:I", bit_count_bytes, 0 },
};
const struct function_table functions_arithmetic = FUNCTION_TABLE(rows);
