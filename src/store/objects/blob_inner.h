/* blob_inner.h -- what the files about blobs and their rows share. Nothing outside src/store includes it.
 *
 * Why: a file goes only when no row can name it any more, and a row names only a file that stays, while
 * objects are copied, replaced and deleted at once and another process makes a backup.
 *
 * Rule:    a row with a blob is written after blob_keep_in in the same transaction; where one was
 *          removed or changed, blob_drop_in follows in the same transaction: it writes the id into
 *          blob_gone when no row names it. After that it can be named never again (blob_keep_in
 *          refuses it; ids are not reused), so its file can go at any time after the commit: at once by
 *          blob_unlink, or else by the next sweep. While blob_hold has a row (a backup), no
 *          file goes.
 * Threads: all; a struct blob_writer has one owner.
 */
#ifndef TRANCHE_STORE_OBJECTS_BLOB_INNER_H
#define TRANCHE_STORE_OBJECTS_BLOB_INNER_H

#include <openssl/evp.h>

#include "store/store_inner.h"

/* ---- Hashes as bytes arrive ---- */

struct blob_digest {
    uint32_t crc32c;
    EVP_MD_CTX *md5, *sha256; /* NULL: not wanted */
};
int blob_digest_begin(struct blob_digest *h, bool md5, bool sha256, struct error *e) FALLIBLE;
void blob_digest_add(struct blob_digest *h, const void *p, size_t len);
void blob_digest_end(struct blob_digest *h, struct blob *out); /* fills the hashes; releases */
void blob_digest_release(struct blob_digest *h);
/* Adds the first `bytes` of a file; DATA_LOSS when it has fewer. */
int blob_digest_add_file(struct blob_digest *h, int fd, uint64_t bytes, const char *path,
                         struct error *e) FALLIBLE;
/* crc32c_add without the processor's help: for tests and for other processors. */
uint32_t crc32c_portable(uint32_t crc, const void *p, size_t len);

/* ---- Writers ---- */

struct blob_writer {
    struct store *s;
    int fd;
    int64_t id; /* of the blob; 0: taken when it is placed */
    uint64_t bytes, bytes_max;
    uint64_t marked; /* of an upload: as many are durable and in its row */
    struct blob_digest digest;
    bool broken;                  /* a write failed: what is behind `bytes` is undefined */
    char upload[UPLOAD_ID_BYTES]; /* of an upload's writer, else "" */
    char path[PATH_BYTES];
};
/* Syncs the file and moves it to where blobs are. Takes nothing; w->fd is closed when it succeeds. */
int blob_place(struct blob_writer *w, struct blob *out, struct error *e) FALLIBLE;
void blob_writer_free(struct blob_writer *w); /* leaves the file; accepts NULL */
/* As often an upload becomes durable while it is written: a killed server has lost little of it. */
#define UPLOAD_MARK_BYTES ((uint64_t)64 * 1024 * 1024)
int upload_mark(struct blob_writer *w, struct error *e) FALLIBLE;
void upload_abort(struct blob_writer *w); /* takes w; the upload stays as last marked */
/* What an unfinished upload has is kept so long. */
#define UPLOAD_DAYS 7
/* Expired uploads and files in uploads/ that nothing knows. */
int uploads_sweep(struct store *s, uint64_t *removed, struct error *e) FALLIBLE;

/* ---- What a store has in memory of blobs and uploads ---- */

struct uploads;
struct blobs {
    pthread_mutex_t lock; /* guards next and end: ids that are ours to give */
    int64_t next, end;
    struct uploads *uploads;
};
struct blobs *blobs_new(void);
void blobs_free(struct blobs *b);                          /* accepts NULL */
int blobs_open(struct store *s, struct error *e) FALLIBLE; /* makes the folders */
struct uploads *uploads_new(void);
void uploads_free(struct uploads *u); /* accepts NULL */

/* ---- Rows ---- */

/* UNAVAILABLE when the blob was given up meanwhile. */
int blob_keep_in(struct store *s, struct db *d, int64_t id, struct error *e) FALLIBLE;
/* *file: the id when its file may go after the commit, else 0. file may be NULL: the sweep does it. */
int blob_drop_in(struct db *d, int64_t id, int64_t *file, struct error *e) FALLIBLE;
/* True when it removed the file. id 0: nothing to do. A failure is the sweep's. */
bool blob_unlink(struct store *s, int64_t id);
void blob_file(const struct store *s, char out[PATH_BYTES], int64_t id);
/* A number that was never given before: max(least, last + step). */
int counter_next(struct db *d, const char *name, int64_t least, int64_t step, int64_t *out,
                 struct error *e) FALLIBLE;

/* A blob's columns in objects and files, in this order. */
#define BLOB_COLUMNS "blob, bytes, crc32c, md5, sha256"
void blob_columns(sqlite3_stmt *q, int first, struct blob *out);
struct str blob_md5(const struct blob *b);    /* empty when it has none */
struct str blob_sha256(const struct blob *b); /* empty when it has none */

#endif
