/* objects_inner.h -- what the files of this room share, and what a job's end writes here. Nothing outside
 * src/store includes it.
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
#ifndef TRANCHE_STORE_OBJECTS_OBJECTS_INNER_H
#define TRANCHE_STORE_OBJECTS_OBJECTS_INNER_H

#include <openssl/evp.h>

#include "store/objects/objects.h"
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
/* Adds the bytes [from, to) of a file; DATA_LOSS when it has fewer. May take long. */
struct byte_range {
    uint64_t from, to;
};
int blob_digest_add_file(struct blob_digest *h, int fd, struct byte_range what, const char *path,
                         struct error *e) FALLIBLE;

struct blob_hasher {
    struct blob_digest digest; /* empty after blob_adopt took it */
    uint64_t bytes;
};

/* ---- Writers ---- */

struct blob_writer {
    struct store *s;
    int fd;
    uint64_t
        base; /* the file begins with this byte of the content: not 0 in an upload of a shared store */
    int64_t id; /* of the blob; 0: taken when it is placed */
    uint64_t bytes, bytes_max;
    uint64_t marked; /* of an upload: the number of durable bytes, which is in its row */
    struct {
        struct blob_writer *next; /* in the syncer's list */
        uint64_t bytes;           /* at the last mark that was wanted; the owner's */
        bool wanted, left;
        struct error error; /* of a mark: what is behind `marked` may be lost */
    } mark;
    struct blob_digest
        digest;      /* of the first `hashed` bytes, which grow with `bytes` when they are equal */
    uint64_t hashed; /* fewer than `bytes` in an upload after a restart, until it is placed */
    bool nameless;   /* the file has no name; path is for messages */
    bool broken;     /* a write failed: what is behind `bytes` is undefined */
    char upload[UPLOAD_ID_BYTES]; /* of an upload's writer, else "" */
    char path[PATH_BYTES];
};
/* Hashes what is not hashed yet, syncs the file and moves it to where blobs are. Takes nothing; w->fd is closed when it succeeds. */
int blob_place(struct blob_writer *w, struct blob *out, struct error *e) FALLIBLE;
void blob_writer_free(struct blob_writer *w); /* leaves the file; accepts NULL */
/* Sync interval of an upload: bounds what a crash can lose. */
#define UPLOAD_MARK_BYTES ((uint64_t)64 * 1024 * 1024)
int upload_mark(struct blob_writer *w, uint64_t bytes, struct error *e) FALLIBLE;
/* Takes w, all of whose bytes are durable; the next writer may begin. Does not wait. */
void upload_give_back(struct blob_writer *w);
void upload_abort(struct blob_writer *w); /* takes w; the upload stays as last marked */

/* The same in a shared store (upload_parts.c). */
int upload_part_open(struct blob_writer *w, struct error *e) FALLIBLE;
int upload_part_mark(struct blob_writer *w, uint64_t to, struct error *e) FALLIBLE;
int upload_part_finish(struct blob_writer *w, struct blob *out, struct error *e) FALLIBLE;

/* ---- Syncs for threads that may not wait (syncer.c) ---- */

struct syncer;
struct syncer *syncer_new(void);
void syncer_free(struct syncer *y); /* ends what was left; accepts NULL */
/* The bytes so far become durable soon. Fails when an earlier mark has. */
int blob_mark_soon(struct blob_writer *w, struct error *e) FALLIBLE;
/* Waits for the mark that is wanted; -1 when one has failed. */
int blob_mark_end(struct blob_writer *w, struct error *e) FALLIBLE;

/* Retention of an unfinished upload. */
#define UPLOAD_DAYS 7
/* Removes expired uploads, and files in uploads/ that no row names. */
int uploads_sweep(struct store *s, uint64_t *removed, struct error *e) FALLIBLE;

/* ---- In memory ---- */

struct uploads;
struct cache;
/* The facts of a shared store about a blob. */
struct blob_facts {
    uint64_t bytes;
    uint32_t crc32c;
    bool has_crc32c, composed;
};
#define BLOB_FACTS 1024
struct blobs {
    pthread_mutex_t lock; /* guards all but the pointers */
    int64_t next, end;    /* ids that are ours to give */
    /* Facts about the blobs that were asked for last, each in the place of its id. */
    struct blob_facts fact[BLOB_FACTS];
    int64_t fact_id[BLOB_FACTS];
    struct uploads *uploads;
    struct syncer *syncer;
    struct cache *cache;
};
struct blobs *blobs_of(struct store *s);
struct uploads *uploads_new(void);
void uploads_free(struct uploads *u); /* accepts NULL */

