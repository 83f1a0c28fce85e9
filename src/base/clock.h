/* clock.h -- time as a value that is passed in.
 *
 * Why: expiry, backoff, lease and progress decide by the time; a simulator and the tests must own
 * it. No other file reads the system's clocks.
 *
 * Units:   wall time in microseconds since 1970 (UTC); monotonic time in nanoseconds from any start.
 * Threads: the system clock is thread-safe. A fake clock belongs to its test.
 */
#ifndef TRANCHE_BASE_CLOCK_H
#define TRANCHE_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

struct clock {
    int64_t (*wall_us)(struct clock *);
    uint64_t (*mono_ns)(struct clock *);
    uint64_t (*boot_ns)(
        struct clock *); /* as mono_ns, and goes on while the machine sleeps: for leases */
    void (*sleep_ns)(struct clock *,
                     uint64_t ns); /* a fake clock jumps instead; may return early */
    int64_t fake_us;               /* read by clock_fake only */
    uint64_t fake_ns;
};

struct clock *clock_system(void);
struct clock clock_fake(int64_t wall_us); /* stands still until slept or set */
/* The system's clock and what clock_advance added so far, but for boot_ns: `tranche serve --test-clock`. One a process. */
struct clock *clock_movable(void);
void clock_advance(int64_t us); /* of clock_movable; forward only; thread-safe */

/* Time since the machine started, also while it slept (CLOCK_BOOTTIME): for leases that others end. */
uint64_t clock_boot_ns(void);

/* Processor time of the calling thread: what it computed, however busy the machine is. */
uint64_t clock_thread_ns(void);

#define NS_PER_MS 1000000ULL
#define NS_PER_S 1000000000ULL
/* Bytes of a time stamp with its NUL. */
#define CLOCK_TEXT_BYTES 40

/* A time outside the years 0 to 9999 is shown as the nearest one in them.
 * "2025-07-09T19:57:43.558+00:00": milliseconds and an offset, as batch output rows have it. */
void clock_format_row(int64_t wall_us, char text[CLOCK_TEXT_BYTES]);
/* "2026-11-22T10:00:00.000000Z": RFC 3339 as resources have it. */
void clock_format_rfc3339(int64_t wall_us, char text[CLOCK_TEXT_BYTES]);

#endif
