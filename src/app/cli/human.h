/* human.h -- numbers as people read them.
 *
 * Why: progress, summary and estimates show the same quantities; they are written in one way,
 * short, and without ever rounding to a lie (99.96 % is not 100 %).
 *
 * Shape:   each writes one value into the caller's small array: the functions return it, so that a
 *          call can stand among printf's arguments.
 * Threads: none.
 */
#ifndef TRANCHE_APP_CLI_HUMAN_H
#define TRANCHE_APP_CLI_HUMAN_H

#include <stdint.h>

#define HUMAN_BYTES 32
struct human {
    char text[HUMAN_BYTES];
};
/* For printf: human_count(&(struct human){ 0 }, n) lives until the end of the enclosing block. */
#define HUMAN (&(struct human){ { 0 } })

const char *human_count(struct human *h, uint64_t n);       /* 1,234,567 */
const char *human_bytes(struct human *h, uint64_t n);       /* 812 B, 1.2 GB */
const char *human_duration(struct human *h, uint64_t ns);   /* 80 ms, 1.8 s, 2 m 10 s, 3 h 04 m */
const char *human_rate(struct human *h, double per_second); /* <0.01, 0.25, 4.6, 1,204 */
const char *human_money(struct human *h, uint64_t nano);    /* $0.00, $0.0012, $1,234.50 */
const char *human_percent(struct human *h, uint64_t part,
                          uint64_t of); /* 0%, <1%, 41%, >99%, 100% */

#endif
