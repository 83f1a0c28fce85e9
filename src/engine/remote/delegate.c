#include "engine/remote/delegate.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sys.h"
#include "engine/remote/delegate_inner.h"

/* ---- A part goes to the batch service ---- */

static int move_on(struct delegation *d, uint32_t part, enum part_phase to, struct error *e)
{
    assert(part < d->part_count &&
           to == d->part[part].phase + 1); /* phases only grow, one by one */
    d->part[part].phase = to;
    return facts_part_save(d, part, e);
}

static int upload_file(struct delegation *d, uint32_t part, const struct remote_file *f,
                       struct error *e)
{
    struct remote *remote = d->job->remote;
    struct trial trial = { 0 };
    struct error why;

    while (remote->ops->upload(remote, f, d->part[part].place, &why) < 0)
        if (!delegate_again(d, &trial, &why, e))
            return error_wrap(e, "cannot upload part %u", part + 1);
    return move_on(d, part, PART_UPLOADED, e);
}

static int upload(struct delegation *d, uint32_t part, struct error *e)
{
    char path[DELEGATE_PATH_BYTES], name[REMOTE_NAME_BYTES];

    facts_part_path(d, part, path);
    facts_part_name(d, part, name);
    int fd = sys_open(path, O_RDONLY, e);
    if (fd < 0)
        return -1;
    off_t bytes = lseek(fd, 0, SEEK_END);
    const struct remote_file f = { name, path, fd, bytes > 0 ? (uint64_t)bytes : 0 };
    int rc = upload_file(d, part, &f, e);
    (void)close(fd);
    return rc;
}

/* One that was sent off before a crash may still be on its way: it is looked for twice. 1 when it is
 * there. */
static int find(struct delegation *d, uint32_t part, struct error *e)
{
    struct remote *remote = d->job->remote;
    struct remote_part *p = &d->part[part];
    char name[REMOTE_NAME_BYTES];
    struct trial trial = { 0 };
    struct error why;

    facts_part_name(d, part, name);
    for (int looks = 0; looks < 2;) {
        int found = remote->ops->find(remote, name, p->job, &why);
        if (found > 0)
            return 1;
        if (found < 0 && !delegate_again(d, &trial, &why, e))
            return error_wrap(e, "cannot look for the job of part %u", part + 1);
        if (found == 0 && ++looks < 2 && delegate_wait(d, DELEGATE_SETTLE_MS, e) < 0)
            return -1;
    }
    p->unsure = false;
    return 0;
}

static int create(struct delegation *d, uint32_t part, struct error *e)
{
    struct remote *remote = d->job->remote;
    struct remote_part *p = &d->part[part];
    char name[REMOTE_NAME_BYTES];
    struct trial trial = { 0 };
    struct error why;

    facts_part_name(d, part, name);
    for (;;) {
        int found = p->unsure ? find(d, part, e) : 0;
        if (found < 0)
            return -1;
        if (found || remote->ops->create(remote, name, p->place, p->job, &why) == 0)
            break;
        p->unsure = error_retryable(why.code) || why.code == ERROR_CANCELLED;
        if (!delegate_again(d, &trial, &why, e))
            return error_wrap(e, "cannot create the job of part %u", part + 1);
    }
    p->unsure = false;
    if (move_on(d, part, PART_CREATED, e) < 0)
        return -1;
    delegate_note(d, "%llu lines are handed over as %s", (unsigned long long)p->rows, p->job);
    return 0;
}

static int hand_over(struct delegation *d, uint32_t part, struct error *e)
{
    const struct remote_part *p = &d->part[part];

    if (p->phase == PART_STAGED && upload(d, part, e) < 0)
        return -1;
    if (p->phase == PART_UPLOADED && create(d, part, e) < 0)
        return -1;
    return delegate_settle(d, false, e);
}

/* ---- and its answers come back ---- */

