/* flight.h -- one exchange of a task with a place: what is sent, and what the reply means.
 *
 * Why: a reply may be late, broken or a lie in a dozen ways, and each must become an answer or an
 * error with the true cause; nothing of that needs to know of queues and threads.
 *
 * Shape:   flight_write -> the exchange -> flight_read, which fills the task's answer and says what it
 *          tells of the server.
 * Owns:    the body, while the exchange is open.
 * Threads: the loop's.
 */
#ifndef TRANCHE_PREDICT_UPSTREAM_FLIGHT_H
#define TRANCHE_PREDICT_UPSTREAM_FLIGHT_H

#include "base/mem.h"
#include "net/client/http_multi.h"
#include "predict/upstream/reply_seen.h"
#include "predict/upstream/route.h"
#include "predict/upstream/task.h"

struct flight {
    struct upstream_task *task; /* NULL: nobody wants the answer any more */
    struct place *place;
    struct site_exchange exchange;
    struct buf body;
    struct flight *next, *before; /* of those in flight; next also of the pool */
};

/* What stays the same over flights, and is used again. */
struct flight_desk {
    struct arena arena; /* of one reply's parse, or a request's files */
    struct buf url, header, secret;
    struct clock *clock;
    uint64_t chance; /* state of random numbers, for response ids */
    struct reply_seen seen;
};
void flight_desk_release(struct flight_desk *d);

/* The body, d->url and d->header. 1; or 0 when the credential is not there yet. */
int flight_write(struct flight *f, struct flight_desk *d, struct error *e) FALLIBLE;
/* Fills f->task->answer, if there is a task, and *out for the site; out->why is in *why. */
void flight_read(const struct flight *f, struct flight_desk *d, const struct http_done *done,
                 struct site_result *out, struct error *why);

#endif
