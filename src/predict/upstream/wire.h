/* wire.h -- a dialect as an upstream session uses it: where to, what to say, what came back.
 *
 * Why: the loop sends bytes and judges answers; which words they are in is a row of a table.
 *
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
    const char *name;
    /* Can it be said there? has_files: our files can be read. */
    bool (*accepts)(const struct model_upstream *to, bool has_files, const struct request *r,
                    struct violation *why);
    void (*url)(const struct model_upstream *to, const struct request *r, struct buf *out);
    int (*write)(const struct model_upstream *to, const struct request *r,
                 const struct openai_files *files, struct buf *out, struct error *e) FALLIBLE;
    int (*read)(struct arena *a, struct str body, const struct openai_reply_rules *rules,
                struct buf *out, struct usage *usage, struct error *e) FALLIBLE;
    /* "Authorization: Bearer ..." */
    void (*credential)(struct str secret, bool is_token, struct buf *out);
};
const struct wire *wire_of(enum upstream_wire w);

#endif
