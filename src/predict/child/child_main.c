/* A model's process: one session of the embedded engine behind a socket. */
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/chan.h"
#include "base/env.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sandbox.h"
#include "base/thread.h"
#include "predict/child/link.h"
#include "predict/child/page.h"
#include "predict/child/predictor_child.h"
#include "predict/local/llama/llama_text.h"

#define JUDGES 2      /* threads that validate and count */
#define JUDGED_MAX 64 /* such requests at once; the reader waits beyond */
#define ORDERS_MAX                                                                                 \
    2048               /* submitted, cancelled and so on, that the session's thread has not taken */
#define WAIT_ROOM_MS 2 /* the session's wait: while it could take more requests, */
#define WAIT_FULL_MS 20                 /* and while it is full */
#define SEND_BYTES ((size_t)256 * 1024) /* answers that are sent at once */
#define STATS_EVERY_NS (20 * NS_PER_MS)
#define FILES_MAX (2 + MODEL_ADAPTERS_MAX)

/* A request, or an order without one. */
struct work {
    enum link_kind kind;
    uint64_t id;
    struct arena arena;
    struct request *request; /* NULL: with why */
    struct error why;
    bool adapted; /* it is for the model with `adapters` */
    struct adapter_list adapters;
};

struct child {
    struct predictor *session;
    struct clock clock;
    _Atomic int64_t clock_us; /* to add to the system's */
    struct child_page *page;
    struct link_in in;
    struct adapter file[CHILD_FILES_MAX]; /* the reader's: adapters that requests name */
    struct chan *orders;                  /* struct work: for the session's thread */
    struct chan *judged;                  /* struct work: for the judges */
    pthread_mutex_t lock;                 /* one writer of the socket at a time */
    /* The session's thread's: */
    struct work **open; /* [session->window] */
    uint32_t open_count;
    struct work *next; /* waits until an adapter's place is free; NULL: none does */
    struct buf out;
    uint64_t stats_ns;
    const char *trap; /* of TRANCHE_FAULT_CHILD: the text after the colon, or NULL */
};

static int link_fd(void)
{
    return SANDBOX_FD_FIRST + CHILD_FD_LINK;
}

static void send_bytes(struct child *c, struct str bytes)
{
    lock(&c->lock);
    bool sent = link_send(link_fd(), bytes);
    unlock(&c->lock);
    if (!sent) /* the parent is gone, or does not want this process any more */
        _exit(EXIT_SUCCESS);
}

static void send_frame(struct child *c, enum link_kind kind, uint64_t id, struct str a)
{
    struct buf out = BUF_INIT(LINK_FRAME_BYTES_MAX * 2);

    link_add(&out, kind, id, a, (struct str){ 0 });
    send_bytes(c, buf_str(&out));
    buf_release(&out);
}

#define BYTES_OF(x) ((struct str){ (const char *)&(x), sizeof(x) })

/* ---- Faults that tests plant ---- */

static void trap_abort(void)
{
    abort();
}

static void trap_segv(void)
{
    (void)raise(SIGSEGV);
}

static void trap_hang(void)
{
    for (;;)
        (void)pause();
}

static const struct {
    const char *name;
    void (*trap)(void);
} traps[] = { { "abort", trap_abort }, { "segv", trap_segv }, { "hang", trap_hang } };

/* TRANCHE_FAULT_CHILD: "load-abort" ends this process now; "abort:TEXT", when a step of the engine touches a
 * request with that text; "adapter-abort:TEXT", when an adapter is loaded whose file has that text in its name. */
static void plant_faults(struct child *c)
{
    static const char adapter[] = "adapter-";
    const char *spec = env_get("TRANCHE_FAULT_CHILD");

    c->page->touch.trap_slot = TOUCH_FORWARD;
    if (spec && strncmp(spec, adapter, sizeof adapter - 1) == 0) {
        c->page->touch.trap_slot = TOUCH_ADAPT;
        spec += sizeof adapter - 1;
    }

    for (size_t i = 0; spec && i < ARRAY_LEN(traps); i++) {
        size_t len = strlen(traps[i].name);
        if (strncmp(spec, "load-", 5) == 0 && strcmp(spec + 5, traps[i].name) == 0)
            traps[i].trap();
        if (strncmp(spec, traps[i].name, len) == 0 && spec[len] == ':') {
            c->page->touch.trap = traps[i].trap;
            c->trap = spec + len + 1;
        }
    }
}

