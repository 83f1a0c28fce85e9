/* gemini.h -- a job as the Gemini Developer API's batch: an Operation around a GenerateContentBatch.
 *
 * Why: as vertex.h, for the other dialect.
 *
 * In:      {"batch": {"displayName", "inputConfig": {"requests": {"requests": [...]}} or {"fileName"},
 *          "priority", "webhookConfig", "tranche"}}; both spellings. Inline requests become a file of
 *          lines {"request": {...}, "metadata": {...}}, so that both kinds take one path.
 * Out:     the Operation. When done, `metadata.output` (what SDKs read) and `response` (what REST
 *          users read) both; int64 as strings; times with 9 digits.
 * Errors:  INVALID_ARGUMENT with the field's path.
 * Threads: none.
 * Source:  docs/reference/api.md; https://ai.google.dev/api/batch-api
 */
#ifndef TRANCHE_FORMAT_GEMINI_H
#define TRANCHE_FORMAT_GEMINI_H

#include "format/vertex.h"

#define GEMINI_INLINE_BYTES_MAX ((size_t)20 * 1024 * 1024)

/* Fills display_name, spec, options, request_id, priority, webhook, source of *out. Inline requests
 * are written as lines to `lines`. */
int gemini_read(struct arena *a, struct str body, struct job *out, struct buf *lines,
                struct error *e) FALLIBLE;
/* "files/abc" of a spec with a file input, else empty. */
struct str gemini_input_file(struct arena *a, struct str spec);

/* The Operation, all but what stands where inline responses go: `head` and, behind them, `tail`; an
 * inline output can be larger than memory is meant to be. inlined: the job has inline responses,
 * which the caller puts between them, separated by commas, twice (metadata.output and response) as
 * *pieces says: head, responses, middle, responses, tail. Without them head is all. */
struct gemini_pieces {
    struct buf head, middle, tail;
    bool inlined;
};
void gemini_write(const struct job *j, const struct job_live *live, bool as_resource,
                  struct gemini_pieces *out);
void gemini_pieces_release(struct gemini_pieces *p);

#endif
