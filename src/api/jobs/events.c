#include "api/jobs/events.h"

#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "api/call.h"
#include "base/chan.h"
#include "base/log.h"
#include "base/metric.h"
#include "base/thread.h"
#include "format/job/vertex.h"
#include "store/jobs/jobs.h"
#include "store/jobs/keys.h"

#define ROUND_EVENTS 256 /* written to one listener before the others have their turn */
#define ROUND_MS 20      /* between rounds while a listener is behind */
#define TICK_MS 250      /* between looks at the store, while there are listeners */
#define ROUND_BYTES_MAX (HTTP_STREAM_BYTES_MAX / 2)
#define RETRY_TEXT "retry: 2000\n\n" /* a client that lost the connection comes back after 2 s */
#define ALIVE_TEXT ": alive\n\n"

/* The calls fill it before it is in a slot; from then on only the thread changes it. */
struct listener {
    struct http_stream *stream;
    char project[PROJECT_BYTES];
    bool all;      /* of any project */
    bool progress; /* of all jobs that run */
    char key[KEY_ID_BYTES];
    uint64_t key_ns; /* time of the last look at the key */
    int64_t job, after;
    uint64_t said_ns;     /* time of the last write; 0: nothing was written yet */
    uint64_t progress_ns; /* time of the last look at the progress */
    uint64_t done;        /* lines that had ended then */
};

struct api_events {
    struct store *store;
    struct service *service;
    struct clock *clock;
    struct chan *wake; /* an item: there is a new listener; closed: the thread ends */
    pthread_t thread;
    bool running;         /* the thread must be joined */
    pthread_mutex_t lock; /* guards the pointers in slot, and ended */
    struct listener *slot[EVENTS_STREAMS_MAX];
    bool ended;
};

/* A free slot that this project may take; NULL when there is none. Under the lock. */
static struct listener **slot_find(struct api_events *ev, const char *project)
{
    struct listener **found = NULL;
    uint32_t of_project = 0;

    for (size_t i = 0; i < EVENTS_STREAMS_MAX; i++) {
        const struct listener *l = ev->slot[i];
        if (!l && !found)
            found = &ev->slot[i];
        of_project += l && project && !l->all && strcmp(l->project, project) == 0;
    }
    return of_project < EVENTS_PROJECT_STREAMS_MAX ? found : NULL;
}

int api_events_listen(struct api_events *ev, const struct api_listener *who, struct http_call *http,
                      struct error *e)
{
    struct listener *l = mem_alloc(sizeof *l);

    l->all = who->project == NULL;
    l->progress = who->progress;
    l->job = who->job;
    l->after = who->after;
    l->progress_ns = l->key_ns = ev->clock->mono_ns(ev->clock);
    (void)snprintf(l->key, sizeof l->key, "%s", who->key);
    (void)snprintf(l->project, sizeof l->project, "%s", who->project ? who->project : "");
    lock(&ev->lock);
    struct listener **slot = ev->ended ? NULL : slot_find(ev, who->project);
    assert(!slot || !*slot);
    if (slot) { /* the stream exists before the thread can see the listener */
        http_set_header(http, "Cache-Control", STR("no-store"));
        l->stream = http_reply_stream(http, 200, "text/event-stream");
        *slot = l;
    }
    unlock(&ev->lock);
    if (!slot) {
        mem_free(l);
        return error_set(e, ERROR_RESOURCE_EXHAUSTED, "Too many streams of events are open.");
    }
    (void)chan_try_send(ev->wake, ev);
    return 0;
}

static void listener_free(struct listener *l)
{
    if (l && l->stream)
        http_stream_end(l->stream);
    mem_free(l);
}

void api_events_end(struct api_events *ev)
{
    lock(&ev->lock);
    ev->ended = true;
    unlock(&ev->lock);
    chan_close(ev->wake);
    if (ev->running)
        thread_join(ev->thread);
    ev->running = false;
    for (size_t i = 0; i < EVENTS_STREAMS_MAX; i++) {
        listener_free(ev->slot[i]);
        ev->slot[i] = NULL;
    }
}

void api_events_free(struct api_events *ev)
{
    if (!ev)
        return;
    api_events_end(ev);
    chan_free(ev->wake);
    lock_destroy(&ev->lock);
    mem_free(ev);
}

static struct listener *slot_get(struct api_events *ev, size_t i)
{
    lock(&ev->lock);
    struct listener *l = ev->slot[i];
    unlock(&ev->lock);
    return l;
}

