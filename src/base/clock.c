#include "base/clock.h"

#include <stdatomic.h>
#include <string.h>
#include <time.h>

#define US_PER_S 1000000
#define DAY_S 86400
#define SECOND_BYTES 19 /* "2025-07-09T19:57:43" */
/* The range that four digits of a year can show. */
#define YEAR_0_US (-62167219200LL * US_PER_S)
#define YEAR_9999_US (253402300799LL * US_PER_S + US_PER_S - 1)
#define DAYS_PER_400_YEARS 146097U
#define DAYS_BEFORE_MARCH 60U /* of year 0, a leap year */

static int64_t system_wall_us(struct clock *c)
{
    struct timespec t;

    (void)c;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static uint64_t system_mono_ns(struct clock *c)
{
    struct timespec t;

    (void)c;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static uint64_t system_boot_ns(struct clock *c)
{
    struct timespec t;

    (void)c;
    (void)clock_gettime(CLOCK_BOOTTIME, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

uint64_t clock_thread_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

/* A signal ends the sleep early; callers look at the time again. */
static void system_sleep_ns(struct clock *c, uint64_t ns)
{
    struct timespec t = { .tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S) };

    (void)c;
    (void)nanosleep(&t, NULL);
}

struct clock *clock_system(void)
{
    static struct clock system = { .wall_us = system_wall_us,
                                   .mono_ns = system_mono_ns,
                                   .boot_ns = system_boot_ns,
                                   .sleep_ns = system_sleep_ns };

    return &system;
}

/* Microseconds that the movable clock is ahead of the system's. */
static atomic_llong ahead_us;

static int64_t movable_wall_us(struct clock *c)
{
    return system_wall_us(c) + atomic_load(&ahead_us);
}

static uint64_t movable_mono_ns(struct clock *c)
{
    return system_mono_ns(c) + (uint64_t)atomic_load(&ahead_us) * 1000;
}

struct clock *clock_movable(void)
{
    static struct clock movable = { .wall_us = movable_wall_us,
                                    .mono_ns = movable_mono_ns,
                                    .boot_ns = system_boot_ns,
                                    .sleep_ns = system_sleep_ns };

    return &movable;
}

void clock_advance(int64_t us)
{
    if (us > 0)
        (void)atomic_fetch_add(&ahead_us, us);
}

static int64_t fake_wall_us(struct clock *c)
{
    return c->fake_us;
}

static uint64_t fake_mono_ns(struct clock *c)
{
    return c->fake_ns;
}

static void fake_sleep_ns(struct clock *c, uint64_t ns)
{
    c->fake_ns += ns;
    c->fake_us += (int64_t)(ns / 1000);
}

struct clock clock_fake(int64_t wall_us)
{
    return (struct clock){ .wall_us = fake_wall_us,
                           .mono_ns = fake_mono_ns,
                           .boot_ns = fake_mono_ns,
                           .sleep_ns = fake_sleep_ns,
                           .fake_us = wall_us,
                           .fake_ns = NS_PER_S };
}

/* count digits of v, the last of them at end[-1]: where the first stands. */
static char *put_digits(char *end, unsigned v, int count)
{
    for (; count > 0; count--, v /= 10)
        *--end = (char)('0' + v % 10);
    return end;
}

/* Writes "2025-07-09T19:57:43" and returns the microseconds of the second. By hand, because each answer
 * and each row has a time, and gmtime_r with strftime costs as much as the rest of the row. */
static unsigned put_second(int64_t wall_us, char text[CLOCK_TEXT_BYTES])
{
    int64_t us = wall_us < YEAR_0_US ? YEAR_0_US : wall_us > YEAR_9999_US ? YEAR_9999_US : wall_us;
    uint64_t since = (uint64_t)(us - YEAR_0_US);
    unsigned second = (unsigned)(since / US_PER_S % DAY_S),
             day = (unsigned)(since / US_PER_S / DAY_S);

    /* Years begin with March, so that the leap day is the last of its year. */
    day += DAYS_PER_400_YEARS - DAYS_BEFORE_MARCH;
    unsigned era = day / DAYS_PER_400_YEARS, of_era = day % DAYS_PER_400_YEARS;
    unsigned year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    unsigned of_year = of_era - (365 * year + year / 4 - year / 100);
    unsigned month = (5 * of_year + 2) / 153, of_month = of_year - (153 * month + 2) / 5;
    year += 400 * era - 400 + (month >= 10);
    memcpy(text, "0000-00-00T00:00:00", 20);
    (void)put_digits(text + 4, year, 4);
    (void)put_digits(text + 7, month < 10 ? month + 3 : month - 9, 2);
    (void)put_digits(text + 10, of_month + 1, 2);
    (void)put_digits(text + 13, second / 3600, 2);
    (void)put_digits(text + 16, second / 60 % 60, 2);
    (void)put_digits(text + 19, second % 60, 2);
    return (unsigned)(since % US_PER_S);
}

void clock_format_row(int64_t wall_us, char text[CLOCK_TEXT_BYTES])
{
    unsigned us = put_second(wall_us, text);

    memcpy(text + SECOND_BYTES, ".000+00:00", 11);
    (void)put_digits(text + SECOND_BYTES + 4, us / 1000, 3);
}

void clock_format_rfc3339(int64_t wall_us, char text[CLOCK_TEXT_BYTES])
{
    unsigned us = put_second(wall_us, text);

    memcpy(text + SECOND_BYTES, ".000000Z", 9);
    (void)put_digits(text + SECOND_BYTES + 7, us, 6);
}