/* A job that is not there any more will never answer: its lines say so. */
static int poll(struct delegation *d, uint32_t part, struct remote_status *st, struct error *e)
{
    struct remote *remote = d->job->remote;
    struct remote_part *p = &d->part[part];
    struct trial trial = { 0 };

    for (;;) {
        struct error why = { 0 };
        *st = (struct remote_status){ 0 };
        if (remote->ops->poll(remote, p->job, st, &why) == 0)
            return 0;
        if (why.code == ERROR_NOT_FOUND) {
            *st = (struct remote_status){ .ended = true, .state = "GONE", .why = why };
            return 0;
        }
        if (!delegate_again(d, &trial, &why, e))
            return error_wrap(e, "cannot look at %s", p->job);
    }
}

static void note_state(struct delegation *d, uint32_t part, const struct remote_status *st)
{
    struct remote_part *p = &d->part[part];

    if (strcmp(p->state, st->state) == 0)
        return;
    (void)snprintf(p->state, sizeof p->state, "%s", st->state);
    delegate_note(d, "%s is %s%s%s", p->job, st->state, st->why.code ? ": " : "",
                  st->why.code ? st->why.msg : "");
}

static int look_at(struct delegation *d, uint32_t part, struct error *e)
{
    struct remote_status st;

    if (poll(d, part, &st, e) < 0)
        return -1;
    note_state(d, part, &st);
    return st.ended ? merge_part(d, part, &st, e) : delegate_settle(d, false, e);
}

static int look_at_all(struct delegation *d, struct error *e)
{
    for (uint32_t i = 0; i < d->part_count; i++)
        if (d->part[i].phase == PART_CREATED && look_at(d, i, e) < 0)
            return -1;
    return 0;
}

static bool is_open(const struct remote_part *p)
{
    return p->phase != PART_MERGED;
}

static uint32_t open_parts(const struct delegation *d)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < d->part_count; i++)
        count += is_open(&d->part[i]);
    return count;
}

static int follow(struct delegation *d, struct error *e)
{
    uint64_t most = d->job->poll_ms ? d->job->poll_ms : DELEGATE_POLL_MS;
    uint64_t wait = most < DELEGATE_POLL_FIRST_MS ? most : DELEGATE_POLL_FIRST_MS;

    for (;;) {
        if (look_at_all(d, e) < 0)
            return -1;
        if (open_parts(d) == 0 || d->job->detach)
            return 0;
        if (delegate_wait(d, wait, e) < 0)
            return -1;
        wait = wait * 2 < most ? wait * 2 : most;
    }
}

/* ---- Rounds ---- */

/* Parts that an earlier run left half-way, then new ones as they are cut. */
static int hand_over_all(struct delegation *d, struct error *e)
{
    int rc = 0;

    for (uint32_t i = 0; rc == 0 && i < d->part_count; i++)
        rc = hand_over(d, i, e);
    if (rc < 0 || d->staged)
        return rc;
    struct stage *s = stage_new(d);
    while (rc == 0 && !d->staged) {
        int more = stage_next(s, e);
        if (more > 0) {
            rc = hand_over(d, d->part_count - 1, e);
            continue;
        }
        rc = more;
        d->staged = more == 0;
    }
    stage_free(s);
    return rc < 0 ? -1 : facts_round_save(d, e);
}

static int next_round(struct delegation *d, struct error *e)
{
    d->round++;
    d->staged = false;
    d->part_count = 0;
    return facts_round_save(d, e);
}

/* Every line has its row: what is left is to render the last of them. */
static int finish(struct delegation *d, struct error *e)
{
    int rc = delegate_settle(d, true, e);

    while (rc == 0 && d->behind)
        rc = delegate_stopped(d, e) < 0 ? -1 : delegate_settle(d, false, e);
    return rc;
}

/* A round that sends nothing is the end: each line that a round sent has its row when it is merged. */
static int run_rounds(struct delegation *d, struct error *e)
{
    for (;;) {
        if (hand_over_all(d, e) < 0)
            return -1;
        if (d->part_count == 0)
            return finish(d, e);
        if (follow(d, e) < 0)
            return -1;
        if (open_parts(d))
            return delegate_settle(d, true, e);
        if (next_round(d, e) < 0)
            return -1;
    }
}

/* ---- A job ---- */

static void delegation_init(struct delegation *d, const struct delegate_job *j)
{
    *d = (struct delegation){ .job = j, .seed = j->seed };
    ledger_init(&d->ledger, j->spool, &j->price, j->clock);
    d->ledger.reuse = j->reuse;
    d->progress.counters.total = j->ingest->lines;
    d->began_ns = d->progress_due_ns = delegate_now_ns(d);
}

