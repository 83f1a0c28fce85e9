/* call.h -- one call of the API: what its handler knows of it, and how it answers.
 *
 * Why: every dialect reads bodies, checks projects, pages lists and refuses in the same way; only the
 * words differ, and the route's flags choose them.
 *
 * Shape:   a handler answers its call exactly once, by call_reply, call_fail or a reply of http_server.
 *          A body that is kept is JSON (call_json). Error bodies are Google's: {"error": {"code",
 *          "message", "status"}}, with errors[] for Cloud Storage and BigQuery, or plain text.
 * Errors:  INTERNAL is logged and answered without its message, which may name paths.
 * Threads: a call belongs to one thread at a time: the connection's until its body is in, then a
 *          worker's. The arena dies with the call.
 * Source:  google.rpc.Status; https://cloud.google.com/storage/docs/json_api/v1/status-codes
 */
#ifndef TRANCHE_API_CALL_H
#define TRANCHE_API_CALL_H

#include "api/auth.h"
#include "api/context.h"
#include "api/route.h"
#include "format/trace.h"
#include "base/json.h"
#include "base/json_write.h"
#include "format/bigquery/reason.h"

/* One API call. It lives as long as its http_call; a handler that answers later keeps the pointer. */
struct call {
    struct http_call *http;
    struct api *api;
    const struct route *route;
    struct principal who;
    struct arena *arena;
    struct str param[ROUTE_PARAMS_MAX];
    uint32_t param_count;
    struct str version; /* the first step that is a version, "v1", "v1beta1"; else the first step */
    struct trace trace; /* that the client's headers name */
    void *state;        /* the handler's own; free_state is called with it at the end */
    void (*free_state)(void *state);
    /* Called when the client has left before the reply, on a thread of the server; must not wait. Set
     * before the handler hands the call to another thread; or NULL. */
    void (*_Atomic gone)(struct call *c);
};

/* ---- Answers: exactly one a call ---- */

/* Answers with JSON and HTTP 200; takes the body's bytes. */
void call_reply(struct call *c, struct buf *body);
void call_reply_c(struct call *c, const char *json);
/* Answers with the error in the form of the route, and HTTP error_http(e->code). */
void call_fail(struct call *c, const struct error *e);
/* As call_fail, with its own HTTP status and reason: in Cloud Storage's form errors[].reason
 * ("conditionNotMet"), else that of an ErrorInfo in details ("API_KEY_INVALID"). NULL: the usual reason,
 * or no details. */
void call_fail_as(struct call *c, int status, const char *reason, const char *message);
/* As call_fail for a call in BigQuery's form, with that form's status, reason and, unless NULL, location. */
void call_fail_reason(struct call *c, const struct error *e, const struct bq_reason *why);
/* Its trace for requests that may outlive it, in the arena; NULL: none. */
const struct trace *call_trace(const struct call *c, struct arena *a);
/* NOT_FOUND in the words of Google's clients. */
int call_no_model(const struct call *c, struct str model, struct error *e) FALLIBLE;
/* A text of the client as a message may quote it: at most 128 bytes, still UTF-8. */
struct str call_quote(struct str s);

/* ---- The request ---- */

/* The body as a JSON object, in the call's arena; an empty body gives an empty object. No text in it has a
 * NUL. */
yyjson_val *call_json(struct call *c, struct error *e);
/* The same where texts are for a model, and may have NULs. */
yyjson_val *call_json_texts(struct call *c, struct error *e);
/* call_json for a body that the handler took. It must stay until the call's end. */
yyjson_val *call_json_of(struct call *c, struct str body, struct error *e);
/* INVALID_ARGUMENT when a text of this valid JSON has a NUL. */
int call_nul_check(struct str json, struct error *e) FALLIBLE;
/* The script of the header x-tranche-test, or empty. FAILED_PRECONDITION without the test clock. */
int call_script(struct call *c, struct str *out, struct error *e) FALLIBLE;
/* That of a call that creates a job, file, object, table, rows or a job of BigQuery's: of the header, else of the configuration's rule for this name; or
 * empty. When it says that creating fails, that is the error: the attempts of calls with the same project, name and
 * script are counted. */
enum call_kind { CALL_JOB, CALL_FILE, CALL_OBJECT, CALL_TABLE };
int call_script_create(struct call *c, enum call_kind kind, struct str name, struct str *out,
                       struct error *e) FALLIBLE;
/* Counts an attempt of calls with the same project, path, name and script: is it one of the first `times` (0: all)? */
bool call_script_fails(struct call *c, struct str name, struct str script, uint32_t times);
/* A query parameter such as "pageSize", within [1, max]: absent or 0 gives deflt, a larger number max.
 * INVALID_ARGUMENT when it is not a number. */
int call_number(struct call *c, const char *name, uint64_t deflt, uint64_t max, uint64_t *out,
                struct error *e) FALLIBLE;
/* A number that is not negative, in digits only; false otherwise, or when int64_t cannot hold it. */
bool call_int64(struct str text, int64_t *out);
/* The address of this server without a slash at the end: public_url, or as this client sees it. */
struct str call_base_url(struct call *c);

/* ---- Models ---- */

/* The configured models, held until call_models_done. */
const struct models *call_models(const struct call *c);
void call_models_done(const struct call *c, const struct models *m);
/* Does a tuned model or endpoint of the project, or a configured model, answer this name now? */
bool call_knows_model(const struct call *c, const char *project, const char *name);

/* ---- Projects ---- */

/* The caller's project; the default one while there are no keys. */
const char *call_own_project(const struct call *c);
/* The project that a path names, in the arena, or the caller's own when it names none. False: it is
 * another's; the handler words the error. */
bool call_project(struct call *c, struct str path_project, const char **out);
/* The project that the store's calls are restricted to: the caller's, or NULL for every project. */
const char *call_scope(const struct call *c);

/* ---- JSON in Google's forms ---- */

/* A member with a time in RFC 3339. */
void call_add_time(struct json_writer *w, const char *key, int64_t us);
/* A member with a 64-bit number, which Google's JSON has as a string. */
void call_add_int64(struct json_writer *w, const char *key, int64_t n);
void call_add_base64(struct json_writer *w, const char *key, const void *p, size_t len);

/* ---- Seals: numbers that a client must hand back unchanged (page tokens, names of operations) ----
 * The text is the numbers and half of an HMAC-SHA256 of purpose, scope and numbers, 64 hexadecimal digits.
 * Nothing is kept for it, and no client can make one or use one of another project or filter. */
#define SEAL_TEXT_BYTES 65

struct seal {
    const char *purpose; /* "page" */
    struct str scope;    /* project, list, filter, ...: the seal is valid there only */
};
int seal_write(struct store *s, const struct seal *seal, const int64_t number[2],
               char text[SEAL_TEXT_BYTES], struct error *e) FALLIBLE;
/* False: we did not make the text, or made it for another purpose or scope. */
bool seal_read(struct store *s, const struct seal *seal, struct str text, int64_t number[2]);

#endif
