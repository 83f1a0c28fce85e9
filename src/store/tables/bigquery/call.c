/* call.c -- one request to BigQuery: credentials, retries by reason, errors in our words.
 *
 * Why: BigQuery says in errors[0].reason whether a call may be repeated. A call that cannot succeed is not
 * repeated; what passes by itself is, with growing pauses.
 *
 * Source:  https://cloud.google.com/bigquery/docs/error-messages
 */
#include "store/tables/bigquery/inner.h"

#include <stdlib.h>
#include <string.h>

#include "base/random.h"

#define TOKEN_MS 30000
#define CALL_MS 600000
#define PAUSE_MS 200
#define PAUSE_MAX_MS 30000
#define SLEEP_MS 50

/* ---- Reasons ---- */

static const struct {
    const char *reason;
    enum error_code code;
    bool again;
} reasons[] = {
    { "backendError", ERROR_UNAVAILABLE, true },
    { "internalError", ERROR_UNAVAILABLE, true },
    { "badGateway", ERROR_UNAVAILABLE, true },
    { "jobBackendError", ERROR_UNAVAILABLE, true },
    { "jobInternalError", ERROR_UNAVAILABLE, true },
    { "tableUnavailable", ERROR_UNAVAILABLE, true },
    { "rateLimitExceeded", ERROR_RESOURCE_EXHAUSTED, true },
    { "jobRateLimitExceeded", ERROR_RESOURCE_EXHAUSTED, true },
    { "quotaExceeded", ERROR_RESOURCE_EXHAUSTED, false },
    { "resourcesExceeded", ERROR_RESOURCE_EXHAUSTED, false },
    { "responseTooLarge", ERROR_FAILED_PRECONDITION, false },
    { "bytesBilledLimitExceeded", ERROR_FAILED_PRECONDITION, false },
    { "resourceInUse", ERROR_FAILED_PRECONDITION, false },
    { "notFound", ERROR_NOT_FOUND, false },
    { "duplicate", ERROR_ALREADY_EXISTS, false },
    { "accessDenied", ERROR_PERMISSION_DENIED, false },
    { "billingNotEnabled", ERROR_PERMISSION_DENIED, false },
    { "blocked", ERROR_PERMISSION_DENIED, false },
    { "policyViolation", ERROR_PERMISSION_DENIED, false },
    { "authError", ERROR_UNAUTHENTICATED, false },
    { "invalid", ERROR_INVALID_ARGUMENT, false },
    { "invalidQuery", ERROR_INVALID_ARGUMENT, false },
    { "invalidParameter", ERROR_INVALID_ARGUMENT, false },
    { "required", ERROR_INVALID_ARGUMENT, false },
    { "parseError", ERROR_INVALID_ARGUMENT, false },
    { "conditionNotMet", ERROR_ABORTED, false },
    { "notImplemented", ERROR_UNIMPLEMENTED, false },
    { "stopped", ERROR_CANCELLED, false },
    { "timeout", ERROR_DEADLINE_EXCEEDED, false },
};

enum error_code rest_reason(struct str reason, bool *again)
{
    for (size_t i = 0; i < ARRAY_LEN(reasons); i++)
        if (str_eq_c(reason, reasons[i].reason)) {
            *again = reasons[i].again;
            return reasons[i].code;
        }
    *again = false;
    return ERROR_UNKNOWN;
}

/* An error without a reason that we know. */
static enum error_code code_of_status(int status, bool *again)
{
    *again = status == 429 || status == 500 || status == 502 || status == 503 || status == 504;
    switch (status) {
    case 400:
        return ERROR_INVALID_ARGUMENT;
    case 401:
        return ERROR_UNAUTHENTICATED;
    case 403:
        return ERROR_PERMISSION_DENIED;
    case 404:
    case 410:
        return ERROR_NOT_FOUND;
    case 409:
        return ERROR_ALREADY_EXISTS;
    case 412:
        return ERROR_ABORTED;
    case 429:
        return ERROR_RESOURCE_EXHAUSTED;
    case 501:
        return ERROR_UNIMPLEMENTED;
    default:
        return ERROR_UNAVAILABLE;
    }
}

