/* wire.h -- the dialects of upstream servers: where a request goes, how it is written, how its answer
 * is read.
 *
 * Why: the loop sends bytes and judges answers; a dialect is a row of a table that says the rest.
 *      tests/conform/predict/upstream runs against each row.
 *
 * In:      a request and the upstream that takes it; the body of an answer with status 200.
 * Out:     URL, header and body of a POST; a GenerateContentResponse in one line, with its usage.
 * Errors:  read: INTERNAL, which can be tried again, for a text that is not an answer; an error object under
 *          status 200 by its own code; OUT_OF_RANGE when out is full.
 * Threads: none; constant.
 */
#ifndef TRANCHE_PREDICT_UPSTREAM_WIRE_H
#define TRANCHE_PREDICT_UPSTREAM_WIRE_H

#include "format/openai/openai.h"
#include "predict/model.h"

/* Bytes of a request's files together, before base64. */
#define UPSTREAM_FILES_BYTES_MAX ((size_t)64 * 1024 * 1024)
#define UPSTREAM_FILES_MAX 64 /* of one request */
#define UPSTREAM_BODY_BYTES_MAX ((size_t)128 * 1024 * 1024)
#define UPSTREAM_REPLY_BYTES_MAX ((size_t)16 * 1024 * 1024)

struct wire {
    const char *name; /* in the configuration */
    /* Can the dialect express r for this upstream? If not, *why says what and where. has_files: the
     * files of our object store can be read. */
    bool (*accepts)(const struct model_upstream *to, bool has_files, const struct request *r,
                    struct violation *why);
    void (*url)(const struct model_upstream *to, const struct request *r, struct buf *out);
    /* completion_tokens: the limit of the answer's tokens goes by its newer name (OpenAI). */
    int (*write)(const struct model_upstream *to, const struct request *r,
                 const struct file_contents *files, bool completion_tokens, struct buf *out,
                 struct error *e) FALLIBLE;
    int (*read)(struct arena *a, struct str body, const struct reply_rules *rules, struct buf *out,
                struct usage *usage, struct error *e) FALLIBLE;
    /* One header line: "Authorization: Bearer ...". is_token: not a key. */
    void (*credential)(struct str secret, bool is_token, struct buf *out);
};
const struct wire *wire_of(enum upstream_wire w);

#endif