static void set_trap(struct child *c, const struct work *w)
{
    struct touch_page *page = &c->page->touch;
    unsigned count = atomic_load(&page->trap_count);
    bool meant = c->trap && page->trap_slot == TOUCH_FORWARD &&
                 str_find(w->request->text, str_of(c->trap)) != SIZE_MAX;

    for (uint32_t i = 0; c->trap && i < w->adapters.count; i++)
        meant =
            meant || (page->trap_slot == TOUCH_ADAPT && strstr(w->adapters.item[i].file, c->trap));
    bool again = count && page->trap_tag[count - 1] == w->id; /* it waited for a place */
    if (!meant || again || count == TOUCH_TRAPS_MAX)
        return;
    page->trap_tag[count] = w->id;
    atomic_store(&page->trap_count, count + 1);
}

/* ---- Requests ---- */

/* A file takes the number of one that no open request names. */
static void take_file(struct child *c, const struct link_frame *f)
{
    int fd = link_take_fd(&c->in);

    if (fd < 0 || f->id >= CHILD_FILES_MAX)
        return;
    struct adapter *a = &c->file[f->id];
    if (a->fd)
        (void)close(a->fd);
    mem_free((void *)(uintptr_t)a->file);
    char *name = mem_alloc(f->bytes.len + 1);
    memcpy(name, f->bytes.p, f->bytes.len);
    *a = (struct adapter){ .file = name, .fd = fd };
}

static void take_adapters(struct child *c, const struct link_request *head, struct work *w)
{
    w->adapted = head->adapters > 0;
    for (uint32_t i = 0; i < head->adapters && i < MODEL_ADAPTERS_MAX; i++) {
        const struct adapter *a = &c->file[head->file[i] % CHILD_FILES_MAX];
        struct adapter *own = &w->adapters.item[w->adapters.count++];
        *own = *a;
        own->file = arena_textf(&w->arena, "%s", a->file ? a->file : "");
        own->scale = head->scale[i];
    }
}

static struct work *work_new(struct child *c, const struct link_frame *f)
{
    struct work *w = mem_alloc(sizeof *w);
    struct link_request head;
    struct line_rules rules = { 0 };
    struct violations bad = { 0 };
    struct input_line in = { 0 };

    w->kind = f->kind;
    w->id = f->id;
    if (f->bytes.len < sizeof head)
        return w;
    memcpy(&head, f->bytes.p, sizeof head);
    atomic_store_explicit(&c->clock_us, head.clock_us, memory_order_relaxed);
    char *text = arena_copy(&w->arena, f->bytes.p + sizeof head, f->bytes.len - sizeof head);
    struct str line = { text, f->bytes.len - sizeof head };
    if (!request_read_line(&w->arena, line, &rules, &in, &bad)) {
        (void)error_set(&w->why, ERROR_INTERNAL, "%s: %s", bad.item[0].path, bad.item[0].message);
        return w;
    }
    w->request = in.request;
    take_adapters(c, &head, w);
    if (!w->request->generation.has_seed) {
        w->request->generation.has_seed = true;
        w->request->generation.seed = (int64_t)head.seed;
    }
    return w;
}

static void work_free(struct work *w)
{
    if (!w)
        return;
    arena_release(&w->arena);
    mem_free(w);
}

/* ---- Judging and counting ---- */

static void judge(struct child *c, struct work *w)
{
    struct link_answer a = { .error = w->why };
    struct violation why = { 0 };

    if (w->kind == LINK_JUDGE) {
        bool good = w->request && c->session->ops->accepts(c->session, w->request, &why);
        if (!w->request)
            (void)snprintf(why.message, sizeof why.message, "%.*s", (int)sizeof why.message - 1,
                           w->why.msg);
        send_frame(c, LINK_JUDGED, w->id, good ? (struct str){ 0 } : BYTES_OF(why));
        return;
    }
    uint32_t tokens = 0;
    if (w->request && c->session->ops->count_tokens(c->session, w->request, &tokens, &a.error) == 0)
        a.usage.prompt_tokens = tokens;
    send_frame(c, LINK_COUNTED, w->id, BYTES_OF(a));
}

struct judge {
    struct child *child;
    enum touch_slot slot;
};

static void *judge_main(void *arg)
{
    struct judge *j = arg;
    struct work *w;

    while ((w = chan_recv(j->child->judged, UINT32_MAX))) {
        touch_set(&j->child->page->touch, j->slot, (void *)(uintptr_t)w->id);
        judge(j->child, w);
        touch_end(&j->child->page->touch, j->slot);
        work_free(w);
    }
    return NULL;
}

/* ---- The session's thread ---- */

static struct work *take_open(struct child *c, uint64_t id)
{
    for (uint32_t i = 0; i < c->open_count; i++) {
        struct work *w = c->open[i];
        if (w->id == id) {
            c->open[i] = c->open[--c->open_count];
            return w;
        }
    }
    return NULL;
}