/* -1 with the answer's error; *again: the call may be repeated. */
static int refuse(const struct http_in *in, bool *again, struct error *e)
{
    struct arena a = { 0 };
    struct error ignored = { 0 };
    size_t at;
    yyjson_val *error = json_get(json_parse(&a, buf_str(&in->body), &at, &ignored), "error");
    struct str said = json_str(json_get(error, "message"));
    struct str reason =
        json_str(json_get(yyjson_arr_get_first(json_get(error, "errors")), "reason"));
    enum error_code code = rest_reason(reason, again);

    if (code == ERROR_UNKNOWN)
        code = code_of_status(in->status, again);
    if (said.len)
        (void)error_set(e, code, "%.*s", STR_ARG(said));
    else
        (void)error_set(e, code, "BigQuery answered with status %d", in->status);
    arena_release(&a);
    return -1;
}

/* ---- One call ---- */

static bool is_stopped(const atomic_bool *stop)
{
    return stop && atomic_load(stop);
}

int rest_pause(struct bigquery *b, uint32_t tries, uint64_t least_ns, const atomic_bool *stop,
               struct error *e)
{
    uint64_t seed = (uint64_t)b->clock->wall_us(b->clock) ^ (uint64_t)(uintptr_t)e;
    uint64_t ms = (uint64_t)PAUSE_MS << (tries < 10 ? tries : 10);

    ms = ms < PAUSE_MAX_MS ? ms : PAUSE_MAX_MS;
    ms = (uint64_t)((double)ms * (0.5 + random_unit(&seed)));
    uint64_t ns = ms * NS_PER_MS > least_ns ? ms * NS_PER_MS : least_ns;
    while (ns > 0 && !is_stopped(stop)) {
        uint64_t piece = ns < SLEEP_MS * NS_PER_MS ? ns : SLEEP_MS * NS_PER_MS;
        b->clock->sleep_ns(b->clock, piece);
        ns -= piece;
    }
    return is_stopped(stop) ? error_set(e, ERROR_CANCELLED, "stopped") : 0;
}

/* "Authorization: Bearer ..." into out; nothing without a credential. */
static int add_credential(struct bigquery *b, struct buf *out, struct error *e)
{
    struct buf secret = BUF_INIT(CREDENTIAL_BYTES_MAX);
    int rc = b->credential ? credential_wait(b->credential, TOKEN_MS, &secret, e) : 0;

    if (rc > 0 && secret.len)
        buf_addf(out, "Authorization: Bearer %.*s", STR_ARG(buf_str(&secret)));
    if (out->len)
        buf_add_char(out, '\0');
    buf_release(&secret);
    return rc < 0 ? -1 : 0;
}

/* One try. 0 and the answer, whatever its status. */
static int send_once(struct bigquery *b, const struct rest_call *c, struct http_in *in,
                     struct error *e)
{
    struct buf bearer = BUF_INIT(CREDENTIAL_BYTES_MAX + 64), url = BUF_INIT((size_t)64 * 1024);
    const char *header[4] = { NULL };
    uint32_t count = 0;
    int rc = add_credential(b, &bearer, e);

    if (rc == 0) {
        if (bearer.len)
            header[count++] = bearer.p;
        if (c->header)
            header[count++] = c->header;
        if (c->body.len)
            header[count++] = "Content-Type: application/json; charset=UTF-8";
        if (*c->path == '/')
            buf_addf(&url, "%s/bigquery/v2", b->endpoint);
        buf_add(&url, c->path, strlen(c->path) + 1);
        const struct http_out out = { .method = c->method,
                                      .url = url.p,
                                      .header = header,
                                      .body = c->body,
                                      .has_body_file = c->file != NULL,
                                      .body_fd = c->file ? c->fd : -1,
                                      .body_offset = c->offset,
                                      .body_bytes = c->bytes,
                                      .timeout_ms = CALL_MS,
                                      .ca_file = b->ca_file,
                                      .body_max = ANSWER_BYTES_MAX,
                                      .stop = c->stop };
        struct http_client *client = http_pool_take(b->pool);
        rc = http_do(client, &out, in, e);
        http_pool_give(b->pool, client);
    }
    buf_release(&bearer);
    buf_release(&url);
    return rc;
}

