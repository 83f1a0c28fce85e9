/* upstream_error.h -- what another server's refusal means for a line.
 *
 * Why: each server words its errors in its own way; a line wants one google.rpc code, the true cause
 * in words, and when to come back.
 *
 * In:      an HTTP status that is not 200, its body, its Retry-After header.
 * Out:     *e with code and message ("vllm: 429 Too Many Requests: ..."), and the wish in
 *          milliseconds (0: none; a date is counted from now).
 * Source:  google.rpc.Status with RetryInfo; OpenAI's {"error":{"message","type","code"}}; FastAPI's
 *          {"detail":...}; RFC 9110, Retry-After.
 * Threads: none.
 */
#ifndef TRANCHE_FORMAT_UPSTREAM_ERROR_H
#define TRANCHE_FORMAT_UPSTREAM_ERROR_H

#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"

struct upstream_refusal {
    int status;
    struct str body;
    struct str retry_after; /* the header's value, or empty */
    const char *upstream;   /* its name, for the message */
    int64_t now_us;         /* wall clock */
};
void upstream_error_read(struct arena *a, const struct upstream_refusal *r, struct error *e,
                         uint32_t *retry_after_ms);

#endif
