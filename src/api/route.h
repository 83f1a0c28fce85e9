/* route.h -- from a method and a path to a handler, by a table.
 *
 * Shape:   a pattern is steps between "/": a word is itself; "(a|b)" one of them; "{}" any one step,
 *          decoded, up to a ":verb" when the pattern has one; "{**}" all that is left, slashes
 *          included, decoded. "{}:cancel" wants the verb; a pattern without a verb also matches a step
 *          that has a ":" in it only when no other pattern does. Parameters are in order of the pattern.
 *          A HEAD call takes the route of GET when none is its own.
 * Decoding: a step is cut from the path as it was sent and decoded then, so that %2F is a "/" within
 *          a parameter and never a border. A bad escape, a NUL, or what is no UTF-8 is refused.
 * Errors:  404 in the dialect of the path; 405 when only the method is wrong.
 * Threads: constant tables.
 */
#ifndef TRANCHE_API_ROUTE_H
#define TRANCHE_API_ROUTE_H

#include "api/auth.h"
#include "base/error.h"
#include "base/json.h"
#include "net/server/http_server.h"

#define ROUTE_PARAMS_MAX 8

struct api;
struct route;
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
    void *state;        /* the handler's own; free_state is called with it at the end */
    void (*free_state)(void *state);
};

enum route_flags {
    ROUTE_PUBLIC = 1,  /* no key is needed; who is zeroed then */
    ROUTE_STORAGE = 2, /* errors as GCS writes them, with errors[] */
    ROUTE_TEXT = 4,    /* errors as plain text */
};
struct route {
    enum http_method method;
    const char *pattern;
    enum key_role role; /* at least */
    unsigned flags;
    void (*handle)(struct call *c); /* on a worker; must lead to one reply */
    size_t body_max;                /* 0: no body is expected (64 KiB are borne) */
    /* For bodies that are not kept: called when the head is in, on a connection's thread; sets the sink
     * (http_set_sink) or answers itself and returns false. NULL: the body is kept. */
    bool (*begin)(struct call *c);
};

/* What a method and a path mean. */
enum route_result {
    ROUTE_FOUND,
    ROUTE_NO_PATH,   /* 404 */
    ROUTE_NO_METHOD, /* 405: the path is there */
    ROUTE_BAD_PATH   /* 400: a parameter cannot be decoded */
};
struct route_match {
    const struct route *route;
    struct str param[ROUTE_PARAMS_MAX];
    uint32_t param_count;
    struct str version;
};
/* tables: until NULL; each ends with a zeroed route. The first that matches is taken, a pattern
 * without a verb for a step with ":" only after all others. */
enum route_result route_find(const struct route *const *tables, enum http_method method,
                             struct str path, struct arena *a, struct route_match *out);

/* Answers with JSON and HTTP 200; takes the body's bytes. */
void call_reply(struct call *c, struct buf *body);
void call_reply_c(struct call *c, const char *json);
/* Answers with the error in the form of the route, and HTTP error_http(e->code). */
void call_fail(struct call *c, const struct error *e);
/* As call_fail with an HTTP status and a reason of its own: for storage errors[].reason
 * ("conditionNotMet"), else that of an ErrorInfo in details ("API_KEY_INVALID"). NULL: the usual one,
 * or none. */
void call_fail_as(struct call *c, int status, const char *reason, const char *message);
/* The body as a JSON object, in the call's arena; an empty body gives an empty object. */
yyjson_val *call_json(struct call *c, struct error *e);
/* "pageSize" (and the like) as a number within [1, max]; deflt when absent or 0, and a larger one is
 * max. INVALID_ARGUMENT when it is no number. */
int call_number(struct call *c, const char *name, uint64_t deflt, uint64_t max, uint64_t *out,
                struct error *e) FALLIBLE;
/* The project that a path names, checked against the caller's: NOT_FOUND's words are the caller's to
 * choose. out points into the arena. False: it is another's. */
bool call_project(struct call *c, struct str path_project, const char **out);
/* Where clients find this server, without a slash at the end: public_url, or as this one sees us. */
struct str call_base_url(struct call *c);
/* What to give the store as project: the caller's, or NULL where it may use all. */
const char *call_scope(const struct call *c);

#endif
