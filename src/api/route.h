/* route.h -- from a method and a path to a handler, by a table.
 *
 * Shape:   a pattern is steps between "/": a word is itself; "(a|b)" one of them; "{}" any one step,
 *          decoded, up to a ":verb" when the pattern has one; "{**}" all that is left, slashes
 *          included, decoded. "{}:cancel" wants the verb; a pattern without a verb also matches a step
 *          that has a ":" in it only when no other pattern does. Parameters are in order of the pattern.
 * Errors:  404 in the dialect of the path; 405 when only the method is wrong.
 * Threads: constant tables.
 */
#ifndef TRANCHE_API_ROUTE_H
#define TRANCHE_API_ROUTE_H

#include "api/auth.h"
#include "base/error.h"
#include "base/json.h"
#include "net/http_server.h"

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
    struct str version; /* the first step: "v1", "v1beta1", ... */
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

/* Answers with JSON and HTTP 200; takes the body's bytes. */
void call_reply(struct call *c, struct buf *body);
void call_reply_c(struct call *c, const char *json);
/* Answers with the error in the form of the route, and HTTP error_http(e->code). */
void call_fail(struct call *c, const struct error *e);
/* As call_fail with an HTTP status and, for storage, a reason of its own ("conditionNotMet"). */
void call_fail_as(struct call *c, int status, const char *reason, const char *message);
/* The body as a JSON object, in the call's arena; an empty body gives an empty object. */
yyjson_val *call_json(struct call *c, struct error *e);
/* "pageSize" (and the like) as a number within [1, max]; deflt when absent or 0. */
int call_number(struct call *c, const char *name, uint64_t deflt, uint64_t max, uint64_t *out,
                struct error *e) FALLIBLE;
/* The project that a path names, checked against the caller's: NOT_FOUND's words are the caller's to
 * choose. out points into the arena. False: it is another's. */
bool call_project(struct call *c, struct str path_project, const char **out);
/* What to give the store as project: the caller's, or NULL where it may use all. */
const char *call_scope(const struct call *c);

#endif
