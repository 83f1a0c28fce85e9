/* digest.h -- 128-bit digests of bytes, for noticing that bytes changed or are the same.
 *
 * Why: shards, jobs and identical requests are recognised by the same function. It is fast, not
 * secret: it protects against mistakes, not against someone who makes collisions on purpose.
 *
 * Threads: none; values.
 * Source:  XXH3-128 (https://xxhash.com).
 */
#ifndef TRANCHE_ENGINE_LINES_DIGEST_H
#define TRANCHE_ENGINE_LINES_DIGEST_H

#include <stddef.h>
#include <stdint.h>

void digest_of(const void *p, size_t len, uint64_t out[2]);

/* The same of bytes that come in pieces. */
struct digest;
struct digest *digest_new(void);
void digest_add(struct digest *d, const void *p, size_t len);
void digest_end(const struct digest *d, uint64_t out[2]);
void digest_free(struct digest *d);

#endif
