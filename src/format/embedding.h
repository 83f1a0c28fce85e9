/* embedding.h -- write the response to a request that embeds.
 *
 * Out:     {"embedding":{"values":[...]},"tokenCount":"2","usageMetadata":{...}}: what batches of
 *          embeddings have, and the counts again as other responses have them, for our own counters.
 * Threads: none.
 * Source:  "Get batch embeddings inferences"; Gemini API "Batch API", embeddings.
 */
#ifndef TRANCHE_FORMAT_EMBEDDING_H
#define TRANCHE_FORMAT_EMBEDDING_H

#include "base/str.h"
#include "format/usage.h"

/* values is a JSON array of numbers on one line. */
void embedding_write(struct str values, const struct usage *usage, struct buf *out);

#endif
