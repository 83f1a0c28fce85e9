#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

static const struct {
    const char *name, *phrase;
    int http, rpc;
    bool retry;
} codes[ERROR_CODE_COUNT] = {
#define X(name, http, rpc, retry, phrase) { #name, phrase, http, rpc, retry },
    ERROR_CODES(X)
#undef X
};

int error_set(struct error *e, enum error_code code, const char *fmt, ...)
{
    va_list ap;

    e->code = code;
    va_start(ap, fmt);
    int n = vsnprintf(e->msg, sizeof e->msg, fmt, ap);
    va_end(ap);
    str_settle(e->msg, n, sizeof e->msg);
    return -1;
}

static enum error_code code_of_errno(int err)
{
    switch (err) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
    case EMFILE:
    case ENFILE:
        return ERROR_RESOURCE_EXHAUSTED;
    case ENOENT:
    case ENOTDIR:
        return ERROR_NOT_FOUND;
    case EACCES:
    case EPERM:
    case EROFS:
        return ERROR_PERMISSION_DENIED;
    case EEXIST:
        return ERROR_ALREADY_EXISTS;
    default:
        return ERROR_INTERNAL;
    }
}

int error_errno(struct error *e, const char *fmt, ...)
{
    int err = errno;
    char context[ERROR_MSG_BYTES];
    char reason[128];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(context, sizeof context, fmt, ap);
    va_end(ap);
    if (strerror_r(err, reason, sizeof reason) != 0)
        (void)snprintf(reason, sizeof reason, "error %d", err);
    (void)error_set(e, code_of_errno(err), "%s: %s", context, reason);
    errno = err; /* formatting may have changed it */
    return -1;
}

int error_wrap(struct error *e, const char *fmt, ...)
{
    struct error inner = *e;
    char context[ERROR_MSG_BYTES];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(context, sizeof context, fmt, ap);
    va_end(ap);
    return error_set(e, inner.code, "%s: %s", context, inner.msg);
}

const char *error_name(enum error_code code)
{
    return codes[code].name;
}

const char *error_phrase(enum error_code code)
{
    return codes[code].phrase;
}

int error_http(enum error_code code)
{
    return codes[code].http;
}

int error_rpc(enum error_code code)
{
    return codes[code].rpc;
}

bool error_retryable(enum error_code code)
{
    return codes[code].retry;
}

bool error_from_name(const char *name, enum error_code *out)
{
    for (int i = 0; i < ERROR_CODE_COUNT; i++) {
        if (strcmp(codes[i].name, name) == 0) {
            *out = (enum error_code)i;
            return true;
        }
    }
    return false;
}
