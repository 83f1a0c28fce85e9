/* bucket_web.h -- a bucket behind HTTP: the calls that S3 and Cloud Storage have in common.
 *
 * Why: connections, time limits, tries, ranges and checks of what came are the same for both; a kind says how a request is
 * signed and what a refusal means.
 *
 * Tries:   a call that failed for a reason that may pass is made again, after a pause that grows and is partly random, until
 *          it has made no progress for the bucket's time limit, at least once. A download goes on where it broke.
 * Checks:  a whole object's CRC-32C is compared with the one that came in a header. Other bytes are fetched again, at most
 *          WEB_WRONG_MAX times; then DATA_LOSS.
 * Threads: all; a call belongs to its caller.
 */
#ifndef TRANCHE_STORE_BUCKET_BUCKET_WEB_H
#define TRANCHE_STORE_BUCKET_BUCKET_WEB_H

#include "base/mem.h"
#include "net/client/http_pool.h"
#include "store/bucket/bucket_inner.h"

#define WEB_PART_BYTES ((uint64_t)16 * 1024 * 1024) /* larger objects go up in parts */
#define WEB_KEY_BYTES_MAX 1024                      /* of a key with its prefix */
#define WEB_PREFIX_BYTES_MAX 512
#define WEB_WRONG_MAX 3
#define WEB_HEADERS_MAX 24

/* Lines of a request's head, in the arena; ends in NULL. */
struct web_head {
    struct arena arena;
    const char *line[WEB_HEADERS_MAX + 1];
    uint32_t count;
};
void web_head_add(struct web_head *h, const char *line);

/* Bytes of an object that come into a file. */
struct web_sink {
    uint64_t from, to;
    int fd;
    uint64_t at;     /* in the file */
    uint64_t got;    /* of all tries */
    uint32_t crc32c; /* of them */
    /* The last answer's head says: */
    bool begun;    /* it was read */
    uint64_t skip; /* bytes of its body that stand before the next one that is wanted */
    bool has_sum;  /* the range is the whole object, whose sum is known */
    uint32_t sum;
};

struct web_call {
    const char *operation; /* of store_metrics.h */
    const char *method;
    const char *path, *query; /* percent-encoded, parameters sorted; query may be NULL */
    const char *url; /* instead of both, of another host: without our credential; or NULL */
    const char *const *header; /* "name: value", until NULL; or NULL */
    struct str body;
    const char *sha256; /* of the body, in hexadecimal digits; NULL: there is none */
    bool has_file;      /* the body is the bytes [from, to) of fd */
    int fd;
    uint64_t from, to;
    struct web_sink *sink; /* of an answer; or NULL */
    int also;              /* another status that counts as success; 0: none */
    bool once;             /* no second try */
};

enum web_verdict {
    WEB_DONE,
    WEB_AGAIN,    /* it may pass */
    WEB_NEW_KEYS, /* the credential was refused: once more with a new one */
    WEB_REFUSED
};
struct web;
struct web_ops {
    const char *name; /* of the service, for messages */
    /* Adds what proves who we are; the call's own headers stand there already. */
    int (*prove)(struct web *w, const struct web_call *c, struct web_head *h, struct error *e);
    /* Reads an answer; sets the error of any other than a success. */
    enum web_verdict (*judge)(struct web *w, const struct http_in *in, struct error *e);
    /* The object's CRC-32C, from the answer's headers; false: it does not say. */
    bool (*sum)(const struct http_in *in, uint32_t *out);
    void (*forget)(struct web *w); /* the credential; or NULL */
};
struct web {
    struct shared_bucket bucket; /* first */
    const struct web_ops *ops;
    struct http_pool *pool;
    const char *endpoint; /* "https://host:port" */
    struct str host;      /* of it, as the Host header has it */
    const char *ca_file;
    const char *name, *prefix; /* prefix: "", or with its slash */
    uint64_t patience_ns;
    struct arena arena; /* of the texts */
};
static inline struct web *web_of(struct shared_bucket *b)
{
    return (struct web *)b;
}

/* Fills w, but for ops and what is the kind's. endpoint: where the URL names none. */
int web_open(struct web *w, const struct bucket_url *url, const char *endpoint,
             struct error *e) FALLIBLE;
void web_release(struct web *w);

/* in is valid, and must be released, in any case. */
int web_call(struct web *w, const struct web_call *c, struct http_in *in, struct error *e) FALLIBLE;
/* Waits before another try than the first; in: the answer, which may ask for a longer wait, or NULL. False: there is no
 * time for it, but for a second try there always is. */
bool web_pause(uint32_t tries, const struct http_in *in, uint64_t end_ns);
/* The code and the verdict of a status without a better reason. */
enum web_verdict web_judge(const struct web *w, int status, const char *said, struct error *e);

/* A read of no bytes: OUT_OF_RANGE when the object is shorter than `to`. */
int web_nothing(struct web *w, const char *key, uint64_t to, struct error *e) FALLIBLE;
/* The key with its prefix, in the arena. */
const char *web_key(const struct web *w, struct arena *a, const char *key);
/* Percent-encoded, in the arena. */
const char *web_encoded(struct arena *a, const char *text, bool slashes_stay);
/* The bytes [from, to) of fd: their CRC-32C, and their SHA-256 unless sha256 is NULL. */
int web_sums(int fd, uint64_t from, uint64_t to, uint32_t *crc32c, char *sha256,
             struct error *e) FALLIBLE;
/* The sum as four bytes in base64, as both services write it. */
#define WEB_SUM_BYTES 16
void web_sum_text(uint32_t crc32c, char out[WEB_SUM_BYTES]);
bool web_sum_read(struct str text, uint32_t *crc32c);

#endif
