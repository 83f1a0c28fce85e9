#include "predict/upstream/pace_quota.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

#define NUMBER_BYTES 32
#define RESET_MAX_S 86400.0 /* longer is not a duration (a date), or of no use to a batch */

/* The number at the beginning of s, which is then cut off; -1 when there is none. */
static double number_take(struct str *s)
{
    char text[NUMBER_BYTES];
    size_t len = 0;

    while (len < s->len && len < sizeof text - 1 &&
           ((s->p[len] >= '0' && s->p[len] <= '9') || s->p[len] == '.'))
        len++;
    if (len == 0)
        return -1;
    memcpy(text, s->p, len);
    text[len] = '\0';
    *s = str_sub(*s, len, s->len);
    return strtod(text, NULL);
}

/* Seconds of "1h2m3.5s", "20ms" or "7"; -1 when it is not a duration. */
static double seconds_of(struct str s)
{
    static const struct {
        const char *unit;
        double seconds;
    } units[] = { { "ms", 1e-3 }, { "us", 1e-6 }, { "ns", 1e-9 }, { "s", 1 },
                  { "m", 60 },    { "h", 3600 },  { "d", 86400 } };
    double sum = 0;

    s = str_trim(s);
    do {
        double n = number_take(&s);
        size_t i = 0;
        if (n < 0)
            return -1;
        if (s.len == 0)
            return sum + n;
        while (i < ARRAY_LEN(units) && !str_starts(s, str_of(units[i].unit)))
            i++;
        if (i == ARRAY_LEN(units))
            return -1;
        sum += n * units[i].seconds;
        s = str_sub(s, strlen(units[i].unit), s.len);
    } while (s.len);
    return sum;
}

void quota_read(struct str limit, struct str remaining, struct str reset, struct quota_report *out)
{
    struct str l = str_trim(limit), r = str_trim(remaining);
    double all = number_take(&l), left = number_take(&r), seconds = seconds_of(reset);

    *out = (struct quota_report){ 0 };
    if (left < 0 || seconds < 0 || seconds > RESET_MAX_S || r.len)
        return;
    out->known = true;
    out->limit = all > 0 && l.len == 0 ? all : 0;
    out->remaining = left;
    out->reset_ns = (uint64_t)(seconds * (double)NS_PER_S);
}

bool quota_ready(struct quota *q, double n, uint64_t now_ns, uint64_t *ready_ns)
{
    q->known = q->known && now_ns < q->reset_ns;
    if (!q->known)
        return true;
    if (now_ns > q->at_ns) {
        q->level += (double)(now_ns - q->at_ns) * q->per_ns;
        q->at_ns = now_ns;
    }
    if (q->limit > 0 && n > q->limit)
        n = q->limit; /* a request over the whole limit is the server's to judge */
    if (q->level >= n)
        return true;
    double wait = q->per_ns > 0 ? ceil((n - q->level) / q->per_ns) : INFINITY;
    double most = (double)(q->reset_ns - now_ns);
    *ready_ns = now_ns + (uint64_t)fmax(1, fmin(wait, most));
    return false;
}

void quota_take(struct quota *q, double n)
{
    q->taken += n;
    q->level -= n;
}

void quota_reported(struct quota *q, const struct quota_report *r, uint64_t sent_ns, double taken,
                    uint64_t now_ns)
{
    assert(taken <= q->taken);
    if (!r->known || sent_ns < q->sent_ns)
        return;
    q->known = true;
    q->sent_ns = sent_ns;
    q->at_ns = now_ns;
    q->reset_ns = now_ns + r->reset_ns;
    q->limit = r->limit;
    q->level = r->remaining - (q->taken - taken);
    q->per_ns = r->limit > r->remaining && r->reset_ns
                    ? (r->limit - r->remaining) / (double)r->reset_ns
                    : 0;
}
