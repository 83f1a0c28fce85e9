/* events.h -- streams of job events to any number of listeners.
 *
 * Why: clients that wait for jobs should not have to poll. The store has every change in order, so a
 * stream is a position in that order, and a client that comes back goes on where it was.
 *
 * Shape:   server-sent events: "id: SEQ", "event: job", and as data {"job", "state", "time",
 *          "tranche"}, the last as the resource has it. On the stream of one job, and of all jobs when asked
 *          for, also "event: progress", without an id, at most once a job in EVENTS_PROGRESS_MS. A
 *          comment after EVENTS_ALIVE_S without an event. The stream of one job ends with the job.
 * Limits:  EVENTS_STREAMS_MAX streams, EVENTS_PROJECT_STREAMS_MAX of a project; a client that lets more
 *          than HTTP_STREAM_BYTES_MAX pile up is cut off and can come back.
 * Threads: one for all streams, which polls the store while there are listeners; the calls from any.
 * Source:  https://html.spec.whatwg.org/multipage/server-sent-events.html
 */
#ifndef TRANCHE_API_JOBS_EVENTS_H
#define TRANCHE_API_JOBS_EVENTS_H

#include "engine/service/service.h"
#include "net/server/http_server.h"
#include "store/store.h"

#define EVENTS_STREAMS_MAX 512
#define EVENTS_PROJECT_STREAMS_MAX 128
#define EVENTS_ALIVE_S 15
#define EVENTS_PROGRESS_MS 1000
#define EVENTS_KEY_MS 1000 /* a stream ends so long after its key was revoked or has expired */

struct api_events;
/* service adds the live figures of running jobs; it may be NULL. */
struct api_events *api_events_start(struct store *s, struct service *service, struct error *e);
/* Ends all streams and the thread; later streams are refused. */
void api_events_end(struct api_events *ev);
void api_events_free(struct api_events *ev); /* ends it first; accepts NULL */

struct api_listener {
    const char *project; /* whose jobs; NULL: all */
    const char *key;     /* the id of the caller's key; "": none was needed */
    int64_t job;         /* 0: all of them */
    int64_t after;       /* events after this one */
    bool progress;       /* of all jobs: also the progress of those that run */
};
/* Answers the call with a stream. RESOURCE_EXHAUSTED when there are too many; the call is then not
 * answered yet. */
int api_events_listen(struct api_events *ev, const struct api_listener *who, struct http_call *http,
                      struct error *e) FALLIBLE;

#endif
