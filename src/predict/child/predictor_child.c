#define _GNU_SOURCE /* memfd_create */
#include "predict/child/predictor_child.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/chan.h"
#include "base/env.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"
#include "base/sandbox.h"
#include "base/sys.h"
#include "base/thread.h"
#include "format/response.h"
#include "predict/child/judged.h"
#include "predict/child/link.h"
#include "predict/child/page.h"
#include "predict/local/native/weight_store.h"

/* Deadlines of loading and of a step: a file twice as large takes twice as long on the same machine. */
#define DEADLINE_MS 60000ULL
#define DEADLINE_GIB_MS 60000ULL /* more for each GiB of the file */
#define GIB ((uint64_t)1 << 30)
/* Addresses of a child beyond the machine's memory and its file, mapped twice: stacks, heaps, the library. */
#define ADDRESSES_MORE (8 * GIB)
#define RESTARTS_MAX 3 /* tries to start a child again */
#define RESTART_PAUSE_MS 1000
#define LOOK_MS 500 /* how often the beats are looked at */
#define SENT_BYTES_MAX (SIZE_MAX / 4)
#define HOW_SHOWN 200 /* bytes of how a process ended, in an error */

/* A file of an adapter, which a child gets as a descriptor. */
struct child_file {
    char *path;     /* NULL: free */
    struct stat as; /* a file that is replaced is another one */
    int fd;
    uint32_t users;   /* requests without an answer */
    uint64_t used;    /* the last of them */
    bool sent;        /* to the child that runs */
    struct error why; /* a child ended twice while it loaded this file and nothing else; or OK */
};

enum item_state { ITEM_WAITING, ITEM_SENT };
/* A submitted request that has no answer yet. */
struct item {
    uint64_t id;
    const struct request *request; /* borrowed until the answer is taken */
    struct link_request head;
    enum item_state state;
    bool suspect;  /* a child ended while it touched this request */
    bool tried;    /* it is in the group that is tried now */
    bool unwanted; /* it was cancelled when it had been sent */
    uint32_t alone_crashes;
    struct answer answer; /* its tag from the beginning */
};

/* A call that waits for its reply. */
struct call {
    enum link_kind kind;
    uint64_t id;
    const struct request *request;
    uint32_t crashes; /* while it was touched */
    bool sent, done;
    struct link_answer answer;
    struct violation why;
    struct call *next;
};

struct child_session {
    struct predictor base;    /* first, so that a pointer to it is one to this */
    struct predictor_ops ops; /* without those that the child's session lacks */
    struct model model;
    struct predictor_env env;
    uint64_t load_ms, step_ms; /* deadlines */
    uint64_t trap_ms;          /* the deadline of a step that is in a test's trap */
    uint64_t memory_bytes;
    pthread_t thread;
    int weights;       /* a memfd: packed by the first child, mapped by those after it */
    int wake;          /* an event: something to send, or to stop */
    struct chan *done; /* struct item with its answer */
    struct judged *judged;
    /* The link thread's: */
    struct sandbox *sandbox; /* NULL: none runs */
    struct link_in in;
    struct arena checking;
    uint64_t beats, beats_ns; /* as last seen, and since when */
    /* The owner's: */
    uint32_t open;                       /* submitted and not taken */
    const struct adapter_list *adapters; /* of what is submitted next; NULL: the model's own */
    pthread_mutex_t lock;                /* guards what follows */
    pthread_cond_t changed;              /* a call is done, or the session broken */
    int fd;                              /* of the socket; -1: no child is ready */
    struct child_page *page;
    struct buf out; /* from out_at on: to be sent */
    size_t out_at;
    struct {
        size_t at; /* goes with this byte of out */
        int fd;    /* of file, which has users until then */
    } out_fd[CHILD_FILES_MAX];
    uint32_t out_fds;
    struct child_file file[CHILD_FILES_MAX];
    struct item **item; /* [window], item_count of them, the oldest first */
    uint32_t item_count, sent_count;
    struct call *call;
    uint64_t id;     /* the last one */
    uint64_t random; /* state of the seeds of requests without one */
    uint32_t trial;  /* requests of a group that is tried; 0: there are no suspects */
    uint32_t crashes_in_a_row;
    struct predictor_stats past; /* of children that ended */
    uint64_t restarts, crashes;
    bool stopping, draining, broken;
    struct error why; /* when broken */
};

