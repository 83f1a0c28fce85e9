/* bucket.h -- a folder of immutable files that several machines share: S3, Google Cloud Storage, or a mounted file system.
 *
 * Why: blobs (blob.h) must be readable by every process of a fleet.
 *
 * Shape:   url: "s3://NAME/PREFIX", "gs://NAME/PREFIX" or "file:///FOLDER", with settings behind a question mark:
 *          endpoint=http://127.0.0.1:9000 and region=REGION for S3 servers that are not Amazon's, endpoint=... for a server
 *          that speaks Cloud Storage's JSON API; ca_file=PEM for one whose certificate is of one's own authority;
 *          patience_ms=... instead of BUCKET_PATIENCE_MS. Keys are ours: letters, digits, '/', '-', '.'. A key is written
 *          once; writing the same bytes again is fine. Large objects go up in parts, and come down by ranges.
 * Keys:    S3: as net/client/aws_keys.h finds them; Google: as net/client/credential.h does.
 * Errors:  UNAVAILABLE, RESOURCE_EXHAUSTED (throttled), DEADLINE_EXCEEDED: each call has tried again by itself for BUCKET_PATIENCE_MS;
 *          NOT_FOUND; PERMISSION_DENIED; DATA_LOSS: other bytes came than were sent (crc32c).
 * Threads: all calls from any thread at once; each waits for the network.
 */
#ifndef TRANCHE_STORE_BUCKET_BUCKET_H
#define TRANCHE_STORE_BUCKET_BUCKET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/str.h"

#define BUCKET_PATIENCE_MS 30000

struct shared_bucket;
struct bucket_entry {
    struct str key; /* without the prefix */
    uint64_t bytes;
    int64_t modified_us;
};
/* The bytes [from, to) of an object, and where a file has them. */
struct bucket_span {
    uint64_t from, to, at;
};
struct shared_bucket_ops {
    /* The bytes [from, to) of fd become the object. */
    int (*put)(struct shared_bucket *b, const char *key, int fd, uint64_t from, uint64_t to,
               struct error *e);
    /* These bytes of the object are written to fd. OUT_OF_RANGE: it is shorter. */
    int (*get)(struct shared_bucket *b, const char *key, const struct bucket_span *what, int fd,
               struct error *e);
    int (*size)(struct shared_bucket *b, const char *key, uint64_t *bytes, struct error *e);
    int (*remove)(struct shared_bucket *b, const char *key,
                  struct error *e); /* 0 also when it is gone */
    /* Each object whose key begins with `under`, in any order: a folder with its slash, or "" for all. fn's -1 ends
     * the walk. */
    int (*list)(struct shared_bucket *b, const char *under,
                int (*fn)(void *arg, const struct bucket_entry *entry, struct error *e), void *arg,
                struct error *e);
    void (*close)(struct shared_bucket *b);
};
struct shared_bucket {
    const struct shared_bucket_ops *ops;
};
/* Opens it, and makes sure that it can be read and written there. */
struct shared_bucket *bucket_open(const char *url, struct error *e);
/* Writes down whose it is at the first call. FAILED_PRECONDITION when it is another owner's, whose objects would
 * be overwritten and swept. folder: for a file without a name. */
int bucket_claim(struct shared_bucket *b, const char *owner, const char *folder,
                 struct error *e) FALLIBLE;

#endif
