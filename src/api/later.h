/* later.h -- handlers that may wait: they hash, copy or sync files, or write to the store.
 *
 * Why: the server's workers answer all clients, so eight handlers that wait would stop every client.
 * Handlers of routes with ROUTE_WAITS run on threads of their own, and a project has a share of those.
 *
 * Shape:   later_run puts a call at the end of a queue; a thread takes the first call whose project has
 *          fewer handlers running than its share. The number of calls is bounded by the
 *          server's connections.
 *          In a shared store every answer asks a database over the network, so that all handlers but those of
 *          ROUTE_LOCAL run here, and there are more threads (LATER_SHARED_*).
 * Threads: its own (role THREAD_OWN), started with the first call; later_run, later_begin: any.
 * Owns:    a call is held (http_hold) until its handler has returned.
 */
#ifndef TRANCHE_API_LATER_H
#define TRANCHE_API_LATER_H

#include "api/call.h"

#define LATER_THREADS 12
#define LATER_PROJECT_MAX 3 /* handlers of one project at once; calls without a key count as one */
#define LATER_SHARED_THREADS 48
#define LATER_SHARED_PROJECT_MAX 12

struct later;
struct later *later_new(bool shared);
/* Runs fn(c) soon. When no thread can be started fn runs here. */
void later_run(struct later *l, struct call *c, void (*fn)(struct call *c));
/* The same of a call whose key nobody has looked at: all of these have half of the threads. */
void later_begin(struct later *l, struct call *c, void (*fn)(struct call *c));
/* Runs what waits, then ends the threads. Accepts NULL. */
void later_free(struct later *l);

#endif