static struct child_session *session_of(struct predictor *p)
{
    return (struct child_session *)p;
}

static const struct error cancelled = { ERROR_CANCELLED, "The request was cancelled." };
static const struct error stopped = { ERROR_CANCELLED, "The run was stopped." };

static void wake(struct child_session *s)
{
    (void)eventfd_write(s->wake, 1);
}

/* ---- Requests on their way; all under the lock ---- */

static struct item *find_item(struct child_session *s, uint64_t id)
{
    uint32_t from = 0, to = s->item_count;

    while (from < to) {
        uint32_t middle = from + (to - from) / 2;
        if (s->item[middle]->id < id)
            from = middle + 1;
        else
            to = middle;
    }
    return from < s->item_count && s->item[from]->id == id ? s->item[from] : NULL;
}

static void let_files_go(struct child_session *s, const struct item *i)
{
    for (uint32_t k = 0; k < i->head.adapters; k++)
        s->file[i->head.file[k]].users--;
}

/* Its answer is in it: it is the owner's now. */
static void finish(struct child_session *s, struct item *i)
{
    uint32_t at = 0;

    while (at < s->item_count && s->item[at] != i)
        at++;
    assert(at < s->item_count && s->sent_count >= (i->state == ITEM_SENT));
    s->sent_count -= i->state == ITEM_SENT;
    s->item_count--;
    let_files_go(s, i);
    memmove(s->item + at, s->item + at + 1, (s->item_count - at) * sizeof(struct item *));
    (void)chan_send(s->done, i); /* has room for the whole window */
}

static void finish_with(struct child_session *s, struct item *i, const struct error *why)
{
    i->answer.error = *why;
    finish(s, i);
}

static void forget_out(struct child_session *s)
{
    buf_clear(&s->out);
    s->out_at = 0;
    s->out_fds = 0;
}

/* Sends what fits; the link thread sends the rest. */
static void send_some(struct child_session *s)
{
    while (s->fd >= 0 && s->out_at < s->out.len) {
        bool with = s->out_fds && s->out_fd[0].at == s->out_at;
        uint32_t next = with ? 1 : 0;
        size_t to = s->out_fds > next ? s->out_fd[next].at : s->out.len;
        ssize_t n = link_send_some(s->fd, (struct str){ s->out.p + s->out_at, to - s->out_at },
                                   with ? s->out_fd[0].fd : -1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) { /* full; or its end, which the link thread sees */
            wake(s);
            return;
        }
        s->out_at += (size_t)n;
        if (with)
            memmove(s->out_fd, s->out_fd + 1, --s->out_fds * sizeof s->out_fd[0]);
    }
    forget_out(s);
}

static void add_request(struct child_session *s, enum link_kind kind, uint64_t id,
                        const struct request *r, struct link_request head)
{
    struct clock *system = clock_system();
    static const char before[] = "{\"request\":", after[] = "}";
    const struct link_head frame = {
        .kind = kind,
        .bytes = (uint32_t)(sizeof head + sizeof before - 1 + r->text.len + sizeof after - 1),
        .id = id,
    };

    head.clock_us = s->env.clock->wall_us(s->env.clock) - system->wall_us(system);
    buf_add(&s->out, &frame, sizeof frame);
    buf_add(&s->out, &head, sizeof head);
    buf_add(&s->out, before, sizeof before - 1);
    buf_add_str(&s->out, r->text);
    buf_add(&s->out, after, sizeof after - 1);
}

static void send_file(struct child_session *s, uint32_t number)
{
    struct child_file *f = &s->file[number];

    assert(f->path && f->users);
    if (f->sent)
        return;
    assert(s->out_fds < CHILD_FILES_MAX);
    s->out_fd[s->out_fds].at = s->out.len;
    s->out_fd[s->out_fds++].fd = f->fd;
    link_add(&s->out, LINK_FILE, number, str_of(f->path), (struct str){ 0 });
    f->sent = true;
}

