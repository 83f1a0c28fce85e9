/* numeric.c -- numeric.h: products and quotients in 256 bits, text and back. */
#include "store/tables/duckdb/functions/numeric.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct wide {
    uint128 high, low;
};

static struct wide product(uint128 a, uint128 b)
{
    uint128 a1 = a >> 64, a0 = (uint64_t)a, b1 = b >> 64, b0 = (uint64_t)b;
    uint128 low = a0 * b0, middle = a1 * b0 + (low >> 64), other = a0 * b1 + (uint64_t)middle;

    return (struct wide){ a1 * b1 + (middle >> 64) + (other >> 64), other << 64 | (uint64_t)low };
}

/* v / by with the remainder, bit by bit; false: the quotient needs more than 128 bits. */
static bool quotient(struct wide v, uint128 by, uint128 *out, uint128 *rest)
{
    uint128 q = 0, r = v.high;

    if (v.high >= by)
        return false;
    for (int i = 127; i >= 0; i--) {
        bool carry = r >> 127;
        r = r << 1 | (v.low >> i & 1);
        q <<= 1;
        if (carry || r >= by) {
            r -= by;
            q |= 1;
        }
    }
    *out = q;
    *rest = r;
    return true;
}

static uint128 magnitude(int128 v)
{
    return v < 0 ? -(uint128)v : (uint128)v;
}

bool numeric_scale(int128 a, int128 b, int128 by, int128 *out)
{
    bool negative = (a < 0) ^ (b < 0) ^ (by < 0);
    uint128 divisor = magnitude(by), v, rest;
    struct wide whole = product(magnitude(a), magnitude(b));

    assert(by != 0);
    if (whole.high == 0) {
        v = (uint128)(whole.low / divisor);
        rest = whole.low % divisor;
    } else if (!quotient(whole, divisor, &v, &rest)) {
        return false;
    }
    if (rest >= divisor - rest)
        v++;
    if (v > (uint128)NUMERIC_MAX)
        return false;
    *out = negative ? -(int128)v : (int128)v;
    return true;
}

void numeric_text(int128 v, char text[NUMERIC_BYTES])
{
    uint128 m = magnitude(v);
    char digits[NUMERIC_BYTES];
    size_t len = 0;

    for (uint128 rest = m; rest || len < 10;
         rest /= 10) /* the last first; 9 are behind the point */
        digits[len++] = (char)('0' + (int)(rest % 10));
    size_t zeros = 0, at = 0;
    while (zeros < 9 && digits[zeros] == '0')
        zeros++;
    if (v < 0)
        text[at++] = '-';
    for (size_t i = len; i > zeros; i--) {
        if (i == 9)
            text[at++] = '.';
        text[at++] = digits[i - 1];
    }
    assert(at < NUMERIC_BYTES);
    text[at] = '\0';
}

/* One more digit at the end. False: too large. */
static bool push_digit(uint128 *v, char digit)
{
    if (*v > (uint128)NUMERIC_MAX / 10)
        return false;
    *v = *v * 10 + (uint128)(unsigned)(digit - '0');
    return *v <= (uint128)NUMERIC_MAX;
}

struct decimal_text {
    struct str whole, fraction;
    bool negative;
    int exponent;
};

static bool digits_next(struct str *rest, struct str *out)
{
    size_t n = 0;

    while (n < rest->len && rest->p[n] >= '0' && rest->p[n] <= '9')
        n++;
    *out = str_sub(*rest, 0, n);
    *rest = str_sub(*rest, n, rest->len);
    return n > 0;
}

static bool sign_next(struct str *rest)
{
    bool negative = rest->len && rest->p[0] == '-';

    if (rest->len && (rest->p[0] == '-' || rest->p[0] == '+'))
        *rest = str_sub(*rest, 1, rest->len);
    return negative;
}

static bool split(struct str text, struct decimal_text *out)
{
    struct str rest = str_trim(text), exponent;

    *out = (struct decimal_text){ .negative = sign_next(&rest) };
    bool any = digits_next(&rest, &out->whole);
    if (rest.len && rest.p[0] == '.') {
        rest = str_sub(rest, 1, rest.len);
        any |= digits_next(&rest, &out->fraction);
    }
    if (any && rest.len && (rest.p[0] == 'e' || rest.p[0] == 'E')) {
        rest = str_sub(rest, 1, rest.len);
        bool down = sign_next(&rest);
        uint64_t n;
        if (!digits_next(&rest, &exponent) || !str_number_in(exponent, 0, 10000, &n))
            return false;
        out->exponent = down ? -(int)n : (int)n;
    }
    return any && !rest.len;
}

bool numeric_read(struct str text, int128 *out)
{
    struct decimal_text d;
    uint128 v = 0;

    if (!split(text, &d))
        return false;
    /* The digit at position i stands for 10^(whole.len - 1 - i + exponent). */
    int last = (int)d.whole.len + d.exponent + 9; /* digits that count */
    int have = (int)(d.whole.len + d.fraction.len);
    for (int i = 0; i < last; i++) {
        char digit = '0';
        if (i < have)
            digit = i < (int)d.whole.len ? d.whole.p[i] : d.fraction.p[i - (int)d.whole.len];
        else if (!v)
            break;
        if (!push_digit(&v, digit))
            return false;
    }
    if (last >= 0 && last < have) {
        char next =
            last < (int)d.whole.len ? d.whole.p[last] : d.fraction.p[last - (int)d.whole.len];
        v += next >= '5';
    }
    if (v > (uint128)NUMERIC_MAX)
        return false;
    *out = d.negative ? -(int128)v : (int128)v;
    return true;
}

double numeric_double(int128 v)
{
    char text[NUMERIC_BYTES];

    if (v == (int64_t)v && v % NUMERIC_ONE == 0)
        return (double)(int64_t)(v / NUMERIC_ONE);
    numeric_text(v, text);
    return strtod(text, NULL); /* the nearest double; the locale is "C" */
}

bool numeric_from_double(double f, int128 *out)
{
    char text[400];

    if (!isfinite(f) || fabs(f) >= 1e30)
        return false;
    (void)snprintf(text, sizeof text, "%.30f", f);
    return numeric_read(str_of(text), out);
}