static uint64_t retry_after_ns(const struct http_in *in)
{
    uint64_t seconds = 0;

    if (!str_number_in(http_in_header(in, "retry-after"), 0, 120, &seconds))
        return 0;
    return seconds * NS_PER_S;
}

int rest_call(struct bigquery *b, const struct rest_call *c, struct http_in *in, struct error *e)
{
    uint64_t end = b->clock->mono_ns(b->clock) + b->retry_ns;
    bool refreshed = false;

    *in = (struct http_in){ 0 };
    for (uint32_t tries = 0;; tries++) {
        http_in_release(in);
        *in = (struct http_in){ 0 };
        struct error why = { 0 };
        bool again;
        if (send_once(b, c, in, &why) < 0)
            again = in->status == 0 &&
                    (why.code == ERROR_UNAVAILABLE || why.code == ERROR_DEADLINE_EXCEEDED);
        else if ((in->status >= 200 && in->status < 300) || in->status == 308)
            return 0;
        else
            (void)refuse(in, &again, &why);
        if (in->status == 401 && b->credential && !refreshed) {
            credential_refused(b->credential);
            refreshed = true;
            continue;
        }
        if (!again || c->once || b->clock->mono_ns(b->clock) >= end) {
            *e = why;
            return -1;
        }
        if (rest_pause(b, tries, retry_after_ns(in), c->stop, e) < 0)
            return -1;
    }
}

yyjson_val *rest_ask(struct bigquery *b, const struct rest_call *c, struct arena *a,
                     struct error *e)
{
    struct http_in in;
    struct error bad = { 0 };
    yyjson_val *root = NULL;
    size_t at;

    if (rest_call(b, c, &in, e) == 0) {
        struct str body = in.body.len ? buf_str(&in.body) : STR("{}");
        root = json_parse(a, body, &at, &bad);
        if (!root)
            (void)error_set(e, ERROR_UNAVAILABLE, "BigQuery's answer is not JSON: %s", bad.msg);
    }
    http_in_release(&in);
    return root;
}

/* ---- Names, numbers ---- */

const char *rest_path(struct arena *a, const char *text, const struct str *part)
{
    struct buf out = BUF_INIT((size_t)64 * 1024);

    for (const char *p = text; *p; p++) {
        if (p[0] == '{' && p[1] == '}') {
            http_add_encoded(&out, *part++, ":");
            p++;
        } else {
            buf_add_char(&out, *p);
        }
    }
    const char *path = arena_copy(a, out.p, out.len);
    buf_release(&out);
    return path;
}

int64_t rest_int(yyjson_val *v)
{
    struct str s = json_str(v);
    char text[32] = "";

    if (yyjson_is_int(v))
        return yyjson_get_sint(v);
    if (s.len == 0 || s.len >= sizeof text)
        return 0;
    memcpy(text, s.p, s.len);
    return strtoll(text, NULL, 10);
}

struct str rest_copy(struct arena *a, struct str s)
{
    return (struct str){ arena_copy(a, s.p ? s.p : "", s.len), s.len };
}

int rest_project_check(struct str project, struct error *e)
{
    bool ok = project.len > 0 && project.len <= 128 && project.p[0] != '.';

    for (size_t i = 0; ok && i < project.len; i++) {
        char c = project.p[i];
        ok = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
             (c && strchr("-_.:", c));
    }
    return ok ? 0
              : error_set(e, ERROR_INVALID_ARGUMENT, "Invalid project ID \"%.*s\".",
                          STR_ARG(str_cut(project, 200)));
}

int rest_name_check(const struct tables_name *n, struct error *e)
{
    if (rest_project_check(n->project, e) < 0 || tables_dataset_check(n->dataset, e) < 0)
        return -1;
    return n->table.p ? tables_table_check(n->table, e) : 0;
}

void rest_reference(struct json_writer *w, const char *key, const struct tables_name *n)
{
    json_object(w, key);
    json_add_text(w, "projectId", n->project);
    json_add_text(w, "datasetId", n->dataset);
    if (n->table.len)
        json_add_text(w, "tableId", n->table);
    json_end(w);
}
