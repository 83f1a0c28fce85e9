/* objects.h -- buckets and objects as Cloud Storage has them, and the Files API's files.
 *
 * Why: unmodified storage clients read and write here, and jobs read their input and write their
 * output through the same rows.
 *
 * Shape:   a bucket belongs to a project; its name is unique in the whole store. An object is a row:
 *          (bucket, name) -> generation, blob. Overwriting makes a new generation; the old blob
 *          goes when no job has pinned it. Names are any UTF-8 of 1 to 1024 bytes but "." and "..",
 *          without CR and LF.
 * Rights:  every call takes the caller's project, NULL where it may use all. A bucket of another
 *          project is NOT_FOUND.
 * Errors:  NOT_FOUND ("No such object: b/o"), ALREADY_EXISTS, FAILED_PRECONDITION (a bucket that is
 *          not empty), INVALID_ARGUMENT (a bad name), RESOURCE_EXHAUSTED: the project has too many buckets or unfinished
 *          uploads, ABORTED: a precondition does not hold,
 *          UNAVAILABLE: the blob to be named (of a copy's source) was deleted meanwhile.
 * Threads: all.
 * Source:  https://cloud.google.com/storage/docs/json_api/v1, docs/reference/storage.md
 */
#ifndef TRANCHE_STORE_OBJECTS_OBJECTS_H
#define TRANCHE_STORE_OBJECTS_OBJECTS_H

#include "store/objects/blob.h"
#include "store/store.h"

#define BUCKET_NAME_MAX 222
#define BUCKETS_PROJECT_MAX 1000
#define OBJECT_NAME_MAX 1024

struct bucket {
    struct str name, project;
    struct str meta; /* JSON object of what a client set and we only keep: labels, location, ... */
    int64_t create_us, update_us;
    int64_t metageneration;
};
int bucket_create(struct store *s, const char *project, const struct bucket *b,
                  struct error *e) FALLIBLE;
int bucket_get(struct store *s, struct arena *a, const char *project, struct str name,
               struct bucket *out, struct error *e) FALLIBLE;
int bucket_patch(struct store *s, const char *project, struct str name, struct str meta,
                 struct error *e) FALLIBLE;
int bucket_delete(struct store *s, const char *project, struct str name, struct error *e) FALLIBLE;
struct bucket_list {
    struct bucket *item;
    uint32_t count;
    bool more;
};
/* In the order of names: the first `most` with prefix and after `after`. */
struct bucket_query {
    const char *project;
    struct str prefix, after;
    uint32_t most;
};
int bucket_query(struct store *s, struct arena *a, const struct bucket_query *query,
                 struct bucket_list *out, struct error *e) FALLIBLE;

struct object {
    struct str bucket, name;
    int64_t generation, metageneration;
    struct blob blob;
    struct str content_type; /* "application/octet-stream" when none was given */
    struct str
        meta; /* JSON object of what a client set: metadata, contentEncoding, cacheControl... */
    uint32_t component_count; /* of a composed one, else 0 */
    int64_t create_us, update_us;
};
/* Stored with contentEncoding "gzip": its readers want the content. */
bool object_is_gzip(const struct object *o);
/* -1: not asked. */
struct object_conditions {
    int64_t generation_match, generation_not_match, metageneration_match, metageneration_not_match;
};
#define OBJECT_ANY ((struct object_conditions){ -1, -1, -1, -1 })

struct object_new {
    const char *project; /* the caller's, or NULL */
    struct str bucket, name;
    struct blob blob;
    struct str content_type, meta;
    uint32_t component_count;
    struct object_conditions when;
};
/* out may be NULL. */
int object_put(struct store *s, struct arena *a, const struct object_new *in, struct object *out,
               struct error *e) FALLIBLE;
/* An object as a call names it. ABORTED when `when` does not hold. */
struct object_ref {
    const char *project; /* the caller's, or NULL */
    struct str bucket, name;
    int64_t generation;                   /* 0: the live one */
    const struct object_conditions *when; /* NULL: any */
};
int object_get(struct store *s, struct arena *a, const struct object_ref *which, struct object *out,
               struct error *e) FALLIBLE;
/* New values of an object's metadata. */
struct object_patch {
    const struct str *content_type; /* NULL: as it is */
    struct str meta;                /* empty: {} */
};
/* out: the object after the change; may be NULL. */
int object_patch(struct store *s, struct arena *a, const struct object_ref *which,
                 const struct object_patch *set, struct object *out, struct error *e) FALLIBLE;
