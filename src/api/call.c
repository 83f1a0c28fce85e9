/* call.c -- what handlers need of a call: replies, errors in each dialect, the body, projects, seals. */
#include "api/call.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <openssl/crypto.h>
#include <xxhash.h>

#include "api/test_mode.h"
#include "base/base64.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/models/registry.h"

#define JSON_TYPE "application/json; charset=UTF-8"
#define QUOTE_BYTES 128
#define ERROR_BYTES_MAX ((size_t)8 * 1024)

/* The names of an HTTP status in an error's body. */
static const struct {
    int http;
    const char *status; /* google.rpc.Code */
    const char *reason; /* of Cloud Storage */
} statuses[] = {
    { 400, "INVALID_ARGUMENT", "invalid" },
    { 401, "UNAUTHENTICATED", "authError" },
    { 403, "PERMISSION_DENIED", "forbidden" },
    { 404, "NOT_FOUND", "notFound" },
    { 405, "UNIMPLEMENTED", "methodNotAllowed" },
    { 408, "DEADLINE_EXCEEDED", "requestTimeout" },
    { 409, "ALREADY_EXISTS", "conflict" },
    { 410, "NOT_FOUND", "gone" },
    { 411, "INVALID_ARGUMENT", "lengthRequired" },
    { 412, "FAILED_PRECONDITION", "conditionNotMet" },
    { 413, "INVALID_ARGUMENT", "uploadTooLarge" },
    { 416, "OUT_OF_RANGE", "requestedRangeNotSatisfiable" },
    { 429, "RESOURCE_EXHAUSTED", "rateLimitExceeded" },
    { 499, "CANCELLED", "clientClosedRequest" },
    { 500, "INTERNAL", "internalError" },
    { 501, "UNIMPLEMENTED", "notImplemented" },
    { 503, "UNAVAILABLE", "backendError" },
    { 504, "DEADLINE_EXCEEDED", "gatewayTimeout" },
};
#define STATUS_COUNT (ARRAY_LEN(statuses))

struct failure {
    int http;
    const char *status, *reason, *message;
    const char *location; /* BigQuery's; or NULL */
    bool own_reason;      /* the caller's: shown in every dialect */
};

/* BigQuery's words for some of them. */
static const char *bigquery_reason(int http, const char *reason)
{
    switch (http) {
    case 403:
        return "accessDenied";
    case 409:
        return "duplicate";
    case 503:
        return "backendError";
    default:
        return reason;
    }
}

static size_t status_index(int http)
{
    size_t i = 0;

    while (i < STATUS_COUNT && statuses[i].http != http)
        i++;
    return i;
}

/* Internal errors, and others that name a file of ours, go to the log only: they may name paths and objects
 * of other projects. */
static const char *public_message(const struct call *c, const struct error *e)
{
    if (error_http(e->code) != 500 && !store_is_named(c->api->store, str_of(e->msg)))
        return e->msg;
    log_error("call %s: %s", http_id(c->http), e->msg);
    if (e->code == ERROR_RESOURCE_EXHAUSTED)
        return "The server has no room left on its disk.";
    return "Internal error encountered.";
}

/* The common beginning of both forms; the error object stays open. */
static void write_error(const struct failure *f, struct json_writer *w)
{
    json_object(w, NULL);
    json_object(w, "error");
    json_add_int(w, "code", f->http);
    json_add_c(w, "message", f->message);
}

static void write_google(const struct failure *f, struct json_writer *w)
{
    write_error(f, w);
    json_add_c(w, "status", f->status);
    if (f->own_reason) {
        json_array(w, "details");
        json_object(w, NULL);
        json_add_c(w, "@type", "type.googleapis.com/google.rpc.ErrorInfo");
        json_add_c(w, "reason", f->reason);
        json_add_c(w, "domain", "googleapis.com");
        json_end(w);
        json_end(w);
    }
    json_end(w);
    json_end(w);
}

/* Cloud Storage's form, and BigQuery's, which has a status too. */
static void write_errors(const struct failure *f, bool status, struct json_writer *w)
{
    write_error(f, w);
    json_array(w, "errors");
    json_object(w, NULL);
    json_add_c(w, "message", f->message);
    json_add_c(w, "domain", "global");
    json_add_c(w, "reason", f->reason);
    if (f->location) {
        json_add_c(w, "location", f->location);
        json_add_c(w, "locationType", "parameter");
    }
    json_end(w);
    json_end(w);
    if (status)
        json_add_c(w, "status", f->status);
    json_end(w);
    json_end(w);
}

