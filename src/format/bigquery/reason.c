#include "format/bigquery/reason.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "base/str.h"

/* Texts of mistakes that are not in the SQL, though a query finds them. */
static bool is_beside_query(struct str text)
{
    static const char *const starts[] = { "Invalid schema update", "Provided Schema does not match",
                                          "Invalid input session id", "The field specified for",
                                          "Cannot query over table" };

    for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++)
        if (str_starts(text, str_of(starts[i])))
            return true;
    return false;
}

/* Texts of RESOURCE_EXHAUSTED that have a reason of their own. */
#define TOO_LARGE "Response too large"
#define BILLED "Query exceeded limit for bytes billed"
#define RATE "Exceeded rate limits"

const struct bq_reason *bq_reason_find(struct str name)
{
    static const struct bq_reason all[] = {
        { 403, "accessDenied", NULL },
        { 503, "backendError", NULL },
        { 403, "billingNotEnabled", NULL },
        { 400, "billingTierLimitExceeded", NULL },
        { 403, "blocked", NULL },
        { 400, "bytesBilledLimitExceeded", NULL },
        { 409, "duplicate", NULL },
        { 500, "internalError", NULL },
        { 400, "invalid", NULL },
        { 400, "invalidQuery", "query" },
        { 503, "jobBackendError", NULL },
        { 500, "jobInternalError", NULL },
        { 429, "jobRateLimitExceeded", NULL },
        { 404, "notFound", NULL },
        { 501, "notImplemented", NULL },
        { 403, "quotaExceeded", NULL },
        { 429, "rateLimitExceeded", NULL },
        { 400, "resourceInUse", NULL },
        { 400, "resourcesExceeded", NULL },
        { 403, "responseTooLarge", NULL },
        { 400, "stopped", NULL },
        { 400, "tableUnavailable", NULL },
        { 400, "timeout", NULL },
    };

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (name.len == strlen(all[i].reason) && strncasecmp(name.p, all[i].reason, name.len) == 0)
            return &all[i];
    return NULL;
}

struct bq_reason bq_reason_of(const struct error *e, enum bq_where where)
{
    bool query = where == BQ_IN_QUERY && !is_beside_query(str_of(e->msg));

    switch (e->code) {
    case ERROR_INVALID_ARGUMENT:
    case ERROR_OUT_OF_RANGE:
    case ERROR_UNIMPLEMENTED:
        return (struct bq_reason){ 400, query ? "invalidQuery" : "invalid",
                                   query ? "query" : NULL };
    case ERROR_NOT_FOUND:
        return (struct bq_reason){ 404, "notFound", NULL };
    case ERROR_ALREADY_EXISTS:
        return (struct bq_reason){ 409, "duplicate", NULL };
    case ERROR_PERMISSION_DENIED:
        return (struct bq_reason){ 403, "accessDenied", NULL };
    case ERROR_UNAUTHENTICATED:
        return (struct bq_reason){ 401, "authError", NULL };
    case ERROR_FAILED_PRECONDITION:
        return (struct bq_reason){ 400, "resourceInUse", NULL };
    case ERROR_ABORTED:
        return (struct bq_reason){ 412, "conditionNotMet", NULL };
    case ERROR_RESOURCE_EXHAUSTED:
        if (str_starts(str_of(e->msg), STR(TOO_LARGE)))
            return (struct bq_reason){ 403, "responseTooLarge", NULL };
        if (str_starts(str_of(e->msg), STR(BILLED)))
            return (struct bq_reason){ 400, "bytesBilledLimitExceeded", NULL };
        if (str_starts(str_of(e->msg), STR(RATE)))
            return (struct bq_reason){ 429, "rateLimitExceeded", NULL };
        return (struct bq_reason){ 400, "resourcesExceeded", NULL };
    case ERROR_DEADLINE_EXCEEDED:
        return (struct bq_reason){ 400, "timeout", NULL };
    case ERROR_CANCELLED:
        return (struct bq_reason){ 400, "stopped", NULL };
    case ERROR_UNAVAILABLE:
        return (struct bq_reason){ 503, "backendError", NULL };
    case ERROR_INTERNAL:
    case ERROR_DATA_LOSS:
    case ERROR_UNKNOWN:
    case ERROR_OK:
    case ERROR_CODE_COUNT:
        break;
    }
    return (struct bq_reason){ 500, "internal", NULL };
}
