/* google.h -- a request for Google's own generateContent, and its answer.
 *
 * Why: our requests are Google's: what was written is what is sent, but for members that only a batch
 * has, and for files that the server cannot read itself.
 *
 * In:      struct request; files' contents when they are to be sent along.
 * Out:     the body of POST {base}/...:generateContent; the answer as it came, in one line.
 * Errors:  reading: INTERNAL with what is wrong about it (no JSON, no candidates), retryable; an error
 *          object in a 200 body by its own code.
 * Threads: none; the arena takes what is parsed.
 * Source:  Vertex AI and Gemini API REST references, generateContent.
 */
#ifndef TRANCHE_FORMAT_GOOGLE_GOOGLE_H
#define TRANCHE_FORMAT_GOOGLE_GOOGLE_H

#include "base/error.h"
#include "base/mem.h"
#include "format/exchange.h"
#include "format/request/request.h"
#include "format/usage.h"

/* The Gemini API has no labels, and reads no gs:// file; Vertex does both. */
int google_request_write(const struct request *r, bool vertex, const struct file_contents *files,
                         struct buf *out, struct error *e) FALLIBLE;
/* As openai_response_read; candidates are taken as they are. */
int google_response_read(struct arena *a, struct str body, const struct reply_rules *rules,
                         struct buf *out, struct usage *usage, struct error *e) FALLIBLE;
/* usageMetadata of a response, as far as it is there; no sum of it overflows. */
void google_usage_read(yyjson_val *response, struct usage *out);

#endif