static void send_item(struct child_session *s, struct item *i)
{
    assert(i->state == ITEM_WAITING && s->fd >= 0);
    i->state = ITEM_SENT;
    s->sent_count++;
    for (uint32_t k = 0; k < i->head.adapters; k++)
        send_file(s, i->head.file[k]);
    add_request(s, LINK_SUBMIT, i->id, i->request, i->head);
}

static bool is_ready(const struct child_session *s)
{
    return s->fd >= 0 && !s->trial;
}

/* The next group of suspects; when none is left, everything. */
static void send_waiting(struct child_session *s)
{
    uint32_t count = 0, suspects = 0;

    for (uint32_t i = 0; i < s->item_count; i++) {
        suspects += s->item[i]->suspect;
        s->item[i]->tried = false;
    }
    if (!suspects)
        s->trial = 0;
    for (uint32_t i = 0; i < s->item_count; i++) {
        struct item *it = s->item[i];
        if (it->state != ITEM_WAITING || (s->trial && (!it->suspect || count == s->trial)))
            continue;
        it->tried = s->trial > 0;
        send_item(s, it);
        count++;
    }
    for (struct call *c = s->call; c; c = c->next) {
        if (!c->done && !c->sent)
            add_request(s, c->kind, c->id, c->request, (struct link_request){ 0 });
        c->sent = true;
    }
    send_some(s);
}

/* A group has been answered: the next may be larger. */
static void look_at_trial(struct child_session *s)
{
    if (!s->trial || s->sent_count)
        return;
    s->trial *= 2;
    send_waiting(s);
}

/* ---- What a child says ---- */

static int refuse(const char *what, struct error *e)
{
    return error_set(e, ERROR_INTERNAL, "the model's process sent %s", what);
}

static bool take_head(const struct link_frame *f, struct link_answer *out)
{
    if (f->bytes.len < sizeof *out)
        return false;
    memcpy(out, f->bytes.p, sizeof *out);
    out->error.msg[sizeof out->error.msg - 1] = '\0';
    return out->error.code < ERROR_CODE_COUNT &&
           str_utf8_valid(str_of(out->error.msg)) == strlen(out->error.msg);
}

static int take_answer(struct child_session *s, const struct link_frame *f, struct error *e)
{
    struct item *i = find_item(s, f->id);
    struct str response = str_sub(f->bytes, sizeof(struct link_answer), f->bytes.len);
    struct link_answer head;
    size_t at;

    if (!i || i->state != ITEM_SENT || !take_head(f, &head))
        return refuse("an answer that fits no request", e);
    arena_reset(&s->checking);
    if (head.error.code == ERROR_OK && !json_parse(&s->checking, response, &at, e))
        return error_wrap(e, "an answer of the model's process");
    struct answer *a = &i->answer;
    *a = (struct answer){
        .tag = a->tag,
        .error = head.error,
        .retry_after_ms = head.retry_after_ms,
        .final = head.final,
        .own_failure = head.own_failure,
        .hopeless = head.hopeless,
        .rejected = head.rejected,
        .complete = head.complete,
        .response = BUF_INIT(RESPONSE_BYTES_MAX),
        .usage = head.usage,
        .forced_tokens = head.forced_tokens,
    };
    if (head.error.code == ERROR_OK)
        buf_add_str(&a->response, response);
    s->crashes_in_a_row = 0;
    finish(s, i);
    look_at_trial(s);
    return 0;
}

static void end_call(struct child_session *s, struct call *c)
{
    c->done = true;
    cond_broadcast(&s->changed);
}

static int take_reply(struct child_session *s, const struct link_frame *f, struct error *e)
{
    struct call *c = s->call;

    while (c && c->id != f->id)
        c = c->next;
    if (!c || c->done || c->kind != (f->kind == LINK_JUDGED ? LINK_JUDGE : LINK_COUNT))
        return refuse("a reply that fits no call", e);
    if (f->kind == LINK_COUNTED && !take_head(f, &c->answer))
        return refuse("a count that is none", e);
    if (f->kind == LINK_JUDGED && f->bytes.len) {
        if (f->bytes.len != sizeof c->why)
            return refuse("a violation that is none", e);
        memcpy(&c->why, f->bytes.p, sizeof c->why);
        c->why.path[sizeof c->why.path - 1] = '\0';
        c->why.message[sizeof c->why.message - 1] = '\0';
        c->why.remedy[sizeof c->why.remedy - 1] = '\0';
        c->answer.error = (struct error){ ERROR_INVALID_ARGUMENT, "" };
    }
    end_call(s, c);
    return 0;
}

