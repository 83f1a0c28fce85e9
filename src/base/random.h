/* random.h -- random numbers: secret ones from the system, repeatable ones from a seed.
 *
 * Why: ids, keys and boundaries must not be guessed; backoff, sampling and scripted faults must come
 * out the same from the same seed.
 *
 * Errors:  INTERNAL when the system gives no random bytes.
 * Threads: all; a seed belongs to its caller.
 * Source:  getrandom(2); SplitMix64 (Steele, Lea, Flood 2014).
 */
#ifndef TRANCHE_BASE_RANDOM_H
#define TRANCHE_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Bytes that nobody can guess. */
int random_bytes(void *out, size_t len, struct error *e) FALLIBLE;
/* count letters of an alphabet of at most 256, each equally likely, and a NUL. */
int random_text(char *out, size_t count, const char *alphabet, struct error *e) FALLIBLE;
#define ALPHABET_36 "0123456789abcdefghijklmnopqrstuvwxyz"
#define ALPHABET_62 ALPHABET_36 "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
/* 2 * bytes lower-case hexadecimal digits and a NUL. */
#define RANDOM_HEX_BYTES_MAX 64
int random_hex(char *out, size_t bytes, struct error *e) FALLIBLE;

/* The next of a sequence that the seed decides; any seed is good, and it is the whole state. */
uint64_t random_next(uint64_t *seed);
/* The same as a number in [0, 1), with 53 bits. */
double random_unit(uint64_t *seed);

#endif
