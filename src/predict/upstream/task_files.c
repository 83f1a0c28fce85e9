#include "predict/upstream/task_files.h"

#include <assert.h>

#include "base/base64.h"
#include "base/chan.h"
#include "base/thread.h"

struct file_reader {
    const struct upstream_route *route;
    void (*wake)(void *arg);
    void *arg;
    struct chan *in, *out; /* of one task */
    pthread_t thread;
    bool started, busy; /* the loop's */
};

void task_files_free(struct task_files *f)
{
    if (!f)
        return;
    arena_release(&f->arena);
    mem_free(f);
}

/* ---- Which files ---- */

static bool is_ours(const struct part *p)
{
    return p->kind == PART_FILE_DATA && str_starts(p->uri, STR("gs://"));
}

static bool names_files(const struct request *r)
{
    for (uint32_t i = 0; i < r->content_count; i++)
        for (uint32_t k = 0; k < r->content[i].part_count; k++)
            if (is_ours(&r->content[i].part[k]))
                return true;
    return false;
}

/* A bit for each target that gets files as data. */
static uint32_t inlining(const struct upstream_route *route)
{
    uint32_t targets = 0;

    for (uint32_t i = 0; i < route->count; i++)
        if (route->target[i].to->upstream->inline_files)
            targets |= 1u << i;
    return targets;
}

bool task_files_missing(const struct upstream_route *route, const struct upstream_task *t)
{
    const struct request *r = t->request;

    return !t->files && r->files && r->has_media && (t->targets & inlining(route)) &&
           names_files(r);
}

/* ---- The reader's thread ---- */

static int read_one(const struct file_source *from, struct str uri, size_t *left, struct arena *a,
                    struct file_content *out, struct error *e)
{
    struct buf raw = BUF_INIT(*left);
    int rc = from->read(from->arg, uri, *left, &raw, e);

    if (rc == 0) {
        struct buf text = BUF_INIT(UPSTREAM_BODY_BYTES_MAX);
        base64_add(raw.p, raw.len, &text);
        out->uri = uri;
        out->base64 = (struct str){ arena_copy(a, text.p, text.len), text.len };
        buf_release(&text);
        *left -= raw.len;
    }
    buf_release(&raw);
    return rc < 0 ? error_wrap(e, "%.*s", STR_ARG(uri)) : 0;
}

static int read_all(const struct request *r, struct task_files *out, struct error *e)
{
    struct file_content *item = arena_array(&out->arena, UPSTREAM_FILES_MAX, sizeof *item);
    size_t left = UPSTREAM_FILES_BYTES_MAX;

    assert_may_wait("the reading of a request's files");
    out->list.item = item;
    for (uint32_t i = 0; i < r->content_count; i++) {
        for (uint32_t k = 0; k < r->content[i].part_count; k++) {
            const struct part *p = &r->content[i].part[k];
            if (!is_ours(p))
                continue;
            if (out->list.count == UPSTREAM_FILES_MAX)
                return error_set(e, ERROR_INVALID_ARGUMENT,
                                 "A request may name %d files for this model.", UPSTREAM_FILES_MAX);
            if (read_one(r->files, p->uri, &left, &out->arena, &item[out->list.count++], e) < 0)
                return -1;
        }
    }
    return 0;
}

static void read_files(const struct file_reader *r, struct upstream_task *t)
{
    struct task_files *files = mem_alloc(sizeof *files);
    struct error e;

    if (read_all(t->request, files, &e) == 0) {
        t->files = files;
        return;
    }
    task_files_free(files);
    t->targets &= ~inlining(r->route);
    if (!t->targets)
        t->answer.error = e;
}

static void *reader_main(void *arg)
{
    struct file_reader *r = arg;
    struct upstream_task *t;

    while ((t = chan_recv(r->in, UINT32_MAX))) {
        if (!atomic_load(&t->cancelled))
            read_files(r, t);
        (void)chan_send(r->out, t); /* has room for the one task */
        r->wake(r->arg);
    }
    return NULL;
}

/* ---- The loop's side ---- */

struct file_reader *file_reader_new(const struct upstream_route *route, void (*wake)(void *arg),
                                    void *arg)
{
    struct file_reader *r = mem_alloc(sizeof *r);

    r->route = route;
    r->wake = wake;
    r->arg = arg;
    r->in = chan_new(1);
    r->out = chan_new(1);
    return r;
}

void file_reader_free(struct file_reader *r)
{
    if (!r)
        return;
    chan_close(r->in);
    if (r->started)
        thread_join(r->thread);
    struct upstream_task *t = chan_recv(r->out, 0);
    if (t)
        task_files_free(t->files);
    chan_free(r->in);
    chan_free(r->out);
    mem_free(r);
}

bool file_reader_busy(const struct file_reader *r)
{
    return r->busy;
}

/* The thread starts with the first task: most sessions have no files. */
void file_reader_ask(struct file_reader *r, struct upstream_task *t)
{
    assert(!r->busy && !t->files);
    r->busy = true;
    if (!r->started)
        r->started = pthread_create(&r->thread, NULL, reader_main, r) == 0;
    if (r->started) {
        (void)chan_send(r->in, t);
        return;
    }
    t->targets = 0;
    (void)error_set(&t->answer.error, ERROR_UNAVAILABLE, "No thread for reading files.");
    (void)chan_send(r->out, t);
}

struct upstream_task *file_reader_take(struct file_reader *r)
{
    struct upstream_task *t = r->busy ? chan_recv(r->out, 0) : NULL;

    if (t)
        r->busy = false;
    return t;
}

bool file_reader_ready(const struct file_reader *r)
{
    return r->busy && chan_count(r->out) > 0;
}