/* All frames that have arrived. */
static int take_frames(struct child_session *s, struct error *e)
{
    struct link_frame f;
    int rc;

    lock(&s->lock);
    while ((rc = link_next(&s->in, &f, e)) > 0) {
        if (f.kind == LINK_ANSWER)
            rc = take_answer(s, &f, e);
        else if (f.kind == LINK_COUNTED || f.kind == LINK_JUDGED)
            rc = take_reply(s, &f, e);
        else
            rc = refuse("a message of another kind", e);
        if (rc < 0)
            break;
    }
    unlock(&s->lock);
    return rc;
}

/* ---- Starting a child ---- */

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
        return refuse("no greeting", e);
    memcpy(out, f->bytes.p, sizeof *out);
    out->version[sizeof out->version - 1] = '\0';
    bool same = !s->base.window || out->window == s->base.window; /* as the first child's */
    return out->window && out->window <= 65536 && same ? 0
                                                       : refuse("a greeting of another model", e);
}

/* Loads the model in a new process. Everything but the first message is ready then. */
static int start_child(struct child_session *s, struct link_ready *ready, struct error *e)
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

/* ---- After a crash ---- */

static void add_stats(struct predictor_stats *sum, const struct predictor_stats *one)
{
    sum->prompt_tokens += one->prompt_tokens;
    sum->reused_tokens += one->reused_tokens;
    sum->computed_tokens += one->computed_tokens;
    sum->generated_tokens += one->generated_tokens;
    sum->forced_tokens += one->forced_tokens;
}

static bool was_touched_in(const struct touch_page *p, enum touch_slot slot, uint64_t id)
{
    uint32_t count = atomic_load(&p->slot[slot].count);

    for (uint32_t i = 0; i < count && i < TOUCH_TAGS_MAX; i++)
        if (p->slot[slot].tag[i] == id)
            return true;
    return false;
}

static bool was_touched(const struct touch_page *p, uint64_t id)
{
    for (uint32_t k = 0; k < TOUCH_SLOTS; k++)
        if (was_touched_in(p, k, id))
            return true;
    return false;
}

/* True when a call was touched: then the crash says little about a request that was touched, too. */
static bool blame_calls(struct child_session *s, const char *how)
{
    bool touched = false;

    for (struct call *c = s->call; c; c = c->next) {
        if (c->done || !c->sent)
            continue;
        c->sent = false;
        if (!was_touched(&s->page->touch, c->id))
            continue;
        touched = true;
        if (++c->crashes < CHILD_ALONE_MAX)
            continue;
        (void)error_set(&c->answer.error, ERROR_INTERNAL, "The model's process %s", how);
        (void)snprintf(c->why.message, sizeof c->why.message,
                       "The model's process %.*s while it checked this request.", HOW_SHOWN, how);
        (void)snprintf(c->why.remedy, sizeof c->why.remedy,
                       "Leave out what is unusual in its settings or its schema.");
        end_call(s, c);
    }
    return touched;
}

/* Chooses the suspects: the sent requests that were touched; all of them, when nothing was. Returns how many. */
static uint32_t suspect(struct child_session *s, bool call_touched)
{
    uint32_t count = 0;

    for (int all = 0; all < (call_touched ? 1 : 2) && !count; all++)
        for (uint32_t i = 0; i < s->item_count; i++) {
            struct item *it = s->item[i];
            if (it->state != ITEM_SENT || (!all && !was_touched(&s->page->touch, it->id)))
                continue;
            it->suspect = true;
            count++;
        }
    return count;
}

/* A request that was alone: true when it has ended too many children. */
static bool is_guilty(struct item *it, uint32_t sent)
{
    return it->state == ITEM_SENT && sent == 1 && it->tried &&
           ++it->alone_crashes >= CHILD_ALONE_MAX;
}

