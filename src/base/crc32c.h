/* crc32c.h -- CRC-32C (Castagnoli), the sum that Cloud Storage and S3 keep of each object.
 *
 * Threads: all.
 * Source:  RFC 3720, appendix B.4 (its polynomial and test vectors); Intel SDM, CRC32.
 */
#ifndef TRANCHE_BASE_CRC32C_H
#define TRANCHE_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* The sum with more bytes; begin with 0. */
uint32_t crc32c_add(uint32_t crc, const void *p, size_t len);
/* That of a's bytes followed by b's. */
uint32_t crc32c_join(uint32_t a, uint32_t b, uint64_t b_bytes);

#endif
