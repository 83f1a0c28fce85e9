/* remote_inner.h -- what both of Google's batch dialects share: one call with its credential, JSON, URLs,
 * and the fetching of a file by its bytes.
 *
 * Errors:  as remote.h; a refusal in the batch service's own words (format/upstream_error.h).
 * Secrets: the credential goes to the API and to its storage, and to no other host, whatever URL an
 *          answer names.
 * Threads: one owner.
 */
#ifndef TRANCHE_ENGINE_REMOTE_REMOTE_INNER_H
#define TRANCHE_ENGINE_REMOTE_REMOTE_INNER_H

#include "base/json.h"
#include "engine/remote/remote.h"
#include "net/client/credential.h"
#include "net/client/http_client.h"

#define REMOTE_URL_BYTES_MAX ((size_t)16 * 1024)
#define REMOTE_ANSWER_BYTES_MAX ((size_t)16 * 1024 * 1024)
#define REMOTE_CALL_MS 120000                           /* of a call that streams nothing */
#define REMOTE_CREDENTIAL_MS 30000                      /* until a token is there */
#define REMOTE_PIECE_BYTES ((uint64_t)64 * 1024 * 1024) /* of an upload, in one call */
#define REMOTE_PAGES_MAX 1000                           /* of a listing */

struct remote_service {
    struct remote base; /* first: the ops get it */
    const struct upstream *upstream;
    const char *model;   /* its name at the batch service */
    const char *staging; /* "gs://bucket/prefix" without a slash at its end; of Vertex AI */
    const char *storage; /* base URL of Cloud Storage; of Vertex AI */
    bool tokens_only;    /* Google's Cloud Storage takes no keys: what we have is a token */
    struct clock *clock;
    const atomic_bool *stop;
    struct credential *credential;
    struct http_client *http;
    int status;         /* of the last answer */
    uint64_t chance;    /* seed of the calls' parent-ids */
    struct arena arena; /* texts that live as long as this */
};

struct remote_call {
    const char *method, *url;
    struct str body;                /* JSON */
    const char *const *header;      /* more headers, until NULL; or NULL */
    const struct remote_file *file; /* its bytes are the body, in place of `body`: */
    uint64_t file_offset, file_bytes;
    int (*on_body)(void *arg, const void *p, size_t len, struct error *e);
    void *arg;
};
void remote_service_free(struct remote_service *s);
/* A status 2xx or 308 is 0 and *in, which the caller releases; else -1 and nothing to release. */
int remote_do(struct remote_service *s, const struct remote_call *call, struct http_in *in,
              struct error *e) FALLIBLE;
/* The answer as a JSON object in the arena. */
yyjson_val *remote_json(struct remote_service *s, const struct remote_call *call, struct arena *a,
                        struct error *e) FALLIBLE;
/* POSTs to a job's cancel; one that has ended cannot be cancelled, which is as good. */
int remote_cancel(struct remote_service *s, struct arena *a, const char *url,
                  struct error *e) FALLIBLE;
/* A URL in the arena: the text, and each "{}" in it replaced by the next argument, percent-encoded. */
const char *remote_url(struct arena *a, const char *base, const char *path,
                       const struct str *argument);
/* An upload in a session: what send does differs by dialect, when it is called does not. */
struct remote_upload {
    struct remote_service *service;
    const struct remote_file *file;
    const char *session; /* its URL */
    uint64_t at;         /* bytes that the batch service has; kept by send */
    char *place;         /* what it becomes */
    /* The next bytes, or with none the question how many are there: 1 when it is finished. */
    int (*send)(struct remote_upload *u, uint64_t bytes, struct error *e);
    struct arena arena;
};
int remote_upload_all(struct remote_upload *u, struct error *e) FALLIBLE;
/* The bytes of one file from at->offset on; then a line end, and *at is the next file's begin. */
int remote_fetch_file(struct remote_service *s, const char *url, struct remote_cursor *at,
                      int (*on_bytes)(void *arg, const void *p, size_t len, struct error *e),
                      void *arg, struct error *e) FALLIBLE;
struct str remote_step(struct str name); /* the last of a resource's name */
/* "state" of a resource without its prefix, and how the job ended by that. */
void remote_state_read(struct str state, struct str prefix, struct remote_status *out);
/* An error object's words as why the job ended; nothing when it is none. */
void remote_why_read(yyjson_val *error, struct remote_status *out);
/* A count that is a number or a string of digits; 0 otherwise. */
uint64_t remote_count(yyjson_val *v);
/* Copies a name; INTERNAL when there is none or it is too long. */
int remote_name(struct str from, char out[REMOTE_NAME_BYTES], struct error *e) FALLIBLE;

extern const struct remote_ops remote_vertex_ops, remote_gemini_ops;

#endif