/* The request's answer; when its adapter's file ended the child, that of all requests that name the file. */
static void blame(struct child_session *s, struct item *guilty, const char *how)
{
    bool adapter = was_touched_in(&s->page->touch, TOUCH_ADAPT, guilty->id);
    struct error why;

    (void)error_set(&why, ERROR_INTERNAL,
                    "The model's process %s. It did so %d times while it %s this request alone.",
                    how, CHILD_ALONE_MAX, adapter ? "loaded the adapter of" : "computed");
    if (adapter && guilty->head.adapters == 1)
        s->file[guilty->head.file[0]].why = why;
    guilty->answer.final = true;
    finish_with(s, guilty, &why);
}

/* The error of a file that the request names and that is known to be bad; NULL: there is none. */
static const struct error *bad_file(const struct child_session *s, const struct item *i)
{
    for (uint32_t k = 0; k < i->head.adapters; k++)
        if (s->file[i->head.file[k]].why.code != ERROR_OK)
            return &s->file[i->head.file[k]].why;
    return NULL;
}

static void blame_items(struct child_session *s, bool call_touched, const char *how)
{
    uint32_t suspects = suspect(s, call_touched);
    struct item *guilty = NULL;

    for (uint32_t i = 0; i < s->item_count && !call_touched; i++)
        if (is_guilty(s->item[i], s->sent_count))
            guilty = s->item[i];
    if (guilty) {
        blame(s, guilty, how);
        s->crashes_in_a_row = 0;
    }
    for (uint32_t i = s->item_count; i-- > 0;) {
        struct item *it = s->item[i];
        const struct error *why = bad_file(s, it);
        if (it->state == ITEM_SENT)
            s->sent_count--;
        it->state = ITEM_WAITING;
        if (it->unwanted) {
            finish_with(s, it, &cancelled);
        } else if (why) {
            it->answer.final = true;
            finish_with(s, it, why);
        }
    }
    assert(!s->sent_count);
    if (suspects)
        s->trial = suspects > 1 ? suspects / 2 : 1;
}

/* The child has ended: its requests wait again. */
static void bury(struct child_session *s, const char *how)
{
    lock(&s->lock);
    log_warn("model %s: its process %s; it is started again, with %u requests", s->model.pattern,
             how, s->item_count);
    s->crashes++;
    s->crashes_in_a_row++;
    add_stats(&s->past, &s->page->stats);
    blame_items(s, blame_calls(s, how), how);
    (void)close(s->fd);
    (void)munmap(s->page, sizeof *s->page);
    s->fd = -1;
    s->page = NULL;
    forget_out(s);
    for (uint32_t i = 0; i < CHILD_FILES_MAX; i++)
        s->file[i].sent = false;
    unlock(&s->lock);
    sandbox_free(s->sandbox);
    s->sandbox = NULL;
}

/* Everything open is answered, and nothing more is taken. */
static void break_session(struct child_session *s, const struct error *why)
{
    log_error("%s", why->msg);
    lock(&s->lock);
    s->broken = true;
    s->why = *why;
    s->why.code = ERROR_INTERNAL;
    while (s->item_count)
        finish_with(s, s->item[0], &s->why);
    for (struct call *c = s->call; c; c = c->next)
        if (!c->done) {
            c->answer.error = s->why;
            (void)snprintf(c->why.message, sizeof c->why.message, "%.*s",
                           (int)sizeof c->why.message - 1, why->msg);
            end_call(s, c);
        }
    cond_broadcast(&s->changed);
    unlock(&s->lock);
}

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
        if (start_child(s, &ready, &e) < 0) {
            if (!is_stopping(s))
                log_warn("%s", e.msg);
            continue;
        }
        lock(&s->lock);
        s->restarts++;
        if (s->draining)
            link_add(&s->out, LINK_DRAIN, 0, (struct str){ 0 }, (struct str){ 0 });
        send_waiting(s);
        unlock(&s->lock);
        return true;
    }
    if (!is_stopping(s))
        break_session(s, &e);
    return false;
}

/* ---- The link thread ---- */

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
            send_some(s);
            unlock(&s->lock);
        }
        if (p[0].revents & ~POLLOUT)
            alive = link_read(&s->in, s->fd) > 0;
        if (take_frames(s, &e) < 0)
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

static void *link_main(void *arg)
{
    struct child_session *s = arg;
    struct sandbox_end end = { 0 };
    const char *how;

    while ((how = serve_child(s, &end))) {
        bury(s, how);
        if (!start_again(s))
            break;
    }
    return NULL;
}

