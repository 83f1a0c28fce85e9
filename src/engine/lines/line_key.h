/* line_key.h -- by what a line is recognised: among the lines of its job, and among kept answers.
 *
 * Why: identical requests are computed once, and an answer that was paid for serves a later run. Both
 * compare digests of the request in one spelling (request_identity).
 *
 * Shape:   ingest notes each good line's digest. When a request is not deterministic, it also notes the
 *          line's ordinal among the identical ones, so that ten equal lines at temperature 1 are ten keys.
 *          Lines of repeated requests beyond ORDINALS_MAX different ones have no key.
 * Memory:  32 MiB for the ordinals, while ingest ends, when requests that are not deterministic repeat.
 * Threads: none; values.
 */
#ifndef TRANCHE_ENGINE_LINES_LINE_KEY_H
#define TRANCHE_ENGINE_LINES_LINE_KEY_H

#include "engine/lines/line_index.h"
#include "format/request/request.h"
#include "store/kept/kept.h"
#include "store/spool/spool.h"

/* Different requests of one job that repeat and are not deterministic; further ones have no key. */
#define ORDINALS_MAX ((uint32_t)1 << 20)

/* The digest of the request; scratch is for its identity. False when that is too long, or with files not NULL when
 * the content of a file is not known. */
bool line_digest(const struct request *r, const struct file_digests *files, struct buf *scratch,
                 uint64_t out[2]);
/* The key of a line's answer by this model; false when the answer can have none. */
bool line_key(const struct line_note *n, const uint64_t model[2], uint64_t out[2]);

/* Gives the answer of a line to the kept ones, when the run made it and it has a key. A copy has the key of the answer that
 * it copies. */
int line_keep(struct kept_writer *w, const struct line_note *n, const struct spool_row *row,
              const uint64_t model[2], struct error *e) FALLIBLE;

/* Counts the lines of a digest, in the order of the calls. */
struct ordinals;
struct ordinals *ordinals_new(void);
void ordinals_free(struct ordinals *o); /* accepts NULL */
/* False when there are too many different ones. */
bool ordinals_next(struct ordinals *o, const uint64_t digest[2], uint32_t *out);

#endif
