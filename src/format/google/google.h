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
 * Source:  Vertex AI and Gemini API REST references: generateContent, embedContent, "Text embeddings API".
 */
#ifndef TRANCHE_FORMAT_GOOGLE_GOOGLE_H
#define TRANCHE_FORMAT_GOOGLE_GOOGLE_H

#include "base/error.h"
#include "base/mem.h"
#include "format/exchange.h"
#include "format/request/request.h"
#include "format/request/violation.h"
#include "format/usage.h"

/* Which of Google's calls takes a request. The Gemini API has no labels, and reads no gs:// file; Vertex does both,
 * and its models that embed text only (text-embedding-005 and the like) have a call of another form. */
enum google_call {
    GOOGLE_GEMINI,  /* {base}/models/M:generateContent, :embedContent */
    GOOGLE_VERTEX,  /* {base}/publishers/google/models/M:generateContent, :embedContent */
    GOOGLE_PREDICT, /* {base}/publishers/google/models/M:predict */
};
enum google_call google_call_of(const struct request *r, bool vertex, const char *model);
/* False: r has more than GOOGLE_PREDICT can say, and *why says what. */
bool google_predict_accepts(const struct request *r, struct violation *why);
int google_request_write(const struct request *r, enum google_call call,
                         const struct file_contents *files, struct buf *out,
                         struct error *e) FALLIBLE;
/* As openai_response_read; candidates are taken as they are. The answer of :predict becomes that of
 * :embedContent. */
int google_response_read(struct arena *a, struct str body, const struct reply_rules *rules,
                         struct buf *out, struct usage *usage, struct error *e) FALLIBLE;
/* usageMetadata of a response, as far as it is there; no sum of it overflows. */
void google_usage_read(yyjson_val *response, struct usage *out);

#endif
