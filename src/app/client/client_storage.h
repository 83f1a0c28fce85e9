/* client_storage.h -- buckets and objects, over the Cloud Storage JSON API.
 *
 * Why: `cp`, `ls`, `rm`, `submit` and `results` move the same objects, also several GB over a line
 * that breaks: an upload goes on at the byte that the service has, a download at the byte that is
 * here, and what came is compared with the object's checksum.
 *
 * Errors:  as client.h; DATA_LOSS when a checksum differs.
 * Threads: the main thread.
 * Source:  https://cloud.google.com/storage/docs/json_api/v1
 */
#ifndef TRANCHE_APP_CLIENT_CLIENT_STORAGE_H
#define TRANCHE_APP_CLIENT_CLIENT_STORAGE_H

#include "app/client/client.h"
#include "format/gs.h"

#define UPLOAD_PART_BYTES ((size_t)8 * 1024 * 1024) /* a multiple of 256 KiB, as the API wants */

struct gs {
    struct str bucket, name; /* name may be empty, a prefix or a pattern */
};
/* Borrows text. INVALID_ARGUMENT when it is not a gs://BUCKET/NAME. */
int gs_read(const char *text, struct gs *out, struct error *e) FALLIBLE;
bool gs_has_wildcard(struct str name);
/* "gs://bucket/name" in the arena. */
const char *gs_text(struct arena *a, struct str bucket, struct str name);
struct str base_name(struct str path); /* after its last slash */

struct object_view {
    struct str name, updated, generation, crc32c;
    uint64_t bytes;
    bool compressed; /* stored as gzip: other bytes come than its checksum is of */
    bool is_prefix;  /* a "folder": only name is set */
};
struct listing {
    struct str bucket, prefix, glob; /* glob: a pattern of whole names, or empty */
    bool deep;                       /* all below, not only up to the next slash */
};
/* For the names that a pattern matches. */
void gs_pattern(struct listing *l, struct str pattern);
/* Every object, and every prefix when not deep, in the order of names a page; fn's -1 ends it. The
 * view lives until fn returns. */
int remote_list(struct client *c, const struct listing *l,
                int (*fn)(void *arg, const struct object_view *o, struct error *e), void *arg,
                struct error *e) FALLIBLE;
int remote_list_buckets(struct client *c,
                        int (*fn)(void *arg, struct str bucket, struct str created,
                                  struct error *e),
                        void *arg, struct error *e) FALLIBLE;
/* NOT_FOUND when it is absent. The view's texts lie in the arena of c. */
int remote_stat(struct client *c, const struct gs *at, struct object_view *out,
                struct error *e) FALLIBLE;
int remote_remove(struct client *c, const struct gs *at, struct error *e) FALLIBLE;
int remote_copy(struct client *c, const struct gs *from, const struct gs *to,
                struct error *e) FALLIBLE;
int remote_make_bucket(struct client *c, struct str bucket, struct error *e) FALLIBLE;
/* Makes it when it is absent and the service is not Google's. */
int remote_want_bucket(struct client *c, struct str bucket, struct error *e) FALLIBLE;

/* All that fd gives until its end becomes the object. label: what progress shows. */
int remote_upload(struct client *c, int fd, const struct gs *to, const char *label,
                  struct error *e) FALLIBLE;
/* Into a file, by way of FILE.partial; path "-" is standard output. */
int remote_download(struct client *c, const struct gs *from, const char *path,
                    struct error *e) FALLIBLE;

/* Progress of a transfer: one line on a terminal, nothing elsewhere. */
struct transfer {
    const struct terminal *terminal;
    const char *label;
    uint64_t done, total; /* total 0: unknown */
    uint64_t begun_ns, shown_ns;
    bool drawn;
};
/* A download that appends to fd: the bytes of the URL behind the first `got`. */
struct fetch {
    int fd;
    const char *path; /* of fd, for messages */
    bool by_offset;   /* the URL takes ?offset=, as results do, instead of a Range */
    uint64_t got;
    uint32_t crc; /* CRC-32C of what was got */
    struct transfer shown;
    const struct http_in *in; /* the answer that comes */
    uint64_t skip;            /* of the answer: bytes that were got before */
    bool begun;               /* some of this answer has come */
};
/* Appends all there is now; nothing new is not an error. */
int client_fetch(struct client *c, const char *url, struct fetch *f, struct error *e) FALLIBLE;

#endif
