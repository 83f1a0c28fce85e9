#include "app/cli/human.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/clock.h"

#define NANO_PER_USD 1000000000ULL

const char *human_count(struct human *h, uint64_t n)
{
    char digits[HUMAN_BYTES];
    int len = snprintf(digits, sizeof digits, "%llu", (unsigned long long)n);
    size_t at = 0;

    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0)
            h->text[at++] = ',';
        h->text[at++] = digits[i];
    }
    h->text[at] = '\0';
    return h->text;
}

const char *human_bytes(struct human *h, uint64_t n)
{
    static const char *const units[] = { "B", "kB", "MB", "GB", "TB", "PB", "EB" };
    double v = (double)n;
    size_t unit = 0;

    while (v >= 999.5 && unit + 1 < ARRAY_LEN(units)) {
        v /= 1000;
        unit++;
    }
    (void)snprintf(h->text, sizeof h->text, unit && v < 9.95 ? "%.1f %s" : "%.0f %s", v,
                   units[unit]);
    return h->text;
}

/* Two units at most: more would change faster than it can be read. */
const char *human_duration(struct human *h, uint64_t ns)
{
    static const struct {
        uint64_t seconds;
        const char *unit, *below;
        uint64_t below_seconds;
    } steps[] = {
        { 86400, "d", "h", 3600 },
        { 3600, "h", "m", 60 },
        { 60, "m", "s", 1 },
    };
    uint64_t s = ns / NS_PER_S + (ns % NS_PER_S >= NS_PER_S / 2);

    if (ns < NS_PER_S - NS_PER_MS / 2) {
        (void)snprintf(h->text, sizeof h->text, "%llu ms",
                       (unsigned long long)((ns + NS_PER_MS / 2) / NS_PER_MS));
        return h->text;
    }
    if (ns < 10 * NS_PER_S - NS_PER_S / 20) {
        (void)snprintf(h->text, sizeof h->text, "%.1f s", (double)ns / (double)NS_PER_S);
        return h->text;
    }
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        if (s < steps[i].seconds)
            continue;
        (void)snprintf(h->text, sizeof h->text, "%llu %s %02llu %s",
                       (unsigned long long)(s / steps[i].seconds), steps[i].unit,
                       (unsigned long long)(s % steps[i].seconds / steps[i].below_seconds),
                       steps[i].below);
        return h->text;
    }
    (void)snprintf(h->text, sizeof h->text, "%llu s", (unsigned long long)s);
    return h->text;
}

const char *human_rate(struct human *h, double per_second)
{
    if (!(per_second > 0))
        (void)snprintf(h->text, sizeof h->text, "0");
    else if (per_second < 0.005)
        (void)snprintf(h->text, sizeof h->text, "<0.01");
    else if (per_second < 0.995)
        (void)snprintf(h->text, sizeof h->text, "%.2f", per_second);
    else if (per_second < 99.95)
        (void)snprintf(h->text, sizeof h->text, "%.1f", per_second);
    else if (per_second < 1e15)
        return human_count(h, (uint64_t)(per_second + 0.5));
    else
        (void)snprintf(h->text, sizeof h->text, "%.3g", per_second);
    return h->text;
}

/* Below a cent the first two digits that say something; from a cent on, cents. */
const char *human_money(struct human *h, uint64_t nano)
{
    uint64_t cents = (nano + NANO_PER_USD / 200) / (NANO_PER_USD / 100);
    struct human whole;

    if (nano == 0) {
        (void)snprintf(h->text, sizeof h->text, "$0.00");
        return h->text;
    }
    if (nano >= NANO_PER_USD / 100) {
        (void)snprintf(h->text, sizeof h->text, "$%s.%02u", human_count(&whole, cents / 100),
                       (unsigned)(cents % 100));
        return h->text;
    }
    int decimals = 4; /* two digits from a tenth of a cent */
    for (uint64_t low = NANO_PER_USD / 1000; nano < low && decimals < 9; low /= 10)
        decimals++;
    (void)snprintf(h->text, sizeof h->text, "$%.*f", decimals, (double)nano / NANO_PER_USD);
    return h->text;
}

const char *human_percent(struct human *h, uint64_t part, uint64_t of)
{
    double share = of ? 100.0 * (double)part / (double)of : 0;
    const char *text = NULL;

    if (part > 0 && share < 1)
        text = "<1%";
    else if (part < of && share > 99)
        text = ">99%";
    if (text)
        (void)snprintf(h->text, sizeof h->text, "%s", text);
    else
        (void)snprintf(h->text, sizeof h->text, "%.0f%%", share);
    return h->text;
}
