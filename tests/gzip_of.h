/* gzip_of.h -- a text as gzip, for tests of what reads it. Include after cmocka.h. */
#ifndef TRANCHE_TESTS_GZIP_OF_H
#define TRANCHE_TESTS_GZIP_OF_H

#include <string.h>
#include <zlib.h>

#define GZIP_OF_BYTES ((size_t)64 * 1024)

/* Into out, which has GZIP_OF_BYTES; returns the length. */
static inline size_t gzip_of(const char *text, size_t len, unsigned char *out)
{
    z_stream z = { 0 };

    assert_int_equal(
        deflateInit2(&z, Z_BEST_COMPRESSION, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (Bytef *)(uintptr_t)text;
    z.avail_in = (uInt)len;
    z.next_out = out;
    z.avail_out = (uInt)GZIP_OF_BYTES;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    size_t packed = z.total_out;
    assert_int_equal(deflateEnd(&z), Z_OK);
    return packed;
}

#endif
