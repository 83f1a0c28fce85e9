#include "format/bigquery/decimal.h"

#include <ctype.h>
#include <string.h>

static bool read_exponent(struct str s, int *out)
{
    bool minus = str_starts(s, STR("-"));
    uint64_t n;

    if (minus || str_starts(s, STR("+")))
        s = str_sub(s, 1, s.len);
    if (!str_number_in(s, 0, 100, &n))
        return false;
    *out = minus ? -(int)n : (int)n;
    return true;
}

bool decimal_read(struct str s, struct bq_decimal *d)
{
    bool point = false, any = false;
    int exponent = 0;
    size_t i = 0;

    *d = (struct bq_decimal){ .minus = str_starts(s, STR("-")) };
    if (d->minus || str_starts(s, STR("+")))
        s = str_sub(s, 1, s.len);
    if (s.len > DECIMAL_DIGITS_MAX / 2)
        return false;
    for (; i < s.len && (isdigit((unsigned char)s.p[i]) || (s.p[i] == '.' && !point)); i++) {
        if (s.p[i] == '.') {
            point = true;
            continue;
        }
        any = true;
        d->fraction += point;
        if (d->count > 0 || s.p[i] != '0')
            d->digit[d->count++] = s.p[i];
    }
    if (!any)
        return false;
    if (i < s.len &&
        ((s.p[i] != 'e' && s.p[i] != 'E') || !read_exponent(str_sub(s, i + 1, s.len), &exponent)))
        return false;
    d->fraction -= exponent;
    for (; d->fraction < 0; d->fraction++) {
        if (d->count > 0)
            d->digit[d->count++] = '0';
    }
    return true;
}

void decimal_round(struct bq_decimal *d, int most)
{
    bool up = false;

    while (d->fraction > most) {
        up = d->count > 0 && d->digit[d->count - 1] >= '5';
        d->count -= d->count > 0;
        d->fraction--;
    }
    int i = d->count - 1;
    for (; up && i >= 0; i--) {
        up = d->digit[i] == '9';
        d->digit[i] = (char)(up ? '0' : d->digit[i] + 1);
    }
    if (up) {
        memmove(d->digit + 1, d->digit, (size_t)d->count++);
        d->digit[0] = '1';
    }
    while (d->fraction > 0 && (d->count == 0 || d->digit[d->count - 1] == '0')) {
        d->count -= d->count > 0;
        d->fraction--;
    }
}

void decimal_write(const struct bq_decimal *d, struct buf *out)
{
    int whole = d->count - d->fraction;

    if (d->minus && d->count > 0)
        buf_add_char(out, '-');
    if (whole <= 0)
        buf_add_char(out, '0');
    else
        buf_add(out, d->digit, (size_t)whole);
    if (d->fraction <= 0)
        return;
    buf_add_char(out, '.');
    for (int i = whole; i < d->count; i++)
        buf_add_char(out, i < 0 ? '0' : d->digit[i]);
}
