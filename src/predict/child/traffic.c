/* traffic.c -- see child_session.h: requests on their way, and what a child says. */
#include "predict/child/child_session.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/thread.h"
#include "format/response.h"

void child_wake(struct child_session *s)
{
    (void)eventfd_write(s->wake, 1);
}

int child_refuse(const char *what, struct error *e)
{
    return error_set(e, ERROR_INTERNAL, "the model's process sent %s", what);
}

void child_end_call(struct child_session *s, struct call *c)
{
    c->done = true;
    cond_broadcast(&s->changed);
}

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

/* Its answer is in it: it is the owner's now. */
void child_finish(struct child_session *s, struct item *i)
{
    uint32_t at = 0;

    while (at < s->item_count && s->item[at] != i)
        at++;
    assert(at < s->item_count && s->sent_count >= (i->state == ITEM_SENT));
    s->sent_count -= i->state == ITEM_SENT;
    s->item_count--;
    child_let_files_go(s, i);
    memmove(s->item + at, s->item + at + 1, (s->item_count - at) * sizeof(struct item *));
    (void)chan_send(s->done, i); /* has room for the whole window */
}

void child_finish_with(struct child_session *s, struct item *i, const struct error *why)
{
    i->answer.error = *why;
    child_finish(s, i);
}

void child_forget_out(struct child_session *s)
{
    buf_clear(&s->out);
    s->out_at = 0;
    s->out_fds = 0;
}

/* Sends what fits; the link thread sends the rest. */
void child_send_some(struct child_session *s)
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
            child_wake(s);
            return;
        }
        s->out_at += (size_t)n;
        if (with)
            memmove(s->out_fd, s->out_fd + 1, --s->out_fds * sizeof s->out_fd[0]);
    }
    child_forget_out(s);
}

void child_add_request(struct child_session *s, enum link_kind kind, uint64_t id,
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

void child_send_item(struct child_session *s, struct item *i)
{
    assert(i->state == ITEM_WAITING && s->fd >= 0);
    i->state = ITEM_SENT;
    s->sent_count++;
    for (uint32_t k = 0; k < i->head.adapters; k++)
        send_file(s, i->head.file[k]);
    child_add_request(s, LINK_SUBMIT, i->id, i->request, i->head);
}

bool child_is_ready(const struct child_session *s)
{
    return s->fd >= 0 && !s->trial;
}

/* The next group of suspects; when none is left, everything. */
void child_send_waiting(struct child_session *s)
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
        child_send_item(s, it);
        count++;
    }
    for (struct call *c = s->call; c; c = c->next) {
        if (!c->done && !c->sent)
            child_add_request(s, c->kind, c->id, c->request, (struct link_request){ 0 });
        c->sent = true;
    }
    child_send_some(s);
}

/* A group has been answered: the next may be larger. */
static void look_at_trial(struct child_session *s)
{
    if (!s->trial || s->sent_count)
        return;
    s->trial *= 2;
    child_send_waiting(s);
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
        return child_refuse("an answer that fits no request", e);
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
    child_finish(s, i);
    look_at_trial(s);
    return 0;
}

static int take_reply(struct child_session *s, const struct link_frame *f, struct error *e)
{
    struct call *c = s->call;

    while (c && c->id != f->id)
        c = c->next;
    if (!c || c->done || c->kind != (f->kind == LINK_JUDGED ? LINK_JUDGE : LINK_COUNT))
        return child_refuse("a reply that fits no call", e);
    if (f->kind == LINK_COUNTED && !take_head(f, &c->answer))
        return child_refuse("a count that is none", e);
    if (f->kind == LINK_JUDGED && f->bytes.len) {
        if (f->bytes.len != sizeof c->why)
            return child_refuse("a violation that is none", e);
        memcpy(&c->why, f->bytes.p, sizeof c->why);
        c->why.path[sizeof c->why.path - 1] = '\0';
        c->why.message[sizeof c->why.message - 1] = '\0';
        c->why.remedy[sizeof c->why.remedy - 1] = '\0';
        c->answer.error = (struct error){ ERROR_INVALID_ARGUMENT, "" };
    }
    child_end_call(s, c);
    return 0;
}

/* All frames that have arrived. */
int child_take_frames(struct child_session *s, struct error *e)
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
            rc = child_refuse("a message of another kind", e);
        if (rc < 0)
            break;
    }
    unlock(&s->lock);
    return rc;
}
