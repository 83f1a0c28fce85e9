/* route.h -- from a method and a path to a handler, by a table.
 *
 * Shape:   a pattern is steps between "/": a word is itself; "(a|b)" one of them; "{}" any one step,
 *          decoded, up to a ":verb" when the pattern has one; "{**}" all that is left, slashes
 *          included, decoded. "{}:cancel" needs the verb; a pattern without a verb also matches a step
 *          that has a ":" in it only when no other pattern does. Parameters are in order of the pattern.
 *          A HEAD call takes the route of GET when none is its own.
 * Decoding: a step is cut from the path as it was sent and decoded then, so that %2F is a "/" within
 *          a parameter and never a border. Bad escapes, NUL and invalid UTF-8 are refused.
 * Errors:  404 in the dialect of the path; 405 when only the method is wrong.
 * Threads: constant tables.
 */
#ifndef TRANCHE_API_ROUTE_H
#define TRANCHE_API_ROUTE_H

#include "base/mem.h"
#include "base/str.h"
#include "net/server/http_server.h"
#include "store/jobs/keys.h"

#define ROUTE_PARAMS_MAX 8

struct call;
enum route_flags {
    ROUTE_PUBLIC = 1,    /* no key is needed; who is zeroed then */
    ROUTE_STORAGE = 2,   /* errors as GCS writes them, with errors[] */
    ROUTE_TEXT = 4,      /* errors as plain text */
    ROUTE_BIGQUERY = 16, /* errors as BigQuery writes them, with errors[] and a status */
    ROUTE_PAGE = 32,     /* a file of the console, with a Content-Security-Policy of its own */
    ROUTE_WAITS = 8,     /* handle writes to the store or a file: it runs on a thread of later.h */
    ROUTE_LOCAL = 64,    /* nothing of the store is asked: a worker does it in a shared store too */
};
struct route {
    enum http_method method;
    const char *pattern;
    enum key_role role; /* at least */
    unsigned flags;
    void (*handle)(
        struct call *c); /* on a worker or, with ROUTE_WAITS and in a shared store, a later.h
                                     * thread; leads to exactly one reply, now or later */
    size_t body_max;     /* 0: no body is expected (up to 64 KiB are read) */
    /* For bodies that are not kept: called when the head is in, on a connection's thread, in a shared store on one of later.h; sets the sink
     * (http_set_sink) or answers itself and returns false. NULL: the body is kept. */
    bool (*begin)(struct call *c);
};

/* The result of a search. */
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
/* tables ends with NULL, each table with a zeroed route. The first route that matches is taken; a pattern
 * without a verb matches a step with ":" only after all others. */
enum route_result route_find(const struct route *const *tables, enum http_method method,
                             struct str path, struct arena *a, struct route_match *out);

#endif