int blob_id_take(struct store *s, int64_t *out, struct error *e) FALLIBLE;

/* ---- A shared store's blobs (blob_shared.c) ---- */

/* The key of a blob's bytes in the bucket. */
#define BLOB_KEYS "blobs/"
#define BLOB_KEY_BYTES 40
void blob_key(int64_t id, char out[BLOB_KEY_BYTES]);
/* These bytes of a file become the blob's. */
int blob_send(struct store *s, int64_t id, int fd, struct byte_range what,
              struct error *e) FALLIBLE;
int blob_facts(struct store *s, int64_t id, struct blob_facts *out, struct error *e) FALLIBLE;
void blob_facts_keep(struct store *s, int64_t id, const struct blob_facts *f);
/* These bytes of the blob, to the same place of a file. DATA_LOSS when they are not what was written. */
int blob_fetch(struct store *s, int64_t id, const struct blob_facts *f, struct byte_range what,
               int fd, struct error *e) FALLIBLE;
/* A descriptor of a file without a name that has the blob's size, and these bytes of it. */
int blob_fetch_nameless(struct store *s, int64_t id, const struct blob_facts *f,
                        struct byte_range what, struct error *e) FALLIBLE;
/* A blob that is made of others gets its row; its segments are the caller's, in the same transaction. */
int blob_composed_in(struct db *d, const struct blob *b, struct error *e) FALLIBLE;
/* The concatenation of blobs whose bytes and sums the caller knows, none of them composed; as many as it likes. The caller
 * names the whole within BLOB_GRACE_S, and its parts are named until then. */
int blob_join(struct store *s, const struct blob *part, uint32_t count, struct blob *out,
              struct error *e) FALLIBLE;
int blob_compose_shared(struct store *s, const int64_t *part, uint32_t count, struct blob *out,
                        struct error *e) FALLIBLE;

/* ---- Copies of them in this process's folder (blob_cache.c) ---- */

struct cache *cache_new(void);
void cache_free(struct cache *c); /* accepts NULL; the copies stay for the next process */
/* A descriptor of the whole blob; it is fetched once for all who want it at the same time. */
int cache_open(struct store *s, int64_t id, struct error *e) FALLIBLE;
int cache_try(struct store *s, int64_t id); /* the same of a copy that is there; -1: none is */
/* Takes a file of the state folder that has the blob's bytes. */
void cache_take(struct store *s, int64_t id, const char *path, uint64_t bytes);
void cache_remove(struct store *s, int64_t id);

/* ---- Rows ---- */

/* The blobs that rows of a state folder name. */
#define BLOBS_NAMED                                                                                \
    "SELECT blob FROM object UNION SELECT blob FROM file WHERE blob != 0"                          \
    " UNION SELECT blob FROM job_input WHERE blob != 0"                                            \
    " UNION SELECT result FROM job WHERE result != 0"

/* UNAVAILABLE when the blob was given up meanwhile. */
int blob_keep_in(struct store *s, struct db *d, int64_t id, struct error *e) FALLIBLE;
int blob_is_used(struct db *d, int64_t id, struct error *e) FALLIBLE; /* 1: a row names it */
/* *file: the id when its file may go after the commit, else 0. file may be NULL: the sweep does it. */
int blob_drop_in(struct db *d, int64_t id, int64_t *file, struct error *e) FALLIBLE;
/* True when it removed the file. id 0: nothing to do. A failure is the sweep's. */
bool blob_unlink(struct store *s, int64_t id);
void blob_file(const struct store *s, char out[PATH_BYTES], int64_t id);
/* A blob's columns in objects and files, in this order. */
#define BLOB_COLUMNS "blob, bytes, crc32c, md5, sha256"
void blob_columns(struct stmt *q, int first, struct blob *out);
struct str blob_md5(const struct blob *b);    /* empty when it has none */
struct str blob_sha256(const struct blob *b); /* empty when it has none */

#define OBJECT_COLUMNS                                                                             \
    "bucket, name, generation, metageneration, " BLOB_COLUMNS                                      \
    ", content_type, meta, component_count, create_us, update_us"
void object_row(struct stmt *q, struct arena *a, struct object *out);
/* NOT_FOUND when there is no such bucket, or it is another project's. */
int bucket_check(struct db *d, const char *project, struct str name, struct error *e) FALLIBLE;

/* In a transaction of the caller: an object or a file as part of a job's end. */
int object_put_in(struct store *s, struct db *d, const struct object_new *in,
                  struct error *e) FALLIBLE;
int file_put_in(struct store *s, struct db *d, const struct file_new *in, struct error *e) FALLIBLE;

#endif
