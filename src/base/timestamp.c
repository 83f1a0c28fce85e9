#include "base/timestamp.h"

#define FRACTION_DIGITS_MAX 9
#define US_PER_S 1000000

/* Takes `digits` digits at *at as a number within [lo, hi]. */
static bool number_take(struct str s, size_t *at, int digits, int64_t lo, int64_t hi, int64_t *out)
{
    *out = 0;
    for (int i = 0; i < digits; i++, (*at)++) {
        if (*at >= s.len || s.p[*at] < '0' || s.p[*at] > '9')
            return false;
        *out = *out * 10 + (s.p[*at] - '0');
    }
    return *out >= lo && *out <= hi;
}

static bool char_take(struct str s, size_t *at, const char *any)
{
    for (; *at < s.len && *any; any++) {
        if (s.p[*at] == *any) {
            (*at)++;
            return true;
        }
    }
    return false;
}

static int64_t days_since_1970(int64_t year, int64_t month, int64_t day)
{
    year -= month <= 2;
    int64_t era = year / 400, of_era = year - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static int64_t days_of_month(int64_t year, int64_t month)
{
    static const signed char days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return days[month - 1] + (month == 2 && leap);
}

static bool date_take(struct str s, size_t *at, int64_t *days)
{
    int64_t year, month, day;

    if (!number_take(s, at, 4, 1, 9999, &year) || !char_take(s, at, "-") ||
        !number_take(s, at, 2, 1, 12, &month) || !char_take(s, at, "-") ||
        !number_take(s, at, 2, 1, days_of_month(year, month), &day))
        return false;
    *days = days_since_1970(year, month, day);
    return true;
}

static bool fraction_take(struct str s, size_t *at, int64_t *us)
{
    int64_t scale = US_PER_S / 10;
    int digits = 0;

    *us = 0;
    if (!char_take(s, at, "."))
        return true;
    for (; *at < s.len && s.p[*at] >= '0' && s.p[*at] <= '9'; (*at)++, digits++, scale /= 10)
        *us += (s.p[*at] - '0') * scale;
    return digits >= 1 && digits <= FRACTION_DIGITS_MAX;
}

static bool zone_take(struct str s, size_t *at, int64_t *offset_s)
{
    int64_t hours, minutes;

    *offset_s = 0;
    if (char_take(s, at, "Zz"))
        return true;
    int64_t sign = *at < s.len && s.p[*at] == '-' ? -1 : 1;
    if (!char_take(s, at, "+-") || !number_take(s, at, 2, 0, 23, &hours) ||
        !char_take(s, at, ":") || !number_take(s, at, 2, 0, 59, &minutes))
        return false;
    *offset_s = sign * (hours * 3600 + minutes * 60);
    return true;
}

bool timestamp_read(struct str text, int64_t *us)
{
    int64_t days, hour, minute, second, fraction, offset;
    size_t at = 0;

    if (!date_take(text, &at, &days))
        return false;
    if (at == text.len) {
        *us = days * 86400 * US_PER_S;
        return true;
    }
    if (!char_take(text, &at, "Tt ") || !number_take(text, &at, 2, 0, 23, &hour) ||
        !char_take(text, &at, ":") || !number_take(text, &at, 2, 0, 59, &minute) ||
        !char_take(text, &at, ":") || !number_take(text, &at, 2, 0, 60, &second) ||
        !fraction_take(text, &at, &fraction) || !zone_take(text, &at, &offset) || at != text.len)
        return false;
    second -= second == 60;
    *us = (days * 86400 + hour * 3600 + minute * 60 + second - offset) * US_PER_S + fraction;
    return true;
}
