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
#ifndef TRANCHE_FORMAT_JOB_GEMINI_H
#define TRANCHE_FORMAT_JOB_GEMINI_H

#include "format/job/vertex.h"

#define GEMINI_INLINE_BYTES_MAX ((size_t)20 * 1024 * 1024)

/* :batchGenerateContent and :asyncBatchEmbedContent. Both take the same body; the spec of the second has
 * "embeds" beside its input, so that its resource is an EmbedContentBatch. */
enum gemini_kind { GEMINI_GENERATE, GEMINI_EMBED };

/* Fills display_name, model (when the body names one), spec, options, request_id, priority, webhook,
 * source of *out. Inline requests are written as lines to `lines`, whose max bounds them. */
int gemini_read(struct arena *a, struct str body, enum gemini_kind kind, struct job *out,
                struct buf *lines, struct error *e) FALLIBLE;
/* The kind of a job of this dialect. */
enum gemini_kind gemini_kind_of(const struct job *j);
/* "files/abc" of a spec with a file input, else empty. */
struct str gemini_input_file(struct arena *a, struct str spec);

/* The members that :updateGenerateContentBatch may change. mask: updateMask, or empty: those that the
 * body has. */
struct gemini_update {
    bool has_display_name, has_priority;
    struct str display_name;
    int64_t priority;
};
int gemini_read_update(struct arena *a, struct str body, struct str mask, struct gemini_update *out,
                       struct error *e) FALLIBLE;

enum gemini_form {
    GEMINI_OPERATION, /* the Operation, whole */
    GEMINI_LISTED,    /* the same without inline responses, which a list could not bear */
    GEMINI_RESOURCE,  /* the GenerateContentBatch alone, without inline responses */
};
/* The Operation, all but what stands where inline responses go: an inline output can be larger than
 * memory is meant to be. inlined: head, responses, tail, where the caller writes the responses,
 * separated by commas; twice: head, responses, middle, responses, tail (metadata.output and
 * response). Otherwise head is all. */
struct gemini_pieces {
    struct buf head, middle, tail;
    bool inlined, twice;
};
void gemini_write(const struct job *j, const struct job_live *live, enum gemini_form form,
                  struct gemini_pieces *out);
void gemini_pieces_release(struct gemini_pieces *p);

#endif