static void delegation_release(struct delegation *d)
{
    ledger_release(&d->ledger);
    mem_free(d->part);
}

static void remove_folder(const struct delegation *d)
{
    char folder[DELEGATE_PATH_BYTES];
    struct error why;

    facts_folder(d, folder);
    if (sys_remove_all(folder, &why) < 0)
        log_warn("%s", why.msg);
}

/* Answers that came before a failure are kept. */
static void keep_answers(struct delegation *d)
{
    struct error ignored;

    if (ledger_commit(&d->ledger, &ignored) < 0)
        log_warn("%s", ignored.msg);
    delegate_take_counters(d);
}

int delegate_run(const struct delegate_job *j, struct progress *out, enum pipeline_end *end,
                 struct error *e)
{
    struct delegation d;

    delegation_init(&d, j);
    delegate_take_counters(&d);
    d.progress.resumed = counters_done(&d.progress.counters);
    int rc = facts_load(&d, e);
    if (rc == 0)
        rc = run_rounds(&d, e);
    if (rc < 0)
        keep_answers(&d);
    if (rc < 0 && e->code == ERROR_CANCELLED && delegate_is_stopped(&d))
        rc = 0;
    *end = render_lines(j->render) == j->ingest->lines ? PIPELINE_DONE : PIPELINE_INTERRUPTED;
    if (rc == 0 && *end == PIPELINE_DONE)
        rc = render_finish(j->render, e);
    if (rc == 0 && *end == PIPELINE_DONE)
        remove_folder(&d);
    delegate_count_in_flight(&d);
    d.progress.elapsed_ns = delegate_now_ns(&d) - d.began_ns;
    *out = d.progress;
    delegation_release(&d);
    return rc;
}

/* ---- Its end before its time ---- */

/* Its job, when it may have one, is ended; one that was never created is forgotten. */
static int cancel_part(struct delegation *d, uint32_t part, struct error *e)
{
    struct remote *remote = d->job->remote;
    struct remote_part *p = &d->part[part];
    struct trial trial = { 0 };
    struct error why;

    if (p->phase == PART_UPLOADED) {
        int found = find(d, part, e);
        if (found < 0)
            return -1;
        p->phase = found ? PART_CREATED : PART_STAGED;
    }
    if (p->phase != PART_CREATED)
        return 0;
    while (remote->ops->cancel(remote, p->job, &why) < 0 && why.code != ERROR_NOT_FOUND)
        if (!delegate_again(d, &trial, &why, e))
            return error_wrap(e, "cannot cancel %s", p->job);
    return 0;
}

static bool any_created(const struct delegation *d)
{
    for (uint32_t i = 0; i < d->part_count; i++)
        if (d->part[i].phase == PART_CREATED)
            return true;
    return false;
}

static int cancel_all(struct delegation *d, struct error *e)
{
    uint64_t wait = DELEGATE_POLL_FIRST_MS;

    for (uint32_t i = 0; i < d->part_count; i++)
        if (cancel_part(d, i, e) < 0)
            return -1;
    while (any_created(d) && delegate_now_ns(d) < d->deadline_ns) {
        if (look_at_all(d, e) < 0)
            return -1;
        if (any_created(d) && delegate_wait(d, wait, e) < 0)
            return -1;
    }
    return 0;
}

int delegate_cancel(const struct delegate_job *j, struct progress *out, struct error *e)
{
    struct delegation d;
    struct buf name = BUF_INIT(DELEGATE_STEM_BYTES);

    delegation_init(&d, j);
    d.cancelling = true;
    d.deadline_ns = d.began_ns + DELEGATE_CANCEL_MS * NS_PER_MS;
    delegate_take_counters(&d);
    int rc = spool_fact_get(j->spool, "remote.name", &name, e);
    if (rc > 0) { /* else nothing was ever handed over */
        rc = facts_load(&d, e);
        if (rc == 0)
            rc = cancel_all(&d, e);
        if (rc < 0)
            keep_answers(&d);
    }
    buf_release(&name);
    *out = d.progress;
    delegation_release(&d);
    return rc;
}
