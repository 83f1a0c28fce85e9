/* client_watch.c -- looks at a job until it ends: a live display on a terminal, else a line now and then. */
#include "app/client/client_job.h"

#include <stdio.h>

#include "app/cli/progress.h"
#include "base/clock.h"

#define POLL_FIRST_MS 500
#define POLL_MAX_MS 5000
#define TITLE_BYTES 200

struct watch {
    struct client *client;
    const char *url;
    struct arena page; /* of the last answer */
    struct job_view job;
    char state[32]; /* printed last */
    char title[TITLE_BYTES];
    struct progress_view view;
    uint64_t began_ns;   /* when it was first seen running; 0: not yet */
    uint64_t done_first; /* lines that were done then */
    uint32_t poll_ms;
};

static void tell_state(struct watch *w)
{
    const struct job_view *v = &w->job;
    char text[sizeof w->state];

    (void)snprintf(text, sizeof text, "%.*s", STR_ARG(v->state));
    if (str_eq_c(str_of(w->state), text))
        return;
    (void)snprintf(w->state, sizeof w->state, "%s", text);
    w->poll_ms = POLL_FIRST_MS;
    progress_clear(&w->view);
    if (v->queued && v->position)
        terminal_note(&w->client->terminal, "job %.*s %s, %llu before it", STR_ARG(job_view_id(v)),
                      w->state, (unsigned long long)v->position);
    else
        terminal_note(&w->client->terminal, "job %.*s %s", STR_ARG(job_view_id(v)), w->state);
}

/* Speeds are of what happens while we look. */
static void show(struct watch *w)
{
    const struct job_view *v = &w->job;
    struct clock *clock = clock_system();
    uint64_t now = clock->mono_ns(clock);

    if (!v->detailed || !v->known || v->is != JOB_RUNNING || v->counters.total == 0)
        return;
    if (w->began_ns == 0) {
        w->began_ns = now;
        w->done_first = counters_done(&v->counters);
    }
    const struct progress p = {
        .counters = v->counters,
        .resumed = w->done_first,
        .in_flight = (uint32_t)v->in_flight,
        .retries = v->retries,
        .elapsed_ns = now - w->began_ns,
    };
    progress_show(&w->view, &p);
}

static int look(struct watch *w, struct error *e)
{
    arena_reset(&w->page);
    if (client_job(w->client, w->url, &w->page, &w->job, NULL, e) < 0)
        return -1;
    w->view.priced = w->job.counters.cost_nano > 0;
    if (w->title[0] == '\0') {
        struct buf plain = BUF_INIT((size_t)4 * TITLE_BYTES);
        buf_add_plain(&plain, str_cut(w->job.model, TITLE_BYTES - 1), false);
        (void)snprintf(w->title, sizeof w->title, "%.*s", STR_ARG(buf_str(&plain)));
        buf_release(&plain);
    }
    return 0;
}

static int watch_until_end(struct watch *w, struct error *e)
{
    for (;;) {
        if (look(w, e) < 0)
            return -1;
        if (job_view_ended(&w->job))
            return 0;
        tell_state(w);
        show(w);
        if (client_sleep(w->client, w->poll_ms, e) < 0)
            return -1;
        w->poll_ms += w->poll_ms / 2;
        w->poll_ms = w->poll_ms < POLL_MAX_MS ? w->poll_ms : POLL_MAX_MS;
    }
}

int client_watch(struct client *c, const char *id, struct job_view *out, struct error *e)
{
    struct watch w = { .client = c,
                       .url = client_job_url(c, id, NULL, e),
                       .poll_ms = POLL_FIRST_MS };

    if (!w.url)
        return -1;
    w.view = (struct progress_view){ .terminal = &c->terminal, .title = w.title };
    c->patient = true;
    int rc = watch_until_end(&w, e);
    progress_clear(&w.view);
    c->patient = false;
    if (rc == 0)
        rc = client_job(c, w.url, &c->arena, out, NULL, e); /* its texts must outlive the page */
    else if (e->code == ERROR_CANCELLED)
        (void)error_set(e, ERROR_CANCELLED,
                        "no longer watching; the job goes on: `tranche watch %s`", id);
    arena_release(&w.page);
    return rc;
}
