/* upstream_error.h -- what another server's refusal means for a line.
 *
 * Why: each server words its errors in its own way; a line wants one google.rpc code, the true cause
 * in words, and when to come back.
 *
 * In:      an HTTP status that is not 200, its body, its Retry-After header.
 * Out:     *e with code and message ("vllm: 429 Too Many Requests: ..."), and the pause it asks for in
 *          milliseconds (0: none; a date is counted from now; of two the longer), and whether it says
 *          that the account is limited: then no other request is answered earlier.
 * Code:    Google's name when the body has one, else by the status. Two are corrected, because what
 *          they say is not what their status says: a quota that is used up for good (OpenAI's
 *          insufficient_quota, a 429) is FAILED_PRECONDITION, and a key that is none (Google's
 *          API_KEY_INVALID, a 400) is UNAUTHENTICATED.
 * Source:  google.rpc.Status with RetryInfo; OpenAI's {"error":{"message","type","code"}}; FastAPI's
 *          {"detail":...}; RFC 9110, Retry-After.
 * Threads: none; the arena takes what is parsed.
 */
#ifndef TRANCHE_FORMAT_UPSTREAM_ERROR_H
#define TRANCHE_FORMAT_UPSTREAM_ERROR_H

#include "base/error.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"

#define UPSTREAM_ERROR_BYTES_MAX ((size_t)1024 * 1024) /* a longer body is only quoted */

struct upstream_refusal {
    int status;
    struct str body;
    struct str retry_after; /* the header's value, or empty */
    const char *upstream;   /* its name, for the message */
    int64_t now_us;         /* wall clock */
};
struct upstream_pause {
    uint32_t ms;
    bool account; /* RESOURCE_EXHAUSTED with a quota or RetryInfo, as Google says it */
};
void upstream_error_read(struct arena *a, const struct upstream_refusal *r, struct error *e,
                         struct upstream_pause *pause);

/* True when a body of status 200 is an error all the same: *e then has its own code, or INTERNAL. */
bool upstream_error_in(yyjson_val *body, struct error *e);

#endif
