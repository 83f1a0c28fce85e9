#include "format/retry_after.h"

#include <stdio.h>

#include "base/timestamp.h"

#define MS_PER_S 1000
#define US_PER_MS 1000

static uint32_t clamp(uint64_t ms)
{
    return ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Digits, perhaps a point and digits, and nothing else. */
static bool seconds_read(struct str s, uint32_t *ms)
{
    uint64_t whole = 0, fraction = 0, scale = MS_PER_S;
    size_t at = 0;
    bool rest = false; /* anything below a millisecond */

    for (; at < s.len && is_digit(s.p[at]); at++)
        whole = clamp(whole * 10 + (uint64_t)(s.p[at] - '0'));
    if (at == 0)
        return false;
    if (at < s.len && s.p[at] == '.') {
        for (at++; at < s.len && is_digit(s.p[at]); at++) {
            scale /= 10;
            fraction += scale * (uint64_t)(s.p[at] - '0');
            rest = rest || (scale == 0 && s.p[at] != '0');
        }
    }
    *ms = clamp(whole * MS_PER_S + fraction + rest);
    return at == s.len;
}

/* ---- Dates ---- */

/* A date's numbers, found by their form: all three forms of RFC 9110 have the same pieces. */
struct pieces {
    struct str time; /* "08:49:37" */
    unsigned year, month, day;
};

static unsigned month_of(struct str word)
{
    static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

    for (unsigned i = 0; i < 12; i++)
        if (str_eq(word, (struct str){ names + (size_t)3 * i, 3 }))
            return i + 1;
    return 0;
}

/* "94" of RFC 850 is the year that is nearest in our time: servers that write it write now. */
static void number_take(struct pieces *p, struct str word)
{
    uint64_t n;

    if (!str_number(word, &n) || n > 9999)
        return;
    if (word.len == 4)
        p->year = (unsigned)n;
    else if (!p->day)
        p->day = (unsigned)n;
    else if (word.len == 2)
        p->year = 2000 + (unsigned)n;
}

static void word_take(struct pieces *p, struct str word)
{
    if (word.len == 8 && word.p[2] == ':' && word.p[5] == ':')
        p->time = word;
    else if (month_of(word))
        p->month = month_of(word);
    else
        number_take(p, word);
}

static bool date_read(struct str s, int64_t *us)
{
    struct pieces p = { 0 };
    char text[64];

    for (size_t from = 0, at = 0; at <= s.len; at++) {
        if (at < s.len && s.p[at] != ' ' && s.p[at] != ',' && s.p[at] != '-')
            continue;
        word_take(&p, str_sub(s, from, at - from));
        from = at + 1;
    }
    (void)snprintf(text, sizeof text, "%04u-%02u-%02uT%.*sZ", p.year, p.month, p.day,
                   STR_ARG(p.time));
    return timestamp_read(str_of(text), us);
}

bool retry_after_read(struct str header, int64_t now_us, uint32_t *ms)
{
    struct str s = str_trim(header);
    int64_t then_us;

    if (seconds_read(s, ms))
        return true;
    if (!date_read(s, &then_us))
        return false;
    *ms = then_us <= now_us
              ? 0
              : clamp(((uint64_t)then_us - (uint64_t)now_us + US_PER_MS - 1) / US_PER_MS);
    return true;
}

bool retry_delay_read(struct str duration, uint32_t *ms)
{
    return str_ends(duration, STR("s")) && seconds_read(str_sub(duration, 0, duration.len - 1), ms);
}
