/* bucket_inner.h -- the kinds of buckets, and what a bucket's URL tells them.
 *
 * Why: bucket_open reads a URL once, and each kind opens what it names.
 *
 * Errors:  of bucket.h. Opening must not ask the network: bucket_open does that with the first calls.
 * Threads: none; a kind keeps copies of what it needs.
 */
#ifndef TRANCHE_STORE_BUCKET_BUCKET_INNER_H
#define TRANCHE_STORE_BUCKET_BUCKET_INNER_H

#include "store/bucket/bucket.h"

struct bucket_url {
    struct str name;                      /* of the bucket; empty in "file:///FOLDER" */
    struct str prefix;                    /* without slashes at its ends; may be empty */
    struct str endpoint, region, ca_file; /* settings; empty when the URL has none */
    uint64_t patience_ms;                 /* 0: BUCKET_PATIENCE_MS */
};
struct shared_bucket *bucket_file_open(const struct bucket_url *url, struct error *e);
struct shared_bucket *bucket_s3_open(const struct bucket_url *url, struct error *e);
struct shared_bucket *bucket_gcs_open(const struct bucket_url *url, struct error *e);

#endif
