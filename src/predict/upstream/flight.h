/* flight.h -- one request on its way to an upstream server and back: what is sent, what the reply means.
 *
 * Why: a reply may be late, broken or wrong in a dozen ways, and each must become an answer or an error
 * with the true cause; nothing of that depends on queues and threads.
 *
 * Shape:   the session makes a task; the loop puts it on a flight to a target: flight_write -> the HTTP
 *          exchange -> flight_read, which fills the task's answer and judges the server.
 * Owns:    a task owns its answer until the session takes it; a flight owns its body while the
 *          exchange is open.
 * Threads: a task belongs to the session's thread until it is sent to the loop, and to the loop's until
 *          it comes back. A flight is the loop's.
 */
#ifndef TRANCHE_PREDICT_UPSTREAM_FLIGHT_H
#define TRANCHE_PREDICT_UPSTREAM_FLIGHT_H

#include <stdatomic.h>

#include "base/mem.h"
#include "net/client/http_multi.h"
#include "predict/predictor.h"
#include "predict/upstream/route.h"

#define FLIGHT_SEEN_SLOTS 4096 /* replies that are remembered; an older one gives way to a newer */

struct task_files;
struct upstream_task {
    const struct request *request;
    struct answer answer;       /* with the tag */
    uint64_t since_ns;          /* when it was submitted */
    uint32_t targets;           /* a bit for each target of the route that accepts it */
    struct task_files *files;   /* read for the body; NULL: none are needed, or they are missing */
    const char *upstream;       /* that answered; set with the answer */
    bool proved;                /* it is sent again, because the access token was refused */
    atomic_bool cancelled;      /* the answer is not wanted any more */
    struct upstream_task *next; /* in a queue or the pool */
};

struct flight {
    struct upstream_task *task; /* NULL: the answer is not wanted any more */
    struct target *target;
    struct server_exchange exchange;
    bool completion_tokens; /* the body says max_completion_tokens */
    struct buf body;
    struct flight *next, *before; /* of those in flight; next also in the pool */
};

/* Working memory of the loop that all its flights use in turn. */
struct flight_desk {
    struct arena arena; /* of one reply's parse */
    struct buf url, header, secret;
    struct buf trace; /* headers of a request that belongs to a trace */
    struct clock *clock;
    uint64_t chance; /* state of random numbers, for response ids */
    struct seen_reply {
        uint64_t id, body; /* hashes; id 0: a free slot */
        uint32_t connection;
        bool doubled; /* it came twice already */
    } seen[FLIGHT_SEEN_SLOTS];
    struct last_reply {
        uint64_t body; /* a hash */
        uint32_t connection;
    } last[FLIGHT_SEEN_SLOTS]; /* of each connection; one that shares its slot gives way */
    bool ids_repeat;           /* the server's ids are not unique: replies cannot be recognized */
};
void flight_desk_release(struct flight_desk *d);

/* Writes the body, d->url and d->header: 1; or 0 while the credential is being fetched. */
int flight_write(struct flight *f, struct flight_desk *d, struct error *e) FALLIBLE;
/* Fills f->task->answer, if there is a task, and *out for the server; out->why points at *why. */
void flight_read(const struct flight *f, struct flight_desk *d, const struct http_done *done,
                 struct exchange_result *out, struct error *why);

#endif