static void slot_clear(struct api_events *ev, size_t i)
{
    lock(&ev->lock);
    struct listener *l = ev->slot[i];
    assert(l);
    ev->slot[i] = NULL;
    unlock(&ev->lock);
    listener_free(l);
}

/* ---- The text of events ---- */

static void add_name(struct json_writer *w, const struct job *j)
{
    if (j->dialect == DIALECT_GEMINI)
        json_addf(w, "job", "batches/%s", j->batch);
    else
        json_addf(w, "job", "projects/%s/locations/%s/batchPredictionJobs/%" PRId64, j->project,
                  j->location, j->id);
}

/* The data of an event: the job as it is now, in the state of the event. */
static void write_data(struct api_events *ev, const struct job *j, enum job_state state,
                       int64_t time_us, struct buf *out)
{
    bool gemini = j->dialect == DIALECT_GEMINI;
    struct job_live live = { 0 };
    struct json_writer w = JSON_WRITER(out);

    if (ev->service)
        service_live(ev->service, j, &live);
    buf_add_c(out, "data: ");
    json_object(&w, NULL);
    add_name(&w, j);
    json_add_c(&w, "state", gemini ? job_state_gemini(state) : job_state_vertex(state));
    call_add_time(&w, "time", time_us);
    job_add_extension(&w, "tranche", j, ev->service ? &live : NULL);
    json_end(&w);
    buf_add_c(out, "\n\n");
}

/* A job that was deleted meanwhile has no name any more, so its events are skipped. */
static int write_event(struct api_events *ev, const struct event *event, struct buf *out,
                       struct error *e)
{
    struct arena a = { 0 };
    struct job j;
    int found = job_get(ev->store, &a, NULL, event->job, &j, e);

    if (found > 0) {
        buf_addf(out, "id: %" PRId64 "\nevent: job\n", event->seq);
        write_data(ev, &j, event->state, event->time_us, out);
    }
    arena_release(&a);
    return found;
}

/* The progress of the listener's job, if it is time to look. *over: the job will not change any more. */
static int write_progress(struct api_events *ev, struct listener *l, uint64_t now_ns,
                          struct buf *out, bool *over, struct error *e)
{
    struct clock *clock = store_clock(ev->store);
    struct arena a = { 0 };
    struct job j;

    if (now_ns - l->progress_ns < EVENTS_PROGRESS_MS * NS_PER_MS)
        return 0;
    l->progress_ns = now_ns;
    int found = job_get(ev->store, &a, NULL, l->job, &j, e);
    *over = found == 0 || (found > 0 && job_state_final(j.state));
    if (found > 0 && !*over && counters_done(&j.counters) != l->done) {
        l->done = counters_done(&j.counters);
        buf_add_c(out, "event: progress\n");
        write_data(ev, &j, j.state, clock->wall_us(clock), out);
    }
    arena_release(&a);
    return found < 0 ? -1 : 0;
}

/* The progress of all jobs that run, if it is time to look. A job that no longer fits has its turn in a second. */
static int write_all_progress(struct api_events *ev, struct listener *l, uint64_t now_ns,
                              struct buf *out, struct error *e)
{
    int64_t now_us = store_clock(ev->store)->wall_us(store_clock(ev->store));
    struct arena a = { 0 };
    struct job_list list;

    if (now_ns - l->progress_ns < EVENTS_PROGRESS_MS * NS_PER_MS)
        return 0;
    l->progress_ns = now_ns;
    int rc = job_running_list(ev->store, &a, &list, e);
    for (uint32_t i = 0; rc == 0 && i < list.count; i++) {
        const struct job *j = &list.item[i];
        size_t before = out->len;
        if (!l->all && strcmp(j->project, l->project) != 0)
            continue;
        buf_add_c(out, "event: progress\n");
        write_data(ev, j, j->state, now_us, out);
        if (!buf_ok(out)) {
            out->len = before;
            out->overflow = false;
            break;
        }
    }
    arena_release(&a);
    return rc;
}

/* The next events, *count of them. *over: the last one ended the job of this stream. */
static int write_events(struct api_events *ev, struct listener *l, struct buf *out, uint32_t *count,
                        bool *over, struct error *e)
{
    struct event event[ROUND_EVENTS];

    if (events_after(ev->store,
                     &(struct event_query){ .after = l->after,
                                            .project = l->all ? NULL : l->project,
                                            .job = l->job,
                                            .most = ROUND_EVENTS },
                     event, count, e) < 0)
        return -1;
    for (uint32_t i = 0; i < *count; i++) {
        size_t before = out->len;
        if (write_event(ev, &event[i], out, e) < 0)
            return -1;
        if (!buf_ok(out)) { /* the rest in the next round */
            out->len = before;
            out->overflow = false;
            *count = ROUND_EVENTS;
            return 0;
        }
        assert(event[i].seq > l->after); /* a stream never goes back */
        l->after = event[i].seq;
        *over = l->job && job_state_final(event[i].state);
    }
    return 0;
}

