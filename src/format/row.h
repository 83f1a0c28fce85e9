/* row.h -- output lines: write one, and read one back.
 *
 * Why: a row is what the user gets. It holds the line's sibling keys and request as they were
 * written, and the answer or the error in the words that clients of the service look for.
 *
 * Shape:   ROW_VERTEX:
 *          {sibling keys, "status":"", "processed_time":"...", "request":{...}, "response":{...}}
 *          An answer that an earlier run made has "reused_from":"TIME" behind processed_time, when it was
 *          made; in the other styles it stands behind the answer.
 *          A failure: "status":"Bad Request: {\"error\": {\"code\": 400, ...}}", "response":{}.
 *          A line that is not JSON stands under "request" as a string, and so does a value of a failed
 *          line that is nested deeper than a request may be.
 *          An instance: {"instance":{...},"predictions":[{"embeddings":{"statistics":{"token_count":8,
 *          "truncated":false},"values":[...]}}],"status":""}; of a failed one predictions is empty.
 *          ROW_KEYED, an output file of the Gemini API: {"key":"request-1","response":{...}} or
 *          {"key":"...","error":{"code":3,"message":"...","status":"INVALID_ARGUMENT"}}; of the
 *          other siblings only "metadata" passes, before the answer. A line without one has none.
 *          ROW_INLINED, an inlined response: {"response":{...},"metadata":{"name":"value"}} or
 *          {"error":{"code":3,"message":"..."},"metadata":{...}}; metadata's values are strings
 *          whatever they were, and metadata that is not an object is left out.
 *          The code of an error is google.rpc's in the last two, HTTP's in the first.
 * Threads: none.
 * Source:  Vertex AI "Batch inference from Cloud Storage"; Gemini API "Batch API"; docs/formats.md.
 */
#ifndef TRANCHE_FORMAT_ROW_H
#define TRANCHE_FORMAT_ROW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/str.h"
#include "format/lines.h"
#include "format/request/request.h"
#include "format/response.h"

/* Bytes of one output row: a line, its answer, and what is around them. */
#define ROW_BYTES_MAX (LINE_BYTES_MAX * 6 + RESPONSE_BYTES_MAX)

/* Whose clients read the rows. */
enum row_style { ROW_VERTEX, ROW_KEYED, ROW_INLINED };

struct row {
    struct str status; /* "" for an answer, else as row_status wrote it */
    int64_t processed_us;
    struct str response; /* JSON; empty for "{}" */
    enum row_style style;
    int64_t answered_us; /* of an answer that an earlier run made: when; 0: this run made it */
};

/* One row with its line end. line is the input line's text: used when there is no request in it. No
 * sibling may have the name of a row's own member; request_read_line leaves such ones out. */
void row_write(const struct input_line *in, struct str line, const struct row *r, struct buf *out);

/* "Bad Request: {"error": {"code": 400, "message": "...", "status": "INVALID_ARGUMENT"}}". */
void row_status(enum error_code code, struct str message, struct buf *out);

/* A status that row_status wrote, for a person: "INVALID_ARGUMENT: message"; another text as it is. In the
 * arena. */
struct str row_status_text(struct arena *a, struct str status);

/* The answer part of an earlier output row (for --retry-failed); false when it is none. The line must
 * be JSON, which request_read_line tells: of other bytes the spans mean nothing. */
struct row_parts {
    struct str status;         /* decoded, in the arena */
    struct str processed_time; /* decoded */
    struct str response;       /* as written */
    struct str request;        /* as written */
};
bool row_read(struct arena *a, struct str line, struct row_parts *out);

#endif
