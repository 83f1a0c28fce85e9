/* start.c -- see child_session.h: a model is loaded in a new process. */
#define _GNU_SOURCE /* memfd_create */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/sandbox.h"
#include "base/thread.h"
#include "predict/child/child_session.h"
#include "predict/local/native/weight_store.h"

/* Memory and socket that a child and its parent share. */
struct channel {
    int here, there; /* the ends of the socket */
    int page_fd;
    struct child_page *page;
};

static void channel_release(struct channel *c)
{
    if (c->here >= 0)
        (void)close(c->here);
    if (c->page)
        (void)munmap(c->page, sizeof *c->page);
}

static int channel_make(struct channel *c, struct error *e)
{
    int pair[2] = { -1, -1 };

    *c = (struct channel){ .here = -1, .there = -1 };
    c->page_fd = memfd_create("tranche model page", MFD_CLOEXEC);
    if (c->page_fd >= 0 && ftruncate(c->page_fd, sizeof *c->page) == 0) {
        void *p = mmap(NULL, sizeof *c->page, PROT_READ | PROT_WRITE, MAP_SHARED, c->page_fd, 0);
        c->page = p == MAP_FAILED ? NULL : p;
    }
    if (c->page && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0) {
        c->here = pair[0];
        c->there = pair[1];
        return 0;
    }
    (void)error_errno(e, "nothing to reach the model's process by");
    channel_release(c);
    if (c->page_fd >= 0)
        (void)close(c->page_fd);
    return -1;
}

static struct sandbox *start_process(struct child_session *s, const struct channel *c,
                                     struct error *e)
{
    char name[SANDBOX_NAME_BYTES];
    const int fd[CHILD_FDS] = {
        [CHILD_FD_LINK] = c->there, [CHILD_FD_PAGE] = c->page_fd, [CHILD_FD_WEIGHTS] = s->weights
    };
    const struct sandbox_spec spec = {
        .role = CHILD_ROLE,
        .name = name,
        .fd = fd,
        .fd_count = CHILD_FDS,
        .memory_bytes = s->memory_bytes,
    };

    (void)snprintf(name, sizeof name, "tranche-model %s", s->model.pattern);
    return sandbox_start(&spec, e);
}

/* Reads the first frame; false: the process has ended, or its time is over, or nobody wants it. */
static bool read_first(struct child_session *s, int fd, struct link_frame *out, struct error *e)
{
    uint64_t deadline = deadline_in_ms((uint32_t)s->load_ms);
    int rc;

    s->in.from = s->in.to = 0;
    while ((rc = link_next(&s->in, out, e)) == 0) {
        struct pollfd p[] = { { .fd = fd, .events = POLLIN }, { .fd = s->wake, .events = POLLIN } };
        uint64_t now = deadline_in_ms(0),
                 left_ms = now < deadline ? (deadline - now) / NS_PER_MS : 0;
        int got = poll(p, 2, (int)left_ms);
        eventfd_t ignored;
        lock(&s->lock);
        bool stop = s->stopping;
        unlock(&s->lock);
        if (stop || got == 0)
            return false;
        if (p[1].revents)
            (void)eventfd_read(s->wake, &ignored);
        if (p[0].revents && link_read(&s->in, fd) <= 0 && errno != EINTR)
            return false;
    }
    return rc > 0;
}

/* The words for a process that ended, or was ended, while it loaded the model. */
static void explain_load(struct child_session *s, struct sandbox *sandbox, struct error *e)
{
    struct sandbox_end end;
    bool ended = sandbox_wait(sandbox, 1000, &end);

    if (ended)
        (void)error_set(e, ERROR_FAILED_PRECONDITION,
                        "model %s: the process that loads %s %s. The file may be damaged.",
                        s->model.pattern, s->model.file, end.text);
    else
        (void)error_set(e, ERROR_FAILED_PRECONDITION,
                        "model %s: %s was not loaded within %llu s. The file may be damaged.",
                        s->model.pattern, s->model.file, (unsigned long long)s->load_ms / 1000);
}

static int check_ready(struct child_session *s, const struct link_frame *f, struct link_ready *out,
                       struct error *e)
{
    if (f->kind == LINK_FAILED && f->bytes.len == sizeof *e) {
        memcpy(e, f->bytes.p, sizeof *e);
        e->msg[sizeof e->msg - 1] = '\0';
        e->code = e->code < ERROR_CODE_COUNT && e->code != ERROR_OK ? e->code : ERROR_INTERNAL;
        return -1;
    }
    if (f->kind != LINK_READY || f->bytes.len != sizeof *out)
        return child_refuse("no greeting", e);
    memcpy(out, f->bytes.p, sizeof *out);
    out->version[sizeof out->version - 1] = '\0';
    bool same = !s->base.window || out->window == s->base.window; /* as the first child's */
    return out->window && out->window <= 65536 && same
               ? 0
               : child_refuse("a greeting of another model", e);
}

/* Loads the model in a new process. Everything but the first message is ready then. */
int child_start(struct child_session *s, struct link_ready *ready, struct error *e)
{
    struct buf hello = BUF_INIT(LINK_FRAME_BYTES_MAX), text = BUF_INIT(LINK_FRAME_BYTES_MAX);
    struct link_frame f;
    struct channel c;
    int rc = -1;

    if (channel_make(&c, e) < 0)
        return -1;
    struct sandbox *sandbox = start_process(s, &c, e);
    (void)close(c.there);
    (void)close(c.page_fd);
    link_model_write(&s->model, &s->env, &text);
    link_add(&hello, LINK_HELLO, 0, buf_str(&text), (struct str){ 0 });
    if (sandbox && link_send(c.here, buf_str(&hello)) && read_first(s, c.here, &f, e))
        rc = check_ready(s, &f, ready, e);
    else if (sandbox)
        explain_load(s, sandbox, e);
    buf_release(&hello);
    buf_release(&text);
    if (rc < 0) {
        sandbox_free(sandbox);
        channel_release(&c);
        return -1;
    }
    weight_store_seal(s->weights);
    s->sandbox = sandbox;
    lock(&s->lock);
    assert(s->fd < 0 && !s->page);
    s->fd = c.here;
    s->page = c.page;
    s->beats_ns = deadline_in_ms(0);
    unlock(&s->lock);
    return 0;
}
