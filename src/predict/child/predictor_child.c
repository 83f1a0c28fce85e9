#define _GNU_SOURCE /* memfd_create */
#include "predict/child/predictor_child.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/env.h"
#include "base/mem.h"
#include "base/random.h"
#include "base/sandbox.h"
#include "base/thread.h"
#include "predict/child/child_session.h"

/* Deadlines of loading and of a step: a file twice as large takes twice as long on the same machine. */
#define DEADLINE_MS 60000ULL
#define DEADLINE_GIB_MS 60000ULL /* more for each GiB of the file */
#define GIB ((uint64_t)1 << 30)
/* Addresses of a child beyond the machine's memory and its file, mapped twice: stacks, heaps, the library. */
#define ADDRESSES_MORE (8 * GIB)
#define SENT_BYTES_MAX (SIZE_MAX / 4)

static struct child_session *session_of(struct predictor *p)
{
    return (struct child_session *)p;
}

static const struct error cancelled = { ERROR_CANCELLED, "The request was cancelled." };
static const struct error stopped = { ERROR_CANCELLED, "The run was stopped." };

/* ---- The owner's side ---- */

static void child_adapt(struct predictor *p, const struct adapter_list *files)
{
    session_of(p)->adapters = files;
}

static int child_submit(struct predictor *p, const struct request *r, void *tag, struct error *e)
{
    struct child_session *s = session_of(p);
    struct error why = { 0 };

    if (s->open == s->base.window)
        return error_set(e, ERROR_RESOURCE_EXHAUSTED, "%u requests are open.", s->open);
    lock(&s->lock);
    if (s->broken) {
        *e = s->why;
        unlock(&s->lock);
        return -1;
    }
    struct item *i = mem_alloc(sizeof *i);
    *i = (struct item){ .request = r, .answer.tag = tag };
    if (s->draining)
        why = stopped;
    bool good = !s->draining && child_hold_adapters(s, i, &why) == 0;
    if (!good && why.code == ERROR_RESOURCE_EXHAUSTED && s->item_count) { /* until others end */
        child_let_files_go(s, i);
        unlock(&s->lock);
        mem_free(i);
        *e = why;
        return -1;
    }
    i->id = ++s->id;
    i->head.seed = r->generation.has_seed ? 0 : random_next(&s->random);
    s->open++;
    s->item[s->item_count++] = i;
    if (!good) {
        child_finish_with(s, i, &why);
    } else if (child_is_ready(s)) {
        child_send_item(s, i);
        child_send_some(s);
    }
    unlock(&s->lock);
    return 0;
}

static int child_wait(struct predictor *p, uint32_t timeout_ms, struct answer *out, struct error *e)
{
    struct child_session *s = session_of(p);
    struct item *i = chan_recv(s->done, timeout_ms);

    if (!i) {
        lock(&s->lock);
        bool broken = s->broken;
        if (broken && !s->open)
            *e = s->why;
        unlock(&s->lock);
        return broken && !s->open ? -1 : 0;
    }
    s->open--;
    *out = i->answer;
    mem_free(i);
    return 1;
}

/* Requests that a child has go on there; the others have not begun. */
static void child_drain(struct predictor *p)
{
    struct child_session *s = session_of(p);

    lock(&s->lock);
    s->draining = true;
    for (uint32_t i = s->item_count; i-- > 0;)
        if (s->item[i]->state == ITEM_WAITING)
            child_finish_with(s, s->item[i], &stopped);
    link_add(&s->out, LINK_DRAIN, 0, (struct str){ 0 }, (struct str){ 0 });
    child_send_some(s);
    unlock(&s->lock);
}

static void child_cancel(struct predictor *p, void *tag)
{
    struct child_session *s = session_of(p);

    lock(&s->lock);
    for (uint32_t i = s->item_count; i-- > 0;) {
        struct item *it = s->item[i];
        if (it->answer.tag != tag)
            continue;
        if (it->state == ITEM_WAITING) {
            child_finish_with(s, it, &cancelled);
        } else {
            it->unwanted = true;
            link_add(&s->out, LINK_CANCEL, it->id, (struct str){ 0 }, (struct str){ 0 });
            child_send_some(s);
        }
    }
    unlock(&s->lock);
}

/* Asks the child and waits for its reply, over crashes. */
static void ask(struct child_session *s, struct call *c)
{
    lock(&s->lock);
    c->id = ++s->id;
    c->next = s->call;
    s->call = c;
    if (s->broken) {
        c->answer.error = s->why;
        c->done = true;
    } else if (s->fd >= 0) {
        child_add_request(s, c->kind, c->id, c->request, (struct link_request){ 0 });
        c->sent = true;
        child_send_some(s);
    }
    while (!c->done)
        cond_wait(&s->changed, &s->lock);
    struct call **at = &s->call;
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    unlock(&s->lock);
}

static bool child_accepts(struct predictor *p, const struct request *r, struct violation *why)
{
    struct child_session *s = session_of(p);
    struct call c = { .kind = LINK_JUDGE, .request = r };
    struct judged_key key;
    bool has_key = judged_key_of(r, &key);

    if (has_key && judged_find(s->judged, &key))
        return true;
    ask(s, &c);
    if (c.answer.error.code == ERROR_OK) {
        if (has_key)
            judged_add(s->judged, &key);
        return true;
    }
    *why = c.why;
    return false;
}

static int child_count(struct predictor *p, const struct request *r, uint32_t *tokens,
                       struct error *e)
{
    struct call c = { .kind = LINK_COUNT, .request = r };

