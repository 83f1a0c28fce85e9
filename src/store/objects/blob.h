/* blob.h -- the bytes of objects and files: immutable, named by number, hashed as they arrive.
 *
 * Why: a name that a client chose never becomes a path, and bytes that are known to the database
 * are whole and on the disk.
 *
 * Shape:   write: blob_create -> blob_write ... -> blob_finish (hashes, fsync) -> its id goes
 *          into a row of the database (an object, a file, a job) in a later transaction. A blob in
 *          no row is swept after BLOB_GRACE_S.
 *          A shared store keeps the bytes in its bucket. Opening a blob there fetches it into the process's
 *          folder, which keeps it while there is room: the call may wait for the network.
 * Units:   crc32c and md5 as GCS means them, sha256 as the Files API does.
 * Errors:  of writing; RESOURCE_EXHAUSTED when full or over the writer's bytes_max.
 * Threads: all; one writer has one owner at a time.
 */
#ifndef TRANCHE_STORE_OBJECTS_BLOB_H
#define TRANCHE_STORE_OBJECTS_BLOB_H

#include <stdatomic.h>

#include "base/crc32c.h"
#include "store/store.h"

#define BLOB_GRACE_S 3600

struct blob {
    int64_t id;
    uint64_t bytes;
    uint32_t crc32c;
    unsigned char md5[16];
    unsigned char sha256[32];
    bool has_md5, has_sha256; /* not of a composed one */
};

struct blob_writer;
/* sha256: also that hash (it costs as much as the others together). */
struct blob_writer *blob_create(struct store *s, uint64_t bytes_max, bool sha256, struct error *e);
int blob_write(struct blob_writer *w, const void *p, size_t len, struct error *e) FALLIBLE;
uint64_t blob_written(const struct blob_writer *w);
/* Takes w, whatever happens. */
int blob_finish(struct blob_writer *w, struct blob *out, struct error *e) FALLIBLE;
void blob_abort(struct blob_writer *w); /* accepts NULL */
/* Takes w from a thread that may not wait: soon another thread pauses it when it is an upload's, and
 * removes it when not. */
void blob_leave(struct blob_writer *w);

/* The hashes of a file that the caller writes, made while its bytes pass. One owner at a time. */
struct blob_hasher;
struct blob_hasher *blob_hasher_new(struct error *e);
void blob_hasher_add(struct blob_hasher *h, const void *p, size_t len);
void blob_hasher_free(struct blob_hasher *h); /* accepts NULL */
/* Takes a finished file in the state folder (same file system): synced, renamed. h has seen all its
 * bytes, and has nothing after that; DATA_LOSS when the file has more or fewer. The file stays where
 * it is when this fails. */
int blob_adopt(struct store *s, const char *path, struct blob_hasher *h, struct blob *out,
               struct error *e) FALLIBLE;
/* The concatenation. crc32c only. */
int blob_compose(struct store *s, const int64_t *part, uint32_t count, struct blob *out,
                 struct error *e) FALLIBLE;

/* The content of a blob that is gzip, as a blob of its own. OUT_OF_RANGE when it is over bytes_max,
 * INVALID_ARGUMENT when the gzip stream is broken, CANCELLED soon after *stop is set. name: for messages. */
struct blob_content {
    int64_t id;
    const char *name;
    uint64_t bytes_max;
    const atomic_bool *stop;
};
int blob_unpack(struct store *s, const struct blob_content *of, struct blob *out,
                struct error *e) FALLIBLE;

/* The file as a packed blob, and back into a file. */
int blob_pack(struct store *s, const char *path, struct blob *out, struct error *e) FALLIBLE;
int blob_unpack_to(struct store *s, int64_t id, const char *path, struct error *e) FALLIBLE;

int blob_open(struct store *s, int64_t id, struct error *e) FALLIBLE; /* a descriptor for reading */
/* A descriptor of a file of the blob's full size in which at least the bytes [from, to) are there: those of a blob in a
 * shared bucket are fetched, the others are holes. */
int blob_open_part(struct store *s, int64_t id, uint64_t from, uint64_t to,
                   struct error *e) FALLIBLE;
int blob_size(struct store *s, int64_t id, uint64_t *bytes, struct error *e) FALLIBLE;
/* The path of a blob of a store that is not shared, in the arena. */
const char *blob_path(struct store *s, struct arena *a, int64_t id);

/* Removes blobs and uploads that no row knows and that are older than the grace time. */
int blob_sweep(struct store *s, uint64_t *removed, struct error *e) FALLIBLE;

/* Does the bucket of a shared store answer? Asks for an object that is never there. Waits for the network. */
int blob_probe(struct store *s, struct error *e) FALLIBLE;

#endif