static void reply_failure(struct call *c, const struct failure *f)
{
    unsigned flags = c->route->flags;
    struct buf body = BUF_INIT(ERROR_BYTES_MAX);
    struct json_writer w = JSON_WRITER(&body);

    if (f->http == 401)
        http_set_header(c->http, "WWW-Authenticate", STR("Bearer realm=\"tranche\""));
    if (flags & ROUTE_TEXT)
        buf_add_c(&body, f->message);
    else if (flags & (ROUTE_STORAGE | ROUTE_BIGQUERY))
        write_errors(f, flags & ROUTE_BIGQUERY, &w);
    else
        write_google(f, &w);
    buf_add_char(&body, '\n');
    http_reply(c->http, f->http, flags & ROUTE_TEXT ? "text/plain; charset=utf-8" : JSON_TYPE,
               &body);
}

void call_fail_reason(struct call *c, const struct error *e, const struct bq_reason *why)
{
    size_t i = status_index(why->http);

    assert(i < STATUS_COUNT);
    reply_failure(c, &(struct failure){
                         .http = why->http,
                         .status = statuses[i].status,
                         .reason = why->reason,
                         .location = why->location,
                         .message = public_message(c, e),
                     });
}

void call_fail(struct call *c, const struct error *e)
{
    if (c->route->flags & ROUTE_BIGQUERY) {
        const struct bq_reason why = bq_reason_of(e, BQ_IN_CALL);
        call_fail_reason(c, e, &why);
        return;
    }
    int http = error_http(e->code);
    size_t i = status_index(http);

    reply_failure(c, &(struct failure){
                         .http = http,
                         .status = error_name(e->code),
                         .reason = i < STATUS_COUNT ? statuses[i].reason : "backendError",
                         .message = public_message(c, e),
                     });
}

void call_reply(struct call *c, struct buf *body)
{
    if (buf_ok(body)) {
        http_reply(c->http, 200, JSON_TYPE, body);
        return;
    }
    log_error("call %s: the answer is larger than its buffer may be", http_id(c->http));
    buf_release(body);
    call_fail(c, &(struct error){ .code = ERROR_INTERNAL });
}

void call_reply_c(struct call *c, const char *json)
{
    struct buf body = BUF_INIT(SIZE_MAX);

    buf_add_c(&body, json);
    call_reply(c, &body);
}

void call_fail_as(struct call *c, int status, const char *reason, const char *message)
{
    size_t i = status_index(status);

    assert(i < STATUS_COUNT);
    const char *usual = c->route->flags & ROUTE_BIGQUERY
                            ? bigquery_reason(status, statuses[i].reason)
                            : statuses[i].reason;
    reply_failure(c, &(struct failure){
                         .http = status,
                         .status = statuses[i].status,
                         .reason = reason ? reason : usual,
                         .message = message,
                         .own_reason = reason != NULL,
                     });
}

/* Refuses what json_check refuses, with its path. */
static int check(yyjson_val *root, struct error *e)
{
    struct buf path = BUF_INIT(ERROR_MSG_BYTES);
    int rc = json_check(root, &path, e);

    if (rc < 0)
        (void)error_wrap(e, "Invalid JSON payload received at '%.*s'", STR_ARG(buf_str(&path)));
    buf_release(&path);
    return rc;
}

static yyjson_val *parse(struct call *c, struct str body, struct error *e)
{
    size_t at = 0;

    if (str_trim(body).len == 0)
        body = STR("{}");
    yyjson_val *root = json_parse(c->arena, body, &at, e);
    if (!root) {
        (void)error_wrap(e, "Invalid JSON payload received at byte %zu", at + 1);
        return NULL;
    }
    if (check(root, e) < 0)
        return NULL;
    if (yyjson_is_obj(root))
        return root;
    (void)error_set(e, ERROR_INVALID_ARGUMENT,
                    "Invalid JSON payload received. Expected an object at the top level.");
    return NULL;
}

int call_nul_check(struct str json, struct error *e)
{
    if (!json_has_nul(json))
        return 0;
    return error_set(e, ERROR_INVALID_ARGUMENT,
                     "Invalid JSON payload received. A text has a NUL (\\u0000), which no name or "
                     "value may have.");
}

