/* error.h -- one error vocabulary from the deepest call to the line the user reads.
 *
 * Why: an answer's error, an output line's status, an API's error body and a program's exit all need
 * the same three facts: which google.rpc code, which HTTP status, and whether trying again can help.
 * They stand in one table, so no layer translates.
 *
 * Shape:   a fallible function returns 0 or -1 (or NULL) and takes `struct error *e` last, never NULL.
 * Errors:  *e is untouched on success. It is set where the failure happens, wrapped where context is
 *          known, and reported once, at the top.
 * Threads: none; an error belongs to its caller.
 * Source:  google.rpc.Code and its HTTP mapping (https://google.aip.dev/193).
 */
#ifndef TRANCHE_BASE_ERROR_H
#define TRANCHE_BASE_ERROR_H

#include <stdbool.h>

#define FALLIBLE __attribute__((warn_unused_result))

/* Bytes of a message with its final NUL; longer ones are cut between characters. A message is always
 * valid UTF-8: bytes that are not become '?'. */
#define ERROR_MSG_BYTES 512

// clang-format off
#define ERROR_CODES(X)                                                                    \
    /* code                http rpc retry  phrase                                    */   \
    X(OK,                  200,  0, false, "OK")                                          \
    X(CANCELLED,           499,  1, false, "Client Closed Request")                       \
    X(UNKNOWN,             500,  2, true,  "Internal Server Error")                       \
    X(INVALID_ARGUMENT,    400,  3, false, "Bad Request")                                 \
    X(DEADLINE_EXCEEDED,   504,  4, true,  "Gateway Timeout")                             \
    X(NOT_FOUND,           404,  5, false, "Not Found")                                   \
    X(ALREADY_EXISTS,      409,  6, false, "Conflict")                                    \
    X(PERMISSION_DENIED,   403,  7, false, "Forbidden")                                   \
    X(RESOURCE_EXHAUSTED,  429,  8, true,  "Too Many Requests")                           \
    X(FAILED_PRECONDITION, 400,  9, false, "Bad Request")                                 \
    X(ABORTED,             409, 10, true,  "Conflict")                                    \
    X(OUT_OF_RANGE,        400, 11, false, "Bad Request")                                 \
    X(UNIMPLEMENTED,       501, 12, false, "Not Implemented")                             \
    X(INTERNAL,            500, 13, true,  "Internal Server Error")                       \
    X(UNAVAILABLE,         503, 14, true,  "Service Unavailable")                         \
    X(DATA_LOSS,           500, 15, false, "Internal Server Error")                       \
    X(UNAUTHENTICATED,     401, 16, false, "Unauthorized")
// clang-format on

enum error_code {
#define X(name, http, rpc, retry, phrase) ERROR_##name,
    ERROR_CODES(X)
#undef X
        ERROR_CODE_COUNT
};

struct error {
    enum error_code code;      /* what the caller may do: the table above */
    char msg[ERROR_MSG_BYTES]; /* what the user reads; no trailing newline */
};

/* Returns -1, so that a failure is one line: return error_set(e, ERROR_NOT_FOUND, "no %s", x); */
int error_set(struct error *e, enum error_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* As error_set, and appends ": " and the text of errno, which also chooses the code: ENOSPC, EDQUOT
 * and EFBIG are RESOURCE_EXHAUSTED, ENOENT is NOT_FOUND, EACCES is PERMISSION_DENIED, others INTERNAL.
 * errno stays as it was. */
int error_errno(struct error *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Puts context and ": " before e->msg, keeps e->code. Returns -1. */
int error_wrap(struct error *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

const char *error_name(enum error_code code);   /* "INVALID_ARGUMENT" */
const char *error_phrase(enum error_code code); /* "Bad Request" */
int error_http(enum error_code code);           /* 400 */
int error_rpc(enum error_code code);            /* 3 */
bool error_retryable(enum error_code code);
/* The code that an error's wire name stands for; false when there is none. */
bool error_from_name(const char *name, enum error_code *out);

#endif