/* ---- Adapters ---- */

static bool is_same_file(const struct child_file *f, const char *path, const struct stat *as)
{
    return f->path && strcmp(f->path, path) == 0 && f->as.st_ino == as->st_ino &&
           f->as.st_dev == as->st_dev && f->as.st_size == as->st_size &&
           f->as.st_mtim.tv_sec == as->st_mtim.tv_sec &&
           f->as.st_mtim.tv_nsec == as->st_mtim.tv_nsec;
}

static void drop_file(struct child_file *f)
{
    if (!f->path)
        return;
    assert(!f->users);
    (void)close(f->fd);
    mem_free(f->path);
    *f = (struct child_file){ 0 };
}

/* The number of a file: of the same one, else of the one that was unused for the longest time; CHILD_FILES_MAX:
 * all are in use. */
static uint32_t place_of_file(const struct child_session *s, const char *path,
                              const struct stat *as)
{
    uint32_t best = CHILD_FILES_MAX;

    for (uint32_t i = 0; i < CHILD_FILES_MAX; i++) {
        const struct child_file *f = &s->file[i];
        if (is_same_file(f, path, as))
            return i;
        if (!f->users && (best == CHILD_FILES_MAX || f->used < s->file[best].used))
            best = i;
    }
    return best;
}

/* One more user of the file. */
static int hold_file(struct child_session *s, const char *path, uint32_t *number, struct error *e)
{
    struct stat as;
    int fd = sys_open(path, O_RDONLY, e);

    if (fd < 0)
        return -1;
    int rc = fstat(fd, &as);
    *number = rc == 0 ? place_of_file(s, path, &as) : CHILD_FILES_MAX;
    if (*number == CHILD_FILES_MAX) {
        (void)close(fd);
        return error_set(e, ERROR_RESOURCE_EXHAUSTED, "%d adapters are in use", CHILD_FILES_MAX);
    }
    struct child_file *f = &s->file[*number];
    if (is_same_file(f, path, &as)) {
        (void)close(fd);
    } else {
        drop_file(f);
        *f = (struct child_file){ .path = mem_strdup(path), .as = as, .fd = fd };
    }
    f->users++;
    f->used = s->id;
    return 0;
}

/* Under the lock. At a failure the item holds files as well. */
static int hold_adapters(struct child_session *s, struct item *i, struct error *e)
{
    const struct adapter_list *list = s->adapters;

    for (uint32_t k = 0; list && k < list->count; k++) {
        if (hold_file(s, list->item[k].file, &i->head.file[k], e) < 0)
            return -1;
        i->head.scale[k] = list->item[k].scale;
        i->head.adapters++;
    }
    const struct error *why = bad_file(s, i);
    i->answer.final = why != NULL;
    return why ? error_set(e, why->code, "%s", why->msg) : 0;
}

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
    bool good = !s->draining && hold_adapters(s, i, &why) == 0;
    if (!good && why.code == ERROR_RESOURCE_EXHAUSTED && s->item_count) { /* until others end */
        let_files_go(s, i);
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
        finish_with(s, i, &why);
    } else if (is_ready(s)) {
        send_item(s, i);
        send_some(s);
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
            finish_with(s, s->item[i], &stopped);
    link_add(&s->out, LINK_DRAIN, 0, (struct str){ 0 }, (struct str){ 0 });
    send_some(s);
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
            finish_with(s, it, &cancelled);
        } else {
            it->unwanted = true;
            link_add(&s->out, LINK_CANCEL, it->id, (struct str){ 0 }, (struct str){ 0 });
            send_some(s);
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
        add_request(s, c->kind, c->id, c->request, (struct link_request){ 0 });
        c->sent = true;
        send_some(s);
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
    add_stats(out, &s->past);
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
        drop_file(&s->file[k]);
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
    wake(s);
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
    } else if (start_child(s, &ready, e) == 0) {
        use_greeting(s, &ready);
        int rc = pthread_create(&s->thread, NULL, link_main, s);
        if (rc == 0)
            return &s->base;
        errno = rc;
        (void)error_errno(e, "no thread for the model's process");
    }
    release(s);
    return NULL;
}