static void add_answer(struct child *c, const struct answer *a)
{
    const struct link_answer head = {
        .error = a->error,
        .retry_after_ms = a->retry_after_ms,
        .forced_tokens = a->forced_tokens,
        .final = a->final,
        .own_failure = a->own_failure,
        .hopeless = a->hopeless,
        .rejected = a->rejected,
        .complete = a->complete,
        .usage = a->usage,
    };

    link_add(&c->out, LINK_ANSWER, (uintptr_t)a->tag, BYTES_OF(head), buf_str(&a->response));
}

static void fail(struct child *c, uint64_t id, const struct error *why)
{
    const struct answer a = { .tag = (void *)(uintptr_t)id, .error = *why };

    add_answer(c, &a);
}

static void flush(struct child *c)
{
    if (c->out.len)
        send_bytes(c, buf_str(&c->out));
    buf_clear(&c->out);
}

/* For the next submit. */
static void adapt(struct child *c, const struct work *w)
{
    if (c->session->ops->adapt)
        c->session->ops->adapt(c->session, w->adapted ? &w->adapters : NULL);
}

/* Takes w. A request for which the session has no place yet is the next order again. */
static void follow_order(struct child *c, struct work *w)
{
    const struct predictor_ops *ops = c->session->ops;
    void *tag = (void *)(uintptr_t)w->id;
    struct error e = { 0 };

    if (w->kind == LINK_CANCEL && ops->cancel)
        ops->cancel(c->session, tag);
    if (w->kind == LINK_DRAIN)
        ops->drain(c->session);
    if (w->kind != LINK_SUBMIT) {
        work_free(w);
        return;
    }
    if (w->request)
        set_trap(c, w);
    if (!w->request || c->open_count == c->session->window) {
        fail(c, w->id, &w->why);
        work_free(w);
        return;
    }
    adapt(c, w);
    if (ops->submit(c->session, w->request, tag, &e) < 0) {
        if (e.code == ERROR_RESOURCE_EXHAUSTED && c->open_count) {
            c->next = w;
            return;
        }
        fail(c, w->id, &e);
        work_free(w);
        return;
    }
    c->open[c->open_count++] = w;
}

static void publish(struct child *c)
{
    struct clock *system = clock_system();
    struct predictor_stats now = { 0 };

    if (system->mono_ns(system) < c->stats_ns && c->open_count)
        return;
    c->stats_ns = system->mono_ns(system) + STATS_EVERY_NS;
    if (c->session->ops->stats)
        c->session->ops->stats(c->session, &now);
    atomic_fetch_add(&c->page->version, 1);
    c->page->stats = now;
    atomic_fetch_add(&c->page->version, 1);
}

/* Takes what is answered; waits for the first. */
static void take_answers(struct child *c)
{
    uint32_t ms = c->open_count < c->session->window ? WAIT_ROOM_MS : WAIT_FULL_MS;
    struct answer a;
    struct error e = { 0 };
    int rc;

    while ((rc = c->session->ops->wait(c->session, ms, &a, &e)) == 1) {
        add_answer(c, &a);
        work_free(take_open(c, (uintptr_t)a.tag));
        answer_release(&a);
        ms = 0;
        if (c->out.len > SEND_BYTES)
            flush(c);
    }
    if (rc < 0) {
        log_error("%s", e.msg);
        flush(c);
        _exit(EXIT_FAILURE);
    }
}

static struct work *next_order(struct child *c, uint32_t wait_ms)
{
    struct work *w = c->next;

    c->next = NULL;
    return w ? w : chan_recv(c->orders, wait_ms);
}

static void *session_main(void *arg)
{
    struct child *c = arg;
    struct work *w;

    for (;;) {
        w = next_order(c, c->open_count || c->out.len ? 0 : UINT32_MAX);
        for (; w; w = c->next ? NULL : next_order(c, 0))
            follow_order(c, w);
        if (c->open_count)
            take_answers(c);
        publish(c); /* before the answers: their counters are never behind */
        flush(c);
    }
    return NULL;
}

/* ---- Opening ---- */

static int64_t clock_wall(struct clock *clock)
{
    struct child *c = (struct child *)((char *)clock - offsetof(struct child, clock));

    return clock_system()->wall_us(clock_system()) +
           atomic_load_explicit(&c->clock_us, memory_order_relaxed);
}

static struct child_page *map_page(struct error *e)
{
    void *p = mmap(NULL, sizeof(struct child_page), PROT_READ | PROT_WRITE, MAP_SHARED,
                   SANDBOX_FD_FIRST + CHILD_FD_PAGE, 0);

    if (p != MAP_FAILED)
        return p;
    (void)error_errno(e, "no memory to share with a model's process");
    return NULL;
}

