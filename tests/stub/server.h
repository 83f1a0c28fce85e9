/* server.h -- the stub as a whole: one thread, one epoll, thousands of connections.
 *
 * Data:    socket -> conn (bytes, one request at a time, the next ones wait in its input)
 *                 -> serve (which call it is) -> work (limits, slots, queue, time)
 *                 -> reply or spoil -> conn -> socket.
 * Limits:  CONNECTIONS_MAX; a request's as in http.h.
 * Threads: one.
 */
#ifndef TRANCHE_STUB_SERVER_H
#define TRANCHE_STUB_SERVER_H

#include "call.h"
#include "fault.h"
#include "options.h"
#include "reply.h"
#include "stats.h"
#include "timers.h"

#define CONNECTIONS_MAX 16384
#define READ_BYTES ((size_t)256 * 1024)
#define PREFIXES_MAX 4096

struct conn;
/* Those that wait for a slot, in order; and what was asked in this minute. */
struct work {
    uint64_t active, queued;
    struct conn *first, *last;
    uint64_t window_end_ns, window_count;
    uint64_t *prefix; /* hashes of the last options.prefix_cache system messages, a ring */
    uint64_t prefix_count;
};
struct server {
    struct options options;
    struct faults faults;
    struct stats stats;
    struct timers timers;
    struct work work;
    int epoll, listener;
    uint32_t connections;
    uint64_t now_ns;   /* of this round of the loop */
    uint64_t answers;  /* makes ids */
    struct buf body;   /* to build one reply in */
    char *read;        /* READ_BYTES */
    struct conn *dead; /* closed in this round; events may still name them */
};

/* Listens and prints where; the options and faults are in s already. */
int server_start(struct server *s, struct error *e) FALLIBLE;
int server_run(struct server *s, struct error *e) FALLIBLE; /* until it fails */
void server_release(struct server *s);

#endif