yyjson_val *call_json_of(struct call *c, struct str body, struct error *e)
{
    yyjson_val *root = parse(c, body, e);

    return root && call_nul_check(body, e) == 0 ? root : NULL;
}

yyjson_val *call_json_texts(struct call *c, struct error *e)
{
    return parse(c, http_body(c->http), e);
}

yyjson_val *call_json(struct call *c, struct error *e)
{
    return call_json_of(c, http_body(c->http), e);
}

int call_script(struct call *c, struct str *out, struct error *e)
{
    *out = http_header(c->http, "x-tranche-test");
    if (out->len == 0 || c->api->test_clock)
        return 0;
    return error_set(e, ERROR_FAILED_PRECONDITION,
                     "x-tranche-test needs a server that was started with --test-clock.");
}

/* The first rule of the configuration for a thing of this name. */
static struct str rule_script(const struct api *a, enum call_kind kind, struct str name)
{
    for (uint32_t i = 0; i < a->rule_count; i++) {
        const struct script_rule *r = &a->rule[i];
        const char *const of[] = { r->job, r->file, r->object, r->table }, *text = of[kind];
        if (text && str_find(name, str_of(text)) != SIZE_MAX)
            return str_of(r->script);
    }
    return (struct str){ 0 };
}

static uint64_t create_key(const struct call *c, struct str name, struct str script)
{
    struct buf text = BUF_INIT(HTTP_HEAD_BYTES_MAX * 2);

    buf_add_json(&text, str_of(call_own_project(c)));
    buf_add_json(&text, http_path(c->http));
    buf_add_json(&text, name);
    buf_add_json(&text, script);
    uint64_t key = XXH3_64bits(text.p, text.len) | 1;
    buf_release(&text);
    return key;
}

bool call_script_fails(struct call *c, struct str name, struct str script, uint32_t times)
{
    return times == 0 || test_mode_fails(c->api->test_mode, create_key(c, name, script), times);
}

int call_script_create(struct call *c, enum call_kind kind, struct str name, struct str *out,
                       struct error *e)
{
    struct script_whole whole;

    if (call_script(c, out, e) < 0)
        return -1;
    bool header = out->len > 0;
    if (!header && c->api->test_clock)
        *out = rule_script(c->api, kind, name);
    if (out->len == 0)
        return 0;
    if (script_whole(*out, &whole, e) < 0)
        return header ? error_wrap(e, "x-tranche-test") : -1;
    if (whole.create == ERROR_OK || !call_script_fails(c, name, *out, whole.create_times))
        return 0;
    return script_fail(whole.create, e);
}

int call_number(struct call *c, const char *name, uint64_t deflt, uint64_t max, uint64_t *out,
                struct error *e)
{
    struct str text;
    uint64_t n = 0;

    if (http_query(c->http, name, &text) && text.len > 0 && !str_number(text, &n))
        return error_set(e, ERROR_INVALID_ARGUMENT, "Invalid value at '%s': \"%.*s\"", name,
                         STR_ARG(str_sub(text, 0, 64)));
    if (n == 0)
        n = deflt;
    *out = n < max ? n : max;
    return 0;
}

bool call_int64(struct str text, int64_t *out)
{
    uint64_t n;

    if (!str_number(text, &n) || n > INT64_MAX)
        return false;
    *out = (int64_t)n;
    return true;
}

const char *call_own_project(const struct call *c)
{
    return c->who.all ? c->api->default_project : c->who.project;
}

bool call_project(struct call *c, struct str path_project, const char **out)
{
    if (path_project.len == 0) {
        *out = call_own_project(c);
        return true;
    }
    if (!auth_project_valid(path_project) ||
        !(c->who.all || str_eq_c(path_project, c->who.project)))
        return false;
    *out = arena_copy(c->arena, path_project.p, path_project.len);
    return true;
}

/* A text for a message: cut, and still UTF-8. */
struct str call_quote(struct str s)
{
    struct str cut = str_cut(s, QUOTE_BYTES);

    return str_sub(cut, 0, str_utf8_valid(cut));
}

const struct trace *call_trace(const struct call *c, struct arena *a)
{
    if (!c->trace.id[0])
        return NULL;
    struct trace *copy = arena_alloc(a, sizeof *copy);
    *copy = c->trace;
    return copy;
}

