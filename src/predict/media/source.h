/* source.h -- the file that a part of a request names or holds, by descriptor, and the digest of its bytes.
 *
 * Why: what is decoded must be a file that can seek, wherever it came from; and what was decoded once is found
 *      again by its content, whatever its name.
 *
 * Errors:  of the request's file source; INVALID_ARGUMENT for a file that is larger than its kind may be, or of a
 *          URI that this machine does not read; FAILED_PRECONDITION for a file in a run that has no files.
 * Threads: any; reading may wait.
 */
#ifndef TRANCHE_PREDICT_MEDIA_SOURCE_H
#define TRANCHE_PREDICT_MEDIA_SOURCE_H

#include "base/error.h"
#include "format/request/request.h"
#include "predict/media/limits.h"

#define MEDIA_DIGEST_BYTES 32

struct media_file {
    int fd; /* the caller's to close */
    unsigned char digest[MEDIA_DIGEST_BYTES];
};

int media_file_open(const struct request *r, const struct part *p,
                    const struct media_limits *limits, struct media_file *out,
                    struct error *e) FALLIBLE;

#endif
