/* trace.h -- W3C Trace Context: the headers that name the trace which a request belongs to.
 *
 * Why: an operator follows one call of a client through this service to the server that answered it.
 *
 * Shape:   traceparent is "00-" trace-id "-" parent-id "-" flags, lower-case hex. A later version counts by
 *          its beginning. A header that is sent on has the same trace-id and a parent-id of its own; tracestate goes
 *          along as it came.
 * Errors:  none: a header that is not right is as one that is absent, as the standard demands.
 * Threads: none.
 * Source:  https://www.w3.org/TR/trace-context/
 */
#ifndef TRANCHE_FORMAT_TRACE_H
#define TRANCHE_FORMAT_TRACE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

#define TRACE_ID_BYTES 33 /* 32 digits and a NUL */
#define TRACE_STATE_BYTES 513
#define TRACE_TEXT_BYTES (sizeof "00-" + TRACE_ID_BYTES + sizeof "-00f067aa0ba902b7-01")

struct trace {
    char id[TRACE_ID_BYTES]; /* "": none */
    bool sampled;
    char state[TRACE_STATE_BYTES]; /* tracestate, or "" */
};
void trace_read(struct str traceparent, struct str tracestate, struct trace *out);
/* Both headers as one text: traceparent, a line end, tracestate. */
void trace_of_text(struct str text, struct trace *out);
/* "traceparent: ..." and, if there is one, a line "tracestate: ..."; parent: random, of this request. */
#define TRACE_LINES_BYTES_MAX ((size_t)1024)
void trace_write(const struct trace *t, uint64_t parent, struct buf *out);

#endif
