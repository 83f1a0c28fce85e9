/* crash.c -- see child_session.h: who ended a child, and what becomes of the others. */
#include "predict/child/child_session.h"

#include <assert.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sandbox.h"
#include "base/thread.h"

#define HOW_SHOWN 200 /* bytes of how a process ended, in an error */

static const struct error cancelled = { ERROR_CANCELLED, "The request was cancelled." };

void child_add_stats(struct predictor_stats *sum, const struct predictor_stats *one)
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
        child_end_call(s, c);
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
    child_finish_with(s, guilty, &why);
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
        const struct error *why = child_bad_file(s, it);
        if (it->state == ITEM_SENT)
            s->sent_count--;
        it->state = ITEM_WAITING;
        if (it->unwanted) {
            child_finish_with(s, it, &cancelled);
        } else if (why) {
            it->answer.final = true;
            child_finish_with(s, it, why);
        }
    }
    assert(!s->sent_count);
    if (suspects)
        s->trial = suspects > 1 ? suspects / 2 : 1;
}

/* The child has ended: its requests wait again. */
void child_bury(struct child_session *s, const char *how)
{
    lock(&s->lock);
    log_warn("model %s: its process %s; it is started again, with %u requests", s->model.pattern,
             how, s->item_count);
    s->crashes++;
    s->crashes_in_a_row++;
    child_add_stats(&s->past, &s->page->stats);
    blame_items(s, blame_calls(s, how), how);
    (void)close(s->fd);
    (void)munmap(s->page, sizeof *s->page);
    s->fd = -1;
    s->page = NULL;
    child_forget_out(s);
    for (uint32_t i = 0; i < CHILD_FILES_MAX; i++)
        s->file[i].sent = false;
    unlock(&s->lock);
    sandbox_free(s->sandbox);
    s->sandbox = NULL;
}

/* Everything open is answered, and nothing more is taken. */
void child_break(struct child_session *s, const struct error *why)
{
    log_error("%s", why->msg);
    lock(&s->lock);
    s->broken = true;
    s->why = *why;
    s->why.code = ERROR_INTERNAL;
    while (s->item_count)
        child_finish_with(s, s->item[0], &s->why);
    for (struct call *c = s->call; c; c = c->next)
        if (!c->done) {
            c->answer.error = s->why;
            (void)snprintf(c->why.message, sizeof c->why.message, "%.*s",
                           (int)sizeof c->why.message - 1, why->msg);
            child_end_call(s, c);
        }
    cond_broadcast(&s->changed);
    unlock(&s->lock);
}