static bool say(struct listener *l, struct buf *text, uint64_t now_ns)
{
    if (l->said_ns == 0 && !http_stream_write(l->stream, RETRY_TEXT, sizeof RETRY_TEXT - 1))
        return false;
    if (text->len == 0 && l->said_ns && now_ns - l->said_ns >= EVENTS_ALIVE_S * NS_PER_S)
        buf_add_c(text, ALIVE_TEXT);
    if (text->len == 0 && l->said_ns)
        return true;
    l->said_ns = now_ns;
    return text->len == 0 || http_stream_write(l->stream, text->p, text->len);
}

/* Is the key that opened the stream still valid? A stream that was opened without a key ends when the first
 * key is made. Looked at once in a while; a store that does not answer ends no stream. */
static bool may_listen(struct api_events *ev, struct listener *l, uint64_t now_ns)
{
    struct arena a = { 0 };
    struct error e = { 0 };
    struct key key;
    uint64_t keys = 0;

    if (now_ns - l->key_ns < EVENTS_KEY_MS * NS_PER_MS)
        return true;
    l->key_ns = now_ns;
    bool may = l->key[0] ? key_get(ev->store, &a, l->key, &key, &e) != 0
                         : key_count(ev->store, &keys, &e) < 0 || keys == 0;
    arena_release(&a);
    return may;
}

/* Writes to one listener. last: the newest event. False: the stream is at its end. */
static bool tell(struct api_events *ev, struct listener *l, int64_t last, bool *behind)
{
    uint64_t now_ns = ev->clock->mono_ns(ev->clock);
    struct buf text = BUF_INIT(ROUND_BYTES_MAX);
    struct error e = { 0 };
    uint32_t count = 0;
    bool over = false;
    int rc = 0;

    if (!may_listen(ev, l, now_ns))
        return false;
    if (l->after < last)
        rc = write_events(ev, l, &text, &count, &over, &e);
    if (rc == 0 && count == 0 && l->job)
        rc = write_progress(ev, l, now_ns, &text, &over, &e);
    else if (rc == 0 && count == 0 && l->progress)
        rc = write_all_progress(ev, l, now_ns, &text, &e);
    *behind |= count == ROUND_EVENTS;
    if (rc < 0) /* the listener stays: the store may work again */
        log_warn("events: %s", e.msg);
    bool open = say(l, &text, now_ns) && !over;
    buf_release(&text);
    return open;
}

/* Looks at every listener, and counts them. *behind: one has more events to get. */
static uint32_t tell_all(struct api_events *ev, bool *behind)
{
    int64_t last = events_last(ev->store);
    uint32_t count = 0;

    *behind = false;
    for (size_t i = 0; i < EVENTS_STREAMS_MAX; i++) {
        struct listener *l = slot_get(ev, i);
        if (!l)
            continue;
        if (tell(ev, l, last, behind))
            count++;
        else
            slot_clear(ev, i);
    }
    return count;
}

static void *run(void *arg)
{
    struct api_events *ev = arg;
    struct metric *open = metric_gauge("tranche_event_streams", "Open streams of events", NULL);
    uint32_t wait_ms = UINT32_MAX;

    while (!chan_closed(ev->wake)) {
        bool behind;
        (void)chan_recv(ev->wake, wait_ms);
        uint32_t count = tell_all(ev, &behind);
        metric_set(open, count);
        wait_ms = behind ? ROUND_MS : count ? TICK_MS : UINT32_MAX;
    }
    return NULL;
}

struct api_events *api_events_start(struct store *s, struct service *service, struct error *e)
{
    struct api_events *ev = mem_alloc(sizeof *ev);

    *ev = (struct api_events){
        .store = s, .service = service, .clock = clock_system(), .wake = chan_new(1)
    };
    lock_init(&ev->lock);
    ev->running = pthread_create(&ev->thread, NULL, run, ev) == 0;
    if (!ev->running) {
        (void)error_set(e, ERROR_UNAVAILABLE, "cannot start the thread of events");
        api_events_free(ev);
        return NULL;
    }
    return ev;
}
