/* google_inner.h -- what the files of this room share. Nothing outside src/format/google/ includes it.
 *
 * Source:  https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/text-embeddings-api
 */
#ifndef TRANCHE_FORMAT_GOOGLE_GOOGLE_INNER_H
#define TRANCHE_FORMAT_GOOGLE_GOOGLE_INNER_H

#include "format/google/google.h"

/* Tokens of a kind that one request can have: sums of them fit 32 bits. */
#define GOOGLE_TOKENS_MAX (UINT32_MAX / 8)

/* The body of :predict for a request that google_predict_accepts took. */
void google_predict_write(const struct request *r, struct buf *out);
/* False: root is not an answer of :predict with one embedding. Else out has that of :embedContent. */
bool google_predict_read(yyjson_val *root, struct arena *a, struct buf *out, struct usage *usage);

#endif