const struct models *call_models(const struct call *c)
{
    return c->api->models(c->api->config_arg);
}

void call_models_done(const struct call *c, const struct models *m)
{
    c->api->models_done(c->api->config_arg, m);
}

bool call_knows_model(const struct call *c, const char *project, const char *name)
{
    char tuned[MODEL_NAME_BYTES];
    struct registry_found found;
    struct error ignored;

    if (model_tuned_name(name, project, tuned) &&
        registry_find(c->api->store, c->arena, project, str_of(tuned), &found, &ignored) == 1)
        return true;
    const struct models *all = call_models(c);
    bool known = model_find(all, name, &ignored) != NULL;
    call_models_done(c, all);
    return known;
}

int call_no_model(const struct call *c, struct str model, struct error *e)
{
    return error_set(e, ERROR_NOT_FOUND,
                     "models/%.*s is not found for API version %.*s, or is not supported for "
                     "generateContent. Call ListModels to see the list of available models and "
                     "their supported methods.",
                     STR_ARG(call_quote(model)), STR_ARG(c->version));
}

void call_add_time(struct json_writer *w, const char *key, int64_t us)
{
    char text[CLOCK_TEXT_BYTES];

    clock_format_rfc3339(us, text);
    json_add_c(w, key, text);
}

void call_add_int64(struct json_writer *w, const char *key, int64_t n)
{
    json_addf(w, key, "%" PRId64, n);
}

void call_add_base64(struct json_writer *w, const char *key, const void *p, size_t len)
{
    json_value(w, key);
    buf_add_char(w->out, '"');
    base64_add(p, len, w->out);
    buf_add_char(w->out, '"');
}

struct str call_base_url(struct call *c)
{
    struct str url = c->api->public_url ? str_of(c->api->public_url) : http_base_url(c->http);

    while (str_ends(url, STR("/")))
        url = str_sub(url, 0, url.len - 1);
    return url;
}

const char *call_scope(const struct call *c)
{
    return c->who.all ? NULL : c->who.project;
}

/* ---- Seals ---- */

#define NUMBERS_CHARS 32
#define MAC_BYTES 16

static_assert(NUMBERS_CHARS + 2 * MAC_BYTES + 1 == SEAL_TEXT_BYTES, "a seal's text");

/* The numbers' text, then the signature's; zero bytes keep the parts apart. */
int seal_write(struct store *s, const struct seal *seal, const int64_t number[2],
               char text[SEAL_TEXT_BYTES], struct error *e)
{
    unsigned char mac[STORE_MAC_BYTES];
    struct buf signed_text = BUF_INIT(SIZE_MAX);

    (void)snprintf(text, SEAL_TEXT_BYTES, "%016" PRIx64 "%016" PRIx64, (uint64_t)number[0],
                   (uint64_t)number[1]);
    buf_add(&signed_text, seal->purpose, strlen(seal->purpose) + 1);
    buf_add_str(&signed_text, seal->scope);
    buf_add_char(&signed_text, '\0');
    buf_add_c(&signed_text, text);
    int rc = store_mac(s, SECRET_SEALS, buf_str(&signed_text), mac, e);
    buf_release(&signed_text);
    if (rc == 0)
        str_hex(mac, MAC_BYTES, text + NUMBERS_CHARS);
    return rc;
}

static bool number_read(struct str hex, int64_t *out)
{
    uint64_t n = 0;

    for (size_t i = 0; i < hex.len; i++) {
        char c = hex.p[i];
        bool digit = c >= '0' && c <= '9';
        if (!digit && (c < 'a' || c > 'f'))
            return false;
        n = n << 4 | (uint64_t)(digit ? c - '0' : c - 'a' + 10);
    }
    if (n > INT64_MAX)
        return false;
    *out = (int64_t)n;
    return true;
}

bool seal_read(struct store *s, const struct seal *seal, struct str text, int64_t number[2])
{
    char expected[SEAL_TEXT_BYTES];
    struct error ignored = { 0 };

    if (text.len != SEAL_TEXT_BYTES - 1 || !number_read(str_sub(text, 0, 16), &number[0]) ||
        !number_read(str_sub(text, 16, 16), &number[1]))
        return false;
    return seal_write(s, seal, number, expected, &ignored) == 0 &&
           CRYPTO_memcmp(expected, text.p, text.len) == 0;
}
