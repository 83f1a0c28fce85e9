/* remote_row.h -- a row of requests for Google's batch service, and one of its answers read back.
 *
 * Why: a job that is handed over comes back in any order, in the words of either dialect. A reader
 * needs three things of a row: its line, its answer or the cause of its failure, and its usage.
 *
 * Shape:   {"key":K,"request":{...}} goes; both services give the key back.
 *          Vertex AI:  {"key":K,"status":"","response":{...}, ...}, a failure says why in "status":
 *          "Bad Request: {\"error\": {\"code\": 400, ...}}", or in words of its own.
 *          Gemini API: {"key":K,"response":{...}} or {"key":K,"error":{"code":3,"message":"..."}}.
 *          A key that looks like a number may come back as one.
 * Errors:  of the row itself, in remote_row.error; a row without a key is none.
 * Threads: none; the arena takes what is parsed.
 * Source:  Vertex AI "Batch inference from Cloud Storage"; Gemini API "Batch API".
 */
#ifndef TRANCHE_FORMAT_GOOGLE_REMOTE_ROW_H
#define TRANCHE_FORMAT_GOOGLE_REMOTE_ROW_H

#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "format/lines.h"
#include "format/response.h"
#include "format/usage.h"

/* Bytes of one row of answers: what Vertex AI echoes of a request may be written longer than it was. */
#define REMOTE_ROW_BYTES_MAX (2 * LINE_BYTES_MAX + RESPONSE_BYTES_MAX)

struct remote_row {
    struct str key;      /* as text */
    struct error error;  /* code OK: answered */
    struct str response; /* as written; a span of the line */
    struct usage usage;
};
/* False when the line is not a row with a key. */
bool remote_row_read(struct arena *a, struct str line, struct remote_row *out);

/* One row with its line end. No character of key may need an escape. */
void remote_row_write(struct str key, struct str request, struct buf *out);
/* The key of a row that remote_row_write wrote; empty when it is none. */
struct str remote_row_key(struct str line);

#endif
