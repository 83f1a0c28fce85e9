#include "base/clock.h"

#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

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

/* A signal ends the sleep early; callers look at the time again. */
static void system_sleep_ns(struct clock *c, uint64_t ns)
{
    struct timespec t = { .tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S) };

    (void)c;
    (void)nanosleep(&t, NULL);
}

struct clock *clock_system(void)
{
    static struct clock system = { system_wall_us, system_mono_ns, system_sleep_ns, 0, 0 };

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
    static struct clock movable = { movable_wall_us, movable_mono_ns, system_sleep_ns, 0, 0 };

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
    return (struct clock){ fake_wall_us, fake_mono_ns, fake_sleep_ns, wall_us, NS_PER_S };
}

static size_t format_date(int64_t wall_us, char text[CLOCK_TEXT_BYTES])
{
    time_t s = (time_t)(wall_us / 1000000);
    struct tm tm;

    if (!gmtime_r(&s, &tm))
        return 0;
    return strftime(text, CLOCK_TEXT_BYTES, "%Y-%m-%dT%H:%M:%S", &tm);
}

void clock_format_row(int64_t wall_us, char text[CLOCK_TEXT_BYTES])
{
    size_t n = format_date(wall_us, text);

    (void)snprintf(text + n, CLOCK_TEXT_BYTES - n, ".%03d+00:00", (int)(wall_us / 1000 % 1000));
}

void clock_format_rfc3339(int64_t wall_us, char text[CLOCK_TEXT_BYTES])
{
    size_t n = format_date(wall_us, text);

    (void)snprintf(text + n, CLOCK_TEXT_BYTES - n, ".%06dZ", (int)(wall_us % 1000000));
}