    ask(session_of(p), &c);
    if (c.answer.error.code != ERROR_OK) {
        *e = c.answer.error;
        return -1;
    }
    *tokens = c.answer.usage.prompt_tokens;
    return 0;
}

/* A copy of what the child wrote; it may write at any time. */
static void read_stats(struct child_page *page, struct predictor_stats *out)
{
    for (int tries = 0; tries < 100; tries++) {
        unsigned before = atomic_load(&page->version);
        *out = page->stats;
        if (before % 2 == 0 && atomic_load(&page->version) == before)
            break;
    }
    out->note[sizeof out->note - 1] = '\0';
}

static void child_stats(struct predictor *p, struct predictor_stats *out)
{
    struct child_session *s = session_of(p);

    *out = (struct predictor_stats){ 0 };
    lock(&s->lock);
    if (s->page)
        read_stats(s->page, out);
    child_add_stats(out, &s->past);
    out->crashes = s->crashes;
    out->restarts = s->restarts;
    if (s->trial)
        (void)snprintf(out->note, sizeof out->note,
                       "looking for the request that ended the model's process");
    else if (s->fd < 0 && !s->broken)
        (void)snprintf(out->note, sizeof out->note, "starting the model's process again");
    unlock(&s->lock);
}

static void release(struct child_session *s)
{
    struct item *i;

    sandbox_free(s->sandbox);
    if (s->fd >= 0)
        (void)close(s->fd);
    if (s->page)
        (void)munmap(s->page, sizeof *s->page);
    while ((i = s->done ? chan_recv(s->done, 0) : NULL)) {
        answer_release(&i->answer);
        mem_free(i);
    }
    for (uint32_t k = 0; k < s->item_count; k++)
        mem_free(s->item[k]);
    for (uint32_t k = 0; k < CHILD_FILES_MAX; k++) {
        s->file[k].users = 0;
        child_drop_file(&s->file[k]);
    }
    chan_free(s->done);
    judged_free(s->judged);
    link_in_release(&s->in);
    arena_release(&s->checking);
    buf_release(&s->out);
    mem_free(s->item);
    if (s->wake >= 0)
        (void)close(s->wake);
    if (s->weights >= 0)
        (void)close(s->weights);
    cond_destroy(&s->changed);
    lock_destroy(&s->lock);
    mem_free(s);
}

static void child_close(struct predictor *p)
{
    struct child_session *s = session_of(p);

    lock(&s->lock);
    s->stopping = true;
    unlock(&s->lock);
    child_wake(s);
    thread_join(s->thread);
    release(s);
}

static const struct predictor_ops child_ops = {
    .name = "local",
    .accepts = child_accepts,
    .submit = child_submit,
    .wait = child_wait,
    .drain = child_drain,
    .count_tokens = child_count,
    .adapt = child_adapt,
    .stats = child_stats,
    .cancel = child_cancel,
    .close = child_close,
};

/* ---- Opening ---- */

/* TRANCHE_FAULT_CHILD_MS: a test's deadline, of what TRANCHE_FAULT_CHILD holds up. */
static void set_limits(struct child_session *s)
{
    struct stat st;
    uint64_t file = stat(s->model.file, &st) == 0 ? (uint64_t)st.st_size : 0, ms;
    long pages = sysconf(_SC_PHYS_PAGES), bytes = sysconf(_SC_PAGESIZE);
    const char *test = env_get("TRANCHE_FAULT_CHILD_MS"), *fault = env_get("TRANCHE_FAULT_CHILD");
    bool loading = fault && strncmp(fault, "load-", 5) == 0;

    s->load_ms = s->step_ms = s->trap_ms = DEADLINE_MS + DEADLINE_GIB_MS * (file / GIB);
    if (test && str_number_in(str_of(test), 1, UINT32_MAX, &ms))
        *(loading ? &s->load_ms : &s->trap_ms) = ms;
    if (pages > 0 && bytes > 0)
        s->memory_bytes = (uint64_t)pages * (uint64_t)bytes + 2 * file + ADDRESSES_MORE;
}

static void use_greeting(struct child_session *s, const struct link_ready *ready)
{
    s->ops = child_ops;
    if (!ready->judges)
        s->ops.accepts = NULL;
    if (!ready->counts)
        s->ops.count_tokens = NULL;
    if (!ready->adapts)
        s->ops.adapt = NULL;
    if (!ready->cancels)
        s->ops.cancel = NULL;
    s->base.ops = &s->ops;
    s->base.window = ready->window;
    s->base.attempts = ready->attempts;
    memcpy(s->base.version, ready->version, sizeof s->base.version);
    s->item = mem_array(ready->window, sizeof(struct item *));
    s->done = chan_new(ready->window);
}

struct predictor *predictor_child_open(const struct model *m, const struct predictor_env *env,
                                       struct error *e)
{
    struct child_session *s = mem_alloc(sizeof *s);
    struct link_ready ready = { 0 };

    s->model = *m;
    s->env = *env;
    s->random = env->seed;
    s->fd = -1;
    s->out = BUF_INIT(SENT_BYTES_MAX);
    s->judged = judged_new();
    lock_init(&s->lock);
    cond_init(&s->changed);
    set_limits(s);
    s->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    s->weights = memfd_create("tranche weights", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (s->wake < 0 || s->weights < 0) {
        (void)error_errno(e, "no descriptor for the model's process");
    } else if (child_start(s, &ready, e) == 0) {
        use_greeting(s, &ready);
        int rc = pthread_create(&s->thread, NULL, child_link_main, s);
        if (rc == 0)
            return &s->base;
        errno = rc;
        (void)error_errno(e, "no thread for the model's process");
    }
    release(s);
    return NULL;
}
