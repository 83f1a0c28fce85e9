/* storage.h -- the Cloud Storage JSON API: resources, conditions and errors that its handlers share.
 *
 * Why: an object looks the same from an upload, a copy, a list and a get, and a precondition means the
 * same in each.
 *
 * Shape:   settings that we only keep for the client (`meta` of objects and buckets) are one JSON object
 *          with the members of a fixed list; they are copied into the resource as they are.
 * Units:   int64 as JSON strings; times RFC 3339.
 * Threads: none.
 * Source:  https://cloud.google.com/storage/docs/json_api/v1/objects
 */
#ifndef TRANCHE_API_STORAGE_STORAGE_H
#define TRANCHE_API_STORAGE_STORAGE_H

#include "api/call.h"
#include "api/media.h"
#include "store/objects/objects.h"

#define STORAGE_OBJECT_BYTES_MAX ((uint64_t)5 << 40) /* of one object: 5 TiB, as Google's */
#define STORAGE_META_BYTES_MAX ((size_t)64 * 1024)   /* a resource that a client sends */
#define STORAGE_CUSTOM_BYTES_MAX ((size_t)8 * 1024)  /* keys and values of metadata or labels */
#define STORAGE_CUSTOM_KEYS_MAX 256
#define STORAGE_REPLY_BYTES_MAX ((size_t)64 * 1024 * 1024)

/* As call_fail, in this API's words: a condition that does not hold is 412. */
void storage_fail(struct call *c, const struct error *e);

/* "ifGenerationMatch" and the like; source: "ifSourceGenerationMatch". */
int storage_conditions(struct call *c, bool source, struct object_conditions *out,
                       struct error *e) FALLIBLE;
/* Checks the conditions of a read, If-Match and If-None-Match included. False: they do not hold, and the
 * call is answered with 412 or 304. */
bool storage_readable(struct call *c, const struct object_conditions *when, const struct object *o);
/* Reads an int64 that is not negative from text, and from JSON (a string or a number; absent: *out
 * stays). */
int storage_number(struct str text, const char *name, int64_t *out, struct error *e) FALLIBLE;
int storage_number_json(yyjson_val *v, const char *name, int64_t *out, struct error *e) FALLIBLE;
/* The object of the path and of "generation", without conditions. */
int storage_ref(struct call *c, struct object_ref *out, struct error *e) FALLIBLE;

/* The settings in a resource that a client sends. The strings live in the call's arena. */
struct storage_settings {
    struct str name, content_type; /* empty when absent */
    struct str meta;               /* a JSON object, "{}" when empty */
    bool sets;                     /* content_type or meta is not empty */
    struct media_hashes hashes;
};
/* resource: NULL or a JSON object. old: the meta that null and absent members refer to (a patch), or
 * empty: none (a new object). */
int storage_settings_read(struct call *c, yyjson_val *resource, struct str old,
                          struct storage_settings *out, struct error *e) FALLIBLE;
/* The same for a bucket's meta: appends the JSON object. UNIMPLEMENTED
 * for settings that we would not obey (versioning, retention, lifecycle rules). */
int storage_bucket_meta(struct call *c, yyjson_val *resource, struct str old, struct buf *out,
                        struct error *e) FALLIBLE;

void storage_write_object(struct call *c, const struct object *o, struct json_writer *w);
void storage_write_bucket(struct call *c, const struct bucket *b, struct json_writer *w);
#define STORAGE_ETAG_BYTES 48
void storage_etag(const struct object *o, char out[STORAGE_ETAG_BYTES]);
void storage_reply_object(struct call *c, const struct object *o);
/* Parses a JSON object that is not the call's kept body. */
yyjson_val *storage_json(struct call *c, struct str text, struct error *e) FALLIBLE;
/* Takes b's bytes into the call's arena. */
struct str storage_keep(struct call *c, struct buf *b);
/* A text of a meta, empty when absent. */
struct str storage_meta_text(struct call *c, struct str meta, const char *name);

/* The object that an upload will be. It survives in the upload's `what`. */
struct storage_target {
    const char *project; /* as the store takes it */
    struct str bucket, name, content_type, meta;
    struct media_hashes hashes;
    struct object_conditions when;
    bool has_total;
    uint64_t total;
};
void storage_target_write(const struct storage_target *t, struct buf *out);
/* NOT_FOUND unless the upload is of an object in this bucket. */
int storage_target_read(struct arena *a, const struct upload *up, struct str bucket,
                        struct storage_target *out, struct error *e) FALLIBLE;
/* Makes the object from a complete blob, if the announced hashes match. */
int storage_target_put(struct call *c, const struct storage_target *t, const struct blob *b,
                       struct object *out, struct error *e) FALLIBLE;

/* The handlers behind the table in buckets.c. */
void storage_object_get(struct call *c); /* alt=media: its bytes */
void storage_object_download(struct call *c);
void storage_object_list(struct call *c);
void storage_object_patch(struct call *c);
void storage_object_update(struct call *c);
void storage_object_delete(struct call *c);
void storage_object_compose(struct call *c);
void storage_object_copy(struct call *c);
void storage_object_rewrite(struct call *c);
void storage_object_move(struct call *c);
bool storage_upload_begin(
    struct call *c); /* POST: simple, multipart, the start of a resumable one */
void storage_upload(struct call *c);
bool storage_resume_begin(struct call *c); /* PUT: bytes of a resumable one, or its state */
void storage_resume(struct call *c);
void storage_upload_cancel(struct call *c);

#endif