int object_delete(struct store *s, const struct object_ref *which, struct error *e) FALLIBLE;

struct object_query {
    const char *project;
    struct str bucket, prefix, delimiter, start, end /* [start, end) of names */, glob;
    struct str after; /* page token: names (or prefixes) after this one */
    bool trailing_delimiter;
    /* Objects and prefixes together. A page may have fewer and still not be the last (a glob that few
     * names match), or one more (trailing_delimiter). */
    uint32_t most;
};
struct object_list {
    struct object *item;
    struct str *prefix;
    uint32_t count, prefix_count;
    struct str last; /* for the next page; empty: that was all */
};
int object_query(struct store *s, struct arena *a, const struct object_query *q,
                 struct object_list *out, struct error *e) FALLIBLE;

/* ---- The Files API ---- */

#define FILE_ID_BYTES 64

enum file_origin { FILE_UPLOADED = 0, FILE_GENERATED = 1 };
struct file_new {
    const char *project;
    char id[FILE_ID_BYTES]; /* "" : one is made */
    struct str display_name, mime;
    struct blob blob;
    enum file_origin origin;
    int64_t expire_us;
};
struct file {
    char id[FILE_ID_BYTES];
    struct str project, display_name, mime;
    struct blob blob;
    enum file_origin origin;
    int64_t create_us, update_us, expire_us;
};
int file_put(struct store *s, struct arena *a, const struct file_new *in, struct file *out,
             struct error *e) FALLIBLE;
/* All of them or none. out: count of them. */
int file_put_all(struct store *s, struct arena *a, const struct file_new *in, struct file *out,
                 uint32_t count, struct error *e) FALLIBLE;
/* NOT_FOUND when it is absent or expired. */
int file_get(struct store *s, struct arena *a, const char *project, struct str id, struct file *out,
             struct error *e) FALLIBLE;
int file_delete(struct store *s, const char *project, struct str id, struct error *e) FALLIBLE;
struct file_list {
    struct file *item;
    uint32_t count;
    bool more;
};
/* The newest first. */
struct file_query {
    const char *project;
    struct str after; /* the last id of the page before, or empty */
    uint32_t most;
};
int file_query(struct store *s, struct arena *a, const struct file_query *query,
               struct file_list *out, struct error *e) FALLIBLE;
/* Removes those that have expired, with their blobs. */
int file_expire(struct store *s, int64_t now_us, struct error *e) FALLIBLE;

/* ---- Unfinished uploads of both ---- */

/* A resumable upload: its bytes so far are in a file, and it survives a restart of the server. `bytes` of
 * them are durable: the number grows with each upload_pause, and every UPLOAD_MARK_BYTES between. All
 * three hashes are made. It is NOT_FOUND after 7 days. Ids cannot be guessed. blob_abort of its
 * writer leaves the upload as it was when last durable. */
#define UPLOAD_ID_BYTES 48
#define UPLOADS_PROJECT_MAX 500 /* unfinished ones of a project */
struct upload {
    char id[UPLOAD_ID_BYTES];
    struct str project; /* whose key began it; empty where no keys are */
    struct str what;    /* JSON of what began it: the api's own */
    uint64_t bytes;     /* written so far */
    uint64_t bytes_max;
};
/* Sets up->id; project, what and bytes_max are the caller's. */
int upload_create(struct store *s, struct upload *up, struct error *e) FALLIBLE;
int upload_get(struct store *s, struct arena *a, struct str id, struct upload *out,
               struct error *e) FALLIBLE;
/* One writer at a time (ABORTED for a second one). The hashes go on where they were; after a restart
 * upload_finish reads the bytes again for them, which may take long. */
struct blob_writer *upload_open(struct store *s, const char *id, struct error *e);
/* Ends a stretch: the bytes so far are durable and the upload can go on later. Takes w. */
int upload_pause(struct store *s, const char *id, struct blob_writer *w, uint64_t *bytes,
                 struct error *e) FALLIBLE;
/* Ends it: the blob is whole; the upload is forgotten. Takes w. */
int upload_finish(struct store *s, const char *id, struct blob_writer *w, struct blob *out,
                  struct error *e) FALLIBLE;
int upload_delete(struct store *s, const char *id, struct error *e) FALLIBLE;

#endif
