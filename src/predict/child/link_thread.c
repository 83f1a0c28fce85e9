/* link_thread.c -- see child_session.h: reads the socket, watches the beats, starts the next child. */
#include "predict/child/child_session.h"

#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>

#include "base/log.h"
#include "base/sandbox.h"
#include "base/thread.h"

#define RESTARTS_MAX 3 /* tries to start a child again */
#define RESTART_PAUSE_MS 1000
#define LOOK_MS 500 /* how often the beats are looked at */

static bool is_stopping(struct child_session *s)
{
    lock(&s->lock);
    bool stop = s->stopping;
    unlock(&s->lock);
    return stop;
}

/* False: the session is broken, or stops. */
static bool start_again(struct child_session *s)
{
    struct link_ready ready = { 0 };
    struct error e = { 0 };

    for (uint32_t i = 0; i < RESTARTS_MAX && !is_stopping(s); i++) {
        struct pollfd p = { .fd = s->wake, .events = POLLIN };
        if (i)
            (void)poll(&p, 1, RESTART_PAUSE_MS);
        if (s->crashes_in_a_row > CHILD_CRASHES_MAX) {
            (void)error_set(&e, ERROR_INTERNAL, "model %s: its process ended %u times in a row",
                            s->model.pattern, s->crashes_in_a_row);
            break;
        }
        if (child_start(s, &ready, &e) < 0) {
            if (!is_stopping(s))
                log_warn("%s", e.msg);
            continue;
        }
        lock(&s->lock);
        s->restarts++;
        if (s->draining)
            link_add(&s->out, LINK_DRAIN, 0, (struct str){ 0 }, (struct str){ 0 });
        child_send_waiting(s);
        unlock(&s->lock);
        return true;
    }
    if (!is_stopping(s))
        child_break(s, &e);
    return false;
}

/* However slow the machine is, an honest step is not late by a test's deadline. */
static uint64_t step_deadline_ms(const struct child_session *s)
{
    return atomic_load(&s->page->touch.trapped) ? s->trap_ms : s->step_ms;
}

/* True when the child has work and has done nothing for the deadline. */
static bool is_hanging(struct child_session *s)
{
    uint64_t now = deadline_in_ms(0);

    lock(&s->lock);
    bool busy = s->sent_count > 0;
    for (struct call *c = s->call; c; c = c->next)
        busy = busy || (c->sent && !c->done);
    uint64_t beats = atomic_load_explicit(&s->page->touch.beats, memory_order_relaxed);
    unlock(&s->lock);
    if (!busy || beats != s->beats) {
        s->beats = beats;
        s->beats_ns = now;
    }
    return now - s->beats_ns > step_deadline_ms(s) * NS_PER_MS;
}

/* Reads what the child sends until it ends; returns how it ended, or NULL to stop. */
static const char *serve_child(struct child_session *s, struct sandbox_end *end)
{
    struct error e = { 0 };

    for (bool alive = true; alive;) {
        struct pollfd p[] = { { .fd = s->fd, .events = POLLIN },
                              { .fd = s->wake, .events = POLLIN } };
        eventfd_t ignored;
        lock(&s->lock);
        bool stop = s->stopping;
        if (s->out_at < s->out.len)
            p[0].events = POLLIN | POLLOUT;
        unlock(&s->lock);
        if (stop)
            return NULL;
        if (poll(p, 2, LOOK_MS) < 0)
            continue;
        if (p[1].revents)
            (void)eventfd_read(s->wake, &ignored);
        if (p[0].revents & POLLOUT) {
            lock(&s->lock);
            child_send_some(s);
            unlock(&s->lock);
        }
        if (p[0].revents & ~POLLOUT)
            alive = link_read(&s->in, s->fd) > 0;
        if (child_take_frames(s, &e) < 0)
            break;
        if (is_hanging(s)) {
            (void)error_set(&e, ERROR_INTERNAL, "computed nothing for %llu s and was ended",
                            (unsigned long long)step_deadline_ms(s) / 1000);
            break;
        }
    }
    /* A process that closed its end is ending; one that talks nonsense or hangs is killed. */
    if (e.code != ERROR_OK || !sandbox_wait(s->sandbox, 1000, end))
        sandbox_kill(s->sandbox);
    (void)sandbox_wait(s->sandbox, UINT32_MAX, end);
    if (e.code != ERROR_OK)
        (void)snprintf(end->text, sizeof end->text, "%.*s", (int)sizeof end->text - 1, e.msg);
    return end->text;
}

void *child_link_main(void *arg)
{
    struct child_session *s = arg;
    struct sandbox_end end = { 0 };
    const char *how;

    while ((how = serve_child(s, &end))) {
        child_bury(s, how);
        if (!start_again(s))
            break;
    }
    return NULL;
}
