/* openai.h -- a request as OpenAI's chat completion or embedding, and its answer as Gemini's.
 *
 * Why: vLLM, llama-server, SGLang and most other servers speak this dialect. A request
 * that the dialect can express is translated without loss; openai_accepts refuses any other at
 * validation, and nothing is dropped.
 *
 * In:      struct request; files' contents when the request names files.
 * Out:     the body of POST {base}/chat/completions or /embeddings; a GenerateContentResponse or
 *          an embedding, with its usage.
 * Errors:  reading an answer: INTERNAL, retryable, with what is wrong about it (no JSON, no choices, a
 *          broken call...); an error object under status 200 by its own code; UNIMPLEMENTED when
 *          what was asked for (logprobs) is not there; OUT_OF_RANGE when out is full.
 * Threads: none; the arena takes what is parsed.
 * Source:  docs/reference/dialects.md; https://platform.openai.com/docs/api-reference/chat and the
 *          servers' own additions (top_k, guided decoding, reasoning_content).
 */
#ifndef TRANCHE_FORMAT_OPENAI_OPENAI_H
#define TRANCHE_FORMAT_OPENAI_OPENAI_H

#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "format/exchange.h"
#include "format/request/request.h"
#include "format/usage.h"

#define OPENAI_CALLS_MAX 1024    /* functionCall parts of one request */
#define OPENAI_ID_BYTES_MAX 256  /* of an answer's id; a longer one is not taken */
#define OPENAI_FUNCTIONS_MAX 512 /* functions of all its tools */

/* True when the dialect can express all of r; else the violation, its path relative to the request. */
bool openai_accepts(const struct request *r, struct violation *why);

/* The path of a request below the base: "/chat/completions" or "/embeddings". */
const char *openai_path(const struct request *r);

/* The body of a POST there for that model, appended to out. The error is for what accepts would
 * have refused, NOT_FOUND for a file that is not among files, OUT_OF_RANGE when out is full; what was
 * written until then stays. files may be NULL: there are none.
 * completion_tokens: maxOutputTokens is max_completion_tokens, as newer models of OpenAI want it. */
int openai_request_write(const struct request *r, const char *model, bool completion_tokens,
                         const struct file_contents *files, struct buf *out,
                         struct error *e) FALLIBLE;

/* A body of status 200. On success the response is appended to out and usage is set. Tokens that the
 * server does not count are estimated, and no count can overflow. */
int openai_response_read(struct arena *a, struct str body, const struct reply_rules *rules,
                         struct buf *out, struct usage *usage, struct error *e) FALLIBLE;

#endif