/* Parts of a model that stand in other files beside it are opened by name: the folder is allowed then. */
static const char *allowed_path(struct arena *a, const char *file)
{
    const char *slash = strrchr(file, '/');

    if (!strstr(file, "-of-"))
        return file;
    return slash ? arena_copy(a, file, (size_t)(slash - file) + 1) : ".";
}

static int seal_to_files(struct arena *a, const struct model *m, struct error *e)
{
    const char *path[FILES_MAX] = { allowed_path(a, m->file) };
    struct sandbox_seal seal = { .open = true, .path = path, .path_count = 1 };

    if (m->chat_template)
        path[seal.path_count++] = m->chat_template;
    for (uint32_t i = 0; i < m->adapters.count; i++)
        path[seal.path_count++] = m->adapters.item[i].file;
    return sandbox_seal(&seal, e);
}

static int open_session(struct child *c, struct arena *a, const struct link_frame *hello,
                        struct error *e)
{
    struct predictor_env env = {
        .clock = &c->clock,
        .touch = &c->page->touch,
        .weights_fd = SANDBOX_FD_FIRST + CHILD_FD_WEIGHTS,
    };
    struct model m;

    if (link_model_read(a, hello->bytes, &m, &env, e) < 0)
        return -1;
    if (seal_to_files(a, &m, e) < 0) {
        (void)error_wrap(e, "model %s needs `isolate: false` here", m.pattern);
        return -1;
    }
    plant_faults(c);
    c->session = predictor_local_open(&m, &env, e);
    if (!c->session)
        return -1;
    return sandbox_seal(&(struct sandbox_seal){ 0 }, e);
}

static void say_ready(struct child *c)
{
    const struct predictor *p = c->session;
    struct link_ready ready = {
        .window = p->window,
        .attempts = p->attempts,
        .counts = p->ops->count_tokens,
        .judges = p->ops->accepts,
        .cancels = p->ops->cancel,
        .adapts = p->ops->adapt,
    };

    (void)snprintf(ready.version, sizeof ready.version, "%s", p->version);
    publish(c);
    send_frame(c, LINK_READY, 0, BYTES_OF(ready));
}

/* The next frame, waiting for it. */
static bool next_frame(struct child *c, struct link_frame *out)
{
    struct error e = { 0 };
    int rc;

    while ((rc = link_next(&c->in, out, &e)) == 0) {
        int got = link_read(&c->in, link_fd());
        if (got == 0 || (got < 0 && errno != EINTR))
            return false;
    }
    return rc > 0;
}

static int serve(struct child *c)
{
    struct judge judges[JUDGES] = { { c, TOUCH_JUDGE }, { c, TOUCH_JUDGE_2 } };
    struct link_frame f;
    pthread_t thread;

    c->orders = chan_new(ORDERS_MAX);
    c->judged = chan_new(JUDGED_MAX);
    c->open = mem_array(c->session->window, sizeof(struct work *));
    c->out = BUF_INIT(SIZE_MAX / 2);
    if (pthread_create(&thread, NULL, session_main, c) != 0)
        return EXIT_FAILURE;
    for (size_t i = 0; i < JUDGES; i++)
        if (pthread_create(&thread, NULL, judge_main, &judges[i]) != 0)
            return EXIT_FAILURE;
    say_ready(c);
    while (next_frame(c, &f)) {
        if (f.kind == LINK_FILE) {
            take_file(c, &f);
            continue;
        }
        struct work *w = work_new(c, &f);
        (void)chan_send(f.kind == LINK_COUNT || f.kind == LINK_JUDGE ? c->judged : c->orders, w);
    }
    return EXIT_SUCCESS; /* the parent has closed its end: nobody wants what is open */
}

int child_main(uint32_t fd_count)
{
    struct child *c = mem_alloc(sizeof *c);
    struct arena arena = { 0 };
    struct link_frame hello;
    struct error e = { 0 };

    if (fd_count < CHILD_FDS)
        return EXIT_FAILURE;
    /* When ggml fails an assertion it starts a debugger, which a sealed process may not. */
    (void)setenv("GGML_NO_BACKTRACE", "1", 1); // NOLINT(concurrency-mt-unsafe): the only thread
    llama_errors_catch(NULL);                  /* its log is for the level debug */
    lock_init(&c->lock);
    c->in.takes_fds = true;
    c->clock = *clock_system();
    c->clock.wall_us = clock_wall;
    c->page = map_page(&e);
    if (!c->page || !next_frame(c, &hello) || open_session(c, &arena, &hello, &e) < 0) {
        send_frame(c, LINK_FAILED, 0, BYTES_OF(e));
        return EXIT_SUCCESS;
    }
    return serve(c);
}
